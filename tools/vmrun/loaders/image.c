// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader.h"

static int image_map(struct image *img, int fd, struct error *err)
{
	struct stat st;
	void *p;

	if (fstat(fd, &st))
		return failed(err, "%s: %s", img->name, strerror(errno));
	if (S_ISBLK(st.st_mode))
		return failed(err, "%s: a block device: give it with --disk", img->name);
	if (!S_ISREG(st.st_mode))
		return failed(err, "%s: not a file", img->name);
	if (!st.st_size)
		return failed(err, "%s: the file is empty", img->name);
	p = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return failed(err, "%s: can't be mapped: %s", img->name, strerror(errno));
	img->data = p;
	img->size = st.st_size;
	img->mapped = true;
	return 0;
}

int image_open(struct image *img, const char *path, struct error *err)
{
	int fd, rc;

	memset(img, 0, sizeof(*img));
	img->name = path;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return failed(err, "%s: %s", path, strerror(errno));
	rc = image_map(img, fd, err);
	close(fd);
	return rc;
}

void image_close(struct image *img)
{
	if (img->mapped)
		munmap((void *)img->data, img->size);
	memset(img, 0, sizeof(*img));
}

const void *image_at(const struct image *img, uint64_t offset, uint64_t len)
{
	return offset <= img->size && len <= img->size - offset ? img->data + offset : NULL;
}

bool image_has(const struct image *img, uint64_t offset, const void *bytes, size_t len)
{
	const void *p = image_at(img, offset, len);

	return p && !memcmp(p, bytes, len);
}
