// SPDX-License-Identifier: GPL-2.0
/*
 * The product of paging modes, page sizes, entries' bits at each level, control bits and kinds of
 * access, against the model of the architecture in paging_model.h: does it fault, with which error
 * code and address, what became of the data, and of the accessed and dirty bits at each level.
 *
 * Every case has an entry of the root of its own, tables, and a cell of a page. A batch of them is
 * prepared, made in one visit to the mode, and judged.
 */
#include "tables.h"

#define SLOTS		128
#define CELL		128		/* bytes of a data page for each slot */
#define CELLS		(PAGE / CELL)

/* In a cell. */
#define AT_BYTE		0
#define AT_CODE		16		/* INT 0x80 */
#define AT_ACCESSED	32		/* a descriptor whose accessed bit is set, and one without */
#define AT_FRESH	40

#define DESCRIPTOR	0x00cff3000000fffful
#define DESCRIPTOR_A	(1ul << 40)

static u64 tables[SLOTS][4];		/* of each slot, by level */
static u8 *cells;			/* SLOTS cells in pages that follow each other */
static struct step steps[SLOTS];
static struct expected {
	struct pm_access access;
	struct pm_walk walk;
	unsigned int error;
} expected[SLOTS];
static u32 slots_used;
static u64 cases_done;
static u64 seed = 0x2545f4914f6cdd1d;

/* What the entries of one case say, by level. */
struct path {
	int leaf;			/* the level that maps a page */
	u64 flags[5];			/* in place of P | W | U */
	u64 flip[5];			/* inverted at the end, over the address and all */
};

/* ---- cases ----------------------------------------------------------------------------------- */

static u8 *cell_of(u32 slot)
{
	return cells + slot * CELL;
}

static u8 cell_byte(u32 slot)
{
	return 0x30 + slot;
}

static void prepare_cell(u32 slot)
{
	u8 *c = cell_of(slot);

	*(u64 *)(c + AT_BYTE) = cell_byte(slot);
	*(u64 *)(c + AT_CODE) = 0x80cd;
	*(u64 *)(c + AT_ACCESSED) = DESCRIPTOR;
	*(u64 *)(c + AT_FRESH) = DESCRIPTOR & ~DESCRIPTOR_A;
}

/* The slot's own index at each level, all different; above what map_own_memory() uses. */
static u32 slot_index(const struct pm_cpu *c, u32 slot, int level)
{
	if (c->mode == PM_32)
		return level == 2 ? 256 + slot * 6 : (slot * 37 + 5) % 1024;
	if (level == 4)
		return 1 + slot * 3;
	if (level == 3 && c->mode == PM_PAE)
		return 1 + slot % 3;
	if (level == 2 && c->mode == PM_PAE)
		return slot * 4 + 1;
	return (slot * 29 + level * 111 + 7) % 512;
}

static u64 page_size(const struct pm_cpu *c, int leaf)
{
	return 1ul << pm_shift(c, leaf);
}

/* The linear address of the slot's cell, if its leaf maps the page of that. */
static u64 slot_address(const struct pm_cpu *c, u32 slot, int leaf)
{
	u64 a = (u64)cell_of(slot) & (page_size(c, leaf) - 1);

	for (int level = c->mode; level >= leaf; level--)
		a |= (u64)slot_index(c, slot, level) << pm_shift(c, level);
	if (c->mode == PM_LONG && a >> 47 & 1)
		a |= 0xffffull << 48;
	return a;
}

/* Bits that mean nothing for a translation, at random. */
static u64 noise(const struct pm_cpu *c, int level, bool page)
{
	u64 bits = PTE_PWT | PTE_PCD | PM_A | PM_D | PTE_G | 7 << 9;

	if (level == 1 || (c->mode == PM_32 && !c->pse))
		bits |= PM_PS;
	if (page && level > 1)
		bits |= 1 << 12;	/* PAT */
	if (c->mode == PM_LONG)
		bits |= pm_bits(62, 52);
	return bits & ((u64)next_random(&seed) << 32 | next_random(&seed));
}

static void write_path(const struct pm_cpu *c, u32 slot, const struct path *p)
{
	for (int level = c->mode; level >= p->leaf; level--) {
		u64 table = level == (int)c->mode ? c->cr3 : tables[slot][level];
		u64 target = level == p->leaf ?
			     (u64)cell_of(slot) & ~(page_size(c, level) - 1) : tables[slot][level - 1];
		u64 value = target | p->flags[level] | noise(c, level, level == p->leaf);

		if (c->mode == PM_PAE && level == 3)	/* is there, and cached by the CPU */
			continue;
		if (c->mode == PM_PAE && level == 2)
			table = c->pdpte[slot_index(c, slot, 3)] & ~0xffful;
		if (level == p->leaf && level > 1)
			value |= PM_PS;
		put_entry(c, table + slot_index(c, slot, level) * pm_entry_size(c),
			  value ^ p->flip[level]);
	}
}

/* Where in the cell, and what kind of access that is. */
static u32 describe_kind(u32 kind, bool fresh, struct pm_access *a)
{
	a->fetch = kind == S_FETCH;
	a->implicit = kind == S_DESCRIPTOR;
	a->write = kind == S_WRITE || kind == S_LOCKED || kind == S_MODIFY || kind == S_COMPARE ||
		   fresh;
	return kind == S_FETCH ? AT_CODE : kind != S_DESCRIPTOR ? AT_BYTE :
	       fresh ? AT_FRESH : AT_ACCESSED;
}

/* ---- judging --------------------------------------------------------------------------------- */

static _Noreturn void wrong(const struct pm_cpu *c, u32 slot, const char *what)
{
	const struct expected *e = &expected[slot];
	const struct step *s = &steps[slot];

	print("case %lu, %s of %lx by %s%s: %s\n", cases_done + slot, step_name(s->kind), s->address,
	      s->flags & STEP_USER ? "the user" : "the supervisor",
	      s->flags & STEP_AC ? " with AC" : "", what);
	say_cpu(c);
	say_walk(&e->walk, s->seen);
	say_outcome("expected", e->error);
	if (s->vector != PF && s->vector != ~0u)
		print("  got: vector %u\n", s->vector);
	else
		say_outcome("got", s->vector == PF ? s->error : PM_OK);
	print("  cr2 %lx, value %lx, in memory %lx\n", s->cr2, s->got,
	      *(u64 *)(cell_of(slot) + AT_BYTE));
	fail("%lu cases were right before", cases_done);
}

/*
 * A descriptor is read before it is marked as accessed: where already the reading isn't allowed, a
 * CPU may say that it wanted to read.
 */
static bool error_is_right(const struct pm_cpu *c, const struct expected *e, u32 error)
{
	struct pm_access reading = e->access;

	if (error == e->error)
		return true;
	reading.write = false;
	return e->access.implicit && e->access.write && error == pm_outcome(c, &e->walk, &reading);
}

static void check_entries(const struct pm_cpu *c, u32 slot)
{
	u64 mask = c->mode == PM_32 ? 0xffffffff : ~0ul, must, may;
	const struct expected *e = &expected[slot];

	for (int i = 0; i < e->walk.n; i++) {
		u64 before = e->walk.entry[i].value, after = steps[slot].seen[i] & mask;

		pm_flags(&e->walk, i, &e->access, e->error, &must, &may);
		if (!e->walk.entry[i].in_memory)
			continue;
		if (must & ~after)
			wrong(c, slot, "an accessed or dirty bit is missing");
		if ((before ^ after) & ~may || before & ~after)
			wrong(c, slot, "an entry has changed");
	}
}

static void check_data(const struct pm_cpu *c, u32 slot)
{
	const struct step *s = &steps[slot];
	bool done = expected[slot].error == PM_OK;
	u8 *cell = cell_of(slot), now = cell[AT_BYTE], want = cell_byte(slot);

	if (done && (s->kind == S_READ || s->kind == S_COMPARE) && (u8)s->got != want)
		wrong(c, slot, "another value was read");
	if (done && (s->kind == S_LOCKED || s->kind == S_MODIFY))
		want++;
	if (done && s->kind == S_WRITE)
		want = s->value;
	if (now != want)
		wrong(c, slot, done ? "not what was written" : "it was written");
	if (s->kind == S_DESCRIPTOR && expected[slot].access.write &&
	    done != !!(*(u64 *)(cell + AT_FRESH) & DESCRIPTOR_A))
		wrong(c, slot, "the descriptor");
}

static void judge(const struct pm_cpu *c, u32 slot)
{
	const struct expected *e = &expected[slot];
	const struct step *s = &steps[slot];

	if (e->error == PM_OK) {
		if (s->vector != ~0u)
			wrong(c, slot, "it faults");
	} else {
		if (s->vector != PF)
			wrong(c, slot, "it doesn't fault as it should");
		if (!error_is_right(c, e, s->error))
			wrong(c, slot, "the error code");
		/* the accessed bit is in a descriptor's byte 5 */
		if (s->cr2 != s->address &&
		    !(s->cr2 == s->address + 5 && e->access.implicit && e->access.write))
			wrong(c, slot, "CR2");
	}
	check_entries(c, slot);
	check_data(c, slot);
}

static void flush_batch(const struct pm_cpu *c)
{
	visit_with(c, steps, slots_used);
	for (u32 i = 0; i < slots_used; i++)
		judge(c, i);
	cases_done += slots_used;
	slots_used = 0;
}

/* ---- the product ----------------------------------------------------------------------------- */

/* Is the outcome one that can be tried: a fault, or the page that is meant? */
static bool can_try(const struct expected *e, u32 slot, u32 offset)
{
	return e->error != PM_OK || e->walk.physical == (u64)cell_of(slot) + offset;
}

static void add_case(const struct pm_cpu *c, const struct path *p, u32 kind, bool fresh, u32 flags)
{
	struct expected *e = &expected[slots_used];
	struct step *s = &steps[slots_used];
	u32 offset;

	*s = (struct step){ .kind = kind, .flags = flags };
	*e = (struct expected){
		.access = { .user = flags & STEP_USER, .ac = flags & STEP_AC },
	};
	offset = describe_kind(kind, fresh, &e->access);
	s->address = e->access.address = slot_address(c, slots_used, p->leaf) + offset;
	/* the byte that is written; for CMPXCHG one that isn't there */
	s->value = 0x11 + kind;
	if (kind == S_DESCRIPTOR)
		set_ldt_of(s, c->mode == PM_LONG);
	prepare_cell(slots_used);
	write_path(c, slots_used, p);
	e->walk = pm_walk(c, s->address);
	e->error = pm_outcome(c, &e->walk, &e->access);
	if (!can_try(e, slots_used, offset))
		return;
	for (int i = 0; i < e->walk.n; i++)
		if (e->walk.entry[i].in_memory)
			s->look_at[i] = e->walk.entry[i].at;
	if (++slots_used == SLOTS)
		flush_batch(c);
}

/* With AC there is a test for descriptors alone: an emulator gets those wrong. */
static bool only_descriptors;

static void add_kinds(const struct pm_cpu *c, const struct path *p, u32 flags)
{
	for (u32 kind = S_READ; kind < S_DESCRIPTOR && !only_descriptors; kind++)
		add_case(c, p, kind, false, flags);
	if (flags & STEP_AC && !only_descriptors)
		return;
	add_case(c, p, S_DESCRIPTOR, false, flags);
	add_case(c, p, S_DESCRIPTOR, true, flags);
}

static struct path plain_path(int leaf)
{
	struct path p = { .leaf = leaf };

	for (int level = 1; level <= 4; level++)
		p.flags[level] = PM_P | PM_W | PM_U;
	return p;
}

static u64 rights(u32 bits)
{
	return PM_P | (bits & 1 ? PM_W : 0) | (bits & 2 ? PM_U : 0) | (bits & 4 ? PM_XD : 0);
}

static int lowest_with_flags(const struct pm_cpu *c)
{
	return c->mode == PM_PAE ? 2 : c->mode;
}

/* Each set of rights at each level below and above permissive ones, and some at random. */
static void add_rights(const struct pm_cpu *c, int leaf, u32 flags)
{
	u32 sets = c->mode == PM_32 || !has_nx() ? 4 : 8;
	struct path p;

	for (int level = leaf; level <= lowest_with_flags(c); level++)
		for (u32 set = 0; set < sets; set++) {
			p = plain_path(leaf);
			p.flags[level] = rights(set);
			add_kinds(c, &p, flags);
		}
	for (u32 i = 0; i < 8; i++) {
		p = plain_path(leaf);
		for (int level = leaf; level <= lowest_with_flags(c); level++)
			p.flags[level] = rights(next_random(&seed) % sets);
		add_kinds(c, &p, flags);
	}
}

/* A bit that is reserved at this level, one way or the other; 0: there isn't one. */
static u64 reserved_bit(const struct pm_cpu *c, int level, bool page, u32 which)
{
	int top = c->mode == PM_PAE ? 62 : 51, width = c->maxphyaddr;

	if (c->mode == PM_32)
		return page && level > 1 && c->pse && !which ? 1ul << 21 : 0;
	switch (which) {
	case 0:
		return width <= top ? 1ul << width : 0;
	case 1:
		return width <= top ? 1ul << top : 0;
	case 2:
		return page && level > 1 ? 1ul << 13 : 0;
	case 3:
		return page && level > 1 ? 1ul << (pm_shift(c, level) - 1) : 0;
	case 4:
		return !page && level > 1 ? PM_PS : 0;
	default:
		return 0;
	}
}

/* Entries that aren't there, or are malformed, or both on one path. */
static void add_defects(const struct pm_cpu *c, int leaf, u32 flags)
{
	int top = lowest_with_flags(c);
	struct path p;

	for (int level = leaf; level <= top; level++) {
		p = plain_path(leaf);
		p.flags[level] &= ~PM_P;
		add_kinds(c, &p, flags);
		p.flip[level] = pm_bits(c->mode == PM_32 ? 31 : 63, 1);
		add_kinds(c, &p, flags);
		for (u32 which = 0; which < 5; which++) {
			p = plain_path(leaf);
			p.flip[level] = reserved_bit(c, level, level == leaf, which);
			if (!p.flip[level])
				continue;
			add_kinds(c, &p, flags);
			p.flags[level] &= ~PM_U;	/* and not permitted either */
			add_kinds(c, &p, flags);
			if (level < top) {		/* and absent above, or below */
				p.flags[level + 1] &= ~PM_P;
				add_kinds(c, &p, flags);
			}
			if (level > leaf) {
				p = plain_path(leaf);
				p.flip[level] = reserved_bit(c, level, false, which);
				p.flags[level - 1] &= ~PM_P;
				add_kinds(c, &p, flags);
			}
		}
	}
}

static void add_all(const struct pm_cpu *c, int leaf)
{
	if (!only_descriptors) {
		add_rights(c, leaf, STEP_USER);
		add_defects(c, leaf, STEP_USER);
		add_rights(c, leaf, 0);
		add_defects(c, leaf, 0);
	}
	if (!c->smap)
		return;
	add_rights(c, leaf, STEP_AC);
	add_rights(c, leaf, STEP_AC | STEP_USER);
}

/* ---- setting up ------------------------------------------------------------------------------ */

static void make_slots(struct pm_cpu *c)
{
	u64 root = (u64)new_page();

	cells = new_page();
	for (u32 i = 1; i < SLOTS / CELLS; i++)
		new_page();
	for (u32 slot = 0; slot < SLOTS; slot++)
		for (int level = 1; level < (int)c->mode; level++)
			tables[slot][level] = (u64)new_page();
	c->cr3 = root;
	c->maxphyaddr = physical_width();
	c->gbpages = has_1g_pages();
	map_own_memory(c, root, 0, 0);
	for (int i = 1; c->mode == PM_PAE && i < 4; i++)
		((u64 *)root)[i] = (u64)new_page() | PM_P;
	load_pdptes(c);
}

/* Under all the control bits that this CPU has, with or without NXE. */
static void check_with(struct pm_cpu c, int leaf, bool nxe)
{
	if (nxe && !has_nx())
		return;
	c.nxe = nxe;
	for (u32 bits = 0; bits < 8; bits++) {
		c.wp = bits & 1;
		c.smep = bits & 2;
		c.smap = bits & 4;
		if ((c.smep && !HAS_SMEP) || (c.smap && !HAS_SMAP))
			continue;
		add_all(&c, leaf);
		flush_batch(&c);
	}
}

static void check_mode(struct pm_cpu c, int leaf)
{
	make_slots(&c);
	check_with(c, leaf, false);
	check_with(c, leaf, true);
	print("%lu cases\n", cases_done);
}

/* Two levels have no NX bit; whoever thinks that they do is found by a test of its own. */
static void check_two_levels(struct pm_cpu c, int leaf, bool nxe)
{
	if (nxe && !has_nx())
		skip("no NX in this CPU");
	make_slots(&c);
	check_with(c, leaf, nxe);
	print("%lu cases\n", cases_done);
}

GUEST_TEST(four_levels_4k)
{
	check_mode((struct pm_cpu){ .mode = PM_LONG }, 1);
}

GUEST_TEST(four_levels_2m)
{
	check_mode((struct pm_cpu){ .mode = PM_LONG }, 2);
}

GUEST_TEST(four_levels_1g)
{
	if (!has_1g_pages())
		skip("no 1G pages in this CPU");
	check_mode((struct pm_cpu){ .mode = PM_LONG }, 3);
}

GUEST_TEST(pae_4k)
{
	check_mode((struct pm_cpu){ .mode = PM_PAE }, 1);
}

GUEST_TEST(pae_2m)
{
	check_mode((struct pm_cpu){ .mode = PM_PAE }, 2);
}

GUEST_TEST(two_levels_4k)
{
	check_two_levels((struct pm_cpu){ .mode = PM_32, .pse = true }, 1, false);
}

GUEST_TEST(two_levels_4m)
{
	check_two_levels((struct pm_cpu){ .mode = PM_32, .pse = true }, 2, false);
}

GUEST_TEST(two_levels_without_pse)
{
	check_two_levels((struct pm_cpu){ .mode = PM_32 }, 1, false);
}

GUEST_TEST(two_levels_4k_with_nxe)
{
	check_two_levels((struct pm_cpu){ .mode = PM_32, .pse = true }, 1, true);
}

GUEST_TEST(two_levels_4m_with_nxe)
{
	check_two_levels((struct pm_cpu){ .mode = PM_32, .pse = true }, 2, true);
}

/* Reading a descriptor isn't an access that EFLAGS.AC allows. */
GUEST_TEST(descriptors_with_smap_and_ac)
{
	if (!HAS_SMAP)
		skip("no SMAP in this CPU");
	only_descriptors = true;
	check_mode((struct pm_cpu){ .mode = PM_LONG }, 1);
	check_mode((struct pm_cpu){ .mode = PM_PAE }, 2);
}
