// SPDX-License-Identifier: GPL-2.0
/*
 * The local APIC's timer: one-shot, periodic and TSC-deadline.
 *
 * What happens once is counted by the CPU, where it can, while the vCPU runs: vcpu->timer_at says when
 * it is to leave the guest. A vCPU that is halted, and what is periodic, uses an hrtimer.
 *
 * The hrtimer's callback only sets a flag and kicks the vCPU, which makes an interrupt of the flag
 * on its way into the guest (timer_deliver()): so everything else here is the vCPU's thread's, and
 * what the callback reads only changes while the hrtimer is stopped. The count isn't stored: it
 * follows from when it was last at its initial value.
 *
 * The APIC's bus runs at 1 GHz, as KVM's: a tick of the undivided count is a nanosecond.
 */
#include <linux/hrtimer.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <asm/msr.h>
#include <asm/tsc.h>

#include "irq.h"

/* An hrtimer is set at most this far ahead; timer_deliver() sets it again when it was too early. */
#define LONGEST_SLEEP_S	(365 * 86400)

/**
 * guest_tsc() - what RDTSC in the guest reads now
 * @vcpu: whose
 *
 * Context: any.
 * Return: the guest's TSC.
 */
u64 guest_tsc(struct vcpu *vcpu)
{
	return tsc_of_guest(vcpu, rdtsc());
}

static enum hrtimer_restart timer_expired(struct hrtimer *hrtimer)
{
	struct lapic_timer *timer = container_of(hrtimer, struct lapic_timer, hrtimer);
	struct lapic *apic = container_of(timer, struct lapic, timer);

	/* if it was set already its vCPU has been told already */
	if (!atomic_xchg(&timer->pending, 1)) {
		vcpu_request(apic->vcpu, REQ_EVENT);
		vcpu_kick(apic->vcpu);
	}
	if (timer->mode != TIMER_PERIODIC)
		return HRTIMER_NORESTART;
	hrtimer_forward_now(hrtimer, ns_to_ktime(timer->interval));
	return HRTIMER_RESTART;
}

static void start_hrtimer(struct lapic_timer *timer, u64 at)
{
	hrtimer_start(&timer->hrtimer, ns_to_ktime(at), HRTIMER_MODE_ABS_PINNED_HARD);
}

/* Not where TSCs differ or stop: it would come when the clock says something else. */
static bool cpu_counts(struct lapic *apic)
{
	return apic->timer.mode != TIMER_PERIODIC && hw_has_timer() && vcpu_runnable(apic->vcpu) &&
	       tsc_khz && !check_tsc_unstable();
}

/* It expires ns after now. */
static void arm(struct lapic *apic, u64 now, u64 ns)
{
	struct vcpu *vcpu = apic->vcpu;

	if (cpu_counts(apic))
		vcpu->timer_at = vcpu_host_tsc(vcpu) + mul_u64_u32_div(ns, tsc_khz, USEC_PER_SEC) + 1;
	else
		start_hrtimer(&apic->timer, now + ns);
}

static void disarm(struct lapic *apic)
{
	hrtimer_cancel(&apic->timer.hrtimer);
	apic->vcpu->timer_at = 0;
}

/**
 * lapic_timer_due() - vcpu->timer_at has come
 * @vcpu: the vCPU
 *
 * Context: vcpu; interrupts may be off.
 */
void lapic_timer_due(struct vcpu *vcpu)
{
	vcpu->timer_at = 0;
	atomic_set(&vcpu->lapic->timer.pending, 1);
	vcpu_request(vcpu, REQ_EVENT);
}

/**
 * lapic_timer_sleep() - from here on the CPU doesn't count for this vCPU
 * @vcpu: the vCPU, with a timer_at: it halts, or is emulated
 *
 * If it wakes for another reason the hrtimer goes on: most guests set their timer anew then.
 *
 * Context: vcpu.
 */
void lapic_timer_sleep(struct vcpu *vcpu)
{
	u64 left = vcpu->timer_at - vcpu_host_tsc(vcpu);

	if ((s64)left <= 0) {
		lapic_timer_due(vcpu);
		return;
	}
	vcpu->timer_at = 0;
	start_hrtimer(&vcpu->lapic->timer,
		      ktime_get_ns() + mul_u64_u32_div(left, USEC_PER_SEC, tsc_khz) + 1);
}

/**
 * timer_init() - a stopped timer
 * @apic: its local APIC
 *
 * Context: before anyone else knows of @apic.
 */
void timer_init(struct lapic *apic)
{
	hrtimer_init(&apic->timer.hrtimer, CLOCK_MONOTONIC, HRTIMER_MODE_ABS_PINNED_HARD);
	apic->timer.hrtimer.function = timer_expired;
}

/**
 * timer_stop() - no interrupt of this timer any more, until it is set again
 * @apic: its local APIC
 *
 * When it returns the callback doesn't run and won't.
 *
 * Context: the vCPU's thread or its destruction. Waits for a callback that runs.
 */
void timer_stop(struct lapic *apic)
{
	struct lapic_timer *timer = &apic->timer;

	disarm(apic);
	atomic_set(&timer->pending, 0);
	timer->period = 0;
	timer->deadline = 0;
}

/**
 * timer_reset() - stopped and one-shot, as after RESET and INIT
 * @apic: its local APIC; its LVT entry and registers are the caller's
 *
 * Context: as timer_stop().
 */
void timer_reset(struct lapic *apic)
{
	timer_stop(apic);
	apic->timer.mode = TIMER_ONESHOT;
}

/* ---- one-shot and periodic ------------------------------------------------------------------- */

/* 2, 4, .. 128, 1: the value of bits 3, 1 and 0. */
static u32 divisor(struct lapic *apic)
{
	u32 divide = lapic_reg(apic, LAPIC_TIMER_DIVIDE);

	return 1 << (((divide & 3) | (divide & 8) >> 1) + 1) % 8;
}

/* Nanoseconds until the count is 0; of a one-shot timer that has been there, 0. */
static u64 remaining(const struct lapic_timer *timer, u64 now)
{
	u64 elapsed = now - timer->start;

	if (!timer->period)
		return 0;
	if (timer->mode == TIMER_PERIODIC)
		return timer->period - elapsed % timer->period;
	return elapsed < timer->period ? timer->period - elapsed : 0;
}

/* Starts it with this much left of its period. */
static void start_count(struct lapic *apic, u64 now, u64 left)
{
	struct lapic_timer *timer = &apic->timer;

	timer->start = now + left - timer->period;
	timer->interval = max_t(u64, timer->period, MIN_TIMER_PERIOD_NS);
	if (timer->mode == TIMER_PERIODIC && timer->period < MIN_TIMER_PERIOD_NS)
		left = MIN_TIMER_PERIOD_NS;
	arm(apic, now, left);
}

static u64 initial_ns(struct lapic *apic)
{
	return (u64)lapic_reg(apic, LAPIC_TIMER_INITIAL) * divisor(apic);
}

/**
 * timer_set_initial() - the guest writes the initial-count register
 * @apic: its local APIC
 * @count: what it writes; 0 stops the timer
 *
 * Context: vcpu.
 */
void timer_set_initial(struct lapic *apic, u32 count)
{
	struct lapic_timer *timer = &apic->timer;

	if (timer->mode == TIMER_DEADLINE)
		return;

	timer_stop(apic);
	lapic_set_reg(apic, LAPIC_TIMER_INITIAL, count);
	timer->period = initial_ns(apic);
	if (timer->period)
		start_count(apic, ktime_get_ns(), timer->period);
}

/**
 * timer_current() - the current-count register
 * @apic: its local APIC
 *
 * Context: vcpu.
 * Return: the count.
 */
u32 timer_current(struct lapic *apic)
{
	u64 ns = remaining(&apic->timer, ktime_get_ns());

	/* a count in progress isn't 0: a guest that waits for 0 waits for the interrupt's time */
	return DIV_ROUND_UP_ULL(ns, divisor(apic));
}

/**
 * timer_set_divide() - the guest writes the divide configuration register
 * @apic: its local APIC
 * @divide: what it writes
 *
 * A timer that runs goes on from its count, at the new rate.
 *
 * Context: vcpu.
 */
void timer_set_divide(struct lapic *apic, u32 divide)
{
	struct lapic_timer *timer = &apic->timer;
	u64 now = ktime_get_ns(), left = remaining(timer, now);
	u32 old = divisor(apic);

	lapic_set_reg(apic, LAPIC_TIMER_DIVIDE, divide);
	if (!left || divisor(apic) == old)
		return;

	disarm(apic);
	timer->period = initial_ns(apic);
	start_count(apic, now, div_u64(left, old) * divisor(apic));
}

/**
 * timer_set_mode() - the guest writes the timer's LVT entry
 * @apic: its local APIC
 * @mode: TIMER_ONESHOT, TIMER_PERIODIC or TIMER_DEADLINE
 *
 * Into and out of TSC-deadline mode disarms the timer. Between the others a count in progress goes
 * on, and the new mode says what follows it; a one-shot timer that is through doesn't start again.
 *
 * Context: vcpu.
 */
void timer_set_mode(struct lapic *apic, u32 mode)
{
	struct lapic_timer *timer = &apic->timer;
	u64 now, left;

	if (timer->mode == mode)
		return;
	if (timer->mode == TIMER_DEADLINE || mode == TIMER_DEADLINE) {
		timer_stop(apic);
		lapic_set_reg(apic, LAPIC_TIMER_INITIAL, 0);
		timer->mode = mode;
		return;
	}

	disarm(apic);
	now = ktime_get_ns();
	left = remaining(timer, now);
	timer->mode = mode;
	if (left)
		start_count(apic, now, left);
	else
		timer->period = 0;
}

/* ---- TSC deadline ---------------------------------------------------------------------------- */

/* Returns false if there is nothing to wait for: the deadline has passed. */
static bool start_deadline(struct lapic *apic)
{
	struct vcpu *vcpu = apic->vcpu;
	u64 now = rdtsc(), tsc = tsc_of_guest(vcpu, now), deadline = apic->timer.deadline, cycles;
	u32 khz = max(vcpu->tsc_khz, 1u);	/* a host that couldn't calibrate it has 0 */

	if (deadline <= tsc)
		return false;
	cycles = min_t(u64, deadline - tsc, (u64)khz * 1000 * LONGEST_SLEEP_S);
	if (!vcpu->tsc_ratio && cpu_counts(apic))
		vcpu->timer_at = now + vcpu->tsc_shift + cycles;
	else
		arm(apic, ktime_get_ns(), mul_u64_u32_div(cycles, USEC_PER_SEC, khz) + 1);
	return true;
}

/**
 * timer_deadline() - IA32_TSC_DEADLINE
 * @apic: its local APIC
 *
 * Context: vcpu.
 * Return: the deadline; 0 if it has passed, was never set, or in another mode.
 */
u64 timer_deadline(struct lapic *apic)
{
	return apic->timer.deadline;
}

/**
 * timer_set_deadline() - the guest writes IA32_TSC_DEADLINE
 * @apic: its local APIC
 * @deadline: guest TSC; 0 disarms
 *
 * A flag that an earlier deadline left behind does no harm: timer_deliver() compares with the deadline
 * that holds then.
 *
 * Context: vcpu.
 */
void timer_set_deadline(struct lapic *apic, u64 deadline)
{
	struct lapic_timer *timer = &apic->timer;

	if (timer->mode != TIMER_DEADLINE || !lapic_hw_enabled(apic))
		return;
	if (!deadline) {
		timer_stop(apic);
		return;
	}
	disarm(apic);
	timer->deadline = deadline;
	if (!start_deadline(apic))
		lapic_timer_due(apic->vcpu);
}

/**
 * timer_restore() - follows registers that the client has set
 * @apic: its local APIC
 * @count: what is left of the initial count
 *
 * A deadline that was set stays.
 *
 * Context: vcpu.
 */
void timer_restore(struct lapic *apic, u32 count)
{
	struct lapic_timer *timer = &apic->timer;
	u32 mode = lapic_reg(apic, LAPIC_LVT_TIMER) & LVT_TIMER_MODE;
	u64 deadline = timer->deadline, left;

	timer_stop(apic);
	timer->mode = mode == LVT_TIMER_MODE ? TIMER_ONESHOT : mode;	/* no such mode */
	if (timer->mode == TIMER_DEADLINE) {
		timer_set_deadline(apic, deadline);
		return;
	}
	timer->period = initial_ns(apic);
	left = min((u64)count * divisor(apic), timer->period);
	if (!left && timer->mode == TIMER_PERIODIC)
		left = timer->period;
	if (left)
		start_count(apic, ktime_get_ns(), left);
	else
		timer->period = 0;
}

/* Whether; if not, waits for the rest of it. */
static bool deadline_passed(struct lapic *apic)
{
	struct lapic_timer *timer = &apic->timer;

	if (!timer->deadline || start_deadline(apic))
		return false;
	timer->deadline = 0;
	return true;
}

/* Likewise for a count. */
static bool count_is_over(struct lapic *apic)
{
	u64 now = ktime_get_ns(), left;

	if (apic->timer.mode == TIMER_PERIODIC)
		return true;
	left = remaining(&apic->timer, now);
	if (left)
		arm(apic, now, left);
	return !left;
}

/**
 * timer_deliver() - makes an interrupt of a timer that has expired
 * @apic: its local APIC
 *
 * The host's clock may be slewed against the TSC, and one may be counted while the other is meant:
 * what hasn't come yet is waited for again, a guest must not be woken early.
 *
 * Context: the vCPU's thread, which looks for an interrupt next.
 */
void timer_deliver(struct lapic *apic)
{
	struct lapic_timer *timer = &apic->timer;

	if (!atomic_xchg(&timer->pending, 0))
		return;
	if (timer->mode == TIMER_DEADLINE ? deadline_passed(apic) : count_is_over(apic))
		lapic_timer_interrupt(apic);
}
