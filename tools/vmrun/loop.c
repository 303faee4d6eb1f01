// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "loop.h"

int loop_create(struct loop *loop, struct error *err)
{
	memset(loop, 0, sizeof(*loop));
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->wake_fd < 0)
		return failed(err, "eventfd: %s", strerror(errno));
	return 0;
}

void loop_destroy(struct loop *loop)
{
	if (loop->wake_fd > 0)
		close(loop->wake_fd);
	loop->wake_fd = -1;
}

int loop_add(struct loop *loop, int fd, bool (*want)(void *), void (*ready)(void *), void *opaque,
	     struct error *err)
{
	int i;

	for (i = 0; i < loop->nr && loop->sources[i].fd >= 0; i++)
		;
	if (i == LOOP_MAX)
		return failed(err, "more than %d event sources", LOOP_MAX);
	loop->sources[i] = (struct loop_source) { fd, want, ready, opaque };
	if (i == loop->nr)
		loop->nr++;
	return 0;
}

static bool never(void *opaque)
{
	(void)opaque;
	return false;
}

void loop_remove(struct loop *loop, int fd)
{
	int i;

	for (i = 0; i < loop->nr; i++)
		if (loop->sources[i].fd == fd)
			loop->sources[i] = (struct loop_source) { .fd = -1, .want = never };
}

void loop_wake(struct loop *loop)
{
	uint64_t one = 1;

	/* A full counter means that a wakeup is pending already. */
	if (write(loop->wake_fd, &one, sizeof(one)) < 0)
		return;
}

void loop_stop(struct loop *loop)
{
	atomic_store(&loop->stop, true);
	loop_wake(loop);
}

static void loop_drain_wakeups(struct loop *loop)
{
	uint64_t n;

	if (read(loop->wake_fd, &n, sizeof(n)) < 0)
		return;
}

int loop_add_poller(struct loop *loop, struct loop_poller *p, struct error *err)
{
	if (loop->nr_pollers == LOOP_POLLERS)
		return failed(err, "more than %d pollers", LOOP_POLLERS);
	loop->pollers[loop->nr_pollers++] = p;
	return 0;
}

void loop_remove_poller(struct loop *loop, struct loop_poller *p)
{
	int i;

	for (i = 0; i < loop->nr_pollers; i++)
		if (loop->pollers[i] == p)
			loop->pollers[i--] = loop->pollers[--loop->nr_pollers];
}

static void dispatch_sources(struct loop *loop, const struct pollfd *fds, int n)
{
	int i;

	for (i = 0; i < n && !atomic_load(&loop->stop); i++)
		if (fds[i].fd >= 0 && fds[i].revents && fds[i].fd == loop->sources[i].fd)
			loop->sources[i].ready(loop->sources[i].opaque);
}

int loop_once(struct loop *loop, int timeout, struct error *err)
{
	struct pollfd fds[LOOP_MAX + 1 + LOOP_POLLED];
	int i, n = loop->nr, at = n + 1, start[LOOP_POLLERS + 1];

	for (i = 0; i < n; i++) {
		const struct loop_source *s = &loop->sources[i];

		fds[i].fd = !s->want || s->want(s->opaque) ? s->fd : -1;
		fds[i].events = POLLIN;
	}
	fds[n].fd = loop->wake_fd;
	fds[n].events = POLLIN;
	for (i = 0; i < loop->nr_pollers; i++) {
		struct loop_poller *p = loop->pollers[i];

		start[i] = at;
		at += p->prepare(p->opaque, fds + at, LOOP_MAX + 1 + LOOP_POLLED - at, &timeout);
	}
	start[i] = at;
	if (poll(fds, at, timeout) < 0)
		return errno == EINTR ? 0 : failed(err, "poll: %s", strerror(errno));
	if (fds[n].revents)
		loop_drain_wakeups(loop);
	for (i = 0; i < loop->nr_pollers; i++)
		loop->pollers[i]->dispatch(loop->pollers[i]->opaque, fds + start[i],
					   start[i + 1] - start[i]);
	dispatch_sources(loop, fds, n);
	return 0;
}

int loop_run(struct loop *loop, struct error *err)
{
	while (!atomic_load(&loop->stop))
		if (loop_once(loop, -1, err))
			return -1;
	return 0;
}
