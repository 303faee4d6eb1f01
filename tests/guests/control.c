// SPDX-License-Identifier: GPL-2.0
/* Control and debug registers, and the instructions that only a kernel may execute. */
#include "guest.h"

#define TRY_CR(n, value) CATCH("mov %0, %%cr" #n, : : "r"((u64)(value)))

/* ---- CR0 ------------------------------------------------------------------------------------- */

GUEST_TEST(cr0_reads_what_was_written)
{
	u64 cr0 = read_cr0();
	static const u64 bits[] = { CR0_MP, CR0_EM, CR0_TS, CR0_NE, CR0_WP, CR0_AM, CR0_CD,
				    CR0_CD | CR0_NW };

	for (u32 i = 0; i < ARRAY_SIZE(bits); i++) {
		context("CR0 bits %lx", bits[i]);
		write_cr0(cr0 ^ bits[i]);
		CHECK_EQ(read_cr0(), cr0 ^ bits[i]);
		write_cr0(cr0);
		CHECK_EQ(read_cr0(), cr0);
	}
}

/* ET is always set, reserved bits of the lower half are dropped. */
GUEST_TEST(cr0_fixed_and_reserved_bits)
{
	u64 cr0 = read_cr0();

	write_cr0((cr0 & ~CR0_ET) | 1 << 20 | 1 << 6);
	CHECK_EQ(read_cr0(), cr0);
}

GUEST_TEST(cr0_refused)
{
	u64 cr0 = read_cr0();
	static const struct { u64 set, clear; } bad[] = {
		{ 1ul << 32, 0 }, { 1ul << 63, 0 }, { CR0_NW, CR0_CD }, { 0, CR0_PE },
		{ 0, CR0_PG },
	};

	/* Paging can't be turned off in 64-bit mode. */
	for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
		context("CR0 with %lx, without %lx", bad[i].set, bad[i].clear);
		CHECK_TRAP(TRY_CR(0, (cr0 & ~bad[i].clear) | bad[i].set), GP, 0);
		CHECK_EQ(read_cr0(), cr0);
	}
}

GUEST_TEST(clts)
{
	u64 cr0 = read_cr0();

	write_cr0(cr0 | CR0_TS);
	asm volatile("clts" : : : "memory");
	CHECK_EQ(read_cr0(), cr0);
	asm volatile("clts" : : : "memory");
	CHECK_EQ(read_cr0(), cr0);
}

static u64 smsw(void)
{
	u64 v;

	asm volatile("smsw %0" : "=r"(v));
	return v;
}

GUEST_TEST(smsw_and_lmsw)
{
	u64 cr0 = read_cr0();

	CHECK_EQ(smsw() & 0xffff, cr0 & 0xffff);
	asm volatile("lmsw %w0" : : "r"((u32)(cr0 | CR0_TS)) : "memory");
	CHECK_EQ(read_cr0(), cr0 | CR0_TS);
	CHECK_EQ(smsw() & 0xf, (cr0 | CR0_TS) & 0xf);
	/* It sets and clears MP, EM and TS, sets PE, and can't clear that. */
	asm volatile("lmsw %w0" : : "r"(0) : "memory");
	CHECK_EQ(read_cr0(), cr0 & ~CR0_MP);
	asm volatile("lmsw %w0" : : "r"(0xfff0 | (u32)CR0_MP | (u32)CR0_PE) : "memory");
	CHECK_EQ(read_cr0(), cr0);
}

GUEST_TEST(smsw_and_lmsw_with_memory)
{
	u64 cr0 = read_cr0();
	u16 word = 0;

	asm volatile("smsw %0" : "=m"(word));
	CHECK_EQ(word, cr0 & 0xffff);
	word |= CR0_TS;
	asm volatile("lmsw %0" : : "m"(word) : "memory");
	CHECK_EQ(read_cr0(), cr0 | CR0_TS);
	write_cr0(cr0);
}

/* ---- CR2, CR3, CR4, CR8 ---------------------------------------------------------------------- */

GUEST_TEST(cr2_holds_any_value)
{
	write_cr2(0x123456789abcdef0);
	CHECK_EQ(read_cr2(), 0x123456789abcdef0);
}

GUEST_TEST(cr3_reads_what_was_written)
{
	u64 cr3 = read_cr3();

	write_cr3(cr3 | PTE_PWT | PTE_PCD);
	CHECK_EQ(read_cr3(), cr3 | PTE_PWT | PTE_PCD);
	write_cr3(cr3);
	CHECK_EQ(read_cr3(), cr3);
}

GUEST_TEST(cr3_refused)
{
	u64 cr3 = read_cr3();
	u32 width = has_leaf(0x80000008) ? cpuid(0x80000008, 0).a & 0xff : 36;

	CHECK(width >= 32 && width <= 52);
	CHECK_TRAP(TRY_CR(3, cr3 | 1ul << 62), GP, 0);
	CHECK_TRAP(TRY_CR(3, cr3 | 1ul << 63), GP, 0);
	if (width < 52)
		CHECK_TRAP(TRY_CR(3, cr3 | 1ul << width), GP, 0);
	CHECK_EQ(read_cr3(), cr3);
}

GUEST_TEST(cr3_takes_a_copy_of_the_tables)
{
	u64 cr3 = read_cr3(), *copy = new_table();

	for (int i = 0; i < 512; i++)
		copy[i] = ((u64 *)cr3)[i];
	write_cr3((u64)copy);
	CHECK_EQ(read_cr3(), (u64)copy);
	write_cr3(cr3);
}

GUEST_TEST(cr4_reads_what_was_written)
{
	u64 cr4 = read_cr4();
	static const u64 bits[] = { CR4_TSD, CR4_DE, CR4_PSE, CR4_PGE, CR4_OSFXSR, CR4_OSXMMEXCPT };

	for (u32 i = 0; i < ARRAY_SIZE(bits); i++) {
		context("CR4 bits %lx", bits[i]);
		write_cr4(cr4 ^ bits[i]);
		CHECK_EQ(read_cr4(), cr4 ^ bits[i]);
		write_cr4(cr4);
		CHECK_EQ(read_cr4(), cr4);
	}
}

/* A feature without its CPUID bit can't be turned on; one with it can. */
GUEST_TEST(cr4_follows_cpuid)
{
	u64 cr4 = read_cr4();
	const struct { u64 bit; bool there; } features[] = {
		{ CR4_OSXSAVE, cpuid(1, 0).c >> 26 & 1 },
		{ CR4_PCIDE, cpuid(1, 0).c >> 17 & 1 },
		{ CR4_SMEP, has_leaf(7) && cpuid(7, 0).b >> 7 & 1 },
		{ CR4_SMAP, has_leaf(7) && cpuid(7, 0).b >> 20 & 1 },
		{ 1ul << 11, has_leaf(7) && cpuid(7, 0).c >> 2 & 1 },	/* UMIP */
		{ 1ul << 16, has_leaf(7) && cpuid(7, 0).b & 1 },	/* FSGSBASE */
		{ 1ul << 22, has_leaf(7) && cpuid(7, 0).c >> 3 & 1 },	/* PKE */
	};

	for (u32 i = 0; i < ARRAY_SIZE(features); i++) {
		/* The code and data of this guest are the user's too: these would end here. */
		if (features[i].there && features[i].bit & (CR4_SMEP | CR4_SMAP))
			continue;
		context("CR4 bit %lx", features[i].bit);
		CHECK_TRAP(TRY_CR(4, cr4 | features[i].bit), features[i].there ? NO_TRAP : GP, 0);
		CHECK_EQ(read_cr4(), features[i].there ? cr4 | features[i].bit : cr4);
		write_cr4(cr4);
	}
}

GUEST_TEST(cr4_refused)
{
	u64 cr4 = read_cr4();

	CHECK_TRAP(TRY_CR(4, cr4 & ~CR4_PAE), GP, 0);
	CHECK_TRAP(TRY_CR(4, cr4 | 1ul << 15), GP, 0);
	CHECK_TRAP(TRY_CR(4, cr4 | 1ul << 31), GP, 0);
	CHECK_TRAP(TRY_CR(4, cr4 | 1ul << 32), GP, 0);
	CHECK_EQ(read_cr4(), cr4);
}

GUEST_TEST(cr8)
{
	CHECK_EQ(read_cr8(), 0);
	for (u64 v = 0; v < 16; v++) {
		write_cr8(v);
		CHECK_EQ(read_cr8(), v);
	}
	CHECK_TRAP(TRY_CR(8, 16), GP, 0);
	CHECK_EQ(read_cr8(), 15);
	write_cr8(0);
}

GUEST_TEST(control_registers_that_are_not)
{
	CHECK_TRAP(CATCH("mov %%cr1, %%rax", : : : "rax"), UD, 0);
	CHECK_TRAP(CATCH("mov %%rax, %%cr5", : : : "rax"), UD, 0);
	CHECK_TRAP(CATCH("mov %%cr7, %%rax", : : : "rax"), UD, 0);
	CHECK_TRAP(CATCH("mov %%rax, %%cr15", : : : "rax"), UD, 0);
}

/* ---- extended state -------------------------------------------------------------------------- */

static volatile struct trap *try_xsetbv(u32 index, u64 value)
{
	return CATCH("xsetbv", : : "c"(index), "a"((u32)value), "d"((u32)(value >> 32)));
}

static u64 xgetbv(u32 index)
{
	u32 lo, hi;

	asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(index));
	return lo | (u64)hi << 32;
}

static void user_xsetbv(void)
{
	CHECK_TRAP(try_xsetbv(0, 3), GP, 0);
}

GUEST_TEST(xsetbv)
{
	if (!(cpuid(1, 0).c >> 26 & 1))
		skip("no XSAVE in this CPU");
	CHECK(!(cpuid(1, 0).c >> 27 & 1));
	CHECK_TRAP(try_xsetbv(0, 1), UD, 0);
	write_cr4(read_cr4() | CR4_OSXSAVE);
	CHECK(cpuid(1, 0).c >> 27 & 1);
	CHECK_EQ(xgetbv(0), 1);
	CHECK_NO_TRAP(try_xsetbv(0, 3));
	CHECK_EQ(xgetbv(0), 3);
	CHECK_TRAP(try_xsetbv(0, 0), GP, 0);
	CHECK_TRAP(try_xsetbv(0, 2), GP, 0);
	CHECK_TRAP(try_xsetbv(0, 5), GP, 0);
	CHECK_TRAP(try_xsetbv(0, 1ul << 63 | 3), GP, 0);
	CHECK_TRAP(try_xsetbv(1, 3), GP, 0);
	CHECK_EQ(xgetbv(0), 3);
	user_call(user_xsetbv);
	/* The size of the save area follows. */
	CHECK_EQ(cpuid(0xd, 0).b, 512 + 64);
	if (cpuid(0xd, 0).a & 4) {
		CHECK_NO_TRAP(try_xsetbv(0, 7));
		CHECK_EQ(xgetbv(0), 7);
		CHECK_EQ(cpuid(0xd, 0).b, 512 + 64 + 256);
	}
	write_cr4(read_cr4() & ~CR4_OSXSAVE);
	CHECK(!(cpuid(1, 0).c >> 27 & 1));
}

/* ---- time ------------------------------------------------------------------------------------ */

static void user_rdtsc(void)
{
	CHECK_NO_TRAP(CATCH("rdtsc", : : : "rax", "rdx"));
}

static void user_rdtsc_off(void)
{
	CHECK_TRAP(CATCH("rdtsc", : : : "rax", "rdx"), GP, 0);
}

GUEST_TEST(rdtsc_goes_forward)
{
	u64 first = rdtsc(), last = first;

	for (int i = 0; i < 1000; i++) {
		u64 now = rdtsc();

		CHECK(now >= last);
		last = now;
	}
	CHECK(last > first);
	user_call(user_rdtsc);
	write_cr4(read_cr4() | CR4_TSD);
	user_call(user_rdtsc_off);
	rdtsc();
}

GUEST_TEST(rdtscp)
{
	u32 aux = 0;

	if (!(cpuid(0x80000001, 0).d >> 27 & 1)) {
		CHECK_TRAP(CATCH("rdtscp", : : : "rax", "rcx", "rdx"), UD, 0);
		skip("no RDTSCP in this CPU");
	}
	wrmsr(MSR_TSC_AUX, 0x1234567);
	asm volatile("rdtscp" : "=c"(aux) : : "rax", "rdx");
	CHECK_EQ(aux, 0x1234567);
	CHECK_EQ(rdmsr(MSR_TSC_AUX), 0x1234567);
}

/* ---- caches and translations ----------------------------------------------------------------- */

GUEST_TEST(invlpg_forgets_a_translation)
{
	u64 *a = new_page(), *b = new_page();
	volatile u64 *window = (u64 *)0x40000000000ul;
	u64 *pte = map_at((u64)window, (u64)a, 1, PTE_W);

	*a = 1;
	*b = 2;
	CHECK_EQ(*window, 1);
	*pte = (u64)b | PTE_P | PTE_W;
	invlpg(window);
	CHECK_EQ(*window, 2);
	*pte = 0;
	invlpg(window);
	CHECK_TRAP(CATCH("mov (%0), %%rax", : : "r"(window) : "rax"), PF, 0);
	/* Of an address that isn't one: nothing happens. */
	CHECK_NO_TRAP(CATCH("invlpg (%0)", : : "r"(NON_CANONICAL)));
}

GUEST_TEST(instructions_without_effect)
{
	asm volatile("wbinvd; pause; mfence; nop; rep nop" : : : "memory");
	for (int i = 0; i < 10000; i++)
		asm volatile("pause");
	CHECK_NO_TRAP(CATCH("wbinvd"));
	CHECK_NO_TRAP(CATCH("invd"));
}

GUEST_TEST(descriptor_tables)
{
	struct {
		u16 limit;
		u64 base;
	} __attribute__((packed)) r, old;
	u16 selector;

	asm volatile("sidt %0" : "=m"(old));
	CHECK_EQ(old.base, (u64)idt);
	r.limit = 0x7f;
	r.base = 0xffffffff81234567;
	asm volatile("lidt %0; sidt %1; lidt %2" : "+m"(r), "+m"(r) : "m"(old));
	CHECK_EQ(r.base, 0xffffffff81234567);
	CHECK_EQ(r.limit, 0x7f);
	asm volatile("sgdt %0" : "=m"(old));
	CHECK_EQ(old.base, (u64)gdt);
	asm volatile("str %0" : "=r"(selector));
	CHECK_EQ(selector, SEL_TSS);
	asm volatile("sldt %0" : "=r"(selector));
	CHECK_EQ(selector, 0);
	/* The task state is busy now: it can't be loaded again. */
	CHECK_TRAP(CATCH("ltr %w0", : : "r"(SEL_TSS)), GP, SEL_TSS);
	CHECK_TRAP(CATCH("lldt %w0", : : "r"(SEL_DATA)), GP, SEL_DATA);
}

/* ---- debug registers ------------------------------------------------------------------------- */

#define READ_DR(n)							\
	({								\
		u64 v_;							\
		asm volatile("mov %%dr" #n ", %0" : "=r"(v_));		\
		v_;							\
	})
#define WRITE_DR(n, v) asm volatile("mov %0, %%dr" #n : : "r"((u64)(v)))
#define TRY_DR(n, v) CATCH("mov %0, %%dr" #n, : : "r"((u64)(v)))

GUEST_TEST(debug_registers)
{
	CHECK_EQ(READ_DR(7), 0x400);
	CHECK_EQ(READ_DR(6), 0xffff0ff0);
	WRITE_DR(0, 0x1111111111);
	WRITE_DR(1, 0x2222222222);
	WRITE_DR(2, 0xffff888000000000);
	WRITE_DR(3, 0x4444444444);
	CHECK_EQ(READ_DR(0), 0x1111111111);
	CHECK_EQ(READ_DR(1), 0x2222222222);
	CHECK_EQ(READ_DR(2), 0xffff888000000000);
	CHECK_EQ(READ_DR(3), 0x4444444444);
	CHECK_EQ(READ_DR(7), 0x400);
	WRITE_DR(7, 0x0);
	CHECK_EQ(READ_DR(7), 0x400);
	CHECK_TRAP(TRY_DR(7, 1ul << 32), GP, 0);
	CHECK_TRAP(TRY_DR(6, 1ul << 32), GP, 0);
}

/* They survive whatever the hypervisor does between. */
GUEST_TEST(debug_registers_survive_exits)
{
	WRITE_DR(0, 0x5000000000);
	WRITE_DR(6, 0xffff0ff1);
	cpuid(0, 0);
	inb(0x80);
	CHECK_EQ(READ_DR(0), 0x5000000000);
	CHECK_EQ(READ_DR(6), 0xffff0ff1);
	/* Armed, too. */
	WRITE_DR(7, 0xd0402);
	cpuid(0, 0);
	inb(0x80);
	CHECK_EQ(READ_DR(7), 0xd0402);
	CHECK_EQ(READ_DR(0), 0x5000000000);
	WRITE_DR(7, 0x400);
}

GUEST_TEST(dr4_and_dr5)
{
	u64 cr4 = read_cr4();

	write_cr4(cr4 & ~CR4_DE);
	CHECK_EQ(READ_DR(4), READ_DR(6));
	CHECK_EQ(READ_DR(5), READ_DR(7));
	write_cr4(cr4 | CR4_DE);
	CHECK_TRAP(CATCH("mov %%dr4, %%rax", : : : "rax"), UD, 0);
	CHECK_TRAP(CATCH("mov %%dr5, %%rax", : : : "rax"), UD, 0);
}

static void user_dr(void)
{
	CHECK_TRAP(CATCH("mov %%dr0, %%rax", : : : "rax"), GP, 0);
}

GUEST_TEST(debug_registers_are_the_kernels)
{
	user_call(user_dr);
}

GUEST_TEST(general_detect)
{
	WRITE_DR(6, 0xffff0ff0);
	WRITE_DR(7, 0x2400);
	CHECK_TRAP(CATCH("mov %%dr0, %%rax", : : : "rax"), DB, 0);
	CHECK(last_trap.dr6 & 1 << 13);
	CHECK_EQ(READ_DR(7), 0x400);
}

/* ---- instructions that this virtual CPU hasn't ----------------------------------------------- */

GUEST_TEST(vmx_instructions)
{
	static u64 operand[2];

	CHECK_TRAP(CATCH("vmxon %0", : : "m"(operand)), UD, 0);
	CHECK_TRAP(CATCH("vmxoff"), UD, 0);
	CHECK_TRAP(CATCH("vmclear %0", : : "m"(operand)), UD, 0);
	CHECK_TRAP(CATCH("vmptrld %0", : : "m"(operand)), UD, 0);
	CHECK_TRAP(CATCH("vmptrst %0", : : "m"(operand)), UD, 0);
	CHECK_TRAP(CATCH("vmread %%rax, %%rax", : : : "rax"), UD, 0);
	CHECK_TRAP(CATCH("vmwrite %%rax, %%rax", : : : "rax"), UD, 0);
	CHECK_TRAP(CATCH("vmlaunch"), UD, 0);
	CHECK_TRAP(CATCH("vmresume"), UD, 0);
	CHECK_TRAP(CATCH("invept %0, %%rax", : : "m"(operand) : "rax"), UD, 0);
	CHECK_TRAP(CATCH("invvpid %0, %%rax", : : "m"(operand) : "rax"), UD, 0);
}

/*
 * KVM answers hypercalls: to one that it doesn't know with -1000. Without any, VMCALL is undefined.
 */
GUEST_TEST(vmcall)
{
	long ret = 0x7777;

	CATCH("vmcall", : "+a"(ret) : : "memory");
	if (last_trap.vector == NO_TRAP)
		CHECK_EQ(ret, -1000);
	else
		CHECK_EQ(last_trap.vector, UD);
}

GUEST_TEST(monitor_and_mwait)
{
	if (cpuid(1, 0).c >> 3 & 1)
		skip("MONITOR is offered");
	/*
	 * KVM makes them do nothing, the CPU says they aren't there: both are fine, another trap
	 * isn't.
	 */
	CATCH("mov %0, %%rax; xor %%ecx, %%ecx; xor %%edx, %%edx; monitor", : : "r"(&last_trap)
	      : "rax", "rcx", "rdx");
	CHECK(last_trap.vector == NO_TRAP || last_trap.vector == UD);
}

GUEST_TEST(rdpmc)
{
	CHECK_TRAP(CATCH("rdpmc", : : "c"(0x12345) : "rax", "rdx"), GP, 0);
}
