// SPDX-License-Identifier: GPL-2.0
/* A CD drive's commands: packets (ATA/ATAPI-6, MMC-3), of which a data CD needs few. */
#include <string.h>

#include "ide.h"

enum {
	CMD_DEVICE_RESET = 0x08,
	CMD_DIAGNOSTIC = 0x90,
	CMD_PACKET = 0xa0,
	CMD_IDENTIFY_PACKET = 0xa1,
	CMD_IDENTIFY = 0xec,
};

enum {
	TEST_UNIT_READY = 0x00,
	REQUEST_SENSE = 0x03,
	INQUIRY = 0x12,
	START_STOP = 0x1b,
	PREVENT_REMOVAL = 0x1e,
	READ_CAPACITY = 0x25,
	READ_10 = 0x28,
	READ_TOC = 0x43,
	READ_12 = 0xa8,
};

enum { SENSE_NONE = 0, SENSE_MEDIUM_ERROR = 3, SENSE_ILLEGAL_REQUEST = 5 };
enum { ASC_UNREADABLE = 0x11, ASC_INVALID_COMMAND = 0x20, ASC_OUT_OF_RANGE = 0x21,
       ASC_INVALID_FIELD = 0x24 };

#define FEATURE_DMA	0x01
#define LEAD_OUT	0xaa

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
}

static void put32(uint8_t *p, uint32_t value)
{
	p[0] = value >> 24;
	p[1] = value >> 16;
	p[2] = value >> 8;
	p[3] = value;
}

static void packet_done(struct drive *d)
{
	memset(d->sense, 0, sizeof(d->sense));
	d->now.count = REASON_COMMAND | REASON_TO_HOST;
	drive_done(d);
}

static void packet_fail(struct drive *d, uint8_t key, uint8_t code)
{
	d->sense[0] = key;
	d->sense[1] = code;
	d->sense[2] = 0;
	d->left = 0;
	d->now.count = REASON_COMMAND | REASON_TO_HOST;
	drive_fail(d, key << 4 | ERR_ABRT);
}

static void hand_over(struct drive *d, uint32_t n, void (*next)(struct drive *d))
{
	d->now.count = REASON_TO_HOST;
	d->now.mid = n;
	d->now.high = n >> 8;
	drive_data(d, n, next);
	d->intrq = true;
}

static void read_block(struct drive *d)
{
	uint32_t n = d->left < d->block ? d->left : d->block;

	if (!n) {
		packet_done(d);
		return;
	}
	if (!disk_read(d->disk, d->offset, d->buf, n)) {
		packet_fail(d, SENSE_MEDIUM_ERROR, ASC_UNREADABLE);
		return;
	}
	d->offset += n;
	d->left -= n;
	hand_over(d, n, read_block);
}

static void start_read(struct drive *d, uint32_t sector, uint32_t sectors)
{
	uint64_t total = d->disk->size / CD_SECTOR;

	if (sector > total || sectors > total - sector) {
		packet_fail(d, SENSE_ILLEGAL_REQUEST, ASC_OUT_OF_RANGE);
		return;
	}
	d->offset = (uint64_t)sector * CD_SECTOR;
	d->left = (uint64_t)sectors * CD_SECTOR;
	read_block(d);
}

/* What doesn't come from the disk: bytes, of which the guest wants at most max. */
static void reply(struct drive *d, const void *bytes, uint32_t len, uint32_t max)
{
	if (len > max)
		len = max;
	if (len > d->block)
		len = d->block;
	if (!len) {
		packet_done(d);
		return;
	}
	memcpy(d->buf, bytes, len);
	hand_over(d, len, packet_done);
}

static void request_sense(struct drive *d, uint8_t max)
{
	uint8_t r[18] = { 0x70, 0, d->sense[0], [7] = 10, [12] = d->sense[1], d->sense[2] };

	reply(d, r, sizeof(r), max);
}

static void inquiry(struct drive *d, const uint8_t *cdb)
{
	uint8_t r[36] = { 0x05, 0x80, 0x00, 0x21, sizeof(r) - 5 };

	if (cdb[1] & 1) {		/* pages of vital product data */
		packet_fail(d, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
		return;
	}
	memcpy(r + 8, "VMRUN   CD-ROM          1   ", 28);
	reply(d, r, sizeof(r), cdb[3] << 8 | cdb[4]);
}

static void read_capacity(struct drive *d)
{
	uint8_t r[8];

	put32(r, d->disk->size / CD_SECTOR - 1);
	put32(r + 4, CD_SECTOR);
	reply(d, r, sizeof(r), sizeof(r));
}

static void toc_address(uint8_t *p, uint32_t sector, bool msf)
{
	uint32_t frame = sector + 150;	/* two seconds before the first sector */

	if (msf)
		put32(p, frame / (75 * 60) << 16 | frame / 75 % 60 << 8 | frame % 75);
	else
		put32(p, sector);
}

/* One data track, and the lead-out behind it; or the one session. */
static void read_toc(struct drive *d, const uint8_t *cdb)
{
	uint8_t r[20] = { 0, 0, 1, 1 }, *entry = r + 4;
	uint8_t format = cdb[2] & 15 ? cdb[2] & 15 : cdb[9] >> 6, start = cdb[6];
	bool msf = cdb[1] & 2;

	if (format > 1 || (!format && start > 1 && start != LEAD_OUT)) {
		packet_fail(d, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
		return;
	}
	if (format || start <= 1) {
		entry[1] = 0x14;
		entry[2] = 1;
		toc_address(entry + 4, 0, msf);
		entry += 8;
	}
	if (!format) {
		entry[1] = 0x14;
		entry[2] = LEAD_OUT;
		toc_address(entry + 4, d->disk->size / CD_SECTOR, msf);
		entry += 8;
	}
	r[1] = entry - r - 2;
	reply(d, r, entry - r, cdb[7] << 8 | cdb[8]);
}

/* The guest has sent the packet. */
static void execute(struct drive *d)
{
	uint8_t cdb[PACKET_SIZE];

	memcpy(cdb, d->buf, sizeof(cdb));
	switch (cdb[0]) {
	case TEST_UNIT_READY:
	case START_STOP:
	case PREVENT_REMOVAL:
		return packet_done(d);
	case REQUEST_SENSE:
		return request_sense(d, cdb[4]);
	case INQUIRY:
		return inquiry(d, cdb);
	case READ_CAPACITY:
		return read_capacity(d);
	case READ_10:
		return start_read(d, get32(cdb + 2), cdb[7] << 8 | cdb[8]);
	case READ_12:
		return start_read(d, get32(cdb + 2), get32(cdb + 6));
	case READ_TOC:
		return read_toc(d, cdb);
	default:
		return packet_fail(d, SENSE_ILLEGAL_REQUEST, ASC_INVALID_COMMAND);
	}
}

static void packet(struct drive *d)
{
	uint32_t limit = d->now.mid | d->now.high << 8;

	if (d->now.feature & FEATURE_DMA) {
		drive_fail(d, ERR_ABRT);
		return;
	}
	/* Odd limits are allowed for the last block only; none means the greatest. */
	d->block = limit > 1 && limit < 0xffff ? limit & ~1U : 0xfffe;
	d->now.count = REASON_COMMAND;
	drive_data(d, PACKET_SIZE, execute);
}

static void end_of_data(struct drive *d)
{
	d->status = ST_DRDY | ST_DSC;
}

static void identify_packet(struct drive *d)
{
	uint16_t w[256] = { 0 };

	w[0] = 0x85c0;			/* packets of 12 bytes, CD drive, removable, quick */
	identify_text(w + 10, 10, d->slave ? "1" : "0");
	identify_text(w + 23, 4, "1");
	identify_text(w + 27, 20, d->model);
	w[49] = 0x0200;			/* LBA, no DMA */
	w[50] = 0x4000;
	w[53] = 0x0002;
	w[64] = 0x0003;			/* PIO modes 3 and 4 */
	w[67] = w[68] = 120;		/* ns */
	w[80] = 0x0070;			/* ATA-4 to ATA/ATAPI-6 */
	w[82] = w[85] = 0x0210;		/* packets, DEVICE RESET */
	w[83] = w[84] = w[87] = 0x4000;
	w[93] = d->slave ? 0x4b00 : d->alone ? 0x404b : 0x400b;
	memcpy(d->buf, w, sizeof(w));
	drive_data(d, sizeof(w), end_of_data);
	d->intrq = true;
}

void atapi_command(struct drive *d, uint8_t cmd)
{
	switch (cmd) {
	case CMD_PACKET:
		return packet(d);
	case CMD_IDENTIFY_PACKET:
		return identify_packet(d);
	case CMD_DEVICE_RESET:
		return drive_signature(d);
	case CMD_DIAGNOSTIC:
		drive_signature(d);
		d->intrq = true;
		return;
	case CMD_IDENTIFY:		/* which is how a driver finds out what this is */
		drive_signature(d);
		return drive_fail(d, ERR_ABRT);
	default:
		return drive_fail(d, ERR_ABRT);
	}
}

const drive_step atapi_steps[DRIVE_STEPS] = { read_block, packet_done, execute, end_of_data };
