// SPDX-License-Identifier: GPL-2.0
/*
 * Guest state in the VMCS: registers, segments, control registers. Read when asked for and kept
 * until the next entry; written when it changes.
 */
#include <asm/desc.h>
#include <asm/msr.h>
#include <asm/tlbflush.h>

#include "vmx/vmx.h"

#define AR_UNUSABLE	VMX_AR_UNUSABLE_MASK
#define AR_TYPE		VMX_AR_TYPE_MASK
#define AR_DPL_OF(ar)	VMX_AR_DPL(ar)
#define AR_BUSY_TSS64	VMX_AR_TYPE_BUSY_64_TSS

/* Bits that the guest may have in CR0 at will: nothing that the hypervisor decides by. */
#define CR0_GUEST_OWNED	(X86_CR0_TS | X86_CR0_MP | X86_CR0_EM | X86_CR0_AM | X86_CR0_WP)
#define CR4_GUEST_OWNED	(X86_CR4_PVI | X86_CR4_DE | X86_CR4_PCE | X86_CR4_OSFXSR | \
			 X86_CR4_OSXMMEXCPT | X86_CR4_TSD | X86_CR4_PGE | X86_CR4_FSGSBASE)

u64 vmx_guest_owned_cr0(struct vmx_vcpu *vmx)
{
	return vmx->on_ept ? CR0_GUEST_OWNED : CR0_GUEST_OWNED & ~X86_CR0_WP;
}

u64 vmx_guest_owned_cr4(struct vmx_vcpu *vmx)
{
	u64 owned = CR4_GUEST_OWNED & ~vmx->vcpu.cr4_reserved;

	return vmx->on_ept ? owned : owned & ~X86_CR4_PGE;
}

/* ---- registers ------------------------------------------------------------------------------- */

void hw_cache_reg(struct vcpu *vcpu, int reg)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u64 owned;

	vcpu->reg_avail |= BIT(reg);
	/* nearly every exit asks for these two */
	if (reg == R_RIP) {
		vcpu->r[R_RIP] = vmcs_readl(GUEST_RIP);
		return;
	}
	if (reg == R_RFLAGS) {
		vcpu->rflags = vmcs_readl(GUEST_RFLAGS);
		return;
	}
	switch (reg) {
	case R_RSP:
		vcpu->r[R_RSP] = vmcs_readl(GUEST_RSP);
		break;
	case R_CR0:
		owned = vmx_guest_owned_cr0(vmx);
		vcpu->cr0 = (vcpu->cr0 & ~owned) | (vmcs_readl(GUEST_CR0) & owned);
		break;
	case R_CR3:
		vcpu->cr3 = vmcs_readl(GUEST_CR3);
		break;
	case R_CR4:
		owned = vmx_guest_owned_cr4(vmx);
		vcpu->cr4 = (vcpu->cr4 & ~owned) | (vmcs_readl(GUEST_CR4) & owned);
		break;
	}
}

void vmx_forget_cached(struct vmx_vcpu *vmx)
{
	/* what an exit doesn't change, or what enter.S saves, stays */
	unsigned long lazy = BIT(R_RSP) | BIT(R_RIP) | BIT(R_RFLAGS) | BIT(R_CR0) |
			     BIT(R_CR4);

	if (vmx->on_ept)
		lazy |= BIT(R_CR3);
	vmx->vcpu.reg_avail &= ~lazy;
	vmx->seg_avail = 0;
	vmx->info_avail = 0;
}

/* The state has changed from outside: it may not be one that an entry accepts. */
static void check_runnable(struct vmx_vcpu *vmx)
{
	if (!vmx_is_unrestricted(vmx))
		vcpu_request(&vmx->vcpu, REQ_EMULATE);
}

void hw_set_rflags(struct vcpu *vcpu, u64 rflags)
{
	if (unlikely((rflags ^ vcpu_rflags(vcpu)) & X86_EFLAGS_VM))
		check_runnable(to_vmx(vcpu));
	vcpu->rflags = rflags | X86_EFLAGS_FIXED;
	__set_bit(R_RFLAGS, &vcpu->reg_avail);
	vmcs_writel(GUEST_RFLAGS, vcpu->rflags);
}

void hw_set_dr7(struct vcpu *vcpu, u64 dr7)
{
	vmcs_writel(GUEST_DR7, dr7);
}

/* ---- segments -------------------------------------------------------------------------------- */

enum seg_field { SEG_F_SEL, SEG_F_BASE, SEG_F_LIMIT, SEG_F_AR };

#define SEG_BIT(seg, field)	BIT((seg) * 4 + (field))

/* The VMCS's encodings count segments in steps of 2, in the order of enum seg. */
static __always_inline u64 read_segment_field(enum seg seg, enum seg_field field)
{
	switch (field) {
	case SEG_F_SEL:
		return (u16)__vmcs_read(GUEST_ES_SELECTOR + 2 * seg);
	case SEG_F_BASE:
		return __vmcs_read(GUEST_ES_BASE + 2 * seg);
	case SEG_F_LIMIT:
		return (u32)__vmcs_read(GUEST_ES_LIMIT + 2 * seg);
	default:
		return (u32)__vmcs_read(GUEST_ES_AR_BYTES + 2 * seg);
	}
}

static __always_inline struct vmx_segment *cached(struct vmx_vcpu *vmx, enum seg seg,
						  enum seg_field field)
{
	struct vmx_segment *s = &vmx->seg[seg];
	u64 value;

	BUILD_BUG_ON(GUEST_TR_BASE != GUEST_ES_BASE + 2 * SEG_TR ||
		     GUEST_LDTR_AR_BYTES != GUEST_ES_AR_BYTES + 2 * SEG_LDTR);
	if (vmx->seg_avail & SEG_BIT(seg, field))
		return s;
	vmx->seg_avail |= SEG_BIT(seg, field);
	value = read_segment_field(seg, field);
	switch (field) {
	case SEG_F_SEL:
		s->selector = value;
		break;
	case SEG_F_BASE:
		s->base = value;
		break;
	case SEG_F_LIMIT:
		s->limit = value;
		break;
	case SEG_F_AR:
		s->ar = value;
		break;
	}
	return s;
}

u64 hw_segment_base(struct vcpu *vcpu, enum seg seg)
{
	return cached(to_vmx(vcpu), seg, SEG_F_BASE)->base;
}

int hw_cpl(struct vcpu *vcpu)
{
	if (!is_protected(vcpu))
		return 0;
	return AR_DPL_OF(cached(to_vmx(vcpu), SEG_SS, SEG_F_AR)->ar);
}

void hw_cs_db_l(struct vcpu *vcpu, bool *db, bool *l)
{
	u32 ar = cached(to_vmx(vcpu), SEG_CS, SEG_F_AR)->ar;

	*db = ar & VMX_AR_DB_MASK;
	*l = ar & VMX_AR_L_MASK;
}

void hw_cache_code_state(struct vcpu *vcpu)
{
	u32 cs = cached(to_vmx(vcpu), SEG_CS, SEG_F_AR)->ar;
	u32 ss = cached(to_vmx(vcpu), SEG_SS, SEG_F_AR)->ar;
	unsigned long missing = ~vcpu->reg_avail;

	if (missing & BIT(R_RSP))
		vcpu->r[R_RSP] = vmcs_readl(GUEST_RSP);
	if (missing & BIT(R_RIP))
		vcpu->r[R_RIP] = vmcs_readl(GUEST_RIP);
	if (missing & BIT(R_RFLAGS))
		vcpu->rflags = vmcs_readl(GUEST_RFLAGS);
	if (missing & BIT(R_CR3))
		vcpu->cr3 = vmcs_readl(GUEST_CR3);
	vcpu->reg_avail |= BIT(R_RSP) | BIT(R_RIP) | BIT(R_RFLAGS) | BIT(R_CR3);
	vcpu->code.db = cs & VMX_AR_DB_MASK;
	vcpu->code.l = cs & VMX_AR_L_MASK;
	vcpu->code.cpl = AR_DPL_OF(ss);
}

void hw_get_segment(struct vcpu *vcpu, struct minivmm_segment *s, enum seg seg)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u32 ar = cached(vmx, seg, SEG_F_AR)->ar;

	s->selector = cached(vmx, seg, SEG_F_SEL)->selector;
	s->base = cached(vmx, seg, SEG_F_BASE)->base;
	s->limit = cached(vmx, seg, SEG_F_LIMIT)->limit;
	s->unusable = !!(ar & AR_UNUSABLE);
	s->type = ar & AR_TYPE;
	s->s = (ar >> 4) & 1;
	s->dpl = AR_DPL_OF(ar);
	/* clients that don't keep "unusable" keep this: a usable segment is always present */
	s->present = !s->unusable;
	s->avl = (ar >> 12) & 1;
	s->l = (ar >> 13) & 1;
	s->db = (ar >> 14) & 1;
	s->g = (ar >> 15) & 1;
	s->padding = 0;
}

static u32 segment_ar(const struct minivmm_segment *s)
{
	u32 ar = (s->type & 15) | (s->s & 1) << 4 | (s->dpl & 3) << 5 | (s->present & 1) << 7 |
		 (s->avl & 1) << 12 | (s->l & 1) << 13 | (s->db & 1) << 14 | (s->g & 1) << 15;

	return s->unusable || !s->present ? ar | AR_UNUSABLE : ar;
}

void hw_set_segment(struct vcpu *vcpu, const struct minivmm_segment *s, enum seg seg)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u32 ar = segment_ar(s);

	/* An entry wants the accessed bit set. Clients leave it out for real mode, as KVM lets them. */
	if (seg != SEG_LDTR && !(ar & AR_UNUSABLE))
		ar |= 1;
	vmx->seg[seg] = (struct vmx_segment){
		.selector = s->selector, .base = s->base, .limit = s->limit, .ar = ar,
	};
	vmx->seg_avail |= 0xful << (seg * 4);
	check_runnable(vmx);
	__vmcs_write(GUEST_ES_SELECTOR + 2 * seg, s->selector);
	__vmcs_write(GUEST_ES_BASE + 2 * seg, s->base);
	__vmcs_write(GUEST_ES_LIMIT + 2 * seg, s->limit);
	__vmcs_write(GUEST_ES_AR_BYTES + 2 * seg, ar);
}

void hw_get_dt(struct vcpu *vcpu, struct minivmm_dtable *idt, struct minivmm_dtable *gdt)
{
	idt->base = vmcs_readl(GUEST_IDTR_BASE);
	idt->limit = vmcs_read32(GUEST_IDTR_LIMIT);
	gdt->base = vmcs_readl(GUEST_GDTR_BASE);
	gdt->limit = vmcs_read32(GUEST_GDTR_LIMIT);
}

void hw_set_dt(struct vcpu *vcpu, const struct minivmm_dtable *idt, const struct minivmm_dtable *gdt)
{
	vmcs_writel(GUEST_IDTR_BASE, idt->base);
	vmcs_write32(GUEST_IDTR_LIMIT, idt->limit);
	vmcs_writel(GUEST_GDTR_BASE, gdt->base);
	vmcs_write32(GUEST_GDTR_LIMIT, gdt->limit);
}

/* ---- control registers ----------------------------------------------------------------------- */

/* Caching is the host's affair: CD in the guest would make it slow, not different. */
static u64 hardware_cr0(struct vmx_vcpu *vmx)
{
	u64 cr0 = vmx->vcpu.cr0 & ~(X86_CR0_CD | X86_CR0_NW);

	if (vmx_is_unrestricted(vmx))
		return cr0 | (vmx_caps.cr0_must & ~(X86_CR0_PE | X86_CR0_PG));
	/* shadow tables say what a supervisor may write, whatever the guest's WP is */
	return cr0 | vmx_caps.cr0_must | (vmx->on_ept ? 0 : X86_CR0_PG | X86_CR0_WP);
}

static u64 hardware_cr4(struct vmx_vcpu *vmx)
{
	struct vcpu *vcpu = &vmx->vcpu;
	u64 cr4 = vcpu->cr4;

	if (!vmx->on_ept) {
		/* our tables are PAE's or 4-level ones, and have one tag for all address spaces */
		cr4 = (cr4 | X86_CR4_PAE) & ~(u64)X86_CR4_PCIDE;
		if (!is_paging(vcpu))	/* flat: all pages are the user's */
			cr4 &= ~(u64)(X86_CR4_SMEP | X86_CR4_SMAP);
	}
	/* machine checks of the host's must get through while the guest runs */
	return (cr4 & ~(u64)X86_CR4_MCE) | (cr4_read_shadow() & X86_CR4_MCE) | vmx_caps.cr4_must;
}

static void write_hardware_efer(struct vmx_vcpu *vmx)
{
	u64 efer = vmx->vcpu.efer;

	/* with CR0.PG on, LME without LMA is a state that an entry refuses */
	if (!vmx_is_unrestricted(vmx) && !(efer & EFER_LMA))
		efer &= ~(u64)EFER_LME;
	/* shadow tables use NX for what is theirs; the guest's walker knows what the guest has */
	if (!vmx->on_ept && boot_cpu_has(X86_FEATURE_NX))
		efer |= EFER_NX;
	if (vmx_has_efer_controls())
		vmcs_write64(GUEST_IA32_EFER, efer);
	else
		vmx->msr_area[0].value = efer;
}

/* In long mode an entry wants TR to be a busy 64-bit TSS; what an LTR left there may be 16-bit. */
static void make_tr_64bit(struct vmx_vcpu *vmx)
{
	u32 ar = cached(vmx, SEG_TR, SEG_F_AR)->ar;

	if ((ar & AR_TYPE) == AR_BUSY_TSS64)
		return;
	vmx->seg[SEG_TR].ar = (ar & ~AR_TYPE) | AR_BUSY_TSS64;
	vmcs_write32(GUEST_TR_AR_BYTES, vmx->seg[SEG_TR].ar);
}

void hw_set_cr0(struct vcpu *vcpu, u64 cr0)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	vcpu->cr0 = cr0;
	__set_bit(R_CR0, &vcpu->reg_avail);
	vmcs_writel(CR0_READ_SHADOW, cr0);
	/* PE forced on would run the guest in a mode that it isn't in */
	check_runnable(vmx);
	vmcs_writel(GUEST_CR0, hardware_cr0(vmx));
	if (!vmx->on_ept) {	/* SMEP and SMAP are for tables of the guest's */
		vcpu_cr4(vcpu);
		vmcs_writel(GUEST_CR4, hardware_cr4(vmx));
	}
	if (vcpu->efer & EFER_LMA)
		make_tr_64bit(vmx);
}

void hw_set_cr3(struct vcpu *vcpu, u64 cr3)
{
	vcpu->cr3 = cr3;
	__set_bit(R_CR3, &vcpu->reg_avail);
	if (to_vmx(vcpu)->on_ept)
		vmcs_writel(GUEST_CR3, cr3);
}

void hw_set_cr4(struct vcpu *vcpu, u64 cr4)
{
	vcpu->cr4 = cr4;
	__set_bit(R_CR4, &vcpu->reg_avail);
	vmcs_writel(CR4_READ_SHADOW, cr4);
	vmcs_writel(GUEST_CR4, hardware_cr4(to_vmx(vcpu)));
}

void hw_set_efer(struct vcpu *vcpu, u64 efer)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u32 entry = vmx->entry_controls & ~VM_ENTRY_IA32E_MODE;

	vcpu->efer = efer;
	if (efer & EFER_LMA)
		entry |= VM_ENTRY_IA32E_MODE;
	if (entry != vmx->entry_controls) {
		vmx->entry_controls = entry;
		vmcs_write32(VM_ENTRY_CONTROLS, entry);
	}
	write_hardware_efer(vmx);
	/* without SCE, SYSCALL is undefined and its MSRs are out of the guest's reach */
	if ((efer & EFER_SCE) && !(vmx->user_msr_used & BIT(USER_MSR_STAR))) {
		vmx->user_msr_used |= BIT(USER_MSR_STAR) | BIT(USER_MSR_LSTAR) | BIT(USER_MSR_FMASK);
		vmx_user_msrs_changed(vmx);
	}
	if (efer & EFER_LMA)
		make_tr_64bit(vmx);
}

void hw_set_pdptrs(struct vcpu *vcpu, const u64 pdptr[4])
{
	memcpy(vcpu->pdptr, pdptr, sizeof(vcpu->pdptr));
	if (vcpu->vm->mmu_mode != MMU_EPT)
		return;
	vmcs_write64(GUEST_PDPTR0, pdptr[0]);
	vmcs_write64(GUEST_PDPTR1, pdptr[1]);
	vmcs_write64(GUEST_PDPTR2, pdptr[2]);
	vmcs_write64(GUEST_PDPTR3, pdptr[3]);
}

/* On EPT the guest loads them without an exit. */
u64 hw_get_pdptr(struct vcpu *vcpu, int i)
{
	if (!to_vmx(vcpu)->on_ept)
		return vcpu->pdptr[i];
	switch (i) {
	case 0:
		return vmcs_read64(GUEST_PDPTR0);
	case 1:
		return vmcs_read64(GUEST_PDPTR1);
	case 2:
		return vmcs_read64(GUEST_PDPTR2);
	default:
		return vmcs_read64(GUEST_PDPTR3);
	}
}

void vmx_write_masks(struct vmx_vcpu *vmx)
{
	vmcs_writel(CR0_GUEST_HOST_MASK, ~vmx_guest_owned_cr0(vmx));
	vmcs_writel(CR4_GUEST_HOST_MASK, ~vmx_guest_owned_cr4(vmx));
}

/*
 * The guest's state in the VMCS for a vCPU that goes on to EPT or off it. What was its own to
 * change without an exit is read first, by the old masks.
 */
void vmx_move_control_state(struct vmx_vcpu *vmx, bool on_ept)
{
	struct vcpu *vcpu = &vmx->vcpu;

	vcpu_cr0(vcpu);
	vcpu_cr3(vcpu);
	vcpu_cr4(vcpu);
	vmx->on_ept = on_ept;
	vmx_write_masks(vmx);
	vmcs_writel(CR0_READ_SHADOW, vcpu->cr0);
	vmcs_writel(CR4_READ_SHADOW, vcpu->cr4);
	vmcs_writel(GUEST_CR0, hardware_cr0(vmx));
	vmcs_writel(GUEST_CR4, hardware_cr4(vmx));
	if (on_ept)
		vmcs_writel(GUEST_CR3, vcpu->cr3);
	write_hardware_efer(vmx);
	hw_set_pat(vcpu, vcpu->msr_pat);
}

void vmx_set_cpu_controls(struct vmx_vcpu *vmx, u32 set, u32 clear)
{
	u32 controls = (vmx->cpu_controls | set) & ~clear;

	if (controls == vmx->cpu_controls)
		return;
	vmx->cpu_controls = controls;
	vmcs_write32(CPU_BASED_VM_EXEC_CONTROL, controls);
}

/* ---- interruptibility ------------------------------------------------------------------------ */

u32 hw_interrupt_shadow(struct vcpu *vcpu)
{
	u32 state = vmcs_read32(GUEST_INTERRUPTIBILITY_INFO);

	return (state & GUEST_INTR_STATE_STI ? MINIVMM_X86_SHADOW_INT_STI : 0) |
	       (state & GUEST_INTR_STATE_MOV_SS ? MINIVMM_X86_SHADOW_INT_MOV_SS : 0);
}

/* An entry wants one of them at most. */
void hw_set_interrupt_shadow(struct vcpu *vcpu, u32 shadow)
{
	u32 state = vmcs_read32(GUEST_INTERRUPTIBILITY_INFO);

	state &= ~(GUEST_INTR_STATE_STI | GUEST_INTR_STATE_MOV_SS);
	if (shadow & MINIVMM_X86_SHADOW_INT_MOV_SS)
		state |= GUEST_INTR_STATE_MOV_SS;
	else if (shadow & MINIVMM_X86_SHADOW_INT_STI)
		state |= GUEST_INTR_STATE_STI;
	vmcs_write32(GUEST_INTERRUPTIBILITY_INFO, state);
}

void hw_clear_interrupt_shadow(struct vcpu *vcpu)
{
	u32 state = vmcs_read32(GUEST_INTERRUPTIBILITY_INFO);

	if (state & (GUEST_INTR_STATE_STI | GUEST_INTR_STATE_MOV_SS))
		vmcs_write32(GUEST_INTERRUPTIBILITY_INFO,
			     state & ~(GUEST_INTR_STATE_STI | GUEST_INTR_STATE_MOV_SS));
}

bool hw_interrupt_allowed(struct vcpu *vcpu)
{
	return (vcpu_rflags(vcpu) & X86_EFLAGS_IF) && !hw_interrupt_shadow(vcpu);
}

/* Without virtual NMIs nothing tells when the guest's IRET unmasks: the mask is kept by us. */
bool hw_nmi_masked(struct vcpu *vcpu)
{
	if (!(vmx_caps.pin & PIN_BASED_VIRTUAL_NMIS))
		return vcpu->nmi.masked;
	return vmcs_read32(GUEST_INTERRUPTIBILITY_INFO) & GUEST_INTR_STATE_NMI;
}

void hw_set_nmi_masked(struct vcpu *vcpu, bool masked)
{
	u32 state;

	vcpu->nmi.masked = masked;
	if (!(vmx_caps.pin & PIN_BASED_VIRTUAL_NMIS))
		return;
	state = vmcs_read32(GUEST_INTERRUPTIBILITY_INFO) & ~GUEST_INTR_STATE_NMI;
	vmcs_write32(GUEST_INTERRUPTIBILITY_INFO, masked ? state | GUEST_INTR_STATE_NMI : state);
}

void hw_set_tsc_offset(struct vcpu *vcpu, u64 offset)
{
	vcpu->tsc_offset = offset;
	vmcs_write64(TSC_OFFSET, offset);
}

bool hw_has_tsc_scaling(void)
{
	return vmx_caps.cpu2 & SECONDARY_EXEC_TSC_SCALING;
}

void hw_set_tsc_ratio(struct vcpu *vcpu, u64 ratio)
{
	vcpu->tsc_ratio = ratio;
	if (hw_has_tsc_scaling())
		vmcs_write64(TSC_MULTIPLIER, ratio ?: 1ULL << 48);
}
