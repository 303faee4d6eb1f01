// SPDX-License-Identifier: GPL-2.0
/*
 * One entry, from the last look at what is to be done to the first look at why the guest left.
 * Documentation/exits.md tells the whole life of an exit.
 */
#include <linux/context_tracking.h>
#include <linux/entry-kvm.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <linux/rcupdate.h>
#include <linux/vtime.h>
#include <asm/debugreg.h>
#include <asm/perf_event.h>
#include <asm/nospec-branch.h>
#include <asm/mmu_context.h>
#include <asm/special_insns.h>
#include <asm/tlbflush.h>

#include "compat.h"
#include "trace.h"
#include "vmx/vmx.h"

#define DR7_ENABLES	0xff	/* L0 .. G3 */

/* ---- what is injected with an entry ---------------------------------------------------------- */

static void inject(u32 type, u8 vector, bool has_error, u32 error, u32 len)
{
	u32 info = INTR_INFO_VALID_MASK | type | vector;

	if (has_error) {
		info |= INTR_INFO_DELIVER_CODE_MASK;
		vmcs_write32(VM_ENTRY_EXCEPTION_ERROR_CODE, error);
	}
	if (type == INTR_TYPE_SOFT_INTR || type == INTR_TYPE_SOFT_EXCEPTION ||
	    type == INTR_TYPE_PRIV_SW_EXCEPTION)
		vmcs_write32(VM_ENTRY_INSTRUCTION_LEN, len);
	vmcs_write32(VM_ENTRY_INTR_INFO_FIELD, info);
}

void hw_inject_exception(struct vcpu *vcpu)
{
	struct exception *e = &vcpu->exception;
	u32 type = e->soft ? INTR_TYPE_SOFT_EXCEPTION : INTR_TYPE_HARD_EXCEPTION;

	/* SDM "Checks on Guest Non-Register State": TF under a shadow goes with a pending single step */
	if (e->vector == X86_TRAP_DB && (vcpu_rflags(vcpu) & X86_EFLAGS_TF) &&
	    hw_interrupt_shadow(vcpu))
		vmcs_writel(GUEST_PENDING_DBG_EXCEPTIONS,
			    vmcs_readl(GUEST_PENDING_DBG_EXCEPTIONS) | DR_STEP);
	/* in real mode no exception pushes an error code, and the entry checks that */
	inject(type, e->vector, e->has_error_code && is_protected(vcpu), e->error_code,
	       vcpu->event_len);
	vcpu->stats.injected_exceptions++;
	trace_minivmm_inj(vcpu, MINIVMM_INJ_EXCEPTION, e->vector, e->error_code);
}

void hw_inject_interrupt(struct vcpu *vcpu)
{
	inject(vcpu->interrupt.soft ? INTR_TYPE_SOFT_INTR : INTR_TYPE_EXT_INTR,
	       vcpu->interrupt.vector, false, 0, vcpu->event_len);
	vcpu->stats.injected_irqs++;
	trace_minivmm_inj(vcpu, MINIVMM_INJ_IRQ, vcpu->interrupt.vector, 0);
}

void hw_inject_nmi(struct vcpu *vcpu)
{
	/* with virtual NMIs the entry itself sets the mask */
	vcpu->nmi.masked = true;
	inject(INTR_TYPE_NMI_INTR, X86_TRAP_NMI, false, 0, 0);
	vcpu->stats.injected_nmis++;
	trace_minivmm_inj(vcpu, MINIVMM_INJ_NMI, X86_TRAP_NMI, 0);
}

/* The entry won't happen after all: what was to be injected stays marked in the vCPU. */
void hw_cancel_injection(struct vcpu *vcpu)
{
	vmcs_write32(VM_ENTRY_INTR_INFO_FIELD, 0);
	vcpu_request(vcpu, REQ_EVENT);
}

void hw_request_irq_window(struct vcpu *vcpu)
{
	vmx_set_cpu_controls(to_vmx(vcpu), CPU_BASED_INTR_WINDOW_EXITING, 0);
}

void hw_request_nmi_window(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	/*
	 * Without virtual NMIs the CPU doesn't know when the guest could take one: look again when it
	 * could take an interrupt. With them the window doesn't open under an STI shadow.
	 */
	if (!(vmx_caps.pin & PIN_BASED_VIRTUAL_NMIS) ||
	    (vmcs_read32(GUEST_INTERRUPTIBILITY_INFO) & GUEST_INTR_STATE_STI))
		vmx_set_cpu_controls(vmx, CPU_BASED_INTR_WINDOW_EXITING, 0);
	else
		vmx_set_cpu_controls(vmx, CPU_BASED_NMI_WINDOW_EXITING, 0);
}

/* ---- what an exit says about a delivery that it interrupted ------------------------------------ */

/* An event whose delivery through the guest's IDT didn't finish: it is to be delivered again. */
static void requeue_event(struct vcpu *vcpu, u32 info)
{
	u8 vector = info & VECTORING_INFO_VECTOR_MASK;
	u32 type = info & VECTORING_INFO_TYPE_MASK;

	vcpu_request(vcpu, REQ_EVENT);
	switch (type) {
	case INTR_TYPE_NMI_INTR:
		vcpu->nmi.injected = true;
		hw_set_nmi_masked(vcpu, false);
		break;
	case INTR_TYPE_SOFT_EXCEPTION:
	case INTR_TYPE_PRIV_SW_EXCEPTION:
		vcpu->event_len = vmcs_read32(VM_EXIT_INSTRUCTION_LEN);
		fallthrough;
	case INTR_TYPE_HARD_EXCEPTION:
		vcpu->exception = (struct exception){
			.injected = true, .vector = vector,
			.soft = type != INTR_TYPE_HARD_EXCEPTION,
			.has_error_code = info & VECTORING_INFO_DELIVER_CODE_MASK,
		};
		if (vcpu->exception.has_error_code)
			vcpu->exception.error_code = vmcs_read32(IDT_VECTORING_ERROR_CODE);
		break;
	case INTR_TYPE_SOFT_INTR:
		vcpu->event_len = vmcs_read32(VM_EXIT_INSTRUCTION_LEN);
		fallthrough;
	case INTR_TYPE_EXT_INTR:
		vcpu->interrupt.injected = true;
		vcpu->interrupt.vector = vector;
		vcpu->interrupt.soft = type == INTR_TYPE_SOFT_INTR;
		break;
	}
}

/* Only these exits can come in the middle of a delivery. */
static bool exit_may_interrupt_delivery(u32 reason)
{
	switch ((u16)reason) {
	case EXIT_REASON_EXCEPTION_NMI:
	case EXIT_REASON_TASK_SWITCH:
	case EXIT_REASON_APIC_ACCESS:
	case EXIT_REASON_EPT_VIOLATION:
	case EXIT_REASON_EPT_MISCONFIG:
	case EXIT_REASON_PML_FULL:
		return true;
	}
	return false;
}

static void settle_events(struct vmx_vcpu *vmx)
{
	struct vcpu *vcpu = &vmx->vcpu;
	u32 info;

	vcpu->exception.injected = false;
	vcpu->interrupt.injected = false;
	vcpu->nmi.injected = false;
	vmx->vectoring = 0;
	if (!exit_may_interrupt_delivery(vmx->exit_reason))
		return;
	info = vmcs_read32(IDT_VECTORING_INFO_FIELD);
	if (info & VECTORING_INFO_VALID_MASK) {
		vmx->vectoring = info;
		requeue_event(vcpu, info);
	}
}

/* ---- the entry ------------------------------------------------------------------------------- */

void hw_flush_tlb(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	vcpu->stats.tlb_flushes++;
	if (vmx->on_ept) {
		/* also what was combined from it and the guest's own tables, under any VPID */
		if (vmx_caps.ept_invept_single && vmx->eptp)
			invept(VMX_EPT_EXTENT_CONTEXT, vmx->eptp);
		else
			invept(VMX_EPT_EXTENT_GLOBAL, 0);
	} else if (vmx->vpid) {
		if (vmx_caps.invvpid_single)
			invvpid(VMX_VPID_EXTENT_SINGLE_CONTEXT, vmx->vpid, 0);
		else
			invvpid(VMX_VPID_EXTENT_ALL_CONTEXT, 0, 0);
	}
}

/* The guest's own translations (its CR3 was set from outside): those under its VPID. */
void hw_flush_guest_tlb(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	if (!vmx->vpid)
		return;
	if (vmx_caps.invvpid_single)
		invvpid(VMX_VPID_EXTENT_SINGLE_CONTEXT, vmx->vpid, 0);
	else
		invvpid(VMX_VPID_EXTENT_ALL_CONTEXT, 0, 0);
}

void hw_flush_address(struct vcpu *vcpu, gva_t gva)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	if (vmx->vpid && vmx_caps.invvpid_address)
		invvpid(VMX_VPID_EXTENT_INDIVIDUAL_ADDR, vmx->vpid, gva);
	else
		hw_flush_guest_tlb(vcpu);
}

/* The root of the hypervisor's tables for this vCPU. With another kind of them, a flush must follow. */
void hw_set_root(struct vcpu *vcpu, enum hw_root kind, hpa_t root)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	if (vmx->on_ept != (kind == HW_ROOT_EPT))
		vmx_use_ept(vmx, kind == HW_ROOT_EPT);
	if (kind == HW_ROOT_GUEST) {
		vmcs_writel(GUEST_CR3, root);
		return;
	}
	vmx->eptp = root | VMX_EPTP_MT_WB | VMX_EPTP_PWL_4 |
		    (vmx_caps.ept_ad ? VMX_EPTP_AD_ENABLE_BIT : 0);
	vmcs_write64(EPT_POINTER, vmx->eptp);
}

static __always_inline void write_dirty_registers(struct vmx_vcpu *vmx)
{
	struct vcpu *vcpu = &vmx->vcpu;

	if (!vcpu->reg_dirty)
		return;
	if (test_bit(R_RSP, &vcpu->reg_dirty))
		vmcs_writel(GUEST_RSP, vcpu->r[R_RSP]);
	if (test_bit(R_RIP, &vcpu->reg_dirty))
		vmcs_writel(GUEST_RIP, vcpu->r[R_RIP]);
	vcpu->reg_dirty = 0;
}

/* The kernel may have changed them since: a new ASID, a feature switched on. */
static void refresh_host_cr(struct vmx_vcpu *vmx)
{
	u64 cr3 = __get_current_cr3_fast(), cr4 = cr4_read_shadow();

	if (unlikely(cr3 != vmx->host_cr3)) {
		vmx->host_cr3 = cr3;
		vmcs_writel(HOST_CR3, cr3);
	}
	if (unlikely(cr4 != vmx->host_cr4)) {
		vmx->host_cr4 = cr4;
		vmcs_writel(HOST_CR4, cr4);
	}
}

/* XCR0 is the guest's only while it runs, and only if it uses XSAVE with other features than we. */
static bool has_own_xcr0(struct vcpu *vcpu)
{
	return vmx_caps.host_xcr0 && vcpu->xcr0 != vmx_caps.host_xcr0 &&
	       (vcpu->cr4 & X86_CR4_OSXSAVE);
}

static void write_xcr0(u64 value)
{
	asm volatile("xsetbv" : : "a" ((u32)value), "d" ((u32)(value >> 32)), "c" (0));
}

static void load_guest_debug_registers(struct vcpu *vcpu)
{
	if (likely(!(vcpu->hw_dr7 & DR7_ENABLES)))
		return;
	/* the guest's breakpoints or its debugger's; DR7 itself comes from the VMCS */
	set_debugreg(0, 7);
	set_debugreg(vcpu->hw_dr[0], 0);
	set_debugreg(vcpu->hw_dr[1], 1);
	set_debugreg(vcpu->hw_dr[2], 2);
	set_debugreg(vcpu->hw_dr[3], 3);
}

static void load_host_debug_registers(struct vmx_vcpu *vmx)
{
	/* an exit disables breakpoints and clears DEBUGCTL; the host's are set up anew if it has any */
	if (unlikely(hw_breakpoint_active()))
		hw_breakpoint_restore();
	if (unlikely(vmx->host_debugctl))
		update_debugctlmsr(vmx->host_debugctl);
}

/*
 * Counters of the host's that must not count, or write records to memory, while the guest runs. By
 * hand and not by lists in the VMCS: PEBS wants to be off for a while before the entry.
 */
static void stop_host_counters(const struct perf_guest_switch_msr *msrs, int n)
{
	for (; n > 0; n--, msrs++)
		if (msrs->host != msrs->guest)
			wrmsrl(msrs->msr, msrs->guest);
}

static void restart_host_counters(const struct perf_guest_switch_msr *msrs, int n)
{
	for (; n > 0; n--, msrs++)
		if (msrs->host != msrs->guest)
			wrmsrl(msrs->msr, msrs->host);
}

/* By how much the preemption timer counts down until the host's TSC is at end. */
static __always_inline u32 timer_value(u64 end)
{
	u64 now = rdtsc(), period = 1 << vmx_caps.timer_shift;

	if ((s64)(end - now) <= 0)
		return 0;
	return min_t(u64, ((end + period - 1) >> vmx_caps.timer_shift) -
			  (now >> vmx_caps.timer_shift), VMX_TIMER_NEVER);
}

/* For the next entry, which exits at once if vcpu->timer_at has come: then it returns true. */
static __always_inline bool set_timer(struct vmx_vcpu *vmx)
{
	struct vcpu *vcpu = &vmx->vcpu;
	u32 value;

	if (likely(!vcpu->timer_at && !vmx->timer_set))
		return false;
	vmx->timer_set = vcpu->timer_at;
	value = vcpu->timer_at ? timer_value(vcpu->timer_at - vcpu->tsc_shift) : VMX_TIMER_NEVER;
	vmcs_write32(VMX_PREEMPTION_TIMER_VALUE, value);
	return !value;
}

static __always_inline bool timer_due(struct vmx_vcpu *vmx)
{
	if (likely(!set_timer(vmx)))
		return false;
	lapic_timer_due(&vmx->vcpu);
	return true;
}

/*
 * From here to the exit nothing may trace, schedule or fault: the kernel's context tracking
 * takes this CPU for one in user mode.
 */
static noinstr unsigned long enter_once(struct vmx_vcpu *vmx)
{
	unsigned long failed;

	instrumentation_begin();
	trace_hardirqs_on_prepare();
	lockdep_hardirqs_on_prepare();
	instrumentation_end();
	context_tracking_guest_enter();
	lockdep_hardirqs_on(CALLER_ADDR0);

	if (static_branch_unlikely(&vmx_l1d_flush_wanted))
		vmx_flush_l1d(vmx);
	else if (static_branch_unlikely(&mmio_stale_data_clear) && vmx->vcpu.vm->maps_devices)
		x86_clear_cpu_buffers();
	failed = vmx_enter(vmx, vmx->launched ? VMX_ENTER_RESUME : 0);

	lockdep_hardirqs_off(CALLER_ADDR0);
	context_tracking_guest_exit();
	instrumentation_begin();
	trace_hardirqs_off_finish();
	instrumentation_end();
	return failed;
}

/* VMLAUNCH or VMRESUME itself failed, or faulted because VMX is off here (the run loop will notice). */
static void note_refused_entry(struct vmx_vcpu *vmx)
{
	vmx->info_avail = 0;
	vmx->exit_reason = VMX_EXIT_REASONS_FAILED_VMENTRY;
	if (this_cpu_read(vmx_on)) {
		vmx->entry_refused = true;
		vmx->failed_instruction = vmcs_read32(VM_INSTRUCTION_ERROR);
	} else {
		hw_cancel_injection(&vmx->vcpu);
		vmx->entry_retry = true;
	}
}

/**
 * hw_prepare() - what an entry needs that can be done with interrupts on
 * @vcpu: the vCPU
 *
 * Context: vcpu, preemption off.
 */
void hw_prepare(struct vcpu *vcpu)
{
	vmx_save_host(to_vmx(vcpu));
}

/**
 * hw_enter() - run the guest until an exit needs more than a moment
 * @vcpu: the vCPU
 *
 * Exits that are done in a few hundred instructions and touch nothing that sleeps are handled here,
 * with interrupts off, and the guest is entered again at once; whatever arrives meanwhile makes the
 * next entry exit immediately, as external interrupts do.
 *
 * Context: vcpu, interrupts off, vcpu->mode is VCPU_IN_GUEST.
 */
void hw_enter(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	const struct perf_guest_switch_msr *counters;
	int nr_counters = 0;
	bool own_xcr0;

	vmx->entry_retry = false;
	refresh_host_cr(vmx);
	vmx->host_debugctl = __rdmsr(MSR_IA32_DEBUGCTLMSR);
	counters = perf_guest_get_msrs(&nr_counters, NULL);
	stop_host_counters(counters, nr_counters);
	own_xcr0 = has_own_xcr0(vcpu);
	if (own_xcr0)
		write_xcr0(vcpu->xcr0);
	load_guest_debug_registers(vcpu);
	if (vcpu->cr2 != native_read_cr2())
		native_write_cr2(vcpu->cr2);
	/* a guest that runs until the next tick is a quiescent state; one that exits by itself isn't long */
	if (vmx->exit_reason == EXIT_REASON_EXTERNAL_INTERRUPT)
		rcu_virt_note_context_switch(smp_processor_id());

	set_timer(vmx);
	do {
		trace_minivmm_entry(vcpu);
		write_dirty_registers(vmx);
		if (unlikely(enter_once(vmx))) {
			note_refused_entry(vmx);
			break;
		}
		vmx_forget_cached(vmx);
		vmx->exit_reason = vmcs_read32(VM_EXIT_REASON);
		trace_minivmm_exit(vcpu, vmx->exit_reason);
		if (unlikely(vmx->exit_reason & VMX_EXIT_REASONS_FAILED_VMENTRY)) {
			/* not launched, and nothing was delivered */
			hw_cancel_injection(vcpu);
			break;
		}
		vmx->launched = true;
		settle_events(vmx);
		vcpu->stats.exits++;
	} while (vmx_handle_exit_fast(vmx) && !timer_due(vmx) && !READ_ONCE(vcpu->requests) &&
		 !xfer_to_guest_mode_work_pending());

	vcpu->cr2 = native_read_cr2();
	load_host_debug_registers(vmx);
	restart_host_counters(counters, nr_counters);
	if (own_xcr0)
		write_xcr0(vmx_caps.host_xcr0);
	compat_note_guest_ran();
	/* whoever reads the log waits for interrupts to be on here: see sync_dirty_log() */
	if (vmx_pml_on(vmx) && !vmx->entry_retry)
		vmx_pml_flush(vmx);
	vmx_handle_exit_irqoff(vmx);
}
