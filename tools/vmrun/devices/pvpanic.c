// SPDX-License-Identifier: GPL-2.0
/* pvpanic: a guest whose kernel panics says so, which ends it. */
#include "../acpi.h"
#include "../device.h"

#define PANICKED	0x01
#define CRASH_LOADED	0x02		/* it panics, but takes a dump by itself, and goes on */

static void pvpanic_access(void *opaque, struct bus_access *a)
{
	struct stopper *s = opaque;

	if (!a->write)
		a->data[0] = PANICKED | CRASH_LOADED;	/* the events that it takes */
	else if (a->data[0] & PANICKED)
		s->panicked(s, "the guest's kernel panicked (pvpanic)");
}

static void *pvpanic_create(const struct device_env *env, struct error *err)
{
	if (bus_add(env->ports, ACPI_PANIC, 1, 1, pvpanic_access, env->stopper, "pvpanic", err))
		return NULL;
	return env->stopper;
}

static void pvpanic_destroy(void *dev)
{
	(void)dev;
}

DEVICE(pvpanic) = {
	.name = "pvpanic",
	.order = 40,
	.create = pvpanic_create,
	.destroy = pvpanic_destroy,
};
