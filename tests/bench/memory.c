// SPDX-License-Identifier: GPL-2.0
/* What the first touch of a page costs, by size and by whether the client has it already. */
#include <string.h>
#include <sys/mman.h>

#include "bench.h"

#define SIZE	(8 * MiB)

/* The guest's own tables have been walked there before: another slot lay at the same place. */
static struct vcpu *boot_with_slot(void *hva)
{
	struct vcpu *v = boot_toucher();
	u8 *other = host_memory(SIZE);

	add_slot(v->vm, 1, 0, SLOT, SIZE, other);
	for (u64 at = 0; at < SIZE; at += 2 * MiB)
		touch(v, SLOT + at, 1, PAGE);
	add_slot(v->vm, 1, 0, SLOT, 0, other);
	add_slot(v->vm, 1, 0, SLOT, SIZE, hva);
	return v;
}

/* The guest's own time, and what is counted around it, less what an entry and a HLT count. */
static void measure_touch(struct measurement *m, struct vcpu *v, u64 from, u64 n, u64 stride)
{
	u64 spent;

	touch(v, SLOT, 1, PAGE);
	for (int i = 0; i < 3; i++) {
		begin_count(m);
		touch(v, SLOT, 1, PAGE);
		end_count(m, &m->floor);
	}
	begin_count(m);
	spent = touch(v, from, n, stride);
	if (m->batch >= WARM_UP)
		end_count(m, &m->least);
	add_batch(m, spent);
}

static void begin_touches(struct measurement *m)
{
	begin(m);
	memset(&m->floor, 0xff, sizeof(m->floor));
}

/*
 * Batches of 32 pages in turn, each in a 2M range of its own so that its tables are new; the first of
 * a batch makes them, and isn't in the ticks. Again: the same pages a second time.
 */
static void measure_4k(const char *name, bool populated, const char *again)
{
	u8 *hva = host_memory(SIZE);
	const u64 n = 32;
	struct measurement m, second;
	struct vcpu *v;

	madvise(hva, SIZE, MADV_NOHUGEPAGE);
	if (populated)
		memset(hva, 1, SIZE);
	v = boot_with_slot(hva);
	begin_touches(&m);
	begin_touches(&second);
	for (u64 at = 64 * PAGE; at + (n + 1) * PAGE <= SIZE; at += 64 * PAGE) {
		measure_touch(&m, v, SLOT + at, n, PAGE);
		if (again)
			measure_touch(&second, v, SLOT + at, n, PAGE);
	}
	row(name, &m, n);
	if (again)
		row(again, &second, n);
}

static void touch_4k_populated(void)
{
	measure_4k("touch_4k_populated", true, "touch_4k_again");
}

static void touch_4k_new(void) { measure_4k("touch_4k_new", false, NULL); }

static void measure_2m(const char *name, bool populated)
{
	u8 *hva = host_memory(SIZE);
	const u64 n = SIZE / (2 * MiB) - 1;
	struct measurement m;
	struct vcpu *v;

	if (madvise(hva, SIZE, MADV_HUGEPAGE))
		return;
	if (populated)
		memset(hva, 1, SIZE);
	begin_touches(&m);
	for (int i = 0; i < 5; i++) {
		v = boot_with_slot(hva);
		measure_touch(&m, v, SLOT, n, 2 * MiB);
		if (!populated)
			madvise(hva, SIZE, MADV_DONTNEED);
	}
	row(name, &m, n);
}

static void touch_2m_populated(void) { measure_2m("touch_2m_populated", true); }
static void touch_2m_new(void) { measure_2m("touch_2m_new", false); }

/* A page that the guest has is taken away and touched again: the notifier, and the fault. */
static void dontneed_and_touch(void)
{
	struct vcpu *v = boot_toucher();
	struct measurement m;

	touch(v, DATA, 1, PAGE);
	for_batches(m)
		for (int i = 0; i < 4; i++) {
			madvise(v->vm->mem + DATA, 2 * PAGE, MADV_DONTNEED);
			touch(v, DATA, 1, PAGE);
		}
	row("dontneed_and_touch_2_pages", &m, 4);
}

static void slot_create_delete(void)
{
	struct vcpu *v = boot_toucher();
	u8 *hva = host_memory(2 * MiB);
	struct measurement m;

	for_batches(m) {
		add_slot(v->vm, 1, 0, SLOT, 2 * MiB, hva);
		add_slot(v->vm, 1, 0, SLOT, 0, hva);
	}
	row("slot_create_and_delete", &m, 1);
}

const struct bench memory_benches[] = {
	{ "touch_4k_populated", touch_4k_populated },
	{ "touch_4k_new", touch_4k_new },
	{ "touch_2m_populated", touch_2m_populated },
	{ "touch_2m_new", touch_2m_new },
	{ "dontneed_and_touch_2_pages", dontneed_and_touch },
	{ "slot_create_and_delete", slot_create_delete },
	{ }
};
