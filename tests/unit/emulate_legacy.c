// SPDX-License-Identifier: GPL-2.0
/*
 * What 64-bit code hasn't, and so the CPU of the test can't show: encodings of 16- and 32-bit code.
 * Either they must do what another one does, that emulate_native has seen; or what they are for.
 */
#include "model.h"

#define BUF	0x8000
#define STACK	0x7800

static u64 seed = 5;

static struct model *new_guest(enum emu_mode mode)
{
	struct model *m = model_new(mode);
	int i;

	model_map(m, MODEL_CODE, PAGE_ALL);
	model_map(m, STACK, PAGE_ALL);
	model_map(m, BUF, PAGE_ALL);
	for (i = 0; i < 8; i++)
		m->regs[i] = (u32)random64(&seed);
	m->regs[EMU_RSP] = STACK;
	m->regs[EMU_RBX] = BUF;
	m->seg[EMU_CS].db = mode == EMU_PROT32;
	m->e.rflags = 2 | (random64(&seed) & 0x8d5);
	return m;
}

/* ---- the same as another --------------------------------------------------------------------- */

static void assert_same(struct model *a, struct model *b)
{
	assert_memory_equal(a->regs, b->regs, sizeof(a->regs));
	assert_int_equal(a->e.rflags, b->e.rflags);
	assert_memory_equal(model_at(a, BUF), model_at(b, BUF), 4096);
	assert_memory_equal(model_at(a, STACK & ~0xfff), model_at(b, STACK & ~0xfff), 4096);
}

/* Both, from the same random state. */
static void compare(enum emu_mode mode, const u8 *a, size_t a_len, const u8 *b, size_t b_len)
{
	struct model *one = new_guest(mode), *other = model_new(mode);

	model_set(one, BUF, random64(&seed), 8);
	model_set(one, STACK, random64(&seed), 8);
	memcpy(other, one, sizeof(*one));
	other->e.regs = other->regs;
	other->e.kept = other->kept;
	other->e.port_data = other->port_data;
	model_do(one, a, a_len);
	model_do(other, b, b_len);
	assert_same(one, other);
	model_free(one);
	model_free(other);
}

/* 82 is 80. */
static void test_82(void **state)
{
	unsigned int modrm, i;

	for (modrm = 0; modrm < 256; modrm++) {
		u8 imm = random64(&seed), a[] = { 0x82, modrm, imm }, b[] = { 0x80, modrm, imm };
		u8 c[] = { 0xf0, 0x82, modrm, imm }, d[] = { 0xf0, 0x80, modrm, imm };

		if (modrm < 0xc0 && (modrm & 0xc7) != 3)	/* memory: at EBX */
			continue;
		for (i = 0; i < 20; i++)
			compare(EMU_PROT32, a, 3, b, 3);
		if (modrm < 0xc0 && modrm >> 3 != 7)
			compare(EMU_PROT32, c, 4, d, 4);
	}
}

/* INC and DEC of a byte are those of FE and FF. */
static void test_inc_and_dec(void **state)
{
	unsigned int op, i;

	for (op = 0; op < 16; op++) {
		u8 a[] = { 0x66, 0x40 | op }, b[] = { 0x66, 0xff, 0xc0 | op };

		for (i = 0; i < 20; i++) {
			compare(EMU_PROT32, a, 2, b, 3);
			compare(EMU_PROT32, a + 1, 1, b + 1, 2);
			compare(EMU_PROT16, a, 2, b, 3);
			compare(EMU_REAL, a + 1, 1, b + 1, 2);
		}
	}
}

/* PUSH and POP of one register: in a byte, by ModRM, or as a move. */
static void test_push_and_pop(void **state)
{
	unsigned int reg;

	for (reg = 0; reg < 8; reg++) {
		u8 push[] = { 0x50 | reg }, push_rm[] = { 0xff, 0xf0 | reg };
		u8 pop[] = { 0x58 | reg }, pop_rm[] = { 0x8f, 0xc0 | reg };
		struct model *m = new_guest(EMU_PROT32);
		u32 value = m->regs[reg];

		compare(EMU_PROT32, push, 1, push_rm, 2);
		compare(EMU_PROT32, pop, 1, pop_rm, 2);
		compare(EMU_REAL, push, 1, push_rm, 2);
		compare(EMU_REAL, pop, 1, pop_rm, 2);
		model_do(m, push, 1);
		assert_int_equal(m->regs[EMU_RSP], STACK - 4);
		assert_int_equal(model_get(m, STACK - 4, 4), value);
		m->regs[reg] = reg == EMU_RSP ? m->regs[reg] : 0;
		model_do(m, pop, 1);
		assert_int_equal(m->regs[reg], value);
		if (reg != EMU_RSP)
			assert_int_equal(m->regs[EMU_RSP], STACK);
		model_free(m);
	}
}

static void test_no_operation(void **state)
{
	static const u8 prefixes[] = { 0, 0x66, 0xf2, 0xf3 };
	static const u8 nop[] = { 0x90 };
	unsigned int opcode, p, modrm;

	for (opcode = 0x18; opcode < 0x20; opcode++)
		for (p = 0; p < 4; p++)
			for (modrm = 3; modrm < 256; modrm += modrm < 0xc0 ? 8 : 9) {
				u8 bytes[] = { prefixes[p], 0x0f, opcode, modrm, 0, 0, 0, 0 };

				compare(EMU_PROT32, bytes + !p, 8 - !p, nop, 1);
				compare(EMU_REAL, bytes + !p, 8 - !p, nop, 1);
			}
}

/* ---- decimal arithmetic ---------------------------------------------------------------------- */

static unsigned int bcd(unsigned int n) { return n / 10 % 10 << 4 | n % 10; }

/* After ADD or SUB of two bytes of two digits each, their sum or difference; CF carries. */
static void test_packed_decimal(void **state)
{
	struct model *m = new_guest(EMU_PROT32);
	unsigned int a, b;

	for (a = 0; a < 100; a++)
		for (b = 0; b < 100; b++) {
			m->regs[EMU_RAX] = 0xabcd00 | bcd(a);
			RUN(m, 0x04, bcd(b));
			RUN(m, 0x27);			/* daa */
			assert_int_equal(m->regs[EMU_RAX], 0xabcd00 | bcd(a + b));
			assert_int_equal(m->e.rflags & 1, a + b > 99);
			assert_int_equal(m->e.rflags >> 6 & 1, (a + b) % 100 == 0);
			m->regs[EMU_RAX] = 0xabcd00 | bcd(a);
			RUN(m, 0x2c, bcd(b));
			RUN(m, 0x2f);			/* das */
			assert_int_equal(m->regs[EMU_RAX], 0xabcd00 | bcd(100 + a - b));
			assert_int_equal(m->e.rflags & 1, a < b);
		}
	model_free(m);
}

/* A digit a byte: AL's, with what it carries into AH. */
static void test_unpacked_decimal(void **state)
{
	struct model *m = new_guest(EMU_PROT32);
	unsigned int a, b;

	for (a = 0; a < 10; a++)
		for (b = 0; b < 10; b++) {
			m->regs[EMU_RAX] = 0x0500 | a;
			RUN(m, 0x04, b);
			RUN(m, 0x37);			/* aaa */
			assert_int_equal(m->regs[EMU_RAX],
					 0x0500 + ((a + b) / 10 << 8) + (a + b) % 10);
			assert_int_equal(m->e.rflags & 0x11, a + b > 9 ? 0x11 : 0);
			m->regs[EMU_RAX] = 0x0500 | a;
			RUN(m, 0x2c, b);
			RUN(m, 0x3f);			/* aas */
			assert_int_equal(m->regs[EMU_RAX],
					 (a < b ? 0x0400 : 0x0500) + (10 + a - b) % 10);
			assert_int_equal(m->e.rflags & 0x11, a < b ? 0x11 : 0);
		}
	for (a = 0; a < 256; a++)
		for (b = 1; b < 256; b++) {
			m->regs[EMU_RAX] = 0xabcdef00 | a;
			RUN(m, 0xd4, b);		/* aam */
			assert_int_equal(m->regs[EMU_RAX], 0xabcd0000 | a / b << 8 | a % b);
			assert_int_equal(m->e.rflags >> 6 & 3, (a % b == 0) | (a % b >> 7) << 1);
			RUN(m, 0xd5, b);		/* aad undoes it */
			assert_int_equal(m->regs[EMU_RAX], 0xabcd0000 | a);
		}
	m->e.rip = MODEL_CODE;
	CODE(m, 0xd4, 0);
	assert_int_equal(model_run(m), EMU_FAULT);
	assert_int_equal(m->e.fault.vector, X86_DE);
	model_free(m);
}

static void test_salc(void **state)
{
	struct model *m = new_guest(EMU_PROT32);

	m->regs[EMU_RAX] = 0x12345678;
	m->e.rflags = 2 | 1;
	RUN(m, 0xd6);
	assert_int_equal(m->regs[EMU_RAX], 0x123456ff);
	m->e.rflags = 2 | 0x8d4;
	RUN(m, 0xd6);
	assert_int_equal(m->regs[EMU_RAX], 0x12345600);
	assert_int_equal(m->e.rflags, 2 | 0x8d4);
	model_free(m);
}

/* ---- the stack ------------------------------------------------------------------------------- */

static void test_pusha_and_popa(void **state)
{
	unsigned int size, i;

	for (size = 2; size <= 4; size += 2) {
		struct model *m = new_guest(size == 2 ? EMU_REAL : EMU_PROT32);
		u64 old[8];

		m->seg[EMU_SS].db = size == 4;
		memcpy(old, m->regs, sizeof(old));
		RUN(m, 0x60);
		assert_int_equal(m->regs[EMU_RSP], STACK - 8 * size);
		for (i = 0; i < 8; i++)		/* the last is at the bottom */
			assert_int_equal(model_get(m, STACK - (i + 1) * size, size),
					 emu_mask(old[i], size));
		model_set(m, STACK - 5 * size, 0x5a5a5a5a, size);	/* not loaded: RSP's */
		for (i = 0; i < 8; i++)
			if (i != EMU_RSP)
				m->regs[i] ^= 0xffff;
		RUN(m, 0x61);
		if (size == 4)
			assert_memory_equal(m->regs, old, sizeof(old));
		for (i = 0; i < 8; i++)
			assert_int_equal(m->regs[i], old[i]);
		model_free(m);
	}
}

static void test_segments_on_the_stack(void **state)
{
	static const struct { u8 push[2], pop[2], seg; } insns[] = {
		{ { 0x06 }, { 0x07 }, EMU_ES }, { { 0x16 }, { 0x17 }, EMU_SS },
		{ { 0x1e }, { 0x1f }, EMU_DS }, { { 0x0f, 0xa0 }, { 0x0f, 0xa1 }, EMU_FS },
		{ { 0x0f, 0xa8 }, { 0x0f, 0xa9 }, EMU_GS }, { { 0x0e }, { 0 }, EMU_CS },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(insns); i++) {
		struct model *m = new_guest(EMU_REAL);

		m->seg[EMU_SS].db = 0;
		m->seg[insns[i].seg].selector = 0x1234;
		model_do(m, insns[i].push, insns[i].push[0] == 0x0f ? 2 : 1);
		assert_int_equal(m->regs[EMU_RSP], STACK - 2);
		assert_int_equal(model_get(m, STACK - 2, 2), 0x1234);
		model_set(m, STACK - 2, 0x0321, 2);
		if (insns[i].seg != EMU_CS) {
			model_do(m, insns[i].pop, insns[i].pop[0] == 0x0f ? 2 : 1);
			assert_int_equal(m->seg[insns[i].seg].selector, 0x0321);
			assert_int_equal(m->seg[insns[i].seg].base, 0x3210);
			assert_int_equal(m->regs[EMU_RSP], STACK);
			assert_int_equal(m->e.out.what & EMU_MOV_SS,
					 insns[i].seg == EMU_SS ? EMU_MOV_SS : 0);
		}
		model_free(m);
	}
}

static void test_flags_on_the_stack(void **state)
{
	struct model *m = new_guest(EMU_PROT32);

	m->e.rflags = 0x3ed7 | 1 << 16 | 1 << 18;	/* all but TF and ID; RF isn't pushed */
	RUN(m, 0x9c);
	assert_int_equal(model_get(m, STACK - 4, 4), 0x3ed7 | 1 << 18);
	model_set(m, STACK - 4, 0xffffffff, 4);
	m->e.rflags = 2;
	RUN(m, 0x9d);
	assert_int_equal(m->e.rflags, 0x247fd7);	/* no VM, RF, VIF, VIP */
	m->e.rflags = 2;
	m->e.cpl = 3;
	m->regs[EMU_RSP] = STACK - 4;
	RUN(m, 0x9d);
	assert_int_equal(m->e.rflags, 0x244dd7);	/* nor IF, IOPL */
	m->e.rflags = 0x3002;
	m->regs[EMU_RSP] = STACK - 4;
	RUN(m, 0x9d);
	assert_int_equal(m->e.rflags, 0x247fd7);	/* IF with IOPL 3 */
	model_free(m);
}

static void test_memory_on_the_stack(void **state)
{
	struct model *m = new_guest(EMU_PROT32);

	model_set(m, BUF, 0xcafe1234, 4);
	RUN(m, 0xff, 0x33);				/* pushl (%ebx) */
	assert_int_equal(model_get(m, STACK - 4, 4), 0xcafe1234);
	RUN(m, 0x8f, 0x43, 0x10);			/* popl 0x10(%ebx) */
	assert_int_equal(model_get(m, BUF + 0x10, 4), 0xcafe1234);
	assert_int_equal(m->regs[EMU_RSP], STACK);
	RUN(m, 0xff, 0x33);
	RUN(m, 0x8f, 0x44, 0x24, 0x08);			/* popl 8(%esp), as it is then */
	assert_int_equal(model_get(m, STACK + 8, 4), 0xcafe1234);
	model_free(m);
}

/* ---- BOUND, LEA, far pointers, segment registers --------------------------------------------- */

static void assert_bound(struct model *m, s32 index, bool within)
{
	m->regs[EMU_RAX] = (u32)index;
	m->e.rip = MODEL_CODE;
	if (within) {
		assert_int_equal(model_run(m), EMU_OK);
	} else {
		assert_int_equal(model_run(m), EMU_FAULT);
		assert_int_equal(m->e.fault.vector, X86_BR);
		assert_false(m->e.fault.has_code);
	}
}

static void test_bound(void **state)
{
	unsigned int size;

	for (size = 2; size <= 4; size += 2) {
		struct model *m = new_guest(EMU_PROT32);

		model_set(m, BUF, -5, size);
		model_set(m, BUF + size, 7, size);
		if (size == 2)
			CODE(m, 0x66, 0x62, 0x03);
		else
			CODE(m, 0x62, 0x03);
		assert_bound(m, -5, true);
		assert_bound(m, 7, true);
		assert_bound(m, -6, false);
		assert_bound(m, 8, false);
		model_free(m);
	}
}

static void test_lea(void **state)
{
	struct model *m = new_guest(EMU_REAL);

	m->regs[EMU_RBX] = 0xabcdfff0;
	m->regs[EMU_RSI] = 0x12340020;
	m->regs[EMU_RAX] = 0x55555555;
	RUN(m, 0x8d, 0x40, 0x04);			/* lea 4(%bx,%si), %ax */
	assert_int_equal(m->regs[EMU_RAX], 0x55550014);
	RUN(m, 0x66, 0x8d, 0x40, 0x04);			/* %eax */
	assert_int_equal(m->regs[EMU_RAX], 0x14);
	RUN(m, 0x67, 0x8d, 0x04, 0x1e);			/* (%esi,%ebx) */
	assert_int_equal(m->regs[EMU_RAX], 0x0010);
	RUN(m, 0x67, 0x66, 0x8d, 0x04, 0x1e);
	assert_int_equal(m->regs[EMU_RAX], 0xbe020010);
	model_free(m);
}

static void test_far_pointers(void **state)
{
	static const struct { u8 bytes[3], len, seg; } insns[] = {
		{ { 0xc4, 0x13 }, 2, EMU_ES }, { { 0xc5, 0x13 }, 2, EMU_DS },
		{ { 0x0f, 0xb2, 0x13 }, 3, EMU_SS }, { { 0x0f, 0xb4, 0x13 }, 3, EMU_FS },
		{ { 0x0f, 0xb5, 0x13 }, 3, EMU_GS },
	};
	unsigned int i, size;

	for (i = 0; i < ARRAY_SIZE(insns); i++)
		for (size = 2; size <= 4; size += 2) {
			struct model *m = new_guest(EMU_VM86);
			u8 bytes[6] = { 0x66, 0x67 };	/* by EBX, into EDX or DX */

			m->e.cpl = 3;
			m->regs[EMU_RDX] = 0x99999999;
			model_set(m, BUF, 0x87654321, 4);
			model_set(m, BUF + size, 0x0246, 2);
			memcpy(bytes + 2, insns[i].bytes, insns[i].len);
			model_do(m, bytes + (size == 2), insns[i].len + 1 + (size == 4));
			assert_int_equal(m->regs[EMU_RDX], size == 2 ? 0x99994321 : 0x87654321);
			assert_int_equal(m->seg[insns[i].seg].selector, 0x0246);
			assert_int_equal(m->seg[insns[i].seg].base, 0x2460);
			model_free(m);
		}
}

static void test_moves_of_segments(void **state)
{
	static const u8 segs[] = { EMU_ES, EMU_SS, EMU_DS, EMU_FS, EMU_GS };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(segs); i++) {
		struct model *m = new_guest(EMU_REAL);
		u8 reg = segs[i] << 3;

		m->regs[EMU_RAX] = 0x77771357;
		RUN(m, 0x8e, 0xc0 | reg);		/* mov %ax, seg */
		assert_int_equal(m->seg[segs[i]].selector, 0x1357);
		assert_int_equal(m->seg[segs[i]].base, 0x13570);
		m->regs[EMU_RAX] = 0x66666666;
		RUN(m, 0x8c, 0xc0 | reg);
		assert_int_equal(m->regs[EMU_RAX], 0x66661357);
		RUN(m, 0x66, 0x8c, 0xc0 | reg);		/* all of EAX */
		assert_int_equal(m->regs[EMU_RAX], 0x1357);
		m->seg[EMU_DS].base = 0;
		model_set(m, BUF, 0xffff0468, 4);
		RUN(m, 0x67, 0x8e, 0x03 | reg);		/* mov (%ebx), seg */
		assert_int_equal(m->seg[segs[i]].base, 0x4680);
		m->seg[EMU_DS].base = 0;
		RUN(m, 0x67, 0x8c, 0x43 | reg, 0x02);	/* mov seg, 2(%ebx) */
		assert_int_equal(model_get(m, BUF, 4), 0x04680468);
		model_free(m);
	}
}

/* ---- BMI in 16-bit code ---------------------------------------------------------------------- */

/* Never 16 bits; W and the uppermost bit of vvvv count for nothing. In real mode C4 isn't VEX. */
static void test_bits_in_16_bit_code(void **state)
{
	static const enum emu_mode modes[] = { EMU_PROT16, EMU_PROT32 };
	unsigned int i;

	if (!__builtin_cpu_supports("bmi"))	/* the model's are the CPU's, for TZCNT */
		skip();
	for (i = 0; i < 2; i++) {
		struct model *m = new_guest(modes[i]);

		m->regs[EMU_RCX] = 0x0ff000ff;
		m->regs[EMU_RBX] = 0x12345678;
		RUN(m, 0xc4, 0xe2, 0x70, 0xf2, 0xc3);		/* andn %ebx, %ecx, %eax */
		assert_int_equal(m->regs[EMU_RAX], 0x10045600);
		RUN(m, 0xc4, 0xe2, 0xb0, 0xf2, 0xd3);
		assert_int_equal(m->regs[EMU_RDX], 0x10045600);
		m->e.rflags = 3;
		m->regs[EMU_RAX] = 0xffffffff;
		RUN(m, 0x66, 0x0f, 0x38, 0xf6, 0xc3);		/* adcx %ebx, %eax */
		assert_int_equal(m->regs[EMU_RAX], 0x12345678);
		assert_int_equal(m->e.rflags, 3);
		model_free(m);
		m = new_guest(EMU_REAL);
		m->e.rip = MODEL_CODE;
		CODE(m, 0xc4, 0xe2, 0x70, 0xf2, 0xc3);
		assert_int_equal(model_run(m), EMU_FAULT);
		assert_int_equal(m->e.fault.vector, X86_UD);
		model_free(m);
	}
}

/* ---- branches of 16 bits --------------------------------------------------------------------- */

/* Whether a condition holds is SETcc's to say. */
static void test_conditions_of_16_bits(void **state)
{
	struct model *m = new_guest(EMU_REAL), *by = new_guest(EMU_LONG);
	unsigned int cc, i;

	for (cc = 0; cc < 16; cc++)
		for (i = 0; i < 64; i++) {
			m->e.rflags = by->e.rflags = 2 | (random64(&seed) & 0x8d5);
			RUN(by, 0x0f, 0x90 | cc, 0xc0);
			RUN(m, 0x0f, 0x80 | cc, 0x00, 0xe0);	/* wraps */
			assert_int_equal(m->e.rip,
					 by->regs[EMU_RAX] & 0xff ? 0xf004 : MODEL_CODE + 4);
		}
	model_free(m);
	model_free(by);
}

/* JMP and CALL by the address at BX or EBX, where target is, and to BX itself, which is BUF. */
static void indirect_branches(struct model *m, u8 jmp, u8 call, unsigned int size, u64 target)
{
	RUN(m, 0xff, jmp);
	assert_int_equal(m->e.rip, target);
	RUN(m, 0xff, call);
	assert_int_equal(m->e.rip, target);
	assert_int_equal(model_get(m, STACK - size, size), MODEL_CODE + 2);
	RUN(m, 0xff, 0xe3);
	assert_int_equal(m->e.rip, BUF);
	RUN(m, 0xff, 0xd3);
	assert_int_equal(m->e.rip, BUF);
	assert_int_equal(model_get(m, STACK - 2 * size, size), MODEL_CODE + 2);
}

static void test_branches_of_16_bits(void **state)
{
	struct model *m = new_guest(EMU_REAL);

	m->seg[EMU_SS].db = 0;
	m->regs[EMU_RCX] = 0x70000;
	RUN(m, 0xe3, 0x10);				/* jcxz */
	assert_int_equal(m->e.rip, MODEL_CODE + 0x12);
	RUN(m, 0x67, 0xe3, 0x10);			/* jecxz */
	assert_int_equal(m->e.rip, MODEL_CODE + 3);
	RUN(m, 0xe9, 0x00, 0xe0);			/* wraps */
	assert_int_equal(m->e.rip, 0xf003);
	RUN(m, 0xe8, 0x00, 0x20);
	assert_int_equal(m->e.rip, MODEL_CODE + 0x2003);
	assert_int_equal(model_get(m, STACK - 2, 2), MODEL_CODE + 3);
	RUN(m, 0xc3);
	assert_int_equal(m->e.rip, MODEL_CODE + 3);
	assert_int_equal(m->regs[EMU_RSP], STACK);
	m->regs[EMU_RBX] = 0xffff0000 | BUF;
	model_set(m, BUF, 0x55552468, 4);
	indirect_branches(m, 0x27, 0x17, 2, 0x2468);
	RUN(m, 0xc2, 0x06, 0x00);
	assert_int_equal(m->e.rip, MODEL_CODE + 2);
	assert_int_equal(m->regs[EMU_RSP], STACK + 4);
	model_free(m);
}

static void test_branches_of_32_bits(void **state)
{
	struct model *m = new_guest(EMU_PROT32);

	model_set(m, BUF, 0x12345678, 4);
	indirect_branches(m, 0x23, 0x13, 4, 0x12345678);
	model_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_82),
		cmocka_unit_test(test_inc_and_dec),
		cmocka_unit_test(test_push_and_pop),
		cmocka_unit_test(test_no_operation),
		cmocka_unit_test(test_packed_decimal),
		cmocka_unit_test(test_unpacked_decimal),
		cmocka_unit_test(test_salc),
		cmocka_unit_test(test_pusha_and_popa),
		cmocka_unit_test(test_segments_on_the_stack),
		cmocka_unit_test(test_flags_on_the_stack),
		cmocka_unit_test(test_memory_on_the_stack),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_lea),
		cmocka_unit_test(test_far_pointers),
		cmocka_unit_test(test_moves_of_segments),
		cmocka_unit_test(test_bits_in_16_bit_code),
		cmocka_unit_test(test_conditions_of_16_bits),
		cmocka_unit_test(test_branches_of_16_bits),
		cmocka_unit_test(test_branches_of_32_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
