/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A virtio driver in software, for the tests of devices: it finds one on the fake machine's PCI
 * bus, sets it up by its registers, and has queues, split or packed, in the fake memory.
 */
#ifndef VMRUN_DRIVER_H
#define VMRUN_DRIVER_H

#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>

#include "vmrun_env.h"

/* Where things are in the fake memory and on the bus. */
#define QUEUE_AT(q)	(0x10000U + (q) * 0x4000U)
#define DRIVER_AT(q)	(QUEUE_AT(q) + 0x1000)
#define DEVICE_AT(q)	(QUEUE_AT(q) + 0x2000)
#define INDIRECT_AT(q)	(QUEUE_AT(q) + 0x3000)
#define BUFFERS_AT	0x40000U
#define REGISTERS_AT	0xe1000000U
#define MSIX_AT		0xe1010000U
#define DRIVER_QUEUES	8

#define COMMON		0x0000
#define ISR		0x1000
#define CONFIG		0x2000
#define NOTIFY		0x3000

#define SPLIT		(1ULL << VIRTIO_F_VERSION_1)
#define PACKED		(SPLIT | 1ULL << VIRTIO_F_RING_PACKED)
#define EVENTS		(1ULL << VIRTIO_RING_F_EVENT_IDX)
#define INDIRECT	(1ULL << VIRTIO_RING_F_INDIRECT_DESC)
#define STARTED		(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | \
			 VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK)

struct buffer {
	uint64_t addr;
	uint32_t len;
	bool in;
};

struct driver_queue {
	unsigned int size, free, last_used;	/* split: the next descriptor; packed: slot */
	bool wrap, used_wrap;
	unsigned int slots[256];	/* packed: of the chain with that ID */
};

struct driver {
	struct fake *f;
	unsigned int devfn;
	uint64_t features;
	struct driver_queue queues[DRIVER_QUEUES];
};

static inline uint32_t pci_get(struct fake *f, unsigned int devfn, unsigned int reg)
{
	outl(f, 0xcf8, 0x80000000U | devfn << 8 | reg);
	return inl(f, 0xcfc);
}

static inline void pci_put(struct fake *f, unsigned int devfn, unsigned int reg, uint32_t value)
{
	outl(f, 0xcf8, 0x80000000U | devfn << 8 | reg);
	outl(f, 0xcfc, value);
}

static inline uint64_t mmio_get(struct fake *f, uint64_t addr, unsigned int len)
{
	uint64_t value = 0;

	bus_do(&f->mmio, addr, (uint8_t *)&value, len, false);
	return value;
}

static inline void mmio_put(struct fake *f, uint64_t addr, unsigned int len, uint64_t value)
{
	bus_do(&f->mmio, addr, (uint8_t *)&value, len, true);
}

static inline uint64_t reg_get(struct driver *d, unsigned int reg, unsigned int len)
{
	return mmio_get(d->f, REGISTERS_AT + reg, len);
}

static inline void reg_put(struct driver *d, unsigned int reg, unsigned int len, uint64_t value)
{
	mmio_put(d->f, REGISTERS_AT + reg, len, value);
}

static inline uint8_t status(struct driver *d)
{
	return reg_get(d, VIRTIO_PCI_COMMON_STATUS, 1);
}

/* Its BARs come to where the driver looks for them. */
static inline void driver_place(struct driver *d)
{
	pci_put(d->f, d->devfn, PCI_BASE_ADDRESS_0, REGISTERS_AT);
	pci_put(d->f, d->devfn, PCI_BASE_ADDRESS_1, MSIX_AT);
	pci_put(d->f, d->devfn, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

/* The nth device of a kind. */
static inline void driver_find(struct driver *d, struct fake *f, unsigned int id, unsigned int nth)
{
	memset(d, 0, sizeof(*d));
	d->f = f;
	for (d->devfn = 0; d->devfn < 256; d->devfn++)
		if (pci_get(f, d->devfn, 0) == ((0x1040U + id) << 16 | 0x1af4) && !nth--)
			break;
	assert_true(d->devfn < 256);
	driver_place(d);
}

static inline uint64_t driver_offered(struct driver *d)
{
	uint64_t features;

	reg_put(d, VIRTIO_PCI_COMMON_DFSELECT, 4, 1);
	features = reg_get(d, VIRTIO_PCI_COMMON_DF, 4) << 32;
	reg_put(d, VIRTIO_PCI_COMMON_DFSELECT, 4, 0);
	return features | reg_get(d, VIRTIO_PCI_COMMON_DF, 4);
}

static inline void driver_negotiate(struct driver *d, uint64_t features)
{
	reg_put(d, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	assert_int_equal(status(d), 0);
	reg_put(d, VIRTIO_PCI_COMMON_STATUS, 1, STARTED & 3);
	d->features = features;
	reg_put(d, VIRTIO_PCI_COMMON_GFSELECT, 4, 0);
	reg_put(d, VIRTIO_PCI_COMMON_GF, 4, features);
	reg_put(d, VIRTIO_PCI_COMMON_GFSELECT, 4, 1);
	reg_put(d, VIRTIO_PCI_COMMON_GF, 4, features >> 32);
	reg_put(d, VIRTIO_PCI_COMMON_STATUS, 1, STARTED & 11);
}

static inline void driver_set_queue(struct driver *d, unsigned int q, unsigned int size)
{
	memset(mem_at(&d->f->mem, QUEUE_AT(q), 0x4000), 0, 0x4000);
	d->queues[q] = (struct driver_queue) { .size = size, .wrap = true, .used_wrap = true };
	reg_put(d, VIRTIO_PCI_COMMON_Q_SELECT, 2, q);
	reg_put(d, VIRTIO_PCI_COMMON_Q_SIZE, 2, size);
	reg_put(d, VIRTIO_PCI_COMMON_Q_DESCLO, 4, QUEUE_AT(q));
	reg_put(d, VIRTIO_PCI_COMMON_Q_DESCHI, 4, 0);
	reg_put(d, VIRTIO_PCI_COMMON_Q_AVAILLO, 4, DRIVER_AT(q));
	reg_put(d, VIRTIO_PCI_COMMON_Q_AVAILHI, 4, 0);
	reg_put(d, VIRTIO_PCI_COMMON_Q_USEDLO, 4, DEVICE_AT(q));
	reg_put(d, VIRTIO_PCI_COMMON_Q_USEDHI, 4, 0);
	reg_put(d, VIRTIO_PCI_COMMON_Q_MSIX, 2, q + 1);
	reg_put(d, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
}

/* All of it, with queues of that many descriptors. */
static inline void driver_set_up(struct driver *d, uint64_t features, unsigned int size)
{
	unsigned int q;

	driver_negotiate(d, features);
	for (q = 0; q < reg_get(d, VIRTIO_PCI_COMMON_NUMQ, 2); q++)
		driver_set_queue(d, q, size);
	reg_put(d, VIRTIO_PCI_COMMON_MSIX, 2, 0);
	reg_put(d, VIRTIO_PCI_COMMON_STATUS, 1, STARTED);
}

static inline void driver_start(struct driver *d, uint64_t features, unsigned int size)
{
	driver_set_up(d, features, size);
	assert_int_equal(status(d), STARTED);
}

static inline unsigned int driver_msix_capability(struct driver *d)
{
	unsigned int cap = pci_get(d->f, d->devfn, PCI_CAPABILITY_LIST) & 0xff;

	while ((pci_get(d->f, d->devfn, cap) & 0xff) != PCI_CAP_ID_MSIX)
		cap = pci_get(d->f, d->devfn, cap) >> 8 & 0xff;
	return cap;
}

/* Message control. */
static inline void driver_control_msix(struct driver *d, uint16_t flags)
{
	pci_put(d->f, d->devfn, driver_msix_capability(d), (uint32_t)flags << 16);
}

/* Messages instead of INTx: vector v writes v to address 0xfee00000. */
static inline void driver_use_msix(struct driver *d)
{
	unsigned int cap = driver_msix_capability(d), v, nr;

	nr = (pci_get(d->f, d->devfn, cap) >> 16 & PCI_MSIX_FLAGS_QSIZE) + 1;
	for (v = 0; v < nr; v++) {
		mmio_put(d->f, MSIX_AT + 16 * v, 8, 0xfee00000);
		mmio_put(d->f, MSIX_AT + 16 * v + 8, 8, v);
	}
	driver_control_msix(d, PCI_MSIX_FLAGS_ENABLE);
}

static inline struct vring_desc *split_desc(struct driver *d, unsigned int q, unsigned int i)
{
	return (struct vring_desc *)mem_at(&d->f->mem, QUEUE_AT(q), 4096) + i;
}

static inline struct vring_packed_desc *packed_desc(struct driver *d, unsigned int q,
						    unsigned int i)
{
	return (struct vring_packed_desc *)mem_at(&d->f->mem, QUEUE_AT(q), 4096) + i;
}

static inline uint16_t *word_at(struct driver *d, uint64_t addr)
{
	return mem_at(&d->f->mem, addr, 2);
}

static inline uint16_t *avail_index(struct driver *d, unsigned int q)
{
	return word_at(d, DRIVER_AT(q) + 2);
}

/* Descriptors from a ring's next free one on, which isn't looked after any further. */
static inline unsigned int split_add(struct driver *d, unsigned int q, const struct buffer *b,
				     unsigned int n)
{
	struct driver_queue *dq = &d->queues[q];
	unsigned int head = dq->free, i;

	for (i = 0; i < n; i++) {
		*split_desc(d, q, dq->free) = (struct vring_desc) {
			b[i].addr, b[i].len, (b[i].in ? VRING_DESC_F_WRITE : 0) |
			(i + 1 < n ? VRING_DESC_F_NEXT : 0), (dq->free + 1) % dq->size,
		};
		dq->free = (dq->free + 1) % dq->size;
	}
	*word_at(d, DRIVER_AT(q) + 4 + 2 * (*avail_index(d, q) % dq->size)) = head;
	__atomic_fetch_add(avail_index(d, q), 1, __ATOMIC_RELEASE);
	return head;
}

static inline uint16_t packed_flags(bool wrap)
{
	return wrap ? 1 << VRING_PACKED_DESC_F_AVAIL : 1 << VRING_PACKED_DESC_F_USED;
}

static inline unsigned int packed_add(struct driver *d, unsigned int q, const struct buffer *b,
				      unsigned int n)
{
	struct driver_queue *dq = &d->queues[q];
	unsigned int head = dq->free, i;
	uint16_t head_flags = 0;

	dq->slots[head] = n;
	for (i = 0; i < n; i++) {
		struct vring_packed_desc *p = packed_desc(d, q, dq->free);
		uint16_t flags = packed_flags(dq->wrap) | (b[i].in ? VRING_DESC_F_WRITE : 0) |
				 (i + 1 < n ? VRING_DESC_F_NEXT : 0);

		p->addr = b[i].addr;
		p->len = b[i].len;
		p->id = head;
		if (i)
			p->flags = flags;
		else
			head_flags = flags;
		if (++dq->free == dq->size) {
			dq->free = 0;
			dq->wrap = !dq->wrap;
		}
	}
	__atomic_store_n(&packed_desc(d, q, head)->flags, head_flags, __ATOMIC_RELEASE);
	return head;
}

/* Return: what the device gives back the chain by. */
static inline unsigned int driver_add(struct driver *d, unsigned int q, const struct buffer *b,
				      unsigned int n)
{
	return d->features & 1ULL << VIRTIO_F_RING_PACKED ? packed_add(d, q, b, n) :
	       split_add(d, q, b, n);
}

/* The same by one descriptor that leads to a table. */
static inline unsigned int driver_add_indirect(struct driver *d, unsigned int q,
					       const struct buffer *b, unsigned int n)
{
	struct buffer table = { INDIRECT_AT(q), 16 * n, false };
	bool packed = d->features & 1ULL << VIRTIO_F_RING_PACKED;
	struct vring_desc *t = mem_at(&d->f->mem, table.addr, table.len);
	unsigned int at = d->queues[q].free, i;

	for (i = 0; i < n; i++) {
		uint16_t flags = (b[i].in ? VRING_DESC_F_WRITE : 0) |
				 (!packed && i + 1 < n ? VRING_DESC_F_NEXT : 0);

		t[i] = (struct vring_desc) {
			b[i].addr, b[i].len, packed ? 0 : flags, packed ? flags : i + 1,
		};
	}
	i = driver_add(d, q, &table, 1);
	if (packed)
		packed_desc(d, q, at)->flags |= VRING_DESC_F_INDIRECT;
	else
		split_desc(d, q, at)->flags |= VRING_DESC_F_INDIRECT;
	return i;
}

/* Return: false when nothing has been given back. */
static inline bool driver_used(struct driver *d, unsigned int q, unsigned int *id, uint32_t *len)
{
	struct driver_queue *dq = &d->queues[q];
	struct vring_used_elem *e;
	struct vring_packed_desc *p;
	uint16_t flags;

	if (d->features & 1ULL << VIRTIO_F_RING_PACKED) {
		p = packed_desc(d, q, dq->last_used);
		flags = __atomic_load_n(&p->flags, __ATOMIC_ACQUIRE);
		if (!!(flags & 1 << VRING_PACKED_DESC_F_AVAIL) != dq->used_wrap ||
		    !!(flags & 1 << VRING_PACKED_DESC_F_USED) != dq->used_wrap)
			return false;
		*id = p->id;
		*len = p->len;
		dq->last_used += dq->slots[p->id % 256];
		if (dq->last_used >= dq->size) {
			dq->last_used -= dq->size;
			dq->used_wrap = !dq->used_wrap;
		}
		return true;
	}
	if (__atomic_load_n(word_at(d, DEVICE_AT(q) + 2), __ATOMIC_ACQUIRE) ==
	    (uint16_t)dq->last_used)
		return false;
	e = mem_at(&d->f->mem, DEVICE_AT(q) + 4 + 8 * (dq->last_used++ % dq->size), 8);
	*id = e->id;
	*len = e->len;
	return true;
}

static inline void driver_kick(struct driver *d, unsigned int q)
{
	reg_put(d, NOTIFY + 4 * q, 2, q);
	fake_serve(d->f);
}

/* A request to its end. Return: how much the device says that it wrote. */
static inline uint32_t driver_do(struct driver *d, unsigned int q, const struct buffer *b,
				 unsigned int n)
{
	unsigned int id, got;
	uint32_t len;

	id = driver_add(d, q, b, n);
	driver_kick(d, q);
	while (!driver_used(d, q, &got, &len)) {
		struct error err;

		assert_int_equal(loop_once(&d->f->loop, 10000, &err), 0);
	}
	assert_int_equal(got, id);
	return len;
}

#endif
