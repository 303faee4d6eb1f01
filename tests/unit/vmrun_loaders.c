// SPDX-License-Identifier: GPL-2.0
/* The loaders, with good images, truncated ones, and ones that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "layout.h"
#include "vmrun_images.h"

#define MEM_SIZE	(64ULL << 20)

static struct guest_mem mem;
static struct error err;
static struct entry entry;

static int setup(void **state)
{
	(void)state;
	return mem_create(&mem, MEM_SIZE, &err);
}

static int teardown(void **state)
{
	(void)state;
	mem_destroy(&mem);
	return 0;
}

static int load(const void *bytes, size_t size)
{
	struct boot boot = { };

	return load_bytes(&mem, bytes, size, &boot, &entry, &err);
}

static void assert_loads(const void *bytes, size_t size)
{
	if (load(bytes, size))
		fail_msg("%s", err.text);
}

/* Refused, with a sentence that has a word in it. */
static void assert_refused(const void *bytes, size_t size, const char *word)
{
	if (!load(bytes, size))
		fail_msg("an image was taken that should be refused for: %s", word);
	if (!strstr(err.text, word))
		fail_msg("\"%s\" doesn't say \"%s\"", err.text, word);
}

static const struct boot_params *zero_page(void)
{
	return mem_at(&mem, BOOT_ZERO_PAGE, sizeof(struct boot_params));
}

static const uint8_t *guest(uint64_t gpa, size_t len)
{
	const uint8_t *p = mem_at(&mem, gpa, len);

	assert_non_null(p);
	return p;
}

/* ---- bzImage --------------------------------------------------------------------------------- */

static void bzimage_boots(void **state)
{
	uint8_t image[BZIMAGE_SIZE];
	const struct boot_params *bp = zero_page();

	(void)state;
	make_bzimage(image);
	assert_loads(image, sizeof(image));
	assert_int_equal(entry.mode, ENTRY_LONG);
	assert_int_equal(entry.ip, 0x1000200);
	assert_int_equal(entry.si, BOOT_ZERO_PAGE);
	assert_memory_equal(guest(0x1000000, KERNEL_SIZE), image + SETUP_SIZE, KERNEL_SIZE);
	assert_int_equal(bp->hdr.header, 0x53726448);
	assert_int_equal(bp->hdr.type_of_loader, 0xff);
	assert_int_equal(bp->hdr.code32_start, 0x1000000);
	assert_int_equal(bp->hdr.cmd_line_ptr, BOOT_CMDLINE);
	assert_string_equal((const char *)guest(BOOT_CMDLINE, 14), "console=ttyS0");
	assert_int_equal(bp->sentinel, 0);
}

static void bzimage_of_32_bits_boots(void **state)
{
	uint8_t image[BZIMAGE_SIZE];
	const uint64_t *gdt;

	(void)state;
	make_bzimage(image);
	bzimage_header(image)->xloadflags = 0;
	assert_loads(image, sizeof(image));
	assert_int_equal(entry.mode, ENTRY_PROT);
	assert_int_equal(entry.ip, 0x1000000);
	assert_int_equal(entry.si, BOOT_ZERO_PAGE);
	assert_int_equal(entry.bx, 0);
	gdt = (const uint64_t *)guest(BOOT_GDT, BOOT_TSS);
	assert_int_equal(gdt[BOOT_CS / 8], 0x00cf9b000000ffff);
	assert_int_equal(gdt[BOOT_DS / 8], 0x00cf93000000ffff);
}

static void bzimage_sees_the_memory(void **state)
{
	const struct boot_params *bp = zero_page();
	uint64_t end = 0, ram = 0;
	uint8_t image[BZIMAGE_SIZE];
	unsigned int i;

	(void)state;
	make_bzimage(image);
	assert_loads(image, sizeof(image));
	for (i = 0; i < bp->e820_entries; i++) {
		assert_true(bp->e820_table[i].addr >= end);
		assert_true(bp->e820_table[i].size > 0);
		end = bp->e820_table[i].addr + bp->e820_table[i].size;
		if (bp->e820_table[i].type == 1)
			ram += bp->e820_table[i].size;
	}
	assert_int_equal(end, MEM_SIZE);
	assert_int_equal(ram, MEM_SIZE - (BIOS_END - EBDA_START));
}

static void bzimage_has_tables(void **state)
{
	uint8_t image[BZIMAGE_SIZE];
	const uint64_t *t;
	uint64_t gva, entry_;

	(void)state;
	make_bzimage(image);
	assert_loads(image, sizeof(image));
	for (gva = 0; gva < 4ULL << 30; gva += 2 << 20) {
		t = (const uint64_t *)guest(BOOT_PAGE_TABLES, 4096);
		t = (const uint64_t *)guest(t[0] & ~0xfffULL, 4096);
		t = (const uint64_t *)guest(t[gva >> 30] & ~0xfffULL, 4096);
		entry_ = t[gva >> 21 & 511];
		assert_int_equal(entry_, gva | 0x83);
	}
	assert_int_equal(*(const uint16_t *)guest(BDA_EBDA_SEGMENT, 2), EBDA_START >> 4);
}

static void bzimage_truncated_at_every_length(void **state)
{
	uint8_t image[BZIMAGE_SIZE];
	size_t size;

	(void)state;
	make_bzimage(image);
	for (size = 0; size <= sizeof(image) - 16; size++) {
		assert_int_equal(load(image, size), -1);
		assert_true(err.text[0]);
	}
	/* Its length is counted in 16 bytes, of which the last need not all be there. */
	for (; size <= sizeof(image); size++)
		assert_loads(image, size);
}

static void bzimage_that_we_cant_start(void **state)
{
	uint8_t image[BZIMAGE_SIZE];
	struct setup_header *h = bzimage_header(image);

	(void)state;
	make_bzimage(image);
	h->version = 0x20b;
	assert_refused(image, sizeof(image), "protocol 2.11");
	make_bzimage(image);
	h->boot_flag = 0;
	assert_refused(image, sizeof(image), "signature");
	make_bzimage(image);
	image[0x201] = 0x10;
	assert_refused(image, sizeof(image), "header");
	make_bzimage(image);
	h->init_size = MEM_SIZE;
	assert_refused(image, sizeof(image), "needs 64 MiB from 16 MiB");
}

static void bzimage_goes_where_there_is_room(void **state)
{
	uint8_t image[BZIMAGE_SIZE];
	struct setup_header *h = bzimage_header(image);

	(void)state;
	make_bzimage(image);
	h->pref_address = 1ULL << 40;
	assert_loads(image, sizeof(image));
	assert_int_equal(entry.ip, 0x200200);
	h->relocatable_kernel = 0;
	assert_refused(image, sizeof(image), "needs");
	h->relocatable_kernel = 1;
	h->kernel_alignment = 3;
	assert_refused(image, sizeof(image), "needs");
	h->kernel_alignment = 0;
	assert_refused(image, sizeof(image), "needs");
	h->kernel_alignment = 0x80000000;
	assert_refused(image, sizeof(image), "needs");
	h->pref_address = 0x8000;
	h->kernel_alignment = 0x1000;
	assert_loads(image, sizeof(image));
	assert_int_equal(entry.ip, 0x100200);
}

static void bzimage_header_of_every_length(void **state)
{
	uint8_t image[BZIMAGE_SIZE];
	unsigned int len;

	(void)state;
	make_bzimage(image);
	for (len = 0; len < 256; len++) {
		image[0x201] = len;
		load(image, sizeof(image));
	}
}

static void cmdline_has_limits(void **state)
{
	uint8_t image[BZIMAGE_SIZE];
	char text[2049];
	struct boot boot = { .cmdline = text };

	(void)state;
	make_bzimage(image);
	memset(text, 'a', sizeof(text));
	text[2047] = 0;
	assert_int_equal(load_bytes(&mem, image, sizeof(image), &boot, &entry, &err), 0);
	text[2047] = 'a';
	text[2048] = 0;
	assert_int_equal(load_bytes(&mem, image, sizeof(image), &boot, &entry, &err), -1);
	assert_non_null(strstr(err.text, "command line"));
}

/* ---- initial RAM disk ------------------------------------------------------------------------ */

static int load_with_initrd(size_t size, uint32_t max)
{
	uint8_t image[BZIMAGE_SIZE], *bytes = malloc(size);
	struct image initrd = { .data = bytes, .size = size, .name = "disk" };
	struct boot boot = { .initrd = &initrd };
	int rc;

	make_bzimage(image);
	bzimage_header(image)->initrd_addr_max = max;
	memset(bytes, 0x77, size);
	rc = load_bytes(&mem, image, sizeof(image), &boot, &entry, &err);
	if (!rc)
		assert_memory_equal(guest(zero_page()->hdr.ramdisk_image, size), bytes, size);
	free(bytes);
	return rc;
}

static void initrd_goes_high(void **state)
{
	const struct boot_params *bp = zero_page();

	(void)state;
	assert_int_equal(load_with_initrd(5000, 0x7fffffff), 0);
	assert_int_equal(bp->hdr.ramdisk_size, 5000);
	assert_int_equal(bp->hdr.ramdisk_image, MEM_SIZE - 8192);
	assert_int_equal(load_with_initrd(4096, 0x1ffffff), 0);
	assert_int_equal(bp->hdr.ramdisk_image, 0x1fff000);
	assert_int_equal(load_with_initrd(4096, 0x1fffffe), 0);
	assert_int_equal(bp->hdr.ramdisk_image, 0x1ffe000);
}

static void initrd_that_doesnt_fit(void **state)
{
	(void)state;
	/* 64 MiB, less the kernel's 4 MiB from 16 MiB on. */
	assert_int_equal(load_with_initrd(44 << 20, 0x7fffffff), 0);
	assert_int_equal(load_with_initrd((44 << 20) + 1, 0x7fffffff), -1);
	assert_non_null(strstr(err.text, "disk"));
	assert_int_equal(load_with_initrd(4096, 0), -1);
	assert_int_equal(load_with_initrd(4096, 0xfff), -1);
	assert_int_equal(load_with_initrd(4096, 0x1000000), -1);
}

/* ---- ELF ------------------------------------------------------------------------------------- */

static void elf_loads(void **state)
{
	struct elf_image e;

	(void)state;
	make_elf(&e);
	assert_loads(&e, sizeof(e));
	assert_int_equal(entry.mode, ENTRY_LONG);
	assert_int_equal(entry.ip, ELF_TEXT + 4);
	assert_int_equal(entry.si, BOOT_ZERO_PAGE);
	assert_int_equal(zero_page()->hdr.header, 0x53726448);
	assert_memory_equal(guest(ELF_TEXT, ELF_TEXT_SIZE), e.text, ELF_TEXT_SIZE);
	assert_memory_equal(guest(ELF_DATA, ELF_DATA_SIZE), e.data, ELF_DATA_SIZE);
}

static void elf_entry_may_be_virtual(void **state)
{
	struct elf_image e;

	(void)state;
	make_elf(&e);
	e.ph[0].p_vaddr = 0xffffffff81000000;
	e.ph[1].p_vaddr = 0xffffffff81200000;
	e.eh.e_entry = 0xffffffff81000010;
	assert_loads(&e, sizeof(e));
	assert_int_equal(entry.ip, ELF_TEXT + 0x10);
}

static void elf_truncated_at_every_length(void **state)
{
	struct elf_image e;
	size_t size;

	(void)state;
	make_elf(&e);
	for (size = 0; size < sizeof(e); size++) {
		assert_int_equal(load(&e, size), -1);
		assert_true(err.text[0]);
	}
}

static void elf_that_lies(void **state)
{
	static const struct {
		const char *word;
		size_t offset;		/* of a 64-bit field of the second segment */
		uint64_t value;
	} lies[] = {
		{ "fit", offsetof(Elf64_Phdr, p_paddr), MEM_SIZE },
		{ "fit", offsetof(Elf64_Phdr, p_paddr), MEM_SIZE - 1 },
		{ "fit", offsetof(Elf64_Phdr, p_paddr), UINT64_MAX },
		{ "fit", offsetof(Elf64_Phdr, p_paddr), MEM_HIGH_START },
		{ "1 MiB", offsetof(Elf64_Phdr, p_paddr), 0xfffff },
		{ "fit", offsetof(Elf64_Phdr, p_memsz), UINT64_MAX },
		{ "fit", offsetof(Elf64_Phdr, p_memsz), MEM_SIZE },
		{ "more in the file", offsetof(Elf64_Phdr, p_memsz), ELF_DATA_SIZE - 1 },
		{ "truncated", offsetof(Elf64_Phdr, p_offset), UINT64_MAX },
		{ "truncated", offsetof(Elf64_Phdr, p_offset), sizeof(struct elf_image) },
		{ "truncated", offsetof(Elf64_Phdr, p_filesz), ELF_DATA_SIZE + 1 },
	};
	struct elf_image e;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		make_elf(&e);
		memcpy((char *)&e.ph[1] + lies[i].offset, &lies[i].value, 8);
		assert_refused(&e, sizeof(e), lies[i].word);
	}
	make_elf(&e);
	e.ph[1].p_memsz = 40 << 20;
	e.ph[0].p_memsz = 40 << 20;
	assert_refused(&e, sizeof(e), "overlap");
	make_elf(&e);
	e.eh.e_entry = 0x5000;
	assert_refused(&e, sizeof(e), "entry");
	make_elf(&e);
	e.eh.e_phnum = 0;
	assert_refused(&e, sizeof(e), "entry");
}

static void elf_of_other_kinds(void **state)
{
	struct elf_image e;

	(void)state;
	make_elf(&e);
	e.eh.e_machine = EM_AARCH64;
	assert_refused(&e, sizeof(e), "x86-64");
	make_elf(&e);
	e.eh.e_ident[EI_CLASS] = ELFCLASS32;
	assert_refused(&e, sizeof(e), "ELF32");
	make_elf(&e);
	e.eh.e_ident[EI_DATA] = ELFDATA2MSB;
	assert_int_equal(load(&e, sizeof(e)), -1);
	make_elf(&e);
	e.eh.e_type = ET_DYN;
	assert_refused(&e, sizeof(e), "position-independent");
	make_elf(&e);
	e.eh.e_type = ET_REL;
	assert_refused(&e, sizeof(e), "object file");
}

/* ---- flat ------------------------------------------------------------------------------------ */

static int load_flat(const void *bytes, size_t size, enum entry_mode mode, uint64_t addr)
{
	struct boot boot = { .flat = { .forced = true, .mode = mode, .addr = addr,
				       .addr_given = addr != UINT64_MAX } };

	return load_bytes(&mem, bytes, size, &boot, &entry, &err);
}

static void boot_sector_starts_in_real_mode(void **state)
{
	uint8_t sector[512] = { 0xf4 };

	(void)state;
	sector[510] = 0x55;
	sector[511] = 0xaa;
	assert_loads(sector, sizeof(sector));
	assert_int_equal(entry.mode, ENTRY_REAL);
	assert_int_equal(entry.ip, 0x7c00);
	assert_int_equal(entry.sp, 0x7c00);
	assert_memory_equal(guest(0x7c00, 512), sector, 512);
	assert_int_equal(load(sector, 511), -1);
}

static enum image_class classify(const void *bytes, size_t size)
{
	struct image img = { .data = bytes, .size = size, .name = "image" };

	return image_classify(&img);
}

static void disks_are_told_from_boot_sectors(void **state)
{
	size_t size = 1 << 20;
	uint8_t *disk = calloc(1, size);

	(void)state;
	assert_int_equal(classify(disk, size), IMAGE_PROGRAM);
	disk[510] = 0x55;
	disk[511] = 0xaa;
	assert_int_equal(classify(disk, size), IMAGE_DISK);
	assert_refused(disk, size, "too long");
	assert_int_equal(classify(disk, 0x10000), IMAGE_PROGRAM);
	disk[446] = 0x80;				/* one active partition */
	disk[450] = 0x83;
	assert_int_equal(classify(disk, 0x10000), IMAGE_DISK);
	assert_int_equal(classify(disk, 512), IMAGE_PROGRAM);
	disk[446] = 0x12;				/* no partition table, but code */
	assert_int_equal(classify(disk, 0x10000), IMAGE_PROGRAM);
	memcpy(disk + 512, "EFI PART", 8);
	assert_int_equal(classify(disk, 0x10000), IMAGE_DISK);
	memcpy(disk + 0x8001, "CD001", 5);		/* a CD that boots from USB sticks, too */
	assert_int_equal(classify(disk, size), IMAGE_CD);
	assert_int_equal(classify(disk, 0x8005), IMAGE_DISK);
	free(disk);
}

static void firmware_is_known(void **state)
{
	uint8_t *rom = calloc(1, 0x20000);

	(void)state;
	memcpy(rom + 0x1fff0, "\xea\x5b\xe0\x00\xf0", 5);
	assert_int_equal(classify(rom, 0x20000), IMAGE_FIRMWARE);
	assert_int_equal(classify(rom + 1, 0x1ffff), IMAGE_PROGRAM);
	assert_int_equal(classify(rom, 0), IMAGE_PROGRAM);
	rom[0x1fff0] = 0;
	assert_int_equal(classify(rom, 0x20000), IMAGE_PROGRAM);
	free(rom);
}

static void programs_are_programs(void **state)
{
	uint8_t bz[BZIMAGE_SIZE];
	struct elf_image e;

	(void)state;
	make_bzimage(bz);
	make_elf(&e);
	assert_int_equal(classify(bz, sizeof(bz)), IMAGE_PROGRAM);
	assert_int_equal(classify(&e, sizeof(e)), IMAGE_PROGRAM);
}

static void flat_code_goes_where_its_mode_says(void **state)
{
	static const uint8_t code[] = { 0xfa, 0xf4 };
	struct elf_image e;

	(void)state;
	assert_int_equal(load_flat(code, 2, ENTRY_REAL, UINT64_MAX), 0);
	assert_int_equal(entry.ip, 0x7c00);
	assert_int_equal(load_flat(code, 2, ENTRY_PROT, UINT64_MAX), 0);
	assert_int_equal(entry.ip, 0x100000);
	assert_int_equal(entry.si, BOOT_ZERO_PAGE);
	assert_int_equal(load_flat(code, 2, ENTRY_LONG, 0x345678), 0);
	assert_int_equal(entry.mode, ENTRY_LONG);
	assert_int_equal(entry.ip, 0x345678);
	assert_memory_equal(guest(0x345678, 2), code, 2);
	/* What --entry-mode says counts, not the content. */
	make_elf(&e);
	assert_int_equal(load_flat(&e, sizeof(e), ENTRY_LONG, UINT64_MAX), 0);
	assert_int_equal(entry.ip, 0x100000);
}

static void flat_code_must_fit(void **state)
{
	uint8_t *big = calloc(1, MEM_SIZE);

	(void)state;
	assert_int_equal(load_flat(big, MEM_SIZE - HIGH_MEMORY, ENTRY_LONG, UINT64_MAX), 0);
	assert_int_equal(load_flat(big, MEM_SIZE - HIGH_MEMORY + 1, ENTRY_LONG, UINT64_MAX), -1);
	assert_int_equal(load_flat(big, EBDA_START - 0x7c00, ENTRY_REAL, UINT64_MAX), 0);
	assert_int_equal(load_flat(big, EBDA_START - 0x7c00 + 1, ENTRY_REAL, UINT64_MAX), -1);
	assert_int_equal(load_flat(big, 1, ENTRY_REAL, 0x4ff), -1);
	assert_int_equal(load_flat(big, 1, ENTRY_REAL, 0x10000), -1);
	assert_int_equal(load_flat(big, 1, ENTRY_LONG, MEM_SIZE), -1);
	assert_int_equal(load_flat(big, 1, ENTRY_LONG, 1ULL << 32), -1);
	assert_int_equal(load_flat(big, 1, ENTRY_PROT, UINT64_MAX - 1), -1);
	/* Not onto page tables, zero page and command line. */
	assert_int_equal(load_flat(big, 1, ENTRY_LONG, 0x2000), -1);
	assert_int_equal(load_flat(big, 0x8001, ENTRY_LONG, 0x8000), -1);
	assert_int_equal(load_flat(big, 0x8000, ENTRY_LONG, 0x8000), 0);
	assert_int_equal(load_flat(big, 1, ENTRY_LONG, 0xf0000), -1);
	free(big);
}

/* ---- what isn't an image --------------------------------------------------------------------- */

static void refusals_name_the_kind(void **state)
{
	static const struct { const char *bytes; size_t len; const char *word; } kinds[] = {
		{ "\x1f\x8b\x08", 3, "gzip" },
		{ "\xfd" "7zXZ\0", 6, "xz" },
		{ "\x28\xb5\x2f\xfd", 4, "zstd" },
		{ "\x04\x22\x4d\x18", 4, "lz4" },
		{ "BZh9", 4, "bzip2" },
		{ "070701", 6, "--initrd" },
		{ "QFI\xfb", 4, "qcow2" },
		{ "#!/bin/sh\n", 10, "script" },
		{ "MZ\x90", 3, "UEFI" },
		{ "just text, which is nothing", 27, "no kind" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		assert_refused(kinds[i].bytes, kinds[i].len, kinds[i].word);
}

static void multiboot2_is_named(void **state)
{
	uint32_t image[2048] = { 0 };

	(void)state;
	image[2] = 0xe85250d6;
	image[4] = 24;
	image[5] = -(0xe85250d6 + 24);
	assert_refused(image, sizeof(image), "multiboot2");
}

static void uefi_is_named(void **state)
{
	uint8_t *rom = calloc(1, 0x20000);

	(void)state;
	memcpy(rom + 0x28, "_FVH", 4);
	assert_refused(rom, 0x20000, "UEFI");
	free(rom);
}

/* ---- multiboot ------------------------------------------------------------------------------- */

static uint32_t word(uint64_t gpa)
{
	uint32_t w;

	memcpy(&w, guest(gpa, 4), 4);
	return w;
}

static void assert_multiboot_state(void)
{
	assert_int_equal(entry.mode, ENTRY_PROT);
	assert_int_equal(entry.ax, 0x2badb002);
	assert_int_equal(entry.bx, BOOT_ZERO_PAGE);
	assert_int_equal(word(BOOT_ZERO_PAGE) & 0x45, 0x45);
}

static void multiboot_by_its_header(void **state)
{
	struct multiboot_image m;

	(void)state;
	make_multiboot(&m);
	assert_loads(&m, sizeof(m));
	assert_multiboot_state();
	assert_int_equal(entry.ip, m.entry_addr);
	assert_memory_equal(guest(MULTIBOOT_AT, sizeof(m)), &m, sizeof(m));
	/* Without an end it goes up to the file's; it may begin inside of the file. */
	m.load_end_addr = m.bss_end_addr = 0;
	m.load_addr += 40;
	assert_loads(&m, sizeof(m));
	assert_memory_equal(guest(m.load_addr, sizeof(m) - 40), &m.magic, sizeof(m) - 40);
}

static void multiboot_information(void **state)
{
	uint8_t disk[5000] = "a module";
	struct image initrd = { .data = disk, .size = sizeof(disk), .name = "disk" };
	struct boot boot = { .initrd = &initrd, .cmdline = "some words" };
	struct multiboot_image m;
	uint32_t i, at, mods, ram = 0;

	(void)state;
	make_multiboot(&m);
	assert_int_equal(load_bytes(&mem, &m, sizeof(m), &boot, &entry, &err), 0);
	i = entry.bx;
	assert_int_equal(word(i) & 0x4d, 0x4d);
	assert_int_equal(word(i + 4), EBDA_START >> 10);
	assert_int_equal(word(i + 8), (MEM_SIZE >> 10) - 1024);
	assert_string_equal((const char *)guest(word(i + 16), 11), "some words");
	assert_int_equal(word(i + 20), 1);
	mods = word(i + 24);
	assert_int_equal(word(mods + 4) - word(mods), sizeof(disk));
	assert_memory_equal(guest(word(mods), sizeof(disk)), disk, sizeof(disk));
	for (at = word(i + 48); at < word(i + 48) + word(i + 44); at += word(at) + 4)
		if (word(at + 20) == 1)
			ram += word(at + 12);
	assert_int_equal(ram, MEM_SIZE - (1 << 20) + EBDA_START);
	assert_string_equal((const char *)guest(word(i + 64), 6), "vmrun");
}

/* An ELF file of either width that has the header somewhere in its first 8 KiB. */
static void multiboot_in_an_elf_file(void **state)
{
	static const uint32_t header[3] = { MULTIBOOT_MAGIC, 0, -MULTIBOOT_MAGIC };
	struct { Elf32_Ehdr eh; Elf32_Phdr ph; uint32_t text[8]; } e32 = {
		.eh = {
			.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, EV_CURRENT },
			.e_type = ET_EXEC, .e_machine = EM_386, .e_version = EV_CURRENT,
			.e_entry = 0x10000c, .e_phoff = sizeof(Elf32_Ehdr),
			.e_ehsize = sizeof(Elf32_Ehdr), .e_phentsize = sizeof(Elf32_Phdr),
			.e_phnum = 1, .e_shentsize = sizeof(Elf32_Shdr),
		},
		.ph = {
			.p_type = PT_LOAD, .p_offset = sizeof(Elf32_Ehdr) + sizeof(Elf32_Phdr),
			.p_vaddr = 0x100000, .p_paddr = 0x100000, .p_filesz = 32, .p_memsz = 4096,
		},
	};
	struct elf_image e64;

	(void)state;
	memcpy(e32.text, header, sizeof(header));
	assert_loads(&e32, sizeof(e32));
	assert_multiboot_state();
	assert_int_equal(entry.ip, 0x10000c);
	assert_memory_equal(guest(0x100000, 12), header, 12);
	make_elf(&e64);
	memcpy(e64.text, header, sizeof(header));
	assert_loads(&e64, sizeof(e64));
	assert_int_equal(entry.mode, ENTRY_PROT);
	e32.eh.e_machine = EM_ARM;
	assert_refused(&e32, sizeof(e32), "not for x86");
	e32.text[0] = 0;
	assert_refused(&e32, sizeof(e32), "ELF32");
}

static void multiboot_that_lies(void **state)
{
	static const struct { size_t field; uint32_t value; const char *word; } lies[] = {
		{ offsetof(struct multiboot_image, header_addr), 0, "outside" },
		{ offsetof(struct multiboot_image, header_addr), UINT32_MAX, "outside" },
		{ offsetof(struct multiboot_image, load_addr), 0, "outside" },
		{ offsetof(struct multiboot_image, load_end_addr), MULTIBOOT_AT - 1, "all there" },
		{ offsetof(struct multiboot_image, load_end_addr), UINT32_MAX, "all there" },
		{ offsetof(struct multiboot_image, load_end_addr),
		  MULTIBOOT_AT + sizeof(struct multiboot_image) + 1, "all there" },
		{ offsetof(struct multiboot_image, bss_end_addr), MULTIBOOT_AT, "contradict" },
		{ offsetof(struct multiboot_image, bss_end_addr), 1, "contradict" },
		{ offsetof(struct multiboot_image, bss_end_addr), UINT32_MAX, "don't fit" },
		{ offsetof(struct multiboot_image, entry_addr), MULTIBOOT_AT - 1, "entry" },
		{ offsetof(struct multiboot_image, entry_addr), UINT32_MAX, "entry" },
	};
	struct multiboot_image m;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		make_multiboot(&m);
		memcpy((uint8_t *)&m + lies[i].field, &lies[i].value, 4);
		assert_refused(&m, sizeof(m), lies[i].word);
	}
	make_multiboot(&m);
	m.header_addr -= MULTIBOOT_AT - 0x10000;
	m.load_addr = 0x10000;
	m.load_end_addr = m.bss_end_addr = 0;
	assert_refused(&m, sizeof(m), "below 1 MiB");
	make_multiboot(&m);
	m.flags |= 4;
	m.checksum -= 4;
	assert_refused(&m, sizeof(m), "graphics");
	m.flags += 4;
	m.checksum -= 4;
	assert_refused(&m, sizeof(m), "flags 0x8");
	m.checksum++;
	assert_refused(&m, sizeof(m), "no kind");
}

static void multiboot_truncated_at_every_length(void **state)
{
	struct multiboot_image m;
	size_t size;

	(void)state;
	make_multiboot(&m);
	for (size = 0; size < sizeof(m); size++) {
		assert_int_equal(load(&m, size), -1);
		assert_true(err.text[0]);
	}
}

static void files_that_cant_be_read(void **state)
{
	char path[] = "/tmp/vmrun-test-XXXXXX";
	struct image img;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(image_open(&img, path, &err), -1);
	assert_non_null(strstr(err.text, "empty"));
	assert_int_equal(write(fd, "x", 1), 1);
	close(fd);
	assert_int_equal(image_open(&img, path, &err), 0);
	assert_int_equal(img.size, 1);
	image_close(&img);
	unlink(path);
	assert_int_equal(image_open(&img, path, &err), -1);
	assert_non_null(strstr(err.text, "No such file"));
	assert_int_equal(image_open(&img, "/tmp", &err), -1);
	assert_int_equal(image_open(&img, "/dev/zero", &err), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bzimage_boots),
		cmocka_unit_test(bzimage_of_32_bits_boots),
		cmocka_unit_test(bzimage_sees_the_memory),
		cmocka_unit_test(bzimage_has_tables),
		cmocka_unit_test(bzimage_truncated_at_every_length),
		cmocka_unit_test(bzimage_that_we_cant_start),
		cmocka_unit_test(bzimage_goes_where_there_is_room),
		cmocka_unit_test(bzimage_header_of_every_length),
		cmocka_unit_test(cmdline_has_limits),
		cmocka_unit_test(initrd_goes_high),
		cmocka_unit_test(initrd_that_doesnt_fit),
		cmocka_unit_test(elf_loads),
		cmocka_unit_test(elf_entry_may_be_virtual),
		cmocka_unit_test(elf_truncated_at_every_length),
		cmocka_unit_test(elf_that_lies),
		cmocka_unit_test(elf_of_other_kinds),
		cmocka_unit_test(boot_sector_starts_in_real_mode),
		cmocka_unit_test(disks_are_told_from_boot_sectors),
		cmocka_unit_test(firmware_is_known),
		cmocka_unit_test(programs_are_programs),
		cmocka_unit_test(flat_code_goes_where_its_mode_says),
		cmocka_unit_test(flat_code_must_fit),
		cmocka_unit_test(refusals_name_the_kind),
		cmocka_unit_test(multiboot2_is_named),
		cmocka_unit_test(uefi_is_named),
		cmocka_unit_test(multiboot_by_its_header),
		cmocka_unit_test(multiboot_information),
		cmocka_unit_test(multiboot_in_an_elf_file),
		cmocka_unit_test(multiboot_that_lies),
		cmocka_unit_test(multiboot_truncated_at_every_length),
		cmocka_unit_test(files_that_cant_be_read),
	};

	return cmocka_run_group_tests_name("vmrun loaders", tests, setup, teardown);
}
