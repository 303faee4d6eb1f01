/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A VM with nothing but interrupt chips, for the tests of src/irq/: chips are used as a guest and a
 * client use them, through ports, memory, MSRs and lines.
 */
#ifndef SHIM_IRQ_VM_H
#define SHIM_IRQ_VM_H

#include <setjmp.h>
#include <stdarg.h>

#include "irq/irq.h"

#include <cmocka.h>

/* What happened to a vCPU, since the test last looked: the fields may be written. */
struct seen {
	int kicks, nmis, resets;
	int sipi;		/* its vector; -1 = none */
};

extern struct seen seen[MAX_VCPUS];
extern bool cpuid_x2apic, cpuid_deadline;	/* what guests' CPUID says; both true at first */
extern bool cpu_has_timer;			/* that leaves the guest at vcpu->timer_at; false at first */
extern unsigned int resampled;			/* bits: pins whose EOI was told to irqfds */
extern int fail_register;			/* the nth io_bus_register() from now fails */

struct vm *vm_with_chips(int nr_vcpus);		/* and no PIT */
void vm_free(struct vm *vm);
int bus_devices(struct vm *vm);			/* registered ranges */

/* Accesses by vCPU 0. */
void outb(struct vm *vm, u16 port, u8 val);
u8 inb(struct vm *vm, u16 port);
u32 ioapic_get(struct vm *vm, u8 reg);
void ioapic_set(struct vm *vm, u8 reg, u32 val);
void ioapic_entry(struct vm *vm, int pin, u64 entry);

u32 apic_get(struct vcpu *vcpu, u32 reg);	/* by memory */
void apic_set(struct vcpu *vcpu, u32 reg, u32 val);
void apic_enable(struct vcpu *vcpu);		/* SVR = 0x1ff */
void apic_x2apic(struct vcpu *vcpu);

/* The next interrupt as the run loop would take it: -1 = none. */
int take(struct vcpu *vcpu);
bool requested(struct vcpu *vcpu);		/* REQ_EVENT; clears it */

/* Both PICs as a PC's firmware sets them: vectors 0x20 and 0x28, nothing masked. */
void pic_setup(struct vm *vm);

#endif
