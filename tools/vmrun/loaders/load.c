// SPDX-License-Identifier: GPL-2.0
#include "loader.h"

/*
 * The boot sector's mark is the weakest: it comes after what we know to refuse. A multiboot header
 * may be in an ELF file, and in one that is refused otherwise.
 */
static const struct loader *const loaders[] = { &bzimage_loader, &elf64_loader };

static int load_as(const struct loader *l, struct guest_mem *mem, const struct boot *boot,
		   struct entry *entry, const char **kind, struct error *err)
{
	*kind = l->name;
	return l->load(mem, boot, entry, err);
}

int boot_load(struct guest_mem *mem, const struct boot *boot, struct entry *entry,
	      const char **kind, struct error *err)
{
	const struct image *img = boot->kernel;
	const char *refused = refused_kind(img);
	size_t i;

	if (boot->flat.forced)
		return load_as(&flat_loader, mem, boot, entry, kind, err);
	if (multiboot_loader.recognise(img))
		return load_as(&multiboot_loader, mem, boot, entry, kind, err);
	for (i = 0; !refused && i < sizeof(loaders) / sizeof(loaders[0]); i++)
		if (loaders[i]->recognise(img))
			return load_as(loaders[i], mem, boot, entry, kind, err);
	if (refused)
		return failed(err, "%s: this is %s", img->name, refused);
	if (bootsector_loader.recognise(img))
		return load_as(&bootsector_loader, mem, boot, entry, kind, err);
	return failed(err, "%s: of no kind that vmrun knows; if it is plain machine code, say with --entry-mode how it is to be entered",
		      img->name);
}
