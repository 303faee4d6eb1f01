// SPDX-License-Identifier: GPL-2.0
/*
 * Single instructions that leave the guest, as the client sees them. Ports: pio.c; memory: mmio.c;
 * interrupts: events.c; and what a guest can check for itself: guests.c.
 */
#include <string.h>

#include "vm.h"

/* ---- HLT ------------------------------------------------------------------------------------- */

GUEST16(hlt16, mov $0x1234, %ax; hlt)
GUEST32(hlt32, mov $0x12345678, %eax; hlt)
GUEST64(hlt64, mov $0x123456789abcdef0, %rax; hlt)

TEST(hlt_in_real_mode)
{
	struct vcpu *v = BOOT(REAL16, hlt16);

	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_regs(v).rax, 0x1234);
	CHECK_EQ(get_regs(v).rip, 4);
}

TEST(hlt_in_protected_mode)
{
	struct vcpu *v = BOOT(PROT32, hlt32);

	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_regs(v).rax, 0x12345678);
	CHECK_EQ(get_regs(v).rip, CODE + 6);
}

TEST(hlt_in_long_mode)
{
	struct vcpu *v = BOOT(LONG64, hlt64);

	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_regs(v).rax, 0x123456789abcdef0);
	CHECK_EQ(get_regs(v).rip, CODE + 11);
}

/* ---- shutdown -------------------------------------------------------------------------------- */

GUEST64(fault_without_idt, lidt DATA; ud2)
GUEST16(fault_without_ivt, mov $0x2000, %ax; mov %ax, %ds; lidt 0; ud2)

TEST(triple_fault)
{
	struct vcpu *v = BOOT(LONG64, fault_without_idt);

	RUN_TO(v, MINIVMM_EXIT_SHUTDOWN);
	/* The client may go on from there, as after a reset. */
	vcpu_enter_mode(v, LONG64, CODE);
	LOAD(v->vm, CODE, hlt64);
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

TEST(triple_fault_in_real_mode)
{
	struct vcpu *v = BOOT(REAL16, fault_without_ivt);

	if (opt.oracle && !kvm_has("unrestricted_guest"))
		skip("KVM's emulation of real mode doesn't look at the IDT's limit");

	RUN_TO(v, MINIVMM_EXIT_SHUTDOWN);
}

/* ---- CPUID ----------------------------------------------------------------------------------- */

/* Leaf and subleaf from the client, what came back to memory. */
GUEST64(ask_cpuid,
	1: mov DATA, %eax;
	mov DATA + 4, %ecx;
	cpuid;
	mov %eax, DATA + 16;
	mov %ebx, DATA + 20;
	mov %ecx, DATA + 24;
	mov %edx, DATA + 28;
	hlt;
	jmp 1b)

static const u32 *guest_cpuid(struct vcpu *v, u32 leaf, u32 subleaf)
{
	u32 *data = (u32 *)(v->vm->mem + DATA);

	data[0] = leaf;
	data[1] = subleaf;
	RUN_TO(v, MINIVMM_EXIT_HLT);
	return data + 4;
}

static struct {
	struct minivmm_cpuid2 head;
	struct minivmm_cpuid_entry2 entries[16];
} leaves = {
	.head.nent = 7,
	.entries = {
		{ .function = 0, .eax = 4, .ebx = 0x11, .ecx = 0x12, .edx = 0x13 },
		/* EDX has the APIC's bit, which follows the APIC base's enable bit. */
		{ .function = 1, .eax = 0x21, .ebx = 0x22, .edx = 0x223 },
		{ .function = 4, .index = 0, .flags = 1, .eax = 0x31, .ebx = 0x32, .ecx = 0x33,
		  .edx = 0x34 },
		{ .function = 4, .index = 1, .flags = 1, .eax = 0x41, .ebx = 0x42, .ecx = 0x43,
		  .edx = 0x44 },
		{ .function = 0x40000000, .eax = 0x51, .ebx = 0x52, .ecx = 0x53, .edx = 0x54 },
		{ .function = 0x80000000, .eax = 0x80000001, .ebx = 0x62 },
		{ .function = 0x80000001, .eax = 0x71, .edx = 0x20100800 },
	},
};

static void check_leaf(struct vcpu *v, u32 leaf, u32 subleaf,
		       const struct minivmm_cpuid_entry2 *want)
{
	const u32 *got = guest_cpuid(v, leaf, subleaf);

	context("leaf %#x, subleaf %u", leaf, subleaf);
	CHECK_EQ(got[0], want->eax);
	CHECK_EQ(got[1], want->ebx);
	CHECK_EQ(got[2], want->ecx);
	CHECK_EQ(got[3], want->edx);
}

static struct vcpu *boot_with_leaves(void)
{
	struct vm *vm = vm_with_memory(MEM_SIZE);
	struct vcpu *v = vcpu_create_bare(vm, 0);

	LOAD(vm, CODE, ask_cpuid);
	CHECK_OK(ioctl(v->fd, MINIVMM_SET_CPUID2, &leaves));
	vcpu_enter_mode(v, LONG64, CODE);
	return v;
}

TEST(cpuid_of_every_leaf_set)
{
	struct vcpu *v = boot_with_leaves();

	for (u32 i = 0; i < leaves.head.nent; i++)
		check_leaf(v, leaves.entries[i].function, leaves.entries[i].index,
			   &leaves.entries[i]);
	CHECK_EQ(get_regs(v).rax >> 32, 0);
}

/* A leaf without subleaves answers whatever ECX holds; a subleaf that isn't there is zero. */
TEST(cpuid_subleaves)
{
	struct vcpu *v = boot_with_leaves();
	static const struct minivmm_cpuid_entry2 nothing;

	check_leaf(v, 1, 77, &leaves.entries[1]);
	check_leaf(v, 4, 2, &nothing);
}

/* Intel's CPUs answer a basic leaf beyond the highest with the highest basic leaf. */
TEST(cpuid_out_of_range)
{
	struct vcpu *v = boot_with_leaves();
	static const struct minivmm_cpuid_entry2 nothing;
	u32 genuine[] = { 0x756e6547, 0x6c65746e, 0x49656e69 };

	check_leaf(v, 3, 0, &nothing);
	leaves.entries[0].ebx = genuine[0];
	leaves.entries[0].ecx = genuine[1];
	leaves.entries[0].edx = genuine[2];
	v = boot_with_leaves();
	check_leaf(v, 0x1234, 1, &leaves.entries[3]);
	check_leaf(v, 0x80000008, 1, &leaves.entries[3]);
}

TEST(cpuid_without_any_leaf_is_zero)
{
	struct vm *vm = vm_with_memory(MEM_SIZE);
	struct vcpu *v = vcpu_create_bare(vm, 0);
	static const struct minivmm_cpuid_entry2 nothing;

	LOAD(vm, CODE, ask_cpuid);
	vcpu_enter_mode(v, LONG64, CODE);
	check_leaf(v, 0, 0, &nothing);
	check_leaf(v, 1, 0, &nothing);
}

/*
 * The supported leaves reach the guest as they were reported, but for what follows its own state.
 */
TEST(cpuid_as_supported)
{
	struct vcpu *v = BOOT(LONG64, ask_cpuid);
	struct minivmm_cpuid2 *c = supported_cpuid();

	for (u32 i = 0; i < c->nent; i++)
		if (c->entries[i].function != 1 && c->entries[i].function != 7 &&
		    c->entries[i].function != 0xb && c->entries[i].function != 0xd &&
		    c->entries[i].function != 0x1f)
			check_leaf(v, c->entries[i].function, c->entries[i].index, &c->entries[i]);
}

/* ---- modes ----------------------------------------------------------------------------------- */

/* What the guest that changes modes has in its memory. */
#define DESCRIPTORS	DATA
#define GDTR		(DATA + 0x80)
#define IDTR		(DATA + 0x90)
#define RESULT		(DATA + 0x100)

static void prepare_descriptors(u8 *mem)
{
	static const u64 descriptors[] = {
		0,
		0x00cf9b000000ffff,	/* 08: code, 32 bits */
		0x00cf93000000ffff,	/* 10: data */
		0x00af9b000000ffff,	/* 18: code, 64 bits */
		0x00009b010000ffff,	/* 20: code, 16 bits, 64 KiB from CODE */
		0x000093000000ffff,	/* 28: data, 64 KiB */
	};

	memcpy(mem + DESCRIPTORS, descriptors, sizeof(descriptors));
	*(u16 *)(mem + GDTR) = sizeof(descriptors) - 1;
	*(u64 *)(mem + GDTR + 2) = DESCRIPTORS;
	*(u16 *)(mem + IDTR) = 0x3ff;
}

/* From real mode to 64 bits, a word of result in each, with the guest's own tables. */
GUEST(up_to_long_mode, 16,
	mov $DATA >> 4, %ax;
	mov %ax, %ds;
	movw $0x1616, %ds:0x100;
	lgdtl %ds:0x80;
	mov %cr0, %eax;
	or $1, %al;
	mov %eax, %cr0;
	ljmpl $8, $CODE + (1f - guest_up_to_long_mode);
	.code32;
	1: mov $0x10, %eax;
	mov %eax, %ds;
	mov %eax, %es;
	mov %eax, %ss;
	movl $0x3232, RESULT + 4;
	mov %cr4, %eax;
	or $0x20, %eax;
	mov %eax, %cr4;
	mov $PAGE_TABLES, %eax;
	mov %eax, %cr3;
	mov $0xc0000080, %ecx;
	rdmsr;
	or $0x100, %eax;
	wrmsr;
	mov %cr0, %eax;
	or $0x80000000, %eax;
	mov %eax, %cr0;
	movl $0x3264, RESULT + 8;
	ljmpl $0x18, $CODE + (2f - guest_up_to_long_mode);
	.code64;
	2: movabs $0x6464646464646464, %rax;
	mov %rax, RESULT + 16;
	hlt)

static struct vcpu *boot_real_with_tables(const void *code, size_t size)
{
	struct vm *vm = vm_with_memory(MEM_SIZE);
	struct vcpu *v = vcpu_create(vm, 0);
	struct minivmm_sregs real = get_sregs(v);

	/* Only for the page tables that it writes; then back to the state after a reset. */
	vcpu_enter_mode(v, LONG64, CODE);
	set_sregs(v, &real);
	vm_load(vm, CODE, code, size);
	prepare_descriptors(vm->mem);
	vcpu_enter_mode(v, REAL16, CODE);
	return v;
}

#define BOOT_REAL(name) boot_real_with_tables(guest_##name, guest_##name##_end - guest_##name)

TEST(from_real_mode_to_long_mode)
{
	struct vcpu *v = BOOT_REAL(up_to_long_mode);
	u8 *mem = v->vm->mem;
	struct minivmm_sregs s;

	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(*(u16 *)(mem + RESULT), 0x1616);
	CHECK_EQ(*(u32 *)(mem + RESULT + 4), 0x3232);
	CHECK_EQ(*(u32 *)(mem + RESULT + 8), 0x3264);
	CHECK_EQ(*(u64 *)(mem + RESULT + 16), 0x6464646464646464);
	s = get_sregs(v);
	CHECK_EQ(s.efer & 0x500, 0x500);
	CHECK_EQ(s.cs.selector, 0x18);
	CHECK_EQ(s.cs.l, 1);
	CHECK_EQ(s.gdt.base, DESCRIPTORS);
}

/* To protected mode and back. */
GUEST(down_to_real_mode, 16,
	mov $DATA >> 4, %ax;
	mov %ax, %ds;
	lgdtl %ds:0x80;
	mov %cr0, %eax;
	or $1, %al;
	mov %eax, %cr0;
	ljmpl $8, $CODE + (1f - guest_down_to_real_mode);
	.code32;
	1: mov $0x10, %eax;
	mov %eax, %ds;
	movl $0x3232, RESULT;
	mov $0x28, %eax;
	mov %eax, %ds;
	ljmpl $0x20, $2f - guest_down_to_real_mode;
	.code16;
	2: mov %cr0, %eax;
	and $0xfe, %al;
	mov %eax, %cr0;
	ljmp $CODE >> 4, $3f - guest_down_to_real_mode;
	3: mov $DATA >> 4, %ax;
	mov %ax, %ds;
	movw $0x1616, %ds:0x104;
	hlt)

TEST(from_protected_mode_to_real_mode)
{
	struct vcpu *v = BOOT_REAL(down_to_real_mode);

	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(*(u32 *)(v->vm->mem + RESULT), 0x3232);
	CHECK_EQ(*(u16 *)(v->vm->mem + RESULT + 4), 0x1616);
	CHECK_EQ(get_sregs(v).cs.base, CODE);
	CHECK_EQ(get_sregs(v).cr0 & 1, 0);
}

/* A segment keeps its limit when protected mode ends: real mode with 4 GiB. */
GUEST(unreal_mode, 16,
	cli;
	mov $DATA >> 4, %ax;
	mov %ax, %ds;
	lgdtl %ds:0x80;
	mov %cr0, %eax;
	or $1, %al;
	mov %eax, %cr0;
	mov $0x10, %bx;
	mov %bx, %es;
	and $0xfe, %al;
	mov %eax, %cr0;
	xor %bx, %bx;
	movl $0x180000, %edi;
	movl $0xabcd1234, %es:(%edi);
	hlt)

TEST(real_mode_with_big_segments)
{
	struct vcpu *v = BOOT_REAL(unreal_mode);

	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(*(u32 *)(v->vm->mem + 0x180000), 0xabcd1234);
}

/* Interrupts of real mode: through the table at 0, with FLAGS, CS and IP on the stack. */
GUEST16(software_interrupt16,
	xor %ax, %ax;
	mov %ax, %ss;
	mov $0x7000, %sp;
	int $0x21;
	mov %bx, %cx;
	ud2;
	hlt)
GUEST16(isr16, mov $0x55, %bx; iret)
GUEST16(undefined16, mov %sp, %dx; pop %si; hlt)

TEST(interrupts_in_real_mode)
{
	struct vcpu *v = BOOT(REAL16, software_interrupt16);
	u32 *ivt = (u32 *)v->vm->mem;
	struct minivmm_regs r;

	LOAD(v->vm, 0x500, isr16);
	LOAD(v->vm, 0x600, undefined16);
	ivt[0x21] = 0x500;
	ivt[6] = 0x00600000;
	RUN_TO(v, MINIVMM_EXIT_HLT);
	r = get_regs(v);
	CHECK_EQ(r.rcx & 0xffff, 0x55);
	CHECK_EQ(r.rdx & 0xffff, 0x7000 - 6);
	/* The address of UD2, not behind it. */
	CHECK_EQ(r.rsi & 0xffff, 11);
	CHECK_EQ(get_sregs(v).cs.selector, 0x60);
}

/* 32 bits with PAE paging and without, on the same page of data. */
GUEST32(paging32,
	mov $0x9000, %eax;
	mov %eax, %cr3;
	mov %cr4, %eax;
	or $0x10, %eax;
	mov %eax, %cr4;
	mov %cr0, %eax;
	or $0x80000000, %eax;
	mov %eax, %cr0;
	mov 0x400000 + DATA, %ebx;
	mov %cr0, %eax;
	and $0x7fffffff, %eax;
	mov %eax, %cr0;
	mov $0xa000, %eax;
	mov %eax, %cr3;
	mov %cr4, %eax;
	or $0x20, %eax;
	mov %eax, %cr4;
	mov %cr0, %eax;
	or $0x80000000, %eax;
	mov %eax, %cr0;
	mov 0x200000 + DATA, %ecx;
	hlt)

TEST(paging_with_32_bits_and_pae)
{
	struct vcpu *v = BOOT(PROT32, paging32);
	u32 *pd = (u32 *)(v->vm->mem + 0x9000);
	u64 *pdpt = (u64 *)(v->vm->mem + 0xa000), *pae = (u64 *)(v->vm->mem + 0xb000);

	/* The first 4 MiB, twice; and the same by PAE's 2 MiB. */
	pd[0] = pd[1] = 0x87;
	pdpt[0] = 0xb001;
	pae[0] = pae[1] = 0x87;
	*(u32 *)(v->vm->mem + DATA) = 0x32323232;
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_regs(v).rbx, 0x32323232);
	CHECK_EQ(get_regs(v).rcx, 0x32323232);
	CHECK_EQ(pd[1] & 0x20, 0x20);
	CHECK_EQ(pae[1] & 0x20, 0x20);
}

/* ---- what no one can run --------------------------------------------------------------------- */

GUEST64(jump_to_mmio, mov $MMIO, %eax; jmp *%rax)

/* Code can't be fetched from the client: the emulator says so, and where. */
TEST(fetch_from_mmio)
{
	struct vcpu *v = BOOT(LONG64, jump_to_mmio);

	RUN_TO(v, MINIVMM_EXIT_INTERNAL_ERROR);
	CHECK_EQ(v->run->internal.suberror, MINIVMM_INTERNAL_ERROR_EMULATION);
	CHECK_EQ(get_regs(v).rip, MMIO);
}

/* An instruction on MMIO that no emulator has. */
GUEST64(odd_instruction, mov $MMIO, %ebx; fxsave (%rbx); hlt)

TEST(instruction_that_cannot_be_emulated)
{
	struct vcpu *v = BOOT(LONG64, odd_instruction);
	static const u8 bytes[] = { 0x0f, 0xae, 0x03 };

	RUN_TO(v, MINIVMM_EXIT_INTERNAL_ERROR);
	CHECK_EQ(v->run->emulation_failure.suberror, MINIVMM_INTERNAL_ERROR_EMULATION);
	CHECK_EQ(get_regs(v).rip, CODE + 5);
	CHECK(v->run->emulation_failure.ndata >= 3);
	CHECK(v->run->emulation_failure.flags &
	      MINIVMM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES);
	CHECK(v->run->emulation_failure.insn_size >= sizeof(bytes));
	CHECK_MEM(v->run->emulation_failure.insn_bytes, bytes, sizeof(bytes));
}
