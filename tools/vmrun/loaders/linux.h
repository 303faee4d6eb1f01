/* SPDX-License-Identifier: GPL-2.0 */
/* What every guest finds in low memory, in the form of Linux' boot protocol (its x86/boot.rst). */
#ifndef VMRUN_LOADERS_LINUX_H
#define VMRUN_LOADERS_LINUX_H

#include <asm/bootparam.h>

#include "loader.h"

/* GDT for code that starts in that mode, page tables that map 4 GiB one to one, and the BIOS data area. */
void boot_tables(struct guest_mem *mem, enum entry_mode mode);

/* The memory map of this machine. */
void boot_memory_map(struct boot_params *bp, const struct guest_mem *mem);

/**
 * boot_cmdline() - put the command line where boot_params says it is
 * @max: its greatest length, without the NUL
 */
int boot_cmdline(struct guest_mem *mem, struct boot_params *bp, const char *cmdline, size_t max,
		 struct error *err);

/**
 * boot_initrd() - put the initial RAM disk as high as allowed
 * @floor: what it has to stay above
 * @max_addr: the highest address it may touch
 */
int boot_initrd(struct guest_mem *mem, struct boot_params *bp, const struct image *initrd,
		uint64_t floor, uint64_t max_addr, struct error *err);

/* For images that come without a setup header: one that says what Linux asks for. */
int boot_plain(struct guest_mem *mem, const struct boot *boot, enum entry_mode mode,
	       uint64_t image_end, struct error *err);

#endif
