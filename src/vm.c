// SPDX-License-Identifier: GPL-2.0
/* The VM: its life, its descriptor and the ioctls on it. */
#include <linux/anon_inodes.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "minivmm.h"

static char *mmu = "auto";
module_param(mmu, charp, 0444);
MODULE_PARM_DESC(mmu, "how VMs of type 0 virtualise memory: auto, ept or shadow");

/* ---- choice of the MMU ------------------------------------------------------------------------- */

/* The VM types that this CPU can do, or-ed. */
unsigned long vm_types_supported(void)
{
	return MINIVMM_VM_MMU_SHADOW | (hw_has_ept() ? MINIVMM_VM_MMU_EPT : 0);
}

unsigned long vm_type(struct vm *vm)
{
	return vm->mmu_mode == MMU_EPT ? MINIVMM_VM_MMU_EPT : MINIVMM_VM_MMU_SHADOW;
}

int vm_check_parameters(void)
{
	if (sysfs_streq(mmu, "auto") || sysfs_streq(mmu, "ept") || sysfs_streq(mmu, "shadow"))
		return 0;
	pr_err("minivmm: mmu=%s isn't a way to virtualise memory: it is auto, ept or shadow\n", mmu);
	return -EINVAL;
}

static int choose_mmu(unsigned long type, enum mmu_mode *mode)
{
	if (!type)
		type = sysfs_streq(mmu, "shadow") || (sysfs_streq(mmu, "auto") && !hw_has_ept()) ?
		       MINIVMM_VM_MMU_SHADOW : MINIVMM_VM_MMU_EPT;
	if (type != MINIVMM_VM_MMU_EPT && type != MINIVMM_VM_MMU_SHADOW)
		return -EINVAL;
	if (!(type & vm_types_supported()))
		return -EOPNOTSUPP;
	*mode = type == MINIVMM_VM_MMU_EPT ? MMU_EPT : MMU_SHADOW;
	return 0;
}

/* ---- ioctls ------------------------------------------------------------------------------------ */

static long do_set_memory_region(struct vm *vm, const void __user *arg)
{
	struct minivmm_userspace_memory_region mem;

	if (copy_from_user(&mem, arg, sizeof(mem)))
		return -EFAULT;
	return set_memory_region(vm, &mem);
}

static long do_get_dirty_log(struct vm *vm, const void __user *arg)
{
	struct minivmm_dirty_log log;

	if (copy_from_user(&log, arg, sizeof(log)))
		return -EFAULT;
	return get_dirty_log(vm, &log);
}

static long do_clear_dirty_log(struct vm *vm, const void __user *arg)
{
	struct minivmm_clear_dirty_log log;

	if (copy_from_user(&log, arg, sizeof(log)))
		return -EFAULT;
	return clear_dirty_log(vm, &log);
}

static long enable_manual_dirty_log(struct vm *vm, u64 flags)
{
	u64 allowed = MINIVMM_DIRTY_LOG_MANUAL_PROTECT_ENABLE;

	if (flags & MINIVMM_DIRTY_LOG_MANUAL_PROTECT_ENABLE)
		allowed |= MINIVMM_DIRTY_LOG_INITIALLY_SET;
	if (flags & ~allowed)
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	vm->manual_dirty_log = flags;
	mutex_unlock(&vm->slots_lock);
	return 0;
}

/* Once: a VM's first vCPU sets the limit, too. */
static long limit_vcpu_ids(struct vm *vm, u64 limit)
{
	long r;

	if (limit > MAX_VCPU_ID)
		return -EINVAL;
	mutex_lock(&vm->lock);
	r = vm->vcpu_ids && vm->vcpu_ids != limit ? -EINVAL : 0;
	if (!r)
		vm->vcpu_ids = limit;
	mutex_unlock(&vm->lock);
	return r;
}

static long do_enable_cap(struct vm *vm, const void __user *arg)
{
	struct minivmm_enable_cap cap;

	if (copy_from_user(&cap, arg, sizeof(cap)))
		return -EFAULT;
	if (cap.flags)
		return -EINVAL;
	switch (cap.cap) {
	case MINIVMM_CAP_MANUAL_DIRTY_LOG_PROTECT2:
		return enable_manual_dirty_log(vm, cap.args[0]);
	case MINIVMM_CAP_MAX_VCPU_ID:
		return limit_vcpu_ids(vm, cap.args[0]);
	case MINIVMM_CAP_SPLIT_IRQCHIP:
		return irq_enable_split(vm, cap.args[0]);
	}
	return -EINVAL;
}

/* Nothing is placed in guest memory, so the addresses are only checked: as KVM checks them. */
static long do_set_tss_addr(unsigned long addr)
{
	return addr > (unsigned int)(-3 * PAGE_SIZE) ? -EINVAL : 0;
}

static long do_set_identity_map_addr(struct vm *vm, const void __user *arg)
{
	u64 addr;
	long r;

	mutex_lock(&vm->lock);
	r = vm->nr_vcpus ? -EINVAL : copy_from_user(&addr, arg, sizeof(addr)) ? -EFAULT : 0;
	mutex_unlock(&vm->lock);
	return r;
}

static long do_set_boot_vcpu(struct vm *vm, unsigned long id)
{
	long r;

	mutex_lock(&vm->lock);
	r = vm->nr_vcpus ? -EBUSY : 0;
	if (!r)
		vm->boot_vcpu_id = id;
	mutex_unlock(&vm->lock);
	return r;
}

static long do_set_table_limit(struct vm *vm, unsigned long limit)
{
	if (limit < MIN_TABLE_LIMIT)
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	mmu_set_table_limit(vm, limit);
	mutex_unlock(&vm->slots_lock);
	return 0;
}

static long do_coalesced(struct vm *vm, const void __user *arg, bool add)
{
	struct minivmm_coalesced_mmio_zone zone;

	if (copy_from_user(&zone, arg, sizeof(zone)))
		return -EFAULT;
	return add ? coalesced_register(vm, &zone) : coalesced_unregister(vm, &zone);
}

/**
 * vm_ioctl() - everything that is asked of a VM's descriptor
 * @file: the descriptor's
 * @ioctl: MINIVMM_*
 * @arg: its argument
 *
 * Context: may sleep. Any number at once.
 * Return: -EIO from another process than the VM's, -ENOTTY for an ioctl that isn't there, else the
 * ioctl's.
 */
static long vm_ioctl(struct file *file, unsigned int ioctl, unsigned long arg)
{
	struct vm *vm = file->private_data;
	void __user *p = (void __user *)arg;

	if (vm->mm != current->mm)
		return -EIO;
	switch (ioctl) {
	case MINIVMM_CREATE_VCPU:
		return vcpu_create(vm, arg);
	case MINIVMM_SET_USER_MEMORY_REGION:
		return do_set_memory_region(vm, p);
	case MINIVMM_GET_DIRTY_LOG:
		return do_get_dirty_log(vm, p);
	case MINIVMM_CLEAR_DIRTY_LOG:
		return do_clear_dirty_log(vm, p);
	case MINIVMM_ENABLE_CAP:
		return do_enable_cap(vm, p);
	case MINIVMM_SET_NR_MMU_PAGES:
		return do_set_table_limit(vm, arg);
	case MINIVMM_GET_NR_MMU_PAGES:
		return mmu_table_limit(vm);
	case MINIVMM_SET_TSS_ADDR:
		return do_set_tss_addr(arg);
	case MINIVMM_SET_IDENTITY_MAP_ADDR:
		return do_set_identity_map_addr(vm, p);
	case MINIVMM_SET_BOOT_CPU_ID:
		return do_set_boot_vcpu(vm, arg);
	case MINIVMM_REGISTER_COALESCED_MMIO:
		return do_coalesced(vm, p, true);
	case MINIVMM_UNREGISTER_COALESCED_MMIO:
		return do_coalesced(vm, p, false);
	case MINIVMM_GET_CLOCK:
	case MINIVMM_SET_CLOCK:
		return clock_ioctl(vm, ioctl, p);
	case MINIVMM_CHECK_EXTENSION:
		return check_extension(vm, arg);
	case MINIVMM_GET_STATS_FD:
		return stats_fd_vm(vm);
	}
	return irq_ioctl(vm, ioctl, p);
}

static int vm_release(struct inode *inode, struct file *file)
{
	vm_put(file->private_data);
	return 0;
}

static const struct file_operations vm_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = vm_ioctl,
	.compat_ioctl = vm_ioctl,
	.release = vm_release,
	.llseek = noop_llseek,
};

/* ---- life ------------------------------------------------------------------------------------ */

static void vm_free(struct vm *vm)
{
	cleanup_srcu_struct(&vm->srcu);
	mmdrop(vm->mm);
	kfree(vm);
	virt_put();
}

/* Nobody else knows the VM any more, but the host's notifier until it is left. */
static void vm_destroy(struct vm *vm)
{
	int i;

	eventfd_vm_destroy(vm);
	pit_destroy(vm);
	watch_leave(vm);
	mmu_vm_destroy(vm);
	for (i = 0; i < vm->nr_vcpus; i++)
		vcpu_destroy(vm->vcpus[i]);
	irqchip_destroy(vm);
	io_bus_destroy(vm);
	coalesced_destroy(vm);
	memslots_destroy(vm);
	vm_free(vm);
}

void vm_get(struct vm *vm)
{
	refcount_inc(&vm->users);
}

void vm_put(struct vm *vm)
{
	if (refcount_dec_and_test(&vm->users))
		vm_destroy(vm);
}

static struct vm *vm_new(enum mmu_mode mode)
{
	struct vm *vm = kzalloc(sizeof(*vm), GFP_KERNEL_ACCOUNT);
	int r = -ENOMEM;

	if (!vm)
		return ERR_PTR(-ENOMEM);
	refcount_set(&vm->users, 1);
	vm->mmu_mode = mode;
	vm->pml = mode == MMU_EPT && hw_has_pml();
	mutex_init(&vm->lock);
	mutex_init(&vm->slots_lock);
	eventfd_vm_init(vm);
	clock_vm_init(vm);
	if (init_srcu_struct(&vm->srcu))
		goto free;
	mmgrab(current->mm);
	vm->mm = current->mm;
	r = memslots_create(vm);
	if (r)
		goto free_srcu;
	r = mmu_vm_create(vm);
	if (r)
		goto free_slots;
	r = watch_join(vm);
	if (r)
		goto free_mmu;
	return vm;

free_mmu:
	mmu_vm_destroy(vm);
free_slots:
	memslots_destroy(vm);
free_srcu:
	cleanup_srcu_struct(&vm->srcu);
	mmdrop(vm->mm);
free:
	kfree(vm);
	return ERR_PTR(r);
}

/**
 * vm_create() - CREATE_VM
 * @type: 0 or MINIVMM_VM_MMU_*
 *
 * Context: may sleep.
 * Return: a descriptor; -EINVAL: no such type; -EOPNOTSUPP: this CPU can't do that type; -EBUSY:
 * another hypervisor has VMX (logged); -ENOMEM, -EMFILE.
 */
long vm_create(unsigned long type)
{
	enum mmu_mode mode;
	struct vm *vm;
	long r;

	r = choose_mmu(type, &mode);
	if (r)
		return r;
	r = virt_get();
	if (r)
		return r;
	vm = vm_new(mode);
	if (IS_ERR(vm)) {
		virt_put();
		return PTR_ERR(vm);
	}
	r = anon_inode_getfd("minivmm-vm", &vm_fops, vm, O_RDWR | O_CLOEXEC);
	if (r < 0)
		vm_put(vm);
	return r;
}
