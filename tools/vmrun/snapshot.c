// SPDX-License-Identifier: GPL-2.0
#include <stdlib.h>
#include <string.h>

#include "machine.h"
#include "snapshot.h"

#define PAGE		4096U
#define RUN_MAX		(1U << 20)	/* bytes of memory in a section */

#define COMMAND		"command"
#define ROM		"rom"
#define DISK		"disk"
#define RAM		"ram"

/* What the rest is made by. */
struct frame {
	const struct machine *machine;
	uint32_t rom_size;		/* 0: no firmware */
	uint8_t image_is;		/* enum image_class; a program's work is in memory */
};

static void frame_fields(void *opaque, struct fields *f)
{
	struct frame *frame = opaque;
	const struct options *o = frame->machine->options;

	fields_same(f, o->mem, "it has another --mem");
	fields_same(f, o->cpus, "it has other --cpus");
	FIELD(f, frame->rom_size);
	FIELD(f, frame->image_is);
	fields_must(f, frame->rom_size <= ROM_MAX, "its firmware");
	fields_must(f, frame->image_is == IMAGE_PROGRAM || o->image, "it has no image");
}

/* ---- saving ---------------------------------------------------------------------------------- */

static int save_frame(struct machine *m, struct snapfile *s, struct error *err)
{
	struct frame frame = { .machine = m, .image_is = IMAGE_PROGRAM };

	if (m->shadow.rom)
		frame.rom_size = m->shadow.rom_size;
	if (m->nr_disks > m->options->nr_drives)
		frame.image_is = m->disks[0].cdrom ? IMAGE_CD : IMAGE_DISK;
	if (snapfile_save(s, "machine", frame_fields, &frame, err))
		return -1;
	return frame.rom_size ? snapfile_write(s, ROM, NULL, 0, m->shadow.rom, frame.rom_size, err) :
				0;
}

/* A crash of the host is not to leave older disks to a snapshot that is there. */
static int flush_disks(const struct machine *m, struct error *err)
{
	unsigned int i;

	for (i = 0; i < m->nr_disks; i++)
		if (!m->disks[i].readonly && !disk_flush(&m->disks[i]))
			return failed(err, "%s can't be flushed", m->disks[i].path);
	return 0;
}

/*
 * A guest that finds another disk than it knows destroys its file system. A copy of the file, which
 * may be from the right moment, is another file.
 */
void snapshot_disk_fields(void *disk, struct fields *f)
{
	const struct disk *d = disk;
	struct disk_stamp now = f->loading ? d->found : disk_stamp(d), then = now;

	FIELD(f, then);
	if (fields_loaded(f) && !d->readonly && then.dev == now.dev && then.inode == now.inode &&
	    then.written != now.written)
		fields_fail(f, "%s was written to after the snapshot: "
			    "--disk can name a copy that wasn't", d->path);
}

static int save_disks(struct machine *m, struct snapfile *s, struct error *err)
{
	unsigned int i;

	if (flush_disks(m, err))
		return -1;
	for (i = 0; i < m->nr_disks; i++)
		if (snapfile_save(s, DISK, snapshot_disk_fields, &m->disks[i], err))
			return -1;
	return 0;
}

static int save_devices(struct machine *m, struct snapfile *s, struct error *err)
{
	unsigned int i;

	for (i = 0; i < m->devices.nr; i++) {
		const struct device_class *c = m->devices.made[i].class;

		if (c->fields && snapfile_save(s, c->name, c->fields, m->devices.made[i].dev, err))
			return -1;
	}
	return save_disks(m, s, err);
}

static int save_vm(struct machine *m, struct snapfile *s, struct error *err)
{
	unsigned int i;

	if (snapfile_save(s, "chips", vm_chips_fields, &m->vm, err))
		return -1;
	for (i = 0; i < m->vm.nr; i++)
		if (snapfile_save(s, "cpu", vcpu_fields, &m->vm.cpus[i], err))
			return -1;
	return 0;
}

static bool is_zero(const uint8_t *page)
{
	static const uint8_t zeros[PAGE];

	return !memcmp(page, zeros, PAGE);
}

int snapshot_save_memory(const struct guest_mem *mem, struct snapfile *s, struct error *err)
{
	uint64_t at, start;

	for (at = 0; at < mem->size; at += PAGE) {
		if (is_zero(mem->base + at))
			continue;
		start = at;
		do
			at += PAGE;
		while (at < mem->size && at - start < RUN_MAX && !is_zero(mem->base + at));
		if (snapfile_write(s, RAM, &start, sizeof(start), mem->base + start, at - start,
				   err))
			return -1;
		at -= PAGE;
	}
	return 0;
}

int snapshot_save(struct machine *m, int fd, struct error *err)
{
	const struct args *args = &m->options->args;
	struct snapfile s;

	if (snapfile_create(&s, fd, "the snapshot", err) ||
	    snapfile_write(&s, COMMAND, NULL, 0, args->text, args->text_len, err) ||
	    save_frame(m, &s, err) || save_devices(m, &s, err) || save_vm(m, &s, err) ||
	    snapshot_save_memory(&m->mem, &s, err))
		return -1;
	return snapfile_write_end(&s, err);
}

/* ---- loading --------------------------------------------------------------------------------- */

int snapshot_words(const char *path, struct args *words, struct error *err)
{
	struct snapfile s;
	void *data;
	size_t len;
	int rc;

	if (snapfile_open(&s, path, err))
		return -1;
	rc = snapfile_get(&s, COMMAND, &data, &len, err);
	if (!rc) {
		rc = args_split(words, data, len, err);
		free(data);
	}
	snapfile_close(&s);
	return rc;
}

static int load_rom(struct machine *m, uint32_t size, struct error *err)
{
	struct snapfile *s = &m->snapshot;
	struct image rom = { .size = size, .name = s->path };
	struct snapfile_section h;
	uint8_t *bytes;
	int rc;

	if (snapfile_next(s, &h, err))
		return -1;
	if (strcmp(h.name, ROM) || h.len != size)
		return failed(err, "%s: it is damaged: its firmware", s->path);
	rom.data = bytes = malloc(size);
	if (!bytes)
		return failed(err, "%s: no memory", s->path);
	rc = snapfile_read(s, bytes, size, err);
	if (!rc)
		rc = shadow_create(&m->shadow, &rom, err);
	free(bytes);
	return rc;
}

int snapshot_begin(struct machine *m, enum image_class *image_is, struct error *err)
{
	struct frame frame = { .machine = m };
	struct snapfile *s = &m->snapshot;
	void *data;
	size_t len;

	if (snapfile_open(s, m->options->restore, err) ||
	    snapfile_get(s, COMMAND, &data, &len, err))
		return -1;
	free(data);			/* the options know it */
	if (snapfile_load(s, "machine", frame_fields, &frame, err))
		return -1;
	*image_is = frame.image_is;
	return frame.rom_size ? load_rom(m, frame.rom_size, err) : 0;
}

static int load_devices(struct machine *m, struct error *err)
{
	unsigned int i;

	for (i = 0; i < m->devices.nr; i++) {
		const struct device_class *c = m->devices.made[i].class;

		if (c->fields && snapfile_load(&m->snapshot, c->name, c->fields,
					       m->devices.made[i].dev, err))
			return -1;
	}
	for (i = 0; i < m->nr_disks; i++)
		if (snapfile_load(&m->snapshot, DISK, snapshot_disk_fields, &m->disks[i], err))
			return -1;
	return 0;
}

static int load_vm(struct machine *m, struct error *err)
{
	unsigned int i;

	if (snapfile_load(&m->snapshot, "chips", vm_chips_fields, &m->vm, err))
		return -1;
	for (i = 0; i < m->vm.nr; i++)
		if (snapfile_load(&m->snapshot, "cpu", vcpu_fields, &m->vm.cpus[i], err))
			return -1;
	return 0;
}

int snapshot_load_memory(const struct guest_mem *mem, struct snapfile *s,
			 struct snapfile_section *h, struct error *err)
{
	uint64_t at, len;

	for (;;) {
		if (snapfile_next(s, h, err))
			return -1;
		if (strcmp(h->name, RAM))
			return 0;
		len = h->len - sizeof(at);
		if (h->len < sizeof(at) || len % PAGE)
			return failed(err, "%s: it is damaged: its memory", s->path);
		if (snapfile_read(s, &at, sizeof(at), err))
			return -1;
		if (at % PAGE || at > mem->size || len > mem->size - at)
			return failed(err, "%s: it is damaged: its memory", s->path);
		if (snapfile_read(s, mem->base + at, len, err))
			return -1;
	}
}

/* Memory is last: to set some MSRs makes the hypervisor write there. */
int snapshot_load(struct machine *m, struct error *err)
{
	struct snapfile_section end;
	int rc;

	rc = load_devices(m, err) || load_vm(m, err) ||
	     snapshot_load_memory(&m->mem, &m->snapshot, &end, err) ||
	     snapfile_read_end(&m->snapshot, &end, err);
	snapfile_close(&m->snapshot);
	return rc ? -1 : 0;
}
