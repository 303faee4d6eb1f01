/* SPDX-License-Identifier: GPL-2.0 */
/* One row of the bench: a name, and ticks of the TSC. */
#ifndef BENCH_H
#define BENCH_H

#include "vm.h"

/*
 * Of the batches' averages the best: what the operation costs when the host's clock doesn't
 * interrupt.
 */
struct measurement {
	u64 best, start;
	int batch;
};

#define BATCHES		12
#define WARM_UP		2

/* for_batches(m) { … n operations … } then average(&m, n) */
#define for_batches(m)							\
	for (m = (struct measurement){ ~0ull, ticks(), 0 }; m.batch < BATCHES; end_batch(&m))

static inline u64 ticks(void)
{
	u32 lo, hi;

	asm volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
	return lo | (u64)hi << 32;
}

void end_batch(struct measurement *m);
void begin_batch(struct measurement *m);	/* what was done since the last one doesn't count */
u64 average(const struct measurement *m, u64 n);

void row(const char *name, u64 ticks);
bool wanted_row(const char *name);

/* A row, or several, in a process of its own. */
struct bench {
	const char *name;
	void (*run)(void);
};

extern const struct bench exit_benches[], interrupt_benches[], memory_benches[], life_benches[], unload_bench[];
void run_benches(const struct bench *b);
void run_guest_benches(void);
extern unsigned int lives;			/* how many VMs, one after the other */
extern const char *module_name;			/* unloaded at the end of `lives_and_unload` */

#endif
