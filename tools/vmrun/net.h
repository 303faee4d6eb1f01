/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Networks that a guest's card can be plugged into: the user network (netuser.c) and a tap
 * (nettap.c). devices/net.c is the card.
 *
 * A frame begins with struct virtio_net_hdr_v1 in either direction. All functions are called with
 * the card's lock held, on the loop's thread but for accepted().
 */
#ifndef VMRUN_NET_H
#define VMRUN_NET_H

#include <linux/virtio_net.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/uio.h>

#include "error.h"
#include "loop.h"

#define NET_HEADER	sizeof(struct virtio_net_hdr_v1)
#define NET_FRAME_MAX	(NET_HEADER + 18 + 65535)	/* with segmentation left to the other side */
#define NETS_MAX	4
#define FORWARDS_MAX	16

enum net_kind { NET_USER, NET_TAP };
enum net_vhost { VHOST_IF_THERE, VHOST_ON, VHOST_OFF };

/* A port of the host's that leads to one of the guest's. Addresses in network byte order. */
struct net_forward {
	bool udp;
	uint32_t host, guest;		/* guest 0: the address that DHCP gives it */
	uint16_t host_port, guest_port;
};

struct net;
struct net_port;

struct net_options {
	enum net_kind kind;
	/* Another one in its place: of a test's. */
	struct net *(*create)(const struct net_options *o, struct net_port *port, struct loop *loop,
			      struct error *err);
	const char *ifname;		/* of a tap; NULL: the host chooses */
	enum net_vhost vhost;		/* likewise */
	bool no_host;			/* the user network: not to the host's loopback */
	bool has_mac;
	uint8_t mac[6];
	struct net_forward forwards[FORWARDS_MAX];
	unsigned int nr_forwards;
};

/* netoptions.c: "KIND,KEY=VALUE,…"; text is taken apart. */
int net_parse(struct net_options *o, char *text, struct error *err);

/* The card, as a network sees it. */
struct net_port {
	pthread_mutex_t *lock;
	/* Hand over a frame. It may be dropped. */
	void (*receive)(struct net_port *p, const void *frame, size_t len);
	/* Frames wait already: what can wait should. */
	bool (*is_full)(struct net_port *p);
};

struct net {
	const struct net_class *class;
	struct net_port *port;
	uint64_t features;		/* what the card may offer beside its own */
	int tap;			/* its descriptor, for vhost; 0: it isn't one */
};

struct net_class {
	void (*send)(struct net *n, const struct iovec *iov, unsigned int nr, size_t len);
	/* The driver takes these; 0 after a reset. May be NULL. */
	void (*accepted)(struct net *n, uint64_t features);
	void (*info)(struct net *n, FILE *out);
	void (*destroy)(struct net *n);
};

/* Return: the network, or NULL with err filled in. */
struct net *net_user_create(const struct net_options *o, struct net_port *port, struct loop *loop,
			    struct error *err);
struct net *net_tap_create(const struct net_options *o, struct net_port *port, struct loop *loop,
			   struct error *err);
/* From a descriptor that reads and writes frames whole, which becomes the network's. */
struct net *net_tap_from(int fd, const char *name, struct net_port *port, struct loop *loop,
			 struct error *err);

#endif
