// SPDX-License-Identifier: GPL-2.0
/* SET_USER_MEMORY_REGION: what it takes, what it refuses, and what the guest sees of it. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "access.h"
#include "thread.h"

/* ---- success --------------------------------------------------------------------------------- */

TEST(slot_appears)
{
	struct vcpu *v = boot_accessor();
	u8 *hva = host_memory(2 * PAGE);

	check_hole(v, SLOT);
	*word(hva, PAGE) = 0x1234;
	add_slot(v->vm, 1, 0, SLOT, 2 * PAGE, hva);
	CHECK_EQ(guest_reads(v, SLOT + PAGE), 0x1234);
	guest_writes(v, SLOT, 0x5678);
	CHECK_EQ(*word(hva, 0), 0x5678);
	check_hole(v, SLOT - 8);
	check_hole(v, SLOT + 2 * PAGE);
}

TEST(slot_is_deleted)
{
	struct vcpu *v = boot_accessor();
	u8 *hva = host_memory(PAGE);

	add_slot(v->vm, 1, 0, SLOT, PAGE, hva);
	guest_writes(v, SLOT, 1);
	add_slot(v->vm, 1, 0, SLOT, 0, hva);
	check_hole(v, SLOT);
	CHECK_EQ(*word(hva, 0), 1);
}

/* What a deletion says besides the size isn't looked at. */
TEST(slot_is_deleted_whatever_else_is_said)
{
	struct vcpu *v = boot_accessor();

	add_slot(v->vm, 1, 0, SLOT, PAGE, host_memory(PAGE));
	add_slot(v->vm, 1, MINIVMM_MEM_READONLY, 0x7000, 0, NULL);
	check_hole(v, SLOT);
	CHECK_EQ(guest_reads(v, DATA), 0);
}

TEST(slot_moves)
{
	struct vcpu *v = boot_accessor();
	u8 *hva = host_memory(PAGE);

	add_slot(v->vm, 1, 0, SLOT, PAGE, hva);
	guest_writes(v, SLOT, 0x77);
	add_slot(v->vm, 1, 0, SLOT + 8 * PAGE, PAGE, hva);
	check_hole(v, SLOT);
	CHECK_EQ(guest_reads(v, SLOT + 8 * PAGE), 0x77);
}

/* Onto a place that overlaps its own. */
TEST(slot_moves_by_a_page)
{
	struct vcpu *v = boot_accessor();
	u8 *hva = host_memory(4 * PAGE);

	for (int i = 0; i < 4; i++)
		*word(hva, i * PAGE) = i + 1;
	add_slot(v->vm, 1, 0, SLOT, 4 * PAGE, hva);
	CHECK_EQ(guest_reads(v, SLOT + PAGE), 2);
	add_slot(v->vm, 1, 0, SLOT + PAGE, 4 * PAGE, hva);
	check_hole(v, SLOT);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(guest_reads(v, SLOT + (i + 1) * PAGE), i + 1);
}

TEST(slot_is_replaced)
{
	struct vcpu *v = boot_accessor();
	u8 *a = host_memory(PAGE), *b = host_memory(PAGE);

	*word(a, 0) = 1;
	*word(b, 0) = 2;
	add_slot(v->vm, 1, 0, SLOT, PAGE, a);
	CHECK_EQ(guest_reads(v, SLOT), 1);
	add_slot(v->vm, 1, 0, SLOT, 0, a);
	add_slot(v->vm, 1, 0, SLOT, PAGE, b);
	CHECK_EQ(guest_reads(v, SLOT), 2);
}

TEST(same_slot_again_changes_nothing)
{
	struct vcpu *v = boot_accessor();
	u8 *hva = host_memory(PAGE);

	add_slot(v->vm, 1, 0, SLOT, PAGE, hva);
	guest_writes(v, SLOT, 3);
	add_slot(v->vm, 1, 0, SLOT, PAGE, hva);
	CHECK_EQ(guest_reads(v, SLOT), 3);
}

TEST(flags_change)
{
	struct vcpu *v = boot_accessor();
	u8 *hva = host_memory(PAGE);

	add_slot(v->vm, 1, 0, SLOT, PAGE, hva);
	guest_writes(v, SLOT, 3);
	add_slot(v->vm, 1, MINIVMM_MEM_LOG_DIRTY_PAGES, SLOT, PAGE, hva);
	CHECK_EQ(guest_reads(v, SLOT), 3);
	guest_writes(v, SLOT, 4);
	CHECK_EQ(*word(hva, 0), 4);
	add_slot(v->vm, 1, 0, SLOT, PAGE, hva);
	guest_writes(v, SLOT, 5);
	CHECK_EQ(*word(hva, 0), 5);
}

TEST(two_slots_share_memory)
{
	struct vcpu *v = boot_accessor();
	u8 *hva = host_memory(PAGE);

	add_slot(v->vm, 1, 0, SLOT, PAGE, hva);
	add_slot(v->vm, 2, 0, SLOT + PAGE, PAGE, hva);
	guest_writes(v, SLOT, 0x1111);
	CHECK_EQ(guest_reads(v, SLOT + PAGE), 0x1111);
}

TEST(slots_side_by_side)
{
	struct vcpu *v = boot_accessor();
	u8 *a = host_memory(PAGE), *b = host_memory(PAGE);

	add_slot(v->vm, 1, 0, SLOT, PAGE, a);
	add_slot(v->vm, 2, 0, SLOT + PAGE, PAGE, b);
	guest_writes(v, SLOT + PAGE - 4, 0x8877665544332211);
	CHECK_EQ(*word(a, PAGE - 8) >> 32, 0x44332211);
	CHECK_EQ(*word(b, 0), 0x88776655);
}

TEST(every_slot_number_works)
{
	struct vcpu *v = boot_accessor();
	int slots = vm_extension(v->vm, MINIVMM_CAP_NR_MEMSLOTS);
	u8 *hva = host_memory(PAGE);

	CHECK(slots >= 32);
	*word(hva, 0) = 9;
	add_slot(v->vm, slots - 1, 0, SLOT, PAGE, hva);
	CHECK_EQ(guest_reads(v, SLOT), 9);
}

TEST(many_slots)
{
	struct vcpu *v = boot_accessor();
	const int n = 256;
	u8 *hva = host_memory(n * PAGE);

	for (int i = 0; i < n; i++) {
		*word(hva, i * PAGE) = i;
		add_slot(v->vm, 1 + i, 0, SLOT + (u64)(i * 37 % n) * 2 * PAGE, PAGE,
			 hva + i * PAGE);
	}
	for (int i = 0; i < n; i += 5)
		CHECK_EQ(guest_reads(v, SLOT + (u64)(i * 37 % n) * 2 * PAGE), i);
	check_hole(v, SLOT + PAGE);
}

/* ---- refusals -------------------------------------------------------------------------------- */

struct bad_slot {
	const char *what;
	u32 slot, flags;
	u64 gpa, size, hva;
	int err;
};

/* With slot 0 at 0 … MEM_SIZE and slot 1, 4 pages at SLOT. hva 0 stands for that of slot 1. */
static const struct bad_slot bad_slots[] = {
	{ "an unknown flag", 2, 1 << 2, SLOT + MiB, PAGE, 0, EINVAL },
	{ "every flag", 2, ~0u, SLOT + MiB, PAGE, 0, EINVAL },
	{ "an unaligned size", 2, 0, SLOT + MiB, PAGE + 1, 0, EINVAL },
	{ "a size below a page", 2, 0, SLOT + MiB, 1, 0, EINVAL },
	{ "an unaligned gpa", 2, 0, SLOT + MiB + 1, PAGE, 0, EINVAL },
	{ "an unaligned hva", 2, 0, SLOT + MiB, PAGE, 0x10000001, EINVAL },
	{ "a slot number too high", 0xffff, 0, SLOT + MiB, PAGE, 0, EINVAL },
	{ "an address space that isn't", 2 | 2 << 16, 0, SLOT + MiB, PAGE, 0, EINVAL },
	{ "a gpa that wraps round", 2, 0, -PAGE, 2 * PAGE, 0, EINVAL },
	{ "a gpa beyond 52 bits", 2, 0, 1ull << 52, PAGE, 0, EINVAL },
	{ "an end beyond 52 bits", 2, 0, (1ull << 52) - PAGE, 2 * PAGE, 0, EINVAL },
	{ "an hva of the kernel", 2, 0, SLOT + MiB, PAGE, 0xffff888000000000, EINVAL },
	{ "an hva that isn't canonical", 2, 0, SLOT + MiB, PAGE, 0x0000900000000000, EINVAL },
	{ "an hva that runs into the kernel's half", 2, 0, SLOT + MiB, 2ull << 40,
	  0x00007f0000000000, EINVAL },
	{ "an hva that wraps round", 2, 0, SLOT + MiB, 2 * PAGE, -PAGE, EINVAL },
	{ "too many pages", 2, 0, 1ull << 45, 1ull << 43, PAGE, EINVAL },
	{ "deletion of no slot", 2, 0, SLOT + MiB, 0, 0, EINVAL },
	{ "overlap with all of slot 1", 2, 0, SLOT, 4 * PAGE, 0, EEXIST },
	{ "overlap with its start", 2, 0, SLOT - PAGE, 2 * PAGE, 0, EEXIST },
	{ "overlap with its end", 2, 0, SLOT + 3 * PAGE, 2 * PAGE, 0, EEXIST },
	{ "overlap inside it", 2, 0, SLOT + PAGE, PAGE, 0, EEXIST },
	{ "overlap around it", 2, 0, SLOT - PAGE, 8 * PAGE, 0, EEXIST },
	{ "a new size", 1, 0, SLOT, 3 * PAGE, 0, EINVAL },
	{ "a new hva", 1, 0, SLOT, 4 * PAGE, 0x10000000, EINVAL },
	{ "turning read-only", 1, MINIVMM_MEM_READONLY, SLOT, 4 * PAGE, 0, EINVAL },
	{ "a move onto slot 0", 1, 0, MEM_SIZE - PAGE, 4 * PAGE, 0, EEXIST },
};

TEST(refusals_change_nothing)
{
	struct vcpu *v = boot_accessor();
	u8 *hva = host_memory(4 * PAGE);

	for (int i = 0; i < 4; i++)
		*word(hva, i * PAGE) = i + 1;
	add_slot(v->vm, 1, 0, SLOT, 4 * PAGE, hva);
	CHECK_EQ(guest_reads(v, SLOT), 1);
	for (size_t i = 0; i < ARRAY_SIZE(bad_slots); i++) {
		const struct bad_slot *b = &bad_slots[i];

		context("%s", b->what);
		CHECK_ERRNO(set_slot(v->vm, b->slot, b->flags, b->gpa, b->size,
				     b->hva ? (void *)b->hva : hva), b->err);
	}
	context("all refused");
	for (int i = 0; i < 4; i++)
		CHECK_EQ(guest_reads(v, SLOT + i * PAGE), i + 1);
	check_hole(v, SLOT - PAGE);
	check_hole(v, SLOT + 4 * PAGE);
	check_hole(v, SLOT + MiB);
}

TEST(bad_pointer)
{
	struct vm *vm = vm_create();

	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_SET_USER_MEMORY_REGION, NULL), EFAULT);
	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_SET_USER_MEMORY_REGION, -PAGE), EFAULT);
}

TEST(first_number_past_the_last_slot)
{
	struct vm *vm = vm_create();
	int slots = vm_extension(vm, MINIVMM_CAP_NR_MEMSLOTS);

	CHECK_ERRNO(set_slot(vm, slots, 0, SLOT, PAGE, host_memory(PAGE)), EINVAL);
}

/* ---- read-only slots ------------------------------------------------------------------------- */

TEST(readonly_slot_reads_memory_and_writes_exit)
{
	struct vcpu *v = boot_accessor();
	u8 *hva = host_memory(PAGE);

	*word(hva, 0) = 0x4444;
	add_slot(v->vm, 1, MINIVMM_MEM_READONLY, SLOT, PAGE, hva);
	CHECK_EQ(guest_reads(v, SLOT), 0x4444);
	aim_write(v, SLOT, 0x5555);
	RUN_TO_WRITE(v, SLOT, 0x5555, 8);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(*word(hva, 0), 0x4444);
	*word(hva, 0) = 0x6666;
	CHECK_EQ(guest_reads(v, SLOT), 0x6666);
}

TEST(readonly_slot_written_first)
{
	struct vcpu *v = boot_accessor();
	u8 *hva = host_memory(PAGE);

	add_slot(v->vm, 1, MINIVMM_MEM_READONLY, SLOT, PAGE, hva);
	aim_write(v, SLOT + 8, 7);
	RUN_TO_WRITE(v, SLOT + 8, 7, 8);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(guest_reads(v, SLOT + 8), 0);
}

/* Memory that the client itself can only read. */
TEST(readonly_slot_of_readonly_memory)
{
	struct vcpu *v = boot_accessor();
	u8 *hva = host_memory(PAGE);

	*word(hva, 0) = 0x77;
	CHECK_OK(mprotect(hva, PAGE, PROT_READ));
	add_slot(v->vm, 1, MINIVMM_MEM_READONLY, SLOT, PAGE, hva);
	CHECK_EQ(guest_reads(v, SLOT), 0x77);
}

/*
 * A guest's write through memory that is mapped read-only can't be done, and is the client's to
 * know.
 */
TEST(writable_slot_of_readonly_memory)
{
	struct vcpu *v = boot_accessor();
	u8 *hva = host_memory(PAGE);

	*word(hva, 0) = 0x77;
	CHECK_OK(mprotect(hva, PAGE, PROT_READ));
	add_slot(v->vm, 1, 0, SLOT, PAGE, hva);
	CHECK_EQ(guest_reads(v, SLOT), 0x77);
	aim_write(v, SLOT, 0x5555);
	CHECK_ERRNO(vcpu_run(v), EFAULT);
	CHECK_EQ(*word(hva, 0), 0x77);
	CHECK_OK(mprotect(hva, PAGE, PROT_READ | PROT_WRITE));
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(*word(hva, 0), 0x5555);
}

/* ---- while vCPUs run ------------------------------------------------------------------------- */

/* Counts in memory, and sees each value it wrote; anything else ends it. */
GUEST64(count_in_memory,
	movl $1, DATA;
	sti;
	1: mov (%rsi), %rax;
	inc %rax;
	mov %rax, (%rsi);
	cmpl $2, DATA;
	jne 1b;
	hlt)

TEST(slots_change_while_the_guest_runs)
{
	struct vcpu *v = BOOT(LONG64, count_in_memory);
	u8 *hva = host_memory(PAGE), *other = host_memory(PAGE);
	struct minivmm_regs r = get_regs(v);
	struct runner *run;

	r.rsi = SLOT;
	set_regs(v, &r);
	add_slot(v->vm, 1, 0, SLOT, PAGE, hva);
	run = start_run(v);
	wait_for_guest((u32 *)(v->vm->mem + DATA), 1);
	for (int i = 0; i < 20; i++) {
		add_slot(v->vm, 2, 0, SLOT + MiB, PAGE, other);
		add_slot(v->vm, 2, 0, SLOT + 2 * MiB, PAGE, other);
		add_slot(v->vm, 1, MINIVMM_MEM_LOG_DIRTY_PAGES, SLOT, PAGE, hva);
		add_slot(v->vm, 1, 0, SLOT, PAGE, hva);
		add_slot(v->vm, 2, 0, SLOT, 0, other);
	}
	*(u32 *)(v->vm->mem + DATA) = 2;
	CHECK_OK(join_run(run));
	CHECK_EQ(v->run->exit_reason, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_regs(v).rax, *word(hva, 0));
	CHECK(*word(hva, 0) > 0);
}

/* The slot that the guest is using goes away: from then on its accesses are MMIO. */
TEST(slot_in_use_is_deleted)
{
	struct vcpu *v = BOOT(LONG64, count_in_memory);
	u8 *hva = host_memory(PAGE);
	struct minivmm_regs r = get_regs(v);
	struct runner *run;

	r.rsi = SLOT;
	set_regs(v, &r);
	add_slot(v->vm, 1, 0, SLOT, PAGE, hva);
	run = start_run(v);
	wait_for_guest((u32 *)(v->vm->mem + DATA), 1);
	add_slot(v->vm, 1, 0, SLOT, 0, hva);
	CHECK_OK(join_run(run));
	CHECK_EQ(v->run->exit_reason, MINIVMM_EXIT_MMIO);
	CHECK_EQ(v->run->mmio.phys_addr, SLOT);
	CHECK_EQ(v->run->mmio.len, 8);
}

/*
 * Deleted, made anew, and moved away and back under two vCPUs: what is read is what was written
 * last, an older value of the same page, or nothing while the slot isn't there.
 */
TEST(slot_comes_and_goes_under_two_vcpus)
{
	const u64 size = 64 * PAGE;
	int flags = HAMMER_MAY_EXIT | HAMMER_MAY_LOSE | HAMMER_MAY_LAG;
	struct vm *vm = vm_with_memory(MEM_SIZE);
	u8 *hva = host_memory(size);
	struct hammer *h[2];

	add_slot(vm, 1, 0, SLOT, size, hva);
	for (int i = 0; i < 2; i++)
		h[i] = hammer_start(vm, i, SLOT, 64, flags);
	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < 2; i++)
			hammer_wait(h[i], 1);
		if (round & 1)
			add_slot(vm, 1, 0, SLOT, 0, hva);
		else
			add_slot(vm, 1, 0, SLOT + 16 * MiB, size, hva);
		for (int i = 0; i < 2; i++)
			hammer_wait(h[i], 2);	/* one of them without the slot */
		add_slot(vm, 1, 0, SLOT, size, hva);
	}
	for (int i = 0; i < 2; i++) {
		hammer_wait(h[i], 2);
		hammer_stop(h[i]);
		CHECK(h[i]->exits > 0);
	}
}

/* ---- where the guest's tables are ------------------------------------------------------------ */

#define TABLES	0x8000000ul	/* copies of those at PAGE_TABLES */
#define A_AND_D	0x60u

/* In host memory, as the guest sees them at gpa: the first 4 GiB, mapped to itself. */
static u64 *copy_tables(struct vm *vm, u64 gpa, u64 bits)
{
	u64 *tables = host_memory(6 * PAGE);

	memcpy(tables, vm->mem + PAGE_TABLES, 6 * PAGE);
	for (int i = 0; i < 6 * 512; i++) {
		if (i < 1024 && tables[i])	/* they lead to each other */
			tables[i] += gpa - PAGE_TABLES;
		if (tables[i])
			tables[i] |= bits;
	}
	return tables;
}

static void load_cr3(struct vcpu *v, u64 cr3)
{
	struct minivmm_sregs s = get_sregs(v);

	s.cr3 = cr3;
	set_sregs(v, &s);
}

/*
 * They can be walked, and never written: A and D stay as they are. With EPT, KVM makes an exit of
 * the walk, which counts as a write; with its shadow MMU a guest gets no further where A and D are
 * clear.
 */
TEST(tables_in_a_readonly_slot)
{
	if (opt.oracle && kvm_has("ept"))
		skip("KVM can't");
	for (int i = opt.oracle ? 1 : 0; i < 2; i++) {
		struct vcpu *v = boot_accessor();
		u64 *tables = copy_tables(v->vm, TABLES, i ? A_AND_D : 0);
		u64 before[6 * 512];

		/* Bochs looks at EPT's W for A and D only if it has to treat all reads as writes. */
		if (!i && uses_ept(v->vm) && !ept_has_dirty_bits())
			continue;
		memcpy(before, tables, sizeof(before));
		add_slot(v->vm, 1, MINIVMM_MEM_READONLY, TABLES, 6 * PAGE, tables);
		load_cr3(v, TABLES);
		for (u64 n = 0; n < 3; n++) {
			guest_writes(v, DATA + n * PAGE, 0x1234 + n);
			CHECK_EQ(guest_reads(v, DATA + n * PAGE), 0x1234 + n);
		}
		/* the guest's own write to one of them is an exit like any other's */
		aim_write(v, TABLES + 8, 5);
		RUN_TO_WRITE(v, TABLES + 8, 5, 8);
		RUN_TO(v, MINIVMM_EXIT_HLT);
		CHECK_EQ(guest_reads(v, DATA), 0x1234);
		CHECK_MEM(tables, before, sizeof(before));
	}
}

/* What such a guest does isn't defined: it ends, and is well again with its own tables. */
static void check_ends(struct vcpu *v)
{
	struct minivmm_vcpu_events events = {};
	struct minivmm_sregs s = get_sregs(v);

	aim_read(v, DATA);
	CHECK_OK(vcpu_run(v));
	if (v->run->exit_reason != MINIVMM_EXIT_SHUTDOWN &&
	    v->run->exit_reason != MINIVMM_EXIT_INTERNAL_ERROR)
		FAIL("%s", exit_name(v->run->exit_reason));
	CHECK_OK(ioctl(v->fd, MINIVMM_SET_VCPU_EVENTS, &events));
	s.cr3 = PAGE_TABLES;
	set_sregs(v, &s);
	CHECK_EQ(guest_reads(v, DATA), 0x77);
}

TEST(tables_where_no_memory_is)
{
	struct vcpu *v = boot_accessor();
	u64 *table = (u64 *)(v->vm->mem + PAGE_TABLES), old;
	struct minivmm_vcpu_events events = {};

	guest_writes(v, DATA, 0x77);
	load_cr3(v, MMIO);
	check_ends(v);
	/* entries of the levels 4 and 3 that lead there */
	for (int i = 0; i < 2; i++) {
		old = table[512 * i];
		table[512 * i] = MMIO | (old & 0xfff);
		load_cr3(v, MMIO);		/* and back: it is another then */
		load_cr3(v, PAGE_TABLES);
		aim_read(v, DATA);
		CHECK_OK(vcpu_run(v));
		table[512 * i] = old;
		CHECK_OK(ioctl(v->fd, MINIVMM_SET_VCPU_EVENTS, &events));
		load_cr3(v, MMIO);
		load_cr3(v, PAGE_TABLES);
		CHECK_EQ(guest_reads(v, DATA), 0x77);
	}
}

/* The slot that the tables in use are in goes away, and comes back. */
TEST(slot_of_the_tables_is_deleted)
{
	struct vcpu *v = boot_accessor();
	u64 *tables = copy_tables(v->vm, TABLES, 0);

	add_slot(v->vm, 1, 0, TABLES, 6 * PAGE, tables);
	load_cr3(v, TABLES);
	guest_writes(v, DATA, 0x77);
	add_slot(v->vm, 1, 0, TABLES, 0, tables);
	check_ends(v);
	add_slot(v->vm, 1, 0, TABLES, 6 * PAGE, tables);
	load_cr3(v, TABLES);
	CHECK_EQ(guest_reads(v, DATA), 0x77);
	/* it moves, and other tables are where it was */
	add_slot(v->vm, 1, 0, TABLES + MiB, 6 * PAGE, tables);
	tables = copy_tables(v->vm, TABLES, 0);
	tables[2 * 512 + 1] = tables[2 * 512];	/* the second 2M are the first again */
	add_slot(v->vm, 2, 0, TABLES, 6 * PAGE, tables);
	load_cr3(v, TABLES);
	CHECK_EQ(guest_reads(v, 2 * MiB + DATA), 0x77);
}

/* ---- PSE-36 ---------------------------------------------------------------------------------- */

#define HIGH	0x123400000ul	/* its bits from 32 on are in the entry's from 13 on */

GUEST32(peek_and_poke32, mov (%esi), %eax; mov %ebx, 4(%esi); hlt)

static u32 peek_and_poke(struct vcpu *v, u32 gva, u32 value)
{
	struct minivmm_regs r = get_regs(v);

	r.rip = CODE;
	r.rsi = gva;
	r.rbx = value;
	set_regs(v, &r);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	return get_regs(v).rax;
}

TEST(pages_of_4m_above_4g)
{
	struct vcpu *v = BOOT(PROT32, peek_and_poke32);
	u32 *directory = (u32 *)(v->vm->mem + PAGE_TABLES);
	u8 *mem = host_memory(4 * MiB);
	struct minivmm_regs r;
	struct minivmm_sregs s;

	add_slot(v->vm, 1, 0, HIGH, 4 * MiB, mem);
	memset(directory, 0, PAGE);
	directory[0] = 0x83;
	directory[1] = (u32)HIGH | (u32)(HIGH >> 32) << 13 | 0x83;
	s = get_sregs(v);
	s.cr3 = PAGE_TABLES;
	s.cr4 |= 0x10;			/* PSE */
	s.cr0 |= 0x80010000;		/* PG, WP */
	set_sregs(v, &s);
	for (u64 at = 0; at < 4 * MiB; at += MiB - 2 * PAGE) {
		*word(mem, at) = 0x1000 + at;
		CHECK_EQ(peek_and_poke(v, 4 * MiB + at, at + 1), 0x1000 + at);
		CHECK_EQ(*word(mem, at), (at + 1) << 32 | (0x1000 + at));
	}
	CHECK(directory[1] & 0x40);
	/* the same gfn's lower bits, below 4G: nothing is there */
	memcpy(directory + 1024, directory, PAGE);
	directory[1024 + 1] = (u32)HIGH | 0x83;
	load_cr3(v, PAGE_TABLES + PAGE);
	r = get_regs(v);
	r.rip = CODE;
	r.rsi = 4 * MiB + 8;
	set_regs(v, &r);
	RUN_TO_READ(v, (u32)HIGH + 8, 4, 5);
}

/* ---- how many tables ------------------------------------------------------------------------- */

#define REGIONS	200		/* of 2M: shadow tables of 4K entries, one for each */

/* Adds 1 to the first word of each region: once, or for as long as DATA is 2. RAX counts passes. */
GUEST64(add_to_regions,
	sti;
	1: mov %rsi, %rdi;
	mov %rbp, %rcx;
	2: incq (%rdi);
	add $0x200000, %rdi;
	dec %rcx;
	jnz 2b;
	inc %rax;
	cmpl $2, DATA;
	je 1b;
	hlt;
	jmp 1b)

static struct vcpu *boot_with_regions(u8 **mem)
{
	struct vcpu *v = BOOT(LONG64, add_to_regions);
	struct minivmm_regs r = get_regs(v);

	*mem = host_memory(REGIONS * 2 * MiB);
	CHECK_OK(madvise(*mem, REGIONS * 2 * MiB, MADV_NOHUGEPAGE));
	r.rsi = SLOT;
	r.rbp = REGIONS;
	r.rax = 0;
	set_regs(v, &r);
	add_slot(v->vm, 1, 0, SLOT, REGIONS * 2 * MiB, *mem);
	return v;
}

static void check_regions(struct vcpu *v, u8 *mem)
{
	for (u64 i = 0; i < REGIONS; i++)
		CHECK_EQ(*word(mem, i * 2 * MiB), get_regs(v).rax);
}

static bool has_shadow_tables(struct vm *vm)
{
	return opt.oracle ? !kvm_has("ept") :
			    vm_extension(vm, MINIVMM_CAP_MMU) == MINIVMM_VM_MMU_SHADOW;
}

static void check_tables(struct vm *vm, u64 limit)
{
	if (!opt.oracle && has_shadow_tables(vm) && stat_of(vm->fd, "table_pages") > limit)
		FAIL("%lld tables", (long long)stat_of(vm->fd, "table_pages"));
}

TEST(number_of_tables_is_bounded)
{
	struct vm *vm = vm_with_memory(MEM_SIZE);
	u8 *mem = host_memory(16 * MiB);

	CHECK_EQ(ioctl(vm->fd, MINIVMM_GET_NR_MMU_PAGES, 0), 64);
	add_slot(vm, 1, 0, SLOT, 16 * MiB, mem);
	CHECK_EQ(ioctl(vm->fd, MINIVMM_GET_NR_MMU_PAGES, 0), 18 * MiB / PAGE / 50);
	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_SET_NR_MMU_PAGES, 63), EINVAL);
	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_SET_NR_MMU_PAGES, 0), EINVAL);
	CHECK_EQ(ioctl(vm->fd, MINIVMM_GET_NR_MMU_PAGES, 0), 18 * MiB / PAGE / 50);
	CHECK_OK(ioctl(vm->fd, MINIVMM_SET_NR_MMU_PAGES, 70));
	CHECK_EQ(ioctl(vm->fd, MINIVMM_GET_NR_MMU_PAGES, 0), 70);
	/* from then on slots don't change it */
	add_slot(vm, 1, 0, SLOT, 0, mem);
	CHECK_EQ(ioctl(vm->fd, MINIVMM_GET_NR_MMU_PAGES, 0), 70);
}

TEST(few_tables_for_much_memory)
{
	u8 *mem;
	struct vcpu *v = boot_with_regions(&mem);

	CHECK_OK(ioctl(v->vm->fd, MINIVMM_SET_NR_MMU_PAGES, 64));
	for (int i = 0; i < 3; i++) {
		RUN_TO(v, MINIVMM_EXIT_HLT);
		check_tables(v->vm, 64);
		check_regions(v, mem);
	}
	if (has_shadow_tables(v->vm))
		CHECK(stat_of(v->vm->fd, "mmu_recycled") > REGIONS);
}

TEST(tables_are_taken_from_a_running_guest)
{
	u8 *mem;
	struct vcpu *v = boot_with_regions(&mem);
	struct runner *run;

	RUN_TO(v, MINIVMM_EXIT_HLT);
	*(u32 *)(v->vm->mem + DATA) = 2;
	run = start_run(v);
	for (int i = 0; i < 8; i++) {
		CHECK_OK(ioctl(v->vm->fd, MINIVMM_SET_NR_MMU_PAGES, i & 1 ? 1000 : 64));
		if (!(i & 1))
			check_tables(v->vm, 64);
		sleep_ms(2);
	}
	*(u32 *)(v->vm->mem + DATA) = 3;
	CHECK_OK(join_run(run));
	CHECK_EXIT(v, MINIVMM_EXIT_HLT);
	check_regions(v, mem);
}
