/* SPDX-License-Identifier: GPL-2.0 */
/* What vmrun puts where in guest memory. Documentation/vmrun.md shows the same as a table. */
#ifndef VMRUN_LAYOUT_H
#define VMRUN_LAYOUT_H

/* The BIOS data area, of which we fill in what an operating system reads without a BIOS. */
#define BDA_EBDA_SEGMENT	0x40e
#define BDA_BASE_KIB		0x413

#define BOOT_GDT		0x1000
#define BOOT_PAGE_TABLES	0x2000		/* six pages: 4 GiB mapped one to one */
#define BOOT_ZERO_PAGE		0x10000		/* struct boot_params */
#define BOOT_CMDLINE		0x20000
#define BOOT_CMDLINE_MAX	0x10000
#define BOOT_STACK_TOP		0x80000		/* for guests that aren't Linux */
#define BOOT_DATA_END		0x80000

#define BOOT_SECTOR_ADDR	0x7c00
#define EBDA_START		0x9fc00
#define VGA_START		0xa0000
#define BIOS_START		0xf0000		/* MP table */
#define BIOS_END		0x100000
#define HIGH_MEMORY		0x100000

/* Selectors of BOOT_GDT: those that Linux' boot protocol demands. */
#define BOOT_CS			0x10
#define BOOT_DS			0x18
#define BOOT_TSS		0x20

/* In the hole below 4 GiB. */
#define IDENTITY_MAP_ADDR	0xfeffc000ULL	/* for KVM, without unrestricted guest */
#define TSS_ADDR		0xfeffd000ULL	/* three pages; then room for firmware */
#define TSS_SIZE		0x3000
#define IOAPIC_ADDR		0xfec00000U
#define LAPIC_ADDR		0xfee00000U

#endif
