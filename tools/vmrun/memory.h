/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Guest memory: RAM from 0 up to the hole below 4 GiB, the rest from 4 GiB on. Whoever has an
 * address from the guest comes through mem_at(), which is where it is checked.
 */
#ifndef VMRUN_MEMORY_H
#define VMRUN_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

#define MEM_HOLE_START	0xc0000000ULL	/* 3 GiB: MMIO and the chips live from here to 4 GiB */
#define MEM_HIGH_START	0x100000000ULL
#define MEM_MIN		0x100000ULL	/* 1 MiB: what every layout below needs */
#define MEM_MAX		(1ULL << 40)

struct guest_mem {
	uint8_t *base;			/* the host's mapping: low part, then high part */
	uint64_t size;
	uint64_t low_size;		/* from guest address 0 */
	uint64_t high_size;		/* from MEM_HIGH_START */
};

/* Allocates zeroed memory; nothing is committed until it is touched. */
int mem_create(struct guest_mem *mem, uint64_t size, struct error *err);
void mem_destroy(struct guest_mem *mem);

/* The host address of [gpa, gpa + len), or NULL unless all of it is RAM in one piece. */
void *mem_at(const struct guest_mem *mem, uint64_t gpa, uint64_t len);

bool mem_read(const struct guest_mem *mem, uint64_t gpa, void *buf, size_t len);
bool mem_write(const struct guest_mem *mem, uint64_t gpa, const void *buf, size_t len);

#endif
