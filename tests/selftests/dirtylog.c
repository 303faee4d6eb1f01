// SPDX-License-Identifier: GPL-2.0
/*
 * The dirty log: GET_DIRTY_LOG, CLEAR_DIRTY_LOG and CAP_MANUAL_DIRTY_LOG_PROTECT2, by whatever
 * means the CPU's writes are noticed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "access.h"
#include "thread.h"

#define MANUAL		MINIVMM_DIRTY_LOG_MANUAL_PROTECT_ENABLE
#define ALL_SET		MINIVMM_DIRTY_LOG_INITIALLY_SET
#define LOGGED		200		/* pages: three words and a part of the fourth */

/* Does this VM's CPU log writes itself? */
static bool uses_pml(struct vm *vm)
{
	return !opt.oracle && uses_ept(vm) && ept_has_dirty_bits() && is_on("pml") &&
	       cpu_has("vmx flags", " pml");
}

static int get_dirty_log(struct vm *vm, u32 slot, void *bitmap)
{
	struct minivmm_dirty_log log = { .slot = slot, .dirty_bitmap = bitmap };

	return ioctl(vm->fd, MINIVMM_GET_DIRTY_LOG, &log);
}

static int clear_dirty_log(struct vm *vm, u32 slot, u64 first, u32 pages, const void *bitmap)
{
	struct minivmm_clear_dirty_log log = {
		.slot = slot,
		.first_page = first,
		.num_pages = pages,
		.dirty_bitmap = (void *)bitmap,
	};

	return ioctl(vm->fd, MINIVMM_CLEAR_DIRTY_LOG, &log);
}

static void set_manual(struct vm *vm, u64 flags)
{
	CHECK_OK(enable_cap(vm, MINIVMM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 0, flags));
}

static void check_dirty(struct vm *vm, const u64 want[4])
{
	u64 bitmap[5];

	memset(bitmap, 0x5a, sizeof(bitmap));
	CHECK_OK(get_dirty_log(vm, 1, bitmap));
	CHECK_MEM(bitmap, want, 4 * sizeof(u64));
	CHECK_EQ(bitmap[4], 0x5a5a5a5a5a5a5a5a);
}

static struct vcpu *boot_with_log(u8 **hva)
{
	struct vcpu *v = boot_accessor();

	*hva = host_memory(LOGGED * PAGE);
	add_slot(v->vm, 1, MINIVMM_MEM_LOG_DIRTY_PAGES, SLOT, LOGGED * PAGE, *hva);
	return v;
}

TEST(dirty_log_has_the_pages_written)
{
	static const u64 some[4] = { 1ull << 3 | 1ull << 63, 1, 0, 1ull << 7 };
	static const u64 none[4], one[4] = { 1 << 3 };
	u8 *hva;
	struct vcpu *v = boot_with_log(&hva);

	check_dirty(v->vm, none);
	guest_writes(v, SLOT + 3 * PAGE, 1);
	guest_writes(v, SLOT + 63 * PAGE + 8, 1);
	guest_writes(v, SLOT + 64 * PAGE, 1);
	guest_writes(v, SLOT + 199 * PAGE, 1);
	CHECK_EQ(guest_reads(v, SLOT + 100 * PAGE), 0);
	/* What the client writes doesn't count. */
	*word(hva, 101 * PAGE) = 1;
	check_dirty(v->vm, some);
	check_dirty(v->vm, none);
	guest_writes(v, SLOT + 3 * PAGE, 2);
	guest_writes(v, SLOT + 3 * PAGE, 3);
	check_dirty(v->vm, one);
	CHECK_EQ(*word(hva, 3 * PAGE), 3);
}

/* Pages that the guest had before logging began are noticed, too. */
TEST(dirty_log_is_turned_on_later)
{
	static const u64 first[4] = { 1 << 5 }, none[4];
	struct vcpu *v = boot_accessor();
	u8 *hva = host_memory(LOGGED * PAGE);

	add_slot(v->vm, 1, 0, SLOT, LOGGED * PAGE, hva);
	guest_writes(v, SLOT + 5 * PAGE, 1);
	add_slot(v->vm, 1, MINIVMM_MEM_LOG_DIRTY_PAGES, SLOT, LOGGED * PAGE, hva);
	check_dirty(v->vm, none);
	guest_writes(v, SLOT + 5 * PAGE, 2);
	check_dirty(v->vm, first);
	add_slot(v->vm, 1, 0, SLOT, LOGGED * PAGE, hva);
	guest_writes(v, SLOT + 6 * PAGE, 2);
	CHECK_ERRNO(get_dirty_log(v->vm, 1, hva), ENOENT);
}

/* A page of 2M that the guest had whole: logged it is page by page. */
TEST(dirty_log_of_huge_pages)
{
	struct vcpu *v = boot_accessor();
	u8 *hva = huge_memory(2 * MiB);
	u64 bitmap[8];

	add_slot(v->vm, 1, 0, SLOT, 2 * MiB, hva);
	guest_writes(v, SLOT + 5 * PAGE, 1);
	add_slot(v->vm, 1, MINIVMM_MEM_LOG_DIRTY_PAGES, SLOT, 2 * MiB, hva);
	for (int round = 0; round < 2; round++) {
		guest_writes(v, SLOT + 5 * PAGE, 2);
		guest_writes(v, SLOT + 500 * PAGE, 2);
		/*
		 * Reading makes nothing dirty; but KVM's shadow pages may be writable from the
		 * start.
		 */
		if (!opt.oracle || uses_ept(v->vm))
			CHECK_EQ(guest_reads(v, SLOT + 64 * PAGE), 0);
		CHECK_OK(get_dirty_log(v->vm, 1, bitmap));
		for (int i = 0; i < 8; i++)
			CHECK_EQ(bitmap[i],
				 i == 0 ? 1ull << 5 : i == 500 / 64 ? 1ull << 500 % 64 : 0);
	}
	add_slot(v->vm, 1, 0, SLOT, 2 * MiB, hva);
	guest_writes(v, SLOT + 6 * PAGE, 3);
	CHECK_EQ(*word(hva, 6 * PAGE), 3);
}

/* What the hypervisor writes for the guest: here the data of INS. */
GUEST64(insb_here, 1: insb; hlt; jmp 1b)

TEST(dirty_log_has_what_is_written_for_the_guest)
{
	static const u64 one[4] = { 1 << 9 };
	u8 *hva;
	struct vcpu *v = boot_with_log(&hva);
	struct minivmm_regs r = get_regs(v);

	r.rdi = SLOT + 9 * PAGE;
	r.rdx = 0x10;
	set_regs(v, &r);
	LOAD(v->vm, CODE, insb_here);
	*(u8 *)RUN_TO_IN(v, 0x10, 1) = 0x77;
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(hva[9 * PAGE], 0x77);
	check_dirty(v->vm, one);
}

TEST(dirty_log_refuses)
{
	static const u64 one[4] = { 1 };
	u8 *hva;
	struct vcpu *v = boot_with_log(&hva);
	u64 bitmap[4];

	guest_writes(v, SLOT, 1);
	CHECK_ERRNO(get_dirty_log(v->vm, 0, bitmap), ENOENT);
	CHECK_ERRNO(get_dirty_log(v->vm, 2, bitmap), ENOENT);
	CHECK_ERRNO(get_dirty_log(v->vm, 0xffff, bitmap), EINVAL);
	CHECK_ERRNO(get_dirty_log(v->vm, 2 << 16, bitmap), EINVAL);
	CHECK_ERRNO(ioctl(v->vm->fd, MINIVMM_GET_DIRTY_LOG, 8l), EFAULT);
	check_dirty(v->vm, one);
	CHECK_ERRNO(get_dirty_log(v->vm, 1, (void *)8), EFAULT);
}

/* ---- what else writes ------------------------------------------------------------------------ */

/* The A and D bits that the guest's own page walk sets in its tables, which are in logged memory. */
TEST(page_walk_that_sets_bits)
{
	static const u64 one[4] = { 1 << 2 }, none[4];
	u8 *hva;
	struct vcpu *v = boot_with_log(&hva);
	struct minivmm_sregs s = get_sregs(v);
	u64 *pd;

	if (uses_ept(v->vm) && !ept_has_dirty_bits())
		skip_on_bochs("a page walk writes A and D bits though EPT forbids it");
	/* page 2 of the slot is a page directory, for the second GiB: 2M pages */
	pd = word(hva, 2 * PAGE);
	for (u64 i = 0; i < 512; i++)
		pd[i] = i << 21 | 0x83;
	*word(v->vm->mem, PAGE_TABLES + PAGE + 8) = (SLOT + 2 * PAGE) | 0x23;
	s.cr3 = PAGE_TABLES;
	set_sregs(v, &s);
	check_dirty(v->vm, none);
	CHECK_EQ(guest_reads(v, GiB + DATA), 0);
	CHECK_EQ(pd[0], 0xa3);
	check_dirty(v->vm, one);
	guest_writes(v, GiB + DATA, 1);
	CHECK_EQ(pd[0], 0xe3);
	/* with A and D bits of its own EPT takes every access to a table for a write */
	check_dirty(v->vm, one);
}

/* Read before it is written: the page is there already. */
TEST(page_that_was_read_before)
{
	static const u64 one[4] = { 1 << 7 };
	u8 *hva;
	struct vcpu *v = boot_with_log(&hva);

	CHECK_EQ(guest_reads(v, SLOT + 7 * PAGE), 0);
	guest_writes(v, SLOT + 7 * PAGE, 1);
	check_dirty(v->vm, one);
	CHECK_EQ(guest_reads(v, SLOT + 7 * PAGE), 1);
	guest_writes(v, SLOT + 7 * PAGE, 2);
	check_dirty(v->vm, one);
}

TEST(readonly_slot_is_never_dirty)
{
	static const u64 none[4];
	struct vcpu *v = boot_accessor();

	add_slot(v->vm, 1, MINIVMM_MEM_LOG_DIRTY_PAGES | MINIVMM_MEM_READONLY, SLOT, LOGGED * PAGE,
		 host_memory(LOGGED * PAGE));
	CHECK_EQ(guest_reads(v, SLOT), 0);
	aim_write(v, SLOT, 5);
	RUN_TO_WRITE(v, SLOT, 5, 8);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	check_dirty(v->vm, none);
}

/* What was thrown away and comes back is written like any other page. */
TEST(page_that_was_thrown_away)
{
	static const u64 one[4] = { 1 << 7 };
	u8 *hva;
	struct vcpu *v = boot_with_log(&hva);

	guest_writes(v, SLOT + 7 * PAGE, 1);
	check_dirty(v->vm, one);
	CHECK_OK(madvise(hva + 7 * PAGE, PAGE, MADV_DONTNEED));
	guest_writes(v, SLOT + 7 * PAGE, 2);
	check_dirty(v->vm, one);
	CHECK_EQ(*word(hva, 7 * PAGE), 2);
}

/* The log goes along with a slot that moves, with what was written before. */
TEST(log_of_a_slot_that_moves)
{
	static const u64 first[4] = { 1 << 4 }, both[4] = { 1 << 4 | 1 << 9 };
	u8 *hva;
	struct vcpu *v = boot_with_log(&hva);

	guest_writes(v, SLOT + 4 * PAGE, 1);
	add_slot(v->vm, 1, MINIVMM_MEM_LOG_DIRTY_PAGES, SLOT + GiB, LOGGED * PAGE, hva);
	guest_writes(v, SLOT + GiB + 9 * PAGE, 1);
	check_dirty(v->vm, both);
	guest_writes(v, SLOT + GiB + 4 * PAGE, 2);
	add_slot(v->vm, 1, MINIVMM_MEM_LOG_DIRTY_PAGES, SLOT, LOGGED * PAGE, hva);
	check_dirty(v->vm, first);
	check_hole(v, SLOT + GiB + 4 * PAGE);
}

TEST(two_slots_of_the_same_memory_have_their_own_logs)
{
	static const u64 one[4] = { 1 << 3 }, none[4];
	u64 bitmap[4];
	u8 *hva;
	struct vcpu *v = boot_with_log(&hva);

	add_slot(v->vm, 2, MINIVMM_MEM_LOG_DIRTY_PAGES, SLOT + GiB, LOGGED * PAGE, hva);
	guest_writes(v, SLOT + GiB + 3 * PAGE, 1);
	check_dirty(v->vm, none);
	CHECK_OK(get_dirty_log(v->vm, 2, bitmap));
	CHECK_MEM(bitmap, one, sizeof(one));
}

/* ---- manual protection ----------------------------------------------------------------------- */

TEST(manual_protection_is_offered)
{
	struct vm *vm = vm_create();

	CHECK_EQ(vm_extension(vm, MINIVMM_CAP_MANUAL_DIRTY_LOG_PROTECT2), MANUAL | ALL_SET);
	CHECK_EQ(vm_extension(vm, MINIVMM_CAP_ENABLE_CAP_VM), 1);
	CHECK_EQ(node_extension(MINIVMM_CAP_MANUAL_DIRTY_LOG_PROTECT2), MANUAL | ALL_SET);
}

TEST(enable_cap_refuses)
{
	struct vm *vm = vm_create();
	const u32 cap = MINIVMM_CAP_MANUAL_DIRTY_LOG_PROTECT2;

	CHECK_ERRNO(enable_cap(vm, cap, 0, ALL_SET), EINVAL);
	CHECK_ERRNO(enable_cap(vm, cap, 0, MANUAL | 4), EINVAL);
	CHECK_ERRNO(enable_cap(vm, cap, 0, 1ull << 32), EINVAL);
	CHECK_ERRNO(enable_cap(vm, cap, 0, 1ull << 32 | MANUAL), EINVAL);
	CHECK_ERRNO(enable_cap(vm, cap, 1, MANUAL), EINVAL);
	CHECK_ERRNO(enable_cap(vm, MINIVMM_CAP_USER_MEMORY, 0, 0), EINVAL);
	CHECK_ERRNO(enable_cap(vm, ~0u, 0, 0), EINVAL);
	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_ENABLE_CAP, 8l), EFAULT);
	CHECK_OK(enable_cap(vm, cap, 0, MANUAL));
	CHECK_OK(enable_cap(vm, cap, 0, MANUAL | ALL_SET));
	CHECK_OK(enable_cap(vm, cap, 0, 0));
}

TEST(manual_log_stays_until_it_is_cleared)
{
	static const u64 some[4] = { 1 << 3, 1 | 1 << 5, 0, 1 << 7 };
	static const u64 wanted[4] = { ~0ull, 1 << 5, 0, 0 }, left[4] = { 0, 1, 0, 1 << 7 };
	u8 *hva;
	struct vcpu *v = boot_with_log(&hva);

	set_manual(v->vm, MANUAL);
	guest_writes(v, SLOT + 3 * PAGE, 1);
	guest_writes(v, SLOT + 64 * PAGE, 1);
	guest_writes(v, SLOT + 69 * PAGE, 1);
	guest_writes(v, SLOT + 199 * PAGE, 1);
	check_dirty(v->vm, some);
	check_dirty(v->vm, some);
	CHECK_OK(clear_dirty_log(v->vm, 1, 0, LOGGED, wanted));
	check_dirty(v->vm, left);
	/* logged again, what was cleared and what wasn't */
	guest_writes(v, SLOT + 3 * PAGE, 2);
	guest_writes(v, SLOT + 64 * PAGE, 2);
	guest_writes(v, SLOT + 69 * PAGE, 2);
	check_dirty(v->vm, some);
	/* and by GET again from here on */
	set_manual(v->vm, 0);
	check_dirty(v->vm, some);
	guest_writes(v, SLOT + 69 * PAGE, 3);
	check_dirty(v->vm, (u64[4]){ 0, 1 << 5 });
}

/* 64 pages at a time, and the rest of the slot; bits beyond its end mean nothing. */
TEST(log_is_cleared_in_parts)
{
	static const u64 ones[4] = { ~0ull, ~0ull, ~0ull, ~0ull };
	u64 want[4] = { 0x8000000000000001, 0x8000000000000001, 0x8000000000000001, 0x81 };
	u8 *hva;
	struct vcpu *v = boot_with_log(&hva);

	set_manual(v->vm, MANUAL);
	for (int i = 0; i < LOGGED; i++)
		if (i % 64 == 0 || i % 64 == 63 || i == LOGGED - 1)
			guest_writes(v, SLOT + i * PAGE, 1);
	check_dirty(v->vm, want);
	CHECK_OK(clear_dirty_log(v->vm, 1, 64, 64, ones));
	want[1] = 0;
	check_dirty(v->vm, want);
	CHECK_OK(clear_dirty_log(v->vm, 1, 192, 8, ones));
	want[3] = 0;
	check_dirty(v->vm, want);
	guest_writes(v, SLOT + 198 * PAGE, 1);
	want[3] = 1 << 6;
	check_dirty(v->vm, want);
	CHECK_OK(clear_dirty_log(v->vm, 1, 128, 72, ones));
	want[2] = want[3] = 0;
	check_dirty(v->vm, want);
	CHECK_OK(clear_dirty_log(v->vm, 1, 0, 0, NULL));
	CHECK_OK(clear_dirty_log(v->vm, 1, 0, 0, (void *)8));
	check_dirty(v->vm, want);
}

/* It can be used without manual protection, too. */
TEST(clear_beside_a_get_that_clears)
{
	static const u64 wanted[4] = { 1 << 3 }, rest[4] = { 1 << 4 }, again[4] = { 1 << 3 };
	u8 *hva;
	struct vcpu *v = boot_with_log(&hva);

	guest_writes(v, SLOT + 3 * PAGE, 1);
	guest_writes(v, SLOT + 4 * PAGE, 1);
	CHECK_OK(clear_dirty_log(v->vm, 1, 0, LOGGED, wanted));
	check_dirty(v->vm, rest);
	guest_writes(v, SLOT + 3 * PAGE, 2);
	check_dirty(v->vm, again);
}

struct bad_clear {
	const char *what;
	u32 slot;
	u64 first;
	u32 pages;
	int err;
};

/* Slot 1 is logged and has LOGGED pages; slot 0 isn't, and there is no slot 2. */
static const struct bad_clear bad_clears[] = {
	{ "a slot that isn't there", 2, 0, 64, ENOENT },
	{ "a slot that isn't logged", 0, 0, 64, ENOENT },
	{ "a slot number too high", 0xffff, 0, 64, EINVAL },
	{ "an address space that isn't", 1 | 2 << 16, 0, 64, EINVAL },
	{ "a first page within a word", 1, 8, 64, EINVAL },
	{ "the same where there is no slot", 2, 8, 64, EINVAL },
	{ "a first page past the end", 1, 256, 0, EINVAL },
	{ "a first page far past the end", 1, 1ull << 63, 64, EINVAL },
	{ "a range that wraps round", 1, -64ull, 64, EINVAL },
	{ "more pages than there are", 1, 0, 256, EINVAL },
	{ "more from the middle on", 1, 64, 192, EINVAL },
	{ "every page there could be", 1, 0, ~0u, EINVAL },
	{ "a part of a word before the end", 1, 0, 63, EINVAL },
	{ "a part of the last word", 1, 192, 7, EINVAL },
};

TEST(clear_refuses)
{
	static const u64 ones[64] = { ~0ull, ~0ull, ~0ull, ~0ull }, one[4] = { 1 };
	u8 *hva;
	struct vcpu *v = boot_with_log(&hva);

	set_manual(v->vm, MANUAL);
	guest_writes(v, SLOT, 1);
	for (size_t i = 0; i < ARRAY_SIZE(bad_clears); i++) {
		const struct bad_clear *b = &bad_clears[i];

		context("%s", b->what);
		CHECK_ERRNO(clear_dirty_log(v->vm, b->slot, b->first, b->pages, ones), b->err);
	}
	context("a bad pointer");
	CHECK_ERRNO(clear_dirty_log(v->vm, 1, 0, 64, (void *)8), EFAULT);
	CHECK_ERRNO(ioctl(v->vm->fd, MINIVMM_CLEAR_DIRTY_LOG, 8l), EFAULT);
	context("all refused");
	check_dirty(v->vm, one);
}

/* A new log begins with every page of the slot and none beyond. */
TEST(log_that_begins_with_all_bits_set)
{
	static const u64 all[4] = { ~0ull, ~0ull, ~0ull, 0xff }, first[4] = { ~0ull };
	static const u64 left[4] = { 0, ~0ull, ~0ull, 0xff };
	struct vcpu *v = boot_accessor();
	u8 *hva = host_memory(LOGGED * PAGE);
	u64 again[4];

	set_manual(v->vm, MANUAL | ALL_SET);
	add_slot(v->vm, 1, 0, SLOT, LOGGED * PAGE, hva);
	guest_writes(v, SLOT, 1);
	add_slot(v->vm, 1, MINIVMM_MEM_LOG_DIRTY_PAGES, SLOT, LOGGED * PAGE, hva);
	check_dirty(v->vm, all);
	CHECK_OK(clear_dirty_log(v->vm, 1, 0, 64, first));
	check_dirty(v->vm, left);
	guest_writes(v, SLOT, 2);
	guest_writes(v, SLOT + 63 * PAGE, 2);
	guest_writes(v, SLOT + 64 * PAGE, 2);
	memcpy(again, left, sizeof(again));
	again[0] = 1 | 1ull << 63;
	check_dirty(v->vm, again);
	/* also of a slot that is logged from its beginning */
	add_slot(v->vm, 1, 0, SLOT, 0, hva);
	add_slot(v->vm, 1, MINIVMM_MEM_LOG_DIRTY_PAGES, SLOT, LOGGED * PAGE, hva);
	check_dirty(v->vm, all);
}

/* Huge pages stay until a part of them is cleared. */
TEST(all_bits_set_of_huge_pages)
{
	struct vcpu *v = boot_accessor();
	u8 *hva = huge_memory(2 * MiB);
	u64 bitmap[8], want[8], wanted[1] = { 1 << 5 };

	set_manual(v->vm, MANUAL | ALL_SET);
	add_slot(v->vm, 1, 0, SLOT, 2 * MiB, hva);
	guest_writes(v, SLOT + 5 * PAGE, 1);
	add_slot(v->vm, 1, MINIVMM_MEM_LOG_DIRTY_PAGES, SLOT, 2 * MiB, hva);
	guest_writes(v, SLOT + 5 * PAGE, 2);
	memset(want, 0xff, sizeof(want));
	CHECK_OK(clear_dirty_log(v->vm, 1, 0, 64, wanted));
	want[0] &= ~wanted[0];
	CHECK_OK(get_dirty_log(v->vm, 1, bitmap));
	CHECK_MEM(bitmap, want, sizeof(want));
	guest_writes(v, SLOT + 6 * PAGE, 3);
	CHECK_OK(get_dirty_log(v->vm, 1, bitmap));
	CHECK_MEM(bitmap, want, sizeof(want));
	guest_writes(v, SLOT + 5 * PAGE, 3);
	memset(want, 0xff, sizeof(want));
	CHECK_OK(get_dirty_log(v->vm, 1, bitmap));
	CHECK_MEM(bitmap, want, sizeof(want));
	CHECK_EQ(*word(hva, 5 * PAGE), 3);
}

/* ---- while vCPUs run ------------------------------------------------------------------------- */

#define SCATTERED	1024		/* pages: more than a CPU's log of its writes holds */

/*
 * Counts in words of pages that a generator of random numbers picks: RSI = the first page's word,
 * R8 = the generator, until DATA + 8 * RBX is 2.
 */
GUEST64(scatter,
	sti;
	movabs $6364136223846793005, %r9;
	movabs $1442695040888963407, %r10;
	1: imul %r9, %r8;
	add %r10, %r8;
	mov %r8, %rax;
	shr $54, %rax;
	shl $12, %rax;
	incq (%rsi, %rax);
	incl DATA + 4(, %rbx, 8);
	cmpl $2, DATA(, %rbx, 8);
	jne 1b;
	hlt)

static struct runner *start_scatter(struct vm *vm, int id)
{
	struct vcpu *v = vcpu_create(vm, id);
	struct minivmm_regs r;

	LOAD(vm, CODE, scatter);
	vcpu_enter_mode(v, LONG64, CODE);
	r = get_regs(v);
	r.rsi = SLOT + 64 * id;
	r.rbx = id;
	r.r8 = id + 1;
	set_regs(v, &r);
	return start_run(v);
}

static void stop_scatter(struct vm *vm, struct runner *run, int id)
{
	*(volatile u32 *)(vm->mem + DATA + 8 * id) = 2;
	CHECK_OK(join_run(run));
	CHECK_EXIT(run->vcpu, MINIVMM_EXIT_HLT);
}

/* The pages that the log has, copied: after it has been taken or cleared. Returns how many. */
static int copy_dirty(struct vm *vm, u64 manual, const u8 *from, u8 *to)
{
	u64 bitmap[SCATTERED / 64];
	int copied = 0;

	CHECK_OK(get_dirty_log(vm, 1, bitmap));
	for (int at = 0; manual && at < SCATTERED; at += 256)
		CHECK_OK(clear_dirty_log(vm, 1, at, 256, bitmap + at / 64));
	for (int i = 0; i < SCATTERED; i++) {
		if (!(bitmap[i / 64] >> i % 64 & 1))
			continue;
		memcpy(to + i * PAGE, from + i * PAGE, PAGE);
		copied++;
	}
	return copied;
}

/* As a client moves a guest to another machine: a copy kept by the log alone ends up the same. */
static void migrate(u64 manual, bool huge, int vcpus)
{
	struct vm *vm = vm_with_memory(MEM_SIZE);
	const size_t size = SCATTERED * PAGE;
	u8 *hva = huge ? huge_memory(size) : host_memory(size), *copy = host_memory(size);
	struct runner *run[2];
	int copied = 0;

	if (manual)
		set_manual(vm, manual);
	add_slot(vm, 1, 0, SLOT, size, hva);
	for (int i = 0; i < vcpus; i++)
		run[i] = start_scatter(vm, i);
	for (int i = 0; i < vcpus; i++)
		while (!((volatile u32 *)(vm->mem + DATA))[2 * i + 1])
			sleep_ms(1);
	add_slot(vm, 1, MINIVMM_MEM_LOG_DIRTY_PAGES, SLOT, size, hva);
	if (!(manual & ALL_SET))
		memcpy(copy, hva, size);
	for (int round = 0; round < 12 || (!copied && !nearly_over()); round++) {
		copied += copy_dirty(vm, manual, hva, copy);
		if (round % 4 == 3)
			sleep_ms(2);
	}
	for (int i = 0; i < vcpus; i++)
		stop_scatter(vm, run[i], i);
	CHECK(copied > 0);
	copy_dirty(vm, manual, hva, copy);
	CHECK_MEM(copy, hva, size);
	CHECK_EQ(copy_dirty(vm, manual, hva, copy), 0);
}

TEST(migration) { migrate(0, false, 1); }
TEST(migration_of_two_vcpus) { migrate(0, false, 2); }
TEST(migration_from_huge_pages) { migrate(0, true, 1); }
TEST(migration_with_manual_protection) { migrate(MANUAL, false, 2); }
TEST(migration_from_huge_pages_with_manual_protection) { migrate(MANUAL, true, 1); }
TEST(migration_with_all_bits_set) { migrate(MANUAL | ALL_SET, false, 2); }
TEST(migration_from_huge_pages_with_all_bits_set) { migrate(MANUAL | ALL_SET, true, 2); }

/* Logging goes on and off while the guest writes; each time it is on, it is right. */
TEST(logging_goes_on_and_off_under_the_guest)
{
	struct vm *vm = vm_with_memory(MEM_SIZE);
	const size_t size = SCATTERED * PAGE;
	u8 *hva = host_memory(size), *copy = host_memory(size);
	struct runner *run = start_scatter(vm, 0);

	/* its first access is MMIO until there is a slot */
	CHECK_OK(join_run(run));
	CHECK_EXIT(run->vcpu, MINIVMM_EXIT_MMIO);
	add_slot(vm, 1, 0, SLOT, size, hva);
	for (int i = 0; i < 6; i++) {
		*(volatile u32 *)(vm->mem + DATA) = 0;
		run = start_run(run->vcpu);
		add_slot(vm, 1, MINIVMM_MEM_LOG_DIRTY_PAGES, SLOT, size, hva);
		memcpy(copy, hva, size);
		copy_dirty(vm, 0, hva, copy);
		sleep_ms(3);
		copy_dirty(vm, 0, hva, copy);
		stop_scatter(vm, run, 0);
		copy_dirty(vm, 0, hva, copy);
		CHECK_MEM(copy, hva, size);
		add_slot(vm, 1, 0, SLOT, size, hva);
		run->vcpu->run->immediate_exit = 0;
		struct minivmm_regs r = get_regs(run->vcpu);
		r.rip = CODE;
		set_regs(run->vcpu, &r);
	}
}

/*
 * What the client has seen the guest write is in the log that it asks for afterwards, however long
 * the vCPU stays in the guest.
 */
GUEST64(write_a_page_when_told,
	sti;
	xor %eax, %eax;
	1: cmpl %eax, DATA;
	je 1b;
	mov DATA, %eax;
	mov %eax, %edx;
	shl $12, %rdx;
	movl %eax, (%rsi, %rdx);
	movl %eax, DATA + 64;
	cmpl $150, %eax;
	jne 1b;
	hlt)

TEST(log_has_what_was_seen_to_be_written)
{
	u8 *hva;
	struct vcpu *v = boot_with_log(&hva);
	volatile u32 *told = (u32 *)(v->vm->mem + DATA), *done = told + 16;
	struct minivmm_regs r = get_regs(v);
	struct runner *run;

	LOAD(v->vm, CODE, write_a_page_when_told);
	r.rsi = SLOT;
	set_regs(v, &r);
	run = start_run(v);
	for (u32 i = 1; i <= 150; i++) {
		u64 want[4] = { 0 };

		context("page %u", i);
		want[i / 64] = 1ull << i % 64;
		*told = i;
		while (*done != i && !run->done)
			sched_yield();
		check_dirty(v->vm, want);
	}
	CHECK_OK(join_run(run));
	CHECK_EXIT(v, MINIVMM_EXIT_HLT);
}

/* ---- by the CPU's own log -------------------------------------------------------------------- */

/* Writes a word of each of RCX pages from RSI on. */
GUEST64(write_all, 1: incq (%rsi); add $4096, %rsi; dec %rcx; jnz 1b; hlt; jmp 1b)

static void write_all(struct vcpu *v, u64 pages)
{
	struct minivmm_regs r = get_regs(v);

	LOAD(v->vm, CODE, write_all);
	r.rip = CODE;
	r.rsi = SLOT;
	r.rcx = pages;
	set_regs(v, &r);
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

/* More pages than the CPU's log holds, twice; with it, the second time without a fault. */
TEST(many_pages_at_once)
{
	struct vcpu *v = boot_accessor();
	const size_t size = 1300 * PAGE;
	u8 *hva = host_memory(size);
	u64 bitmap[21], faults;

	add_slot(v->vm, 1, MINIVMM_MEM_LOG_DIRTY_PAGES, SLOT, size, hva);
	for (int round = 1; round <= 3; round++) {
		faults = stat_of(v->fd, "pf_fixed");
		write_all(v, 1300);
		faults = stat_of(v->fd, "pf_fixed") - faults;
		CHECK_OK(get_dirty_log(v->vm, 1, bitmap));
		for (int i = 0; i < 1300; i++)
			CHECK(bitmap[i / 64] >> i % 64 & 1);
		CHECK_EQ(bitmap[20] >> 20, 0);
		CHECK_OK(get_dirty_log(v->vm, 1, bitmap));
		for (int i = 0; i < 21; i++)
			CHECK_EQ(bitmap[i], 0);
		CHECK_EQ(*word(hva, 1299 * PAGE), round);
	}
	if (!uses_pml(v->vm))
		return;
	CHECK_EQ(faults, 0);
	/* fewer than 2 * (1300 / 512) if a timer's exit has emptied it in between */
	CHECK(stat_of(v->fd, "exit_pml_full") > 0 && stat_of(v->fd, "exit_pml_full") <= 4);
}
