// SPDX-License-Identifier: GPL-2.0
/* SET_USER_MEMORY_REGION: what it takes, what it refuses, and what the guest sees of it. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "thread.h"
#include "vm.h"

/* Where the tests put their slot 1. */
#define SLOT	0x10000000ul

/* Loads and stores of what RSI points to; each ends in HLT and can be run again. */
GUEST64(peek, 1: mov (%rsi), %rax; hlt; jmp 1b)
GUEST64(poke, 1: mov %rax, (%rsi); hlt; jmp 1b)

static void point_at(struct vcpu *v, u64 gpa, u64 rax)
{
	struct minivmm_regs r = get_regs(v);

	r.rip = CODE;
	r.rsi = gpa;
	r.rax = rax;
	set_regs(v, &r);
}

static u64 guest_reads(struct vcpu *v, u64 gpa)
{
	point_at(v, gpa, 0);
	LOAD(v->vm, CODE, peek);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	return get_regs(v).rax;
}

static void guest_writes(struct vcpu *v, u64 gpa, u64 value)
{
	point_at(v, gpa, value);
	LOAD(v->vm, CODE, poke);
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

/* No memory there: the access reaches the client. */
static void check_hole(struct vcpu *v, u64 gpa)
{
	point_at(v, gpa, 0);
	LOAD(v->vm, CODE, peek);
	RUN_TO_READ(v, gpa, 8, 0x123456789abcdef);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_regs(v).rax, 0x123456789abcdef);
}

static u64 *word(void *hva, u64 offset)
{
	return (u64 *)((u8 *)hva + offset);
}

/* ---- success --------------------------------------------------------------------------------- */

TEST(slot_appears)
{
	struct vcpu *v = BOOT(LONG64, peek);
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
	struct vcpu *v = BOOT(LONG64, peek);
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
	struct vcpu *v = BOOT(LONG64, peek);

	add_slot(v->vm, 1, 0, SLOT, PAGE, host_memory(PAGE));
	add_slot(v->vm, 1, MINIVMM_MEM_READONLY, 0x7000, 0, NULL);
	check_hole(v, SLOT);
	CHECK_EQ(guest_reads(v, DATA), 0);
}

TEST(slot_moves)
{
	struct vcpu *v = BOOT(LONG64, peek);
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
	struct vcpu *v = BOOT(LONG64, peek);
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
	struct vcpu *v = BOOT(LONG64, peek);
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
	struct vcpu *v = BOOT(LONG64, peek);
	u8 *hva = host_memory(PAGE);

	add_slot(v->vm, 1, 0, SLOT, PAGE, hva);
	guest_writes(v, SLOT, 3);
	add_slot(v->vm, 1, 0, SLOT, PAGE, hva);
	CHECK_EQ(guest_reads(v, SLOT), 3);
}

TEST(flags_change)
{
	struct vcpu *v = BOOT(LONG64, peek);
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
	struct vcpu *v = BOOT(LONG64, peek);
	u8 *hva = host_memory(PAGE);

	add_slot(v->vm, 1, 0, SLOT, PAGE, hva);
	add_slot(v->vm, 2, 0, SLOT + PAGE, PAGE, hva);
	guest_writes(v, SLOT, 0x1111);
	CHECK_EQ(guest_reads(v, SLOT + PAGE), 0x1111);
}

TEST(slots_side_by_side)
{
	struct vcpu *v = BOOT(LONG64, peek);
	u8 *a = host_memory(PAGE), *b = host_memory(PAGE);

	add_slot(v->vm, 1, 0, SLOT, PAGE, a);
	add_slot(v->vm, 2, 0, SLOT + PAGE, PAGE, b);
	guest_writes(v, SLOT + PAGE - 4, 0x8877665544332211);
	CHECK_EQ(*word(a, PAGE - 8) >> 32, 0x44332211);
	CHECK_EQ(*word(b, 0), 0x88776655);
}

TEST(every_slot_number_works)
{
	struct vcpu *v = BOOT(LONG64, peek);
	int slots = vm_extension(v->vm, MINIVMM_CAP_NR_MEMSLOTS);
	u8 *hva = host_memory(PAGE);

	CHECK(slots >= 32);
	*word(hva, 0) = 9;
	add_slot(v->vm, slots - 1, 0, SLOT, PAGE, hva);
	CHECK_EQ(guest_reads(v, SLOT), 9);
}

TEST(many_slots)
{
	struct vcpu *v = BOOT(LONG64, peek);
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
	struct vcpu *v = BOOT(LONG64, peek);
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
	struct vcpu *v = BOOT(LONG64, peek);
	u8 *hva = host_memory(PAGE);

	*word(hva, 0) = 0x4444;
	add_slot(v->vm, 1, MINIVMM_MEM_READONLY, SLOT, PAGE, hva);
	CHECK_EQ(guest_reads(v, SLOT), 0x4444);
	point_at(v, SLOT, 0x5555);
	LOAD(v->vm, CODE, poke);
	RUN_TO_WRITE(v, SLOT, 0x5555, 8);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(*word(hva, 0), 0x4444);
	*word(hva, 0) = 0x6666;
	CHECK_EQ(guest_reads(v, SLOT), 0x6666);
}

TEST(readonly_slot_written_first)
{
	struct vcpu *v = BOOT(LONG64, peek);
	u8 *hva = host_memory(PAGE);

	add_slot(v->vm, 1, MINIVMM_MEM_READONLY, SLOT, PAGE, hva);
	point_at(v, SLOT + 8, 7);
	LOAD(v->vm, CODE, poke);
	RUN_TO_WRITE(v, SLOT + 8, 7, 8);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(guest_reads(v, SLOT + 8), 0);
}

/* Memory that the client itself can only read. */
TEST(readonly_slot_of_readonly_memory)
{
	struct vcpu *v = BOOT(LONG64, peek);
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
	struct vcpu *v = BOOT(LONG64, peek);
	u8 *hva = host_memory(PAGE);

	*word(hva, 0) = 0x77;
	CHECK_OK(mprotect(hva, PAGE, PROT_READ));
	add_slot(v->vm, 1, 0, SLOT, PAGE, hva);
	CHECK_EQ(guest_reads(v, SLOT), 0x77);
	point_at(v, SLOT, 0x5555);
	LOAD(v->vm, CODE, poke);
	CHECK_ERRNO(vcpu_run(v), EFAULT);
	CHECK_EQ(*word(hva, 0), 0x77);
	CHECK_OK(mprotect(hva, PAGE, PROT_READ | PROT_WRITE));
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(*word(hva, 0), 0x5555);
}

/* ---- the client changes its mappings under the guest ----------------------------------------- */

TEST(madvise_dontneed_is_seen_as_zeroes)
{
	struct vcpu *v = BOOT(LONG64, peek);

	guest_writes(v, DATA, 0x1234);
	guest_writes(v, DATA + PAGE, 0x5678);
	CHECK_OK(madvise(v->vm->mem + DATA, PAGE, MADV_DONTNEED));
	CHECK_EQ(guest_reads(v, DATA), 0);
	CHECK_EQ(guest_reads(v, DATA + PAGE), 0x5678);
	*word(v->vm->mem, DATA) = 0x9abc;
	CHECK_EQ(guest_reads(v, DATA), 0x9abc);
}

/* The same under a page table of the guest's: it is read anew. */
TEST(madvise_dontneed_of_a_page_table)
{
	struct vcpu *v = BOOT(LONG64, peek);
	u8 saved[PAGE];

	guest_writes(v, DATA, 1);
	memcpy(saved, v->vm->mem + PAGE_TABLES, PAGE);
	CHECK_OK(madvise(v->vm->mem + PAGE_TABLES, PAGE, MADV_DONTNEED));
	memcpy(v->vm->mem + PAGE_TABLES, saved, PAGE);
	CHECK_EQ(guest_reads(v, DATA), 1);
}

TEST(munmap_under_the_guest)
{
	struct vcpu *v = BOOT(LONG64, peek);
	u8 *hva = host_memory(2 * PAGE);

	add_slot(v->vm, 1, 0, SLOT, 2 * PAGE, hva);
	guest_writes(v, SLOT, 1);
	guest_writes(v, SLOT + PAGE, 2);
	CHECK_OK(munmap(hva, PAGE));
	point_at(v, SLOT, 0);
	LOAD(v->vm, CODE, peek);
	CHECK_ERRNO(vcpu_run(v), EFAULT);
	CHECK_EQ(guest_reads(v, SLOT + PAGE), 2);
	/* Whatever is mapped there next is the guest's memory. */
	CHECK(mmap(hva, PAGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == hva);
	*word(hva, 0) = 0x33;
	CHECK_EQ(guest_reads(v, SLOT), 0x33);
}

TEST(mapping_replaced_under_the_guest)
{
	struct vcpu *v = BOOT(LONG64, peek);
	u8 *hva = host_memory(PAGE), *other = host_memory(PAGE);

	add_slot(v->vm, 1, 0, SLOT, PAGE, hva);
	guest_writes(v, SLOT, 1);
	*word(other, 0) = 2;
	CHECK(mremap(other, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, hva) == hva);
	CHECK_EQ(guest_reads(v, SLOT), 2);
	guest_writes(v, SLOT, 3);
	CHECK_EQ(*word(hva, 0), 3);
}

TEST(prot_none_under_the_guest)
{
	struct vcpu *v = BOOT(LONG64, peek);
	u8 *hva = host_memory(PAGE);

	add_slot(v->vm, 1, 0, SLOT, PAGE, hva);
	guest_writes(v, SLOT, 0x99);
	CHECK_OK(mprotect(hva, PAGE, PROT_NONE));
	point_at(v, SLOT, 0);
	LOAD(v->vm, CODE, peek);
	CHECK_ERRNO(vcpu_run(v), EFAULT);
	CHECK_OK(mprotect(hva, PAGE, PROT_READ | PROT_WRITE));
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_regs(v).rax, 0x99);
}

TEST(slot_over_nothing_mapped)
{
	struct vcpu *v = BOOT(LONG64, peek);
	u8 *hva = host_memory(PAGE);

	munmap(hva, PAGE);
	add_slot(v->vm, 1, 0, SLOT, PAGE, hva);
	point_at(v, SLOT, 0);
	LOAD(v->vm, CODE, peek);
	CHECK_ERRNO(vcpu_run(v), EFAULT);
}

/* After a fork a page is copied on the next write; the guest must go where the parent's is. */
TEST(copy_on_write_after_fork)
{
	struct vcpu *v = BOOT(LONG64, peek);
	pid_t pid;

	guest_writes(v, DATA, 1);
	pid = CHECK_OK(fork());
	if (!pid)
		pause();
	CHECK_EQ(guest_reads(v, DATA), 1);
	*word(v->vm->mem, DATA) = 2;
	CHECK_EQ(guest_reads(v, DATA), 2);
	guest_writes(v, DATA + PAGE, 3);
	CHECK_EQ(*word(v->vm->mem, DATA + PAGE), 3);
	kill(pid, SIGKILL);
}

/* ---- kinds of memory ------------------------------------------------------------------------- */

static void check_shared_file(int fd)
{
	struct vcpu *v = BOOT(LONG64, peek);
	u64 value = 0;
	u8 *hva;

	CHECK_OK(ftruncate(fd, 4 * PAGE));
	hva = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(hva != MAP_FAILED);
	add_slot(v->vm, 1, 0, SLOT, 4 * PAGE, hva);
	CHECK_EQ(guest_reads(v, SLOT + PAGE), 0);
	guest_writes(v, SLOT + PAGE, 0x1234);
	CHECK_EQ(pread(fd, &value, 8, PAGE), 8);
	CHECK_EQ(value, 0x1234);
	value = 0x5678;
	CHECK_EQ(pwrite(fd, &value, 8, PAGE), 8);
	CHECK_EQ(guest_reads(v, SLOT + PAGE), 0x5678);
	/* Beyond the end of the file there is nothing; what is there again later is new. */
	CHECK_OK(ftruncate(fd, PAGE));
	point_at(v, SLOT + PAGE, 0);
	LOAD(v->vm, CODE, peek);
	CHECK_ERRNO(vcpu_run(v), EFAULT);
	CHECK_OK(ftruncate(fd, 4 * PAGE));
	CHECK_EQ(guest_reads(v, SLOT + PAGE), 0);
}

TEST(memfd)
{
	check_shared_file(CHECK_OK(memfd_create("guest", MFD_CLOEXEC)));
}

TEST(file_on_disk)
{
	char name[] = "/tmp/selftest-XXXXXX";
	int fd = CHECK_OK(mkstemp(name));

	unlink(name);
	check_shared_file(fd);
}

TEST(private_file)
{
	struct vcpu *v = BOOT(LONG64, peek);
	int fd = CHECK_OK(memfd_create("guest", MFD_CLOEXEC));
	u64 value = 5;
	u8 *hva;

	CHECK_OK(ftruncate(fd, PAGE));
	CHECK_EQ(pwrite(fd, &value, 8, 0), 8);
	hva = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	CHECK(hva != MAP_FAILED);
	add_slot(v->vm, 1, 0, SLOT, PAGE, hva);
	CHECK_EQ(guest_reads(v, SLOT), 5);
	guest_writes(v, SLOT, 6);
	CHECK_EQ(*word(hva, 0), 6);
	CHECK_EQ(guest_reads(v, SLOT), 6);
	CHECK_EQ(pread(fd, &value, 8, 0), 8);
	CHECK_EQ(value, 5);
}

TEST(huge_pages)
{
	struct vcpu *v = BOOT(LONG64, peek);
	const u64 size = 4 * MiB;
	u8 *hva = huge_memory(size);

	add_slot(v->vm, 1, 0, SLOT, size, hva);
	for (u64 at = 0; at < size; at += 64 * KiB) {
		guest_writes(v, SLOT + at, at + 1);
		CHECK_EQ(*word(hva, at), at + 1);
	}
	/* A hole in the middle breaks the large page up. */
	CHECK_OK(madvise(hva + MiB, PAGE, MADV_DONTNEED));
	CHECK_EQ(guest_reads(v, SLOT + MiB), 0);
	CHECK_EQ(guest_reads(v, SLOT + MiB - 64 * KiB), MiB - 64 * KiB + 1);
	CHECK_EQ(guest_reads(v, SLOT + 3 * MiB), 3 * MiB + 1);
}

/* gpa and hva that differ in the bits below 2M: no large page fits. */
TEST(huge_pages_out_of_step)
{
	struct vcpu *v = BOOT(LONG64, peek);
	const u64 size = 4 * MiB;
	u8 *hva = huge_memory(size);

	for (u64 at = 0; at < size; at += PAGE)
		*word(hva, at) = at;
	add_slot(v->vm, 1, 0, SLOT + 3 * PAGE, size, hva);
	for (u64 at = 0; at < size; at += 128 * KiB)
		CHECK_EQ(guest_reads(v, SLOT + 3 * PAGE + at), at);
	check_hole(v, SLOT + 2 * PAGE);
	check_hole(v, SLOT + 3 * PAGE + size);
}

/* ---- the dirty log --------------------------------------------------------------------------- */

#define LOGGED	200			/* pages: three words and a part of the fourth */

static int get_dirty_log(struct vm *vm, u32 slot, void *bitmap)
{
	struct minivmm_dirty_log log = { .slot = slot, .dirty_bitmap = bitmap };

	return ioctl(vm->fd, MINIVMM_GET_DIRTY_LOG, &log);
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
	struct vcpu *v = BOOT(LONG64, peek);

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
	struct vcpu *v = BOOT(LONG64, peek);
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
	struct vcpu *v = BOOT(LONG64, peek);
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
		if (!opt.oracle || kvm_has("ept"))
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
 * Thrown away again and again under the running guest; what it counts starts over, never elsewhere.
 */
TEST(pages_go_away_while_the_guest_runs)
{
	struct vcpu *v = BOOT(LONG64, count_in_memory);
	u8 *hva = host_memory(PAGE);
	struct minivmm_regs r = get_regs(v);
	struct runner *run;
	u64 count;

	r.rsi = SLOT;
	set_regs(v, &r);
	add_slot(v->vm, 1, 0, SLOT, PAGE, hva);
	run = start_run(v);
	wait_for_guest((u32 *)(v->vm->mem + DATA), 1);
	for (int i = 0; i < 50; i++) {
		CHECK_OK(madvise(hva, PAGE, MADV_DONTNEED));
		if (i % 8 == 0)
			sleep_ms(1);
	}
	*(u32 *)(v->vm->mem + DATA) = 2;
	CHECK_OK(join_run(run));
	CHECK_EQ(v->run->exit_reason, MINIVMM_EXIT_HLT);
	count = *word(hva, 0);
	/* The last write may have been thrown away with its page. */
	CHECK(count == get_regs(v).rax || count == 0);
}
