/* SPDX-License-Identifier: GPL-2.0 */
/* What the files of vmx/ share. Nothing outside this folder includes it. */
#ifndef MINIVMM_VMX_VMX_H
#define MINIVMM_VMX_VMX_H

#include <linux/percpu.h>
#include <linux/user-return-notifier.h>
#include <asm/msr.h>

#include "minivmm.h"
#include "vmx/vmcs.h"

/* ---- caps.c ---------------------------------------------------------------------------------- */

/* What this machine's VT-x can do, less what module parameters switch off. Written at load only. */
struct vmx_caps {
	u32 pin, cpu, cpu2;		/* execution controls, as every VMCS starts with them */
	u32 exit, entry;		/* VM-exit and VM-entry controls, likewise */
	u32 revision;			/* of the VMCS */
	bool ept, ept_ad, pml, ept_2m, ept_1g, ept_invept_single;
	bool vpid, invvpid_single, invvpid_address;
	bool unrestricted_guest;
	bool tpr_shadow;
	u8 timer_shift;			/* the preemption timer counts when this bit of the TSC changes */
	u32 apic;			/* secondary controls for local APICs */
	bool ins_outs_info;		/* exits of INS and OUTS say what they are */
	u64 cr0_must, cr0_may, cr4_must, cr4_may;	/* bits that VMX operation fixes */
	u64 host_xcr0;			/* 0 without XSAVE */
	u64 host_pat;
};

extern struct vmx_caps vmx_caps;

int vmx_caps_init(void);

static inline bool vmx_has_efer_controls(void)
{
	return vmx_caps.entry & VM_ENTRY_LOAD_IA32_EFER;
}

static inline bool vmx_has_pat_controls(void)
{
	return vmx_caps.entry & VM_ENTRY_LOAD_IA32_PAT;
}

/* ---- the vCPU -------------------------------------------------------------------------------- */

struct vmcs {
	u32 revision;
	u32 abort;
	u8 data[];
};

/* MSRs that the kernel needs only in user mode: the guest's stay loaded until a user return. */
enum user_msr { USER_MSR_STAR, USER_MSR_LSTAR, USER_MSR_FMASK, USER_MSR_TSC_AUX, NR_USER_MSRS };

/* The preemption timer starts anew with each entry: nearly a second at least, and what ends then goes on. */
#define VMX_TIMER_NEVER	U32_MAX

struct msr_area_entry {		/* the layout of SDM "VM-Entry Controls for MSRs" */
	u32 index, reserved;
	u64 value;
};

struct vmx_vcpu {
	struct vcpu vcpu;

	struct vmcs *vmcs;
	int vmcs_cpu;			/* whose hardware may hold part of it, or -1 */
	struct list_head vmcs_link;	/* in that CPU's list; changed there, interrupts off */
	bool launched;
	u16 vpid;

	/* of the last exit */
	u32 exit_reason;
	u32 vectoring;			/* IDT-vectoring information, if it interrupted a delivery */
	bool entry_refused;		/* VMLAUNCH or VMRESUME failed, with this VM-instruction error */
	u32 failed_instruction;
	bool entry_retry;		/* VMX was off here: nothing happened */
	bool handled;			/* by the fast path */
	u64 exit_qual;			/* valid with its bit of info_avail */
	u32 intr_info;
	unsigned long info_avail;

	/* what the VMCS holds now, so that only changes are written */
	u32 cpu_controls, cpu2_controls;
	u32 entry_controls;
	u64 host_cr3, host_cr4, host_rsp;
	u64 eptp;
	void *apic_page;		/* NULL: the CPU does nothing of a local APIC */
	u64 eoi_exits[4];
	u32 tpr_threshold;
	bool on_ept;			/* else on tables of ours in the place of the guest's */

	/* segments: valid with their bit of seg_avail */
	struct vmx_segment { u64 base; u32 limit, ar; u16 selector; } seg[NR_SEGS];
	unsigned long seg_avail;	/* bits: by segment and field, see state.c */

	/* host state that VM exits don't restore; hw_prepare() to hw_put() */
	bool host_saved;
	u16 host_fs_sel, host_gs_sel, host_ldt_sel, host_ds_sel, host_es_sel;
	u64 host_fs_base, host_kernel_gs_base;
	u64 host_debugctl;
	u64 vmcs_fs_base;	/* HOST_FS_BASE as last written */
	u16 vmcs_fs_sel, vmcs_gs_sel;
	u64 kernel_gs_base;		/* the guest's, while it isn't loaded */

	u64 user_msr[NR_USER_MSRS];	/* the guest's */
	unsigned long user_msr_used;	/* those that its instructions can see: only they are loaded */
	u64 cstar;

	u64 *pml;			/* the CPU's log: a page, if the VM uses it */
	bool timer_set;			/* the preemption timer: not to VMX_TIMER_NEVER */
	bool l1d_flush;			/* something ran since the last entry that may leave secrets */
	struct msr_area_entry *msr_area;	/* without EFER controls: guest's, host's EFER */
};

static inline struct vmx_vcpu *to_vmx(struct vcpu *vcpu)
{
	return container_of(vcpu, struct vmx_vcpu, vcpu);
}

/* ---- cpu.c: this CPU in and out of VMX operation, and which VMCS it holds ----------------------- */

DECLARE_PER_CPU(bool, vmx_on);
DECLARE_PER_CPU(struct vmx_vcpu *, current_vmcs);

struct vmcs *vmcs_alloc(int node, gfp_t gfp);
void vmcs_free(struct vmcs *vmcs);
void vmcs_clear_new(struct vmcs *vmcs);		/* before its first VMPTRLD */
bool vmcs_load(struct vmx_vcpu *vmx, int cpu);	/* preemption off: makes it current */
void vmcs_clear(struct vmx_vcpu *vmx);		/* from any CPU; may sleep */
int vpid_alloc(void);				/* 0: none left, run without */
void vpid_free(int vpid);

static inline void invept(unsigned long type, u64 eptp)
{
	struct { u64 eptp, zero; } operand = { eptp, 0 };

	asm volatile("1: invept %0, %1\n2:\n\t" _ASM_EXTABLE(1b, 2b)
		     : : "m" (operand), "r" (type) : "cc", "memory");
}

static inline void invvpid(unsigned long type, u16 vpid, gva_t gva)
{
	struct { u64 vpid, gva; } operand = { vpid, gva };

	asm volatile("1: invvpid %0, %1\n2:\n\t" _ASM_EXTABLE(1b, 2b)
		     : : "m" (operand), "r" (type) : "cc", "memory");
}

/* ---- msr.c ----------------------------------------------------------------------------------- */

int vmx_msr_init(void);
void vmx_msr_exit(void);
extern unsigned long *vmx_msr_bitmap;	/* one page, the same for every vCPU */
#define VMX_MSR_READ		0x000	/* byte offsets: MSRs 0 .. 1fff, then c0000000 .. c0001fff */
#define VMX_MSR_WRITE		0x800
void vmx_pass_through(unsigned long *bitmap, u32 index, unsigned int direction);
void vmx_load_user_msrs(struct vmx_vcpu *vmx);	/* preemption off */
void vmx_user_msrs_changed(struct vmx_vcpu *vmx);	/* any */
void vmx_note_user_msrs(void);			/* VMX goes on here; interrupts off */
void vmx_drop_user_msrs(void);			/* this CPU's, back to the host's; interrupts off */

/* ---- apic.c ---------------------------------------------------------------------------------- */

int vmx_apic_init(void);
void vmx_apic_exit(void);

/* ---- pml.c ----------------------------------------------------------------------------------- */

int vmx_pml_alloc(struct vmx_vcpu *vmx);
void vmx_pml_free(struct vmx_vcpu *vmx);
void vmx_pml_setup(struct vmx_vcpu *vmx);	/* its VMCS is current */
void vmx_pml_flush(struct vmx_vcpu *vmx);	/* to the slots' logs; preemption off */

static inline bool vmx_pml_on(struct vmx_vcpu *vmx)
{
	return vmx->cpu2_controls & SECONDARY_EXEC_ENABLE_PML;
}

/* ---- mitigate.c ------------------------------------------------------------------------------ */

int vmx_mitigations_init(void);
void vmx_mitigations_exit(void);
void vmx_flush_l1d(struct vmx_vcpu *vmx);	/* noinstr; before the entry */
DECLARE_STATIC_KEY_FALSE(vmx_l1d_flush_wanted);
extern bool vmx_itlb_multihit;			/* no executable large pages */

/* ---- vcpu.c ---------------------------------------------------------------------------------- */

void vmx_use_ept(struct vmx_vcpu *vmx, bool on);	/* what depends on it; the VMCS is loaded */

/* ---- state.c --------------------------------------------------------------------------------- */

void vmx_set_cpu_controls(struct vmx_vcpu *vmx, u32 set, u32 clear);
void vmx_forget_cached(struct vmx_vcpu *vmx);	/* after an exit: all but what is always saved */
void vmx_write_masks(struct vmx_vcpu *vmx);
void vmx_move_control_state(struct vmx_vcpu *vmx, bool on_ept);
/* Bits of CR0 and CR4 that the guest changes without an exit. */
u64 vmx_guest_owned_cr0(struct vmx_vcpu *vmx);
u64 vmx_guest_owned_cr4(struct vmx_vcpu *vmx);

/* ---- runnable.c ------------------------------------------------------------------------------ */

bool vmx_is_unrestricted(struct vmx_vcpu *vmx);	/* this vCPU's VMCS, not only the CPU */

/* ---- run.c ----------------------------------------------------------------------------------- */

void vmx_save_host(struct vmx_vcpu *vmx);
void vmx_restore_host(struct vmx_vcpu *vmx);

static inline u64 vmx_exit_qual(struct vmx_vcpu *vmx)
{
	if (!(vmx->info_avail & 1)) {
		vmx->exit_qual = vmcs_readl(EXIT_QUALIFICATION);
		vmx->info_avail |= 1;
	}
	return vmx->exit_qual;
}

static inline u32 vmx_intr_info(struct vmx_vcpu *vmx)
{
	if (!(vmx->info_avail & 2)) {
		vmx->intr_info = vmcs_read32(VM_EXIT_INTR_INFO);
		vmx->info_avail |= 2;
	}
	return vmx->intr_info;
}

/* ---- exit.c ---------------------------------------------------------------------------------- */

/* With interrupts still off: 1 = handled, and the guest may go on at once. */
int vmx_handle_exit_fast(struct vmx_vcpu *vmx);
/* What must happen before interrupts are enabled again: NMI, #MC. */
void vmx_handle_exit_irqoff(struct vmx_vcpu *vmx);

/* ---- entry_check.c --------------------------------------------------------------------------- */

/* Puts into the vCPU's record which check an entry failed, and the values it looked at. vcpu. */
void vmx_explain_failed_entry(struct vmx_vcpu *vmx);

/* ---- enter.S --------------------------------------------------------------------------------- */

#define VMX_ENTER_RESUME	1
/* Returns 0 after an exit, 1 if the VM-entry instruction failed (or faulted: VMX is off). */
unsigned long vmx_enter(struct vmx_vcpu *vmx, unsigned long flags);
void vmx_exit_point(void);			/* HOST_RIP; not to be called */

#endif
