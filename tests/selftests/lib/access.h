/* SPDX-License-Identifier: GPL-2.0 */
/* A guest that loads and stores single words, and one that hammers on many pages. */
#ifndef SELFTESTS_ACCESS_H
#define SELFTESTS_ACCESS_H

#include <pthread.h>

#include "vm.h"

/* Where tests put their slot 1. */
#define SLOT	0x10000000ul

/* A VM with MEM_SIZE of memory, whose vCPU does what the functions below say. */
struct vcpu *boot_accessor(void);
u64 guest_reads(struct vcpu *v, u64 gpa);
void guest_writes(struct vcpu *v, u64 gpa, u64 value);
/* The next RUN makes the access and ends in HLT; get_regs().rax is what was read. */
void aim_read(struct vcpu *v, u64 gpa);
void aim_write(struct vcpu *v, u64 gpa, u64 value);
/* No memory there: the access reaches the client. */
void check_hole(struct vcpu *v, u64 gpa);

static inline u64 *word(void *hva, u64 offset)
{
	return (u64 *)((u8 *)hva + offset);
}

/*
 * The hammer: again and again, in passes, the guest reads a word of each page, which must be what
 * it wrote there in the pass before, and writes the next value. The value of page i after pass n is
 * i << 32 | n.
 */
enum {
	HAMMER_MAY_LOSE = 1,	/* a page may be zero: its memory was thrown away */
	HAMMER_MAY_LAG = 2,	/* or hold what an earlier pass wrote */
	HAMMER_MAY_FAULT = 4,	/* RUN may fail with EFAULT: it is tried again */
	HAMMER_MAY_EXIT = 8,	/* to MMIO: reads get zero, writes get lost */
};

struct hammer {
	struct vcpu *v;
	int id;
	u64 gpa;
	u32 pages;
	int flags;
	pthread_t thread;
	volatile bool started, done;
	volatile u32 faults, exits;	/* so far */
	int ret, err;
};

/* In a vCPU of its own, with word number id of each page from gpa on. */
struct hammer *hammer_start(struct vm *vm, int id, u64 gpa, u32 pages, int flags);
void hammer_wait(struct hammer *h, u32 passes);	/* until it has made as many more */
/* Ends it at the end of a pass; returns how many it made. */
u32 hammer_stop(struct hammer *h);
u32 hammer_losses(struct hammer *h);
/* What the host sees at hva, where the hammer's word of page 0 is, is what it wrote last. */
void hammer_check(struct hammer *h, const void *hva);

/* A counter of GET_STATS_FD on a VM's or vCPU's descriptor. */
u64 stat_of(int fd, const char *name);

/* Writes text to a file of the kernel's; false if it can't. And reads a number from one, or -1. */
bool write_file(const char *path, const char *text);
long read_number(const char *path);

#endif
