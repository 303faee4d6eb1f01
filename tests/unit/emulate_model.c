// SPDX-License-Identifier: GPL-2.0
/*
 * The emulator against a written model: what the CPU of a test machine can't be asked without being
 * a guest's. Segments, faults, page boundaries, devices, ports, REP, modes.
 */
#include "model.h"

#define BUF	0x10000
#define MMIO	0x40000
#define ANSWER	0xf1f2f3f4f5f6f7f8

static u64 answer(u64 address) { return ANSWER + (address & 0xff); }

static void assert_fault(struct model *m, u8 vector, u32 code)
{
	u64 regs[16], rip = m->e.rip, rflags = m->e.rflags;
	int writes = m->nr_memory_writes;

	memcpy(regs, m->regs, sizeof(regs));
	assert_int_equal(model_run(m), EMU_FAULT);
	assert_int_equal(m->e.fault.vector, vector);
	assert_int_equal(m->e.fault.code, code);
	assert_int_equal(m->e.fault.has_code, vector != X86_UD);
	assert_memory_equal(regs, m->regs, sizeof(regs));
	assert_int_equal(m->e.rip, rip);
	assert_int_equal(m->e.rflags, rflags);
	assert_int_equal(m->nr_memory_writes, writes);
}

static void assert_page_fault(struct model *m, u64 address, u32 code)
{
	assert_fault(m, X86_PF, code);
	assert_int_equal(m->e.fault.address, address);
}

/* ---- fetching -------------------------------------------------------------------------------- */

static void test_code_across_pages(void **state)
{
	struct model *m = model_new(EMU_LONG);

	m->e.rip = 0x1ffd;
	CODE(m, 0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8);	/* mov $imm64, %rax */
	assert_int_equal(model_run(m), EMU_OK);
	assert_int_equal(m->regs[EMU_RAX], 0x0807060504030201);
	assert_int_equal(m->e.rip, 0x2007);
	model_free(m);
}

/* The first page's bytes suffice: the second isn't touched. */
static void test_code_at_end_of_page(void **state)
{
	struct model *m = model_new(EMU_LONG);

	m->e.rip = 0x1ffe;
	CODE(m, 0x89, 0xc3);
	assert_int_equal(model_run(m), EMU_OK);
	m->e.rip = 0x1fff;
	CODE(m, 0x90);
	assert_int_equal(model_run(m), EMU_OK);
	assert_int_equal(m->e.rip, 0x2000);
	assert_page_fault(m, 0x2000, 1 << 4);
	model_free(m);
}

static void test_code_faults(void **state)
{
	struct model *m = model_new(EMU_LONG);

	m->e.rip = 0x1ffe;
	CODE(m, 0x48, 0xb8);				/* mov $imm64: the rest isn't there */
	assert_page_fault(m, 0x2000, 1 << 4);
	model_map(m, 0x2000, PAGE_USER);
	assert_page_fault(m, 0x2000, 1 << 4 | 1);
	m->e.cpl = 3;
	model_map(m, 0x2000, PAGE_EXEC);
	assert_page_fault(m, 0x2000, 1 << 4 | 1 << 2 | 1);
	model_free(m);
}

static void test_code_limits(void **state)
{
	struct model *m = model_new(EMU_PROT32);

	m->seg[EMU_CS].base = 0x100000;
	m->seg[EMU_CS].limit = 0x1001;
	m->e.rip = 0x1000;
	CODE(m, 0x89, 0xc3, 0x90);
	assert_int_equal(model_run(m), EMU_OK);		/* its last byte is the segment's */
	assert_fault(m, X86_GP, 0);
	m->e.rip = 0x1000;
	CODE(m, 0x90, 0x89, 0xc3);
	assert_int_equal(model_run(m), EMU_OK);
	assert_fault(m, X86_GP, 0);			/* ModRM lies behind the limit */
	model_free(m);
}

static void test_code_limit_in_real_mode(void **state)
{
	struct model *m = model_new(EMU_REAL);

	m->seg[EMU_CS].base = 0xf0000;
	m->e.rip = 0xffff;
	CODE(m, 0x90);
	assert_int_equal(model_run(m), EMU_OK);
	assert_int_equal(m->e.rip, 0x10000);
	assert_fault(m, X86_GP, 0);
	model_free(m);
}

/* What was decoded before is used again only for the same bytes, in the same kind of code. */
static void test_code_changes(void **state)
{
	struct model *m = model_new(EMU_PROT32);

	CODE(m, 0xb8, 1, 2, 3, 4, 0x90);
	assert_int_equal(model_run(m), EMU_OK);
	assert_int_equal(m->regs[EMU_RAX], 0x04030201);
	m->e.rip -= 5;
	model_put(m, m->e.rip + 4, "\5", 1);	/* the last byte of it */
	assert_int_equal(model_run(m), EMU_OK);
	assert_int_equal(m->regs[EMU_RAX], 0x05030201);
	m->e.rip -= 5;
	m->e.mode = EMU_PROT16;
	assert_int_equal(model_run(m), EMU_OK);
	assert_int_equal(m->e.rip, 0x1003);
	assert_int_equal(m->regs[EMU_RAX], 0x05030201);
	m->e.rip -= 3;
	m->e.mode = EMU_LONG;
	m->e.long_mode = true;
	model_put(m, m->e.rip, "\x48", 1);	/* REX, where DEC was */
	model_put(m, m->e.rip + 1, "\xff\xc0", 2);
	assert_int_equal(model_run(m), EMU_OK);
	assert_int_equal(m->regs[EMU_RAX], 0x05030202);
	m->e.rip -= 3;
	m->e.mode = EMU_PROT32;
	m->e.long_mode = false;
	assert_int_equal(model_run(m), EMU_OK);
	assert_int_equal(m->e.rip, 0x1001);
	assert_int_equal(m->regs[EMU_RAX], 0x05030201);
	model_free(m);
}

/* Real mode with a code segment left from 32-bit code isn't real mode with one of its own. */
static void test_code_in_both_real_modes(void **state)
{
	struct model *m = model_new(EMU_REAL);

	CODE(m, 0xb8, 1, 2, 3, 4);
	assert_int_equal(model_run(m), EMU_OK);
	assert_int_equal(m->e.rip, 0x1003);
	m->e.rip = 0x1000;
	m->e.real32 = true;
	assert_int_equal(model_run(m), EMU_OK);
	assert_int_equal(m->e.rip, 0x1005);
	assert_int_equal(m->regs[EMU_RAX], 0x04030201);
	model_free(m);
}

/* ... and if all of it can still be fetched. */
static void test_code_limit_falls(void **state)
{
	struct model *m = model_new(EMU_PROT32);
	int i;

	CODE(m, 0xb8, 1, 2, 3, 4);
	for (i = 0; i < 2; i++) {
		assert_int_equal(model_run(m), EMU_OK);
		m->e.rip = 0x1000;
	}
	m->seg[EMU_CS].limit = 0x1003;
	assert_fault(m, X86_GP, 0);
	m->seg[EMU_CS].limit++;
	assert_int_equal(model_run(m), EMU_OK);
	model_free(m);
}

/* Addresses are made of the registers each time; with RIP, of where it is. */
static void test_same_code_other_registers(void **state)
{
	struct model *m = model_new(EMU_LONG);
	int i;

	model_map(m, BUF, PAGE_ALL);
	for (i = 0; i < 3; i++) {
		m->e.rip = 0x1000;
		CODE(m, 0x88, 0x44, 0x9e, 0x10);	/* mov %al, 0x10(%rsi,%rbx,4) */
		m->regs[EMU_RAX] = 0x30 + i;
		m->regs[EMU_RSI] = BUF + i;
		m->regs[EMU_RBX] = 0x20 * i;
		assert_int_equal(model_run(m), EMU_OK);
		assert_int_equal(model_get(m, BUF + 0x10 + 0x81 * i, 1), 0x30 + i);
	}
	for (i = 0; i < 2; i++) {
		m->e.rip = 0x1000 + i * EMU_KEPT;
		CODE(m, 0x8a, 0x05, 0x10, 0, 0, 0);	/* mov 0x10(%rip), %al */
		model_put(m, m->e.rip + 0x16, &(u8){ 0x40 + i }, 1);
		assert_int_equal(model_run(m), EMU_OK);
		assert_int_equal(m->regs[EMU_RAX] & 0xff, 0x40 + i);
	}
	model_free(m);
}

static void test_non_canonical_code(void **state)
{
	struct model *m = model_new(EMU_LONG);

	m->e.rip = 0x7ffffffffffe;
	CODE(m, 0x48, 0xb8);
	assert_fault(m, X86_GP, 0);
	m->e.rip = 0x800000000000;
	assert_fault(m, X86_GP, 0);
	model_free(m);
}

static void test_too_long(void **state)
{
	static u8 bytes[32];
	struct model *m = model_new(EMU_LONG);

	memset(bytes, 0x66, sizeof(bytes));
	model_code(m, bytes, sizeof(bytes));
	assert_fault(m, X86_GP, 0);
	bytes[14] = 0x90;				/* 15 are fine */
	model_code(m, bytes, sizeof(bytes));
	assert_int_equal(model_run(m), EMU_OK);
	m->e.rip = 0x1000;
	bytes[14] = 0x8b;				/* and its ModRM is the 16th */
	model_code(m, bytes, sizeof(bytes));
	assert_fault(m, X86_GP, 0);
	model_free(m);
}

/* ---- undefined and unhandled ----------------------------------------------------------------- */

static void assert_outcome(enum emu_mode mode, enum emu_result want, const u8 *bytes, size_t len)
{
	struct model *m = model_new(mode);

	model_map(m, 0, PAGE_ALL);
	m->sys[EMU_CR4] = 1 << 9 | 1 << 18;	/* OSFXSR, OSXSAVE */
	m->sys[EMU_XCR0] = 7;
	model_code(m, bytes, len);
	if (want == EMU_FAULT)
		assert_fault(m, X86_UD, 0);
	else
		assert_int_equal(model_run(m), want);
	model_free(m);
}

#define BYTES(...) (const u8[]){ __VA_ARGS__ }, sizeof((const u8[]){ __VA_ARGS__ })

static void test_undefined(void **state)
{
	assert_outcome(EMU_LONG, EMU_FAULT, BYTES(0x0f, 0x0b));
	assert_outcome(EMU_LONG, EMU_FAULT, BYTES(0x06));
	assert_outcome(EMU_LONG, EMU_FAULT, BYTES(0xf0, 0x89, 0x00));		/* lock mov */
	assert_outcome(EMU_LONG, EMU_FAULT, BYTES(0xf0, 0x01, 0xc0));		/* lock add reg */
	assert_outcome(EMU_LONG, EMU_FAULT, BYTES(0xf0, 0x38, 0x00));		/* lock cmp */
	assert_outcome(EMU_LONG, EMU_FAULT, BYTES(0xf0, 0xa5));
	assert_outcome(EMU_LONG, EMU_FAULT, BYTES(0xf0, 0x90));
	assert_outcome(EMU_LONG, EMU_FAULT, BYTES(0x8d, 0xc0));			/* lea reg */
	assert_outcome(EMU_LONG, EMU_FAULT, BYTES(0xc6, 0x08, 0x00));		/* group 11 */
	assert_outcome(EMU_LONG, EMU_FAULT, BYTES(0x8c, 0xf0));			/* sreg 6 */
	assert_outcome(EMU_LONG, EMU_FAULT, BYTES(0x66, 0x0f, 0xc3, 0x00));	/* movnti */
	assert_outcome(EMU_LONG, EMU_FAULT, BYTES(0x66, 0xc5, 0xf8, 0x28, 0xc0));
	assert_outcome(EMU_LONG, EMU_FAULT, BYTES(0x0f, 0xba, 0x00, 0x00));
	assert_outcome(EMU_REAL, EMU_FAULT, BYTES(0xc4, 0xc0));			/* les reg */
	assert_outcome(EMU_VM86, EMU_FAULT, BYTES(0x62, 0xf1));
}

static void test_unhandled(void **state)
{
	assert_outcome(EMU_LONG, EMU_UNHANDLED, BYTES(0xc5, 0xf8, 0x28, 0xc0));	/* vmovaps */
	assert_outcome(EMU_PROT32, EMU_UNHANDLED, BYTES(0xc5, 0xf8, 0x28, 0xc0));
	assert_outcome(EMU_LONG, EMU_UNHANDLED, BYTES(0x0f, 0x58, 0x00));	/* addps */
	assert_outcome(EMU_LONG, EMU_UNHANDLED, BYTES(0xd8, 0x00));		/* fadd */
	assert_outcome(EMU_LONG, EMU_UNHANDLED, BYTES(0x0f, 0xae, 0x00));	/* fxsave */
	assert_outcome(EMU_LONG, EMU_UNHANDLED, BYTES(0x0f, 0xc7, 0xf0));	/* rdrand */
	assert_outcome(EMU_LONG, EMU_UNHANDLED, BYTES(0x66, 0x0f, 0x38, 0xf8, 0x00));	/* movdir64b */
}

static void test_rf_and_rip(void **state)
{
	struct model *m = model_new(EMU_PROT32);

	m->e.rflags |= 0x10000;
	m->e.rip = 0xffffffff;
	CODE(m, 0x90);
	assert_int_equal(model_run(m), EMU_OK);
	assert_int_equal(m->e.rip, 0);
	assert_int_equal(m->e.rflags, 2);
	model_free(m);
}

/* ---- segments -------------------------------------------------------------------------------- */

/* mov %eax, (%ebx) in 32-bit code */
static struct model *store32(void)
{
	struct model *m = model_new(EMU_PROT32);

	CODE(m, 0x89, 0x03);
	model_map(m, BUF, PAGE_ALL);
	m->regs[EMU_RBX] = BUF;
	m->regs[EMU_RAX] = 0x12345678;
	return m;
}

static void test_segment_limit(void **state)
{
	struct model *m = store32();

	m->seg[EMU_DS].limit = BUF + 3;
	assert_int_equal(model_run(m), EMU_OK);
	m->e.rip = 0x1000;
	m->seg[EMU_DS].limit = BUF + 2;
	assert_fault(m, X86_GP, 0);
	CODE(m, 0x36, 0x89, 0x03);			/* %ss: */
	m->seg[EMU_SS].limit = BUF + 2;
	assert_fault(m, X86_SS, 0);
	m->seg[EMU_SS].limit = ~0;
	assert_int_equal(model_run(m), EMU_OK);
	model_free(m);
}

static void test_expand_down(void **state)
{
	struct model *m = store32();

	m->seg[EMU_DS].type = 7;
	m->seg[EMU_DS].limit = BUF - 1;
	assert_int_equal(model_run(m), EMU_OK);
	m->e.rip = 0x1000;
	m->seg[EMU_DS].limit = BUF;
	assert_fault(m, X86_GP, 0);
	m->seg[EMU_DS].limit = 0xfff;
	m->seg[EMU_DS].db = 0;				/* its end is 64K */
	assert_fault(m, X86_GP, 0);
	m->regs[EMU_RBX] = 0xfffd;
	assert_fault(m, X86_GP, 0);
	m->regs[EMU_RBX] = 0xfffc;
	model_map(m, 0xf000, PAGE_ALL);
	assert_int_equal(model_run(m), EMU_OK);
	model_free(m);
}

static void test_segment_types(void **state)
{
	struct model *m = store32();

	m->seg[EMU_DS].type = 1;			/* read-only */
	assert_fault(m, X86_GP, 0);
	m->seg[EMU_DS].type = 11;			/* code */
	assert_fault(m, X86_GP, 0);
	CODE(m, 0x8b, 0x03);
	assert_int_equal(model_run(m), EMU_OK);
	m->e.rip = 0x1000;
	m->seg[EMU_DS].type = 9;			/* execute-only */
	assert_fault(m, X86_GP, 0);
	m->seg[EMU_DS] = (struct minivmm_segment){ .unusable = 1 };
	assert_fault(m, X86_GP, 0);
	CODE(m, 0x8b, 0x45, 0x00);			/* 0(%ebp) is in SS */
	m->seg[EMU_SS].unusable = 1;
	m->regs[EMU_RBP] = BUF;
	assert_fault(m, X86_SS, 0);
	model_free(m);
}

static void test_base_and_wrap(void **state)
{
	struct model *m = store32();

	m->seg[EMU_DS].base = 0xfffff000;
	m->regs[EMU_RBX] = BUF + 0x1010;
	assert_int_equal(model_run(m), EMU_OK);
	assert_int_equal(model_get(m, BUF + 0x10, 4), 0x12345678);
	model_free(m);
}

/* Four bytes at the end of the address space, two of them at its beginning. */
static void test_wrap_at_4g(void **state)
{
	struct model *m = store32();

	model_map(m, 0xfffff000, PAGE_ALL);
	m->seg[EMU_DS].base = 0xfffffffe;
	m->regs[EMU_RBX] = 0;
	assert_page_fault(m, 0, 2);
	model_map(m, 0, PAGE_ALL);
	assert_int_equal(model_run(m), EMU_OK);
	assert_int_equal(model_get(m, 0xfffffffe, 2), 0x5678);
	assert_int_equal(model_get(m, 0, 2), 0x1234);
	model_free(m);
}

static void test_long_mode_ignores_segments(void **state)
{
	struct model *m = model_new(EMU_LONG);

	model_map(m, BUF, PAGE_ALL);
	model_put(m, BUF, "abcdefgh", 8);
	m->seg[EMU_DS] = (struct minivmm_segment){ .unusable = 1, .base = 0x5000 };
	m->seg[EMU_FS].base = 0x100;
	m->regs[EMU_RBX] = BUF;
	CODE(m, 0x8b, 0x03);
	assert_int_equal(model_run(m), EMU_OK);
	assert_memory_equal(&m->regs[EMU_RAX], "abcd\0\0\0\0", 8);
	m->e.rip = 0x1000;
	m->regs[EMU_RBX] = BUF - 0x100 + 4;
	CODE(m, 0x64, 0x3e, 0x8b, 0x03);		/* the 3e changes nothing */
	assert_int_equal(model_run(m), EMU_OK);
	assert_memory_equal(&m->regs[EMU_RAX], "efgh\0\0\0\0", 8);
	model_free(m);
}

static void test_canonical(void **state)
{
	struct model *m = model_new(EMU_LONG);

	CODE(m, 0x8b, 0x03);
	m->regs[EMU_RBX] = 0x800000000000;
	assert_fault(m, X86_GP, 0);
	m->regs[EMU_RBX] = 0x7ffffffffffd;		/* its last byte isn't */
	assert_fault(m, X86_GP, 0);
	m->regs[EMU_RBX] = 0x7ffffffffffc;
	assert_page_fault(m, 0x7ffffffffffc, 0);
	m->regs[EMU_RBX] = 0xffff7fffffffffff;
	assert_fault(m, X86_GP, 0);
	CODE(m, 0x8b, 0x04, 0x24);			/* (%rsp) */
	m->regs[EMU_RSP] = 0x800000000000;
	assert_fault(m, X86_SS, 0);
	model_free(m);
}

static void test_16_bit_addresses(void **state)
{
	struct model *m = model_new(EMU_REAL);

	model_map(m, 0x20000, PAGE_ALL);
	model_map(m, 0x2f000, PAGE_ALL);
	m->seg[EMU_DS].base = 0x20000;
	m->regs[EMU_RBX] = 0x1234fff0;
	m->regs[EMU_RSI] = 0x20;
	m->regs[EMU_RAX] = 0xabcd;
	CODE(m, 0x89, 0x40, 0x01);			/* mov %ax, 1(%bx,%si) */
	assert_int_equal(model_run(m), EMU_OK);
	assert_int_equal(model_get(m, 0x20011, 2), 0xabcd);
	m->e.rip = 0x1000;
	m->regs[EMU_RBX] = 0xffff;
	m->regs[EMU_RSI] = 0;
	CODE(m, 0x89, 0x00);				/* beyond the limit, not around it */
	assert_fault(m, X86_GP, 0);
	CODE(m, 0x88, 0x00);
	assert_int_equal(model_run(m), EMU_OK);
	assert_int_equal(model_get(m, 0x2ffff, 1), 0xcd);
	model_free(m);
}

/* "Big real mode": 32-bit addresses with a limit of 4G. */
static void test_big_real_mode(void **state)
{
	struct model *m = model_new(EMU_REAL);

	CODE(m, 0x67, 0x66, 0x89, 0x03);
	model_map(m, 0x100000, PAGE_ALL);
	m->regs[EMU_RBX] = 0x100010;
	m->regs[EMU_RAX] = 0x11223344;
	assert_fault(m, X86_GP, 0);
	m->seg[EMU_DS].limit = ~0;
	m->seg[EMU_DS].type = 0;			/* types don't matter there */
	assert_int_equal(model_run(m), EMU_OK);
	assert_int_equal(model_get(m, 0x100010, 4), 0x11223344);
	model_free(m);
}

static void test_store_of_segment_registers(void **state)
{
	struct model *m = model_new(EMU_LONG);

	model_map(m, BUF, PAGE_ALL);
	memset(model_at(m, BUF), 0xee, 8);
	m->regs[EMU_RBX] = BUF;
	m->regs[EMU_RAX] = ~0ull;
	m->seg[EMU_GS].selector = 0x1234;
	CODE(m, 0x48, 0x8c, 0x2b, 0x8c, 0xe8);
	assert_int_equal(model_run(m), EMU_OK);
	assert_int_equal(model_get(m, BUF, 4), 0xeeee1234);
	assert_int_equal(model_run(m), EMU_OK);
	assert_int_equal(m->regs[EMU_RAX], 0x1234);
	model_free(m);
}

/* ---- pages ----------------------------------------------------------------------------------- */

static struct model *access_at_boundary(u8 opcode)
{
	struct model *m = model_new(EMU_LONG);

	CODE(m, 0x48, opcode, 0x03);
	m->regs[EMU_RBX] = BUF + 0xffd;
	m->regs[EMU_RAX] = 0x1122334455667788;
	return m;
}

static void test_write_across_pages(void **state)
{
	struct model *m = access_at_boundary(0x89);

	model_map(m, BUF, PAGE_ALL);
	memset(model_at(m, BUF), 0xee, 4096);
	assert_page_fault(m, BUF + 0x1000, 2);
	model_map(m, BUF + 0x1000, PAGE_USER);		/* read-only */
	assert_page_fault(m, BUF + 0x1000, 3);
	assert_int_equal(model_get(m, BUF + 0xffd, 3), 0xeeeeee);
	model_map(m, BUF + 0x1000, PAGE_ALL);
	assert_int_equal(model_run(m), EMU_OK);
	assert_int_equal(model_get(m, BUF + 0xffd, 8), 0x1122334455667788);
	model_free(m);
}

static void test_read_across_pages(void **state)
{
	struct model *m = access_at_boundary(0x8b);

	model_map(m, BUF, PAGE_ALL);
	assert_page_fault(m, BUF + 0x1000, 0);
	model_map(m, BUF + 0x1000, PAGE_ALL);
	model_put(m, BUF + 0xffd, "abcdefgh", 8);
	assert_int_equal(model_run(m), EMU_OK);
	assert_memory_equal(&m->regs[EMU_RAX], "abcdefgh", 8);
	model_free(m);
}

/* A read that will be followed by a write faults as a write does. */
static void test_read_modify_write_faults(void **state)
{
	struct model *m = access_at_boundary(0x01);

	m->regs[EMU_RBX] = BUF;
	model_map(m, BUF, PAGE_USER);
	assert_page_fault(m, BUF, 3);
	m->e.cpl = 3;
	model_map(m, 0x1000, PAGE_ALL);
	assert_page_fault(m, BUF, 7);
	model_map(m, BUF, PAGE_WRITE);			/* the kernel's */
	assert_page_fault(m, BUF, 7);
	model_free(m);
}

static void test_locked_race(void **state)
{
	struct model *m = model_new(EMU_LONG);

	CODE(m, 0xf0, 0x48, 0x01, 0x03);
	model_map(m, BUF, PAGE_ALL);
	m->regs[EMU_RBX] = BUF;
	m->regs[EMU_RAX] = 1;
	m->race = 0x10;
	assert_int_equal(model_run(m), EMU_RETRY);
	assert_int_equal(m->e.rip, 0x1000);
	m->race = 0;
	assert_int_equal(model_run(m), EMU_OK);
	assert_int_equal(model_get(m, BUF, 8), 1);
	model_free(m);
}

/* XCHG with memory is locked without being told. */
static void test_xchg_is_locked(void **state)
{
	struct model *m = model_new(EMU_LONG);

	CODE(m, 0x87, 0x03);
	model_map(m, BUF, PAGE_ALL);
	m->regs[EMU_RBX] = BUF;
	m->race = 1;
	assert_int_equal(model_run(m), EMU_RETRY);
	model_free(m);
}

/* ---- devices --------------------------------------------------------------------------------- */

static struct model *with_device(const u8 *code, size_t len)
{
	struct model *m = model_new(EMU_LONG);

	model_code(m, code, len);
	model_map(m, MMIO, PAGE_ALL | PAGE_DEVICE);
	model_map(m, MMIO + 0x1000, PAGE_ALL | PAGE_DEVICE);
	model_map(m, BUF, PAGE_ALL);
	m->regs[EMU_RBX] = MMIO;
	m->stop_on_write = true;
	return m;
}

static void assert_write(struct model *m, int i, u64 address, u64 value, unsigned int size)
{
	assert_true(i < m->nr_writes);
	assert_int_equal(m->writes[i].address, address);
	assert_int_equal(m->writes[i].size, size);
	assert_int_equal(m->writes[i].value, value);
}

static void test_device_read(void **state)
{
	struct model *m = with_device(BYTES(0x8b, 0x43, 0x10));

	m->regs[EMU_RAX] = ~0ull;
	assert_int_equal(model_run(m), EMU_IO);
	assert_int_equal(m->wanted.address, MMIO + 0x10);
	assert_int_equal(m->wanted.size, 4);
	assert_int_equal(m->e.rip, 0x1000);
	assert_int_equal(m->regs[EMU_RAX], ~0ull);
	assert_int_equal(model_run_io(m, answer), EMU_OK);
	assert_int_equal(m->regs[EMU_RAX], (u32)answer(0x10));
	model_free(m);
}

/* Two reads, the first of which isn't done twice. */
static void test_device_read_across_pages(void **state)
{
	struct model *m = with_device(BYTES(0x48, 0x8b, 0x03));

	m->regs[EMU_RBX] = MMIO + 0xffe;
	assert_int_equal(model_run(m), EMU_IO);
	assert_int_equal(m->wanted.size, 2);
	m->wanted.value = 0x2211;
	m->answers[m->nr_answers++] = m->wanted;
	assert_int_equal(model_run(m), EMU_IO);
	assert_int_equal(m->wanted.address, MMIO + 0x1000);
	assert_int_equal(m->wanted.size, 6);
	m->wanted.value = 0x887766554433;
	m->answers[m->nr_answers++] = m->wanted;
	assert_int_equal(model_run(m), EMU_OK);
	assert_int_equal(m->regs[EMU_RAX], 0x8877665544332211);
	model_free(m);
}

static void test_device_read_modify_write(void **state)
{
	struct model *m = with_device(BYTES(0xf0, 0x83, 0x0b, 0x01));	/* lock orl $1 */

	assert_int_equal(model_run_io(m, answer), EMU_OK);
	assert_int_equal(m->nr_writes, 1);
	assert_write(m, 0, MMIO, (u32)ANSWER | 1, 4);
	model_free(m);
}

static void test_device_compare(void **state)
{
	struct model *m = with_device(BYTES(0x81, 0x3b, 0xf8, 0xf7, 0xf6, 0xf5));	/* cmpl */

	assert_int_equal(model_run_io(m, answer), EMU_OK);
	assert_int_equal(m->nr_writes, 0);
	assert_int_equal(m->e.rflags & 0x8d5, 0x44);
	model_free(m);
}

static void test_device_to_device(void **state)
{
	struct model *m = with_device(BYTES(0xf3, 0xa5));		/* rep movsl */
	int i;

	m->regs[EMU_RSI] = MMIO;
	m->regs[EMU_RDI] = MMIO + 0x800;
	m->regs[EMU_RCX] = 3;
	assert_int_equal(model_run_io(m, answer), EMU_OK);
	assert_int_equal(m->nr_writes, 3);
	for (i = 0; i < 3; i++)
		assert_write(m, i, MMIO + 0x800 + 4 * i, (u32)answer(4 * i), 4);
	assert_int_equal(m->regs[EMU_RCX], 0);
	assert_int_equal(m->regs[EMU_RSI], MMIO + 12);
	model_free(m);
}

/* From memory into a device: what was done before the device's page is done once. */
static void test_rep_reaches_device(void **state)
{
	struct model *m = with_device(BYTES(0xf3, 0xaa));		/* rep stosb */

	model_map(m, MMIO - 0x1000, PAGE_ALL);
	m->regs[EMU_RAX] = 0x5a;
	m->regs[EMU_RDI] = MMIO - 2;
	m->regs[EMU_RCX] = 4;
	assert_int_equal(model_run(m), EMU_PART);
	assert_int_equal(m->regs[EMU_RCX], 1);
	assert_int_equal(m->e.rip, 0x1000);
	assert_int_equal(m->e.rflags, 0x10002);		/* RF */
	assert_int_equal(model_run(m), EMU_OK);
	assert_int_equal(m->e.rflags, 2);
	assert_int_equal(m->nr_writes, 2);
	assert_write(m, 1, MMIO + 1, 0x5a, 1);
	assert_int_equal(model_get(m, MMIO - 2, 2), 0x5a5a);
	model_free(m);
}

/* ---- REP ------------------------------------------------------------------------------------- */

static struct model *rep(u8 opcode, u64 count)
{
	struct model *m = model_new(EMU_LONG);

	CODE(m, 0xf3, opcode);
	model_map(m, BUF, PAGE_ALL);
	model_map(m, BUF + 0x1000, PAGE_ALL);
	m->regs[EMU_RCX] = count;
	m->regs[EMU_RSI] = BUF;
	m->regs[EMU_RDI] = BUF + 0x800;
	return m;
}

static void test_rep_in_batches(void **state)
{
	struct model *m = rep(0xaa, 2500);
	int runs = 1;

	m->e.batch = 1000;
	m->regs[EMU_RDI] = BUF;
	m->regs[EMU_RAX] = 0x77;
	while (model_run(m) == EMU_PART) {
		assert_int_equal(m->regs[EMU_RCX], 2500 - 1000 * runs++);
		assert_int_equal(m->e.rip, 0x1000);
	}
	assert_int_equal(runs, 3);
	assert_int_equal(m->e.rip, 0x1002);
	assert_int_equal(m->nr_memory_writes, 2500);
	assert_int_equal(model_get(m, BUF + 2499, 2), 0x77);
	model_free(m);
}

/* An iteration that faults leaves those before it done, and shows its fault the next time. */
static void test_rep_faults_in_the_middle(void **state)
{
	struct model *m = rep(0xa5, 0x500);

	m->regs[EMU_RDI] = BUF + 0x1800;
	assert_int_equal(model_run(m), EMU_PART);
	assert_int_equal(m->regs[EMU_RCX], 0x300);
	assert_int_equal(m->regs[EMU_RDI], BUF + 0x2000);
	assert_int_equal(m->regs[EMU_RSI], BUF + 0x800);
	assert_page_fault(m, BUF + 0x2000, 2);
	model_free(m);
}

static void test_rep_of_nothing(void **state)
{
	struct model *m = rep(0xa5, 0);

	m->regs[EMU_RSI] = 0x800000000000;
	assert_int_equal(model_run(m), EMU_OK);
	assert_int_equal(m->e.rip, 0x1002);
	assert_int_equal(m->regs[EMU_RSI], 0x800000000000);
	model_free(m);
}

static void test_backward(void **state)
{
	struct model *m = rep(0xa4, 3);

	m->e.rflags |= 0x400;
	model_put(m, BUF, "abc", 3);
	m->regs[EMU_RSI] = BUF + 2;
	m->regs[EMU_RDI] = BUF + 3;
	assert_int_equal(model_run(m), EMU_OK);
	assert_memory_equal(model_at(m, BUF), "aabc", 4);
	assert_int_equal(m->regs[EMU_RSI], BUF - 1);
	model_free(m);
}

static void test_overlap_forward(void **state)
{
	struct model *m = rep(0xa4, 7);

	model_put(m, BUF, "ab", 2);
	m->regs[EMU_RDI] = BUF + 2;
	assert_int_equal(model_run(m), EMU_OK);
	assert_memory_equal(model_at(m, BUF), "ababababa", 9);
	model_free(m);
}

static void test_string_wraps_at_64k(void **state)
{
	struct model *m = model_new(EMU_REAL);

	CODE(m, 0xf3, 0xaa);
	model_map(m, 0x2f000, PAGE_ALL);
	model_map(m, 0x20000, PAGE_ALL);
	m->seg[EMU_ES].base = 0x20000;
	m->regs[EMU_RDI] = 0xabcdfffe;
	m->regs[EMU_RCX] = 0x12340004;
	m->regs[EMU_RAX] = 0x99;
	assert_int_equal(model_run(m), EMU_OK);
	assert_int_equal(m->regs[EMU_RDI], 0xabcd0002);
	assert_int_equal(m->regs[EMU_RCX], 0x12340000);
	assert_int_equal(model_get(m, 0x2fffe, 2), 0x9999);
	assert_int_equal(model_get(m, 0x20000, 3), 0x9999);
	model_free(m);
}

static void test_string_segments(void **state)
{
	struct model *m = model_new(EMU_PROT32);

	CODE(m, 0x64, 0xa4);				/* movsb %fs:(%esi), %es:(%edi) */
	model_map(m, BUF, PAGE_ALL);
	model_put(m, BUF + 0x10, "x", 1);
	m->seg[EMU_FS].base = BUF;
	m->seg[EMU_ES].base = BUF + 0x100;
	m->regs[EMU_RSI] = 0x10;
	assert_int_equal(model_run(m), EMU_OK);
	assert_int_equal(model_get(m, BUF + 0x100, 1), 'x');
	m->e.rip = 0x1000;
	m->seg[EMU_ES].limit = 0;			/* EDI is 1 now; no override changes ES */
	assert_fault(m, X86_GP, 0);
	model_free(m);
}

static void test_repe_stops(void **state)
{
	struct model *m = rep(0xa6, 10);		/* repe cmpsb */

	model_put(m, BUF, "abcdefghij", 10);
	model_put(m, BUF + 0x800, "abcXefghij", 10);
	assert_int_equal(model_run(m), EMU_OK);
	assert_int_equal(m->regs[EMU_RCX], 6);
	assert_int_equal(m->regs[EMU_RSI], BUF + 4);
	assert_int_equal(m->e.rflags & 0x40, 0);
	assert_int_equal(m->e.rip, 0x1002);
	model_free(m);
}

/* ---- ports ----------------------------------------------------------------------------------- */

static struct model *ports(u8 opcode, u64 count)
{
	struct model *m = rep(opcode, count);

	m->regs[EMU_RDX] = 0x123410f8;
	return m;
}

static void fill(struct model *m, u64 linear, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		*model_at(m, linear + i) = i * 7 + (i >> 8) + 1;
}

/* All that lies in one page goes out at once. */
static void test_outs_in_bulk(void **state)
{
	struct model *m = ports(0x6f, 0x300);

	m->regs[EMU_RSI] = BUF + 0xff8;
	fill(m, BUF + 0xff8, 0x1000);
	model_map(m, BUF + 0x1000, PAGE_ALL);
	m->stop_on_write = true;
	assert_int_equal(model_run(m), EMU_OK);
	assert_int_equal(m->port_accesses, 2);
	assert_int_equal(m->wanted.address, 0x10f8);
	assert_int_equal(m->wanted.size, 4);
	assert_int_equal(m->wanted.count, 0x2fe);
	assert_int_equal(m->port_out_len, 0xc00);
	assert_memory_equal(m->port_out, model_at(m, BUF + 0xff8), 8);
	assert_memory_equal(m->port_out + 8, model_at(m, BUF + 0x1000), 0xbf8);
	assert_int_equal(m->regs[EMU_RSI], BUF + 0xff8 + 0xc00);
	model_free(m);
}

static void test_outs_item_across_pages(void **state)
{
	struct model *m = ports(0x6f, 3);

	m->regs[EMU_RSI] = BUF + 0xffa;
	fill(m, BUF + 0xffa, 6);
	fill(m, BUF + 0x1000, 6);
	assert_int_equal(model_run(m), EMU_OK);
	assert_int_equal(m->port_out_len, 12);
	assert_memory_equal(m->port_out, model_at(m, BUF + 0xffa), 6);
	assert_memory_equal(m->port_out + 6, model_at(m, BUF + 0x1000), 6);
	model_free(m);
}

static void test_outs_faults_after_some(void **state)
{
	struct model *m = ports(0x6e, 20);

	m->regs[EMU_RSI] = BUF + 0x1ff0;
	assert_int_equal(model_run(m), EMU_PART);
	assert_int_equal(m->port_out_len, 16);
	assert_int_equal(m->regs[EMU_RCX], 4);
	assert_page_fault(m, BUF + 0x2000, 0);
	model_free(m);
}

static void test_outs_backward(void **state)
{
	struct model *m = ports(0x6e, 4);

	m->e.rflags |= 0x400;
	model_put(m, BUF, "abcd", 4);
	m->regs[EMU_RSI] = BUF + 3;
	assert_int_equal(model_run(m), EMU_OK);
	assert_memory_equal(m->port_out, "dcba", 4);
	model_free(m);
}

static void test_outs_from_device(void **state)
{
	struct model *m = with_device(BYTES(0xf3, 0x6e));

	m->regs[EMU_RSI] = MMIO;
	m->regs[EMU_RCX] = 3;
	assert_int_equal(model_run_io(m, answer), EMU_OK);
	assert_int_equal(m->port_out_len, 3);
	assert_memory_equal(m->port_out, "\xf8\xf9\xfa", 3);
	model_free(m);
}

static void test_ins_in_bulk(void **state)
{
	struct model *m = ports(0x6d, 8);		/* insw with 66: below */
	u8 data[32];
	int i;

	for (i = 0; i < 32; i++)
		data[i] = i + 1;
	m->regs[EMU_RDI] = BUF;
	assert_int_equal(model_run(m), EMU_IO);
	assert_int_equal(m->wanted.count, 8);
	assert_int_equal(m->wanted.size, 4);
	assert_int_equal(m->regs[EMU_RCX], 8);
	m->port_in = data;
	m->port_in_left = 32;
	m->port_max = 5;				/* the device has no more just now */
	assert_int_equal(model_run(m), EMU_OK);
	assert_memory_equal(model_at(m, BUF), data, 32);
	assert_int_equal(m->port_accesses, 2);
	assert_int_equal(m->regs[EMU_RDI], BUF + 32);
	model_free(m);
}

/* The port isn't read if its data had no place to go. */
static void test_ins_looks_first(void **state)
{
	struct model *m = ports(0x6c, 4);
	u8 data[4] = "abcd";

	m->regs[EMU_RDI] = BUF + 0x2000;
	m->port_in = data;
	m->port_in_left = 4;
	assert_page_fault(m, BUF + 0x2000, 2);
	assert_int_equal(m->port_in_left, 4);
	model_map(m, BUF + 0x2000, PAGE_USER);
	assert_page_fault(m, BUF + 0x2000, 3);
	m->regs[EMU_RDI] = BUF + 0x1ffe;		/* two have */
	assert_int_equal(model_run(m), EMU_PART);
	assert_int_equal(m->port_in_left, 2);
	model_free(m);
}

static void test_ins_limit(void **state)
{
	struct model *m = model_new(EMU_PROT32);
	u8 data[64] = { 0 };

	CODE(m, 0xf3, 0x6d);
	model_map(m, BUF, PAGE_ALL);
	m->seg[EMU_ES].limit = BUF + 10;
	m->regs[EMU_RDI] = BUF;
	m->regs[EMU_RCX] = 4;
	m->port_in = data;
	m->port_in_left = sizeof(data);
	assert_int_equal(model_run(m), EMU_PART);
	assert_int_equal(m->regs[EMU_RCX], 2);
	assert_int_equal(m->port_in_left, sizeof(data) - 8);
	assert_fault(m, X86_GP, 0);
	model_free(m);
}

static void test_in_out(void **state)
{
	struct model *m = model_new(EMU_LONG);

	m->regs[EMU_RDX] = 0x3f8;
	m->regs[EMU_RAX] = 0x1122334455667788;
	m->port_in = (const u8 *)"\x01\x02\x03\x04\x05\x06\x07\x08";
	m->port_in_left = 8;
	CODE(m, 0xec, 0x66, 0xed, 0xed, 0xe6, 0x80, 0x48, 0xef);
	assert_int_equal(model_run(m), EMU_OK);		/* in %dx, %al */
	assert_int_equal(m->regs[EMU_RAX], 0x1122334455667701);
	assert_int_equal(model_run(m), EMU_OK);		/* in %dx, %ax */
	assert_int_equal(m->regs[EMU_RAX], 0x1122334455660302);
	assert_int_equal(model_run(m), EMU_OK);		/* in %dx, %eax */
	assert_int_equal(m->regs[EMU_RAX], 0x07060504);
	assert_int_equal(model_run(m), EMU_OK);		/* out %al, $0x80 */
	assert_int_equal(m->wanted.address, 0x80);
	assert_int_equal(m->wanted.size, 1);
	assert_int_equal(model_run(m), EMU_OK);		/* REX.W doesn't make 8 bytes of it */
	assert_int_equal(m->wanted.address, 0x3f8);
	assert_int_equal(m->wanted.size, 4);
	model_free(m);
}

static void test_port_permission(void **state)
{
	struct model *m = model_new(EMU_PROT32);

	CODE(m, 0xee);
	m->e.cpl = 3;
	m->regs[EMU_RDX] = 0x3f9;
	m->seg[EMU_TR].base = 0x30000;
	m->seg[EMU_TR].limit = 0x68 + 0x80;
	model_map(m, 0x30000, PAGE_WRITE);		/* the kernel's */
	model_put(m, 0x30066, "\x68", 2);
	assert_int_equal(model_run(m), EMU_OK);
	m->e.rip = 0x1000;
	*model_at(m, 0x30068 + 0x7f) = 0x02;
	assert_fault(m, X86_GP, 0);
	m->e.rflags |= 0x3000;				/* IOPL 3 */
	assert_int_equal(model_run(m), EMU_OK);
	m->e.rip = 0x1000;
	m->e.mode = EMU_VM86;				/* where IOPL doesn't help */
	m->seg[EMU_CS].limit = 0xffff;
	assert_fault(m, X86_GP, 0);
	m->regs[EMU_RDX] = 0x3f8;
	assert_int_equal(model_run(m), EMU_OK);
	model_free(m);
}

static void test_port_bitmap_limits(void **state)
{
	struct model *m = model_new(EMU_PROT32);

	CODE(m, 0xef);					/* 4 ports */
	m->e.cpl = 3;
	m->regs[EMU_RDX] = 0x1e;			/* bits in two bytes */
	m->seg[EMU_TR].base = 0x30000;
	m->seg[EMU_TR].limit = 0x68 + 4;
	model_map(m, 0x30000, PAGE_WRITE);
	model_put(m, 0x30066, "\x68", 2);
	assert_int_equal(model_run(m), EMU_OK);
	m->e.rip = 0x1000;
	*model_at(m, 0x3006c) = 2;
	assert_fault(m, X86_GP, 0);
	*model_at(m, 0x3006c) = 4;
	assert_int_equal(model_run(m), EMU_OK);
	m->e.rip = 0x1000;
	m->seg[EMU_TR].limit--;
	assert_fault(m, X86_GP, 0);
	m->seg[EMU_TR].limit = 102;
	assert_fault(m, X86_GP, 0);
	m->seg[EMU_TR].limit = 0x1000;
	m->seg[EMU_TR].type = 3;			/* a 286 TSS has no bitmap */
	assert_fault(m, X86_GP, 0);
	model_free(m);
}

/* A 32-bit program under a 64-bit kernel, whose TSS lies high. */
static void test_port_bitmap_in_compatibility_mode(void **state)
{
	struct model *m = model_new(EMU_PROT32);

	CODE(m, 0xee);
	m->e.long_mode = true;
	m->e.cpl = 3;
	m->seg[EMU_TR].base = 0xfffffe0000003f99;	/* what is read first crosses a page */
	model_map(m, 0xfffffe0000003000, PAGE_WRITE);
	assert_page_fault(m, 0xfffffe0000004000, 0);
	model_map(m, 0xfffffe0000004000, PAGE_WRITE);
	model_put(m, 0xfffffe0000003fff, "\x68", 2);
	assert_int_equal(model_run(m), EMU_OK);
	m->e.rip = 0x1000;
	m->e.long_mode = false;
	assert_page_fault(m, 0x3fff, 0);
	model_free(m);
}

/* ---- a few values that the CPU of the test can't show ---------------------------------------- */

static void test_32_bit_encodings(void **state)
{
	struct model *m = model_new(EMU_PROT32);

	m->regs[EMU_RCX] = 0xffffffff;
	CODE(m, 0x41, 0x49, 0x66, 0x41);		/* inc %ecx; dec %ecx; inc %cx */
	m->e.rflags |= 1;				/* CF stays */
	assert_int_equal(model_run(m), EMU_OK);
	assert_int_equal(m->regs[EMU_RCX], 0);
	assert_int_equal(m->e.rflags & 0x8d5, 0x55);
	assert_int_equal(model_run(m), EMU_OK);
	assert_int_equal(m->regs[EMU_RCX], 0xffffffff);
	assert_int_equal(model_run(m), EMU_OK);
	assert_int_equal(m->regs[EMU_RCX], 0xffff0000);
	model_free(m);
}

static void test_no_base_with_rex_b(void **state)
{
	struct model *m = model_new(EMU_LONG);

	model_map(m, BUF, PAGE_ALL);
	model_put(m, BUF + 8, "r13?", 4);
	m->regs[13] = 0x1000;
	CODE(m, 0x41, 0x8b, 0x04, 0x25, 0x08, 0x00, 0x01, 0x00);
	assert_int_equal(model_run(m), EMU_OK);
	assert_memory_equal(&m->regs[EMU_RAX], "r13?", 4);
	model_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_code_across_pages),
		cmocka_unit_test(test_code_at_end_of_page),
		cmocka_unit_test(test_code_faults),
		cmocka_unit_test(test_code_limits),
		cmocka_unit_test(test_code_changes),
		cmocka_unit_test(test_code_in_both_real_modes),
		cmocka_unit_test(test_code_limit_falls),
		cmocka_unit_test(test_same_code_other_registers),
		cmocka_unit_test(test_code_limit_in_real_mode),
		cmocka_unit_test(test_non_canonical_code),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_undefined),
		cmocka_unit_test(test_unhandled),
		cmocka_unit_test(test_rf_and_rip),
		cmocka_unit_test(test_segment_limit),
		cmocka_unit_test(test_expand_down),
		cmocka_unit_test(test_segment_types),
		cmocka_unit_test(test_base_and_wrap),
		cmocka_unit_test(test_wrap_at_4g),
		cmocka_unit_test(test_long_mode_ignores_segments),
		cmocka_unit_test(test_canonical),
		cmocka_unit_test(test_16_bit_addresses),
		cmocka_unit_test(test_big_real_mode),
		cmocka_unit_test(test_store_of_segment_registers),
		cmocka_unit_test(test_write_across_pages),
		cmocka_unit_test(test_read_across_pages),
		cmocka_unit_test(test_read_modify_write_faults),
		cmocka_unit_test(test_locked_race),
		cmocka_unit_test(test_xchg_is_locked),
		cmocka_unit_test(test_device_read),
		cmocka_unit_test(test_device_read_across_pages),
		cmocka_unit_test(test_device_read_modify_write),
		cmocka_unit_test(test_device_compare),
		cmocka_unit_test(test_device_to_device),
		cmocka_unit_test(test_rep_reaches_device),
		cmocka_unit_test(test_rep_in_batches),
		cmocka_unit_test(test_rep_faults_in_the_middle),
		cmocka_unit_test(test_rep_of_nothing),
		cmocka_unit_test(test_backward),
		cmocka_unit_test(test_overlap_forward),
		cmocka_unit_test(test_string_wraps_at_64k),
		cmocka_unit_test(test_string_segments),
		cmocka_unit_test(test_repe_stops),
		cmocka_unit_test(test_outs_in_bulk),
		cmocka_unit_test(test_outs_item_across_pages),
		cmocka_unit_test(test_outs_faults_after_some),
		cmocka_unit_test(test_outs_backward),
		cmocka_unit_test(test_outs_from_device),
		cmocka_unit_test(test_ins_in_bulk),
		cmocka_unit_test(test_ins_looks_first),
		cmocka_unit_test(test_ins_limit),
		cmocka_unit_test(test_in_out),
		cmocka_unit_test(test_port_permission),
		cmocka_unit_test(test_port_bitmap_limits),
		cmocka_unit_test(test_port_bitmap_in_compatibility_mode),
		cmocka_unit_test(test_32_bit_encodings),
		cmocka_unit_test(test_no_base_with_rex_b),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
