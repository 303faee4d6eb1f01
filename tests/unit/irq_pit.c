// SPDX-License-Identifier: GPL-2.0
/* The 8254: counting in each mode, latches, the speaker's port, and ticks that aren't lost. */
#include "irq_vm.h"

#define HZ 1193182

static struct vm *vm;
static struct vcpu *cpu;

static int setup(void **state)
{
	vm = vm_with_chips(1);
	cpu = vm->vcpus[0];
	assert_int_equal(pit_create(vm, MINIVMM_PIT_SPEAKER_DUMMY), 0);
	pic_setup(vm);
	return 0;
}

static int teardown(void **state)
{
	vm_free(vm);
	return 0;
}

/* Time to the middle of the nth clock from now. */
static u64 clocks(u64 n)
{
	return (n * 2 + 1) * NSEC_PER_SEC / (2 * HZ);
}

static void load(int ch, int mode, u32 count)
{
	outb(vm, 0x43, ch << 6 | 0x30 | mode << 1);
	outb(vm, 0x40 + ch, count);
	outb(vm, 0x40 + ch, count >> 8);
}

static u32 count(int ch)
{
	u32 low;

	outb(vm, 0x43, ch << 6);
	low = inb(vm, 0x40 + ch);
	return low | inb(vm, 0x40 + ch) << 8;
}

static u8 status(int ch)
{
	outb(vm, 0x43, 0xe0 | 2 << ch);
	return inb(vm, 0x40 + ch);
}

static bool out2(void)
{
	return inb(vm, 0x61) & 0x20;
}

static void gate2(bool on)
{
	outb(vm, 0x61, on);
}

static bool tick(void)
{
	int vector = take(cpu);

	if (vector < 0)
		return false;
	assert_int_equal(vector, 0x20);
	outb(vm, 0x20, 0x20);
	return true;
}

static void test_mode0(void **state)
{
	gate2(true);
	load(2, 0, 1000);
	assert_int_equal(count(2), 1000);
	assert_false(out2());
	shim_advance(clocks(10));
	assert_int_equal(count(2), 990);
	shim_advance(clocks(988));
	assert_false(out2());
	shim_advance(clocks(1));
	assert_true(out2());
	shim_advance(clocks(20));
	assert_true(count(2) > 0xff00);		/* wraps and counts on */
	assert_true(out2());
	outb(vm, 0x43, 0xb0);			/* the control word alone takes it down */
	assert_false(out2());
}

static void test_mode0_gate_holds(void **state)
{
	gate2(false);
	load(2, 0, 1000);
	shim_advance(clocks(500));
	assert_int_equal(count(2), 1000);
	gate2(true);
	shim_advance(clocks(400));
	gate2(false);
	assert_int_equal(count(2), 600);
	shim_advance(clocks(5000));
	assert_int_equal(count(2), 600);
	assert_false(out2());
	gate2(true);
	shim_advance(clocks(601));
	assert_true(out2());
}

static void test_mode1(void **state)
{
	gate2(false);
	load(2, 1, 100);
	assert_true(out2());
	shim_advance(clocks(1000));
	assert_true(out2());
	gate2(true);
	assert_false(out2());
	gate2(false);
	shim_advance(clocks(98));
	assert_false(out2());
	gate2(true);				/* once more: from the beginning */
	shim_advance(clocks(98));
	assert_false(out2());
	shim_advance(clocks(2));
	assert_true(out2());
}

static void test_mode2(void **state)
{
	gate2(true);
	load(2, 2, 10);
	assert_int_equal(count(2), 10);
	shim_advance(clocks(8));
	assert_true(out2());
	assert_int_equal(count(2), 2);
	shim_advance(NSEC_PER_SEC / HZ);
	assert_int_equal(count(2), 1);
	assert_false(out2());
	shim_advance(NSEC_PER_SEC / HZ);
	assert_int_equal(count(2), 10);
	assert_true(out2());
	gate2(false);
	assert_true(out2());
	shim_advance(clocks(3));
	gate2(true);				/* starts again */
	assert_int_equal(count(2), 10);
}

static void test_mode3(void **state)
{
	static const u16 even[] = { 6, 4, 2, 6, 4, 2, 6 }, odd[] = { 6, 4, 2, 0, 6, 4, 2, 6 };
	int i;

	gate2(true);
	load(2, 3, 6);
	shim_advance(clocks(0));
	for (i = 0; i < ARRAY_SIZE(even); i++) {
		assert_int_equal(count(2), even[i]);
		assert_int_equal(out2(), i % 6 < 3);
		shim_advance(NSEC_PER_SEC / HZ);
	}
	load(2, 3, 7);
	shim_advance(clocks(0));
	for (i = 0; i < ARRAY_SIZE(odd); i++) {
		assert_int_equal(count(2), odd[i]);
		assert_int_equal(out2(), i % 7 < 4);
		shim_advance(NSEC_PER_SEC / HZ);
	}
}

static void test_modes_4_and_5(void **state)
{
	gate2(true);
	load(2, 4, 10);
	assert_true(out2());
	shim_advance(clocks(10));
	assert_false(out2());
	shim_advance(clocks(1));
	assert_true(out2());

	load(2, 5, 10);
	shim_advance(clocks(10));
	assert_true(out2());
	gate2(false);
	gate2(true);
	shim_advance(clocks(10));
	assert_false(out2());
	shim_advance(clocks(1));
	assert_true(out2());
}

static void test_modes_6_and_7(void **state)
{
	load(2, 6, 10);
	assert_int_equal(status(2) & 0x0e, 2 << 1);
	load(2, 7, 10);
	assert_int_equal(status(2) & 0x0e, 3 << 1);
}

static void test_zero_is_65536(void **state)
{
	gate2(true);
	load(2, 2, 0);
	assert_int_equal(count(2), 0);
	shim_advance(clocks(1));
	assert_int_equal(count(2), 0xffff);
}

static void test_count_of_one(void **state)
{
	int mode;

	gate2(true);
	for (mode = 0; mode < 6; mode++) {
		load(2, mode, 1);
		shim_advance(clocks(3));
		count(2);
		out2();
	}
}

static void test_byte_access(void **state)
{
	gate2(true);
	outb(vm, 0x43, 0x94);			/* channel 2, LSB, mode 2 */
	outb(vm, 0x42, 0x80);
	assert_int_equal(inb(vm, 0x42), 0x80);
	assert_int_equal(inb(vm, 0x42), 0x80);
	outb(vm, 0x43, 0xa4);			/* MSB */
	outb(vm, 0x42, 0x12);
	assert_int_equal(inb(vm, 0x42), 0x12);
	outb(vm, 0x43, 0x80);
	assert_int_equal(inb(vm, 0x42), 0x12);
	outb(vm, 0x43, 0xb4);			/* both */
	outb(vm, 0x42, 0x34);
	outb(vm, 0x42, 0x12);
	assert_int_equal(inb(vm, 0x42), 0x34);
	assert_int_equal(inb(vm, 0x42), 0x12);
}

static void test_latch(void **state)
{
	gate2(true);
	load(2, 2, 0x1234);
	outb(vm, 0x43, 0x80);
	shim_advance(clocks(0x34));
	outb(vm, 0x43, 0x80);			/* latched already */
	assert_int_equal(inb(vm, 0x42), 0x34);
	assert_int_equal(inb(vm, 0x42), 0x12);
	assert_int_equal(inb(vm, 0x42), 0x00);	/* the count as it is now */
	assert_int_equal(inb(vm, 0x42), 0x12);
}

static void test_read_back(void **state)
{
	gate2(true);
	load(2, 2, 0x1234);
	load(1, 3, 0x4321);
	outb(vm, 0x43, 0xcc);			/* counts and status of 1 and 2 */
	assert_int_equal(inb(vm, 0x42), 0x80 | 0x30 | 2 << 1);
	assert_int_equal(inb(vm, 0x42), 0x34);
	assert_int_equal(inb(vm, 0x42), 0x12);
	assert_int_equal(inb(vm, 0x41), 0x80 | 0x30 | 3 << 1);
	assert_int_equal(inb(vm, 0x41), 0x20);
	assert_int_equal(inb(vm, 0x41), 0x43);
	outb(vm, 0x43, 0xb1);			/* no count yet; BCD is remembered */
	assert_int_equal(status(2), 0x40 | 0x30 | 1);
	assert_int_equal(inb(vm, 0x43), 0);
}

static void test_speaker_port(void **state)
{
	u8 val;

	outb(vm, 0x61, 0x03);
	assert_int_equal(inb(vm, 0x61) & 3, 3);
	outb(vm, 0x61, 0xfc);
	assert_int_equal(inb(vm, 0x61) & 3, 0);
	val = inb(vm, 0x61);
	shim_advance(16384);
	assert_int_equal((val ^ inb(vm, 0x61)) & 0x10, 0x10);
}

static void test_one_tick(void **state)
{
	load(0, 0, 1193);
	shim_advance(999000);
	assert_false(tick());
	shim_advance(1000);
	assert_true(tick());
	shim_advance(NSEC_PER_SEC);
	assert_false(tick());
	assert_int_equal(shim_timers(), 0);
}

static void test_ticks(void **state)
{
	int i, n = 0;

	load(0, 2, 11932);			/* 100 Hz */
	for (i = 0; i < 1000; i++) {
		shim_advance(NSEC_PER_SEC / 1000);
		n += tick();
	}
	assert_int_equal(n, 99);
	outb(vm, 0x43, 0x30);			/* a control word stops them */
	assert_int_equal(shim_timers(), 0);
}

static void test_count_follows_ticks(void **state)
{
	int i;

	load(0, 2, 1193);
	for (i = 0; i < 100000; i++) {		/* in that time rounding adds up to 43 us */
		shim_advance(999847);
		assert_true(tick());
		if (i % 1000 == 0)
			assert_in_range(count(0), 1192, 1193);
	}
}

static void test_too_fast(void **state)
{
	int i, n = 0;

	load(0, 2, 1);
	for (i = 0; i < 1000; i++) {
		shim_advance(1000);
		n += tick();
	}
	assert_int_equal(n, 5);
}

static void test_missed_ticks_come_later(void **state)
{
	int n = 0;

	load(0, 2, 11932);
	shim_advance(NSEC_PER_SEC / 2);		/* the guest sleeps */
	while (tick())
		n++;
	assert_int_equal(n, 49);
	shim_advance(NSEC_PER_SEC / 100);
	assert_true(tick());
	assert_false(tick());
	/* the host sleeps */
	shim_now += NSEC_PER_SEC / 10;
	shim_advance(0);
	for (n = 0; tick(); n++)
		;
	assert_int_equal(n, 10);
}

static void test_missed_ticks_are_bounded(void **state)
{
	int n = 0;

	load(0, 2, 11932);
	shim_now += 86400ull * NSEC_PER_SEC;
	shim_advance(0);
	while (tick())
		n++;
	assert_int_equal(n, 65536);
}

static void test_masked_ticks_are_lost(void **state)
{
	load(0, 2, 11932);
	outb(vm, 0x21, 0x01);
	shim_advance(NSEC_PER_SEC / 2);
	assert_false(tick());
	outb(vm, 0x21, 0x00);
	assert_true(tick());			/* but for the one that the PIC holds */
	assert_false(tick());
	shim_advance(NSEC_PER_SEC / 50);
	assert_true(tick());
	assert_true(tick());
	assert_false(tick());
}

static void test_from_pic_to_ioapic(void **state)
{
	int i;

	load(0, 2, 11932);
	shim_advance(NSEC_PER_SEC / 10);	/* one is in flight, 8 more are owed */
	outb(vm, 0x21, 0xff);
	apic_enable(cpu);
	ioapic_entry(vm, 0, 0x41);
	assert_int_equal(take(cpu), -1);
	shim_advance(NSEC_PER_SEC / 10);
	for (i = 0; i < 10; i++) {
		assert_int_equal(take(cpu), 0x41);
		assert_int_equal(take(cpu), -1);
		apic_set(cpu, LAPIC_EOI, 0);
	}
	assert_int_equal(take(cpu), -1);
	shim_advance(NSEC_PER_SEC / 100);
	assert_int_equal(take(cpu), 0x41);
	/* another vector, while one is in service: its end won't be seen */
	ioapic_entry(vm, 0, 0x51);
	apic_set(cpu, LAPIC_EOI, 0);
	shim_advance(NSEC_PER_SEC / 100);
	assert_int_equal(take(cpu), 0x51);
}

static void test_init_of_the_pic_in_flight(void **state)
{
	load(0, 2, 11932);
	shim_advance(NSEC_PER_SEC / 90);
	assert_int_equal(take(cpu), 0x20);
	pic_setup(vm);
	shim_advance(NSEC_PER_SEC / 90);
	assert_true(tick());
}

static void test_aeoi(void **state)
{
	int n = 0;

	outb(vm, 0x20, 0x11);
	outb(vm, 0x21, 0x20);
	outb(vm, 0x21, 0x04);
	outb(vm, 0x21, 0x03);
	load(0, 2, 11932);
	shim_advance(NSEC_PER_SEC / 10);
	while (take(cpu) == 0x20)
		n++;
	assert_int_equal(n, 9);
}

static void test_nmi_watchdog(void **state)
{
	load(0, 2, 11932);
	apic_enable(cpu);
	outb(vm, 0x21, 0xff);
	apic_set(cpu, LAPIC_LVT_LINT0, 0x400);
	shim_advance(NSEC_PER_SEC / 10);
	assert_int_equal(seen[0].nmis, 9);
}

static void test_creation_fails(void **state)
{
	struct vm other = {};
	int before = bus_devices(vm), i;

	for (i = 1; i <= 2; i++) {
		fail_register = i;
		assert_int_equal(pit_create(&other, MINIVMM_PIT_SPEAKER_DUMMY), -ENOMEM);
		assert_null(other.pit);
		assert_int_equal(bus_devices(vm), before);
	}
	shim_fail_alloc = 1;
	assert_int_equal(pit_create(&other, 0), -ENOMEM);
	pit_destroy(&other);
}

static void test_no_speaker_port(void **state)
{
	struct vm *plain = vm_with_chips(1);
	int before = bus_devices(plain);

	assert_int_equal(pit_create(plain, 0), 0);
	assert_int_equal(bus_devices(plain), before + 1);
	vm_free(plain);
}

static void test_destroyed_while_it_runs(void **state)
{
	load(0, 2, 11932);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(test_mode0), T(test_mode0_gate_holds), T(test_mode1), T(test_mode2),
		T(test_mode3), T(test_modes_4_and_5), T(test_modes_6_and_7),
		T(test_zero_is_65536), T(test_count_of_one), T(test_byte_access), T(test_latch),
		T(test_read_back), T(test_speaker_port), T(test_one_tick), T(test_ticks),
		T(test_count_follows_ticks), T(test_too_fast), T(test_missed_ticks_come_later),
		T(test_missed_ticks_are_bounded), T(test_masked_ticks_are_lost),
		T(test_from_pic_to_ioapic), T(test_init_of_the_pic_in_flight), T(test_aeoi),
		T(test_nmi_watchdog), T(test_creation_fails), T(test_destroyed_while_it_runs),
		cmocka_unit_test(test_no_speaker_port),
	};

	return cmocka_run_group_tests_name("irq_pit", tests, NULL, NULL);
}
