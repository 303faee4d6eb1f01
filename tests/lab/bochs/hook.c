// SPDX-License-Identifier: GPL-2.0
/*
 * Preloaded into Bochs, to answer its debugger's prompts. The first one comes before the first
 * instruction: go on. At the second the machine has stopped, because it wrote to the debugger's
 * port or because the limit was reached.
 *
 * LAB_SAVE=DIRECTORY	save the machine's state when it stops; the debugger has no command for that.
 * LAB_TICKS=N		stop it after N ticks. The debugger's own time breakpoints don't work with
 *			several CPUs.
 * LAB_PACE=N		N ticks take a second at least: an idle machine doesn't outrun the clock.
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
#include <time.h>

#define PACES_PER_SECOND	100

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

static void pace(void *unused)
{
	static struct timespec due;
	struct timespec now;

	(void)unused;
	clock_gettime(CLOCK_MONOTONIC, &now);
	due.tv_nsec += 1000000000 / PACES_PER_SECOND;
	if (due.tv_nsec >= 1000000000) {
		due.tv_nsec -= 1000000000;
		due.tv_sec++;
	}
	if (now.tv_sec > due.tv_sec || (now.tv_sec == due.tv_sec && now.tv_nsec > due.tv_nsec))
		due = now;	/* the machine is the slower one: nothing to make up for later */
	else
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
}

static void add_timer(void (*handler)(void *), unsigned long ticks, bool continuous)
{
	/* bx_pc_system_c::register_timer_ticks(argument, handler, ticks, continuous, active, name) */
	int (*register_timer)(void *, void *, void (*)(void *), unsigned long, bool, bool, const char *) =
		bochs("_ZN14bx_pc_system_c20register_timer_ticksEPvPFvS0_EmbbPKc");

	register_timer(bochs("bx_pc_system"), NULL, handler, ticks, continuous, true, "lab");
}

static unsigned long number_in(const char *variable)
{
	const char *text = getenv(variable);

	return text ? strtoul(text, NULL, 10) : 0;
}

char *readline(const char *prompt)
{
	static int prompts;
	const char *directory = getenv("LAB_SAVE");

	(void)prompt;
	if (!prompts++) {
		if (number_in("LAB_TICKS"))
			add_timer(limit_reached, number_in("LAB_TICKS"), false);
		if (number_in("LAB_PACE"))
			add_timer(pace, number_in("LAB_PACE") / PACES_PER_SECOND, true);
		return strdup("continue");
	}
	if (directory)
		save_state(directory);
	return strdup("quit");
}
