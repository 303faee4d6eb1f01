// SPDX-License-Identifier: GPL-2.0
/* MSI-X: a table of messages in a BAR, the bits of those that wait, and the masks. */
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>

#include "pci.h"

#define PBA_OFFSET	0x800

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
};

_Static_assert(sizeof(((struct pci_msix *)0)->table[0]) == PCI_MSIX_ENTRY_SIZE, "a table's entry");
_Static_assert(PCI_MSIX_MAX * PCI_MSIX_ENTRY_SIZE <= PBA_OFFSET, "table and bits don't overlap");

/* What waits and may go. */
static void flush(struct pci_msix *m)
{
	unsigned int i;

	for (i = 0; m->enabled && !m->masked && i < m->nr; i++) {
		uint64_t bit = 1ULL << i;

		if (!(m->pending & bit) || (m->table[i].control & PCI_MSIX_ENTRY_CTRL_MASKBIT))
			continue;
		m->pending &= ~bit;
		m->irqs->msi(m->irqs, (uint64_t)m->table[i].addr_hi << 32 | m->table[i].addr_lo,
			     m->table[i].data);
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
	for (i = 0; i < nr; i++)
		m->table[i].control = PCI_MSIX_ENTRY_CTRL_MASKBIT;
	m->capability = pci_add_capability(f, PCI_CAP_ID_MSIX, &body, sizeof(body));
	f->writable[m->capability + PCI_MSIX_FLAGS + 1] =
		(PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL) >> 8;
	pci_set_bar(f, bar, false, PCI_MSIX_BAR_SIZE, 8, msix_access, m);
	f->msix = m;
	return 0;
}

void pci_remove_msix(struct pci_function *f)
{
	if (!f->msix)
		return;
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
	if (m->enabled && vector < m->nr) {
		m->pending |= 1ULL << vector;
		flush(m);
	}
	pthread_mutex_unlock(&m->lock);
}
