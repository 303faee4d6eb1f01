/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A stub for gdb's `target remote`: one client at a time, on the loop's thread. While the guest
 * stands for it, the virtual machine is paused.
 *
 * A breakpoint is met on its vCPU's thread, which holds all of them up and tells the loop's. The
 * tables that it looks into change only while no vCPU runs.
 */
#ifndef VMRUN_GDB_H
#define VMRUN_GDB_H

#include "error.h"
#include "gdb_proto.h"
#include "loop.h"
#include "vm.h"

#define GDB_SOFT_MAX	256
#define GDB_HARD_MAX	4		/* the CPU's registers */

struct gdb_server;

struct gdb_owner {
	void (*kill)(struct gdb_owner *o);
	void (*command)(struct gdb_owner *o, const char *line, FILE *out);
};

struct gdb_server {
	struct gdb_target target;
	struct gdb_owner *owner;
	struct vm *vm;
	struct loop *loop;
	int listen_fd, event_fd;
	int fd;				/* the client, or -1 */
	char path[108];			/* of its socket in the file system, if it has one */
	bool standing;			/* the guest does, for gdb: there is a vm_pause() for it */
	struct gdb_session session;
	struct gdb_reader reader;

	struct gdb_soft { bool used; uint64_t gva, gpa; uint8_t saved; } soft[GDB_SOFT_MAX];
	struct gdb_hard { bool used; enum gdb_breakpoint kind; uint64_t gva; uint8_t len; }
		hard[GDB_HARD_MAX];
	struct {
		enum gdb_action action;
		bool hit;			/* by its thread, before it parks */
		uint32_t exception;
		uint64_t dr6;
	} cpus[CPUS_MAX];
};

/*
 * Listens at PORT (of 127.0.0.1), ADDRESS:PORT, or a path with a slash. wait: the guest stands from
 * its first instruction on, until gdb comes and lets it go. The vCPUs exist and don't run yet.
 */
int gdb_create(struct gdb_server *g, const char *where, bool wait, struct vm *vm, struct loop *loop,
	       struct gdb_owner *owner, struct error *err);
/* No vCPU runs any more. */
void gdb_destroy(struct gdb_server *g);

/* EXIT_DEBUG, on the vCPU's thread. */
void gdb_vcpu_stopped(struct gdb_server *g, struct vcpu *cpu);

#endif
