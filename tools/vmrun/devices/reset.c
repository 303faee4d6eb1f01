// SPDX-License-Identifier: GPL-2.0
/* System control port A: a way to reset. The other, the reset control register, is in pcihost.c. */
#include "../device.h"

#define PORT_A		0x92
#define PORT_A_RESET	0x01
#define PORT_A_A20	0x02

static void port_a(void *opaque, struct bus_access *a)
{
	struct stopper *s = opaque;

	if (!a->write)
		a->data[0] = PORT_A_A20;	/* the address line 20 is always on */
	else if (a->data[0] & PORT_A_RESET)
		s->reset(s, "the guest reset the machine (port 0x92)");
}

static void *reset_create(const struct device_env *env, struct error *err)
{
	if (bus_add(env->ports, PORT_A, 1, 1, port_a, env->stopper, "port A", err))
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
