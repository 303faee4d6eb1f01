// SPDX-License-Identifier: GPL-2.0
/* What the first touch of a page costs, by size and by whether the client has it already. */
#include <string.h>
#include <sys/mman.h>

#include "bench.h"

#define SLOT	0x10000000ul
#define SIZE	(8 * MiB)

/*
 * Touches RCX pages, RDX apart, from RSI on; the ticks that took come back in RAX. The first one
 * isn't counted: it makes the tables.
 */
GUEST64(touch,
	movl $0, (%rsi);
	add %rdx, %rsi;
	rdtsc;
	mov %eax, %edi;
	mov %r8, %rdx;
	1: movl $0, (%rsi);
	add %rdx, %rsi;
	loop 1b;
	rdtsc;
	sub %edi, %eax;
	hlt)

static u64 touch(struct vcpu *v, u64 from, u64 count, u64 stride)
{
	struct minivmm_regs r = get_regs(v);

	r.rip = CODE;
	r.rsi = from;
	r.rcx = count;
	r.rdx = r.r8 = stride;
	set_regs(v, &r);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	return get_regs(v).rax & 0xffffffff;
}

/* The guest's own tables have been walked there before: another slot lay at the same place. */
static struct vcpu *boot_with_slot(void *hva)
{
	struct vcpu *v = BOOT(LONG64, touch);
	u8 *other = host_memory(SIZE);

	add_slot(v->vm, 1, 0, SLOT, SIZE, other);
	for (u64 at = 0; at < SIZE; at += 2 * MiB)
		touch(v, SLOT + at, 1, PAGE);
	add_slot(v->vm, 1, 0, SLOT, 0, other);
	add_slot(v->vm, 1, 0, SLOT, SIZE, hva);
	return v;
}

/* Batches of 32 pages in turn, each in a 2M range of its own so that its tables are new. */
static void measure_4k(const char *name, bool populated)
{
	u8 *hva = host_memory(SIZE);
	const u64 n = 32;
	u64 best = ~0ull;
	struct vcpu *v;

	madvise(hva, SIZE, MADV_NOHUGEPAGE);
	if (populated)
		memset(hva, 1, SIZE);
	v = boot_with_slot(hva);
	for (u64 at = 0; at + (n + 1) * PAGE <= SIZE; at += 64 * PAGE) {
		u64 spent = touch(v, SLOT + at, n, PAGE);

		if (at && spent < best)
			best = spent;
	}
	row(name, (best + n / 2) / n);
}

static void touch_4k_populated(void) { measure_4k("touch_4k_populated", true); }
static void touch_4k_new(void) { measure_4k("touch_4k_new", false); }

static void measure_2m(const char *name, bool populated)
{
	u8 *hva = host_memory(SIZE);
	struct vcpu *v;
	u64 best = ~0ull;

	if (madvise(hva, SIZE, MADV_HUGEPAGE))
		return;
	if (populated)
		memset(hva, 1, SIZE);
	v = boot_with_slot(hva);
	for (int i = 0; i < 3; i++) {
		u64 spent;

		v = i ? boot_with_slot(hva) : v;
		spent = touch(v, SLOT, SIZE / (2 * MiB) - 1, 2 * MiB);
		if (spent < best)
			best = spent;
		if (!populated)
			madvise(hva, SIZE, MADV_DONTNEED);
	}
	row(name, best / (SIZE / (2 * MiB) - 1));
}

static void touch_2m_populated(void) { measure_2m("touch_2m_populated", true); }
static void touch_2m_new(void) { measure_2m("touch_2m_new", false); }

/* A page that the guest has is taken away and touched again: the notifier, and the fault. */
static void dontneed_and_touch(void)
{
	struct vcpu *v = BOOT(LONG64, touch);
	struct measurement m;

	touch(v, DATA, 1, PAGE);
	for_batches(m)
		for (int i = 0; i < 4; i++) {
			madvise(v->vm->mem + DATA, 2 * PAGE, MADV_DONTNEED);
			touch(v, DATA, 1, PAGE);
		}
	row("dontneed_and_touch_2_pages", average(&m, 4));
}

static void slot_create_delete(void)
{
	struct vcpu *v = BOOT(LONG64, touch);
	u8 *hva = host_memory(2 * MiB);
	struct measurement m;

	for_batches(m) {
		add_slot(v->vm, 1, 0, SLOT, 2 * MiB, hva);
		add_slot(v->vm, 1, 0, SLOT, 0, hva);
	}
	row("slot_create_and_delete", average(&m, 1));
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
