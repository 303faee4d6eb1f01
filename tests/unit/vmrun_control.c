// SPDX-License-Identifier: GPL-2.0
/* The control socket and `vmrun ctl`; the monitor's commands that need no hypervisor. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "control.h"
#include "exitcode.h"
#include "machine.h"
#include "patience.h"

struct fixture {
	struct control_owner owner;
	struct control control;
	struct loop loop;
	pthread_t thread;
	char last[CONTROL_LINE];
	bool fails;
};

static char directory[] = "/tmp/vmrun-control-XXXXXX";

/* Says what it was told, so often that it fills more than one packet. */
static int command(struct control_owner *o, const char *line, int fd, FILE *out)
{
	struct fixture *f = (struct fixture *)((char *)o - offsetof(struct fixture, owner));
	int i;

	strcpy(f->last, line);
	if (fd >= 0 && write(fd, "machine", 7) != 7)
		return -1;
	if (f->fails) {
		fprintf(out, "it failed\n");
		return -1;
	}
	for (i = 0; i < (strcmp(line, "much") ? 1 : 10000); i++)
		fprintf(out, "%s\n", line);
	return strcmp(line, "fail") ? 0 : -1;
}

static void *run(void *opaque)
{
	loop_run(&((struct fixture *)opaque)->loop, NULL);
	return NULL;
}

static int setup(void **state)
{
	struct fixture *f = *state = calloc(1, sizeof(*f));
	struct error err;

	f->owner.command = command;
	if (loop_create(&f->loop, &err) ||
	    control_create(&f->control, "one", &f->owner, &f->loop, &err))
		fail_msg("%s", err.text);
	return pthread_create(&f->thread, NULL, run, f);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	loop_stop(&f->loop);
	pthread_join(f->thread, NULL);
	control_destroy(&f->control);
	loop_destroy(&f->loop);
	free(f);
	return 0;
}

/* Return: what vmrun would end with; *text is what it says, to be freed. */
static int ctl(char **text, struct error *err, const char *line)
{
	char copy[CONTROL_LINE + 100], *argv[10] = { "ctl" }, *word;
	size_t size;
	FILE *out = open_memstream(text, &size);
	int argc = 1, rc;

	snprintf(copy, sizeof(copy), "%s", line);
	for (word = strtok(copy, " "); word; word = strtok(NULL, " "))
		argv[argc++] = word;
	err->text[0] = 0;
	rc = ctl_main(argc, argv, out, err);
	fclose(out);
	return rc;
}

static void assert_ctl(const char *line, int code, const char *says)
{
	struct error err;
	char *text;

	assert_int_equal(ctl(&text, &err, line), code);
	assert_string_equal(code ? err.text : text, says);
	free(text);
}

static void commands_and_answers(void **state)
{
	struct fixture *f = *state;
	struct error err;
	char *text;

	assert_ctl("one say  three words", 0, "say three words\n");
	assert_string_equal(f->last, "say three words");
	assert_ctl("one fail", EXIT_GUEST_FAILED, "fail");
	assert_ctl("two status", EXIT_HOST_FAILED,
		   "no machine of the name two runs; `vmrun ctl` lists those that do");
	assert_ctl("../one status", EXIT_USAGE, "\"../one\" is no machine's name");
	assert_ctl("one", EXIT_USAGE, "what is one to do? `vmrun ctl one help` lists it");
	assert_ctl("", 0, "one              status\n");
	assert_int_equal(ctl(&text, &err, "one much"), 0);
	assert_int_equal(strlen(text), 50000);
	free(text);
}

static int files_of(const char *prefix)
{
	char command_line[100];
	FILE *p;
	int n = -1;

	snprintf(command_line, sizeof(command_line), "ls -d %s* 2> /dev/null | wc -l", prefix);
	p = popen(command_line, "r");
	assert_non_null(p);
	assert_int_equal(fscanf(p, "%d", &n), 1);
	pclose(p);
	return n;
}

/* `vmrun ctl` opens the file that the machine writes; it is there whole, or not at all. */
static void snapshots_are_whole(void **state)
{
	struct fixture *f = *state;
	char file[sizeof(directory) + 10], line[200], got[20] = "";
	struct stat st;
	struct error err;
	char *text;
	FILE *in;

	snprintf(file, sizeof(file), "%s/file", directory);
	snprintf(line, sizeof(line), "one snapshot %s", file);
	f->fails = true;
	assert_ctl(line, EXIT_GUEST_FAILED, "it failed");
	assert_int_equal(files_of(file), 0);
	f->fails = false;
	assert_int_equal(ctl(&text, &err, line), 0);
	free(text);
	assert_string_equal(f->last, "snapshot");
	assert_int_equal(files_of(file), 1);
	in = fopen(file, "r");
	assert_int_equal(fread(got, 1, sizeof(got), in), 7);
	fclose(in);
	assert_string_equal(got, "machine");
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);

	/* One that fails leaves the one before. */
	f->fails = true;
	assert_ctl(line, EXIT_GUEST_FAILED, "it failed");
	f->fails = false;
	assert_int_equal(files_of(file), 1);
	unlink(file);
	assert_int_equal(ctl(&text, &err, "one snapshot /nonexistent/file"), EXIT_HOST_FAILED);
	free(text);
	assert_non_null(strstr(err.text, "No such file or directory"));
	/* Without a file it is a command like any other. */
	assert_ctl("one snapshot", 0, "snapshot\n");
}

static void only_the_owner_may(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	assert_int_equal(stat(f->control.path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	*strrchr(f->control.path, '/') = 0;
	assert_int_equal(stat(f->control.path, &st), 0);
	f->control.path[strlen(f->control.path)] = '/';
	assert_int_equal(st.st_mode & 0777, 0700);
}

/* One that is silent, one that goes, one that says too much, one that doesn't read; then too many. */
static void clients_that_misbehave(void **state)
{
	struct fixture *f = *state;
	static char much[CONTROL_LINE * 4];
	int fds[CONTROL_CLIENTS + 4], i, fd;
	char byte;

	fd = control_connect(f->control.path);
	assert_true(fd >= 0);
	close(fd);
	memset(much, 'x', sizeof(much));
	fd = control_connect(f->control.path);
	send(fd, much, sizeof(much), MSG_NOSIGNAL);
	assert_true(recv(fd, &byte, 1, 0) <= 0);
	close(fd);
	fd = control_connect(f->control.path);
	assert_int_equal(send(fd, "half a li", 9, MSG_NOSIGNAL), 9);
	assert_ctl("one while", 0, "while\n");
	assert_int_equal(send(fd, "ne\nmore\n", 8, MSG_NOSIGNAL), 8);
	assert_int_equal(recv(fd, &byte, 1, 0), 1);
	assert_string_equal(f->last, "half a line");
	close(fd);
	for (i = 0; i < CONTROL_CLIENTS + 4; i++) {
		fds[i] = control_connect(f->control.path);
		assert_true(fds[i] >= 0);
	}
	assert_int_equal(recv(fds[CONTROL_CLIENTS + 3], &byte, 1, 0), 0);
	while (i)
		close(fds[--i]);
	/* They are gone as soon as the loop has seen it. */
	for (i = 0; i < PATIENCE_MS; i++) {
		struct error err;
		char *text;
		int rc = ctl(&text, &err, "one again");

		free(text);
		if (!rc)
			return;
		usleep(1000);
	}
	fail_msg("no place becomes free");
}

static void names_are_taken_once(void **state)
{
	struct fixture *f = *state;
	struct control second;
	struct error err;

	assert_int_equal(control_create(&second, "one", &f->owner, &f->loop, &err), -1);
	assert_non_null(strstr(err.text, "runs already"));
	assert_ctl("one still", 0, "still\n");
}

static void what_is_left_behind_is_cleaned_up(void **state)
{
	struct control_owner owner = { command };
	struct control c;
	struct loop loop;
	struct error err;
	char path[108];

	(void)state;
	assert_int_equal(loop_create(&loop, &err), 0);
	assert_int_equal(control_create(&c, "gone", &owner, &loop, &err), 0);
	strcpy(path, c.path);
	close(c.fd);			/* as if it had been killed */
	assert_int_equal(access(path, F_OK), 0);
	assert_ctl("gone status", EXIT_HOST_FAILED,
		   "no machine of the name gone runs; `vmrun ctl` lists those that do");
	assert_int_equal(control_create(&c, "gone", &owner, &loop, &err), 0);
	close(c.fd);
	assert_ctl("", 0, "");
	assert_int_equal(access(path, F_OK), -1);
	loop_destroy(&loop);
}

static bool pressed;

static bool press(void *opaque)
{
	pressed = true;
	return *(bool *)opaque;
}

static uint64_t wanted;

static bool inflate(void *opaque, uint64_t bytes)
{
	wanted = bytes;
	return *(bool *)opaque;
}

static void print_balloon(void *opaque, FILE *out)
{
	(void)opaque;
	fprintf(out, "a balloon\n");
}

static void assert_monitor(struct machine *m, const char *line, int rc, const char *says)
{
	size_t size;
	char *text;
	FILE *out = open_memstream(&text, &size);

	assert_int_equal(monitor_command(m, line, out), rc);
	fclose(out);
	if (!strstr(text, says) || (!*says && *text))
		fail_msg("\"%s\" is answered by \"%s\"", line, text);
	free(text);
}

/* A keyboard that takes anything but an "a". */
static const char *type(void *opaque, const uint8_t *codes, size_t len)
{
	assert_null(opaque);
	return codes[0] == 0x1c && len == 3 ? "nobody reads" : NULL;
}

/* Of a machine without vCPUs: it pauses at once. */
static void monitor_commands(void **state)
{
	static const struct options o = { .image = "kernel" };
	static struct machine m;
	bool listens = false;

	(void)state;
	m.options = &o;
	m.loop.wake_fd = m.passed_fd = -1;
	assert_monitor(&m, "snapshot", -1, "`vmrun ctl NAME snapshot FILE` takes one");
	m.mem.size = 128 << 20;
	m.balloon = (struct memory_balloon) { inflate, print_balloon, &listens };
	m.power_button = (struct power_button) { press, &listens };
	m.keyboard.type = type;
	pthread_mutex_init(&m.vm.lock, NULL);
	pthread_cond_init(&m.vm.changed, NULL);
	pthread_mutex_init(&m.stop.lock, NULL);
	assert_monitor(&m, " status ", 0, "running, kernel");
	assert_monitor(&m, "pause", 0, "");
	assert_int_equal(m.vm.pausing, 1);
	assert_monitor(&m, "pause", -1, "paused already");
	assert_monitor(&m, "status", 0, "paused, kernel");
	assert_monitor(&m, "resume", 0, "");
	assert_int_equal(m.vm.pausing, 0);
	assert_monitor(&m, "resume", -1, "isn't paused");
	assert_monitor(&m, "powerdown", -1, "doesn't listen");
	assert_true(pressed);
	assert_monitor(&m, "balloon 64", -1, "no driver");
	listens = true;
	assert_monitor(&m, "powerdown", 0, "");
	assert_monitor(&m, "balloon", 0, "a balloon");
	assert_monitor(&m, "balloon 64", 0, "");
	assert_int_equal(wanted, 64 << 20);
	assert_monitor(&m, "balloon 128M", -1, "128M: not a size below the guest's 128 MiB");
	assert_monitor(&m, "balloon x", -1, "x: not a size");
	assert_monitor(&m, "sendkey a", -1, "nobody reads");
	assert_monitor(&m, "sendkey nokey", -1, "nokey: no key");
	assert_monitor(&m, "sendkey", -1, "which keys");
	assert_monitor(&m, "sendkey ctrl-alt-delete", 0, "");
	assert_monitor(&m, "pause now", -1, "stands alone");
	assert_monitor(&m, "frobnicate", -1, "no such command");
	assert_monitor(&m, "", 0, "");
	assert_monitor(&m, "help", 0, "powerdown");
	assert_int_equal(m.stop.kind, STOP_NONE);
	assert_monitor(&m, "reset", 0, "");
	assert_int_equal(m.stop.kind, STOP_RESET);
	m.stop.kind = STOP_NONE;
	assert_monitor(&m, "quit", 0, "");
	assert_int_equal(m.stop.kind, STOP_USER);
}

#define socket_test(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		socket_test(commands_and_answers),
		socket_test(snapshots_are_whole),
		socket_test(only_the_owner_may),
		socket_test(clients_that_misbehave),
		socket_test(names_are_taken_once),
		cmocka_unit_test(what_is_left_behind_is_cleaned_up),
		cmocka_unit_test(monitor_commands),
	};
	char path[64];
	int rc;

	if (!mkdtemp(directory) || setenv("XDG_RUNTIME_DIR", directory, 1))
		return 1;
	rc = cmocka_run_group_tests_name("vmrun control", tests, NULL, NULL);
	snprintf(path, sizeof(path), "%s/minivmm", directory);
	rmdir(path);
	return rmdir(directory) || rc;
}
