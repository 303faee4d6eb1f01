// SPDX-License-Identifier: GPL-2.0
/*
 * Preloaded into Bochs, whose debugger has no command that saves the simulation: the first time it
 * prompts for a command, save the state to the directory $LAB_SAVE, then quit.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAVE_STATE "_ZN13bx_real_sim_c10save_stateEPKc"	/* bx_real_sim_c::save_state(const char *) */

char *readline(const char *prompt)
{
	const char *directory = getenv("LAB_SAVE");
	void **simulation = dlsym(RTLD_DEFAULT, "SIM");
	int (*save_state)(void *, const char *) = dlsym(RTLD_DEFAULT, SAVE_STATE);

	(void)prompt;
	if (directory && simulation && save_state && (save_state(*simulation, directory) & 0xff))
		fputs("savehook: saved\n", stderr);
	else
		fputs("savehook: failed\n", stderr);
	return strdup("q");
}
