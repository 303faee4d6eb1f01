// SPDX-License-Identifier: GPL-2.0
/*
 * The DSDT's code: the sleep state "off", and the PCI bus with its windows and interrupts. In ASL:
 *
 *	Name (\_S5, Package () { 5, 0, 0, 0 })
 *	Device (\_SB.PCI0) {
 *		Name (_HID, EisaId ("PNP0A03"))
 *		Name (_CRS, ResourceTemplate () { bus 0, ports, memory })
 *		Name (_PRT, Package () { { slot << 16 | 0xffff, 0, 0, GSI }, ... })
 *	}
 *	Device (\_SB.PEVT) {			panics
 *		Name (_HID, "QEMU0001")
 *		Name (_CRS, ResourceTemplate () { IO (Decode16, 0x505, 0x505, 1, 1) })
 *	}
 */
#include <assert.h>
#include <string.h>

#include "acpi.h"
#include "pci.h"

enum {
	AML_ZERO = 0x00, AML_NAME = 0x08, AML_BYTE = 0x0a, AML_WORD = 0x0b, AML_DWORD = 0x0c,
	AML_STRING = 0x0d,
	AML_SCOPE = 0x10, AML_BUFFER = 0x11, AML_PACKAGE = 0x12, AML_EXTENDED = 0x5b,
	AML_DEVICE = 0x82,
};

/* Large resource descriptors: address spaces (ACPI, "Resource Data Types"). */
enum { SPACE_WORD = 0x88, SPACE_DWORD = 0x87 };
enum { SPACE_MEMORY, SPACE_IO, SPACE_BUS };
#define SPACE_FIXED		0x0c	/* the bridge hands on: start and end are as they are */
#define MEMORY_WRITABLE		0x01
#define IO_ENTIRE_RANGE		0x03
#define END_TAG			0x79

#define CONFIG_PORT		0xcf8
#define CONFIG_PORTS		8

struct code {
	uint8_t *bytes;
	size_t size, room;
};

static void put(struct code *c, const void *bytes, size_t len)
{
	assert(len <= c->room - c->size);
	memcpy(c->bytes + c->size, bytes, len);
	c->size += len;
}

static void put_number(struct code *c, uint64_t value, size_t len)
{
	put(c, &value, len);
}

static void put_byte(struct code *c, uint8_t value)
{
	put(c, &value, 1);
}

/* What has a length in front of it: two bytes of it, which reach up to 4 KiB. */
static size_t begin(struct code *c)
{
	put_number(c, 0, 2);
	return c->size - 2;
}

static void end(struct code *c, size_t start)
{
	size_t len = c->size - start;

	c->bytes[start] = 0x40 | (len & 15);
	c->bytes[start + 1] = len >> 4;
}

static void put_name(struct code *c, const char *name)
{
	put_byte(c, AML_NAME);
	put(c, name, strlen(name));
}

static void put_dword(struct code *c, uint32_t value)
{
	put_byte(c, AML_DWORD);
	put_number(c, value, 4);
}

static void put_s5(struct code *c)
{
	static const uint8_t elements[] = {
		AML_PACKAGE, 7, 4, AML_BYTE, ACPI_S5_TYPE, AML_ZERO, AML_ZERO, AML_ZERO,
	};

	put_name(c, "_S5_");
	put(c, elements, sizeof(elements));
}

/* A range that the bridge hands on, both ends included. */
static void put_space(struct code *c, uint8_t kind, uint8_t flags, uint32_t first, uint32_t last)
{
	size_t width = kind == SPACE_MEMORY ? 4 : 2;

	put_byte(c, kind == SPACE_MEMORY ? SPACE_DWORD : SPACE_WORD);
	put_number(c, 3 + 5 * width, 2);
	put_byte(c, kind);
	put_byte(c, SPACE_FIXED);
	put_byte(c, flags);
	put_number(c, 0, width);		/* granularity */
	put_number(c, first, width);
	put_number(c, last, width);
	put_number(c, 0, width);		/* translation */
	put_number(c, last - first + 1, width);
}

static void put_crs(struct code *c)
{
	static const uint8_t config_ports[] = {
		0x47, 0x01, CONFIG_PORT & 0xff, CONFIG_PORT >> 8, CONFIG_PORT & 0xff,
		CONFIG_PORT >> 8, 1, CONFIG_PORTS,
	};
	size_t start, size, first;

	put_name(c, "_CRS");
	put_byte(c, AML_BUFFER);
	start = begin(c);
	put_byte(c, AML_WORD);
	size = c->size;
	put_number(c, 0, 2);
	first = c->size;
	put_space(c, SPACE_BUS, 0, 0, 0);
	put(c, config_ports, sizeof(config_ports));
	put_space(c, SPACE_IO, IO_ENTIRE_RANGE, 0, CONFIG_PORT - 1);
	put_space(c, SPACE_IO, IO_ENTIRE_RANGE, CONFIG_PORT + CONFIG_PORTS, PCI_IO_END - 1);
	put_space(c, SPACE_MEMORY, MEMORY_WRITABLE, PCI_MEM_START, PCI_MEM_END - 1);
	put_byte(c, END_TAG);
	put_byte(c, 0);				/* its sum isn't checked */
	c->bytes[size] = c->size - first;
	c->bytes[size + 1] = (c->size - first) >> 8;
	end(c, start);
}

/* INTA# of each slot, straight to the interrupt that its PIRQ is routed to. */
static void put_prt(struct code *c)
{
	size_t start, entry;
	unsigned int slot;

	put_name(c, "_PRT");
	put_byte(c, AML_PACKAGE);
	start = begin(c);
	put_byte(c, PCI_SLOTS - 1);
	for (slot = 1; slot < PCI_SLOTS; slot++) {
		put_byte(c, AML_PACKAGE);
		entry = begin(c);
		put_byte(c, 4);
		put_dword(c, slot << 16 | 0xffff);
		put_byte(c, AML_ZERO);
		put_byte(c, AML_ZERO);
		put_byte(c, AML_BYTE);
		put_byte(c, pci_usual_irq(pci_pirq(slot)));
		end(c, entry);
	}
	end(c, start);
}

/* Up to its _HID, which comes next. end() ends it. */
static size_t begin_device(struct code *c, const char *name)
{
	size_t device;

	put_byte(c, AML_EXTENDED);
	put_byte(c, AML_DEVICE);
	device = begin(c);
	put(c, name, 4);
	put_name(c, "_HID");
	return device;
}

/* As QEMU has it, for whose guests' drivers were written. */
static void put_panic(struct code *c)
{
	static const uint8_t crs[] = {
		AML_BUFFER, 13, AML_BYTE, 10, 0x47, 0x01, ACPI_PANIC & 0xff, ACPI_PANIC >> 8,
		ACPI_PANIC & 0xff, ACPI_PANIC >> 8, 1, 1, END_TAG, 0,
	};
	size_t device;

	device = begin_device(c, "PEVT");
	put_byte(c, AML_STRING);
	put(c, "QEMU0001", 9);
	put_name(c, "_CRS");
	put(c, crs, sizeof(crs));
	end(c, device);
}

/* SeaBIOS doesn't look for one that isn't here. */
static void put_keyboard(struct code *c)
{
	static const uint8_t pnp0303[] = { 0x41, 0xd0, 0x03, 0x03 };
	static const uint8_t crs[] = {
		AML_BUFFER, 24, AML_BYTE, 21, 0x47, 0x01, 0x60, 0, 0x60, 0, 1, 1, 0x47, 0x01, 0x64, 0,
		0x64, 0, 1, 1, 0x22, 1 << 1, 0, END_TAG, 0,
	};
	size_t device;

	device = begin_device(c, "KBD_");
	put_byte(c, AML_DWORD);
	put(c, pnp0303, sizeof(pnp0303));
	put_name(c, "_CRS");
	put(c, crs, sizeof(crs));
	end(c, device);
}

size_t dsdt_code(uint8_t *bytes, size_t room)
{
	static const uint8_t pnp0a03[] = { 0x41, 0xd0, 0x0a, 0x03 };
	struct code c = { bytes, 0, room };
	size_t scope, device;

	put_s5(&c);
	put_byte(&c, AML_SCOPE);
	scope = begin(&c);
	put(&c, "_SB_", 4);
	device = begin_device(&c, "PCI0");
	put_byte(&c, AML_DWORD);
	put(&c, pnp0a03, sizeof(pnp0a03));
	put_crs(&c);
	put_prt(&c);
	end(&c, device);
	put_panic(&c);
	put_keyboard(&c);
	end(&c, scope);
	return c.size;
}
