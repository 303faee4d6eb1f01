// SPDX-License-Identifier: GPL-2.0
/*
 * What a virtual machine takes of the host's memory, without its own: bytes of the kernel's, as
 * charged to a control group that has only this process.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define VMS		128	/* at once */
#define TOUCHED		(64 * MiB)

GUEST64(stop, 1: hlt; jmp 1b)

static char hierarchy[] = "/tmp/cgroupXXXXXX";
static char group[64];

static void write_to(const char *directory, const char *file, const char *text)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", directory, file);
	fd = CHECK_OK(open(path, O_WRONLY));
	CHECK_EQ(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

/* The kernel's own, to the page: memory.current is in batches of 64. */
static u64 charged(void)
{
	unsigned long long bytes = 0;
	char path[128], line[128];
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "%s/memory.stat", group);
	f = fopen(path, "r");
	CHECK(f);
	while (!found && fgets(line, sizeof(line), f))
		found = sscanf(line, "kernel %llu", &bytes) == 1;
	fclose(f);
	CHECK(found);
	return bytes;
}

/* Runs it in a group, and a process, of its own. */
static void in_group(void (*run)(void))
{
	int status;
	pid_t pid;

	CHECK(mkdtemp(hierarchy));
	CHECK_OK(mount("cgroup2", hierarchy, "cgroup2", 0, NULL));
	write_to(hierarchy, "cgroup.subtree_control", "+memory");
	snprintf(group, sizeof(group), "%s/minivmm-bench", hierarchy);
	CHECK_OK(mkdir(group, 0755));
	pid = fork();
	if (!pid) {
		write_to(group, "cgroup.procs", "0");
		run();
		_exit(0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	rmdir(group);
	CHECK_OK(umount(hierarchy));
	rmdir(hierarchy);
	CHECK_EQ(status, 0);
}

static void live(void *mem)
{
	struct vm *vm = vm_create();
	struct vcpu *v;

	vm->mem = mem;
	vm->size = MEM_SIZE;
	add_slot(vm, 0, 0, 0, MEM_SIZE, mem);
	v = vcpu_create(vm, 0);
	LOAD(vm, CODE, stop);
	vcpu_enter_mode(v, LONG64, CODE);
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

static void vms(void)
{
	void *mem = host_memory(MEM_SIZE);
	u64 before;

	live(mem);
	before = charged();
	for (int i = 0; i < VMS; i++)
		live(mem);
	plain_row("bytes_of_a_vm", (charged() - before) / VMS);
}

static void mappings(void)
{
	struct vcpu *v = boot_toucher();
	void *mem = host_memory(TOUCHED);
	u64 before;

	CHECK_OK(madvise(mem, TOUCHED, MADV_NOHUGEPAGE));
	memset(mem, 1, TOUCHED);
	before = charged();
	add_slot(v->vm, 1, 0, SLOT, TOUCHED, mem);
	touch(v, SLOT, TOUCHED / PAGE - 1, PAGE);
	plain_row("bytes_to_map_64m", charged() - before);
}

static void measure_vms(void) { in_group(vms); }
static void measure_mappings(void) { in_group(mappings); }

const struct bench footprint_benches[] = {
	{ "bytes_of_a_vm", measure_vms },
	{ "bytes_to_map_64m", measure_mappings },
	{ }
};
