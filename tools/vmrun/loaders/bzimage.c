// SPDX-License-Identifier: GPL-2.0
/* A Linux kernel as distributions ship it, through the 64-bit boot protocol, or the 32-bit one. */
#include <stddef.h>
#include <string.h>

#include "../layout.h"
#include "linux.h"

#define SECTOR			512
#define HEADER_OFFSET		offsetof(struct boot_params, hdr)
#define HEADER_MAGIC		"HdrS"
#define HEADER_MAGIC_OFFSET	0x202
#define HEADER_MIN_END		0x268	/* through handover_offset: protocol 2.12 */
#define JUMP_OFFSET		0x201	/* the operand of a jump over the header: its length */
#define ENTRY64_OFFSET		0x200
#define PROTOCOL_64BIT		0x020c
#define BOOT_FLAG		0xaa55

static bool bzimage_recognise(const struct image *img)
{
	return image_has(img, HEADER_MAGIC_OFFSET, HEADER_MAGIC, 4);
}

/* Copies as much of the header as this kernel has; what is missing stays zero. */
static int read_header(const struct image *img, struct setup_header *hdr, struct error *err)
{
	const uint8_t *jump = image_at(img, JUMP_OFFSET, 1);
	size_t len, end;

	if (!jump || !image_at(img, 0, HEADER_MIN_END))
		return failed(err, "%s: a Linux kernel that ends within its header", img->name);
	end = HEADER_MAGIC_OFFSET + *jump;
	len = end - HEADER_OFFSET;
	if (len > sizeof(*hdr))
		len = sizeof(*hdr);
	if (!image_at(img, HEADER_OFFSET, len))
		return failed(err, "%s: a Linux kernel that ends within its header", img->name);
	memset(hdr, 0, sizeof(*hdr));
	memcpy(hdr, img->data + HEADER_OFFSET, len);
	if (hdr->boot_flag != BOOT_FLAG)
		return failed(err, "%s: a Linux kernel without a boot signature", img->name);
	if (hdr->version < PROTOCOL_64BIT)
		return failed(err, "%s: a Linux kernel with boot protocol %d.%02d; vmrun needs 2.12 (Linux 3.8)",
			      img->name, hdr->version >> 8, hdr->version & 0xff);
	if (end < HEADER_MIN_END)
		return failed(err, "%s: a Linux kernel whose header is shorter than its protocol",
			      img->name);
	return 0;
}

/* Where it runs best; a relocatable one goes to 1 MiB if it doesn't fit there. */
static uint64_t choose_address(const struct guest_mem *mem, const struct setup_header *hdr,
			       uint64_t size)
{
	uint64_t align = hdr->kernel_alignment;

	if (hdr->pref_address >= HIGH_MEMORY && mem_at(mem, hdr->pref_address, size))
		return hdr->pref_address;
	if (!hdr->relocatable_kernel || !align || (align & (align - 1)))
		return 0;
	if (align < HIGH_MEMORY)
		align = HIGH_MEMORY;
	return mem_at(mem, align, size) ? align : 0;
}

static int load_kernel(struct guest_mem *mem, const struct image *img,
		       const struct setup_header *hdr, uint64_t *addr, uint64_t *end,
		       struct error *err)
{
	uint64_t offset = ((hdr->setup_sects ? hdr->setup_sects : 4) + 1ULL) * SECTOR;
	uint64_t said = (uint64_t)hdr->syssize * 16, size, room;

	if (offset >= img->size)
		return failed(err, "%s: a Linux kernel that ends before its code", img->name);
	size = img->size - offset;
	if (size + 15 < said)		/* it is a count of paragraphs */
		return failed(err, "%s: a truncated Linux kernel: %llu of %llu bytes are there",
			      img->name, (unsigned long long)size, (unsigned long long)said);
	if (size <= ENTRY64_OFFSET)
		return failed(err, "%s: a Linux kernel without code", img->name);
	room = hdr->init_size > size ? hdr->init_size : size;
	*addr = choose_address(mem, hdr, room);
	if (!*addr)
		return failed(err, "%s: this kernel needs %llu MiB from %llu MiB on; the machine has %llu MiB of memory",
			      img->name, (unsigned long long)((room + (1 << 20) - 1) >> 20),
			      (unsigned long long)(hdr->pref_address >> 20),
			      (unsigned long long)(mem->size >> 20));
	memcpy(mem_at(mem, *addr, size), img->data + offset, size);
	*end = *addr + room;
	return 0;
}

static int bzimage_load(struct guest_mem *mem, const struct boot *boot, struct entry *entry,
			struct error *err)
{
	struct boot_params bp = { };
	uint64_t addr, end;
	bool is_64bit;

	if (read_header(boot->kernel, &bp.hdr, err) ||
	    load_kernel(mem, boot->kernel, &bp.hdr, &addr, &end, err) ||
	    boot_cmdline(mem, &bp, boot->cmdline, bp.hdr.cmdline_size, err) ||
	    boot_initrd(mem, &bp, boot->initrd, end, bp.hdr.initrd_addr_max, err))
		return -1;
	bp.hdr.type_of_loader = 0xff;
	bp.hdr.loadflags &= ~CAN_USE_HEAP;
	bp.hdr.code32_start = addr;
	bp.hdr.vid_mode = 0xffff;		/* "normal" */
	is_64bit = bp.hdr.xloadflags & XLF_KERNEL_64;
	boot_tables(mem, is_64bit ? ENTRY_LONG : ENTRY_PROT);
	boot_memory_map(&bp, mem);
	mem_write(mem, BOOT_ZERO_PAGE, &bp, sizeof(bp));

	*entry = (struct entry) {
		.mode = is_64bit ? ENTRY_LONG : ENTRY_PROT,
		.ip = is_64bit ? addr + ENTRY64_OFFSET : addr,
		.sp = BOOT_STACK_TOP,
		.si = BOOT_ZERO_PAGE,
	};
	return 0;
}

const struct loader bzimage_loader = {
	.name = "Linux kernel (bzImage)",
	.recognise = bzimage_recognise,
	.load = bzimage_load,
};
