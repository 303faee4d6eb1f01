/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The start of every guest: a header for who loads it, the entry in 64-bit mode with the image
 * mapped to itself (however that was done), the descriptor tables, and the stubs of the 256
 * vectors.
 */
	.section .start, "ax"
	.globl _start
_start:
	jmp enter
	/* struct image in image.h: keep in step. */
	.balign 16
	.globl image
image:
	.ascii "vmm-test"
	.long -1			/* the test to run; -1: all */
	.long __tests_count
	.quad __tests
	.quad __image_end

enter:
	cli
	cld
	mov $stack_top, %esp
	lgdt gdtr
	pushq $0x08
	pushq $1f
	lretq
1:	mov $0x10, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	xor %eax, %eax
	mov %eax, %fs
	mov %eax, %gs
	lldt %ax
	xor %ebp, %ebp
	call guest_main
2:	hlt
	jmp 2b

	.text
/* Vectors that push an error code: 8, 10-14, 17, 21. */
	.set ERROR_CODES, 0x00227d00
	.set vector, 0
	.globl vector_stubs
	.balign 16
vector_stubs:
	.rept 256
	.balign 16
	.if vector >= 32 || !((ERROR_CODES >> (vector & 31)) & 1)
	pushq $0
	.endif
	pushq $vector
	jmp common
	.set vector, vector + 1
	.endr

common:
	push %rax
	push %rcx
	push %rdx
	push %rbx
	push %rbp
	push %rsi
	push %rdi
	push %r8
	push %r9
	push %r10
	push %r11
	push %r12
	push %r13
	push %r14
	push %r15
	cld
	mov %rsp, %rdi
	mov %rsp, %rbp
	and $-16, %rsp
	call on_vector
	mov %rbp, %rsp
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %r11
	pop %r10
	pop %r9
	pop %r8
	pop %rdi
	pop %rsi
	pop %rbp
	pop %rbx
	pop %rdx
	pop %rcx
	pop %rax
	add $16, %rsp
	iretq

/*
 * void user_call(void (*f)(void)): f at CPL 3. It comes back through int $0x80, whose handler goes
 * to user_return with the stack that was left here.
 */
	.globl user_call, user_return
user_call:
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, user_saved_rsp
	pushq $0x23
	pushq $user_stack_top
	pushfq
	pushq $0x2b
	pushq $1f
	iretq
1:	call *%rdi
	int $0x80
user_return:
	mov user_saved_rsp, %rsp
	mov $0x10, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret

	.data
	.balign 16
	.globl gdt, gdt_end
gdt:	.quad 0
	.quad 0x00af9b000000ffff	/* 08 code, 64 bits */
	.quad 0x00cf93000000ffff	/* 10 data */
	.quad 0x00cf9b000000ffff	/* 18 code, 32 bits */
	.quad 0x00cff3000000ffff	/* 20 data, user */
	.quad 0x00affb000000ffff	/* 28 code, 64 bits, user */
	.quad 0x00cffb000000ffff	/* 30 code, 32 bits, user */
	.quad 0				/* 38 the task state, filled in by guest.c */
	.quad 0
	.quad 0x00cf13000000ffff	/* 48 data, not present */
	.quad 0x008f9b000000ffff	/* 50 code, 16 bits, 4 GiB */
	.quad 0				/* 58 for tests */
	.quad 0
gdt_end:
gdtr:	.word gdt_end - gdt - 1
	.quad gdt

	.bss
	.balign 4096
	.skip 16384
	.globl stack_top
stack_top:
	.skip 16384
	.globl user_stack_top
user_stack_top:
user_saved_rsp:
	.skip 8

	.section .note.GNU-stack, "", @progbits
