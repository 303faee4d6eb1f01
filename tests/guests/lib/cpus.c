// SPDX-License-Identifier: GPL-2.0
/* More than one processor. */
#include "cpus.h"

extern const u8 cpus_start[], cpus_start_end[];

struct cpu cpus[MAX_CPUS];
volatile u32 cpus_running;
static volatile u32 cpus_ready;
static void (*run)(struct cpu *c);

static struct cpu *set_up(u32 number)
{
	struct cpu *c = &cpus[number];

	c->self = c;
	c->number = number;
	wrmsr(MSR_GS_BASE, (u64)c);
	load_idt(sizeof(idt) - 1);
	apic_write(APIC_SVR, SVR_ENABLED | 0xff);
	apic_write(APIC_LVT0, LVT_MASKED);
	c->apic_id = apic_read(APIC_ID) >> 24;
	return c;
}

void cpus_main(u32 number)
{
	struct cpu *c = set_up(number);

	__atomic_add_fetch(&cpus_ready, 1, __ATOMIC_SEQ_CST);
	run(c);
}

void start_cpus(u32 n, void (*f)(struct cpu *c))
{
	for (u64 i = 0; i < (u64)(cpus_start_end - cpus_start); i++)
		((volatile u8 *)CPUS_START)[i] = cpus_start[i];
	outb(PIC1 + 1, 0xff);
	outb(PIC2 + 1, 0xff);
	run = f;
	cpus_running = cpus_ready = 1;
	set_up(0);
	/* INIT, SIPI, SIPI, as the MultiProcessor Specification has it; the second finds nobody waiting */
	apic_write(APIC_ICR, ICR_OTHERS | ICR_ASSERT | ICR_INIT);
	apic_write(APIC_ICR, ICR_OTHERS | ICR_ASSERT | ICR_STARTUP | CPUS_START >> 12);
	apic_write(APIC_ICR, ICR_OTHERS | ICR_ASSERT | ICR_STARTUP | CPUS_START >> 12);
	while (cpus_ready != n)
		relax();
}

void count_here(struct frame *f)
{
	this_cpu()->had[f->vector]++;
	apic_write(APIC_EOI, 0);
}

void send_ipi(u32 apic_id, u32 icr)
{
	apic_write(APIC_ICR2, apic_id << 24);
	apic_write(APIC_ICR, icr | ICR_ASSERT);
}

u32 rounds(void)
{
	u32 n;

	asm volatile("inl %1, %0" : "=a"(n) : "Nd"((u16)PORT_ROUNDS));
	return n;
}
