// SPDX-License-Identifier: GPL-2.0
/*
 * The only program of a guest that boots Debian's kernel: /init. Its TSC began with the guest, so the
 * first row is what booting took. Rows as bench prints them, ticks for all rounds.
 */
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE	4096ul
#define MIB	(1ul << 20)

static uint64_t ticks(void)
{
	uint32_t lo, hi;

	asm volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
	return lo | (uint64_t)hi << 32;
}

static pid_t fork_or_die(void)
{
	pid_t pid = fork();

	if (pid < 0)
		err(1, "fork");
	return pid;
}

static void reap(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || status)
		errx(1, "a child ended with status %x", status);
}

static void fork_and_exec(void)
{
	for (int i = 0; i < 100; i++) {
		pid_t pid = fork_or_die();

		if (!pid) {
			execl("/init", "/init", "nothing", NULL);
			_exit(127);
		}
		reap(pid);
	}
}

static void ping_pong(void)
{
	int there[2], back[2];
	char ball = 0;
	pid_t pid;

	if (pipe(there) || pipe(back))
		err(1, "pipe");
	pid = fork_or_die();
	for (int i = 0; i < 1000; i++) {
		if (!pid) {
			if (read(there[0], &ball, 1) != 1 || write(back[1], &ball, 1) != 1)
				_exit(1);
		} else if (write(there[1], &ball, 1) != 1 || read(back[0], &ball, 1) != 1) {
			errx(1, "pipe");
		}
	}
	if (!pid)
		_exit(0);
	reap(pid);
}

static void map_and_unmap(void)
{
	for (int i = 0; i < 500; i++) {
		char *p = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED)
			err(1, "mmap");
		for (int k = 0; k < 64; k++)
			*(volatile char *)(p + k * PAGE) = 1;
		munmap(p, 64 * PAGE);
	}
}

/* rootfs is in RAM */
static void make_file(void)
{
	static char block[MIB];
	int fd = open("/from", O_CREAT | O_RDWR, 0600);

	for (int i = 0; i < 16; i++)
		if (write(fd, block, sizeof(block)) != sizeof(block))
			err(1, "write");
	close(fd);
}

static void copy_file(void)
{
	static char block[64 << 10];
	int from = open("/from", O_RDONLY), to = open("/to", O_CREAT | O_TRUNC | O_WRONLY, 0600);
	ssize_t n;

	while ((n = read(from, block, sizeof(block))) > 0)
		if (write(to, block, n) != n)
			err(1, "write");
	close(from);
	close(to);
	unlink("/to");
}

int main(int argc, char **argv)
{
	static const struct { const char *name; void (*run)(void); } loads[] = {
		{ "debian_fork_and_exec_100", fork_and_exec },
		{ "debian_pipe_ping_pong_1000", ping_pong },
		{ "debian_mmap_64_pages_500", map_and_unmap },
		{ "debian_copy_16m", copy_file },
	};
	uint64_t start = ticks();

	(void)argv;
	if (argc > 1 && getpid() != 1)	/* the child of an exec */
		return 0;
	printf("debian_boots\t%lu\n", start);
	make_file();
	for (unsigned int i = 0; i < sizeof(loads) / sizeof(*loads); i++) {
		loads[i].run();			/* once without counting */
		start = ticks();
		loads[i].run();
		printf("%s\t%lu\n", loads[i].name, ticks() - start);
	}
	fflush(stdout);
	reboot(RB_POWER_OFF);
	return 0;
}
