// SPDX-License-Identifier: GPL-2.0
/*
 * The executor: performs a decoded instruction.
 *
 * Most go one way: load the operands, call the operation on their values, store the destination.
 * An operation is a function of a few lines and a row of the table ops[]. Those that don't fit,
 * strings and ports, take the whole instruction into their hands (WHOLE).
 */
#include <linux/kernel.h>
#include <linux/string.h>

#include "emulate.h"

enum { CF = 0x001, PF = 0x004, AF = 0x010, ZF = 0x040, SF = 0x080, DF = 0x400, OF = 0x800 };
#define ARITH_FLAGS	(CF | PF | AF | ZF | SF | OF)
#define RFLAGS_RF	0x10000u

enum emu_operand_type { T_NONE, T_REG, T_MEM, T_VALUE };

/* What is special about an operation: flags of ops[]. */
enum {
	WHOLE	= 0x01,		/* does everything itself */
	NO_LOAD	= 0x02,		/* the destination's old value doesn't matter */
	NO_STORE = 0x04,	/* the destination isn't written */
	LOCK	= 0x08,		/* may have a LOCK prefix */
	SWAP	= 0x10,		/* writes its source too, which is a register */
	ATOMIC	= 0x20,		/* locks without being told */
	BITS	= 0x40,		/* a register source selects a bit of a string of them */
};

/* ---- registers ------------------------------------------------------------------------------- */

static void set_reg_whole(struct emu *e, unsigned int reg, u64 value)
{
	e->out.regs[reg] = value;
	e->out.changed |= 1 << reg;
}

/* By the architecture's rules: 4 bytes clear the upper half, 1 and 2 leave the rest. */
static void set_reg(struct emu *e, unsigned int reg, unsigned int shift, unsigned int size,
		    u64 value)
{
	u64 mask;

	if (size < 4) {
		mask = emu_mask(~0ull, size) << shift;
		value = (emu_reg(e, reg) & ~mask) | (value << shift & mask);
	}
	set_reg_whole(e, reg, size == 4 ? (u32)value : value);
}

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

/* With the segment's checks; SDM "Limit Checking" and after. */
static enum emu_result linearise_by_segment(struct emu *e, unsigned int seg, u64 ea,
					    unsigned int size, bool write, u64 *linear)
{
	const struct minivmm_segment *s = emu_segment(e, seg);
	bool typed = e->mode >= EMU_PROT16;

	if (typed && !segment_allows(s, write))
		return segment_fault(e, seg);
	if (!in_limit(s, typed, ea, ea + size - 1))
		return segment_fault(e, seg);
	*linear = (u32)(s->base + ea);
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

/* ---- operands -------------------------------------------------------------------------------- */

/* Before anything is written: the register has the value that it had when the instruction began. */
static enum emu_result reg_operand(struct emu *e, struct emu_operand *o, unsigned int reg)
{
	o->type = T_REG;
	o->shift = 0;
	if (o->size == 1 && !e->insn.rex && reg >= 4 && reg < 8) {	/* AH, CH, DH, BH */
		reg -= 4;
		o->shift = 8;
	}
	o->reg = reg;
	o->val = emu_mask(e->regs[reg] >> o->shift, o->size);
	return EMU_OK;
}

static enum emu_result rm_operand(struct emu *e, struct emu_operand *o)
{
	if (!e->insn.mem)
		return reg_operand(e, o, (e->insn.modrm & 7) | (e->insn.rex & 1) << 3);
	o->type = T_MEM;
	return EMU_OK;
}

/* A segment register is stored to memory in 2 bytes, to a register in all. */
static noinline enum emu_result sreg_operand(struct emu *e, struct emu_operand *o)
{
	unsigned int seg = (e->insn.modrm >> 3) & 7;

	if (seg > EMU_GS)
		return emu_ud(e);
	o->type = T_VALUE;
	o->val = emu_segment(e, seg)->selector;
	if (e->insn.mem)
		e->insn.op_size = 2;
	return EMU_OK;
}

/* Which register, memory or number it is; and its value, but for memory's. */
static enum emu_result locate(struct emu *e, struct emu_operand *o, u8 kind)
{
	const struct insn *insn = &e->insn;

	o->size = insn->op_size;
	if (kind == K_G)	/* most instructions have one of each */
		return reg_operand(e, o, ((insn->modrm >> 3) & 7) | (insn->rex & 4) << 1);
	if (kind == K_E)
		return rm_operand(e, o);
	switch (kind) {
	case K_NONE:
		o->type = T_NONE;
		break;
	case K_EB:
		o->size = 1;
		return rm_operand(e, o);
	case K_EW:
		o->size = 2;
		return rm_operand(e, o);
	case K_ED:
		o->size = min_t(u8, insn->op_size, 4);
		return rm_operand(e, o);
	case K_Z:
		return reg_operand(e, o, (insn->opcode & 7) | (insn->rex & 1) << 3);
	case K_A:
		return reg_operand(e, o, EMU_RAX);
	case K_S:
		return sreg_operand(e, o);
	case K_O:
		o->type = T_MEM;
		break;
	case K_I:
		o->type = T_VALUE;
		o->val = emu_mask(insn->imm, o->size);
		break;
	}
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

static enum emu_result store(struct emu *e, struct emu_operand *o, bool atomic)
{
	switch (o->type) {
	case T_REG:
		set_reg(e, o->reg, o->shift, o->size, o->val);
		break;
	case T_MEM:
		if (atomic)
			return emu_host_cmpxchg(e, o->linear, o->old, o->val, o->size);
		return emu_host_write(e, o->linear, &o->val, o->size);
	}
	return EMU_OK;
}

/* ---- flags ----------------------------------------------------------------------------------- */

static void set_flags(struct emu *e, u64 mask, u64 flags)
{
	e->out.rflags = (e->out.rflags & ~mask) | (flags & mask);
}

static u64 sign_bit(unsigned int size)
{
	return 1ull << (8 * size - 1);
}

/* PF, ZF and SF of a result. */
static u64 result_flags(u64 result, unsigned int size)
{
	u8 parity = result;
	u64 flags = 0;

	parity ^= parity >> 4;
	if (!((0x6996 >> (parity & 15)) & 1))
		flags |= PF;
	if (!emu_mask(result, size))
		flags |= ZF;
	if (result & sign_bit(size))
		flags |= SF;
	return flags;
}

/* ... and CF, OF, AF from the vector of carries (borrows) out of each bit. */
static u64 carry_flags(u64 carries, unsigned int size)
{
	u64 sign = sign_bit(size), flags = 0;

	if (carries & sign)
		flags |= CF;
	if (!(carries & sign) != !(carries << 1 & sign))
		flags |= OF;
	if (carries & 8)
		flags |= AF;
	return flags;
}

static u64 add(struct emu *e, u64 a, u64 b, bool carry, unsigned int size, u64 mask)
{
	u64 r = a + b + carry;

	set_flags(e, mask, result_flags(r, size) | carry_flags((a & b) | ((a | b) & ~r), size));
	return r;
}

static u64 sub(struct emu *e, u64 a, u64 b, bool borrow, unsigned int size, u64 mask)
{
	u64 r = a - b - borrow;

	set_flags(e, mask, result_flags(r, size) | carry_flags((~a & b) | ((~a | b) & r), size));
	return r;
}

/* AF is undefined after these; CPUs clear it. */
static u64 logic(struct emu *e, u64 r, unsigned int size)
{
	set_flags(e, ARITH_FLAGS, result_flags(r, size));
	return r;
}

/* The condition in the low four bits of Jcc, SETcc and CMOVcc. */
static bool condition(const struct emu *e, u8 cc)
{
	u64 f = e->rflags;
	bool less = !(f & SF) != !(f & OF), yes = false;

	switch (cc >> 1 & 7) {
	case 0: yes = f & OF; break;
	case 1: yes = f & CF; break;
	case 2: yes = f & ZF; break;
	case 3: yes = f & (CF | ZF); break;
	case 4: yes = f & SF; break;
	case 5: yes = f & PF; break;
	case 6: yes = less; break;
	case 7: yes = less || f & ZF; break;
	}
	return yes != (cc & 1);
}

/* ---- operations: dst.val and src.val in, dst.val out ----------------------------------------- */

static enum emu_result op_add(struct emu *e)
{
	e->dst.val = add(e, e->dst.val, e->src.val, false, e->dst.size, ARITH_FLAGS);
	return EMU_OK;
}

static enum emu_result op_adc(struct emu *e)
{
	e->dst.val = add(e, e->dst.val, e->src.val, e->rflags & CF, e->dst.size, ARITH_FLAGS);
	return EMU_OK;
}

static enum emu_result op_sub(struct emu *e)
{
	e->dst.val = sub(e, e->dst.val, e->src.val, false, e->dst.size, ARITH_FLAGS);
	return EMU_OK;
}

static enum emu_result op_sbb(struct emu *e)
{
	e->dst.val = sub(e, e->dst.val, e->src.val, e->rflags & CF, e->dst.size, ARITH_FLAGS);
	return EMU_OK;
}

static enum emu_result op_and(struct emu *e)
{
	e->dst.val = logic(e, e->dst.val & e->src.val, e->dst.size);
	return EMU_OK;
}

static enum emu_result op_or(struct emu *e)
{
	e->dst.val = logic(e, e->dst.val | e->src.val, e->dst.size);
	return EMU_OK;
}

static enum emu_result op_xor(struct emu *e)
{
	e->dst.val = logic(e, e->dst.val ^ e->src.val, e->dst.size);
	return EMU_OK;
}

static enum emu_result op_not(struct emu *e)
{
	e->dst.val = ~e->dst.val;
	return EMU_OK;
}

static enum emu_result op_neg(struct emu *e)
{
	e->dst.val = sub(e, 0, e->dst.val, false, e->dst.size, ARITH_FLAGS);
	return EMU_OK;
}

static enum emu_result op_inc(struct emu *e)
{
	e->dst.val = add(e, e->dst.val, 1, false, e->dst.size, ARITH_FLAGS & ~CF);
	return EMU_OK;
}

static enum emu_result op_dec(struct emu *e)
{
	e->dst.val = sub(e, e->dst.val, 1, false, e->dst.size, ARITH_FLAGS & ~CF);
	return EMU_OK;
}

static enum emu_result op_movsx(struct emu *e)
{
	unsigned int shift = 64 - 8 * e->src.size;

	e->dst.val = (u64)((s64)(e->src.val << shift) >> shift);
	return EMU_OK;
}

static u64 swap_bytes(u64 v, unsigned int size)
{
	return __builtin_bswap64(v) >> (64 - 8 * size);
}

static enum emu_result op_movbe(struct emu *e)
{
	e->dst.val = swap_bytes(e->src.val, e->src.size);
	return EMU_OK;
}

static enum emu_result op_bswap(struct emu *e)
{
	/* of a 16-bit register: undefined, and zero on the CPUs there are */
	e->dst.val = e->dst.size == 2 ? 0 : swap_bytes(e->dst.val, e->dst.size);
	return EMU_OK;
}

static enum emu_result op_lea(struct emu *e)
{
	e->dst.val = e->insn.ea;
	return EMU_OK;
}

static enum emu_result op_xchg(struct emu *e)
{
	e->dst.val = e->src.val;
	e->src.val = e->dst.old;
	return EMU_OK;
}

static enum emu_result op_xadd(struct emu *e)
{
	e->dst.val = add(e, e->dst.val, e->src.val, false, e->dst.size, ARITH_FLAGS);
	e->src.val = e->dst.old;
	return EMU_OK;
}

/* Memory is written in either case, a register only if it was equal: not even its upper half. */
static enum emu_result op_cmpxchg(struct emu *e)
{
	unsigned int size = e->dst.size;
	u64 acc = emu_mask(e->regs[EMU_RAX], size);

	sub(e, acc, e->dst.val, false, size, ARITH_FLAGS);
	if (acc == e->dst.val) {
		e->dst.val = e->src.val;
		return EMU_OK;
	}
	set_reg(e, EMU_RAX, 0, size, e->dst.val);
	if (e->dst.type == T_REG)
		e->dst.type = T_NONE;
	return EMU_OK;
}

static enum emu_result op_cmov(struct emu *e)
{
	if (condition(e, e->insn.opcode))
		e->dst.val = e->src.val;
	return EMU_OK;
}

static enum emu_result op_setcc(struct emu *e)
{
	e->dst.val = condition(e, e->insn.opcode);
	return EMU_OK;
}

static u64 selected_bit(struct emu *e)
{
	u64 bit = 1ull << (e->src.val & (8 * e->dst.size - 1));

	set_flags(e, CF, e->dst.val & bit ? CF : 0);
	return bit;
}

static enum emu_result op_bt(struct emu *e)
{
	selected_bit(e);
	return EMU_OK;
}

static enum emu_result op_bts(struct emu *e)
{
	e->dst.val |= selected_bit(e);
	return EMU_OK;
}

static enum emu_result op_btr(struct emu *e)
{
	e->dst.val &= ~selected_bit(e);
	return EMU_OK;
}

static enum emu_result op_btc(struct emu *e)
{
	e->dst.val ^= selected_bit(e);
	return EMU_OK;
}

/* A register selects a bit of a string: the element that holds it may be far from the address. */
static u64 bit_address(const struct emu *e)
{
	const struct insn *insn = &e->insn;
	unsigned int shift = 64 - 8 * insn->op_size, bits = 8 * insn->op_size;
	s64 offset = (s64)(e->src.val << shift) >> shift;

	if (insn->src != K_G || !insn->mem)
		return insn->ea;
	return emu_mask(insn->ea + (u64)((offset & -(s64)bits) >> 3), insn->ad_size);
}

/* ---- the end of an instruction --------------------------------------------------------------- */

static enum emu_result done(struct emu *e)
{
	e->out.rip = e->rip + e->insn.len;
	if (e->mode != EMU_LONG)
		e->out.rip = (u32)e->out.rip;
	e->out.rflags &= ~(u64)RFLAGS_RF;
	return EMU_OK;
}

/* ---- moves: all that most devices ever see, and so the shortest way -------------------------- */

static enum emu_result store_move(struct emu *e)
{
	struct emu_operand *dst = &e->dst;
	enum emu_result r;

	locate(e, dst, e->insn.dst);
	if (dst->type == T_REG) {
		set_reg(e, dst->reg, dst->shift, dst->size, e->src.val);
		return done(e);
	}
	r = linearise(e, e->insn.seg, e->insn.ea, dst->size, true, &dst->linear);
	if (r == EMU_OK)
		r = emu_host_write(e, dst->linear, &e->src.val, dst->size);
	return r == EMU_OK ? done(e) : r;
}

static enum emu_result op_mov(struct emu *e)
{
	enum emu_result r;

	r = locate(e, &e->src, e->insn.src);
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

/* ---- ports ----------------------------------------------------------------------------------- */

/* The CPU's own structures have 64-bit addresses in compatibility mode too. */
static enum emu_result read_system(struct emu *e, u64 linear, u16 *value)
{
	if (!e->long_mode)
		linear = (u32)linear;
	else if (!emu_canonical(linear))
		return emu_gp(e);
	return emu_host_read(e, linear, value, sizeof(*value), EMU_SYSTEM);
}

/* SDM "I/O Permission Bit Map". The two bytes that hold the bits must both be inside the TSS. */
static enum emu_result bitmap_allows(struct emu *e, u16 port, unsigned int size)
{
	const struct minivmm_segment *tr = emu_segment(e, EMU_TR);
	enum emu_result r;
	u16 base, bits;

	if (tr->unusable || (tr->type & 0xd) != 9 || tr->limit < 103)
		return emu_gp(e);
	r = read_system(e, tr->base + 102, &base);
	if (r != EMU_OK)
		return r;
	if (base + port / 8 + 1 > tr->limit)
		return emu_gp(e);
	r = read_system(e, tr->base + base + port / 8, &bits);
	if (r != EMU_OK)
		return r;
	return bits >> (port & 7) & ((1 << size) - 1) ? emu_gp(e) : EMU_OK;
}

static enum emu_result check_port(struct emu *e, u16 port, unsigned int size)
{
	unsigned int iopl = (e->rflags >> 12) & 3;

	if (e->mode == EMU_REAL || (e->mode != EMU_VM86 && e->cpl <= iopl))
		return EMU_OK;
	return bitmap_allows(e, port, size);
}

static unsigned int port_size(const struct emu *e)
{
	return min_t(unsigned int, e->insn.op_size, 4);
}

static u16 port_number(const struct emu *e)
{
	return e->insn.imm_kind == I_B ? (u8)e->insn.imm : (u16)e->regs[EMU_RDX];
}

static enum emu_result op_in(struct emu *e)
{
	unsigned int size = port_size(e), count = 1;
	u16 port = port_number(e);
	enum emu_result r;
	u32 value = 0;

	r = check_port(e, port, size);
	if (r == EMU_OK)
		r = emu_host_in(e, port, size, &count);
	if (r != EMU_OK)
		return r;
	memcpy(&value, e->port_data, size);
	set_reg(e, EMU_RAX, 0, size, value);
	return done(e);
}

static enum emu_result op_out(struct emu *e)
{
	unsigned int size = port_size(e);
	u16 port = port_number(e);
	u32 value = e->regs[EMU_RAX];
	enum emu_result r;

	r = check_port(e, port, size);
	if (r != EMU_OK)
		return r;
	memcpy(e->port_data, &value, size);
	r = emu_host_out(e, port, size, 1);
	return r == EMU_OK ? done(e) : r;
}

/* ---- strings --------------------------------------------------------------------------------- */

/* A run of string instructions: where it is, in masked offsets. */
struct string {
	u64 si, di;
	u64 left;		/* iterations to go */
	unsigned int max;	/* that this run may still do */
	unsigned int n;		/* that the last call has done */
	unsigned int size;	/* of an item */
	bool down;
	bool end;		/* REPE, REPNE: the condition says stop */
};

static unsigned int source_seg(const struct emu *e)
{
	return e->insn.seg_override >= 0 ? e->insn.seg_override : EMU_DS;
}

static enum emu_result read_source(struct emu *e, const struct string *s, u64 *value)
{
	enum emu_result r;
	u64 linear;

	r = linearise(e, source_seg(e), s->si, s->size, false, &linear);
	if (r != EMU_OK)
		return r;
	*value = 0;
	return emu_host_read(e, linear, value, s->size, EMU_READ);
}

static enum emu_result read_destination(struct emu *e, const struct string *s, u64 *value)
{
	enum emu_result r;
	u64 linear;

	r = linearise(e, EMU_ES, s->di, s->size, false, &linear);
	if (r != EMU_OK)
		return r;
	*value = 0;
	return emu_host_read(e, linear, value, s->size, EMU_READ);
}

static enum emu_result write_destination(struct emu *e, const struct string *s, u64 value)
{
	enum emu_result r;
	u64 linear;

	r = linearise(e, EMU_ES, s->di, s->size, true, &linear);
	if (r != EMU_OK)
		return r;
	return emu_host_write(e, linear, &value, s->size);
}

static enum emu_result movs(struct emu *e, struct string *s)
{
	enum emu_result r;
	u64 value;

	r = read_source(e, s, &value);
	return r == EMU_OK ? write_destination(e, s, value) : r;
}

static enum emu_result stos(struct emu *e, struct string *s)
{
	return write_destination(e, s, e->regs[EMU_RAX]);
}

static enum emu_result lods(struct emu *e, struct string *s)
{
	enum emu_result r;
	u64 value;

	r = read_source(e, s, &value);
	if (r == EMU_OK)
		set_reg(e, EMU_RAX, 0, s->size, value);
	return r;
}

/* F3 goes on while equal, F2 while not. */
static void compare(struct emu *e, struct string *s, u64 a, u64 b)
{
	sub(e, a, b, false, s->size, ARITH_FLAGS);
	s->end = (a == b) == (e->insn.rep == 0xf2);
}

static enum emu_result cmps(struct emu *e, struct string *s)
{
	enum emu_result r;
	u64 a, b;

	r = read_source(e, s, &a);
	if (r == EMU_OK)
		r = read_destination(e, s, &b);
	if (r == EMU_OK)
		compare(e, s, a, b);
	return r;
}

static enum emu_result scas(struct emu *e, struct string *s)
{
	enum emu_result r;
	u64 b;

	r = read_destination(e, s, &b);
	if (r == EMU_OK)
		compare(e, s, emu_mask(e->regs[EMU_RAX], s->size), b);
	return r;
}

/*
 * How many items from seg:offset on are one piece of memory that may be accessed, so that a port's
 * data can be moved at once: one upwards, in one page, within the limit, without wrapping; else 1.
 */
static enum emu_result piece(struct emu *e, struct string *s, unsigned int seg, u64 offset,
			     bool write, u64 *linear)
{
	u64 n = min_t(u64, s->left, s->max), last = emu_mask(~0ull, e->insn.ad_size);
	enum emu_result r;

	s->n = 1;
	r = linearise(e, seg, offset, s->size, write, linear);
	if (r != EMU_OK)
		return r;
	r = emu_host_probe(e, *linear, write ? EMU_WRITE : EMU_READ);
	if (r != EMU_OK || s->down)
		return r == EMU_IO ? EMU_OK : r;

	if (e->mode != EMU_LONG) {
		const struct minivmm_segment *es = emu_segment(e, seg);

		if (e->mode < EMU_PROT16 || (es->type & 0xc) != 4)
			last = min_t(u64, last, es->limit);
	}
	if (last - offset < n * s->size - 1)
		n = (last - offset + 1) / s->size;
	n = min_t(u64, n, (EMU_PAGE - (*linear & (EMU_PAGE - 1))) / s->size);
	s->n = max_t(u64, n, 1);
	return EMU_OK;
}

static enum emu_result outs(struct emu *e, struct string *s)
{
	enum emu_result r;
	u64 linear;

	r = piece(e, s, source_seg(e), s->si, false, &linear);
	if (r == EMU_OK)
		r = emu_host_read(e, linear, e->port_data, s->n * s->size, EMU_READ);
	if (r != EMU_OK)
		return r;
	return emu_host_out(e, e->regs[EMU_RDX], s->size, s->n);
}

/* The page is looked at first: what has been read from the port couldn't be given back. */
static enum emu_result ins(struct emu *e, struct string *s)
{
	enum emu_result r;
	u64 linear;

	r = piece(e, s, EMU_ES, s->di, true, &linear);
	if (r == EMU_OK)
		r = emu_host_in(e, e->regs[EMU_RDX], s->size, &s->n);
	if (r != EMU_OK)
		return r;
	return emu_host_write(e, linear, e->port_data, s->n * s->size);
}

enum { SI = 1, DI = 2, PORT = 4 };

static const struct string_op {
	enum emu_result (*step)(struct emu *e, struct string *s);
	u8 uses;
} string_ops[NR_EMU_OPS] = {
	[OP_MOVS] = { movs, SI | DI },
	[OP_CMPS] = { cmps, SI | DI },
	[OP_STOS] = { stos, DI },
	[OP_LODS] = { lods, SI },
	[OP_SCAS] = { scas, DI },
	[OP_INS] = { ins, DI | PORT },
	[OP_OUTS] = { outs, SI | PORT },
};

static void string_start(struct emu *e, struct string *s)
{
	const struct insn *insn = &e->insn;

	*s = (struct string){
		.si = emu_mask(e->regs[EMU_RSI], insn->ad_size),
		.di = emu_mask(e->regs[EMU_RDI], insn->ad_size),
		.left = insn->rep ? emu_mask(e->regs[EMU_RCX], insn->ad_size) : 1,
		.max = e->batch,
		.size = insn->op_size,
		.down = e->rflags & DF,
	};
}

static void string_advance(struct emu *e, struct string *s)
{
	u64 step = (u64)s->n * s->size;

	if (s->down)
		step = -step;
	s->si = emu_mask(s->si + step, e->insn.ad_size);
	s->di = emu_mask(s->di + step, e->insn.ad_size);
	s->left -= s->n;
	s->max -= s->n;
}

static void string_registers(struct emu *e, const struct string *s, u8 uses)
{
	unsigned int size = e->insn.ad_size;

	if (uses & SI)
		set_reg(e, EMU_RSI, 0, size, s->si);
	if (uses & DI)
		set_reg(e, EMU_RDI, 0, size, s->di);
	if (e->insn.rep)
		set_reg(e, EMU_RCX, 0, size, s->left);
}

/*
 * One iteration, or a batch of them with REP. An iteration that faults or needs data ends the
 * batch; if it wasn't the first, that shows again when the instruction is run the next time.
 */
static enum emu_result op_string(struct emu *e)
{
	const struct string_op *op = &string_ops[e->insn.op];
	enum emu_result r = EMU_OK;
	struct string s;

	string_start(e, &s);
	if (op->uses & PORT) {
		s.size = port_size(e);
		r = check_port(e, e->regs[EMU_RDX], s.size);
		if (r != EMU_OK)
			return r;
	}
	if (!s.left)
		return done(e);
	do {
		s.n = 1;
		r = op->step(e, &s);
		if (r != EMU_OK)
			break;
		string_advance(e, &s);
	} while (s.left && s.max && !s.end && !e->stop);

	if (r != EMU_OK && s.max == e->batch)
		return r;
	string_registers(e, &s, op->uses);
	if (!e->insn.rep || !s.left || s.end)
		return done(e);
	/* an interrupt between iterations finds RF set: a breakpoint here has fired already */
	e->out.rflags |= RFLAGS_RF;
	e->out.rip = e->rip;
	return EMU_PART;
}

/* ---- the table, and the usual way ------------------------------------------------------------ */

static const struct {
	enum emu_result (*fn)(struct emu *e);
	u8 flags;
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
	[OP_MOV] = { op_mov, WHOLE },
	[OP_MOVSX] = { op_movsx, NO_LOAD },
	[OP_MOVBE] = { op_movbe, NO_LOAD },
	[OP_LEA] = { op_lea, NO_LOAD },
	[OP_XCHG] = { op_xchg, LOCK | SWAP | ATOMIC },
	[OP_CMPXCHG] = { op_cmpxchg, LOCK },
	[OP_XADD] = { op_xadd, LOCK | SWAP },
	[OP_BSWAP] = { op_bswap, 0 },
	[OP_CMOV] = { op_cmov, 0 },
	[OP_SETCC] = { op_setcc, NO_LOAD },
	[OP_BT] = { op_bt, NO_STORE | BITS },
	[OP_BTS] = { op_bts, LOCK | BITS },
	[OP_BTR] = { op_btr, LOCK | BITS },
	[OP_BTC] = { op_btc, LOCK | BITS },
	[OP_NOP] = { done, WHOLE },
	[OP_MOVS] = { op_string, WHOLE },
	[OP_CMPS] = { op_string, WHOLE },
	[OP_STOS] = { op_string, WHOLE },
	[OP_LODS] = { op_string, WHOLE },
	[OP_SCAS] = { op_string, WHOLE },
	[OP_INS] = { op_string, WHOLE },
	[OP_OUTS] = { op_string, WHOLE },
	[OP_IN] = { op_in, WHOLE },
	[OP_OUT] = { op_out, WHOLE },
};

static enum emu_result load_operands(struct emu *e, u8 flags)
{
	u64 ea = e->insn.ea;
	enum emu_result r;

	r = locate(e, &e->src, e->insn.src);
	if (r == EMU_OK && e->src.type == T_MEM)
		r = load(e, &e->src, ea, true, false);
	if (r != EMU_OK)
		return r;
	if (flags & BITS)
		ea = bit_address(e);
	r = locate(e, &e->dst, e->insn.dst);
	if (r == EMU_OK && e->dst.type == T_MEM)
		r = load(e, &e->dst, ea, !(flags & NO_LOAD), !(flags & NO_STORE));
	e->dst.old = e->dst.val;
	return r;
}

/* Load, operate, store. */
static noinline enum emu_result usual_way(struct emu *e, u8 flags, bool atomic)
{
	enum emu_result r;

	r = load_operands(e, flags);
	if (r == EMU_OK)
		r = ops[e->insn.op].fn(e);
	if (r == EMU_OK && flags & SWAP)	/* first: XADD of a register to itself is a sum */
		r = store(e, &e->src, false);
	if (r == EMU_OK && !(flags & NO_STORE))
		r = store(e, &e->dst, atomic || flags & ATOMIC);
	return r == EMU_OK ? done(e) : r;
}

enum emu_result emu_execute(struct emu *e)
{
	u8 flags = ops[e->insn.op].flags;
	bool atomic = e->insn.lock;

	e->stop = false;
	e->out.changed = 0;
	e->out.rflags = e->rflags;
	if (!ops[e->insn.op].fn)
		return EMU_UNHANDLED;
	if (atomic && !(flags & LOCK && e->insn.mem))
		return emu_ud(e);
	if (flags & WHOLE)
		return ops[e->insn.op].fn(e);
	return usual_way(e, flags, atomic);
}

enum emu_result emu_run(struct emu *e)
{
	enum emu_result r = emu_decode(e);

	return r == EMU_OK ? emu_execute(e) : r;
}
