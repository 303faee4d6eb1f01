// SPDX-License-Identifier: GPL-2.0
/*
 * Two IDE channels at their places on the ISA bus, for up to four drives, and the PCI function by
 * which firmware finds them. Data goes through the data register; there is no bus master.
 */
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>

#include "../device.h"
#include "../pci.h"
#include "ide.h"

#define CHANNELS		2
#define REGISTERS		8
#define PIIX3_IDE_ID		0x7010
#define PIIX3_IDE_TIMING	0x40	/* kept, and without effect */

enum { R_DATA, R_ERROR, R_COUNT, R_LOW, R_MID, R_HIGH, R_DEVICE, R_STATUS };

#define CONTROL_NIEN		0x02	/* no interrupts */
#define CONTROL_SRST		0x04
#define CONTROL_HOB		0x80	/* show the values before the last */

struct channel {
	pthread_mutex_t lock;
	struct irq_lines *irqs;
	unsigned int irq;
	struct drive drives[2];
	uint8_t selected, control;
	int level;
};

struct ide {
	struct pci_function function;	/* first */
	struct channel channels[CHANNELS];
};

void drive_done(struct drive *d)
{
	d->status = ST_DRDY | ST_DSC;
	d->intrq = true;
}

void drive_fail(struct drive *d, uint8_t error)
{
	d->error = error;
	d->status = ST_DRDY | ST_DSC | ST_ERR;
	d->intrq = true;
}

void drive_data(struct drive *d, uint32_t len, void (*next)(struct drive *d))
{
	d->pos = 0;
	d->len = len;
	d->next = next;
	d->status = ST_DRDY | ST_DSC | ST_DRQ;
}

void drive_signature(struct drive *d)
{
	bool cd = d->disk->cdrom;

	d->now = (struct taskfile) {
		.count = 1, .low = 1, .mid = cd ? 0x14 : 0, .high = cd ? 0xeb : 0,
	};
	d->device = DEV_ONES | (d->slave ? DEV_SLAVE : 0);
	d->error = 1;			/* the diagnostic found nothing */
	d->status = cd ? 0 : ST_DRDY | ST_DSC;
	d->intrq = false;
}

void identify_text(uint16_t *words, unsigned int n, const char *text)
{
	unsigned int i;

	for (i = 0; i < 2 * n; i++) {
		uint8_t c = *text ? *text++ : ' ';

		words[i / 2] |= i % 2 ? c : c << 8;
	}
}

static void drive_reset(struct drive *d)
{
	if (!d->disk)
		return;
	d->heads = 16;
	d->sectors = 63;
	d->left = 0;
	drive_signature(d);
}

static struct drive *selected(struct channel *c)
{
	return &c->drives[c->selected];
}

/* The drive whose registers are read: for one that isn't there the other one answers. */
static struct drive *answering(struct channel *c)
{
	struct drive *d = selected(c);

	return d->disk ? d : &c->drives[!c->selected];
}

static void update_irq(struct channel *c)
{
	const struct drive *d = selected(c);
	int level = d->disk && d->intrq && !(c->control & CONTROL_NIEN);

	if (level == c->level)
		return;
	c->level = level;
	c->irqs->set(c->irqs, c->irq, level);
}

static void write_command(struct channel *c, uint8_t cmd)
{
	struct drive *d = selected(c);

	if (!d->disk || (d->status & ST_BSY))
		return;
	d->intrq = false;
	d->error = 0;
	if (d->disk->cdrom)
		atapi_command(d, cmd);
	else
		ata_command(d, cmd);
}

/* Both drives of a channel see what is written. */
static void write_register(struct channel *c, unsigned int reg, uint8_t value)
{
	unsigned int i;

	c->control &= ~CONTROL_HOB;
	if (reg == R_STATUS) {
		write_command(c, value);
		return;
	}
	if (reg == R_DEVICE)
		c->selected = !!(value & DEV_SLAVE);
	for (i = 0; i < 2; i++) {
		struct drive *d = &c->drives[i];
		uint8_t *now[] = {
			[R_ERROR] = &d->now.feature, &d->now.count, &d->now.low, &d->now.mid,
			&d->now.high, &d->device,
		};
		uint8_t *before[] = {
			[R_ERROR] = &d->before.feature, &d->before.count, &d->before.low,
			&d->before.mid, &d->before.high, &d->before.feature,
		};

		if (reg != R_DEVICE)
			*before[reg] = *now[reg];
		*now[reg] = value;
	}
}

static uint8_t read_status(struct channel *c)
{
	return selected(c)->disk ? selected(c)->status : 0;
}

static uint8_t read_register(struct channel *c, unsigned int reg)
{
	struct drive *d = answering(c);
	const struct taskfile *t = c->control & CONTROL_HOB ? &d->before : &d->now;

	switch (reg) {
	case R_ERROR:
		return d->error;
	case R_COUNT:
		return t->count;
	case R_LOW:
		return t->low;
	case R_MID:
		return t->mid;
	case R_HIGH:
		return t->high;
	case R_DEVICE:
		return d->device;
	default:
		selected(c)->intrq = false;
		return read_status(c);
	}
}

static void data_access(struct channel *c, struct bus_access *a)
{
	struct drive *d = selected(c);
	uint32_t n = d->len - d->pos;

	if (!d->disk || !(d->status & ST_DRQ))
		return;
	if (n > a->len)
		n = a->len;
	if (a->write)
		memcpy(d->buf + d->pos, a->data, n);
	else
		memcpy(a->data, d->buf + d->pos, n);
	d->pos += n;
	if (d->pos == d->len)
		d->next(d);
}

static bool empty(const struct channel *c)
{
	return !c->drives[0].disk && !c->drives[1].disk;
}

static void command_access(void *opaque, struct bus_access *a)
{
	struct channel *c = opaque;
	unsigned int i;

	if (empty(c))
		return;			/* nobody drives the bus: ones */
	pthread_mutex_lock(&c->lock);
	if (a->offset == R_DATA) {
		data_access(c, a);
	} else {
		for (i = 0; i < a->len; i++) {
			if (a->write)
				write_register(c, a->offset + i, a->data[i]);
			else
				a->data[i] = read_register(c, a->offset + i);
		}
	}
	update_irq(c);
	pthread_mutex_unlock(&c->lock);
}

static void write_control(struct channel *c, uint8_t value)
{
	uint8_t changed = c->control ^ value;
	unsigned int i;

	c->control = value;
	if (!(changed & CONTROL_SRST))
		return;
	for (i = 0; i < 2; i++) {
		drive_reset(&c->drives[i]);
		if (value & CONTROL_SRST)
			c->drives[i].status = ST_BSY;
	}
	c->selected = 0;
}

static void control_access(void *opaque, struct bus_access *a)
{
	struct channel *c = opaque;

	if (empty(c))
		return;
	pthread_mutex_lock(&c->lock);
	if (a->write)
		write_control(c, a->data[0]);
	else
		a->data[0] = read_status(c);
	update_irq(c);
	pthread_mutex_unlock(&c->lock);
}

/* Hard disks from the first channel on, CDs from the second. Return: NULL when all are taken. */
static struct drive *free_place(struct ide *ide, bool cdrom)
{
	unsigned int i;

	for (i = 0; i < 2 * CHANNELS; i++) {
		unsigned int place = cdrom ? i ^ 2 : i;
		struct drive *d = &ide->channels[place / 2].drives[place % 2];

		if (!d->disk)
			return d;
	}
	return NULL;
}

static int attach(struct ide *ide, struct disk *disk, struct error *err)
{
	struct drive *d = free_place(ide, disk->cdrom);

	if (!d)
		return failed(err, "%s: there is room for %d IDE drives", disk->path, 2 * CHANNELS);
	d->buf = malloc(IDE_BUFFER);
	if (!d->buf)
		return failed(err, "ide: no memory");
	d->disk = disk;
	d->model = disk->cdrom ? "VMRUN CD-ROM" : "VMRUN DISK";
	return 0;
}

static int create_channel(struct channel *c, unsigned int n, const struct device_env *env,
			  struct error *err)
{
	static const struct { uint16_t command, control, irq; } places[CHANNELS] = {
		{ 0x1f0, 0x3f6, 14 }, { 0x170, 0x376, 15 },
	};
	unsigned int i;

	c->irqs = env->irqs;
	c->irq = places[n].irq;
	for (i = 0; i < 2; i++) {
		c->drives[i].slave = i;
		c->drives[i].alone = !c->drives[!i].disk;
		drive_reset(&c->drives[i]);
	}
	if (bus_add(env->ports, places[n].command, REGISTERS, 4, command_access, c, "ide", err) ||
	    bus_add(env->ports, places[n].control, 1, 1, control_access, c, "ide control", err))
		return -1;
	return 0;
}

static void ide_destroy(void *dev)
{
	struct ide *ide = dev;
	unsigned int i;

	for (i = 0; i < CHANNELS; i++) {
		free(ide->channels[i].drives[0].buf);
		free(ide->channels[i].drives[1].buf);
		pthread_mutex_destroy(&ide->channels[i].lock);
	}
	free(ide);
}

static int ide_setup(struct ide *ide, const struct device_env *env, struct error *err)
{
	unsigned int i;

	ide->function.name = "IDE";
	pci_identify(&ide->function, 0x8086, PIIX3_IDE_ID, 0x010100, 0);
	pci_set(&ide->function, PCI_COMMAND, PCI_COMMAND_IO, 2);
	memset(ide->function.writable + PIIX3_IDE_TIMING, 0xff, 4);
	for (i = 0; i < CHANNELS; i++)
		pthread_mutex_init(&ide->channels[i].lock, NULL);
	for (i = 0; i < env->nr_disks; i++)
		if (env->disks[i].ide && attach(ide, &env->disks[i], err))
			return -1;
	for (i = 0; i < CHANNELS; i++)
		if (create_channel(&ide->channels[i], i, env, err))
			return -1;
	return pci_add(env->pci, PCI_IDE, &ide->function, err);
}

static void *ide_create(const struct device_env *env, struct error *err)
{
	struct ide *ide = calloc(1, sizeof(*ide));

	if (!ide) {
		failed(err, "ide: no memory");
		return NULL;
	}
	if (ide_setup(ide, env, err)) {
		ide_destroy(ide);
		return NULL;
	}
	return ide;
}

static void ide_info(void *dev, FILE *out)
{
	struct ide *ide = dev;
	unsigned int i;

	for (i = 0; i < 2 * CHANNELS; i++) {
		struct channel *c = &ide->channels[i / 2];
		const struct drive *d = &c->drives[i % 2];

		if (!d->disk)
			continue;
		pthread_mutex_lock(&c->lock);
		fprintf(out, "ide%u-%u  %s %s%s, %llu KiB: status %02x, error %02x\n", i / 2, i % 2,
			d->disk->cdrom ? "CD" : "disk", d->disk->path,
			d->disk->readonly ? " (read-only)" : "",
			(unsigned long long)(d->disk->size >> 10), d->status, d->error);
		pthread_mutex_unlock(&c->lock);
	}
}

/* A drive that moves no data has no step. */
static void step_fields(struct drive *d, struct fields *f)
{
	const drive_step *steps = d->disk->cdrom ? atapi_steps : ata_steps;
	uint8_t n = 0;

	while (n < DRIVE_STEPS && (!d->next || steps[n] != d->next))
		n++;
	FIELD(f, n);
	FIELD(f, d->pos);
	FIELD(f, d->len);
	if (fields_must(f, n <= DRIVE_STEPS && d->len <= IDE_BUFFER && d->pos <= d->len,
			"the transfer that goes on"))
		d->next = n < DRIVE_STEPS ? steps[n] : NULL;
	/* What is written is all inside of the disk. */
	fields_must(f, !(d->status & ST_DRQ) ||
		    (d->next && (d->next != ata_steps[1] || d->len <= d->left)),
		    "the transfer that goes on");
	if (!f->why)
		fields_bytes(f, d->buf, d->len);
}

static void drive_fields(struct drive *d, struct fields *f)
{
	uint64_t size = d->disk->size;

	fields_same(f, size, "a disk has another size");
	FIELD(f, d->now);
	FIELD(f, d->before);
	FIELD(f, d->device);
	FIELD(f, d->status);
	FIELD(f, d->error);
	FIELD(f, d->intrq);
	FIELD(f, d->offset);
	FIELD(f, d->left);
	FIELD(f, d->block);
	FIELD(f, d->multiple);
	FIELD(f, d->heads);
	FIELD(f, d->sectors);
	FIELD(f, d->lba48);
	FIELD(f, d->sense);
	fields_must(f, d->offset <= size && d->left <= size - d->offset && d->block <= IDE_BUFFER &&
		    d->multiple <= MULTIPLE_MAX && d->heads && d->sectors, "its registers");
	step_fields(d, f);
}

static void ide_fields(void *dev, struct fields *f)
{
	struct ide *ide = dev;
	unsigned int i;

	pci_fields(&ide->function, f);
	for (i = 0; i < 2 * CHANNELS; i++) {
		struct drive *d = &ide->channels[i / 2].drives[i % 2];

		fields_same(f, !d->disk + 2 * (d->disk && d->disk->cdrom), "it has other drives");
		if (d->disk && !f->why)
			drive_fields(d, f);
	}
	for (i = 0; i < CHANNELS; i++) {
		struct channel *c = &ide->channels[i];

		FIELD(f, c->selected);
		fields_must(f, c->selected < 2, "its registers");
		FIELD(f, c->control);
		fields_line(f, c->irqs, c->irq, &c->level);
	}
}

DEVICE(ide) = {
	.name = "ide",
	.order = 32,
	.create = ide_create,
	.destroy = ide_destroy,
	.info = ide_info,
	.fields = ide_fields,
};
