// SPDX-License-Identifier: GPL-2.0
/* Threads and signals around RUN. */
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "thread.h"

volatile int signals_caught;

static void *run_thread(void *arg)
{
	struct runner *r = arg;

	r->tid = syscall(SYS_gettid);
	r->ret = vcpu_run(r->vcpu);
	r->err = errno;
	r->done = true;
	return NULL;
}

struct runner *start_run(struct vcpu *v)
{
	struct runner *r = calloc(1, sizeof(*r));

	r->vcpu = v;
	if (pthread_create(&r->thread, NULL, run_thread, r))
		FAIL("pthread_create");
	while (!r->tid)
		sleep_ms(1);
	return r;
}

int join_run(struct runner *r)
{
	pthread_join(r->thread, NULL);
	errno = r->err;
	return r->ret;
}

bool run_returned_within(struct runner *r, unsigned int ms)
{
	for (unsigned int i = 0; i < ms && !r->done; i++)
		sleep_ms(1);
	return r->done;
}

static void count_signal(int sig)
{
	(void)sig;
	signals_caught++;
}

void catch_signal(int sig)
{
	struct sigaction action = { .sa_handler = count_signal };

	sigaction(sig, &action, NULL);
}

void signal_every(unsigned int us, int sig)
{
	static timer_t timer;
	static bool created;
	struct sigevent event = {
		.sigev_notify = SIGEV_THREAD_ID,
		.sigev_signo = sig,
	};
	struct itimerspec when = {
		.it_value = { us / 1000000, us % 1000000 * 1000 },
		.it_interval = { us / 1000000, us % 1000000 * 1000 },
	};

	event._sigev_un._tid = syscall(SYS_gettid);
	if (created)
		timer_delete(timer);
	created = true;
	CHECK_OK(timer_create(CLOCK_MONOTONIC, &event, &timer));
	CHECK_OK(timer_settime(timer, 0, &when, NULL));
}

void run_interrupted(struct vcpu *v, unsigned int ms, volatile u32 *word, u32 value)
{
	catch_signal(SIGUSR1);
	signal_every(ms * 1000, SIGUSR1);
	for (int i = 0; i < 100; i++) {
		CHECK_ERRNO(vcpu_run(v), EINTR);
		CHECK_EQ(v->run->exit_reason, MINIVMM_EXIT_INTR);
		if (*word == value) {
			signal_every(0, SIGUSR1);
			return;
		}
	}
	FAIL("the guest didn't get as far as to write %#x: it's still %#x", value, *word);
}

void sleep_ms(unsigned int ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

void wait_for_guest(volatile u32 *word, u32 value)
{
	for (int i = 0; i < 5000; i++) {
		if (*word == value)
			return;
		sleep_ms(1);
	}
	FAIL("the guest didn't get as far as to write %#x: it's still %#x", value, *word);
}
