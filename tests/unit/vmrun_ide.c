// SPDX-License-Identifier: GPL-2.0
/* IDE disks and CD drives, and guests that do as they please. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "vmrun_env.h"

#define SECTORS		400		/* of the disk */
#define CD_SECTORS	64

/* Channel 0 has the disk, channel 1 the CD. */
#define DISK		0x1f0
#define CD		0x170
#define CONTROL		0x206		/* from either */
#define DISK_IRQ	14
#define CD_IRQ		15

enum { R_DATA, R_ERROR, R_COUNT, R_LOW, R_MID, R_HIGH, R_DEVICE, R_STATUS };

#define BSY		0x80
#define DRDY		0x40
#define DRQ		0x08
#define ERR		0x01

static char paths[2][32] = { "/tmp/vmrun-ide-XXXXXX", "/tmp/vmrun-ide-XXXXXX" };
static struct disk disks[2];

static uint8_t byte_at(uint64_t offset)
{
	return offset * 7 + offset / 512 * 13 + offset / 0x10000;
}

static int make_file(char *path, uint64_t size)
{
	int fd = mkstemp(path);
	uint64_t i;

	for (i = 0; i < size; i += 512) {
		uint8_t sector[512];
		unsigned int j;

		for (j = 0; j < 512; j++)
			sector[j] = byte_at(i + j);
		if (write(fd, sector, 512) != 512)
			return -1;
	}
	return close(fd);
}

static int setup(void **state)
{
	struct drive_options disk = { .path = paths[0], .ide = true };
	struct drive_options cd = { .path = paths[1], .cdrom = true };
	struct error err;

	strcpy(paths[0] + strlen(paths[0]) - 6, "XXXXXX");
	strcpy(paths[1] + strlen(paths[1]) - 6, "XXXXXX");
	if (make_file(paths[0], SECTORS * 512) || make_file(paths[1], CD_SECTORS * 2048) ||
	    disk_open(&disks[0], &disk, &err) || disk_open(&disks[1], &cd, &err))
		return -1;
	*state = fake_machine_with(disks, 2);
	return 0;
}

static int teardown(void **state)
{
	unsigned int i;

	fake_destroy(*state);
	for (i = 0; i < 2; i++) {
		disk_close(&disks[i]);
		unlink(paths[i]);
	}
	return 0;
}

#define ide_test(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

static uint8_t status(struct fake *f, uint16_t base)
{
	return inb(f, base + R_STATUS);
}

static void command28(struct fake *f, uint8_t cmd, uint32_t lba, uint8_t count)
{
	outb(f, DISK + R_DEVICE, 0xe0 | lba >> 24);
	outb(f, DISK + R_COUNT, count);
	outb(f, DISK + R_LOW, lba);
	outb(f, DISK + R_MID, lba >> 8);
	outb(f, DISK + R_HIGH, lba >> 16);
	outb(f, DISK + R_STATUS, cmd);
}

static void command48(struct fake *f, uint8_t cmd, uint64_t lba, uint16_t count)
{
	outb(f, DISK + R_DEVICE, 0xe0);
	outb(f, DISK + R_COUNT, count >> 8);
	outb(f, DISK + R_LOW, lba >> 24);
	outb(f, DISK + R_MID, lba >> 32);
	outb(f, DISK + R_HIGH, lba >> 40);
	outb(f, DISK + R_COUNT, count);
	outb(f, DISK + R_LOW, lba);
	outb(f, DISK + R_MID, lba >> 8);
	outb(f, DISK + R_HIGH, lba >> 16);
	outb(f, DISK + R_STATUS, cmd);
}

static void read_words(struct fake *f, uint16_t base, void *buf, unsigned int bytes)
{
	uint8_t *p = buf;
	unsigned int i;

	for (i = 0; i < bytes; i += 2) {
		uint16_t w = inw(f, base);

		memcpy(p + i, &w, 2);
	}
}

static void write_words(struct fake *f, uint16_t base, const void *buf, unsigned int bytes)
{
	unsigned int i;

	for (i = 0; i < bytes; i += 2) {
		uint16_t w;

		memcpy(&w, (const uint8_t *)buf + i, 2);
		outw(f, base, w);
	}
}

static void assert_disk_bytes(const uint8_t *buf, uint64_t offset, unsigned int len)
{
	unsigned int i;

	for (i = 0; i < len; i++)
		if (buf[i] != byte_at(offset + i))
			fail_msg("byte %#llx of the disk is wrong",
				 (unsigned long long)offset + i);
}

/* Data of so many sectors, in blocks with an interrupt each. */
static void assert_read(struct fake *f, uint64_t lba, unsigned int sectors, unsigned int per_block)
{
	uint8_t buf[16 * 512];

	while (sectors) {
		unsigned int n = sectors < per_block ? sectors : per_block;

		assert_int_equal(f->level[DISK_IRQ], 1);
		assert_int_equal(status(f, DISK), 0x58);
		assert_int_equal(f->level[DISK_IRQ], 0);
		read_words(f, DISK, buf, n * 512);
		assert_disk_bytes(buf, lba * 512, n * 512);
		lba += n;
		sectors -= n;
	}
	assert_int_equal(f->level[DISK_IRQ], 0);
	assert_int_equal(status(f, DISK), 0x50);
}

static void assert_fails(struct fake *f, uint16_t base, uint8_t error)
{
	assert_int_equal(status(f, base) & (BSY | DRDY | DRQ | ERR), DRDY | ERR);
	assert_int_equal(inb(f, base + R_ERROR) & error, error);
}

static void identify_tells_the_size(void **state)
{
	struct fake *f = *state;
	uint16_t w[256];
	char model[41] = "";
	int i;

	command28(f, 0xec, 0, 0);
	assert_int_equal(status(f, DISK), 0x58);
	read_words(f, DISK, w, 512);
	assert_int_equal(status(f, DISK), 0x50);
	assert_int_equal(w[60] | w[61] << 16, SECTORS);
	assert_int_equal(w[100] | w[101] << 16, SECTORS);
	assert_int_equal(w[49] & 0x300, 0x200);
	for (i = 0; i < 20; i++) {
		model[2 * i] = w[27 + i] >> 8;
		model[2 * i + 1] = w[27 + i];
	}
	assert_memory_equal(model, "VMRUN DISK          ", 20);
}

static void reads_by_lba28(void **state)
{
	struct fake *f = *state;

	command28(f, 0x20, 0, 1);
	assert_read(f, 0, 1, 1);
	command28(f, 0x20, 300, 100);
	assert_read(f, 300, 100, 1);
	command28(f, 0x20, 100, 0);			/* 256 */
	assert_read(f, 100, 256, 1);
}

static void reads_by_lba48(void **state)
{
	struct fake *f = *state;

	command48(f, 0x24, 8, 300);
	assert_read(f, 8, 300, 1);
	command48(f, 0x24, SECTORS - 1, 1);
	assert_read(f, SECTORS - 1, 1, 1);
}

static void reads_in_blocks(void **state)
{
	struct fake *f = *state;

	command28(f, 0xc4, 0, 8);			/* not allowed before SET MULTIPLE */
	assert_fails(f, DISK, 0x04);
	command28(f, 0xc6, 0, 3);
	assert_fails(f, DISK, 0x04);
	command28(f, 0xc6, 0, 32);
	assert_fails(f, DISK, 0x04);
	command28(f, 0xc6, 0, 8);
	assert_int_equal(status(f, DISK), 0x50);
	command28(f, 0xc4, 5, 20);
	assert_read(f, 5, 20, 8);
	command48(f, 0x29, 9, 17);
	assert_read(f, 9, 17, 8);
}

static void reads_by_cylinder(void **state)
{
	struct fake *f = *state;

	outb(f, DISK + R_DEVICE, 0xa0 | 3);		/* head 3 of 16 */
	outb(f, DISK + R_COUNT, 1);
	outb(f, DISK + R_LOW, 5);			/* from 1 */
	outb(f, DISK + R_MID, 0);
	outb(f, DISK + R_HIGH, 0);
	outb(f, DISK + R_STATUS, 0x20);
	assert_read(f, 3 * 63 + 4, 1, 1);
	outb(f, DISK + R_LOW, 0);
	outb(f, DISK + R_STATUS, 0x20);
	assert_fails(f, DISK, 0x10);
	outb(f, DISK + R_COUNT, 10);			/* another geometry: 4 heads, 10 sectors */
	outb(f, DISK + R_STATUS, 0x91);
	assert_int_equal(status(f, DISK), 0x50);
	outb(f, DISK + R_COUNT, 1);
	outb(f, DISK + R_LOW, 10);
	outb(f, DISK + R_MID, 2);
	outb(f, DISK + R_STATUS, 0x20);
	assert_read(f, (2 * 4 + 3) * 10 + 9, 1, 1);
}

static void writes_reach_the_file(void **state)
{
	struct fake *f = *state;
	uint8_t data[512], got[512];
	int fd = open(paths[0], O_RDONLY), i;

	for (i = 0; i < 512; i++)
		data[i] = ~i;
	command28(f, 0x30, 10, 2);
	assert_int_equal(status(f, DISK), 0x58);
	assert_int_equal(f->level[DISK_IRQ], 0);	/* not for the first block */
	write_words(f, DISK, data, 512);
	assert_int_equal(f->level[DISK_IRQ], 1);
	assert_int_equal(status(f, DISK), 0x58);
	write_words(f, DISK, data, 512);
	assert_int_equal(status(f, DISK), 0x50);
	for (i = 10; i < 12; i++) {
		assert_int_equal(pread(fd, got, 512, i * 512), 512);
		assert_memory_equal(got, data, 512);
	}
	assert_int_equal(pread(fd, got, 512, 12 * 512), 512);
	assert_disk_bytes(got, 12 * 512, 512);
	command28(f, 0xe7, 0, 0);
	assert_int_equal(status(f, DISK), 0x50);
	close(fd);
}

static void sectors_that_dont_exist(void **state)
{
	static const uint8_t commands[] = { 0x20, 0x30, 0x40, 0x24, 0x34, 0x42 };
	struct fake *f = *state;
	unsigned int i;

	for (i = 0; i < sizeof(commands); i++) {
		command28(f, commands[i], SECTORS, 1);
		assert_fails(f, DISK, 0x10);
		command28(f, commands[i], SECTORS - 1, 2);
		assert_fails(f, DISK, 0x10);
		command28(f, commands[i], 0xfffffff, 0);
		assert_fails(f, DISK, 0x10);
		command48(f, commands[i], 0xffffffffffff, 0xffff);
		assert_fails(f, DISK, 0x10);
		command48(f, commands[i], 0, 0);	/* 65,536, or 256 */
		if (commands[i] & 6)
			assert_fails(f, DISK, 0x10);
	}
}

static void a_reset_in_the_middle(void **state)
{
	struct fake *f = *state;
	uint8_t data[512] = "half a sector", got[512];

	command28(f, 0x30, 20, 4);
	write_words(f, DISK, data, 512);
	write_words(f, DISK, data, 200);
	outb(f, DISK + CONTROL, 0x04);
	assert_int_equal(inb(f, DISK + CONTROL), BSY);
	outb(f, DISK + R_STATUS, 0xec);			/* ignored */
	outb(f, DISK + CONTROL, 0);
	assert_int_equal(status(f, DISK), 0x50);
	assert_int_equal(inb(f, DISK + R_COUNT), 1);
	assert_int_equal(inb(f, DISK + R_MID), 0);
	assert_int_equal(inw(f, DISK), 0xffff);		/* there is no data */
	outw(f, DISK, 0);
	command28(f, 0x20, 20, 2);
	read_words(f, DISK, got, 512);
	assert_memory_equal(got, data, 512);
	read_words(f, DISK, got, 512);
	assert_disk_bytes(got, 21 * 512, 512);
}

static void a_command_in_the_middle(void **state)
{
	struct fake *f = *state;
	uint8_t data[256] = "";

	command28(f, 0x20, 0, 50);
	read_words(f, DISK, data, 100);
	command28(f, 0x20, 7, 1);
	assert_read(f, 7, 1, 1);
	command28(f, 0x30, 30, 1);
	write_words(f, DISK, data, 256);
	command28(f, 0xff, 0, 0);
	assert_fails(f, DISK, 0x04);
	outw(f, DISK, 0);				/* not the rest of the write */
	command28(f, 0x20, 30, 1);
	assert_read(f, 30, 1, 1);
}

static void the_other_drive_isnt_there(void **state)
{
	struct fake *f = *state;

	outb(f, DISK + R_DEVICE, 0xb0);
	assert_int_equal(status(f, DISK), 0);
	outb(f, DISK + R_STATUS, 0xec);
	assert_int_equal(status(f, DISK), 0);
	assert_int_equal(inw(f, DISK), 0xffff);
	outb(f, DISK + R_DEVICE, 0xa0);
	assert_int_equal(status(f, DISK), 0x50);
}

static void no_drives_no_answer(void **state)
{
	struct fake *f = fake_machine();
	unsigned int reg;

	(void)state;
	for (reg = 0; reg < 8; reg++) {
		outb(f, DISK + reg, 0);
		assert_int_equal(inb(f, DISK + reg), 0xff);
	}
	outb(f, DISK + CONTROL, 4);
	assert_int_equal(inb(f, DISK + CONTROL), 0xff);
	fake_destroy(f);
}

static void interrupts_can_be_off(void **state)
{
	struct fake *f = *state;

	outb(f, DISK + CONTROL, 0x02);
	command28(f, 0x20, 0, 1);
	assert_int_equal(f->level[DISK_IRQ], 0);
	assert_int_equal(inb(f, DISK + CONTROL), 0x58);
	outb(f, DISK + CONTROL, 0);
	assert_int_equal(f->level[DISK_IRQ], 1);
	inb(f, DISK + CONTROL);				/* the alternate status changes nothing */
	assert_int_equal(f->level[DISK_IRQ], 1);
	status(f, DISK);
	assert_int_equal(f->level[DISK_IRQ], 0);
}

static void read_only_disks_stay_as_they_are(void **state)
{
	struct fake *f;

	(void)state;
	disks[0].readonly = true;
	f = fake_machine_with(disks, 2);
	command28(f, 0x30, 0, 1);
	assert_fails(f, DISK, 0x04);
	command28(f, 0xe7, 0, 0);
	assert_int_equal(status(f, DISK), 0x50);
	fake_destroy(f);
}

static void io_errors_reach_the_guest(void **state)
{
	struct fake *f = *state;

	assert_int_equal(truncate(paths[0], 0), 0);	/* under the guest's feet */
	command28(f, 0x20, 9, 1);
	assert_fails(f, DISK, 0x40);
	assert_int_equal(inb(f, DISK + R_LOW), 9);
	close(disks[0].fd);
	disks[0].fd = -1;
	command28(f, 0x30, 9, 1);
	write_words(f, DISK, paths, sizeof(paths));
	while (status(f, DISK) & DRQ)
		outw(f, DISK, 0);
	assert_fails(f, DISK, 0x04);
	command28(f, 0xe7, 0, 0);
	assert_fails(f, DISK, 0x04);
}

/* ---- the CD ---------------------------------------------------------------------------------- */

static void packet(struct fake *f, uint16_t limit, const uint8_t *cdb)
{
	outb(f, CD + R_DEVICE, 0xa0);
	outb(f, CD + R_ERROR, 0);
	outb(f, CD + R_MID, limit);
	outb(f, CD + R_HIGH, limit >> 8);
	outb(f, CD + R_STATUS, 0xa0);
	assert_int_equal(inb(f, CD + R_COUNT) & 3, 1);
	assert_int_equal(status(f, CD) & (BSY | DRQ), DRQ);
	write_words(f, CD, cdb, 12);
}

/* All blocks of an answer. Return: its length. */
static unsigned int answer(struct fake *f, uint8_t *buf, unsigned int max, unsigned int limit)
{
	unsigned int len = 0;

	while (f->level[CD_IRQ] && status(f, CD) & DRQ) {
		unsigned int n = inb(f, CD + R_MID) | inb(f, CD + R_HIGH) << 8;

		assert_int_equal(inb(f, CD + R_COUNT) & 3, 2);
		assert_true(n && n <= limit && len + n <= max);
		read_words(f, CD, buf + len, n);
		len += n;
	}
	assert_int_equal(inb(f, CD + R_COUNT) & 3, 3);
	return len;
}

static void assert_sense(struct fake *f, uint8_t key, uint8_t code)
{
	static const uint8_t request[12] = { 0x03, 0, 0, 0, 18 };
	uint8_t sense[18];

	packet(f, 0xfffe, request);
	assert_int_equal(answer(f, sense, 18, 18), 18);
	assert_int_equal(sense[2], key);
	assert_int_equal(sense[12], code);
}

static void the_cd_is_a_cd(void **state)
{
	static const uint8_t inquiry[12] = { 0x12, 0, 0, 0, 36 }, capacity[12] = { 0x25 };
	struct fake *f = *state;
	uint8_t buf[64];
	uint16_t w[256];

	assert_int_equal(status(f, CD), 0);
	assert_int_equal(inb(f, CD + R_MID), 0x14);
	assert_int_equal(inb(f, CD + R_HIGH), 0xeb);
	outb(f, CD + R_STATUS, 0xec);
	assert_fails(f, CD, 0x04);
	assert_int_equal(inb(f, CD + R_MID), 0x14);
	outb(f, CD + R_STATUS, 0xa1);
	read_words(f, CD, w, 512);
	assert_int_equal(w[0] >> 8, 0x85);
	packet(f, 0xfffe, inquiry);
	assert_int_equal(answer(f, buf, sizeof(buf), 36), 36);
	assert_int_equal(buf[0], 5);
	packet(f, 0xfffe, capacity);
	assert_int_equal(answer(f, buf, sizeof(buf), 8), 8);
	assert_int_equal(buf[3], CD_SECTORS - 1);
	assert_int_equal(buf[6], 2048 >> 8);
}

static void the_cd_is_read(void **state)
{
	static const uint16_t limits[] = { 2048, 0xfffe, 0, 1, 0xffff, 3001, 2 };
	static uint8_t buf[40 * 2048];
	uint8_t read10[12] = { 0x28, 0, 0, 0, 0, 3, 0, 0, 40 };
	uint8_t read12[12] = { 0xa8, 0, 0, 0, 0, 10, 0, 0, 0, 2 };
	struct fake *f = *state;
	unsigned int i;

	for (i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		memset(buf, 0, sizeof(buf));
		packet(f, limits[i], read10);
		assert_int_equal(answer(f, buf, sizeof(buf),
					limits[i] > 1 ? limits[i] : 0xfffe), 40 * 2048);
		assert_disk_bytes(buf, 3 * 2048, 40 * 2048);
		assert_int_equal(status(f, CD), 0x50);
	}
	packet(f, 2048, read12);
	assert_int_equal(answer(f, buf, sizeof(buf), 2048), 2 * 2048);
	assert_disk_bytes(buf, 10 * 2048, 2 * 2048);
	read10[8] = 0;					/* none is no error */
	packet(f, 2048, read10);
	assert_int_equal(status(f, CD), 0x50);
}

static void packets_that_fail(void **state)
{
	static const uint8_t bad[][12] = {
		{ 0x28, 0, 0, 0, 0, CD_SECTORS, 0, 0, 1 },
		{ 0x28, 0, 0, 0, 0, CD_SECTORS - 1, 0, 0, 2 },
		{ 0x28, 0, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff },
		{ 0xa8, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff },
		{ 0xa8, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
	};
	static const uint8_t write10[12] = { 0x2a }, vpd[12] = { 0x12, 1, 0, 0, 36 };
	struct fake *f = *state;
	unsigned int i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		packet(f, 2048, bad[i]);
		assert_fails(f, CD, 0x50);
		assert_sense(f, 5, 0x21);
	}
	packet(f, 2048, write10);
	assert_fails(f, CD, 0x50);
	assert_sense(f, 5, 0x20);
	packet(f, 2048, vpd);
	assert_sense(f, 5, 0x24);
	assert_sense(f, 0, 0);				/* it is told once */
	outb(f, CD + R_ERROR, 1);			/* DMA */
	outb(f, CD + R_STATUS, 0xa0);
	assert_fails(f, CD, 0x04);
}

static void answers_are_as_long_as_asked_for(void **state)
{
	uint8_t inquiry[12] = { 0x12, 0, 0, 0, 5 }, toc[12] = { 0x43, 0, 0, 0, 0, 0, 0, 0, 12 };
	struct fake *f = *state;
	uint8_t buf[64];

	packet(f, 0xfffe, inquiry);
	assert_int_equal(answer(f, buf, 64, 5), 5);
	inquiry[4] = 0;
	packet(f, 0xfffe, inquiry);
	assert_int_equal(status(f, CD), 0x50);
	packet(f, 0xfffe, toc);
	assert_int_equal(answer(f, buf, 64, 12), 12);
	assert_int_equal(buf[1], 18);
	toc[6] = 0xaa;					/* the lead-out alone, as time */
	toc[1] = 2;
	packet(f, 0xfffe, toc);
	assert_int_equal(answer(f, buf, 64, 12), 12);
	assert_int_equal(buf[6], 0xaa);
	assert_int_equal(buf[9] * 60 * 75 + buf[10] * 75 + buf[11], CD_SECTORS + 150);
	toc[6] = 9;
	packet(f, 0xfffe, toc);
	assert_sense(f, 5, 0x24);
}

/* ---- images ---------------------------------------------------------------------------------- */

static void images_that_cant_be_used(void **state)
{
	struct drive_options o = { .path = paths[0] };
	struct disk d;
	struct error err;

	(void)state;
	assert_int_equal(disk_open(&d, &o, &err), -1);	/* the machine has it */
	assert_non_null(strstr(err.text, "in use"));
	o.path = "/dev/null";
	assert_int_equal(disk_open(&d, &o, &err), -1);
	assert_non_null(strstr(err.text, "block device"));
	o.path = "/nonexistent";
	assert_int_equal(disk_open(&d, &o, &err), -1);
	o.path = paths[1];
	o.readonly = true;
	assert_int_equal(disk_open(&d, &o, &err), 0);	/* readers may share */
	disk_close(&d);
	assert_int_equal(truncate(paths[1], 100), 0);
	assert_int_equal(disk_open(&d, &o, &err), 0);	/* part of a sector, when only read */
	assert_int_equal(d.size, 512);
	disk_close(&d);
	assert_int_equal(truncate(paths[1], 0), 0);
	assert_int_equal(disk_open(&d, &o, &err), -1);
	assert_non_null(strstr(err.text, "smaller"));
}

static void the_last_part_of_a_sector(void **state)
{
	struct drive_options o = { .path = paths[1], .cdrom = true };
	uint8_t buf[4096];
	struct disk d;
	struct error err;

	(void)state;
	assert_int_equal(truncate(paths[1], 2048 + 100), 0);
	assert_int_equal(disk_open(&d, &o, &err), 0);
	assert_int_equal(d.size, 4096);
	assert_true(disk_read(&d, 0, buf, 4096));
	assert_disk_bytes(buf, 0, 2148);
	assert_int_equal(buf[2148] | buf[4095], 0);
	assert_int_equal(truncate(paths[1], 2048), 0);
	assert_false(disk_read(&d, 0, buf, 4096));	/* it has become shorter */
	disk_close(&d);
}

static void too_many_drives(void **state)
{
	struct disk many[5] = { disks[0], disks[0], disks[0], disks[0], disks[0] };
	struct fake *f = fake_machine_with(many, 4);

	(void)state;
	outb(f, CD + R_DEVICE, 0xb0);
	assert_int_equal(status(f, CD), 0x50);
	fake_destroy(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ide_test(identify_tells_the_size),
		ide_test(reads_by_lba28),
		ide_test(reads_by_lba48),
		ide_test(reads_in_blocks),
		ide_test(reads_by_cylinder),
		ide_test(writes_reach_the_file),
		ide_test(sectors_that_dont_exist),
		ide_test(a_reset_in_the_middle),
		ide_test(a_command_in_the_middle),
		ide_test(the_other_drive_isnt_there),
		ide_test(no_drives_no_answer),
		ide_test(interrupts_can_be_off),
		ide_test(read_only_disks_stay_as_they_are),
		ide_test(io_errors_reach_the_guest),
		ide_test(the_cd_is_a_cd),
		ide_test(the_cd_is_read),
		ide_test(packets_that_fail),
		ide_test(answers_are_as_long_as_asked_for),
		ide_test(images_that_cant_be_used),
		ide_test(the_last_part_of_a_sector),
		ide_test(too_many_drives),
	};

	return cmocka_run_group_tests_name("vmrun IDE", tests, NULL, NULL);
}
