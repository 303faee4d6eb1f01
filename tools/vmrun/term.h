/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The terminal: raw while a guest runs, and as it was before whatever happens then.
 *
 * A terminal is a thing that a process has one of, and crash handlers can't be handed a pointer:
 * its saved state is the program's only global.
 */
#ifndef VMRUN_TERM_H
#define VMRUN_TERM_H

#include <stdbool.h>

/* Remember fd's settings and arm the handlers that restore them at exit and on a crash. */
bool term_init(int fd);
/* Does nothing unless we are in the foreground: else the terminal isn't ours to change. */
void term_raw(void);
void term_restore(void);

#endif
