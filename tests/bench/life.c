// SPDX-License-Identifier: GPL-2.0
/*
 * What a virtual machine's whole life costs: working and, with _waiting, how much of it nothing
 * ran. While the CPU is halted the lab's TSC counts virtual time, which depends on the lab's speed
 * setting.
 */
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

GUEST64(halt, 1: hlt; jmp 1b)

/* Seconds × 100 that the CPUs were idle since boot. */
static double idle_seconds(void)
{
	double up = 0, idle = 0;
	FILE *f = fopen("/proc/uptime", "r");

	if (!f || fscanf(f, "%lf %lf", &up, &idle) != 2)
		idle = 0;
	if (f)
		fclose(f);
	return idle;
}

static double ticks_per_second(void)
{
	struct timespec a, b;
	u64 start = ticks();

	clock_gettime(CLOCK_MONOTONIC, &a);
	do
		clock_gettime(CLOCK_MONOTONIC, &b);
	while (b.tv_sec == a.tv_sec && b.tv_nsec - a.tv_nsec < 20000000);
	return (ticks() - start) / (b.tv_sec - a.tv_sec + (b.tv_nsec - a.tv_nsec) / 1e9);
}

struct life {
	bool slot, run;
	void *mem;
	int node;
	long size;
};

static void live(const struct life *l)
{
	int vm = CHECK_OK(ioctl(l->node, MINIVMM_CREATE_VM, (long)vm_type())), vcpu;
	struct minivmm_run *run;

	if (l->slot) {
		struct minivmm_userspace_memory_region r = {
			.memory_size = 2 * MiB, .userspace_addr = (u64)l->mem,
		};

		CHECK_OK(ioctl(vm, MINIVMM_SET_USER_MEMORY_REGION, &r));
	}
	if (l->run)
		CHECK_OK(ioctl(vm, MINIVMM_SET_TSS_ADDR, 0xfffbd000ul));
	vcpu = CHECK_OK(ioctl(vm, MINIVMM_CREATE_VCPU, 0));
	run = mmap(NULL, l->size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	CHECK(run != MAP_FAILED);
	if (l->run) {
		struct vm v = { .fd = vm, .mem = l->mem, .size = 2 * MiB };
		struct vcpu c = { .fd = vcpu, .vm = &v, .run = run };

		LOAD(&v, CODE, halt);
		vcpu_enter_mode(&c, LONG64, CODE);
		RUN_TO(&c, MINIVMM_EXIT_HLT);
	}
	munmap(run, l->size);
	close(vcpu);
	close(vm);
}

static void measure(const char *name, bool slot, bool run)
{
	struct life l = { slot, run, host_memory(2 * MiB), node_open() };
	double idle, per_second = ticks_per_second();
	struct measurement m;
	char waiting[64];

	l.size = CHECK_OK(ioctl(l.node, MINIVMM_GET_VCPU_MMAP_SIZE, 0));
	live(&l);
	idle = idle_seconds();
	begin(&m);
	for (unsigned int i = 0; i < lives; i++)
		live(&l);
	m.batch = WARM_UP;	/* they are one batch, each of which counts */
	end_batch(&m);
	row(name, &m, lives);
	snprintf(waiting, sizeof(waiting), "%s_waiting", name);
	plain_row(waiting, (idle_seconds() - idle) * per_second / lives);
}

static void vm_and_vcpu(void) { measure("life_of_a_vm", false, false); }
static void vm_with_slot(void) { measure("life_of_a_vm_with_2m", true, false); }
static void vm_that_runs(void) { measure("life_of_a_vm_that_runs", true, true); }

/* All that was put off is paid for when the module has to leave. */
static void unload(void)
{
	struct life l = { true, true, host_memory(2 * MiB), node_open() };
	u64 start;

	l.size = CHECK_OK(ioctl(l.node, MINIVMM_GET_VCPU_MMAP_SIZE, 0));
	live(&l);
	start = ticks();
	for (unsigned int i = 0; i < lives; i++)
		live(&l);
	close(l.node);
	CHECK_OK(syscall(SYS_delete_module, module_name, 0));
	plain_row("life_with_unloading", (ticks() - start) / lives);
}

const struct bench life_benches[] = {
	{ "life_of_a_vm", vm_and_vcpu },
	{ "life_of_a_vm_with_2m", vm_with_slot },
	{ "life_of_a_vm_that_runs", vm_that_runs },
	{ }
};

const struct bench unload_bench[] = {
	{ "life_with_unloading", unload },
	{ }
};
