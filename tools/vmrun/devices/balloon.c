// SPDX-License-Identifier: GPL-2.0
/*
 * virtio memory balloon (virtio 1.2, "Traditional Memory Balloon Device"): pages that the guest
 * gives up, or reports to be free, go back to the host. What it says about its memory is shown by the
 * monitor.
 */
#include <linux/virtio_balloon.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "../virtio.h"

enum { QUEUE_INFLATE, QUEUE_DEFLATE, QUEUE_THIRD, QUEUES = QUEUE_THIRD + 2 };

#define PAGE		(1ULL << VIRTIO_BALLOON_PFN_SHIFT)
#define PAGES_AT_ONCE	4096U		/* in a request; Linux' have 256 */

struct balloon {
	struct virtio_device v;		/* first */
	struct virtio_balloon_config config;
	struct memory_balloon *control;

	bool has_request;		/* the guest waits to be asked for statistics */
	uint16_t request_id, request_slots;
	uint64_t stats[VIRTIO_BALLOON_S_NR];
	uint32_t known;			/* a bit for each of them */
	time_t when;
	unsigned long given, reported;	/* pages */
};

static const char *const stat_names[] = {
	[VIRTIO_BALLOON_S_SWAP_IN] = "swapped in",
	[VIRTIO_BALLOON_S_SWAP_OUT] = "swapped out",
	[VIRTIO_BALLOON_S_MAJFLT] = "major faults",
	[VIRTIO_BALLOON_S_MINFLT] = "minor faults",
	[VIRTIO_BALLOON_S_MEMFREE] = "free",
	[VIRTIO_BALLOON_S_MEMTOT] = "total",
	[VIRTIO_BALLOON_S_AVAIL] = "available",
	[VIRTIO_BALLOON_S_CACHES] = "caches",
	[VIRTIO_BALLOON_S_HTLB_PGALLOC] = "huge pages allocated",
	[VIRTIO_BALLOON_S_HTLB_PGFAIL] = "huge pages refused",
};

/* Which of them is there, and where, follows from the features. */
static unsigned int stats_queue(const struct balloon *b)
{
	return virtio_accepted(&b->v, VIRTIO_BALLOON_F_STATS_VQ) ? QUEUE_THIRD : QUEUES;
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* The guest's next look finds zeros. */
static void give_back(void *at, size_t len)
{
	uintptr_t start = ((uintptr_t)at + PAGE - 1) & ~(PAGE - 1);
	uintptr_t end = ((uintptr_t)at + len) & ~(PAGE - 1);

	if (start < end)
		madvise((void *)start, end - start, MADV_DONTNEED);
}

static void inflate(struct balloon *b, const struct virtq_chain *c)
{
	uint32_t pfns[64];
	size_t at, n, i;

	if (c->out_len > PAGES_AT_ONCE * sizeof(pfns[0])) {
		virtio_fail(&b->v, "too many pages for the balloon at once");
		return;
	}
	for (at = 0; (n = virtq_read(c, at, pfns, sizeof(pfns)) / sizeof(pfns[0])); at += n * 4) {
		for (i = 0; i < n; i++) {
			void *page = mem_at(b->v.mem, (uint64_t)pfns[i] * PAGE, PAGE);

			if (page)
				give_back(page, PAGE);
		}
		b->given += n;
	}
}

static void report(struct balloon *b, const struct virtq_chain *c)
{
	unsigned int i;

	for (i = c->nr_out; i < c->nr_out + c->nr_in; i++) {
		give_back(c->iov[i].iov_base, c->iov[i].iov_len);
		b->reported += c->iov[i].iov_len / PAGE;
	}
}

/* ---- statistics ------------------------------------------------------------------------------ */

static void take_stats(struct balloon *b, struct virtq *q, const struct virtq_chain *c)
{
	struct virtio_balloon_stat s;
	unsigned int i;

	b->known = 0;
	for (i = 0; i < 2 * VIRTIO_BALLOON_S_NR; i++) {
		if (virtq_read(c, i * sizeof(s), &s, sizeof(s)) != sizeof(s))
			break;
		if (s.tag >= VIRTIO_BALLOON_S_NR)
			continue;
		b->stats[s.tag] = s.val;
		b->known |= 1U << s.tag;
	}
	b->when = time(NULL);
	if (b->has_request)		/* it has one: this is more than it should send */
		virtq_push_id(q, b->request_id, b->request_slots, 0);
	b->has_request = true;
	b->request_id = c->id;
	b->request_slots = c->slots;
}

static void ask_for_stats(struct balloon *b)
{
	struct virtq *q = &b->v.queues[QUEUE_THIRD];

	if (!b->has_request || stats_queue(b) != QUEUE_THIRD)
		return;
	b->has_request = false;
	virtq_push_id(q, b->request_id, b->request_slots, 0);
	virtq_flush(q);
}

static void print_stats(const struct balloon *b, FILE *out)
{
	unsigned int i;

	if (!b->known)
		return;
	fprintf(out, "        the guest's memory, %lld s ago:\n", (long long)(time(NULL) - b->when));
	for (i = 0; i < VIRTIO_BALLOON_S_NR; i++)
		if (b->known >> i & 1)
			fprintf(out, "        %-22s %llu\n", stat_names[i],
				(unsigned long long)b->stats[i]);
}

/* ---- the device ------------------------------------------------------------------------------ */

static void balloon_notify(struct virtio_device *v, struct virtq *q)
{
	struct balloon *b = (struct balloon *)v;
	struct virtq_chain c;

	while (virtq_pop(q, &c)) {
		if (q->index == stats_queue(b)) {
			take_stats(b, q, &c);
			continue;
		}
		if (q->index == QUEUE_INFLATE)
			inflate(b, &c);
		else if (q->index != QUEUE_DEFLATE)
			report(b, &c);
		virtq_push(q, &c, 0);
	}
	virtq_flush(q);
}

static void balloon_configure(struct virtio_device *v, unsigned int offset, const void *data,
			      unsigned int len)
{
	struct balloon *b = (struct balloon *)v;

	if (offset == offsetof(struct virtio_balloon_config, actual) &&
	    len == sizeof(b->config.actual))
		memcpy(&b->config.actual, data, len);
}

static void balloon_reset(struct virtio_device *v)
{
	struct balloon *b = (struct balloon *)v;

	b->has_request = false;
	b->known = 0;
	b->config.actual = 0;
}

static const struct virtio_class balloon_class = {
	.name = "balloon",
	.id = VIRTIO_ID_BALLOON,
	.pci_class = 0xff0000,
	.notify = balloon_notify,
	.configure = balloon_configure,
	.reset = balloon_reset,
};

static bool balloon_set(void *opaque, uint64_t bytes)
{
	struct balloon *b = opaque;
	bool listens;

	pthread_mutex_lock(&b->v.lock);
	b->config.num_pages = bytes / PAGE;
	listens = b->v.status & VIRTIO_CONFIG_S_DRIVER_OK;
	virtio_config_changed(&b->v);
	pthread_mutex_unlock(&b->v.lock);
	return listens;
}

static void balloon_print(void *opaque, FILE *out)
{
	struct balloon *b = opaque;

	pthread_mutex_lock(&b->v.lock);
	fprintf(out, "balloon %llu KiB, of %llu that are wanted; %lu pages given up, %lu reported\n",
		b->config.actual * PAGE / 1024ULL, b->config.num_pages * PAGE / 1024ULL, b->given,
		b->reported);
	print_stats(b, out);
	ask_for_stats(b);
	pthread_mutex_unlock(&b->v.lock);
}

static void balloon_destroy(void *dev)
{
	struct balloon *b = dev;

	b->control->set = NULL;
	virtio_destroy(&b->v);
	free(b);
}

static void *balloon_create(const struct device_env *env, struct error *err)
{
	struct balloon *b = calloc(1, sizeof(*b));

	if (!b) {
		failed(err, "balloon: no memory");
		return NULL;
	}
	b->v.features = VIRTIO_FEATURE(VIRTIO_BALLOON_F_STATS_VQ) |
			VIRTIO_FEATURE(VIRTIO_BALLOON_F_DEFLATE_ON_OOM) |
			VIRTIO_FEATURE(VIRTIO_BALLOON_F_REPORTING);
	b->v.config = &b->config;
	b->v.config_size = offsetof(struct virtio_balloon_config, free_page_hint_cmd_id);
	if (virtio_create(&b->v, &balloon_class, QUEUES, env, err)) {
		free(b);
		return NULL;
	}
	b->control = env->balloon;
	*b->control = (struct memory_balloon) { balloon_set, balloon_print, b };
	return b;
}

static void balloon_info(void *dev, FILE *out)
{
	virtio_info(dev, out);
}

static void balloon_fields(void *dev, struct fields *f)
{
	struct balloon *b = dev;

	virtio_fields(&b->v, f);
	FIELD(f, b->config.num_pages);
	FIELD(f, b->config.actual);
	FIELD(f, b->has_request);
	FIELD(f, b->request_id);
	FIELD(f, b->request_slots);
	FIELD(f, b->stats);
	FIELD(f, b->known);
	FIELD(f, b->when);
	fields_must(f, b->when >= 0, "a time that can't be");
	FIELD(f, b->given);
	FIELD(f, b->reported);
	fields_must(f, !b->has_request || (stats_queue(b) == QUEUE_THIRD && b->request_slots &&
		    b->request_slots <= b->v.queues[QUEUE_THIRD].in_use), "a request that can't be");
}

DEVICE(balloon) = {
	.name = "balloon",
	.order = 46,
	.create = balloon_create,
	.destroy = balloon_destroy,
	.info = balloon_info,
	.fields = balloon_fields,
};
