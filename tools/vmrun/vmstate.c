// SPDX-License-Identifier: GPL-2.0
/*
 * What the hypervisor holds of a virtual machine, for snapshots. The order in which it is set
 * matters: CPUID says what may be set at all; control registers and the APIC's place come before the
 * local APIC, and that, with its timer's mode, and the TSC before the deadline of its timer; setting
 * registers forgets events, and events can make a vCPU runnable.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vm.h"

#define MSRS_MAX	512
#define XSAVE_MAX	0x4000

#define MSR_TSC			0x10
#define MSR_MTRR_PHYS		0x200	/* eight pairs */
#define MSR_MTRR_FIX64K		0x250
#define MSR_MTRR_FIX16K		0x258	/* two */
#define MSR_MTRR_FIX4K		0x268	/* eight */
#define MSR_MTRR_DEF_TYPE	0x2ff
#define MSR_MC0_CTL		0x400	/* four for each bank */
#define MSRS_OF_BANKS		(32 * 4)
#define MSR_TSC_DEADLINE	0x6e0

/* So far that no hypervisor takes it for an attempt to bring TSCs into step. */
#define FAR_TICKS		(1ULL << 40)

struct cpu_state {
	uint32_t tsc_khz;
	struct minivmm_regs regs;
	struct minivmm_sregs2 sregs;
	struct minivmm_xcrs xcrs;
	struct minivmm_lapic_state lapic;
	struct minivmm_debugregs debugregs;
	struct minivmm_vcpu_events events;
	struct minivmm_mp_state mp;
	uint8_t xsave[XSAVE_MAX] __attribute__((aligned(8)));
	struct minivmm_cpuid2 cpuid;
	struct minivmm_cpuid_entry2 cpuid_entries[CPUID_MAX];
	struct minivmm_msrs msrs;
	struct minivmm_msr_entry msr_entries[MSRS_MAX];
};

_Static_assert(offsetof(struct cpu_state, cpuid_entries) ==
	       offsetof(struct cpu_state, cpuid.entries), "entries follow");
_Static_assert(offsetof(struct cpu_state, msr_entries) ==
	       offsetof(struct cpu_state, msrs.entries), "entries follow");

static void do_ioctl(struct fields *f, int fd, unsigned long request, const char *name, void *arg)
{
	if (!f->why && ioctl(fd, request, arg) < 0)
		fields_fail(f, "%s: %s", name, strerror(errno));
}

#define DO(fd, request, arg)	do_ioctl(f, (fd), MINIVMM_##request, #request, (arg))

/* ---- MSRs ------------------------------------------------------------------------------------ */

static bool has_msr(const struct cpu_state *s, uint32_t index)
{
	uint32_t i;

	for (i = 0; i < s->msrs.nmsrs; i++)
		if (s->msr_entries[i].index == index)
			return true;
	return false;
}

static bool get_msr(int fd, uint32_t index, uint64_t *value)
{
	struct { struct minivmm_msrs list; struct minivmm_msr_entry entry; } m = {
		.list.nmsrs = 1, .entry.index = index,
	};

	if (ioctl(fd, MINIVMM_GET_MSRS, &m) != 1)
		return false;
	*value = m.entry.data;
	return true;
}

static bool set_msr(int fd, uint32_t index, uint64_t value)
{
	struct { struct minivmm_msrs list; struct minivmm_msr_entry entry; } m = {
		.list.nmsrs = 1, .entry = { .index = index, .data = value },
	};

	return ioctl(fd, MINIVMM_SET_MSRS, &m) == 1;
}

/* What this CPU hasn't is left out. */
static void add_msrs(const struct vcpu *cpu, struct cpu_state *s, uint32_t first, uint32_t nr)
{
	for (; nr; first++, nr--) {
		struct minivmm_msr_entry *e = &s->msr_entries[s->msrs.nmsrs];
		uint64_t value;

		if (s->msrs.nmsrs == MSRS_MAX || has_msr(s, first) ||
		    !get_msr(cpu->fd, first, &value))
			continue;
		*e = (struct minivmm_msr_entry) { .index = first, .data = value };
		s->msrs.nmsrs++;
	}
}

/*
 * TSCs go on while one looks at them, one after the other: all of them as of the moment at which the
 * first vCPU's was looked at. from, to: the first's, of two moments.
 */
static uint64_t move_tsc(uint64_t tsc, uint64_t from, uint64_t to)
{
	return tsc - from + to;
}

static void save_tsc(const struct vcpu *cpu, struct cpu_state *s)
{
	struct vm *vm = cpu->vm;
	uint64_t now = 0;

	if (cpu->id)
		get_msr(vm->cpus[0].fd, MSR_TSC, &now);
	add_msrs(cpu, s, MSR_TSC, 1);
	if (!cpu->id)
		vm->snapshot_tsc = s->msr_entries[0].data;
	else
		s->msr_entries[0].data = move_tsc(s->msr_entries[0].data, now, vm->snapshot_tsc);
}

/* What were in step are again: the hypervisor makes equal what is almost so. */
static bool load_tsc(const struct vcpu *cpu, uint64_t tsc)
{
	struct vm *vm = cpu->vm;
	uint64_t now = 0;

	if (!cpu->id) {
		vm->snapshot_tsc = tsc;
		return set_msr(cpu->fd, MSR_TSC, tsc + FAR_TICKS) && set_msr(cpu->fd, MSR_TSC, tsc);
	}
	return get_msr(vm->cpus[0].fd, MSR_TSC, &now) &&
	       set_msr(cpu->fd, MSR_TSC, move_tsc(tsc, vm->snapshot_tsc, now));
}

/* Those that the hypervisor lists, and those that KVM leaves to who knows them. */
static void save_msrs(const struct vcpu *cpu, struct cpu_state *s, struct fields *f)
{
	struct { struct minivmm_msr_list list; uint32_t indices[MSRS_MAX]; } l = {
		.list.nmsrs = MSRS_MAX,
	};
	uint32_t i;

	save_tsc(cpu, s);
	DO(cpu->vm->sys, GET_MSR_INDEX_LIST, &l);
	for (i = 0; !f->why && i < l.list.nmsrs && i < MSRS_MAX; i++)
		add_msrs(cpu, s, l.indices[i], 1);
	add_msrs(cpu, s, MSR_MTRR_PHYS, 16);
	add_msrs(cpu, s, MSR_MTRR_FIX64K, 1);
	add_msrs(cpu, s, MSR_MTRR_FIX16K, 2);
	add_msrs(cpu, s, MSR_MTRR_FIX4K, 8);
	add_msrs(cpu, s, MSR_MTRR_DEF_TYPE, 1);
	add_msrs(cpu, s, MSR_MC0_CTL, MSRS_OF_BANKS);
}

/* Some that can be read can't be written: these must be as they were. */
static void load_msr(const struct vcpu *cpu, const struct minivmm_msr_entry *e, struct fields *f)
{
	uint64_t now;
	bool done;

	if (e->index == MSR_TSC)
		done = load_tsc(cpu, e->data);
	else
		done = (get_msr(cpu->fd, e->index, &now) && now == e->data) ||
		       set_msr(cpu->fd, e->index, e->data);
	if (!done)
		fields_fail(f, "MSR %#x can't be %#llx here", e->index,
			    (unsigned long long)e->data);
}

static void load_msrs(const struct vcpu *cpu, const struct cpu_state *s, bool deadline,
		      struct fields *f)
{
	uint32_t i;

	for (i = 0; i < s->msrs.nmsrs && !f->why; i++)
		if ((s->msr_entries[i].index == MSR_TSC_DEADLINE) == deadline)
			load_msr(cpu, &s->msr_entries[i], f);
}

/* ---- a vCPU ---------------------------------------------------------------------------------- */

static void get_cpu(const struct vcpu *cpu, struct cpu_state *s, struct fields *f)
{
	int khz = ioctl(cpu->fd, MINIVMM_GET_TSC_KHZ, 0);

	s->tsc_khz = khz < 0 ? 0 : khz;
	s->cpuid.nent = CPUID_MAX;
	/* First of all: asking may change what else there is. */
	DO(cpu->fd, GET_MP_STATE, &s->mp);
	DO(cpu->fd, GET_CPUID2, &s->cpuid);
	DO(cpu->fd, GET_SREGS2, &s->sregs);
	DO(cpu->fd, GET_REGS, &s->regs);
	DO(cpu->fd, GET_XCRS, &s->xcrs);
	DO(cpu->fd, GET_XSAVE2, s->xsave);
	DO(cpu->fd, GET_LAPIC, &s->lapic);
	DO(cpu->fd, GET_DEBUGREGS, &s->debugregs);
	DO(cpu->fd, GET_VCPU_EVENTS, &s->events);
	save_msrs(cpu, s, f);
}

static void check_cpuid(const struct vcpu *cpu, const struct cpu_state *s, struct fields *f)
{
	struct {
		struct minivmm_cpuid2 list;
		struct minivmm_cpuid_entry2 entries[CPUID_MAX];
	} host = { .list.nent = CPUID_MAX };
	struct error err;

	/* What this vCPU has got already is what there is. */
	DO(cpu->fd, GET_CPUID2, &host);
	if (!f->why && cpuid_check(&host.list, &s->cpuid, &err))
		fields_fail(f, "%s", err.text);
}

static void set_cpu(const struct vcpu *cpu, struct cpu_state *s, struct fields *f)
{
	check_cpuid(cpu, s, f);
	DO(cpu->fd, SET_CPUID2, &s->cpuid);
	if (!f->why && s->tsc_khz && ioctl(cpu->fd, MINIVMM_GET_TSC_KHZ, 0) != (int)s->tsc_khz &&
	    ioctl(cpu->fd, MINIVMM_SET_TSC_KHZ, (unsigned long)s->tsc_khz))
		fields_fail(f, "its TSC ran at %u kHz, which this host can't give it", s->tsc_khz);
	DO(cpu->fd, SET_SREGS2, &s->sregs);
	DO(cpu->fd, SET_REGS, &s->regs);
	if (s->xcrs.nr_xcrs)
		DO(cpu->fd, SET_XCRS, &s->xcrs);
	DO(cpu->fd, SET_XSAVE, s->xsave);
	load_msrs(cpu, s, false, f);
	DO(cpu->fd, SET_LAPIC, &s->lapic);
	load_msrs(cpu, s, true, f);
	DO(cpu->fd, SET_DEBUGREGS, &s->debugregs);
	DO(cpu->fd, SET_VCPU_EVENTS, &s->events);
	DO(cpu->fd, SET_MP_STATE, &s->mp);
}

static void state_fields(struct cpu_state *s, struct fields *f)
{
	FIELD(f, s->cpuid.nent);
	if (fields_must(f, s->cpuid.nent <= CPUID_MAX, "its CPUID"))
		fields_bytes(f, s->cpuid_entries, s->cpuid.nent * sizeof(s->cpuid_entries[0]));
	FIELD(f, s->tsc_khz);
	FIELD(f, s->regs);
	FIELD(f, s->sregs);
	FIELD(f, s->xcrs);
	FIELD(f, s->xsave);
	FIELD(f, s->msrs.nmsrs);
	if (fields_must(f, s->msrs.nmsrs <= MSRS_MAX, "its MSRs"))
		fields_bytes(f, s->msr_entries, s->msrs.nmsrs * sizeof(s->msr_entries[0]));
	FIELD(f, s->lapic);
	FIELD(f, s->debugregs);
	FIELD(f, s->events);
	FIELD(f, s->mp);
}

void vcpu_fields(void *opaque, struct fields *f)
{
	struct vcpu *cpu = opaque;
	struct cpu_state *s = calloc(1, sizeof(*s));

	if (!s) {
		fields_fail(f, "no memory");
		return;
	}
	/* It is the hypervisor who says how much of it is read and written. */
	if (vm_check_extension(cpu->vm, MINIVMM_CAP_XSAVE2) > XSAVE_MAX)
		fields_fail(f, "the CPU's extensions have a larger state than vmrun knows");
	if (!f->loading)
		get_cpu(cpu, s, f);
	if (!f->why)
		state_fields(s, f);
	if (fields_loaded(f))
		set_cpu(cpu, s, f);
	free(s);
}

/* ---- what all of them share ------------------------------------------------------------------ */

void vm_chips_fields(void *opaque, struct fields *f)
{
	struct vm *vm = opaque;
	struct minivmm_pit_state2 pit = { };
	struct minivmm_clock_data clock = { };
	unsigned int i;

	for (i = 0; i < 3; i++) {
		struct minivmm_irqchip chip = { .chip_id = i };

		if (!f->loading)
			DO(vm->fd, GET_IRQCHIP, &chip);
		FIELD(f, chip);
		if (fields_loaded(f) && fields_must(f, chip.chip_id == i, "its interrupt chips"))
			DO(vm->fd, SET_IRQCHIP, &chip);
	}
	if (!f->loading) {
		DO(vm->fd, GET_PIT2, &pit);
		DO(vm->fd, GET_CLOCK, &clock);
	}
	FIELD(f, pit);
	FIELD(f, clock.clock);
	if (fields_loaded(f)) {
		DO(vm->fd, SET_PIT2, &pit);
		DO(vm->fd, SET_CLOCK, &clock);
	}
}
