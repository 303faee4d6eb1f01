/* SPDX-License-Identifier: GPL-2.0 */
/* What the files that execute instructions share. */
#ifndef MINIVMM_EMULATE_INTERNAL_H
#define MINIVMM_EMULATE_INTERNAL_H

#include <linux/kernel.h>
#include <linux/string.h>

#include "emulate.h"

enum {	/* RFLAGS */
	CF = 0x001, PF = 0x004, AF = 0x010, ZF = 0x040, SF = 0x080, TF = 0x100, IF = 0x200,
	DF = 0x400, OF = 0x800, IOPL = 0x3000, NT = 0x4000, RF = 0x10000, VM = 0x20000,
	AC = 0x40000, VIF = 0x80000, VIP = 0x100000, ID = 0x200000,
};
#define ARITH_FLAGS	((u64)(CF | PF | AF | ZF | SF | OF))

enum {	/* control registers */
	CR0_PE = 1 << 0, CR0_MP = 1 << 1, CR0_EM = 1 << 2, CR0_TS = 1 << 3, CR0_NE = 1 << 5,
	CR4_VME = 1 << 0, CR4_PVI = 1 << 1, CR4_TSD = 1 << 2, CR4_DE = 1 << 3, CR4_OSFXSR = 1 << 9,
	CR4_UMIP = 1 << 11, CR4_FSGSBASE = 1 << 16, CR4_PCIDE = 1 << 17, CR4_OSXSAVE = 1 << 18,
};

/* What is special about an operation: flags of ops[]. */
enum {
	WHOLE	= 0x01,		/* does everything itself */
	NO_LOAD	= 0x02,		/* the destination's old value doesn't matter */
	NO_STORE = 0x04,	/* the destination isn't written */
	LOCK	= 0x08,		/* may have a LOCK prefix */
	SWAP	= 0x10,		/* writes its source too, which is a register */
	ATOMIC	= 0x20,		/* locks without being told */
	BITS	= 0x40,		/* a register source selects a bit of a string of them */
	PRIV	= 0x80,		/* #GP(0) outside of CPL 0 */
	PROT	= 0x100,	/* #UD in real and virtual-8086 mode */
};

typedef enum emu_result emu_fn(struct emu *e);

/* integer.c */
emu_fn op_add, op_adc, op_sub, op_sbb, op_and, op_or, op_xor, op_not, op_neg, op_inc, op_dec,
       op_movsx, op_movbe, op_bswap, op_lea, op_xchg, op_xadd, op_cmpxchg, op_cmpxchg8b, op_cmov,
       op_setcc, op_bt, op_bts, op_btr, op_btc, op_shift, op_shld, op_shrd, op_mul, op_div,
       op_imul, op_imul3, op_bsf, op_bsr, op_popcnt, op_cbw, op_cwd, op_daa, op_aaa, op_aam,
       op_aad, op_xlat, op_salc, op_bound, op_lahf, op_sahf, op_flag;
bool emu_condition(const struct emu *e, u8 cc);
u64 emu_sub_flags(struct emu *e, u64 a, u64 b, unsigned int size);
/* bits.c */
emu_fn op_bmi, op_adx, op_crc32;
/* string.c */
emu_fn op_string, op_in, op_out;
/* flow.c */
emu_fn op_push, op_push_seg, op_pop, op_pushf, op_popf, op_pusha, op_popa, op_enter, op_leave, op_jcc, op_loop,
       op_jmp, op_jmp_e, op_call, op_call_e, op_ret, op_cli, op_sti, op_syscall, op_sysret,
       op_sysenter, op_sysexit;
/* segment.c */
emu_fn op_mov_seg, op_pop_seg, op_les, op_lldt, op_ltr, op_verify, op_lar, op_arpl;
/* far.c */
emu_fn op_jmp_far, op_call_far, op_ret_far, op_int, op_into, op_iret;
/* system.c */
emu_fn op_sldt, op_g7, op_mov_cr, op_mov_dr, op_clts, op_hlt, op_rdmsr, op_wrmsr,
       op_rdtsc, op_rdpmc, op_cpuid, op_rdpid, op_fsgsbase, op_invpcid, op_x87, op_nop;
/* vector.c */
emu_fn op_vector;

/* ---- registers ------------------------------------------------------------------------------- */

static inline void set_reg_whole(struct emu *e, unsigned int reg, u64 value)
{
	e->out.regs[reg] = value;
	e->out.changed |= 1 << reg;
}

/* By the architecture's rules: 4 bytes clear the upper half, 1 and 2 leave the rest. */
static inline void set_reg(struct emu *e, unsigned int reg, unsigned int shift, unsigned int size,
			   u64 value)
{
	u64 mask;

	if (size < 4) {
		mask = emu_mask(~0ull, size) << shift;
		value = (emu_reg(e, reg) & ~mask) | (value << shift & mask);
	}
	set_reg_whole(e, reg, size == 4 ? (u32)value : value);
}

static inline void set_flags(struct emu *e, u64 mask, u64 flags)
{
	e->out.rflags = (e->out.rflags & ~mask) | (flags & mask);
}

/* PF, ZF and SF of a result. */
static inline u64 result_flags(u64 result, unsigned int size)
{
	u64 top = result << (64 - 8 * size);

	return (__builtin_parity(result & 0xff) ? 0 : PF) | (top ? 0 : ZF) | (top >> 56 & SF);
}

static inline u64 sign_extend(u64 value, unsigned int size)
{
	unsigned int shift = 64 - 8 * size;

	return (u64)((s64)(value << shift) >> shift);
}

static inline bool is_protected_mode(const struct emu *e) { return e->mode >= EMU_PROT16; }
static inline unsigned int iopl(const struct emu *e) { return (e->rflags >> 12) & 3; }

/* ---- execute.c ------------------------------------------------------------------------------- */

/* emu.out as it is before anything has happened, but for RIP. */
void emu_begin(struct emu *e, unsigned int len);

/* A logical address to a linear one, with all checks. A segment of the guest's, by its number. */
enum emu_result emu_linearise(struct emu *e, unsigned int seg, u64 ea, unsigned int size, bool write,
			      u64 *linear);
bool emu_segment_linear(const struct minivmm_segment *s, bool typed, u64 ea, unsigned int size,
			bool write, u64 *linear);
/* Data at one: up to 8 bytes; the value is zero-extended. */
enum emu_result emu_read(struct emu *e, unsigned int seg, u64 ea, unsigned int size, u64 *value);
enum emu_result emu_write(struct emu *e, unsigned int seg, u64 ea, unsigned int size, u64 value);
/* The CPU's own access; in compatibility mode too its addresses have 64 bits. */
enum emu_result emu_read_system(struct emu *e, u64 linear, void *data, unsigned int size);
enum emu_result emu_write_system(struct emu *e, u64 linear, const void *data, unsigned int size);
enum emu_result emu_cmpxchg_system(struct emu *e, u64 linear, const void *old, const void *new,
				   unsigned int size);

static inline enum emu_result emu_fault_code(struct emu *e, u8 vector, u32 code)
{
	e->fault = (struct emu_fault){ .vector = vector, .has_code = true, .code = code };
	return EMU_FAULT;
}

/* ---- the stack: flow.c ------------------------------------------------------------------------- */

struct stack {
	const struct minivmm_segment *ss;	/* NULL: 64-bit code's */
	u64 sp, mask;
	u32 code;		/* of #SS */
	bool typed;		/* outside of real mode */
	unsigned int access;	/* EMU_SYSTEM: a new stack, its privilege is that of the CPU */
};

void emu_stack(struct emu *e, struct stack *s);		/* the current one */
enum emu_result emu_push(struct emu *e, struct stack *s, unsigned int size, u64 value);
enum emu_result emu_pop(struct emu *e, struct stack *s, unsigned int size, u64 *value);
void emu_set_sp(struct emu *e, const struct stack *s);	/* only its part that the mask covers */
/* A near branch: RIP, if it may go there. */
enum emu_result emu_jump(struct emu *e, u64 target, unsigned int size);

/* ---- segments: segment.c ----------------------------------------------------------------------- */

/* A descriptor as it lies in memory; system ones of long mode have 16 bytes. */
struct descriptor {
	u64 low, high;
	u64 address;		/* linear */
	u16 selector;
	u8 type, dpl;		/* type: with the S bit above */
	bool present;
};

#define D_S	0x10
#define is_code_type(t)		(((t) & 0x18) == 0x18)
#define is_conforming(t)	((t) & 4)

enum { D_LDT = 2, D_TSS16 = 1, D_CALL16 = 4, D_TASK_GATE = 5, D_INT16 = 6, D_TSS32 = 9, D_CALL32 = 12,
       D_INT32 = 14, D_BUSY = 2 };

/* A segment register as it will be. */
static inline const struct minivmm_segment *emu_current_segment(struct emu *e, unsigned int seg)
{
	return e->out.seg_changed & 1 << seg ? &e->out.seg[seg] : emu_segment(e, seg);
}

/* Where the checks of a selector lead: the vector and EXT bit of the fault they make. */
struct selector_fault {
	u8 vector;
	u8 ext;
};

enum emu_result emu_read_descriptor(struct emu *e, u16 selector, struct selector_fault f,
				    struct descriptor *d);
enum emu_result emu_selector_fault(struct emu *e, struct selector_fault f, u16 selector);
void emu_segment_from(const struct descriptor *d, struct minivmm_segment *s);
void emu_set_segment(struct emu *e, unsigned int seg, const struct minivmm_segment *s);
void emu_set_null(struct emu *e, unsigned int seg, u16 selector, unsigned int dpl);
void emu_set_real(struct emu *e, unsigned int seg, u16 selector, bool vm86);
enum emu_result emu_set_accessed(struct emu *e, struct descriptor *d);
enum emu_result emu_change_busy(struct emu *e, struct descriptor *d, bool busy);
/* A stack segment for a privilege level; checks of data segments; an LDT. All of them load. */
enum emu_result emu_load_stack_segment(struct emu *e, u16 selector, unsigned int cpl,
				       struct selector_fault f, struct minivmm_segment *ss);
enum emu_result emu_load_data_segment(struct emu *e, unsigned int seg, u16 selector,
				      unsigned int cpl, struct selector_fault f);
enum emu_result emu_load_ldt(struct emu *e, u16 selector, struct selector_fault f);

#endif
