// SPDX-License-Identifier: GPL-2.0
/*
 * The MC146818 clock with its CMOS memory: the host's UTC, moved by what the guest sets. What has
 * happened is found out when somebody looks, or when an interrupt is due; after one there is no
 * other until the guest has read register C.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "../device.h"
#include "../loop.h"

#define RTC_PORT	0x70		/* index; data is the next one */
#define RTC_IRQ		8
#define SECOND		1000000000ULL	/* ns */
#define RTC_SIZE	128

enum {
	RTC_SECONDS = 0x00,
	RTC_SECONDS_ALARM = 0x01,
	RTC_MINUTES = 0x02,
	RTC_MINUTES_ALARM = 0x03,
	RTC_HOURS = 0x04,
	RTC_HOURS_ALARM = 0x05,
	RTC_WEEKDAY = 0x06,
	RTC_DAY = 0x07,
	RTC_MONTH = 0x08,
	RTC_YEAR = 0x09,
	RTC_A = 0x0a,
	RTC_B = 0x0b,
	RTC_C = 0x0c,
	RTC_D = 0x0d,
	CMOS_EQUIPMENT = 0x14,
	CMOS_BASE_KIB = 0x15,
	CMOS_EXTENDED_KIB = 0x17,	/* from 1 MiB, up to 64 MiB */
	CMOS_EXTENDED_KIB2 = 0x30,
	CMOS_CENTURY = 0x32,
	CMOS_EXTENDED_64K = 0x34,	/* from 16 MiB to 4 GiB, in 64 KiB */
	CMOS_BOOT_ORDER = 0x3d,		/* as QEMU has it: two devices, the first one low */
	CMOS_HIGH_64K = 0x5b,		/* from 4 GiB, in 64 KiB, three bytes */
	CMOS_FURTHER_CPUS = 0x5f,	/* likewise */
};

#define A_UIP		0x80
#define A_DEFAULT	0x26		/* 32768 Hz crystal, 1024 Hz rate */
#define A_DIVIDER(a)	((a) >> 4 & 7)
#define A_RATE(a)	((a) & 15)
#define DIVIDER_RUNS	2
#define B_SET		0x80
#define B_PERIODIC	0x40
#define B_ALARM		0x20
#define B_UPDATE	0x10
#define B_INTERRUPTS	(B_PERIODIC | B_ALARM | B_UPDATE)	/* in C, what has happened */
#define C_INTERRUPT	0x80
#define ANY_TIME	0xc0		/* and above: an alarm that doesn't mind */
#define B_DM_BINARY	0x04
#define B_24H		0x02
#define D_VALID		0x80
#define HOUR_PM		0x80
#define BOOT_DISK_FIRST		0x32
#define BOOT_CD_FIRST		0x23
#define INDEX_MASK	0x7f		/* the top bit is the NMI gate, which isn't wired here */

struct rtc {
	pthread_mutex_t lock;
	uint8_t index;
	uint8_t cmos[RTC_SIZE];
	int64_t offset;			/* guest's clock - host's */
	struct tm frozen;		/* the time while B_SET stops the clock */

	struct irq_lines *irqs;
	struct loop *loop;
	int timer_fd;
	int level;
	uint64_t seen;			/* host's time up to which C says what has happened */
};

static uint8_t encode(const struct rtc *r, unsigned int value)
{
	return r->cmos[RTC_B] & B_DM_BINARY ? value : value / 10 << 4 | value % 10;
}

static unsigned int decode(const struct rtc *r, uint8_t byte)
{
	return r->cmos[RTC_B] & B_DM_BINARY ? byte : (byte >> 4) * 10 + (byte & 15);
}

static uint8_t encode_hour(const struct rtc *r, unsigned int hour)
{
	if (r->cmos[RTC_B] & B_24H)
		return encode(r, hour);
	return encode(r, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOUR_PM : 0);
}

static unsigned int decode_hour(const struct rtc *r, uint8_t byte)
{
	if (r->cmos[RTC_B] & B_24H)
		return decode(r, byte);
	return decode(r, byte & ~HOUR_PM) % 12 + (byte & HOUR_PM ? 12 : 0);
}

/* Not by time(), which is some ms late at each second. */
static uint64_t host_time(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * SECOND + t.tv_nsec;
}

static void rtc_time(const struct rtc *r, struct tm *tm)
{
	time_t now = host_time() / SECOND + r->offset;

	if (r->cmos[RTC_B] & B_SET)
		*tm = r->frozen;
	else
		gmtime_r(&now, tm);
}

/* The fields may hold anything the guest wrote; timegm() makes a time of whatever it is. */
static void rtc_set_time(struct rtc *r, struct tm *tm)
{
	if (r->cmos[RTC_B] & B_SET)
		r->frozen = *tm;
	else
		r->offset = timegm(tm) - (time_t)(host_time() / SECOND);
}

/* Where a register is a field of the time: its value as struct tm has it, or NULL. */
static int *time_field(struct tm *tm, uint8_t reg)
{
	switch (reg) {
	case RTC_SECONDS:
		return &tm->tm_sec;
	case RTC_MINUTES:
		return &tm->tm_min;
	case RTC_HOURS:
		return &tm->tm_hour;
	case RTC_WEEKDAY:
		return &tm->tm_wday;
	case RTC_DAY:
		return &tm->tm_mday;
	case RTC_MONTH:
		return &tm->tm_mon;
	case RTC_YEAR:
	case CMOS_CENTURY:
		return &tm->tm_year;
	default:
		return NULL;
	}
}

static uint8_t read_time(const struct rtc *r, struct tm *tm, uint8_t reg)
{
	int value = *time_field(tm, reg);

	switch (reg) {
	case RTC_HOURS:
		return encode_hour(r, value);
	case RTC_WEEKDAY:
	case RTC_MONTH:
		return encode(r, value + 1);
	case RTC_YEAR:
		return encode(r, (value + 1900) % 100);
	case CMOS_CENTURY:
		return encode(r, (value + 1900) / 100);
	default:
		return encode(r, value);
	}
}

static void write_time(struct rtc *r, struct tm *tm, uint8_t reg, uint8_t byte)
{
	int *field = time_field(tm, reg), value = decode(r, byte);

	switch (reg) {
	case RTC_HOURS:
		*field = decode_hour(r, byte);
		break;
	case RTC_WEEKDAY:
	case RTC_MONTH:
		*field = value - 1;
		break;
	case RTC_YEAR:
		*field = (*field + 1900) / 100 * 100 + value - 1900;
		break;
	case CMOS_CENTURY:
		*field = value * 100 + (*field + 1900) % 100 - 1900;
		break;
	default:
		*field = value;
	}
	rtc_set_time(r, tm);
}

/* ---- interrupts ------------------------------------------------------------------------------ */

/* In ns; 0: there is none. The two slowest codes come at a faster rate. */
static uint64_t period(const struct rtc *r)
{
	unsigned int rate = A_RATE(r->cmos[RTC_A]);

	if (!rate || A_DIVIDER(r->cmos[RTC_A]) != DIVIDER_RUNS)
		return 0;
	return (SECOND << ((rate < 3 ? rate + 7 : rate) - 1)) / 32768;
}

static bool rings(const struct rtc *r, time_t host)
{
	const uint8_t *c = r->cmos;
	time_t now = host + r->offset;
	struct tm tm;

	gmtime_r(&now, &tm);
	return (c[RTC_SECONDS_ALARM] >= ANY_TIME ||
		c[RTC_SECONDS_ALARM] == encode(r, tm.tm_sec)) &&
	       (c[RTC_MINUTES_ALARM] >= ANY_TIME ||
		c[RTC_MINUTES_ALARM] == encode(r, tm.tm_min)) &&
	       (c[RTC_HOURS_ALARM] >= ANY_TIME ||
		c[RTC_HOURS_ALARM] == encode_hour(r, tm.tm_hour));
}

/* C gets what has happened since. Alarms of longer ago than a minute's sleep are gone. */
static void catch_up(struct rtc *r)
{
	uint64_t now = host_time(), p = period(r);
	time_t second = r->seen / SECOND, last = now / SECOND;

	if (now < r->seen)		/* the host's clock was put back */
		second = last;
	else if (p && now / p != r->seen / p)
		r->cmos[RTC_C] |= B_PERIODIC;
	r->seen = now;
	if (second == last || (r->cmos[RTC_B] & B_SET))
		return;
	r->cmos[RTC_C] |= B_UPDATE;
	if (last - second > 60)
		second = last - 60;
	while (second++ < last)
		if (rings(r, second))
			r->cmos[RTC_C] |= B_ALARM;
}

static void arm(struct rtc *r)
{
	uint8_t enabled = r->cmos[RTC_B] & B_INTERRUPTS;
	uint64_t p = period(r), wait = UINT64_MAX;
	struct itimerspec t = { };

	if ((enabled & B_PERIODIC) && p)
		wait = p - r->seen % p;
	if ((enabled & (B_ALARM | B_UPDATE)) && wait > SECOND - r->seen % SECOND)
		wait = SECOND - r->seen % SECOND;
	if (wait != UINT64_MAX && !r->level) {
		t.it_value.tv_sec = wait / SECOND;
		t.it_value.tv_nsec = wait % SECOND;
	}
	timerfd_settime(r->timer_fd, 0, &t, NULL);
}

/* After each change of A, B or C. */
static void update_irq(struct rtc *r)
{
	int level = (r->cmos[RTC_B] & r->cmos[RTC_C] & B_INTERRUPTS) != 0;

	r->cmos[RTC_C] = (r->cmos[RTC_C] & ~C_INTERRUPT) | (level ? C_INTERRUPT : 0);
	if (level != r->level) {
		r->level = level;
		r->irqs->set(r->irqs, RTC_IRQ, level);
	}
	arm(r);
}

static void rtc_due(void *opaque)
{
	struct rtc *r = opaque;
	uint64_t times;

	if (read(r->timer_fd, &times, sizeof(times)) != sizeof(times))
		return;
	pthread_mutex_lock(&r->lock);
	catch_up(r);
	update_irq(r);
	pthread_mutex_unlock(&r->lock);
}

static uint8_t read_c(struct rtc *r)
{
	uint8_t value;

	catch_up(r);
	update_irq(r);
	value = r->cmos[RTC_C];
	r->cmos[RTC_C] = 0;
	update_irq(r);
	return value;
}

/* ---- registers ------------------------------------------------------------------------------- */

static void write_a(struct rtc *r, uint8_t value)
{
	catch_up(r);
	r->cmos[RTC_A] = value & ~A_UIP;
	update_irq(r);
}

static void write_b(struct rtc *r, uint8_t value)
{
	struct tm tm;

	catch_up(r);
	rtc_time(r, &tm);
	r->cmos[RTC_B] = value & B_SET ? value & ~B_UPDATE : value;	/* as the chip does */
	rtc_set_time(r, &tm);
	update_irq(r);
}

static void cmos_write(struct rtc *r, uint8_t value)
{
	struct tm tm;

	rtc_time(r, &tm);
	if (time_field(&tm, r->index))
		write_time(r, &tm, r->index, value);
	else if (r->index == RTC_A)
		write_a(r, value);
	else if (r->index == RTC_B)
		write_b(r, value);
	else if (r->index != RTC_C && r->index != RTC_D)
		r->cmos[r->index] = value;
}

static uint8_t cmos_read(struct rtc *r)
{
	struct tm tm;

	if (r->index == RTC_C)
		return read_c(r);
	rtc_time(r, &tm);
	if (time_field(&tm, r->index))
		return read_time(r, &tm, r->index);
	return r->cmos[r->index];
}

static void rtc_access(void *opaque, struct bus_access *a)
{
	struct rtc *r = opaque;

	pthread_mutex_lock(&r->lock);
	if (a->offset == 1 && a->write)
		cmos_write(r, a->data[0]);
	else if (a->offset == 1)
		a->data[0] = cmos_read(r);
	else if (a->write)
		r->index = a->data[0] & INDEX_MASK;
	/* The index port can't be read back on a PC. */
	pthread_mutex_unlock(&r->lock);
}

static void cmos_put(struct rtc *r, uint8_t reg, uint64_t value, unsigned int bytes)
{
	uint64_t max = (1ULL << 8 * bytes) - 1;
	unsigned int i;

	if (value > max)
		value = max;
	for (i = 0; i < bytes; i++)
		r->cmos[reg + i] = value >> 8 * i;
}

static void cmos_memory(struct rtc *r, uint64_t low, uint64_t high)
{
	uint64_t kib = (low - (1 << 20)) >> 10;

	cmos_put(r, CMOS_BASE_KIB, 640, 2);
	cmos_put(r, CMOS_EXTENDED_KIB, kib, 2);
	cmos_put(r, CMOS_EXTENDED_KIB2, kib, 2);
	cmos_put(r, CMOS_EXTENDED_64K, low > 16 << 20 ? (low - (16 << 20)) >> 16 : 0, 2);
	cmos_put(r, CMOS_HIGH_64K, high >> 16, 3);
}

static int create_timer(struct rtc *r, struct loop *loop, struct error *err)
{
	r->loop = loop;
	r->seen = host_time();
	r->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (r->timer_fd < 0)
		return failed(err, "rtc: timerfd: %s", strerror(errno));
	return loop_add(loop, r->timer_fd, NULL, rtc_due, r, err);
}

static void rtc_destroy(void *dev)
{
	struct rtc *r = dev;

	if (r->timer_fd >= 0) {
		loop_remove(r->loop, r->timer_fd);
		close(r->timer_fd);
	}
	pthread_mutex_destroy(&r->lock);
	free(r);
}

static void *rtc_create(const struct device_env *env, struct error *err)
{
	struct rtc *r = calloc(1, sizeof(*r));

	if (!r) {
		failed(err, "rtc: no memory");
		return NULL;
	}
	pthread_mutex_init(&r->lock, NULL);
	r->irqs = env->irqs;
	r->cmos[RTC_A] = A_DEFAULT;
	r->cmos[RTC_B] = B_24H;
	r->cmos[RTC_D] = D_VALID;
	r->cmos[CMOS_EQUIPMENT] = 0x02;	/* a coprocessor, no floppy, no display */
	r->cmos[CMOS_BOOT_ORDER] = env->cd_first ? BOOT_CD_FIRST : BOOT_DISK_FIRST;
	r->cmos[CMOS_FURTHER_CPUS] = env->cpus - 1;
	cmos_memory(r, env->low_ram, env->high_ram);
	if (create_timer(r, env->loop, err) ||
	    bus_add(env->ports, RTC_PORT, 2, 1, rtc_access, r, "rtc", err)) {
		rtc_destroy(r);
		return NULL;
	}
	return r;
}

static void rtc_info(void *dev, FILE *out)
{
	struct rtc *r = dev;
	struct tm tm;
	char text[32];

	pthread_mutex_lock(&r->lock);
	rtc_time(r, &tm);
	pthread_mutex_unlock(&r->lock);
	strftime(text, sizeof(text), "%F %T", &tm);
	fprintf(out, "rtc     at %#x: %s UTC\n", RTC_PORT, text);
}

/* No further from the host's time than a guest can set it. */
#define OFFSET_MAX	1000000000000LL
#define FIELD_MAX	20000

static void rtc_fields(void *dev, struct fields *f)
{
	static const uint8_t regs[] = {
		RTC_SECONDS, RTC_MINUTES, RTC_HOURS, RTC_WEEKDAY, RTC_DAY, RTC_MONTH, RTC_YEAR,
	};
	struct rtc *r = dev;
	unsigned int i;

	FIELD(f, r->index);
	fields_must(f, r->index <= INDEX_MASK, "its index");
	FIELD(f, r->cmos);
	FIELD(f, r->offset);
	fields_must(f, r->offset <= OFFSET_MAX && r->offset >= -OFFSET_MAX, "its time");
	for (i = 0; i < sizeof(regs); i++) {
		int *field = time_field(&r->frozen, regs[i]);

		FIELD(f, *field);
		fields_must(f, *field <= FIELD_MAX && *field >= -FIELD_MAX, "its time");
	}
	fields_line(f, r->irqs, RTC_IRQ, &r->level);
	if (!fields_loaded(f))
		return;
	r->seen = host_time();
	arm(r);
}

DEVICE(rtc) = {
	.name = "rtc",
	.order = 20,
	.create = rtc_create,
	.destroy = rtc_destroy,
	.info = rtc_info,
	.fields = rtc_fields,
};
