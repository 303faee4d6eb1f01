// SPDX-License-Identifier: GPL-2.0
/*
 * The decoder: bytes to struct insn.
 *
 * It doesn't ask at each byte whether that has been fetched. There is always more behind the last
 * one that was, of no meaning; an instruction that turns out to have gone on into it is decoded
 * again when the rest has been fetched, from the next page or not at all. Which of the bytes an
 * instruction has depends on those before, so none is taken for its own that isn't.
 *
 * The tables describe the whole one- and two-byte opcode maps, so that the length of any
 * instruction is known, and name an operation (enum emu_op) where execute.c has one. A table entry
 * that isn't written down is all zero: an instruction of the opcode byte alone that execute.c
 * doesn't do.
 *
 * SDM: "Instruction Format", and the opcode maps of its appendix.
 */
#include <linux/kernel.h>
#include <linux/string.h>

#include "emulate.h"

struct opcode {
	u8 op;			/* enum emu_op, or a group's index */
	u8 dst, src;		/* enum emu_kind */
	u8 imm;			/* enum emu_imm */
	u8 flags;		/* enum emu_opflag */
};

/* ---- tables ---------------------------------------------------------------------------------- */

#define UNDEF		{ .op = OP_UNDEFINED }
#define PREFIX		{ .op = OP_PREFIX }
#define ESCAPE(f)	{ .op = OP_ESCAPE, .flags = (f) }	/* 0F; VEX or its elder */
#define OTHER(i, f)	{ .imm = (i), .flags = (f) }	/* decoded, not executed */

#define VECTOR		{ .op = OP_VECTOR, .flags = MODRM }
#define PUSH_SEG	{ OP_PUSH_SEG, K_PS, K_NONE, 0, NO64 }
#define POP_SEG		{ OP_POP_SEG, K_NONE, K_NONE, 0, NO64 }

/* op Eb,Gb; op Ev,Gv; op Gb,Eb; op Gv,Ev; op AL,Ib; op rAX,Iz */
#define ALU(base, name)							\
	[(base) + 0] = { name, K_E, K_G, 0, MODRM | BYTE },		\
	[(base) + 1] = { name, K_E, K_G, 0, MODRM },			\
	[(base) + 2] = { name, K_G, K_E, 0, MODRM | BYTE },		\
	[(base) + 3] = { name, K_G, K_E, 0, MODRM },			\
	[(base) + 4] = { name, K_A, K_I, I_B, BYTE },			\
	[(base) + 5] = { name, K_A, K_I, I_Z, 0 }

/* Where ModRM.reg selects: in the place of an operation, and so no number of one. */
enum group { G1 = NR_EMU_OPS, G1A, G2, G3, G4, G5, G6, G8, G9, G11, G15, GROUPS_END };

static const struct opcode map_1byte[256] = {
	ALU(0x00, OP_ADD),
	[0x06] = PUSH_SEG, POP_SEG,
	ALU(0x08, OP_OR),
	[0x0e] = PUSH_SEG,
	[0x0f] = ESCAPE(0),
	ALU(0x10, OP_ADC),
	[0x16] = PUSH_SEG, POP_SEG,
	ALU(0x18, OP_SBB),
	[0x1e] = PUSH_SEG, POP_SEG,
	ALU(0x20, OP_AND),
	[0x26] = PREFIX,
	[0x27] = { OP_DAA, K_NONE, K_NONE, 0, NO64 },
	ALU(0x28, OP_SUB),
	[0x2e] = PREFIX,
	[0x2f] = { OP_DAA, K_NONE, K_NONE, 0, NO64 },
	ALU(0x30, OP_XOR),
	[0x36] = PREFIX,
	[0x37] = { OP_AAA, K_NONE, K_NONE, 0, NO64 },
	ALU(0x38, OP_CMP),
	[0x3e] = PREFIX,
	[0x3f] = { OP_AAA, K_NONE, K_NONE, 0, NO64 },

	/* REX in 64-bit code: prefixes() takes them */
	[0x40 ... 0x47] = { OP_INC, K_Z, K_NONE, 0, 0 },
	[0x48 ... 0x4f] = { OP_DEC, K_Z, K_NONE, 0, 0 },

	[0x50 ... 0x57] = { OP_PUSH, K_Z, K_NONE, 0, D64 },
	[0x58 ... 0x5f] = { OP_POP, K_Z, K_NONE, 0, D64 },
	[0x60] = { OP_PUSHA, K_NONE, K_NONE, 0, NO64 },
	[0x61] = { OP_POPA, K_NONE, K_NONE, 0, NO64 },
	[0x62] = ESCAPE(MODRM | MEM | NO64),		/* EVEX, BOUND */
	[0x63] = { OP_ODD, K_G, K_ED, 0, MODRM },	/* MOVSXD, ARPL */
	[0x64 ... 0x67] = PREFIX,
	[0x68] = { OP_PUSH, K_I, K_NONE, I_Z, D64 },
	[0x69] = { OP_IMUL3, K_G, K_E, I_Z, MODRM },
	[0x6a] = { OP_PUSH, K_I, K_NONE, I_B, D64 },
	[0x6b] = { OP_IMUL3, K_G, K_E, I_B, MODRM },
	[0x6c] = { OP_INS, K_NONE, K_NONE, 0, BYTE },
	[0x6d] = { OP_INS, K_NONE, K_NONE, 0, 0 },
	[0x6e] = { OP_OUTS, K_NONE, K_NONE, 0, BYTE },
	[0x6f] = { OP_OUTS, K_NONE, K_NONE, 0, 0 },

	[0x70 ... 0x7f] = { OP_JCC, K_NONE, K_NONE, I_B, F64 },
	[0x80] = { G1, K_E, K_I, I_B, MODRM | BYTE | GROUP },
	[0x81] = { G1, K_E, K_I, I_Z, MODRM | GROUP },
	[0x82] = { G1, K_E, K_I, I_B, MODRM | BYTE | GROUP | NO64 },
	[0x83] = { G1, K_E, K_I, I_B, MODRM | GROUP },
	[0x84] = { OP_TEST, K_E, K_G, 0, MODRM | BYTE },
	[0x85] = { OP_TEST, K_E, K_G, 0, MODRM },
	[0x86] = { OP_XCHG, K_E, K_G, 0, MODRM | BYTE },
	[0x87] = { OP_XCHG, K_E, K_G, 0, MODRM },
	[0x88] = { OP_MOV, K_E, K_G, 0, MODRM | BYTE },
	[0x89] = { OP_MOV, K_E, K_G, 0, MODRM },
	[0x8a] = { OP_MOV, K_G, K_E, 0, MODRM | BYTE },
	[0x8b] = { OP_MOV, K_G, K_E, 0, MODRM },
	[0x8c] = { OP_MOV, K_E, K_S, 0, MODRM },
	[0x8d] = { OP_LEA, K_G, K_NONE, 0, MODRM | MEM },
	[0x8e] = { OP_ODD, K_NONE, K_EW, 0, MODRM },
	[0x8f] = { G1A, K_E, K_NONE, 0, MODRM | GROUP | D64 },

	[0x90] = { OP_ODD, K_Z, K_A, 0, 0 },		/* NOP, XCHG, PAUSE */
	[0x91 ... 0x97] = { OP_XCHG, K_Z, K_A, 0, 0 },
	[0x98] = { OP_CBW, K_NONE, K_NONE, 0, 0 },
	[0x99] = { OP_CWD, K_NONE, K_NONE, 0, 0 },
	[0x9a] = { OP_CALL_FAR, K_NONE, K_NONE, I_AP, NO64 },
	[0x9b] = { OP_X87, K_NONE, K_NONE, 0, 0 },	/* FWAIT */
	[0x9c] = { OP_PUSHF, K_NONE, K_NONE, 0, D64 },
	[0x9d] = { OP_POPF, K_NONE, K_NONE, 0, D64 },
	[0x9e] = { OP_SAHF, K_NONE, K_NONE, 0, 0 },
	[0x9f] = { OP_LAHF, K_NONE, K_NONE, 0, 0 },

	[0xa0] = { OP_MOV, K_A, K_O, I_O, BYTE },
	[0xa1] = { OP_MOV, K_A, K_O, I_O, 0 },
	[0xa2] = { OP_MOV, K_O, K_A, I_O, BYTE },
	[0xa3] = { OP_MOV, K_O, K_A, I_O, 0 },
	[0xa4] = { OP_MOVS, K_NONE, K_NONE, 0, BYTE },
	[0xa5] = { OP_MOVS, K_NONE, K_NONE, 0, 0 },
	[0xa6] = { OP_CMPS, K_NONE, K_NONE, 0, BYTE },
	[0xa7] = { OP_CMPS, K_NONE, K_NONE, 0, 0 },
	[0xa8] = { OP_TEST, K_A, K_I, I_B, BYTE },
	[0xa9] = { OP_TEST, K_A, K_I, I_Z, 0 },
	[0xaa] = { OP_STOS, K_NONE, K_NONE, 0, BYTE },
	[0xab] = { OP_STOS, K_NONE, K_NONE, 0, 0 },
	[0xac] = { OP_LODS, K_NONE, K_NONE, 0, BYTE },
	[0xad] = { OP_LODS, K_NONE, K_NONE, 0, 0 },
	[0xae] = { OP_SCAS, K_NONE, K_NONE, 0, BYTE },
	[0xaf] = { OP_SCAS, K_NONE, K_NONE, 0, 0 },
	[0xb0 ... 0xb7] = { OP_MOV, K_Z, K_I, I_B, BYTE },
	[0xb8 ... 0xbf] = { OP_MOV, K_Z, K_I, I_V, 0 },

	[0xc0] = { G2, K_E, K_I, I_B, MODRM | BYTE | GROUP },
	[0xc1] = { G2, K_E, K_I, I_B, MODRM | GROUP },
	[0xc2] = { OP_RET, K_NONE, K_NONE, I_W, F64 },
	[0xc3] = { OP_RET, K_NONE, K_NONE, 0, F64 },
	[0xc4 ... 0xc5] = ESCAPE(MODRM | MEM | NO64),	/* VEX, LES, LDS */
	[0xc6] = { G11, K_E, K_I, I_B, MODRM | BYTE | GROUP },
	[0xc7] = { G11, K_E, K_I, I_Z, MODRM | GROUP },
	[0xc8] = { OP_ENTER, K_NONE, K_NONE, I_WB, D64 },
	[0xc9] = { OP_LEAVE, K_NONE, K_NONE, 0, D64 },
	[0xca] = { OP_RET_FAR, K_NONE, K_NONE, I_W, 0 },
	[0xcb] = { OP_RET_FAR, K_NONE, K_NONE, 0, 0 },
	[0xcc] = { OP_INT, K_NONE, K_NONE, 0, 0 },	/* INT3 */
	[0xcd] = { OP_INT, K_NONE, K_NONE, I_B, 0 },
	[0xce] = { OP_INTO, K_NONE, K_NONE, 0, NO64 },
	[0xcf] = { OP_IRET, K_NONE, K_NONE, 0, 0 },

	[0xd0] = { G2, K_E, K_1, 0, MODRM | BYTE | GROUP },
	[0xd1] = { G2, K_E, K_1, 0, MODRM | GROUP },
	[0xd2] = { G2, K_E, K_CL, 0, MODRM | BYTE | GROUP },
	[0xd3] = { G2, K_E, K_CL, 0, MODRM | GROUP },
	[0xd4] = { OP_AAM, K_NONE, K_NONE, I_B, NO64 },
	[0xd5] = { OP_AAD, K_NONE, K_NONE, I_B, NO64 },
	[0xd6] = { OP_SALC, K_NONE, K_NONE, 0, NO64 },
	[0xd7] = { OP_XLAT, K_NONE, K_NONE, 0, 0 },
	[0xd8 ... 0xdf] = { OP_X87, K_NONE, K_NONE, 0, MODRM },

	[0xe0 ... 0xe3] = { OP_LOOP, K_NONE, K_NONE, I_B, F64 },
	[0xe4] = { OP_IN, K_NONE, K_NONE, I_B, BYTE },
	[0xe5] = { OP_IN, K_NONE, K_NONE, I_B, 0 },
	[0xe6] = { OP_OUT, K_NONE, K_NONE, I_B, BYTE },
	[0xe7] = { OP_OUT, K_NONE, K_NONE, I_B, 0 },
	[0xe8] = { OP_CALL, K_NONE, K_NONE, I_J, F64 },
	[0xe9] = { OP_JMP, K_NONE, K_NONE, I_J, F64 },
	[0xea] = { OP_JMP_FAR, K_NONE, K_NONE, I_AP, NO64 },
	[0xeb] = { OP_JMP, K_NONE, K_NONE, I_B, F64 },
	[0xec] = { OP_IN, K_NONE, K_NONE, 0, BYTE },
	[0xed] = { OP_IN, K_NONE, K_NONE, 0, 0 },
	[0xee] = { OP_OUT, K_NONE, K_NONE, 0, BYTE },
	[0xef] = { OP_OUT, K_NONE, K_NONE, 0, 0 },

	[0xf0] = PREFIX,
	[0xf1] = { OP_INT, K_NONE, K_NONE, 0, 0 },	/* INT1 */
	[0xf2 ... 0xf3] = PREFIX,
	[0xf4] = { OP_HLT, K_NONE, K_NONE, 0, 0 },
	[0xf5] = { OP_FLAG, K_NONE, K_NONE, 0, 0 },
	[0xf6] = { G3, K_E, K_NONE, 0, MODRM | BYTE | GROUP },
	[0xf7] = { G3, K_E, K_NONE, 0, MODRM | GROUP },
	[0xf8 ... 0xf9] = { OP_FLAG, K_NONE, K_NONE, 0, 0 },
	[0xfa] = { OP_CLI, K_NONE, K_NONE, 0, 0 },
	[0xfb] = { OP_STI, K_NONE, K_NONE, 0, 0 },
	[0xfc ... 0xfd] = { OP_FLAG, K_NONE, K_NONE, 0, 0 },
	[0xfe] = { G4, K_E, K_NONE, 0, MODRM | BYTE | GROUP },
	[0xff] = { G5, K_E, K_NONE, 0, MODRM | GROUP },
};

static const struct opcode map_0f[256] = {
	[0x00] = { G6, K_EW, K_NONE, 0, MODRM | GROUP },
	[0x01] = { OP_G7, K_NONE, K_NONE, 0, MODRM },
	[0x02] = { OP_LAR, K_G, K_EW, 0, MODRM },
	[0x03] = { OP_LSL, K_G, K_EW, 0, MODRM },
	[0x04] = UNDEF,
	[0x05] = { OP_SYSCALL, K_NONE, K_NONE, 0, 0 },
	[0x06] = { OP_CLTS, K_NONE, K_NONE, 0, 0 },
	[0x07] = { OP_SYSRET, K_NONE, K_NONE, 0, 0 },
	[0x08 ... 0x09] = { OP_CACHE, K_NONE, K_NONE, 0, 0 },	/* INVD, WBINVD */
	[0x0a] = UNDEF,
	[0x0b] = UNDEF,					/* UD2 */
	[0x0c] = UNDEF,
	[0x0d] = { OP_NOP, K_NONE, K_NONE, 0, MODRM },	/* PREFETCHW */
	[0x0e] = UNDEF,
	[0x0f] = { OP_UNDEFINED, K_NONE, K_NONE, I_B, MODRM },	/* 3DNow! */
	[0x10 ... 0x13] = VECTOR,
	[0x14 ... 0x15] = OTHER(0, MODRM),
	[0x16 ... 0x17] = VECTOR,
	[0x18 ... 0x1f] = { OP_NOP, K_NONE, K_NONE, 0, MODRM },	/* PREFETCH, hint NOPs, CET */
	[0x20] = { OP_MOV_CR, K_NONE, K_NONE, 0, MODRM | REG },
	[0x21] = { OP_MOV_DR, K_NONE, K_NONE, 0, MODRM | REG },
	[0x22] = { OP_MOV_CR, K_NONE, K_NONE, 0, MODRM | REG },
	[0x23] = { OP_MOV_DR, K_NONE, K_NONE, 0, MODRM | REG },
	[0x24] = UNDEF, [0x25] = UNDEF, [0x26] = UNDEF, [0x27] = UNDEF,
	[0x28 ... 0x29] = VECTOR,
	[0x2a] = OTHER(0, MODRM),
	[0x2b] = VECTOR,
	[0x2c ... 0x2f] = OTHER(0, MODRM),
	[0x30] = { OP_WRMSR, K_NONE, K_NONE, 0, 0 },
	[0x31] = { OP_RDTSC, K_NONE, K_NONE, 0, 0 },
	[0x32] = { OP_RDMSR, K_NONE, K_NONE, 0, 0 },
	[0x33] = { OP_RDPMC, K_NONE, K_NONE, 0, 0 },
	[0x34] = { OP_SYSENTER, K_NONE, K_NONE, 0, 0 },
	[0x35] = { OP_SYSEXIT, K_NONE, K_NONE, 0, 0 },
	[0x36 ... 0x37] = UNDEF,			/* GETSEC: no guest has SMX */
	[0x39] = UNDEF,
	[0x3b ... 0x3f] = UNDEF,
	[0x40 ... 0x4f] = { OP_CMOV, K_G, K_E, 0, MODRM },
	[0x50 ... 0x6d] = OTHER(0, MODRM),
	[0x6e ... 0x6f] = VECTOR,
	[0x70 ... 0x73] = OTHER(I_B, MODRM),
	[0x74 ... 0x76] = OTHER(0, MODRM),
	[0x78 ... 0x79] = { OP_UNDEFINED, K_NONE, K_NONE, 0, MODRM },	/* VMREAD, VMWRITE */
	[0x7a ... 0x7b] = UNDEF,
	[0x7c ... 0x7d] = OTHER(0, MODRM),
	[0x7e ... 0x7f] = VECTOR,
	[0x80 ... 0x8f] = { OP_JCC, K_NONE, K_NONE, I_J, F64 },
	[0x90 ... 0x9f] = { OP_SETCC, K_E, K_NONE, 0, MODRM | BYTE },
	[0xa0] = { OP_PUSH_SEG, K_PS, K_NONE, 0, D64 },
	[0xa1] = { OP_POP_SEG, K_NONE, K_NONE, 0, D64 },
	[0xa2] = { OP_CPUID, K_NONE, K_NONE, 0, 0 },
	[0xa3] = { OP_BT, K_E, K_G, 0, MODRM },
	[0xa4] = { OP_SHLD, K_E, K_G, I_B, MODRM },
	[0xa5] = { OP_SHLD, K_E, K_G, 0, MODRM },
	[0xa6 ... 0xa7] = UNDEF,
	[0xa8] = { OP_PUSH_SEG, K_PS, K_NONE, 0, D64 },
	[0xa9] = { OP_POP_SEG, K_NONE, K_NONE, 0, D64 },
	[0xaa] = UNDEF,					/* RSM: nor SMM */
	[0xab] = { OP_BTS, K_E, K_G, 0, MODRM },
	[0xac] = { OP_SHRD, K_E, K_G, I_B, MODRM },
	[0xad] = { OP_SHRD, K_E, K_G, 0, MODRM },
	[0xae] = { G15, K_E, K_NONE, 0, MODRM | GROUP },
	[0xaf] = { OP_IMUL, K_G, K_E, 0, MODRM },
	[0xb0] = { OP_CMPXCHG, K_E, K_G, 0, MODRM | BYTE },
	[0xb1] = { OP_CMPXCHG, K_E, K_G, 0, MODRM },
	[0xb2] = { OP_LES, K_G, K_NONE, 0, MODRM | MEM },	/* LSS */
	[0xb3] = { OP_BTR, K_E, K_G, 0, MODRM },
	[0xb4 ... 0xb5] = { OP_LES, K_G, K_NONE, 0, MODRM | MEM },	/* LFS, LGS */
	[0xb6] = { OP_MOV, K_G, K_EB, 0, MODRM },	/* MOVZX: operands are zero-extended */
	[0xb7] = { OP_MOV, K_G, K_EW, 0, MODRM },
	[0xb8] = { OP_ODD, K_G, K_E, 0, MODRM },	/* POPCNT */
	[0xb9] = { OP_UNDEFINED, K_NONE, K_NONE, 0, MODRM },	/* UD1 */
	[0xba] = { G8, K_E, K_I, I_B, MODRM | GROUP },
	[0xbb] = { OP_BTC, K_E, K_G, 0, MODRM },
	[0xbc] = { OP_BSF, K_G, K_E, 0, MODRM },
	[0xbd] = { OP_BSR, K_G, K_E, 0, MODRM },
	[0xbe] = { OP_MOVSX, K_G, K_EB, 0, MODRM },
	[0xbf] = { OP_MOVSX, K_G, K_EW, 0, MODRM },
	[0xc0] = { OP_XADD, K_E, K_G, 0, MODRM | BYTE },
	[0xc1] = { OP_XADD, K_E, K_G, 0, MODRM },
	[0xc2] = OTHER(I_B, MODRM),
	[0xc3] = { OP_ODD, K_E, K_G, 0, MODRM | MEM },	/* MOVNTI */
	[0xc4 ... 0xc6] = OTHER(I_B, MODRM),
	[0xc7] = { G9, K_NONE, K_NONE, 0, MODRM | GROUP },
	[0xc8 ... 0xcf] = { OP_BSWAP, K_Z, K_NONE, 0, 0 },
	[0xd0 ... 0xd5] = OTHER(0, MODRM),
	[0xd6] = VECTOR,
	[0xd7 ... 0xe6] = OTHER(0, MODRM),
	[0xe7] = VECTOR,
	[0xe8 ... 0xef] = OTHER(0, MODRM),
	[0xf0] = VECTOR,
	[0xf1 ... 0xfe] = OTHER(0, MODRM),
	[0xff] = { OP_UNDEFINED, K_NONE, K_NONE, 0, MODRM },	/* UD0 */
};

/* 0F 38 xx: all with ModRM, without immediate. */
static const struct opcode other_0f38 = OTHER(0, MODRM);
static const struct opcode movbe[2] = {
	{ OP_MOVBE, K_G, K_E, 0, MODRM | MEM },		/* F0 */
	{ OP_MOVBE, K_E, K_G, 0, MODRM | MEM },		/* F1 */
};
static const struct opcode crc32[2] = {
	{ OP_CRC32, K_G, K_EB, 0, MODRM }, { OP_CRC32, K_G, K_E, 0, MODRM },
};
static const struct opcode bits = { OP_ODD, K_G, K_E, 0, MODRM };	/* ADX; by VEX, BMI */
static const struct opcode movdiri = { OP_ODD, K_E, K_G, 0, MODRM | MEM };
static const struct opcode undefined_0f38 = { OP_UNDEFINED, .flags = MODRM };	/* INVEPT, INVVPID */
static const struct opcode invpcid = { OP_INVPCID, K_NONE, K_NONE, 0, MODRM | MEM };

/* 0F 3A xx, and VEX map 3: all with ModRM and an immediate byte. */
static const struct opcode other_0f3a = OTHER(I_B, MODRM);

/* What ModRM.reg changes: the operation, and where given here the immediate; more flags. */
static const struct { u8 op, imm, flags; } groups[GROUPS_END - G1][8] = {
	[G1 - G1] = {
		{ OP_ADD }, { OP_OR }, { OP_ADC }, { OP_SBB },
		{ OP_AND }, { OP_SUB }, { OP_XOR }, { OP_CMP },
	},
	[G1A - G1] = { { OP_POP }, [1 ... 7] = { OP_UNDEFINED } },
	[G2 - G1] = {
		{ OP_ROL }, { OP_ROR }, { OP_RCL }, { OP_RCR },
		{ OP_SHL }, { OP_SHR }, { OP_SAL }, { OP_SAR },
	},
	[G3 - G1] = {	/* I_V stands for I_B or I_Z, by operand size */
		{ OP_TEST, I_V }, { OP_TEST, I_V }, { OP_NOT }, { OP_NEG },
		{ OP_MUL }, { OP_IMUL1 }, { OP_DIV }, { OP_IDIV },
	},
	[G4 - G1] = { { OP_INC }, { OP_DEC }, [2 ... 7] = { OP_UNDEFINED } },
	[G5 - G1] = {
		{ OP_INC }, { OP_DEC }, { OP_CALL_E, 0, F64 }, { OP_CALL_FAR, 0, MEM },
		{ OP_JMP_E, 0, F64 }, { OP_JMP_FAR, 0, MEM }, { OP_PUSH, 0, D64 }, { OP_UNDEFINED },
	},
	[G6 - G1] = {
		{ OP_SLDT }, { OP_STR }, { OP_LLDT }, { OP_LTR }, { OP_VERR }, { OP_VERW },
		[6 ... 7] = { OP_UNDEFINED },
	},
	[G8 - G1] = {
		[0 ... 3] = { OP_UNDEFINED },
		[4] = { OP_BT }, { OP_BTS }, { OP_BTR }, { OP_BTC },
	},
	[G9 - G1] = { [1] = { OP_CMPXCHG8B, 0, MEM }, [6 ... 7] = { OP_ODD } },
	[G11 - G1] = { { OP_MOV }, [1 ... 6] = { OP_UNDEFINED }, [7] = { OP_OTHER } },
	[G15 - G1] = { { OP_ODD }, { OP_ODD }, { OP_ODD }, { OP_ODD }, [5 ... 7] = { OP_ODD } },
};

/* ---- bytes ----------------------------------------------------------------------------------- */

/*
 * Fetches what there is, after what has been, up to the end of the page or of the segment. OK: at
 * least one byte.
 */
static inline enum emu_result fetch(struct emu *e, unsigned int avail)
{
	unsigned int len = EMU_INSN_MAX - avail, in_page;
	u64 at = e->rip + avail;
	enum emu_result r;

	if (!len)
		return emu_gp(e);
	if (e->mode == EMU_LONG) {
		if (!emu_canonical(at))
			return emu_gp(e);
	} else {
		const struct minivmm_segment *cs = emu_segment(e, EMU_CS);

		at = (u32)at;
		if (at > cs->limit)
			return emu_gp(e);
		if (cs->limit - (u32)at < len)
			len = cs->limit - (u32)at + 1;
		at = (u32)(cs->base + at);
	}
	in_page = EMU_PAGE - (at & (EMU_PAGE - 1));
	if (len > in_page)
		len = in_page;
	r = emu_host_fetch(e, at, e->insn.bytes + avail, len);
	if (r == EMU_OK)
		e->insn.avail = avail + len;
	return r;
}

static inline u8 next_byte(struct insn *insn)
{
	return insn->bytes[insn->len++];
}

/* A little-endian number of size bytes, at most 8, sign-extended. */
static inline u64 next_number(struct insn *insn, unsigned int size)
{
	unsigned int shift = 64 - 8 * size;
	s64 value;

	memcpy(&value, insn->bytes + insn->len, sizeof(value));
	insn->len += size;
	return (u64)((s64)((u64)value << shift) >> shift);
}

/* ---- prefixes -------------------------------------------------------------------------------- */

static void take_prefix(struct emu *e, u8 byte)
{
	struct insn *insn = &e->insn;

	switch (byte) {
	case 0x26: case 0x2e: case 0x36: case 0x3e:
		if (e->mode != EMU_LONG)	/* there ignored: an earlier FS or GS stays */
			insn->seg_override = (byte >> 3) & 3;
		break;
	case 0x64: case 0x65:
		insn->seg_override = EMU_FS + (byte & 1);
		break;
	case 0x66:
		insn->opsize = true;
		break;
	case 0x67:
		insn->adsize = true;
		break;
	case 0xf0:
		insn->lock = true;
		break;
	case 0xf2: case 0xf3:
		insn->rep = byte;
		break;
	}
}

/* Up to and with the first byte that is none. A REX counts only right before the opcode. */
static void prefixes(struct emu *e)
{
	struct insn *insn = &e->insn;
	u8 byte;

	do {
		byte = next_byte(insn);
		if (map_1byte[byte].op == OP_PREFIX) {
			take_prefix(e, byte);
			insn->rex = 0;
		} else if ((byte & 0xf0) == 0x40 && e->mode == EMU_LONG) {
			insn->rex = byte;
		} else {
			insn->opcode = byte;
			return;
		}
	} while (insn->len < insn->avail);
	insn->len++;	/* there is an opcode, and it isn't here yet */
}

/* ---- ModRM ----------------------------------------------------------------------------------- */

static u8 base_reg(const struct insn *insn, unsigned int reg)
{
	return reg | (insn->rex & 1) << 3;
}

/* Each of these sets segment and registers of an address. True: it is only a displacement. */
static bool address16(struct insn *insn)
{
	static const s8 regs[8][2] = {
		{ EMU_RBX, EMU_RSI }, { EMU_RBX, EMU_RDI }, { EMU_RBP, EMU_RSI },
		{ EMU_RBP, EMU_RDI }, { EMU_RSI, -1 }, { EMU_RDI, -1 }, { EMU_RBP, -1 },
		{ EMU_RBX, -1 },
	};
	const s8 *reg = regs[insn->modrm & 7];

	if ((insn->modrm & 0xc7) == 0x06)
		return true;
	insn->base = reg[0];
	insn->index = reg[1];
	if (reg[0] == EMU_RBP)
		insn->seg = EMU_SS;
	return false;
}

static bool sib(struct insn *insn)
{
	u8 byte = next_byte(insn);
	unsigned int index = ((byte >> 3) & 7) | (insn->rex & 2) << 2, base = byte & 7;

	if (index != EMU_RSP)	/* r12 can be an index, RSP can't */
		insn->index = index;
	insn->scale = byte >> 6;
	if (base == EMU_RBP && insn->modrm >> 6 == 0)
		return true;
	insn->base = base_reg(insn, base);
	if ((base == EMU_RSP || base == EMU_RBP) && !(insn->rex & 1))
		insn->seg = EMU_SS;
	return false;
}

static bool address32(struct emu *e)
{
	struct insn *insn = &e->insn;
	unsigned int rm = insn->modrm & 7;

	if (rm == EMU_RSP)
		return sib(insn);
	if (rm == EMU_RBP && insn->modrm >> 6 == 0) {
		insn->rip_relative = e->mode == EMU_LONG;
		return true;
	}
	insn->base = base_reg(insn, rm);
	if (rm == EMU_RBP && !(insn->rex & 1))
		insn->seg = EMU_SS;
	return false;
}

/* The memory operand: its segment, and what its offset is made of. */
static void memory_operand(struct emu *e)
{
	struct insn *insn = &e->insn;
	unsigned int mod = insn->modrm >> 6;
	bool disp_only;

	insn->mem = true;
	insn->seg = EMU_DS;
	disp_only = insn->ad_size == 2 ? address16(insn) : address32(e);
	if (mod == 1)
		insn->disp = next_number(insn, 1);
	else if (mod == 2 || disp_only)
		insn->disp = next_number(insn, insn->ad_size == 2 ? 2 : 4);
}

/* ---- opcode ---------------------------------------------------------------------------------- */

static void set_opcode(struct insn *insn, const struct opcode *op)
{
	insn->op = op->op;
	insn->dst.type = op->dst;
	insn->src.type = op->src;
	insn->imm_kind = op->imm;
	insn->flags = op->flags;
}

static bool is_bmi(const struct insn *insn)
{
	u8 op = insn->opcode;

	if (insn->vex == 0x62)
		return false;
	return insn->map == 3 ? op == 0xf0 :
	       insn->map == 2 && op >= 0xf2 && op <= 0xf7 && op != 0xf4;
}

/* VEX and EVEX: the payload bytes and the opcode. EVEX isn't executed: its disp8 isn't scaled. */
static void vex(struct emu *e)
{
	struct insn *insn = &e->insn;
	bool prefixed = insn->rex || insn->opsize || insn->rep || insn->lock;
	unsigned int n = insn->vex == 0xc5 ? 1 : insn->vex == 0xc4 ? 2 : 3;
	u8 payload = insn->bytes[insn->len];	/* the first byte of it */

	insn->len += n;
	insn->opcode = next_byte(insn);
	insn->map = n == 1 ? 1 : payload & (n == 2 ? 0x1f : 7);
	insn->rex = n == 1 ? (u8)~payload >> 7 << 2 : (u8)~payload >> 5;
	if (e->mode != EMU_LONG)
		insn->rex = 0;
	set_opcode(insn, insn->map == 3 ? &other_0f3a : &other_0f38);
	if (is_bmi(insn)) {
		set_opcode(insn, &bits);
		insn->imm_kind = insn->map == 3 ? I_B : 0;
	}
	if (insn->vex != 0x62) {	/* the payload's last byte: W, vvvv, L, pp */
		insn->payload = insn->bytes[insn->len - 2];
		insn->vec_prefix = insn->payload & 3;
		if (n == 2 && insn->payload & 0x80)
			insn->rex |= 8;
		if ((insn->map == 1 && map_0f[insn->opcode].op == OP_VECTOR) ||
		    (insn->map == 2 && insn->opcode == 0x2a))
			insn->op = OP_VECTOR;
	}
	if (insn->map == 1) {
		if (insn->opcode == 0x77)	/* VZEROUPPER */
			insn->flags = 0;
		if (map_0f[insn->opcode].imm == I_B)
			insn->imm_kind = I_B;
	}
	if (prefixed || !insn->map || insn->map == 4 || insn->map > 6)
		insn->op = OP_UNDEFINED;
}

/* In 64-bit code C4, C5 and 62 are always VEX, else where LES, LDS and BOUND would be undefined. */
static bool is_vex(const struct emu *e)
{
	const struct insn *insn = &e->insn;

	if (e->mode == EMU_REAL || e->mode == EMU_VM86)
		return false;
	return e->mode == EMU_LONG || insn->bytes[insn->len] >> 6 == 3;
}

static const struct opcode *map_0f38(const struct insn *insn)
{
	if ((insn->opcode & 0xfe) == 0xf0)
		return insn->rep == 0xf2 ? &crc32[insn->opcode & 1] : &movbe[insn->opcode & 1];
	if (insn->opcode == 0xf6 && (insn->rep ? insn->rep == 0xf3 : insn->opsize))
		return &bits;
	if (insn->opcode == 0xf9 && !insn->rep && !insn->opsize)
		return &movdiri;
	if (insn->opcode >= 0x80 && insn->opcode <= 0x82 && insn->opsize && !insn->rep)
		return insn->opcode == 0x82 ? &invpcid : &undefined_0f38;
	return &other_0f38;
}

static void two_byte(struct insn *insn)
{
	insn->opcode = next_byte(insn);
	insn->map = 1;
	if (insn->opcode != 0x38 && insn->opcode != 0x3a) {
		set_opcode(insn, &map_0f[insn->opcode]);
		return;
	}
	insn->map = insn->opcode == 0x38 ? 2 : 3;
	insn->opcode = next_byte(insn);
	set_opcode(insn, insn->map == 2 ? map_0f38(insn) : &other_0f3a);
	if (insn->map == 2 && insn->opcode == 0x2a)	/* MOVNTDQA */
		insn->op = OP_VECTOR;
}

/* 0F, or a byte that is VEX's in some places; where it isn't the table has said what else it is. */
static void escape(struct emu *e)
{
	struct insn *insn = &e->insn;

	if (insn->opcode == 0x0f) {
		two_byte(insn);
	} else if (is_vex(e)) {
		insn->vex = insn->opcode;
		vex(e);
	} else {	/* its elder */
		insn->op = insn->opcode == 0x62 ? OP_BOUND : OP_LES;
		insn->dst.type = K_G;
	}
}

static void resolve_group(struct insn *insn, unsigned int group)
{
	unsigned int reg = (insn->modrm >> 3) & 7;

	insn->op = groups[group - G1][reg].op;
	insn->flags |= groups[group - G1][reg].flags;
	if (groups[group - G1][reg].imm) {
		insn->src.type = K_I;
		insn->imm_kind = insn->flags & BYTE ? I_B : I_Z;
	}
}

/* What the tables can't say. */
static void resolve_odd(struct emu *e)
{
	struct insn *insn = &e->insn;

	switch (insn->opcode) {
	case 0x63:		/* in 64-bit code MOVSXD, else ARPL */
		insn->op = OP_MOVSX;
		if (e->mode != EMU_LONG) {
			insn->op = OP_ARPL;
			insn->dst.type = K_EW;
			insn->src.type = K_G;
		}
		break;
	case 0x8e:		/* CS isn't loaded so, and there are six */
		insn->op = OP_MOV_SEG;
		if ((insn->modrm & 0x38) == 8 || (insn->modrm & 0x38) > 0x28)
			insn->op = OP_UNDEFINED;
		break;
	case 0x90:		/* with REX.B it has a register, but as PAUSE */
		insn->op = insn->rex & 1 && insn->rep != 0xf3 ? OP_XCHG : OP_NOP;
		break;
	case 0xc3:		/* MOVNTI takes no such prefix */
		insn->op = insn->opsize || insn->rep ? OP_UNDEFINED : OP_MOV;
		break;
	case 0xc7:		/* VMPTRLD and its like, of which guests have none; RDRAND, RDPID */
		insn->op = insn->mem ? OP_UNDEFINED :
			   insn->rep == 0xf3 && insn->modrm >> 3 == 0x1f ? OP_RDPID : OP_OTHER;
		break;
	case 0xf0: case 0xf2: case 0xf3: case 0xf5: case 0xf6: case 0xf7: case 0xf9:
		insn->op = insn->vex ? OP_BMI : insn->opcode == 0xf9 ? OP_MOV : OP_ADX;
		insn->op_size = e->mode == EMU_LONG && insn->rex & 8 ? 8 : 4;
		break;
	case 0xb8:
		insn->op = insn->rep == 0xf3 ? OP_POPCNT : OP_UNDEFINED;
		break;
	case 0xae:		/* group 15: fences, flushes, and with F3 the FS and GS bases */
		if (insn->rep == 0xf3 && !insn->mem && !(insn->modrm & 0x20))
			insn->op = OP_FSGSBASE;
		else if (insn->rep || (insn->opsize && !insn->mem) ||
			 (insn->modrm >> 3 & 7) < (!insn->mem ? 5 : insn->opsize ? 6 : 7))
			insn->op = OP_OTHER;
		else
			insn->op = OP_NOP;
		break;
	}
}

static bool is_code32(const struct emu *e)
{
	return e->mode == EMU_PROT32 || (e->mode == EMU_REAL && e->real32);
}

static void operand_sizes(struct emu *e)
{
	struct insn *insn = &e->insn;

	if (e->mode == EMU_LONG) {
		insn->ad_size = insn->adsize ? 4 : 8;
		insn->op_size = insn->rex & 8 ? 8 : insn->opsize ? 2 : 4;
		if (insn->flags & F64 || (insn->flags & D64 && insn->op_size == 4))
			insn->op_size = 8;
	} else {
		bool is32 = is_code32(e);

		insn->ad_size = is32 != insn->adsize ? 4 : 2;
		insn->op_size = is32 != insn->opsize ? 4 : 2;
	}
	if (insn->flags & BYTE)
		insn->op_size = 1;
}

/* ---- immediates ------------------------------------------------------------------------------ */

static unsigned int imm_size(const struct emu *e)
{
	const struct insn *insn = &e->insn;
	unsigned int z = insn->op_size == 2 ? 2 : 4;

	switch (insn->imm_kind) {
	case I_B:
		return 1;
	case I_W:
		return 2;
	case I_Z:
		return z;
	case I_V:
		return insn->op_size;
	case I_WB:	/* the byte is above the word; or the selector above the offset */
		return 3;
	case I_AP:
		return z + 2;
	case I_J:
		return e->mode == EMU_LONG ? 4 : z;
	case I_O:
		return insn->ad_size;
	}
	return 0;
}

/* ---- operands -------------------------------------------------------------------------------- */

static void place_reg(const struct insn *insn, struct emu_place *p, unsigned int reg)
{
	p->type = T_REG;
	if (p->size == 1 && !insn->rex && reg >= 4 && reg < 8) {	/* AH, CH, DH, BH */
		reg -= 4;
		p->shift = 8;
	}
	p->reg = reg;
}

static void place_rm(const struct insn *insn, struct emu_place *p)
{
	if (insn->mem)
		p->type = T_MEM;
	else
		place_reg(insn, p, base_reg(insn, insn->modrm & 7));
}

/* Which register, memory or number it is. */
static void place(struct insn *insn, struct emu_place *p)
{
	u8 kind = p->type;

	p->size = insn->op_size;
	switch (kind) {
	case K_NONE:
		p->type = T_NONE;
		break;
	case K_EB:
		p->size = 1;
		place_rm(insn, p);
		break;
	case K_EW:
		p->size = 2;
		place_rm(insn, p);
		break;
	case K_ED:
		p->size = min_t(u8, insn->op_size, 4);
		place_rm(insn, p);
		break;
	case K_E:
		place_rm(insn, p);
		break;
	case K_G:
		place_reg(insn, p, ((insn->modrm >> 3) & 7) | (insn->rex & 4) << 1);
		break;
	case K_Z:
		place_reg(insn, p, base_reg(insn, insn->opcode & 7));
		break;
	case K_A:
		place_reg(insn, p, EMU_RAX);
		break;
	case K_CL:
		p->size = 1;
		place_reg(insn, p, EMU_RCX);
		break;
	case K_S:
	case K_PS:
		p->type = T_SEG;
		p->reg = ((kind == K_S ? insn->modrm : insn->opcode) >> 3) & 7;
		break;
	case K_O:
		p->type = T_MEM;
		break;
	case K_1:
		insn->imm = 1;
		p->type = T_VALUE;
		break;
	case K_I:
		p->type = T_VALUE;
		break;
	}
}

/* With all bytes read. */
static void finish(struct insn *insn)
{
	if (insn->imm_kind == I_O) {
		insn->mem = true;
		insn->seg = EMU_DS;
		insn->disp = insn->imm;
	}
	if (insn->base == EMU_RSP && insn->op == OP_POP)	/* as it is after the pop */
		insn->disp += insn->op_size;
	if (insn->mem && insn->seg_override >= 0)
		insn->seg = insn->seg_override;
	place(insn, &insn->dst);
	place(insn, &insn->src);
	if (insn->src.type == T_SEG && insn->mem)	/* to a register go more */
		insn->dst.size = 2;
}

/* The memory operand's offset, with the registers as they are. */
static inline u64 address(const struct emu *e)
{
	const struct insn *insn = &e->insn;
	u64 ea = insn->disp;

	if (insn->base >= 0)
		ea += e->regs[insn->base];
	if (insn->index >= 0)
		ea += e->regs[insn->index] << insn->scale;
	if (insn->rip_relative)
		ea += e->rip + insn->len;
	return emu_mask(ea, insn->ad_size);
}

/* ---- all together ---------------------------------------------------------------------------- */

static void decode_modrm(struct emu *e)
{
	struct insn *insn = &e->insn;

	insn->modrm = next_byte(insn);
	if (insn->flags & GROUP) {
		resolve_group(insn, insn->op);
		operand_sizes(e);
	}
	if (!(insn->flags & REG) && insn->modrm >> 6 != 3)
		memory_operand(e);
}

/* Of the bytes there are. What it finds holds if insn.len says that they are enough. */
static enum emu_result decode(struct emu *e)
{
	struct insn *insn = &e->insn;

	memset(insn, 0, offsetof(struct insn, ea));
	insn->seg_override = insn->base = insn->index = -1;
	prefixes(e);
	set_opcode(insn, &map_1byte[insn->opcode]);
	if (insn->op == OP_ESCAPE)
		escape(e);
	if (insn->flags & NO64 && e->mode == EMU_LONG)
		return emu_ud(e);
	operand_sizes(e);
	if (insn->flags & MODRM)
		decode_modrm(e);
	if (insn->op == OP_ODD)
		resolve_odd(e);
	if (insn->imm_kind)
		insn->imm = next_number(insn, imm_size(e));
	finish(insn);
	if (insn->op == OP_UNDEFINED || (insn->flags & MEM && !insn->mem))
		return emu_ud(e);
	return EMU_OK;
}

/* ---- what has been decoded before ------------------------------------------------------------ */

/*
 * What decode() finds depends on the bytes and on nothing else but this: whether it is still right
 * needs no knowledge of who writes to code, or of where linear addresses lead to. Never 0.
 */
static inline u8 code_kind(const struct emu *e)
{
	return 1 + 2 * e->mode + e->real32;
}

static inline u64 first_word(const struct insn *insn)
{
	u64 word;

	memcpy(&word, insn->bytes, sizeof(word));
	return word;
}

static inline bool recall(struct emu *e)
{
	const struct emu_kept *kept = &e->kept[e->rip % EMU_KEPT];
	struct insn *insn = &e->insn;

	if (kept->code != code_kind(e) || kept->len > insn->avail ||
	    (kept->word ^ first_word(insn)) << kept->unused)
		return false;
	memcpy(insn, kept->decoded, sizeof(kept->decoded));
	return true;
}

static inline void keep(struct emu *e)
{
	struct emu_kept *kept = &e->kept[e->rip % EMU_KEPT];
	const struct insn *insn = &e->insn;

	if (insn->len > sizeof(kept->word))
		return;
	kept->word = first_word(insn);
	kept->len = insn->len;
	kept->unused = 64 - 8 * insn->len;
	kept->code = code_kind(e);
	memcpy(kept->decoded, insn, sizeof(kept->decoded));
}

/* Of the bytes there are, and of more, if it has more. */
static noinline enum emu_result decode_whole(struct emu *e)
{
	enum emu_result r = decode(e);

	while (e->insn.len > e->insn.avail) {
		r = fetch(e, e->insn.avail);
		if (r != EMU_OK)
			return r;
		r = decode(e);
	}
	if (r == EMU_OK && e->kept)
		keep(e);
	return r;
}

enum emu_result emu_decode(struct emu *e)
{
	struct insn *insn = &e->insn;
	enum emu_result r;

	insn->avail = 0;
	r = fetch(e, 0);
	if (r == EMU_OK && !(e->kept && recall(e)))
		r = decode_whole(e);
	if (unlikely(r != EMU_OK)) {
		insn->len = min_t(u8, insn->len, insn->avail);
		return r;
	}
	insn->ea = insn->mem ? address(e) : 0;
	return EMU_OK;
}
