// SPDX-License-Identifier: GPL-2.0
/*
 * Bytes as a guest: they are its state, its descriptor tables, its stack and its code, of which a few
 * instructions are run. What must hold whatever they are: the sanitizers are silent, an instruction
 * that isn't done has changed nothing, state stays within the architecture's bounds, and nobody
 * becomes more privileged but through the few doors that there are.
 *
 * Compiled by `make -f emulate.mk fuzz` it is libFuzzer's target; as a test it runs what such runs
 * have left in emulate_corpus.txt, an input a line, or the file named.
 */
#include <stdio.h>

#include "model.h"

#define GDT		0x3000
#define IDT		0x4000
#define TSS		0x5000
#define STACK		0x6000
#define STEPS		12

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

struct input {
	const u8 *data;
	size_t left;
};

static u64 take(struct input *in, unsigned int bytes)
{
	u64 value = 0;

	if (bytes > in->left)
		bytes = in->left;
	memcpy(&value, in->data, bytes);
	in->data += bytes;
	in->left -= bytes;
	return value;
}

/* Addresses in which operands have a chance to lie, and anything. */
static u64 take_address(struct input *in)
{
	static const u64 places[] = { 0x1000, 0x2ffc, GDT, IDT, TSS, STACK + 0x800, STACK, 0x8ffd,
				      0x40000, 0xfffffffd, 0, 0x7fffffffffff };
	u8 kind = take(in, 1);

	if (kind < 160)
		return places[kind % 12] + (s64)(kind / 12) - 4;
	return take(in, kind & 8 ? 8 : 4);
}

static void map_pages(struct model *m)
{
	u64 at;

	for (at = 0; at <= 0x7000; at += 0x1000)
		model_map(m, at, PAGE_ALL);
	model_map(m, 0x8000, PAGE_USER | PAGE_EXEC);
	model_map(m, 0x9000, PAGE_WRITE);
	model_map(m, 0x40000, PAGE_ALL | PAGE_DEVICE);
	model_map(m, 0xfffff000, PAGE_ALL);
	model_map(m, 0xfffffffffffff000, PAGE_ALL);
}

static void fill_page(struct model *m, struct input *in, u64 at, unsigned int step)
{
	unsigned int n = take(in, 1), i;
	u64 value;

	for (i = 0; i < n && in->left; i++) {
		value = take(in, step);
		model_put(m, at + (i * step) % 4096, &value, step);
	}
}

/* A flat segment for each selector, so that few bytes suffice to reach the checks behind. */
static void flat_tables(struct model *m, bool is_long)
{
	static const u64 gdt[] = { 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00affb000000ffff,
		0x00cff3000000ffff, 0x00cffb000000ffff, 0x0000890050000067, 0, 0x0000ec0000080200,
		0, 0x0000e50000300000, 0x00009f000000ffff, 0x0000820030000fff, 0, 0x00af9b000000ffff };
	u64 gates[512], gate;
	int i;

	model_put(m, GDT, gdt, sizeof(gdt));
	for (i = 0; i < 512; i++) {
		gate = is_long ? 0x0000ee0000701000 : 0x0000ee0000081000 + (i & 7);
		gates[i] = is_long && i & 1 ? 0 : gate;
	}
	model_put(m, IDT, gates, is_long ? 4096 : 2048);
	m->table[0] = (struct minivmm_dtable){ .base = GDT, .limit = sizeof(gdt) - 1 };
	m->table[1] = (struct minivmm_dtable){ .base = IDT, .limit = 0x7ff };
}

static void take_segments(struct model *m, struct input *in)
{
	u8 which = take(in, 1);
	int i;

	for (i = 0; i < EMU_NR_SEGS; i++) {
		u32 bits;

		if (!(which & 1 << i))
			continue;
		bits = take(in, 4);
		m->seg[i].type = bits & 15;
		m->seg[i].db = bits >> 4 & 1;
		m->seg[i].unusable = (bits >> 5 & 7) == 7;
		m->seg[i].limit = bits >> (8 + (bits >> 6 & 15));
		m->seg[i].selector = bits >> 16;
		if (i != EMU_CS)
			m->seg[i].base = bits & 0x7000;
	}
}

static void take_state(struct model *m, struct input *in)
{
	u32 bits = take(in, 4);
	int i;

	m->e.mode = bits % (EMU_LONG + 1);
	m->e.long_mode = m->e.mode == EMU_LONG || (m->e.mode > EMU_VM86 && bits & 0x100);
	m->e.real32 = bits & 0x200;
	m->e.cpl = m->e.mode == EMU_REAL ? 0 : m->e.mode == EMU_VM86 ? 3 : bits >> 10 & 3;
	m->e.rflags = (take(in, 3) & 0x3d7fd5) | 2;
	m->e.rflags &= ~(1ull << 17);
	if (m->e.mode == EMU_VM86)
		m->e.rflags |= 1 << 17;
	m->e.batch = 1 + (bits >> 12 & 15);
	m->stop_on_write = bits & 0x10000;
	m->race = bits >> 17 & 7 ? 0 : 1;
	m->port_max = bits >> 20 & 3;
	m->sys[EMU_CR0] = 0x10 | (m->e.mode != EMU_REAL) | (bits >> 22 & 1) << 3;
	m->sys[EMU_CR4] = take(in, 3);
	m->sys[EMU_XCR0] = 7;
	m->fpu_status = bits >> 24;
	for (i = 0; i < 8; i++)
		m->msr[i].index = (u32[]){ 0x174, 0x175, 0x176, 0xc0000080, 0xc0000081, 0xc0000082,
					   0xc0000084, 0xc0000101 }[i];
	m->msr[3].value = 1;
	for (i = 0; i < 16; i++)
		m->regs[i] = take_address(in);
	m->regs[EMU_RSP] = STACK + 0x800 + (bits & 7);
	for (i = 0; i < EMU_NR_SEGS; i++)
		m->seg[i] = (struct minivmm_segment){
			.limit = m->e.mode <= EMU_VM86 ? 0xffff : ~0u, .present = 1, .s = i <= EMU_GS,
			.type = i == EMU_CS || i == EMU_TR ? 11 : 3, .dpl = m->e.cpl,
			.db = m->e.mode == EMU_PROT32, .l = i == EMU_CS && m->e.mode == EMU_LONG,
			.selector = m->e.cpl | (i == EMU_CS ? 8 : i == EMU_TR ? 0x30 : 0x10),
		};
	m->seg[EMU_TR].base = TSS;
	m->seg[EMU_TR].limit = 0x200;
	m->seg[EMU_LDTR].unusable = 1;
	flat_tables(m, m->e.long_mode);
	if (bits & 1 << 23)
		take_segments(m, in);
	if (bits & 1 << 24)
		fill_page(m, in, GDT, 8);
	if (bits & 1 << 25)
		fill_page(m, in, IDT, 8);
	if (bits & 1 << 26)
		fill_page(m, in, TSS, 4);
	if (bits & 1 << 27)
		fill_page(m, in, STACK + 0x800, 4);
}

/* The doors to more privilege: a gate, a task, and the fast system calls. */
static bool may_raise_privilege(const struct model *m)
{
	switch (m->e.insn.op) {
	case OP_CALL_FAR: case OP_JMP_FAR: case OP_INT: case OP_INTO: case OP_IRET:
	case OP_SYSCALL: case OP_SYSENTER:
		return true;
	}
	return false;
}

static void check_state(const struct model *m, unsigned int old_cpl)
{
	const struct emu *e = &m->e;

	if (e->cpl < old_cpl)
		assert_true(may_raise_privilege(m));
	assert_int_equal(e->rflags & 2, 2);
	assert_int_equal(e->rflags & ~0x3f7fd7ull, 0);
	if (e->mode != EMU_LONG)
		assert_int_equal(e->rip >> 32, 0);
	if (e->mode >= EMU_PROT16 && e->out.seg_changed & 1 << EMU_CS)
		assert_true(m->seg[EMU_CS].s && m->seg[EMU_CS].type & 8 && m->seg[EMU_CS].present);
}

/* As the module would go on, but for faults: they end it. */
static bool step(struct model *m)
{
	static const u8 input[4096];
	u64 regs[16], rip = m->e.rip, rflags = m->e.rflags;
	struct minivmm_segment seg[EMU_NR_SEGS];
	unsigned int cpl = m->e.cpl;
	enum emu_result r;

	memcpy(regs, m->regs, sizeof(regs));
	memcpy(seg, m->seg, sizeof(seg));
	m->port_in = input;
	m->port_in_left = m->port_max ? sizeof(input) : 0;
	r = model_run(m);
	assert_true(m->e.insn.len <= EMU_INSN_MAX && m->e.insn.avail <= EMU_INSN_MAX);
	if (r == EMU_OK || r == EMU_PART) {
		check_state(m, cpl);
		return true;
	}
	if (r == EMU_FAULT && m->e.out.what & EMU_COMMIT)
		return false;
	assert_memory_equal(regs, m->regs, sizeof(regs));
	assert_memory_equal(seg, m->seg, sizeof(seg));
	assert_true(m->e.rip == rip && m->e.rflags == rflags && m->e.cpl == cpl);
	if (r == EMU_RETRY)
		m->race = 0;
	if (r == EMU_IO && !m->wanted.count && m->nr_answers < MODEL_ACCESSES) {
		m->wanted.value = m->wanted.address * 0x0101010101010101;
		m->answers[m->nr_answers++] = m->wanted;
	}
	return r == EMU_RETRY || r == EMU_IO;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input in = { data, size };
	static struct model model, *m = &model;
	struct emu_event event;
	u8 code[64] = { 0 };
	u32 how;
	int i;

	model_init(m, EMU_LONG);
	map_pages(m);
	how = take(&in, 2);
	take_state(m, &in);
	m->e.rip = how & 7 ? 0x1000 : 0x2ff0 + (how >> 4 & 15);
	memcpy(code, in.data, in.left < sizeof(code) ? in.left : sizeof(code));
	model_put(m, m->e.rip, code, sizeof(code));
	if (how & 8) {		/* an event comes first */
		event = (struct emu_event){ .vector = how >> 8, .soft = how & 0x10,
					    .has_code = how & 0x20, .code = how };
		m->e.seg_valid = 0;
		model_commit(m, emu_deliver(&m->e, &event));
	}
	for (i = 0; i < STEPS && step(m); i++)
		;
	return 0;
}

#ifndef FUZZING
static int run_file(const char *name)
{
	static u8 data[1 << 16];
	FILE *f = fopen(name, "rb");
	size_t size;

	if (!f)
		return 1;
	size = fread(data, 1, sizeof(data), f);
	fclose(f);
	return LLVMFuzzerTestOneInput(data, size);
}

static void test_corpus(void **state)
{
	FILE *f = fopen(CORPUS, "r");
	unsigned int byte, len;
	char line[4096], *p;
	u8 data[1024];
	int n = 0;

	assert_non_null(f);
	for (; fgets(line, sizeof(line), f); n++) {
		for (p = line, len = 0; sscanf(p, "%3o", &byte) == 1; p += 3)
			data[len++] = byte;
		assert_true(*p == '\n');
		LLVMFuzzerTestOneInput(data, len);
	}
	fclose(f);
	printf("# %d inputs\n", n);
	assert_true(n >= 100);
}

/* And what chance brings, the same each time. */
static void test_random(void **state)
{
	u8 data[256];
	u64 seed = 4;
	int i, j;

	for (i = 0; i < 20000; i++) {
		for (j = 0; j < sizeof(data); j++)
			data[j] = random64(&seed) >> 20;
		LLVMFuzzerTestOneInput(data, sizeof(data));
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_corpus),
		cmocka_unit_test(test_random),
	};

	if (argc > 1)
		return run_file(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
