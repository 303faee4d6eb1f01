// SPDX-License-Identifier: GPL-2.0
/* Which images are programs, and which are firmware or something that firmware boots. */
#include <elf.h>
#include <string.h>

#include "../disk.h"
#include "../layout.h"
#include "../shadow.h"
#include "loader.h"

#define BOOT_MARK_OFFSET	510
#define PARTITIONS_OFFSET	446
#define PARTITION_SIZE		16
#define VOLUME_DESCRIPTOR	0x8000	/* of ISO 9660: the first one's sector */

/* Firmware for a PC fills its end of the address space: at its reset vector stands a far jump. */
bool is_firmware(const struct image *img)
{
	return img->size % 0x10000 == 0 && img->size <= ROM_MAX &&
	       image_has(img, img->size - 16, "\xea", 1) &&
	       image_has(img, img->size - 13, "\x00\xf0", 2);
}

/* Four entries that are empty or active-or-not, and not all empty. */
static bool has_partitions(const struct image *img)
{
	static const uint8_t none[PARTITION_SIZE];
	const uint8_t *p = image_at(img, PARTITIONS_OFFSET, 4 * PARTITION_SIZE);
	unsigned int i, used = 0;

	for (i = 0; p && i < 4; i++, p += PARTITION_SIZE) {
		if (p[0] & 0x7f)
			return false;
		used += memcmp(p, none, PARTITION_SIZE) && p[4];
	}
	return used;
}

static bool is_disk(const struct image *img)
{
	if (image_has(img, DISK_SECTOR, "EFI PART", 8))
		return true;
	if (!image_has(img, BOOT_MARK_OFFSET, "\x55\xaa", 2))
		return false;
	return img->size > EBDA_START - BOOT_SECTOR_ADDR ||
	       (img->size > DISK_SECTOR && has_partitions(img));
}

enum image_class image_classify(const struct image *img)
{
	if (bzimage_loader.recognise(img) || image_has(img, 0, ELFMAG, SELFMAG))
		return IMAGE_PROGRAM;
	if (is_firmware(img))
		return IMAGE_FIRMWARE;
	if (image_has(img, VOLUME_DESCRIPTOR + 1, "CD001", 5))
		return IMAGE_CD;
	return is_disk(img) ? IMAGE_DISK : IMAGE_PROGRAM;
}
