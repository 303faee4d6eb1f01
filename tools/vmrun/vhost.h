/* SPDX-License-Identifier: GPL-2.0 */
/*
 * vhost-net: the host's kernel serves the queues of a network card on a tap, and vmrun sees neither
 * notifications nor frames. The kernel checks rings and buffers against the memory it was told of.
 * It takes split rings of drivers with MSI-X; the others are served by vmrun itself.
 */
#ifndef VMRUN_VHOST_H
#define VMRUN_VHOST_H

#include "error.h"
#include "loop.h"
#include "virtio.h"

#define VHOST_NODE	"/dev/vhost-net"

struct vhost {
	int fd;				/* -1: there is none */
	int error_fd;			/* readable: the kernel refuses a queue */
	uint64_t features;		/* of the card's, those that the kernel has to know of */
	bool owned, running;
	struct virtio_device *v;
	struct loop *loop;
};

/* Before the sandbox. Return: 0, or -1 with err filled in and h->fd = -1. */
int vhost_open(struct vhost *h, struct virtio_device *v, struct loop *loop, struct error *err);
void vhost_close(struct vhost *h);

/*
 * Both with the device's lock held. vhost_start(): the driver is ready; the kernel serves all queues,
 * if it can. When vhost_stop() returns, it touches guest memory no more, and vmrun serves them.
 */
void vhost_start(struct vhost *h, int tap);
void vhost_stop(struct vhost *h);

#endif
