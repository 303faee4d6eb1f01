/* SPDX-License-Identifier: GPL-2.0 */
/* The little of ACPI that a guest needs to find its processors and to switch the machine off. */
#ifndef VMRUN_ACPI_H
#define VMRUN_ACPI_H

#include "memory.h"

/* Fixed hardware: devices/acpipm.c answers there. */
#define ACPI_PM1_EVENT		0x600
#define ACPI_PM1_EVENT_SIZE	4
#define ACPI_PM1_CONTROL	0x604
#define ACPI_PM1_CONTROL_SIZE	2
#define ACPI_SCI		9
#define ACPI_PANIC		0x505	/* devices/pvpanic.c */
#define ACPI_S5_TYPE		5

/* A field of a table that holds an address: to begin with, an offset from the first table. */
struct acpi_link {
	uint32_t offset;
	uint8_t size;
};

/* The byte that makes the sum of length bytes from start on zero. */
struct acpi_sum {
	uint32_t offset, start, length;
};

/* The tables, and what there is to do when they are put somewhere. */
struct acpi_blob {
	uint8_t tables[4096];
	uint32_t size;
	struct acpi_link links[8];
	unsigned int nr_links;
	struct acpi_sum sums[8];
	unsigned int nr_sums;

	uint8_t rsdp[36];		/* it stands apart: guests look for it below 1 MiB */
	struct acpi_link rsdp_links[2];
	struct acpi_sum rsdp_sums[2];
};

/* dsdt.c: what the DSDT says. Return: its size. */
size_t dsdt_code(uint8_t *bytes, size_t room);

void acpi_build(struct acpi_blob *b, unsigned int cpus);

/* Puts them where a guest without firmware looks for them. */
void acpi_write(struct guest_mem *mem, unsigned int cpus);

#endif
