// SPDX-License-Identifier: GPL-2.0
/* The C side of visit_code.S. */
#include "visit.h"

extern char visit_vectors64[], visit_vectors32[], visit_done64[], visit_done32[];
extern char stack_top[];
void visit64(void);
void visit32(void);

struct visit visit;

struct {
	u16 limit;
	u64 base;
} __attribute__((packed)) visit_idtr64, visit_idtr32;

static struct gate idt64[0x81] __attribute__((aligned(16)));
static u64 idt32[0x81] __attribute__((aligned(16)));

static struct gate gate64(u64 target, u8 dpl)
{
	return (struct gate){
		.offset0 = target, .offset1 = target >> 16, .offset2 = target >> 32,
		.selector = SEL_CODE64, .type = 0x8e | dpl << 5,
	};
}

static u64 gate32(u64 target, u64 dpl)
{
	return (target & 0xffff) | (u64)SEL_CODE32 << 16 | (0x8e00ull | dpl << 13) << 32 |
	       (target & 0xffff0000) << 32;
}

/* Only what pushes an error code is expected to happen; the rest would be a failure anyway. */
static void set_up(void)
{
	for (u64 i = 0; i < 32; i++) {
		idt64[i] = gate64((u64)visit_vectors64 + 8 * i, 0);
		idt32[i] = gate32((u64)visit_vectors32 + 8 * i, 0);
	}
	idt64[0x80] = gate64((u64)visit_done64, 3);
	idt32[0x80] = gate32((u64)visit_done32, 3);
	visit_idtr64.limit = sizeof(idt64) - 1;
	visit_idtr64.base = (u64)idt64;
	visit_idtr32.limit = sizeof(idt32) - 1;
	visit_idtr32.base = (u64)idt32;
}

void run_steps(struct step *first, u32 count, bool wide)
{
	u64 rsp0 = tss.rsp[0];

	if (!visit_idtr64.limit)
		set_up();
	visit.first = (u64)first;
	visit.end = (u64)(first + count);
	if (wide) {
		visit64();
	} else {
		/* As a task state of 32 bits: ESP0, then SS0. */
		tss.rsp[0] = ((u64)stack_top - 4096) | (u64)SEL_DATA << 32;
		visit32();
		tss.rsp[0] = rsp0;
	}
	load_idt(256 * 16 - 1);
}

void set_ldt_of(struct step *s, bool wide)
{
	u64 base = s->address;

	s->ldt[0] = 7 | (base & 0xffffff) << 16 | 0x82ull << 40 | (base >> 24 & 0xff) << 56;
	s->ldt[1] = wide ? base >> 32 : 0;
}
