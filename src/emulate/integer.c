// SPDX-License-Identifier: GPL-2.0
/*
 * Arithmetic, logic, bits, moves between registers: dst.val and src.val in, dst.val out.
 *
 * Flags that the SDM calls undefined are as today's CPUs leave them where that is simple, and
 * otherwise left alone.
 */
#include "internal.h"

/* ---- flags ----------------------------------------------------------------------------------- */

static u64 sign_bit(unsigned int size)
{
	return 1ull << (8 * size - 1);
}

/* CF, OF, AF from the vector of carries (borrows) out of each bit. */
static inline u64 carry_flags(u64 carries, unsigned int size)
{
	u64 top = carries << (64 - 8 * size);

	return top >> 63 | (carries & 8) << 1 | ((top ^ top << 1) >> 52 & OF);
}

static inline u64 add(struct emu *e, u64 a, u64 b, bool carry, unsigned int size, u64 mask)
{
	u64 r = a + b + carry;

	set_flags(e, mask, result_flags(r, size) | carry_flags((a & b) | ((a | b) & ~r), size));
	return r;
}

static inline u64 sub(struct emu *e, u64 a, u64 b, bool borrow, unsigned int size, u64 mask)
{
	u64 r = a - b - borrow;

	set_flags(e, mask, result_flags(r, size) | carry_flags((~a & b) | ((~a | b) & r), size));
	return r;
}

u64 emu_sub_flags(struct emu *e, u64 a, u64 b, unsigned int size)
{
	return sub(e, a, b, false, size, ARITH_FLAGS);
}

/* AF is undefined after these; CPUs clear it. */
static u64 logic(struct emu *e, u64 r, unsigned int size)
{
	set_flags(e, ARITH_FLAGS, result_flags(r, size));
	return r;
}

/* The condition in the low four bits of Jcc, SETcc and CMOVcc. */
bool emu_condition(const struct emu *e, u8 cc)
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

/* ---- one line each --------------------------------------------------------------------------- */

static u64 swap_bytes(u64 v, unsigned int size)
{
	return __builtin_bswap64(v) >> (64 - 8 * size);
}

static u64 selected_bit(struct emu *e)
{
	u64 bit = 1ull << (e->src.val & (8 * e->dst.size - 1));

	set_flags(e, CF, e->dst.val & bit ? CF : 0);
	return bit;
}

#define OPERATION(name, expression)					\
enum emu_result op_##name(struct emu *e)				\
{									\
	u64 d = e->dst.val, s = e->src.val;				\
	unsigned int size = e->dst.size;				\
									\
	(void)d; (void)s; (void)size;					\
	e->dst.val = (expression);					\
	return EMU_OK;							\
}

OPERATION(add, add(e, d, s, false, size, ARITH_FLAGS))
OPERATION(adc, add(e, d, s, e->rflags & CF, size, ARITH_FLAGS))
OPERATION(sub, sub(e, d, s, false, size, ARITH_FLAGS))
OPERATION(sbb, sub(e, d, s, e->rflags & CF, size, ARITH_FLAGS))
OPERATION(and, logic(e, d & s, size))
OPERATION(or, logic(e, d | s, size))
OPERATION(xor, logic(e, d ^ s, size))
OPERATION(not, ~d)
OPERATION(neg, sub(e, 0, d, false, size, ARITH_FLAGS))
OPERATION(inc, add(e, d, 1, false, size, ARITH_FLAGS & ~CF))
OPERATION(dec, sub(e, d, 1, false, size, ARITH_FLAGS & ~CF))
OPERATION(movsx, sign_extend(s, e->src.size))
OPERATION(movbe, swap_bytes(s, e->src.size))
/* of a 16-bit register: undefined, and zero on the CPUs there are */
OPERATION(bswap, size == 2 ? 0 : swap_bytes(d, size))
OPERATION(lea, e->insn.ea)
OPERATION(cmov, emu_condition(e, e->insn.opcode) ? s : d)
OPERATION(setcc, emu_condition(e, e->insn.opcode))
OPERATION(bt, (selected_bit(e), d))
OPERATION(bts, d | selected_bit(e))
OPERATION(btr, d & ~selected_bit(e))
OPERATION(btc, d ^ selected_bit(e))

/* ---- exchanges ------------------------------------------------------------------------------- */

enum emu_result op_xchg(struct emu *e)
{
	e->dst.val = e->src.val;
	e->src.val = e->dst.old;
	return EMU_OK;
}

enum emu_result op_xadd(struct emu *e)
{
	op_add(e);
	e->src.val = e->dst.old;
	return EMU_OK;
}

/* Memory is written in either case, a register only if it was equal: not even its upper half. */
enum emu_result op_cmpxchg(struct emu *e)
{
	unsigned int size = e->dst.size;
	u64 acc = emu_mask(e->regs[EMU_RAX], size);

	emu_sub_flags(e, acc, e->dst.val, size);
	if (acc == e->dst.val) {
		e->dst.val = e->src.val;
		return EMU_OK;
	}
	set_reg(e, EMU_RAX, 0, size, e->dst.val);
	if (e->dst.type == T_REG)
		e->dst.type = T_NONE;
	return EMU_OK;
}

/* Two registers of 4 or 8 bytes as one value: their pair in memory is written in either case. */
enum emu_result op_cmpxchg8b(struct emu *e)
{
	unsigned int half = e->insn.op_size == 8 ? 8 : 4;
	u64 old[2] = { 0 }, new[2], want[2];
	enum emu_result r;
	u8 was[16], put[16];
	u64 linear;
	bool equal;

	if (half == 8 && !emu_host_has(e, EMU_HAS_CX16))
		return emu_ud(e);
	r = emu_linearise(e, e->insn.seg, e->insn.ea, 2 * half, true, &linear);
	if (r == EMU_OK && half == 8 && linear & 15)
		r = emu_gp(e);
	if (r == EMU_OK)
		r = emu_host_read(e, linear, was, 2 * half, EMU_WRITE);
	if (r != EMU_OK)
		return r;
	memcpy(&old[0], was, half);
	memcpy(&old[1], was + half, half);
	want[0] = emu_mask(e->regs[EMU_RAX], half);
	want[1] = emu_mask(e->regs[EMU_RDX], half);
	equal = old[0] == want[0] && old[1] == want[1];
	new[0] = equal ? e->regs[EMU_RBX] : old[0];
	new[1] = equal ? e->regs[EMU_RCX] : old[1];
	memcpy(put, &new[0], half);
	memcpy(put + half, &new[1], half);
	set_flags(e, ZF, equal ? ZF : 0);
	if (!equal) {
		set_reg(e, EMU_RAX, 0, half, old[0]);
		set_reg(e, EMU_RDX, 0, half, old[1]);
	}
	if (e->insn.lock)
		return emu_host_cmpxchg(e, linear, was, put, 2 * half, EMU_WRITE);
	return emu_host_write(e, linear, put, 2 * half, EMU_WRITE);
}

/* ---- shifts and rotates ---------------------------------------------------------------------- */

static void rotate_by_carry(struct emu *e, unsigned int n, bool left)
{
	unsigned int bits = 8 * e->dst.size;
	u64 v = e->dst.val, out;
	bool carry = e->rflags & CF;

	while (n--) {
		if (left) {
			out = v >> (bits - 1) & 1;
			v = emu_mask(v << 1 | carry, e->dst.size);
		} else {
			out = v & 1;
			v = v >> 1 | (u64)carry << (bits - 1);
		}
		carry = out;
	}
	e->dst.val = v;
	set_flags(e, CF, carry);
}

static void rotate(struct emu *e, unsigned int n, bool left)
{
	unsigned int size = e->dst.size, bits = 8 * size;
	u64 v = e->dst.val;

	n = left ? n & (bits - 1) : -n & (bits - 1);
	if (n)
		v = emu_mask(v << n, size) | v >> (bits - n);
	e->dst.val = v;
	set_flags(e, CF, left ? v & 1 : v >> (bits - 1) & 1);
}

/* SHL, SHR, SAR; v is sign-extended for SAR. All bits of a small operand may go. */
static void shift(struct emu *e, unsigned int n, unsigned int op)
{
	unsigned int size = e->dst.size, bits = 8 * size;
	u64 v = op == OP_SAR ? sign_extend(e->dst.val, size) : e->dst.val;
	bool carry;

	if (op == OP_SHR) {
		carry = v >> (n - 1) & 1;
		v >>= n;
	} else if (op == OP_SAR) {
		carry = (s64)v >> (n - 1) & 1;
		v = (s64)v >> n;
	} else {
		carry = n <= bits && v >> (bits - n) & 1;
		v <<= n;
	}
	e->dst.val = v;
	logic(e, emu_mask(v, size), size);
	set_flags(e, CF, carry);
}

/* OF is defined for a count of 1: whether the sign has changed. */
enum emu_result op_shift(struct emu *e)
{
	unsigned int size = e->dst.size, op = e->insn.op, bits = 8 * size;
	unsigned int n = e->src.val & (size == 8 ? 63 : 31);
	u64 sign = sign_bit(size);
	bool overflow;

	if (!n)
		return EMU_OK;
	switch (op) {
	case OP_ROL:
	case OP_ROR:
		rotate(e, n, op == OP_ROL);
		break;
	case OP_RCL:
	case OP_RCR:
		rotate_by_carry(e, size < 4 ? n % (bits + 1) : n, op == OP_RCL);
		break;
	default:
		shift(e, n, op);
	}
	if (op == OP_ROR || op == OP_RCR)	/* its two upper bits differ */
		overflow = (e->dst.val ^ e->dst.val << 1) & sign;
	else if (op == OP_SHR)
		overflow = e->dst.old & sign;
	else if (op == OP_SAR)
		overflow = false;
	else
		overflow = !(e->dst.val & sign) != !(e->out.rflags & CF);
	set_flags(e, OF, overflow ? OF : 0);
	return EMU_OK;
}

static unsigned int double_count(const struct emu *e)
{
	u64 n = e->insn.imm_kind == I_B ? e->insn.imm : e->regs[EMU_RCX];

	return n & (e->dst.size == 8 ? 63 : 31);
}

static enum emu_result shifted_double(struct emu *e, u64 result, bool carry)
{
	unsigned int size = e->dst.size;

	e->dst.val = logic(e, emu_mask(result, size), size);
	set_flags(e, CF | OF, (carry ? CF : 0) |
		  ((e->dst.val ^ e->dst.old) & sign_bit(size) ? OF : 0));
	return EMU_OK;
}

/* A 16-bit operand can be shifted by more than it has: then the source comes round (undefined). */
enum emu_result op_shld(struct emu *e)
{
	unsigned int size = e->dst.size, bits = 8 * size, n = double_count(e);
	u64 d = e->dst.val, s = e->src.val;

	if (!n)
		return EMU_OK;
	if (size == 2) {
		u64 wide = d << 32 | s << 16 | d;

		return shifted_double(e, wide >> (32 - n), wide >> (48 - n) & 1);
	}
	return shifted_double(e, d << n | s >> (bits - n), d >> (bits - n) & 1);
}

enum emu_result op_shrd(struct emu *e)
{
	unsigned int size = e->dst.size, bits = 8 * size, n = double_count(e);
	u64 d = e->dst.val, s = e->src.val;

	if (!n)
		return EMU_OK;
	if (size == 2) {
		u64 wide = d << 32 | s << 16 | d;

		return shifted_double(e, wide >> n, wide >> (n - 1) & 1);
	}
	return shifted_double(e, d >> n | s << (bits - n), d >> (n - 1) & 1);
}

/* ---- multiplication and division --------------------------------------------------------------- */

/* CF and OF: the upper half holds something. The others are undefined, and left alone. */
static u64 multiply(struct emu *e, u64 a, u64 b, unsigned int size, bool is_signed, u64 *high)
{
	unsigned int bits = 8 * size;
	bool lost;
	u64 low;

	if (is_signed) {
		__int128 p = (__int128)(s64)sign_extend(a, size) * (s64)sign_extend(b, size);

		low = p;
		*high = p >> bits;
		lost = p != (s64)sign_extend(low, size);
	} else {
		unsigned __int128 p = (unsigned __int128)a * b;

		low = p;
		*high = p >> bits;
		lost = emu_mask(*high, size);
	}
	set_flags(e, CF | OF, lost ? CF | OF : 0);
	return low;
}

/* AX is one register, and the result of 8-bit operands lies in it. */
static void set_pair(struct emu *e, u64 low, u64 high)
{
	unsigned int size = e->dst.size;

	set_reg(e, EMU_RAX, 0, size, low);
	set_reg(e, size == 1 ? EMU_RAX : EMU_RDX, size == 1 ? 8 : 0, size, high);
}

enum emu_result op_mul(struct emu *e)
{
	u64 a = emu_mask(e->regs[EMU_RAX], e->dst.size), high, low;

	low = multiply(e, a, e->dst.val, e->dst.size, e->insn.op == OP_IMUL1, &high);
	set_pair(e, low, high);
	return EMU_OK;
}

enum emu_result op_imul(struct emu *e)
{
	u64 high;

	e->dst.val = multiply(e, e->dst.val, e->src.val, e->dst.size, true, &high);
	return EMU_OK;
}

enum emu_result op_imul3(struct emu *e)
{
	u64 high;

	e->dst.val = multiply(e, e->src.val, e->insn.imm, e->dst.size, true, &high);
	return EMU_OK;
}

/* 128 by 64 bits, where the quotient is known to fit. */
static u64 divide(u64 high, u64 low, u64 by, u64 *remainder)
{
	u64 q;

	asm("divq %4" : "=a" (q), "=d" (*remainder) : "a" (low), "d" (high), "r" (by) : "cc");
	return q;
}

enum emu_result op_div(struct emu *e)
{
	unsigned int size = e->dst.size, bits = 8 * size;
	bool is_signed = e->insn.op == OP_IDIV, negative, negative_by;
	u64 by = e->dst.val, low = emu_mask(e->regs[EMU_RAX], size), high, q, rem, limit;
	unsigned __int128 n;

	high = size == 1 ? e->regs[EMU_RAX] >> 8 & 0xff : emu_mask(e->regs[EMU_RDX], size);
	n = (unsigned __int128)high << bits | low;
	negative = is_signed && high & sign_bit(size);
	negative_by = is_signed && by & sign_bit(size);
	if (negative)
		n = bits == 64 ? -n : emu_mask(-(u64)n, 2 * size);
	if (negative_by)
		by = emu_mask(-by, size);
	if (!by || (u64)(n >> bits) >= by)
		return emu_fault(e, X86_DE, false);
	q = divide(n >> 64, n, by, &rem);
	limit = sign_bit(size) - !(negative != negative_by);
	if (is_signed && q > limit)
		return emu_fault(e, X86_DE, false);
	set_pair(e, negative != negative_by ? -q : q, negative ? -rem : rem);
	return EMU_OK;
}

/* ---- bits ------------------------------------------------------------------------------------ */

/* F3 makes TZCNT and LZCNT of them, where the CPU has those. */
static enum emu_result scan(struct emu *e, bool counts, unsigned int found)
{
	u64 s = e->src.val;

	if (counts) {
		e->dst.val = s ? found : 8 * e->dst.size;
		set_flags(e, CF | ZF, (s ? 0 : CF) | (e->dst.val ? 0 : ZF));
		return EMU_OK;
	}
	set_flags(e, ZF, s ? 0 : ZF);
	e->dst.val = found;
	if (!s)
		e->dst.type = T_NONE;
	return EMU_OK;
}

enum emu_result op_bsf(struct emu *e)
{
	bool counts = e->insn.rep == 0xf3 && emu_host_has(e, EMU_HAS_BMI1);

	return scan(e, counts, e->src.val ? __builtin_ctzll(e->src.val) : 0);
}

enum emu_result op_bsr(struct emu *e)
{
	bool counts = e->insn.rep == 0xf3 && emu_host_has(e, EMU_HAS_LZCNT);
	unsigned int top = e->src.val ? 63 - __builtin_clzll(e->src.val) : 0;

	return scan(e, counts, counts ? 8 * e->dst.size - 1 - top : top);
}

enum emu_result op_popcnt(struct emu *e)
{
	u64 s = e->src.val, n;

	if (!emu_host_has(e, EMU_HAS_POPCNT))
		return emu_ud(e);
	for (n = 0; s; s &= s - 1)
		n++;
	e->dst.val = n;
	set_flags(e, ARITH_FLAGS, n ? 0 : ZF);
	return EMU_OK;
}

/* CBW, CWDE, CDQE */
enum emu_result op_cbw(struct emu *e)
{
	unsigned int size = e->insn.op_size;

	set_reg(e, EMU_RAX, 0, size, sign_extend(e->regs[EMU_RAX], size / 2));
	return EMU_OK;
}

/* CWD, CDQ, CQO */
enum emu_result op_cwd(struct emu *e)
{
	unsigned int size = e->insn.op_size;

	set_reg(e, EMU_RDX, 0, size, e->regs[EMU_RAX] & sign_bit(size) ? ~0ull : 0);
	return EMU_OK;
}

/* ---- decimal --------------------------------------------------------------------------------- */

/* DAA, DAS */
enum emu_result op_daa(struct emu *e)
{
	u8 old = e->regs[EMU_RAX], adjust = 0;
	bool carry = false, low = (old & 15) > 9 || e->rflags & AF;
	u8 al;

	if (low)
		adjust = 6;
	if (old > 0x99 || e->rflags & CF) {
		adjust += 0x60;
		carry = true;
	}
	if (e->insn.opcode == 0x27) {
		al = old + adjust;
		carry |= low && old > 0xf9;
	} else {
		al = old - adjust;
		carry |= low && old < 6;
	}
	set_reg(e, EMU_RAX, 0, 1, al);
	set_flags(e, ARITH_FLAGS & ~OF, result_flags(al, 1) | (carry ? CF : 0) | (low ? AF : 0));
	return EMU_OK;
}

/* AAA, AAS */
enum emu_result op_aaa(struct emu *e)
{
	u16 ax = e->regs[EMU_RAX];
	bool adjust = (ax & 15) > 9 || e->rflags & AF;

	if (adjust)
		ax = e->insn.opcode == 0x37 ? ax + 0x106 : ax - 0x106;
	set_reg(e, EMU_RAX, 0, 2, ax & 0xff0f);
	set_flags(e, CF | AF, adjust ? CF | AF : 0);
	return EMU_OK;
}

static void set_ax(struct emu *e, u8 al, u8 ah)
{
	set_reg(e, EMU_RAX, 0, 2, al | ah << 8);
	logic(e, al, 1);
}

enum emu_result op_aam(struct emu *e)
{
	u8 al = e->regs[EMU_RAX], base = e->insn.imm;

	if (!base)
		return emu_fault(e, X86_DE, false);
	set_ax(e, al % base, al / base);
	return EMU_OK;
}

enum emu_result op_aad(struct emu *e)
{
	u16 ax = e->regs[EMU_RAX];

	set_ax(e, ax + (ax >> 8) * (u8)e->insn.imm, 0);
	return EMU_OK;
}

/* ---- odds and ends --------------------------------------------------------------------------- */

enum emu_result op_xlat(struct emu *e)
{
	u64 ea = emu_mask(e->regs[EMU_RBX] + (u8)e->regs[EMU_RAX], e->insn.ad_size), value;
	unsigned int seg = e->insn.seg_override >= 0 ? e->insn.seg_override : EMU_DS;
	enum emu_result r = emu_read(e, seg, ea, 1, &value);

	if (r == EMU_OK)
		set_reg(e, EMU_RAX, 0, 1, value);
	return r;
}

enum emu_result op_salc(struct emu *e)
{
	set_reg(e, EMU_RAX, 0, 1, e->rflags & CF ? 0xff : 0);
	return EMU_OK;
}

enum emu_result op_bound(struct emu *e)
{
	unsigned int size = e->insn.op_size;
	s64 index = sign_extend(e->regs[(e->insn.modrm >> 3) & 7], size);
	u64 low, high;
	enum emu_result r;

	r = emu_read(e, e->insn.seg, e->insn.ea, size, &low);
	if (r == EMU_OK)
		r = emu_read(e, e->insn.seg, emu_mask(e->insn.ea + size, e->insn.ad_size), size,
			     &high);
	if (r != EMU_OK)
		return r;
	if (index < (s64)sign_extend(low, size) || index > (s64)sign_extend(high, size))
		return emu_fault(e, X86_BR, false);
	return EMU_OK;
}

enum emu_result op_lahf(struct emu *e)
{
	set_reg(e, EMU_RAX, 8, 1, e->rflags);
	return EMU_OK;
}

enum emu_result op_sahf(struct emu *e)
{
	set_flags(e, ARITH_FLAGS & ~OF, e->regs[EMU_RAX] >> 8);
	return EMU_OK;
}

/* CMC, CLC, STC, CLD, STD */
enum emu_result op_flag(struct emu *e)
{
	u64 flag = e->insn.opcode >= 0xfc ? DF : CF;

	if (e->insn.opcode == 0xf5)
		e->out.rflags ^= CF;
	else
		set_flags(e, flag, e->insn.opcode & 1 ? flag : 0);
	return EMU_OK;
}
