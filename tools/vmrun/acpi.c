// SPDX-License-Identifier: GPL-2.0
/*
 * ACPI tables (ACPI specification 2.0): processors and I/O APIC in the MADT, fixed hardware and reset
 * register in the FADT, and a DSDT with nothing but the name of the state "off".
 */
#include <stddef.h>
#include <string.h>

#include "acpi.h"
#include "layout.h"

#define OEM_ID		"MNIVMM"
#define OEM_TABLE_ID	"VMRUN   "

struct rsdp {
	char signature[8];
	uint8_t checksum;
	char oem[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t length;
	uint64_t xsdt;
	uint8_t extended_checksum;
	uint8_t reserved[3];
} __attribute__((packed));

struct header {
	char signature[4];
	uint32_t length;
	uint8_t revision;
	uint8_t checksum;
	char oem[6], oem_table[8];
	uint32_t oem_revision;
	char creator[4];
	uint32_t creator_revision;
} __attribute__((packed));

struct xsdt {
	struct header h;
	uint64_t tables[2];
} __attribute__((packed));

/* A register: where it is, and how wide. */
struct gas {
	uint8_t space, bits, offset, access;
	uint64_t addr;
} __attribute__((packed));

#define GAS_IO		1
#define GAS_BYTE	1
#define GAS_WORD	2

struct fadt {
	struct header h;
	uint32_t facs, dsdt;
	uint8_t reserved0, profile;
	uint16_t sci;
	uint32_t smi_command;		/* 0: ACPI mode is always on */
	uint8_t enable, disable, s4bios, pstate;
	uint32_t pm1a_event, pm1b_event, pm1a_control, pm1b_control, pm2_control, pm_timer;
	uint32_t gpe0, gpe1;
	uint8_t pm1_event_len, pm1_control_len, pm2_control_len, pm_timer_len;
	uint8_t gpe0_len, gpe1_len, gpe1_base, cstate;
	uint16_t c2_latency, c3_latency, flush_size, flush_stride;
	uint8_t duty_offset, duty_width, day_alarm, month_alarm, century;
	uint16_t boot_arch;
	uint8_t reserved1;
	uint32_t flags;
	struct gas reset;
	uint8_t reset_value, reserved2[3];
	uint64_t x_facs, x_dsdt;
	struct gas x_pm1a_event, x_pm1b_event, x_pm1a_control, x_pm1b_control;
	struct gas x_pm2_control, x_pm_timer, x_gpe0, x_gpe1;
} __attribute__((packed));

_Static_assert(sizeof(struct fadt) == 244, "the FADT of revision 3");

#define BOOT_LEGACY_DEVICES	0x01
#define BOOT_8042		0x02
#define BOOT_NO_VGA		0x04

#define FLAG_WBINVD		(1 << 0)
#define FLAG_C1			(1 << 2)
#define FLAG_NO_POWER_BUTTON	(1 << 4)
#define FLAG_NO_SLEEP_BUTTON	(1 << 5)
#define FLAG_NO_RTC_WAKE	(1 << 6)
#define FLAG_RESET_REGISTER	(1 << 10)
#define FLAG_HEADLESS		(1 << 12)

#define RESET_PORT		0xcf9
#define RESET_VALUE		0x06
#define CMOS_CENTURY		0x32
#define NO_C2			0x0fff
#define NO_C3			0xffff

struct facs {
	char signature[4];
	uint32_t length;
	uint8_t rest[56];
} __attribute__((packed));

struct madt {
	struct header h;
	uint32_t lapic;
	uint32_t flags;
} __attribute__((packed));

#define MADT_HAS_PICS	1

struct madt_lapic {
	uint8_t type, length, processor, apic_id;
	uint32_t flags;
} __attribute__((packed));

struct madt_ioapic {
	uint8_t type, length, id, reserved;
	uint32_t addr, first_gsi;
} __attribute__((packed));

struct madt_override {
	uint8_t type, length, bus, irq;
	uint32_t gsi;
	uint16_t flags;
} __attribute__((packed));

struct madt_nmi {
	uint8_t type, length, processor;
	uint16_t flags;
	uint8_t lint;
} __attribute__((packed));

enum { MADT_LAPIC = 0, MADT_IOAPIC = 1, MADT_OVERRIDE = 2, MADT_NMI = 4 };

#define LAPIC_ENABLED		1
#define ALL_PROCESSORS		0xff
#define ACTIVE_HIGH_LEVEL	0x0d

/* Name (\_S5, Package () { 5, 0, 0, 0 }) */
static const uint8_t dsdt_code[] = {
	0x08, '_', 'S', '5', '_', 0x12, 0x07, 0x04, 0x0a, ACPI_S5_TYPE, 0x00, 0x00, 0x00,
};

#define ACPI_START	(BIOS_START + 0x1000)
#define FACS_START	ACPI_START			/* 64-byte aligned */
#define RSDP_START	(FACS_START + 0x40)
#define TABLES_START	(RSDP_START + 0x40)

static uint8_t checksum(const struct guest_mem *mem, uint64_t gpa, size_t len)
{
	const uint8_t *p = mem_at(mem, gpa, len);
	uint8_t sum = 0;

	while (p && len--)
		sum -= *p++;
	return sum;
}

static struct header header(const char *signature, uint8_t revision)
{
	struct header h = {
		.revision = revision, .oem = OEM_ID, .oem_table = OEM_TABLE_ID, .oem_revision = 1,
		.creator = "VMRN", .creator_revision = 1,
	};

	memcpy(h.signature, signature, 4);
	return h;
}

/* Fills in length and checksum of a table whose bytes, from its header on, lie at [start, end). */
static void finish(struct guest_mem *mem, uint64_t start, uint64_t end)
{
	uint32_t length = end - start;
	uint8_t sum = 0;

	mem_write(mem, start + offsetof(struct header, length), &length, sizeof(length));
	mem_write(mem, start + offsetof(struct header, checksum), &sum, 1);
	sum = checksum(mem, start, length);
	mem_write(mem, start + offsetof(struct header, checksum), &sum, 1);
}

static uint64_t put(struct guest_mem *mem, uint64_t at, const void *bytes, size_t len)
{
	mem_write(mem, at, bytes, len);
	return at + len;
}

static uint64_t write_dsdt(struct guest_mem *mem, uint64_t start)
{
	struct header h = header("DSDT", 2);
	uint64_t end = put(mem, put(mem, start, &h, sizeof(h)), dsdt_code, sizeof(dsdt_code));

	finish(mem, start, end);
	return end;
}

static uint64_t write_fadt(struct guest_mem *mem, uint64_t start, uint64_t dsdt)
{
	struct fadt f = {
		.h = header("FACP", 3),
		.facs = FACS_START, .x_facs = 0,	/* one of the two, says the specification */
		.dsdt = dsdt, .x_dsdt = dsdt,
		.sci = ACPI_SCI,
		.pm1a_event = ACPI_PM1_EVENT, .pm1_event_len = ACPI_PM1_EVENT_SIZE,
		.pm1a_control = ACPI_PM1_CONTROL, .pm1_control_len = ACPI_PM1_CONTROL_SIZE,
		.x_pm1a_event = { GAS_IO, 8 * ACPI_PM1_EVENT_SIZE, 0, GAS_WORD, ACPI_PM1_EVENT },
		.x_pm1a_control = { GAS_IO, 8 * ACPI_PM1_CONTROL_SIZE, 0, GAS_WORD,
				    ACPI_PM1_CONTROL },
		.c2_latency = NO_C2, .c3_latency = NO_C3, .century = CMOS_CENTURY,
		.boot_arch = BOOT_LEGACY_DEVICES | BOOT_8042 | BOOT_NO_VGA,
		.flags = FLAG_WBINVD | FLAG_C1 | FLAG_NO_POWER_BUTTON | FLAG_NO_SLEEP_BUTTON |
			 FLAG_NO_RTC_WAKE | FLAG_RESET_REGISTER | FLAG_HEADLESS,
		.reset = { GAS_IO, 8, 0, GAS_BYTE, RESET_PORT },
		.reset_value = RESET_VALUE,
	};
	uint64_t end = put(mem, start, &f, sizeof(f));

	finish(mem, start, end);
	return end;
}

static uint64_t write_madt(struct guest_mem *mem, uint64_t start, unsigned int cpus)
{
	struct madt m = { .h = header("APIC", 1), .lapic = LAPIC_ADDR, .flags = MADT_HAS_PICS };
	struct madt_ioapic ioapic = { MADT_IOAPIC, sizeof(ioapic), cpus, 0, IOAPIC_ADDR, 0 };
	struct madt_override sci = {
		MADT_OVERRIDE, sizeof(sci), 0, ACPI_SCI, ACPI_SCI, ACTIVE_HIGH_LEVEL,
	};
	struct madt_nmi nmi = { MADT_NMI, sizeof(nmi), ALL_PROCESSORS, 0, 1 };
	uint64_t end = put(mem, start, &m, sizeof(m));
	unsigned int i;

	for (i = 0; i < cpus; i++) {
		struct madt_lapic l = { MADT_LAPIC, sizeof(l), i, i, LAPIC_ENABLED };

		end = put(mem, end, &l, sizeof(l));
	}
	end = put(mem, end, &ioapic, sizeof(ioapic));
	end = put(mem, end, &sci, sizeof(sci));
	end = put(mem, end, &nmi, sizeof(nmi));
	finish(mem, start, end);
	return end;
}

static void write_xsdt(struct guest_mem *mem, uint64_t start, uint64_t fadt, uint64_t madt)
{
	struct xsdt x = { .h = header("XSDT", 1), .tables = { fadt, madt } };

	finish(mem, start, put(mem, start, &x, sizeof(x)));
}

static void write_rsdp(struct guest_mem *mem, uint64_t xsdt)
{
	struct rsdp r = {
		.signature = "RSD PTR ", .oem = OEM_ID, .revision = 2, .length = sizeof(r),
		.xsdt = xsdt,
	};

	put(mem, RSDP_START, &r, sizeof(r));
	r.checksum = checksum(mem, RSDP_START, offsetof(struct rsdp, length));
	put(mem, RSDP_START, &r, sizeof(r));
	r.extended_checksum = checksum(mem, RSDP_START, sizeof(r));
	put(mem, RSDP_START, &r, sizeof(r));
}

void acpi_write(struct guest_mem *mem, unsigned int cpus)
{
	struct facs facs = { .signature = "FACS", .length = sizeof(facs) };
	uint64_t dsdt = TABLES_START, fadt, madt, xsdt;

	put(mem, FACS_START, &facs, sizeof(facs));
	fadt = write_dsdt(mem, dsdt);
	madt = write_fadt(mem, fadt, dsdt);
	xsdt = write_madt(mem, madt, cpus);
	write_xsdt(mem, xsdt, fadt, madt);
	write_rsdp(mem, xsdt);
}
