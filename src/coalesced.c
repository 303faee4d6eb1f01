// SPDX-License-Identifier: GPL-2.0
/*
 * REGISTER_COALESCED_MMIO: writes to a zone don't exit, they wait in a ring that the client maps,
 * until it looks there for another reason. With a full ring a write exits as if there were no zone.
 *
 * The ring is the client's to change at any time: its indices are read once and checked.
 */
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "minivmm.h"

#define RING_SIZE	((PAGE_SIZE - sizeof(struct minivmm_coalesced_mmio_ring)) /	\
			 sizeof(struct minivmm_coalesced_mmio))

struct coalesced {
	struct minivmm_coalesced_mmio_ring *ring;	/* a page */
	spinlock_t lock;			/* writers of the ring */
	struct list_head zones;			/* under vm->lock */
};

struct coalesced_zone {
	struct io_device io;
	struct list_head link;
	struct minivmm_coalesced_mmio_zone range;
};

static int zone_write(struct vcpu *vcpu, struct io_device *dev, u64 addr, int len,
		      const void *data)
{
	struct coalesced_zone *zone = container_of(dev, struct coalesced_zone, io);
	struct coalesced *c = vcpu->vm->coalesced;
	struct minivmm_coalesced_mmio *entry;
	int ret = -EOPNOTSUPP;
	u32 last, next;

	spin_lock(&c->lock);
	last = READ_ONCE(c->ring->last);
	next = (last + 1) % RING_SIZE;
	if (last < RING_SIZE && next != READ_ONCE(c->ring->first)) {
		entry = &c->ring->coalesced_mmio[array_index_nospec(last, RING_SIZE)];
		entry->phys_addr = addr;
		entry->len = len;
		memcpy(entry->data, data, min_t(size_t, len, sizeof(entry->data)));
		entry->pio = zone->range.pio;
		smp_wmb();	/* the client sees last, then looks at the entry */
		WRITE_ONCE(c->ring->last, next);
		ret = 0;
	}
	spin_unlock(&c->lock);
	return ret;
}

static int zone_read(struct vcpu *vcpu, struct io_device *dev, u64 addr, int len, void *data)
{
	return -EOPNOTSUPP;
}

/* With the first zone, or when the client maps it: then mmap_lock is held, so vm->lock can't be. */
static struct coalesced *get_coalesced(struct vm *vm)
{
	struct coalesced *c = smp_load_acquire(&vm->coalesced), *other;

	if (c)
		return c;
	c = kzalloc(sizeof(*c), GFP_KERNEL_ACCOUNT);
	if (!c)
		return NULL;
	c->ring = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!c->ring) {
		kfree(c);
		return NULL;
	}
	spin_lock_init(&c->lock);
	INIT_LIST_HEAD(&c->zones);
	other = cmpxchg(&vm->coalesced, NULL, c);
	if (!other)
		return c;
	free_page((unsigned long)c->ring);
	kfree(c);
	return other;
}

void *coalesced_ring(struct vm *vm)
{
	struct coalesced *c = get_coalesced(vm);

	return c ? c->ring : NULL;
}

static enum io_bus_id bus_of(const struct minivmm_coalesced_mmio_zone *range)
{
	return range->pio ? BUS_PIO : BUS_MMIO;
}

/**
 * coalesced_register() - REGISTER_COALESCED_MMIO
 * @vm: the VM
 * @range: its zone
 *
 * Context: may sleep.
 * Return: 0, -EINVAL: pio is neither 0 nor 1, an empty or wrapping range; -EEXIST: part of it is
 * another zone's or a device's in the kernel; -ENOSPC, -ENOMEM.
 */
int coalesced_register(struct vm *vm, const struct minivmm_coalesced_mmio_zone *range)
{
	struct coalesced_zone *zone;
	int ret = -ENOMEM;

	if (range->pio > 1 || !range->size)
		return -EINVAL;
	zone = kzalloc(sizeof(*zone), GFP_KERNEL_ACCOUNT);
	if (!zone)
		return -ENOMEM;
	zone->range = *range;
	zone->io.read = zone_read;
	zone->io.write = zone_write;

	mutex_lock(&vm->lock);
	if (get_coalesced(vm))
		ret = io_bus_register(vm, bus_of(range), range->addr, range->size, &zone->io);
	if (ret)
		kfree(zone);
	else
		list_add(&zone->link, &vm->coalesced->zones);
	mutex_unlock(&vm->lock);
	return ret;
}

/**
 * coalesced_unregister() - UNREGISTER_COALESCED_MMIO
 * @vm: the VM
 * @range: the zone that it lies in goes
 *
 * Context: may sleep.
 * Return: 0, or -EINVAL.
 */
int coalesced_unregister(struct vm *vm, const struct minivmm_coalesced_mmio_zone *range)
{
	struct coalesced_zone *zone, *next;

	if (range->pio > 1)
		return -EINVAL;
	mutex_lock(&vm->lock);
	if (!vm->coalesced)
		goto unlock;
	list_for_each_entry_safe(zone, next, &vm->coalesced->zones, link) {
		u64 offset = range->addr - zone->range.addr;

		if (zone->range.pio != range->pio || offset > zone->range.size ||
		    range->size > zone->range.size - offset)
			continue;
		list_del(&zone->link);
		io_bus_unregister(vm, bus_of(&zone->range), &zone->io);
		kfree(zone);
	}
unlock:
	mutex_unlock(&vm->lock);
	return 0;
}

void coalesced_destroy(struct vm *vm)
{
	struct coalesced_zone *zone, *next;

	if (!vm->coalesced)
		return;
	list_for_each_entry_safe(zone, next, &vm->coalesced->zones, link)
		kfree(zone);
	free_page((unsigned long)vm->coalesced->ring);
	kfree(vm->coalesced);
}
