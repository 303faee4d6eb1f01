/* SPDX-License-Identifier: GPL-2.0 */
#ifndef VMRUN_STATS_H
#define VMRUN_STATS_H

#include <stdint.h>
#include <stdio.h>

struct counter {
	char name[64];
	uint64_t value;
};

struct counters {
	struct counter *list;
	size_t nr;
};

struct vm;

/* Add what a statistics descriptor holds to the counters of the same names. */
int counters_read(struct counters *c, int fd);
/* Those that aren't zero, the largest first. */
void counters_print(struct counters *c, const char *title, FILE *out);
void counters_free(struct counters *c);

const char *vm_mmu_name(const struct vm *vm);

#endif
