// SPDX-License-Identifier: GPL-2.0
/*
 * Guest memory is the client's ordinary memory: what the client, or the kernel behind its back,
 * does to it under a guest, for each kind of memory that there is.
 */
#include <fcntl.h>
#include <linux/memfd.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "access.h"
#include "thread.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif

/* RUN failed because guest memory at gpa can't be had, and our own ABI says so in words. */
static void check_names_address(struct vcpu *v, u64 gpa)
{
	struct minivmm_failure failure;
	char address[32];

	if (opt.oracle)
		return;
	snprintf(address, sizeof(address), "%#llx ", (unsigned long long)gpa);
	CHECK_OK(ioctl(v->fd, MINIVMM_GET_FAILURE, &failure));
	if (!strstr(failure.text, address))
		FAIL("expected %s in \"%s\"", address, failure.text);
}

/* ---- the client changes its mappings under the guest ----------------------------------------- */

TEST(madvise_dontneed_is_seen_as_zeroes)
{
	struct vcpu *v = boot_accessor();

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
	struct vcpu *v = boot_accessor();
	u8 saved[PAGE];

	guest_writes(v, DATA, 1);
	memcpy(saved, v->vm->mem + PAGE_TABLES, PAGE);
	CHECK_OK(madvise(v->vm->mem + PAGE_TABLES, PAGE, MADV_DONTNEED));
	memcpy(v->vm->mem + PAGE_TABLES, saved, PAGE);
	CHECK_EQ(guest_reads(v, DATA), 1);
}

TEST(munmap_under_the_guest)
{
	struct vcpu *v = boot_accessor();
	u8 *hva = host_memory(2 * PAGE);

	add_slot(v->vm, 1, 0, SLOT, 2 * PAGE, hva);
	guest_writes(v, SLOT, 1);
	guest_writes(v, SLOT + PAGE, 2);
	CHECK_OK(munmap(hva, PAGE));
	aim_read(v, SLOT);
	CHECK_ERRNO(vcpu_run(v), EFAULT);
	check_names_address(v, SLOT);
	CHECK_EQ(guest_reads(v, SLOT + PAGE), 2);
	/* Whatever is mapped there next is the guest's memory. */
	CHECK(mmap(hva, PAGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == hva);
	*word(hva, 0) = 0x33;
	CHECK_EQ(guest_reads(v, SLOT), 0x33);
}

TEST(mapping_replaced_under_the_guest)
{
	struct vcpu *v = boot_accessor();
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
	struct vcpu *v = boot_accessor();
	u8 *hva = host_memory(PAGE);

	add_slot(v->vm, 1, 0, SLOT, PAGE, hva);
	guest_writes(v, SLOT, 0x99);
	CHECK_OK(mprotect(hva, PAGE, PROT_NONE));
	aim_read(v, SLOT);
	CHECK_ERRNO(vcpu_run(v), EFAULT);
	CHECK_OK(mprotect(hva, PAGE, PROT_READ | PROT_WRITE));
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_regs(v).rax, 0x99);
}

TEST(slot_over_nothing_mapped)
{
	struct vcpu *v = boot_accessor();
	u8 *hva = host_memory(PAGE);

	munmap(hva, PAGE);
	add_slot(v->vm, 1, 0, SLOT, PAGE, hva);
	aim_read(v, SLOT);
	CHECK_ERRNO(vcpu_run(v), EFAULT);
}

/* After a fork a page is copied on the next write; the guest must go where the parent's is. */
TEST(copy_on_write_after_fork)
{
	struct vcpu *v = boot_accessor();
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
	struct vcpu *v = boot_accessor();
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
	aim_read(v, SLOT + PAGE);
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
	struct vcpu *v = boot_accessor();
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
	struct vcpu *v = boot_accessor();
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
	struct vcpu *v = boot_accessor();
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

/* Only the client's own writes to the file change it. */
TEST(private_mapping_of_a_readonly_file_under_a_readonly_slot)
{
	struct vcpu *v = boot_accessor();
	char name[] = "/tmp/selftest-XXXXXX";
	int fd = CHECK_OK(mkstemp(name)), readonly;
	u64 value = 5;
	u8 *hva;

	CHECK_OK(ftruncate(fd, 2 * PAGE));
	CHECK_EQ(pwrite(fd, &value, 8, PAGE), 8);
	readonly = CHECK_OK(open(name, O_RDONLY));
	unlink(name);
	hva = mmap(NULL, 2 * PAGE, PROT_READ, MAP_PRIVATE, readonly, 0);
	CHECK(hva != MAP_FAILED);
	add_slot(v->vm, 1, MINIVMM_MEM_READONLY, SLOT, 2 * PAGE, hva);
	CHECK_EQ(guest_reads(v, SLOT + PAGE), 5);
	aim_write(v, SLOT + PAGE, 6);
	RUN_TO_WRITE(v, SLOT + PAGE, 6, 8);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	value = 7;
	CHECK_EQ(pwrite(fd, &value, 8, PAGE), 8);
	CHECK_EQ(guest_reads(v, SLOT + PAGE), 7);
	CHECK_OK(ftruncate(fd, PAGE));
	aim_read(v, SLOT + PAGE);
	CHECK_ERRNO(vcpu_run(v), EFAULT);
	check_names_address(v, SLOT + PAGE);
}

TEST(shared_anonymous_memory)
{
	struct vcpu *v = boot_accessor();
	u8 *hva = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;

	CHECK(hva != MAP_FAILED);
	add_slot(v->vm, 1, 0, SLOT, 4 * PAGE, hva);
	guest_writes(v, SLOT, 1);
	if (!CHECK_OK(fork())) {
		*word(hva, PAGE) = *word(hva, 0) + 1;
		_exit(0);
	}
	wait(&status);
	CHECK_EQ(guest_reads(v, SLOT + PAGE), 2);
}

/* ---- every kind, while the guest hammers ----------------------------------------------------- */

#define UNIT_4K	(64 * PAGE)		/* what is worked on at a time */
#define UNIT_2M	(2 * MiB)

struct kind {
	u8 *mem;
	size_t size, unit;
	int fd;				/* behind shared memory, or -1 */
	bool private;
};

static struct kind map_kind(size_t size, size_t unit, int fd, int flags)
{
	struct kind k = { .size = size, .unit = unit, .fd = fd, .private = flags & MAP_PRIVATE };

	if (fd >= 0)
		CHECK_OK(ftruncate(fd, size));
	k.mem = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);
	if (k.mem == MAP_FAILED)
		FAIL("mmap: %s", errno_name(errno));
	return k;
}

static struct kind anonymous(void)
{
	return map_kind(2 * UNIT_4K, UNIT_4K, -1, MAP_PRIVATE | MAP_ANONYMOUS);
}

static struct kind transparent_huge(void)
{
	struct kind k = { .size = 2 * UNIT_2M, .unit = UNIT_2M, .fd = -1, .private = true };

	k.mem = huge_memory(k.size);
	return k;
}

static struct kind shared_memfd(void)
{
	return map_kind(2 * UNIT_4K, UNIT_4K, CHECK_OK(memfd_create("guest", MFD_CLOEXEC)),
			MAP_SHARED);
}

static struct kind private_file(void)
{
	struct kind k = map_kind(2 * UNIT_4K, UNIT_4K,
				 CHECK_OK(memfd_create("guest", MFD_CLOEXEC)), MAP_PRIVATE);

	k.fd = -1;
	return k;
}

/* The lab is ours to change; elsewhere they must be there. */
static void want_hugetlb(int pages, const char *size)
{
	char path[96], text[16];

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%s/nr_hugepages", size);
	snprintf(text, sizeof(text), "%d", pages);
	if (on_bochs())
		write_file(path, text);
	if (read_number(path) < pages)
		skip("there are no %d pages of %s", pages, size);
}

static struct kind hugetlb_memfd(void)
{
	want_hugetlb(6, "2048kB");
	return map_kind(2 * UNIT_2M, UNIT_2M,
			CHECK_OK(memfd_create("guest", MFD_CLOEXEC | MFD_HUGETLB)), MAP_SHARED);
}

static struct kind hugetlb_private(void)
{
	want_hugetlb(6, "2048kB");
	return map_kind(2 * UNIT_2M, UNIT_2M, -1, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB);
}

/* Memory that was the guest's a moment ago gets other contents: what still reaches it will show. */
static void reuse_memory(size_t size)
{
	u8 *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	for (size_t at = 0; at < size; at += 64)
		*word(p, at) = 0xdeaddeaddeaddead;
	/* and nobody else writes there */
	for (size_t at = 0; at < size; at += PAGE)
		CHECK_EQ(*word(p, at), 0xdeaddeaddeaddead);
	munmap(p, size);
}

/* The guest has met with what was done to its memory. */
static void wait_for_fault(struct hammer *h, u32 before)
{
	if (!EVENTUALLY(h->done || h->faults != before))
		FAIL("the guest hasn't come to memory that it can't have");
}

static void protect(const struct kind *k, int prot, struct hammer *h)
{
	u32 faults = h->faults;

	CHECK_OK(mprotect(k->mem + k->unit, k->unit, prot));
	wait_for_fault(h, faults);
	CHECK_OK(mprotect(k->mem + k->unit, k->unit, PROT_READ | PROT_WRITE));
}

/* To another address, and back. */
static void move(const struct kind *k, struct hammer *h)
{
	u32 faults = h->faults;
	u8 *aside = mremap(k->mem + k->unit, k->unit, k->unit, MREMAP_MAYMOVE | MREMAP_FIXED,
			   k->mem + GiB);

	CHECK(aside != MAP_FAILED);
	wait_for_fault(h, faults);
	CHECK(mremap(aside, k->unit, k->unit, MREMAP_MAYMOVE | MREMAP_FIXED, k->mem + k->unit) !=
	      MAP_FAILED);
}

static void fork_and_wait(void)
{
	pid_t pid = CHECK_OK(fork());

	if (!pid) {
		sleep_ms(3);
		_exit(0);
	}
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/* Nothing that is done to it loses what the guest has written. */
static void hammer_and_keep(struct kind k)
{
	struct vm *vm = vm_with_memory(MEM_SIZE);
	u32 pages = k.size / PAGE;
	struct hammer *h;

	add_slot(vm, 1, 0, SLOT, k.size, k.mem);
	h = hammer_start(vm, 0, SLOT, pages, HAMMER_MAY_FAULT);
	hammer_wait(h, 2);
	for (int i = 0; i < 3; i++) {
		protect(&k, PROT_READ, h);
		hammer_wait(h, 2);
		protect(&k, PROT_NONE, h);
		hammer_wait(h, 2);
		move(&k, h);
		hammer_wait(h, 2);
		fork_and_wait();
		hammer_wait(h, 2);
	}
	hammer_stop(h);
	hammer_check(h, k.mem);
	/* the host's writes reach the guest as well */
	for (u32 i = 0; i < pages; i += 7) {
		*word(k.mem, i * PAGE) = ~(u64)i;
		CHECK_EQ(guest_reads(h->v, SLOT + i * PAGE), ~(u64)i);
	}
}

TEST(anonymous_memory_keeps_its_contents) { hammer_and_keep(anonymous()); }
TEST(huge_pages_keep_their_contents) { hammer_and_keep(transparent_huge()); }
TEST(memfd_keeps_its_contents) { hammer_and_keep(shared_memfd()); }
TEST(private_file_keeps_its_contents) { hammer_and_keep(private_file()); }
TEST(hugetlb_memfd_keeps_its_contents) { hammer_and_keep(hugetlb_memfd()); }
TEST(hugetlb_keeps_its_contents) { hammer_and_keep(hugetlb_private()); }

/* Its memory goes away and others get it: the guest finds zeroes, never what isn't its own. */
static void hammer_and_lose(struct kind k)
{
	struct vm *vm = vm_with_memory(MEM_SIZE);
	struct hammer *h;

	add_slot(vm, 1, 0, SLOT, k.size, k.mem);
	h = hammer_start(vm, 0, SLOT, k.size / PAGE, HAMMER_MAY_LOSE | HAMMER_MAY_FAULT);
	hammer_wait(h, 2);
	for (int i = 0; i < 6; i++) {
		if (k.private)
			CHECK_OK(madvise(k.mem + k.unit, k.unit, MADV_DONTNEED));
		else if (i % 2)
			CHECK_OK(madvise(k.mem + k.unit, k.unit, MADV_REMOVE));
		else
			CHECK_OK(fallocate(k.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, k.unit,
					   k.unit));
		reuse_memory(k.unit);
		hammer_wait(h, 2);
		if (k.private)
			continue;
		CHECK_OK(ftruncate(k.fd, k.unit));
		reuse_memory(k.unit);
		CHECK_OK(ftruncate(k.fd, k.size));
		hammer_wait(h, 2);
	}
	hammer_stop(h);
	CHECK(hammer_losses(h) > 0);
	hammer_check(h, k.mem);
}

TEST(anonymous_memory_thrown_away) { hammer_and_lose(anonymous()); }
TEST(huge_pages_thrown_away) { hammer_and_lose(transparent_huge()); }
TEST(memfd_with_holes) { hammer_and_lose(shared_memfd()); }
TEST(hugetlb_memfd_with_holes) { hammer_and_lose(hugetlb_memfd()); }
TEST(hugetlb_thrown_away) { hammer_and_lose(hugetlb_private()); }

/* The second half is unmapped under two vCPUs; only the one that uses it hears of that. */
TEST(munmap_under_two_vcpus)
{
	struct vm *vm = vm_with_memory(MEM_SIZE);
	struct kind k = anonymous();
	u8 *others = host_memory(k.unit);
	struct hammer *keeps, *loses;

	add_slot(vm, 1, 0, SLOT, k.size, k.mem);
	keeps = hammer_start(vm, 0, SLOT, k.unit / PAGE, 0);
	loses = hammer_start(vm, 1, SLOT, k.size / PAGE, 0);
	hammer_wait(keeps, 2);
	hammer_wait(loses, 2);
	CHECK_OK(munmap(k.mem + k.unit, k.unit));
	memset(others, 0xde, k.unit);
	pthread_join(loses->thread, NULL);
	CHECK_EQ(loses->ret, -1);
	CHECK_EQ(loses->err, EFAULT);
	check_names_address(loses->v, (get_regs(loses->v).rdi & ~(PAGE - 1)) + 8);
	hammer_wait(keeps, 5);
	hammer_stop(keeps);
	hammer_check(keeps, k.mem);
}

/* ---- large pages come and go ----------------------------------------------------------------- */

/* Touches RCX pages from RSI on. */
GUEST64(touch_all, 1: incq (%rsi); add $4096, %rsi; dec %rcx; jnz 1b; hlt; jmp 1b)

static u64 faults_of_touching(struct vcpu *v, u64 size)
{
	u64 before = stat_of(v->fd, "pf_fixed");
	struct minivmm_regs r = get_regs(v);

	LOAD(v->vm, CODE, touch_all);
	r.rip = CODE;
	r.rsi = SLOT;
	r.rcx = size / PAGE;
	set_regs(v, &r);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	return stat_of(v->fd, "pf_fixed") - before;
}

TEST(hugetlb_pages_are_mapped_whole)
{
	struct kind k = hugetlb_private();
	struct vcpu *v = boot_accessor();

	if (!is_on("large_pages"))
		skip("large pages are off");
	add_slot(v->vm, 1, 0, SLOT, k.size, k.mem);
	/* one for each, and a few for the guest's code and tables */
	CHECK(faults_of_touching(v, k.size) <= 12);
	CHECK_EQ(*word(k.mem, k.size - PAGE), 1);
}

TEST(page_of_a_gigabyte)
{
	struct vcpu *v;
	struct kind k;

	want_hugetlb(1, "1048576kB");
	k = map_kind(GiB, GiB, -1,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | 30 << MAP_HUGE_SHIFT);
	v = boot_accessor();
	/* at 1 GiB in guest-physical space, where a large page fits */
	add_slot(v->vm, 1, 0, GiB, GiB, k.mem);
	for (u64 at = 0; at < GiB; at += 16 * MiB) {
		guest_writes(v, GiB + at, at + 1);
		CHECK_EQ(*word(k.mem, at), at + 1);
		*word(k.mem, at + 8) = at + 2;
		CHECK_EQ(guest_reads(v, GiB + at + 8), at + 2);
	}
	CHECK(stat_of(v->fd, "pf_fixed") < 40);
}

/* Small pages are made a huge one under the guest, and the huge one is broken up again. */
TEST(huge_pages_are_collapsed_under_the_guest)
{
	struct vm *vm = vm_with_memory(MEM_SIZE);
	u8 *hva = huge_memory(2 * UNIT_2M);
	struct hammer *h;

	add_slot(vm, 1, 0, SLOT, 2 * UNIT_2M, hva);
	h = hammer_start(vm, 0, SLOT, 2 * UNIT_2M / PAGE, HAMMER_MAY_FAULT);
	hammer_wait(h, 2);
	for (int i = 0; i < 4; i++) {
		/* a page of its own kind in the middle */
		CHECK_OK(mprotect(hva + MiB, PAGE, PROT_READ));
		hammer_wait(h, 0);
		CHECK_OK(mprotect(hva + MiB, PAGE, PROT_READ | PROT_WRITE));
		hammer_wait(h, 2);
		if (madvise(hva, 2 * UNIT_2M, MADV_COLLAPSE) && errno == EINVAL)
			skip("the kernel collapses no pages on demand");
		hammer_wait(h, 2);
	}
	hammer_stop(h);
	hammer_check(h, hva);
}

/* The same by khugepaged, of memory that was touched before it might be huge. */
TEST(khugepaged_collapses_under_the_guest)
{
	const char *dir = "/sys/kernel/mm/transparent_hugepage/khugepaged";
	struct vm *vm = vm_with_memory(MEM_SIZE);
	u8 *hva = host_memory(2 * UNIT_2M);
	struct hammer *h;
	long before;
	char path[96];

	if (!on_bochs())
		skip("how eager khugepaged is isn't ours to change");
	huge_memory(UNIT_2M);		/* they are to be had */
	snprintf(path, sizeof(path), "%s/scan_sleep_millisecs", dir);
	CHECK(write_file(path, "1"));
	snprintf(path, sizeof(path), "%s/pages_to_scan", dir);
	CHECK(write_file(path, "65536"));
	CHECK_OK(madvise(hva, 2 * UNIT_2M, MADV_NOHUGEPAGE));
	memset(hva, 0, 2 * UNIT_2M);
	before = huge_kilobytes();
	add_slot(vm, 1, 0, SLOT, 2 * UNIT_2M, hva);
	h = hammer_start(vm, 0, SLOT, 2 * UNIT_2M / PAGE, 0);
	hammer_wait(h, 2);
	CHECK_OK(madvise(hva, 2 * UNIT_2M, MADV_HUGEPAGE));
	while (huge_kilobytes() - before < 2048) {
		if (nearly_over())
			FAIL("khugepaged made %ld KiB huge", huge_kilobytes() - before);
		hammer_wait(h, 1);
		sleep_ms(5);
	}
	hammer_wait(h, 3);
	hammer_stop(h);
	hammer_check(h, hva);
}

/* ---- pages that are the same ----------------------------------------------------------------- */

#define KSM	"/sys/kernel/mm/ksm/"

static void wait_for_sharing(long pages)
{
	if (!EVENTUALLY(read_number(KSM "pages_sharing") >= pages))
		FAIL("%ld pages are shared, not %ld", read_number(KSM "pages_sharing"), pages);
}

/* Two VMs' equal pages are merged, and parted again by the first that writes. */
TEST(equal_pages_are_merged)
{
	const u32 pages = 32;
	struct vcpu *v[2] = { boot_accessor(), boot_accessor() };
	u8 *mem[2];

	if (!on_bochs())
		skip("KSM isn't ours to turn on");
	CHECK(write_file(KSM "sleep_millisecs", "1"));
	CHECK(write_file(KSM "pages_to_scan", "1000"));
	CHECK(write_file(KSM "run", "1"));
	for (int i = 0; i < 2; i++) {
		mem[i] = host_memory(pages * PAGE);
		add_slot(v[i]->vm, 1, 0, SLOT, pages * PAGE, mem[i]);
		for (u32 p = 0; p < pages; p++)
			guest_writes(v[i], SLOT + p * PAGE, 1000 + p);
		CHECK_OK(madvise(mem[i], pages * PAGE, MADV_MERGEABLE));
	}
	wait_for_sharing(pages);
	for (u32 p = 0; p < pages; p++)
		for (int i = 0; i < 2; i++)
			CHECK_EQ(guest_reads(v[i], SLOT + p * PAGE), 1000 + p);
	for (u32 p = 0; p < pages; p++) {
		guest_writes(v[p % 2], SLOT + p * PAGE, 5000 + p);
		CHECK_EQ(guest_reads(v[p % 2], SLOT + p * PAGE), 5000 + p);
		CHECK_EQ(guest_reads(v[!(p % 2)], SLOT + p * PAGE), 1000 + p);
		CHECK_EQ(*word(mem[p % 2], p * PAGE), 5000 + p);
		CHECK_EQ(*word(mem[!(p % 2)], p * PAGE), 1000 + p);
	}
	CHECK(write_file(KSM "run", "2"));	/* all are parted */
	for (u32 p = 0; p < pages; p++)
		CHECK_EQ(guest_reads(v[p % 2], SLOT + p * PAGE), 5000 + p);
}

/* The scanner looks at, protects and merges what two guests write all the time. */
TEST(pages_are_merged_under_guests)
{
	const u32 pages = 32;
	struct hammer *h[2];
	u8 *mem[2];

	if (!on_bochs())
		skip("KSM isn't ours to turn on");
	CHECK(write_file(KSM "sleep_millisecs", "0"));
	CHECK(write_file(KSM "pages_to_scan", "1000"));
	for (int i = 0; i < 2; i++) {
		struct vm *vm = vm_with_memory(MEM_SIZE);

		mem[i] = host_memory(pages * PAGE);
		add_slot(vm, 1, 0, SLOT, pages * PAGE, mem[i]);
		CHECK_OK(madvise(mem[i], pages * PAGE, MADV_MERGEABLE));
		h[i] = hammer_start(vm, 0, SLOT, pages, 0);
	}
	for (int i = 0; i < 10; i++) {
		CHECK(write_file(KSM "run", "1"));
		sleep_ms(5);
		hammer_wait(h[0], 2);
		hammer_wait(h[1], 2);
		CHECK(write_file(KSM "run", i % 3 ? "0" : "2"));
	}
	for (int i = 0; i < 2; i++) {
		hammer_stop(h[i]);
		hammer_check(h[i], mem[i]);
	}
	CHECK(write_file(KSM "run", "2"));
}

/* ---- memory that comes when someone brings it ------------------------------------------------ */

static int userfault_open(int flags, u64 features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | flags);

	if (fd < 0)
		skip("userfaultfd: %s", errno_name(errno));
	if (ioctl(fd, UFFDIO_API, &api))
		skip("userfaultfd lacks features %#llx", (unsigned long long)features);
	return fd;
}

static void userfault_register(int fd, void *mem, size_t size, u64 mode)
{
	struct uffdio_register reg = { .range = { (u64)mem, size }, .mode = mode };

	CHECK_OK(ioctl(fd, UFFDIO_REGISTER, &reg));
}

/* The next page that someone waits for. */
static u64 userfault_wait(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct uffd_msg msg;

	if (!EVENTUALLY(poll(&p, 1, 0) == 1))
		FAIL("nobody waits for a page");
	CHECK_EQ(read(fd, &msg, sizeof(msg)), (long)sizeof(msg));
	CHECK_EQ(msg.event, UFFD_EVENT_PAGEFAULT);
	return msg.arg.pagefault.address;
}

static void userfault_bring(int fd, u64 address, u64 first_word)
{
	static u64 page[PAGE / 8];
	struct uffdio_copy copy = {
		.dst = address & ~(PAGE - 1), .src = (u64)page, .len = PAGE,
	};

	page[0] = first_word;
	CHECK_OK(ioctl(fd, UFFDIO_COPY, &copy));
}

/* A vCPU waits for a page; another goes on, and takes faults of its own. */
TEST(vcpu_that_waits_for_a_page_delays_no_other)
{
	int fd = userfault_open(0, 0);
	struct vcpu *v = boot_accessor();
	u8 *slow = host_memory(4 * PAGE), *fast = host_memory(256 * PAGE);
	struct runner *run;
	struct hammer *h;

	userfault_register(fd, slow, 4 * PAGE, UFFDIO_REGISTER_MODE_MISSING);
	add_slot(v->vm, 1, 0, SLOT, 4 * PAGE, slow);
	add_slot(v->vm, 2, 0, SLOT + MiB, 256 * PAGE, fast);
	aim_read(v, SLOT + PAGE);
	run = start_run(v);
	CHECK_EQ(userfault_wait(fd) & ~(PAGE - 1), (u64)slow + PAGE);
	h = hammer_start(v->vm, 1, SLOT + MiB, 256, HAMMER_MAY_LOSE);
	for (int i = 0; i < 5; i++) {
		hammer_wait(h, 2);
		CHECK_OK(madvise(fast, 256 * PAGE, MADV_DONTNEED));
	}
	hammer_stop(h);
	CHECK(!run->done);
	userfault_bring(fd, (u64)slow + PAGE, 0x1234);
	CHECK_OK(join_run(run));
	CHECK_EXIT(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_regs(v).rax, 0x1234);
}

/* Every page of a guest that runs on is brought when it is asked for. */
TEST(pages_are_brought_one_by_one)
{
	int fd = userfault_open(0, 0);
	struct vm *vm = vm_with_memory(MEM_SIZE);
	u8 *mem = host_memory(32 * PAGE);
	struct hammer *h;

	userfault_register(fd, mem, 32 * PAGE, UFFDIO_REGISTER_MODE_MISSING);
	add_slot(vm, 1, 0, SLOT, 32 * PAGE, mem);
	h = hammer_start(vm, 0, SLOT, 32, HAMMER_MAY_LOSE);
	for (u64 i = 0; i < 32; i++) {
		CHECK_EQ(userfault_wait(fd) & ~(PAGE - 1), (u64)mem + i * PAGE);
		userfault_bring(fd, (u64)mem + i * PAGE, 0);
	}
	hammer_wait(h, 2);
	for (u64 i = 0; i < 32; i += 5) {
		CHECK_OK(madvise(mem + i * PAGE, PAGE, MADV_DONTNEED));
		CHECK_EQ(userfault_wait(fd) & ~(PAGE - 1), (u64)mem + i * PAGE);
		userfault_bring(fd, (u64)mem + i * PAGE, 0);
		hammer_wait(h, 2);
	}
	hammer_stop(h);
	CHECK(hammer_losses(h) > 0);
	hammer_check(h, mem);
}

/* It isn't the guest that touches the page but the hypervisor: the data of INS. */
GUEST64(insb_there, insb; hlt)

TEST(hypervisor_waits_for_a_page)
{
	int fd = userfault_open(0, 0);
	struct vcpu *v = BOOT(LONG64, insb_there);
	u8 *mem = host_memory(PAGE);
	struct minivmm_regs r = get_regs(v);
	struct runner *run;

	userfault_register(fd, mem, PAGE, UFFDIO_REGISTER_MODE_MISSING);
	add_slot(v->vm, 1, 0, SLOT, PAGE, mem);
	r.rdi = SLOT + 5;
	r.rdx = 0x10;
	set_regs(v, &r);
	*(u8 *)RUN_TO_IN(v, 0x10, 1) = 0x77;
	run = start_run(v);
	CHECK_EQ(userfault_wait(fd) & ~(PAGE - 1), (u64)mem);
	CHECK(!run->done);
	userfault_bring(fd, (u64)mem, 0x1111111111111111);
	CHECK_OK(join_run(run));
	CHECK_EXIT(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(*word(mem, 0), 0x1111771111111111);
}

/* Write protection by the client: reads go on, a write waits. */
TEST(write_that_waits)
{
	int fd = userfault_open(0, UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	struct vcpu *v = boot_accessor();
	u8 *mem = host_memory(PAGE);
	struct uffdio_writeprotect wp = {
		.range = { (u64)mem, PAGE }, .mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};
	struct runner *run;

	add_slot(v->vm, 1, 0, SLOT, PAGE, mem);
	guest_writes(v, SLOT, 1);
	userfault_register(fd, mem, PAGE, UFFDIO_REGISTER_MODE_WP);
	CHECK_OK(ioctl(fd, UFFDIO_WRITEPROTECT, &wp));
	CHECK_EQ(guest_reads(v, SLOT), 1);
	aim_write(v, SLOT, 2);
	run = start_run(v);
	CHECK_EQ(userfault_wait(fd) & ~(PAGE - 1), (u64)mem);
	CHECK_EQ(*(volatile u64 *)mem, 1);
	wp.mode = 0;
	CHECK_OK(ioctl(fd, UFFDIO_WRITEPROTECT, &wp));
	CHECK_OK(join_run(run));
	CHECK_EQ(*word(mem, 0), 2);
}

/* Who serves only user mode's faults serves no guest's. */
TEST(userfaults_of_user_mode_only)
{
	int fd = userfault_open(UFFD_USER_MODE_ONLY, 0);
	struct vcpu *v = boot_accessor();
	u8 *mem = host_memory(PAGE);

	userfault_register(fd, mem, PAGE, UFFDIO_REGISTER_MODE_MISSING);
	add_slot(v->vm, 1, 0, SLOT, PAGE, mem);
	aim_read(v, SLOT);
	CHECK_ERRNO(vcpu_run(v), EFAULT);
	check_names_address(v, SLOT);
}

static void wait_for_a_page_for_ever(int note)
{
	int fd = userfault_open(0, 0);
	struct vcpu *v = boot_accessor();
	u8 *mem = host_memory(PAGE);

	userfault_register(fd, mem, PAGE, UFFDIO_REGISTER_MODE_MISSING);
	add_slot(v->vm, 1, 0, SLOT, PAGE, mem);
	aim_read(v, SLOT);
	start_run(v);
	userfault_wait(fd);
	CHECK_EQ(write(note, "w", 1), 1);
}

/* The process of a vCPU that waits can be killed, or end: nothing waits for the page then. */
TEST(vcpu_that_waits_can_be_killed)
{
	for (int i = 0; i < 2; i++) {
		int note[2], status = 0;
		pid_t pid;
		char c;

		CHECK_OK(pipe(note));
		pid = CHECK_OK(fork());
		if (!pid) {
			wait_for_a_page_for_ever(note[1]);
			if (i)
				_exit(7);
			pause();
		}
		CHECK_EQ(read(note[0], &c, 1), 1);
		if (!i)
			CHECK_OK(kill(pid, SIGKILL));
		CHECK(EVENTUALLY(waitpid(pid, &status, WNOHANG)));
		CHECK_EQ(i ? WEXITSTATUS(status) : WTERMSIG(status), i ? 7 : SIGKILL);
	}
}
