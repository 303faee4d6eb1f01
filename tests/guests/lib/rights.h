/* SPDX-License-Identifier: GPL-2.0 */
/* The architecture's rules for one leaf below permissive tables, whatever the number of levels. */
#ifndef GUESTS_RIGHTS_H
#define GUESTS_RIGHTS_H

#include "guest.h"

#define READ		0
#define WRITE		PFERR_W
#define FETCH		PFERR_FETCH

struct setup {
	u64 flags;			/* of the leaf, P included or not */
	u32 kind;
	bool user, wp, nxe, smep, smap, ac;
};

#define NO_FAULT	~0ul

/*
 * "Determination of Access Rights" and "Page-Fault Exceptions", for one leaf below permissive
 * tables.
 */
static inline u64 expected_error(const struct setup *s)
{
	u64 code = (s->kind & WRITE) | (s->user ? PFERR_U : 0);
	bool write = s->kind == WRITE, fetch = s->kind == FETCH;

	if (fetch && (s->nxe || s->smep))
		code |= PFERR_FETCH;
	if (!(s->flags & PTE_P))
		return code;
	code |= PFERR_P;
	if (s->flags & PTE_NX && !s->nxe)
		return code | PFERR_RSVD;
	if (fetch && s->flags & PTE_NX)
		return code;
	if (s->user)
		return !(s->flags & PTE_U) || (write && !(s->flags & PTE_W)) ? code : NO_FAULT;
	if (fetch)
		return s->smep && s->flags & PTE_U ? code : NO_FAULT;
	if (s->smap && s->flags & PTE_U && !s->ac)
		return code;
	return write && s->wp && !(s->flags & PTE_W) ? code : NO_FAULT;
}

static const u64 leaf_flags[] = {
	0, PTE_W | PTE_U,
	PTE_P, PTE_P | PTE_W, PTE_P | PTE_U, PTE_P | PTE_W | PTE_U,
	PTE_P | PTE_NX, PTE_P | PTE_W | PTE_NX, PTE_P | PTE_U | PTE_NX,
	PTE_P | PTE_W | PTE_U | PTE_NX,
};

static inline const char *kind_name(u32 kind)
{
	return kind == WRITE ? "write" : kind == FETCH ? "fetch" : "read";
}

static const u32 kinds[] = { READ, WRITE, FETCH };

#endif
