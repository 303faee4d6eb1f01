// SPDX-License-Identifier: GPL-2.0
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "gdb_packet.h"

#define ESCAPE		'}'
#define ESCAPE_XOR	0x20
#define CTRL_C		0x03

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* ---- what comes -------------------------------------------------------------------------------- */

static enum gdb_event outside(struct gdb_reader *r, uint8_t byte)
{
	switch (byte) {
	case '$':
		r->state = GDB_DATA;
		r->len = r->sum = 0;
		r->escaped = r->too_long = false;
		return GDB_NOTHING;
	case '+':
		return GDB_ACK;
	case '-':
		return GDB_NAK;
	case CTRL_C:
		return GDB_INTERRUPT;
	}
	return GDB_NOTHING;
}

static void data(struct gdb_reader *r, uint8_t byte)
{
	if (byte == '#') {
		r->state = GDB_SUM1;
		return;
	}
	r->sum += byte;
	if (byte == ESCAPE && !r->escaped) {
		r->escaped = true;
		return;
	}
	if (r->escaped)
		byte ^= ESCAPE_XOR;
	r->escaped = false;
	if (r->len == GDB_PACKET_MAX)
		r->too_long = true;
	else
		r->buf[r->len++] = byte;
}

enum gdb_event gdb_read_byte(struct gdb_reader *r, uint8_t byte)
{
	int value = digit(byte);

	switch (r->state) {
	case GDB_OUTSIDE:
		return outside(r, byte);
	case GDB_DATA:
		data(r, byte);
		return GDB_NOTHING;
	case GDB_SUM1:
		if (value < 0)
			r->too_long = true;
		else
			r->wanted = value << 4;
		r->state = GDB_SUM2;
		return GDB_NOTHING;
	default:
		r->state = GDB_OUTSIDE;
		r->buf[r->len] = 0;
		return value < 0 || r->too_long || r->sum != (r->wanted | value) ? GDB_BAD_PACKET :
										   GDB_PACKET;
	}
}

/* ---- what is said -------------------------------------------------------------------------------- */

void gdb_reply_clear(struct gdb_reply *r)
{
	r->len = 0;
	r->too_long = false;
}

/* The first byte is the frame's. */
static void add(struct gdb_reply *r, char c)
{
	if (r->len == GDB_PACKET_MAX)
		r->too_long = true;
	else
		r->buf[1 + r->len++] = c;
}

void gdb_say(struct gdb_reply *r, const char *fmt, ...)
{
	char text[256];
	va_list ap;
	size_t i;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (i = 0; text[i]; i++)
		add(r, text[i]);
}

void gdb_say_hex(struct gdb_reply *r, const void *data, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *p = data;

	for (; len; len--, p++) {
		add(r, digits[*p >> 4]);
		add(r, digits[*p & 15]);
	}
}

void gdb_say_escaped(struct gdb_reply *r, const void *data, size_t len)
{
	const char *p = data;

	for (; len; len--, p++) {
		if (*p == '#' || *p == '$' || *p == ESCAPE || *p == '*') {
			add(r, ESCAPE);
			add(r, *p ^ ESCAPE_XOR);
		} else {
			add(r, *p);
		}
	}
}

const char *gdb_reply_frame(struct gdb_reply *r, size_t *len)
{
	uint8_t sum = 0;
	size_t i;

	if (r->too_long) {
		gdb_reply_clear(r);
		gdb_say(r, "E07");
	}
	for (i = 1; i <= r->len; i++)
		sum += r->buf[i];
	r->buf[0] = '$';
	snprintf(r->buf + 1 + r->len, 4, "#%02x", sum);
	*len = r->len + 4;
	return r->buf;
}

/* ---- its parts ----------------------------------------------------------------------------------- */

bool gdb_take_number(const char **p, const char *end, uint64_t *value)
{
	const char *start = *p;

	for (*value = 0; *p < end && digit(**p) >= 0; ++*p) {
		if (*value >> 60)
			return false;
		*value = *value << 4 | digit(**p);
	}
	return *p > start;
}

bool gdb_take_bytes(const char **p, const char *end, void *data, size_t len)
{
	uint8_t *to = data;

	if ((size_t)(end - *p) < 2 * len)
		return false;
	for (; len; len--, *p += 2) {
		int high = digit((*p)[0]), low = digit((*p)[1]);

		if (high < 0 || low < 0)
			return false;
		*to++ = high << 4 | low;
	}
	return true;
}

bool gdb_take_char(const char **p, const char *end, char c)
{
	if (*p == end || **p != c)
		return false;
	++*p;
	return true;
}
