// SPDX-License-Identifier: GPL-2.0
/*
 * The guest's model-specific registers: what RDMSR and WRMSR find, and GET_MSRS and SET_MSRS.
 *
 * Those that the hardware switches are kept by vmx/, the APIC's by irq/; the rest is here. What isn't
 * known is #GP for the guest and ends the client's list.
 */
#include <linux/kernel.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/apicdef.h>
#include <asm/cpufeature.h>
#include <asm/kvm_para.h>
#include <asm/msr.h>
#include <asm/mtrr.h>

#include "compat.h"
#include "minivmm.h"

#define PAT_AT_RESET	0x0007040600070406ull
#define NR_VAR_MTRR	8
#define MTRR_CAP	(BIT(10) | BIT(8) | NR_VAR_MTRR)	/* WC, fixed ranges */
#define X2APIC_FIRST	0x800
#define X2APIC_LAST	0x8ff

/* What a client saves and restores: GET_MSR_INDEX_LIST. */
static const u32 saved_msrs[] = {
	MSR_IA32_TSC, MSR_IA32_APICBASE, MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_ESP,
	MSR_IA32_SYSENTER_EIP, MSR_EFER, MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SYSCALL_MASK, MSR_FS_BASE,
	MSR_GS_BASE, MSR_KERNEL_GS_BASE, MSR_IA32_CR_PAT, MSR_TSC_AUX, MSR_IA32_TSC_ADJUST,
	MSR_IA32_TSC_DEADLINE, MSR_IA32_MISC_ENABLE, MSR_IA32_MCG_STATUS, MSR_IA32_MCG_CTL,
	MSR_IA32_UCODE_REV, MSR_MTRRdefType, MSR_KVM_WALL_CLOCK, MSR_KVM_SYSTEM_TIME,
	MSR_KVM_WALL_CLOCK_NEW, MSR_KVM_SYSTEM_TIME_NEW, MSR_KVM_STEAL_TIME,
	MSR_IA32_ARCH_CAPABILITIES,
};

/* What says something of the machine, before there is a vCPU: GET_MSR_FEATURE_INDEX_LIST. */
static const u32 feature_msrs[] = { MSR_IA32_UCODE_REV, MSR_IA32_ARCH_CAPABILITIES };

static bool canonical(u64 address)
{
	return (u64)((s64)(address << 16) >> 16) == address;
}

/* ---- memory types: kept for the guest to read; EPT maps RAM write-back all the same -------------- */

static bool valid_pat_or_mtrr_type(u8 type, bool pat)
{
	return type == 0 || type == 1 || (type >= 4 && type <= 6) || (pat && type == 7);
}

static bool valid_types(u64 types, bool pat)
{
	int i;

	for (i = 0; i < 8; i++)
		if (!valid_pat_or_mtrr_type(types >> (8 * i), pat))
			return false;
	return true;
}

static u64 *fixed_mtrr(struct vcpu *vcpu, u32 index)
{
	switch (index) {
	case MSR_MTRRfix64K_00000:
		return &vcpu->msr_mtrr_fixed[0];
	case MSR_MTRRfix16K_80000 ... MSR_MTRRfix16K_A0000:
		return &vcpu->msr_mtrr_fixed[1 + index - MSR_MTRRfix16K_80000];
	case MSR_MTRRfix4K_C0000 ... MSR_MTRRfix4K_F8000:
		return &vcpu->msr_mtrr_fixed[3 + index - MSR_MTRRfix4K_C0000];
	}
	return NULL;
}

static u64 *mtrr(struct vcpu *vcpu, u32 index)
{
	if (index == MSR_MTRRdefType)
		return &vcpu->msr_mtrr_def_type;
	if (index >= MTRRphysBase_MSR(0) && index <= MTRRphysMask_MSR(NR_VAR_MTRR - 1))
		return &vcpu->msr_mtrr_var[index - MTRRphysBase_MSR(0)];
	return fixed_mtrr(vcpu, index);
}

/* SDM "MTRR Feature Identification" and what follows: reserved bits and types. */
static bool mtrr_value_ok(struct vcpu *vcpu, u32 index, u64 data)
{
	u64 beyond = ~GENMASK_ULL(vcpu->maxphyaddr - 1, 0);

	if (index == MSR_MTRRdefType)
		return !(data & ~0xcffull) && valid_pat_or_mtrr_type(data, false);
	if (fixed_mtrr(vcpu, index))
		return valid_types(data, false);
	if (index & 1)		/* mask */
		return !(data & (beyond | 0x7ff));
	return !(data & (beyond | 0xf00)) && valid_pat_or_mtrr_type(data, false);
}

/* ---- EFER, TSC ----------------------------------------------------------------------------------- */

static int set_efer(struct vcpu *vcpu, u64 data, bool by_client)
{
	u64 old;

	if (data & vcpu->efer_reserved)
		return 1;
	if (!by_client && is_paging(vcpu) && ((vcpu->efer ^ data) & EFER_LME))
		return 1;
	/* LMA is the CPU's own: it follows CR0.PG */
	data = (data & ~(u64)EFER_LMA) | (vcpu->efer & EFER_LMA);
	old = vcpu->efer;
	hw_set_efer(vcpu, data);
	if ((old ^ data) & EFER_NX)
		mmu_flush_guest(vcpu);
	return 0;
}

/* SDM "Time-Stamp Counter Adjustment": a change of one moves the other by as much. */
static void guest_sets_tsc(struct vcpu *vcpu, u64 tsc)
{
	u64 delta = tsc - guest_tsc(vcpu);

	vcpu->msr_tsc_adjust += delta;
	tsc_move(vcpu, delta);
}

static void set_tsc_adjust(struct vcpu *vcpu, u64 data, bool by_client)
{
	if (!by_client)
		tsc_move(vcpu, data - vcpu->msr_tsc_adjust);
	vcpu->msr_tsc_adjust = data;
}

/* ---- what the CPU isn't vulnerable to ----------------------------------------------------------------- */

/* Those that need no other MSR of the guest's. */
#define ARCH_CAPS_TO_PASS						\
	(ARCH_CAP_RDCL_NO | ARCH_CAP_RSBA | ARCH_CAP_SSB_NO | ARCH_CAP_MDS_NO |	\
	 ARCH_CAP_TAA_NO | ARCH_CAP_SBDR_SSDP_NO | ARCH_CAP_FBSDP_NO |	\
	 ARCH_CAP_PSDP_NO | ARCH_CAP_FB_CLEAR | ARCH_CAP_RRSBA | ARCH_CAP_PBRSB_NO |	\
	 ARCH_CAP_GDS_NO | ARCH_CAP_RFDS_NO | ARCH_CAP_RFDS_CLEAR | ARCH_CAP_BHI_NO |	\
	 ARCH_CAP_ITS_NO)

/*
 * What the CPU says of itself, and what the kernel knows of CPUs that don't: without it a guest takes
 * a CPU that is older than a bug's name for vulnerable, and pays for it.
 */
static u64 arch_capabilities(void)
{
	u64 caps = 0;

	if (boot_cpu_has(X86_FEATURE_ARCH_CAPABILITIES))
		rdmsrl(MSR_IA32_ARCH_CAPABILITIES, caps);
	caps &= ARCH_CAPS_TO_PASS;
	caps |= compat_immune_to_late_bugs();
	caps |= ARCH_CAP_PSCHANGE_MC_NO;	/* for those who run guests, and ours have no VMX */
	if (!boot_cpu_has_bug(X86_BUG_CPU_MELTDOWN))
		caps |= ARCH_CAP_RDCL_NO;
	if (!boot_cpu_has_bug(X86_BUG_SPEC_STORE_BYPASS))
		caps |= ARCH_CAP_SSB_NO;
	if (!boot_cpu_has_bug(X86_BUG_MDS))
		caps |= ARCH_CAP_MDS_NO;
	/* without TSX a guest knows that it has no such bug */
	if (!boot_cpu_has(X86_FEATURE_RTM))
		caps &= ~(u64)ARCH_CAP_TAA_NO;
	else if (!boot_cpu_has_bug(X86_BUG_TAA))
		caps |= ARCH_CAP_TAA_NO;
	return caps;
}

static int get_feature(u32 index, u64 *data)
{
	switch (index) {
	case MSR_IA32_UCODE_REV:
		return rdmsrl_safe(index, data);
	case MSR_IA32_ARCH_CAPABILITIES:
		*data = arch_capabilities();
		return 0;
	}
	return 1;
}

/* ---- reading ------------------------------------------------------------------------------------- */

static int get_constant_or_kept(struct vcpu *vcpu, u32 index, u64 *data, bool by_client)
{
	u64 *kept = mtrr(vcpu, index);

	if (kept) {
		*data = *kept;
		return 0;
	}
	switch (index) {
	case MSR_MTRRcap:
		*data = MTRR_CAP;
		return 0;
	case MSR_IA32_CR_PAT:
		*data = vcpu->msr_pat;
		return 0;
	case MSR_IA32_MISC_ENABLE:
		*data = vcpu->msr_misc_enable;
		return 0;
	case MSR_IA32_UCODE_REV:
		*data = vcpu->msr_ucode;
		return 0;
	case MSR_IA32_FEAT_CTL:
		*data = vcpu->msr_feat_ctl;
		return 0;
	case MSR_IA32_PLATFORM_ID:
	case MSR_IA32_EBL_CR_POWERON:
	case MSR_IA32_LASTBRANCHFROMIP:
	case MSR_IA32_LASTBRANCHTOIP:
	case MSR_IA32_LASTINTFROMIP:
	case MSR_IA32_LASTINTTOIP:
		*data = 0;
		return 0;
	}
	return mce_msr_get(vcpu, index, data, by_client);
}

/**
 * msr_get() - read an MSR of the guest's
 * @vcpu: the vCPU
 * @index: as in RCX
 * @data: the result
 * @by_client: GET_MSRS: also what the guest's CPUID doesn't show
 *
 * Context: vcpu; interrupts may be off.
 * Return: 0, 1 = #GP.
 */
int msr_get(struct vcpu *vcpu, u32 index, u64 *data, bool by_client)
{
	int r;

	switch (index) {
	case MSR_IA32_APICBASE:
		*data = vcpu->apic_base;
		return 0;
	case MSR_EFER:
		*data = vcpu->efer;
		return 0;
	case MSR_IA32_TSC:
		*data = guest_tsc(vcpu);
		return 0;
	case MSR_IA32_TSC_ADJUST:
		*data = vcpu->msr_tsc_adjust;
		return !by_client && !guest_has(vcpu, X86_FEATURE_TSC_ADJUST);
	case MSR_IA32_ARCH_CAPABILITIES:
		*data = vcpu->msr_arch_capabilities;
		return !by_client && !guest_has(vcpu, X86_FEATURE_ARCH_CAPABILITIES);
	case MSR_TSC_AUX:
		if (!by_client && !guest_has(vcpu, X86_FEATURE_RDTSCP))
			return 1;
		break;
	case MSR_IA32_TSC_DEADLINE:
		if (!by_client && !guest_has(vcpu, X86_FEATURE_TSC_DEADLINE_TIMER))
			return 1;
		fallthrough;
	case X2APIC_FIRST ... X2APIC_LAST:
		*data = 0;
		return vcpu->lapic ? lapic_msr_get(vcpu, index, data) : !by_client;
	}
	r = hw_get_msr(vcpu, index, data);
	if (r == -ENOENT)
		r = clock_msr_get(vcpu, index, data);
	return r == -ENOENT ? get_constant_or_kept(vcpu, index, data, by_client) : r;
}

/* ---- writing ------------------------------------------------------------------------------------- */

static int set_kept(struct vcpu *vcpu, u32 index, u64 data, bool by_client)
{
	u64 *kept = mtrr(vcpu, index);

	if (kept) {
		if (!mtrr_value_ok(vcpu, index, data))
			return 1;
		*kept = data;
		return 0;
	}
	switch (index) {
	case MSR_IA32_CR_PAT:
		if (!valid_types(data, true))
			return 1;
		vcpu->msr_pat = data;
		hw_set_pat(vcpu, data);
		return 0;
	case MSR_IA32_MISC_ENABLE:
		vcpu->msr_misc_enable = data;
		return 0;
	case MSR_IA32_UCODE_REV:
		if (by_client)
			vcpu->msr_ucode = data;
		return 0;	/* a guest writes 0 before it reads the revision */
	case MSR_IA32_UCODE_WRITE:
		return 0;
	case MSR_IA32_ARCH_CAPABILITIES:
		if (!by_client)
			return 1;
		vcpu->msr_arch_capabilities = data;
		return 0;
	case MSR_IA32_FEAT_CTL:		/* nothing to enable; firmware locks it */
		if ((data & ~FEAT_CTL_LOCKED) || (!by_client && vcpu->msr_feat_ctl))
			return 1;
		vcpu->msr_feat_ctl = data;
		return 0;
	case MSR_IA32_DEBUGCTLMSR:
		return data != 0;	/* no branch records are offered */
	}
	return mce_msr_set(vcpu, index, data, by_client);
}

/* MSRs that hold a linear address. */
static bool holds_address(u32 index)
{
	switch (index) {
	case MSR_FS_BASE:
	case MSR_GS_BASE:
	case MSR_KERNEL_GS_BASE:
	case MSR_LSTAR:
	case MSR_CSTAR:
	case MSR_IA32_SYSENTER_ESP:
	case MSR_IA32_SYSENTER_EIP:
		return true;
	}
	return false;
}

/**
 * msr_set() - write an MSR of the guest's
 * @vcpu: the vCPU
 * @index: as in RCX
 * @data: the value
 * @by_client: SET_MSRS
 *
 * Context: vcpu; interrupts may be off.
 * Return: 0, 1 = #GP, with nothing changed.
 */
int msr_set(struct vcpu *vcpu, u32 index, u64 data, bool by_client)
{
	int r;

	switch (index) {
	case MSR_IA32_APICBASE:
		return lapic_set_base(vcpu, data, by_client);
	case MSR_EFER:
		return set_efer(vcpu, data, by_client);
	case MSR_IA32_TSC:
		if (by_client)
			tsc_write(vcpu, data);
		else
			guest_sets_tsc(vcpu, data);
		return 0;
	case MSR_IA32_TSC_ADJUST:
		if (!by_client && !guest_has(vcpu, X86_FEATURE_TSC_ADJUST))
			return 1;
		set_tsc_adjust(vcpu, data, by_client);
		return 0;
	case MSR_TSC_AUX:
		if ((!by_client && !guest_has(vcpu, X86_FEATURE_RDTSCP)) || data >> 32)
			return 1;
		break;
	case MSR_IA32_TSC_DEADLINE:
		if (!by_client && !guest_has(vcpu, X86_FEATURE_TSC_DEADLINE_TIMER))
			return 1;
		fallthrough;
	case X2APIC_FIRST ... X2APIC_LAST:
		return vcpu->lapic ? lapic_msr_set(vcpu, index, data) : !by_client || data;
	}
	if ((holds_address(index) && !canonical(data)) || (index == MSR_SYSCALL_MASK && data >> 32))
		return 1;
	r = hw_set_msr(vcpu, index, data);
	if (r == -ENOENT)
		r = clock_msr_set(vcpu, index, data);
	return r == -ENOENT ? set_kept(vcpu, index, data, by_client) : r;
}

/* ---- the rest -------------------------------------------------------------------------------------- */

/* RESET's values; INIT leaves them alone. */
void msr_reset(struct vcpu *vcpu)
{
	vcpu->msr_pat = PAT_AT_RESET;
	hw_set_pat(vcpu, PAT_AT_RESET);
	vcpu->msr_misc_enable = MSR_IA32_MISC_ENABLE_FAST_STRING;
	vcpu->msr_ucode = 0x100000000ull;
	vcpu->msr_arch_capabilities = arch_capabilities();
	vcpu->msr_mtrr_def_type = 0;
	mce_reset(vcpu);
	tsc_write(vcpu, 0);
}

static int give_list(struct minivmm_msr_list __user *arg, const u32 *list, u32 n)
{
	u32 room;

	if (get_user(room, &arg->nmsrs) || put_user(n, &arg->nmsrs))
		return -EFAULT;
	if (room < n)
		return -E2BIG;
	return copy_to_user(arg->indices, list, n * sizeof(*list)) ? -EFAULT : 0;
}

int msr_index_list(struct minivmm_msr_list __user *arg)
{
	return give_list(arg, saved_msrs, ARRAY_SIZE(saved_msrs));
}

int msr_feature_index_list(struct minivmm_msr_list __user *arg)
{
	return give_list(arg, feature_msrs, ARRAY_SIZE(feature_msrs));
}

static u32 access_all(struct vcpu *vcpu, struct minivmm_msr_entry *entries, u32 n, bool set)
{
	u32 i;
	int r;

	for (i = 0; i < n; i++) {
		struct minivmm_msr_entry *e = &entries[i];

		r = !vcpu ? get_feature(e->index, &e->data) :
		    set ? msr_set(vcpu, e->index, e->data, true) :
			  msr_get(vcpu, e->index, &e->data, true);
		if (r)
			break;
	}
	return i;
}

/**
 * msrs_access() - GET_MSRS, SET_MSRS
 * @vcpu: whose; NULL: what the machine offers (feature_msrs)
 * @arg: the list
 * @set: SET_MSRS
 *
 * Context: vcpu, or without one; may sleep.
 * Return: how many were done, the first that can't be ends the list; -E2BIG, -EFAULT, -ENOMEM.
 */
long msrs_access(struct vcpu *vcpu, struct minivmm_msrs __user *arg, bool set)
{
	struct minivmm_msr_entry *entries;
	struct minivmm_msrs head;
	size_t size;
	long n;

	if (copy_from_user(&head, arg, sizeof(head)))
		return -EFAULT;
	if (head.nmsrs >= MAX_MSRS)
		return -E2BIG;
	size = array_size(head.nmsrs, sizeof(*entries));
	entries = memdup_user(arg->entries, size);
	if (IS_ERR(entries))
		return PTR_ERR(entries);
	n = access_all(vcpu, entries, head.nmsrs, set);
	if (!set && copy_to_user(arg->entries, entries, size))
		n = -EFAULT;
	kfree(entries);
	return n;
}
