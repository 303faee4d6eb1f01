/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A bus: address ranges and who answers in them. One for ports, one for MMIO, with one signature
 * for both. Ranges are added before the guest starts; dispatch then takes no lock, and devices lock
 * themselves.
 */
#ifndef VMRUN_BUS_H
#define VMRUN_BUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

/* One access, wholly inside the range it is delivered to. */
struct bus_access {
	uint64_t offset;		/* from the start of the range */
	uint8_t *data;			/* len bytes, little endian; all ones when a read arrives */
	unsigned int len;		/* 1, 2, 4 or 8 */
	bool write;
};

typedef void (*bus_fn)(void *opaque, struct bus_access *a);

struct bus_range {
	uint64_t start, size;
	unsigned int width;		/* the widest access it takes; wider ones come in bytes */
	bus_fn fn;			/* NULL: known, reads as ones, takes writes */
	void *opaque;
	const char *name;
};

struct bus {
	const char *name;
	struct bus_range *ranges;	/* by start */
	size_t nr;
	bool trace;			/* report accesses that nobody answers */
};

/**
 * bus_add() - answer in a range of addresses
 * @width: the widest access, in bytes, that @fn wants to see
 * @fn: called for each access; NULL makes the range one that is known to be empty
 *
 * Return: 0, or -1 with @err filled in when the range overlaps another one.
 */
int bus_add(struct bus *bus, uint64_t start, uint64_t size, unsigned int width, bus_fn fn,
	    void *opaque, const char *name, struct error *err);

/* One access of 1, 2, 4 or 8 bytes. What nobody answers reads as ones. */
void bus_do(struct bus *bus, uint64_t addr, uint8_t *data, unsigned int len, bool write);

/* Report an access that nobody answers, if that is wished for. */
void bus_unclaimed(const struct bus *bus, uint64_t addr, const uint8_t *data, unsigned int len,
		   bool write);

void bus_destroy(struct bus *bus);

/* The value of an access, and what a read returns. */
uint64_t bus_value(const struct bus_access *a);
void bus_return(struct bus_access *a, uint64_t value);

#endif
