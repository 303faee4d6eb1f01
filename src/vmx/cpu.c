// SPDX-License-Identifier: GPL-2.0
/*
 * This CPU in and out of VMX operation, and the VMCSs whose state it may hold.
 *
 * A VMCS's data may live in the CPU that last loaded it: before another CPU loads it, before its
 * memory is freed and before VMX goes off here, it is cleared on this CPU. Each CPU therefore keeps
 * a list, changed on that CPU with interrupts off.
 */
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <asm/intel_pt.h>
#include <asm/nospec-branch.h>
#include <asm/perf_event.h>
#include <asm/tlbflush.h>

#include "compat.h"
#include "vmx/vmx.h"

DEFINE_PER_CPU(bool, vmx_on);
DEFINE_PER_CPU(struct vmx_vcpu *, current_vmcs);
static DEFINE_PER_CPU(struct list_head, loaded_vmcss);
static DEFINE_PER_CPU(struct vmcs *, vmxon_region);

#define NR_VPIDS	(1 << 16)
static DEFINE_SPINLOCK(vpid_lock);
static unsigned long *vpid_map;

static void vmcs_do_clear(struct vmcs *vmcs)
{
	u64 pa = __pa(vmcs);

	asm volatile("1: vmclear %0\n2:\n\t" _ASM_EXTABLE(1b, 2b) : : "m" (pa) : "cc", "memory");
}

static void vmcs_do_load(struct vmcs *vmcs)
{
	u64 pa = __pa(vmcs);

	asm volatile("1: vmptrld %0\n2:\n\t" _ASM_EXTABLE(1b, 2b) : : "m" (pa) : "cc", "memory");
}

struct vmcs *vmcs_alloc(int node, gfp_t gfp)
{
	struct page *page = alloc_pages_node(node, gfp | __GFP_ZERO, 0);
	struct vmcs *vmcs;

	if (!page)
		return NULL;
	vmcs = page_address(page);
	vmcs->revision = vmx_caps.revision;
	return vmcs;
}

void vmcs_free(struct vmcs *vmcs)
{
	free_page((unsigned long)vmcs);
}

/* A VMCS must be cleared before it is first loaded; on any CPU in VMX operation. */
void vmcs_clear_new(struct vmcs *vmcs)
{
	vmcs_do_clear(vmcs);
}

/* On the CPU that holds it, interrupts off. */
static void vmcs_clear_here(void *arg)
{
	struct vmx_vcpu *vmx = arg;
	int cpu = smp_processor_id();

	if (vmx->vmcs_cpu != cpu)	/* it has moved, or that CPU went offline, meanwhile */
		return;
	if (this_cpu_read(current_vmcs) == vmx)
		this_cpu_write(current_vmcs, NULL);
	vmcs_do_clear(vmx->vmcs);
	list_del(&vmx->vmcs_link);
	vmx->launched = false;
	/* pairs with the read of vmcs_cpu in vmcs_load(): off the list first */
	smp_store_release(&vmx->vmcs_cpu, -1);
}

/**
 * vmcs_clear() - make memory hold all of a VMCS, and no CPU
 * @vmx: its vCPU
 *
 * Context: any that may send an IPI and wait for it (interrupts on).
 */
void vmcs_clear(struct vmx_vcpu *vmx)
{
	int cpu = READ_ONCE(vmx->vmcs_cpu);

	if (cpu != -1)
		smp_call_function_single(cpu, vmcs_clear_here, vmx, 1);
}

static noinline bool vmcs_load_slowly(struct vmx_vcpu *vmx, int cpu)
{
	unsigned long flags;
	bool moved;

	if (smp_load_acquire(&vmx->vmcs_cpu) != cpu)
		vmcs_clear(vmx);

	local_irq_save(flags);
	if (!this_cpu_read(vmx_on)) {
		local_irq_restore(flags);
		return false;
	}
	moved = vmx->vmcs_cpu != cpu;
	if (moved) {
		list_add(&vmx->vmcs_link, this_cpu_ptr(&loaded_vmcss));
		vmx->vmcs_cpu = cpu;
	}
	if (this_cpu_read(current_vmcs) != vmx) {
		this_cpu_write(current_vmcs, vmx);
		vmcs_do_load(vmx->vmcs);
		/* another guest's branch history must not steer this one's */
		indirect_branch_prediction_barrier();
	}
	local_irq_restore(flags);
	return moved;
}

/**
 * vmcs_load() - make a vCPU's VMCS this CPU's current one
 * @vmx: the vCPU
 * @cpu: this CPU
 *
 * Where VMX is off (the CPU is leaving) nothing is done: see vmx_wait_until_on().
 *
 * Context: preemption off, interrupts on.
 * Return: whether this CPU didn't hold it before: its per-CPU host fields must be written, and
 * translations that this CPU may have cached for the vCPU are of unknown age.
 */
bool vmcs_load(struct vmx_vcpu *vmx, int cpu)
{
	/* the usual case: nothing else ran on this CPU, and it is still in VMX operation */
	if (likely(this_cpu_read(current_vmcs) == vmx && READ_ONCE(vmx->vmcs_cpu) == cpu))
		return false;
	return vmcs_load_slowly(vmx, cpu);
}

/**
 * vmx_wait_until_on() - a VMX instruction faulted: VMX is off on this CPU
 *
 * If that is because the CPU is going offline, the scheduler is about to move this task; sleep until
 * it has.
 *
 * Return: whether the instruction should be tried again.
 */
bool vmx_wait_until_on(void)
{
	if (!preemptible() || READ_ONCE(hw_shutting_down) || fatal_signal_pending(current))
		return false;
	schedule_timeout_uninterruptible(1);
	return true;
}

static void vmcs_access_failed(unsigned long field, bool write)
{
	pr_err_ratelimited("minivmm: VM%s of VMCS field %#lx failed on CPU %d (please report)\n",
			   write ? "WRITE" : "READ", field, raw_smp_processor_id());
}

u64 vmcs_read_again(unsigned long field)
{
	u64 value;

	do {
		asm goto("1: vmread %[field], %[value]\n\t"
			 "jna %l[failed]\n\t"
			 _ASM_EXTABLE(1b, %l[fault])
			 : [value] "=r" (value) : [field] "r" (field) : "cc" : failed, fault);
		return value;
failed:
		vmcs_access_failed(field, false);
		return 0;
fault:
		;
	} while (vmx_wait_until_on());
	return 0;
}

void vmcs_write_again(unsigned long field, u64 value)
{
	do {
		asm goto("1: vmwrite %[value], %[field]\n\t"
			 "jna %l[failed]\n\t"
			 _ASM_EXTABLE(1b, %l[fault])
			 : : [field] "r" (field), [value] "rm" (value) : "cc" : failed, fault);
		return;
failed:
		vmcs_access_failed(field, true);
		return;
fault:
		;
	} while (vmx_wait_until_on());
}

/* ---- VMXON, VMXOFF --------------------------------------------------------------------------- */

static int vmxon(u64 pa)
{
	asm goto("1: vmxon %[pa]\n\t"
		 "jna %l[failed]\n\t"
		 _ASM_EXTABLE(1b, %l[failed])
		 : : [pa] "m" (pa) : "cc", "memory" : failed);
	return 0;
failed:
	return -EIO;
}

static void vmxoff(void)
{
	asm volatile("1: vmxoff\n2:\n\t" _ASM_EXTABLE(1b, 2b) : : : "cc", "memory");
}

/**
 * hw_enable_cpu() - put this CPU into VMX operation
 *
 * CR4.VMXE is the flag by which hypervisors in one kernel see each other: found set, someone else
 * is using VMX here.
 *
 * Context: interrupts off.
 * Return: 0, -EBUSY (someone else has it), -EIO (VMXON refused).
 */
int hw_enable_cpu(void)
{
	int r;

	if (this_cpu_read(vmx_on))
		return 0;
	if (cr4_read_shadow() & X86_CR4_VMXE)
		return -EBUSY;

	/* older CPUs refuse VMXON while Processor Trace is on */
	intel_pt_handle_vmx(1);
	cr4_set_bits(X86_CR4_VMXE);
	r = vmxon(__pa(this_cpu_read(vmxon_region)));
	if (r) {
		cr4_clear_bits(X86_CR4_VMXE);
		intel_pt_handle_vmx(0);
		return r;
	}
	/* what was cached under our tags before VMX went off last time is stale */
	if (vmx_caps.ept)
		invept(VMX_EPT_EXTENT_GLOBAL, 0);
	if (vmx_caps.vpid)
		invvpid(VMX_VPID_EXTENT_ALL_CONTEXT, 0, 0);
	vmx_note_user_msrs();
	this_cpu_write(vmx_on, true);
	return 0;
}

static void clear_loaded_vmcss(void)
{
	struct vmx_vcpu *vmx, *next;

	list_for_each_entry_safe(vmx, next, this_cpu_ptr(&loaded_vmcss), vmcs_link)
		vmcs_clear_here(vmx);
}

/**
 * hw_disable_cpu() - take this CPU out of VMX operation, if it is in it by us
 *
 * Context: interrupts off.
 */
void hw_disable_cpu(void)
{
	if (!this_cpu_read(vmx_on))
		return;
	vmx_drop_user_msrs();
	clear_loaded_vmcss();
	this_cpu_write(vmx_on, false);
	vmxoff();
	cr4_clear_bits(X86_CR4_VMXE);
	intel_pt_handle_vmx(0);
}

bool hw_cpu_enabled(void)
{
	return this_cpu_read(vmx_on);
}

/*
 * Panic, kdump, emergency reboot: perhaps in an NMI, with this CPU's lists in any state. Memory of
 * VMCSs that a CPU holds must be written back before a crash kernel reads or reuses it.
 */
void hw_emergency_disable(void)
{
	struct vmx_vcpu *vmx;

	WRITE_ONCE(hw_shutting_down, true);
	if (!this_cpu_read(vmx_on))
		return;
	list_for_each_entry(vmx, this_cpu_ptr(&loaded_vmcss), vmcs_link)
		vmcs_do_clear(vmx->vmcs);
	this_cpu_write(vmx_on, false);
	vmxoff();
	cr4_clear_bits(X86_CR4_VMXE);
}

/* ---- VPIDs ----------------------------------------------------------------------------------- */

int vpid_alloc(void)
{
	int vpid;

	if (!vmx_caps.vpid)
		return 0;
	spin_lock(&vpid_lock);
	vpid = find_next_zero_bit(vpid_map, NR_VPIDS, 1);
	if (vpid < NR_VPIDS)
		__set_bit(vpid, vpid_map);
	else
		vpid = 0;
	spin_unlock(&vpid_lock);
	return vpid;
}

void vpid_free(int vpid)
{
	if (!vpid)
		return;
	spin_lock(&vpid_lock);
	__clear_bit(vpid, vpid_map);
	spin_unlock(&vpid_lock);
}

/* ---- module ---------------------------------------------------------------------------------- */

static void free_cpu_areas(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		if (per_cpu(vmxon_region, cpu))
			vmcs_free(per_cpu(vmxon_region, cpu));
		per_cpu(vmxon_region, cpu) = NULL;
	}
	bitmap_free(vpid_map);
}

static int alloc_cpu_areas(void)
{
	int cpu;

	vpid_map = bitmap_zalloc(NR_VPIDS, GFP_KERNEL);
	if (!vpid_map)
		return -ENOMEM;
	for_each_possible_cpu(cpu) {
		INIT_LIST_HEAD(&per_cpu(loaded_vmcss, cpu));
		per_cpu(vmxon_region, cpu) = vmcs_alloc(cpu_to_node(cpu), GFP_KERNEL);
		if (!per_cpu(vmxon_region, cpu))
			return -ENOMEM;
	}
	return 0;
}

/**
 * hw_init() - find out what VT-x offers and prepare for it; VMX stays off
 *
 * Context: module load.
 * Return: 0; -ENODEV, -EOPNOTSUPP with the reason logged; -ENOMEM.
 */
int hw_init(void)
{
	int r;

	r = vmx_caps_init();
	if (r)
		return r;
	r = alloc_cpu_areas();
	if (r)
		goto free_areas;
	r = vmx_msr_init();
	if (r)
		goto free_areas;
	r = vmx_apic_init();
	if (r)
		goto free_msr;
	r = vmx_mitigations_init();
	if (r)
		goto free_msr;
	return 0;

free_msr:
	vmx_apic_exit();
	vmx_msr_exit();
free_areas:
	free_cpu_areas();
	return r;
}

void hw_exit(void)
{
	vmx_mitigations_exit();
	vmx_apic_exit();
	vmx_msr_exit();
	free_cpu_areas();
}
