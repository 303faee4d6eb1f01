// SPDX-License-Identifier: GPL-2.0
/*
 * The module's emulator against the CPU: random descriptor tables, gates, task states and stacks,
 * and one instruction that goes through them, done once by the CPU and once, with FS in a state
 * that a CPU without unrestricted guest can't enter, by the emulator. All that a client can see
 * must be the same afterwards.
 *
 * Everything lies below 64K. What isn't a table or a stack is full of HLT, which ends a case; at
 * CPL 3 by way of #GP.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vm.h"

enum { P32, P16, VM86, L64, C32, NR_MODES };

#define HLT_END		0x8000
#define GDT_AT		0x8000
#define LDT_AT		0x8400
#define IDT_AT		0x9000
#define TSS_AT		0xa000
#define TSS32		0xa400
#define TSS16		0xa800
#define STACKS		0xb000		/* of CPL 0 … 3, a page each */
#define DATA_AT		0xf000
#define END		0x10000
#define TABLES		0x10000
#define SIZE		0x14000
#define AT		0x100		/* the instruction */

#define GDT_ENTRIES	64
#define TASK		0x48
#define LOCAL		0x58
#define SEL_RANDOM	13		/* from here on any descriptor, as an index */
#define SEL_HANDLER	0x1f0

#define FL_IOPL		0x3000
#define FL_NT		0x4000
#define FL_VM		0x20000
#define FLAGS		0x240cd5u	/* to begin with: arithmetic, DF, IF and AC, ID; no TF */

static u64 seed;

static u64 rnd(void)
{
	u64 x = seed += 0x9e3779b97f4a7c15;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

static bool one_in(unsigned int n) { return rnd() % n == 0; }

static u32 any_flags(void)
{
	return (rnd() & (FLAGS | FL_IOPL | (one_in(4) ? FL_NT : 0) | (one_in(8) ? FL_VM : 0))) | 2;
}

struct machine {
	u8 mem[END];
	struct minivmm_regs regs;
	struct minivmm_sregs sregs;
};

static u8 *memory;		/* the guest's */
static struct machine start, by_cpu, by_emulator;
static unsigned int mode, cpl;
static bool is_long;

/* ---- descriptors ----------------------------------------------------------------------------- */

static u16 any_selector(void)
{
	u16 rpl = one_in(2) ? cpl : rnd() & 3;

	if (one_in(32))
		return rnd();
	if (one_in(32))
		return rnd() & 3;
	if (one_in(3))		/* sound, of some level */
		return (8 + rnd() % 8 * 8) | rpl;
	return rnd() % GDT_ENTRIES * 8 % 0x200 | rpl | (one_in(10) ? 4 : 0);
}

static u64 gate(unsigned int type, unsigned int dpl, u16 selector, u32 offset, unsigned int low)
{
	return (offset & 0xffff) | (u64)selector << 16 | (u64)(low & 0xff) << 32 |
	       (u64)(type | dpl << 5 | 0x80) << 40 | (u64)(offset >> 16) << 48;
}

static u64 segment(unsigned int type, unsigned int dpl, u32 base, u32 limit, unsigned int flags)
{
	return (limit & 0xffff) | (u64)(base & 0xffffff) << 16 |
	       (u64)(type | dpl << 5 | 0x80) << 40 | (u64)(limit >> 16 & 15) << 48 |
	       (u64)flags << 52 | (u64)(base >> 24) << 56;
}

enum { AVL = 1, L = 2, DB = 4, G = 8 };

static u64 any_descriptor(void)
{
	static const u32 limits[] = { 0xffff, 0xfffff, 0x7ff, 0 };
	static const u8 gates[] = { 4, 12, 12, 5, 6, 14, 15 };
	unsigned int dpl = rnd() & 3, kind = rnd() % 8;
	u64 d;

	if (kind < 4)
		d = segment(16 | (rnd() & 15), dpl, one_in(3) ? 0x1000 : 0, limits[rnd() % 4],
			    rnd() & (is_long && !one_in(3) ? L | AVL | G : DB | AVL | G));
	else if (kind < 6)
		d = gate(gates[rnd() % 7], dpl, any_selector(), rnd() % 0x4000, rnd() & 3);
	else if (kind == 6)
		d = segment(one_in(2) ? 1 : 9, dpl, one_in(2) ? TSS32 : TSS16,
			    one_in(3) ? rnd() & 0x7f : 0x67, 0);
	else
		d = segment(rnd() & 15, dpl, LDT_AT, 0x7f, rnd() & 15);
	return one_in(8) ? d & ~(1ull << 47) : d;
}

static void put(u32 at, u64 value, unsigned int size)
{
	memcpy(start.mem + at, &value, size);
}

static unsigned int code_flags(void)
{
	return mode == L64 ? L | G : mode == P16 ? G : DB | G;
}

static void make_tables(void)
{
	unsigned int r, i;

	for (i = SEL_RANDOM; i < GDT_ENTRIES; i++)
		put(GDT_AT + 8 * i, any_descriptor(), 8);
	for (i = 0; i < 16; i++)
		put(LDT_AT + 8 * i, any_descriptor(), 8);
	put(GDT_AT, 0, 8);
	for (r = 0; r < 4; r++) {
		put(GDT_AT + 8 + 16 * r, segment(27, r, 0, 0xfffff, code_flags()), 8);
		put(GDT_AT + 16 + 16 * r, segment(19, r, 0, 0xfffff, mode == P16 ? G : DB | G), 8);
	}
	put(GDT_AT + TASK, segment(11, 0, TSS_AT, 0x8f, 0), 8);
	put(GDT_AT + TASK + 8, 0, 8);
	put(GDT_AT + LOCAL, segment(2, 0, LDT_AT, 0x7f, 0), 8);
	put(GDT_AT + LOCAL + 8, 0, 8);
	put(GDT_AT + SEL_HANDLER, segment(27, 0, 0, 0xfffff, is_long ? L | G : DB | G), 8);
	put(GDT_AT + SEL_HANDLER + 8, 0, 8);
	for (i = 0; i < 256; i++) {
		u64 d = gate(one_in(4) ? 15 : 14, rnd() & 3, SEL_HANDLER, 0x1000 + 16 * i, 0);
		u32 at = IDT_AT + (is_long ? 16 : 8) * i;

		if (i >= 0x40 && one_in(2))
			d = gate((const u8[]){ 5, 6, 7, 14, 15 }[rnd() % 5], rnd() & 3, any_selector(),
				 rnd() % 0x4000, is_long && one_in(4));
		if (i >= 0x40 && one_in(16))
			d &= ~(1ull << 47);
		put(at, d, 8);
		if (is_long)
			put(at + 8, 0, 8);
	}
}

static void make_task_states(void)
{
	unsigned int r;

	for (r = 0; r < 3; r++) {
		u32 sp = STACKS + PAGE * r + 0x800;
		u16 ss = one_in(8) ? any_selector() : (16 + 16 * r) | r;

		if (is_long) {
			put(TSS_AT + 4 + 8 * r, sp + (rnd() & 15), 8);
			continue;
		}
		put(TSS_AT + 4 + 8 * r, sp, 4);
		put(TSS_AT + 8 + 8 * r, ss, 2);
	}
	if (is_long)
		put(TSS_AT + 0x24, STACKS + 0x700, 8);
	put(TSS_AT + 0x66, 0x68, 2);
	for (r = 0; r < 5; r++)
		put(TSS_AT + 0x68 + 8 * r, rnd(), 8);
	for (r = 0; r < 0x68; r += 4)
		put(TSS32 + r, one_in(8) ? rnd() : any_selector(), 4);
	for (r = 0; r < 0x2c; r += 2)
		put(TSS16 + r, one_in(8) ? rnd() : any_selector(), 2);
	put(TSS32 + 0x20, rnd() % 0x4000, 4);
	put(TSS32 + 0x24, any_flags(), 4);
	put(TSS32 + 0x38, STACKS + 0x600, 4);
	put(TSS32 + 0x1c, 0, 4);
	put(TSS32 + 0x64, one_in(8), 1);
	put(TSS16 + 0xe, rnd() % 0x4000, 2);
	put(TSS16 + 0x10, any_flags(), 2);
	put(TSS16 + 0x1a, STACKS + 0x600, 2);
	if (one_in(2)) {		/* code that can be entered */
		put(TSS32 + 0x4c, 8, 2);
		put(TSS32 + 0x50, 16, 2);
		put(TSS16 + 0x24, 8, 2);
		put(TSS16 + 0x26, 16, 2);
	}
	if (one_in(2)) {
		put(TSS32 + 0x60, 0, 2);
		put(TSS16 + 0x2a, 0, 2);
	}
	put(TSS_AT, one_in(2) ? SEL_RANDOM * 8 + rnd() % 50 * 8 : any_selector(), 2);
}

/* Frames as returns want them: IP, CS, flags, SP, SS, and what IRET to virtual-8086 mode takes. */
static void make_stack(u32 at)
{
	unsigned int size = 2 << rnd() % 3, i;

	for (i = 0; i < 24; i++) {
		u64 v = i % 12 == 2 ? any_flags() : i % 12 == 0 ? rnd() % 0x4000 :
			i % 12 == 3 ? STACKS + rnd() % 0x4000 : any_selector();

		put(at + i * size, v, size);
	}
}

/* ---- instructions ---------------------------------------------------------------------------- */

enum operand { NONE, MEM, RM, REG };
enum immediate { I0, I1, I2, IZ, IP, IENTER };

static const struct form {
	u8 escape, opcode, ext, operand, imm;	/* ext 8: any register */
} forms[] = {
	{ 0, 0x9a, 0, NONE, IP }, { 0, 0xea, 0, NONE, IP }, { 0, 0xff, 3, MEM }, { 0, 0xff, 5, MEM },
	{ 0, 0xcb }, { 0, 0xca, 0, NONE, I2 }, { 0, 0xcf }, { 0, 0xcf }, { 0, 0xcb },
	{ 0, 0x9a, 0, NONE, IP }, { 0, 0xff, 3, MEM }, { 0, 0xcd, 0, NONE, I1 },
	{ 0, 0xcd, 0, NONE, I1 }, { 0, 0xcc }, { 0, 0xce }, { 0, 0xf1 }, { 0, 0x8e, 8, RM },
	{ 0, 0x8e, 8, RM }, { 0, 0x8c, 8, RM }, { 0, 0x07 }, { 0, 0x17 }, { 0, 0x1f },
	{ 0x0f, 0xa1 }, { 0x0f, 0xa9 }, { 0, 0x06 }, { 0, 0x0e }, { 0, 0x16 }, { 0, 0x1e },
	{ 0, 0xc4, 8, MEM }, { 0, 0xc5, 8, MEM }, { 0x0f, 0xb2, 8, MEM }, { 0x0f, 0xb4, 8, MEM },
	{ 0x0f, 0xb5, 8, MEM }, { 0x0f, 0x00, 8, RM }, { 0x0f, 0x00, 8, RM }, { 0x0f, 0x01, 0, MEM },
	{ 0x0f, 0x01, 1, MEM }, { 0x0f, 0x01, 2, MEM }, { 0x0f, 0x01, 3, MEM }, { 0x0f, 0x01, 4, RM },
	{ 0x0f, 0x02, 8, RM }, { 0x0f, 0x02, 8, RM }, { 0x0f, 0x03, 8, RM }, { 0, 0x63, 8, RM },
	{ 0, 0x9c }, { 0, 0x9d }, { 0, 0xfa }, { 0, 0xfb }, { 0, 0x60 }, { 0, 0x61 },
	{ 0, 0xc8, 0, NONE, IENTER }, { 0, 0xc9 }, { 0, 0xf4 }, { 0x0f, 0x34 }, { 0x0f, 0x35 },
	{ 0x0f, 0x05 }, { 0x0f, 0x07 }, { 0, 0x50 }, { 0, 0x5c }, { 0, 0xff, 6, RM }, { 0, 0x8f, 0, RM },
	{ 0, 0xe8, 0, NONE, IZ }, { 0, 0xc3 }, { 0, 0xc2, 0, NONE, I2 }, { 0, 0x62, 8, MEM },
	{ 0, 0xd4, 0, NONE, I1 }, { 0, 0xf7, 6, RM }, { 0, 0xf7, 7, RM }, { 0x0f, 0x06 },
	{ 0x0f, 0x20, 8, REG }, { 0x0f, 0x21, 8, REG }, { 0, 0xff, 2, RM }, { 0, 0xff, 4, RM },
	{ 0, 0xa5 }, { 0, 0xab }, { 0, 0xad }, { 0, 0xe4, 0, NONE, I1 }, { 0, 0xe6, 0, NONE, I1 },
	{ 0, 0x6d }, { 0, 0x6f }, { 0, 0xd7 },
};

static void make_instruction(void)
{
	const struct form *f;
	bool opsize = one_in(4), wide = mode == L64 && one_in(3);
	unsigned int z = (mode == P16 || mode == VM86) != opsize ? 2 : 4;
	u32 at = AT;

	do {
		f = &forms[rnd() % ARRAY_SIZE(forms)];
	} while (mode == L64 && !f->escape && (f->opcode == 0x62 || (f->opcode & 0xfe) == 0xc4));
	/* Bochs knows ENTER and LEAVE in 64-bit code with 64 bits only. */
	if (opsize && !(mode == L64 && (f->opcode & 0xfe) == 0xc8))
		put(at++, 0x66, 1);
	if (mode == P16 || mode == VM86)
		put(at++, 0x67, 1);
	/* by an IRET of less Bochs doesn't pop SS and RSP to the same level */
	if (wide || (mode == L64 && f->opcode == 0xcf))
		put(at++, 0x48, 1);
	if (f->escape)
		put(at++, f->escape, 1);
	put(at++, f->opcode, 1);
	if (f->operand) {	/* (%ebx), or EAX, ECX, EDX */
		bool mem = f->operand == MEM || (f->operand == RM && one_in(2));

		put(at++, (f->ext == 8 ? rnd() & 7 : f->ext) << 3 | (mem ? 3 : 0xc0 | rnd() % 3), 1);
	}
	switch (f->imm) {
	case I1:
		put(at++, f->opcode == 0xcd && !one_in(8) ? 0x40 + rnd() % 0xc0 : rnd(), 1);
		break;
	case I2:
		put(at, rnd() & 0x3c, 2);
		at += 2;
		break;
	case IENTER:
		put(at, rnd() & 0x3f, 2);
		put(at + 2, rnd() & 3, 1);
		at += 3;
		break;
	case IP:
		put(at, rnd() % 0x4000, z);
		put(at + z, any_selector(), 2);
		at += z + 2;
		break;
	case IZ:
		put(at, rnd() % 0x2000, z);
	}
}

/* Bochs doesn't look at the upper half of an EIP that IRET takes to virtual-8086 mode. */
static void mend_return_to_vm86(void)
{
	u8 *frame = start.mem + STACKS + 0x800;

	if (frame[10] & FL_VM >> 16)
		memset(frame + 2, 0, 2);
}

/* ---- the vCPU's state ------------------------------------------------------------------------- */

static struct minivmm_segment flat(u16 selector, unsigned int type, unsigned int dpl)
{
	bool vm86 = mode == VM86;

	return (struct minivmm_segment){
		.selector = selector, .type = vm86 ? 3 : type, .present = 1, .s = 1, .dpl = dpl,
		.limit = vm86 ? 0xffff : ~0u, .g = !vm86, .db = !vm86 && mode != P16,
	};
}

static void make_segments(struct minivmm_sregs *s)
{
	u16 code = mode == VM86 ? 0 : (8 + 16 * cpl) | cpl, data = mode == VM86 ? 0 : (16 + 16 * cpl) | cpl;
	u16 lowest = mode == VM86 ? 0 : 0x43;
	unsigned int dpl = mode == VM86 ? 3 : cpl;

	s->cs = flat(code, 11, dpl);
	s->ss = flat(data, 3, dpl);
	s->ds = s->es = s->gs = flat(one_in(2) ? data : lowest, 3, 3);
	if (s->ds.selector == data)
		s->ds.dpl = s->es.dpl = s->gs.dpl = dpl;
	s->fs = flat(lowest, 3, 3);
	if (mode == L64) {
		s->cs.l = 1;
		s->cs.db = 0;
	}
	s->tr = (struct minivmm_segment){
		.selector = TASK, .base = TSS_AT, .limit = 0x8f, .type = 11, .present = 1,
	};
	s->ldt = (struct minivmm_segment){
		.selector = LOCAL, .base = LDT_AT, .limit = 0x7f, .type = 2, .present = 1,
	};
	s->gdt = (struct minivmm_dtable){ .base = GDT_AT, .limit = 8 * GDT_ENTRIES - 1 };
	s->idt = (struct minivmm_dtable){ .base = IDT_AT, .limit = is_long ? 0xfff : 0x7ff };
}

static void make_registers(struct minivmm_regs *r)
{
	r->rax = one_in(3) ? any_selector() : rnd() % 0x4000;
	r->rcx = one_in(3) ? any_selector() : rnd() % 0x4000;
	r->rdx = one_in(3) ? any_selector() : rnd() % 0x4000;
	r->rbx = DATA_AT + rnd() % 0x80;
	r->rsi = DATA_AT + 0x400;
	r->rdi = DATA_AT + 0x800;
	r->rbp = STACKS + PAGE * cpl + 0x820;
	r->rsp = STACKS + PAGE * cpl + 0x800;
	r->rip = AT;
	r->rflags = any_flags() & ~(u64)FL_VM;
	if (one_in(2))
		r->rflags &= ~(u64)FL_NT;
	if (mode == VM86)
		r->rflags |= FL_VM;
}

static void make_case(const struct minivmm_sregs *reset)
{
	unsigned int i;

	mode = rnd() % NR_MODES;
	is_long = mode == L64 || mode == C32;
	cpl = mode == VM86 ? 3 : rnd() & 3;
	memset(start.mem, 0xf4, HLT_END);
	memset(start.mem + HLT_END, 0x5a, END - HLT_END);
	make_tables();
	make_task_states();
	for (i = 0; i < 4; i++)
		make_stack(STACKS + PAGE * i + 0x800);
	for (i = 0; i < 0x100; i += 8)
		make_stack(DATA_AT + i);
	start.sregs = *reset;
	make_segments(&start.sregs);
	make_registers(&start.regs);
	start.sregs.cr0 = 0x31;
	start.sregs.cr2 = 0;
	start.sregs.cr3 = TABLES;
	start.sregs.cr4 = rnd() & 0xf & (mode == VM86 ? ~0u : ~3u);
	start.sregs.efer = 0;
	if (is_long) {
		start.sregs.cr0 |= 1u << 31;
		start.sregs.cr4 |= 0x20;
		start.sregs.efer = 0x500 | one_in(2);
	}
	make_instruction();
	mend_return_to_vm86();
	context("mode %u, CPL %u, %02x %02x %02x %02x %02x %02x %02x %02x", mode, cpl, start.mem[AT],
		start.mem[AT + 1], start.mem[AT + 2], start.mem[AT + 3], start.mem[AT + 4],
		start.mem[AT + 5], start.mem[AT + 6], start.mem[AT + 7]);
}

/* ---- once by each ----------------------------------------------------------------------------- */

/* By a CALL that failed then: a CPU may have written its frame before it found out. */
static void forget_what_was_pushed(struct machine *end, u64 rsp)
{
	u32 stack = STACKS + PAGE * cpl;

	if (rsp < stack || rsp >= stack + PAGE)
		memset(end->mem + stack, 0, 0x800);
}

/* A trap that still waits has its way with a guest that doesn't matter. */
static void settle(struct vcpu *v)
{
	struct minivmm_regs r = { .rip = AT + 0x40, .rsp = STACKS + 0x800, .rflags = 2 };
	struct minivmm_sregs s = start.sregs;

	s.cs.selector = SEL_HANDLER;
	s.cs.type = 11;
	s.cs.l = is_long;
	s.cs.db = !is_long;
	s.cs.g = s.cs.present = s.cs.s = 1;
	s.cs.limit = ~0u;
	s.cs.dpl = 0;
	s.ss = s.ds = s.es = s.fs = s.gs = (struct minivmm_segment){
		.selector = 16, .type = 3, .present = 1, .s = 1, .limit = ~0u, .g = 1, .db = 1,
	};
	set_sregs(v, &s);
	set_regs(v, &r);
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

static u32 run_case(struct vcpu *v, struct machine *end, bool emulated)
{
	struct minivmm_vcpu_events events = { .flags = MINIVMM_VCPUEVENT_VALID_SHADOW };
	struct minivmm_sregs s = start.sregs;
	u32 reason;

	memcpy(memory, start.mem, END);
	if (emulated && mode == VM86)
		s.fs.limit = 0xfffe;
	else if (emulated)
		s.fs.type = 9;
	CHECK_OK(ioctl(v->fd, MINIVMM_SET_VCPU_EVENTS, &events));
	settle(v);
	memcpy(memory, start.mem, END);
	set_sregs(v, &s);
	set_regs(v, &start.regs);
	set_msr(v, 0x174, start.regs.r8 & 0xfffc);
	CHECK_OK(vcpu_run(v));
	reason = v->run->exit_reason;
	if (reason == MINIVMM_EXIT_IO) {	/* and what comes in */
		v->run->immediate_exit = 1;
		CHECK_ERRNO(vcpu_run(v), EINTR);
		v->run->immediate_exit = 0;
	}
	memcpy(end->mem, memory, END);
	forget_what_was_pushed(end, get_regs(v).rsp);
	end->regs = get_regs(v);
	end->sregs = get_sregs(v);
	return reason;
}

static bool same_segment(const struct minivmm_segment *a, const struct minivmm_segment *b)
{
	if (a->unusable && b->unusable)
		return a->selector == b->selector;
	return !memcmp(a, b, sizeof(*a));
}

/* NULL, or what isn't the same. */
static const char *difference(void)
{
	const struct minivmm_sregs *a = &by_cpu.sregs, *b = &by_emulator.sregs;
	static const char *const names[] = { "CS", "DS", "ES", "FS", "GS", "SS", "TR", "LDTR" };
	static const char *const regs[] = { "RAX", "RBX", "RCX", "RDX", "RSI", "RDI", "RSP", "RBP" };
	const struct minivmm_segment *sa = &a->cs, *sb = &b->cs;
	unsigned int spoilt = mode == VM86 ? b->fs.limit == 0xfffe : b->fs.type == 9, i;
	static char text[160];

	for (i = 0; i < 8; i++) {
		if (i == 3 && spoilt)
			continue;
		if (same_segment(&sa[i], &sb[i]))
			continue;
		snprintf(text, sizeof(text), "%s: CPU %#x %#llx %#x type %u s %u dpl %u p %u %u%u%u%u u %u, "
			 "emulator %#x %#llx %#x type %u s %u dpl %u p %u %u%u%u%u u %u", names[i],
			 sa[i].selector, sa[i].base, sa[i].limit, sa[i].type, sa[i].s, sa[i].dpl,
			 sa[i].present, sa[i].g, sa[i].db, sa[i].l, sa[i].avl, sa[i].unusable,
			 sb[i].selector, sb[i].base, sb[i].limit, sb[i].type, sb[i].s, sb[i].dpl,
			 sb[i].present, sb[i].g, sb[i].db, sb[i].l, sb[i].avl, sb[i].unusable);
		return text;
	}
	for (i = 0; i < 18; i++) {
		u64 x = (&by_cpu.regs.rax)[i], y = (&by_emulator.regs.rax)[i];

		if (x == y)
			continue;
		snprintf(text, sizeof(text), "%s (%u): CPU %#lx, emulator %#lx",
			 i < 8 ? regs[i] : i == 16 ? "RIP" : i == 17 ? "RFLAGS" : "R8…", i, x, y);
		return text;
	}
	if (a->cr0 != b->cr0 || a->cr2 != b->cr2 || a->cr3 != b->cr3 || a->cr4 != b->cr4)
		return "control registers";
	if (memcmp(&a->gdt, &b->gdt, sizeof(a->gdt)) || memcmp(&a->idt, &b->idt, sizeof(a->idt)))
		return "descriptor tables";
	for (i = 0; memcmp(by_cpu.mem, by_emulator.mem, END) && i < END; i++)
		if (by_cpu.mem[i] != by_emulator.mem[i]) {
			snprintf(text, sizeof(text), "memory at %#x: CPU %#x, emulator %#x", i,
				 by_cpu.mem[i], by_emulator.mem[i]);
			return text;
		}
	return NULL;
}

static void map_memory(void)
{
	u64 *tables = (u64 *)(memory + TABLES);

	tables[0] = TABLES + 0x1007;
	tables[512] = TABLES + 0x2007;
	tables[1024] = 0x87;
}

static void compare_cases(u64 first_seed, unsigned int count)
{
	struct minivmm_sregs reset;
	struct vm *vm = vm_create();
	unsigned int i, differ = 0;
	struct vcpu *v;

	if (is_unrestricted())
		skip("the CPU runs any state by itself");
	if (opt.oracle)
		skip("KVM's emulator knows less");
	memory = host_memory(SIZE);
	add_slot(vm, 0, 0, 0, SIZE, memory);
	map_memory();
	v = vcpu_create(vm, 0);
	reset = get_sregs(v);
	set_msr(v, 0x175, STACKS + 0x500);
	set_msr(v, 0x176, 0x300);
	set_msr(v, 0xc0000081, 0x0013000800000000);
	set_msr(v, 0xc0000082, 0x400);
	set_msr(v, 0xc0000084, 0x600);
	seed = first_seed;
	for (i = 0; i < count && differ < 12; i++) {
		const char *what = NULL;
		u32 a, b;

		make_case(&reset);
		start.regs.r8 = any_selector();
		a = run_case(v, &by_cpu, false);
		b = run_case(v, &by_emulator, true);
		if (a != b)
			say("exit of the CPU: %s, of the emulator: %s", exit_name(a), exit_name(b));
		else if (a != MINIVMM_EXIT_SHUTDOWN)	/* after which there is no state */
			what = difference();
		if (a == b && !what)
			continue;
		say("case %u: mode %u, CPL %u, cr4 %#llx, rflags %#llx, %02x %02x %02x %02x %02x %02x: %s",
		    i, mode, cpl, start.sregs.cr4, start.regs.rflags, start.mem[AT], start.mem[AT + 1],
		    start.mem[AT + 2], start.mem[AT + 3], start.mem[AT + 4], start.mem[AT + 5],
		    what ?: "");
		say("  RIP by the CPU %#llx, by the emulator %#llx", by_cpu.regs.rip,
		    by_emulator.regs.rip);
		differ++;
	}
	CHECK_EQ(differ, 0);
}

TEST(transfers_and_segments)
{
	compare_cases(1, on_bochs() ? 400 : 20000);
}
