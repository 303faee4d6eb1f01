// SPDX-License-Identifier: GPL-2.0
/* Two virtual machines at once: neither their memories nor their registers mix. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "thread.h"
#include "vm.h"

#define ROUNDS	20

/* ---- memory ---------------------------------------------------------------------------------- */

/*
 * Writes its number (RBX) to 64 pages, then finds it there again, for ever; tells the client at the
 * end of each round, and what it found if that was another's.
 */
GUEST64(fill_and_check,
	1: mov $DATA, %edi;
	mov $64, %ecx;
	2: mov %rbx, (%rdi);
	mov %rcx, 8(%rdi);
	add $0x1000, %edi;
	loop 2b;
	mov $DATA, %edi;
	mov $64, %ecx;
	3: mov (%rdi), %rax;
	cmp %rbx, %rax;
	jne 4f;
	add $0x1000, %edi;
	loop 3b;
	out %al, $0x10;
	jmp 1b;
	4: out %al, $0x11;
	hlt)

static struct vcpu *boot_filler(u64 number)
{
	struct vcpu *v = BOOT(LONG64, fill_and_check);
	struct minivmm_regs r = get_regs(v);

	r.rbx = number;
	set_regs(v, &r);
	return v;
}

static void run_round(struct vcpu *v)
{
	RUN_TO(v, MINIVMM_EXIT_IO);
	if (v->run->io.port != 0x10)
		FAIL("the guest of %#llx found %#llx at %#llx", get_regs(v).rbx, get_regs(v).rax,
		     get_regs(v).rdi);
}

static void check_fill(struct vcpu *v, u64 number)
{
	for (u64 i = 0; i < 64; i++)
		CHECK_EQ(*(u64 *)(v->vm->mem + DATA + i * PAGE), number);
}

/*
 * The same code at the same addresses with the same CR3: only what the hypervisor tags keeps them
 * apart.
 */
TEST(two_vms_in_turn)
{
	struct vcpu *a = boot_filler(0xaaaaaaaaaaaa), *b = boot_filler(0xbbbbbbbbbbbb);

	for (int i = 0; i < ROUNDS; i++) {
		run_round(a);
		run_round(b);
	}
	check_fill(a, 0xaaaaaaaaaaaa);
	check_fill(b, 0xbbbbbbbbbbbb);
}

static void *run_rounds(void *arg)
{
	for (int i = 0; i < ROUNDS; i++)
		run_round(arg);
	return NULL;
}

TEST(four_vms_in_threads)
{
	struct vcpu *v[4];
	pthread_t t[4];

	for (int i = 0; i < 4; i++)
		v[i] = boot_filler(0x1111111111 * (i + 1));
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, run_rounds, v[i]);
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		check_fill(v[i], 0x1111111111 * (i + 1));
	}
}

/* Two vCPUs of one VM see one memory; with the same CR3 they may share what is cached. */
GUEST64(add_to_counter, 1: lock incq DATA; mov DATA, %rax; out %al, $0x10; jmp 1b)

TEST(two_vcpus_share_memory)
{
	struct vcpu *a = BOOT(LONG64, add_to_counter), *b = vcpu_create(a->vm, 1);

	vcpu_enter_mode(b, LONG64, CODE);
	for (u64 i = 1; i <= ROUNDS; i++) {
		RUN_TO_OUT(i & 1 ? a : b, 0x10, i, 1);
		CHECK_EQ(*(u64 *)(a->vm->mem + DATA), i);
	}
}

/*
 * A new VM on what an old one left: the same number, addresses, processor tags, but other memory.
 */
GUEST64(peek_data, mov DATA, %rax; mov DATA + 0x1000, %rbx; hlt)

TEST(vm_after_vm)
{
	for (u64 i = 1; i <= ROUNDS; i++) {
		struct vcpu *v = BOOT(LONG64, peek_data);

		*(u64 *)(v->vm->mem + DATA) = i;
		RUN_TO(v, MINIVMM_EXIT_HLT);
		CHECK_EQ(get_regs(v).rax, i);
		CHECK_EQ(get_regs(v).rbx, 0);
		munmap(v->vm->mem, v->vm->size);
		munmap(v->run, v->run_size);
		close(v->fd);
		close(v->vm->fd);
	}
}

/* Memory that two VMs share on purpose. */
TEST(shared_memory_is_shared)
{
	struct vcpu *a = BOOT(LONG64, add_to_counter), *b = BOOT(LONG64, add_to_counter);

	add_slot(b->vm, 0, 0, 0, 0, NULL);
	add_slot(b->vm, 0, 0, 0, MEM_SIZE, a->vm->mem);
	for (u64 i = 1; i <= ROUNDS; i++)
		RUN_TO_OUT(i & 1 ? a : b, 0x10, i, 1);
}

/* The two MMUs side by side. */
TEST(vms_of_each_mmu)
{
	const char *modes[] = { "ept", "shadow" };
	struct vcpu *v[2];
	int offered = node_extension(MINIVMM_CAP_MMU);

	if (!(offered & MINIVMM_VM_MMU_EPT) || !(offered & MINIVMM_VM_MMU_SHADOW))
		skip("there is only one MMU");
	for (int i = 0; i < 2; i++) {
		opt.mmu = modes[i];
		v[i] = boot_filler(i + 1);
	}
	for (int i = 0; i < ROUNDS; i++) {
		run_round(v[0]);
		run_round(v[1]);
	}
	check_fill(v[0], 1);
	check_fill(v[1], 2);
}

/* ---- paging tricks --------------------------------------------------------------------------- */

#define ENTRY_4K	(PAGE_TABLES + 6 * PAGE)	/* of a table of level 1 for WINDOW */
#define WINDOW		0x40000000ul
#define FAULTED		0xfa17fa17fa17fa17ul
#define NOT_THERE	0x123456789abcdeful
#define OURS		0x6f7572206f776e21ul

/* Makes the entry at RDI RBX and reads by it, at RSI; what it gets is in RAX. */
GUEST64(look_through,
	1: mov %rbx, (%rdi);
	invlpg (%rsi);
	mov (%rsi), %rax;
	hlt;
	jmp 1b)
GUEST64(look_faulted, mov $FAULTED, %rax; hlt)

/* What the guest reads where an entry maps gpa, by a page of that level. */
static u64 look(struct vcpu *v, int level, u64 gpa)
{
	struct minivmm_regs r = get_regs(v);
	u64 page = level == 1 ? PAGE : level == 2 ? 2 * MiB : GiB;
	u64 *pd = (u64 *)(v->vm->mem + PAGE_TABLES + 3 * PAGE);

	pd[0] = level == 1 ? ENTRY_4K | 7 : pd[0];
	r.rip = CODE;
	r.rsp = STACK_TOP;
	r.rdi = level == 1 ? ENTRY_4K : PAGE_TABLES + (level == 2 ? 3 * PAGE : PAGE + 8);
	r.rsi = WINDOW + (gpa & (page - 1));
	r.rbx = (gpa & ~(page - 1)) | (level > 1 ? 0x87 : 7);
	set_regs(v, &r);
	CHECK_OK(vcpu_run(v));
	if (v->run->exit_reason == MINIVMM_EXIT_MMIO) {
		u64 answer = NOT_THERE;

		CHECK_EQ(v->run->mmio.phys_addr, gpa);
		CHECK(!v->run->mmio.is_write);
		memcpy(v->run->mmio.data, &answer, 8);
		CHECK_OK(vcpu_run(v));
	}
	CHECK_EXIT(v, MINIVMM_EXIT_HLT);
	return get_regs(v).rax;
}

/*
 * By each bit of an entry's address, and all of them from it on: nothing but its own memory, at the
 * addresses of its slot, is ever read. What isn't there exits, or faults for a reserved bit.
 */
TEST(addresses_that_are_not_its_own)
{
	struct vcpu *v = BOOT(LONG64, look_through);
	u64 got, *own = (u64 *)(v->vm->mem + DATA);

	LOAD(v->vm, CODE + 0x800, look_faulted);
	vm_set_gate(v->vm, 14, CODE + 0x800);
	for (u64 i = 0; i < 512; i++)
		own[i] = OURS;
	for (int level = 1; level <= (has_cpuid(0x80000001, 'd', 26) ? 3 : 2); level++) {
		CHECK_EQ(look(v, level, DATA), OURS);
		for (int bit = 21; bit < 52; bit++) {
			u64 one = 1ull << bit, above = ((1ull << 52) - 1) & ~(one - 1);

			context("level %d, bit %d", level, bit);
			for (int i = 0; i < 2; i++) {
				got = look(v, level, (i ? above : one) | DATA);
				if (got != NOT_THERE && got != FAULTED)
					FAIL("it read %#llx", (long long)got);
			}
			/* its own is there yet, and whole */
			CHECK_EQ(look(v, level, DATA), OURS);
		}
		/* right behind its last page, and the host's kernel and its own process */
		CHECK_EQ(look(v, level, MEM_SIZE), NOT_THERE);
		CHECK_EQ(look(v, level, 0x1000000), NOT_THERE);
		CHECK_EQ(look(v, level, (u64)own & 0xffffff000), NOT_THERE);
	}
}

/* A page of 2M is the guest's only as far as its slot goes. */
TEST(large_pages_end_with_the_slot)
{
	const u64 base = 0x8000000;
	u8 *mem = huge_memory(2 * MiB);

	for (u64 at = 0; at < 2 * MiB; at += 8)
		*(u64 *)(mem + at) = OURS + at;
	for (int i = 0; i < 4; i++) {
		/* the first half alone, or all but the first and the last page */
		u64 first = i & 1 ? PAGE : 0, end = i & 1 ? 2 * MiB - PAGE : MiB;
		struct vcpu *v = BOOT(LONG64, look_through);
		int level = i / 2 + 1;

		add_slot(v->vm, 1, 0, base + first, end - first, mem + first);
		CHECK_EQ(look(v, level, base + first), OURS + first);
		CHECK_EQ(look(v, level, base + end - 8), OURS + end - 8);
		CHECK_EQ(look(v, level, base + end), NOT_THERE);
		CHECK_EQ(look(v, level, base - 8), NOT_THERE);
		if (first)
			CHECK_EQ(look(v, level, base + first - 8), NOT_THERE);
	}
}

/* ---- registers ------------------------------------------------------------------------------- */

/*
 * Sets all of them from RBX, once; then checks them after each exit, and says at DATA which one
 * differs.
 */
GUEST64(keep_registers,
	mov %rbx, %r8; mov %rbx, %r15; mov %rbx, %rbp;
	movq %rbx, %xmm0; movq %rbx, %xmm15;
	mov %rbx, %dr0; mov %rbx, %dr3; mov %rbx, %cr2;
	mov $0xc0000082, %ecx; call 8f;
	mov $0xc0000083, %ecx; call 8f;
	mov $0xc0000102, %ecx; call 8f;
	mov $0xc0000100, %ecx; call 8f;
	mov $0x175, %ecx; call 8f;
	mov %ebx, %eax; and $0xf, %eax; mov %rax, %cr8;
	1: out %al, $0x10;
	mov $1, %esi; cmp %rbx, %r8; jne 9f; cmp %rbx, %r15; jne 9f; cmp %rbx, %rbp; jne 9f;
	mov $2, %esi; movq %xmm0, %rax; cmp %rbx, %rax; jne 9f;
	movq %xmm15, %rax; cmp %rbx, %rax; jne 9f;
	mov $3, %esi; mov %dr0, %rax; cmp %rbx, %rax; jne 9f;
	mov %dr3, %rax; cmp %rbx, %rax; jne 9f;
	mov $4, %esi; mov %cr2, %rax; cmp %rbx, %rax; jne 9f;
	mov $5, %esi; mov $0xc0000082, %ecx; call 7f;
	mov $6, %esi; mov $0xc0000083, %ecx; call 7f;
	mov $7, %esi; mov $0xc0000102, %ecx; call 7f;
	mov $8, %esi; mov $0xc0000100, %ecx; call 7f;
	mov $9, %esi; mov $0x175, %ecx; call 7f;
	mov $10, %esi; mov %cr8, %rax; mov %ebx, %edx; and $0xf, %edx; cmp %edx, %eax; jne 9f;
	jmp 1b;
	7: rdmsr; shl $32, %rdx; mov %eax, %eax; or %rdx, %rax; cmp %rbx, %rax; jne 9f; ret;
	8: mov %ebx, %eax; mov %rbx, %rdx; shr $32, %rdx; wrmsr; ret;
	9: mov %esi, DATA; out %al, $0x11; hlt)

static const char *const register_names[] = {
	"", "general registers", "XMM registers", "debug registers", "CR2", "LSTAR", "CSTAR",
	"KERNEL_GS_BASE", "FS base", "SYSENTER_ESP", "CR8",
};

static struct vcpu *boot_keeper(struct vcpu *v, u64 value)
{
	struct minivmm_regs r = get_regs(v);

	r.rbx = value;
	set_regs(v, &r);
	return v;
}

static void run_keeper(struct vcpu *v)
{
	do
		CHECK_OK(vcpu_run(v));
	while (v->run->exit_reason == MINIVMM_EXIT_SET_TPR);
	CHECK_EXIT(v, MINIVMM_EXIT_IO);
	if (v->run->io.port != 0x10)
		FAIL("%s: expected %#llx, got %#llx", register_names[*(u32 *)(v->vm->mem + DATA)],
		     get_regs(v).rbx, get_regs(v).rax);
}

TEST(registers_of_two_vms)
{
	struct vcpu *a = boot_keeper(BOOT(LONG64, keep_registers), 0x7fff11111111);
	struct vcpu *b = boot_keeper(BOOT(LONG64, keep_registers), 0x7eee22222222);

	for (int i = 0; i < ROUNDS; i++) {
		run_keeper(a);
		run_keeper(b);
	}
}

TEST(registers_of_two_vcpus)
{
	struct vcpu *a = boot_keeper(BOOT(LONG64, keep_registers), 0x7fff11111111), *b;
	struct minivmm_regs r;

	b = vcpu_create(a->vm, 1);
	vcpu_enter_mode(b, LONG64, CODE);
	boot_keeper(b, 0x7eee22222222);
	r = get_regs(b);
	r.rsp -= 0x800;
	set_regs(b, &r);
	for (int i = 0; i < ROUNDS; i++) {
		run_keeper(a);
		run_keeper(b);
	}
}

static void *run_keepers(void *arg)
{
	for (int i = 0; i < 4 * ROUNDS; i++)
		run_keeper(arg);
	return NULL;
}

TEST(registers_of_vms_in_threads)
{
	struct vcpu *v[3];
	pthread_t t[3];

	for (int i = 0; i < 3; i++)
		v[i] = boot_keeper(BOOT(LONG64, keep_registers), 0x712345670000 + i);
	for (int i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, run_keepers, v[i]);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
}

/* A client may move a vCPU from one thread to the other at each exit. */
TEST(registers_move_between_threads)
{
	struct vcpu *v = boot_keeper(BOOT(LONG64, keep_registers), 0x7fff33333333);

	for (int i = 0; i < ROUNDS; i++) {
		pthread_t t;

		run_keeper(v);
		pthread_create(&t, NULL, run_keepers, v);
		pthread_join(t, NULL);
	}
}
