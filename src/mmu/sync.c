// SPDX-License-Identifier: GPL-2.0
/*
 * Guest tables that the guest writes.
 *
 * A write to a table that isn't a leaf is emulated, and what was made from the entry goes. A leaf table
 * may be written freely once it is on vm->shadow.unsync, as on hardware a table may be while the TLB
 * holds what it was: it is compared with what its shadow was made from, entry by entry, when the
 * guest does what flushes a TLB. After a flush of everything it is kept from being written again.
 */
#include <linux/mm.h>
#include <linux/uaccess.h>

#include "mmu/mmu.h"

#define SYNC_BATCH	32	/* tables between two chances to let others in */
#define MAX_WRITES	3	/* to a table that nobody walks any more */

/* What may change in an entry without its mapping something else. The rest is in the address. */
#define PTE_RIGHTS	(PTE_W | PTE_U | PTE_A | PTE_D | PTE_NX)
#define PTE_UNUSED	(GENMASK_ULL(11, 8) | PTE_PWT | PTE_PCD)

/* ---- reading guest tables with mmu_lock held ------------------------------------------------------ */

/* Some entries in a row, within a page. */
static bool read_hva(hva_t hva, int guest_levels, u64 *entry, unsigned int n)
{
	unsigned int i;
	u32 entry32;

	pagefault_disable();
	__uaccess_begin_nospec();
	for (i = 0; i < n; i++) {
		if (guest_levels == 2) {
			unsafe_get_user(entry32, (u32 __user *)hva + i, unreadable);
			entry[i] = entry32;
		} else {
			unsafe_get_user(entry[i], (u64 __user *)hva + i, unreadable);
		}
	}
	__uaccess_end();
	pagefault_enable();
	return true;
unreadable:
	__uaccess_end();
	pagefault_enable();
	return false;
}

bool shadow_read_entries(struct vm *vm, gpa_t gpa, int guest_levels, u64 *entry, unsigned int n)
{
	struct memslot *slot = gfn_to_slot(vm, gpa_to_gfn(gpa));

	return slot && current->mm == vm->mm &&
	       read_hva(slot_hva(slot, gpa_to_gfn(gpa)) + offset_in_page(gpa), guest_levels, entry, n);
}

/* Where in its guest table the entry is that ours number i was made from. */
unsigned int guest_offset(const struct mmu_page *page, unsigned int i)
{
	if (page->role.guest_levels > 2)
		return i * 8;
	if (page->role.level == 1)
		return (page->role.quadrant * PT_ENTRIES + i) * 4;
	return (page->role.quadrant * PT_ENTRIES + i) / 2 * 4;
}

/* What the guest has there now. The slot is that of the table, or NULL. */
static bool read_origin(const struct memslot *slot, const struct mmu_page *page, unsigned int i,
			u64 *entry)
{
	return slot && read_hva(slot_hva(slot, page->gfn) + guest_offset(page, i),
				page->role.guest_levels, entry, 1);
}

/* ---- bringing entries up to date ------------------------------------------------------------------ */

/* The guest's entry is now new; ours of before stays only as far as that allows. */
static void sync_entry(struct vm *vm, struct mmu_page *page, unsigned int i, u64 new)
{
	u64 *entry = &page->table[i], spte = *entry, old = page->guest[i];
	u32 may = page->role.access;

	if (((old ^ new) & ~(PTE_RIGHTS | PTE_UNUSED)) || !(new & PTE_A) ||
	    (new & PTE_NX && !page->role.nxe) || !page->role.wp) {
		shadow_zap_entry(vm, entry);
		return;
	}
	may &= (new & (PTE_W | PTE_U)) | (new & PTE_NX ? 0 : CAN_EXEC);
	if (!(new & PTE_D))
		may &= ~CAN_WRITE;
	page->guest[i] = new;
	spte = (spte & ~(PTE_U | PTE_NX)) | (may & CAN_USER) | (may & CAN_EXEC ? 0 : vm->shadow.nx);
	/* what may be written now has to fault once: the page may be logged, or a table itself */
	if (!(may & CAN_WRITE))
		spte &= ~PTE_W;
	WRITE_ONCE(*entry, spte);
}

static bool sync_table(struct vm *vm, struct mmu_page *page)
{
	struct memslot *slot = gfn_to_slot(vm, page->gfn);
	unsigned int i;
	u64 new;

	if (!slot)
		return false;
	for_each_set_bit(i, page->present, PT_ENTRIES) {
		if (!read_origin(slot, page, i, &new))
			return false;
		if (new != page->guest[i])
			sync_entry(vm, page, i, new);
	}
	return true;
}

/*
 * Up to n tables: protected first, all with one flush, so that what is compared holds still. Each stays
 * on the list until it is in step: who finds the list empty without the lock relies on that.
 */
static void sync_some(struct vm *vm, int n, struct list_head *freed)
{
	struct mmu_page *page;
	bool flush = false;
	int found = 0;

	list_for_each_entry(page, &vm->shadow.unsync, unsync_link) {
		if (found == n)
			break;
		found++;
		flush |= shadow_protect_table(vm, page->gfn);
	}
	if (flush)
		vm_kick_and_wait(vm, REQ_TLB_FLUSH);
	vm->shadow.seq++;
	while (found--) {
		page = list_first_entry(&vm->shadow.unsync, struct mmu_page, unsync_link);
		if (page->parents.word && sync_table(vm, page))
			list_del_init(&page->unsync_link);
		else
			shadow_zap_page(vm, page, freed);
	}
}

/* Every guest table is as its shadow from here on, but for those that another vCPU writes meanwhile. */
void shadow_sync(struct vm *vm)
{
	LIST_HEAD(freed);
	int idx = srcu_read_lock(&vm->srcu);

	spin_lock(&vm->mmu_lock);
	while (!list_empty(&vm->shadow.unsync)) {
		sync_some(vm, SYNC_BATCH, &freed);
		cond_resched_lock(&vm->mmu_lock);
	}
	if (!list_empty(&freed))
		vm_kick_and_wait(vm, REQ_TLB_FLUSH);
	mmu_audit(vm, false);
	spin_unlock(&vm->mmu_lock);
	srcu_read_unlock(&vm->srcu, idx);
	free_tables(&freed);
}

/*
 * What is about to be linked wasn't to be reached from there when the guest last flushed, perhaps by
 * INVLPG, so it may lag behind. The guest may go on writing its tables.
 */
void shadow_sync_below(struct vm *vm, struct mmu_page *page, struct list_head *freed)
{
	struct mmu_page *leaf, *next;

	if (page->role.direct || bitmap_empty(page->present, PT_ENTRIES) ||
	    (page->role.level == 1 && list_empty(&page->unsync_link)))
		return;
	list_for_each_entry_safe(leaf, next, &vm->shadow.unsync, unsync_link)
		if ((page->role.level > 1 || leaf == page) && !sync_table(vm, leaf))
			shadow_zap_page(vm, leaf, freed);
}

/* ---- INVLPG ---------------------------------------------------------------------------------- */

static void invalidate_address(struct vcpu *vcpu, gva_t gva)
{
	struct vcpu_mmu *mmu = vcpu->mmu;
	struct vm *vm = vcpu->vm;
	bool four = mmu->role.level == ROOT_LEVEL;
	struct mmu_page *page = mmu->root[four ? 0 : (gva >> 30) & 3];
	unsigned int i;
	u64 new;

	for (; page; page = mmu_page_of(page->table[i])) {
		i = spte_index(gva, page->role.level);
		if (!page->table[i])
			return;
		if (spte_is_leaf(page->table[i], page->role.level))
			break;
	}
	if (!page || list_empty(&page->unsync_link))
		return;
	if (!read_origin(vcpu_gfn_to_slot(vcpu, page->gfn), page, i, &new))
		shadow_zap_entry(vm, &page->table[i]);
	else if (new != page->guest[i])
		sync_entry(vm, page, i, new);
}

/**
 * mmu_invlpg() - INVLPG, or what does the same
 * @vcpu: the vCPU
 * @gva: the address
 *
 * A table that is in step needs nothing; what else read it meanwhile will find that it was written.
 *
 * Context: vcpu; interrupts on or off.
 */
void mmu_invlpg(struct vcpu *vcpu, gva_t gva)
{
	struct vm *vm = vcpu->vm;
	int idx;

	vcpu->mmu->mmio.generation = 0;
	mmu_forget_recent(vcpu->mmu);	/* a global page is flushed in all address spaces */
	if (vcpu->mmu->kind == ROOT_SHADOW && !list_empty(&vm->shadow.unsync)) {
		if (!mmu_lock_if_allowed(vm)) {
			mmu_flush_guest(vcpu);
			return;
		}
		idx = srcu_read_lock(&vm->srcu);
		vm->shadow.seq++;
		invalidate_address(vcpu, gva);
		srcu_read_unlock(&vm->srcu, idx);
		spin_unlock(&vm->mmu_lock);
	}
	hw_flush_address(vcpu, gva);
}

/* ---- writes that we make for the guest -------------------------------------------------------------- */

static void zap_written(struct vm *vm, struct mmu_page *page, unsigned int offset, unsigned int len)
{
	bool two = page->role.guest_levels == 2 && page->role.level == 2;
	unsigned int size = page->role.guest_levels == 2 ? 4 : 8;
	unsigned int first = offset / size * (two ? 2 : 1);
	unsigned int last = (offset + len - 1) / size * (two ? 2 : 1) + two, i;
	unsigned int base = page->role.quadrant * PT_ENTRIES;

	for (i = max(first, base); i <= last && i < base + PT_ENTRIES; i++)
		if (page->table[i - base])
			shadow_zap_entry(vm, &page->table[i - base]);
}

/* One that is written over and over, or not as a table would be, is none any more. */
static bool looks_like_data(struct mmu_page *page, unsigned int offset, unsigned int len)
{
	if (len < 4 || (offset & 3) || (offset & (page->role.guest_levels == 2 ? 3 : 7) & (len - 1)))
		return true;
	if (page->roots)
		return false;
	return page->role.level > 1 && ++page->writes > MAX_WRITES && !page->parents.word;
}

static void table_written(struct vm *vm, gfn_t gfn, unsigned int offset, unsigned int len)
{
	struct mmu_page *page;
	struct hlist_node *next;
	LIST_HEAD(freed);

	spin_lock(&vm->mmu_lock);
	vm->shadow.seq++;
	for_each_table_of_safe(vm, gfn, page, next) {
		if (!list_empty(&page->unsync_link))
			continue;
		if (looks_like_data(page, offset, len))
			shadow_zap_page(vm, page, &freed);
		else
			zap_written(vm, page, offset, len);
	}
	if (!list_empty(&freed))
		vm_kick_and_wait(vm, REQ_TLB_FLUSH);
	mmu_audit(vm, false);
	spin_unlock(&vm->mmu_lock);
	free_tables(&freed);
}

/**
 * mmu_guest_wrote() - guest memory was written by the hypervisor, for the guest
 * @vm: the VM
 * @gpa: where
 * @len: how much; within a page
 *
 * Context: under vm->srcu; any but with mmu_lock held.
 */
void mmu_guest_wrote(struct vm *vm, gpa_t gpa, unsigned int len)
{
	if (vm->mmu_mode != MMU_SHADOW)
		return;
	/* pairs with the barrier in shadow_get() */
	smp_mb();
	if (shadow_has_tables(vm, gpa_to_gfn(gpa), 2))
		table_written(vm, gpa_to_gfn(gpa), offset_in_page(gpa), len);
}
