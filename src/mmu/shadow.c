// SPDX-License-Identifier: GPL-2.0
/*
 * Shadow tables: their pages, the links among them, and what they map.
 *
 * A table follows one of the guest's and is found by that one's gfn and a role: all else that its
 * entries were made from. It isn't changed behind the guest's table: as long as one is here, the guest
 * can't write its own without a fault (shadow_protect_table()), but for leaf tables, which may be let
 * out of step until the guest has to flush (sync.c).
 *
 * All under mmu_lock. What is unlinked may still be cached by a vCPU until it has been flushed: a
 * table goes to a list to be freed after that; for pages vm->shadow.stale_tlbs stays set until then.
 */
#include <linux/hash.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "compat.h"
#include "mmu/mmu.h"

#define GUEST_PAGES_PER_TABLE	50	/* the default bound: 2% of the guest's memory */
#define RECLAIM_SCAN	64	/* pages looked at for one that isn't used */
#define BATCH		4096	/* pages between two chances to let others in */

/* ---- where guest tables are -------------------------------------------------------------------- */

/* Of regions that are as large as a page of that level; regions that share a count lie far apart. */
static u32 *tables_in_region(struct vm *vm, gfn_t gfn, int level)
{
	return level == 2 ? &vm->shadow.tables_2m[(gfn >> 9) % SHADOW_REGIONS_2M] :
			    &vm->shadow.tables_1g[(gfn >> 18) % SHADOW_REGIONS_1G];
}

bool shadow_has_tables(struct vm *vm, gfn_t gfn, int level)
{
	return *tables_in_region(vm, gfn, level);
}

static void count_table(struct vm *vm, gfn_t gfn, int n)
{
	*tables_in_region(vm, gfn, 2) += n;
	*tables_in_region(vm, gfn, 3) += n;
}

/* ---- entries --------------------------------------------------------------------------------- */

/* The page that a leaf maps, by what it was made from. */
gfn_t shadow_leaf_gfn(const struct mmu_page *page, unsigned int i)
{
	int level = page->role.level;
	u64 entry;

	if (page->role.direct)
		return page->gfn + i * level_pages(level);
	entry = page->guest[i];
	if (page->role.guest_levels == 2 && level == 2)	/* half of 4M, with PSE-36 */
		return gpa_to_gfn((entry & GENMASK_ULL(31, 22)) | (entry >> 13 & 0xff) << 32) +
		       (i & 1) * level_pages(2);
	return gpa_to_gfn(entry & PTE_ADDRESS) & ~(level_pages(level) - 1);
}

static bool slot_has(const struct memslot *slot, gfn_t gfn)
{
	return slot && gfn - slot->base_gfn < slot->npages;
}

static void forget_leaf(struct vm *vm, struct mmu_page *page, u64 *entry)
{
	int level = page->role.level;
	gfn_t gfn = shadow_leaf_gfn(page, entry - page->table);
	struct memslot *slot;

	/* a slot that moves onto itself: the entry may be of before or after */
	if (slot_has(vm->leaving, gfn) && rmap_remove(slot_rmap(vm->leaving, gfn, level), entry))
		return;
	slot = gfn_to_slot(vm, gfn);
	WARN_ON_ONCE(!slot || !rmap_remove(slot_rmap(slot, gfn, level), entry));
}

/* No entry points to it any more: it may be wanted again, but is the first to be reclaimed. */
static void orphaned(struct vm *vm, struct mmu_page *page)
{
	if (!page->zapped)
		list_move_tail(&page->link, &vm->shadow.pages);
}

void shadow_zap_entry(struct vm *vm, u64 *entry)
{
	struct mmu_page *page = mmu_page_around(entry), *child;
	u64 old = *entry;

	WRITE_ONCE(*entry, 0);
	__clear_bit(entry - page->table, page->present);
	vm->shadow.stale_tlbs = true;
	if (spte_is_leaf(old, page->role.level)) {
		forget_leaf(vm, page, entry);
		return;
	}
	child = mmu_page_of(old);
	rmap_remove(&child->parents, entry);
	if (!child->parents.word && !child->roots)
		orphaned(vm, child);
}

void shadow_link(struct vm *vm, struct mmu_cache *cache, u64 *entry, struct mmu_page *child)
{
	struct mmu_page *page = mmu_page_around(entry);

	if (*entry)
		shadow_zap_entry(vm, entry);
	if (!child->parents.word)
		list_move(&child->link, &vm->shadow.pages);
	WRITE_ONCE(*entry, __pa(child->table) | PTE_P | PTE_W | PTE_U | PTE_A);
	__set_bit(entry - page->table, page->present);
	shadow_note(cache, &child->parents, entry);
}

void shadow_note(struct mmu_cache *cache, struct rmap *rmap, u64 *entry)
{
	struct rmap_block *spare = cache->block[cache->blocks - 1];

	rmap_add(rmap, entry, &spare);
	if (!spare)
		cache->blocks--;
}

/* ---- pages ----------------------------------------------------------------------------------- */

struct mmu_page *shadow_find(struct vm *vm, gfn_t gfn, union mmu_role role)
{
	struct mmu_page *page;

	hlist_for_each_entry(page, shadow_bucket(vm, gfn), hash_link)
		if (page->gfn == gfn && page->role.word == role.word)
			return page;
	return NULL;
}

static bool is_table(struct vm *vm, gfn_t gfn)
{
	struct mmu_page *page;

	for_each_table_of(vm, gfn, page)
		return true;
	return false;
}

struct mmu_page *shadow_get(struct vm *vm, struct mmu_cache *cache, gfn_t gfn,
			    union mmu_role role, bool *created, bool *flush)
{
	struct mmu_page *page = shadow_find(vm, gfn, role);

	if (page)
		return page;
	page = mmu_page_take(cache, gfn, role.level);
	page->role = role;
	if (!role.direct) {
		page->guest = cache->copy[--cache->copies];
		if (!is_table(vm, gfn))
			count_table(vm, gfn, 1);
		*created = true;
	}
	hlist_add_head(&page->hash_link, shadow_bucket(vm, gfn));
	list_add(&page->link, &vm->shadow.pages);
	vm->shadow.nr++;
	vm->stats.table_pages++;
	if (!role.direct) {
		*flush |= shadow_protect_table(vm, gfn);
		/* pairs with the barrier in mmu_guest_wrote(): it sees the table, or we what it wrote */
		smp_mb();
	}
	return page;
}

/* Its entries, the links to it, and itself; *freed gets it unless a vCPU has it as a root. */
void shadow_zap_page(struct vm *vm, struct mmu_page *page, struct list_head *freed)
{
	struct rmap_iter iter;
	unsigned int i;
	u64 *parent;

	for_each_set_bit(i, page->present, PT_ENTRIES)
		shadow_zap_entry(vm, &page->table[i]);
	page->zapped = true;
	while ((parent = rmap_first(&page->parents, &iter)))
		shadow_zap_entry(vm, parent);
	hlist_del(&page->hash_link);
	list_del_init(&page->unsync_link);
	if (!page->role.direct) {
		if (!is_table(vm, page->gfn))
			count_table(vm, page->gfn, -1);
		vm->shadow.seq++;
	}
	vm->shadow.nr--;
	vm->stats.table_pages--;
	if (page->roots) {
		list_del_init(&page->link);
		vm_kick_and_wait(vm, REQ_MMU_RELOAD);
	} else {
		list_move(&page->link, freed);
	}
}

/* What a vCPU walks from: by gigabyte outside of long mode, where the CPU reads mmu->pae. */
void shadow_set_root(struct vcpu_mmu *mmu, int i, struct mmu_page *page)
{
	page->roots++;
	mmu->root[i] = page;
	if (page->role.level < ROOT_LEVEL)
		mmu->pae[i] = __pa(page->table) | PTE_P;
}

/* The vCPU must be flushed before it runs again. */
void shadow_put_root(struct vcpu_mmu *mmu, int i)
{
	struct mmu_page *page = mmu->root[i];

	if (!page)
		return;
	mmu->root[i] = NULL;
	mmu->pae[i] = 0;
	if (!--page->roots && page->zapped)
		mmu_page_free(page);
}

/* ---- keeping the guest's writes away from its tables ---------------------------------------------- */

/* With how much else a page may be mapped: larger pages are taken apart by the next faults. */
static bool zap_large(struct vm *vm, const struct memslot *slot, gfn_t gfn)
{
	struct rmap_iter iter;
	bool hit = false;
	int level;
	u64 *entry;

	for (level = 2; level <= MAX_LEAF_LEVEL; level++)
		while ((entry = rmap_first(slot_rmap(slot, gfn, level), &iter))) {
			shadow_zap_entry(vm, entry);
			hit = true;
		}
	return hit;
}

static bool protect_page(const struct memslot *slot, gfn_t gfn)
{
	struct rmap_iter iter;
	bool hit = false;
	u64 *entry;

	rmap_for_each(slot_rmap(slot, gfn, 1), &iter, entry)
		hit |= test_and_clear_bit(ilog2(PTE_W), (unsigned long *)entry);
	return hit;
}

bool shadow_protect_table(struct vm *vm, gfn_t gfn)
{
	struct memslot *slot = gfn_to_slot(vm, gfn);
	bool hit = false;

	if (slot_has(vm->leaving, gfn))
		hit = protect_page(vm->leaving, gfn) | zap_large(vm, vm->leaving, gfn);
	return slot ? hit | protect_page(slot, gfn) | zap_large(vm, slot, gfn) : hit;
}

/*
 * May the guest have gfn mapped writable? A leaf table goes out of step for it. Not so others; and
 * not for a neighbour that is mapped along.
 */
bool shadow_may_write(struct vm *vm, gfn_t gfn, bool speculative, struct list_head *freed)
{
	struct mmu_page *page;
	struct hlist_node *next;

	for_each_table_of(vm, gfn, page)
		if (list_empty(&page->unsync_link) && (speculative || page->role.level > 1))
			return false;
	for_each_table_of_safe(vm, gfn, page, next) {
		if (!list_empty(&page->unsync_link))
			continue;
		if (page->parents.word) {
			list_add_tail(&page->unsync_link, &vm->shadow.unsync);
		} else {
			shadow_zap_page(vm, page, freed);	/* it was a table once */
		}
		vm->shadow.seq++;
	}
	return true;
}

/* The guest page is no table for us any more. */
bool shadow_unprotect(struct vm *vm, gfn_t gfn, struct list_head *freed)
{
	struct mmu_page *page;
	struct hlist_node *next;
	bool hit = false;

	for_each_table_of_safe(vm, gfn, page, next) {
		shadow_zap_page(vm, page, freed);
		hit = true;
	}
	return hit;
}

/* ---- over ranges of guest memory ---------------------------------------------------------------- */

/* The large pages that gfn lies in, where a range begins or one of them does. */
static bool zap_large_at(struct vm *vm, const struct memslot *slot, gfn_t gfn, bool first)
{
	return (first || !(gfn & (level_pages(2) - 1))) && zap_large(vm, slot, gfn);
}

bool shadow_zap_range(struct vm *vm, const struct memslot *slot, gfn_t *start, gfn_t end,
		      struct list_head *freed)
{
	gfn_t gfn = *start, stop = min(end, gfn + BATCH);
	struct rmap_iter iter;
	bool hit = false;
	u64 *entry;

	for (; gfn < stop; gfn++) {
		hit |= zap_large_at(vm, slot, gfn, gfn == *start);
		while ((entry = rmap_first(slot_rmap(slot, gfn, 1), &iter))) {
			shadow_zap_entry(vm, entry);
			hit = true;
		}
		/* what the host puts there instead needn't be the same table */
		if (shadow_has_tables(vm, gfn, 2))
			hit |= shadow_unprotect(vm, gfn, freed);
	}
	*start = gfn;
	return hit;
}

bool shadow_write_protect(struct vm *vm, const struct memslot *slot, gfn_t *start, gfn_t end)
{
	gfn_t gfn = *start, stop = min(end, gfn + BATCH);
	bool hit = false;

	for (; gfn < stop; gfn++) {
		hit |= zap_large_at(vm, slot, gfn, gfn == *start);
		hit |= protect_page(slot, gfn);
	}
	*start = gfn;
	return hit;
}

static bool age_rmap(struct rmap *rmap, bool clear)
{
	struct rmap_iter iter;
	bool young = false;
	u64 *entry;

	rmap_for_each(rmap, &iter, entry)
		young |= clear ? test_and_clear_bit(ilog2(PTE_A), (unsigned long *)entry) :
				 *entry & PTE_A;
	return young;
}

bool shadow_age(const struct memslot *slot, gfn_t start, gfn_t end, bool clear)
{
	bool young = false;
	gfn_t gfn;
	int level;

	for (gfn = start; gfn < end; gfn++)
		for (level = 1; level <= MAX_LEAF_LEVEL; level++)
			if (level == 1 || gfn == start || !(gfn & (level_pages(level) - 1)))
				young |= age_rmap(slot_rmap(slot, gfn, level), clear);
	return young;
}

/* A slot goes: the guest tables that lie in it do, too. mmu_lock may be let go of in between. */
void shadow_zap_tables(struct vm *vm, const struct memslot *slot, struct list_head *freed)
{
	struct mmu_page *page;

again:
	list_for_each_entry(page, &vm->shadow.pages, link) {
		if (page->role.direct || !slot_has(slot, page->gfn))
			continue;
		shadow_zap_page(vm, page, freed);
		if (need_resched() || spin_needbreak(&vm->mmu_lock)) {
			vm_kick_and_wait(vm, REQ_TLB_FLUSH);
			cond_resched_lock(&vm->mmu_lock);
		}
		goto again;
	}
}

/* ---- how many -------------------------------------------------------------------------------- */

/* By the CPU's A bit in the entries that point to it, which is cleared. */
static bool recently_used(struct mmu_page *page)
{
	return age_rmap(&page->parents, true);
}

static void reclaim(struct vm *vm, unsigned long wanted, bool used_too, struct list_head *freed)
{
	unsigned long scan = RECLAIM_SCAN + wanted;
	struct mmu_page *page;

	while (wanted && scan-- && !list_empty(&vm->shadow.pages)) {
		page = list_last_entry(&vm->shadow.pages, struct mmu_page, link);
		if (page->roots || (!used_too && recently_used(page))) {
			list_move(&page->link, &vm->shadow.pages);
			continue;
		}
		shadow_zap_page(vm, page, freed);
		vm->stats.tables_reclaimed++;
		wanted--;
	}
}

unsigned long mmu_table_limit(struct vm *vm)
{
	return vm->shadow.limit ?: max(MIN_TABLE_LIMIT, vm->slot_pages / GUEST_PAGES_PER_TABLE);
}

void shadow_make_room(struct vm *vm, struct list_head *freed)
{
	unsigned long limit = mmu_table_limit(vm);

	if (unlikely(vm->shadow.nr + CACHE_PAGES > limit))
		reclaim(vm, vm->shadow.nr + CACHE_PAGES - limit + limit / 16, false, freed);
}

void mmu_set_table_limit(struct vm *vm, unsigned long limit)
{
	LIST_HEAD(freed);
	int idx = srcu_read_lock(&vm->srcu);

	spin_lock(&vm->mmu_lock);
	vm->shadow.limit = limit;
	while (vm->shadow.nr > vm->shadow.limit) {
		unsigned long before = vm->shadow.nr;

		reclaim(vm, min(vm->shadow.nr - vm->shadow.limit, 128ul), true, &freed);
		vm_kick_and_wait(vm, REQ_TLB_FLUSH);
		cond_resched_lock(&vm->mmu_lock);
		if (vm->shadow.nr >= before)
			break;		/* those that are roots */
	}
	spin_unlock(&vm->mmu_lock);
	srcu_read_unlock(&vm->srcu, idx);
	free_tables(&freed);
}

/* Every shadow VM, for the shrinker; the one that it took from last is the last. */
static LIST_HEAD(shadow_vms);
static DEFINE_MUTEX(shadow_vms_lock);

static unsigned long count_tables(struct shrinker *shrinker, struct shrink_control *sc)
{
	unsigned long n = 0;
	struct vm *vm;

	if (!mutex_trylock(&shadow_vms_lock))
		return 0;
	list_for_each_entry(vm, &shadow_vms, shadow.link)
		n += READ_ONCE(vm->shadow.nr);
	mutex_unlock(&shadow_vms_lock);
	return n;
}

static unsigned long shrink_vm(struct vm *vm, unsigned long wanted)
{
	unsigned long before;
	LIST_HEAD(freed);
	int idx = srcu_read_lock(&vm->srcu);

	spin_lock(&vm->mmu_lock);
	before = vm->shadow.nr;
	reclaim(vm, wanted, false, &freed);
	wanted = before - vm->shadow.nr;
	if (wanted)
		vm_kick_and_wait(vm, REQ_TLB_FLUSH);
	spin_unlock(&vm->mmu_lock);
	srcu_read_unlock(&vm->srcu, idx);
	free_tables(&freed);
	return wanted;
}

static unsigned long shrink_tables(struct shrinker *shrinker, struct shrink_control *sc)
{
	unsigned long n;
	struct vm *vm;

	if (!mutex_trylock(&shadow_vms_lock))
		return SHRINK_STOP;
	vm = list_first_entry_or_null(&shadow_vms, struct vm, shadow.link);
	if (vm)
		list_move_tail(&vm->shadow.link, &shadow_vms);
	n = vm ? shrink_vm(vm, min(sc->nr_to_scan, 128ul)) : 0;
	mutex_unlock(&shadow_vms_lock);
	return n ?: SHRINK_STOP;
}

static struct shrinker shrinker = {
	.count_objects = count_tables, .scan_objects = shrink_tables, .seeks = 10 * DEFAULT_SEEKS,
};

/* ---- life ------------------------------------------------------------------------------------ */

int mmu_slot_create(struct vm *vm, struct memslot *slot)
{
	struct slot_rmaps *rmaps;
	int level;

	if (vm->mmu_mode != MMU_SHADOW)
		return 0;
	rmaps = kzalloc(sizeof(*rmaps), GFP_KERNEL_ACCOUNT);
	slot->rmaps = rmaps;
	if (!rmaps)
		return -ENOMEM;
	for (level = 1; level <= MAX_LEAF_LEVEL; level++) {
		int shift = 9 * (level - 1);
		gfn_t last = slot->base_gfn + slot->npages - 1;

		rmaps->level[level - 1] = __vcalloc((last >> shift) - (slot->base_gfn >> shift) + 1,
						    sizeof(struct rmap),
						    GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
		if (!rmaps->level[level - 1]) {
			mmu_slot_destroy(slot);
			return -ENOMEM;
		}
	}
	return 0;
}

void mmu_slot_destroy(struct memslot *slot)
{
	int level;

	for (level = 0; slot->rmaps && level < MAX_LEAF_LEVEL; level++)
		vfree(slot->rmaps->level[level]);
	kfree(slot->rmaps);
	slot->rmaps = NULL;
}

int shadow_vm_create(struct vm *vm)
{
	INIT_LIST_HEAD(&vm->shadow.pages);
	INIT_LIST_HEAD(&vm->shadow.unsync);
	INIT_LIST_HEAD(&vm->shadow.link);
	vm->shadow.nx = boot_cpu_has(X86_FEATURE_NX) ? PTE_NX : 0;
	if (vm->mmu_mode != MMU_SHADOW)
		return 0;
	vm->shadow.hash = kvcalloc(1 << SHADOW_HASH_BITS, sizeof(*vm->shadow.hash), GFP_KERNEL_ACCOUNT);
	vm->shadow.tables_2m = kvcalloc(SHADOW_REGIONS_2M, sizeof(u32), GFP_KERNEL_ACCOUNT);
	vm->shadow.tables_1g = kvcalloc(SHADOW_REGIONS_1G, sizeof(u32), GFP_KERNEL_ACCOUNT);
	if (!vm->shadow.hash || !vm->shadow.tables_2m || !vm->shadow.tables_1g)
		return -ENOMEM;
	mutex_lock(&shadow_vms_lock);
	list_add_tail(&vm->shadow.link, &shadow_vms);
	mutex_unlock(&shadow_vms_lock);
	return 0;
}

/* No vCPU is left and no notifier comes. */
void shadow_vm_destroy(struct vm *vm)
{
	LIST_HEAD(freed);
	int idx;

	mutex_lock(&shadow_vms_lock);
	list_del_init(&vm->shadow.link);
	mutex_unlock(&shadow_vms_lock);
	while (!list_empty(&vm->shadow.pages)) {
		idx = srcu_read_lock(&vm->srcu);
		spin_lock(&vm->mmu_lock);
		shadow_zap_page(vm, list_first_entry(&vm->shadow.pages, struct mmu_page, link), &freed);
		spin_unlock(&vm->mmu_lock);
		srcu_read_unlock(&vm->srcu, idx);
		free_tables(&freed);
		cond_resched();
	}
	kvfree(vm->shadow.hash);
	kvfree(vm->shadow.tables_2m);
	kvfree(vm->shadow.tables_1g);
}

int shadow_init(void)
{
	return compat_register_shrinker(&shrinker, "minivmm-tables");
}

void shadow_exit(void)
{
	unregister_shrinker(&shrinker);
}
