// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "loop.h"

#define EVENTS_MAX	16		/* at a time */
#define WAKE_UP		LOOP_MAX	/* stands for wake_fd among the sources' numbers */

/* Who it is: the number of a source, and, since that may be another's by then, its descriptor. */
static int watch(const struct loop *loop, int i, int fd)
{
	struct epoll_event e = { .events = EPOLLIN, .data.u64 = (uint64_t)i << 32 | (uint32_t)fd };

	return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &e);
}

int loop_create(struct loop *loop, struct error *err)
{
	memset(loop, 0, sizeof(*loop));
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->wake_fd >= 0 && loop->epoll_fd >= 0 && !watch(loop, WAKE_UP, loop->wake_fd))
		return 0;
	failed(err, "eventfd and epoll: %s", strerror(errno));
	loop_destroy(loop);
	return -1;
}

void loop_destroy(struct loop *loop)
{
	if (loop->wake_fd > 0)
		close(loop->wake_fd);
	if (loop->epoll_fd > 0)
		close(loop->epoll_fd);
	loop->wake_fd = loop->epoll_fd = -1;
}

int loop_add(struct loop *loop, int fd, bool (*want)(void *), void (*ready)(void *), void *opaque,
	     struct error *err)
{
	int i;

	for (i = 0; i < loop->nr && loop->sources[i].fd >= 0; i++)
		;
	if (i == LOOP_MAX)
		return failed(err, "more than %d event sources", LOOP_MAX);
	loop->sources[i] = (struct loop_source) { fd, want, ready, opaque, false, false };
	if (i == loop->nr)
		loop->nr++;
	return 0;
}

static void unwatch(const struct loop *loop, struct loop_source *s)
{
	if (s->watched)
		epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
	s->watched = false;
}

void loop_remove(struct loop *loop, int fd)
{
	int i;

	for (i = 0; i < loop->nr; i++) {
		if (loop->sources[i].fd != fd)
			continue;
		unwatch(loop, &loop->sources[i]);
		loop->sources[i] = (struct loop_source) { .fd = -1 };
	}
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

/* Those that epoll doesn't take are left for poll(). Return: how many, with their numbers. */
static int prepare_sources(struct loop *loop, struct pollfd *fds, int *numbers)
{
	int i, n = 0;

	for (i = 0; i < loop->nr; i++) {
		struct loop_source *s = &loop->sources[i];

		if (s->fd < 0)
			continue;
		if (s->want && !s->want(s->opaque)) {
			unwatch(loop, s);
			continue;
		}
		if (!s->watched && !s->unable) {
			s->watched = !watch(loop, i, s->fd);
			s->unable = !s->watched;
		}
		if (!s->unable)
			continue;
		numbers[n] = i;
		fds[n++] = (struct pollfd) { .fd = s->fd, .events = POLLIN };
	}
	return n;
}

static void dispatch(struct loop *loop, unsigned int i, int fd)
{
	struct loop_source *s = &loop->sources[i];

	if (i == WAKE_UP)
		loop_drain_wakeups(loop);
	else if (s->fd == fd && !atomic_load(&loop->stop))
		s->ready(s->opaque);
}

/* Return: how many events there are, or -1. */
static int wait_for_events(struct loop *loop, struct epoll_event *events, struct pollfd *fds, int n,
			   int timeout)
{
	fds[0] = (struct pollfd) { .fd = loop->epoll_fd, .events = POLLIN };
	if (n > 1) {
		if (poll(fds, n, timeout) < 0)
			return -1;
		if (!fds[0].revents)
			return 0;
		timeout = 0;
	}
	return epoll_wait(loop->epoll_fd, events, EVENTS_MAX, timeout);
}

int loop_once(struct loop *loop, int timeout, struct error *err)
{
	struct pollfd fds[1 + LOOP_MAX + LOOP_POLLED];
	int i, n, nr_events, start[LOOP_POLLERS + 1], numbers[LOOP_MAX];
	struct epoll_event events[EVENTS_MAX];
	int at = n = 1 + prepare_sources(loop, fds + 1, numbers);

	for (i = 0; i < loop->nr_pollers; i++) {
		struct loop_poller *p = loop->pollers[i];

		start[i] = at;
		at += p->prepare(p->opaque, fds + at, 1 + LOOP_MAX + LOOP_POLLED - at, &timeout);
	}
	start[i] = at;
	nr_events = wait_for_events(loop, events, fds, at, timeout);
	if (nr_events < 0)
		return errno == EINTR ? 0 : failed(err, "poll: %s", strerror(errno));
	for (i = 0; i < loop->nr_pollers; i++)
		loop->pollers[i]->dispatch(loop->pollers[i]->opaque, fds + start[i],
					   start[i + 1] - start[i]);
	for (i = 0; i < nr_events; i++)
		dispatch(loop, events[i].data.u64 >> 32, (uint32_t)events[i].data.u64);
	for (i = 1; i < n; i++)
		if (fds[i].revents)
			dispatch(loop, numbers[i - 1], fds[i].fd);
	return 0;
}

int loop_run(struct loop *loop, struct error *err)
{
	while (!atomic_load(&loop->stop))
		if (loop_once(loop, -1, err))
			return -1;
	return 0;
}
