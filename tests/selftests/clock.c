// SPDX-License-Identifier: GPL-2.0
/* Time: TSCs that go together, their rate, GET_CLOCK and SET_CLOCK, kvmclock's pages, steal time. */
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "chips.h"

#define MSR_TSC			0x10
#define MSR_TSC_ADJUST		0x3b
#define MSR_WALL_CLOCK		0x4b564d00
#define MSR_SYSTEM_TIME		0x4b564d01
#define MSR_STEAL_TIME		0x4b564d03

static u64 host_tsc(void)
{
	return __builtin_ia32_rdtsc();
}

static u64 msr(struct vcpu *v, u32 index)
{
	u64 data;

	CHECK_EQ(get_msr(v, index, &data), 1);
	return data;
}

static u32 khz(struct vcpu *v)
{
	return CHECK_OK(ioctl(v->fd, MINIVMM_GET_TSC_KHZ, 0));
}

/* How far a vCPU's TSC is from the host's, whose rate is the same: something from least to most. */
struct offset {
	s64 least, most;
};

/* The best of several, since anything may come between. */
static struct offset offset(struct vcpu *v)
{
	struct offset best = { 0, INT64_MAX };

	for (int i = 0; i < 20; i++) {
		u64 before = host_tsc(), guest = msr(v, MSR_TSC), after = host_tsc();

		if (after - before < (u64)(best.most - best.least))
			best = (struct offset){ guest - after, guest - before };
	}
	return best;
}

/* They can be the same, or but a millisecond apart. */
static bool same_offset(struct vcpu *v, struct offset a, struct offset b)
{
	s64 ms = khz(v);

	return a.least - b.most < ms && b.least - a.most < ms;
}

/* ---- TSC ------------------------------------------------------------------------------------- */

/* What reading both takes is far less than what passes meanwhile. */
TEST(tscs_of_a_vm_go_together)
{
	struct vm *vm = vm_create();
	struct vcpu *a = vcpu_create(vm, 0), *b;
	u64 start, got;

	sleep_ms(20);
	b = vcpu_create(vm, 1);
	CHECK(same_offset(a, offset(a), offset(b)));
	/* To nearly the same value within a second: together still. */
	do {
		start = host_tsc();
		CHECK_EQ(set_msr(a, MSR_TSC, 1ull << 40), 1);
		sleep_ms(20);
		CHECK_EQ(set_msr(b, MSR_TSC, (1ull << 40) + 1000), 1);
	} while (host_tsc() - start > 500ull * khz(a));
	CHECK(same_offset(a, offset(a), offset(b)));
	/* Apart. */
	start = host_tsc();
	CHECK_EQ(set_msr(b, MSR_TSC, 1ull << 50), 1);
	got = msr(b, MSR_TSC);
	CHECK(got - (1ull << 50) <= host_tsc() - start);
	CHECK(msr(a, MSR_TSC) < 1ull << 41);
}

TEST(tsc_adjust_by_the_client_moves_nothing)
{
	struct vcpu *v = vcpu_create(vm_create(), 0);
	struct offset before = offset(v);

	CHECK_EQ(set_msr(v, MSR_TSC_ADJUST, 1ull << 40), 1);
	CHECK_EQ(msr(v, MSR_TSC_ADJUST), 1ull << 40);
	CHECK(same_offset(v, before, offset(v)));
}

GUEST64(move_tsc,
	mov $0x3b, %ecx; xor %eax, %eax; mov $0x100, %edx; wrmsr;	/* TSC_ADJUST = 2^40 */
	rdtsc; out %al, $0x10;
	mov $0x10, %ecx; xor %eax, %eax; mov $0x10000, %edx; wrmsr;	/* TSC = 2^48 */
	rdtsc; out %al, $0x11;
	hlt)

TEST(guest_moves_its_tsc)
{
	struct vcpu *v = BOOT(LONG64, move_tsc);
	u64 adjust;

	if (!has_cpuid(7, 'b', 1))
		skip("no TSC_ADJUST is offered");
	RUN_TO(v, MINIVMM_EXIT_IO);
	CHECK_EQ(get_regs(v).rdx & ~0xffull, 0x100);
	CHECK_EQ(msr(v, MSR_TSC_ADJUST), 1ull << 40);
	RUN_TO(v, MINIVMM_EXIT_IO);
	CHECK_EQ(get_regs(v).rdx & ~0xffull, 0x10000);
	/* TSC_ADJUST follows by as much. */
	adjust = msr(v, MSR_TSC_ADJUST);
	CHECK(adjust > 1ull << 47 && adjust <= 1ull << 48);
}

GUEST64(read_tsc_twice,
	rdtsc; shl $32, %rdx; or %rdx, %rax; mov %rax, %rbx;
	mov $0x8000, %ecx; 1: dec %ecx; jnz 1b;
	rdtsc; shl $32, %rdx; or %rdx, %rax;
	hlt)

/* The least of several: the host may do something else in between. */
static u64 ticks_of_loop(struct vcpu *v)
{
	struct minivmm_regs r = get_regs(v);
	u64 least = ~0ull;

	for (int i = 0; i < 10; i++) {
		r.rip = CODE;
		set_regs(v, &r);
		RUN_TO(v, MINIVMM_EXIT_HLT);
		r = get_regs(v);
		if (r.rax - r.rbx < least)
			least = r.rax - r.rbx;
	}
	return least;
}

TEST(tsc_of_another_rate)
{
	struct vcpu *v = BOOT(LONG64, read_tsc_twice);
	u32 host = khz(v);
	u64 own, twice;

	CHECK_OK(ioctl(v->fd, MINIVMM_SET_TSC_KHZ, (long)host));
	own = ticks_of_loop(v);
	if (!node_extension(MINIVMM_CAP_TSC_CONTROL)) {
		CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_TSC_KHZ, (long)host / 2), EINVAL);
		skip("this CPU doesn't scale");
	}
	CHECK_OK(ioctl(v->fd, MINIVMM_SET_TSC_KHZ, 2l * host));
	CHECK_EQ(khz(v), 2 * host);
	twice = ticks_of_loop(v);
	CHECK(twice > own * 19 / 10 && twice < own * 21 / 10);
	CHECK_OK(ioctl(v->fd, MINIVMM_SET_TSC_KHZ, (long)host / 4));
	twice = ticks_of_loop(v);
	CHECK(twice > own * 23 / 100 && twice < own * 27 / 100);
	/* 0: the host's. */
	CHECK_OK(ioctl(v->fd, MINIVMM_SET_TSC_KHZ, 0));
	CHECK_EQ(khz(v), host);
}

/* ---- GET_CLOCK, SET_CLOCK -------------------------------------------------------------------- */

static struct minivmm_clock_data get_clock(struct vm *vm)
{
	struct minivmm_clock_data data;

	CHECK_OK(ioctl(vm->fd, MINIVMM_GET_CLOCK, &data));
	return data;
}

static int set_clock(struct vm *vm, u64 ns, u32 flags, u64 realtime)
{
	struct minivmm_clock_data data = { .clock = ns, .flags = flags, .realtime = realtime };

	return ioctl(vm->fd, MINIVMM_SET_CLOCK, &data);
}

static u64 now_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

#define SECOND	1000000000ull

static u64 elapsed_since(u64 start)
{
	return now_ns(CLOCK_MONOTONIC_RAW) - start;
}

/*
 * What a clock shows that showed `then` at the time `start` or later; its rate is that of the TSC as
 * it is known.
 */
static void check_time(u64 got, u64 then, u64 start)
{
	u64 most = elapsed_since(start);

	context("%llu ns after %llu ns", (long long)(got - then), (long long)most);
	CHECK(got >= then && got - then <= most + most / 100 + SECOND / 1000);
	context("%s", "");
}

TEST(clock_goes_on)
{
	u64 start = now_ns(CLOCK_MONOTONIC_RAW), then, least, got;
	struct vm *vm = vm_create();

	check_time(get_clock(vm).clock, 0, start);
	start = now_ns(CLOCK_MONOTONIC_RAW);
	then = get_clock(vm).clock;
	least = now_ns(CLOCK_MONOTONIC_RAW);
	sleep_ms(50);
	least = elapsed_since(least);
	got = get_clock(vm).clock;
	check_time(got, then, start);
	CHECK(got - then >= least - least / 100);
}

TEST(clock_is_set)
{
	u64 start = now_ns(CLOCK_MONOTONIC_RAW);
	struct vm *vm = vm_create();
	struct minivmm_clock_data data;

	CHECK_OK(set_clock(vm, 1000 * SECOND, 0, 0));
	check_time(get_clock(vm).clock, 1000 * SECOND, start);
	/* Time that has passed since then. */
	start = now_ns(CLOCK_MONOTONIC_RAW);
	CHECK_OK(set_clock(vm, 1000 * SECOND, MINIVMM_CLOCK_REALTIME,
			   now_ns(CLOCK_REALTIME) - 500 * SECOND));
	check_time(get_clock(vm).clock, 1500 * SECOND, start);
	/* Never backwards. */
	start = now_ns(CLOCK_MONOTONIC_RAW);
	CHECK_OK(set_clock(vm, 1000 * SECOND, MINIVMM_CLOCK_REALTIME,
			   now_ns(CLOCK_REALTIME) + 500 * SECOND));
	data = get_clock(vm);
	check_time(data.clock, 1000 * SECOND, start);
	/* What was reported may come back. */
	CHECK_OK(ioctl(vm->fd, MINIVMM_SET_CLOCK, &data));
}

TEST(clock_refuses)
{
	struct vm *vm = vm_create();
	int known = vm_extension(vm, MINIVMM_CAP_ADJUST_CLOCK);

	CHECK_EQ(known, 14);
	CHECK_ERRNO(set_clock(vm, 0, 1, 0), EINVAL);
	CHECK_ERRNO(set_clock(vm, 0, 16, 0), EINVAL);
	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_SET_CLOCK, BAD_POINTER), EFAULT);
	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_GET_CLOCK, BAD_POINTER), EFAULT);
}

TEST(clock_says_at_which_tsc)
{
	struct vm *vm = vm_create();
	u64 realtime = now_ns(CLOCK_REALTIME), before = host_tsc(), after;
	struct minivmm_clock_data data = get_clock(vm);

	after = host_tsc();
	if (!(data.flags & MINIVMM_CLOCK_HOST_TSC))
		skip("the host's clock isn't its TSC");
	CHECK(data.host_tsc >= before && data.host_tsc <= after);
	CHECK(data.realtime + SECOND / 1000 >= realtime);
	CHECK(data.realtime <= now_ns(CLOCK_REALTIME) + SECOND / 1000);
}

/* ---- kvmclock -------------------------------------------------------------------------------- */

struct pvclock {
	u32 version, pad0;
	u64 tsc, system_time;
	u32 mul;
	signed char shift;
	u8 flags, pad[2];
};

#define PAGE_OF_CLOCK	(DATA + 0x1000)
#define PAGE_OF_WALL	(DATA + 0x1100)
#define PAGE_OF_STEAL	(DATA + 0x1200)

GUEST64(out_forever, 1: out %al, $0x10; jmp 1b)

static u64 clock_of_page(const volatile struct pvclock *p, u64 tsc)
{
	u64 delta = tsc - p->tsc;

	delta = p->shift < 0 ? delta >> -p->shift : delta << p->shift;
	return p->system_time + (u64)((unsigned __int128)delta * p->mul >> 32);
}

TEST(kvmclock_is_the_vms_clock)
{
	struct vcpu *v = BOOT(LONG64, out_forever);
	volatile struct pvclock *page = (void *)(v->vm->mem + PAGE_OF_CLOCK);
	u64 before, between, after, start;

	CHECK(has_cpuid(0x40000001, 'a', 3));
	CHECK_EQ(set_msr(v, MSR_SYSTEM_TIME, PAGE_OF_CLOCK | 1), 1);
	CHECK_EQ(msr(v, MSR_SYSTEM_TIME), PAGE_OF_CLOCK | 1);
	RUN_TO(v, MINIVMM_EXIT_IO);
	CHECK(page->version && !(page->version & 1));
	for (int i = 0; i < 5; i++) {
		before = get_clock(v->vm).clock;
		between = clock_of_page(page, msr(v, MSR_TSC));
		after = get_clock(v->vm).clock;
		/* a tick's rounding, or KVM's, which reads another clock */
		CHECK(between + 100000 >= before && between <= after + 100000);
		sleep_ms(3);
	}
	/* It follows what is set. */
	start = now_ns(CLOCK_MONOTONIC_RAW);
	CHECK_OK(set_clock(v->vm, 5000 * SECOND, 0, 0));
	RUN_TO(v, MINIVMM_EXIT_IO);
	check_time(clock_of_page(page, msr(v, MSR_TSC)), 5000 * SECOND, start);
	CHECK_EQ(set_msr(v, MSR_TSC, 1ull << 45), 1);
	RUN_TO(v, MINIVMM_EXIT_IO);
	check_time(clock_of_page(page, msr(v, MSR_TSC)), 5000 * SECOND, start);
}

TEST(kvmclock_is_stable_while_tscs_go_together)
{
	struct vcpu *v = BOOT(LONG64, out_forever);
	volatile struct pvclock *page = (void *)(v->vm->mem + PAGE_OF_CLOCK);
	struct vcpu *other = vcpu_create(v->vm, 1);

	CHECK_EQ(set_msr(v, MSR_SYSTEM_TIME, PAGE_OF_CLOCK | 1), 1);
	RUN_TO(v, MINIVMM_EXIT_IO);
	if (!(get_clock(v->vm).flags & MINIVMM_CLOCK_HOST_TSC))
		skip("the host's clock isn't its TSC");
	CHECK_EQ(page->flags & 1, 1);
	CHECK_EQ(set_msr(other, MSR_TSC, 1ull << 50), 1);
	RUN_TO(v, MINIVMM_EXIT_IO);
	/* KVM looks when the other one runs. */
	CHECK(!(page->flags & 1) || opt.oracle);
}

TEST(kvmclock_tells_of_a_stop)
{
	struct vcpu *v = BOOT(LONG64, out_forever);
	volatile struct pvclock *page = (void *)(v->vm->mem + PAGE_OF_CLOCK);

	CHECK_ERRNO(ioctl(v->fd, MINIVMM_KVMCLOCK_CTRL, 0), EINVAL);
	CHECK_EQ(set_msr(v, MSR_SYSTEM_TIME, PAGE_OF_CLOCK | 1), 1);
	RUN_TO(v, MINIVMM_EXIT_IO);
	CHECK_EQ(page->flags & 2, 0);
	CHECK_OK(ioctl(v->fd, MINIVMM_KVMCLOCK_CTRL, 0));
	RUN_TO(v, MINIVMM_EXIT_IO);
	CHECK_EQ(page->flags & 2, 2);
}

TEST(wall_clock_is_when_kvmclock_was_0)
{
	struct vcpu *v = BOOT(LONG64, out_forever);
	volatile u32 *wall = word(v->vm, PAGE_OF_WALL);
	u64 realtime, clock, got;

	CHECK_EQ(set_msr(v, MSR_WALL_CLOCK, PAGE_OF_WALL), 1);
	RUN_TO(v, MINIVMM_EXIT_IO);
	CHECK(wall[0] && !(wall[0] & 1));
	got = wall[1] * SECOND + wall[2];
	realtime = now_ns(CLOCK_REALTIME);
	clock = get_clock(v->vm).clock;
	CHECK(got + SECOND / 10 > realtime - clock);
	CHECK(got < now_ns(CLOCK_REALTIME) - clock + SECOND / 10);
}

/* The guest names any address: nothing breaks, and it runs on. */
TEST(clock_pages_anywhere)
{
	static const u64 at[] = {
		MEM_SIZE - 16, MEM_SIZE, MMIO, 0xfee00000, ~0ull >> 1, 1ull << 52, DATA + 0xff0 + 3, 0,
	};
	static const u32 msrs[] = { MSR_SYSTEM_TIME, MSR_WALL_CLOCK, MSR_STEAL_TIME };
	struct vcpu *v = BOOT(LONG64, out_forever);

	for (size_t i = 0; i < ARRAY_SIZE(at); i++)
		for (size_t m = 0; m < ARRAY_SIZE(msrs); m++) {
			context("MSR %#x at %#llx", msrs[m], (long long)at[i]);
			set_msr(v, msrs[m], msrs[m] == MSR_STEAL_TIME ? (at[i] & ~63ull) | 1 : at[i] | 1);
			RUN_TO(v, MINIVMM_EXIT_IO);
		}
}

TEST(steal_time_counts)
{
	struct vcpu *v = BOOT(LONG64, out_forever);
	volatile u64 *steal = (void *)(v->vm->mem + PAGE_OF_STEAL);
	volatile u32 *version = word(v->vm, PAGE_OF_STEAL + 8);
	u64 before;

	if (!has_cpuid(0x40000001, 'a', 5))
		skip("no steal time is offered");
	/* Reserved bits. */
	CHECK_EQ(set_msr(v, MSR_STEAL_TIME, PAGE_OF_STEAL | 3), 0);
	CHECK_EQ(set_msr(v, MSR_STEAL_TIME, PAGE_OF_STEAL | 1), 1);
	RUN_TO(v, MINIVMM_EXIT_IO);
	CHECK(*version && !(*version & 1));
	before = *steal;
	if (fork() == 0)	/* somebody who wants the CPU too */
		for (u64 end = now_ns(CLOCK_MONOTONIC) + SECOND / 2;;)
			if (now_ns(CLOCK_MONOTONIC) > end)
				_exit(0);
	for (int i = 0; i < 20000 && *steal == before; i++)
		RUN_TO(v, MINIVMM_EXIT_IO);
	if (sysconf(_SC_NPROCESSORS_ONLN) == 1)
		CHECK(*steal > before);
}
