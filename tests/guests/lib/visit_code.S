/* SPDX-License-Identifier: GPL-2.0 */
/*
 * visit64, visit32: into the mode that `visit` describes, through a list of steps, and back. Each
 * step is one instruction, from visit_stubs, at CPL 0 or 3, which may fault. visit.h has the
 * structures: keep the offsets in step.
 */
#define CR0		0
#define CR3		8
#define CR4		16
#define EFER		24
#define FIRST		32
#define END		40
#define SAVED_RSP	48
#define SAVED_CR0	56
#define SAVED_CR3	64
#define SAVED_CR4	72
#define SAVED_EFER	80

#define ADDRESS		0
#define VALUE		8
#define KIND		16
#define FLAGS		20
#define VECTOR		24
#define ERROR		28
#define FAULT_CR2	32
#define GOT		40
#define LOOK_AT		48
#define SEEN		64
#define LDT		96
#define STEP_SIZE	128

#define USER_STUBS	0x20000000	/* where visit_stubs are the user's */
#define MSR_EFER	0xc0000080
#define SPARE		0x58

	.text
	.globl visit64, visit32
visit64:
	call save
	mov visit + CR3, %rax
	mov %rax, %cr3
	mov visit + CR0, %rax
	mov %rax, %cr0
	mov $MSR_EFER, %ecx
	xor %edx, %edx
	mov visit + EFER, %eax
	wrmsr
	mov visit + CR4, %rax
	mov %rax, %cr4
	lidt visit_idtr64
	mov visit + FIRST, %rbx
next64:
	cmp visit + END, %rbx
	je leave64
	movl $-1, VECTOR(%rbx)
	call set_ldt
	mov KIND(%rbx), %r8d
	shl $5, %r8d
	mov FLAGS(%rbx), %r9d
	shl $16, %r9d
	and $0x40000, %r9d		/* AC */
	or $2, %r9d
	mov ADDRESS(%rbx), %rdi
	mov VALUE(%rbx), %rax
	lea VALUE(%rbx), %rsi
	testl $1, FLAGS(%rbx)
	jnz 1f
	add $visit_stubs, %r8
	push %r9
	popfq
	jmp *%r8
1:	add $USER_STUBS, %r8
	pushq $0x23
	pushq $0
	push %r9
	pushq $0x2b
	push %r8
	iretq

/* Vectors 0 … 31, 8 bytes each; the same bytes in both modes. */
	.balign 8
	.globl visit_vectors64
visit_vectors64:
	.set v, 0
	.rept 32
	.balign 8
	push $v
	jmp fault64
	.set v, v + 1
	.endr
fault64:
	pop %rcx
	pop %rdx
	mov %ecx, VECTOR(%rbx)
	mov %edx, ERROR(%rbx)
	mov %cr2, %rcx
	mov %rcx, FAULT_CR2(%rbx)
	.globl visit_done64
visit_done64:
	mov visit + SAVED_RSP, %rsp
	pushq $2
	popfq
	mov %rax, GOT(%rbx)
	mov $3, %ecx
2:	mov LOOK_AT(%rbx, %rcx, 4), %esi
	test %esi, %esi
	jz 3f
	mov (%rsi), %rdx
	mov %rdx, SEEN(%rbx, %rcx, 8)
3:	dec %ecx
	jns 2b
	add $STEP_SIZE, %rbx
	jmp next64

leave64:
	mov visit + SAVED_CR4, %rax
	mov %rax, %cr4
	mov visit + SAVED_CR3, %rax
	mov %rax, %cr3
	mov $MSR_EFER, %ecx
	xor %edx, %edx
	mov visit + SAVED_EFER, %eax
	wrmsr
	mov visit + SAVED_CR0, %rax
	mov %rax, %cr0
	/* A user's step has left its SS, or none. */
	mov $0x10, %eax
	mov %eax, %ss
	jmp restore

/* Called by visit64 and visit32, and leaves what they have to restore on the stack. */
save:
	pop %rax
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, visit + SAVED_RSP
	push %rax
	mov %cr0, %rax
	mov %rax, visit + SAVED_CR0
	mov %cr3, %rax
	mov %rax, visit + SAVED_CR3
	mov %cr4, %rax
	mov %rax, visit + SAVED_CR4
	mov $MSR_EFER, %ecx
	rdmsr
	and $~0x400, %eax		/* LMA */
	mov %eax, visit + SAVED_EFER
	ret

restore:
	mov visit + SAVED_RSP, %rsp
	mov $0x10, %eax
	mov %eax, %ds
	mov %eax, %es
	xor %eax, %eax
	mov %eax, %fs
	lldt %ax
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret

set_ldt:
	mov LDT(%rbx), %rax
	test %rax, %rax
	jz 1f
	mov %rax, gdt + SPARE
	mov LDT + 8(%rbx), %rax
	mov %rax, gdt + SPARE + 8
	mov $SPARE, %eax
	lldt %ax
1:	ret

/* ---- 32 bits --------------------------------------------------------------------------------- */

visit32:
	call save
	pushq $0x18
	pushq $1f
	lretq
	.code32
1:	mov $0x10, %eax
	mov %eax, %ss
	mov %cr0, %eax
	and $0x7fffffff, %eax
	mov %eax, %cr0
	mov $MSR_EFER, %ecx
	xor %edx, %edx
	mov visit + EFER, %eax
	wrmsr
	mov visit + CR4, %eax
	mov %eax, %cr4
	mov visit + CR3, %eax
	mov %eax, %cr3
	lidt visit_idtr32
	mov $0x23, %eax
	mov %eax, %ds
	mov %eax, %es
	mov visit + CR0, %eax
	mov %eax, %cr0
	jmp 2f
2:	mov visit + FIRST, %ebx
next32:
	cmp visit + END, %ebx
	je leave32
	movl $-1, VECTOR(%ebx)
	mov LDT(%ebx), %eax
	test %eax, %eax
	jz 3f
	mov %eax, gdt + SPARE
	mov LDT + 4(%ebx), %eax
	mov %eax, gdt + SPARE + 4
	mov $SPARE, %eax
	lldt %ax
3:	mov KIND(%ebx), %ebp
	shl $5, %ebp
	mov FLAGS(%ebx), %ecx
	shl $16, %ecx
	and $0x40000, %ecx
	or $2, %ecx
	mov ADDRESS(%ebx), %edi
	mov VALUE(%ebx), %eax
	mov VALUE + 4(%ebx), %edx
	lea VALUE(%ebx), %esi
	testl $1, FLAGS(%ebx)
	jnz 4f
	add $visit_stubs + 2048, %ebp
	push %ecx
	popfl
	jmp *%ebp
4:	add $USER_STUBS + 2048, %ebp
	pushl $0x23
	pushl $0
	push %ecx
	pushl $0x33
	push %ebp
	iret

	.balign 8
	.globl visit_vectors32
visit_vectors32:
	.set v, 0
	.rept 32
	.balign 8
	push $v
	jmp fault32
	.set v, v + 1
	.endr
fault32:
	popl %ss:VECTOR(%ebx)
	popl %ss:ERROR(%ebx)
	mov %cr2, %ecx
	mov %ecx, %ss:FAULT_CR2(%ebx)
	movl $0, %ss:FAULT_CR2 + 4(%ebx)
	.globl visit_done32
visit_done32:
	mov visit + SAVED_RSP, %esp
	pushl $2
	popfl
	mov %eax, GOT(%ebx)
	movl $0, GOT + 4(%ebx)
	mov $3, %ecx
5:	mov LOOK_AT(%ebx, %ecx, 4), %esi
	test %esi, %esi
	jz 6f
	mov (%esi), %edx
	mov %edx, SEEN(%ebx, %ecx, 8)
	mov 4(%esi), %edx
	mov %edx, SEEN + 4(%ebx, %ecx, 8)
6:	dec %ecx
	jns 5b
	add $STEP_SIZE, %ebx
	jmp next32

leave32:
	mov %cr0, %eax
	and $0x7fffffff, %eax
	mov %eax, %cr0
	mov visit + SAVED_CR4, %eax
	mov %eax, %cr4
	mov visit + SAVED_CR3, %eax
	mov %eax, %cr3
	mov $MSR_EFER, %ecx
	xor %edx, %edx
	mov visit + SAVED_EFER, %eax
	wrmsr
	mov visit + SAVED_CR0, %eax
	mov %eax, %cr0
	ljmp $0x08, $7f
	.code64
7:	jmp restore

/* ---- the instructions: enum step_kind in visit.h --------------------------------------------- */

	.macro STUB code:vararg
	.balign 32
	\code
	.endm

	.balign 4096
	.globl visit_stubs
visit_stubs:
	STUB movzbl (%rdi), %eax; int $0x80
	STUB movb %al, (%rdi); int $0x80
	STUB jmp *%rdi
	STUB lock incb (%rdi); int $0x80
	STUB incb (%rdi); int $0x80
	STUB lock cmpxchg %al, (%rdi); int $0x80
	STUB mov $7, %eax; mov %eax, %fs; int $0x80
	STUB mov %rax, (%rdi); int $0x80
	STUB mov %eax, (%rdi); int $0x80
	STUB mov (%rdi), %rax; int $0x80
	STUB mov %rax, %rdx; mov (%rdi), %rax; lock cmpxchg %rdx, (%rdi); int $0x80
	STUB mov $2, %ecx; rep movsl; int $0x80
	STUB invlpg (%rdi); int $0x80
	STUB mov %rax, %cr3; int $0x80
	STUB mov %rax, %cr0; int $0x80
	STUB mov %rax, %cr4; int $0x80
	STUB mov $MSR_EFER, %ecx; xor %edx, %edx; wrmsr; int $0x80
	.org visit_stubs + 2048
	.code32
	STUB movzbl (%edi), %eax; int $0x80
	STUB movb %al, (%edi); int $0x80
	STUB jmp *%edi
	STUB lock incb (%edi); int $0x80
	STUB incb (%edi); int $0x80
	STUB lock cmpxchg %al, (%edi); int $0x80
	STUB mov $7, %eax; mov %eax, %fs; int $0x80
	/* 8 bytes in two halves, the one with P last */
	STUB mov %edx, 4(%edi); mov %eax, (%edi); int $0x80
	STUB mov %eax, (%edi); int $0x80
	STUB mov (%edi), %eax; int $0x80
	STUB jmp exchange32; int $0x80
	STUB mov $2, %ecx; rep movsl; int $0x80
	STUB invlpg (%edi); int $0x80
	STUB mov %eax, %cr3; int $0x80
	STUB mov %eax, %cr0; int $0x80
	STUB mov %eax, %cr4; int $0x80
	STUB mov $MSR_EFER, %ecx; xor %edx, %edx; wrmsr; int $0x80
/* 8 bytes at once, by CMPXCHG8B */
exchange32:
	mov %ebx, %esi
	mov %eax, %ebx
	mov %edx, %ecx
	mov (%edi), %eax
	mov 4(%edi), %edx
	lock cmpxchg8b (%edi)
	mov %esi, %ebx
	int $0x80
	.org visit_stubs + 4096
	.code64

	.section .note.GNU-stack, "", @progbits
