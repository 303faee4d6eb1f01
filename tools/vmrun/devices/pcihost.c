// SPDX-License-Identifier: GPL-2.0
/*
 * The host bridge, an 82441FX as firmware knows it: configuration mechanism 1, the windows of ports
 * and memory behind it, and the registers that choose between ROM and RAM below 1 MiB. The reset
 * control register lies among its ports.
 */
#include <linux/pci_regs.h>
#include <stdlib.h>

#include "../device.h"
#include "../exitcode.h"
#include "../pci.h"
#include "../shadow.h"

#define CONFIG_ADDRESS		0xcf8
#define CONFIG_PORTS		8	/* address, then data */
#define CONFIG_DATA		4
#define ADDRESS_ENABLE		0x80000000U
#define ADDRESS_BUS(a)		((a) >> 16 & 0xff)
#define ADDRESS_DEVFN(a)	((a) >> 8 & 0xff)
#define ADDRESS_MASK		0x80fffffcU

#define RESET_CONTROL		1	/* 0xcf9, which takes bytes only */
#define RESET_CPU		0x04
#define RESET_MODE		0x02

#define I440FX_ID		0x1237
#define I440FX_PAM0		0x59	/* high nibble: 0xf0000; then two each from 0xc0000 */
#define I440FX_PAMS		7
#define PAM_MASK		0x33

struct pcihost {
	struct pci_function function;	/* first */
	struct pci_bus *bus;
	struct bus *ports, *mmio;
	struct shadow *shadow;
	struct stopper *stopper;
	uint32_t address;		/* bus->lock */
	uint8_t reset_mode;
};

static void pam_written(struct pci_function *f, unsigned int reg, unsigned int len)
{
	struct shadow *s = ((struct pcihost *)f)->shadow;
	const uint8_t *pam = f->config + I440FX_PAM0;
	unsigned int i;

	if (reg + len <= I440FX_PAM0 || reg >= I440FX_PAM0 + I440FX_PAMS)
		return;
	for (i = 0; i < SHADOW_REGIONS - 1; i++)
		s->set(s, i, pam[1 + i / 2] >> (i % 2 ? 4 : 0) & 3);
	s->set(s, i, pam[0] >> 4 & 3);
}

/* Only all of it is the address register; bytes go to the ports in its place. */
static void address_access(struct pcihost *h, struct bus_access *a)
{
	if (a->len == 4 && !a->offset) {
		pthread_mutex_lock(&h->bus->lock);
		if (a->write)
			h->address = bus_value(a) & ADDRESS_MASK;
		else
			bus_return(a, h->address);
		pthread_mutex_unlock(&h->bus->lock);
	} else if (a->len == 1 && a->offset == RESET_CONTROL) {
		if (!a->write)
			a->data[0] = h->reset_mode;
		else if (a->data[0] & RESET_CPU)
			h->stopper->reset(h->stopper,
					  "the guest reset the machine (port 0xcf9)");
		else
			h->reset_mode = a->data[0] & RESET_MODE;
	}
}

static void pcihost_access(void *opaque, struct bus_access *a)
{
	struct pcihost *h = opaque;
	uint32_t address;

	if (a->offset < CONFIG_DATA) {
		address_access(h, a);
		return;
	}
	pthread_mutex_lock(&h->bus->lock);
	address = h->address;
	pthread_mutex_unlock(&h->bus->lock);
	if ((address & ADDRESS_ENABLE) && !ADDRESS_BUS(address))
		pci_config(h->bus, ADDRESS_DEVFN(address),
			   (address & 0xfc) + (a->offset - CONFIG_DATA), a->data, a->len, a->write);
}

static void io_window(void *opaque, struct bus_access *a)
{
	struct pcihost *h = opaque;

	if (!pci_access(h->bus, true, PCI_IO_START + a->offset, a))
		bus_unclaimed(h->ports, PCI_IO_START + a->offset, a->data, a->len, a->write);
}

static void mem_window(void *opaque, struct bus_access *a)
{
	struct pcihost *h = opaque;

	if (!pci_access(h->bus, false, PCI_MEM_START + a->offset, a))
		bus_unclaimed(h->mmio, PCI_MEM_START + a->offset, a->data, a->len, a->write);
}

static int add_windows(struct pcihost *h, const struct device_env *env, struct error *err)
{
	if (bus_add(env->ports, CONFIG_ADDRESS, CONFIG_PORTS, 4, pcihost_access, h, "PCI", err) ||
	    bus_add(env->ports, PCI_IO_START, PCI_IO_END - PCI_IO_START, 4, io_window, h,
		    "PCI ports", err))
		return -1;
	return bus_add(env->mmio, PCI_MEM_START, PCI_MEM_END - PCI_MEM_START, 8, mem_window, h,
		       "PCI memory", err);
}

static void pcihost_destroy(void *dev)
{
	free(dev);
}

static void *pcihost_create(const struct device_env *env, struct error *err)
{
	struct pcihost *h = calloc(1, sizeof(*h));
	unsigned int i;

	if (!h) {
		failed(err, "pcihost: no memory");
		return NULL;
	}
	h->bus = env->pci;
	h->bus->irqs = env->irqs;
	h->ports = env->ports;
	h->mmio = env->mmio;
	h->shadow = env->shadow;
	h->stopper = env->stopper;
	h->function.name = "host bridge";
	pci_identify(&h->function, 0x8086, I440FX_ID, 0x060000, 2);
	pci_set(&h->function, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	/* Without firmware it is all RAM, for good. */
	for (i = 0; i < I440FX_PAMS; i++) {
		uint8_t mask = i ? PAM_MASK : PAM_MASK & 0xf0;

		h->function.config[I440FX_PAM0 + i] = h->shadow ? 0 : mask;
		h->function.writable[I440FX_PAM0 + i] = h->shadow ? mask : 0;
	}
	h->function.written = h->shadow ? pam_written : NULL;
	if (pci_add(h->bus, PCI_HOST_BRIDGE, &h->function, err) || add_windows(h, env, err)) {
		pcihost_destroy(h);
		return NULL;
	}
	return h;
}

static void pcihost_info(void *dev, FILE *out)
{
	struct pcihost *h = dev;
	unsigned int i;

	for (i = 0; i < PCI_FUNCTIONS; i++) {
		const struct pci_function *f = h->bus->functions[i];

		if (f)
			fprintf(out, "pci     %02x.%x %02x%02x:%02x%02x %s\n", i >> 3, i & 7,
				f->config[1], f->config[0], f->config[3], f->config[2], f->name);
	}
}

static void pcihost_fields(void *dev, struct fields *f)
{
	struct pcihost *h = dev;

	pci_fields(&h->function, f);
	FIELD(f, h->address);
	FIELD(f, h->reset_mode);
	if (fields_loaded(f) && h->shadow)
		pam_written(&h->function, I440FX_PAM0, I440FX_PAMS);
}

DEVICE(pcihost) = {
	.name = "pcihost",
	.order = 30,
	.create = pcihost_create,
	.destroy = pcihost_destroy,
	.info = pcihost_info,
	.fields = pcihost_fields,
};
