/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where a SIPI sends a processor: copied to CPUS_START, goes from real mode to 64-bit mode at once,
 * with the tables of the first processor.
 */
	.section .rodata
	.globl cpus_start, cpus_start_end
	.set CPUS_START, 0x8000
	.code16
cpus_start:
	cli
	mov %cs, %ax
	mov %ax, %ds
	lgdtl cpus_gdtr - cpus_start
	mov $0x620, %eax		/* PAE, OSFXSR, OSXMMEXCPT */
	mov %eax, %cr4
	mov $pml4, %eax
	mov %eax, %cr3
	mov $0xc0000080, %ecx
	rdmsr
	or $0x100, %ax			/* LME */
	wrmsr
	mov $0x80010033, %eax		/* PG, WP, NE, ET, MP, PE */
	mov %eax, %cr0
	ljmpl $0x08, $cpus_long
	.balign 4
cpus_gdtr:
	.word 0x3f
	.long gdt
cpus_start_end:

	.text
	.code64
cpus_long:
	mov $0x10, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	xor %eax, %eax
	mov %eax, %fs
	mov %eax, %gs
	lldt %ax
	mov $1, %edi
	lock xadd %edi, cpus_running
	mov %edi, %eax
	shl $12, %eax
	lea cpus_stacks(%rax), %rsp
	xor %ebp, %ebp
	call cpus_main
1:	cli
	hlt
	jmp 1b

	.bss
	.balign 4096
cpus_stacks:				/* the first processor has its own */
	.skip 4096 * 3

	.section .note.GNU-stack, "", @progbits
