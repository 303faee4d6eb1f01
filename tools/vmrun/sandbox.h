/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What vmrun gives up before the guest's first instruction, for the case that a guest takes it over:
 * capabilities, files (Landlock, where the kernel has it), and system calls that it doesn't need.
 */
#ifndef VMRUN_SANDBOX_H
#define VMRUN_SANDBOX_H

#include <stdbool.h>

#include "error.h"

struct sandbox {
	bool network;			/* the user network: sockets, and its name servers' names */
	const char *own_file;		/* in whose directory files may be removed; may be NULL */
};

/* Before the first thread is made, by which they all inherit it. Return: 0, or -1. */
int sandbox_enter(const struct sandbox *s, struct error *err);

#endif
