/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A ROM of 64 KiB that checks, from the reset vector on, what a BIOS relies on: how the PAM
 * registers mix ROM and RAM below 1 MiB, and that fw_cfg is there. It ends by the debug-exit port
 * with 0, or with the number of the check that failed.
 */
	.code16
	.set	CONFIG_ADDRESS, 0xcf8
	.set	CONFIG_DATA, 0xcfc
	.set	PAM0, 0x59
	.set	DEBUG_EXIT, 0x501

	.set	READ, 1
	.set	WRITE, 2

/* The check that goes on; EDI has its number. */
	.macro	expect what, value
	incl	%edi
	cmpb	$\value, \what
	jne	failed
	.endm

/* PAM register n from 0x59 on. */
	.macro	pam n, value
	movl	$0x80000000 | ((PAM0 + \n) & ~3), %eax
	movw	$CONFIG_ADDRESS, %dx
	outl	%eax, %dx
	movw	$CONFIG_DATA + ((PAM0 + \n) & 3), %dx
	movb	$\value, %al
	outb	%al, %dx
	.endm

	.org	0xf000
start:
	cli
	xorl	%edi, %edi
	movw	$0xf000, %ax
	movw	%ax, %ds

	/* The ROM, to which writing does nothing. */
	expect	marker, 'R'
	movb	$'x', marker
	expect	marker, 'R'

	/* Read ROM, write RAM: that is how a BIOS copies itself. */
	pam	0, WRITE << 4
	movw	%ds, %ax
	movw	%ax, %es
	movw	$start, %si
	movl	%edi, %ebp
	movw	%si, %di
	movw	$(0x10000 - 0xf000) / 4, %cx
	cld
	rep movsl
	movl	%ebp, %edi
	expect	marker, 'R'
	movb	$'W', marker
	expect	marker, 'R'

	/* RAM, first read-only, then both. */
	pam	0, READ << 4
	expect	marker, 'W'
	movb	$'x', marker
	expect	marker, 'W'
	pam	0, (READ | WRITE) << 4
	movb	$'Y', marker
	expect	marker, 'Y'

	/* The ROM again; the RAM under it stays as it is. */
	pam	0, 0
	expect	marker, 'R'
	pam	0, (READ | WRITE) << 4
	expect	marker, 'Y'

	/* The first two of the small regions. There is no ROM. */
	movw	$0xc000, %ax
	movw	%ax, %es
	expect	%es:0, 0xff
	movb	$'x', %es:0
	expect	%es:0, 0xff
	pam	1, READ | WRITE
	expect	%es:0, 0
	movb	$'A', %es:0
	movb	$'B', %es:0x3fff
	expect	%es:0, 'A'
	expect	%es:0x3fff, 'B'
	expect	%es:0x4000, 0xff
	pam	1, READ | (READ | WRITE) << 4
	movb	$'C', %es:0x4000
	movb	$'x', %es:0
	expect	%es:0, 'A'
	expect	%es:0x3fff, 'B'
	expect	%es:0x4000, 'C'
	pam	1, 0
	expect	%es:0, 0xff
	expect	%es:0x4000, 0xff

	/* The last one, up to where the ROM begins. */
	movw	$0xe000, %ax
	movw	%ax, %es
	pam	6, (READ | WRITE) << 4
	movb	$'D', %es:0xffff
	expect	%es:0xffff, 'D'
	expect	%es:0xbfff, 0xff
	pam	6, 0
	expect	%es:0xffff, 0xff

	/* fw_cfg, by a string instruction into what is RAM now. */
	xorw	%ax, %ax
	movw	%ax, %es
	movw	$0x510, %dx
	outw	%ax, %dx
	incw	%dx
	movl	%edi, %ebp
	movw	$0x500, %di
	movw	$4, %cx
	rep insb
	movl	%ebp, %edi
	expect	%es:0x500, 'Q'
	expect	%es:0x501, 'E'
	expect	%es:0x502, 'M'
	expect	%es:0x503, 'U'

	xorl	%edi, %edi
failed:
	movw	%di, %ax
	movw	$DEBUG_EXIT, %dx
	outb	%al, %dx
	hlt
	jmp	failed

marker:
	.byte	'R'

	.org	0xfff0
	ljmp	$0xf000, $start
	.org	0x10000
