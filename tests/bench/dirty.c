// SPDX-License-Identifier: GPL-2.0
/*
 * The dirty log of a guest of 1 GiB that writes to 1 % of its pages, always the same, between two
 * looks at it.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"

#define GIB_SLOT	0x40000000ul
#define GIB		(1ul << 30)
#define BACKING		(16 * MiB)	/* mapped again and again: the host needn't have a GiB */
#define WRITTEN		2621ul
#define APART		(100 * PAGE)

static u8 *gib_of_memory(void)
{
	u8 *all = mmap(NULL, GIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int fd = CHECK_OK(memfd_create("bench", 0));

	CHECK(all != MAP_FAILED);
	CHECK_OK(ftruncate(fd, BACKING));
	for (u64 at = 0; at < GIB; at += BACKING)
		CHECK(mmap(all + at, BACKING, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, 0) != MAP_FAILED);
	return all;
}

static void dirty_log_cycle(void)
{
	static u64 bitmap[GIB / PAGE / 64];
	struct minivmm_dirty_log log = { .slot = 1, .dirty_bitmap = bitmap };
	struct vcpu *v = boot_toucher();
	u8 *hva = gib_of_memory();
	struct measurement m;
	u64 set = 0;

	add_slot(v->vm, 1, MINIVMM_MEM_LOG_DIRTY_PAGES, GIB_SLOT, GIB, hva);
	for (begin(&m); m.batch < WARM_UP + 3; end_batch(&m)) {
		touch(v, GIB_SLOT, WRITTEN - 1, APART);
		CHECK_OK(ioctl(v->vm->fd, MINIVMM_GET_DIRTY_LOG, &log));
	}
	for (u64 i = 0; i < sizeof(bitmap) / sizeof(*bitmap); i++)
		set += __builtin_popcountll(bitmap[i]);
	CHECK_EQ(set, WRITTEN);
	row("dirty_log_cycle_of_1g", &m, 1);
}

const struct bench dirty_benches[] = {
	{ "dirty_log_cycle_of_1g", dirty_log_cycle },
	{ }
};
