/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The one way into the guest and the one way out.
 *
 * What VT-x doesn't switch is switched here: the general registers. After an exit none of them but
 * RSP may hold a guest's value, as speculation could use it. RSB and branch history are cleaned
 * before the first RET or indirect branch, as the host kernel is configured to do it.
 */
#include <linux/linkage.h>
#include <asm/asm.h>
#include <asm/nospec-branch.h>
#include <asm/msr-index.h>
#include <asm/percpu.h>
#include <asm/unwind_hints.h>
#include "vmx/offsets.h"

#define REG(n)	VMX_REGS + 8 * n	/* enum reg: RAX RCX RDX RBX RSP RBP RSI RDI R8 .. R15 */

	.section .noinstr.text, "ax"

/*
 * unsigned long vmx_enter(struct vmx_vcpu *vmx, unsigned long flags);
 *
 * flags: VMX_ENTER_RESUME (bit 0): VMRESUME, else VMLAUNCH.
 * Interrupts off; the vCPU's VMCS is current. Returns 0 after an exit, 1 if the instruction failed.
 */
SYM_FUNC_START(vmx_enter)
	push	%rbp
	mov	%rsp, %rbp
	push	%r15
	push	%r14
	push	%r13
	push	%r12
	push	%rbx
	push	%rdi				/* vmx: for after the exit */

	/* HOST_RSP differs only when the path to here does: next to never */
	cmp	%rsp, VMX_HOST_RSP(%rdi)
	je	1f
	mov	%rsp, VMX_HOST_RSP(%rdi)
	mov	$VMCS_HOST_RSP, %eax
.Lwrite_rsp:
	vmwrite	%rsp, %rax
1:
	mov	%rdi, %rax
	bt	$0, %esi			/* CF: resume; nothing below may change it */

	mov	REG(1)(%rax), %rcx
	mov	REG(2)(%rax), %rdx
	mov	REG(3)(%rax), %rbx
	mov	REG(5)(%rax), %rbp
	mov	REG(6)(%rax), %rsi
	mov	REG(7)(%rax), %rdi
	mov	REG(8)(%rax), %r8
	mov	REG(9)(%rax), %r9
	mov	REG(10)(%rax), %r10
	mov	REG(11)(%rax), %r11
	mov	REG(12)(%rax), %r12
	mov	REG(13)(%rax), %r13
	mov	REG(14)(%rax), %r14
	mov	REG(15)(%rax), %r15
	mov	REG(0)(%rax), %rax

	/* VERW, where CPU buffers may hold host data; changes ZF only */
	CLEAR_CPU_BUFFERS

	jnc	.Llaunch

	/* An exit continues at vmx_exit_point, with the stack as it is here. */
	UNWIND_HINT_SAVE
.Lresume:
	vmresume
	jmp	.Lfailed
.Llaunch:
	vmlaunch
	jmp	.Lfailed

	/* VMX has been switched off: there is nothing to enter */
	_ASM_EXTABLE(.Lresume, .Lfailed)
	_ASM_EXTABLE(.Llaunch, .Lfailed)
	_ASM_EXTABLE(.Lwrite_rsp, 1b)

SYM_INNER_LABEL(vmx_exit_point, SYM_L_GLOBAL)
	UNWIND_HINT_RESTORE
	ENDBR

	push	%rax
	mov	8(%rsp), %rax			/* vmx */
	pop	REG(0)(%rax)
	mov	%rcx, REG(1)(%rax)
	mov	%rdx, REG(2)(%rax)
	mov	%rbx, REG(3)(%rax)
	mov	%rbp, REG(5)(%rax)
	mov	%rsi, REG(6)(%rax)
	mov	%rdi, REG(7)(%rax)
	mov	%r8, REG(8)(%rax)
	mov	%r9, REG(9)(%rax)
	mov	%r10, REG(10)(%rax)
	mov	%r11, REG(11)(%rax)
	mov	%r12, REG(12)(%rax)
	mov	%r13, REG(13)(%rax)
	mov	%r14, REG(14)(%rax)
	mov	%r15, REG(15)(%rax)
	xor	%ebx, %ebx			/* the result */

.Lclean:
	pop	%rax				/* vmx: only to drop it */
	xor	%eax, %eax
	xor	%ecx, %ecx
	xor	%edx, %edx
	xor	%ebp, %ebp
	xor	%esi, %esi
	xor	%edi, %edi
	xor	%r8d, %r8d
	xor	%r9d, %r9d
	xor	%r10d, %r10d
	xor	%r11d, %r11d
	xor	%r12d, %r12d
	xor	%r13d, %r13d
	xor	%r14d, %r14d
	xor	%r15d, %r15d

	FILL_RETURN_BUFFER %rcx, RSB_CLEAR_LOOPS, X86_FEATURE_RSB_VMEXIT, X86_FEATURE_RSB_VMEXIT_LITE

	/*
	 * The guest runs with the host kernel's SPEC_CTRL, so there is nothing to restore; but IBRS of
	 * the old kind protects only from what ran before it was last written.
	 */
	ALTERNATIVE "jmp .Librs_done", "", X86_FEATURE_KERNEL_IBRS
	mov	$MSR_IA32_SPEC_CTRL, %ecx
	mov	PER_CPU_VAR(x86_spec_ctrl_current), %rax
	mov	%rax, %rdx
	shr	$32, %rdx
	wrmsr
.Librs_done:

	CLEAR_BRANCH_HISTORY_VMEXIT

	mov	%rbx, %rax
	pop	%rbx
	pop	%r12
	pop	%r13
	pop	%r14
	pop	%r15
	pop	%rbp
	RET

.Lfailed:
	mov	$1, %ebx
	jmp	.Lclean
SYM_FUNC_END(vmx_enter)
