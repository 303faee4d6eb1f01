// SPDX-License-Identifier: GPL-2.0
/*
 * Rules of paging that aren't about single entries: what is loaded and invalidated when, PDPTEs,
 * global pages, process-context identifiers, and the way from each mode to the others.
 */
#include "tables.h"

/* In 64-bit mode, on the guest's own tables. */
#define WINDOW		0x40000000000ul

static u64 *a, *b;			/* pages of 1 and 2 */

static void make_pages(void)
{
	a = new_page();
	b = new_page();
	*a = 1;
	*b = 2;
}

/* ---- lists of steps ---------------------------------------------------------------------------- */

static struct step steps[64];
static u32 step_count;

static void add(u32 kind, u64 address, u64 value)
{
	steps[step_count++] = (struct step){ .kind = kind, .address = address, .value = value };
}

/* Reads a byte and expects it. */
static u32 expected_at[64], expected_count;
static u8 expected_byte[64];

static void add_read(u64 address, u8 byte)
{
	expected_at[expected_count] = step_count;
	expected_byte[expected_count++] = byte;
	add(S_READ, address, 0);
}

static void run(const struct pm_cpu *c)
{
	visit_with(c, steps, step_count);
	for (u32 i = 0; i < step_count; i++)
		if (steps[i].vector != ~0u)
			fail("step %u, %s %lx: vector %u, error code %x, cr2 %lx", i,
			     step_name(steps[i].kind), steps[i].address, steps[i].vector,
			     steps[i].error, steps[i].cr2);
	for (u32 i = 0; i < expected_count; i++)
		if ((u8)steps[expected_at[i]].got != expected_byte[i])
			fail("step %u, read of %lx: %lx instead of %x", expected_at[i],
			     steps[expected_at[i]].address, steps[expected_at[i]].got,
			     expected_byte[i]);
	step_count = expected_count = 0;
}

/* Tables of one mode that map its window to a page. */
static struct pm_cpu make_root(enum pm_mode mode, u64 address, u64 page)
{
	struct pm_cpu c = { .mode = mode, .pse = mode == PM_32, .wp = true };
	u64 table = (u64)new_page();

	c.cr3 = table;
	map_own_memory(&c, table, 0, 0);
	for (int level = mode; level; level--) {
		u64 at = table + pm_index(&c, address, level) * pm_entry_size(&c);
		u64 old = pm_read(at, pm_entry_size(&c)) & ~0xffful;
		bool pdpte = mode == PM_PAE && level == 3;

		table = level == 1 ? page : old ? old : (u64)new_page();
		put_entry(&c, at, table | PM_P | (pdpte ? 0 : PM_W | PM_U));
	}
	load_pdptes(&c);
	return c;
}

#define LOW_WINDOW	0x41234000ul

/* ---- modes ------------------------------------------------------------------------------------- */

static void add_mode(const struct pm_cpu *c)
{
	add(S_CR0, 0, cr0_of(c) & ~CR0_PG);
	add(S_CR4, 0, cr4_of(c));
	if (!c->mode)
		return;
	add(S_CR3, 0, c->cr3);
	add(S_CR0, 0, cr0_of(c));
}

/* SMEP is a rule about pages: with paging off there is none, and it comes back with paging. */
GUEST_TEST(smep_goes_with_paging)
{
	struct pm_cpu pae;
	u32 fetch;

	if (!HAS_SMEP)
		skip("no SMEP in this CPU");
	make_pages();
	*a = 0x80cd;		/* INT 0x80 */
	pae = make_root(PM_PAE, LOW_WINDOW, (u64)a);
	for (int i = 0; i < 2; i++) {	/* set while paging is on, and while it is off */
		add(S_CR4, 0, cr4_of(&pae) | CR4_SMEP);
		add(S_CR0, 0, cr0_of(&pae) & ~CR0_PG);
		add_read((u64)b, 2);
		add(S_CR4, 0, cr4_of(&pae) | (i ? CR4_SMEP : 0));
		add(S_CR0, 0, cr0_of(&pae));
		fetch = step_count;
		add(S_FETCH, LOW_WINDOW, 0);
		visit_with(&pae, steps, step_count);
		CHECK_EQ(steps[fetch].vector, i ? PF : ~0u);
		if (i)
			CHECK_EQ(steps[fetch].error, PM_ERR_P | PM_ERR_ID);
		step_count = expected_count = 0;
	}
}

/* 32-bit code goes round all its modes, with the same linear address in each. */
GUEST_TEST(modes_in_turn)
{
	struct pm_cpu none = { .mode = PM_NONE }, pae, two, four;

	make_pages();
	two = make_root(PM_32, LOW_WINDOW, (u64)a);
	pae = make_root(PM_PAE, LOW_WINDOW, (u64)b);
	four = make_root(PM_LONG, LOW_WINDOW, (u64)a);
	for (int i = 0; i < 4; i++) {
		add_read(LOW_WINDOW, 1 + i);
		add_mode(&none);
		add_read((u64)a, 1 + i);
		add_read((u64)b, 2 + i);
		add(S_MODIFY, (u64)a, 0);
		add_mode(&pae);
		add_read(LOW_WINDOW, 2 + i);
		add(S_MODIFY, LOW_WINDOW, 0);
		add_mode(&two);
		add_read(LOW_WINDOW, 2 + i);
		add_mode(&pae);
		add_read(LOW_WINDOW, 3 + i);
		add_mode(&none);
		add_mode(&two);
		add_read(LOW_WINDOW, 2 + i);
		run(&two);
		add_read(LOW_WINDOW, 2 + i);
		run(&four);
	}
	CHECK_EQ(*a, 5);
	CHECK_EQ(*b, 6);
}

/* One root in two modes: the tables of 4-byte entries mean something else as 8-byte ones. */
GUEST_TEST(tables_read_in_another_mode)
{
	struct pm_cpu none = { .mode = PM_NONE }, two, pae;
	u32 *small;

	make_pages();
	two = make_root(PM_32, LOW_WINDOW, (u64)a);
	pae = make_root(PM_PAE, LOW_WINDOW, (u64)b);
	/* the page table of the first also serves the second, whose index is another */
	small = (u32 *)(u64)(((u32 *)two.cr3)[LOW_WINDOW >> 22] & ~0xfff);
	small[2 * pm_index(&pae, LOW_WINDOW, 1)] = (u32)(u64)b | PM_P | PM_W;
	*(u64 *)((((u64 *)(pae.pdpte[1] & ~0xffful))[pm_index(&pae, LOW_WINDOW, 2)] & ~0xffful) +
		 8 * pm_index(&pae, LOW_WINDOW, 1)) = 0;
	((u64 *)(pae.pdpte[1] & ~0xffful))[pm_index(&pae, LOW_WINDOW, 2)] =
		(u64)small | PM_P | PM_W | PM_U;
	for (int i = 0; i < 4; i++) {
		add_read(LOW_WINDOW, 1);
		add_mode(&none);
		add_mode(&pae);
		add_read(LOW_WINDOW, 2);
		add_mode(&none);
		add_mode(&two);
		add_read(LOW_WINDOW, 1);
		run(&two);
	}
}

/* ---- PDPTEs ------------------------------------------------------------------------------------ */

/* They are loaded with CR3; what memory says afterwards counts from the next load on. */
GUEST_TEST(pdptes_are_registers)
{
	struct pm_cpu c, other;
	u64 slot;

	make_pages();
	c = make_root(PM_PAE, LOW_WINDOW, (u64)a);
	other = make_root(PM_PAE, LOW_WINDOW, (u64)b);
	slot = c.cr3 + 8;
	add_read(LOW_WINDOW, 1);
	add(S_STORE, slot, other.pdpte[1]);
	add_read(LOW_WINDOW, 1);
	add(S_INVLPG, LOW_WINDOW, 0);
	add_read(LOW_WINDOW, 1);
	add(S_CR3, 0, c.cr3);
	add_read(LOW_WINDOW, 2);
	/* not even reserved bits are seen before */
	add(S_STORE, slot, 0x1e7);
	add(S_INVLPG, LOW_WINDOW, 0);
	add_read(LOW_WINDOW, 2);
	add(S_STORE, slot, c.pdpte[1]);
	add(S_CR3, 0, c.cr3);
	add_read(LOW_WINDOW, 1);
	run(&c);
}

/* A malformed one is refused with #GP; CR3 and what was loaded stay. */
GUEST_TEST(malformed_pdptes_are_refused)
{
	u64 bits[] = { 1 << 1, 1 << 2, 1 << 5, 1 << 8, 1ul << 62, PM_XD, 1ul << physical_width() };
	struct pm_cpu c, other;

	make_pages();
	c = make_root(PM_PAE, LOW_WINDOW, (u64)a);
	other = make_root(PM_PAE, LOW_WINDOW, (u64)b);
	for (u32 i = 0; i < ARRAY_SIZE(bits); i++) {
		context("bit %lx", bits[i]);
		((u64 *)other.cr3)[3] = PM_P | bits[i];
		add_read(LOW_WINDOW, 1);
		add(S_CR3, 0, other.cr3);
		add_read(LOW_WINDOW, 1);
		visit_with(&c, steps, step_count);
		CHECK_EQ(steps[1].vector, GP);
		CHECK_EQ(steps[1].error, 0);
		CHECK_EQ(steps[2].vector, ~0u);
		CHECK_EQ((u8)steps[2].got, 1);
		step_count = expected_count = 0;
		/* without P nothing is reserved */
		((u64 *)other.cr3)[3] = bits[i];
		add(S_CR3, 0, other.cr3);
		add_read(LOW_WINDOW, 2);
		run(&c);
	}
}

/* The low 5 bits of CR3 don't count; the rest of the page may hold other sets of four. */
GUEST_TEST(pdptes_anywhere_in_a_page)
{
	struct pm_cpu c, other;
	u64 *set;

	make_pages();
	c = make_root(PM_PAE, LOW_WINDOW, (u64)a);
	other = make_root(PM_PAE, LOW_WINDOW, (u64)b);
	set = (u64 *)(c.cr3 + 32 * 77);
	for (int i = 0; i < 4; i++)
		set[i] = other.pdpte[i];
	for (int i = 0; i < 3; i++) {
		add(S_CR3, 0, (u64)set);
		add_read(LOW_WINDOW, 2);
		add(S_CR3, 0, c.cr3);
		add_read(LOW_WINDOW, 1);
		add(S_CR3, 0, (u64)set | 0x18);
		add_read(LOW_WINDOW, 2);
		run(&c);
	}
}

/* ---- what needs no invalidation ---------------------------------------------------------------- */

/* More rights: a fault may come once for what is cached, and then never again. */
GUEST_TEST(rights_grow_without_invlpg)
{
	volatile u64 *p = (u64 *)WINDOW;
	u64 *pte, spurious = 0;

	make_pages();
	for (int i = 0; i < 100; i++) {
		pte = map_at(WINDOW, (u64)a, 1, 0);
		CHECK_EQ(*p, 1);
		*pte |= PTE_W;
		CATCH("movq $1, (%0)", : : "r"(p) : "memory");
		if (last_trap.vector != NO_TRAP) {
			CHECK_TRAP(&last_trap, PF, PFERR_P | PFERR_W);
			spurious++;
			CHECK_NO_TRAP(CATCH("movq $1, (%0)", : : "r"(p) : "memory"));
		}
		CHECK(*pte & PTE_D);
	}
	if (spurious)
		print("%lu faults for what was cached\n", spurious);
}

/* Not present, in each level of the tables, to present. */
GUEST_TEST(new_tables_are_seen_at_once)
{
	make_pages();
	for (u64 i = 0; i < 16; i++) {
		u64 at = WINDOW + i * (GiB / 4) + i * PAGE;

		context("round %lu", i);
		CHECK_TRAP(CATCH("mov (%0), %%rax", : : "r"(at) : "rax"), PF, 0);
		*entry_at(at, 1) = (u64)(i & 1 ? a : b) | PTE_P;
		CHECK_EQ(*(volatile u64 *)at, i & 1 ? 1 : 2);
	}
}

/* ---- global pages ------------------------------------------------------------------------------ */

/* G in tables, and in leaves while CR4.PGE is clear, means nothing. */
GUEST_TEST(global_bit_that_does_not_count)
{
	volatile u64 *p = (u64 *)WINDOW;
	u64 *pte;

	make_pages();
	pte = map_at(WINDOW, (u64)a, 1, PTE_W | PTE_G);
	CHECK_EQ(*p, 1);
	*pte = (u64)b | PTE_P | PTE_W | PTE_G;
	write_cr3(read_cr3());
	CHECK_EQ(*p, 2);
	write_cr4(read_cr4() | CR4_PGE);
	*pte = (u64)a | PTE_P | PTE_W;
	*entry_at(WINDOW, 2) |= PTE_G;
	write_cr3(read_cr3());
	CHECK_EQ(*p, 1);
	*pte = (u64)b | PTE_P | PTE_W;
	write_cr3(read_cr3());
	CHECK_EQ(*p, 2);
	*entry_at(WINDOW, 2) &= ~PTE_G;
}

/* Many global pages over several address spaces: each INVLPG ends one, CR4.PGE all. */
GUEST_TEST(global_pages_of_two_spaces)
{
	u64 first = read_cr3(), *second = new_table();

	make_pages();
	write_cr4(read_cr4() | CR4_PGE);
	for (u64 i = 0; i < 64; i++)
		map_at(WINDOW + i * PAGE, (u64)a, 1, PTE_W | PTE_G);
	for (int i = 0; i < 512; i++)
		second[i] = root_table()[i];
	for (int round = 0; round < 6; round++) {
		u64 *now = round & 1 ? b : a, *next = round & 1 ? a : b;

		for (u64 i = 0; i < 64; i++)
			CHECK_EQ(*(volatile u64 *)(WINDOW + i * PAGE), *now);
		write_cr3((u64)second);
		for (u64 i = 0; i < 64; i++) {
			*entry_at(WINDOW + i * PAGE, 1) = (u64)next | PTE_P | PTE_W | PTE_G;
			if (round < 4)
				invlpg((void *)(WINDOW + i * PAGE));
		}
		if (round >= 4) {
			write_cr4(read_cr4() & ~CR4_PGE);
			write_cr4(read_cr4() | CR4_PGE);
		}
		for (u64 i = 0; i < 64; i += 5)
			CHECK_EQ(*(volatile u64 *)(WINDOW + i * PAGE), *next);
		write_cr3(first);
	}
}

/* ---- PCID -------------------------------------------------------------------------------------- */

#define NO_FLUSH	(1ul << 63)

static bool has_pcid(void)
{
	return cpuid(1, 0).c >> 17 & 1;
}

static bool has_invpcid(void)
{
	return has_7b(10);
}

static volatile struct trap *invpcid(u64 type, u64 pcid, u64 address)
{
	u64 d[2] = { pcid, address };

	return CATCH("invpcid (%0), %1", : : "r"(d), "r"(type) : "memory");
}

/* Two roots with a PCID each, which map the window to a and to b. */
static u64 roots[2], *ptes[2];

static void make_contexts(void)
{
	u64 first = read_cr3();

	make_pages();
	for (int i = 0; i < 2; i++) {
		u64 *root = new_table();

		for (int k = 0; k < 512; k++)
			root[k] = root_table()[k];
		root[WINDOW >> 39] = 0;
		write_cr3((u64)root);
		ptes[i] = map_at(WINDOW, (u64)(i ? b : a), 1, PTE_W);
		roots[i] = (u64)root;
		write_cr3(first);
	}
	write_cr4(read_cr4() | CR4_PCIDE);
}

static u64 in_context(int i)
{
	write_cr3(roots[i] | (i + 1) | NO_FLUSH);
	return *(volatile u64 *)WINDOW;
}

GUEST_TEST(contexts_stay_apart)
{
	if (!has_pcid())
		skip("no PCID in this CPU");
	make_contexts();
	for (int round = 0; round < 20; round++) {
		CHECK_EQ(in_context(0), 1 + round);
		CHECK_EQ(read_cr3(), roots[0] | 1);
		*(volatile u64 *)WINDOW += 1;
		CHECK_EQ(in_context(1), 2 + round);
		*(volatile u64 *)WINDOW += 1;
	}
}

/* A load of CR3 without the bit forgets this PCID; PCID 0 and INVLPG are as without PCIDs. */
GUEST_TEST(cr3_forgets_its_own_context)
{
	if (!has_pcid())
		skip("no PCID in this CPU");
	make_contexts();
	for (int i = 0; i < 4; i++) {
		in_context(1);
		CHECK_EQ(in_context(0), i & 1 ? 2 : 1);
		*ptes[0] = (u64)(i & 1 ? a : b) | PTE_P | PTE_W;
		write_cr3(roots[0] | 1);
		CHECK_EQ(*(volatile u64 *)WINDOW, i & 1 ? 1 : 2);
		CHECK_EQ(in_context(1), 2);
		in_context(0);
		*ptes[0] = (u64)(i & 1 ? b : a) | PTE_P | PTE_W;
		invlpg((void *)WINDOW);
		CHECK_EQ(*(volatile u64 *)WINDOW, i & 1 ? 2 : 1);
		*ptes[0] = (u64)(i & 1 ? a : b) | PTE_P | PTE_W;
		invlpg((void *)WINDOW);
	}
}

static void change_context(int i)
{
	*ptes[i] = (*ptes[i] & ~0xffful) == (u64)a ? (u64)b | PTE_P | PTE_W : (u64)a | PTE_P | PTE_W;
}

static u64 meant(int i)
{
	return (*ptes[i] & ~0xffful) == (u64)a ? 1 : 2;
}

/* Each type ends at least what it names, in contexts that aren't the current one. */
GUEST_TEST(invpcid_types)
{
	if (!has_pcid() || !has_invpcid())
		skip("no INVPCID in this CPU");
	make_contexts();
	for (u64 round = 0; round < 16; round++) {
		u64 type = round % 4;

		context("type %lu", type);
		CHECK_EQ(in_context(0), meant(0));
		CHECK_EQ(in_context(1), meant(1));
		change_context(0);
		/* an address for type 0, the PCID for 0 and 1 */
		CHECK_NO_TRAP(invpcid(type, type < 2 ? 1 : 0, type ? 0 : WINDOW));
		CHECK_EQ(in_context(0), meant(0));
		CHECK_EQ(in_context(1), meant(1));
	}
}

/* One table for both contexts. Where nothing was cached, what is there now counts. */
GUEST_TEST(contexts_share_a_table)
{
	u64 flags = PTE_P | PTE_W;

	if (!has_pcid())
		skip("no PCID in this CPU");
	make_contexts();
	((u64 *)roots[1])[WINDOW >> 39 & 511] = ((u64 *)roots[0])[WINDOW >> 39 & 511];
	for (int round = 0; round < 8; round++) {
		/* not present in either: no flush is needed */
		*ptes[0] = 0;
		write_cr3(roots[1] | 2);
		write_cr3(roots[0] | 1);
		*ptes[0] = (u64)a | flags;
		CHECK_EQ(in_context(1), 1);
		CHECK_EQ(in_context(0), 1);
		/* INVLPG is for this context, the other is new again by a load that flushes it */
		*ptes[0] = (u64)b | flags;
		invlpg((void *)WINDOW);
		CHECK_EQ(*(volatile u64 *)WINDOW, 2);
		write_cr3(roots[1] | 2);
		CHECK_EQ(*(volatile u64 *)WINDOW, 2);
		CHECK_EQ(in_context(0), 2);
	}
}

/* INVLPG ends a global page's translations in every context, whichever table they came from. */
GUEST_TEST(global_page_in_two_contexts)
{
	u64 flags = PTE_P | PTE_W | PTE_G;

	if (!has_pcid())
		skip("no PCID in this CPU");
	make_contexts();
	write_cr4(read_cr4() | CR4_PGE);
	for (int round = 0; round < 8; round++) {
		*ptes[0] = *ptes[1] = (u64)a | flags;
		write_cr4(read_cr4() & ~CR4_PGE);
		write_cr4(read_cr4() | CR4_PGE);
		CHECK_EQ(in_context(0), 1);
		CHECK_EQ(in_context(1), 1);
		CHECK_EQ(in_context(0), 1);
		*ptes[0] = *ptes[1] = (u64)b | flags;
		invlpg((void *)WINDOW);
		CHECK_EQ(in_context(1), 2);
		CHECK_EQ(in_context(0), 2);
	}
}

GUEST_TEST(invpcid_faults)
{
	if (!has_invpcid()) {
		CHECK_TRAP(invpcid(0, 0, 0), UD, 0);
		return;
	}
	CHECK_TRAP(invpcid(4, 0, 0), GP, 0);
	CHECK_TRAP(invpcid(2, 1ul << 12, 0), GP, 0);
	CHECK_TRAP(invpcid(0, 0, NON_CANONICAL), GP, 0);
	/* only PCID 0 is there as long as CR4.PCIDE is clear */
	CHECK_TRAP(invpcid(0, 1, WINDOW), GP, 0);
	CHECK_TRAP(invpcid(1, 1, WINDOW), GP, 0);
	CHECK_NO_TRAP(invpcid(0, 0, WINDOW));
	CHECK_NO_TRAP(invpcid(1, 0, NON_CANONICAL));
	CHECK_NO_TRAP(invpcid(2, 0, 0));
	CHECK_NO_TRAP(invpcid(3, 0, 0));
}

/* CR4.PCIDE needs 64-bit mode and PCID 0; bit 63 of CR3 is reserved without it. */
GUEST_TEST(pcid_enable)
{
	if (!has_pcid())
		skip("no PCID in this CPU");
	CHECK_TRAP(CATCH("mov %0, %%cr3", : : "r"(read_cr3() | NO_FLUSH)), GP, 0);
	write_cr3(read_cr3() | 8);
	CHECK_TRAP(CATCH("mov %0, %%cr4", : : "r"(read_cr4() | CR4_PCIDE)), GP, 0);
	write_cr3(read_cr3() & ~8ul);
	write_cr4(read_cr4() | CR4_PCIDE);
	write_cr3(read_cr3() | NO_FLUSH | 0x123);
	CHECK_EQ(read_cr3() & (NO_FLUSH | 0xfff), 0x123);
	CHECK_TRAP(CATCH("mov %0, %%cr0", : : "r"(read_cr0() & ~CR0_PG)), GP, 0);
	write_cr4(read_cr4() & ~CR4_PCIDE);
	CHECK_EQ(read_cr3() & 0xfff, 0x123);
	write_cr3(read_cr3() & ~0xffful);
}
