// SPDX-License-Identifier: GPL-2.0
/*
 * The decoder against Zydis: length of every opcode in every mode, and address and segment of every
 * memory operand. What Zydis calls invalid may be anything here but too long.
 */
#include <stdio.h>

#include <Zydis/Zydis.h>

#include "model.h"

static ZydisDecoder decoders[EMU_LONG + 1];
static struct model *guests[EMU_LONG + 1];
static u64 seed = 1;
static unsigned long checked, invalid;

static int setup(void **state)
{
	static const struct { enum emu_mode mode; ZydisMachineMode machine; ZydisStackWidth width; }
	modes[] = {
		{ EMU_REAL, ZYDIS_MACHINE_MODE_REAL_16, ZYDIS_STACK_WIDTH_16 },
		{ EMU_VM86, ZYDIS_MACHINE_MODE_REAL_16, ZYDIS_STACK_WIDTH_16 },
		{ EMU_PROT16, ZYDIS_MACHINE_MODE_LONG_COMPAT_16, ZYDIS_STACK_WIDTH_16 },
		{ EMU_PROT32, ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32 },
		{ EMU_LONG, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64 },
	};
	int i;

	for (i = 0; i < 5; i++) {
		struct model *m = model_new(modes[i].mode);

		ZydisDecoderInit(&decoders[i], modes[i].machine, modes[i].width);
		model_map(m, m->e.rip, PAGE_ALL);
		guests[i] = m;
	}
	return 0;
}

static int teardown(void **state)
{
	int i;

	for (i = 0; i <= EMU_LONG; i++)
		model_free(guests[i]);
	printf("# %lu instructions compared, %lu invalid\n", checked, invalid);
	return 0;
}

static void fail_on(const u8 *bytes, unsigned int len, int mode, const char *what, u64 got,
		    u64 want)
{
	unsigned int i;

	printf("mode %d:", mode);
	for (i = 0; i < len; i++)
		printf(" %02x", bytes[i]);
	printf(": %s is %#llx, Zydis says %#llx\n", what, got, want);
	fail();
}

static u64 reg_value(const struct model *m, ZydisRegister reg)
{
	ZydisRegisterClass class = ZydisRegisterGetClass(reg);

	switch (class) {
	case ZYDIS_REGCLASS_GPR16:
		return (u16)m->regs[ZydisRegisterGetId(reg)];
	case ZYDIS_REGCLASS_GPR32:
		return (u32)m->regs[ZydisRegisterGetId(reg)];
	case ZYDIS_REGCLASS_GPR64:
		return m->regs[ZydisRegisterGetId(reg)];
	default:
		return 0;
	}
}

/* Where Zydis sees the operand, in our terms. */
static void check_memory(struct model *m, const ZydisDecodedInstruction *zi,
			 const ZydisDecodedOperand *o, int mode)
{
	const struct insn *insn = &m->e.insn;
	u64 ea = o->mem.disp.value + reg_value(m, o->mem.base);

	/* to Zydis, 3E on an indirect branch is NOTRACK and nothing else; MPX, to us, is NOPs */
	if (zi->attributes & ZYDIS_ATTRIB_HAS_NOTRACK || zi->meta.isa_set == ZYDIS_ISA_SET_MPX)
		return;
	/* "no base, disp32" stays that with REX.B; Zydis 4.0.0 makes r13 without disp32 of it */
	if (zi->raw.rex.B && zi->raw.modrm.rm == 4 && zi->raw.modrm.mod == 0 &&
	    zi->raw.sib.base == 5)
		return;
	if (o->mem.type != ZYDIS_MEMOP_TYPE_MEM && o->mem.type != ZYDIS_MEMOP_TYPE_AGEN)
		return;
	ea += reg_value(m, o->mem.index) * o->mem.scale;
	if (o->mem.base == ZYDIS_REGISTER_RIP || o->mem.base == ZYDIS_REGISTER_EIP)
		ea += m->e.rip + zi->length;
	/* POP addresses its destination with RSP as it is after the pop */
	if (insn->op == OP_POP && ZydisRegisterGetId(o->mem.base) == ZYDIS_REGISTER_RSP -
	    ZYDIS_REGISTER_RAX)
		ea += insn->op_size;
	ea = emu_mask(ea, zi->address_width / 8);
	if (!insn->mem)
		fail_on(insn->bytes, zi->length, mode, "memory operand", 0, 1);
	if (ea != insn->ea)
		fail_on(insn->bytes, zi->length, mode, "address", insn->ea, ea);
	if (o->mem.type == ZYDIS_MEMOP_TYPE_MEM && (mode != EMU_LONG || insn->seg >= EMU_FS) &&
	    o->mem.segment != ZYDIS_REGISTER_ES + insn->seg)
		fail_on(insn->bytes, zi->length, mode, "segment", insn->seg,
			o->mem.segment - ZYDIS_REGISTER_ES);
}

/* Not compared: what only AMD, VIA or Xeon Phi has. */
static bool is_foreign(const ZydisDecodedInstruction *zi)
{
	return zi->encoding == ZYDIS_INSTRUCTION_ENCODING_3DNOW ||
	       zi->encoding == ZYDIS_INSTRUCTION_ENCODING_XOP ||
	       zi->encoding == ZYDIS_INSTRUCTION_ENCODING_MVEX ||
	       zi->meta.category == ZYDIS_CATEGORY_PADLOCK ||
	       zi->meta.isa_set == ZYDIS_ISA_SET_KNCE || zi->meta.isa_set == ZYDIS_ISA_SET_KNCV ||
	       zi->meta.isa_set == ZYDIS_ISA_SET_KNCJKBR ||
	       zi->meta.isa_set == ZYDIS_ISA_SET_KNCSTREAM ||
	       zi->meta.isa_set == ZYDIS_ISA_SET_KNC_MISC ||
	       zi->meta.isa_set == ZYDIS_ISA_SET_SSE4A || zi->mnemonic == ZYDIS_MNEMONIC_FEMMS;
}

/* Instructions to Zydis, #UD to a CPU; VT-x, SMX and SMM to a guest's. */
static bool is_undefined(const ZydisDecodedInstruction *zi)
{
	return zi->mnemonic == ZYDIS_MNEMONIC_UD0 || zi->mnemonic == ZYDIS_MNEMONIC_UD1 ||
	       zi->mnemonic == ZYDIS_MNEMONIC_UD2 || zi->mnemonic == ZYDIS_MNEMONIC_RSM ||
	       zi->mnemonic == ZYDIS_MNEMONIC_GETSEC || zi->meta.category == ZYDIS_CATEGORY_VTX;
}

/* Nor EVEX's scaled displacements and vector addresses. */
static bool has_modrm_memory(const ZydisDecodedInstruction *zi, const ZydisDecodedOperand *o)
{
	return o->type == ZYDIS_OPERAND_TYPE_MEMORY &&
	       zi->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
	       o->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT &&
	       (o->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM ||
		o->encoding == ZYDIS_OPERAND_ENCODING_DISP16_32_64);
}

/* Ports have no 8 bytes; what a few others do doesn't go by the operand size that Zydis says. */
static bool has_size(unsigned int op)
{
	static const u8 without[] = { OP_OTHER, OP_NOP, OP_IN, OP_OUT, OP_INS, OP_OUTS, OP_VECTOR,
				      OP_SYSCALL, OP_G7, OP_CMPXCHG8B, OP_MOV_CR, OP_MOV_DR, OP_INVPCID };

	return !memchr(without, op, sizeof(without));
}

/* What Zydis calls so doesn't know that some have never 16 bits. */
static unsigned int operand_width(const ZydisDecodedInstruction *zi,
				  const ZydisDecodedOperand *operands, unsigned int op)
{
	return op == OP_BMI || op == OP_ADX || zi->meta.isa_set == ZYDIS_ISA_SET_MOVDIR ?
	       operands[0].size : zi->operand_width;
}

static void check(int mode, const u8 *bytes)
{
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	struct model *m = guests[mode];
	ZydisDecodedInstruction zi;
	enum emu_result r;
	int i;

	for (i = 0; i < 16; i++)
		m->regs[i] = random64(&seed);
	memcpy(model_at(m, m->e.rip), bytes, EMU_INSN_MAX);
	r = emu_decode(&m->e);
	assert_true(m->e.insn.len <= EMU_INSN_MAX);
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoders[mode], bytes, EMU_INSN_MAX, &zi,
						 operands)) || is_foreign(&zi)) {
		invalid++;
		return;
	}
	checked++;
	if (r == EMU_FAULT && (m->e.fault.vector != X86_UD || !is_undefined(&zi)))
		fail_on(bytes, zi.length, mode, "fault", m->e.fault.vector, 0);
	if (m->e.insn.len != zi.length && !(r == EMU_FAULT))
		fail_on(bytes, zi.length, mode, "length", m->e.insn.len, zi.length);
	if (r == EMU_OK && has_size(m->e.insn.op) &&
	    m->e.insn.op_size * 8 != operand_width(&zi, operands, m->e.insn.op))
		fail_on(bytes, zi.length, mode, "operand size", m->e.insn.op_size * 8,
			operand_width(&zi, operands, m->e.insn.op));
	for (i = 0; r == EMU_OK && i < zi.operand_count; i++)
		if (has_modrm_memory(&zi, &operands[i]))
			check_memory(m, &zi, &operands[i], mode);
}

/* ---- which bytes ----------------------------------------------------------------------------- */

static void check_all_modes(const u8 *bytes)
{
	int mode;

	for (mode = EMU_REAL; mode <= EMU_LONG; mode++)
		check(mode, bytes);
}

static void fill_random(u8 *bytes, unsigned int from)
{
	for (; from < EMU_INSN_MAX; from++)
		bytes[from] = random64(&seed) >> 32;
}

/* What leads to a map, then each opcode with each ModRM byte, or every few of them. */
static void check_map(const u8 *lead, unsigned int n)
{
	u8 bytes[EMU_INSN_MAX];
	unsigned int opcode, modrm, step = n ? 5 : 1;

	if (n)
		memcpy(bytes, lead, n);
	for (opcode = 0; opcode < 256; opcode++) {
		for (modrm = opcode % step; modrm < 256; modrm += step) {
			bytes[n] = opcode;
			bytes[n + 1] = modrm;
			fill_random(bytes, n + 2);
			check_all_modes(bytes);
		}
	}
}

#define MAP(...) check_map((const u8[]){ __VA_ARGS__ }, sizeof((const u8[]){ __VA_ARGS__ }))

static void test_one_byte(void **state)
{
	check_map(NULL, 0);
	MAP(0x66);
	MAP(0x67);
	MAP(0x66, 0x67);
	MAP(0xf2);
	MAP(0xf3);
	MAP(0xf0);
	MAP(0x2e);
	MAP(0x64, 0x3e);
	MAP(0x48);
	MAP(0x4f);
	MAP(0x66, 0x41);
	MAP(0x67, 0x4a);
	MAP(0x48, 0x66);	/* a REX that doesn't count */
}

static void test_two_byte(void **state)
{
	MAP(0x0f);
	MAP(0x66, 0x0f);
	MAP(0xf2, 0x0f);
	MAP(0xf3, 0x0f);
	MAP(0x67, 0x0f);
	MAP(0x48, 0x0f);
	MAP(0x66, 0x4d, 0x0f);
}

static void test_three_byte(void **state)
{
	MAP(0x0f, 0x38);
	MAP(0x66, 0x0f, 0x38);
	MAP(0xf2, 0x0f, 0x38);
	MAP(0xf3, 0x0f, 0x38);
	MAP(0x48, 0x0f, 0x38);
	MAP(0x0f, 0x3a);
	MAP(0x66, 0x0f, 0x3a);
	MAP(0xf2, 0x0f, 0x3a);
	MAP(0xf3, 0x48, 0x0f, 0x3a);
}

static void test_vex(void **state)
{
	unsigned int i;

	for (i = 0; i < 4; i++) {	/* the mandatory prefix */
		MAP(0xc5, 0xf8 | i);
		MAP(0xc5, 0x78 | 4 | i);
		MAP(0xc4, 0xe1, 0x78 | i);
		MAP(0xc4, 0xe2, 0x78 | i);
		MAP(0xc4, 0xe2, 0xf0 | 4 | i);
		MAP(0xc4, 0xe3, 0x78 | i);
		MAP(0xc4, 0xc3, 0x70 | 4 | i);
		MAP(0x62, 0xf1, 0x7c | i, 0x48);
		MAP(0x62, 0xf2, 0x7c | i, 0x48);
		MAP(0x62, 0xf2, 0xfc | i, 0x28);
		MAP(0x62, 0xf3, 0x7c | i, 0x48);
		MAP(0x62, 0xf5, 0x7c | i, 0x48);
	}
}

/* Bytes as they come, and with many prefixes. */
static void test_random(void **state)
{
	static const u8 prefixes[] = { 0x66, 0x67, 0xf2, 0xf3, 0x2e, 0x36, 0x64, 0x65, 0x48, 0x41 };
	u8 bytes[EMU_INSN_MAX];
	unsigned int i, j;

	for (i = 0; i < 100000; i++) {
		fill_random(bytes, 0);
		for (j = 0; j < i % 8; j++)
			bytes[j] = prefixes[random64(&seed) % sizeof(prefixes)];
		check_all_modes(bytes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_byte),
		cmocka_unit_test(test_two_byte),
		cmocka_unit_test(test_three_byte),
		cmocka_unit_test(test_vex),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
