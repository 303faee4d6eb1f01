// SPDX-License-Identifier: GPL-2.0
/* Images that are known by sight and can't be started, so that the refusal can name them. */
#include <elf.h>
#include <string.h>

#include "loader.h"

#define MULTIBOOT2_SEARCH	32768
#define MULTIBOOT2_MAGIC	0xe85250d6

#define UNPACK	": unpack it first, or give it with --initrd if it is an initial RAM disk"

static const struct {
	uint32_t offset;
	const char *bytes;
	size_t len;
	const char *kind;
} magics[] = {
	{ 0, "\x1f\x8b", 2, "a file compressed with gzip" UNPACK },
	{ 0, "\xfd" "7zXZ", 6, "a file compressed with xz" UNPACK },
	{ 0, "\x28\xb5\x2f\xfd", 4, "a file compressed with zstd" UNPACK },
	{ 0, "\x04\x22\x4d\x18", 4, "a file compressed with lz4" UNPACK },
	{ 0, "\x02\x21\x4c\x18", 4, "a file compressed with lz4" UNPACK },
	{ 0, "BZh", 3, "a file compressed with bzip2" UNPACK },
	{ 0, "07070", 5, "a cpio archive, an initial RAM disk: give it with --initrd" },
	{ 0, "QFI\xfb", 4, "a qcow2 disk image: vmrun takes raw ones (`qemu-img convert -O raw`)" },
	{ 0x438, "\x53\xef", 2, "a file system without a boot sector: give it to a kernel with --disk" },
	{ 0x28, "_FVH", 4, "UEFI firmware, which needs what vmrun hasn't: it starts a BIOS" },
	{ 0, "#!", 2, "a script" },
};

static uint32_t word_at(const struct image *img, uint64_t offset)
{
	const void *p = image_at(img, offset, 4);
	uint32_t word = 0;

	if (p)
		memcpy(&word, p, sizeof(word));
	return word;
}

static bool has_multiboot2(const struct image *img)
{
	uint64_t o;

	for (o = 0; o + 16 <= MULTIBOOT2_SEARCH && o + 16 <= img->size; o += 8)
		if (word_at(img, o) == MULTIBOOT2_MAGIC &&
		    word_at(img, o) + word_at(img, o + 4) + word_at(img, o + 8) +
		    word_at(img, o + 12) == 0)
			return true;
	return false;
}

static const char *elf_kind(const struct image *img)
{
	if (!image_has(img, 0, ELFMAG, SELFMAG) || img->size <= EI_CLASS)
		return NULL;
	if (img->data[EI_CLASS] == ELFCLASS32)
		return "an ELF32 program that isn't a multiboot kernel: vmrun starts 64-bit ones only";
	return NULL;
}

const char *refused_kind(const struct image *img)
{
	const char *kind = elf_kind(img);
	size_t i;

	if (has_multiboot2(img))
		return "a multiboot2 kernel: vmrun starts those of version 1";
	if (kind)
		return kind;
	for (i = 0; i < sizeof(magics) / sizeof(magics[0]); i++)
		if (image_has(img, magics[i].offset, magics[i].bytes, magics[i].len))
			return magics[i].kind;
	if (image_has(img, 0, "MZ", 2) && !image_has(img, 0x202, "HdrS", 4))
		return "a DOS, Windows or UEFI program";
	return NULL;
}
