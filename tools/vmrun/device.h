/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a device knows: its buses, an interrupt line, the console, and how to ask for the end. It
 * doesn't know the hypervisor. Each device is one file in devices/ that registers itself with
 * DEVICE(); they are created by ascending order and destroyed in reverse.
 *
 * Callbacks run on vCPU threads, those of the console on the loop's: a device with state has a
 * mutex. Everything that arrives by the bus is hostile.
 */
#ifndef VMRUN_DEVICE_H
#define VMRUN_DEVICE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "bus.h"
#include "error.h"
#include "fields.h"

/* A stream of bytes to and from a person or a file; the console is one. */
struct chardev {
	void (*write)(struct chardev *c, const void *buf, size_t len);
	/* Takes up to len of the bytes that wait; never blocks. */
	size_t (*read)(struct chardev *c, void *buf, size_t len);
	/* The reader sets these; called when bytes have come to wait. */
	void (*notify)(void *opaque);
	void *opaque;
};

/* Interrupts: lines by GSI, and messages. From any thread. */
struct irq_lines {
	void (*set)(struct irq_lines *lines, unsigned int gsi, int level);
	void (*msi)(struct irq_lines *lines, uint64_t addr, uint32_t data);

	/*
	 * Messages by eventfd: route() has a GSI (IRQ_NO_GSI: a new one) stand for a message, irqfd()
	 * lets writes to an eventfd send it, or not any more. Return: 0, or -1 when there is none to
	 * be had; then msi() is the way. NULL: never.
	 */
	int (*route)(struct irq_lines *lines, int *gsi, uint64_t addr, uint32_t data);
	int (*irqfd)(struct irq_lines *lines, int gsi, int fd, bool on);
};

#define IRQ_NO_GSI	(-1)

/* Addresses where a guest's write does nothing but wake the holder of an eventfd. */
struct doorbells {
	/* Return: 0, or -1 when there is none to be had; then the write comes by the bus. */
	int (*add)(struct doorbells *d, uint64_t addr, int fd);
	void (*remove)(struct doorbells *d, uint64_t addr, int fd);
};

/* Where a guest's wish to stop goes. The first one wins. */
struct stopper {
	/* guest_code: 0 to EXIT_GUEST_MAX */
	void (*stop)(struct stopper *s, int guest_code, const char *why);
	void (*reset)(struct stopper *s, const char *why);
	/* The guest says that it has failed. */
	void (*panicked)(struct stopper *s, const char *why);
};

/* The power button, which a device sets. */
struct power_button {
	/* Return: whether the guest listens to it. */
	bool (*press)(void *opaque);
	void *opaque;
};

/* The keyboard, which a device sets. */
struct keyboard {
	/* Bytes of scan code set 2. Return: NULL, or why it can't: then none of them is sent. */
	const char *(*type)(void *opaque, const uint8_t *codes, size_t len);
	void *opaque;
};

/* The guest's memory balloon, which a device sets. */
struct memory_balloon {
	/* So much is to be given up. Return: whether the guest listens. */
	bool (*set)(void *opaque, uint64_t bytes);
	void (*print)(void *opaque, FILE *out);
	void *opaque;
};

struct disk;
struct fwcfg;
struct guest_mem;
struct loop;
struct net_options;
struct pci_bus;
struct shadow;

#define PORTS_MAX	8

/* A port of the virtio console, besides the terminal. */
struct port_options {
	const char *name, *where;	/* where: as stream_open() has it */
};

struct device_env {
	struct bus *ports, *mmio;
	struct pci_bus *pci;
	struct irq_lines *irqs;
	struct doorbells *doorbells;
	struct loop *loop;		/* its thread serves queues and descriptors */
	struct chardev *console;
	int console_fd;			/* where its output appears */
	bool hvc;			/* keys are the virtio console's, not the UART's */
	const struct port_options *console_ports;
	unsigned int nr_ports;
	const char *serial2;		/* as stream_open() has it; NULL: there is none */
	struct stopper *stopper;
	struct power_button *power_button;
	struct keyboard *keyboard;
	struct memory_balloon *balloon;
	uint64_t low_ram, high_ram;	/* bytes below and from 4 GiB */
	const struct guest_mem *mem;
	struct shadow *shadow;		/* NULL: there is no firmware */
	const struct fwcfg *fwcfg;
	struct disk *disks;		/* IDE drives, and those of virtio */
	unsigned int nr_disks;
	const struct net_options *nets;
	unsigned int nr_nets;
	bool cd_first;			/* the order to boot from them */
	unsigned int cpus;
	bool firmware_log;		/* it goes to standard error; else nowhere */
};

struct device_class {
	const char *name;
	int order;
	/* Return: the device, or NULL with err filled in. */
	void *(*create)(const struct device_env *env, struct error *err);
	void (*destroy)(void *dev);
	/* A line or more for the monitor's `info`; may be NULL. */
	void (*info)(void *dev, FILE *out);
	/* Its state, to save or to load; may be NULL. On the loop's thread, and no vCPU runs. */
	void (*fields)(void *dev, struct fields *f);
};

#define DEVICE(id)								\
	static const struct device_class id;					\
	static const struct device_class *const id##_entry			\
		__attribute__((used, retain, section("vmrun_devices"))) = &id;	\
	static const struct device_class id

#define DEVICES_MAX	64

struct device_set {
	struct {
		const struct device_class *class;
		void *dev;
	} made[DEVICES_MAX];
	unsigned int nr;
};

int devices_create(struct device_set *set, const struct device_env *env, struct error *err);
void devices_destroy(struct device_set *set);
void devices_info(struct device_set *set, FILE *out);

#endif
