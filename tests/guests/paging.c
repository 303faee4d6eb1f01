// SPDX-License-Identifier: GPL-2.0
/*
 * The architecture's paging rules, seen from a 4-level guest: which access is allowed, which bits
 * it sets, and the error code and address of each fault. Both of the hypervisor's MMUs run this.
 */
#include "rights.h"

/* Nothing is mapped from here on; its tables are made by the tests. */
#define WINDOW		0x40000000000ul
#define OFFSET		0x123		/* into the page */

static u64 *page;

/* A byte of code that can be fetched, read and overwritten with itself: RET. */
static void prepare_page(void)
{
	if (!page)
		page = new_page();
	*((u8 *)page + OFFSET) = 0xc3;
}

static void do_read(void *p)
{
	CATCH("movb (%0), %%al", : : "r"(p) : "rax", "memory");
}

static void do_write(void *p)
{
	CATCH("movb $0xc3, (%0)", : : "r"(p) : "memory");
}

/* A fetch that faults does so with the caller's return address on the stack. */
static void do_fetch(void *p)
{
	CATCH("push %%rbp; mov %%rsp, %%rbp; movq $78f, recover; call *%0; "
	      "78: mov %%rbp, %%rsp; pop %%rbp",
	      : : "D"(p) : "memory");
}

static void *user_target;
static u32 user_kind;

static void touch(void *p, u32 kind)
{
	if (kind == WRITE)
		do_write(p);
	else if (kind == FETCH)
		do_fetch(p);
	else
		do_read(p);
}

static void touch_as_user(void)
{
	touch(user_target, user_kind);
}

static void access_page(void *p, u32 kind, bool user)
{
	if (!user) {
		touch(p, kind);
		return;
	}
	user_target = p;
	user_kind = kind;
	user_call(touch_as_user);
}

/* ---- the permissions of one leaf ------------------------------------------------------------- */

static void set_mode(const struct setup *s)
{
	u64 efer = rdmsr(MSR_EFER) & ~EFER_NX;

	write_cr0((read_cr0() & ~CR0_WP) | (s->wp ? CR0_WP : 0));
	if (has_nx())
		wrmsr(MSR_EFER, efer | (s->nxe ? EFER_NX : 0));
	write_cr4((read_cr4() & ~(CR4_SMEP | CR4_SMAP)) |
		  (s->smep ? CR4_SMEP : 0) | (s->smap ? CR4_SMAP : 0));
}

static void reset_mode(void)
{
	write_cr4(read_cr4() & ~(CR4_SMEP | CR4_SMAP));
	write_cr0(read_cr0() | CR0_WP);
}

/*
 * The whole of this guest but the tests' page becomes the supervisor's, so that SMEP and SMAP can
 * be on.
 */
static void hide_from_user(bool hide)
{
	u64 *pdpt = (u64 *)(root_table()[0] & 0x000ffffffffff000ul);

	for (int i = 0; i < 4; i++)
		pdpt[i] = hide ? pdpt[i] & ~PTE_U : pdpt[i] | PTE_U;
	write_cr3(read_cr3());
}

static void check_access(const struct setup *s, u64 *pte, int level)
{
	u8 *p = (u8 *)WINDOW + OFFSET;
	u64 want = expected_error(s), before;

	before = (u64)page & ~(level > 1 ? 2 * MiB - 1 : 0ul);
	before |= s->flags | (level > 1 ? PTE_LARGE : 0);
	if (level > 1)
		p += (u64)page & (2 * MiB - 1);
	*pte = before;
	invlpg(p);
	set_mode(s);
	if (s->ac)
		asm volatile("stac");
	access_page(p, s->kind, s->user);
	if (s->ac)
		asm volatile("clac");
	reset_mode();
	context("level %d, leaf %lx, %s by %s, wp %d, nxe %d, smep %d, smap %d, ac %d", level,
		s->flags, kind_name(s->kind), s->user ? "user" : "kernel",
		s->wp, s->nxe, s->smep, s->smap, s->ac);
	if (want == NO_FAULT) {
		CHECK_NO_TRAP(&last_trap);
		CHECK_EQ(*pte & ~PTE_G, (before | PTE_A | (s->kind == WRITE ? PTE_D : 0)) & ~PTE_G);
		return;
	}
	CHECK_TRAP(&last_trap, PF, want);
	CHECK_EQ(last_trap.cr2, (u64)p);
	CHECK_EQ(*pte, before);
}

static void check_all_leaves(struct setup s, int level)
{
	u64 *pte = entry_at(WINDOW, level);

	prepare_page();
	for (u32 f = 0; f < ARRAY_SIZE(leaf_flags); f++)
		for (u32 k = 0; k < ARRAY_SIZE(kinds); k++) {
			s.flags = leaf_flags[f];
			s.kind = kinds[k];
			if (s.flags & PTE_NX && !has_nx())
				continue;
			check_access(&s, pte, level);
		}
}

static bool has_smep(void)
{
	return has_leaf(7) && cpuid(7, 0).b >> 7 & 1;
}

static bool has_smap(void)
{
	return has_leaf(7) && cpuid(7, 0).b >> 20 & 1;
}

GUEST_TEST(rights_of_the_kernel)
{
	check_all_leaves((struct setup){ .wp = true, .nxe = true }, 1);
}

GUEST_TEST(rights_of_the_kernel_without_wp)
{
	check_all_leaves((struct setup){ .wp = false, .nxe = true }, 1);
}

GUEST_TEST(rights_of_the_user)
{
	check_all_leaves((struct setup){ .user = true, .wp = true, .nxe = true }, 1);
	check_all_leaves((struct setup){ .user = true, .wp = false, .nxe = true }, 1);
}

GUEST_TEST(rights_without_nx)
{
	check_all_leaves((struct setup){ .wp = true }, 1);
	check_all_leaves((struct setup){ .user = true, .wp = true }, 1);
}

GUEST_TEST(rights_in_large_pages)
{
	check_all_leaves((struct setup){ .wp = true, .nxe = true }, 2);
	check_all_leaves((struct setup){ .user = true, .wp = true, .nxe = true }, 2);
}

GUEST_TEST(rights_with_smep)
{
	if (!has_smep())
		skip("no SMEP in this CPU");
	hide_from_user(true);
	check_all_leaves((struct setup){ .wp = true, .nxe = true, .smep = true }, 1);
	check_all_leaves((struct setup){ .wp = true, .smep = true }, 1);
	check_all_leaves((struct setup){ .wp = false, .nxe = true, .smep = true }, 1);
	check_all_leaves((struct setup){ .wp = true, .nxe = true, .smep = true }, 2);
	hide_from_user(false);
}

GUEST_TEST(rights_with_smap)
{
	if (!has_smap())
		skip("no SMAP in this CPU");
	hide_from_user(true);
	check_all_leaves((struct setup){ .wp = true, .nxe = true, .smap = true }, 1);
	check_all_leaves((struct setup){ .wp = true, .nxe = true, .smap = true, .ac = true }, 1);
	check_all_leaves((struct setup){ .wp = false, .nxe = true, .smap = true }, 1);
	hide_from_user(false);
}

/* ---- rights from several levels -------------------------------------------------------------- */

/* Each level takes away: a right is there only if all four give it. */
GUEST_TEST(rights_of_all_levels_count)
{
	u8 *p = (u8 *)WINDOW + OFFSET;

	prepare_page();
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | (has_nx() ? EFER_NX : 0));
	map_at(WINDOW, (u64)page, 1, PTE_W | PTE_U);
	for (int level = 1; level <= 4; level++) {
		u64 *e = entry_at(WINDOW, level), whole = *e;

		context("level %d", level);
		*e = whole & ~PTE_W;
		write_cr3(read_cr3());
		access_page(p, WRITE, false);
		CHECK_TRAP(&last_trap, PF, PFERR_P | PFERR_W);
		access_page(p, READ, true);
		CHECK_NO_TRAP(&last_trap);
		*e = whole & ~PTE_U;
		write_cr3(read_cr3());
		access_page(p, READ, true);
		CHECK_TRAP(&last_trap, PF, PFERR_P | PFERR_U);
		access_page(p, WRITE, false);
		CHECK_NO_TRAP(&last_trap);
		if (has_nx()) {
			*e = whole | PTE_NX;
			write_cr3(read_cr3());
			access_page(p, FETCH, false);
			CHECK_TRAP(&last_trap, PF, PFERR_P | PFERR_FETCH);
			access_page(p, WRITE, true);
			CHECK_NO_TRAP(&last_trap);
		}
		*e = whole & ~PTE_P;
		write_cr3(read_cr3());
		access_page(p, READ, false);
		CHECK_TRAP(&last_trap, PF, 0);
		*e = whole;
		write_cr3(read_cr3());
		access_page(p, WRITE, true);
		CHECK_NO_TRAP(&last_trap);
	}
}

GUEST_TEST(accessed_bits_of_all_levels)
{
	u64 *e[5];

	prepare_page();
	map_at(WINDOW, (u64)page, 1, PTE_W | PTE_U);
	for (int level = 1; level <= 4; level++) {
		e[level] = entry_at(WINDOW, level);
		*e[level] &= ~(PTE_A | PTE_D);
	}
	write_cr3(read_cr3());
	do_read((u8 *)WINDOW + OFFSET);
	for (int level = 1; level <= 4; level++) {
		context("level %d", level);
		CHECK(*e[level] & PTE_A);
		CHECK(!(*e[level] & PTE_D));
	}
	do_write((u8 *)WINDOW + OFFSET);
	CHECK(*e[1] & PTE_D);
	CHECK(!(*e[2] & PTE_D));
}

/*
 * A write that may not be done leaves D alone, and comes back as an error that a kernel can solve.
 */
GUEST_TEST(dirty_bit_after_a_refused_write)
{
	u64 *pte;

	prepare_page();
	pte = map_at(WINDOW, (u64)page, 1, 0);
	do_read((u8 *)WINDOW);
	CHECK_EQ(*pte, (u64)page | PTE_P | PTE_A);
	do_write((u8 *)WINDOW + OFFSET);
	CHECK_TRAP(&last_trap, PF, PFERR_P | PFERR_W);
	CHECK_EQ(*pte, (u64)page | PTE_P | PTE_A);
	/* More rights need no INVLPG. */
	*pte |= PTE_W;
	do_write((u8 *)WINDOW + OFFSET);
	CHECK_NO_TRAP(&last_trap);
	CHECK_EQ(*pte, (u64)page | PTE_P | PTE_W | PTE_A | PTE_D);
}

/* ---- reserved bits --------------------------------------------------------------------------- */

GUEST_TEST(reserved_bits)
{
	u32 width = has_leaf(0x80000008) ? cpuid(0x80000008, 0).a & 0xff : 36;
	u8 *p = (u8 *)WINDOW + OFFSET;

	if (width == 52)
		skip("no address bit is reserved");
	prepare_page();
	map_at(WINDOW, (u64)page, 1, PTE_W | PTE_U);
	for (int level = 1; level <= 4; level++) {
		u64 *e = entry_at(WINDOW, level), whole = *e;

		context("level %d", level);
		*e = whole | 1ul << width;
		write_cr3(read_cr3());
		access_page(p, READ, false);
		CHECK_TRAP(&last_trap, PF, PFERR_P | PFERR_RSVD);
		access_page(p, WRITE, true);
		CHECK_TRAP(&last_trap, PF, PFERR_P | PFERR_RSVD | PFERR_W | PFERR_U);
		/* In an entry that isn't present nothing is reserved. */
		*e = (whole | 1ul << width) & ~PTE_P;
		write_cr3(read_cr3());
		access_page(p, READ, false);
		CHECK_TRAP(&last_trap, PF, 0);
		*e = whole;
		write_cr3(read_cr3());
	}
	/* The size bit of the root's entries. */
	context("size bit in level 4");
	*entry_at(WINDOW, 4) |= PTE_LARGE;
	write_cr3(read_cr3());
	access_page(p, READ, false);
	CHECK_TRAP(&last_trap, PF, PFERR_P | PFERR_RSVD);
	*entry_at(WINDOW, 4) &= ~PTE_LARGE;
	write_cr3(read_cr3());
	context("low address bits of a 2M page");
	*entry_at(WINDOW, 2) = 2 * MiB | 1ul << 13 | PTE_P | PTE_LARGE;
	write_cr3(read_cr3());
	access_page(p, READ, false);
	CHECK_TRAP(&last_trap, PF, PFERR_P | PFERR_RSVD);
}

GUEST_TEST(reserved_nx)
{
	u8 *p = (u8 *)WINDOW + OFFSET;

	if (!has_nx())
		skip("no NX in this CPU");
	prepare_page();
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_NX);
	*map_at(WINDOW, (u64)page, 1, PTE_W) |= PTE_NX;
	do_read(p);
	CHECK_TRAP(&last_trap, PF, PFERR_P | PFERR_RSVD);
	/* What was reserved is not, as soon as EFER says so and what was cached is gone. */
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NX);
	invlpg(p);
	do_read(p);
	CHECK_NO_TRAP(&last_trap);
	do_fetch(p);
	CHECK_TRAP(&last_trap, PF, PFERR_P | PFERR_FETCH);
}

GUEST_TEST(nx_becomes_reserved)
{
	u8 *p = (u8 *)WINDOW + OFFSET;

	if (!has_nx())
		skip("no NX in this CPU");
	prepare_page();
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NX);
	*map_at(WINDOW, (u64)page, 1, PTE_W) |= PTE_NX;
	do_read(p);
	CHECK_NO_TRAP(&last_trap);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_NX);
	invlpg(p);
	do_read(p);
	CHECK_TRAP(&last_trap, PF, PFERR_P | PFERR_RSVD);
}

/* ---- page sizes ------------------------------------------------------------------------------ */

GUEST_TEST(pages_of_2m)
{
	volatile u64 *p = (u64 *)WINDOW;
	volatile u64 *flat = (u64 *)(16 * MiB);

	map_at(WINDOW, 16 * MiB, 2, PTE_W);
	for (u32 i = 0; i < 512; i += 37)
		p[i * 512] = i + 1;
	for (u32 i = 0; i < 512; i += 37)
		CHECK_EQ(flat[i * 512], i + 1);
	CHECK_TRAP(CATCH("mov (%0), %%rax", : : "r"(WINDOW + 2 * MiB) : "rax"), PF, 0);
}

GUEST_TEST(pages_of_1g)
{
	volatile u64 *p = (u64 *)(WINDOW + GiB);

	if (!(cpuid(0x80000001, 0).d >> 26 & 1))
		skip("no 1G pages in this CPU");
	map_at((u64)p, 0, 3, PTE_W);
	*(volatile u64 *)(17 * MiB) = 0x1717;
	CHECK_EQ(p[17 * MiB / 8], 0x1717);
	p[18 * MiB / 8 + 1] = 0x1818;
	CHECK_EQ(*(volatile u64 *)(18 * MiB + 8), 0x1818);
	CHECK(*entry_at((u64)p, 3) & PTE_D);
}

/* A 2M page is split by the guest into pages that swap two places. */
GUEST_TEST(large_page_is_split)
{
	volatile u64 *p = (u64 *)WINDOW;
	u64 *pd, *pt = new_table();

	map_at(WINDOW, 16 * MiB, 2, PTE_W);
	p[0] = 1;
	p[512] = 2;
	pd = entry_at(WINDOW, 2);
	for (u64 i = 0; i < 512; i++)
		pt[i] = (16 * MiB + (i ^ 1) * PAGE) | PTE_P | PTE_W;
	*pd = (u64)pt | PTE_P | PTE_W;
	invlpg(p);
	invlpg(p + 512);
	CHECK_EQ(p[0], 2);
	CHECK_EQ(p[512], 1);
}

/* ---- what is cached -------------------------------------------------------------------------- */

GUEST_TEST(cr3_reload_forgets)
{
	volatile u64 *p = (u64 *)WINDOW;
	u64 *a = new_page(), *b = new_page(), *pte;

	*a = 1;
	*b = 2;
	pte = map_at(WINDOW, (u64)a, 1, PTE_W);
	CHECK_EQ(*p, 1);
	*pte = (u64)b | PTE_P | PTE_W;
	write_cr3(read_cr3());
	CHECK_EQ(*p, 2);
}

GUEST_TEST(two_address_spaces)
{
	volatile u64 *p = (u64 *)WINDOW;
	u64 *a = new_page(), *b = new_page(), first = read_cr3(), *second = new_table();

	*a = 1;
	*b = 2;
	for (int i = 0; i < 512; i++)
		second[i] = root_table()[i];
	map_at(WINDOW, (u64)a, 1, PTE_W);
	CHECK_EQ(*p, 1);
	write_cr3((u64)second);
	second[WINDOW >> 39] = 0;
	map_at(WINDOW, (u64)b, 1, PTE_W);
	for (int i = 0; i < 20; i++) {
		write_cr3(first);
		CHECK_EQ(*p, 2 * i + 1);
		*p += 2;
		write_cr3((u64)second);
		CHECK_EQ(*p, 2 * i + 2);
		*p += 2;
	}
	write_cr3(first);
}

/* Not present → present needs no INVLPG. */
GUEST_TEST(new_mappings_are_seen_at_once)
{
	const u64 pages = 600;
	u64 *a = new_page(), *b = new_page();

	*a = 0xaaaa;
	*b = 0xbbbb;
	for (u64 i = 0; i < pages; i++)
		*entry_at(WINDOW + i * PAGE, 1) = 0;
	for (u64 i = 0; i < pages; i++) {
		volatile u64 *p = (u64 *)(WINDOW + i * PAGE);

		if (i % 16 == 0)
			CHECK_TRAP(CATCH("mov (%0), %%rax", : : "r"(p) : "rax"), PF, 0);
		*entry_at((u64)p, 1) = (u64)(i & 1 ? a : b) | PTE_P;
		CHECK_EQ(*p, i & 1 ? 0xaaaa : 0xbbbb);
	}
}

/* Many entries change behind a table that the hypervisor may have cached; then one CR3 load. */
GUEST_TEST(whole_table_is_rewritten)
{
	u64 *a = new_page(), *b = new_page();
	u64 *pt;

	*a = 1;
	*b = 2;
	entry_at(WINDOW, 1);
	pt = entry_at(WINDOW, 1);
	for (int round = 0; round < 4; round++) {
		for (u64 i = 0; i < 512; i++)
			pt[i] = (u64)((i ^ round) & 1 ? a : b) | PTE_P | PTE_W;
		write_cr3(read_cr3());
		for (u64 i = 0; i < 512; i += 3) {
			context("round %d, page %lu", round, i);
			CHECK_EQ(*(volatile u64 *)(WINDOW + i * PAGE), (i ^ round) & 1 ? 1 : 2);
		}
		for (u64 i = 0; i < 512; i++)
			pt[i] = 0;
		write_cr3(read_cr3());
		CHECK_TRAP(CATCH("mov (%0), %%rax", : : "r"(WINDOW + 77 * PAGE) : "rax"), PF, 0);
	}
}

/* Global translations stay over a CR3 load: they may be used, and CR4.PGE or INVLPG ends them. */
GUEST_TEST(global_pages)
{
	volatile u64 *p = (u64 *)WINDOW;
	u64 *a = new_page(), *b = new_page(), *pte;

	*a = 1;
	*b = 2;
	write_cr4(read_cr4() | CR4_PGE);
	pte = map_at(WINDOW, (u64)a, 1, PTE_W | PTE_G);
	CHECK_EQ(*p, 1);
	*pte = (u64)b | PTE_P | PTE_W | PTE_G;
	write_cr3(read_cr3());
	CHECK(*p == 1 || *p == 2);
	write_cr4(read_cr4() & ~CR4_PGE);
	CHECK_EQ(*p, 2);
	write_cr4(read_cr4() | CR4_PGE);
	CHECK_EQ(*p, 2);
	*pte = (u64)a | PTE_P | PTE_W | PTE_G;
	invlpg(p);
	CHECK_EQ(*p, 1);
}

/* The tables themselves, mapped where they can be written: a table that points to itself. */
GUEST_TEST(self_map)
{
	volatile u64 *own_root = (u64 *)0xffffff7fbfdfe000;
	volatile u64 *p = (u64 *)WINDOW;
	u64 *a = new_page();

	root_table()[510] = (u64)root_table() | PTE_P | PTE_W;
	write_cr3(read_cr3());
	own_root = (u64 *)0xffffff7fbfdfe000;
	CHECK_EQ(own_root[510] & ~0xffful, (u64)root_table());
	*a = 0x5e1f;
	map_at(WINDOW, (u64)a, 1, PTE_W);
	CHECK_EQ(*p, 0x5e1f);
	own_root[WINDOW >> 39] = 0;
	write_cr3(read_cr3());
	CHECK_TRAP(CATCH("mov (%0), %%rax", : : "r"(p) : "rax"), PF, 0);
}

/* One page is a table and data at once: both views are always the same. */
GUEST_TEST(table_is_written_through_its_data_mapping)
{
	u64 *a = new_page(), *b = new_page(), *pt = new_table();
	volatile u64 *window = (u64 *)(WINDOW + PAGE), *alias = (u64 *)(WINDOW + GiB);

	*a = 1;
	*b = 2;
	entry_at(WINDOW, 1);
	*entry_at(WINDOW, 2) = (u64)pt | PTE_P | PTE_W;
	map_at((u64)alias, (u64)pt, 1, PTE_W);
	write_cr3(read_cr3());
	for (int i = 0; i < 10; i++) {
		alias[1] = (u64)(i & 1 ? a : b) | PTE_P | PTE_W;
		invlpg(window);
		CHECK_EQ(*window, i & 1 ? 1 : 2);
		CHECK_EQ(pt[1] & ~0xffful, (u64)(i & 1 ? a : b));
	}
}

/* A page of tables becomes a page of data. */
GUEST_TEST(table_becomes_data)
{
	volatile u64 *p = (u64 *)WINDOW;
	u64 *a = new_page(), *pt;

	*a = 7;
	map_at(WINDOW, (u64)a, 1, PTE_W);
	CHECK_EQ(*p, 7);
	pt = entry_at(WINDOW, 1);
	*entry_at(WINDOW, 2) = 0;
	write_cr3(read_cr3());
	for (int i = 0; i < 512; i++)
		pt[i] = i;
	for (int i = 0; i < 512; i++)
		CHECK_EQ(pt[i], i);
	CHECK_TRAP(CATCH("mov (%0), %%rax", : : "r"(p) : "rax"), PF, 0);
}

GUEST_TEST(pcid)
{
	volatile u64 *p = (u64 *)WINDOW;
	u64 cr3 = read_cr3(), *a = new_page(), *b = new_page(), *pte;

	if (!(cpuid(1, 0).c >> 17 & 1))
		skip("no PCID in this CPU");
	*a = 1;
	*b = 2;
	write_cr4(read_cr4() | CR4_PCIDE);
	write_cr3(cr3 | 1);
	CHECK_EQ(read_cr3(), cr3 | 1);
	pte = map_at(WINDOW, (u64)a, 1, PTE_W);
	CHECK_EQ(*p, 1);
	*pte = (u64)b | PTE_P | PTE_W;
	/* Without flushing either is right; with it only the new one. */
	write_cr3(cr3 | 2 | 1ul << 63);
	CHECK_EQ(read_cr3(), cr3 | 2);
	write_cr3(cr3 | 1 | 1ul << 63);
	CHECK(*p == 1 || *p == 2);
	write_cr3(cr3 | 1);
	CHECK_EQ(*p, 2);
	CHECK_TRAP(CATCH("mov %0, %%cr4", : : "r"(read_cr4() & ~CR4_PAE)), GP, 0);
	write_cr3(cr3);
	write_cr4(read_cr4() & ~CR4_PCIDE);
}
