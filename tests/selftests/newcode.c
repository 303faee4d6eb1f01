// SPDX-License-Identifier: GPL-2.0
/*
 * Code that changes: by itself, by the client while it handles an exit, by another vCPU at any
 * moment. Whether the CPU runs it or the emulator (real mode where there is no unrestricted guest;
 * MMIO), the guest sees the same, and what is in work ends as it began.
 */
#include <signal.h>
#include <string.h>

#include "thread.h"
#include "vm.h"

#define ROUNDS	3000
#define FIRST	(volatile u32 *)(v->vm->mem + DATA)

/* ---- by itself ------------------------------------------------------------------------------- */

/* The operand of the next instruction, with nothing between that would serialise. */
GUEST16(next_operand,
	xor %eax, %eax;
	mov $3000, %cx;
1:	mov %cl, %cs:(3f - guest_next_operand - 1);
	mov $0, %bl;
3:	movzx %bl, %edx;
	add %edx, %eax;
	dec %cx;
	jnz 1b;
	hlt)

/* An opcode: INC BX and DEC BX in turn. */
GUEST16(next_opcode,
	xor %bx, %bx;
	mov $3001, %cx;
1:	xorb $8, %cs:(2f - guest_next_opcode);
2:	dec %bx;
	dec %cx;
	jnz 1b;
	hlt)

/* The loop writes over the part of it that follows, by a string instruction: NOPs over INC BX. */
GUEST16(string_over_it,
	push %cs;
	pop %es;
	xor %bx, %bx;
	mov $(2f - guest_string_over_it), %di;
	mov $4, %cx;
	mov $0x90, %al;
	rep stosb;
2:	inc %bx; inc %bx; inc %bx; inc %bx;
	inc %bx;
	hlt)

static struct minivmm_regs end_in_real_mode(struct vcpu *v)
{
	struct minivmm_regs r = get_regs(v);

	r.rsp = 0x8000;
	set_regs(v, &r);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	return get_regs(v);
}

TEST(operand_of_the_next_instruction)
{
	u32 sum = 0;

	for (u32 i = 1; i <= 3000; i++)
		sum += i & 0xff;
	CHECK_EQ((u32)end_in_real_mode(BOOT(REAL16, next_operand)).rax, sum);
}

TEST(opcode_of_the_next_instruction)
{
	CHECK_EQ((u16)end_in_real_mode(BOOT(REAL16, next_opcode)).rbx, 1);
}

TEST(string_instruction_over_what_follows)
{
	CHECK_EQ((u16)end_in_real_mode(BOOT(REAL16, string_over_it)).rbx, 1);
}

/* ---- by the client --------------------------------------------------------------------------- */

GUEST64(two_reads,
	mov (%rbx), %edx;		/* 8b 13 */
	mov (%rbx), %edx;
	hlt)

static struct vcpu *boot_reads(void)
{
	struct vcpu *v = BOOT(LONG64, two_reads);
	struct minivmm_regs r = get_regs(v);

	r.rbx = MMIO;
	r.rcx = 0;
	r.rdx = 0;
	set_regs(v, &r);
	return v;
}

/* The read that waits for the client goes where it was to go; the next does what its bytes say. */
TEST(client_changes_the_instruction_that_waits)
{
	static const u8 read_ecx[] = { 0x8b, 0x0b };
	struct vcpu *v = boot_reads();
	struct minivmm_regs r;

	RUN_TO(v, MINIVMM_EXIT_MMIO);
	memcpy(v->vm->mem + CODE, read_ecx, sizeof(read_ecx));
	memcpy(v->vm->mem + CODE + 2, read_ecx, sizeof(read_ecx));
	memset(v->run->mmio.data, 0x55, 4);
	RUN_TO(v, MINIVMM_EXIT_MMIO);
	memset(v->run->mmio.data, 0x66, 4);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	r = get_regs(v);
	CHECK_EQ(r.rdx, 0x55555555);
	CHECK_EQ(r.rcx, 0x66666666);
}

#define LINEAR		0x40000000	/* of a 2M page, until here it gets tables */
#define TABLES		0x30000		/* two of them */
#define PAGES		0x32000		/* of code, two */
#define PDE		(PAGE_TABLES + 3 * PAGE)

GUEST64(call_again,
1:	invlpg (%rsi);
	call *%rsi;
	jmp 1b)

GUEST64(store_eax,
	mov %eax, (%rbx);
	ret)

GUEST64(store_ecx,
	mov %ecx, (%rbx);
	ret)

/* An instruction that is emulated lies at one address, but where that is changes, level by level. */
TEST(other_page_at_the_address)
{
	struct vcpu *v = BOOT(LONG64, call_again);
	struct minivmm_regs r = get_regs(v);
	u64 *pde = (u64 *)(v->vm->mem + PDE), *pte[2];
	int table = 0, page = 0;

	LOAD(v->vm, PAGES, store_eax);
	LOAD(v->vm, PAGES + PAGE, store_ecx);
	for (int i = 0; i < 2; i++) {
		pte[i] = (u64 *)(v->vm->mem + TABLES + i * PAGE);
		*pte[i] = PAGES | 3;
	}
	*pde = TABLES | 3;
	r.rsi = LINEAR;
	r.rbx = MMIO;
	r.rax = 0xaaaaaaaa;
	r.rcx = 0xcccccccc;
	set_regs(v, &r);
	for (int i = 0; i < 200; i++) {
		u32 value;

		RUN_TO(v, MINIVMM_EXIT_MMIO);
		memcpy(&value, v->run->mmio.data, 4);
		CHECK_EQ(value, page ? 0xcccccccc : 0xaaaaaaaa);
		if (i % 3 == 0)
			*pde = (TABLES + (table ^= 1) * PAGE) | 3;
		if (i % 5 < 2)
			page ^= 1;
		*pte[table] = (PAGES + page * PAGE) | 3;
	}
}

/* ---- by another vCPU ------------------------------------------------------------------------- */

/* What is stored is one register's value or the other's. They differ in one byte: none is ever torn. */
#define STORE_EAX	0x90004389	/* mov %eax, 0(%rbx); nop */
#define STORE_ECX	0x90004b89	/* mov %ecx, 0(%rbx); nop */

GUEST64(store_loop,
1:	.long STORE_EAX;
	jmp 1b)

/* The other: both in turn for as long as the client lets it, with a count. */
GUEST64(rewrite_loop,
	mov $CODE, %edi;
	mov $DATA, %esi;
	sti;
1:	movl $STORE_ECX, (%rdi);
	incl (%rsi);
	movl $STORE_EAX, (%rdi);
	incl (%rsi);
	pause;
	jmp 1b)

#define REWRITER	(CODE + 0x1000)

static struct vcpu *add_rewriter(struct vm *vm)
{
	struct vcpu *w = vcpu_create(vm, 1);

	LOAD(vm, REWRITER, rewrite_loop);
	vcpu_enter_mode(w, LONG64, REWRITER);
	return w;
}

TEST(other_vcpu_changes_an_mmio_instruction)
{
	struct vcpu *v = BOOT(LONG64, store_loop), *w = add_rewriter(v->vm);
	struct minivmm_regs r = get_regs(v);
	volatile u32 *count = FIRST;
	u32 seen[2] = { 0, 0 };
	struct runner *runner;

	r.rbx = MMIO;
	r.rax = 0xaaaaaaaa;
	r.rcx = 0xcccccccc;
	set_regs(v, &r);
	catch_signal(SIGUSR1);
	runner = start_run(w);
	for (int i = 0; i < ROUNDS || !seen[0] || !seen[1]; i++) {
		u32 value;

		RUN_TO(v, MINIVMM_EXIT_MMIO);
		CHECK_EQ(v->run->mmio.phys_addr, MMIO);
		CHECK_EQ(v->run->mmio.len, 4);
		CHECK(v->run->mmio.is_write);
		memcpy(&value, v->run->mmio.data, 4);
		CHECK(value == 0xaaaaaaaa || value == 0xcccccccc);
		seen[value == 0xcccccccc]++;
	}
	CHECK(*count > 0);
	while (!run_returned_within(runner, 1))
		pthread_kill(runner->thread, SIGUSR1);
	join_run(runner);
}

/* ---- what is no instruction ------------------------------------------------------------------ */

/* 15 bytes are one, 16 are #GP, however they are run. */
static void run_prefixes(int n, u8 vector)
{
	struct vm *vm = vm_with_memory(MEM_SIZE);
	struct vcpu *v = boot_in(vm, REAL16, "\xf4", 1);
	struct minivmm_regs r = get_regs(v);
	u16 *ivt = (u16 *)vm->mem;

	for (int i = 0; i < 32; i++) {		/* each handler: HLT of its own, at CODE + 0x800 + i */
		ivt[2 * i] = 0x800 + i;
		ivt[2 * i + 1] = CODE >> 4;
		vm->mem[CODE + 0x800 + i] = 0xf4;
	}
	memset(vm->mem + CODE, 0x3e, n);
	vm->mem[CODE + n] = 0x90;
	vm->mem[CODE + n + 1] = 0xf4;
	r.rsp = 0x8000;
	set_regs(v, &r);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_regs(v).rip, (u64)(vector ? 0x800 + vector : n + 1) + 1);
}

TEST(fourteen_prefixes) { run_prefixes(14, 0); }
TEST(fifteen_prefixes) { run_prefixes(15, 13); }
TEST(a_page_of_prefixes) { run_prefixes(0x700, 13); }
