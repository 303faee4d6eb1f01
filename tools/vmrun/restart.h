/* SPDX-License-Identifier: GPL-2.0 */
/*
 * --restart: a machine that was reset starts again, as a process of its own each time: what one has
 * given up for its sandbox, the next has anew, and nothing of the old machine is left.
 */
#ifndef VMRUN_RESTART_H
#define VMRUN_RESTART_H

#include "options.h"

/*
 * run() runs a machine to its end in a child, and sets *reset if that was a reset. Return: the exit code
 * of the last one. o->timeout is the time for all of them.
 */
int restart_run(const struct options *o, int (*run)(const struct options *o, bool *reset));

#endif
