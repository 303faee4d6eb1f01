// SPDX-License-Identifier: GPL-2.0
/*
 * MSRs that the hardware switches, or that we switch for it.
 *
 *  - In the VMCS: FS_BASE, GS_BASE, SYSENTER_*, PAT, DEBUGCTL.
 *  - KERNEL_GS_BASE: exchanged when a vCPU is first entered after it was loaded, and when it is put.
 *  - STAR, LSTAR, FMASK, TSC_AUX: the kernel itself doesn't use them, user mode does. The guest's
 *    values stay in the CPU until it returns to user mode, by whatever task: a user-return notifier
 *    then restores the host's.
 */
#include <linux/percpu.h>
#include <linux/slab.h>
#include <linux/user-return-notifier.h>
#include <asm/cpufeature.h>
#include <asm/msr.h>

#include "vmx/vmx.h"

unsigned long *vmx_msr_bitmap;

static const u32 user_msr_index[NR_USER_MSRS] = {
	[USER_MSR_STAR] = MSR_STAR,
	[USER_MSR_LSTAR] = MSR_LSTAR,
	[USER_MSR_FMASK] = MSR_SYSCALL_MASK,
	[USER_MSR_TSC_AUX] = MSR_TSC_AUX,
};

/* What this CPU holds of them. Used with interrupts off. */
struct user_msrs {
	struct user_return_notifier notifier;
	bool registered;		/* some differ from the host's */
	u64 host[NR_USER_MSRS];		/* the kernel sets them when it brings up a CPU, and never again */
	u64 now[NR_USER_MSRS];
};

static DEFINE_PER_CPU(struct user_msrs, user_msrs);

static bool have_user_msr(int i)
{
	return i != USER_MSR_TSC_AUX || boot_cpu_has(X86_FEATURE_RDTSCP) ||
	       boot_cpu_has(X86_FEATURE_RDPID);
}

static void restore_user_msrs(struct user_msrs *m)
{
	int i;

	for (i = 0; i < NR_USER_MSRS; i++) {
		if (m->now[i] == m->host[i])
			continue;
		wrmsrl(user_msr_index[i], m->host[i]);
		m->now[i] = m->host[i];
	}
	user_return_notifier_unregister(&m->notifier);
	m->registered = false;
}

static void on_user_return(struct user_return_notifier *notifier)
{
	struct user_msrs *m = container_of(notifier, struct user_msrs, notifier);
	unsigned long flags;

	/* VMX going off on this CPU may have done it, by IPI */
	local_irq_save(flags);
	if (m->registered)
		restore_user_msrs(m);
	local_irq_restore(flags);
}

void vmx_drop_user_msrs(void)
{
	struct user_msrs *m = this_cpu_ptr(&user_msrs);

	if (m->registered)
		restore_user_msrs(m);
}

/* When VMX goes on here: what the host has in them. Interrupts off. */
void vmx_note_user_msrs(void)
{
	struct user_msrs *m = this_cpu_ptr(&user_msrs);
	int i;

	for (i = 0; i < NR_USER_MSRS; i++)
		if (have_user_msr(i))
			rdmsrl(user_msr_index[i], m->host[i]);
	memcpy(m->now, m->host, sizeof(m->now));
}

/* Interrupts off: VMX going off on this CPU comes by IPI and drops them. */
static noinline void load_user_msr(int i, u64 value)
{
	struct user_msrs *m = this_cpu_ptr(&user_msrs);
	unsigned long flags;

	local_irq_save(flags);
	wrmsrl(user_msr_index[i], value);
	m->now[i] = value;
	if (!m->registered) {
		m->registered = true;
		m->notifier.on_user_return = on_user_return;
		user_return_notifier_register(&m->notifier);
	}
	local_irq_restore(flags);
}

/* Loads those that the guest can see and that differ here. Preemption off. */
void vmx_load_user_msrs(struct vmx_vcpu *vmx)
{
	unsigned long left;
	int i;

	for (left = vmx->user_msr_used; left; left &= left - 1) {
		i = __ffs(left);
		if (this_cpu_read(user_msrs.now[i]) != vmx->user_msr[i])
			load_user_msr(i, vmx->user_msr[i]);
	}
}

/*
 * The guest's values, or which of them it uses, changed: maybe in the fast path, where the next entry
 * follows without vmx_save_host().
 */
void vmx_user_msrs_changed(struct vmx_vcpu *vmx)
{
	preempt_disable();
	if (vmx->host_saved)
		vmx_load_user_msrs(vmx);
	preempt_enable();
}

static void set_user_msr(struct vmx_vcpu *vmx, int i, u64 data)
{
	vmx->user_msr[i] = data;
	vmx_user_msrs_changed(vmx);
}

static u64 get_kernel_gs_base(struct vmx_vcpu *vmx)
{
	preempt_disable();
	if (vmx->host_saved)
		rdmsrl(MSR_KERNEL_GS_BASE, vmx->kernel_gs_base);
	preempt_enable();
	return vmx->kernel_gs_base;
}

static void set_kernel_gs_base(struct vmx_vcpu *vmx, u64 data)
{
	preempt_disable();
	if (vmx->host_saved)
		wrmsrl(MSR_KERNEL_GS_BASE, data);
	vmx->kernel_gs_base = data;
	preempt_enable();
}

/**
 * hw_get_msr() - an MSR of the guest's that this folder keeps
 * @vcpu: the vCPU
 * @index: as in RCX
 * @data: the result
 *
 * Context: vcpu.
 * Return: 0, -ENOENT: not one of these.
 */
int hw_get_msr(struct vcpu *vcpu, u32 index, u64 *data)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	switch (index) {
	case MSR_FS_BASE:
		*data = hw_segment_base(vcpu, SEG_FS);
		return 0;
	case MSR_GS_BASE:
		*data = hw_segment_base(vcpu, SEG_GS);
		return 0;
	case MSR_KERNEL_GS_BASE:
		*data = get_kernel_gs_base(vmx);
		return 0;
	case MSR_IA32_SYSENTER_CS:
		*data = vmcs_read32(GUEST_SYSENTER_CS);
		return 0;
	case MSR_IA32_SYSENTER_ESP:
		*data = vmcs_readl(GUEST_SYSENTER_ESP);
		return 0;
	case MSR_IA32_SYSENTER_EIP:
		*data = vmcs_readl(GUEST_SYSENTER_EIP);
		return 0;
	case MSR_IA32_DEBUGCTLMSR:
		*data = vmcs_read64(GUEST_IA32_DEBUGCTL);
		return 0;
	case MSR_STAR:
		*data = vmx->user_msr[USER_MSR_STAR];
		return 0;
	case MSR_LSTAR:
		*data = vmx->user_msr[USER_MSR_LSTAR];
		return 0;
	case MSR_CSTAR:		/* Intel CPUs keep it and never use it */
		*data = vmx->cstar;
		return 0;
	case MSR_SYSCALL_MASK:
		*data = vmx->user_msr[USER_MSR_FMASK];
		return 0;
	case MSR_TSC_AUX:
		*data = vmx->user_msr[USER_MSR_TSC_AUX];
		return 0;
	}
	return -ENOENT;
}

static void set_segment_base(struct vmx_vcpu *vmx, enum seg seg, u64 base)
{
	struct minivmm_segment s;

	hw_get_segment(&vmx->vcpu, &s, seg);
	s.base = base;
	hw_set_segment(&vmx->vcpu, &s, seg);
}

/**
 * hw_set_msr() - set an MSR of the guest's that this folder keeps
 * @vcpu: the vCPU
 * @index: as in RCX
 * @data: the value
 *
 * The value was checked by the caller.
 *
 * Context: vcpu.
 * Return: 0, -ENOENT: not one of these.
 */
int hw_set_msr(struct vcpu *vcpu, u32 index, u64 data)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	switch (index) {
	case MSR_FS_BASE:
		set_segment_base(vmx, SEG_FS, data);
		return 0;
	case MSR_GS_BASE:
		set_segment_base(vmx, SEG_GS, data);
		return 0;
	case MSR_KERNEL_GS_BASE:
		set_kernel_gs_base(vmx, data);
		return 0;
	case MSR_IA32_SYSENTER_CS:
		vmcs_write32(GUEST_SYSENTER_CS, data);
		return 0;
	case MSR_IA32_SYSENTER_ESP:
		vmcs_writel(GUEST_SYSENTER_ESP, data);
		return 0;
	case MSR_IA32_SYSENTER_EIP:
		vmcs_writel(GUEST_SYSENTER_EIP, data);
		return 0;
	case MSR_STAR:
		set_user_msr(vmx, USER_MSR_STAR, data);
		return 0;
	case MSR_LSTAR:
		set_user_msr(vmx, USER_MSR_LSTAR, data);
		return 0;
	case MSR_CSTAR:
		vmx->cstar = data;
		return 0;
	case MSR_SYSCALL_MASK:
		set_user_msr(vmx, USER_MSR_FMASK, data);
		return 0;
	case MSR_TSC_AUX:
		set_user_msr(vmx, USER_MSR_TSC_AUX, data);
		return 0;
	}
	return -ENOENT;
}

void hw_set_pat(struct vcpu *vcpu, u64 pat)
{
	/* our own tables name memory types by the host's */
	if (vmx_has_pat_controls())
		vmcs_write64(GUEST_IA32_PAT, to_vmx(vcpu)->on_ept ? pat : vmx_caps.host_pat);
}

/* ---- the bitmap of intercepted MSRs ---------------------------------------------------------- */

#define MSR_BITMAP_HIGH		0x400

void vmx_pass_through(unsigned long *bitmap, u32 index, unsigned int direction)
{
	unsigned int byte = direction + (index & 0xc0000000 ? MSR_BITMAP_HIGH : 0);

	__clear_bit((index & 0x1fff) + byte * 8, bitmap);
}

static void pass_through_both(u32 index)
{
	vmx_pass_through(vmx_msr_bitmap, index, VMX_MSR_READ);
	vmx_pass_through(vmx_msr_bitmap, index, VMX_MSR_WRITE);
}

int vmx_msr_init(void)
{
	vmx_msr_bitmap = (unsigned long *)__get_free_page(GFP_KERNEL);
	if (!vmx_msr_bitmap)
		return -ENOMEM;
	memset(vmx_msr_bitmap, 0xff, PAGE_SIZE);

	/* the VMCS switches these, and the CPU checks what the guest writes */
	pass_through_both(MSR_FS_BASE);
	pass_through_both(MSR_GS_BASE);
	pass_through_both(MSR_IA32_SYSENTER_CS);
	pass_through_both(MSR_IA32_SYSENTER_ESP);
	pass_through_both(MSR_IA32_SYSENTER_EIP);
	/* see vmx_save_host() */
	pass_through_both(MSR_KERNEL_GS_BASE);
	/* with the TSC offset applied */
	vmx_pass_through(vmx_msr_bitmap, MSR_IA32_TSC, VMX_MSR_READ);
	return 0;
}

void vmx_msr_exit(void)
{
	free_page((unsigned long)vmx_msr_bitmap);
}
