// SPDX-License-Identifier: GPL-2.0
/* A vCPU's state as its client reads and writes it. All in vcpu context: the mutex held, loaded. */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/fpu/api.h>
#include <asm/msr-index.h>

#include "compat.h"
#include "minivmm.h"

/* ---- general registers ------------------------------------------------------------------------- */

static void get_regs(struct vcpu *vcpu, struct minivmm_regs *regs)
{
	u64 *r = vcpu->r;

	*regs = (struct minivmm_regs){
		.rax = r[R_RAX], .rbx = r[R_RBX], .rcx = r[R_RCX], .rdx = r[R_RDX],
		.rsi = r[R_RSI], .rdi = r[R_RDI], .rbp = r[R_RBP],
		.r8 = r[R_R8], .r9 = r[R_R9], .r10 = r[R_R10], .r11 = r[R_R11],
		.r12 = r[R_R12], .r13 = r[R_R13], .r14 = r[R_R14], .r15 = r[R_R15],
		.rsp = reg_read(vcpu, R_RSP), .rip = reg_read(vcpu, R_RIP),
		.rflags = debug_hide_step(vcpu, vcpu_rflags(vcpu)),
	};
}

static void set_regs(struct vcpu *vcpu, const struct minivmm_regs *regs)
{
	u64 *r = vcpu->r;

	r[R_RAX] = regs->rax;
	r[R_RBX] = regs->rbx;
	r[R_RCX] = regs->rcx;
	r[R_RDX] = regs->rdx;
	r[R_RSI] = regs->rsi;
	r[R_RDI] = regs->rdi;
	r[R_RBP] = regs->rbp;
	r[R_R8] = regs->r8;
	r[R_R9] = regs->r9;
	r[R_R10] = regs->r10;
	r[R_R11] = regs->r11;
	r[R_R12] = regs->r12;
	r[R_R13] = regs->r13;
	r[R_R14] = regs->r14;
	r[R_R15] = regs->r15;
	reg_write(vcpu, R_RSP, regs->rsp);
	reg_write(vcpu, R_RIP, regs->rip);
	hw_set_rflags(vcpu, regs->rflags);
	debug_arm_step(vcpu);
	/* as under KVM: an exception that was queued for the old state is void */
	vcpu->exception.pending = false;
	vcpu_request(vcpu, REQ_EVENT);
}

/* ---- special registers ------------------------------------------------------------------------- */

/* What both structures begin with. */
static void get_common_sregs(struct vcpu *vcpu, struct minivmm_sregs *s)
{
	hw_get_segment(vcpu, &s->cs, SEG_CS);
	hw_get_segment(vcpu, &s->ds, SEG_DS);
	hw_get_segment(vcpu, &s->es, SEG_ES);
	hw_get_segment(vcpu, &s->fs, SEG_FS);
	hw_get_segment(vcpu, &s->gs, SEG_GS);
	hw_get_segment(vcpu, &s->ss, SEG_SS);
	hw_get_segment(vcpu, &s->tr, SEG_TR);
	hw_get_segment(vcpu, &s->ldt, SEG_LDTR);
	hw_get_dt(vcpu, &s->idt, &s->gdt);
	s->cr0 = vcpu_cr0(vcpu);
	s->cr2 = vcpu->cr2;
	s->cr3 = vcpu_cr3(vcpu);
	s->cr4 = vcpu_cr4(vcpu);
	s->cr8 = get_cr8(vcpu);
	s->efer = vcpu->efer;
	s->apic_base = vcpu->apic_base;
}

static void get_sregs(struct vcpu *vcpu, struct minivmm_sregs *s)
{
	memset(s, 0, sizeof(*s));
	get_common_sregs(vcpu, s);
	if (vcpu->interrupt.injected && !vcpu->interrupt.soft)
		set_bit(vcpu->interrupt.vector, (unsigned long *)s->interrupt_bitmap);
	else if (vcpu->pending_irq >= 0 && !vcpu->lapic)
		set_bit(vcpu->pending_irq, (unsigned long *)s->interrupt_bitmap);
}

/* States that no CPU can be in: SDM "Checks on Guest Control Registers" where KVM makes them, too. */
static bool sregs_valid(struct vcpu *vcpu, const struct minivmm_sregs *s)
{
	if ((s->efer & EFER_LME) && (s->cr0 & X86_CR0_PG)) {
		if (!(s->cr4 & X86_CR4_PAE) || !(s->efer & EFER_LMA))
			return false;
		if (s->cr3 & ~GENMASK_ULL(vcpu->maxphyaddr - 1, 0))
			return false;
	} else if ((s->efer & EFER_LMA) || s->cs.l) {
		return false;
	}
	if (s->cr0 >> 32 || ((s->cr0 & X86_CR0_PG) && !(s->cr0 & X86_CR0_PE)) ||
	    ((s->cr0 & X86_CR0_NW) && !(s->cr0 & X86_CR0_CD)))
		return false;
	return !(s->cr4 & vcpu->cr4_reserved) && !(s->efer & vcpu->efer_reserved);
}

static bool at_reset_vector(struct vcpu *vcpu, const struct minivmm_sregs *s)
{
	return (vcpu->apic_base & MSR_IA32_APICBASE_BSP) && reg_read(vcpu, R_RIP) == 0xfff0 &&
	       s->cs.selector == 0xf000 && s->cs.base == 0xffff0000 && !(s->cr0 & X86_CR0_PE);
}

static void set_control_registers(struct vcpu *vcpu, const struct minivmm_sregs *s)
{
	vcpu->cr2 = s->cr2;
	hw_set_cr3(vcpu, s->cr3);
	set_cr8(vcpu, s->cr8 & 15);
	hw_set_efer(vcpu, s->efer);
	hw_set_cr0(vcpu, s->cr0);
	hw_set_cr4(vcpu, s->cr4);
}

/* What the bitmap of GET_SREGS reported: being delivered, or waiting for the guest to take it. */
static void restore_interrupt(struct vcpu *vcpu, int vector)
{
	vcpu->interrupt.injected = false;
	if (!vcpu->lapic) {
		vcpu->pending_irq = vector;
		return;
	}
	vcpu->interrupt.injected = true;
	vcpu->interrupt.soft = false;
	vcpu->interrupt.vector = vector;
}

/* What both begin with; pdptrs: NULL: those of PAE paging are read from memory. */
static int set_common_sregs(struct vcpu *vcpu, const struct minivmm_sregs *s, const u64 *pdptrs)
{
	if (!sregs_valid(vcpu, s))
		return -EINVAL;
	if (lapic_set_base(vcpu, s->apic_base, true))
		return -EINVAL;
	hw_set_dt(vcpu, &s->idt, &s->gdt);
	set_control_registers(vcpu, s);
	if (pdptrs)
		hw_set_pdptrs(vcpu, pdptrs);
	else if (uses_pdptrs(s->cr0, s->cr4, s->efer))
		load_pdptrs(vcpu, s->cr3);
	hw_set_segment(vcpu, &s->cs, SEG_CS);
	hw_set_segment(vcpu, &s->ds, SEG_DS);
	hw_set_segment(vcpu, &s->es, SEG_ES);
	hw_set_segment(vcpu, &s->fs, SEG_FS);
	hw_set_segment(vcpu, &s->gs, SEG_GS);
	hw_set_segment(vcpu, &s->ss, SEG_SS);
	hw_set_segment(vcpu, &s->tr, SEG_TR);
	hw_set_segment(vcpu, &s->ldt, SEG_LDTR);

	if (at_reset_vector(vcpu, s))
		vcpu->mp_state = MP_RUNNABLE;
	mmu_flush_guest(vcpu);
	vcpu_request(vcpu, REQ_EVENT);
	return 0;
}

static int set_sregs(struct vcpu *vcpu, const struct minivmm_sregs *s)
{
	int irq, r = set_common_sregs(vcpu, s, NULL);

	if (r)
		return r;
	irq = find_first_bit((const unsigned long *)s->interrupt_bitmap, MINIVMM_NR_INTERRUPTS);
	if (irq < MINIVMM_NR_INTERRUPTS)
		restore_interrupt(vcpu, irq);
	return 0;
}

static const struct minivmm_sregs *common(const struct minivmm_sregs2 *s)
{
	BUILD_BUG_ON(offsetofend(struct minivmm_sregs, apic_base) !=
		     offsetofend(struct minivmm_sregs2, apic_base));
	return (const struct minivmm_sregs *)s;
}

static void get_sregs2(struct vcpu *vcpu, struct minivmm_sregs2 *s)
{
	int i;

	memset(s, 0, sizeof(*s));
	get_common_sregs(vcpu, (struct minivmm_sregs *)s);
	if (!uses_pdptrs(s->cr0, s->cr4, s->efer))
		return;
	for (i = 0; i < ARRAY_SIZE(s->pdptrs); i++)
		s->pdptrs[i] = hw_get_pdptr(vcpu, i);
	s->flags = MINIVMM_SREGS2_FLAGS_PDPTRS_VALID;
}

static int set_sregs2(struct vcpu *vcpu, const struct minivmm_sregs2 *s)
{
	bool pdptrs = s->flags & MINIVMM_SREGS2_FLAGS_PDPTRS_VALID;

	if (s->flags & ~MINIVMM_SREGS2_FLAGS_PDPTRS_VALID)
		return -EINVAL;
	if (pdptrs && !uses_pdptrs(s->cr0, s->cr4, s->efer))
		return -EINVAL;
	return set_common_sregs(vcpu, common(s), pdptrs ? s->pdptrs : NULL);
}

/* ---- register sets in the run page -------------------------------------------------------------- */

/*
 * The client may write the page meanwhile: what is checked is a copy. As under KVM, a set that
 * can't be taken stays marked, and those before it were taken.
 */
int vcpu_take_sync_regs(struct vcpu *vcpu)
{
	struct minivmm_run *run = vcpu->run;
	u64 dirty = READ_ONCE(run->dirty_regs);
	union {
		struct minivmm_regs regs;
		struct minivmm_sregs sregs;
		struct minivmm_vcpu_events events;
	} copy;

	if ((READ_ONCE(run->valid_regs) | dirty) & ~MINIVMM_SYNC_X86_VALID_FIELDS)
		return -EINVAL;
	vcpu->at_return |= RETURN_SYNC_REGS;
	if (dirty)
		emulator_forget(vcpu);
	if (dirty & MINIVMM_SYNC_X86_REGS) {
		copy.regs = run->s.regs.regs;
		set_regs(vcpu, &copy.regs);
		run->dirty_regs = dirty &= ~MINIVMM_SYNC_X86_REGS;
	}
	if (dirty & MINIVMM_SYNC_X86_SREGS) {
		copy.sregs = run->s.regs.sregs;
		if (set_sregs(vcpu, &copy.sregs))
			return -EINVAL;
		run->dirty_regs = dirty &= ~MINIVMM_SYNC_X86_SREGS;
	}
	if (dirty & MINIVMM_SYNC_X86_EVENTS) {
		copy.events = run->s.regs.events;
		if (events_set(vcpu, &copy.events))
			return -EINVAL;
		run->dirty_regs = dirty & ~MINIVMM_SYNC_X86_EVENTS;
	}
	return 0;
}

void vcpu_give_sync_regs(struct vcpu *vcpu)
{
	struct minivmm_sync_regs *regs = &vcpu->run->s.regs;
	u64 valid = READ_ONCE(vcpu->run->valid_regs);

	BUILD_BUG_ON(sizeof(*regs) > MINIVMM_SYNC_REGS_SIZE_BYTES);
	if (valid & MINIVMM_SYNC_X86_REGS)
		get_regs(vcpu, &regs->regs);
	if (valid & MINIVMM_SYNC_X86_SREGS)
		get_sregs(vcpu, &regs->sregs);
	if (valid & MINIVMM_SYNC_X86_EVENTS)
		events_get(vcpu, &regs->events);
}

/* ---- FPU --------------------------------------------------------------------------------------- */

/* Through the kernel's copy, which knows what a state component left at its reset value looks like. */
static int get_fpu(struct vcpu *vcpu, struct minivmm_fpu *fpu)
{
	struct xregs_state *x = kzalloc(PAGE_SIZE, GFP_KERNEL);

	if (!x)
		return -ENOMEM;
	compat_copy_guest_fpu(&vcpu->fpu, x, PAGE_SIZE, 0);
	memset(fpu, 0, sizeof(*fpu));
	memcpy(fpu->fpr, x->i387.st_space, sizeof(fpu->fpr));
	memcpy(fpu->xmm, x->i387.xmm_space, sizeof(fpu->xmm));
	fpu->fcw = x->i387.cwd;
	fpu->fsw = x->i387.swd;
	fpu->ftwx = x->i387.twd;
	fpu->last_opcode = x->i387.fop;
	fpu->last_ip = x->i387.rip;
	fpu->last_dp = x->i387.rdp;
	kfree(x);
	return 0;
}

/* MXCSR is left alone, as KVM does: clients that build this structure from nothing have 0 in it. */
static void set_fpu(struct vcpu *vcpu, const struct minivmm_fpu *fpu)
{
	struct fxregs_state *fx = &vcpu->fpu.fpstate->regs.fxsave;

	memcpy(fx->st_space, fpu->fpr, sizeof(fpu->fpr));
	memcpy(fx->xmm_space, fpu->xmm, sizeof(fpu->xmm));
	fx->cwd = fpu->fcw;
	fx->swd = fpu->fsw;
	fx->twd = fpu->ftwx;
	fx->fop = fpu->last_opcode;
	fx->rip = fpu->last_ip;
	fx->rdp = fpu->last_dp;
	if (boot_cpu_has(X86_FEATURE_XSAVE))
		vcpu->fpu.fpstate->regs.xsave.header.xfeatures |= XFEATURE_MASK_FPSSE;
}

/* GET_XSAVE, and GET_XSAVE2, which is no longer without components that come by request only. */
static long do_get_xsave(struct vcpu *vcpu, void __user *arg)
{
	void *x = kzalloc(sizeof(struct minivmm_xsave), GFP_KERNEL_ACCOUNT);
	long r = 0;

	if (!x)
		return -ENOMEM;
	compat_copy_guest_fpu(&vcpu->fpu, x, sizeof(struct minivmm_xsave), guest_xcr0(vcpu));
	if (copy_to_user(arg, x, sizeof(struct minivmm_xsave)))
		r = -EFAULT;
	kfree(x);
	return r;
}

static long do_set_xsave(struct vcpu *vcpu, const void __user *arg)
{
	void *x = memdup_user(arg, sizeof(struct minivmm_xsave));
	long r;

	if (IS_ERR(x))
		return PTR_ERR(x);
	r = compat_set_guest_fpu(&vcpu->fpu, x, supported_xcr0());
	kfree(x);
	return r;
}

static void get_xcrs(struct vcpu *vcpu, struct minivmm_xcrs *xcrs)
{
	*xcrs = (struct minivmm_xcrs){ .nr_xcrs = supported_xcr0() != 0 };
	if (xcrs->nr_xcrs)
		xcrs->xcrs[0].value = vcpu->xcr0;
}

/* There is XCR0 alone; the first that the list has counts. */
static int set_xcrs(struct vcpu *vcpu, const struct minivmm_xcrs *xcrs)
{
	u32 i;

	if (!supported_xcr0() || xcrs->nr_xcrs > MINIVMM_MAX_XCRS || xcrs->flags)
		return -EINVAL;
	for (i = 0; i < xcrs->nr_xcrs; i++)
		if (xcrs->xcrs[i].xcr == 0)
			return set_xcr(vcpu, 0, xcrs->xcrs[i].value) ? -EINVAL : 0;
	return 0;
}

/* ---- CPUID ------------------------------------------------------------------------------------- */

static long do_set_cpuid2(struct vcpu *vcpu, const struct minivmm_cpuid2 __user *arg)
{
	struct minivmm_cpuid2 head;

	if (copy_from_user(&head, arg, sizeof(head)))
		return -EFAULT;
	return cpuid_set(vcpu, &head, arg->entries);
}

static long do_get_cpuid2(struct vcpu *vcpu, struct minivmm_cpuid2 __user *arg)
{
	struct minivmm_cpuid2 head;
	long r;

	if (copy_from_user(&head, arg, sizeof(head)))
		return -EFAULT;
	r = cpuid_get(vcpu, &head, arg->entries);
	if (!r && copy_to_user(arg, &head, sizeof(head)))
		return -EFAULT;
	return r;
}

/* ---- events ------------------------------------------------------------------------------------ */

static long do_interrupt(struct vcpu *vcpu, const void __user *arg)
{
	struct minivmm_interrupt irq;

	if (copy_from_user(&irq, arg, sizeof(irq)))
		return -EFAULT;
	if (irq.irq >= MINIVMM_NR_INTERRUPTS)
		return -EINVAL;
	if (irq_pics_in_kernel(vcpu))
		return -ENXIO;
	if (vcpu->lapic && vcpu->pending_irq >= 0)
		return -EEXIST;		/* KVM's, with a split irqchip */
	vcpu->pending_irq = irq.irq;
	vcpu_request(vcpu, REQ_EVENT);
	return 0;
}

static void get_mp_state(struct vcpu *vcpu, struct minivmm_mp_state *state)
{
	lapic_take_events(vcpu);
	state->mp_state = vcpu->mp_state;
}

/* Without chips in the kernel waiting is the client's affair, too. */
static int set_mp_state(struct vcpu *vcpu, const struct minivmm_mp_state *state)
{
	u32 new = state->mp_state;

	if (new > MINIVMM_MP_STATE_SIPI_RECEIVED || (new != MP_RUNNABLE && !vcpu->lapic))
		return -EINVAL;
	if (new == MINIVMM_MP_STATE_SIPI_RECEIVED) {
		new = MP_INIT_RECEIVED;
		lapic_set_sipi(vcpu, -1, true);
	}
	vcpu->mp_state = new;
	vcpu_request(vcpu, REQ_EVENT);
	return 0;
}

/*
 * A page through which old guests would learn of their APIC without exits. There is none, since what
 * tells a client that a guest wants one, TPR_ACCESS_REPORTING, isn't there: 0 is all that can be set.
 */
static int set_vapic_addr(struct vcpu *vcpu, const void __user *arg)
{
	struct minivmm_vapic_addr vapic;

	if (copy_from_user(&vapic, arg, sizeof(vapic)))
		return -EFAULT;
	return !vcpu->lapic || vapic.vapic_addr ? -EINVAL : 0;
}

/* ---- dispatch ---------------------------------------------------------------------------------- */

union vcpu_arg {
	struct minivmm_regs regs;
	struct minivmm_sregs sregs;
	struct minivmm_sregs2 sregs2;
	struct minivmm_fpu fpu;
	struct minivmm_xcrs xcrs;
	struct minivmm_debugregs debugregs;
	struct minivmm_guest_debug guest_debug;
	struct minivmm_translation translation;
	struct minivmm_vcpu_events events;
	struct minivmm_mp_state mp_state;
};

/* Those that pass one structure of fixed size, by what their number says about it. */
static long struct_ioctl(struct vcpu *vcpu, unsigned int ioctl, union vcpu_arg *a)
{
	switch (ioctl) {
	case MINIVMM_GET_REGS:
		get_regs(vcpu, &a->regs);
		return 0;
	case MINIVMM_SET_REGS:
		set_regs(vcpu, &a->regs);
		return 0;
	case MINIVMM_GET_SREGS:
		get_sregs(vcpu, &a->sregs);
		return 0;
	case MINIVMM_SET_SREGS:
		return set_sregs(vcpu, &a->sregs);
	case MINIVMM_GET_SREGS2:
		get_sregs2(vcpu, &a->sregs2);
		return 0;
	case MINIVMM_SET_SREGS2:
		return set_sregs2(vcpu, &a->sregs2);
	case MINIVMM_GET_XCRS:
		get_xcrs(vcpu, &a->xcrs);
		return 0;
	case MINIVMM_SET_XCRS:
		return set_xcrs(vcpu, &a->xcrs);
	case MINIVMM_GET_DEBUGREGS:
		debug_get_registers(vcpu, &a->debugregs);
		return 0;
	case MINIVMM_SET_DEBUGREGS:
		return debug_set_registers(vcpu, &a->debugregs);
	case MINIVMM_SET_GUEST_DEBUG:
		return debug_set(vcpu, &a->guest_debug);
	case MINIVMM_TRANSLATE:
		debug_translate(vcpu, &a->translation);
		return 0;
	case MINIVMM_GET_VCPU_EVENTS:
		events_get(vcpu, &a->events);
		return 0;
	case MINIVMM_SET_VCPU_EVENTS:
		return events_set(vcpu, &a->events);
	case MINIVMM_GET_MP_STATE:
		get_mp_state(vcpu, &a->mp_state);
		return 0;
	case MINIVMM_SET_MP_STATE:
		return set_mp_state(vcpu, &a->mp_state);
	case MINIVMM_GET_FPU:
		return get_fpu(vcpu, &a->fpu);
	default:
		set_fpu(vcpu, &a->fpu);
		return 0;
	}
}

static long do_struct_ioctl(struct vcpu *vcpu, unsigned int ioctl, void __user *arg)
{
	union vcpu_arg a;
	long r;

	if ((_IOC_DIR(ioctl) & _IOC_WRITE) && copy_from_user(&a, arg, _IOC_SIZE(ioctl)))
		return -EFAULT;
	r = struct_ioctl(vcpu, ioctl, &a);
	if (!r && (_IOC_DIR(ioctl) & _IOC_READ) && copy_to_user(arg, &a, _IOC_SIZE(ioctl)))
		return -EFAULT;
	return r;
}

long vcpu_state_ioctl(struct vcpu *vcpu, unsigned int ioctl, unsigned long arg)
{
	void __user *p = (void __user *)arg;

	switch (ioctl) {
	case MINIVMM_GET_REGS:
	case MINIVMM_SET_REGS:
	case MINIVMM_GET_SREGS:
	case MINIVMM_SET_SREGS:
	case MINIVMM_GET_SREGS2:
	case MINIVMM_SET_SREGS2:
	case MINIVMM_GET_XCRS:
	case MINIVMM_SET_XCRS:
	case MINIVMM_GET_DEBUGREGS:
	case MINIVMM_SET_DEBUGREGS:
	case MINIVMM_SET_GUEST_DEBUG:
	case MINIVMM_TRANSLATE:
	case MINIVMM_GET_FPU:
	case MINIVMM_SET_FPU:
	case MINIVMM_GET_VCPU_EVENTS:
	case MINIVMM_SET_VCPU_EVENTS:
	case MINIVMM_GET_MP_STATE:
	case MINIVMM_SET_MP_STATE:
		return do_struct_ioctl(vcpu, ioctl, p);
	case MINIVMM_GET_XSAVE:
	case MINIVMM_GET_XSAVE2:
		return do_get_xsave(vcpu, p);
	case MINIVMM_SET_XSAVE:
		return do_set_xsave(vcpu, p);
	case MINIVMM_GET_MSRS:
		return msrs_access(vcpu, p, false);
	case MINIVMM_SET_MSRS:
		return msrs_access(vcpu, p, true);
	case MINIVMM_SET_CPUID2:
		return do_set_cpuid2(vcpu, p);
	case MINIVMM_GET_CPUID2:
		return do_get_cpuid2(vcpu, p);
	case MINIVMM_INTERRUPT:
		return do_interrupt(vcpu, p);
	case MINIVMM_NMI:
		inject_nmi(vcpu);
		return 0;
	case MINIVMM_GET_LAPIC:
		return lapic_state_ioctl(vcpu, p, false);
	case MINIVMM_SET_LAPIC:
		return lapic_state_ioctl(vcpu, p, true);
	case MINIVMM_SET_VAPIC_ADDR:
		return set_vapic_addr(vcpu, p);
	case MINIVMM_GET_TSC_KHZ:
		return vcpu->tsc_khz;
	case MINIVMM_SET_TSC_KHZ:
		return tsc_set_khz(vcpu, arg);
	case MINIVMM_KVMCLOCK_CTRL:
		return clock_kvmclock_ctrl(vcpu);
	case MINIVMM_X86_SETUP_MCE:
	case MINIVMM_X86_SET_MCE:
		return mce_ioctl(vcpu, ioctl, p);
	}
	return -EINVAL;
}
