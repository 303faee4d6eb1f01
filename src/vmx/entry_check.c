// SPDX-License-Identifier: GPL-2.0
/*
 * Why a VM entry failed, in words: runs the rules of entry_rules.c over the current VMCS and puts
 * those that are broken into the vCPU's failure record. Cold, and the VM is lost anyway, so that
 * what the CPU supports is read from its MSRs each time: it is the CPU that refused.
 */
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/cpufeature.h>
#include <asm/processor.h>

#include "minivmm.h"
#include "vmx/entry_rules.h"
#include "vmx/vmx.h"

/* Less than the record holds: the caller, or the client, may want to say more. */
#define TEXT_SIZE	1792

struct explanation {
	struct entry_check check;
	struct vcpu *vcpu;
	char *text;		/* NULL: no memory, then the first broken rule is all there is */
	size_t length;
};

/* ---- this CPU -------------------------------------------------------------------------------- */

static u64 read_vmcs_field(u32 field)
{
	return __vmcs_read(field);
}

static bool read_host_memory(u64 address, void *data, unsigned int len)
{
	return pfn_valid(address >> PAGE_SHIFT) &&
		!copy_from_kernel_nofault(data, __va(address), len);
}

/* Capability MSRs of controls: low half = must be 1, high half = may be 1. */
static struct must_may control_bits(u32 msr)
{
	u64 value;

	if (rdmsrl_safe(msr, &value))
		return (struct must_may) { 0, 0 };
	return (struct must_may) { lower_32_bits(value), upper_32_bits(value) };
}

static void get_control_bits(struct entry_cpu *cpu)
{
	bool true_msrs = cpu->basic & BIT_ULL(55);

	cpu->pin = control_bits(true_msrs ? MSR_IA32_VMX_TRUE_PINBASED_CTLS :
				MSR_IA32_VMX_PINBASED_CTLS);
	cpu->cpu = control_bits(true_msrs ? MSR_IA32_VMX_TRUE_PROCBASED_CTLS :
				MSR_IA32_VMX_PROCBASED_CTLS);
	cpu->exit = control_bits(true_msrs ? MSR_IA32_VMX_TRUE_EXIT_CTLS :
				 MSR_IA32_VMX_EXIT_CTLS);
	cpu->entry = control_bits(true_msrs ? MSR_IA32_VMX_TRUE_ENTRY_CTLS :
				  MSR_IA32_VMX_ENTRY_CTLS);
	if (cpu->cpu.may & CPU_BASED_ACTIVATE_SECONDARY_CONTROLS)
		cpu->cpu2 = control_bits(MSR_IA32_VMX_PROCBASED_CTLS2);
	if (cpu->cpu.may & CPU_BASED_ACTIVATE_TERTIARY_CONTROLS)
		rdmsrl_safe(MSR_IA32_VMX_PROCBASED_CTLS3, &cpu->cpu3.may);
	if (cpu->cpu2.may & (SECONDARY_EXEC_ENABLE_EPT | SECONDARY_EXEC_ENABLE_VPID))
		rdmsrl_safe(MSR_IA32_VMX_EPT_VPID_CAP, &cpu->ept_vpid);
	if (cpu->cpu2.may & SECONDARY_EXEC_ENABLE_VMFUNC)
		rdmsrl_safe(MSR_IA32_VMX_VMFUNC, &cpu->vmfunc);
}

/* IA32_PERF_GLOBAL_CTRL: a bit for each counter of CPUID's architectural performance monitoring. */
static u64 perf_global_bits(void)
{
	u32 eax, ebx, ecx, edx;
	unsigned int general, fixed;

	if (boot_cpu_data.cpuid_level < 0xa)
		return 0;
	cpuid(0xa, &eax, &ebx, &ecx, &edx);
	general = min((eax >> 8) & 0xff, 31u);
	fixed = min(edx & 0x1f, 31u);
	return (BIT_ULL(general) - 1) | (BIT_ULL(fixed) - 1) << 32;
}

static void describe_cpu(struct entry_cpu *cpu)
{
	u32 widths = cpuid_eax(0x80000008);

	rdmsrl_safe(MSR_IA32_VMX_BASIC, &cpu->basic);
	rdmsrl_safe(MSR_IA32_VMX_MISC, &cpu->misc);
	rdmsrl_safe(MSR_IA32_VMX_CR0_FIXED0, &cpu->cr0.must);
	rdmsrl_safe(MSR_IA32_VMX_CR0_FIXED1, &cpu->cr0.may);
	rdmsrl_safe(MSR_IA32_VMX_CR4_FIXED0, &cpu->cr4.must);
	rdmsrl_safe(MSR_IA32_VMX_CR4_FIXED1, &cpu->cr4.may);
	get_control_bits(cpu);

	/* the kernel's own idea of the width leaves out bits of memory encryption: ask the CPU */
	cpu->phys_bits = widths & 0xff;
	cpu->linear_bits = (widths >> 8) & 0xff;
	cpu->sgx = boot_cpu_has(X86_FEATURE_SGX);
	cpu->rtm = boot_cpu_has(X86_FEATURE_RTM);
	cpu->cet = cpu->cr4.may & BIT(23);
	cpu->perf_global_may = perf_global_bits();

	cpu->efer_may = EFER_SCE | EFER_LME | EFER_LMA;
	if (boot_cpu_has(X86_FEATURE_NX))
		cpu->efer_may |= EFER_NX;
	/* what no generation reserves; some reserve more of it */
	cpu->debugctl_may = GENMASK(15, 6) | BIT(1) | BIT(0);
	cpu->pending_dbg_may = BIT(16) | BIT(14) | BIT(12) | GENMASK(3, 0);
	if (boot_cpu_has(X86_FEATURE_BUS_LOCK_DETECT)) {
		cpu->debugctl_may |= BIT(2);
		cpu->pending_dbg_may |= BIT(11);
	}
}

/* ---- the text -------------------------------------------------------------------------------- */

static __printf(2, 3) void say(struct explanation *e, const char *fmt, ...)
{
	va_list args;

	if (!e->text)
		return;
	va_start(args, fmt);
	e->length += vscnprintf(e->text + e->length, TEXT_SIZE - e->length, fmt, args);
	va_end(args);
}

static void say_broken_rule(struct entry_check *check, const struct broken_rule *b)
{
	struct explanation *e = container_of(check, struct explanation, check);
	const char *name = b->names;
	int i, len;

	if (!e->text) {
		vcpu_fail(e->vcpu, "VM entry failed: %s: %s%s%s (%s = 0x%llx, ...)", b->section,
			  b->subject ?: "", b->subject ? ": " : "", b->rule, b->names,
			  b->value[0]);
		return;
	}
	say(e, "\n%s: %s%s%s\n", b->section, b->subject ?: "", b->subject ? ": " : "", b->rule);
	for (i = 0; i < b->nr_values; i++) {
		len = strcspn(name, ",");
		say(e, "%s%.*s = 0x%llx", i ? ", " : "  ", len, name, b->value[i]);
		name += len;
		name += strspn(name, ", ");
	}
}

/* What no rule explains: the values that someone will want to see first. */
static void say_raw_state(struct explanation *e)
{
	struct entry_check *c = &e->check;

	say(e, "\nnone of the checks that software can repeat fails%s",
	    entry_check_is_incomplete(c) ?
	    "; controls are on whose checks aren't among them" : "");
	say(e, "\n  pin-based 0x%x, processor-based 0x%x, secondary 0x%x, exit 0x%x, entry 0x%x",
	    c->pin, c->cpu_based, c->cpu2, c->exit, c->entry);
	say(e, "\n  CR0 = 0x%llx, CR3 = 0x%llx, CR4 = 0x%llx, RIP = 0x%llx, RFLAGS = 0x%llx",
	    c->read(GUEST_CR0), c->read(GUEST_CR3), c->read(GUEST_CR4), c->read(GUEST_RIP),
	    c->read(GUEST_RFLAGS));
	say(e, "\n  event 0x%x, activity 0x%llx, interruptibility 0x%llx, pending debug 0x%llx",
	    c->event, c->read(GUEST_ACTIVITY_STATE), c->read(GUEST_INTERRUPTIBILITY_INFO),
	    c->read(GUEST_PENDING_DBG_EXCEPTIONS));
}

/* ---- VM-instruction errors ------------------------------------------------------------------- */

/* SDM, "VM Instruction Error Numbers". */
static const char *const instruction_error[] = {
	[1] = "VMCALL executed in VMX root operation",
	[2] = "VMCLEAR with invalid physical address",
	[3] = "VMCLEAR with VMXON pointer",
	[4] = "VMLAUNCH with non-clear VMCS",
	[5] = "VMRESUME with non-launched VMCS",
	[6] = "VMRESUME after VMXOFF",
	[7] = "VM entry with invalid control field(s)",
	[8] = "VM entry with invalid host-state field(s)",
	[9] = "VMPTRLD with invalid physical address",
	[10] = "VMPTRLD with VMXON pointer",
	[11] = "VMPTRLD with incorrect VMCS revision identifier",
	[12] = "VMREAD or VMWRITE of an unsupported VMCS component",
	[13] = "VMWRITE to a read-only VMCS component",
	[15] = "VMXON executed in VMX root operation",
	[16] = "VM entry with invalid executive-VMCS pointer",
	[17] = "VM entry with non-launched executive VMCS",
	[18] = "VM entry with an executive-VMCS pointer that isn't the VMXON pointer",
	[19] = "VMCALL with non-clear VMCS",
	[20] = "VMCALL with invalid VM-exit control fields",
	[22] = "VMCALL with incorrect MSEG revision identifier",
	[23] = "VMXOFF under dual-monitor treatment of SMIs and SMM",
	[24] = "VMCALL with invalid SMM-monitor features",
	[25] = "VM entry with invalid VM-execution control fields in executive VMCS",
	[26] = "VM entry with events blocked by MOV SS",
	[28] = "invalid operand to INVEPT or INVVPID",
};

static const char *instruction_error_text(u32 nr)
{
	if (!nr)
		return "no current VMCS, or VMX is off on this CPU";
	if (nr < ARRAY_SIZE(instruction_error) && instruction_error[nr])
		return instruction_error[nr];
	return "a number that the SDM doesn't list";
}

static void explain_vmfail(struct explanation *e, u32 error)
{
	say(e, "VM entry failed: %s (VM-instruction error %u)", instruction_error_text(error),
	    error);
	if (error != VMXERR_ENTRY_INVALID_CONTROL_FIELD &&
	    error != VMXERR_ENTRY_INVALID_HOST_STATE_FIELD)
		return;
	entry_check_controls_and_host(&e->check);
	if (!e->check.nr_broken)
		say_raw_state(e);
}

/* ---- entries that failed while they loaded the guest ----------------------------------------- */

/* SDM, "VM-Entry Failures During or After Loading Guest State": the exit qualification. */
static const char *qualification_text(u64 qualification)
{
	switch (qualification) {
	case ENTRY_FAIL_PDPTE:
		return ", while loading the PDPTEs";
	case ENTRY_FAIL_NMI:
		return ", an NMI to inject while events are blocked by MOV SS";
	case ENTRY_FAIL_VMCS_LINK_PTR:
		return ", the VMCS link pointer";
	default:
		return "";
	}
}

static void explain_guest_state(struct explanation *e, u64 qualification)
{
	say(e, "VM entry failed: invalid guest state%s (exit reason 33, qualification 0x%llx)",
	    qualification_text(qualification), qualification);
	entry_check_guest(&e->check);
	if (!e->check.nr_broken)
		say_raw_state(e);
}

static void explain_failed_exit(struct explanation *e, u32 reason, u64 qualification)
{
	switch (reason) {
	case EXIT_REASON_INVALID_STATE:
		explain_guest_state(e, qualification);
		break;
	case EXIT_REASON_MSR_LOAD_FAIL:
		say(e, "VM entry failed: entry %llu of the MSR-load area couldn't be loaded (exit reason 34)",
		    qualification);
		entry_check_msr_load(&e->check, qualification);
		break;
	case EXIT_REASON_MCE_DURING_VMENTRY:
		say(e, "VM entry failed: a machine check happened during it (exit reason 41)");
		break;
	default:
		say(e, "VM entry failed: exit reason %u, which the SDM doesn't list for failed entries",
		    reason);
		say_raw_state(e);
	}
}

/**
 * vmx_explain_failed_entry() - put into the record why the last VM entry failed
 * @vmx: its VMCS is current and as the entry found it
 *
 * For an exit with bit 31 of the exit reason, else for a VM-entry instruction that failed with
 * @vmx->failed_instruction. May be called with preemption or interrupts off.
 */
void vmx_explain_failed_entry(struct vmx_vcpu *vmx)
{
	struct entry_cpu cpu = {};
	struct explanation e = {
		.vcpu = &vmx->vcpu,
		.text = kmalloc(TEXT_SIZE, GFP_ATOMIC | __GFP_NOWARN),
		.check = {
			.cpu = &cpu,
			.vmcs = __pa(vmx->vmcs),
			.read = read_vmcs_field,
			.read_phys = read_host_memory,
			.broken = say_broken_rule,
		},
	};
	bool failed_exit = vmx->exit_reason & VMX_EXIT_REASONS_FAILED_VMENTRY;
	u32 reason = failed_exit ? (u16)vmx->exit_reason : vmx->failed_instruction;

	describe_cpu(&cpu);
	if (failed_exit)
		explain_failed_exit(&e, reason, vmcs_readl(EXIT_QUALIFICATION));
	else
		explain_vmfail(&e, reason);

	if (e.text)
		vcpu_fail(&vmx->vcpu, "%s", e.text);
	else if (!e.check.nr_broken)
		vcpu_fail(&vmx->vcpu, "VM entry failed: %s %u; no memory to say more",
			  failed_exit ? "exit reason" : "VM-instruction error", reason);
	kfree(e.text);
}
