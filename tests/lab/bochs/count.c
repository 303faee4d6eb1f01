// SPDX-License-Identifier: GPL-2.0
/*
 * Preloaded into Bochs by `lab run --count`: counts instructions that cost a tick here and hundreds
 * of cycles on hardware. count.h says which, and how programs in the lab read the counters.
 *
 * Debian builds Bochs with instrumentation, whose functions are empty: a jump to ours is written into
 * those that are wanted. An instruction is known by the function that executes it; that is how the
 * opcode's number is found in Bochs's table of opcodes.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "count.h"

/* Bochs 2.7's, as far as needed. */
struct instruction {			/* bxInstruction_c */
	uint8_t handlers[32];
	uint16_t opcode;
	uint8_t length;
	uint8_t info;
};

#define USES_LOCK(i)	((i)->info >> 6 == 1)
#define IS_REGISTER(i)	((i)->info & 0x10)	/* its r/m operand */

struct opcode {				/* bxIAOpcodeTable */
	void *memory[2], *reg[2];	/* pointers to member functions: address, adjustment */
	uint8_t sources[4], flags;
};

#define MAX_OPCODES	4096
#define MAX_CPUS	16

/* Not counters, but what an opcode may be as well. */
enum { ENTRY = NR_COUNTERS, EXCHANGE, NOTHING };

static const struct {
	const char *handler;
	int what;
} handlers[] = {
	{ "VMREAD_EdGd", COUNT_VMREAD }, { "VMREAD_EqGq", COUNT_VMREAD },
	{ "VMWRITE_GdEd", COUNT_VMWRITE }, { "VMWRITE_GqEq", COUNT_VMWRITE },
	{ "VMPTRLD", COUNT_VMCS }, { "VMCLEAR", COUNT_VMCS },
	{ "RDMSR", COUNT_RDMSR }, { "WRMSR", COUNT_WRMSR },
	{ "INVEPT", COUNT_TLB }, { "INVVPID", COUNT_TLB },
	{ "INVLPG", COUNT_TLB }, { "INVPCID", COUNT_TLB }, { "MOV_CR3Rq", COUNT_TLB },
	{ "MOV_CR0Rq", COUNT_CR }, { "MOV_CR2Rq", COUNT_CR }, { "MOV_CR4Rq", COUNT_CR },
	{ "XSETBV", COUNT_CR },
	{ "XSAVE", COUNT_FPU }, { "XSAVEC", COUNT_FPU }, { "XRSTOR", COUNT_FPU },
	{ "FXSAVE", COUNT_FPU }, { "FXRSTOR", COUNT_FPU },
	{ "VMLAUNCH", ENTRY },		/* and VMRESUME */
	{ "XCHG_EbGbM", EXCHANGE }, { "XCHG_EwGwM", EXCHANGE },
	{ "XCHG_EdGdM", EXCHANGE }, { "XCHG_EqGqM", EXCHANGE },
};

static uint32_t counts[NOTHING + 1];
static uint8_t what_is[MAX_OPCODES];
static bool in_guest[MAX_CPUS];

static void *bochs(const char *symbol)
{
	void *address = dlsym(RTLD_DEFAULT, symbol);

	if (!address) {
		fprintf(stderr, "count: this Bochs has no %s\n", symbol);
		exit(2);
	}
	return address;
}

/* ---- what Bochs calls ------------------------------------------------------------------------ */

static void before_execution(unsigned int cpu, const struct instruction *i)
{
	int what;

	if (in_guest[cpu])
		return;
	what = what_is[i->opcode % MAX_OPCODES];
	counts[what]++;
	if (what == ENTRY)
		in_guest[cpu] = true;
	if (USES_LOCK(i) || (what == EXCHANGE && !IS_REGISTER(i)))
		counts[COUNT_LOCKED]++;
}

static void vm_exit(unsigned int cpu)
{
	in_guest[cpu] = false;
	counts[COUNT_EXIT]++;
}

static unsigned int read_port(void *this, unsigned int port, unsigned int length)
{
	static uint32_t latched[1 + NR_COUNTERS] = { COUNT_MAGIC };
	unsigned int at = port - COUNT_PORT;

	(void)this;
	(void)length;
	if (!at)
		memcpy(latched + 1, counts, NR_COUNTERS * sizeof(*counts));
	return ((uint8_t *)latched)[at];
}

static void port_written(uint16_t port)
{
	/* bx_devices_c::register_io_read_handler_range(object, handler, first, last, name, lengths) */
	bool (*add)(void *, void *, void *, unsigned int, unsigned int, const char *, uint8_t);
	static bool added;

	if (port != COUNT_PORT || added)
		return;
	added = true;
	add = bochs("_ZN12bx_devices_c30register_io_read_handler_rangeEPvPFjS0_jjEjjPKch");
	add(bochs("bx_devices"), NULL, read_port, COUNT_PORT, COUNT_PORT + 4 * NR_COUNTERS + 3,
	    "count", 1);
}

/* ---- setting up ------------------------------------------------------------------------------ */

static void jump_from(const char *symbol, void *to)
{
	uint8_t code[12] = { 0x48, 0xb8, [10] = 0xff, 0xe0 };	/* mov $to, %rax; jmp *%rax */
	uint8_t *from = bochs(symbol);
	size_t page = sysconf(_SC_PAGESIZE);
	void *start = (void *)((uintptr_t)from & -page);

	if (*from != 0xc3) {
		fprintf(stderr, "count: %s isn't empty in this Bochs\n", symbol);
		exit(2);
	}
	memcpy(code + 2, &to, sizeof(to));
	if (mprotect(start, 2 * page, PROT_READ | PROT_WRITE | PROT_EXEC)) {
		perror("count: mprotect");
		exit(2);
	}
	memcpy(from, code, sizeof(code));
	mprotect(start, 2 * page, PROT_READ | PROT_EXEC);
}

static void *handler(const char *name)
{
	char symbol[64];

	snprintf(symbol, sizeof(symbol), "_ZN8BX_CPU_C%zu%sEP15bxInstruction_c", strlen(name), name);
	return bochs(symbol);
}

static void find(void *function, int what)
{
	const struct opcode *opcodes = bochs("BxOpcodesTable");
	Dl_info info;
	const ElfW(Sym) *table;
	size_t n;

	dladdr1(opcodes, &info, (void **)&table, RTLD_DL_SYMENT);
	n = table->st_size / sizeof(*opcodes);
	for (size_t i = 0; i < n && i < MAX_OPCODES; i++)
		if (opcodes[i].memory[0] == function || opcodes[i].reg[0] == function)
			what_is[i] = what;
}

__attribute__((constructor)) static void set_up(void)
{
	/* this is loaded into the programs that start Bochs, too */
	if (!dlsym(RTLD_DEFAULT, "BxOpcodesTable"))
		return;
	memset(what_is, NOTHING, sizeof(what_is));
	for (size_t i = 0; i < sizeof(handlers) / sizeof(*handlers); i++)
		find(handler(handlers[i].handler), handlers[i].what);
	jump_from("_Z25bx_instr_before_executionjP15bxInstruction_c", before_execution);
	jump_from("_Z15bx_instr_vmexitjjm", vm_exit);
	jump_from("_Z13bx_instr_outptjj", port_written);
}
