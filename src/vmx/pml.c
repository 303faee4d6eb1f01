// SPDX-License-Identifier: GPL-2.0
/*
 * Page-modification logging: the CPU writes the address of each page whose D bit it sets to a log of
 * 512 entries, and exits when that is full. On only while the VM has a slot that is logged.
 *
 * The log is emptied into the slots' bitmaps after every run of the guest, with interrupts still
 * off: a vCPU that isn't in the guest has nothing in it.
 */
#include <linux/gfp.h>

#include "vmx/vmx.h"

#define PML_ENTRIES	512

int vmx_pml_alloc(struct vmx_vcpu *vmx)
{
	if (!vmx->vcpu.vm->pml)
		return 0;
	vmx->pml = (u64 *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	return vmx->pml ? 0 : -ENOMEM;
}

void vmx_pml_free(struct vmx_vcpu *vmx)
{
	free_page((unsigned long)vmx->pml);
}

void vmx_pml_setup(struct vmx_vcpu *vmx)
{
	if (!vmx->pml)
		return;
	vmcs_write64(PML_ADDRESS, __pa(vmx->pml));
	vmcs_write16(GUEST_PML_INDEX, PML_ENTRIES - 1);
	/* it may be that slots are logged already */
	vcpu_request(&vmx->vcpu, REQ_DIRTY_LOG);
}

void hw_update_dirty_log(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u32 cpu2 = vmx->cpu2_controls & ~SECONDARY_EXEC_ENABLE_PML;

	/* the flat tables of a guest without paging are write-protected instead */
	if (vmx->pml && vmx->on_ept && READ_ONCE(vcpu->vm->logging))
		cpu2 |= SECONDARY_EXEC_ENABLE_PML;
	if (cpu2 == vmx->cpu2_controls)
		return;
	vmx->cpu2_controls = cpu2;
	vmcs_write32(SECONDARY_VM_EXEC_CONTROL, cpu2);
}

void vmx_pml_flush(struct vmx_vcpu *vmx)
{
	struct vcpu *vcpu = &vmx->vcpu;
	u16 index = vmcs_read16(GUEST_PML_INDEX);
	int i, idx;

	if (index == PML_ENTRIES - 1)
		return;
	/* it counts down to the entry that is written next; after the last of all it is 0xffff */
	i = index < PML_ENTRIES ? index + 1 : 0;
	idx = srcu_read_lock(&vcpu->vm->srcu);
	for (; i < PML_ENTRIES; i++) {
		gfn_t gfn = gpa_to_gfn(vmx->pml[i]);
		struct memslot *slot = vcpu_gfn_to_slot(vcpu, gfn);

		if (slot)
			mark_page_dirty(slot, gfn);
	}
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	vmcs_write16(GUEST_PML_INDEX, PML_ENTRIES - 1);
}
