/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where the bytes of a serial line or a console port go to and come from: a file, a pseudo-terminal,
 * a socket, or vmrun's own terminal. Nobody waits for who doesn't read: there is a buffer, and what
 * doesn't fit, or finds nobody there, is lost to a writer who doesn't ask for room.
 */
#ifndef VMRUN_STREAM_H
#define VMRUN_STREAM_H

#include <pthread.h>

#include "device.h"
#include "loop.h"

#define STREAM_BUFFER	0x8000
#define STREAM_INPUT	4096

enum stream_kind { STREAM_FILE, STREAM_PTY, STREAM_SOCKET, STREAM_TERMINAL };

struct stream {
	struct chardev chr;		/* first */
	/* Set by who asks for room: there is some again. On the loop's thread. */
	void (*drained)(void *opaque);
	enum stream_kind kind;
	struct loop *loop;
	struct loop_poller poller;
	struct chardev *terminal;	/* where input comes from then */
	int fd, listen_fd;		/* -1: nobody is there */
	bool regular;			/* a file that is only written */

	pthread_mutex_t lock;
	uint8_t out[STREAM_BUFFER], in[STREAM_INPUT];
	size_t out_head, out_len, in_head, in_len;
	bool was_full;
	unsigned long lost;
};

/*
 * @where: "pty", "unix:PATH", or a file's name. name: for people.
 * Return: 0, or -1 with err filled in, after which there is nothing to destroy.
 */
int stream_open(struct stream *s, const char *where, const char *name, struct loop *loop,
		struct error *err);
/* The terminal: what is written appears there; keys are those of the console's chardev. */
int stream_terminal(struct stream *s, int fd, struct chardev *keys, struct loop *loop,
		    struct error *err);
void stream_close(struct stream *s);

/*
 * A socket in the file system. What a vmrun that is gone has left there is no obstacle.
 * Return: a descriptor that listens, or -1.
 */
int stream_listen(const char *path, struct error *err);

/* How many bytes a write takes now. */
size_t stream_room(struct stream *s);

#endif
