// SPDX-License-Identifier: GPL-2.0
/* Interrupt chips in the kernel, and a guest that counts what they deliver. */
#include <string.h>

#include "chips.h"

struct vm *vm_with_chips(void)
{
	struct vm *vm = vm_with_memory(MEM_SIZE);

	CHECK_OK(ioctl(vm->fd, MINIVMM_CREATE_IRQCHIP, 0));
	return vm;
}

struct vm *vm_split(u32 pins)
{
	struct minivmm_enable_cap cap = { .cap = MINIVMM_CAP_SPLIT_IRQCHIP, .args = { pins } };
	struct vm *vm = vm_with_memory(MEM_SIZE);

	CHECK_OK(ioctl(vm->fd, MINIVMM_ENABLE_CAP, &cap));
	return vm;
}

/* 0x12345678 becomes the word to count in. */
GUEST64(count_vector,
	lock; incl 0x12345678;
	push %rax;
	mov $0xfee000b0, %eax;
	movl $0, (%rax);
	pop %rax;
	iretq)

GUEST64(sleep_and_count,
	mov $0xfee000f0, %eax; movl $0x1ff, (%rax);
	mov $0xfee00350, %eax; movl $0x10000, (%rax);
	cli; movl $1, READY; jmp 2f;
	1: sti; hlt; cli;
	2: cmpl $0, GO_ON;
	je 1b;
	out %al, $0x10;
	3: hlt; jmp 3b)

GUEST64(spin_and_count,
	mov $0xfee000f0, %eax; movl $0x1ff, (%rax);
	mov $0xfee00350, %eax; movl $0x10000, (%rax);
	sti; movl $1, READY;
	1: cmpl $0, GO_ON;
	je 1b;
	out %al, $0x10;
	3: hlt; jmp 3b)

static void load_handler(struct vm *vm, int vector)
{
	u64 at = HANDLERS + vector * 32;
	u8 *code = vm->mem + at;
	u32 address = COUNTS + vector * 4;

	LOAD(vm, at, count_vector);
	while (*(u32 *)code != 0x12345678)
		code++;
	memcpy(code, &address, sizeof(address));
	vm_set_gate(vm, vector, at);
}

struct vcpu *boot_counter(struct vm *vm, bool spin)
{
	struct vcpu *v = spin ? BOOT_IN(vm, LONG64, spin_and_count) :
				BOOT_IN(vm, LONG64, sleep_and_count);

	for (int vector = 32; vector < 256; vector++)
		load_handler(vm, vector);
	return v;
}

volatile u32 *word(struct vm *vm, u64 gpa)
{
	return (u32 *)(vm->mem + gpa);
}

u32 count_of(struct vm *vm, int vector)
{
	return *word(vm, COUNTS + vector * 4);
}

void wait_for_count(struct vm *vm, int vector, u32 count)
{
	context("vector %#x", vector);
	wait_for_guest(word(vm, COUNTS + vector * 4), count);
	context("%s", "");
}

void end_counter(struct vm *vm, struct runner *r, int wake)
{
	*word(vm, GO_ON) = 1;
	signal_msi(vm, MSI_ADDRESS, wake);
	CHECK_OK(join_run(r));
	CHECK_EXIT(r->vcpu, MINIVMM_EXIT_IO);
	CHECK_EQ(r->vcpu->run->io.port, 0x10);
}

/* ---- ioctls ---------------------------------------------------------------------------------- */

int irq_line(struct vm *vm, u32 gsi, u32 level)
{
	struct minivmm_irq_level line = { .irq = gsi, .level = level };

	return ioctl(vm->fd, MINIVMM_IRQ_LINE, &line);
}

int irq_line_status(struct vm *vm, u32 gsi, u32 level)
{
	struct minivmm_irq_level line = { .irq = gsi, .level = level };

	CHECK_OK(ioctl(vm->fd, MINIVMM_IRQ_LINE_STATUS, &line));
	return line.status;
}

int signal_msi(struct vm *vm, u32 address, u32 data)
{
	struct minivmm_msi msi = { .address_lo = address, .data = data };

	return ioctl(vm->fd, MINIVMM_SIGNAL_MSI, &msi);
}

struct minivmm_irq_routing_entry to_msi(u32 gsi, u32 address, u32 data)
{
	return (struct minivmm_irq_routing_entry){
		.gsi = gsi, .type = MINIVMM_IRQ_ROUTING_MSI,
		.u.msi = { .address_lo = address, .data = data },
	};
}

struct minivmm_irq_routing_entry to_pin(u32 gsi, u32 chip, u32 pin)
{
	return (struct minivmm_irq_routing_entry){
		.gsi = gsi, .type = MINIVMM_IRQ_ROUTING_IRQCHIP,
		.u.irqchip = { .irqchip = chip, .pin = pin },
	};
}

int set_routing(struct vm *vm, const struct minivmm_irq_routing_entry *entries, u32 n)
{
	struct {
		struct minivmm_irq_routing head;
		struct minivmm_irq_routing_entry entries[64];
	} routing = { .head.nr = n };

	memcpy(routing.entries, entries, n * sizeof(*entries));
	return ioctl(vm->fd, MINIVMM_SET_GSI_ROUTING, &routing);
}

void ioapic_entry(struct vm *vm, int pin, u64 entry)
{
	struct minivmm_irqchip chip = { .chip_id = MINIVMM_IRQCHIP_IOAPIC };

	CHECK_OK(ioctl(vm->fd, MINIVMM_GET_IRQCHIP, &chip));
	chip.chip.ioapic.redirtbl[pin] = entry;
	CHECK_OK(ioctl(vm->fd, MINIVMM_SET_IRQCHIP, &chip));
}
