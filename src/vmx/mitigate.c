// SPDX-License-Identifier: GPL-2.0
/*
 * Speculative-execution mitigations around an entry that aren't single instructions of enter.S.
 * What the host kernel decided is followed; nothing is decided here.
 */
#include <linux/cpu.h>
#include <linux/gfp.h>
#include <linux/hardirq.h>
#include <linux/module.h>
#include <asm/cpufeature.h>
#include <asm/hardirq.h>
#include <asm/msr.h>
#include <asm/processor.h>

#include "vmx/vmx.h"

#define L1D_FLUSH_ORDER	4	/* 64 KiB: twice the L1D of every affected CPU */

DEFINE_STATIC_KEY_FALSE(vmx_l1d_flush_wanted);
bool vmx_itlb_multihit __ro_after_init;
static bool flush_always __ro_after_init;
static void *flush_pages;

/*
 * L1TF: a guest can read what the L1D holds through entries of its own tables. Flush before an
 * entry, always or (the default) if since the last one other code ran than ours. As /sys says for
 * the kernel: l1tf=off|flush|full.
 */
static int init_l1d_flush(void)
{
	u64 caps = 0;

	if (boot_cpu_has(X86_FEATURE_ARCH_CAPABILITIES))
		rdmsrl(MSR_IA32_ARCH_CAPABILITIES, caps);
	if (!boot_cpu_has_bug(X86_BUG_L1TF) || !vmx_caps.ept || (caps & ARCH_CAP_SKIP_VMENTRY_L1DFLUSH) ||
	    l1tf_mitigation == L1TF_MITIGATION_OFF)
		return 0;

	flush_always = l1tf_mitigation == L1TF_MITIGATION_FULL ||
		       l1tf_mitigation == L1TF_MITIGATION_FULL_FORCE;
	if (!boot_cpu_has(X86_FEATURE_FLUSH_L1D)) {
		flush_pages = (void *)__get_free_pages(GFP_KERNEL | __GFP_ZERO, L1D_FLUSH_ORDER);
		if (!flush_pages)
			return -ENOMEM;
	}
	static_branch_enable(&vmx_l1d_flush_wanted);
	return 0;
}

int vmx_mitigations_init(void)
{
	vmx_itlb_multihit = boot_cpu_has_bug(X86_BUG_ITLB_MULTIHIT) && !cpu_mitigations_off();
	return init_l1d_flush();
}

void vmx_mitigations_exit(void)
{
	free_pages((unsigned long)flush_pages, L1D_FLUSH_ORDER);
	flush_pages = NULL;
}

static __always_inline void read_flush_pages(void)
{
	unsigned long offset, page = (unsigned long)flush_pages;

	/* the pages into the TLB first, so that the second pass is nothing but L1D fills */
	for (offset = 0; offset < PAGE_SIZE << L1D_FLUSH_ORDER; offset += PAGE_SIZE)
		asm volatile("movb (%0), %%al" : : "r" (page + offset) : "al", "memory");
	asm volatile("lfence" : : : "memory");
	for (offset = 0; offset < PAGE_SIZE << L1D_FLUSH_ORDER; offset += 64)
		asm volatile("movb (%0), %%al" : : "r" (page + offset) : "al", "memory");
	asm volatile("lfence" : : : "memory");
}

noinstr void vmx_flush_l1d(struct vmx_vcpu *vmx)
{
	bool wanted = flush_always || vmx->l1d_flush;

	vmx->l1d_flush = false;
#if IS_ENABLED(CONFIG_KVM_INTEL)
	/* interrupt handlers on this CPU say so here */
	wanted |= kvm_get_cpu_l1tf_flush_l1d();
	kvm_clear_cpu_l1tf_flush_l1d();
#endif
	if (!wanted)
		return;
	if (static_cpu_has(X86_FEATURE_FLUSH_L1D))
		native_wrmsrl(MSR_IA32_FLUSH_CMD, L1D_FLUSH);
	else
		read_flush_pages();
}
