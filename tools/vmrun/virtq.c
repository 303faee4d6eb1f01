// SPDX-License-Identifier: GPL-2.0
/*
 * Virtqueues, split and packed (virtio 1.2, "Split Virtqueues" and "Packed Virtqueues"). The rings
 * lie in guest memory and change at any time: each word is loaded once.
 */
#include <linux/virtio_ring.h>
#include <string.h>

#include "virtio.h"

#define PACKED_AVAIL	(1U << VRING_PACKED_DESC_F_AVAIL)
#define PACKED_USED	(1U << VRING_PACKED_DESC_F_USED)
#define WRAP_BIT	(1U << VRING_PACKED_EVENT_F_WRAP_CTR)

struct descriptor {
	uint64_t addr;
	uint32_t len;
	uint16_t a, b;			/* split: flags, next; packed: id, flags */
};

static uint16_t load(const uint16_t *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static void store(uint16_t *p, uint16_t value)
{
	__atomic_store_n(p, value, __ATOMIC_RELEASE);
}

static void full_barrier(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* Once: what was checked is what is used. The barrier keeps the compiler from looking again. */
static struct descriptor read_descriptor(const void *table, unsigned int i)
{
	struct descriptor d;

	memcpy(&d, (const uint8_t *)table + i * sizeof(d), sizeof(d));
	__asm__ volatile("" : : : "memory");
	return d;
}

static bool packed(const struct virtq *q)
{
	return virtio_accepted(q->device, VIRTIO_F_RING_PACKED);
}

static bool has_events(const struct virtq *q)
{
	return virtio_accepted(q->device, VIRTIO_RING_F_EVENT_IDX);
}

bool virtq_live(const struct virtq *q)
{
	return q->enabled && !q->outside && (q->device->status & VIRTIO_CONFIG_S_DRIVER_OK) &&
	       !(q->device->status & VIRTIO_CONFIG_S_NEEDS_RESET);
}

static bool broken(struct virtq *q, const char *why)
{
	virtio_fail(q->device, why);
	return false;
}

/* ---- the places of a split ring's parts ------------------------------------------------------ */

static uint16_t *avail_flags(const struct virtq *q)
{
	return q->at_driver;
}

static uint16_t *avail_idx(const struct virtq *q)
{
	return avail_flags(q) + 1;
}

static uint16_t *avail_ring(const struct virtq *q)
{
	return avail_flags(q) + 2;
}

static uint16_t *used_event(const struct virtq *q)
{
	return avail_ring(q) + q->size;
}

static uint16_t *used_flags(const struct virtq *q)
{
	return q->at_device;
}

static uint16_t *used_idx(const struct virtq *q)
{
	return used_flags(q) + 1;
}

static struct vring_used_elem *used_ring(const struct virtq *q)
{
	return (struct vring_used_elem *)(used_flags(q) + 2);
}

static uint16_t *avail_event(const struct virtq *q)
{
	return (uint16_t *)(used_ring(q) + q->size);
}

/* ---- a packed ring's parts ------------------------------------------------------------------- */

static struct vring_packed_desc *packed_slot(const struct virtq *q, unsigned int i)
{
	return (struct vring_packed_desc *)q->at_desc + i;
}

static struct vring_packed_desc_event *driver_event(const struct virtq *q)
{
	return q->at_driver;
}

static struct vring_packed_desc_event *device_event(const struct virtq *q)
{
	return q->at_device;
}

static void advance(const struct virtq *q, uint16_t *at, bool *wrap, unsigned int slots)
{
	*at += slots;
	if (*at >= q->size) {
		*at -= q->size;
		*wrap = !*wrap;
	}
}

/* ---- enabling -------------------------------------------------------------------------------- */

const char *virtq_enable(struct virtq *q)
{
	bool is_packed = packed(q);
	uint64_t n = q->size, driver_align = is_packed ? 4 : VRING_AVAIL_ALIGN_SIZE;
	uint64_t driver_size = is_packed ? sizeof(struct vring_packed_desc_event) : 6 + 2 * n;
	uint64_t device_size = is_packed ? sizeof(struct vring_packed_desc_event) : 6 + 8 * n;

	if (!n || n > VIRTQ_MAX || (!is_packed && (n & (n - 1))))
		return "a queue's size is wrong";
	if (q->desc % VRING_DESC_ALIGN_SIZE || q->driver % driver_align ||
	    q->device_area % VRING_USED_ALIGN_SIZE)
		return "a queue isn't aligned";
	q->at_desc = mem_at(q->device->mem, q->desc, n * sizeof(struct vring_desc));
	q->at_driver = mem_at(q->device->mem, q->driver, driver_size);
	q->at_device = mem_at(q->device->mem, q->device_area, device_size);
	if (!q->at_desc || !q->at_driver || !q->at_device)
		return "a queue lies outside of memory";
	q->next_avail = q->next_used = q->signalled = q->pending = q->in_use = 0;
	q->avail_wrap = q->used_wrap = true;
	q->quiet = false;
	q->budget = VIRTQ_MAX;
	q->enabled = true;
	return NULL;
}

/* ---- is there something? --------------------------------------------------------------------- */

/* What the driver can't know to be its own: popped and not pushed, or pushed and not shown. */
static unsigned int outstanding(const struct virtq *q)
{
	return q->in_use + (packed(q) ? q->pending : (uint16_t)(q->next_used - q->signalled));
}

static bool available(struct virtq *q)
{
	uint16_t n, flags;

	if (!packed(q)) {
		n = load(avail_idx(q)) - q->next_avail;
		return n > q->size - outstanding(q) ?
		       broken(q, "more is available than a queue holds") : n;
	}
	flags = load(&packed_slot(q, q->next_avail)->flags);
	return !!(flags & PACKED_AVAIL) == q->avail_wrap &&
	       !!(flags & PACKED_USED) != q->avail_wrap;
}

/* While we look by ourselves the driver needn't notify. */
static void ask_for_quiet(struct virtq *q)
{
	if (q->quiet)
		return;
	q->quiet = true;
	if (packed(q))
		store(&device_event(q)->flags, VRING_PACKED_EVENT_FLAG_DISABLE);
	else if (!has_events(q))
		store(used_flags(q), VRING_USED_F_NO_NOTIFY);
}

/* From now on it has to; what has come before that has to be looked for again. */
static void ask_for_notice(struct virtq *q)
{
	q->quiet = false;
	if (packed(q)) {
		store(&device_event(q)->off_wrap, q->next_avail | (q->avail_wrap ? WRAP_BIT : 0));
		store(&device_event(q)->flags, has_events(q) ? VRING_PACKED_EVENT_FLAG_DESC :
		      VRING_PACKED_EVENT_FLAG_ENABLE);
	} else if (has_events(q)) {
		store(avail_event(q), q->next_avail);
	} else {
		store(used_flags(q), 0);
	}
	full_barrier();
}

/* ---- taking ---------------------------------------------------------------------------------- */

static bool add_buffer(struct virtq *q, struct virtq_chain *c, const struct descriptor *d, bool in)
{
	struct iovec *iov = &c->iov[c->nr_out + c->nr_in];

	if (!in && c->nr_in)
		return broken(q, "a buffer to read follows one to write");
	if (!d->len)
		return true;
	if (c->nr_out + c->nr_in == VIRTQ_MAX)
		return broken(q, "a chain of too many buffers");
	iov->iov_base = mem_at(q->device->mem, d->addr, d->len);
	iov->iov_len = d->len;
	if (!iov->iov_base)
		return broken(q, "a buffer lies outside of memory");
	if (in) {
		c->nr_in++;
		c->in_len += d->len;
	} else {
		c->nr_out++;
		c->out_len += d->len;
	}
	return true;
}

/* The table that an indirect descriptor means; n: its entries. */
static const void *indirect_table(struct virtq *q, const struct descriptor *d, unsigned int *n)
{
	const void *table = mem_at(q->device->mem, d->addr, d->len);

	*n = d->len / sizeof(struct vring_desc);
	if (!virtio_accepted(q->device, VIRTIO_RING_F_INDIRECT_DESC) || !table || !*n ||
	    d->len % sizeof(struct vring_desc)) {
		broken(q, "an indirect descriptor that isn't allowed");
		return NULL;
	}
	return table;
}

static bool split_pop(struct virtq *q, struct virtq_chain *c)
{
	const void *table = q->at_desc;
	unsigned int n = q->size, at, count;

	at = c->id = load(&avail_ring(q)[q->next_avail & (q->size - 1)]);
	/* As long as a chain may be, and the one that leads to an indirect table. */
	for (count = 0; count <= VIRTQ_MAX; count++) {
		struct descriptor d;

		if (at >= n)
			return broken(q, "a chain leaves its table");
		d = read_descriptor(table, at);
		if (d.a & VRING_DESC_F_INDIRECT) {
			if (table != q->at_desc || (d.a & VRING_DESC_F_NEXT))
				return broken(q, "an indirect descriptor that isn't the last");
			table = indirect_table(q, &d, &n);
			at = 0;
			if (!table)
				return false;
			continue;
		}
		if (!add_buffer(q, c, &d, d.a & VRING_DESC_F_WRITE))
			return false;
		if (!(d.a & VRING_DESC_F_NEXT)) {
			q->next_avail++;
			q->in_use++;
			return true;
		}
		at = d.b;
	}
	return broken(q, "a chain without end");
}

static bool packed_indirect(struct virtq *q, struct virtq_chain *c, const struct descriptor *d)
{
	unsigned int n, i;
	const void *table = indirect_table(q, d, &n);

	if (table && n > VIRTQ_MAX)
		return broken(q, "a chain of too many buffers");
	for (i = 0; table && i < n; i++) {
		struct descriptor e = read_descriptor(table, i);

		if (!add_buffer(q, c, &e, e.b & VRING_DESC_F_WRITE))
			return false;
	}
	return table;
}

static bool packed_pop(struct virtq *q, struct virtq_chain *c)
{
	uint16_t at = q->next_avail;
	bool wrap = q->avail_wrap;

	while (c->slots < q->size - outstanding(q)) {
		struct descriptor d = read_descriptor(q->at_desc, at);

		c->slots++;
		c->id = d.a;
		advance(q, &at, &wrap, 1);
		if (!(d.b & VRING_DESC_F_INDIRECT ? packed_indirect(q, c, &d) :
		      add_buffer(q, c, &d, d.b & VRING_DESC_F_WRITE)))
			return false;
		if (!(d.b & VRING_DESC_F_NEXT)) {
			q->next_avail = at;
			q->avail_wrap = wrap;
			q->in_use += c->slots;
			return true;
		}
	}
	return broken(q, "a chain without end");
}

bool virtq_pop(struct virtq *q, struct virtq_chain *c)
{
	if (!virtq_live(q))
		return false;
	if (!available(q)) {
		ask_for_notice(q);
		if (!available(q))
			return false;
	}
	ask_for_quiet(q);
	if (!q->budget) {
		virtio_kick(q);
		return false;
	}
	q->budget--;
	c->slots = packed(q) ? 0 : 1;
	c->nr_out = c->nr_in = 0;
	c->out_len = c->in_len = 0;
	return packed(q) ? packed_pop(q, c) : split_pop(q, c);
}

void virtq_unpop(struct virtq *q, const struct virtq_chain *c)
{
	if (!virtq_live(q))
		return;
	q->in_use -= c->slots;
	if (!packed(q)) {
		q->next_avail--;
	} else if (q->next_avail >= c->slots) {
		q->next_avail -= c->slots;
	} else {
		q->next_avail += q->size - c->slots;
		q->avail_wrap = !q->avail_wrap;
	}
}

/* ---- giving back ----------------------------------------------------------------------------- */

/* The first slot's flags come last, with all: the driver looks no further than there. */
static void packed_push(struct virtq *q, uint16_t id, uint16_t slots, uint32_t written)
{
	struct vring_packed_desc *d = packed_slot(q, q->next_used);

	d->id = id;
	d->len = written;
	if (q->pending)
		store(&d->flags, q->used_wrap ? PACKED_AVAIL | PACKED_USED : 0);
	q->pending += slots;
	advance(q, &q->next_used, &q->used_wrap, slots);
}

void virtq_push_id(struct virtq *q, uint16_t id, uint16_t slots, uint32_t written)
{
	struct vring_used_elem *e;

	if (!virtq_live(q))
		return;
	q->in_use -= slots;
	if (packed(q)) {
		packed_push(q, id, slots, written);
		return;
	}
	e = &used_ring(q)[q->next_used & (q->size - 1)];
	e->id = id;
	e->len = written;
	q->next_used++;
}

void virtq_push(struct virtq *q, const struct virtq_chain *c, uint32_t written)
{
	virtq_push_id(q, c->id, c->slots, written);
}

static void packed_show(struct virtq *q)
{
	bool wrapped = q->next_used < q->pending;
	unsigned int first = q->next_used + (wrapped ? q->size : 0) - q->pending;
	bool wrap = wrapped ? !q->used_wrap : q->used_wrap;

	store(&packed_slot(q, first)->flags, wrap ? PACKED_AVAIL | PACKED_USED : 0);
}

static bool packed_wants_interrupt(struct virtq *q, uint16_t shown)
{
	uint16_t flags = load(&driver_event(q)->flags) & 3;
	uint16_t where = load(&driver_event(q)->off_wrap), event = where & ~WRAP_BIT;

	if (flags != VRING_PACKED_EVENT_FLAG_DESC || !has_events(q))
		return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
	if (!!(where & WRAP_BIT) != q->used_wrap)
		event -= q->size;
	return vring_need_event(event, q->next_used, q->next_used - shown);
}

static bool split_wants_interrupt(struct virtq *q)
{
	uint16_t before = q->signalled;

	q->signalled = q->next_used;
	if (!has_events(q))
		return !(load(avail_flags(q)) & VRING_AVAIL_F_NO_INTERRUPT);
	return vring_need_event(load(used_event(q)), q->next_used, before);
}

void virtq_flush(struct virtq *q)
{
	uint16_t shown = q->pending;
	bool wanted;

	if (!virtq_live(q) || (packed(q) ? !shown : q->signalled == q->next_used))
		return;
	if (packed(q)) {
		packed_show(q);
		q->pending = 0;
		full_barrier();
		wanted = packed_wants_interrupt(q, shown);
	} else {
		store(used_idx(q), q->next_used);
		full_barrier();
		wanted = split_wants_interrupt(q);
	}
	if (wanted)
		virtio_interrupt_queue(q);
}

/* ---- content --------------------------------------------------------------------------------- */

static size_t copy(const struct iovec *iov, unsigned int n, size_t offset, uint8_t *to,
		   const uint8_t *from, size_t len)
{
	size_t done = 0;

	for (; n && done < len; n--, iov++) {
		size_t part = iov->iov_len;

		if (offset >= part) {
			offset -= part;
			continue;
		}
		part -= offset;
		if (part > len - done)
			part = len - done;
		if (to)
			memcpy(to + done, (uint8_t *)iov->iov_base + offset, part);
		else
			memcpy((uint8_t *)iov->iov_base + offset, from + done, part);
		done += part;
		offset = 0;
	}
	return done;
}

size_t virtq_read(const struct virtq_chain *c, size_t offset, void *buf, size_t len)
{
	return copy(c->iov, c->nr_out, offset, buf, NULL, len);
}

size_t virtq_write(const struct virtq_chain *c, size_t offset, const void *buf, size_t len)
{
	return copy(c->iov + c->nr_out, c->nr_in, offset, NULL, buf, len);
}

/* ---- lending --------------------------------------------------------------------------------- */

uint16_t virtq_lend(struct virtq *q)
{
	q->outside = true;
	return q->next_avail;
}

void virtq_take_back(struct virtq *q, uint16_t next_avail)
{
	q->next_avail = next_avail;
	q->next_used = q->signalled = load(used_idx(q));
	q->quiet = true;		/* who had it may have told the driver so */
	q->outside = false;
	/* To whom the driver's last notice went isn't known. */
	virtio_kick(q);
}

/* ---- snapshots ------------------------------------------------------------------------------- */

void virtq_fields(struct virtq *q, struct fields *f)
{
	bool enabled = q->enabled;
	struct virtq saved = *q;

	FIELD(f, saved.size);
	FIELD(f, saved.vector);
	FIELD(f, enabled);
	FIELD(f, saved.desc);
	FIELD(f, saved.driver);
	FIELD(f, saved.device_area);
	FIELD(f, saved.next_avail);
	FIELD(f, saved.next_used);
	FIELD(f, saved.signalled);
	FIELD(f, saved.avail_wrap);
	FIELD(f, saved.used_wrap);
	FIELD(f, saved.quiet);
	FIELD(f, saved.in_use);
	FIELD(f, saved.pending);
	if (!fields_loaded(f))
		return;
	*q = saved;
	/* What the driver accepted is settled by then: a packed queue doesn't become a split one. */
	if (enabled && !fields_must(f, (q->device->status & VIRTIO_CONFIG_S_FEATURES_OK) &&
				    !virtq_enable(q), "a queue that it can't have"))
		return;
	saved.at_desc = q->at_desc;
	saved.at_driver = q->at_driver;
	saved.at_device = q->at_device;
	saved.budget = VIRTQ_MAX;
	saved.enabled = enabled;
	*q = saved;
	if (!enabled)
		return;
	fields_must(f, outstanding(q) <= q->size, "a queue's places");
	if (packed(q))
		fields_must(f, q->next_avail < q->size && q->next_used < q->size,
			    "a queue's places");
}
