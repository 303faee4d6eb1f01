// SPDX-License-Identifier: GPL-2.0
/* The console: Ctrl-a, the monitor's line, input from a pipe; and the terminal's restoration. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "console.h"
#include "patience.h"
#include "term.h"

struct fixture {
	struct console_owner owner;
	struct console c;
	struct loop loop;
	int out[2], in[2];
	int quits, notified, lost;
	char command[CONSOLE_LINE];
};

#define FIXTURE(o) ((struct fixture *)((char *)(o) - offsetof(struct fixture, owner)))

static void on_quit(struct console_owner *o)
{
	FIXTURE(o)->quits++;
}

static void on_command(struct console_owner *o, const char *line, FILE *out)
{
	strcpy(FIXTURE(o)->command, line);
	fprintf(out, "one\ntwo\n");
}

static void on_lost(struct console_owner *o, const char *why)
{
	(void)why;
	FIXTURE(o)->lost++;
}

static void on_notify(void *opaque)
{
	((struct fixture *)opaque)->notified++;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct error err;

	f->owner = (struct console_owner) { on_quit, on_command, on_lost };
	assert_int_equal(loop_create(&f->loop, &err), 0);
	assert_int_equal(pipe(f->out), 0);
	assert_int_equal(pipe(f->in), 0);
	assert_int_equal(console_create(&f->c, f->in[0], f->out[1], &f->owner, &f->loop, &err), 0);
	f->c.tty = true;
	f->c.chr.notify = on_notify;
	f->c.chr.opaque = f;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	console_destroy(&f->c);
	loop_destroy(&f->loop);
	close(f->in[0]);
	close(f->in[1]);
	close(f->out[0]);
	close(f->out[1]);
	free(f);
	return 0;
}

static void type(struct fixture *f, const char *keys)
{
	console_input(&f->c, (const uint8_t *)keys, strlen(keys));
}

static void assert_guest_gets(struct fixture *f, const char *text)
{
	char got[CONSOLE_QUEUE + 1] = "";

	got[f->c.chr.read(&f->c.chr, got, CONSOLE_QUEUE)] = 0;
	assert_string_equal(got, text);
}

static const char *shown(struct fixture *f)
{
	static char got[8192];
	ssize_t n;

	fcntl(f->out[0], F_SETFL, O_NONBLOCK);
	n = read(f->out[0], got, sizeof(got) - 1);
	got[n > 0 ? n : 0] = 0;
	return got;
}

static void keys_go_to_the_guest(void **state)
{
	struct fixture *f = *state;

	type(f, "ls -l\r\x03\x1a");
	assert_guest_gets(f, "ls -l\r\x03\x1a");
	assert_int_equal(f->notified, 1);
	assert_string_equal(shown(f), "");
}

static void ctrl_a(void **state)
{
	struct fixture *f = *state;

	type(f, "\x01" "a\x01\x01z");
	assert_guest_gets(f, "\x01\x01z");
	type(f, "\x01" "x");
	assert_int_equal(f->quits, 1);
	type(f, "\x01" "h");
	assert_non_null(strstr(shown(f), "monitor"));
	type(f, "\x01");
	type(f, "a");
	assert_guest_gets(f, "\x01");
}

static void monitor(void **state)
{
	struct fixture *f = *state;
	const char *text;

	type(f, "\x01" "c");
	shown(f);
	type(f, "inxo\x7f\x7f" "fo\r");
	assert_string_equal(f->command, "info");
	text = shown(f);
	assert_non_null(strstr(text, "inxo\b \b\b \bfo\r\none\r\ntwo\r\n(vmrun) "));
	type(f, "gone\x15kept\n");
	assert_string_equal(f->command, "kept");
	assert_guest_gets(f, "");
	type(f, "\x01" "cback");
	assert_guest_gets(f, "back");
	type(f, "\x01" "c\x01x");
	assert_int_equal(f->quits, 1);
}

static void monitor_line_is_bounded(void **state)
{
	struct fixture *f = *state;
	int i;

	type(f, "\x01" "c\x7f\x7f");
	for (i = 0; i < 1000; i++)
		type(f, "y\x1b\x80");
	type(f, "\r");
	assert_int_equal(strlen(f->command), CONSOLE_LINE - 1);
}

static void a_pipe_has_no_commands(void **state)
{
	struct fixture *f = *state;

	f->c.tty = false;
	type(f, "\x01" "x\x01" "c");
	assert_int_equal(f->quits, 0);
	assert_guest_gets(f, "\x01" "x\x01" "c");
}

static void too_many_keys_are_lost_not_harmful(void **state)
{
	struct fixture *f = *state;
	char got[CONSOLE_QUEUE];
	int i;

	for (i = 0; i < CONSOLE_QUEUE + 100; i++)
		type(f, "k");
	assert_int_equal(f->c.chr.read(&f->c.chr, got, 100), 100);
	assert_int_equal(f->c.chr.read(&f->c.chr, got, sizeof(got)), CONSOLE_QUEUE - 100);
	assert_int_equal(f->c.chr.read(&f->c.chr, got, sizeof(got)), 0);
	type(f, "\x01" "x");
	assert_int_equal(f->quits, 1);
}

static void unreadable_output_is_said(void **state)
{
	struct fixture *f = *state;

	signal(SIGPIPE, SIG_IGN);
	close(f->out[0]);
	f->c.chr.write(&f->c.chr, "x", 1);
	assert_int_equal(f->lost, 1);
	f->out[0] = open("/dev/null", O_RDONLY);
}

/* ---- the loop, with a pipe as input ---------------------------------------------------------- */

static void *run_loop(void *opaque)
{
	struct error err;

	assert_int_equal(loop_run(opaque, &err), 0);
	return NULL;
}

static void wait_for(struct fixture *f, size_t want, char *got)
{
	size_t n = 0;
	int i;

	for (i = 0; n < want && i < PATIENCE_MS; i++) {
		size_t now = f->c.chr.read(&f->c.chr, got + n, want - n);

		n += now;
		if (!now)
			usleep(1000);
	}
	assert_int_equal(n, want);
}

static void a_pipe_waits_for_the_guest(void **state)
{
	static char sent[5 * CONSOLE_QUEUE], got[5 * CONSOLE_QUEUE];
	struct fixture *f = *state;
	pthread_t thread;
	size_t i;

	for (i = 0; i < sizeof(sent); i++)
		sent[i] = i % 251;
	f->c.tty = false;
	pthread_create(&thread, NULL, run_loop, &f->loop);
	assert_int_equal(write(f->in[1], sent, sizeof(sent)), sizeof(sent));
	close(f->in[1]);
	f->in[1] = -1;
	wait_for(f, sizeof(sent), got);
	assert_memory_equal(sent, got, sizeof(sent));
	for (i = 0; !f->c.eof && i < PATIENCE_MS; i++)
		usleep(1000);
	assert_true(f->c.eof);
	loop_stop(&f->loop);
	pthread_join(thread, NULL);
}

/* ---- the terminal ---------------------------------------------------------------------------- */

/* In a session of its own, in whose foreground it is: else the terminal isn't made raw at all. */
static void child_dies(int fd, int sig)
{
	struct rlimit no_core = { 0, 0 };
	struct termios now;

	setrlimit(RLIMIT_CORE, &no_core);
	if (setsid() < 0 || ioctl(fd, TIOCSCTTY, 0) || !term_init(fd))
		_exit(100);
	term_raw();
	if (tcgetattr(fd, &now) || (now.c_lflag & (ICANON | ECHO | ISIG)))
		_exit(101);
	if (sig)
		raise(sig);
	exit(0);
}

static void terminal_is_restored(void **state)
{
	static const int how[] = { 0, SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL };
	struct termios before = { }, after = { };	/* padding included */
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(how) / sizeof(how[0]); i++) {
		int master = posix_openpt(O_RDWR | O_NOCTTY), slave, status;
		pid_t pid;

		assert_true(master >= 0 && !grantpt(master) && !unlockpt(master));
		slave = open(ptsname(master), O_RDWR | O_NOCTTY);
		assert_true(slave >= 0);
		tcgetattr(slave, &before);
		pid = fork();
		if (!pid)
			child_dies(slave, how[i]);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (how[i])
			assert_int_equal(WTERMSIG(status), how[i]);
		else
			assert_int_equal(WEXITSTATUS(status), 0);
		tcgetattr(slave, &after);
		assert_memory_equal(&before, &after, sizeof(before));
		close(slave);
		close(master);
	}
}

#define console_test(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		console_test(keys_go_to_the_guest),
		console_test(ctrl_a),
		console_test(monitor),
		console_test(monitor_line_is_bounded),
		console_test(a_pipe_has_no_commands),
		console_test(too_many_keys_are_lost_not_harmful),
		console_test(unreadable_output_is_said),
		console_test(a_pipe_waits_for_the_guest),
		cmocka_unit_test(terminal_is_restored),
	};

	return cmocka_run_group_tests_name("vmrun console", tests, NULL, NULL);
}
