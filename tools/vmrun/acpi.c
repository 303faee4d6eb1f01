// SPDX-License-Identifier: GPL-2.0
/*
 * ACPI tables (ACPI specification 2.0): processors and I/O APIC in the MADT, fixed hardware and
 * reset register in the FADT; dsdt.c has the DSDT's code.
 */
#include <assert.h>
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

/* The same for those who know ACPI 1.0 only: GRUB, to switch off. */
struct rsdt {
	struct header h;
	uint32_t tables[2];
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
#define ACTIVE_LOW_LEVEL	0x0f

/* Without firmware they lie here. */
#define RSDP_START	(BIOS_START + 0x1000)
#define TABLES_START	(RSDP_START + 0x40)	/* 64-byte aligned */

/* Appends to the blob; what is there may not fit only if CPUS_MAX has grown. */
static uint32_t put(struct acpi_blob *b, const void *bytes, size_t len)
{
	uint32_t at = b->size;

	assert(len <= sizeof(b->tables) - at);
	memcpy(b->tables + at, bytes, len);
	b->size += len;
	return at;
}

static uint8_t checksum(const uint8_t *p, size_t len)
{
	uint8_t sum = 0;

	while (len--)
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

/* Fills in length and checksum of the table that begins at start and is the blob's last. */
static uint32_t finish(struct acpi_blob *b, uint32_t start)
{
	uint32_t length = b->size - start;
	struct acpi_sum sum = { start + offsetof(struct header, checksum), start, length };

	memcpy(b->tables + start + offsetof(struct header, length), &length, sizeof(length));
	b->tables[sum.offset] = checksum(b->tables + start, length);
	b->sums[b->nr_sums++] = sum;
	return start;
}

/* A field holds the offset of another table, to which its address is to be added. */
static void link(struct acpi_blob *b, uint32_t offset, uint8_t size)
{
	b->links[b->nr_links++] = (struct acpi_link) { offset, size };
}

static uint32_t put_dsdt(struct acpi_blob *b)
{
	struct header h = header("DSDT", 2);
	uint32_t start = put(b, &h, sizeof(h));

	b->size += dsdt_code(b->tables + b->size, sizeof(b->tables) - b->size);
	return finish(b, start);
}

static uint32_t put_fadt(struct acpi_blob *b, uint32_t facs, uint32_t dsdt)
{
	struct fadt f = {
		.h = header("FACP", 3),
		.facs = facs, .x_facs = 0,	/* one of the two, says the specification */
		.dsdt = dsdt, .x_dsdt = dsdt,
		.sci = ACPI_SCI,
		.pm1a_event = ACPI_PM1_EVENT, .pm1_event_len = ACPI_PM1_EVENT_SIZE,
		.pm1a_control = ACPI_PM1_CONTROL, .pm1_control_len = ACPI_PM1_CONTROL_SIZE,
		.x_pm1a_event = { GAS_IO, 8 * ACPI_PM1_EVENT_SIZE, 0, GAS_WORD, ACPI_PM1_EVENT },
		.x_pm1a_control = { GAS_IO, 8 * ACPI_PM1_CONTROL_SIZE, 0, GAS_WORD,
				    ACPI_PM1_CONTROL },
		.c2_latency = NO_C2, .c3_latency = NO_C3, .century = CMOS_CENTURY,
		.boot_arch = BOOT_LEGACY_DEVICES | BOOT_8042 | BOOT_NO_VGA,
		.flags = FLAG_WBINVD | FLAG_C1 | FLAG_NO_SLEEP_BUTTON |
			 FLAG_NO_RTC_WAKE | FLAG_RESET_REGISTER | FLAG_HEADLESS,
		.reset = { GAS_IO, 8, 0, GAS_BYTE, RESET_PORT },
		.reset_value = RESET_VALUE,
	};
	uint32_t start = put(b, &f, sizeof(f));

	link(b, start + offsetof(struct fadt, facs), sizeof(f.facs));
	link(b, start + offsetof(struct fadt, dsdt), sizeof(f.dsdt));
	link(b, start + offsetof(struct fadt, x_dsdt), sizeof(f.x_dsdt));
	return finish(b, start);
}

/* What ISA devices don't have as ISA has it: the SCI, and what PCI's interrupts come as. */
static void put_overrides(struct acpi_blob *b)
{
	static const struct { uint8_t irq, flags; } overrides[] = {
		{ ACPI_SCI, ACTIVE_HIGH_LEVEL }, { 10, ACTIVE_LOW_LEVEL }, { 11, ACTIVE_LOW_LEVEL },
	};
	size_t i;

	for (i = 0; i < sizeof(overrides) / sizeof(overrides[0]); i++) {
		struct madt_override o = {
			MADT_OVERRIDE, sizeof(o), 0, overrides[i].irq, overrides[i].irq,
			overrides[i].flags,
		};

		put(b, &o, sizeof(o));
	}
}

static uint32_t put_madt(struct acpi_blob *b, unsigned int cpus)
{
	struct madt m = { .h = header("APIC", 1), .lapic = LAPIC_ADDR, .flags = MADT_HAS_PICS };
	struct madt_ioapic ioapic = { MADT_IOAPIC, sizeof(ioapic), cpus, 0, IOAPIC_ADDR, 0 };
	struct madt_nmi nmi = { MADT_NMI, sizeof(nmi), ALL_PROCESSORS, 0, 1 };
	uint32_t start = put(b, &m, sizeof(m));
	unsigned int i;

	for (i = 0; i < cpus; i++) {
		struct madt_lapic l = { MADT_LAPIC, sizeof(l), i, i, LAPIC_ENABLED };

		put(b, &l, sizeof(l));
	}
	put(b, &ioapic, sizeof(ioapic));
	put_overrides(b);
	put(b, &nmi, sizeof(nmi));
	return finish(b, start);
}

static uint32_t put_xsdt(struct acpi_blob *b, uint32_t fadt, uint32_t madt)
{
	struct xsdt x = { .h = header("XSDT", 1), .tables = { fadt, madt } };
	uint32_t start = put(b, &x, sizeof(x));

	link(b, start + offsetof(struct xsdt, tables[0]), sizeof(x.tables[0]));
	link(b, start + offsetof(struct xsdt, tables[1]), sizeof(x.tables[1]));
	return finish(b, start);
}

static uint32_t put_rsdt(struct acpi_blob *b, uint32_t fadt, uint32_t madt)
{
	struct rsdt r = { .h = header("RSDT", 1), .tables = { fadt, madt } };
	uint32_t start = put(b, &r, sizeof(r));

	link(b, start + offsetof(struct rsdt, tables[0]), sizeof(r.tables[0]));
	link(b, start + offsetof(struct rsdt, tables[1]), sizeof(r.tables[1]));
	return finish(b, start);
}

static void build_rsdp(struct acpi_blob *b, uint32_t rsdt, uint32_t xsdt)
{
	struct rsdp r = {
		.signature = "RSD PTR ", .oem = OEM_ID, .revision = 2, .length = sizeof(r),
		.rsdt = rsdt, .xsdt = xsdt,
	};

	_Static_assert(sizeof(r) == sizeof(b->rsdp), "the RSDP of revision 2");
	r.checksum = checksum((uint8_t *)&r, offsetof(struct rsdp, length));
	r.extended_checksum = checksum((uint8_t *)&r, sizeof(r));
	memcpy(b->rsdp, &r, sizeof(r));
	b->rsdp_links[0] = (struct acpi_link) { offsetof(struct rsdp, rsdt), sizeof(r.rsdt) };
	b->rsdp_links[1] = (struct acpi_link) { offsetof(struct rsdp, xsdt), sizeof(r.xsdt) };
	b->rsdp_sums[0] = (struct acpi_sum) {
		offsetof(struct rsdp, checksum), 0, offsetof(struct rsdp, length),
	};
	b->rsdp_sums[1] = (struct acpi_sum) {
		offsetof(struct rsdp, extended_checksum), 0, sizeof(r),
	};
}

void acpi_build(struct acpi_blob *b, unsigned int cpus)
{
	struct facs facs = { .signature = "FACS", .length = sizeof(facs) };
	uint32_t at_facs, dsdt, fadt, madt, rsdt;

	memset(b, 0, sizeof(*b));
	at_facs = put(b, &facs, sizeof(facs));	/* first: it is to be aligned */
	dsdt = put_dsdt(b);
	fadt = put_fadt(b, at_facs, dsdt);
	madt = put_madt(b, cpus);
	rsdt = put_rsdt(b, fadt, madt);
	build_rsdp(b, rsdt, put_xsdt(b, fadt, madt));
}

static void relocate(uint8_t *bytes, const struct acpi_link *l, uint64_t base)
{
	uint64_t value = 0;

	memcpy(&value, bytes + l->offset, l->size);
	value += base;
	memcpy(bytes + l->offset, &value, l->size);
}

static void mend(uint8_t *bytes, const struct acpi_sum *s)
{
	bytes[s->offset] += checksum(bytes + s->start, s->length);
}

void acpi_write(struct guest_mem *mem, unsigned int cpus)
{
	static struct acpi_blob b;
	unsigned int i;

	acpi_build(&b, cpus);
	for (i = 0; i < b.nr_links; i++)
		relocate(b.tables, &b.links[i], TABLES_START);
	for (i = 0; i < b.nr_sums; i++)
		mend(b.tables, &b.sums[i]);
	for (i = 0; i < 2; i++)
		relocate(b.rsdp, &b.rsdp_links[i], TABLES_START);
	for (i = 0; i < 2; i++)
		mend(b.rsdp, &b.rsdp_sums[i]);
	mem_write(mem, TABLES_START, b.tables, b.size);
	mem_write(mem, RSDP_START, b.rsdp, sizeof(b.rsdp));
}
