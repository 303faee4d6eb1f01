/* SPDX-License-Identifier: GPL-2.0 */
/* Entries of page tables, and what a walk of the guest's meets. Nothing outside mmu/ includes it. */
#ifndef MINIVMM_MMU_WALK_H
#define MINIVMM_MMU_WALK_H

#include "minivmm.h"

#define ROOT_LEVEL	4

/* Entries of the guest's tables, and of those that the CPU walks without EPT. */
#define PTE_P		BIT_ULL(0)
#define PTE_W		BIT_ULL(1)
#define PTE_U		BIT_ULL(2)
#define PTE_PWT		BIT_ULL(3)
#define PTE_PCD		BIT_ULL(4)
#define PTE_A		BIT_ULL(5)
#define PTE_D		BIT_ULL(6)
#define PTE_PS		BIT_ULL(7)
#define PTE_NX		BIT_ULL(63)
#define PTE_ADDRESS	GENMASK_ULL(51, 12)

/* What an entry, or all that lead to it, allow. */
#define CAN_EXEC	1
#define CAN_WRITE	2	/* = PTE_W */
#define CAN_USER	4	/* = PTE_U */
#define CAN_ALL		7

/* A guest's walk, with what it met on the way, by level. */
struct guest_walk {
	gpa_t gpa;
	int levels;			/* of the mode: 2, 3 or 4 */
	int level;			/* of the leaf */
	u32 may[ROOT_LEVEL + 1];	/* CAN_*: joined, this level included */
	gpa_t entry_gpa[ROOT_LEVEL + 1];
	u64 entry[ROOT_LEVEL + 1];	/* as it was read */
};

int walk_guest_tables(struct vcpu *vcpu, gva_t gva, u32 access, struct guest_walk *gw,
		      struct guest_fault *fault);
/* Bits of an entry that must be 0, in tables of that format. */
u64 guest_reserved_bits(struct vcpu *vcpu, int guest_levels, int level, u64 entry);

#endif
