/* SPDX-License-Identifier: GPL-2.0 */
/*
 * virtio 1.2 devices on the PCI bus, by the modern interface only. virtio.c has the registers,
 * virtq.c the queues, split and packed.
 *
 * A device is a file in devices/ with a struct that begins with struct virtio_device, a constant
 * struct virtio_class, and a DEVICE() whose create() calls virtio_create(). rng.c is the shortest:
 *
 *	static void notify(struct virtio_device *v, struct virtq *q)
 *	{
 *		struct virtq_chain c;
 *
 *		while (virtq_pop(q, &c))			the guest's buffers, checked
 *			virtq_push(q, &c, fill(c.iov + c.nr_out, c.nr_in));
 *		virtq_flush(q);					shows them, and interrupts
 *	}
 *
 * Callbacks come with v->lock held: notify() on the loop's thread, the others on a vCPU's. What
 * else a device does on its own, on whichever thread, it does under that lock, too.
 * The lock comes before those of interrupts (pci.h), and must not be held while the bus's is taken.
 *
 * A chain that was popped is the device's until it is pushed, for as long as it likes and in any
 * order, but not beyond reset(): when that returns, guest memory is not touched any more, and
 * chains from before are forgotten. Pushing to a queue that isn't live does nothing.
 *
 * What the guest writes is hostile. virtq_pop() hands out only buffers inside of guest memory, in
 * bounded number, but their content changes while one looks: copy, then check. A guest that breaks
 * the rules of a device is told by virtio_fail(): nothing is served until it resets the device.
 */
#ifndef VMRUN_VIRTIO_H
#define VMRUN_VIRTIO_H

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "device.h"
#include "memory.h"
#include "pci.h"

#define VIRTQ_MAX		256	/* descriptors in a queue, and buffers in a chain */
#define VIRTIO_QUEUES_MAX	(PCI_MSIX_MAX - 1)

#define VIRTIO_FEATURE(bit)	(1ULL << (bit))

struct virtio_device;
struct virtq;

struct virtio_class {
	const char *name;
	unsigned int id;		/* VIRTIO_ID_* */
	uint32_t pci_class;		/* as in 0x010000 */
	/* The guest has made buffers available, or may have. */
	void (*notify)(struct virtio_device *v, struct virtq *q);
	/* May be NULL: the driver is there (DRIVER_OK), v->accepted are the features it knows. */
	void (*ready)(struct virtio_device *v);
	/* May be NULL where no chain is kept. */
	void (*reset)(struct virtio_device *v);
	/* May be NULL: nothing in the configuration can be written. The device copies what it takes. */
	void (*configure)(struct virtio_device *v, unsigned int offset, const void *data,
			  unsigned int len);
	/* May be NULL: a queue has another vector, or messages aren't used any more. */
	void (*rewired)(struct virtio_device *v);
};

struct virtq {
	struct virtio_device *device;
	unsigned int index;
	int kick_fd;			/* readable: the guest has notified */
	atomic_bool outside;		/* somebody else serves it, and reads kick_fd (vhost.c) */

	/* From here on a reset clears it. As the driver set it: */
	uint16_t size, vector;
	bool enabled;
	uint64_t desc, driver, device_area;

	/* While enabled: the same in vmrun's memory, and where we are */
	void *at_desc, *at_driver, *at_device;
	uint16_t next_avail, next_used, signalled;
	bool avail_wrap, used_wrap;	/* packed */
	bool quiet;			/* the driver was told not to notify */
	uint16_t budget;		/* chains that may be popped before others have their turn */
	uint16_t in_use;		/* slots that were popped and not pushed */
	uint16_t pending;		/* packed: slots that were pushed, but not shown */
};

struct virtio_device {
	struct pci_function function;	/* first */
	const struct virtio_class *class;
	const struct guest_mem *mem;
	struct doorbells *doorbells;
	pthread_mutex_t lock;

	/* The device's: what it offers, and its configuration as the guest reads it (may be NULL). */
	uint64_t features;
	uint64_t withheld;		/* what isn't offered of what virtq.c can */
	const void *config;
	unsigned int config_size;

	uint64_t accepted;		/* features */
	uint8_t status, isr, generation;
	uint32_t feature_select, accept_select;
	uint16_t queue_select, config_vector;
	uint8_t config_window;		/* offset of the capability VIRTIO_PCI_CAP_PCI_CFG */
	const char *failure;		/* why it needs a reset */
	bool restored;			/* from a snapshot, and not served since */

	unsigned int nr_queues;
	struct virtq *queues;
};

/* ---- virtio.c -------------------------------------------------------------------------------- */

/**
 * virtio_create() - set up what is common to all devices, and plug it in
 * @v: zeroed, but for features, config and config_size
 *
 * Return: 0, or -1 with @err filled in, after which there is nothing to destroy.
 */
int virtio_create(struct virtio_device *v, const struct virtio_class *class,
		  unsigned int nr_queues, const struct device_env *env, struct error *err);
/* When neither vCPUs nor the loop run any more. */
void virtio_destroy(struct virtio_device *v);

/* The configuration has changed: tell the driver. */
void virtio_config_changed(struct virtio_device *v);
/* The driver broke the rules: it is to reset the device. why: for people. */
void virtio_fail(struct virtio_device *v, const char *why);
static inline bool virtio_accepted(const struct virtio_device *v, unsigned int feature)
{
	return v->accepted >> feature & 1;
}

/* For virtq.c: an interrupt to the driver, and a notification as if it came from the driver. */
void virtio_interrupt_queue(struct virtq *q);
void virtio_kick(struct virtq *q);
void virtio_info(struct virtio_device *v, FILE *out);

/*
 * All but the device's own, which comes after it. When saving, no chain is kept but what is told by
 * its id: the others are pushed, or put back.
 */
void virtio_fields(struct virtio_device *v, struct fields *f);

/* ---- virtq.c --------------------------------------------------------------------------------- */

/* Buffers of the guest: first those that it wrote ("out"), then those that it reads ("in"). */
struct virtq_chain {
	uint16_t id;
	uint16_t slots;
	unsigned int nr_out, nr_in;
	size_t out_len, in_len;
	struct iovec iov[VIRTQ_MAX];
};

/*
 * Take the next chain. Return: false when there is none, or the queue isn't live, or other devices
 * are to have their turn: then notify() comes again.
 */
bool virtq_pop(struct virtq *q, struct virtq_chain *c);
/* Put the one back that was popped last, as if it hadn't been. */
void virtq_unpop(struct virtq *q, const struct virtq_chain *c);
/* Give a chain back, with so many bytes in its first "in" buffers; a flush shows it. */
void virtq_push(struct virtq *q, const struct virtq_chain *c, uint32_t written);
/* What a chain that is kept for longer needs for virtq_push_id() is its id and slots. */
void virtq_push_id(struct virtq *q, uint16_t id, uint16_t slots, uint32_t written);
/* Show all that was pushed at once, and interrupt if the driver wants that. */
void virtq_flush(struct virtq *q);
/* The driver is there, and the queue is one that it uses, and ours to serve. */
bool virtq_live(const struct virtq *q);

/* Copy from "out" buffers, or to "in" buffers. Return: bytes, less than len at their end. */
size_t virtq_read(const struct virtq_chain *c, size_t offset, void *buf, size_t len);
size_t virtq_write(const struct virtq_chain *c, size_t offset, const void *buf, size_t len);

/*
 * Split queues of which no chain is kept can be served by somebody else. virtq_lend(): from now on.
 * Return: the index of the first chain that isn't taken. virtq_take_back(): with that index.
 */
uint16_t virtq_lend(struct virtq *q);
void virtq_take_back(struct virtq *q, uint16_t next_avail);

/* For virtio.c: the driver enables the queue. Return: what is wrong with its rings, or NULL. */
const char *virtq_enable(struct virtq *q);
void virtq_fields(struct virtq *q, struct fields *f);

#endif
