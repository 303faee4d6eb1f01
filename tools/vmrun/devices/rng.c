// SPDX-License-Identifier: GPL-2.0
/* virtio entropy device: random bytes of the host's. */
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "../virtio.h"

#define AT_ONCE		4096U		/* the guest may ask for any amount, and take less */

/* Return: how many bytes came into the buffers. */
static uint32_t fill(const struct virtq_chain *c)
{
	uint8_t bytes[256];
	uint32_t done = 0;

	while (done < c->in_len && done < AT_ONCE) {
		/* Once it is seeded, the host's pool neither blocks nor fails for so few. */
		if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
			break;
		done += virtq_write(c, done, bytes, sizeof(bytes));
	}
	return done;
}

static void rng_notify(struct virtio_device *v, struct virtq *q)
{
	struct virtq_chain c;

	(void)v;
	while (virtq_pop(q, &c))
		virtq_push(q, &c, fill(&c));
	virtq_flush(q);
}

static const struct virtio_class rng_class = {
	.name = "rng",
	.id = VIRTIO_ID_RNG,
	.pci_class = 0xff0000,
	.notify = rng_notify,
};

static void rng_destroy(void *dev)
{
	virtio_destroy(dev);
	free(dev);
}

static void *rng_create(const struct device_env *env, struct error *err)
{
	struct virtio_device *v = calloc(1, sizeof(*v));

	if (!v) {
		failed(err, "rng: no memory");
		return NULL;
	}
	if (virtio_create(v, &rng_class, 1, env, err)) {
		free(v);
		return NULL;
	}
	return v;
}

static void rng_info(void *dev, FILE *out)
{
	virtio_info(dev, out);
}

static void rng_fields(void *dev, struct fields *f)
{
	virtio_fields(dev, f);
}

DEVICE(rng) = {
	.name = "rng",
	.order = 45,
	.create = rng_create,
	.destroy = rng_destroy,
	.info = rng_info,
	.fields = rng_fields,
};
