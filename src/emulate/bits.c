// SPDX-License-Identifier: GPL-2.0
/* Arithmetic that came with later CPUs: BMI1, BMI2, ADX, CRC32. Operands of 4 or 8 bytes. */
#include "internal.h"

enum { NP, P66, PF3, PF2 };	/* VEX's prefix */

static enum emu_result set_result(struct emu *e, u64 result, u64 mask, u64 flags)
{
	e->dst.val = emu_mask(result, e->dst.size);
	set_flags(e, mask, flags | result_flags(result, e->dst.size));
	return EMU_OK;
}

/* ADCX, ADOX: each has a carry of its own. */
enum emu_result op_adx(struct emu *e)
{
	u64 flag = e->insn.rep == 0xf3 ? OF : CF;
	unsigned __int128 sum = (unsigned __int128)e->dst.val + e->src.val + !!(e->rflags & flag);

	if (!emu_host_has(e, EMU_HAS_ADX))
		return emu_ud(e);
	set_flags(e, flag, sum >> 8 * e->dst.size ? flag : 0);
	e->dst.val = sum;
	return EMU_OK;
}

/* By Castagnoli's polynomial, bits reflected. */
enum emu_result op_crc32(struct emu *e)
{
	u32 crc = e->regs[e->dst.reg];
	unsigned int i;

	if (!emu_host_has(e, EMU_HAS_SSE42))
		return emu_ud(e);
	for (i = 0; i < 8 * e->src.size; i++)
		crc = crc >> 1 ^ ((crc ^ e->src.val >> i) & 1 ? 0x82f63b78 : 0);
	e->dst.val = crc;
	e->dst.size = 8;
	return EMU_OK;
}

/* PDEP: the lower bits of value go where mask has ones; PEXT: back. */
static u64 deposit(u64 value, u64 mask, bool extract)
{
	u64 result = 0, low = 1;

	for (; mask; mask &= mask - 1, low <<= 1) {
		u64 bit = mask & -mask;

		if (value & (extract ? bit : low))
			result |= extract ? low : bit;
	}
	return result;
}

/* BLSR, BLSMSK, BLSI: to the register that VEX names. */
static enum emu_result lowest_set(struct emu *e, unsigned int to)
{
	u64 s = e->src.val;

	e->dst.reg = to;
	switch ((e->insn.modrm >> 3) & 7) {
	case 1:
		return set_result(e, s & (s - 1), CF | ZF | SF | OF, s ? 0 : CF);
	case 2:
		return set_result(e, s ^ (s - 1), CF | ZF | SF | OF, s ? 0 : CF);
	case 3:
		return set_result(e, s & -s, CF | ZF | SF | OF, s ? CF : 0);
	}
	return emu_ud(e);
}

static u64 extract_field(u64 s, unsigned int start, unsigned int len)
{
	s = start < 64 ? s >> start : 0;
	return len < 64 ? s & ((1ull << len) - 1) : s;
}

static enum emu_result zero_high_bits(struct emu *e, unsigned int n)
{
	return set_result(e, extract_field(e->src.val, 0, n), CF | ZF | SF | OF,
			  n >= 8 * e->dst.size ? CF : 0);
}

/* The product's upper half last, so that it stays if both are one register. */
static enum emu_result multiply(struct emu *e, unsigned int low)
{
	unsigned int size = e->dst.size;
	unsigned __int128 p = (unsigned __int128)emu_mask(e->regs[EMU_RDX], size) * e->src.val;

	set_reg(e, low, 0, size, p);
	e->dst.val = p >> 8 * size;
	return EMU_OK;
}

static u64 shifted(const struct emu *e, unsigned int prefix, unsigned int count)
{
	unsigned int size = e->dst.size;

	count &= 8 * size - 1;
	return prefix == P66 ? e->src.val << count : prefix == PF2 ? e->src.val >> count :
	       (u64)((s64)sign_extend(e->src.val, size) >> count);
}

#define FORM(opcode, prefix)	((opcode) << 2 | (prefix))

/* By opcode and prefix; other registers that VEX names: at its vvvv. */
enum emu_result op_bmi(struct emu *e)
{
	const struct insn *insn = &e->insn;
	unsigned int vvvv = ~insn->payload >> 3 & (e->mode == EMU_LONG ? 15 : 7);
	u64 v = emu_mask(e->regs[vvvv], e->dst.size), s = e->src.val;
	bool first = insn->opcode == 0xf2 || insn->opcode == 0xf3 ||
		     (insn->opcode == 0xf7 && insn->vec_prefix == NP);

	if (insn->payload & 4 || !emu_host_has(e, first ? EMU_HAS_BMI1 : EMU_HAS_BMI2))
		return emu_ud(e);
	switch (FORM(insn->opcode, insn->vec_prefix)) {
	case FORM(0xf0, PF2):	/* RORX */
		if (vvvv)
			return emu_ud(e);
		v = insn->imm & (8 * e->dst.size - 1);
		e->dst.val = s >> v | (v ? s << (8 * e->dst.size - v) : 0);
		return EMU_OK;
	case FORM(0xf2, NP):	/* ANDN */
		return set_result(e, ~v & s, CF | ZF | SF | OF, 0);
	case FORM(0xf3, NP):
		return lowest_set(e, vvvv);
	case FORM(0xf5, NP):	/* BZHI */
		return zero_high_bits(e, v & 0xff);
	case FORM(0xf5, PF3):	/* PEXT, PDEP */
	case FORM(0xf5, PF2):
		e->dst.val = deposit(v, s, insn->vec_prefix == PF3);
		return EMU_OK;
	case FORM(0xf6, PF2):	/* MULX */
		return multiply(e, vvvv);
	case FORM(0xf7, NP):	/* BEXTR */
		return set_result(e, extract_field(s, v & 0xff, v >> 8 & 0xff), CF | ZF | OF, 0);
	case FORM(0xf7, P66):	/* SHLX, SHRX, SARX */
	case FORM(0xf7, PF2):
	case FORM(0xf7, PF3):
		e->dst.val = shifted(e, insn->vec_prefix, v);
		return EMU_OK;
	}
	return emu_ud(e);
}
