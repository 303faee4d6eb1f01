// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "exitcode.h"
#include "restart.h"

#define NO_TIME_LEFT	1e-3		/* seconds */

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* What comes to us is meant for the child, and when that stops, our shell is to see it. */
static int wait_for(pid_t pid, const sigset_t *watched)
{
	int sig, status;

	for (;;) {
		if (sigwait(watched, &sig))
			continue;
		if (sig != SIGCHLD)
			kill(pid, sig);
		else if (waitpid(pid, &status, WNOHANG | WUNTRACED) != pid)
			continue;
		else if (WIFSTOPPED(status))
			raise(SIGSTOP);
		else
			return WIFEXITED(status) ? WEXITSTATUS(status) :
			       EXIT_SIGNAL + WTERMSIG(status);
	}
}

static void be_child(const struct options *o, const sigset_t *mask, pid_t parent, bool *reset,
		     int (*run)(const struct options *o, bool *reset))
{
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(EXIT_SIGNAL + SIGTERM);
	pthread_sigmask(SIG_SETMASK, mask, NULL);
	exit(run(o, reset));
}

static int run_all(struct options *o, bool *reset, int (*run)(const struct options *o, bool *reset))
{
	static const int watched[] = {
		SIGCHLD, SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT,
	};
	double end = now() + o->timeout;
	pid_t pid, parent = getpid();
	sigset_t set, before;
	size_t i;
	int rc;

	sigemptyset(&set);
	for (i = 0; i < sizeof(watched) / sizeof(watched[0]); i++)
		sigaddset(&set, watched[i]);
	pthread_sigmask(SIG_BLOCK, &set, &before);
	do {
		*reset = false;
		fflush(NULL);			/* or the child would say it, too */
		pid = fork();
		if (!pid)
			be_child(o, &before, parent, reset, run);
		if (pid < 0) {
			fprintf(stderr, "vmrun: fork: %s\n", strerror(errno));
			rc = EXIT_HOST_FAILED;
			break;
		}
		rc = wait_for(pid, &set);
		if (o->timeout)
			o->timeout = end - now() > NO_TIME_LEFT ? end - now() : NO_TIME_LEFT;
	} while (*reset && rc == EXIT_GUEST_OK);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc;
}

int restart_run(const struct options *o, int (*run)(const struct options *o, bool *reset))
{
	struct options left = *o;
	bool *reset = mmap(NULL, sizeof(*reset), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int rc;

	if (reset == MAP_FAILED) {
		fprintf(stderr, "vmrun: mmap: %s\n", strerror(errno));
		return EXIT_HOST_FAILED;
	}
	rc = run_all(&left, reset, run);
	munmap(reset, sizeof(*reset));
	return rc;
}
