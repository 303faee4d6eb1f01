/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The control socket of a machine with a name, and its client, `vmrun ctl`. It lies in
 * $XDG_RUNTIME_DIR/minivmm or else in /run/minivmm, and is its owner's alone.
 *
 * A client sends a line, which is a command of the monitor's, with an open file if the command
 * writes one. The answer is "ok" or "failed", a line
 * break, what there is to say, and the end of the connection.
 */
#ifndef VMRUN_CONTROL_H
#define VMRUN_CONTROL_H

#include <stdio.h>

#include "error.h"
#include "loop.h"

#define CONTROL_CLIENTS	8
#define CONTROL_LINE	4096

struct control_owner {
	/* Run a command and write what there is to say; fd: came with it, or -1. Return: 0, or -1. */
	int (*command)(struct control_owner *o, const char *line, int fd, FILE *out);
};

struct control_client {
	struct control *control;
	int fd;				/* -1: this place is free */
	int passed;			/* a descriptor that came with the line, or -1 */
	char line[CONTROL_LINE];
	size_t len;
};

struct control {
	struct control_owner *owner;
	struct loop *loop;
	int fd;				/* -1: the machine has no name */
	char path[108];
	struct control_client clients[CONTROL_CLIENTS];
};

/* The directory is made if need be. @name: NULL for no socket at all. */
int control_create(struct control *c, const char *name, struct control_owner *owner,
		   struct loop *loop, struct error *err);
void control_destroy(struct control *c);

/*
 * ctl.c: `vmrun ctl [NAME COMMAND...]`, of which argv[0] is "ctl". Return: vmrun's exit code.
 */
int ctl_main(int argc, char **argv, FILE *out, struct error *err);

/* Where the sockets lie, and the path of one. Both need not exist. */
int control_directory(char *path, size_t size, struct error *err);
int control_path(char *path, size_t size, const char *name, struct error *err);
/* Return: a connection, or -1 with errno set: ECONNREFUSED if nobody listens there any more. */
int control_connect(const char *path);
/*
 * What a vmrun that is gone has left behind there is no obstacle. Return: 0; 1: it is taken, errno
 * being 0 if somebody listens; or -1 with errno set.
 */
int control_bind(int fd, const char *path);

#endif
