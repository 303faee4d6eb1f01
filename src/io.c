// SPDX-License-Identifier: GPL-2.0
/*
 * The buses with the devices in the kernel, and port I/O: to one of them, or to userspace.
 *
 * The run page and the one behind it are mapped by the client, who may change them at any time:
 * each is read once, and what must be remembered is remembered elsewhere.
 */
#include <linux/slab.h>
#include <linux/srcu.h>

#include "minivmm.h"

/* ---- buses ----------------------------------------------------------------------------------- */

#define BUS_MAX_RANGES	1000	/* as KVM's */
#define BUS_MAX_RETIRED	16

struct io_range {
	u64 start, last;
	bool any_len;			/* an access of whatever length, if it starts there */
	struct io_device *dev;		/* NULL: unregistered, until the array is next replaced */
};

/*
 * Sorted and without overlaps. Replaced whole; read under RCU or vm->srcu. Making a VM replaces it
 * a few times, and waiting for readers each time would be most of what that costs: the old ones are
 * kept until someone waits anyway, or there are too many.
 */
struct io_bus {
	struct io_bus *retired;
	int nr_retired;
	struct rcu_head rcu;
	int count;
	struct io_range range[];
};

static struct io_device *bus_find(const struct io_bus *bus, u64 addr, int len)
{
	int low = 0, high = bus->count;

	while (low < high) {
		int mid = (low + high) / 2;
		const struct io_range *range = &bus->range[mid];

		if (addr < range->start)
			high = mid;
		else if (addr > range->last)
			low = mid + 1;
		else
			return range->any_len || range->last - addr >= len - 1 ?
			       READ_ONCE(range->dev) : NULL;
	}
	return NULL;
}

/* Is it worth taking srcu? Most accesses are userspace's, and RCU costs next to nothing. */
static bool bus_has(struct vm *vm, enum io_bus_id id, u64 addr, int len)
{
	struct io_bus *bus;
	bool found;

	rcu_read_lock();
	bus = rcu_dereference(vm->bus[id]);
	found = bus && bus_find(bus, addr, len);
	rcu_read_unlock();
	return found;
}

static int device_access(struct vcpu *vcpu, struct io_device *dev, u64 addr, int len, void *data,
			 bool write)
{
	return write ? dev->write(vcpu, dev, addr, len, data) :
		       dev->read(vcpu, dev, addr, len, data);
}

/**
 * io_bus_access() - an access that a device in the kernel may answer
 * @vcpu: who makes it
 * @id: on which bus
 * @addr: the address or port
 * @len: bytes
 * @data: to it, or from it
 * @write: the direction
 *
 * Context: vcpu, under vm->srcu.
 * Return: 0, or -EOPNOTSUPP if the access is userspace's.
 */
int io_bus_access(struct vcpu *vcpu, enum io_bus_id id, u64 addr, int len, void *data,
		  bool write)
{
	struct io_bus *bus = srcu_dereference(vcpu->vm->bus[id], &vcpu->vm->srcu);
	struct io_device *dev = bus ? bus_find(bus, addr, len) : NULL;

	return dev ? device_access(vcpu, dev, addr, len, data, write) : -EOPNOTSUPP;
}

static struct io_bus *bus_locked(struct vm *vm, enum io_bus_id id)
{
	return rcu_dereference_protected(vm->bus[id], lockdep_is_held(&vm->slots_lock));
}

/* Waits until no reader of vm->srcu uses an older array; RCU's are waited for behind our back. */
static void bus_synchronize(struct vm *vm, struct io_bus *bus)
{
	struct io_bus *old;

	synchronize_srcu(&vm->srcu);
	while (bus && bus->retired) {
		old = bus->retired;
		bus->retired = old->retired;
		kfree_rcu(old, rcu);
	}
	if (bus)
		bus->nr_retired = 0;
}

/* Fills bus with old's live ranges and a new one, in order; -EEXIST if they overlap. */
static int bus_insert(struct io_bus *bus, const struct io_bus *old, const struct io_range *new)
{
	bool placed = false;
	int i;

	for (i = 0; old && i < old->count; i++) {
		const struct io_range *range = &old->range[i];

		if (!range->dev)
			continue;
		if (range->start <= new->last && range->last >= new->start)
			return -EEXIST;
		if (!placed && range->start > new->last) {
			bus->range[bus->count++] = *new;
			placed = true;
		}
		bus->range[bus->count++] = *range;
	}
	if (!placed)
		bus->range[bus->count++] = *new;
	return bus->count > BUS_MAX_RANGES ? -ENOSPC : 0;
}

static int bus_add(struct vm *vm, enum io_bus_id id, const struct io_range *new)
{
	struct io_bus *bus, *old = bus_locked(vm, id);
	int ret;

	bus = kzalloc(struct_size(bus, range, old ? old->count + 1 : 1), GFP_KERNEL_ACCOUNT);
	if (!bus)
		return -ENOMEM;
	ret = bus_insert(bus, old, new);
	if (ret) {
		kfree(bus);
		return ret;
	}
	bus->retired = old;
	bus->nr_retired = old ? old->nr_retired + 1 : 0;
	rcu_assign_pointer(vm->bus[id], bus);
	if (bus->nr_retired > BUS_MAX_RETIRED)
		bus_synchronize(vm, bus);
	return 0;
}

/**
 * io_bus_register() - lets a device in the kernel answer a range of ports or addresses
 * @vm: whose bus
 * @id: which
 * @addr: the first of the range
 * @len: how many; 0: accesses that start at @addr, whatever their length
 * @dev: the device, which may have several ranges; the caller's until io_bus_unregister()
 *
 * Context: takes vm->slots_lock; may sleep.
 * Return: 0, -EINVAL for a wrapping range, -EEXIST if part of it is taken, -ENOSPC if
 * the bus is full, -ENOMEM.
 */
int io_bus_register(struct vm *vm, enum io_bus_id id, u64 addr, u64 len, struct io_device *dev)
{
	struct io_range range = { addr, addr + max(len, 1ull) - 1, !len, dev };
	int ret;

	if (range.last < addr)
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	ret = bus_add(vm, id, &range);
	mutex_unlock(&vm->slots_lock);
	return ret;
}

/**
 * io_bus_unregister() - takes all of a device's ranges off a bus
 * @vm: whose bus
 * @id: which
 * @dev: the device
 *
 * It can't fail, so it allocates nothing: the ranges stay in the array, without their device. When
 * it returns, no handler of the device runs on account of this bus any more.
 *
 * Context: takes vm->slots_lock; waits for readers of vm->srcu.
 */
void io_bus_unregister(struct vm *vm, enum io_bus_id id, struct io_device *dev)
{
	struct io_bus *bus;
	int i;

	mutex_lock(&vm->slots_lock);
	bus = bus_locked(vm, id);
	for (i = 0; bus && i < bus->count; i++)
		if (bus->range[i].dev == dev)
			WRITE_ONCE(bus->range[i].dev, NULL);
	bus_synchronize(vm, bus);
	mutex_unlock(&vm->slots_lock);
}

/**
 * io_bus_destroy() - frees the buses of a VM that no vCPU runs any more
 * @vm: the VM
 */
void io_bus_destroy(struct vm *vm)
{
	struct io_bus *bus, *older;
	int i;

	for (i = 0; i < NR_BUSES; i++) {
		for (bus = rcu_replace_pointer(vm->bus[i], NULL, true); bus; bus = older) {
			older = bus->retired;
			kfree(bus);
		}
	}
}

/* ---- ports ----------------------------------------------------------------------------------- */

/**
 * exit_pio() - to userspace, with vcpu->pio
 * @vcpu: the vCPU
 *
 * Return: 0.
 */
int exit_pio(struct vcpu *vcpu)
{
	struct minivmm_run *run = vcpu->run;
	const struct pio *pio = &vcpu->pio;

	vcpu->io_rip = reg_read(vcpu, R_RIP);
	vcpu->stats.io_exits++;
	run->exit_reason = MINIVMM_EXIT_IO;
	run->io.direction = pio->in ? MINIVMM_EXIT_IO_IN : MINIVMM_EXIT_IO_OUT;
	run->io.size = pio->size;
	run->io.port = pio->port;
	run->io.count = pio->count;
	run->io.data_offset = MINIVMM_PIO_PAGE_OFFSET * PAGE_SIZE;
	return 0;
}

bool io_same_place(struct vcpu *vcpu)
{
	return reg_read(vcpu, R_RIP) == vcpu->io_rip;
}

static int port_device(struct vcpu *vcpu, u16 port, int size, void *data, bool in)
{
	int ret, idx;

	if (!bus_has(vcpu->vm, BUS_PIO, port, size))
		return -EOPNOTSUPP;
	idx = srcu_read_lock(&vcpu->vm->srcu);
	ret = io_bus_access(vcpu, BUS_PIO, port, size, data, !in);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	return ret;
}

/* 4 bytes clear the upper half of RAX, fewer leave the rest of it. */
static void port_result(struct vcpu *vcpu, int size, u32 value)
{
	u64 keep = size == 4 ? 0 : ~0ull << (8 * size);

	reg_write(vcpu, R_RAX, (reg_read(vcpu, R_RAX) & keep) | (value & ~keep));
}

/**
 * pio_access_atomic() - IN or OUT with interrupts off, of a device that can do with that
 * @vcpu: who does it
 * @port: the port
 * @size: 1, 2 or 4
 * @in: the direction
 *
 * Context: vcpu, or with interrupts off.
 * Return: whether it is done, but for moving RIP; else pio_access() has to do it.
 */
bool pio_access_atomic(struct vcpu *vcpu, u16 port, int size, bool in)
{
	struct vm *vm = vcpu->vm;
	struct io_device *dev;
	struct io_bus *bus;
	bool done = false;
	u32 value;
	int idx;

	idx = srcu_read_lock(&vm->srcu);
	bus = srcu_dereference(vm->bus[BUS_PIO], &vm->srcu);
	dev = bus ? bus_find(bus, port, size) : NULL;
	if (dev && dev->atomic) {
		value = in ? 0 : reg_read(vcpu, R_RAX);
		done = !device_access(vcpu, dev, port, size, &value, !in);
	}
	srcu_read_unlock(&vm->srcu, idx);
	if (done && in)
		port_result(vcpu, size, value);
	return done;
}

static int complete_out(struct vcpu *vcpu)
{
	if (io_same_place(vcpu))
		hw_skip_instruction(vcpu);
	return 1;
}

static int complete_in(struct vcpu *vcpu)
{
	u32 value;

	if (!io_same_place(vcpu))
		return 1;
	value = READ_ONCE(*(u32 *)vcpu->pio_data);
	port_result(vcpu, vcpu->pio.size, value);
	hw_skip_instruction(vcpu);
	return 1;
}

/**
 * pio_access() - IN or OUT without a string prefix, after an exit that said so
 * @vcpu: who does it, permission already checked by the CPU
 * @port: the port
 * @size: 1, 2 or 4
 * @in: the direction
 *
 * For userspace the instruction is completed by the next RUN: until then RIP stays on it, and RAX
 * has its old value, as KVM's clients expect.
 *
 * Context: vcpu.
 * Return: 1 if a device in the kernel did it, 0 with the exit filled in.
 */
int pio_access(struct vcpu *vcpu, u16 port, int size, bool in)
{
	u32 value = in ? 0 : reg_read(vcpu, R_RAX);

	if (!port_device(vcpu, port, size, &value, in)) {
		if (in)
			port_result(vcpu, size, value);
		hw_skip_instruction(vcpu);
		return 1;
	}
	vcpu->pio = (struct pio){ .port = port, .size = size, .in = in, .count = 1 };
	WRITE_ONCE(*(u32 *)vcpu->pio_data, value);
	vcpu->complete = in ? complete_in : complete_out;
	return exit_pio(vcpu);
}
