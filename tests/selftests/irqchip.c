// SPDX-License-Identifier: GPL-2.0
/*
 * CREATE_IRQCHIP, CREATE_PIT2, IRQ_LINE and IRQ_LINE_STATUS: their order and errors, and HLT that
 * stays in the kernel. What the chips do: the guests apic and pic, by guests.c.
 */
#include <signal.h>
#include <string.h>

#include "thread.h"
#include "vm.h"

#define BAD_POINTER	((void *)8)

static int create_pit(struct vm *vm, u32 flags)
{
	struct minivmm_pit_config pit = { .flags = flags };

	return ioctl(vm->fd, MINIVMM_CREATE_PIT2, &pit);
}

static struct vm *vm_with_irqchip(void)
{
	struct vm *vm = vm_with_memory(MEM_SIZE);

	CHECK_OK(ioctl(vm->fd, MINIVMM_CREATE_IRQCHIP, 0));
	return vm;
}

static int irq_line(struct vm *vm, u32 gsi, u32 level)
{
	struct minivmm_irq_level line = { .irq = gsi, .level = level };

	return ioctl(vm->fd, MINIVMM_IRQ_LINE, &line);
}

static int irq_line_status(struct vm *vm, u32 gsi, u32 level)
{
	struct minivmm_irq_level line = { .irq = gsi, .level = level };

	CHECK_OK(ioctl(vm->fd, MINIVMM_IRQ_LINE_STATUS, &line));
	return line.status;
}

/* ---- order and errors ------------------------------------------------------------------------ */

TEST(irqchip_comes_once)
{
	struct vm *vm = vm_with_irqchip();

	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_CREATE_IRQCHIP, 0), EEXIST);
}

TEST(irqchip_comes_before_the_vcpus)
{
	struct vm *vm = vm_create();

	vcpu_create(vm, 0);
	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_CREATE_IRQCHIP, 0), EINVAL);
	CHECK_ERRNO(irq_line(vm, 5, 1), ENXIO);
}

TEST(pit_comes_once)
{
	struct vm *vm = vm_with_irqchip();

	CHECK_OK(create_pit(vm, MINIVMM_PIT_SPEAKER_DUMMY));
	CHECK_ERRNO(create_pit(vm, 0), EEXIST);
}

TEST(pit_comes_after_vcpus)
{
	struct vm *vm = vm_with_irqchip();

	vcpu_create(vm, 0);
	CHECK_OK(create_pit(vm, 0));
}

TEST(pit_bad_pointer)
{
	struct vm *vm = vm_with_irqchip();

	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_CREATE_PIT2, BAD_POINTER), EFAULT);
	CHECK_OK(create_pit(vm, 0));
}

/* KVM makes a timer that can't interrupt; the documentation asks for the chips first. */
TEST(pit_without_irqchip)
{
	struct vm *vm = vm_create();

	if (create_pit(vm, 0) < 0)
		CHECK_EQ(errno, ENOENT);
	else
		CHECK(opt.oracle);
}

TEST(line_needs_an_irqchip)
{
	struct vm *vm = vm_create();
	struct minivmm_irq_level line = { .irq = 5, .level = 1 };

	CHECK_ERRNO(irq_line(vm, 5, 1), ENXIO);
	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_IRQ_LINE_STATUS, &line), ENXIO);
	CHECK_EQ(line.irq, 5);
}

TEST(line_bad_pointers)
{
	struct vm *vm = vm_with_irqchip();

	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_IRQ_LINE, BAD_POINTER), EFAULT);
	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_IRQ_LINE_STATUS, BAD_POINTER), EFAULT);
}

/* A GSI that leads nowhere isn't an error, but its status says that nobody took it. */
TEST(line_that_leads_nowhere)
{
	struct vm *vm = vm_with_irqchip();

	CHECK_OK(irq_line(vm, 1000, 1));
	CHECK_OK(irq_line(vm, ~0u, 1));
	CHECK_EQ(irq_line_status(vm, 1000, 1), -1);
	CHECK_EQ(irq_line_status(vm, 24, 1), -1);
}

TEST(interrupt_is_refused_with_an_irqchip)
{
	struct vcpu *v = vcpu_create(vm_with_irqchip(), 0);
	struct minivmm_interrupt irq = { .irq = 0x30 };

	CHECK_ERRNO(ioctl(v->fd, MINIVMM_INTERRUPT, &irq), ENXIO);
	irq.irq = 256;
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_INTERRUPT, &irq), EINVAL);
}

TEST(irqchips_need_no_vcpu)
{
	struct vm *vm = vm_with_irqchip();

	CHECK_OK(create_pit(vm, 0));
	for (u32 gsi = 0; gsi < 24; gsi++) {
		CHECK_OK(irq_line(vm, gsi, 1));
		CHECK_OK(irq_line(vm, gsi, 0));
	}
}

/* ---- HLT in the kernel ----------------------------------------------------------------------- */

#define HANDLER		(CODE + 0x1000)

/* The first chip with its vectors from 0x20 on and only line 5 open; then sleep, and count. */
GUEST64(sleep_for_line_5,
	mov $0x11, %al; out %al, $0x20;
	mov $0x20, %al; out %al, $0x21;
	mov $4, %al; out %al, $0x21;
	mov $1, %al; out %al, $0x21;
	mov $0xdf, %al; out %al, $0x21;
	movl $1, DATA;
	1: sti;
	hlt;
	cli;
	cmpl $2, DATA;
	je 2f;
	incl DATA + 8;
	jmp 1b;
	2: out %al, $0x10;
	hlt;
	jmp 2b)

GUEST64(on_line_5,
	incl DATA + 4;
	mov $0x20, %al;
	out %al, $0x20;
	iretq)

static struct vcpu *boot_sleeper(struct vm *vm)
{
	struct vcpu *v = BOOT_IN(vm, LONG64, sleep_for_line_5);

	LOAD(vm, HANDLER, on_line_5);
	vm_set_gate(vm, 0x25, HANDLER);
	return v;
}

static u32 *word(struct vm *vm, u64 gpa)
{
	return (u32 *)(vm->mem + gpa);
}

TEST(halted_vcpu_is_woken_by_a_line)
{
	struct vm *vm = vm_with_irqchip();
	struct vcpu *v = boot_sleeper(vm);
	struct runner *r = start_run(v);

	wait_for_guest(word(vm, DATA), 1);
	sleep_ms(5);
	CHECK(!r->done);
	for (u32 i = 1; i <= 3; i++) {
		CHECK_OK(irq_line(vm, 5, 1));
		CHECK_OK(irq_line(vm, 5, 0));
		wait_for_guest(word(vm, DATA + 8), i);
		CHECK_EQ(*word(vm, DATA + 4), i);
	}
	*word(vm, DATA) = 2;	/* it has looked, and sleeps or is about to */
	CHECK_OK(irq_line(vm, 5, 1));
	CHECK_OK(join_run(r));
	CHECK_EXIT(v, MINIVMM_EXIT_IO);
	CHECK_EQ(*word(vm, DATA + 4), 4);
}

TEST(halted_vcpu_is_woken_by_a_signal)
{
	struct vm *vm = vm_with_irqchip();
	struct vcpu *v = boot_sleeper(vm);

	run_to_sleep(v);
	/* It goes on sleeping where it was. */
	run_to_sleep(v);
	*word(vm, DATA) = 2;
	CHECK_OK(irq_line(vm, 5, 1));
	RUN_TO_OUT(v, 0x10, 0x20, 1);
	CHECK_EQ(*word(vm, DATA + 4), 1);
}

/* NMI waits for RUN to return, as every ioctl of a vCPU; a halted one goes on with it. */
TEST(nmi_wakes_a_vcpu_that_was_halted)
{
	struct vm *vm = vm_with_irqchip();
	struct vcpu *v = boot_sleeper(vm);

	vm_set_gate(vm, 2, HANDLER);
	run_to_sleep(v);
	CHECK_OK(ioctl(v->fd, MINIVMM_NMI, 0));
	*word(vm, DATA) = 2;
	RUN_TO_OUT(v, 0x10, 0x20, 1);
	CHECK_EQ(*word(vm, DATA + 4), 1);
}

/* An interrupt that came while nobody ran is there at the next RUN. */
TEST(line_raised_between_runs)
{
	struct vm *vm = vm_with_irqchip();
	struct vcpu *v = boot_sleeper(vm);

	run_to_sleep(v);
	CHECK_OK(irq_line(vm, 5, 1));
	*word(vm, DATA) = 2;
	RUN_TO_OUT(v, 0x10, 0x20, 1);
	CHECK_EQ(*word(vm, DATA + 4), 1);
}

/* ---- status ---------------------------------------------------------------------------------- */

TEST(line_status_tells_what_became_of_it)
{
	struct vm *vm = vm_with_irqchip();
	struct vcpu *v = boot_sleeper(vm);

	run_interrupted(v, 10, word(vm, DATA), 1);
	/* Taken by the PIC; the same edge before the guest ran is coalesced. */
	CHECK_EQ(irq_line_status(vm, 5, 1), 1);
	CHECK(irq_line_status(vm, 5, 0) > 0);
	CHECK_EQ(irq_line_status(vm, 5, 1), 0);
	/* Masked. */
	CHECK_EQ(irq_line_status(vm, 6, 1), -1);
}

/* ---- a spinning guest is interrupted, too ---------------------------------------------------- */

GUEST64(spin_for_line_5,
	mov $0x11, %al; out %al, $0x20;
	mov $0x20, %al; out %al, $0x21;
	mov $4, %al; out %al, $0x21;
	mov $1, %al; out %al, $0x21;
	mov $0xdf, %al; out %al, $0x21;
	movl $1, DATA;
	sti;
	1: cmpl $3, DATA + 4;
	jne 1b;
	out %al, $0x10;
	hlt)

TEST(running_vcpu_is_interrupted_by_a_line)
{
	struct vm *vm = vm_with_irqchip();
	struct vcpu *v = boot_sleeper(vm);
	struct runner *r;

	LOAD(vm, CODE, spin_for_line_5);
	r = start_run(v);
	wait_for_guest(word(vm, DATA), 1);
	for (u32 i = 1; i <= 3; i++) {
		CHECK_OK(irq_line(vm, 5, 1));
		CHECK_OK(irq_line(vm, 5, 0));
		wait_for_guest(word(vm, DATA + 4), i);
	}
	CHECK_OK(join_run(r));
	CHECK_EXIT(v, MINIVMM_EXIT_IO);
}

/* ---- with the local APIC in the kernel, what `run` says -------------------------------------- */

GUEST64(write_cr8,
	mov $9, %eax; mov %rax, %cr8;
	xor %eax, %eax; mov %rax, %cr8;
	out %al, $0x10;
	hlt)

TEST(lower_task_priority_stays_in_the_kernel)
{
	struct vm *vm = vm_with_irqchip();
	struct vcpu *v = BOOT_IN(vm, LONG64, write_cr8);

	/* Not looked at. */
	v->run->cr8 = 77;
	RUN_TO_OUT(v, 0x10, 0, 1);
}

/* The other vCPUs wait for INIT and SIPI, which only the guest can send. */
TEST(second_vcpu_waits_for_its_start)
{
	struct vm *vm = vm_with_irqchip();
	struct vcpu *other;

	vcpu_create(vm, 0);
	other = vcpu_create(vm, 1);
	catch_signal(SIGUSR1);
	signal_every(10000, SIGUSR1);
	CHECK_ERRNO(vcpu_run(other), EINTR);
	signal_every(0, SIGUSR1);
	other->run->immediate_exit = 1;
	CHECK_ERRNO(vcpu_run(other), EINTR);
}
