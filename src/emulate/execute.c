// SPDX-License-Identifier: GPL-2.0
/*
 * The executor: performs a decoded instruction.
 *
 * Most go one way: load the operands, call the operation on their values, store the destination.
 * An operation is a row of the table ops[] and a function, most of them of a line, in one of the
 * files beside this one. Those that don't fit, strings say, or branches, take the whole instruction
 * into their hands (WHOLE). emu.out is the caller's state with RIP behind the instruction when an
 * operation begins.
 */
#include "internal.h"

/* ---- addresses ------------------------------------------------------------------------------- */

static enum emu_result segment_fault(struct emu *e, unsigned int seg)
{
	return emu_fault(e, seg == EMU_SS ? X86_SS : X86_GP, true);
}

static bool segment_allows(const struct minivmm_segment *s, bool write)
{
	if (s->unusable || !s->present)
		return false;
	if (s->type & 8)	/* code: never written, read if bit 1 */
		return !write && s->type & 2;
	return !write || s->type & 2;
}

static bool in_limit(const struct minivmm_segment *s, bool typed, u64 offset, u64 last)
{
	if (typed && (s->type & 0xc) == 4)	/* expand-down data: the limit is where it begins */
		return offset > s->limit && last <= (s->db ? 0xffffffff : 0xffff);
	return last <= s->limit;
}

/* SDM "Limit Checking" and after. False: a fault. */
bool emu_segment_linear(const struct minivmm_segment *s, bool typed, u64 ea, unsigned int size,
			bool write, u64 *linear)
{
	*linear = (u32)(s->base + ea);
	return !(typed && !segment_allows(s, write)) && in_limit(s, typed, ea, ea + size - 1);
}

static enum emu_result linearise_by_segment(struct emu *e, unsigned int seg, u64 ea,
					    unsigned int size, bool write, u64 *linear)
{
	if (!emu_segment_linear(emu_segment(e, seg), is_protected_mode(e), ea, size, write, linear))
		return segment_fault(e, seg);
	return EMU_OK;
}

/* A logical address to a linear one. */
static inline enum emu_result linearise(struct emu *e, unsigned int seg, u64 ea, unsigned int size,
					bool write, u64 *linear)
{
	if (e->mode != EMU_LONG)
		return linearise_by_segment(e, seg, ea, size, write, linear);
	if (seg >= EMU_FS)
		ea += emu_host_segment_base(e, seg);
	*linear = ea;
	if (!emu_canonical(ea) || !emu_canonical(ea + size - 1))
		return segment_fault(e, seg);
	return EMU_OK;
}

enum emu_result emu_linearise(struct emu *e, unsigned int seg, u64 ea, unsigned int size, bool write,
			      u64 *linear)
{
	return linearise(e, seg, ea, size, write, linear);
}

enum emu_result emu_read(struct emu *e, unsigned int seg, u64 ea, unsigned int size, u64 *value)
{
	enum emu_result r;
	u64 linear;

	*value = 0;
	r = linearise(e, seg, ea, size, false, &linear);
	return r == EMU_OK ? emu_host_read(e, linear, value, size, EMU_READ) : r;
}

enum emu_result emu_write(struct emu *e, unsigned int seg, u64 ea, unsigned int size, u64 value)
{
	enum emu_result r;
	u64 linear;

	r = linearise(e, seg, ea, size, true, &linear);
	return r == EMU_OK ? emu_host_write(e, linear, &value, size, EMU_WRITE) : r;
}

/* The CPU's own structures have 64-bit addresses in compatibility mode too. */
static enum emu_result system_address(struct emu *e, u64 *linear, unsigned int size)
{
	if (!e->long_mode)
		*linear = (u32)*linear;
	else if (!emu_canonical(*linear) || !emu_canonical(*linear + size - 1))
		return emu_gp(e);
	return EMU_OK;
}

enum emu_result emu_read_system(struct emu *e, u64 linear, void *data, unsigned int size)
{
	enum emu_result r = system_address(e, &linear, size);

	return r == EMU_OK ? emu_host_read(e, linear, data, size, EMU_SYSTEM) : r;
}

enum emu_result emu_write_system(struct emu *e, u64 linear, const void *data, unsigned int size)
{
	enum emu_result r = system_address(e, &linear, size);

	return r == EMU_OK ? emu_host_write(e, linear, data, size, EMU_WRITE | EMU_SYSTEM) : r;
}

enum emu_result emu_cmpxchg_system(struct emu *e, u64 linear, const void *old, const void *new,
				   unsigned int size)
{
	enum emu_result r = system_address(e, &linear, size);

	if (r != EMU_OK)
		return r;
	return emu_host_cmpxchg(e, linear, old, new, size, EMU_WRITE | EMU_SYSTEM);
}

/* ---- operands -------------------------------------------------------------------------------- */

static noinline enum emu_result locate_segment(struct emu *e, struct emu_operand *o)
{
	if (o->reg > EMU_GS)
		return emu_ud(e);
	o->type = T_VALUE;
	o->val = emu_segment(e, o->reg)->selector;
	return EMU_OK;
}

/* Before anything is written, with the value that it has then; but for memory's. */
static inline enum emu_result locate(struct emu *e, struct emu_operand *o,
				     const struct emu_place *place)
{
	o->type = place->type;
	o->size = place->size;
	o->reg = place->reg;
	o->shift = place->shift;
	if (o->type == T_REG)
		o->val = emu_mask(e->regs[place->reg] >> place->shift, place->size);
	else if (o->type == T_VALUE)
		o->val = emu_mask(e->insn.imm, place->size);
	else if (unlikely(o->type == T_SEG))
		return locate_segment(e, o);
	return EMU_OK;
}

/* Its value, from memory; of what is only to be stored, the address is checked. */
static enum emu_result load(struct emu *e, struct emu_operand *o, u64 ea, bool read, bool write)
{
	enum emu_result r;

	o->val = 0;
	r = linearise(e, e->insn.seg, ea, o->size, write, &o->linear);
	if (r != EMU_OK || !read)
		return r;
	return emu_host_read(e, o->linear, &o->val, o->size, write ? EMU_WRITE : EMU_READ);
}

static inline enum emu_result store(struct emu *e, struct emu_operand *o, bool atomic)
{
	if (o->type == T_REG)
		set_reg(e, o->reg, o->shift, o->size, o->val);
	if (o->type != T_MEM)
		return EMU_OK;
	if (atomic)
		return emu_host_cmpxchg(e, o->linear, &o->old, &o->val, o->size, EMU_WRITE);
	return emu_host_write(e, o->linear, &o->val, o->size, EMU_WRITE);
}

/* A register selects a bit of a string: the element that holds it may be far from the address. */
static u64 bit_address(const struct emu *e)
{
	const struct insn *insn = &e->insn;
	unsigned int shift = 64 - 8 * insn->op_size, bits = 8 * insn->op_size;
	s64 offset = (s64)(e->src.val << shift) >> shift;

	if (insn->src.type != T_REG || !insn->mem)
		return insn->ea;
	return emu_mask(insn->ea + (u64)((offset & -(s64)bits) >> 3), insn->ad_size);
}

/* ---- moves: all that most devices ever see, and so the shortest way -------------------------- */

static enum emu_result store_move(struct emu *e)
{
	struct emu_operand *dst = &e->dst;
	enum emu_result r;

	locate(e, dst, &e->insn.dst);
	if (dst->type == T_REG) {
		set_reg(e, dst->reg, dst->shift, dst->size, e->src.val);
		return EMU_OK;
	}
	r = linearise(e, e->insn.seg, e->insn.ea, dst->size, true, &dst->linear);
	if (r == EMU_OK)
		r = emu_host_write(e, dst->linear, &e->src.val, dst->size, EMU_WRITE);
	return r;
}

static enum emu_result op_mov(struct emu *e)
{
	enum emu_result r;

	r = locate(e, &e->src, &e->insn.src);
	if (r == EMU_OK && e->src.type == T_MEM)
		r = load(e, &e->src, e->insn.ea, true, false);
	return r == EMU_OK ? store_move(e) : r;
}

enum emu_result emu_finish_load(struct emu *e, const void *data, unsigned int len)
{
	if (e->insn.op != OP_MOV || e->src.size != len)
		return EMU_IO;
	memcpy(&e->src.val, data, len);
	return store_move(e);
}

/* ---- the table, and the usual way ------------------------------------------------------------ */

enum emu_result op_nop(struct emu *e)
{
	return EMU_OK;
}

static const struct {
	emu_fn *fn;
	u16 flags;
} ops[NR_EMU_OPS] = {
	[OP_ADD] = { op_add, LOCK },
	[OP_OR] = { op_or, LOCK },
	[OP_ADC] = { op_adc, LOCK },
	[OP_SBB] = { op_sbb, LOCK },
	[OP_AND] = { op_and, LOCK },
	[OP_SUB] = { op_sub, LOCK },
	[OP_XOR] = { op_xor, LOCK },
	[OP_CMP] = { op_sub, NO_STORE },
	[OP_TEST] = { op_and, NO_STORE },
	[OP_NOT] = { op_not, LOCK },
	[OP_NEG] = { op_neg, LOCK },
	[OP_INC] = { op_inc, LOCK },
	[OP_DEC] = { op_dec, LOCK },
	[OP_ROL ... OP_SAR] = { op_shift, 0 },
	[OP_SHLD] = { op_shld, 0 },
	[OP_SHRD] = { op_shrd, 0 },
	[OP_MUL ... OP_IMUL1] = { op_mul, NO_STORE },
	[OP_DIV ... OP_IDIV] = { op_div, NO_STORE },
	[OP_IMUL] = { op_imul, 0 },
	[OP_IMUL3] = { op_imul3, NO_LOAD },
	[OP_BSF] = { op_bsf, 0 },
	[OP_BSR] = { op_bsr, 0 },
	[OP_POPCNT] = { op_popcnt, NO_LOAD },
	[OP_CBW] = { op_cbw, WHOLE },
	[OP_CWD] = { op_cwd, WHOLE },
	[OP_DAA] = { op_daa, WHOLE },
	[OP_AAA] = { op_aaa, WHOLE },
	[OP_AAM] = { op_aam, WHOLE },
	[OP_AAD] = { op_aad, WHOLE },
	[OP_MOV] = { op_mov, WHOLE },
	[OP_MOVSX] = { op_movsx, NO_LOAD },
	[OP_MOVBE] = { op_movbe, NO_LOAD },
	[OP_LEA] = { op_lea, NO_LOAD },
	[OP_XCHG] = { op_xchg, LOCK | SWAP | ATOMIC },
	[OP_CMPXCHG] = { op_cmpxchg, LOCK },
	[OP_CMPXCHG8B] = { op_cmpxchg8b, WHOLE | LOCK },
	[OP_XADD] = { op_xadd, LOCK | SWAP },
	[OP_BSWAP] = { op_bswap, 0 },
	[OP_CMOV] = { op_cmov, 0 },
	[OP_SETCC] = { op_setcc, NO_LOAD },
	[OP_BT] = { op_bt, NO_STORE | BITS },
	[OP_BTS] = { op_bts, LOCK | BITS },
	[OP_BTR] = { op_btr, LOCK | BITS },
	[OP_BTC] = { op_btc, LOCK | BITS },
	[OP_NOP] = { op_nop, WHOLE },
	[OP_XLAT] = { op_xlat, WHOLE },
	[OP_SALC] = { op_salc, WHOLE },
	[OP_BOUND] = { op_bound, WHOLE },
	[OP_LAHF] = { op_lahf, WHOLE },
	[OP_SAHF] = { op_sahf, WHOLE },
	[OP_FLAG] = { op_flag, WHOLE },
	[OP_CLI] = { op_cli, WHOLE },
	[OP_STI] = { op_sti, WHOLE },
	[OP_PUSH] = { op_push, NO_STORE },
	[OP_PUSH_SEG] = { op_push_seg, NO_STORE },
	[OP_POP] = { op_pop, NO_LOAD },
	[OP_PUSHF] = { op_pushf, WHOLE },
	[OP_POPF] = { op_popf, WHOLE },
	[OP_PUSHA] = { op_pusha, WHOLE },
	[OP_POPA] = { op_popa, WHOLE },
	[OP_ENTER] = { op_enter, WHOLE },
	[OP_LEAVE] = { op_leave, WHOLE },
	[OP_JCC] = { op_jcc, WHOLE },
	[OP_LOOP] = { op_loop, WHOLE },
	[OP_JMP] = { op_jmp, WHOLE },
	[OP_JMP_E] = { op_jmp_e, NO_STORE },
	[OP_CALL] = { op_call, WHOLE },
	[OP_CALL_E] = { op_call_e, NO_STORE },
	[OP_RET] = { op_ret, WHOLE },
	[OP_JMP_FAR] = { op_jmp_far, WHOLE },
	[OP_CALL_FAR] = { op_call_far, WHOLE },
	[OP_RET_FAR] = { op_ret_far, WHOLE },
	[OP_INT] = { op_int, WHOLE },
	[OP_INTO] = { op_into, WHOLE },
	[OP_IRET] = { op_iret, WHOLE },
	[OP_MOV_SEG] = { op_mov_seg, 0 },
	[OP_POP_SEG] = { op_pop_seg, WHOLE },
	[OP_LES] = { op_les, WHOLE },
	[OP_SLDT ... OP_STR] = { op_sldt, NO_LOAD | PROT },
	[OP_LLDT] = { op_lldt, NO_STORE | PROT | PRIV },
	[OP_LTR] = { op_ltr, NO_STORE | PROT | PRIV },
	[OP_VERR ... OP_VERW] = { op_verify, NO_STORE | PROT },
	[OP_LAR ... OP_LSL] = { op_lar, PROT },
	[OP_ARPL] = { op_arpl, PROT },
	[OP_G7] = { op_g7, WHOLE },
	[OP_MOV_CR] = { op_mov_cr, WHOLE },
	[OP_MOV_DR] = { op_mov_dr, WHOLE },
	[OP_CLTS] = { op_clts, WHOLE | PRIV },
	[OP_HLT] = { op_hlt, WHOLE | PRIV },
	[OP_CACHE] = { op_nop, WHOLE | PRIV },
	[OP_RDMSR] = { op_rdmsr, WHOLE | PRIV },
	[OP_WRMSR] = { op_wrmsr, WHOLE | PRIV },
	[OP_RDTSC] = { op_rdtsc, WHOLE },
	[OP_RDPMC] = { op_rdpmc, WHOLE },
	[OP_CPUID] = { op_cpuid, WHOLE },
	[OP_SYSCALL] = { op_syscall, WHOLE },
	[OP_SYSRET] = { op_sysret, WHOLE },
	[OP_SYSENTER] = { op_sysenter, WHOLE },
	[OP_SYSEXIT] = { op_sysexit, WHOLE },
	[OP_VECTOR] = { op_vector, WHOLE },
	[OP_X87] = { op_x87, WHOLE },
	[OP_FSGSBASE] = { op_fsgsbase, WHOLE },
	[OP_INVPCID] = { op_invpcid, WHOLE },
	[OP_BMI] = { op_bmi, NO_LOAD },
	[OP_ADX] = { op_adx, 0 },
	[OP_CRC32] = { op_crc32, NO_LOAD },
	[OP_RDPID] = { op_rdpid, WHOLE },
	[OP_MOVS ... OP_OUTS] = { op_string, WHOLE },
	[OP_IN] = { op_in, WHOLE },
	[OP_OUT] = { op_out, WHOLE },
};

static inline enum emu_result load_operands(struct emu *e, u16 flags)
{
	u64 ea = e->insn.ea;
	enum emu_result r;

	r = locate(e, &e->src, &e->insn.src);
	if (r == EMU_OK && e->src.type == T_MEM)
		r = load(e, &e->src, ea, true, false);
	if (r != EMU_OK)
		return r;
	if (flags & BITS)
		ea = bit_address(e);
	r = locate(e, &e->dst, &e->insn.dst);
	if (r == EMU_OK && e->dst.type == T_MEM)
		r = load(e, &e->dst, ea, !(flags & NO_LOAD), !(flags & NO_STORE));
	e->dst.old = e->dst.val;
	return r;
}

/* Load, operate, store. */
static inline enum emu_result usual_way(struct emu *e, u16 flags, bool atomic)
{
	enum emu_result r;

	r = load_operands(e, flags);
	if (r == EMU_OK)
		r = ops[e->insn.op].fn(e);
	if (r == EMU_OK && flags & SWAP)	/* first: XADD of a register to itself is a sum */
		r = store(e, &e->src, false);
	if (r == EMU_OK && !(flags & NO_STORE))
		r = store(e, &e->dst, atomic || flags & ATOMIC);
	return r;
}

/* Rights, before operands are looked at. */
static noinline enum emu_result check_rights(struct emu *e, u16 flags)
{
	if (flags & PROT && !is_protected_mode(e))
		return emu_ud(e);
	return flags & PRIV && e->cpl ? emu_gp(e) : EMU_OK;
}

static enum emu_result perform(struct emu *e)
{
	u16 flags = ops[e->insn.op].flags;
	bool atomic = e->insn.lock;

	if (!ops[e->insn.op].fn)
		return EMU_UNHANDLED;
	if (atomic && !(flags & LOCK && e->insn.mem))
		return emu_ud(e);
	if (flags & (PROT | PRIV)) {
		enum emu_result r = check_rights(e, flags);

		if (r != EMU_OK)
			return r;
	}
	if (flags & WHOLE)
		return ops[e->insn.op].fn(e);
	return usual_way(e, flags, atomic);
}

void emu_begin(struct emu *e, unsigned int len)
{
	e->stop = false;
	e->out.changed = 0;
	e->out.seg_changed = 0;
	e->out.what = 0;
	e->out.rflags = e->rflags & ~(u64)RF;
	e->out.rip = e->rip + len;
	if (e->mode != EMU_LONG)
		e->out.rip = (u32)e->out.rip;
}

enum emu_result emu_execute(struct emu *e)
{
	u8 cpl = e->cpl, mode = e->mode;
	enum emu_result r;

	emu_begin(e, e->insn.len);
	r = perform(e);
	e->cpl = cpl;	/* which an operation may have changed for its own use */
	e->mode = mode;
	return r;
}

enum emu_result emu_run(struct emu *e)
{
	enum emu_result r = emu_decode(e);

	return r == EMU_OK ? emu_execute(e) : r;
}
