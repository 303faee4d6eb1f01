/* SPDX-License-Identifier: GPL-2.0 */
/* More than one processor, for tests with NEEDS_CPUS(). */
#ifndef GUESTS_CPUS_H
#define GUESTS_CPUS_H

#include "apic.h"

#define GUEST_SMP_TEST(id, n)	GUEST_TEST_WITH(id, NEEDS_IRQCHIP | NEEDS_CPUS(n))

#define ICR_INIT	0x500
#define ICR_STARTUP	0x600
#define ICR_ASSERT	0x4000
#define ICR_OTHERS	0xc0000
#define ICR_ALL		0x80000
#define CPUS_START	0x8000		/* where SIPIs lead */

struct cpu {
	struct cpu *self;		/* GS points to this */
	u32 number;			/* in the order in which they came */
	u32 apic_id;
	volatile u32 had[256];		/* interrupts, by vector */
	volatile u64 value;		/* the test's */
};

extern struct cpu cpus[MAX_CPUS];
extern volatile u32 cpus_running;

static inline struct cpu *this_cpu(void)
{
	struct cpu *c;

	asm volatile("mov %%gs:0, %0" : "=r"(c));
	return c;
}

/* Starts all n; each of the others runs f, then halts for good. Returns when they have begun it. */
void start_cpus(u32 n, void (*f)(struct cpu *c));
/* A handler that counts into had[] and ends the interrupt. */
void count_here(struct frame *f);
void send_ipi(u32 apic_id, u32 icr);	/* xAPIC */
static inline void relax(void) { asm volatile("pause" : : : "memory"); }
/* Sleeps for interrupts until the condition holds, which they make true. */
#define SLEEP_UNTIL(condition)				\
	do {						\
		cli();					\
		while (!(condition))			\
			sti_hlt();			\
	} while (0)
/* How often to repeat what races. */
u32 rounds(void);

#endif
