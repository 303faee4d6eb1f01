/* SPDX-License-Identifier: GPL-2.0 */
/* A drive's medium: a raw image file or a block device. */
#ifndef VMRUN_DISK_H
#define VMRUN_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

#define DISK_SECTOR	512
#define CD_SECTOR	2048
#define IDE_DRIVES_MAX	4

/* What the command line says about a drive. */
struct drive_options {
	const char *path;
	bool cdrom, readonly;
	bool ide;			/* a drive of the IDE channels; CDs are, too */
	bool threads;			/* not by io_uring */
};

/* Which file it is, and when it was last written to (ns); all 0: a block device, nobody knows. */
struct disk_stamp {
	uint64_t dev, inode, written;
};

struct disk {
	const char *path;
	int fd;
	uint64_t size;			/* bytes, in whole sectors: a partial one ends in zeros */
	bool cdrom, readonly, ide, threads;
	bool sparse;			/* what isn't needed can be given back */
	struct disk_stamp found;	/* when it was opened */
};

/* Locked against other programs that do so: for writing, nobody else may use it. */
int disk_open(struct disk *d, const struct drive_options *o, struct error *err);
void disk_close(struct disk *d);

/* All of it, or false; the range must lie inside the disk. */
bool disk_read(const struct disk *d, uint64_t offset, void *buf, size_t len);
bool disk_write(const struct disk *d, uint64_t offset, const void *buf, size_t len);
/* What was written is on the medium. */
bool disk_flush(const struct disk *d);
/* Now. */
struct disk_stamp disk_stamp(const struct disk *d);

#endif
