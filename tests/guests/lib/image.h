/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What stands near the start of a guest's image, for who loads it: `struct image` at IMAGE_HEADER.
 */
#ifndef GUESTS_IMAGE_H
#define GUESTS_IMAGE_H

#define IMAGE_BASE	0x100000	/* linked and loaded there; entered at its first byte */
#define IMAGE_HEADER	16
#define IMAGE_MAGIC	"vmm-test"
#define IMAGE_MEMORY	(32ul << 20)	/* what a guest may expect to have */

#define PORT_CONSOLE	0x3f8		/* a character per byte, never polled */
#define PORT_EXIT	0xf4		/* a RESULT_ of 4 bytes: the guest is done */

/* Lines and NMIs that the guest asks its runner for, as a device would give them. */
#define PORT_IRQ	0xf5		/* byte: GSI, | IRQ_RAISE */
#define IRQ_RAISE	0x80
#define PORT_NMI	0xf6
#define PORT_START	0xf7		/* byte: what comes now is the test itself */
/* Reads as how often what races with something else is to be done: a machine may be slow. */
#define PORT_ROUNDS	0xf8		/* 4 bytes */

#define RESULT_PASSED	0
#define RESULT_FAILED	1
#define RESULT_SKIPPED	2		/* the last line on the console says why */

#define NEEDS_IRQCHIP	1		/* interrupt chips and PIT in the kernel */
#define NEEDS_CPUS(n)	((n) << 8)	/* that many in all, in threads of their own */
#define CPUS_NEEDED(flags)	((unsigned int)(flags) >> 8 & 0xff)
#define MAX_CPUS	4

struct image {
	char magic[8];
	unsigned int selected;		/* which test to run; ~0: all, one after the other */
	unsigned int count;
	unsigned long long tests;	/* address of `struct image_test`s */
	unsigned long long end;		/* address behind the last byte, zeroes included */
};

struct image_test {
	unsigned long long name;	/* addresses */
	unsigned long long body;
	unsigned long long flags;	/* NEEDS_ */
};

#endif
