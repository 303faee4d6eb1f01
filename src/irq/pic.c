// SPDX-License-Identifier: GPL-2.0
/*
 * Two cascaded 8259A interrupt controllers, as a PC has them: the master's output goes to LINT0 of
 * every local APIC, the slave's to the master's input 2; ELCRs say which inputs are
 * level-triggered.
 *
 * The cascade isn't latched: the master's request for input 2 is there exactly while the slave has
 * something to say. An edge-triggered request, once latched, stays until it is acknowledged even if
 * the line falls; so it is in KVM, whose clients raise and lower a line at once.
 */
#include <linux/bitops.h>
#include <linux/errno.h>
#include <linux/string.h>

#include "irq.h"

#define PORT_MASTER	0x20
#define PORT_SLAVE	0xa0
#define PORT_ELCR	0x4d0

#define ICW1		BIT(4)		/* written to port 0: an initialisation command */
#define ICW1_ICW4	BIT(0)
#define ICW1_SINGLE	BIT(1)
#define ICW4_AEOI	BIT(1)
#define ICW4_SFNM	BIT(4)
#define OCW3		BIT(3)		/* written to port 0 */
#define OCW3_READ_ISR	BIT(0)
#define OCW3_READ	BIT(1)
#define OCW3_POLL	BIT(2)
#define OCW3_SMM	BIT(5)
#define OCW3_SET_SMM	BIT(6)

enum ocw2 {	/* bits 7:5 */
	OCW2_ROTATE_AEOI_OFF,
	OCW2_EOI,
	OCW2_NOP,
	OCW2_EOI_SPECIFIC,
	OCW2_ROTATE_AEOI_ON,
	OCW2_ROTATE_EOI,
	OCW2_SET_PRIORITY,
	OCW2_ROTATE_EOI_SPECIFIC,
};

#define POLL_PENDING	BIT(7)
#define NO_RANK		8

/* How far the highest of these inputs is from the one with the highest priority: 0 .. 7, or 8. */
static int best_rank(const struct i8259 *c, u8 inputs)
{
	return inputs ? __ffs(ror8(inputs, c->first)) : NO_RANK;
}

static int input_of_rank(const struct i8259 *c, int rank)
{
	return (rank + c->first) & 7;
}

/* In-service inputs that hold back others: in special mask mode those that aren't masked. */
static u8 blocking(const struct i8259 *c)
{
	return c->special_mask ? c->isr & ~c->imr : c->isr;
}

/* The input that an acknowledge cycle would get now, or -1. */
static int request(const struct i8259 *c)
{
	int rank = best_rank(c, c->irr & ~c->imr);
	int limit = best_rank(c, blocking(c));
	int input = input_of_rank(c, rank);

	/* special fully nested: the slave, itself in service, may ask again */
	if (rank < limit || (c->sfnm && rank == limit && input == PIC_CASCADE && rank != NO_RANK))
		return input;
	return -1;
}

/* After each change: what the slave tells the master, and the master the CPU. */
static void update(struct pic *pic)
{
	struct i8259 *master = &pic->chip[0];
	bool output;

	if (request(&pic->chip[1]) >= 0)
		master->irr |= BIT(PIC_CASCADE);
	else
		master->irr &= ~BIT(PIC_CASCADE);

	output = request(master) >= 0;
	if (output && !pic->output)
		pic->wake = true;
	WRITE_ONCE(pic->output, output);
}

/* The first vCPU that listens to the PICs, as KVM has it. */
static void wake_vcpu(struct vm *vm)
{
	struct vcpu *vcpu;
	int i;

	for_each_vcpu(i, vcpu, vm) {
		if (!lapic_accepts_extint(vcpu->lapic))
			continue;
		vcpu_request(vcpu, REQ_EVENT);
		vcpu_kick(vcpu);
		return;
	}
}

static unsigned long lock_pic(struct pic *pic)
	__acquires(&pic->lock)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&pic->lock, flags);
	return flags;
}

/* Unlocks, then tells the others what happened: they may come back here. */
static void unlock_pic(struct pic *pic, unsigned long flags)
	__releases(&pic->lock)
{
	bool wake = pic->wake, moved = pic->tick_moved;
	unsigned long acked = pic->acked;
	int pin;

	pic->wake = pic->tick_moved = false;
	pic->acked = 0;
	raw_spin_unlock_irqrestore(&pic->lock, flags);

	if (wake)
		wake_vcpu(pic->vm);
	if (moved)
		pit_tick_moved(pic->vm);
	for_each_set_bit(pin, &acked, PIC_PINS)
		irq_acked(pic->vm, pin / 8 ? IRQCHIP_SLAVE : IRQCHIP_MASTER, pin);
}

static bool is_tick(struct pic *pic, struct i8259 *c, int input)
{
	return c == &pic->chip[0] && input == TICK_GSI;
}

static void end_of_interrupt(struct pic *pic, struct i8259 *c, int input)
{
	if (!(c->isr & BIT(input)))
		return;
	c->isr &= ~BIT(input);
	pic->acked |= BIT(input + (c == &pic->chip[1] ? 8 : 0));
}

/* The acknowledge cycle, or a poll, for this input. */
static void acknowledge(struct pic *pic, struct i8259 *c, int input)
{
	c->isr |= BIT(input);
	if (!(c->elcr & BIT(input)))
		c->irr &= ~BIT(input);
	if (!c->aeoi)
		return;
	if (c->rotate_aeoi)
		c->first = (input + 1) & 7;
	end_of_interrupt(pic, c, input);
}

/* Returns as irq_set_line(). */
static int set_input(struct i8259 *c, int input, bool level)
{
	u8 bit = BIT(input);
	int ret = 1;

	if (level && ((c->elcr & bit) || !(c->lines & bit))) {
		ret = !(c->irr & bit);
		c->irr |= bit;
	} else if (!level && (c->elcr & bit)) {
		c->irr &= ~bit;
	}
	if (level)
		c->lines |= bit;
	else
		c->lines &= ~bit;
	return c->imr & bit ? -1 : ret;
}

/**
 * pic_set_line() - one source's level of an input
 * @pic: the PICs
 * @pin: 0 .. 7 the master's, 8 .. 15 the slave's
 * @source: whose level it is
 * @level: 0 or not
 *
 * Context: any, hard interrupts included.
 * Return: as irq_set_line(). The cascade's pin has no line: -1.
 */
int pic_set_line(struct pic *pic, unsigned int pin, enum irq_source source, int level)
{
	unsigned long flags;
	int ret;

	if (pin == PIC_CASCADE)
		return -1;

	flags = lock_pic(pic);
	level = line_level(&pic->sources[pin], source, level);
	ret = set_input(&pic->chip[pin / 8], pin % 8, level);
	update(pic);
	unlock_pic(pic, flags);
	return ret;
}

/**
 * pic_acknowledge() - the CPU's acknowledge cycle
 * @pic: the PICs
 *
 * A request that went away meanwhile is answered with the vector of input 7, of the chip that had
 * it, and nothing is in service then: the spurious IRQ 7 or 15.
 *
 * Context: the thread of a vCPU that listens to the PICs.
 * Return: the vector.
 */
int pic_acknowledge(struct pic *pic)
{
	struct i8259 *master = &pic->chip[0], *slave = &pic->chip[1], *c = master;
	unsigned long flags = lock_pic(pic);
	int input, vector;

	input = request(master);
	if (input >= 0)
		acknowledge(pic, master, input);
	if (input == PIC_CASCADE) {
		c = slave;
		input = request(slave);
		if (input >= 0)
			acknowledge(pic, slave, input);
	}
	vector = c->base + (input >= 0 ? input : PIC_SPURIOUS);

	/* what is asked for next is news, even if the output never fell */
	WRITE_ONCE(pic->output, false);
	update(pic);
	unlock_pic(pic, flags);
	return vector;
}

/* ---- ports ----------------------------------------------------------------------------------- */

static void icw1(struct pic *pic, struct i8259 *c, u8 val)
{
	/* a latched edge or an interrupt in service is forgotten: nobody will end it */
	if (c == &pic->chip[0])
		pic->tick_moved = true;

	c->irr &= c->elcr;
	c->lines &= c->elcr;
	c->isr = 0;
	c->imr = 0;
	c->first = 0;
	c->special_mask = c->read_isr = c->poll = c->rotate_aeoi = false;
	c->sfnm = c->aeoi = false;
	c->single = val & ICW1_SINGLE;
	c->want_icw4 = val & ICW1_ICW4;
	c->icw = 2;
}

static void next_icw(struct i8259 *c, u8 val)
{
	switch (c->icw) {
	case 2:
		c->base = val & 0xf8;
		c->icw = c->single ? (c->want_icw4 ? 4 : 0) : 3;
		break;
	case 3:		/* how the chips are wired: known */
		c->icw = c->want_icw4 ? 4 : 0;
		break;
	case 4:
		c->sfnm = val & ICW4_SFNM;
		c->aeoi = val & ICW4_AEOI;
		c->icw = 0;
		break;
	}
}

static void set_mask(struct pic *pic, struct i8259 *c, u8 imr)
{
	if (is_tick(pic, c, TICK_GSI) && ((c->imr ^ imr) & BIT(TICK_GSI)))
		pic->tick_moved = true;
	c->imr = imr;
}

/* The end of interrupt and priority commands. */
static void ocw2(struct pic *pic, struct i8259 *c, u8 val)
{
	enum ocw2 cmd = val >> 5;
	int input = val & 7, rank;

	switch (cmd) {
	case OCW2_ROTATE_AEOI_OFF:
	case OCW2_ROTATE_AEOI_ON:
		c->rotate_aeoi = cmd == OCW2_ROTATE_AEOI_ON;
		return;
	case OCW2_NOP:
		return;
	case OCW2_EOI:
	case OCW2_ROTATE_EOI:
		/* in special mask mode this doesn't end those that are masked */
		rank = best_rank(c, blocking(c));
		if (rank == NO_RANK)
			return;
		input = input_of_rank(c, rank);
		break;
	default:
		break;
	}
	if (cmd != OCW2_SET_PRIORITY)
		end_of_interrupt(pic, c, input);
	if (cmd == OCW2_ROTATE_EOI || cmd == OCW2_ROTATE_EOI_SPECIFIC || cmd == OCW2_SET_PRIORITY)
		c->first = (input + 1) & 7;
}

static void ocw3(struct i8259 *c, u8 val)
{
	if (val & OCW3_POLL)
		c->poll = true;
	if (val & OCW3_READ)
		c->read_isr = val & OCW3_READ_ISR;
	if (val & OCW3_SET_SMM)
		c->special_mask = val & OCW3_SMM;
}

static void write_chip(struct pic *pic, struct i8259 *c, int port, u8 val)
{
	if (port) {
		if (c->icw)
			next_icw(c, val);
		else
			set_mask(pic, c, val);
	} else if (val & ICW1) {
		icw1(pic, c, val);
	} else if (val & OCW3) {
		ocw3(c, val);
	} else {
		ocw2(pic, c, val);
	}
}

static u8 poll(struct pic *pic, struct i8259 *c)
{
	int input = request(c);

	c->poll = false;
	if (input < 0)
		return 0;
	acknowledge(pic, c, input);
	return POLL_PENDING | input;
}

static u8 read_chip(struct pic *pic, struct i8259 *c, int port)
{
	if (c->poll)
		return poll(pic, c);
	if (port)
		return c->imr;
	return c->read_isr ? c->isr : c->irr;
}

static void write_elcr(struct i8259 *c, u8 val)
{
	c->elcr = val & c->elcr_mask;
	/* a level-triggered request is its line */
	c->irr = (c->irr & ~c->elcr) | (c->lines & c->elcr);
}

static int pic_write(struct vcpu *vcpu, struct io_device *dev, u64 addr, int len, const void *data)
{
	struct pic *pic = container_of(dev, struct pic, io);
	u8 val = *(const u8 *)data;
	unsigned long flags;

	if (len != 1)
		return 0;	/* a PC would split it; nobody asks for that */

	flags = lock_pic(pic);
	if (addr >= PORT_ELCR)
		write_elcr(&pic->chip[addr & 1], val);
	else
		write_chip(pic, &pic->chip[addr >= PORT_SLAVE], addr & 1, val);
	update(pic);
	unlock_pic(pic, flags);
	return 0;
}

static int pic_read(struct vcpu *vcpu, struct io_device *dev, u64 addr, int len, void *data)
{
	struct pic *pic = container_of(dev, struct pic, io);
	unsigned long flags;
	u8 val;

	memset(data, 0, len);
	if (len != 1)
		return 0;

	flags = lock_pic(pic);
	if (addr >= PORT_ELCR)
		val = pic->chip[addr & 1].elcr;
	else
		val = read_chip(pic, &pic->chip[addr >= PORT_SLAVE], addr & 1);
	update(pic);
	unlock_pic(pic, flags);
	*(u8 *)data = val;
	return 0;
}

/* ---- GET_IRQCHIP, SET_IRQCHIP ---------------------------------------------------------------- */

/**
 * pic_get_state() - GET_IRQCHIP
 * @pic: the PICs
 * @id: which of them
 * @state: zeroed
 *
 * Context: any.
 */
void pic_get_state(struct pic *pic, enum irqchip_id id, struct minivmm_pic_state *state)
{
	unsigned long flags = lock_pic(pic);
	const struct i8259 *c = &pic->chip[id];

	*state = (struct minivmm_pic_state){
		.last_irr = c->lines, .irr = c->irr, .imr = c->imr, .isr = c->isr,
		.priority_add = c->first, .irq_base = c->base, .read_reg_select = c->read_isr,
		.poll = c->poll, .special_mask = c->special_mask,
		.init_state = c->icw ? c->icw - 1 : 0,
		.auto_eoi = c->aeoi, .rotate_on_auto_eoi = c->rotate_aeoi,
		.special_fully_nested_mode = c->sfnm, .init4 = c->want_icw4,
		.elcr = c->elcr, .elcr_mask = c->elcr_mask,
	};
	unlock_pic(pic, flags);
}

/**
 * pic_set_state() - SET_IRQCHIP
 * @pic: the PICs
 * @id: which of them
 * @state: as it was reported; elcr_mask isn't looked at
 *
 * Context: any.
 */
void pic_set_state(struct pic *pic, enum irqchip_id id, const struct minivmm_pic_state *state)
{
	unsigned long flags = lock_pic(pic);
	struct i8259 *c = &pic->chip[id];
	int i;

	c->lines = state->last_irr;
	c->irr = state->irr;
	c->imr = state->imr;
	c->isr = state->isr;
	c->first = state->priority_add & 7;
	c->base = state->irq_base & 0xf8;
	c->read_isr = state->read_reg_select;
	c->poll = state->poll;
	c->special_mask = state->special_mask;
	c->icw = state->init_state & 3 ? (state->init_state & 3) + 1 : 0;
	c->single = false;
	c->aeoi = state->auto_eoi;
	c->rotate_aeoi = state->rotate_on_auto_eoi;
	c->sfnm = state->special_fully_nested_mode;
	c->want_icw4 = state->init4;
	c->elcr = state->elcr & c->elcr_mask;
	for (i = 0; i < 8; i++)
		pic->sources[i + 8 * id] = c->lines & BIT(i) ? BIT(SOURCE_USER) : 0;
	pic->tick_moved = id == IRQCHIP_MASTER;
	update(pic);
	unlock_pic(pic, flags);
}

/**
 * pic_init() - two PICs after power-on, on their ports
 * @pic: zeroed memory
 * @vm: whose they are
 *
 * Context: vm->lock held; may sleep.
 * Return: 0 or -errno; nothing stays registered then.
 */
int pic_init(struct pic *pic, struct vm *vm)
{
	static const u16 port[] = { PORT_MASTER, PORT_SLAVE, PORT_ELCR };
	int i, ret;

	raw_spin_lock_init(&pic->lock);
	pic->vm = vm;
	/* timer, keyboard, cascade, RTC and FPU are edge-triggered for ever */
	pic->chip[0].elcr_mask = 0xf8;
	pic->chip[1].elcr_mask = 0xde;

	pic->io.read = pic_read;
	pic->io.write = pic_write;
	for (i = 0; i < ARRAY_SIZE(port); i++) {
		ret = io_bus_register(vm, BUS_PIO, port[i], 2, &pic->io);
		if (ret) {
			pic_unregister(pic);
			return ret;
		}
	}
	return 0;
}

/**
 * pic_unregister() - off its ports again, when not all of the chips could be made
 * @pic: the PICs
 *
 * Context: vm->lock held; may sleep.
 */
void pic_unregister(struct pic *pic)
{
	io_bus_unregister(pic->vm, BUS_PIO, &pic->io);
}
