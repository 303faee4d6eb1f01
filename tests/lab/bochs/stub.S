/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The lab's boot loader: an option ROM at 0xd0000 that the BIOS calls, and that enters a Linux
 * kernel which is in memory already, decompressed.
 *
 * Bochs loads a file into guest RAM ("optramimage"), but gives RAM to the guest in blocks of
 * 128 KiB, in the order in which they are first touched, out of one vector, while a file goes into
 * that vector in one piece. So a file's blocks appear one by one at whatever addresses are touched
 * next. The file that host/bootimage.py writes begins with blocks to be used up: the BIOS has
 * touched an unknown number of blocks by now. From a known point on, this touches the addresses
 * where each part of the image belongs.
 */
	.set ROM, 0xd0000
	.set SPARE, 0x0a020000		/* bootimage.py: SPARE + one block */
	.set HEADER, 0x00800000		/* bootimage.py: HEADER */
	.set BLOCK_SHIFT, 17
	.set BLOCK, 1 << BLOCK_SHIFT
	.set MAX_SPARE, 4096

	/* offsets in the header block */
	.set RANGE_COUNT, 4
	.set ENTRY, 8
	.set RANGES, 16
	.set BOOT_PARAMS, 0x1000
	.set PAGE_TABLES, 0x4000

	/* offsets in a range: where, how many blocks, first and last word expected */
	.set START, 0
	.set BLOCKS, 4
	.set FIRST, 8
	.set LAST, 12
	.set RANGE_SIZE, 16

	.code16
	.globl _start
_start:
	.byte 0x55, 0xaa, 2		/* option ROM of 1024 bytes */
	cli
	cld
	inb $0x92, %al			/* A20 on */
	orb $2, %al
	andb $0xfe, %al
	outb %al, $0x92
	lgdtl %cs:(gdt_register - _start)
	movl %cr0, %eax
	orl $1, %eax
	movl %eax, %cr0
	ljmpl $0x08, $(ROM + protected - _start)

	.code32
protected:
	movw $0x18, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movw %ax, %fs
	movw %ax, %gs
	movl $0x7c00, %esp

	/* use up blocks until the one that says that it is the last spare one */
	movl $SPARE, %ebx
	movl $MAX_SPARE, %ecx
1:	cmpl $0x5453414c, (%ebx)	/* "LAST" */
	je 2f
	addl $BLOCK, %ebx
	loop 1b
	movl $'S', %edx
	jmp fail

2:	movl $HEADER, %esi
	movl $'H', %edx
	cmpl $0x4452444c, (%esi)	/* "LDRD": the header came where it should */
	jne fail
	movl RANGE_COUNT(%esi), %ecx
	leal RANGES(%esi), %edi

next_range:
	movl START(%edi), %ebx
	movl BLOCKS(%edi), %ebp
1:	movl (%ebx), %eax
	addl $BLOCK, %ebx
	decl %ebp
	jnz 1b
	movl $'F', %edx
	movl START(%edi), %ebx
	movl (%ebx), %eax
	cmpl %eax, FIRST(%edi)
	jne fail
	movl $'L', %edx
	movl BLOCKS(%edi), %eax
	shll $BLOCK_SHIFT, %eax
	addl %eax, %ebx
	movl -4(%ebx), %eax
	cmpl %eax, LAST(%edi)
	jne fail
	addl $RANGE_SIZE, %edi
	loop next_range

	/* Linux's 64-bit boot protocol: long mode, memory mapped 1:1, RSI = boot_params */
	movl %cr4, %eax
	orl $0x20, %eax			/* PAE */
	movl %eax, %cr4
	leal PAGE_TABLES(%esi), %eax
	movl %eax, %cr3
	movl $0xc0000080, %ecx		/* EFER.LME */
	rdmsr
	orl $0x100, %eax
	wrmsr
	movl %cr0, %eax
	orl $0x80000000, %eax
	movl %eax, %cr0
	movl ENTRY(%esi), %ebx
	ljmpl $0x10, $(ROM + long_mode - _start)

	.code64
long_mode:
	movl $0x18, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	movl $(HEADER + BOOT_PARAMS), %esi
	xorl %ebp, %ebp
	xorl %edi, %edi
	jmp *%rbx

	/* say the letter in EDX, which is the step that failed, and leave */
	.code32
fail:	movl %edx, %eax
	outb %al, $0xe9
	movw $0x8900, %dx
	leal ROM + shutdown - _start, %esi
	movl $8, %ecx
1:	lodsb
	outb %al, %dx
	loop 1b
	hlt

shutdown:
	.ascii "Shutdown"
	.balign 8
gdt:	.quad 0
	.quad 0x00cf9b000000ffff	/* 08: 32-bit code */
	.quad 0x00af9b000000ffff	/* 10: 64-bit code */
	.quad 0x00cf93000000ffff	/* 18: data */
gdt_register:
	.word 31
	.long ROM + gdt - _start
	.org 1024
