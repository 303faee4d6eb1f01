// SPDX-License-Identifier: GPL-2.0
/* What the hypervisor counted, from the binary statistics of the VM and its vCPUs. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "stats.h"
#include "vm.h"

#define TYPE_MASK	0x0f
#define UNIT_MASK	0xf0
#define DESC_MAX	4096
#define NAME_MAX_SIZE	256
#define VALUES_MAX	4096

static bool read_all(int fd, void *buf, size_t len, off_t offset)
{
	return pread(fd, buf, len, offset) == (ssize_t)len;
}

static struct counter *counter_of(struct counters *c, const char *name)
{
	struct counter *grown;
	size_t i;

	for (i = 0; i < c->nr; i++)
		if (!strcmp(c->list[i].name, name))
			return &c->list[i];
	grown = realloc(c->list, (c->nr + 1) * sizeof(*grown));
	if (!grown)
		return NULL;
	c->list = grown;
	memset(&grown[c->nr], 0, sizeof(*grown));
	snprintf(grown[c->nr].name, sizeof(grown[c->nr].name), "%s", name);
	return &grown[c->nr++];
}

/* How often something happened, and how much there is of something: numbers without a unit. */
static void add_counter(struct counters *c, int fd, const struct minivmm_stats_header *h,
			const struct minivmm_stats_desc *d, const char *name)
{
	uint32_t type = d->flags & TYPE_MASK;
	struct counter *counter;
	uint64_t value;

	if ((type != MINIVMM_STATS_TYPE_CUMULATIVE && type != MINIVMM_STATS_TYPE_INSTANT) ||
	    (d->flags & UNIT_MASK) != MINIVMM_STATS_UNIT_NONE || d->size != 1 ||
	    !read_all(fd, &value, sizeof(value), (off_t)h->data_offset + d->offset) || !value)
		return;
	counter = counter_of(c, name);
	if (counter)
		counter->value += value;
}

int counters_read(struct counters *c, int fd)
{
	struct minivmm_stats_header h;
	size_t desc_size;
	uint32_t i;
	char *buf;

	if (!read_all(fd, &h, sizeof(h), 0) || h.num_desc > DESC_MAX || !h.name_size ||
	    h.name_size > NAME_MAX_SIZE)
		return -1;
	desc_size = sizeof(struct minivmm_stats_desc) + h.name_size;
	buf = malloc(desc_size * h.num_desc + 1);
	if (!buf)
		return -1;
	if (!read_all(fd, buf, desc_size * h.num_desc, h.desc_offset)) {
		free(buf);
		return -1;
	}
	for (i = 0; i < h.num_desc; i++) {
		char *desc = buf + i * desc_size;
		char *name = desc + sizeof(struct minivmm_stats_desc);

		name[h.name_size - 1] = 0;
		add_counter(c, fd, &h, (struct minivmm_stats_desc *)desc, name);
	}
	free(buf);
	return 0;
}

static int by_value(const void *a, const void *b)
{
	const struct counter *x = a, *y = b;

	if (x->value != y->value)
		return x->value > y->value ? -1 : 1;
	return strcmp(x->name, y->name);
}

void counters_print(struct counters *c, const char *title, FILE *out)
{
	size_t i;

	if (!c->nr)
		return;
	qsort(c->list, c->nr, sizeof(*c->list), by_value);
	fprintf(out, "%s:\n", title);
	for (i = 0; i < c->nr; i++)
		fprintf(out, "  %-32s %14llu\n", c->list[i].name,
			(unsigned long long)c->list[i].value);
}

void counters_free(struct counters *c)
{
	free(c->list);
	memset(c, 0, sizeof(*c));
}

static void read_fd_of(int fd, struct counters *c)
{
	int stats = ioctl(fd, MINIVMM_GET_STATS_FD, 0);

	if (stats < 0)
		return;
	counters_read(c, stats);
	close(stats);
}

const char *vm_mmu_name(const struct vm *vm)
{
	unsigned int mmu = vm_mmu(vm);

	if (vm->is_kvm)
		return vm->kvm_mmu;
	return mmu == MINIVMM_VM_MMU_EPT ? "ept" :
	       mmu == MINIVMM_VM_MMU_SHADOW ? "shadow" : "unknown";
}

void vm_print_stats(const struct vm *vm, FILE *out)
{
	struct counters vcpus = { }, machine = { };
	unsigned int i;

	fprintf(out, "MMU mode: %s\n", vm_mmu_name(vm));
	for (i = 0; i < vm->nr; i++)
		read_fd_of(vm->cpus[i].fd, &vcpus);
	read_fd_of(vm->fd, &machine);
	if (!vcpus.nr && !machine.nr)
		fprintf(out, "no statistics: the hypervisor doesn't count\n");
	for (i = 0; i < vcpus.nr; i++)
		if (!strcmp(vcpus.list[i].name, "exits"))
			fprintf(out, "exits: %llu\n", (unsigned long long)vcpus.list[i].value);
	counters_print(&vcpus, vm->nr > 1 ? "all vCPUs together" : "the vCPU", out);
	counters_print(&machine, "the VM", out);
	counters_free(&vcpus);
	counters_free(&machine);
}
