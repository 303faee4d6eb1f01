// SPDX-License-Identifier: GPL-2.0
/*
 * What the CPU does of a local APIC by itself, where it can and the module's parameters let it:
 *
 *  - TPR shadow: CR8, and the TPR in x2APIC mode, without exits; one when the TPR falls below the
 *    priority of an interrupt that waits;
 *  - APIC-register virtualisation: RDMSR in x2APIC mode reads the APIC's page;
 *  - virtual-interrupt delivery: interrupts that an entry finds in the page are delivered as soon
 *    as the guest lets them, and EOIs in x2APIC mode take no exit, but those that someone waits for.
 *
 * The page is the local APIC's own (irq/lapic.c), whose state changes while the guest runs then.
 * Accesses by memory, in xAPIC mode, are emulated.
 */
#include <linux/gfp.h>
#include <asm/io.h>

#include "vmx/vmx.h"

#define X2APIC_MSRS	0x800
#define X2APIC_TPR	0x808
#define X2APIC_PPR	0x80a
#define X2APIC_EOI	0x80b
#define PAGE_TPR	0x080

static unsigned long *x2apic_bitmap;	/* of MSRs, for vCPUs in x2APIC mode */

/* Registers that a read finds in the page as they are. PPR is the CPU's to keep, or isn't kept. */
static const u8 plain_registers[] = {
	0x02, 0x03, 0x0d, 0x0f, 0x28, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x3e,
};

#define FIRST_BITMAP	0x10	/* ISR, TMR, IRR */
#define LAST_BITMAP	0x27

static bool delivers(void)
{
	return vmx_caps.apic & SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY;
}

int vmx_apic_init(void)
{
	unsigned int i;

	if (!(vmx_caps.apic & SECONDARY_EXEC_VIRTUALIZE_X2APIC_MODE))
		return 0;
	x2apic_bitmap = (unsigned long *)__get_free_page(GFP_KERNEL);
	if (!x2apic_bitmap)
		return -ENOMEM;
	copy_page(x2apic_bitmap, vmx_msr_bitmap);
	vmx_pass_through(x2apic_bitmap, X2APIC_TPR, VMX_MSR_READ);
	vmx_pass_through(x2apic_bitmap, X2APIC_TPR, VMX_MSR_WRITE);
	if (delivers())
		vmx_pass_through(x2apic_bitmap, X2APIC_EOI, VMX_MSR_WRITE);
	if (!(vmx_caps.apic & SECONDARY_EXEC_APIC_REGISTER_VIRT))
		return 0;
	for (i = 0; i < ARRAY_SIZE(plain_registers); i++)
		vmx_pass_through(x2apic_bitmap, X2APIC_MSRS + plain_registers[i], VMX_MSR_READ);
	for (i = FIRST_BITMAP; i <= LAST_BITMAP; i++)
		vmx_pass_through(x2apic_bitmap, X2APIC_MSRS + i, VMX_MSR_READ);
	if (delivers())
		vmx_pass_through(x2apic_bitmap, X2APIC_PPR, VMX_MSR_READ);
	return 0;
}

void vmx_apic_exit(void)
{
	free_page((unsigned long)x2apic_bitmap);
}

unsigned int hw_apic_features(void)
{
	return (vmx_caps.tpr_shadow ? HW_APIC_TPR : 0) | (delivers() ? HW_APIC_DELIVERY : 0);
}

/**
 * hw_apic_changed() - a vCPU's local APIC is new, or its mode is
 * @vcpu: the vCPU
 * @page: the local APIC's registers, for as long as the vCPU lives
 * @x2apic: it is in x2APIC mode
 *
 * Context: vcpu.
 */
void hw_apic_changed(struct vcpu *vcpu, void *page, bool x2apic)
{
	const u32 for_x2apic = SECONDARY_EXEC_VIRTUALIZE_X2APIC_MODE |
			       SECONDARY_EXEC_APIC_REGISTER_VIRT;
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u32 cpu2 = vmx->cpu2_controls & ~for_x2apic;

	if (!vmx_caps.tpr_shadow)
		return;
	if (page != vmx->apic_page) {
		vmx->apic_page = page;
		vmcs_write64(VIRTUAL_APIC_PAGE_ADDR, __pa(page));
		vmcs_write32(TPR_THRESHOLD, 0);
		if (delivers()) {
			vmcs_write64(EOI_EXIT_BITMAP0, 0);
			vmcs_write64(EOI_EXIT_BITMAP1, 0);
			vmcs_write64(EOI_EXIT_BITMAP2, 0);
			vmcs_write64(EOI_EXIT_BITMAP3, 0);
			vmcs_write16(GUEST_INTR_STATUS, 0);
			cpu2 |= SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY;
		}
		vmx_set_cpu_controls(vmx, CPU_BASED_TPR_SHADOW,
				     CPU_BASED_CR8_LOAD_EXITING | CPU_BASED_CR8_STORE_EXITING);
	}
	if (x2apic)
		cpu2 |= vmx_caps.apic & for_x2apic;
	if (cpu2 != vmx->cpu2_controls) {
		vmx->cpu2_controls = cpu2;
		vmcs_write32(SECONDARY_VM_EXEC_CONTROL, cpu2);
	}
	if (x2apic_bitmap)
		vmcs_write64(MSR_BITMAP, __pa(x2apic ? x2apic_bitmap : vmx_msr_bitmap));
}

static void write_eoi_exits(struct vmx_vcpu *vmx, const u64 exits[4])
{
	if (!memcmp(vmx->eoi_exits, exits, sizeof(vmx->eoi_exits)))
		return;
	memcpy(vmx->eoi_exits, exits, sizeof(vmx->eoi_exits));
	vmcs_write64(EOI_EXIT_BITMAP0, exits[0]);
	vmcs_write64(EOI_EXIT_BITMAP1, exits[1]);
	vmcs_write64(EOI_EXIT_BITMAP2, exits[2]);
	vmcs_write64(EOI_EXIT_BITMAP3, exits[3]);
}

/**
 * hw_apic_sync() - what waits, and what is in service, before an entry
 * @vcpu: the vCPU, with a local APIC
 * @irr: the highest vector that waits; -1: none, or the APIC is off
 * @isr: the highest vector in service, or -1
 * @eoi_exits: vectors whose EOI must be heard of; only with HW_APIC_DELIVERY
 *
 * Context: vcpu, preemption off.
 */
void hw_apic_sync(struct vcpu *vcpu, int irr, int isr, const u64 eoi_exits[4])
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u32 threshold;

	if (delivers()) {
		write_eoi_exits(vmx, eoi_exits);
		vmcs_write16(GUEST_INTR_STATUS, max(irr, 0) | max(isr, 0) << 8);
		return;
	}
	/* what the TPR alone holds back; an entry wants the threshold not to be above the TPR */
	threshold = irr >= 0 && irr >> 4 <= *(u8 *)(vmx->apic_page + PAGE_TPR) >> 4 ? irr >> 4 : 0;
	if (threshold != vmx->tpr_threshold) {
		vmx->tpr_threshold = threshold;
		vmcs_write32(TPR_THRESHOLD, threshold);
	}
}
