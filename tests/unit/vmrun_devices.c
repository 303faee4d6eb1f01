// SPDX-License-Identifier: GPL-2.0
/* RTC, keyboard controller, reset, power-off and debug ports. */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "exitcode.h"
#include "keys.h"
#include "patience.h"
#include "vmrun_env.h"

#define KBD_DATA	0x60
#define KBD_CMD		0x64
#define KBD_IRQ		1

/* As the clock has it; time() is some ms late at each second. */
static time_t host_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec;
}

static uint8_t cmos(struct fake *f, uint8_t reg)
{
	outb(f, 0x70, reg);
	return inb(f, 0x71);
}

static void set_cmos(struct fake *f, uint8_t reg, uint8_t value)
{
	outb(f, 0x70, reg);
	outb(f, 0x71, value);
}

static unsigned int bcd(uint8_t byte)
{
	return (byte >> 4) * 10 + (byte & 15);
}

static time_t rtc_now(struct fake *f)
{
	struct tm tm = {
		.tm_sec = bcd(cmos(f, 0)), .tm_min = bcd(cmos(f, 2)), .tm_hour = bcd(cmos(f, 4)),
		.tm_mday = bcd(cmos(f, 7)), .tm_mon = bcd(cmos(f, 8)) - 1,
		.tm_year = bcd(cmos(f, 0x32)) * 100 + bcd(cmos(f, 9)) - 1900,
	};

	return timegm(&tm);
}

/* Registers are read one by one, so a second may pass in between: try again then. */
static void assert_clock(struct fake *f, time_t offset)
{
	int i;

	for (i = 0; i < 100; i++) {
		time_t before = host_now(), now = rtc_now(f);

		if (before == host_now()) {
			assert_int_equal(now, before + offset);
			return;
		}
	}
	fail_msg("the clock never stood still");
}

static void rtc_tells_the_time(void **state)
{
	struct fake *f = *state;
	struct tm tm;
	time_t now;
	uint8_t day;

	assert_clock(f, 0);
	do {
		now = host_now();
		day = bcd(cmos(f, 6));
		gmtime_r(&now, &tm);
	} while (now / 86400 != host_now() / 86400);
	assert_int_equal(day, tm.tm_wday + 1);
	assert_int_equal(cmos(f, 0x0a) & 0x80, 0);
	assert_int_equal(cmos(f, 0x0b), 0x02);
	assert_int_equal(cmos(f, 0x0c) & 0x80, 0);
	assert_int_equal(cmos(f, 0x0d), 0x80);
}

static void rtc_is_set(void **state)
{
	struct fake *f = *state;
	struct tm tm = { .tm_year = 88, .tm_mon = 1, .tm_mday = 29, .tm_hour = 23, .tm_min = 59,
			 .tm_sec = 58 };
	time_t start = host_now();

	set_cmos(f, 0x0b, 0x82);	/* stop the clock */
	set_cmos(f, 0x32, 0x19);
	set_cmos(f, 9, 0x88);
	set_cmos(f, 8, 0x02);
	set_cmos(f, 7, 0x29);
	set_cmos(f, 4, 0x23);
	set_cmos(f, 2, 0x59);
	set_cmos(f, 0, 0x58);
	assert_int_equal(cmos(f, 0), 0x58);
	set_cmos(f, 0x0b, 0x02);
	assert_in_range(rtc_now(f), timegm(&tm), timegm(&tm) + host_now() - start + 1);
}

static void rtc_binary_and_12_hours(void **state)
{
	struct fake *f = *state;

	set_cmos(f, 0x0b, 0x82);
	set_cmos(f, 4, 0x00);
	set_cmos(f, 0x0b, 0x80);	/* 12 hours, BCD */
	assert_int_equal(cmos(f, 4), 0x12);
	set_cmos(f, 4, 0x92);		/* 12 pm */
	assert_int_equal(cmos(f, 4), 0x92);
	set_cmos(f, 0x0b, 0x86);	/* 24 hours, binary */
	assert_int_equal(cmos(f, 4), 12);
	set_cmos(f, 4, 23);
	set_cmos(f, 0x0b, 0x84);	/* 12 hours, binary */
	assert_int_equal(cmos(f, 4), 0x8b);
}

static void rtc_survives_nonsense(void **state)
{
	struct fake *f = *state;
	unsigned int reg, value;

	for (value = 0; value < 0x10000; value += 0x55)
		for (reg = 0; reg < 0x100; reg++) {
			set_cmos(f, reg, value >> (reg % 9));
			cmos(f, reg);
		}
	assert_int_equal(cmos(f, 0x0d), 0x80);
}

/* Return: register C when the interrupt has come, 0 if it doesn't. */
static uint8_t rtc_interrupt(struct fake *f, int ms)
{
	struct timespec start, now;
	struct error err;

	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		assert_int_equal(loop_once(&f->loop, 10, &err), 0);
		if (f->level[8])
			return cmos(f, 0x0c);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < ms);
	return 0;
}

static void rtc_periodic_interrupts(void **state)
{
	struct fake *f = *state;
	unsigned int i;
	uint8_t c;

	assert_int_equal(rtc_interrupt(f, 20), 0);
	set_cmos(f, 0x0a, 0x2a);		/* 64 Hz */
	set_cmos(f, 0x0b, 0x42);
	for (i = 0; i < 3; i++) {
		c = rtc_interrupt(f, PATIENCE_MS);
		assert_int_equal(c & 0xc0, 0xc0);
		assert_int_equal(f->level[8], 0);
	}
	/* One that isn't acknowledged is the last. */
	while (!f->level[8]) {
		struct error err;

		assert_int_equal(loop_once(&f->loop, 100, &err), 0);
	}
	i = f->moves[8];
	fake_serve(f);
	usleep(50000);
	fake_serve(f);
	assert_int_equal(f->moves[8], i);
	cmos(f, 0x0c);
	set_cmos(f, 0x0a, 0x20);		/* no rate */
	assert_int_equal(rtc_interrupt(f, 50), 0);
	set_cmos(f, 0x0a, 0x7a);		/* the divider stands */
	assert_int_equal(rtc_interrupt(f, 50), 0);
	/* Without interrupts it can be looked at. */
	set_cmos(f, 0x0b, 0x02);
	set_cmos(f, 0x0a, 0x2a);
	cmos(f, 0x0c);
	usleep(40000);
	assert_int_equal(cmos(f, 0x0c) & 0xc0, 0x40);
	assert_int_equal(f->level[8], 0);
}

static void rtc_alarms_and_updates(void **state)
{
	struct fake *f = *state;
	unsigned int tries = 0;
	time_t start;

	do {	/* one comes with the next second, unless the machine is busy */
		assert_true(tries++ < 20);
		set_cmos(f, 0x0b, 0x02);
		start = (cmos(f, 0x0c), host_now());
		set_cmos(f, 0x0b, 0x12);
		assert_int_equal(rtc_interrupt(f, PATIENCE_MS) & 0x90, 0x90);
		assert_true(host_now() > start);
	} while (host_now() > start + 2);
	set_cmos(f, 0x0b, 0x92);		/* a clock that stands has no updates */
	assert_int_equal(cmos(f, 0x0b), 0x82);
	set_cmos(f, 4, 0x23);
	set_cmos(f, 2, 0x59);
	set_cmos(f, 0, 0x58);
	set_cmos(f, 1, 0x00);
	set_cmos(f, 3, 0x00);
	set_cmos(f, 5, 0xff);			/* at any hour */
	set_cmos(f, 0x0b, 0x22);
	assert_int_equal(rtc_interrupt(f, PATIENCE_MS) & 0xa0, 0xa0);
	assert_int_equal(cmos(f, 4), 0);
	assert_int_equal(cmos(f, 2), 0);
	set_cmos(f, 3, 0x30);
	assert_int_equal(rtc_interrupt(f, 1500), 0);
}

static void cmos_knows_the_memory(void **state)
{
	struct fake *f = *state;

	assert_int_equal(cmos(f, 0x15) | cmos(f, 0x16) << 8, 640);
	assert_int_equal(cmos(f, 0x17) | cmos(f, 0x18) << 8, 0xffff);
	assert_int_equal(cmos(f, 0x34) | cmos(f, 0x35) << 8, (0xc0000000 - (16 << 20)) >> 16);
	assert_int_equal(cmos(f, 0x5b) | cmos(f, 0x5c) << 8 | cmos(f, 0x5d) << 16, 0x10000);
	set_cmos(f, 0x40, 0x77);
	assert_int_equal(cmos(f, 0x40 | 0x80), 0x77);	/* the NMI bit isn't part of the index */
	assert_int_equal(inb(f, 0x70), 0xff);
}

static uint8_t kbd(struct fake *f, uint8_t cmd)
{
	outb(f, KBD_CMD, cmd);
	assert_int_equal(inb(f, KBD_CMD) & 3, 1);
	return inb(f, KBD_DATA);
}

static void kbd_answers_a_probe(void **state)
{
	struct fake *f = *state;

	assert_int_equal(inb(f, KBD_CMD) & 0x13, 0x10);	/* empty, not locked */
	assert_int_equal(kbd(f, 0xaa), 0x55);
	assert_int_equal(kbd(f, 0xab), 0);
	assert_int_equal(kbd(f, 0xa9), 1);
	assert_int_equal(kbd(f, 0xd0) & 1, 1);
	outb(f, KBD_CMD, 0x60);
	outb(f, KBD_DATA, 0x74);
	assert_int_equal(kbd(f, 0x20), 0x74);
	outb(f, KBD_CMD, 0xa8);
	assert_int_equal(kbd(f, 0x20) & 0x20, 0);
	outb(f, KBD_CMD, 0xa7);
	assert_int_equal(kbd(f, 0x20) & 0x20, 0x20);
}

static void kbd_has_no_mouse(void **state)
{
	struct fake *f = *state;

	outb(f, KBD_CMD, 0xd3);
	outb(f, KBD_DATA, 0x5a);
	assert_int_equal(inb(f, KBD_CMD) & 0x21, 0x01);
	assert_int_equal(inb(f, KBD_DATA), 0x5a);
	outb(f, KBD_CMD, 0xd4);
	outb(f, KBD_DATA, 0xff);
	assert_int_equal(inb(f, KBD_CMD) & 0x61, 0x61);
	assert_int_equal(inb(f, KBD_DATA), 0xfe);
}

/* Bytes come by port 0x60, each with an edge of the interrupt. */
static void assert_bytes(struct fake *f, const char *bytes, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		unsigned int moves = f->moves[KBD_IRQ];

		assert_int_equal(inb(f, KBD_CMD) & 0x61, 0x01);
		assert_int_equal(f->level[KBD_IRQ], 1);
		assert_int_equal(inb(f, KBD_DATA), (uint8_t)bytes[i]);
		assert_int_equal(f->moves[KBD_IRQ] - moves, i + 1 < n ? 2 : 1);
	}
	assert_int_equal(inb(f, KBD_CMD) & 0x41, 0);
	assert_int_equal(f->level[KBD_IRQ], 0);
}

#define ASSERT_BYTES(f, bytes)	assert_bytes(f, bytes, sizeof(bytes) - 1)

static void set_ctr(struct fake *f, uint8_t ctr)
{
	outb(f, KBD_CMD, 0x60);
	outb(f, KBD_DATA, ctr);
}

static const char *type(struct fake *f, const char *keys)
{
	uint8_t codes[KEYS_BYTES_MAX];
	struct error err;
	int n = keys_parse(keys, codes, &err);

	if (n < 0)
		fail_msg("%s", err.text);
	return f->keyboard.type(f->keyboard.opaque, codes, n);
}

static void keyboard_answers(void **state)
{
	static const struct { const char *said, *heard; size_t len; } talk[] = {
		{ "\xff", "\xfa\xaa", 2 }, { "\xee", "\xee", 1 }, { "\xf2", "\xfa\xab\x83", 3 },
		{ "\xf3\x20", "\xfa\xfa", 2 }, { "\xf0\1", "\xfa\xfa", 2 }, { "\xf4", "\xfa", 1 },
		{ "\xf6", "\xfa", 1 }, { "\xf0\3", "\xfa\xfe", 2 }, { "\x55", "\xfe", 1 },
		{ "\xfe", "\xfe", 1 }, { "\xed\2", "\xfa\xfa", 2 }, { "\xfc\x1c", "\xfa\xfa", 2 },
		{ "\xed\xee", "\xfa\xee", 2 },	/* a command in the place of a parameter */
	};
	struct fake *f = *state;
	size_t i, heard;

	set_ctr(f, 0x05);			/* as they are, not translated */
	for (i = 0; i < sizeof(talk) / sizeof(talk[0]); i++) {
		heard = 0;
		for (const char *p = talk[i].said; *p; p++) {
			outb(f, KBD_DATA, *p);
			if (p[1])
				assert_bytes(f, &talk[i].heard[heard++], 1);
		}
		assert_bytes(f, talk[i].heard + heard, talk[i].len - heard);
	}
	outb(f, KBD_DATA, 0xf0);
	ASSERT_BYTES(f, "\xfa");
	outb(f, KBD_DATA, 0);
	ASSERT_BYTES(f, "\xfa\2");
	set_ctr(f, 0x45);
	outb(f, KBD_DATA, 0xf2);
	ASSERT_BYTES(f, "\xfa\xab\x41");
	set_ctr(f, 0x44);			/* interrupt off */
	outb(f, KBD_DATA, 0xf4);
	assert_int_equal(f->level[KBD_IRQ], 0);
	assert_int_equal(inb(f, KBD_DATA), 0xfa);
}

static void keys_are_pressed(void **state)
{
	struct fake *f = *state;

	assert_null(type(f, "a shift-b"));
	ASSERT_BYTES(f, "\x1e\x9e\x2a\x30\xb0\xaa");
	assert_null(type(f, "ctrl-alt-delete"));
	ASSERT_BYTES(f, "\x1d\x38\xe0\x53\xe0\xd3\xb8\x9d");
	assert_null(type(f, "f7 enter"));
	ASSERT_BYTES(f, "\x41\xc1\x1c\x9c");
	set_ctr(f, 0x05);
	assert_null(type(f, "f7 up"));
	ASSERT_BYTES(f, "\x83\xf0\x83\xe0\x75\xe0\xf0\x75");
	outb(f, KBD_DATA, 0xf0);
	ASSERT_BYTES(f, "\xfa");
	outb(f, KBD_DATA, 1);			/* set 1 by the keyboard itself */
	ASSERT_BYTES(f, "\xfa");
	assert_null(type(f, "up"));
	ASSERT_BYTES(f, "\xe0\x48\xe0\xc8");
}

static void keys_wait_or_are_refused(void **state)
{
	static const char abcd[] = "\x1e\x9e\x30\xb0\x2e\xae\x20\xa0";
	struct fake *f = *state;
	unsigned int i, k;

	outb(f, KBD_CMD, 0xad);			/* the line to the keyboard is held */
	assert_null(type(f, "a"));
	assert_int_equal(inb(f, KBD_CMD) & 1, 0);
	outb(f, KBD_CMD, 0xae);
	ASSERT_BYTES(f, "\x1e\x9e");

	outb(f, KBD_DATA, 0xf5);
	ASSERT_BYTES(f, "\xfa");
	assert_non_null(strstr(type(f, "a"), "off"));
	assert_int_equal(inb(f, KBD_CMD) & 1, 0);
	outb(f, KBD_DATA, 0xf4);
	ASSERT_BYTES(f, "\xfa");

	for (i = 0; !type(f, "a b c d"); i++)
		assert_true(i < 1000);
	assert_int_equal(i, 42);		/* 512 bytes and the one that the controller has */
	for (; i; i--)
		for (k = 0; k < sizeof(abcd) - 1; k++)
			assert_int_equal(inb(f, KBD_DATA), (uint8_t)abcd[k]);
	assert_null(type(f, "a"));
	outb(f, KBD_DATA, 0xf4);		/* that clears what waits, but not what is on its way */
	assert_int_equal(inb(f, KBD_DATA), 0x1e);
	ASSERT_BYTES(f, "\xfa");
}

static void keys_have_names(void **state)
{
	uint8_t codes[KEYS_BYTES_MAX];
	char many[600] = "";
	struct error err;
	unsigned int i;

	(void)state;
	assert_int_equal(keys_parse("  rightctrl  ", codes, &err), 5);
	assert_memory_equal(codes, "\xe0\x14\xe0\xf0\x14", 5);
	assert_int_equal(keys_parse("nokey", codes, &err), -1);
	assert_non_null(strstr(err.text, "nokey"));
	assert_int_equal(keys_parse("a-", codes, &err), -1);
	assert_int_equal(keys_parse("-", codes, &err), -1);
	assert_int_equal(keys_parse("", codes, &err), -1);
	assert_int_equal(keys_parse("a-b-c-d-e-f", codes, &err), 18);
	assert_int_equal(keys_parse("a-b-c-d-e-f-g", codes, &err), -1);
	for (i = 0; i < 100; i++)
		strcat(many, "up ");
	assert_int_equal(keys_parse(many, codes, &err), -1);
}

static void assert_stops(uint16_t port, uint8_t value, int code)
{
	struct fake *f = fake_machine();

	outb(f, port, value);
	assert_int_equal(f->stop_code, code);
	fake_destroy(f);
}

static void assert_resets(uint16_t port, uint8_t value, bool resets)
{
	struct fake *f = fake_machine();

	outb(f, port, value);
	assert_int_equal(f->was_reset, resets);
	assert_int_equal(f->stop_code, resets ? EXIT_GUEST_OK : FAKE_NO_STOP);
	fake_destroy(f);
}

static void resets(void **state)
{
	struct fake *f = *state;

	assert_resets(KBD_CMD, 0xfe, true);
	assert_resets(KBD_CMD, 0xff, false);
	assert_resets(KBD_CMD, 0xf0, true);
	assert_resets(0x92, 0x03, true);
	assert_resets(0x92, 0x02, false);
	assert_resets(0xcf9, 0x02, false);
	assert_resets(0xcf9, 0x06, true);
	outb(f, KBD_CMD, 0xd1);
	outb(f, KBD_DATA, 0x02);
	assert_true(f->was_reset);
}

static void pci_address_is_no_reset(void **state)
{
	struct fake *f = *state;
	uint8_t address[4] = { 0xff, 0xff, 0xff, 0xff };

	bus_do(&f->ports, 0xcf8, address, 4, true);
	bus_do(&f->ports, 0xcf8, address, 2, true);
	assert_int_equal(f->stop_code, FAKE_NO_STOP);
}

static void acpi_powers_off(void **state)
{
	struct fake *f = *state;

	assert_int_equal(inw(f, 0x604), 1);		/* ACPI mode is on */
	outw(f, 0x600, 0xffff);
	assert_int_equal(inw(f, 0x600), 0);
	outw(f, 0x602, 0x0120);
	assert_int_equal(inw(f, 0x602), 0x0120);
	outw(f, 0x604, 5 << 10);
	assert_int_equal(inw(f, 0x604), 5 << 10 | 1);
	outw(f, 0x604, 4 << 10 | 1 << 13);		/* a sleep that isn't offered */
	assert_int_equal(inw(f, 0x604), 4 << 10 | 1);
	assert_int_equal(f->stop_code, FAKE_NO_STOP);
	outw(f, 0x604, 5 << 10 | 1 << 13);
	assert_int_equal(f->stop_code, EXIT_GUEST_OK);
	assert_non_null(strstr(f->stop_why, "powered off"));
	assert_false(f->was_reset);
}

static void power_button(void **state)
{
	struct fake *f = *state;

	assert_false(f->button.press(f->button.opaque));	/* not enabled: it only shows */
	assert_int_equal(inw(f, 0x600), 0x100);
	assert_int_equal(f->level[9], 0);
	outw(f, 0x600, 0xfeff);
	assert_int_equal(inw(f, 0x600), 0x100);			/* ones clear, zeros don't */
	outw(f, 0x600, 0x100);
	assert_int_equal(inw(f, 0x600), 0);

	outw(f, 0x602, 0x100);
	assert_true(f->button.press(f->button.opaque));
	assert_int_equal(f->level[9], 1);
	assert_true(f->button.press(f->button.opaque));
	assert_int_equal(f->moves[9], 1);
	outb(f, 0x600, 0xff);					/* the other byte */
	assert_int_equal(f->level[9], 1);
	outb(f, 0x601, 1);
	assert_int_equal(f->level[9], 0);
	assert_int_equal(f->stop_code, FAKE_NO_STOP);

	outw(f, 0x602, 0);					/* an event from before */
	f->button.press(f->button.opaque);
	outw(f, 0x602, 0x100);
	assert_int_equal(f->level[9], 1);
}

static void panics(void **state)
{
	struct fake *f = *state;

	assert_int_equal(inb(f, 0x505), 3);
	outb(f, 0x505, 0);
	outb(f, 0x505, 2);				/* it takes its own dump */
	assert_false(f->panicked);
	outb(f, 0x505, 1);
	assert_true(f->panicked);
}

static void debug_exit(void **state)
{
	struct fake *f = *state;
	uint8_t wide[4] = { 7, 0, 0, 0 };

	assert_stops(0x501, 0, 0);
	assert_stops(0x501, 99, 99);
	assert_stops(0x501, 100, 99);
	assert_stops(0x501, 255, 99);
	assert_stops(0x502, 1, FAKE_NO_STOP);
	bus_do(&f->ports, 0x501, wide, 4, true);
	assert_int_equal(f->stop_code, 7);
	assert_non_null(strstr(f->stop_why, "0x7"));
}

static void debug_console(void **state)
{
	struct fake *f = *state;

	assert_int_equal(inb(f, 0xe9), 0xe9);
	outb(f, 0xe9, 'o');
	outb(f, 0xe9, 'k');
	assert_memory_equal(f->out, "ok", 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		machine_test(rtc_tells_the_time),
		machine_test(rtc_is_set),
		machine_test(rtc_binary_and_12_hours),
		machine_test(rtc_survives_nonsense),
		machine_test(rtc_periodic_interrupts),
		machine_test(rtc_alarms_and_updates),
		machine_test(cmos_knows_the_memory),
		machine_test(kbd_answers_a_probe),
		machine_test(kbd_has_no_mouse),
		machine_test(keyboard_answers),
		machine_test(keys_are_pressed),
		machine_test(keys_wait_or_are_refused),
		cmocka_unit_test(keys_have_names),
		machine_test(resets),
		machine_test(pci_address_is_no_reset),
		machine_test(acpi_powers_off),
		machine_test(power_button),
		machine_test(panics),
		machine_test(debug_exit),
		machine_test(debug_console),
	};

	return cmocka_run_group_tests_name("vmrun devices", tests, NULL, NULL);
}
