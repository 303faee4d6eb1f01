// SPDX-License-Identifier: GPL-2.0
/*
 * Senders on threads of their own against a vCPU that looks for interrupts only when it is asked
 * to, as the run loop does: each interrupt comes exactly once, and none needs another to be seen.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "irq_vm.h"

#define ROUNDS		300
#define SENDERS		4
#define STUCK_SECONDS	600

static struct vm *vm;
static atomic_int taken[256];
static atomic_bool done;

/* The run loop, in short. */
static void *run_vcpu(void *arg)
{
	struct vcpu *vcpu = arg;
	int vector;

	while (!done) {
		if (!requested(vcpu)) {
			sched_yield();
			continue;
		}
		vector = take(vcpu);
		if (vector < 0)
			continue;
		taken[vector]++;
		if (vector >= 0x20 && vector < 0x30)
			outb(vm, 0x20, 0x20);
		else
			apic_set(vcpu, LAPIC_EOI, 0);
		/* an interrupt window */
		if (irq_pending(vcpu))
			vcpu_request(vcpu, REQ_EVENT);
	}
	return NULL;
}

static void wait_for(int vector, int count)
{
	while (taken[vector] < count)
		sched_yield();
}

static void *send_messages(void *arg)
{
	struct irq_msg msg = { .vector = (long)arg, .assert = true };
	int i;

	for (i = 1; i <= ROUNDS; i++) {
		assert_int_equal(irq_deliver(vm, NULL, &msg), 1);
		wait_for(msg.vector, i);
	}
	return NULL;
}

/* GSI n is vector 0x80 + n, level-triggered: down before the EOI or after, that comes as it may. */
static void *drive_level(void *arg)
{
	int gsi = (long)arg, before;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		before = taken[0x80 + gsi];
		irq_set_line(vm, gsi, 1);
		wait_for(0x80 + gsi, before + 1);
		irq_set_line(vm, gsi, 0);
	}
	return NULL;
}

static void *pulse_pic(void *arg)
{
	int gsi = (long)arg, i;

	for (i = 1; i <= ROUNDS; i++) {
		irq_set_line(vm, gsi, 1);
		irq_set_line(vm, gsi, 0);
		wait_for(0x20 + gsi, i);
	}
	return NULL;
}

static void run(void *(*sender)(void *), const long *args)
{
	pthread_t vcpu, senders[SENDERS];
	int i;

	memset(taken, 0, sizeof(taken));
	done = false;
	alarm(STUCK_SECONDS);
	assert_int_equal(pthread_create(&vcpu, NULL, run_vcpu, vm->vcpus[0]), 0);
	for (i = 0; i < SENDERS; i++)
		assert_int_equal(pthread_create(&senders[i], NULL, sender, (void *)args[i]), 0);
	for (i = 0; i < SENDERS; i++)
		pthread_join(senders[i], NULL);
	done = true;
	pthread_join(vcpu, NULL);
	alarm(0);
}

static int setup(void **state)
{
	vm = vm_with_chips(1);
	apic_enable(vm->vcpus[0]);
	pic_setup(vm);
	return 0;
}

static int teardown(void **state)
{
	vm_free(vm);
	return 0;
}

static void test_messages(void **state)
{
	static const long vectors[] = { 0x31, 0x32, 0x77, 0xf0 };
	int i;

	run(send_messages, vectors);
	for (i = 0; i < SENDERS; i++)
		assert_int_equal(taken[vectors[i]], ROUNDS);
}

static void test_levels(void **state)
{
	static const long gsis[] = { 16, 17, 18, 23 };
	int i;

	for (i = 0; i < SENDERS; i++)
		ioapic_entry(vm, gsis[i], 0x8000 | (0x80 + gsis[i]));
	run(drive_level, gsis);
	for (i = 0; i < SENDERS; i++)
		assert_true(taken[0x80 + gsis[i]] >= ROUNDS);
}

static void test_pic(void **state)
{
	static const long gsis[] = { 0, 1, 4, 7 };
	int i;

	run(pulse_pic, gsis);
	for (i = 0; i < SENDERS; i++)
		assert_int_equal(taken[0x20 + gsis[i]], ROUNDS);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = { T(test_messages), T(test_levels), T(test_pic) };

	return cmocka_run_group_tests_name("irq_threads", tests, NULL, NULL);
}
