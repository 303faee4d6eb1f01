// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "disk.h"

static uint64_t sector_size(const struct disk *d)
{
	return d->cdrom ? CD_SECTOR : DISK_SECTOR;
}

static int find_size(struct disk *d, struct error *err)
{
	uint64_t sector = sector_size(d), size = 0;
	struct stat st;

	if (fstat(d->fd, &st))
		return failed(err, "%s: %s", d->path, strerror(errno));
	if (S_ISREG(st.st_mode))
		size = st.st_size;
	else if (!S_ISBLK(st.st_mode))
		return failed(err, "%s: neither a file nor a block device", d->path);
	else if (ioctl(d->fd, BLKGETSIZE64, &size))
		return failed(err, "%s: its size can't be found out: %s", d->path, strerror(errno));
	d->size = size / sector * sector;
	if (size % sector && d->readonly)
		d->size += sector;
	if (!d->size)
		return failed(err, "%s: smaller than a sector", d->path);
	return 0;
}

static int lock(const struct disk *d, struct error *err)
{
	struct flock l = { .l_type = d->readonly ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET };

	if (!fcntl(d->fd, F_OFD_SETLK, &l))
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return failed(err, "%s: in use by another program%s", d->path,
			      d->readonly ? ", which writes to it" : "");
	return failed(err, "%s: can't be locked: %s", d->path, strerror(errno));
}

static struct disk_stamp stamp_of(const struct stat *st)
{
	if (!S_ISREG(st->st_mode))
		return (struct disk_stamp){};
	return (struct disk_stamp){
		.dev = st->st_dev,
		.inode = st->st_ino,
		.written = st->st_mtim.tv_sec * 1000000000ULL + st->st_mtim.tv_nsec,
	};
}

struct disk_stamp disk_stamp(const struct disk *d)
{
	struct stat st;

	/* glibc's fstat() is newfstatat(), which the sandbox refuses */
	return syscall(SYS_fstat, d->fd, &st) ? (struct disk_stamp){} : stamp_of(&st);
}

/*
 * Behind its end a hole can be punched without a change to a file but for its time, if the host can do
 * it at all. The time is put back, if that is allowed: a snapshot's disk is known by it.
 */
static bool is_sparse(const struct disk *d, const struct stat *st)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, st->st_mtim };
	int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	if (d->readonly)
		return false;
	if (S_ISBLK(st->st_mode))
		return true;
	if (fallocate(d->fd, punch, d->size, DISK_SECTOR))
		return false;
	futimens(d->fd, times);
	return true;
}

static int check(struct disk *d, struct error *err)
{
	struct stat st;
	char magic[4] = "";

	if (find_size(d, err) || lock(d, err))
		return -1;
	if (pread(d->fd, magic, sizeof(magic), 0) < 0)
		return failed(err, "%s: %s", d->path, strerror(errno));
	if (!memcmp(magic, "QFI\xfb", 4))
		return failed(err, "%s: a qcow2 image; vmrun takes raw ones (`qemu-img convert -O raw`)",
			      d->path);
	/* Now that it is no FIFO: io_uring would take it as a wish for EAGAIN. */
	if (fcntl(d->fd, F_SETFL, 0) || fstat(d->fd, &st))
		return failed(err, "%s: %s", d->path, strerror(errno));
	d->found = stamp_of(&st);
	d->sparse = is_sparse(d, &st);
	return 0;
}

int disk_open(struct disk *d, const struct drive_options *o, struct error *err)
{
	*d = (struct disk) {
		.path = o->path, .cdrom = o->cdrom, .readonly = o->readonly || o->cdrom,
		.ide = o->ide || o->cdrom, .threads = o->threads,
	};
	d->fd = open(d->path,
		     (d->readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (d->fd < 0)
		return failed(err, "%s: %s%s", d->path, strerror(errno),
			      d->readonly || (errno != EACCES && errno != EROFS && errno != EPERM) ?
			      "" : "; to only read it, add \",ro\" to its name");
	if (check(d, err)) {
		disk_close(d);
		return -1;
	}
	return 0;
}

void disk_close(struct disk *d)
{
	if (d->fd >= 0)
		close(d->fd);
	d->fd = -1;
}

bool disk_read(const struct disk *d, uint64_t offset, void *buf, size_t len)
{
	uint8_t *p = buf;

	while (len) {
		ssize_t n = pread(d->fd, p, len, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		if (!n) {		/* the file's end, which may be inside of the last sector */
			memset(p, 0, len);
			return d->size - offset < sector_size(d);
		}
		p += n;
		offset += n;
		len -= n;
	}
	return true;
}

bool disk_write(const struct disk *d, uint64_t offset, const void *buf, size_t len)
{
	const uint8_t *p = buf;

	while (len) {
		ssize_t n = pwrite(d->fd, p, len, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		offset += n;
		len -= n;
	}
	return true;
}

bool disk_flush(const struct disk *d)
{
	return !fdatasync(d->fd);
}
