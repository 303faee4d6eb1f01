/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The console: standard input and output as the guest's serial line. On a terminal Ctrl-a leads in
 * commands to vmrun, among them a monitor prompt; input from elsewhere goes to the guest as it is.
 */
#ifndef VMRUN_CONSOLE_H
#define VMRUN_CONSOLE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "device.h"
#include "loop.h"

#define CONSOLE_QUEUE	4096
#define CONSOLE_LINE	128

enum console_mode {
	CONSOLE_GUEST,			/* input goes to the guest */
	CONSOLE_ESCAPE,			/* Ctrl-a was typed */
	CONSOLE_MONITOR,		/* input goes to the monitor's line */
};

/* What the console asks of its owner; called on the loop's thread, but for lost(). */
struct console_owner {
	void (*quit)(struct console_owner *o);
	/* Run a line typed at the monitor and write what there is to say. */
	void (*command)(struct console_owner *o, const char *line, FILE *out);
	/* Output can't be written any more; on any thread. */
	void (*lost)(struct console_owner *o, const char *why);
};

struct console {
	struct chardev chr;
	struct console_owner *owner;
	struct loop *loop;
	int in, out;
	bool tty;
	bool eof;
	atomic_bool closing;		/* give up on output that blocks */
	atomic_bool full;		/* the loop waits for room in the queue */

	enum console_mode mode, before_escape;
	char line[CONSOLE_LINE];
	size_t line_len;

	pthread_mutex_t lock;		/* the queue: loop in, vCPUs out */
	uint8_t queue[CONSOLE_QUEUE];
	size_t head, len;
};

int console_create(struct console *c, int in, int out, struct console_owner *owner,
		   struct loop *loop, struct error *err);
void console_destroy(struct console *c);

/* Bytes that came in; what the loop calls, and tests. */
void console_input(struct console *c, const uint8_t *buf, size_t len);

/* Text of vmrun's own, in lines that end in \n whatever state the terminal is in. */
void console_print(struct console *c, const char *text);

#endif
