// SPDX-License-Identifier: GPL-2.0
/*
 * virtio over PCI: the registers of a device. One BAR holds its four structures, a page each, the
 * other one the MSI-X table (virtio 1.2, "Virtio Over PCI Bus").
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "loop.h"
#include "virtio.h"

#define VENDOR			0x1af4
#define FIRST_DEVICE		0x1040

#define BAR_REGISTERS		0
#define BAR_MSIX		1
#define PAGE			0x1000U
#define COMMON_AT		(0 * PAGE)
#define ISR_AT			(1 * PAGE)
#define CONFIG_AT		(2 * PAGE)
#define NOTIFY_AT		(3 * PAGE)
#define REGISTERS_SIZE		(4 * PAGE)
#define NOTIFY_STEP		4

#define ISR_QUEUE		1

#define TRANSPORT_FEATURES	(VIRTIO_FEATURE(VIRTIO_F_VERSION_1) | \
				 VIRTIO_FEATURE(VIRTIO_F_RING_PACKED) | \
				 VIRTIO_FEATURE(VIRTIO_RING_F_INDIRECT_DESC) | \
				 VIRTIO_FEATURE(VIRTIO_RING_F_EVENT_IDX))

static uint64_t offered(const struct virtio_device *v)
{
	return v->features | (TRANSPORT_FEATURES & ~v->withheld);
}

/* ---- interrupts ------------------------------------------------------------------------------ */

static void interrupt(struct virtio_device *v, uint8_t isr, uint16_t vector)
{
	if (pci_msix_enabled(&v->function)) {
		if (vector != VIRTIO_MSI_NO_VECTOR)
			pci_msix_send(&v->function, vector);
		return;
	}
	v->isr |= isr;
	pci_intx(&v->function, true);
}

void virtio_interrupt_queue(struct virtq *q)
{
	interrupt(q->device, ISR_QUEUE, q->vector);
}

void virtio_config_changed(struct virtio_device *v)
{
	v->generation++;
	if (v->status & VIRTIO_CONFIG_S_DRIVER_OK)
		interrupt(v, VIRTIO_PCI_ISR_CONFIG, v->config_vector);
}

void virtio_fail(struct virtio_device *v, const char *why)
{
	if (v->status & VIRTIO_CONFIG_S_NEEDS_RESET)
		return;
	v->failure = why;
	v->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	virtio_config_changed(v);
}

/* ---- status ---------------------------------------------------------------------------------- */

static void clear(struct virtio_device *v)
{
	unsigned int i;

	v->accepted = 0;
	v->status = v->isr = 0;
	v->feature_select = v->accept_select = 0;
	v->queue_select = 0;
	v->config_vector = VIRTIO_MSI_NO_VECTOR;
	v->failure = NULL;
	v->restored = false;
	for (i = 0; i < v->nr_queues; i++) {
		struct virtq *q = &v->queues[i];

		/* What comes before is read without the lock, by those who notify. */
		memset(&q->size, 0, sizeof(*q) - offsetof(struct virtq, size));
		q->size = VIRTQ_MAX;
		q->vector = VIRTIO_MSI_NO_VECTOR;
	}
}

/* The status is 0 before the device hears of it: what it pushes from then on goes nowhere. */
static void reset(struct virtio_device *v)
{
	v->status = 0;
	if (v->class->reset)
		v->class->reset(v);
	clear(v);
	pci_intx(&v->function, false);
}

static bool acceptable(const struct virtio_device *v)
{
	return !(v->accepted & ~offered(v)) && virtio_accepted(v, VIRTIO_F_VERSION_1);
}

/* Bits are only ever added; each step needs the one before it. */
static void write_status(struct virtio_device *v, uint8_t value)
{
	uint8_t was = v->status, added = value & ~was & ~VIRTIO_CONFIG_S_NEEDS_RESET;

	if (!value) {
		reset(v);
		return;
	}
	if ((added & VIRTIO_CONFIG_S_FEATURES_OK) && !acceptable(v))
		added &= ~VIRTIO_CONFIG_S_FEATURES_OK;
	if (!((was | added) & VIRTIO_CONFIG_S_FEATURES_OK))
		added &= ~VIRTIO_CONFIG_S_DRIVER_OK;
	v->status |= added;
	if ((added & VIRTIO_CONFIG_S_DRIVER_OK) && v->class->ready)
		v->class->ready(v);
}

/* ---- common configuration -------------------------------------------------------------------- */

static struct virtq *selected(struct virtio_device *v)
{
	return v->queue_select < v->nr_queues ? &v->queues[v->queue_select] : NULL;
}

static uint32_t half(uint64_t features, uint32_t select)
{
	return select < 2 ? features >> 32 * select : 0;
}

static void read_common(struct virtio_device *v, uint64_t offset, uint8_t *data, unsigned int len)
{
	const struct virtq *q = selected(v);
	struct virtio_pci_common_cfg c = {
		.device_feature_select = v->feature_select,
		.device_feature = half(offered(v), v->feature_select),
		.guest_feature_select = v->accept_select,
		.guest_feature = half(v->accepted, v->accept_select),
		.msix_config = v->config_vector,
		.num_queues = v->nr_queues,
		.device_status = v->status,
		.config_generation = v->generation,
		.queue_select = v->queue_select,
	};

	if (q) {
		c.queue_size = q->size;
		c.queue_msix_vector = q->vector;
		c.queue_enable = q->enabled;
		c.queue_notify_off = q->index;
		c.queue_desc_lo = q->desc;
		c.queue_desc_hi = q->desc >> 32;
		c.queue_avail_lo = q->driver;
		c.queue_avail_hi = q->driver >> 32;
		c.queue_used_lo = q->device_area;
		c.queue_used_hi = q->device_area >> 32;
	}
	memset(data, 0, len);
	if (offset < sizeof(c))
		memcpy(data, (uint8_t *)&c + offset,
		       len < sizeof(c) - offset ? len : sizeof(c) - offset);
}

static void set_half(uint64_t *value, bool high, uint32_t part)
{
	*value = high ? (uint32_t)*value | (uint64_t)part << 32 :
			(*value & ~0xffffffffULL) | part;
}

/* A vector that doesn't exist reads back as none: so the driver sees that it is refused. */
static uint16_t checked_vector(const struct virtio_device *v, uint32_t vector)
{
	return vector <= v->nr_queues ? vector : VIRTIO_MSI_NO_VECTOR;
}

static void write_queue(struct virtio_device *v, struct virtq *q, uint64_t offset, uint32_t value)
{
	const char *why;

	if (offset == VIRTIO_PCI_COMMON_Q_MSIX) {
		q->vector = checked_vector(v, value);
		if (v->class->rewired)
			v->class->rewired(v);
		return;
	}
	if (q->enabled || !(v->status & VIRTIO_CONFIG_S_FEATURES_OK))
		return;
	switch (offset) {
	case VIRTIO_PCI_COMMON_Q_SIZE:
		q->size = value;
		break;
	case VIRTIO_PCI_COMMON_Q_ENABLE:
		why = value == 1 ? virtq_enable(q) : NULL;
		if (why)
			virtio_fail(v, why);
		break;
	case VIRTIO_PCI_COMMON_Q_DESCLO:
	case VIRTIO_PCI_COMMON_Q_DESCHI:
		set_half(&q->desc, offset == VIRTIO_PCI_COMMON_Q_DESCHI, value);
		break;
	case VIRTIO_PCI_COMMON_Q_AVAILLO:
	case VIRTIO_PCI_COMMON_Q_AVAILHI:
		set_half(&q->driver, offset == VIRTIO_PCI_COMMON_Q_AVAILHI, value);
		break;
	case VIRTIO_PCI_COMMON_Q_USEDLO:
	case VIRTIO_PCI_COMMON_Q_USEDHI:
		set_half(&q->device_area, offset == VIRTIO_PCI_COMMON_Q_USEDHI, value);
		break;
	}
}

static void write_common(struct virtio_device *v, uint64_t offset, uint32_t value)
{
	switch (offset) {
	case VIRTIO_PCI_COMMON_DFSELECT:
		v->feature_select = value;
		break;
	case VIRTIO_PCI_COMMON_GFSELECT:
		v->accept_select = value;
		break;
	case VIRTIO_PCI_COMMON_GF:
		if (!(v->status & VIRTIO_CONFIG_S_FEATURES_OK) && v->accept_select < 2)
			set_half(&v->accepted, v->accept_select, value);
		break;
	case VIRTIO_PCI_COMMON_MSIX:
		v->config_vector = checked_vector(v, value);
		break;
	case VIRTIO_PCI_COMMON_STATUS:
		write_status(v, value);
		break;
	case VIRTIO_PCI_COMMON_Q_SELECT:
		v->queue_select = value;
		break;
	default:
		if (selected(v))
			write_queue(v, selected(v), offset, value);
	}
}

/* Fields are written whole, says the standard: anything else has no effect. */
static unsigned int field_size(uint64_t offset)
{
	switch (offset) {
	case VIRTIO_PCI_COMMON_STATUS:
		return 1;
	case VIRTIO_PCI_COMMON_MSIX:
	case VIRTIO_PCI_COMMON_Q_SELECT:
	case VIRTIO_PCI_COMMON_Q_SIZE:
	case VIRTIO_PCI_COMMON_Q_MSIX:
	case VIRTIO_PCI_COMMON_Q_ENABLE:
		return 2;
	default:
		return 4;
	}
}

/* ---- the BAR --------------------------------------------------------------------------------- */

void virtio_kick(struct virtq *q)
{
	uint64_t one = 1;

	/* A full counter means that one is pending already. */
	if (write(q->kick_fd, &one, sizeof(one)) < 0)
		return;
}

static void access_common(struct virtio_device *v, uint64_t offset, struct bus_access *a)
{
	if (!a->write)
		read_common(v, offset, a->data, a->len);
	else if (a->len == field_size(offset))
		write_common(v, offset, bus_value(a));
}

static void access_isr(struct virtio_device *v, uint64_t offset, struct bus_access *a)
{
	if (a->write)
		return;
	bus_return(a, offset ? 0 : v->isr);
	if (offset)
		return;
	v->isr = 0;
	pci_intx(&v->function, false);
}

static void access_config(struct virtio_device *v, uint64_t offset, struct bus_access *a)
{
	bool inside = offset < v->config_size && a->len <= v->config_size - offset;

	if (!a->write)
		bus_return(a, 0);
	if (!inside)
		return;
	if (!a->write)
		memcpy(a->data, (const uint8_t *)v->config + offset, a->len);
	else if (v->class->configure)
		v->class->configure(v, offset, a->data, a->len);
}

static void registers_access(void *opaque, struct bus_access *a)
{
	struct virtio_device *v = opaque;
	uint64_t offset = a->offset % PAGE;

	if (a->offset >= NOTIFY_AT) {
		if (a->write && offset / NOTIFY_STEP < v->nr_queues)
			virtio_kick(&v->queues[offset / NOTIFY_STEP]);
		else if (!a->write)
			bus_return(a, 0);
		return;
	}
	pthread_mutex_lock(&v->lock);
	if (a->offset >= CONFIG_AT)
		access_config(v, offset, a);
	else if (a->offset >= ISR_AT)
		access_isr(v, offset, a);
	else
		access_common(v, offset, a);
	pthread_mutex_unlock(&v->lock);
}

/* The doorbells follow the BAR. */
static void moved(struct pci_function *f, unsigned int bar, uint64_t from, uint64_t to)
{
	struct virtio_device *v = (struct virtio_device *)f;
	unsigned int i;

	for (i = 0; bar == BAR_REGISTERS && v->doorbells && i < v->nr_queues; i++) {
		uint64_t offset = NOTIFY_AT + i * NOTIFY_STEP;

		if (from != PCI_NOWHERE)
			v->doorbells->remove(v->doorbells, from + offset, v->queues[i].kick_fd);
		/* Where there is none, registers_access() rings. */
		if (to != PCI_NOWHERE)
			v->doorbells->add(v->doorbells, to + offset, v->queues[i].kick_fd);
	}
}

/* ---- the way to the BAR through configuration space ------------------------------------------ */

static void window_access(struct virtio_device *v, bool write)
{
	uint8_t *at = v->function.config + v->config_window;
	const struct virtio_pci_cfg_cap *c = (const void *)at;
	struct bus_access a = {
		c->cap.offset, at + offsetof(struct virtio_pci_cfg_cap, pci_cfg_data),
		c->cap.length, write,
	};

	if (c->cap.bar != BAR_REGISTERS || (a.len != 1 && a.len != 2 && a.len != 4) ||
	    a.offset % a.len || a.offset >= REGISTERS_SIZE)
		return;
	registers_access(v, &a);
}

static bool in_window(const struct pci_function *f, unsigned int reg, unsigned int len)
{
	unsigned int data = ((const struct virtio_device *)f)->config_window +
			    offsetof(struct virtio_pci_cfg_cap, pci_cfg_data);

	return reg < data + 4 && data < reg + len;
}

static void config_written(struct pci_function *f, unsigned int reg, unsigned int len)
{
	struct virtio_device *v = (struct virtio_device *)f;

	if (in_window(f, reg, len))
		window_access(v, true);
	if (v->class->rewired && !pci_msix_enabled(f)) {
		pthread_mutex_lock(&v->lock);
		v->class->rewired(v);
		pthread_mutex_unlock(&v->lock);
	}
}

static void config_reading(struct pci_function *f, unsigned int reg, unsigned int len)
{
	if (in_window(f, reg, len))
		window_access((struct virtio_device *)f, false);
}

/* ---- life ------------------------------------------------------------------------------------ */

static uint8_t add_structure(struct virtio_device *v, uint8_t type, uint32_t at, uint32_t size,
			     uint32_t last, size_t len)
{
	struct {
		struct virtio_pci_cap cap;
		uint32_t last;		/* of those that are longer */
	} s = {
		.cap = {
			.cap_len = len, .cfg_type = type, .bar = BAR_REGISTERS, .offset = at,
			.length = size,
		},
		.last = last,
	};

	return pci_add_capability(&v->function, PCI_CAP_ID_VNDR,
				  (uint8_t *)&s + VIRTIO_PCI_CAP_LEN, len - VIRTIO_PCI_CAP_LEN);
}

static void add_structures(struct virtio_device *v)
{
	static const size_t plain = sizeof(struct virtio_pci_cap);
	struct pci_function *f = &v->function;

	add_structure(v, VIRTIO_PCI_CAP_COMMON_CFG, COMMON_AT,
		      sizeof(struct virtio_pci_common_cfg), 0, plain);
	add_structure(v, VIRTIO_PCI_CAP_ISR_CFG, ISR_AT, 1, 0, plain);
	if (v->config_size)
		add_structure(v, VIRTIO_PCI_CAP_DEVICE_CFG, CONFIG_AT, v->config_size, 0, plain);
	add_structure(v, VIRTIO_PCI_CAP_NOTIFY_CFG, NOTIFY_AT, v->nr_queues * NOTIFY_STEP,
		      NOTIFY_STEP, sizeof(struct virtio_pci_notify_cap));
	v->config_window = add_structure(v, VIRTIO_PCI_CAP_PCI_CFG, 0, 0, 0,
					 sizeof(struct virtio_pci_cfg_cap));
	f->writable[v->config_window + VIRTIO_PCI_CAP_BAR] = 0xff;
	memset(f->writable + v->config_window + VIRTIO_PCI_CAP_OFFSET, 0xff,
	       sizeof(struct virtio_pci_cfg_cap) - VIRTIO_PCI_CAP_OFFSET);
	f->written = config_written;
	f->reading = config_reading;
}

static bool kick_wanted(void *opaque)
{
	return !((struct virtq *)opaque)->outside;
}

/*
 * The first turn after a snapshot was loaded, when memory is there, too. An interrupt that was on its
 * way to an APIC isn't in it; one too many does no harm.
 */
static void begin_again(struct virtio_device *v)
{
	unsigned int i;

	v->restored = false;
	for (i = 0; i < v->nr_queues; i++)
		if (virtq_live(&v->queues[i]))
			virtio_interrupt_queue(&v->queues[i]);
	interrupt(v, VIRTIO_PCI_ISR_CONFIG, v->config_vector);
	if (v->class->ready)
		v->class->ready(v);
}

/* On the loop's thread. */
static void kicked(void *opaque)
{
	struct virtq *q = opaque;
	struct virtio_device *v = q->device;
	uint64_t n;

	pthread_mutex_lock(&v->lock);
	if (!q->outside && read(q->kick_fd, &n, sizeof(n)) == sizeof(n)) {
		q->budget = VIRTQ_MAX;
		if (v->restored)
			begin_again(v);
		if (virtq_live(q))
			v->class->notify(v, q);
	}
	pthread_mutex_unlock(&v->lock);
}

static int create_queues(struct virtio_device *v, unsigned int nr, struct loop *loop,
			 struct error *err)
{
	v->queues = calloc(nr, sizeof(*v->queues));
	if (!v->queues)
		return failed(err, "%s: no memory", v->class->name);
	for (; v->nr_queues < nr; v->nr_queues++) {
		struct virtq *q = &v->queues[v->nr_queues];

		q->device = v;
		q->index = v->nr_queues;
		q->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (q->kick_fd < 0)
			return failed(err, "%s: eventfd: %s", v->class->name, strerror(errno));
		if (loop_add(loop, q->kick_fd, kick_wanted, kicked, q, err)) {
			close(q->kick_fd);
			return -1;
		}
	}
	return 0;
}

int virtio_create(struct virtio_device *v, const struct virtio_class *class,
		  unsigned int nr_queues, const struct device_env *env, struct error *err)
{
	struct pci_function *f = &v->function;

	v->class = class;
	v->mem = env->mem;
	v->doorbells = env->doorbells;
	pthread_mutex_init(&v->lock, NULL);
	f->name = class->name;
	pci_identify(f, VENDOR, FIRST_DEVICE + class->id, class->pci_class, 1);
	pci_set_bar(f, BAR_REGISTERS, false, REGISTERS_SIZE, 8, registers_access, v);
	pci_set_pin(f);
	f->moved = moved;
	if (create_queues(v, nr_queues, env->loop, err) ||
	    pci_add_msix(f, BAR_MSIX, nr_queues + 1, env->irqs, err)) {
		virtio_destroy(v);
		return -1;
	}
	add_structures(v);
	clear(v);
	if (pci_plug(env->pci, f, err)) {
		virtio_destroy(v);
		return -1;
	}
	return 0;
}

void virtio_destroy(struct virtio_device *v)
{
	while (v->nr_queues)
		close(v->queues[--v->nr_queues].kick_fd);
	free(v->queues);
	pci_remove_msix(&v->function);
	pthread_mutex_destroy(&v->lock);
}

void virtio_info(struct virtio_device *v, FILE *out)
{
	unsigned int i;

	pthread_mutex_lock(&v->lock);
	fprintf(out, "%-7s at %02x.%x: status %02x, features %llx%s%s\n", v->class->name,
		v->function.devfn >> 3, v->function.devfn & 7, v->status,
		(unsigned long long)v->accepted, v->failure ? ": " : "",
		v->failure ? v->failure : "");
	for (i = 0; i < v->nr_queues; i++)
		if (v->queues[i].enabled)
			fprintf(out, "        queue %u: %u descriptors, next %u, used %u, %u in use\n",
				i, v->queues[i].size, v->queues[i].next_avail,
				v->queues[i].next_used, v->queues[i].in_use);
	pthread_mutex_unlock(&v->lock);
}

/* ---- snapshots ------------------------------------------------------------------------------- */

void virtio_fields(struct virtio_device *v, struct fields *f)
{
	unsigned int i;

	pci_fields(&v->function, f);
	FIELD(f, v->accepted);
	FIELD(f, v->status);
	FIELD(f, v->isr);
	FIELD(f, v->generation);
	FIELD(f, v->feature_select);
	FIELD(f, v->accept_select);
	FIELD(f, v->queue_select);
	FIELD(f, v->config_vector);
	fields_must(f, !(v->status & VIRTIO_CONFIG_S_FEATURES_OK) || acceptable(v),
		    "its driver uses a feature that it doesn't have here");
	fields_must(f, !(v->status & VIRTIO_CONFIG_S_DRIVER_OK) ||
		    (v->status & VIRTIO_CONFIG_S_FEATURES_OK), "a status that it can't have");
	fields_must(f, v->config_vector == checked_vector(v, v->config_vector), "its vectors");
	for (i = 0; i < v->nr_queues && !f->why; i++) {
		virtq_fields(&v->queues[i], f);
		fields_must(f, v->queues[i].vector == checked_vector(v, v->queues[i].vector),
			    "its vectors");
	}
	if (!fields_loaded(f))
		return;
	if (v->status & VIRTIO_CONFIG_S_NEEDS_RESET)
		v->failure = "it needed a reset when it was saved";
	/* Who has notified isn't in a snapshot. */
	v->restored = v->status & VIRTIO_CONFIG_S_DRIVER_OK;
	for (i = 0; i < v->nr_queues; i++)
		virtio_kick(&v->queues[i]);
}
