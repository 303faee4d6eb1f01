// SPDX-License-Identifier: GPL-2.0
/* The stack, branches within a segment, flags that decide about interrupts, and fast system calls. */
#include "internal.h"

#define MSR_SYSENTER_CS		0x174
#define MSR_SYSENTER_ESP	0x175
#define MSR_SYSENTER_EIP	0x176
#define MSR_EFER		0xc0000080
#define MSR_STAR		0xc0000081
#define MSR_LSTAR		0xc0000082
#define MSR_FMASK		0xc0000084

/* ---- the stack ------------------------------------------------------------------------------- */

void emu_stack(struct emu *e, struct stack *s)
{
	*s = (struct stack){ .sp = emu_reg(e, EMU_RSP), .mask = ~0ull };
	if (e->mode == EMU_LONG)
		return;
	s->ss = emu_segment(e, EMU_SS);
	s->mask = s->ss->db ? 0xffffffff : 0xffff;
	s->typed = is_protected_mode(e);
}

static enum emu_result stack_address(struct emu *e, const struct stack *s, u64 offset,
				     unsigned int size, bool write, u64 *linear)
{
	offset &= s->mask;
	if (s->ss) {
		if (!emu_segment_linear(s->ss, s->typed, offset, size, write, linear))
			return emu_fault_code(e, X86_SS, s->code);
		return EMU_OK;
	}
	*linear = offset;
	if (!emu_canonical(offset) || !emu_canonical(offset + size - 1))
		return emu_fault_code(e, X86_SS, s->code);
	return EMU_OK;
}

enum emu_result emu_push(struct emu *e, struct stack *s, unsigned int size, u64 value)
{
	enum emu_result r;
	u64 linear;

	r = stack_address(e, s, s->sp - size, size, true, &linear);
	if (r == EMU_OK)
		r = emu_host_write(e, linear, &value, size, EMU_WRITE | s->access);
	s->sp -= size;
	return r;
}

enum emu_result emu_pop(struct emu *e, struct stack *s, unsigned int size, u64 *value)
{
	enum emu_result r;
	u64 linear;

	*value = 0;
	r = stack_address(e, s, s->sp, size, false, &linear);
	if (r == EMU_OK)
		r = emu_host_read(e, linear, value, size, s->access);
	s->sp += size;
	return r;
}

void emu_set_sp(struct emu *e, const struct stack *s)
{
	set_reg(e, EMU_RSP, 0, s->mask == 0xffff ? 2 : s->mask == 0xffffffff ? 4 : 8, s->sp);
}

static enum emu_result push_one(struct emu *e, u64 value)
{
	enum emu_result r;
	struct stack s;

	emu_stack(e, &s);
	r = emu_push(e, &s, e->insn.op_size, value);
	emu_set_sp(e, &s);
	return r;
}

static enum emu_result pop_one(struct emu *e, u64 *value)
{
	enum emu_result r;
	struct stack s;

	emu_stack(e, &s);
	r = emu_pop(e, &s, e->insn.op_size, value);
	emu_set_sp(e, &s);
	return r;
}

enum emu_result op_push(struct emu *e)
{
	return push_one(e, e->dst.val);
}

/* In 4 bytes a selector leaves the upper 2 as they are; in 8 it is zero-extended. */
enum emu_result op_push_seg(struct emu *e)
{
	enum emu_result r;
	struct stack s;

	emu_stack(e, &s);
	if (e->insn.op_size != 4)
		return push_one(e, e->dst.val);
	s.sp -= 2;
	r = emu_push(e, &s, 2, e->dst.val);
	emu_set_sp(e, &s);
	return r;
}

enum emu_result op_pop(struct emu *e)
{
	return pop_one(e, &e->dst.val);
}

enum emu_result op_pusha(struct emu *e)
{
	enum emu_result r = EMU_OK;
	struct stack s;
	int reg;

	emu_stack(e, &s);
	for (reg = EMU_RAX; reg <= EMU_RDI && r == EMU_OK; reg++)
		r = emu_push(e, &s, e->insn.op_size, e->regs[reg]);
	emu_set_sp(e, &s);
	return r;
}

enum emu_result op_popa(struct emu *e)
{
	enum emu_result r = EMU_OK;
	struct stack s;
	u64 value;
	int reg;

	emu_stack(e, &s);
	for (reg = EMU_RDI; reg >= EMU_RAX && r == EMU_OK; reg--) {
		r = emu_pop(e, &s, e->insn.op_size, &value);
		if (reg != EMU_RSP)
			set_reg(e, reg, 0, e->insn.op_size, value);
	}
	emu_set_sp(e, &s);
	return r;
}

enum emu_result op_enter(struct emu *e)
{
	unsigned int size = e->insn.op_size, level = e->insn.imm >> 16 & 31;
	u64 bp = e->regs[EMU_RBP], frame, value;
	struct stack s, old;
	enum emu_result r;

	emu_stack(e, &s);
	old = s;
	r = emu_push(e, &s, size, bp);
	frame = s.sp;
	for (old.sp = bp; level > 1 && r == EMU_OK; level--) {
		old.sp -= size;
		r = emu_pop(e, &old, size, &value);
		old.sp -= size;
		if (r == EMU_OK)
			r = emu_push(e, &s, size, value);
	}
	if (level && r == EMU_OK)
		r = emu_push(e, &s, size, frame);
	s.sp -= (u16)e->insn.imm;
	set_reg(e, EMU_RBP, 0, size, frame);
	emu_set_sp(e, &s);
	return r;
}

enum emu_result op_leave(struct emu *e)
{
	enum emu_result r;
	struct stack s;
	u64 value;

	emu_stack(e, &s);
	s.sp = e->regs[EMU_RBP];
	r = emu_pop(e, &s, e->insn.op_size, &value);
	emu_set_sp(e, &s);
	set_reg(e, EMU_RBP, 0, e->insn.op_size, value);
	return r;
}

/* ---- branches -------------------------------------------------------------------------------- */

enum emu_result emu_jump(struct emu *e, u64 target, unsigned int size)
{
	target = emu_mask(target, size);
	if (e->mode == EMU_LONG ? !emu_canonical(target) : target > emu_segment(e, EMU_CS)->limit)
		return emu_gp(e);
	e->out.rip = target;
	return EMU_OK;
}

enum emu_result op_jmp(struct emu *e)
{
	return emu_jump(e, e->out.rip + e->insn.imm, e->insn.op_size);
}

enum emu_result op_jmp_e(struct emu *e)
{
	return emu_jump(e, e->dst.val, e->insn.op_size);
}

enum emu_result op_jcc(struct emu *e)
{
	return emu_condition(e, e->insn.opcode) ? op_jmp(e) : EMU_OK;
}

/* LOOPNE, LOOPE, LOOP, JCXZ */
enum emu_result op_loop(struct emu *e)
{
	unsigned int size = e->insn.ad_size, kind = e->insn.opcode & 3;
	u64 count = emu_mask(e->regs[EMU_RCX], size);

	if (kind == 3)
		return count ? EMU_OK : op_jmp(e);
	count = emu_mask(count - 1, size);
	set_reg(e, EMU_RCX, 0, size, count);
	if (!count || (kind != 2 && !(e->rflags & ZF) != !kind))
		return EMU_OK;
	return op_jmp(e);
}

static enum emu_result call(struct emu *e, u64 target)
{
	u64 back = e->out.rip;
	enum emu_result r = emu_jump(e, target, e->insn.op_size);

	return r == EMU_OK ? push_one(e, back) : r;
}

enum emu_result op_call(struct emu *e)
{
	return call(e, e->out.rip + e->insn.imm);
}

enum emu_result op_call_e(struct emu *e)
{
	return call(e, e->dst.val);
}

enum emu_result op_ret(struct emu *e)
{
	enum emu_result r;
	struct stack s;
	u64 target;

	emu_stack(e, &s);
	r = emu_pop(e, &s, e->insn.op_size, &target);
	if (e->insn.imm_kind)
		s.sp += (u16)e->insn.imm;
	emu_set_sp(e, &s);
	return r == EMU_OK ? emu_jump(e, target, e->insn.op_size) : r;
}

/* ---- flags ----------------------------------------------------------------------------------- */

static bool may_change_if(const struct emu *e)
{
	return e->mode == EMU_REAL || e->cpl <= iopl(e);
}

/* Without IOPL 3, virtual-8086 mode may have a virtual IF in the place of the real one. */
static bool has_virtual_if(struct emu *e)
{
	return e->mode == EMU_VM86 && emu_host_get(e, EMU_CR4) & CR4_VME;
}

enum emu_result op_pushf(struct emu *e)
{
	u64 flags = e->rflags & ~(u64)(RF | VM);

	if (e->mode == EMU_VM86 && iopl(e) < 3) {
		if (e->insn.op_size != 2 || !has_virtual_if(e))
			return emu_gp(e);
		flags = (flags & ~(u64)IF) | IOPL | (flags & VIF ? IF : 0);
	}
	return push_one(e, flags);
}

enum emu_result op_popf(struct emu *e)
{
	bool virtual = e->mode == EMU_VM86 && iopl(e) < 3;
	u64 mask = ARITH_FLAGS | TF | DF | NT, flags;
	enum emu_result r;

	if (virtual && (e->insn.op_size != 2 || !has_virtual_if(e)))
		return emu_gp(e);
	if (e->insn.op_size != 2)
		mask |= AC | ID;
	if (may_change_if(e) && !virtual)
		mask |= IF;
	if (!e->cpl)
		mask |= IOPL;
	r = pop_one(e, &flags);
	if (r != EMU_OK)
		return r;
	if (virtual) {
		if (flags & TF || (flags & IF && e->rflags & VIP))
			return emu_gp(e);
		mask |= VIF;
		flags = (flags & ~(u64)VIF) | (flags & IF ? VIF : 0);
	}
	set_flags(e, mask, flags);
	return EMU_OK;
}

/* The flag that CLI and STI may change; 0 = none. */
static u64 interrupt_flag(struct emu *e)
{
	if (may_change_if(e))
		return IF;
	if (has_virtual_if(e))
		return VIF;
	if (e->mode != EMU_VM86 && e->cpl == 3 && emu_host_get(e, EMU_CR4) & CR4_PVI)
		return VIF;
	return 0;
}

enum emu_result op_cli(struct emu *e)
{
	u64 flag = interrupt_flag(e);

	set_flags(e, flag, 0);
	return flag ? EMU_OK : emu_gp(e);
}

enum emu_result op_sti(struct emu *e)
{
	u64 flag = interrupt_flag(e);

	if (!flag || (flag == VIF && e->rflags & VIP))
		return emu_gp(e);
	set_flags(e, flag, flag);
	if (flag == IF && !(e->rflags & IF))
		e->out.what |= EMU_STI;
	return EMU_OK;
}

/* ---- fast system calls ----------------------------------------------------------------------- */

static void set_flat(struct emu *e, unsigned int seg, u16 selector, unsigned int dpl, bool is_long)
{
	struct minivmm_segment s = {
		.selector = selector, .limit = 0xffffffff, .s = 1, .present = 1, .g = 1, .dpl = dpl,
		.type = seg == EMU_CS ? 11 : 3, .l = seg == EMU_CS && is_long,
	};

	s.db = !s.l;
	emu_set_segment(e, seg, &s);
}

static u64 read_msr(struct emu *e, u32 index)
{
	u64 value = 0;

	emu_host_rdmsr(e, index, &value);
	return value;
}

enum emu_result op_syscall(struct emu *e)
{
	u16 selector;

	if (e->mode != EMU_LONG || !(read_msr(e, MSR_EFER) & 1))
		return emu_ud(e);
	selector = read_msr(e, MSR_STAR) >> 32 & 0xfffc;
	set_reg_whole(e, EMU_RCX, e->out.rip);
	set_reg_whole(e, 11, e->out.rflags);
	e->out.rip = read_msr(e, MSR_LSTAR);
	e->out.rflags = (e->out.rflags & ~read_msr(e, MSR_FMASK)) | 2;
	set_flat(e, EMU_CS, selector, 0, true);
	set_flat(e, EMU_SS, selector + 8, 0, true);
	return EMU_OK;
}

enum emu_result op_sysret(struct emu *e)
{
	bool to_64 = e->insn.op_size == 8;
	u64 target = to_64 ? e->regs[EMU_RCX] : (u32)e->regs[EMU_RCX];
	u16 selector;

	if (e->mode != EMU_LONG || !(read_msr(e, MSR_EFER) & 1))
		return emu_ud(e);
	if (e->cpl || !emu_canonical(target))
		return emu_gp(e);
	selector = read_msr(e, MSR_STAR) >> 48 | 3;
	e->out.rip = target;
	e->out.rflags = (e->regs[11] & (ARITH_FLAGS | TF | IF | DF | IOPL | NT | AC | VIF | VIP | ID)) | 2;
	set_flat(e, EMU_CS, to_64 ? selector + 16 : selector, 3, to_64);
	set_flat(e, EMU_SS, selector + 8, 3, to_64);
	return EMU_OK;
}

enum emu_result op_sysenter(struct emu *e)
{
	u16 selector = read_msr(e, MSR_SYSENTER_CS) & 0xfffc;

	if (e->mode == EMU_REAL || !selector)
		return emu_gp(e);
	e->out.rflags &= ~(u64)(VM | IF);
	e->out.rip = emu_mask(read_msr(e, MSR_SYSENTER_EIP), e->long_mode ? 8 : 4);
	set_reg_whole(e, EMU_RSP, emu_mask(read_msr(e, MSR_SYSENTER_ESP), e->long_mode ? 8 : 4));
	set_flat(e, EMU_CS, selector, 0, e->long_mode);
	set_flat(e, EMU_SS, selector + 8, 0, e->long_mode);
	return EMU_OK;
}

enum emu_result op_sysexit(struct emu *e)
{
	u16 selector = read_msr(e, MSR_SYSENTER_CS) & 0xfffc;
	bool to_64 = e->insn.op_size == 8;
	u64 rip = e->regs[EMU_RDX], rsp = e->regs[EMU_RCX];

	if (e->mode == EMU_REAL || e->cpl || !selector ||
	    (to_64 && (!emu_canonical(rip) || !emu_canonical(rsp))))
		return emu_gp(e);
	e->out.rip = to_64 ? rip : (u32)rip;
	set_reg_whole(e, EMU_RSP, to_64 ? rsp : (u32)rsp);
	selector = (selector + (to_64 ? 32 : 16)) | 3;
	set_flat(e, EMU_CS, selector, 3, to_64);
	set_flat(e, EMU_SS, selector + 8, 3, to_64);
	return EMU_OK;
}
