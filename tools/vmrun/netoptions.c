// SPDX-License-Identifier: GPL-2.0
/* What follows --net. */
#include <arpa/inet.h>
#include <ctype.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "net.h"

/* Takes what stands before the next one of ends off *text. Return: that, or NULL if there is none. */
static char *take(char **text, char end)
{
	char *start = *text, *stop = strchr(start, end);

	if (!stop)
		return NULL;
	*stop = 0;
	*text = stop + 1;
	return start;
}

static bool parse_port(const char *text, uint16_t *port)
{
	unsigned long n;
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	n = strtoul(text, &end, 10);
	*port = n;
	return !*end && n && n <= 0xffff;
}

static bool parse_address(const char *text, uint32_t *addr)
{
	struct in_addr a;

	if (!*text)
		return true;
	if (inet_pton(AF_INET, text, &a) != 1)
		return false;
	*addr = a.s_addr;
	return true;
}

static bool parse_forward(struct net_forward *f, char *text)
{
	char *proto = take(&text, ':'), *host = take(&text, ':');
	char *host_port = take(&text, '-'), *guest = take(&text, ':');

	*f = (struct net_forward) { .host = htonl(INADDR_LOOPBACK) };
	if (!proto || !host || !host_port || !guest || (strcmp(proto, "tcp") && strcmp(proto, "udp")))
		return false;
	f->udp = !strcmp(proto, "udp");
	return parse_address(host, &f->host) && parse_port(host_port, &f->host_port) &&
	       parse_address(guest, &f->guest) && parse_port(text, &f->guest_port);
}

static int add_forward(struct net_options *o, char *text, struct error *err)
{
	char *copy = strdupa(text);

	if (o->nr_forwards == FORWARDS_MAX)
		return failed(err, "--net: more than %d forwards", FORWARDS_MAX);
	if (!parse_forward(&o->forwards[o->nr_forwards], text))
		return failed(err, "--net hostfwd=%s: say tcp:[ADDRESS]:PORT-[ADDRESS]:PORT, or udp:…",
			      copy);
	o->nr_forwards++;
	return 0;
}

static int parse_mac(struct net_options *o, const char *text, struct error *err)
{
	int end = 0;

	if (sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &o->mac[0], &o->mac[1],
		   &o->mac[2], &o->mac[3], &o->mac[4], &o->mac[5], &end) != 6 || text[end] ||
	    end != 17 || (o->mac[0] & 1))
		return failed(err, "--net mac=%s: not the address of a network card, as 52:54:00:12:34:56",
			      text);
	o->has_mac = true;
	return 0;
}

static int parse_vhost(struct net_options *o, const char *text, struct error *err)
{
	o->vhost = strcmp(text, "on") ? VHOST_OFF : VHOST_ON;
	return o->vhost == VHOST_ON || !strcmp(text, "off") ? 0 :
	       failed(err, "--net vhost=%s: say on or off", text);
}

static int parse_one(struct net_options *o, char *key, struct error *err)
{
	bool user = o->kind == NET_USER;
	char *value = strchr(key, '=');

	if (!value && user && !strcmp(key, "no-host"))
		return o->no_host = true, 0;
	if (value)
		*value++ = 0;
	if (value && !strcmp(key, "mac"))
		return parse_mac(o, value, err);
	if (value && user && !strcmp(key, "hostfwd"))
		return add_forward(o, value, err);
	if (value && !user && !strcmp(key, "vhost"))
		return parse_vhost(o, value, err);
	if (value && !user && !strcmp(key, "ifname")) {
		o->ifname = value;
		return *value && strlen(value) < IFNAMSIZ ? 0 :
		       failed(err, "--net ifname=%s: no name of a network interface", value);
	}
	return failed(err, "--net %s: \"%s\" isn't one of its settings, or lacks its value",
		      user ? "user" : "tap", key);
}

int net_parse(struct net_options *o, char *text, struct error *err)
{
	char *word = strsep(&text, ",");

	*o = (struct net_options) { };
	if (!strcmp(word, "user"))
		o->kind = NET_USER;
	else if (!strcmp(word, "tap"))
		o->kind = NET_TAP;
	else
		return failed(err, "--net %s: say user or tap", word);
	while ((word = strsep(&text, ",")))
		if (parse_one(o, word, err))
			return -1;
	return 0;
}
