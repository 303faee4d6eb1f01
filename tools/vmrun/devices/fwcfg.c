// SPDX-License-Identifier: GPL-2.0
/*
 * QEMU's fw_cfg interface: an item is selected, then read byte by byte or by the DMA interface. All
 * of it is read-only.
 */
#include <endian.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "../device.h"
#include "../fwcfg.h"

#define SELECT_PORT	0x510		/* a word; the data is at the next port, a byte */
#define DMA_PORT	0x514		/* eight bytes, big-endian: the address of a request */
#define DMA_SIGNATURE	0x51454d5520434647ULL	/* "QEMU CFG" */

enum {
	ITEM_SIGNATURE = 0x00,
	ITEM_ID = 0x01,
	ITEM_CPUS = 0x05,
	ITEM_MAX_CPUS = 0x0f,
	ITEM_DIRECTORY = 0x19,
	ITEM_FILES = 0x20,
};

#define ID_TRADITIONAL	0x01
#define ID_DMA		0x02

#define DMA_ERROR	0x01
#define DMA_READ	0x02
#define DMA_SKIP	0x04
#define DMA_SELECT	0x08
#define DMA_WRITE	0x10

struct dma_request {
	uint32_t control, length;
	uint64_t address;
};

struct directory {
	uint32_t count;
	struct {
		uint32_t size;
		uint16_t select, reserved;
		char name[FWCFG_NAME_MAX];
	} files[FWCFG_FILES_MAX];
};

struct fwcfg_device {
	pthread_mutex_t lock;
	const struct fwcfg *cfg;
	const struct guest_mem *mem;
	struct directory directory;
	uint32_t id;
	uint16_t selected;
	const uint8_t *item;		/* NULL: there is none of that number; reads as zeros */
	uint32_t size, pos;
	uint32_t dma_high;
};

static void show(struct fwcfg_device *f, const void *item, uint32_t size)
{
	f->item = item;
	f->size = size;
	f->pos = 0;
}

static void select_item(struct fwcfg_device *f, uint16_t n)
{
	f->selected = n;
	switch (n) {
	case ITEM_SIGNATURE:
		return show(f, "QEMU", 4);
	case ITEM_ID:
		return show(f, &f->id, sizeof(f->id));
	case ITEM_CPUS:
	case ITEM_MAX_CPUS:
		return show(f, &f->cfg->cpus, sizeof(f->cfg->cpus));
	case ITEM_DIRECTORY:
		return show(f, &f->directory, 4 + f->cfg->nr * sizeof(f->directory.files[0]));
	default:
		if (n >= ITEM_FILES && n - ITEM_FILES < (int)f->cfg->nr)
			return show(f, f->cfg->files[n - ITEM_FILES].data,
				    f->cfg->files[n - ITEM_FILES].size);
		return show(f, NULL, 0);
	}
}

/* The next n bytes, of which those behind the item's end are zero; to: NULL skips them. */
static void take(struct fwcfg_device *f, uint8_t *to, uint32_t n)
{
	uint32_t there = f->size - f->pos < n ? f->size - f->pos : n;

	if (to && there)
		memcpy(to, f->item + f->pos, there);
	if (to)
		memset(to + there, 0, n - there);
	f->pos += there;
}

/* Return: whether it was carried out. */
static bool dma(struct fwcfg_device *f, const struct dma_request *r)
{
	uint32_t control = be32toh(r->control), length = be32toh(r->length);
	uint8_t *to = NULL;

	if (control & DMA_SELECT)
		select_item(f, control >> 16);
	if (control & DMA_READ) {
		to = mem_at(f->mem, be64toh(r->address), length);
		if (!to && length)
			return false;
	} else if (control & DMA_WRITE) {
		return false;
	} else if (!(control & DMA_SKIP)) {
		return true;
	}
	take(f, to, length);
	return true;
}

static void dma_start(struct fwcfg_device *f, uint64_t gpa)
{
	struct dma_request r;
	uint32_t done;

	/* A copy: the guest may change it meanwhile. */
	if (!mem_read(f->mem, gpa, &r, sizeof(r)))
		return;
	done = htobe32(dma(f, &r) ? 0 : DMA_ERROR);
	mem_write(f->mem, gpa, &done, sizeof(done));
}

static void write_dma(struct fwcfg_device *f, const struct bus_access *a)
{
	uint32_t value = be32toh(bus_value(a));

	if (a->len != 4)
		return;
	if (a->offset == 0) {
		f->dma_high = value;
		return;
	}
	dma_start(f, (uint64_t)f->dma_high << 32 | value);
	f->dma_high = 0;
}

static void dma_access(void *opaque, struct bus_access *a)
{
	struct fwcfg_device *f = opaque;
	uint64_t signature = htobe64(DMA_SIGNATURE);

	pthread_mutex_lock(&f->lock);
	if (!a->write)
		memcpy(a->data, (uint8_t *)&signature + a->offset, a->len);
	else if (!(a->offset % 4))
		write_dma(f, a);
	pthread_mutex_unlock(&f->lock);
}

static void fwcfg_access(void *opaque, struct bus_access *a)
{
	struct fwcfg_device *f = opaque;

	pthread_mutex_lock(&f->lock);
	if (a->write && a->offset == 0 && a->len == 2)
		select_item(f, bus_value(a));
	else if (!a->write && a->offset == 1)
		take(f, a->data, 1);
	pthread_mutex_unlock(&f->lock);
}

static void fwcfg_destroy_device(void *dev)
{
	struct fwcfg_device *f = dev;

	pthread_mutex_destroy(&f->lock);
	free(f);
}

static void fill_directory(struct fwcfg_device *f)
{
	unsigned int i;

	f->directory.count = htobe32(f->cfg->nr);
	for (i = 0; i < f->cfg->nr; i++) {
		f->directory.files[i].size = htobe32(f->cfg->files[i].size);
		f->directory.files[i].select = htobe16(ITEM_FILES + i);
		memcpy(f->directory.files[i].name, f->cfg->files[i].name, FWCFG_NAME_MAX);
	}
}

static void *fwcfg_create(const struct device_env *env, struct error *err)
{
	struct fwcfg_device *f = calloc(1, sizeof(*f));

	if (!f) {
		failed(err, "fwcfg: no memory");
		return NULL;
	}
	pthread_mutex_init(&f->lock, NULL);
	f->cfg = env->fwcfg;
	f->mem = env->mem;
	f->id = ID_TRADITIONAL | ID_DMA;
	fill_directory(f);
	select_item(f, ITEM_SIGNATURE);
	if (bus_add(env->ports, SELECT_PORT, 2, 2, fwcfg_access, f, "fw_cfg", err) ||
	    bus_add(env->ports, DMA_PORT, 8, 4, dma_access, f, "fw_cfg DMA", err)) {
		fwcfg_destroy_device(f);
		return NULL;
	}
	return f;
}

static void fwcfg_fields(void *dev, struct fields *s)
{
	struct fwcfg_device *f = dev;
	uint16_t selected = f->selected;
	uint32_t pos = f->pos;

	FIELD(s, selected);
	FIELD(s, pos);
	FIELD(s, f->dma_high);
	if (!fields_loaded(s))
		return;
	select_item(f, selected);
	if (fields_must(s, pos <= f->size, "a place behind an item's end"))
		f->pos = pos;
}

DEVICE(fwcfg) = {
	.name = "fwcfg",
	.order = 40,
	.create = fwcfg_create,
	.destroy = fwcfg_destroy_device,
	.fields = fwcfg_fields,
};
