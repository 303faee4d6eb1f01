/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What lies at 0xc0000 to 1 MiB in a machine with firmware: RAM, or the end of the ROM, or nothing.
 * The chipset's PAM registers choose it for 13 regions (82441FX data sheet, "Programmable Attribute
 * Map Registers"): reads come from RAM or not, writes go to RAM or not.
 */
#ifndef VMRUN_SHADOW_H
#define VMRUN_SHADOW_H

#include <stdint.h>

#include "bus.h"
#include "loaders/loader.h"
#include "memory.h"

#define SHADOW_START	0xc0000
#define SHADOW_END	0x100000
#define SHADOW_REGIONS	13		/* 12 of 16 KiB, then one of 64 KiB */
#define ROM_MAX		(16U << 20)

enum { SHADOW_READ = 1, SHADOW_WRITE = 2 };

struct vm;

struct shadow {
	struct vm *vm;
	const struct guest_mem *mem;
	uint8_t *rom;			/* whole pages; ends at 4 GiB, and its last part at 1 MiB */
	uint32_t rom_size;
	uint8_t mode[SHADOW_REGIONS];
	/* Give a region another mode. Not from two threads at once: the PCI bus's lock is held. */
	int (*set)(struct shadow *s, unsigned int region, unsigned int mode);
};

/* Return: 0, or -1 with @err saying why this firmware can't be used. */
int shadow_create(struct shadow *s, const struct image *rom, struct error *err);
void shadow_destroy(struct shadow *s);

/* Places ROM and regions in the guest's memory; whoever writes to what isn't RAM comes by @mmio. */
int shadow_map(struct shadow *s, struct vm *vm, const struct guest_mem *mem, struct bus *mmio,
	       struct error *err);

#endif
