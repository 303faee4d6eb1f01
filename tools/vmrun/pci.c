// SPDX-License-Identifier: GPL-2.0
#include <linux/pci_regs.h>
#include <string.h>

#include "pci.h"

/* What QEMU's devices carry: by it SeaBIOS knows that it runs in a virtual machine. */
#define SUBSYSTEM_VENDOR	0x1af4
#define SUBSYSTEM_DEVICE	0x1100

#define FIRST_CAPABILITY	0x40
/* What a PIIX3 can route to: not timer, keyboard, cascade, clock, coprocessor. */
#define ROUTABLE_IRQS		0xdef8

void pci_create(struct pci_bus *bus)
{
	memset(bus, 0, sizeof(*bus));
	memset(bus->route, PCI_NOT_ROUTED, sizeof(bus->route));
	pthread_mutex_init(&bus->lock, NULL);
	pthread_mutex_init(&bus->irq_lock, NULL);
}

void pci_destroy(struct pci_bus *bus)
{
	pthread_mutex_destroy(&bus->irq_lock);
	pthread_mutex_destroy(&bus->lock);
}

void pci_set(struct pci_function *f, unsigned int reg, uint32_t value, unsigned int len)
{
	memcpy(f->config + reg, &value, len);
}

static uint32_t get(const struct pci_function *f, unsigned int reg, unsigned int len)
{
	uint32_t value = 0;

	memcpy(&value, f->config + reg, len);
	return value;
}

static void set_writable(struct pci_function *f, unsigned int reg, uint32_t bits, unsigned int len)
{
	memcpy(f->writable + reg, &bits, len);
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

void pci_set_bar(struct pci_function *f, unsigned int bar, bool io, uint32_t size,
		 unsigned int width, bus_fn fn, void *opaque)
{
	unsigned int reg = PCI_BASE_ADDRESS_0 + 4 * bar;

	f->bars[bar] = (struct pci_bar) { size, io, width, fn, opaque, PCI_NOWHERE };
	pci_set(f, reg, io ? PCI_BASE_ADDRESS_SPACE_IO : 0, 4);
	set_writable(f, reg, ~(size - 1), 4);
	f->writable[PCI_COMMAND] |= (io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY) | PCI_COMMAND_MASTER;
}

uint8_t pci_add_capability(struct pci_function *f, uint8_t id, const void *body, size_t len)
{
	uint8_t at = f->capabilities_end ? f->capabilities_end : FIRST_CAPABILITY;

	f->config[at] = id;
	memcpy(f->config + at + 2, body, len);
	f->config[f->last_capability ? f->last_capability + 1 : PCI_CAPABILITY_LIST] = at;
	f->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	f->last_capability = at;
	f->capabilities_end = (at + 2 + len + 3) & ~3;
	return at;
}

void pci_set_pin(struct pci_function *f)
{
	f->config[PCI_INTERRUPT_PIN] = 1;
	f->writable[PCI_COMMAND + 1] |= PCI_COMMAND_INTX_DISABLE >> 8;
}

int pci_add(struct pci_bus *bus, uint8_t devfn, struct pci_function *f, struct error *err)
{
	unsigned int i;

	if (bus->functions[devfn])
		return failed(err, "%s: PCI slot %u function %u is taken by %s", f->name,
			      devfn >> 3, devfn & 7, bus->functions[devfn]->name);
	if (bus->nr_bars + PCI_BARS > PCI_BUS_BARS_MAX)
		return failed(err, "%s: there is no room for more PCI functions", f->name);
	bus->functions[devfn] = f;
	f->bus = bus;
	f->devfn = devfn;
	for (i = 0; i < PCI_BARS; i++)
		if (f->bars[i].size)
			bus->bars[bus->nr_bars++] = &f->bars[i];
	return 0;
}

int pci_plug(struct pci_bus *bus, struct pci_function *f, struct error *err)
{
	unsigned int slot;

	for (slot = PCI_FIRST_FREE_SLOT; slot < PCI_SLOTS; slot++)
		if (!bus->functions[PCI_DEVFN(slot, 0)])
			return pci_add(bus, PCI_DEVFN(slot, 0), f, err);
	return failed(err, "%s: all PCI slots are taken", f->name);
}

/* ---- interrupts ------------------------------------------------------------------------------ */

unsigned int pci_pirq(unsigned int slot)
{
	return (slot - 1) % PCI_PIRQS;
}

unsigned int pci_usual_irq(unsigned int pirq)
{
	return pirq < 2 ? 10 : 11;
}

/* Under irq_lock. */
static void update_irqs(struct pci_bus *bus)
{
	uint16_t now = 0, changed;
	unsigned int i, irq;

	for (i = 0; i < PCI_FUNCTIONS; i++) {
		const struct pci_function *f = bus->functions[i];
		uint8_t route = bus->route[pci_pirq(i >> 3)];

		if (f && f->intx && !f->intx_off && !(route & PCI_NOT_ROUTED))
			now |= 1U << (route & 15);
	}
	now &= ROUTABLE_IRQS;
	changed = now ^ bus->raised;
	bus->raised = now;
	for (irq = 0; changed >> irq; irq++)
		if (changed >> irq & 1)
			bus->irqs->set(bus->irqs, irq, now >> irq & 1);
}

void pci_intx(struct pci_function *f, bool level)
{
	pthread_mutex_lock(&f->bus->irq_lock);
	if (f->intx != level) {
		f->intx = level;
		update_irqs(f->bus);
	}
	pthread_mutex_unlock(&f->bus->irq_lock);
}

void pci_route(struct pci_bus *bus, unsigned int pirq, uint8_t value)
{
	pthread_mutex_lock(&bus->irq_lock);
	bus->route[pirq] = value;
	update_irqs(bus);
	pthread_mutex_unlock(&bus->irq_lock);
}

static void command_written(struct pci_function *f)
{
	pthread_mutex_lock(&f->bus->irq_lock);
	f->intx_off = get(f, PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE;
	update_irqs(f->bus);
	pthread_mutex_unlock(&f->bus->irq_lock);
}

/* ---- base addresses -------------------------------------------------------------------------- */

/* Where a BAR answers, says configuration space; nothing comes through outside of the windows. */
static uint64_t place(const struct pci_function *f, unsigned int i)
{
	uint16_t command = get(f, PCI_COMMAND, 2);
	uint32_t at = get(f, PCI_BASE_ADDRESS_0 + 4 * i, 4) & ~(f->bars[i].size - 1);
	bool io = f->bars[i].io;
	uint32_t start = io ? PCI_IO_START : PCI_MEM_START, end = io ? PCI_IO_END : PCI_MEM_END;

	if (!(command & (io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY)))
		return PCI_NOWHERE;
	return at >= start && at < end && f->bars[i].size <= end - at ? at : PCI_NOWHERE;
}

static void update_bars(struct pci_function *f)
{
	unsigned int i;

	for (i = 0; i < PCI_BARS; i++) {
		uint64_t from = atomic_load(&f->bars[i].at), to;

		if (!f->bars[i].size)
			continue;
		to = place(f, i);
		if (to == from)
			continue;
		atomic_store(&f->bars[i].at, to);
		if (f->moved)
			f->moved(f, i, from, to);
	}
}

/* A BAR that is moved meanwhile takes this access at its old place, or nobody does. */
static struct pci_bar *find_bar(struct pci_bus *bus, bool io, uint64_t addr, uint64_t *offset)
{
	unsigned int i;

	for (i = 0; i < bus->nr_bars; i++) {
		struct pci_bar *b = bus->bars[i];
		uint64_t at = atomic_load_explicit(&b->at, memory_order_acquire);

		if (b->io == io && at != PCI_NOWHERE && addr - at < b->size) {
			*offset = addr - at;
			return b;
		}
	}
	return NULL;
}

bool pci_access(struct pci_bus *bus, bool io, uint64_t addr, const struct bus_access *a)
{
	uint64_t offset;
	struct pci_bar *b = find_bar(bus, io, addr, &offset);
	unsigned int i;

	if (!b)
		return false;
	if (a->len > 1 && (a->len > b->width || a->len > b->size - offset)) {
		for (i = 0; i < a->len; i++) {
			struct bus_access byte = { a->offset + i, a->data + i, 1, a->write };

			pci_access(bus, io, addr + i, &byte);
		}
	} else {
		struct bus_access in_bar = { offset, a->data, a->len, a->write };

		b->fn(b->opaque, &in_bar);
	}
	return true;
}

/* The next address for a BAR, or 0 when there is no room. */
static uint32_t take(uint32_t *next, uint32_t end, uint32_t size)
{
	uint32_t at = (*next + size - 1) & ~(size - 1);

	if (at < *next || at >= end || size > end - at)
		return 0;
	*next = at + size;
	return at;
}

int pci_assign(struct pci_bus *bus, struct error *err)
{
	uint32_t io = PCI_IO_FIRST, mem = PCI_MEM_START;
	unsigned int i, n;

	for (i = 0; i < PCI_FUNCTIONS; i++) {
		struct pci_function *f = bus->functions[i];

		for (n = 0; f && n < PCI_BARS; n++) {
			const struct pci_bar *b = &f->bars[n];
			unsigned int reg = PCI_BASE_ADDRESS_0 + 4 * n;
			uint32_t at;

			if (!b->size)
				continue;
			at = b->io ? take(&io, PCI_IO_END, b->size) :
			     take(&mem, PCI_MEM_END, b->size);
			if (!at)
				return failed(err, "%s: there is no room for its registers", f->name);
			pci_set(f, reg, at | (b->io ? PCI_BASE_ADDRESS_SPACE_IO : 0), 4);
		}
		if (f && f->config[PCI_INTERRUPT_PIN])
			f->config[PCI_INTERRUPT_LINE] = pci_usual_irq(pci_pirq(i >> 3));
	}
	return 0;
}

/* ---- configuration space --------------------------------------------------------------------- */

static bool touches(unsigned int reg, unsigned int len, unsigned int start, unsigned int size)
{
	return reg < start + size && start < reg + len;
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
	if (!any)
		return;
	if (touches(reg, len, PCI_COMMAND, 2))
		command_written(f);
	if (touches(reg, len, PCI_COMMAND, 2) ||
	    touches(reg, len, PCI_BASE_ADDRESS_0, 4 * PCI_BARS))
		update_bars(f);
	if (f->msix)
		pci_msix_update(f);
	if (f->written)
		f->written(f, reg, len);
}

static void read_config(struct pci_function *f, unsigned int reg, uint8_t *data, unsigned int len)
{
	if (touches(reg, len, PCI_STATUS, 1) && f->config[PCI_INTERRUPT_PIN]) {
		pthread_mutex_lock(&f->bus->irq_lock);
		f->config[PCI_STATUS] &= ~PCI_STATUS_INTERRUPT;
		f->config[PCI_STATUS] |= f->intx ? PCI_STATUS_INTERRUPT : 0;
		pthread_mutex_unlock(&f->bus->irq_lock);
	}
	if (f->reading)
		f->reading(f, reg, len);
	memcpy(data, f->config + reg, len);
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
		read_config(f, reg, data, len);
	pthread_mutex_unlock(&bus->lock);
}

void pci_fields(struct pci_function *f, struct fields *s)
{
	uint8_t config[PCI_CONFIG_SIZE];
	bool intx = f->intx;
	unsigned int i;

	f->config[PCI_STATUS] &= ~PCI_STATUS_INTERRUPT;	/* it is up to date when it is read */
	memcpy(config, f->config, sizeof(config));
	FIELD(s, config);
	FIELD(s, intx);
	for (i = 0; i < PCI_CONFIG_SIZE; i++)
		fields_must(s, !((config[i] ^ f->config[i]) & ~f->writable[i]),
			    "it is another PCI device");
	if (fields_loaded(s)) {
		memcpy(f->config, config, sizeof(config));
		command_written(f);
		update_bars(f);
		if (f->config[PCI_INTERRUPT_PIN])
			pci_intx(f, intx);
	}
	if (f->msix)
		pci_msix_fields(f, s);
}
