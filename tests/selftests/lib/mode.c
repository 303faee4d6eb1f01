// SPDX-License-Identifier: GPL-2.0
/* Putting a vCPU straight into a mode, with the tables that the mode needs in guest memory. */
#include <string.h>

#include "vm.h"

#define CR0_PE		(1u << 0)
#define CR0_ET		(1u << 4)
#define CR0_NE		(1u << 5)
#define CR0_PG		(1u << 31)
#define CR4_PAE		(1u << 5)
#define CR4_OSFXSR	(1u << 9)
#define EFER_LME	(1u << 8)
#define EFER_LMA	(1u << 10)

#define GATE_INTERRUPT	(0x8e00ull << 32)

#define PTE_PRESENT	(1u << 0)
#define PTE_WRITE	(1u << 1)
#define PTE_USER	(1u << 2)
#define PTE_LARGE	(1u << 7)

static const u64 gdt[] = {
	[SEL_CODE32 / 8] = 0x00cf9b000000ffff,
	[SEL_DATA / 8] = 0x00cf93000000ffff,
	[SEL_CODE64 / 8] = 0x00af9b000000ffff,
	[SEL_TSS / 8] = 0x00008b0000000067 | (u64)TSS << 16,
	[SEL_TSS / 8 + 1] = 0,
};

static const struct minivmm_segment code16 = {
	.base = CODE, .selector = CODE >> 4, .limit = 0xffff, .type = 11, .present = 1, .s = 1,
};

static const struct minivmm_segment data16 = {
	.limit = 0xffff, .type = 3, .present = 1, .s = 1,
};

static const struct minivmm_segment code32 = {
	.selector = SEL_CODE32, .limit = 0xffffffff, .type = 11, .present = 1, .s = 1,
	.db = 1, .g = 1,
};

static const struct minivmm_segment code64 = {
	.selector = SEL_CODE64, .limit = 0xffffffff, .type = 11, .present = 1, .s = 1,
	.l = 1, .g = 1,
};

static const struct minivmm_segment data32 = {
	.selector = SEL_DATA, .limit = 0xffffffff, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1,
};

static const struct minivmm_segment tss = {
	.base = TSS, .selector = SEL_TSS, .limit = 0x67, .type = 11, .present = 1,
};

static void set_data_segments(struct minivmm_sregs *s, const struct minivmm_segment *seg)
{
	s->ds = s->es = s->fs = s->gs = s->ss = *seg;
}

/* Maps the first 4 GiB to themselves. */
static void write_page_tables(struct vm *vm)
{
	u64 *table = (u64 *)(vm->mem + PAGE_TABLES);
	u64 flags = PTE_PRESENT | PTE_WRITE | PTE_USER;

	table[0] = (PAGE_TABLES + PAGE) | flags;
	for (int i = 0; i < 4; i++)
		table[512 + i] = (PAGE_TABLES + (2 + i) * PAGE) | flags;
	for (u64 i = 0; i < 4 * 512; i++)
		table[1024 + i] = i * 2 * MiB | flags | PTE_LARGE;
}

static void enter_protected(struct vm *vm, struct minivmm_sregs *s)
{
	memcpy(vm->mem + GDT, gdt, sizeof(gdt));
	s->gdt.base = GDT;
	s->gdt.limit = sizeof(gdt) - 1;
	s->idt.base = IDT;
	s->idt.limit = 0xfff;
	set_data_segments(s, &data32);
	s->cs = code32;
	s->tr = tss;
	s->cr0 = CR0_PE | CR0_ET | CR0_NE;
	s->cr4 |= CR4_OSFXSR;
}

static void enter_long(struct vm *vm, struct minivmm_sregs *s)
{
	enter_protected(vm, s);
	write_page_tables(vm);
	s->cs = code64;
	s->cr3 = PAGE_TABLES;
	s->cr4 |= CR4_PAE;
	s->cr0 |= CR0_PG;
	s->efer |= EFER_LME | EFER_LMA;
}

void vm_set_gate(struct vm *vm, int vector, u64 handler)
{
	u64 *gate = (u64 *)(vm->mem + IDT + 16 * vector);

	gate[0] = (handler & 0xffff) | SEL_CODE64 << 16 | GATE_INTERRUPT;
	gate[0] |= (handler & 0xffff0000) << 32;
	gate[1] = handler >> 32;
}

void vcpu_enter_mode(struct vcpu *v, enum mode mode, u64 rip)
{
	struct minivmm_regs regs = { .rip = rip, .rflags = 2, .rsp = STACK_TOP };
	struct minivmm_sregs s = get_sregs(v);

	switch (mode) {
	case REAL16:
		set_data_segments(&s, &data16);
		s.cs = code16;
		s.cs.base = rip & ~0xful;
		s.cs.selector = rip >> 4;
		regs.rip = rip & 0xf;
		break;
	case PROT32:
		enter_protected(v->vm, &s);
		break;
	case LONG64:
		enter_long(v->vm, &s);
		break;
	}
	set_sregs(v, &s);
	set_regs(v, &regs);
}
