// SPDX-License-Identifier: GPL-2.0
/*
 * Guest memory that the kernel takes away and brings back: swap, ageing, guests that are larger
 * than the memory that they may have, and files that are written back. The lab must have zram, brd,
 * crc32c_generic and ext4; what this changes of the machine it changes there only.
 */
#include <fcntl.h>
#include <linux/memfd.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "access.h"
#include "thread.h"

#define ZRAM		"/dev/zram0"
#define ZRAM_SIZE	"/sys/block/zram0/disksize"

/* ---- swap and what it did -------------------------------------------------------------------- */

static bool have_swap(void)
{
	FILE *f = fopen("/proc/swaps", "r");
	int lines = 0, c;

	while (f && (c = fgetc(f)) != EOF)
		lines += c == '\n';
	if (f)
		fclose(f);
	return lines > 1;
}

static void want_swap(void)
{
	if (have_swap())
		return;
	if (!on_bochs())
		skip("there is no swap");
	if (access(ZRAM, W_OK))
		FAIL("the lab was to be run with --module zram");
	if (!read_number(ZRAM_SIZE))
		CHECK(write_file(ZRAM_SIZE, "256M"));
	CHECK(!system("mkswap " ZRAM " > /dev/null"));
	CHECK_OK(swapon(ZRAM, 0));
}

/* A counter of /proc/vmstat, in pages. */
static long vmstat(const char *name)
{
	FILE *f = fopen("/proc/vmstat", "r");
	char found[64];
	long value;

	while (f && fscanf(f, "%63s %ld", found, &value) == 2)
		if (!strcmp(found, name)) {
			fclose(f);
			return value;
		}
	FAIL("/proc/vmstat has no %s", name);
}

/* How many pages from mem on are out. */
static int count_swapped(const void *mem, int pages)
{
	int fd = CHECK_OK(open("/proc/self/pagemap", O_RDONLY)), n = 0;
	u64 entry;

	for (int i = 0; i < pages; i++) {
		CHECK_EQ(pread(fd, &entry, 8, ((u64)mem / PAGE + i) * 8), 8);
		n += entry >> 62 & 1;
	}
	close(fd);
	return n;
}

/*
 * What was touched lately only ages at the first time. No guest of this CPU touches it in between;
 * one of another may.
 */
static void swap_out(void *mem, size_t size)
{
	struct sched_param high = { .sched_priority = 1 }, none = {};

	CHECK_OK(sched_setscheduler(0, SCHED_FIFO, &high));
	for (int i = 0; i < 3; i++)
		CHECK_OK(madvise(mem, size, MADV_PAGEOUT));
	CHECK_OK(sched_setscheduler(0, SCHED_OTHER, &none));
}

/* ---- while the guest stands still ------------------------------------------------------------ */

TEST(memory_comes_back_to_guest_and_host)
{
	const int pages = 64;
	struct vcpu *v = boot_accessor();
	u8 *mem = host_memory(pages * PAGE);

	want_swap();
	add_slot(v->vm, 1, 0, SLOT, pages * PAGE, mem);
	for (int i = 0; i < pages; i++)
		guest_writes(v, SLOT + i * PAGE, 1000 + i);
	for (int round = 0; round < 3; round++) {
		swap_out(mem, pages * PAGE);
		CHECK(count_swapped(mem, pages) > pages * 3 / 4);
		for (int i = 0; i < pages; i += 2)
			CHECK_EQ(guest_reads(v, SLOT + i * PAGE), 1000 + i + round);
		for (int i = 1; i < pages; i += 2)
			CHECK_EQ(*word(mem, i * PAGE), 1000u + i + round);
		for (int i = 0; i < pages; i++)
			if (i % 3)
				guest_writes(v, SLOT + i * PAGE, 1001 + i + round);
			else
				*word(mem, i * PAGE) = 1001 + i + round;
	}
}

/* Its code, its stack and its page tables as well. */
TEST(whole_guest_comes_back)
{
	struct vcpu *v = boot_accessor();

	want_swap();
	guest_writes(v, DATA, 77);
	for (int i = 0; i < 5; i++) {
		aim_read(v, DATA);
		swap_out(v->vm->mem, v->vm->size);
		CHECK(count_swapped(v->vm->mem + PAGE_TABLES, 2) == 2);
		RUN_TO(v, MINIVMM_EXIT_HLT);
		CHECK_EQ(get_regs(v).rax, 77);
	}
}

/* A page that comes back is clean for the dirty log until it is written. */
TEST(dirty_log_across_swap)
{
	struct vcpu *v = boot_accessor();
	u8 *mem = host_memory(64 * PAGE);
	u64 bitmap = 0;
	struct minivmm_dirty_log log = { .slot = 1, .dirty_bitmap = &bitmap };

	want_swap();
	add_slot(v->vm, 1, MINIVMM_MEM_LOG_DIRTY_PAGES, SLOT, 64 * PAGE, mem);
	for (int i = 0; i < 3; i++) {
		guest_writes(v, SLOT + 5 * PAGE, i);
		swap_out(mem, 64 * PAGE);
		CHECK_OK(ioctl(v->vm->fd, MINIVMM_GET_DIRTY_LOG, &log));
		CHECK_EQ(bitmap, 1 << 5);
		CHECK_EQ(guest_reads(v, SLOT + 5 * PAGE), i);
		CHECK_OK(ioctl(v->vm->fd, MINIVMM_GET_DIRTY_LOG, &log));
		if (!opt.oracle || kvm_has("ept"))
			CHECK_EQ(bitmap, 0);
	}
}

/* What the guest has touched since it was asked for last stays; the rest goes. */
TEST(pages_in_use_stay)
{
	const int pages = 64;
	struct vcpu *v = boot_accessor();
	u8 *mem = host_memory(2 * pages * PAGE), *scratch = host_memory(PAGE);
	int used, idle;

	want_swap();
	add_slot(v->vm, 1, 0, SLOT, 2 * pages * PAGE, mem);
	add_slot(v->vm, 2, 0, SLOT + MiB, PAGE, scratch);
	for (int i = 0; i < 2 * pages; i++)
		guest_writes(v, SLOT + i * PAGE, i + 1);
	/* all are young: this only ages them */
	CHECK_OK(madvise(mem, 2 * pages * PAGE, MADV_PAGEOUT));
	CHECK_EQ(count_swapped(mem, 2 * pages), 0);
	/* the CPU marks what it looks up anew, not what it has in its TLB: which this empties */
	guest_writes(v, SLOT + MiB, 1);
	CHECK_OK(madvise(scratch, PAGE, MADV_DONTNEED));
	for (int i = 0; i < pages; i++)
		CHECK_EQ(guest_reads(v, SLOT + i * PAGE), i + 1);
	CHECK_OK(madvise(mem, 2 * pages * PAGE, MADV_PAGEOUT));
	used = count_swapped(mem, pages);
	idle = count_swapped(mem + pages * PAGE, pages);
	if (used > pages / 8 || idle < pages * 7 / 8)
		FAIL("of %d pages each, %d that were in use are out, and %d that weren't", pages,
		     used, idle);
	for (int i = 0; i < 2 * pages; i++)
		CHECK_EQ(guest_reads(v, SLOT + i * PAGE), i + 1);
}

/* ---- while it hammers ------------------------------------------------------------------------ */

static void hammer_and_swap(u8 *mem, u32 pages, int vcpus)
{
	struct vm *vm = vm_with_memory(MEM_SIZE);
	struct hammer *h[2];
	long out = vmstat("pswpout"), in = vmstat("pswpin");
	long least = get_nprocs() > 1 ? 8 : pages;

	add_slot(vm, 1, 0, SLOT, pages * PAGE, mem);
	for (int i = 0; i < vcpus; i++)
		h[i] = hammer_start(vm, i, SLOT, pages, 0);
	for (int round = 0; round < 6; round++) {
		for (int i = 0; i < vcpus; i++)
			hammer_wait(h[i], 2);
		swap_out(mem, pages * PAGE);
		if (round % 2)
			swap_out(vm->mem, vm->size);
	}
	for (int i = 0; i < vcpus; i++) {
		hammer_wait(h[i], 1);
		hammer_stop(h[i]);
		hammer_check(h[i], mem + 8 * i);
	}
	out = vmstat("pswpout") - out;
	in = vmstat("pswpin") - in;
	if (out < least || in < least)
		FAIL("%ld pages went out, and %ld came in", out, in);
}

TEST(anonymous_memory_is_swapped)
{
	want_swap();
	hammer_and_swap(host_memory(96 * PAGE), 96, 1);
}

TEST(memory_of_two_vcpus_is_swapped)
{
	want_swap();
	hammer_and_swap(host_memory(96 * PAGE), 96, 2);
}

TEST(huge_pages_are_swapped)
{
	want_swap();
	hammer_and_swap(huge_memory(2 * MiB), 512, 1);
}

TEST(memfd_is_swapped)
{
	int fd = CHECK_OK(memfd_create("guest", MFD_CLOEXEC));
	u8 *mem;

	want_swap();
	CHECK_OK(ftruncate(fd, 96 * PAGE));
	mem = mmap(NULL, 96 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(mem != MAP_FAILED);
	hammer_and_swap(mem, 96, 1);
}

/* All that is out comes back at once when the device is taken away. */
TEST(swap_is_switched_off_under_the_guest)
{
	struct vm *vm = vm_with_memory(MEM_SIZE);
	u8 *mem = host_memory(256 * PAGE);
	struct hammer *h;

	if (!on_bochs())
		skip("the swap isn't ours");
	want_swap();
	add_slot(vm, 1, 0, SLOT, 256 * PAGE, mem);
	h = hammer_start(vm, 0, SLOT, 256, 0);
	for (int i = 0; i < 3; i++) {
		hammer_wait(h, 2);
		swap_out(mem, 256 * PAGE);
		CHECK_OK(swapoff(ZRAM));
		hammer_wait(h, 2);
		CHECK_OK(swapon(ZRAM, 0));
	}
	hammer_stop(h);
	hammer_check(h, mem);
}

/* ---- under pressure -------------------------------------------------------------------------- */

#define CGROUPS		"/tmp/selftest-cgroup"

/* This process, in a group of its own; name is a file of the group's. */
static const char *in_group(const char *name)
{
	static char path[96];

	snprintf(path, sizeof(path), CGROUPS "/guest/%s", name);
	return path;
}

static void enter_group(void)
{
	char pid[16];

	if (!on_bochs())
		skip("control groups aren't ours to change");
	mkdir(CGROUPS, 0700);
	if (mount("none", CGROUPS, "cgroup2", 0, NULL) && errno != EBUSY)
		FAIL("mount of cgroup2: %s", errno_name(errno));
	CHECK(write_file(CGROUPS "/cgroup.subtree_control", "+memory"));
	mkdir(CGROUPS "/guest", 0700);
	snprintf(pid, sizeof(pid), "%d", getpid());
	CHECK(write_file(in_group("memory.max"), "max"));
	CHECK(write_file(in_group("cgroup.procs"), pid));
}

/* More memory than its group may have. */
TEST(guest_larger_than_its_group_may_be)
{
	const u32 pages = 1024;
	struct vm *vm = vm_with_memory(MEM_SIZE);
	u8 *mem = host_memory(pages * PAGE);
	long out = vmstat("pswpout");
	struct hammer *h;

	want_swap();
	enter_group();
	CHECK(write_file(in_group("memory.max"), "3M"));
	add_slot(vm, 1, 0, SLOT, pages * PAGE, mem);
	h = hammer_start(vm, 0, SLOT, pages, 0);
	hammer_wait(h, 2);
	hammer_stop(h);
	CHECK(vmstat("pswpout") - out > pages / 2);
	hammer_check(h, mem);
	CHECK(write_file(in_group("memory.max"), "max"));
}

/* ---- files that are written back ------------------------------------------------------------- */

#define DISK	"/dev/ram0"
#define MOUNT	"/tmp/selftest-disk"

static void mount_disk(void)
{
	if (mount(DISK, MOUNT, "ext2", 0, NULL) && mount(DISK, MOUNT, "ext4", 0, NULL))
		FAIL("mount of an ext2 file system: %s (the lab was to be run with --module ext4)",
		     errno_name(errno));
}

/* What the guest writes after its page was written back is written back as well. */
TEST(file_is_written_back_under_the_guest)
{
	const u32 pages = 64;
	struct vm *vm = vm_with_memory(MEM_SIZE);
	struct hammer *h;
	int fd;
	u8 *mem;

	if (!on_bochs())
		skip("no disk is ours to format");
	if (access(DISK, W_OK))
		FAIL("the lab was to be run with --module brd");
	CHECK(!system("mke2fs " DISK " 8192 > /dev/null 2>&1"));
	mkdir(MOUNT, 0700);
	mount_disk();
	fd = CHECK_OK(open(MOUNT "/memory", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	CHECK_OK(ftruncate(fd, pages * PAGE));
	mem = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(mem != MAP_FAILED);
	add_slot(vm, 1, 0, SLOT, pages * PAGE, mem);
	h = hammer_start(vm, 0, SLOT, pages, 0);
	for (int i = 0; i < 8; i++) {
		hammer_wait(h, 2);
		CHECK_OK(msync(mem, pages * PAGE, MS_SYNC));
	}
	hammer_wait(h, 2);
	hammer_stop(h);
	hammer_check(h, mem);
	add_slot(vm, 1, 0, SLOT, 0, mem);
	munmap(mem, pages * PAGE);
	close(fd);
	CHECK_OK(umount(MOUNT));
	/* what is read now comes from the disk */
	mount_disk();
	fd = CHECK_OK(open(MOUNT "/memory", O_RDONLY | O_CLOEXEC));
	mem = mmap(NULL, pages * PAGE, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(mem != MAP_FAILED);
	hammer_check(h, mem);
	munmap(mem, pages * PAGE);
	close(fd);
	CHECK_OK(umount(MOUNT));
}
