/* SPDX-License-Identifier: GPL-2.0 */
/* The event loop: descriptors and who handles them, on one thread beside those of the vCPUs. */
#ifndef VMRUN_LOOP_H
#define VMRUN_LOOP_H

#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "error.h"

#define LOOP_MAX	256
#define LOOP_POLLERS	16
#define LOOP_POLLED	1024		/* descriptors of all pollers together */

struct loop_source {
	int fd;				/* -1: this place is free */
	/* Asked before each wait: is this source to be watched? NULL: always. */
	bool (*want)(void *opaque);
	void (*ready)(void *opaque);
	void *opaque;
	bool unable;			/* to be in the epoll set: a file */
	bool watched;			/* it is in there */
};

/* Who has many descriptors, and others each time. */
struct loop_poller {
	/* Fill in what is to be waited for, and shorten the timeout (ms, -1: none). Return: how many. */
	int (*prepare)(void *opaque, struct pollfd *fds, int room, int *timeout);
	/* After each wait, with the same descriptors. */
	void (*dispatch)(void *opaque, struct pollfd *fds, int n);
	void *opaque;
};

struct loop {
	struct loop_source sources[LOOP_MAX];
	int nr;
	struct loop_poller *pollers[LOOP_POLLERS];
	int nr_pollers;
	int wake_fd;
	int epoll_fd;			/* what stays the same from wait to wait */
	atomic_bool stop;
};

int loop_create(struct loop *loop, struct error *err);
void loop_destroy(struct loop *loop);

/* Watch a descriptor for input; only before loop_run() or on the loop's thread. */
int loop_add(struct loop *loop, int fd, bool (*want)(void *), void (*ready)(void *), void *opaque,
	     struct error *err);

/* Before the descriptor is closed; only before loop_run(), on the loop's thread, or after it. */
void loop_remove(struct loop *loop, int fd);

/* Only before loop_run(), or after it. */
int loop_add_poller(struct loop *loop, struct loop_poller *p, struct error *err);
void loop_remove_poller(struct loop *loop, struct loop_poller *p);

/* From any thread: go round once more, so that want() is asked again. */
void loop_wake(struct loop *loop);

/* From any thread: make loop_run() return. */
void loop_stop(struct loop *loop);

/* Wait for events, so many milliseconds at most (-1: for ever), and handle them. */
int loop_once(struct loop *loop, int timeout, struct error *err);

/* Handle events until loop_stop(). */
int loop_run(struct loop *loop, struct error *err);

#endif
