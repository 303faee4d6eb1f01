/* SPDX-License-Identifier: GPL-2.0 */
/* The interrupt chips of a PC. */
#ifndef GUESTS_APIC_H
#define GUESTS_APIC_H

#include "guest.h"

#define APIC_ID		0x20
#define APIC_VERSION	0x30
#define APIC_TPR	0x80
#define APIC_PPR	0xa0
#define APIC_EOI	0xb0
#define APIC_LDR	0xd0
#define APIC_DFR	0xe0
#define APIC_SVR	0xf0
#define APIC_ISR	0x100
#define APIC_TMR	0x180
#define APIC_IRR	0x200
#define APIC_ESR	0x280
#define APIC_ICR	0x300
#define APIC_ICR2	0x310
#define APIC_LVTT	0x320
#define APIC_LVT0	0x350
#define APIC_LVT1	0x360
#define APIC_LVTERR	0x370
#define APIC_TMICT	0x380
#define APIC_TMCCT	0x390
#define APIC_TDCR	0x3e0

#define SVR_ENABLED	0x100
#define LVT_MASKED	0x10000
#define LVTT_PERIODIC	0x20000
#define LVTT_DEADLINE	0x40000
#define ICR_SELF	0x40000
#define ICR_NMI		0x400
#define MODE_EXTINT	0x700

#define APICBASE_ENABLE	(1ul << 11)
#define APICBASE_X2APIC	(1ul << 10)

static inline u32 apic_read(u32 reg)
{
	return *(volatile u32 *)(0xfee00000ul + reg);
}

static inline void apic_write(u32 reg, u32 v)
{
	*(volatile u32 *)(0xfee00000ul + reg) = v;
}

/* One of the 256 bits of ISR, TMR or IRR. */
static inline bool apic_bit(u32 reg, int vector)
{
	return apic_read(reg + vector / 32 * 0x10) >> (vector % 32) & 1;
}

#define IOAPIC_ID	0
#define IOAPIC_VERSION	1
#define IOAPIC_ENTRY(n)	(0x10 + 2 * (n))
#define IOAPIC_LEVEL	0x8000
#define IOAPIC_REMOTE	0x4000
#define IOAPIC_LOGICAL	0x800
#define IOAPIC_LOW	0x2000
#define IOAPIC_MASKED	0x10000

static inline u32 ioapic_read(u32 reg)
{
	*(volatile u32 *)0xfec00000ul = reg;
	return *(volatile u32 *)0xfec00010ul;
}

static inline void ioapic_write(u32 reg, u32 v)
{
	*(volatile u32 *)0xfec00000ul = reg;
	*(volatile u32 *)0xfec00010ul = v;
}

static inline void ioapic_set(int pin, u32 low, u32 high)
{
	ioapic_write(IOAPIC_ENTRY(pin), IOAPIC_MASKED);
	ioapic_write(IOAPIC_ENTRY(pin) + 1, high);
	ioapic_write(IOAPIC_ENTRY(pin), low);
}

#define PIC1	0x20
#define PIC2	0xa0
#define PIC_EOI	0x20
#define ELCR	0x4d0

static inline void raise_line(u8 gsi) { outb(PORT_IRQ, gsi | IRQ_RAISE); }
static inline void lower_line(u8 gsi) { outb(PORT_IRQ, gsi); }

#endif
