// SPDX-License-Identifier: GPL-2.0
/*
 * A page fault of a guest that runs on shadow tables: is it the guest's own, or ours to fix?
 *
 * The guest's tables are walked as the CPU would, without a lock. What was found is put into the
 * shadow tables under mmu_lock, if it still holds: vm->shadow.seq tells when it may not, and then the
 * entries are read again. Memory that is mapped somewhere already needs no asking of the host: an
 * entry that is there under mmu_lock is good, since the notifier would have taken it away.
 */
#include <linux/mm.h>
#include <linux/slab.h>

#include "trace.h"
#include "mmu/mmu.h"

#define PREFETCH	8	/* entries: the window, aligned, in which neighbours are mapped along */

struct shadow_fault {
	gva_t gva;
	u32 access;
	unsigned long seq;		/* of the tables, before the walk */
	struct guest_walk gw;
	u32 may;			/* CAN_*: for the leaf */
	struct fault f;			/* the memory behind it */
	int host_level;
	bool flush;			/* something was taken away, or restricted */
	struct list_head freed;
};

/* A leaf to be. */
struct leaf {
	gfn_t gfn;
	u64 pfn;
	u32 may;
	bool host_writable, device;
	bool write;			/* it is for a write, now */
	bool speculative;
};

/* ---- what is known of a page already -------------------------------------------------------------- */

/* From an entry that maps it: pfn, whether the host lets it be written, and how large it may be mapped. */
static bool known_page(const struct memslot *slot, gfn_t gfn, struct leaf *leaf, int *level)
{
	struct rmap_iter iter;
	u64 *entry;

	for (*level = 1; *level <= MAX_LEAF_LEVEL; ++*level) {
		entry = rmap_first(slot_rmap(slot, gfn, *level), &iter);
		if (!entry)
			continue;
		leaf->pfn = ((*entry & PTE_ADDRESS) >> PAGE_SHIFT) + (gfn & (level_pages(*level) - 1));
		leaf->host_writable = *entry & SPTE_HOST_W;
		leaf->device = *entry & PTE_PCD;
		return true;
	}
	return false;
}

/* ---- leaves ---------------------------------------------------------------------------------- */

static u64 make_spte(struct vm *vm, const struct leaf *leaf, int level, bool writable)
{
	u64 spte = leaf->pfn << PAGE_SHIFT | PTE_P | (leaf->may & CAN_USER);

	if (!(leaf->may & CAN_EXEC))
		spte |= vm->shadow.nx;
	if (level > 1)
		spte |= PTE_PS;
	if (leaf->host_writable)
		spte |= SPTE_HOST_W;
	if (writable)
		spte |= PTE_W | PTE_D;
	/* the guest's PAT isn't loaded while it runs on shadow tables: RAM is write-back */
	if (leaf->device)
		spte |= PTE_PCD | PTE_PWT;
	return leaf->speculative ? spte : spte | PTE_A;
}

/* Returns false if a write can't be let through: it would change a guest table unnoticed. */
static bool map_leaf(struct vcpu *vcpu, struct shadow_fault *sf, const struct memslot *slot,
		     u64 *entry, const struct leaf *leaf)
{
	struct mmu_cache *cache = &vcpu->mmu->cache;
	struct mmu_page *page = mmu_page_around(entry);
	int level = page->role.level;
	bool writable = (leaf->may & CAN_WRITE) && leaf->host_writable, ok = true;
	u64 old, new;

	if (writable && slot->dirty_bitmap && !leaf->write)
		writable = false;
	if (writable && level == 1 && shadow_has_tables(vcpu->vm, leaf->gfn, 2) &&
	    !shadow_may_write(vcpu->vm, leaf->gfn, leaf->speculative, &sf->freed))
		writable = ok = false;
	new = make_spte(vcpu->vm, leaf, level, writable);
	old = *entry;
	if (old && spte_is_leaf(old, level) && !((old ^ new) & PTE_ADDRESS)) {
		sf->flush |= old & ~new & (PTE_W | PTE_U) || new & ~old & PTE_NX;
		WRITE_ONCE(*entry, new);
		return ok;
	}
	if (old) {
		shadow_zap_entry(vcpu->vm, entry);
		sf->flush = true;
	}
	WRITE_ONCE(*entry, new);
	__set_bit(entry - page->table, page->present);
	shadow_note(cache, slot_rmap(slot, leaf->gfn, level), entry);
	return ok;
}

/* ---- neighbours ------------------------------------------------------------------------------ */

/* One entry of a leaf table, present and accessed: mapped along if that can't be told from the CPU's own caching of it. */
static void prefetch_entry(struct vcpu *vcpu, struct shadow_fault *sf, struct mmu_page *page,
			   unsigned int i, u64 entry)
{
	struct leaf leaf = { .speculative = true };
	struct memslot *slot;
	int level;

	if (entry & guest_reserved_bits(vcpu, page->role.guest_levels, 1, entry))
		return;
	leaf.may = page->role.access & ((entry & (PTE_W | PTE_U)) | (entry & PTE_NX ? 0 : CAN_EXEC));
	if (!(entry & PTE_D))
		leaf.may &= ~CAN_WRITE;
	leaf.gfn = gpa_to_gfn(entry & (page->role.guest_levels == 2 ? GENMASK_ULL(31, 12) : PTE_ADDRESS));
	slot = vcpu_gfn_to_slot(vcpu, leaf.gfn);
	if (!slot || !known_page(slot, leaf.gfn, &leaf, &level))
		return;
	page->guest[i] = entry;
	map_leaf(vcpu, sf, slot, &page->table[i], &leaf);
	vcpu->stats.faults_around++;
}

static void prefetch_around(struct vcpu *vcpu, struct shadow_fault *sf, struct mmu_page *page, unsigned int i)
{
	int levels = page->role.guest_levels, size = levels == 2 ? 4 : 8;
	unsigned int first = i & ~(PREFETCH - 1), n;
	u64 entry[PREFETCH];

	if (!shadow_read_entries(vcpu->vm, sf->gw.entry_gpa[1] - (i - first) * size, levels, entry,
				 PREFETCH))
		return;
	for (n = 0; n < PREFETCH; n++)
		if (!(~entry[n] & (PTE_P | PTE_A)) && !page->table[first + n])
			prefetch_entry(vcpu, sf, page, first + n, entry[n]);
}

/* Within one large page of the guest's: what the host has mapped beside the page. */
static void map_around(struct vcpu *vcpu, struct shadow_fault *sf, struct mmu_page *page,
		       unsigned int i)
{
	struct leaf leaf = { .may = sf->may, .host_writable = true, .speculative = true };
	int n;

	for (n = 0; n < sf->f.nr_around && i + 1 + n < PT_ENTRIES; n++) {
		if (page->table[i + 1 + n])
			continue;
		leaf.gfn = sf->f.gfn + 1 + n;
		leaf.pfn = page_to_pfn(sf->f.around[n]);
		map_leaf(vcpu, sf, sf->f.slot, &page->table[i + 1 + n], &leaf);
		vcpu->stats.faults_around++;
	}
}

/* ---- down to the leaf -------------------------------------------------------------------------- */

static union mmu_role child_role(struct vcpu *vcpu, const struct shadow_fault *sf, int level)
{
	union mmu_role role = vcpu->mmu->role;

	role.level = level;
	if (level < sf->gw.level)
		return (union mmu_role){ .level = level, .direct = true, .access = sf->may };
	role.access = sf->gw.may[level + 1];
	role.quadrant = role.guest_levels == 2 ? (sf->gva >> (12 + 9 * level)) & (level == 1 ? 1 : 3) : 0;
	return role;
}

/* As large as the host, the guest's page and its own tables allow. */
static int leaf_level(struct vcpu *vcpu, const struct shadow_fault *sf)
{
	int level = min(sf->gw.level, sf->host_level);

	while (level > 1 && shadow_has_tables(vcpu->vm, sf->f.gfn, level))
		level--;
	return level;
}

/* Of the guest's root table, or of one that a PDPTE or a quarter of a 32-bit one stands for. */
static struct mmu_page *root_page(struct vcpu *vcpu, const struct shadow_fault *sf, bool *created,
				  bool *flush)
{
	unsigned int quadrant = (sf->gva >> 30) & 3;
	struct vcpu_mmu *mmu = vcpu->mmu;
	union mmu_role role = mmu->role;

	if (role.level == ROOT_LEVEL)
		return mmu->root[0];
	if (mmu->root[quadrant])
		return mmu->root[quadrant];
	if (role.guest_levels == 2)
		role.quadrant = quadrant;
	return shadow_get(vcpu->vm, &mmu->cache, gpa_to_gfn(sf->gw.entry_gpa[2]), role, created, flush);
}

/*
 * The tables on the way, by level; none is linked yet. Those of the guest come first: how large the leaf
 * may be depends on where they are. Returns the leaf's level, or 0: there is no root.
 */
static int find_path(struct vcpu *vcpu, struct shadow_fault *sf, struct mmu_page **path, bool *created,
		     bool *flush)
{
	struct mmu_page *page = root_page(vcpu, sf, created, flush);
	struct mmu_cache *cache = &vcpu->mmu->cache;
	int level, leaf;
	gfn_t gfn;

	if (!page || page->zapped)
		return 0;
	level = page->role.level;
	path[level] = page;
	while (--level >= sf->gw.level)
		path[level] = shadow_get(vcpu->vm, cache, gpa_to_gfn(sf->gw.entry_gpa[level]),
					 child_role(vcpu, sf, level), created, flush);
	leaf = leaf_level(vcpu, sf);
	for (; level >= leaf; level--) {
		gfn = sf->f.gfn & ~(level_pages(level + 1) - 1);
		path[level] = shadow_get(vcpu->vm, cache, gfn, child_role(vcpu, sf, level), created, flush);
	}
	return leaf;
}

/* Which may lag behind, as long as they weren't to be reached from here. False: one is gone. */
static bool sync_path(struct vcpu *vcpu, struct shadow_fault *sf, struct mmu_page **path, int level,
		      int leaf)
{
	u64 entry;

	if (list_empty(&vcpu->vm->shadow.unsync))
		return true;
	if (level < ROOT_LEVEL && !vcpu->mmu->root[(sf->gva >> 30) & 3])
		shadow_sync_below(vcpu->vm, path[level], &sf->freed);
	for (; level > leaf; level--) {
		entry = path[level]->table[spte_index(sf->gva, level)];
		if (!entry || spte_is_leaf(entry, level) || mmu_page_of(entry) != path[level - 1])
			shadow_sync_below(vcpu->vm, path[level - 1], &sf->freed);
	}
	return !path[leaf]->zapped;
}

/* Returns the entry for the leaf, or NULL: the vCPU needs another root. */
static u64 *link_path(struct vcpu *vcpu, struct shadow_fault *sf, struct mmu_page **path, int leaf)
{
	struct vcpu_mmu *mmu = vcpu->mmu;
	int level = mmu->role.level;
	u64 *entry;

	if (!sync_path(vcpu, sf, path, level, leaf))
		return NULL;
	if (level < ROOT_LEVEL && !mmu->root[(sf->gva >> 30) & 3])
		shadow_set_root(mmu, (sf->gva >> 30) & 3, path[level]);
	for (; ; level--) {
		path[level]->writes = 0;
		entry = &path[level]->table[spte_index(sf->gva, level)];
		if (level == leaf)
			return entry;
		if (!*entry || spte_is_leaf(*entry, level) || mmu_page_of(*entry) != path[level - 1])
			shadow_link(vcpu->vm, &mmu->cache, entry, path[level - 1]);
	}
}

/* Are the guest's entries still as they were when they were walked, but for A and D? */
static bool still_as_walked(struct vcpu *vcpu, const struct guest_walk *gw)
{
	int level = gw->levels == 4 ? 4 : 2;
	u64 entry;

	for (; level >= gw->level; level--)
		if (!shadow_read_entries(vcpu->vm, gw->entry_gpa[level], gw->levels, &entry, 1) ||
		    ((entry ^ gw->entry[level]) & ~(PTE_A | PTE_D)))
			return false;
	return true;
}

/*
 * The table of 4K pages that is linked for the address already. Tables above it are never out of step: if
 * the last one is that which the walk led to, so are they.
 */
static struct mmu_page *linked_table(struct vcpu *vcpu, const struct shadow_fault *sf)
{
	struct vcpu_mmu *mmu = vcpu->mmu;
	int level = mmu->role.level;
	struct mmu_page *page = mmu->root[level == ROOT_LEVEL ? 0 : (sf->gva >> 30) & 3];
	u64 entry;

	if (sf->gw.level > 1 || !page || page->zapped)
		return NULL;
	for (; level > 1; level--) {
		page->writes = 0;
		entry = page->table[spte_index(sf->gva, level)];
		if (!entry || spte_is_leaf(entry, level))
			return NULL;
		page = mmu_page_of(entry);
	}
	if (page->role.direct || page->gfn != gpa_to_gfn(sf->gw.entry_gpa[1]) ||
	    page->role.access != sf->gw.may[2])
		return NULL;
	return page;
}

/* The entry for the leaf, with all that leads to it. NULL: the guest tries again, and so do we. */
static u64 *leaf_entry(struct vcpu *vcpu, struct shadow_fault *sf)
{
	struct mmu_page *path[ROOT_LEVEL + 1], *table = linked_table(vcpu, sf);
	bool created = false, flush = false;
	struct vm *vm = vcpu->vm;
	u64 *entry = NULL;
	int level;

	if (table && sf->seq == vm->shadow.seq)
		return &table->table[spte_index(sf->gva, 1)];
	level = find_path(vcpu, sf, path, &created, &flush);
	if (flush)	/* until then another vCPU may still write to what has become a table */
		vm_kick_and_wait(vm, REQ_TLB_FLUSH);
	if (level && (created || sf->seq != vm->shadow.seq) && !still_as_walked(vcpu, &sf->gw))
		return NULL;
	if (level)
		entry = link_path(vcpu, sf, path, level);
	if (!entry)
		vcpu_request(vcpu, REQ_MMU_RELOAD);
	return entry;
}

/* Was the page used before this fault? If not, its neighbours have hardly been either. */
static bool guest_accessed(const struct shadow_fault *sf)
{
	return sf->gw.entry[sf->gw.level] & PTE_A;
}

/* mmu_lock held. 1, or MMU_EMULATE. */
static int map_fault(struct vcpu *vcpu, struct shadow_fault *sf, struct leaf *leaf)
{
	u64 *entry = leaf_entry(vcpu, sf), guest;
	struct vm *vm = vcpu->vm;
	struct mmu_page *page;
	bool is_new;
	int level;

	if (!entry)
		return 1;
	is_new = !*entry;
	page = mmu_page_around(entry);
	level = page->role.level;
	leaf->gfn = sf->f.gfn & ~(level_pages(level) - 1);
	leaf->pfn &= ~(level_pages(level) - 1);
	leaf->may = sf->may;
	leaf->write = sf->f.write;
	if (!page->role.direct) {
		guest = sf->gw.entry[sf->gw.level];
		/* the walk has set them, but where the table can't be written */
		if (slot_writable(vcpu_gfn_to_slot(vcpu, page->gfn)))
			guest |= leaf->write ? PTE_A | PTE_D : PTE_A;
		if (*entry && spte_is_leaf(*entry, level) &&
		    shadow_leaf_gfn(page, entry - page->table) != leaf->gfn) {
			shadow_zap_entry(vm, entry);	/* by what it was made from */
			sf->flush = true;
		}
		page->guest[entry - page->table] = guest;
	}
	if (!map_leaf(vcpu, sf, sf->f.slot, entry, leaf) && sf->f.write) {
		vcpu->mmu->protected_gfn = sf->f.gfn;
		return MMU_EMULATE;
	}
	if (level == 1 && page->role.direct)
		map_around(vcpu, sf, page, entry - page->table);
	else if (level == 1 && is_new && guest_accessed(sf))
		prefetch_around(vcpu, sf, page, entry - page->table);
	return 1;
}

/* -EAGAIN: nothing is known of the page; the host must be asked. */
static int commit(struct vcpu *vcpu, struct shadow_fault *sf, bool asked)
{
	struct fault *f = &sf->f;
	struct leaf leaf = {};
	struct vm *vm = vcpu->vm;
	int r = 1;

	INIT_LIST_HEAD(&sf->freed);
	sf->flush = false;
	spin_lock(&vm->mmu_lock);
	if (asked) {
		if (host_changed(vm, f))
			goto unlock;
		leaf.pfn = f->pfn;
		leaf.host_writable = f->writable;
		leaf.device = !f->page;
		vm->maps_devices |= leaf.device;
		sf->host_level = host_mapping_level(vm, f, hw_max_shadow_level());
	} else if (!known_page(f->slot, f->gfn, &leaf, &sf->host_level) ||
		   (f->write && !leaf.host_writable)) {
		r = -EAGAIN;
		goto unlock;
	}
	shadow_make_room(vm, &sf->freed);
	r = map_fault(vcpu, sf, &leaf);
	if (!list_empty(&sf->freed))
		vm_kick_and_wait(vm, REQ_TLB_FLUSH);
	else if (sf->flush)
		vcpu_request(vcpu, REQ_TLB_FLUSH);
unlock:
	mmu_audit(vm, false);
	spin_unlock(&vm->mmu_lock);
	free_tables(&sf->freed);
	return r;
}

/* ---- the fault ------------------------------------------------------------------------------- */

static int map_memory(struct vcpu *vcpu, struct shadow_fault *sf)
{
	struct fault *f = &sf->f;
	int r;

	r = mmu_cache_fill_shadow(&vcpu->mmu->cache);
	if (r)
		return no_memory_behind(vcpu, f, r);
	f->nr_around = 0;
	r = commit(vcpu, sf, false);
	if (r == -EAGAIN) {
		/* within a large page of the guest's, neighbours by gfn are neighbours in the table */
		r = ask_host(vcpu, f, sf->gw.level > 1);
		if (r)
			return no_memory_behind(vcpu, f, r);
		r = commit(vcpu, sf, true);
		release_host_pages(f);
	}
	if (r == 1 && f->write)
		mark_page_dirty(f->slot, f->gfn);
	vcpu->stats.faults_fixed++;
	return r;
}

/*
 * What the leaf allows. A supervisor's write to a page that is read-only, while CR0.WP is 0, needs one
 * that the CPU lets through with WP = 1: the user's rights go meanwhile, and come back by a fault.
 * Not representable is that where SMAP would have to be checked again: then it is emulated.
 */
static bool choose_rights(struct vcpu *vcpu, struct shadow_fault *sf)
{
	const struct guest_walk *gw = &sf->gw;
	u32 may = gw->may[gw->level];
	bool write = sf->access & ACCESS_WRITE;

	if (write && !(may & CAN_WRITE)) {
		may |= CAN_WRITE;
		if (may & CAN_USER) {
			if (vcpu->cr4 & X86_CR4_SMAP)
				return false;
			may &= ~CAN_USER;
			if (vcpu->cr4 & X86_CR4_SMEP)
				may &= ~CAN_EXEC;
		}
	}
	/* by the fault of a write D gets set, but for a table in a read-only slot */
	if (!write && !(gw->entry[gw->level] & PTE_D) &&
	    slot_writable(vcpu_gfn_to_slot(vcpu, gpa_to_gfn(gw->entry_gpa[gw->level]))))
		may &= ~CAN_WRITE;
	sf->may = may;
	return true;
}

/* No memory there: remembered, if what allows the access doesn't depend on RFLAGS.AC. */
static int no_memory(struct vcpu *vcpu, const struct shadow_fault *sf)
{
	struct vcpu_mmu *mmu = vcpu->mmu;
	bool by_ac = sf->gw.may[sf->gw.level] & CAN_USER && !(sf->access & ACCESS_USER) &&
		     vcpu->cr4 & X86_CR4_SMAP;

	if (!by_ac && !(sf->access & ACCESS_FETCH)) {
		mmu->mmio.page = sf->gva & PAGE_MASK;
		mmu->mmio.gpa = sf->gw.gpa & PAGE_MASK;
		mmu->mmio.access = sf->access;
		mmu->mmio.generation = vcpu_slots_generation(vcpu);
	}
	return MMU_EMULATE;
}

static int shadow_fault(struct vcpu *vcpu, struct shadow_fault *sf)
{
	struct guest_fault fault;
	struct fault *f = &sf->f;
	int r;

	sf->seq = READ_ONCE(vcpu->vm->shadow.seq);
	smp_rmb();	/* before the tables are read */
	r = walk_guest_tables(vcpu, sf->gva, sf->access, &sf->gw, &fault);
	if (r > 0) {
		inject_page_fault(vcpu, fault.address, fault.error_code);
		return 1;
	}
	if (r < 0)
		return MMU_EMULATE;	/* says what is wrong */
	f->gpa = sf->gw.gpa;
	f->gfn = gpa_to_gfn(f->gpa);
	f->write = sf->access & ACCESS_WRITE;
	f->exec = sf->access & ACCESS_FETCH;
	f->slot = vcpu_gfn_to_slot(vcpu, f->gfn);
	if (!f->slot)
		return no_memory(vcpu, sf);
	if ((f->write && !slot_writable(f->slot)) || !choose_rights(vcpu, sf))
		return MMU_EMULATE;
	return map_memory(vcpu, sf);
}

static bool is_cached_mmio(struct vcpu *vcpu, gva_t gva, u32 access)
{
	struct vcpu_mmu *mmu = vcpu->mmu;

	return mmu->mmio.page == (gva & PAGE_MASK) && mmu->mmio.access == access &&
	       mmu->mmio.generation == vcpu_slots_generation(vcpu);
}

/**
 * mmu_page_fault() - #PF of a guest whose CR3 is ours
 * @vcpu: the vCPU
 * @gva: the address, as in CR2
 * @error_code: the CPU's
 * @gpa: where memory isn't, if MMU_EMULATE is returned
 *
 * Context: vcpu; may sleep.
 * Return: 1 = resume (the guest may have got the #PF); MMU_EMULATE and so on as mmu_fault().
 */
int mmu_page_fault(struct vcpu *vcpu, gva_t gva, u32 error_code, gpa_t *gpa)
{
	struct shadow_fault sf;
	int r, idx;

	sf.access = error_code & (ACCESS_WRITE | ACCESS_USER | ACCESS_FETCH);
	if (vcpu->mmu->kind == ROOT_FLAT) {
		*gpa = (u32)gva;
		return mmu_fault(vcpu, *gpa, sf.access);
	}
	sf.gva = gva;
	vcpu->mmu->protected_gfn = INVALID_GFN;
	idx = srcu_read_lock(&vcpu->vm->srcu);
	if (is_cached_mmio(vcpu, gva, sf.access)) {
		*gpa = vcpu->mmu->mmio.gpa | offset_in_page(gva);
		r = MMU_EMULATE;
	} else {
		/* a supervisor's access that CPL 3 didn't make itself, to the GDT, IDT, TSS: SMAP cares */
		if (!(sf.access & ACCESS_USER) && vcpu->cr4 & X86_CR4_SMAP && hw_cpl(vcpu) == 3)
			sf.access |= ACCESS_IMPLICIT;
		sf.gw.gpa = INVALID_GPA;
		r = shadow_fault(vcpu, &sf);
		*gpa = sf.gw.gpa;
	}
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	return r;
}
