// SPDX-License-Identifier: GPL-2.0
/*
 * Eventfds beside a VM: irqfds, which make interrupts of what is written to them, and ioeventfds,
 * which are written to when the guest writes to an address.
 *
 * An irqfd hangs in its eventfd's wait queue, and delivers in the context of whoever signals, with
 * the queue's lock held and interrupts off: nothing on that way sleeps. It leaves by IRQFD's
 * DEASSIGN, with its VM, or when its eventfd is closed. The latter is heard of under the queue's
 * lock too, and is left to a workqueue. Who takes an irqfd off vm->irqfds frees it. vm->lock keeps
 * adding and removing apart.
 */
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/srcu.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "irq.h"

#define MAX_IOEVENTFDS	1000		/* as KVM's bus has room for */

static struct workqueue_struct *cleanup;

int eventfd_init(void)
{
	cleanup = alloc_workqueue("minivmm-irqfd", 0, 0);
	return cleanup ? 0 : -ENOMEM;
}

void eventfd_exit(void)
{
	destroy_workqueue(cleanup);
}

/* ---- irqfd ----------------------------------------------------------------------------------- */

struct irqfd {
	struct vm *vm;
	u32 gsi;
	struct eventfd_ctx *eventfd;
	struct eventfd_ctx *resample;	/* NULL: its interrupts are edges */
	struct list_head link;		/* vm->irqfds; empty: someone frees it */
	struct list_head resample_link;
	wait_queue_entry_t wait;
	poll_table poll;
	struct work_struct work;
};

/* A pulse; or, with resampling, a level that stays until the guest has ended its interrupt. */
static void irqfd_inject(struct irqfd *irqfd)
{
	if (irqfd->resample) {
		irq_set_source(irqfd->vm, irqfd->gsi, SOURCE_RESAMPLE, 1);
		return;
	}
	irq_set_source(irqfd->vm, irqfd->gsi, SOURCE_USER, 1);
	irq_set_source(irqfd->vm, irqfd->gsi, SOURCE_USER, 0);
}

/* Whether it was there: then the caller frees it. */
static bool irqfd_take(struct irqfd *irqfd)
{
	unsigned long flags;
	bool there;

	spin_lock_irqsave(&irqfd->vm->irqfds_lock, flags);
	there = !list_empty(&irqfd->link);
	list_del_init(&irqfd->link);
	spin_unlock_irqrestore(&irqfd->vm->irqfds_lock, flags);
	return there;
}

static int irqfd_wakeup(wait_queue_entry_t *wait, unsigned int mode, int sync, void *key)
{
	struct irqfd *irqfd = container_of(wait, struct irqfd, wait);
	__poll_t events = key_to_poll(key);
	u64 count;

	if (events & EPOLLIN) {
		eventfd_ctx_do_read(irqfd->eventfd, &count);
		irqfd_inject(irqfd);
	}
	if ((events & EPOLLHUP) && irqfd_take(irqfd))
		queue_work(cleanup, &irqfd->work);
	return !!(events & EPOLLIN);
}

static void irqfd_enqueue(struct file *file, wait_queue_head_t *queue, poll_table *poll)
{
	add_wait_queue_priority(queue, &container_of(poll, struct irqfd, poll)->wait);
}

static void put_eventfds(struct irqfd *irqfd)
{
	eventfd_ctx_put(irqfd->eventfd);
	if (irqfd->resample)
		eventfd_ctx_put(irqfd->resample);
	kfree(irqfd);
}

/* The last that drove this line lowers it. */
static void leave_resamplers(struct irqfd *irqfd)
{
	struct vm *vm = irqfd->vm;
	struct irqfd *other;
	bool last = true;

	spin_lock_irq(&vm->irqfds_lock);
	list_del_rcu(&irqfd->resample_link);
	WRITE_ONCE(vm->nr_resamplers, vm->nr_resamplers - 1);
	list_for_each_entry(other, &vm->resamplers, resample_link)
		last &= other->gsi != irqfd->gsi;
	spin_unlock_irq(&vm->irqfds_lock);
	synchronize_srcu(&vm->srcu);
	if (last)
		irq_set_source(vm, irqfd->gsi, SOURCE_RESAMPLE, 0);
}

/* Nobody else has it: it is on no list of its VM's but maybe resamplers. */
static void irqfd_free(struct irqfd *irqfd)
{
	u64 count;

	eventfd_ctx_remove_wait_queue(irqfd->eventfd, &irqfd->wait, &count);
	if (irqfd->resample)
		leave_resamplers(irqfd);
	put_eventfds(irqfd);
}

static void irqfd_cleanup(struct work_struct *work)
{
	irqfd_free(container_of(work, struct irqfd, work));
}

/* One use of an eventfd per VM: two would race for its count. */
static int irqfd_publish(struct irqfd *irqfd)
{
	struct vm *vm = irqfd->vm;
	struct irqfd *other;
	int ret = 0;

	spin_lock_irq(&vm->irqfds_lock);
	list_for_each_entry(other, &vm->irqfds, link)
		if (other->eventfd == irqfd->eventfd)
			ret = -EBUSY;
	if (!ret) {
		list_add(&irqfd->link, &vm->irqfds);
		if (irqfd->resample) {
			list_add_rcu(&irqfd->resample_link, &vm->resamplers);
			WRITE_ONCE(vm->nr_resamplers, vm->nr_resamplers + 1);
		}
	}
	spin_unlock_irq(&vm->irqfds_lock);
	return ret;
}

static struct irqfd *irqfd_new(struct vm *vm, const struct minivmm_irqfd *args, struct file *file)
{
	struct irqfd *irqfd = kzalloc(sizeof(*irqfd), GFP_KERNEL_ACCOUNT);
	void *ctx;

	if (!irqfd)
		return ERR_PTR(-ENOMEM);
	irqfd->vm = vm;
	irqfd->gsi = args->gsi;
	INIT_WORK(&irqfd->work, irqfd_cleanup);
	init_waitqueue_func_entry(&irqfd->wait, irqfd_wakeup);
	init_poll_funcptr(&irqfd->poll, irqfd_enqueue);

	ctx = eventfd_ctx_fileget(file);
	if (IS_ERR(ctx))
		goto free;
	irqfd->eventfd = ctx;
	if (args->flags & MINIVMM_IRQFD_FLAG_RESAMPLE) {
		ctx = eventfd_ctx_fdget(args->resamplefd);
		if (IS_ERR(ctx))
			goto put;
		irqfd->resample = ctx;
	}
	return irqfd;
put:
	eventfd_ctx_put(irqfd->eventfd);
free:
	kfree(irqfd);
	return ctx;
}

static int irqfd_assign(struct vm *vm, const struct minivmm_irqfd *args)
{
	struct irqfd *irqfd;
	struct fd f;
	int ret;

	if (!vm->irqchip || ((args->flags & MINIVMM_IRQFD_FLAG_RESAMPLE) && vm->irqchip->split))
		return -EINVAL;
	f = fdget(args->fd);	/* kept: what closes it later finds everything in its place */
	if (!f.file)
		return -EBADF;
	irqfd = irqfd_new(vm, args, f.file);
	ret = PTR_ERR_OR_ZERO(irqfd);
	if (ret)
		goto put_file;
	ret = irqfd_publish(irqfd);
	if (ret)
		put_eventfds(irqfd);
	else if (vfs_poll(f.file, &irqfd->poll) & EPOLLIN)
		irqfd_inject(irqfd);	/* signalled before */
put_file:
	fdput(f);
	return ret;
}

static int irqfd_deassign(struct vm *vm, const struct minivmm_irqfd *args)
{
	struct eventfd_ctx *eventfd = eventfd_ctx_fdget(args->fd);
	struct irqfd *irqfd, *found = NULL;

	if (IS_ERR(eventfd))
		return PTR_ERR(eventfd);
	spin_lock_irq(&vm->irqfds_lock);
	list_for_each_entry(irqfd, &vm->irqfds, link) {
		if (irqfd->eventfd == eventfd && irqfd->gsi == args->gsi) {
			list_del_init(&irqfd->link);
			found = irqfd;
			break;
		}
	}
	spin_unlock_irq(&vm->irqfds_lock);
	eventfd_ctx_put(eventfd);
	if (found)
		irqfd_free(found);
	return 0;
}

/**
 * irqfd_set() - IRQFD
 * @vm: the VM
 * @args: which eventfd for which GSI, and whether to add or remove it
 *
 * Context: may sleep.
 * Return: 0, also if there was none to remove; -EINVAL: unknown flags, no irqchip, or resampling
 * without an I/O APIC in the kernel; -EBADF, -EINVAL: not an eventfd; -EBUSY: that eventfd is in
 * use by this VM; -ENOMEM.
 */
int irqfd_set(struct vm *vm, const struct minivmm_irqfd *args)
{
	int ret;

	if (args->flags & ~(MINIVMM_IRQFD_FLAG_DEASSIGN | MINIVMM_IRQFD_FLAG_RESAMPLE))
		return -EINVAL;
	mutex_lock(&vm->lock);
	ret = args->flags & MINIVMM_IRQFD_FLAG_DEASSIGN ? irqfd_deassign(vm, args) :
							  irqfd_assign(vm, args);
	mutex_unlock(&vm->lock);
	return ret;
}

/**
 * irqfd_resample() - an interrupt of this pin has been ended
 * @vm: the VM
 * @chip: which chip
 * @pin: its pin
 *
 * The line falls, and who drives it is asked whether it should rise again.
 *
 * Context: a vCPU's thread; no chip's lock held.
 */
void irqfd_resample(struct vm *vm, enum irqchip_id chip, int pin)
{
	int idx = srcu_read_lock(&vm->srcu);
	struct irqfd *irqfd;

	list_for_each_entry_srcu(irqfd, &vm->resamplers, resample_link,
				 srcu_read_lock_held(&vm->srcu)) {
		if (!irq_leads_to(vm, irqfd->gsi, chip, pin))
			continue;
		irq_set_source(vm, irqfd->gsi, SOURCE_RESAMPLE, 0);
		eventfd_signal(irqfd->resample, 1);
	}
	srcu_read_unlock(&vm->srcu, idx);
}

/* ---- ioeventfd ------------------------------------------------------------------------------- */

struct ioeventfd {
	struct list_head link;		/* its address's; read under srcu */
	struct eventfd_ctx *eventfd;
	u64 datamatch;
	u32 len;			/* 0: any */
	bool wildcard;			/* any data */
};

/* All at one address: on the bus they are one device. */
struct ioeventfd_address {
	struct list_head link;		/* vm->ioeventfds */
	enum io_bus_id bus;
	u64 addr;
	struct io_device io;
	struct list_head list;
};

static bool ioeventfd_matches(const struct ioeventfd *p, int len, const void *data)
{
	u64 value = 0;

	if (!p->len)
		return true;
	memcpy(&value, data, min_t(size_t, len, sizeof(value)));
	return p->len == len && (p->wildcard || p->datamatch == value);
}

static int ioeventfd_write(struct vcpu *vcpu, struct io_device *dev, u64 addr, int len,
			   const void *data)
{
	struct ioeventfd_address *at = container_of(dev, struct ioeventfd_address, io);
	struct ioeventfd *p;

	list_for_each_entry_srcu(p, &at->list, link, srcu_read_lock_held(&vcpu->vm->srcu)) {
		if (ioeventfd_matches(p, len, data)) {
			eventfd_signal(p->eventfd, 1);
			return 0;
		}
	}
	return -EOPNOTSUPP;
}

static int ioeventfd_read(struct vcpu *vcpu, struct io_device *dev, u64 addr, int len, void *data)
{
	return -EOPNOTSUPP;
}

static struct ioeventfd_address *find_address(struct vm *vm, enum io_bus_id bus, u64 addr)
{
	struct ioeventfd_address *at;

	list_for_each_entry(at, &vm->ioeventfds, link)
		if (at->bus == bus && at->addr == addr)
			return at;
	return NULL;
}

/* Would one write be for both? */
static bool collides(const struct ioeventfd_address *at, const struct ioeventfd *new)
{
	struct ioeventfd *p;

	list_for_each_entry(p, &at->list, link)
		if (!p->len || !new->len ||
		    (p->len == new->len &&
		     (p->wildcard || new->wildcard || p->datamatch == new->datamatch)))
			return true;
	return false;
}

static struct ioeventfd_address *new_address(struct vm *vm, enum io_bus_id bus, u64 addr)
{
	struct ioeventfd_address *at = kzalloc(sizeof(*at), GFP_KERNEL_ACCOUNT);
	int ret;

	if (!at)
		return ERR_PTR(-ENOMEM);
	at->bus = bus;
	at->addr = addr;
	at->io.read = ioeventfd_read;
	at->io.write = ioeventfd_write;
	at->io.atomic = true;
	INIT_LIST_HEAD(&at->list);
	ret = io_bus_register(vm, bus, addr, 0, &at->io);
	if (ret) {
		kfree(at);
		return ERR_PTR(ret);
	}
	list_add(&at->link, &vm->ioeventfds);
	return at;
}

static int ioeventfd_add(struct vm *vm, enum io_bus_id bus, u64 addr, struct ioeventfd *new)
{
	struct ioeventfd_address *at = find_address(vm, bus, addr);

	if (vm->nr_ioeventfds >= MAX_IOEVENTFDS)
		return -ENOSPC;
	if (at && collides(at, new))
		return -EEXIST;
	if (!at)
		at = new_address(vm, bus, addr);
	if (IS_ERR(at))
		return PTR_ERR(at);
	list_add_tail_rcu(&new->link, &at->list);
	vm->nr_ioeventfds++;
	return 0;
}

static void ioeventfd_free(struct ioeventfd *p)
{
	eventfd_ctx_put(p->eventfd);
	kfree(p);
}

static int ioeventfd_remove(struct vm *vm, enum io_bus_id bus, u64 addr,
			    const struct ioeventfd *like)
{
	struct ioeventfd_address *at = find_address(vm, bus, addr);
	struct ioeventfd *p;

	if (!at)
		return -ENOENT;
	list_for_each_entry(p, &at->list, link)
		if (p->eventfd == like->eventfd && p->len == like->len &&
		    p->wildcard == like->wildcard &&
		    (p->wildcard || p->datamatch == like->datamatch))
			goto found;
	return -ENOENT;
found:
	list_del_rcu(&p->link);
	vm->nr_ioeventfds--;
	if (list_empty(&at->list)) {
		io_bus_unregister(vm, bus, &at->io);	/* waits */
		list_del(&at->link);
		kfree(at);
	} else {
		synchronize_srcu(&vm->srcu);
	}
	ioeventfd_free(p);
	return 0;
}

/**
 * ioeventfd_set() - IOEVENTFD
 * @vm: the VM
 * @args: which writes, for which eventfd, and whether to add or remove it
 *
 * Context: may sleep.
 * Return: 0; -EINVAL: a length that isn't one, a range that wraps, unknown flags, data to match
 * without a length, not an eventfd; -EBADF; -EEXIST: the same write is another's, or the address is
 * a device's in the kernel; -ENOENT: none to remove; -ENOSPC: too many; -ENOMEM.
 */
int ioeventfd_set(struct vm *vm, const struct minivmm_ioeventfd *args)
{
	const u32 known = MINIVMM_IOEVENTFD_FLAG_DATAMATCH | MINIVMM_IOEVENTFD_FLAG_PIO |
			  MINIVMM_IOEVENTFD_FLAG_DEASSIGN;
	enum io_bus_id bus = args->flags & MINIVMM_IOEVENTFD_FLAG_PIO ? BUS_PIO : BUS_MMIO;
	bool remove = args->flags & MINIVMM_IOEVENTFD_FLAG_DEASSIGN;
	struct ioeventfd *p;
	int ret;

	if (!remove && ((args->flags & ~known) || args->addr + args->len < args->addr ||
			args->len > 8 || hweight32(args->len) > 1 ||
			(!args->len && (args->flags & MINIVMM_IOEVENTFD_FLAG_DATAMATCH))))
		return -EINVAL;
	p = kzalloc(sizeof(*p), GFP_KERNEL_ACCOUNT);
	if (!p)
		return -ENOMEM;
	p->len = args->len;
	p->datamatch = args->datamatch;
	p->wildcard = !(args->flags & MINIVMM_IOEVENTFD_FLAG_DATAMATCH);
	p->eventfd = eventfd_ctx_fdget(args->fd);
	if (IS_ERR(p->eventfd)) {
		ret = PTR_ERR(p->eventfd);
		kfree(p);
		return ret;
	}

	mutex_lock(&vm->lock);
	ret = remove ? ioeventfd_remove(vm, bus, args->addr, p) :
		       ioeventfd_add(vm, bus, args->addr, p);
	mutex_unlock(&vm->lock);
	if (remove || ret)
		ioeventfd_free(p);
	return ret;
}

/* ---- life ------------------------------------------------------------------------------------ */

void eventfd_vm_init(struct vm *vm)
{
	spin_lock_init(&vm->irqfds_lock);
	INIT_LIST_HEAD(&vm->irqfds);
	INIT_LIST_HEAD(&vm->resamplers);
	INIT_LIST_HEAD(&vm->ioeventfds);
}

static struct irqfd *take_first(struct vm *vm)
{
	struct irqfd *irqfd;

	spin_lock_irq(&vm->irqfds_lock);
	irqfd = list_first_entry_or_null(&vm->irqfds, struct irqfd, link);
	if (irqfd)
		list_del_init(&irqfd->link);
	spin_unlock_irq(&vm->irqfds_lock);
	return irqfd;
}

/**
 * eventfd_vm_destroy() - the end of a VM's irqfds and ioeventfds
 * @vm: the VM; its vCPUs don't run any more, but its chips must still be there
 *
 * Context: may sleep.
 */
void eventfd_vm_destroy(struct vm *vm)
{
	struct ioeventfd_address *at, *next_at;
	struct ioeventfd *p, *next;
	struct irqfd *irqfd;

	while ((irqfd = take_first(vm)))
		irqfd_free(irqfd);
	if (vm->irqchip)
		flush_workqueue(cleanup);	/* those whose eventfds were closed */
	list_for_each_entry_safe(at, next_at, &vm->ioeventfds, link) {
		list_for_each_entry_safe(p, next, &at->list, link)
			ioeventfd_free(p);
		kfree(at);
	}
}
