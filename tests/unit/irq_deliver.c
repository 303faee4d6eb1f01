// SPDX-License-Identifier: GPL-2.0
/* Which of many local APICs a message is for. */
#include "irq_vm.h"

#define NR	20

static struct vm *vm;

static int setup(void **state)
{
	int i;

	vm = vm_with_chips(NR);
	for (i = 0; i < NR; i++)
		apic_enable(vm->vcpus[i]);
	return 0;
}

static int teardown(void **state)
{
	vm_free(vm);
	return 0;
}

/* Who has an interrupt now: a bit for each. They take it and end it. */
static u64 takers(void)
{
	u64 set = 0;
	int i;

	for (i = 0; i < NR; i++) {
		struct vcpu *vcpu = vm->vcpus[i];

		if (take(vcpu) < 0)
			continue;
		set |= BIT_ULL(i);
		if (lapic_is_x2apic(vcpu->lapic))
			lapic_msr_set(vcpu, 0x80b, 0);
		else
			apic_set(vcpu, LAPIC_EOI, 0);
	}
	return set;
}

static u64 icr(int from, u32 dest, u32 low)
{
	apic_set(vm->vcpus[from], LAPIC_ICR2, dest << 24);
	apic_set(vm->vcpus[from], LAPIC_ICR, low);
	return takers();
}

static u64 x2icr(int from, u32 dest, u32 low)
{
	assert_int_equal(lapic_msr_set(vm->vcpus[from], 0x830, (u64)dest << 32 | low), 0);
	return takers();
}

static void all_x2apic(void)
{
	int i;

	for (i = 0; i < NR; i++)
		apic_x2apic(vm->vcpus[i]);
}

static void test_physical(void **state)
{
	int i;

	for (i = 0; i < NR; i++)
		assert_int_equal(icr(3, i, 0x4055), BIT(i));
	assert_int_equal(icr(3, NR, 0x4055), 0);
	assert_int_equal(icr(3, 0xfe, 0x4055), 0);
	assert_int_equal(icr(3, 0xff, 0x4055), BIT(NR) - 1);
	/* lowest priority to all of them is fixed */
	assert_int_equal(icr(3, 0xff, 0x4155), BIT(NR) - 1);
	assert_int_equal(icr(3, 4, 0x4155), BIT(4));
}

static void test_ids_out_of_order(void **state)
{
	int i;

	/* as if they had been created the other way round */
	for (i = 0; i < NR; i++)
		vm->vcpus[i]->id = NR - 1 - i;
	for (i = 0; i < NR; i++)
		assert_int_equal(icr(3, i, 0x4055), BIT(NR - 1 - i));
}

static void test_shorthands(void **state)
{
	assert_int_equal(icr(3, 0, 0x44055), BIT(3));
	assert_int_equal(icr(3, 0, 0x84055), BIT(NR) - 1);
	assert_int_equal(icr(3, 0, 0xc4055), (BIT(NR) - 1) & ~BIT(3));
}

static void test_flat(void **state)
{
	int i;

	for (i = 0; i < 8; i++)
		apic_set(vm->vcpus[i], LAPIC_LDR, BIT(24 + i));
	assert_int_equal(icr(0, 0x04, 0x4855), BIT(2));
	assert_int_equal(icr(0, 0xa5, 0x4855), 0xa5);
	assert_int_equal(icr(0, 0x00, 0x4855), 0);
	assert_int_equal(icr(0, 0xff, 0x4855), BIT(NR) - 1);
}

static void test_cluster(void **state)
{
	int i;

	for (i = 0; i < NR; i++) {
		apic_set(vm->vcpus[i], LAPIC_DFR, 0x0fffffff);
		apic_set(vm->vcpus[i], LAPIC_LDR, (i / 4 << 4 | 1 << i % 4) << 24);
	}
	assert_int_equal(icr(0, 0x12, 0x4855), BIT(5));
	assert_int_equal(icr(0, 0x2f, 0x4855), 0xf00);
	assert_int_equal(icr(0, 0x0f, 0x4855), 0xf);
	assert_int_equal(icr(0, 0x91, 0x4855), 0);
	assert_int_equal(icr(0, 0xff, 0x4855), BIT(NR) - 1);
	apic_set(vm->vcpus[5], LAPIC_DFR, 0x3fffffff);	/* no model at all */
	assert_int_equal(icr(0, 0x12, 0x4855), 0);
}

static void test_x2apic(void **state)
{
	all_x2apic();
	assert_int_equal(x2icr(0, 7, 0x4055), BIT(7));
	assert_int_equal(x2icr(0, 0xff, 0x4055), 0);		/* an id like any other */
	assert_int_equal(x2icr(0, 0xffffffff, 0x4055), BIT(NR) - 1);
	assert_int_equal(x2icr(0, 0x00000005, 0x4855), 0x5);
	assert_int_equal(x2icr(0, 0x0001000a, 0x4855), 0xa0000);
	assert_int_equal(x2icr(0, 0x00020001, 0x4855), 0);
	assert_int_equal(x2icr(0, 0xffffffff, 0x4855), BIT(NR) - 1);
	assert_int_equal(x2icr(2, 0, 0xc4055), (BIT(NR) - 1) & ~BIT(2));
	/* from outside 8 bits are all there is */
	ioapic_entry(vm, 5, 0xffull << 56 | 0x55);
	irq_set_line(vm, 5, 1);
	assert_int_equal(takers(), BIT(NR) - 1);
}

static void test_lowest_priority(void **state)
{
	u64 once, all = 0;
	int i, v;

	for (i = 0; i < 8; i++)
		apic_set(vm->vcpus[i], LAPIC_LDR, BIT(24 + i));
	for (i = 0; i < 8; i++)
		apic_set(vm->vcpus[i], LAPIC_TPR, i == 5 ? 0x10 : 0x20);
	assert_int_equal(icr(0, 0x7f, 0x4955), BIT(5));
	assert_int_equal(icr(0, 0x1f, 0x49ff) & ~0x1f, 0);
	/* equals share: each vector has its own place, and it's always one */
	for (i = 0; i < 8; i++)
		apic_set(vm->vcpus[i], LAPIC_TPR, 0);
	for (v = 0x40; v < 0x48; v++) {
		once = icr(0, 0x7f, 0x4900 | v);
		assert_int_equal(hweight64(once), 1);
		assert_int_equal(icr(0, 0x7f, 0x4900 | v), once);
		all |= once;
	}
	assert_int_equal(all, 0x7f);
	/* who is disabled isn't asked */
	for (i = 0; i < 7; i++)
		if (i != 2)
			apic_set(vm->vcpus[i], LAPIC_SVR, 0xff);
	assert_int_equal(icr(0, 0x7f, 0x4955), BIT(2));
	apic_set(vm->vcpus[2], LAPIC_SVR, 0xff);
	assert_int_equal(icr(0, 0x7f, 0x4955), 0);
}

static void test_other_modes(void **state)
{
	int i;

	icr(0, 0, 0xc4400);			/* NMI to all but itself */
	for (i = 0; i < NR; i++)
		assert_int_equal(seen[i].nmis, i != 0);
	icr(0, 0, 0xcc500);			/* INIT likewise */
	for (i = 0; i < NR; i++)
		assert_int_equal(lapic_has_events(vm->vcpus[i]), i != 0);
	assert_int_equal(icr(0, 4, 0x4255), 0);	/* SMI, remote read, ExtINT: nothing */
	assert_int_equal(icr(0, 4, 0x4355), 0);
	assert_int_equal(icr(0, 4, 0x4755), 0);
	assert_int_equal(icr(0, 4, 0x8055), 0);	/* a level's end */
}

static void test_disabled_by_hardware(void **state)
{
	assert_int_equal(lapic_set_base(vm->vcpus[4], 0xfee00000, false), 0);
	assert_int_equal(icr(0, 4, 0x4055), 0);
	assert_int_equal(icr(0, 0xff, 0x4055), (BIT(NR) - 1) & ~BIT(4));
	icr(0, 4, 0x4400);
	assert_int_equal(seen[4].nmis, 0);
}

static void test_level_ipi_ends_quietly(void **state)
{
	/* TMR is set, so the EOI goes to the I/O APIC, which knows nothing of it */
	assert_int_equal(icr(0, 4, 0xc055), BIT(4));
}

static void test_no_kick_for_itself(void **state)
{
	seen[3].kicks = 0;
	apic_set(vm->vcpus[3], LAPIC_ICR, 0x44055);
	assert_int_equal(seen[3].kicks, 0);
	assert_true(requested(vm->vcpus[3]));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(test_physical), T(test_ids_out_of_order), T(test_shorthands), T(test_flat),
		T(test_cluster), T(test_x2apic), T(test_lowest_priority), T(test_other_modes),
		T(test_disabled_by_hardware), T(test_level_ipi_ends_quietly),
		T(test_no_kick_for_itself),
	};

	return cmocka_run_group_tests_name("irq_deliver", tests, NULL, NULL);
}
