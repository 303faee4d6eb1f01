// SPDX-License-Identifier: GPL-2.0
#include <string.h>

#include "../layout.h"
#include "linux.h"

#define PAGE_SIZE	4096ULL

#define PTE_PRESENT	0x01ULL
#define PTE_WRITE	0x02ULL
#define PTE_LARGE	0x80ULL

#define E820_RAM	1
#define E820_RESERVED	2

/* Flat segments, as 64-bit descriptors: limit 4 GiB, accessed, present. */
#define GDT_CODE64	0x00af9b000000ffffULL
#define GDT_CODE32	0x00cf9b000000ffffULL
#define GDT_DATA	0x00cf93000000ffffULL
#define GDT_TSS		0x00008b0000000067ULL	/* busy, base 0, 104 bytes */

static void put64(struct guest_mem *mem, uint64_t gpa, uint64_t value)
{
	mem_write(mem, gpa, &value, sizeof(value));
}

static void put16(struct guest_mem *mem, uint64_t gpa, uint16_t value)
{
	mem_write(mem, gpa, &value, sizeof(value));
}

static void boot_page_tables(struct guest_mem *mem)
{
	uint64_t pml4 = BOOT_PAGE_TABLES, pdpt = pml4 + PAGE_SIZE, pd = pdpt + PAGE_SIZE, i;

	put64(mem, pml4, pdpt | PTE_PRESENT | PTE_WRITE);
	for (i = 0; i < 4; i++)
		put64(mem, pdpt + 8 * i, (pd + PAGE_SIZE * i) | PTE_PRESENT | PTE_WRITE);
	for (i = 0; i < 4 * 512; i++)
		put64(mem, pd + 8 * i, i << 21 | PTE_PRESENT | PTE_WRITE | PTE_LARGE);
}

void boot_tables(struct guest_mem *mem, enum entry_mode mode)
{
	put64(mem, BOOT_GDT, 0);
	put64(mem, BOOT_GDT + 0x08, 0);
	put64(mem, BOOT_GDT + BOOT_CS, mode == ENTRY_LONG ? GDT_CODE64 : GDT_CODE32);
	put64(mem, BOOT_GDT + BOOT_DS, GDT_DATA);
	put64(mem, BOOT_GDT + BOOT_TSS, GDT_TSS);
	put64(mem, BOOT_GDT + BOOT_TSS + 8, 0);
	boot_page_tables(mem);
	put16(mem, BDA_EBDA_SEGMENT, EBDA_START >> 4);
	put16(mem, BDA_BASE_KIB, EBDA_START >> 10);
}

static void map_add(struct boot_params *bp, uint64_t start, uint64_t end, uint32_t type)
{
	if (start < end)
		bp->e820_table[bp->e820_entries++] = (struct boot_e820_entry) {
			.addr = start, .size = end - start, .type = type,
		};
}

void boot_memory_map(struct boot_params *bp, const struct guest_mem *mem)
{
	map_add(bp, 0, EBDA_START, E820_RAM);
	map_add(bp, EBDA_START, VGA_START, E820_RESERVED);
	map_add(bp, BIOS_START, BIOS_END, E820_RESERVED);
	map_add(bp, HIGH_MEMORY, mem->low_size, E820_RAM);
	map_add(bp, MEM_HIGH_START, MEM_HIGH_START + mem->high_size, E820_RAM);
}

int boot_cmdline(struct guest_mem *mem, struct boot_params *bp, const char *cmdline, size_t max,
		 struct error *err)
{
	size_t len = strlen(cmdline);

	if (max > BOOT_CMDLINE_MAX - 1)
		max = BOOT_CMDLINE_MAX - 1;
	if (len > max)
		return failed(err, "the command line has %zu characters; this kernel takes %zu",
			      len, max);
	if (!mem_write(mem, BOOT_CMDLINE, cmdline, len + 1))
		return failed(err, "no memory for the command line");
	bp->hdr.cmd_line_ptr = BOOT_CMDLINE;
	return 0;
}

int boot_initrd(struct guest_mem *mem, struct boot_params *bp, const struct image *initrd,
		uint64_t floor, uint64_t max_addr, struct error *err)
{
	uint64_t top = mem->low_size, addr;

	if (!initrd)
		return 0;
	if (top > max_addr)
		top = (max_addr + 1) & ~(PAGE_SIZE - 1);
	addr = initrd->size <= top ? (top - initrd->size) & ~(PAGE_SIZE - 1) : 0;
	if (addr < floor || initrd->size > UINT32_MAX)
		return failed(err, "%s: an initial RAM disk of %zu KiB doesn't fit beside the kernel into %llu MiB of memory",
			      initrd->name, initrd->size >> 10,
			      (unsigned long long)(mem->size >> 20));
	mem_write(mem, addr, initrd->data, initrd->size);
	bp->hdr.ramdisk_image = addr;
	bp->hdr.ramdisk_size = initrd->size;
	return 0;
}

int boot_plain(struct guest_mem *mem, const struct boot *boot, enum entry_mode mode,
	       uint64_t image_end, struct error *err)
{
	struct boot_params bp = {
		.hdr = {
			.boot_flag = 0xaa55,
			.header = 0x53726448,	/* "HdrS" */
			.version = 0x020f,
			.type_of_loader = 0xff,
			.loadflags = LOADED_HIGH,
			.kernel_alignment = 0x200000,
			.cmdline_size = BOOT_CMDLINE_MAX - 1,
			.initrd_addr_max = 0x7fffffff,
		},
	};
	uint64_t floor = image_end > HIGH_MEMORY ? image_end : HIGH_MEMORY;

	if (boot_cmdline(mem, &bp, boot->cmdline, BOOT_CMDLINE_MAX - 1, err) ||
	    boot_initrd(mem, &bp, boot->initrd, floor, bp.hdr.initrd_addr_max, err))
		return -1;
	boot_tables(mem, mode);
	boot_memory_map(&bp, mem);
	mem_write(mem, BOOT_ZERO_PAGE, &bp, sizeof(bp));
	return 0;
}
