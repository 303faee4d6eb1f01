// SPDX-License-Identifier: GPL-2.0
/*
 * The guest's own page tables, walked in software as the CPU would: SDM "Paging".
 *
 * One walker for all modes: a mode is a number of levels, the size of an entry and where the root
 * is. Permissions are joined over the levels as the walk goes down, and checked at its end.
 */
#include <linux/mm.h>
#include <linux/uaccess.h>

#include "mmu/mmu.h"

#define PTE_P		BIT_ULL(0)
#define PTE_W		BIT_ULL(1)
#define PTE_U		BIT_ULL(2)
#define PTE_A		BIT_ULL(5)
#define PTE_D		BIT_ULL(6)
#define PTE_PS		BIT_ULL(7)
#define PTE_NX		BIT_ULL(63)

struct walk {
	struct vcpu *vcpu;
	gva_t gva;
	u32 access;
	/* the mode */
	int levels;			/* 2, 3 or 4 */
	int index_bits;			/* 10 or 9 */
	int entry_size;			/* 4 or 8 */
	bool nx_enabled;
	u64 reserved;			/* in every entry */
	/* so far */
	int level;
	gpa_t table;
	gpa_t entry_gpa;
	u64 entry;
	u64 rights;			/* PTE_W and PTE_U: set at every level */
	u64 nx;				/* PTE_NX: set at any */
};

static void set_mode(struct walk *w)
{
	struct vcpu *vcpu = w->vcpu;

	w->nx_enabled = vcpu->efer & EFER_NX;
	w->rights = PTE_W | PTE_U;
	if (is_long_mode(vcpu) || is_pae(vcpu)) {
		w->levels = is_long_mode(vcpu) ? 4 : 3;
		w->index_bits = 9;
		w->entry_size = 8;
	} else {
		w->levels = 2;
		w->index_bits = 10;
		w->entry_size = 4;
		w->nx_enabled = false;
		return;
	}
	w->reserved = GENMASK_ULL(51, 0) & ~GENMASK_ULL(vcpu->maxphyaddr - 1, 0);
	if (!w->nx_enabled)
		w->reserved |= PTE_NX;
	if (w->levels == 3)
		w->reserved |= GENMASK_ULL(62, 52);
}

static gpa_t root_table(struct walk *w)
{
	u64 cr3 = vcpu_cr3(w->vcpu);

	switch (w->levels) {
	case 4:
		return cr3 & GENMASK_ULL(51, 12);
	case 3:
		return cr3 & GENMASK_ULL(31, 5);
	default:
		return cr3 & GENMASK_ULL(31, 12);
	}
}

static int span_shift(const struct walk *w, int level)
{
	return PAGE_SHIFT + w->index_bits * (level - 1);
}

/* SDM "Hierarchical Paging Structures" and the figures there: bits that must be 0 in this entry. */
static u64 reserved_bits(const struct walk *w, bool large)
{
	if (w->levels == 2) {
		/* a 4M page has bits 32 .. 39 of its address in 13 .. 20; the rest up to 21 is reserved */
		if (!large)
			return 0;
		return GENMASK_ULL(21, 13) & ~GENMASK_ULL(min(w->vcpu->maxphyaddr, (u8)40) - 20, 13);
	}
	if (large)
		return w->reserved | GENMASK_ULL(span_shift(w, w->level) - 1, 13);
	if (w->levels == 3 && w->level == 3)	/* a PDPTE has no permissions at all */
		return w->reserved | PTE_NX | GENMASK_ULL(8, 5) | PTE_W | PTE_U;
	return w->level == 4 ? w->reserved | PTE_PS : w->reserved;
}

static bool is_large(const struct walk *w)
{
	if (!(w->entry & PTE_PS) || w->level == 1)
		return false;
	if (w->levels == 2)
		return w->vcpu->cr4 & X86_CR4_PSE;
	return w->level == 2 || (w->level == 3 && w->levels == 4);
}

static int fail(struct walk *w, struct guest_fault *fault, u32 bits)
{
	bool fetch_counts = w->nx_enabled || (vcpu_cr4(w->vcpu) & X86_CR4_SMEP);

	*fault = (struct guest_fault){
		.vector = X86_TRAP_PF, .address = w->gva,
		.error_code = bits | (w->access & (ACCESS_WRITE | ACCESS_USER)) |
			      (fetch_counts ? w->access & ACCESS_FETCH : 0),
	};
	return 1;
}

static __always_inline int read_entry(struct walk *w)
{
	unsigned int index = (w->gva >> span_shift(w, w->level)) & ((1 << w->index_bits) - 1);

	gpa_t gpa = w->table + index * w->entry_size;
	struct memslot *slot = vcpu_gfn_to_slot(w->vcpu, gpa_to_gfn(gpa));
	hva_t hva;
	u32 entry32;

	if (!slot)
		return -EAGAIN;
	w->entry_gpa = gpa;
	hva = slot_hva(slot, gpa_to_gfn(gpa)) + offset_in_page(gpa);
	if (w->entry_size == 8)
		return __get_user(w->entry, (u64 __user *)hva) ? -EAGAIN : 0;
	if (__get_user(entry32, (u32 __user *)hva))
		return -EAGAIN;
	w->entry = entry32;
	return 0;
}

/* SDM "Access Rights". */
static bool allowed(struct walk *w)
{
	bool writable = w->rights & PTE_W, user = w->rights & PTE_U;
	struct vcpu *vcpu = w->vcpu;
	u64 cr4 = vcpu->cr4;	/* SMEP and SMAP don't change without an exit */

	if (w->access & ACCESS_FETCH) {
		if (w->nx_enabled && (w->nx & PTE_NX))
			return false;
		if (w->access & ACCESS_USER)
			return user;
		return !(user && (cr4 & X86_CR4_SMEP));
	}
	if (w->access & ACCESS_USER)
		return user && (writable || !(w->access & ACCESS_WRITE));
	if (user && (cr4 & X86_CR4_SMAP) && !(vcpu_rflags(vcpu) & X86_EFLAGS_AC))
		return false;
	return writable || !(w->access & ACCESS_WRITE) || !(vcpu_cr0(vcpu) & X86_CR0_WP);
}

/*
 * Sets A, or D, in the entry by a locked operation, if it's still what was walked: the guest's
 * other CPUs may change it meanwhile. -EAGAIN: it isn't; walk again.
 */
static int set_entry_bits(struct walk *w, gpa_t gpa, u64 old, u64 bits)
{
	struct memslot *slot = vcpu_gfn_to_slot(w->vcpu, gpa_to_gfn(gpa));
	u64 new = old | bits;
	u32 old32 = old;
	hva_t hva;
	int r;

	if (!slot || (slot->flags & MINIVMM_MEM_READONLY))
		return 0;
	hva = slot_hva(slot, gpa_to_gfn(gpa)) + offset_in_page(gpa);
	if (w->entry_size == 8)
		r = __try_cmpxchg_user((u64 __user *)hva, &old, new, fault64);
	else
		r = __try_cmpxchg_user((u32 __user *)hva, &old32, (u32)new, fault32);
	if (r)
		return -EAGAIN;
	mark_page_dirty(slot, gpa_to_gfn(gpa));
	return 0;
}

static int walk_down(struct walk *w, struct guest_fault *fault)
{
	bool large;
	int r;

	for (w->level = w->levels; ; w->level--) {
		r = read_entry(w);
		if (r)
			return r;
		if (!(w->entry & PTE_P))
			return fail(w, fault, 0);
		large = is_large(w);
		if (unlikely(w->entry & reserved_bits(w, large)))
			return fail(w, fault, X86_PF_PROT | X86_PF_RSVD);
		if (w->levels != 3 || w->level != 3) {	/* PDPTEs of PAE have no rights, and no A bit */
			w->rights &= w->entry;
			w->nx |= w->entry;
			if (large || w->level == 1)
				return 0;
			if (!(w->entry & PTE_A)) {
				r = set_entry_bits(w, w->entry_gpa, w->entry, PTE_A);
				if (r)
					return r;
			}
		}
		w->table = w->entry & GENMASK_ULL(51, 12);
	}
}

static gpa_t leaf_gpa(const struct walk *w)
{
	u64 mask = BIT_ULL(span_shift(w, w->level)) - 1;
	gpa_t base = w->entry & GENMASK_ULL(51, 12) & ~mask;

	if (w->levels == 2) {
		base = w->entry & GENMASK_ULL(31, 12) & ~mask;
		if (w->level == 2)	/* PSE-36 */
			base |= ((w->entry >> 13) & 0xff) << 32;
	}
	return base | (w->gva & mask);
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
	struct walk w = { .vcpu = vcpu, .gva = gva, .access = access };
	u64 bits;
	int r;

	if (!is_paging(vcpu)) {
		*gpa = (u32)gva;
		return 0;
	}
	set_mode(&w);
	w.table = root_table(&w);
	r = walk_down(&w, fault);
	if (r)
		return r;
	if (!allowed(&w))
		return fail(&w, fault, X86_PF_PROT);
	bits = PTE_A | (access & ACCESS_WRITE ? PTE_D : 0);
	if (bits & ~w.entry) {
		r = set_entry_bits(&w, w.entry_gpa, w.entry, bits);
		if (r)
			return r;
	}
	*gpa = leaf_gpa(&w);
	return 0;
}
