// SPDX-License-Identifier: GPL-2.0
/*
 * Machine checks: the banks that a guest finds, and those that a client puts into them.
 *
 * The host's own never get here; a client that hears of one in its guest's memory (SIGBUS) tells the
 * guest by X86_SET_MCE. Without X86_SETUP_MCE a vCPU has banks in which nothing happens, as with KVM.
 */
#include <linux/kernel.h>
#include <linux/nospec.h>
#include <linux/uaccess.h>
#include <asm/mce.h>
#include <asm/msr-index.h>

#include "minivmm.h"

#define CAP_SUPPORTED	(MCG_CTL_P | MCG_SER_P)
#define CAP_NUMBERS	(MCG_BANKCNT_MASK | MCG_EXT_CNT_MASK)
#define ALL_ERRORS	(~0ull)		/* of MCG_CTL or a bank's CTL */

enum { BANK_CTL, BANK_STATUS, BANK_ADDR, BANK_MISC, NR_BANK_MSRS };

static u32 nr_banks(struct vcpu *vcpu)
{
	return vcpu->mce.cap & MCG_BANKCNT_MASK;
}

/* NULL: @index isn't one of this vCPU's. */
static u64 *bank_msr(struct vcpu *vcpu, u32 index)
{
	u32 n = index - MSR_IA32_MC0_CTL, end = nr_banks(vcpu) * NR_BANK_MSRS;

	return n < end ? &vcpu->mce.banks[array_index_nospec(n, end)] : NULL;
}

static bool is_bank_ctl2(struct vcpu *vcpu, u32 index)
{
	return index - MSR_IA32_MC0_CTL2 < nr_banks(vcpu);
}

/**
 * mce_msr_get() - read an MSR of machine checks
 * @vcpu: the vCPU
 * @index: as in RCX
 * @data: the result
 * @by_client: GET_MSRS
 *
 * Context: vcpu.
 * Return: 0, 1 = #GP, also for an MSR that isn't one of these.
 */
int mce_msr_get(struct vcpu *vcpu, u32 index, u64 *data, bool by_client)
{
	u64 *bank = bank_msr(vcpu, index);

	*data = bank ? *bank : 0;
	if (bank)
		return 0;
	switch (index) {
	case MSR_IA32_P5_MC_ADDR:
	case MSR_IA32_P5_MC_TYPE:
		return 0;
	case MSR_IA32_MCG_CAP:
		*data = vcpu->mce.cap;
		return 0;
	case MSR_IA32_MCG_STATUS:
		*data = vcpu->mce.status;
		return 0;
	case MSR_IA32_MCG_CTL:
		*data = vcpu->mce.ctl;
		return !by_client && !(vcpu->mce.cap & MCG_CTL_P);
	}
	return !by_client || !is_bank_ctl2(vcpu, index);	/* no CMCI */
}

static int set_bank(u64 *bank, u32 index, u64 data, bool by_client)
{
	switch (index % NR_BANK_MSRS) {
	case BANK_CTL:
		/* Operating systems know of banks whose bit 10 or 0 had better be clear: KVM's exceptions. */
		if (data && (data | BIT(10) | BIT(0)) != ALL_ERRORS)
			return 1;
		break;
	case BANK_STATUS:
		if (data && !by_client)
			return 1;
		break;
	}
	*bank = data;
	return 0;
}

/**
 * mce_msr_set() - write an MSR of machine checks
 * @vcpu: the vCPU
 * @index: as in RCX
 * @data: the value
 * @by_client: SET_MSRS
 *
 * Context: vcpu.
 * Return: 0, 1 = #GP with nothing changed, also for an MSR that isn't one of these.
 */
int mce_msr_set(struct vcpu *vcpu, u32 index, u64 data, bool by_client)
{
	u64 *bank = bank_msr(vcpu, index);

	if (bank)
		return set_bank(bank, index, data, by_client);
	switch (index) {
	case MSR_IA32_MCG_STATUS:
		vcpu->mce.status = data;
		return 0;
	case MSR_IA32_MCG_CTL:
		if (!(vcpu->mce.cap & MCG_CTL_P) && (data || !by_client))
			return 1;
		if (data && data != ALL_ERRORS)
			return 1;
		vcpu->mce.ctl = data;
		return 0;
	}
	return !by_client || data || !is_bank_ctl2(vcpu, index);
}

void mce_reset(struct vcpu *vcpu)
{
	vcpu->mce.cap = MAX_MCE_BANKS;
}

static int setup(struct vcpu *vcpu, u64 cap)
{
	u32 banks = cap & MCG_BANKCNT_MASK, i;

	if (!banks || banks > MAX_MCE_BANKS || (cap & ~(CAP_SUPPORTED | CAP_NUMBERS)))
		return -EINVAL;
	vcpu->mce.cap = cap;
	if (cap & MCG_CTL_P)
		vcpu->mce.ctl = ALL_ERRORS;
	for (i = 0; i < banks; i++)
		vcpu->mce.banks[i * NR_BANK_MSRS + BANK_CTL] = ALL_ERRORS;
	return 0;
}

/* SDM "Uncorrected No Action": nothing is signalled but by CMCI, which isn't there. */
static bool needs_no_action(const struct minivmm_x86_mce *mce)
{
	return !mce->mcg_status && (mce->status & MCI_STATUS_UC) &&
	       !(mce->status & (MCI_STATUS_PCC | MCI_STATUS_S | MCI_STATUS_AR));
}

static void fill(u64 *bank, const struct minivmm_x86_mce *mce, u64 overflow)
{
	bank[BANK_STATUS] = mce->status | overflow;
	bank[BANK_ADDR] = mce->addr;
	bank[BANK_MISC] = mce->misc;
}

static void set_uncorrected(struct vcpu *vcpu, u64 *bank, const struct minivmm_x86_mce *mce, u64 overflow)
{
	if (((vcpu->mce.cap & MCG_CTL_P) && vcpu->mce.ctl != ALL_ERRORS) || bank[BANK_CTL] != ALL_ERRORS)
		return;			/* the guest doesn't want to hear of it */
	if ((vcpu->mce.status & MCG_STATUS_MCIP) || !(vcpu_cr4(vcpu) & X86_CR4_MCE)) {
		vcpu_note_fault_chain(vcpu, X86_TRAP_MC, X86_TRAP_MC);
		vcpu_request(vcpu, REQ_TRIPLE_FAULT);
		return;
	}
	fill(bank, mce, overflow);
	vcpu->mce.status = mce->mcg_status;
	inject_exception(vcpu, X86_TRAP_MC);
}

/* SDM "Machine-Check Architecture": what is reported where, and what has to give way to what. */
static int set(struct vcpu *vcpu, const struct minivmm_x86_mce *mce)
{
	u64 overflow, *bank;

	if (mce->bank >= nr_banks(vcpu) || !(mce->status & MCI_STATUS_VAL))
		return -EINVAL;
	bank = &vcpu->mce.banks[array_index_nospec(mce->bank, nr_banks(vcpu)) * NR_BANK_MSRS];
	overflow = bank[BANK_STATUS] & MCI_STATUS_VAL ? MCI_STATUS_OVER : 0;
	if (needs_no_action(mce)) {
		fill(bank, mce, 0);
		vcpu->mce.status = 0;
	} else if (mce->status & MCI_STATUS_UC) {
		set_uncorrected(vcpu, bank, mce, overflow);
	} else if (overflow && (bank[BANK_STATUS] & MCI_STATUS_UC)) {
		bank[BANK_STATUS] |= MCI_STATUS_OVER;
	} else {
		fill(bank, mce, overflow);
	}
	return 0;
}

/* X86_GET_MCE_CAP_SUPPORTED: MCG_CAP without its number of banks. */
long mce_cap_supported(void __user *arg)
{
	u64 cap = CAP_SUPPORTED;

	return copy_to_user(arg, &cap, sizeof(cap)) ? -EFAULT : 0;
}

/**
 * mce_ioctl() - X86_SETUP_MCE, X86_SET_MCE
 * @vcpu: the vCPU
 * @ioctl: which
 * @arg: its argument
 *
 * Context: vcpu; may sleep.
 * Return: 0; -EINVAL: a value of MCG_CAP that isn't offered; a bank that isn't there, or a status
 * that isn't valid; -EFAULT.
 */
long mce_ioctl(struct vcpu *vcpu, unsigned int ioctl, void __user *arg)
{
	struct minivmm_x86_mce mce;
	u64 cap;

	if (ioctl == MINIVMM_X86_SETUP_MCE)
		return copy_from_user(&cap, arg, sizeof(cap)) ? -EFAULT : setup(vcpu, cap);
	return copy_from_user(&mce, arg, sizeof(mce)) ? -EFAULT : set(vcpu, &mce);
}
