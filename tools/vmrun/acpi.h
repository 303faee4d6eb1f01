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
#define ACPI_S5_TYPE		5

void acpi_write(struct guest_mem *mem, unsigned int cpus);

#endif
