// SPDX-License-Identifier: GPL-2.0
/*
 * Hostile bytes: random instructions in random states, in every mode. Whatever they are, the
 * emulator stays in bounds (the sanitizers and the model's own checks watch), an instruction that
 * isn't done has changed no register, and REP ends.
 *
 * With a file as its argument it runs that file's bytes alone: for a fuzzer, or to see one again.
 */
#include <stdio.h>

#include "model.h"

#define ROUNDS	300000

static u64 seed = 3;

static u64 rnd(void) { return random64(&seed); }

/* A pool of addresses in which operands have a chance to lie. */
static const u64 places[] = { 0x1000, 0x10000, 0x10ff9, 0x11ffc, 0x40000, 0x40ffd, 0xfffffffd, 0 };

static void map_pages(struct model *m)
{
	model_map(m, 0x0, PAGE_ALL);
	model_map(m, 0x1000, PAGE_ALL);
	model_map(m, 0x2000, PAGE_ALL);
	model_map(m, 0x10000, PAGE_ALL);
	model_map(m, 0x11000, PAGE_USER | PAGE_EXEC);
	model_map(m, 0x12000, PAGE_WRITE);
	model_map(m, 0x40000, PAGE_ALL | PAGE_DEVICE);
	model_map(m, 0x41000, PAGE_ALL | PAGE_DEVICE);
	model_map(m, 0xfffff000, PAGE_ALL);
	model_map(m, 0xfffffffffffff000, PAGE_ALL);
}

static void random_segments(struct model *m)
{
	int i;

	for (i = 0; i < EMU_NR_SEGS; i++) {
		if (rnd() % 4)
			continue;
		m->seg[i].limit = rnd() >> (32 + rnd() % 32);
		m->seg[i].type = rnd() & 15;
		m->seg[i].db = rnd() & 1;
		m->seg[i].unusable = rnd() % 8 == 0;
		if (i != EMU_CS)
			m->seg[i].base = (u32)places[rnd() % 8];
	}
}

/* e.mode and e.cpl go together as a vCPU's do. */
static void random_state(struct model *m)
{
	int i;

	m->e.mode = rnd() % (EMU_LONG + 1);
	m->e.long_mode = m->e.mode == EMU_LONG || (m->e.mode > EMU_VM86 && rnd() & 1);
	m->e.cpl = m->e.mode == EMU_REAL ? 0 : m->e.mode == EMU_VM86 || rnd() & 1 ? 3 : 0;
	m->e.rip = rnd() % 8 ? 0x1ff0 + rnd() % 16 : places[rnd() % 8];
	m->e.rflags = (rnd() & 0x13cd5) | 2;
	m->e.batch = 1 + rnd() % 64;
	m->stop_on_write = rnd() & 1;
	m->race = rnd() % 8 == 0;
	m->port_max = rnd() % 4;
	m->nr_answers = 0;
	for (i = 0; i < 16; i++)
		m->regs[i] = rnd() % 4 ? places[rnd() % 8] + (s64)(rnd() % 9) - 4 :
					 rnd() >> (rnd() % 64);
	for (i = 0; i < EMU_NR_SEGS; i++)
		m->seg[i] = (struct minivmm_segment){
			.limit = m->e.mode <= EMU_VM86 ? 0xffff : ~0u, .present = 1, .s = 1,
			.type = i == EMU_CS || i == EMU_TR ? 11 : 3, .db = 1,
		};
	if (m->e.mode != EMU_LONG)
		m->e.rip = (u32)m->e.rip;
	if (rnd() & 1)
		random_segments(m);
}

/* Mostly what is implemented, with prefixes; else anything. */
static void random_bytes(u8 *bytes)
{
	static const u8 prefixes[] = { 0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26, 0x64, 0x48, 0x4d };
	int i, n = rnd() % 4;

	for (i = 0; i < 32; i++)
		bytes[i] = rnd() >> 40;
	for (i = 0; i < n; i++)
		bytes[i] = prefixes[rnd() % sizeof(prefixes)];
	if (rnd() & 1)
		bytes[i] = 0x0f;
	else if (rnd() & 1)
		bytes[i] = (rnd() & 1 ? 0x6c : 0xa4) + rnd() % 12;
	if (rnd() % 256 == 0)
		memset(bytes, prefixes[rnd() % sizeof(prefixes)], 32);
}

static u64 answer(u64 address) { return address * 0x0101010101010101; }

/* Runs it as the module would, until it is done or fails. */
static void run(struct model *m)
{
	static const u8 input[4096];
	enum emu_result r;
	u64 regs[16];
	int n;

	for (n = 0; n < 200; n++) {
		memcpy(regs, m->regs, sizeof(regs));
		m->port_in = input;
		m->port_in_left = rnd() & 1 ? sizeof(input) : 0;
		r = model_run(m);
		assert_true(m->e.insn.len <= EMU_INSN_MAX && m->e.insn.avail <= EMU_INSN_MAX);
		if (r != EMU_OK && r != EMU_PART)
			assert_memory_equal(regs, m->regs, sizeof(regs));
		if (r == EMU_OK || r == EMU_UNHANDLED || r == EMU_FAULT)
			return;
		if (r == EMU_RETRY)
			m->race = 0;
		if (r == EMU_IO && !m->wanted.count) {
			assert_true(m->nr_answers < MODEL_ACCESSES);
			m->wanted.value = answer(m->wanted.address);
			m->answers[m->nr_answers++] = m->wanted;
		}
	}
	/* only a long REP may still be at it */
	assert_true(m->e.insn.rep);
}

static void place(struct model *m, const u8 *bytes)
{
	u64 linear = m->e.rip;
	int i;

	if (m->e.mode != EMU_LONG)
		linear = (u32)(m->seg[EMU_CS].base + linear);
	for (i = 0; i < 32; i++) {
		u8 *at = model_at(m, m->e.mode == EMU_LONG ? linear + i : (u32)(linear + i));

		if (at)
			*at = bytes[i];
	}
}

static void test_random(void **state)
{
	struct model *m = model_new(EMU_LONG);
	u8 bytes[32];
	int i;

	map_pages(m);
	for (i = 0; i < ROUNDS; i++) {
		random_state(m);
		random_bytes(bytes);
		place(m, bytes);
		run(m);
	}
	model_free(m);
}

/* Another CPU changes the instruction between the runs that it takes. */
static void test_changing_code(void **state)
{
	struct model *m = model_new(EMU_LONG);
	u8 bytes[32];
	int i, j;

	map_pages(m);
	for (i = 0; i < ROUNDS / 10; i++) {
		random_state(m);
		for (j = 0; j < 4; j++) {
			random_bytes(bytes);
			place(m, bytes);
			m->nr_answers = 0;
			if (model_run(m) == EMU_OK)
				break;
		}
	}
	model_free(m);
}

static int run_file(const char *name)
{
	struct model *m = model_new(EMU_LONG);
	FILE *f = fopen(name, "rb");
	u8 bytes[32] = { 0 };

	if (!f || fread(&seed, 1, sizeof(seed), f) != sizeof(seed))
		return 1;
	if (fread(bytes, 1, sizeof(bytes), f) == 0)
		bytes[0] = 0x90;
	fclose(f);
	map_pages(m);
	random_state(m);
	place(m, bytes);
	run(m);
	model_free(m);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_changing_code),
	};

	if (argc > 1)
		return run_file(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
