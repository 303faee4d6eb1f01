// SPDX-License-Identifier: GPL-2.0
/* A static program or uncompressed Linux kernel (vmlinux), placed by physical addresses. */
#include <gelf.h>
#include <libelf.h>
#include <string.h>

#include "../layout.h"
#include "elf.h"
#include "linux.h"

static bool elf64_recognise(const struct image *img)
{
	return image_has(img, 0, ELFMAG, SELFMAG);
}

static const char *type_name(unsigned int type)
{
	return type == ET_DYN ? "position-independent program or library" :
	       type == ET_REL ? "object file" : type == ET_CORE ? "core dump" : "unknown";
}

static bool right_machine(const GElf_Ehdr *eh, enum elf_width width)
{
	if (eh->e_ident[EI_DATA] != ELFDATA2LSB)
		return false;
	if (eh->e_ident[EI_CLASS] == ELFCLASS64)
		return eh->e_machine == EM_X86_64;
	return width == ELF_32_OR_64 && eh->e_machine == EM_386;
}

static int check_header(const struct image *img, const GElf_Ehdr *eh, enum elf_width width,
			struct error *err)
{
	if (!right_machine(eh, width))
		return failed(err, "%s: an ELF file, but not for %s", img->name,
			      width == ELF_64 ? "x86-64" : "x86");
	if (eh->e_type != ET_EXEC)
		return failed(err, "%s: an ELF file of the kind %s; vmrun starts static executables (ET_EXEC)",
			      img->name, type_name(eh->e_type));
	return 0;
}

static int load_segment(struct guest_mem *mem, const struct image *img, const GElf_Phdr *ph,
			struct error *err)
{
	const void *src = image_at(img, ph->p_offset, ph->p_filesz);
	void *dst;

	if (ph->p_filesz > ph->p_memsz)
		return failed(err, "%s: an ELF segment with more in the file than in memory",
			      img->name);
	if (!src)
		return failed(err, "%s: a truncated ELF file: a segment of %llu bytes at %#llx isn't all there",
			      img->name, (unsigned long long)ph->p_filesz,
			      (unsigned long long)ph->p_offset);
	if (ph->p_paddr < HIGH_MEMORY)
		return failed(err, "%s: an ELF segment at %#llx; below 1 MiB lies what the guest starts with",
			      img->name, (unsigned long long)ph->p_paddr);
	dst = mem_at(mem, ph->p_paddr, ph->p_memsz);
	if (!dst)
		return failed(err, "%s: an ELF segment of %llu KiB at %#llx doesn't fit into %llu MiB of memory",
			      img->name, (unsigned long long)(ph->p_memsz >> 10),
			      (unsigned long long)ph->p_paddr,
			      (unsigned long long)(mem->size >> 20));
	memcpy(dst, src, ph->p_filesz);		/* the rest is zero already: memory is fresh */
	return 0;
}

/* An entry that is given as a virtual address is turned into the physical one. */
static uint64_t physical_entry(uint64_t entry, const GElf_Phdr *ph, uint64_t physical)
{
	if (entry - ph->p_paddr < ph->p_memsz)
		return entry;
	if (!physical && entry - ph->p_vaddr < ph->p_memsz)
		return entry - ph->p_vaddr + ph->p_paddr;
	return physical;
}

static int load_segments(struct guest_mem *mem, const struct image *img, Elf *elf,
			 const GElf_Ehdr *eh, uint64_t *entry, uint64_t *end, struct error *err)
{
	uint64_t total = 0;
	size_t i, n;

	*entry = *end = 0;
	if (elf_getphdrnum(elf, &n))
		return failed(err, "%s: a broken ELF file: %s", img->name, elf_errmsg(-1));
	for (i = 0; i < n; i++) {
		GElf_Phdr ph;

		if (!gelf_getphdr(elf, i, &ph))
			return failed(err, "%s: a broken ELF file: %s", img->name, elf_errmsg(-1));
		if (ph.p_type != PT_LOAD || !ph.p_memsz)
			continue;
		if (load_segment(mem, img, &ph, err))
			return -1;
		total += ph.p_memsz;
		if (total > mem->size)
			return failed(err, "%s: an ELF file whose segments overlap", img->name);
		*entry = physical_entry(eh->e_entry, &ph, *entry);
		if (ph.p_paddr < MEM_HIGH_START && ph.p_paddr + ph.p_memsz > *end)
			*end = ph.p_paddr + ph.p_memsz;
	}
	if (!*entry)
		return failed(err, "%s: an ELF file whose entry %#llx is in none of its segments",
			      img->name, (unsigned long long)eh->e_entry);
	if (*entry >= MEM_HIGH_START)
		return failed(err, "%s: only the first 4 GiB are mapped at the start", img->name);
	return 0;
}

static int load_elf(struct guest_mem *mem, const struct image *img, Elf *elf,
		    enum elf_width width, uint64_t *entry, uint64_t *end, struct error *err)
{
	GElf_Ehdr eh;

	if (!elf || elf_kind(elf) != ELF_K_ELF || !gelf_getehdr(elf, &eh))
		return failed(err, "%s: a broken or truncated ELF file", img->name);
	if (check_header(img, &eh, width, err))
		return -1;
	return load_segments(mem, img, elf, &eh, entry, end, err);
}

int elf_load(struct guest_mem *mem, const struct image *img, enum elf_width width, uint64_t *entry,
	     uint64_t *end, struct error *err)
{
	Elf *elf;
	int rc;

	elf_version(EV_CURRENT);
	elf = elf_memory((char *)img->data, img->size);
	rc = load_elf(mem, img, elf, width, entry, end, err);
	elf_end(elf);
	return rc;
}

static int elf64_load(struct guest_mem *mem, const struct boot *boot, struct entry *entry,
		      struct error *err)
{
	uint64_t ip, end;

	if (elf_load(mem, boot->kernel, ELF_64, &ip, &end, err) ||
	    boot_plain(mem, boot, ENTRY_LONG, end, err))
		return -1;
	*entry = (struct entry) {
		.mode = ENTRY_LONG,
		.ip = ip,
		.sp = BOOT_STACK_TOP,
		.si = BOOT_ZERO_PAGE,
	};
	return 0;
}

const struct loader elf64_loader = {
	.name = "ELF64 program",
	.recognise = elf64_recognise,
	.load = elf64_load,
};
