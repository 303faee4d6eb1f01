// SPDX-License-Identifier: GPL-2.0
/*
 * Interrupts to the VM: lines and messages by ioctl, and messages by eventfd. For these every message
 * has a GSI of its own, behind those of the pins, which stay routed as they are by default.
 */
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vm.h"

#define PIC_PINS	8
#define PINS		24			/* of the I/O APIC: the first GSIs */

static struct vm *vm_of(struct irq_lines *lines)
{
	return (struct vm *)((char *)lines - offsetof(struct vm, irqs));
}

static void set_irq(struct irq_lines *lines, unsigned int gsi, int level)
{
	struct minivmm_irq_level l = { .irq = gsi, .level = level };

	/* It can fail only for a line that doesn't exist; a device's lines are constants. */
	ioctl(vm_of(lines)->fd, MINIVMM_IRQ_LINE, &l);
}

static struct minivmm_msi message(uint64_t addr, uint32_t data)
{
	return (struct minivmm_msi) {
		.address_lo = addr, .address_hi = addr >> 32, .data = data,
	};
}

static void send_msi(struct irq_lines *lines, uint64_t addr, uint32_t data)
{
	struct minivmm_msi m = message(addr, data);

	/* A message to nowhere is the guest's own, and lost as on a PC. */
	ioctl(vm_of(lines)->fd, MINIVMM_SIGNAL_MSI, &m);
}

static struct minivmm_irq_routing_entry to_pin(unsigned int gsi, unsigned int chip, unsigned int pin)
{
	return (struct minivmm_irq_routing_entry) {
		.gsi = gsi, .type = MINIVMM_IRQ_ROUTING_IRQCHIP,
		.u.irqchip = { .irqchip = chip, .pin = pin },
	};
}

/* All of them: the ioctl replaces what was there. */
static int set_routes(struct vm *vm)
{
	struct {
		struct minivmm_irq_routing head;
		struct minivmm_irq_routing_entry entries[2 * PIC_PINS + PINS + VM_MESSAGES];
	} r = { };
	unsigned int i, n = 0;

	for (i = 0; i < 2 * PIC_PINS; i++)
		r.entries[n++] = to_pin(i, i < PIC_PINS ? MINIVMM_IRQCHIP_PIC_MASTER :
					   MINIVMM_IRQCHIP_PIC_SLAVE, i % PIC_PINS);
	for (i = 0; i < PINS; i++)
		r.entries[n++] = to_pin(i, MINIVMM_IRQCHIP_IOAPIC, i);
	for (i = 0; i < vm->nr_messages; i++)
		r.entries[n++] = (struct minivmm_irq_routing_entry) {
			.gsi = PINS + i, .type = MINIVMM_IRQ_ROUTING_MSI,
			.u.msi = {
				.address_lo = vm->messages[i].address_lo,
				.address_hi = vm->messages[i].address_hi,
				.data = vm->messages[i].data,
			},
		};
	r.head.nr = n;
	return ioctl(vm->fd, MINIVMM_SET_GSI_ROUTING, &r.head);
}

static int route(struct irq_lines *lines, int *gsi, uint64_t addr, uint32_t data)
{
	struct vm *vm = vm_of(lines);
	unsigned int i, nr;
	struct minivmm_msi was;
	int rc = -1;

	pthread_mutex_lock(&vm->routes_lock);
	nr = vm->nr_messages;
	i = *gsi == IRQ_NO_GSI ? nr : (unsigned int)*gsi - PINS;
	if (i < VM_MESSAGES) {
		was = vm->messages[i];
		vm->messages[i] = message(addr, data);
		vm->nr_messages += i == nr;
		rc = set_routes(vm);
		if (rc) {
			vm->messages[i] = was;
			vm->nr_messages = nr;
		} else {
			*gsi = PINS + i;
		}
	}
	pthread_mutex_unlock(&vm->routes_lock);
	return rc ? -1 : 0;
}

static int set_irqfd(struct irq_lines *lines, int gsi, int fd, bool on)
{
	struct minivmm_irqfd e = {
		.fd = fd, .gsi = gsi, .flags = on ? 0 : MINIVMM_IRQFD_FLAG_DEASSIGN,
	};

	return ioctl(vm_of(lines)->fd, MINIVMM_IRQFD, &e) ? -1 : 0;
}

void vm_create_irqs(struct vm *vm)
{
	pthread_mutex_init(&vm->routes_lock, NULL);
	vm->irqs = (struct irq_lines) { set_irq, send_msi, route, set_irqfd };
}

void vm_destroy_irqs(struct vm *vm)
{
	pthread_mutex_destroy(&vm->routes_lock);
}
