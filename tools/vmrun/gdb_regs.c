// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>
#include <string.h>

#include "gdb_regs.h"

enum kind { PLAIN, FPU_TAG, FPU_ZERO };

struct reg {
	const char *name, *type, *group;
	uint8_t size;			/* as gdb sees it */
	uint8_t stored;			/* bytes of the state; the rest are zeros */
	uint8_t part;			/* enum gdb_state_part; 0: it can't be set */
	uint8_t kind;
	uint16_t offset;
};

#define OFFSET(field)		offsetof(struct gdb_cpu_state, field)
#define STORED(field)		sizeof(((struct gdb_cpu_state *)0)->field)

#define GENERAL(r)		{ #r, "int64", NULL, 8, 8, GDB_REGS, PLAIN, OFFSET(regs.r) }
#define SELECTOR(s)		{ #s, "int32", NULL, 4, 2, GDB_SREGS, PLAIN, OFFSET(sregs.s.selector) }
#define X87(n)			{ "st" #n, "i387_ext", NULL, 10, 10, GDB_FPU, PLAIN, OFFSET(fpu.fpr[n]) }
#define CONTROL(name, field)	{ name, "int", "float", 4, STORED(fpu.field), GDB_FPU, PLAIN, OFFSET(fpu.field) }
#define NO_CONTROL(name)	{ name, "int", "float", 4, 0, 0, FPU_ZERO, 0 }
#define XMM(n)			{ "xmm" #n, "vec128", NULL, 16, 16, GDB_FPU, PLAIN, OFFSET(fpu.xmm[n]) }
#define BASE(name, s)		{ name, "int64", NULL, 8, 8, GDB_SREGS, PLAIN, OFFSET(sregs.s.base) }
#define SYSTEM(name)		{ #name, "int64", "system", 8, 8, GDB_SREGS, PLAIN, OFFSET(sregs.name) }

/* In gdb's order: its features "core", "sse", "segments", and one of ours. */
static const struct reg regs[] = {
	GENERAL(rax), GENERAL(rbx), GENERAL(rcx), GENERAL(rdx), GENERAL(rsi), GENERAL(rdi),
	{ "rbp", "data_ptr", NULL, 8, 8, GDB_REGS, PLAIN, OFFSET(regs.rbp) },
	{ "rsp", "data_ptr", NULL, 8, 8, GDB_REGS, PLAIN, OFFSET(regs.rsp) },
	GENERAL(r8), GENERAL(r9), GENERAL(r10), GENERAL(r11), GENERAL(r12), GENERAL(r13),
	GENERAL(r14), GENERAL(r15),
	{ "rip", "code_ptr", NULL, 8, 8, GDB_REGS, PLAIN, OFFSET(regs.rip) },
	{ "eflags", "i386_eflags", NULL, 4, 4, GDB_REGS, PLAIN, OFFSET(regs.rflags) },
	SELECTOR(cs), SELECTOR(ss), SELECTOR(ds), SELECTOR(es), SELECTOR(fs), SELECTOR(gs),
	X87(0), X87(1), X87(2), X87(3), X87(4), X87(5), X87(6), X87(7),
	CONTROL("fctrl", fcw), CONTROL("fstat", fsw),
	{ "ftag", "int", "float", 4, 1, 0, FPU_TAG, OFFSET(fpu.ftwx) },
	NO_CONTROL("fiseg"), NO_CONTROL("fioff"), NO_CONTROL("foseg"), NO_CONTROL("fooff"),
	CONTROL("fop", last_opcode),
#define FIRST_SSE	40
	XMM(0), XMM(1), XMM(2), XMM(3), XMM(4), XMM(5), XMM(6), XMM(7),
	XMM(8), XMM(9), XMM(10), XMM(11), XMM(12), XMM(13), XMM(14), XMM(15),
	{ "mxcsr", "i386_mxcsr", "vector", 4, 4, 0, PLAIN, OFFSET(fpu.mxcsr) },
#define FIRST_SEGMENT	57
	BASE("fs_base", fs), BASE("gs_base", gs),
#define FIRST_SYSTEM	59
	SYSTEM(cr0), SYSTEM(cr2), SYSTEM(cr3), SYSTEM(cr4), SYSTEM(cr8), SYSTEM(efer),
};

#define NR_REGS		(sizeof(regs) / sizeof(regs[0]))

unsigned int gdb_nr_regs(void)
{
	return NR_REGS;
}

size_t gdb_reg_size(unsigned int n)
{
	return n < NR_REGS ? regs[n].size : 0;
}

/* From a bit for each register that is in use to two, 3 for one that isn't. */
static uint32_t full_tag(uint8_t in_use)
{
	uint32_t tag = 0;
	int i;

	for (i = 0; i < 8; i++)
		if (!(in_use >> i & 1))
			tag |= 3u << 2 * i;
	return tag;
}

void gdb_reg_get(const struct gdb_cpu_state *s, unsigned int n, void *value)
{
	const struct reg *r = &regs[n];
	uint32_t tag;

	memset(value, 0, r->size);
	if (r->kind == FPU_TAG) {
		tag = full_tag(s->fpu.ftwx);
		memcpy(value, &tag, sizeof(tag));
	} else {
		memcpy(value, (const char *)s + r->offset, r->stored);
	}
}

unsigned int gdb_reg_set(struct gdb_cpu_state *s, unsigned int n, const void *value)
{
	const struct reg *r = &regs[n];

	if (r->part)
		memcpy((char *)s + r->offset, value, r->stored);
	return r->part;
}

/* ---- the description ------------------------------------------------------------------------------ */

static char xml[8192];

static size_t say(size_t at, const char *text)
{
	int n = snprintf(xml + at, sizeof(xml) - at, "%s", text);

	return at + n < sizeof(xml) ? at + n : sizeof(xml) - 1;
}

static size_t say_reg(size_t at, const struct reg *r)
{
	char text[160];

	snprintf(text, sizeof(text), "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\"%s%s%s/>\n", r->name,
		 r->size * 8, r->type, r->group ? " group=\"" : "", r->group ? r->group : "",
		 r->group ? "\"" : "");
	return say(at, text);
}

static const char flag_types[] =
	"<flags id=\"i386_eflags\" size=\"4\">"
	"<field name=\"CF\" start=\"0\" end=\"0\"/><field name=\"PF\" start=\"2\" end=\"2\"/>"
	"<field name=\"AF\" start=\"4\" end=\"4\"/><field name=\"ZF\" start=\"6\" end=\"6\"/>"
	"<field name=\"SF\" start=\"7\" end=\"7\"/><field name=\"TF\" start=\"8\" end=\"8\"/>"
	"<field name=\"IF\" start=\"9\" end=\"9\"/><field name=\"DF\" start=\"10\" end=\"10\"/>"
	"<field name=\"OF\" start=\"11\" end=\"11\"/><field name=\"NT\" start=\"14\" end=\"14\"/>"
	"<field name=\"RF\" start=\"16\" end=\"16\"/><field name=\"VM\" start=\"17\" end=\"17\"/>"
	"<field name=\"AC\" start=\"18\" end=\"18\"/><field name=\"ID\" start=\"21\" end=\"21\"/>"
	"</flags>\n";

static const char vector_types[] =
	"<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/>"
	"<vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>"
	"<vector id=\"v16i8\" type=\"int8\" count=\"16\"/><vector id=\"v8i16\" type=\"int16\" count=\"8\"/>"
	"<vector id=\"v4i32\" type=\"int32\" count=\"4\"/><vector id=\"v2i64\" type=\"int64\" count=\"2\"/>"
	"<union id=\"vec128\"><field name=\"v4_float\" type=\"v4f\"/><field name=\"v2_double\" type=\"v2d\"/>"
	"<field name=\"v16_int8\" type=\"v16i8\"/><field name=\"v8_int16\" type=\"v8i16\"/>"
	"<field name=\"v4_int32\" type=\"v4i32\"/><field name=\"v2_int64\" type=\"v2i64\"/>"
	"<field name=\"uint128\" type=\"uint128\"/></union>\n"
	"<flags id=\"i386_mxcsr\" size=\"4\"><field name=\"IE\" start=\"0\" end=\"0\"/>"
	"<field name=\"DAZ\" start=\"6\" end=\"6\"/><field name=\"FZ\" start=\"15\" end=\"15\"/></flags>\n";

const char *gdb_target_xml(void)
{
	static const struct { unsigned int first; const char *name, *types; } features[] = {
		{ 0, "org.gnu.gdb.i386.core", flag_types },
		{ FIRST_SSE, "org.gnu.gdb.i386.sse", vector_types },
		{ FIRST_SEGMENT, "org.gnu.gdb.i386.segments", "" },
		{ FIRST_SYSTEM, "org.minivmm.i386.system", "" },
		{ NR_REGS, NULL, NULL },
	};
	size_t at, i, n;
	char text[80];

	if (xml[0])
		return xml;
	at = say(0, "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\">"
		    "<target><architecture>i386:x86-64</architecture>\n");
	for (i = 0; features[i].name; i++) {
		snprintf(text, sizeof(text), "<feature name=\"%s\">\n", features[i].name);
		at = say(say(at, text), features[i].types);
		for (n = features[i].first; n < features[i + 1].first; n++)
			at = say_reg(at, &regs[n]);
		at = say(at, "</feature>\n");
	}
	say(at, "</target>\n");
	return xml;
}
