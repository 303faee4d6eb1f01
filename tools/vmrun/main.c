// SPDX-License-Identifier: GPL-2.0
/*
 * vmrun: run a virtual machine on minivmm or KVM.
 *
 * Reading order: machine.c puts the parts together; vm.c and vcpu.c are the hypervisor's ABI;
 * loaders/ fill the memory; bus.c leads the guest's accesses to devices/; loop.c and console.c are
 * the outside.
 */
#include <stdio.h>
#include <string.h>

#include "control.h"
#include "exitcode.h"
#include "machine.h"
#include "restart.h"

static int report_stop(const struct machine *m)
{
	const struct stop *s = &m->stop;

	switch (s->kind) {
	case STOP_USER:
		break;
	case STOP_GUEST_FAILED:
		if (!s->cpu) {
			fprintf(stderr, "vmrun: the guest failed: %s\n", s->why);
			break;
		}
		fprintf(stderr, "vmrun: the guest failed on vCPU %u: %s\n", s->cpu->id, s->why);
		vcpu_print_failure(s->cpu, stderr);
		break;
	case STOP_HOST_FAILED:
		fprintf(stderr, "vmrun: the host failed: %s\n", s->why);
		if (s->cpu)
			vcpu_print_failure(s->cpu, stderr);
		break;
	case STOP_SIGNAL:
		fprintf(stderr, "vmrun: %s\n", s->why);
		return EXIT_SIGNAL + s->code;
	default:
		fprintf(stderr, "vmrun: %s\n", s->why);
	}
	return s->code;
}

static int run(const struct options *o, bool *reset)
{
	static struct machine m;
	struct error err;
	int rc = machine_create(&m, o, &err);

	if (!rc && machine_run(&m, &err))
		rc = EXIT_HOST_FAILED;
	if (rc) {
		fprintf(stderr, "vmrun: %s\n", err.text);
	} else {
		rc = report_stop(&m);
		*reset = m.stop.kind == STOP_RESET;
		if (o->stats)
			machine_print_stats(&m, stderr);
	}
	machine_destroy(&m);
	return rc;
}

static int control(int argc, char **argv)
{
	struct error err = { "" };
	int rc = ctl_main(argc, argv, stdout, &err);

	if (err.text[0])
		fprintf(stderr, "vmrun: %s\n", err.text);
	return fflush(stdout) ? EXIT_HOST_FAILED : rc;
}

int main(int argc, char **argv)
{
	struct options o;
	struct error err;
	bool reset;
	int rc;

	if (argc > 1 && !strcmp(argv[1], "ctl"))
		return control(argc - 1, argv + 1);
	switch (options_parse(&o, argc, argv, stdout, &err)) {
	case OPTIONS_RUN:
		rc = o.restart ? restart_run(&o, run) : run(&o, &reset);
		break;
	case OPTIONS_DONE:
		rc = fflush(stdout) ? EXIT_HOST_FAILED : EXIT_GUEST_OK;
		break;
	default:
		fprintf(stderr, "vmrun: %s\n", err.text);
		rc = EXIT_USAGE;
	}
	options_free(&o);
	return rc;
}
