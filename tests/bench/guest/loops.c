// SPDX-License-Identifier: GPL-2.0
/*
 * What one operation costs, measured by the guest that does it: each of these is a virtual machine
 * of its own. A batch is short enough to lie between two ticks of the host's clock; the best one
 * counts.
 */
#include "guest.h"
#include "report.h"

#define BATCHES		12

static void report(u64 ticks)
{
	outl(PORT_TICKS, ticks);
	outl(PORT_TICKS, ticks >> 32);
}

/* The best batch's average, rounded; the first batches warm up. */
#define MEASURE(iterations, operation)					\
	do {								\
		u64 best_ = ~0ul;					\
									\
		for (int batch_ = 0; batch_ < BATCHES; batch_++) {	\
			u64 start_ = rdtsc(), ticks_;			\
									\
			for (u64 i = 0; i < (iterations); i++) {	\
				operation;				\
			}						\
			ticks_ = rdtsc() - start_;			\
			if (batch_ >= 2 && ticks_ < best_)		\
				best_ = ticks_;				\
		}							\
		report((best_ + (iterations) / 2) / (iterations));	\
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

GUEST_TEST(wbinvd)
{
	MEASURE(50, asm volatile("wbinvd"));
}

GUEST_TEST(exception_ud)
{
	MEASURE(50, CATCH("ud2"));
}

/* ---- with interrupt chips in the kernel ------------------------------------------------------ */

#define APIC		0xfee00000ul
#define APIC_ID		0x20
#define APIC_TPR	0x80
#define APIC_EOI	0xb0
#define APIC_SVR	0xf0
#define APIC_ICR	0x300
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

static u64 *second_space(void)
{
	u64 *root = new_table();

	for (int i = 0; i < 512; i++)
		root[i] = root_table()[i];
	return root;
}

/* A switch and a read of 8 pages, as two processes make it. */
GUEST_TEST(cr3_switch_and_8_pages)
{
	u64 roots[2] = { read_cr3(), (u64)second_space() };

	for (u64 i = 0; i < 8; i++)
		map_at(WINDOW + i * PAGE, (u64)new_page(), 1, PTE_W);
	((u64 *)roots[1])[WINDOW >> 39 & 511] = root_table()[WINDOW >> 39 & 511];
	MEASURE(20, {
		write_cr3(roots[i & 1]);
		for (u64 k = 0; k < 8; k++)
			(void)*(volatile u64 *)(WINDOW + k * PAGE);
	});
}

GUEST_TEST(map_touch_unmap_page)
{
	volatile u64 *pte = map_at(WINDOW, (u64)new_page(), 1, PTE_W);
	u64 value = *pte;

	MEASURE(12, {
		*pte = value;
		*(volatile u64 *)WINDOW = 1;
		*pte = 0;
		invlpg((void *)WINDOW);
	});
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
	handle(PF, on_page_fault);
	MEASURE(12, {
		*fault_pte = 0;
		invlpg((void *)WINDOW);
		*(volatile u64 *)WINDOW = 1;
	});
}

GUEST_TEST(fill_512_ptes_touch_clear)
{
	volatile u64 *pt = entry_at(WINDOW, 1);
	u64 *pages[8];

	for (int i = 0; i < 8; i++)
		pages[i] = new_page();
	MEASURE(1, {
		for (u64 k = 0; k < 512; k++)
			pt[k] = (u64)pages[k & 7] | PTE_P | PTE_W;
		for (u64 k = 0; k < 512; k++)
			(void)*(volatile u64 *)(WINDOW + k * PAGE);
		for (u64 k = 0; k < 512; k++)
			pt[k] = 0;
		write_cr3(read_cr3());
	});
}
