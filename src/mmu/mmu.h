/* SPDX-License-Identifier: GPL-2.0 */
/* What the files of mmu/ share. Nothing outside this folder includes it. */
#ifndef MINIVMM_MMU_MMU_H
#define MINIVMM_MMU_MMU_H

#include <linux/hash.h>
#include <linux/mm.h>

#include "minivmm.h"
#include "mmu/walk.h"

#define PT_ENTRIES	512
#define MAX_LEAF_LEVEL	3

static inline gfn_t level_pages(int level)
{
	return 1ull << (9 * (level - 1));
}

static inline unsigned int table_index(gfn_t gfn, int level)
{
	return (gfn >> (9 * (level - 1))) & (PT_ENTRIES - 1);
}

/* ---- rmap.c: from what is mapped, or linked, to the entries that do it --------------------------- */

/* 0: none; an entry's address; or, with RMAP_CHAIN, a chain of blocks. */
struct rmap {
	unsigned long word;
};

#define RMAP_CHAIN	1ul

struct rmap_block {
	struct rmap_block *next;
	long count;
	u64 *entry[6];
};

struct rmap_iter {
	struct rmap_block *block;
	long i;
};

void rmap_add(struct rmap *rmap, u64 *entry, struct rmap_block **spare);
bool rmap_remove(struct rmap *rmap, u64 *entry);	/* false: it isn't there */
u64 *rmap_next(struct rmap_iter *iter);

static inline u64 *rmap_first(const struct rmap *rmap, struct rmap_iter *iter)
{
	unsigned long word = rmap->word;

	*iter = (struct rmap_iter){};
	if (!(word & RMAP_CHAIN))
		return (u64 *)word;
	iter->block = (struct rmap_block *)(word & ~RMAP_CHAIN);
	return iter->block->entry[0];
}

#define rmap_for_each(rmap, iter, entry) \
	for (entry = rmap_first(rmap, iter); entry; entry = rmap_next(iter))

/* What a shadow VM keeps of a slot: what maps each of its pages, of each size. */
struct slot_rmaps {
	struct rmap *level[MAX_LEAF_LEVEL];
};

static inline struct rmap *slot_rmap(const struct memslot *slot, gfn_t gfn, int level)
{
	int shift = 9 * (level - 1);

	return &slot->rmaps->level[level - 1][(gfn >> shift) - (slot->base_gfn >> shift)];
}

/* ---- page.c: pages that hold tables ------------------------------------------------------------ */

/* What, with the gfn, a table is found by: everything that its entries were made from. */
union mmu_role {
	u32 word;
	struct {
		u32 level : 3;		/* of its entries: 1 maps 4K pages */
		u32 direct : 1;		/* maps gfn and what follows; there is no guest table */
		u32 guest_levels : 3;	/* the guest table's format: 2, 3 or 4 */
		u32 quadrant : 2;	/* of a 32-bit guest's table, which needs two or four of ours */
		u32 access : 3;		/* ACCESS_*: what the levels above allow */
		u32 nxe : 1;
		u32 wp : 1;
		u32 smep_without_wp : 1;
		u32 smap_without_wp : 1;
		u32 pse : 1;
	};
};

/* The format of direct tables: EPT, or that of PAE paging, by role.guest_levels. */
enum { FORMAT_EPT = 0, FORMAT_FLAT = 3 };

/* A table of the hypervisor's. Found from its page by page_private(). */
struct mmu_page {
	struct list_head link;	/* vm->shadow.pages, or a list of those to be freed */
	u64 *table;
	gfn_t gfn;		/* direct: of its first entry; else the guest table's */
	union mmu_role role;

	/* of a shadow VM's only */
	struct hlist_node hash_link;
	u64 *guest;		/* not direct: the guest's entries from which the table's were made */
	struct rmap parents;	/* the entries that point to it */
	int roots;		/* vCPUs that have it as a root */
	struct list_head unsync_link;	/* in vm->shadow.unsync while the guest may write its table */
	unsigned long present[PT_ENTRIES / BITS_PER_LONG];	/* entries that aren't 0 */
	u8 writes;		/* to the guest table, since it was last walked */
	bool zapped;		/* freed when it is no vCPU's root any more */
};

/* Taken out before mmu_lock is, so that nothing is allocated under it. */
#define CACHE_PAGES	ROOT_LEVEL
#define CACHE_BLOCKS	20	/* a link per level, and a leaf with its neighbours */

struct mmu_cache {
	int pages, copies, blocks;
	struct mmu_page *page[CACHE_PAGES];
	u64 *copy[CACHE_PAGES];
	struct rmap_block *block[CACHE_BLOCKS];
};

struct mmu_page *mmu_page_alloc(gfp_t extra);	/* may sleep */
int mmu_cache_fill(struct mmu_cache *cache, int pages);	/* may sleep; 0 or -ENOMEM */
int mmu_cache_fill_shadow(struct mmu_cache *cache);	/* likewise, for whatever a fault may need */
void mmu_cache_drain(struct mmu_cache *cache);
struct mmu_page *mmu_page_take(struct mmu_cache *cache, gfn_t gfn, int level);
void mmu_page_free(struct mmu_page *page);
void free_tables(struct list_head *freed);
void rmap_block_free(struct rmap_block *block);

/* The table that a non-leaf entry points to, and the one that an entry lies in. */
static inline struct mmu_page *mmu_page_of(u64 entry)
{
	return (struct mmu_page *)page_private(pfn_to_page((entry & PTE_ADDRESS) >> PAGE_SHIFT));
}

static inline struct mmu_page *mmu_page_around(u64 *entry)
{
	return (struct mmu_page *)page_private(virt_to_page(entry));
}

/* With interrupts off nobody may wait for it: who has it may wait for this vCPU to come out. */
static inline bool mmu_lock_if_allowed(struct vm *vm)
{
	if (irqs_disabled())
		return spin_trylock(&vm->mmu_lock);
	spin_lock(&vm->mmu_lock);
	return true;
}

/* ---- one vCPU's ------------------------------------------------------------------------------ */

enum { ROOT_NONE, ROOT_EPT, ROOT_FLAT, ROOT_SHADOW };

struct vcpu_mmu {
	struct mmu_cache cache;
	int kind;			/* ROOT_*: what is loaded */
	union mmu_role role;		/* shadow: of the guest's root table */
	struct mmu_page *root[4];	/* shadow: the one of 4 levels, or by gigabyte */
	u64 *pae;			/* what CR3 points to outside of long mode; below 4G */
	u64 recent[16];			/* shadow: CR3s of which nothing was flushed; see mmu_set_cr3() */
	bool has_recent;
	/* the last page that had no memory behind it */
	struct { gva_t page; gpa_t gpa; u32 access; u64 generation; } mmio;
	gfn_t protected_gfn;		/* of the last write that was kept out of a guest table */
};

/* The guest has flushed: from here on each CR3 is a new one. */
static inline void mmu_forget_recent(struct vcpu_mmu *mmu)
{
	if (mmu->has_recent)
		memset(mmu->recent, 0, sizeof(mmu->recent));
	mmu->has_recent = false;
}

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
void direct_map(struct vm *vm, struct mmu_page *root, struct mmu_cache *cache,
		const struct mapping *m, struct list_head *freed, bool *flush);
bool direct_present(struct mmu_page *root, gfn_t gfn);
int direct_level(struct mmu_page *root, gfn_t gfn);	/* of the lowest table there */
/* Clears what maps [*start, end), up to a bounded amount of work: *start tells how far it came. */
bool direct_zap(struct vm *vm, struct mmu_page *root, gfn_t *start, gfn_t end,
		struct list_head *freed);
bool direct_write_protect(struct vm *vm, struct mmu_page *root, gfn_t *start, gfn_t end);
/* Was anything of it accessed? And clear that, if so asked. */
bool direct_age(struct vm *vm, struct mmu_page *root, gfn_t start, gfn_t end, bool clear);

/* ---- fault.c --------------------------------------------------------------------------------- */

#define AROUND	16	/* pages: the window, aligned, in which neighbours are mapped along */

struct fault {
	gpa_t gpa;
	gfn_t gfn;
	bool write, exec;
	struct memslot *slot;
	hva_t hva;
	unsigned long seq;
	/* the host's answer */
	u64 pfn;
	struct page *page;		/* referenced; NULL: no struct page (a device's memory) */
	bool writable;
	/* neighbours that the host has mapped, following pfn's page */
	struct page *around[AROUND];
	int nr_around;
};

bool slot_writable(const struct memslot *slot);
int ask_host(struct vcpu *vcpu, struct fault *f, bool around);	/* may sleep; 0 or negative */
void release_host_pages(struct fault *f);
bool host_changed(struct vm *vm, struct fault *f);	/* since it was asked. mmu_lock held. */
/* The largest page that the host and the slot's position allow, up to level. mmu_lock held. */
int host_mapping_level(struct vm *vm, const struct fault *f, int level);
int no_memory_behind(struct vcpu *vcpu, struct fault *f, int r);

/* ---- shadow.c: tables that follow the guest's own, and their pages ------------------------------- */

/* Shadow entries: hardware's bits as in the guest's, and of the ignored ones: */
#define SPTE_HOST_W	BIT_ULL(9)	/* the host lets the page be written */

static inline bool spte_is_leaf(u64 spte, int level)
{
	return level == 1 || (spte & PTE_PS);
}

static inline unsigned int spte_index(gva_t gva, int level)
{
	return table_index(gva >> PAGE_SHIFT, level);
}

#define SHADOW_HASH_BITS	10

static inline struct hlist_head *shadow_bucket(struct vm *vm, gfn_t gfn)
{
	return &vm->shadow.hash[hash_64(gfn, SHADOW_HASH_BITS)];
}

#define for_each_table_of(vm, gfn_, page) \
	hlist_for_each_entry(page, shadow_bucket(vm, gfn_), hash_link) \
		if ((page)->gfn == (gfn_) && !(page)->role.direct)

#define for_each_table_of_safe(vm, gfn_, page, next) \
	hlist_for_each_entry_safe(page, next, shadow_bucket(vm, gfn_), hash_link) \
		if ((page)->gfn == (gfn_) && !(page)->role.direct)

/* All with mmu_lock held, and under vm->srcu. */
struct mmu_page *shadow_find(struct vm *vm, gfn_t gfn, union mmu_role role);
/* Finds or makes it; *flush: what protects a new one's guest table from writes must be flushed. */
struct mmu_page *shadow_get(struct vm *vm, struct mmu_cache *cache, gfn_t gfn,
			    union mmu_role role, bool *created, bool *flush);
void shadow_link(struct vm *vm, struct mmu_cache *cache, u64 *entry, struct mmu_page *child);
void shadow_note(struct mmu_cache *cache, struct rmap *rmap, u64 *entry);
void shadow_zap_entry(struct vm *vm, u64 *entry);
void shadow_zap_page(struct vm *vm, struct mmu_page *page, struct list_head *freed);
bool shadow_protect_table(struct vm *vm, gfn_t gfn);	/* true: flush */
bool shadow_may_write(struct vm *vm, gfn_t gfn, bool speculative, struct list_head *freed);
bool shadow_unprotect(struct vm *vm, gfn_t gfn, struct list_head *freed);
bool shadow_has_tables(struct vm *vm, gfn_t gfn, int level);	/* in the page of that level */
void shadow_make_room(struct vm *vm, struct list_head *freed);	/* for one fault's tables */
void shadow_set_root(struct vcpu_mmu *mmu, int i, struct mmu_page *page);
void shadow_put_root(struct vcpu_mmu *mmu, int i);
gfn_t shadow_leaf_gfn(const struct mmu_page *page, unsigned int i);
bool shadow_zap_range(struct vm *vm, const struct memslot *slot, gfn_t *start, gfn_t end,
		      struct list_head *freed);
bool shadow_write_protect(struct vm *vm, const struct memslot *slot, gfn_t *start, gfn_t end);
bool shadow_age(const struct memslot *slot, gfn_t start, gfn_t end, bool clear);
void shadow_zap_tables(struct vm *vm, const struct memslot *slot, struct list_head *freed);

int shadow_init(void);		/* module */
void shadow_exit(void);
int shadow_vm_create(struct vm *vm);
void shadow_vm_destroy(struct vm *vm);

/* ---- sync.c: guest tables that the guest writes -------------------------------------------------- */

/* Doesn't sleep. */
bool shadow_read_entries(struct vm *vm, gpa_t gpa, int guest_levels, u64 *entry, unsigned int n);
unsigned int guest_offset(const struct mmu_page *page, unsigned int i);	/* in its guest table */
void shadow_sync(struct vm *vm);		/* every table; takes mmu_lock */
/* What a table that is there already leads to; mmu_lock held. */
void shadow_sync_below(struct vm *vm, struct mmu_page *page, struct list_head *freed);

/* ---- audit.c: the invariants, checked -------------------------------------------------------------- */

#ifdef MINIVMM_MMU_AUDIT
void mmu_audit(struct vm *vm, bool seldom);	/* mmu_lock held, and nothing under way */
#else
static inline void mmu_audit(struct vm *vm, bool seldom) {}
#endif

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
