// SPDX-License-Identifier: GPL-2.0
/*
 * The chips together: their creation, the way of a line to their pins, and what the vCPU sees of
 * all of them.
 */
#include <linux/errno.h>
#include <linux/slab.h>

#include "irq.h"

static int ioapic_pin(u32 gsi)
{
	return gsi < IOAPIC_PINS ? gsi : -1;
}

static int pic_pin(u32 gsi)
{
	return gsi < PIC_PINS ? gsi : -1;
}

/**
 * irq_set_source() - one source's level of a GSI
 * @vm: the VM, with an irqchip
 * @gsi: the line; out of range is ignored, as in KVM
 * @source: whose level it is
 * @level: 0 or not
 *
 * Nobody knows which chip the guest uses, so both hear of it, and their answers are added.
 *
 * Context: any, hard interrupts included.
 * Return: as irq_set_line().
 */
int irq_set_source(struct vm *vm, u32 gsi, enum irq_source source, int level)
{
	struct irqchip *chip = smp_load_acquire(&vm->irqchip);
	int pin, ret = -1, r;

	pin = pic_pin(gsi);
	if (pin >= 0)
		ret = pic_set_line(&chip->pic, pin, source, level);

	pin = ioapic_pin(gsi);
	if (pin >= 0) {
		r = ioapic_set_line(&chip->ioapic, pin, source, level);
		if (r >= 0)
			ret = max(ret, 0) + r;
	}
	return ret;
}

/**
 * irq_set_line() - the client's level of a GSI: IRQ_LINE
 * @vm: the VM, with an irqchip
 * @gsi: the line
 * @level: 0 or not
 *
 * Context: any.
 * Return: what IRQ_LINE_STATUS reports: <0 ignored (masked, or no such line), 0 coalesced with one
 * that wasn't taken yet, >0 delivered to that many.
 */
int irq_set_line(struct vm *vm, u32 gsi, int level)
{
	return irq_set_source(vm, gsi, SOURCE_USER, level);
}

static bool extint_pending(struct vcpu *vcpu)
{
	return pic_output(&vcpu->vm->irqchip->pic) && lapic_accepts_extint(vcpu->lapic);
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
	int vector;

	if (!vcpu->lapic) {
		vector = vcpu->pending_irq;
		vcpu->pending_irq = -1;
		return vector;
	}
	if (extint_pending(vcpu))
		return pic_acknowledge(&vcpu->vm->irqchip->pic);
	return lapic_acknowledge(vcpu->lapic);
}

/**
 * irqchip_create() - PICs and I/O APIC, with KVM's default routing
 * @vm: the VM; it has neither an irqchip nor vCPUs
 *
 * GSI 0 .. 15 are the inputs of the PICs and the pins of the I/O APIC with the same number, 16 ..
 * 23 pins of the I/O APIC alone.
 *
 * Context: vm->lock held; may sleep.
 * Return: 0 or -errno; then nothing has changed.
 */
int irqchip_create(struct vm *vm)
{
	struct irqchip *chip = kzalloc(sizeof(*chip), GFP_KERNEL_ACCOUNT);
	int ret;

	if (!chip)
		return -ENOMEM;
	ret = pic_init(&chip->pic, vm);
	if (ret)
		goto free;
	ret = ioapic_init(&chip->ioapic, vm);
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
 * irqchip_destroy() - the end of PICs and I/O APIC
 * @vm: the VM; nobody uses it any more, its PIT and vCPUs are gone
 *
 * Context: may sleep.
 */
void irqchip_destroy(struct vm *vm)
{
	kfree(vm->irqchip);
	vm->irqchip = NULL;
}
