/* SPDX-License-Identifier: GPL-2.0 */
/* What the tests of vmrun's devices put in the place of the machine. */
#ifndef VMRUN_ENV_H
#define VMRUN_ENV_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bus.h"
#include "device.h"
#include "disk.h"
#include "fwcfg.h"
#include "loop.h"
#include "net.h"
#include "pci.h"
#include "shadow.h"

#define FAKE_IRQS	24
#define FAKE_NO_STOP	(-1)
#define FAKE_MEM	(1 << 20)
#define FAKE_BELLS	64

struct fake {
	struct bus ports, mmio;
	struct pci_bus pci;
	struct irq_lines irqs;
	struct doorbells doorbells;
	struct loop loop;
	struct guest_mem mem;
	struct shadow shadow;
	struct fwcfg fwcfg;
	struct chardev chr;
	struct stopper stopper;
	struct power_button button;
	struct keyboard keyboard;
	struct memory_balloon balloon;
	bool panicked, was_reset;
	struct device_set devices;

	int level[FAKE_IRQS];
	unsigned int moves[FAKE_IRQS];
	unsigned int messages;		/* MSIs, and the last one */
	uint64_t message_addr;
	uint32_t message_data;
	struct { uint64_t addr; int fd; } bells[FAKE_BELLS];
	char out[4096];
	size_t out_len;
	uint8_t in[4096];
	size_t in_pos, in_len;
	int stop_code;
	char stop_why[256];
};

#define FAKE_OF(ptr, member) ((struct fake *)((char *)(ptr) - offsetof(struct fake, member)))

static void fake_irq(struct irq_lines *lines, unsigned int gsi, int level)
{
	struct fake *f = FAKE_OF(lines, irqs);

	assert_true(gsi < FAKE_IRQS);
	f->level[gsi] = level;
	f->moves[gsi]++;
}

static void fake_msi(struct irq_lines *lines, uint64_t addr, uint32_t data)
{
	struct fake *f = FAKE_OF(lines, irqs);

	f->messages++;
	f->message_addr = addr;
	f->message_data = data;
}

/* fd 0 marks a free place: nobody's eventfd has it. */
static int fake_add_bell(struct doorbells *d, uint64_t addr, int fd)
{
	struct fake *f = FAKE_OF(d, doorbells);
	unsigned int i;

	assert_true(fd > 0);
	for (i = 0; i < FAKE_BELLS; i++) {
		if (f->bells[i].fd)
			continue;
		f->bells[i].addr = addr;
		f->bells[i].fd = fd;
		return 0;
	}
	return -1;
}

static void fake_remove_bell(struct doorbells *d, uint64_t addr, int fd)
{
	struct fake *f = FAKE_OF(d, doorbells);
	unsigned int i;

	for (i = 0; i < FAKE_BELLS; i++)
		if (f->bells[i].fd == fd && f->bells[i].addr == addr)
			f->bells[i].fd = 0;
}

static void fake_write(struct chardev *c, const void *buf, size_t len)
{
	struct fake *f = FAKE_OF(c, chr);

	if (f->out_len + len > sizeof(f->out))
		f->out_len = 0;
	memcpy(f->out + f->out_len, buf, len);
	f->out_len += len;
}

static size_t fake_read(struct chardev *c, void *buf, size_t len)
{
	struct fake *f = FAKE_OF(c, chr);

	if (len > f->in_len - f->in_pos)
		len = f->in_len - f->in_pos;
	memcpy(buf, f->in + f->in_pos, len);
	f->in_pos += len;
	return len;
}

static void fake_stop(struct stopper *s, int code, const char *why)
{
	struct fake *f = FAKE_OF(s, stopper);

	if (f->stop_code != FAKE_NO_STOP)
		return;
	f->stop_code = code;
	snprintf(f->stop_why, sizeof(f->stop_why), "%s", why);
}

static void fake_reset(struct stopper *s, const char *why)
{
	struct fake *f = FAKE_OF(s, stopper);

	f->was_reset = true;
	fake_stop(s, 0, why);
}

static void fake_panicked(struct stopper *s, const char *why)
{
	(void)why;
	FAKE_OF(s, stopper)->panicked = true;
}

static int fake_shadow(struct shadow *s, unsigned int region, unsigned int mode)
{
	assert_true(region < SHADOW_REGIONS && mode < 4);
	s->mode[region] = mode;
	return 0;
}

/* more: what the command line adds. */
static inline struct fake *fake_machine_more(struct disk *disks, unsigned int nr,
					     const struct device_env *more)
{
	struct fake *f = calloc(1, sizeof(*f));
	struct device_env env = {
		.ports = &f->ports, .mmio = &f->mmio, .irqs = &f->irqs, .console = &f->chr,
		.doorbells = &f->doorbells, .loop = &f->loop,
		.stopper = &f->stopper, .power_button = &f->button,
		.keyboard = &f->keyboard, .balloon = &f->balloon,
		.low_ram = 0xc0000000, .high_ram = 1ULL << 32,
		.pci = &f->pci, .mem = &f->mem, .shadow = &f->shadow, .fwcfg = &f->fwcfg,
		.disks = disks, .nr_disks = nr, .nets = more->nets, .nr_nets = more->nr_nets, .cpus = 3,
		.console_fd = more->console_fd, .hvc = more->hvc,
		.console_ports = more->console_ports, .nr_ports = more->nr_ports,
		.serial2 = more->serial2,
	};
	struct error err = { "" };

	f->ports.name = "port";
	f->mmio.name = "mmio";
	f->irqs = (struct irq_lines) { fake_irq, fake_msi, NULL, NULL };
	f->doorbells = (struct doorbells) { fake_add_bell, fake_remove_bell };
	f->chr.write = fake_write;
	f->chr.read = fake_read;
	f->stopper.stop = fake_stop;
	f->stopper.reset = fake_reset;
	f->stopper.panicked = fake_panicked;
	f->stop_code = FAKE_NO_STOP;
	f->shadow.set = fake_shadow;
	f->fwcfg.cpus = 3;
	pci_create(&f->pci);
	if (mem_create(&f->mem, FAKE_MEM, &err) || loop_create(&f->loop, &err) ||
	    fwcfg_add(&f->fwcfg, "etc/one", "first", 5, &err) ||
	    fwcfg_add_number(&f->fwcfg, "etc/two", 0x1122334455667788, &err))
		fail_msg("%s", err.text);
	if (devices_create(&f->devices, &env, &err))
		fail_msg("%s", err.text);
	return f;
}

static inline struct fake *fake_machine_on(struct disk *disks, unsigned int nr,
					   const struct net_options *nets, unsigned int nr_nets)
{
	const struct device_env more = { .nets = nets, .nr_nets = nr_nets };

	return fake_machine_more(disks, nr, &more);
}

static inline struct fake *fake_machine_with(struct disk *disks, unsigned int nr)
{
	return fake_machine_on(disks, nr, NULL, 0);
}

static inline struct fake *fake_machine(void)
{
	return fake_machine_with(NULL, 0);
}

static inline void fake_destroy(struct fake *f)
{
	devices_destroy(&f->devices);
	fwcfg_destroy(&f->fwcfg);
	pci_destroy(&f->pci);
	mem_destroy(&f->mem);
	bus_destroy(&f->ports);
	bus_destroy(&f->mmio);
	loop_destroy(&f->loop);
	free(f);
}

/* What waits for the loop's thread is done. */
static inline void fake_serve(struct fake *f)
{
	struct error err;

	assert_int_equal(loop_once(&f->loop, 0, &err), 0);
}

/* Bytes arrive at the console. */
static inline void fake_input(struct fake *f, const char *text)
{
	size_t len = strlen(text);

	assert_true(f->in_len + len <= sizeof(f->in));
	memcpy(f->in + f->in_len, text, len);
	f->in_len += len;
	f->chr.notify(f->chr.opaque);
}

static inline uint8_t inb(struct fake *f, uint16_t port)
{
	uint8_t value = 0;

	bus_do(&f->ports, port, &value, 1, false);
	return value;
}

static inline void outb(struct fake *f, uint16_t port, uint8_t value)
{
	bus_do(&f->ports, port, &value, 1, true);
}

static inline uint16_t inw(struct fake *f, uint16_t port)
{
	uint16_t value = 0;

	bus_do(&f->ports, port, (uint8_t *)&value, 2, false);
	return value;
}

static inline void outw(struct fake *f, uint16_t port, uint16_t value)
{
	bus_do(&f->ports, port, (uint8_t *)&value, 2, true);
}

static inline uint32_t inl(struct fake *f, uint16_t port)
{
	uint32_t value = 0;

	bus_do(&f->ports, port, (uint8_t *)&value, 4, false);
	return value;
}

static inline void outl(struct fake *f, uint16_t port, uint32_t value)
{
	bus_do(&f->ports, port, (uint8_t *)&value, 4, true);
}

/* Group set-up and tear-down of tests whose state is a fake machine. */
static inline int setup_machine(void **state)
{
	*state = fake_machine();
	return 0;
}

static inline int teardown_machine(void **state)
{
	fake_destroy(*state);
	return 0;
}

#define machine_test(fn) cmocka_unit_test_setup_teardown(fn, setup_machine, teardown_machine)

#endif
