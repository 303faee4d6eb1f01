// SPDX-License-Identifier: GPL-2.0
/* The ioctls on the node itself, and CHECK_EXTENSION on both descriptors. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vm.h"

#define BAD_POINTER	((void *)8)

TEST(api_version)
{
	CHECK_EQ(ioctl(node_open(), MINIVMM_GET_API_VERSION, 0), MINIVMM_API_VERSION);
}

TEST(api_version_takes_no_argument)
{
	CHECK_ERRNO(ioctl(node_open(), MINIVMM_GET_API_VERSION, 1l), EINVAL);
}

TEST(vcpu_mmap_size)
{
	int node = node_open();
	long size = CHECK_OK(ioctl(node, MINIVMM_GET_VCPU_MMAP_SIZE, 0));

	CHECK(size >= 2 * (long)PAGE && size % PAGE == 0);
	CHECK_ERRNO(ioctl(node, MINIVMM_GET_VCPU_MMAP_SIZE, 1l), EINVAL);
}

TEST(node_opens_many_times)
{
	int a = node_open(), b = node_open();

	CHECK_EQ(ioctl(a, MINIVMM_GET_API_VERSION, 0), MINIVMM_API_VERSION);
	close(a);
	CHECK_EQ(ioctl(b, MINIVMM_GET_API_VERSION, 0), MINIVMM_API_VERSION);
}

TEST(node_does_nothing_but_ioctls)
{
	int node = node_open();
	char c;

	CHECK_ERRNO(read(node, &c, 1), EINVAL);
	CHECK_ERRNO(write(node, &c, 1), EINVAL);
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, node, 0) == MAP_FAILED);
	CHECK_EQ(errno, ENODEV);
}

/* Everything a client may ask before it knows anything. */
TEST(unknown_ioctls_are_refused)
{
	int node = node_open();
	static const u32 unknown[] = {
		_IO(MINIVMMIO, 0xff), _IO('x', 0x00), _IOR(MINIVMMIO, 0x00, u64),
		MINIVMM_RUN, MINIVMM_CREATE_VCPU, MINIVMM_GET_FAILURE, 0, ~0u,
	};

	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++) {
		context("request %#x", unknown[i]);
		CHECK_EQ(ioctl(node, unknown[i], 0), -1);
		CHECK(errno == ENOTTY || errno == EINVAL);
	}
}

TEST(unknown_ioctls_on_a_vm_are_refused)
{
	struct vm *vm = vm_create();
	static const u32 unknown[] = {
		_IO(MINIVMMIO, 0xff), _IO('x', 0x41), MINIVMM_RUN, MINIVMM_CREATE_VM,
		MINIVMM_GET_API_VERSION, MINIVMM_GET_FAILURE, 0, ~0u,
	};

	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++) {
		context("request %#x", unknown[i]);
		CHECK_ERRNO(ioctl(vm->fd, unknown[i], 0), ENOTTY);
	}
}

/* ---- CHECK_EXTENSION ------------------------------------------------------------------------- */

struct extension {
	const char *name;
	long cap;
	int least;
};

#define CAP(name, least)	{ #name, MINIVMM_CAP_##name, least }

static const struct extension extensions[] = {
	CAP(IRQCHIP, 1),
	CAP(HLT, 1),
	CAP(USER_MEMORY, 1),
	CAP(MMU_SHADOW_CACHE_CONTROL, 1),
	CAP(SET_TSS_ADDR, 1),
	CAP(EXT_CPUID, 1),
	CAP(NR_VCPUS, 1),
	CAP(NR_MEMSLOTS, 32),
	CAP(PIT, 1),
	CAP(NOP_IO_DELAY, 1),
	CAP(SYNC_MMU, 1),
	CAP(DESTROY_MEMORY_REGION_WORKS, 1),
	CAP(USER_NMI, 1),
	CAP(IRQ_INJECT_STATUS, 1),
	CAP(JOIN_MEMORY_REGIONS_WORKS, 1),
	CAP(MCE, 1),
	CAP(PIT2, 1),
	CAP(SET_BOOT_CPU_ID, 1),
	CAP(SET_IDENTITY_MAP_ADDR, 1),
	CAP(INTERNAL_ERROR_DATA, 1),
	CAP(GET_TSC_KHZ, 1),
	CAP(MAX_VCPUS, 1),
	CAP(READONLY_MEM, 1),
	CAP(CHECK_EXTENSION_VM, 1),
	CAP(MAX_VCPU_ID, 1),
	CAP(IMMEDIATE_EXIT, 1),
	CAP(BINARY_STATS_FD, 1),
};

TEST(extensions_that_a_client_relies_on)
{
	int node = node_open();

	for (size_t i = 0; i < ARRAY_SIZE(extensions); i++) {
		context("CAP_%s", extensions[i].name);
		CHECK(ioctl(node, MINIVMM_CHECK_EXTENSION,
			    extensions[i].cap) >= extensions[i].least);
	}
}

TEST(extensions_are_the_same_on_a_vm)
{
	int node = node_open();
	struct vm *vm = vm_create();

	for (size_t i = 0; i < ARRAY_SIZE(extensions); i++) {
		context("CAP_%s", extensions[i].name);
		CHECK_EQ(vm_extension(vm, extensions[i].cap),
			 ioctl(node, MINIVMM_CHECK_EXTENSION, extensions[i].cap));
	}
}

TEST(unknown_extensions_are_0)
{
	static const long unknown[] = { 5, 9999, 0x7fffffff, -1, 1l << 40 };
	struct vm *vm = vm_create();

	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++) {
		context("capability %ld", unknown[i]);
		CHECK_EQ(node_extension(unknown[i]), 0);
		CHECK_EQ(vm_extension(vm, unknown[i]), 0);
	}
}

/* ---- CREATE_VM ------------------------------------------------------------------------------- */

TEST(create_vm_of_type_0)
{
	int node = node_open();
	int vm = CHECK_OK(ioctl(node, MINIVMM_CREATE_VM, 0));

	CHECK(fcntl(vm, F_GETFD) & FD_CLOEXEC);
	close(node);
	CHECK_OK(ioctl(vm, MINIVMM_CHECK_EXTENSION, (long)MINIVMM_CAP_USER_MEMORY));
}

TEST(create_vm_refuses_unknown_types)
{
	int node = node_open();
	static const long unknown[] = { 1, 2, 0xff, MINIVMM_VM_MMU_EPT | MINIVMM_VM_MMU_SHADOW,
					0x400, -1,
					MINIVMM_VM_MMU_EPT | 1ul << 32 };

	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++) {
		context("type %#lx", unknown[i]);
		CHECK_ERRNO(ioctl(node, MINIVMM_CREATE_VM, unknown[i]), EINVAL);
	}
}

TEST(create_vm_without_a_free_descriptor)
{
	int node = node_open();

	while (dup(node) >= 0)
		;
	CHECK_ERRNO(ioctl(node, MINIVMM_CREATE_VM, 0), EMFILE);
	close(node + 1);
	CHECK_OK(ioctl(node, MINIVMM_CREATE_VM, 0));
}

/* Each mode that the node offers can be had and is the VM's; the others are EOPNOTSUPP. */
TEST(create_vm_of_each_mmu)
{
	static const int modes[] = { MINIVMM_VM_MMU_EPT, MINIVMM_VM_MMU_SHADOW };
	int node = node_open(), offered, vm;

	if (opt.oracle)
		skip("KVM's MMU is chosen when kvm_intel is loaded");
	offered = node_extension(MINIVMM_CAP_MMU);
	CHECK_EQ(offered & ~(MINIVMM_VM_MMU_EPT | MINIVMM_VM_MMU_SHADOW), 0);
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		context("type %#x", modes[i]);
		if (!(offered & modes[i])) {
			CHECK_ERRNO(ioctl(node, MINIVMM_CREATE_VM, (long)modes[i]), EOPNOTSUPP);
			continue;
		}
		vm = CHECK_OK(ioctl(node, MINIVMM_CREATE_VM, (long)modes[i]));
		CHECK_EQ(ioctl(vm, MINIVMM_CHECK_EXTENSION, (long)MINIVMM_CAP_MMU), modes[i]);
	}
}

TEST(type_0_is_one_of_the_modes)
{
	int mode;

	if (opt.oracle)
		skip("KVM's MMU is chosen when kvm_intel is loaded");
	mode = ioctl(CHECK_OK(ioctl(node_open(), MINIVMM_CREATE_VM, 0)), MINIVMM_CHECK_EXTENSION,
		     (long)MINIVMM_CAP_MMU);
	CHECK(mode == MINIVMM_VM_MMU_EPT || mode == MINIVMM_VM_MMU_SHADOW);
	CHECK(node_extension(MINIVMM_CAP_MMU) & mode);
	CHECK_EQ(node_extension(MINIVMM_CAP_FAILURE), 1);
}

/* ---- the addresses that Intel's KVM asks for ------------------------------------------------- */

TEST(tss_address)
{
	int vm = CHECK_OK(ioctl(node_open(), MINIVMM_CREATE_VM, (long)vm_type()));

	/* The three pages must lie below 4 GiB. */
	CHECK_ERRNO(ioctl(vm, MINIVMM_SET_TSS_ADDR, 0xffffe000ul), EINVAL);
	CHECK_OK(ioctl(vm, MINIVMM_SET_TSS_ADDR, 0xfeffd000ul));
}

TEST(identity_map_address)
{
	struct vm *vm = vm_create();
	u64 address = 0xfffbc000;

	CHECK_OK(ioctl(vm->fd, MINIVMM_SET_IDENTITY_MAP_ADDR, &address));
	address = 0;			/* stands for the default */
	CHECK_OK(ioctl(vm->fd, MINIVMM_SET_IDENTITY_MAP_ADDR, &address));
	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_SET_IDENTITY_MAP_ADDR, BAD_POINTER), EFAULT);
}

TEST(identity_map_address_after_a_vcpu)
{
	struct vm *vm = vm_create();
	u64 address = 0xfffbc000;

	vcpu_create(vm, 0);
	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_SET_IDENTITY_MAP_ADDR, &address), EINVAL);
}

/* ---- lists ----------------------------------------------------------------------------------- */

struct msr_list {
	struct minivmm_msr_list head;
	u32 indices[512];
};

/* Asked with room for none, it says how many there are. */
TEST(msr_index_list)
{
	struct msr_list list = { .head.nmsrs = 0 };
	int node = node_open();
	u32 n;

	CHECK_ERRNO(ioctl(node, MINIVMM_GET_MSR_INDEX_LIST, &list), E2BIG);
	n = list.head.nmsrs;
	CHECK(n > 0 && n <= ARRAY_SIZE(list.indices));
	list.head.nmsrs = n - 1;
	CHECK_ERRNO(ioctl(node, MINIVMM_GET_MSR_INDEX_LIST, &list), E2BIG);
	CHECK_EQ(list.head.nmsrs, n);
	list.head.nmsrs = ARRAY_SIZE(list.indices);
	CHECK_OK(ioctl(node, MINIVMM_GET_MSR_INDEX_LIST, &list));
	CHECK_EQ(list.head.nmsrs, n);
}

TEST(msr_index_list_has_what_a_guest_needs_and_nothing_twice)
{
	struct msr_list list = { .head.nmsrs = ARRAY_SIZE(list.indices) };
	static const u32 needed[] = {
		0x10, 0x174, 0x175, 0x176,
		0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, 0xc0000102,
	};

	CHECK_OK(ioctl(node_open(), MINIVMM_GET_MSR_INDEX_LIST, &list));
	for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
		int times = 0;

		for (u32 k = 0; k < list.head.nmsrs; k++)
			times += list.indices[k] == needed[i];
		context("MSR %#x", needed[i]);
		CHECK_EQ(times, 1);
	}
	context("each once");
	for (u32 i = 0; i < list.head.nmsrs; i++)
		for (u32 k = 0; k < i; k++)
			CHECK(list.indices[i] != list.indices[k]);
}

TEST(msr_index_list_bad_pointers)
{
	u8 *end = (u8 *)host_memory(2 * PAGE) + PAGE;
	struct minivmm_msr_list *list = (void *)(end - 8);
	int node = node_open();

	munmap(end, PAGE);
	CHECK_ERRNO(ioctl(node, MINIVMM_GET_MSR_INDEX_LIST, BAD_POINTER), EFAULT);
	list->nmsrs = 512;
	CHECK_ERRNO(ioctl(node, MINIVMM_GET_MSR_INDEX_LIST, list), EFAULT);
}

struct cpuid_list {
	struct minivmm_cpuid2 head;
	struct minivmm_cpuid_entry2 entries[512];
};

TEST(supported_cpuid_sizes)
{
	struct cpuid_list list = { .head.nent = 0 };
	int node = node_open();
	u32 n;

	CHECK_ERRNO(ioctl(node, MINIVMM_GET_SUPPORTED_CPUID, &list), E2BIG);
	list.head.nent = 1;
	CHECK_ERRNO(ioctl(node, MINIVMM_GET_SUPPORTED_CPUID, &list), E2BIG);
	list.head.nent = 256;
	CHECK_OK(ioctl(node, MINIVMM_GET_SUPPORTED_CPUID, &list));
	n = list.head.nent;
	CHECK(n > 1 && n <= 256);
	list.head.nent = n;
	CHECK_OK(ioctl(node, MINIVMM_GET_SUPPORTED_CPUID, &list));
	CHECK_EQ(list.head.nent, n);
	list.head.nent = n - 1;
	CHECK_ERRNO(ioctl(node, MINIVMM_GET_SUPPORTED_CPUID, &list), E2BIG);
	/* More than it could ever need is as good as 256. */
	list.head.nent = 512;
	CHECK_OK(ioctl(node, MINIVMM_GET_SUPPORTED_CPUID, &list));
	CHECK_EQ(list.head.nent, n);
}

TEST(supported_cpuid_bad_pointers)
{
	u8 *end = (u8 *)host_memory(2 * PAGE) + PAGE;
	struct minivmm_cpuid2 *list = (void *)(end - sizeof(*list));
	int node = node_open();

	munmap(end, PAGE);
	list->nent = 256;
	CHECK_ERRNO(ioctl(node, MINIVMM_GET_SUPPORTED_CPUID, list), EFAULT);
	CHECK_ERRNO(ioctl(node, MINIVMM_GET_SUPPORTED_CPUID, BAD_POINTER), EFAULT);
}

/* What a 64-bit kernel can't do without; and what the hypervisor doesn't offer. */
TEST(supported_cpuid_bits)
{
	CHECK(has_cpuid(1, 'd', 0));		/* FPU */
	CHECK(has_cpuid(1, 'd', 4));		/* TSC */
	CHECK(has_cpuid(1, 'd', 5));		/* MSR */
	CHECK(has_cpuid(1, 'd', 6));		/* PAE */
	CHECK(has_cpuid(1, 'd', 8));		/* CMPXCHG8B */
	CHECK(has_cpuid(1, 'd', 9));		/* APIC */
	CHECK(has_cpuid(1, 'd', 13));		/* PGE */
	CHECK(has_cpuid(1, 'd', 15));		/* CMOV */
	CHECK(has_cpuid(1, 'd', 16));		/* PAT */
	CHECK(has_cpuid(1, 'd', 24));		/* FXSR */
	CHECK(has_cpuid(1, 'd', 26));		/* SSE2 */
	CHECK(has_cpuid(0x80000001, 'd', 11));	/* SYSCALL */
	CHECK(has_cpuid(0x80000001, 'd', 20));	/* NX */
	CHECK(has_cpuid(0x80000001, 'd', 29));	/* long mode */
	CHECK(!has_cpuid(1, 'c', 3));		/* MONITOR */
	CHECK(!has_cpuid(1, 'c', 7));		/* EIST */
	CHECK(!has_cpuid(1, 'd', 22));		/* ACPI: thermal control */
}

/* Each leaf with subleaves says so, and none is there twice. */
TEST(supported_cpuid_leaves_are_unique)
{
	struct minivmm_cpuid2 *c = supported_cpuid();

	for (u32 i = 0; i < c->nent; i++) {
		struct minivmm_cpuid_entry2 *a = &c->entries[i];

		context("leaf %#x, subleaf %u", a->function, a->index);
		if (a->index)
			CHECK(a->flags & MINIVMM_CPUID_FLAG_SIGNIFCANT_INDEX);
		for (u32 k = 0; k < i; k++)
			CHECK(c->entries[k].function != a->function ||
			      c->entries[k].index != a->index);
	}
}
