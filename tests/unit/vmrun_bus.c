// SPDX-License-Identifier: GPL-2.0
/* The bus: who gets an access, in which pieces, and what nobody gets. */
#include <stdio.h>

#include "vmrun_env.h"

struct probe {
	unsigned int calls;
	struct { uint64_t offset, value; unsigned int len; bool write; } last[16];
	uint64_t answer;
};

static void probe_access(void *opaque, struct bus_access *a)
{
	struct probe *p = opaque;

	assert_true(p->calls < 16);
	p->last[p->calls].offset = a->offset;
	p->last[p->calls].len = a->len;
	p->last[p->calls].write = a->write;
	p->last[p->calls].value = bus_value(a);
	p->calls++;
	if (!a->write)
		bus_return(a, p->answer);
}

static void add(struct bus *bus, uint64_t start, uint64_t size, unsigned int width, struct probe *p)
{
	struct error err = { "" };

	if (bus_add(bus, start, size, width, probe_access, p, "probe", &err))
		fail_msg("%s", err.text);
}

static uint64_t rd(struct bus *bus, uint64_t addr, unsigned int len)
{
	uint8_t data[8] = { 0 };
	uint64_t value = 0;

	bus_do(bus, addr, data, len, false);
	memcpy(&value, data, len);
	return value;
}

static void reads_of_nothing_are_ones(void **state)
{
	struct bus bus = { .name = "port" };

	(void)state;
	assert_int_equal(rd(&bus, 0x1234, 1), 0xff);
	assert_int_equal(rd(&bus, 0x1234, 4), 0xffffffff);
	assert_true(rd(&bus, UINT64_MAX, 8) == UINT64_MAX);
}

static void delivers_to_the_range(void **state)
{
	struct bus bus = { .name = "port" };
	struct probe a = { .answer = 0x11 }, b = { .answer = 0x2222 };
	uint8_t data[2] = { 0xcd, 0xab };

	(void)state;
	add(&bus, 0x20, 2, 1, &b);
	add(&bus, 0x10, 16, 4, &a);
	assert_int_equal(rd(&bus, 0x10, 1), 0x11);
	assert_int_equal(rd(&bus, 0x1f, 1), 0x11);
	assert_int_equal(a.last[1].offset, 15);
	assert_int_equal(rd(&bus, 0x20, 1), 0x22);
	assert_int_equal(rd(&bus, 0x22, 1), 0xff);
	assert_int_equal(rd(&bus, 0x0f, 1), 0xff);
	bus_do(&bus, 0x12, data, 2, true);
	assert_int_equal(a.calls, 3);
	assert_int_equal(a.last[2].value, 0xabcd);
	assert_int_equal(a.last[2].len, 2);
	assert_true(a.last[2].write);
	bus_destroy(&bus);
}

static void wide_accesses_come_in_bytes(void **state)
{
	struct bus bus = { .name = "port" };
	struct probe narrow = { .answer = 0x5a };
	uint8_t data[4] = { 1, 2, 3, 4 };

	(void)state;
	add(&bus, 0x100, 8, 1, &narrow);
	bus_do(&bus, 0x102, data, 4, true);
	assert_int_equal(narrow.calls, 4);
	assert_int_equal(narrow.last[0].offset, 2);
	assert_int_equal(narrow.last[3].offset, 5);
	assert_int_equal(narrow.last[3].value, 4);
	bus_destroy(&bus);
}

static void accesses_across_the_end_are_split(void **state)
{
	struct bus bus = { .name = "port" };
	struct probe p = { .answer = 0x5a };

	(void)state;
	add(&bus, 0x100, 4, 4, &p);
	assert_int_equal(rd(&bus, 0x102, 4), 0xffff5a5a);
	assert_int_equal(p.calls, 2);
	bus_destroy(&bus);
}

static void an_access_before_a_range_misses_it(void **state)
{
	struct bus bus = { .name = "port" };
	struct probe p = { .answer = 0 };

	(void)state;
	add(&bus, 0xcf9, 1, 1, &p);
	assert_int_equal(rd(&bus, 0xcf8, 4), 0xffffffff);
	assert_int_equal(p.calls, 0);
	bus_destroy(&bus);
}

static void the_last_address_works(void **state)
{
	struct bus bus = { .name = "mmio" };
	struct probe p = { .answer = 0x77 };

	(void)state;
	add(&bus, UINT64_MAX - 3, 4, 4, &p);
	assert_int_equal(rd(&bus, UINT64_MAX, 1), 0x77);
	assert_int_equal(rd(&bus, UINT64_MAX - 3, 4), 0x77);
	rd(&bus, UINT64_MAX, 8);
	bus_destroy(&bus);
}

static void overlaps_are_refused(void **state)
{
	static const struct { uint64_t start, size; } bad[] = {
		{ 0x100, 8 }, { 0x107, 1 }, { 0x0f8, 9 }, { 0x100, 1 }, { 0, UINT64_MAX }, { 5, 0 },
		{ UINT64_MAX, 2 },
	};
	struct bus bus = { .name = "port" };
	struct probe p = { .answer = 0 };
	struct error err;
	size_t i;

	(void)state;
	add(&bus, 0x100, 8, 1, &p);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		err.text[0] = 0;
		assert_int_equal(bus_add(&bus, bad[i].start, bad[i].size, 1, probe_access, &p,
					 "second", &err), -1);
		assert_non_null(strstr(err.text, "second"));
	}
	add(&bus, 0xf8, 8, 1, &p);
	add(&bus, 0x108, 8, 1, &p);
	bus_destroy(&bus);
}

static void many_ranges_are_found(void **state)
{
	struct bus bus = { .name = "port" };
	struct probe p[64] = { };
	unsigned int i;

	(void)state;
	for (i = 0; i < 64; i++) {
		unsigned int n = i * 37 % 64;

		p[n].answer = n;
		add(&bus, n * 16, 8, 1, &p[n]);
	}
	for (i = 0; i < 64; i++) {
		assert_int_equal(rd(&bus, i * 16 + 7, 1), i);
		assert_int_equal(rd(&bus, i * 16 + 8, 1), 0xff);
	}
	bus_destroy(&bus);
}

static void a_known_absence_is_silent(void **state)
{
	struct bus bus = { .name = "port", .trace = true };
	struct error err;

	(void)state;
	assert_int_equal(bus_add(&bus, 0x80, 4, 8, NULL, NULL, "POST", &err), 0);
	assert_int_equal(rd(&bus, 0x81, 1), 0xff);
	assert_int_equal(rd(&bus, 0x80, 4), 0xffffffff);
	bus_destroy(&bus);
}

static void devices_dont_clash(void **state)
{
	struct fake *f = *state;
	unsigned int port;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	for (port = 0; port < 0x10000; port++)
		inb(f, port);
	devices_info(&f->devices, out);
	fclose(out);
	assert_non_null(strstr(text, "16550A"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_of_nothing_are_ones),
		cmocka_unit_test(delivers_to_the_range),
		cmocka_unit_test(wide_accesses_come_in_bytes),
		cmocka_unit_test(accesses_across_the_end_are_split),
		cmocka_unit_test(an_access_before_a_range_misses_it),
		cmocka_unit_test(the_last_address_works),
		cmocka_unit_test(overlaps_are_refused),
		cmocka_unit_test(many_ranges_are_found),
		cmocka_unit_test(a_known_absence_is_silent),
		machine_test(devices_dont_clash),
	};

	return cmocka_run_group_tests_name("vmrun bus", tests, NULL, NULL);
}
