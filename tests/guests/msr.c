// SPDX-License-Identifier: GPL-2.0
/* Model-specific registers as the guest meets them, and the instructions that they steer. */
#include "guest.h"

#define CHECK_KEEPS(index, value)		\
	do {					\
		u64 v_ = (value);		\
		wrmsr(index, v_);		\
		CHECK_EQ(rdmsr(index), v_);	\
	} while (0)

GUEST_TEST(unknown_msrs)
{
	static const u32 unknown[] = { 0x12345, 0x40000fff, 0xc0001fff, 0xffffffff };
	u64 value;

	for (u32 i = 0; i < ARRAY_SIZE(unknown); i++) {
		context("MSR %x", unknown[i]);
		CHECK_TRAP(try_rdmsr(unknown[i], &value), GP, 0);
		CHECK_TRAP(try_wrmsr(unknown[i], 0), GP, 0);
	}
}

static void user_msr(void)
{
	u64 value;

	CHECK_TRAP(try_rdmsr(MSR_APICBASE, &value), GP, 0);
	CHECK_TRAP(try_wrmsr(MSR_STAR, 0), GP, 0);
}

GUEST_TEST(msrs_are_the_kernels)
{
	user_call(user_msr);
}

/* RDMSR clears the upper halves of RAX and RDX. */
GUEST_TEST(rdmsr_clears_upper_halves)
{
	u64 a = ~0ul, d = ~0ul;

	asm volatile("rdmsr" : "+a"(a), "+d"(d) : "c"(MSR_APICBASE));
	CHECK_EQ(a >> 32, 0);
	CHECK_EQ(d >> 32, 0);
}

GUEST_TEST(apic_base)
{
	CHECK_EQ(rdmsr(MSR_APICBASE) & ~0x400ul, 0xfee00900);
	CHECK_TRAP(try_wrmsr(MSR_APICBASE, 0xfee00901), GP, 0);
	CHECK_TRAP(try_wrmsr(MSR_APICBASE, 0xfee00900 | 1ul << 60), GP, 0);
	CHECK_EQ(rdmsr(MSR_APICBASE) & ~0x400ul, 0xfee00900);
}

/* Read-only; what it says that the CPU isn't vulnerable to is the host's affair. */
GUEST_TEST(arch_capabilities)
{
	const u64 pschange_mc_no = 1 << 6;
	u64 caps;

	CHECK(cpuid(7, 0).d >> 29 & 1);
	CHECK_NO_TRAP(try_rdmsr(MSR_ARCH_CAPABILITIES, &caps));
	CHECK(caps & pschange_mc_no);
	CHECK_TRAP(try_wrmsr(MSR_ARCH_CAPABILITIES, caps), GP, 0);
}

GUEST_TEST(pat)
{
	CHECK_EQ(rdmsr(MSR_PAT), 0x0007040600070406);
	CHECK_KEEPS(MSR_PAT, 0x0407010600070106);
	CHECK_TRAP(try_wrmsr(MSR_PAT, 0x0202020202020202), GP, 0);
	CHECK_TRAP(try_wrmsr(MSR_PAT, 0x80), GP, 0);
	CHECK_EQ(rdmsr(MSR_PAT), 0x0407010600070106);
}

GUEST_TEST(mtrrs)
{
	u64 cap, value;

	if (!(cpuid(1, 0).d >> 12 & 1))
		skip("no MTRRs in this CPU");
	CHECK_NO_TRAP(try_rdmsr(0xfe, &cap));
	for (u32 i = 0; i < 2 * (cap & 0xff); i++) {
		context("variable MTRR %u", i);
		CHECK_NO_TRAP(try_rdmsr(0x200 + i, &value));
	}
	context("MTRRdefType");
	CHECK_NO_TRAP(try_rdmsr(0x2ff, &value));
	CHECK_TRAP(try_wrmsr(0x2ff, 2), GP, 0);
	CHECK_NO_TRAP(try_wrmsr(0x2ff, 0xc06));
	CHECK_EQ(rdmsr(0x2ff), 0xc06);
	context("MTRRfix64K");
	CHECK_KEEPS(0x250, 0x0606060606060606);
	CHECK_TRAP(try_wrmsr(0xfe, cap), GP, 0);
}

GUEST_TEST(tsc)
{
	u64 before = rdtsc();

	wrmsr(MSR_TSC, before + (1ul << 40));
	CHECK(rdtsc() >= before + (1ul << 40));
	CHECK(rdmsr(MSR_TSC) >= before + (1ul << 40));
	CHECK(rdtsc() < before + (1ul << 41));
}

GUEST_TEST(ids)
{
	u64 value;

	/*
	 * Microcode, platform, features: an operating system reads them at boot and must not fall.
	 */
	CHECK_NO_TRAP(try_rdmsr(0x8b, &value));
	CHECK_NO_TRAP(try_rdmsr(0x17, &value));
	CHECK_NO_TRAP(try_rdmsr(0x1a0, &value));
	CHECK_NO_TRAP(try_rdmsr(0x3a, &value));
	CHECK_NO_TRAP(try_rdmsr(0x179, &value));
	CHECK_NO_TRAP(try_rdmsr(0x17a, &value));
}

/* ---- bases ----------------------------------------------------------------------------------- */

static volatile u64 words[4];

static u64 read_gs_0(void)
{
	u64 v;

	asm volatile("mov %%gs:0, %0" : "=r"(v));
	return v;
}

GUEST_TEST(fs_and_gs_base)
{
	u64 v;

	words[1] = 0x1111;
	words[2] = 0x2222;
	CHECK_KEEPS(MSR_FS_BASE, (u64)&words[1]);
	CHECK_KEEPS(MSR_GS_BASE, (u64)&words[2]);
	asm volatile("mov %%fs:0, %0" : "=r"(v));
	CHECK_EQ(v, 0x1111);
	CHECK_EQ(read_gs_0(), 0x2222);
	CHECK_TRAP(try_wrmsr(MSR_FS_BASE, NON_CANONICAL), GP, 0);
	CHECK_TRAP(try_wrmsr(MSR_GS_BASE, NON_CANONICAL), GP, 0);
	CHECK_EQ(rdmsr(MSR_FS_BASE), (u64)&words[1]);
}

GUEST_TEST(swapgs)
{
	words[1] = 0x1111;
	words[2] = 0x2222;
	wrmsr(MSR_GS_BASE, (u64)&words[1]);
	CHECK_KEEPS(MSR_KERNEL_GS_BASE, (u64)&words[2]);
	asm volatile("swapgs");
	CHECK_EQ(read_gs_0(), 0x2222);
	CHECK_EQ(rdmsr(MSR_KERNEL_GS_BASE), (u64)&words[1]);
	CHECK_EQ(rdmsr(MSR_GS_BASE), (u64)&words[2]);
	/* Also across exits to the client. */
	inb(0x80);
	asm volatile("swapgs");
	inb(0x80);
	CHECK_EQ(read_gs_0(), 0x1111);
	CHECK_EQ(rdmsr(MSR_KERNEL_GS_BASE), (u64)&words[2]);
	CHECK_TRAP(try_wrmsr(MSR_KERNEL_GS_BASE, NON_CANONICAL), GP, 0);
}

/* ---- EFER ------------------------------------------------------------------------------------ */

GUEST_TEST(efer)
{
	u64 efer = rdmsr(MSR_EFER);

	CHECK(efer & EFER_LMA);
	CHECK(efer & EFER_LME);
	CHECK_KEEPS(MSR_EFER, efer | EFER_SCE);
	CHECK_KEEPS(MSR_EFER, efer);
	/* LMA is the CPU's; LME can't change while paging is on; the rest is reserved. */
	wrmsr(MSR_EFER, efer & ~EFER_LMA);
	CHECK_EQ(rdmsr(MSR_EFER), efer);
	CHECK_TRAP(try_wrmsr(MSR_EFER, efer & ~EFER_LME), GP, 0);
	CHECK_TRAP(try_wrmsr(MSR_EFER, efer | 2), GP, 0);
	CHECK_TRAP(try_wrmsr(MSR_EFER, efer | 1ul << 32), GP, 0);
	CHECK_TRAP(try_wrmsr(MSR_EFER, efer | 1ul << 12), GP, 0);
	CHECK_EQ(rdmsr(MSR_EFER), efer);
	CHECK_TRAP(try_wrmsr(MSR_EFER, efer | EFER_NX), has_nx() ? NO_TRAP : GP, 0);
}

static u64 syscall_rcx, syscall_r11;

/* Where SYSCALL arrives: on the caller's stack, with its return address in RCX. */
asm(".pushsection .text; .globl syscall_target\n"
    "syscall_target:\n"
    "	mov %rcx, syscall_rcx\n"
    "	mov %r11, syscall_r11\n"
    "	mov $0x10, %eax\n"
    "	mov %cs, %ebx\n"
    "	sysretq; .popsection");
extern char syscall_target[];

static u64 user_cs, user_ss, kernel_cs;

static void user_syscall(void)
{
	CHECK_NO_TRAP(CATCH("pushfq; orq $1, (%%rsp); popfq; syscall",
			    : "=b"(kernel_cs) : : "rax", "rcx", "r11", "memory"));
	asm volatile("mov %%cs, %0; mov %%ss, %1" : "=r"(user_cs), "=r"(user_ss));
}

static void user_syscall_undefined(void)
{
	CHECK_TRAP(CATCH("syscall", : : : "rcx", "r11", "memory"), UD, 0);
}

GUEST_TEST(syscall_and_sysret)
{
	u64 efer = rdmsr(MSR_EFER);

	asm volatile("" : "+m"(syscall_rcx), "+m"(syscall_r11));
	CHECK_KEEPS(MSR_LSTAR, (u64)syscall_target);
	CHECK_KEEPS(MSR_CSTAR, 0xffffffff81000000);
	/* SYSRET wants its segments 16 and 8 above 0x18 | 3: 0x2b, 0x23. */
	CHECK_KEEPS(MSR_STAR, 0x001b000800000000);
	CHECK_KEEPS(MSR_SYSCALL_MASK, 1);
	wrmsr(MSR_EFER, efer & ~EFER_SCE);
	user_call(user_syscall_undefined);
	wrmsr(MSR_EFER, efer | EFER_SCE);
	user_call(user_syscall);
	CHECK_EQ(kernel_cs, SEL_CODE64);
	CHECK_EQ(user_cs, SEL_USER_CODE64);
	CHECK_EQ(user_ss, SEL_USER_DATA);
	CHECK(syscall_r11 & 1);
	CHECK(syscall_rcx != 0);
	CHECK_TRAP(try_wrmsr(MSR_LSTAR, NON_CANONICAL), GP, 0);
	CHECK_TRAP(try_wrmsr(MSR_CSTAR, NON_CANONICAL), GP, 0);
}

GUEST_TEST(syscall_msrs_survive_exits)
{
	CHECK_KEEPS(MSR_LSTAR, 0xffffffff80001000);
	CHECK_KEEPS(MSR_STAR, 0x0023001000000000);
	CHECK_KEEPS(MSR_SYSCALL_MASK, 0x47700);
	for (int i = 0; i < 10; i++)
		inb(0x80);
	CHECK_EQ(rdmsr(MSR_LSTAR), 0xffffffff80001000);
	CHECK_EQ(rdmsr(MSR_STAR), 0x0023001000000000);
	CHECK_EQ(rdmsr(MSR_SYSCALL_MASK), 0x47700);
}

asm(".pushsection .text; .globl sysenter_target\n"
    "sysenter_target:\n"
    "	mov %cs, %ebx\n"
    "	sysexitq; .popsection");
extern char sysenter_target[];

static u64 sysenter_cs;

static void user_sysenter(void)
{
	asm volatile("mov %%rsp, %%rcx; lea 1f(%%rip), %%rdx; sysenter; 1:"
		     : "=b"(sysenter_cs) : : "rcx", "rdx", "memory");
	asm volatile("mov %%cs, %0" : "=r"(user_cs));
}

GUEST_TEST(sysenter_and_sysexit)
{
	CHECK_KEEPS(MSR_SYSENTER_CS, SEL_CODE64);
	CHECK_KEEPS(MSR_SYSENTER_ESP, (u64)new_page() + PAGE);
	CHECK_KEEPS(MSR_SYSENTER_EIP, (u64)sysenter_target);
	/*
	 * SYSEXIT to 64 bits takes CS and SS 32 and 40 above: 0x28 and 0x30, where user data should
	 * be.
	 */
	gdt[0x30 / 8] = 0x00cff3000000ffff;
	user_call(user_sysenter);
	CHECK_EQ(sysenter_cs, SEL_CODE64);
	CHECK_EQ(user_cs, SEL_USER_CODE64);
	CHECK_TRAP(try_wrmsr(MSR_SYSENTER_ESP, NON_CANONICAL), GP, 0);
	CHECK_TRAP(try_wrmsr(MSR_SYSENTER_EIP, NON_CANONICAL), GP, 0);
}
