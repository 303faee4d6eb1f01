// SPDX-License-Identifier: GPL-2.0
/*
 * bench --dev PATH --mmu MODE: what each operation costs, in ticks of the TSC, a line each. `run`
 * compares two hypervisors with it.
 */
#include <fnmatch.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

unsigned int lives = 50;
const char *module_name;
static char **patterns;

bool wanted_row(const char *name)
{
	if (!patterns || !*patterns)
		return true;
	for (char **p = patterns; *p; p++)
		if (!fnmatch(*p, name, 0))
			return true;
	return false;
}

/* In a process of its own: a bench that fails says so and takes nothing else with it. */
void run_benches(const struct bench *b)
{
	for (; b->name; b++) {
		int status;
		pid_t pid;

		if (!wanted_row(b->name))
			continue;
		pid = fork();
		if (!pid) {
			b->run();
			_exit(0);
		}
		if (waitpid(pid, &status, 0) != pid || status)
			printf("%s\tfailed\n", b->name);
		fflush(stdout);
	}
}

static void usage(int code)
{
	fprintf(code ? stderr : stdout,
		"Usage: bench [--dev PATH] [--mmu MODE] [--count] [--batches] [--lives N]\n"
		"             [--unload MODULE] [ROW]…\n"
		"Prints what operations cost, in ticks of the TSC: all rows, or those that match.\n"
		"  --count           also what ticks don't weigh, where the lab counts it\n"
		"  --batches         the figures of all batches, not that of the best\n"
		"  --lives N         virtual machines made and destroyed one after the other (%u)\n"
		"  --unload MODULE   counts N lives up to a finished unloading of the module, and\n"
		"                    nothing else\n",
		lives);
	exit(code);
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "dev", required_argument, NULL, 'd' },
		{ "mmu", required_argument, NULL, 'm' },
		{ "count", no_argument, NULL, 'c' },
		{ "batches", no_argument, NULL, 'b' },
		{ "lives", required_argument, NULL, 'n' },
		{ "unload", required_argument, NULL, 'u' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'd')
			opt.dev = optarg;
		else if (c == 'm')
			opt.mmu = optarg;
		else if (c == 'c')
			counting = true;
		else if (c == 'b')
			all_batches = true;
		else if (c == 'n')
			lives = atoi(optarg);
		else if (c == 'u')
			module_name = optarg;
		else
			usage(c == 'h' ? 0 : 2);
	}
	opt.oracle = !strcmp(basename(opt.dev), "kvm");
	patterns = argv + optind;
	/* the host's noise is no multiple of its clock's ticks there */
	if (all_batches)
		batches = sizeof(((struct measurement *)0)->all) / sizeof(u64);
}

int main(int argc, char **argv)
{
	parse(argc, argv);
	if (!opt.oracle && vm_type() && !(node_extension(MINIVMM_CAP_MMU) & vm_type())) {
		fprintf(stderr, "bench: %s doesn't offer the MMU %s\n", opt.dev, opt.mmu);
		return 1;
	}
	if (module_name) {
		run_benches(unload_bench);
		return 0;
	}
	run_guest_benches();
	run_benches(exit_benches);
	run_benches(interrupt_benches);
	if (sysconf(_SC_NPROCESSORS_ONLN) > 1)
		run_benches(smp_benches);
	run_benches(memory_benches);
	run_benches(dirty_benches);
	run_benches(life_benches);
	run_benches(footprint_benches);
	return 0;
}
