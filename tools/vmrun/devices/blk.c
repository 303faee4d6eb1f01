// SPDX-License-Identifier: GPL-2.0
/* virtio block devices (virtio 1.2, "Block Device"): one for each disk that isn't an IDE drive. */
#include <errno.h>
#include <linux/virtio_blk.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../aio.h"
#include "../disk.h"
#include "../loop.h"
#include "../virtio.h"

#define QUEUES			1
#define RANGE_MAX		2048U	/* sectors in one discard or write of zeros */

struct blk {
	struct virtio_device v;		/* first */
	struct virtio_blk_config config;
	const struct disk *disk;
	struct aio *aio;
	char serial[VIRTIO_BLK_ID_BYTES];
	unsigned int errors;
	struct virtq_chain chain;	/* the one that is looked at */
};

struct request {
	struct aio_request io;		/* first */
	struct blk *b;
	struct virtq *q;
	uint16_t id, slots;
	uint32_t written;		/* if it goes well */
	uint8_t *status;		/* in guest memory */
	struct iovec iov[];
};

struct blks {
	unsigned int nr;
	struct blk *list[];
};

static void complete(struct request *r, uint8_t status)
{
	*r->status = status;
	virtq_push_id(r->q, r->id, r->slots, status == VIRTIO_BLK_S_OK ? r->written : 1);
	if (status != VIRTIO_BLK_S_OK)
		r->b->errors++;
	free(r);
}

static void io_done(struct aio_request *io, int error)
{
	complete((struct request *)io, !error ? VIRTIO_BLK_S_OK :
		 error == EOPNOTSUPP ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR);
}

/* The places of data between the header in front and the status at the end. */
static void copy_iov(struct request *r, const struct virtq_chain *c, bool in)
{
	const struct iovec *iov = in ? c->iov + c->nr_out : c->iov;
	size_t skip = in ? 0 : sizeof(struct virtio_blk_outhdr);
	size_t left = in ? c->in_len - 1 : c->out_len - skip;

	r->io.len = left;
	r->io.iov = r->iov;
	for (; left; iov++) {
		size_t len = iov->iov_len;

		if (skip >= len) {
			skip -= len;
			continue;
		}
		len -= skip;
		if (len > left)
			len = left;
		r->iov[r->io.nr++] = (struct iovec) { (uint8_t *)iov->iov_base + skip, len };
		left -= len;
		skip = 0;
	}
}

static bool inside(const struct blk *b, uint64_t sector, uint64_t len)
{
	uint64_t sectors = b->disk->size / DISK_SECTOR;

	return sector <= sectors && len / DISK_SECTOR <= sectors - sector;
}

/* Each of these returns true when the request goes on, or false with the status of its end. */
static bool transfer(struct request *r, const struct virtq_chain *c, uint64_t sector, bool in,
		     uint8_t *status)
{
	*status = VIRTIO_BLK_S_IOERR;
	if (!in && r->b->disk->readonly)
		return false;
	copy_iov(r, c, in);
	if (r->io.len % DISK_SECTOR || !inside(r->b, sector, r->io.len))
		return false;
	*status = VIRTIO_BLK_S_OK;
	r->io.op = in ? AIO_READ : AIO_WRITE;
	r->io.offset = sector * DISK_SECTOR;
	r->written += in ? r->io.len : 0;
	return r->io.len;
}

static bool range(struct request *r, const struct virtq_chain *c, uint32_t type, uint8_t *status)
{
	struct virtio_blk_discard_write_zeroes d;
	bool discard = type == VIRTIO_BLK_T_DISCARD;
	size_t header = sizeof(struct virtio_blk_outhdr);

	*status = VIRTIO_BLK_S_IOERR;
	if (r->b->disk->readonly || c->out_len != header + sizeof(d))
		return false;
	virtq_read(c, header, &d, sizeof(d));
	if (d.num_sectors > RANGE_MAX ||
	    !inside(r->b, d.sector, (uint64_t)d.num_sectors * DISK_SECTOR))
		return false;
	*status = VIRTIO_BLK_S_UNSUPP;
	if (d.flags & ~(discard ? 0U : VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP))
		return false;
	*status = VIRTIO_BLK_S_OK;
	r->io.op = discard ? AIO_DISCARD : d.flags ? AIO_ZERO_UNMAP : AIO_ZERO;
	r->io.offset = d.sector * DISK_SECTOR;
	r->io.len = (uint64_t)d.num_sectors * DISK_SECTOR;
	return d.num_sectors;
}

static bool get_id(struct request *r, const struct virtq_chain *c, uint8_t *status)
{
	size_t room = c->in_len - 1;

	r->written += virtq_write(c, 0, r->b->serial,
				  room < sizeof(r->b->serial) ? room : sizeof(r->b->serial));
	*status = VIRTIO_BLK_S_OK;
	return false;
}

static bool begin(struct request *r, const struct virtq_chain *c, uint8_t *status)
{
	struct virtio_blk_outhdr h;

	virtq_read(c, 0, &h, sizeof(h));
	switch (h.type) {
	case VIRTIO_BLK_T_IN:
		return transfer(r, c, h.sector, true, status);
	case VIRTIO_BLK_T_OUT:
		return transfer(r, c, h.sector, false, status);
	case VIRTIO_BLK_T_FLUSH:
		r->io.op = AIO_FLUSH;
		return true;
	case VIRTIO_BLK_T_GET_ID:
		return get_id(r, c, status);
	case VIRTIO_BLK_T_DISCARD:
		if (!(r->b->v.features & VIRTIO_FEATURE(VIRTIO_BLK_F_DISCARD)))
			break;
		return range(r, c, h.type, status);
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return range(r, c, h.type, status);
	}
	*status = VIRTIO_BLK_S_UNSUPP;
	return false;
}

/* Return: false when the device can't go on. */
static bool handle(struct blk *b, struct virtq *q)
{
	const struct virtq_chain *c = &b->chain;
	const struct iovec *last = &c->iov[c->nr_out + c->nr_in - 1];
	uint8_t status = VIRTIO_BLK_S_IOERR;
	struct request *r;

	if (c->out_len < sizeof(struct virtio_blk_outhdr) || !c->in_len) {
		virtio_fail(&b->v, "a request without header or status");
		return false;
	}
	r = calloc(1, sizeof(*r) + (c->nr_out + c->nr_in) * sizeof(r->iov[0]));
	if (!r) {
		virtio_fail(&b->v, "no memory for a request");
		return false;
	}
	r->b = b;
	r->q = q;
	r->id = c->id;
	r->slots = c->slots;
	r->written = 1;
	r->status = (uint8_t *)last->iov_base + last->iov_len - 1;
	r->io.done = io_done;
	if (begin(r, c, &status))
		aio_submit(b->aio, &r->io);
	else
		complete(r, status);
	return true;
}

static void blk_notify(struct virtio_device *v, struct virtq *q)
{
	struct blk *b = (struct blk *)v;

	while (virtq_pop(q, &b->chain) && handle(b, q))
		;
	aio_commit(b->aio);
	virtq_flush(q);
}

/* On the loop's thread. */
static void blk_finished(void *opaque)
{
	struct blk *b = opaque;
	uint64_t n;

	if (read(aio_fd(b->aio), &n, sizeof(n)) != sizeof(n))
		return;
	pthread_mutex_lock(&b->v.lock);
	aio_reap(b->aio);
	virtq_flush(&b->v.queues[0]);
	pthread_mutex_unlock(&b->v.lock);
}

static void blk_reset(struct virtio_device *v)
{
	aio_drain(((struct blk *)v)->aio);
}

static const struct virtio_class blk_class = {
	.name = "disk",
	.id = VIRTIO_ID_BLOCK,
	.pci_class = 0x010000,
	.notify = blk_notify,
	.reset = blk_reset,
};

static void set_config(struct blk *b)
{
	const struct disk *d = b->disk;

	b->v.features = VIRTIO_FEATURE(VIRTIO_BLK_F_SEG_MAX) |
			VIRTIO_FEATURE(VIRTIO_BLK_F_BLK_SIZE) | VIRTIO_FEATURE(VIRTIO_BLK_F_FLUSH);
	if (d->readonly)
		b->v.features |= VIRTIO_FEATURE(VIRTIO_BLK_F_RO);
	else
		b->v.features |= VIRTIO_FEATURE(VIRTIO_BLK_F_WRITE_ZEROES) |
				 (d->sparse ? VIRTIO_FEATURE(VIRTIO_BLK_F_DISCARD) : 0);
	b->config = (struct virtio_blk_config) {
		.capacity = d->size / DISK_SECTOR,
		.seg_max = VIRTQ_MAX - 2,
		.blk_size = DISK_SECTOR,
		.num_queues = QUEUES,
		.max_discard_sectors = RANGE_MAX,
		.max_discard_seg = 1,
		.discard_sector_alignment = 8,
		.max_write_zeroes_sectors = RANGE_MAX,
		.max_write_zeroes_seg = 1,
		.write_zeroes_may_unmap = d->sparse,
	};
	b->v.config = &b->config;
	b->v.config_size = sizeof(b->config);
}

static void free_blk(struct blk *b)
{
	if (b->aio)
		aio_destroy(b->aio);
	free(b);
}

static struct blk *create_one(const struct disk *d, unsigned int n, const struct device_env *env,
			      struct error *err)
{
	struct blk *b = calloc(1, sizeof(*b));
	char serial[32];

	if (!b) {
		failed(err, "%s: no memory", d->path);
		return NULL;
	}
	b->disk = d;
	snprintf(serial, sizeof(serial), "vmrun-disk%u", n);
	memcpy(b->serial, serial, sizeof(b->serial));
	set_config(b);
	b->aio = aio_create(d, VIRTQ_MAX, d->threads, err);
	if (!b->aio || loop_add(env->loop, aio_fd(b->aio), NULL, blk_finished, b, err) ||
	    virtio_create(&b->v, &blk_class, QUEUES, env, err)) {
		free_blk(b);
		return NULL;
	}
	return b;
}

static void blk_destroy(void *dev)
{
	struct blks *s = dev;

	while (s->nr) {
		struct blk *b = s->list[--s->nr];

		aio_drain(b->aio);
		virtio_destroy(&b->v);
		free_blk(b);
	}
	free(s);
}

static void *blk_create(const struct device_env *env, struct error *err)
{
	struct blks *s = calloc(1, sizeof(*s) + env->nr_disks * sizeof(s->list[0]));
	unsigned int i;

	if (!s) {
		failed(err, "disk: no memory");
		return NULL;
	}
	for (i = 0; i < env->nr_disks; i++) {
		if (env->disks[i].ide)
			continue;
		s->list[s->nr] = create_one(&env->disks[i], s->nr, env, err);
		if (!s->list[s->nr]) {
			blk_destroy(s);
			return NULL;
		}
		s->nr++;
	}
	return s;
}

static void blk_info(void *dev, FILE *out)
{
	struct blks *s = dev;
	unsigned int i;

	for (i = 0; i < s->nr; i++) {
		const struct blk *b = s->list[i];

		virtio_info(&s->list[i]->v, out);
		fprintf(out, "        %s%s, %llu KiB, by %s, %u errors\n", b->disk->path,
			b->disk->readonly ? " (read-only)" : "",
			(unsigned long long)(b->disk->size >> 10), aio_kind(b->aio), b->errors);
	}
}

static void one_fields(struct blk *b, struct fields *f)
{
	fields_same(f, b->disk->size, "a disk has another size");
	if (!f->loading) {
		aio_drain(b->aio);
		virtq_flush(&b->v.queues[0]);
	}
	virtio_fields(&b->v, f);
}

static void blk_fields(void *dev, struct fields *f)
{
	struct blks *s = dev;
	unsigned int i;

	fields_same(f, s->nr, "another number of disks");
	for (i = 0; i < s->nr && !f->why; i++)
		one_fields(s->list[i], f);
}

DEVICE(blk) = {
	.name = "blk",
	.order = 40,
	.create = blk_create,
	.destroy = blk_destroy,
	.info = blk_info,
	.fields = blk_fields,
};
