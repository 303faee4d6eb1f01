// SPDX-License-Identifier: GPL-2.0
#include <string.h>

#include "layout.h"
#include "mptable.h"
#include "pci.h"

#define LAPIC_VERSION	0x14
#define IOAPIC_VERSION	0x11
#define PCI_BUS		0		/* its number, too */
#define ISA_BUS		1
#define ISA_IRQS	16
#define CASCADE_IRQ	2
#define ALL_LAPICS	0xff
#define LOW_LEVEL	0x0f		/* how PCI's interrupts are */

enum { ENTRY_CPU, ENTRY_BUS, ENTRY_IOAPIC, ENTRY_IOINT, ENTRY_LINT };
enum { INT_VECTORED, INT_NMI, INT_SMI, INT_EXTINT };
enum { CPU_ENABLED = 1, CPU_BOOT = 2 };

struct mp_floating {
	char signature[4];
	uint32_t table;
	uint8_t length;			/* in 16 bytes */
	uint8_t revision;
	uint8_t checksum;
	uint8_t features[5];
} __attribute__((packed));

struct mp_table {
	char signature[4];
	uint16_t length;
	uint8_t revision;
	uint8_t checksum;
	char oem[8], product[12];
	uint32_t oem_table;
	uint16_t oem_size;
	uint16_t entries;
	uint32_t lapic;
	uint16_t extended_length;
	uint8_t extended_checksum;
	uint8_t reserved;
} __attribute__((packed));

struct mp_cpu {
	uint8_t type, apic_id, apic_version, flags;
	uint32_t signature, features, reserved[2];
} __attribute__((packed));

struct mp_bus {
	uint8_t type, id;
	char name[6];
} __attribute__((packed));

struct mp_ioapic {
	uint8_t type, id, version, flags;
	uint32_t addr;
} __attribute__((packed));

struct mp_interrupt {
	uint8_t type, kind;
	uint16_t flags;			/* 0: polarity and trigger as the bus has them */
	uint8_t bus, bus_irq, apic, pin;
} __attribute__((packed));

struct builder {
	struct guest_mem *mem;
	uint64_t at;
	uint16_t entries;
};

static void put(struct builder *b, const void *entry, size_t len)
{
	mem_write(b->mem, b->at, entry, len);
	b->at += len;
	b->entries++;
}

static uint8_t checksum(const struct guest_mem *mem, uint64_t gpa, size_t len)
{
	const uint8_t *p = mem_at(mem, gpa, len);
	uint8_t sum = 0;

	while (p && len--)
		sum -= *p++;
	return sum;
}

static void put_cpus(struct builder *b, unsigned int cpus, uint32_t signature, uint32_t features)
{
	unsigned int i;

	for (i = 0; i < cpus; i++) {
		struct mp_cpu cpu = {
			.type = ENTRY_CPU,
			.apic_id = i,
			.apic_version = LAPIC_VERSION,
			.flags = CPU_ENABLED | (i ? 0 : CPU_BOOT),
			.signature = signature,
			.features = features,
		};

		put(b, &cpu, sizeof(cpu));
	}
}

static void put_interrupt(struct builder *b, uint8_t type, uint8_t kind, uint8_t irq, uint8_t apic,
			  uint8_t pin)
{
	struct mp_interrupt e = {
		.type = type, .kind = kind, .bus = ISA_BUS, .bus_irq = irq, .apic = apic,
		.pin = pin,
	};

	put(b, &e, sizeof(e));
}

/* A PCI interrupt's source is a slot and its pin, counted from 0. Return: the pins that are used. */
static uint16_t put_pci_interrupts(struct builder *b, uint8_t ioapic)
{
	uint16_t pins = 0;
	unsigned int slot;

	for (slot = PCI_FIRST_FREE_SLOT; slot < PCI_SLOTS; slot++) {
		struct mp_interrupt e = {
			.type = ENTRY_IOINT, .kind = INT_VECTORED, .flags = LOW_LEVEL,
			.bus = PCI_BUS, .bus_irq = slot << 2, .apic = ioapic,
			.pin = pci_usual_irq(pci_pirq(slot)),
		};

		put(b, &e, sizeof(e));
		pins |= 1U << e.pin;
	}
	return pins;
}

/*
 * GSI n is pin n, as the hypervisor wires it when nobody says otherwise: the timer too, which a PC's
 * board connects to pin 2.
 */
static void put_interrupts(struct builder *b, uint8_t ioapic)
{
	uint16_t taken = put_pci_interrupts(b, ioapic);
	unsigned int irq;

	for (irq = 0; irq < ISA_IRQS; irq++)
		if (irq != CASCADE_IRQ && !(taken >> irq & 1))
			put_interrupt(b, ENTRY_IOINT, INT_VECTORED, irq, ioapic, irq);
	put_interrupt(b, ENTRY_LINT, INT_EXTINT, 0, ALL_LAPICS, 0);
	put_interrupt(b, ENTRY_LINT, INT_NMI, 0, ALL_LAPICS, 1);
}

void mptable_write(struct guest_mem *mem, unsigned int cpus, uint32_t cpu_signature,
		   uint32_t cpu_features)
{
	struct mp_floating floating = {
		.signature = "_MP_", .table = BIOS_START + sizeof(floating), .length = 1,
		.revision = 4,
	};
	struct mp_table table = {
		.signature = "PCMP", .revision = 4, .oem = "MINIVMM ", .product = "VMRUN       ",
		.lapic = LAPIC_ADDR,
	};
	struct mp_bus isa = { .type = ENTRY_BUS, .id = ISA_BUS, .name = "ISA   " };
	struct mp_bus pci = { .type = ENTRY_BUS, .id = PCI_BUS, .name = "PCI   " };
	struct mp_ioapic ioapic = {
		.type = ENTRY_IOAPIC, .id = cpus, .version = IOAPIC_VERSION, .flags = 1,
		.addr = IOAPIC_ADDR,
	};
	struct builder b = { mem, floating.table + sizeof(table), 0 };

	put_cpus(&b, cpus, cpu_signature, cpu_features);
	put(&b, &pci, sizeof(pci));
	put(&b, &isa, sizeof(isa));
	put(&b, &ioapic, sizeof(ioapic));
	put_interrupts(&b, ioapic.id);

	table.length = b.at - floating.table;
	table.entries = b.entries;
	mem_write(mem, floating.table, &table, sizeof(table));
	table.checksum = checksum(mem, floating.table, table.length);
	mem_write(mem, floating.table, &table, sizeof(table));

	mem_write(mem, BIOS_START, &floating, sizeof(floating));
	floating.checksum = checksum(mem, BIOS_START, sizeof(floating));
	mem_write(mem, BIOS_START, &floating, sizeof(floating));
}
