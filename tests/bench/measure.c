// SPDX-License-Identifier: GPL-2.0
/* How a row is measured, and printed: name, ticks, then with --count the counts, by tabs. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

bool counting, all_batches;
int batches = BATCHES;

static struct counts own;	/* what looking at the counters adds to them */
static int ports;		/* iopl() would make each return from the kernel dearer */

static void look(struct counts *c)
{
	u32 all[1 + NR_COUNTERS];

	CHECK_EQ(pread(ports, all, sizeof(all), COUNT_PORT), sizeof(all));
	if (all[0] != COUNT_MAGIC)
		FAIL("--count: this machine doesn't count (tests/lab/lab run --count)");
	memcpy(c, all + 1, sizeof(*c));
}

static void find_ports(void)
{
	struct counts first, second;

	ports = CHECK_OK(open("/dev/port", O_RDWR));
	CHECK_EQ(pwrite(ports, "", 1, COUNT_PORT), 1);
	for (int i = 0; i < 3; i++) {
		look(&first);
		look(&second);
	}
	for (int i = 0; i < NR_COUNTERS; i++)
		own.n[i] = second.n[i] - first.n[i];
}

static void read_counts(struct counts *c)
{
	if (!counting)
		return;
	if (!ports)
		find_ports();
	look(c);
}

void begin_count(struct measurement *m)
{
	read_counts(&m->begun);
}

void end_count(struct measurement *m, struct counts *least)
{
	struct counts now = { 0 };

	read_counts(&now);
	for (int i = 0; i < NR_COUNTERS; i++) {
		u32 n = now.n[i] - m->begun.n[i];

		n -= n < own.n[i] ? n : own.n[i];
		if (n < least->n[i])
			least->n[i] = n;
	}
}

void begin(struct measurement *m)
{
	memset(m, 0, sizeof(*m));
	m->best = ~0ull;
	memset(&m->least, 0xff, sizeof(m->least));
	begin_batch(m);
}

void begin_batch(struct measurement *m)
{
	begin_count(m);
	m->start = ticks();
}

void add_batch(struct measurement *m, u64 spent)
{
	if (m->batch < (int)(sizeof(m->all) / sizeof(*m->all)))
		m->all[m->batch] = spent;
	if (m->batch++ >= WARM_UP && spent < m->best)
		m->best = spent;
}

void end_batch(struct measurement *m)
{
	u64 spent = ticks() - m->start;

	if (m->batch >= WARM_UP)
		end_count(m, &m->least);
	add_batch(m, spent);
	begin_batch(m);
}

/* Where nothing is emulated each batch differs: what `run` takes median and spread from. */
static void print_batches(const struct measurement *m, double n)
{
	for (int i = WARM_UP; i < m->batch && i < (int)(sizeof(m->all) / sizeof(*m->all)); i++)
		printf("%s%.0f", i > WARM_UP ? "," : "", m->all[i] / n);
}

void row(const char *name, const struct measurement *m, double n)
{
	printf("%s\t", name);
	if (all_batches)
		print_batches(m, n);
	else
		printf("%.0f", m->best / n);
	/* nothing was counted where the operation isn't ours to begin */
	for (int i = 0; counting && m->least.n[0] != ~0u && i < NR_COUNTERS; i++)
		printf("%c%.2f", i ? ',' : '\t',
		       m->least.n[i] > m->floor.n[i] ? (m->least.n[i] - m->floor.n[i]) / n : 0);
	putchar('\n');
	fflush(stdout);
}

void plain_row(const char *name, u64 value)
{
	printf("%s\t%llu\n", name, (unsigned long long)value);
	fflush(stdout);
}
