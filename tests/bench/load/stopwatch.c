// SPDX-License-Identifier: GPL-2.0
/*
 * stopwatch NAME TEXT PROGRAM [ARGUMENT]…: ticks from the program's execve to when it prints the text; then
 * it is told to end.
 */
#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>

static volatile unsigned long long started;

/* A child by vfork shares our memory until it has become the program. */
static pid_t start(char **argv, int out)
{
	pid_t pid = vfork();

	if (!pid) {
		dup2(out, 1);
		started = __rdtsc();
		execvp(argv[0], argv);
		_exit(127);
	}
	if (pid < 0)
		err(1, "vfork");
	close(out);
	return pid;
}

int main(int argc, char **argv)
{
	static char said[1 << 20];
	size_t len = 0;
	ssize_t n;
	int out[2];
	pid_t pid;

	if (argc < 4)
		errx(2, "usage: stopwatch NAME TEXT PROGRAM [ARGUMENT]...");
	if (pipe(out))
		err(1, "pipe");
	pid = start(argv + 3, out[1]);
	while (!memmem(said, len, argv[2], strlen(argv[2]))) {
		n = read(out[0], said + len, sizeof(said) - len);
		if (n <= 0)
			errx(1, "%s hasn't said \"%s\", but:\n%.*s", argv[3], argv[2], (int)len, said);
		len += n;
	}
	printf("%s\t%llu\n", argv[1], __rdtsc() - started);
	kill(pid, SIGTERM);
	return waitpid(pid, NULL, 0) == pid ? 0 : 1;
}
