// SPDX-License-Identifier: GPL-2.0
/*
 * Random edits of page tables, INVLPGs, loads of CR3, changes of the control bits, and accesses
 * between them, against the model in paging_model.h. Tables are shared between address spaces and
 * between levels, mapped as data where they translate, and written by bytes, halves, strings, and
 * across two entries.
 *
 * A processor may go on using what it has cached, so an access is made only where the architecture
 * says what comes of it: no entry on its way has changed since the last invalidation, but from not
 * usable to whatever. Two replicas of the memory run along: one while a list of steps is made up,
 * the other while what came of them is judged.
 */
#define OWN_PM_READ
#include "tables.h"

/* Memory that takes part: pages of data, then tables. */
#define DATA		(16 * MiB)
#define DATA_PAGES	1024ul
#define TABLES		(DATA + DATA_PAGES * PAGE)
#define MAX_TABLES	24ul
#define REGION_SIZE	((DATA_PAGES + MAX_TABLES) * PAGE)

/* In a page of data. */
#define AT_BYTE		0x240		/* no index of an entry that is used, in any mode */
#define AT_CODE		0x300		/* INT 0x80 */

#define STEPS		480u
#define WINDOW_PAGES	24
#define MAX_EDITED	64

/* A replica of the memory, and what the processor may have cached. */
struct world {
	u8 *copy;			/* of DATA … */
	struct pm_cpu cpu;
	bool stale[WINDOW_PAGES];	/* something else than what the tables say may be cached */
	u64 edited[MAX_EDITED];		/* entries that may be cached as they were */
	u32 edits;
	bool judging;
};

static struct world making = { .copy = (u8 *)(21 * MiB) };
static struct world judged = { .copy = (u8 *)(26 * MiB), .judging = true };
static struct world *world;		/* pm_read()'s */
static struct step steps[STEPS + 16];
static u32 step_count;
static u64 seed;
static u64 steps_before, accesses, faults, edits;
static bool has_smep, has_smap;
static bool all_controls;		/* SMAP without WP, and changes of NXE: KVM's shadow MMU errs */

/* The shape of the tables in one mode. */
static u32 indices[5][4], index_count[5];
static int home[MAX_TABLES];		/* the level that a table is for, mostly */
static u32 table_count;
static u64 window[WINDOW_PAGES];
static u32 window_count;

static u32 dice(u32 n)
{
	return next_random(&seed) % n;
}

static bool one_in(u32 n)
{
	return !dice(n);
}

static void copy(void *to, const void *from, u64 size)
{
	u64 words = size / 8, rest = size % 8;

	asm volatile("rep movsq; mov %3, %2; rep movsb"
		     : "+D"(to), "+S"(from), "+c"(words) : "r"(rest) : "memory");
}

/* ---- a world ----------------------------------------------------------------------------------- */

static bool in_region(u64 at)
{
	return at - DATA < REGION_SIZE;
}

static bool is_table(u64 at)
{
	return at - TABLES < table_count * PAGE;
}

static void *replica(struct world *w, u64 at)
{
	return w->copy + (at - DATA);
}

static u64 pm_read(u64 at, int size)
{
	const void *p = in_region(at) ? replica(world, at) : (void *)at;

	if (at >= IMAGE_MEMORY)
		fail("the test itself: a table at %lx", at);
	return size == 4 ? *(volatile u32 *)p : *(volatile u64 *)p;
}

static void forget_structures(struct world *w)
{
	w->edits = 0;
}

static void forget_all(struct world *w)
{
	for (u32 i = 0; i < window_count; i++)
		w->stale[i] = false;
	forget_structures(w);
}

static void note_edit(struct world *w, u64 at)
{
	if (w->edits < MAX_EDITED)
		w->edited[w->edits] = at;
	w->edits++;
}

static bool was_edited(const struct world *w, u64 at)
{
	if (w->edits > MAX_EDITED)
		return true;
	for (u32 i = 0; i < w->edits; i++)
		if (w->edited[i] == at)
			return true;
	return false;
}

/* Whoever is translated by a usable entry in [at, at + size) may keep that translation. */
static void mark_stale(struct world *w, u64 at, u64 size)
{
	for (u32 i = 0; i < window_count; i++) {
		struct pm_walk walk = pm_walk(&w->cpu, window[i]);

		for (int k = 0; k < walk.n; k++) {
			const struct pm_entry *e = &walk.entry[k];

			if (!e->in_memory || e->at + 8 <= at || e->at >= at + size)
				continue;
			if (k == walk.n - 1 && walk.stopped != PM_OK)
				continue;
			w->stale[i] = true;
			note_edit(w, e->at);
		}
	}
}

static void write_bytes(struct world *w, u64 at, const void *from, u32 size, bool in_parts)
{
	mark_stale(w, at, size);
	copy(replica(w, at), from, size);
	if (in_parts)		/* half of it may have been seen */
		mark_stale(w, at, size);
}

/* ---- one step ---------------------------------------------------------------------------------- */

static u32 write_size(u32 kind)
{
	switch (kind) {
	case S_WRITE:
	case S_LOCKED:
	case S_MODIFY:
		return 1;
	case S_STORE4:
		return 4;
	case S_STORE:
	case S_EXCHANGE:
	case S_MOVS:
		return 8;
	default:
		return 0;
	}
}

static struct pm_access access_of(const struct step *s)
{
	return (struct pm_access){
		.address = s->address, .write = write_size(s->kind), .fetch = s->kind == S_FETCH,
		.user = s->flags & STEP_USER, .ac = s->flags & STEP_AC,
	};
}

static void say_step(u32 i)
{
	const struct step *s = &steps[i];

	print("  %u: %s %lx%s%s, value %lx", i, step_name(s->kind), s->address,
	      s->flags & STEP_USER ? " by the user" : "", s->flags & STEP_AC ? " with AC" : "",
	      s->value);
	if (s->vector != ~0u)
		print(": vector %u, error code %x, cr2 %lx", s->vector, s->error, s->cr2);
	print("\n");
}

static _Noreturn void wrong(const struct step *s, const struct pm_walk *walk, unsigned int error,
			    const char *what)
{
	u32 i = s - steps;

	print("step %lu: %s\n", steps_before + i, what);
	for (u32 k = i > 20 ? i - 20 : 0; k <= i; k++)
		say_step(k);
	say_cpu(&world->cpu);
	say_walk(walk, s->seen);
	if (error == PM_OK)
		print("  at %lx\n", walk->physical);
	say_outcome("expected", error);
	say_outcome("got", s->vector == PF ? s->error : PM_OK);
	fail("value %lx", s->got);
}

/* The A and D bits: at least and at most what has to be set; then the replica has what there is. */
static void check_flags(struct world *w, const struct step *s, const struct pm_walk *walk,
			const struct pm_access *a, unsigned int error)
{
	u64 mask = w->cpu.mode == PM_32 ? 0xffffffff : ~0ul, must, may;

	for (int i = 0; i < walk->n; i++) {
		const struct pm_entry *e = &walk->entry[i];
		u64 after = s->seen[i] & mask;

		pm_flags(walk, i, a, error, &must, &may);
		if (!e->in_memory || !in_region(e->at))
			continue;
		if (!w->judging) {
			after = e->value | must;
		} else {
			if (s->look_at[i] != e->at)
				fail("the test itself: another walk in step %lu", s - steps);
			/* an entry above the last that is still cached as it was isn't walked */
			if (must & ~after && !(i < walk->n - 1 && was_edited(w, e->at)))
				wrong(s, walk, error, "an accessed or dirty bit is missing");
			if ((e->value ^ after) & ~may || e->value & ~after)
				wrong(s, walk, error, "an entry has changed");
		}
		copy(replica(w, e->at), &after, pm_entry_size(&w->cpu));
	}
}

static void make_access(struct world *w, const struct step *s)
{
	struct pm_access a = access_of(s);
	struct pm_walk walk = pm_walk(&w->cpu, s->address);
	unsigned int error = pm_outcome(&w->cpu, &walk, &a);
	u32 size = write_size(s->kind);
	u8 *there = in_region(walk.physical) ? replica(w, walk.physical) : NULL;
	u8 byte;

	if (w->judging) {
		if (s->vector != (error == PM_OK ? ~0u : PF))
			wrong(s, &walk, error, "the outcome");
		if (error != PM_OK && s->error != error)
			wrong(s, &walk, error, "the error code");
		if (error != PM_OK && s->cr2 != s->address)
			wrong(s, &walk, error, "CR2");
		accesses++;
		faults += error != PM_OK;
	}
	if (s->address >= GiB)		/* the test's own mappings are looked at by nobody */
		check_flags(w, s, &walk, &a, error);
	if (error != PM_OK)
		return;
	if (w->judging && s->kind == S_READ && (u8)s->got != *there)
		wrong(s, &walk, error, "another value is read");
	if (s->kind == S_LOCKED || s->kind == S_MODIFY) {
		byte = *there + 1;
		write_bytes(w, walk.physical, &byte, 1, false);
	} else if (size) {
		write_bytes(w, walk.physical, &s->value, size, s->kind == S_MOVS);
	}
}

static void load_pdptes_of(struct world *w)
{
	for (int i = 0; i < 4 && w->cpu.mode == PM_PAE; i++)
		w->cpu.pdpte[i] = pm_read(w->cpu.cr3 + 8 * i, 8);
}

static void make_step(struct world *w, const struct step *s)
{
	world = w;
	if (w->judging && s->vector != ~0u && (s->vector != PF || s->kind >= S_INVLPG)) {
		print("step %lu\n", steps_before + (s - steps));
		say_step(s - steps);
		fail("an exception that isn't expected");
	}
	switch (s->kind) {
	case S_INVLPG:
		for (u32 i = 0; i < window_count; i++)
			if (window[i] == (s->address & ~(PAGE - 1)))
				w->stale[i] = false;
		forget_structures(w);
		break;
	case S_CR3:
		w->cpu.cr3 = s->value;
		load_pdptes_of(w);
		forget_all(w);
		break;
	case S_CR0:
		w->cpu.wp = s->value & CR0_WP;
		break;
	case S_CR4:		/* SMEP is among the bits whose change loads the PDPTEs */
		if (w->cpu.smep != !!(s->value & CR4_SMEP))
			load_pdptes_of(w);
		w->cpu.smep = s->value & CR4_SMEP;
		w->cpu.smap = s->value & CR4_SMAP;
		break;
	case S_EFER:
		w->cpu.nxe = s->value & EFER_NX;
		break;
	default:
		make_access(w, s);
	}
}

/* ---- making steps up --------------------------------------------------------------------------- */

/* The step is part of the list, and made in the replica. */
static void add(struct step s)
{
	s.vector = ~0u;
	steps[step_count] = s;
	make_step(&making, &steps[step_count]);
	step_count++;
}

static u64 table_at(u32 i)
{
	return TABLES + i * PAGE;
}

static u64 some_table(int level)
{
	for (;;) {
		u32 i = dice(table_count);

		if (home[i] == level || one_in(40))
			return table_at(i);
	}
}

static u64 some_data(void)
{
	/* few, so that several entries map the same */
	return DATA + (one_in(4) ? dice(DATA_PAGES) : dice(8) * 77) * PAGE;
}

static u64 some_target(int level)
{
	if (level == 1)
		return one_in(6) ? table_at(dice(table_count)) : some_data();
	if (level == 2 && one_in(6) && (making.cpu.mode != PM_32 || making.cpu.pse))
		return PM_PS | (DATA + (making.cpu.mode == PM_32 ? 0 : dice(2) * 2 * MiB));
	return some_table(level - 1);
}

static u64 some_rights(void)
{
	u64 v = PM_P | PM_W | PM_U;

	if (one_in(6))
		v &= ~PM_W;
	if (one_in(5))
		v &= ~PM_U;
	if (making.cpu.mode != PM_32 && making.cpu.nxe && one_in(8))
		v |= PM_XD;
	return v | (one_in(2) ? PM_A : 0) | (one_in(3) ? PM_D : 0);
}

static u64 some_bit(void)
{
	static const u64 bits[] = {
		PM_P, PM_P, PM_W, PM_W, PM_U, PM_U, PM_A, PM_A, PM_D, PM_D, PTE_G, 1 << 9, 1 << 11,
	};

	return bits[dice(ARRAY_SIZE(bits))];
}

static u64 reserved(void)
{
	if (making.cpu.mode == PM_32 || making.cpu.maxphyaddr == 52)
		return 0;
	return 1ul << (making.cpu.maxphyaddr + dice(52 - making.cpu.maxphyaddr));
}

/* What an entry of that level may become. */
static u64 new_value(u64 old, int level)
{
	if (making.cpu.mode == PM_PAE && level == 3)
		return one_in(4) ? 0 : some_table(2) | PM_P;
	switch (old & PM_P ? dice(16) : 15) {
	case 0:
		return 0;
	case 1:
		return some_target(level) | some_rights() | reserved();
	case 2 ... 4:
		return old & ~(PM_A | PM_D);
	case 5 ... 9:
		return old ^ some_bit();
	default:
		return some_target(level) | some_rights();
	}
}

static u32 some_index(int level)
{
	return indices[level][dice(index_count[level])];
}

static u64 peek(u64 at)
{
	world = &making;
	return pm_read(at, 8);
}

static u64 write_kinds[] = { S_STORE, S_STORE, S_EXCHANGE, S_MOVS };

/*
 * An edit of the entry, or entries, at a physical address, by a linear one: whole, in halves, as a
 * single byte, or across the border of two.
 */
static void add_edit(u64 linear, u64 at, int level, u32 flags)
{
	int size = pm_entry_size(&making.cpu);
	u64 value = new_value(peek(at) & (size == 4 ? 0xffffffff : ~0ul), level);
	struct step s = { .address = linear, .value = value, .flags = flags };

	edits++;
	if (one_in(6) && (peek(at) ^ value) >> 8 == 0) {
		s.kind = S_WRITE;
		add(s);
		return;
	}
	if (size == 4) {
		s.kind = S_STORE4;
		if (one_in(8) && (at & 0xfff) < 0xff8) {	/* its upper half goes with the next one's lower */
			s.address += 2;
			s.value = value >> 16 | (peek(at + 4) & 0xffff) << 16;
		}
		add(s);
		return;
	}
	s.kind = write_kinds[dice(ARRAY_SIZE(write_kinds))];
	if (one_in(6)) {		/* the halves, one by one */
		s.kind = S_STORE4;
		add(s);
		s.address += 4;
		s.value = value >> 32;
	} else if (one_in(8) && (at & 0xfff) < 0xff0) {
		s.kind = S_STORE;
		s.address += 4;
		s.value = value >> 32 | peek(at + 8) << 32;
	}
	add(s);
}

/* PDPTEs must be well-formed when CR3 is loaded. */
static bool may_be_root(u64 root)
{
	for (int i = 0; i < 4 && making.cpu.mode == PM_PAE; i++) {
		u64 v = peek(root + 8 * i);

		if (v & PM_P && v & (0x1e6 | pm_bits(63, making.cpu.maxphyaddr)))
			return false;
	}
	return true;
}

/* In its own or another level's place. */
static void edit_some_entry(void)
{
	u32 i = dice(table_count);
	int level = home[i];
	u64 at = table_at(i) + some_index(level) * pm_entry_size(&making.cpu), linear = at;

	if (one_in(3))
		linear = ALIAS + (at - TABLES);
	add_edit(linear, at, level, 0);
}

/* Does what is written stand where this walk reads? */
static bool writes_own_walk(const struct pm_walk *w, u64 at, u32 size)
{
	for (int i = 0; i < w->n; i++)
		if (w->entry[i].at + 8 > at && w->entry[i].at < at + size)
			return true;
	return false;
}

static u32 some_flags(void)
{
	return (one_in(2) ? STEP_USER : 0) | (one_in(3) ? STEP_AC : 0);
}

static void look_at_walk(struct step *s, const struct pm_walk *w)
{
	for (int i = 0; i < w->n; i++)
		s->look_at[i] = w->entry[i].in_memory ? w->entry[i].at : 0;
}

static const u32 access_kinds[] = { S_READ, S_READ, S_WRITE, S_WRITE, S_FETCH, S_LOCKED, S_MODIFY };

/* In a table at an entry that counts; never at the code. */
static u32 some_offset(u32 kind)
{
	int level = 1 + dice(making.cpu.mode);

	if (kind == S_FETCH)
		return AT_CODE;
	return one_in(3) ? some_index(level) * pm_entry_size(&making.cpu) : AT_BYTE;
}

/* An access whose outcome is known. */
static void access_window(u32 page)
{
	u32 kind = access_kinds[dice(ARRAY_SIZE(access_kinds))];
	struct step s = { .address = window[page] + some_offset(kind), .kind = kind,
			  .flags = some_flags(), .value = dice(256) };
	struct pm_access a = access_of(&s);
	struct pm_walk w;
	unsigned int error;

	world = &making;
	w = pm_walk(&making.cpu, s.address);
	error = pm_outcome(&making.cpu, &w, &a);
	if (error == PM_OK) {
		if (!in_region(w.physical) || writes_own_walk(&w, w.physical, write_size(kind)))
			return;
		/* only what takes no part in translations is executed, and counted up */
		if (kind >= S_FETCH && w.physical >= TABLES)
			return;
		/* a table's entry, through its mapping as data */
		if (kind == S_WRITE && is_table(w.physical)) {
			if (writes_own_walk(&w, w.physical, 4))
				return;
			s.kind = S_STORE4;
			s.value = new_value(peek(w.physical & ~7ul), home[(w.physical - TABLES) / PAGE]);
		}
	}
	look_at_walk(&s, &w);
	add(s);
}

/*
 * With PAE each change is followed by a load of CR3, since the PDPTEs are loaded by some of them (by
 * Bochs 2.7, by all).
 */
static void change_control(void)
{
	struct pm_cpu c = making.cpu;
	u32 what = dice(3);

	if (!may_be_root(c.cr3))
		return;
	if (what == 0) {
		c.wp = !c.wp || (c.smap && !all_controls);
		add((struct step){ .kind = S_CR0, .value = cr0_of(&c) });
	} else if (what == 1) {
		c.smep = has_smep && one_in(2);
		c.smap = has_smap && one_in(2);
		c.smap &= c.wp || all_controls;
		add((struct step){ .kind = S_CR4, .value = cr4_of(&c) });
	} else if (has_nx() && c.mode != PM_32 && all_controls) {
		c.nxe = !c.nxe;
		add((struct step){ .kind = S_EFER, .value = efer_of(&c) });
	}
	if (what == 2 || c.mode == PM_PAE)
		add((struct step){ .kind = S_CR3, .value = c.cr3 });
}

static void change_root(void)
{
	u32 i = dice(table_count);

	if (home[i] == (int)making.cpu.mode && may_be_root(table_at(i)))
		add((struct step){ .kind = S_CR3, .value = table_at(i) });
}

static void add_something(void)
{
	u32 page = dice(window_count);

	switch (dice(16)) {
	case 0 ... 3:
		edit_some_entry();
		break;
	case 4:
		change_root();
		break;
	case 5:
		if (one_in(3))
			change_control();
		break;
	case 6:
		add((struct step){ .kind = S_INVLPG, .address = window[page] + dice(4096) });
		break;
	default:
		if (making.stale[page]) {
			if (one_in(2))
				break;
			add((struct step){ .kind = S_INVLPG, .address = window[page] });
		}
		access_window(page);
	}
}

/* ---- setting up -------------------------------------------------------------------------------- */

static void set_indices(int level, u32 a, u32 b, u32 c, u32 n)
{
	indices[level][0] = a;
	indices[level][1] = b;
	indices[level][2] = c;
	index_count[level] = n;
}

static void set_shape(enum pm_mode mode)
{
	if (mode == PM_32) {
		set_indices(2, 300, 301, 1020, 3);
		set_indices(1, 7, 8, 1023, 3);
	} else {
		set_indices(4, 1, 300, 0, 2);
		set_indices(3, mode == PM_LONG ? 511 : 1, 2, 0, 2);
		set_indices(2, 5, 6, 0, 2);
		set_indices(1, 7, 8, 511, 3);
	}
	table_count = 0;
	for (int level = mode; level; level--)
		for (int i = 0; i < (level == (int)mode ? 3 : 2 + (4 - level)); i++)
			home[table_count++] = level;
}

static void set_window(const struct pm_cpu *c)
{
	u32 choice[5] = { 0 };

	for (window_count = 0; window_count < WINDOW_PAGES; window_count++) {
		u64 a = 0;
		int level;

		for (level = 1; level <= (int)c->mode; level++)
			a |= (u64)indices[level][choice[level]] << pm_shift(c, level);
		if (c->mode == PM_LONG && a >> 47 & 1)
			a |= 0xffffull << 48;
		window[window_count] = a;
		for (level = 1; level <= (int)c->mode; level++) {
			if (++choice[level] < index_count[level])
				break;
			choice[level] = 0;
		}
		if (level > (int)c->mode) {
			window_count++;
			break;
		}
	}
}

static void fill_memory(const struct pm_cpu *c)
{
	for (u64 i = 0; i < REGION_SIZE / 8; i++)
		((u64 *)DATA)[i] = 0;
	for (u64 at = DATA; at < TABLES; at += PAGE) {
		*(u8 *)(at + AT_BYTE) = at >> 12;
		*(u16 *)(at + AT_CODE) = 0x80cd;
	}
	for (u32 i = 0; i < table_count; i++) {
		if (home[i] == (int)c->mode)
			map_own_memory(c, table_at(i), TABLES, table_count);
		for (u32 k = 0; k < index_count[home[i]]; k++)
			put_entry(c, table_at(i) + indices[home[i]][k] * pm_entry_size(c),
				  c->mode == PM_PAE && home[i] == 3 ? some_table(2) | PM_P :
				  some_target(home[i]) | PM_P | PM_W | PM_U);
	}
	copy(making.copy, (void *)DATA, REGION_SIZE);
	copy(judged.copy, (void *)DATA, REGION_SIZE);
}

/* What nobody has looked at may have been marked as accessed ahead of time, and nothing else. */
static void compare_memory(u64 from, u64 size)
{
	for (u64 at = from; at < from + size; at += 8) {
		u64 *there = (u64 *)at, *here = replica(&judged, at);

		if (*there == *here)
			continue;
		if ((*there ^ *here) & ~(PM_A | PM_A << 32))
			fail("after step %lu: %lx is %lx, not %lx", steps_before, at, *there,
			     *here);
		*here = *there;
	}
}

/* The next list begins with it: it has to be one by then. A bits make a PDPTE malformed. */
static void mend_root(void)
{
	u64 root = making.cpu.cr3;

	for (u32 i = 0; i < 4 && !may_be_root(root); i++)
		if (i)
			add((struct step){ .kind = S_STORE, .address = root + 8 * i });
}

static void run_list(void)
{
	struct pm_cpu begin = judged.cpu;

	making.cpu = judged.cpu;
	forget_all(&making);
	forget_all(&judged);
	copy(replica(&making, TABLES), replica(&judged, TABLES), MAX_TABLES * PAGE);
	world = &making;
	load_pdptes_of(&making);
	for (step_count = 0; step_count < STEPS; )
		add_something();
	mend_root();
	visit_with(&begin, steps, step_count);
	world = &judged;
	load_pdptes_of(&judged);
	for (u32 i = 0; i < step_count; i++)
		make_step(&judged, &steps[i]);
	steps_before += step_count;
	compare_memory(TABLES, table_count * PAGE);
}

static void stress(struct pm_cpu c, u64 start, u32 lists)
{
	seed = start;
	context("seed %lx", start);
	has_smep = HAS_SMEP;
	has_smap = HAS_SMAP;
	c.wp = true;
	c.nxe = c.mode != PM_32 && has_nx();
	c.maxphyaddr = physical_width();
	c.gbpages = has_1g_pages();
	c.cr3 = TABLES;
	judged.cpu = making.cpu = c;
	set_shape(c.mode);
	set_window(&c);
	fill_memory(&c);
	for (u32 i = 0; i < lists; i++)
		run_list();
	compare_memory(DATA, DATA_PAGES * PAGE);
	print("seed %lx: %lu steps, %lu edits, %lu accesses of which %lu fault\n", start,
	      steps_before, edits, accesses, faults);
}

#define SEED	0x9e3779b97f4a7c15

GUEST_TEST(four_levels)
{
	for (u64 i = 1; i <= 4; i++)
		stress((struct pm_cpu){ .mode = PM_LONG }, i * SEED, 10);
}

GUEST_TEST(pae)
{
	for (u64 i = 1; i <= 4; i++)
		stress((struct pm_cpu){ .mode = PM_PAE }, i * SEED, 10);
}

GUEST_TEST(two_levels)
{
	for (u64 i = 1; i <= 4; i++)
		stress((struct pm_cpu){ .mode = PM_32, .pse = true }, i * SEED, 10);
}

GUEST_TEST(two_levels_without_pse)
{
	stress((struct pm_cpu){ .mode = PM_32 }, SEED, 10);
}

GUEST_TEST(four_levels_all_controls)
{
	all_controls = true;
	for (u64 i = 1; i <= 2; i++)
		stress((struct pm_cpu){ .mode = PM_LONG }, i * SEED, 10);
}

GUEST_TEST(pae_all_controls)
{
	all_controls = true;
	for (u64 i = 1; i <= 2; i++)
		stress((struct pm_cpu){ .mode = PM_PAE }, i * SEED, 10);
}
