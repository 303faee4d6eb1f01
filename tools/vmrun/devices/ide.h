/* SPDX-License-Identifier: GPL-2.0 */
/* An IDE drive as its commands see it. ide.c has the registers, ata.c and atapi.c the commands. */
#ifndef VMRUN_DEVICES_IDE_H
#define VMRUN_DEVICES_IDE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "../disk.h"

/* Status */
#define ST_BSY		0x80
#define ST_DRDY		0x40
#define ST_DF		0x20
#define ST_DSC		0x10
#define ST_DRQ		0x08
#define ST_ERR		0x01

/* Error */
#define ERR_UNC		0x40		/* the medium can't be read */
#define ERR_IDNF	0x10		/* no such sector */
#define ERR_ABRT	0x04		/* no such command, or not with these parameters */

/* Device */
#define DEV_SLAVE	0x10
#define DEV_LBA		0x40
#define DEV_ONES	0xa0		/* obsolete, and always set */

/* The sector count register while a packet command goes on */
#define REASON_COMMAND	0x01
#define REASON_TO_HOST	0x02

#define PACKET_SIZE	12
#define MULTIPLE_MAX	16		/* sectors in one block of READ MULTIPLE */
#define IDE_BUFFER	0x10000		/* at least any command's longest block */

/* Registers of which the one before the last value counts too (48-bit addresses). */
struct taskfile {
	uint8_t feature, count, low, mid, high;
};

struct drive {
	struct disk *disk;		/* NULL: there is no drive */
	const char *model;
	bool slave, alone;
	struct taskfile now, before;
	uint8_t device, status, error;
	bool intrq;

	/* The block that goes through the data register, and what is called at its end. */
	uint8_t *buf;
	uint32_t pos, len;
	void (*next)(struct drive *d);

	uint64_t offset, left;		/* bytes of the disk that are still to be transferred */
	uint32_t block;			/* at most that many at a time */
	uint8_t multiple;		/* sectors, for READ MULTIPLE; 0: not allowed */
	uint8_t heads, sectors;		/* of the geometry that addresses without LBA mean */
	bool lba48;

	uint8_t sense[3];		/* of the last packet command: key, code, qualifier */
};

/* How a command ends, or goes on. */
void drive_done(struct drive *d);
void drive_fail(struct drive *d, uint8_t error);
/* Hand the guest len bytes of buf, or take as many from it; then next. */
void drive_data(struct drive *d, uint32_t len, void (*next)(struct drive *d));
/* As after reset: what the registers tell about the kind of drive. */
void drive_signature(struct drive *d);

void ata_command(struct drive *d, uint8_t cmd);
void atapi_command(struct drive *d, uint8_t cmd);

/* What next may be, by number, for snapshots. */
#define DRIVE_STEPS	4
typedef void (*drive_step)(struct drive *d);
extern const drive_step ata_steps[DRIVE_STEPS], atapi_steps[DRIVE_STEPS];

/* Text in IDENTIFY's words, whose bytes are swapped. */
void identify_text(uint16_t *words, unsigned int n, const char *text);

#endif
