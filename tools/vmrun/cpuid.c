// SPDX-License-Identifier: GPL-2.0
/* CPUID: what the hypervisor offers, and each vCPU's place in a single package of cores. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vm.h"

#define ECX1_HYPERVISOR	(1u << 31)
#define EDX1_HTT	(1u << 28)
#define LEVEL_SMT	1
#define LEVEL_CORE	2

static struct minivmm_cpuid2 *supported_cpuid(const struct vm *vm, struct error *err)
{
	struct minivmm_cpuid2 *c = calloc(1, sizeof(*c) + CPUID_MAX * sizeof(c->entries[0]));

	if (!c) {
		failed(err, "no memory");
		return NULL;
	}
	c->nent = CPUID_MAX;
	if (ioctl(vm->sys, MINIVMM_GET_SUPPORTED_CPUID, c)) {
		failed(err, "GET_SUPPORTED_CPUID: %s", strerror(errno));
		free(c);
		return NULL;
	}
	return c;
}

static unsigned int bits_for(unsigned int n)
{
	unsigned int bits = 0;

	while (1u << bits < n)
		bits++;
	return bits;
}

static void fix_topology_leaf(struct minivmm_cpuid_entry2 *e, unsigned int id, unsigned int cpus)
{
	e->edx = id;
	e->ecx = e->index;
	if (e->index == 0) {
		e->eax = 0;
		e->ebx = 1;
		e->ecx |= LEVEL_SMT << 8;
	} else if (e->index == 1) {
		e->eax = bits_for(cpus);
		e->ebx = cpus;
		e->ecx |= LEVEL_CORE << 8;
	} else {
		e->eax = e->ebx = 0;
	}
}

/* Leaf 4: caches of level 1 and 2 are each core's own, the others belong to all. */
static void fix_cache_leaf(struct minivmm_cpuid_entry2 *e, unsigned int cpus)
{
	unsigned int level = e->eax >> 5 & 7, sharing = level > 2 ? (1u << bits_for(cpus)) - 1 : 0;

	if (!(e->eax & 0x1f))
		return;
	e->eax &= 0x3fff;
	e->eax |= sharing << 14 | ((1u << bits_for(cpus)) - 1) << 26;
}

static void fix_entry(struct minivmm_cpuid_entry2 *e, unsigned int id, unsigned int cpus)
{
	switch (e->function) {
	case 1:
		e->ebx = (e->ebx & 0xffff) | id << 24 | (1u << bits_for(cpus)) << 16;
		e->ecx |= ECX1_HYPERVISOR;
		if (cpus > 1)
			e->edx |= EDX1_HTT;
		else
			e->edx &= ~EDX1_HTT;
		break;
	case 4:
		fix_cache_leaf(e, cpus);
		break;
	case 0xb:
	case 0x1f:
		fix_topology_leaf(e, id, cpus);
		break;
	}
}

/* The hypervisor may offer only the first subleaf of the topology; both levels are needed. */
static void complete_topology(struct minivmm_cpuid2 *c)
{
	struct minivmm_cpuid_entry2 *e;
	uint32_t i, n = c->nent;

	for (i = 0; i < n && c->nent < CPUID_MAX; i++) {
		e = &c->entries[i];
		if (e->function != 0xb || e->index)
			continue;
		if (i + 1 < n && e[1].function == 0xb && e[1].index == 1)
			return;
		memmove(e + 2, e + 1, (n - i - 1) * sizeof(*e));
		e[1] = e[0];
		e[1].index = 1;
		e[0].flags = e[1].flags = MINIVMM_CPUID_FLAG_SIGNIFCANT_INDEX;
		c->nent++;
		return;
	}
}

void cpuid_personalise(struct minivmm_cpuid2 *c, unsigned int id, unsigned int cpus)
{
	uint32_t i;

	complete_topology(c);
	for (i = 0; i < c->nent; i++)
		fix_entry(&c->entries[i], id, cpus);
}

int vcpu_set_cpuid(struct vcpu *cpu, unsigned int cpus, struct error *err)
{
	struct minivmm_cpuid2 *c = supported_cpuid(cpu->vm, err);
	int rc = 0;

	if (!c)
		return -1;
	cpuid_personalise(c, cpu->id, cpus);
	if (ioctl(cpu->fd, MINIVMM_SET_CPUID2, c))
		rc = failed(err, "SET_CPUID2: %s", strerror(errno));
	free(c);
	return rc;
}

void vm_cpu_signature(const struct vm *vm, uint32_t *eax, uint32_t *edx)
{
	struct minivmm_cpuid2 *c = supported_cpuid(vm, NULL);
	uint32_t i;

	*eax = *edx = 0;
	for (i = 0; c && i < c->nent; i++)
		if (c->entries[i].function == 1) {
			*eax = c->entries[i].eax;
			*edx = c->entries[i].edx;
		}
	free(c);
}

/* ---- snapshots ------------------------------------------------------------------------------- */

enum { EAX, EBX, ECX, EDX };

/* Registers whose bits are features; changing: but for those that follow the guest's registers. */
static const struct {
	uint32_t function, index, reg, changing;
} features[] = {
	{ 1, 0, ECX, 1U << 27 | 1U << 3 },	/* OSXSAVE; MONITOR, by MISC_ENABLE */
	{ 1, 0, EDX, 1U << 9 | EDX1_HTT },	/* APIC */
	{ 7, 0, EBX, 0 }, { 7, 0, ECX, 1U << 4 }, { 7, 0, EDX, 0 },	/* OSPKE */
	{ 7, 1, EAX, 0 },
	{ 0xd, 0, EAX, 0 }, { 0xd, 0, EDX, 0 }, { 0xd, 1, EAX, 0 },
	{ 0x40000001, 0, EAX, 0 },
	{ 0x80000001, 0, ECX, 0 }, { 0x80000001, 0, EDX, 0 },
	{ 0x80000007, 0, EDX, 0 }, { 0x80000008, 0, EBX, 0 },
};

static uint32_t feature_bits(const struct minivmm_cpuid2 *c, unsigned int f)
{
	uint32_t i;

	for (i = 0; i < c->nent; i++) {
		const struct minivmm_cpuid_entry2 *e = &c->entries[i];
		const uint32_t regs[] = { e->eax, e->ebx, e->ecx, e->edx };

		if (e->function == features[f].function && e->index == features[f].index)
			return regs[features[f].reg] & ~features[f].changing;
	}
	return 0;
}

int cpuid_check(const struct minivmm_cpuid2 *host, const struct minivmm_cpuid2 *guest,
		struct error *err)
{
	static const char *const names[] = { "EAX", "EBX", "ECX", "EDX" };
	unsigned int f;

	for (f = 0; f < sizeof(features) / sizeof(features[0]); f++) {
		uint32_t lacks = feature_bits(guest, f) & ~feature_bits(host, f);

		if (lacks)
			return failed(err, "the guest's CPU has a feature that there isn't here: CPUID leaf %#x, %s bit %d",
				      features[f].function, names[features[f].reg],
				      __builtin_ctz(lacks));
	}
	return 0;
}
