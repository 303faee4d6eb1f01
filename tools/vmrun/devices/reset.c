// SPDX-License-Identifier: GPL-2.0
/* The chipset's ways to reset: system control port A (0x92), reset control register (0xcf9). */
#include "../device.h"
#include "../exitcode.h"

#define PORT_A		0x92
#define PORT_A_RESET	0x01
#define PORT_A_A20	0x02

/* The reset control register shares its place with PCI's configuration address, which is wider. */
#define PCI_CONFIG	0xcf8
#define PCI_CONFIG_SIZE	8
#define RESET_CONTROL	1
#define RESET_CPU	0x04

static void port_a(void *opaque, struct bus_access *a)
{
	struct stopper *s = opaque;

	if (!a->write)
		a->data[0] = PORT_A_A20;	/* the address line 20 is always on */
	else if (a->data[0] & PORT_A_RESET)
		s->stop(s, EXIT_GUEST_OK, "the guest reset the machine (port 0x92)");
}

/* There is no PCI: its registers read as ones. */
static void pci_config(void *opaque, struct bus_access *a)
{
	struct stopper *s = opaque;

	if (a->offset != RESET_CONTROL || a->len != 1)
		return;
	if (!a->write)
		a->data[0] = 0;
	else if (a->data[0] & RESET_CPU)
		s->stop(s, EXIT_GUEST_OK, "the guest reset the machine (port 0xcf9)");
}

static void *reset_create(const struct device_env *env, struct error *err)
{
	if (bus_add(env->ports, PORT_A, 1, 1, port_a, env->stopper, "port A", err) ||
	    bus_add(env->ports, PCI_CONFIG, PCI_CONFIG_SIZE, 4, pci_config, env->stopper,
		    "reset control", err))
		return NULL;
	return env->stopper;
}

static void reset_destroy(void *dev)
{
	(void)dev;
}

DEVICE(reset) = {
	.name = "reset",
	.order = 30,
	.create = reset_create,
	.destroy = reset_destroy,
};
