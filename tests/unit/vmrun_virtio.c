// SPDX-License-Identifier: GPL-2.0
/* virtio over PCI: registers, queues, interrupts; with the entropy device, and one made for it. */
#include <stdio.h>
#include <unistd.h>

#include "virtio.h"
#include "vmrun_driver.h"

static const uint64_t all_features[] = {
	SPLIT, SPLIT | EVENTS, SPLIT | INDIRECT, PACKED, PACKED | EVENTS,
	PACKED | EVENTS | INDIRECT,
};

#define FEATURES	(sizeof(all_features) / sizeof(all_features[0]))

/* ---- registers ------------------------------------------------------------------------------- */

static void bars_move(void **state)
{
	struct fake *f = *state;
	struct driver d;
	unsigned int i, bells = 0;

	driver_find(&d, f, VIRTIO_ID_RNG, 0);
	assert_int_equal(pci_get(f, d.devfn, PCI_BASE_ADDRESS_0), REGISTERS_AT);
	assert_int_equal(reg_get(&d, VIRTIO_PCI_COMMON_NUMQ, 2), 1);
	for (i = 0; i < FAKE_BELLS; i++)
		bells += f->bells[i].fd && f->bells[i].addr == REGISTERS_AT + NOTIFY;
	assert_int_equal(bells, 1);

	/* Sized as firmware does it, then put elsewhere. */
	pci_put(f, d.devfn, PCI_BASE_ADDRESS_0, 0xffffffff);
	assert_int_equal(pci_get(f, d.devfn, PCI_BASE_ADDRESS_0), 0xffffc000);
	assert_int_equal(reg_get(&d, VIRTIO_PCI_COMMON_NUMQ, 2), 0xffff);
	pci_put(f, d.devfn, PCI_BASE_ADDRESS_0, 0xf0000000);
	assert_int_equal(mmio_get(f, 0xf0000000 + VIRTIO_PCI_COMMON_NUMQ, 2), 1);
	for (i = 0; i < FAKE_BELLS; i++)
		if (f->bells[i].fd)
			assert_int_not_equal(f->bells[i].addr, REGISTERS_AT + NOTIFY);

	/* Outside of the window, and switched off, it doesn't answer. */
	pci_put(f, d.devfn, PCI_BASE_ADDRESS_0, 0x80000000);
	assert_int_equal(mmio_get(f, 0x80000000 + VIRTIO_PCI_COMMON_NUMQ, 2), 0xffff);
	pci_put(f, d.devfn, PCI_BASE_ADDRESS_0, 0xf0000000);
	pci_put(f, d.devfn, PCI_COMMAND, 0);
	assert_int_equal(mmio_get(f, 0xf0000000 + VIRTIO_PCI_COMMON_NUMQ, 2), 0xffff);
	for (i = 0; i < FAKE_BELLS; i++)
		if (f->bells[i].fd)
			assert_int_not_equal(f->bells[i].addr, 0xf0000000 + NOTIFY);
}

static uint8_t io_bytes[32];

static void io_access(void *opaque, struct bus_access *a)
{
	assert_ptr_equal(opaque, io_bytes);
	if (a->write)
		memcpy(io_bytes + a->offset, a->data, a->len);
	else
		memcpy(a->data, io_bytes + a->offset, a->len);
}

static void io_bars(void **state)
{
	struct fake *f = *state;
	static struct pci_function fn;
	struct error err;

	memset(&fn, 0, sizeof(fn));
	fn.name = "ports";
	pci_identify(&fn, 0x1234, 0x5678, 0xff0000, 0);
	pci_set_bar(&fn, 2, true, sizeof(io_bytes), 2, io_access, io_bytes);
	assert_int_equal(pci_add(&f->pci, PCI_DEVFN(31, 0), &fn, &err), 0);
	assert_int_equal(pci_assign(&f->pci, &err), 0);
	assert_int_equal(pci_get(f, fn.devfn, PCI_BASE_ADDRESS_2), 0xc001);
	outw(f, 0xc002, 0x1122);
	assert_int_equal(io_bytes[2], 0);		/* it isn't switched on */
	pci_put(f, fn.devfn, PCI_COMMAND, PCI_COMMAND_IO);
	outl(f, 0xc002, 0x33221100);			/* two at a time is all it takes */
	assert_memory_equal(io_bytes + 2, "\x00\x11\x22\x33", 4);
	outl(f, 0xc01e, 0x44332211);			/* across its end */
	assert_memory_equal(io_bytes + 30, "\x11\x22", 2);
	assert_int_equal(inl(f, 0xc01e), 0xffff2211);
	pci_put(f, fn.devfn, PCI_BASE_ADDRESS_2, 0x2000);
	assert_int_equal(inw(f, 0x2002), 0x1100);
	assert_int_equal(inw(f, 0xc002), 0xffff);
}

/* Everything in its order, or it has no effect. */
static void steps_are_checked(void **state)
{
	struct driver d;

	driver_find(&d, *state, VIRTIO_ID_RNG, 0);
	assert_int_equal(driver_offered(&d) & (PACKED | EVENTS | INDIRECT),
			 PACKED | EVENTS | INDIRECT);
	reg_put(&d, VIRTIO_PCI_COMMON_STATUS, 1, STARTED);	/* without VERSION_1 */
	assert_int_equal(status(&d), 3);
	driver_negotiate(&d, EVENTS);
	assert_int_equal(status(&d), 3);
	driver_negotiate(&d, SPLIT | 1);			/* nobody offered that */
	assert_int_equal(status(&d), 3);
	driver_set_queue(&d, 0, 16);
	assert_int_equal(reg_get(&d, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);

	driver_negotiate(&d, SPLIT);
	assert_int_equal(status(&d), 11);
	reg_put(&d, VIRTIO_PCI_COMMON_GF, 4, 0);		/* too late */
	assert_int_equal(reg_get(&d, VIRTIO_PCI_COMMON_GF, 4), 1);
	reg_put(&d, VIRTIO_PCI_COMMON_Q_SELECT, 2, 1);		/* no such queue */
	assert_int_equal(reg_get(&d, VIRTIO_PCI_COMMON_Q_SIZE, 2), 0);
	reg_put(&d, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	driver_set_queue(&d, 0, 16);
	assert_int_equal(reg_get(&d, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 1);
	reg_put(&d, VIRTIO_PCI_COMMON_Q_SIZE, 2, 32);		/* it is in use */
	assert_int_equal(reg_get(&d, VIRTIO_PCI_COMMON_Q_SIZE, 2), 16);
	reg_put(&d, VIRTIO_PCI_COMMON_Q_MSIX, 2, 2);		/* no such vector */
	assert_int_equal(reg_get(&d, VIRTIO_PCI_COMMON_Q_MSIX, 2), 0xffff);
	reg_put(&d, VIRTIO_PCI_COMMON_STATUS, 2, STARTED);	/* of another width */
	assert_int_equal(status(&d), 11);
}

static void queues_are_checked(void **state)
{
	static const struct { uint64_t features; unsigned int reg, len; uint64_t value; } bad[] = {
		{ SPLIT, VIRTIO_PCI_COMMON_Q_SIZE, 2, 0 },
		{ SPLIT, VIRTIO_PCI_COMMON_Q_SIZE, 2, 17 },
		{ SPLIT, VIRTIO_PCI_COMMON_Q_SIZE, 2, 512 },
		{ PACKED, VIRTIO_PCI_COMMON_Q_SIZE, 2, 257 },
		{ SPLIT, VIRTIO_PCI_COMMON_Q_DESCLO, 4, 0x10008 },
		{ SPLIT, VIRTIO_PCI_COMMON_Q_DESCLO, 4, FAKE_MEM - 128 },
		{ SPLIT, VIRTIO_PCI_COMMON_Q_DESCHI, 4, 0xffffffff },
		{ SPLIT, VIRTIO_PCI_COMMON_Q_AVAILLO, 4, 0x10001 },
		{ SPLIT, VIRTIO_PCI_COMMON_Q_AVAILLO, 4, FAKE_MEM - 36 },
		{ PACKED, VIRTIO_PCI_COMMON_Q_AVAILLO, 4, 0x10002 },
		{ SPLIT, VIRTIO_PCI_COMMON_Q_USEDLO, 4, 0x10002 },
		{ SPLIT, VIRTIO_PCI_COMMON_Q_USEDLO, 4, FAKE_MEM - 132 },
		{ PACKED, VIRTIO_PCI_COMMON_Q_USEDHI, 4, 1 },
	};
	struct driver d;
	size_t i;

	driver_find(&d, *state, VIRTIO_ID_RNG, 0);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		driver_negotiate(&d, bad[i].features);
		reg_put(&d, VIRTIO_PCI_COMMON_Q_SIZE, 2, 16);
		reg_put(&d, VIRTIO_PCI_COMMON_Q_DESCLO, 4, QUEUE_AT(0));
		reg_put(&d, VIRTIO_PCI_COMMON_Q_AVAILLO, 4, DRIVER_AT(0));
		reg_put(&d, VIRTIO_PCI_COMMON_Q_USEDLO, 4, DEVICE_AT(0));
		reg_put(&d, bad[i].reg, bad[i].len, bad[i].value);
		reg_put(&d, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
		assert_int_equal(status(&d), 11 | VIRTIO_CONFIG_S_NEEDS_RESET);
		assert_int_equal(reg_get(&d, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
	}
}

/* The registers by configuration space, as firmware in real mode reaches them. */
static void configuration_window(void **state)
{
	struct fake *f = *state;
	struct driver d;
	unsigned int cap;

	driver_find(&d, f, VIRTIO_ID_RNG, 0);
	for (cap = pci_get(f, d.devfn, PCI_CAPABILITY_LIST) & 0xff; cap;
	     cap = pci_get(f, d.devfn, cap) >> 8 & 0xff)
		if ((pci_get(f, d.devfn, cap) & 0xff) == PCI_CAP_ID_VNDR &&
		    pci_get(f, d.devfn, cap) >> 24 == VIRTIO_PCI_CAP_PCI_CFG)
			break;
	assert_int_not_equal(cap, 0);
	pci_put(f, d.devfn, cap + 4, 0);
	pci_put(f, d.devfn, cap + 8, VIRTIO_PCI_COMMON_STATUS);
	pci_put(f, d.devfn, cap + 12, 1);
	pci_put(f, d.devfn, cap + 16, 3);
	assert_int_equal(status(&d), 3);
	assert_int_equal(pci_get(f, d.devfn, cap + 16) & 0xff, 3);
	pci_put(f, d.devfn, cap + 12, 3);			/* of no width */
	pci_put(f, d.devfn, cap + 16, 0);
	pci_put(f, d.devfn, cap + 12, 1);
	pci_put(f, d.devfn, cap + 8, 0xffffffff);		/* outside */
	pci_put(f, d.devfn, cap + 16, 0);
	pci_put(f, d.devfn, cap + 8, VIRTIO_PCI_COMMON_STATUS);
	pci_put(f, d.devfn, cap + 4, 1);			/* not this BAR */
	pci_put(f, d.devfn, cap + 16, 0);
	assert_int_equal(status(&d), 3);
}

/* ---- queues ---------------------------------------------------------------------------------- */

/* A device that gives back what it is sent, each byte one more; or keeps it, if it is told to. */
struct echo {
	struct virtio_device v;
	unsigned int kept;
	struct virtq_chain chains[8];
	bool keep;
};

static void echo_one(struct virtq *q, struct virtq_chain *c)
{
	uint8_t bytes[1024];
	size_t n = virtq_read(c, 0, bytes, sizeof(bytes)), i;

	for (i = 0; i < n; i++)
		bytes[i]++;
	virtq_push(q, c, virtq_write(c, 0, bytes, n));
}

static void echo_notify(struct virtio_device *v, struct virtq *q)
{
	struct echo *e = (struct echo *)v;
	struct virtq_chain c;

	if (e->keep) {
		while (e->kept < 8 && virtq_pop(q, &e->chains[e->kept]))
			e->kept++;
		return;
	}
	while (virtq_pop(q, &c))
		echo_one(q, &c);
	virtq_flush(q);
}

static void echo_reset(struct virtio_device *v)
{
	((struct echo *)v)->kept = 0;
}

static unsigned int rewired;

static void echo_rewired(struct virtio_device *v)
{
	(void)v;
	rewired++;
}

static const struct virtio_class echo_class = {
	.name = "echo",
	.id = 60,
	.pci_class = 0xff0000,
	.notify = echo_notify,
	.reset = echo_reset,
	.rewired = echo_rewired,
};

static struct echo echo;

static int setup_echo(void **state)
{
	struct fake *f = fake_machine();
	struct device_env env = {
		.pci = &f->pci, .mem = &f->mem, .irqs = &f->irqs, .loop = &f->loop,
		.doorbells = &f->doorbells,
	};
	struct error err;

	memset(&echo, 0, sizeof(echo));
	*state = f;
	return virtio_create(&echo.v, &echo_class, 2, &env, &err);
}

static int teardown_echo(void **state)
{
	virtio_destroy(&echo.v);
	fake_destroy(*state);
	return 0;
}

static void fill(struct fake *f, uint64_t addr, const char *text)
{
	assert_true(mem_write(&f->mem, addr, text, strlen(text)));
}

static void assert_memory(struct fake *f, uint64_t addr, const char *text)
{
	assert_memory_equal(mem_at(&f->mem, addr, strlen(text)), text, strlen(text));
}

/* Many more requests than the ring has slots, of all shapes. */
static void requests_go_round(void **state)
{
	struct fake *f = *state;
	struct driver d;
	size_t i, round;

	driver_find(&d, f, 60, 0);
	for (i = 0; i < FEATURES; i++) {
		driver_start(&d, all_features[i], all_features[i] & PACKED & ~SPLIT ? 7 : 8);
		for (round = 0; round < 100; round++) {
			struct buffer b[4] = {
				{ BUFFERS_AT, 3, false }, { BUFFERS_AT + 0x100, 2, false },
				{ BUFFERS_AT + 0x200, 1, true }, { BUFFERS_AT + 0x300, 9, true },
			};

			memset(mem_at(&f->mem, BUFFERS_AT, 0x400), 0, 0x400);
			fill(f, BUFFERS_AT, "HAL");
			fill(f, BUFFERS_AT + 0x100, "12");
			if (round % 3) {
				assert_int_equal(driver_do(&d, 0, b, 4), 5);
				assert_memory(f, BUFFERS_AT + 0x200, "I");
				assert_memory(f, BUFFERS_AT + 0x300, "BM23");
			} else {
				b[1] = b[3];
				assert_int_equal(driver_do(&d, 1, b, 2), 3);
				assert_memory(f, BUFFERS_AT + 0x300, "IBM");
			}
		}
		assert_int_equal(status(&d), STARTED);
	}
}

static void indirect_tables(void **state)
{
	static const uint64_t features[] = { SPLIT | INDIRECT, PACKED | INDIRECT };
	struct buffer b[3] = {
		{ BUFFERS_AT, 1, false }, { BUFFERS_AT + 8, 1, false }, { BUFFERS_AT + 16, 2, true },
	};
	struct fake *f = *state;
	unsigned int id, got;
	struct driver d;
	uint32_t len;
	size_t i;

	driver_find(&d, f, 60, 0);
	fill(f, BUFFERS_AT, "a");
	fill(f, BUFFERS_AT + 8, "x");
	for (i = 0; i < 2; i++) {
		driver_start(&d, features[i], 4);
		id = driver_add_indirect(&d, 0, b, 3);
		driver_kick(&d, 0);
		assert_true(driver_used(&d, 0, &got, &len));
		assert_int_equal(got, id);
		assert_int_equal(len, 2);
		assert_memory(f, BUFFERS_AT + 16, "by");
	}
}

/* Chains given back in another order than they came, shown at once. */
static void chains_out_of_order(void **state)
{
	struct buffer b[2] = { { BUFFERS_AT, 1, false }, { BUFFERS_AT + 16, 1, true } };
	unsigned int ids[3], got, i, n;
	struct driver d;
	uint32_t len;

	driver_find(&d, *state, 60, 0);
	for (i = 0; i < FEATURES; i++) {
		driver_start(&d, all_features[i], 8);
		echo.keep = true;
		for (n = 0; n < 3; n++)
			ids[n] = driver_add(&d, 0, b, 2);
		driver_kick(&d, 0);
		assert_int_equal(echo.kept, 3);
		virtq_unpop(&echo.v.queues[0], &echo.chains[2]);
		assert_true(virtq_pop(&echo.v.queues[0], &echo.chains[2]));
		assert_int_equal(echo.chains[2].id, ids[2]);
		while (n--)
			virtq_push(&echo.v.queues[0], &echo.chains[n], n);
		assert_false(driver_used(&d, 0, &got, &len));
		virtq_flush(&echo.v.queues[0]);
		for (n = 3; n--;) {
			assert_true(driver_used(&d, 0, &got, &len));
			assert_int_equal(got, ids[n]);
			assert_int_equal(len, n);
		}
		assert_false(driver_used(&d, 0, &got, &len));
		echo.keep = false;
		echo.kept = 0;
	}
}

/* ---- interrupts ------------------------------------------------------------------------------ */

static const struct buffer one_in = { BUFFERS_AT, 4, true };

static void intx(void **state)
{
	struct fake *f = *state;
	struct driver d;
	unsigned int gsi;

	driver_find(&d, f, 60, 0);
	gsi = pci_usual_irq(pci_pirq(d.devfn >> 3));
	pci_put(f, PCI_ISA_BRIDGE, 0x60, 0x0b0b0a0a);
	driver_start(&d, SPLIT, 8);
	driver_do(&d, 0, &one_in, 1);
	assert_int_equal(f->level[gsi], 1);
	assert_int_equal(pci_get(f, d.devfn, PCI_COMMAND) >> 16 & PCI_STATUS_INTERRUPT,
			 PCI_STATUS_INTERRUPT);
	/* Switched off, routed away, and back: the line follows. */
	pci_put(f, d.devfn, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_DISABLE);
	assert_int_equal(f->level[gsi], 0);
	pci_put(f, d.devfn, PCI_COMMAND, PCI_COMMAND_MEMORY);
	assert_int_equal(f->level[gsi], 1);
	pci_put(f, PCI_ISA_BRIDGE, 0x60, 0x05050505);
	assert_int_equal(f->level[gsi], 0);
	assert_int_equal(f->level[5], 1);
	pci_put(f, PCI_ISA_BRIDGE, 0x60, 0x00000000);	/* nothing goes to the timer */
	assert_int_equal(f->level[0], 0);
	assert_int_equal(f->level[5], 0);
	pci_put(f, PCI_ISA_BRIDGE, 0x60, 0x05050505);

	assert_int_equal(reg_get(&d, ISR, 1), 1);
	assert_int_equal(f->level[5], 0);
	assert_int_equal(reg_get(&d, ISR, 1), 0);
	virtio_config_changed(&echo.v);
	assert_int_equal(f->level[5], 1);
	assert_int_equal(reg_get(&d, ISR, 1), 2);
	driver_do(&d, 0, &one_in, 1);
	driver_negotiate(&d, SPLIT);			/* a reset takes it back */
	assert_int_equal(f->level[5], 0);
	assert_int_equal(f->messages, 0);
}

static void msix(void **state)
{
	struct fake *f = *state;
	struct driver d;

	driver_find(&d, f, 60, 0);
	driver_use_msix(&d);
	driver_start(&d, SPLIT, 8);
	driver_do(&d, 1, &one_in, 1);
	assert_int_equal(f->messages, 1);
	assert_int_equal(f->message_data, 2);
	assert_int_equal(f->message_addr, 0xfee00000);
	virtio_config_changed(&echo.v);
	assert_int_equal(f->messages, 2);
	assert_int_equal(f->message_data, 0);

	/* Masked, it waits, and its bit shows that. */
	mmio_put(f, MSIX_AT + 16 + 12, 4, 1);
	driver_do(&d, 0, &one_in, 1);
	assert_int_equal(f->messages, 2);
	assert_int_equal(mmio_get(f, MSIX_AT + 0x800, 8), 2);
	mmio_put(f, MSIX_AT + 16 + 8, 4, 0x77);
	mmio_put(f, MSIX_AT + 16 + 12, 4, 0xfffffffe);
	assert_int_equal(f->messages, 3);
	assert_int_equal(f->message_data, 0x77);
	assert_int_equal(mmio_get(f, MSIX_AT + 0x800, 8), 0);
	assert_int_equal(mmio_get(f, MSIX_AT + 16 + 12, 4), 0);
	mmio_put(f, MSIX_AT + 0x800, 8, UINT64_MAX);	/* these can't be written */
	mmio_put(f, MSIX_AT + 16 * 3, 8, UINT64_MAX);	/* nor is there a fourth vector */
	assert_int_equal(mmio_get(f, MSIX_AT + 0x800, 8), 0);
	assert_int_equal(mmio_get(f, MSIX_AT + 16 * 3, 8), 0);
	assert_int_equal(f->messages, 3);

	reg_put(&d, VIRTIO_PCI_COMMON_Q_SELECT, 2, 0);
	reg_put(&d, VIRTIO_PCI_COMMON_Q_MSIX, 2, 0xffff);
	driver_do(&d, 0, &one_in, 1);
	assert_int_equal(f->messages, 3);
	assert_int_equal(reg_get(&d, ISR, 1), 0);	/* messages don't set it */
}

/* ---- messages by eventfd --------------------------------------------------------------------- */

#define WIRES	8

/* The hypervisor's side: what GSIs stand for, and whose eventfds it has. */
static struct {
	unsigned int nr_routes, changes;
	bool refuse;
	struct { uint64_t addr; uint32_t data; int fd; } gsi[WIRES];
} hyp;

static int hyp_route(struct irq_lines *lines, int *gsi, uint64_t addr, uint32_t data)
{
	(void)lines;
	if (hyp.refuse)
		return -1;
	if (*gsi == IRQ_NO_GSI)
		*gsi = hyp.nr_routes++;
	assert_in_range(*gsi, 0, WIRES - 1);
	hyp.gsi[*gsi].addr = addr;
	hyp.gsi[*gsi].data = data;
	hyp.changes++;
	return 0;
}

static int hyp_irqfd(struct irq_lines *lines, int gsi, int fd, bool on)
{
	(void)lines;
	assert_int_equal(hyp.gsi[gsi].fd, on ? 0 : fd);
	hyp.gsi[gsi].fd = on ? fd : 0;
	return 0;
}

/* Return: how many eventfds have been written to; *data is the last one's. */
static unsigned int hyp_messages(uint32_t *data)
{
	unsigned int gsi, n = 0;
	uint64_t count;

	for (gsi = 0; gsi < WIRES; gsi++) {
		if (!hyp.gsi[gsi].fd || read(hyp.gsi[gsi].fd, &count, sizeof(count)) < 0)
			continue;
		n++;
		*data = hyp.gsi[gsi].data;
	}
	return n;
}

static void start_wired(struct driver *d, struct fake *f)
{
	memset(&hyp, 0, sizeof(hyp));
	f->irqs.route = hyp_route;
	f->irqs.irqfd = hyp_irqfd;
	driver_find(d, f, 60, 0);
	driver_use_msix(d);
	driver_start(d, SPLIT, 8);
}

static void messages_by_eventfd(void **state)
{
	struct fake *f = *state;
	uint32_t data = 0;
	struct driver d;

	start_wired(&d, f);
	driver_do(&d, 1, &one_in, 1);
	assert_int_equal(hyp_messages(&data), 1);
	assert_int_equal(data, 2);
	driver_do(&d, 1, &one_in, 1);
	assert_int_equal(hyp_messages(&data), 1);
	assert_int_equal(hyp.changes, 1);		/* nothing is to be done for the second one */

	mmio_put(f, MSIX_AT + 32 + 12, 4, 1);		/* masked: it waits, and goes with new data */
	driver_do(&d, 1, &one_in, 1);
	assert_int_equal(hyp_messages(&data), 0);
	assert_int_equal(mmio_get(f, MSIX_AT + 0x800, 8), 4);
	mmio_put(f, MSIX_AT + 32 + 8, 4, 0x77);
	assert_int_equal(hyp_messages(&data), 0);
	mmio_put(f, MSIX_AT + 32 + 12, 4, 0);
	assert_int_equal(hyp_messages(&data), 1);
	assert_int_equal(data, 0x77);
	assert_int_equal(mmio_get(f, MSIX_AT + 0x800, 8), 0);
	assert_int_equal(f->messages, 0);

	hyp.refuse = true;				/* then by the other way */
	mmio_put(f, MSIX_AT + 32 + 8, 4, 0x78);
	driver_do(&d, 1, &one_in, 1);
	assert_int_equal(f->messages, 1);
	assert_int_equal(f->message_data, 0x78);
}

/* Who writes to the eventfd knows nothing of masks. */
static void messages_from_outside(void **state)
{
	struct pci_function *function = &echo.v.function;
	uint64_t one = 1;
	struct fake *f = *state;
	uint32_t data = 0;
	struct driver d;
	int fd;

	start_wired(&d, f);
	fd = pci_msix_eventfd(function, 1);
	assert_true(fd >= 0);
	assert_int_equal(hyp.gsi[0].fd, fd);
	assert_int_equal(write(fd, &one, 8), 8);
	assert_int_equal(hyp_messages(&data), 1);
	assert_int_equal(data, 1);

	mmio_put(f, MSIX_AT + 16 + 12, 4, 1);
	assert_int_equal(hyp.gsi[0].fd, 0);		/* not the hypervisor's any more */
	assert_int_equal(mmio_get(f, MSIX_AT + 0x800, 8), 0);
	assert_int_equal(write(fd, &one, 8), 8);
	assert_int_equal(mmio_get(f, MSIX_AT + 0x800, 8), 2);
	assert_int_equal(write(fd, &one, 8), 8);
	mmio_put(f, MSIX_AT + 16 + 8, 4, 0x55);
	mmio_put(f, MSIX_AT + 16 + 12, 4, 0);
	assert_int_equal(hyp_messages(&data), 1);	/* once, as one bit can */
	assert_int_equal(data, 0x55);
	assert_int_equal(mmio_get(f, MSIX_AT + 0x800, 8), 0);

	driver_control_msix(&d, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	assert_int_equal(write(fd, &one, 8), 8);
	assert_int_equal(hyp_messages(&data), 0);
	driver_control_msix(&d, PCI_MSIX_FLAGS_ENABLE);
	assert_int_equal(hyp_messages(&data), 1);

	driver_control_msix(&d, 0);			/* what comes while it's off is nothing */
	assert_int_equal(write(fd, &one, 8), 8);
	driver_control_msix(&d, PCI_MSIX_FLAGS_ENABLE);
	assert_int_equal(hyp_messages(&data), 0);
	driver_control_msix(&d, 0);
	assert_int_equal(pci_msix_eventfd(function, 1), -1);
	assert_int_equal(pci_msix_eventfd(function, 3), -1);
	assert_int_equal(f->messages, 0);
}

static unsigned int interrupts_of(struct driver *d, const struct buffer *b)
{
	unsigned int before = d->f->messages;

	driver_do(d, 0, b, 1);
	return d->f->messages - before;
}

/* The driver says when it wants to hear. */
static void interrupts_are_suppressed(void **state)
{
	struct fake *f = *state;
	struct driver d;
	unsigned int i;

	driver_find(&d, f, 60, 0);
	driver_use_msix(&d);
	driver_start(&d, SPLIT, 8);
	*word_at(&d, DRIVER_AT(0)) = VRING_AVAIL_F_NO_INTERRUPT;
	assert_int_equal(interrupts_of(&d, &one_in), 0);
	*word_at(&d, DRIVER_AT(0)) = 0;
	assert_int_equal(interrupts_of(&d, &one_in), 1);

	driver_start(&d, SPLIT | EVENTS, 8);
	*word_at(&d, DRIVER_AT(0) + 4 + 16) = 2;	/* used_event: the third one */
	for (i = 0; i < 20; i++)
		assert_int_equal(interrupts_of(&d, &one_in), i == 2);

	driver_start(&d, PACKED | EVENTS, 8);
	*word_at(&d, DRIVER_AT(0) + 2) = VRING_PACKED_EVENT_FLAG_DISABLE;
	assert_int_equal(interrupts_of(&d, &one_in), 0);
	*word_at(&d, DRIVER_AT(0) + 2) = VRING_PACKED_EVENT_FLAG_DESC;
	*word_at(&d, DRIVER_AT(0)) = 3 | 1 << 15;	/* slot 3, this time round */
	for (i = 1; i < 19; i++)
		assert_int_equal(interrupts_of(&d, &one_in), i == 3);
	*word_at(&d, DRIVER_AT(0)) = 1;			/* slot 1, with the wrap counter 0 */
	for (i = 19; i < 36; i++)
		assert_int_equal(interrupts_of(&d, &one_in), i == 25);
}

/* The device says when it wants to be told: not while it looks by itself. */
static void kicks_are_suppressed(void **state)
{
	struct driver d;

	driver_find(&d, *state, 60, 0);
	driver_start(&d, SPLIT | EVENTS, 8);
	driver_do(&d, 0, &one_in, 1);
	assert_int_equal(*word_at(&d, DEVICE_AT(0) + 4 + 64), 1);
	driver_start(&d, PACKED | EVENTS, 8);
	driver_do(&d, 0, &one_in, 1);
	assert_int_equal(*word_at(&d, DEVICE_AT(0)), 1 | 1 << 15);
	assert_int_equal(*word_at(&d, DEVICE_AT(0) + 2), VRING_PACKED_EVENT_FLAG_DESC);
	driver_start(&d, SPLIT, 8);
	echo.keep = true;
	driver_add(&d, 0, &one_in, 1);
	echo.kept = 7;					/* no room for more than one */
	driver_kick(&d, 0);
	assert_int_equal(*word_at(&d, DEVICE_AT(0)), VRING_USED_F_NO_NOTIFY);
	echo.kept = 0;
	driver_kick(&d, 0);
	assert_int_equal(*word_at(&d, DEVICE_AT(0)), 0);
}

/* ---- lent queues ----------------------------------------------------------------------------- */

/* As the host's kernel would: gives back what the driver made available, and nothing in it. */
static void serve_lent(struct driver *d, uint16_t from)
{
	uint16_t avail = *avail_index(d, 0), *used = word_at(d, DEVICE_AT(0) + 2);
	struct vring_used_elem *e;

	for (; from != avail; from++) {
		e = mem_at(&d->f->mem, DEVICE_AT(0) + 4 + 8 * (*used % 8), 8);
		*e = (struct vring_used_elem) { *word_at(d, DRIVER_AT(0) + 4 + 2 * (from % 8)), 99 };
		++*used;
	}
	*word_at(d, DEVICE_AT(0)) = VRING_USED_F_NO_NOTIFY;
}

static void queues_are_lent(void **state)
{
	struct virtq *q = &echo.v.queues[0];
	unsigned int id, i;
	struct driver d;
	uint32_t len;

	driver_find(&d, *state, 60, 0);
	driver_start(&d, SPLIT, 8);
	for (i = 0; i < 11; i++)
		driver_do(&d, 0, &one_in, 1);
	assert_int_equal(virtq_lend(q), 11);
	driver_add(&d, 0, &one_in, 1);
	driver_kick(&d, 0);
	assert_false(driver_used(&d, 0, &id, &len));
	serve_lent(&d, 11);
	assert_true(driver_used(&d, 0, &id, &len));
	assert_int_equal(len, 99);

	driver_add(&d, 0, &one_in, 1);		/* a notification that nobody took */
	driver_kick(&d, 0);
	virtq_take_back(q, 12);
	fake_serve(d.f);
	assert_true(driver_used(&d, 0, &id, &len));
	assert_int_not_equal(len, 99);
	assert_int_equal(*word_at(&d, DEVICE_AT(0)), 0);
	for (i = 0; i < 11; i++)
		driver_do(&d, 0, &one_in, 1);

	virtq_lend(q);
	driver_start(&d, SPLIT, 8);		/* the device takes it back at the reset */
	driver_kick(&d, 0);
	virtq_take_back(q, 0);
	driver_do(&d, 0, &one_in, 1);
}

static void vectors_that_change_are_told(void **state)
{
	struct driver d;

	driver_find(&d, *state, 60, 0);
	driver_use_msix(&d);
	driver_start(&d, SPLIT, 8);
	rewired = 0;
	reg_put(&d, VIRTIO_PCI_COMMON_Q_MSIX, 2, 0);
	assert_int_equal(rewired, 1);
	driver_control_msix(&d, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	assert_int_equal(rewired, 1);
	driver_control_msix(&d, 0);
	assert_int_equal(rewired, 2);
}

/* ---- hostile --------------------------------------------------------------------------------- */

static void assert_refused(struct driver *d)
{
	driver_kick(d, 0);
	assert_int_equal(status(d), STARTED | VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_true(mmio_get(d->f, REGISTERS_AT + ISR, 1) & 2);
	/* Nothing is served until it is reset. */
	driver_kick(d, 1);
	driver_start(d, d->features, 8);
	driver_do(d, 0, &one_in, 1);
	driver_start(d, d->features, 8);
}

static void buffers_outside(void **state)
{
	static const struct buffer bad[] = {
		{ FAKE_MEM, 1, true }, { FAKE_MEM - 1, 2, true }, { UINT64_MAX, 1, false },
		{ UINT64_MAX - 7, 16, true }, { 0, UINT32_MAX, true }, { 1ULL << 32, 1, false },
		{ 0xe1000000, 16, false },
	};
	static const uint64_t features[] = { SPLIT | INDIRECT, PACKED | INDIRECT };
	struct driver d;
	size_t i, k;

	driver_find(&d, *state, 60, 0);
	for (k = 0; k < 2; k++) {
		driver_start(&d, features[k], 8);
		for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
			driver_add(&d, 0, &bad[i], 1);
			assert_refused(&d);
			driver_add_indirect(&d, 0, &bad[i], 1);
			assert_refused(&d);
		}
	}
}

static void chains_that_are_wrong(void **state)
{
	static const struct buffer in_out[] = { { 0x40000, 1, true }, { 0x40000, 1, false } };
	static const uint64_t features[] = { SPLIT, PACKED };
	struct driver d;
	size_t k;

	driver_find(&d, *state, 60, 0);
	for (k = 0; k < 2; k++) {
		driver_start(&d, features[k], 8);
		driver_add(&d, 0, in_out, 2);
		assert_refused(&d);
		driver_add_indirect(&d, 0, &one_in, 1);		/* not negotiated */
		assert_refused(&d);
	}
	driver_start(&d, SPLIT, 8);
	driver_add(&d, 0, &one_in, 1);
	split_desc(&d, 0, 0)->flags |= VRING_DESC_F_NEXT;	/* itself, for ever */
	split_desc(&d, 0, 0)->next = 0;
	assert_refused(&d);
	driver_add(&d, 0, &one_in, 1);
	split_desc(&d, 0, 0)->flags |= VRING_DESC_F_NEXT;
	split_desc(&d, 0, 0)->next = 8;				/* out of the table */
	assert_refused(&d);
	driver_add(&d, 0, &one_in, 1);
	*word_at(&d, DRIVER_AT(0) + 4) = 0xffff;
	assert_refused(&d);
	*avail_index(&d, 0) = 9;				/* more than there are */
	assert_refused(&d);
	*avail_index(&d, 0) = 0xffff;				/* backwards */
	assert_refused(&d);
	driver_start(&d, PACKED, 8);
	for (k = 0; k < 8; k++) {				/* all of one chain, on and on */
		packed_desc(&d, 0, k)->len = 1;
		packed_desc(&d, 0, k)->flags = packed_flags(true) | VRING_DESC_F_NEXT;
	}
	assert_refused(&d);
}

static void indirect_tables_that_are_wrong(void **state)
{
	static const uint64_t features[] = { SPLIT | INDIRECT, PACKED | INDIRECT };
	static const uint32_t lengths[] = { 0, 1, 15, 17, UINT32_MAX & ~15U };
	struct fake *f = *state;
	struct vring_desc *t;
	struct driver d;
	size_t i, k;

	driver_find(&d, f, 60, 0);
	t = mem_at(&f->mem, INDIRECT_AT(0), 4096);
	for (k = 0; k < 2; k++) {
		driver_start(&d, features[k], 8);
		for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
			driver_add_indirect(&d, 0, &one_in, 1);
			split_desc(&d, 0, 0)->len = lengths[i];
			assert_refused(&d);
		}
		driver_add_indirect(&d, 0, &one_in, 1);
		split_desc(&d, 0, 0)->addr = FAKE_MEM - 8;
		assert_refused(&d);
	}
	/* More buffers than any queue has: 64 KiB of a table. */
	driver_start(&d, PACKED | INDIRECT, 8);
	driver_add_indirect(&d, 0, &one_in, 1);
	packed_desc(&d, 0, 0)->addr = 0x80000;
	packed_desc(&d, 0, 0)->len = 0x10000;
	assert_refused(&d);
	driver_start(&d, SPLIT | INDIRECT, 8);
	driver_add_indirect(&d, 0, &one_in, 1);
	t[0].flags = VRING_DESC_F_INDIRECT;			/* a table in a table */
	assert_refused(&d);
	driver_add_indirect(&d, 0, &one_in, 1);
	t[0].flags |= VRING_DESC_F_NEXT;			/* itself */
	t[0].next = 0;
	assert_refused(&d);
	driver_add_indirect(&d, 0, &one_in, 1);
	split_desc(&d, 0, 0)->flags |= VRING_DESC_F_NEXT;	/* both */
	assert_refused(&d);
}

/* A driver that takes back what the device still holds. */
static void more_than_the_ring_holds(void **state)
{
	unsigned int i;
	struct driver d;

	driver_find(&d, *state, 60, 0);
	driver_start(&d, SPLIT, 4);
	echo.keep = true;
	*avail_index(&d, 0) = 4;
	split_desc(&d, 0, 0)->len = 1;
	driver_kick(&d, 0);
	assert_int_equal(echo.kept, 4);
	*avail_index(&d, 0) = 5;
	driver_kick(&d, 0);
	assert_int_equal(status(&d), STARTED | VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(echo.kept, 4);
	driver_start(&d, PACKED, 4);
	assert_int_equal(echo.kept, 0);
	for (i = 0; i < 4; i++)
		packed_desc(&d, 0, i)->flags = packed_flags(true);
	driver_kick(&d, 0);
	assert_int_equal(echo.kept, 4);
	for (i = 0; i < 4; i++)
		packed_desc(&d, 0, i)->flags = packed_flags(false);
	driver_kick(&d, 0);
	assert_int_equal(status(&d), STARTED | VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(echo.kept, 4);
}

/* The same, with what the device has pushed, but not shown yet. */
static void more_than_was_given_back(void **state)
{
	unsigned int i, n;
	struct driver d;

	driver_find(&d, *state, 60, 0);
	driver_start(&d, PACKED, 4);
	for (i = 0; i < 8; i++) {
		struct virtq *q = &echo.v.queues[0];

		packed_desc(&d, 0, i % 4)->flags = packed_flags(i < 4);
		if (!virtq_pop(q, &echo.chains[0]))
			break;
		virtq_push(q, &echo.chains[0], 0);
	}
	assert_int_equal(i, 4);
	assert_int_equal(status(&d), STARTED | VIRTIO_CONFIG_S_NEEDS_RESET);
	driver_start(&d, SPLIT, 4);
	for (n = 0; n < 8; n++) {
		*avail_index(&d, 0) += 1;
		if (!virtq_pop(&echo.v.queues[0], &echo.chains[0]))
			break;
		virtq_push(&echo.v.queues[0], &echo.chains[0], 0);
	}
	assert_int_equal(n, 4);
	assert_int_equal(status(&d), STARTED | VIRTIO_CONFIG_S_NEEDS_RESET);
}

static void after_a_reset_nothing_is_touched(void **state)
{
	struct virtq_chain c;
	struct driver d;

	driver_find(&d, *state, 60, 0);
	driver_start(&d, SPLIT, 8);
	echo.keep = true;
	driver_add(&d, 0, &one_in, 1);
	driver_kick(&d, 0);
	assert_int_equal(echo.kept, 1);
	c = echo.chains[0];
	driver_negotiate(&d, SPLIT);
	virtq_push(&echo.v.queues[0], &c, 4);
	virtq_flush(&echo.v.queues[0]);
	assert_int_equal(*word_at(&d, DEVICE_AT(0) + 2), 0);
	driver_kick(&d, 0);				/* nor is a kick of use */
	assert_int_equal(echo.kept, 0);
}

/* ---- entropy --------------------------------------------------------------------------------- */

static void entropy(void **state)
{
	struct buffer b[2] = { { BUFFERS_AT, 32, true }, { BUFFERS_AT + 0x1000, 0x8000, true } };
	uint8_t before[32];
	struct fake *f = *state;
	struct driver d;
	size_t i;

	driver_find(&d, f, VIRTIO_ID_RNG, 0);
	for (i = 0; i < FEATURES; i++) {
		driver_start(&d, all_features[i], 8);
		memset(mem_at(&f->mem, BUFFERS_AT, 0x10000), 0, 0x10000);
		assert_int_equal(driver_do(&d, 0, b, 1), 32);
		memcpy(before, mem_at(&f->mem, BUFFERS_AT, 32), 32);
		assert_int_equal(driver_do(&d, 0, b, 1), 32);
		assert_memory_not_equal(before, mem_at(&f->mem, BUFFERS_AT, 32), 32);
		assert_in_range(driver_do(&d, 0, b, 2), 33, 0x8020);
	}
}

#define echo_test(fn) cmocka_unit_test_setup_teardown(fn, setup_echo, teardown_echo)

int main(void)
{
	const struct CMUnitTest tests[] = {
		machine_test(bars_move),
		machine_test(io_bars),
		machine_test(steps_are_checked),
		machine_test(queues_are_checked),
		machine_test(configuration_window),
		echo_test(requests_go_round),
		echo_test(indirect_tables),
		echo_test(chains_out_of_order),
		echo_test(intx),
		echo_test(msix),
		echo_test(messages_by_eventfd),
		echo_test(messages_from_outside),
		echo_test(interrupts_are_suppressed),
		echo_test(kicks_are_suppressed),
		echo_test(queues_are_lent),
		echo_test(vectors_that_change_are_told),
		echo_test(buffers_outside),
		echo_test(chains_that_are_wrong),
		echo_test(indirect_tables_that_are_wrong),
		echo_test(more_than_the_ring_holds),
		echo_test(more_than_was_given_back),
		echo_test(after_a_reset_nothing_is_touched),
		machine_test(entropy),
	};

	return cmocka_run_group_tests_name("vmrun virtio", tests, NULL, NULL);
}
