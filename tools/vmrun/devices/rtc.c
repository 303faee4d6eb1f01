// SPDX-License-Identifier: GPL-2.0
/*
 * The MC146818 clock with its CMOS memory: the host's UTC, moved by what the guest sets. Alarm and
 * periodic interrupts don't come.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../device.h"

#define RTC_PORT	0x70		/* index; data is the next one */
#define RTC_SIZE	128

enum {
	RTC_SECONDS = 0x00,
	RTC_MINUTES = 0x02,
	RTC_HOURS = 0x04,
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
#define B_SET		0x80
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

static void rtc_time(const struct rtc *r, struct tm *tm)
{
	time_t now = time(NULL) + r->offset;

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
		r->offset = timegm(tm) - time(NULL);
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

static void write_b(struct rtc *r, uint8_t value)
{
	struct tm tm;

	rtc_time(r, &tm);
	r->cmos[RTC_B] = value;
	rtc_set_time(r, &tm);
}

static void cmos_write(struct rtc *r, uint8_t value)
{
	struct tm tm;

	rtc_time(r, &tm);
	if (time_field(&tm, r->index))
		write_time(r, &tm, r->index, value);
	else if (r->index == RTC_A)
		r->cmos[RTC_A] = value & ~A_UIP;
	else if (r->index == RTC_B)
		write_b(r, value);
	else if (r->index != RTC_C && r->index != RTC_D)
		r->cmos[r->index] = value;
}

static uint8_t cmos_read(const struct rtc *r)
{
	struct tm tm;

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

static void rtc_destroy(void *dev)
{
	struct rtc *r = dev;

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
	r->cmos[RTC_A] = A_DEFAULT;
	r->cmos[RTC_B] = B_24H;
	r->cmos[RTC_D] = D_VALID;
	r->cmos[CMOS_EQUIPMENT] = 0x02;	/* a coprocessor, no floppy, no display */
	r->cmos[CMOS_BOOT_ORDER] = env->cd_first ? BOOT_CD_FIRST : BOOT_DISK_FIRST;
	r->cmos[CMOS_FURTHER_CPUS] = env->cpus - 1;
	cmos_memory(r, env->low_ram, env->high_ram);
	if (bus_add(env->ports, RTC_PORT, 2, 1, rtc_access, r, "rtc", err)) {
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

DEVICE(rtc) = {
	.name = "rtc",
	.order = 20,
	.create = rtc_create,
	.destroy = rtc_destroy,
	.info = rtc_info,
};
