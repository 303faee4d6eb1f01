// SPDX-License-Identifier: GPL-2.0
/*
 * Control, debug and extended control registers, with the checks that the architecture makes when
 * a guest writes them: 0 = done, 1 = the guest gets #GP(0).
 */
#include <linux/kernel.h>
#include <linux/percpu.h>
#include <asm/cpufeature.h>
#include <asm/debugreg.h>
#include <asm/fpu/xstate.h>
#include <asm/msr-index.h>

#include "minivmm.h"

#define CR0_DEFINED	(X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_ET | X86_CR0_NE | \
			 X86_CR0_WP | X86_CR0_AM | X86_CR0_NW | X86_CR0_CD | X86_CR0_PG)
#define CR0_PAGING	(X86_CR0_PG | X86_CR0_PE | X86_CR0_WP)
#define CR4_PAGING	(X86_CR4_PSE | X86_CR4_PAE | X86_CR4_PGE | X86_CR4_PCIDE | X86_CR4_SMEP | \
			 X86_CR4_SMAP)

/* ---- page-directory-pointer-table entries ------------------------------------------------------ */

/* SDM "PDPTE Registers": loaded whenever PAE paging begins or its CR3 is set. */
int load_pdptrs(struct vcpu *vcpu, u64 cr3)
{
	u64 reserved = GENMASK_ULL(63, 0) & ~GENMASK_ULL(vcpu->maxphyaddr - 1, 12);
	u64 pdptr[4];
	int i, r, idx = srcu_read_lock(&vcpu->vm->srcu);

	r = read_guest(vcpu, cr3 & GENMASK_ULL(31, 5), pdptr, sizeof(pdptr));
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	if (r)
		return 1;
	reserved &= ~(BIT_ULL(0) | BIT_ULL(3) | BIT_ULL(4) | GENMASK_ULL(11, 9));
	for (i = 0; i < 4; i++)
		if ((pdptr[i] & 1) && (pdptr[i] & reserved))
			return 1;
	hw_set_pdptrs(vcpu, pdptr);
	return 0;
}

bool uses_pdptrs(u64 cr0, u64 cr4, u64 efer)
{
	return (cr0 & X86_CR0_PG) && (cr4 & X86_CR4_PAE) && !(efer & EFER_LMA);
}

/* ---- CR0 ------------------------------------------------------------------------------------- */

static void switch_long_mode(struct vcpu *vcpu, u64 cr0)
{
	if (!(vcpu->efer & EFER_LME))
		return;
	if (cr0 & X86_CR0_PG)
		hw_set_efer(vcpu, vcpu->efer | EFER_LMA);
	else
		hw_set_efer(vcpu, vcpu->efer & ~(u64)EFER_LMA);
}

/* What must hold when paging is switched on: SDM "MOV—Move to/from Control Registers". */
static bool may_enable_paging(struct vcpu *vcpu)
{
	bool db, l;

	if (vcpu->efer & EFER_LME) {
		hw_cs_db_l(vcpu, &db, &l);
		return is_pae(vcpu) && !l;
	}
	return !uses_pdptrs(X86_CR0_PG, vcpu_cr4(vcpu), 0) || !load_pdptrs(vcpu, vcpu_cr3(vcpu));
}

int set_cr0(struct vcpu *vcpu, u64 cr0)
{
	u64 old = vcpu_cr0(vcpu);
	bool toggles_paging;

	if (cr0 >> 32)
		return 1;
	cr0 = (cr0 & CR0_DEFINED) | X86_CR0_ET;
	if (((cr0 & X86_CR0_NW) && !(cr0 & X86_CR0_CD)) || ((cr0 & X86_CR0_PG) && !(cr0 & X86_CR0_PE)))
		return 1;
	toggles_paging = (cr0 ^ old) & X86_CR0_PG;
	if (toggles_paging) {
		if ((cr0 & X86_CR0_PG) && !may_enable_paging(vcpu))
			return 1;
		if (!(cr0 & X86_CR0_PG) && (is_64bit_code(vcpu) || (vcpu_cr4(vcpu) & X86_CR4_PCIDE)))
			return 1;
		switch_long_mode(vcpu, cr0);
	} else if (uses_pdptrs(cr0, vcpu_cr4(vcpu), vcpu->efer) &&
		   ((cr0 ^ old) & (X86_CR0_CD | X86_CR0_NW)) && load_pdptrs(vcpu, vcpu_cr3(vcpu))) {
		return 1;
	}
	hw_set_cr0(vcpu, cr0);
	if ((cr0 ^ old) & CR0_PAGING)
		mmu_flush_guest(vcpu);
	return 0;
}

/* ---- CR3, CR4, CR8 --------------------------------------------------------------------------- */

int set_cr3(struct vcpu *vcpu, u64 cr3)
{
	bool keep = false;

	if (is_long_mode(vcpu)) {
		if (vcpu_cr4(vcpu) & X86_CR4_PCIDE) {
			keep = cr3 & X86_CR3_PCID_NOFLUSH;
			cr3 &= ~X86_CR3_PCID_NOFLUSH;
		}
		if (cr3 & ~GENMASK_ULL(vcpu->maxphyaddr - 1, 0))
			return 1;
	} else if (uses_pdptrs(vcpu_cr0(vcpu), vcpu_cr4(vcpu), vcpu->efer) && load_pdptrs(vcpu, cr3)) {
		return 1;
	}
	mmu_set_cr3(vcpu, cr3, keep);
	return 0;
}

int set_cr4(struct vcpu *vcpu, u64 cr4)
{
	u64 old = vcpu_cr4(vcpu);

	if (cr4 & vcpu->cr4_reserved)
		return 1;
	if (is_long_mode(vcpu) && !(cr4 & X86_CR4_PAE))
		return 1;
	if ((cr4 & ~old & X86_CR4_PCIDE) && (!is_long_mode(vcpu) || (vcpu_cr3(vcpu) & 0xfff)))
		return 1;
	if (uses_pdptrs(vcpu_cr0(vcpu), cr4, vcpu->efer) && ((cr4 ^ old) & CR4_PAGING) &&
	    load_pdptrs(vcpu, vcpu_cr3(vcpu)))
		return 1;
	hw_set_cr4(vcpu, cr4);
	if ((cr4 ^ old) & CR4_PAGING)
		mmu_flush_guest(vcpu);
	return 0;
}

int set_cr8(struct vcpu *vcpu, u64 cr8)
{
	if (cr8 & ~0xfull)
		return 1;
	if (vcpu->lapic)
		lapic_set_tpr(vcpu, cr8 << 4);
	else
		vcpu->cr8 = cr8;
	return 0;
}

u64 get_cr8(struct vcpu *vcpu)
{
	return vcpu->lapic ? lapic_tpr(vcpu) >> 4 : vcpu->cr8;
}

/* ---- XCR0, debug registers --------------------------------------------------------------------- */

int set_xcr(struct vcpu *vcpu, u32 index, u64 value)
{
	u64 avx512 = XFEATURE_MASK_OPMASK | XFEATURE_MASK_ZMM_Hi256 | XFEATURE_MASK_Hi16_ZMM;
	u64 bnd = XFEATURE_MASK_BNDREGS | XFEATURE_MASK_BNDCSR;

	if (index || (value & ~guest_xcr0(vcpu)) || !(value & XFEATURE_MASK_FP))
		return 1;
	if ((value & XFEATURE_MASK_YMM) && !(value & XFEATURE_MASK_SSE))
		return 1;
	if (((value & bnd) && (value & bnd) != bnd) || ((value & avx512) &&
	    ((value & avx512) != avx512 || !(value & XFEATURE_MASK_YMM))))
		return 1;
	vcpu->xcr0 = value;
	return 0;
}

int set_dr(struct vcpu *vcpu, int dr, u64 value)
{
	switch (dr) {
	case 0 ... 3:
		vcpu->dr[dr] = value;
		debug_update(vcpu);
		return 0;
	case 4:
	case 6:
		if (value >> 32)
			return 1;
		vcpu->dr6 = (value & 0xe00f) | DR6_RESERVED;
		return 0;
	default:
		if (value >> 32)
			return 1;
		vcpu->dr7 = (value & 0xffff2bff) | 0x400;
		debug_update(vcpu);
		return 0;
	}
}

u64 get_dr(struct vcpu *vcpu, int dr)
{
	switch (dr) {
	case 0 ... 3:
		return vcpu->dr[dr];
	case 4:
	case 6:
		return vcpu->dr6;
	default:
		return vcpu->dr7;
	}
}
