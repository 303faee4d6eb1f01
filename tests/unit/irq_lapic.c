// SPDX-License-Identifier: GPL-2.0
/* One local APIC: registers in both modes, priorities, errors, IA32_APIC_BASE, INIT and SIPI. */
#include "irq_vm.h"

static struct vm *vm;
static struct vcpu *cpu, *ap;

static int setup(void **state)
{
	vm = vm_with_chips(3);
	cpu = vm->vcpus[0];
	ap = vm->vcpus[2];
	return 0;
}

static int teardown(void **state)
{
	vm_free(vm);
	return 0;
}

static int send_self(u8 vector)
{
	struct irq_msg msg = { .dest = 0, .vector = vector, .assert = true };

	return irq_deliver(vm, NULL, &msg);
}

static u32 esr(struct vcpu *vcpu)
{
	apic_set(vcpu, LAPIC_ESR, 0);
	return apic_get(vcpu, LAPIC_ESR);
}

static u64 rdmsr(struct vcpu *vcpu, u32 reg)
{
	u64 val;

	assert_int_equal(lapic_msr_get(vcpu, 0x800 + reg / 16, &val), 0);
	return val;
}

static int wrmsr(struct vcpu *vcpu, u32 reg, u64 val)
{
	return lapic_msr_set(vcpu, 0x800 + reg / 16, val);
}

static void test_reset_values(void **state)
{
	int reg;

	assert_int_equal(cpu->apic_base, 0xfee00900);
	assert_int_equal(ap->apic_base, 0xfee00800);
	assert_int_equal(apic_get(cpu, LAPIC_ID), 0);
	assert_int_equal(apic_get(ap, LAPIC_ID), 2 << 24);
	assert_int_equal(apic_get(cpu, LAPIC_VERSION), 0x50014);
	assert_int_equal(apic_get(cpu, LAPIC_TPR), 0);
	assert_int_equal(apic_get(cpu, LAPIC_APR), 0);
	assert_int_equal(apic_get(cpu, LAPIC_PPR), 0);
	assert_int_equal(apic_get(cpu, LAPIC_LDR), 0);
	assert_int_equal(apic_get(cpu, LAPIC_DFR), 0xffffffff);
	assert_int_equal(apic_get(cpu, LAPIC_SVR), 0xff);
	for (reg = LAPIC_ISR; reg < LAPIC_ESR; reg += 16)
		assert_int_equal(apic_get(cpu, reg), 0);
	for (reg = LAPIC_LVT_TIMER; reg <= LAPIC_LVT_ERROR; reg += 16)
		assert_int_equal(apic_get(ap, reg), 0x10000);
	assert_int_equal(apic_get(cpu, LAPIC_LVT_LINT0), 0x700);
	assert_int_equal(apic_get(cpu, LAPIC_TIMER_INITIAL), 0);
	assert_int_equal(apic_get(cpu, LAPIC_TIMER_CURRENT), 0);
	assert_int_equal(apic_get(cpu, LAPIC_TIMER_DIVIDE), 0);
	assert_int_equal(esr(cpu), 0);
}

static void test_writable_bits(void **state)
{
	static const struct { u32 reg, bits; } regs[] = {
		{ LAPIC_TPR, 0xff },
		{ LAPIC_LDR, 0xff000000 },
		{ LAPIC_SVR, 0x3ff },
		{ LAPIC_LVT_TIMER, 0x700ff },
		{ LAPIC_LVT_THERMAL, 0x107ff },
		{ LAPIC_LVT_PERF, 0x107ff },
		{ LAPIC_LVT_LINT0, 0x1a7ff },
		{ LAPIC_LVT_LINT1, 0x1a7ff },
		{ LAPIC_LVT_ERROR, 0x100ff },
		{ LAPIC_ICR2, 0xff000000 },
		{ LAPIC_TIMER_DIVIDE, 0xb },
	};
	int i;

	apic_enable(cpu);
	for (i = 0; i < ARRAY_SIZE(regs); i++) {
		apic_set(cpu, regs[i].reg, 0xffffffff);
		assert_int_equal(apic_get(cpu, regs[i].reg), regs[i].bits);
	}
	apic_set(cpu, LAPIC_DFR, 0);
	assert_int_equal(apic_get(cpu, LAPIC_DFR), 0x0fffffff);
}

static void test_read_only(void **state)
{
	static const u32 regs[] = { LAPIC_ID, LAPIC_VERSION, LAPIC_APR, LAPIC_PPR, LAPIC_ISR,
				    LAPIC_TMR, LAPIC_IRR + 0x70, LAPIC_TIMER_CURRENT };
	u32 before;
	int i;

	for (i = 0; i < ARRAY_SIZE(regs); i++) {
		before = apic_get(ap, regs[i]);
		apic_set(ap, regs[i], 0xffffffff);
		assert_int_equal(apic_get(ap, regs[i]), before);
	}
	assert_int_equal(esr(ap), 0);
}

static void test_reserved_registers(void **state)
{
	static const u32 regs[] = { 0x00, 0x10, 0x40, 0xc0, 0x290, 0x2f0, 0x3a0, 0x3d0, 0x3f0,
				    0x400, 0xff0 };
	int i;

	for (i = 0; i < ARRAY_SIZE(regs); i++) {
		assert_int_equal(apic_get(cpu, regs[i]), 0);
		assert_int_equal(esr(cpu), 0x80);
		apic_set(cpu, regs[i], 1);
		assert_int_equal(esr(cpu), 0x80);
		assert_int_equal(esr(cpu), 0);
	}
}

static void test_parts_of_a_register(void **state)
{
	u64 val = ~0ull;
	u32 odd = 0x77;

	apic_set(cpu, LAPIC_LDR, 0xab000000);
	assert_int_equal(lapic_mmio_read(cpu, 0xfee000d3, 1, &val), 0);
	assert_int_equal((u8)val, 0xab);
	assert_int_equal(lapic_mmio_read(cpu, 0xfee000d2, 2, &val), 0);
	assert_int_equal((u16)val, 0xab00);
	assert_int_equal(lapic_mmio_read(cpu, 0xfee000d0, 8, &val), 0);
	assert_int_equal(val, 0);
	assert_int_equal(lapic_mmio_read(cpu, 0xfee000df, 4, &val), 0);
	assert_int_equal((u32)val, 0);
	/* and stores of other shapes do nothing */
	assert_int_equal(lapic_mmio_write(cpu, 0xfee00080, 1, &odd), 0);
	assert_int_equal(lapic_mmio_write(cpu, 0xfee00084, 4, &odd), 0);
	assert_int_equal(apic_get(cpu, LAPIC_TPR), 0);
}

static void test_priorities(void **state)
{
	apic_enable(cpu);
	assert_int_equal(send_self(0x41), 1);
	assert_int_equal(send_self(0x52), 1);
	assert_int_equal(send_self(0x43), 1);
	assert_int_equal(apic_get(cpu, LAPIC_IRR + 0x20), 0xa | 0x40000);
	assert_int_equal(take(cpu), 0x52);
	assert_int_equal(apic_get(cpu, LAPIC_PPR), 0x50);
	assert_int_equal(take(cpu), -1);
	assert_int_equal(send_self(0x5f), 1);	/* the same class waits */
	assert_int_equal(take(cpu), -1);
	assert_int_equal(send_self(0x60), 1);
	assert_int_equal(take(cpu), 0x60);
	assert_int_equal(apic_get(cpu, LAPIC_ISR + 0x30), 1);

	requested(cpu);
	apic_set(cpu, LAPIC_EOI, 0);
	assert_false(requested(cpu));		/* 0x52 is in service, 0x5f waits for it */
	assert_int_equal(take(cpu), -1);
	apic_set(cpu, LAPIC_EOI, 0);
	assert_true(requested(cpu));
	assert_int_equal(take(cpu), 0x5f);
	apic_set(cpu, LAPIC_EOI, 0);
	assert_int_equal(take(cpu), 0x43);
	apic_set(cpu, LAPIC_EOI, 0);
	assert_int_equal(take(cpu), 0x41);
	apic_set(cpu, LAPIC_EOI, 0);
	assert_int_equal(apic_get(cpu, LAPIC_PPR), 0);
	apic_set(cpu, LAPIC_EOI, 0);		/* of nothing */
	assert_int_equal(take(cpu), -1);
}

static void test_tpr(void **state)
{
	apic_enable(cpu);
	lapic_set_tpr(cpu, 0x45);
	assert_int_equal(lapic_tpr(cpu), 0x45);
	assert_int_equal(apic_get(cpu, LAPIC_PPR), 0x45);
	send_self(0x4f);
	assert_int_equal(take(cpu), -1);
	requested(cpu);
	lapic_set_tpr(cpu, 0x40);
	assert_false(requested(cpu));
	lapic_set_tpr(cpu, 0x30);
	assert_true(requested(cpu));
	assert_int_equal(take(cpu), 0x4f);
	assert_int_equal(apic_get(cpu, LAPIC_PPR), 0x40);
	lapic_set_tpr(cpu, 0x47);		/* equal class: the whole TPR */
	assert_int_equal(apic_get(cpu, LAPIC_PPR), 0x47);
	lapic_set_tpr(cpu, 0xf0);
	send_self(0xff);
	assert_int_equal(take(cpu), -1);
}

static void test_every_vector(void **state)
{
	int v;

	apic_enable(cpu);
	for (v = 16; v < 256; v++)
		assert_int_equal(send_self(v), 1);
	for (v = 255; v >= 16; v--) {
		assert_int_equal(take(cpu), v);
		assert_int_equal(take(cpu), -1);
		apic_set(cpu, LAPIC_EOI, 0);
	}
	assert_int_equal(take(cpu), -1);
}

static void test_twice_is_once_until_taken(void **state)
{
	apic_enable(cpu);
	seen[0].kicks = 0;
	assert_int_equal(send_self(0x30), 1);
	assert_int_equal(send_self(0x30), 1);
	assert_int_equal(seen[0].kicks, 1);	/* the second finds the vCPU told */
	assert_int_equal(take(cpu), 0x30);
	assert_int_equal(send_self(0x30), 1);	/* while in service: one more */
	assert_int_equal(seen[0].kicks, 2);
	apic_set(cpu, LAPIC_EOI, 0);
	assert_int_equal(take(cpu), 0x30);
	apic_set(cpu, LAPIC_EOI, 0);
	assert_int_equal(take(cpu), -1);
}

static void test_software_disable(void **state)
{
	int reg;

	assert_int_equal(send_self(0x30), 0);	/* as after reset */
	apic_set(cpu, LAPIC_LVT_ERROR, 0x33);
	assert_int_equal(apic_get(cpu, LAPIC_LVT_ERROR), 0x10033);

	apic_enable(cpu);
	apic_set(cpu, LAPIC_LVT_ERROR, 0x33);
	assert_int_equal(apic_get(cpu, LAPIC_LVT_ERROR), 0x33);
	send_self(0x30);
	apic_set(cpu, LAPIC_SVR, 0xff);
	for (reg = LAPIC_LVT_TIMER; reg <= LAPIC_LVT_ERROR; reg += 16)
		assert_true(apic_get(cpu, reg) & LVT_MASKED);
	assert_int_equal(send_self(0x31), 0);
	assert_int_equal(take(cpu), 0x30);	/* what was there is still delivered */
}

static void test_errors(void **state)
{
	apic_enable(cpu);
	apic_set(cpu, LAPIC_LVT_ERROR, 0x33);

	assert_int_equal(send_self(0x0f), 0);	/* received an illegal vector */
	assert_int_equal(take(cpu), 0x33);
	apic_set(cpu, LAPIC_EOI, 0);
	send_self(0x0e);			/* logged already: no second interrupt */
	assert_int_equal(take(cpu), -1);
	assert_int_equal(apic_get(cpu, LAPIC_ESR), 0);
	assert_int_equal(esr(cpu), 0x40);
	assert_int_equal(esr(cpu), 0);

	apic_set(cpu, LAPIC_ICR, 0x4005);	/* sends one */
	assert_int_equal(take(cpu), 0x33);
	apic_set(cpu, LAPIC_EOI, 0);
	assert_int_equal(esr(cpu), 0x20);

	apic_set(cpu, LAPIC_LVT_ERROR, 0x05);	/* an error whose own vector is illegal */
	apic_get(cpu, 0x400);
	assert_int_equal(take(cpu), -1);
	assert_int_equal(esr(cpu), 0xc0);
}

static void test_x2apic_registers(void **state)
{
	u64 val;
	int i;
	static const u32 none[] = { 0x00, 0x10, LAPIC_APR, LAPIC_EOI, 0xc0, LAPIC_DFR, 0x290,
				    0x2f0, LAPIC_ICR2, 0x3a0, LAPIC_SELF_IPI, 0x400, 0xff0 };

	assert_int_equal(lapic_msr_get(ap, 0x802, &val), 1);
	assert_int_equal(lapic_msr_set(ap, 0x808, 0), 1);
	apic_x2apic(ap);
	assert_false(lapic_in_range(ap, 0xfee00020));
	assert_int_equal(rdmsr(ap, LAPIC_ID), 2);
	assert_int_equal(rdmsr(ap, LAPIC_LDR), 4);
	assert_int_equal(rdmsr(ap, LAPIC_VERSION), 0x50014);
	for (i = 0; i < ARRAY_SIZE(none); i++)
		assert_int_equal(lapic_msr_get(ap, 0x800 + none[i] / 16, &val), 1);
	assert_int_equal(lapic_msr_get(ap, 0x7ff, &val), 1);
	assert_int_equal(lapic_msr_get(ap, 0x900, &val), 1);
}

static void test_x2apic_reserved_bits(void **state)
{
	static const struct { u32 reg; u64 good, bad; } regs[] = {
		{ LAPIC_ID, 0, 0 },
		{ LAPIC_VERSION, 0, 0 },
		{ LAPIC_PPR, 0, 0 },
		{ LAPIC_LDR, 0, 0 },
		{ LAPIC_ISR, 0, 0 },
		{ LAPIC_IRR + 0x70, 0, 0 },
		{ LAPIC_TIMER_CURRENT, 0, 0 },
		{ LAPIC_DFR, 0, 0 },
		{ LAPIC_ICR2, 0, 0 },
		{ 0x3a0, 0, 0 },
		{ LAPIC_TPR, 0xff, 0x100 },
		{ LAPIC_EOI, 0, 1 },
		{ LAPIC_SVR, 0x1ff, 0x400 },
		{ LAPIC_ESR, 0, 1 },
		{ LAPIC_LVT_TIMER, 0x71000 | 0x30, 0x100 },
		{ LAPIC_LVT_LINT0, 0x1f7ff, 0x20000 },
		{ LAPIC_LVT_ERROR, 0x10031, 0x100 },
		{ LAPIC_TIMER_INITIAL, 0, 1ull << 32 },
		{ LAPIC_TIMER_DIVIDE, 0xb, 4 },
		{ LAPIC_ICR, 0x440f7 | 1ull << 63, 1 << 13 },
		{ LAPIC_ICR, 0x440f7, 1 << 20 },
		{ LAPIC_SELF_IPI, 0x31, 0x100 },
	};
	int i;

	apic_x2apic(cpu);
	for (i = 0; i < ARRAY_SIZE(regs); i++) {
		assert_int_equal(wrmsr(cpu, regs[i].reg, regs[i].bad), 1);
		if (regs[i].good || regs[i].bad)
			assert_int_equal(wrmsr(cpu, regs[i].reg, regs[i].good), 0);
		assert_int_equal(wrmsr(cpu, regs[i].reg, regs[i].good | 1ull << 32),
				 regs[i].reg != LAPIC_ICR);
	}
}

static void test_x2apic_icr(void **state)
{
	apic_x2apic(cpu);
	apic_x2apic(ap);
	wrmsr(ap, LAPIC_SVR, 0x1ff);
	assert_int_equal(wrmsr(cpu, LAPIC_ICR, 2ull << 32 | 0x5044), 0);
	assert_int_equal(rdmsr(cpu, LAPIC_ICR), 2ull << 32 | 0x4044);	/* never busy */
	assert_int_equal(take(ap), 0x44);
	wrmsr(cpu, LAPIC_SVR, 0x1ff);
	assert_int_equal(wrmsr(cpu, LAPIC_SELF_IPI, 0x45), 0);
	assert_int_equal(take(cpu), 0x45);
	assert_int_equal(wrmsr(cpu, LAPIC_EOI, 0), 0);
	assert_int_equal(wrmsr(cpu, LAPIC_SELF_IPI, 5), 0);
	assert_int_equal(wrmsr(cpu, LAPIC_ESR, 0), 0);
	assert_int_equal(rdmsr(cpu, LAPIC_ESR), 0x20);
}

static void test_base_rules(void **state)
{
	const u64 off = 0xfee00000, on = 0xfee00800, x2 = 0xfee00c00, bad = 0xfee00400;

	assert_int_equal(lapic_set_base(cpu, bad, false), 1);
	assert_int_equal(lapic_set_base(cpu, bad, true), 1);
	assert_int_equal(lapic_set_base(cpu, on | 1, false), 1);
	assert_int_equal(lapic_set_base(cpu, on | 1ull << 40, false), 1);
	assert_int_equal(lapic_set_base(cpu, on | 1ull << 39, false), 0);
	assert_int_equal(lapic_set_base(cpu, on, false), 0);

	assert_int_equal(lapic_set_base(cpu, x2, false), 0);
	assert_int_equal(lapic_set_base(cpu, on, false), 1);
	assert_int_equal(cpu->apic_base, x2);
	assert_int_equal(lapic_set_base(cpu, off, false), 0);
	assert_int_equal(lapic_set_base(cpu, x2, false), 1);
	assert_int_equal(lapic_set_base(cpu, on, false), 0);
	assert_int_equal(lapic_set_base(cpu, off, false), 0);

	/* a client may go from anywhere to anywhere */
	assert_int_equal(lapic_set_base(cpu, x2, true), 0);
	assert_int_equal(lapic_set_base(cpu, on, true), 0);

	cpuid_x2apic = false;
	assert_int_equal(lapic_set_base(cpu, x2, false), 1);
	assert_int_equal(lapic_set_base(cpu, x2, true), 1);
}

static void test_relocation(void **state)
{
	assert_int_equal(lapic_set_base(cpu, 0xd0000900, false), 0);
	assert_false(lapic_in_range(cpu, 0xfee00020));
	assert_true(lapic_in_range(cpu, 0xd0000fff));
	assert_false(lapic_in_range(cpu, 0xd0001000));
	assert_int_equal(apic_get(cpu, LAPIC_VERSION), 0x50014);
}

static void test_hardware_disable(void **state)
{
	apic_enable(cpu);
	apic_set(cpu, LAPIC_TPR, 0x20);
	send_self(0x30);
	assert_int_equal(lapic_set_base(cpu, 0xfee00100, false), 0);
	assert_false(lapic_in_range(cpu, 0xfee00020));
	assert_int_equal(send_self(0x31), 0);
	assert_int_equal(take(cpu), -1);
	assert_true(lapic_accepts_extint(cpu->lapic));
	/* as after a reset */
	assert_int_equal(lapic_set_base(cpu, 0xfee00900, false), 0);
	assert_int_equal(apic_get(cpu, LAPIC_SVR), 0xff);
	assert_int_equal(apic_get(cpu, LAPIC_TPR), 0);
	assert_int_equal(take(cpu), -1);
}

static void test_client_keeps_state(void **state)
{
	apic_enable(cpu);
	apic_set(cpu, LAPIC_TPR, 0x20);
	assert_int_equal(lapic_set_base(cpu, 0xfee00100, true), 0);
	assert_int_equal(lapic_set_base(cpu, 0xfee00900, true), 0);
	assert_int_equal(apic_get(cpu, LAPIC_TPR), 0x20);
	assert_int_equal(apic_get(cpu, LAPIC_SVR), 0x1ff);
}

static void test_without_chips(void **state)
{
	struct vcpu bare = { .vm = vm, .maxphyaddr = 40, .pending_irq = -1 };
	u64 val;

	lapic_reset(&bare, false);
	assert_int_equal(bare.apic_base, 0xfee00900);
	assert_int_equal(lapic_set_base(&bare, 0xfee00c00, false), 0);
	assert_int_equal(lapic_msr_get(&bare, 0x802, &val), 1);
	assert_int_equal(lapic_msr_set(&bare, MSR_IA32_TSC_DEADLINE, 1), 1);
	assert_false(lapic_in_range(&bare, 0xfee00020));
	assert_false(lapic_has_events(&bare));
	assert_int_equal(take(&bare), -1);
	bare.pending_irq = 0x33;
	assert_int_equal(take(&bare), 0x33);
	assert_int_equal(take(&bare), -1);
	lapic_destroy(&bare);
}

static void test_init_sipi(void **state)
{
	apic_set(cpu, LAPIC_ICR2, 2 << 24);
	apic_set(cpu, LAPIC_ICR, 0x4612);	/* SIPI before INIT: dropped */
	assert_true(lapic_has_events(ap));
	lapic_take_events(ap);
	assert_int_equal(seen[2].sipi, -1);
	assert_int_equal(ap->mp_state, MP_UNINITIALIZED);

	apic_set(cpu, LAPIC_ICR, 0xc500);	/* INIT */
	apic_set(cpu, LAPIC_ICR, 0x8500);	/* de-assert: nothing */
	assert_true(requested(ap));
	lapic_take_events(ap);
	assert_int_equal(seen[2].resets, 1);
	assert_int_equal(ap->mp_state, MP_INIT_RECEIVED);
	assert_false(lapic_has_events(ap));

	apic_set(cpu, LAPIC_ICR, 0x4612);
	apic_set(cpu, LAPIC_ICR, 0x4613);	/* in time: this one counts */
	lapic_take_events(ap);
	assert_int_equal(seen[2].sipi, 0x13);
	assert_int_equal(ap->mp_state, MP_RUNNABLE);
	apic_set(cpu, LAPIC_ICR, 0x4614);
	lapic_take_events(ap);
	assert_int_equal(seen[2].sipi, 0x13);

	/* both at once */
	apic_set(cpu, LAPIC_ICR, 0xc500);
	apic_set(cpu, LAPIC_ICR, 0x4615);
	lapic_take_events(ap);
	assert_int_equal(seen[2].sipi, 0x15);
	assert_int_equal(ap->mp_state, MP_RUNNABLE);
}

static void test_init_of_the_bsp(void **state)
{
	apic_x2apic(cpu);
	wrmsr(cpu, LAPIC_SVR, 0x1ff);
	wrmsr(cpu, LAPIC_TPR, 0x20);
	send_self(0x30);
	assert_int_equal(wrmsr(cpu, LAPIC_ICR, 0x4500), 0);
	lapic_take_events(cpu);
	assert_int_equal(seen[0].resets, 1);
	assert_int_equal(cpu->mp_state, MP_RUNNABLE);
	assert_int_equal(cpu->apic_base, 0xfee00d00);	/* the mode stays */
	assert_int_equal(rdmsr(cpu, LAPIC_TPR), 0);
	assert_int_equal(rdmsr(cpu, LAPIC_SVR), 0xff);
	assert_int_equal(rdmsr(cpu, LAPIC_LDR), 1);
	assert_int_equal(take(cpu), -1);
}

static void test_nmi_through_lint0(void **state)
{
	apic_enable(cpu);
	lapic_pit_tick(cpu->lapic);
	assert_int_equal(seen[0].nmis, 0);
	apic_set(cpu, LAPIC_LVT_LINT0, 0x400);
	lapic_pit_tick(cpu->lapic);
	assert_int_equal(seen[0].nmis, 1);
	apic_set(cpu, LAPIC_LVT_LINT0, 0x10400);
	lapic_pit_tick(cpu->lapic);
	assert_int_equal(seen[0].nmis, 1);
}

static void test_creation_fails(void **state)
{
	struct vcpu other = { .vm = vm };
	int i;

	for (i = 1; i <= 2; i++) {
		shim_fail_alloc = i;
		assert_int_equal(lapic_create(&other), -ENOMEM);
		assert_null(other.lapic);
	}
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(test_reset_values), T(test_writable_bits), T(test_read_only),
		T(test_reserved_registers), T(test_parts_of_a_register), T(test_priorities),
		T(test_tpr), T(test_every_vector), T(test_twice_is_once_until_taken),
		T(test_software_disable), T(test_errors), T(test_x2apic_registers),
		T(test_x2apic_reserved_bits), T(test_x2apic_icr), T(test_base_rules),
		T(test_relocation), T(test_hardware_disable), T(test_client_keeps_state),
		T(test_without_chips), T(test_init_sipi), T(test_init_of_the_bsp),
		T(test_nmi_through_lint0), T(test_creation_fails),
	};

	return cmocka_run_group_tests_name("irq_lapic", tests, NULL, NULL);
}
