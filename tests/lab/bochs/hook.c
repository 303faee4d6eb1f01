// SPDX-License-Identifier: GPL-2.0
/*
 * Preloaded into Bochs, to answer its debugger's prompts. The first one comes before the first
 * instruction: go on. At the second the machine has stopped, because it wrote to the debugger's port
 * or because the limit was reached.
 *
 * LAB_SAVE=DIRECTORY	save the machine's state when it stops; the debugger has no command for that.
 * LAB_TICKS=N		stop it after N ticks. The debugger's own time breakpoints don't work with
 *			several CPUs.
 *
 * The functions are Bochs's own, found by their mangled names.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *bochs(const char *symbol)
{
	void *address = dlsym(RTLD_DEFAULT, symbol);

	if (!address) {
		fprintf(stderr, "hook: this Bochs has no %s\n", symbol);
		exit(2);
	}
	return address;
}

static void save_state(const char *directory)
{
	/* bx_real_sim_c::save_state(const char *), on the object that SIM points to */
	bool (*save)(void *, const char *) = bochs("_ZN13bx_real_sim_c10save_stateEPKc");
	void **simulation = bochs("SIM");

	printf("hook: %s\n", save(*simulation, directory) ? "saved" : "saving failed");
}

static void limit_reached(void *unused)
{
	/* bx_debug_ctrlc_handler(int): back to the prompt as soon as possible */
	void (*interrupt)(int) = bochs("_Z22bx_debug_ctrlc_handleri");

	(void)unused;
	puts("hook: limit reached");
	interrupt(SIGINT);
}

static void limit_ticks(unsigned long ticks)
{
	/* bx_pc_system_c::register_timer_ticks(this, argument, handler, ticks, continuous, active, name) */
	int (*register_timer)(void *, void *, void (*)(void *), unsigned long, bool, bool, const char *) =
		bochs("_ZN14bx_pc_system_c20register_timer_ticksEPvPFvS0_EmbbPKc");

	register_timer(bochs("bx_pc_system"), NULL, limit_reached, ticks, false, true, "lab.limit");
}

char *readline(const char *prompt)
{
	static int prompts;
	const char *directory = getenv("LAB_SAVE"), *ticks = getenv("LAB_TICKS");

	(void)prompt;
	if (!prompts++) {
		if (ticks)
			limit_ticks(strtoul(ticks, NULL, 10));
		return strdup("continue");
	}
	if (directory)
		save_state(directory);
	return strdup("quit");
}
