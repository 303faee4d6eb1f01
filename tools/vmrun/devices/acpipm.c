// SPDX-License-Identifier: GPL-2.0
/* ACPI's fixed hardware: the PM1 registers, which switch the machine off. There are no events. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "../acpi.h"
#include "../device.h"
#include "../exitcode.h"

enum {
	PM1_STATUS = 0,			/* nothing ever happens: reads as zero */
	PM1_ENABLE = 2,
	PM1_CONTROL = ACPI_PM1_CONTROL - ACPI_PM1_EVENT,
	PM1_SIZE = PM1_CONTROL + ACPI_PM1_CONTROL_SIZE,
};

#define CONTROL_SCI_ENABLE	0x0001
#define CONTROL_SLEEP_TYPE(c)	((c) >> 10 & 7)
#define CONTROL_SLEEP_ENABLE	0x2000	/* reads as zero */

struct acpipm {
	pthread_mutex_t lock;
	struct stopper *stopper;
	uint8_t regs[PM1_SIZE];
};

static void write_regs(struct acpipm *p, const struct bus_access *a)
{
	uint16_t control;

	memcpy(p->regs + a->offset, a->data, a->len);
	p->regs[PM1_STATUS] = p->regs[PM1_STATUS + 1] = 0;
	memcpy(&control, p->regs + PM1_CONTROL, sizeof(control));
	if ((control & CONTROL_SLEEP_ENABLE) && CONTROL_SLEEP_TYPE(control) == ACPI_S5_TYPE)
		p->stopper->stop(p->stopper, EXIT_GUEST_OK, "the guest powered off");
	control = (control & ~CONTROL_SLEEP_ENABLE) | CONTROL_SCI_ENABLE;
	memcpy(p->regs + PM1_CONTROL, &control, sizeof(control));
}

static void acpipm_access(void *opaque, struct bus_access *a)
{
	struct acpipm *p = opaque;

	pthread_mutex_lock(&p->lock);
	if (a->write)
		write_regs(p, a);
	else
		memcpy(a->data, p->regs + a->offset, a->len);
	pthread_mutex_unlock(&p->lock);
}

static void acpipm_destroy(void *dev)
{
	struct acpipm *p = dev;

	pthread_mutex_destroy(&p->lock);
	free(p);
}

static void *acpipm_create(const struct device_env *env, struct error *err)
{
	struct acpipm *p = calloc(1, sizeof(*p));

	if (!p) {
		failed(err, "acpipm: no memory");
		return NULL;
	}
	pthread_mutex_init(&p->lock, NULL);
	p->stopper = env->stopper;
	p->regs[PM1_CONTROL] = CONTROL_SCI_ENABLE;
	if (bus_add(env->ports, ACPI_PM1_EVENT, PM1_SIZE, 4, acpipm_access, p, "acpipm", err)) {
		acpipm_destroy(p);
		return NULL;
	}
	return p;
}

DEVICE(acpipm) = {
	.name = "acpipm",
	.order = 30,
	.create = acpipm_create,
	.destroy = acpipm_destroy,
};
