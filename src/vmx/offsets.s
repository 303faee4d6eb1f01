	.file	"offsets.c"
# GNU C11 (Debian 12.2.0-14+deb12u1) version 12.2.0 (x86_64-linux-gnu)
#	compiled by GNU C version 12.2.0, GMP version 6.2.1, MPFR version 4.2.0, MPC version 1.3.1, isl version isl-0.25-GMP

# GGC heuristics: --param ggc-min-expand=100 --param ggc-min-heapsize=131072
# options passed: -mno-sse -mno-mmx -mno-sse2 -mno-3dnow -mno-avx -m64 -mno-80387 -mno-fp-ret-in-387 -mpreferred-stack-boundary=3 -mskip-rax-setup -mtune=generic -mno-red-zone -mcmodel=kernel -mindirect-branch=thunk-extern -mindirect-branch-register -mindirect-branch-cs-prefix -mfunction-return=thunk-extern -mharden-sls=all -mrecord-mcount -mfentry -march=x86-64 -O2 -std=gnu11 -p -fno-strict-aliasing -fno-common -fshort-wchar -fno-PIE -fcf-protection=none -falign-jumps=1 -falign-loops=1 -fno-asynchronous-unwind-tables -fno-jump-tables -fno-delete-null-pointer-checks -fno-allow-store-data-races -fstack-protector-strong -ftrivial-auto-var-init=zero -fno-stack-clash-protection -fno-strict-overflow -fstack-check=no -fconserve-stack -fno-builtin-wcslen
	.text
	.p2align 4
	.type	offsets, @function
offsets:
1:	call	__fentry__
	.section __mcount_loc, "a",@progbits
	.quad 1b
	.previous
# /work/main/src/vmx/offsets.c:9: 	OFFSET(VMX_REGS, vmx_vcpu, vcpu.r);
#APP
# 9 "/work/main/src/vmx/offsets.c" 1
	
.ascii "->VMX_REGS $48 offsetof(struct vmx_vcpu, vcpu.r)"	#
# 0 "" 2
# /work/main/src/vmx/offsets.c:10: 	OFFSET(VMX_HOST_RSP, vmx_vcpu, host_rsp);
# 10 "/work/main/src/vmx/offsets.c" 1
	
.ascii "->VMX_HOST_RSP $1800 offsetof(struct vmx_vcpu, host_rsp)"	#
# 0 "" 2
# /work/main/src/vmx/offsets.c:11: 	DEFINE(VMCS_HOST_RSP, HOST_RSP);
# 11 "/work/main/src/vmx/offsets.c" 1
	
.ascii "->VMCS_HOST_RSP $27668 HOST_RSP"	#
# 0 "" 2
# /work/main/src/vmx/offsets.c:12: }
#NO_APP
	jmp	__x86_return_thunk
	.size	offsets, .-offsets
	.ident	"GCC: (Debian 12.2.0-14+deb12u1) 12.2.0"
	.section	.note.GNU-stack,"",@progbits
