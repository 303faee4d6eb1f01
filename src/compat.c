// SPDX-License-Identifier: GPL-2.0
/* What compat.h needs and can't define: kept apart, as KVM's headers and ours use the same names. */
#include <linux/entry-kvm.h>
#include <linux/gfp.h>
#include <linux/kvm_host.h>
#include <linux/slab.h>

#include "compat.h"

static struct kvm_vcpu *no_vcpu;

int compat_init(void)
{
	no_vcpu = kzalloc(sizeof(*no_vcpu), GFP_KERNEL);
	if (!no_vcpu)
		return -ENOMEM;
	no_vcpu->run = (void *)get_zeroed_page(GFP_KERNEL);
	if (!no_vcpu->run) {
		kfree(no_vcpu);
		return -ENOMEM;
	}
	return 0;
}

void compat_exit(void)
{
	free_page((unsigned long)no_vcpu->run);
	kfree(no_vcpu);
}

/*
 * The kernel's function wants a struct kvm_vcpu, of which it uses the run page and one counter, and
 * those only when a signal is pending: it gets one that nobody reads.
 */
int compat_handle_guest_mode_work(void)
{
	return xfer_to_guest_mode_handle_work(no_vcpu);
}
