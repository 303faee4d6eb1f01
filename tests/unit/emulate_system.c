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

/* ---- tasks ----------------------------------------------------------------------------------- */

#define GDT	0x20000

/* Found by the fuzzer: what is longer than a device answers must be asked for in pieces. */
static void test_task_state_on_a_device(void **state)
{
	static const u64 gdt[] = { 0, 0x00cf9b000000ffff, 0x0000890400000067 };
	struct model *m = model_new(EMU_PROT32);

	CODE(m, 0xea, 0, 0, 0, 0, 0x10, 0);		/* ljmp $0x10, $0 */
	model_map(m, GDT, PAGE_ALL);
	model_put(m, GDT, gdt, sizeof(gdt));
	m->table[0] = (struct minivmm_dtable){ .base = GDT, .limit = sizeof(gdt) - 1 };
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
		cmocka_unit_test(test_task_state_on_a_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
