// SPDX-License-Identifier: GPL-2.0
/* A vCPU's registers by ioctl: what comes back, what is refused, what the guest sees. */
#include <cpuid.h>
#include <string.h>
#include <sys/mman.h>

#include "vm.h"

#define CR0_PE		(1ull << 0)
#define CR0_NW		(1ull << 29)
#define CR0_CD		(1ull << 30)
#define CR0_PG		(1ull << 31)
#define CR4_PAE		(1ull << 5)
#define CR4_VMXE	(1ull << 13)
#define EFER_SCE	(1ull << 0)
#define EFER_LME	(1ull << 8)
#define EFER_LMA	(1ull << 10)

#define MSR_APICBASE		0x1b
#define MSR_SYSENTER_CS		0x174
#define MSR_SYSENTER_ESP	0x175
#define MSR_SYSENTER_EIP	0x176
#define MSR_PAT			0x277
#define MSR_EFER		0xc0000080
#define MSR_STAR		0xc0000081
#define MSR_LSTAR		0xc0000082
#define MSR_CSTAR		0xc0000083
#define MSR_SYSCALL_MASK	0xc0000084
#define MSR_FS_BASE		0xc0000100
#define MSR_GS_BASE		0xc0000101
#define MSR_KERNEL_GS_BASE	0xc0000102
#define MSR_TSC			0x10

#define NON_CANONICAL	0x0000800000000000ull

GUEST64(just_hlt, 1: hlt; jmp 1b)

/* An address that takes nothing, for the requests that read and those that write. */
#define BAD_POINTER	((void *)8)

/* ---- a new vCPU ------------------------------------------------------------------------------ */

TEST(reset_state)
{
	struct vcpu *v = vcpu_create_bare(vm_create(), 0);
	struct minivmm_sregs s = get_sregs(v);
	struct minivmm_regs r = get_regs(v);

	CHECK_EQ(r.rip, 0xfff0);
	CHECK_EQ(r.rflags, 2);
	CHECK_EQ(r.rax, 0);
	CHECK_EQ(r.rsp, 0);
	CHECK_EQ(s.cs.selector, 0xf000);
	CHECK_EQ(s.cs.base, 0xffff0000);
	CHECK_EQ(s.cs.limit, 0xffff);
	CHECK_EQ(s.ss.base, 0);
	CHECK_EQ(s.ds.limit, 0xffff);
	CHECK_EQ(s.gdt.limit, 0xffff);
	CHECK_EQ(s.idt.limit, 0xffff);
	CHECK_EQ(s.cr0, 0x60000010);
	CHECK_EQ(s.cr3, 0);
	CHECK_EQ(s.cr4, 0);
	CHECK_EQ(s.efer, 0);
	/* The local APIC is on, at its place, and vCPU 0 boots. */
	CHECK_EQ(s.apic_base, 0xfee00900);
}

TEST(only_vcpu_0_is_the_boot_processor)
{
	struct vcpu *v = vcpu_create_bare(vm_create(), 1);

	CHECK_EQ(get_sregs(v).apic_base, 0xfee00800);
}

/* ---- general registers ----------------------------------------------------------------------- */

TEST(regs_come_back)
{
	struct vcpu *v = vcpu_create(vm_create(), 0);
	struct minivmm_regs r, got;

	for (size_t i = 0; i < sizeof(r) / 8; i++)
		((u64 *)&r)[i] = 0x1111111111111111 * (i % 15 + 1) + i;
	r.rflags = 0x10ed7;
	set_regs(v, &r);
	got = get_regs(v);
	CHECK_MEM(&got, &r, sizeof(r));
}

TEST(rflags_bit_1_is_always_set)
{
	struct vcpu *v = vcpu_create(vm_create(), 0);
	struct minivmm_regs r = { .rflags = 0x40 };

	set_regs(v, &r);
	CHECK_EQ(get_regs(v).rflags, 0x42);
}

GUEST64(move_registers_on,
	lea 1(%rax), %rbx;
	mov %r15, %rcx;
	mov %rsp, %rdx;
	mov %rbp, %r8;
	hlt)

TEST(guest_sees_regs)
{
	struct vcpu *v = BOOT(LONG64, move_registers_on);
	struct minivmm_regs r = { .rip = CODE, .rflags = 2 };

	r.rax = 0x123456789;
	r.r15 = 0xfffffffffffffff0;
	r.rsp = 0x800;
	r.rbp = 77;
	set_regs(v, &r);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	r = get_regs(v);
	CHECK_EQ(r.rbx, 0x12345678a);
	CHECK_EQ(r.rcx, 0xfffffffffffffff0);
	CHECK_EQ(r.rdx, 0x800);
	CHECK_EQ(r.r8, 77);
}

TEST(regs_bad_pointer)
{
	struct vcpu *v = vcpu_create(vm_create(), 0);
	struct minivmm_regs before = get_regs(v), after;

	CHECK_ERRNO(ioctl(v->fd, MINIVMM_GET_REGS, BAD_POINTER), EFAULT);
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_REGS, BAD_POINTER), EFAULT);
	after = get_regs(v);
	CHECK_MEM(&after, &before, sizeof(before));
}

/* ---- special registers ----------------------------------------------------------------------- */

TEST(sregs_come_back)
{
	struct vcpu *v = BOOT(LONG64, just_hlt);
	struct minivmm_sregs s = get_sregs(v), got;

	s.fs.base = 0x7fff12345678;
	s.gs.base = 0xffff888012345678;
	s.ds.selector = 0x33;
	s.ds.dpl = 3;
	s.gdt.base = 0xffffffff81000000;
	s.gdt.limit = 0x7f;
	s.idt.base = 0xfffffe0000000000;
	s.idt.limit = 0xfff;
	s.cr2 = 0xdeadbeef000;
	s.cr3 = 0x4000;
	s.cr8 = 3;
	s.efer |= EFER_SCE;
	set_sregs(v, &s);
	got = get_sregs(v);
	CHECK_MEM(&got, &s, sizeof(s));
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

TEST(sregs_interrupt_comes_back)
{
	struct vcpu *v = vcpu_create(vm_create(), 0);
	struct minivmm_sregs s = get_sregs(v);

	s.interrupt_bitmap[0x51 / 64] |= 1ull << (0x51 % 64);
	set_sregs(v, &s);
	s = get_sregs(v);
	CHECK_EQ(s.interrupt_bitmap[1], 1ull << (0x51 % 64));
	CHECK_EQ(s.interrupt_bitmap[0], 0);
}

TEST(sregs_bad_pointer)
{
	struct vcpu *v = vcpu_create(vm_create(), 0);
	struct minivmm_sregs before = get_sregs(v), after;

	CHECK_ERRNO(ioctl(v->fd, MINIVMM_GET_SREGS, BAD_POINTER), EFAULT);
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_SREGS, BAD_POINTER), EFAULT);
	after = get_sregs(v);
	CHECK_MEM(&after, &before, sizeof(before));
}

static void refused(struct vcpu *v, const char *what, const struct minivmm_sregs *s)
{
	struct minivmm_sregs before = get_sregs(v), after;

	context("%s", what);
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_SREGS, s), EINVAL);
	after = get_sregs(v);
	CHECK_MEM(&after, &before, sizeof(before));
}

/* Each starts from a good 64-bit state, gets other values everywhere, and one that can't be. */
TEST(sregs_refused_in_long_mode)
{
	struct vcpu *v = BOOT(LONG64, just_hlt);
	struct minivmm_sregs good = get_sregs(v), s;

#define BAD(what, change)			\
	do {					\
		s = good;			\
		s.fs.base = 0x1234000;		\
		s.cr2 = 0x1000;			\
		s.gdt.base = 0x5000;		\
		change;				\
		refused(v, what, &s);		\
	} while (0)

	BAD("CR4.PAE clear", s.cr4 &= ~CR4_PAE);
	BAD("EFER.LMA clear", s.efer &= ~EFER_LMA);
	BAD("CR3 beyond the physical address width", s.cr3 |= 1ull << 51);
	BAD("EFER.LMA without LME", s.efer &= ~EFER_LME);
	BAD("EFER.LMA without paging", s.cr0 &= ~CR0_PG);
	BAD("CR0.PG without PE", s.cr0 &= ~CR0_PE);
	BAD("CR0.NW without CD", s.cr0 |= CR0_NW);
	BAD("upper half of CR0", s.cr0 |= 1ull << 32);
	BAD("reserved bit of CR4", s.cr4 |= 1ull << 31);
	BAD("upper half of CR4", s.cr4 |= 1ull << 32);
	BAD("reserved bit of APIC base", s.apic_base |= 1);
	BAD("APIC base beyond the physical address width", s.apic_base |= 1ull << 52);
	BAD("x2APIC without APIC", s.apic_base = (s.apic_base & ~0x800ull) | 0x400);
	context("all refused");
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

TEST(sregs_refused_in_protected_mode)
{
	struct vcpu *v = vcpu_create(vm_with_memory(MEM_SIZE), 0);
	struct minivmm_sregs good, s;

	vcpu_enter_mode(v, PROT32, CODE);
	good = get_sregs(v);
	BAD("64-bit code segment", s.cs.l = 1);
	BAD("EFER.LMA", s.efer |= EFER_LMA);
}

/* From 64-bit mode back to real mode, between two RUNs. */
TEST(sregs_change_the_mode_of_a_guest_that_has_run)
{
	struct vcpu *v = BOOT(LONG64, just_hlt);
	struct minivmm_sregs reset = get_sregs(vcpu_create(v->vm, 1));

	RUN_TO(v, MINIVMM_EXIT_HLT);
	set_sregs(v, &reset);
	vcpu_enter_mode(v, REAL16, CODE);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_regs(v).rip, 1);
	CHECK_EQ(get_sregs(v).efer, 0);
	vcpu_enter_mode(v, LONG64, CODE);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_regs(v).rip, CODE + 1);
}

/* ---- floating point -------------------------------------------------------------------------- */

static void fill_fpu(struct minivmm_fpu *fpu)
{
	memset(fpu, 0, sizeof(*fpu));
	for (int i = 0; i < 8; i++)
		memset(fpu->fpr[i], 0x10 + i, 10);
	for (int i = 0; i < 16; i++)
		memset(fpu->xmm[i], 0xa0 + i, 16);
	fpu->fcw = 0x27f;
	fpu->fsw = 0x3800;
	fpu->ftwx = 0xff;
	fpu->last_opcode = 0x123;
	fpu->last_ip = 0x11223344;
	fpu->last_dp = 0x55667788;
	fpu->mxcsr = 0x1f80;
}

TEST(fpu_comes_back)
{
	struct vcpu *v = vcpu_create(vm_create(), 0);
	struct minivmm_fpu fpu, got;

	fill_fpu(&fpu);
	CHECK_OK(ioctl(v->fd, MINIVMM_SET_FPU, &fpu));
	memset(&got, 0x55, sizeof(got));
	CHECK_OK(ioctl(v->fd, MINIVMM_GET_FPU, &got));
	CHECK_MEM(got.fpr, fpu.fpr, sizeof(fpu.fpr));
	CHECK_MEM(got.xmm, fpu.xmm, sizeof(fpu.xmm));
	CHECK_EQ(got.fcw, fpu.fcw);
	CHECK_EQ(got.fsw, fpu.fsw);
	CHECK_EQ(got.ftwx, fpu.ftwx);
	CHECK_EQ(got.last_opcode, fpu.last_opcode);
	CHECK_EQ(got.last_ip, fpu.last_ip);
	CHECK_EQ(got.last_dp, fpu.last_dp);
}

TEST(fpu_of_a_new_vcpu)
{
	struct vcpu *v = vcpu_create(vm_create(), 0);
	struct minivmm_fpu fpu;
	static const u8 zeroes[256];

	CHECK_OK(ioctl(v->fd, MINIVMM_GET_FPU, &fpu));
	CHECK_EQ(fpu.fcw, 0x37f);
	CHECK_EQ(fpu.fsw, 0);
	CHECK_MEM(fpu.xmm, zeroes, sizeof(fpu.xmm));
}

GUEST64(use_fpu,
	fnstcw DATA;
	movups %xmm3, DATA + 16;
	fstpt DATA + 32;
	movups DATA + 64, %xmm15;
	stmxcsr DATA + 8;
	hlt)

static bool host_uses_xsave(void)
{
	u32 a, b, c, d;

	return __get_cpuid(1, &a, &b, &c, &d) && c & bit_OSXSAVE;
}

TEST(guest_sees_fpu)
{
	struct vcpu *v = BOOT(LONG64, use_fpu);
	u8 *data = v->vm->mem + DATA;
	struct minivmm_fpu fpu;

	if (opt.oracle && host_uses_xsave())
		skip("KVM's SET_FPU leaves XSTATE_BV clear, and then XRSTOR loads nothing");
	fill_fpu(&fpu);
	fpu.fsw = 0;
	CHECK_OK(ioctl(v->fd, MINIVMM_SET_FPU, &fpu));
	memset(data + 64, 0xee, 16);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(*(u16 *)data, 0x27f);
	CHECK_EQ(*(u32 *)(data + 8), 0x1f80);
	CHECK_MEM(data + 16, fpu.xmm[3], 16);
	CHECK_MEM(data + 32, fpu.fpr[0], 10);
	CHECK_OK(ioctl(v->fd, MINIVMM_GET_FPU, &fpu));
	CHECK_MEM(fpu.xmm[15], data + 64, 16);
	CHECK_EQ(fpu.fsw, 1 << 11);
}

TEST(fpu_bad_pointer)
{
	struct vcpu *v = vcpu_create(vm_create(), 0);

	CHECK_ERRNO(ioctl(v->fd, MINIVMM_GET_FPU, BAD_POINTER), EFAULT);
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_FPU, BAD_POINTER), EFAULT);
}

/* ---- MSRs ------------------------------------------------------------------------------------ */

struct msr_list {
	struct minivmm_msrs head;
	struct minivmm_msr_entry entries[256];
};

TEST(msrs_come_back)
{
	struct vcpu *v = vcpu_create(vm_create(), 0);
	static const struct { u32 index; u64 value; } good[] = {
		{ MSR_SYSENTER_CS, 0x10 },
		{ MSR_SYSENTER_ESP, 0xffffc90000001000 },
		{ MSR_SYSENTER_EIP, 0xffffffff81000000 },
		{ MSR_PAT, 0x0407010600070106 },
		{ MSR_STAR, 0x0023001000000000 },
		{ MSR_LSTAR, 0xffffffff81000040 },
		{ MSR_CSTAR, 0xffffffff81000080 },
		{ MSR_SYSCALL_MASK, 0x47700 },
		{ MSR_FS_BASE, 0x7f0000001000 },
		{ MSR_GS_BASE, 0xffff888000001000 },
		{ MSR_KERNEL_GS_BASE, 0x7f0000002000 },
		{ MSR_EFER, EFER_SCE },
		{ MSR_APICBASE, 0xfee00900 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		u64 value;

		context("MSR %#x", good[i].index);
		CHECK_EQ(set_msr(v, good[i].index, good[i].value), 1);
		CHECK_EQ(get_msr(v, good[i].index, &value), 1);
		CHECK_EQ(value, good[i].value);
	}
}

TEST(msrs_agree_with_sregs)
{
	struct vcpu *v = BOOT(LONG64, just_hlt);
	struct minivmm_sregs s;

	CHECK_EQ(set_msr(v, MSR_FS_BASE, 0x111000), 1);
	CHECK_EQ(set_msr(v, MSR_GS_BASE, 0x222000), 1);
	CHECK_EQ(set_msr(v, MSR_EFER, EFER_SCE | EFER_LME), 1);
	s = get_sregs(v);
	CHECK_EQ(s.fs.base, 0x111000);
	CHECK_EQ(s.gs.base, 0x222000);
	CHECK_EQ(s.efer, EFER_SCE | EFER_LME | EFER_LMA);
}

TEST(tsc_is_settable)
{
	struct vcpu *v = vcpu_create(vm_create(), 0);
	u64 value;

	CHECK_EQ(set_msr(v, MSR_TSC, 1ull << 40), 1);
	CHECK_EQ(get_msr(v, MSR_TSC, &value), 1);
	CHECK_EQ(value >> 40, 1);
}

/* Values that no CPU holds: none done, and what was there stays. */
TEST(msrs_refuse_values)
{
	struct vcpu *v = vcpu_create(vm_create(), 0);
	static const struct { u32 index; u64 value; } bad[] = {
		{ MSR_LSTAR, NON_CANONICAL },
		{ MSR_CSTAR, NON_CANONICAL },
		{ MSR_KERNEL_GS_BASE, NON_CANONICAL },
		{ MSR_FS_BASE, NON_CANONICAL },
		{ MSR_GS_BASE, NON_CANONICAL },
		{ MSR_PAT, 0x0202020202020202 },
		{ MSR_PAT, 8 },
		{ MSR_EFER, 1ull << 63 },
		{ MSR_EFER, 2 },
		{ MSR_APICBASE, 1 },
		{ MSR_APICBASE, 1ull << 60 },
		{ 0x12345, 0 },
		{ 0xc0001fff, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		u64 before = 0, after = 0;

		context("MSR %#x, value %#llx", bad[i].index, (long long)bad[i].value);
		get_msr(v, bad[i].index, &before);
		CHECK_EQ(set_msr(v, bad[i].index, bad[i].value), 0);
		get_msr(v, bad[i].index, &after);
		CHECK_EQ(after, before);
	}
}

TEST(msr_list_ends_at_the_first_bad_one)
{
	struct vcpu *v = vcpu_create(vm_create(), 0);
	struct msr_list list = { .head.nmsrs = 4 };
	u64 value;

	CHECK_EQ(set_msr(v, MSR_CSTAR, 0x3000), 1);
	list.entries[0] = (struct minivmm_msr_entry){ .index = MSR_LSTAR, .data = 0x1000 };
	list.entries[1] = (struct minivmm_msr_entry){ .index = MSR_STAR, .data = 0x2000 };
	list.entries[2] = (struct minivmm_msr_entry){ .index = 0x12345 };
	list.entries[3] = (struct minivmm_msr_entry){ .index = MSR_CSTAR, .data = 0x4000 };
	CHECK_EQ(ioctl(v->fd, MINIVMM_SET_MSRS, &list), 2);
	get_msr(v, MSR_LSTAR, &value);
	CHECK_EQ(value, 0x1000);
	get_msr(v, MSR_CSTAR, &value);
	CHECK_EQ(value, 0x3000);
	list.entries[0].data = list.entries[3].data = 0;
	CHECK_EQ(ioctl(v->fd, MINIVMM_GET_MSRS, &list), 2);
	CHECK_EQ(list.entries[0].data, 0x1000);
	CHECK_EQ(list.entries[3].data, 0);
}

TEST(msr_list_sizes)
{
	struct vcpu *v = vcpu_create(vm_create(), 0);
	struct msr_list list = { .head.nmsrs = 0 };

	CHECK_EQ(ioctl(v->fd, MINIVMM_GET_MSRS, &list), 0);
	CHECK_EQ(ioctl(v->fd, MINIVMM_SET_MSRS, &list), 0);
	for (int i = 0; i < 256; i++)
		list.entries[i].index = MSR_LSTAR;
	list.head.nmsrs = 255;
	CHECK_EQ(ioctl(v->fd, MINIVMM_GET_MSRS, &list), 255);
	list.head.nmsrs = 256;
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_GET_MSRS, &list), E2BIG);
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_MSRS, &list), E2BIG);
	list.head.nmsrs = 0xffffffff;
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_GET_MSRS, &list), E2BIG);
}

TEST(msr_list_bad_pointers)
{
	struct vcpu *v = vcpu_create(vm_create(), 0);
	u8 *end = (u8 *)host_memory(2 * PAGE) + PAGE;
	struct minivmm_msrs *list = (void *)(end - sizeof(*list) - 16);

	CHECK_ERRNO(ioctl(v->fd, MINIVMM_GET_MSRS, BAD_POINTER), EFAULT);
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_MSRS, BAD_POINTER), EFAULT);
	munmap(end, PAGE);
	list->nmsrs = 2;
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_GET_MSRS, list), EFAULT);
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_MSRS, list), EFAULT);
}

/* What GET_MSR_INDEX_LIST names can be read, and written back as it is. */
TEST(every_listed_msr_can_be_saved_and_restored)
{
	struct vcpu *v = vcpu_create(vm_create(), 0);
	struct { struct minivmm_msr_list head; u32 indices[512]; } list = { .head.nmsrs = 512 };
	int node = node_open();

	CHECK_OK(ioctl(node, MINIVMM_GET_MSR_INDEX_LIST, &list));
	CHECK(list.head.nmsrs > 10);
	for (u32 i = 0; i < list.head.nmsrs; i++) {
		u64 value;

		/* KVM's own may depend on a local APIC in the kernel. */
		if (list.indices[i] >> 8 == 0x4b564d)
			continue;
		context("MSR %#x", list.indices[i]);
		CHECK_EQ(get_msr(v, list.indices[i], &value), 1);
		CHECK_EQ(set_msr(v, list.indices[i], value), 1);
	}
}

#define MSR_UCODE_REV		0x8b
#define MSR_ARCH_CAPABILITIES	0x10a
#define PSCHANGE_MC_NO		(1u << 6)

/* What the machine offers, before there is a VM. */
TEST(feature_msrs)
{
	struct { struct minivmm_msr_list head; u32 indices[64]; } list = { .head.nmsrs = 0 };
	struct msr_list msrs = { .head.nmsrs = 3 };
	int node = node_open();
	bool found[2] = {};
	u32 n;

	CHECK_EQ(ioctl(node, MINIVMM_CHECK_EXTENSION, MINIVMM_CAP_GET_MSR_FEATURES), 1);
	CHECK_ERRNO(ioctl(node, MINIVMM_GET_MSR_FEATURE_INDEX_LIST, &list), E2BIG);
	n = list.head.nmsrs;
	CHECK(n > 1 && n <= ARRAY_SIZE(list.indices));
	CHECK_OK(ioctl(node, MINIVMM_GET_MSR_FEATURE_INDEX_LIST, &list));
	CHECK_EQ(list.head.nmsrs, n);
	CHECK_ERRNO(ioctl(node, MINIVMM_GET_MSR_FEATURE_INDEX_LIST, BAD_POINTER), EFAULT);
	for (u32 i = 0; i < n; i++) {
		found[0] |= list.indices[i] == MSR_UCODE_REV;
		found[1] |= list.indices[i] == MSR_ARCH_CAPABILITIES;
		msrs.head.nmsrs = 1;
		msrs.entries[0] = (struct minivmm_msr_entry){ .index = list.indices[i] };
		context("MSR %#x", list.indices[i]);
		CHECK_EQ(ioctl(node, MINIVMM_GET_MSRS, &msrs), 1);
	}
	CHECK(found[0] && found[1]);

	/* the first that isn't one of them ends the list; a guest's aren't */
	msrs.head.nmsrs = 3;
	msrs.entries[0].index = msrs.entries[2].index = MSR_ARCH_CAPABILITIES;
	msrs.entries[1].index = MSR_LSTAR;
	msrs.entries[2].data = 0;
	CHECK_EQ(ioctl(node, MINIVMM_GET_MSRS, &msrs), 1);
	CHECK(msrs.entries[0].data & PSCHANGE_MC_NO);
	CHECK_EQ(msrs.entries[2].data, 0);
	msrs.head.nmsrs = 256;
	CHECK_ERRNO(ioctl(node, MINIVMM_GET_MSRS, &msrs), E2BIG);
	CHECK_ERRNO(ioctl(node, MINIVMM_GET_MSRS, BAD_POINTER), EFAULT);
	CHECK_ERRNO(ioctl(node, MINIVMM_SET_MSRS, &msrs), EINVAL);
}

/* ... is what a vCPU has, until the client says something else. */
TEST(arch_capabilities)
{
	struct msr_list msrs = { .head.nmsrs = 1, .entries[0].index = MSR_ARCH_CAPABILITIES };
	struct vcpu *v = vcpu_create(vm_create(), 0);
	u64 value;

	CHECK_EQ(ioctl(node_open(), MINIVMM_GET_MSRS, &msrs), 1);
	CHECK_EQ(get_msr(v, MSR_ARCH_CAPABILITIES, &value), 1);
	CHECK_EQ(value, msrs.entries[0].data);
	CHECK_EQ(set_msr(v, MSR_ARCH_CAPABILITIES, PSCHANGE_MC_NO), 1);
	CHECK_EQ(get_msr(v, MSR_ARCH_CAPABILITIES, &value), 1);
	CHECK_EQ(value, PSCHANGE_MC_NO);
}

/* ---- CPUID ----------------------------------------------------------------------------------- */

struct cpuid_list {
	struct minivmm_cpuid2 head;
	struct minivmm_cpuid_entry2 entries[257];
};

/* KVM before 6.4 leaves the count alone. */
static void check_count(const struct cpuid_list *got, u32 want)
{
	if (!opt.oracle || got->head.nent != 256)
		CHECK_EQ(got->head.nent, want);
}

TEST(cpuid_comes_back)
{
	struct vcpu *v = vcpu_create_bare(vm_create(), 0);
	struct minivmm_cpuid2 *set = supported_cpuid();
	struct cpuid_list got = { .head.nent = 256 };

	CHECK_OK(ioctl(v->fd, MINIVMM_GET_CPUID2, &got));
	check_count(&got, 0);
	CHECK_OK(ioctl(v->fd, MINIVMM_SET_CPUID2, set));
	got.head.nent = 256;
	CHECK_OK(ioctl(v->fd, MINIVMM_GET_CPUID2, &got));
	check_count(&got, set->nent);
	for (u32 i = 0; i < set->nent; i++) {
		CHECK_EQ(got.entries[i].function, set->entries[i].function);
		CHECK_EQ(got.entries[i].index, set->entries[i].index);
		CHECK_EQ(got.entries[i].flags, set->entries[i].flags);
		/* These follow CR4 and XCR0: OSXSAVE, OSPKE, the size of the XSAVE area. */
		if (set->entries[i].function == 1 || set->entries[i].function == 7 ||
		    set->entries[i].function == 0xd)
			continue;
		CHECK_MEM(&got.entries[i], &set->entries[i], sizeof(got.entries[i]));
	}
}

TEST(cpuid_list_too_short)
{
	struct vcpu *v = vcpu_create(vm_create(), 0);
	struct cpuid_list got = { .head.nent = supported_cpuid()->nent - 1 };

	CHECK_ERRNO(ioctl(v->fd, MINIVMM_GET_CPUID2, &got), E2BIG);
}

TEST(cpuid_list_too_long)
{
	struct vcpu *v = vcpu_create(vm_create(), 0);
	struct cpuid_list list = { .head.nent = 257 };

	CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_CPUID2, &list), E2BIG);
	list.head.nent = 256;
	for (int i = 0; i < 256; i++)
		list.entries[i].function = i;
	CHECK_OK(ioctl(v->fd, MINIVMM_SET_CPUID2, &list));
	list.head.nent = 0;
	CHECK_OK(ioctl(v->fd, MINIVMM_SET_CPUID2, &list));
}

TEST(cpuid_bad_pointers)
{
	struct vcpu *v = vcpu_create(vm_create(), 0);
	u8 *end = (u8 *)host_memory(2 * PAGE) + PAGE;
	struct minivmm_cpuid2 *list = (void *)(end - sizeof(*list));

	munmap(end, PAGE);
	list->nent = 1;
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_CPUID2, BAD_POINTER), EFAULT);
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_CPUID2, list), EFAULT);
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_GET_CPUID2, BAD_POINTER), EFAULT);
	list->nent = 256;
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_GET_CPUID2, list), EFAULT);
}

/* Once it has run, a vCPU doesn't become another CPU; the same again is taken. */
TEST(cpuid_is_fixed_after_run)
{
	struct vcpu *v = BOOT(LONG64, just_hlt);
	struct cpuid_list list = { .head.nent = 1 };

	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_CPUID2, &list), EINVAL);
	CHECK_OK(ioctl(v->fd, MINIVMM_SET_CPUID2, supported_cpuid()));
	RUN_TO(v, MINIVMM_EXIT_HLT);
}
