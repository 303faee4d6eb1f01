// SPDX-License-Identifier: GPL-2.0
/* The commands of the prompt behind Ctrl-a c, and of `vmrun ctl`. */
#include <string.h>

#include "keys.h"
#include "machine.h"
#include "stats.h"

/* The hypervisor answers about a vCPU only while it doesn't run. */
static int while_paused(struct machine *m, FILE *out, int (*fn)(struct machine *m, FILE *out))
{
	int rc = -1;

	if (vm_pause(&m->vm))
		rc = fn(m, out);
	else
		fprintf(out, "a vCPU doesn't come back from what it does\n");
	vm_resume(&m->vm);
	return rc;
}

static int print_registers(struct machine *m, FILE *out)
{
	unsigned int i;

	for (i = 0; i < m->vm.nr; i++)
		vcpu_print_registers(&m->vm.cpus[i], out);
	return 0;
}

static const char *image_name(const struct machine *m)
{
	const struct options *o = m->options;

	return o->image ? o->image : o->bios ? o->bios : DEFAULT_BIOS;
}

static int do_info(struct machine *m, const char *args, FILE *out)
{
	(void)args;
	fprintf(out, "image   %s, %s\n", image_name(m), m->image_kind);
	fprintf(out, "host    %s, MMU mode %s\n", m->options->dev, vm_mmu_name(&m->vm));
	fprintf(out, "memory  %llu KiB from 0, %llu KiB from 4 GiB\n",
		(unsigned long long)(m->mem.low_size >> 10),
		(unsigned long long)(m->mem.high_size >> 10));
	devices_info(&m->devices, out);
	return while_paused(m, out, print_registers);
}

static int do_status(struct machine *m, const char *args, FILE *out)
{
	(void)args;
	fprintf(out, "%s, %s\n", m->paused ? "paused" : "running", image_name(m));
	return 0;
}

static int print_stats(struct machine *m, FILE *out)
{
	machine_print_stats(m, out);
	return 0;
}

static int do_stats(struct machine *m, const char *args, FILE *out)
{
	(void)args;
	return while_paused(m, out, print_stats);
}

static int do_pause(struct machine *m, const char *args, FILE *out)
{
	(void)args;
	if (m->paused) {
		fprintf(out, "it is paused already\n");
		return -1;
	}
	if (!vm_pause(&m->vm)) {
		vm_resume(&m->vm);
		fprintf(out, "a vCPU doesn't come back from what it does\n");
		return -1;
	}
	m->paused = true;
	return 0;
}

static int do_resume(struct machine *m, const char *args, FILE *out)
{
	(void)args;
	if (!m->paused) {
		fprintf(out, "it isn't paused\n");
		return -1;
	}
	m->paused = false;
	vm_resume(&m->vm);
	return 0;
}

static int send_nmi(struct machine *m, FILE *out)
{
	struct error err;

	if (!vm_nmi(&m->vm, &err))
		return 0;
	fprintf(out, "%s\n", err.text);
	return -1;
}

static int do_nmi(struct machine *m, const char *args, FILE *out)
{
	(void)args;
	return while_paused(m, out, send_nmi);
}

static int do_balloon(struct machine *m, const char *args, FILE *out)
{
	uint64_t size;

	if (!*args) {
		m->balloon.print(m->balloon.opaque, out);
		return 0;
	}
	if (!parse_size(args, &size) || size >= m->mem.size) {
		fprintf(out, "%s: not a size below the guest's %llu MiB\n", args,
			(unsigned long long)(m->mem.size >> 20));
		return -1;
	}
	if (m->balloon.set(m->balloon.opaque, size))
		return 0;
	fprintf(out, "the guest has no driver for its balloon\n");
	return -1;
}

static int do_sendkey(struct machine *m, const char *args, FILE *out)
{
	uint8_t codes[KEYS_BYTES_MAX];
	const char *why;
	struct error err;
	int n = keys_parse(args, codes, &err);

	why = n < 0 ? err.text : m->keyboard.type(m->keyboard.opaque, codes, n);
	if (why)
		fprintf(out, "%s\n", why);
	return why ? -1 : 0;
}

static int do_powerdown(struct machine *m, const char *args, FILE *out)
{
	(void)args;
	if (m->power_button.press(m->power_button.opaque))
		return 0;
	fprintf(out, "the guest doesn't listen to its power button\n");
	return -1;
}

static int do_reset(struct machine *m, const char *args, FILE *out)
{
	(void)args;
	(void)out;
	machine_stop(m, STOP_RESET, 0, NULL, "reset");
	return 0;
}

static int do_quit(struct machine *m, const char *args, FILE *out)
{
	(void)args;
	(void)out;
	machine_stop(m, STOP_USER, 0, NULL, "quit");
	return 0;
}

static int save(struct machine *m, FILE *out)
{
	struct error err;

	if (!snapshot_save(m, m->passed_fd, &err))
		return 0;
	fprintf(out, "%s\n", err.text);
	return -1;
}

/* The sandbox opens no files: `vmrun ctl` does. */
static int do_snapshot(struct machine *m, const char *args, FILE *out)
{
	(void)args;
	if (m->passed_fd < 0) {
		fprintf(out, "`vmrun ctl NAME snapshot FILE` takes one\n");
		return -1;
	}
	if (m->options->gdb && m->gdb.fd >= 0) {
		fprintf(out, "gdb is there, whose breakpoints are in the guest's memory\n");
		return -1;
	}
	return while_paused(m, out, save);
}

static int do_help(struct machine *m, const char *args, FILE *out);

static const struct {
	const char *name, *help;
	int (*run)(struct machine *m, const char *args, FILE *out);
	bool with_args;
} commands[] = {
	{ "status", "whether it runs, and which image", do_status, false },
	{ "info", "the machine: image, memory, devices, registers", do_info, false },
	{ "stats", "MMU mode, exits by kind, ticks so far", do_stats, false },
	{ "pause", "stop the CPUs", do_pause, false },
	{ "resume", "let them go on", do_resume, false },
	{ "nmi", "send the first CPU an NMI", do_nmi, false },
	{ "balloon", "SIZE: so much memory the guest is to give up; without, how it stands", do_balloon,
	  true },
	{ "sendkey", "KEY...: press keys of the PS/2 keyboard, as in `sendkey ctrl-alt-delete`",
	  do_sendkey, true },
	{ "snapshot", "FILE: write the whole machine to it, for --restore; by `vmrun ctl` only",
	  do_snapshot, true },
	{ "powerdown", "press the power button: the guest shuts down if it listens", do_powerdown,
	  false },
	{ "reset", "press the reset button: it starts again if --restart was given, and else ends",
	  do_reset, false },
	{ "quit", "end the virtual machine", do_quit, false },
	{ "help", "this list; on the console, Ctrl-a c goes back to the guest", do_help, false },
};

#define NR_COMMANDS	(sizeof(commands) / sizeof(commands[0]))

static int do_help(struct machine *m, const char *args, FILE *out)
{
	size_t i;

	(void)m;
	(void)args;
	for (i = 0; i < NR_COMMANDS; i++)
		fprintf(out, "%-9s  %s\n", commands[i].name, commands[i].help);
	return 0;
}

int monitor_command(struct machine *m, const char *line, FILE *out)
{
	size_t i, len;

	line += strspn(line, " ");
	len = strcspn(line, " ");
	if (!len)
		return 0;
	for (i = 0; i < NR_COMMANDS; i++) {
		if (strlen(commands[i].name) == len && !strncmp(commands[i].name, line, len)) {
			line += len + strspn(line + len, " ");
			if (*line && !commands[i].with_args)
				break;
			return commands[i].run(m, line, out);
		}
	}
	fprintf(out, "%s; `help` lists the commands\n",
		i < NR_COMMANDS ? "it stands alone" : "no such command");
	return -1;
}
