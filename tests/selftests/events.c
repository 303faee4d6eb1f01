// SPDX-License-Identifier: GPL-2.0
/* INTERRUPT and NMI without interrupt chips in the kernel: windows, shadows, priorities, IRET. */
#include <string.h>

#include "vm.h"

#define HANDLER		(CODE + 0x1000)
#define NMI_HANDLER	(CODE + 0x2000)

/* Both tell on a port that they ran. */
GUEST64(on_interrupt, out %al, $0x21; iretq)
GUEST64(on_nmi, out %al, $0x22; iretq)

static struct vcpu *boot_with_handlers(const void *code, size_t size)
{
	struct vcpu *v = boot(LONG64, code, size);

	LOAD(v->vm, HANDLER, on_interrupt);
	LOAD(v->vm, NMI_HANDLER, on_nmi);
	for (int i = 32; i < 256; i++)
		vm_set_gate(v->vm, i, HANDLER);
	vm_set_gate(v->vm, 2, NMI_HANDLER);
	return v;
}

#define BOOT_HANDLERS(name) boot_with_handlers(guest_##name, guest_##name##_end - guest_##name)

static void interrupt(struct vcpu *v, u32 vector)
{
	struct minivmm_interrupt irq = { .irq = vector };

	CHECK_OK(ioctl(v->fd, MINIVMM_INTERRUPT, &irq));
}

static void nmi(struct vcpu *v)
{
	CHECK_OK(ioctl(v->fd, MINIVMM_NMI, 0));
}

/* ---- INTERRUPT ------------------------------------------------------------------------------- */

GUEST64(halt_enabled, sti; 1: hlt; jmp 1b)
GUEST64(halt_disabled, 1: hlt; jmp 1b)

TEST(interrupt_is_delivered)
{
	struct vcpu *v = BOOT_HANDLERS(halt_enabled);
	u64 *stack;

	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK(v->run->ready_for_interrupt_injection);
	interrupt(v, 0x30);
	RUN_TO_OUT(v, 0x21, 0, 1);
	/* The frame that the CPU pushed: where it was, in 64-bit mode with SS and RSP. */
	stack = (u64 *)(v->vm->mem + get_regs(v).rsp);
	CHECK_EQ(stack[0], CODE + 2);
	CHECK_EQ(stack[1], SEL_CODE64);
	CHECK_EQ(stack[2] & 0x200, 0x200);
	CHECK_EQ(stack[3], STACK_TOP);
	CHECK_EQ(get_regs(v).rflags & 0x200, 0);
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

TEST(every_vector_is_delivered)
{
	struct vcpu *v = BOOT_HANDLERS(halt_enabled);

	RUN_TO(v, MINIVMM_EXIT_HLT);
	for (u32 vector = 32; vector < 256; vector += 31) {
		vm_set_gate(v->vm, vector, NMI_HANDLER);
		interrupt(v, vector);
		RUN_TO_OUT(v, 0x22, 0, 1);
		RUN_TO(v, MINIVMM_EXIT_HLT);
		vm_set_gate(v->vm, vector, HANDLER);
	}
}

TEST(interrupt_waits_in_sregs)
{
	struct vcpu *v = BOOT_HANDLERS(halt_enabled);

	RUN_TO(v, MINIVMM_EXIT_HLT);
	interrupt(v, 0x41);
	CHECK_EQ(get_sregs(v).interrupt_bitmap[1], 1 << 1);
	v->run->immediate_exit = 1;
	CHECK_ERRNO(vcpu_run(v), EINTR);
	CHECK_EQ(get_sregs(v).interrupt_bitmap[1], 1 << 1);
	v->run->immediate_exit = 0;
	RUN_TO_OUT(v, 0x21, 0, 1);
	CHECK_EQ(get_sregs(v).interrupt_bitmap[1], 0);
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

TEST(interrupt_refuses)
{
	struct vcpu *v = BOOT_HANDLERS(halt_enabled);
	struct minivmm_interrupt irq = { .irq = 256 };

	CHECK_ERRNO(ioctl(v->fd, MINIVMM_INTERRUPT, &irq), EINVAL);
	irq.irq = ~0u;
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_INTERRUPT, &irq), EINVAL);
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_INTERRUPT, 8l), EFAULT);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

/* ---- the interrupt window -------------------------------------------------------------------- */

/* Interrupts are off for some exits, then on. */
GUEST64(open_late,
	out %al, $0x10;
	out %al, $0x11;
	sti;
	nop;
	out %al, $0x12;
	cli;
	hlt)

TEST(window_opens_with_sti)
{
	struct vcpu *v = BOOT_HANDLERS(open_late);

	RUN_TO_OUT(v, 0x10, 0, 1);
	CHECK(!v->run->ready_for_interrupt_injection);
	v->run->request_interrupt_window = 1;
	RUN_TO_OUT(v, 0x11, 0, 1);
	RUN_TO(v, MINIVMM_EXIT_IRQ_WINDOW_OPEN);
	CHECK(v->run->ready_for_interrupt_injection);
	CHECK(v->run->if_flag);
	v->run->request_interrupt_window = 0;
	/* Not right behind STI, but one instruction later. */
	CHECK_EQ(get_regs(v).rip, CODE + 6);
	interrupt(v, 0x50);
	RUN_TO_OUT(v, 0x21, 0, 1);
	RUN_TO_OUT(v, 0x12, 0, 1);
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

TEST(window_that_is_open_ends_run_at_once)
{
	struct vcpu *v = BOOT_HANDLERS(halt_enabled);

	RUN_TO(v, MINIVMM_EXIT_HLT);
	v->run->request_interrupt_window = 1;
	RUN_TO(v, MINIVMM_EXIT_IRQ_WINDOW_OPEN);
	RUN_TO(v, MINIVMM_EXIT_IRQ_WINDOW_OPEN);
	v->run->request_interrupt_window = 0;
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

/* After MOV to SS one instruction runs undisturbed. */
GUEST64(mov_ss,
	mov $SEL_DATA, %ebx;
	mov %ebx, %ss;
	out %al, $0x10;
	sti;
	mov %ebx, %ss;
	nop;
	nop;
	hlt)

TEST(window_after_mov_ss)
{
	struct vcpu *v = BOOT_HANDLERS(mov_ss);

	RUN_TO_OUT(v, 0x10, 0, 1);
	v->run->request_interrupt_window = 1;
	RUN_TO(v, MINIVMM_EXIT_IRQ_WINDOW_OPEN);
	CHECK_EQ(get_regs(v).rip, CODE + 13);
}

TEST(halt_with_interrupts_off_has_no_window)
{
	struct vcpu *v = BOOT_HANDLERS(halt_disabled);

	v->run->request_interrupt_window = 1;
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK(!v->run->ready_for_interrupt_injection);
	CHECK(!v->run->if_flag);
}

/* ---- task priority --------------------------------------------------------------------------- */

GUEST64(lower_priority,
	mov $9, %eax;
	mov %rax, %cr8;
	mov $3, %eax;
	mov %rax, %cr8;
	mov %cr8, %rbx;
	mov %rax, %cr8;
	hlt)

/* The client's APIC must hear when the guest takes interrupts again that it held off. */
TEST(lower_task_priority_exits)
{
	struct vcpu *v = BOOT(LONG64, lower_priority);

	RUN_TO(v, MINIVMM_EXIT_SET_TPR);
	CHECK_EQ(v->run->cr8, 3);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_regs(v).rbx, 3);
	CHECK_EQ(get_sregs(v).cr8, 3);
}

/* ---- NMI ------------------------------------------------------------------------------------- */

TEST(nmi_is_delivered_whatever_if)
{
	struct vcpu *v = BOOT_HANDLERS(halt_disabled);

	RUN_TO(v, MINIVMM_EXIT_HLT);
	nmi(v);
	RUN_TO_OUT(v, 0x22, 0, 1);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_regs(v).rip, CODE + 1);
}

/* While one is handled the next one waits for IRET, and further ones are lost. */
TEST(nmi_waits_for_iret)
{
	struct vcpu *v = BOOT_HANDLERS(halt_disabled);

	need_virtual_nmis();
	RUN_TO(v, MINIVMM_EXIT_HLT);
	nmi(v);
	RUN_TO_OUT(v, 0x22, 0, 1);
	nmi(v);
	nmi(v);
	nmi(v);
	RUN_TO_OUT(v, 0x22, 0, 1);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

/* The handler's own exits don't unblock. */
GUEST64(long_nmi_handler, out %al, $0x22; cpuid; out %al, $0x23; iretq)

TEST(nmi_stays_blocked_over_exits)
{
	struct vcpu *v = BOOT_HANDLERS(halt_disabled);

	need_virtual_nmis();
	LOAD(v->vm, NMI_HANDLER, long_nmi_handler);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	nmi(v);
	RUN_TO(v, MINIVMM_EXIT_IO);
	CHECK_EQ(v->run->io.port, 0x22);
	nmi(v);
	RUN_TO(v, MINIVMM_EXIT_IO);
	CHECK_EQ(v->run->io.port, 0x23);
	RUN_TO(v, MINIVMM_EXIT_IO);
	CHECK_EQ(v->run->io.port, 0x22);
	RUN_TO(v, MINIVMM_EXIT_IO);
	CHECK_EQ(v->run->io.port, 0x23);
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

/* Both at once: the NMI first, then, when its handler returned, the interrupt. */
TEST(nmi_and_interrupt_both_arrive)
{
	struct vcpu *v = BOOT_HANDLERS(halt_enabled);
	int nmis = 0, interrupts = 0;

	RUN_TO(v, MINIVMM_EXIT_HLT);
	interrupt(v, 0x60);
	nmi(v);
	for (;;) {
		CHECK_OK(vcpu_run(v));
		if (v->run->exit_reason == MINIVMM_EXIT_HLT)
			break;
		CHECK_EXIT(v, MINIVMM_EXIT_IO);
		nmis += v->run->io.port == 0x22;
		interrupts += v->run->io.port == 0x21;
	}
	CHECK_EQ(nmis, 1);
	CHECK_EQ(interrupts, 1);
}

TEST(nmi_before_the_first_run)
{
	struct vcpu *v = BOOT_HANDLERS(halt_disabled);

	nmi(v);
	RUN_TO_OUT(v, 0x22, 0, 1);
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

/* ---- faults while an event is delivered ------------------------------------------------------ */

/* The stack isn't memory: pushing the frame can't be done by the CPU, nor by anyone else. */
TEST(delivery_onto_a_stack_of_mmio)
{
	struct vcpu *v = BOOT_HANDLERS(halt_enabled);
	struct minivmm_regs r;

	RUN_TO(v, MINIVMM_EXIT_HLT);
	r = get_regs(v);
	r.rsp = MMIO + PAGE;
	set_regs(v, &r);
	interrupt(v, 0x30);
	RUN_TO(v, MINIVMM_EXIT_INTERNAL_ERROR);
	/* KVM with shadow pages meets it as an exception while it delivers another. */
	CHECK(v->run->internal.suberror == MINIVMM_INTERNAL_ERROR_DELIVERY_EV ||
	      v->run->internal.suberror == MINIVMM_INTERNAL_ERROR_SIMUL_EX);
}

/* The handler's gate isn't there, nor one for the fault that this makes. */
TEST(delivery_without_handlers)
{
	struct vcpu *v = BOOT_HANDLERS(halt_enabled);

	RUN_TO(v, MINIVMM_EXIT_HLT);
	memset(v->vm->mem + IDT, 0, 0x1000);
	interrupt(v, 0x30);
	RUN_TO(v, MINIVMM_EXIT_SHUTDOWN);
}

/* IDT and stack on pages that the hypervisor must map in the middle of the delivery. */
TEST(delivery_through_unmapped_pages)
{
	struct vcpu *v = BOOT_HANDLERS(halt_enabled);
	u8 *hva = host_memory(4 * PAGE);
	struct minivmm_sregs s;
	struct minivmm_regs r;

	RUN_TO(v, MINIVMM_EXIT_HLT);
	memcpy(hva, v->vm->mem + IDT, PAGE);
	add_slot(v->vm, 1, 0, 0x10000000, 4 * PAGE, hva);
	s = get_sregs(v);
	s.idt.base = 0x10000000;
	set_sregs(v, &s);
	r = get_regs(v);
	r.rsp = 0x10000000 + 3 * PAGE + 8;
	set_regs(v, &r);
	interrupt(v, 0x77);
	RUN_TO_OUT(v, 0x21, 0, 1);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_regs(v).rsp, 0x10000000 + 3 * PAGE + 8);
}
