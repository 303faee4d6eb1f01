// SPDX-License-Identifier: GPL-2.0
/* Each exception arrives with its vector, error code and return address. */
#include "guest.h"

static u64 here(void)
{
	return last_trap.rip;
}

/* ---- one instruction each -------------------------------------------------------------------- */

GUEST_TEST(divide_error)
{
	u64 at;

	CHECK_TRAP(CATCH("lea 1f(%%rip), %0; xor %%edx, %%edx; xor %%ecx, %%ecx; mov $1, %%eax\n"
			 "1: div %%ecx",
			 : "=r"(at) : : "rax", "rcx", "rdx"), DE, 0);
	CHECK_EQ(here(), at);
}

GUEST_TEST(breakpoint)
{
	u64 at;

	CHECK_TRAP(CATCH("lea 1f(%%rip), %0; int3; 1:", : "=r"(at)), BP, 0);
	CHECK_EQ(here(), at);
}

GUEST_TEST(int_n)
{
	u64 at;

	CHECK_TRAP(CATCH("lea 1f(%%rip), %0; int $0x45; 1:", : "=r"(at)), 0x45, 0);
	CHECK_EQ(here(), at);
}

GUEST_TEST(undefined_opcode)
{
	u64 at;

	CHECK_TRAP(CATCH("lea 1f(%%rip), %0; 1: ud2", : "=r"(at)), UD, 0);
	CHECK_EQ(here(), at);
	/* Opcodes that 64-bit mode took away. */
	CHECK_TRAP(CATCH(".byte 0x06"), UD, 0);
	CHECK_TRAP(CATCH(".byte 0xce"), UD, 0);
	CHECK_TRAP(CATCH(".byte 0x37"), UD, 0);
	/* LOCK where it can't be. */
	CHECK_TRAP(CATCH(".byte 0xf0, 0x90"), UD, 0);
}

GUEST_TEST(device_not_available)
{
	u64 cr0 = read_cr0();

	write_cr0(cr0 | CR0_TS);
	CHECK_TRAP(CATCH("fnop"), NM, 0);
	CHECK_TRAP(CATCH("movups %%xmm0, %%xmm1", : :), NM, 0);
	asm volatile("clts");
	CHECK_NO_TRAP(CATCH("fnop"));
	CHECK_EQ(read_cr0(), cr0);
	write_cr0(cr0 | CR0_EM);
	CHECK_TRAP(CATCH("fnop"), NM, 0);
	CHECK_TRAP(CATCH("movups %%xmm0, %%xmm1", : :), UD, 0);
	write_cr0(cr0);
}

GUEST_TEST(x87_error)
{
	static const u16 unmasked = 0x37b, masked = 0x37f;

	asm volatile("fninit; fldcw %0; fld1; fldz" : : "m"(unmasked));
	CHECK_TRAP(CATCH("fdivrp; fwait", : :), MF, 0);
	asm volatile("fnclex; fldcw %0; fninit" : : "m"(masked));
}

GUEST_TEST(simd_error)
{
	static const u32 unmasked = 0x1d80, masked = 0x1f80, one[4] = { 0x3f800000 };

	asm volatile("ldmxcsr %0; movups %1, %%xmm0; xorps %%xmm1, %%xmm1"
		     : : "m"(unmasked), "m"(one));
	CHECK_TRAP(CATCH("divss %%xmm1, %%xmm0", : :), XM, 0);
	asm volatile("ldmxcsr %0" : : "m"(masked));
}

/* ---- segments -------------------------------------------------------------------------------- */

GUEST_TEST(segment_not_present)
{
	CHECK_TRAP(CATCH("mov %w0, %%ds", : : "r"(SEL_NOT_PRESENT)), NP, SEL_NOT_PRESENT);
	CHECK_TRAP(CATCH("mov %w0, %%fs", : : "r"(SEL_NOT_PRESENT)), NP, SEL_NOT_PRESENT);
}

static char ist_stack[3 * PAGE] __attribute__((aligned(4096)));
static u64 good_rsp, after_push;

static void repair_stack(struct frame *f)
{
	CHECK_EQ(f->error, 0);
	CHECK_EQ(f->rsp, NON_CANONICAL + 8);
	f->rsp = good_rsp;
	f->rip = after_push;
}

GUEST_TEST(stack_segment)
{
	CHECK_TRAP(CATCH("mov %w0, %%ss", : : "r"(SEL_NOT_PRESENT)), SS, SEL_NOT_PRESENT);
	handle(SS, repair_stack);
	tss.ist[0] = (u64)ist_stack + sizeof(ist_stack);
	idt[SS].ist = 1;
	asm volatile("mov %%rsp, %0; movq $1f, %1; mov %2, %%rsp; push %%rax; 1:"
		     : "=m"(good_rsp), "=m"(after_push) : "r"(NON_CANONICAL + 8) : "memory");
	CHECK_EQ(vector_count[SS], 1);
}

GUEST_TEST(general_protection)
{
	u64 at;

	/* Beyond the GDT, and what isn't a data segment. */
	CHECK_TRAP(CATCH("mov %w0, %%ds", : : "r"(0xff8)), GP, 0xff8);
	CHECK_TRAP(CATCH("mov %w0, %%ds", : : "r"(SEL_TSS)), GP, SEL_TSS);
	CHECK_TRAP(CATCH("mov %w0, %%ss", : : "r"(SEL_CODE64)), GP, SEL_CODE64);
	/* A null selector is good for data. */
	CHECK_NO_TRAP(CATCH("mov %w0, %%es", : : "r"(0)));
	CHECK_TRAP(CATCH("lea 1f(%%rip), %0; 1: mov (%1), %%eax",
			 : "=&r"(at) : "r"(NON_CANONICAL) : "rax"),
		   GP, 0);
	CHECK_EQ(here(), at);
}

GUEST_TEST(interrupt_gates)
{
	/* Not present; beyond the limit: both point into the IDT. */
	idt[0x50].type &= 0x7f;
	CHECK_TRAP(CATCH("int $0x50"), NP, 0x50 * 8 + 2);
	load_idt(0x60 * 16 - 1);
	CHECK_TRAP(CATCH("int $0x60"), GP, 0x60 * 8 + 2);
	CHECK_TRAP(CATCH("int $0x5f"), 0x5f, 0);
}

/* ---- debug ----------------------------------------------------------------------------------- */

GUEST_TEST(single_step)
{
	u64 at;

	CHECK_TRAP(CATCH("lea 1f(%%rip), %0; pushfq; orl $0x100, (%%rsp); popfq; nop; 1: nop",
			 : "=r"(at)), DB, 0);
	CHECK_EQ(here(), at);
	CHECK(last_trap.dr6 & 1 << 14);
	asm volatile("mov %0, %%dr6" : : "r"(0xffff0ff0ul));
}

GUEST_TEST(icebp)
{
	u64 at;

	CHECK_TRAP(CATCH("lea 1f(%%rip), %0; .byte 0xf1; 1:", : "=r"(at)), DB, 0);
	CHECK_EQ(here(), at);
}

static volatile u32 watched;

GUEST_TEST(watchpoint)
{
	u64 at;

	asm volatile("mov %0, %%dr6" : : "r"(0xffff0ff0ul));
	asm volatile("mov %0, %%dr0; mov %1, %%dr7" : : "r"(&watched), "r"(0xd0402ul));
	CHECK_TRAP(CATCH("lea 1f(%%rip), %0; movl $1, %1; 1: nop", : "=r"(at), "=m"(watched)),
		   DB, 0);
	asm volatile("mov %0, %%dr7" : : "r"(0x400ul));
	CHECK_EQ(here(), at);
	CHECK_EQ(last_trap.dr6 & 0xf, 1);
}

GUEST_TEST(code_breakpoint)
{
	u64 at;

	asm volatile("mov %0, %%dr6" : : "r"(0xffff0ff0ul));
	CHECK_TRAP(CATCH("lea 1f(%%rip), %0; mov %0, %%dr1; mov %1, %%dr7; nop; 1: nop",
			 : "=&r"(at) : "r"(0x408ul)), DB, 0);
	asm volatile("mov %0, %%dr7" : : "r"(0x400ul));
	CHECK_EQ(here(), at);
	CHECK_EQ(last_trap.dr6 & 0xf, 2);
}

/* ---- delivery -------------------------------------------------------------------------------- */

/*
 * Onto a stack that nobody has touched yet: the hypervisor has to map it in the middle of delivery.
 */
GUEST_TEST(delivery_onto_an_untouched_stack)
{
	tss.ist[0] = (u64)ist_stack + sizeof(ist_stack);
	idt[UD].ist = 1;
	CHECK_TRAP(CATCH("ud2"), UD, 0);
	tss.ist[0] = (u64)ist_stack + PAGE;
	idt[BP].ist = 1;
	CHECK_TRAP(CATCH("int3"), BP, 0);
}

static u64 handler_rsp;

static void note_rsp(struct frame *f)
{
	handler_rsp = (u64)f;
}

GUEST_TEST(interrupt_stack_table)
{
	handle(0x40, note_rsp);
	tss.ist[2] = (u64)ist_stack + 2 * PAGE;
	idt[0x40].ist = 3;
	asm volatile("int $0x40");
	CHECK(handler_rsp > (u64)ist_stack + PAGE && handler_rsp < (u64)ist_stack + 2 * PAGE);
}

static void divide_in_handler(struct frame *f)
{
	(void)f;
	CHECK_TRAP(CATCH("xor %%edx, %%edx; xor %%ecx, %%ecx; div %%ecx",
			 : : : "rax", "rcx", "rdx"), DE, 0);
}

GUEST_TEST(exception_in_a_handler)
{
	handle(0x41, divide_in_handler);
	asm volatile("int $0x41");
	CHECK_EQ(vector_count[0x41], 1);
	CHECK_EQ(vector_count[DE], 1);
}

/* A page fault whose gate lies beyond the IDT. */
GUEST_TEST(double_fault)
{
	load_idt(PF * 16 - 1);
	CHECK_TRAP(CATCH("mov (%0), %%eax", : : "r"(0x40000000000ul) : "rax"), DF, 0);
	CHECK_EQ(read_cr2(), 0x40000000000);
	load_idt(sizeof(idt) - 1);
}

/* ---- from CPL 3 ------------------------------------------------------------------------------ */

static u64 unaligned[2];

static void user_code(void)
{
	CHECK_TRAP(CATCH("ud2"), UD, 0);
	CHECK_EQ(last_trap.cs, SEL_USER_CODE64);
	CHECK_TRAP(CATCH("hlt"), GP, 0);
	CHECK_TRAP(CATCH("cli"), GP, 0);
	CHECK_TRAP(CATCH("mov %%cr3, %%rax", : : : "rax"), GP, 0);
	CHECK_TRAP(CATCH("wbinvd"), GP, 0);
	CHECK_TRAP(CATCH("xor %%ecx, %%ecx; rdmsr", : : : "rax", "rcx", "rdx"), GP, 0);
	CHECK_TRAP(CATCH("int $0x45"), GP, 0x45 * 8 + 2);
	CHECK_TRAP(CATCH("int3"), BP, 0);
	CHECK_TRAP(CATCH("lgdt (%0)", : : "r"(unaligned)), GP, 0);
	CHECK_TRAP(CATCH("in $0x10, %%al", : : : "rax"), GP, 0);
}

GUEST_TEST(exceptions_from_user_code)
{
	user_call(user_code);
}

static void user_unaligned(void)
{
	CHECK_TRAP(CATCH("pushfq; orl $0x40000, (%%rsp); popfq; mov %0, %%eax",
			 : : "m"(*((char *)unaligned + 1)) : "rax"), AC, 0);
}

GUEST_TEST(alignment_check)
{
	write_cr0(read_cr0() | CR0_AM);
	user_call(user_unaligned);
	/* At CPL 0 there's no such check. */
	CHECK_NO_TRAP(CATCH("pushfq; orl $0x40000, (%%rsp); popfq; mov %0, %%eax; pushfq; "
			    "andl $~0x40000, (%%rsp); popfq",
			    : : "m"(*((char *)unaligned + 1)) : "rax"));
}
