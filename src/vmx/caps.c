// SPDX-License-Identifier: GPL-2.0
/*
 * What this machine's VT-x can do: execution controls from lists of required and optional bits
 * against the capability MSRs (SDM appendix "VMX Capability Reporting Facility").
 *
 * Every optional feature has a module parameter that switches it off, so that each path can be
 * tested on one machine.
 */
#include <linux/module.h>
#include <asm/cpufeature.h>
#include <asm/fpu/xcr.h>
#include <asm/msr.h>

#include "vmx/vmx.h"

struct vmx_caps vmx_caps __ro_after_init;

static bool use_ept = true;
module_param_named(ept, use_ept, bool, 0444);
MODULE_PARM_DESC(ept, "use extended page tables where the CPU has them");
static bool use_ept_ad = true;
module_param_named(ept_ad, use_ept_ad, bool, 0444);
MODULE_PARM_DESC(ept_ad, "use EPT accessed and dirty bits");
static bool use_pml = true;
module_param_named(pml, use_pml, bool, 0444);
MODULE_PARM_DESC(pml, "log dirty pages by page-modification logging, where EPT has D bits");
static bool use_large_pages = true;
module_param_named(large_pages, use_large_pages, bool, 0444);
MODULE_PARM_DESC(large_pages, "map guest memory by 2M and 1G where the host does");
static bool use_vpid = true;
module_param_named(vpid, use_vpid, bool, 0444);
MODULE_PARM_DESC(vpid, "tag TLB entries by virtual processor");
static bool use_unrestricted_guest = true;
module_param_named(unrestricted_guest, use_unrestricted_guest, bool, 0444);
MODULE_PARM_DESC(unrestricted_guest, "run real mode and unpaged guests directly");
static bool use_vnmi = true;
module_param_named(vnmi, use_vnmi, bool, 0444);
MODULE_PARM_DESC(vnmi, "use virtual NMIs");
static bool use_ple = true;
module_param_named(ple, use_ple, bool, 0444);
MODULE_PARM_DESC(ple, "use PAUSE-loop exiting");
static bool use_tsc_scaling = true;
module_param_named(tsc_scaling, use_tsc_scaling, bool, 0444);
MODULE_PARM_DESC(tsc_scaling, "let guests have a TSC of another rate");
static bool use_tpr_shadow = true;
module_param_named(tpr_shadow, use_tpr_shadow, bool, 0444);
MODULE_PARM_DESC(tpr_shadow, "let guests change the task priority without an exit; the next two need it");
static bool use_apic_registers = true;
module_param_named(apic_registers, use_apic_registers, bool, 0444);
MODULE_PARM_DESC(apic_registers, "let guests read their x2APIC without an exit");
/*
 * Off unless it is asked for: the only CPU that it has been tried on is Bochs's, whose exits don't say
 * which interrupt it was delivering.
 */
static bool use_virtual_interrupts;
module_param_named(virtual_interrupts, use_virtual_interrupts, bool, 0444);
MODULE_PARM_DESC(virtual_interrupts, "use virtual-interrupt delivery (off by default)");
static bool use_preemption_timer = true;
module_param_named(preemption_timer, use_preemption_timer, bool, 0444);
MODULE_PARM_DESC(preemption_timer, "let the CPU count for the local APIC's timer while the guest runs");
static bool use_efer_controls = true;
module_param_named(efer_controls, use_efer_controls, bool, 0444);
MODULE_PARM_DESC(efer_controls, "switch EFER by VM-entry and VM-exit controls, not MSR lists");

/* One bit of a control word: its name is what the error says when a required one is missing. */
struct control {
	u32 bit;
	bool required;
	const bool *wanted;	/* NULL: always */
	const char *name;
};

#define REQUIRED(b)		{ .bit = (b), .required = true, .name = #b }
#define OPTIONAL(b)		{ .bit = (b), .name = #b }
#define OPTIONAL_IF(b, p)	{ .bit = (b), .wanted = &(p), .name = #b }

static const struct control pin_controls[] = {
	REQUIRED(PIN_BASED_EXT_INTR_MASK),
	REQUIRED(PIN_BASED_NMI_EXITING),
	OPTIONAL_IF(PIN_BASED_VIRTUAL_NMIS, use_vnmi),
	OPTIONAL_IF(PIN_BASED_VMX_PREEMPTION_TIMER, use_preemption_timer),
	{}
};

static const struct control cpu_controls[] = {
	REQUIRED(CPU_BASED_HLT_EXITING),
	REQUIRED(CPU_BASED_CR8_LOAD_EXITING),
	REQUIRED(CPU_BASED_CR8_STORE_EXITING),
	REQUIRED(CPU_BASED_CR3_LOAD_EXITING),
	REQUIRED(CPU_BASED_CR3_STORE_EXITING),
	REQUIRED(CPU_BASED_INVLPG_EXITING),
	REQUIRED(CPU_BASED_UNCOND_IO_EXITING),
	REQUIRED(CPU_BASED_MOV_DR_EXITING),
	REQUIRED(CPU_BASED_USE_TSC_OFFSETTING),
	REQUIRED(CPU_BASED_USE_MSR_BITMAPS),
	REQUIRED(CPU_BASED_MWAIT_EXITING),
	REQUIRED(CPU_BASED_MONITOR_EXITING),
	REQUIRED(CPU_BASED_RDPMC_EXITING),
	OPTIONAL_IF(CPU_BASED_TPR_SHADOW, use_tpr_shadow),
	OPTIONAL(CPU_BASED_ACTIVATE_SECONDARY_CONTROLS),
	{}
};

static const struct control cpu2_controls[] = {
	OPTIONAL_IF(SECONDARY_EXEC_ENABLE_EPT, use_ept),
	OPTIONAL_IF(SECONDARY_EXEC_ENABLE_VPID, use_vpid),
	OPTIONAL_IF(SECONDARY_EXEC_UNRESTRICTED_GUEST, use_unrestricted_guest),
	OPTIONAL_IF(SECONDARY_EXEC_PAUSE_LOOP_EXITING, use_ple),
	OPTIONAL_IF(SECONDARY_EXEC_TSC_SCALING, use_tsc_scaling),
	OPTIONAL_IF(SECONDARY_EXEC_VIRTUALIZE_X2APIC_MODE, use_tpr_shadow),
	OPTIONAL_IF(SECONDARY_EXEC_APIC_REGISTER_VIRT, use_apic_registers),
	OPTIONAL_IF(SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY, use_virtual_interrupts),
	OPTIONAL(SECONDARY_EXEC_WBINVD_EXITING),
	OPTIONAL(SECONDARY_EXEC_ENABLE_RDTSCP),
	OPTIONAL(SECONDARY_EXEC_ENABLE_INVPCID),
	OPTIONAL_IF(SECONDARY_EXEC_ENABLE_PML, use_pml),
	{}
};

static const struct control exit_controls[] = {
	REQUIRED(VM_EXIT_HOST_ADDR_SPACE_SIZE),
	OPTIONAL(VM_EXIT_SAVE_DEBUG_CONTROLS),
	OPTIONAL_IF(VM_EXIT_SAVE_IA32_EFER, use_efer_controls),
	OPTIONAL_IF(VM_EXIT_LOAD_IA32_EFER, use_efer_controls),
	OPTIONAL(VM_EXIT_SAVE_IA32_PAT),
	OPTIONAL(VM_EXIT_LOAD_IA32_PAT),
	OPTIONAL(VM_EXIT_CLEAR_BNDCFGS),
	{}
};

static const struct control entry_controls[] = {
	OPTIONAL(VM_ENTRY_LOAD_DEBUG_CONTROLS),
	OPTIONAL_IF(VM_ENTRY_LOAD_IA32_EFER, use_efer_controls),
	OPTIONAL(VM_ENTRY_LOAD_IA32_PAT),
	OPTIONAL(VM_ENTRY_LOAD_BNDCFGS),
	{}
};

/*
 * The capability MSRs of a control word: the low half has the bits that must be 1, the high half
 * those that may be 1. The "true" MSR tells which default-1 bits may be 0 after all.
 */
static int choose_controls(const char *what, u32 msr, u32 true_msr, bool have_true,
			   const struct control *c, u32 *result)
{
	u32 must, may, wanted = 0;

	rdmsr(have_true ? true_msr : msr, must, may);
	for (; c->bit; c++) {
		if (c->wanted && !*c->wanted)
			continue;
		if (may & c->bit) {
			wanted |= c->bit;
		} else if (c->required) {
			pr_err("minivmm: this CPU's VT-x lacks %s, which is needed (%s: may be 1: %#x)\n",
			       c->name, what, may);
			return -EOPNOTSUPP;
		}
	}
	*result = wanted | must;
	return 0;
}

static void read_ept_vpid_caps(void)
{
	u64 cap = 0;

	if (vmx_caps.cpu2 & (SECONDARY_EXEC_ENABLE_EPT | SECONDARY_EXEC_ENABLE_VPID))
		rdmsrl(MSR_IA32_VMX_EPT_VPID_CAP, cap);

	/* 4-level walks over write-back memory and INVEPT: without them it's no use to us */
	vmx_caps.ept = (vmx_caps.cpu2 & SECONDARY_EXEC_ENABLE_EPT) &&
		       (cap & VMX_EPT_PAGE_WALK_4_BIT) && (cap & VMX_EPTP_WB_BIT) &&
		       (cap & VMX_EPT_INVEPT_BIT) && (cap & VMX_EPT_EXTENT_GLOBAL_BIT);
	vmx_caps.ept_ad = vmx_caps.ept && use_ept_ad && (cap & VMX_EPT_AD_BIT);
	vmx_caps.pml = vmx_caps.ept_ad && (vmx_caps.cpu2 & SECONDARY_EXEC_ENABLE_PML);
	vmx_caps.ept_2m = vmx_caps.ept && use_large_pages && (cap & VMX_EPT_2MB_PAGE_BIT);
	vmx_caps.ept_1g = vmx_caps.ept_2m && (cap & VMX_EPT_1GB_PAGE_BIT);
	vmx_caps.ept_invept_single = vmx_caps.ept && (cap & VMX_EPT_EXTENT_CONTEXT_BIT);
	vmx_caps.vpid = (vmx_caps.cpu2 & SECONDARY_EXEC_ENABLE_VPID) &&
			(cap & VMX_VPID_INVVPID_BIT) && (cap & VMX_VPID_EXTENT_GLOBAL_CONTEXT_BIT);
	vmx_caps.invvpid_single = vmx_caps.vpid && (cap & VMX_VPID_EXTENT_SINGLE_CONTEXT_BIT);
	vmx_caps.invvpid_address = vmx_caps.vpid && (cap & VMX_VPID_EXTENT_INDIVIDUAL_ADDR_BIT);
	vmx_caps.unrestricted_guest = vmx_caps.ept &&
				      (vmx_caps.cpu2 & SECONDARY_EXEC_UNRESTRICTED_GUEST);

	/* A VMCS starts without them; a vCPU adds what its VM's mode uses. */
	vmx_caps.cpu2 &= ~(SECONDARY_EXEC_ENABLE_EPT | SECONDARY_EXEC_ENABLE_VPID |
			   SECONDARY_EXEC_UNRESTRICTED_GUEST | SECONDARY_EXEC_ENABLE_PML);
}

/* Those of local APICs depend on the first; as those of paging they are for vCPUs that have one. */
static void read_apic_caps(void)
{
	const u32 more = SECONDARY_EXEC_VIRTUALIZE_X2APIC_MODE | SECONDARY_EXEC_APIC_REGISTER_VIRT |
			 SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY;

	vmx_caps.tpr_shadow = vmx_caps.cpu & CPU_BASED_TPR_SHADOW;
	vmx_caps.apic = vmx_caps.tpr_shadow ? vmx_caps.cpu2 & more : 0;
	if (!(vmx_caps.apic & SECONDARY_EXEC_VIRTUALIZE_X2APIC_MODE))
		vmx_caps.apic &= ~SECONDARY_EXEC_APIC_REGISTER_VIRT;
	vmx_caps.cpu &= ~CPU_BASED_TPR_SHADOW;
	vmx_caps.cpu2 &= ~more;
}

/* CPUID.1:EAX of CPUs whose timer counts at a wrong rate, by Intel's specification updates. */
static const u32 timer_errata[] = {
	0x106a0, 0x106a1, 0x106a4, 0x106a5,	/* Xeon 3500 and 5500, Core i7-900: AAM126, AAK139, AAJ124 */
	0x106e5,				/* Xeon 3400, Core i5-700, i7-800: AAO95, AAN92 */
	0x20652, 0x20655,			/* Core i3, i5, i7-600, Xeon L3406: AAT59, AAU65, AAX65 */
	0x206e6,				/* Xeon 7500: BA86 */
	0x306a8,				/* Xeon E3-1220 v2 */
};

static void read_timer_caps(void)
{
	u32 model = cpuid_eax(1) & 0x0fff3fff;
	u64 misc;
	int i;

	for (i = 0; i < ARRAY_SIZE(timer_errata); i++)
		if (model == timer_errata[i])
			vmx_caps.pin &= ~PIN_BASED_VMX_PREEMPTION_TIMER;
	if (!boot_cpu_has(X86_FEATURE_CONSTANT_TSC))
		vmx_caps.pin &= ~PIN_BASED_VMX_PREEMPTION_TIMER;
	rdmsrl(MSR_IA32_VMX_MISC, misc);
	vmx_caps.timer_shift = misc & VMX_MISC_PREEMPTION_TIMER_RATE_MASK;
}

/* Controls that are only of use in pairs, or that depend on each other. */
static void drop_half_pairs(void)
{
	if (!(vmx_caps.entry & VM_ENTRY_LOAD_IA32_EFER) ||
	    !(vmx_caps.exit & VM_EXIT_LOAD_IA32_EFER) || !(vmx_caps.exit & VM_EXIT_SAVE_IA32_EFER)) {
		vmx_caps.entry &= ~VM_ENTRY_LOAD_IA32_EFER;
		vmx_caps.exit &= ~(VM_EXIT_LOAD_IA32_EFER | VM_EXIT_SAVE_IA32_EFER);
	}
	if (!(vmx_caps.entry & VM_ENTRY_LOAD_IA32_PAT) ||
	    !(vmx_caps.exit & VM_EXIT_LOAD_IA32_PAT) || !(vmx_caps.exit & VM_EXIT_SAVE_IA32_PAT)) {
		vmx_caps.entry &= ~VM_ENTRY_LOAD_IA32_PAT;
		vmx_caps.exit &= ~(VM_EXIT_LOAD_IA32_PAT | VM_EXIT_SAVE_IA32_PAT);
	}
	/* Guest MPX isn't offered, but the host's BNDCFGS must not leak into the guest. */
	if (!(vmx_caps.entry & VM_ENTRY_LOAD_BNDCFGS) || !(vmx_caps.exit & VM_EXIT_CLEAR_BNDCFGS)) {
		vmx_caps.entry &= ~VM_ENTRY_LOAD_BNDCFGS;
		vmx_caps.exit &= ~VM_EXIT_CLEAR_BNDCFGS;
	}
}

static int check_enabled_by_firmware(void)
{
	if (!boot_cpu_has(X86_FEATURE_VMX)) {
		/* The kernel hides the flag where firmware has locked VMX off. */
		if (cpuid_ecx(1) & BIT(X86_FEATURE_VMX & 31)) {
			pr_err("minivmm: VT-x is disabled by firmware: enable it in the BIOS or UEFI setup (\"Intel Virtualization Technology\") and power-cycle\n");
			return -EOPNOTSUPP;
		}
		pr_err("minivmm: this CPU has no VT-x (CPUID.1:ECX.VMX is 0); if this is a virtual machine, its hypervisor must offer nested virtualisation\n");
		return -ENODEV;
	}
	if (!boot_cpu_has(X86_FEATURE_MSR_IA32_FEAT_CTL)) {
		pr_err("minivmm: VT-x is disabled by firmware: enable it in the BIOS or UEFI setup (\"Intel Virtualization Technology\") and power-cycle\n");
		return -EOPNOTSUPP;
	}
	return 0;
}

/**
 * vmx_caps_init() - fill in vmx_caps
 *
 * Context: module load.
 * Return: 0, -ENODEV (no VT-x), -EOPNOTSUPP (disabled, or lacks a required control; logged).
 */
int vmx_caps_init(void)
{
	u64 basic;
	bool t;
	int r;

	r = check_enabled_by_firmware();
	if (r)
		return r;

	rdmsrl(MSR_IA32_VMX_BASIC, basic);
	vmx_caps.revision = vmx_basic_vmcs_revision_id(basic);
	vmx_caps.ins_outs_info = basic & VMX_BASIC_INOUT;
	if (vmx_basic_vmcs_size(basic) > PAGE_SIZE ||
	    ((basic & VMX_BASIC_MEM_TYPE_MASK) >> VMX_BASIC_MEM_TYPE_SHIFT) != VMX_BASIC_MEM_TYPE_WB) {
		pr_err("minivmm: this CPU's VMCS isn't a write-back page (IA32_VMX_BASIC %#llx)\n", basic);
		return -EOPNOTSUPP;
	}
	t = basic & VMX_BASIC_TRUE_CTLS;

	r = choose_controls("pin-based controls", MSR_IA32_VMX_PINBASED_CTLS,
			    MSR_IA32_VMX_TRUE_PINBASED_CTLS, t, pin_controls, &vmx_caps.pin) ?:
	    choose_controls("processor-based controls", MSR_IA32_VMX_PROCBASED_CTLS,
			    MSR_IA32_VMX_TRUE_PROCBASED_CTLS, t, cpu_controls, &vmx_caps.cpu) ?:
	    choose_controls("VM-exit controls", MSR_IA32_VMX_EXIT_CTLS,
			    MSR_IA32_VMX_TRUE_EXIT_CTLS, t, exit_controls, &vmx_caps.exit) ?:
	    choose_controls("VM-entry controls", MSR_IA32_VMX_ENTRY_CTLS,
			    MSR_IA32_VMX_TRUE_ENTRY_CTLS, t, entry_controls, &vmx_caps.entry);
	if (r)
		return r;
	if (vmx_caps.cpu & CPU_BASED_ACTIVATE_SECONDARY_CONTROLS)
		choose_controls("secondary controls", MSR_IA32_VMX_PROCBASED_CTLS2, 0, false,
				cpu2_controls, &vmx_caps.cpu2);

	drop_half_pairs();
	read_ept_vpid_caps();
	read_apic_caps();
	read_timer_caps();
	rdmsrl(MSR_IA32_VMX_CR0_FIXED0, vmx_caps.cr0_must);
	rdmsrl(MSR_IA32_VMX_CR0_FIXED1, vmx_caps.cr0_may);
	rdmsrl(MSR_IA32_VMX_CR4_FIXED0, vmx_caps.cr4_must);
	rdmsrl(MSR_IA32_VMX_CR4_FIXED1, vmx_caps.cr4_may);
	rdmsrl(MSR_IA32_CR_PAT, vmx_caps.host_pat);
	if (boot_cpu_has(X86_FEATURE_OSXSAVE))
		vmx_caps.host_xcr0 = xgetbv(XCR_XFEATURE_ENABLED_MASK);
	return 0;
}

bool hw_has_ept(void)
{
	return vmx_caps.ept;
}

bool hw_allows_feature(unsigned int x86_feature)
{
	switch (x86_feature) {
	case X86_FEATURE_RDTSCP:
	case X86_FEATURE_RDPID:
		return vmx_caps.cpu2 & SECONDARY_EXEC_ENABLE_RDTSCP;
	case X86_FEATURE_INVPCID:
		return vmx_caps.cpu2 & SECONDARY_EXEC_ENABLE_INVPCID;
	case X86_FEATURE_XSAVES:
		return vmx_caps.cpu2 & SECONDARY_EXEC_XSAVES;
	}
	return true;
}

bool hw_has_ept_ad(void)
{
	return vmx_caps.ept_ad;
}

bool hw_has_pml(void)
{
	return vmx_caps.pml;
}

bool hw_has_timer(void)
{
	return vmx_caps.pin & PIN_BASED_VMX_PREEMPTION_TIMER;
}

bool hw_no_exec_large_pages(void)
{
	return vmx_itlb_multihit;
}

bool hw_has_unrestricted_guest(void)
{
	return vmx_caps.unrestricted_guest;
}

/* Ordinary paging has 2M pages always, and 1G pages where CPUID says so. */
int hw_max_shadow_level(void)
{
	return !use_large_pages ? 1 : boot_cpu_has(X86_FEATURE_GBPAGES) ? 3 : 2;
}

int hw_max_ept_level(void)
{
	return vmx_caps.ept_1g ? 3 : vmx_caps.ept_2m ? 2 : 1;
}
