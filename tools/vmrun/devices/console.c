// SPDX-License-Identifier: GPL-2.0
/*
 * virtio console (virtio 1.2, "Console Device") with several ports, each of which is a stream. With
 * a terminal on it, the first is a console: Linux' hvc0.
 */
#include <linux/virtio_console.h>
#include <stdlib.h>
#include <string.h>

#include "../stream.h"
#include "../virtio.h"

enum { QUEUE_CONTROL_IN = 2, QUEUE_CONTROL_OUT = 3 };

#define PIECE		4096
#define AT_ONCE		(1U << 20)	/* bytes from one port, then others have their turn */
#define MESSAGES_MAX	64

struct port {
	struct vconsole *console;
	const char *name;		/* NULL: the terminal's */
	struct stream stream;
	/* The chain that is being sent, and how much has been of it, or of the next one */
	bool has_chain;
	struct virtq_chain chain;
	size_t sent;
};

struct vconsole {
	struct virtio_device v;		/* first */
	struct virtio_console_config config;
	struct virtio_console_control messages[MESSAGES_MAX];
	unsigned int first, nr;
	unsigned int nr_ports;
	struct port ports[PORTS_MAX + 1];
};

static struct virtq *in_queue(struct port *p)
{
	unsigned int i = p - p->console->ports;

	return &p->console->v.queues[i ? 2 * i + 2 : 0];
}

static struct virtq *out_queue(struct port *p)
{
	return in_queue(p) + 1;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static void send_input(struct port *p)
{
	struct virtq *q = in_queue(p);
	uint8_t bytes[PIECE];
	struct virtq_chain c;
	size_t n;

	while (virtq_pop(q, &c)) {
		n = p->stream.chr.read(&p->stream.chr, bytes,
				       c.in_len < sizeof(bytes) ? c.in_len : sizeof(bytes));
		if (!n && c.in_len) {
			virtq_unpop(q, &c);
			break;
		}
		virtq_push(q, &c, virtq_write(&c, 0, bytes, n));
	}
	virtq_flush(q);
}

/* Return: whether the chain is done with. */
static bool send_chain(struct port *p, size_t *budget)
{
	uint8_t bytes[PIECE];
	size_t n, room;

	while (p->sent < p->chain.out_len && *budget) {
		room = stream_room(&p->stream);
		if (!room)
			return false;
		n = virtq_read(&p->chain, p->sent, bytes, room < PIECE ? room : PIECE);
		p->stream.chr.write(&p->stream.chr, bytes, n);
		p->sent += n;
		*budget -= n < *budget ? n : *budget;
	}
	return p->sent >= p->chain.out_len;
}

static void take_output(struct port *p)
{
	struct virtq *q = out_queue(p);
	size_t budget = AT_ONCE;

	while (p->has_chain || virtq_pop(q, &p->chain)) {
		p->has_chain = !send_chain(p, &budget);
		if (p->has_chain)
			break;
		p->sent = 0;
		virtq_push(q, &p->chain, 0);
	}
	if (p->has_chain && !budget)
		virtio_kick(q);
	virtq_flush(q);
}

/* From the stream, on the loop's thread. */
static void input_came(void *opaque)
{
	struct port *p = opaque;

	pthread_mutex_lock(&p->console->v.lock);
	send_input(p);
	pthread_mutex_unlock(&p->console->v.lock);
}

static void output_drained(void *opaque)
{
	struct port *p = opaque;

	pthread_mutex_lock(&p->console->v.lock);
	if (virtq_live(out_queue(p)))
		take_output(p);
	pthread_mutex_unlock(&p->console->v.lock);
}

/* ---- control --------------------------------------------------------------------------------- */

/* A driver that asks for more than it reads doesn't get it all. */
static void tell(struct vconsole *c, uint32_t id, uint16_t event, uint16_t value)
{
	if (c->nr == MESSAGES_MAX)
		return;
	c->messages[(c->first + c->nr++) % MESSAGES_MAX] =
		(struct virtio_console_control) { id, event, value };
}

static void send_messages(struct vconsole *c)
{
	struct virtq *q = &c->v.queues[QUEUE_CONTROL_IN];
	struct virtq_chain chain;

	while (c->nr && virtq_pop(q, &chain)) {
		const struct virtio_console_control *m = &c->messages[c->first];
		size_t n = virtq_write(&chain, 0, m, sizeof(*m));
		const char *name = m->event == VIRTIO_CONSOLE_PORT_NAME ?
				   c->ports[m->id].name : "";

		n += virtq_write(&chain, n, name, strlen(name));
		virtq_push(q, &chain, n);
		c->first = (c->first + 1) % MESSAGES_MAX;
		c->nr--;
	}
	virtq_flush(q);
}

static void port_ready(struct vconsole *c, uint32_t id)
{
	if (c->ports[id].name)
		tell(c, id, VIRTIO_CONSOLE_PORT_NAME, 1);
	else
		tell(c, id, VIRTIO_CONSOLE_CONSOLE_PORT, 1);
	tell(c, id, VIRTIO_CONSOLE_PORT_OPEN, 1);
}

static void take_message(struct vconsole *c, const struct virtio_console_control *m)
{
	unsigned int i;

	if (m->event == VIRTIO_CONSOLE_DEVICE_READY && m->value)
		for (i = 0; i < c->nr_ports; i++)
			tell(c, i, VIRTIO_CONSOLE_PORT_ADD, 1);
	else if (m->event == VIRTIO_CONSOLE_PORT_READY && m->value && m->id < c->nr_ports)
		port_ready(c, m->id);
}

static void take_messages(struct vconsole *c, struct virtq *q)
{
	struct virtio_console_control m;
	struct virtq_chain chain;

	while (virtq_pop(q, &chain)) {
		if (virtq_read(&chain, 0, &m, sizeof(m)) == sizeof(m))
			take_message(c, &m);
		virtq_push(q, &chain, 0);
	}
	virtq_flush(q);
}

/* ---- the device ------------------------------------------------------------------------------ */

static void console_notify(struct virtio_device *v, struct virtq *q)
{
	struct vconsole *c = (struct vconsole *)v;
	struct port *p;

	if (q->index == QUEUE_CONTROL_OUT)
		take_messages(c, q);
	if (q->index == QUEUE_CONTROL_OUT || q->index == QUEUE_CONTROL_IN) {
		send_messages(c);
		return;
	}
	p = &c->ports[q->index < 2 ? 0 : q->index / 2 - 1];
	if (q->index % 2)
		take_output(p);
	else
		send_input(p);
}

static void console_reset(struct virtio_device *v)
{
	struct vconsole *c = (struct vconsole *)v;
	unsigned int i;

	c->nr = 0;
	for (i = 0; i < c->nr_ports; i++) {
		c->ports[i].has_chain = false;
		c->ports[i].sent = 0;
	}
}

static const struct virtio_class console_class = {
	.name = "console",
	.id = VIRTIO_ID_CONSOLE,
	.pci_class = 0x078000,
	.notify = console_notify,
	.reset = console_reset,
};

static void close_ports(struct vconsole *c)
{
	while (c->nr_ports)
		stream_close(&c->ports[--c->nr_ports].stream);
}

static int open_ports(struct vconsole *c, const struct device_env *env, struct error *err)
{
	unsigned int i, nr = env->nr_ports + env->hvc;

	for (i = 0; i < nr; i++) {
		struct port *p = &c->ports[i];
		bool terminal = env->hvc && !i;
		const struct port_options *o = terminal ? NULL :
					       &env->console_ports[i - env->hvc];

		p->console = c;
		p->name = terminal ? NULL : o->name;
		if (terminal ? stream_terminal(&p->stream, env->console_fd, env->console, env->loop,
					       err) :
			       stream_open(&p->stream, o->where, o->name, env->loop, err))
			return -1;
		c->nr_ports++;
		p->stream.chr.opaque = p;
		p->stream.chr.notify = input_came;
		p->stream.drained = output_drained;
	}
	c->config.max_nr_ports = nr;
	return 0;
}

static void console_destroy(void *dev)
{
	struct vconsole *c = dev;

	if (!c->nr_ports) {
		free(c);
		return;
	}
	close_ports(c);
	virtio_destroy(&c->v);
	free(c);
}

static void *console_create(const struct device_env *env, struct error *err)
{
	struct vconsole *c = calloc(1, sizeof(*c));

	if (!c) {
		failed(err, "console: no memory");
		return NULL;
	}
	if (!env->nr_ports && !env->hvc)
		return c;		/* nobody wants one */
	c->v.features = VIRTIO_FEATURE(VIRTIO_CONSOLE_F_MULTIPORT);
	c->v.config = &c->config;
	c->v.config_size = offsetof(struct virtio_console_config, emerg_wr);
	if (open_ports(c, env, err) ||
	    virtio_create(&c->v, &console_class, 2 + 2 * c->nr_ports, env, err)) {
		close_ports(c);
		free(c);
		return NULL;
	}
	return c;
}

static void console_info(void *dev, FILE *out)
{
	struct vconsole *c = dev;
	unsigned int i;

	if (!c->nr_ports)
		return;
	virtio_info(&c->v, out);
	for (i = 0; i < c->nr_ports; i++)
		fprintf(out, "        port %u: %s, %lu bytes found nobody\n", i,
			c->ports[i].name ? c->ports[i].name : "the terminal (hvc0)",
			c->ports[i].stream.lost);
}

static void messages_fields(struct vconsole *c, struct fields *f)
{
	unsigned int i;

	FIELD(f, c->messages);
	FIELD(f, c->first);
	FIELD(f, c->nr);
	fields_must(f, c->first < MESSAGES_MAX && c->nr <= MESSAGES_MAX, "its messages");
	for (i = 0; i < MESSAGES_MAX; i++) {
		const struct virtio_console_control *m = &c->messages[i];

		fields_must(f, m->event != VIRTIO_CONSOLE_PORT_NAME ||
			    (m->id < c->nr_ports && c->ports[m->id].name), "its messages");
	}
}

/* What is being sent goes back, and on from where it is. */
static void console_fields(void *dev, struct fields *f)
{
	struct vconsole *c = dev;
	unsigned int i;

	fields_same(f, c->nr_ports, "another number of console ports");
	if (!c->nr_ports || f->why)
		return;
	for (i = 0; i < c->nr_ports; i++) {
		struct port *p = &c->ports[i];

		if (!f->loading && p->has_chain)
			virtq_unpop(out_queue(p), &p->chain);
		p->has_chain = false;
		FIELD(f, p->sent);
	}
	virtio_fields(&c->v, f);
	messages_fields(c, f);
}

DEVICE(console) = {
	.name = "console",
	.order = 47,
	.create = console_create,
	.destroy = console_destroy,
	.info = console_info,
	.fields = console_fields,
};
