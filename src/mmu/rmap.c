// SPDX-License-Identifier: GPL-2.0
/*
 * Lists of entries: those that map a page of guest memory, and those that point to a table.
 *
 * Most never have more than one entry, which is kept in the word itself. Others are in a chain of
 * blocks, of which only the first may have room: what is taken out is replaced by the first block's
 * last.
 */
#include "mmu/mmu.h"

static struct rmap_block *first_block(const struct rmap *rmap)
{
	return (struct rmap_block *)(rmap->word & ~RMAP_CHAIN);
}

/*
 * rmap_add() - note an entry
 * @spare: an empty block; taken, and NULL then, if it was needed
 *
 * Context: mmu_lock held.
 */
void rmap_add(struct rmap *rmap, u64 *entry, struct rmap_block **spare)
{
	struct rmap_block *block;

	if (!rmap->word) {
		rmap->word = (unsigned long)entry;
		return;
	}
	block = first_block(rmap);
	if (!(rmap->word & RMAP_CHAIN) || block->count == ARRAY_SIZE(block->entry)) {
		struct rmap_block *new = *spare;

		*spare = NULL;
		new->count = 0;
		new->next = NULL;
		if (rmap->word & RMAP_CHAIN)
			new->next = block;
		else
			new->entry[new->count++] = (u64 *)block;
		rmap->word = (unsigned long)new | RMAP_CHAIN;
		block = new;
	}
	block->entry[block->count++] = entry;
}

/* rmap_remove() - forget an entry. False: it isn't there. Context: mmu_lock held. */
bool rmap_remove(struct rmap *rmap, u64 *entry)
{
	struct rmap_block *first = first_block(rmap), *block;
	long i;

	if (!(rmap->word & RMAP_CHAIN)) {
		if ((u64 *)first != entry)
			return false;
		rmap->word = 0;
		return true;
	}
	for (block = first; block; block = block->next)
		for (i = 0; i < block->count; i++)
			if (block->entry[i] == entry)
				goto found;
	return false;
found:
	block->entry[i] = first->entry[--first->count];
	if (first->next) {
		if (!first->count) {
			rmap->word = (unsigned long)first->next | RMAP_CHAIN;
			rmap_block_free(first);
		}
	} else if (!first->count) {	/* not sooner: a page that had two mappings soon has again */
		rmap->word = 0;
		rmap_block_free(first);
	}
	return true;
}

u64 *rmap_next(struct rmap_iter *iter)
{
	if (!iter->block)
		return NULL;
	if (++iter->i == iter->block->count) {
		iter->block = iter->block->next;
		iter->i = 0;
	}
	return iter->block ? iter->block->entry[iter->i] : NULL;
}
