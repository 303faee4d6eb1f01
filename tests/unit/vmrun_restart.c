// SPDX-License-Identifier: GPL-2.0
/* A machine that starts again: the process that waits for it, and what it hands on. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "exitcode.h"
#include "restart.h"

/* What the children say, who share nothing else. */
static struct {
	int starts, wrong;
	double timeout;
} *shared;

static int setup(void **state)
{
	(void)state;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	return shared == MAP_FAILED;
}

static int teardown(void **state)
{
	(void)state;
	return munmap(shared, sizeof(*shared));
}

static int resets_twice(const struct options *o, bool *reset)
{
	(void)o;
	*reset = ++shared->starts < 3;
	return *reset ? EXIT_GUEST_OK : 7;
}

static void starts_again_after_resets(void **state)
{
	const struct options o = { .restart = true };

	(void)state;
	assert_int_equal(restart_run(&o, resets_twice), 7);
	assert_int_equal(shared->starts, 3);
}

static int fails_after_a_reset(const struct options *o, bool *reset)
{
	(void)o;
	shared->starts++;
	*reset = true;
	return EXIT_HOST_FAILED;
}

static int crashes(const struct options *o, bool *reset)
{
	(void)o;
	shared->starts++;
	*reset = true;
	return raise(SIGKILL);
}

static void ends_when_something_is_wrong(void **state)
{
	const struct options o = { .restart = true };

	(void)state;
	assert_int_equal(restart_run(&o, fails_after_a_reset), EXIT_HOST_FAILED);
	assert_int_equal(restart_run(&o, crashes), EXIT_SIGNAL + SIGKILL);
	assert_int_equal(shared->starts, 2);
}

static int tells_its_parent(const struct options *o, bool *reset)
{
	(void)o;
	(void)reset;
	kill(getppid(), SIGTERM);
	while (pause())
		;
	return 0;
}

static void signals_are_handed_on(void **state)
{
	const struct options o = { .restart = true };
	sigset_t after;

	(void)state;
	assert_int_equal(restart_run(&o, tells_its_parent), EXIT_SIGNAL + SIGTERM);
	sigprocmask(SIG_SETMASK, NULL, &after);
	assert_false(sigismember(&after, SIGTERM));
}

static int looks_at_the_clock(const struct options *o, bool *reset)
{
	if (o->timeout <= 0 || (shared->starts && o->timeout >= shared->timeout))
		shared->wrong++;
	shared->timeout = o->timeout;
	*reset = ++shared->starts < 3;
	return EXIT_GUEST_OK;
}

static void time_is_for_all_of_them(void **state)
{
	const struct options long_time = { .timeout = 1e6 }, short_time = { .timeout = 1e-9 };

	(void)state;
	assert_int_equal(restart_run(&long_time, looks_at_the_clock), EXIT_GUEST_OK);
	assert_int_equal(shared->wrong, 0);
	shared->starts = 2;
	shared->timeout = 1;
	assert_int_equal(restart_run(&short_time, looks_at_the_clock), EXIT_GUEST_OK);
	assert_int_equal(shared->wrong, 0);
}

static int stops(const struct options *o, bool *reset)
{
	(void)o;
	(void)reset;
	raise(SIGSTOP);
	return 5;
}

/* A shell sees the one that it has started. */
static void a_stop_is_seen(void **state)
{
	const struct options o = { .restart = true };
	int status;
	pid_t pid;

	(void)state;
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		_exit(restart_run(&o, stops));
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	kill(pid, SIGCONT);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 5);
}

#define restart_test(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		restart_test(starts_again_after_resets),
		restart_test(ends_when_something_is_wrong),
		restart_test(signals_are_handed_on),
		restart_test(time_is_for_all_of_them),
		restart_test(a_stop_is_seen),
	};

	return cmocka_run_group_tests_name("vmrun restart", tests, NULL, NULL);
}
