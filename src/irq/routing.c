// SPDX-License-Identifier: GPL-2.0
/*
 * What GSIs lead to: pins of the chips, or messages. The table is replaced whole and read under
 * vm->srcu. Without a table of the client's, GSIs lead where a PC's lines do: 0 .. 15 to the PICs
 * and to the I/O APIC's pins with the same number, 16 .. 23 to its other pins.
 */
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/srcu.h>

#include "irq.h"

#define NO_PIN		-1

/* an MSI's address and data */
#define MSI_DEST(addr)	((u8)((addr) >> 12))
#define MSI_REDIRECT	BIT(3)		/* to one of several: the least busy */
#define MSI_LOGICAL	BIT(2)
#define MSI_LEVEL	BIT(15)
#define MSI_MODE(data)	((data) >> 8 & 7)

struct route {
	s8 pin[NR_IRQCHIPS];	/* of each chip, or NO_PIN; the slave PIC's are 8 .. 15 */
	bool is_msi;
	u32 address, data;
};

struct irq_routing {
	u32 nr;
	struct route gsi[];
};

static const struct route nowhere = { .pin = { NO_PIN, NO_PIN, NO_PIN } };

static struct route default_route(u32 gsi)
{
	struct route route = nowhere;

	if (gsi < PIC_PINS)
		route.pin[gsi < 8 ? IRQCHIP_MASTER : IRQCHIP_SLAVE] = gsi;
	if (gsi < IOAPIC_PINS)
		route.pin[IRQCHIP_IOAPIC] = gsi;
	return route;
}

/* Under vm->srcu. */
static struct route find_route(struct vm *vm, struct irqchip *chip, u32 gsi)
{
	struct irq_routing *routing = srcu_dereference(chip->routing, &vm->srcu);

	if (!routing)
		return chip->split ? nowhere : default_route(gsi);
	return gsi < routing->nr ? routing->gsi[array_index_nospec(gsi, routing->nr)] : nowhere;
}

/**
 * irq_send_msi() - a message by an address and data, as a device writes it
 * @vm: the VM, with an irqchip
 * @address: the low half; the upper one says nothing to APIC ids of 8 bits
 * @data: the data
 *
 * Context: any.
 * Return: as irq_deliver().
 */
int irq_send_msi(struct vm *vm, u32 address, u32 data)
{
	struct irq_msg msg = {
		.dest = dest_from_8bit(MSI_DEST(address)),
		.vector = data,
		.mode = MSI_MODE(data),
		.logical = address & MSI_LOGICAL,
		.level = data & MSI_LEVEL,
		.assert = true,
	};

	if ((address & MSI_REDIRECT) && msg.mode == DM_FIXED)
		msg.mode = DM_LOWEST;
	return irq_deliver(vm, NULL, &msg);
}

static int add(int sum, int r)
{
	return r < 0 ? sum : max(sum, 0) + r;
}

static int set_pins(struct irqchip *chip, const struct route *route, enum irq_source source,
		    int level)
{
	int ret = -1, i;

	for (i = IRQCHIP_MASTER; i <= IRQCHIP_SLAVE; i++)
		if (route->pin[i] != NO_PIN)
			ret = add(ret, pic_set_line(&chip->pic, route->pin[i], source, level));
	if (route->pin[IRQCHIP_IOAPIC] != NO_PIN)
		ret = add(ret, ioapic_set_line(&chip->ioapic, route->pin[IRQCHIP_IOAPIC], source,
					       level));
	return ret;
}

/**
 * irq_set_source() - one source's level of a GSI
 * @vm: the VM, with an irqchip
 * @gsi: the line; one that leads nowhere is ignored, as in KVM
 * @source: whose level it is
 * @level: 0 or not; a message is sent by the latter
 *
 * Nobody knows which chip the guest uses, so all hear of it, and their answers are added.
 *
 * Context: any, hard interrupts included.
 * Return: as irq_set_line().
 */
int irq_set_source(struct vm *vm, u32 gsi, enum irq_source source, int level)
{
	struct irqchip *chip = smp_load_acquire(&vm->irqchip);
	int idx = srcu_read_lock(&vm->srcu), ret;
	struct route route = find_route(vm, chip, gsi);

	if (!route.is_msi)
		ret = set_pins(chip, &route, source, level);
	else
		ret = level ? irq_send_msi(vm, route.address, route.data) : -1;
	srcu_read_unlock(&vm->srcu, idx);
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

/**
 * irq_leads_to() - is this pin one that the GSI leads to?
 * @vm: the VM, with an irqchip
 * @gsi: the line
 * @chip: which chip
 * @pin: its pin
 *
 * Context: any, under vm->srcu.
 * Return: whether.
 */
bool irq_leads_to(struct vm *vm, u32 gsi, enum irqchip_id chip, int pin)
{
	struct route route = find_route(vm, vm->irqchip, gsi);

	return !route.is_msi && route.pin[chip] == pin;
}

/**
 * irq_eoi_is_clients() - does the client's I/O APIC wait for the end of this interrupt?
 * @vm: the VM, with a split irqchip
 * @vector: of a level-triggered interrupt
 *
 * It does if the route of one of the pins that the client has reserved sends it.
 *
 * Context: any.
 * Return: whether.
 */
bool irq_eoi_is_clients(struct vm *vm, u8 vector)
{
	int idx = srcu_read_lock(&vm->srcu);
	bool found = false;
	u32 gsi;

	for (gsi = 0; gsi < vm->irqchip->split_pins && !found; gsi++) {
		struct route route = find_route(vm, vm->irqchip, gsi);

		found = route.is_msi && (route.data & MSI_LEVEL) && (u8)route.data == vector;
	}
	srcu_read_unlock(&vm->srcu, idx);
	return found;
}

/* ---- SET_GSI_ROUTING ------------------------------------------------------------------------- */

static int add_pin(struct route *route, const struct minivmm_irq_routing_irqchip *to, bool split)
{
	u32 pins = to->irqchip == IRQCHIP_IOAPIC ? IOAPIC_PINS : PIC_PINS / 2;

	if (split || to->irqchip >= NR_IRQCHIPS || to->pin >= pins)
		return -EINVAL;
	if (route->is_msi || route->pin[array_index_nospec(to->irqchip, NR_IRQCHIPS)] != NO_PIN)
		return -EINVAL;
	route->pin[array_index_nospec(to->irqchip, NR_IRQCHIPS)] =
		to->pin + (to->irqchip == IRQCHIP_SLAVE ? PIC_PINS / 2 : 0);
	return 0;
}

static int add_msi(struct route *route, const struct minivmm_irq_routing_msi *msi)
{
	int i;

	for (i = 0; i < NR_IRQCHIPS; i++)
		if (route->is_msi || route->pin[i] != NO_PIN)
			return -EINVAL;
	route->is_msi = true;
	route->address = msi->address_lo;
	route->data = msi->data;
	return 0;
}

static int add_entry(struct irq_routing *routing, const struct minivmm_irq_routing_entry *e,
		     bool split)
{
	struct route *route = &routing->gsi[array_index_nospec(e->gsi, routing->nr)];

	if (e->flags)
		return -EINVAL;
	switch (e->type) {
	case MINIVMM_IRQ_ROUTING_IRQCHIP:
		return add_pin(route, &e->u.irqchip, split);
	case MINIVMM_IRQ_ROUTING_MSI:
		return add_msi(route, &e->u.msi);
	}
	return -EINVAL;
}

static struct irq_routing *make_routing(const struct minivmm_irq_routing_entry *entries, u32 nr,
					bool split)
{
	struct irq_routing *routing;
	u32 i, nr_gsis = 0;
	int ret = 0;

	for (i = 0; i < nr; i++) {
		if (entries[i].gsi >= MAX_ROUTES)
			return ERR_PTR(-EINVAL);
		nr_gsis = max(nr_gsis, entries[i].gsi + 1);
	}
	routing = kvzalloc(struct_size(routing, gsi, nr_gsis), GFP_KERNEL_ACCOUNT);
	if (!routing)
		return ERR_PTR(-ENOMEM);
	routing->nr = nr_gsis;
	for (i = 0; i < nr_gsis; i++)
		routing->gsi[i] = nowhere;
	for (i = 0; i < nr && !ret; i++)
		ret = add_entry(routing, &entries[i], split);
	if (!ret)
		return routing;
	kvfree(routing);
	return ERR_PTR(ret);
}

static int ioapic_pin_of(struct vm *vm, u32 gsi)
{
	int idx = srcu_read_lock(&vm->srcu);
	struct route route = find_route(vm, vm->irqchip, gsi);

	srcu_read_unlock(&vm->srcu, idx);
	return route.pin[IRQCHIP_IOAPIC];
}

/**
 * irq_set_routing() - SET_GSI_ROUTING
 * @vm: the VM, with an irqchip
 * @entries: all routes there are to be
 * @nr: how many
 *
 * When it returns nothing goes the old ways any more.
 *
 * Context: vm->lock held; may sleep.
 * Return: 0, -EINVAL for what KVM refuses: a GSI that is too high, flags, an unknown type or pin,
 * two routes to one chip, a message beside anything else; -ENOMEM.
 */
int irq_set_routing(struct vm *vm, const struct minivmm_irq_routing_entry *entries, u32 nr)
{
	struct irq_routing *routing = make_routing(entries, nr, vm->irqchip->split);

	if (IS_ERR(routing))
		return PTR_ERR(routing);
	routing = rcu_replace_pointer(vm->irqchip->routing, routing, lockdep_is_held(&vm->lock));
	synchronize_srcu_expedited(&vm->srcu);
	kvfree(routing);
	if (!vm->irqchip->split)
		ioapic_set_tick_pin(&vm->irqchip->ioapic, ioapic_pin_of(vm, TICK_GSI));
	return 0;
}

/**
 * irq_routing_destroy() - frees the table of a VM that nobody uses any more
 * @chip: its chips
 */
void irq_routing_destroy(struct irqchip *chip)
{
	kvfree(rcu_dereference_protected(chip->routing, true));
}
