/* SPDX-License-Identifier: GPL-2.0 */
/* The whole: memory, VM, buses, devices, console and event loop, and how it ends. */
#ifndef VMRUN_MACHINE_H
#define VMRUN_MACHINE_H

#include "bus.h"
#include "console.h"
#include "control.h"
#include "device.h"
#include "disk.h"
#include "fwcfg.h"
#include "gdb.h"
#include "loop.h"
#include "memory.h"
#include "options.h"
#include "pci.h"
#include "shadow.h"
#include "snapshot.h"
#include "vm.h"

enum stop_kind {
	STOP_NONE,
	STOP_GUEST,			/* the guest asked for it; code is its */
	STOP_RESET,			/* the guest's, or its button */
	STOP_USER,
	STOP_GUEST_FAILED,
	STOP_HOST_FAILED,
	STOP_TIMEOUT,
	STOP_SIGNAL,			/* code is the signal's number */
};

struct stop {
	pthread_mutex_t lock;
	enum stop_kind kind;		/* the first one wins */
	int code;
	struct vcpu *cpu;		/* of STOP_GUEST_FAILED and STOP_HOST_FAILED; may be NULL */
	char why[256];
};

struct machine {
	const struct options *options;
	struct guest_mem mem;
	struct vm vm;
	struct bus ports, mmio;
	struct pci_bus pci;
	struct shadow shadow;		/* without a ROM where there is no firmware */
	struct fwcfg fwcfg;
	struct disk disks[DRIVES_MAX];
	unsigned int nr_disks;
	bool cd_first;
	struct device_set devices;
	struct console console;
	struct control control;
	struct gdb_server gdb;		/* if one may come */
	struct power_button power_button;
	struct keyboard keyboard;
	struct memory_balloon balloon;
	bool paused;			/* by a command */
	struct snapfile snapshot;	/* while it is loaded */
	int passed_fd;			/* with a command; else -1 */
	struct loop loop;
	struct stop stop;

	struct stopper stopper;
	struct console_owner console_owner;
	struct control_owner control_owner;
	struct vm_owner vm_owner;
	struct gdb_owner gdb_owner;

	int signal_fd, timer_fd, stats_fd;
	const char *image_kind;
	uint64_t tsc_start, tsc_stop;
};

/* Return: 0, or the exit code with err filled in. */
int machine_create(struct machine *m, const struct options *o, struct error *err);
/* Run until something ends it. */
int machine_run(struct machine *m, struct error *err);
void machine_destroy(struct machine *m);

void machine_stop(struct machine *m, enum stop_kind kind, int code, struct vcpu *cpu,
		  const char *why);

void machine_print_stats(const struct machine *m, FILE *out);

/* monitor.c: a line typed at the prompt, or sent to the control socket. Return: 0, or -1 if it failed. */
int monitor_command(struct machine *m, const char *line, FILE *out);

#endif
