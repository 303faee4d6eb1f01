// SPDX-License-Identifier: GPL-2.0
/* The 8259 pair, as a guest programs it and as a client drives its lines. */
#include "irq_vm.h"

static struct vm *vm;
static struct vcpu *cpu;

static int setup(void **state)
{
	vm = vm_with_chips(2);
	cpu = vm->vcpus[0];
	pic_setup(vm);
	return 0;
}

static int teardown(void **state)
{
	vm_free(vm);
	return 0;
}

static void raise_line(int gsi) { irq_set_line(vm, gsi, 1); }
static void lower_line(int gsi) { irq_set_line(vm, gsi, 0); }
static void pulse(int gsi) { raise_line(gsi); lower_line(gsi); }
static void eoi(int irq)
{
	if (irq >= 8)
		outb(vm, 0xa0, 0x20);
	outb(vm, 0x20, 0x20);
}
static u8 isr(u16 port)
{
	outb(vm, port, 0x0b);
	return inb(vm, port);
}
static u8 irr(u16 port)
{
	outb(vm, port, 0x0a);
	return inb(vm, port);
}

static void test_edge(void **state)
{
	assert_false(irq_pending(cpu));
	assert_int_equal(irq_set_line(vm, 4, 1), 1);
	assert_int_equal(seen[0].kicks, 1);
	assert_int_equal(seen[1].kicks, 0);
	assert_true(requested(cpu));
	assert_int_equal(irr(0x20), 0x10);
	assert_int_equal(take(cpu), 0x24);
	assert_int_equal(irr(0x20), 0);
	assert_int_equal(isr(0x20), 0x10);
	eoi(4);
	assert_int_equal(isr(0x20), 0);

	/* the line is still up: no edge */
	raise_line(4);
	assert_int_equal(take(cpu), -1);
	lower_line(4);
	raise_line(4);
	assert_int_equal(take(cpu), 0x24);
}

static void test_coalesced(void **state)
{
	assert_int_equal(irq_set_line(vm, 4, 1), 1);
	lower_line(4);
	/* the I/O APIC's pin is masked: only the PIC's answer counts */
	assert_int_equal(irq_set_line(vm, 4, 1), 0);
	outb(vm, 0x21, 0x10);
	lower_line(4);
	assert_int_equal(irq_set_line(vm, 4, 1), -1);
	assert_int_equal(irq_set_line(vm, 99, 1), -1);
}

static void test_edge_survives_its_line(void **state)
{
	pulse(4);
	assert_int_equal(take(cpu), 0x24);
}

static void test_masked_edge_waits(void **state)
{
	outb(vm, 0x21, 0x10);
	pulse(4);
	assert_int_equal(take(cpu), -1);
	outb(vm, 0x21, 0);
	assert_true(requested(cpu));
	assert_int_equal(take(cpu), 0x24);
}

static void test_level(void **state)
{
	outb(vm, 0x4d0, 0x20);
	assert_int_equal(irq_set_line(vm, 5, 1), 1);
	assert_int_equal(take(cpu), 0x25);
	assert_int_equal(take(cpu), -1);
	eoi(5);
	assert_int_equal(take(cpu), 0x25);	/* still up */
	lower_line(5);
	eoi(5);
	assert_int_equal(take(cpu), -1);

	raise_line(5);
	lower_line(5);
	assert_int_equal(take(cpu), -1);	/* a level that fell is no request */
}

static void test_elcr(void **state)
{
	outb(vm, 0x4d0, 0xff);
	outb(vm, 0x4d1, 0xff);
	assert_int_equal(inb(vm, 0x4d0), 0xf8);
	assert_int_equal(inb(vm, 0x4d1), 0xde);
}

static void test_priority_and_nesting(void **state)
{
	pulse(5);
	pulse(3);
	assert_int_equal(take(cpu), 0x23);
	assert_int_equal(take(cpu), -1);	/* 5 is lower */
	pulse(1);
	assert_int_equal(take(cpu), 0x21);
	eoi(1);
	assert_int_equal(take(cpu), -1);
	eoi(3);
	assert_true(requested(cpu));
	assert_int_equal(take(cpu), 0x25);
}

static void test_slave(void **state)
{
	pulse(12);
	assert_int_equal(irr(0x20), 0x04);
	assert_int_equal(irr(0xa0), 0x10);
	assert_int_equal(take(cpu), 0x2c);
	assert_int_equal(isr(0x20), 0x04);
	assert_int_equal(isr(0xa0), 0x10);

	/* the slave is between IR1 and IR3, and holds back its own while in service */
	pulse(9);
	assert_int_equal(take(cpu), -1);
	pulse(1);
	assert_int_equal(take(cpu), 0x21);
	eoi(1);
	eoi(12);
	assert_int_equal(take(cpu), 0x29);
}

static void test_special_fully_nested(void **state)
{
	outb(vm, 0x20, 0x11);
	outb(vm, 0x21, 0x20);
	outb(vm, 0x21, 0x04);
	outb(vm, 0x21, 0x11);
	pulse(12);
	assert_int_equal(take(cpu), 0x2c);
	pulse(9);
	assert_int_equal(take(cpu), 0x29);
	pulse(3);
	assert_int_equal(take(cpu), -1);	/* below the slave */
}

static void test_cascade_pin_has_no_line(void **state)
{
	assert_int_equal(irq_set_line(vm, 2, 1), -1);
	assert_int_equal(take(cpu), -1);
}

static void test_spurious(void **state)
{
	struct pic *pic = &vm->irqchip->pic;

	outb(vm, 0x4d0, 0x20);
	outb(vm, 0x4d1, 0x02);
	/* between the CPU's look and its acknowledge cycle the line falls */
	raise_line(5);
	assert_true(irq_pending(cpu));
	lower_line(5);
	assert_int_equal(pic_acknowledge(pic), 0x27);
	assert_int_equal(isr(0x20), 0);
	/* irq_acknowledge() sees that there is nothing left */
	raise_line(5);
	assert_true(irq_pending(cpu));
	lower_line(5);
	assert_int_equal(irq_acknowledge(cpu), -1);

	/* the slave's: the master was asked, the slave has nothing */
	outb(vm, 0x4d0, 0);
	pic->chip[0].irr |= BIT(PIC_CASCADE);
	assert_int_equal(pic_acknowledge(pic), 0x2f);
	assert_int_equal(isr(0x20), 0x04);
	assert_int_equal(isr(0xa0), 0);
}

static void test_specific_eoi(void **state)
{
	pulse(5);
	assert_int_equal(take(cpu), 0x25);
	pulse(3);
	assert_int_equal(take(cpu), 0x23);
	outb(vm, 0x20, 0x65);
	assert_int_equal(isr(0x20), 0x08);
	outb(vm, 0x20, 0x63);
	assert_int_equal(isr(0x20), 0);
}

static void test_rotation(void **state)
{
	pulse(3);
	assert_int_equal(take(cpu), 0x23);
	outb(vm, 0x20, 0xa0);		/* rotate on EOI: 3 is the lowest now */
	pulse(3);
	pulse(4);
	pulse(1);
	assert_int_equal(take(cpu), 0x24);
	outb(vm, 0x20, 0xe4);		/* the same, specific: 4 is the lowest now */
	assert_int_equal(take(cpu), 0x21);
	outb(vm, 0x20, 0x20);
	assert_int_equal(take(cpu), 0x23);
	outb(vm, 0x20, 0x20);

	outb(vm, 0x20, 0xc0);		/* 0 is the lowest */
	pulse(0);
	pulse(7);
	assert_int_equal(take(cpu), 0x27);
}

static void aeoi(void)
{
	outb(vm, 0x20, 0x11);
	outb(vm, 0x21, 0x20);
	outb(vm, 0x21, 0x04);
	outb(vm, 0x21, 0x03);
}

static void test_aeoi(void **state)
{
	aeoi();
	pulse(3);
	pulse(5);
	assert_int_equal(take(cpu), 0x23);
	assert_int_equal(isr(0x20), 0);
	assert_int_equal(take(cpu), 0x25);

	outb(vm, 0x20, 0x80);		/* rotate in automatic EOI mode */
	pulse(3);
	assert_int_equal(take(cpu), 0x23);
	pulse(3);
	pulse(4);
	assert_int_equal(take(cpu), 0x24);
	assert_int_equal(take(cpu), 0x23);
	outb(vm, 0x20, 0x00);
	pulse(5);
	pulse(4);
	assert_int_equal(take(cpu), 0x24);	/* 4 .. 7 0 .. 3 */
	assert_int_equal(take(cpu), 0x25);
}

static void test_special_mask(void **state)
{
	pulse(3);
	assert_int_equal(take(cpu), 0x23);
	pulse(5);
	assert_int_equal(take(cpu), -1);
	outb(vm, 0x21, 0x08);
	assert_int_equal(take(cpu), -1);
	outb(vm, 0x20, 0x68);		/* special mask mode: masked 3 doesn't hold back others */
	assert_int_equal(take(cpu), 0x25);
	/* a non-specific EOI ends 5, not the masked 3 */
	outb(vm, 0x20, 0x20);
	assert_int_equal(isr(0x20), 0x08);
	outb(vm, 0x20, 0x48);
	outb(vm, 0x20, 0x20);
	assert_int_equal(isr(0x20), 0);
}

static void test_poll(void **state)
{
	outb(vm, 0x20, 0x0c);
	assert_int_equal(inb(vm, 0x20), 0);
	pulse(3);
	outb(vm, 0x20, 0x0c);
	assert_int_equal(inb(vm, 0x20), 0x83);
	assert_int_equal(isr(0x20), 0x08);
	assert_int_equal(take(cpu), -1);
	eoi(3);
}

static void test_init_forgets(void **state)
{
	pulse(3);
	assert_int_equal(take(cpu), 0x23);
	pulse(4);
	outb(vm, 0x21, 0xff);
	pic_setup(vm);
	assert_int_equal(isr(0x20), 0);
	assert_int_equal(irr(0x20), 0);
	assert_int_equal(inb(vm, 0x21), 0);
	assert_int_equal(take(cpu), -1);
}

static void test_init_keeps_levels(void **state)
{
	outb(vm, 0x4d0, 0x20);
	raise_line(5);
	pic_setup(vm);
	assert_int_equal(take(cpu), 0x25);
}

static void test_init_words(void **state)
{
	outb(vm, 0x20, 0x12);		/* single, no ICW4 */
	outb(vm, 0x21, 0x4f);
	outb(vm, 0x21, 0x55);		/* OCW1 already */
	assert_int_equal(inb(vm, 0x21), 0x55);
	outb(vm, 0x21, 0);
	pulse(1);
	assert_int_equal(take(cpu), 0x49);
}

static void test_sources_share_a_line(void **state)
{
	outb(vm, 0x4d0, 0x20);
	irq_set_source(vm, 5, SOURCE_USER, 1);
	irq_set_source(vm, 5, SOURCE_PIT, 1);
	irq_set_source(vm, 5, SOURCE_USER, 0);
	assert_int_equal(take(cpu), 0x25);
	irq_set_source(vm, 5, SOURCE_PIT, 0);
	eoi(5);
	assert_int_equal(take(cpu), -1);
}

static void test_who_listens(void **state)
{
	apic_set(cpu, LAPIC_SVR, 0x1ff);
	apic_set(cpu, LAPIC_LVT_LINT0, 0x10700);
	pulse(3);
	assert_int_equal(seen[0].kicks, 0);
	assert_int_equal(take(cpu), -1);
	requested(cpu);
	apic_set(cpu, LAPIC_LVT_LINT0, 0x700);
	assert_true(requested(cpu));
	assert_int_equal(take(cpu), 0x23);
}

static void test_other_sizes(void **state)
{
	u32 val = 0x12345678;
	struct io_device *dev = &vm->irqchip->pic.io;

	assert_int_equal(dev->write(cpu, dev, 0x20, 2, &val), 0);
	assert_int_equal(dev->read(cpu, dev, 0x20, 4, &val), 0);
	assert_int_equal(val, 0);
}

static void test_creation_fails(void **state)
{
	struct vm other = {};
	int before = bus_devices(vm), i;

	for (i = 1; i <= 4; i++) {
		fail_register = i;
		assert_int_equal(irqchip_create(&other, false, 0), -ENOMEM);
		assert_null(other.irqchip);
		assert_int_equal(bus_devices(vm), before);
	}
	shim_fail_alloc = 1;
	assert_int_equal(irqchip_create(&other, false, 0), -ENOMEM);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(test_edge), T(test_coalesced), T(test_edge_survives_its_line),
		T(test_masked_edge_waits), T(test_level), T(test_elcr),
		T(test_priority_and_nesting), T(test_slave), T(test_special_fully_nested),
		T(test_cascade_pin_has_no_line), T(test_spurious), T(test_specific_eoi),
		T(test_rotation), T(test_aeoi), T(test_special_mask), T(test_poll),
		T(test_init_forgets), T(test_init_keeps_levels), T(test_init_words),
		T(test_sources_share_a_line), T(test_who_listens), T(test_other_sizes),
		T(test_creation_fails),
	};

	return cmocka_run_group_tests_name("irq_pic", tests, NULL, NULL);
}
