// SPDX-License-Identifier: GPL-2.0
/*
 * Whether the CPU can run the guest as it is: SDM "Checks on Guest Control Registers, Debug
 * Registers, and MSRs" and "Checks on Guest Segment Registers", for what a guest can bring about by
 * itself. Without unrestricted guest there is real mode, and what is left of it in segment registers
 * on the way from there.
 */
#include "vmx/vmx.h"

bool vmx_is_unrestricted(struct vmx_vcpu *vmx)
{
	return vmx->cpu2_controls & SECONDARY_EXEC_UNRESTRICTED_GUEST;
}

static bool is_vm86_segment(const struct minivmm_segment *s)
{
	return s->base == s->selector << 4 && s->limit == 0xffff && !s->unusable && s->type == 3 &&
	       s->s && s->dpl == 3 && !s->avl && !s->l && !s->db && !s->g;
}

/* Of any segment that is usable; system says which kind. */
static bool is_sound(const struct minivmm_segment *s, bool system)
{
	if (s->s == system || (!system && s->base >> 32))
		return false;
	return s->g ? (s->limit & 0xfff) == 0xfff : !(s->limit >> 20);
}

static bool is_data_sound(const struct minivmm_segment *s)
{
	if (s->unusable)
		return true;
	if (!is_sound(s, false) || (s->type & 0xa) == 8)	/* code that can't be read */
		return false;
	return s->type >= 12 || s->dpl >= (s->selector & 3);
}

static bool is_stack_sound(const struct minivmm_segment *ss)
{
	if (ss->dpl != (ss->selector & 3))
		return false;
	return ss->unusable || (is_sound(ss, false) && (ss->type == 3 || ss->type == 7));
}

static bool is_code_sound(struct vcpu *vcpu, const struct minivmm_segment *cs,
			  const struct minivmm_segment *ss)
{
	if (cs->unusable || !is_sound(cs, false) || (cs->selector & 3) != (ss->selector & 3))
		return false;
	if (is_long_mode(vcpu) && cs->l && cs->db)
		return false;
	return cs->type >= 12 ? cs->dpl <= ss->dpl : cs->type >= 8 && cs->dpl == ss->dpl;
}

static bool are_system_segments_sound(const struct minivmm_segment *tr,
				      const struct minivmm_segment *ldt)
{
	if (tr->unusable || !is_sound(tr, true) || tr->selector & 4 || (tr->type != 11 && tr->type != 3))
		return false;
	return ldt->unusable || (is_sound(ldt, true) && ldt->type == 2 && !(ldt->selector & 4));
}

bool hw_can_run(struct vcpu *vcpu)
{
	struct minivmm_segment s[NR_SEGS];
	enum seg seg;

	if (vmx_is_unrestricted(to_vmx(vcpu)))
		return true;
	if (!is_protected(vcpu))	/* without paging it runs on flat tables */
		return false;
	for (seg = SEG_ES; seg < NR_SEGS; seg++)
		hw_get_segment(vcpu, &s[seg], seg);
	if (!are_system_segments_sound(&s[SEG_TR], &s[SEG_LDTR]))
		return false;
	if (vcpu_rflags(vcpu) & X86_EFLAGS_VM) {
		for (seg = SEG_ES; seg <= SEG_GS; seg++)
			if (!is_vm86_segment(&s[seg]))
				return false;
		return true;
	}
	return is_stack_sound(&s[SEG_SS]) && is_code_sound(vcpu, &s[SEG_CS], &s[SEG_SS]) &&
	       is_data_sound(&s[SEG_DS]) && is_data_sound(&s[SEG_ES]) &&
	       is_data_sound(&s[SEG_FS]) && is_data_sound(&s[SEG_GS]);
}
