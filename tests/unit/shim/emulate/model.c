// SPDX-License-Identifier: GPL-2.0
/* The guest of the emulator's tests. */
#include <cpuid.h>

#include <linux/kernel.h>

#include "model.h"

static void set_flat(struct model *m, enum emu_mode mode)
{
	int i;

	for (i = 0; i < EMU_NR_SEGS; i++)
		m->seg[i] = (struct minivmm_segment){
			.limit = mode == EMU_REAL || mode == EMU_VM86 ? 0xffff : 0xffffffff,
			.type = i == EMU_CS ? 11 : 3, .present = 1, .s = 1, .db = 1, .g = 1,
			.selector = 8 * i,
		};
	m->seg[EMU_TR].type = 11;
	m->seg[EMU_TR].s = 0;
	m->seg[EMU_LDTR].unusable = 1;
}

void model_init(struct model *m, enum emu_mode mode)
{
	memset(m, 0, sizeof(*m));
	m->e.regs = m->regs;
	m->e.kept = m->kept;
	m->e.port_data = m->port_data;
	m->e.batch = EMU_BATCH;
	m->e.mode = mode;
	m->e.long_mode = mode == EMU_LONG;
	m->e.rflags = 2;
	m->sys[EMU_CR0] = mode == EMU_REAL ? 0x10 : 0x11;
	m->fpu_control = 0x37f;
	m->e.rip = 0x1000;
	set_flat(m, mode);
}

struct model *model_new(enum emu_mode mode)
{
	struct model *m = malloc(sizeof(*m));

	assert_non_null(m);
	model_init(m, mode);
	return m;
}

void model_free(struct model *m)
{
	free(m);
}

static struct model_page *find(struct model *m, u64 linear)
{
	int i;

	for (i = 0; i < m->nr_pages; i++)
		if (m->page[i].linear == (linear & ~0xfffull))
			return &m->page[i];
	return NULL;
}

struct model_page *model_map(struct model *m, u64 linear, unsigned int flags)
{
	struct model_page *p = find(m, linear);

	if (!p) {
		assert_true(m->nr_pages < MODEL_PAGES);
		p = &m->page[m->nr_pages++];
	}
	p->linear = linear & ~0xfffull;
	p->flags = flags;
	return p;
}

u8 *model_at(struct model *m, u64 linear)
{
	struct model_page *p = find(m, linear);

	return p ? &p->data[linear & 0xfff] : NULL;
}

void model_put(struct model *m, u64 linear, const void *data, size_t len)
{
	while (len) {
		size_t n = min_t(size_t, len, 4096 - (linear & 4095));

		memcpy(model_at(m, linear), data, n);
		linear += n;
		data = (const u8 *)data + n;
		len -= n;
	}
}

u64 model_get(struct model *m, u64 linear, unsigned int size)
{
	u64 value = 0;
	unsigned int i;

	for (i = 0; i < size; i++)
		value |= (u64)*model_at(m, linear + i) << (8 * i);
	return value;
}

void model_code(struct model *m, const void *bytes, size_t len)
{
	u64 at = m->e.rip;

	if (m->e.mode != EMU_LONG)
		at = (u32)(m->seg[EMU_CS].base + at);
	if (!find(m, at))
		model_map(m, at, PAGE_ALL);
	if (!find(m, at + len - 1))
		model_map(m, at + len - 1, PAGE_ALL);
	model_put(m, at, bytes, len);
}

/* Takes over what has changed; the code segment says in which mode it goes on. */
void model_commit(struct model *m, enum emu_result r)
{
	struct emu *e = &m->e;
	bool pe = m->sys[EMU_CR0] & 1;
	int i;

	if (r != EMU_OK && r != EMU_PART && !(r == EMU_FAULT && e->out.what & EMU_COMMIT))
		return;
	for (i = 0; i < 16; i++)
		if (e->out.changed & 1 << i)
			m->regs[i] = e->out.regs[i];
	for (i = 0; i < EMU_NR_SEGS; i++)
		if (e->out.seg_changed & 1 << i)
			m->seg[i] = e->out.seg[i];
	e->rip = e->out.rip;
	e->rflags = e->out.rflags;
	m->nr_answers = 0;
	if (!(e->out.seg_changed & (1 << EMU_CS | 1 << EMU_SS)) && !(e->out.what & EMU_MODE))
		return;
	if (!pe)
		e->mode = EMU_REAL;
	else if (e->rflags & 1 << 17)
		e->mode = EMU_VM86;
	else if (e->long_mode && m->seg[EMU_CS].l)
		e->mode = EMU_LONG;
	else
		e->mode = m->seg[EMU_CS].db ? EMU_PROT32 : EMU_PROT16;
	e->real32 = m->seg[EMU_CS].db;
	e->cpl = pe ? e->mode == EMU_VM86 ? 3 : m->seg[EMU_SS].dpl : 0;
}

void (*model_ran)(const struct model *m, enum emu_result r);

enum emu_result model_run(struct model *m)
{
	enum emu_result r;

	m->nr_replayed = 0;
	m->e.seg_valid = 0;
	m->e.out.what = 0;
	r = emu_run(&m->e);
	if (model_ran)
		model_ran(m, r);
	model_commit(m, r);
	return r;
}

enum emu_result model_run_io(struct model *m, u64 (*answer)(u64 address))
{
	enum emu_result r;

	for (;;) {
		r = model_run(m);
		if (r == EMU_PART)
			continue;
		if (r != EMU_IO)
			return r;
		assert_true(m->nr_answers < MODEL_ACCESSES);
		m->wanted.value = answer(m->wanted.address);
		m->answers[m->nr_answers++] = m->wanted;
	}
}

/* ---- the emulator's host --------------------------------------------------------------------- */

static struct model *to_model(struct emu *e)
{
	return (struct model *)((char *)e - offsetof(struct model, e));
}

static enum emu_result page_fault(struct emu *e, u64 linear, bool present, bool write, bool user,
				  bool fetch)
{
	e->fault = (struct emu_fault){
		.vector = X86_PF, .has_code = true, .address = linear,
		.code = present | write << 1 | user << 2 | fetch << 4,
	};
	return EMU_FAULT;
}

/* The page of an access, or NULL with a fault. */
static struct model_page *access_page(struct emu *e, u64 linear, unsigned int access, bool fetch)
{
	struct model_page *p = find(to_model(e), linear);
	bool user = e->cpl == 3 && !(access & EMU_SYSTEM), write = access & EMU_WRITE;

	if (e->mode == EMU_LONG || (e->long_mode && access & EMU_SYSTEM))
		assert_true(emu_canonical(linear));
	else
		assert_int_equal(linear >> 32, 0);
	if (!p || (user && !(p->flags & PAGE_USER)) || (write && !(p->flags & PAGE_WRITE)) ||
	    (fetch && !(p->flags & PAGE_EXEC))) {
		page_fault(e, linear, p, write, user, fetch);
		return NULL;
	}
	return p;
}

struct piece {
	struct model_page *page;
	u64 linear;
	unsigned int len;
};

/* One or two pieces, by page; 0 = fault. */
static int pieces(struct emu *e, u64 linear, unsigned int len, unsigned int access,
		  struct piece piece[2])
{
	unsigned int first = min_t(unsigned int, len, 4096 - (linear & 4095));
	int n = 1;

	assert_true(len > 0 && len <= 4096);
	piece[0] = (struct piece){ .linear = linear, .len = first };
	if (first < len) {
		linear += first;
		if (e->mode != EMU_LONG && !(e->long_mode && access & EMU_SYSTEM))
			linear = (u32)linear;
		piece[n++] = (struct piece){ .linear = linear, .len = len - first };
	}
	for (int i = 0; i < n; i++) {
		piece[i].page = access_page(e, piece[i].linear, access, false);
		if (!piece[i].page)
			return 0;
	}
	return n;
}

enum emu_result emu_host_fetch(struct emu *e, u64 linear, void *bytes, unsigned int len)
{
	struct model_page *p = access_page(e, linear, 0, true);

	assert_true(len > 0 && (linear & 4095) + len <= 4096);
	if (!p)
		return EMU_FAULT;
	memcpy(bytes, &p->data[linear & 4095], len);
	return EMU_OK;
}

static enum emu_result device_read(struct model *m, struct piece *p, void *data)
{
	struct model_access *a = &m->answers[m->nr_replayed];

	assert_true(p->len <= 32);
	if (m->nr_replayed == m->nr_answers) {
		m->wanted = (struct model_access){ .address = p->linear, .size = p->len };
		return EMU_IO;
	}
	assert_int_equal(a->address, p->linear);
	assert_int_equal(a->size, p->len);
	memset(data, 0, p->len);
	memcpy(data, &a->value, p->len < 8 ? p->len : 8);
	m->nr_replayed++;
	return EMU_OK;
}

enum emu_result emu_host_read(struct emu *e, u64 linear, void *data, unsigned int len,
			      unsigned int access)
{
	struct piece piece[2];
	enum emu_result r;
	int i, n = pieces(e, linear, len, access, piece);

	if (!n)
		return EMU_FAULT;
	for (i = 0; i < n; i++) {
		if (piece[i].page->flags & PAGE_DEVICE) {
			r = device_read(to_model(e), &piece[i], data);
			if (r != EMU_OK)
				return r;
		} else {
			memcpy(data, &piece[i].page->data[piece[i].linear & 4095], piece[i].len);
		}
		data = (u8 *)data + piece[i].len;
	}
	return EMU_OK;
}

static void device_write(struct model *m, struct piece *p, const void *data)
{
	struct model_access *a = &m->writes[m->nr_writes++ % MODEL_ACCESSES];

	assert_true(p->len <= 32);
	*a = (struct model_access){ .write = true, .address = p->linear, .size = p->len };
	memcpy(&a->value, data, p->len < 8 ? p->len : 8);
	m->e.stop = m->stop_on_write;
}

enum emu_result emu_host_write(struct emu *e, u64 linear, const void *data, unsigned int len,
			       unsigned int access)
{
	struct model *m = to_model(e);
	struct piece piece[2];
	int i, n = pieces(e, linear, len, access, piece);

	if (!n)
		return EMU_FAULT;
	for (i = 0; i < n; i++) {
		m->nr_memory_writes++;
		if (piece[i].page->flags & PAGE_DEVICE)
			device_write(m, &piece[i], data);
		else
			memcpy(&piece[i].page->data[piece[i].linear & 4095], data, piece[i].len);
		data = (const u8 *)data + piece[i].len;
	}
	return EMU_OK;
}

enum emu_result emu_host_cmpxchg(struct emu *e, u64 linear, const void *old, const void *new,
				 unsigned int len, unsigned int access)
{
	struct model *m = to_model(e);
	struct piece piece[2];
	u64 now[2] = { 0 };
	int n = pieces(e, linear, len, access, piece);

	if (!n)
		return EMU_FAULT;
	assert_true(len <= 16);
	if (n > 1 || piece[0].page->flags & PAGE_DEVICE)
		return emu_host_write(e, linear, new, len, access);
	memcpy(now, &piece[0].page->data[linear & 4095], len);
	now[0] ^= m->race;
	if (memcmp(now, old, len))
		return EMU_RETRY;
	return emu_host_write(e, linear, new, len, access);
}

enum emu_result emu_host_probe(struct emu *e, u64 linear, unsigned int access)
{
	struct model_page *p = access_page(e, linear, access, false);

	if (!p)
		return EMU_FAULT;
	return p->flags & PAGE_DEVICE ? EMU_IO : EMU_OK;
}

enum emu_result emu_host_in(struct emu *e, u16 port, unsigned int size, unsigned int *count)
{
	struct model *m = to_model(e);

	assert_true(*count >= 1 && *count * size <= 4096);
	if (m->port_max)
		*count = min_t(unsigned int, *count, m->port_max);
	if (m->port_in_left < *count * size) {
		m->wanted = (struct model_access){ .address = port, .size = size, .count = *count };
		return EMU_IO;
	}
	memcpy(e->port_data, m->port_in, *count * size);
	m->port_in += *count * size;
	m->port_in_left -= *count * size;
	m->port_accesses++;
	return EMU_OK;
}

enum emu_result emu_host_out(struct emu *e, u16 port, unsigned int size, unsigned int count)
{
	struct model *m = to_model(e);
	size_t room = sizeof(m->port_out) - m->port_out_len;
	size_t len = min_t(size_t, count * size, room);

	assert_true(count >= 1 && count * size <= 4096);
	m->wanted = (struct model_access){ .address = port, .size = size, .count = count };
	memcpy(m->port_out + m->port_out_len, e->port_data, len);
	m->port_out_len += len;
	m->port_accesses++;
	return EMU_OK;
}

void emu_host_segment(struct emu *e, unsigned int seg, struct minivmm_segment *s)
{
	*s = to_model(e)->seg[seg];
}

u64 emu_host_segment_base(struct emu *e, unsigned int seg)
{
	return to_model(e)->seg[seg].base;
}

void emu_host_get_table(struct emu *e, bool idt, struct minivmm_dtable *table)
{
	*table = to_model(e)->table[idt];
}

void emu_host_set_table(struct emu *e, bool idt, const struct minivmm_dtable *table)
{
	to_model(e)->table[idt] = *table;
}

/* ---- registers that are the host's --------------------------------------------------------------- */

u64 emu_host_get(struct emu *e, unsigned int reg)
{
	assert_true(reg <= EMU_TSC);
	return to_model(e)->sys[reg];
}

/* Checks a little, so that a test can see what follows: no upper half of CR0, CR4 and DR7. */
enum emu_result emu_host_set(struct emu *e, unsigned int reg, u64 value)
{
	struct model *m = to_model(e);

	assert_true(reg < EMU_TSC);
	if ((reg == EMU_CR0 || reg == EMU_CR4 || reg == EMU_DR7) && value >> 32)
		return emu_gp(e);
	m->sys[reg] = value;
	m->set_mask |= 1ull << reg;
	return EMU_OK;
}

static u64 *find_msr(struct model *m, u32 index)
{
	int i;

	for (i = 0; i < 8; i++)
		if (m->msr[i].index == index)
			return &m->msr[i].value;
	return NULL;
}

enum emu_result emu_host_rdmsr(struct emu *e, u32 index, u64 *data)
{
	u64 *value = find_msr(to_model(e), index);

	if (!value)
		return emu_gp(e);
	*data = *value;
	return EMU_OK;
}

enum emu_result emu_host_wrmsr(struct emu *e, u32 index, u64 data)
{
	u64 *value = find_msr(to_model(e), index);

	if (!value)
		return emu_gp(e);
	*value = data;
	return EMU_OK;
}

void emu_host_cpuid(struct emu *e, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx)
{
	*ebx = *eax ^ 0x11111111;
	*edx = *ecx ^ 0x22222222;
	*eax = 0x33333333;
	*ecx = 0x44444444;
}

void emu_host_invlpg(struct emu *e, u64 linear)
{
	to_model(e)->invlpg = linear;
}

void emu_host_invpcid(struct emu *e, unsigned int type, u16 pcid, u64 linear)
{
	struct model *m = to_model(e);

	m->invpcid.n++;
	m->invpcid.type = type;
	m->invpcid.pcid = pcid;
	m->invpcid.linear = linear;
}

/* As the test's CPU has them, so that both can be compared. */
bool emu_host_takes_int3(struct emu *e)
{
	return false;
}

bool emu_host_has(struct emu *e, enum emu_feature feature)
{
	unsigned int a, b, c = 0, d;

	switch (feature) {
	case EMU_HAS_BMI1:
		return __builtin_cpu_supports("bmi");
	case EMU_HAS_LZCNT:
		return __get_cpuid(0x80000001, &a, &b, &c, &d) && c & 1 << 5;
	case EMU_HAS_POPCNT:
		return __builtin_cpu_supports("popcnt");
	case EMU_HAS_CX16:
		return true;
	case EMU_HAS_INVPCID:
		return !to_model(e)->no_invpcid;
	case EMU_HAS_SMAP:
	case EMU_HAS_BMI2:
	case EMU_HAS_ADX:
	case EMU_HAS_SSE42:
		return true;
	case EMU_HAS_RDPID:
		return !to_model(e)->no_rdpid;
	}
	return false;
}

void emu_host_get_vector(struct emu *e, unsigned int reg, void *data, unsigned int len)
{
	struct model *m = to_model(e);

	assert_true(len == 8 ? reg < 8 : reg < 16 && (len == 16 || len == 32));
	memcpy(data, len == 8 ? m->mmx[reg] : m->vector[reg], len);
}

void emu_host_set_vector(struct emu *e, unsigned int reg, const void *data, unsigned int len)
{
	struct model *m = to_model(e);

	assert_true(len == 8 ? reg < 8 : reg < 16 && (len == 16 || len == 32));
	memcpy(len == 8 ? m->mmx[reg] : m->vector[reg], data, len);
}

u16 emu_host_fpu(struct emu *e, enum emu_fpu what, u16 value)
{
	struct model *m = to_model(e);

	switch (what) {
	case EMU_FNINIT:
		m->fpu_control = 0x37f;
		m->fpu_status = 0;
		break;
	case EMU_FNCLEX:
		m->fpu_status &= 0x7f00;
		break;
	case EMU_FNSTSW:
		return m->fpu_status;
	case EMU_FNSTCW:
		return m->fpu_control;
	case EMU_FLDCW:
		m->fpu_control = value;
		break;
	}
	return value;
}
