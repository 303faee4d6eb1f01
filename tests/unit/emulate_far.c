// SPDX-License-Identifier: GPL-2.0
/*
 * Control transfers between segments, privilege levels, modes and tasks against a written model:
 * the state before, the state after, and the first faults of each. The selftest `emulated` goes
 * through more of them, with a CPU to compare with.
 */
#include "model.h"

#define GDT	0x20000
#define IDT	0x21000
#define TSS	0x30000
#define TSS32	0x31000		/* of other tasks */
#define TSS16	0x32000
#define STACK	0x7800
#define INNER	0x6800		/* the stack of level 0 */
#define BUF	0x8000

enum {
	CODE32 = 0x08, DATA = 0x10, CODE64 = 0x18, USER_DATA = 0x20, USER_CODE = 0x28,
	OWN_TSS = 0x30, OTHER_TSS = 0x38, CALL_GATE = 0x40, TASK_GATE = 0x48, OLD_TSS = 0x50,
	CODE16 = 0x58, CONFORMING = 0x60, CALL_GATE64 = 0x68, USER_CODE64 = 0x78, CALL_GATE16 = 0x80,
};

static const u64 gdt[] = {
	[CODE32 / 8] = 0x00cf9b000000ffff, [DATA / 8] = 0x00cf93000000ffff,
	[CODE64 / 8] = 0x00af9b000000ffff, [USER_DATA / 8] = 0x00cff3000000ffff,
	[USER_CODE / 8] = 0x00cffb000000ffff, [OWN_TSS / 8] = 0x00008b0300000067,
	[OTHER_TSS / 8] = 0x0000890310000067, [CALL_GATE / 8] = 0x1234ec0200085678,
	[TASK_GATE / 8] = 0x0000e50000380000, [OLD_TSS / 8] = 0x000081032000002b,
	[CODE16 / 8] = 0x00009b000000ffff, [CONFORMING / 8] = 0x00cf9f000000ffff,
	[CALL_GATE64 / 8] = 0x8000ec0000181234, 0xffff8000, [USER_CODE64 / 8] = 0x00affb000000ffff,
	[CALL_GATE16 / 8] = 0x0000e40100585678,
};

static void set_segment(struct model *m, unsigned int seg, u16 selector)
{
	u64 d;

	memcpy(&d, model_at(m, GDT + (selector & ~7)), 8);
	m->seg[seg] = (struct minivmm_segment){
		.selector = selector, .base = (d >> 16 & 0xffffff) | d >> 56 << 24,
		.limit = d >> 55 & 1 ? ~0u : d & 0xffff, .type = d >> 40 & 15, .s = d >> 44 & 1,
		.dpl = d >> 45 & 3, .present = 1, .l = d >> 53 & 1, .db = d >> 54 & 1,
		.g = d >> 55 & 1,
	};
}

static void map_pages(struct model *m)
{
	static const u64 pages[] = { 0, MODEL_CODE, STACK, INNER, BUF, GDT, IDT, TSS, TSS32,
				     TSS16 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(pages); i++)
		model_map(m, pages[i], PAGE_ALL);
}

static struct model *new_guest(enum emu_mode mode, unsigned int cpl)
{
	bool is_long = mode == EMU_LONG;
	struct model *m = model_new(mode);
	unsigned int i;

	map_pages(m);
	model_put(m, GDT, gdt, sizeof(gdt));
	m->table[0] = (struct minivmm_dtable){ .base = GDT, .limit = sizeof(gdt) - 1 };
	m->table[1] = (struct minivmm_dtable){ .base = IDT, .limit = 0xfff };
	m->e.cpl = cpl;
	m->regs[EMU_RSP] = STACK;
	if (mode <= EMU_VM86)
		for (i = 0; i < 6; i++)
			m->seg[i] = (struct minivmm_segment){ .limit = 0xffff, .type = 3, .s = 1,
							      .present = 1, .dpl = cpl };
	else
		for (i = 0; i < 6; i++)
			set_segment(m, i, i != EMU_CS ? (cpl ? USER_DATA | 3 : DATA) :
					  cpl ? (is_long ? USER_CODE64 : USER_CODE) | 3 :
					  is_long ? CODE64 : CODE32);
	set_segment(m, EMU_TR, OWN_TSS);
	model_set(m, TSS + 4, INNER, is_long ? 8 : 4);		/* the stack of level 0 */
	if (!is_long)
		model_set(m, TSS + 8, DATA, 2);
	return m;
}

/* A gate of the IDT. */
static void set_gate(struct model *m, u8 vector, u64 low, u64 high)
{
	bool is_long = m->e.long_mode;

	model_set(m, IDT + vector * (is_long ? 16 : 8), low, 8);
	if (is_long)
		model_set(m, IDT + vector * 16 + 8, high, 8);
}

static void assert_at(struct model *m, u16 cs, u64 rip, u16 ss, u64 rsp)
{
	assert_int_equal(m->seg[EMU_CS].selector, cs);
	assert_int_equal(m->e.rip, rip);
	assert_int_equal(m->seg[EMU_SS].selector, ss);
	assert_int_equal(m->regs[EMU_RSP], rsp);
}

/* What lies at the stack's top, from there upward. */
static void assert_stack(struct model *m, unsigned int size, const u64 *want, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		assert_int_equal(model_get(m, m->regs[EMU_RSP] + i * size, size), want[i]);
}

#define STACK_HAS(m, size, ...) assert_stack(m, size, (const u64[]){ __VA_ARGS__ }, \
					     sizeof((const u64[]){ __VA_ARGS__ }) / 8)

/* ---- within a privilege level ---------------------------------------------------------------- */

static void test_real_mode(void **state)
{
	struct model *m = new_guest(EMU_REAL, 0);

	m->seg[EMU_SS].selector = 0;
	RUN(m, 0xea, 0x78, 0x56, 0x34, 0x12);			/* ljmp $0x1234, $0x5678 */
	assert_at(m, 0x1234, 0x5678, 0, STACK);
	assert_int_equal(m->seg[EMU_CS].base, 0x12340);
	m->seg[EMU_CS].base = 0;
	RUN(m, 0x9a, 0x78, 0x56, 0x00, 0x20);			/* lcall */
	assert_at(m, 0x2000, 0x5678, 0, STACK - 4);
	STACK_HAS(m, 2, MODEL_CODE + 5, 0x1234);
	m->seg[EMU_CS].base = 0;
	RUN(m, 0xcb);						/* lret */
	assert_at(m, 0x1234, MODEL_CODE + 5, 0, STACK);
	m->seg[EMU_CS].base = 0;
	RUN(m, 0x66, 0x9a, 0x78, 0x56, 0, 0, 0x00, 0x20);	/* lcall with 32 bits */
	STACK_HAS(m, 4, MODEL_CODE + 8, 0x1234);
	m->seg[EMU_CS].base = 0;
	RUN(m, 0x66, 0xca, 0x10, 0x00);				/* lret $16 */
	assert_at(m, 0x1234, MODEL_CODE + 8, 0, STACK + 16);
	m->seg[EMU_CS].base = 0;
	m->regs[EMU_RBX] = BUF;
	model_set(m, BUF, 0x30002222, 4);
	RUN(m, 0xff, 0x1f);					/* lcall *(%bx) */
	assert_at(m, 0x3000, 0x2222, 0, STACK + 12);
	m->seg[EMU_CS].base = 0;
	RUN(m, 0xff, 0x2f);					/* ljmp */
	assert_at(m, 0x3000, 0x2222, 0, STACK + 12);
	model_free(m);
}

static void test_direct(void **state)
{
	struct model *m = new_guest(EMU_PROT32, 0);

	RUN(m, 0xea, 0x78, 0x56, 0x34, 0x12, CONFORMING, 0);
	assert_at(m, CONFORMING, 0x12345678, DATA, STACK);
	RUN(m, 0x9a, 0x78, 0x56, 0x34, 0x12, CODE32, 0);
	assert_at(m, CODE32, 0x12345678, DATA, STACK - 8);
	STACK_HAS(m, 4, MODEL_CODE + 7, CONFORMING);
	RUN(m, 0xcb);
	assert_at(m, CONFORMING, MODEL_CODE + 7, DATA, STACK);
	m->regs[EMU_RBX] = BUF;
	model_set(m, BUF, 0x000812345678, 6);
	RUN(m, 0xff, 0x1b);					/* lcall *(%ebx) */
	assert_at(m, CODE32, 0x12345678, DATA, STACK - 8);
	STACK_HAS(m, 4, MODEL_CODE + 2, CONFORMING);
	RUN(m, 0xca, 0x04, 0x00);
	assert_at(m, CONFORMING, MODEL_CODE + 2, DATA, STACK + 4);
	RUN(m, 0xff, 0x2b);					/* ljmp */
	assert_at(m, CODE32, 0x12345678, DATA, STACK + 4);
	model_set(m, BUF, 0x00585678, 4);
	RUN(m, 0x66, 0xff, 0x2b);				/* of 16 bits, to such code */
	assert_at(m, CODE16, 0x5678, DATA, STACK + 4);
	assert_int_equal(m->e.mode, EMU_PROT16);
	model_free(m);
}

static void test_direct_in_long_mode(void **state)
{
	struct model *m = new_guest(EMU_LONG, 0);

	m->regs[EMU_RBX] = BUF;
	model_set(m, BUF, 0xffff800012345678, 8);
	model_set(m, BUF + 8, CODE64, 2);
	RUN(m, 0x48, 0xff, 0x1b);				/* lcall *m16:64 */
	assert_at(m, CODE64, 0xffff800012345678, DATA, STACK - 16);
	STACK_HAS(m, 8, MODEL_CODE + 3, CODE64);
	RUN(m, 0x48, 0xcb);
	assert_at(m, CODE64, MODEL_CODE + 3, DATA, STACK);
	RUN(m, 0x48, 0xff, 0x2b);				/* ljmp *m16:64 */
	assert_at(m, CODE64, 0xffff800012345678, DATA, STACK);
	model_set(m, BUF, 0x000812345678, 6);
	RUN(m, 0xff, 0x2b);					/* to compatibility mode */
	assert_at(m, CODE32, 0x12345678, DATA, STACK);
	assert_int_equal(m->e.mode, EMU_PROT32);
	RUN(m, 0xea, 0x78, 0x56, 0x34, 0x12, CODE64, 0);	/* and back */
	assert_at(m, CODE64, 0x12345678, DATA, STACK);
	assert_int_equal(m->e.mode, EMU_LONG);
	model_free(m);
}

/* ---- between levels -------------------------------------------------------------------------- */

static void test_call_gate(void **state)
{
	struct model *m = new_guest(EMU_PROT32, 3);

	model_set(m, STACK, 0x2222222211111111, 8);		/* two parameters */
	RUN(m, 0x9a, 0, 0, 0, 0, CALL_GATE, 0);
	assert_at(m, CODE32, 0x12345678, DATA, INNER - 24);
	assert_int_equal(m->e.cpl, 0);
	STACK_HAS(m, 4, MODEL_CODE + 7, USER_CODE | 3, 0x11111111, 0x22222222, STACK,
		  USER_DATA | 3);
	set_segment(m, EMU_DS, DATA);
	set_segment(m, EMU_ES, USER_DATA);
	RUN(m, 0xca, 0x08, 0x00);				/* back, without them */
	assert_at(m, USER_CODE | 3, MODEL_CODE + 7, USER_DATA | 3, STACK + 8);
	assert_int_equal(m->e.cpl, 3);
	assert_true(m->seg[EMU_DS].unusable);			/* was the supervisor's */
	assert_false(m->seg[EMU_ES].unusable);
	model_free(m);
}

/* Its kind says how long words are, not the code's. */
static void test_call_gate_of_16_bits(void **state)
{
	struct model *m = new_guest(EMU_PROT32, 3);

	model_set(m, STACK, 0x2222, 2);				/* one parameter */
	RUN(m, 0x9a, 0, 0, 0, 0, CALL_GATE16, 0);
	assert_at(m, CODE16, 0x5678, DATA, INNER - 10);
	STACK_HAS(m, 2, MODEL_CODE + 7, USER_CODE | 3, 0x2222, STACK, USER_DATA | 3);
	model_free(m);
}

static void test_call_gate_in_long_mode(void **state)
{
	struct model *m = new_guest(EMU_LONG, 3);

	m->regs[EMU_RBX] = BUF;
	model_set(m, BUF + 4, CALL_GATE64, 2);
	RUN(m, 0xff, 0x1b);
	assert_at(m, CODE64, 0xffff800080001234, 0, INNER - 32);
	assert_int_equal(m->e.cpl, 0);
	assert_true(m->seg[EMU_SS].unusable);
	STACK_HAS(m, 8, MODEL_CODE + 2, USER_CODE64 | 3, STACK, USER_DATA | 3);
	RUN(m, 0x48, 0xcb);
	assert_at(m, USER_CODE64 | 3, MODEL_CODE + 2, USER_DATA | 3, STACK);
	assert_int_equal(m->e.cpl, 3);
	model_free(m);
}

/* The same level: no other stack. */
static void test_call_gate_within_a_level(void **state)
{
	struct model *m = new_guest(EMU_PROT32, 0);

	RUN(m, 0x9a, 0, 0, 0, 0, CALL_GATE, 0);
	assert_at(m, CODE32, 0x12345678, DATA, STACK - 8);
	STACK_HAS(m, 4, MODEL_CODE + 7, CODE32);
	RUN(m, 0xea, 0, 0, 0, 0, CALL_GATE, 0);
	assert_at(m, CODE32, 0x12345678, DATA, STACK - 8);
	model_free(m);
}

static void assert_fault(struct model *m, u8 vector, u32 code)
{
	struct minivmm_segment seg[EMU_NR_SEGS];
	u64 regs[16];

	m->e.rip = MODEL_CODE;
	memcpy(regs, m->regs, sizeof(regs));
	memcpy(seg, m->seg, sizeof(seg));
	assert_int_equal(model_run(m), EMU_FAULT);
	assert_int_equal(m->e.fault.vector, vector);
	assert_true(m->e.fault.has_code);
	assert_int_equal(m->e.fault.code, code);
	assert_memory_equal(regs, m->regs, sizeof(regs));
	assert_memory_equal(seg, m->seg, sizeof(seg));
	assert_int_equal(m->e.rip, MODEL_CODE);
}

static void test_far_jump_faults(void **state)
{
	static const struct {
		u16 selector;
		u8 cpl, absent, vector;
		u16 code;
		u32 offset;
	} cases[] = {
		{ 0, 0, 0, X86_GP, 0 }, { 3, 3, 0, X86_GP, 0 },
		{ 0x88, 0, 0, X86_GP, 0x88 },			/* behind the table */
		{ CODE32 | 4, 0, 0, X86_GP, CODE32 | 4 },	/* no LDT */
		{ DATA, 0, 0, X86_GP, DATA }, { CODE32 | 3, 0, 0, X86_GP, CODE32 },
		{ USER_CODE, 0, 0, X86_GP, USER_CODE }, { CODE32, 3, 0, X86_GP, CODE32 },
		{ CODE32, 0, 1, X86_NP, CODE32 }, { CODE16, 0, 0, X86_GP, 0, 0x10000 },
		{ OWN_TSS, 0, 0, X86_GP, OWN_TSS },		/* busy */
		{ OTHER_TSS, 0, 1, X86_NP, OTHER_TSS }, { OTHER_TSS, 3, 0, X86_GP, OTHER_TSS },
		{ CALL_GATE, 0, 1, X86_NP, CALL_GATE }, { CALL_GATE, 3, 0, X86_GP, CODE32 },
		{ TASK_GATE, 3, 1, X86_NP, TASK_GATE },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct model *m = new_guest(EMU_PROT32, cases[i].cpl);
		u8 *access = model_at(m, GDT + (cases[i].selector & ~7) + 5);

		if (cases[i].absent)
			*access &= 0x7f;
		m->e.rip = MODEL_CODE;
		CODE(m, 0xea, cases[i].offset, cases[i].offset >> 8, cases[i].offset >> 16, 0,
		     cases[i].selector, 0);
		assert_fault(m, cases[i].vector, cases[i].code);
		model_free(m);
	}
}

/* To a more privileged level nobody returns. */
static void test_far_return_faults(void **state)
{
	static const struct { u16 cs, ss; u8 cpl, vector; u16 code; } cases[] = {
		{ CODE32, DATA, 3, X86_GP, CODE32 }, { 0, DATA, 0, X86_GP, 0 },
		{ DATA, DATA, 0, X86_GP, DATA }, { USER_CODE | 3, 3, 0, X86_GP, 0 },
		{ USER_CODE | 3, DATA | 3, 0, X86_GP, DATA },
		{ USER_CODE | 3, USER_DATA, 0, X86_GP, USER_DATA },
	};
	unsigned int i, iret;

	for (i = 0; i < ARRAY_SIZE(cases); i++)
		for (iret = 0; iret < 2; iret++) {
			struct model *m = new_guest(EMU_PROT32, cases[i].cpl);
			u64 at = STACK + 4;

			m->e.rip = MODEL_CODE;
			CODE(m, iret ? 0xcf : 0xcb);
			model_set(m, at, cases[i].cs, 4);
			if (iret)
				model_set(m, at += 4, 2, 4);
			model_set(m, at + 4, STACK, 4);
			model_set(m, at + 8, cases[i].ss, 4);
			assert_fault(m, cases[i].vector, cases[i].code);
			model_free(m);
		}
}

static void test_int_faults(void **state)
{
	static const struct { u64 gate; u16 vector, code; } cases[] = {
		{ 0x1234ee0000085678 },				/* cut off by the table's limit */
		{ 0x12346e0000085678, X86_NP, 0x402 }, { 0x1234ec0000085678, X86_GP, 0x402 },
		{ 0x1234ee0000005678, X86_GP, 0 }, { 0x1234ee0000105678, X86_GP, DATA },
		{ 0x1234ee0000285678, X86_GP, USER_CODE },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct model *m = new_guest(EMU_PROT32, 0);

		set_gate(m, 0x80, cases[i].gate, 0);
		m->e.rip = MODEL_CODE;
		CODE(m, 0xcd, 0x80);
		if (cases[i].vector) {
			assert_fault(m, cases[i].vector, cases[i].code);
		} else {
			m->table[1].limit = 0x80 * 8 + 6;
			assert_fault(m, X86_GP, 0x402);
		}
		model_free(m);
	}
}

/* ---- interrupts ------------------------------------------------------------------------------ */

static void test_int_in_real_mode(void **state)
{
	struct model *m = new_guest(EMU_REAL, 0);

	m->table[1] = (struct minivmm_dtable){ .limit = 0x3ff };
	m->seg[EMU_CS].selector = 0x77;
	model_set(m, 0x21 * 4, 0x20001234, 4);
	m->e.rflags = 0x40ad7;				/* AC, OF, IF, arithmetic ones */
	RUN(m, 0xcd, 0x21);
	assert_at(m, 0x2000, 0x1234, 0, STACK - 6);
	assert_int_equal(m->e.rflags, 0x8d7);
	STACK_HAS(m, 2, MODEL_CODE + 2, 0x77, 0x0ad7);
	m->seg[EMU_CS].base = 0;
	RUN(m, 0xcf);
	assert_at(m, 0x77, MODEL_CODE + 2, 0, STACK);
	assert_int_equal(m->e.rflags, 0xad7);
	assert_true(m->e.out.what & EMU_IRET);
	model_free(m);
}

/* INT n, INT3, INT1, INTO: the first three may be kept from programs by the gate, but for INT1. */
static void test_int(void **state)
{
	static const struct { u8 bytes[2], len, vector; } insns[] = {
		{ { 0xcd, 0x80 }, 2, 0x80 }, { { 0xcc }, 1, 3 }, { { 0xce }, 1, 4 },
		{ { 0xf1 }, 1, 1 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(insns); i++) {
		struct model *m = new_guest(EMU_PROT32, 3);

		set_gate(m, insns[i].vector, 0x1234ee0000085678, 0);	/* of an interrupt */
		m->e.rflags = 0x4ad7;					/* NT too */
		model_do(m, insns[i].bytes, insns[i].len);
		assert_at(m, CODE32, 0x12345678, DATA, INNER - 20);
		assert_int_equal(m->e.rflags, 0x8d7);
		assert_int_equal(m->e.cpl, 0);
		STACK_HAS(m, 4, MODEL_CODE + insns[i].len, USER_CODE | 3, 0x4ad7, STACK,
			  USER_DATA | 3);
		m->e.rflags = 2;
		RUN(m, 0xcf);						/* iretd */
		assert_at(m, USER_CODE | 3, MODEL_CODE + insns[i].len, USER_DATA | 3, STACK);
		assert_int_equal(m->e.rflags, 0x4ad7);
		assert_int_equal(m->e.cpl, 3);
		set_gate(m, insns[i].vector, 0x12348e0000085678, 0);	/* not for programs */
		m->e.rip = MODEL_CODE;
		model_code(m, insns[i].bytes, insns[i].len);
		m->e.rflags = 0x802;
		if (insns[i].vector == 1) {
			assert_int_equal(model_run(m), EMU_OK);
		} else {
			assert_int_equal(model_run(m), EMU_FAULT);
			assert_int_equal(m->e.fault.vector, X86_GP);
			assert_int_equal(m->e.fault.code, insns[i].vector * 8 + 2);
		}
		model_free(m);
	}
}

static void test_into_without_overflow(void **state)
{
	struct model *m = new_guest(EMU_PROT32, 3);

	RUN(m, 0xce);
	assert_at(m, USER_CODE | 3, MODEL_CODE + 1, USER_DATA | 3, STACK);
	model_free(m);
}

/* A trap gate of 16 bits, on the same stack; IRET of that size. */
static void test_int_of_16_bits(void **state)
{
	struct model *m = new_guest(EMU_PROT16, 0);

	set_segment(m, EMU_CS, CODE16);
	set_gate(m, 0x80, 0x0000870000585678, 0);
	m->e.rflags = 0x246;
	RUN(m, 0xcd, 0x80);
	assert_at(m, CODE16, 0x5678, DATA, STACK - 6);
	assert_int_equal(m->e.rflags, 0x246);
	STACK_HAS(m, 2, MODEL_CODE + 2, CODE16, 0x246);
	m->e.rflags = 2;
	RUN(m, 0xcf);
	assert_at(m, CODE16, MODEL_CODE + 2, DATA, STACK);
	assert_int_equal(m->e.rflags, 0x246);
	model_free(m);
}

static void test_int_in_long_mode(void **state)
{
	struct model *m = new_guest(EMU_LONG, 3);

	model_set(m, TSS + 0x24 + 8, BUF + 0x808, 8);		/* IST2, not aligned */
	set_gate(m, 0x80, 0x1234ee0200185678, 0xffff8000);
	m->e.rflags = 0x246;
	RUN(m, 0xcd, 0x80);
	assert_at(m, CODE64, 0xffff800012345678, 0, BUF + 0x800 - 40);
	STACK_HAS(m, 8, MODEL_CODE + 2, USER_CODE64 | 3, 0x246, STACK, USER_DATA | 3);
	assert_int_equal(m->e.rflags, 0x46);
	RUN(m, 0x48, 0xcf);					/* iretq */
	assert_at(m, USER_CODE64 | 3, MODEL_CODE + 2, USER_DATA | 3, STACK);
	assert_int_equal(m->e.rflags, 0x246);
	assert_int_equal(m->e.cpl, 3);
	model_free(m);
}

/* On the same level too SS:RSP are in the frame, and it is aligned; SS may be null. */
static void test_int_within_a_level_of_long_mode(void **state)
{
	struct model *m = new_guest(EMU_LONG, 0);

	m->regs[EMU_RSP] = STACK + 8;
	m->seg[EMU_SS] = (struct minivmm_segment){ .unusable = 1 };
	set_gate(m, 0x80, 0x12348e0000185678, 0xffff8000);
	RUN(m, 0xcd, 0x80);
	assert_at(m, CODE64, 0xffff800012345678, 0, STACK - 40);
	STACK_HAS(m, 8, MODEL_CODE + 2, CODE64, 2, STACK + 8, 0);
	RUN(m, 0x48, 0xcf);
	assert_at(m, CODE64, MODEL_CODE + 2, 0, STACK + 8);
	assert_true(m->seg[EMU_SS].unusable);
	model_free(m);
}

/* With VME some of them go by virtual-8086 mode's own table, and IF stands for VIF. */
static void test_redirected_int(void **state)
{
	struct model *m = new_guest(EMU_VM86, 3);

	m->sys[EMU_CR4] = 1;
	m->seg[EMU_CS].selector = 0x100;
	m->seg[EMU_TR].limit = 0xfff;
	model_set(m, TSS + 102, 0x88, 2);		/* I/O map; the other lies below it */
	model_set(m, 0x21 * 4, 0x20001234, 4);
	m->e.rflags = 0xa0002 | 0x200;			/* VM, VIF; IOPL 0 */
	RUN(m, 0xcd, 0x21);
	assert_at(m, 0x2000, 0x1234, 0, STACK - 6);
	STACK_HAS(m, 2, MODEL_CODE + 2, 0x100, 0x3202);
	assert_int_equal(m->e.rflags, 0x20202);
	m->seg[EMU_CS].base = 0;
	RUN(m, 0xcf);
	assert_at(m, 0x100, MODEL_CODE + 2, 0, STACK);
	assert_int_equal(m->e.rflags, 0xa0202);
	m->seg[EMU_CS].base = 0;
	model_set(m, TSS + 0x68 + 4, 2, 1);		/* 21 isn't one of them */
	m->e.rip = MODEL_CODE;
	CODE(m, 0xcd, 0x21);
	assert_fault(m, X86_GP, 0);
	model_free(m);
}

/* Out of virtual-8086 mode and back: the segments go by way of the stack. */
static void test_virtual_8086(void **state)
{
	struct model *m = new_guest(EMU_VM86, 3);
	unsigned int i;

	for (i = 0; i < 6; i++)
		m->seg[i].selector = 0x100 + i;
	m->e.rflags = 0x23202;					/* VM, IOPL 3, IF */
	set_gate(m, 0x80, 0x1234ee0000085678, 0);
	RUN(m, 0xcd, 0x80);
	assert_int_equal(m->e.mode, EMU_PROT32);
	assert_at(m, CODE32, 0x12345678, DATA, INNER - 36);
	STACK_HAS(m, 4, MODEL_CODE + 2, 0x101, 0x23202, STACK, 0x102, 0x100, 0x103, 0x104, 0x105);
	assert_true(m->seg[EMU_DS].unusable && m->seg[EMU_GS].unusable);
	RUN(m, 0xcf);
	assert_int_equal(m->e.mode, EMU_VM86);
	assert_int_equal(m->e.cpl, 3);
	assert_at(m, 0x101, MODEL_CODE + 2, 0x102, STACK);
	for (i = 0; i < 6; i++)
		assert_int_equal(m->seg[i].base, 0x1000 + 16 * i);
	assert_int_equal(m->e.rflags, 0x23202);
	model_free(m);
}

/* ---- tasks ----------------------------------------------------------------------------------- */

#define NEW_EIP	0x00112233

/* The other task: its registers say which they are. */
static struct model *with_task(unsigned int cpl)
{
	struct model *m = new_guest(EMU_PROT32, cpl);
	unsigned int i;

	model_set(m, TSS32 + 0x1c, 0x5000, 4);			/* CR3 */
	model_set(m, TSS32 + 0x20, NEW_EIP, 4);
	model_set(m, TSS32 + 0x24, 0x8d7, 4);
	for (i = 0; i < 8; i++) {
		model_set(m, TSS32 + 0x28 + 4 * i, 0x1000 + i, 4);
		if (i != EMU_RSP)
			m->regs[i] = 0x2000 + i;
	}
	for (i = 0; i < 6; i++)
		model_set(m, TSS32 + 0x48 + 4 * i, i == EMU_CS ? CODE32 : DATA, 4);
	m->sys[EMU_CR0] |= 1u << 31;
	m->e.rflags = 0x202;
	return m;
}

static unsigned int tss_type(struct model *m, u16 selector)
{
	return model_get(m, GDT + selector + 5, 1) & 15;
}

static void assert_in_task(struct model *m, u64 flags)
{
	unsigned int i;

	assert_at(m, CODE32, NEW_EIP, DATA, 0x1000 + EMU_RSP);
	for (i = 0; i < 8; i++)
		assert_int_equal(m->regs[i], 0x1000 + i);
	assert_int_equal(m->e.rflags, flags);
	assert_int_equal(m->sys[EMU_CR3], 0x5000);
	assert_int_equal(m->sys[EMU_CR0] & 8, 8);		/* TS */
	assert_int_equal(m->seg[EMU_TR].selector, OTHER_TSS);
	assert_int_equal(m->seg[EMU_TR].base, TSS32);
	assert_int_equal(m->seg[EMU_TR].type, 11);
	assert_int_equal(tss_type(m, OTHER_TSS), 11);
	assert_int_equal(m->e.cpl, 0);
}

/* What the task that was left keeps in its TSS. */
static void assert_saved(struct model *m, u64 rip, u64 flags)
{
	unsigned int i;

	assert_int_equal(model_get(m, TSS + 0x20, 4), rip);
	assert_int_equal(model_get(m, TSS + 0x24, 4), flags);
	for (i = 0; i < 8; i++)
		assert_int_equal(model_get(m, TSS + 0x28 + 4 * i, 4),
				 i == EMU_RSP ? STACK : 0x2000 + i);
}

static void test_task_by_jmp(void **state)
{
	struct model *m = with_task(0);

	RUN(m, 0xea, 0, 0, 0, 0, OTHER_TSS, 0);
	assert_in_task(m, 0x8d7);
	assert_saved(m, MODEL_CODE + 7, 0x202);
	assert_int_equal(tss_type(m, OWN_TSS), 9);
	model_free(m);
}

/* And back by IRET. */
static void test_task_by_call(void **state)
{
	struct model *m = with_task(3);

	RUN(m, 0x9a, 0, 0, 0, 0, TASK_GATE, 0);
	assert_in_task(m, 0x8d7 | 1 << 14);
	assert_saved(m, MODEL_CODE + 7, 0x202);
	assert_int_equal(tss_type(m, OWN_TSS), 11);
	assert_int_equal(model_get(m, TSS32, 2), OWN_TSS);
	RUN(m, 0xcf);
	assert_at(m, USER_CODE | 3, MODEL_CODE + 7, USER_DATA | 3, STACK);
	assert_int_equal(m->e.rflags, 0x202);
	assert_int_equal(m->e.cpl, 3);
	assert_int_equal(tss_type(m, OWN_TSS), 11);
	assert_int_equal(tss_type(m, OTHER_TSS), 9);
	assert_int_equal(m->seg[EMU_TR].selector, OWN_TSS);
	assert_int_equal(model_get(m, TSS32 + 0x20, 4), MODEL_CODE + 1);
	assert_int_equal(model_get(m, TSS32 + 0x24, 4), 0x8d7);	/* NT is gone */
	model_free(m);
}

static void test_task_by_interrupt(void **state)
{
	struct model *m = with_task(3);

	set_gate(m, 0x80, 0x0000e50000380000, 0);
	RUN(m, 0xcd, 0x80);
	assert_in_task(m, 0x8d7 | 1 << 14);
	assert_saved(m, MODEL_CODE + 2, 0x202);
	assert_int_equal(model_get(m, TSS32, 2), OWN_TSS);
	model_free(m);
}

/* The TSS of the 286 has words, and neither CR3 nor FS and GS. */
static void test_task_of_16_bits(void **state)
{
	struct model *m = with_task(0);
	unsigned int i;

	model_set(m, TSS16 + 0x0e, 0x2233, 2);
	model_set(m, TSS16 + 0x10, 0x8d7, 2);
	for (i = 0; i < 8; i++)
		model_set(m, TSS16 + 0x12 + 2 * i, 0x1000 + i, 2);
	for (i = 0; i < 4; i++)
		model_set(m, TSS16 + 0x22 + 2 * i, i == EMU_CS ? CODE16 : DATA, 2);
	RUN(m, 0xea, 0, 0, 0, 0, OLD_TSS, 0);
	assert_at(m, CODE16, 0x2233, DATA, 0x1000 + EMU_RSP);
	assert_int_equal(m->e.mode, EMU_PROT16);
	assert_int_equal(m->sys[EMU_CR3], 0);
	assert_int_equal(m->seg[EMU_TR].type, 3);
	assert_true(m->seg[EMU_FS].unusable && m->seg[EMU_GS].unusable);
	assert_saved(m, MODEL_CODE + 7, 0x202);
	model_free(m);
}

/* ---- fast system calls ----------------------------------------------------------------------- */

static struct model *with_msrs(enum emu_mode mode, unsigned int cpl)
{
	static const struct { u32 index; u64 value; } msrs[] = {
		{ 0x174, 0x10 }, { 0x175, 0xffff80000000aaa0 }, { 0x176, 0xffff80000000bbb0 },
		{ 0xc0000080, 1 }, { 0xc0000081, 0x0033001000000000 },
		{ 0xc0000082, 0xffff80000000ccc0 }, { 0xc0000084, 0x700 },
	};
	struct model *m = new_guest(mode, cpl);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(msrs); i++) {
		m->msr[i].index = msrs[i].index;
		m->msr[i].value = msrs[i].value;
	}
	return m;
}

static void assert_flat(struct model *m, unsigned int dpl, bool is_long)
{
	const struct minivmm_segment *cs = &m->seg[EMU_CS], *ss = &m->seg[EMU_SS];

	assert_int_equal(cs->base | ss->base, 0);
	assert_int_equal(cs->limit & ss->limit, 0xffffffff);
	assert_int_equal(cs->type, 11);
	assert_int_equal(ss->type, 3);
	assert_int_equal(cs->dpl, dpl);
	assert_int_equal(ss->dpl, dpl);
	assert_int_equal(cs->l, is_long);
	assert_int_equal(cs->db, !is_long);
	assert_int_equal(ss->db, 1);
	assert_int_equal(m->e.cpl, dpl);
}

static void test_syscall(void **state)
{
	struct model *m = with_msrs(EMU_LONG, 3);

	m->e.rflags = 0x746 & ~0x100;
	RUN(m, 0x0f, 0x05);
	assert_at(m, 0x10, 0xffff80000000ccc0, 0x18, STACK);
	assert_flat(m, 0, true);
	assert_int_equal(m->regs[EMU_RCX], MODEL_CODE + 2);
	assert_int_equal(m->regs[11], 0x646);
	assert_int_equal(m->e.rflags, 0x46);
	RUN(m, 0x48, 0x0f, 0x07);				/* sysretq */
	assert_at(m, 0x43, MODEL_CODE + 2, 0x3b, STACK);
	assert_flat(m, 3, true);
	assert_int_equal(m->e.rflags, 0x646);
	model_free(m);
	m = with_msrs(EMU_LONG, 0);
	m->regs[EMU_RCX] = 0x8877665544332211;
	m->regs[11] = 0x10202;					/* RF stays behind */
	RUN(m, 0x0f, 0x07);					/* sysretl */
	assert_at(m, 0x33, 0x44332211, 0x3b, STACK);
	assert_flat(m, 3, false);
	assert_int_equal(m->e.rflags, 0x202);
	model_free(m);
}

static void test_sysenter(void **state)
{
	struct model *m = with_msrs(EMU_LONG, 3);

	m->e.rflags = 0x746 & ~0x100;
	RUN(m, 0x0f, 0x34);
	assert_at(m, 0x10, 0xffff80000000bbb0, 0x18, 0xffff80000000aaa0);
	assert_flat(m, 0, true);
	assert_int_equal(m->e.rflags, 0x446);
	m->regs[EMU_RCX] = 0x7fff00001000;
	m->regs[EMU_RDX] = 0x7fff00002000;
	RUN(m, 0x48, 0x0f, 0x35);				/* sysexit, to 64-bit code */
	assert_at(m, 0x33, 0x7fff00002000, 0x3b, 0x7fff00001000);
	assert_flat(m, 3, true);
	model_free(m);
	m = with_msrs(EMU_PROT32, 3);
	RUN(m, 0x0f, 0x34);
	assert_at(m, 0x10, 0x0000bbb0, 0x18, 0x0000aaa0);
	assert_flat(m, 0, false);
	m->regs[EMU_RCX] = 0x1000;
	m->regs[EMU_RDX] = 0x2000;
	RUN(m, 0x0f, 0x35);
	assert_at(m, 0x23, 0x2000, 0x2b, 0x1000);
	assert_flat(m, 3, false);
	model_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_real_mode),
		cmocka_unit_test(test_direct),
		cmocka_unit_test(test_direct_in_long_mode),
		cmocka_unit_test(test_call_gate),
		cmocka_unit_test(test_call_gate_of_16_bits),
		cmocka_unit_test(test_call_gate_in_long_mode),
		cmocka_unit_test(test_call_gate_within_a_level),
		cmocka_unit_test(test_far_jump_faults),
		cmocka_unit_test(test_far_return_faults),
		cmocka_unit_test(test_int_faults),
		cmocka_unit_test(test_int_within_a_level_of_long_mode),
		cmocka_unit_test(test_redirected_int),
		cmocka_unit_test(test_int_in_real_mode),
		cmocka_unit_test(test_int),
		cmocka_unit_test(test_into_without_overflow),
		cmocka_unit_test(test_int_of_16_bits),
		cmocka_unit_test(test_int_in_long_mode),
		cmocka_unit_test(test_virtual_8086),
		cmocka_unit_test(test_task_by_jmp),
		cmocka_unit_test(test_task_by_call),
		cmocka_unit_test(test_task_by_interrupt),
		cmocka_unit_test(test_task_of_16_bits),
		cmocka_unit_test(test_syscall),
		cmocka_unit_test(test_sysenter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
