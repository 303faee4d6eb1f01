// SPDX-License-Identifier: GPL-2.0
/*
 * The serial ports: a 16550A at 0x3f8 on IRQ 4, wired to the console, and one at 0x2f8 on IRQ 3 if
 * there is a stream for it.
 *
 * Transmission takes no time: the transmitter is always empty again when the write returns. The
 * line is only moved when its level changes; since the guest clears the transmitter interrupt by
 * reading IIR and writes up to 16 bytes then, that is two movements for 16 bytes.
 */
#include <linux/serial_reg.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "../device.h"
#include "../stream.h"

#define COM1_PORT	0x3f8
#define COM1_IRQ	4
#define COM2_PORT	0x2f8
#define COM2_IRQ	3

#define FIFO_SIZE	16
#define IER_MASK	(UART_IER_RDI | UART_IER_THRI | UART_IER_RLSI | UART_IER_MSI)
#define MCR_MASK	(UART_MCR_DTR | UART_MCR_RTS | UART_MCR_OUT1 | UART_MCR_OUT2 | \
			 UART_MCR_LOOP)
#define IIR_TIMEOUT	(UART_IIR_RDI | 0x08)	/* bytes wait, fewer than the trigger level */
#define IIR_FIFO_ON	0xc0

struct uart {
	pthread_mutex_t lock;
	struct irq_lines *irqs;
	struct chardev *chr;
	unsigned int port, irq;

	uint8_t ier, lcr, mcr, scr, fcr;
	uint8_t dll, dlm;
	uint8_t lsr_errors;		/* cleared by reading LSR */
	uint8_t msr_deltas;		/* cleared by reading MSR */
	int thri;			/* the transmitter's interrupt waits for IIR */
	int level;

	uint8_t rx[FIFO_SIZE];
	unsigned int rx_head, rx_len;
	unsigned long received, sent;
};

static unsigned int rx_capacity(const struct uart *u)
{
	return u->fcr & UART_FCR_ENABLE_FIFO ? FIFO_SIZE : 1;
}

static unsigned int rx_trigger(const struct uart *u)
{
	static const uint8_t levels[] = { 1, 4, 8, 14 };

	return u->fcr & UART_FCR_ENABLE_FIFO ? levels[u->fcr >> 6] : 1;
}

static void rx_push(struct uart *u, uint8_t byte)
{
	if (u->rx_len == rx_capacity(u)) {
		u->lsr_errors |= UART_LSR_OE;
		return;
	}
	u->rx[(u->rx_head + u->rx_len++) % FIFO_SIZE] = byte;
	u->received++;
}

/* Takes what waits at the console, as far as there is room: nothing is lost between the two. */
static void rx_fill(struct uart *u)
{
	uint8_t buf[FIFO_SIZE];
	size_t i, n;

	if (u->mcr & UART_MCR_LOOP)
		return;
	n = u->chr->read(u->chr, buf, rx_capacity(u) - u->rx_len);
	for (i = 0; i < n; i++)
		rx_push(u, buf[i]);
}

/* The interrupt of highest priority that waits. */
static uint8_t pending(const struct uart *u)
{
	if ((u->ier & UART_IER_RLSI) && u->lsr_errors)
		return UART_IIR_RLSI;
	if ((u->ier & UART_IER_RDI) && u->rx_len)
		return u->rx_len >= rx_trigger(u) ? UART_IIR_RDI : IIR_TIMEOUT;
	if ((u->ier & UART_IER_THRI) && u->thri)
		return UART_IIR_THRI;
	if ((u->ier & UART_IER_MSI) && u->msr_deltas)
		return UART_IIR_MSI;
	return UART_IIR_NO_INT;
}

/* OUT2 is the gate between the chip and the interrupt line; loopback disconnects it. */
static void update_irq(struct uart *u)
{
	int level = pending(u) != UART_IIR_NO_INT &&
		    (u->mcr & (UART_MCR_OUT2 | UART_MCR_LOOP)) == UART_MCR_OUT2;

	if (level == u->level)
		return;
	u->level = level;
	u->irqs->set(u->irqs, u->irq, level);
}

static uint8_t modem_lines(const struct uart *u)
{
	uint8_t lines = 0;

	if (!(u->mcr & UART_MCR_LOOP))
		return UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS;
	if (u->mcr & UART_MCR_RTS)
		lines |= UART_MSR_CTS;
	if (u->mcr & UART_MCR_DTR)
		lines |= UART_MSR_DSR;
	if (u->mcr & UART_MCR_OUT1)
		lines |= UART_MSR_RI;
	if (u->mcr & UART_MCR_OUT2)
		lines |= UART_MSR_DCD;
	return lines;
}

static void write_mcr(struct uart *u, uint8_t value)
{
	uint8_t before = modem_lines(u), changed;

	u->mcr = value & MCR_MASK;
	changed = before ^ modem_lines(u);
	if (changed & UART_MSR_CTS)
		u->msr_deltas |= UART_MSR_DCTS;
	if (changed & UART_MSR_DSR)
		u->msr_deltas |= UART_MSR_DDSR;
	if (changed & before & UART_MSR_RI)
		u->msr_deltas |= UART_MSR_TERI;
	if (changed & UART_MSR_DCD)
		u->msr_deltas |= UART_MSR_DDCD;
}

static void write_fcr(struct uart *u, uint8_t value)
{
	int switched = (u->fcr ^ value) & UART_FCR_ENABLE_FIFO;

	if (switched || ((value & UART_FCR_ENABLE_FIFO) && (value & UART_FCR_CLEAR_RCVR)))
		u->rx_head = u->rx_len = 0;
	if (switched || ((value & UART_FCR_ENABLE_FIFO) && (value & UART_FCR_CLEAR_XMIT)))
		u->thri = 1;
	u->fcr = 0;
	if (value & UART_FCR_ENABLE_FIFO)
		u->fcr = value & (UART_FCR_ENABLE_FIFO | UART_FCR_TRIGGER_MASK);
}

/* Return: whether the byte leaves the chip. */
static bool write_thr(struct uart *u, uint8_t value)
{
	u->thri = 1;
	if (u->mcr & UART_MCR_LOOP) {
		rx_push(u, value);
		return false;
	}
	u->sent++;
	return true;
}

/* Return: whether the value is to be sent. */
static bool uart_write(struct uart *u, unsigned int reg, uint8_t value)
{
	int dlab = u->lcr & UART_LCR_DLAB;
	bool send = false;

	switch (reg) {
	case UART_TX:
		if (dlab)
			u->dll = value;
		else
			send = write_thr(u, value);
		break;
	case UART_IER:
		if (dlab) {
			u->dlm = value;
			break;
		}
		if (value & ~u->ier & UART_IER_THRI)
			u->thri = 1;
		u->ier = value & IER_MASK;
		break;
	case UART_FCR:
		write_fcr(u, value);
		break;
	case UART_LCR:
		u->lcr = value;
		break;
	case UART_MCR:
		write_mcr(u, value);
		break;
	case UART_SCR:
		u->scr = value;
		break;
	default:			/* LSR and MSR are read-only */
		break;
	}
	rx_fill(u);
	return send;
}

static uint8_t read_rx(struct uart *u)
{
	uint8_t byte = 0;

	if (u->rx_len) {
		byte = u->rx[u->rx_head];
		u->rx_head = (u->rx_head + 1) % FIFO_SIZE;
		u->rx_len--;
	}
	if (!u->rx_len)
		rx_fill(u);
	return byte;
}

static uint8_t read_iir(struct uart *u)
{
	uint8_t iir = pending(u);

	if (iir == UART_IIR_THRI)
		u->thri = 0;
	return iir | (u->fcr & UART_FCR_ENABLE_FIFO ? IIR_FIFO_ON : 0);
}

static uint8_t read_lsr(struct uart *u)
{
	uint8_t lsr = UART_LSR_THRE | UART_LSR_TEMT | u->lsr_errors;

	if (u->rx_len)
		lsr |= UART_LSR_DR;
	u->lsr_errors = 0;
	return lsr;
}

static uint8_t read_msr(struct uart *u)
{
	uint8_t msr = modem_lines(u) | u->msr_deltas;

	u->msr_deltas = 0;
	return msr;
}

static uint8_t uart_read(struct uart *u, unsigned int reg)
{
	int dlab = u->lcr & UART_LCR_DLAB;

	switch (reg) {
	case UART_RX:
		return dlab ? u->dll : read_rx(u);
	case UART_IER:
		return dlab ? u->dlm : u->ier;
	case UART_IIR:
		return read_iir(u);
	case UART_LCR:
		return u->lcr;
	case UART_MCR:
		return u->mcr;
	case UART_LSR:
		return read_lsr(u);
	case UART_MSR:
		return read_msr(u);
	default:
		return u->scr;
	}
}

static void uart_access(void *opaque, struct bus_access *a)
{
	struct uart *u = opaque;
	bool send = false;

	pthread_mutex_lock(&u->lock);
	if (a->write)
		send = uart_write(u, a->offset, a->data[0]);
	else
		a->data[0] = uart_read(u, a->offset);
	update_irq(u);
	pthread_mutex_unlock(&u->lock);

	/* Unlocked: this may wait for whoever reads our output, and input must go on meanwhile. */
	if (send)
		u->chr->write(u->chr, a->data, 1);
}

static void uart_notify(void *opaque)
{
	struct uart *u = opaque;

	pthread_mutex_lock(&u->lock);
	rx_fill(u);
	update_irq(u);
	pthread_mutex_unlock(&u->lock);
}

static void uart_destroy(void *dev)
{
	struct uart *u = dev;

	if (u->chr->opaque == u)
		u->chr->notify = NULL;
	pthread_mutex_destroy(&u->lock);
	free(u);
}

static struct uart *create(const struct device_env *env, unsigned int port, unsigned int irq,
			   struct chardev *chr, struct error *err)
{
	struct uart *u = calloc(1, sizeof(*u));

	if (!u) {
		failed(err, "uart: no memory");
		return NULL;
	}
	pthread_mutex_init(&u->lock, NULL);
	u->irqs = env->irqs;
	u->port = port;
	u->irq = irq;
	u->chr = chr;
	u->dll = 1;			/* 115200 baud */
	u->thri = 1;
	u->chr->opaque = u;
	u->chr->notify = uart_notify;
	if (bus_add(env->ports, port, 8, 1, uart_access, u, "uart", err)) {
		uart_destroy(u);
		return NULL;
	}
	return u;
}

static void *uart_create(const struct device_env *env, struct error *err)
{
	return create(env, COM1_PORT, COM1_IRQ, env->console, err);
}

static void uart_info(void *dev, FILE *out)
{
	struct uart *u = dev;

	pthread_mutex_lock(&u->lock);
	fprintf(out, "uart    16550A at %#x irq %u (%s): IER %02x LCR %02x MCR %02x, ", u->port,
		u->irq, u->level ? "high" : "low", u->ier, u->lcr, u->mcr);
	fprintf(out, "%lu sent, %lu received\n", u->sent, u->received);
	pthread_mutex_unlock(&u->lock);
}

static void uart_fields(void *dev, struct fields *f)
{
	struct uart *u = dev;

	FIELD(f, u->ier);
	FIELD(f, u->lcr);
	FIELD(f, u->mcr);
	FIELD(f, u->scr);
	FIELD(f, u->fcr);
	FIELD(f, u->dll);
	FIELD(f, u->dlm);
	FIELD(f, u->lsr_errors);
	FIELD(f, u->msr_deltas);
	FIELD(f, u->thri);
	FIELD(f, u->rx);
	FIELD(f, u->rx_head);
	FIELD(f, u->rx_len);
	fields_must(f, u->rx_head < FIFO_SIZE && u->rx_len <= rx_capacity(u),
		    "more is received than there is room for");
	fields_line(f, u->irqs, u->irq, &u->level);
}

DEVICE(uart) = {
	.name = "uart",
	.order = 10,
	.create = uart_create,
	.destroy = uart_destroy,
	.info = uart_info,
	.fields = uart_fields,
};

/* ---- COM2 ------------------------------------------------------------------------------------ */

struct second {
	struct uart *uart;		/* NULL: there is none */
	struct stream stream;
};

static void second_destroy(void *dev)
{
	struct second *s = dev;

	if (s->uart) {
		uart_destroy(s->uart);
		stream_close(&s->stream);
	}
	free(s);
}

static void *second_create(const struct device_env *env, struct error *err)
{
	struct second *s = calloc(1, sizeof(*s));

	if (!s) {
		failed(err, "uart: no memory");
		return NULL;
	}
	if (!env->serial2)
		return s;
	if (stream_open(&s->stream, env->serial2, "serial2", env->loop, err)) {
		free(s);
		return NULL;
	}
	s->uart = create(env, COM2_PORT, COM2_IRQ, &s->stream.chr, err);
	if (!s->uart) {
		stream_close(&s->stream);
		free(s);
		return NULL;
	}
	return s;
}

static void second_info(void *dev, FILE *out)
{
	struct second *s = dev;

	if (s->uart)
		uart_info(s->uart, out);
}

static void second_fields(void *dev, struct fields *f)
{
	struct second *s = dev;

	fields_same(f, s->uart != NULL, "one has --serial2, the other hasn't");
	if (s->uart && !f->why)
		uart_fields(s->uart, f);
}

DEVICE(uart2) = {
	.name = "uart2",
	.order = 11,
	.create = second_create,
	.destroy = second_destroy,
	.info = second_info,
	.fields = second_fields,
};
