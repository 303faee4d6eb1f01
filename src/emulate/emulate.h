/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The instruction emulator: what it is given, what it asks for, what it hands back.
 *
 * decode.c turns bytes into a struct insn by tables that know the length and the operands of every
 * instruction; execute.c performs those that it, or a file beside it, has a function for. All reach
 * the guest only through
 * the emu_host_*() functions below, which whoever links it provides: emulator.c in the module,
 * a model of memory in the unit tests. Nothing here allocates, sleeps or knows a hypervisor.
 *
 * An instruction is done whole or not at all: registers change only in emu.out, which the caller
 * takes over when emu_run() returns EMU_OK or EMU_PART, so that an instruction that lacks data can
 * be run again from its first byte.
 *
 * Reading order: this file, emu_run() and below at the end of execute.c, then decode.c; segment.c is
 * the hard part.
 */
#ifndef MINIVMM_EMULATE_H
#define MINIVMM_EMULATE_H

#include <linux/types.h>

#include <linux/minivmm.h>	/* struct minivmm_segment */

#define EMU_INSN_MAX	15	/* bytes; one more is #GP */
/* As far as the decoder looks: what 14 prefixes, EVEX, its operand and a number of 8 bytes take. */
#define EMU_INSN_ROOM	40
#define EMU_PAGE	4096u
#define EMU_BATCH	1024	/* iterations of REP between two looks at interrupts */

enum emu_mode { EMU_REAL, EMU_VM86, EMU_PROT16, EMU_PROT32, EMU_LONG };	/* of the code segment */

/* Registers and segments are numbered as instructions encode them. */
enum { EMU_RAX, EMU_RCX, EMU_RDX, EMU_RBX, EMU_RSP, EMU_RBP, EMU_RSI, EMU_RDI, EMU_NR_REGS = 16 };
enum { EMU_ES, EMU_CS, EMU_SS, EMU_DS, EMU_FS, EMU_GS, EMU_LDTR, EMU_TR, EMU_NR_SEGS };

enum emu_result {
	EMU_OK,		/* done: take over emu.out */
	EMU_PART,	/* REP: some iterations are done, RIP stays. Take over emu.out */
	EMU_FAULT,	/* emu.fault is to be injected, nothing else has changed; but EMU_COMMIT */
	EMU_IO,		/* a device must deliver first: run the instruction again when it has */
	EMU_RETRY,	/* memory changed under a locked instruction: run it again */
	EMU_UNHANDLED,	/* valid, or may be, but not one of ours */
	EMU_ERROR,	/* the host failed, and knows how */
};

struct emu_fault {
	u8 vector;
	bool has_code;
	u32 code;
	u64 address;	/* of a page fault */
};

/* Where an operand is: with its value, struct emu_operand, which begins so. */
struct emu_place {
	u8 type;	/* enum emu_operand_type; while it is decoded, enum emu_kind */
	u8 size;
	u8 reg;
	u8 shift;	/* 8 for AH, CH, DH, BH */
};

/* One decoded instruction. */
struct insn {
	u64 disp;	/* of the memory operand */
	u64 imm;	/* sign-extended */

	u8 len;		/* bytes that it has: the decoder's position while it works */

	/* prefixes */
	u8 rep;		/* 0, 0xf2 or 0xf3 */
	u8 rex;
	bool lock, opsize, adsize;
	s8 seg_override;	/* -1: none */

	u8 map;		/* 0, 1 = 0F, 2 = 0F 38, 3 = 0F 3A; or VEX's number */
	u8 vex;		/* 0, 0xc4, 0xc5 or, for EVEX, 0x62 */
	u8 opcode;
	u8 modrm;
	u8 payload;	/* VEX's last byte */
	u8 vec_prefix;	/* VEX's: 0, 1 = 66, 2 = F3, 3 = F2 */

	/* from the tables, groups resolved */
	u8 op;		/* enum emu_op */
	u8 imm_kind;
	u8 flags;

	u8 op_size;	/* 1, 2, 4, 8 */
	u8 ad_size;	/* 2, 4, 8 */
	bool mem;	/* there is a memory operand, at seg:ea */
	bool rip_relative;
	s8 base, index;	/* registers of its address, -1: none */
	u8 scale;	/* a shift */
	u8 seg;
	struct emu_place dst, src;

	/* up to here it is decoded from the bytes, and starts as zero */
	u64 ea;	/* the memory operand's offset */
	u8 avail;	/* bytes that were fetched */
	u8 bytes[EMU_INSN_ROOM];
};

#define EMU_KEPT	256	/* a power of two */

/* A decoded instruction of at most 8 bytes. */
struct emu_kept {
	u64 word;	/* the bytes, and some behind */
	u64 decoded[offsetof(struct insn, ea) / sizeof(u64)];
	u8 len;
	u8 unused;	/* bits of the word */
	u8 code;	/* what it was decoded as; 0: nothing was */
};

enum emu_operand_type { T_NONE, T_REG, T_MEM, T_VALUE, T_SEG };

struct emu_operand {
	u8 type;
	u8 size;
	u8 reg;
	u8 shift;
	u64 linear;
	u64 val;
	u64 old;	/* as it was loaded */
};

enum {	/* what else an instruction has done, or asks for: emu.out.what */
	EMU_STI		= 0x01,	/* interrupts wait for the end of the next instruction */
	EMU_MOV_SS	= 0x02,	/* ... NMIs and debug traps too */
	EMU_HALT	= 0x04,
	EMU_IRET	= 0x08,	/* NMIs are unmasked */
	EMU_NO_STEP	= 0x10,	/* no single-step trap follows */
	EMU_COMMIT	= 0x20,	/* with EMU_FAULT: a new task's; take over emu.out before it */
	EMU_TRAP	= 0x40,	/* #DB follows: the new task's T flag */
	EMU_MODE	= 0x80,	/* the caller's part isn't what it was: control registers, say */
};

struct emu {
	/* given by the caller */
	const u64 *regs;	/* the 16 general registers */
	u64 rip, rflags;
	u8 mode;		/* enum emu_mode */
	bool long_mode;		/* EFER.LMA: EMU_LONG, or compatibility mode */
	bool real32;		/* EMU_REAL with a code segment left from 32-bit code */
	u8 cpl;
	u16 batch;		/* most iterations of REP in one run */
	void *port_data;	/* a page: the items of emu_host_in() and emu_host_out() */
	struct emu_kept *kept;	/* EMU_KEPT of them, zero to begin with; or NULL */
	u8 seg_valid;		/* which of seg, below, are what the guest has; 0 to begin with */

	/* set by a callback: no further iteration of REP in this run, please */
	bool stop;

	/* results */
	struct {
		u64 regs[EMU_NR_REGS];
		u16 changed;	/* which of regs hold something */
		u8 seg_changed;	/* likewise of seg */
		u8 what;	/* EMU_* below */
		u64 rip, rflags;
		struct minivmm_segment seg[EMU_NR_SEGS];
	} out;
	struct emu_fault fault;
	struct insn insn;

	/* at work */
	struct emu_operand dst, src;
	struct minivmm_segment seg[EMU_NR_SEGS];
};

/* ---- what it offers -------------------------------------------------------------------------- */

/**
 * emu_run() - decodes and executes the instruction at emu.rip
 * @e: with the caller's part filled in
 *
 * Return: enum emu_result. Device accesses may have happened with any of them; memory and devices
 * are written only on the way to EMU_OK, EMU_PART or (by the iterations before) none at all.
 */
enum emu_result emu_run(struct emu *e);

struct emu_event {
	u8 vector;
	bool soft;		/* INT n, INT3, INTO: the gate's privilege level counts */
	bool interrupt;		/* not an exception, nor from one */
	bool has_code;
	u32 code;
};

/**
 * emu_deliver() - delivers an interrupt or exception through the IDT
 * @e: with the caller's part filled in; RIP is what the handler returns to
 * @event: what
 *
 * Return: as emu_run(). EMU_FAULT: the delivery itself failed.
 */
enum emu_result emu_deliver(struct emu *e, const struct emu_event *event);

enum emu_task_source { EMU_TASK_CALL, EMU_TASK_IRET, EMU_TASK_JMP, EMU_TASK_GATE };

/**
 * emu_task_switch() - switches to another task; SDM "Task Switching"
 * @e: with the caller's part filled in; RIP is what the old task will go on at
 * @selector: of the new task's TSS
 * @source: how it came about, as a VM exit's qualification says it
 * @event: with EMU_TASK_GATE: what is delivered by it
 *
 * Privileges are checked by then. Return: as emu_run().
 */
enum emu_result emu_task_switch(struct emu *e, u16 selector, enum emu_task_source source,
				const struct emu_event *event);

/*
 * The two halves of emu_run(). The second may be repeated, after EMU_IO say, as long as nothing of
 * the caller's part has changed: the instruction has been fetched, and goes on from there.
 */
enum emu_result emu_decode(struct emu *e);
enum emu_result emu_execute(struct emu *e);

/**
 * emu_finish_load() - after EMU_IO, executes an instruction that only loads a register
 * @e: as emu_run() left it
 * @data: what was asked for
 * @len: how much
 *
 * Return: EMU_OK; EMU_IO: that isn't all there is to it, emu_execute() it with the data.
 */
enum emu_result emu_finish_load(struct emu *e, const void *data, unsigned int len);

/* ---- what it asks for ------------------------------------------------------------------------ */

enum emu_access {
	EMU_READ	= 0,
	EMU_WRITE	= 1,	/* of a read: it will be written, so the page must allow that too */
	EMU_SYSTEM	= 2,	/* the CPU's own access to a descriptor or TSS, not the program's */
};

/*
 * Linear addresses are checked against segments and for canonical form already. Those of the
 * program (not EMU_SYSTEM) wrap at 4G outside of EMU_LONG. Each returns EMU_OK; or EMU_FAULT with
 * e->fault set, EMU_UNHANDLED or EMU_ERROR, having changed nothing; a read may return EMU_IO.
 */

/* len bytes of code that don't cross a page. */
enum emu_result emu_host_fetch(struct emu *e, u64 linear, void *bytes, unsigned int len);
/* Up to 32 bytes, or any number within one page of memory. */
enum emu_result emu_host_read(struct emu *e, u64 linear, void *data, unsigned int len,
			      unsigned int access);
enum emu_result emu_host_write(struct emu *e, u64 linear, const void *data, unsigned int len,
			       unsigned int access);
/* As a write, but EMU_RETRY if there isn't old. Where that can't be atomic it is a plain write. */
enum emu_result emu_host_cmpxchg(struct emu *e, u64 linear, const void *old, const void *new,
				 unsigned int len, unsigned int access);
/* What is there? EMU_OK: memory that allows the access; EMU_IO: a device. */
enum emu_result emu_host_probe(struct emu *e, u64 linear, unsigned int access);
/* *count items from a port into e->port_data; may deliver fewer, at least one. EMU_IO as above. */
enum emu_result emu_host_in(struct emu *e, u16 port, unsigned int size, unsigned int *count);
enum emu_result emu_host_out(struct emu *e, u16 port, unsigned int size, unsigned int count);
void emu_host_segment(struct emu *e, unsigned int seg, struct minivmm_segment *s);
u64 emu_host_segment_base(struct emu *e, unsigned int seg);
void emu_host_get_table(struct emu *e, bool idt, struct minivmm_dtable *table);
void emu_host_set_table(struct emu *e, bool idt, const struct minivmm_dtable *table);

/* Registers that are the host's to check. Their changes are final: the last thing that is done. */
enum { EMU_CR0 = 0, EMU_CR2 = 2, EMU_CR3, EMU_CR4, EMU_CR8 = 8, EMU_DR0 = 16, EMU_DR6 = 22,
       EMU_DR7, EMU_XCR0, EMU_TSC };
u64 emu_host_get(struct emu *e, unsigned int reg);
enum emu_result emu_host_set(struct emu *e, unsigned int reg, u64 value);	/* or #GP(0) */
enum emu_result emu_host_rdmsr(struct emu *e, u32 index, u64 *data);		/* likewise */
enum emu_result emu_host_wrmsr(struct emu *e, u32 index, u64 data);
void emu_host_cpuid(struct emu *e, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx);
void emu_host_invlpg(struct emu *e, u64 linear);
/* By INVPCID, whose operands are checked. */
void emu_host_invpcid(struct emu *e, unsigned int type, u16 pcid, u64 linear);

/* Has the CPU it? Where it hasn't, the encoding means something else, or nothing. */
enum emu_feature { EMU_HAS_BMI1, EMU_HAS_LZCNT, EMU_HAS_POPCNT, EMU_HAS_CX16,
		   EMU_HAS_INVPCID, EMU_HAS_SMAP, EMU_HAS_BMI2, EMU_HAS_ADX, EMU_HAS_SSE42,
		   EMU_HAS_RDPID };
bool emu_host_has(struct emu *e, enum emu_feature feature);
/* An INT3 is a debugger's: EMU_RETRY will follow. */
bool emu_host_takes_int3(struct emu *e);
/* A vector register: 8 bytes are MMX's, 16 XMM's, 32 YMM's. */
void emu_host_get_vector(struct emu *e, unsigned int reg, void *data, unsigned int len);
void emu_host_set_vector(struct emu *e, unsigned int reg, const void *data, unsigned int len);
/* x87: what has no operand in registers. None of them may fault. */
enum emu_fpu { EMU_FNINIT, EMU_FNCLEX, EMU_FNSTSW, EMU_FNSTCW, EMU_FLDCW };
u16 emu_host_fpu(struct emu *e, enum emu_fpu what, u16 value);

/* ---- between decode.c and execute.c ---------------------------------------------------------- */

enum emu_op {	/* what execute.c can do, and what no CPU does */
	OP_OTHER,	/* known to the decoder only */
	OP_UNDEFINED,
	OP_PREFIX, OP_ESCAPE,	/* of the decoder's: there is more to come */
	OP_ODD,			/* likewise: depends on mode or prefixes */
	OP_ADD, OP_OR, OP_ADC, OP_SBB, OP_AND, OP_SUB, OP_XOR, OP_CMP,	/* as encoded */
	OP_TEST, OP_NOT, OP_NEG, OP_INC, OP_DEC,
	OP_ROL, OP_ROR, OP_RCL, OP_RCR, OP_SHL, OP_SHR, OP_SAL, OP_SAR,	/* as encoded */
	OP_SHLD, OP_SHRD, OP_MUL, OP_IMUL1, OP_DIV, OP_IDIV, OP_IMUL, OP_IMUL3,
	OP_BSF, OP_BSR, OP_POPCNT, OP_CBW, OP_CWD, OP_DAA, OP_AAA, OP_AAM, OP_AAD,
	OP_MOV, OP_MOVSX, OP_MOVBE, OP_LEA, OP_XCHG, OP_CMPXCHG, OP_XADD, OP_BSWAP, OP_CMPXCHG8B,
	OP_CMOV, OP_SETCC, OP_BT, OP_BTS, OP_BTR, OP_BTC, OP_NOP, OP_XLAT, OP_SALC, OP_BOUND,
	OP_LAHF, OP_SAHF, OP_FLAG, OP_CLI, OP_STI,
	OP_PUSH, OP_PUSH_SEG, OP_POP, OP_PUSHF, OP_POPF, OP_PUSHA, OP_POPA, OP_ENTER, OP_LEAVE,
	OP_JCC, OP_LOOP, OP_JMP, OP_JMP_E, OP_CALL, OP_CALL_E, OP_RET,
	OP_JMP_FAR, OP_CALL_FAR, OP_RET_FAR, OP_INT, OP_INTO, OP_IRET,
	OP_MOV_SEG, OP_POP_SEG, OP_LES, OP_SLDT, OP_STR, OP_LLDT, OP_LTR, OP_VERR, OP_VERW,
	OP_LAR, OP_LSL, OP_ARPL, OP_G7, OP_MOV_CR, OP_MOV_DR, OP_CLTS, OP_HLT, OP_CACHE,
	OP_RDMSR, OP_WRMSR, OP_RDTSC, OP_RDPMC, OP_CPUID,
	OP_SYSCALL, OP_SYSRET, OP_SYSENTER, OP_SYSEXIT, OP_VECTOR, OP_X87, OP_FSGSBASE,
	OP_INVPCID, OP_BMI, OP_ADX, OP_CRC32, OP_RDPID,
	OP_MOVS, OP_CMPS, OP_STOS, OP_LODS, OP_SCAS, OP_INS, OP_OUTS, OP_IN, OP_OUT,
	NR_EMU_OPS,
};

enum emu_kind {	/* operands; the size is the instruction's unless the name says one */
	K_NONE,
	K_E,		/* ModRM: register or memory */
	K_EB, K_EW, K_ED,
	K_G,		/* register of ModRM.reg */
	K_Z,		/* register of the opcode's low three bits */
	K_A,		/* rAX */
	K_S,		/* segment register of ModRM.reg */
	K_PS,		/* ... of the opcode */
	K_O,		/* memory at an address in the instruction */
	K_I,		/* immediate */
	K_1, K_CL,	/* a count */
};

enum emu_imm {
	I_NONE,
	I_B,		/* byte, sign-extended */
	I_W,		/* 2 bytes */
	I_Z,		/* 2 or 4 bytes by operand size, sign-extended */
	I_V,		/* 2, 4 or 8 */
	I_WB,		/* ENTER: 2 bytes and 1 */
	I_AP,		/* far pointer: I_Z and a selector */
	I_J,		/* near displacement: 4 bytes in 64-bit code, else I_Z */
	I_O,		/* address: 2, 4 or 8 by address size */
};

enum emu_opflag {
	MODRM	= 0x01,
	BYTE	= 0x02,	/* operand size 1 */
	NO64	= 0x04,	/* undefined in 64-bit code */
	D64	= 0x08,	/* operand size 8 by default in 64-bit code */
	F64	= 0x10,	/* ... always */
	MEM	= 0x20,	/* ModRM must name memory */
	REG	= 0x40,	/* ModRM names a register, whatever its mod field says */
	GROUP	= 0x80,	/* op is an index into the groups, ModRM.reg selects */
};

enum {
	X86_DE = 0, X86_DB = 1, X86_BP = 3, X86_OF = 4, X86_BR = 5, X86_UD = 6, X86_NM = 7,
	X86_TS = 10, X86_NP = 11, X86_SS = 12, X86_GP = 13, X86_PF = 14, X86_MF = 16,
};

static inline enum emu_result emu_fault(struct emu *e, u8 vector, bool has_code)
{
	e->fault = (struct emu_fault){ .vector = vector, .has_code = has_code };
	return EMU_FAULT;
}

static inline enum emu_result emu_gp(struct emu *e) { return emu_fault(e, X86_GP, true); }
static inline enum emu_result emu_ud(struct emu *e) { return emu_fault(e, X86_UD, false); }

static inline bool emu_canonical(u64 linear)
{
	return (u64)((s64)(linear << 16) >> 16) == linear;
}

/* A segment's cache, read once per run. */
static inline const struct minivmm_segment *emu_segment(struct emu *e, unsigned int seg)
{
	if (!(e->seg_valid & (1 << seg))) {
		emu_host_segment(e, seg, &e->seg[seg]);
		e->seg_valid |= 1 << seg;
	}
	return &e->seg[seg];
}

/* A register as the instruction sees it: with what it has written itself. */
static inline u64 emu_reg(const struct emu *e, unsigned int reg)
{
	return e->out.changed & (1 << reg) ? e->out.regs[reg] : e->regs[reg];
}

static inline u64 emu_mask(u64 value, unsigned int size)
{
	return value & (~0ull >> (64 - 8 * size));
}

#endif
