/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What firmware is told by QEMU's fw_cfg interface: named files, which devices/fwcfg.c hands out.
 * The interface is described in QEMU's docs/specs/fw_cfg.rst.
 */
#ifndef VMRUN_FWCFG_H
#define VMRUN_FWCFG_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "memory.h"

#define FWCFG_FILES_MAX		16
#define FWCFG_NAME_MAX		56	/* with its NUL */

struct fwcfg_file {
	char name[FWCFG_NAME_MAX];
	void *data;
	uint32_t size;
};

struct fwcfg {
	struct fwcfg_file files[FWCFG_FILES_MAX];
	unsigned int nr;
	uint16_t cpus;
};

/* Copies data. Return: 0, or -1 with @err filled in. */
int fwcfg_add(struct fwcfg *f, const char *name, const void *data, size_t size, struct error *err);
int fwcfg_add_number(struct fwcfg *f, const char *name, uint64_t value, struct error *err);

/* The memory map, and ACPI tables with the script by which firmware places and links them. */
int fwcfg_add_memory_map(struct fwcfg *f, const struct guest_mem *mem, struct error *err);
int fwcfg_add_acpi(struct fwcfg *f, unsigned int cpus, struct error *err);

void fwcfg_destroy(struct fwcfg *f);

#endif
