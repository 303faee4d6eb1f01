// SPDX-License-Identifier: GPL-2.0
/* Pages that hold the hypervisor's page tables, and the cache that a fault fills beforehand. */
#include <linux/mm.h>
#include <linux/slab.h>

#include "mmu/mmu.h"

static struct kmem_cache *mmu_page_cache;

static struct mmu_page *mmu_page_alloc(void)
{
	struct mmu_page *page = kmem_cache_zalloc(mmu_page_cache, GFP_KERNEL_ACCOUNT);

	if (!page)
		return NULL;
	page->table = (u64 *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!page->table) {
		kmem_cache_free(mmu_page_cache, page);
		return NULL;
	}
	set_page_private(virt_to_page(page->table), (unsigned long)page);
	INIT_LIST_HEAD(&page->link);
	return page;
}

void mmu_page_free(struct mmu_page *page)
{
	set_page_private(virt_to_page(page->table), 0);
	free_page((unsigned long)page->table);
	kmem_cache_free(mmu_page_cache, page);
}

struct mmu_page *mmu_page_of(u64 entry)
{
	return (struct mmu_page *)page_private(pfn_to_page((entry & PHYSICAL_PAGE_MASK) >> PAGE_SHIFT));
}

int mmu_cache_fill(struct mmu_cache *cache, int wanted)
{
	while (cache->count < wanted) {
		struct mmu_page *page = mmu_page_alloc();

		if (!page)
			return -ENOMEM;
		cache->page[cache->count++] = page;
	}
	return 0;
}

void mmu_cache_drain(struct mmu_cache *cache)
{
	while (cache->count)
		mmu_page_free(cache->page[--cache->count]);
}

struct mmu_page *mmu_page_take(struct mmu_cache *cache, gfn_t gfn, int level)
{
	struct mmu_page *page = cache->page[--cache->count];

	page->gfn = gfn;
	page->level = level;
	return page;
}

void free_tables(struct list_head *freed)
{
	struct mmu_page *page, *next;

	list_for_each_entry_safe(page, next, freed, link)
		mmu_page_free(page);
	INIT_LIST_HEAD(freed);
}

int mmu_init(void)
{
	mmu_page_cache = KMEM_CACHE(mmu_page, SLAB_ACCOUNT);
	return mmu_page_cache ? 0 : -ENOMEM;
}

void mmu_exit(void)
{
	/* watches that were left are freed after a grace period */
	mmu_notifier_synchronize();
	kmem_cache_destroy(mmu_page_cache);
}
