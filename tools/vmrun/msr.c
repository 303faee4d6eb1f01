// SPDX-License-Identifier: GPL-2.0
/* What firmware would have set up in each CPU's MSRs before it starts an operating system. */
#include <sys/ioctl.h>

#include "vm.h"

#define MSR_MISC_ENABLE		0x1a0
#define MISC_FAST_STRINGS	(1ULL << 0)
#define MSR_MTRR_DEF_TYPE	0x2ff
#define MTRR_ENABLE		(1ULL << 11)
#define MTRR_WRITE_BACK		6

/* A list with room for one entry. */
union one_msr {
	struct minivmm_msrs list;
	char room[sizeof(struct minivmm_msrs) + sizeof(struct minivmm_msr_entry)];
};

static bool get_msr(const struct vcpu *cpu, uint32_t index, uint64_t *value)
{
	union one_msr m = { .room = { 0 } };

	m.list.nmsrs = 1;
	m.list.entries[0].index = index;
	if (ioctl(cpu->fd, MINIVMM_GET_MSRS, &m) != 1)
		return false;
	*value = m.list.entries[0].data;
	return true;
}

/* A hypervisor may not have a register; the guest then sees that as well as we do. */
static void set_msr(const struct vcpu *cpu, uint32_t index, uint64_t value)
{
	union one_msr m = { .room = { 0 } };

	m.list.nmsrs = 1;
	m.list.entries[0] = (struct minivmm_msr_entry) { .index = index, .data = value };
	ioctl(cpu->fd, MINIVMM_SET_MSRS, &m);
}

void vcpu_set_msrs(struct vcpu *cpu)
{
	uint64_t value;

	/* All memory cacheable: without this Linux takes it for uncached and leaves PAT alone. */
	set_msr(cpu, MSR_MTRR_DEF_TYPE, MTRR_ENABLE | MTRR_WRITE_BACK);
	if (get_msr(cpu, MSR_MISC_ENABLE, &value))
		set_msr(cpu, MSR_MISC_ENABLE, value | MISC_FAST_STRINGS);
}
