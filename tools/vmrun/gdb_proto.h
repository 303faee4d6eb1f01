/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What gdb asks and what it is told, on a target behind a few functions: the machine (gdb.c), or
 * whatever a test makes. Threads are vCPUs, by their number and one.
 */
#ifndef VMRUN_GDB_PROTO_H
#define VMRUN_GDB_PROTO_H

#include <stdio.h>

#include "gdb_packet.h"
#include "gdb_regs.h"
#include "options.h"

enum gdb_action { GDB_HOLD, GDB_CONTINUE, GDB_STEP };

/* gdb's numbers. */
enum gdb_breakpoint { GDB_SOFT, GDB_HARD, GDB_WRITE, GDB_READ, GDB_ACCESS };

struct gdb_target {
	/* Virtual memory as a vCPU sees it. Return: how much of it could be had. */
	size_t (*read)(struct gdb_target *t, unsigned int cpu, uint64_t gva, void *buf, size_t len);
	size_t (*write)(struct gdb_target *t, unsigned int cpu, uint64_t gva, const void *buf,
			size_t len);
	bool (*get_state)(struct gdb_target *t, unsigned int cpu, struct gdb_cpu_state *s);
	bool (*set_state)(struct gdb_target *t, unsigned int cpu, const struct gdb_cpu_state *s,
			  unsigned int parts);
	bool (*breakpoint)(struct gdb_target *t, unsigned int cpu, bool insert,
			   enum gdb_breakpoint kind, uint64_t gva, uint64_t len);
	void (*resume)(struct gdb_target *t, const enum gdb_action *actions);
	void (*detach)(struct gdb_target *t);
	void (*kill)(struct gdb_target *t);
	void (*command)(struct gdb_target *t, const char *line, FILE *out);
	unsigned int cpus;
};

struct gdb_session {
	struct gdb_target *target;
	unsigned int cpu;		/* that registers and memory are asked of */
	unsigned int resumed_cpu;	/* of `s`, as H says it */
	bool no_ack;
	bool ended;			/* by D or k: nothing more is to come */
	char stop[80];			/* why the guest stands, as gdb is told */
	struct gdb_reply reply;
};

void gdb_session_begin(struct gdb_session *g, struct gdb_target *t);

/* Return: whether g->reply is to be sent; else the guest runs, and its stop is the answer. */
bool gdb_handle(struct gdb_session *g, const char *packet, size_t len);

/* The guest stands. what: "swbreak:;" and the like, or "". */
void gdb_stopped(struct gdb_session *g, unsigned int cpu, unsigned int signal, const char *what);

#endif
