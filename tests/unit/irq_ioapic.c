// SPDX-License-Identifier: GPL-2.0
/* The I/O APIC's registers and pins, and how level-triggered interrupts end. */
#include "irq_vm.h"

#define LEVEL		0x8000
#define MASKED		0x10000
#define REMOTE_IRR	0x4000
#define PIN		5

static struct vm *vm;
static struct vcpu *cpu;

static int setup(void **state)
{
	vm = vm_with_chips(2);
	cpu = vm->vcpus[0];
	apic_enable(cpu);
	apic_enable(vm->vcpus[1]);
	outb(vm, 0x21, 0xff);		/* the PICs keep out of it */
	outb(vm, 0xa1, 0xff);
	return 0;
}

static int teardown(void **state)
{
	vm_free(vm);
	return 0;
}

static u32 entry(int pin)
{
	return ioapic_get(vm, 0x10 + 2 * pin);
}

static void eoi(void)
{
	apic_set(cpu, LAPIC_EOI, 0);
}

static void test_registers(void **state)
{
	int pin;

	assert_int_equal(ioapic_get(vm, 0), 0);
	assert_int_equal(ioapic_get(vm, 1), 0x170011);
	assert_int_equal(ioapic_get(vm, 2), 0);
	for (pin = 0; pin < 24; pin++) {
		assert_int_equal(entry(pin), MASKED);
		assert_int_equal(ioapic_get(vm, 0x11 + 2 * pin), 0);
	}
	ioapic_set(vm, 0, 0xffffffff);
	assert_int_equal(ioapic_get(vm, 0), 0x0f000000);
	assert_int_equal(ioapic_get(vm, 2), 0x0f000000);
	ioapic_set(vm, 1, 0);
	assert_int_equal(ioapic_get(vm, 1), 0x170011);
	ioapic_set(vm, 0x40, 0);
	assert_int_equal(ioapic_get(vm, 0x40), 0xffffffff);
	assert_int_equal(ioapic_get(vm, 0x0f), 0xffffffff);
	assert_int_equal(ioapic_get(vm, 0xff), 0xffffffff);

	/* delivery status and remote IRR are read-only */
	ioapic_entry(vm, 23, 0xffffffff0001ffffull);
	assert_int_equal(entry(23), 0x1afff);
	assert_int_equal(ioapic_get(vm, 0x3f), 0xffffffff);
}

static void test_window_shapes(void **state)
{
	struct io_device *dev = &vm->irqchip->ioapic.io;
	u64 val = 1;

	assert_int_equal(dev->write(cpu, dev, 0xfec00000, 1, &val), 0);
	val = ~0ull;
	assert_int_equal(dev->read(cpu, dev, 0xfec00010, 8, &val), 0);
	assert_int_equal(val, 0x170011);
	assert_int_equal(dev->read(cpu, dev, 0xfec00010, 1, &val), 0);
	assert_int_equal((u8)val, 0x11);
	assert_int_equal(dev->read(cpu, dev, 0xfec00040, 4, &val), 0);
	assert_int_equal((u32)val, 0);
	assert_int_equal(dev->write(cpu, dev, 0xfec00040, 4, &val), 0);
	assert_int_equal(dev->read(cpu, dev, 0xfec00000, 4, &val), 0);
	assert_int_equal((u32)val, 1);
}

static void test_edge(void **state)
{
	ioapic_entry(vm, PIN, 0x45);
	assert_int_equal(irq_set_line(vm, PIN, 1), 1);
	assert_int_equal(irq_set_line(vm, PIN, 1), 0);	/* no edge */
	assert_int_equal(take(cpu), 0x45);
	assert_int_equal(apic_get(cpu, LAPIC_TMR + 0x20), 0);
	eoi();
	assert_int_equal(take(cpu), -1);
	assert_int_equal(irq_set_line(vm, PIN, 0), 1);
	assert_int_equal(irq_set_line(vm, PIN, 1), 1);
	assert_int_equal(take(cpu), 0x45);
}

static void test_masked(void **state)
{
	ioapic_entry(vm, PIN, MASKED | 0x45);
	assert_int_equal(irq_set_line(vm, PIN, 1), -1);
	ioapic_entry(vm, PIN, 0x45);
	assert_int_equal(take(cpu), -1);		/* the edge is lost */
	irq_set_line(vm, PIN, 0);

	ioapic_entry(vm, PIN, MASKED | LEVEL | 0x45);
	irq_set_line(vm, PIN, 1);
	ioapic_entry(vm, PIN, LEVEL | 0x45);
	assert_int_equal(take(cpu), 0x45);		/* the level isn't */
}

static void test_level(void **state)
{
	ioapic_entry(vm, PIN, LEVEL | 0x45);
	assert_int_equal(irq_set_line(vm, PIN, 1), 1);
	assert_int_equal(entry(PIN), LEVEL | REMOTE_IRR | 0x45);
	assert_int_equal(irq_set_line(vm, PIN, 1), -1);
	assert_int_equal(take(cpu), 0x45);
	assert_int_equal(apic_get(cpu, LAPIC_TMR + 0x20), 0x20);
	assert_int_equal(take(cpu), -1);
	eoi();						/* still asserted: again */
	assert_int_equal(take(cpu), 0x45);
	irq_set_line(vm, PIN, 0);
	assert_int_equal(entry(PIN), LEVEL | REMOTE_IRR | 0x45);
	eoi();
	assert_int_equal(entry(PIN), LEVEL | 0x45);
	assert_int_equal(take(cpu), -1);
}

static void test_end_by_going_edge(void **state)
{
	ioapic_entry(vm, PIN, LEVEL | 0x45);
	irq_set_line(vm, PIN, 1);
	assert_int_equal(take(cpu), 0x45);
	irq_set_line(vm, PIN, 0);
	ioapic_entry(vm, PIN, MASKED | 0x45);
	assert_int_equal(entry(PIN), MASKED | 0x45);
	ioapic_entry(vm, PIN, LEVEL | 0x45);
	assert_int_equal(entry(PIN), LEVEL | 0x45);
	irq_set_line(vm, PIN, 1);
	eoi();
	assert_int_equal(take(cpu), 0x45);
}

static void test_masked_while_in_service(void **state)
{
	ioapic_entry(vm, PIN, LEVEL | 0x45);
	irq_set_line(vm, PIN, 1);
	assert_int_equal(take(cpu), 0x45);
	ioapic_entry(vm, PIN, LEVEL | MASKED | 0x45);
	eoi();
	assert_int_equal(entry(PIN), LEVEL | MASKED | 0x45);
	assert_int_equal(take(cpu), -1);
	ioapic_entry(vm, PIN, LEVEL | 0x45);
	assert_int_equal(take(cpu), 0x45);
}

static void test_two_pins_one_vector(void **state)
{
	ioapic_entry(vm, 5, LEVEL | 0x45);
	ioapic_entry(vm, 6, LEVEL | 0x45);
	irq_set_line(vm, 5, 1);
	irq_set_line(vm, 6, 1);
	assert_int_equal(take(cpu), 0x45);
	irq_set_line(vm, 5, 0);
	eoi();						/* ends both; 6 comes again */
	assert_int_equal(entry(5), LEVEL | 0x45);
	assert_int_equal(take(cpu), 0x45);
	irq_set_line(vm, 6, 0);
	eoi();
	assert_int_equal(take(cpu), -1);
}

static void test_sources_share_a_line(void **state)
{
	ioapic_entry(vm, PIN, LEVEL | 0x45);
	irq_set_source(vm, PIN, SOURCE_USER, 1);
	irq_set_source(vm, PIN, SOURCE_PIT, 1);
	irq_set_source(vm, PIN, SOURCE_USER, 0);
	assert_int_equal(take(cpu), 0x45);
	eoi();
	assert_int_equal(take(cpu), 0x45);
	irq_set_source(vm, PIN, SOURCE_PIT, 0);
	eoi();
	assert_int_equal(take(cpu), -1);
}

static void test_nobody_there(void **state)
{
	ioapic_entry(vm, PIN, 7ull << 56 | LEVEL | 0x45);
	assert_int_equal(irq_set_line(vm, PIN, 1), 0);
	assert_int_equal(entry(PIN), LEVEL | 0x45);
	/* or nobody who takes it */
	apic_set(cpu, LAPIC_SVR, 0xff);
	ioapic_entry(vm, PIN, LEVEL | 0x45);
	assert_int_equal(irq_set_line(vm, PIN, 1), 0);
	assert_int_equal(entry(PIN), LEVEL | 0x45);
	apic_enable(cpu);
	assert_int_equal(irq_set_line(vm, PIN, 1), 1);
	assert_int_equal(take(cpu), 0x45);
}

static void test_destinations(void **state)
{
	struct vcpu *other = vm->vcpus[1];

	ioapic_entry(vm, PIN, 1ull << 56 | 0x45);
	irq_set_line(vm, PIN, 1);
	irq_set_line(vm, PIN, 0);
	assert_int_equal(take(cpu), -1);
	assert_int_equal(take(other), 0x45);
	apic_set(other, LAPIC_EOI, 0);

	ioapic_entry(vm, PIN, 0xffull << 56 | 0x46);
	assert_int_equal(irq_set_line(vm, PIN, 1), 2);
	irq_set_line(vm, PIN, 0);
	assert_int_equal(take(cpu), 0x46);
	assert_int_equal(take(other), 0x46);
	apic_set(other, LAPIC_EOI, 0);
	eoi();

	apic_set(cpu, LAPIC_LDR, 1 << 24);
	apic_set(other, LAPIC_LDR, 2 << 24);
	ioapic_entry(vm, PIN, 2ull << 56 | 0x800 | 0x47);
	assert_int_equal(irq_set_line(vm, PIN, 1), 1);
	assert_int_equal(take(cpu), -1);
	assert_int_equal(take(other), 0x47);
}

static void test_other_modes(void **state)
{
	ioapic_entry(vm, PIN, 1ull << 56 | 0x400);
	irq_set_line(vm, PIN, 1);
	irq_set_line(vm, PIN, 0);
	assert_int_equal(seen[1].nmis, 1);
	ioapic_entry(vm, PIN, 1ull << 56 | 0x500);
	irq_set_line(vm, PIN, 1);
	irq_set_line(vm, PIN, 0);
	assert_true(lapic_has_events(vm->vcpus[1]));
	/* SMI and ExtINT: nothing */
	ioapic_entry(vm, PIN, 0x245);
	assert_int_equal(irq_set_line(vm, PIN, 1), 0);
	irq_set_line(vm, PIN, 0);
	ioapic_entry(vm, PIN, 0x745);
	assert_int_equal(irq_set_line(vm, PIN, 1), 0);
	assert_int_equal(take(cpu), -1);
}

static void test_gsi_reaches_both_chips(void **state)
{
	pic_setup(vm);
	ioapic_entry(vm, 3, 0x45);
	assert_int_equal(irq_set_line(vm, 3, 1), 2);
	assert_int_equal(take(cpu), 0x23);	/* the PICs first */
	assert_int_equal(take(cpu), 0x45);
	ioapic_entry(vm, 20, 0x46);
	assert_int_equal(irq_set_line(vm, 20, 1), 1);
	assert_int_equal(irq_set_line(vm, 24, 1), -1);
	assert_int_equal(irq_set_line(vm, ~0u, 1), -1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(test_registers), T(test_window_shapes), T(test_edge), T(test_masked),
		T(test_level), T(test_end_by_going_edge), T(test_masked_while_in_service),
		T(test_two_pins_one_vector), T(test_sources_share_a_line), T(test_nobody_there),
		T(test_destinations), T(test_other_modes), T(test_gsi_reaches_both_chips),
	};

	return cmocka_run_group_tests_name("irq_ioapic", tests, NULL, NULL);
}
