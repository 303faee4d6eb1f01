// SPDX-License-Identifier: GPL-2.0
/*
 * Each allocation that an ioctl makes fails in turn: it says ENOMEM or does without, has changed
 * nothing, succeeds when it's tried again, and leaves nothing behind. The kernel makes them fail
 * (CONFIG_FAULT_INJECTION: the lab's debug kernel has it).
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "access.h"
#include "thread.h"

/* ---- faults on order ------------------------------------------------------------------------- */

static int fail_nth = -1;

/*
 * Other checks of the kernel's allocate, too, so that a fault could hit them in place of what it is
 * meant for: kmemleak something for each allocation, debugobjects when less than 256 of its own are
 * left. The one goes off, the other gets many back.
 */
static void still_other_checks(void)
{
	int fds[600];

	write_file("/sys/kernel/debug/kmemleak", "off");
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = CHECK_OK(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

static void set_up_faults(void)
{
	static const char *const settings[][2] = {
		{ "failslab/ignore-gfp-wait", "N" },
		{ "failslab/verbose", "0" },
		{ "fail_page_alloc/ignore-gfp-wait", "N" },
		{ "fail_page_alloc/ignore-gfp-highmem", "N" },
		{ "fail_page_alloc/min-order", "0" },
		{ "fail_page_alloc/verbose", "0" },
	};
	char path[96];

	fail_nth = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	if (fail_nth < 0)
		skip("the kernel can't make allocations fail");
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s", settings[i][0]);
		if (!write_file(path, settings[i][1]))
			skip("%s can't be set", path);
	}
	still_other_checks();
	klogctl(8 /* CONSOLE_LEVEL */, NULL, 1);
}

static void order_fault(unsigned int nth)
{
	char text[16];

	CHECK(pwrite(fail_nth, text, sprintf(text, "%u", nth), 0) > 0);
}

/* Did it come? None is on order any more. */
static bool fault_came(void)
{
	char text[16] = "";

	CHECK(pread(fail_nth, text, sizeof(text) - 1, 0) > 0);
	order_fault(0);
	return atoi(text) == 0;
}

/* ---- the kernel's log ------------------------------------------------------------------------ */

/*
 * vmalloc() says that it had no memory, with a trace; that is the kernel's way, and taken out of
 * the log here, lest the lab fail the run for it. Anything worse stays there.
 */
static void check_log(void)
{
	static const char *const alarms[] = {
		"WARNING:", "BUG:", "BUG at", "KASAN", "INFO:", "Oops", "general protection",
		"refcount_t:", "scheduling while atomic", "list_add corruption",
		"list_del corruption", "Bad page",
	};
	static char log[1 << 20];
	int n = klogctl(3 /* READ_ALL */, log, sizeof(log) - 1);

	CHECK(n >= 0);
	log[n] = 0;
	for (size_t i = 0; i < ARRAY_SIZE(alarms); i++) {
		const char *found = strstr(log, alarms[i]);

		if (found)
			FAIL("the kernel says: %.*s", (int)strcspn(found, "\n"), found);
	}
	klogctl(5 /* CLEAR */, NULL, 0);
}

/* ---- what is left behind --------------------------------------------------------------------- */

static char group[64];

/* From here on the kernel's memory for this process is counted. */
static void count_memory(void)
{
	char path[96];

	mkdir("/tmp/cgroup", 0700);
	if (mount("none", "/tmp/cgroup", "cgroup2", 0, NULL) && errno != EBUSY)
		FAIL("mount of cgroup2: %s", errno_name(errno));
	CHECK(write_file("/tmp/cgroup/cgroup.subtree_control", "+memory"));
	snprintf(group, sizeof(group), "/tmp/cgroup/%d", getpid());
	CHECK_OK(mkdir(group, 0700));
	snprintf(path, sizeof(path), "%s/cgroup.procs", group);
	CHECK(write_file(path, "0"));
}

/* Bytes that the kernel holds for it, but for its page tables and stack. */
static long charged(void)
{
	char path[96], name[64];
	long sum = 0, bytes;
	FILE *f;

	snprintf(path, sizeof(path), "%s/memory.stat", group);
	f = fopen(path, "r");
	CHECK(f);
	while (fscanf(f, "%63s %ld", name, &bytes) == 2) {
		if (!strcmp(name, "kernel"))
			sum += bytes;
		else if (!strcmp(name, "pagetables") || !strcmp(name, "kernel_stack"))
			sum -= bytes;
	}
	fclose(f);
	return sum;
}

#define SLACK	(3 * PAGE)		/* of slabs that are partly used */

static void check_nothing_is_left(long before)
{
	long after;

	if (!EVENTUALLY((after = charged()) - before <= (long)SLACK))
		FAIL("%ld bytes were charged before, %ld after", before, after);
}

/* ---- an operation, and each of its faults ---------------------------------------------------- */

/* What one try works on. */
struct scene {
	struct vcpu *v;			/* of a VM with memory, in most */
	u8 *memory;			/* for SLOT */
	int fds[4];			/* more to close; 0 = none */
};

#define SLOT_SIZE	(8 * MiB)
#define STEP		0x41000		/* from one page that is used to the next */

struct operation {
	void (*prepare)(struct scene *s);
	int (*attempt)(struct scene *s);	/* the system calls; -1 with errno */
	void (*check)(struct scene *s);		/* it has worked */
	bool never_fails;
};

static void clear_scene(struct scene *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(s->fds); i++)
		if (s->fds[i] > 0)
			close(s->fds[i]);
	if (s->v) {
		munmap(s->v->run, s->v->run_size);
		close(s->v->fd);
		close(s->v->vm->fd);
		munmap(s->v->vm->mem, s->v->vm->size);
		free(s->v->vm);
		free(s->v);
	}
	if (s->memory)
		munmap(s->memory, SLOT_SIZE);
}

/* Returns whether the fault came; counts what was refused. */
static bool try_with_fault(const struct operation *op, unsigned int nth, unsigned int *refused)
{
	struct scene s = { 0 };
	bool came;
	int r, err;

	context("allocation %u failing", nth);
	op->prepare(&s);
	order_fault(nth);
	r = op->attempt(&s);
	err = errno;
	came = fault_came();
	if (r < 0) {
		if (!came || err != ENOMEM || op->never_fails)
			FAIL("%s, and a fault %s", errno_name(err), came ? "came" : "didn't come");
		++*refused;
		CHECK_OK(op->attempt(&s));
	}
	op->check(&s);
	clear_scene(&s);
	check_log();
	return came;
}

static void check_each_fault(const struct operation *op)
{
	unsigned int nth = 1, refused = 0;
	long before;

	set_up_faults();
	count_memory();
	try_with_fault(op, 1u << 30, &refused);
	before = charged();
	while (try_with_fault(op, nth, &refused))
		nth++;
	check_nothing_is_left(before);
	say("%u allocations, %u can't be done without", nth - 1, refused);
	if (!op->never_fails)
		CHECK(refused > 0);
}

#define FAULTS(name, ...)						\
	TEST(name)							\
	{								\
		static const struct operation op = { __VA_ARGS__ };	\
									\
		check_each_fault(&op);					\
	}

static void *touched_memory(void)
{
	u8 *p = host_memory(SLOT_SIZE);

	CHECK_OK(madvise(p, SLOT_SIZE, MADV_NOHUGEPAGE));
	for (u64 at = 0; at < SLOT_SIZE; at += STEP)
		*word(p, at) = 0;
	return p;
}

static void with_accessor(struct scene *s)
{
	s->v = boot_accessor();
	s->memory = touched_memory();
	CHECK_EQ(guest_reads(s->v, DATA), 0);	/* it runs */
}

static void with_slot_of(struct scene *s, u32 flags)
{
	with_accessor(s);
	add_slot(s->v->vm, 1, flags, SLOT, SLOT_SIZE, s->memory);
	for (u64 at = 0; at < SLOT_SIZE; at += 8 * STEP)
		guest_writes(s->v, SLOT + at, at);
}

static void with_slot(struct scene *s) { with_slot_of(s, 0); }
static void with_logged_slot(struct scene *s) { with_slot_of(s, MINIVMM_MEM_LOG_DIRTY_PAGES); }

static void guest_still_works(struct scene *s)
{
	guest_writes(s->v, DATA, 0x77);
	CHECK_EQ(guest_reads(s->v, DATA), 0x77);
}

static void slot_works(struct scene *s)
{
	guest_writes(s->v, SLOT + STEP, 0x1234);
	CHECK_EQ(*word(s->memory, STEP), 0x1234);
	guest_still_works(s);
}

/* ---- VMs and vCPUs --------------------------------------------------------------------------- */

static void with_node(struct scene *s)
{
	s->fds[0] = node_open();
}

static int create_vm(struct scene *s)
{
	return s->fds[1] = ioctl(s->fds[0], MINIVMM_CREATE_VM, (long)vm_type());
}

static void vm_works(struct scene *s)
{
	CHECK_EQ(ioctl(s->fds[1], MINIVMM_CHECK_EXTENSION, (long)MINIVMM_CAP_USER_MEMORY), 1);
	close(CHECK_OK(ioctl(s->fds[1], MINIVMM_CREATE_VCPU, 0)));
}

FAULTS(create_vm, with_node, create_vm, vm_works)

static void with_vm(struct scene *s)
{
	with_accessor(s);
}

static void with_chips(struct scene *s)
{
	struct vm *vm = vm_with_memory(MEM_SIZE);

	CHECK_OK(ioctl(vm->fd, MINIVMM_CREATE_IRQCHIP, 0));
	s->v = vcpu_create(vm, 0);
}

static int create_vcpu(struct scene *s)
{
	return s->fds[0] = ioctl(s->v->vm->fd, MINIVMM_CREATE_VCPU, 1l);
}

static void vcpu_works(struct scene *s)
{
	struct minivmm_regs regs;

	CHECK_OK(ioctl(s->fds[0], MINIVMM_GET_REGS, &regs));
	CHECK_EQ(regs.rip, 0xfff0);
}

FAULTS(create_vcpu, with_vm, create_vcpu, vcpu_works)
FAULTS(create_vcpu_with_local_apic, with_chips, create_vcpu, vcpu_works)

static void with_a_long_life(struct scene *s)
{
	with_logged_slot(s);
	s->fds[0] = CHECK_OK(eventfd(0, EFD_CLOEXEC));
}

static int end_vm(struct scene *s)
{
	/* may need memory itself, and the mapping would keep the vCPU */
	if (munmap(s->v->run, s->v->run_size))
		CHECK_OK(munmap(s->v->run, s->v->run_size));
	close(s->v->fd);
	close(s->v->vm->fd);
	return 0;
}

static void vm_is_gone(struct scene *s)
{
	munmap(s->v->vm->mem, s->v->vm->size);
	s->v = NULL;
}

FAULTS(end_of_a_vm, with_a_long_life, end_vm, vm_is_gone, .never_fails = true)

/* ---- memory ---------------------------------------------------------------------------------- */

static int create_slot(struct scene *s)
{
	return set_slot(s->v->vm, 1, 0, SLOT, SLOT_SIZE, s->memory);
}

static int create_logged_slot(struct scene *s)
{
	return set_slot(s->v->vm, 1, MINIVMM_MEM_LOG_DIRTY_PAGES, SLOT, SLOT_SIZE, s->memory);
}

static int move_slot(struct scene *s)
{
	return set_slot(s->v->vm, 1, 0, SLOT + SLOT_SIZE, SLOT_SIZE, s->memory);
}

static void slot_has_moved(struct scene *s)
{
	check_hole(s->v, SLOT);
	CHECK_EQ(guest_reads(s->v, SLOT + SLOT_SIZE + 8 * STEP), 8 * STEP);
}

static int delete_slot(struct scene *s)
{
	return set_slot(s->v->vm, 1, 0, SLOT, 0, NULL);
}

static void slot_is_gone(struct scene *s)
{
	check_hole(s->v, SLOT);
	guest_still_works(s);
}

FAULTS(create_slot, with_accessor, create_slot, slot_works)
FAULTS(create_logged_slot, with_accessor, create_logged_slot, slot_works)
FAULTS(log_slot, with_slot, create_logged_slot, slot_works)
FAULTS(move_slot, with_slot, move_slot, slot_has_moved)
FAULTS(delete_slot, with_slot, delete_slot, slot_is_gone)

static u64 bitmap[SLOT_SIZE / PAGE / 64];

static int get_dirty_log(struct scene *s)
{
	struct minivmm_dirty_log log = { .slot = 1, .dirty_bitmap = bitmap };

	return ioctl(s->v->vm->fd, MINIVMM_GET_DIRTY_LOG, &log);
}

static void log_was_got(struct scene *s)
{
	for (u64 at = 0; at < SLOT_SIZE / PAGE; at += 8 * STEP / PAGE)
		CHECK(bitmap[at / 64] >> at % 64 & 1);
	slot_works(s);
}

FAULTS(get_dirty_log, with_logged_slot, get_dirty_log, log_was_got)

/* ---- a guest --------------------------------------------------------------------------------- */

/* A word in each of many pages, which need many tables; then the client, by port and by memory. */
GUEST64(toucher,
	mov $SLOT, %rsi;
1:	mov %rsi, (%rsi);
	add $STEP, %rsi;
	cmp $(SLOT + SLOT_SIZE), %rsi;
	jb 1b;
	mov $0x5a, %al;
	out %al, $0x10;
	mov $MMIO, %edi;
	movl $7, (%rdi);
	xor %eax, %eax;
	cpuid;
	movl $1, DATA;
	hlt)

static void with_toucher_on(struct scene *s, void *memory)
{
	s->memory = memory;
	s->v = BOOT(LONG64, toucher);
	*(u32 *)(s->v->vm->mem + DATA) = 0;
	add_slot(s->v->vm, 1, 0, SLOT, SLOT_SIZE, s->memory);
}

static void with_toucher(struct scene *s) { with_toucher_on(s, touched_memory()); }
static void with_toucher_on_new_memory(struct scene *s)
{
	with_toucher_on(s, host_memory(SLOT_SIZE));
}

static int run_to_halt(struct scene *s)
{
	int r;

	do
		r = vcpu_run(s->v);
	while (!r && s->v->run->exit_reason != MINIVMM_EXIT_HLT &&
	       (s->v->run->exit_reason == MINIVMM_EXIT_IO ||
		s->v->run->exit_reason == MINIVMM_EXIT_MMIO));
	return r;
}

static void guest_has_touched(struct scene *s)
{
	CHECK_EXIT(s->v, MINIVMM_EXIT_HLT);
	CHECK_EQ(*(u32 *)(s->v->vm->mem + DATA), 1);
	for (u64 at = 0; at < SLOT_SIZE; at += STEP)
		CHECK_EQ(*word(s->memory, at), SLOT + at);
}

FAULTS(run, with_toucher, run_to_halt, guest_has_touched)
FAULTS(run_on_new_memory, with_toucher_on_new_memory, run_to_halt, guest_has_touched)

/* ---- interrupts ------------------------------------------------------------------------------ */

static int create_irqchip(struct scene *s)
{
	return ioctl(s->v->vm->fd, MINIVMM_CREATE_IRQCHIP, 0);
}

static void with_vm_alone(struct scene *s)
{
	s->v = calloc(1, sizeof(*s->v));
	s->v->vm = vm_with_memory(MEM_SIZE);
	s->v->fd = -1;
}

static void chips_work(struct scene *s)
{
	struct minivmm_irq_level line = { .irq = 4, .level = 1 };

	CHECK_OK(ioctl(s->v->vm->fd, MINIVMM_IRQ_LINE, &line));
}

FAULTS(create_irqchip, with_vm_alone, create_irqchip, chips_work)

static int split_irqchip(struct scene *s)
{
	struct minivmm_enable_cap cap = { .cap = MINIVMM_CAP_SPLIT_IRQCHIP, .args = { 24 } };

	return ioctl(s->v->vm->fd, MINIVMM_ENABLE_CAP, &cap);
}

static void split_works(struct scene *s)
{
	CHECK_ERRNO(create_irqchip(s), EEXIST);
}

FAULTS(split_irqchip, with_vm_alone, split_irqchip, split_works)

static int create_pit(struct scene *s)
{
	static struct minivmm_pit_config none;

	return ioctl(s->v->vm->fd, MINIVMM_CREATE_PIT2, &none);
}

static void pit_works(struct scene *s)
{
	struct minivmm_pit_state2 state;

	CHECK_OK(ioctl(s->v->vm->fd, MINIVMM_GET_PIT2, &state));
}

FAULTS(create_pit, with_chips, create_pit, pit_works)

static int set_routing(struct scene *s)
{
	static struct {
		struct minivmm_irq_routing head;
		struct minivmm_irq_routing_entry entry;
	} routes = {
		.head.nr = 1,
		.entry = { .gsi = 40, .type = MINIVMM_IRQ_ROUTING_MSI,
			   .u.msi = { .address_lo = 0xfee00000, .data = 0x41 } },
	};

	return ioctl(s->v->vm->fd, MINIVMM_SET_GSI_ROUTING, &routes);
}

FAULTS(set_routing, with_chips, set_routing, chips_work)

static void with_eventfds(struct scene *s)
{
	with_chips(s);
	s->fds[0] = CHECK_OK(eventfd(0, EFD_CLOEXEC));
	s->fds[1] = CHECK_OK(eventfd(0, EFD_CLOEXEC));
}

static int irqfd(struct scene *s, u32 flags)
{
	struct minivmm_irqfd args = { .fd = s->fds[0], .gsi = 5, .flags = flags,
				      .resamplefd = s->fds[1] };

	return ioctl(s->v->vm->fd, MINIVMM_IRQFD, &args);
}

static int assign_irqfd(struct scene *s) { return irqfd(s, 0); }
static int assign_resampling(struct scene *s) { return irqfd(s, MINIVMM_IRQFD_FLAG_RESAMPLE); }
static int deassign_irqfd(struct scene *s) { return irqfd(s, MINIVMM_IRQFD_FLAG_DEASSIGN); }

static void irqfd_works(struct scene *s)
{
	CHECK_ERRNO(assign_irqfd(s), EBUSY);
	CHECK_OK(eventfd_write(s->fds[0], 1));
}

static void with_irqfd(struct scene *s)
{
	with_eventfds(s);
	CHECK_OK(assign_irqfd(s));
}

static void irqfd_is_gone(struct scene *s)
{
	CHECK_OK(assign_irqfd(s));
}

FAULTS(assign_irqfd, with_eventfds, assign_irqfd, irqfd_works)
FAULTS(assign_resampling_irqfd, with_eventfds, assign_resampling, irqfd_works)
FAULTS(deassign_irqfd, with_irqfd, deassign_irqfd, irqfd_is_gone, .never_fails = true)

static int assign_ioeventfd(struct scene *s)
{
	struct minivmm_ioeventfd args = { .addr = MMIO, .len = 4, .fd = s->fds[0] };

	return ioctl(s->v->vm->fd, MINIVMM_IOEVENTFD, &args);
}

static void ioeventfd_works(struct scene *s)
{
	CHECK_ERRNO(assign_ioeventfd(s), EEXIST);
}

static int coalesce(struct scene *s)
{
	struct minivmm_coalesced_mmio_zone zone = { .addr = MMIO, .size = 0x100 };

	return ioctl(s->v->vm->fd, MINIVMM_REGISTER_COALESCED_MMIO, &zone);
}

FAULTS(assign_ioeventfd, with_eventfds, assign_ioeventfd, ioeventfd_works)
FAULTS(coalesce_mmio, with_chips, coalesce, chips_work)

/* ---- state ----------------------------------------------------------------------------------- */

static int set_cpuid(struct scene *s)
{
	return ioctl(s->v->fd, MINIVMM_SET_CPUID2, supported_cpuid());
}

static void with_bare_vcpu(struct scene *s)
{
	supported_cpuid();
	s->v = vcpu_create_bare(vm_with_memory(MEM_SIZE), 0);
}

static void cpuid_was_set(struct scene *s)
{
	u64 value;

	CHECK_EQ(get_msr(s->v, 0x10, &value), 1);
}

static int read_msr(struct scene *s)
{
	u64 value;

	return get_msr(s->v, 0x10, &value);
}

static struct minivmm_lapic_state lapic;

static int get_lapic(struct scene *s) { return ioctl(s->v->fd, MINIVMM_GET_LAPIC, &lapic); }
static int set_lapic(struct scene *s) { return ioctl(s->v->fd, MINIVMM_SET_LAPIC, &lapic); }

static void with_lapic_state(struct scene *s)
{
	with_chips(s);
	CHECK_OK(get_lapic(s));
}

static int open_stats(struct scene *s)
{
	return s->fds[0] = ioctl(s->v->fd, MINIVMM_GET_STATS_FD, 0);
}

static void stats_work(struct scene *s)
{
	struct minivmm_stats_header head;

	CHECK_EQ(pread(s->fds[0], &head, sizeof(head), 0), (long)sizeof(head));
}

FAULTS(set_cpuid, with_bare_vcpu, set_cpuid, cpuid_was_set)
FAULTS(get_msrs, with_bare_vcpu, read_msr, cpuid_was_set)
FAULTS(get_lapic, with_chips, get_lapic, chips_work)
FAULTS(set_lapic, with_lapic_state, set_lapic, chips_work)
FAULTS(open_statistics, with_chips, open_stats, stats_work)
