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
#define PIRQ_OFF		0x80
#define PIRQ_MASK		0x8f

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
	for (i = 0; i < 4; i++) {
		f->config[PIIX3_PIRQ + i] = PIRQ_OFF;
		f->writable[PIIX3_PIRQ + i] = PIRQ_MASK;
	}
	if (pci_add(env->pci, PCI_ISA_BRIDGE, f, err)) {
		piix3_destroy(f);
		return NULL;
	}
	return f;
}

DEVICE(piix3) = {
	.name = "piix3",
	.order = 31,
	.create = piix3_create,
	.destroy = piix3_destroy,
};
