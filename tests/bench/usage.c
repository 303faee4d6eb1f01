// SPDX-License-Identifier: GPL-2.0
/*
 * Memory of the host's kernel that a VM takes, in KiB: by how much less is free with some of them.
 * What the guests have for RAM is there before, and the same for all.
 */
#include <stdio.h>
#include <sys/mman.h>

#include "bench.h"
#include "thread.h"

#define VMS	16
#define USED	(64 * MiB)

static long free_kib(void)
{
	FILE *f = fopen("/proc/meminfo", "r");
	char line[128];
	long kib = 0;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemFree: %ld", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib;
}

static void make_vm(u8 *hva, bool use)
{
	struct vm *vm = vm_create();
	struct vcpu *v;

	vm->mem = hva;
	vm->size = MEM_SIZE;
	add_slot(vm, 0, 0, 0, MEM_SIZE, hva);
	v = boot_toucher_in(vm);
	touch(v, DATA, 1, PAGE);
	if (!use)
		return;
	add_slot(vm, 1, 0, SLOT, USED, hva + MEM_SIZE);
	touch(v, SLOT, USED / PAGE - 1, PAGE);
}

static void measure(const char *name, bool use)
{
	u8 *hva = host_memory(MEM_SIZE + USED);
	long before;

	madvise(hva, MEM_SIZE + USED, MADV_NOHUGEPAGE);
	for (u64 at = 0; at < MEM_SIZE + USED; at += PAGE)
		hva[at] = 1;
	make_vm(hva, use);		/* what the first one brings along isn't counted */
	sleep_ms(2000);			/* what earlier VMs had may be freed a little later */
	before = free_kib();
	for (int i = 0; i < VMS; i++)
		make_vm(hva, use);
	plain_row(name, (before - free_kib()) / VMS);
}

static void idle_vm(void) { measure("kib_of_a_vm", false); }
static void used_vm(void) { measure("kib_of_a_vm_that_uses_64m", true); }

const struct bench usage_benches[] = {
	{ "kib_of_a_vm", idle_vm },
	{ "kib_of_a_vm_that_uses_64m", used_vm },
	{ }
};
