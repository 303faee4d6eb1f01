/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The file of a snapshot: a header with the format's version, then sections, each with its name and
 * length, the last of which has the sum of them all. Numbers are little-endian.
 */
#ifndef VMRUN_SNAPFILE_H
#define VMRUN_SNAPFILE_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "fields.h"

#define SNAPFILE_NAME		24
#define SNAPFILE_SECTION_MAX	(1U << 20)	/* of those that are read as a whole */

struct snapfile {
	int fd;
	const char *path;		/* for people */
	uint64_t sum;
};

struct snapfile_section {
	char name[SNAPFILE_NAME];
	uint64_t len;
};

/* All of these return 0, or -1 with @err filled in. */
int snapfile_create(struct snapfile *s, int fd, const char *path, struct error *err);
/* A section of head and data. */
int snapfile_write(struct snapfile *s, const char *name, const void *head, size_t head_len,
		   const void *data, size_t len, struct error *err);
int snapfile_write_end(struct snapfile *s, struct error *err);

int snapfile_open(struct snapfile *s, const char *path, struct error *err);
void snapfile_close(struct snapfile *s);
/* The next section's header; its bytes are to be read then. */
int snapfile_next(struct snapfile *s, struct snapfile_section *h, struct error *err);
/* All but the last call for a section read a multiple of 8 bytes. */
int snapfile_read(struct snapfile *s, void *p, size_t len, struct error *err);
/* h is the last section's: is the sum right? */
int snapfile_read_end(struct snapfile *s, const struct snapfile_section *h, struct error *err);
/* The next section must be this one; its bytes are to be freed. */
int snapfile_get(struct snapfile *s, const char *name, void **data, size_t *len,
		 struct error *err);

/* A section of one thing's fields. */
typedef void (*fields_fn)(void *thing, struct fields *f);
int snapfile_save(struct snapfile *s, const char *name, fields_fn fn, void *thing,
		  struct error *err);
int snapfile_load(struct snapfile *s, const char *name, fields_fn fn, void *thing,
		  struct error *err);

#endif
