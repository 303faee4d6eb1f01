// SPDX-License-Identifier: GPL-2.0
/*
 * The 8254 interval timer and the bits of port 0x61 that belong to it. Channel 0 drives GSI 0 by an
 * hrtimer; channel 2's output and gate are in port 0x61. Counts aren't stored, they follow from the
 * time since they were loaded. Binary only: BCD is remembered, reported and otherwise ignored.
 *
 * Missed ticks: a guest that counts ticks must get all of them, so channel 0 owes a tick until the
 * guest has ended its interrupt, and sends the next one only then. A tick that no chip takes, since
 * all have it masked, is lost, as on a PC.
 */
#include <linux/errno.h>
#include <linux/hrtimer.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "irq.h"

#define PIT_HZ		1193182
#define PORT_PIT	0x40
#define PORT_SPEAKER	0x61
#define CONTROL		3	/* the fourth port; the others are the channels' */
#define NR_CHANNELS	3
#define SPEAKER_CHANNEL	2

/* A stopped VM's clock won't be wound forward by more. */
#define MAX_OWED	65536

/* the control word */
#define CW_CHANNEL(cw)	((cw) >> 6)
#define CW_ACCESS(cw)	((cw) >> 4 & 3)
#define CW_MODE(cw)	((cw) >> 1 & 7)
#define CW_BCD		BIT(0)
#define READ_BACK	3		/* as CW_CHANNEL */
#define RB_CHANNEL(ch)	(2 << (ch))
#define RB_NO_STATUS	BIT(4)
#define RB_NO_COUNT	BIT(5)
#define STATUS_OUT	BIT(7)
#define STATUS_NULL	BIT(6)

#define ACCESS_LSB	BIT(0)		/* as CW_ACCESS; 0 = latch the count */
#define ACCESS_MSB	BIT(1)
#define ACCESS_BOTH	(ACCESS_LSB | ACCESS_MSB)

/* port 0x61 */
#define SPEAKER_GATE	BIT(0)
#define SPEAKER_DATA	BIT(1)
#define REFRESH_CLOCK	BIT(4)
#define SPEAKER_OUT	BIT(5)

enum pit_mode {
	MODE_TERMINAL_COUNT,		/* interrupt when it gets to 0 */
	MODE_ONE_SHOT,			/* a pulse after the gate's rise */
	MODE_RATE,			/* a short pulse each period */
	MODE_SQUARE,
	MODE_STROBE,			/* a short pulse when it gets to 0 */
	MODE_TRIGGERED_STROBE,		/* the same after the gate's rise */
};

enum pit_state {
	IDLE,				/* waits for a count, or for the gate */
	RUNNING,
	HELD,				/* the gate is low */
};

struct pit_channel {
	enum pit_mode mode;
	enum pit_state state;
	u32 count;			/* as loaded: 1 .. 0x10000 */
	u64 start;			/* RUNNING: when, ns */
	u64 held;			/* HELD: clocks that had passed */
	bool loaded;			/* since the control word */
	bool gate, bcd;
	u8 access;
	u8 read_next, write_next;	/* ACCESS_LSB or ACCESS_MSB */
	u8 write_lsb;			/* waits for the MSB */
	u16 latch;
	u8 latched;			/* ACCESS_*: bytes of it that weren't read yet */
	bool status_latched;
	u8 status;
};

struct pit {
	struct vm *vm;
	spinlock_t lock;		/* channels, speaker */
	struct pit_channel channel[NR_CHANNELS];
	bool speaker_data, hpet_legacy;	/* the latter: a HPET drives GSI 0 */
	struct io_device io, speaker;

	struct hrtimer hrtimer;
	bool periodic;			/* these two change only while it is stopped */
	u64 interval;			/* ns */

	raw_spinlock_t pulse_lock;	/* a pulse on the line is up and down */
	bool reinject;			/* missed ticks are sent later */
	atomic_t in_flight;		/* a tick was sent and not ended yet */
	atomic_t owed;			/* ticks not ended yet, that one included */
};

/* ---- counting -------------------------------------------------------------------------------- */

static u64 ns_to_clocks(u64 ns)
{
	return mul_u64_u32_div(ns, PIT_HZ, NSEC_PER_SEC);
}

static u64 clocks_to_ns(u64 clocks)
{
	return mul_u64_u32_div(clocks, NSEC_PER_SEC, PIT_HZ);
}

static bool is_periodic(const struct pit_channel *c)
{
	return c->mode == MODE_RATE || c->mode == MODE_SQUARE;
}

static bool is_triggered(const struct pit_channel *c)
{
	return c->mode == MODE_ONE_SHOT || c->mode == MODE_TRIGGERED_STROBE;
}

static u64 clocks_passed(const struct pit_channel *c, u64 now)
{
	switch (c->state) {
	case RUNNING:
		return ns_to_clocks(now - c->start);
	case HELD:
		return c->held;
	default:
		return 0;
	}
}

/* A square wave counts down by two, once for each half; an odd count's first half is longer. */
static u16 square_count(u32 count, u64 phase)
{
	u32 half = (count + 1) / 2;

	return (count & ~1) - 2 * (phase % half);
}

static u16 count_now(const struct pit_channel *c, u64 now)
{
	u64 clocks = clocks_passed(c, now);

	switch (c->mode) {
	case MODE_RATE:
		return c->count - clocks % c->count;
	case MODE_SQUARE:
		return square_count(c->count, clocks % c->count);
	default:	/* these wrap and count on */
		return c->count - clocks;
	}
}

static bool out_now(const struct pit_channel *c, u64 now)
{
	u64 clocks = clocks_passed(c, now);

	if (c->state == IDLE)
		return c->mode != MODE_TERMINAL_COUNT;
	switch (c->mode) {
	case MODE_RATE:
		return c->state == HELD || clocks % c->count != c->count - 1;
	case MODE_SQUARE:
		return c->state == HELD || clocks % c->count < (c->count + 1) / 2;
	case MODE_STROBE:
	case MODE_TRIGGERED_STROBE:
		return clocks != c->count;
	default:
		return clocks >= c->count;
	}
}

static void run_from(struct pit_channel *c, u64 start)
{
	c->state = RUNNING;
	c->start = start;
}

static void load_count(struct pit_channel *c, u32 count, u64 now)
{
	c->count = count ?: 0x10000;
	c->loaded = true;
	if (is_triggered(c))
		return;		/* from the next trigger on */
	if (c->gate) {
		run_from(c, now);
	} else {
		c->state = HELD;
		c->held = 0;
	}
}

static void set_gate(struct pit_channel *c, bool gate, u64 now)
{
	bool rises = gate && !c->gate, falls = !gate && c->gate;

	c->gate = gate;
	if (!c->loaded)
		return;
	if (rises && c->mode != MODE_TERMINAL_COUNT && c->mode != MODE_STROBE) {
		run_from(c, now);
	} else if (rises) {
		run_from(c, now - clocks_to_ns(c->held));
	} else if (falls && !is_triggered(c)) {
		c->held = clocks_passed(c, now);
		c->state = HELD;
	}
}

/* ---- ticks ----------------------------------------------------------------------------------- */

static void forget_ticks(struct pit *pit)
{
	atomic_set(&pit->owed, 0);
	atomic_set(&pit->in_flight, 0);
}

/* Sends a tick unless one is on its way. */
static void send_tick(struct pit *pit)
{
	struct vcpu *vcpu;
	unsigned long flags;
	int i, taken;

	if (atomic_xchg(&pit->in_flight, 1) && READ_ONCE(pit->reinject))
		return;

	raw_spin_lock_irqsave(&pit->pulse_lock, flags);
	taken = irq_set_source(pit->vm, TICK_GSI, SOURCE_PIT, 1);
	irq_set_source(pit->vm, TICK_GSI, SOURCE_PIT, 0);
	raw_spin_unlock_irqrestore(&pit->pulse_lock, flags);
	if (taken < 0)
		forget_ticks(pit);

	for_each_vcpu(i, vcpu, pit->vm)
		lapic_pit_tick(vcpu->lapic);
}

static enum hrtimer_restart pit_expired(struct hrtimer *hrtimer)
{
	struct pit *pit = container_of(hrtimer, struct pit, hrtimer);
	u64 ticks = 1;

	/* more than one if the host was late */
	if (pit->periodic)
		ticks = hrtimer_forward_now(hrtimer, ns_to_ktime(pit->interval));
	if (atomic_read(&pit->owed) < MAX_OWED)
		atomic_add(min_t(u64, ticks, MAX_OWED), &pit->owed);
	send_tick(pit);
	return pit->periodic ? HRTIMER_RESTART : HRTIMER_NORESTART;
}

/**
 * pit_tick_acked() - the guest has ended a tick's interrupt
 * @vm: the VM; it may have no PIT
 *
 * Context: any; no chip's lock held.
 */
void pit_tick_acked(struct vm *vm)
{
	struct pit *pit = smp_load_acquire(&vm->pit);

	if (!pit)
		return;
	atomic_set(&pit->in_flight, 0);
	smp_mb();	/* pit_expired() adds to owed, then looks at in_flight */
	if (atomic_dec_if_positive(&pit->owed) > 0)
		send_tick(pit);
}

/**
 * pit_tick_moved() - the guest has changed where ticks go
 * @vm: the VM; it may have no PIT
 *
 * What is on its way may never be ended, and what is owed was for whoever listened before.
 *
 * Context: any; no chip's lock held.
 */
void pit_tick_moved(struct vm *vm)
{
	struct pit *pit = smp_load_acquire(&vm->pit);

	if (pit)
		forget_ticks(pit);
}

static void stop_ticks(struct pit *pit)
{
	hrtimer_cancel(&pit->hrtimer);
	forget_ticks(pit);
}

/* After channel 0 was loaded. */
static void start_ticks(struct pit *pit, u64 now)
{
	struct pit_channel *c = &pit->channel[0];
	u64 ns = clocks_to_ns(c->count);

	stop_ticks(pit);
	if (c->state != RUNNING || pit->hpet_legacy)
		return;		/* a triggered mode: this channel's gate never rises */

	pit->periodic = is_periodic(c);
	if (pit->periodic)
		ns = max_t(u64, ns, MIN_TIMER_PERIOD_NS);
	pit->interval = ns;
	hrtimer_start(&pit->hrtimer, ns_to_ktime(now + ns), HRTIMER_MODE_ABS_HARD);
}

/*
 * A period in ns isn't whole, so channel 0's count would drift away from its ticks: it is counted
 * from the last tick. The clock is read after this, or a tick in between would lie ahead of it.
 */
static void follow_ticks(struct pit *pit)
{
	struct pit_channel *c = &pit->channel[0];

	if (c->state == RUNNING && is_periodic(c))
		c->start = ktime_to_ns(hrtimer_get_expires(&pit->hrtimer)) - pit->interval;
}

/* ---- ports ----------------------------------------------------------------------------------- */

static void latch_count(struct pit_channel *c, u64 now)
{
	if (c->latched)
		return;
	c->latch = count_now(c, now);
	c->latched = c->access;
}

static void latch_status(struct pit_channel *c, u64 now)
{
	if (c->status_latched)
		return;
	c->status_latched = true;
	c->status = c->access << 4 | c->mode << 1 | c->bcd;
	if (out_now(c, now))
		c->status |= STATUS_OUT;
	if (!c->loaded || c->state == IDLE)
		c->status |= STATUS_NULL;
}

static void read_back(struct pit *pit, u8 val, u64 now)
{
	int i;

	for (i = 0; i < NR_CHANNELS; i++) {
		if (!(val & RB_CHANNEL(i)))
			continue;
		if (!(val & RB_NO_COUNT))
			latch_count(&pit->channel[i], now);
		if (!(val & RB_NO_STATUS))
			latch_status(&pit->channel[i], now);
	}
}

static u8 first_byte(u8 access)
{
	return access & ACCESS_LSB ? ACCESS_LSB : ACCESS_MSB;
}

static void write_control(struct pit *pit, u8 val, u64 now)
{
	struct pit_channel *c;

	if (CW_CHANNEL(val) == READ_BACK) {
		read_back(pit, val, now);
		return;
	}
	c = &pit->channel[CW_CHANNEL(val)];
	if (!CW_ACCESS(val)) {
		latch_count(c, now);
		return;
	}
	c->access = CW_ACCESS(val);
	c->read_next = c->write_next = first_byte(c->access);
	c->latched = 0;
	c->status_latched = false;
	c->mode = CW_MODE(val) > MODE_TRIGGERED_STROBE ? CW_MODE(val) - 4 : CW_MODE(val);
	c->bcd = val & CW_BCD;
	c->loaded = false;
	c->state = IDLE;
	if (c == &pit->channel[0])
		stop_ticks(pit);
}

/* Half of a count, or all of it. */
static void write_count(struct pit *pit, struct pit_channel *c, u8 val, u64 now)
{
	u16 count;

	if (c->access == ACCESS_BOTH && c->write_next == ACCESS_LSB) {
		c->write_lsb = val;
		c->write_next = ACCESS_MSB;
		return;
	}
	count = c->access & ACCESS_MSB ? val << 8 : val;
	if (c->access == ACCESS_BOTH)
		count |= c->write_lsb;
	c->write_next = first_byte(c->access);

	load_count(c, count, now);
	if (c == &pit->channel[0])
		start_ticks(pit, now);
}

static u8 read_latch(struct pit_channel *c)
{
	u8 byte = first_byte(c->latched);

	c->latched &= ~byte;
	return byte == ACCESS_LSB ? c->latch : c->latch >> 8;
}

static u8 read_channel(struct pit_channel *c, u64 now)
{
	u16 count;
	u8 byte;

	if (c->status_latched) {
		c->status_latched = false;
		return c->status;
	}
	if (c->latched)
		return read_latch(c);

	count = count_now(c, now);
	byte = c->read_next;
	if (c->access == ACCESS_BOTH)
		c->read_next ^= ACCESS_BOTH;
	return byte == ACCESS_LSB ? count : count >> 8;
}

static int pit_write(struct vcpu *vcpu, struct io_device *dev, u64 addr, int len, const void *data)
{
	struct pit *pit = container_of(dev, struct pit, io);
	unsigned int port = addr - PORT_PIT;
	u8 val = *(const u8 *)data;
	u64 now;

	spin_lock(&pit->lock);
	follow_ticks(pit);
	now = ktime_get_ns();
	if (port == CONTROL)
		write_control(pit, val, now);
	else
		write_count(pit, &pit->channel[port], val, now);
	spin_unlock(&pit->lock);
	return 0;
}

static int pit_read(struct vcpu *vcpu, struct io_device *dev, u64 addr, int len, void *data)
{
	struct pit *pit = container_of(dev, struct pit, io);
	unsigned int port = addr - PORT_PIT;
	u8 val = 0;

	spin_lock(&pit->lock);
	follow_ticks(pit);
	if (port != CONTROL)
		val = read_channel(&pit->channel[port], ktime_get_ns());
	spin_unlock(&pit->lock);

	memset(data, 0, len);
	*(u8 *)data = val;
	return 0;
}

static int speaker_write(struct vcpu *vcpu, struct io_device *dev, u64 addr, int len,
			 const void *data)
{
	struct pit *pit = container_of(dev, struct pit, speaker);
	u8 val = *(const u8 *)data;

	spin_lock(&pit->lock);
	pit->speaker_data = val & SPEAKER_DATA;
	set_gate(&pit->channel[SPEAKER_CHANNEL], val & SPEAKER_GATE, ktime_get_ns());
	spin_unlock(&pit->lock);
	return 0;
}

static int speaker_read(struct vcpu *vcpu, struct io_device *dev, u64 addr, int len, void *data)
{
	struct pit *pit = container_of(dev, struct pit, speaker);
	struct pit_channel *c = &pit->channel[SPEAKER_CHANNEL];
	u64 now = ktime_get_ns();
	u8 val = 0;

	spin_lock(&pit->lock);
	if (c->gate)
		val |= SPEAKER_GATE;
	if (pit->speaker_data)
		val |= SPEAKER_DATA;
	if (out_now(c, now))
		val |= SPEAKER_OUT;
	spin_unlock(&pit->lock);
	if (now >> 14 & 1)	/* DRAM refresh: about every 15 us */
		val |= REFRESH_CLOCK;

	memset(data, 0, len);
	*(u8 *)data = val;
	return 0;
}

/* ---- GET_PIT2, SET_PIT2 ---------------------------------------------------------------------- */

#define NO_MODE		0xff	/* as KVM says that no control word has come */
#define LSB_OF_BOTH	3	/* how KVM tells the bytes of a 16-bit access apart */
#define MSB_OF_BOTH	4

static u8 byte_to_state(const struct pit_channel *c, u8 next)
{
	if (c->access != ACCESS_BOTH)
		return c->access;
	return next == ACCESS_LSB ? LSB_OF_BOTH : MSB_OF_BOTH;
}

static u8 state_to_byte(u8 access, u8 state)
{
	return state == MSB_OF_BOTH ? ACCESS_MSB : first_byte(access);
}

static void get_channel(const struct pit_channel *c, struct minivmm_pit_channel_state *s)
{
	*s = (struct minivmm_pit_channel_state){
		.count = c->count,
		.latched_count = c->latch,
		/* one byte that is left of two is the upper one */
		.count_latched = c->latched == ACCESS_MSB && c->access == ACCESS_BOTH ?
				 MSB_OF_BOTH : c->latched,
		.status_latched = c->status_latched,
		.status = c->status,
		.read_state = byte_to_state(c, c->read_next),
		.write_state = byte_to_state(c, c->write_next),
		.write_latch = c->write_lsb,
		.rw_mode = c->access,
		.mode = c->loaded ? c->mode : NO_MODE,
		.bcd = c->bcd,
		.gate = c->gate,
		.count_load_time = c->start,
	};
}

static void set_channel(struct pit_channel *c, const struct minivmm_pit_channel_state *s, u64 now)
{
	*c = (struct pit_channel){
		.mode = s->mode > MODE_TRIGGERED_STROBE ? MODE_TERMINAL_COUNT : s->mode,
		.latch = s->latched_count,
		.latched = s->count_latched >= MSB_OF_BOTH ? ACCESS_MSB : s->count_latched,
		.status_latched = s->status_latched,
		.status = s->status,
		.access = s->rw_mode & ACCESS_BOTH ?: ACCESS_BOTH,
		.write_lsb = s->write_latch,
		.bcd = s->bcd,
		.gate = s->gate,
	};
	c->read_next = state_to_byte(c->access, s->read_state);
	c->write_next = state_to_byte(c->access, s->write_state);
	c->count = 0x10000;
	if (s->mode <= MODE_TRIGGERED_STROBE)
		load_count(c, min(s->count, 0x10000u), now);
}

/**
 * pit_get_state() - GET_PIT2
 * @pit: the PIT
 * @state: zeroed
 *
 * Context: may sleep.
 */
void pit_get_state(struct pit *pit, struct minivmm_pit_state2 *state)
{
	int i;

	spin_lock(&pit->lock);
	follow_ticks(pit);
	for (i = 0; i < NR_CHANNELS; i++)
		get_channel(&pit->channel[i], &state->channels[i]);
	state->flags = (pit->hpet_legacy ? MINIVMM_PIT_FLAGS_HPET_LEGACY : 0) |
		       (pit->speaker_data ? MINIVMM_PIT_FLAGS_SPEAKER_DATA_ON : 0);
	spin_unlock(&pit->lock);
}

/**
 * pit_set_state() - SET_PIT2
 * @pit: the PIT
 * @state: as it was reported; counts begin anew, as in KVM
 *
 * Context: may sleep.
 */
void pit_set_state(struct pit *pit, const struct minivmm_pit_state2 *state)
{
	u64 now = ktime_get_ns();
	int i;

	spin_lock(&pit->lock);
	pit->hpet_legacy = state->flags & MINIVMM_PIT_FLAGS_HPET_LEGACY;
	pit->speaker_data = state->flags & MINIVMM_PIT_FLAGS_SPEAKER_DATA_ON;
	for (i = 0; i < NR_CHANNELS; i++)
		set_channel(&pit->channel[i], &state->channels[i], now);
	start_ticks(pit, now);
	spin_unlock(&pit->lock);
}

/**
 * pit_set_reinject() - REINJECT_CONTROL
 * @pit: the PIT
 * @reinject: a tick that the guest has missed is sent later; or it is lost
 *
 * Context: any.
 */
void pit_set_reinject(struct pit *pit, bool reinject)
{
	WRITE_ONCE(pit->reinject, reinject);
	forget_ticks(pit);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void power_on(struct pit *pit)
{
	int i;

	for (i = 0; i < NR_CHANNELS; i++) {
		struct pit_channel *c = &pit->channel[i];

		c->count = 0x10000;
		c->access = ACCESS_BOTH;
		c->read_next = c->write_next = ACCESS_LSB;
		c->gate = i != SPEAKER_CHANNEL;
	}
}

static int register_ports(struct pit *pit, u32 flags)
{
	int ret;

	pit->io.read = pit_read;
	pit->io.write = pit_write;
	pit->io.atomic = true;
	ret = io_bus_register(pit->vm, BUS_PIO, PORT_PIT, NR_CHANNELS + 1, &pit->io);
	if (ret || !(flags & MINIVMM_PIT_SPEAKER_DUMMY))
		return ret;

	pit->speaker.read = speaker_read;
	pit->speaker.write = speaker_write;
	ret = io_bus_register(pit->vm, BUS_PIO, PORT_SPEAKER, 1, &pit->speaker);
	if (ret)
		io_bus_unregister(pit->vm, BUS_PIO, &pit->io);
	return ret;
}

/**
 * pit_create() - a PIT
 * @vm: the VM; it has an irqchip and no PIT
 * @flags: MINIVMM_PIT_SPEAKER_DUMMY: port 0x61 too
 *
 * Context: vm->lock held; may sleep.
 * Return: 0 or -errno; then nothing has changed.
 */
int pit_create(struct vm *vm, u32 flags)
{
	struct pit *pit = kzalloc(sizeof(*pit), GFP_KERNEL_ACCOUNT);
	int ret;

	if (!pit)
		return -ENOMEM;
	pit->vm = vm;
	spin_lock_init(&pit->lock);
	raw_spin_lock_init(&pit->pulse_lock);
	hrtimer_init(&pit->hrtimer, CLOCK_MONOTONIC, HRTIMER_MODE_ABS_HARD);
	pit->hrtimer.function = pit_expired;
	power_on(pit);
	pit->reinject = true;

	ret = register_ports(pit, flags);
	if (ret) {
		hrtimer_cancel(&pit->hrtimer);	/* a vCPU may have been quick */
		kfree(pit);
		return ret;
	}
	smp_store_release(&vm->pit, pit);
	return 0;
}

/**
 * pit_destroy() - the end of the PIT
 * @vm: the VM; it may have none
 *
 * Context: may sleep. No vCPU runs any more, but they must still be there: ticks look at them.
 */
void pit_destroy(struct vm *vm)
{
	struct pit *pit = vm->pit;

	if (!pit)
		return;
	hrtimer_cancel(&pit->hrtimer);
	vm->pit = NULL;
	kfree(pit);
}
