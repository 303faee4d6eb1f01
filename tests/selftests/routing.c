// SPDX-License-Identifier: GPL-2.0
/* SIGNAL_MSI, SET_GSI_ROUTING, and the split irqchip, whose other chips are the client's. */
#include <string.h>

#include "chips.h"

/* ---- messages -------------------------------------------------------------------------------- */

TEST(msi_is_delivered)
{
	struct vm *vm = vm_with_chips();
	struct vcpu *v = boot_counter(vm, false);
	struct runner *r = start_run(v);

	wait_for_guest(word(vm, READY), 1);
	for (u32 i = 1; i <= 3; i++) {
		CHECK_EQ(CHECK_OK(signal_msi(vm, MSI_ADDRESS, 0x41)), 1);
		wait_for_count(vm, 0x41, i);
	}
	/* To all; and by a logical destination, which nobody has. */
	CHECK_EQ(CHECK_OK(signal_msi(vm, MSI_TO(0xff), 0x42)), 1);
	wait_for_count(vm, 0x42, 1);
	/* The API's -1, which arrives as errno 1. */
	CHECK_ERRNO(signal_msi(vm, MSI_TO(1) | 4, 0x43), EPERM);
	end_counter(vm, r, 0x50);
	CHECK_EQ(count_of(vm, 0x43), 0);
}

#define MANY	64

/* All of them get one message; each has a stack of its own. */
TEST(sixty_four_vcpus)
{
	struct minivmm_mp_state runnable = { .mp_state = MINIVMM_MP_STATE_RUNNABLE };
	struct vm *vm = vm_with_chips();
	struct vcpu *v[MANY] = { boot_counter(vm, false) };
	struct runner *r[MANY];

	for (int i = 1; i < MANY; i++) {
		struct minivmm_regs regs;

		v[i] = vcpu_create(vm, i);
		vcpu_enter_mode(v[i], LONG64, CODE);
		regs = get_regs(v[i]);
		regs.rsp = STACK_TOP - i * 128;
		set_regs(v[i], &regs);
		CHECK_OK(ioctl(v[i]->fd, MINIVMM_SET_MP_STATE, &runnable));
	}
	for (int i = 0; i < MANY; i++)
		r[i] = start_run(v[i]);
	/* Those that haven't enabled their local APICs yet don't count. */
	if (!EVENTUALLY(CHECK_OK(signal_msi(vm, MSI_TO(0xff), 0x42)) == MANY))
		FAIL("not all vCPUs came up");
	CHECK_EQ(CHECK_OK(signal_msi(vm, MSI_TO(0xff), 0x41)), MANY);
	wait_for_count(vm, 0x41, MANY);
	*word(vm, GO_ON) = 1;
	CHECK_EQ(CHECK_OK(signal_msi(vm, MSI_TO(0xff), 0x43)), MANY);
	for (int i = 0; i < MANY; i++) {
		CHECK_OK(join_run(r[i]));
		CHECK_EXIT(v[i], MINIVMM_EXIT_IO);
	}
	CHECK_EQ(count_of(vm, 0x41), MANY);
}

TEST(msi_for_nobody)
{
	struct vm *vm = vm_with_chips();

	vcpu_create(vm, 0);
	CHECK_EQ(signal_msi(vm, MSI_TO(7), 0x41), 0);
	/* There, but its local APIC isn't enabled. */
	CHECK_EQ(signal_msi(vm, MSI_TO(0), 0x41), 0);
}

TEST(msi_refuses)
{
	struct vm *none = vm_create(), *vm = vm_with_chips();
	struct minivmm_msi msi = { .address_lo = MSI_ADDRESS, .data = 0x41, .flags = 2 };

	CHECK_ERRNO(signal_msi(none, MSI_ADDRESS, 0x41), EINVAL);
	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_SIGNAL_MSI, &msi), EINVAL);
	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_SIGNAL_MSI, BAD_POINTER), EFAULT);
}

/* ---- routes ---------------------------------------------------------------------------------- */

TEST(line_is_routed_to_a_message)
{
	struct minivmm_irq_routing_entry route = to_msi(40, MSI_ADDRESS, 0x51);
	struct vm *vm = vm_with_chips();
	struct runner *r = start_run(boot_counter(vm, false));

	wait_for_guest(word(vm, READY), 1);
	CHECK_OK(set_routing(vm, &route, 1));
	CHECK_EQ(irq_line_status(vm, 40, 1), 1);
	wait_for_count(vm, 0x51, 1);
	/* The end of a message says nothing. */
	CHECK_EQ(irq_line_status(vm, 40, 0), -1);
	/* What was routed before isn't any more. */
	CHECK_EQ(irq_line_status(vm, 5, 1), -1);
	CHECK_EQ(irq_line_status(vm, 41, 1), -1);
	end_counter(vm, r, 0x50);
	CHECK_EQ(count_of(vm, 0x51), 1);
}

TEST(line_is_routed_to_another_pin)
{
	struct minivmm_irq_routing_entry routes[] = {
		to_pin(100, MINIVMM_IRQCHIP_IOAPIC, 9),
		to_pin(101, MINIVMM_IRQCHIP_IOAPIC, 9),
		to_pin(100, MINIVMM_IRQCHIP_PIC_SLAVE, 1),
	};
	struct minivmm_irqchip chip = { .chip_id = MINIVMM_IRQCHIP_PIC_SLAVE };
	struct vm *vm = vm_with_chips();
	struct runner *r = start_run(boot_counter(vm, false));

	wait_for_guest(word(vm, READY), 1);
	ioapic_entry(vm, 9, 0x61);
	CHECK_OK(set_routing(vm, routes, 3));
	CHECK_OK(irq_line(vm, 100, 1));
	wait_for_count(vm, 0x61, 1);
	CHECK_OK(irq_line(vm, 100, 0));
	CHECK_OK(irq_line(vm, 101, 1));
	wait_for_count(vm, 0x61, 2);
	CHECK_OK(ioctl(vm->fd, MINIVMM_GET_IRQCHIP, &chip));
	CHECK_EQ(chip.chip.pic.irr, 2);
	end_counter(vm, r, 0x50);
}

TEST(no_routes_at_all)
{
	struct vm *vm = vm_with_chips();

	CHECK_OK(set_routing(vm, NULL, 0));
	for (u32 gsi = 0; gsi < 24; gsi++)
		CHECK_EQ(irq_line_status(vm, gsi, 1), -1);
}

TEST(routing_refuses)
{
	const struct { const char *what; struct minivmm_irq_routing_entry entries[2]; u32 n; } bad[] = {
		{ "a GSI that is too high", { to_msi(4096, MSI_ADDRESS, 0x41) }, 1 },
		{ "another such", { to_msi(~0u, MSI_ADDRESS, 0x41) }, 1 },
		{ "no such chip", { to_pin(1, 3, 0) }, 1 },
		{ "another such", { to_pin(1, ~0u, 0) }, 1 },
		{ "a pin of the master's", { to_pin(1, MINIVMM_IRQCHIP_PIC_MASTER, 8) }, 1 },
		{ "a pin of the slave's", { to_pin(1, MINIVMM_IRQCHIP_PIC_SLAVE, 8) }, 1 },
		{ "a pin of the I/O APIC's", { to_pin(1, MINIVMM_IRQCHIP_IOAPIC, 24) }, 1 },
		{ "no such type", { { .gsi = 1, .type = 9 } }, 1 },
		{ "flags", { { .gsi = 1, .type = MINIVMM_IRQ_ROUTING_IRQCHIP, .flags = 1 } }, 1 },
		{ "one chip twice", { to_pin(1, MINIVMM_IRQCHIP_IOAPIC, 1),
				      to_pin(1, MINIVMM_IRQCHIP_IOAPIC, 2) }, 2 },
		{ "two messages", { to_msi(1, MSI_ADDRESS, 1), to_msi(1, MSI_ADDRESS, 2) }, 2 },
		{ "a message and a pin", { to_msi(1, MSI_ADDRESS, 1),
					   to_pin(1, MINIVMM_IRQCHIP_IOAPIC, 2) }, 2 },
		{ "a pin and a message", { to_pin(1, MINIVMM_IRQCHIP_IOAPIC, 2),
					   to_msi(1, MSI_ADDRESS, 1) }, 2 },
	};
	struct minivmm_irq_routing head = { .nr = 4097 };
	struct vm *vm = vm_with_chips(), *none = vm_create();

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		context("%s", bad[i].what);
		CHECK_ERRNO(set_routing(vm, bad[i].entries, bad[i].n), EINVAL);
	}
	context("%s", "");
	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_SET_GSI_ROUTING, &head), EINVAL);
	head = (struct minivmm_irq_routing){ .flags = 1 };
	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_SET_GSI_ROUTING, &head), EINVAL);
	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_SET_GSI_ROUTING, BAD_POINTER), EFAULT);
	CHECK_ERRNO(set_routing(none, NULL, 0), EINVAL);
	/* Nothing has changed. */
	CHECK_EQ(irq_line_status(vm, 100, 1), -1);
	CHECK(irq_line_status(vm, 9, 1) >= -1);
}

static volatile bool stop;

static void *change_routes(void *arg)
{
	struct vm *vm = arg;

	for (int i = 0; !stop; i++) {
		struct minivmm_irq_routing_entry route = to_msi(7, MSI_ADDRESS, 0x70 + i % 4);

		CHECK_OK(set_routing(vm, &route, 1));
	}
	return NULL;
}

static u32 sum(struct vm *vm)
{
	u32 n = 0;

	for (int vector = 0x70; vector < 0x74; vector++)
		n += count_of(vm, vector);
	return n;
}

/* Each arrives once, by the old route or the new one. */
TEST(routes_change_while_interrupts_fly)
{
	struct vm *vm = vm_with_chips();
	struct vcpu *v = boot_counter(vm, false);
	struct minivmm_irq_routing_entry route = to_msi(7, MSI_ADDRESS, 0x70);
	struct runner *r = start_run(v);
	pthread_t thread;

	wait_for_guest(word(vm, READY), 1);
	CHECK_OK(set_routing(vm, &route, 1));
	CHECK(!pthread_create(&thread, NULL, change_routes, vm));
	for (u32 i = 1; i <= 500; i++) {
		CHECK_OK(irq_line(vm, 7, 1));
		if (!EVENTUALLY(sum(vm) == i))
			FAIL("interrupt %u: the guest has had %u", i, sum(vm));
	}
	stop = true;
	pthread_join(thread, NULL);
	end_counter(vm, r, 0x50);
	CHECK_EQ(sum(vm), 500);
}

/* ---- split ----------------------------------------------------------------------------------- */

static int enable_split(struct vm *vm, u64 pins, u32 flags)
{
	return enable_cap(vm, MINIVMM_CAP_SPLIT_IRQCHIP, flags, pins);
}

TEST(split_refuses)
{
	struct vm *vm = vm_create();

	CHECK_ERRNO(enable_cap(vm, 9999, 0, 0), EINVAL);
	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_ENABLE_CAP, BAD_POINTER), EFAULT);
	CHECK_ERRNO(enable_split(vm, 24, 1), EINVAL);
	CHECK_ERRNO(enable_split(vm, 4097, 0), EINVAL);
	CHECK_OK(enable_split(vm, 24, 0));
	CHECK_ERRNO(enable_split(vm, 24, 0), EEXIST);
	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_CREATE_IRQCHIP, 0), EEXIST);
	vm = vm_create();
	vcpu_create(vm, 0);
	CHECK_ERRNO(enable_split(vm, 24, 0), EEXIST);
	CHECK_ERRNO(enable_split(vm_with_chips(), 24, 0), EEXIST);
}

TEST(split_has_no_other_chips)
{
	struct minivmm_irq_routing_entry route = to_pin(1, MINIVMM_IRQCHIP_IOAPIC, 1);
	struct minivmm_irqchip chip = { .chip_id = MINIVMM_IRQCHIP_IOAPIC };
	struct minivmm_pit_config pit = {};
	struct vm *vm = vm_split(24);

	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_GET_IRQCHIP, &chip), ENXIO);
	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_SET_IRQCHIP, &chip), ENXIO);
	CHECK_ERRNO(set_routing(vm, &route, 1), EINVAL);
	CHECK_EQ(irq_line_status(vm, 1, 1), -1);
	if (!opt.oracle)	/* KVM makes one that can't interrupt */
		CHECK_ERRNO(ioctl(vm->fd, MINIVMM_CREATE_PIT2, &pit), ENOENT);
}

GUEST64(touch_chips,
	in $0x21, %al;
	mov $0xfec00000, %eax; movl $1, (%rax);
	hlt)

TEST(split_chips_are_the_clients)
{
	struct vcpu *v = BOOT_IN(vm_split(24), LONG64, touch_chips);

	RUN_TO_IN(v, 0x21, 1);
	RUN_TO_WRITE(v, 0xfec00000, 1, 4);
}

/* The guest's EOI of what a level-triggered route has sent goes to the client's I/O APIC. */
TEST(split_tells_of_eois)
{
	struct minivmm_irq_routing_entry routes[] = {
		to_msi(4, MSI_ADDRESS, 0x44 | MSI_LEVEL), to_msi(5, MSI_ADDRESS, 0x45),
		to_msi(30, MSI_ADDRESS, 0x46 | MSI_LEVEL),
	};
	struct vm *vm = vm_split(24);
	struct vcpu *v = boot_counter(vm, true);

	CHECK_OK(set_routing(vm, routes, 3));
	run_interrupted(v, 10, word(vm, READY), 1);
	/* An edge, and a level from beyond the client's I/O APIC: not its affair. */
	CHECK_OK(irq_line(vm, 5, 1));
	CHECK_OK(irq_line(vm, 30, 1));
	/* of lower priority, so the last of both */
	run_interrupted(v, 10, word(vm, COUNTS + 4 * 0x45), 1);
	CHECK_EQ(count_of(vm, 0x46), 1);
	for (u32 i = 1; i <= 3; i++) {
		CHECK_OK(irq_line(vm, 4, 1));
		RUN_TO(v, MINIVMM_EXIT_IOAPIC_EOI);
		CHECK_EQ(v->run->eoi.vector, 0x44);
		CHECK_EQ(count_of(vm, 0x44), i);
	}
	*word(vm, GO_ON) = 1;
	RUN_TO(v, MINIVMM_EXIT_IO);
	CHECK_EQ(v->run->io.port, 0x10);
}

/* As the client's PIC gives them, through LINT0 in ExtINT mode. */
GUEST64(listen_to_pics,
	mov $0xfee000f0, %eax; movl $0x1ff, (%rax);
	mov $0xfee00350, %eax; movl $0x700, (%rax);
	out %al, $0x11;
	sti;
	1: cmpl $2, COUNTS + 4 * 0x33;
	jne 1b;
	out %al, $0x10;
	hlt)

/* Nobody listens to the client's PIC: its window doesn't open, and doesn't keep the guest from running. */
GUEST64(listen_late,
	mov $0xfee000f0, %eax; movl $0x1ff, (%rax);
	mov $0xfee00350, %eax; movl $0x10700, (%rax);
	sti;
	nop;
	out %al, $0x11;
	out %al, $0x12;
	movl $0x700, (%rax);
	1: jmp 1b)

TEST(split_window_waits_for_lint0)
{
	struct vm *vm = vm_split(24);
	struct vcpu *v = boot_counter(vm, true);

	LOAD(vm, CODE, listen_late);
	v->run->request_interrupt_window = 1;
	RUN_TO(v, MINIVMM_EXIT_IO);
	CHECK_EQ(v->run->io.port, 0x11);
	CHECK(!v->run->ready_for_interrupt_injection);
	RUN_TO(v, MINIVMM_EXIT_IO);
	CHECK_EQ(v->run->io.port, 0x12);
	RUN_TO(v, MINIVMM_EXIT_IRQ_WINDOW_OPEN);
	CHECK(v->run->ready_for_interrupt_injection);
}

TEST(split_takes_vectors_of_the_client)
{
	struct vm *vm = vm_split(24);
	struct vcpu *v = boot_counter(vm, true);
	struct minivmm_interrupt irq = { .irq = 0x33 };

	LOAD(vm, CODE, listen_to_pics);
	RUN_TO(v, MINIVMM_EXIT_IO);
	CHECK(!v->run->ready_for_interrupt_injection);
	v->run->request_interrupt_window = 1;
	RUN_TO(v, MINIVMM_EXIT_IRQ_WINDOW_OPEN);
	CHECK(v->run->ready_for_interrupt_injection);
	CHECK_OK(ioctl(v->fd, MINIVMM_INTERRUPT, &irq));
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_INTERRUPT, &irq), EEXIST);
	RUN_TO(v, MINIVMM_EXIT_IRQ_WINDOW_OPEN);
	v->run->request_interrupt_window = 0;
	CHECK_OK(ioctl(v->fd, MINIVMM_INTERRUPT, &irq));
	RUN_TO(v, MINIVMM_EXIT_IO);
	CHECK_EQ(v->run->io.port, 0x10);
	CHECK_EQ(count_of(vm, 0x33), 2);
}
