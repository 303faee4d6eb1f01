// SPDX-License-Identifier: GPL-2.0
/* The local APIC and the I/O APIC: registers, priorities, timers, x2APIC. */
#include "apic.h"

static void eoi(struct frame *f)
{
	(void)f;
	apic_write(APIC_EOI, 0);
}

static void no_eoi(struct frame *f)
{
	(void)f;
}

static void enable(void)
{
	apic_write(APIC_SVR, SVR_ENABLED | 0xff);
	apic_write(APIC_LVT0, LVT_MASKED);
	/* The PICs keep quiet. */
	outb(PIC1 + 1, 0xff);
	outb(PIC2 + 1, 0xff);
}

static void self_ipi(int vector)
{
	apic_write(APIC_ICR, ICR_SELF | vector);
}

/* ---- registers ------------------------------------------------------------------------------- */

GUEST_IRQ_TEST(registers_after_reset)
{
	CHECK_EQ(apic_read(APIC_ID), 0);
	CHECK_EQ(apic_read(APIC_VERSION) & 0xf0, 0x10);
	CHECK((apic_read(APIC_VERSION) >> 16 & 0xff) >= 4);
	CHECK_EQ(apic_read(APIC_SVR), 0xff);
	CHECK_EQ(apic_read(APIC_TPR), 0);
	CHECK_EQ(apic_read(APIC_LDR), 0);
	CHECK_EQ(apic_read(APIC_DFR), 0xffffffff);
	CHECK_EQ(apic_read(APIC_LVTT), LVT_MASKED);
	CHECK_EQ(apic_read(APIC_LVTERR), LVT_MASKED);
	CHECK_EQ(apic_read(APIC_LVT1), LVT_MASKED);
	/* The boot processor gets the PICs' interrupts from the beginning. */
	CHECK_EQ(apic_read(APIC_LVT0), MODE_EXTINT);
	CHECK_EQ(apic_read(APIC_TMICT), 0);
	CHECK_EQ(apic_read(APIC_TMCCT), 0);
	for (int i = 0; i < 8; i++) {
		CHECK_EQ(apic_read(APIC_ISR + 16 * i), 0);
		CHECK_EQ(apic_read(APIC_IRR + 16 * i), 0);
		CHECK_EQ(apic_read(APIC_TMR + 16 * i), 0);
	}
}

GUEST_IRQ_TEST(registers_keep_what_they_can)
{
	enable();
	apic_write(APIC_TPR, 0x35);
	CHECK_EQ(apic_read(APIC_TPR), 0x35);
	apic_write(APIC_TPR, 0);
	apic_write(APIC_LDR, 0x12345678);
	CHECK_EQ(apic_read(APIC_LDR), 0x12000000);
	apic_write(APIC_DFR, 0x01234567);
	CHECK_EQ(apic_read(APIC_DFR), 0x0fffffff);
	apic_write(APIC_LVTERR, LVT_MASKED | 0xee);
	CHECK_EQ(apic_read(APIC_LVTERR), LVT_MASKED | 0xee);
	apic_write(APIC_ICR2, 0x55000000);
	CHECK_EQ(apic_read(APIC_ICR2), 0x55000000);
	/* Nobody there. All but "send pending" is kept. */
	apic_write(APIC_ICR, 0xfff37041);
	CHECK_EQ(apic_read(APIC_ICR), 0xfff36041);
}

/* While it's off by software, its local vectors are masked for good. */
GUEST_IRQ_TEST(software_disable)
{
	enable();
	apic_write(APIC_LVTERR, 0xee);
	CHECK_EQ(apic_read(APIC_LVTERR), 0xee);
	apic_write(APIC_SVR, 0xff);
	CHECK_EQ(apic_read(APIC_LVTERR), LVT_MASKED | 0xee);
	apic_write(APIC_LVTERR, 0xee);
	CHECK_EQ(apic_read(APIC_LVTERR), LVT_MASKED | 0xee);
}

/* ---- interrupts to itself -------------------------------------------------------------------- */

GUEST_IRQ_TEST(self_ipi_is_delivered)
{
	enable();
	handle(0x40, no_eoi);
	self_ipi(0x40);
	CHECK_EQ(vector_count[0x40], 0);
	CHECK(apic_bit(APIC_IRR, 0x40));
	open_interrupts();
	CHECK_EQ(vector_count[0x40], 1);
	CHECK(!apic_bit(APIC_IRR, 0x40));
	CHECK(apic_bit(APIC_ISR, 0x40));
	CHECK(!apic_bit(APIC_TMR, 0x40));
	/* In service: the same waits. */
	self_ipi(0x40);
	open_interrupts();
	CHECK_EQ(vector_count[0x40], 1);
	apic_write(APIC_EOI, 0);
	open_interrupts();
	CHECK_EQ(vector_count[0x40], 2);
	apic_write(APIC_EOI, 0);
	CHECK(!apic_bit(APIC_ISR, 0x40));
}

GUEST_IRQ_TEST(ipi_by_destination)
{
	enable();
	handle(0x41, eoi);
	apic_write(APIC_ICR2, 0);
	apic_write(APIC_ICR, 0x41);
	open_interrupts();
	CHECK_EQ(vector_count[0x41], 1);
	/* Nobody there. */
	apic_write(APIC_ICR2, 5u << 24);
	apic_write(APIC_ICR, 0x41);
	open_interrupts();
	CHECK_EQ(vector_count[0x41], 1);
	/* Logical, flat. */
	apic_write(APIC_LDR, 0x04000000);
	apic_write(APIC_ICR2, 0x06u << 24);
	apic_write(APIC_ICR, 0x841);
	open_interrupts();
	CHECK_EQ(vector_count[0x41], 2);
	apic_write(APIC_ICR2, 0x08u << 24);
	apic_write(APIC_ICR, 0x841);
	open_interrupts();
	CHECK_EQ(vector_count[0x41], 2);
	/* To all with itself; to all but itself. */
	apic_write(APIC_ICR, 0x80041);
	open_interrupts();
	CHECK_EQ(vector_count[0x41], 3);
	apic_write(APIC_ICR, 0xc0041);
	open_interrupts();
	CHECK_EQ(vector_count[0x41], 3);
}

GUEST_IRQ_TEST(nmi_by_icr)
{
	enable();
	handle(NMI, no_eoi);
	apic_write(APIC_ICR2, 0);
	apic_write(APIC_ICR, ICR_NMI);
	asm volatile("nop");
	CHECK_EQ(vector_count[NMI], 1);
}

GUEST_IRQ_TEST(nmi_by_the_runner)
{
	handle(NMI, no_eoi);
	outb(PORT_NMI, 0);
	asm volatile("nop");
	CHECK_EQ(vector_count[NMI], 1);
}

/* ---- priorities ------------------------------------------------------------------------------ */

static int order[8], order_count;

static void note_order(struct frame *f)
{
	order[order_count++] = f->vector;
	apic_write(APIC_EOI, 0);
}

GUEST_IRQ_TEST(higher_vectors_go_first)
{
	static const int vectors[] = { 0x45, 0xe1, 0x31, 0x92 };

	enable();
	for (int i = 0; i < 4; i++) {
		handle(vectors[i], note_order);
		self_ipi(vectors[i]);
	}
	sti();
	asm volatile("nop; nop; nop; nop");
	cli();
	CHECK_EQ(order_count, 4);
	CHECK_EQ(order[0], 0xe1);
	CHECK_EQ(order[1], 0x92);
	CHECK_EQ(order[2], 0x45);
	CHECK_EQ(order[3], 0x31);
}

GUEST_IRQ_TEST(task_priority)
{
	enable();
	handle(0x4f, eoi);
	handle(0x51, eoi);
	apic_write(APIC_TPR, 0x40);
	CHECK_EQ(read_cr8(), 4);
	CHECK_EQ(apic_read(APIC_PPR), 0x40);
	self_ipi(0x4f);
	self_ipi(0x51);
	open_interrupts();
	CHECK_EQ(vector_count[0x51], 1);
	CHECK_EQ(vector_count[0x4f], 0);
	write_cr8(3);
	CHECK_EQ(apic_read(APIC_TPR), 0x30);
	open_interrupts();
	CHECK_EQ(vector_count[0x4f], 1);
	write_cr8(0);
}

GUEST_IRQ_TEST(cr8_holds_interrupts_off)
{
	enable();
	handle(0x61, eoi);
	write_cr8(15);
	self_ipi(0x61);
	sti();
	for (int i = 0; i < 100; i++)
		asm volatile("pause");
	CHECK_EQ(vector_count[0x61], 0);
	/* With interrupts on: it comes as soon as the priority allows. */
	write_cr8(0);
	asm volatile("nop");
	CHECK_EQ(vector_count[0x61], 1);
	cli();
}

static void nested(struct frame *f)
{
	(void)f;
	CHECK_EQ(apic_read(APIC_PPR), 0x50);
	self_ipi(0x42);
	self_ipi(0x71);
	sti();
	asm volatile("nop");
	cli();
	CHECK_EQ(vector_count[0x71], 1);
	CHECK_EQ(vector_count[0x42], 0);
	apic_write(APIC_EOI, 0);
}

GUEST_IRQ_TEST(handlers_nest_by_priority)
{
	enable();
	handle(0x50, nested);
	handle(0x42, eoi);
	handle(0x71, eoi);
	self_ipi(0x50);
	sti();
	asm volatile("nop; nop");
	cli();
	CHECK_EQ(vector_count[0x42], 1);
	CHECK_EQ(apic_read(APIC_PPR), 0);
}

/* ---- the timer ------------------------------------------------------------------------------- */

#define TRIES		10
#define MANY_TRIES	1000		/* on a host that has much else to do */

GUEST_IRQ_TEST(timer_once)
{
	enable();
	handle(0x50, eoi);
	apic_write(APIC_TDCR, 0xb);
	apic_write(APIC_LVTT, 0x50);
	apic_write(APIC_TMICT, 100000);
	while (!vector_count[0x50])
		sti_hlt();
	CHECK_EQ(apic_read(APIC_TMCCT), 0);
	for (int i = 0; i < 50; i++)
		cpuid(0, 0);
	open_interrupts();
	CHECK_EQ(vector_count[0x50], 1);
}

GUEST_IRQ_TEST(timer_again_and_again)
{
	enable();
	handle(0x50, eoi);
	apic_write(APIC_TDCR, 0xb);
	apic_write(APIC_LVTT, LVTT_PERIODIC | 0x50);
	apic_write(APIC_TMICT, 1000000);
	while (vector_count[0x50] < 4)
		sti_hlt();
	apic_write(APIC_TMICT, 0);
	CHECK_EQ(apic_read(APIC_TMCCT), 0);
}

GUEST_IRQ_TEST(timer_counts_down)
{
	u32 a, b, tries = 0;

	enable();
	handle(0x50, eoi);
	apic_write(APIC_TDCR, 0xb);
	apic_write(APIC_LVTT, LVT_MASKED | 0x50);
	do {	/* the host may do something else for seconds, but not each time */
		apic_write(APIC_TMICT, 0xf0000000);
		CHECK_EQ(apic_read(APIC_TMICT), 0xf0000000);
		a = apic_read(APIC_TMCCT);
		for (int i = 0; i < 20; i++)
			cpuid(0, 0);
		b = apic_read(APIC_TMCCT);
	} while (b <= 0x80000000 && ++tries < TRIES);
	CHECK(a < 0xf0000000 && b < a && b > 0x80000000);
	/* Slower by 128. */
	apic_write(APIC_TDCR, 0xa);
	CHECK_EQ(apic_read(APIC_TDCR), 0xa);
	/* Masked: nothing comes. */
	apic_write(APIC_TDCR, 0xb);
	apic_write(APIC_TMICT, 1);
	for (int i = 0; i < 50; i++)
		cpuid(0, 0);
	open_interrupts();
	CHECK_EQ(vector_count[0x50], 0);
}

static void use_deadlines(void (*handler)(struct frame *))
{
	if (!(cpuid(1, 0).c >> 24 & 1))
		skip("no TSC deadline timer in this CPU");
	enable();
	handle(0x50, handler);
	apic_write(APIC_LVTT, LVTT_DEADLINE | 0x50);
}

GUEST_IRQ_TEST(timer_by_tsc_deadline)
{
	u64 start;

	use_deadlines(eoi);
	start = rdtsc();
	wrmsr(MSR_TSC_DEADLINE, start + 1000000);
	CHECK(rdmsr(MSR_TSC_DEADLINE) == start + 1000000 || rdtsc() > start + 1000000);
	while (!vector_count[0x50])
		sti_hlt();
	CHECK(rdtsc() >= start + 1000000);
	CHECK_EQ(rdmsr(MSR_TSC_DEADLINE), 0);
	/* What is past comes at once; 0 takes it back. */
	wrmsr(MSR_TSC_DEADLINE, 1);
	for (int i = 0; i < 50 && vector_count[0x50] < 2; i++) {
		cpuid(0, 0);
		open_interrupts();
	}
	CHECK_EQ(vector_count[0x50], 2);
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + 10000000);
	wrmsr(MSR_TSC_DEADLINE, 0);
	CHECK_EQ(rdmsr(MSR_TSC_DEADLINE), 0);
	/* The counter isn't this mode's. */
	apic_write(APIC_TMICT, 1000);
	CHECK_EQ(apic_read(APIC_TMCCT), 0);
}

static volatile u64 came_at;

static void note_time(struct frame *f)
{
	(void)f;
	came_at = rdtsc();
	apic_write(APIC_EOI, 0);
}

static void wait_for(u32 count)
{
	while (vector_count[0x50] < count)
		sti_hlt();
}

/* Without an exit. */
static void run_until(u32 count)
{
	sti();
	while (vector_count[0x50] < count)
		;
	cli();
}

#define LATE_TICKS	300000		/* the best of them */

static void keep_deadlines(void (*wait)(u32 count))
{
	u64 deadline, least = ~0ul;

	use_deadlines(note_time);
	for (u32 i = 1; i <= TRIES || (least >= LATE_TICKS && i <= MANY_TRIES); i++) {
		deadline = rdtsc() + 50000 * (i % TRIES + 1);
		wrmsr(MSR_TSC_DEADLINE, deadline);
		wait(i);
		context("deadline %u: it came %ld ticks later", i, came_at - deadline);
		CHECK(came_at >= deadline);
		if (came_at - deadline < least)
			least = came_at - deadline;
	}
	CHECK(least < LATE_TICKS);
}

GUEST_IRQ_TEST(deadlines_are_kept)
{
	keep_deadlines(wait_for);
}

GUEST_IRQ_TEST(deadlines_are_kept_without_an_exit)
{
	keep_deadlines(run_until);
}

/* Halted when it is set, awake when it comes, and the other way round; each interrupt is one. */
GUEST_IRQ_TEST(timer_changes_hands)
{
	u64 start;

	use_deadlines(note_time);
	handle(0x51, eoi);
	for (u32 i = 1; i <= TRIES; i++) {
		start = rdtsc();
		wrmsr(MSR_TSC_DEADLINE, start + 400000);
		/* it is halted, and wakes, before */
		self_ipi(0x51);
		sti_hlt();
		CHECK_EQ(vector_count[0x51], i);
		run_until(i);
		CHECK(came_at >= start + 400000);
		CHECK_EQ(rdmsr(MSR_TSC_DEADLINE), 0);
	}
	/* the deadline comes while it takes no interrupts */
	start = rdtsc();
	wrmsr(MSR_TSC_DEADLINE, start + 100000);
	while (rdtsc() < start + 400000)
		;
	CHECK_EQ(vector_count[0x50], TRIES);
	wait_for(TRIES + 1);
	for (int i = 0; i < 50; i++)
		cpuid(0, 0);
	open_interrupts();
	CHECK_EQ(vector_count[0x50], TRIES + 1);
}

/* The timer's count, and the TSC at that time: of several, what took least. */
static u32 timer_count(u64 *tsc)
{
	u64 least = ~0ul, before, after;
	u32 count, best = 0;

	*tsc = 0;
	for (int i = 0; i < TRIES; i++) {
		before = rdtsc();
		count = apic_read(APIC_TMCCT);
		after = rdtsc();
		if (after - before >= least)
			continue;
		least = after - before;
		*tsc = before + least / 2;
		best = count;
	}
	return best;
}

#define SCALE	(1ul << 20)

/* How many ticks of the TSC that many of the timer's are. */
static u64 timer_rate(void)
{
	u64 start, end;
	u32 first, last;

	apic_write(APIC_LVTT, LVT_MASKED | 0x50);
	apic_write(APIC_TMICT, 0xffffffff);
	first = timer_count(&start);
	while (rdtsc() - start < 4000000)
		;
	last = timer_count(&end);
	return (end - start) * SCALE / (first - last);
}

/* The shortest time between two interrupts of a periodic timer. */
static u64 shortest_period(u64 enough)
{
	u64 last, least = ~0ul;

	wait_for(1);
	for (u32 i = 2; i <= 2 * TRIES || (least > enough && i <= MANY_TRIES); i++) {
		last = came_at;
		wait_for(i);
		if (came_at - last < least)
			least = came_at - last;
	}
	return least;
}

/* What the timer counts while it runs, and when it interrupts, are the same time. */
GUEST_IRQ_TEST(timer_keeps_time)
{
	const u64 count = 2000000;
	u64 rate, start, took, enough, least = ~0ul;

	enable();
	apic_write(APIC_TDCR, 0xb);
	rate = timer_rate();
	enough = count + LATE_TICKS * SCALE / rate;
	handle(0x50, note_time);
	apic_write(APIC_LVTT, 0x50);
	for (u32 i = 1; i <= TRIES || (least >= enough && i <= MANY_TRIES); i++) {
		start = rdtsc();
		apic_write(APIC_TMICT, count);
		wait_for(i);
		took = (came_at - start) * SCALE / rate;
		context("count %lu took %lu, try %u", count, took, i);
		CHECK(took >= count - count / 64);
		if (took < least)
			least = took;
	}
	CHECK(least < enough);
	/* Periods don't drift: each begins where the last one ended, however late its interrupt was. */
	handle(0x50, note_time);
	apic_write(APIC_LVTT, LVTT_PERIODIC | 0x50);
	start = rdtsc();
	apic_write(APIC_TMICT, count);
	took = shortest_period((count + count / 64) * rate / SCALE) * SCALE / rate;
	context("the shortest period of %lu took %lu", count, took);
	CHECK(took <= count + count / 64);
	/* none is lost, and none comes for nothing: as many as there was time for, at most */
	took = (came_at - start) * SCALE / rate;
	apic_write(APIC_TMICT, 0);
	context("%u periods of %lu took %lu", vector_count[0x50], count, took);
	CHECK(took >= vector_count[0x50] * count - count / 2);
}

/* ---- on, off, x2APIC ------------------------------------------------------------------------- */

GUEST_IRQ_TEST(off_by_the_base_msr)
{
	u64 base = rdmsr(MSR_APICBASE);

	CHECK_EQ(base, 0xfee00900);
	CHECK(cpuid(1, 0).d >> 9 & 1);
	wrmsr(MSR_APICBASE, base & ~APICBASE_ENABLE);
	CHECK(!(cpuid(1, 0).d >> 9 & 1));
	wrmsr(MSR_APICBASE, base);
	CHECK(cpuid(1, 0).d >> 9 & 1);
	CHECK_EQ(apic_read(APIC_SVR), 0xff);
}

static bool enter_x2apic(void)
{
	u64 value;

	if (has_x2apic()) {
		wrmsr(MSR_APICBASE, rdmsr(MSR_APICBASE) | APICBASE_X2APIC);
		return true;
	}
	CHECK_TRAP(try_wrmsr(MSR_APICBASE, rdmsr(MSR_APICBASE) | APICBASE_X2APIC), GP, 0);
	CHECK_TRAP(try_rdmsr(0x802, &value), GP, 0);
	return false;
}

#define X2APIC(reg)	(0x800 + (reg) / 16)

GUEST_IRQ_TEST(x2apic_registers)
{
	u64 value;

	enable();
	if (!has_x2apic())
		skip("no x2APIC in this CPU");
	CHECK_TRAP(try_rdmsr(X2APIC(APIC_ID), &value), GP, 0);
	enter_x2apic();
	CHECK_EQ(rdmsr(X2APIC(APIC_ID)), 0);
	CHECK_EQ(rdmsr(X2APIC(APIC_LDR)), 1);
	CHECK_EQ(rdmsr(X2APIC(APIC_SVR)), 0x1ff);
	wrmsr(X2APIC(APIC_TPR), 0x30);
	CHECK_EQ(read_cr8(), 3);
	wrmsr(X2APIC(APIC_TPR), 0);
	/* Read-only, write-only, not there. */
	CHECK_TRAP(try_wrmsr(X2APIC(APIC_ID), 0), GP, 0);
	CHECK_TRAP(try_wrmsr(X2APIC(APIC_LDR), 0), GP, 0);
	CHECK_TRAP(try_rdmsr(X2APIC(APIC_EOI), &value), GP, 0);
	CHECK_TRAP(try_rdmsr(X2APIC(APIC_DFR), &value), GP, 0);
	CHECK_TRAP(try_rdmsr(X2APIC(APIC_ICR2), &value), GP, 0);
	CHECK_TRAP(try_rdmsr(0x83f, &value), GP, 0);
}

GUEST_IRQ_TEST(x2apic_interrupts)
{
	enable();
	if (!enter_x2apic())
		skip("no x2APIC in this CPU");
	handle(0x44, no_eoi);
	wrmsr(0x83f, 0x44);
	CHECK_EQ(rdmsr(X2APIC(APIC_IRR) + 0x44 / 32), 1 << (0x44 % 32));
	open_interrupts();
	CHECK_EQ(vector_count[0x44], 1);
	wrmsr(X2APIC(APIC_EOI), 0);
	wrmsr(X2APIC(APIC_ICR), ICR_SELF | 0x44);
	open_interrupts();
	CHECK_EQ(vector_count[0x44], 2);
	wrmsr(X2APIC(APIC_EOI), 0);
	/* By destination: 0, then one that isn't there. */
	wrmsr(X2APIC(APIC_ICR), 0x44);
	open_interrupts();
	CHECK_EQ(vector_count[0x44], 3);
	wrmsr(X2APIC(APIC_EOI), 0);
	wrmsr(X2APIC(APIC_ICR), 9ul << 32 | 0x44);
	open_interrupts();
	CHECK_EQ(vector_count[0x44], 3);
}

/* "x2APIC State Transitions". */
GUEST_IRQ_TEST(x2apic_transitions)
{
	u64 base = rdmsr(MSR_APICBASE);

	if (!enter_x2apic())
		skip("no x2APIC in this CPU");
	CHECK_TRAP(try_wrmsr(MSR_APICBASE, base), GP, 0);
	CHECK_TRAP(try_wrmsr(MSR_APICBASE, base & ~APICBASE_ENABLE), NO_TRAP, 0);
	CHECK_TRAP(try_wrmsr(MSR_APICBASE, base | APICBASE_X2APIC), GP, 0);
	CHECK_TRAP(try_wrmsr(MSR_APICBASE, (base & ~APICBASE_ENABLE) | APICBASE_X2APIC), GP, 0);
	CHECK_TRAP(try_wrmsr(MSR_APICBASE, base), NO_TRAP, 0);
	CHECK_EQ(apic_read(APIC_VERSION) & 0xf0, 0x10);
}

/* ---- the I/O APIC ---------------------------------------------------------------------------- */

GUEST_IRQ_TEST(ioapic_registers)
{
	CHECK_EQ(ioapic_read(IOAPIC_VERSION) & 0xff, 0x11);
	CHECK_EQ(ioapic_read(IOAPIC_VERSION) >> 16, 23);
	for (int i = 0; i < 24; i++)
		CHECK_EQ(ioapic_read(IOAPIC_ENTRY(i)), IOAPIC_MASKED);
	ioapic_write(IOAPIC_ID, 0x05000000);
	CHECK_EQ(ioapic_read(IOAPIC_ID), 0x05000000);
	ioapic_set(7, IOAPIC_MASKED | IOAPIC_LEVEL | 0x77, 0x12000000);
	CHECK_EQ(ioapic_read(IOAPIC_ENTRY(7)), IOAPIC_MASKED | IOAPIC_LEVEL | 0x77);
	CHECK_EQ(ioapic_read(IOAPIC_ENTRY(7) + 1), 0x12000000);
	/* Delivery status and remote IRR are its own. */
	ioapic_write(IOAPIC_ENTRY(7), IOAPIC_MASKED | IOAPIC_REMOTE | 1 << 12 | 0x77);
	CHECK_EQ(ioapic_read(IOAPIC_ENTRY(7)), IOAPIC_MASKED | 0x77);
}

GUEST_IRQ_TEST(ioapic_edge)
{
	enable();
	handle(0x60, eoi);
	ioapic_set(5, 0x60, 0);
	raise_line(5);
	open_interrupts();
	CHECK_EQ(vector_count[0x60], 1);
	open_interrupts();
	CHECK_EQ(vector_count[0x60], 1);
	lower_line(5);
	raise_line(5);
	open_interrupts();
	CHECK_EQ(vector_count[0x60], 2);
	lower_line(5);
}

GUEST_IRQ_TEST(ioapic_level)
{
	enable();
	handle(0x60, no_eoi);
	ioapic_set(5, IOAPIC_LEVEL | 0x60, 0);
	raise_line(5);
	open_interrupts();
	CHECK_EQ(vector_count[0x60], 1);
	CHECK(apic_bit(APIC_TMR, 0x60));
	CHECK(ioapic_read(IOAPIC_ENTRY(5)) & IOAPIC_REMOTE);
	/* Still up when it ends: once more. */
	apic_write(APIC_EOI, 0);
	open_interrupts();
	CHECK_EQ(vector_count[0x60], 2);
	lower_line(5);
	apic_write(APIC_EOI, 0);
	open_interrupts();
	CHECK_EQ(vector_count[0x60], 2);
	CHECK(!(ioapic_read(IOAPIC_ENTRY(5)) & IOAPIC_REMOTE));
}

static void calm_line_5(struct frame *f)
{
	lower_line(5);
	eoi(f);
}

GUEST_IRQ_TEST(ioapic_mask)
{
	enable();
	handle(0x60, calm_line_5);
	ioapic_set(5, IOAPIC_MASKED | IOAPIC_LEVEL | 0x60, 0);
	raise_line(5);
	open_interrupts();
	CHECK_EQ(vector_count[0x60], 0);
	ioapic_write(IOAPIC_ENTRY(5), IOAPIC_LEVEL | 0x60);
	open_interrupts();
	CHECK_EQ(vector_count[0x60], 1);
}

GUEST_IRQ_TEST(ioapic_destinations)
{
	enable();
	handle(0x60, eoi);
	apic_write(APIC_LDR, 0x02000000);
	ioapic_set(5, 0x60, 3u << 24);
	raise_line(5);
	lower_line(5);
	open_interrupts();
	CHECK_EQ(vector_count[0x60], 0);
	ioapic_set(5, IOAPIC_LOGICAL | 0x60, 3u << 24);
	raise_line(5);
	lower_line(5);
	open_interrupts();
	CHECK_EQ(vector_count[0x60], 1);
	/* Lowest priority, of one. */
	ioapic_set(5, IOAPIC_LOGICAL | 0x100 | 0x60, 2u << 24);
	raise_line(5);
	lower_line(5);
	open_interrupts();
	CHECK_EQ(vector_count[0x60], 2);
}

GUEST_IRQ_TEST(ioapic_nmi)
{
	enable();
	handle(NMI, no_eoi);
	ioapic_set(5, ICR_NMI, 0);
	raise_line(5);
	asm volatile("nop");
	CHECK_EQ(vector_count[NMI], 1);
	lower_line(5);
}

/* Lines above the PICs'. */
GUEST_IRQ_TEST(ioapic_pins_beyond_the_pics)
{
	enable();
	handle(0x63, eoi);
	ioapic_set(23, 0x63, 0);
	raise_line(23);
	open_interrupts();
	CHECK_EQ(vector_count[0x63], 1);
}

/* On a PC the timer is on pin 2; by KVM's default routing every GSI is on the pin of its number. */
GUEST_IRQ_TEST(ioapic_timer_pin)
{
	enable();
	handle(0x62, eoi);
	ioapic_set(0, 0x62, 0);
	outb(0x43, 0x34);
	outb(0x40, 11932 & 0xff);
	outb(0x40, 11932 >> 8);
	while (vector_count[0x62] < 3)
		sti_hlt();
	ioapic_set(0, IOAPIC_MASKED, 0);
}

/* Both worlds at once: the PICs through LINT0 and an interrupt of the APIC's own. */
GUEST_IRQ_TEST(external_and_local_interrupts)
{
	enable();
	apic_write(APIC_LVT0, MODE_EXTINT);
	outb(PIC1, 0x11);
	outb(PIC1 + 1, 0x20);
	outb(PIC1 + 1, 4);
	outb(PIC1 + 1, 3);
	outb(PIC1 + 1, 0xdf);
	handle(0x25, no_eoi);
	handle(0x48, eoi);
	self_ipi(0x48);
	raise_line(5);
	sti();
	asm volatile("nop; nop; nop");
	cli();
	CHECK_EQ(vector_count[0x25], 1);
	CHECK_EQ(vector_count[0x48], 1);
}

GUEST_IRQ_TEST(lint0_masked_keeps_the_pics_out)
{
	enable();
	outb(PIC1, 0x11);
	outb(PIC1 + 1, 0x20);
	outb(PIC1 + 1, 4);
	outb(PIC1 + 1, 3);
	outb(PIC1 + 1, 0xdf);
	handle(0x25, no_eoi);
	raise_line(5);
	open_interrupts();
	CHECK_EQ(vector_count[0x25], 0);
	apic_write(APIC_LVT0, MODE_EXTINT);
	/* KVM looks again only when something else comes up. */
	handle(0x48, eoi);
	self_ipi(0x48);
	sti();
	asm volatile("nop; nop");
	cli();
	CHECK_EQ(vector_count[0x25], 1);
}
