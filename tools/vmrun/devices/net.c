// SPDX-License-Identifier: GPL-2.0
/* virtio network card (virtio 1.2, "Network Device"): one pair of queues, on a network of net.h's. */
#include <stdlib.h>
#include <string.h>

#include "../net.h"
#include "../vhost.h"
#include "../virtio.h"

enum { QUEUE_RECEIVE, QUEUE_SEND, QUEUES };

#define CHAINS_MAX	64		/* buffers for one frame; Linux' hold 1.5 KiB each */
#define WAITING_MAX	256		/* frames */

/* A frame that no buffer was there for. */
struct waiting {
	struct waiting *next;
	size_t len;
	uint8_t bytes[];
};

struct card {
	struct virtio_device v;		/* first */
	struct net_port port;
	struct net *net;
	struct vhost vhost;
	struct virtio_net_config config;

	/* Buffers that were taken for a frame, and turned out to be too few, or too many. */
	struct virtq_chain *chains[CHAINS_MAX];
	unsigned int nr_chains;
	struct waiting *first, **last;
	unsigned int nr_waiting;
	unsigned long received, sent, dropped;
};

struct cards {
	unsigned int nr;
	struct card *card[NETS_MAX];
};

/* ---- to the guest ---------------------------------------------------------------------------- */

static struct virtq *receive_queue(struct card *c)
{
	return &c->v.queues[QUEUE_RECEIVE];
}

/* Buffers are looked at as they come, and kept until a frame needs them. */
static struct virtq_chain *next_chain(struct card *c, unsigned int i)
{
	if (i < c->nr_chains)
		return c->chains[i];
	if (!c->chains[i])
		c->chains[i] = malloc(sizeof(*c->chains[i]));
	if (!c->chains[i] || !virtq_pop(receive_queue(c), c->chains[i]))
		return NULL;
	c->nr_chains++;
	return c->chains[i];
}

/* The first n are given back, with these lengths. */
static void push_chains(struct card *c, unsigned int n, const uint32_t *written)
{
	struct virtq_chain *given[CHAINS_MAX];
	unsigned int i;

	for (i = 0; i < n; i++)
		virtq_push(receive_queue(c), c->chains[i], written[i]);
	memcpy(given, c->chains, n * sizeof(given[0]));
	memmove(c->chains, c->chains + n, (CHAINS_MAX - n) * sizeof(given[0]));
	memcpy(c->chains + CHAINS_MAX - n, given, n * sizeof(given[0]));
	c->nr_chains -= n;
}

static unsigned int chains_max(const struct card *c)
{
	return virtio_accepted(&c->v, VIRTIO_NET_F_MRG_RXBUF) ? CHAINS_MAX : 1;
}

enum verdict { DELIVERED, NO_BUFFERS, TOO_LARGE };

/* How many buffers the frame takes. */
static enum verdict gather(struct card *c, size_t len, uint16_t *n)
{
	size_t room = 0;

	for (*n = 0; room < len; (*n)++) {
		struct virtq_chain *chain;

		if (*n == chains_max(c))
			return TOO_LARGE;
		chain = next_chain(c, *n);
		if (!chain)
			return NO_BUFFERS;
		room += chain->in_len;
	}
	return DELIVERED;
}

static enum verdict deliver(struct card *c, const uint8_t *frame, size_t len)
{
	static const uint32_t nothing[CHAINS_MAX];
	uint32_t written[CHAINS_MAX];
	enum verdict verdict;
	uint16_t n, i;
	size_t at = 0;

	verdict = gather(c, len, &n);
	if (verdict == TOO_LARGE)
		push_chains(c, n, nothing);
	if (verdict != DELIVERED)
		return verdict;
	if (c->chains[0]->in_len < NET_HEADER) {
		virtio_fail(&c->v, "a buffer for frames without room for a header");
		return TOO_LARGE;
	}
	for (i = 0; i < n; i++) {
		written[i] = virtq_write(c->chains[i], 0, frame + at, len - at);
		at += written[i];
	}
	virtq_write(c->chains[0], offsetof(struct virtio_net_hdr_v1, num_buffers), &n, sizeof(n));
	push_chains(c, n, written);
	c->received++;
	return DELIVERED;
}

static void keep(struct card *c, const void *frame, size_t len)
{
	struct waiting *w = c->nr_waiting < WAITING_MAX ? malloc(sizeof(*w) + len) : NULL;

	if (!w) {
		c->dropped++;
		return;
	}
	w->next = NULL;
	w->len = len;
	memcpy(w->bytes, frame, len);
	*c->last = w;
	c->last = &w->next;
	c->nr_waiting++;
}

static void drop_first(struct card *c)
{
	struct waiting *w = c->first;

	c->first = w->next;
	if (!c->first)
		c->last = &c->first;
	c->nr_waiting--;
	free(w);
}

static void deliver_waiting(struct card *c)
{
	enum verdict verdict;

	while (c->first) {
		verdict = deliver(c, c->first->bytes, c->first->len);
		if (verdict == NO_BUFFERS)
			break;
		c->dropped += verdict == TOO_LARGE;
		drop_first(c);
	}
	virtq_flush(receive_queue(c));
}

static void card_receive(struct net_port *p, const void *frame, size_t len)
{
	struct card *c = (struct card *)((char *)p - offsetof(struct card, port));

	if (len <= NET_HEADER || len > NET_FRAME_MAX || !virtq_live(receive_queue(c))) {
		c->dropped++;
		return;
	}
	keep(c, frame, len);
	deliver_waiting(c);
}

static bool card_is_full(struct net_port *p)
{
	struct card *c = (struct card *)((char *)p - offsetof(struct card, port));

	return c->nr_waiting || c->vhost.running;
}

/* ---- from the guest -------------------------------------------------------------------------- */

static void send_all(struct card *c, struct virtq *q)
{
	struct virtq_chain chain;

	while (virtq_pop(q, &chain)) {
		c->net->class->send(c->net, chain.iov, chain.nr_out, chain.out_len);
		c->sent++;
		virtq_push(q, &chain, 0);
	}
	virtq_flush(q);
}

static void net_notify(struct virtio_device *v, struct virtq *q)
{
	struct card *c = (struct card *)v;

	if (q->index == QUEUE_SEND)
		send_all(c, q);
	else
		deliver_waiting(c);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void net_ready(struct virtio_device *v)
{
	struct card *c = (struct card *)v;

	if (c->net->class->accepted)
		c->net->class->accepted(c->net, v->accepted);
	vhost_start(&c->vhost, c->net->tap);
}

static void net_rewired(struct virtio_device *v)
{
	struct card *c = (struct card *)v;

	if (!c->vhost.running)
		return;
	vhost_stop(&c->vhost);
	vhost_start(&c->vhost, c->net->tap);
}

static void net_reset(struct virtio_device *v)
{
	struct card *c = (struct card *)v;

	vhost_stop(&c->vhost);
	c->nr_chains = 0;
	while (c->first)
		drop_first(c);
	if (c->net->class->accepted)
		c->net->class->accepted(c->net, 0);
}

static const struct virtio_class net_class = {
	.name = "net",
	.id = VIRTIO_ID_NET,
	.pci_class = 0x020000,
	.notify = net_notify,
	.ready = net_ready,
	.reset = net_reset,
	.rewired = net_rewired,
};

static void card_destroy(struct card *c)
{
	unsigned int i;

	vhost_close(&c->vhost);
	if (c->net)
		c->net->class->destroy(c->net);
	virtio_destroy(&c->v);
	while (c->first)
		drop_first(c);
	for (i = 0; i < CHAINS_MAX; i++)
		free(c->chains[i]);
	free(c);
}

/* Without it vmrun does the work; who asked for it hears why. */
static void plug_vhost(struct card *c, const struct net_options *o, struct loop *loop)
{
	struct error err;

	c->vhost.fd = c->vhost.error_fd = -1;
	if (!c->net->tap || o->vhost == VHOST_OFF || !vhost_open(&c->vhost, &c->v, loop, &err))
		return;
	if (o->vhost == VHOST_ON)
		fprintf(stderr, "vmrun: --net tap goes without vhost: %s\n", err.text);
}

static struct net *plug(struct card *c, const struct net_options *o, struct loop *loop,
			struct error *err)
{
	c->port = (struct net_port) { &c->v.lock, card_receive, card_is_full };
	c->last = &c->first;
	return o->create ? o->create(o, &c->port, loop, err) :
	       o->kind == NET_TAP ? net_tap_create(o, &c->port, loop, err) :
				    net_user_create(o, &c->port, loop, err);
}

/* Return: the card, or NULL with err filled in. */
static struct card *card_create(const struct net_options *o, const struct device_env *env,
				struct error *err)
{
	struct card *c = calloc(1, sizeof(*c));

	if (!c) {
		failed(err, "net: no memory");
		return NULL;
	}
	c->net = plug(c, o, env->loop, err);
	if (!c->net) {
		free(c);
		return NULL;
	}
	plug_vhost(c, o, env->loop);
	memcpy(c->config.mac, o->mac, sizeof(o->mac));
	c->config.status = VIRTIO_NET_S_LINK_UP;
	c->v.features = c->net->features | VIRTIO_FEATURE(VIRTIO_NET_F_MAC) |
			VIRTIO_FEATURE(VIRTIO_NET_F_STATUS) |
			VIRTIO_FEATURE(VIRTIO_NET_F_MRG_RXBUF);
	c->v.config = &c->config;
	c->v.config_size = offsetof(struct virtio_net_config, max_virtqueue_pairs);
	if (virtio_create(&c->v, &net_class, QUEUES, env, err)) {
		vhost_close(&c->vhost);
		c->net->class->destroy(c->net);
		free(c);
		return NULL;
	}
	return c;
}

static void net_destroy(void *dev)
{
	struct cards *all = dev;

	while (all->nr)
		card_destroy(all->card[--all->nr]);
	free(all);
}

static void *net_create(const struct device_env *env, struct error *err)
{
	struct cards *all = calloc(1, sizeof(*all));

	if (!all) {
		failed(err, "net: no memory");
		return NULL;
	}
	for (; all->nr < env->nr_nets; all->nr++) {
		all->card[all->nr] = card_create(&env->nets[all->nr], env, err);
		if (!all->card[all->nr]) {
			net_destroy(all);
			return NULL;
		}
	}
	return all;
}

static void net_info(void *dev, FILE *out)
{
	struct cards *all = dev;
	unsigned int i;

	for (i = 0; i < all->nr; i++) {
		struct card *c = all->card[i];

		virtio_info(&c->v, out);
		pthread_mutex_lock(&c->v.lock);
		fprintf(out, "        %lu frames received, %lu sent, %lu dropped, %u waiting\n",
			c->received, c->sent, c->dropped, c->nr_waiting);
		if (c->vhost.fd >= 0)
			fprintf(out, "        vhost %s\n", c->vhost.running ?
				"serves the queues: what it does isn't counted" : "is there, not in use");
		c->net->class->info(c->net, out);
		pthread_mutex_unlock(&c->v.lock);
	}
}

/*
 * Buffers that were only looked at go back, and vhost ends until the loop goes on: memory isn't to
 * change meanwhile. Frames that wait aren't in a snapshot: networks lose some.
 */
static void card_fields(struct card *c, struct fields *f)
{
	if (!f->loading && c->vhost.running) {
		vhost_stop(&c->vhost);
		c->v.restored = true;
	}
	while (!f->loading && c->nr_chains)
		virtq_unpop(receive_queue(c), c->chains[--c->nr_chains]);
	virtio_fields(&c->v, f);
	FIELD(f, c->config.mac);
}

static void net_fields(void *dev, struct fields *f)
{
	struct cards *all = dev;
	unsigned int i;

	fields_same(f, all->nr, "another number of network cards");
	for (i = 0; i < all->nr && !f->why; i++)
		card_fields(all->card[i], f);
}

DEVICE(net) = {
	.name = "net",
	.order = 44,
	.create = net_create,
	.destroy = net_destroy,
	.info = net_info,
	.fields = net_fields,
};
