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
	static __thread timer_t timer;	/* one of each thread */
	static __thread bool created;
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

/* Until a signal, after *ms; which is more the next time, lest it never gets anywhere. */
static void run_a_while(struct vcpu *v, unsigned int *ms)
{
	catch_signal(SIGUSR1);
	signal_every(*ms * 1000, SIGUSR1);
	CHECK_ERRNO(vcpu_run(v), EINTR);
	signal_every(0, SIGUSR1);
	CHECK_EQ(v->run->exit_reason, MINIVMM_EXIT_INTR);
	if (*ms < 1000)
		*ms *= 2;
}

void run_interrupted(struct vcpu *v, unsigned int ms, volatile u32 *word, u32 value)
{
	do {
		if (nearly_over())
			FAIL("the guest didn't get as far as to write %#x: it's still %#x", value,
			     *word);
		run_a_while(v, &ms);
	} while (*word != value);
}

void run_to_sleep(struct vcpu *v)
{
	struct minivmm_mp_state state = {};
	unsigned int ms = 5;

	do {
		if (nearly_over())
			FAIL("the guest doesn't come to sleep: its state is %u", state.mp_state);
		run_a_while(v, &ms);
		CHECK_OK(ioctl(v->fd, MINIVMM_GET_MP_STATE, &state));
	} while (state.mp_state != MINIVMM_MP_STATE_HALTED);
}

void wait_for_guest(volatile u32 *word, u32 value)
{
	if (!EVENTUALLY(*word == value))
		FAIL("the guest didn't get as far as to write %#x: it's still %#x", value, *word);
}
