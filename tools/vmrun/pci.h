/* SPDX-License-Identifier: GPL-2.0 */
/*
 * PCI bus 0: functions by slot, their configuration space, base address registers and interrupts.
 * devices/pcihost.c leads the guest's accesses here: configuration mechanism 1, and the two windows
 * in which BARs answer.
 *
 * Locks, outer to inner: the bus's (configuration space, where BARs are), a device's own, then
 * irq_lock or that of MSI-X. So an interrupt may be raised under a device's lock, and a callback
 * below that comes under the bus's lock may take the device's.
 */
#ifndef VMRUN_PCI_H
#define VMRUN_PCI_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "bus.h"
#include "device.h"
#include "error.h"

#define PCI_FUNCTIONS		256
#define PCI_CONFIG_SIZE		256
#define PCI_BARS		6
#define PCI_BUS_BARS_MAX	128

#define PCI_DEVFN(slot, function)	((slot) << 3 | (function))

/* The places of what is on the board; what is plugged in gets the next free slot. */
#define PCI_HOST_BRIDGE		PCI_DEVFN(0, 0)
#define PCI_ISA_BRIDGE		PCI_DEVFN(1, 0)
#define PCI_IDE			PCI_DEVFN(1, 1)
#define PCI_FIRST_FREE_SLOT	2
#define PCI_SLOTS		32

/* Where BARs can be: SeaBIOS puts them there, and ACPI tells the guest. */
#define PCI_IO_START		0x1000U
#define PCI_IO_END		0x10000U
#define PCI_IO_FIRST		0xc000U	/* where vmrun itself begins to place them */
#define PCI_MEM_START		0xe0000000U
#define PCI_MEM_END		0xfec00000U

#define PCI_PIRQS		4
#define PCI_NOWHERE		UINT64_MAX

struct pci_bus;
struct pci_msix;

struct pci_bar {
	uint32_t size;			/* a power of two; 0: there is none */
	bool io;
	unsigned int width;		/* the widest access that fn takes */
	bus_fn fn;
	void *opaque;
	/* Or PCI_NOWHERE. Changed under the bus's lock; dispatch reads it without one. */
	_Atomic uint64_t at;
};

struct pci_function {
	const char *name;
	uint8_t config[PCI_CONFIG_SIZE];
	uint8_t writable[PCI_CONFIG_SIZE];	/* the bits that the guest may change */
	struct pci_bar bars[PCI_BARS];

	/* All of these come under the bus's lock, and may be NULL. */
	/* The guest wrote these bytes, some of them writable. */
	void (*written)(struct pci_function *f, unsigned int reg, unsigned int len);
	/* It is about to read these: last moment to bring them up to date. */
	void (*reading)(struct pci_function *f, unsigned int reg, unsigned int len);
	/* A BAR that was at one address is at another; each may be PCI_NOWHERE. */
	void (*moved)(struct pci_function *f, unsigned int bar, uint64_t from, uint64_t to);

	/* pci.c's own */
	struct pci_bus *bus;
	struct pci_msix *msix;
	uint8_t devfn, capabilities_end, last_capability;
	bool intx, intx_off;		/* irq_lock */
};

struct pci_bus {
	pthread_mutex_t lock;
	struct pci_function *functions[PCI_FUNCTIONS];
	struct pci_bar *bars[PCI_BUS_BARS_MAX];	/* doesn't change once the guest runs */
	unsigned int nr_bars;

	pthread_mutex_t irq_lock;
	struct irq_lines *irqs;
	uint8_t route[PCI_PIRQS];	/* ISA interrupt of PIRQA to PIRQD; PCI_NOT_ROUTED */
	uint16_t raised;		/* ISA interrupts */
};

#define PCI_NOT_ROUTED	0x80

void pci_create(struct pci_bus *bus);
void pci_destroy(struct pci_bus *bus);

/* The part of a header that never changes. @class: with subclass and interface, as in 0x060000. */
void pci_identify(struct pci_function *f, uint16_t vendor, uint16_t device, uint32_t class,
		  uint8_t revision);
void pci_set(struct pci_function *f, unsigned int reg, uint32_t value, unsigned int len);

/* Before pci_add(): a BAR of size bytes (a power of two, at least 16). */
void pci_set_bar(struct pci_function *f, unsigned int bar, bool io, uint32_t size,
		 unsigned int width, bus_fn fn, void *opaque);

/**
 * pci_add_capability() - append to the list of capabilities
 * @body: what follows ID and link
 *
 * Return: its offset in configuration space.
 */
uint8_t pci_add_capability(struct pci_function *f, uint8_t id, const void *body, size_t len);

/* It has an interrupt pin, INTA#. */
void pci_set_pin(struct pci_function *f);

/* Return: 0, or -1 with @err filled in when the place is taken. */
int pci_add(struct pci_bus *bus, uint8_t devfn, struct pci_function *f, struct error *err);
/* In the next free slot. */
int pci_plug(struct pci_bus *bus, struct pci_function *f, struct error *err);

/* What firmware does, where there is none: places for BARs, interrupt lines for functions. */
int pci_assign(struct pci_bus *bus, struct error *err);

/**
 * pci_config() - one access to a configuration space
 * @reg: the register, of which @len bytes lie inside the space
 * @data: what is written, or what a read returns: ones where there is no function
 */
void pci_config(struct pci_bus *bus, uint8_t devfn, unsigned int reg, uint8_t *data,
		unsigned int len, bool write);

/* An access in a window, at this address. Return: false when no BAR is there. */
bool pci_access(struct pci_bus *bus, bool io, uint64_t addr, const struct bus_access *a);

/* What the guest has made of a function's configuration space, and what follows from that. */
void pci_fields(struct pci_function *f, struct fields *s);

/* The level of a function's INTA#. */
void pci_intx(struct pci_function *f, bool level);
/* Which of PIRQA to PIRQD a slot's INTA# is wired to, and the ISA interrupt usual for it. */
unsigned int pci_pirq(unsigned int slot);
unsigned int pci_usual_irq(unsigned int pirq);
/* PIIX3's routing register. */
void pci_route(struct pci_bus *bus, unsigned int pirq, uint8_t value);

/* ---- pcimsix.c ------------------------------------------------------------------------------- */

#define PCI_MSIX_MAX		64
#define PCI_MSIX_BAR_SIZE	4096

/* Before pci_add(): nr vectors, whose table lies in a memory BAR of its own. */
int pci_add_msix(struct pci_function *f, unsigned int bar, unsigned int nr, struct irq_lines *irqs,
		 struct error *err);
void pci_remove_msix(struct pci_function *f);
bool pci_msix_enabled(struct pci_function *f);
/* From any thread. A vector that is masked stays pending. */
void pci_msix_send(struct pci_function *f, unsigned int vector);
/*
 * While MSI-X is enabled: an eventfd by which somebody else, such as the host's kernel, sends the
 * vector. It stays pci_remove_msix()'s. Return: -1 when there is none to be had.
 */
int pci_msix_eventfd(struct pci_function *f, unsigned int vector);
/* pci.c: message control may have changed. */
void pci_msix_update(struct pci_function *f);
void pci_msix_fields(struct pci_function *f, struct fields *s);

#endif
