/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A multiboot kernel (version 1): finds its command line and its module, prints both on the debug
 * console, and ends by the debug-exit port; with 1 to 8 if something isn't as specified.
 */
	.code32
	.set	MAGIC, 0x1badb002
	.set	FLAGS, 3
	.set	INFO_NEEDED, 0x4d		/* memory, command line, modules, map */

	.section .text
	.globl	_start
	.align	4
	.long	MAGIC, FLAGS, -(MAGIC + FLAGS)

	.macro	check number, condition
	movl	$\number, %edi
	j\condition	failed
	.endm

_start:
	cmpl	$0x2badb002, %eax
	check	1, ne
	movl	(%ebx), %eax
	andl	$INFO_NEEDED, %eax
	cmpl	$INFO_NEEDED, %eax
	check	2, ne
	movl	%cr0, %eax
	testl	$0x80000000, %eax		/* paging is off */
	check	3, nz
	testl	$1, %eax
	check	4, z
	pushfl
	testl	$0x200, (%esp)			/* interrupts, too */
	check	5, nz
	cmpl	$1, 20(%ebx)
	check	6, ne
	cmpl	$0, 8(%ebx)			/* memory from 1 MiB on */
	check	7, e
	/* No jump so far would have been taken without it: data that the loader has zeroed. */
	cmpl	$0, bss
	check	8, ne

	movl	16(%ebx), %esi
1:	lodsb
	testb	%al, %al
	jz	2f
	outb	%al, $0xe9
	jmp	1b
2:	movl	24(%ebx), %edx
	movl	(%edx), %esi
	movl	4(%edx), %ecx
	subl	%esi, %ecx
	movw	$0xe9, %dx
	cld
	rep outsb
	xorl	%edi, %edi
failed:
	movl	%edi, %eax
	movw	$0x501, %dx
	outb	%al, %dx
	hlt
	jmp	failed

	.section .bss
bss:	.space	4096
