/* SPDX-License-Identifier: GPL-2.0 */
/* Images made in memory, for the tests of the loaders and for the fuzzer. */
#ifndef VMRUN_IMAGES_H
#define VMRUN_IMAGES_H

#include <asm/bootparam.h>
#include <elf.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "loaders/loader.h"

#define SETUP_SECTS	4
#define SETUP_SIZE	((SETUP_SECTS + 1) * 512)
#define KERNEL_SIZE	2048
#define BZIMAGE_SIZE	(SETUP_SIZE + KERNEL_SIZE)

static inline struct setup_header *bzimage_header(uint8_t *image)
{
	return (struct setup_header *)(image + offsetof(struct boot_params, hdr));
}

static inline void make_bzimage(uint8_t *image)
{
	struct setup_header hdr = {
		.setup_sects = SETUP_SECTS,
		.boot_flag = 0xaa55,
		.jump = 0x6aeb,
		.header = 0x53726448,
		.version = 0x20f,
		.loadflags = LOADED_HIGH,
		.initrd_addr_max = 0x7fffffff,
		.kernel_alignment = 0x200000,
		.relocatable_kernel = 1,
		.xloadflags = XLF_KERNEL_64,
		.cmdline_size = 2047,
		.pref_address = 0x1000000,
		.init_size = 0x400000,
		.syssize = KERNEL_SIZE / 16,
	};

	memset(image, 0, SETUP_SIZE);
	memcpy(image, "MZ", 2);
	memset(image + SETUP_SIZE, 0x90, KERNEL_SIZE);
	memcpy(bzimage_header(image), &hdr, sizeof(hdr));
}

/* A multiboot kernel by the addresses in its header. */
#define MULTIBOOT_MAGIC		0x1badb002
#define MULTIBOOT_ADDRESSES	0x10000
#define MULTIBOOT_AT		0x110000

struct multiboot_image {
	uint8_t before[40];
	uint32_t magic, flags, checksum;
	uint32_t header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr;
	uint8_t text[64];
};

static inline void make_multiboot(struct multiboot_image *m)
{
	*m = (struct multiboot_image) {
		.magic = MULTIBOOT_MAGIC, .flags = MULTIBOOT_ADDRESSES | 3,
		.checksum = -(MULTIBOOT_MAGIC + (MULTIBOOT_ADDRESSES | 3)),
		.header_addr = MULTIBOOT_AT + offsetof(struct multiboot_image, magic),
		.load_addr = MULTIBOOT_AT, .load_end_addr = MULTIBOOT_AT + sizeof(*m),
		.bss_end_addr = MULTIBOOT_AT + sizeof(*m) + 0x1000,
		.entry_addr = MULTIBOOT_AT + offsetof(struct multiboot_image, text),
	};
	memset(m->before, 0x11, sizeof(m->before));
	memset(m->text, 0x90, sizeof(m->text));
}

#define ELF_SEGMENTS	2
#define ELF_TEXT	0x100000
#define ELF_DATA	0x201000
#define ELF_TEXT_SIZE	64
#define ELF_DATA_SIZE	32
#define ELF_BSS_SIZE	4096

struct elf_image {
	Elf64_Ehdr eh;
	Elf64_Phdr ph[ELF_SEGMENTS];
	uint8_t text[ELF_TEXT_SIZE];
	uint8_t data[ELF_DATA_SIZE];
};

static inline void make_elf(struct elf_image *e)
{
	*e = (struct elf_image) {
		.eh = {
			.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
			.e_type = ET_EXEC, .e_machine = EM_X86_64, .e_version = EV_CURRENT,
			.e_entry = ELF_TEXT + 4, .e_phoff = offsetof(struct elf_image, ph),
			.e_ehsize = sizeof(Elf64_Ehdr), .e_phentsize = sizeof(Elf64_Phdr),
			.e_phnum = ELF_SEGMENTS, .e_shentsize = sizeof(Elf64_Shdr),
		},
		.ph = {
			{
				.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_align = 0x1000,
				.p_offset = offsetof(struct elf_image, text),
				.p_vaddr = ELF_TEXT, .p_paddr = ELF_TEXT,
				.p_filesz = ELF_TEXT_SIZE, .p_memsz = ELF_TEXT_SIZE,
			}, {
				.p_type = PT_LOAD, .p_flags = PF_R | PF_W, .p_align = 0x1000,
				.p_offset = offsetof(struct elf_image, data),
				.p_vaddr = ELF_DATA, .p_paddr = ELF_DATA,
				.p_filesz = ELF_DATA_SIZE, .p_memsz = ELF_BSS_SIZE,
			},
		},
	};
	memset(e->text, 0xf4, sizeof(e->text));
	memset(e->data, 0x5a, sizeof(e->data));
}

/*
 * Load a copy of an image that ends where its memory ends, so that the sanitizer sees every byte
 * that is read beyond it.
 */
static inline int load_bytes(struct guest_mem *mem, const void *bytes, size_t size,
			     const struct boot *how, struct entry *entry, struct error *err)
{
	uint8_t *copy = malloc(size ? size : 1);
	struct image img = { .data = copy, .size = size, .name = "test" };
	struct boot boot = *how;
	const char *kind;
	int rc;

	memcpy(copy, bytes, size);
	boot.kernel = &img;
	if (!boot.cmdline)
		boot.cmdline = "console=ttyS0";
	err->text[0] = 0;
	rc = boot_load(mem, &boot, entry, &kind, err);
	free(copy);
	return rc;
}

#endif
