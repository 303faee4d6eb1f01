/* SPDX-License-Identifier: GPL-2.0 */
/*
 * PCI bus 0: functions by slot, and their configuration space. devices/pcihost.c leads the guest's
 * accesses here by configuration mechanism 1.
 */
#ifndef VMRUN_PCI_H
#define VMRUN_PCI_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "error.h"

#define PCI_FUNCTIONS		256
#define PCI_CONFIG_SIZE		256

#define PCI_DEVFN(slot, function)	((slot) << 3 | (function))

/* The places of what is on the board. */
#define PCI_HOST_BRIDGE		PCI_DEVFN(0, 0)
#define PCI_ISA_BRIDGE		PCI_DEVFN(1, 0)
#define PCI_IDE			PCI_DEVFN(1, 1)

struct pci_function {
	const char *name;
	uint8_t config[PCI_CONFIG_SIZE];
	uint8_t writable[PCI_CONFIG_SIZE];	/* the bits that the guest may change */
	/* The guest wrote these bytes, some of them writable; under the bus's lock. May be NULL. */
	void (*written)(struct pci_function *f, unsigned int reg, unsigned int len);
};

struct pci_bus {
	pthread_mutex_t lock;
	struct pci_function *functions[PCI_FUNCTIONS];
};

void pci_create(struct pci_bus *bus);
void pci_destroy(struct pci_bus *bus);

/* The part of a header that never changes. @class: with subclass and interface, as in 0x060000. */
void pci_identify(struct pci_function *f, uint16_t vendor, uint16_t device, uint32_t class,
		  uint8_t revision);
void pci_set(struct pci_function *f, unsigned int reg, uint32_t value, unsigned int len);

/* Return: 0, or -1 with @err filled in when the place is taken. */
int pci_add(struct pci_bus *bus, uint8_t devfn, struct pci_function *f, struct error *err);

/**
 * pci_config() - one access to a configuration space
 * @reg: the register, of which @len bytes lie inside the space
 * @data: what is written, or what a read returns: ones where there is no function
 */
void pci_config(struct pci_bus *bus, uint8_t devfn, unsigned int reg, uint8_t *data,
		unsigned int len, bool write);

#endif
