// SPDX-License-Identifier: GPL-2.0
/* Plain machine code: a boot sector, or whatever --entry-mode declares to be code. */
#include <string.h>

#include "../layout.h"
#include "linux.h"

#define SECTOR			512
#define SIGNATURE_OFFSET	510

static bool bootsector_recognise(const struct image *img)
{
	return image_has(img, SIGNATURE_OFFSET, "\x55\xaa", 2);
}

/* Above 1 MiB anywhere; below, outside of what vmrun itself puts there (layout.h). */
static bool place_is_free(uint64_t addr, uint64_t size)
{
	if (addr >= HIGH_MEMORY)
		return true;
	if (addr >= BOOT_PAGE_TABLES + 6 * 4096 && addr + size <= BOOT_ZERO_PAGE)
		return true;
	return addr >= BOOT_CMDLINE + BOOT_CMDLINE_MAX && addr + size <= EBDA_START;
}

static int check_place(const struct guest_mem *mem, const struct image *img, enum entry_mode mode,
		       uint64_t addr, struct error *err)
{
	if (mode == ENTRY_REAL) {
		if (addr < 0x500 || addr > 0xffff || img->size > EBDA_START - addr)
			return failed(err, "%s: %zu bytes at %#llx: real-mode code starts from 0x500 to 0xffff and ends below %#x",
				      img->name, img->size, (unsigned long long)addr, EBDA_START);
	} else if (addr > UINT32_MAX) {
		return failed(err, "%s: only the first 4 GiB are mapped at the start", img->name);
	} else if (!place_is_free(addr, img->size)) {
		return failed(err, "%s: %zu bytes at %#llx would lie on what the guest starts with; use 0x100000 or above",
			      img->name, img->size, (unsigned long long)addr);
	}
	if (!mem_at(mem, addr, img->size))
		return failed(err, "%s: %zu KiB at %#llx don't fit into %llu MiB of memory",
			      img->name, img->size >> 10, (unsigned long long)addr,
			      (unsigned long long)(mem->size >> 20));
	return 0;
}

static int load_at(struct guest_mem *mem, const struct boot *boot, enum entry_mode mode,
		   uint64_t addr, struct entry *entry, struct error *err)
{
	const struct image *img = boot->kernel;

	if (check_place(mem, img, mode, addr, err))
		return -1;
	/* Real-mode code has low memory to itself, but for the two words of the BIOS data area. */
	if (mode != ENTRY_REAL && boot_plain(mem, boot, mode, addr + img->size, err))
		return -1;
	mem_write(mem, addr, img->data, img->size);
	*entry = (struct entry) {
		.mode = mode,
		.ip = addr,
		.sp = mode == ENTRY_REAL ? addr & ~1ULL : BOOT_STACK_TOP,
		.si = mode == ENTRY_REAL ? 0 : BOOT_ZERO_PAGE,
	};
	return 0;
}

static int flat_load(struct guest_mem *mem, const struct boot *boot, struct entry *entry,
		     struct error *err)
{
	const struct flat_options *f = &boot->flat;
	uint64_t addr = f->mode == ENTRY_REAL ? BOOT_SECTOR_ADDR : HIGH_MEMORY;

	return load_at(mem, boot, f->mode, f->addr_given ? f->addr : addr, entry, err);
}

static int bootsector_load(struct guest_mem *mem, const struct boot *boot, struct entry *entry,
			   struct error *err)
{
	if (boot->kernel->size > EBDA_START - BOOT_SECTOR_ADDR)
		return failed(err, "%s: too long for a boot sector that is started without firmware",
			      boot->kernel->name);
	return load_at(mem, boot, ENTRY_REAL, BOOT_SECTOR_ADDR, entry, err);
}

const struct loader flat_loader = {
	.name = "plain machine code",
	.load = flat_load,
};

const struct loader bootsector_loader = {
	.name = "boot sector",
	.recognise = bootsector_recognise,
	.load = bootsector_load,
};
