// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "memory.h"

#define HUGE_PAGE	(2UL << 20)

int mem_create(struct guest_mem *mem, uint64_t size, struct error *err)
{
	uint8_t *raw, *base;

	/* Room to align the start, so that the host can back it with large pages. */
	raw = mmap(NULL, size + HUGE_PAGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (raw == MAP_FAILED)
		return failed(err, "the host has no room for %llu MiB of guest memory: %s",
			      (unsigned long long)(size >> 20), strerror(errno));
	base = (uint8_t *)(((uintptr_t)raw + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1));
	if (base > raw)
		munmap(raw, base - raw);
	munmap(base + size, raw + HUGE_PAGE - base);
	madvise(base, size, MADV_HUGEPAGE);
	madvise(base, size, MADV_DONTDUMP);

	mem->base = base;
	mem->size = size;
	mem->low_size = size < MEM_HOLE_START ? size : MEM_HOLE_START;
	mem->high_size = size - mem->low_size;
	return 0;
}

void mem_destroy(struct guest_mem *mem)
{
	if (mem->base)
		munmap(mem->base, mem->size);
	memset(mem, 0, sizeof(*mem));
}

void *mem_at(const struct guest_mem *mem, uint64_t gpa, uint64_t len)
{
	if (gpa < mem->low_size && len <= mem->low_size - gpa)
		return mem->base + gpa;
	if (gpa < MEM_HIGH_START)
		return NULL;
	gpa -= MEM_HIGH_START;
	if (gpa < mem->high_size && len <= mem->high_size - gpa)
		return mem->base + mem->low_size + gpa;
	return NULL;
}

bool mem_read(const struct guest_mem *mem, uint64_t gpa, void *buf, size_t len)
{
	void *p = mem_at(mem, gpa, len);

	if (p)
		memcpy(buf, p, len);
	return p;
}

bool mem_write(const struct guest_mem *mem, uint64_t gpa, const void *buf, size_t len)
{
	void *p = mem_at(mem, gpa, len);

	if (p)
		memcpy(p, buf, len);
	return p;
}
