// SPDX-License-Identifier: GPL-2.0
/*
 * The chips together: their creation, and what the vCPU sees of all of them.
 */
#include <linux/errno.h>
#include <linux/slab.h>

#include "irq.h"

/* Without PICs in the kernel the client's vector is what theirs would be. */
static bool extint_pending(struct vcpu *vcpu)
{
	struct irqchip *chip = vcpu->vm->irqchip;

	return (chip->split ? vcpu->pending_irq >= 0 : pic_output(&chip->pic)) &&
	       lapic_accepts_extint(vcpu->lapic);
}

static int clients_vector(struct vcpu *vcpu)
{
	int vector = vcpu->pending_irq;

	vcpu->pending_irq = -1;
	return vector;
}

bool irq_pics_in_kernel(struct vcpu *vcpu)
{
	return vcpu->lapic && !vcpu->vm->irqchip->split;
}

/**
 * irq_client_may_inject() - would a vector of INTERRUPT get to the CPU, RFLAGS.IF aside?
 * @vcpu: for whom
 *
 * Context: vcpu.
 * Return: whether.
 */
bool irq_client_may_inject(struct vcpu *vcpu)
{
	return vcpu->pending_irq < 0 && (!vcpu->lapic || lapic_accepts_extint(vcpu->lapic));
}

/**
 * irq_pending() - is there an interrupt that RFLAGS.IF would let through?
 * @vcpu: for whom; without chips in the kernel, INTERRUPT's vector counts
 *
 * Also makes an interrupt of a local APIC timer that has expired.
 *
 * Context: vcpu, or the vCPU's thread while it is halted.
 * Return: whether.
 */
bool irq_pending(struct vcpu *vcpu)
{
	struct lapic *apic = vcpu->lapic;

	if (!apic)
		return vcpu->pending_irq >= 0;
	if (atomic_read(&apic->timer.pending))
		timer_deliver(apic);
	return extint_pending(vcpu) || lapic_deliverable(apic) >= 0;
}

/**
 * irq_to_inject() - irq_pending(), but for what the CPU delivers by itself
 * @vcpu: for whom
 *
 * Context: vcpu.
 * Return: whether.
 */
bool irq_to_inject(struct vcpu *vcpu)
{
	if (!irq_pending(vcpu))
		return false;
	return !vcpu->lapic || !lapic_is_delivered(vcpu->lapic) || extint_pending(vcpu);
}

/**
 * irq_acknowledge() - takes the interrupt that irq_pending() saw
 * @vcpu: for whom
 *
 * The PICs come first, as in KVM: a local APIC doesn't weigh ExtINT against its own.
 *
 * Context: vcpu.
 * Return: its vector, now in service; -1 = there is none after all.
 */
int irq_acknowledge(struct vcpu *vcpu)
{
	if (!vcpu->lapic)
		return clients_vector(vcpu);
	if (extint_pending(vcpu))
		return vcpu->vm->irqchip->split ? clients_vector(vcpu) :
						  pic_acknowledge(&vcpu->vm->irqchip->pic);
	return lapic_acknowledge(vcpu->lapic);
}

/**
 * irqchip_create() - PICs and I/O APIC, and local APICs for the vCPUs to come
 * @vm: the VM; it has neither an irqchip nor vCPUs
 * @split: local APICs alone: the other chips are the client's
 * @split_pins: GSIs below are the client's I/O APIC's, which wants to hear of EOIs
 *
 * Context: vm->lock held; may sleep.
 * Return: 0 or -errno; then nothing has changed.
 */
int irqchip_create(struct vm *vm, bool split, u32 split_pins)
{
	struct irqchip *chip = kzalloc(sizeof(*chip), GFP_KERNEL_ACCOUNT);
	int ret;

	if (!chip)
		return -ENOMEM;
	chip->split = split;
	chip->split_pins = split_pins;
	ret = split ? 0 : pic_init(&chip->pic, vm);
	if (ret)
		goto free;
	ret = split ? 0 : ioapic_init(&chip->ioapic, vm);
	if (ret)
		goto unregister;

	/* whoever sees it sees it whole */
	smp_store_release(&vm->irqchip, chip);
	return 0;

unregister:
	pic_unregister(&chip->pic);
free:
	kfree(chip);
	return ret;
}

/**
 * irq_acked() - the guest has ended an interrupt of a chip's pin
 * @vm: the VM
 * @chip: which chip
 * @pin: its pin
 *
 * Context: any; no chip's lock held.
 */
void irq_acked(struct vm *vm, enum irqchip_id chip, int pin)
{
	if (pin == (chip == IRQCHIP_IOAPIC ? vm->irqchip->ioapic.tick_pin : TICK_GSI))
		pit_tick_acked(vm);
	if (READ_ONCE(vm->nr_resamplers))
		irqfd_resample(vm, chip, pin);
}

/**
 * irqchip_destroy() - the end of PICs and I/O APIC
 * @vm: the VM; nobody uses it any more, its PIT and vCPUs are gone
 *
 * Context: may sleep.
 */
void irqchip_destroy(struct vm *vm)
{
	if (!vm->irqchip)
		return;
	irq_routing_destroy(vm->irqchip);
	kfree(vm->irqchip);
	vm->irqchip = NULL;
}
