// SPDX-License-Identifier: GPL-2.0
/*
 * Privileged instructions against a written model: what they change, and the faults that the SDM
 * lists for them.
 */
#include "model.h"

#define BUF	0x10000

static void assert_fault(struct model *m, u8 vector, u32 code)
{
	u64 regs[16], rip = m->e.rip;

	memcpy(regs, m->regs, sizeof(regs));
	assert_int_equal(model_run(m), EMU_FAULT);
	assert_int_equal(m->e.fault.vector, vector);
	assert_int_equal(m->e.fault.code, code);
	assert_int_equal(m->e.fault.has_code, vector != X86_UD && vector != X86_DB &&
					      vector != X86_NM && vector != X86_MF);
	assert_memory_equal(regs, m->regs, sizeof(regs));
	assert_int_equal(m->e.rip, rip);
	assert_int_equal(m->nr_memory_writes, 0);
	assert_int_equal(m->set_mask, 0);
}

/* ---- INVPCID --------------------------------------------------------------------------------- */

static struct model *with_invpcid(enum emu_mode mode, u64 type, u64 pcid, u64 linear)
{
	struct model *m = model_new(mode);
	u64 descriptor[2] = { pcid, linear };

	if (mode == EMU_REAL || mode == EMU_VM86 || mode == EMU_PROT16)
		CODE(m, 0x67, 0x66, 0x0f, 0x38, 0x82, 0x0b);
	else
		CODE(m, 0x66, 0x0f, 0x38, 0x82, 0x0b);	/* invpcid (%ebx), %ecx */
	model_map(m, BUF, PAGE_ALL);
	model_put(m, BUF + 0xf0, descriptor, sizeof(descriptor));
	m->seg[EMU_DS].limit = 0xffffffff;
	m->regs[EMU_RBX] = BUF + 0xf0;
	m->regs[EMU_RCX] = type;
	m->sys[EMU_CR4] = 1 << 17;
	m->e.cpl = mode == EMU_VM86 ? 3 : 0;
	return m;
}

static void test_invpcid(void **state)
{
	static const enum emu_mode modes[] = { EMU_REAL, EMU_PROT16, EMU_PROT32, EMU_LONG };
	unsigned int i, type;

	for (i = 0; i < 4; i++)
		for (type = 0; type < 4; type++) {
			struct model *m = with_invpcid(modes[i], type, 0xabc, 0xffff800012345678);

			/* outside of 64-bit code the register has 32 bits */
			if (modes[i] != EMU_LONG)
				m->regs[EMU_RCX] |= 1ull << 32;
			assert_int_equal(model_run(m), EMU_OK);
			assert_int_equal(m->invpcid.n, 1);
			assert_int_equal(m->invpcid.type, type);
			assert_int_equal(m->invpcid.pcid, 0xabc);
			assert_int_equal(m->invpcid.linear, 0xffff800012345678);
			model_free(m);
		}
}

static void assert_invpcid_fault(struct model *m, u8 vector)
{
	assert_fault(m, vector, 0);
	assert_int_equal(m->invpcid.n, 0);
	model_free(m);
}

static void test_invpcid_operands(void **state)
{
	enum emu_mode mode;
	struct model *m;
	u64 type;

	for (mode = EMU_REAL; mode <= EMU_LONG; mode++) {
		if (mode == EMU_VM86)
			continue;
		assert_invpcid_fault(with_invpcid(mode, 4, 0, 0), X86_GP);
		assert_invpcid_fault(with_invpcid(mode, 0, 0, 0x800000000000), X86_GP);
		for (type = 0; type < 4; type++) {
			assert_invpcid_fault(with_invpcid(mode, type, 0x1000, 0), X86_GP);
			assert_invpcid_fault(with_invpcid(mode, type, 1ull << 63, 0), X86_GP);
			m = with_invpcid(mode, type, 1, 0);
			m->sys[EMU_CR4] = 0;
			if (type < 2) {
				assert_invpcid_fault(m, X86_GP);
				continue;
			}
			assert_int_equal(model_run(m), EMU_OK);
			model_free(m);
			m = with_invpcid(mode, type, 0, 0x800000000000);
			assert_int_equal(model_run(m), EMU_OK);
			model_free(m);
		}
	}
	assert_invpcid_fault(with_invpcid(EMU_LONG, 1ull << 32, 0, 0), X86_GP);
}

static void test_invpcid_rights(void **state)
{
	struct model *m;

	assert_invpcid_fault(with_invpcid(EMU_VM86, 2, 0, 0), X86_GP);
	m = with_invpcid(EMU_LONG, 2, 0, 0);
	m->e.cpl = 1;
	assert_invpcid_fault(m, X86_GP);
	m = with_invpcid(EMU_LONG, 2, 0, 0);
	m->e.cpl = 3;
	m->no_invpcid = true;
	assert_invpcid_fault(m, X86_UD);
}

static void test_invpcid_memory(void **state)
{
	struct model *m = with_invpcid(EMU_PROT32, 2, 0, 0);

	m->seg[EMU_DS].limit = BUF + 0xfe;
	assert_invpcid_fault(m, X86_GP);
	m = with_invpcid(EMU_PROT32, 2, 0, 0);
	m->seg[EMU_DS].type = 8;
	assert_invpcid_fault(m, X86_GP);
	m = with_invpcid(EMU_LONG, 2, 0, 0);
	m->regs[EMU_RBX] = BUF + 0xff8;
	assert_fault(m, X86_PF, 0);
	assert_int_equal(m->e.fault.address, BUF + 0x1000);
	model_free(m);
}

static void test_invpcid_encodings(void **state)
{
	static const u8 wrong[][6] = {
		{ 0x66, 0x0f, 0x38, 0x82, 0xc8 }, { 0xf0, 0x66, 0x0f, 0x38, 0x82, 0x0b },
	};
	struct model *m;
	int i;

	for (i = 0; i < 2; i++) {
		m = with_invpcid(EMU_LONG, 2, 0, 0);
		model_code(m, wrong[i], 6);
		assert_invpcid_fault(m, X86_UD);
	}
	m = with_invpcid(EMU_LONG, 0, 0, 0);
	m->regs[10] = 3;
	m->regs[12] = BUF + 0xf0;
	CODE(m, 0x66, 0x4d, 0x0f, 0x38, 0x82, 0x14, 0x24);	/* invpcid (%r12), %r10 */
	assert_int_equal(model_run(m), EMU_OK);
	assert_int_equal(m->invpcid.type, 3);
	model_free(m);
}

/* ---- CLAC, STAC ------------------------------------------------------------------------------ */

#define AC	(1u << 18)

static void test_clac_and_stac(void **state)
{
	static const enum emu_mode modes[] = { EMU_REAL, EMU_PROT16, EMU_PROT32, EMU_LONG };
	struct model *m;
	unsigned int i, set;

	for (i = 0; i < ARRAY_SIZE(modes); i++)
		for (set = 0; set < 2; set++) {
			m = model_new(modes[i]);
			CODE(m, 0x0f, 0x01, 0xca + set);
			m->e.rflags = set ? 0x8d7 : AC | 0x8d7;
			assert_int_equal(model_run(m), EMU_OK);
			assert_int_equal(m->e.rflags, 0x8d7 | (set ? AC : 0));
			model_free(m);
		}
}

static void test_clac_and_stac_are_the_supervisors(void **state)
{
	struct model *m = model_new(EMU_LONG);

	CODE(m, 0x0f, 0x01, 0xcb);
	m->e.cpl = 3;
	assert_fault(m, X86_UD, 0);
	model_free(m);
	m = model_new(EMU_VM86);
	CODE(m, 0x0f, 0x01, 0xcb);
	m->e.cpl = 3;
	assert_fault(m, X86_UD, 0);
	model_free(m);
}

/* ---- descriptor tables and registers --------------------------------------------------------- */

#define GDT	0x20000
#define OFFSET	0x100		/* of operands in BUF; in 16-bit code too */

enum { CODE = 0x08, DATA = 0x10, LDT = 0x18, TSS = 0x28, USER = 0x38, GATE = 0x40 };

static const u64 gdt[] = {
	[CODE / 8] = 0x00cf9900000affff, [DATA / 8] = 0x0040930000001234,
	[LDT / 8] = 0x12008234567800ff, 0xffff8000, [TSS / 8] = 0x1200893456780067, 0xffff8000,
	[USER / 8] = 0x00cff3000000ffff, [GATE / 8] = 0x0000ec0000080000,
};

/* DS:(E)BX is at BUF + OFFSET. */
static struct model *new_guest(enum emu_mode mode)
{
	bool is_long = mode == EMU_LONG;
	struct model *m = model_new(mode);

	model_map(m, MODEL_CODE, PAGE_ALL);
	model_map(m, BUF, PAGE_ALL);
	model_map(m, GDT, PAGE_ALL);
	model_put(m, GDT, gdt, sizeof(gdt));
	m->table[0] = (struct minivmm_dtable){ .base = GDT, .limit = sizeof(gdt) - 1 };
	m->seg[EMU_CS].l = is_long;
	m->seg[EMU_CS].db = mode == EMU_PROT32;
	m->seg[EMU_DS].base = is_long ? 0 : BUF;
	m->regs[EMU_RBX] = is_long ? BUF + OFFSET : OFFSET;
	m->regs[EMU_RAX] = 0x1111222233334444;
	return m;
}

static u64 operand(struct model *m, unsigned int size)
{
	return model_get(m, BUF + OFFSET, size);
}

static void set_operand(struct model *m, u64 value, unsigned int size)
{
	model_set(m, BUF + OFFSET, value, size);
}

/* LGDT and LIDT, SGDT and SIDT: 0F 01 /0 to /3 on (%ebx). */
static void test_descriptor_tables(void **state)
{
	static const struct { enum emu_mode mode; u64 base, loaded; unsigned int size; } cases[] = {
		{ EMU_LONG, 0xffff812345678abc, 0xffff812345678abc, 8 },
		{ EMU_PROT32, 0x87654321, 0x87654321, 4 },
		{ EMU_REAL, 0x87654321, 0x654321, 4 },		/* 24 bits with 16-bit operands */
	};
	unsigned int i, idt;

	for (i = 0; i < ARRAY_SIZE(cases); i++)
		for (idt = 0; idt < 2; idt++) {
			struct model *m = new_guest(cases[i].mode);
			u8 modrm = (m->e.mode == EMU_REAL ? 7 : 3) | idt << 3;

			set_operand(m, 0xabcd, 2);
			model_set(m, BUF + OFFSET + 2, cases[i].base, cases[i].size);
			RUN(m, 0x0f, 0x01, modrm | 0x10);
			assert_int_equal(m->table[idt].limit, 0xabcd);
			assert_int_equal(m->table[idt].base, cases[i].loaded);
			m->table[idt].base = cases[i].base;
			m->table[idt].limit = 0x1357;
			RUN(m, 0x0f, 0x01, modrm);
			assert_int_equal(operand(m, 2), 0x1357);
			assert_int_equal(model_get(m, BUF + OFFSET + 2, cases[i].size),
					 cases[i].base);
			m->e.cpl = 3;
			m->nr_memory_writes = 0;
			m->e.rip = MODEL_CODE;
			CODE(m, 0x0f, 0x01, modrm | 0x10);
			assert_fault(m, X86_GP, 0);
			m->sys[EMU_CR4] = 1 << 11;		/* UMIP */
			CODE(m, 0x0f, 0x01, modrm);
			assert_fault(m, X86_GP, 0);
			model_free(m);
		}
}

/* SLDT and STR: as much of a register as the operand size says, 2 bytes of memory. */
static void test_store_selectors(void **state)
{
	static const u64 want[] = { 0x111122223333beef, 0xbeef, 0xbeef };
	unsigned int str, i;

	for (str = 0; str < 2; str++) {
		struct model *m = new_guest(EMU_LONG);
		static const u8 prefixes[] = { 0x66, 0x3e, 0x48 };

		m->seg[str ? EMU_TR : EMU_LDTR].selector = 0xbeef;
		for (i = 0; i < 3; i++) {
			m->regs[EMU_RAX] = 0x1111222233334444;
			RUN(m, prefixes[i], 0x0f, 0x00, 0xc0 | str << 3);
			assert_int_equal(m->regs[EMU_RAX], want[i]);
		}
		set_operand(m, 0x55555555, 4);
		RUN(m, 0x0f, 0x00, 0x03 | str << 3);
		assert_int_equal(operand(m, 4), 0x5555beef);
		m->e.cpl = 3;
		m->sys[EMU_CR4] = 1 << 11;
		m->nr_memory_writes = 0;
		m->e.rip = MODEL_CODE;
		assert_fault(m, X86_GP, 0);
		model_free(m);
	}
}

static void test_lldt_and_ltr(void **state)
{
	static const enum emu_mode modes[] = { EMU_PROT32, EMU_LONG };
	unsigned int i, mem;

	for (i = 0; i < 2; i++)
		for (mem = 0; mem < 2; mem++) {
			u64 base = i ? 0xffff800012345678 : 0x12345678;
			struct model *m = new_guest(modes[i]);

			m->e.long_mode = i;
			m->regs[EMU_RAX] = LDT;
			set_operand(m, LDT, 2);
			RUN(m, 0x0f, 0x00, mem ? 0x13 : 0xd0);
			assert_int_equal(m->seg[EMU_LDTR].selector, LDT);
			assert_int_equal(m->seg[EMU_LDTR].base, base);
			assert_int_equal(m->seg[EMU_LDTR].limit, 0xff);
			m->regs[EMU_RAX] = TSS;
			set_operand(m, TSS, 2);
			RUN(m, 0x0f, 0x00, mem ? 0x1b : 0xd8);
			assert_int_equal(m->seg[EMU_TR].selector, TSS);
			assert_int_equal(m->seg[EMU_TR].base, base);
			assert_int_equal(m->seg[EMU_TR].type, 11);
			assert_int_equal(model_get(m, GDT + TSS + 5, 1), 0x8b);
			m->nr_memory_writes = 0;
			m->e.rip = MODEL_CODE;
			assert_fault(m, X86_GP, TSS);		/* busy now */
			m->e.cpl = 3;
			assert_fault(m, X86_GP, 0);
			model_free(m);
		}
}

static bool zero_flag(const struct model *m) { return m->e.rflags >> 6 & 1; }

/* LAR, LSL, VERR, VERW of each kind, by a program or not. */
static void test_asking_about_selectors(void **state)
{
	static const struct {
		u16 selector;
		u8 cpl, lar, lsl, verr, verw;
		u32 rights, limit;
	} cases[] = {
		{ CODE, 0, 1, 1, 0, 0, 0xcf9900, 0xffffffff },	/* only executed */
		{ DATA, 0, 1, 1, 1, 1, 0x409300, 0x1234 },
		{ DATA, 3, 0, 0, 0, 0 },
		{ USER | 3, 3, 1, 1, 1, 1, 0xcff300, 0xffffffff },
		{ LDT, 0, 1, 1, 0, 0, 0x008200, 0xff },
		{ TSS, 0, 1, 1, 0, 0, 0x008900, 0x67 },
		{ GATE, 0, 1, 0, 0, 0, 0x00ec00 },
		{ 0, 0, 0, 0, 0, 0 }, { 0x48, 0, 0, 0, 0, 0 },	/* none, not there */
	};
	unsigned int i, size, mem;

	for (i = 0; i < ARRAY_SIZE(cases); i++)
		for (size = 2; size <= 8; size *= 2)
			for (mem = 0; mem < 2; mem++) {
				const u8 prefix = size == 2 ? 0x66 : size == 4 ? 0x3e : 0x48;
				u64 mask = size == 2 ? 0xffff : 0xffffffff, old, keep;
				struct model *m = new_guest(EMU_LONG);

				m->e.long_mode = false;		/* descriptors of 8 bytes */
				m->e.cpl = cases[i].cpl;
				m->regs[EMU_RCX] = cases[i].selector;
				set_operand(m, cases[i].selector, 2);
				keep = size == 2 ? 0x1111222233330000 : 0;
				old = 0x1111222233334444;
				RUN(m, prefix, 0x0f, 0x02, mem ? 0x03 : 0xc1);
				assert_int_equal(zero_flag(m), cases[i].lar);
				assert_int_equal(m->regs[EMU_RAX], cases[i].lar ?
						 keep | (cases[i].rights & mask) : old);
				m->regs[EMU_RAX] = old;
				RUN(m, prefix, 0x0f, 0x03, mem ? 0x03 : 0xc1);
				assert_int_equal(zero_flag(m), cases[i].lsl);
				assert_int_equal(m->regs[EMU_RAX], cases[i].lsl ?
						 keep | (cases[i].limit & mask) : old);
				RUN(m, 0x0f, 0x00, mem ? 0x23 : 0xe1);
				assert_int_equal(zero_flag(m), cases[i].verr);
				RUN(m, 0x0f, 0x00, mem ? 0x2b : 0xe9);
				assert_int_equal(zero_flag(m), cases[i].verw);
				model_free(m);
			}
}

static void test_arpl(void **state)
{
	struct model *m = new_guest(EMU_PROT32);

	m->regs[EMU_RAX] = 0x77770011;
	m->regs[EMU_RCX] = 0x66660003;
	RUN(m, 0x63, 0xc8);				/* arpl %cx, %ax */
	assert_int_equal(m->regs[EMU_RAX], 0x77770013);
	assert_true(zero_flag(m));
	m->regs[EMU_RCX] = 2;
	RUN(m, 0x63, 0xc8);
	assert_int_equal(m->regs[EMU_RAX], 0x77770013);
	assert_false(zero_flag(m));
	set_operand(m, 0x55551230, 4);
	RUN(m, 0x63, 0x0b);				/* (%ebx) */
	assert_int_equal(operand(m, 4), 0x55551232);
	assert_true(zero_flag(m));
	model_free(m);
}

/* MOV from a segment register in 64-bit code, and far pointers there. */
static void test_segments_in_64_bit_code(void **state)
{
	static const struct { u8 opcode, seg; } far[] = {
		{ 0xb2, EMU_SS }, { 0xb4, EMU_FS }, { 0xb5, EMU_GS },
	};
	unsigned int i;

	for (i = 0; i < 3; i++) {
		struct model *m = new_guest(EMU_LONG);

		set_operand(m, 0x8877665544332211, 8);
		model_set(m, BUF + OFFSET + 8, DATA, 2);
		RUN(m, 0x48, 0x0f, far[i].opcode, 0x13);
		assert_int_equal(m->regs[EMU_RDX], 0x8877665544332211);
		assert_int_equal(m->seg[far[i].seg].selector, DATA);
		assert_int_equal(m->seg[far[i].seg].limit, 0x1234);
		RUN(m, 0x48, 0x8c, 0xc0 | far[i].seg << 3);
		assert_int_equal(m->regs[EMU_RAX], DATA);
		model_free(m);
	}
}

/* ---- control and debug registers, MSRs ------------------------------------------------------- */

/* Whatever the mod field says, it is a register. */
static void test_control_and_debug_registers(void **state)
{
	static const enum emu_mode modes[] = { EMU_REAL, EMU_PROT32, EMU_LONG };
	static const u8 crs[] = { 0, 2, 3, 4 }, drs[] = { 0, 1, 2, 3, 6, 7 };
	unsigned int i, j, mod, dr;

	for (i = 0; i < 3; i++)
		for (j = 0; j < 10; j++)
			for (mod = 0; mod <= 0xc0; mod += 0x40) {
				struct model *m = new_guest(modes[i]);
				unsigned int reg = j < 4 ? crs[j] : drs[j - 4];
				unsigned int at = (j < 4 ? EMU_CR0 : EMU_DR0) + reg;

				dr = j >= 4;
				m->regs[EMU_RCX] = 0x1234567f;
				RUN(m, 0x0f, 0x22 | dr, mod | reg << 3 | EMU_RCX);
				assert_int_equal(m->sys[at], 0x1234567f);
				assert_true(m->e.out.what & EMU_MODE);
				m->sys[at] = 0x9abcdef0 & ~(1u << 13);
				m->regs[EMU_RDX] = ~0ull;
				RUN(m, 0x0f, 0x20 | dr, mod | reg << 3 | EMU_RDX);
				assert_int_equal(m->regs[EMU_RDX], 0x9abcdef0 & ~(1u << 13));
				m->e.cpl = 3;
				m->set_mask = 0;
				m->e.rip = MODEL_CODE;
				assert_fault(m, X86_GP, 0);
				model_free(m);
			}
}

static void test_task_priority(void **state)
{
	struct model *m = new_guest(EMU_LONG);

	m->regs[EMU_RCX] = 9;
	RUN(m, 0x44, 0x0f, 0x22, 0xc1);			/* mov %rcx, %cr8 */
	assert_int_equal(m->sys[EMU_CR8], 9);
	RUN(m, 0x44, 0x0f, 0x20, 0xc2);
	assert_int_equal(m->regs[EMU_RDX], 9);
	m->set_mask = 0;
	m->e.rip = MODEL_CODE;
	CODE(m, 0x0f, 0x22, 0xc9);			/* CR1 */
	assert_fault(m, X86_UD, 0);
	model_free(m);
}

/* DR4 is DR6, unless CR4.DE says otherwise; and DR7.GD guards them all. */
static void test_debug_registers_guarded(void **state)
{
	struct model *m = new_guest(EMU_PROT32);

	m->sys[EMU_DR6] = 0x00ff0ff0;
	RUN(m, 0x0f, 0x21, 0xe0);			/* mov %dr4, %eax */
	assert_int_equal(m->regs[EMU_RAX], 0x00ff0ff0);
	m->sys[EMU_CR4] = 1 << 3;
	m->e.rip = MODEL_CODE;
	assert_fault(m, X86_UD, 0);
	CODE(m, 0x0f, 0x21, 0xc0);
	m->sys[EMU_DR7] = 1 << 13 | 0x400;
	assert_int_equal(model_run(m), EMU_FAULT);
	assert_int_equal(m->e.fault.vector, X86_DB);
	assert_int_equal(m->sys[EMU_DR6], 0x00ff0ff0 | 1 << 13);
	assert_int_equal(m->sys[EMU_DR7], 0x400);
	model_free(m);
}

static void test_machine_status_word(void **state)
{
	struct model *m = new_guest(EMU_LONG);

	m->sys[EMU_CR0] = 0x80050033;
	RUN(m, 0x66, 0x0f, 0x01, 0xe0);			/* smsw %ax, %eax, %rax */
	assert_int_equal(m->regs[EMU_RAX], 0x1111222233330033);
	RUN(m, 0x0f, 0x01, 0xe0);
	assert_int_equal(m->regs[EMU_RAX], 0x80050033);
	m->regs[EMU_RAX] = ~0ull;
	RUN(m, 0x48, 0x0f, 0x01, 0xe0);
	assert_int_equal(m->regs[EMU_RAX], 0x80050033);
	set_operand(m, 0x55555555, 4);
	RUN(m, 0x0f, 0x01, 0x23);
	assert_int_equal(operand(m, 4), 0x55550033);
	m->regs[EMU_RAX] = 0xfffffff8;			/* MP, EM go; PE can't, TS comes */
	m->sys[EMU_CR0] = 0x80050037;
	RUN(m, 0x0f, 0x01, 0xf0);
	assert_int_equal(m->sys[EMU_CR0], 0x80050039);
	set_operand(m, 0x0006, 2);
	RUN(m, 0x0f, 0x01, 0x33);
	assert_int_equal(m->sys[EMU_CR0], 0x80050037);
	m->sys[EMU_CR0] = 0x8005003b;
	RUN(m, 0x0f, 0x06);				/* clts */
	assert_int_equal(m->sys[EMU_CR0], 0x80050033);
	model_free(m);
}

static void test_msrs(void **state)
{
	struct model *m = new_guest(EMU_LONG);

	m->msr[0].index = 0x1234;
	m->regs[EMU_RCX] = 0xffffffff00001234;
	m->regs[EMU_RAX] = 0xeeeeeeee11111111;
	m->regs[EMU_RDX] = 0xeeeeeeee22222222;
	RUN(m, 0x0f, 0x30);
	assert_int_equal(m->msr[0].value, 0x2222222211111111);
	m->msr[0].value = 0x4444444433333333;
	RUN(m, 0x0f, 0x32);
	assert_int_equal(m->regs[EMU_RAX], 0x33333333);
	assert_int_equal(m->regs[EMU_RDX], 0x44444444);
	m->regs[EMU_RCX] = 0x1235;
	m->e.rip = MODEL_CODE;
	assert_fault(m, X86_GP, 0);
	m->e.cpl = 3;
	m->regs[EMU_RCX] = 0x1234;
	assert_fault(m, X86_GP, 0);
	model_free(m);
}

static void test_extended_control_register(void **state)
{
	struct model *m = new_guest(EMU_LONG);

	m->e.rip = MODEL_CODE;
	CODE(m, 0x0f, 0x01, 0xd0);
	assert_fault(m, X86_UD, 0);			/* without CR4.OSXSAVE */
	m->sys[EMU_CR4] = 1 << 18;
	m->sys[EMU_XCR0] = 0x700000003;
	m->regs[EMU_RCX] = 0;
	RUN(m, 0x0f, 0x01, 0xd0);
	assert_int_equal(m->regs[EMU_RAX], 3);
	assert_int_equal(m->regs[EMU_RDX], 7);
	m->regs[EMU_RDX] = 0;
	m->regs[EMU_RAX] = 7;
	RUN(m, 0x0f, 0x01, 0xd1);
	assert_int_equal(m->sys[EMU_XCR0], 7);
	m->set_mask = 0;
	m->regs[EMU_RCX] = 1;
	m->e.rip = MODEL_CODE;
	assert_fault(m, X86_GP, 0);
	m->regs[EMU_RCX] = 0;
	m->e.cpl = 3;
	assert_fault(m, X86_GP, 0);
	model_free(m);
}

static void test_segment_bases(void **state)
{
	struct model *m = new_guest(EMU_LONG);
	unsigned int gs;

	m->msr[0].index = 0xc0000100;
	m->msr[1].index = 0xc0000101;
	m->msr[2].index = 0xc0000102;
	m->e.rip = MODEL_CODE;
	CODE(m, 0xf3, 0x0f, 0xae, 0xc0);
	assert_fault(m, X86_UD, 0);			/* without CR4.FSGSBASE */
	m->sys[EMU_CR4] = 1 << 16;
	m->e.cpl = 3;
	for (gs = 0; gs < 2; gs++) {
		m->regs[EMU_RCX] = 0x7fff12345678;
		RUN(m, 0xf3, 0x48, 0x0f, 0xae, 0xd1 | gs << 3);	/* wr?sbase %rcx */
		assert_int_equal(m->msr[gs].value, 0x7fff12345678);
		RUN(m, 0xf3, 0x0f, 0xae, 0xc2 | gs << 3);	/* rd?sbase %edx */
		assert_int_equal(m->regs[EMU_RDX], 0x12345678);
		RUN(m, 0xf3, 0x48, 0x0f, 0xae, 0xc2 | gs << 3);
		assert_int_equal(m->regs[EMU_RDX], 0x7fff12345678);
		RUN(m, 0xf3, 0x0f, 0xae, 0xd1 | gs << 3);
		assert_int_equal(m->msr[gs].value, 0x12345678);
	}
	m->e.rip = MODEL_CODE;
	CODE(m, 0x0f, 0x01, 0xf8);
	assert_fault(m, X86_GP, 0);
	m->e.cpl = 0;
	m->msr[2].value = 0xffff800000001000;
	RUN(m, 0x0f, 0x01, 0xf8);			/* swapgs */
	assert_int_equal(m->msr[1].value, 0xffff800000001000);
	assert_int_equal(m->msr[2].value, 0x12345678);
	model_free(m);
}

/* ---- counters, CPUID, and what does nothing but wait or flush -------------------------------- */

static void test_counters(void **state)
{
	struct model *m = new_guest(EMU_LONG);

	m->sys[EMU_TSC] = 0x4444444433333333;
	m->msr[0] = (typeof(m->msr[0])){ 0xc0000103, 0x55 };
	m->e.cpl = 3;
	RUN(m, 0x0f, 0x31);
	assert_int_equal(m->regs[EMU_RAX], 0x33333333);
	assert_int_equal(m->regs[EMU_RDX], 0x44444444);
	m->regs[EMU_RAX] = m->regs[EMU_RCX] = ~0ull;
	RUN(m, 0x0f, 0x01, 0xf9);
	assert_int_equal(m->regs[EMU_RAX], 0x33333333);
	assert_int_equal(m->regs[EMU_RCX], 0x55);
	m->regs[EMU_RCX] = ~0ull;
	RUN(m, 0xf3, 0x0f, 0xc7, 0xf9);			/* rdpid %rcx */
	assert_int_equal(m->regs[EMU_RCX], 0x55);
	m->no_rdpid = true;
	m->e.rip = MODEL_CODE;
	assert_fault(m, X86_UD, 0);
	CODE(m, 0x0f, 0x01, 0xf9);
	m->sys[EMU_CR4] = 1 << 2;			/* TSD */
	m->e.rip = MODEL_CODE;
	assert_fault(m, X86_GP, 0);
	CODE(m, 0x0f, 0x31);
	assert_fault(m, X86_GP, 0);
	model_free(m);
	m = new_guest(EMU_PROT32);
	m->msr[0] = (typeof(m->msr[0])){ 0xc0000103, 0x55 };
	RUN(m, 0xf3, 0x0f, 0xc7, 0xf9);
	assert_int_equal(m->regs[EMU_RCX], 0x55);
	model_free(m);
}

static void test_cpuid(void **state)
{
	struct model *m = new_guest(EMU_LONG);

	m->regs[EMU_RAX] = 0x8888888812345678;
	m->regs[EMU_RCX] = 0x888888889abcdef0;
	RUN(m, 0x0f, 0xa2);				/* as emu_host_cpuid() makes it up */
	assert_int_equal(m->regs[EMU_RBX], 0x12345678 ^ 0x11111111);
	assert_int_equal(m->regs[EMU_RDX], 0x9abcdef0 ^ 0x22222222);
	assert_int_equal(m->regs[EMU_RAX], 0x33333333);
	assert_int_equal(m->regs[EMU_RCX], 0x44444444);
	model_free(m);
}

/* HLT, INVD, WBINVD, MONITOR, MWAIT: the supervisor's; SERIALIZE isn't. Nothing changes. */
static void test_waiting_and_flushing(void **state)
{
	static const struct { u8 bytes[3], len, what, vector; } insns[] = {
		{ { 0xf4 }, 1, EMU_HALT, X86_GP }, { { 0x0f, 0x08 }, 2, 0, X86_GP },
		{ { 0x0f, 0x09 }, 2, 0, X86_GP }, { { 0x0f, 0x01, 0xc8 }, 3, 0, X86_UD },
		{ { 0x0f, 0x01, 0xc9 }, 3, 0, X86_UD }, { { 0x0f, 0x01, 0xe8 }, 3, 0, 0 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(insns); i++) {
		struct model *m = new_guest(EMU_LONG);

		model_do(m, insns[i].bytes, insns[i].len);
		assert_int_equal(m->e.out.what, insns[i].what);
		assert_int_equal(m->e.out.changed, 0);
		assert_int_equal(m->nr_memory_writes, 0);
		assert_int_equal(m->e.rip, MODEL_CODE + insns[i].len);
		m->e.cpl = 3;
		m->e.rip = MODEL_CODE;
		if (insns[i].vector)
			assert_fault(m, insns[i].vector, 0);
		else
			assert_int_equal(model_run(m), EMU_OK);
		model_free(m);
	}
}

/* CLWB and CLFLUSHOPT: what is emulated has no cache. With a register they are something else. */
static void test_flushing_a_line(void **state)
{
	unsigned int reg;

	for (reg = 6; reg < 8; reg++) {
		struct model *m = new_guest(EMU_LONG);

		m->e.cpl = 3;
		RUN(m, 0x66, 0x0f, 0xae, 3 | reg << 3);
		assert_int_equal(m->e.out.changed, 0);
		assert_int_equal(m->e.rip, MODEL_CODE + 4);
		m->e.rip = MODEL_CODE;
		CODE(m, 0x66, 0x0f, 0xae, 0xc3 | reg << 3);
		assert_int_equal(model_run(m), EMU_UNHANDLED);
		model_free(m);
	}
}

/* No guest has SMM or SMX: RSM, GETSEC. */
static void test_modes_that_nobody_has(void **state)
{
	struct model *m = new_guest(EMU_PROT32);

	m->e.rip = MODEL_CODE;
	CODE(m, 0x0f, 0xaa);
	assert_fault(m, X86_UD, 0);
	CODE(m, 0x0f, 0x37);
	assert_fault(m, X86_UD, 0);
	CODE(m, 0x0f, 0x33);		/* nor a counter that RDPMC could read */
	assert_fault(m, X86_GP, 0);
	model_free(m);
}

static void test_invlpg(void **state)
{
	struct model *m = new_guest(EMU_PROT32);

	RUN(m, 0x0f, 0x01, 0x3b);			/* by DS */
	assert_int_equal(m->invlpg, BUF + OFFSET);
	model_free(m);
	m = new_guest(EMU_LONG);
	m->seg[EMU_GS].base = 0x100000000;
	RUN(m, 0x65, 0x0f, 0x01, 0x3b);
	assert_int_equal(m->invlpg, 0x100000000 + BUF + OFFSET);
	m->regs[EMU_RBX] = 0x800000000000;
	m->invlpg = 1;
	RUN(m, 0x0f, 0x01, 0x3b);			/* not canonical: nothing */
	assert_int_equal(m->invlpg, 1);
	model_free(m);
}

static void test_hypercall(void **state)
{
	struct model *m = new_guest(EMU_LONG);

	RUN(m, 0x0f, 0x01, 0xc1);
	assert_int_equal(m->regs[EMU_RAX], -1000);
	m->e.cpl = 3;
	RUN(m, 0x0f, 0x01, 0xc1);
	assert_int_equal(m->regs[EMU_RAX], -1);
	model_free(m);
}

/* ---- the interrupt flag ---------------------------------------------------------------------- */

#define IF	0x200u
#define VIF	0x80000u

static void test_cli_and_sti(void **state)
{
	struct model *m = new_guest(EMU_PROT32);

	m->e.rflags = 0x8d7 | IF;
	RUN(m, 0xfa);
	assert_int_equal(m->e.rflags, 0x8d7);
	RUN(m, 0xfb);
	assert_int_equal(m->e.rflags, 0x8d7 | IF);
	assert_int_equal(m->e.out.what, EMU_STI);
	RUN(m, 0xfb);					/* no shadow if it was set */
	assert_int_equal(m->e.out.what, 0);
	m->e.cpl = 3;
	m->e.rip = MODEL_CODE;
	assert_fault(m, X86_GP, 0);
	m->sys[EMU_CR4] = 1 << 1;			/* PVI: the virtual one */
	RUN(m, 0xfb);
	assert_int_equal(m->e.rflags, 0x8d7 | IF | VIF);
	RUN(m, 0xfa);
	assert_int_equal(m->e.rflags, 0x8d7 | IF);
	m->e.rflags |= 0x3000;				/* IOPL 3: the real one */
	RUN(m, 0xfa);
	assert_int_equal(m->e.rflags, 0x38d7);
	model_free(m);
}

/* ---- ports: each width, by number and by DX -------------------------------------------------- */

static void test_ports(void **state)
{
	static const u8 input[] = { 1, 2, 3, 4 };
	unsigned int size, by_dx;

	for (size = 1; size <= 4; size *= 2)
		for (by_dx = 0; by_dx < 2; by_dx++) {
			struct model *m = new_guest(EMU_PROT32);
			u8 bytes[] = { 0x66, 0xe4 | by_dx << 3 | (size > 1), 0x80 };
			unsigned int skip = size != 2, len = 3 - skip - by_dx;
			u64 port = by_dx ? 0x3f8 : 0x80;

			m->regs[EMU_RDX] = 0xabcd03f8;
			m->port_in = input;
			m->port_in_left = size;
			model_do(m, bytes + skip, len);
			assert_int_equal(m->regs[EMU_RAX], size == 1 ? 0x1111222233334401 :
					 size == 2 ? 0x1111222233330201 : 0x04030201);
			m->regs[EMU_RAX] = 0x87654321;
			bytes[1] |= 2;
			model_do(m, bytes + skip, len);
			assert_int_equal(m->wanted.address, port);
			assert_int_equal(m->wanted.size, size);
			assert_int_equal(m->port_out_len, size);
			assert_memory_equal(m->port_out, "\x21\x43\x65\x87", size);
			model_free(m);
		}
}

/* INS and OUTS of each width, once and repeated; with F2 as with F3. */
static void test_port_strings(void **state)
{
	static const u8 input[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };
	static const u8 reps[] = { 0, 0xf2, 0xf3 };
	unsigned int size, i;

	for (size = 1; size <= 4; size *= 2)
		for (i = 0; i < 3; i++) {
			struct model *m = new_guest(EMU_LONG);
			u8 bytes[] = { reps[i] ? reps[i] : 0x3e, size == 2 ? 0x66 : 0x3e,
				       0x6c | (size > 1) };
			unsigned int len = (reps[i] ? 3 : 1) * size;

			m->regs[EMU_RDX] = 0x3f8;
			m->regs[EMU_RDI] = m->regs[EMU_RSI] = BUF + OFFSET;
			m->regs[EMU_RCX] = 3;
			m->port_in = input;
			m->port_in_left = len;
			model_do(m, bytes, 3);
			assert_memory_equal(model_at(m, BUF + OFFSET), input, len);
			assert_int_equal(model_get(m, BUF + OFFSET + len, 8), 0);
			assert_int_equal(m->regs[EMU_RDI], BUF + OFFSET + len);
			assert_int_equal(m->regs[EMU_RCX], reps[i] ? 0 : 3);
			m->regs[EMU_RCX] = 3;
			bytes[2] |= 2;
			model_do(m, bytes, 3);
			assert_int_equal(m->port_out_len, len);
			assert_memory_equal(m->port_out, input, len);
			assert_int_equal(m->wanted.size, size);
			assert_int_equal(m->regs[EMU_RSI], BUF + OFFSET + len);
			model_free(m);
		}
}

/* ---- x87's control --------------------------------------------------------------------------- */

static void test_x87(void **state)
{
	struct model *m = new_guest(EMU_LONG);

	m->fpu_status = 0x7f7f;
	RUN(m, 0xdf, 0xe0);				/* fnstsw %ax */
	assert_int_equal(m->regs[EMU_RAX], 0x1111222233337f7f);
	set_operand(m, 0x55555555, 4);
	RUN(m, 0xdd, 0x3b);				/* fnstsw (%rbx) */
	assert_int_equal(operand(m, 4), 0x55557f7f);
	set_operand(m, 0x0a7f, 2);
	RUN(m, 0xd9, 0x2b);				/* fldcw */
	assert_int_equal(m->fpu_control, 0x0a7f);
	set_operand(m, 0x55555555, 4);
	RUN(m, 0xd9, 0x3b);				/* fnstcw */
	assert_int_equal(operand(m, 4), 0x55550a7f);
	RUN(m, 0xd9, 0xd0);				/* fnop, fwait */
	RUN(m, 0x9b);
	RUN(m, 0xdb, 0xe2);				/* fnclex */
	assert_int_equal(m->fpu_status, 0x7f00);
	RUN(m, 0xdb, 0xe3);				/* fninit */
	assert_int_equal(m->fpu_status, 0);
	assert_int_equal(m->fpu_control, 0x37f);
	model_free(m);
}

/* EM and TS, MP for FWAIT; and an exception that waits. */
static void test_x87_faults(void **state)
{
	struct model *m = new_guest(EMU_LONG);
	u64 cr0 = m->sys[EMU_CR0];
	unsigned int bit;

	for (bit = 2; bit <= 3; bit++) {
		m->sys[EMU_CR0] = cr0 | 1 << bit;
		m->e.rip = MODEL_CODE;
		CODE(m, 0xdb, 0xe3);
		assert_fault(m, X86_NM, 0);
		RUN(m, 0x9b);
	}
	m->sys[EMU_CR0] = cr0 | 1 << 3 | 1 << 1;
	m->e.rip = MODEL_CODE;
	assert_fault(m, X86_NM, 0);
	m->sys[EMU_CR0] = cr0 | 1 << 5;			/* NE */
	m->fpu_status = 0x80;
	assert_fault(m, X86_MF, 0);
	CODE(m, 0xd9, 0x2b);
	assert_fault(m, X86_MF, 0);
	RUN(m, 0xdb, 0xe2);				/* which doesn't look */
	model_free(m);
}

/* ---- tasks ----------------------------------------------------------------------------------- */

/* Found by the fuzzer: what is longer than a device answers must be asked for in pieces. */
static void test_task_state_on_a_device(void **state)
{
	static const u64 table[] = { 0, 0x00cf9b000000ffff, 0x0000890400000067 };
	struct model *m = model_new(EMU_PROT32);

	CODE(m, 0xea, 0, 0, 0, 0, 0x10, 0);		/* ljmp $0x10, $0 */
	model_map(m, GDT, PAGE_ALL);
	model_put(m, GDT, table, sizeof(table));
	m->table[0] = (struct minivmm_dtable){ .base = GDT, .limit = sizeof(table) - 1 };
	model_map(m, 0x40000, PAGE_ALL | PAGE_DEVICE);
	assert_int_equal(model_run(m), EMU_IO);
	assert_int_equal(m->wanted.address, 0x40000);
	assert_int_equal(m->wanted.size, 4);
	assert_int_equal(m->nr_memory_writes, 0);
	model_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_invpcid),
		cmocka_unit_test(test_invpcid_operands),
		cmocka_unit_test(test_invpcid_rights),
		cmocka_unit_test(test_invpcid_memory),
		cmocka_unit_test(test_invpcid_encodings),
		cmocka_unit_test(test_clac_and_stac),
		cmocka_unit_test(test_clac_and_stac_are_the_supervisors),
		cmocka_unit_test(test_descriptor_tables),
		cmocka_unit_test(test_store_selectors),
		cmocka_unit_test(test_lldt_and_ltr),
		cmocka_unit_test(test_asking_about_selectors),
		cmocka_unit_test(test_arpl),
		cmocka_unit_test(test_segments_in_64_bit_code),
		cmocka_unit_test(test_control_and_debug_registers),
		cmocka_unit_test(test_task_priority),
		cmocka_unit_test(test_debug_registers_guarded),
		cmocka_unit_test(test_machine_status_word),
		cmocka_unit_test(test_msrs),
		cmocka_unit_test(test_extended_control_register),
		cmocka_unit_test(test_segment_bases),
		cmocka_unit_test(test_counters),
		cmocka_unit_test(test_cpuid),
		cmocka_unit_test(test_waiting_and_flushing),
		cmocka_unit_test(test_flushing_a_line),
		cmocka_unit_test(test_modes_that_nobody_has),
		cmocka_unit_test(test_invlpg),
		cmocka_unit_test(test_hypercall),
		cmocka_unit_test(test_cli_and_sti),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_port_strings),
		cmocka_unit_test(test_x87),
		cmocka_unit_test(test_x87_faults),
		cmocka_unit_test(test_task_state_on_a_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
