// SPDX-License-Identifier: GPL-2.0
/* A guest that loads and stores single words, and one that hammers on many pages. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "access.h"
#include "thread.h"

/* ---- single words ---------------------------------------------------------------------------- */

/* Load and store what RSI points to; each ends in HLT and can be run again. */
GUEST64(peek, 1: mov (%rsi), %rax; hlt; jmp 1b)
GUEST64(poke, 1: mov %rax, (%rsi); hlt; jmp 1b)

struct vcpu *boot_accessor(void)
{
	return BOOT(LONG64, peek);
}

static void point_at(struct vcpu *v, u64 gpa, u64 rax)
{
	struct minivmm_regs r = get_regs(v);

	r.rip = CODE;
	r.rsi = gpa;
	r.rax = rax;
	set_regs(v, &r);
}

void aim_read(struct vcpu *v, u64 gpa)
{
	point_at(v, gpa, 0);
	LOAD(v->vm, CODE, peek);
}

void aim_write(struct vcpu *v, u64 gpa, u64 value)
{
	point_at(v, gpa, value);
	LOAD(v->vm, CODE, poke);
}

u64 guest_reads(struct vcpu *v, u64 gpa)
{
	aim_read(v, gpa);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	return get_regs(v).rax;
}

void guest_writes(struct vcpu *v, u64 gpa, u64 value)
{
	aim_write(v, gpa, value);
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

void check_hole(struct vcpu *v, u64 gpa)
{
	aim_read(v, gpa);
	RUN_TO_READ(v, gpa, 8, 0x123456789abcdef);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_regs(v).rax, 0x123456789abcdef);
}

/* ---- the hammer ------------------------------------------------------------------------------ */

/*
 * RSI = the first page's word, RCX = pages, R8 = pass, R9 = flags, RBP = struct control. What is
 * there in pass 0 doesn't matter. It ends with RBX = RCX, or where it found RAX in place of RDX.
 */
struct control { u32 pass, pad, stop, pad2, losses; };

#define CONTROL(id)	(DATA + 64 * (id))
#define HAMMER_CODE	(CODE + 0x8000)	/* other vCPUs have theirs at CODE */

GUEST64(hammer,
	sti;
	1: xor %ebx, %ebx;
	mov %rsi, %rdi;
	2: mov (%rdi), %rax;
	mov %rbx, %rdx;
	shl $32, %rdx;
	or %r8, %rdx;
	cmp %rdx, %rax;
	je 3f;
	test %r8, %r8;
	jz 3f;
	test %rax, %rax;
	jnz 4f;
	test $1, %r9b;
	jz 9f;
	incl 16(%rbp);
	jmp 3f;
	4: test $2, %r9b;
	jz 9f;
	mov %rax, %r10;
	shr $32, %r10;
	cmp %rbx, %r10;
	jne 9f;
	mov %eax, %r10d;
	cmp %r8, %r10;
	ja 9f;
	incl 16(%rbp);
	3: inc %rdx;
	mov %rdx, (%rdi);
	add $4096, %rdi;
	inc %rbx;
	cmp %rcx, %rbx;
	jb 2b;
	inc %r8;
	mov %r8d, (%rbp);
	cmpl $0, 8(%rbp);
	je 1b;
	9: hlt)

static volatile struct control *block(struct hammer *h)
{
	return (void *)(h->v->vm->mem + CONTROL(h->id));
}

/* What ends a RUN before the guest does; false: the hammer is at its end. */
static bool goes_on(struct hammer *h)
{
	struct minivmm_run *run = h->v->run;

	if (h->ret < 0 && h->err == EFAULT && (h->flags & HAMMER_MAY_FAULT)) {
		h->faults++;
		sleep_ms(1);
		return true;
	}
	if (h->ret < 0 || run->exit_reason != MINIVMM_EXIT_MMIO || !(h->flags & HAMMER_MAY_EXIT))
		return false;
	h->exits++;
	if (!run->mmio.is_write)
		memset(run->mmio.data, 0, sizeof(run->mmio.data));
	return true;
}

static void *hammer_thread(void *arg)
{
	struct hammer *h = arg;

	h->started = true;
	do {
		h->ret = vcpu_run(h->v);
		h->err = errno;
	} while (goes_on(h));
	h->done = true;
	return NULL;
}

struct hammer *hammer_start(struct vm *vm, int id, u64 gpa, u32 pages, int flags)
{
	struct hammer *h = calloc(1, sizeof(*h));
	struct minivmm_regs r;

	h->v = vcpu_create(vm, id);
	h->id = id;
	h->gpa = gpa + 8 * id;
	h->pages = pages;
	h->flags = flags;
	memset((void *)block(h), 0, sizeof(struct control));
	LOAD(vm, HAMMER_CODE, hammer);
	vcpu_enter_mode(h->v, LONG64, HAMMER_CODE);
	r = get_regs(h->v);
	r.rsi = h->gpa;
	r.rcx = pages;
	r.r8 = 0;
	r.r9 = flags;
	r.rbp = CONTROL(id);
	set_regs(h->v, &r);
	if (pthread_create(&h->thread, NULL, hammer_thread, h))
		FAIL("pthread_create");
	while (!h->started)
		sleep_ms(1);
	return h;
}

static void say_how_it_ended(struct hammer *h)
{
	struct minivmm_regs r;

	if (h->ret < 0)
		FAIL("RUN of the hammer: %s", errno_name(h->err));
	CHECK_EXIT(h->v, MINIVMM_EXIT_HLT);
	r = get_regs(h->v);
	if (r.rbx != r.rcx)
		FAIL("pass %lld: page %lld: the guest expected %#llx and found %#llx",
		     (long long)r.r8, (long long)r.rbx, (long long)r.rdx, (long long)r.rax);
}

void hammer_wait(struct hammer *h, u32 passes)
{
	u32 want = block(h)->pass + passes;

	if (!EVENTUALLY(h->done || (s32)(block(h)->pass - want) >= 0))
		FAIL("the guest is stuck after pass %u", block(h)->pass);
	if (h->done)
		say_how_it_ended(h);
}

u32 hammer_stop(struct hammer *h)
{
	block(h)->stop = 1;
	pthread_join(h->thread, NULL);
	say_how_it_ended(h);
	return block(h)->pass;
}

u32 hammer_losses(struct hammer *h)
{
	return block(h)->losses;
}

void hammer_check(struct hammer *h, const void *hva)
{
	u32 pass = block(h)->pass;

	for (u64 i = 0; i < h->pages; i++) {
		u64 got = *(volatile u64 *)((const u8 *)hva + i * PAGE);

		if (got != (i << 32 | pass))
			FAIL("page %lld: the host expected %#llx and found %#llx", (long long)i,
			     (long long)(i << 32 | pass), (long long)got);
	}
}

/* ---- counters and files ---------------------------------------------------------------------- */

u64 stat_of(int fd, const char *name)
{
	int file = CHECK_OK(ioctl(fd, MINIVMM_GET_STATS_FD, 0));
	struct minivmm_stats_header h;
	u64 value;

	CHECK_EQ(pread(file, &h, sizeof(h), 0), (long)sizeof(h));
	for (u32 i = 0; i < h.num_desc; i++) {
		size_t size = sizeof(struct minivmm_stats_desc) + h.name_size;
		struct { struct minivmm_stats_desc d; char name[64]; } desc;

		CHECK_EQ(pread(file, &desc, size, h.desc_offset + i * size), (long)size);
		if (strcmp(desc.d.name, name))
			continue;
		CHECK_EQ(pread(file, &value, 8, h.data_offset + desc.d.offset), 8);
		close(file);
		return value;
	}
	FAIL("there is no counter %s", name);
}

bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	close(fd);
	return ok;
}

long read_number(const char *path)
{
	char text[64] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool ok = fd >= 0 && read(fd, text, sizeof(text) - 1) > 0;

	close(fd);
	return ok ? atol(text) : -1;
}
