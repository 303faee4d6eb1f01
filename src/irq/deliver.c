// SPDX-License-Identifier: GPL-2.0
/*
 * Which local APICs a message is for: physical and logical destinations, shorthands, broadcasts,
 * lowest priority. A local APIC's id is its vCPU's and can't be changed, so the usual message, to
 * one id, finds its vCPU at once; the others look at every vCPU.
 *
 * Nothing here locks: vCPUs aren't taken from vm->vcpus while the VM lives.
 */
#include <linux/bitops.h>
#include <linux/nospec.h>

#include "irq.h"

#define DFR_FLAT		0xffffffffu
#define DFR_CLUSTER		0x0fffffffu
#define LDR_SHIFT		24	/* xAPIC */
#define CLUSTER_SHIFT		4	/* of an xAPIC's logical id; below: one bit each */
#define CLUSTER_MEMBERS		0xf
#define X2APIC_CLUSTER_SHIFT	16
#define X2APIC_CLUSTER_MEMBERS	0xffff

static struct vcpu *vcpu_by_id(struct vm *vm, u32 id)
{
	u32 nr = smp_load_acquire(&vm->nr_vcpus);
	struct vcpu *vcpu;
	int i;

	/* usually vCPUs are created in the order of their ids */
	if (id < nr) {
		vcpu = vm->vcpus[array_index_nospec(id, nr)];
		if (vcpu->id == id)
			return vcpu;
	}
	for_each_vcpu(i, vcpu, vm) {
		if (vcpu->id == id)
			return vcpu;
	}
	return NULL;
}

static bool match_x2apic_cluster(u32 ldr, u32 dest)
{
	return ldr >> X2APIC_CLUSTER_SHIFT == dest >> X2APIC_CLUSTER_SHIFT &&
	       (ldr & dest & X2APIC_CLUSTER_MEMBERS);
}

static bool match_logical(const struct lapic *apic, u32 dest)
{
	u32 ldr = lapic_reg(apic, LAPIC_LDR);

	if (lapic_is_x2apic(apic))
		return match_x2apic_cluster(ldr, dest);

	ldr >>= LDR_SHIFT;
	switch (lapic_reg(apic, LAPIC_DFR)) {
	case DFR_FLAT:
		return ldr & dest;
	case DFR_CLUSTER:
		return ldr >> CLUSTER_SHIFT == dest >> CLUSTER_SHIFT &&
		       (ldr & dest & CLUSTER_MEMBERS);
	}
	return false;	/* no model that the SDM knows */
}

static bool match(const struct lapic *apic, const struct lapic *src, const struct irq_msg *msg)
{
	if (!lapic_hw_enabled(apic))
		return false;
	switch (msg->shorthand) {
	case TO_SELF:
		return apic == src;
	case TO_ALL:
		return true;
	case TO_OTHERS:
		return apic != src;
	}
	if (msg->dest == DEST_ALL)
		return true;
	return msg->logical ? match_logical(apic, msg->dest) : msg->dest == apic->vcpu->id;
}

/*
 * Of those that the message is for, one with the lowest processor priority; of equals the one that
 * the vector picks, so that each interrupt stays with one vCPU and all of them share the load.
 */
static int deliver_lowest(struct vm *vm, struct lapic *src, const struct irq_msg *msg)
{
	u32 lowest = U32_MAX, prio;
	struct vcpu *vcpu;
	u64 equals = 0;
	int i, nth;

	BUILD_BUG_ON(MAX_VCPUS > 64);
	for_each_vcpu(i, vcpu, vm) {
		struct lapic *apic = vcpu->lapic;

		if (!match(apic, src, msg) || !lapic_enabled(apic))
			continue;
		prio = lapic_reg(apic, LAPIC_PPR) >> 4;
		if (prio < lowest) {
			lowest = prio;
			equals = 0;
		}
		if (prio == lowest)
			equals |= BIT_ULL(i);
	}
	if (!equals)
		return -1;

	for (nth = msg->vector % hweight64(equals); nth; nth--)
		equals &= equals - 1;
	return lapic_accept(vm->vcpus[__ffs64(equals)]->lapic, src, msg);
}

/**
 * irq_deliver() - a message to the local APICs it is for
 * @vm: theirs
 * @src: the sender if it is a local APIC; NULL: an I/O APIC or an MSI
 * @msg: the message
 *
 * Context: any. With @src, its vCPU's thread.
 * Return: how many accepted it; -1 if it was for a set of them that is empty.
 */
int irq_deliver(struct vm *vm, struct lapic *src, const struct irq_msg *msg)
{
	bool physical = msg->shorthand == TO_DEST && !msg->logical;
	struct vcpu *vcpu;
	int i, sent = -1;

	if (msg->shorthand == TO_SELF)
		return lapic_accept(src, src, msg);

	if (physical && msg->dest != DEST_ALL) {
		vcpu = vcpu_by_id(vm, msg->dest);
		return vcpu && match(vcpu->lapic, src, msg) ?
		       lapic_accept(vcpu->lapic, src, msg) : 0;	/* KVM's answer */
	}
	/* to every physical id there is no lowest priority: KVM takes it as fixed */
	if (msg->mode == DM_LOWEST && !(physical && msg->dest == DEST_ALL))
		return deliver_lowest(vm, src, msg);

	for_each_vcpu(i, vcpu, vm) {
		if (match(vcpu->lapic, src, msg))
			sent = max(sent, 0) + lapic_accept(vcpu->lapic, src, msg);
	}
	return sent;
}
