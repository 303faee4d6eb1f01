// SPDX-License-Identifier: GPL-2.0
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "fields.h"

bool fields_must(struct fields *f, bool ok, const char *what)
{
	if (f->loading && !ok && !f->why)
		f->why = what;
	return !f->why;
}

void fields_fail(struct fields *f, const char *fmt, ...)
{
	va_list ap;

	if (f->why)
		return;
	va_start(ap, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
	f->why = f->text;
}

static void append(struct fields *f, const void *p, size_t len)
{
	uint8_t *grown = realloc(f->bytes, f->size + len + 1);

	if (!grown) {
		f->why = "no memory";
		return;
	}
	f->bytes = grown;
	memcpy(grown + f->size, p, len);
	f->size += len;
}

void fields_bytes(struct fields *f, void *p, size_t len)
{
	if (f->why)
		return;
	if (!f->loading) {
		append(f, p, len);
	} else if (fields_must(f, len <= f->size - f->pos, "it ends too early")) {
		memcpy(p, f->bytes + f->pos, len);
		f->pos += len;
	}
}

void fields_bool(struct fields *f, void *p, size_t len)
{
	uint8_t byte = *(bool *)p;

	(void)len;
	fields_bytes(f, &byte, 1);
	if (fields_must(f, byte < 2, "neither true nor false"))
		*(bool *)p = byte;
}

void fields_line(struct fields *f, struct irq_lines *irqs, unsigned int gsi, int *level)
{
	bool high = *level;

	FIELD(f, high);
	if (!fields_loaded(f))
		return;
	*level = high;
	if (high)
		irqs->set(irqs, gsi, 1);
}

void fields_same(struct fields *f, uint64_t value, const char *what)
{
	uint64_t other = value;

	FIELD(f, other);
	fields_must(f, other == value, what);
}
