// SPDX-License-Identifier: GPL-2.0
/* Ports and strings, and both together. */
#include "internal.h"

/* ---- ports ----------------------------------------------------------------------------------- */

/* SDM "I/O Permission Bit Map". The two bytes that hold the bits must both be inside the TSS. */
static enum emu_result bitmap_allows(struct emu *e, u16 port, unsigned int size)
{
	const struct minivmm_segment *tr = emu_segment(e, EMU_TR);
	enum emu_result r;
	u16 base, bits;

	if (tr->unusable || (tr->type & 0xd) != 9 || tr->limit < 103)
		return emu_gp(e);
	r = emu_read_system(e, tr->base + 102, &base, 2);
	if (r != EMU_OK)
		return r;
	if (base + port / 8 + 1 > tr->limit)
		return emu_gp(e);
	r = emu_read_system(e, tr->base + base + port / 8, &bits, 2);
	if (r != EMU_OK)
		return r;
	return bits >> (port & 7) & ((1 << size) - 1) ? emu_gp(e) : EMU_OK;
}

static enum emu_result check_port(struct emu *e, u16 port, unsigned int size)
{
	if (e->mode == EMU_REAL || (e->mode != EMU_VM86 && e->cpl <= iopl(e)))
		return EMU_OK;
	return bitmap_allows(e, port, size);
}

static unsigned int port_size(const struct emu *e)
{
	return min_t(unsigned int, e->insn.op_size, 4);
}

static u16 port_number(const struct emu *e)
{
	return e->insn.imm_kind == I_B ? (u8)e->insn.imm : (u16)e->regs[EMU_RDX];
}

enum emu_result op_in(struct emu *e)
{
	unsigned int size = port_size(e), count = 1;
	u16 port = port_number(e);
	enum emu_result r;
	u32 value = 0;

	r = check_port(e, port, size);
	if (r == EMU_OK)
		r = emu_host_in(e, port, size, &count);
	if (r != EMU_OK)
		return r;
	memcpy(&value, e->port_data, size);
	set_reg(e, EMU_RAX, 0, size, value);
	return EMU_OK;
}

enum emu_result op_out(struct emu *e)
{
	unsigned int size = port_size(e);
	u16 port = port_number(e);
	u32 value = e->regs[EMU_RAX];
	enum emu_result r;

	r = check_port(e, port, size);
	if (r != EMU_OK)
		return r;
	memcpy(e->port_data, &value, size);
	r = emu_host_out(e, port, size, 1);
	return r;
}

/* ---- strings --------------------------------------------------------------------------------- */

/* A run of string instructions: where it is, in masked offsets. */
struct string {
	u64 si, di;
	u64 left;		/* iterations to go */
	unsigned int max;	/* that this run may still do */
	unsigned int n;		/* that the last call has done */
	unsigned int size;	/* of an item */
	bool down;
	bool end;		/* REPE, REPNE: the condition says stop */
};

static unsigned int source_seg(const struct emu *e)
{
	return e->insn.seg_override >= 0 ? e->insn.seg_override : EMU_DS;
}

static enum emu_result read_source(struct emu *e, const struct string *s, u64 *value)
{
	return emu_read(e, source_seg(e), s->si, s->size, value);
}

static enum emu_result read_destination(struct emu *e, const struct string *s, u64 *value)
{
	return emu_read(e, EMU_ES, s->di, s->size, value);
}

static enum emu_result write_destination(struct emu *e, const struct string *s, u64 value)
{
	return emu_write(e, EMU_ES, s->di, s->size, value);
}

static enum emu_result movs(struct emu *e, struct string *s)
{
	enum emu_result r;
	u64 value;

	r = read_source(e, s, &value);
	return r == EMU_OK ? write_destination(e, s, value) : r;
}

static enum emu_result stos(struct emu *e, struct string *s)
{
	return write_destination(e, s, e->regs[EMU_RAX]);
}

static enum emu_result lods(struct emu *e, struct string *s)
{
	enum emu_result r;
	u64 value;

	r = read_source(e, s, &value);
	if (r == EMU_OK)
		set_reg(e, EMU_RAX, 0, s->size, value);
	return r;
}

/* F3 goes on while equal, F2 while not. */
static void compare(struct emu *e, struct string *s, u64 a, u64 b)
{
	emu_sub_flags(e, a, b, s->size);
	s->end = (a == b) == (e->insn.rep == 0xf2);
}

static enum emu_result cmps(struct emu *e, struct string *s)
{
	enum emu_result r;
	u64 a, b;

	r = read_source(e, s, &a);
	if (r == EMU_OK)
		r = read_destination(e, s, &b);
	if (r == EMU_OK)
		compare(e, s, a, b);
	return r;
}

static enum emu_result scas(struct emu *e, struct string *s)
{
	enum emu_result r;
	u64 b;

	r = read_destination(e, s, &b);
	if (r == EMU_OK)
		compare(e, s, emu_mask(e->regs[EMU_RAX], s->size), b);
	return r;
}

/*
 * How many items from seg:offset on are one piece of memory that may be accessed, so that a port's
 * data can be moved at once: one upwards, in one page, within the limit, without wrapping; else 1.
 */
static enum emu_result piece(struct emu *e, struct string *s, unsigned int seg, u64 offset,
			     bool write, u64 *linear)
{
	u64 n = min_t(u64, s->left, s->max), last = emu_mask(~0ull, e->insn.ad_size);
	enum emu_result r;

	s->n = 1;
	r = emu_linearise(e, seg, offset, s->size, write, linear);
	if (r != EMU_OK)
		return r;
	r = emu_host_probe(e, *linear, write ? EMU_WRITE : EMU_READ);
	if (r != EMU_OK || s->down)
		return r == EMU_IO ? EMU_OK : r;

	if (e->mode != EMU_LONG) {
		const struct minivmm_segment *es = emu_segment(e, seg);

		if (e->mode < EMU_PROT16 || (es->type & 0xc) != 4)
			last = min_t(u64, last, es->limit);
	}
	if (last - offset < n * s->size - 1)
		n = (last - offset + 1) / s->size;
	n = min_t(u64, n, (EMU_PAGE - (*linear & (EMU_PAGE - 1))) / s->size);
	s->n = max_t(u64, n, 1);
	return EMU_OK;
}

static enum emu_result outs(struct emu *e, struct string *s)
{
	enum emu_result r;
	u64 linear;

	r = piece(e, s, source_seg(e), s->si, false, &linear);
	if (r == EMU_OK)
		r = emu_host_read(e, linear, e->port_data, s->n * s->size, EMU_READ);
	if (r != EMU_OK)
		return r;
	return emu_host_out(e, e->regs[EMU_RDX], s->size, s->n);
}

/* The page is looked at first: what has been read from the port couldn't be given back. */
static enum emu_result ins(struct emu *e, struct string *s)
{
	enum emu_result r;
	u64 linear;

	r = piece(e, s, EMU_ES, s->di, true, &linear);
	if (r == EMU_OK)
		r = emu_host_in(e, e->regs[EMU_RDX], s->size, &s->n);
	if (r != EMU_OK)
		return r;
	return emu_host_write(e, linear, e->port_data, s->n * s->size, EMU_WRITE);
}

enum { SI = 1, DI = 2, PORT = 4 };

static const struct string_op {
	enum emu_result (*step)(struct emu *e, struct string *s);
	u8 uses;
} string_ops[NR_EMU_OPS] = {
	[OP_MOVS] = { movs, SI | DI },
	[OP_CMPS] = { cmps, SI | DI },
	[OP_STOS] = { stos, DI },
	[OP_LODS] = { lods, SI },
	[OP_SCAS] = { scas, DI },
	[OP_INS] = { ins, DI | PORT },
	[OP_OUTS] = { outs, SI | PORT },
};

static void string_start(struct emu *e, struct string *s)
{
	const struct insn *insn = &e->insn;

	*s = (struct string){
		.si = emu_mask(e->regs[EMU_RSI], insn->ad_size),
		.di = emu_mask(e->regs[EMU_RDI], insn->ad_size),
		.left = insn->rep ? emu_mask(e->regs[EMU_RCX], insn->ad_size) : 1,
		.max = e->batch,
		.size = insn->op_size,
		.down = e->rflags & DF,
	};
}

static void string_advance(struct emu *e, struct string *s)
{
	u64 step = (u64)s->n * s->size;

	if (s->down)
		step = -step;
	s->si = emu_mask(s->si + step, e->insn.ad_size);
	s->di = emu_mask(s->di + step, e->insn.ad_size);
	s->left -= s->n;
	s->max -= s->n;
}

static void string_registers(struct emu *e, const struct string *s, u8 uses)
{
	unsigned int size = e->insn.ad_size;

	if (uses & SI)
		set_reg(e, EMU_RSI, 0, size, s->si);
	if (uses & DI)
		set_reg(e, EMU_RDI, 0, size, s->di);
	if (e->insn.rep)
		set_reg(e, EMU_RCX, 0, size, s->left);
}

/*
 * One iteration, or a batch of them with REP. An iteration that faults or needs data ends the
 * batch; if it wasn't the first, that shows again when the instruction is run the next time.
 */
enum emu_result op_string(struct emu *e)
{
	const struct string_op *op = &string_ops[e->insn.op];
	enum emu_result r = EMU_OK;
	struct string s;

	string_start(e, &s);
	if (op->uses & PORT) {
		s.size = port_size(e);
		r = check_port(e, e->regs[EMU_RDX], s.size);
		if (r != EMU_OK)
			return r;
	}
	if (!s.left)
		return EMU_OK;
	do {
		s.n = 1;
		r = op->step(e, &s);
		if (r != EMU_OK)
			break;
		string_advance(e, &s);
	} while (s.left && s.max && !s.end && !e->stop);

	if (r != EMU_OK && s.max == e->batch)
		return r;
	string_registers(e, &s, op->uses);
	if (!e->insn.rep || !s.left || s.end)
		return EMU_OK;
	/* an interrupt between iterations finds RF set: a breakpoint here has fired already */
	e->out.rflags |= RF;
	e->out.rip = e->rip;
	return EMU_PART;
}
