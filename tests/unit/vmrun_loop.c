// SPDX-License-Identifier: GPL-2.0
/* The event loop: what epoll takes and what it doesn't, who wants to be watched, and who leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "loop.h"

struct source {
	struct loop *loop;
	int fd;
	bool wanted;
	unsigned int calls;
	struct source *removes;
};

static bool want(void *opaque)
{
	return ((struct source *)opaque)->wanted;
}

static void ready(void *opaque)
{
	struct source *s = opaque;

	s->calls++;
	if (s->removes)
		loop_remove(s->loop, s->removes->fd);
}

static void add(struct loop *loop, struct source *s, int fd)
{
	struct error err;

	assert_true(fd >= 0);
	*s = (struct source) { .loop = loop, .fd = fd, .wanted = true };
	assert_int_equal(loop_add(loop, fd, want, ready, s, &err), 0);
}

static void turn(struct loop *loop)
{
	struct error err;

	assert_int_equal(loop_once(loop, 0, &err), 0);
}

/* A file is always ready, and epoll takes none. */
static void files_and_others(void **state)
{
	struct source file, ready_one, quiet;
	FILE *f = tmpfile();
	struct error err;
	struct loop loop;

	(void)state;
	assert_int_equal(loop_create(&loop, &err), 0);
	add(&loop, &file, fileno(f));
	add(&loop, &ready_one, eventfd(1, 0));
	add(&loop, &quiet, eventfd(0, 0));
	turn(&loop);
	assert_int_equal(file.calls, 1);
	assert_int_equal(ready_one.calls, 1);
	file.wanted = ready_one.wanted = false;
	turn(&loop);
	assert_int_equal(file.calls, 1);
	assert_int_equal(ready_one.calls, 1);
	file.wanted = ready_one.wanted = true;
	turn(&loop);
	assert_int_equal(file.calls, 2);
	assert_int_equal(ready_one.calls, 2);
	assert_int_equal(quiet.calls, 0);
	loop_destroy(&loop);
	fclose(f);
	close(ready_one.fd);
	close(quiet.fd);
}

/* Each removes the other: only one is called, and its place serves again. */
static void who_leaves_is_not_called(void **state)
{
	struct source a, b, next;
	struct error err;
	struct loop loop;

	(void)state;
	assert_int_equal(loop_create(&loop, &err), 0);
	add(&loop, &a, eventfd(1, 0));
	add(&loop, &b, eventfd(1, 0));
	a.removes = &b;
	b.removes = &a;
	turn(&loop);
	assert_int_equal(a.calls + b.calls, 1);
	add(&loop, &next, eventfd(1, 0));
	turn(&loop);
	assert_int_equal(a.calls + b.calls, 2);
	assert_int_equal(next.calls, 1);
	assert_int_equal(loop.nr, 2);
	loop_destroy(&loop);
	close(a.fd);
	close(b.fd);
	close(next.fd);
}

/* More than one wait tells of: none is forgotten. */
static void many_have_their_turn(void **state)
{
	struct source s[100];
	unsigned int i, turns;
	struct error err;
	struct loop loop;

	(void)state;
	assert_int_equal(loop_create(&loop, &err), 0);
	for (i = 0; i < 100; i++)
		add(&loop, &s[i], eventfd(1, 0));
	for (turns = 0; turns < 100; turns++)
		turn(&loop);
	for (i = 0; i < 100; i++) {
		assert_true(s[i].calls);
		close(s[i].fd);
	}
	loop_destroy(&loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_and_others),
		cmocka_unit_test(who_leaves_is_not_called),
		cmocka_unit_test(many_have_their_turn),
	};

	return cmocka_run_group_tests_name("vmrun_loop", tests, NULL, NULL);
}
