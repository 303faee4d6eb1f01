// SPDX-License-Identifier: GPL-2.0
/*
 * The guest's own page tables, walked in software as the CPU would: SDM "Paging".
 *
 * One walker for all modes: what a mode is follows from its number of levels. That is a constant in
 * each of the three copies of walk() that the compiler makes, so that nothing of it is looked up
 * while a walk is going on. Permissions are joined over the levels as the walk goes down, and
 * checked at its end.
 */
#include <linux/mm.h>
#include <linux/uaccess.h>

#include "mmu/walk.h"

#define MAX_TRIES	1000	/* while other CPUs of the guest's change what is walked */

/* The modes, by their number of levels. */
enum { PAGING_32 = 2, PAGING_PAE = 3, PAGING_LONG = 4 };

/* In registers for as long as no function that isn't inlined is given its address. */
struct walk {
	struct vcpu *vcpu;
	gva_t gva;
	u32 access;
	u64 reserved;			/* in every entry */
	struct memslot *slot;		/* of the last table: the next is most likely there too */
	/* so far */
	int level;
	gpa_t entry_gpa;
	u64 entry;
	u64 rights;			/* PTE_W and PTE_U: set at every level */
	u64 nx;				/* PTE_NX: set at any */
};

static __always_inline int index_bits(const int levels)
{
	return levels == PAGING_32 ? 10 : 9;
}

static __always_inline int entry_size(const int levels)
{
	return levels == PAGING_32 ? 4 : 8;
}

static __always_inline int span_shift(const int levels, int level)
{
	return PAGE_SHIFT + index_bits(levels) * (level - 1);
}

/* PAE's is in registers: SDM "PDPTE Registers". */
static __always_inline gpa_t root_table(u64 cr3, const int levels)
{
	return cr3 & (levels == PAGING_LONG ? PTE_ADDRESS : GENMASK_ULL(31, 12));
}

static bool has_nx(struct vcpu *vcpu)
{
	return (is_long_mode(vcpu) || is_pae(vcpu)) && vcpu->efer & EFER_NX;
}

static __always_inline u64 always_reserved(struct vcpu *vcpu, const int levels)
{
	u64 beyond_memory = ~0ull << vcpu->maxphyaddr;

	switch (levels) {
	case PAGING_LONG:
		beyond_memory &= GENMASK_ULL(51, 0);
		break;
	case PAGING_PAE:
		beyond_memory &= GENMASK_ULL(62, 0);
		break;
	default:
		return 0;
	}
	return vcpu->efer & EFER_NX ? beyond_memory : beyond_memory | PTE_NX;
}

/*
 * SDM "Hierarchical Paging Structures" and the figures there: bits that must be 0 in this entry, of
 * which always are those that must be in all. PDPTEs were checked when they were loaded.
 */
static __always_inline u64 reserved_bits(struct vcpu *vcpu, u64 always, const int levels, int level,
					 bool large)
{
	if (levels == PAGING_32) {
		/* a 4M page has bits 32 .. 39 of its address in 13 .. 20; the rest up to 21 is reserved */
		if (!large)
			return 0;
		return GENMASK_ULL(21, 13) & ~GENMASK_ULL(min(vcpu->maxphyaddr, (u8)40) - 20, 13);
	}
	if (large)
		return always | GENMASK_ULL(span_shift(levels, level) - 1, 13);
	return level == 4 ? always | PTE_PS : always;
}

static __always_inline bool is_large(struct vcpu *vcpu, u64 entry, const int levels, int level)
{
	if (!(entry & PTE_PS) || level == 1)
		return false;
	if (levels == PAGING_32)
		return vcpu->cr4 & X86_CR4_PSE;
	return level == 2 || (level == 3 && levels == PAGING_LONG);
}

u64 guest_reserved_bits(struct vcpu *vcpu, int levels, int level, u64 entry)
{
	return reserved_bits(vcpu, always_reserved(vcpu, levels), levels, level,
			     is_large(vcpu, entry, levels, level));
}

/* Returns 1, as walk_guest() then does. */
static noinline int fail(struct vcpu *vcpu, gva_t gva, u32 access, u32 bits,
			 struct guest_fault *fault)
{
	bool fetch_counts = has_nx(vcpu) || (vcpu_cr4(vcpu) & X86_CR4_SMEP);

	*fault = (struct guest_fault){
		.vector = X86_TRAP_PF, .address = gva,
		.error_code = bits | (access & (ACCESS_WRITE | ACCESS_USER)) |
			      (fetch_counts ? access & ACCESS_FETCH : 0),
	};
	return 1;
}

static __always_inline hva_t gpa_to_hva(const struct memslot *slot, gpa_t gpa)
{
	return slot->hva + (gpa - gfn_to_gpa(slot->base_gfn));
}

static __always_inline int read_entry(struct walk *w, const int levels, gpa_t table)
{
	unsigned int index = w->gva >> span_shift(levels, w->level) & ((1 << index_bits(levels)) - 1);
	u32 entry32;
	hva_t hva;

	if (levels == PAGING_PAE && w->level == 3) {
		w->entry = hw_get_pdptr(w->vcpu, index);
		return 0;
	}
	w->entry_gpa = table + index * entry_size(levels);
	if (unlikely(gpa_to_gfn(w->entry_gpa) - w->slot->base_gfn >= w->slot->npages)) {
		w->slot = vcpu_gfn_to_slot(w->vcpu, gpa_to_gfn(w->entry_gpa));
		if (!w->slot)
			return -EAGAIN;
	}
	/* access_ok() was asked for the whole slot when it was made */
	hva = gpa_to_hva(w->slot, w->entry_gpa);
	__uaccess_begin_nospec();
	if (levels == PAGING_32) {
		unsafe_get_user(entry32, (u32 __user *)hva, unreadable);
		w->entry = entry32;
	} else {
		unsafe_get_user(w->entry, (u64 __user *)hva, unreadable);
	}
	__uaccess_end();
	return 0;
unreadable:
	__uaccess_end();
	return -EAGAIN;
}

/* SDM "Access Rights". */
static __always_inline bool allowed(const struct walk *w)
{
	bool writable = w->rights & PTE_W, user = w->rights & PTE_U;
	struct vcpu *vcpu = w->vcpu;
	u64 cr4 = vcpu->cr4;	/* SMEP and SMAP don't change without an exit */

	if (w->access & ACCESS_FETCH) {
		if (w->nx & PTE_NX && vcpu->efer & EFER_NX)
			return false;
		if (w->access & ACCESS_USER)
			return user;
		return !(user && (cr4 & X86_CR4_SMEP));
	}
	if (w->access & ACCESS_USER)
		return user && (writable || !(w->access & ACCESS_WRITE));
	if (user && (cr4 & X86_CR4_SMAP) &&
	    (w->access & ACCESS_IMPLICIT || !(vcpu_rflags(vcpu) & X86_EFLAGS_AC)))
		return false;
	return writable || !(w->access & ACCESS_WRITE) || !(vcpu_cr0(vcpu) & X86_CR0_WP);
}

/*
 * Sets A, or D, in the entry by a locked operation, if it's still what was walked: the guest's
 * other CPUs may change it meanwhile. -ESTALE: it isn't; walk again. -EAGAIN: it can't be written.
 */
static noinline int set_entry_bits(struct memslot *slot, gpa_t gpa, int size, u64 old, u64 bits)
{
	hva_t hva = gpa_to_hva(slot, gpa);
	u64 new = old | bits;
	u32 old32 = old;
	int r;

	if (slot->flags & MINIVMM_MEM_READONLY)
		return 0;
	if (size == 8)
		r = __try_cmpxchg_user((u64 __user *)hva, &old, new, fault64);
	else
		r = __try_cmpxchg_user((u32 __user *)hva, &old32, (u32)new, fault32);
	if (r)
		return r < 0 ? -EAGAIN : -ESTALE;
	mark_page_dirty(slot, gpa_to_gfn(gpa));
	return 0;
}

static __always_inline int set_bits(struct walk *w, const int levels, u64 bits)
{
	if (likely(!(bits & ~w->entry)))
		return 0;
	return set_entry_bits(w->slot, w->entry_gpa, entry_size(levels), w->entry, bits);
}

static __always_inline gpa_t leaf_gpa(const struct walk *w, const int levels)
{
	u64 mask = BIT_ULL(span_shift(levels, w->level)) - 1;
	gpa_t base = w->entry & GENMASK_ULL(51, 12) & ~mask;

	if (levels == PAGING_32) {
		base = w->entry & GENMASK_ULL(31, 12) & ~mask;
		if (w->level == 2)	/* PSE-36 */
			base |= ((w->entry >> 13) & 0xff) << 32;
	}
	return base | (w->gva & mask);
}

static __always_inline void note_level(const struct walk *w, const int levels, struct guest_walk *gw)
{
	if (!gw)
		return;
	gw->level = w->level;
	gw->entry_gpa[w->level] = w->entry_gpa;
	gw->entry[w->level] = w->entry;
	gw->may[w->level] = (w->rights & (PTE_W | PTE_U)) | (w->nx & PTE_NX ? 0 : CAN_EXEC);
}

/* Down to the entry that maps the page. */
static __always_inline int descend(struct walk *w, const int levels, struct guest_fault *fault,
				   struct guest_walk *gw)
{
	gpa_t table = root_table(vcpu_cr3(w->vcpu), levels);
	bool large;
	int r;

	if (levels != PAGING_PAE) {
		w->slot = vcpu_gfn_to_slot(w->vcpu, gpa_to_gfn(table));
		if (!w->slot)
			return -EAGAIN;
	}
#pragma GCC unroll 4	/* what depends on the level is a constant in each copy */
	for (w->level = levels; w->level; w->level--) {
		r = read_entry(w, levels, table);
		if (r)
			return r;
		if (unlikely(!(w->entry & PTE_P)))
			return fail(w->vcpu, w->gva, w->access, 0, fault);
		large = is_large(w->vcpu, w->entry, levels, w->level);
		if ((levels != PAGING_PAE || w->level != 3) &&
		    unlikely(w->entry & reserved_bits(w->vcpu, w->reserved, levels, w->level, large)))
			return fail(w->vcpu, w->gva, w->access, X86_PF_PROT | X86_PF_RSVD, fault);
		if (levels != PAGING_PAE || w->level != 3) {	/* whose entries have no rights and no A */
			w->rights &= w->entry;
			w->nx |= w->entry;
			note_level(w, levels, gw);
			if (large || w->level == 1)
				break;
			r = set_bits(w, levels, PTE_A);
			if (r)
				return r;
		}
		table = w->entry & GENMASK_ULL(51, 12);
	}
	return 0;
}

static __always_inline int walk_once(struct vcpu *vcpu, gva_t gva, u32 access, const int levels,
				     gpa_t *gpa, struct guest_fault *fault, struct guest_walk *gw)
{
	static const struct memslot no_slot;
	struct walk w = {
		.vcpu = vcpu, .gva = gva, .access = access, .rights = PTE_W | PTE_U,
		.reserved = always_reserved(vcpu, levels), .slot = (struct memslot *)&no_slot,
	};
	int r;

	r = descend(&w, levels, fault, gw);
	if (r)
		return r;
	if (unlikely(!allowed(&w)))
		return fail(vcpu, gva, access, X86_PF_PROT, fault);
	r = set_bits(&w, levels, PTE_A | (access & ACCESS_WRITE ? PTE_D : 0));
	if (r)
		return r;
	*gpa = leaf_gpa(&w, levels);
	return 0;
}

/* Another CPU of the guest's may change an entry under way; it can't do so again and again. */
static __always_inline int walk(struct vcpu *vcpu, gva_t gva, u32 access, const int levels,
				gpa_t *gpa, struct guest_fault *fault, struct guest_walk *gw)
{
	int r, tries = MAX_TRIES;

	do
		r = walk_once(vcpu, gva, access, levels, gpa, fault, gw);
	while (unlikely(r == -ESTALE) && --tries);
	return unlikely(r == -ESTALE) ? -EAGAIN : r;
}

/**
 * walk_guest() - translate a linear address by the guest's page tables
 * @vcpu: the vCPU
 * @gva: the linear address; canonical, as segmentation has checked
 * @access: ACCESS_WRITE, ACCESS_USER, ACCESS_FETCH
 * @gpa: the result
 * @fault: filled in when the guest is to get a #PF
 *
 * Context: vcpu, under vm->srcu; may sleep.
 * Return: 0; 1 = the guest faults; -EAGAIN: a table changed meanwhile, or isn't in memory.
 */
int walk_guest(struct vcpu *vcpu, gva_t gva, u32 access, gpa_t *gpa, struct guest_fault *fault)
{
	if (!is_paging(vcpu)) {
		*gpa = (u32)gva;
		return 0;
	}
	if (is_long_mode(vcpu))
		return walk(vcpu, gva, access, PAGING_LONG, gpa, fault, NULL);
	if (is_pae(vcpu))
		return walk(vcpu, gva, access, PAGING_PAE, gpa, fault, NULL);
	return walk(vcpu, gva, access, PAGING_32, gpa, fault, NULL);
}

/*
 * walk_guest_tables() - the same, with what was met on the way; the guest has paging on
 * @gw: filled in down to the leaf, if 0 is returned
 */
int walk_guest_tables(struct vcpu *vcpu, gva_t gva, u32 access, struct guest_walk *gw,
		      struct guest_fault *fault)
{
	if (is_long_mode(vcpu)) {
		gw->levels = PAGING_LONG;
		return walk(vcpu, gva, access, PAGING_LONG, &gw->gpa, fault, gw);
	}
	if (is_pae(vcpu)) {
		gw->levels = PAGING_PAE;
		return walk(vcpu, gva, access, PAGING_PAE, &gw->gpa, fault, gw);
	}
	gw->levels = PAGING_32;
	return walk(vcpu, gva, access, PAGING_32, &gw->gpa, fault, gw);
}

/* One look at each entry that the walk met: with the same ones it would end where it ended. */
static bool same_entries(const struct kept_walk *kept)
{
	u64 entry;
	int i;

	__uaccess_begin_nospec();
	for (i = 0; i < kept->count; i++) {
		unsafe_get_user(entry, (u64 __user *)kept->entry_hva[i], changed);
		if (entry != kept->entry[i])
			goto changed;
	}
	__uaccess_end();
	return true;
changed:
	__uaccess_end();
	return false;
}

/* What else a fetch's walk depends on. SMEP is in CR4; WP, SMAP and AC don't matter to fetches. */
static bool still_holds(struct vcpu *vcpu, const struct kept_walk *kept, gva_t page, u32 access)
{
	return kept->count && kept->page == page && kept->access == access &&
	       kept->cr3 == vcpu_cr3(vcpu) && kept->cr4 == vcpu->cr4 && kept->efer == vcpu->efer &&
	       kept->generation == vcpu_slots_generation(vcpu) && same_entries(kept);
}

static void keep_walk(struct vcpu *vcpu, struct kept_walk *kept, const struct guest_walk *gw)
{
	int level, n = 0;

	for (level = gw->levels; level >= gw->level; level--, n++) {
		struct memslot *slot = vcpu_gfn_to_slot(vcpu, gpa_to_gfn(gw->entry_gpa[level]));

		kept->entry_hva[n] = gpa_to_hva(slot, gw->entry_gpa[level]);
		kept->entry[n] = gw->entry[level];
	}
	kept->cr3 = vcpu_cr3(vcpu);
	kept->cr4 = vcpu->cr4;
	kept->efer = vcpu->efer;
	kept->generation = vcpu_slots_generation(vcpu);
	kept->count = n;
}

/* A new one, which is kept if it has four levels. */
static noinline int walk_and_keep(struct vcpu *vcpu, gva_t gva, u32 access, struct kept_walk *kept,
				  struct guest_fault *fault)
{
	struct guest_walk gw;
	struct memslot *slot;
	int r;

	kept->count = 0;
	if (is_long_mode(vcpu))
		r = walk_guest_tables(vcpu, gva, access, &gw, fault);
	else
		r = walk_guest(vcpu, gva, access, &gw.gpa, fault);
	if (r)
		return r;
	slot = vcpu_gfn_to_slot(vcpu, gpa_to_gfn(gw.gpa));
	kept->code = slot ? slot_hva(slot, gpa_to_gfn(gw.gpa)) : 0;
	kept->page = gva & PAGE_MASK;
	kept->access = access;
	if (slot && is_long_mode(vcpu))
		keep_walk(vcpu, kept, &gw);
	return 0;
}

/**
 * walk_guest_code() - walk_guest() for a fetch, which most likely is from the page of the last one
 * @vcpu: the vCPU
 * @gva: the linear address
 * @access: ACCESS_FETCH and perhaps ACCESS_USER
 * @kept: of the same vCPU; all zero to begin with. Its code is where the page is, or 0 = not in memory
 * @fault: filled in when the guest is to get a #PF
 *
 * Context, return: as walk_guest().
 */
int walk_guest_code(struct vcpu *vcpu, gva_t gva, u32 access, struct kept_walk *kept,
		    struct guest_fault *fault)
{
	if (still_holds(vcpu, kept, gva & PAGE_MASK, access))
		return 0;
	return walk_and_keep(vcpu, gva, access, kept, fault);
}
