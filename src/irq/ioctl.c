// SPDX-License-Identifier: GPL-2.0
/* The ioctls on a VM that are about interrupts: arguments in and out, and which chips they need. */
#include <linux/errno.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "irq.h"

/* ---- chips ----------------------------------------------------------------------------------- */

static long create_irqchip(struct vm *vm, bool split, u32 split_pins)
{
	long r;

	mutex_lock(&vm->lock);
	if (vm->irqchip)
		r = -EEXIST;
	else if (vm->nr_vcpus)
		r = split ? -EEXIST : -EINVAL;	/* KVM's */
	else
		r = irqchip_create(vm, split, split_pins);
	mutex_unlock(&vm->lock);
	return r;
}

/* PICs and I/O APIC in the kernel. */
static bool has_chips(struct vm *vm)
{
	struct irqchip *chip = smp_load_acquire(&vm->irqchip);

	return chip && !chip->split;
}

static void get_irqchip(struct vm *vm, struct minivmm_irqchip *chip)
{
	memset(&chip->chip, 0, sizeof(chip->chip));
	if (chip->chip_id == IRQCHIP_IOAPIC)
		ioapic_get_state(&vm->irqchip->ioapic, &chip->chip.ioapic);
	else
		pic_get_state(&vm->irqchip->pic, chip->chip_id, &chip->chip.pic);
}

static void set_irqchip(struct vm *vm, const struct minivmm_irqchip *chip)
{
	if (chip->chip_id == IRQCHIP_IOAPIC)
		ioapic_set_state(&vm->irqchip->ioapic, &chip->chip.ioapic);
	else
		pic_set_state(&vm->irqchip->pic, chip->chip_id, &chip->chip.pic);
}

static long do_irqchip(struct vm *vm, void __user *arg, bool set)
{
	struct minivmm_irqchip *chip = memdup_user(arg, sizeof(*chip));
	long r = 0;

	if (IS_ERR(chip))
		return PTR_ERR(chip);
	if (!has_chips(vm))
		r = -ENXIO;
	else if (chip->chip_id >= NR_IRQCHIPS)
		r = -EINVAL;
	else if (set)
		set_irqchip(vm, chip);
	else
		get_irqchip(vm, chip);
	if (!r && !set && copy_to_user(arg, chip, sizeof(*chip)))
		r = -EFAULT;
	kfree(chip);
	return r;
}

static long do_create_pit2(struct vm *vm, const void __user *arg)
{
	struct minivmm_pit_config config;
	long r;

	if (copy_from_user(&config, arg, sizeof(config)))
		return -EFAULT;
	mutex_lock(&vm->lock);
	r = vm->pit ? -EEXIST : !has_chips(vm) ? -ENOENT : pit_create(vm, config.flags);
	mutex_unlock(&vm->lock);
	return r;
}

static long do_pit2(struct vm *vm, void __user *arg, bool set)
{
	struct minivmm_pit_state2 state = {};
	struct pit *pit = smp_load_acquire(&vm->pit);

	if (set && copy_from_user(&state, arg, sizeof(state)))
		return -EFAULT;
	if (!pit)
		return -ENXIO;
	if (set) {
		pit_set_state(pit, &state);
		return 0;
	}
	pit_get_state(pit, &state);
	return copy_to_user(arg, &state, sizeof(state)) ? -EFAULT : 0;
}

static long do_reinject(struct vm *vm, const void __user *arg)
{
	struct minivmm_reinject_control control;
	struct pit *pit = smp_load_acquire(&vm->pit);

	if (copy_from_user(&control, arg, sizeof(control)))
		return -EFAULT;
	if (!pit)
		return -ENXIO;
	pit_set_reinject(pit, control.pit_reinject);
	return 0;
}

/**
 * irq_enable_split() - ENABLE_CAP(SPLIT_IRQCHIP)
 * @vm: the VM
 * @pins: of the client's I/O APIC
 *
 * Context: may sleep.
 * Return: 0, -EINVAL: too many; -EEXIST: there are chips or vCPUs; -ENOMEM.
 */
long irq_enable_split(struct vm *vm, u64 pins)
{
	return pins > MAX_ROUTES ? -EINVAL : create_irqchip(vm, true, pins);
}

/* ---- lines, routes, messages ----------------------------------------------------------------- */

static long do_irq_line(struct vm *vm, void __user *arg, bool want_status)
{
	struct minivmm_irq_level level;
	int status;

	if (copy_from_user(&level, arg, sizeof(level)))
		return -EFAULT;
	/* pairs with the release in irqchip_create() */
	if (!smp_load_acquire(&vm->irqchip))
		return -ENXIO;
	status = irq_set_line(vm, level.irq, level.level);
	if (!want_status)
		return 0;
	level.status = status;
	return copy_to_user(arg, &level, sizeof(level)) ? -EFAULT : 0;
}

static long do_set_routing(struct vm *vm, const struct minivmm_irq_routing __user *arg)
{
	struct minivmm_irq_routing_entry *entries;
	struct minivmm_irq_routing head;
	long r;

	if (copy_from_user(&head, arg, sizeof(head)))
		return -EFAULT;
	if (!smp_load_acquire(&vm->irqchip) || head.nr > MAX_ROUTES || head.flags)
		return -EINVAL;
	entries = vmemdup_user(arg->entries, array_size(head.nr, sizeof(*entries)));
	if (IS_ERR(entries))
		return PTR_ERR(entries);
	mutex_lock(&vm->lock);
	r = irq_set_routing(vm, entries, head.nr);
	mutex_unlock(&vm->lock);
	kvfree(entries);
	return r;
}

static long do_signal_msi(struct vm *vm, const void __user *arg)
{
	struct minivmm_msi msi;

	if (copy_from_user(&msi, arg, sizeof(msi)))
		return -EFAULT;
	if (!smp_load_acquire(&vm->irqchip) || msi.flags)
		return -EINVAL;
	return irq_send_msi(vm, msi.address_lo, msi.data);
}

static long do_irqfd(struct vm *vm, const void __user *arg)
{
	struct minivmm_irqfd args;

	return copy_from_user(&args, arg, sizeof(args)) ? -EFAULT : irqfd_set(vm, &args);
}

static long do_ioeventfd(struct vm *vm, const void __user *arg)
{
	struct minivmm_ioeventfd args;

	return copy_from_user(&args, arg, sizeof(args)) ? -EFAULT : ioeventfd_set(vm, &args);
}

long irq_ioctl(struct vm *vm, unsigned int ioctl, void __user *arg)
{
	switch (ioctl) {
	case MINIVMM_CREATE_IRQCHIP:
		return create_irqchip(vm, false, 0);
	case MINIVMM_CREATE_PIT2:
		return do_create_pit2(vm, arg);
	case MINIVMM_GET_IRQCHIP:
		return do_irqchip(vm, arg, false);
	case MINIVMM_SET_IRQCHIP:
		return do_irqchip(vm, arg, true);
	case MINIVMM_GET_PIT2:
		return do_pit2(vm, arg, false);
	case MINIVMM_SET_PIT2:
		return do_pit2(vm, arg, true);
	case MINIVMM_REINJECT_CONTROL:
		return do_reinject(vm, arg);
	case MINIVMM_IRQ_LINE:
		return do_irq_line(vm, arg, false);
	case MINIVMM_IRQ_LINE_STATUS:
		return do_irq_line(vm, arg, true);
	case MINIVMM_SET_GSI_ROUTING:
		return do_set_routing(vm, arg);
	case MINIVMM_SIGNAL_MSI:
		return do_signal_msi(vm, arg);
	case MINIVMM_IRQFD:
		return do_irqfd(vm, arg);
	case MINIVMM_IOEVENTFD:
		return do_ioeventfd(vm, arg);
	}
	return -ENOTTY;
}

/**
 * lapic_state_ioctl() - GET_LAPIC, SET_LAPIC
 * @vcpu: whose
 * @arg: the client's
 * @set: which of them
 *
 * Context: vcpu.
 * Return: 0, -EFAULT, -EINVAL without a local APIC in the kernel, -ENOMEM.
 */
long lapic_state_ioctl(struct vcpu *vcpu, struct minivmm_lapic_state __user *arg, bool set)
{
	struct minivmm_lapic_state *state;
	long r = 0;

	if (!vcpu->lapic)
		return -EINVAL;
	state = set ? memdup_user(arg, sizeof(*state)) : kzalloc(sizeof(*state), GFP_KERNEL);
	if (IS_ERR_OR_NULL(state))
		return state ? PTR_ERR(state) : -ENOMEM;
	if (set) {
		lapic_set_state(vcpu->lapic, state);
	} else {
		lapic_get_state(vcpu->lapic, state);
		if (copy_to_user(arg, state, sizeof(*state)))
			r = -EFAULT;
	}
	kfree(state);
	return r;
}
