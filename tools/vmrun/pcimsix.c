// SPDX-License-Identifier: GPL-2.0
/*
 * MSI-X: a table of messages in a BAR, the bits of those that wait, and the masks.
 *
 * Where the hypervisor can, a vector is sent by a write to its eventfd. Somebody else may do that, too
 * (pci_msix_eventfd()): what is written while the vector is masked waits in the eventfd, which is
 * then not the hypervisor's.
 */
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "pci.h"

#define PBA_OFFSET	0x800

/* A way to send a vector. */
struct wire {
	int fd, gsi;
	bool on;			/* the eventfd is the hypervisor's */
	bool outside;			/* others write to it, who don't know of masks */
	uint64_t addr;			/* what the GSI stands for */
	uint32_t data;
};

struct pci_msix {
	pthread_mutex_t lock;
	struct irq_lines *irqs;
	uint8_t capability;
	unsigned int nr;
	bool enabled, masked;
	uint64_t pending;
	struct {
		uint32_t addr_lo, addr_hi, data, control;
	} table[PCI_MSIX_MAX];
	struct wire wires[PCI_MSIX_MAX];
};

_Static_assert(sizeof(((struct pci_msix *)0)->table[0]) == PCI_MSIX_ENTRY_SIZE, "a table's entry");
_Static_assert(PCI_MSIX_MAX * PCI_MSIX_ENTRY_SIZE <= PBA_OFFSET, "table and bits don't overlap");

static bool may_go(const struct pci_msix *m, unsigned int i)
{
	return m->enabled && !m->masked && !(m->table[i].control & PCI_MSIX_ENTRY_CTRL_MASKBIT);
}

/* Return: whether writes to the vector's eventfd send the message that the table has now. */
static bool connect_wire(struct pci_msix *m, unsigned int i)
{
	uint64_t addr = (uint64_t)m->table[i].addr_hi << 32 | m->table[i].addr_lo;
	struct wire *w = &m->wires[i];

	if (!m->irqs->route)
		return false;
	if (w->fd < 0)
		w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->fd < 0)
		return false;
	if (w->gsi == IRQ_NO_GSI || w->addr != addr || w->data != m->table[i].data) {
		if (m->irqs->route(m->irqs, &w->gsi, addr, m->table[i].data))
			return false;
		w->addr = addr;
		w->data = m->table[i].data;
	}
	if (!w->on)
		w->on = !m->irqs->irqfd(m->irqs, w->gsi, w->fd, true);
	return w->on;
}

static void disconnect_wire(struct pci_msix *m, unsigned int i)
{
	struct wire *w = &m->wires[i];

	if (w->on)
		m->irqs->irqfd(m->irqs, w->gsi, w->fd, false);
	w->on = false;
}

static void send(struct pci_msix *m, unsigned int i)
{
	uint64_t one = 1;

	if (!connect_wire(m, i) || write(m->wires[i].fd, &one, sizeof(one)) != sizeof(one))
		m->irqs->msi(m->irqs, (uint64_t)m->table[i].addr_hi << 32 | m->table[i].addr_lo,
			     m->table[i].data);
}

/* What others sent while it was masked. */
static void collect(struct pci_msix *m)
{
	unsigned int i;
	uint64_t n;

	for (i = 0; i < m->nr; i++)
		if (m->wires[i].outside && !m->wires[i].on &&
		    read(m->wires[i].fd, &n, sizeof(n)) == sizeof(n) && m->enabled)
			m->pending |= 1ULL << i;
}

/* Masks or messages may have changed: what waits and may go. */
static void flush(struct pci_msix *m)
{
	unsigned int i;

	collect(m);
	for (i = 0; i < m->nr; i++) {
		uint64_t bit = 1ULL << i;

		if (!may_go(m, i)) {
			if (m->wires[i].outside)
				disconnect_wire(m, i);
			continue;
		}
		if (m->wires[i].outside)
			connect_wire(m, i);
		if (m->pending & bit) {
			m->pending &= ~bit;
			send(m, i);
		}
	}
}

/* One byte of the table; of the controls only the mask can be written. */
static void write_byte(struct pci_msix *m, uint64_t offset, uint8_t value)
{
	unsigned int in_entry = offset % PCI_MSIX_ENTRY_SIZE;

	if (in_entry > PCI_MSIX_ENTRY_VECTOR_CTRL)
		return;
	if (in_entry == PCI_MSIX_ENTRY_VECTOR_CTRL)
		value &= PCI_MSIX_ENTRY_CTRL_MASKBIT;
	((uint8_t *)m->table)[offset] = value;
}

static uint8_t read_byte(const struct pci_msix *m, uint64_t offset)
{
	if (offset < m->nr * PCI_MSIX_ENTRY_SIZE)
		return ((const uint8_t *)m->table)[offset];
	if (offset >= PBA_OFFSET && offset < PBA_OFFSET + sizeof(m->pending))
		return m->pending >> 8 * (offset - PBA_OFFSET);
	return 0;
}

static void msix_access(void *opaque, struct bus_access *a)
{
	struct pci_msix *m = opaque;
	unsigned int i;

	pthread_mutex_lock(&m->lock);
	if (!a->write && a->offset >= PBA_OFFSET)
		collect(m);
	for (i = 0; i < a->len; i++) {
		if (!a->write)
			a->data[i] = read_byte(m, a->offset + i);
		else if (a->offset + i < m->nr * PCI_MSIX_ENTRY_SIZE)
			write_byte(m, a->offset + i, a->data[i]);
	}
	if (a->write)
		flush(m);
	pthread_mutex_unlock(&m->lock);
}

int pci_add_msix(struct pci_function *f, unsigned int bar, unsigned int nr, struct irq_lines *irqs,
		 struct error *err)
{
	struct pci_msix *m = calloc(1, sizeof(*m));
	struct {
		uint16_t control;
		uint32_t table, pba;
	} __attribute__((packed)) body = { nr - 1, bar, PBA_OFFSET | bar };
	unsigned int i;

	if (!m)
		return failed(err, "%s: no memory", f->name);
	pthread_mutex_init(&m->lock, NULL);
	m->irqs = irqs;
	m->nr = nr;
	for (i = 0; i < nr; i++) {
		m->table[i].control = PCI_MSIX_ENTRY_CTRL_MASKBIT;
		m->wires[i].fd = -1;
		m->wires[i].gsi = IRQ_NO_GSI;
	}
	m->capability = pci_add_capability(f, PCI_CAP_ID_MSIX, &body, sizeof(body));
	f->writable[m->capability + PCI_MSIX_FLAGS + 1] =
		(PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL) >> 8;
	pci_set_bar(f, bar, false, PCI_MSIX_BAR_SIZE, 8, msix_access, m);
	f->msix = m;
	return 0;
}

void pci_remove_msix(struct pci_function *f)
{
	unsigned int i;

	if (!f->msix)
		return;
	for (i = 0; i < f->msix->nr; i++) {
		disconnect_wire(f->msix, i);
		if (f->msix->wires[i].fd >= 0)
			close(f->msix->wires[i].fd);
	}
	pthread_mutex_destroy(&f->msix->lock);
	free(f->msix);
	f->msix = NULL;
}

void pci_msix_update(struct pci_function *f)
{
	struct pci_msix *m = f->msix;
	uint16_t control;

	memcpy(&control, f->config + m->capability + PCI_MSIX_FLAGS, sizeof(control));
	pthread_mutex_lock(&m->lock);
	collect(m);
	m->enabled = control & PCI_MSIX_FLAGS_ENABLE;
	m->masked = control & PCI_MSIX_FLAGS_MASKALL;
	if (!m->enabled)
		m->pending = 0;
	flush(m);
	pthread_mutex_unlock(&m->lock);
}

bool pci_msix_enabled(struct pci_function *f)
{
	bool enabled;

	pthread_mutex_lock(&f->msix->lock);
	enabled = f->msix->enabled;
	pthread_mutex_unlock(&f->msix->lock);
	return enabled;
}

void pci_msix_send(struct pci_function *f, unsigned int vector)
{
	struct pci_msix *m = f->msix;

	pthread_mutex_lock(&m->lock);
	if (vector < m->nr && may_go(m, vector))
		send(m, vector);
	else if (m->enabled && vector < m->nr)
		m->pending |= 1ULL << vector;
	pthread_mutex_unlock(&m->lock);
}

int pci_msix_eventfd(struct pci_function *f, unsigned int vector)
{
	struct pci_msix *m = f->msix;
	int fd = -1;

	pthread_mutex_lock(&m->lock);
	if (m->enabled && vector < m->nr && connect_wire(m, vector)) {
		m->wires[vector].outside = true;
		fd = m->wires[vector].fd;
		flush(m);
	}
	pthread_mutex_unlock(&m->lock);
	return fd;
}

/* Without a flush: what waits has a reason to. */
void pci_msix_fields(struct pci_function *f, struct fields *s)
{
	struct pci_msix *m = f->msix;
	unsigned int i;

	if (!s->loading)
		collect(m);
	if (fields_loaded(s)) {
		m->pending = 0;
		pci_msix_update(f);
	}
	for (i = 0; i < m->nr; i++) {
		FIELD(s, m->table[i]);
		fields_must(s, !(m->table[i].control & ~PCI_MSIX_ENTRY_CTRL_MASKBIT),
			    "its MSI-X table");
	}
	FIELD(s, m->pending);
	fields_must(s, !(m->pending & ~((2ULL << (m->nr - 1)) - 1)), "its MSI-X vectors");
}
