// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <linux/virtio_net.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vhost.h"

#define NEEDED	(VIRTIO_FEATURE(VIRTIO_F_VERSION_1) | VIRTIO_FEATURE(VIRTIO_RING_F_INDIRECT_DESC) | \
		 VIRTIO_FEATURE(VIRTIO_RING_F_EVENT_IDX) | VIRTIO_FEATURE(VIRTIO_NET_F_MRG_RXBUF))

static int set_file(struct vhost *h, unsigned long request, unsigned int queue, int fd)
{
	struct vhost_vring_file f = { queue, fd };

	return ioctl(h->fd, request, &f);
}

static int set_memory(struct vhost *h)
{
	const struct guest_mem *mem = h->v->mem;
	struct {
		struct vhost_memory head;
		struct vhost_memory_region regions[2];
	} table = {
		.head.nregions = mem->high_size ? 2 : 1,
		.regions = {
			{ 0, mem->low_size, (uintptr_t)mem->base, 0 },
			{ MEM_HIGH_START, mem->high_size, (uintptr_t)mem->base + mem->low_size, 0 },
		},
	};

	return ioctl(h->fd, VHOST_SET_MEM_TABLE, &table.head);
}

static int give_queue(struct vhost *h, struct virtq *q)
{
	struct vhost_vring_state size = { q->index, q->size }, base = { q->index, q->next_avail };
	struct vhost_vring_addr at = {
		.index = q->index,
		.desc_user_addr = (uintptr_t)q->at_desc,
		.avail_user_addr = (uintptr_t)q->at_driver,
		.used_user_addr = (uintptr_t)q->at_device,
	};
	int call = -1;

	if (q->vector != VIRTIO_MSI_NO_VECTOR) {
		call = pci_msix_eventfd(&h->v->function, q->vector);
		if (call < 0)
			return -1;
	}
	return ioctl(h->fd, VHOST_SET_VRING_NUM, &size) || ioctl(h->fd, VHOST_SET_VRING_BASE, &base) ||
	       ioctl(h->fd, VHOST_SET_VRING_ADDR, &at) ||
	       set_file(h, VHOST_SET_VRING_CALL, q->index, call) ||
	       set_file(h, VHOST_SET_VRING_ERR, q->index, h->error_fd) ||
	       set_file(h, VHOST_SET_VRING_KICK, q->index, q->kick_fd) ? -1 : 0;
}

static bool can_take(const struct virtio_device *v)
{
	unsigned int i;

	for (i = 0; i < v->nr_queues; i++)
		if (!virtq_live(&v->queues[i]) || v->queues[i].in_use)
			return false;
	return !virtio_accepted(v, VIRTIO_F_RING_PACKED) &&
	       pci_msix_enabled((struct pci_function *)&v->function);
}

void vhost_start(struct vhost *h, int tap)
{
	struct virtio_device *v = h->v;
	uint64_t features;
	unsigned int i;
	bool ok;

	if (h->fd < 0 || h->running || !can_take(v))
		return;
	features = v->accepted & h->features;
	ok = h->owned || !ioctl(h->fd, VHOST_SET_OWNER);
	h->owned |= ok;
	ok = ok && !set_memory(h) && !ioctl(h->fd, VHOST_SET_FEATURES, &features);
	h->running = true;
	for (i = 0; i < v->nr_queues; i++)
		virtq_lend(&v->queues[i]);
	for (i = 0; ok && i < v->nr_queues; i++)
		ok = !give_queue(h, &v->queues[i]);
	for (i = 0; ok && i < v->nr_queues; i++)
		ok = !set_file(h, VHOST_NET_SET_BACKEND, i, tap);
	if (!ok) {
		vhost_stop(h);
		return;
	}
	/* What the driver said before is said again. */
	for (i = 0; i < v->nr_queues; i++)
		virtio_kick(&v->queues[i]);
}

void vhost_stop(struct vhost *h)
{
	unsigned int i;

	if (!h->running)
		return;
	h->running = false;
	for (i = 0; i < h->v->nr_queues; i++)
		set_file(h, VHOST_NET_SET_BACKEND, i, VHOST_FILE_UNBIND);
	for (i = 0; i < h->v->nr_queues; i++) {
		struct virtq *q = &h->v->queues[i];
		struct vhost_vring_state base = { .index = i };

		set_file(h, VHOST_SET_VRING_KICK, i, VHOST_FILE_UNBIND);
		set_file(h, VHOST_SET_VRING_CALL, i, VHOST_FILE_UNBIND);
		virtq_take_back(q, ioctl(h->fd, VHOST_GET_VRING_BASE, &base) ? q->next_avail :
				base.num);
	}
	loop_wake(h->loop);
}

/* On the loop's thread: a ring or a buffer that leads out of memory, a chain without end. */
static void refused(void *opaque)
{
	struct vhost *h = opaque;
	uint64_t n;

	if (read(h->error_fd, &n, sizeof(n)) != sizeof(n))
		return;
	pthread_mutex_lock(&h->v->lock);
	if (h->running) {
		vhost_stop(h);
		virtio_fail(h->v, "the host's kernel (vhost) refuses what is in a queue");
	}
	pthread_mutex_unlock(&h->v->lock);
}

static int setup(struct vhost *h, struct error *err)
{
	uint64_t features;

	if (ioctl(h->fd, VHOST_GET_FEATURES, &features))
		return failed(err, VHOST_NODE ": %s", strerror(errno));
	if ((features & NEEDED) != NEEDED)
		return failed(err, VHOST_NODE " lacks features that vmrun's card has");
	h->error_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (h->error_fd < 0)
		return failed(err, "eventfd: %s", strerror(errno));
	return loop_add(h->loop, h->error_fd, NULL, refused, h, err);
}

int vhost_open(struct vhost *h, struct virtio_device *v, struct loop *loop, struct error *err)
{
	*h = (struct vhost) { .error_fd = -1, .features = NEEDED, .v = v, .loop = loop };
	h->fd = open(VHOST_NODE, O_RDWR | O_CLOEXEC);
	if (h->fd < 0)
		return failed(err, VHOST_NODE ": %s", strerror(errno));
	if (setup(h, err)) {
		vhost_close(h);
		return -1;
	}
	v->withheld |= VIRTIO_FEATURE(VIRTIO_F_RING_PACKED);
	return 0;
}

void vhost_close(struct vhost *h)
{
	if (h->error_fd >= 0) {
		loop_remove(h->loop, h->error_fd);
		close(h->error_fd);
	}
	if (h->fd >= 0)
		close(h->fd);
	h->fd = h->error_fd = -1;
}
