// SPDX-License-Identifier: GPL-2.0
/* A guest that writes to pages, and says how long that took. */
#include "bench.h"

/*
 * Touches RCX pages, RDX apart, from RSI on; the ticks that took come back in RAX. The first one
 * isn't counted: it makes the tables.
 */
GUEST64(touch,
	movl $0, (%rsi);
	add %rdx, %rsi;
	rdtsc;
	mov %eax, %edi;
	mov %r8, %rdx;
	1: movl $0, (%rsi);
	add %rdx, %rsi;
	loop 1b;
	rdtsc;
	sub %edi, %eax;
	hlt)

struct vcpu *boot_toucher(void)
{
	return BOOT(LONG64, touch);
}

u64 touch(struct vcpu *v, u64 from, u64 count, u64 stride)
{
	struct minivmm_regs r = get_regs(v);

	r.rip = CODE;
	r.rsi = from;
	r.rcx = count;
	r.rdx = r.r8 = stride;
	set_regs(v, &r);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	return get_regs(v).rax & 0xffffffff;
}
