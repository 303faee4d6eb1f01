// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "console.h"

#define ESCAPE		0x01		/* Ctrl-a */
#define PROMPT		"(vmrun) "

static const char help[] =
	"\n"
	"Ctrl-a x  quit            Ctrl-a c  monitor prompt, and back\n"
	"Ctrl-a h  this help       Ctrl-a a  send Ctrl-a\n";

/* A vCPU's kick interrupts a write that blocks; then closing says whether to go on. */
static void write_all(struct console *c, const void *buf, size_t len)
{
	const char *p = buf;

	while (len && !atomic_load(&c->closing)) {
		ssize_t n = write(c->out, p, len);

		if (n >= 0) {
			p += n;
			len -= n;
		} else if (errno == EAGAIN) {
			struct pollfd wait = { .fd = c->out, .events = POLLOUT };

			poll(&wait, 1, 100);
		} else if (errno != EINTR) {
			c->owner->lost(c->owner, strerror(errno));
			return;
		}
	}
}

static void console_write(struct chardev *chr, const void *buf, size_t len)
{
	write_all((struct console *)chr, buf, len);
}

void console_print(struct console *c, const char *text)
{
	const char *end;

	for (; (end = strchr(text, '\n')); text = end + 1) {
		write_all(c, text, end - text);
		write_all(c, c->tty ? "\r\n" : "\n", c->tty ? 2 : 1);
	}
	write_all(c, text, strlen(text));
}

static size_t queue_put(struct console *c, const uint8_t *buf, size_t len)
{
	size_t i;

	pthread_mutex_lock(&c->lock);
	for (i = 0; i < len && c->len < CONSOLE_QUEUE; i++)
		c->queue[(c->head + c->len++) % CONSOLE_QUEUE] = buf[i];
	atomic_store(&c->full, c->len == CONSOLE_QUEUE);
	pthread_mutex_unlock(&c->lock);
	return i;
}

static size_t queue_get(struct chardev *chr, void *buf, size_t len)
{
	struct console *c = (struct console *)chr;
	bool was_full = false;
	uint8_t *p = buf;
	size_t i;

	pthread_mutex_lock(&c->lock);
	for (i = 0; i < len && c->len; i++) {
		p[i] = c->queue[c->head];
		c->head = (c->head + 1) % CONSOLE_QUEUE;
		c->len--;
	}
	if (i)
		was_full = atomic_exchange(&c->full, false);
	pthread_mutex_unlock(&c->lock);
	if (was_full)
		loop_wake(c->loop);
	return i;
}

/* A terminal's input beyond what the queue holds is lost, as on a real line. */
static void to_guest(struct console *c, uint8_t byte)
{
	queue_put(c, &byte, 1);
}

static void monitor_open(struct console *c)
{
	c->mode = CONSOLE_MONITOR;
	c->line_len = 0;
	console_print(c, "\nThe guest goes on running; `help` lists commands, Ctrl-a c returns.\n"
			 PROMPT);
}

static void monitor_run(struct console *c)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	c->line[c->line_len] = 0;
	c->line_len = 0;
	console_print(c, "\n");
	if (!out)
		return;
	c->owner->command(c->owner, c->line, out);
	fclose(out);
	console_print(c, text);
	console_print(c, PROMPT);
	free(text);
}

static void monitor_key(struct console *c, uint8_t byte)
{
	if (byte == '\r' || byte == '\n') {
		monitor_run(c);
	} else if (byte == 0x7f || byte == '\b') {
		if (c->line_len) {
			c->line_len--;
			console_print(c, "\b \b");
		}
	} else if (byte == 0x15) {	/* Ctrl-u */
		for (; c->line_len; c->line_len--)
			console_print(c, "\b \b");
	} else if (byte >= ' ' && byte < 0x7f && c->line_len < CONSOLE_LINE - 1) {
		c->line[c->line_len++] = byte;
		write_all(c, &byte, 1);
	}
}

static void escape_key(struct console *c, uint8_t byte)
{
	c->mode = c->before_escape;
	switch (byte) {
	case 'x':
	case 'X':
		c->owner->quit(c->owner);
		break;
	case 'c':
	case 'C':
		if (c->mode == CONSOLE_MONITOR) {
			c->mode = CONSOLE_GUEST;
			console_print(c, "\n");
		} else {
			monitor_open(c);
		}
		break;
	case 'a':
	case ESCAPE:
		to_guest(c, ESCAPE);
		break;
	default:
		console_print(c, help);
	}
}

static void key(struct console *c, uint8_t byte)
{
	if (c->mode == CONSOLE_ESCAPE) {
		escape_key(c, byte);
	} else if (byte == ESCAPE) {
		c->before_escape = c->mode;
		c->mode = CONSOLE_ESCAPE;
	} else if (c->mode == CONSOLE_MONITOR) {
		monitor_key(c, byte);
	} else {
		to_guest(c, byte);
	}
}

void console_input(struct console *c, const uint8_t *buf, size_t len)
{
	size_t i;

	if (!c->tty)
		queue_put(c, buf, len);
	else
		for (i = 0; i < len; i++)
			key(c, buf[i]);
	if (c->chr.notify)
		c->chr.notify(c->chr.opaque);
}

static size_t queue_room(struct console *c)
{
	size_t room;

	pthread_mutex_lock(&c->lock);
	room = CONSOLE_QUEUE - c->len;
	pthread_mutex_unlock(&c->lock);
	return room;
}

/* A file or a pipe waits until the guest has read; a person's keys are always listened to. */
static bool console_want(void *opaque)
{
	struct console *c = opaque;

	return !c->eof && (c->tty || !atomic_load(&c->full));
}

static void console_ready(void *opaque)
{
	struct console *c = opaque;
	uint8_t buf[256];
	size_t room = c->tty ? sizeof(buf) : queue_room(c);
	ssize_t n = read(c->in, buf, room < sizeof(buf) ? room : sizeof(buf));

	if (n > 0)
		console_input(c, buf, n);
	else if (n == 0 || (errno != EINTR && errno != EAGAIN))
		c->eof = true;		/* the guest goes on without input */
}

int console_create(struct console *c, int in, int out, struct console_owner *owner,
		   struct loop *loop, struct error *err)
{
	memset(c, 0, sizeof(*c));
	c->chr.write = console_write;
	c->chr.read = queue_get;
	c->owner = owner;
	c->loop = loop;
	c->in = in;
	c->out = out;
	c->tty = isatty(in);
	pthread_mutex_init(&c->lock, NULL);
	return loop_add(loop, in, console_want, console_ready, c, err);
}

void console_destroy(struct console *c)
{
	pthread_mutex_destroy(&c->lock);
}
