/* SPDX-License-Identifier: GPL-2.0 */
/* Static ELF executables, placed by their physical addresses. */
#ifndef VMRUN_LOADERS_ELF_H
#define VMRUN_LOADERS_ELF_H

#include "loader.h"

enum elf_width { ELF_64, ELF_32_OR_64 };

/**
 * elf_load() - put an executable's segments into guest memory
 * @entry: on success its entry's physical address, below 4 GiB
 * @end: on success the end of its highest segment below 4 GiB
 */
int elf_load(struct guest_mem *mem, const struct image *img, enum elf_width width, uint64_t *entry,
	     uint64_t *end, struct error *err);

#endif
