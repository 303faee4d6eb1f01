// SPDX-License-Identifier: GPL-2.0
/*
 * The executor against the CPU that the test runs on: random encodings of each operation, on random
 * registers, flags and memory, are executed by both; registers, flags and memory must agree.
 */
#include <cpuid.h>
#include <stdio.h>
#include <sys/mman.h>

#include "model.h"

#define CODE_SIZE	4096
#define BUFFER_SIZE	4096	/* operands lie in its middle half */
#define FLAGS		0x8d5	/* CF PF AF ZF SF OF */
#define DF		0x400
#define ROUNDS		500	/* of each form */

/* What the stub loads before the instruction and stores after it. */
struct cpu_state {
	u64 regs[16];
	u64 rflags;
	u64 host_rsp;
	u64 taken;		/* it branched to branch_target() */
	u8 vector[16][32], mmx[8][8];
};

/* In the low 2G, so that instructions with 32-bit addresses reach it. */
static struct native {
	u8 code[CODE_SIZE];
	struct cpu_state state __attribute__((aligned(4096)));
	u8 buffer[BUFFER_SIZE] __attribute__((aligned(4096)));
} *native;

static struct model *guest;
static u64 seed = 2;

static u64 rnd(void) { return random64(&seed); }
static bool chance(unsigned int percent) { return rnd() % 100 < percent; }

/* ---- running it on the CPU ------------------------------------------------------------------- */

static u8 *emit(u8 *p, const void *bytes, size_t len)
{
	memcpy(p, bytes, len);
	return p + len;
}

#define EMIT(p, ...) emit(p, (const u8[]){ __VA_ARGS__ }, sizeof((const u8[]){ __VA_ARGS__ }))

/* opcode with ModRM that names reg and the state's field, relative to RIP */
static u8 *emit_state(u8 *p, unsigned int rex, u8 opcode, unsigned int reg, const void *field)
{
	s32 disp;

	if (rex || reg & 8)
		p = EMIT(p, rex | (reg & 8 ? 4 : 0));
	p = EMIT(p, opcode, (reg & 7) << 3 | 5);
	disp = (const u8 *)field - (p + 4);
	return emit(p, &disp, 4);
}

/* Loads or stores vector registers: opcode 6F or 7F. */
static u8 *emit_vectors(u8 *p, u8 opcode)
{
	struct cpu_state *s = &native->state;
	int i;

	for (i = 0; i < 16; i++) {	/* vmovdqu */
		p = EMIT(p, 0xc5, i & 8 ? 0x7e : 0xfe);
		p = emit_state(p, 0, opcode, i & 7, s->vector[i]);
	}
	for (i = 0; i < 8; i++) {
		p = EMIT(p, 0x0f);
		p = emit_state(p, 0, opcode, i, s->mmx[i]);
	}
	if (opcode == 0x7f)	/* vzeroupper, emms */
		p = EMIT(p, 0xc5, 0xf8, 0x77, 0x0f, 0x77);
	return p;
}

static bool with_vectors;

/* The stub up to the instruction. */
static u8 *emit_entry(u8 *p)
{
	struct cpu_state *s = &native->state;
	int i;

	if (with_vectors)
		p = emit_vectors(p, 0x6f);
	p = EMIT(p, 0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57);
	p = emit_state(p, 0x48, 0x89, EMU_RSP, &s->host_rsp);
	p = emit_state(p, 0, 0xff, 6, &s->rflags);		/* push */
	p = EMIT(p, 0x9d);					/* popf */
	for (i = 0; i < 16; i++)
		p = emit_state(p, 0x48, 0x8b, i, &s->regs[i]);
	return p;
}

/* Behind it; and where its branch leads to, which notes that. */
static u8 *emit_exit(u8 *p, bool taken)
{
	struct cpu_state *s = &native->state;
	s32 disp;
	int i;

	if (taken) {		/* movb $1 */
		p = EMIT(p, 0xc6, 0x05);
		disp = (u8 *)&s->taken - (p + 5);
		p = emit(p, &disp, 4);
		p = EMIT(p, 1);
	}
	for (i = 0; i < 16; i++)
		p = emit_state(p, 0x48, 0x89, i, &s->regs[i]);
	p = emit_state(p, 0x48, 0x8b, EMU_RSP, &s->host_rsp);
	p = EMIT(p, 0x9c);					/* pushf */
	p = emit_state(p, 0, 0x8f, 0, &s->rflags);		/* pop */
	if (with_vectors)
		p = emit_vectors(p, 0x7f);
	return EMIT(p, 0x6a, 0x02, 0x9d,			/* push $2; popf */
		    0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b, 0xc3);
}

#define EXIT	1024	/* where in the code the two exits are */
#define TAKEN	2048

static u8 *insn_address(void)
{
	static bool vectors;
	static u8 *address;

	if (!address || vectors != with_vectors) {
		vectors = with_vectors;
		address = emit_entry(native->code);
		emit_exit(native->code + EXIT, false);
		emit_exit(native->code + TAKEN, true);
	}
	return address;
}

static u8 *emit_jump(u8 *p, unsigned int to)
{
	s32 disp = native->code + to - (p + 5);

	return emit(EMIT(p, 0xe9), &disp, 4);
}

#define JUMP	5	/* its length, so that it is what a short branch passes over */

static u64 branch_target(unsigned int len)
{
	return (u64)(uintptr_t)insn_address() + len + JUMP;
}

static void run_native(const u8 *insn, unsigned int len)
{
	native->state.taken = 0;
	emit_jump(emit_jump(emit(insn_address(), insn, len), EXIT), TAKEN);
	((void (*)(void))native->code)();
}

/* ---- instructions ---------------------------------------------------------------------------- */

enum {
	NEED_MEM = 1,	/* no register form */
	LOCKABLE = 2,
	NO_AF = 4,	/* leaves AF undefined */
	ONLY_CF = 8,	/* ... all but CF */
	BIT_STRING = 16,/* its register operand is a bit offset */
	NO_16 = 32,	/* undefined with 16-bit operands */
	SHIFT = 64,	/* flags depend on the count */
	CF_OF = 128,	/* leaves all undefined but these two */
	NO_FLAGS = 256,	/* ... all */
	ONLY_ZF = 512,
	DIVIDES = 1024,	/* may raise #DE */
	STACK = 2048,	/* uses it */
	ALIGN16 = 4096,
	CF_ZF = 8192,
	ANY_FLAGS = 16384,	/* sets all that programs may, from the stack */
	COUNT_16 = 32768,	/* undefined by a count above the operand's size */
};

struct form {
	const char *name;
	u8 map[3];		/* the bytes before the opcode: a prefix, 0F, 38 */
	u8 opcode;
	s8 reg;			/* ModRM.reg, -1: any; -2: no ModRM; -3: 5 to 7, and a register */
	s8 imm;			/* bytes; -1: by operand size up to 4; -2: up to 8 */
	u16 flags;
	u8 span;		/* so many opcodes, one for each register; 0: one */
};

#define ALU_FORMS(name, base, n, f)					\
	{ name " Eb,Gb", {}, (base) + 0, -1, 0, (f) },			\
	{ name " Ev,Gv", {}, (base) + 1, -1, 0, (f) },			\
	{ name " Gb,Eb", {}, (base) + 2, -1, 0, (f) & ~LOCKABLE },	\
	{ name " Gv,Ev", {}, (base) + 3, -1, 0, (f) & ~LOCKABLE },	\
	{ name " AL,Ib", {}, (base) + 4, -2, 1, (f) & ~LOCKABLE },	\
	{ name " rAX,Iz", {}, (base) + 5, -2, -1, (f) & ~LOCKABLE },	\
	{ name " Eb,Ib", {}, 0x80, n, 1, (f) },				\
	{ name " Ev,Iz", {}, 0x81, n, -1, (f) },			\
	{ name " Ev,Ib", {}, 0x83, n, 1, (f) }

#define BIT_FORMS(name, op, n, f)					\
	{ name " Ev,Gv", { 0x0f }, op, -1, 0, BIT_STRING | ONLY_CF | (f) },	\
	{ name " Ev,Ib", { 0x0f }, 0xba, n, 1, ONLY_CF | (f) }

#define SHIFT_FORMS(name, n)						\
	{ name " Eb,Ib", {}, 0xc0, n, 1, SHIFT },			\
	{ name " Ev,Ib", {}, 0xc1, n, 1, SHIFT },			\
	{ name " Eb,1", {}, 0xd0, n, 0, SHIFT },			\
	{ name " Ev,1", {}, 0xd1, n, 0, SHIFT },			\
	{ name " Eb,CL", {}, 0xd2, n, 0, SHIFT },			\
	{ name " Ev,CL", {}, 0xd3, n, 0, SHIFT }

#define NOP_FORMS(name, op)						\
	{ name " /0", { 0x0f }, op, 0, 0, 0 }, { name " /1", { 0x0f }, op, 1, 0, 0 },	\
	{ name " /2", { 0x0f }, op, 2, 0, 0 }, { name " /3", { 0x0f }, op, 3, 0, 0 },	\
	{ name " /4", { 0x0f }, op, 4, 0, 0 }, { name " /7", { 0x0f }, op, 7, 0, 0 }

static const struct form forms[] = {
	ALU_FORMS("add", 0x00, 0, LOCKABLE),
	ALU_FORMS("or", 0x08, 1, LOCKABLE | NO_AF),
	ALU_FORMS("adc", 0x10, 2, LOCKABLE),
	ALU_FORMS("sbb", 0x18, 3, LOCKABLE),
	ALU_FORMS("and", 0x20, 4, LOCKABLE | NO_AF),
	ALU_FORMS("sub", 0x28, 5, LOCKABLE),
	ALU_FORMS("xor", 0x30, 6, LOCKABLE | NO_AF),
	ALU_FORMS("cmp", 0x38, 7, 0),
	{ "test Eb,Gb", {}, 0x84, -1, 0, NO_AF },
	{ "test Ev,Gv", {}, 0x85, -1, 0, NO_AF },
	{ "test AL,Ib", {}, 0xa8, -2, 1, NO_AF },
	{ "test rAX,Iz", {}, 0xa9, -2, -1, NO_AF },
	{ "test Eb,Ib", {}, 0xf6, 0, 1, NO_AF },
	{ "test Ev,Iz", {}, 0xf7, 0, -1, NO_AF },
	{ "test Eb,Ib, its alias", {}, 0xf6, 1, 1, NO_AF },
	{ "test Ev,Iz, its alias", {}, 0xf7, 1, -1, NO_AF },
	{ "not Eb", {}, 0xf6, 2, 0, LOCKABLE },
	{ "not Ev", {}, 0xf7, 2, 0, LOCKABLE },
	{ "neg Eb", {}, 0xf6, 3, 0, LOCKABLE },
	{ "neg Ev", {}, 0xf7, 3, 0, LOCKABLE },
	{ "inc Eb", {}, 0xfe, 0, 0, LOCKABLE },
	{ "inc Ev", {}, 0xff, 0, 0, LOCKABLE },
	{ "dec Eb", {}, 0xfe, 1, 0, LOCKABLE },
	{ "dec Ev", {}, 0xff, 1, 0, LOCKABLE },
	{ "mov Eb,Gb", {}, 0x88, -1, 0, 0 },
	{ "mov Ev,Gv", {}, 0x89, -1, 0, 0 },
	{ "mov Gb,Eb", {}, 0x8a, -1, 0, 0 },
	{ "mov Gv,Ev", {}, 0x8b, -1, 0, 0 },
	{ "mov Eb,Ib", {}, 0xc6, 0, 1, 0 },
	{ "mov Ev,Iz", {}, 0xc7, 0, -1, 0 },
	{ "mov r8,Ib", {}, 0xb0, -2, 1, 0, 8 },
	{ "mov r,Iv", {}, 0xb8, -2, -2, 0, 8 },
	{ "movsxd", {}, 0x63, -1, 0, 0 },
	{ "movzx Gv,Eb", { 0x0f }, 0xb6, -1, 0, 0 },
	{ "movzx Gv,Ew", { 0x0f }, 0xb7, -1, 0, 0 },
	{ "movsx Gv,Eb", { 0x0f }, 0xbe, -1, 0, 0 },
	{ "movsx Gv,Ew", { 0x0f }, 0xbf, -1, 0, 0 },
	{ "movbe load", { 0x0f, 0x38 }, 0xf0, -1, 0, NEED_MEM },
	{ "movbe store", { 0x0f, 0x38 }, 0xf1, -1, 0, NEED_MEM },
	{ "movnti", { 0x0f }, 0xc3, -1, 0, NEED_MEM | NO_16 },
	{ "lea", {}, 0x8d, -1, 0, NEED_MEM },
	{ "xchg Eb,Gb", {}, 0x86, -1, 0, LOCKABLE },
	{ "xchg Ev,Gv", {}, 0x87, -1, 0, LOCKABLE },
	{ "nop, xchg r,rAX", {}, 0x90, -2, 0, 0, 8 },
	{ "pause", { 0xf3 }, 0x90, -2, 0, 0 },
	{ "xadd Eb,Gb", { 0x0f }, 0xc0, -1, 0, LOCKABLE },
	{ "xadd Ev,Gv", { 0x0f }, 0xc1, -1, 0, LOCKABLE },
	{ "cmpxchg Eb,Gb", { 0x0f }, 0xb0, -1, 0, LOCKABLE },
	{ "cmpxchg Ev,Gv", { 0x0f }, 0xb1, -1, 0, LOCKABLE },
	{ "bswap", { 0x0f }, 0xc8, -2, 0, 0, 8 },
	SHIFT_FORMS("rol", 0), SHIFT_FORMS("ror", 1), SHIFT_FORMS("rcl", 2), SHIFT_FORMS("rcr", 3),
	SHIFT_FORMS("shl", 4), SHIFT_FORMS("shr", 5), SHIFT_FORMS("sal", 6), SHIFT_FORMS("sar", 7),
	{ "shld Ev,Gv,Ib", { 0x0f }, 0xa4, -1, 1, SHIFT | COUNT_16 },
	{ "shld Ev,Gv,CL", { 0x0f }, 0xa5, -1, 0, SHIFT | COUNT_16 },
	{ "shrd Ev,Gv,Ib", { 0x0f }, 0xac, -1, 1, SHIFT | COUNT_16 },
	{ "shrd Ev,Gv,CL", { 0x0f }, 0xad, -1, 0, SHIFT | COUNT_16 },
	{ "mul Eb", {}, 0xf6, 4, 0, CF_OF },
	{ "mul Ev", {}, 0xf7, 4, 0, CF_OF },
	{ "imul Eb", {}, 0xf6, 5, 0, CF_OF },
	{ "imul Ev", {}, 0xf7, 5, 0, CF_OF },
	{ "imul Gv,Ev", { 0x0f }, 0xaf, -1, 0, CF_OF },
	{ "imul Gv,Ev,Iz", {}, 0x69, -1, -1, CF_OF },
	{ "imul Gv,Ev,Ib", {}, 0x6b, -1, 1, CF_OF },
	{ "div Eb", {}, 0xf6, 6, 0, NO_FLAGS | DIVIDES },
	{ "div Ev", {}, 0xf7, 6, 0, NO_FLAGS | DIVIDES },
	{ "idiv Eb", {}, 0xf6, 7, 0, NO_FLAGS | DIVIDES },
	{ "idiv Ev", {}, 0xf7, 7, 0, NO_FLAGS | DIVIDES },
	{ "bsf", { 0x0f }, 0xbc, -1, 0, ONLY_ZF },
	{ "bsr", { 0x0f }, 0xbd, -1, 0, ONLY_ZF },
	{ "popcnt", { 0xf3, 0x0f }, 0xb8, -1, 0, 0 },
	{ "tzcnt", { 0xf3, 0x0f }, 0xbc, -1, 0, CF_ZF },
	{ "lzcnt", { 0xf3, 0x0f }, 0xbd, -1, 0, CF_ZF },
	{ "adcx", { 0x66, 0x0f, 0x38 }, 0xf6, -1, 0, NO_16 },
	{ "adox", { 0xf3, 0x0f, 0x38 }, 0xf6, -1, 0, NO_16 },
	{ "crc32 Gd,Eb", { 0xf2, 0x0f, 0x38 }, 0xf0, -1, 0, 0 },
	{ "crc32 Gd,Ev", { 0xf2, 0x0f, 0x38 }, 0xf1, -1, 0, 0 },
	{ "movdiri", { 0x0f, 0x38 }, 0xf9, -1, 0, NEED_MEM | NO_16 },
	{ "cbw", {}, 0x98, -2, 0, 0 },
	{ "cwd", {}, 0x99, -2, 0, 0 },
	{ "lahf", {}, 0x9f, -2, 0, 0 },
	{ "sahf", {}, 0x9e, -2, 0, 0 },
	{ "cmc", {}, 0xf5, -2, 0, 0 },
	{ "clc", {}, 0xf8, -2, 0, 0 },
	{ "stc", {}, 0xf9, -2, 0, 0 },
	{ "cld, std", {}, 0xfc, -2, 0, 0, 2 },
	{ "cmpxchg8b", { 0x0f }, 0xc7, 1, 0, NEED_MEM | LOCKABLE | ALIGN16 },
	{ "push r", {}, 0x50, -2, 0, STACK, 8 },
	{ "pop r", {}, 0x58, -2, 0, STACK, 8 },
	{ "push Iz", {}, 0x68, -2, -1, STACK },
	{ "push Ib", {}, 0x6a, -2, 1, STACK },
	{ "push Ev", {}, 0xff, 6, 0, STACK },
	{ "pop Ev", {}, 0x8f, 0, 0, STACK },
	{ "pushf", {}, 0x9c, -2, 0, STACK },
	{ "popf", {}, 0x9d, -2, 0, STACK | ANY_FLAGS },
	NOP_FORMS("prefetchw", 0x0d), NOP_FORMS("prefetch", 0x18), NOP_FORMS("cldemote", 0x1c),
	{ "nop", { 0x0f }, 0x18, -1, 0, 0, 8 },
	{ "nop with f2", { 0xf2, 0x0f }, 0x18, -1, 0, 0, 8 },
	{ "nop with f3", { 0xf3, 0x0f }, 0x18, -1, 0, 0, 8 },
	{ "rdssp", { 0xf3, 0x0f }, 0x1e, 1, 0, 0 },
	{ "endbr", { 0xf3, 0x0f }, 0x1e, 7, 0, 0 },
	{ "lfence, mfence, sfence", { 0x0f }, 0xae, -3, 0, NO_16 },
	{ "clflush", { 0x0f }, 0xae, 7, 0, NEED_MEM | NO_16 },
	BIT_FORMS("bt", 0xa3, 4, 0),
	BIT_FORMS("bts", 0xab, 5, LOCKABLE),
	BIT_FORMS("btr", 0xb3, 6, LOCKABLE),
	BIT_FORMS("btc", 0xbb, 7, LOCKABLE),
};

/* Edge values more often than chance would bring them. */
static u64 operand(void)
{
	static const u64 edges[] = { 0, 1, -1, 0x7f, 0x80, 0x7fff, 0x8000, 0x7fffffff, 0x80000000,
				     0x7fffffffffffffff, 0x8000000000000000 };

	return chance(30) ? edges[rnd() % (sizeof(edges) / sizeof(*edges))] : rnd();
}

static void random_state(void)
{
	unsigned int i;

	for (i = 0; i < 16; i++)
		guest->regs[i] = operand();
	guest->e.rflags = (rnd() & FLAGS) | 0x202;
	for (i = 0; i < BUFFER_SIZE; i += 8)
		*(u64 *)&native->buffer[i] = operand();
	model_put(guest, (u64)(uintptr_t)native->buffer, native->buffer, BUFFER_SIZE);
}

/*
 * Which of an instruction's forms comes about isn't left to chance: this counts through the
 * operands' sizes, a register, memory and memory with LOCK, and a form's opcodes.
 */
static unsigned int turn;

enum { TURN_DEFAULT, TURN_16, TURN_64 };

static unsigned int turn_size(void) { return turn % 3; }
static bool turn_register(void) { return turn / 3 % 3 == 0; }
static bool turn_lock(void) { return turn / 3 % 3 == 1; }
static unsigned int turn_opcode(const struct form *f) { return f->span ? turn / 9 % f->span : 0; }

struct encoding {
	u8 bytes[32];
	unsigned int len, disp_at;	/* disp_at: of 4 bytes; 0 = none */
	int base, index, reg;		/* -1: none */
	bool memory;
	bool size16;
};

static void put(struct encoding *c, u64 value, unsigned int n)
{
	memcpy(&c->bytes[c->len], &value, n);
	c->len += n;
}

static void put_sib(struct encoding *c, unsigned int mod, unsigned int rex)
{
	unsigned int sib = rnd() & 0xff, index = (sib >> 3 & 7) | (rex & 2) << 2;

	put(c, sib, 1);
	c->index = index == 4 ? -1 : (int)index;
	if ((sib & 7) == 5 && mod == 0) {
		c->disp_at = c->len;
		put(c, rnd(), 4);
	} else {
		c->base = (sib & 7) | (rex & 1) << 3;
	}
}

static void put_modrm(struct encoding *c, const struct form *f, unsigned int rex)
{
	unsigned int mod = rnd() % 3, rm = rnd() & 7;
	unsigned int reg = f->reg >= 0 ? (unsigned int)f->reg : rnd() & 7;

	if (turn_register() && !(f->flags & NEED_MEM))
		mod = 3;
	if (f->reg == -3) {
		mod = 3;
		reg = 5 + rnd() % 3;
	}
	put(c, mod << 6 | reg << 3 | rm, 1);
	c->reg = reg | (rex & 4) << 1;
	if (mod == 3)
		return;
	c->memory = true;
	if (rm == 4) {
		put_sib(c, mod, rex);
	} else if (rm == 5 && mod == 0) {
		c->disp_at = c->len;
		put(c, rnd(), 4);
	} else {
		c->base = rm | (rex & 1) << 3;
	}
	if (mod == 1)
		put(c, rnd(), 1);
	if (mod == 2)
		put(c, (s64)(s32)rnd() >> 8, 4);
}

/* Prefixes, opcode, operands. */
static void encode(struct encoding *c, const struct form *f)
{
	unsigned int rex = turn_size() == TURN_64 ? 0x48 | (rnd() & 7) :
			   chance(50) ? 0x40 | (rnd() & 7) : 0;
	bool opsize = turn_size() == TURN_DEFAULT ? false : turn_size() == TURN_16 || chance(20);
	bool prefixed = f->map[0] && f->map[0] != 0x0f;
	int n;

	opsize = opsize && !(f->flags & NO_16);
	*c = (struct encoding){ .base = -1, .index = -1, .reg = -1,
				.size16 = opsize && !(rex & 8) };
	if (chance(15))
		put(c, 0x67, 1);
	if (opsize)
		put(c, 0x66, 1);
	if (prefixed)
		put(c, f->map[0], 1);
	if (rex)
		put(c, rex, 1);
	for (n = prefixed; n < 3 && f->map[n]; n++)
		put(c, f->map[n], 1);
	put(c, f->opcode + turn_opcode(f), 1);
	if (f->reg != -2)
		put_modrm(c, f, rex);
	n = f->imm;
	if (n == -2 && rex & 8)
		n = 8;
	else if (n < 0)
		n = c->size16 ? 2 : 4;
	put(c, operand(), n);
}

static void put_prefix(struct encoding *c, u8 prefix)
{
	memmove(c->bytes + 1, c->bytes, c->len++);
	c->bytes[0] = prefix;
	if (c->disp_at)
		c->disp_at++;
}

static void set_code(const struct encoding *c)
{
	guest->e.rip = (u64)(uintptr_t)insn_address();
	model_put(guest, guest->e.rip, c->bytes, EMU_INSN_MAX);
}

/* Makes the operand lie in the buffer, by changing a register or the displacement. */
static bool aim(struct encoding *c, unsigned int align)
{
	u64 target = (u64)(uintptr_t)native->buffer + BUFFER_SIZE / 4 + rnd() % (BUFFER_SIZE / 2);
	u32 disp;

	if (c->base < 0 && c->index >= 0)
		guest->regs[c->index] = rnd() & 15;
	set_code(c);
	assert_int_equal(emu_decode(&guest->e), EMU_OK);
	target = (target & ~(u64)(align - 1)) - guest->e.insn.ea;
	if (c->base >= 0 && c->base != c->index) {
		guest->regs[c->base] += target;
	} else if (c->base < 0 && c->disp_at) {
		memcpy(&disp, c->bytes + c->disp_at, 4);
		disp += target;
		memcpy(c->bytes + c->disp_at, &disp, 4);
	} else {
		return false;
	}
	set_code(c);
	assert_int_equal(emu_decode(&guest->e), EMU_OK);
	return guest->e.insn.ea - (u64)(uintptr_t)native->buffer < BUFFER_SIZE;
}

static void put_stack(u64 value)
{
	memcpy(native->buffer + (guest->regs[EMU_RSP] - (u64)(uintptr_t)native->buffer), &value, 8);
	model_put(guest, guest->regs[EMU_RSP], &value, 8);
}

/* An instruction of this form, with a state in which it doesn't fault. */
static void choose(struct encoding *c, const struct form *f)
{
	for (;;) {
		random_state();
		if (f->flags & STACK)
			guest->regs[EMU_RSP] = (u64)(uintptr_t)native->buffer + 1024 + rnd() % 1024;
		if (f->flags & DIVIDES && chance(60)) {		/* so that it can */
			guest->regs[EMU_RAX] = rnd() & 0x7f;
			guest->regs[EMU_RDX] = 0;
		}
		encode(c, f);
		if (f->flags & ANY_FLAGS)	/* no trap, no virtual interrupts */
			put_stack(rnd() & 0x244ed5);
		if (f->flags & STACK && c->memory && (c->base == EMU_RSP || c->index == EMU_RSP))
			continue;
		if (chance(5))
			put_prefix(c, 0x3e);	/* which does nothing */
		if (c->memory && f->flags & LOCKABLE && turn_lock())
			put_prefix(c, 0xf0);
		if (c->len > EMU_INSN_MAX)
			continue;
		if (f->flags & STACK && !c->memory && f->reg >= 0 &&
		    (c->bytes[c->len - 1] & 7) == EMU_RSP)
			continue;
		if (!c->memory) {
			set_code(c);
			return;
		}
		if (f->flags & BIT_STRING) {
			if (c->reg == c->base || c->reg == c->index)
				continue;
			guest->regs[c->reg] = (s64)(rnd() % 4096) - 2048;
		}
		if (aim(c, f->flags & ALIGN16 ? 16 : 1))
			return;
	}
}

/* By the definition of division: quotient too large for the register, or no divisor. */
static bool division_fails(const struct form *f)
{
	unsigned int size = guest->e.insn.op_size, bits = 8 * size;
	const struct insn *insn = &guest->e.insn;
	unsigned int rm = (insn->modrm & 7) | (insn->rex & 1) << 3;
	unsigned __int128 n;
	__int128 signed_n, q;
	s64 signed_by;
	u64 by, high;

	if (insn->mem)
		by = model_get(guest, insn->ea, size);
	else if (size == 1 && !insn->rex && rm >= 4)
		by = guest->regs[rm - 4] >> 8 & 0xff;
	else
		by = emu_mask(guest->regs[rm], size);
	high = size == 1 ? guest->regs[EMU_RAX] >> 8 & 0xff : emu_mask(guest->regs[EMU_RDX], size);
	n = (unsigned __int128)high << bits | emu_mask(guest->regs[EMU_RAX], size);
	if (!by)
		return true;
	if (f->reg == 6)
		return n / by >> bits;
	signed_n = (__int128)(n << (128 - 2 * bits)) >> (128 - 2 * bits);
	signed_by = (s64)(by << (64 - bits)) >> (64 - bits);
	if (signed_by == -1 && signed_n == -signed_n)	/* 0, or the least there is */
		return signed_n;
	q = signed_n / signed_by;
	return q != (s64)((u64)q << (64 - bits)) >> (64 - bits);
}

static unsigned int shift_count(void)
{
	const struct insn *insn = &guest->e.insn;
	unsigned int n = insn->imm_kind ? (u8)insn->imm :
			 insn->src.type == T_VALUE ? 1 : guest->regs[EMU_RCX];

	return n & (insn->op_size == 8 ? 63 : 31);
}

/* Which flags the instruction defines. */
static u64 defined_flags(const struct form *f)
{
	const struct insn *insn = &guest->e.insn;
	unsigned int size = insn->op_size, n;

	if (f->flags & NO_FLAGS)
		return 0;
	if (f->flags & ANY_FLAGS)
		return size == 2 ? 0x4cd5 : 0x244cd5;
	if (f->flags & (ONLY_CF | CF_ZF))
		return 0x41;
	if (f->flags & ONLY_ZF)
		return 0x40;
	if (f->flags & CF_OF)
		return 0x801;
	if (f->flags & SHIFT) {
		n = shift_count();
		if (!n)
			return FLAGS;
		if (f->reg >= 0 && f->reg < 4)	/* rotates leave the others alone */
			return n == 1 ? FLAGS : FLAGS & ~0x800;
		return FLAGS & ~(0x10 | (n == 1 ? 0 : 0x800) | (n >= 8 * size ? 1 : 0));
	}
	return f->flags & NO_AF ? FLAGS & ~0x10 : FLAGS;
}

/* ---- comparing ------------------------------------------------------------------------------- */

static void explain(const char *name, const struct encoding *c, const struct cpu_state *before)
{
	unsigned int i;

	printf("%s:", name);
	for (i = 0; i < c->len; i++)
		printf(" %02x", c->bytes[i]);
	printf("\n\tbefore\t\t\tCPU\t\t\temulator\n");
	for (i = 0; i < 16; i++)
		printf("r%-2u\t%016llx\t%016llx\t%016llx\n", i, before->regs[i],
		       native->state.regs[i], guest->regs[i]);
	printf("flags\t%016llx\t%016llx\t%016llx\n", before->rflags, native->state.rflags,
	       guest->e.rflags);
	fail();
}

static void compare(const char *name, const struct encoding *c, u64 flags)
{
	struct cpu_state *s = &native->state, before;

	memcpy(s->regs, guest->regs, sizeof(s->regs));
	memcpy(s->vector, guest->vector, sizeof(s->vector));
	memcpy(s->mmx, guest->mmx, sizeof(s->mmx));
	s->rflags = guest->e.rflags;
	before = *s;
	run_native(c->bytes, c->len);

	assert_int_equal(model_run(guest), EMU_OK);
	if (memcmp(s->regs, guest->regs, sizeof(s->regs)) ||
	    (s->rflags ^ guest->e.rflags) & (flags | DF) ||
	    memcmp(native->buffer, model_at(guest, (u64)(uintptr_t)native->buffer), BUFFER_SIZE))
		explain(name, c, &before);
	assert_int_equal(guest->e.rip, s->taken ? branch_target(c->len) :
					  (u64)(uintptr_t)insn_address() + c->len);
	if (with_vectors && (memcmp(s->vector, guest->vector, sizeof(s->vector)) ||
			     memcmp(s->mmx, guest->mmx, sizeof(s->mmx))))
		explain(name, c, &before);
}

/* What has come with later CPUs; others take all the rest for something, if not for this. */
static bool cpu_lacks(const struct form *f)
{
	unsigned int a, b = 0, c = 0, d;

	if (f->map[1] != 0x38 && f->map[2] != 0x38)
		return false;
	__get_cpuid_count(7, 0, &a, &b, &c, &d);
	if (f->opcode == 0xf6)
		return !(b & 1 << 19);		/* ADX */
	if (f->opcode == 0xf9)
		return !(c & 1 << 27);		/* MOVDIRI */
	return f->map[0] == 0xf2 ? !__builtin_cpu_supports("sse4.2") :
				   !__builtin_cpu_supports("movbe");
}

static void test_forms(void **state)
{
	struct encoding c;
	unsigned int i, n;

	for (i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
		const struct form *f = &forms[i];

		if (cpu_lacks(f))
			continue;
		for (n = 0; n < (f->span ? 4 * ROUNDS : ROUNDS); n++) {
			turn = n;
			choose(&c, f);
			assert_int_equal(emu_decode(&guest->e), EMU_OK);
			if (f->flags & COUNT_16 && shift_count() > 8 * guest->e.insn.op_size)
				continue;
			if (f->flags & DIVIDES && division_fails(f)) {
				assert_int_equal(model_run(guest), EMU_FAULT);
				assert_int_equal(guest->e.fault.vector, X86_DE);
				continue;
			}
			compare(f->name, &c, defined_flags(f));
		}
	}
}

/* So that CMPXCHG succeeds now and then. */
static void test_cmpxchg_equal(void **state)
{
	static const struct form form = { "cmpxchg", { 0x0f }, 0xb1, -1, 0, NEED_MEM | LOCKABLE };
	struct encoding c;

	for (turn = 0; turn < ROUNDS; turn++) {
		choose(&c, &form);
		if (c.base == EMU_RAX || c.index == EMU_RAX)
			continue;
		guest->regs[EMU_RAX] = model_get(guest, guest->e.insn.ea, 8);
		if (chance(50))		/* equal in the low half only */
			guest->regs[EMU_RAX] ^= 1ull << 40;
		compare(form.name, &c, FLAGS);
	}
}

static void test_conditions(void **state)
{
	struct form cmov = { "cmov", { 0x0f }, 0, -1, 0, 0 };
	struct form setcc = { "setcc", { 0x0f }, 0, 0, 0, 0 };
	struct encoding c;
	unsigned int n;

	for (n = 0; n < 4 * ROUNDS; n++) {
		turn = n / 16;
		cmov.opcode = 0x40 + n % 16;
		choose(&c, &cmov);
		compare(cmov.name, &c, FLAGS);
		setcc.opcode = 0x90 + n % 16;
		choose(&c, &setcc);
		compare(setcc.name, &c, FLAGS);
	}
}

/* An address in the instruction itself. */
static void test_moffs(void **state)
{
	struct encoding c;
	unsigned int n;
	u64 address;

	for (n = 0; n < ROUNDS; n++) {
		random_state();
		c = (struct encoding){};
		address = (u64)(uintptr_t)native->buffer + rnd() % (BUFFER_SIZE - 8);
		turn = n / 4;
		if (turn_size() == TURN_16)
			put(&c, 0x66, 1);
		if (turn_size() == TURN_64 || chance(25))
			put(&c, turn_size() == TURN_64 ? 0x48 : 0x41, 1);
		put(&c, 0xa0 + n % 4, 1);
		put(&c, address, 8);
		set_code(&c);
		compare("mov moffs", &c, FLAGS);
	}
}

/* ---- strings --------------------------------------------------------------------------------- */

static void choose_string(struct encoding *c, u8 opcode)
{
	static const u8 reps[] = { 0, 0xf2, 0xf3 };
	u8 rep = reps[turn / 3 % 3];
	bool adsize = chance(20);

	random_state();
	*c = (struct encoding){};
	if (turn_size() == TURN_16 || (turn_size() == TURN_64 && chance(20)))
		put(c, 0x66, 1);
	if (adsize)
		put(c, 0x67, 1);
	if (rep)
		put(c, rep, 1);
	if (turn_size() == TURN_64)
		put(c, 0x48, 1);
	put(c, opcode, 1);
	if (chance(50))
		guest->e.rflags |= DF;
	guest->regs[EMU_RSI] = (u64)(uintptr_t)native->buffer + 1024 + rnd() % 2048;
	guest->regs[EMU_RDI] = chance(20) ? guest->regs[EMU_RSI] + rnd() % 17 - 8 :
			       (u64)(uintptr_t)native->buffer + 1024 + rnd() % 2048;
	guest->regs[EMU_RCX] = rep ? rnd() % 30 : rnd();
	if (adsize)	/* counts for nothing */
		guest->regs[EMU_RCX] |= rep && guest->regs[EMU_RCX] ? 0xabcd00000000 : 0;
	if (chance(50))	/* so that comparisons find something equal */
		memset(native->buffer, 0x11 * (rnd() & 3), BUFFER_SIZE);
	if (chance(50))
		guest->regs[EMU_RAX] = 0x1111111111111111 * (rnd() & 3);
	model_put(guest, (u64)(uintptr_t)native->buffer, native->buffer, BUFFER_SIZE);
	set_code(c);
}

static void test_strings(void **state)
{
	static const struct { u8 opcode; const char *name; } strings[] = {
		{ 0xa4, "movsb" }, { 0xa5, "movs" }, { 0xa6, "cmpsb" }, { 0xa7, "cmps" },
		{ 0xaa, "stosb" }, { 0xab, "stos" }, { 0xac, "lodsb" }, { 0xad, "lods" },
		{ 0xae, "scasb" }, { 0xaf, "scas" },
	};
	struct encoding c;
	unsigned int i;

	for (i = 0; i < sizeof(strings) / sizeof(*strings); i++) {
		for (turn = 0; turn < ROUNDS; turn++) {
			choose_string(&c, strings[i].opcode);
			compare(strings[i].name, &c, FLAGS | DF);
		}
	}
}

/* ---- branches -------------------------------------------------------------------------------- */

/* Where it leads to when it does is branch_target(). */
static void compare_branch(const char *name, struct encoding *c)
{
	set_code(c);
	compare(name, c, FLAGS);
}

static void test_relative_branches(void **state)
{
	static const u8 short_ones[] = { 0xeb, 0xe0, 0xe1, 0xe2, 0xe3 };
	struct encoding c;
	unsigned int n;

	for (n = 0; n < 8 * ROUNDS; n++) {
		random_state();
		c = (struct encoding){};
		switch (n % 4) {
		case 0:
			put(&c, 0x70 | rnd() % 16, 1);
			put(&c, JUMP, 1);
			break;
		case 1:
			put(&c, 0x0f, 1);
			put(&c, 0x80 | rnd() % 16, 1);
			put(&c, JUMP, 4);
			break;
		case 2:
			if (chance(30))
				put(&c, 0x67, 1);
			put(&c, short_ones[rnd() % sizeof(short_ones)], 1);
			put(&c, JUMP, 1);
			guest->regs[EMU_RCX] = operand() & (chance(50) ? 3 : -1);
			break;
		default:
			guest->regs[EMU_RSP] = (u64)(uintptr_t)native->buffer + 1024;
			put(&c, 0xe8 | rnd() % 2, 1);
			put(&c, JUMP, 4);
		}
		compare_branch("relative branch", &c);
	}
}

/* CALL and JMP by a register or memory, RET. */
static void test_indirect_branches(void **state)
{
	unsigned int n, reg;
	struct encoding c;
	u64 target;

	for (n = 0; n < 2 * ROUNDS; n++) {
		random_state();
		c = (struct encoding){};
		guest->regs[EMU_RSP] = (u64)(uintptr_t)native->buffer + 1024 + 8 * (rnd() % 64);
		reg = chance(80) ? rnd() % 4 : EMU_RSI;
		switch (n % 4) {
		case 0:
			put(&c, 0xff, 1);
			put(&c, (chance(50) ? 0xd0 : 0xe0) | reg, 1);
			guest->regs[reg] = branch_target(c.len);
			break;
		case 1:
			put(&c, 0xff, 1);
			put(&c, (chance(50) ? 0x10 : 0x20) | reg, 1);
			guest->regs[reg] = (u64)(uintptr_t)native->buffer + 2048;
			target = branch_target(c.len);
			memcpy(native->buffer + 2048, &target, 8);
			break;
		case 2:
			put(&c, 0xc3, 1);
			put_stack(branch_target(c.len));
			break;
		default:
			put(&c, 0xc2, 1);
			put(&c, operand(), 2);
			put_stack(branch_target(c.len));
		}
		model_put(guest, (u64)(uintptr_t)native->buffer, native->buffer, BUFFER_SIZE);
		compare_branch("indirect branch", &c);
		assert_true(native->state.taken);
	}
}

/* ---- the stack's frames, tables of bytes ----------------------------------------------------- */

static void test_enter_and_leave(void **state)
{
	struct encoding c;
	unsigned int n;

	for (n = 0; n < ROUNDS; n++) {
		random_state();
		c = (struct encoding){};
		guest->regs[EMU_RSP] = (u64)(uintptr_t)native->buffer + 2048 + rnd() % 64;
		guest->regs[EMU_RBP] = (u64)(uintptr_t)native->buffer + 2560 + rnd() % 64;
		if (chance(25))
			put(&c, 0x66, 1);
		if (n % 2) {
			put(&c, 0xc9, 1);
		} else {
			put(&c, 0xc8, 1);
			put(&c, rnd() % 512, 2);
			put(&c, chance(50) ? 0 : rnd(), 1);
		}
		set_code(&c);
		compare("enter, leave", &c, FLAGS);
	}
}

static void test_xlat(void **state)
{
	struct encoding c;
	unsigned int n;

	for (n = 0; n < ROUNDS; n++) {
		random_state();
		c = (struct encoding){};
		guest->regs[EMU_RBX] = (u64)(uintptr_t)native->buffer + rnd() % 2048;
		if (chance(25))
			put(&c, 0x67, 1);
		put(&c, 0xd7, 1);
		set_code(&c);
		compare("xlat", &c, FLAGS);
	}
}

/* ---- SSE and AVX ----------------------------------------------------------------------------- */

/* One of the opcodes that vector.c may know, with any prefix, as VEX or not. */
static void encode_vector(struct encoding *c)
{
	static const u8 opcodes[] = { 0x10, 0x11, 0x12, 0x13, 0x16, 0x17, 0x28, 0x29, 0x2a, 0x2b,
				      0x6e, 0x6f, 0x7e, 0x7f, 0xd6, 0xe7, 0xf0 };
	static const u8 prefixes[] = { 0, 0x66, 0xf3, 0xf2 };
	static const struct form form = { .reg = -1, .flags = NEED_MEM };
	unsigned int pp = rnd() % 4, rex = rnd() & 15;
	u8 opcode = opcodes[rnd() % sizeof(opcodes)];
	bool map2 = opcode == 0x2a;

	*c = (struct encoding){ .base = -1, .index = -1, .reg = -1 };
	if (chance(60)) {
		put(c, 0xc4, 1);
		put(c, (~rex & 7) << 5 | (map2 ? 2 : 1), 1);
		put(c, (rex & 8) << 4 | 0x78 | (rnd() & 4) | pp, 1);
	} else {
		if (pp)
			put(c, prefixes[pp], 1);
		put(c, 0x40 | rex, 1);
		put(c, 0x0f, 1);
		if (map2)
			put(c, 0x38, 1);
	}
	put(c, opcode, 1);
	put_modrm(c, &form, rex);
}

static void random_vectors(void)
{
	unsigned int i;

	for (i = 0; i < sizeof(guest->vector); i += 8)
		*(u64 *)&guest->vector[i / 32][i % 32] = rnd();
	for (i = 0; i < 8; i++)
		*(u64 *)guest->mmx[i] = rnd();
}

/* BMI1 and BMI2: VEX, on general registers. */
static void test_bits(void **state)
{
	static const struct { u8 map, opcode, pp; s8 reg; u64 flags; } insns[] = {
		{ 2, 0xf2, 0, -1, 0x8c1 }, { 2, 0xf3, 0, 1, 0x8c1 }, { 2, 0xf3, 0, 2, 0x8c1 },
		{ 2, 0xf3, 0, 3, 0x8c1 }, { 2, 0xf5, 0, -1, 0x8c1 }, { 2, 0xf5, 2, -1, FLAGS },
		{ 2, 0xf5, 3, -1, FLAGS }, { 2, 0xf6, 3, -1, FLAGS }, { 2, 0xf7, 0, -1, 0x841 },
		{ 2, 0xf7, 1, -1, FLAGS }, { 2, 0xf7, 2, -1, FLAGS }, { 2, 0xf7, 3, -1, FLAGS },
		{ 3, 0xf0, 3, -1, FLAGS },
	};
	unsigned int n, i, rex, vvvv;
	struct encoding c;

	if (!__builtin_cpu_supports("bmi") || !__builtin_cpu_supports("bmi2"))
		skip();
	for (n = 0; n < ARRAY_SIZE(insns) * ROUNDS; n++) {
		struct form form = { .reg = insns[i = n % ARRAY_SIZE(insns)].reg };

		turn = n / ARRAY_SIZE(insns);
		random_state();
		rex = (rnd() & 7) | (turn_size() == TURN_64 ? 8 : 0);
		vvvv = insns[i].map == 3 ? 0 : rnd() & 15;
		c = (struct encoding){ .base = -1, .index = -1, .reg = -1 };
		put(&c, 0xc4, 1);
		put(&c, (~rex & 7) << 5 | insns[i].map, 1);
		put(&c, (rex & 8) << 4 | (~vvvv & 15) << 3 | insns[i].pp, 1);
		put(&c, insns[i].opcode, 1);
		if (chance(50))		/* counts and fields that matter */
			guest->regs[vvvv] = rnd() & 0x3f3f;
		put_modrm(&c, &form, rex);
		if (insns[i].map == 3)
			put(&c, rnd(), 1);
		set_code(&c);
		if (!c.memory || aim(&c, 1))
			compare("BMI", &c, insns[i].flags);
	}
}

/* What the emulator doesn't do is left alone: the CPU may do it, or raise #UD. */
static void test_vectors(void **state)
{
	unsigned int n, done = 0;
	struct encoding c;
	enum emu_result r;

	if (!__builtin_cpu_supports("avx2"))
		skip();
	with_vectors = true;
	guest->sys[EMU_CR4] = 1 << 9 | 1 << 18;		/* OSFXSR, OSXSAVE */
	guest->sys[EMU_XCR0] = 7;
	for (n = 0; n < 40 * ROUNDS; n++) {
		random_state();
		random_vectors();
		encode_vector(&c);
		if (!aim(&c, 32))
			continue;
		guest->e.seg_valid = 0;
		r = emu_execute(&guest->e);
		model_put(guest, (u64)(uintptr_t)native->buffer, native->buffer, BUFFER_SIZE);
		random_vectors();
		if (r == EMU_OK) {
			compare("vector move", &c, FLAGS);
			done++;
		}
	}
	with_vectors = false;
	assert_true(done > 4 * ROUNDS);
}

static int setup(void **state)
{
	u64 page;

	guest = model_new(EMU_LONG);
	for (page = 0; page < sizeof(*native); page += 4096)
		model_map(guest, (u64)(uintptr_t)native + page, PAGE_ALL);
	return 0;
}

static int teardown(void **state)
{
	model_free(guest);
	munmap(native, sizeof(*native));
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_cmpxchg_equal),
		cmocka_unit_test(test_conditions),
		cmocka_unit_test(test_moffs),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_relative_branches),
		cmocka_unit_test(test_indirect_branches),
		cmocka_unit_test(test_enter_and_leave),
		cmocka_unit_test(test_xlat),
		cmocka_unit_test(test_bits),
		cmocka_unit_test(test_vectors),
	};

	native = mmap(NULL, sizeof(*native), PROT_READ | PROT_WRITE | PROT_EXEC,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	if (native == MAP_FAILED) {
		puts("1..0 # SKIP no writable and executable memory below 2G");
		return 0;
	}
	return cmocka_run_group_tests(tests, setup, teardown);
}
