/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One row of the bench: a name, and ticks of the TSC. In the lab's emulated machine also how often
 * what a tick doesn't weigh was executed for it (tests/lab/bochs/count.h).
 */
#ifndef BENCH_H
#define BENCH_H

#include "../lab/bochs/count.h"
#include "vm.h"

struct counts {
	u32 n[NR_COUNTERS];
};

/*
 * Of the batches the best: what the operation costs when the host's clock doesn't interrupt. Each
 * count is the least of the batches' likewise. all: of every batch, where the spread is asked for.
 */
struct measurement {
	u64 best, start;
	int batch;
	u64 all[64];
	struct counts begun, least, floor;
};

#define BATCHES		12
#define WARM_UP		2

/* for_batches(m) { … n operations … } then row(name, &m, n) */
#define for_batches(m)							\
	for (begin(&(m)); (m).batch < batches; end_batch(&(m)))

static inline u64 ticks(void)
{
	u32 lo, hi;

	asm volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
	return lo | (u64)hi << 32;
}

void begin(struct measurement *m);
void begin_batch(struct measurement *m);	/* what was done since the last one doesn't count */
void end_batch(struct measurement *m);
/* A batch that was measured in another way. */
void add_batch(struct measurement *m, u64 spent);
void begin_count(struct measurement *m);
void end_count(struct measurement *m, struct counts *least);

/* Prints the row: a batch was n operations. */
void row(const char *name, const struct measurement *m, double n);
/* Something that isn't measured in batches. */
void plain_row(const char *name, u64 value);
bool wanted_row(const char *name);
extern bool counting, all_batches;
extern int batches;

/* A row, or several, in a process of its own. */
struct bench {
	const char *name;
	void (*run)(void);
};

extern const struct bench exit_benches[], interrupt_benches[], smp_benches[], memory_benches[],
	dirty_benches[], life_benches[], footprint_benches[], unload_bench[];
void run_benches(const struct bench *b);
void run_guest_benches(void);
extern unsigned int lives;			/* how many VMs, one after the other */
extern const char *module_name;			/* unloaded at the end of `lives_and_unload` */

/* touch.c: a guest that writes count pages, stride apart, and says what that took. */
#define SLOT	0x10000000ul
struct vcpu *boot_toucher(void);
u64 touch(struct vcpu *v, u64 from, u64 count, u64 stride);

#endif
