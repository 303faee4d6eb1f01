/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A boot sector that reads its disk by the BIOS, prints what is there, writes it to another place and
 * reads it from there. Then it marks the disk and resets the machine, unless it has done so before. The
 * exit code is 42, or says where it went wrong.
 */
#define EXIT_PORT	0x501
#define FROM		8		/* sectors */
#define TO		1000
#define COUNT		16
#define MARK		(TO + COUNT)
#define RESET_PORT	0xcf9
#define BUFFER		0x8000
#define BACK		0xc000

	.code16
	.globl _start
_start:
	xorw	%ax, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movw	$0x7c00, %sp
	cld

	movb	$1, %bl
	movb	$0x42, %ah		/* extended read */
	call	transfer
	movw	$BUFFER, %si
	call	print

	incb	%bl
	movw	$TO, packet_sector
	movb	$0x43, %ah		/* extended write */
	call	transfer

	incb	%bl
	movw	$BACK, packet_buffer
	movb	$0x42, %ah
	call	transfer

	incb	%bl
	movw	$BUFFER, %si
	movw	$BACK, %di
	movw	$COUNT * 256, %cx
	repe cmpsw
	jne	end

	incb	%bl
	movw	$MARK, packet_sector
	movb	$0x42, %ah
	call	transfer
	incb	%bl
	incb	BACK
	cmpb	$1, BACK
	jne	marked
	movb	$0x43, %ah
	call	transfer
	movw	$RESET_PORT, %dx
	movb	$6, %al
	outb	%al, %dx
	jmp	1f
marked:
	movb	$42, %bl

end:
	movw	$EXIT_PORT, %dx
	movb	%bl, %al
	outb	%al, %dx
1:	hlt
	jmp	1b

/* %dl is the drive that it was started from. */
transfer:
	movb	$0, %al
	movw	$packet, %si
	int	$0x13
	jc	end
	ret

print:
	lodsb
	testb	%al, %al
	jz	1f
	pushw	%bx
	movb	$0x0e, %ah
	xorw	%bx, %bx
	int	$0x10
	popw	%bx
	jmp	print
1:	ret

	.balign 4
packet:
	.byte	16, 0
	.word	COUNT
packet_buffer:
	.word	BUFFER, 0
packet_sector:
	.quad	FROM

	.org	510
	.word	0xaa55
