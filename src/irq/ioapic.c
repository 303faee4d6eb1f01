// SPDX-License-Identifier: GPL-2.0
/*
 * The I/O APIC, an 82093AA: 24 pins, each with a redirection entry that makes a message to local
 * APICs of it. Version 0x11, so without an EOI register: level-triggered interrupts end by the EOI
 * that local APICs broadcast, or, as operating systems know, by making the entry edge-triggered for
 * a moment. As in KVM, polarity has no meaning (lines are asserted or not), an edge at a masked pin
 * is lost, and lines don't coalesce with what a local APIC still holds.
 */
#include <linux/errno.h>
#include <linux/nospec.h>
#include <linux/string.h>

#include "irq.h"

#define IOAPIC_BASE	0xfec00000
#define IOAPIC_SIZE	0x100

/* memory-mapped registers */
#define IOREGSEL	0x00
#define IOWIN		0x10

/* registers behind them */
#define REG_ID		0x00
#define REG_VERSION	0x01
#define REG_ARB		0x02
#define REG_ENTRIES	0x10		/* two for each pin */

#define VERSION		(0x11 | (IOAPIC_PINS - 1) << 16)
#define ID_SHIFT	24
#define ID_MASK		0xf

/* a redirection entry */
#define ENTRY_VECTOR(e)	((u8)(e))
#define ENTRY_MODE(e)	((u8)((e) >> 8 & 7))
#define ENTRY_LOGICAL	BIT_ULL(11)
#define ENTRY_STATUS	BIT_ULL(12)
#define ENTRY_REMOTE_IRR BIT_ULL(14)
#define ENTRY_LEVEL	BIT_ULL(15)
#define ENTRY_MASKED	BIT_ULL(16)
#define ENTRY_DEST(e)	((u8)((e) >> 56))
#define ENTRY_READ_ONLY	(ENTRY_STATUS | ENTRY_REMOTE_IRR)

/* Sends what a pin has to say. Returns as irq_set_line(). */
static int service(struct ioapic *ioapic, unsigned int pin)
{
	u64 e = ioapic->entry[pin];
	struct irq_msg msg = {
		.dest = dest_from_8bit(ENTRY_DEST(e)),
		.vector = ENTRY_VECTOR(e),
		.mode = ENTRY_MODE(e),
		.logical = e & ENTRY_LOGICAL,
		.level = e & ENTRY_LEVEL,
		.assert = true,
	};
	int sent;

	if ((e & ENTRY_MASKED) || (msg.level && (e & ENTRY_REMOTE_IRR)))
		return -1;

	sent = irq_deliver(ioapic->vm, NULL, &msg);
	/* if nobody took it nobody will end it either: the next chance is a write to the entry */
	if (sent > 0 && msg.level)
		ioapic->entry[pin] |= ENTRY_REMOTE_IRR;
	return sent;
}

/**
 * ioapic_set_line() - one source's level of a pin
 * @ioapic: the I/O APIC
 * @pin: 0 .. IOAPIC_PINS - 1
 * @source: whose level it is
 * @level: 0 or not
 *
 * Context: any, hard interrupts included.
 * Return: as irq_set_line().
 */
int ioapic_set_line(struct ioapic *ioapic, unsigned int pin, enum irq_source source, int level)
{
	unsigned long flags;
	bool was;
	int ret = 1;

	raw_spin_lock_irqsave(&ioapic->lock, flags);
	was = ioapic->irr & BIT(pin);
	if (!line_level(&ioapic->sources[pin], source, level)) {
		ioapic->irr &= ~BIT(pin);
	} else {
		ioapic->irr |= BIT(pin);
		if (was && !(ioapic->entry[pin] & ENTRY_LEVEL))
			ret = 0;	/* no edge */
		else
			ret = service(ioapic, pin);
	}
	raw_spin_unlock_irqrestore(&ioapic->lock, flags);
	return ret;
}

/* Whose interrupt the vector is: all pins with it. ioapic->lock held. */
static u32 pins_of_vector(const struct ioapic *ioapic, u8 vector)
{
	u32 pins = 0;
	int pin;

	for (pin = 0; pin < IOAPIC_PINS; pin++)
		if (ENTRY_VECTOR(ioapic->entry[pin]) == vector)
			pins |= BIT(pin);
	return pins;
}

/**
 * ioapic_eoi() - a local APIC broadcasts an EOI
 * @ioapic: the I/O APIC
 * @vector: of the interrupt that has ended
 *
 * Those who drive a line hear of it first: what they lower now doesn't interrupt again.
 *
 * Context: any.
 */
void ioapic_eoi(struct ioapic *ioapic, u8 vector)
{
	unsigned long flags, pins;
	int pin;

	raw_spin_lock_irqsave(&ioapic->lock, flags);
	pins = pins_of_vector(ioapic, vector);
	raw_spin_unlock_irqrestore(&ioapic->lock, flags);

	for_each_set_bit(pin, &pins, IOAPIC_PINS)
		irq_acked(ioapic->vm, IRQCHIP_IOAPIC, pin);

	raw_spin_lock_irqsave(&ioapic->lock, flags);
	for_each_set_bit(pin, &pins, IOAPIC_PINS) {
		u64 *e = &ioapic->entry[pin];

		if (ENTRY_VECTOR(*e) != vector || !(*e & ENTRY_REMOTE_IRR))
			continue;
		*e &= ~ENTRY_REMOTE_IRR;
		if (ioapic->irr & BIT(pin))
			service(ioapic, pin);
	}
	raw_spin_unlock_irqrestore(&ioapic->lock, flags);
}

/* ---- registers ------------------------------------------------------------------------------- */

static u32 read_register(struct ioapic *ioapic)
{
	unsigned int reg = ioapic->select, pin;

	switch (reg) {
	case REG_ID:
	case REG_ARB:
		return (u32)ioapic->id << ID_SHIFT;
	case REG_VERSION:
		return VERSION;
	}
	if (reg < REG_ENTRIES || reg >= REG_ENTRIES + 2 * IOAPIC_PINS)
		return ~0u;	/* KVM's answer */

	pin = array_index_nospec((reg - REG_ENTRIES) / 2, IOAPIC_PINS);
	return reg & 1 ? ioapic->entry[pin] >> 32 : (u32)ioapic->entry[pin];
}

/* After each change of the entry that ticks go through, or of which that is. */
static void update_tick_vector(struct ioapic *ioapic)
{
	u64 e = ioapic->tick_pin < 0 ? ENTRY_MASKED : ioapic->entry[ioapic->tick_pin];

	WRITE_ONCE(ioapic->tick_vector, e & (ENTRY_LEVEL | ENTRY_MASKED) ? -1 : ENTRY_VECTOR(e));
}

/**
 * ioapic_set_tick_pin() - the PIT's ticks come by this pin now
 * @ioapic: the I/O APIC
 * @pin: which, or -1
 *
 * Context: any.
 */
void ioapic_set_tick_pin(struct ioapic *ioapic, int pin)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&ioapic->lock, flags);
	ioapic->tick_pin = pin;
	update_tick_vector(ioapic);
	raw_spin_unlock_irqrestore(&ioapic->lock, flags);
	pit_tick_moved(ioapic->vm);
}

static void write_entry(struct ioapic *ioapic, unsigned int pin, bool high, u32 val)
{
	u64 old = ioapic->entry[pin], new;

	if (high)
		new = (u32)old | (u64)val << 32;
	else
		new = (old & ~(u64)U32_MAX) | val;
	new = (new & ~ENTRY_READ_ONLY) | (old & ENTRY_READ_ONLY);
	if (!(new & ENTRY_LEVEL))
		new &= ~ENTRY_REMOTE_IRR;
	ioapic->entry[pin] = new;

	update_tick_vector(ioapic);
	if ((new & ENTRY_LEVEL) && (ioapic->irr & BIT(pin)))
		service(ioapic, pin);
}

/* Returns whether the way of the PIT's ticks changed. */
static bool write_register(struct ioapic *ioapic, u32 val)
{
	unsigned int reg = ioapic->select, pin;

	if (reg == REG_ID)
		ioapic->id = val >> ID_SHIFT & ID_MASK;
	if (reg < REG_ENTRIES || reg >= REG_ENTRIES + 2 * IOAPIC_PINS)
		return false;

	pin = array_index_nospec((reg - REG_ENTRIES) / 2, IOAPIC_PINS);
	write_entry(ioapic, pin, reg & 1, val);
	return pin == ioapic->tick_pin;
}

static int ioapic_read(struct vcpu *vcpu, struct io_device *dev, u64 addr, int len, void *data)
{
	struct ioapic *ioapic = container_of(dev, struct ioapic, io);
	unsigned int reg = addr & (IOAPIC_SIZE - 1);
	unsigned long flags;
	u32 val = 0;

	raw_spin_lock_irqsave(&ioapic->lock, flags);
	if (reg == IOREGSEL)
		val = ioapic->select;
	else if (reg == IOWIN)
		val = read_register(ioapic);
	raw_spin_unlock_irqrestore(&ioapic->lock, flags);

	memset(data, 0, len);
	memcpy(data, &val, min_t(size_t, len, sizeof(val)));
	return 0;
}

static int ioapic_write(struct vcpu *vcpu, struct io_device *dev, u64 addr, int len,
			const void *data)
{
	struct ioapic *ioapic = container_of(dev, struct ioapic, io);
	unsigned int reg = addr & (IOAPIC_SIZE - 1);
	bool tick_moved = false;
	unsigned long flags;
	u32 val = 0;

	memcpy(&val, data, min_t(size_t, len, sizeof(val)));

	raw_spin_lock_irqsave(&ioapic->lock, flags);
	if (reg == IOREGSEL)
		ioapic->select = val;
	else if (reg == IOWIN)
		tick_moved = write_register(ioapic, val);
	raw_spin_unlock_irqrestore(&ioapic->lock, flags);

	if (tick_moved)
		pit_tick_moved(ioapic->vm);
	return 0;
}

/* ---- GET_IRQCHIP, SET_IRQCHIP ---------------------------------------------------------------- */

/**
 * ioapic_get_state() - GET_IRQCHIP
 * @ioapic: the I/O APIC
 * @state: zeroed
 *
 * Context: any.
 */
void ioapic_get_state(struct ioapic *ioapic, struct minivmm_ioapic_state *state)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&ioapic->lock, flags);
	state->base_address = IOAPIC_BASE;
	state->ioregsel = ioapic->select;
	state->id = ioapic->id;
	state->irr = ioapic->irr;
	memcpy(state->redirtbl, ioapic->entry, sizeof(ioapic->entry));
	raw_spin_unlock_irqrestore(&ioapic->lock, flags);
}

/**
 * ioapic_set_state() - SET_IRQCHIP
 * @ioapic: the I/O APIC
 * @state: as it was reported; its address isn't looked at, it can't be moved
 *
 * What is asserted is sent, unless its remote IRR says that it was.
 *
 * Context: any.
 */
void ioapic_set_state(struct ioapic *ioapic, const struct minivmm_ioapic_state *state)
{
	unsigned long flags;
	int pin;

	raw_spin_lock_irqsave(&ioapic->lock, flags);
	ioapic->select = state->ioregsel;
	ioapic->id = state->id & ID_MASK;
	ioapic->irr = state->irr & GENMASK(IOAPIC_PINS - 1, 0);
	for (pin = 0; pin < IOAPIC_PINS; pin++) {
		ioapic->entry[pin] = state->redirtbl[pin];
		ioapic->sources[pin] = ioapic->irr & BIT(pin) ? BIT(SOURCE_USER) : 0;
	}
	update_tick_vector(ioapic);
	for (pin = 0; pin < IOAPIC_PINS; pin++)
		if (ioapic->irr & BIT(pin))
			service(ioapic, pin);
	raw_spin_unlock_irqrestore(&ioapic->lock, flags);
	pit_tick_moved(ioapic->vm);
}

/**
 * ioapic_init() - an I/O APIC after reset, at its address
 * @ioapic: zeroed memory
 * @vm: whose it is
 *
 * Context: vm->lock held; may sleep.
 * Return: 0 or -errno; nothing stays registered then.
 */
int ioapic_init(struct ioapic *ioapic, struct vm *vm)
{
	int pin;

	raw_spin_lock_init(&ioapic->lock);
	ioapic->vm = vm;
	ioapic->tick_vector = -1;
	ioapic->tick_pin = TICK_GSI;
	for (pin = 0; pin < IOAPIC_PINS; pin++)
		ioapic->entry[pin] = ENTRY_MASKED;
	ioapic->io.read = ioapic_read;
	ioapic->io.write = ioapic_write;
	return io_bus_register(vm, BUS_MMIO, IOAPIC_BASE, IOAPIC_SIZE, &ioapic->io);
}
