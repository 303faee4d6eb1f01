// SPDX-License-Identifier: GPL-2.0
/* A tap: frames go to a network interface of the host's, unsegmented where the guest can do so. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "net.h"

#define AT_ONCE		64		/* frames, then others have their turn */

#define BIT(feature)	(1ULL << (feature))

struct tap {
	struct net net;			/* first */
	struct loop *loop;
	int fd;
	char name[IFNAMSIZ];
	unsigned long dropped;		/* the host didn't take them */
	uint8_t frame[NET_FRAME_MAX];
};

static void tap_send(struct net *n, const struct iovec *iov, unsigned int nr, size_t len)
{
	struct tap *t = (struct tap *)n;

	/* A header that makes no sense is the kernel's to refuse: the frame is lost. */
	if (len > NET_FRAME_MAX || writev(t->fd, iov, nr) < 0)
		t->dropped++;
}

static void tap_accepted(struct net *n, uint64_t features)
{
	static const struct { unsigned int feature, offload; } table[] = {
		{ VIRTIO_NET_F_GUEST_CSUM, TUN_F_CSUM }, { VIRTIO_NET_F_GUEST_TSO4, TUN_F_TSO4 },
		{ VIRTIO_NET_F_GUEST_TSO6, TUN_F_TSO6 }, { VIRTIO_NET_F_GUEST_ECN, TUN_F_TSO_ECN },
	};
	struct tap *t = (struct tap *)n;
	unsigned int offload = 0;
	size_t i;

	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (features & BIT(table[i].feature))
			offload |= table[i].offload;
	/* A driver that wants segments without checksums gets neither. */
	if (ioctl(t->fd, TUNSETOFFLOAD, offload))
		ioctl(t->fd, TUNSETOFFLOAD, 0);
}

static bool tap_want(void *opaque)
{
	struct tap *t = opaque;
	bool full;

	pthread_mutex_lock(t->net.port->lock);
	full = t->net.port->is_full(t->net.port);
	pthread_mutex_unlock(t->net.port->lock);
	return !full;
}

static void tap_ready(void *opaque)
{
	struct tap *t = opaque;
	struct net_port *p = t->net.port;
	unsigned int i;
	ssize_t n;

	pthread_mutex_lock(p->lock);
	for (i = 0; i < AT_ONCE && !p->is_full(p); i++) {
		n = read(t->fd, t->frame, sizeof(t->frame));
		if (n < 0 && errno == EBADFD)	/* the interface was deleted */
			loop_remove(t->loop, t->fd);
		if (n <= 0)
			break;
		if ((size_t)n > NET_HEADER)
			p->receive(p, t->frame, n);
	}
	pthread_mutex_unlock(p->lock);
}

static void tap_info(struct net *n, FILE *out)
{
	struct tap *t = (struct tap *)n;

	fprintf(out, "        on tap %s, %lu frames refused by the host\n", t->name, t->dropped);
}

static void tap_destroy(struct net *n)
{
	struct tap *t = (struct tap *)n;

	loop_remove(t->loop, t->fd);
	close(t->fd);
	free(t);
}

static const struct net_class tap_class = {
	.send = tap_send,
	.accepted = tap_accepted,
	.info = tap_info,
	.destroy = tap_destroy,
};

struct net *net_tap_from(int fd, const char *name, struct net_port *port, struct loop *loop,
			 struct error *err)
{
	struct tap *t = calloc(1, sizeof(*t));

	if (!t) {
		failed(err, "tap: no memory");
		return NULL;
	}
	t->net = (struct net) {
		.class = &tap_class, .port = port,
		.features = BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_GUEST_CSUM) |
			    BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6) |
			    BIT(VIRTIO_NET_F_HOST_ECN) | BIT(VIRTIO_NET_F_GUEST_TSO4) |
			    BIT(VIRTIO_NET_F_GUEST_TSO6) | BIT(VIRTIO_NET_F_GUEST_ECN),
	};
	t->fd = fd;
	t->loop = loop;
	snprintf(t->name, sizeof(t->name), "%s", name);
	if (loop_add(loop, fd, tap_want, tap_ready, t, err)) {
		free(t);
		return NULL;
	}
	return &t->net;
}

/* Return: a descriptor, with the interface's name in r, or -1. */
static int open_tap(struct ifreq *r, struct error *err)
{
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK), size = NET_HEADER;
	const char *name = r->ifr_name[0] ? strdupa(r->ifr_name) : "a new one";

	if (fd < 0)
		return failed(err, "--net tap: /dev/net/tun: %s", strerror(errno));
	r->ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	if (ioctl(fd, TUNSETIFF, r))
		failed(err, "--net tap: %s: %s%s", name, strerror(errno),
		       errno == EPERM ? "; as root: ip tuntap add NAME mode tap user USER" :
		       errno == EBUSY ? ": in use by another program" : "");
	else if (ioctl(fd, TUNSETVNETHDRSZ, &size) || ioctl(fd, TUNSETOFFLOAD, 0))
		failed(err, "--net tap: %s: %s", name, strerror(errno));
	else
		return fd;
	close(fd);
	return -1;
}

struct net *net_tap_create(const struct net_options *o, struct net_port *port, struct loop *loop,
			   struct error *err)
{
	struct ifreq r = { };
	struct net *n;
	int fd;

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", o->ifname ? o->ifname : "");
	fd = open_tap(&r, err);
	if (fd < 0)
		return NULL;
	n = net_tap_from(fd, r.ifr_name, port, loop, err);
	if (n)
		n->tap = fd;
	else
		close(fd);
	return n;
}
