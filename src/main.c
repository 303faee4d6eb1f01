// SPDX-License-Identifier: GPL-2.0
/*
 * Load and unload, /dev/minivmm and its ioctls, and VMX on and off over all CPUs: with the first VM,
 * with CPUs that come and go, suspend, reboot and panic.
 */
#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/fs.h>
#include <linux/kobject.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/reboot.h>
#include <linux/syscore_ops.h>

#include "compat.h"
#include "minivmm.h"

bool hw_shutting_down;

/* ---- VMX on all CPUs ---------------------------------------------------------------------------- */

#define LINGER	HZ	/* VMX stays on for a while after the last VM: see DESIGN, decision 4 */

static DEFINE_MUTEX(virt_lock);
static int virt_users;
static bool virt_on;		/* changed with CPU hotplug excluded; read by its callbacks */
static int hotplug_state;

static void turn_off_later(struct work_struct *work);
static DECLARE_DELAYED_WORK(turn_off_work, turn_off_later);

static void enable_this_cpu(void *failed)
{
	int r = hw_enable_cpu();

	if (r)
		atomic_cmpxchg((atomic_t *)failed, 0, r);
}

static void disable_this_cpu(void *unused)
{
	hw_disable_cpu();
}

/* Other hypervisors, by the names of their modules. */
static const char *likely_holder(void)
{
	static const char * const names[] = { "vboxdrv", "vmmon", "kvm_intel" };
	int i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		struct kobject *k = kset_find_obj(THIS_MODULE->mkobj.kobj.kset, names[i]);

		if (k) {
			kobject_put(k);
			return names[i];
		}
	}
	return NULL;
}

static void report_refusal(int r)
{
	const char *name = likely_holder();

	if (r != -EBUSY)
		pr_err_ratelimited("minivmm: VMXON was refused by a CPU (%d)\n", r);
	else if (name)
		pr_err_ratelimited("minivmm: another hypervisor is using VT-x, most likely %s: stop its virtual machines, or rmmod %s\n",
				   name, name);
	else
		pr_err_ratelimited("minivmm: another hypervisor is using VT-x (CR4.VMXE is set), and no module is known for it\n");
}

static int turn_on(void)
{
	atomic_t failed = ATOMIC_INIT(0);
	int r;

	cpus_read_lock();
	on_each_cpu(enable_this_cpu, &failed, 1);
	r = atomic_read(&failed);
	if (r)
		on_each_cpu(disable_this_cpu, NULL, 1);
	else
		virt_on = true;
	cpus_read_unlock();
	if (r)
		report_refusal(r);
	else
		preempt_notifier_inc();
	return r;
}

static void turn_off(void)
{
	cpus_read_lock();
	virt_on = false;
	on_each_cpu(disable_this_cpu, NULL, 1);
	cpus_read_unlock();
	preempt_notifier_dec();
}

static void turn_off_later(struct work_struct *work)
{
	mutex_lock(&virt_lock);
	if (!virt_users && virt_on)
		turn_off();
	mutex_unlock(&virt_lock);
}

/**
 * virt_get() - VMX is on, on every CPU, until the matching virt_put()
 *
 * Context: may sleep.
 * Return: 0; -EBUSY: another hypervisor has it; -EIO. Logged.
 */
int virt_get(void)
{
	int r = 0;

	mutex_lock(&virt_lock);
	if (READ_ONCE(hw_shutting_down))
		r = -ESHUTDOWN;
	else if (!virt_on)
		r = turn_on();
	if (!r)
		virt_users++;
	mutex_unlock(&virt_lock);
	return r;
}

void virt_put(void)
{
	mutex_lock(&virt_lock);
	if (!--virt_users)
		mod_delayed_work(system_wq, &turn_off_work, LINGER);
	mutex_unlock(&virt_lock);
}

/* ---- CPUs that come and go ---------------------------------------------------------------------- */

static int on_cpu_online(unsigned int cpu)
{
	unsigned long flags;
	int r = 0;

	local_irq_save(flags);
	if (virt_on)
		r = hw_enable_cpu();
	local_irq_restore(flags);
	if (r)
		report_refusal(r);
	return r;
}

/* Tasks may still be on this CPU: see vmx_wait_until_on() and vmx_lost(). */
static int on_cpu_offline(unsigned int cpu)
{
	unsigned long flags;

	local_irq_save(flags);
	hw_disable_cpu();
	local_irq_restore(flags);
	return 0;
}

/* Suspend: the last CPU, with interrupts off; the others went offline. */
static int suspend(void)
{
	clock_suspend();
	hw_disable_cpu();
	return 0;
}

static void resume(void)
{
	clock_resume();
	hw_shutting_down |= virt_on && hw_enable_cpu();
	if (hw_shutting_down)
		pr_err("minivmm: VT-x couldn't be switched on again after suspend; no VM will run any more\n");
}

static struct syscore_ops syscore = { .suspend = suspend, .resume = resume };

/* Reboot and kexec: firmware and the next kernel want every CPU out of VMX operation. */
static int on_reboot(struct notifier_block *block, unsigned long action, void *data)
{
	WRITE_ONCE(hw_shutting_down, true);
	on_each_cpu(disable_this_cpu, NULL, 1);
	return NOTIFY_OK;
}

static struct notifier_block reboot_notifier = { .notifier_call = on_reboot };

/* ---- the kernel's one slot for emergencies ------------------------------------------------------ */

/*
 * kvm_intel takes it when it is loaded, and the kernel warns about a second registrant. Its callback
 * switches VMX off on any CPU that has CR4.VMXE set, so that it does for us, too. The slot is ours
 * only while kvm_intel isn't there.
 */
static bool slot_is_ours;

static void take_slot(void)
{
	if (!slot_is_ours)
		compat_take_emergency_slot(hw_emergency_disable);
	slot_is_ours = true;
}

static void give_slot(void)
{
	if (slot_is_ours)
		compat_give_emergency_slot(hw_emergency_disable);
	slot_is_ours = false;
}

static DEFINE_MUTEX(slot_lock);

static int on_module(struct notifier_block *block, unsigned long action, void *data)
{
	struct module *module = data;

	if (strcmp(module->name, "kvm_intel"))
		return NOTIFY_DONE;
	mutex_lock(&slot_lock);
	if (action == MODULE_STATE_COMING)
		give_slot();
	else if (action == MODULE_STATE_GOING)
		take_slot();
	mutex_unlock(&slot_lock);
	return NOTIFY_OK;
}

static struct notifier_block module_notifier = { .notifier_call = on_module };

static bool kvm_intel_is_there(void)
{
	struct kobject *k = kset_find_obj(THIS_MODULE->mkobj.kobj.kset, "kvm_intel");

	if (k)
		kobject_put(k);
	return k;
}

static int slot_init(void)
{
	int r = register_module_notifier(&module_notifier);

	if (r)
		return r;
	mutex_lock(&slot_lock);
	if (!kvm_intel_is_there())
		take_slot();
	mutex_unlock(&slot_lock);
	return 0;
}

static void slot_exit(void)
{
	unregister_module_notifier(&module_notifier);
	mutex_lock(&slot_lock);
	give_slot();
	mutex_unlock(&slot_lock);
}

/* ---- /dev/minivmm ------------------------------------------------------------------------------- */

static const struct { unsigned long cap; long value; } extensions[] = {
	{ MINIVMM_CAP_IRQCHIP, 1 },
	{ MINIVMM_CAP_HLT, 1 },
	{ MINIVMM_CAP_MMU_SHADOW_CACHE_CONTROL, 1 },
	{ MINIVMM_CAP_USER_MEMORY, 1 },
	{ MINIVMM_CAP_SET_TSS_ADDR, 1 },
	{ MINIVMM_CAP_EXT_CPUID, 1 },
	{ MINIVMM_CAP_CLOCKSOURCE, 1 },
	{ MINIVMM_CAP_NR_MEMSLOTS, MAX_MEMSLOTS },
	{ MINIVMM_CAP_PIT, 1 },
	{ MINIVMM_CAP_NOP_IO_DELAY, 1 },
	{ MINIVMM_CAP_MP_STATE, 1 },
	{ MINIVMM_CAP_COALESCED_MMIO, MINIVMM_COALESCED_MMIO_PAGE_OFFSET },
	{ MINIVMM_CAP_SYNC_MMU, 1 },
	{ MINIVMM_CAP_DESTROY_MEMORY_REGION_WORKS, 1 },
	{ MINIVMM_CAP_USER_NMI, 1 },
	{ MINIVMM_CAP_SET_GUEST_DEBUG, 1 },
	{ MINIVMM_CAP_REINJECT_CONTROL, 1 },
	{ MINIVMM_CAP_IRQ_ROUTING, 4096 },
	{ MINIVMM_CAP_IRQ_INJECT_STATUS, 1 },
	{ MINIVMM_CAP_JOIN_MEMORY_REGIONS_WORKS, 1 },
	{ MINIVMM_CAP_MCE, MAX_MCE_BANKS },
	{ MINIVMM_CAP_IRQFD, 1 },
	{ MINIVMM_CAP_PIT2, 1 },
	{ MINIVMM_CAP_SET_BOOT_CPU_ID, 1 },
	{ MINIVMM_CAP_PIT_STATE2, 1 },
	{ MINIVMM_CAP_IOEVENTFD, 1 },
	{ MINIVMM_CAP_SET_IDENTITY_MAP_ADDR, 1 },
	{ MINIVMM_CAP_ADJUST_CLOCK, MINIVMM_CLOCK_TSC_STABLE | MINIVMM_CLOCK_REALTIME |
				    MINIVMM_CLOCK_HOST_TSC },
	{ MINIVMM_CAP_INTERNAL_ERROR_DATA, 1 },
	{ MINIVMM_CAP_VCPU_EVENTS, 1 },
	{ MINIVMM_CAP_INTR_SHADOW, 1 },
	{ MINIVMM_CAP_DEBUGREGS, 1 },
	{ MINIVMM_CAP_X86_ROBUST_SINGLESTEP, 1 },
	{ MINIVMM_CAP_XSAVE, 1 },
	{ MINIVMM_CAP_GET_TSC_KHZ, 1 },
	{ MINIVMM_CAP_MAX_VCPUS, MAX_VCPUS },
	{ MINIVMM_CAP_TSC_DEADLINE_TIMER, 1 },
	{ MINIVMM_CAP_SYNC_REGS, MINIVMM_SYNC_X86_VALID_FIELDS },
	{ MINIVMM_CAP_KVMCLOCK_CTRL, 1 },
	{ MINIVMM_CAP_SIGNAL_MSI, 1 },
	{ MINIVMM_CAP_READONLY_MEM, 1 },
	{ MINIVMM_CAP_IRQFD_RESAMPLE, 1 },
	{ MINIVMM_CAP_IOAPIC_POLARITY_IGNORED, 1 },
	{ MINIVMM_CAP_ENABLE_CAP_VM, 1 },
	{ MINIVMM_CAP_IOEVENTFD_NO_LENGTH, 1 },
	{ MINIVMM_CAP_CHECK_EXTENSION_VM, 1 },
	{ MINIVMM_CAP_SPLIT_IRQCHIP, 1 },
	{ MINIVMM_CAP_IOEVENTFD_ANY_LENGTH, 1 },
	{ MINIVMM_CAP_MAX_VCPU_ID, MAX_VCPU_ID },
	{ MINIVMM_CAP_IMMEDIATE_EXIT, 1 },
	{ MINIVMM_CAP_GET_MSR_FEATURES, 1 },
	{ MINIVMM_CAP_COALESCED_PIO, 1 },
	{ MINIVMM_CAP_MANUAL_DIRTY_LOG_PROTECT2, MINIVMM_DIRTY_LOG_MANUAL_PROTECT_ENABLE |
						 MINIVMM_DIRTY_LOG_INITIALLY_SET },
	{ MINIVMM_CAP_SET_GUEST_DEBUG2, MINIVMM_GUESTDBG_ENABLE | MINIVMM_GUESTDBG_SINGLESTEP |
					MINIVMM_GUESTDBG_USE_SW_BP | MINIVMM_GUESTDBG_USE_HW_BP |
					MINIVMM_GUESTDBG_INJECT_DB | MINIVMM_GUESTDBG_INJECT_BP |
					MINIVMM_GUESTDBG_BLOCKIRQ },
	{ MINIVMM_CAP_SREGS2, 1 },
	{ MINIVMM_CAP_BINARY_STATS_FD, 1 },
	{ MINIVMM_CAP_XSAVE2, sizeof(struct minivmm_xsave) },
	{ MINIVMM_CAP_FAILURE, 1 },
};

/* CHECK_EXTENSION, on the device (@vm NULL) or a VM: 0 for what isn't there or isn't known. */
long check_extension(struct vm *vm, unsigned long cap)
{
	int i;

	if (cap == MINIVMM_CAP_MMU)
		return vm ? vm_type(vm) : vm_types_supported();
	if (cap == MINIVMM_CAP_XCRS)
		return supported_xcr0() != 0;
	if (cap == MINIVMM_CAP_NR_VCPUS)	/* recommended */
		return min_t(long, num_online_cpus(), MAX_VCPUS);
	if (cap == MINIVMM_CAP_TSC_CONTROL)
		return hw_has_tsc_scaling();
	for (i = 0; i < ARRAY_SIZE(extensions); i++)
		if (extensions[i].cap == cap)
			return extensions[i].value;
	return 0;
}

/**
 * device_ioctl() - the ioctls on /dev/minivmm
 * @file: the descriptor's
 * @ioctl: MINIVMM_*
 * @arg: its argument
 *
 * Context: may sleep.
 * Return: -EINVAL for an ioctl that isn't there (as KVM), or one that takes no argument and got one.
 */
static long device_ioctl(struct file *file, unsigned int ioctl, unsigned long arg)
{
	void __user *p = (void __user *)arg;

	switch (ioctl) {
	case MINIVMM_GET_API_VERSION:
		return arg ? -EINVAL : MINIVMM_API_VERSION;
	case MINIVMM_CREATE_VM:
		return vm_create(arg);
	case MINIVMM_CHECK_EXTENSION:
		return check_extension(NULL, arg);
	case MINIVMM_GET_VCPU_MMAP_SIZE:
		return arg ? -EINVAL : (MINIVMM_COALESCED_MMIO_PAGE_OFFSET + 1) * PAGE_SIZE;
	case MINIVMM_GET_SUPPORTED_CPUID:
		return cpuid_supported(p);
	case MINIVMM_GET_MSR_INDEX_LIST:
		return msr_index_list(p);
	case MINIVMM_GET_MSR_FEATURE_INDEX_LIST:
		return msr_feature_index_list(p);
	case MINIVMM_GET_MSRS:
		return msrs_access(NULL, p, false);
	case MINIVMM_X86_GET_MCE_CAP_SUPPORTED:
		return mce_cap_supported(p);
	}
	return -EINVAL;
}

static const struct file_operations device_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = device_ioctl,
	.compat_ioctl = device_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "minivmm",
	.mode = 0600,
	.fops = &device_fops,
};

/* ---- module ------------------------------------------------------------------------------------- */

static int __init minivmm_init(void)
{
	int r;

	r = vm_check_parameters() ?: hw_init();
	if (r)
		return r;
	r = eventfd_init();
	if (r)
		goto exit_hw;
	r = compat_init();
	if (r)
		goto exit_eventfd;
	r = mmu_init();
	if (r)
		goto exit_compat;
	hotplug_state = cpuhp_setup_state_nocalls(CPUHP_AP_ONLINE_DYN, "virt/minivmm:online",
						  on_cpu_online, on_cpu_offline);
	r = hotplug_state;
	if (r < 0)
		goto exit_mmu;
	r = slot_init();
	if (r)
		goto remove_hotplug;
	register_syscore_ops(&syscore);
	register_reboot_notifier(&reboot_notifier);
	r = misc_register(&device);
	if (r)
		goto unregister;
	return 0;

unregister:
	unregister_reboot_notifier(&reboot_notifier);
	unregister_syscore_ops(&syscore);
	slot_exit();
remove_hotplug:
	cpuhp_remove_state_nocalls(hotplug_state);
exit_mmu:
	mmu_exit();
exit_compat:
	compat_exit();
exit_eventfd:
	eventfd_exit();
exit_hw:
	hw_exit();
	return r;
}

/* No descriptor is open, so there is no VM: the kernel held the module for each. */
static void __exit minivmm_exit(void)
{
	misc_deregister(&device);
	cancel_delayed_work_sync(&turn_off_work);
	turn_off_later(NULL);
	unregister_reboot_notifier(&reboot_notifier);
	unregister_syscore_ops(&syscore);
	slot_exit();
	cpuhp_remove_state_nocalls(hotplug_state);
	mmu_exit();
	compat_exit();
	eventfd_exit();
	hw_exit();
}

module_init(minivmm_init);
module_exit(minivmm_exit);
MODULE_DESCRIPTION("A small hypervisor with KVM's interface");
MODULE_LICENSE("GPL");
