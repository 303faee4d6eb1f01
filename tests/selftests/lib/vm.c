// SPDX-License-Identifier: GPL-2.0
/* Virtual machines for tests: descriptors, memory, running to the next exit. */
#include <cpuid.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <unistd.h>
#include "vm.h"

int node_open(void)
{
	int fd = open(opt.dev, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		FAIL("%s: %s", opt.dev, errno_name(errno));
	return fd;
}

int node_extension(long cap)
{
	int node = node_open(), value = CHECK_OK(ioctl(node, MINIVMM_CHECK_EXTENSION, cap));

	close(node);
	return value;
}

int vm_type(void)
{
	if (opt.oracle || !strcmp(opt.mmu, "default"))
		return 0;
	return strcmp(opt.mmu, "ept") ? MINIVMM_VM_MMU_SHADOW : MINIVMM_VM_MMU_EPT;
}

struct vm *vm_create(void)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	int node = node_open();

	vm->fd = CHECK_OK(ioctl(node, MINIVMM_CREATE_VM, (long)vm_type()));
	close(node);
	/* Intel CPUs without unrestricted guest need both under KVM before the first RUN. */
	CHECK_OK(ioctl(vm->fd, MINIVMM_SET_TSS_ADDR, 0xfffbd000ul));
	return vm;
}

void *host_memory(size_t size)
{
	size_t whole = size + 2 * MiB;
	u8 *p = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	u8 *aligned;

	if (p == MAP_FAILED)
		FAIL("mmap of %zu bytes: %s", whole, errno_name(errno));
	aligned = (u8 *)(((u64)p + 2 * MiB - 1) & ~(2 * MiB - 1));
	if (aligned > p)
		munmap(p, aligned - p);
	munmap(aligned + size, p + whole - (aligned + size));
	return aligned;
}

/* A machine of little memory comes without; the lab is ours to change. */
static void allow_huge_pages(void)
{
	const char *path = "/sys/kernel/mm/transparent_hugepage/enabled";
	char text[64] = "";
	FILE *f = fopen(path, "r");

	if (!f || !fgets(text, sizeof(text), f))
		skip("the kernel has no transparent huge pages");
	fclose(f);
	if (!strstr(text, "[never]"))
		return;
	f = on_bochs() ? fopen(path, "w") : NULL;
	if (!f || fputs("madvise", f) < 0 || fclose(f))
		skip("transparent huge pages are off");
}

long huge_kilobytes(void)
{
	FILE *f = fopen("/proc/self/smaps_rollup", "r");
	long kb = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "AnonHugePages: %ld", &kb) == 1)
			break;
	if (f)
		fclose(f);
	return kb;
}

void *huge_memory(size_t size)
{
	long before = huge_kilobytes();
	u8 *p = host_memory(size);

	allow_huge_pages();
	CHECK_OK(madvise(p, size, MADV_HUGEPAGE));
	for (size_t at = 0; at < size; at += PAGE)
		((volatile u8 *)p)[at] = 0;
	if (huge_kilobytes() - before < (long)(size >> 10))
		skip("the kernel had no huge pages to give");
	return p;
}

struct vm *vm_with_memory(size_t size)
{
	struct vm *vm = vm_create();

	vm->mem = host_memory(size);
	vm->size = size;
	add_slot(vm, 0, 0, 0, size, vm->mem);
	return vm;
}

int vm_extension(struct vm *vm, long cap)
{
	return CHECK_OK(ioctl(vm->fd, MINIVMM_CHECK_EXTENSION, cap));
}

int enable_cap(struct vm *vm, u32 cap, u32 flags, u64 arg)
{
	struct minivmm_enable_cap enable = { .cap = cap, .flags = flags, .args = { arg } };

	return ioctl(vm->fd, MINIVMM_ENABLE_CAP, &enable);
}

int set_slot(struct vm *vm, u32 slot, u32 flags, u64 gpa, u64 size, const void *hva)
{
	struct minivmm_userspace_memory_region region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (u64)hva,
	};

	return ioctl(vm->fd, MINIVMM_SET_USER_MEMORY_REGION, &region);
}

void add_slot(struct vm *vm, u32 slot, u32 flags, u64 gpa, u64 size, const void *hva)
{
	CHECK_OK(set_slot(vm, slot, flags, gpa, size, hva));
}

void vm_load(struct vm *vm, u64 gpa, const void *code, size_t size)
{
	if (gpa + size > vm->size)
		FAIL("%zu bytes at %#llx don't fit", size, (long long)gpa);
	memcpy(vm->mem + gpa, code, size);
}

struct vcpu *vcpu_create_bare(struct vm *vm, int id)
{
	struct vcpu *v = calloc(1, sizeof(*v));
	int node = node_open();

	v->vm = vm;
	v->run_size = CHECK_OK(ioctl(node, MINIVMM_GET_VCPU_MMAP_SIZE, 0));
	close(node);
	v->fd = CHECK_OK(ioctl(vm->fd, MINIVMM_CREATE_VCPU, (long)id));
	v->run = mmap(NULL, v->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (v->run == MAP_FAILED)
		FAIL("mmap of a vCPU: %s", errno_name(errno));
	return v;
}

struct minivmm_cpuid2 *supported_cpuid(void)
{
	static struct minivmm_cpuid2 *cpuid;
	int node;

	if (cpuid)
		return cpuid;
	cpuid = calloc(1, sizeof(*cpuid) + 256 * sizeof(cpuid->entries[0]));
	cpuid->nent = 256;
	node = node_open();
	CHECK_OK(ioctl(node, MINIVMM_GET_SUPPORTED_CPUID, cpuid));
	close(node);
	return cpuid;
}

bool has_cpuid(u32 leaf, char reg, int bit)
{
	struct minivmm_cpuid2 *c = supported_cpuid();

	for (u32 i = 0; i < c->nent; i++) {
		struct minivmm_cpuid_entry2 *e = &c->entries[i];
		u32 regs[] = { e->eax, e->ebx, e->ecx, e->edx };

		if (e->function == leaf && e->index == 0)
			return regs[reg - 'a'] >> bit & 1;
	}
	return false;
}

struct vcpu *vcpu_create(struct vm *vm, int id)
{
	struct vcpu *v = vcpu_create_bare(vm, id);

	CHECK_OK(ioctl(v->fd, MINIVMM_SET_CPUID2, supported_cpuid()));
	return v;
}

struct minivmm_regs get_regs(struct vcpu *v)
{
	struct minivmm_regs regs;

	CHECK_OK(ioctl(v->fd, MINIVMM_GET_REGS, &regs));
	return regs;
}

void set_regs(struct vcpu *v, const struct minivmm_regs *regs)
{
	CHECK_OK(ioctl(v->fd, MINIVMM_SET_REGS, regs));
}

struct minivmm_sregs get_sregs(struct vcpu *v)
{
	struct minivmm_sregs sregs;

	CHECK_OK(ioctl(v->fd, MINIVMM_GET_SREGS, &sregs));
	return sregs;
}

void set_sregs(struct vcpu *v, const struct minivmm_sregs *sregs)
{
	CHECK_OK(ioctl(v->fd, MINIVMM_SET_SREGS, sregs));
}

static int one_msr(struct vcpu *v, unsigned long request, u32 index, u64 *data)
{
	struct {
		struct minivmm_msrs head;
		struct minivmm_msr_entry entry;
	} msrs = { .head.nmsrs = 1, .entry = { .index = index, .data = *data } };
	int ret = ioctl(v->fd, request, &msrs);

	*data = msrs.entry.data;
	return ret;
}

int get_msr(struct vcpu *v, u32 index, u64 *data)
{
	*data = 0;
	return one_msr(v, MINIVMM_GET_MSRS, index, data);
}

int set_msr(struct vcpu *v, u32 index, u64 data)
{
	return one_msr(v, MINIVMM_SET_MSRS, index, &data);
}

struct vcpu *boot_in(struct vm *vm, enum mode mode, const void *code, size_t size)
{
	struct vcpu *v = vcpu_create(vm, 0);

	vm_load(vm, CODE, code, size);
	vcpu_enter_mode(v, mode, CODE);
	return v;
}

struct vcpu *boot(enum mode mode, const void *code, size_t size)
{
	return boot_in(vm_with_memory(MEM_SIZE), mode, code, size);
}

/* ---- what is under it ------------------------------------------------------------------------ */

/* A word of a line of /proc/cpuinfo. */
bool cpu_has(const char *line_begins, const char *word)
{
	FILE *f = fopen("/proc/cpuinfo", "r");
	char line[4096];
	bool has = false;

	while (f && !has && fgets(line, sizeof(line), f))
		has = !strncmp(line, line_begins, strlen(line_begins)) && strstr(line, word);
	if (f)
		fclose(f);
	return has;
}

bool uses_ept(struct vm *vm)
{
	if (opt.oracle)
		return kvm_has("ept");
	return vm_extension(vm, MINIVMM_CAP_MMU) == MINIVMM_VM_MMU_EPT;
}

bool ept_has_dirty_bits(void)
{
	return cpu_has("flags", " ept_ad") &&
	       (opt.oracle ? kvm_has("eptad") : is_on("ept_ad"));
}
