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
	return opt.oracle ? !kvm_has("ept") : vm_extension(vm, MINIVMM_CAP_MMU) == MINIVMM_VM_MMU_SHADOW;
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
