// SPDX-License-Identifier: GPL-2.0
#include <linux/pci_regs.h>
#include <string.h>

#include "pci.h"

/* What QEMU's devices carry: by it SeaBIOS knows that it runs in a virtual machine. */
#define SUBSYSTEM_VENDOR	0x1af4
#define SUBSYSTEM_DEVICE	0x1100

void pci_create(struct pci_bus *bus)
{
	memset(bus, 0, sizeof(*bus));
	pthread_mutex_init(&bus->lock, NULL);
}

void pci_destroy(struct pci_bus *bus)
{
	pthread_mutex_destroy(&bus->lock);
}

void pci_set(struct pci_function *f, unsigned int reg, uint32_t value, unsigned int len)
{
	memcpy(f->config + reg, &value, len);
}

void pci_identify(struct pci_function *f, uint16_t vendor, uint16_t device, uint32_t class,
		  uint8_t revision)
{
	pci_set(f, PCI_VENDOR_ID, vendor, 2);
	pci_set(f, PCI_DEVICE_ID, device, 2);
	pci_set(f, PCI_CLASS_REVISION, class << 8 | revision, 4);
	pci_set(f, PCI_SUBSYSTEM_VENDOR_ID, SUBSYSTEM_VENDOR, 2);
	pci_set(f, PCI_SUBSYSTEM_ID, SUBSYSTEM_DEVICE, 2);
	f->writable[PCI_INTERRUPT_LINE] = 0xff;
}

int pci_add(struct pci_bus *bus, uint8_t devfn, struct pci_function *f, struct error *err)
{
	if (bus->functions[devfn])
		return failed(err, "%s: PCI slot %u function %u is taken by %s", f->name,
			      devfn >> 3, devfn & 7, bus->functions[devfn]->name);
	bus->functions[devfn] = f;
	return 0;
}

static void write_config(struct pci_function *f, unsigned int reg, const uint8_t *data,
			 unsigned int len)
{
	bool any = false;
	unsigned int i;

	for (i = 0; i < len; i++) {
		uint8_t mask = f->writable[reg + i];

		f->config[reg + i] = (f->config[reg + i] & ~mask) | (data[i] & mask);
		any |= mask;
	}
	if (any && f->written)
		f->written(f, reg, len);
}

void pci_config(struct pci_bus *bus, uint8_t devfn, unsigned int reg, uint8_t *data,
		unsigned int len, bool write)
{
	struct pci_function *f = bus->functions[devfn];

	if (!f || reg >= PCI_CONFIG_SIZE || len > PCI_CONFIG_SIZE - reg) {
		if (!write)
			memset(data, 0xff, len);
		return;
	}
	pthread_mutex_lock(&bus->lock);
	if (write)
		write_config(f, reg, data, len);
	else
		memcpy(data, f->config + reg, len);
	pthread_mutex_unlock(&bus->lock);
}
