// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "shadow.h"
#include "vm.h"

#define SMALL_REGION	0x4000U
#define LARGE_REGION	0x10000U
#define ISA_ROM_MAX	0x20000U	/* as much of the ROM as is seen below 1 MiB, too */

static uint64_t region_start(unsigned int region)
{
	return SHADOW_START + (uint64_t)region * SMALL_REGION;
}

static uint64_t region_size(unsigned int region)
{
	return region == SHADOW_REGIONS - 1 ? LARGE_REGION : SMALL_REGION;
}

static unsigned int region_at(uint64_t gpa)
{
	unsigned int region = (gpa - SHADOW_START) / SMALL_REGION;

	return region < SHADOW_REGIONS ? region : SHADOW_REGIONS - 1;
}

/* What the ROM shows at an address below 1 MiB, or NULL where it doesn't reach. */
static uint8_t *rom_at(const struct shadow *s, uint64_t gpa)
{
	uint64_t from_end = SHADOW_END - gpa;

	return from_end <= s->rom_size && from_end <= ISA_ROM_MAX ?
	       s->rom + s->rom_size - from_end : NULL;
}

static int map_region(struct shadow *s, unsigned int region, unsigned int mode, struct error *err)
{
	uint64_t start = region_start(region);
	void *hva = mode & SHADOW_READ ? mem_at(s->mem, start, region_size(region)) :
		    rom_at(s, start);
	bool readonly = mode != (SHADOW_READ | SHADOW_WRITE);
	unsigned int slot = VM_SLOT_SHADOW + region;

	/* A slot has to go before another one comes, says the ABI. */
	if (vm_set_slot(s->vm, slot, start, NULL, 0, false, err))
		return -1;
	s->mode[region] = mode;
	return hva ? vm_set_slot(s->vm, slot, start, hva, region_size(region), readonly, err) : 0;
}

static int shadow_set(struct shadow *s, unsigned int region, unsigned int mode)
{
	struct error err;

	return s->mode[region] == mode ? 0 : map_region(s, region, mode, &err);
}

/* Writes that reach no slot, and reads where neither RAM nor ROM is. */
static void shadow_access(void *opaque, struct bus_access *a)
{
	struct shadow *s = opaque;
	uint64_t gpa = SHADOW_START + a->offset;

	if (a->write && (s->mode[region_at(gpa)] & SHADOW_WRITE))
		mem_write(s->mem, gpa, a->data, a->len);
}

static void rom_access(void *opaque, struct bus_access *a)
{
	(void)opaque;
	(void)a;
}

int shadow_map(struct shadow *s, struct vm *vm, const struct guest_mem *mem, struct bus *mmio,
	       struct error *err)
{
	uint64_t rom_start = MEM_HIGH_START - s->rom_size;
	unsigned int i;

	s->vm = vm;
	s->mem = mem;
	if (bus_add(mmio, SHADOW_START, SHADOW_END - SHADOW_START, 8, shadow_access, s,
		    "shadow RAM", err) ||
	    bus_add(mmio, rom_start, s->rom_size, 8, rom_access, s, "firmware", err) ||
	    vm_set_slot(vm, VM_SLOT_ROM, rom_start, s->rom, s->rom_size, true, err))
		return -1;
	for (i = 0; i < SHADOW_REGIONS; i++)
		if (map_region(s, i, 0, err))
			return -1;
	return 0;
}

int shadow_create(struct shadow *s, const struct image *rom, struct error *err)
{
	void *p;

	memset(s, 0, sizeof(*s));
	if (!is_firmware(rom))
		return failed(err, "%s: this is no PC firmware: that has a size of n x 64 KiB up to %u MiB, and a far jump at its end",
			      rom->name, ROM_MAX >> 20);
	p = mmap(NULL, rom->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return failed(err, "no memory for the firmware: %s", strerror(errno));
	memcpy(p, rom->data, rom->size);
	s->rom = p;
	s->rom_size = rom->size;
	s->set = shadow_set;
	return 0;
}

void shadow_destroy(struct shadow *s)
{
	if (s->rom)
		munmap(s->rom, s->rom_size);
	s->rom = NULL;
}
