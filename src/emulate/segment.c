// SPDX-License-Identifier: GPL-2.0
/*
 * Descriptors and segment registers: reading, checking, loading. SDM "Segment Descriptors", and the
 * operation of MOV, LLDT, LTR, LAR, LSL, VERR.
 */
#include "internal.h"

#define D_ACCESSED	(1ull << 40)	/* in the low half */
#define D_BUSY_BIT	(1ull << 41)

static const struct selector_fault gp = { X86_GP, 0 };

/* ---- descriptors ----------------------------------------------------------------------------- */

enum emu_result emu_selector_fault(struct emu *e, struct selector_fault f, u16 selector)
{
	return emu_fault_code(e, f.vector, (selector & 0xfffc) | f.ext);
}

static enum emu_result table_of(struct emu *e, u16 selector, u64 *base, u32 *limit)
{
	struct minivmm_dtable gdt;

	if (selector & 4) {
		const struct minivmm_segment *ldt = emu_current_segment(e, EMU_LDTR);

		*base = ldt->base;
		*limit = ldt->limit;
		return ldt->unusable ? EMU_FAULT : EMU_OK;
	}
	emu_host_get_table(e, false, &gdt);
	*base = gdt.base;
	*limit = gdt.limit;
	return EMU_OK;
}

enum emu_result emu_read_descriptor(struct emu *e, u16 selector, struct selector_fault f,
				    struct descriptor *d)
{
	u32 limit, offset = selector & 0xfff8;
	enum emu_result r;
	u64 base;

	*d = (struct descriptor){ .selector = selector };
	if (table_of(e, selector, &base, &limit) != EMU_OK || offset + 7 > limit)
		return emu_selector_fault(e, f, selector);
	d->address = base + offset;
	r = emu_read_system(e, d->address, &d->low, 8);
	if (r != EMU_OK)
		return r;
	d->type = d->low >> 40 & 0x1f;
	d->dpl = d->low >> 45 & 3;
	d->present = d->low >> 47 & 1;
	if (!e->long_mode || d->type & D_S)
		return EMU_OK;
	if (offset + 15 > limit)
		return emu_selector_fault(e, f, selector);
	r = emu_read_system(e, d->address + 8, &d->high, 8);
	return r == EMU_OK && d->high >> 40 & 0x1f ? emu_selector_fault(e, f, selector) : r;
}

void emu_segment_from(const struct descriptor *d, struct minivmm_segment *s)
{
	u64 low = d->low;

	*s = (struct minivmm_segment){
		.selector = d->selector,
		.base = (low >> 16 & 0xffffff) | low >> 56 << 24 | d->high << 32,
		.limit = (low & 0xffff) | (low >> 32 & 0xf0000),
		.type = d->type & 15, .s = d->type >> 4, .dpl = d->dpl, .present = d->present,
		.avl = low >> 52 & 1, .l = low >> 53 & 1, .db = low >> 54 & 1, .g = low >> 55 & 1,
	};
	if (s->g)
		s->limit = s->limit << 12 | 0xfff;
}

static enum emu_result replace(struct emu *e, struct descriptor *d, u64 low)
{
	enum emu_result r = emu_cmpxchg_system(e, d->address, &d->low, &low, 8);

	d->low = low;
	d->type = low >> 40 & 0x1f;
	return r;
}

enum emu_result emu_set_accessed(struct emu *e, struct descriptor *d)
{
	return d->low & D_ACCESSED ? EMU_OK : replace(e, d, d->low | D_ACCESSED);
}

enum emu_result emu_change_busy(struct emu *e, struct descriptor *d, bool busy)
{
	return replace(e, d, busy ? d->low | D_BUSY_BIT : d->low & ~D_BUSY_BIT);
}

/* ---- segment registers ----------------------------------------------------------------------- */

void emu_set_segment(struct emu *e, unsigned int seg, const struct minivmm_segment *s)
{
	e->out.seg[seg] = *s;
	e->out.seg_changed |= 1 << seg;
}

void emu_set_null(struct emu *e, unsigned int seg, u16 selector, unsigned int dpl)
{
	const struct minivmm_segment s = { .selector = selector, .dpl = dpl, .unusable = 1 };

	emu_set_segment(e, seg, &s);
}

/* Real mode keeps limit and rights as they were: that is what "big real mode" lives on. */
void emu_set_real(struct emu *e, unsigned int seg, u16 selector, bool vm86)
{
	struct minivmm_segment s = *emu_segment(e, seg);

	if (vm86 || s.unusable)
		s = (struct minivmm_segment){
			.limit = 0xffff, .type = 3, .s = 1, .present = 1, .dpl = vm86 ? 3 : 0,
		};
	s.selector = selector;
	s.base = selector << 4;
	emu_set_segment(e, seg, &s);
}

static bool outranked(const struct descriptor *d, unsigned int cpl)
{
	return d->dpl < cpl || d->dpl < (d->selector & 3);
}

static bool is_readable(const struct descriptor *d)
{
	return d->type & D_S && (!is_code_type(d->type) || d->type & 2);
}

static bool is_writable(const struct descriptor *d)
{
	return (d->type & (D_S | 0xa)) == (D_S | 2);
}

static bool is_conforming_code(const struct descriptor *d)
{
	return is_code_type(d->type) && is_conforming(d->type);
}

enum emu_result emu_load_stack_segment(struct emu *e, u16 selector, unsigned int cpl,
				       struct selector_fault f, struct minivmm_segment *ss)
{
	struct descriptor d;
	enum emu_result r;

	if (!(selector & 0xfffc))
		return emu_selector_fault(e, f, 0);
	r = emu_read_descriptor(e, selector, f, &d);
	if (r != EMU_OK)
		return r;
	if ((selector & 3) != cpl || d.dpl != cpl || !is_writable(&d))
		return emu_selector_fault(e, f, selector);
	if (!d.present)
		return emu_selector_fault(e, (struct selector_fault){ X86_SS, f.ext }, selector);
	r = emu_set_accessed(e, &d);
	emu_segment_from(&d, ss);
	return r;
}

enum emu_result emu_load_data_segment(struct emu *e, unsigned int seg, u16 selector,
				      unsigned int cpl, struct selector_fault f)
{
	struct minivmm_segment s;
	struct descriptor d;
	enum emu_result r;

	if (!(selector & 0xfffc)) {
		emu_set_null(e, seg, selector, 0);
		return EMU_OK;
	}
	r = emu_read_descriptor(e, selector, f, &d);
	if (r != EMU_OK)
		return r;
	if (!is_readable(&d) || (!is_conforming_code(&d) && outranked(&d, cpl)))
		return emu_selector_fault(e, f, selector);
	if (!d.present)
		return emu_selector_fault(e, (struct selector_fault){ X86_NP, f.ext }, selector);
	r = emu_set_accessed(e, &d);
	emu_segment_from(&d, &s);
	emu_set_segment(e, seg, &s);
	return r;
}

static enum emu_result load_segment(struct emu *e, unsigned int seg, u16 selector)
{
	struct minivmm_segment ss;
	enum emu_result r;

	if (seg == EMU_SS)
		e->out.what |= EMU_MOV_SS | EMU_NO_STEP;
	if (!is_protected_mode(e)) {
		emu_set_real(e, seg, selector, e->mode == EMU_VM86);
		return EMU_OK;
	}
	if (seg != EMU_SS)
		return emu_load_data_segment(e, seg, selector, e->cpl, gp);
	if (!(selector & 0xfffc) && e->mode == EMU_LONG && e->cpl < 3 && selector == e->cpl) {
		emu_set_null(e, seg, selector, e->cpl);
		return EMU_OK;
	}
	r = emu_load_stack_segment(e, selector, e->cpl, gp, &ss);
	emu_set_segment(e, seg, &ss);
	return r;
}

enum emu_result op_mov_seg(struct emu *e)
{
	return load_segment(e, (e->insn.modrm >> 3) & 7, e->src.val);
}

enum emu_result op_pop_seg(struct emu *e)
{
	enum emu_result r;
	struct stack s;
	u64 selector;

	emu_stack(e, &s);
	r = emu_pop(e, &s, e->insn.op_size, &selector);
	emu_set_sp(e, &s);
	return r == EMU_OK ? load_segment(e, (e->insn.opcode >> 3) & 7, selector) : r;
}

/* LES, LDS, LSS, LFS, LGS */
enum emu_result op_les(struct emu *e)
{
	unsigned int op = e->insn.opcode, size = e->insn.op_size;
	unsigned int reg = ((e->insn.modrm >> 3) & 7) | (e->insn.rex & 4) << 1;
	unsigned int seg = op == 0xc4 ? EMU_ES : op == 0xc5 ? EMU_DS : op & 7;
	u64 offset, selector;
	enum emu_result r;

	r = emu_read(e, e->insn.seg, e->insn.ea, size, &offset);
	if (r == EMU_OK)
		r = emu_read(e, e->insn.seg, emu_mask(e->insn.ea + size, e->insn.ad_size), 2,
			     &selector);
	if (r == EMU_OK)
		r = load_segment(e, seg, selector);
	e->out.what = 0;	/* LSS needs no shadow: it loads both */
	set_reg(e, reg, 0, size, offset);
	return r;
}

/* ---- LDTR, TR -------------------------------------------------------------------------------- */

/* A task switch calls an LDT that isn't present an invalid TSS. */
enum emu_result emu_load_ldt(struct emu *e, u16 selector, struct selector_fault f)
{
	struct minivmm_segment s;
	struct descriptor d;
	enum emu_result r;

	if (!(selector & 0xfffc)) {
		emu_set_null(e, EMU_LDTR, selector, 0);
		return EMU_OK;
	}
	r = selector & 4 ? emu_selector_fault(e, f, selector) :
			   emu_read_descriptor(e, selector, f, &d);
	if (r != EMU_OK)
		return r;
	if (d.type != D_LDT)
		return emu_selector_fault(e, f, selector);
	if (f.vector == X86_GP && !d.present)
		f.vector = X86_NP;
	emu_segment_from(&d, &s);
	if (!d.present || !emu_canonical(s.base))
		return emu_selector_fault(e, f, selector);
	emu_set_segment(e, EMU_LDTR, &s);
	return EMU_OK;
}

enum emu_result op_lldt(struct emu *e)
{
	return emu_load_ldt(e, e->dst.val, gp);
}

enum emu_result op_ltr(struct emu *e)
{
	u16 selector = e->dst.val;
	struct minivmm_segment s;
	struct descriptor d;
	enum emu_result r;

	if (!(selector & 0xfffc) || selector & 4)
		return emu_selector_fault(e, gp, selector);
	r = emu_read_descriptor(e, selector, gp, &d);
	if (r != EMU_OK)
		return r;
	emu_segment_from(&d, &s);
	if ((d.type != D_TSS32 && (d.type != D_TSS16 || e->long_mode)) || !emu_canonical(s.base))
		return emu_selector_fault(e, gp, selector);
	if (!d.present)
		return emu_selector_fault(e, (struct selector_fault){ X86_NP, 0 }, selector);
	r = emu_change_busy(e, &d, true);
	s.type |= D_BUSY;
	emu_set_segment(e, EMU_TR, &s);
	return r;
}

/* ---- asking about descriptors ------------------------------------------------------------------ */

/* Is it there? A page fault stays one. */
static enum emu_result look_up(struct emu *e, u16 selector, struct descriptor *d, bool *found)
{
	enum emu_result r;

	*found = selector & 0xfffc;
	if (!*found)
		return EMU_OK;
	r = emu_read_descriptor(e, selector, gp, d);
	*found = r == EMU_OK;
	return r == EMU_FAULT && e->fault.vector != X86_PF ? EMU_OK : r;
}

/* VERR, VERW */
enum emu_result op_verify(struct emu *e)
{
	struct descriptor d;
	enum emu_result r;
	bool ok;

	r = look_up(e, e->dst.val, &d, &ok);
	if (ok && e->insn.op == OP_VERR)
		ok = is_readable(&d) && (is_conforming_code(&d) || !outranked(&d, e->cpl));
	else if (ok)
		ok = is_writable(&d) && !outranked(&d, e->cpl);
	set_flags(e, ZF, ok ? ZF : 0);
	return r;
}

/* LAR, LSL: which system descriptors each knows, outside of long mode and in it */
enum emu_result op_lar(struct emu *e)
{
	static const u16 types[2][2] = { { 0x1a3e, 0x1a04 }, { 0x0a0e, 0x0a04 } };
	bool is_lsl = e->insn.op == OP_LSL, ok;
	struct minivmm_segment s;
	struct descriptor d;
	enum emu_result r;

	r = look_up(e, e->src.val, &d, &ok);
	if (ok && !(d.type & D_S))
		ok = types[is_lsl][e->long_mode] >> d.type & 1;
	ok = ok && (is_conforming_code(&d) || !outranked(&d, e->cpl));
	set_flags(e, ZF, ok ? ZF : 0);
	if (!ok) {
		e->dst.type = T_NONE;
		return r;
	}
	emu_segment_from(&d, &s);
	e->dst.val = is_lsl ? s.limit : d.low >> 32 & 0xffff00;
	return r;
}

enum emu_result op_arpl(struct emu *e)
{
	bool lower = (e->dst.val & 3) < (e->src.val & 3);

	set_flags(e, ZF, lower ? ZF : 0);
	if (lower)
		e->dst.val = (e->dst.val & ~3ull) | (e->src.val & 3);
	else
		e->dst.type = T_NONE;
	return EMU_OK;
}
