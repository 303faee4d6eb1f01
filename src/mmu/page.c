// SPDX-License-Identifier: GPL-2.0
/* Pages that hold the hypervisor's page tables, and the cache that a fault fills beforehand. */
#include <linux/mm.h>
#include <linux/slab.h>

#include "mmu/mmu.h"

static struct kmem_cache *mmu_page_cache, *rmap_block_cache;

struct mmu_page *mmu_page_alloc(gfp_t extra)
{
	struct mmu_page *page = kmem_cache_zalloc(mmu_page_cache, GFP_KERNEL_ACCOUNT);

	if (!page)
		return NULL;
	page->table = (u64 *)get_zeroed_page(GFP_KERNEL_ACCOUNT | extra);
	if (!page->table) {
		kmem_cache_free(mmu_page_cache, page);
		return NULL;
	}
	set_page_private(virt_to_page(page->table), (unsigned long)page);
	INIT_LIST_HEAD(&page->link);
	INIT_LIST_HEAD(&page->unsync_link);
	return page;
}

void mmu_page_free(struct mmu_page *page)
{
	set_page_private(virt_to_page(page->table), 0);
	free_page((unsigned long)page->table);
	free_page((unsigned long)page->guest);
	kmem_cache_free(mmu_page_cache, page);
}

void rmap_block_free(struct rmap_block *block)
{
	kmem_cache_free(rmap_block_cache, block);
}

int mmu_cache_fill(struct mmu_cache *cache, int pages)
{
	while (cache->pages < pages) {
		struct mmu_page *page = mmu_page_alloc(0);

		if (!page)
			return -ENOMEM;
		cache->page[cache->pages++] = page;
	}
	return 0;
}

int mmu_cache_fill_shadow(struct mmu_cache *cache)
{
	while (cache->copies < CACHE_PAGES) {
		u64 *copy = (u64 *)__get_free_page(GFP_KERNEL_ACCOUNT);

		if (!copy)
			return -ENOMEM;
		cache->copy[cache->copies++] = copy;
	}
	while (cache->blocks < CACHE_BLOCKS) {
		struct rmap_block *block = kmem_cache_alloc(rmap_block_cache, GFP_KERNEL_ACCOUNT);

		if (!block)
			return -ENOMEM;
		cache->block[cache->blocks++] = block;
	}
	return mmu_cache_fill(cache, CACHE_PAGES);
}

void mmu_cache_drain(struct mmu_cache *cache)
{
	while (cache->pages)
		mmu_page_free(cache->page[--cache->pages]);
	while (cache->copies)
		free_page((unsigned long)cache->copy[--cache->copies]);
	while (cache->blocks)
		rmap_block_free(cache->block[--cache->blocks]);
}

struct mmu_page *mmu_page_take(struct mmu_cache *cache, gfn_t gfn, int level)
{
	struct mmu_page *page = cache->page[--cache->pages];

	page->gfn = gfn;
	page->role.level = level;
	page->role.direct = true;
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
	rmap_block_cache = KMEM_CACHE(rmap_block, SLAB_ACCOUNT);
	if (mmu_page_cache && rmap_block_cache && !shadow_init())
		return 0;
	kmem_cache_destroy(rmap_block_cache);
	kmem_cache_destroy(mmu_page_cache);
	return -ENOMEM;
}

void mmu_exit(void)
{
	shadow_exit();
	/* watches that were left are freed after a grace period */
	mmu_notifier_synchronize();
	kmem_cache_destroy(rmap_block_cache);
	kmem_cache_destroy(mmu_page_cache);
}
