/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A guest for the emulator's tests: registers, segments and a linear address space of single pages,
 * each of them memory or a device. Everything that an instruction does to it can be looked at.
 */
#ifndef SHIM_EMULATE_MODEL_H
#define SHIM_EMULATE_MODEL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "emulate/emulate.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

#define MODEL_PAGES	32
#define MODEL_ACCESSES	64

enum { PAGE_WRITE = 1, PAGE_USER = 2, PAGE_EXEC = 4, PAGE_DEVICE = 8 };
#define PAGE_ALL	(PAGE_WRITE | PAGE_USER | PAGE_EXEC)

struct model_page {
	u64 linear;
	unsigned int flags;
	u8 data[4096];
};

struct model_access {	/* of a device or a port */
	bool write;
	u64 address;
	unsigned int size, count;
	u64 value;
};

struct model {
	struct emu e;			/* e.rip, e.rflags, e.mode, e.cpl: set them directly */
	u64 regs[16];
	struct emu_kept kept[EMU_KEPT];
	struct minivmm_segment seg[EMU_NR_SEGS];
	struct minivmm_dtable table[2];	/* GDT, IDT */
	u64 sys[EMU_TSC + 1];		/* by EMU_CR0 and so on */
	u64 set_mask;			/* which of sys were set */
	struct { u32 index; u64 value; } msr[8];	/* those that there are */
	u64 invlpg;
	bool no_invpcid, no_rdpid;
	struct { int n; unsigned int type; u16 pcid; u64 linear; } invpcid;
	u8 vector[16][32], mmx[8][8];
	u16 fpu_control, fpu_status;
	u8 port_data[4096];

	int nr_pages;
	struct model_page page[MODEL_PAGES];

	/* devices: what was done to them, in order; and what reads have been answered so far */
	int nr_writes, nr_answers, nr_replayed;
	struct model_access writes[MODEL_ACCESSES], answers[MODEL_ACCESSES], wanted;
	bool stop_on_write;		/* a write ends a batch of REP, as in the module */

	/* ports: in from port_in, out to port_out */
	const u8 *port_in;
	size_t port_in_left;
	u8 port_out[8192];
	size_t port_out_len;
	unsigned int port_max;		/* items that one access may have; 0 = no limit */
	int port_accesses;

	/* what an instruction did to memory, whatever came of it */
	int nr_memory_writes;
	u64 race;			/* XORed into memory right before a locked write */
};

struct model *model_new(enum emu_mode mode);
void model_init(struct model *m, enum emu_mode mode);	/* the same in its place */
void model_free(struct model *m);
struct model_page *model_map(struct model *m, u64 linear, unsigned int flags);
u8 *model_at(struct model *m, u64 linear);		/* NULL: not mapped */
void model_put(struct model *m, u64 linear, const void *data, size_t len);
u64 model_get(struct model *m, u64 linear, unsigned int size);
void model_code(struct model *m, const void *bytes, size_t len);	/* at RIP; maps pages */

/* One emu_run(). Takes the results over where the caller of the real one would. */
enum emu_result model_run(struct model *m);
/* If set it is told of each, before anything is taken over. */
extern void (*model_ran)(const struct model *m, enum emu_result r);
void model_commit(struct model *m, enum emu_result r);	/* the second half of it */
/* Runs until it is done, a device's reads answered by answer(address). */
enum emu_result model_run_io(struct model *m, u64 (*answer)(u64 address));

#define CODE(m, ...) model_code(m, (const u8[]){ __VA_ARGS__ }, sizeof((const u8[]){ __VA_ARGS__ }))

static inline void model_set(struct model *m, u64 linear, u64 value, unsigned int size)
{
	model_put(m, linear, &value, size);
}

#define MODEL_CODE	0x1000

/* One instruction, put at MODEL_CODE, that is done. */
static inline void model_do(struct model *m, const void *bytes, size_t len)
{
	m->e.rip = MODEL_CODE;
	model_code(m, bytes, len);
	assert_int_equal(model_run(m), EMU_OK);
}

#define RUN(m, ...) model_do(m, (const u8[]){ __VA_ARGS__ }, sizeof((const u8[]){ __VA_ARGS__ }))

/* A generator whose every sequence can be had again. */
static inline u64 random64(u64 *state)
{
	u64 x = *state += 0x9e3779b97f4a7c15;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

#endif
