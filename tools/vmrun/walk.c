// SPDX-License-Identifier: GPL-2.0
/* The guest's page tables, read without side effects, for messages about a guest that stopped. */
#include <string.h>

#include "walk.h"

#define CR0_PG		0x80000000UL
#define CR0_PE		0x00000001UL
#define CR4_PSE		0x00000010UL
#define CR4_PAE		0x00000020UL
#define CR4_LA57	0x00001000UL
#define EFER_LMA	0x00000400UL
#define RFLAGS_VM	0x00020000UL

#define PTE_PRESENT	0x01
#define PTE_LARGE	0x80
#define ADDR_MASK	0x000ffffffffff000ULL

struct format {
	const char *name;
	int levels;
	int bits;			/* of the index, at all levels but PAE's top */
	int entry_size;
};

static const struct format formats[] = {
	{ "32-bit paging", 2, 10, 4 },
	{ "PAE paging", 3, 9, 8 },
	{ "4-level paging", 4, 9, 8 },
	{ "5-level paging", 5, 9, 8 },
};

static const struct format *format_of(const struct minivmm_sregs *s)
{
	if (!(s->cr0 & CR0_PG))
		return NULL;
	if (s->efer & EFER_LMA)
		return &formats[s->cr4 & CR4_LA57 ? 3 : 2];
	return &formats[s->cr4 & CR4_PAE ? 1 : 0];
}

const char *paging_mode(const struct minivmm_sregs *s)
{
	const struct format *f = format_of(s);

	if (f)
		return f->name;
	return s->cr0 & CR0_PE ? "protected mode without paging" : "real mode";
}

static bool is_large(const struct format *f, const struct minivmm_sregs *s, int level,
		     uint64_t entry)
{
	if (level == 1)
		return true;
	if (!(entry & PTE_LARGE) || level > 3)
		return false;
	if (f->entry_size == 4)
		return s->cr4 & CR4_PSE;
	return level == 2 || f->levels > 3;	/* PAE's top entries have no size bit */
}

static uint64_t leaf_address(const struct format *f, int level, uint64_t entry, uint64_t gva)
{
	uint64_t size = 1ULL << (12 + f->bits * (level - 1));
	uint64_t base = entry & ADDR_MASK & ~(size - 1);

	if (f->entry_size == 4 && level == 2)		/* PSE-36 */
		base |= (entry >> 13 & 0xff) << 32;
	return base | (gva & (size - 1));
}

bool walk(const struct guest_mem *mem, const struct minivmm_sregs *s, uint64_t gva, uint64_t *gpa)
{
	const struct format *f = format_of(s);
	uint64_t table, entry;
	int level;

	if (!f) {
		*gpa = gva & 0xffffffff;
		return true;
	}
	if (f->levels < 4)
		gva &= 0xffffffff;
	table = s->cr3 & (f->levels == 3 ? 0xffffffe0ULL : ADDR_MASK);
	for (level = f->levels; level; level--) {
		uint64_t index = gva >> (12 + f->bits * (level - 1)) & ((1 << f->bits) - 1);

		entry = 0;
		if (!mem_read(mem, table + index * f->entry_size, &entry, f->entry_size) ||
		    !(entry & PTE_PRESENT))
			return false;
		if (is_large(f, s, level, entry)) {
			*gpa = leaf_address(f, level, entry, gva);
			return true;
		}
		table = entry & ADDR_MASK;
	}
	return false;
}

size_t walk_read(const struct guest_mem *mem, const struct minivmm_sregs *s, uint64_t gva,
		 void *buf, size_t len)
{
	uint8_t *p = buf;
	uint64_t gpa;
	size_t i;

	for (i = 0; i < len; i++)
		if (!walk(mem, s, gva + i, &gpa) || !mem_read(mem, gpa, p + i, 1))
			break;
	return i;
}
