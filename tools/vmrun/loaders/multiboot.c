// SPDX-License-Identifier: GPL-2.0
/*
 * Kernels with a multiboot header (Multiboot Specification 0.6.96): placed as their ELF headers say
 * or, for other formats, as the multiboot header itself does. --initrd is their one module.
 */
#include <string.h>

#include "../layout.h"
#include "elf.h"
#include "linux.h"

#define SEARCH			8192
#define MAGIC			0x1badb002
#define BOOTLOADER_MAGIC	0x2badb002

#define FLAG_ALIGN_MODULES	0x00001	/* which we do anyway */
#define FLAG_MEMORY		0x00002	/* likewise */
#define FLAG_VIDEO		0x00004
#define FLAGS_REQUIRED		0x0ffff	/* what we don't know of these we have to refuse */
#define FLAG_ADDRESSES		0x10000

struct header {
	uint32_t magic, flags, checksum;
	uint32_t header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr;
};

#define HEADER_MIN		12	/* up to the checksum */

#define INFO_MEMORY		0x001
#define INFO_CMDLINE		0x004
#define INFO_MODULES		0x008
#define INFO_MAP		0x040
#define INFO_LOADER		0x200

struct info {
	uint32_t flags;
	uint32_t mem_lower, mem_upper;	/* KiB, from 0 and from 1 MiB */
	uint32_t boot_device;
	uint32_t cmdline;
	uint32_t mods_count, mods_addr;
	uint32_t syms[4];
	uint32_t mmap_length, mmap_addr;
	uint32_t drives_length, drives_addr;
	uint32_t config_table;
	uint32_t boot_loader_name;
};

struct module {
	uint32_t start, end, string, reserved;
};

struct map_entry {
	uint32_t size;			/* of what follows */
	uint64_t addr, length;
	uint32_t type;
} __attribute__((packed));

/* All of it in the zero page's place. */
struct boot_info {
	struct info info;
	struct module module;
	struct map_entry map[5];
	char loader[8];
};

static bool find_header(const struct image *img, struct header *h, uint64_t *offset)
{
	uint64_t o;

	for (o = 0; o + HEADER_MIN <= SEARCH; o += 4) {
		const void *p = image_at(img, o, HEADER_MIN);

		if (!p)
			break;
		memset(h, 0, sizeof(*h));
		memcpy(h, p, HEADER_MIN);
		if (h->magic == MAGIC && h->magic + h->flags + h->checksum == 0) {
			*offset = o;
			p = image_at(img, o, sizeof(*h));
			if (p)
				memcpy(h, p, sizeof(*h));
			return true;
		}
	}
	return false;
}

static bool multiboot_recognise(const struct image *img)
{
	struct header h;
	uint64_t offset;

	return find_header(img, &h, &offset);
}

/* The part of the file from load_addr on, as much of it as the header says. */
static int load_by_header(struct guest_mem *mem, const struct image *img, const struct header *h,
			  uint64_t header_offset, uint64_t *end, struct error *err)
{
	uint64_t start, len, size;
	void *dst;

	if (h->header_addr < h->load_addr || h->header_addr - h->load_addr > header_offset)
		return failed(err, "%s: a multiboot header whose load address is outside of the file",
			      img->name);
	start = header_offset - (h->header_addr - h->load_addr);
	len = h->load_end_addr ? (uint64_t)h->load_end_addr - h->load_addr : img->size - start;
	size = h->bss_end_addr ? (uint64_t)h->bss_end_addr - h->load_addr : len;
	if ((h->load_end_addr && h->load_end_addr < h->load_addr) || !image_at(img, start, len))
		return failed(err, "%s: a multiboot kernel that isn't all there", img->name);
	if (h->bss_end_addr && (h->bss_end_addr < h->load_addr || size < len))
		return failed(err, "%s: a multiboot header whose addresses contradict each other",
			      img->name);
	if (h->load_addr < HIGH_MEMORY)
		return failed(err, "%s: a multiboot kernel for %#x; below 1 MiB lies what the guest starts with",
			      img->name, h->load_addr);
	dst = mem_at(mem, h->load_addr, size);
	if (!dst)
		return failed(err, "%s: %llu KiB at %#x don't fit into %llu MiB of memory",
			      img->name, (unsigned long long)(size >> 10), h->load_addr,
			      (unsigned long long)(mem->size >> 20));
	if (h->entry_addr < h->load_addr || h->entry_addr - h->load_addr >= size)
		return failed(err, "%s: a multiboot kernel whose entry %#x isn't in it", img->name,
			      h->entry_addr);
	memcpy(dst, image_at(img, start, len), len);
	*end = h->load_addr + size;
	return 0;
}

static int check_flags(const struct image *img, const struct header *h, struct error *err)
{
	uint32_t unknown = h->flags & FLAGS_REQUIRED & ~(FLAG_ALIGN_MODULES | FLAG_MEMORY);

	if (unknown & FLAG_VIDEO)
		return failed(err, "%s: a multiboot kernel that asks for a graphics mode, which vmrun hasn't",
			      img->name);
	if (unknown)
		return failed(err, "%s: a multiboot kernel that needs what vmrun doesn't know (flags %#x)",
			      img->name, unknown);
	return 0;
}

/* Where Linux' boot_params would be, made from them. */
static void write_info(struct guest_mem *mem, const struct boot_params *bp)
{
	struct boot_info b = {
		.info = {
			.flags = INFO_MEMORY | INFO_CMDLINE | INFO_MAP | INFO_LOADER,
			.mem_lower = EBDA_START >> 10,
			.mem_upper = (mem->low_size - HIGH_MEMORY) >> 10,
			.cmdline = BOOT_CMDLINE,
			.mmap_addr = BOOT_ZERO_PAGE + offsetof(struct boot_info, map),
			.mmap_length = bp->e820_entries * sizeof(struct map_entry),
			.boot_loader_name = BOOT_ZERO_PAGE + offsetof(struct boot_info, loader),
		},
		.loader = "vmrun",
	};
	unsigned int i;

	if (bp->hdr.ramdisk_size) {
		b.info.flags |= INFO_MODULES;
		b.info.mods_count = 1;
		b.info.mods_addr = BOOT_ZERO_PAGE + offsetof(struct boot_info, module);
		b.module.start = bp->hdr.ramdisk_image;
		b.module.end = bp->hdr.ramdisk_image + bp->hdr.ramdisk_size;
		b.module.string = BOOT_CMDLINE;
	}
	for (i = 0; i < bp->e820_entries; i++)
		b.map[i] = (struct map_entry) {
			sizeof(b.map[i]) - sizeof(b.map[i].size), bp->e820_table[i].addr,
			bp->e820_table[i].size, bp->e820_table[i].type,
		};
	mem_write(mem, BOOT_ZERO_PAGE, &b, sizeof(b));
}

static int multiboot_load(struct guest_mem *mem, const struct boot *boot, struct entry *entry,
			  struct error *err)
{
	const struct image *img = boot->kernel;
	uint64_t header_offset, ip, end;
	struct boot_params bp = { .hdr = { .initrd_addr_max = 0x7fffffff } };
	struct header h;

	find_header(img, &h, &header_offset);
	if (check_flags(img, &h, err))
		return -1;
	ip = h.entry_addr;
	if (h.flags & FLAG_ADDRESSES ? load_by_header(mem, img, &h, header_offset, &end, err) :
	    elf_load(mem, img, ELF_32_OR_64, &ip, &end, err))
		return -1;
	if (boot_cmdline(mem, &bp, boot->cmdline, BOOT_CMDLINE_MAX - 1, err) ||
	    boot_initrd(mem, &bp, boot->initrd, end, bp.hdr.initrd_addr_max, err))
		return -1;
	boot_tables(mem, ENTRY_PROT);
	boot_memory_map(&bp, mem);
	write_info(mem, &bp);
	*entry = (struct entry) {
		.mode = ENTRY_PROT,
		.ip = ip,
		.sp = BOOT_STACK_TOP,
		.ax = BOOTLOADER_MAGIC,
		.bx = BOOT_ZERO_PAGE,
	};
	return 0;
}

const struct loader multiboot_loader = {
	.name = "multiboot kernel",
	.recognise = multiboot_recognise,
	.load = multiboot_load,
};
