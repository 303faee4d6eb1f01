// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "control.h"
#include "stream.h"

#define PIECE		512		/* a terminal that has room takes so much */
#define LOOK_AGAIN_MS	500		/* whether somebody has opened the pseudo-terminal */

static bool somebody_there(struct stream *s)
{
	struct pollfd p = { .fd = s->fd };

	return s->fd >= 0 && (s->kind != STREAM_PTY ||
			      (poll(&p, 1, 0) >= 0 && !(p.revents & POLLHUP)));
}

static void hang_up(struct stream *s)
{
	if (s->kind == STREAM_SOCKET && s->fd >= 0) {
		close(s->fd);
		s->fd = -1;
	}
	s->regular |= s->kind == STREAM_FILE;	/* it would hang up for ever */
	s->out_len = 0;
}

/* ---- output ---------------------------------------------------------------------------------- */

/* Return: whether all that waits is gone. */
static bool flush_out(struct stream *s)
{
	while (s->out_len) {
		size_t n = STREAM_BUFFER - s->out_head;
		ssize_t done;

		if (n > s->out_len)
			n = s->out_len;
		if (s->kind == STREAM_TERMINAL && n > PIECE)
			n = PIECE;
		done = s->kind == STREAM_SOCKET ?
		       send(s->fd, s->out + s->out_head, n, MSG_NOSIGNAL | MSG_DONTWAIT) :
		       write(s->fd, s->out + s->out_head, n);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0 && errno != EAGAIN)
			hang_up(s);
		if (done < 0)
			break;
		s->out_head = (s->out_head + done) % STREAM_BUFFER;
		s->out_len -= done;
		if (s->kind == STREAM_TERMINAL)
			break;		/* it may block: only after poll() */
	}
	return !s->out_len;
}

static void stream_write(struct chardev *chr, const void *buf, size_t len)
{
	struct stream *s = (struct stream *)chr;
	const uint8_t *bytes = buf;
	bool wake;
	size_t i;

	pthread_mutex_lock(&s->lock);
	if (!somebody_there(s)) {
		s->lost += len;
		pthread_mutex_unlock(&s->lock);
		return;
	}
	for (i = 0; i < len && s->out_len < STREAM_BUFFER; i++)
		s->out[(s->out_head + s->out_len++) % STREAM_BUFFER] = bytes[i];
	s->lost += len - i;
	wake = s->kind == STREAM_TERMINAL || !flush_out(s);
	s->was_full |= s->out_len == STREAM_BUFFER;
	pthread_mutex_unlock(&s->lock);
	if (wake)
		loop_wake(s->loop);
}

size_t stream_room(struct stream *s)
{
	size_t room;

	pthread_mutex_lock(&s->lock);
	room = somebody_there(s) ? STREAM_BUFFER - s->out_len : STREAM_BUFFER;
	s->was_full |= !room;
	pthread_mutex_unlock(&s->lock);
	return room;
}

/* ---- input ----------------------------------------------------------------------------------- */

static size_t stream_read(struct chardev *chr, void *buf, size_t len)
{
	struct stream *s = (struct stream *)chr;
	uint8_t *bytes = buf;
	bool was_full;
	size_t i;

	if (s->terminal)
		return s->terminal->read(s->terminal, buf, len);
	pthread_mutex_lock(&s->lock);
	was_full = s->in_len == STREAM_INPUT;
	for (i = 0; i < len && s->in_len; i++, s->in_len--) {
		bytes[i] = s->in[s->in_head];
		s->in_head = (s->in_head + 1) % STREAM_INPUT;
	}
	pthread_mutex_unlock(&s->lock);
	if (was_full && i)
		loop_wake(s->loop);
	return i;
}

/* Return: whether something has come. */
static bool take_in(struct stream *s)
{
	uint8_t buf[STREAM_INPUT];
	ssize_t n = read(s->fd, buf, STREAM_INPUT - s->in_len), i;

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		hang_up(s);
	for (i = 0; i < n; i++)
		s->in[(s->in_head + s->in_len++) % STREAM_INPUT] = buf[i];
	return n > 0;
}

static void take_client(struct stream *s)
{
	int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (s->fd >= 0)
		close(fd);
	else
		s->fd = fd;
}

/* ---- the loop -------------------------------------------------------------------------------- */

static int prepare(void *opaque, struct pollfd *fds, int room, int *timeout)
{
	struct stream *s = opaque;
	bool listening = s->kind == STREAM_SOCKET && s->fd < 0;
	int n = 0;

	pthread_mutex_lock(&s->lock);
	if (s->kind == STREAM_PTY && !somebody_there(s)) {
		s->out_len = 0;
		if (*timeout < 0 || *timeout > LOOK_AGAIN_MS)
			*timeout = LOOK_AGAIN_MS;
	} else if (room && !s->regular && (s->out_len || !s->terminal)) {
		fds[n++] = (struct pollfd) {
			.fd = listening ? s->listen_fd : s->fd,
			.events = (s->out_len ? POLLOUT : 0) |
				  (!s->terminal && s->in_len < STREAM_INPUT ? POLLIN : 0),
		};
	}
	pthread_mutex_unlock(&s->lock);
	return n;
}

static void dispatch(void *opaque, struct pollfd *fds, int n)
{
	struct stream *s = opaque;
	bool came = false, drained;

	pthread_mutex_lock(&s->lock);
	if (n && fds->revents) {
		if (fds->fd == s->listen_fd)
			take_client(s);
		else if (fds->events & fds->revents & POLLIN)
			came = take_in(s);
		else if (fds->revents & (POLLHUP | POLLERR))
			hang_up(s);
		if (fds->revents & POLLOUT)
			flush_out(s);
	}
	drained = s->was_full && (s->out_len < STREAM_BUFFER / 2);
	if (drained)
		s->was_full = false;
	pthread_mutex_unlock(&s->lock);
	if (came && s->chr.notify)
		s->chr.notify(s->chr.opaque);
	if (drained && s->drained)
		s->drained(s->chr.opaque);
}

/* ---- opening --------------------------------------------------------------------------------- */

static int open_file(struct stream *s, const char *path, struct error *err)
{
	struct stat st;

	s->regular = stat(path, &st) || S_ISREG(st.st_mode);
	s->fd = s->regular ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666) :
			     open(path, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return s->fd < 0 ? failed(err, "%s: %s", path, strerror(errno)) : 0;
}

static int open_pty(struct stream *s, const char *name, struct error *err)
{
	struct termios t;
	char path[64];
	int slave;

	s->fd = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (s->fd < 0 || grantpt(s->fd) || unlockpt(s->fd) ||
	    ptsname_r(s->fd, path, sizeof(path)))
		return failed(err, "%s: there is no pseudo-terminal: %s", name, strerror(errno));
	/* Opened once: from then on it can be seen whether somebody has it open. */
	slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave >= 0 && !tcgetattr(slave, &t)) {
		cfmakeraw(&t);
		tcsetattr(slave, TCSANOW, &t);
	}
	if (slave >= 0)
		close(slave);
	fprintf(stderr, "vmrun: %s is %s\n", name, path);
	return 0;
}

int stream_listen(const char *path, struct error *err)
{
	int rc, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path)) {
		close(fd);
		return failed(err, "%s: too long for a socket", path);
	}
	rc = control_bind(fd, path);
	if (rc > 0)
		errno = EADDRINUSE;
	if (!rc && !listen(fd, 1))
		return fd;
	failed(err, "%s: %s", path, strerror(errno));
	close(fd);
	return -1;
}

static void init(struct stream *s, struct loop *loop)
{
	memset(s, 0, sizeof(*s));
	s->chr.write = stream_write;
	s->chr.read = stream_read;
	s->fd = s->listen_fd = -1;
	s->loop = loop;
	s->poller = (struct loop_poller) { prepare, dispatch, s };
	pthread_mutex_init(&s->lock, NULL);
}

int stream_open(struct stream *s, const char *where, const char *name, struct loop *loop,
		struct error *err)
{
	int rc;

	init(s, loop);
	if (!strcmp(where, "pty")) {
		s->kind = STREAM_PTY;
		rc = open_pty(s, name, err);
	} else if (!strncmp(where, "unix:", 5)) {
		s->kind = STREAM_SOCKET;
		s->listen_fd = stream_listen(where + 5, err);
		rc = s->listen_fd < 0 ? -1 : 0;
	} else {
		s->kind = STREAM_FILE;
		rc = open_file(s, where, err);
	}
	if (rc || loop_add_poller(loop, &s->poller, err)) {
		stream_close(s);
		return -1;
	}
	return 0;
}

static void keys_came(void *opaque)
{
	struct stream *s = opaque;

	if (s->chr.notify)
		s->chr.notify(s->chr.opaque);
}

int stream_terminal(struct stream *s, int fd, struct chardev *keys, struct loop *loop,
		    struct error *err)
{
	init(s, loop);
	s->kind = STREAM_TERMINAL;
	s->fd = fd;
	s->terminal = keys;
	keys->opaque = s;
	keys->notify = keys_came;
	return loop_add_poller(loop, &s->poller, err);
}

void stream_close(struct stream *s)
{
	loop_remove_poller(s->loop, &s->poller);
	if (s->terminal)
		s->terminal->notify = NULL;
	else if (s->fd >= 0)
		close(s->fd);
	if (s->listen_fd >= 0)
		close(s->listen_fd);
	pthread_mutex_destroy(&s->lock);
}
