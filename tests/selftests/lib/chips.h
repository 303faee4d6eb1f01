/* SPDX-License-Identifier: GPL-2.0 */
/* Interrupt chips in the kernel, and a guest that counts what they deliver. */
#ifndef SELFTESTS_CHIPS_H
#define SELFTESTS_CHIPS_H

#include "thread.h"
#include "vm.h"

#define BAD_POINTER	((void *)8)

#define HANDLERS	(CODE + 0x1000)		/* 32 bytes for each vector */
#define COUNTS		(DATA + 0x400)		/* a word for each vector */
#define READY		DATA			/* 1 = interrupts are on */
#define GO_ON		(DATA + 4)		/* not 0: ends with OUT to port 0x10 */

struct vm *vm_with_chips(void);
struct vm *vm_split(u32 pins);

/*
 * vCPU 0 of a VM with chips: its local APIC on and deaf to PICs, each vector from 0x20 on counted and
 * ended; it sleeps until something comes, or spins.
 */
struct vcpu *boot_counter(struct vm *vm, bool spin);
volatile u32 *word(struct vm *vm, u64 gpa);
u32 count_of(struct vm *vm, int vector);
void wait_for_count(struct vm *vm, int vector, u32 count);
/* Lets it end: RUN returns with the OUT. wake: a vector that it sleeps for. */
void end_counter(struct vm *vm, struct runner *r, int wake);

int irq_line(struct vm *vm, u32 gsi, u32 level);
int irq_line_status(struct vm *vm, u32 gsi, u32 level);
int signal_msi(struct vm *vm, u32 address, u32 data);
#define MSI_ADDRESS	0xfee00000
#define MSI_TO(id)	(MSI_ADDRESS | (id) << 12)
#define MSI_LEVEL	(1 << 15 | 1 << 14)

/* SET_GSI_ROUTING of n entries made by these. */
struct minivmm_irq_routing_entry to_msi(u32 gsi, u32 address, u32 data);
struct minivmm_irq_routing_entry to_pin(u32 gsi, u32 chip, u32 pin);
int set_routing(struct vm *vm, const struct minivmm_irq_routing_entry *entries, u32 n);
void ioapic_entry(struct vm *vm, int pin, u64 entry);	/* by SET_IRQCHIP */
#define IOAPIC_LEVEL	(1ull << 15)
#define IOAPIC_MASKED	(1ull << 16)
#define IOAPIC_REMOTE	(1ull << 14)

#endif
