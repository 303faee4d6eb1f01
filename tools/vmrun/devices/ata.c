// SPDX-License-Identifier: GPL-2.0
/* A hard disk's commands (ATA/ATAPI-6), by programmed I/O. */
#include <string.h>

#include "ide.h"

enum {
	CMD_RECALIBRATE = 0x10,
	CMD_READ = 0x20,
	CMD_READ_ONCE = 0x21,		/* without retries, once */
	CMD_READ_EXT = 0x24,
	CMD_READ_MULTIPLE_EXT = 0x29,
	CMD_WRITE = 0x30,
	CMD_WRITE_ONCE = 0x31,
	CMD_WRITE_EXT = 0x34,
	CMD_WRITE_MULTIPLE_EXT = 0x39,
	CMD_VERIFY = 0x40,
	CMD_VERIFY_ONCE = 0x41,
	CMD_VERIFY_EXT = 0x42,
	CMD_DIAGNOSTIC = 0x90,
	CMD_SET_GEOMETRY = 0x91,
	CMD_READ_MULTIPLE = 0xc4,
	CMD_WRITE_MULTIPLE = 0xc5,
	CMD_SET_MULTIPLE = 0xc6,
	CMD_STANDBY_NOW = 0xe0,
	CMD_IDLE_NOW = 0xe1,
	CMD_STANDBY = 0xe2,
	CMD_IDLE = 0xe3,
	CMD_CHECK_POWER = 0xe5,
	CMD_FLUSH = 0xe7,
	CMD_FLUSH_EXT = 0xea,
	CMD_IDENTIFY = 0xec,
	CMD_SET_FEATURES = 0xef,
};

enum {
	FEATURE_WRITE_CACHE = 0x02,
	FEATURE_TRANSFER_MODE = 0x03,
	FEATURE_NO_LOOK_AHEAD = 0x55,
	FEATURE_NO_WRITE_CACHE = 0x82,
	FEATURE_LOOK_AHEAD = 0xaa,
};

#define MODE_PIO_MAX		0x0c	/* PIO with flow control, mode 4 */
#define MODE_PIO_FLOW		0x08
#define POWER_ACTIVE		0xff
#define LBA28_MAX		0x0fffffff
#define CYLINDERS_MAX		16383

static uint64_t total(const struct drive *d)
{
	return d->disk->size / DISK_SECTOR;
}

/* The sector that the registers name, or one that doesn't exist. */
static uint64_t first_sector(const struct drive *d)
{
	const struct taskfile *t = &d->now, *b = &d->before;
	uint64_t low = t->low | t->mid << 8 | t->high << 16, cylinder = t->mid | t->high << 8;

	if (d->lba48)
		return low | (uint64_t)b->low << 24 | (uint64_t)b->mid << 32 |
		       (uint64_t)b->high << 40;
	if (d->device & DEV_LBA)
		return low | (uint64_t)(d->device & 15) << 24;
	if (!t->low || t->low > d->sectors || (d->device & 15) >= d->heads)
		return UINT64_MAX;
	return (cylinder * d->heads + (d->device & 15)) * d->sectors + t->low - 1;
}

static uint32_t sector_count(const struct drive *d)
{
	uint32_t n = d->now.count;

	if (!d->lba48)
		return n ? n : 0x100;
	n |= d->before.count << 8;
	return n ? n : 0x10000;
}

/* The registers name the sector where it stopped. */
static void show_position(struct drive *d)
{
	uint64_t sector = d->offset / DISK_SECTOR;
	uint32_t cylinder;

	if (!d->lba48 && !(d->device & DEV_LBA)) {
		cylinder = sector / (d->heads * d->sectors);
		d->device = (d->device & 0xf0) | sector / d->sectors % d->heads;
		sector = sector % d->sectors + 1;
		sector |= cylinder << 8;
	} else if (!d->lba48) {
		d->device = (d->device & 0xf0) | (sector >> 24 & 15);
	}
	d->now.low = sector;
	d->now.mid = sector >> 8;
	d->now.high = sector >> 16;
	if (!d->lba48)
		return;
	d->before.low = sector >> 24;
	d->before.mid = sector >> 32;
	d->before.high = sector >> 40;
}

static void fail_at(struct drive *d, uint8_t error)
{
	show_position(d);
	d->left = 0;
	drive_fail(d, error);
}

static uint32_t block_bytes(const struct drive *d)
{
	return d->left < d->block ? d->left : d->block;
}

static void read_block(struct drive *d)
{
	uint32_t n = block_bytes(d);

	if (!n) {
		d->status = ST_DRDY | ST_DSC;	/* the end is no interrupt */
		return;
	}
	if (!disk_read(d->disk, d->offset, d->buf, n)) {
		fail_at(d, ERR_UNC);
		return;
	}
	d->offset += n;
	d->left -= n;
	drive_data(d, n, read_block);
	d->intrq = true;
}

static void write_block(struct drive *d)
{
	if (!disk_write(d->disk, d->offset, d->buf, d->len)) {
		fail_at(d, ERR_ABRT);
		return;
	}
	d->offset += d->len;
	d->left -= d->len;
	if (!d->left) {
		drive_done(d);
		return;
	}
	drive_data(d, block_bytes(d), write_block);
	d->intrq = true;
}

/* Return: whether the sectors that the registers name are all there; if not, it has failed. */
static bool take_range(struct drive *d, bool lba48, uint32_t sectors_per_block)
{
	uint64_t first;

	d->lba48 = lba48;
	if (!sectors_per_block) {
		drive_fail(d, ERR_ABRT);
		return false;
	}
	first = first_sector(d);
	if (first >= total(d) || sector_count(d) > total(d) - first) {
		drive_fail(d, ERR_IDNF);
		return false;
	}
	d->offset = first * DISK_SECTOR;
	d->left = (uint64_t)sector_count(d) * DISK_SECTOR;
	d->block = sectors_per_block * DISK_SECTOR;
	return true;
}

static void start_read(struct drive *d, bool lba48, uint32_t sectors_per_block)
{
	if (take_range(d, lba48, sectors_per_block))
		read_block(d);
}

static void start_write(struct drive *d, bool lba48, uint32_t sectors_per_block)
{
	if (d->disk->readonly)
		drive_fail(d, ERR_ABRT);
	else if (take_range(d, lba48, sectors_per_block))
		drive_data(d, block_bytes(d), write_block);
}

static void verify(struct drive *d, bool lba48)
{
	if (!take_range(d, lba48, 1))
		return;
	d->left = 0;
	drive_done(d);
}

static void end_of_data(struct drive *d)
{
	d->status = ST_DRDY | ST_DSC;
}

static void set64(uint16_t *words, uint64_t value, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		words[i] = value >> 16 * i;
}

static void identify(struct drive *d)
{
	uint16_t w[256] = { 0 };
	uint64_t n = total(d), cylinders = n / (16 * 63);

	w[0] = 0x0040;			/* not removable */
	w[1] = cylinders < CYLINDERS_MAX ? cylinders : CYLINDERS_MAX;
	w[3] = 16;
	w[6] = 63;
	identify_text(w + 10, 10, d->slave ? "1" : "0");
	identify_text(w + 23, 4, "1");
	identify_text(w + 27, 20, d->model);
	w[47] = 0x8000 | MULTIPLE_MAX;
	w[49] = 0x0200;			/* LBA, no DMA */
	w[50] = 0x4000;
	w[53] = 0x0003;			/* words 54 to 58 and 64 to 70 hold something */
	w[54] = w[1];
	w[55] = d->heads;
	w[56] = d->sectors;
	set64(w + 57, (uint64_t)w[54] * w[55] * w[56], 2);
	w[59] = d->multiple ? 0x100 | d->multiple : 0;
	set64(w + 60, n < LBA28_MAX ? n : LBA28_MAX, 2);
	w[64] = 0x0003;			/* PIO modes 3 and 4 */
	w[67] = w[68] = 120;		/* ns */
	w[80] = 0x0070;			/* ATA-4 to ATA/ATAPI-6 */
	w[82] = w[85] = 0x0028;		/* write cache, power management */
	w[83] = w[86] = 0x7400;		/* FLUSH CACHE (EXT), 48-bit addresses */
	w[84] = w[87] = 0x4000;
	w[86] &= 0x3fff;
	w[93] = d->slave ? 0x4b00 : d->alone ? 0x404b : 0x400b;
	set64(w + 100, n, 4);
	memcpy(d->buf, w, sizeof(w));
	drive_data(d, sizeof(w), end_of_data);
	d->intrq = true;
}

static void set_multiple(struct drive *d)
{
	uint8_t n = d->now.count;

	if (n > MULTIPLE_MAX || (n & (n - 1))) {
		drive_fail(d, ERR_ABRT);
		return;
	}
	d->multiple = n;
	drive_done(d);
}

static void set_geometry(struct drive *d)
{
	if (!d->now.count) {
		drive_fail(d, ERR_ABRT);
		return;
	}
	d->heads = (d->device & 15) + 1;
	d->sectors = d->now.count;
	drive_done(d);
}

static void set_features(struct drive *d)
{
	uint8_t mode = d->now.count;

	switch (d->now.feature) {
	case FEATURE_TRANSFER_MODE:
		if (mode > 1 && (mode < MODE_PIO_FLOW || mode > MODE_PIO_MAX)) {
			drive_fail(d, ERR_ABRT);
			break;
		}
		/* fall through */
	case FEATURE_WRITE_CACHE:
	case FEATURE_LOOK_AHEAD:
	case FEATURE_NO_LOOK_AHEAD:
		drive_done(d);
		break;
	default:			/* not even the write cache off: it is the host's */
		drive_fail(d, ERR_ABRT);
	}
}

static void flush(struct drive *d)
{
	if (d->disk->readonly || disk_flush(d->disk))
		drive_done(d);
	else
		drive_fail(d, ERR_ABRT);
}

void ata_command(struct drive *d, uint8_t cmd)
{
	switch (cmd) {
	case CMD_READ:
	case CMD_READ_ONCE:
		return start_read(d, false, 1);
	case CMD_READ_EXT:
		return start_read(d, true, 1);
	case CMD_READ_MULTIPLE:
		return start_read(d, false, d->multiple);
	case CMD_READ_MULTIPLE_EXT:
		return start_read(d, true, d->multiple);
	case CMD_WRITE:
	case CMD_WRITE_ONCE:
		return start_write(d, false, 1);
	case CMD_WRITE_EXT:
		return start_write(d, true, 1);
	case CMD_WRITE_MULTIPLE:
		return start_write(d, false, d->multiple);
	case CMD_WRITE_MULTIPLE_EXT:
		return start_write(d, true, d->multiple);
	case CMD_VERIFY:
	case CMD_VERIFY_ONCE:
		return verify(d, false);
	case CMD_VERIFY_EXT:
		return verify(d, true);
	case CMD_IDENTIFY:
		return identify(d);
	case CMD_SET_MULTIPLE:
		return set_multiple(d);
	case CMD_SET_GEOMETRY:
		return set_geometry(d);
	case CMD_SET_FEATURES:
		return set_features(d);
	case CMD_FLUSH:
	case CMD_FLUSH_EXT:
		return flush(d);
	case CMD_DIAGNOSTIC:
		drive_signature(d);
		d->intrq = true;
		return;
	case CMD_CHECK_POWER:
		d->now.count = POWER_ACTIVE;
		return drive_done(d);
	case CMD_RECALIBRATE:
	case CMD_STANDBY_NOW:
	case CMD_IDLE_NOW:
	case CMD_STANDBY:
	case CMD_IDLE:
		return drive_done(d);
	default:
		return drive_fail(d, ERR_ABRT);
	}
}

const drive_step ata_steps[DRIVE_STEPS] = { read_block, write_block, end_of_data };
