/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The state of a device as bytes, for snapshots. One function names its fields, for both ways:
 *
 *	static void beeper_fields(void *dev, struct fields *f)
 *	{
 *		struct beeper *b = dev;
 *
 *		FIELD(f, b->volume);
 *		FIELD(f, b->on);
 *		fields_must(f, b->volume <= VOLUME_MAX, "its volume");
 *		if (fields_loaded(f))
 *			...				what follows from them
 *	}
 *
 * Bytes that are loaded are hostile: whatever the device couldn't have come to by itself and that
 * could do harm is refused by fields_must(). After that nothing more is loaded, and the device is
 * only destroyed.
 */
#ifndef VMRUN_FIELDS_H
#define VMRUN_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct irq_lines;

struct fields {
	bool loading;
	const char *why;		/* the first thing that was wrong, or NULL */
	char text[160];			/* room for it */
	uint8_t *bytes;			/* when saving, to be freed by who began it */
	size_t pos, size;
};

#define FIELD(f, x) \
	_Generic((x), bool: fields_bool, default: fields_bytes)((f), &(x), sizeof(x))

void fields_bytes(struct fields *f, void *p, size_t len);
void fields_bool(struct fields *f, void *p, size_t len);
/* The level of an interrupt line, which is raised again. */
void fields_line(struct fields *f, struct irq_lines *irqs, unsigned int gsi, int *level);

/* When loading, what must be true. what: the words for it. Return: whether all was well so far. */
bool fields_must(struct fields *f, bool ok, const char *what);
/* What was wrong, in words; also when saving. */
void fields_fail(struct fields *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A number that is this device's, and must be the other's. */
void fields_same(struct fields *f, uint64_t value, const char *what);
/* All that was asked for until now has been loaded. */
static inline bool fields_loaded(const struct fields *f)
{
	return f->loading && !f->why;
}

#endif
