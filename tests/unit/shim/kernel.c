// SPDX-License-Identifier: GPL-2.0
/* The part of kernel.h that is more than a line: locks, memory, time. */
#include <pthread.h>
#include <stdio.h>

#include "kernel.h"

static void die(const char *why)
{
	fprintf(stderr, "shim: %s\n", why);
	abort();
}

static __thread int locks_held;

void shim_lock(raw_spinlock_t *lock)
{
	unsigned long self = pthread_self(), free;

	if (__atomic_load_n(&lock->owner, __ATOMIC_RELAXED) == self)
		die("a lock is taken twice");
	do {
		free = 0;
	} while (!__atomic_compare_exchange_n(&lock->owner, &free, self, false, __ATOMIC_ACQUIRE,
					      __ATOMIC_RELAXED));
	locks_held++;
}

void shim_unlock(raw_spinlock_t *lock)
{
	if (__atomic_load_n(&lock->owner, __ATOMIC_RELAXED) != pthread_self())
		die("a lock that isn't held is dropped");
	__atomic_store_n(&lock->owner, 0, __ATOMIC_RELEASE);
	locks_held--;
}

int shim_fail_alloc;

static bool fails(void)
{
	return shim_fail_alloc && !--shim_fail_alloc;
}

void *kzalloc(size_t size, gfp_t gfp)
{
	return fails() ? NULL : calloc(1, size);
}

void kfree(const void *p)
{
	free((void *)p);
}

unsigned long get_zeroed_page(gfp_t gfp)
{
	void *page = fails() ? NULL : aligned_alloc(PAGE_SIZE, PAGE_SIZE);

	if (page)
		memset(page, 0, PAGE_SIZE);
	return (unsigned long)page;
}

void free_page(unsigned long addr)
{
	free((void *)addr);
}

u64 shim_now = 1000000;
u64 shim_tsc_skew;
unsigned int tsc_khz = 2000000;

static struct hrtimer *timers;

void hrtimer_init(struct hrtimer *timer, int clock, enum hrtimer_mode mode)
{
	memset(timer, 0, sizeof(*timer));
}

int hrtimer_cancel(struct hrtimer *timer)
{
	struct hrtimer **p;

	if (!timer->queued)
		return 0;
	for (p = &timers; *p != timer; p = &(*p)->next)
		;
	*p = timer->next;
	timer->queued = false;
	return 1;
}

void hrtimer_start(struct hrtimer *timer, ktime_t at, enum hrtimer_mode mode)
{
	struct hrtimer **p;

	hrtimer_cancel(timer);
	timer->expires = at;
	for (p = &timers; *p && (*p)->expires <= at; p = &(*p)->next)
		;
	timer->next = *p;
	*p = timer;
	timer->queued = true;
}

u64 hrtimer_forward_now(struct hrtimer *timer, ktime_t interval)
{
	s64 late = (s64)shim_now - timer->expires;
	u64 n;

	if (interval <= 0)
		die("a timer's interval isn't positive");
	if (late < 0)
		return 0;
	n = late / interval + 1;
	timer->expires += n * interval;
	return n;
}

int shim_timers(void)
{
	struct hrtimer *t;
	int n = 0;

	for (t = timers; t; t = t->next)
		n++;
	return n;
}

void shim_advance(u64 ns)
{
	u64 until = shim_now + ns;
	struct hrtimer *t;

	if (locks_held)
		die("a lock is held while time passes");
	while ((t = timers) && t->expires <= (s64)until) {
		shim_now = max_t(u64, t->expires, shim_now);
		hrtimer_cancel(t);
		if (t->function(t) == HRTIMER_RESTART)
			hrtimer_start(t, t->expires, HRTIMER_MODE_ABS_HARD);
	}
	shim_now = until;
}
