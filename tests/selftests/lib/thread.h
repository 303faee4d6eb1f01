/* SPDX-License-Identifier: GPL-2.0 */
/* Threads and signals around RUN. */
#ifndef SELFTESTS_THREAD_H
#define SELFTESTS_THREAD_H

#include <pthread.h>
#include <sys/types.h>

#include "vm.h"

/* RUN in a thread of its own. */
struct runner {
	pthread_t thread;
	struct vcpu *vcpu;
	volatile pid_t tid;
	volatile bool done;
	int ret;
	int err;
};

struct runner *start_run(struct vcpu *v);
/* Waits for RUN to return; its value goes to errno and the return value. */
int join_run(struct runner *r);
bool run_returned_within(struct runner *r, unsigned int ms);

void catch_signal(int sig);		/* with a handler that counts, without SA_RESTART */
extern volatile int signals_caught;
/*
 * RUN, ended by signals until the guest is as far as to have written the value. A guest that isn't
 * could write it over what the client writes next. It may have done no more than that.
 */
void run_interrupted(struct vcpu *v, unsigned int ms, volatile u32 *word, u32 value);
/* RUN, ended by signals until the vCPU is halted; with the local APIC in the kernel. */
void run_to_sleep(struct vcpu *v);
void signal_every(unsigned int us, int sig);	/* to the calling thread; 0 ends it */
/* Until the guest has written the value there. */
void wait_for_guest(volatile u32 *word, u32 value);

#endif
