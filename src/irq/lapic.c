// SPDX-License-Identifier: GPL-2.0
/*
 * The local APIC: its registers by memory (xAPIC) and by MSR (x2APIC), what it accepts, what it
 * gives to its vCPU. irq.h says who may touch what.
 *
 * IRR and the hints irr_maybe: a sender sets the bit, then its word's hint; the vCPU clears the hint,
 * then looks at the word once more. So a bit is never there without its hint being set soon.
 */
#include <linux/bitops.h>
#include <linux/errno.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <asm/cpufeature.h>
#include <asm/msr-index.h>

#include "irq.h"

#define LAST_VECTOR		255
#define DEFAULT_BASE		0xfee00000
#define ID_SHIFT		24	/* xAPIC: of ID and LDR, and the ICR's destination */
#define LAST_LVT		LAPIC_LVT_ERROR
#define NR_LVTS			((LAST_LVT - LAPIC_LVT_TIMER) / 0x10 + 1)
#define VERSION			(0x14 | (NR_LVTS - 1) << 16)
#define X2APIC_MSR_BASE		0x800
#define X2APIC_MSR_LAST		0x8ff

#define ICR_VECTOR(icr)		((u8)(icr))
#define ICR_MODE(icr)		((icr) >> 8 & 7)
#define ICR_LOGICAL		BIT(11)
#define ICR_BUSY		BIT(12)
#define ICR_ASSERT		BIT(14)
#define ICR_LEVEL		BIT(15)
#define ICR_SHORTHAND(icr)	((icr) >> 18 & 3)
#define ICR_RESERVED		(GENMASK(31, 20) | GENMASK(17, 16) | BIT(13))

#define TPR_WRITABLE		GENMASK(7, 0)
#define LDR_WRITABLE		GENMASK(31, 24)
#define DFR_ONES		GENMASK(27, 0)
#define DIVIDE_WRITABLE		(BIT(3) | BIT(1) | BIT(0))

/* ---- IRR, ISR, priorities -------------------------------------------------------------------- */

/* The highest vector of ISR that is below the end of @top's word, or -1. */
static int highest_isr(struct lapic *apic, u8 top)
{
	int word;
	u32 bits;

	for (word = top / 32; word >= 0; word--) {
		bits = lapic_reg(apic, LAPIC_ISR + word * VECTOR_BITMAP_STEP);
		if (bits)
			return word * 32 + __fls(bits);
	}
	return -1;
}

/*
 * Into IRR with what was posted: while the guest runs IRR is the CPU's, which doesn't expect others
 * to write there. The vCPU's thread, outside of the guest.
 */
static void collect_posted(struct lapic *apic)
{
	unsigned long bits;
	int i;

	for (i = 0; lapic_is_delivered(apic) && i < ARRAY_SIZE(apic->posted); i++) {
		if (!READ_ONCE(apic->posted[i]))
			continue;
		bits = xchg(&apic->posted[i], 0);
		*(u32 *)vector_word(apic, LAPIC_IRR, 64 * i) |= (u32)bits;
		*(u32 *)vector_word(apic, LAPIC_IRR, 64 * i + 32) |= bits >> 32;
	}
}

static int highest_irr(struct lapic *apic)
{
	u64 hints;
	u32 bits;
	int word;

	while ((hints = READ_ONCE(apic->irr_maybe_any))) {
		word = __fls(hints) / 8;
		collect_posted(apic);
		bits = lapic_reg(apic, LAPIC_IRR + word * VECTOR_BITMAP_STEP);
		if (bits)
			return word * 32 + __fls(bits);

		WRITE_ONCE(apic->irr_maybe[word], 0);
		smp_mb();	/* pairs with set_irr(): it sets the hint after the bit */
		collect_posted(apic);
		if (lapic_reg(apic, LAPIC_IRR + word * VECTOR_BITMAP_STEP))
			WRITE_ONCE(apic->irr_maybe[word], 1);
	}
	return -1;
}

/* Returns whether it was there already: then its vCPU has been told. */
static bool set_irr(struct lapic *apic, u8 vector)
{
	bool was = lapic_is_delivered(apic) ?
		   test_and_set_bit(vector % BITS_PER_LONG, &apic->posted[vector / BITS_PER_LONG]) :
		   test_and_set_bit(vector % 32, vector_word(apic, LAPIC_IRR, vector));

	/* test_and_set_bit() is a full barrier */
	if (!READ_ONCE(apic->irr_maybe[vector / 32]))
		WRITE_ONCE(apic->irr_maybe[vector / 32], 1);
	return was;
}

/* "Task and Processor Priorities". Returns whether the priority fell. */
static bool update_ppr(struct lapic *apic)
{
	u32 tpr = lapic_reg(apic, LAPIC_TPR), old = lapic_reg(apic, LAPIC_PPR), in_service, ppr;

	if (lapic_is_delivered(apic))
		apic->isr_top = highest_isr(apic, LAST_VECTOR);
	in_service = apic->isr_top < 0 ? 0 : apic->isr_top & 0xf0;
	ppr = (tpr & 0xf0) >= in_service ? tpr : in_service;
	lapic_set_reg(apic, LAPIC_PPR, ppr);
	return ppr < old;
}

/**
 * lapic_deliverable() - the interrupt that the processor priority lets through
 * @apic: the local APIC
 *
 * Context: the vCPU's thread.
 * Return: its vector, or -1.
 */
int lapic_deliverable(struct lapic *apic)
{
	int vector = highest_irr(apic);

	if (vector < 0)
		return -1;
	if (apic->hw)		/* the guest's TPR, what is in service: anything may have changed */
		update_ppr(apic);
	if (vector >> 4 <= (int)(lapic_reg(apic, LAPIC_PPR) >> 4))
		return -1;
	return lapic_hw_enabled(apic) ? vector : -1;
}

/* After what may have lowered the priority: is there something that now gets through? */
static void priority_changed(struct lapic *apic)
{
	bool fell = update_ppr(apic);

	/* where the CPU does a part by itself it is to hear of it: hw_apic_sync() */
	if (apic->hw || (fell && lapic_deliverable(apic) >= 0))
		vcpu_request(apic->vcpu, REQ_EVENT);
}

/**
 * lapic_acknowledge() - takes the highest interrupt into service
 * @apic: the local APIC
 *
 * Context: the vCPU's thread.
 * Return: its vector, or -1 if there is none.
 */
int lapic_acknowledge(struct lapic *apic)
{
	int vector = lapic_deliverable(apic);

	if (vector < 0)
		return -1;
	clear_bit(vector % 32, vector_word(apic, LAPIC_IRR, vector));
	__set_bit(vector % 32, vector_word(apic, LAPIC_ISR, vector));
	/* the priority rule let it through, so nothing higher is in service */
	apic->isr_top = vector;
	update_ppr(apic);
	if (lapic_is_delivered(apic))
		vcpu_request(apic->vcpu, REQ_EVENT);	/* hw_apic_sync() */
	return vector;
}

/**
 * lapic_ended() - the guest has ended an interrupt
 * @vcpu: whose local APIC
 * @vector: the interrupt's, in service no more
 *
 * Context: vcpu.
 */
void lapic_ended(struct vcpu *vcpu, u8 vector)
{
	struct irqchip *chip = vcpu->vm->irqchip;
	struct lapic *apic = vcpu->lapic;
	bool level = lapic_test_vector(apic, LAPIC_TMR, vector);

	if (!chip->split) {
		if (ioapic_wants_eoi(&chip->ioapic, vector, level))
			ioapic_eoi(&chip->ioapic, vector);
	} else if (level && irq_eoi_is_clients(vcpu->vm, vector)) {
		apic->ended_vector = vector;
		vcpu_request(vcpu, REQ_EOI_EXIT);
	}
}

static void end_of_interrupt(struct lapic *apic)
{
	int vector;

	if (lapic_is_delivered(apic))
		update_ppr(apic);
	vector = apic->isr_top;
	if (vector < 0)
		return;		/* of a spurious interrupt, or of none: allowed */

	__clear_bit(vector % 32, vector_word(apic, LAPIC_ISR, vector));
	apic->isr_top = highest_isr(apic, vector);
	/* where nothing waits there is nothing to tell the vCPU, nor its CPU if that doesn't deliver */
	if (lapic_is_delivered(apic) || highest_irr(apic) >= 0)
		priority_changed(apic);
	else
		update_ppr(apic);
	lapic_ended(apic->vcpu, vector);
}

/* Vectors whose end someone waits for. Interrupts come here before the CPU may deliver them. */
static void find_eoi_exits(struct lapic *apic, u64 exits[4])
{
	const struct irqchip *chip = apic->vcpu->vm->irqchip;
	int i, tick = chip->split ? -1 : READ_ONCE(chip->ioapic.tick_vector);

	for (i = 0; i < 4; i++) {
		exits[i] = lapic_reg(apic, LAPIC_TMR + 2 * i * VECTOR_BITMAP_STEP) |
			   (u64)lapic_reg(apic, LAPIC_TMR + (2 * i + 1) * VECTOR_BITMAP_STEP) << 32;
		if (READ_ONCE(apic->vcpu->vm->nr_resamplers))
			exits[i] = ~0ull;
	}
	if (tick >= 0)
		exits[tick / 64] |= BIT_ULL(tick % 64);
}

/**
 * lapic_prepare() - tells the CPU of what it does of the local APIC by itself
 * @vcpu: whose; it may have none
 *
 * Context: vcpu, preemption off; the last thing before an entry.
 */
void lapic_prepare(struct vcpu *vcpu)
{
	struct lapic *apic = vcpu->lapic;
	u64 eoi_exits[4];
	int irr;

	if (!apic || !apic->hw)
		return;
	irr = lapic_hw_enabled(apic) && !debug_blocks_interrupts(vcpu) ? highest_irr(apic) : -1;
	update_ppr(apic);
	if (lapic_is_delivered(apic))
		find_eoi_exits(apic, eoi_exits);
	hw_apic_sync(vcpu, irr, apic->isr_top, eoi_exits);
}

/* ---- what it accepts ------------------------------------------------------------------------- */

static void set_trigger_mode(struct lapic *apic, u8 vector, bool level)
{
	if (lapic_test_vector(apic, LAPIC_TMR, vector) == level)
		return;
	if (level)
		set_bit(vector % 32, vector_word(apic, LAPIC_TMR, vector));
	else
		clear_bit(vector % 32, vector_word(apic, LAPIC_TMR, vector));
}

enum acceptance { DROPPED, KNOWN, NEW };

/* KNOWN: it waits there already, and its vCPU has been told. */
static enum acceptance post(struct lapic *apic, u8 vector, bool level)
{
	if (!lapic_enabled(apic))
		return DROPPED;
	if (vector < FIRST_LEGAL_VECTOR) {
		lapic_error(apic, ESR_RECV_ILLEGAL_VECTOR);
		return DROPPED;
	}
	set_trigger_mode(apic, vector, level);
	return set_irr(apic, vector) ? KNOWN : NEW;
}

static int accept_vector(struct lapic *apic, struct lapic *by, u8 vector, bool level)
{
	enum acceptance got = post(apic, vector, level);

	if (got == NEW) {
		vcpu_request(apic->vcpu, REQ_EVENT);
		if (apic != by)	/* else this is its thread, which looks before it enters */
			vcpu_kick(apic->vcpu);
	}
	return got != DROPPED;
}

/**
 * lapic_accept() - a message has come to this local APIC
 * @apic: the local APIC
 * @src: the sender if it is a local APIC, maybe @apic itself; or NULL
 * @msg: the message
 *
 * Context: any. With @src, its vCPU's thread.
 * Return: 1 = accepted, 0 = dropped.
 */
int lapic_accept(struct lapic *apic, struct lapic *src, const struct irq_msg *msg)
{
	bool deassert = msg->level && !msg->assert;

	switch (msg->mode) {
	case DM_FIXED:
	case DM_LOWEST:
		return deassert ? 0 : accept_vector(apic, src, msg->vector, msg->level);
	case DM_NMI:
		inject_nmi(apic->vcpu);
		return 1;
	case DM_INIT:
		if (deassert)	/* synchronises arbitration ids, where there are some */
			return 0;
		/* a SIPI that came before it has no meaning any more */
		WRITE_ONCE(apic->events, BIT(EVENT_INIT));
		break;
	case DM_STARTUP:
		WRITE_ONCE(apic->sipi_vector, msg->vector);
		smp_wmb();	/* pairs with lapic_take_events() */
		set_bit(EVENT_SIPI, &apic->events);
		break;
	default:		/* SMI, remote read, and ExtINT, which has its wire */
		return 0;
	}
	vcpu_request(apic->vcpu, REQ_EVENT);
	vcpu_kick(apic->vcpu);
	return 1;
}

/**
 * lapic_error() - logs an error for the ESR and sends the error interrupt
 * @apic: the local APIC
 * @esr_bit: ESR_*
 *
 * An error that is logged already doesn't interrupt again, so an error vector that is itself
 * illegal ends here.
 *
 * Context: any.
 */
void lapic_error(struct lapic *apic, int esr_bit)
{
	u32 lvt = lapic_reg(apic, LAPIC_LVT_ERROR);

	if (!test_and_set_bit(esr_bit, &apic->errors) && !(lvt & LVT_MASKED))
		accept_vector(apic, NULL, lvt & LVT_VECTOR, false);
}

/**
 * lapic_timer_interrupt() - the interrupt of the local APIC's timer
 * @apic: the local APIC
 *
 * Tells nobody: the caller looks for an interrupt next.
 *
 * Context: the vCPU's thread.
 */
void lapic_timer_interrupt(struct lapic *apic)
{
	u32 lvt = lapic_reg(apic, LAPIC_LVT_TIMER);

	if (!(lvt & LVT_MASKED))
		post(apic, lvt & LVT_VECTOR, false);
}

/**
 * lapic_accepts_extint() - does the vCPU listen to the PICs?
 * @apic: its local APIC
 *
 * It does by LINT0 in ExtINT mode ("virtual wire"), and by its INTR pin while the APIC is off.
 *
 * Context: any.
 * Return: whether.
 */
bool lapic_accepts_extint(const struct lapic *apic)
{
	u32 lint0 = lapic_reg(apic, LAPIC_LVT_LINT0);

	return (lint0 & (LVT_MASKED | LVT_MODE)) == DM_EXTINT << 8 || !lapic_hw_enabled(apic);
}

/**
 * lapic_pit_tick() - the PIT's tick comes by the PIC's wire too
 * @apic: the local APIC
 *
 * With LINT0 in NMI mode it is an NMI: how Linux' old NMI watchdog gets its ticks. As in KVM, no
 * other mode but ExtINT listens to that wire.
 *
 * Context: any.
 */
void lapic_pit_tick(struct lapic *apic)
{
	u32 lint0 = lapic_reg(apic, LAPIC_LVT_LINT0);

	if ((lint0 & (LVT_MASKED | LVT_MODE)) == DM_NMI << 8 && lapic_hw_enabled(apic))
		inject_nmi(apic->vcpu);
}

/* ---- INIT and SIPI --------------------------------------------------------------------------- */

/**
 * lapic_has_events() - is there an INIT or a SIPI to act on?
 * @vcpu: whose
 *
 * Context: any.
 * Return: whether.
 */
bool lapic_has_events(struct vcpu *vcpu)
{
	return vcpu->lapic && READ_ONCE(vcpu->lapic->events);
}

/**
 * lapic_take_events() - acts on INIT and SIPI
 * @vcpu: whose
 *
 * After INIT the bootstrap processor runs from its reset vector, the others wait for a SIPI. One
 * that isn't waited for is dropped.
 *
 * Context: vcpu.
 */
void lapic_take_events(struct vcpu *vcpu)
{
	struct lapic *apic = vcpu->lapic;

	if (!lapic_has_events(vcpu))
		return;
	if (test_and_clear_bit(EVENT_INIT, &apic->events)) {
		vcpu_reset(vcpu, true);
		vcpu->mp_state = vcpu->apic_base & APIC_BASE_BSP ? MP_RUNNABLE : MP_INIT_RECEIVED;
	}
	if (test_and_clear_bit(EVENT_SIPI, &apic->events) &&
	    vcpu->mp_state == MP_INIT_RECEIVED) {
		smp_rmb();	/* pairs with lapic_accept() */
		vcpu_start_at_sipi(vcpu, READ_ONCE(apic->sipi_vector));
		vcpu->mp_state = MP_RUNNABLE;
	}
}

/**
 * lapic_set_sipi() - a SIPI's vector, and maybe the SIPI, from the client
 * @vcpu: whose
 * @vector: its vector, or -1: as it is
 * @pending: it has come
 *
 * Context: vcpu.
 */
void lapic_set_sipi(struct vcpu *vcpu, int vector, bool pending)
{
	struct lapic *apic = vcpu->lapic;

	if (vector >= 0)
		WRITE_ONCE(apic->sipi_vector, vector);
	if (pending)
		set_bit(EVENT_SIPI, &apic->events);
}

u8 lapic_ended_vector(struct vcpu *vcpu)
{
	return vcpu->lapic->ended_vector;
}

/* ---- registers: reading ---------------------------------------------------------------------- */

static bool in_bitmap(u32 reg)
{
	return reg >= LAPIC_ISR && reg < LAPIC_IRR + 8 * VECTOR_BITMAP_STEP;
}

/* Returns whether there is such a register and it can be read. */
static bool read_reg(struct lapic *apic, u32 reg, u32 *val)
{
	switch (reg) {
	case LAPIC_APR:		/* newer than the arbitrating bus: always 0 */
	case LAPIC_DFR:
	case LAPIC_ICR2:
		if (lapic_is_x2apic(apic))
			return false;
		break;
	case LAPIC_TIMER_CURRENT:
		*val = timer_current(apic);
		return true;
	case LAPIC_ID:
	case LAPIC_VERSION:
	case LAPIC_TPR:
	case LAPIC_PPR:
	case LAPIC_LDR:
	case LAPIC_SVR:
	case LAPIC_ESR:
	case LAPIC_ICR:
	case LAPIC_LVT_TIMER ... LAST_LVT:
	case LAPIC_TIMER_INITIAL:
	case LAPIC_TIMER_DIVIDE:
		break;
	default:
		if (!in_bitmap(reg))
			return false;
	}
	if (apic->hw) {		/* what the CPU, or others, have left to do */
		highest_irr(apic);
		update_ppr(apic);
	}
	*val = lapic_reg(apic, reg);
	return true;
}

/* ---- registers: writing ---------------------------------------------------------------------- */

static void send_ipi(struct lapic *apic, u32 icr, u32 dest)
{
	struct irq_msg msg = {
		.dest = dest,
		.vector = ICR_VECTOR(icr),
		.mode = ICR_MODE(icr),
		.shorthand = ICR_SHORTHAND(icr),
		.logical = icr & ICR_LOGICAL,
		.level = icr & ICR_LEVEL,
		.assert = icr & ICR_ASSERT,
	};

	if ((msg.mode == DM_FIXED || msg.mode == DM_LOWEST) && msg.vector < FIRST_LEGAL_VECTOR) {
		lapic_error(apic, ESR_SEND_ILLEGAL_VECTOR);
		return;
	}
	irq_deliver(apic->vcpu->vm, apic, &msg);
}

static void write_svr(struct lapic *apic, u32 val)
{
	u32 reg;

	lapic_set_reg(apic, LAPIC_SVR, val & SVR_WRITABLE);
	if (val & SVR_ENABLED)
		return;
	for (reg = LAPIC_LVT_TIMER; reg <= LAST_LVT; reg += 0x10)
		lapic_set_reg(apic, reg, lapic_reg(apic, reg) | LVT_MASKED);
	atomic_set(&apic->timer.pending, 0);
}

/* The bits of an LVT entry that can be written. */
static u32 lvt_writable(struct lapic *apic, u32 reg)
{
	u32 bits = LVT_MASKED | LVT_VECTOR;

	switch (reg) {
	case LAPIC_LVT_TIMER:
		bits |= TIMER_PERIODIC;
		if (guest_has(apic->vcpu, X86_FEATURE_TSC_DEADLINE_TIMER))
			bits |= TIMER_DEADLINE;
		return bits;
	case LAPIC_LVT_THERMAL:
	case LAPIC_LVT_PERF:
		return bits | LVT_MODE;
	case LAPIC_LVT_LINT0:
	case LAPIC_LVT_LINT1:
		return bits | LVT_MODE | LVT_POLARITY | LVT_LEVEL;
	}
	return bits;
}

static void write_lvt(struct lapic *apic, u32 reg, u32 val)
{
	val &= lvt_writable(apic, reg);
	if (!(lapic_reg(apic, LAPIC_SVR) & SVR_ENABLED))
		val |= LVT_MASKED;
	lapic_set_reg(apic, reg, val);

	if (reg == LAPIC_LVT_TIMER)
		timer_set_mode(apic, val & LVT_TIMER_MODE);
	/* the PICs may have been waiting for someone who listens */
	if (reg == LAPIC_LVT_LINT0)
		vcpu_request(apic->vcpu, REQ_EVENT);
}

/* Registers that exist in both modes. Returns whether it can be written. */
static bool write_common(struct lapic *apic, u32 reg, u32 val)
{
	switch (reg) {
	case LAPIC_TPR:
		lapic_set_tpr(apic->vcpu, val);
		return true;
	case LAPIC_EOI:
		end_of_interrupt(apic);
		return true;
	case LAPIC_SVR:
		write_svr(apic, val);
		return true;
	case LAPIC_ESR:		/* shows what has come together since the last write */
		lapic_set_reg(apic, LAPIC_ESR, xchg(&apic->errors, 0));
		return true;
	case LAPIC_LVT_TIMER ... LAST_LVT:
		write_lvt(apic, reg, val);
		return true;
	case LAPIC_TIMER_INITIAL:
		timer_set_initial(apic, val);
		return true;
	case LAPIC_TIMER_DIVIDE:
		timer_set_divide(apic, val & DIVIDE_WRITABLE);
		return true;
	}
	return false;
}

static bool write_xapic(struct lapic *apic, u32 reg, u32 val)
{
	switch (reg) {
	case LAPIC_LDR:
		lapic_set_reg(apic, LAPIC_LDR, val & LDR_WRITABLE);
		return true;
	case LAPIC_DFR:
		lapic_set_reg(apic, LAPIC_DFR, val | DFR_ONES);
		return true;
	case LAPIC_ICR2:
		lapic_set_reg(apic, LAPIC_ICR2, val & GENMASK(31, ID_SHIFT));
		return true;
	case LAPIC_ICR:
		lapic_set_reg(apic, LAPIC_ICR, val & ~ICR_BUSY);
		send_ipi(apic, val, dest_from_8bit(lapic_reg(apic, LAPIC_ICR2) >> ID_SHIFT));
		return true;
	}
	return write_common(apic, reg, val);
}

/* The bits that a WRMSR may set; in a register that can't be written, none. */
static u32 x2apic_writable(struct lapic *apic, u32 reg)
{
	switch (reg) {
	case LAPIC_TPR:
		return TPR_WRITABLE;
	case LAPIC_SVR:
		return SVR_WRITABLE;
	case LAPIC_LVT_TIMER ... LAST_LVT:
		return lvt_writable(apic, reg) | LVT_READ_ONLY;
	case LAPIC_TIMER_INITIAL:
		return U32_MAX;
	case LAPIC_TIMER_DIVIDE:
		return DIVIDE_WRITABLE;
	case LAPIC_SELF_IPI:
		return LVT_VECTOR;
	}
	return 0;
}

static bool write_x2apic(struct lapic *apic, u32 reg, u64 val)
{
	if (reg == LAPIC_ICR) {
		if ((u32)val & ICR_RESERVED)
			return false;
		lapic_set_reg(apic, LAPIC_ICR, (u32)val & ~ICR_BUSY);
		lapic_set_reg(apic, LAPIC_ICR2, val >> 32);
		send_ipi(apic, val, val >> 32);
		return true;
	}
	if (val & ~(u64)x2apic_writable(apic, reg))
		return false;
	if (reg == LAPIC_SELF_IPI) {
		send_ipi(apic, TO_SELF << 18 | ICR_ASSERT | (u32)val, 0);
		return true;
	}
	return write_common(apic, reg, val);
}

/* ---- access ---------------------------------------------------------------------------------- */

/**
 * lapic_in_range() - is this address in the local APIC's page?
 * @vcpu: who asks: each sees its own
 * @gpa: the address
 *
 * Context: vcpu.
 * Return: whether; never while it is off or in x2APIC mode.
 */
bool lapic_in_range(struct vcpu *vcpu, gpa_t gpa)
{
	u64 base = vcpu->apic_base;

	return vcpu->lapic && (base & APIC_BASE_MODE) == APIC_BASE_ENABLE &&
	       gpa_to_gfn(gpa) == gpa_to_gfn(base);
}

/**
 * lapic_mmio_read() - a load from the local APIC's page
 * @vcpu: its vCPU
 * @gpa: an address for which lapic_in_range() is true
 * @len: 1 .. 8
 * @data: where to
 *
 * Parts of a register are fine, what isn't one of them reads as 0.
 *
 * Context: vcpu.
 * Return: 0.
 */
int lapic_mmio_read(struct vcpu *vcpu, gpa_t gpa, int len, void *data)
{
	u32 offset = offset_in_page(gpa), val = 0;
	unsigned int start = offset % 16;

	memset(data, 0, len);
	if (!read_reg(vcpu->lapic, offset - start, &val))
		lapic_error(vcpu->lapic, ESR_ILLEGAL_REGISTER);
	if (start + len <= sizeof(val))
		memcpy(data, (u8 *)&val + start, len);
	return 0;
}

static bool is_read_only(struct lapic *apic, u32 reg)
{
	u32 val;

	return read_reg(apic, reg, &val);
}

/**
 * lapic_mmio_write() - a store into the local APIC's page
 * @vcpu: its vCPU
 * @gpa: an address for which lapic_in_range() is true
 * @len: 1 .. 8
 * @data: what
 *
 * Only aligned 32-bit stores have a defined effect; others have none here.
 *
 * Context: vcpu.
 * Return: 0.
 */
int lapic_mmio_write(struct vcpu *vcpu, gpa_t gpa, int len, const void *data)
{
	struct lapic *apic = vcpu->lapic;
	u32 reg = offset_in_page(gpa), val;

	if (len != sizeof(val) || reg % 16)
		return 0;
	memcpy(&val, data, sizeof(val));
	if (!write_xapic(apic, reg, val) && !is_read_only(apic, reg))
		lapic_error(apic, ESR_ILLEGAL_REGISTER);
	return 0;
}

static bool is_x2apic_msr(u32 index)
{
	return index >= X2APIC_MSR_BASE && index <= X2APIC_MSR_LAST;
}

/**
 * lapic_msr_get() - RDMSR of a register in x2APIC mode, or of IA32_TSC_DEADLINE
 * @vcpu: its vCPU
 * @index: MSR
 * @data: its value
 *
 * Context: vcpu.
 * Return: 0, or 1 = the guest gets #GP.
 */
int lapic_msr_get(struct vcpu *vcpu, u32 index, u64 *data)
{
	struct lapic *apic = vcpu->lapic;
	u32 reg = (index - X2APIC_MSR_BASE) * 16, val;

	if (!apic)
		return 1;
	if (index == MSR_IA32_TSC_DEADLINE) {
		*data = timer_deadline(apic);
		return 0;
	}
	if (!is_x2apic_msr(index) || !lapic_is_x2apic(apic) || !read_reg(apic, reg, &val))
		return 1;
	*data = val;
	if (reg == LAPIC_ICR)
		*data |= (u64)lapic_reg(apic, LAPIC_ICR2) << 32;
	return 0;
}

/**
 * lapic_msr_set() - WRMSR of a register in x2APIC mode, or of IA32_TSC_DEADLINE
 * @vcpu: its vCPU
 * @index: MSR
 * @data: its value
 *
 * Context: vcpu.
 * Return: 0, or 1 = the guest gets #GP.
 */
int lapic_msr_set(struct vcpu *vcpu, u32 index, u64 data)
{
	struct lapic *apic = vcpu->lapic;

	if (!apic)
		return 1;
	if (index == MSR_IA32_TSC_DEADLINE) {
		timer_set_deadline(apic, data);
		return 0;
	}
	if (!is_x2apic_msr(index) || !lapic_is_x2apic(apic))
		return 1;
	return !write_x2apic(apic, (index - X2APIC_MSR_BASE) * 16, data);
}

/**
 * lapic_tpr() - the task-priority register
 * @vcpu: its vCPU, with a local APIC
 *
 * Context: vcpu.
 * Return: the whole register; CR8 is its upper half.
 */
u8 lapic_tpr(struct vcpu *vcpu)
{
	return lapic_reg(vcpu->lapic, LAPIC_TPR);
}

/**
 * lapic_set_tpr() - writes the task-priority register
 * @vcpu: its vCPU, with a local APIC
 * @tpr: the whole register
 *
 * Context: vcpu.
 */
void lapic_set_tpr(struct vcpu *vcpu, u8 tpr)
{
	lapic_set_reg(vcpu->lapic, LAPIC_TPR, tpr);
	priority_changed(vcpu->lapic);
}

/* The id, and in x2APIC mode the logical id that follows from it, in the mode's format. */
static void set_ids(struct lapic *apic)
{
	u32 id = apic->vcpu->id;

	if (lapic_is_x2apic(apic)) {
		lapic_set_reg(apic, LAPIC_ID, id);
		lapic_set_reg(apic, LAPIC_LDR, id / 16 << 16 | BIT(id % 16));
	} else {
		lapic_set_reg(apic, LAPIC_ID, id << ID_SHIFT);
	}
}

/* ---- GET_LAPIC, SET_LAPIC -------------------------------------------------------------------- */

/**
 * lapic_get_state() - GET_LAPIC
 * @apic: the local APIC
 * @state: its page; the id always in xAPIC's format, as in KVM
 *
 * Context: vcpu.
 */
void lapic_get_state(struct lapic *apic, struct minivmm_lapic_state *state)
{
	u32 current_count = timer_current(apic), id = apic->vcpu->id << ID_SHIFT;

	timer_deliver(apic);
	highest_irr(apic);
	update_ppr(apic);
	memcpy(state->regs, apic->regs, sizeof(state->regs));
	memcpy(state->regs + LAPIC_ID, &id, sizeof(id));
	memcpy(state->regs + LAPIC_TIMER_CURRENT, &current_count, sizeof(current_count));
}

/**
 * lapic_set_state() - SET_LAPIC
 * @apic: the local APIC
 * @state: its page; id and version aren't looked at
 *
 * What follows from the registers is made anew. IA32_APIC_BASE says in which mode they are.
 *
 * Context: vcpu.
 */
void lapic_set_state(struct lapic *apic, const struct minivmm_lapic_state *state)
{
	memset(apic->posted, 0, sizeof(apic->posted));
	memcpy(apic->regs, state->regs, sizeof(state->regs));
	set_ids(apic);
	lapic_set_reg(apic, LAPIC_VERSION, VERSION);
	lapic_set_reg(apic, LAPIC_TPR, lapic_reg(apic, LAPIC_TPR) & TPR_WRITABLE);
	apic->errors = 0;
	apic->isr_top = highest_isr(apic, LAST_VECTOR);
	memset(apic->irr_maybe, 1, sizeof(apic->irr_maybe));
	update_ppr(apic);
	timer_restore(apic, lapic_reg(apic, LAPIC_TIMER_CURRENT));
	vcpu_request(apic->vcpu, REQ_EVENT);
}

/* ---- modes and life -------------------------------------------------------------------------- */

/* Registers as after RESET and INIT; "Local APIC State After Power-Up or Reset". */
static void reset_registers(struct lapic *apic)
{
	u32 reg;

	timer_reset(apic);
	/* first the hint, then the bits: a sender that comes between finds its way */
	memset(apic->irr_maybe, 0, sizeof(apic->irr_maybe));
	smp_mb();
	memset(apic->posted, 0, sizeof(apic->posted));
	memset(apic->regs, 0, PAGE_SIZE);
	apic->isr_top = -1;
	apic->errors = 0;

	set_ids(apic);
	lapic_set_reg(apic, LAPIC_VERSION, VERSION);
	lapic_set_reg(apic, LAPIC_DFR, ~0u);
	lapic_set_reg(apic, LAPIC_SVR, 0xff);
	for (reg = LAPIC_LVT_TIMER; reg <= LAST_LVT; reg += 0x10)
		lapic_set_reg(apic, reg, LVT_MASKED);
	/* what firmware would do, and KVM does: the first processor listens to the PICs */
	if (is_boot_vcpu(apic->vcpu))
		lapic_set_reg(apic, LAPIC_LVT_LINT0, DM_EXTINT << 8);
}

static void change_mode(struct lapic *apic, u64 old, bool by_client)
{
	u64 new = apic->vcpu->apic_base;

	/* switched off and on again it starts anew; a client may want to keep what it restores */
	if (((old ^ new) & APIC_BASE_ENABLE) && !by_client)
		reset_registers(apic);
	else
		set_ids(apic);
	hw_apic_changed(apic->vcpu, apic->regs, lapic_is_x2apic(apic));
	/* whether the PICs are listened to may have changed */
	vcpu_request(apic->vcpu, REQ_EVENT);
}

/**
 * lapic_set_base() - writes IA32_APIC_BASE
 * @vcpu: its vCPU, also one without a local APIC in the kernel
 * @base: the value
 * @by_client: an ioctl, which may change between any two valid modes
 *
 * The rules are those of "x2APIC State Transitions": a guest gets from xAPIC mode to x2APIC mode,
 * from either to disabled, and from there to xAPIC mode.
 *
 * Context: vcpu.
 * Return: 0, or 1 = the guest gets #GP.
 */
int lapic_set_base(struct vcpu *vcpu, u64 base, bool by_client)
{
	u64 old = vcpu->apic_base, mode = base & APIC_BASE_MODE, old_mode = old & APIC_BASE_MODE;
	u64 reserved = ~(GENMASK_ULL(vcpu->maxphyaddr - 1, PAGE_SHIFT) | APIC_BASE_BSP |
			 APIC_BASE_ENABLE);

	if (guest_has(vcpu, X86_FEATURE_X2APIC))
		reserved &= ~(u64)APIC_BASE_X2APIC;
	if ((base & reserved) || mode == APIC_BASE_X2APIC)
		return 1;
	if (!by_client && old_mode == APIC_BASE_MODE && mode == APIC_BASE_ENABLE)
		return 1;
	if (!by_client && !old_mode && mode == APIC_BASE_MODE)
		return 1;

	WRITE_ONCE(vcpu->apic_base, base);
	if (vcpu->lapic && mode != old_mode)
		change_mode(vcpu->lapic, old, by_client);
	return 0;
}

/**
 * lapic_reset() - RESET or INIT of a vCPU's local APIC
 * @vcpu: whose; without a local APIC in the kernel only IA32_APIC_BASE is set
 * @init: INIT, which leaves IA32_APIC_BASE alone, and with it the mode
 *
 * Context: vcpu, or while it is created.
 */
void lapic_reset(struct vcpu *vcpu, bool init)
{
	if (!init)
		WRITE_ONCE(vcpu->apic_base, DEFAULT_BASE | APIC_BASE_ENABLE |
			   (is_boot_vcpu(vcpu) ? APIC_BASE_BSP : 0));
	if (!vcpu->lapic)
		return;
	if (!init)
		vcpu->lapic->events = 0;
	reset_registers(vcpu->lapic);
	hw_apic_changed(vcpu, vcpu->lapic->regs, lapic_is_x2apic(vcpu->lapic));
}

/**
 * lapic_create() - a local APIC for a new vCPU
 * @vcpu: whose; its VM has an irqchip
 *
 * lapic_reset() has to follow.
 *
 * Context: may sleep.
 * Return: 0 or -ENOMEM.
 */
int lapic_create(struct vcpu *vcpu)
{
	struct lapic *apic = kzalloc(sizeof(*apic), GFP_KERNEL_ACCOUNT);

	if (!apic)
		return -ENOMEM;
	apic->regs = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!apic->regs) {
		kfree(apic);
		return -ENOMEM;
	}
	apic->vcpu = vcpu;
	apic->hw = hw_apic_features();
	apic->isr_top = -1;
	timer_init(apic);
	vcpu->lapic = apic;
	return 0;
}

/**
 * lapic_destroy() - the end of a vCPU's local APIC
 * @vcpu: whose; it may have none
 *
 * Context: may sleep. Nobody can send to it any more: the vCPU was never published, or its VM has
 * no thread, no PIT and no other vCPU left that runs.
 */
void lapic_destroy(struct vcpu *vcpu)
{
	struct lapic *apic = vcpu->lapic;

	if (!apic)
		return;
	timer_stop(apic);
	vcpu->lapic = NULL;
	free_page((unsigned long)apic->regs);
	kfree(apic);
}
