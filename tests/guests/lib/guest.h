/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What guest programs are written with: 64-bit, one CPU, everything mapped to itself, each vector
 * caught. A test that finds the virtual CPU wrong says where on the console and ends the guest.
 */
#ifndef GUESTS_GUEST_H
#define GUESTS_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "image.h"

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#define PAGE		4096ul
#define MiB		(1ul << 20)
#define GiB		(1ul << 30)
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

/* Selectors, as in start.S. */
#define SEL_CODE64	0x08
#define SEL_DATA	0x10
#define SEL_CODE32	0x18
#define SEL_USER_DATA	0x23
#define SEL_USER_CODE64	0x2b
#define SEL_USER_CODE32	0x33
#define SEL_TSS		0x38
#define SEL_NOT_PRESENT	0x48
#define SEL_CODE16	0x50
#define SEL_SPARE	0x58

enum { DE, DB, NMI, BP, OF, BR, UD, NM, DF, TS = 10, NP, SS, GP, PF, MF = 16, AC, MC, XM };
#define NO_TRAP		~0ull

/* ---- tests ----------------------------------------------------------------------------------- */

#define GUEST_TEST_WITH(id, flags)					\
	static void test_##id(void);					\
	__attribute__((section("tests"), used, no_reorder, aligned(8)))		\
	static const struct image_test desc_##id = { (u64)#id, (u64)test_##id, flags }; \
	static void test_##id(void)
#define GUEST_TEST(id)		GUEST_TEST_WITH(id, 0)
#define GUEST_IRQ_TEST(id)	GUEST_TEST_WITH(id, NEEDS_IRQCHIP)

void print(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void skip(const char *why);
void context(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#define CHECK(cond)							\
	do {								\
		if (!(cond))						\
			fail("%s:%d: expected %s", __FILE__, __LINE__, #cond); \
	} while (0)
#define CHECK_EQ(got, want)						\
	do {								\
		u64 g_ = (u64)(got), w_ = (u64)(want);			\
		if (g_ != w_)						\
			fail("%s:%d: %s: expected %lx, got %lx", __FILE__, __LINE__, #got, w_, \
			     g_);						\
	} while (0)

/* ---- vectors --------------------------------------------------------------------------------- */

/* What the stubs push, and the CPU before them. */
struct frame {
	u64 r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	u64 vector, error;
	u64 rip, cs, rflags, rsp, ss;
};

struct trap {
	u64 vector, error, rip, cs, rflags, rsp, cr2, dr6;
};

extern volatile struct trap last_trap;
extern volatile u64 recover;		/* where to go on after a trap; 0: it is unexpected */

/*
 * Runs the instructions and returns the trap that they made; NO_TRAP as its vector: none.
 *	CATCH("wrmsr", : : "c"(index), "a"(low), "d"(high))->vector
 */
#define CATCH(code, ...)						\
	({								\
		last_trap.vector = NO_TRAP;				\
		asm volatile("" : : : "memory");			\
		asm volatile("movq $77f, recover\n\t" code "\n77:\tmovq $0, recover" __VA_ARGS__); \
		asm volatile("" : : : "memory");			\
		&last_trap;						\
	})

/* As CHECK_EQ of a CATCH: which vector, and its error code. */
#define CHECK_TRAP(t, vec, code)					\
	do {								\
		volatile struct trap *t_ = (t);				\
		if (t_->vector != (u64)(vec) || ((vec) != NO_TRAP && t_->error != (code))) \
			fail("%s:%d: expected vector %ld with error code %lx, got %ld with %lx, " \
			     "cr2 %lx, rip %lx", __FILE__, __LINE__, (long)(vec), (u64)(code), \
			     (long)t_->vector, t_->error,			\
			     t_->cr2, t_->rip);				\
	} while (0)
#define CHECK_NO_TRAP(t)	CHECK_TRAP(t, NO_TRAP, 0)

/* A handler gets the vector before CATCH does. */
typedef void handler(struct frame *f);
void handle(int vector, handler *h);
extern volatile u32 vector_count[256];

struct gate {
	u16 offset0, selector;
	u8 ist, type;
	u16 offset1;
	u32 offset2, reserved;
};

extern struct gate idt[256];
void load_idt(u16 limit);

struct tss {
	u32 reserved0;
	u64 rsp[3];
	u64 reserved1;
	u64 ist[7];
	u64 reserved2;
	u16 reserved3, iomap;
} __attribute__((packed));

extern struct tss tss;
extern u64 gdt[];

/* At CPL 3; whole memory is the user's too. */
void user_call(void (*f)(void));
void user_return(void);

/* ---- the CPU --------------------------------------------------------------------------------- */

#define CR0_PE		(1ul << 0)
#define CR0_MP		(1ul << 1)
#define CR0_EM		(1ul << 2)
#define CR0_TS		(1ul << 3)
#define CR0_ET		(1ul << 4)
#define CR0_NE		(1ul << 5)
#define CR0_WP		(1ul << 16)
#define CR0_AM		(1ul << 18)
#define CR0_NW		(1ul << 29)
#define CR0_CD		(1ul << 30)
#define CR0_PG		(1ul << 31)
#define CR4_TSD		(1ul << 2)
#define CR4_DE		(1ul << 3)
#define CR4_PSE		(1ul << 4)
#define CR4_PAE		(1ul << 5)
#define CR4_PGE		(1ul << 7)
#define CR4_OSFXSR	(1ul << 9)
#define CR4_OSXMMEXCPT	(1ul << 10)
#define CR4_VMXE	(1ul << 13)
#define CR4_PCIDE	(1ul << 17)
#define CR4_OSXSAVE	(1ul << 18)
#define CR4_SMEP	(1ul << 20)
#define CR4_SMAP	(1ul << 21)

#define EFER_SCE	(1ul << 0)
#define EFER_LME	(1ul << 8)
#define EFER_LMA	(1ul << 10)
#define EFER_NX		(1ul << 11)

#define RFLAGS_TF	(1ul << 8)
#define RFLAGS_IF	(1ul << 9)
#define RFLAGS_NT	(1ul << 14)
#define RFLAGS_RF	(1ul << 16)
#define RFLAGS_AC	(1ul << 18)

#define MSR_TSC			0x10
#define MSR_APICBASE		0x1b
#define MSR_ARCH_CAPABILITIES	0x10a
#define MSR_SYSENTER_CS		0x174
#define MSR_SYSENTER_ESP	0x175
#define MSR_SYSENTER_EIP	0x176
#define MSR_PAT			0x277
#define MSR_TSC_DEADLINE	0x6e0
#define MSR_EFER		0xc0000080
#define MSR_STAR		0xc0000081
#define MSR_LSTAR		0xc0000082
#define MSR_CSTAR		0xc0000083
#define MSR_SYSCALL_MASK	0xc0000084
#define MSR_FS_BASE		0xc0000100
#define MSR_GS_BASE		0xc0000101
#define MSR_KERNEL_GS_BASE	0xc0000102
#define MSR_TSC_AUX		0xc0000103

#define NON_CANONICAL		0x0000800000000000ul

static inline void outb(u16 port, u8 v) { asm volatile("outb %0, %1" : : "a"(v), "Nd"(port)); }
static inline void outl(u16 port, u32 v) { asm volatile("outl %0, %1" : : "a"(v), "Nd"(port)); }
static inline u8 inb(u16 port)
{
	u8 v;

	asm volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

#define CONTROL_REGISTER(n)						\
	static inline u64 read_cr##n(void)				\
	{								\
		u64 v;							\
		asm volatile("mov %%cr" #n ", %0" : "=r"(v));		\
		return v;						\
	}								\
	static inline void write_cr##n(u64 v)				\
	{								\
		asm volatile("mov %0, %%cr" #n : : "r"(v) : "memory");	\
	}
CONTROL_REGISTER(0)
CONTROL_REGISTER(2)
CONTROL_REGISTER(3)
CONTROL_REGISTER(4)
CONTROL_REGISTER(8)

static inline u64 rdmsr(u32 index)
{
	u32 lo, hi;

	asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(index));
	return lo | (u64)hi << 32;
}

static inline void wrmsr(u32 index, u64 v)
{
	asm volatile("wrmsr" : : "c"(index), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}

static inline u64 rdtsc(void)
{
	u32 lo, hi;

	asm volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return lo | (u64)hi << 32;
}

struct cpuid {
	u32 a, b, c, d;
};

static inline struct cpuid cpuid(u32 leaf, u32 subleaf)
{
	struct cpuid r;

	asm volatile("cpuid"
		     : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d) : "a"(leaf), "c"(subleaf));
	return r;
}

static inline u64 read_flags(void)
{
	u64 v;

	asm volatile("pushfq; pop %0" : "=r"(v));
	return v;
}

static inline void invlpg(const volatile void *p)
{
	asm volatile("invlpg (%0)" : : "r"(p) : "memory");
}

static inline void sti(void) { asm volatile("sti" : : : "memory"); }
static inline void cli(void) { asm volatile("cli" : : : "memory"); }
/* One instruction between on and off, in which what is pending gets through. */
static inline void open_interrupts(void) { asm volatile("sti; nop; cli" : : : "memory"); }
static inline void sti_hlt(void) { asm volatile("sti; hlt; cli" : : : "memory"); }

/* RDMSR and WRMSR that may fault. */
volatile struct trap *try_rdmsr(u32 index, u64 *value);
volatile struct trap *try_wrmsr(u32 index, u64 value);

bool has_nx(void);
bool has_x2apic(void);
bool has_leaf(u32 leaf);

/* ---- paging ---------------------------------------------------------------------------------- */

#define PTE_P		(1ul << 0)
#define PTE_W		(1ul << 1)
#define PTE_U		(1ul << 2)
#define PTE_PWT		(1ul << 3)
#define PTE_PCD		(1ul << 4)
#define PTE_A		(1ul << 5)
#define PTE_D		(1ul << 6)
#define PTE_LARGE	(1ul << 7)
#define PTE_G		(1ul << 8)
#define PTE_NX		(1ul << 63)

#define PFERR_P		1
#define PFERR_W		2
#define PFERR_U		4
#define PFERR_RSVD	8
#define PFERR_FETCH	16

u64 *root_table(void);			/* of the tables in CR3 */
u64 *new_table(void);			/* a page of zeroes */
void *new_page(void);
/* The entry of an address at a level (4 … 1), making tables on the way. */
u64 *entry_at(u64 address, int level);
/* Maps one page of that level; flags beside P. */
u64 *map_at(u64 address, u64 physical, int level, u64 flags);

#endif
