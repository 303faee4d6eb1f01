// SPDX-License-Identifier: GPL-2.0
/* The prompt behind Ctrl-a c. */
#include <string.h>

#include "machine.h"
#include "stats.h"

/* The hypervisor answers about a vCPU only while it doesn't run. */
static void while_paused(struct machine *m, FILE *out, void (*fn)(struct machine *m, FILE *out))
{
	if (vm_pause(&m->vm))
		fn(m, out);
	else
		fprintf(out, "a vCPU doesn't come back from what it does\n");
	vm_resume(&m->vm);
}

static void print_registers(struct machine *m, FILE *out)
{
	unsigned int i;

	for (i = 0; i < m->vm.nr; i++)
		vcpu_print_registers(&m->vm.cpus[i], out);
}

static void do_info(struct machine *m, FILE *out)
{
	const struct options *o = m->options;

	fprintf(out, "image   %s, %s\n", o->image ? o->image : o->bios ? o->bios : DEFAULT_BIOS,
		m->image_kind);
	fprintf(out, "host    %s, MMU mode %s\n", o->dev, vm_mmu_name(&m->vm));
	fprintf(out, "memory  %llu KiB from 0, %llu KiB from 4 GiB\n",
		(unsigned long long)(m->mem.low_size >> 10),
		(unsigned long long)(m->mem.high_size >> 10));
	devices_info(&m->devices, out);
	while_paused(m, out, print_registers);
}

static void print_stats(struct machine *m, FILE *out)
{
	machine_print_stats(m, out);
}

static void do_stats(struct machine *m, FILE *out)
{
	while_paused(m, out, print_stats);
}

static void send_nmi(struct machine *m, FILE *out)
{
	struct error err;

	if (vm_nmi(&m->vm, &err))
		fprintf(out, "%s\n", err.text);
}

static void do_nmi(struct machine *m, FILE *out)
{
	while_paused(m, out, send_nmi);
}

static void do_quit(struct machine *m, FILE *out)
{
	(void)out;
	machine_stop(m, STOP_USER, 0, NULL, "quit");
}

static void do_help(struct machine *m, FILE *out);

static const struct {
	const char *name, *help;
	void (*run)(struct machine *m, FILE *out);
} commands[] = {
	{ "info", "the machine: image, memory, devices, registers", do_info },
	{ "stats", "MMU mode, exits by kind, ticks so far", do_stats },
	{ "nmi", "send the first CPU an NMI", do_nmi },
	{ "quit", "end the virtual machine", do_quit },
	{ "help", "this list; Ctrl-a c goes back to the guest", do_help },
};

#define NR_COMMANDS	(sizeof(commands) / sizeof(commands[0]))

static void do_help(struct machine *m, FILE *out)
{
	size_t i;

	(void)m;
	for (i = 0; i < NR_COMMANDS; i++)
		fprintf(out, "%-6s  %s\n", commands[i].name, commands[i].help);
}

void monitor_command(struct machine *m, const char *line, FILE *out)
{
	size_t i, len;

	line += strspn(line, " ");
	len = strcspn(line, " ");
	if (!len)
		return;
	for (i = 0; i < NR_COMMANDS; i++) {
		if (strlen(commands[i].name) == len && !strncmp(commands[i].name, line, len)) {
			commands[i].run(m, out);
			return;
		}
	}
	fprintf(out, "no such command; `help` lists them\n");
}
