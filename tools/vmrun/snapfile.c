// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "snapfile.h"

#define VERSION		2
#define END		"end"

static const struct header {
	char magic[8];
	uint32_t version, reserved;
} header = { "vmrunsnp", VERSION, 0 };

/* Against damage, not against malice. What isn't a multiple of 8 bytes ends in zeros. */
static void add_to_sum(struct snapfile *s, const void *p, size_t len)
{
	uint64_t sum = s->sum, word;

	for (; len >= sizeof(word); len -= sizeof(word), p = (const char *)p + sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		sum = ((sum << 5 | sum >> 59) ^ word) * 0x9e3779b97f4a7c15;
	}
	if (len) {
		word = 0;
		memcpy(&word, p, len);
		sum = ((sum << 5 | sum >> 59) ^ word) * 0x9e3779b97f4a7c15;
	}
	s->sum = sum;
}

/* ---- writing --------------------------------------------------------------------------------- */

static int write_all(struct snapfile *s, struct iovec *iov, int nr, struct error *err)
{
	ssize_t n;

	while (nr) {
		n = writev(s->fd, iov, nr);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return failed(err, "the snapshot can't be written: %s",
				      strerror(n ? errno : ENOSPC));
		for (; nr && (size_t)n >= iov->iov_len; iov++, nr--)
			n -= iov->iov_len;
		if (nr) {
			iov->iov_base = (char *)iov->iov_base + n;
			iov->iov_len -= n;
		}
	}
	return 0;
}

int snapfile_create(struct snapfile *s, int fd, const char *path, struct error *err)
{
	struct iovec iov = { (void *)&header, sizeof(header) };

	*s = (struct snapfile) { .fd = fd, .path = path };
	return write_all(s, &iov, 1, err);
}

int snapfile_write(struct snapfile *s, const char *name, const void *head, size_t head_len,
		   const void *data, size_t len, struct error *err)
{
	struct snapfile_section h = { .len = head_len + len };
	struct iovec iov[] = {
		{ &h, sizeof(h) }, { (void *)head, head_len }, { (void *)data, len },
	};

	strncpy(h.name, name, sizeof(h.name) - 1);
	add_to_sum(s, &h, sizeof(h));
	add_to_sum(s, head, head_len);
	add_to_sum(s, data, len);
	return write_all(s, iov, 3, err);
}

int snapfile_write_end(struct snapfile *s, struct error *err)
{
	struct snapfile_section h = { .name = END, .len = sizeof(s->sum) };
	struct iovec iov[] = { { &h, sizeof(h) }, { &s->sum, sizeof(s->sum) } };

	add_to_sum(s, &h, sizeof(h));
	if (write_all(s, iov, 2, err))
		return -1;
	return fsync(s->fd) ? failed(err, "the snapshot can't be written: %s", strerror(errno)) : 0;
}

int snapfile_save(struct snapfile *s, const char *name, fields_fn fn, void *thing,
		  struct error *err)
{
	struct fields f = { };
	int rc;

	fn(thing, &f);
	rc = f.why ? failed(err, "%s: %s", name, f.why) :
		     snapfile_write(s, name, NULL, 0, f.bytes, f.size, err);
	free(f.bytes);
	return rc;
}

/* ---- reading --------------------------------------------------------------------------------- */

static int read_all(struct snapfile *s, void *p, size_t len, struct error *err)
{
	ssize_t n;

	for (; len; len -= n, p = (char *)p + n) {
		n = read(s->fd, p, len);
		if (n < 0 && errno == EINTR) {
			n = 0;
			continue;
		}
		if (n < 0)
			return failed(err, "%s: %s", s->path, strerror(errno));
		if (!n)
			return failed(err, "%s: it isn't whole: it ends too early", s->path);
	}
	return 0;
}

int snapfile_open(struct snapfile *s, const char *path, struct error *err)
{
	struct header h;
	struct stat st;

	*s = (struct snapfile) { .path = path };
	s->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (s->fd < 0)
		return failed(err, "%s: %s", path, strerror(errno));
	if (fstat(s->fd, &st) || !S_ISREG(st.st_mode) || st.st_size < (off_t)sizeof(h) ||
	    read_all(s, &h, sizeof(h), NULL) || memcmp(h.magic, header.magic, sizeof(h.magic)))
		failed(err, "%s: this is no snapshot", path);
	else if (h.version != VERSION)
		failed(err, "%s: a snapshot of version %u of the format; this vmrun knows version %u",
		       path, h.version, VERSION);
	else
		return 0;
	snapfile_close(s);
	return -1;
}

void snapfile_close(struct snapfile *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

int snapfile_next(struct snapfile *s, struct snapfile_section *h, struct error *err)
{
	if (snapfile_read(s, h, sizeof(*h), err))
		return -1;
	/* For people to read */
	if (!memchr(h->name, 0, sizeof(h->name)) || !h->name[0] ||
	    h->name[strspn(h->name, "abcdefghijklmnopqrstuvwxyz0123456789")])
		return failed(err, "%s: it is damaged: a section without a name", s->path);
	return 0;
}

int snapfile_read(struct snapfile *s, void *p, size_t len, struct error *err)
{
	if (read_all(s, p, len, err))
		return -1;
	add_to_sum(s, p, len);
	return 0;
}

int snapfile_read_end(struct snapfile *s, const struct snapfile_section *h, struct error *err)
{
	uint64_t sum;

	if (strcmp(h->name, END))
		return failed(err, "%s: a section \"%s\" that doesn't belong here", s->path, h->name);
	if (read_all(s, &sum, sizeof(sum), err))
		return -1;
	return sum == s->sum ? 0 : failed(err, "%s: it is damaged: its sum isn't right", s->path);
}

int snapfile_get(struct snapfile *s, const char *name, void **data, size_t *len,
		 struct error *err)
{
	struct snapfile_section h;

	if (snapfile_next(s, &h, err))
		return -1;
	if (strcmp(h.name, name))
		return failed(err, "%s: of another machine: it has \"%s\" where this one has \"%s\"",
			      s->path, h.name, name);
	if (h.len > SNAPFILE_SECTION_MAX)
		return failed(err, "%s: it is damaged: %s is too long", s->path, name);
	*len = h.len;
	*data = malloc(h.len + 1);
	if (!*data)
		return failed(err, "%s: no memory", s->path);
	if (!snapfile_read(s, *data, h.len, err))
		return 0;
	free(*data);
	return -1;
}

int snapfile_load(struct snapfile *s, const char *name, fields_fn fn, void *thing,
		  struct error *err)
{
	struct fields f = { .loading = true };
	void *data;
	int rc = 0;

	if (snapfile_get(s, name, &data, &f.size, err))
		return -1;
	f.bytes = data;
	fn(thing, &f);
	fields_must(&f, f.pos == f.size, "it has more than this vmrun knows");
	if (f.why)
		rc = failed(err, "%s: %s: %s", s->path, name, f.why);
	free(data);
	return rc;
}
