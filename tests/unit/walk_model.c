// SPDX-License-Identifier: GPL-2.0
/*
 * The guest walker of src/mmu/walk.c against the model of the architecture in
 * tests/guests/lib/paging_model.h: random tables, from sound ones to noise, in every mode, under
 * every control bit. Then what the model knows nothing of: tables that can't be read or written,
 * and entries that change under the walker's hands.
 */
#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include "io_kernel.h"

#include <cmocka.h>

/* ---- the kernel's part ------------------------------------------------------------------------- */

#define X86_CR0_WP		BIT(16)
#define X86_CR4_PSE		BIT(4)
#define X86_CR4_SMEP		BIT(20)
#define X86_CR4_SMAP		BIT(21)
#define X86_EFLAGS_AC		BIT(18)
#define EFER_NX			BIT(11)

struct mmu_notifier { int x; };

static void *unreadable;		/* a page that isn't there */
static void (*before_exchange)(void *p);

static bool can_read(const void *p)
{
	return !unreadable || (unsigned long)p / PAGE_SIZE != (unsigned long)unreadable / PAGE_SIZE;
}

#undef unsafe_get_user
#define unsafe_get_user(to, p, label)				\
	do {							\
		if (!can_read(p))				\
			goto label;				\
		(to) = *(p);					\
	} while (0)

#undef __try_cmpxchg_user
#define __try_cmpxchg_user(p, old, new, label)			\
	({							\
		if (before_exchange)				\
			before_exchange(p);			\
		!__atomic_compare_exchange_n((p), (old), (new), false, __ATOMIC_SEQ_CST, \
					     __ATOMIC_SEQ_CST);	\
	})

#undef fail
#include "mmu/walk.c"

#include "paging_model.h"

/* ---- a guest ----------------------------------------------------------------------------------- */

#define ROM		0x100000	/* a read-only slot, of one page */
#define TABLES		24
#define RAM_SIZE	(TABLES * PAGE_SIZE)	/* tables are all that there is */

static u8 ram[RAM_SIZE] __attribute__((aligned(4096)));
static u8 rom[PAGE_SIZE] __attribute__((aligned(4096)));
static struct memslot ram_slot, rom_slot;
static struct memslots no_slots;
static struct vm vm;
static struct vcpu vcpu;
static int dirty_pages;
static bool model_left_memory;

int shim_rcu_depth;

struct memslot *vcpu_find_slot(struct vcpu *v, struct memslots *slots, gfn_t gfn)
{
	if (gfn < RAM_SIZE / PAGE_SIZE)
		return &ram_slot;
	return gfn == ROM / PAGE_SIZE ? &rom_slot : NULL;
}

void mark_page_dirty(struct memslot *slot, gfn_t gfn)
{
	assert_ptr_equal(slot, &ram_slot);
	dirty_pages++;
}

void hw_cache_reg(struct vcpu *v, int reg)
{
	print_error("register %d isn't cached\n", reg);
	abort();
}

static void *there(u64 at)
{
	if (at < RAM_SIZE)
		return ram + at;
	return at / PAGE_SIZE == ROM / PAGE_SIZE ? rom + at % PAGE_SIZE : NULL;
}

/* As they are in memory: the tests load them with each CR3. */
u64 hw_get_pdptr(struct vcpu *v, int i)
{
	u64 *table = there(v->cr3 & GENMASK_ULL(31, 5));

	return table ? table[i] : 0;
}

static u64 pm_read(u64 at, int size)
{
	void *p = there(at);

	model_left_memory |= !p;
	return !p ? 0 : size == 4 ? *(u32 *)p : *(u64 *)p;
}

static u64 rng;

static u32 dice(u32 n)
{
	rng = rng * 6364136223846793005ull + 1442695040888963407ull;
	return (rng >> 33) % n;
}

static u64 random64(void)
{
	u64 high = dice(1u << 30), middle = dice(1u << 30);

	return high << 34 ^ middle << 17 ^ dice(1u << 30);
}

static int set_up(void **state)
{
	no_slots.generation = 1;
	vm.slots = &no_slots;
	vm.srcu.x = 1;
	ram_slot = (struct memslot){ .npages = TABLES, .hva = (hva_t)ram };
	rom_slot = (struct memslot){
		.base_gfn = ROM / PAGE_SIZE, .npages = 1, .hva = (hva_t)rom,
		.flags = MINIVMM_MEM_READONLY,
	};
	vcpu = (struct vcpu){ .vm = &vm };
	memset(&vcpu.reg_avail, 0xff, sizeof(vcpu.reg_avail));
	memset(ram, 0, sizeof(ram));
	memset(rom, 0, sizeof(rom));
	unreadable = NULL;
	before_exchange = NULL;
	rng = 0x5eed;
	return 0;
}

/* The vCPU in the state that the model is told. */
static void use_state(const struct pm_cpu *c, bool ac)
{
	vcpu.cr0 = X86_CR0_PE | (c->mode ? X86_CR0_PG : 0) | (c->wp ? X86_CR0_WP : 0);
	vcpu.cr3 = c->cr3;
	vcpu.cr4 = (c->mode >= PM_PAE ? X86_CR4_PAE : 0) | (c->pse ? X86_CR4_PSE : 0) |
		   (c->smep ? X86_CR4_SMEP : 0) | (c->smap ? X86_CR4_SMAP : 0);
	vcpu.efer = (c->mode == PM_LONG ? BIT(8) | BIT(10) : 0) | (c->nxe ? EFER_NX : 0);
	vcpu.rflags = 2 | (ac ? X86_EFLAGS_AC : 0);
	vcpu.maxphyaddr = c->maxphyaddr;
}

/* What the walker says, in the model's words; negative: an errno. All that knows its interface. */
static long translate(const struct pm_access *a, gpa_t *gpa)
{
	u32 access = (a->write ? ACCESS_WRITE : 0) | (a->fetch ? ACCESS_FETCH : 0) |
		     (a->user ? ACCESS_USER : 0);
	struct guest_fault fault;
	int r = walk_guest(&vcpu, a->address, access, gpa, &fault);

	if (r < 0)
		return r;
	if (r == 0)
		return PM_OK;
	assert_int_equal(r, 1);
	assert_int_equal(fault.vector, 14);
	assert_int_equal(fault.address, a->address);
	return fault.error_code;
}

/* ---- against the model ------------------------------------------------------------------------- */

static u32 rounds = 300000;

static u64 random_entry(const struct pm_cpu *c)
{
	u64 v = dice(20) ? dice(TABLES) * PAGE_SIZE : dice(2) ? random64() & ~0xfffull : ROM;

	v |= dice(1 << 12) & ~PM_PS;
	v |= (dice(10) ? PM_P : 0) | (dice(4) ? PM_U : 0) | (dice(4) ? PM_W : 0);
	if (!dice(8))
		v = PM_PS | (v & 0xfff) | (random64() & ~((2ull << 20) - 1) & ((1ull << 36) - 1));
	if (!dice(8))
		v |= PM_XD;
	if (!dice(30))
		v ^= 1ull << dice(64);
	return v;
}

/* A PDPTE, as MOV to CR3 would take it: nothing else is ever used. */
static u64 random_pdpte(void)
{
	return dice(TABLES) * PAGE_SIZE | (dice(8) ? PM_P : 0) | dice(8) << 9 | dice(4) << 3;
}

static void random_state(struct pm_cpu *c)
{
	static const u8 widths[] = { 36, 39, 40, 46, 52 };

	c->maxphyaddr = widths[dice(ARRAY_SIZE(widths))];
	c->gbpages = true;	/* the walker leaves that to what reserved bits say */
	c->pse = c->mode != PM_32 || dice(4);
	c->wp = dice(2);
	c->nxe = dice(2);
	c->smep = dice(2);
	c->smap = dice(2);
	c->cr3 = dice(TABLES) * PAGE_SIZE;
	for (int i = 0; i < 4 && c->mode == PM_PAE; i++)
		c->pdpte[i] = *(u64 *)there(c->cr3 + i * 8) = random_pdpte();
}

static void fill(struct pm_cpu *c)
{
	for (u64 at = 0; at < RAM_SIZE; at += 8)
		*(u64 *)(ram + at) = c->mode == PM_32 ?
				     (u32)random_entry(c) | random_entry(c) << 32 : random_entry(c);
	*(u64 *)(rom + dice(512) * 8) = random_entry(c);
}

static u64 random_address(const struct pm_cpu *c)
{
	u64 a = random64();

	return c->mode == PM_LONG ? (u64)((s64)(a << 16) >> 16) : (u32)a;
}

static void check_entries(const struct pm_cpu *c, const struct pm_walk *w,
			  const struct pm_access *a, unsigned int outcome)
{
	for (int i = 0; i < w->n; i++) {
		u64 before = w->entry[i].value, after, must, may;

		if (!w->entry[i].in_memory || !there(w->entry[i].at))
			continue;
		after = pm_read(w->entry[i].at, pm_entry_size(c));
		pm_flags(w, i, a, outcome, &must, &may);
		if (w->entry[i].at >= RAM_SIZE)		/* in the ROM nothing is ever set */
			must = may = 0;
		assert_int_equal((before ^ after) & ~may, 0);
		assert_int_equal(must & ~after, 0);
		assert_int_equal(before & ~after, 0);
	}
}

static void try_one(struct pm_cpu *c)
{
	struct pm_access a = { .write = dice(2), .user = dice(2), .ac = dice(2) };
	u64 sum = 0, before = 0;
	unsigned int outcome;
	struct pm_walk w;
	gpa_t gpa = 0;
	long got;

	random_state(c);
	a.fetch = !a.write && dice(2);
	a.address = random_address(c);
	use_state(c, a.ac);
	model_left_memory = false;
	w = pm_walk(c, a.address);
	outcome = pm_outcome(c, &w, &a);
	if (!dice(64))
		for (u64 at = 0; at < RAM_SIZE; at += 8)
			before += *(u64 *)(ram + at) & ~(PM_A | PM_D | (PM_A | PM_D) << 32);
	got = translate(&a, &gpa);
	for (u64 at = 0; before && at < RAM_SIZE; at += 8)
		sum += *(u64 *)(ram + at) & ~(PM_A | PM_D | (PM_A | PM_D) << 32);
	assert_int_equal(sum, before);
	if (model_left_memory) {
		assert_int_equal(got, -EAGAIN);
		return;
	}
	if (got != outcome)
		print_error("address %#llx, %s by %s: expected %#x, got %#lx\n",
			    (unsigned long long)a.address,
			    a.write ? "write" : a.fetch ? "fetch" : "read",
			    a.user ? "user" : "supervisor", outcome, got);
	assert_int_equal(got, outcome);
	if (outcome == PM_OK)
		assert_int_equal(gpa, w.physical);
	check_entries(c, &w, &a, outcome);
}

static void fuzz(enum pm_mode mode)
{
	struct pm_cpu c = { .mode = mode };

	for (u32 i = 0; i < rounds; i++) {
		if (i % 512 == 0)
			fill(&c);
		try_one(&c);
	}
}

static void four_levels(void **state)
{
	fuzz(PM_LONG);
}

static void pae(void **state)
{
	fuzz(PM_PAE);
}

static void two_levels(void **state)
{
	fuzz(PM_32);
}

static void no_paging(void **state)
{
	struct pm_cpu c = { .mode = PM_NONE, .wp = true };
	struct pm_access a = { .address = 0xfedcba98, .write = true, .user = true };
	gpa_t gpa;

	use_state(&c, false);
	assert_int_equal(translate(&a, &gpa), PM_OK);
	assert_int_equal(gpa, a.address);
}

/* Whatever stands in the tables, the walker stays in memory. */
static void noise(void **state)
{
	for (u32 i = 0; i < rounds; i++) {
		struct pm_cpu c = { .mode = PM_32 + i % 3 };
		struct pm_access a = { .write = dice(2), .user = dice(2) };
		gpa_t gpa;

		for (int k = 0; k < 64; k++)
			*(u64 *)(ram + dice(RAM_SIZE / 8) * 8) = random64();
		random_state(&c);
		c.cr3 = dice(4) ? c.cr3 : random64();
		a.address = random_address(&c);
		use_state(&c, dice(2));
		translate(&a, &gpa);
	}
}

/* ---- what the model doesn't know --------------------------------------------------------------- */

/* One page mapped at 0 by tables at 0, 0x1000, 0x2000 and 0x3000. */
static struct pm_cpu plain(void)
{
	struct pm_cpu c = { .mode = PM_LONG, .wp = true, .maxphyaddr = 40, .gbpages = true };

	for (int i = 0; i < 4; i++)
		*(u64 *)(ram + i * PAGE_SIZE) = (i + 1) * PAGE_SIZE | PM_P | PM_W | PM_U;
	use_state(&c, false);
	return c;
}

static void write_marks_pages_dirty(void **state)
{
	struct pm_access a = { .write = true };
	gpa_t gpa;

	plain();
	dirty_pages = 0;
	assert_int_equal(translate(&a, &gpa), PM_OK);
	assert_int_equal(dirty_pages, 4);
	assert_int_equal(gpa, 4 * PAGE_SIZE);
	assert_int_equal(*(u64 *)(ram + 3 * PAGE_SIZE) & (PM_A | PM_D), PM_A | PM_D);
	/* all is set by now: nothing is written */
	assert_int_equal(translate(&a, &gpa), PM_OK);
	assert_int_equal(dirty_pages, 4);
}

static void tables_in_rom_keep_their_bits(void **state)
{
	struct pm_access a = { .write = true };
	gpa_t gpa;

	plain();
	*(u64 *)(ram + 2 * PAGE_SIZE) = ROM | PM_P | PM_W;
	*(u64 *)rom = 5 * PAGE_SIZE | PM_P | PM_W;
	assert_int_equal(translate(&a, &gpa), PM_OK);
	assert_int_equal(gpa, 5 * PAGE_SIZE);
	assert_int_equal(*(u64 *)rom, 5 * PAGE_SIZE | PM_P | PM_W);
}

static void tables_that_cannot_be_read(void **state)
{
	struct pm_access a = { .write = true };
	gpa_t gpa;

	for (int i = 0; i < 4; i++) {
		plain();
		unreadable = ram + i * PAGE_SIZE;
		assert_int_equal(translate(&a, &gpa), -EAGAIN);
		/* the level below is never reached, and the leaf stays clean */
		assert_int_equal(*(u64 *)(ram + 3 * PAGE_SIZE) & (PM_A | PM_D), 0);
	}
}

static void tables_outside_memory(void **state)
{
	struct pm_access a = { .write = true };
	struct pm_cpu c;
	gpa_t gpa;

	for (int i = 0; i < 3; i++) {
		plain();
		*(u64 *)(ram + i * PAGE_SIZE) = 0x200000 | PM_P | PM_W | PM_U;
		assert_int_equal(translate(&a, &gpa), -EAGAIN);
	}
	c = plain();
	c.cr3 = 0x200000;
	use_state(&c, false);
	assert_int_equal(translate(&a, &gpa), -EAGAIN);
	/* right behind the slot's end */
	c.cr3 = RAM_SIZE;
	use_state(&c, false);
	assert_int_equal(translate(&a, &gpa), -EAGAIN);
}

/* Another vCPU takes the entry away between the walker's look at it and its own change. */
static int changes;

static void take_away(void *p)
{
	changes++;
	*(u64 *)p &= ~PM_P;
	before_exchange = NULL;
}

static void entries_that_change(void **state)
{
	struct pm_access a = { .write = true };
	gpa_t gpa;

	changes = 0;
	plain();
	before_exchange = take_away;
	/* the walk starts again, and nothing was set in what isn't there any more */
	assert_int_equal(translate(&a, &gpa), PM_ERR_W);
	assert_int_equal(changes, 1);
	assert_int_equal(*(u64 *)ram & (PM_A | PM_P), 0);
}

/* ---- a walk that is kept ----------------------------------------------------------------------- */

/* Something that a fetch's walk depends on, or not, becomes another. */
static void change_something(struct pm_cpu *c, struct pm_access *a)
{
	u64 *entry = (u64 *)(ram + dice(4) * PAGE_SIZE + dice(2) * 8);
	static u8 moved[RAM_SIZE] __attribute__((aligned(4096)));

	switch (dice(16)) {
	case 0:
		*entry ^= 1ull << dice(16);
		break;
	case 1:
		*entry ^= PM_XD;
		break;
	case 2:
		*entry = dice(5) * PAGE_SIZE | PM_P | PM_W | PM_U;
		break;
	case 3:
		c->smep ^= 1;
		break;
	case 4:
		c->nxe ^= 1;
		break;
	case 5:
		c->cr3 = dice(2) * PAGE_SIZE;
		break;
	case 6:
		a->address = dice(2) * PAGE_SIZE | 0x123;
		break;
	case 7:
		a->user = dice(2);
		break;
	case 8:		/* the slot's memory is elsewhere now, where nothing is mapped, or back */
		ram_slot.hva = (hva_t)(ram_slot.hva == (hva_t)ram ? moved : ram);
		no_slots.generation++;
		break;
	case 9:
		c->mode = c->mode == PM_LONG ? PM_PAE : PM_LONG;
		break;
	case 10:
		unreadable = dice(4) ? NULL : entry;
		break;
	case 11:
		plain();
		c->cr3 = 0;
		break;
	}
}

/* What is kept is used as long as a new walk would end there, and no longer. */
static void kept_walk(void **state)
{
	struct pm_cpu c = plain();
	struct pm_access a = { .fetch = true };
	struct kept_walk kept = { };
	struct guest_fault fault, fault_now;
	u32 access, hits = 0, walks = 0;
	hva_t before;
	int r, r_now;
	gpa_t gpa;

	for (u32 i = 0; i < rounds; i++) {
		change_something(&c, &a);
		use_state(&c, false);
		access = ACCESS_FETCH | (a.user ? ACCESS_USER : 0);
		before = kept.code;
		kept.code = 1;
		r = walk_guest_code(&vcpu, a.address, access, &kept, &fault);
		if (!r && kept.code == 1) {
			hits++;
			kept.code = before;
		}
		r_now = walk_guest(&vcpu, a.address, access, &gpa, &fault_now);
		assert_int_equal(r, r_now);
		if (r == 1)
			assert_int_equal(fault.error_code, fault_now.error_code);
		if (r) {	/* seldom for long */
			ram_slot.hva = (hva_t)ram;
			no_slots.generation++;
			unreadable = NULL;
			plain();
			continue;
		}
		walks += c.mode == PM_LONG;
		assert_int_equal(kept.code, gpa < RAM_SIZE ? ram_slot.hva + (gpa & PAGE_MASK) :
				 gpa / PAGE_SIZE == ROM / PAGE_SIZE ? (hva_t)rom : 0);
	}
	assert_in_range(hits, walks / 4, walks / 4 * 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(four_levels, set_up),
		cmocka_unit_test_setup(pae, set_up),
		cmocka_unit_test_setup(two_levels, set_up),
		cmocka_unit_test_setup(no_paging, set_up),
		cmocka_unit_test_setup(noise, set_up),
		cmocka_unit_test_setup(write_marks_pages_dirty, set_up),
		cmocka_unit_test_setup(tables_in_rom_keep_their_bits, set_up),
		cmocka_unit_test_setup(tables_that_cannot_be_read, set_up),
		cmocka_unit_test_setup(tables_outside_memory, set_up),
		cmocka_unit_test_setup(entries_that_change, set_up),
		cmocka_unit_test_setup(kept_walk, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
