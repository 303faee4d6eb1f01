// SPDX-License-Identifier: GPL-2.0
/*
 * Tables that map guest physical addresses, one root for the whole VM and each format: EPT, and "flat",
 * PAE's, for a guest that has paging off where the CPU can't run it with EPT.
 *
 * Since a gfn has one place in them, what maps a range is found by walking from the root; there is
 * no reverse map. All under mmu_lock. A table that is unlinked goes to a list, and is freed when every
 * vCPU that could still be walking it has been flushed.
 */
#include <linux/mm.h>
#include <asm/mtrr.h>
#include <asm/vmx.h>

#include "mmu/mmu.h"

/*
 * SDM "EPT page-table entries". Bits 52 .. 62 are ignored by the CPU: ours. PAE's have the user bit in
 * the place of X, and W and the bit of a large page where EPT has them.
 */
#define EPT_R			VMX_EPT_READABLE_MASK
#define EPT_W			VMX_EPT_WRITABLE_MASK
#define EPT_X			VMX_EPT_EXECUTABLE_MASK
#define EPT_RWX			(EPT_R | EPT_W | EPT_X)
#define EPT_LARGE		BIT_ULL(7)
#define EPT_ACCESSED		VMX_EPT_ACCESS_BIT
#define EPT_DIRTY		VMX_EPT_DIRTY_BIT
#define EPT_SPECULATIVE		BIT_ULL(52)	/* mapped ahead: not accessed, on a CPU that can't tell */

#define BATCH		512	/* entries between two chances to let others in */

static bool is_leaf(u64 entry, int level)
{
	return level == 1 || (entry & EPT_LARGE);
}

static bool is_flat(const struct mmu_page *page)
{
	return page->role.guest_levels == FORMAT_FLAT;
}

static u64 ept_leaf(const struct mapping *m)
{
	u64 entry = EPT_R;

	if (m->exec)
		entry |= EPT_X;
	/*
	 * RAM is write-back whatever the guest's PAT says: the host's caches are coherent, and no
	 * device that isn't is ever assigned. What isn't RAM is what the host maps it as: uncached.
	 */
	entry |= m->device ? MTRR_TYPE_UNCACHABLE << VMX_EPT_MT_EPTE_SHIFT :
			     (MTRR_TYPE_WRBACK << VMX_EPT_MT_EPTE_SHIFT) | VMX_EPT_IPAT_BIT;
	if (m->speculative)
		return entry | EPT_SPECULATIVE;
	entry |= EPT_ACCESSED;
	return m->writable ? entry | EPT_DIRTY : entry;
}

static u64 flat_leaf(const struct mapping *m)
{
	u64 entry = PTE_P | PTE_U;

	if (m->writable)
		entry |= PTE_D;
	if (m->device)
		entry |= PTE_PCD | PTE_PWT;
	return m->speculative ? entry : entry | PTE_A;
}

static u64 make_leaf(const struct mmu_page *page, const struct mapping *m)
{
	u64 entry = (m->pfn << PAGE_SHIFT) | (is_flat(page) ? flat_leaf(m) : ept_leaf(m));

	if (m->writable)
		entry |= EPT_W;
	return m->level > 1 ? entry | EPT_LARGE : entry;
}

static u64 link_to(const struct mmu_page *page, const struct mmu_page *child)
{
	/* a page-directory-pointer-table entry has no rights */
	return __pa(child->table) | (is_flat(page) && page->role.level == 3 ? PTE_P : EPT_RWX);
}

static void unlink_subtree(struct vm *vm, u64 entry, struct list_head *freed)
{
	struct mmu_page *page = mmu_page_of(entry);
	int i;

	if (page->role.level > 1)
		for (i = 0; i < PT_ENTRIES; i++)
			if (page->table[i] && !is_leaf(page->table[i], page->role.level))
				unlink_subtree(vm, page->table[i], freed);
	list_add(&page->link, freed);
	vm->stats.table_pages--;
}

/**
 * direct_map() - put one leaf into a VM's tables
 * @vm: the VM
 * @root: which of its tables
 * @cache: tables for the levels that aren't there: filled for ROOT_LEVEL - 1
 * @m: what is to be mapped
 * @freed: gets the tables that a larger page replaced
 * @flush: set if something that was there went away or was restricted
 *
 * Context: mmu_lock held.
 */
void direct_map(struct vm *vm, struct mmu_page *root, struct mmu_cache *cache,
		const struct mapping *m, struct list_head *freed, bool *flush)
{
	struct mmu_page *page = root, *child;
	u64 *entry, old;

	for (;;) {
		entry = &page->table[table_index(m->gfn, page->role.level)];
		if (page->role.level == m->level)
			break;
		if (*entry && is_leaf(*entry, page->role.level)) {
			/* a large page that must be mapped smaller now: the rest faults in again */
			WRITE_ONCE(*entry, 0);
			*flush = true;
		}
		if (!*entry) {
			child = mmu_page_take(cache, m->gfn & ~(level_pages(page->role.level) - 1),
					      page->role.level - 1);
			child->role.guest_levels = root->role.guest_levels;
			vm->stats.table_pages++;
			WRITE_ONCE(*entry, link_to(page, child));
		}
		page = mmu_page_of(*entry);
	}

	old = *entry;
	WRITE_ONCE(*entry, make_leaf(page, m));
	if (!old)
		return;
	if (!is_leaf(old, m->level))
		unlink_subtree(vm, old, freed);
	/* what only gained permissions needn't be flushed: at worst it faults once more */
	if (!is_leaf(old, m->level) || (old & PHYSICAL_PAGE_MASK) != m->pfn << PAGE_SHIFT ||
	    (old & EPT_RWX & ~*entry))
		*flush = true;
}

/* The entry that maps gfn, and its level; NULL if none does. */
static u64 *find_leaf(struct mmu_page *page, gfn_t gfn, int *level)
{
	u64 *entry;

	for (;;) {
		entry = &page->table[table_index(gfn, page->role.level)];
		*level = page->role.level;
		if (!*entry)
			return NULL;
		if (is_leaf(*entry, page->role.level))
			return entry;
		page = mmu_page_of(*entry);
	}
}

bool direct_present(struct mmu_page *root, gfn_t gfn)
{
	int level;

	return find_leaf(root, gfn, &level);
}

int direct_level(struct mmu_page *root, gfn_t gfn)
{
	int level;

	find_leaf(root, gfn, &level);
	return level;
}

/* ---- over ranges ----------------------------------------------------------------------------- */

struct range_op {
	struct vm *vm;
	gfn_t start, end;
	struct list_head *freed;	/* zap: gets unlinked tables */
	bool clear;			/* age: forget the access, too */
	int budget;			/* entries that may still be looked at */
	/* an entry that maps something of the range, whole or in part; true: note it */
	bool (*leaf)(struct range_op *op, u64 *entry, int level);
	bool zap;			/* unlink tables that lie within the range */
};

/* One table, from *gfn on. Returns whether any leaf() did; *gfn is where it stopped. */
static bool walk_table(struct range_op *op, struct mmu_page *page, gfn_t *gfn)
{
	gfn_t step = level_pages(page->role.level);
	gfn_t table_end = page->gfn + step * PT_ENTRIES;
	bool hit = false;

	while (*gfn < op->end && *gfn < table_end && op->budget > 0) {
		u64 *entry = &page->table[table_index(*gfn, page->role.level)];
		gfn_t first = *gfn & ~(step - 1);

		op->budget--;
		if (!*entry) {
			*gfn = first + step;
		} else if (is_leaf(*entry, page->role.level)) {
			hit |= op->leaf(op, entry, page->role.level);
			*gfn = first + step;
		} else if (op->zap && first >= op->start && first + step <= op->end) {
			u64 old = *entry;

			WRITE_ONCE(*entry, 0);
			unlink_subtree(op->vm, old, op->freed);
			op->budget -= PT_ENTRIES / 4;
			*gfn = first + step;
			hit = true;
		} else {
			hit |= walk_table(op, mmu_page_of(*entry), gfn);
		}
	}
	return hit;
}

static bool zap_leaf(struct range_op *op, u64 *entry, int level)
{
	WRITE_ONCE(*entry, 0);
	return true;
}

bool direct_zap(struct vm *vm, struct mmu_page *root, gfn_t *start, gfn_t end,
		struct list_head *freed)
{
	struct range_op op = {
		.vm = vm, .start = *start, .end = min(end, PT_ENTRIES * level_pages(root->role.level)),
		.freed = freed, .zap = true, .leaf = zap_leaf, .budget = BATCH,
	};
	bool hit = walk_table(&op, root, start);

	if (*start >= op.end)
		*start = end;
	return hit;
}

static bool protect_leaf(struct range_op *op, u64 *entry, int level)
{
	if (!(*entry & EPT_W))
		return false;
	if (level > 1)
		WRITE_ONCE(*entry, 0);		/* writes are logged by 4K */
	else if (op->vm->pml && !is_flat(mmu_page_around(entry)))
		return test_and_clear_bit(ilog2(EPT_DIRTY), (unsigned long *)entry);
	else
		WRITE_ONCE(*entry, *entry & ~EPT_W);
	return true;
}

bool direct_write_protect(struct vm *vm, struct mmu_page *root, gfn_t *start, gfn_t end)
{
	struct range_op op = {
		.vm = vm, .start = *start, .end = min(end, PT_ENTRIES * level_pages(root->role.level)),
		.leaf = protect_leaf, .budget = BATCH,
	};
	bool hit = walk_table(&op, root, start);

	if (*start >= op.end)
		*start = end;
	return hit;
}

/*
 * Without A bits in hardware an entry is young from the fault that made it, unless it was mapped
 * ahead; forgetting that means unmapping it, so that the next access faults.
 */
static bool age_leaf(struct range_op *op, u64 *entry, int level)
{
	bool flat = is_flat(mmu_page_around(entry));
	u64 accessed = flat ? PTE_A : EPT_ACCESSED;
	bool young = *entry & accessed;

	if (young && op->clear) {
		if (flat || op->vm->hw_accessed_bits)
			clear_bit(ilog2(accessed), (unsigned long *)entry);
		else
			WRITE_ONCE(*entry, 0);
	}
	return young;
}

bool direct_age(struct vm *vm, struct mmu_page *root, gfn_t start, gfn_t end, bool clear)
{
	struct range_op op = {
		.vm = vm, .start = start, .end = end, .clear = clear, .leaf = age_leaf,
		.budget = INT_MAX,
	};

	return walk_table(&op, root, &start);
}
