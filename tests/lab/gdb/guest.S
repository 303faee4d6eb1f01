# SPDX-License-Identifier: GPL-2.0
# What gdb looks at: vCPU 0 calls work() again and again until `stop` isn't 0, then powers off with
# the code in it; a second vCPU counts at 0x8100, in real mode.
	.globl	_start, work, half, counter, stop, other
	.text
	.code64
_start:
	mov	$stack_end, %rsp
	# the local APIC's page, in the last GiB below 4
	movl	$0xfee00093, pd + 0x1f7 * 8
	mov	%cr3, %rax
	mov	(%rax), %rax
	and	$~0xfff, %rax
	movq	$pd + 3, 24(%rax)
	# the second CPU, if there is one: INIT, SIPI to 0x8000
	mov	$trampoline, %esi
	mov	$0x8000, %edi
	mov	$trampoline_end - trampoline, %ecx
	rep movsb
	mov	$0xfee00300, %ebx
	# the local APIC on: without, KVM may not know the vCPU that was made last, and loses the INIT
	movl	$0x1ff, -0x210(%rbx)
	movl	$1 << 24, 0x10(%rbx)
	movl	$0x4500, (%rbx)
	movl	$1 << 24, 0x10(%rbx)
	movl	$0x4608, (%rbx)
	mov	%cr4, %rax
	or	$0x600, %eax		# OSFXSR, OSXMMEXCPT
	mov	%rax, %cr4
	# and registers that gdb is to show
	mov	$0x0123456789abcdef, %rax
	movq	%rax, %xmm1
	mov	$0x1111222233334444, %r15
again:
	call	work
	cmpl	$0, stop
	je	again
	mov	stop, %eax
	mov	$0x501, %dx
	out	%al, %dx
1:	hlt
	jmp	1b

work:
	nop
	nop
	incl	counter
half:
	mov	counter, %eax
	mov	%eax, other
	ret

	.code16
trampoline:
	incw	%cs:trampoline_count - trampoline
	jmp	trampoline
	.org	trampoline + 0x100
trampoline_count:
	.word	0
trampoline_end:
	.code64

	.data
	.balign	8
counter: .long	0
other:	.long	0
stop:	.long	0
	.type	counter, @object
	.size	counter, 4
	.type	other, @object
	.size	other, 4
	.type	stop, @object
	.size	stop, 4
	.type	work, @function
	.bss
	.balign	4096
pd:	.skip	4096
	.balign	16
stack:	.skip	4096
stack_end:
