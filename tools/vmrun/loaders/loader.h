/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Loaders: from a file to guest memory and the state of the first CPU. Files are hostile: every
 * offset and length in them is checked before it is used.
 */
#ifndef VMRUN_LOADER_H
#define VMRUN_LOADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../error.h"
#include "../memory.h"

/* A file as it lies in memory. */
struct image {
	const uint8_t *data;
	size_t size;
	const char *name;
	bool mapped;
};

int image_open(struct image *img, const char *path, struct error *err);
void image_close(struct image *img);

/* [offset, offset + len) of the image, or NULL if it doesn't have all of that. */
const void *image_at(const struct image *img, uint64_t offset, uint64_t len);
bool image_has(const struct image *img, uint64_t offset, const void *bytes, size_t len);

/* ENTRY_RESET: as the CPU is after a reset; nothing else counts. */
enum entry_mode { ENTRY_REAL, ENTRY_PROT, ENTRY_LONG, ENTRY_RESET };

/* How to treat an image of plain machine code. */
struct flat_options {
	bool forced;			/* it is one, whatever it looks like */
	enum entry_mode mode;
	bool addr_given;
	uint64_t addr;
};

struct boot {
	const struct image *kernel;
	const struct image *initrd;	/* or NULL */
	const char *cmdline;
	struct flat_options flat;
};

/* What the first CPU starts with; what isn't here is in Documentation/vmrun.md. */
struct entry {
	enum entry_mode mode;
	uint64_t ip, sp, si, ax, bx;
};

struct loader {
	const char *name;
	bool (*recognise)(const struct image *img);
	int (*load)(struct guest_mem *mem, const struct boot *boot, struct entry *entry,
		    struct error *err);
};

extern const struct loader bzimage_loader, elf64_loader, multiboot_loader, bootsector_loader,
			   flat_loader;

/* kind.c: what an image is good for. */
enum image_class { IMAGE_PROGRAM, IMAGE_FIRMWARE, IMAGE_DISK, IMAGE_CD };

enum image_class image_classify(const struct image *img);
bool is_firmware(const struct image *img);

/**
 * boot_load() - put an image into guest memory
 * @kind: on success the name of what it was
 *
 * Return: 0, or -1 with @err saying why this image can't be started.
 */
int boot_load(struct guest_mem *mem, const struct boot *boot, struct entry *entry,
	      const char **kind, struct error *err);

/* What an image is that nothing here can load, with its article; NULL if nobody knows. */
const char *refused_kind(const struct image *img);

#endif
