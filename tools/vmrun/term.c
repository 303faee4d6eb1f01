// SPDX-License-Identifier: GPL-2.0
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "term.h"

static struct {
	int fd;
	struct termios saved;
	volatile sig_atomic_t raw;
} term = { .fd = -1 };

/* Also called from signal handlers. */
void term_restore(void)
{
	if (!term.raw)
		return;
	term.raw = 0;
	tcsetattr(term.fd, TCSANOW, &term.saved);
}

void term_raw(void)
{
	struct termios t = term.saved;

	if (term.fd < 0 || tcgetpgrp(term.fd) != getpgrp())
		return;
	cfmakeraw(&t);
	term.raw = 1;
	tcsetattr(term.fd, TCSANOW, &t);
}

/* The handler is gone by the time it runs (SA_RESETHAND): the signal that returns is fatal. */
static void on_crash(int sig)
{
	term_restore();
	raise(sig);
}

bool term_init(int fd)
{
	static const int crashes[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS };
	struct sigaction sa = { .sa_handler = on_crash, .sa_flags = SA_RESETHAND | SA_NODEFER };
	size_t i;

	if (!isatty(fd) || tcgetattr(fd, &term.saved))
		return false;
	term.fd = fd;
	atexit(term_restore);
	for (i = 0; i < sizeof(crashes) / sizeof(crashes[0]); i++)
		sigaction(crashes[i], &sa, NULL);
	return true;
}
