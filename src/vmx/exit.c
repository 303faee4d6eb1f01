// SPDX-License-Identifier: GPL-2.0
/*
 * Why the guest left, and what is done about it: one table by exit reason.
 *
 * A handler returns 1 = resume the guest, 0 = to userspace with vcpu->run filled in, negative
 * errno = RUN fails. It runs with interrupts and preemption on and may sleep, but for those in
 * vmx_handle_exit_fast() and vmx_handle_exit_irqoff().
 */
#include <linux/kernel.h>
#include <asm/cpu.h>
#include <asm/debugreg.h>
#include <asm/mce.h>
#include <asm/traps.h>

#include "compat.h"
#include "trace.h"
#include "vmx/vmx.h"

#define DR6_BD		BIT(13)	/* MOV DR while DR7.GD was set */
#define DR7_GD		BIT(13)

/* ---- going on after an instruction ------------------------------------------------------------ */

static void advance_rip(struct vcpu *vcpu, u64 len)
{
	u64 old = reg_read(vcpu, R_RIP), rip = old + len;

	/* outside 64-bit mode it wraps at 4G: only where it gets there must the mode be looked up */
	if (unlikely((old ^ rip) >> 32) && !is_64bit_code(vcpu))
		rip = (u32)rip;
	reg_write(vcpu, R_RIP, rip);
}

/**
 * hw_skip_instruction() - the instruction that exited is done
 * @vcpu: the vCPU, after an exit that says how long the instruction is
 *
 * What follows the end of an instruction follows it here: interrupt shadows end, and with RFLAGS.TF
 * there is a single-step trap.
 *
 * Context: vcpu, or with interrupts off in the fast path.
 */
void hw_skip_instruction(struct vcpu *vcpu)
{
	advance_rip(vcpu, vmcs_read32(VM_EXIT_INSTRUCTION_LEN));
	hw_clear_interrupt_shadow(vcpu);
	if (unlikely(vcpu_rflags(vcpu) & X86_EFLAGS_TF))
		debug_step_done(vcpu);
}

/* ---- before interrupts are on again ------------------------------------------------------------ */

static bool is_exception(u32 info, u8 vector)
{
	return (info & (INTR_INFO_VALID_MASK | INTR_INFO_INTR_TYPE_MASK | INTR_INFO_VECTOR_MASK)) ==
	       (INTR_INFO_VALID_MASK | INTR_TYPE_HARD_EXCEPTION | vector);
}

static bool is_nmi(u32 info)
{
	return (info & (INTR_INFO_VALID_MASK | INTR_INFO_INTR_TYPE_MASK)) ==
	       (INTR_INFO_VALID_MASK | INTR_TYPE_NMI_INTR);
}

/* The host's machine-check handler decides; as if it had hit in user mode, so that it may kill us. */
static void run_host_machine_check(void)
{
	struct pt_regs regs = { .cs = 3, .flags = X86_EFLAGS_IF };

	do_machine_check(&regs);
}

void vmx_handle_exit_irqoff(struct vmx_vcpu *vmx)
{
	u32 info;

	if ((u16)vmx->exit_reason == EXIT_REASON_MCE_DURING_VMENTRY) {
		run_host_machine_check();
		return;
	}
	if (vmx->exit_reason != EXIT_REASON_EXCEPTION_NMI)
		return;
	info = vmx_intr_info(vmx);
	if (is_nmi(info))
		compat_run_host_nmi();
	else if (is_exception(info, X86_TRAP_MC))
		run_host_machine_check();
}

/* ---- exceptions ------------------------------------------------------------------------------ */

/*
 * Intercepted always, since a guest can nest #DB or #AC in its own delivery without end, and no
 * interrupt would ever get through.
 */
static int reflect_debug(struct vmx_vcpu *vmx, bool icebp)
{
	struct vcpu *vcpu = &vmx->vcpu;
	/* the CPU gives the new conditions in the format of DR6 and leaves DR6 alone */
	u64 conditions = vmx_exit_qual(vmx) & (DR_TRAP_BITS | DR_STEP | DR6_BD);

	if (vcpu->debug.control & (MINIVMM_GUESTDBG_SINGLESTEP | MINIVMM_GUESTDBG_USE_HW_BP))
		return debug_stop(vcpu, X86_TRAP_DB, conditions);
	if (icebp) {
		advance_rip(vcpu, vmcs_read32(VM_EXIT_INSTRUCTION_LEN));
		hw_clear_interrupt_shadow(vcpu);
	}
	debug_inject(vcpu, conditions);
	return 1;
}

/* Intercepted where the client sets breakpoints by it. Its length is for an INJECT_BP. */
static int handle_breakpoint(struct vmx_vcpu *vmx)
{
	vmx->vcpu.event_len = vmcs_read32(VM_EXIT_INSTRUCTION_LEN);
	return debug_stop(&vmx->vcpu, X86_TRAP_BP, 0);
}

static int reflect_alignment_check(struct vmx_vcpu *vmx)
{
	struct vcpu *vcpu = &vmx->vcpu;

	if (hw_cpl(vcpu) == 3 && (vcpu_cr0(vcpu) & X86_CR0_AM) && (vcpu_rflags(vcpu) & X86_EFLAGS_AC)) {
		inject_exception_error(vcpu, X86_TRAP_AC, vmcs_read32(VM_EXIT_INTR_ERROR_CODE));
		return 1;
	}
	/* it wouldn't have faulted on its own: the host's split-lock detection is on */
	if (handle_guest_split_lock(reg_read(vcpu, R_RIP)))
		return 1;
	vcpu->run->exit_reason = MINIVMM_EXIT_EXCEPTION;
	vcpu->run->ex.exception = X86_TRAP_AC;
	vcpu->run->ex.error_code = vmcs_read32(VM_EXIT_INTR_ERROR_CODE);
	vcpu_fail(vcpu, "the guest's locked access at rip %#llx crosses a cache line, which the host kills programs for (split_lock_detect=fatal)",
		  reg_read(vcpu, R_RIP));
	return 0;
}

static int handle_page_fault(struct vmx_vcpu *vmx);

static int handle_exception(struct vmx_vcpu *vmx)
{
	struct vcpu *vcpu = &vmx->vcpu;
	u32 info = vmx_intr_info(vmx);

	/* the exit came while an IRET was about to unmask NMIs: it will be executed again */
	if (!vmx->vectoring && (info & INTR_INFO_UNBLOCK_NMI))
		hw_set_nmi_masked(vcpu, true);
	if (is_exception(info, X86_TRAP_PF))
		return handle_page_fault(vmx);
	if (is_nmi(info) || is_exception(info, X86_TRAP_MC))
		return 1;	/* done with interrupts off */
	if (is_exception(info, X86_TRAP_DB))
		return reflect_debug(vmx, false);
	if ((info & INTR_INFO_INTR_TYPE_MASK) == INTR_TYPE_PRIV_SW_EXCEPTION)
		return reflect_debug(vmx, true);
	if ((info & INTR_INFO_INTR_TYPE_MASK) == INTR_TYPE_SOFT_EXCEPTION &&
	    (info & INTR_INFO_VECTOR_MASK) == X86_TRAP_BP)
		return handle_breakpoint(vmx);
	if (is_exception(info, X86_TRAP_AC))
		return reflect_alignment_check(vmx);

	vcpu->run->exit_reason = MINIVMM_EXIT_EXCEPTION;
	vcpu->run->ex.exception = info & INTR_INFO_VECTOR_MASK;
	vcpu->run->ex.error_code = info & INTR_INFO_DELIVER_CODE_MASK ?
				   vmcs_read32(VM_EXIT_INTR_ERROR_CODE) : 0;
	vcpu_fail(vcpu, "exception %u of the guest's made it exit, which isn't asked for (rip %#llx)",
		  info & INTR_INFO_VECTOR_MASK, reg_read(vcpu, R_RIP));
	return 0;
}

/* ---- control and debug registers ------------------------------------------------------------- */

/* Results of set_cr*() and set_xcr(): the instruction is done, or the guest gets #GP(0). */
static int finish_or_gp(struct vcpu *vcpu, int r)
{
	if (r)
		inject_gp(vcpu, 0);
	else
		hw_skip_instruction(vcpu);
	return 1;
}

static int move_to_cr(struct vcpu *vcpu, int cr, u64 value)
{
	u64 old_cr8 = vcpu->cr8;
	int r;

	/* outside 64-bit mode the upper half of the register isn't looked at */
	if (value >> 32 && !is_64bit_code(vcpu))
		value = (u32)value;
	switch (cr) {
	case 0:
		r = set_cr0(vcpu, value);
		break;
	case 3:
		r = set_cr3(vcpu, value);
		break;
	case 4:
		r = set_cr4(vcpu, value);
		break;
	default:
		r = set_cr8(vcpu, value);
	}
	finish_or_gp(vcpu, r);
	/* the client's APIC must hear when interrupts that were held off may come */
	if (cr == 8 && !r && !vcpu->lapic && value < old_cr8) {
		vcpu->run->exit_reason = MINIVMM_EXIT_SET_TPR;
		return 0;
	}
	return 1;
}

static int move_from_cr(struct vcpu *vcpu, int cr, int reg)
{
	reg_write(vcpu, reg, cr == 3 ? vcpu_cr3(vcpu) : get_cr8(vcpu));
	hw_skip_instruction(vcpu);
	return 1;
}

/* SDM "Exit Qualification for Control-Register Accesses". */
static int handle_cr_access(struct vmx_vcpu *vmx)
{
	struct vcpu *vcpu = &vmx->vcpu;
	u64 qual = vmx_exit_qual(vmx);
	int cr = qual & 15, reg = (qual >> 8) & 15;

	switch ((qual >> 4) & 3) {
	case 0:
		return move_to_cr(vcpu, cr, reg_read(vcpu, reg));
	case 1:
		return move_from_cr(vcpu, cr, reg);
	case 2:		/* CLTS */
		return finish_or_gp(vcpu, set_cr0(vcpu, vcpu_cr0(vcpu) & ~(u64)X86_CR0_TS));
	default:	/* LMSW: PE can be set by it and not cleared */
		return finish_or_gp(vcpu, set_cr0(vcpu, (vcpu_cr0(vcpu) & ~14ull) | (qual >> 16 & 15)));
	}
}

/* SDM "Exit Qualification for MOV DR". */
static int handle_dr_access(struct vmx_vcpu *vmx)
{
	struct vcpu *vcpu = &vmx->vcpu;
	u64 qual = vmx_exit_qual(vmx);
	int dr = qual & 7, reg = (qual >> 8) & 15;
	u64 value;

	if ((dr == 4 || dr == 5) && (vcpu_cr4(vcpu) & X86_CR4_DE)) {
		inject_exception(vcpu, X86_TRAP_UD);
		return 1;
	}
	if (hw_cpl(vcpu)) {
		inject_gp(vcpu, 0);
		return 1;
	}
	if (vcpu->hw_dr7 & DR7_GD) {
		if (vcpu->debug.control & MINIVMM_GUESTDBG_USE_HW_BP)
			return debug_stop(vcpu, X86_TRAP_DB, DR6_BD);
		vcpu->dr7 &= ~(u64)DR7_GD;
		debug_update(vcpu);
		vcpu->dr6 |= DR6_BD;
		inject_exception(vcpu, X86_TRAP_DB);
		return 1;
	}
	if (qual & 16) {
		reg_write(vcpu, reg, get_dr(vcpu, dr));
		hw_skip_instruction(vcpu);
		return 1;
	}
	value = reg_read(vcpu, reg);
	/* outside 64-bit mode the upper half of the register isn't looked at */
	return finish_or_gp(vcpu, set_dr(vcpu, dr, is_64bit_code(vcpu) ? value : (u32)value));
}

static int handle_xsetbv(struct vmx_vcpu *vmx)
{
	struct vcpu *vcpu = &vmx->vcpu;
	u64 value = (u32)vcpu->r[R_RAX] | vcpu->r[R_RDX] << 32;

	if (hw_cpl(vcpu)) {
		inject_gp(vcpu, 0);
		return 1;
	}
	return finish_or_gp(vcpu, set_xcr(vcpu, (u32)vcpu->r[R_RCX], value));
}

/* ---- exits done at once ---------------------------------------------------------------------- */

static void do_cpuid(struct vcpu *vcpu)
{
	u32 eax = vcpu->r[R_RAX], ebx, ecx = vcpu->r[R_RCX], edx;

	cpuid_guest(vcpu, &eax, &ebx, &ecx, &edx);
	vcpu->r[R_RAX] = eax;
	vcpu->r[R_RBX] = ebx;
	vcpu->r[R_RCX] = ecx;
	vcpu->r[R_RDX] = edx;
	hw_skip_instruction(vcpu);
}

static void do_rdmsr(struct vcpu *vcpu)
{
	u64 data;

	if (msr_get(vcpu, (u32)vcpu->r[R_RCX], &data, false)) {
		inject_gp(vcpu, 0);
		return;
	}
	vcpu->r[R_RAX] = (u32)data;
	vcpu->r[R_RDX] = data >> 32;
	hw_skip_instruction(vcpu);
}

static void do_wrmsr(struct vcpu *vcpu)
{
	u64 data = (u32)vcpu->r[R_RAX] | vcpu->r[R_RDX] << 32;

	if (msr_set(vcpu, (u32)vcpu->r[R_RCX], data, false))
		inject_gp(vcpu, 0);
	else
		hw_skip_instruction(vcpu);
}

/*
 * In long mode nothing about control registers reads memory; without a chip in the kernel the client
 * hears of a CR8 that goes down.
 */
static bool cr_access_is_fast(struct vmx_vcpu *vmx)
{
	struct vcpu *vcpu = &vmx->vcpu;
	u64 qual = vmx_exit_qual(vmx);

	if (!is_long_mode(vcpu))
		return false;
	return (qual & 15) != 8 || vcpu->lapic || (qual >> 4 & 3) ||
	       reg_read(vcpu, qual >> 8 & 15) >= vcpu->cr8;
}

static bool do_io(struct vmx_vcpu *vmx)
{
	u64 qual;	/* SDM "Exit Qualification for I/O Instructions" */

	/* most ports of a VM without chips are the client's */
	if (!rcu_access_pointer(vmx->vcpu.vm->bus[BUS_PIO]))
		return false;
	qual = vmx_exit_qual(vmx);
	if ((qual & 16) || !pio_access_atomic(&vmx->vcpu, qual >> 16, (qual & 7) + 1, qual & 8))
		return false;
	hw_skip_instruction(&vmx->vcpu);
	return true;
}

int vmx_handle_exit_fast(struct vmx_vcpu *vmx)
{
	struct vcpu *vcpu = &vmx->vcpu;
	int again = 1;
	u64 cr4;

	vmx->handled = false;
	switch (vmx->exit_reason) {
	case EXIT_REASON_CPUID:
		do_cpuid(vcpu);
		break;
	case EXIT_REASON_MSR_READ:
		do_rdmsr(vcpu);
		break;
	case EXIT_REASON_MSR_WRITE:
		do_wrmsr(vcpu);
		break;
	case EXIT_REASON_CR_ACCESS:
		if (!cr_access_is_fast(vmx))
			return 0;
		cr4 = vcpu->cr4;
		handle_cr_access(vmx);
		/* whose XCR0 is loaded depends on it, and that is seen to before the first entry only */
		again = !((cr4 ^ vcpu->cr4) & X86_CR4_OSXSAVE);
		break;
	case EXIT_REASON_IO_INSTRUCTION:
		if (!do_io(vmx))
			return 0;
		break;
	case EXIT_REASON_PREEMPTION_TIMER:
		break;		/* the run loop looks at the time */
	case EXIT_REASON_INVLPG:
		mmu_invlpg(vcpu, vmx_exit_qual(vmx));
		fallthrough;
	case EXIT_REASON_WBINVD:
		hw_skip_instruction(vcpu);
		break;
	default:
		return 0;
	}
	vcpu->stats.exit[vmx->exit_reason]++;
	vmx->handled = true;
	return again;
}

/* ---- instructions ---------------------------------------------------------------------------- */

static int handle_io(struct vmx_vcpu *vmx)
{
	u64 qual = vmx_exit_qual(vmx);	/* SDM "Exit Qualification for I/O Instructions" */

	if (qual & 16)
		return emulate_instruction(&vmx->vcpu);
	return pio_access(&vmx->vcpu, qual >> 16, (qual & 7) + 1, qual & 8);
}

static int handle_hlt(struct vmx_vcpu *vmx)
{
	struct vcpu *vcpu = &vmx->vcpu;

	hw_skip_instruction(vcpu);
	return vcpu_halt(vcpu);
}

/* The guest's TPR lets through what waited for it. */
static int handle_tpr_below_threshold(struct vmx_vcpu *vmx)
{
	vcpu_request(&vmx->vcpu, REQ_EVENT);
	return 1;
}

static int handle_eoi(struct vmx_vcpu *vmx)
{
	lapic_ended(&vmx->vcpu, vmx_exit_qual(vmx));
	return 1;
}

static int handle_undefined(struct vmx_vcpu *vmx)
{
	inject_exception(&vmx->vcpu, X86_TRAP_UD);
	return 1;
}

static int handle_gp(struct vmx_vcpu *vmx)
{
	inject_gp(&vmx->vcpu, 0);
	return 1;
}

/* Nothing to do: caches are coherent, and MONITOR without waiting is allowed to. */
static int handle_nop(struct vmx_vcpu *vmx)
{
	hw_skip_instruction(&vmx->vcpu);
	return 1;
}

static int handle_pause(struct vmx_vcpu *vmx)
{
	vcpu_directed_yield(&vmx->vcpu);
	return handle_nop(vmx);
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* MMIO where the CPU itself was reading or pushing to deliver an event: nothing can emulate that. */
static noinline int delivery_to_mmio(struct vmx_vcpu *vmx, gpa_t gpa)
{
	struct vcpu *vcpu = &vmx->vcpu;
	u64 data[] = { vmx->vectoring, vmx->exit_reason, vmx_exit_qual(vmx), gpa };

	vcpu_fail(vcpu, "the delivery of event %u (rip %#llx) touched guest physical address %#llx, where there is no memory",
		  vmx->vectoring & VECTORING_INFO_VECTOR_MASK, reg_read(vcpu, R_RIP), gpa);
	return exit_internal_error(vcpu, MINIVMM_INTERNAL_ERROR_DELIVERY_EV, ARRAY_SIZE(data), data);
}

/* While the vCPU runs on tables of ours: the qualification is the address. */
static int handle_page_fault(struct vmx_vcpu *vmx)
{
	struct vcpu *vcpu = &vmx->vcpu;
	u32 error_code = vmcs_read32(VM_EXIT_INTR_ERROR_CODE);
	gva_t gva = vmx_exit_qual(vmx);
	gpa_t gpa;
	int r;

	vcpu->stats.faults++;
	trace_minivmm_page_fault(vcpu, gva, error_code);
	r = mmu_page_fault(vcpu, gva, error_code, &gpa);
	if (r != MMU_EMULATE)
		return r;
	if (vmx->vectoring)
		return mmu_unprotect(vcpu) ? 1 : delivery_to_mmio(vmx, gpa);
	if (gpa == INVALID_GPA || (error_code & ACCESS_FETCH))
		return emulate_instruction(vcpu);
	return emulate_mmio(vcpu, gva, gpa, error_code & ACCESS_WRITE);
}

static int handle_by_emulation(struct vmx_vcpu *vmx)
{
	return emulate_instruction(&vmx->vcpu);
}

/* SDM "Exit Qualification for EPT Violations". */
static int handle_ept_violation(struct vmx_vcpu *vmx)
{
	struct vcpu *vcpu = &vmx->vcpu;
	u64 qual = vmx_exit_qual(vmx);
	gpa_t gpa = vmcs_read64(GUEST_PHYSICAL_ADDRESS);
	u32 access = (qual & EPT_VIOLATION_ACC_WRITE ? ACCESS_WRITE : 0) |
		     (qual & EPT_VIOLATION_ACC_INSTR ? ACCESS_FETCH : 0);
	int r;

	if (!vmx->vectoring && (qual & INTR_INFO_UNBLOCK_NMI))
		hw_set_nmi_masked(vcpu, true);
	vcpu->stats.faults++;
	trace_minivmm_page_fault(vcpu, gpa, access);
	r = mmu_fault(vcpu, gpa, access);
	if (r != MMU_EMULATE)
		return r;
	if (vmx->vectoring)
		return delivery_to_mmio(vmx, gpa);
	/* the CPU has walked the guest's tables for this access: no need to do it again */
	if ((qual & EPT_VIOLATION_GVA_IS_VALID) && (qual & EPT_VIOLATION_GVA_TRANSLATED))
		return emulate_mmio(vcpu, vmcs_readl(GUEST_LINEAR_ADDRESS), gpa,
				    qual & EPT_VIOLATION_ACC_WRITE);
	return emulate_instruction(vcpu);
}

/* The log was emptied with interrupts off. SDM "Exit Qualification for Page-Modification Log-Full". */
static int handle_pml_full(struct vmx_vcpu *vmx)
{
	if (!vmx->vectoring && (vmx_exit_qual(vmx) & INTR_INFO_UNBLOCK_NMI))
		hw_set_nmi_masked(&vmx->vcpu, true);
	return 1;
}

static int handle_ept_misconfig(struct vmx_vcpu *vmx)
{
	struct vcpu *vcpu = &vmx->vcpu;
	u64 data[] = { vmx->exit_reason, vcpu->cpu, vmcs_read64(GUEST_PHYSICAL_ADDRESS) };

	vcpu_fail(vcpu, "an EPT entry for guest physical address %#llx is malformed: a bug in minivmm", data[2]);
	return exit_internal_error(vcpu, MINIVMM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON,
				   ARRAY_SIZE(data), data);
}

/* ---- windows, interrupts, the end ------------------------------------------------------------- */

static int handle_external_interrupt(struct vmx_vcpu *vmx)
{
	return 1;	/* it was taken when interrupts were enabled */
}

static int handle_irq_window(struct vmx_vcpu *vmx)
{
	vmx_set_cpu_controls(vmx, 0, CPU_BASED_INTR_WINDOW_EXITING);
	/* see hw_request_nmi_window(): without virtual NMIs this is when NMIs are taken for unmasked */
	if (!(vmx_caps.pin & PIN_BASED_VIRTUAL_NMIS))
		vmx->vcpu.nmi.masked = false;
	vcpu_request(&vmx->vcpu, REQ_EVENT);
	vmx->vcpu.stats.irq_window_exits++;
	return 1;
}

static int handle_nmi_window(struct vmx_vcpu *vmx)
{
	vmx_set_cpu_controls(vmx, 0, CPU_BASED_NMI_WINDOW_EXITING);
	vcpu_request(&vmx->vcpu, REQ_EVENT);
	return 1;
}

static int handle_triple_fault(struct vmx_vcpu *vmx)
{
	vcpu_triple_fault(&vmx->vcpu);
	return 0;
}

/*
 * SDM "Exit Qualification for Task Switches". By a task gate it is the delivery of an event, which is
 * what the emulator then finishes: it isn't to be delivered again.
 */
static int handle_task_switch(struct vmx_vcpu *vmx)
{
	struct vcpu *vcpu = &vmx->vcpu;
	u64 qual = vmx_exit_qual(vmx);
	u32 info = vmx->vectoring, type = info & VECTORING_INFO_TYPE_MASK, code;
	bool by_gate = (qual >> 30 & 3) == 3 && info;
	bool soft = by_gate && (type == INTR_TYPE_SOFT_INTR || type == INTR_TYPE_SOFT_EXCEPTION);
	bool has_code = by_gate && info & VECTORING_INFO_DELIVER_CODE_MASK;

	if (has_code)
		code = vmcs_read32(IDT_VECTORING_ERROR_CODE);
	if (by_gate && type == INTR_TYPE_NMI_INTR)
		hw_set_nmi_masked(vcpu, true);
	vcpu->exception.injected = vcpu->interrupt.injected = vcpu->nmi.injected = false;
	/* what an instruction began goes on behind it */
	if (!by_gate || soft || type == INTR_TYPE_PRIV_SW_EXCEPTION)
		advance_rip(vcpu, vmcs_read32(VM_EXIT_INSTRUCTION_LEN));
	return emulate_task_switch(vcpu, qual, qual >> 30 & 3,
				   by_gate ? info & VECTORING_INFO_VECTOR_MASK : -1, soft,
				   has_code ? &code : NULL);
}

/* INIT and SIPI of the host's never reach a CPU in VMX operation's root mode; here they'd be stray. */
static int handle_ignored(struct vmx_vcpu *vmx)
{
	return 1;
}

/* ---- the table ------------------------------------------------------------------------------- */

static const struct {
	const char *name;	/* of its counter: see stats.c */
	int (*handle)(struct vmx_vcpu *vmx);
} exits[] = {
	[EXIT_REASON_EXCEPTION_NMI]	 = { "exception", handle_exception },
	[EXIT_REASON_EXTERNAL_INTERRUPT] = { "external_interrupt", handle_external_interrupt },
	[EXIT_REASON_TRIPLE_FAULT]	 = { "triple_fault", handle_triple_fault },
	[EXIT_REASON_INIT_SIGNAL]	 = { "init", handle_ignored },
	[EXIT_REASON_SIPI_SIGNAL]	 = { "sipi", handle_ignored },
	[EXIT_REASON_INTERRUPT_WINDOW]	 = { "interrupt_window", handle_irq_window },
	[EXIT_REASON_NMI_WINDOW]	 = { "nmi_window", handle_nmi_window },
	[EXIT_REASON_TASK_SWITCH]	 = { "task_switch", handle_task_switch },
	[EXIT_REASON_CPUID]		 = { "cpuid", NULL },
	[EXIT_REASON_HLT]		 = { "hlt", handle_hlt },
	[EXIT_REASON_INVD]		 = { "invd", handle_nop },
	[EXIT_REASON_INVLPG]		 = { "invlpg", NULL },
	[EXIT_REASON_RDPMC]		 = { "rdpmc", handle_gp },
	[EXIT_REASON_VMCALL]		 = { "vmcall", handle_by_emulation },
	[EXIT_REASON_VMCLEAR]		 = { "vmclear", handle_undefined },
	[EXIT_REASON_VMLAUNCH]		 = { "vmlaunch", handle_undefined },
	[EXIT_REASON_VMPTRLD]		 = { "vmptrld", handle_undefined },
	[EXIT_REASON_VMPTRST]		 = { "vmptrst", handle_undefined },
	[EXIT_REASON_VMREAD]		 = { "vmread", handle_undefined },
	[EXIT_REASON_VMRESUME]		 = { "vmresume", handle_undefined },
	[EXIT_REASON_VMWRITE]		 = { "vmwrite", handle_undefined },
	[EXIT_REASON_VMOFF]		 = { "vmxoff", handle_undefined },
	[EXIT_REASON_VMON]		 = { "vmxon", handle_undefined },
	[EXIT_REASON_CR_ACCESS]		 = { "cr_access", handle_cr_access },
	[EXIT_REASON_DR_ACCESS]		 = { "dr_access", handle_dr_access },
	[EXIT_REASON_IO_INSTRUCTION]	 = { "io", handle_io },
	[EXIT_REASON_MSR_READ]		 = { "rdmsr", NULL },
	[EXIT_REASON_MSR_WRITE]		 = { "wrmsr", NULL },
	[EXIT_REASON_MWAIT_INSTRUCTION]	 = { "mwait", handle_nop },
	[EXIT_REASON_MONITOR_INSTRUCTION] = { "monitor", handle_nop },
	[EXIT_REASON_PAUSE_INSTRUCTION]	 = { "pause", handle_pause },
	[EXIT_REASON_TPR_BELOW_THRESHOLD] = { "tpr_below_threshold", handle_tpr_below_threshold },
	[EXIT_REASON_EOI_INDUCED]	 = { "eoi", handle_eoi },
	[EXIT_REASON_EPT_VIOLATION]	 = { "ept_violation", handle_ept_violation },
	[EXIT_REASON_EPT_MISCONFIG]	 = { "ept_misconfig", handle_ept_misconfig },
	[EXIT_REASON_PREEMPTION_TIMER]	 = { "preemption_timer", NULL },
	[EXIT_REASON_INVEPT]		 = { "invept", handle_undefined },
	[EXIT_REASON_INVVPID]		 = { "invvpid", handle_undefined },
	[EXIT_REASON_WBINVD]		 = { "wbinvd", handle_nop },
	[EXIT_REASON_XSETBV]		 = { "xsetbv", handle_xsetbv },
	[EXIT_REASON_INVPCID]		 = { "invpcid", handle_by_emulation },
	[EXIT_REASON_PML_FULL]		 = { "pml_full", handle_pml_full },
};

const char *hw_exit_name(unsigned int reason)
{
	return reason < ARRAY_SIZE(exits) ? exits[reason].name : NULL;
}

static noinline int fail_entry(struct vmx_vcpu *vmx, u64 reason)
{
	struct vcpu *vcpu = &vmx->vcpu;

	preempt_disable();
	vmx_explain_failed_entry(vmx);
	preempt_enable();
	vcpu->run->exit_reason = MINIVMM_EXIT_FAIL_ENTRY;
	vcpu->run->fail_entry.hardware_entry_failure_reason = reason;
	vcpu->run->fail_entry.cpu = vcpu->cpu;
	vmx->entry_refused = false;
	return 0;
}

static noinline int unexpected_exit(struct vmx_vcpu *vmx)
{
	struct vcpu *vcpu = &vmx->vcpu;
	u64 data[] = { vmx->exit_reason, vcpu->cpu };

	vcpu_fail(vcpu, "VM exit with reason %u, which nothing here asks for (qualification %#llx, rip %#llx)",
		  (u16)vmx->exit_reason, vmx_exit_qual(vmx), reg_read(vcpu, R_RIP));
	return exit_internal_error(vcpu, MINIVMM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON,
				   ARRAY_SIZE(data), data);
}

/**
 * hw_handle_exit() - do what the last exit asks for
 * @vcpu: the vCPU
 *
 * Context: vcpu, interrupts and preemption on.
 * Return: the handlers' contract.
 */
int hw_handle_exit(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u32 reason = vmx->exit_reason;

	if (vmx->handled || vmx->entry_retry) {
		vmx->handled = vmx->entry_retry = false;
		return 1;
	}
	if (unlikely(vmx->entry_refused))
		return fail_entry(vmx, vmx->failed_instruction);
	if (unlikely(reason & VMX_EXIT_REASONS_FAILED_VMENTRY))
		return fail_entry(vmx, reason);
	if (reason >= ARRAY_SIZE(exits) || !exits[reason].handle)
		return unexpected_exit(vmx);
	vcpu->stats.exit[reason]++;
	/* interrupt handlers say for themselves what they leave in the L1D */
	if (reason != EXIT_REASON_EXTERNAL_INTERRUPT)
		vmx->l1d_flush = true;
	return exits[reason].handle(vmx);
}
