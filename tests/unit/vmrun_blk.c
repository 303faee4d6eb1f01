// SPDX-License-Identifier: GPL-2.0
/* virtio disks, by io_uring and by threads: what is asked of them, and what goes wrong. */
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmrun_driver.h"

#define SECTORS		2048U
#define HEADER_AT	BUFFERS_AT
#define STATUS_AT	(BUFFERS_AT + 0x800)
#define DATA_AT		(BUFFERS_AT + 0x1000)
#define NO_STATUS	0xee

static char path[] = "/tmp/vmrun_blk.XXXXXX";
static struct disk disks[2];
static int image = -1;			/* the same file, past the device */
static bool threads;

static uint8_t pattern(uint64_t offset)
{
	return offset / 512 * 7 + offset % 251;
}

static int setup(void **state)
{
	struct drive_options o = { .path = path, .threads = threads };
	uint8_t bytes[512];
	struct error err;
	unsigned int i, k;

	strcpy(path + sizeof(path) - 7, "XXXXXX");
	image = mkstemp(path);
	for (i = 0; i < SECTORS; i++) {
		for (k = 0; k < 512; k++)
			bytes[k] = pattern(i * 512ULL + k);
		if (write(image, bytes, 512) != 512)
			return -1;
	}
	if (disk_open(&disks[0], &o, &err))
		return -1;
	*state = fake_machine_with(disks, 1);
	return 0;
}

static int teardown(void **state)
{
	fake_destroy(*state);
	disk_close(&disks[0]);
	close(image);
	unlink(path);
	return 0;
}

static void set_header(struct fake *f, uint32_t type, uint64_t sector)
{
	struct virtio_blk_outhdr h = { .type = type, .sector = sector };

	assert_true(mem_write(&f->mem, HEADER_AT, &h, sizeof(h)));
	*(uint8_t *)mem_at(&f->mem, STATUS_AT, 1) = NO_STATUS;
}

static uint8_t get_status(struct fake *f)
{
	return *(uint8_t *)mem_at(&f->mem, STATUS_AT, 1);
}

/* One request with its data at DATA_AT. Return: the status. */
static uint8_t ask(struct driver *d, uint32_t type, uint64_t sector, uint32_t len, bool in)
{
	struct buffer b[3] = { { HEADER_AT, 16, false }, { DATA_AT, len, in }, { STATUS_AT, 1, true } };

	set_header(d->f, type, sector);
	if (!len)
		b[1] = b[2];
	driver_do(d, 0, b, len ? 3 : 2);
	return get_status(d->f);
}

static void assert_pattern(struct fake *f, uint64_t at, uint64_t offset, uint32_t len)
{
	const uint8_t *p = mem_at(&f->mem, at, len);
	uint32_t i;

	for (i = 0; i < len; i++)
		assert_int_equal(p[i], pattern(offset + i));
}

static void assert_image(uint64_t offset, uint8_t byte, size_t len)
{
	uint8_t got[512];

	for (; len; len -= 512, offset += 512) {
		size_t i;

		assert_int_equal(pread(image, got, 512, offset), 512);
		for (i = 0; i < 512; i++)
			assert_int_equal(got[i], byte);
	}
}

/* ---- what is asked of it --------------------------------------------------------------------- */

static const uint64_t all_features[] = { SPLIT, SPLIT | EVENTS, PACKED | EVENTS };

static void reads_and_writes(void **state)
{
	struct fake *f = *state;
	struct driver d;
	unsigned int i;

	driver_find(&d, f, VIRTIO_ID_BLOCK, 0);
	assert_int_equal(reg_get(&d, CONFIG, 8), SECTORS);
	for (i = 0; i < 3; i++) {
		driver_start(&d, all_features[i] | 1ULL << VIRTIO_BLK_F_FLUSH, 64);
		assert_int_equal(ask(&d, VIRTIO_BLK_T_IN, 10, 4096, true), VIRTIO_BLK_S_OK);
		assert_pattern(f, DATA_AT, 5120, 4096);
		assert_int_equal(ask(&d, VIRTIO_BLK_T_IN, SECTORS - 1, 512, true), VIRTIO_BLK_S_OK);
		memset(mem_at(&f->mem, DATA_AT, 1024), 0x30 + i, 1024);
		assert_int_equal(ask(&d, VIRTIO_BLK_T_OUT, 500 + i, 1024, false), VIRTIO_BLK_S_OK);
		assert_image((500 + i) * 512, 0x30 + i, 1024);
		assert_int_equal(ask(&d, VIRTIO_BLK_T_FLUSH, 0, 0, false), VIRTIO_BLK_S_OK);
		assert_int_equal(ask(&d, VIRTIO_BLK_T_IN, 0, 0, true), VIRTIO_BLK_S_OK);
	}
}

/* Where header, data and status begin and end is nobody's business but theirs. */
static void any_framing(void **state)
{
	struct fake *f = *state;
	struct buffer b[] = {
		{ HEADER_AT, 3, false }, { HEADER_AT + 3, 13, false },
		{ DATA_AT, 100, true }, { DATA_AT + 100, 411, true }, { DATA_AT + 511, 2, true },
	};
	struct buffer w[] = { { DATA_AT + 0x1000, 16 + 512, false }, { STATUS_AT, 1, true } };
	struct virtio_blk_outhdr h = { .type = VIRTIO_BLK_T_OUT, .sector = 9 };
	struct driver d;

	driver_find(&d, f, VIRTIO_ID_BLOCK, 0);
	driver_start(&d, SPLIT, 8);
	set_header(f, VIRTIO_BLK_T_IN, 33);
	memset(mem_at(&f->mem, DATA_AT, 513), 0xee, 513);
	assert_int_equal(driver_do(&d, 0, b, 5), 513);
	assert_pattern(f, DATA_AT, 33 * 512, 512);
	assert_int_equal(*(uint8_t *)mem_at(&f->mem, DATA_AT + 512, 1), VIRTIO_BLK_S_OK);
	memset(mem_at(&f->mem, DATA_AT + 0x1000, 600), 0x77, 600);
	mem_write(&f->mem, DATA_AT + 0x1000, &h, sizeof(h));
	assert_int_equal(driver_do(&d, 0, w, 2), 1);
	assert_int_equal(get_status(f), VIRTIO_BLK_S_OK);
	assert_image(9 * 512, 0x77, 512);
}

static void serial_number(void **state)
{
	struct fake *f = *state;
	struct driver d;

	driver_find(&d, f, VIRTIO_ID_BLOCK, 0);
	driver_start(&d, SPLIT, 8);
	assert_int_equal(ask(&d, VIRTIO_BLK_T_GET_ID, 0, 20, true), VIRTIO_BLK_S_OK);
	assert_string_equal(mem_at(&f->mem, DATA_AT, 20), "vmrun-disk0");
	memset(mem_at(&f->mem, DATA_AT, 20), 'x', 20);
	assert_int_equal(ask(&d, VIRTIO_BLK_T_GET_ID, 0, 5, true), VIRTIO_BLK_S_OK);
	assert_memory_equal(mem_at(&f->mem, DATA_AT, 6), "vmrunx", 6);
}

static uint8_t range(struct driver *d, uint32_t type, uint64_t sector, uint32_t n, uint32_t flags)
{
	struct virtio_blk_discard_write_zeroes r = { sector, n, flags };

	mem_write(&d->f->mem, DATA_AT, &r, sizeof(r));
	return ask(d, type, 0, sizeof(r), false);
}

static void discard_and_zeroes(void **state)
{
	struct fake *f = *state;
	struct stat before, after;
	struct driver d;

	driver_find(&d, f, VIRTIO_ID_BLOCK, 0);
	driver_start(&d, PACKED, 8);
	assert_int_equal(range(&d, VIRTIO_BLK_T_WRITE_ZEROES, 3, 2, 0), VIRTIO_BLK_S_OK);
	assert_image(3 * 512, 0, 1024);
	assert_int_equal(range(&d, VIRTIO_BLK_T_WRITE_ZEROES, 8, 16, 1), VIRTIO_BLK_S_OK);
	assert_image(8 * 512, 0, 16 * 512);
	fsync(image);
	fstat(image, &before);
	if (driver_offered(&d) & 1ULL << VIRTIO_BLK_F_DISCARD) {
		assert_int_equal(range(&d, VIRTIO_BLK_T_DISCARD, 512, 1024, 0), VIRTIO_BLK_S_OK);
		fstat(image, &after);
		assert_true(after.st_blocks < before.st_blocks);
		assert_image(512 * 512, 0, 1024 * 512);
		assert_int_equal(range(&d, VIRTIO_BLK_T_DISCARD, 0, 8, 1), VIRTIO_BLK_S_UNSUPP);
	}
	fstat(image, &after);
	assert_int_equal(after.st_size, before.st_size);
	assert_int_equal(range(&d, VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 2), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(range(&d, VIRTIO_BLK_T_WRITE_ZEROES, SECTORS - 1, 2, 0),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(range(&d, VIRTIO_BLK_T_WRITE_ZEROES, UINT64_MAX, 2, 0),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(range(&d, VIRTIO_BLK_T_WRITE_ZEROES, 0, UINT32_MAX, 0),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(ask(&d, VIRTIO_BLK_T_WRITE_ZEROES, 0, 32, false), VIRTIO_BLK_S_IOERR);
	assert_int_equal(range(&d, VIRTIO_BLK_T_WRITE_ZEROES, 0, 0, 0), VIRTIO_BLK_S_OK);
}

/* A full ring at a time, each request told by its own status. */
static void many_at_once(void **state)
{
	struct fake *f = *state;
	unsigned int round, i, left;
	struct driver d;

	driver_find(&d, f, VIRTIO_ID_BLOCK, 0);
	for (round = 0; round < 20; round++) {
		if (round % 10 == 0)
			driver_start(&d, round ? PACKED | EVENTS : SPLIT, 256);
		for (i = 0; i < 64; i++) {
			uint64_t at = BUFFERS_AT + i * 0x800;
			struct virtio_blk_outhdr h = { .sector = 1000 + i * 3, .type = round & 1 };
			struct buffer b[3] = {
				{ at, 16, false }, { at + 0x200, 512, !(round & 1) },
				{ at + 16, 1, true },
			};

			mem_write(&f->mem, at, &h, sizeof(h));
			if (round & 1)
				memset(mem_at(&f->mem, at + 0x200, 512), round + i, 512);
			driver_add(&d, 0, b, 3);
		}
		driver_kick(&d, 0);
		for (left = 64; left;) {
			struct error err;
			unsigned int id;
			uint32_t len;

			if (driver_used(&d, 0, &id, &len))
				left--;
			else
				assert_int_equal(loop_once(&f->loop, 10000, &err), 0);
		}
		for (i = 0; i < 64; i++) {
			const uint8_t *p = mem_at(&f->mem, BUFFERS_AT + i * 0x800, 0x800);

			assert_int_equal(p[16], VIRTIO_BLK_S_OK);
			if (round > 1 && !(round & 1))
				assert_int_equal(p[0x200], (uint8_t)(round - 1 + i));
		}
	}
}

/* ---- what goes wrong ------------------------------------------------------------------------- */

static void requests_that_are_wrong(void **state)
{
	struct fake *f = *state;
	struct buffer none[] = { { HEADER_AT, 16, false } }, small[] = {
		{ HEADER_AT, 15, false }, { STATUS_AT, 1, true },
	};
	struct driver d;

	driver_find(&d, f, VIRTIO_ID_BLOCK, 0);
	driver_start(&d, SPLIT, 8);
	assert_int_equal(ask(&d, VIRTIO_BLK_T_IN, SECTORS, 512, true), VIRTIO_BLK_S_IOERR);
	assert_int_equal(ask(&d, VIRTIO_BLK_T_IN, SECTORS - 1, 1024, true), VIRTIO_BLK_S_IOERR);
	assert_int_equal(ask(&d, VIRTIO_BLK_T_IN, UINT64_MAX, 512, true), VIRTIO_BLK_S_IOERR);
	assert_int_equal(ask(&d, VIRTIO_BLK_T_IN, 1ULL << 55, 512, true), VIRTIO_BLK_S_IOERR);
	assert_int_equal(ask(&d, VIRTIO_BLK_T_IN, 0, 513, true), VIRTIO_BLK_S_IOERR);
	assert_int_equal(ask(&d, VIRTIO_BLK_T_OUT, 0, 100, false), VIRTIO_BLK_S_IOERR);
	assert_int_equal(ask(&d, 0x12345678, 0, 512, true), VIRTIO_BLK_S_UNSUPP);
	assert_pattern(f, DATA_AT, 0, 0);
	driver_add(&d, 0, none, 1);
	driver_kick(&d, 0);
	assert_int_equal(status(&d), STARTED | VIRTIO_CONFIG_S_NEEDS_RESET);
	driver_start(&d, SPLIT, 8);
	driver_add(&d, 0, small, 2);
	driver_kick(&d, 0);
	assert_int_equal(status(&d), STARTED | VIRTIO_CONFIG_S_NEEDS_RESET);
	driver_start(&d, SPLIT, 8);
	assert_int_equal(ask(&d, VIRTIO_BLK_T_IN, 0, 512, true), VIRTIO_BLK_S_OK);
}

static void read_only(void **state)
{
	struct fake *f;
	struct driver d;

	(void)state;
	disks[1] = disks[0];
	disks[1].readonly = true;
	f = fake_machine_with(&disks[1], 1);
	driver_find(&d, f, VIRTIO_ID_BLOCK, 0);
	assert_true(driver_offered(&d) & 1ULL << VIRTIO_BLK_F_RO);
	driver_start(&d, SPLIT, 8);
	assert_int_equal(ask(&d, VIRTIO_BLK_T_OUT, 5, 512, false), VIRTIO_BLK_S_IOERR);
	assert_int_equal(range(&d, VIRTIO_BLK_T_WRITE_ZEROES, 5, 1, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(range(&d, VIRTIO_BLK_T_DISCARD, 5, 1, 0), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(ask(&d, VIRTIO_BLK_T_IN, 5, 512, true), VIRTIO_BLK_S_OK);
	assert_pattern(f, DATA_AT, 5 * 512, 512);
	fake_destroy(f);
}

/* The host can't write beyond a limit, as on a full disk, nor read what isn't there any more. */
static void host_errors(void **state)
{
	struct rlimit before, limit;
	struct fake *f = *state;
	struct driver d;

	driver_find(&d, f, VIRTIO_ID_BLOCK, 0);
	driver_start(&d, SPLIT, 8);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &before);
	limit = before;
	limit.rlim_cur = 512 * 100 + 100;
	setrlimit(RLIMIT_FSIZE, &limit);
	assert_int_equal(ask(&d, VIRTIO_BLK_T_OUT, 99, 512, false), VIRTIO_BLK_S_OK);
	assert_int_equal(ask(&d, VIRTIO_BLK_T_OUT, 98, 1024 + 512, false), VIRTIO_BLK_S_IOERR);
	assert_int_equal(ask(&d, VIRTIO_BLK_T_OUT, 200, 512, false), VIRTIO_BLK_S_IOERR);
	setrlimit(RLIMIT_FSIZE, &before);
	assert_int_equal(ftruncate(image, 512 * 300), 0);
	assert_int_equal(ask(&d, VIRTIO_BLK_T_IN, 299, 512, true), VIRTIO_BLK_S_OK);
	assert_int_equal(ask(&d, VIRTIO_BLK_T_IN, 299, 1024, true), VIRTIO_BLK_S_IOERR);
	assert_int_equal(ask(&d, VIRTIO_BLK_T_IN, 400, 512, true), VIRTIO_BLK_S_IOERR);
}

/* A reset waits for what goes on, and after it nothing in memory changes. */
static void reset_amid_requests(void **state)
{
	struct fake *f = *state;
	unsigned int round, i;
	uint8_t *copy = malloc(FAKE_MEM);
	struct driver d;

	driver_find(&d, f, VIRTIO_ID_BLOCK, 0);
	for (round = 0; round < 20; round++) {
		driver_start(&d, round & 1 ? PACKED : SPLIT, 256);
		set_header(f, VIRTIO_BLK_T_IN, round);
		for (i = 0; i < 64; i++) {
			struct buffer b[3] = {
				{ HEADER_AT, 16, false }, { DATA_AT + i * 0x1000, 4096, true },
				{ STATUS_AT, 1, true },
			};

			driver_add(&d, 0, b, 3);
		}
		driver_kick(&d, 0);
		reg_put(&d, VIRTIO_PCI_COMMON_STATUS, 1, 0);
		memcpy(copy, f->mem.base, FAKE_MEM);
		usleep(1000);
		fake_serve(f);
		assert_memory_equal(copy, f->mem.base, FAKE_MEM);
	}
	free(copy);
}

/* A runner that is killed: what the guest was told to be flushed is there. */
static void write_for_ever(struct driver *d, int told)
{
	uint32_t n;

	for (n = 1;; n++) {
		uint32_t *p = mem_at(&d->f->mem, DATA_AT, 512), i;

		for (i = 0; i < 128; i++)
			p[i] = n;
		if (ask(d, VIRTIO_BLK_T_OUT, n % SECTORS, 512, false) ||
		    ask(d, VIRTIO_BLK_T_FLUSH, 0, 0, false) ||
		    write(told, &n, sizeof(n)) != sizeof(n))
			_exit(1);
	}
}

static void killed(void **state)
{
	uint32_t n, last, got[128], back;
	unsigned int round;

	(void)state;
	for (round = 0; round < 8; round++) {
		int told[2];
		pid_t pid;

		assert_int_equal(pipe(told), 0);
		pid = fork();
		if (!pid) {
			struct fake *f = fake_machine_with(disks, 1);
			struct driver d;

			driver_find(&d, f, VIRTIO_ID_BLOCK, 0);
			driver_start(&d, SPLIT | 1ULL << VIRTIO_BLK_F_FLUSH, 8);
			write_for_ever(&d, told[1]);
		}
		close(told[1]);
		usleep(20000 + round * 7777);
		for (last = 0; last < 2; )	/* at least something is to be checked */
			if (read(told[0], &last, sizeof(last)) != sizeof(last))
				fail_msg("the child ended by itself");
		kill(pid, SIGKILL);
		while (read(told[0], &n, sizeof(n)) == sizeof(n))
			last = n;
		close(told[0]);
		waitpid(pid, NULL, 0);
		for (back = 0; back < 100 && back < last; back++) {
			n = last - back;
			assert_int_equal(pread(image, got, 512, n % SECTORS * 512), 512);
			assert_int_equal(got[0], n);
			assert_int_equal(got[127], n);
		}
	}
}

static int by_uring(void **state)
{
	threads = false;
	return setup(state);
}

static int by_threads(void **state)
{
	threads = true;
	return setup(state);
}

#define test(fn) { #fn, fn, by_uring, teardown, NULL }, \
	{ #fn "_by_threads", fn, by_threads, teardown, NULL }

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(reads_and_writes),
		test(any_framing),
		test(serial_number),
		test(discard_and_zeroes),
		test(many_at_once),
		test(requests_that_are_wrong),
		test(read_only),
		test(host_errors),
		test(reset_amid_requests),
		test(killed),
	};

	return cmocka_run_group_tests_name("vmrun disks", tests, NULL, NULL);
}
