// SPDX-License-Identifier: GPL-2.0
/* What a process in the sandbox may do still; each test is a child in it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "exitcode.h"
#include "sandbox.h"

static char directory[] = "/tmp/vmrun-sandbox-XXXXXX", own[64], elsewhere[] = "/tmp/vmrun-elsewhere-XXXXXX";

/* The exit status of fn() in the sandbox; said is what it prints on standard error. */
static int in_sandbox(const struct sandbox *s, int (*fn)(void), char *said, size_t size)
{
	int fds[2], status;
	struct error err;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		dup2(fds[1], STDERR_FILENO);
		close(fds[0]);
		close(fds[1]);
		if (sandbox_enter(s, &err)) {
			dprintf(STDERR_FILENO, "%s", err.text);
			_exit(77);
		}
		_exit(fn());
	}
	close(fds[1]);
	for (*said = 0; (n = read(fds[0], said, size - 1)) > 0; said += n, size -= n)
		said[n] = 0;
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void assert_works(const struct sandbox *s, int (*fn)(void))
{
	char said[512];
	int rc = in_sandbox(s, fn, said, sizeof(said));

	if (rc)
		fail_msg("status %d: %s", rc, said);
}

static void assert_refused(const struct sandbox *s, int (*fn)(void), int nr)
{
	char said[512], call[40];

	assert_int_equal(in_sandbox(s, fn, said, sizeof(said)), EXIT_HOST_FAILED);
	snprintf(call, sizeof(call), "refused system call %d,", nr);
	if (!strstr(said, call))
		fail_msg("says \"%s\" in the place of \"%s\"", said, call);
}

static const struct sandbox plain, network = { .network = true }, with_own = { .own_file = own };

static int execute(void)
{
	return syscall(SYS_execve, "/bin/true", NULL, NULL), 0;
}

static int make_process(void)
{
	return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0), 0;
}

static int executable_memory(void)
{
	return syscall(SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 0;
}

static int make_executable(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return mprotect(p, 4096, PROT_READ | PROT_EXEC), 0;
}

static int type_on_terminal(void)
{
	return syscall(SYS_ioctl, 0, TIOCSTI, "x"), 0;
}

/* The filter sees 64 bits, the kernel takes 32. */
static int type_on_terminal_oddly(void)
{
	return syscall(SYS_ioctl, 0, 0xae0000000000UL | TIOCSTI, "x"), 0;
}

static int catch_refusals(void)
{
	struct sigaction sa = { .sa_handler = SIG_IGN };
	uint64_t kernels[4] = { (uintptr_t)sa.sa_handler };

	return syscall(SYS_rt_sigaction, SIGSYS, kernels, NULL, 8), 0;
}

static int trace(void)
{
	return syscall(SYS_ptrace, PTRACE_ATTACH, 1, 0, 0), 0;
}

static int kill_another(void)
{
	return syscall(SYS_kill, 1, 0), 0;
}

static int packet_socket(void)
{
	return syscall(SYS_socket, AF_PACKET, SOCK_RAW, 0), 0;
}

static void *execute_here(void *opaque)
{
	execute();
	return opaque;
}

static int execute_in_thread(void)
{
	pthread_t t;

	if (pthread_create(&t, NULL, execute_here, NULL))
		return 1;
	pthread_join(t, NULL);
	return 0;
}

static void forbidden_calls_end_it(void **state)
{
	(void)state;
	assert_refused(&plain, execute, SYS_execve);
	assert_refused(&network, execute, SYS_execve);
	assert_refused(&plain, execute_in_thread, SYS_execve);
	assert_refused(&plain, make_process, SYS_clone);
	assert_refused(&plain, executable_memory, SYS_mmap);
	assert_refused(&plain, make_executable, SYS_mprotect);
	assert_refused(&plain, type_on_terminal, SYS_ioctl);
	assert_refused(&plain, type_on_terminal_oddly, SYS_ioctl);
	assert_refused(&plain, catch_refusals, SYS_rt_sigaction);
	assert_refused(&plain, trace, SYS_ptrace);
	assert_refused(&plain, kill_another, SYS_kill);
	assert_refused(&network, packet_socket, SYS_socket);
}

/* Return: 0 if rc is a failure with that error. */
static int fails_with(long rc, int error)
{
	return rc >= 0 ? 1 : errno == error ? 0 : 2;
}

static int no_files(void)
{
	return fails_with(open("/etc/passwd", O_RDONLY), EACCES) ||
	       fails_with(open("/tmp/vmrun-new", O_WRONLY | O_CREAT, 0600), EACCES) ||
	       fails_with(unlink(own), EACCES);
}

static int no_sockets(void)
{
	return fails_with(socket(AF_INET, SOCK_STREAM, 0), EACCES);
}

static int sockets(void)
{
	return socket(AF_INET, SOCK_STREAM, 0) < 0 || socket(AF_INET6, SOCK_DGRAM, 0) < 0 ||
	       fails_with(socket(AF_UNIX, SOCK_STREAM, 0), EACCES);
}

static void what_is_not_there(void **state)
{
	(void)state;
	assert_works(&plain, no_files);
	assert_works(&plain, no_sockets);
	assert_works(&network, sockets);
}

static void *sleeps(void *opaque)
{
	pause();
	return opaque;
}

static void no_thread_stays_outside(void **state)
{
	struct error err = { "" };
	int status;
	pid_t pid;

	(void)state;
	pid = fork();
	if (!pid) {
		pthread_t t;

		pthread_create(&t, NULL, sleeps, NULL);
		_exit(sandbox_enter(&plain, &err) && strstr(err.text, "thread") ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static int ordinary_work(void)
{
	char *p = malloc(1 << 20);
	int fds[2];
	char byte = 'x';
	FILE *f;

	if (!p || pipe(fds) || write(fds[1], &byte, 1) != 1 || read(fds[0], &byte, 1) != 1)
		return 1;
	f = open_memstream(&p, &(size_t) { 0 });
	return !f || fprintf(f, "text") != 4 || fclose(f);
}

static void work_goes_on(void **state)
{
	(void)state;
	assert_works(&plain, ordinary_work);
	assert_works(&network, ordinary_work);
	assert_works(&with_own, ordinary_work);
}

static int only_resolver(void)
{
	struct stat st;

	return open("/etc/resolv.conf", O_RDONLY) < 0 || stat("/etc/resolv.conf", &st) ||
	       fails_with(open("/etc/passwd", O_RDONLY), EACCES);
}

static int only_own(void)
{
	return unlink(own) || fails_with(unlink(elsewhere), EACCES) ||
	       fails_with(open(own, O_WRONLY | O_CREAT, 0600), EACCES);
}

/* Where the kernel has no Landlock there is nothing to test: all of it is refused then. */
static void files_by_landlock(void **state)
{
	(void)state;
	if (syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) < 1) {
		print_message("no Landlock here\n");
		skip();
	}
	if (!access("/etc/resolv.conf", R_OK))
		assert_works(&network, only_resolver);
	assert_works(&with_own, only_own);
	assert_int_equal(access(own, F_OK), -1);
	close(open(own, O_WRONLY | O_CREAT, 0600));
}

static int show_rights(void)
{
	char byte;

	dprintf(STDERR_FILENO, ".");
	return read(STDIN_FILENO, &byte, 1) < 0;
}

static void rights_are_gone(void **state)
{
	int up[2], down[2];
	char path[64], line[256], byte;
	unsigned int seen = 0;
	struct error err;
	pid_t pid;
	FILE *f;

	(void)state;
	assert_int_equal(pipe(up) | pipe(down), 0);
	pid = fork();
	if (!pid) {
		dup2(up[1], STDERR_FILENO);
		dup2(down[0], STDIN_FILENO);
		_exit(sandbox_enter(&plain, &err) ? 1 : show_rights());
	}
	assert_int_equal(read(up[0], &byte, 1), 1);
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		seen += !strcmp(line, "CapEff:\t0000000000000000\n") ||
			!strcmp(line, "CapPrm:\t0000000000000000\n") ||
			!strcmp(line, "NoNewPrivs:\t1\n") || !strcmp(line, "Seccomp:\t2\n");
	fclose(f);
	assert_int_equal(write(down[1], ".", 1), 1);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(seen, 4);
	close(up[0]), close(up[1]), close(down[0]), close(down[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forbidden_calls_end_it),
		cmocka_unit_test(what_is_not_there),
		cmocka_unit_test(work_goes_on),
		cmocka_unit_test(no_thread_stays_outside),
		cmocka_unit_test(files_by_landlock),
		cmocka_unit_test(rights_are_gone),
	};
	int rc;

	if (!mkdtemp(directory))
		return 1;
	snprintf(own, sizeof(own), "%s/own", directory);
	close(mkstemp(elsewhere));
	close(open(own, O_WRONLY | O_CREAT, 0600));
	rc = cmocka_run_group_tests_name("vmrun sandbox", tests, NULL, NULL);
	unlink(own);
	unlink(elsewhere);
	return rmdir(directory) || rc;
}
