// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control.h"

#define DIRECTORY	"minivmm"

int control_directory(char *path, size_t size, struct error *err)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	size_t n = snprintf(path, size, "%s/" DIRECTORY, runtime && *runtime == '/' ? runtime : "/run");

	return n < size ? 0 : failed(err, "XDG_RUNTIME_DIR is too long for a socket's path");
}

int control_path(char *path, size_t size, const char *name, struct error *err)
{
	size_t len;

	if (control_directory(path, size, err))
		return -1;
	len = strlen(path);
	if ((size_t)snprintf(path + len, size - len, "/%s", name) >= size - len)
		return failed(err, "%s: too long a name for a socket in its directory", name);
	return 0;
}

static struct sockaddr_un address(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	return a;
}

int control_connect(const char *path)
{
	struct sockaddr_un a = address(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), e;

	if (fd < 0 || !connect(fd, (struct sockaddr *)&a, sizeof(a)))
		return fd;
	e = errno;
	close(fd);
	errno = e;
	return -1;
}

int control_bind(int fd, const char *path)
{
	struct sockaddr_un a = address(path);
	int other;

	if (!bind(fd, (struct sockaddr *)&a, sizeof(a)))
		return 0;
	if (errno != EADDRINUSE)
		return -1;
	other = control_connect(path);
	if (other >= 0) {
		close(other);
		errno = 0;
		return 1;
	}
	if (errno != ECONNREFUSED || unlink(path))
		return 1;
	return bind(fd, (struct sockaddr *)&a, sizeof(a));
}

static void drop(struct control_client *cl)
{
	loop_remove(cl->control->loop, cl->fd);
	close(cl->fd);
	if (cl->passed >= 0)
		close(cl->passed);
	cl->fd = cl->passed = -1;
}

/* All of it at once: a client that doesn't read can't make the machine wait. */
static void answer(struct control_client *cl, const char *verdict, const char *text, size_t len)
{
	struct iovec iov[] = {
		{ (char *)verdict, strlen(verdict) }, { "\n", 1 }, { (char *)text, len },
	};
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 3 };

	/* One that has gone doesn't want it. */
	if (sendmsg(cl->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return;
}

static void execute(struct control_client *cl)
{
	struct control_owner *o = cl->control->owner;
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	int rc;

	if (!out)
		return;
	rc = o->command(o, cl->line, cl->passed, out);
	fclose(out);
	answer(cl, rc ? "failed" : "ok", text, size);
	free(text);
}

/* Part of a line, and a descriptor if one comes with it: the last that does counts. */
static ssize_t receive(struct control_client *cl)
{
	char room[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
	struct iovec iov = { cl->line + cl->len, sizeof(cl->line) - cl->len };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = room,
		.msg_controllen = sizeof(room),
	};
	ssize_t n = recvmsg(cl->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = n < 0 ? NULL : CMSG_FIRSTHDR(&msg);

	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof(int))) {
		if (cl->passed >= 0)
			close(cl->passed);
		memcpy(&cl->passed, CMSG_DATA(c), sizeof(int));
	}
	return n;
}

static void client_ready(void *opaque)
{
	struct control_client *cl = opaque;
	ssize_t n = receive(cl);
	char *end;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		cl->len += n;
		end = memchr(cl->line, '\n', cl->len);
		if (!end && cl->len < sizeof(cl->line))
			return;
		if (end) {
			*end = 0;
			execute(cl);
		}
	}
	drop(cl);
}

static void control_ready(void *opaque)
{
	struct control *c = opaque;
	int i, fd = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	for (i = 0; i < CONTROL_CLIENTS && c->clients[i].fd >= 0; i++)
		;
	if (i == CONTROL_CLIENTS || loop_add(c->loop, fd, NULL, client_ready, &c->clients[i], NULL)) {
		close(fd);
		return;
	}
	c->clients[i].fd = fd;
	c->clients[i].passed = -1;
	c->clients[i].len = 0;
}

static int bind_socket(struct control *c, const char *name, struct error *err)
{
	int rc = control_bind(c->fd, c->path);

	if (rc > 0 && !errno)
		return failed(err, "--name %s: a machine of this name runs already", name);
	return rc ? failed(err, "%s: %s", c->path, strerror(errno)) : 0;
}

/* Under a lock: two that start at once may both find the same one left behind. */
static int listen_in(struct control *c, const char *directory, const char *name, struct error *err)
{
	int lock, rc;
	mode_t mask;

	if (mkdir(directory, 0700) && errno != EEXIST)
		return failed(err, "%s: %s", directory, strerror(errno));
	lock = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lock < 0)
		return failed(err, "%s: %s", directory, strerror(errno));
	flock(lock, LOCK_EX);
	mask = umask(0177);
	rc = bind_socket(c, name, err);
	umask(mask);
	if (!rc && listen(c->fd, CONTROL_CLIENTS))
		rc = failed(err, "%s: %s", c->path, strerror(errno));
	close(lock);
	return rc;
}

int control_create(struct control *c, const char *name, struct control_owner *owner,
		   struct loop *loop, struct error *err)
{
	char directory[sizeof(c->path)];
	int i;

	*c = (struct control) { .owner = owner, .loop = loop, .fd = -1 };
	for (i = 0; i < CONTROL_CLIENTS; i++)
		c->clients[i] = (struct control_client) { .control = c, .fd = -1, .passed = -1 };
	if (!name)
		return 0;
	if (control_directory(directory, sizeof(directory), err) ||
	    control_path(c->path, sizeof(c->path), name, err))
		return -1;
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd < 0)
		return failed(err, "socket: %s", strerror(errno));
	if (!listen_in(c, directory, name, err))
		return loop_add(loop, c->fd, NULL, control_ready, c, err);
	close(c->fd);
	c->fd = -1;
	return -1;
}

void control_destroy(struct control *c)
{
	int i;

	if (c->fd < 0)
		return;
	for (i = 0; i < CONTROL_CLIENTS; i++)
		if (c->clients[i].fd >= 0)
			drop(&c->clients[i]);
	loop_remove(c->loop, c->fd);
	close(c->fd);
	c->fd = -1;
	/* The sandbox may forbid it; then the next `vmrun ctl` does it. */
	unlink(c->path);
}
