// SPDX-License-Identifier: GPL-2.0
/* Instructions about the CPU itself: descriptor tables, control registers, MSRs, x87's control. */
#include "internal.h"

#define MSR_FS_BASE		0xc0000100
#define MSR_GS_BASE		0xc0000101
#define MSR_KERNEL_GS_BASE	0xc0000102
#define MSR_TSC_AUX		0xc0000103

#define DR6_BD	(1 << 13)
#define DR7_GD	(1 << 13)

static u64 edx_eax(const struct emu *e)
{
	return (u32)e->regs[EMU_RAX] | e->regs[EMU_RDX] << 32;
}

static void set_edx_eax(struct emu *e, u64 value)
{
	set_reg_whole(e, EMU_RAX, (u32)value);
	set_reg_whole(e, EMU_RDX, value >> 32);
}

/* Bits of CR4 that keep some instructions from programs. */
static bool kept_from_user(struct emu *e, u64 bit)
{
	return e->cpl && emu_host_get(e, EMU_CR4) & bit;
}

/* ---- system segments, descriptor tables ------------------------------------------------------ */

/* SLDT, STR; a register gets all of its operand size, memory 2 bytes */
enum emu_result op_sldt(struct emu *e)
{
	if (kept_from_user(e, CR4_UMIP))
		return emu_gp(e);
	e->dst.val = emu_segment(e, e->insn.op == OP_SLDT ? EMU_LDTR : EMU_TR)->selector;
	if (e->dst.type == T_REG)
		e->dst.size = e->insn.op_size;
	return EMU_OK;
}

static enum emu_result store_table(struct emu *e, bool idt)
{
	struct minivmm_dtable t;
	enum emu_result r;

	if (kept_from_user(e, CR4_UMIP))
		return emu_gp(e);
	emu_host_get_table(e, idt, &t);
	r = emu_write(e, e->insn.seg, e->insn.ea, 2, t.limit);
	return r != EMU_OK ? r : emu_write(e, e->insn.seg, emu_mask(e->insn.ea + 2, e->insn.ad_size),
					   e->mode == EMU_LONG ? 8 : 4, t.base);
}

/* With 16-bit operands the base has 24 bits. */
static enum emu_result load_table(struct emu *e, bool idt)
{
	struct minivmm_dtable t = { 0 };
	u64 limit, base;
	enum emu_result r;

	if (e->cpl)
		return emu_gp(e);
	r = emu_read(e, e->insn.seg, e->insn.ea, 2, &limit);
	if (r == EMU_OK)
		r = emu_read(e, e->insn.seg, emu_mask(e->insn.ea + 2, e->insn.ad_size),
			     e->mode == EMU_LONG ? 8 : 4, &base);
	if (r != EMU_OK)
		return r;
	if (e->mode == EMU_LONG && !emu_canonical(base))
		return emu_gp(e);
	t.limit = limit;
	t.base = e->mode != EMU_LONG && e->insn.op_size == 2 ? base & 0xffffff : base;
	emu_host_set_table(e, idt, &t);
	return EMU_OK;
}

static enum emu_result store_msw(struct emu *e)
{
	u64 cr0 = emu_host_get(e, EMU_CR0);

	if (kept_from_user(e, CR4_UMIP))
		return emu_gp(e);
	if (e->insn.mem)
		return emu_write(e, e->insn.seg, e->insn.ea, 2, cr0);
	set_reg(e, (e->insn.modrm & 7) | (e->insn.rex & 1) << 3, 0, e->insn.op_size, cr0);
	return EMU_OK;
}

/* PE can be set by it and not cleared. */
static enum emu_result load_msw(struct emu *e)
{
	u64 value = e->regs[(e->insn.modrm & 7) | (e->insn.rex & 1) << 3];
	u64 cr0 = emu_host_get(e, EMU_CR0);
	enum emu_result r = EMU_OK;

	if (e->cpl)
		return emu_gp(e);
	if (e->insn.mem)
		r = emu_read(e, e->insn.seg, e->insn.ea, 2, &value);
	if (r != EMU_OK)
		return r;
	e->out.what |= EMU_MODE;
	return emu_host_set(e, EMU_CR0, (cr0 & ~14ull) | (value & 15));
}

static enum emu_result invlpg(struct emu *e)
{
	enum emu_result r;
	u64 linear = e->insn.ea;

	if (e->cpl)
		return emu_gp(e);
	r = e->mode == EMU_LONG || !is_protected_mode(e) ? EMU_OK :
	    emu_linearise(e, e->insn.seg, e->insn.ea, 1, false, &linear);
	if (e->mode == EMU_LONG && e->insn.seg >= EMU_FS)
		linear += emu_host_segment_base(e, e->insn.seg);
	if (r == EMU_OK && (e->mode != EMU_LONG || emu_canonical(linear)))
		emu_host_invlpg(e, linear);
	return r;
}

enum emu_result op_invpcid(struct emu *e)
{
	unsigned int reg = ((e->insn.modrm >> 3) & 7) | (e->insn.rex & 4) << 1;
	u64 type = emu_mask(e->regs[reg], e->mode == EMU_LONG ? 8 : 4), linear;
	struct { u64 pcid, address; } d;
	enum emu_result r;

	if (!emu_host_has(e, EMU_HAS_INVPCID))
		return emu_ud(e);
	if (e->cpl || type > 3)
		return emu_gp(e);
	r = emu_linearise(e, e->insn.seg, e->insn.ea, sizeof(d), false, &linear);
	if (r == EMU_OK)
		r = emu_host_read(e, linear, &d, sizeof(d), EMU_READ);
	if (r != EMU_OK)
		return r;
	if (d.pcid >> 12 || (type == 0 && !emu_canonical(d.address)) ||
	    (type < 2 && d.pcid && !(emu_host_get(e, EMU_CR4) & CR4_PCIDE)))
		return emu_gp(e);
	emu_host_invpcid(e, type, d.pcid, d.address);
	return EMU_OK;
}

/* CLAC and STAC. */
static enum emu_result set_ac(struct emu *e, u64 value)
{
	if (e->cpl || !emu_host_has(e, EMU_HAS_SMAP))
		return emu_ud(e);
	set_flags(e, AC, value);
	return EMU_OK;
}

static enum emu_result swapgs(struct emu *e)
{
	u64 gs, other;

	if (e->mode != EMU_LONG)
		return emu_ud(e);
	if (e->cpl)
		return emu_gp(e);
	emu_host_rdmsr(e, MSR_GS_BASE, &gs);
	emu_host_rdmsr(e, MSR_KERNEL_GS_BASE, &other);
	emu_host_wrmsr(e, MSR_GS_BASE, other);
	emu_host_wrmsr(e, MSR_KERNEL_GS_BASE, gs);
	return EMU_OK;
}

static enum emu_result read_xcr(struct emu *e)
{
	if (!(emu_host_get(e, EMU_CR4) & CR4_OSXSAVE))
		return emu_ud(e);
	if ((u32)e->regs[EMU_RCX])
		return emu_gp(e);
	set_edx_eax(e, emu_host_get(e, EMU_XCR0));
	return EMU_OK;
}

static enum emu_result write_xcr(struct emu *e)
{
	if (!(emu_host_get(e, EMU_CR4) & CR4_OSXSAVE))
		return emu_ud(e);
	if (e->cpl || (u32)e->regs[EMU_RCX])
		return emu_gp(e);
	return emu_host_set(e, EMU_XCR0, edx_eax(e));
}

static enum emu_result rdtscp(struct emu *e)
{
	enum emu_result r;
	u64 aux;

	r = emu_host_rdmsr(e, MSR_TSC_AUX, &aux);
	if (r != EMU_OK)
		return r == EMU_FAULT ? emu_ud(e) : r;
	r = op_rdtsc(e);
	if (r == EMU_OK)
		set_reg_whole(e, EMU_RCX, (u32)aux);
	return r;
}

enum emu_result op_rdpid(struct emu *e)
{
	enum emu_result r;
	u64 aux;

	if (!emu_host_has(e, EMU_HAS_RDPID))
		return emu_ud(e);
	r = emu_host_rdmsr(e, MSR_TSC_AUX, &aux);
	if (r == EMU_OK)
		set_reg_whole(e, (e->insn.modrm & 7) | (e->insn.rex & 1) << 3, (u32)aux);
	return r;
}

/* KVM's hypercalls exist, as its CPUID leaf says; none of them is offered. */
static enum emu_result vmcall(struct emu *e)
{
	const s64 not_permitted = -1, unknown = -1000;

	set_reg(e, EMU_RAX, 0, e->mode == EMU_LONG ? 8 : 4, e->cpl ? not_permitted : unknown);
	return EMU_OK;
}

/* 0F 01: by ModRM.reg with memory, by the whole byte without. */
enum emu_result op_g7(struct emu *e)
{
	unsigned int reg = (e->insn.modrm >> 3) & 7;

	if (reg == 4)
		return store_msw(e);
	if (reg == 6)
		return load_msw(e);
	if (e->insn.mem)
		return reg < 2 ? store_table(e, reg) : reg < 4 ? load_table(e, reg & 1) :
		       reg == 7 ? invlpg(e) : EMU_UNHANDLED;
	switch (e->insn.modrm) {
	case 0xc1:
		return vmcall(e);
	case 0xc8: case 0xc9:	/* MONITOR, MWAIT: likewise they do nothing */
		return e->cpl ? emu_ud(e) : EMU_OK;
	case 0xc2: case 0xc3: case 0xc4:	/* VMLAUNCH, VMRESUME, VMXOFF */
		return emu_ud(e);
	case 0xca:
		return set_ac(e, 0);
	case 0xcb:
		return set_ac(e, AC);
	case 0xd0:
		return read_xcr(e);
	case 0xd1:
		return write_xcr(e);
	case 0xe8:	/* SERIALIZE; with a prefix it is something else */
		return e->insn.rep || e->insn.opsize ? EMU_UNHANDLED : EMU_OK;
	case 0xf8:
		return swapgs(e);
	case 0xf9:
		return rdtscp(e);
	}
	return EMU_UNHANDLED;
}

/* ---- control and debug registers --------------------------------------------------------------- */

static unsigned int system_reg(const struct emu *e)
{
	return ((e->insn.modrm >> 3) & 7) | (e->insn.rex & 4) << 1;
}

static enum emu_result move_system(struct emu *e, unsigned int from_to, unsigned int host_reg)
{
	unsigned int reg = (e->insn.modrm & 7) | (e->insn.rex & 1) << 3;

	if (!(from_to & 2)) {
		u64 value = emu_host_get(e, host_reg);

		set_reg_whole(e, reg, e->mode == EMU_LONG ? value : (u32)value);
		return EMU_OK;
	}
	e->out.what |= EMU_MODE;
	return emu_host_set(e, host_reg, e->mode == EMU_LONG ? e->regs[reg] : (u32)e->regs[reg]);
}

enum emu_result op_mov_cr(struct emu *e)
{
	unsigned int cr = system_reg(e);

	if (cr > 8 || !(0x11d >> cr & 1))
		return emu_ud(e);
	return e->cpl ? emu_gp(e) : move_system(e, e->insn.opcode, EMU_CR0 + cr);
}

enum emu_result op_mov_dr(struct emu *e)
{
	unsigned int dr = system_reg(e);
	u64 dr7;

	if (dr > 7)
		return emu_ud(e);
	if (dr == 4 || dr == 5) {
		if (emu_host_get(e, EMU_CR4) & CR4_DE)
			return emu_ud(e);
		dr += 2;
	}
	if (e->cpl)
		return emu_gp(e);
	dr7 = emu_host_get(e, EMU_DR7);
	if (dr7 & DR7_GD) {
		emu_host_set(e, EMU_DR6, emu_host_get(e, EMU_DR6) | DR6_BD);
		emu_host_set(e, EMU_DR7, dr7 & ~(u64)DR7_GD);
		return emu_fault(e, X86_DB, false);
	}
	return move_system(e, e->insn.opcode, EMU_DR0 + dr);
}

enum emu_result op_clts(struct emu *e)
{
	return emu_host_set(e, EMU_CR0, emu_host_get(e, EMU_CR0) & ~(u64)CR0_TS);
}

enum emu_result op_hlt(struct emu *e)
{
	e->out.what |= EMU_HALT;
	return EMU_OK;
}

/* ---- MSRs, counters, CPUID ------------------------------------------------------------------- */

enum emu_result op_rdmsr(struct emu *e)
{
	u64 value = 0;
	enum emu_result r = emu_host_rdmsr(e, e->regs[EMU_RCX], &value);

	if (r == EMU_OK)
		set_edx_eax(e, value);
	return r;
}

enum emu_result op_wrmsr(struct emu *e)
{
	e->out.what |= EMU_MODE;
	return emu_host_wrmsr(e, e->regs[EMU_RCX], edx_eax(e));
}

enum emu_result op_rdtsc(struct emu *e)
{
	if (kept_from_user(e, CR4_TSD))
		return emu_gp(e);
	set_edx_eax(e, emu_host_get(e, EMU_TSC));
	return EMU_OK;
}

/* There is no counter. */
enum emu_result op_rdpmc(struct emu *e)
{
	return emu_gp(e);
}

enum emu_result op_cpuid(struct emu *e)
{
	u32 eax = e->regs[EMU_RAX], ebx, ecx = e->regs[EMU_RCX], edx;

	emu_host_cpuid(e, &eax, &ebx, &ecx, &edx);
	set_reg_whole(e, EMU_RAX, eax);
	set_reg_whole(e, EMU_RBX, ebx);
	set_reg_whole(e, EMU_RCX, ecx);
	set_reg_whole(e, EMU_RDX, edx);
	return EMU_OK;
}

/* RDFSBASE, RDGSBASE, WRFSBASE, WRGSBASE */
enum emu_result op_fsgsbase(struct emu *e)
{
	unsigned int kind = (e->insn.modrm >> 3) & 3, size = e->insn.op_size == 8 ? 8 : 4;
	unsigned int reg = (e->insn.modrm & 7) | (e->insn.rex & 1) << 3;
	u32 msr = MSR_FS_BASE + (kind & 1);
	enum emu_result r;
	u64 value;

	if (e->mode != EMU_LONG || !(emu_host_get(e, EMU_CR4) & CR4_FSGSBASE))
		return emu_ud(e);
	if (kind & 2)
		return emu_host_wrmsr(e, msr, emu_mask(e->regs[reg], size));
	r = emu_host_rdmsr(e, msr, &value);
	set_reg(e, reg, 0, size, value);
	return r;
}

/* ---- x87: what start-up code does to see whether there is one, and to reset it ------------------- */

#define FSW_ES	0x80	/* an exception waits */

static enum emu_result waiting(struct emu *e)
{
	if (!(emu_host_fpu(e, EMU_FNSTSW, 0) & FSW_ES))
		return EMU_OK;
	return emu_host_get(e, EMU_CR0) & CR0_NE ? emu_fault(e, X86_MF, false) : EMU_UNHANDLED;
}

static enum emu_result load_control_word(struct emu *e)
{
	enum emu_result r = waiting(e);
	u64 value;

	if (r == EMU_OK)
		r = emu_read(e, e->insn.seg, e->insn.ea, 2, &value);
	if (r == EMU_OK)
		emu_host_fpu(e, EMU_FLDCW, value);
	return r;
}

enum emu_result op_x87(struct emu *e)
{
	u64 cr0 = emu_host_get(e, EMU_CR0);
	u16 what = e->insn.opcode << 8 | e->insn.modrm;
	unsigned int reg = (e->insn.modrm >> 3) & 7;

	if (e->insn.opcode == 0x9b)
		return (cr0 & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS) ?
		       emu_fault(e, X86_NM, false) : waiting(e);
	if (cr0 & (CR0_EM | CR0_TS))
		return emu_fault(e, X86_NM, false);
	if (what == 0xdbe2 || what == 0xdbe3) {
		emu_host_fpu(e, what == 0xdbe2 ? EMU_FNCLEX : EMU_FNINIT, 0);
		return EMU_OK;
	}
	if (what == 0xdfe0) {
		set_reg(e, EMU_RAX, 0, 2, emu_host_fpu(e, EMU_FNSTSW, 0));
		return EMU_OK;
	}
	if (what == 0xd9d0)	/* FNOP */
		return waiting(e);
	if (!e->insn.mem)
		return EMU_UNHANDLED;
	if (e->insn.opcode == 0xd9 && reg == 5)
		return load_control_word(e);
	if ((e->insn.opcode == 0xd9 || e->insn.opcode == 0xdd) && reg == 7)
		return emu_write(e, e->insn.seg, e->insn.ea, 2,
				 emu_host_fpu(e, e->insn.opcode == 0xd9 ? EMU_FNSTCW : EMU_FNSTSW, 0));
	return EMU_UNHANDLED;
}
