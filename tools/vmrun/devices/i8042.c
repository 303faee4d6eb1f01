// SPDX-License-Identifier: GPL-2.0
/*
 * The keyboard controller and its keyboard, without a mouse. It resets the machine when asked to.
 */
#include <pthread.h>
#include <stdlib.h>

#include "../device.h"
#include "keyboard.h"

#define DATA_PORT	0x60
#define COMMAND_PORT	0x64
#define KBD_IRQ		1

#define STR_OBF		0x01
#define STR_SYS		0x04
#define STR_COMMAND	0x08
#define STR_KEYLOCK	0x10		/* set: not locked */
#define STR_AUXDATA	0x20
#define STR_TIMEOUT	0x40

#define CTR_KBDINT	0x01
#define CTR_SYS		0x04
#define CTR_KBDDIS	0x10
#define CTR_AUXDIS	0x20
#define CTR_XLATE	0x40

#define OUTPORT_NO_RESET	0x01
#define OUTPORT_A20		0x02

enum {
	CMD_READ_CTR = 0x20,
	CMD_WRITE_CTR = 0x60,
	CMD_AUX_DISABLE = 0xa7,
	CMD_AUX_ENABLE = 0xa8,
	CMD_AUX_TEST = 0xa9,
	CMD_SELF_TEST = 0xaa,
	CMD_KBD_TEST = 0xab,
	CMD_KBD_DISABLE = 0xad,
	CMD_KBD_ENABLE = 0xae,
	CMD_READ_INPORT = 0xc0,
	CMD_READ_OUTPORT = 0xd0,
	CMD_WRITE_OUTPORT = 0xd1,
	CMD_WRITE_KBD_BUFFER = 0xd2,
	CMD_AUX_LOOP = 0xd3,
	CMD_AUX_SEND = 0xd4,
	CMD_PULSE = 0xf0,		/* to 0xff: pulls the lines low whose bits are clear */
};

#define SELF_TEST_PASSED	0x55
#define PORT_TEST_PASSED	0x00
#define CLOCK_STUCK		0x01	/* what a port test says where no device can be */
#define INPORT_NOT_INHIBITED	0x80
#define REPLY_RESEND		0xfe	/* with STR_TIMEOUT: no mouse took the byte */

struct i8042 {
	pthread_mutex_t lock;
	struct irq_lines *irqs;
	struct stopper *stopper;
	uint8_t status, ctr, out;
	uint8_t waiting;		/* the command that the next data byte belongs to, or 0 */
	bool released;			/* translation: the keyboard's last byte was such a prefix */
	int level;
	struct keyboard_device keyboard;
};

static void reply(struct i8042 *c, uint8_t byte, uint8_t flags)
{
	c->out = byte;
	c->status &= ~(STR_AUXDATA | STR_TIMEOUT);
	c->status |= STR_OBF | flags;
}

static void reset_machine(struct i8042 *c)
{
	c->stopper->reset(c->stopper,
			  "the guest reset the machine (keyboard controller)");
}

static void write_command(struct i8042 *c, uint8_t cmd)
{
	c->waiting = 0;
	c->status |= STR_COMMAND;
	switch (cmd) {
	case CMD_READ_CTR:
		return reply(c, c->ctr, 0);
	case CMD_WRITE_CTR:
	case CMD_WRITE_OUTPORT:
	case CMD_WRITE_KBD_BUFFER:
	case CMD_AUX_LOOP:
	case CMD_AUX_SEND:
		c->waiting = cmd;
		return;
	case CMD_AUX_DISABLE:
		c->ctr |= CTR_AUXDIS;
		return;
	case CMD_AUX_ENABLE:
		c->ctr &= ~CTR_AUXDIS;
		return;
	case CMD_AUX_TEST:
		return reply(c, CLOCK_STUCK, 0);
	case CMD_SELF_TEST:
		c->status |= STR_SYS;
		return reply(c, SELF_TEST_PASSED, 0);
	case CMD_KBD_TEST:
		return reply(c, PORT_TEST_PASSED, 0);
	case CMD_KBD_DISABLE:
		c->ctr |= CTR_KBDDIS;
		return;
	case CMD_KBD_ENABLE:
		c->ctr &= ~CTR_KBDDIS;
		return;
	case CMD_READ_INPORT:
		return reply(c, INPORT_NOT_INHIBITED, 0);
	case CMD_READ_OUTPORT:
		return reply(c, OUTPORT_NO_RESET | OUTPORT_A20, 0);
	default:
		if (cmd >= CMD_PULSE && !(cmd & OUTPORT_NO_RESET))
			reset_machine(c);
	}
}

static void write_data(struct i8042 *c, uint8_t value)
{
	uint8_t cmd = c->waiting;

	c->waiting = 0;
	c->status &= ~STR_COMMAND;
	switch (cmd) {
	case CMD_WRITE_CTR:
		c->ctr = value;
		break;
	case CMD_WRITE_OUTPORT:
		if (!(value & OUTPORT_NO_RESET))
			reset_machine(c);
		break;
	case CMD_WRITE_KBD_BUFFER:
	case CMD_AUX_LOOP:		/* not as mouse data: there is no mouse port */
		reply(c, value, 0);
		break;
	case CMD_AUX_SEND:
		reply(c, REPLY_RESEND, STR_AUXDATA | STR_TIMEOUT);
		break;
	default:
		c->ctr &= ~CTR_KBDDIS;
		keyboard_command(&c->keyboard, value);
	}
}

static uint8_t read_data(struct i8042 *c)
{
	c->status &= ~(STR_OBF | STR_AUXDATA | STR_TIMEOUT);
	return c->out;
}

static void update_irq(struct i8042 *c)
{
	int level = (c->status & (STR_OBF | STR_AUXDATA)) == STR_OBF && (c->ctr & CTR_KBDINT);

	if (level == c->level)
		return;
	c->level = level;
	c->irqs->set(c->irqs, KBD_IRQ, level);
}

/* The keyboard's next byte, if there is room for it. */
static void fill(struct i8042 *c)
{
	uint8_t byte;

	while (!(c->status & STR_OBF) && !(c->ctr & CTR_KBDDIS) &&
	       keyboard_next(&c->keyboard, &byte))
		if (!(c->ctr & CTR_XLATE) || keyboard_translate(&byte, &c->released))
			reply(c, byte, 0);
}

/* The line goes down between two bytes: the interrupt is an edge. */
static void go_on(struct i8042 *c)
{
	update_irq(c);
	fill(c);
	update_irq(c);
}

static void i8042_data(void *opaque, struct bus_access *a)
{
	struct i8042 *c = opaque;

	pthread_mutex_lock(&c->lock);
	if (a->write)
		write_data(c, a->data[0]);
	else
		a->data[0] = read_data(c);
	go_on(c);
	pthread_mutex_unlock(&c->lock);
}

static void i8042_command(void *opaque, struct bus_access *a)
{
	struct i8042 *c = opaque;

	pthread_mutex_lock(&c->lock);
	if (a->write)
		write_command(c, a->data[0]);
	else
		a->data[0] = c->status;
	go_on(c);
	pthread_mutex_unlock(&c->lock);
}

static const char *i8042_type(void *opaque, const uint8_t *codes, size_t len)
{
	struct i8042 *c = opaque;
	const char *why;

	pthread_mutex_lock(&c->lock);
	why = keyboard_type(&c->keyboard, codes, len);
	go_on(c);
	pthread_mutex_unlock(&c->lock);
	return why;
}

static void i8042_destroy(void *dev)
{
	struct i8042 *c = dev;

	pthread_mutex_destroy(&c->lock);
	free(c);
}

static void *i8042_create(const struct device_env *env, struct error *err)
{
	struct i8042 *c = calloc(1, sizeof(*c));

	if (!c) {
		failed(err, "i8042: no memory");
		return NULL;
	}
	pthread_mutex_init(&c->lock, NULL);
	c->irqs = env->irqs;
	c->stopper = env->stopper;
	c->status = STR_SYS | STR_KEYLOCK;
	c->ctr = CTR_KBDINT | CTR_SYS | CTR_AUXDIS | CTR_XLATE;
	keyboard_reset(&c->keyboard);
	*env->keyboard = (struct keyboard) { i8042_type, c };
	if (bus_add(env->ports, DATA_PORT, 1, 1, i8042_data, c, "i8042 data", err) ||
	    bus_add(env->ports, COMMAND_PORT, 1, 1, i8042_command, c, "i8042 command", err)) {
		i8042_destroy(c);
		return NULL;
	}
	return c;
}

static void i8042_info(void *dev, FILE *out)
{
	struct i8042 *c = dev;

	pthread_mutex_lock(&c->lock);
	fprintf(out, "i8042   at %#x: status %02x, control %02x; keyboard: %s, set %u, LEDs %u, %u bytes wait\n",
		DATA_PORT, c->status, c->ctr, c->keyboard.off ? "off" : "on", c->keyboard.set,
		c->keyboard.leds, c->keyboard.nr_codes);
	pthread_mutex_unlock(&c->lock);
}

static void keyboard_fields(struct keyboard_device *k, struct fields *f)
{
	FIELD(f, k->replies);
	FIELD(f, k->codes);
	FIELD(f, k->nr_replies);
	FIELD(f, k->first_code);
	FIELD(f, k->nr_codes);
	FIELD(f, k->waiting);
	FIELD(f, k->set);
	FIELD(f, k->leds);
	FIELD(f, k->last);
	FIELD(f, k->off);
	FIELD(f, k->released);
	fields_must(f, k->nr_replies <= KEYBOARD_REPLIES && k->first_code < KEYBOARD_CODES &&
		    k->nr_codes <= KEYBOARD_CODES && k->set >= 1 && k->set <= 3, "its keyboard");
}

static void i8042_fields(void *dev, struct fields *f)
{
	struct i8042 *c = dev;

	FIELD(f, c->status);
	FIELD(f, c->ctr);
	FIELD(f, c->out);
	FIELD(f, c->waiting);
	FIELD(f, c->released);
	keyboard_fields(&c->keyboard, f);
	fields_line(f, c->irqs, KBD_IRQ, &c->level);
}

DEVICE(i8042) = {
	.name = "i8042",
	.order = 20,
	.create = i8042_create,
	.destroy = i8042_destroy,
	.info = i8042_info,
	.fields = i8042_fields,
};
