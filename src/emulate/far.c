// SPDX-License-Identifier: GPL-2.0
/*
 * Control transfers between segments: far JMP, CALL and RET, gates, interrupts, IRET, tasks. Checks
 * come in the order of the SDM's pseudocode. Nothing of the guest's registers changes before all of
 * them are passed, but for task switches, which have a point of no return (EMU_COMMIT).
 */
#include "internal.h"

#define TSS32_LIMIT	0x67
#define TSS16_LIMIT	0x2b

static enum emu_result switch_task(struct emu *e, u16 selector, enum emu_task_source source,
				   const struct emu_event *event);

/* ---- code segments --------------------------------------------------------------------------- */

/* The last checks of a code segment, and whether offset lies in it; then CS and RIP are loaded. */
static enum emu_result enter_code(struct emu *e, struct descriptor *d, unsigned int cpl, u64 offset,
				  struct selector_fault f)
{
	struct minivmm_segment cs;
	enum emu_result r;

	emu_segment_from(d, &cs);
	if (e->long_mode && cs.l && cs.db)
		return emu_selector_fault(e, f, d->selector);
	if (!d->present)
		return emu_selector_fault(e, (struct selector_fault){ X86_NP, f.ext }, d->selector);
	if (e->long_mode && cs.l ? !emu_canonical(offset) : offset > cs.limit)
		return emu_fault_code(e, X86_GP, f.ext);
	r = emu_set_accessed(e, d);
	if (r != EMU_OK)
		return r;
	cs.type |= 1;
	cs.selector = (cs.selector & ~3) | cpl;
	emu_set_segment(e, EMU_CS, &cs);
	e->out.rip = offset;
	return EMU_OK;
}

static enum emu_result read_code(struct emu *e, u16 selector, struct selector_fault f,
				 struct descriptor *d)
{
	enum emu_result r;

	if (!(selector & 0xfffc))
		return emu_selector_fault(e, f, 0);
	r = emu_read_descriptor(e, selector, f, d);
	return r == EMU_OK && !is_code_type(d->type) ? emu_selector_fault(e, f, selector) : r;
}

/* ---- stacks of other privilege levels ---------------------------------------------------------- */

/* What the TSS has for a level. In long mode it is RSP alone; offset says where, for an IST. */
static enum emu_result tss_stack(struct emu *e, unsigned int cpl, unsigned int offset, u8 ext,
				 struct stack *s, struct minivmm_segment *ss)
{
	const struct minivmm_segment *tr = emu_segment(e, EMU_TR);
	const struct selector_fault ts = { X86_TS, ext };
	unsigned int size = e->long_mode ? 8 : tr->type & 8 ? 4 : 2;
	unsigned int len = e->long_mode ? 8 : size + 2;
	enum emu_result r;
	u8 bytes[8] = { 0 };
	u16 selector;

	if (!e->long_mode)
		offset = size + cpl * 2 * size;
	if (offset + len - 1 > tr->limit)
		return emu_selector_fault(e, ts, tr->selector);
	r = emu_read_system(e, tr->base + offset, bytes, len);
	*s = (struct stack){ .mask = ~0ull, .access = EMU_SYSTEM, .code = ext };
	memcpy(&s->sp, bytes, size);
	if (r != EMU_OK || e->long_mode) {
		*ss = (struct minivmm_segment){ .selector = cpl, .dpl = cpl, .unusable = 1 };
		return r == EMU_OK && !emu_canonical(s->sp) ? emu_fault_code(e, X86_SS, ext) : r;
	}
	memcpy(&selector, bytes + size, 2);
	r = emu_load_stack_segment(e, selector, cpl, ts, ss);
	s->ss = ss;
	s->typed = true;
	s->mask = ss->db ? 0xffffffff : 0xffff;
	s->code = (selector & 0xfffc) | ext;
	return r;
}

/* The registers of a stack that was left by pushes; a register whose mask is less keeps the rest. */
static void enter_stack(struct emu *e, const struct stack *s, const struct minivmm_segment *ss)
{
	emu_set_segment(e, EMU_SS, ss);
	emu_set_sp(e, s);
}

static enum emu_result push_all(struct emu *e, struct stack *s, unsigned int size, const u64 *values,
				int n)
{
	enum emu_result r = EMU_OK;

	while (n-- && r == EMU_OK)
		r = emu_push(e, s, size, *values++);
	return r;
}

/* ---- JMP and CALL ---------------------------------------------------------------------------- */

static enum emu_result read_far_pointer(struct emu *e, u16 *selector, u64 *offset)
{
	const struct insn *insn = &e->insn;
	unsigned int size = insn->op_size;
	enum emu_result r;
	u64 value;

	if (!insn->mem) {
		*offset = emu_mask(insn->imm, size);
		*selector = insn->imm >> 8 * size;
		return EMU_OK;
	}
	r = emu_read(e, insn->seg, insn->ea, size, offset);
	if (r == EMU_OK)
		r = emu_read(e, insn->seg, emu_mask(insn->ea + size, insn->ad_size), 2, &value);
	*selector = value;
	return r;
}

static enum emu_result push_return(struct emu *e, struct stack *s, unsigned int size, u64 rip)
{
	const u64 values[] = { emu_segment(e, EMU_CS)->selector, rip };
	enum emu_result r = push_all(e, s, size, values, 2);

	if (r == EMU_OK)
		emu_set_sp(e, s);
	return r;
}

static enum emu_result far_real(struct emu *e, u16 selector, u64 offset, bool is_call)
{
	enum emu_result r = EMU_OK;
	struct stack s;

	if (offset > emu_segment(e, EMU_CS)->limit)
		return emu_gp(e);
	emu_stack(e, &s);
	if (is_call)
		r = push_return(e, &s, e->insn.op_size, e->out.rip);
	emu_set_real(e, EMU_CS, selector, e->mode == EMU_VM86);
	e->out.rip = offset;
	return r;
}

static const struct selector_fault gp = { X86_GP, 0 };

static enum emu_result far_direct(struct emu *e, struct descriptor *d, u64 offset, bool is_call)
{
	u64 back = e->out.rip;
	unsigned int rpl = d->selector & 3;
	enum emu_result r;
	struct stack s;

	if (!is_code_type(d->type) ||
	    (is_conforming(d->type) ? d->dpl > e->cpl : rpl > e->cpl || d->dpl != e->cpl))
		return emu_selector_fault(e, gp, d->selector);
	r = enter_code(e, d, e->cpl, offset, gp);
	emu_stack(e, &s);
	return r == EMU_OK && is_call ? push_return(e, &s, e->insn.op_size, back) : r;
}

/* To a more privileged level: SS:RSP, parameters and CS:RIP go onto its stack. */
static enum emu_result call_inner(struct emu *e, unsigned int cpl, unsigned int size,
				  unsigned int count, u64 back)
{
	u64 values[2 + 31 + 2];
	struct minivmm_segment ss;
	struct stack old, new;
	enum emu_result r;
	unsigned int i;

	r = tss_stack(e, cpl, 4 + 8 * cpl, 0, &new, &ss);
	emu_stack(e, &old);
	values[0] = emu_segment(e, EMU_SS)->selector;
	values[1] = emu_reg(e, EMU_RSP);
	for (i = 0; i < count && r == EMU_OK; i++)
		r = emu_pop(e, &old, size, &values[1 + count - i]);
	values[2 + count] = emu_segment(e, EMU_CS)->selector;
	values[3 + count] = back;
	if (r == EMU_OK)
		r = push_all(e, &new, size, values, count + 4);
	if (r == EMU_OK)
		enter_stack(e, &new, &ss);
	return r;
}

static u64 gate_offset(const struct descriptor *g)
{
	u64 offset = (g->low & 0xffff) | g->high << 32;

	return g->type & 8 ? offset | (g->low >> 48) << 16 : offset;
}

static enum emu_result far_call_gate(struct emu *e, const struct descriptor *gate, bool is_call)
{
	unsigned int size = e->long_mode ? 8 : gate->type & 8 ? 4 : 2;
	unsigned int cpl = e->cpl, count = e->long_mode ? 0 : gate->low >> 32 & 31;
	u64 back = e->out.rip;
	struct descriptor code;
	enum emu_result r;
	struct stack s;
	bool inner;

	r = read_code(e, gate->low >> 16, gp, &code);
	if (r != EMU_OK)
		return r;
	inner = is_call && !is_conforming(code.type) && code.dpl < cpl;
	if (code.dpl > cpl || (!is_call && !is_conforming(code.type) && code.dpl != cpl) ||
	    (e->long_mode && !(code.low >> 53 & 1)))
		return emu_selector_fault(e, gp, code.selector);
	if (inner)
		cpl = code.dpl;
	r = enter_code(e, &code, cpl, gate_offset(gate), gp);
	if (r != EMU_OK || !is_call)
		return r;
	if (e->long_mode)
		e->mode = EMU_LONG;
	if (inner)
		return call_inner(e, cpl, size, count, back);
	emu_stack(e, &s);
	return push_return(e, &s, size, back);
}

static enum emu_result far_system(struct emu *e, struct descriptor *d, bool is_call)
{
	enum emu_task_source source = is_call ? EMU_TASK_CALL : EMU_TASK_JMP;
	unsigned int type = d->type;
	bool gate = type == D_CALL16 || type == D_CALL32 || type == D_TASK_GATE;

	if ((!gate && type != D_TSS16 && type != D_TSS32) || (e->long_mode && type != D_CALL32) ||
	    d->dpl < e->cpl || d->dpl < (d->selector & 3))
		return emu_selector_fault(e, gp, d->selector);
	if (!d->present)
		return emu_selector_fault(e, (struct selector_fault){ X86_NP, 0 }, d->selector);
	if (type == D_TASK_GATE)
		return switch_task(e, d->low >> 16, source, NULL);
	return gate ? far_call_gate(e, d, is_call) : switch_task(e, d->selector, source, NULL);
}

static enum emu_result far_transfer(struct emu *e, bool is_call)
{
	struct descriptor d;
	enum emu_result r;
	u16 selector;
	u64 offset;

	r = read_far_pointer(e, &selector, &offset);
	if (r != EMU_OK)
		return r;
	if (!is_protected_mode(e))
		return far_real(e, selector, offset, is_call);
	if (!(selector & 0xfffc))
		return emu_gp(e);
	r = emu_read_descriptor(e, selector, gp, &d);
	if (r != EMU_OK)
		return r;
	return d.type & D_S ? far_direct(e, &d, offset, is_call) : far_system(e, &d, is_call);
}

enum emu_result op_jmp_far(struct emu *e)
{
	return far_transfer(e, false);
}

enum emu_result op_call_far(struct emu *e)
{
	return far_transfer(e, true);
}

/* ---- returns --------------------------------------------------------------------------------- */

/* A less privileged level mustn't keep segments that it couldn't load. */
static void drop_segments(struct emu *e, unsigned int cpl)
{
	static const u8 segs[] = { EMU_ES, EMU_DS, EMU_FS, EMU_GS };
	unsigned int i;

	for (i = 0; i < 4; i++) {
		const struct minivmm_segment *s = emu_segment(e, segs[i]);

		if (!s->unusable && s->dpl < cpl && (s->type & 0xc) != 0xc)
			emu_set_null(e, segs[i], 0, 0);
	}
}

static enum emu_result pop_stack_segment(struct emu *e, struct stack *s, unsigned int size,
					 unsigned int cpl, bool to_64, u64 *sp,
					 struct minivmm_segment *ss)
{
	enum emu_result r;
	u64 selector;

	r = emu_pop(e, s, size, sp);
	if (r == EMU_OK)
		r = emu_pop(e, s, size, &selector);
	if (r != EMU_OK)
		return r;
	if (!(selector & 0xfffc) && to_64 && cpl < 3 && (selector & 3) == cpl) {
		*ss = (struct minivmm_segment){ .selector = selector, .dpl = cpl, .unusable = 1 };
		return EMU_OK;
	}
	return emu_load_stack_segment(e, selector, cpl, gp, ss);
}

/* RET and IRET in protected mode, with CS:RIP popped: drop is RET's; full says that SS:RSP follow. */
static enum emu_result far_return(struct emu *e, struct stack *s, u16 selector, u64 rip,
				  unsigned int drop, bool full)
{
	unsigned int size = e->insn.op_size, cpl = selector & 3;
	struct minivmm_segment ss;
	struct descriptor code;
	enum emu_result r;
	bool to_64;
	u64 sp;

	r = read_code(e, selector, gp, &code);
	if (r != EMU_OK)
		return r;
	if (cpl < e->cpl || (is_conforming(code.type) ? code.dpl > cpl : code.dpl != cpl))
		return emu_selector_fault(e, gp, selector);
	r = enter_code(e, &code, cpl, rip, gp);
	s->sp += drop;
	to_64 = e->long_mode && code.low >> 53 & 1;
	if (r != EMU_OK || (cpl == e->cpl && !full)) {
		emu_set_sp(e, s);
		return r;
	}
	r = pop_stack_segment(e, s, size, cpl, to_64, &sp, &ss);
	emu_set_segment(e, EMU_SS, &ss);
	sp += drop;
	set_reg(e, EMU_RSP, 0, to_64 ? 8 : ss.db ? 4 : 2, sp);
	if (cpl != e->cpl)
		drop_segments(e, cpl);
	return r;
}

static enum emu_result return_real(struct emu *e, struct stack *s, u16 selector, u64 rip)
{
	if (rip > emu_segment(e, EMU_CS)->limit)
		return emu_gp(e);
	emu_set_sp(e, s);
	emu_set_real(e, EMU_CS, selector, e->mode == EMU_VM86);
	e->out.rip = rip;
	return EMU_OK;
}

enum emu_result op_ret_far(struct emu *e)
{
	unsigned int size = e->insn.op_size, drop = e->insn.imm_kind ? (u16)e->insn.imm : 0;
	enum emu_result r;
	u64 rip, selector;
	struct stack s;

	emu_stack(e, &s);
	r = emu_pop(e, &s, size, &rip);
	if (r == EMU_OK)
		r = emu_pop(e, &s, size, &selector);
	if (r != EMU_OK)
		return r;
	if (is_protected_mode(e))
		return far_return(e, &s, selector, rip, drop, false);
	s.sp += drop;
	return return_real(e, &s, selector, rip);
}

static enum emu_result return_to_vm86(struct emu *e, struct stack *s, u16 selector, u64 rip, u64 flags)
{
	static const u8 order[] = { EMU_SS, EMU_ES, EMU_DS, EMU_FS, EMU_GS };
	enum emu_result r;
	unsigned int i;
	u64 sp, value;

	if (rip > 0xffff)
		return emu_gp(e);
	r = emu_pop(e, s, 4, &sp);
	for (i = 0; i < 5 && r == EMU_OK; i++) {
		r = emu_pop(e, s, 4, &value);
		emu_set_real(e, order[i], value, true);
	}
	emu_set_real(e, EMU_CS, selector, true);
	set_reg(e, EMU_RSP, 0, 4, sp);
	e->out.rip = rip;
	e->out.rflags = (flags & (ARITH_FLAGS | TF | IF | DF | IOPL | NT | RF | VM | AC | VIF | VIP | ID)) | 2;
	return r;
}

/* The flags that IRET may change; in virtual-8086 mode without IOPL 3, IF stands for VIF. */
static enum emu_result iret_flags(struct emu *e, u64 flags)
{
	u64 mask = ARITH_FLAGS | TF | DF | NT;

	if (e->insn.op_size != 2)
		mask |= RF | AC | ID;
	if (e->mode == EMU_VM86 && iopl(e) < 3) {
		if (flags & TF || (flags & IF && e->rflags & VIP))
			return emu_gp(e);
		mask |= VIF;
		flags = (flags & ~(u64)VIF) | (flags & IF ? VIF : 0);
	} else if (e->cpl <= iopl(e)) {
		mask |= IF;
	}
	if (!e->cpl)
		mask |= IOPL | (e->insn.op_size != 2 && e->mode != EMU_REAL ? VIF | VIP : 0);
	set_flags(e, mask, flags);
	return EMU_OK;
}

static enum emu_result return_from_task(struct emu *e)
{
	enum emu_result r;
	u16 link;

	if (e->long_mode)
		return emu_gp(e);
	r = emu_read_system(e, emu_segment(e, EMU_TR)->base, &link, 2);
	return r == EMU_OK ? switch_task(e, link, EMU_TASK_IRET, NULL) : r;
}

enum emu_result op_iret(struct emu *e)
{
	unsigned int size = e->insn.op_size;
	u64 rip, selector, flags;
	enum emu_result r;
	struct stack s;

	e->out.what |= EMU_IRET;
	if (is_protected_mode(e) && e->rflags & NT)
		return return_from_task(e);
	if (e->mode == EMU_VM86 && iopl(e) < 3 &&
	    (size != 2 || !(emu_host_get(e, EMU_CR4) & CR4_VME)))
		return emu_gp(e);
	emu_stack(e, &s);
	r = emu_pop(e, &s, size, &rip);
	if (r == EMU_OK)
		r = emu_pop(e, &s, size, &selector);
	if (r == EMU_OK)
		r = emu_pop(e, &s, size, &flags);
	if (r == EMU_OK && !e->long_mode && is_protected_mode(e) && flags & VM && !e->cpl)
		return return_to_vm86(e, &s, selector, rip, flags);
	if (r == EMU_OK)
		r = iret_flags(e, flags);
	if (r != EMU_OK)
		return r;
	if (is_protected_mode(e))
		return far_return(e, &s, selector, rip, 0, e->mode == EMU_LONG);
	return return_real(e, &s, selector, rip);
}

/* ---- interrupts and exceptions ------------------------------------------------------------------ */

/* Through a table of far pointers: real mode's, or virtual-8086 mode's own with VME. */
static enum emu_result deliver_real(struct emu *e, u8 vector, u64 base, u32 limit, u64 flags)
{
	const u64 values[] = { flags, emu_segment(e, EMU_CS)->selector, e->out.rip };
	enum emu_result r;
	struct stack s;
	u32 entry;

	if (vector * 4 + 3 > limit)
		return emu_fault_code(e, X86_GP, vector * 8 + 2);
	r = emu_read_system(e, base + vector * 4, &entry, 4);
	emu_stack(e, &s);
	if (r == EMU_OK)
		r = push_all(e, &s, 2, values, 3);
	if (r != EMU_OK)
		return r;
	emu_set_sp(e, &s);
	emu_set_real(e, EMU_CS, entry >> 16, e->mode == EMU_VM86);
	e->out.rip = (u16)entry;
	return EMU_OK;
}

/* The new stack, if there is one: what of it the frame begins with is pushed; *s is where it is. */
static enum emu_result interrupt_stack(struct emu *e, unsigned int cpl, unsigned int ist, u8 ext,
				       unsigned int size, struct stack *s)
{
	static const u8 vm86_segs[] = { EMU_GS, EMU_FS, EMU_DS, EMU_ES };
	struct minivmm_segment ss;
	enum emu_result r;
	unsigned int i;
	u64 frame[2];

	r = tss_stack(e, cpl, ist ? 0x1c + 8 * ist : 4 + 8 * cpl, ext, s, &ss);
	if (e->long_mode)
		s->sp &= ~15ull;
	for (i = 0; i < 4 && e->mode == EMU_VM86 && r == EMU_OK; i++) {
		r = emu_push(e, s, size, emu_segment(e, vm86_segs[i])->selector);
		emu_set_null(e, vm86_segs[i], 0, 0);
	}
	frame[0] = emu_segment(e, EMU_SS)->selector;
	frame[1] = emu_reg(e, EMU_RSP);
	if (r == EMU_OK)
		r = push_all(e, s, size, frame, 2);
	emu_set_segment(e, EMU_SS, &ss);	/* s->ss: its copy */
	if (s->ss)
		s->ss = &e->out.seg[EMU_SS];
	return r;
}

/* In long mode the frame always has SS:RSP, and its stack is aligned. */
static enum emu_result same_stack(struct emu *e, unsigned int size, struct stack *s)
{
	const u64 frame[] = { emu_segment(e, EMU_SS)->selector, emu_reg(e, EMU_RSP) };

	emu_stack(e, s);
	if (!e->long_mode)
		return EMU_OK;
	s->sp &= ~15ull;
	return push_all(e, s, size, frame, 2);
}

static enum emu_result deliver_gate(struct emu *e, const struct emu_event *event,
				    const struct descriptor *gate, u8 ext, u64 flags)
{
	unsigned int size = e->long_mode ? 8 : gate->type & 8 ? 4 : 2, cpl = e->cpl;
	unsigned int ist = e->long_mode ? gate->low >> 32 & 7 : 0;
	u64 frame[] = { flags, emu_segment(e, EMU_CS)->selector, e->out.rip, event->code };
	const struct selector_fault f = { X86_GP, ext };
	struct descriptor code;
	enum emu_result r;
	struct stack s;

	r = read_code(e, gate->low >> 16, f, &code);
	if (r != EMU_OK)
		return r;
	if (code.dpl > cpl || (e->long_mode && !(code.low >> 53 & 1)) ||
	    (e->mode == EMU_VM86 && (is_conforming(code.type) || code.dpl)))
		return emu_selector_fault(e, f, code.selector);
	if (!is_conforming(code.type))
		cpl = code.dpl;
	r = enter_code(e, &code, cpl, gate_offset(gate), f);
	if (r != EMU_OK)
		return r;
	if (e->long_mode)	/* the handler is 64-bit code, and so is its stack */
		e->mode = EMU_LONG;
	r = cpl != e->cpl || ist ? interrupt_stack(e, cpl, ist, ext, size, &s) :
				   same_stack(e, size, &s);
	if (r == EMU_OK)
		r = push_all(e, &s, size, frame, event->has_code ? 4 : 3);
	emu_set_sp(e, &s);
	e->out.rflags &= ~(u64)(TF | NT | VM | RF | (gate->type & 1 ? 0 : IF));
	return r;
}

/* The gate of a vector, and whether it may be used; ext is the EXT bit of faults on the way. */
static enum emu_result read_gate(struct emu *e, const struct emu_event *event, u8 ext,
				 struct descriptor *g)
{
	unsigned int size = e->long_mode ? 16 : 8, offset = event->vector * size;
	u32 code = event->vector * 8 + 2 + ext;
	struct minivmm_dtable idt;
	enum emu_result r;

	*g = (struct descriptor){ 0 };
	emu_host_get_table(e, true, &idt);
	if (offset + size - 1 > idt.limit)
		return emu_fault_code(e, X86_GP, code);
	r = emu_read_system(e, idt.base + offset, &g->low, 8);
	if (r == EMU_OK && size == 16)
		r = emu_read_system(e, idt.base + offset + 8, &g->high, 8);
	if (r != EMU_OK)
		return r;
	g->type = g->low >> 40 & 0x1f;
	g->dpl = g->low >> 45 & 3;
	if ((g->type & ~9) != D_CALL16 + 2 && (g->type != D_TASK_GATE || e->long_mode))
		return emu_fault_code(e, X86_GP, code);
	if (e->long_mode && !(g->type & 8))
		return emu_fault_code(e, X86_GP, code);
	if (event->soft && g->dpl < e->cpl)
		return emu_fault_code(e, X86_GP, code);
	return g->low >> 47 & 1 ? EMU_OK : emu_fault_code(e, X86_NP, code);
}

static enum emu_result deliver(struct emu *e, const struct emu_event *event, u64 flags)
{
	u8 ext = !event->soft;
	struct minivmm_dtable idt;
	struct descriptor gate;
	enum emu_result r;

	e->out.what |= EMU_NO_STEP;
	if (e->mode == EMU_REAL) {
		emu_host_get_table(e, true, &idt);
		e->out.rflags &= ~(u64)(IF | TF | AC | RF);
		return deliver_real(e, event->vector, idt.base, idt.limit, flags);
	}
	r = read_gate(e, event, ext, &gate);
	if (r != EMU_OK)
		return r;
	if (gate.type == D_TASK_GATE)
		return switch_task(e, gate.low >> 16, EMU_TASK_GATE, event);
	return deliver_gate(e, event, &gate, ext, flags);
}

enum emu_result emu_deliver(struct emu *e, const struct emu_event *event)
{
	u8 cpl = e->cpl, mode = e->mode;
	enum emu_result r;

	emu_begin(e, 0);
	e->out.rflags = e->rflags;
	r = deliver(e, event, e->rflags);
	e->cpl = cpl;
	e->mode = mode;
	return r;
}

/* With VME, INT n of virtual-8086 mode goes by its own table where the TSS's bit map says so. */
static enum emu_result redirected(struct emu *e, u8 vector, bool *yes)
{
	const struct minivmm_segment *tr = emu_segment(e, EMU_TR);
	enum emu_result r;
	u16 map;
	u8 bits;

	*yes = false;
	if (!(emu_host_get(e, EMU_CR4) & CR4_VME))
		return EMU_OK;
	r = emu_read_system(e, tr->base + 102, &map, 2);
	if (r == EMU_OK && map - 32 + vector / 8 > (int)tr->limit)
		return emu_gp(e);
	if (r == EMU_OK)
		r = emu_read_system(e, tr->base + map - 32 + vector / 8, &bits, 1);
	*yes = r == EMU_OK && !(bits >> (vector & 7) & 1);
	return r;
}

static enum emu_result int_vm86(struct emu *e, const struct emu_event *event)
{
	enum emu_result r;
	u64 flags = e->out.rflags;
	bool own;

	r = redirected(e, event->vector, &own);
	if (r != EMU_OK)
		return r;
	if (!own)
		return iopl(e) < 3 ? emu_gp(e) : deliver(e, event, flags);
	e->out.what |= EMU_NO_STEP;
	if (iopl(e) == 3) {
		e->out.rflags &= ~(u64)(IF | TF);
	} else {
		flags = (flags & ~(u64)IF) | IOPL | (flags & VIF ? IF : 0);
		e->out.rflags &= ~(u64)(VIF | TF);
	}
	return deliver_real(e, event->vector, 0, 0x3ff, flags);
}

/* INT n, INT3, INT1 */
enum emu_result op_int(struct emu *e)
{
	u8 op = e->insn.opcode;
	const struct emu_event event = {
		.vector = op == 0xcc ? X86_BP : op == 0xf1 ? X86_DB : (u8)e->insn.imm,
		.soft = op != 0xf1, .interrupt = op == 0xcd,
	};

	if (op == 0xcc && emu_host_takes_int3(e))
		return EMU_RETRY;
	if (e->mode == EMU_VM86 && op == 0xcd)
		return int_vm86(e, &event);
	return deliver(e, &event, e->out.rflags);
}

enum emu_result op_into(struct emu *e)
{
	const struct emu_event event = { .vector = X86_OF, .soft = true };

	return e->rflags & OF ? deliver(e, &event, e->out.rflags) : EMU_OK;
}

/* ---- tasks ----------------------------------------------------------------------------------- */

/* From the instruction pointer on, a TSS of either kind has words of its size in the same order. */
enum { T_IP, T_FLAGS, T_REGS, T_SEGS = T_REGS + 8 };

struct task {
	struct minivmm_segment tr;
	unsigned int word, first, segs;		/* sizes; offset of T_IP; segment registers it has */
	u8 data[TSS32_LIMIT + 1];
};

static void task_layout(struct task *t)
{
	bool is32 = t->tr.type & 8;

	t->word = is32 ? 4 : 2;
	t->first = is32 ? 0x20 : 0xe;
	t->segs = is32 ? 6 : 4;
}

static u32 task_word(const struct task *t, unsigned int n)
{
	u32 value = 0;

	memcpy(&value, t->data + t->first + n * t->word, t->word);
	return value;
}

static enum emu_result save_task(struct emu *e, struct task *t, u64 flags)
{
	u64 base = t->tr.base + t->first;
	enum emu_result r;
	unsigned int i;
	u32 value;

	for (i = 0, r = EMU_OK; i < T_SEGS && r == EMU_OK; i++) {
		value = i == T_IP ? e->out.rip : i == T_FLAGS ? flags : e->regs[i - T_REGS];
		r = emu_write_system(e, base + i * t->word, &value, t->word);
	}
	for (i = 0; i < t->segs && r == EMU_OK; i++)
		r = emu_write_system(e, base + (T_SEGS + i) * t->word,
				     &emu_segment(e, i)->selector, 2);
	return r;
}

static enum emu_result load_task_code(struct emu *e, u16 selector, u8 ext)
{
	const struct selector_fault ts = { X86_TS, ext };
	unsigned int rpl = selector & 3;
	struct descriptor d;
	enum emu_result r;

	r = read_code(e, selector, ts, &d);
	if (r != EMU_OK)
		return r;
	if (is_conforming(d.type) ? d.dpl > rpl : d.dpl != rpl)
		return emu_selector_fault(e, ts, selector);
	return enter_code(e, &d, rpl, e->out.rip, ts);
}

/* In the new task already: faults are its own. */
static enum emu_result load_task_segments(struct emu *e, const struct task *t, u8 ext)
{
	static const u8 order[] = { EMU_DS, EMU_ES, EMU_FS, EMU_GS };
	const struct selector_fault ts = { X86_TS, ext };
	unsigned int i, cpl = task_word(t, T_SEGS + EMU_CS) & 3;
	struct minivmm_segment ss;
	enum emu_result r;

	for (i = 0; i < 6; i++) {
		u16 selector = i < t->segs ? task_word(t, T_SEGS + i) : 0;

		if (e->out.rflags & VM)
			emu_set_real(e, i, selector, true);
		else
			emu_set_null(e, i, selector, cpl);
	}
	r = emu_load_ldt(e, task_word(t, T_SEGS + t->segs), ts);
	if (r != EMU_OK || e->out.rflags & VM)
		return r;
	r = load_task_code(e, task_word(t, T_SEGS + EMU_CS), ext);
	if (r == EMU_OK)
		r = emu_load_stack_segment(e, task_word(t, T_SEGS + EMU_SS), cpl, ts, &ss);
	if (r != EMU_OK)
		return r;
	emu_set_segment(e, EMU_SS, &ss);
	for (i = 0; i < 4 && r == EMU_OK; i++)
		if (order[i] < t->segs)
			r = emu_load_data_segment(e, order[i], task_word(t, T_SEGS + order[i]), cpl,
						  ts);
	return r;
}

static enum emu_result push_task_error(struct emu *e, const struct task *t, u32 code)
{
	struct stack s = {
		.ss = emu_current_segment(e, EMU_SS), .sp = emu_reg(e, EMU_RSP),
		.typed = !(e->out.rflags & VM),
	};
	enum emu_result r;

	s.mask = s.ss->db ? 0xffffffff : 0xffff;
	r = emu_push(e, &s, t->word, code);
	if (r == EMU_OK)
		emu_set_sp(e, &s);
	return r;
}

/* The point of no return: from here on a fault finds the new task's state. */
static enum emu_result enter_task(struct emu *e, struct task *t, bool nested,
				  const struct emu_event *event, u8 ext)
{
	u64 cr0 = emu_host_get(e, EMU_CR0);
	enum emu_result r;
	unsigned int i;
	u32 cr3;

	e->out.what |= EMU_COMMIT | EMU_MODE | EMU_NO_STEP;
	t->tr.type |= D_BUSY;
	emu_set_segment(e, EMU_TR, &t->tr);
	emu_host_set(e, EMU_CR0, cr0 | CR0_TS);
	emu_host_set(e, EMU_DR7, emu_host_get(e, EMU_DR7) & ~0x155ull);
	for (i = 0; i < 8; i++)
		set_reg_whole(e, i, task_word(t, T_REGS + i));
	e->out.rip = task_word(t, T_IP);
	e->out.rflags = (task_word(t, T_FLAGS) & (ARITH_FLAGS | TF | IF | DF | IOPL | NT | RF | VM | AC |
		VIF | VIP | ID)) | 2 | (nested ? NT : 0);
	memcpy(&cr3, t->data + 0x1c, 4);
	if (t->word == 4 && cr0 >> 31 && emu_host_set(e, EMU_CR3, cr3) != EMU_OK)
		return emu_gp(e);
	e->cpl = e->out.rflags & VM ? 3 : task_word(t, T_SEGS + EMU_CS) & 3;
	r = load_task_segments(e, t, ext);
	if (r == EMU_OK && event && event->has_code)
		r = push_task_error(e, t, event->code);
	if (r == EMU_OK && t->word == 4 && t->data[0x64] & 1)
		e->out.what |= EMU_TRAP;
	return r == EMU_OK || r == EMU_FAULT ? r : EMU_UNHANDLED;
}

/* In pieces that a device might answer, too. */
static enum emu_result read_task(struct emu *e, struct task *t)
{
	unsigned int size = t->word == 4 ? TSS32_LIMIT + 1 : TSS16_LIMIT + 1, i;
	enum emu_result r = EMU_OK;

	for (i = 0; i < size && r == EMU_OK; i += 4)
		r = emu_read_system(e, t->tr.base + i, t->data + i, 4);
	return r;
}

static enum emu_result find_task(struct emu *e, u16 selector, enum emu_task_source source, u8 ext,
				 struct task *t, struct descriptor *d)
{
	const struct selector_fault ts = { X86_TS, ext };
	struct selector_fault f = { source == EMU_TASK_IRET ? X86_TS : X86_GP, ext };
	unsigned int busy = source == EMU_TASK_IRET ? D_BUSY : 0;
	enum emu_result r;

	if (selector & 4 || !(selector & 0xfffc))
		return emu_selector_fault(e, f, selector);
	r = emu_read_descriptor(e, selector, f, d);
	if (r != EMU_OK)
		return r;
	if (d->type != (D_TSS16 | busy) && d->type != (D_TSS32 | busy))
		return emu_selector_fault(e, f, selector);
	if (!d->present)
		return emu_selector_fault(e, (struct selector_fault){ X86_NP, ext }, selector);
	emu_segment_from(d, &t->tr);
	task_layout(t);
	if (t->tr.limit < (t->word == 4 ? TSS32_LIMIT : TSS16_LIMIT))
		return emu_selector_fault(e, ts, selector);
	return read_task(e, t);
}

static enum emu_result switch_task(struct emu *e, u16 selector, enum emu_task_source source,
				   const struct emu_event *event)
{
	bool nested = source == EMU_TASK_CALL || source == EMU_TASK_GATE;
	u64 flags = event && !event->soft ? e->rflags : e->out.rflags;
	u8 ext = event && !event->soft;
	struct task old = { .tr = *emu_segment(e, EMU_TR) }, new;
	struct descriptor from, to;
	enum emu_result r;

	if (e->long_mode)
		return emu_selector_fault(e, gp, selector);
	r = find_task(e, selector, source, ext, &new, &to);
	if (r == EMU_OK)
		r = emu_read_descriptor(e, old.tr.selector & ~7, (struct selector_fault){ X86_TS, ext },
					&from);
	if (r != EMU_OK)
		return r;
	task_layout(&old);
	r = save_task(e, &old, source == EMU_TASK_IRET ? flags & ~(u64)NT : flags);
	if (r == EMU_OK && nested)
		r = emu_write_system(e, new.tr.base, &old.tr.selector, 2);
	if (r == EMU_OK && !nested)
		r = emu_change_busy(e, &from, false);
	if (r == EMU_OK && source != EMU_TASK_IRET)
		r = emu_change_busy(e, &to, true);
	return r == EMU_OK ? enter_task(e, &new, nested, event, ext) : r;
}

enum emu_result emu_task_switch(struct emu *e, u16 selector, enum emu_task_source source,
				const struct emu_event *event)
{
	enum emu_result r;
	u8 cpl = e->cpl;

	emu_begin(e, 0);
	if (source == EMU_TASK_IRET)
		e->out.what |= EMU_IRET;
	r = switch_task(e, selector, source, event);
	e->cpl = cpl;
	return r;
}
