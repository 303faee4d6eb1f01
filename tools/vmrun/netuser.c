// SPDX-License-Identifier: GPL-2.0
/*
 * The user network, by libslirp: the guest's connections are made by vmrun itself, so that nothing
 * need be set up on the host. DHCP gives the guest 10.0.2.15; the host is 10.0.2.2, and 10.0.2.3 its
 * name server.
 */
#include <stdlib.h>

#include "net.h"

#ifdef WITH_SLIRP
#include <arpa/inet.h>
#include <errno.h>
#include <glib.h>
#include <libslirp.h>
#include <string.h>
#include <time.h>

#define FRAME_MAX	1514		/* the guest's: there is nobody who would segment more */
#define TIMERS_MAX	4

struct timer {
	struct user *user;		/* NULL: this place is free */
	SlirpTimerId id;
	void *opaque;
	int64_t expires;		/* ms; INT64_MAX: never */
};

struct user {
	struct net net;			/* first */
	struct loop *loop;
	Slirp *slirp;
	struct loop_poller poller;
	struct timer timers[TIMERS_MAX];
	/* While prepare() is at work: where it puts descriptors */
	struct pollfd *fds;
	int nr, room;
	unsigned long sent, received, dropped;
};

static ssize_t to_guest(const void *bytes, size_t len, void *opaque)
{
	struct user *u = opaque;
	struct {
		struct virtio_net_hdr_v1 header;
		uint8_t bytes[65536];
	} frame;

	if (len > sizeof(frame.bytes))
		return len;
	frame.header = (struct virtio_net_hdr_v1) { };
	memcpy(frame.bytes, bytes, len);
	u->received++;
	u->net.port->receive(u->net.port, &frame, NET_HEADER + len);
	return len;
}

/* Guests could fill the screen with these. */
static void guest_error(const char *message, void *opaque)
{
	(void)message;
	((struct user *)opaque)->dropped++;
}

static void say_nothing(const gchar *domain, GLogLevelFlags level, const gchar *message,
			gpointer opaque)
{
	(void)domain;
	(void)level;
	(void)message;
	(void)opaque;
}

static int64_t clock_ns(void *opaque)
{
	struct timespec t;

	(void)opaque;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void *timer_new(SlirpTimerId id, void *cb_opaque, void *opaque)
{
	struct user *u = opaque;
	unsigned int i;

	for (i = 0; i < TIMERS_MAX; i++) {
		if (u->timers[i].user)
			continue;
		u->timers[i] = (struct timer) { u, id, cb_opaque, INT64_MAX };
		return &u->timers[i];
	}
	return NULL;
}

static void timer_free(void *timer, void *opaque)
{
	(void)opaque;
	if (timer)
		((struct timer *)timer)->user = NULL;
}

static void timer_mod(void *timer, int64_t expires, void *opaque)
{
	(void)opaque;
	if (timer)
		((struct timer *)timer)->expires = expires;
}

/* Descriptors are asked for at each turn, and whatever is to be seen to is seen to then. */
static void ignore_fd(int fd, void *opaque)
{
	(void)fd;
	(void)opaque;
}

static void ignore(void *opaque)
{
	(void)opaque;
}

static const SlirpCb callbacks = {
	.send_packet = to_guest,
	.guest_error = guest_error,
	.clock_get_ns = clock_ns,
	.timer_new_opaque = timer_new,
	.timer_free = timer_free,
	.timer_mod = timer_mod,
	.register_poll_fd = ignore_fd,
	.unregister_poll_fd = ignore_fd,
	.notify = ignore,
};

/* ---- the loop -------------------------------------------------------------------------------- */

static const struct { int slirp, poll; } events[] = {
	{ SLIRP_POLL_IN, POLLIN }, { SLIRP_POLL_OUT, POLLOUT }, { SLIRP_POLL_PRI, POLLPRI },
	{ SLIRP_POLL_ERR, POLLERR }, { SLIRP_POLL_HUP, POLLHUP },
};

#define EVENTS	(sizeof(events) / sizeof(events[0]))

static int add_fd(int fd, int wanted, void *opaque)
{
	struct user *u = opaque;
	size_t i;

	if (u->nr == u->room)
		return -1;		/* its turn comes when others are done */
	u->fds[u->nr] = (struct pollfd) { .fd = fd };
	for (i = 0; i < EVENTS; i++)
		if (wanted & events[i].slirp)
			u->fds[u->nr].events |= events[i].poll;
	return u->nr++;
}

static int what_came(int index, void *opaque)
{
	struct user *u = opaque;
	int came = 0;
	size_t i;

	for (i = 0; index >= 0 && i < EVENTS; i++)
		if (u->fds[index].revents & events[i].poll)
			came |= events[i].slirp;
	return came;
}

static int prepare(void *opaque, struct pollfd *fds, int room, int *timeout)
{
	struct user *u = opaque;
	uint32_t ms = *timeout < 0 ? UINT32_MAX : (uint32_t)*timeout;
	int64_t now = clock_ns(NULL) / 1000000;
	unsigned int i;

	pthread_mutex_lock(u->net.port->lock);
	u->fds = fds;
	u->room = room;
	u->nr = 0;
	slirp_pollfds_fill(u->slirp, &ms, add_fd, u);
	for (i = 0; i < TIMERS_MAX; i++)
		if (u->timers[i].user && u->timers[i].expires - now < ms)
			ms = u->timers[i].expires > now ? u->timers[i].expires - now : 0;
	pthread_mutex_unlock(u->net.port->lock);
	*timeout = ms > INT32_MAX ? -1 : (int)ms;
	return u->nr;
}

static void dispatch(void *opaque, struct pollfd *fds, int nr)
{
	struct user *u = opaque;
	int64_t now = clock_ns(NULL) / 1000000;
	unsigned int i;

	pthread_mutex_lock(u->net.port->lock);
	u->fds = fds;
	u->nr = nr;
	slirp_pollfds_poll(u->slirp, 0, what_came, u);
	for (i = 0; i < TIMERS_MAX; i++) {
		struct timer *t = &u->timers[i];

		if (!t->user || t->expires > now)
			continue;
		t->expires = INT64_MAX;
		slirp_handle_timer(u->slirp, t->id, t->opaque);
	}
	pthread_mutex_unlock(u->net.port->lock);
}

/* ---- the network ----------------------------------------------------------------------------- */

/*
 * A part of an IPv4 datagram: libslirp 4.7 puts them together wrongly when they overlap, and writes
 * where the guest likes. Those that don't fit into a frame are rare enough to do without.
 */
static bool is_fragment(const uint8_t *frame, size_t len)
{
	return len >= 22 && frame[12] == 0x08 && frame[13] == 0x00 &&
	       ((frame[20] & 0x3f) || frame[21]);
}

static void user_send(struct net *n, const struct iovec *iov, unsigned int nr, size_t len)
{
	struct user *u = (struct user *)n;
	uint8_t frame[NET_HEADER + FRAME_MAX];
	size_t at = 0;

	if (len <= NET_HEADER || len > sizeof(frame)) {
		u->dropped++;
		return;
	}
	for (; nr; nr--, iov++) {
		memcpy(frame + at, iov->iov_base, iov->iov_len);
		at += iov->iov_len;
	}
	if (is_fragment(frame + NET_HEADER, len - NET_HEADER)) {
		u->dropped++;
		return;
	}
	u->sent++;
	slirp_input(u->slirp, frame + NET_HEADER, len - NET_HEADER);
}

static void user_info(struct net *n, FILE *out)
{
	struct user *u = (struct user *)n;

	fprintf(out, "        on the user network: %lu frames sent, %lu received, %lu refused\n",
		u->sent, u->received, u->dropped);
}

static void user_destroy(struct net *n)
{
	struct user *u = (struct user *)n;

	loop_remove_poller(u->loop, &u->poller);
	if (u->slirp)
		slirp_cleanup(u->slirp);
	free(u);
}

static int forward(Slirp *s, const struct net_forward *f, struct error *err)
{
	struct in_addr host = { f->host }, guest = { f->guest };
	char name[INET_ADDRSTRLEN];

	if (!slirp_add_hostfwd(s, f->udp, host, f->host_port, guest, f->guest_port))
		return 0;
	return failed(err, "--net user: port %u of %s can't be had: %s", f->host_port,
		      inet_ntop(AF_INET, &host, name, sizeof(name)), strerror(errno));
}

static int start(struct user *u, const struct net_options *o, struct error *err)
{
	SlirpConfig c = {
		.version = 4,
		.in_enabled = true,
		.vnetwork.s_addr = htonl(0x0a000200),
		.vnetmask.s_addr = htonl(0xffffff00),
		.vhost.s_addr = htonl(0x0a000202),
		.vdhcp_start.s_addr = htonl(0x0a00020f),
		.vnameserver.s_addr = htonl(0x0a000203),
		.in6_enabled = true,
		.vprefix_len = 64,
		.disable_host_loopback = o->no_host,
	};
	unsigned int i;

	inet_pton(AF_INET6, "fec0::", &c.vprefix_addr6);
	inet_pton(AF_INET6, "fec0::2", &c.vhost6);
	inet_pton(AF_INET6, "fec0::3", &c.vnameserver6);
	g_log_set_default_handler(say_nothing, NULL);
	u->slirp = slirp_new(&c, &callbacks, u);
	if (!u->slirp)
		return failed(err, "--net user: libslirp doesn't start");
	for (i = 0; i < o->nr_forwards; i++)
		if (forward(u->slirp, &o->forwards[i], err))
			return -1;
	return 0;
}

static const struct net_class user_class = {
	.send = user_send,
	.info = user_info,
	.destroy = user_destroy,
};

struct net *net_user_create(const struct net_options *o, struct net_port *port, struct loop *loop,
			    struct error *err)
{
	struct user *u = calloc(1, sizeof(*u));

	if (!u) {
		failed(err, "--net user: no memory");
		return NULL;
	}
	u->net = (struct net) { .class = &user_class, .port = port };
	u->loop = loop;
	u->poller = (struct loop_poller) { prepare, dispatch, u };
	if (loop_add_poller(loop, &u->poller, err) || start(u, o, err)) {
		user_destroy(&u->net);
		return NULL;
	}
	return &u->net;
}
#else
struct net *net_user_create(const struct net_options *o, struct net_port *port, struct loop *loop,
			    struct error *err)
{
	(void)o;
	(void)port;
	(void)loop;
	failed(err, "--net user: this vmrun was built without libslirp");
	return NULL;
}
#endif
