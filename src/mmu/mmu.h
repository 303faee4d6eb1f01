/* SPDX-License-Identifier: GPL-2.0 */
/* What the files of mmu/ share. Nothing outside this folder includes it. */
#ifndef MINIVMM_MMU_MMU_H
#define MINIVMM_MMU_MMU_H

#include "minivmm.h"

#define PT_ENTRIES	512
#define ROOT_LEVEL	4

/* ---- page.c: pages that hold tables ------------------------------------------------------------ */

/* A table of the hypervisor's. Found from its page by page_private(). */
struct mmu_page {
	struct list_head link;	/* vm's, or a list of those to be freed */
	u64 *table;
	gfn_t gfn;		/* of its first entry */
	int level;		/* of its entries: 1 maps 4K pages */
};

/* Taken out before mmu_lock is, so that nothing is allocated under it. */
struct mmu_cache {
	int count;
	struct mmu_page *page[ROOT_LEVEL];
};

int mmu_cache_fill(struct mmu_cache *cache, int wanted);	/* may sleep; 0 or -ENOMEM */
void mmu_cache_drain(struct mmu_cache *cache);
struct mmu_page *mmu_page_take(struct mmu_cache *cache, gfn_t gfn, int level);
void mmu_page_free(struct mmu_page *page);
struct mmu_page *mmu_page_of(u64 entry);	/* the table that a non-leaf entry points to */

/* ---- direct.c: tables that map guest physical memory ------------------------------------------- */

/* One mapping to be made. */
struct mapping {
	gfn_t gfn;
	u64 pfn;
	int level;
	bool writable, exec;
	bool device;		/* no RAM behind it: uncached */
	bool speculative;	/* not what was touched, a neighbour: not accessed yet */
};

/* All with mmu_lock held. */
void direct_map(struct vm *vm, struct mmu_cache *cache, const struct mapping *m,
		struct list_head *freed, bool *flush);
bool direct_present(struct vm *vm, gfn_t gfn);
int direct_level(struct vm *vm, gfn_t gfn);	/* of the lowest table there */
/* Clears what maps [*start, end), up to a bounded amount of work: *start tells how far it came. */
bool direct_zap(struct vm *vm, gfn_t *start, gfn_t end, struct list_head *freed);
bool direct_write_protect(struct vm *vm, gfn_t *start, gfn_t end);	/* likewise */
/* Was anything of it accessed? And clear that, if so asked. */
bool direct_age(struct vm *vm, gfn_t start, gfn_t end, bool clear);
void free_tables(struct list_head *freed);

static inline gfn_t level_pages(int level)
{
	return 1ull << (9 * (level - 1));
}

/* ---- watch.c: the host's side of guest memory changes -------------------------------------------- */

struct mm_watch {
	struct mmu_notifier notifier;
	spinlock_t lock;
	struct list_head vms;
	/* invalidations now under way, and how many there have been */
	int in_progress;
	hva_t start, end;
	unsigned long seq;
};

/* Taken before the host's tables are read. */
static inline unsigned long watch_begin(struct mm_watch *watch)
{
	unsigned long seq = READ_ONCE(watch->seq);

	smp_rmb();	/* pairs with the barrier in range_end() */
	return seq;
}

/* With mmu_lock held: may what was read since then be used? */
static inline bool watch_retry(struct mm_watch *watch, unsigned long seq, hva_t start, hva_t end)
{
	if (unlikely(READ_ONCE(watch->in_progress)) &&
	    start < READ_ONCE(watch->end) && end > READ_ONCE(watch->start))
		return true;
	smp_rmb();	/* pairs with the barrier in range_end() */
	return READ_ONCE(watch->seq) != seq;
}

#endif
