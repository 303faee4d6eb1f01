/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tables of any mode beside those that the guest itself runs on, with the model's view of them.
 * What steps (visit.h) need is mapped in each root: memory to itself for the supervisor, and the
 * stubs for the user. Everything above 1 GiB is the test's.
 */
#ifndef GUESTS_TABLES_H
#define GUESTS_TABLES_H

#include "visit.h"
#include "paging_model.h"

#ifndef OWN_PM_READ
static u64 pm_read(u64 at, int size)
{
	return size == 4 ? *(volatile u32 *)at : *(volatile u64 *)at;
}
#endif

static inline void put_entry(const struct pm_cpu *c, u64 at, u64 value)
{
	if (c->mode == PM_32)
		*(volatile u32 *)at = value;
	else
		*(volatile u64 *)at = value;
}

static inline bool has_1g_pages(void)
{
	return cpuid(0x80000001, 0).d >> 26 & 1;
}

static inline u32 physical_width(void)
{
	return has_leaf(0x80000008) ? cpuid(0x80000008, 0).a & 0xff : 36;
}

static inline bool has_7b(int bit)
{
	return has_leaf(7) && cpuid(7, 0).b >> bit & 1;
}

#define HAS_SMEP	has_7b(7)
#define HAS_SMAP	has_7b(20)

#define ALIAS		(USER_STUBS + PAGE)

/*
 * Memory below 32 MiB, and the user's stubs; beside them `pages` of the test's once more, which can
 * so be written by two ways.
 */
static inline void map_own_memory(const struct pm_cpu *c, u64 root, u64 again, u32 pages)
{
	u64 *stubs = new_page(), *pd = new_page(), *pdpt, at;
	u32 *root32 = (u32 *)root;

	if (c->mode == PM_32) {
		u32 *small = (u32 *)new_page();

		/* small pages: CR4.PSE may be clear */
		for (u32 i = 0; i < 8; i++) {
			u32 *pt = (u32 *)new_page();

			for (u32 k = 0; k < 1024; k++)
				pt[k] = i << 22 | k << 12 | PM_P | PM_W;
			root32[i] = (u32)(u64)pt | PM_P | PM_W;
		}
		small[0] = (u32)(u64)visit_stubs | PM_P | PM_U;
		for (u32 i = 0; i < pages; i++)
			small[1 + i] = (u32)(again + i * PAGE) | PM_P | PM_W;
		root32[USER_STUBS >> 22] = (u32)(u64)small | PM_P | PM_W | PM_U;
		return;
	}
	pdpt = c->mode == PM_LONG ? new_page() : (u64 *)root;
	for (at = 0; at < IMAGE_MEMORY; at += 2 * MiB)
		pd[at >> 21] = at | PM_P | PM_W | PM_PS;
	stubs[0] = (u64)visit_stubs | PM_P | PM_U;
	for (u32 i = 0; i < pages; i++)
		stubs[1 + i] = (again + i * PAGE) | PM_P | PM_W;
	pd[USER_STUBS >> 21] = (u64)stubs | PM_P | PM_W | PM_U;
	pdpt[0] = (u64)pd | PM_P | (c->mode == PM_LONG ? PM_W | PM_U : 0);
	if (c->mode == PM_LONG)
		*(u64 *)root = (u64)pdpt | PM_P | PM_W | PM_U;
}

static inline void load_pdptes(struct pm_cpu *c)
{
	for (int i = 0; i < 4 && c->mode == PM_PAE; i++)
		c->pdpte[i] = ((u64 *)(c->cr3 & ~31ul))[i];
}

static inline u64 cr0_of(const struct pm_cpu *c)
{
	return CR0_PE | CR0_ET | CR0_NE | (c->mode ? CR0_PG : 0) | (c->wp ? CR0_WP : 0);
}

static inline u64 cr4_of(const struct pm_cpu *c)
{
	return (c->mode >= PM_PAE ? CR4_PAE : 0) | (c->pse ? CR4_PSE : 0) |
	       (c->smep ? CR4_SMEP : 0) | (c->smap ? CR4_SMAP : 0);
}

static inline u64 efer_of(const struct pm_cpu *c)
{
	return (c->mode == PM_LONG ? EFER_LME : 0) | (c->nxe ? EFER_NX : 0);
}

/* Into the mode and back, with all that was cached forgotten on the way. */
static inline void visit_with(const struct pm_cpu *c, struct step *first, u32 count)
{
	visit.cr0 = cr0_of(c);
	visit.cr3 = c->cr3;
	visit.cr4 = cr4_of(c);
	visit.efer = efer_of(c);
	run_steps(first, count, c->mode == PM_LONG);
}

/* ---- words ----------------------------------------------------------------------------------- */

static inline const char *mode_name(enum pm_mode mode)
{
	static const char *const names[] = { "no paging", "", "32-bit", "PAE", "4-level" };

	return names[mode];
}

static inline const char *step_name(u32 kind)
{
	static const char *const names[] = {
		"read", "write", "fetch", "locked INC", "INC", "CMPXCHG", "descriptor load",
		"8-byte store", "4-byte store", "load", "locked exchange", "REP MOVS",
		"INVLPG", "CR3", "CR0", "CR4", "EFER",
	};

	return names[kind];
}

static inline void say_cpu(const struct pm_cpu *c)
{
	print("  %s%s: wp %d, nxe %d, smep %d, smap %d\n", mode_name(c->mode),
	      c->mode == PM_32 && !c->pse ? " without PSE" : "", c->wp, c->nxe, c->smep, c->smap);
}

static inline void say_outcome(const char *who, unsigned int error)
{
	if (error == PM_OK)
		print("  %s: no fault\n", who);
	else
		print("  %s: #PF with error code %x:%s%s%s%s%s\n", who, error,
		      error & PM_ERR_P ? " P" : " not present", error & PM_ERR_W ? " W" : "",
		      error & PM_ERR_U ? " U" : "", error & PM_ERR_RSVD ? " RSVD" : "",
		      error & PM_ERR_ID ? " I/D" : "");
}

static inline void say_walk(const struct pm_walk *w, const u64 *after)
{
	for (int i = 0; i < w->n; i++)
		print("  level %d: entry %lx, afterwards %lx\n", w->entry[i].level,
		      w->entry[i].value, w->entry[i].in_memory ? after[i] : w->entry[i].value);
}

#endif
