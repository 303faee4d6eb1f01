// SPDX-License-Identifier: GPL-2.0
/*
 * The invariants of a VM's tables, checked over all of them: for tests, built in by MMU_AUDIT=y.
 *
 * What is wrong is warned of once for each kind, with the stack of where it was found. The cost is
 * that of looking at every entry of every table, so only one chance in audit_every is taken.
 */
#include <linux/mm.h>
#include <linux/module.h>
#include <asm/mtrr.h>
#include <asm/vmx.h>

#include "mmu/mmu.h"

static unsigned int audit_every = 64;
module_param(audit_every, uint, 0644);
MODULE_PARM_DESC(audit_every, "of so many chances to check the MMU's tables one is taken");

static bool audit_guest = true;
module_param(audit_guest, bool, 0644);
MODULE_PARM_DESC(audit_guest,
"compare with the guest's tables, too: no client may have written them");

static unsigned long audits;
module_param(audits, ulong, 0444);
MODULE_PARM_DESC(audits, "how often the MMU's tables were checked");

/* True if the rule is broken; the rest of what it is about isn't looked at then. */
#define broken(condition, fmt, ...) ({						\
	bool broken_ = !!(condition);						\
	WARN_ONCE(broken_, "minivmm: MMU audit: " fmt "\n", ##__VA_ARGS__);	\
	unlikely(broken_);							\
})

static bool rmap_has(const struct rmap *rmap, const u64 *entry)
{
	struct rmap_iter iter;
	u64 *e;

	rmap_for_each(rmap, &iter, e)
		if (e == entry)
			return true;
	return false;
}

static bool within(const struct memslot *slot, gfn_t gfn, int level)
{
	return slot && gfn >= slot->base_gfn &&
	       gfn + level_pages(level) <= slot->base_gfn + slot->npages;
}

/* Of memory that is the host's to give: nobody's page any more would be somebody else's soon. */
static bool is_free_page(u64 entry)
{
	u64 pfn = (entry & PTE_ADDRESS) >> PAGE_SHIFT;

	return !pfn_valid(pfn) || !page_count(compound_head(pfn_to_page(pfn)));
}

/* ---- direct tables --------------------------------------------------------------------------- */

static void audit_direct_leaf(struct vm *vm, struct mmu_page *page, unsigned int i)
{
	const struct memslot *slot;
	int level = page->role.level;
	gfn_t gfn = page->gfn + i * level_pages(level);
	bool ept = page->role.guest_levels == FORMAT_EPT;
	u64 entry = page->table[i];
	int type = entry >> VMX_EPT_MT_EPTE_SHIFT & 7;
	bool device = ept ? type != MTRR_TYPE_WRBACK : entry & PTE_PCD;

	slot = within(vm->leaving, gfn, level) ? vm->leaving : gfn_to_slot(vm, gfn);
	if (broken(!within(slot, gfn, level), "gfn %#llx is mapped at level %d, and in no slot",
		   gfn, level))
		return;
	broken(level > MAX_LEAF_LEVEL || !(entry & VMX_EPT_READABLE_MASK),
	       "entry %#llx of a direct table, level %d", entry, level);
	broken((entry & PTE_ADDRESS) >> PAGE_SHIFT & (level_pages(level) - 1),
	       "entry %#llx isn't aligned to level %d", entry, level);
	broken(entry & PTE_W && !slot_writable(slot) && slot != vm->leaving &&
	       !within(vm->leaving, gfn, level), "gfn %#llx of a read-only slot is writable", gfn);
	broken(ept && type && type != MTRR_TYPE_WRBACK, "memory type of entry %#llx", entry);
	broken(device && !vm->maps_devices, "entry %#llx maps a device", entry);
	broken(!device && is_free_page(entry), "entry %#llx maps a free page", entry);
}

static unsigned long audit_direct(struct vm *vm, struct mmu_page *page)
{
	struct mmu_page *child;
	unsigned long n = 0;
	unsigned int i;
	u64 entry;

	for (i = 0; i < PT_ENTRIES; i++) {
		entry = page->table[i];
		if (!entry)
			continue;
		if (spte_is_leaf(entry, page->role.level)) {
			audit_direct_leaf(vm, page, i);
			continue;
		}
		child = mmu_page_of(entry);
		if (broken(!child || __pa(child->table) != (entry & PTE_ADDRESS) ||
			   child->role.level != page->role.level - 1 || !child->role.direct ||
			   child->role.guest_levels != page->role.guest_levels ||
			   child->gfn != page->gfn + i * level_pages(page->role.level),
			   "entry %#llx of level %d leads to another table", entry,
			   page->role.level))
			continue;
		n += 1 + audit_direct(vm, child);
	}
	return n;
}

/* ---- shadow tables: themselves --------------------------------------------------------------- */

static bool is_live(struct vm *vm, struct mmu_page *page)
{
	return page && !page->zapped && shadow_find(vm, page->gfn, page->role) == page;
}

static void audit_roots(struct vm *vm, struct mmu_page *page)
{
	struct vcpu *vcpu;
	int roots = 0, i, r;

	for_each_vcpu(i, vcpu, vm)
		for (r = 0; r < ARRAY_SIZE(vcpu->mmu->root); r++)
			roots += vcpu->mmu->root[r] == page;
	broken(roots != page->roots, "%d vCPUs' root, and counted as that of %d", roots,
	       page->roots);
}

/* Outside of long mode a vCPU walks from what pae[] has. */
static void audit_vcpus(struct vm *vm)
{
	struct vcpu_mmu *mmu;
	struct vcpu *vcpu;
	int i, r;

	for_each_vcpu(i, vcpu, vm) {
		mmu = vcpu->mmu;
		for (r = 0; r < ARRAY_SIZE(mmu->root); r++) {
			u64 want = mmu->root[r] && mmu->root[r]->role.level < ROOT_LEVEL ?
				   __pa(mmu->root[r]->table) | PTE_P : 0;

			broken(mmu->pae && mmu->pae[r] != want, "PDPTE %d is %#llx, not %#llx", r,
			       mmu->pae[r], want);
		}
	}
}

static void audit_parents(struct vm *vm, struct mmu_page *page)
{
	struct rmap_iter iter;
	u64 *entry;

	rmap_for_each(&page->parents, &iter, entry) {
		struct mmu_page *parent = mmu_page_around(entry);

		if (broken(!is_live(vm, parent), "a parent isn't a table any more"))
			continue;
		broken((*entry & PTE_ADDRESS) != __pa(page->table) || !(*entry & PTE_P) ||
		       spte_is_leaf(*entry, parent->role.level) ||
		       parent->role.level != page->role.level + 1,
		       "a parent's entry %#llx of level %d leads elsewhere", *entry,
		       parent->role.level);
	}
}

/* What the guest's writes to it would escape, if its shadow doesn't lag behind. */
static void audit_protection(struct vm *vm, struct mmu_page *page)
{
	struct memslot *slot = gfn_to_slot(vm, page->gfn);
	struct rmap_iter iter;
	u64 *entry;
	int level;

	if (broken(!slot && !within(vm->leaving, page->gfn, 1),
		   "a table of the guest's in no slot"))
		return;
	if (!slot)
		return;
	if (list_empty(&page->unsync_link))
		rmap_for_each(slot_rmap(slot, page->gfn, 1), &iter, entry)
			broken(*entry & PTE_W,
			       "the guest can write its table %#llx of level %d: by %#llx",
			       page->gfn, page->role.level, *entry);
	for (level = 2; level <= MAX_LEAF_LEVEL; level++)
		broken(slot_rmap(slot, page->gfn, level)->word,
		       "a guest's table lies in a large page that is mapped whole");
	broken(!shadow_has_tables(vm, page->gfn, 2) || !shadow_has_tables(vm, page->gfn, 3),
	       "a table of the guest's isn't counted in its region");
}

/* ---- shadow tables: their entries ------------------------------------------------------------ */

static void audit_link(struct vm *vm, struct mmu_page *page, unsigned int i)
{
	struct mmu_page *child = mmu_page_of(page->table[i]);
	union mmu_role role = page->role;

	if (broken(!is_live(vm, child) || __pa(child->table) != (page->table[i] & PTE_ADDRESS),
		   "entry %#llx of level %d leads to no table", page->table[i], role.level))
		return;
	broken(!rmap_has(&child->parents, &page->table[i]), "a table doesn't know its parent");
	broken(child->role.level != role.level - 1, "a table of level %d in one of %d",
	       child->role.level, role.level);
	broken((child->role.access & ~role.access) && role.wp,
	       "a table allows %#x in one that allows %#x", child->role.access, role.access);
	if (child->role.direct)
		return;
	role.level = child->role.level;
	role.access = child->role.access;
	role.quadrant = child->role.quadrant;
	broken(child->role.word != role.word, "a table of role %#x in one of %#x", child->role.word,
	       page->role.word);
}

/* Joined over all levels. */
static u32 leaf_may(const struct mmu_page *page, unsigned int i)
{
	u64 guest;
	u32 may = page->role.access;

	if (page->role.direct)
		return may;
	guest = page->guest[i];
	may &= (guest & (PTE_W | PTE_U)) | (guest & PTE_NX ? 0 : CAN_EXEC);
	return guest & PTE_D ? may : may & ~CAN_WRITE;
}

/* D is never set there. */
static bool in_readonly_slot(struct vm *vm, const struct mmu_page *page)
{
	const struct memslot *slot = gfn_to_slot(vm, page->gfn);

	return !page->role.direct && slot && !slot_writable(slot);
}

static void audit_rights(struct vm *vm, struct mmu_page *page, unsigned int i)
{
	u32 may = leaf_may(page, i);
	u64 entry = page->table[i];

	broken(entry & PTE_U && !(may & CAN_USER), "user may use what is the supervisor's: %#llx",
	       entry);
	broken(vm->shadow.nx && !(entry & PTE_NX) && !(may & CAN_EXEC),
	       "what may not be executed can be: %#llx", entry);
	broken(entry & PTE_W && !(entry & SPTE_HOST_W), "writable, but not for the host: %#llx",
	       entry);
	/* with WP = 0 the supervisor writes what is read-only, and user mode doesn't get at it */
	broken(entry & PTE_W && !(may & CAN_WRITE) && !in_readonly_slot(vm, page) &&
	       (page->role.wp || (entry & PTE_U && !page->role.direct)),
	       "what is read-only or clean is writable: %#llx, level %d, guest's entry %#llx",
	       entry, page->role.level, page->guest ? page->guest[i] : 0);
}

static void audit_leaf(struct vm *vm, struct mmu_page *page, unsigned int i)
{
	const struct memslot *slot = vm->leaving;
	u64 *entry = &page->table[i], *other;
	int level = page->role.level;
	gfn_t gfn = shadow_leaf_gfn(page, i);
	struct rmap_iter iter;

	if (!within(slot, gfn, level) || !rmap_has(slot_rmap(slot, gfn, level), entry))
		slot = gfn_to_slot(vm, gfn);
	if (broken(!within(slot, gfn, level), "gfn %#llx is mapped at level %d, and in no slot",
		   gfn, level))
		return;
	if (broken(!rmap_has(slot_rmap(slot, gfn, level), entry),
		   "gfn %#llx: its reverse map lacks an entry of level %d", gfn, level))
		return;
	other = rmap_first(slot_rmap(slot, gfn, level), &iter);
	broken((*entry ^ *other) & PTE_ADDRESS, "gfn %#llx is mapped to two pages: %#llx and %#llx",
	       gfn, *entry, *other);
	broken(!(*entry & PTE_P) || (level > 1 &&
	       (*entry & PTE_ADDRESS) >> PAGE_SHIFT & (level_pages(level) - 1)),
	       "leaf %#llx of level %d", *entry, level);
	broken(*entry & PTE_W && !slot_writable(slot), "gfn %#llx of a read-only slot is writable",
	       gfn);
	broken(*entry & PTE_PCD && !vm->maps_devices, "leaf %#llx maps a device", *entry);
	broken(!(*entry & PTE_PCD) && is_free_page(*entry), "leaf %#llx maps a free page", *entry);
	audit_rights(vm, page, i);
}

/*
 * An entry of a table that doesn't lag behind, against the guest's own in memory. Another vCPU may
 * have written that and be waiting for the lock.
 */
static void audit_against_guest(struct vm *vm, struct mmu_page *page, unsigned int i)
{
	bool leaf = spte_is_leaf(page->table[i], page->role.level);
	struct mmu_page *child = leaf ? NULL : mmu_page_of(page->table[i]);
	u64 guest;
	u32 may;

	if (!audit_guest || vm->nr_vcpus > 1 || !list_empty(&page->unsync_link) ||
	    !shadow_read_entries(vm, gfn_to_gpa(page->gfn) + guest_offset(page, i),
				 page->role.guest_levels, &guest, 1))
		return;
	if (leaf) {
		broken((guest ^ page->guest[i]) & ~(PTE_A | PTE_D),
		       "level %d: the guest's entry is %#llx, and its shadow was made from %#llx",
		       page->role.level, guest, page->guest[i]);
		return;
	}
	broken(!(guest & PTE_P), "level %d: the guest's entry %#llx isn't present, but its shadow",
	       page->role.level, guest);
	may = page->role.access & ((guest & (PTE_W | PTE_U)) | (guest & PTE_NX ? 0 : CAN_EXEC));
	broken(!child->role.direct && child->role.access != may,
	       "level %d: the guest's entry %#llx allows %#x, its shadow %#x",
	       page->role.level, guest, may, child->role.access);
	broken(!child->role.direct && child->gfn != gpa_to_gfn(guest & PTE_ADDRESS),
	       "level %d: the guest's entry %#llx leads elsewhere than its shadow of %#llx",
	       page->role.level, guest, child->gfn);
}

static void audit_table(struct vm *vm, struct mmu_page *page)
{
	unsigned int i;

	if (broken(!is_live(vm, page) || mmu_page_around(page->table) != page,
		   "a table isn't found by its gfn %#llx and role %#x", page->gfn, page->role.word))
		return;
	audit_roots(vm, page);
	audit_parents(vm, page);
	if (!page->role.direct)
		audit_protection(vm, page);
	for (i = 0; i < PT_ENTRIES; i++) {
		broken(test_bit(i, page->present) != !!page->table[i],
		       "entry %#llx and its present bit",
		       page->table[i]);
		if (!page->table[i])
			continue;
		if (spte_is_leaf(page->table[i], page->role.level))
			audit_leaf(vm, page, i);
		else
			audit_link(vm, page, i);
		if (!page->role.direct)
			audit_against_guest(vm, page, i);
	}
}

/* ---- what leads to entries ------------------------------------------------------------------- */

static void audit_rmap(struct vm *vm, const struct memslot *slot, gfn_t gfn, int level)
{
	struct rmap_iter iter;
	u64 *entry;

	rmap_for_each(slot_rmap(slot, gfn, level), &iter, entry) {
		struct mmu_page *page = mmu_page_around(entry);

		if (broken(!is_live(vm, page),
			   "gfn %#llx: its reverse map has an entry of no table", gfn))
			continue;
		broken(page->role.level != level || !*entry || !spte_is_leaf(*entry, level) ||
		       shadow_leaf_gfn(page,
		       entry - page->table) != (gfn & ~(level_pages(level) - 1)),
		       "gfn %#llx: its reverse map has entry %#llx of another", gfn, *entry);
	}
}

static void audit_slot(struct vm *vm, const struct memslot *slot)
{
	gfn_t gfn, end = slot->base_gfn + slot->npages;
	int level;

	for (level = 1; level <= MAX_LEAF_LEVEL; level++)
		for (gfn = slot->base_gfn; gfn < end; gfn = (gfn | (level_pages(level) - 1)) + 1)
			audit_rmap(vm, slot, gfn, level);
}

static void audit_hash(struct vm *vm)
{
	unsigned long n = 0, counted = 0;
	struct mmu_page *page;
	int i;

	for (i = 0; i < 1 << SHADOW_HASH_BITS; i++)
		hlist_for_each_entry(page, &vm->shadow.hash[i], hash_link) {
			struct mmu_page *first = NULL, *other;

			n++;
			/* guest tables, not their shadows, are counted by region */
			for_each_table_of(vm, page->gfn, other)
				first = first ?: other;
			counted += first == page;
		}
	broken(n != vm->shadow.nr, "%lu tables are found, and %lu counted", n, vm->shadow.nr);
	for (i = 0; i < SHADOW_REGIONS_1G; i++)
		counted -= vm->shadow.tables_1g[i];
	broken(counted, "the tables counted by region are off by %ld", (long)counted);
	for (i = 0; i < SHADOW_REGIONS_2M; i++)
		counted += vm->shadow.tables_2m[i];
	for (i = 0; i < SHADOW_REGIONS_1G; i++)
		counted -= vm->shadow.tables_1g[i];
	broken(counted, "regions of 2M and of 1G differ by %ld tables", (long)counted);
}

static void audit_shadow(struct vm *vm)
{
	struct memslots *slots = srcu_dereference(vm->slots, &vm->srcu);
	struct mmu_page *page;
	unsigned long n = 0;
	int i;

	list_for_each_entry(page, &vm->shadow.pages, link) {
		audit_table(vm, page);
		n++;
	}
	broken(n != vm->shadow.nr, "%lu tables are listed, and %lu counted", n, vm->shadow.nr);
	list_for_each_entry(page, &vm->shadow.unsync, unsync_link)
		broken(page->role.level > 1 || page->role.direct || !is_live(vm, page),
		       "a table lags behind that may not: role %#x", page->role.word);
	audit_hash(vm);
	audit_vcpus(vm);
	for (i = 0; i < slots->count; i++)
		audit_slot(vm, &slots->slot[i]);
	if (vm->leaving)
		audit_slot(vm, vm->leaving);
}

/* ---- all of a VM ----------------------------------------------------------------------------- */

/**
 * mmu_audit() - check all tables of a VM
 * @vm: the VM
 * @seldom: the chance is taken whatever audit_every says
 *
 * Context: mmu_lock held, and nothing under way: what is linked is in the reverse maps, and so on.
 */
void mmu_audit(struct vm *vm, bool seldom)
{
	static unsigned int chances;
	unsigned long direct = 0;
	int idx;

	if (!seldom && ++chances < audit_every)
		return;
	chances = 0;
	audits++;
	idx = srcu_read_lock(&vm->srcu);
	if (vm->root)
		direct += audit_direct(vm, vm->root);
	if (vm->flat)
		direct += audit_direct(vm, vm->flat);
	broken(vm->stats.table_pages != direct + vm->shadow.nr,
	       "%lu direct and %lu shadow tables, and %llu reported", direct, vm->shadow.nr,
	       vm->stats.table_pages);
	/* not where its creation failed */
	if (vm->shadow.hash && vm->shadow.tables_1g && vm->shadow.tables_2m)
		audit_shadow(vm);
	srcu_read_unlock(&vm->srcu, idx);
}
