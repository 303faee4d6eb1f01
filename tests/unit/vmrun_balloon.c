// SPDX-License-Identifier: GPL-2.0
/* The memory balloon: pages that are given up, reported, or lie nowhere; statistics. */
#include <linux/virtio_balloon.h>
#include <stdio.h>

#include "virtio.h"
#include "vmrun_driver.h"

#define STATS		(1ULL << VIRTIO_BALLOON_F_STATS_VQ)
#define REPORTING	(1ULL << VIRTIO_BALLOON_F_REPORTING)
#define PFNS_AT		BUFFERS_AT
#define STATS_AT	(BUFFERS_AT + 0x8000)
#define PAGES_AT	0x60000U

static const uint64_t all_features[] = { SPLIT, PACKED | EVENTS };

static void fill(struct driver *d, unsigned int pages)
{
	memset(mem_at(&d->f->mem, PAGES_AT, pages * 4096), 0x5a, pages * 4096);
}

static uint8_t byte_at(struct driver *d, uint64_t addr)
{
	return *(uint8_t *)mem_at(&d->f->mem, addr, 1);
}

static void inflates(void **state)
{
	struct driver d;
	unsigned int i, j;

	driver_find(&d, *state, VIRTIO_ID_BALLOON, 0);
	for (i = 0; i < 2; i++) {
		struct buffer b = { PFNS_AT, 5 * 4, false };
		uint32_t *pfns = mem_at(&d.f->mem, PFNS_AT, 20);

		driver_start(&d, all_features[i], 8);
		fill(&d, 6);
		pfns[0] = PAGES_AT >> 12;
		pfns[1] = (PAGES_AT >> 12) + 2;
		pfns[2] = 0xffffffff;			/* nowhere */
		pfns[3] = FAKE_MEM >> 12;
		pfns[4] = (PAGES_AT >> 12) + 4;
		driver_do(&d, 0, &b, 1);
		for (j = 0; j < 6; j++) {
			uint8_t expected = j % 2 ? 0x5a : 0;

			assert_int_equal(byte_at(&d, PAGES_AT + j * 4096), expected);
			assert_int_equal(byte_at(&d, PAGES_AT + j * 4096 + 4095), expected);
		}
		driver_do(&d, 1, &b, 1);		/* deflates: nothing to do */
		assert_int_equal(status(&d), STARTED);
		/* Odd bytes at the end are none of a page's number. */
		b.len = 3;
		driver_do(&d, 0, &b, 1);
		b.len = 4096 * 4 + 4;
		driver_add(&d, 0, &b, 1);
		driver_kick(&d, 0);
		assert_int_equal(status(&d), STARTED | VIRTIO_CONFIG_S_NEEDS_RESET);
	}
}

/* Whole pages only; the queue's number depends on the features. */
static void takes_reports(void **state)
{
	struct driver d;
	unsigned int i;

	driver_find(&d, *state, VIRTIO_ID_BALLOON, 0);
	for (i = 0; i < 2; i++) {
		struct buffer b[] = {
			{ PAGES_AT, 8192, true }, { PAGES_AT + 3 * 4096 + 1, 8191, true },
			{ PAGES_AT + 5 * 4096, 4095, true },
		};

		driver_start(&d, SPLIT | REPORTING | (i ? STATS : 0), 8);
		fill(&d, 6);
		driver_do(&d, 2 + i, b, 3);
		assert_int_equal(byte_at(&d, PAGES_AT), 0);
		assert_int_equal(byte_at(&d, PAGES_AT + 8191), 0);
		assert_int_equal(byte_at(&d, PAGES_AT + 8192), 0x5a);
		assert_int_equal(byte_at(&d, PAGES_AT + 3 * 4096), 0x5a);
		assert_int_equal(byte_at(&d, PAGES_AT + 4 * 4096), 0);
		assert_int_equal(byte_at(&d, PAGES_AT + 5 * 4096), 0x5a);
	}
}

static void put_stat(struct driver *d, unsigned int i, uint16_t tag, uint64_t value)
{
	struct virtio_balloon_stat s = { tag, value };

	memcpy(mem_at(&d->f->mem, STATS_AT + i * sizeof(s), sizeof(s)), &s, sizeof(s));
}

static char *printed(struct fake *f)
{
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	f->balloon.print(f->balloon.opaque, out);
	fclose(out);
	return text;
}

static void shows_statistics(void **state)
{
	struct buffer b = { STATS_AT, 3 * sizeof(struct virtio_balloon_stat), false };
	struct fake *f = *state;
	unsigned int id;
	struct driver d;
	uint32_t len;
	char *text;

	driver_find(&d, f, VIRTIO_ID_BALLOON, 0);
	driver_start(&d, SPLIT | STATS, 8);
	put_stat(&d, 0, VIRTIO_BALLOON_S_MEMFREE, 12345678);
	put_stat(&d, 1, 0xffff, 1);
	put_stat(&d, 2, VIRTIO_BALLOON_S_AVAIL, 87654321);
	driver_add(&d, 2, &b, 1);
	driver_kick(&d, 2);
	assert_false(driver_used(&d, 2, &id, &len));	/* kept until it is asked again */
	text = printed(f);
	assert_non_null(strstr(text, "free                   12345678"));
	assert_non_null(strstr(text, "87654321"));
	assert_null(strstr(text, "total"));
	free(text);
	assert_true(driver_used(&d, 2, &id, &len));
	free(printed(f));				/* it hasn't answered: nothing to ask by */
	assert_false(driver_used(&d, 2, &id, &len));
	/* Two at once: the first comes back. */
	driver_add(&d, 2, &b, 1);
	driver_add(&d, 2, &b, 1);
	driver_kick(&d, 2);
	assert_true(driver_used(&d, 2, &id, &len));
	assert_false(driver_used(&d, 2, &id, &len));
	driver_negotiate(&d, SPLIT | STATS);
	text = printed(f);
	assert_null(strstr(text, "free "));
	free(text);
}

static void is_asked(void **state)
{
	struct fake *f = *state;
	struct driver d;

	driver_find(&d, f, VIRTIO_ID_BALLOON, 0);
	assert_false(f->balloon.set(f->balloon.opaque, 1 << 20));
	driver_start(&d, SPLIT, 8);
	driver_use_msix(&d);
	f->messages = 0;
	assert_true(f->balloon.set(f->balloon.opaque, 2 << 20));
	assert_int_equal(f->messages, 1);
	assert_int_equal(reg_get(&d, CONFIG, 4), 512);
	reg_put(&d, CONFIG + 4, 4, 100);
	assert_int_equal(reg_get(&d, CONFIG + 4, 4), 100);
	reg_put(&d, CONFIG, 4, 77);			/* what is wanted isn't the driver's to say */
	assert_int_equal(reg_get(&d, CONFIG, 4), 512);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		machine_test(inflates),
		machine_test(takes_reports),
		machine_test(shows_statistics),
		machine_test(is_asked),
	};

	return cmocka_run_group_tests_name("vmrun balloon", tests, NULL, NULL);
}
