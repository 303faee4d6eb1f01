/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The interrupt chips, among themselves. The way of an interrupt:
 *
 *	irq_set_line()   routing.c  a GSI, to the pins it is routed to, or a message
 *	  pic_set_line()     pic.c      a request; LINT0 of a local APIC in ExtINT mode takes it
 *	  ioapic_set_line()  ioapic.c   a redirection entry makes a message of it
 *	ICR                  lapic.c    so does a write to the ICR
 *	irq_send_msi()       routing.c  and SIGNAL_MSI, or an irqfd (eventfd.c) with such a route
 *	  irq_deliver()      deliver.c  the local APICs that a message is for
 *	LVT entries          lapic.c    and what a local APIC makes of its own: timer.c, errors
 *	  IRR, then irq_pending() and irq_acknowledge() by the vCPU, on its way into the guest
 *
 * Locks. pic->lock and ioapic->lock are raw and taken with interrupts off: IRQ_LINE takes them from
 * any thread, port and MMIO accesses from vCPUs, the PIT's timer in hard interrupt context. Neither
 * is taken inside the other, and both inside of eventfds' locks. pit->lock is never taken by the
 * timer's callback, so the timer can be cancelled under it. The table of routes is read under
 * vm->srcu, in any context, and replaced under vm->lock. vm->irqfds_lock is taken inside of
 * eventfds' locks, and nothing inside of it.
 * A local APIC has no lock. Anyone sets bits of IRR (where the CPU delivers by itself: of what is
 * posted for it) and TMR, of events and errors, all atomically;
 * the rest is its vCPU's thread's. Others read, one word each and ready for any value: the
 * LDR, DFR, SVR, PPR and LVT0, and vcpu->apic_base.
 */
#ifndef MINIVMM_IRQ_H
#define MINIVMM_IRQ_H

#include <linux/atomic.h>
#include <linux/bitops.h>
#include <linux/bits.h>
#include <linux/cache.h>
#include <linux/hrtimer.h>

#include "minivmm.h"

/* A guest that asks for ticks more often gets them this often: the host must live. KVM's limit. */
#define MIN_TIMER_PERIOD_NS	200000

/* ---- messages to local APICs: deliver.c ------------------------------------------------------ */

enum delivery_mode {	/* the encoding in ICR, LVT entries, redirection entries and MSI data */
	DM_FIXED = 0,
	DM_LOWEST = 1,
	DM_SMI = 2,
	DM_REMOTE_READ = 3,
	DM_NMI = 4,
	DM_INIT = 5,
	DM_STARTUP = 6,
	DM_EXTINT = 7,
};

enum shorthand {	/* the encoding in the ICR */
	TO_DEST = 0,
	TO_SELF = 1,
	TO_ALL = 2,
	TO_OTHERS = 3,
};

#define DEST_ALL	0xffffffffu	/* what senders make of their "broadcast" */

struct irq_msg {
	u32 dest;		/* APIC id, or with logical a set of them; unless shorthand */
	u8 vector;
	u8 mode;		/* enum delivery_mode */
	u8 shorthand;		/* enum shorthand */
	bool logical;
	bool level;		/* trigger mode */
	bool assert;		/* level messages: begin or end */
};

int irq_deliver(struct vm *vm, struct lapic *src, const struct irq_msg *msg);

/* A destination as 8 bits of an I/O APIC, an MSI or an xAPIC's ICR give it. */
static inline u32 dest_from_8bit(u8 dest)
{
	return dest == 0xff ? DEST_ALL : dest;
}

/* ---- local APIC: lapic.c, timer.c ------------------------------------------------------------ */

enum lapic_reg {	/* offsets in the page; in x2APIC mode, MSR 0x800 + offset / 16 */
	LAPIC_ID = 0x020,
	LAPIC_VERSION = 0x030,
	LAPIC_TPR = 0x080,
	LAPIC_APR = 0x090,
	LAPIC_PPR = 0x0a0,
	LAPIC_EOI = 0x0b0,
	LAPIC_LDR = 0x0d0,
	LAPIC_DFR = 0x0e0,
	LAPIC_SVR = 0x0f0,
	LAPIC_ISR = 0x100,	/* 8 registers of 32 vectors each, so are TMR and IRR */
	LAPIC_TMR = 0x180,
	LAPIC_IRR = 0x200,
	LAPIC_ESR = 0x280,
	LAPIC_ICR = 0x300,
	LAPIC_ICR2 = 0x310,
	LAPIC_LVT_TIMER = 0x320,
	LAPIC_LVT_THERMAL = 0x330,
	LAPIC_LVT_PERF = 0x340,
	LAPIC_LVT_LINT0 = 0x350,
	LAPIC_LVT_LINT1 = 0x360,
	LAPIC_LVT_ERROR = 0x370,
	LAPIC_TIMER_INITIAL = 0x380,
	LAPIC_TIMER_CURRENT = 0x390,
	LAPIC_TIMER_DIVIDE = 0x3e0,
	LAPIC_SELF_IPI = 0x3f0,	/* x2APIC only */
};

#define VECTOR_BITMAP_STEP	0x10	/* between the registers of a bitmap */
#define VECTOR_WORDS		8
#define FIRST_LEGAL_VECTOR	16

#define SVR_ENABLED		BIT(8)
#define SVR_WRITABLE		GENMASK(9, 0)

#define LVT_VECTOR		GENMASK(7, 0)
#define LVT_MODE		GENMASK(10, 8)
#define LVT_POLARITY		BIT(13)
#define LVT_LEVEL		BIT(15)
#define LVT_READ_ONLY		(BIT(14) | BIT(12))	/* remote IRR, delivery status */
#define LVT_MASKED		BIT(16)
#define LVT_TIMER_MODE		GENMASK(18, 17)
#define TIMER_ONESHOT		(0 << 17)
#define TIMER_PERIODIC		(1 << 17)
#define TIMER_DEADLINE		(2 << 17)

#define ESR_SEND_ILLEGAL_VECTOR	5	/* bit numbers */
#define ESR_RECV_ILLEGAL_VECTOR	6
#define ESR_ILLEGAL_REGISTER	7

#define APIC_BASE_BSP		BIT(8)
#define APIC_BASE_X2APIC	BIT(10)
#define APIC_BASE_ENABLE	BIT(11)
#define APIC_BASE_MODE		(APIC_BASE_X2APIC | APIC_BASE_ENABLE)

enum lapic_event { EVENT_INIT, EVENT_SIPI };	/* bits of lapic->events */

struct lapic_timer {
	struct hrtimer hrtimer;
	atomic_t pending;	/* set by the hrtimer; the vCPU makes an interrupt of it */
	/* these two only change while the hrtimer is stopped: its callback reads them */
	u32 mode;		/* TIMER_* */
	u64 interval;		/* ns between a periodic timer's interrupts */
	u64 start;		/* when the count was last at its initial value: ns, monotonic */
	u64 period;		/* ns from the initial count to 0; 0 = stopped */
	u64 deadline;		/* guest TSC; 0 = disarmed */
};

struct lapic {
	struct vcpu *vcpu;
	void *regs;		/* a page, laid out as the guest sees it */
	unsigned int hw;	/* HW_APIC_*: what the CPU does in the page by itself */
	union {			/* a byte for each word of IRR; 0: it is empty for sure */
		u8 irr_maybe[VECTOR_WORDS];
		u64 irr_maybe_any;
	};
	unsigned long posted[256 / BITS_PER_LONG];	/* with HW_APIC_DELIVERY: on the way to IRR */
	int isr_top;		/* highest vector in service, -1 = none */
	unsigned long events;	/* bits: enum lapic_event */
	u8 sipi_vector;		/* of EVENT_SIPI */
	u8 ended_vector;	/* of REQ_EOI_EXIT */
	unsigned long errors;	/* for the ESR, since the guest last wrote it */
	struct lapic_timer timer;
};

static inline u32 lapic_reg(const struct lapic *apic, u32 reg)
{
	return READ_ONCE(*(u32 *)(apic->regs + reg));
}

static inline void lapic_set_reg(struct lapic *apic, u32 reg, u32 value)
{
	WRITE_ONCE(*(u32 *)(apic->regs + reg), value);
}

/* IRR, ISR, TMR: the word of a vector, for the kernel's bit operations; its bit is vector % 32. */
static inline unsigned long *vector_word(struct lapic *apic, u32 reg, u8 vector)
{
	return apic->regs + reg + vector / 32 * VECTOR_BITMAP_STEP;
}

static inline bool lapic_test_vector(struct lapic *apic, u32 reg, u8 vector)
{
	return test_bit(vector % 32, vector_word(apic, reg, vector));
}

static inline u64 apic_base(const struct vcpu *vcpu)
{
	return READ_ONCE(vcpu->apic_base);
}

static inline bool lapic_hw_enabled(const struct lapic *apic)
{
	return apic_base(apic->vcpu) & APIC_BASE_ENABLE;
}

static inline bool lapic_is_x2apic(const struct lapic *apic)
{
	return (apic_base(apic->vcpu) & APIC_BASE_MODE) == APIC_BASE_MODE;
}

/* IRR and ISR are the CPU's while the guest runs. */
static inline bool lapic_is_delivered(const struct lapic *apic)
{
	return apic->hw & HW_APIC_DELIVERY;
}

/* By the global flag and by the guest's spurious-interrupt vector register. */
static inline bool lapic_enabled(const struct lapic *apic)
{
	return lapic_hw_enabled(apic) && (lapic_reg(apic, LAPIC_SVR) & SVR_ENABLED);
}

int lapic_accept(struct lapic *apic, struct lapic *src, const struct irq_msg *msg);
void lapic_get_state(struct lapic *apic, struct minivmm_lapic_state *state);
void lapic_set_state(struct lapic *apic, const struct minivmm_lapic_state *state);
bool lapic_accepts_extint(const struct lapic *apic);
void lapic_error(struct lapic *apic, int esr_bit);
void lapic_timer_interrupt(struct lapic *apic);
void lapic_pit_tick(struct lapic *apic);
int lapic_deliverable(struct lapic *apic);
int lapic_acknowledge(struct lapic *apic);

void timer_init(struct lapic *apic);
void timer_stop(struct lapic *apic);
void timer_reset(struct lapic *apic);
void timer_set_initial(struct lapic *apic, u32 count);
u32 timer_current(struct lapic *apic);
void timer_set_divide(struct lapic *apic, u32 divide);
void timer_set_mode(struct lapic *apic, u32 mode);
u64 timer_deadline(struct lapic *apic);
void timer_set_deadline(struct lapic *apic, u64 deadline);
void timer_deliver(struct lapic *apic);
void timer_restore(struct lapic *apic, u32 count);

/* ---- lines ----------------------------------------------------------------------------------- */

/* Who drives a line: its level is the OR of all of them. */
enum irq_source { SOURCE_USER, SOURCE_PIT, SOURCE_RESAMPLE };

enum irqchip_id { IRQCHIP_MASTER, IRQCHIP_SLAVE, IRQCHIP_IOAPIC, NR_IRQCHIPS };	/* the ABI's */

#define TICK_GSI	0		/* the PIT's channel 0 */

#define MAX_ROUTES		4096		/* GSIs, and entries of a table: as KVM's */

int irq_set_source(struct vm *vm, u32 gsi, enum irq_source source, int level);
int irq_send_msi(struct vm *vm, u32 address, u32 data);
bool irq_leads_to(struct vm *vm, u32 gsi, enum irqchip_id chip, int pin);
bool irq_eoi_is_clients(struct vm *vm, u8 vector);
int irq_set_routing(struct vm *vm, const struct minivmm_irq_routing_entry *entries, u32 nr);

/* One source's part of a line. Returns the line's level. The chip's lock held. */
static inline bool line_level(u8 *sources, enum irq_source source, int level)
{
	if (level)
		*sources |= BIT(source);
	else
		*sources &= ~BIT(source);
	return *sources;
}

/* ---- PIC: pic.c ------------------------------------------------------------------------------ */

#define PIC_PINS	16
#define PIC_CASCADE	2		/* the master's input that the slave drives */
#define PIC_SPURIOUS	7		/* what a chip answers with when the request is gone */

/* One 8259A. */
struct i8259 {
	u8 irr, isr, imr;
	u8 elcr, elcr_mask;	/* 1 = level-triggered; which bits can be */
	u8 lines;		/* the inputs' levels */
	u8 base;		/* vector of input 0 */
	u8 first;		/* the input with the highest priority; the next follow, mod 8 */
	u8 icw;			/* the initialisation word that comes next, 0 = initialised */
	bool single, want_icw4;	/* of ICW1 */
	bool sfnm, aeoi;	/* of ICW4 */
	bool rotate_aeoi, special_mask, read_isr, poll;
};

struct pic {
	bool output;		/* INTR: to LINT0. Every entry looks at it: not beside the lock */
	raw_spinlock_t lock ____cacheline_aligned_in_smp;
	struct vm *vm;
	struct i8259 chip[2];	/* master, slave */
	u8 sources[PIC_PINS];
	/* what to do once the lock is dropped */
	bool wake, tick_moved;
	u16 acked;		/* inputs */
	struct io_device io;
};

int pic_init(struct pic *pic, struct vm *vm);
void pic_unregister(struct pic *pic);
int pic_set_line(struct pic *pic, unsigned int pin, enum irq_source source, int level);
int pic_acknowledge(struct pic *pic);
void pic_get_state(struct pic *pic, enum irqchip_id id, struct minivmm_pic_state *state);
void pic_set_state(struct pic *pic, enum irqchip_id id, const struct minivmm_pic_state *state);

static inline bool pic_output(const struct pic *pic)
{
	return READ_ONCE(pic->output);
}

/* ---- I/O APIC: ioapic.c ---------------------------------------------------------------------- */

#define IOAPIC_PINS	24

struct ioapic {
	int tick_vector;	/* of edge-triggered PIT ticks: its EOI re-arms the PIT; or -1 */
	int tick_pin;		/* where TICK_GSI leads, or -1 */
	raw_spinlock_t lock ____cacheline_aligned_in_smp;
	struct vm *vm;
	u8 select;		/* IOREGSEL */
	u8 id;
	u32 irr;		/* asserted lines */
	u64 entry[IOAPIC_PINS];	/* redirection table */
	u8 sources[IOAPIC_PINS];
	struct io_device io;
};

int ioapic_init(struct ioapic *ioapic, struct vm *vm);
int ioapic_set_line(struct ioapic *ioapic, unsigned int pin, enum irq_source source, int level);
void ioapic_eoi(struct ioapic *ioapic, u8 vector);
void ioapic_set_tick_pin(struct ioapic *ioapic, int pin);
void ioapic_get_state(struct ioapic *ioapic, struct minivmm_ioapic_state *state);
void ioapic_set_state(struct ioapic *ioapic, const struct minivmm_ioapic_state *state);

/* Must the I/O APIC hear of this EOI? Of few edge-triggered ones, and asking costs no lock. */
static inline bool ioapic_wants_eoi(const struct ioapic *ioapic, u8 vector, bool level)
{
	return level || vector == READ_ONCE(ioapic->tick_vector) ||
	       READ_ONCE(ioapic->vm->nr_resamplers);
}

/* ---- all of it: irqchip.c -------------------------------------------------------------------- */

struct irq_routing;

struct irqchip {
	bool split;		/* no chips but local APICs: the others are the client's */
	u32 split_pins;		/* of the client's I/O APIC: GSIs below are its pins */
	struct irq_routing __rcu *routing;	/* NULL: the default */
	struct pic pic;
	struct ioapic ioapic;
};

void irq_acked(struct vm *vm, enum irqchip_id chip, int pin);
void irq_routing_destroy(struct irqchip *chip);

/* ---- eventfd.c ------------------------------------------------------------------------------- */

void irqfd_resample(struct vm *vm, enum irqchip_id chip, int pin);

/* ---- PIT: pit.c ------------------------------------------------------------------------------ */

void pit_get_state(struct pit *pit, struct minivmm_pit_state2 *state);
void pit_set_state(struct pit *pit, const struct minivmm_pit_state2 *state);
void pit_set_reinject(struct pit *pit, bool reinject);
void pit_tick_acked(struct vm *vm);
void pit_tick_moved(struct vm *vm);

#endif
