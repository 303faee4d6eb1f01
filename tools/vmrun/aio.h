/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Disk I/O that nobody waits for: by io_uring, or where the host has none, by a few threads. One of
 * these belongs to one disk; its user locks it.
 */
#ifndef VMRUN_AIO_H
#define VMRUN_AIO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "disk.h"
#include "error.h"

enum aio_op { AIO_READ, AIO_WRITE, AIO_FLUSH, AIO_DISCARD, AIO_ZERO, AIO_ZERO_UNMAP };

struct aio_request {
	enum aio_op op;
	uint64_t offset, len;		/* inside the disk */
	struct iovec *iov;		/* of reads and writes: len bytes in all; it is changed */
	unsigned int nr;
	/* In aio_reap(): error is 0 or an errno. May free the request. */
	void (*done)(struct aio_request *r, int error);

	/* aio.c's own */
	struct iovec *zeros;
	struct aio_request *next;
	int result;
};

struct aio;

/* depth: how many requests there may be at a time. Return: NULL with @err filled in. */
struct aio *aio_create(const struct disk *disk, unsigned int depth, bool only_threads,
		       struct error *err);
/* Waits for all that goes on. */
void aio_destroy(struct aio *a);

/* Readable when there is something to reap. */
int aio_fd(const struct aio *a);
const char *aio_kind(const struct aio *a);

/* Start a request; it may wait for aio_commit(). */
void aio_submit(struct aio *a, struct aio_request *r);
void aio_commit(struct aio *a);
/* Tell the ends of those that have come to theirs. */
void aio_reap(struct aio *a);
/* Wait for all and reap them. */
void aio_drain(struct aio *a);

#endif
