// SPDX-License-Identifier: GPL-2.0
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acpi.h"
#include "fwcfg.h"
#include "layout.h"

int fwcfg_add(struct fwcfg *f, const char *name, const void *data, size_t size, struct error *err)
{
	struct fwcfg_file *file = &f->files[f->nr];

	if (f->nr == FWCFG_FILES_MAX || strlen(name) >= FWCFG_NAME_MAX || size > UINT32_MAX)
		return failed(err, "%s: no room for it in fw_cfg", name);
	file->data = malloc(size);
	if (!file->data)
		return failed(err, "%s: no memory", name);
	strcpy(file->name, name);
	memcpy(file->data, data, size);
	file->size = size;
	f->nr++;
	return 0;
}

int fwcfg_add_number(struct fwcfg *f, const char *name, uint64_t value, struct error *err)
{
	return fwcfg_add(f, name, &value, sizeof(value), err);
}

void fwcfg_destroy(struct fwcfg *f)
{
	while (f->nr)
		free(f->files[--f->nr].data);
}

struct map_entry {
	uint64_t addr, size;
	uint32_t type;
} __attribute__((packed));

enum { MAP_RAM = 1, MAP_RESERVED = 2 };

/* RAM, and what the hypervisor itself uses; what lies below 1 MiB the firmware knows better. */
int fwcfg_add_memory_map(struct fwcfg *f, const struct guest_mem *mem, struct error *err)
{
	struct map_entry map[3] = {
		{ 0, mem->low_size, MAP_RAM },
		{ IDENTITY_MAP_ADDR, TSS_ADDR + TSS_SIZE - IDENTITY_MAP_ADDR, MAP_RESERVED },
		{ MEM_HIGH_START, mem->high_size, MAP_RAM },
	};

	return fwcfg_add(f, "etc/e820", map, sizeof(map[0]) * (mem->high_size ? 3 : 2), err);
}

#define TABLES_FILE	"etc/acpi/tables"
#define RSDP_FILE	"etc/acpi/rsdp"

enum { LOADER_ALLOCATE = 1, LOADER_ADD_POINTER = 2, LOADER_ADD_CHECKSUM = 3 };
enum { ZONE_HIGH = 1, ZONE_FSEG = 2 };

/* One line of the script (QEMU's include/hw/acpi/bios-linker-loader is its only description). */
struct loader_line {
	uint32_t command;
	union {
		struct {
			char file[FWCFG_NAME_MAX];
			uint32_t align;
			uint8_t zone;
		} __attribute__((packed)) allocate;
		struct {
			char file[FWCFG_NAME_MAX], target[FWCFG_NAME_MAX];
			uint32_t offset;
			uint8_t size;
		} __attribute__((packed)) pointer;
		struct {
			char file[FWCFG_NAME_MAX];
			uint32_t offset, start, length;
		} __attribute__((packed)) checksum;
		uint8_t room[124];
	};
} __attribute__((packed));

struct script {
	struct loader_line lines[32];
	unsigned int nr;
};

static struct loader_line *add_line(struct script *s, uint32_t command)
{
	struct loader_line *l = &s->lines[s->nr++];

	l->command = command;
	return l;
}

static void add_file(struct script *s, const char *file, uint32_t align, uint8_t zone)
{
	struct loader_line *l = add_line(s, LOADER_ALLOCATE);

	strcpy(l->allocate.file, file);
	l->allocate.align = align;
	l->allocate.zone = zone;
}

static void add_link(struct script *s, const char *file, const struct acpi_link *link)
{
	struct loader_line *l = add_line(s, LOADER_ADD_POINTER);

	strcpy(l->pointer.file, file);
	strcpy(l->pointer.target, TABLES_FILE);
	l->pointer.offset = link->offset;
	l->pointer.size = link->size;
}

static void add_checksum(struct script *s, const char *file, const struct acpi_sum *sum)
{
	struct loader_line *l = add_line(s, LOADER_ADD_CHECKSUM);

	strcpy(l->checksum.file, file);
	l->checksum.offset = sum->offset;
	l->checksum.start = sum->start;
	l->checksum.length = sum->length;
}

int fwcfg_add_acpi(struct fwcfg *f, unsigned int cpus, struct error *err)
{
	static struct acpi_blob blob;
	struct script script = { .nr = 0 };
	unsigned int i;

	acpi_build(&blob, cpus);
	add_file(&script, RSDP_FILE, 16, ZONE_FSEG);
	add_file(&script, TABLES_FILE, 64, ZONE_HIGH);
	for (i = 0; i < blob.nr_links; i++)
		add_link(&script, TABLES_FILE, &blob.links[i]);
	for (i = 0; i < 2; i++)
		add_link(&script, RSDP_FILE, &blob.rsdp_links[i]);
	/* The sums were right before the pointers were moved: the script mends the difference. */
	for (i = 0; i < blob.nr_sums; i++)
		add_checksum(&script, TABLES_FILE, &blob.sums[i]);
	for (i = 0; i < 2; i++)
		add_checksum(&script, RSDP_FILE, &blob.rsdp_sums[i]);
	if (fwcfg_add(f, TABLES_FILE, blob.tables, blob.size, err) ||
	    fwcfg_add(f, RSDP_FILE, blob.rsdp, sizeof(blob.rsdp), err) ||
	    fwcfg_add(f, "etc/table-loader", script.lines, script.nr * sizeof(script.lines[0]),
		      err))
		return -1;
	return 0;
}
