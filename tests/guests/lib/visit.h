/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Lists of single accesses, made in any paging mode with the tables of the test (visit_code.S). The
 * test itself stays in 64-bit mode: it writes a list, runs it, and judges what came of each step.
 */
#ifndef GUESTS_VISIT_H
#define GUESTS_VISIT_H

#include "guest.h"

/* The order of the stubs. */
enum step_kind {
	S_READ, S_WRITE, S_FETCH,
	S_LOCKED,			/* LOCK INC */
	S_MODIFY,			/* INC */
	S_COMPARE,			/* LOCK CMPXCHG that finds another value: it writes all the same */
	S_DESCRIPTOR,			/* MOV to FS, whose descriptor is at the address */
	S_STORE,			/* 8 bytes; with 32 bits in two halves */
	S_STORE4,
	S_LOAD,				/* 8 bytes, or 4 */
	S_EXCHANGE,			/* 8 bytes, LOCK CMPXCHG(8B) */
	S_MOVS,				/* REP MOVSD, 8 bytes */
	S_INVLPG, S_CR3, S_CR0, S_CR4, S_EFER,
};

#define STEP_USER	1		/* at CPL 3 */
#define STEP_AC		4

struct step {
	u64 address, value;
	u32 kind, flags;
	/* what came of it */
	u32 vector, error;		/* ~0: none */
	u64 cr2;
	u64 got;			/* EAX, RAX */
	/* what is at these physical addresses afterwards; 0: nothing is asked */
	u32 look_at[4];
	u64 seen[4];
	u64 ldt[2];			/* S_DESCRIPTOR: the LDT's own descriptor */
	u64 spare[2];
};

extern struct visit {
	u64 cr0, cr3, cr4, efer;
	u64 first, end;
	u64 saved[6];
} visit;

#define USER_STUBS	0x20000000ul	/* tables have to map visit_stubs here, the user's */
extern char visit_stubs[];

/* Whoever sets `wide` has 64-bit mode in mind. */
void run_steps(struct step *first, u32 count, bool wide);
void set_ldt_of(struct step *s, bool wide);	/* its base: the address */

static inline u32 next_random(u64 *state)
{
	*state = *state * 6364136223846793005ul + 1442695040888963407ul;
	return (*state ^ *state >> 22) >> (22 + (*state >> 61));
}

#endif
