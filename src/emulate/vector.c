// SPDX-License-Identifier: GPL-2.0
/*
 * Moves between memory and MMX, XMM and YMM registers, as drivers use them on devices; VEX forms
 * included. Whatever computes, and moves between registers, isn't here.
 */
#include "internal.h"

enum { NP = 1, P66 = 2, F3 = 4, F2 = 8 };	/* mandatory prefixes that a row is for */
enum {
	STORE = 1, ALIGNED = 2,
	HIGH = 4,	/* the upper half of an XMM register; the other stays */
	LOW = 8,	/* the lower half of one; likewise */
	MMX = 16, BY_W = 32,	/* 8 bytes with REX.W, else 4 */
	NO_VEX = 64, WIDE = 128,	/* VEX.L makes 32 bytes of it */
};

static const struct row {
	u8 map, opcode, prefixes, size, flags;
} rows[] = {
	{ 1, 0x10, NP | P66, 16, WIDE },		/* MOVUPS, MOVUPD */
	{ 1, 0x10, F3, 4, 0 },				/* MOVSS */
	{ 1, 0x10, F2, 8, 0 },				/* MOVSD */
	{ 1, 0x11, NP | P66, 16, STORE | WIDE },
	{ 1, 0x11, F3, 4, STORE },
	{ 1, 0x11, F2, 8, STORE },
	{ 1, 0x12, NP | P66, 8, LOW | NO_VEX },		/* MOVLPS, MOVLPD */
	{ 1, 0x13, NP | P66, 8, STORE },
	{ 1, 0x16, NP | P66, 8, HIGH | NO_VEX },	/* MOVHPS, MOVHPD */
	{ 1, 0x17, NP | P66, 8, STORE | HIGH },
	{ 1, 0x28, NP | P66, 16, ALIGNED | WIDE },	/* MOVAPS, MOVAPD */
	{ 1, 0x29, NP | P66, 16, STORE | ALIGNED | WIDE },
	{ 1, 0x2b, NP | P66, 16, STORE | ALIGNED | WIDE },	/* MOVNTPS, MOVNTPD */
	{ 1, 0x6e, NP, 4, MMX | BY_W | NO_VEX },	/* MOVD, MOVQ */
	{ 1, 0x6e, P66, 4, BY_W },
	{ 1, 0x6f, NP, 8, MMX | NO_VEX },		/* MOVQ */
	{ 1, 0x6f, P66, 16, ALIGNED | WIDE },		/* MOVDQA */
	{ 1, 0x6f, F3, 16, WIDE },			/* MOVDQU */
	{ 1, 0x7e, NP, 4, STORE | MMX | BY_W | NO_VEX },
	{ 1, 0x7e, P66, 4, STORE | BY_W },
	{ 1, 0x7e, F3, 8, 0 },				/* MOVQ */
	{ 1, 0x7f, NP, 8, STORE | MMX | NO_VEX },
	{ 1, 0x7f, P66, 16, STORE | ALIGNED | WIDE },
	{ 1, 0x7f, F3, 16, STORE | WIDE },
	{ 1, 0xd6, P66, 8, STORE },			/* MOVQ */
	{ 1, 0xe7, NP, 8, STORE | MMX | NO_VEX },	/* MOVNTQ */
	{ 1, 0xe7, P66, 16, STORE | ALIGNED | WIDE },	/* MOVNTDQ */
	{ 1, 0xf0, F2, 16, WIDE },			/* LDDQU */
	{ 2, 0x2a, P66, 16, ALIGNED | WIDE },		/* MOVNTDQA */
};

static const struct row *find_row(const struct insn *insn)
{
	unsigned int prefix = insn->vex ? 1 << insn->vec_prefix : insn->rep == 0xf3 ? F3 :
			      insn->rep == 0xf2 ? F2 : insn->opsize ? P66 : NP;
	unsigned int i;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (rows[i].map == insn->map && rows[i].opcode == insn->opcode &&
		    rows[i].prefixes & prefix)
			return insn->vex && rows[i].flags & NO_VEX ? NULL : &rows[i];
	return NULL;
}

/* SDM "Exception Conditions" of SSE and AVX. */
static enum emu_result available(struct emu *e, const struct row *row)
{
	u64 cr0 = emu_host_get(e, EMU_CR0), cr4 = emu_host_get(e, EMU_CR4);
	const struct insn *insn = &e->insn;

	if (insn->vex) {
		bool l = insn->payload & 4, vvvv = ~insn->payload & 0x78;

		if (!(cr4 & CR4_OSXSAVE) || (emu_host_get(e, EMU_XCR0) & 6) != 6 || vvvv ||
		    (l && !(row->flags & WIDE) && !(row->prefixes & (F3 | F2) && row->size < 16 &&
						    insn->opcode < 0x12)))
			return emu_ud(e);
	} else if (cr0 & CR0_EM || (!(row->flags & MMX) && !(cr4 & CR4_OSFXSR))) {
		return emu_ud(e);
	}
	return cr0 & CR0_TS ? emu_fault(e, X86_NM, false) : EMU_OK;
}

static enum emu_result store(struct emu *e, const struct row *row, unsigned int reg, u64 linear,
			     unsigned int size)
{
	unsigned int len = row->flags & MMX ? 8 : size > 16 ? 32 : 16;
	u8 value[32];

	emu_host_get_vector(e, reg, value, len);
	return emu_host_write(e, linear, value + (row->flags & HIGH ? 8 : 0), size, EMU_WRITE);
}

static enum emu_result load(struct emu *e, const struct row *row, unsigned int reg, u64 linear,
			    unsigned int size)
{
	unsigned int len = row->flags & MMX ? 8 : e->insn.vex ? 32 : 16;
	u8 value[32] = { 0 };
	enum emu_result r;

	if (row->flags & (HIGH | LOW))
		emu_host_get_vector(e, reg, value, 16);
	r = emu_host_read(e, linear, value + (row->flags & HIGH ? 8 : 0), size, EMU_READ);
	if (r == EMU_OK)
		emu_host_set_vector(e, reg, value, len);
	return r;
}

enum emu_result op_vector(struct emu *e)
{
	const struct insn *insn = &e->insn;
	const struct row *row = find_row(insn);
	unsigned int reg = ((insn->modrm >> 3) & 7) | (insn->rex & 4) << 1, size;
	enum emu_result r;
	u64 linear;

	if (!row)
		return EMU_UNHANDLED;
	r = available(e, row);
	if (r == EMU_OK && !insn->mem)
		r = EMU_UNHANDLED;
	if (r != EMU_OK)
		return r;
	size = row->size;
	if (insn->vex && insn->payload & 4 && row->flags & WIDE)
		size = 32;
	if (row->flags & BY_W && insn->rex & 8 && e->mode == EMU_LONG)
		size = 8;
	r = emu_linearise(e, insn->seg, insn->ea, size, row->flags & STORE, &linear);
	if (r == EMU_OK && row->flags & ALIGNED && linear & (size - 1))
		r = emu_gp(e);
	if (r != EMU_OK)
		return r;
	if (row->flags & MMX)
		reg &= 7;
	return row->flags & STORE ? store(e, row, reg, linear, size) :
				    load(e, row, reg, linear, size);
}
