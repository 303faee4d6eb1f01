/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Guest code written where it's used:
 *
 *	GUEST64(out_byte,
 *		mov $0x5a, %al;
 *		out %al, $0x10;
 *		hlt)
 *
 * It is loaded at CODE and has to be position-independent. Macros in it are expanded.
 */
#ifndef SELFTESTS_GUEST_H
#define SELFTESTS_GUEST_H

#define GUEST(name, bits, ...)	GUEST_EXPANDED(name, bits, __VA_ARGS__)
#define GUEST_EXPANDED(name, bits, ...)					\
	extern const char guest_##name[], guest_##name##_end[];		\
	asm(".pushsection .rodata.guests, \"a\"\n"			\
	    ".code" #bits "\n"						\
	    "guest_" #name ": " #__VA_ARGS__ "\n"			\
	    "guest_" #name "_end:\n"					\
	    ".code64\n"							\
	    ".popsection");

#define GUEST16(name, ...)	GUEST(name, 16, __VA_ARGS__)
#define GUEST32(name, ...)	GUEST(name, 32, __VA_ARGS__)
#define GUEST64(name, ...)	GUEST(name, 64, __VA_ARGS__)

/*
 * Runs until the host stops it. With interrupts on, although nothing sends any: Bochs 2.7 masks the
 * host's interrupts while a guest runs that was entered with IF clear and hasn't changed it since.
 */
#define SPIN	sti; 99: jmp 99b

/* Where things stand in a guest's memory. */
#define GDT		0x1000
#define IDT		0x2000
#define TSS		0x3000
#define PAGE_TABLES	0x4000		/* 6 pages: the first 4 GiB, mapped to itself by 2M pages */
#define STACK_TOP	0xf000
#define CODE		0x10000
#define DATA		0x20000
#define MEM_SIZE	(2 * 1024 * 1024)

/* No slot is ever here; within reach of a signed 32-bit displacement. */
#define MMIO		0x60000000

/* Selectors of the flat segments. */
#define SEL_CODE32	0x08
#define SEL_DATA	0x10
#define SEL_CODE64	0x18
#define SEL_TSS		0x20

#endif
