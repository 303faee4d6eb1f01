// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus.h"

/* The number of ranges that start at or below addr. */
static size_t bus_position(const struct bus *bus, uint64_t addr)
{
	size_t lo = 0, hi = bus->nr;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (bus->ranges[mid].start <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static const struct bus_range *bus_find(const struct bus *bus, uint64_t addr)
{
	size_t pos = bus_position(bus, addr);
	const struct bus_range *r = pos ? &bus->ranges[pos - 1] : NULL;

	return r && addr - r->start < r->size ? r : NULL;
}

int bus_add(struct bus *bus, uint64_t start, uint64_t size, unsigned int width, bus_fn fn,
	    void *opaque, const char *name, struct error *err)
{
	struct bus_range *grown, *clash = NULL;
	size_t pos = bus_position(bus, start);

	if (!size || start + size - 1 < start)
		return failed(err, "%s: %s range of size 0 or beyond the end", name, bus->name);
	if (pos && start - bus->ranges[pos - 1].start < bus->ranges[pos - 1].size)
		clash = &bus->ranges[pos - 1];
	else if (pos < bus->nr && bus->ranges[pos].start - start < size)
		clash = &bus->ranges[pos];
	if (clash)
		return failed(err, "%s: %s %#llx is taken by %s", name, bus->name,
			      (unsigned long long)start, clash->name);

	grown = realloc(bus->ranges, (bus->nr + 1) * sizeof(*grown));
	if (!grown)
		return failed(err, "%s: no memory", name);
	memmove(grown + pos + 1, grown + pos, (bus->nr - pos) * sizeof(*grown));
	grown[pos] = (struct bus_range) { start, size, width, fn, opaque, name };
	bus->ranges = grown;
	bus->nr++;
	return 0;
}

void bus_unclaimed(const struct bus *bus, uint64_t addr, const uint8_t *data, unsigned int len,
		   bool write)
{
	unsigned int i;

	if (!bus->trace)
		return;
	fprintf(stderr, "vmrun: unknown %s %s %#llx len %u", bus->name, write ? "write" : "read",
		(unsigned long long)addr, len);
	for (i = 0; write && i < len; i++)
		fprintf(stderr, "%s%02x", i ? " " : ": ", data[i]);
	fputs("\r\n", stderr);
}

void bus_do(struct bus *bus, uint64_t addr, uint8_t *data, unsigned int len, bool write)
{
	const struct bus_range *r = bus_find(bus, addr);
	unsigned int i;

	if (!write)
		memset(data, 0xff, len);
	if (!r) {
		bus_unclaimed(bus, addr, data, len, write);
		return;
	}
	if (len > 1 && (len > r->width || len > r->size - (addr - r->start))) {
		for (i = 0; i < len; i++)
			bus_do(bus, addr + i, data + i, 1, write);
		return;
	}
	if (r->fn) {
		struct bus_access a = { addr - r->start, data, len, write };

		r->fn(r->opaque, &a);
	}
}

void bus_destroy(struct bus *bus)
{
	free(bus->ranges);
	bus->ranges = NULL;
	bus->nr = 0;
}

uint64_t bus_value(const struct bus_access *a)
{
	uint64_t value = 0;

	memcpy(&value, a->data, a->len);
	return value;
}

void bus_return(struct bus_access *a, uint64_t value)
{
	memcpy(a->data, &value, a->len);
}
