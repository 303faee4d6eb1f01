// SPDX-License-Identifier: GPL-2.0
/*
 * What one operation costs, measured by the guest that does it: each of these is a virtual machine
 * of its own. A batch is short enough to lie between two ticks of the host's clock; the best one
 * counts.
 */
#include "guest.h"
#include "report.h"

#define BATCHES		12
#define EMPTY		4

static void mark(u32 what)
{
	outl(PORT_MARK, what);
}

static void report_ticks(u64 ticks)
{
	outl(PORT_TICKS, ticks);
	outl(PORT_TICKS, ticks >> 32);
}

static void report_batch(u64 ticks)
{
	mark(MARK_END);
	report_ticks(ticks);
}

static void begin_report(u32 iterations)
{
	outl(PORT_COUNT, iterations);
	for (int i = 0; i < EMPTY; i++) {
		mark(MARK_BEGIN);
		mark(MARK_NOTHING);
	}
}

#define MEASURE(iterations, operation)					\
	do {								\
		begin_report(iterations);				\
		for (int batch_ = 0; batch_ < BATCHES; batch_++) {	\
			u64 start_;					\
									\
			mark(MARK_BEGIN);				\
			start_ = rdtsc();				\
			for (u64 i = 0; i < (iterations); i++) {	\
				operation;				\
			}						\
			report_batch(rdtsc() - start_);			\
		}							\
	} while (0)

/* ---- single exits ---------------------------------------------------------------------------- */

GUEST_TEST(cpuid)
{
	MEASURE(50, cpuid(0, 0));
}

GUEST_TEST(rdmsr_apic_base)
{
	MEASURE(50, rdmsr(MSR_APICBASE));
}

GUEST_TEST(wrmsr_tsc_aux)
{
	if (!(cpuid(0x80000001, 0).d >> 27 & 1))
		skip("no RDTSCP in this CPU");
	MEASURE(50, wrmsr(MSR_TSC_AUX, i));
}

GUEST_TEST(cr0_write_am)
{
	u64 cr0 = read_cr0();

	MEASURE(50, write_cr0(cr0 ^ (i & 1 ? CR0_AM : 0)));
}

GUEST_TEST(cr0_write_ts)
{
	u64 cr0 = read_cr0();

	MEASURE(50, write_cr0(cr0 ^ (i & 1 ? CR0_TS : 0)));
}

GUEST_TEST(cr4_write_pge)
{
	u64 cr4 = read_cr4();

	MEASURE(50, write_cr4(cr4 ^ (i & 1 ? CR4_PGE : 0)));
}

GUEST_TEST(cr4_write_mce)
{
	u64 cr4 = read_cr4();

	MEASURE(20, write_cr4(cr4 ^ (i & 1 ? 1 << 6 : 0)));
}

GUEST_TEST(cr8_write)
{
	MEASURE(50, write_cr8(0));
}

GUEST_TEST(xsetbv)
{
	if (!(cpuid(1, 0).c >> 26 & 1))
		skip("no XSAVE in this CPU");
	write_cr4(read_cr4() | CR4_OSXSAVE);
	MEASURE(50, asm volatile("xsetbv" : : "a"(i & 1 ? 3 : 1), "d"(0), "c"(0)));
}

GUEST_TEST(wbinvd)
{
	MEASURE(50, asm volatile("wbinvd"));
}

/* Those of a loop that waits, of which the CPU lets many pass before one exits. */
GUEST_TEST(pause)
{
	MEASURE(20000, asm volatile("pause"));
}

GUEST_TEST(exception_ud)
{
	MEASURE(50, CATCH("ud2"));
}

/*
 * An interrupt of the host's: a gap in a loop that does nothing but look at the time, the shortest of
 * many. Its floor is the same in a program of the host's.
 */
GUEST_TEST(external_interrupt)
{
	u64 last, now, best = ~0ul;

	sti();		/* see SPIN in tests/selftests/lib/guest.h */
	last = rdtsc();
	for (int seen = 0; seen < 24; last = now) {
		now = rdtsc();
		if (now - last < 200)
			continue;
		seen++;
		if (now - last < best)
			best = now - last;
	}
	for (int batch = 0; batch < 3; batch++)		/* the first ones don't count */
		report_ticks(best);
}

/* ---- with interrupt chips in the kernel ------------------------------------------------------ */

#define APIC		0xfee00000ul
#define APIC_ID		0x20
#define APIC_TPR	0x80
#define APIC_EOI	0xb0
#define APIC_SVR	0xf0
#define APIC_ICR	0x300
#define APIC_ICR2	0x310
#define APIC_TIMER	0x320
#define APIC_INITIAL	0x380
#define APIC_CURRENT	0x390
#define ICR_SELF	(1 << 18)

static volatile u32 *apic(u32 reg)
{
	return (volatile u32 *)(APIC + reg);
}

static void on_irq(struct frame *f)
{
	(void)f;
	*apic(APIC_EOI) = 0;
}

GUEST_IRQ_TEST(apic_read)
{
	MEASURE(50, (void)*apic(APIC_ID));
}

GUEST_IRQ_TEST(apic_write_tpr)
{
	MEASURE(50, *apic(APIC_TPR) = 0);
}

GUEST_IRQ_TEST(apic_eoi)
{
	MEASURE(50, *apic(APIC_EOI) = 0);
}

/* To an APIC that isn't there. */
GUEST_IRQ_TEST(apic_icr_write)
{
	*apic(APIC_ICR2) = 0x3eu << 24;
	MEASURE(50, *apic(APIC_ICR) = 0x40);
}

GUEST_IRQ_TEST(apic_timer_read)
{
	*apic(APIC_SVR) = 0x1ff;
	*apic(APIC_TIMER) = 0x10040;
	*apic(APIC_INITIAL) = 1 << 30;
	MEASURE(30, (void)*apic(APIC_CURRENT));
}

/* To itself, through the handler, to the end of the interrupt. */
GUEST_IRQ_TEST(self_ipi)
{
	handle(0x40, on_irq);
	*apic(APIC_SVR) = 0x1ff;
	sti();
	MEASURE(20, *apic(APIC_ICR) = ICR_SELF | 0x40);
	cli();
}

GUEST_IRQ_TEST(x2apic_self_ipi)
{
	if (!has_x2apic())
		skip("no x2APIC in this CPU");
	wrmsr(MSR_APICBASE, rdmsr(MSR_APICBASE) | 0x400);
	wrmsr(0x80f, 0x1ff);
	MEASURE(20, wrmsr(0x83f, 0x40));
}

static void on_x2apic_irq(struct frame *f)
{
	(void)f;
	wrmsr(0x80b, 0);
}

static void x2apic_on(void)
{
	if (!has_x2apic())
		skip("no x2APIC in this CPU");
	wrmsr(MSR_APICBASE, rdmsr(MSR_APICBASE) | 0x400);
	wrmsr(0x80f, 0x1ff);
	handle(0x40, on_x2apic_irq);
}

GUEST_IRQ_TEST(x2apic_eoi)
{
	x2apic_on();
	MEASURE(50, wrmsr(0x80b, 0));
}

GUEST_IRQ_TEST(x2apic_icr_write)
{
	x2apic_on();
	MEASURE(50, wrmsr(0x830, 0x3eul << 32 | 0x40));
}

GUEST_IRQ_TEST(x2apic_read)
{
	x2apic_on();
	MEASURE(50, rdmsr(0x802));
}

/* From the write of the least count to the end of its interrupt. */
GUEST_IRQ_TEST(x2apic_timer_interrupt)
{
	x2apic_on();
	wrmsr(0x83e, 0xb);
	wrmsr(0x832, 0x40);
	sti();
	MEASURE(20, {
		u32 count = vector_count[0x40];

		wrmsr(0x838, 1);
		while (vector_count[0x40] == count)
			;
	});
	cli();
}

GUEST_IRQ_TEST(pit_read)
{
	MEASURE(30, inb(0x40));
}

/* ---- address spaces -------------------------------------------------------------------------- */

#define WINDOW	0x40000000000ul
#define A_AND_D	(1ul << 5 | 1ul << 6)

/* An address space whose window has tables of its own, which map 8 pages that all spaces share. */
static u64 make_space(u64 *const pages[8])
{
	u64 first = read_cr3(), *root = new_table();

	for (int i = 0; i < 512; i++)
		root[i] = i == (int)(WINDOW >> 39 & 511) ? 0 : root_table()[i];
	write_cr3((u64)root);
	for (u64 i = 0; i < 8; i++)
		map_at(WINDOW + i * PAGE, (u64)pages[i], 1, PTE_W);
	write_cr3(first);
	return (u64)root;
}

/* A switch and a read of 8 pages, as processes make it in turn. */
static void switch_among(u64 count)
{
	u64 roots[64], *pages[8], turn = 0, first = read_cr3();

	for (int i = 0; i < 8; i++)
		pages[i] = new_page();
	for (u64 i = 0; i < count; i++)
		roots[i] = make_space(pages);
	MEASURE(count, {
		write_cr3(roots[turn++ % count]);
		for (u64 k = 0; k < 8; k++)
			(void)*(volatile u64 *)(WINDOW + k * PAGE);
	});
	CHECK_EQ(*entry_at(WINDOW, 1) & A_AND_D, 1 << 5);
	write_cr3(first);
}

GUEST_TEST(cr3_switch_of_2_and_8_pages) { switch_among(2); }
GUEST_TEST(cr3_switch_of_8_and_8_pages) { switch_among(8); }
GUEST_TEST(cr3_switch_of_64_and_8_pages) { switch_among(64); }

GUEST_TEST(map_touch_unmap_page)
{
	volatile u64 *pte = map_at(WINDOW, (u64)new_page(), 1, PTE_W);
	u64 value = *pte;

	CHECK(!(value & A_AND_D));
	MEASURE(12, {
		*pte = value;
		*(volatile u64 *)WINDOW = 1;
		*pte = 0;
		invlpg((void *)WINDOW);
	});
	*pte = value;
	*(volatile u64 *)WINDOW = 1;
	CHECK_EQ(*pte, value | A_AND_D);
}

/* The guest's own page fault, whose handler maps the page. */
static volatile u64 *fault_pte;
static u64 fault_value;

static void on_page_fault(struct frame *f)
{
	(void)f;
	*fault_pte = fault_value;
}

GUEST_TEST(demand_fault)
{
	fault_pte = map_at(WINDOW, (u64)new_page(), 1, PTE_W);
	fault_value = *fault_pte;
	CHECK(!(fault_value & A_AND_D));
	handle(PF, on_page_fault);
	MEASURE(12, {
		*fault_pte = 0;
		invlpg((void *)WINDOW);
		*(volatile u64 *)WINDOW = 1;
	});
	CHECK_EQ(*fault_pte, fault_value | A_AND_D);
}

/* The same on pages that the hypervisor hasn't mapped yet, though the host has them. */
GUEST_TEST(demand_fault_of_a_new_page)
{
	u64 next = FRESH_MEMORY, last = FRESH_MEMORY;

	fault_pte = map_at(WINDOW, next, 1, PTE_W);
	handle(PF, on_page_fault);
	MEASURE(64, {
		last = next;
		fault_value = last | PTE_P | PTE_W;
		next += PAGE;
		*fault_pte = 0;
		invlpg((void *)WINDOW);
		*(volatile u64 *)WINDOW = 1;
	});
	CHECK(next <= FRESH_MEMORY + FRESH_SIZE);
	CHECK_EQ(*fault_pte, last | PTE_P | PTE_W | A_AND_D);
}

static u64 *some_pages[8];

static u64 entry_of(u64 k)
{
	return (u64)some_pages[k & 7] | PTE_P | PTE_W;
}

static void fill(volatile u64 *pt)
{
	for (u64 k = 0; k < 512; k++)
		pt[k] = entry_of(k);
}

/* pt is the window's table, all of which is read or written; the entries tell. */
static void check_table(volatile u64 *pt, u64 bits)
{
	for (u64 k = 0; k < 512; k++)
		CHECK_EQ(pt[k], entry_of(k) | bits);
}

static volatile u64 *window_table(void)
{
	for (int i = 0; i < 8; i++)
		some_pages[i] = new_page();
	return entry_at(WINDOW, 1);
}

GUEST_TEST(fill_512_ptes_touch_clear)
{
	volatile u64 *pt = window_table();

	MEASURE(1, {
		fill(pt);
		for (u64 k = 0; k < 512; k++)
			(void)*(volatile u64 *)(WINDOW + k * PAGE);
		for (u64 k = 0; k < 512; k++)
			pt[k] = 0;
		write_cr3(read_cr3());
	});
	fill(pt);
	for (u64 k = 0; k < 512; k++)
		(void)*(volatile u64 *)(WINDOW + k * PAGE);
	check_table(pt, 1 << 5);
}

/* As after a fork: all is made read-only, and each write that follows faults and is given its W. */
static void on_write_fault(struct frame *f)
{
	u64 at = read_cr2();

	(void)f;
	fault_pte[(at - WINDOW) / PAGE] |= PTE_W;
	invlpg((void *)at);
}

GUEST_TEST(fork_512_ptes_and_write_64)
{
	volatile u64 *pt = window_table();

	fault_pte = pt;
	handle(PF, on_write_fault);
	fill(pt);
	for (u64 k = 0; k < 512; k++)
		*(volatile u64 *)(WINDOW + k * PAGE) = 1;
	MEASURE(1, {
		for (u64 k = 0; k < 512; k++)
			pt[k] &= ~PTE_W;
		write_cr3(read_cr3());
		for (u64 k = 0; k < 512; k += 8)
			*(volatile u64 *)(WINDOW + k * PAGE) = 1;
	});
	for (u64 k = 0; k < 512; k++)
		CHECK_EQ(pt[k], (entry_of(k) & (k & 7 ? ~PTE_W : ~0ul)) | A_AND_D);
}

/* As an exec: the tables of a process are cleared, taken out, and used for something else. */
GUEST_TEST(teardown_of_512_ptes)
{
	u64 *pages[2] = { new_page(), new_page() }, turn = 0;
	volatile u64 *pt, *pde = entry_at(WINDOW, 2);

	window_table();
	MEASURE(1, {
		pt = pages[turn++ & 1];
		fill(pt);
		*pde = (u64)pt | PTE_P | PTE_W | PTE_U;
		for (u64 k = 0; k < 512; k++)
			*(volatile u64 *)(WINDOW + k * PAGE) = 1;
		for (u64 k = 0; k < 512; k++)
			pt[k] = 0;
		*pde = 0;
		write_cr3(read_cr3());
		for (u64 k = 0; k < 512; k++)
			pt[k] = k << 8;		/* data, in what was a table */
	});
}

/* Rights go and come back, with what flushes one page. */
GUEST_TEST(mprotect_and_write_page)
{
	volatile u64 *pte = map_at(WINDOW, (u64)new_page(), 1, PTE_W);

	MEASURE(12, {
		*pte &= ~PTE_W;
		invlpg((void *)WINDOW);
		(void)*(volatile u64 *)WINDOW;
		*pte |= PTE_W;
		invlpg((void *)WINDOW);
		*(volatile u64 *)WINDOW = 1;
	});
	CHECK_EQ(*pte & A_AND_D, A_AND_D);
}
