/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The packets of gdb's remote serial protocol: $DATA#SUM, with } before what is escaped. Bytes come
 * from a socket and are hostile.
 */
#ifndef VMRUN_GDB_PACKET_H
#define VMRUN_GDB_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GDB_PACKET_MAX	0x4000		/* bytes of data in one, as gdb is told */

enum gdb_event {
	GDB_NOTHING,			/* there is more to come */
	GDB_PACKET,			/* in buf, with a NUL behind it that doesn't count */
	GDB_BAD_PACKET,			/* too long, or its sum is wrong */
	GDB_ACK, GDB_NAK,
	GDB_INTERRUPT,			/* Ctrl-C */
};

struct gdb_reader {
	enum { GDB_OUTSIDE, GDB_DATA, GDB_SUM1, GDB_SUM2 } state;
	bool escaped, too_long;
	uint8_t sum, wanted;
	size_t len;
	char buf[GDB_PACKET_MAX + 1];
};

enum gdb_event gdb_read_byte(struct gdb_reader *r, uint8_t byte);

/* What is said in answer; text and hex digits, or escaped bytes. Too much is cut off and remembered. */
struct gdb_reply {
	size_t len;
	bool too_long;
	char buf[GDB_PACKET_MAX + 8];	/* with room for what frames it */
};

void gdb_reply_clear(struct gdb_reply *r);
void gdb_say(struct gdb_reply *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void gdb_say_hex(struct gdb_reply *r, const void *data, size_t len);
void gdb_say_escaped(struct gdb_reply *r, const void *data, size_t len);
/* Puts the frame around it. Return: the packet, *len bytes. */
const char *gdb_reply_frame(struct gdb_reply *r, size_t *len);

/* Numbers and bytes in hex. They move *p behind what they took; false: it isn't there. */
bool gdb_take_number(const char **p, const char *end, uint64_t *value);
bool gdb_take_bytes(const char **p, const char *end, void *data, size_t len);
bool gdb_take_char(const char **p, const char *end, char c);

#endif
