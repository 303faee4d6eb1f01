// SPDX-License-Identifier: GPL-2.0
/*
 * Time as guests see it: the TSC, kvmclock and steal time.
 *
 * The guest's TSC is the host's, maybe scaled, plus an offset for each vCPU. All vCPUs of a VM have
 * the same offset unless somebody sets their TSCs apart: what is written soon after another write,
 * to much the same value, is taken for an attempt to set them together.
 *
 * kvmclock tells a guest by a page for each vCPU what its TSC was at one moment of the VM's clock,
 * and at which rate to go on. Where the host's clock is its TSC that moment is one for the whole VM
 * and for ever, so that all pages say the same (TSC_STABLE). Else a page is written anew each time
 * the vCPU comes to a CPU. The pages are guest memory: what can't be written isn't.
 */
#include <linux/ktime.h>
#include <linux/sched/stat.h>
#include <linux/srcu.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>
#include <asm/kvm_para.h>
#include <asm/msr.h>
#include <asm/pvclock-abi.h>
#include <asm/tsc.h>

#include "minivmm.h"

#define ENABLED		BIT_ULL(0)	/* of the MSRs with addresses */
#define TOLERANCE_PPM	250		/* a rate this near to the host's needs no scaling */

/*
 * What the host's TSC has lost when it was off, in suspend. With that added it goes on as if nothing
 * had been: "host TSC" means this here. Changed by the last CPU with interrupts off.
 */
static u64 tsc_lost, tsc_at_suspend;

/* ---- the host's clock ------------------------------------------------------------------------ */

struct moment {
	u64 tsc, raw, real;	/* of one instant: host TSC, and clocks in ns */
	bool by_tsc;		/* the clocks are the TSC's */
};

static struct moment take_moment(void)
{
	struct system_time_snapshot snapshot;
	u64 before, after;
	struct moment m;

	before = rdtsc_ordered();
	ktime_get_snapshot(&snapshot);
	after = rdtsc_ordered();
	/* the counter that it read is the TSC if it lies between two TSCs */
	m.by_tsc = snapshot.cycles - before <= after - before && !check_tsc_unstable();
	m.tsc = (m.by_tsc ? snapshot.cycles : after) + tsc_lost;
	m.raw = ktime_to_ns(snapshot.raw);
	m.real = ktime_to_ns(snapshot.real);
	return m;
}

/* mul / 2^32 * 2^shift makes ns of ticks, with all of mul's bits in use. */
static void tick_scale(u32 khz, u32 *mul, s8 *shift)
{
	u64 hz = (u64)max(khz, 1u) * 1000;

	for (*shift = 0; hz > 2 * NSEC_PER_SEC; hz >>= 1)
		(*shift)--;
	for (; hz <= NSEC_PER_SEC; hz <<= 1)
		(*shift)++;
	*mul = div_u64((u64)NSEC_PER_SEC << 32, hz);
}

/* As a guest does it with its page. */
static u64 ticks_to_ns(u64 ticks, u32 khz)
{
	u32 mul;
	s8 shift;

	tick_scale(khz, &mul, &shift);
	ticks = shift < 0 ? ticks >> -shift : ticks << shift;
	return mul_u64_u32_shr(ticks, mul, 32);
}

/* The VM's clock at this moment. clock->lock held. */
static u64 clock_at(const struct vm_clock *clock, const struct moment *m)
{
	if (clock->by_tsc)
		return clock->base_ns + ticks_to_ns(m->tsc - clock->base_tsc, tsc_khz);
	return m->raw + clock->offset;
}

static u64 vm_clock(struct vm *vm, const struct moment *m)
{
	unsigned long flags;
	u64 ns;

	raw_spin_lock_irqsave(&vm->clock.lock, flags);
	ns = clock_at(&vm->clock, m);
	raw_spin_unlock_irqrestore(&vm->clock.lock, flags);
	return ns;
}

/* The VM's clock shows ns at this moment. */
static void set_clock(struct vm *vm, const struct moment *m, u64 ns)
{
	struct vm_clock *clock = &vm->clock;
	unsigned long flags;

	raw_spin_lock_irqsave(&clock->lock, flags);
	clock->by_tsc = m->by_tsc;
	clock->base_tsc = m->tsc;
	clock->base_ns = ns;
	clock->offset = ns - m->raw;
	raw_spin_unlock_irqrestore(&clock->lock, flags);
}

void clock_vm_init(struct vm *vm)
{
	struct moment m = take_moment();

	raw_spin_lock_init(&vm->clock.lock);
	set_clock(vm, &m, 0);
}

static void request_all(struct vm *vm, enum request request)
{
	struct vcpu *vcpu;
	int i;

	for_each_vcpu(i, vcpu, vm) {
		vcpu_request(vcpu, request);
		vcpu_kick(vcpu);
	}
}

static long get_clock(struct vm *vm, void __user *arg)
{
	struct moment m = take_moment();
	struct minivmm_clock_data data = { .clock = vm_clock(vm, &m) };

	if (vm->clock.by_tsc && m.by_tsc) {
		data.flags = MINIVMM_CLOCK_TSC_STABLE | MINIVMM_CLOCK_REALTIME |
			     MINIVMM_CLOCK_HOST_TSC;
		data.realtime = m.real;
		data.host_tsc = m.tsc - tsc_lost;
	}
	return copy_to_user(arg, &data, sizeof(data)) ? -EFAULT : 0;
}

static long do_set_clock(struct vm *vm, const void __user *arg)
{
	struct minivmm_clock_data data;
	struct moment m;

	if (copy_from_user(&data, arg, sizeof(data)))
		return -EFAULT;
	if (data.flags & ~(MINIVMM_CLOCK_TSC_STABLE | MINIVMM_CLOCK_REALTIME |
			   MINIVMM_CLOCK_HOST_TSC))
		return -EINVAL;
	m = take_moment();
	/* the time that has passed since; never backwards */
	if ((data.flags & MINIVMM_CLOCK_REALTIME) && m.real > data.realtime)
		data.clock += m.real - data.realtime;
	set_clock(vm, &m, data.clock);
	request_all(vm, REQ_CLOCK);
	return 0;
}

long clock_ioctl(struct vm *vm, unsigned int ioctl, void __user *arg)
{
	return ioctl == MINIVMM_GET_CLOCK ? get_clock(vm, arg) : do_set_clock(vm, arg);
}

/* ---- suspend --------------------------------------------------------------------------------- */

void clock_suspend(void)
{
	tsc_at_suspend = rdtsc_ordered();
}

void clock_resume(void)
{
	u64 now = rdtsc_ordered();

	if (now < tsc_at_suspend)
		tsc_lost += tsc_at_suspend - now;
}

/* ---- the TSC --------------------------------------------------------------------------------- */

static u64 scaled(const struct vcpu *vcpu, u64 ticks)
{
	return vcpu->tsc_ratio ? mul_u64_u64_shr(ticks, vcpu->tsc_ratio, 48) : ticks;
}

/* tsc_offset is that to RDTSC; this is the one to the host TSC, which vCPUs have in common. */
static u64 common_offset(const struct vcpu *vcpu)
{
	return vcpu->tsc_offset - scaled(vcpu, vcpu->tsc_shift);
}

static bool tscs_match(struct vcpu *vcpu)
{
	struct vcpu *other;
	int i;

	for_each_vcpu(i, other, vcpu->vm)
		if (common_offset(other) != common_offset(vcpu) ||
		    other->tsc_ratio != vcpu->tsc_ratio)
			return false;
	return true;
}

static void set_offset(struct vcpu *vcpu, u64 offset)
{
	if (offset == vcpu->tsc_offset)
		return;
	hw_set_tsc_offset(vcpu, offset);
	request_all(vcpu->vm, REQ_CLOCK);
}

/**
 * tsc_write() - the client, or RESET, sets a vCPU's TSC
 * @vcpu: the vCPU
 * @tsc: its value; 0, or within a second of what the VM's TSCs are: as they are
 *
 * Context: vcpu.
 */
void tsc_write(struct vcpu *vcpu, u64 tsc)
{
	u64 offset = tsc - scaled(vcpu, vcpu_host_tsc(vcpu)), second = (u64)vcpu->tsc_khz * 1000;
	struct vm_clock *clock = &vcpu->vm->clock;
	u64 now = ktime_get_ns(), expected;
	unsigned long flags;

	raw_spin_lock_irqsave(&clock->lock, flags);
	expected = clock->write_value +
		   mul_u64_u32_div(now - clock->write_ns, vcpu->tsc_khz, USEC_PER_SEC);
	if (clock->write_khz == vcpu->tsc_khz && !check_tsc_unstable() &&
	    (!tsc || tsc - expected + second < 2 * second)) {
		offset = clock->write_offset;
	} else {
		clock->write_value = tsc;
		clock->write_ns = now;
		clock->write_offset = offset;
		clock->write_khz = vcpu->tsc_khz;
	}
	raw_spin_unlock_irqrestore(&clock->lock, flags);
	set_offset(vcpu, offset + scaled(vcpu, vcpu->tsc_shift));
}

/**
 * tsc_move() - the guest sets its TSC, or TSC_ADJUST
 * @vcpu: the vCPU
 * @delta: by how much
 *
 * Context: vcpu; interrupts may be off.
 */
void tsc_move(struct vcpu *vcpu, u64 delta)
{
	set_offset(vcpu, vcpu->tsc_offset + delta);
}

/**
 * tsc_set_khz() - SET_TSC_KHZ
 * @vcpu: the vCPU
 * @khz: the rate of its TSC; 0: the host's
 *
 * Context: vcpu.
 * Return: 0, or -EINVAL: this CPU can't make that rate.
 */
int tsc_set_khz(struct vcpu *vcpu, unsigned long khz)
{
	u64 ratio = 0, tolerance = div_u64((u64)tsc_khz * TOLERANCE_PPM, 1000000);

	if (!khz)
		khz = tsc_khz;
	if (khz > U32_MAX || !tsc_khz)
		return -EINVAL;
	if (khz < tsc_khz - tolerance || khz > tsc_khz + tolerance) {
		if (!hw_has_tsc_scaling())
			return -EINVAL;
		/* of 16 bits before the point */
		if (khz >> 16 >= tsc_khz)
			return -EINVAL;
		ratio = mul_u64_u32_div(1ULL << 48, khz, tsc_khz);
		if (!ratio)
			return -EINVAL;
	}
	vcpu->tsc_khz = khz;
	hw_set_tsc_ratio(vcpu, ratio);
	request_all(vcpu->vm, REQ_CLOCK);
	return 0;
}

void clock_vcpu_load(struct vcpu *vcpu)
{
	u64 shift = max(vcpu->tsc_shift, tsc_lost), now;

	if (unlikely(check_tsc_unstable())) {
		/* this CPU's may lie behind that of the last one */
		now = rdtsc() + shift;
		if (now < vcpu->tsc_at_put)
			shift += vcpu->tsc_at_put - now;
	}
	if (unlikely(shift != vcpu->tsc_shift)) {
		hw_set_tsc_offset(vcpu, common_offset(vcpu) + scaled(vcpu, shift));
		vcpu->tsc_shift = shift;
	}
	if ((vcpu->pv.clock & ENABLED) && !vcpu->vm->clock.by_tsc)
		vcpu_request(vcpu, REQ_CLOCK);
	if (vcpu->pv.steal & ENABLED)
		vcpu_request(vcpu, REQ_STEAL_TIME);
}

void clock_vcpu_put(struct vcpu *vcpu)
{
	vcpu->tsc_at_put = vcpu_host_tsc(vcpu);
}

/* ---- pages of the guest's -------------------------------------------------------------------- */

/*
 * A structure whose version, at its start or not, is odd while it is being written. What isn't
 * memory is the guest's own mistake.
 */
static void write_versioned(struct vcpu *vcpu, gpa_t gpa, void *data, int size, u32 *version)
{
	unsigned int at = (void *)version - data;
	u32 old;

	if (read_guest(vcpu, gpa + at, &old, sizeof(old)))
		return;
	*version = (old + 1) | 1;
	if (write_guest(vcpu, gpa + at, version, sizeof(*version)))
		return;
	smp_wmb();
	write_guest(vcpu, gpa, data, size);
	smp_wmb();
	++*version;
	write_guest(vcpu, gpa + at, version, sizeof(*version));
}

static void write_clock(struct vcpu *vcpu)
{
	gpa_t gpa = vcpu->pv.clock & ~ENABLED;
	struct vm_clock *clock = &vcpu->vm->clock;
	struct pvclock_vcpu_time_info page;
	unsigned long flags;
	struct moment m;

	if (!(vcpu->pv.clock & ENABLED) || read_guest(vcpu, gpa, &page, sizeof(page)))
		return;
	page.flags &= PVCLOCK_GUEST_STOPPED;
	if (vcpu->pv.stopped)
		page.flags |= PVCLOCK_GUEST_STOPPED;
	vcpu->pv.stopped = false;

	if (!clock->by_tsc)
		m = take_moment();
	raw_spin_lock_irqsave(&clock->lock, flags);
	if (clock->by_tsc) {
		m.tsc = clock->base_tsc;
		page.system_time = clock->base_ns;
		if (tscs_match(vcpu))
			page.flags |= PVCLOCK_TSC_STABLE_BIT;
	} else {
		page.system_time = clock_at(clock, &m);
	}
	raw_spin_unlock_irqrestore(&clock->lock, flags);

	page.pad0 = 0;
	memset(page.pad, 0, sizeof(page.pad));
	page.tsc_timestamp = scaled(vcpu, m.tsc) + common_offset(vcpu);
	tick_scale(vcpu->tsc_khz, &page.tsc_to_system_mul, &page.tsc_shift);
	write_versioned(vcpu, gpa, &page, sizeof(page), &page.version);
}

/* When the VM's clock was 0. */
static void write_wall_clock(struct vcpu *vcpu)
{
	gpa_t gpa = READ_ONCE(vcpu->vm->clock.wall_clock);
	struct moment m = take_moment();
	struct pvclock_wall_clock page;
	u32 nsec;

	page.sec = div_u64_rem(m.real - vm_clock(vcpu->vm, &m), NSEC_PER_SEC, &nsec);
	page.nsec = nsec;
	if (gpa)
		write_versioned(vcpu, gpa, &page, sizeof(page), &page.version);
}

/* How long this thread has waited for a CPU: what is new of it. */
static void write_steal_time(struct vcpu *vcpu)
{
	gpa_t gpa = vcpu->pv.steal & KVM_STEAL_VALID_BITS;
	u64 waited = current->sched_info.run_delay;
	struct kvm_steal_time page;

	if (!(vcpu->pv.steal & ENABLED) || read_guest(vcpu, gpa, &page, sizeof(page)))
		return;
	if (vcpu->pv.steal_task == current)
		page.steal += waited - vcpu->pv.steal_seen;
	vcpu->pv.steal_task = current;
	vcpu->pv.steal_seen = waited;
	page.flags = 0;
	page.preempted = 0;
	write_versioned(vcpu, gpa, &page, offsetof(struct kvm_steal_time, pad), &page.version);
}

void clock_vcpu_requests(struct vcpu *vcpu)
{
	int idx = srcu_read_lock(&vcpu->vm->srcu);

	if (vcpu_take_request(vcpu, REQ_CLOCK))
		write_clock(vcpu);
	if (vcpu_take_request(vcpu, REQ_WALL_CLOCK))
		write_wall_clock(vcpu);
	if (vcpu_take_request(vcpu, REQ_STEAL_TIME))
		write_steal_time(vcpu);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
}

/* ---- what a guest is offered ----------------------------------------------------------------- */

u32 clock_pv_features(void)
{
	return BIT(KVM_FEATURE_CLOCKSOURCE) | BIT(KVM_FEATURE_NOP_IO_DELAY) |
	       BIT(KVM_FEATURE_CLOCKSOURCE2) | BIT(KVM_FEATURE_CLOCKSOURCE_STABLE_BIT) |
	       (sched_info_on() ? BIT(KVM_FEATURE_STEAL_TIME) : 0);
}

int clock_msr_get(struct vcpu *vcpu, u32 index, u64 *data)
{
	switch (index) {
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW:
		*data = READ_ONCE(vcpu->vm->clock.wall_clock);
		return 0;
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW:
		*data = vcpu->pv.clock;
		return 0;
	case MSR_KVM_STEAL_TIME:
		*data = vcpu->pv.steal;
		return 0;
	}
	return -ENOENT;
}

int clock_msr_set(struct vcpu *vcpu, u32 index, u64 data)
{
	switch (index) {
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW:
		WRITE_ONCE(vcpu->vm->clock.wall_clock, data);
		vcpu_request(vcpu, REQ_WALL_CLOCK);
		return 0;
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW:
		vcpu->pv.clock = data;
		vcpu_request(vcpu, REQ_CLOCK);
		return 0;
	case MSR_KVM_STEAL_TIME:
		if (!sched_info_on() || (data & KVM_STEAL_RESERVED_MASK))
			return 1;
		vcpu->pv.steal = data;
		vcpu->pv.steal_task = NULL;	/* what was before isn't counted */
		vcpu_request(vcpu, REQ_STEAL_TIME);
		return 0;
	}
	return -ENOENT;
}

/* KVMCLOCK_CTRL: tells the guest that it was stopped, so that its watchdogs don't bark. */
int clock_kvmclock_ctrl(struct vcpu *vcpu)
{
	if (!(vcpu->pv.clock & ENABLED))
		return -EINVAL;
	vcpu->pv.stopped = true;
	vcpu_request(vcpu, REQ_CLOCK);
	return 0;
}
