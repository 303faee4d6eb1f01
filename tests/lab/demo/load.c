// SPDX-License-Identifier: GPL-2.0
/*
 * load: a guest's program that keeps its kernel's memory management busy, and checks what it reads:
 * fork with memory that is copied on write, exec, mmap, mprotect, mremap, munmap, pipes, files.
 * Several processes at once; the last line says "load: N rounds of N processes, all right".
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE	4096ul
#define PAGES	256ul

static uint64_t pattern(uint64_t seed, uint64_t page)
{
	return (seed * 0x9e3779b97f4a7c15u) ^ (page << 12);
}

static void fill(char *at, uint64_t seed, uint64_t from, uint64_t to)
{
	for (uint64_t i = from; i < to; i++)
		*(volatile uint64_t *)(at + i * PAGE + (i & 511) * 8) = pattern(seed, i);
}

static void check(const char *at, uint64_t seed, uint64_t from, uint64_t to, const char *what)
{
	for (uint64_t i = from; i < to; i++) {
		uint64_t got = *(volatile uint64_t *)(at + i * PAGE + (i & 511) * 8);

		if (got != pattern(seed, i))
			errx(1, "%s: page %lu has %lx instead of %lx", what, i, got, pattern(seed, i));
	}
}

static void reap(pid_t pid, const char *what)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || status)
		errx(1, "%s: the child ended with status %x", what, status);
}

static pid_t fork_or_die(void)
{
	pid_t pid = fork();

	if (pid < 0)
		err(1, "fork");
	return pid;
}

static char *map(uint64_t pages)
{
	char *p = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		err(1, "mmap");
	return p;
}

/* Parent and child write the same pages, and each must see its own. */
static void copy_on_write(uint64_t seed)
{
	char *p = map(PAGES);
	pid_t pid;

	fill(p, seed, 0, PAGES);
	pid = fork_or_die();
	if (!pid) {
		fill(p, seed + 1, 0, PAGES / 2);
		check(p, seed + 1, 0, PAGES / 2, "child's pages");
		check(p, seed, PAGES / 2, PAGES, "pages that the parent wrote");
		_exit(0);
	}
	fill(p, seed + 2, PAGES / 4, PAGES);
	check(p, seed, 0, PAGES / 4, "pages that the child wrote");
	reap(pid, "copy on write");
	check(p, seed + 2, PAGES / 4, PAGES, "parent's pages");
	munmap(p, PAGES * PAGE);
}

static volatile sig_atomic_t faults;

static void on_fault(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	faults++;
	mprotect((char *)((uintptr_t)info->si_addr & ~(PAGE - 1)), PAGE, PROT_READ | PROT_WRITE);
}

/* Each page is made read-only, written, and faults once. */
static void protect(uint64_t seed)
{
	struct sigaction act = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
	char *p = map(PAGES);

	sigaction(SIGSEGV, &act, NULL);
	fill(p, seed, 0, PAGES);
	mprotect(p, PAGES * PAGE, PROT_READ);
	faults = 0;
	fill(p, seed + 1, 0, PAGES);
	if (faults != (int)PAGES)
		errx(1, "mprotect: %d faults instead of %lu", (int)faults, PAGES);
	check(p, seed + 1, 0, PAGES, "pages that were read-only");
	munmap(p, PAGES * PAGE);
}

static void remap(uint64_t seed)
{
	char *p = map(PAGES), *q;

	fill(p, seed, 0, PAGES);
	q = mremap(p, PAGES * PAGE, 2 * PAGES * PAGE, MREMAP_MAYMOVE);
	if (q == MAP_FAILED)
		err(1, "mremap");
	check(q, seed, 0, PAGES, "pages that moved");
	munmap(q, PAGES * PAGE);
	fill(q + PAGES * PAGE, seed, 0, PAGES);
	munmap(q + PAGES * PAGE, PAGES * PAGE);
}

static void through_a_pipe(uint64_t seed)
{
	uint64_t sent, got;
	int to[2];
	pid_t pid;

	if (pipe(to))
		err(1, "pipe");
	pid = fork_or_die();
	if (!pid) {
		for (uint64_t i = 0; i < 500; i++) {
			sent = pattern(seed, i);
			if (write(to[1], &sent, 8) != 8)
				_exit(1);
		}
		_exit(0);
	}
	for (uint64_t i = 0; i < 500; i++)
		if (read(to[0], &got, 8) != 8 || got != pattern(seed, i))
			errx(1, "pipe: number %lu is wrong", i);
	close(to[0]);
	close(to[1]);
	reap(pid, "pipe");
}

static void exec_self(const char *self)
{
	pid_t pid = fork_or_die();

	if (!pid) {
		execl(self, self, "nothing", NULL);
		_exit(127);
	}
	reap(pid, "exec");
}

int main(int argc, char **argv)
{
	int processes, rounds;

	if (argc == 2)		/* the child of an exec */
		return 0;
	if (argc != 3)
		errx(2, "usage: load PROCESSES ROUNDS");
	processes = atoi(argv[1]);
	rounds = atoi(argv[2]);
	for (int n = 0; n < processes; n++) {
		if (fork_or_die())
			continue;
		for (int r = 0; r < rounds; r++) {
			uint64_t seed = n * 1000 + r * 10;

			copy_on_write(seed);
			protect(seed);
			remap(seed);
			through_a_pipe(seed);
			exec_self(argv[0]);
		}
		_exit(0);
	}
	for (int n = 0; n < processes; n++) {
		int status;

		if (wait(&status) < 0 || status)
			errx(1, "a process ended with status %x", status);
	}
	printf("load: %d rounds of %d processes, all right\n", rounds, processes);
	return 0;
}
