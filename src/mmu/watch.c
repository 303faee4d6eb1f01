// SPDX-License-Identifier: GPL-2.0
/*
 * The host's side of guest memory: when its tables change, ours follow before it goes on.
 *
 * One notifier per mm holds the list of the VMs that it belongs to. A VM on the list may be used by
 * a callback without the list's lock (zapping much yields), so leaving waits until none does.
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/wait_bit.h>

#include "mmu/mmu.h"

#define STEP	512	/* pages between two chances to let others in: a whole table */

static struct mm_watch *to_watch(struct mmu_notifier *notifier)
{
	return container_of(notifier, struct mm_watch, notifier);
}

/* The gfns that a range of a slot's addresses stands for. */
static bool slot_range(const struct memslot *slot, hva_t start, hva_t end, gfn_t *first, gfn_t *last)
{
	hva_t slot_end = slot->hva + (slot->npages << PAGE_SHIFT);

	start = max(start, slot->hva);
	end = min(end, slot_end);
	if (start >= end)
		return false;
	*first = slot->base_gfn + ((start - slot->hva) >> PAGE_SHIFT);
	*last = slot->base_gfn + ((end - slot->hva + PAGE_SIZE - 1) >> PAGE_SHIFT);
	return true;
}

/* One bounded step of what for_range() does, from *start on. */
typedef bool (*step_fn)(struct vm *vm, const struct memslot *slot, gfn_t *start, gfn_t end,
			struct list_head *freed);

static gfn_t step_end(gfn_t start, gfn_t end)
{
	return min(end, (start | (STEP - 1)) + 1);
}

/* Over whatever maps the slot's memory. */
static bool zap_some(struct vm *vm, const struct memslot *slot, gfn_t *start, gfn_t end,
		     struct list_head *freed)
{
	gfn_t stop = step_end(*start, end), from;
	bool hit = false;

	if (vm->mmu_mode == MMU_SHADOW) {
		from = *start;
		hit |= shadow_zap_range(vm, slot, &from, stop, freed);
	}
	for (from = *start; vm->root && from < stop; )
		hit |= direct_zap(vm, vm->root, &from, stop, freed);
	for (from = *start; vm->flat && from < stop; )
		hit |= direct_zap(vm, vm->flat, &from, stop, freed);
	*start = stop;
	return hit;
}

static bool protect_some(struct vm *vm, const struct memslot *slot, gfn_t *start, gfn_t end,
			 struct list_head *freed)
{
	gfn_t stop = step_end(*start, end), from;
	bool hit = false;

	if (vm->mmu_mode == MMU_SHADOW) {
		from = *start;
		hit |= shadow_write_protect(vm, slot, &from, stop);
	}
	for (from = *start; vm->root && from < stop; )
		hit |= direct_write_protect(vm, vm->root, &from, stop);
	for (from = *start; vm->flat && from < stop; )
		hit |= direct_write_protect(vm, vm->flat, &from, stop);
	*start = stop;
	return hit;
}

/* No vCPU has cached what was zapped. mmu_lock held. */
static void flush_zapped(struct vm *vm)
{
	vm_kick_and_wait(vm, REQ_TLB_FLUSH);
	vm->shadow.stale_tlbs = false;
}

/*
 * Over a range of a slot, with mmu_lock held; lets it go now and then if the caller may be preempted.
 * Before it does, what was found is flushed: whoever has the lock next takes an empty entry for one
 * that nobody has cached. The tables on the list may be freed then: without the lock, as there may be
 * very many.
 */
static void for_range(struct vm *vm, const struct memslot *slot, gfn_t start, gfn_t end,
		      bool may_yield, step_fn step, struct list_head *freed)
{
	bool hit = vm->shadow.stale_tlbs || !list_empty(freed);

	while (start < end) {
		hit |= step(vm, slot, &start, end, freed);
		if (start < end && may_yield && (need_resched() || spin_needbreak(&vm->mmu_lock))) {
			if (hit)
				flush_zapped(vm);
			hit = false;
			spin_unlock(&vm->mmu_lock);
			free_tables(freed);
			cond_resched();
			spin_lock(&vm->mmu_lock);
		}
	}
	if (hit)
		flush_zapped(vm);
	mmu_audit(vm, false);
}

/**
 * mmu_zap_slot() - unmap a slot
 * @vm: the VM
 * @slot: the slot
 * @gone: it is vm->leaving: nothing finds it any more, and the guest's tables in it are none
 *
 * Context: may sleep.
 */
void mmu_zap_slot(struct vm *vm, const struct memslot *slot, bool gone)
{
	LIST_HEAD(freed);
	int idx = srcu_read_lock(&vm->srcu);

	spin_lock(&vm->mmu_lock);
	if (gone && vm->mmu_mode == MMU_SHADOW)
		shadow_zap_tables(vm, slot, &freed);
	for_range(vm, slot, slot->base_gfn, slot->base_gfn + slot->npages, true, zap_some, &freed);
	spin_unlock(&vm->mmu_lock);
	srcu_read_unlock(&vm->srcu, idx);
	free_tables(&freed);
}

void mmu_write_protect(struct vm *vm, const struct memslot *slot, gfn_t start, gfn_t end)
{
	int idx = srcu_read_lock(&vm->srcu);
	LIST_HEAD(freed);

	spin_lock(&vm->mmu_lock);
	/* until it is flushed a vCPU may still write by its TLB; the log's reader waits for this */
	for_range(vm, slot, start, end, true, protect_some, &freed);
	spin_unlock(&vm->mmu_lock);
	srcu_read_unlock(&vm->srcu, idx);
	free_tables(&freed);
}

/* ---- callbacks ------------------------------------------------------------------------------- */

static void zap_hva_range(struct vm *vm, hva_t start, hva_t end, bool may_yield)
{
	int i, idx = srcu_read_lock(&vm->srcu);
	struct memslots *slots = srcu_dereference(vm->slots, &vm->srcu);
	gfn_t first, last;
	LIST_HEAD(freed);

	spin_lock(&vm->mmu_lock);
	for (i = 0; i < slots->count; i++)
		if (slot_range(&slots->slot[i], start, end, &first, &last))
			for_range(vm, &slots->slot[i], first, last, may_yield, zap_some, &freed);
	if (vm->leaving && slot_range(vm->leaving, start, end, &first, &last))
		for_range(vm, vm->leaving, first, last, may_yield, zap_some, &freed);
	spin_unlock(&vm->mmu_lock);
	srcu_read_unlock(&vm->srcu, idx);
	free_tables(&freed);
}

/* Each VM in turn, without the list's lock if the callback may sleep: it stays on the list meanwhile. */
static void zap_all_vms(struct mm_watch *watch, hva_t start, hva_t end, bool may_yield)
{
	struct vm *vm;

	spin_lock(&watch->lock);
	list_for_each_entry(vm, &watch->vms, watch_link) {
		if (!may_yield) {
			zap_hva_range(vm, start, end, false);
			continue;
		}
		vm->watch_users++;
		spin_unlock(&watch->lock);
		zap_hva_range(vm, start, end, true);
		spin_lock(&watch->lock);
		if (!--vm->watch_users)
			wake_up_var(&vm->watch_users);
	}
	spin_unlock(&watch->lock);
}

static int range_start(struct mmu_notifier *notifier, const struct mmu_notifier_range *range)
{
	struct mm_watch *watch = to_watch(notifier);

	spin_lock(&watch->lock);
	if (watch->in_progress) {
		watch->start = min(watch->start, range->start);
		watch->end = max(watch->end, range->end);
	} else {
		watch->start = range->start;
		watch->end = range->end;
	}
	/*
	 * A fault that doesn't see this yet holds its VM's mmu_lock before the zap below does, and the
	 * zap finds its entry.
	 */
	WRITE_ONCE(watch->in_progress, watch->in_progress + 1);
	spin_unlock(&watch->lock);

	zap_all_vms(watch, range->start, range->end, mmu_notifier_range_blockable(range));
	return 0;
}

static void range_end(struct mmu_notifier *notifier, const struct mmu_notifier_range *range)
{
	struct mm_watch *watch = to_watch(notifier);

	spin_lock(&watch->lock);
	WRITE_ONCE(watch->seq, watch->seq + 1);
	/* whoever sees in_progress go down sees that seq went up: pairs with watch_retry() */
	smp_wmb();
	WRITE_ONCE(watch->in_progress, watch->in_progress - 1);
	spin_unlock(&watch->lock);
}

static bool age_range(struct vm *vm, const struct memslot *slot, gfn_t first, gfn_t last, bool clear)
{
	bool young = false;

	if (vm->mmu_mode == MMU_SHADOW)
		young |= shadow_age(slot, first, last, clear);
	if (vm->root)
		young |= direct_age(vm, vm->root, first, last, clear);
	if (vm->flat)
		young |= direct_age(vm, vm->flat, first, last, clear);
	return young;
}

static bool age_vm(struct vm *vm, hva_t start, hva_t end, bool clear)
{
	int i, idx = srcu_read_lock(&vm->srcu);
	struct memslots *slots = srcu_dereference(vm->slots, &vm->srcu);
	bool young = false;
	gfn_t first, last;

	spin_lock(&vm->mmu_lock);
	for (i = 0; i < slots->count; i++)
		if (slot_range(&slots->slot[i], start, end, &first, &last))
			young |= age_range(vm, &slots->slot[i], first, last, clear);
	/* an entry that was dropped to forget its access must be gone from the TLBs, too */
	if (young && clear && vm->mmu_mode == MMU_EPT && !vm->hw_accessed_bits)
		vm_kick_and_wait(vm, REQ_TLB_FLUSH);
	spin_unlock(&vm->mmu_lock);
	srcu_read_unlock(&vm->srcu, idx);
	return young;
}

static int age_all_vms(struct mmu_notifier *notifier, hva_t start, hva_t end, bool clear)
{
	struct mm_watch *watch = to_watch(notifier);
	struct vm *vm;
	int young = 0;

	spin_lock(&watch->lock);
	list_for_each_entry(vm, &watch->vms, watch_link)
		young |= age_vm(vm, start, end, clear);
	spin_unlock(&watch->lock);
	return young;
}

/* Without a flush in either case: a TLB may hide accesses for a while, as it does from the host. */
static int clear_young(struct mmu_notifier *notifier, struct mm_struct *mm, unsigned long start,
		       unsigned long end)
{
	return age_all_vms(notifier, start, end, true);
}

static int test_young(struct mmu_notifier *notifier, struct mm_struct *mm, unsigned long address)
{
	return age_all_vms(notifier, address, address + PAGE_SIZE, false);
}

/* The process is gone. Its VMs may live on in another's descriptors, but can't run there. */
static void release(struct mmu_notifier *notifier, struct mm_struct *mm)
{
	zap_all_vms(to_watch(notifier), 0, ULONG_MAX & PAGE_MASK, true);
}

static struct mmu_notifier *alloc_notifier(struct mm_struct *mm)
{
	struct mm_watch *watch = kzalloc(sizeof(*watch), GFP_KERNEL_ACCOUNT);

	if (!watch)
		return ERR_PTR(-ENOMEM);
	spin_lock_init(&watch->lock);
	INIT_LIST_HEAD(&watch->vms);
	return &watch->notifier;
}

static void free_notifier(struct mmu_notifier *notifier)
{
	kfree(to_watch(notifier));
}

static const struct mmu_notifier_ops watch_ops = {
	.invalidate_range_start	= range_start,
	.invalidate_range_end	= range_end,
	.clear_flush_young	= clear_young,
	.clear_young		= clear_young,
	.test_young		= test_young,
	.release		= release,
	.alloc_notifier		= alloc_notifier,
	.free_notifier		= free_notifier,
};

int watch_join(struct vm *vm)
{
	struct mmu_notifier *notifier = mmu_notifier_get(&watch_ops, vm->mm);

	if (IS_ERR(notifier))
		return PTR_ERR(notifier);
	vm->watch = to_watch(notifier);
	spin_lock(&vm->watch->lock);
	list_add_tail(&vm->watch_link, &vm->watch->vms);
	spin_unlock(&vm->watch->lock);
	return 0;
}

static bool try_leave(struct vm *vm)
{
	bool left;

	spin_lock(&vm->watch->lock);
	left = !vm->watch_users;
	if (left)
		list_del(&vm->watch_link);
	spin_unlock(&vm->watch->lock);
	return left;
}

void watch_leave(struct vm *vm)
{
	wait_var_event(&vm->watch_users, try_leave(vm));
	mmu_notifier_put(&vm->watch->notifier);
	vm->watch = NULL;
}
