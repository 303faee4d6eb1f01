// SPDX-License-Identifier: GPL-2.0
/* A vCPU's VMCS: made, set up, loaded on a CPU, put. */
#include <linux/slab.h>
#include <asm/cpu_entry_area.h>
#include <asm/desc.h>
#include <asm/fsgsbase.h>
#include <asm/mmu_context.h>
#include <asm/msr.h>

#include "vmx/vmx.h"

#define EXCEPTIONS_INTERCEPTED	(BIT(X86_TRAP_DB) | BIT(X86_TRAP_AC) | BIT(X86_TRAP_MC))

#define PLE_GAP_TICKS	128	/* ticks between two PAUSEs of one loop */
#define PLE_WINDOW_TICKS	4096	/* a loop that lasts longer exits */

/* ---- set up ---------------------------------------------------------------------------------- */

/* Host state that is the same on every CPU and for as long as the kernel runs. */
static void write_constant_host_state(void)
{
	struct desc_ptr idt;
	u64 value;

	vmcs_writel(HOST_CR0, read_cr0() & ~X86_CR0_TS);
	vmcs_write16(HOST_CS_SELECTOR, __KERNEL_CS);
	vmcs_write16(HOST_SS_SELECTOR, __KERNEL_DS);
	/* an exit may not load what user mode has in them: see vmx_restore_host() */
	vmcs_write16(HOST_DS_SELECTOR, 0);
	vmcs_write16(HOST_ES_SELECTOR, 0);
	vmcs_write16(HOST_FS_SELECTOR, 0);
	vmcs_write16(HOST_GS_SELECTOR, 0);
	vmcs_write16(HOST_TR_SELECTOR, GDT_ENTRY_TSS * 8);

	store_idt(&idt);
	vmcs_writel(HOST_IDTR_BASE, idt.address);
	vmcs_writel(HOST_RIP, (unsigned long)vmx_exit_point);

	rdmsrl(MSR_IA32_SYSENTER_CS, value);
	vmcs_write32(HOST_IA32_SYSENTER_CS, value);
	rdmsrl(MSR_IA32_SYSENTER_EIP, value);
	vmcs_writel(HOST_IA32_SYSENTER_EIP, value);
	if (vmx_has_pat_controls()) {
		rdmsrl(MSR_IA32_CR_PAT, value);
		vmcs_write64(HOST_IA32_PAT, value);
	}
	if (vmx_has_efer_controls()) {
		rdmsrl(MSR_EFER, value);
		vmcs_write64(HOST_IA32_EFER, value);
	}
}

static void write_per_cpu_host_state(struct vmx_vcpu *vmx, int cpu)
{
	u64 value;

	vmcs_writel(HOST_TR_BASE, (unsigned long)&get_cpu_entry_area(cpu)->tss.x86_tss);
	vmcs_writel(HOST_GDTR_BASE, (unsigned long)get_cpu_gdt_ro(cpu));
	rdmsrl(MSR_IA32_SYSENTER_ESP, value);
	vmcs_writel(HOST_IA32_SYSENTER_ESP, value);
	vmcs_writel(HOST_GS_BASE, cpu_kernelmode_gs_base(cpu));
	vmx->host_cr3 = vmx->host_cr4 = 0;	/* not yet written for this CPU */
}

static void write_controls(struct vmx_vcpu *vmx)
{
	u32 cpu = vmx_caps.cpu;
	/* instructions that hw_cpuid_changed() allows */
	u32 cpu2 = vmx_caps.cpu2 & ~(SECONDARY_EXEC_ENABLE_RDTSCP | SECONDARY_EXEC_ENABLE_INVPCID);

	if (vmx->vpid) {
		cpu2 |= SECONDARY_EXEC_ENABLE_VPID;
		vmcs_write16(VIRTUAL_PROCESSOR_ID, vmx->vpid);
	}

	vmx->cpu_controls = cpu;
	vmx->cpu2_controls = cpu2;
	vmx->entry_controls = vmx_caps.entry;
	vmcs_write32(PIN_BASED_VM_EXEC_CONTROL, vmx_caps.pin);
	vmcs_write32(CPU_BASED_VM_EXEC_CONTROL, cpu);
	if (cpu & CPU_BASED_ACTIVATE_SECONDARY_CONTROLS)
		vmcs_write32(SECONDARY_VM_EXEC_CONTROL, cpu2);
	vmcs_write32(VM_EXIT_CONTROLS, vmx_caps.exit);
	vmcs_write32(VM_ENTRY_CONTROLS, vmx->entry_controls);
	vmcs_write64(MSR_BITMAP, __pa(vmx_msr_bitmap));
	vmcs_write32(EXCEPTION_BITMAP, EXCEPTIONS_INTERCEPTED);
	if (cpu2 & SECONDARY_EXEC_PAUSE_LOOP_EXITING) {
		vmcs_write32(PLE_GAP, PLE_GAP_TICKS);
		vmcs_write32(PLE_WINDOW, PLE_WINDOW_TICKS);
	}
	if (vmx_caps.pin & PIN_BASED_VMX_PREEMPTION_TIMER)
		vmcs_write32(VMX_PREEMPTION_TIMER_VALUE, VMX_TIMER_NEVER);
	vmcs_write64(VMCS_LINK_POINTER, INVALID_GPA);
}

/* Without controls for it, EFER is switched by lists of one MSR. */
static void write_msr_area(struct vmx_vcpu *vmx)
{
	if (!vmx->msr_area)
		return;
	vmx->msr_area[0].index = vmx->msr_area[1].index = MSR_EFER;
	rdmsrl(MSR_EFER, vmx->msr_area[1].value);
	vmcs_write64(VM_ENTRY_MSR_LOAD_ADDR, __pa(&vmx->msr_area[0]));
	vmcs_write64(VM_EXIT_MSR_LOAD_ADDR, __pa(&vmx->msr_area[1]));
	vmcs_write32(VM_ENTRY_MSR_LOAD_COUNT, 1);
	vmcs_write32(VM_EXIT_MSR_LOAD_COUNT, 1);
}

/* #PF where the tables are ours, #BP for a debugger. */
void hw_update_exceptions(struct vcpu *vcpu)
{
	u32 bitmap = EXCEPTIONS_INTERCEPTED;

	if (!to_vmx(vcpu)->on_ept)
		bitmap |= BIT(X86_TRAP_PF);
	if (vcpu->debug.control & MINIVMM_GUESTDBG_USE_SW_BP)
		bitmap |= BIT(X86_TRAP_BP);
	vmcs_write32(EXCEPTION_BITMAP, bitmap);
}

/* With EPT the guest's paging is its own business. */
void vmx_use_ept(struct vmx_vcpu *vmx, bool on)
{
	u32 paging = CPU_BASED_CR3_LOAD_EXITING | CPU_BASED_CR3_STORE_EXITING |
		     CPU_BASED_INVLPG_EXITING;
	u32 ept = SECONDARY_EXEC_ENABLE_EPT |
		  (vmx_caps.unrestricted_guest ? SECONDARY_EXEC_UNRESTRICTED_GUEST : 0);

	vmx_set_cpu_controls(vmx, on ? 0 : paging, on ? paging : 0);
	vmx->cpu2_controls = on ? vmx->cpu2_controls | ept : vmx->cpu2_controls & ~ept;
	if (vmx->cpu_controls & CPU_BASED_ACTIVATE_SECONDARY_CONTROLS)
		vmcs_write32(SECONDARY_VM_EXEC_CONTROL, vmx->cpu2_controls);
	vmx_move_control_state(vmx, on);
	hw_update_exceptions(&vmx->vcpu);
	if (vmx->pml)
		hw_update_dirty_log(&vmx->vcpu);
}

struct vcpu *hw_vcpu_alloc(struct vm *vm)
{
	struct vmx_vcpu *vmx = kzalloc(sizeof(*vmx), GFP_KERNEL_ACCOUNT);
	int cpu;

	if (!vmx)
		return ERR_PTR(-ENOMEM);
	vmx->vcpu.vm = vm;
	vmx->vmcs_cpu = -1;
	vmx->vmcs = vmcs_alloc(numa_node_id(), GFP_KERNEL_ACCOUNT);
	if (!vmx->vmcs)
		goto free;
	if (!vmx_has_efer_controls()) {
		vmx->msr_area = kcalloc(2, sizeof(*vmx->msr_area), GFP_KERNEL_ACCOUNT);
		if (!vmx->msr_area)
			goto free;
	}
	if (vmx_pml_alloc(vmx))
		goto free;
	vmx->vpid = vpid_alloc();
	vmcs_clear_new(vmx->vmcs);

	cpu = get_cpu();
	hw_vcpu_load(&vmx->vcpu, cpu);
	write_constant_host_state();
	write_controls(vmx);
	write_msr_area(vmx);
	vmx_use_ept(vmx, vm->mmu_mode == MMU_EPT);
	vmx_pml_setup(vmx);
	put_cpu();
	return &vmx->vcpu;

free:
	hw_vcpu_free(&vmx->vcpu);
	return ERR_PTR(-ENOMEM);
}

void hw_vcpu_free(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	if (vmx->vmcs) {
		vmcs_clear(vmx);
		vmcs_free(vmx->vmcs);
	}
	vpid_free(vmx->vpid);
	vmx_pml_free(vmx);
	kfree(vmx->msr_area);
	kfree(vmx);
}

/* ---- reset ----------------------------------------------------------------------------------- */

static void reset_segments(struct vcpu *vcpu)
{
	const struct minivmm_segment data = {
		.limit = 0xffff, .type = 3, .present = 1, .s = 1,
	};
	struct minivmm_segment s = data;
	enum seg seg;

	for (seg = SEG_ES; seg <= SEG_GS; seg++)
		hw_set_segment(vcpu, &data, seg);
	s.selector = 0xf000;
	s.base = 0xffff0000;
	s.type = 0xb;
	hw_set_segment(vcpu, &s, SEG_CS);

	s = (struct minivmm_segment){ .limit = 0xffff, .type = 2, .present = 1 };
	hw_set_segment(vcpu, &s, SEG_LDTR);
	s.type = 0xb;
	hw_set_segment(vcpu, &s, SEG_TR);
}

/**
 * hw_vcpu_reset() - the part of RESET and INIT that is in the VMCS
 * @vcpu: the vCPU; vcpu_reset() does the rest, and the control registers
 * @init: INIT, which leaves MSRs alone
 *
 * Source: SDM "Processor State After Reset".
 * Context: vcpu.
 */
void hw_vcpu_reset(struct vcpu *vcpu, bool init)
{
	const struct minivmm_dtable dt = { .limit = 0xffff };
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	reset_segments(vcpu);
	hw_set_dt(vcpu, &dt, &dt);
	vmcs_writel(GUEST_DR7, 0x400);
	vmcs_writel(GUEST_RFLAGS, X86_EFLAGS_FIXED);
	vmcs_write32(GUEST_INTERRUPTIBILITY_INFO, 0);
	vmcs_write32(GUEST_ACTIVITY_STATE, GUEST_ACTIVITY_ACTIVE);
	vmcs_writel(GUEST_PENDING_DBG_EXCEPTIONS, 0);
	vmcs_write32(VM_ENTRY_INTR_INFO_FIELD, 0);
	if (!init) {
		vmcs_write32(GUEST_SYSENTER_CS, 0);
		vmcs_writel(GUEST_SYSENTER_ESP, 0);
		vmcs_writel(GUEST_SYSENTER_EIP, 0);
		vmcs_write64(GUEST_IA32_DEBUGCTL, 0);
		memset(vmx->user_msr, 0, sizeof(vmx->user_msr));
		vmx->kernel_gs_base = 0;
	}
}

/* The guest's CPUID was set: what it doesn't show must be undefined for the guest. */
void hw_cpuid_changed(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u32 cpu2 = vmx->cpu2_controls & ~(SECONDARY_EXEC_ENABLE_RDTSCP | SECONDARY_EXEC_ENABLE_INVPCID);

	if ((vmx_caps.cpu2 & SECONDARY_EXEC_ENABLE_RDTSCP) &&
	    (guest_has(vcpu, X86_FEATURE_RDTSCP) || guest_has(vcpu, X86_FEATURE_RDPID))) {
		cpu2 |= vmx_caps.cpu2 & SECONDARY_EXEC_ENABLE_RDTSCP;
		vmx->user_msr_used |= BIT(USER_MSR_TSC_AUX);
		vmx_user_msrs_changed(vmx);
	}
	if (guest_has(vcpu, X86_FEATURE_INVPCID))
		cpu2 |= vmx_caps.cpu2 & SECONDARY_EXEC_ENABLE_INVPCID;
	if (cpu2 != vmx->cpu2_controls) {
		vmx->cpu2_controls = cpu2;
		vmcs_write32(SECONDARY_VM_EXEC_CONTROL, cpu2);
	}
	vmx_write_masks(vmx);
}

/* ---- load and put ---------------------------------------------------------------------------- */

void hw_vcpu_load(struct vcpu *vcpu, int cpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	if (vmcs_load(vmx, cpu)) {
		write_per_cpu_host_state(vmx, cpu);
		/* this CPU may hold translations from an earlier stay */
		vcpu_request(vcpu, REQ_TLB_FLUSH);
	}
	vmx->l1d_flush = true;
}

void hw_vcpu_put(struct vcpu *vcpu)
{
	vmx_restore_host(to_vmx(vcpu));
}

static void write_host_fs_gs(struct vmx_vcpu *vmx)
{
	/* an exit can't load a selector of ring 3 or of the LDT: zero then, and reload by hand */
	u16 fs = vmx->host_fs_sel & 7 ? 0 : vmx->host_fs_sel;
	u16 gs = vmx->host_gs_sel & 7 ? 0 : vmx->host_gs_sel;

	if (fs != vmx->vmcs_fs_sel) {
		vmx->vmcs_fs_sel = fs;
		vmcs_write16(HOST_FS_SELECTOR, fs);
	}
	if (gs != vmx->vmcs_gs_sel) {
		vmx->vmcs_gs_sel = gs;
		vmcs_write16(HOST_GS_SELECTOR, gs);
	}
	if (vmx->host_fs_base != vmx->vmcs_fs_base) {
		vmx->vmcs_fs_base = vmx->host_fs_base;
		vmcs_writel(HOST_FS_BASE, vmx->host_fs_base);
	}
}

static u16 read_ldt(void)
{
	u16 sel;

	asm("sldt %0" : "=g" (sel));
	return sel;
}

/* Twice in each RUN: without the tracepoint that wrmsrl() has. */
static void write_kernel_gs_base(u64 value)
{
	__wrmsr(MSR_KERNEL_GS_BASE, (u32)value, value >> 32);
}

/*
 * Once after each load, before the first entry: remembers what an exit doesn't restore, and loads
 * the guest's KERNEL_GS_BASE and user-mode MSRs. Preemption off.
 */
void vmx_save_host(struct vmx_vcpu *vmx)
{
	if (vmx->host_saved || !this_cpu_read(vmx_on))
		return;

	vmx->host_ldt_sel = read_ldt();
	savesegment(ds, vmx->host_ds_sel);
	savesegment(es, vmx->host_es_sel);
	/* without FSGSBASE what the kernel remembers is no base that came with a selector */
	if (likely(is_64bit_mm(current->mm) && static_cpu_has(X86_FEATURE_FSGSBASE))) {
		current_save_fsgs();
		vmx->host_fs_sel = current->thread.fsindex;
		vmx->host_gs_sel = current->thread.gsindex;
		vmx->host_fs_base = current->thread.fsbase;
		vmx->host_kernel_gs_base = current->thread.gsbase;
	} else {
		savesegment(fs, vmx->host_fs_sel);
		savesegment(gs, vmx->host_gs_sel);
		rdmsrl(MSR_FS_BASE, vmx->host_fs_base);
		rdmsrl(MSR_KERNEL_GS_BASE, vmx->host_kernel_gs_base);
	}
	write_kernel_gs_base(vmx->kernel_gs_base);
	write_host_fs_gs(vmx);
	vmx->host_saved = true;
	if (vmx->user_msr_used)
		vmx_load_user_msrs(vmx);
	vmx->vcpu.stats.host_state_loads++;
}

/* Preemption off; the counterpart, when the vCPU leaves this CPU or RUN returns. */
void vmx_restore_host(struct vmx_vcpu *vmx)
{
	if (!vmx->host_saved)
		return;
	vmx->kernel_gs_base = __rdmsr(MSR_KERNEL_GS_BASE);
	if (vmx->host_ldt_sel || (vmx->host_gs_sel & 7)) {
		asm volatile("lldt %0" : : "m" (vmx->host_ldt_sel));
		load_gs_index(vmx->host_gs_sel);
	}
	if (vmx->host_fs_sel & 7)
		loadsegment(fs, vmx->host_fs_sel);
	if (unlikely(vmx->host_ds_sel | vmx->host_es_sel)) {
		loadsegment(ds, vmx->host_ds_sel);
		loadsegment(es, vmx->host_es_sel);
	}
	/* an exit leaves TR's limit at 0x67 and GDTR's at 0xffff */
	invalidate_tss_limit();
	write_kernel_gs_base(vmx->host_kernel_gs_base);
	load_fixmap_gdt(raw_smp_processor_id());
	vmx->host_saved = false;
}
