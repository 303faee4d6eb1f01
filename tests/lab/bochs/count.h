/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What count.c has counted since the machine's start, for programs in the lab run by `lab run --count`.
 * A byte is written to COUNT_PORT first, once. Then the ports from there on read as COUNT_MAGIC and the
 * counters, 4 bytes each, low first, as they were when COUNT_PORT was read. Bytes, so that /dev/port
 * can do it.
 */
#ifndef LAB_COUNT_H
#define LAB_COUNT_H

#define COUNT_PORT	0x8b00
#define COUNT_MAGIC	0x636e7431

/* Executed by the host, that is outside of virtual machines; but for the first. */
enum counter {
	COUNT_EXIT,		/* VM exits */
	COUNT_VMREAD,
	COUNT_VMWRITE,
	COUNT_VMCS,		/* VMPTRLD and VMCLEAR */
	COUNT_RDMSR,
	COUNT_WRMSR,
	COUNT_TLB,		/* INVEPT, INVVPID, INVLPG, INVPCID, and moves to CR3 */
	COUNT_CR,		/* moves to CR0, CR2 and CR4, XSETBV */
	COUNT_FPU,		/* XSAVE, XRSTOR, FXSAVE, FXRSTOR in all forms */
	COUNT_LOCKED,		/* with a LOCK prefix, or XCHG with memory */
	NR_COUNTERS
};

#define COUNTER_NAMES \
	"exit", "vmread", "vmwrite", "vmcs", "rdmsr", "wrmsr", "tlb", "cr", "fpu", "locked"

#endif
