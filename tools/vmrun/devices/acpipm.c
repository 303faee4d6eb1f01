// SPDX-License-Identifier: GPL-2.0
/* ACPI's fixed hardware: the PM1 registers, which switch the machine off, and its power button. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "../acpi.h"
#include "../device.h"
#include "../exitcode.h"

enum {
	PM1_STATUS = 0,
	PM1_ENABLE = 2,
	PM1_CONTROL = ACPI_PM1_CONTROL - ACPI_PM1_EVENT,
	PM1_SIZE = PM1_CONTROL + ACPI_PM1_CONTROL_SIZE,
};

#define EVENT_POWER_BUTTON	0x0100	/* the only one that happens */

#define CONTROL_SCI_ENABLE	0x0001
#define CONTROL_SLEEP_TYPE(c)	((c) >> 10 & 7)
#define CONTROL_SLEEP_ENABLE	0x2000	/* reads as zero */

struct acpipm {
	pthread_mutex_t lock;
	struct irq_lines *irqs;
	struct stopper *stopper;
	struct power_button *button;
	uint8_t regs[PM1_SIZE];
	int level;
};

static uint16_t get(const struct acpipm *p, unsigned int reg)
{
	return p->regs[reg] | p->regs[reg + 1] << 8;
}

static void set(struct acpipm *p, unsigned int reg, uint16_t value)
{
	p->regs[reg] = value;
	p->regs[reg + 1] = value >> 8;
}

static void update_irq(struct acpipm *p)
{
	int level = (get(p, PM1_STATUS) & get(p, PM1_ENABLE)) != 0;

	if (level == p->level)
		return;
	p->level = level;
	p->irqs->set(p->irqs, ACPI_SCI, level);
}

static void write_regs(struct acpipm *p, const struct bus_access *a)
{
	uint16_t status = get(p, PM1_STATUS), control;

	set(p, PM1_STATUS, 0);
	memcpy(p->regs + a->offset, a->data, a->len);
	set(p, PM1_STATUS, status & ~get(p, PM1_STATUS));	/* ones clear */
	control = get(p, PM1_CONTROL);
	if ((control & CONTROL_SLEEP_ENABLE) && CONTROL_SLEEP_TYPE(control) == ACPI_S5_TYPE)
		p->stopper->stop(p->stopper, EXIT_GUEST_OK, "the guest powered off");
	set(p, PM1_CONTROL, (control & ~CONTROL_SLEEP_ENABLE) | CONTROL_SCI_ENABLE);
	update_irq(p);
}

static bool press(void *opaque)
{
	struct acpipm *p = opaque;
	bool listens;

	pthread_mutex_lock(&p->lock);
	listens = get(p, PM1_ENABLE) & EVENT_POWER_BUTTON;
	set(p, PM1_STATUS, get(p, PM1_STATUS) | EVENT_POWER_BUTTON);
	update_irq(p);
	pthread_mutex_unlock(&p->lock);
	return listens;
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

	p->button->press = NULL;
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
	p->irqs = env->irqs;
	p->stopper = env->stopper;
	p->button = env->power_button;
	p->button->press = press;
	p->button->opaque = p;
	set(p, PM1_CONTROL, CONTROL_SCI_ENABLE);
	if (bus_add(env->ports, ACPI_PM1_EVENT, PM1_SIZE, 4, acpipm_access, p, "acpipm", err)) {
		acpipm_destroy(p);
		return NULL;
	}
	return p;
}

static void acpipm_fields(void *dev, struct fields *f)
{
	struct acpipm *p = dev;

	FIELD(f, p->regs);
	fields_line(f, p->irqs, ACPI_SCI, &p->level);
}

DEVICE(acpipm) = {
	.name = "acpipm",
	.order = 30,
	.create = acpipm_create,
	.destroy = acpipm_destroy,
	.fields = acpipm_fields,
};
