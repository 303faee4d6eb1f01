// SPDX-License-Identifier: GPL-2.0
/* The local APIC's timer in its three modes. Time is the shim's; a bus cycle is 1 ns. */
#include "irq_vm.h"

#define ONESHOT		0x31
#define PERIODIC	0x20031
#define DEADLINE	0x40031
#define DIVIDE_1	0xb
#define DIVIDE_16	0x3

static struct vm *vm;
static struct vcpu *cpu;

static int setup(void **state)
{
	vm = vm_with_chips(1);
	cpu = vm->vcpus[0];
	apic_enable(cpu);
	shim_tsc_skew = 0;
	tsc_khz = 2000000;
	seen[0].kicks = 0;
	return 0;
}

static int teardown(void **state)
{
	vm_free(vm);
	return 0;
}

static void start(u32 lvt, u32 divide, u32 count)
{
	apic_set(cpu, LAPIC_LVT_TIMER, lvt);
	apic_set(cpu, LAPIC_TIMER_DIVIDE, divide);
	apic_set(cpu, LAPIC_TIMER_INITIAL, count);
}

static u32 current_count(void)
{
	return apic_get(cpu, LAPIC_TIMER_CURRENT);
}

static bool fired(void)
{
	int vector = take(cpu);

	if (vector < 0)
		return false;
	assert_int_equal(vector, 0x31);
	apic_set(cpu, LAPIC_EOI, 0);
	return true;
}

static void set_deadline(u64 deadline)
{
	assert_int_equal(lapic_msr_set(cpu, MSR_IA32_TSC_DEADLINE, deadline), 0);
}

static u64 deadline(void)
{
	u64 val;

	assert_int_equal(lapic_msr_get(cpu, MSR_IA32_TSC_DEADLINE, &val), 0);
	return val;
}

static void test_oneshot(void **state)
{
	start(ONESHOT, DIVIDE_16, 1000);
	assert_int_equal(current_count(), 1000);
	shim_advance(160);
	assert_int_equal(current_count(), 990);
	shim_advance(15839);
	assert_int_equal(current_count(), 1);
	assert_false(fired());
	assert_int_equal(seen[0].kicks, 0);
	shim_advance(1);
	assert_int_equal(seen[0].kicks, 1);
	assert_true(requested(cpu));
	assert_int_equal(current_count(), 0);
	assert_true(fired());
	shim_advance(1000000);
	assert_false(fired());
	assert_int_equal(current_count(), 0);
	assert_int_equal(apic_get(cpu, LAPIC_TIMER_INITIAL), 1000);
}

static void test_divisors(void **state)
{
	static const u8 by[16] = { [0] = 2, [1] = 4, [2] = 8, [3] = 16, [8] = 32, [9] = 64,
				   [10] = 128, [11] = 1 };
	int i;

	for (i = 0; i < 16; i++) {
		if (!by[i])
			continue;
		start(ONESHOT, i, 1000);
		shim_advance(1000 * by[i] - 1);
		assert_false(fired());
		shim_advance(1);
		assert_true(fired());
	}
}

static void test_stop(void **state)
{
	start(ONESHOT, DIVIDE_1, 1000);
	apic_set(cpu, LAPIC_TIMER_INITIAL, 0);
	assert_int_equal(current_count(), 0);
	shim_advance(10000);
	assert_false(fired());
	assert_int_equal(shim_timers(), 0);
}

static void test_restart(void **state)
{
	start(ONESHOT, DIVIDE_1, 1000);
	shim_advance(900);
	apic_set(cpu, LAPIC_TIMER_INITIAL, 1000);
	shim_advance(900);
	assert_false(fired());
	shim_advance(100);
	assert_true(fired());
}

static void test_periodic(void **state)
{
	int i;

	start(PERIODIC, DIVIDE_1, 1000000);
	for (i = 0; i < 5; i++) {
		shim_advance(999999);
		assert_int_equal(current_count(), 1);
		assert_false(fired());
		shim_advance(1);
		assert_true(fired());
		assert_int_equal(current_count(), 1000000);
	}
	/* those that weren't taken are one */
	shim_advance(10000000);
	assert_true(fired());
	assert_false(fired());
	assert_int_equal(shim_timers(), 1);
}

static void test_periodic_that_is_too_fast(void **state)
{
	int n = 0, i;

	start(PERIODIC, DIVIDE_1, 1);
	for (i = 0; i < 1000; i++) {
		shim_advance(1000);
		n += fired();
	}
	assert_int_equal(n, 5);		/* a millisecond at 200 us */
	assert_int_equal(seen[0].kicks, 5);
	assert_int_equal(current_count(), 1);
}

static void test_late_host(void **state)
{
	start(PERIODIC, DIVIDE_1, 1000000);
	shim_now += 3500000;		/* hrtimers don't run: fires late, keeps its phase */
	shim_advance(0);
	assert_true(fired());
	shim_advance(499999);
	assert_false(fired());
	shim_advance(1);
	assert_true(fired());
}

static void test_masked(void **state)
{
	start(PERIODIC | 0x10000, DIVIDE_1, 1000000);
	shim_advance(1000000);
	assert_false(fired());
	shim_advance(500000);
	assert_int_equal(current_count(), 500000);	/* it counts all the same */
	apic_set(cpu, LAPIC_LVT_TIMER, PERIODIC);
	shim_advance(500000);
	assert_true(fired());
}

static void test_mode_change_in_progress(void **state)
{
	start(ONESHOT, DIVIDE_1, 1000000);
	shim_advance(400000);
	apic_set(cpu, LAPIC_LVT_TIMER, PERIODIC);
	assert_int_equal(current_count(), 600000);
	shim_advance(600000);
	assert_true(fired());
	shim_advance(1000000);
	assert_true(fired());
	shim_advance(400000);
	apic_set(cpu, LAPIC_LVT_TIMER, ONESHOT);
	assert_int_equal(current_count(), 600000);
	shim_advance(600000);
	assert_true(fired());
	shim_advance(5000000);
	assert_false(fired());
	apic_set(cpu, LAPIC_LVT_TIMER, PERIODIC);	/* it is through: stays so */
	assert_int_equal(current_count(), 0);
	shim_advance(5000000);
	assert_false(fired());
}

static void test_divide_change_in_progress(void **state)
{
	start(PERIODIC, DIVIDE_1, 1000000);
	shim_advance(400000);
	apic_set(cpu, LAPIC_TIMER_DIVIDE, DIVIDE_16);
	assert_int_equal(current_count(), 600000);
	shim_advance(600000 * 16 - 1);
	assert_false(fired());
	shim_advance(1);
	assert_true(fired());
	shim_advance(1000000 * 16 - 1);
	assert_false(fired());
	shim_advance(1);
	assert_true(fired());
}

static void test_longest(void **state)
{
	u64 ns = 0xffffffffull * 128;

	start(ONESHOT, 0xa, 0xffffffff);
	assert_int_equal(current_count(), 0xffffffff);
	shim_advance(ns - 1);
	assert_false(fired());
	shim_advance(1);
	assert_true(fired());
}

static void test_deadline(void **state)
{
	apic_set(cpu, LAPIC_LVT_TIMER, DEADLINE);
	assert_int_equal(deadline(), 0);
	set_deadline(rdtsc() + 2000);		/* 1 us */
	assert_int_equal(deadline(), rdtsc() + 2000);
	assert_int_equal(current_count(), 0);
	apic_set(cpu, LAPIC_TIMER_INITIAL, 77);	/* ignored */
	assert_int_equal(apic_get(cpu, LAPIC_TIMER_INITIAL), 0);
	shim_advance(999);
	assert_false(fired());
	shim_advance(10);
	assert_int_equal(seen[0].kicks, 1);
	assert_true(fired());
	assert_int_equal(deadline(), 0);
	shim_advance(100000);
	assert_false(fired());
}

static void test_deadline_in_the_past(void **state)
{
	apic_set(cpu, LAPIC_LVT_TIMER, DEADLINE);
	requested(cpu);
	set_deadline(1);
	assert_true(requested(cpu));
	assert_int_equal(shim_timers(), 0);
	assert_true(fired());
	assert_int_equal(deadline(), 0);
	set_deadline(rdtsc());
	assert_true(fired());
}

static void test_deadline_disarmed(void **state)
{
	apic_set(cpu, LAPIC_LVT_TIMER, DEADLINE);
	set_deadline(rdtsc() + 2000);
	set_deadline(0);
	assert_int_equal(shim_timers(), 0);
	set_deadline(rdtsc() + 2000);
	apic_set(cpu, LAPIC_LVT_TIMER, ONESHOT);
	assert_int_equal(deadline(), 0);
	shim_advance(10000);
	assert_false(fired());
	/* and in other modes there is none */
	set_deadline(1);
	assert_int_equal(deadline(), 0);
	assert_false(fired());
}

static void test_deadline_far_away(void **state)
{
	apic_set(cpu, LAPIC_LVT_TIMER, DEADLINE);
	set_deadline(~0ull);
	shim_advance(1000ull * 86400 * NSEC_PER_SEC);
	assert_false(fired());
	assert_int_equal(deadline(), ~0ull);
	assert_int_equal(shim_timers(), 1);
	cpu->tsc_khz = 40000;		/* a slow TSC doesn't overflow anything either */
	set_deadline(~0ull);
	assert_int_equal(shim_timers(), 1);
}

static void test_deadline_not_early(void **state)
{
	apic_set(cpu, LAPIC_LVT_TIMER, DEADLINE);
	set_deadline(rdtsc() + 2000000);	/* 1 ms */
	shim_tsc_skew = 200000;			/* the TSC is slower than it was thought to be */
	shim_advance(1000010);
	assert_false(fired());
	shim_advance(99900);
	assert_false(fired());
	shim_advance(200);
	assert_true(fired());
}

static void test_deadline_needs_cpuid(void **state)
{
	cpuid_deadline = false;
	apic_set(cpu, LAPIC_LVT_TIMER, DEADLINE);
	assert_int_equal(apic_get(cpu, LAPIC_LVT_TIMER), ONESHOT);
	set_deadline(1);
	assert_false(fired());
}

/* The guest runs for a while, and its CPU leaves it when it is to. */
static void run_guest(u64 ns)
{
	shim_advance(ns);
	if (cpu->timer_at && (s64)(vcpu_host_tsc(cpu) - cpu->timer_at) >= 0)
		lapic_timer_due(cpu);
}

static void test_cpu_counts(void **state)
{
	cpu_has_timer = true;
	start(ONESHOT, DIVIDE_1, 1000);
	assert_int_equal(shim_timers(), 0);
	run_guest(999);
	assert_false(fired());
	requested(cpu);
	run_guest(1);
	run_guest(1);
	assert_true(requested(cpu));
	assert_true(fired());
	assert_int_equal(seen[0].kicks, 0);	/* it is where it is wanted already */
	run_guest(1000000);
	assert_false(fired());

	start(ONESHOT, DIVIDE_1, 1000);
	apic_set(cpu, LAPIC_TIMER_INITIAL, 0);
	assert_int_equal(cpu->timer_at, 0);

	apic_set(cpu, LAPIC_LVT_TIMER, DEADLINE);
	set_deadline(rdtsc() + 2000);
	assert_int_equal(cpu->timer_at, rdtsc() + 2000);
	run_guest(999);
	assert_false(fired());
	run_guest(1);
	assert_true(fired());
	assert_int_equal(deadline(), 0);
	assert_int_equal(cpu->timer_at, 0);

	/* when the TSC stops in suspend it doesn't */
	cpu->tsc_shift = 5000;
	cpu->tsc_offset = 5000 - rdtsc();
	set_deadline(5000 + 2000);
	assert_int_equal(cpu->timer_at, vcpu_host_tsc(cpu) + 2000);
	apic_set(cpu, LAPIC_LVT_TIMER, ONESHOT);
	assert_int_equal(cpu->timer_at, 0);
	assert_int_equal(shim_timers(), 0);
}

static void test_cpu_counts_another_rate(void **state)
{
	cpu_has_timer = true;
	cpu->tsc_ratio = 1ull << 47;
	cpu->tsc_khz = tsc_khz / 2;
	apic_set(cpu, LAPIC_LVT_TIMER, DEADLINE);
	set_deadline(guest_tsc(cpu) + 1000);	/* 1 us */
	run_guest(999);
	assert_false(fired());
	run_guest(3);
	assert_true(fired());
}

/* The TSC is faster than it was thought to be, against the clock that the guest reads its count by. */
static void test_cpu_is_early(void **state)
{
	cpu_has_timer = true;
	start(ONESHOT, DIVIDE_1, 1000000);
	shim_tsc_skew = -2000;
	run_guest(999500);
	assert_int_equal(cpu->timer_at, 0);
	assert_false(fired());
	assert_int_equal(current_count(), 500);
	assert_int_not_equal(cpu->timer_at, 0);
	run_guest(501);
	assert_true(fired());
}

static void test_halted_while_the_cpu_counts(void **state)
{
	cpu_has_timer = true;
	apic_set(cpu, LAPIC_LVT_TIMER, DEADLINE);
	set_deadline(rdtsc() + 2000);
	cpu->mp_state = MP_HALTED;
	lapic_timer_sleep(cpu);
	assert_int_equal(cpu->timer_at, 0);
	assert_int_equal(shim_timers(), 1);
	shim_tsc_skew = 200;			/* so that it is early: it doesn't go back to the CPU */
	shim_advance(1010);
	assert_int_equal(seen[0].kicks, 1);
	assert_false(fired());
	assert_int_equal(shim_timers(), 1);
	assert_int_equal(cpu->timer_at, 0);
	shim_advance(100);
	assert_int_equal(seen[0].kicks, 2);
	assert_true(fired());

	/* woken by something else, it takes the timer back when it sets it anew */
	cpu->mp_state = MP_RUNNABLE;
	set_deadline(rdtsc() + 2000);
	cpu->mp_state = MP_HALTED;
	lapic_timer_sleep(cpu);
	cpu->mp_state = MP_RUNNABLE;
	set_deadline(rdtsc() + 4000);
	assert_int_equal(shim_timers(), 0);
	assert_int_equal(cpu->timer_at, rdtsc() + 4000);

	/* late already */
	shim_advance(5000);
	requested(cpu);
	lapic_timer_sleep(cpu);
	assert_true(requested(cpu));
	assert_true(fired());
	assert_int_equal(shim_timers(), 0);
}

static void test_periodic_is_never_the_cpus(void **state)
{
	cpu_has_timer = true;
	start(PERIODIC, DIVIDE_1, 1000000);
	assert_int_equal(cpu->timer_at, 0);
	assert_int_equal(shim_timers(), 1);
	shim_advance(400000);
	apic_set(cpu, LAPIC_LVT_TIMER, ONESHOT);
	assert_int_equal(shim_timers(), 0);
	assert_int_not_equal(cpu->timer_at, 0);
	apic_set(cpu, LAPIC_TIMER_DIVIDE, DIVIDE_16);
	run_guest(600000 * 16 - 1);
	assert_false(fired());
	run_guest(2);
	assert_true(fired());
}

static void test_tsc_offset(void **state)
{
	cpu->tsc_offset = -rdtsc();
	assert_int_equal(guest_tsc(cpu), 0);
	apic_set(cpu, LAPIC_LVT_TIMER, DEADLINE);
	set_deadline(2000);
	shim_advance(900);
	assert_false(fired());
	shim_advance(110);
	assert_true(fired());
}

static void test_disable_drops_it(void **state)
{
	start(ONESHOT, DIVIDE_1, 1000);
	shim_advance(1000);
	apic_set(cpu, LAPIC_SVR, 0xff);
	apic_enable(cpu);
	apic_set(cpu, LAPIC_LVT_TIMER, ONESHOT);
	assert_false(fired());
}

static void test_reset_stops_it(void **state)
{
	start(PERIODIC, DIVIDE_1, 1000000);
	shim_advance(1000000);
	lapic_reset(cpu, true);
	assert_int_equal(shim_timers(), 0);
	assert_int_equal(take(cpu), -1);
	assert_int_equal(apic_get(cpu, LAPIC_TIMER_INITIAL), 0);
}

static void test_destroyed_while_it_runs(void **state)
{
	start(PERIODIC, DIVIDE_1, 1000000);	/* teardown says whether it's gone */
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(test_oneshot), T(test_divisors), T(test_stop), T(test_restart), T(test_periodic),
		T(test_periodic_that_is_too_fast), T(test_late_host), T(test_masked),
		T(test_mode_change_in_progress), T(test_divide_change_in_progress),
		T(test_longest), T(test_deadline), T(test_deadline_in_the_past),
		T(test_deadline_disarmed), T(test_deadline_far_away), T(test_deadline_not_early),
		T(test_deadline_needs_cpuid), T(test_cpu_counts), T(test_cpu_counts_another_rate),
		T(test_cpu_is_early), T(test_halted_while_the_cpu_counts),
		T(test_periodic_is_never_the_cpus), T(test_tsc_offset), T(test_disable_drops_it),
		T(test_reset_stops_it), T(test_destroyed_while_it_runs),
	};

	return cmocka_run_group_tests_name("irq_timer", tests, NULL, NULL);
}
