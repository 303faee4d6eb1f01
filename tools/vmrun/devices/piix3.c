// SPDX-License-Identifier: GPL-2.0
/*
 * The PCI-to-ISA bridge, a PIIX3 as firmware knows it, with its interrupt routing registers. What
 * else is on the ISA bus stands in files of its own.
 */
#include <linux/pci_regs.h>
#include <stdlib.h>

#include "../device.h"
#include "../pci.h"

#define PIIX3_ID		0x7000
#define PIIX3_PIRQ		0x60	/* to 0x63: the ISA interrupt for PIRQA to PIRQD */
#define PIRQ_MASK		0x8f

static void piix3_written(struct pci_function *f, unsigned int reg, unsigned int len)
{
	unsigned int i;

	for (i = 0; i < PCI_PIRQS; i++)
		if (reg <= PIIX3_PIRQ + i && PIIX3_PIRQ + i < reg + len)
			pci_route(f->bus, i, f->config[PIIX3_PIRQ + i]);
}

static void piix3_destroy(void *dev)
{
	free(dev);
}

static void *piix3_create(const struct device_env *env, struct error *err)
{
	struct pci_function *f = calloc(1, sizeof(*f));
	unsigned int i;

	if (!f) {
		failed(err, "piix3: no memory");
		return NULL;
	}
	f->name = "ISA bridge";
	pci_identify(f, 0x8086, PIIX3_ID, 0x060100, 0);
	pci_set(f, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	f->config[PCI_HEADER_TYPE] = 0x80;	/* there is more than one function in this slot */
	f->written = piix3_written;
	/* Firmware routes the interrupts; without it they are routed from the beginning. */
	for (i = 0; i < PCI_PIRQS; i++) {
		uint8_t route = env->shadow ? PCI_NOT_ROUTED : pci_usual_irq(i);

		f->config[PIIX3_PIRQ + i] = route;
		f->writable[PIIX3_PIRQ + i] = PIRQ_MASK;
		pci_route(env->pci, i, route);
	}
	if (pci_add(env->pci, PCI_ISA_BRIDGE, f, err)) {
		piix3_destroy(f);
		return NULL;
	}
	return f;
}

static void piix3_fields(void *dev, struct fields *f)
{
	pci_fields(dev, f);
	if (fields_loaded(f))
		piix3_written(dev, PIIX3_PIRQ, PCI_PIRQS);
}

DEVICE(piix3) = {
	.name = "piix3",
	.order = 31,
	.create = piix3_create,
	.destroy = piix3_destroy,
	.fields = piix3_fields,
};
