// SPDX-License-Identifier: GPL-2.0
/* The client as a debugger: SET_GUEST_DEBUG, EXIT_DEBUG, DEBUGREGS, TRANSLATE. */
#include <string.h>

#include "chips.h"
#include "vm.h"

#define DB	1
#define BP	3

#define DR6_LOW		0xffff0ff0u	/* bits that are 1 when they tell nothing */
#define DR6_BD		(1u << 13)
#define DR6_BS		(1u << 14)
#define DR7_ON(n)	(1u << (2 * (n)))
#define DR7_WRITE(n)	(0xdu << (16 + 4 * (n)))	/* 4 bytes */
#define DR7_ACCESS(n)	(0xfu << (16 + 4 * (n)))
#define DR7_GD		(1u << 13)
#define TF		(1u << 8)

#define STEP	(MINIVMM_GUESTDBG_ENABLE | MINIVMM_GUESTDBG_SINGLESTEP)
#define SW	(MINIVMM_GUESTDBG_ENABLE | MINIVMM_GUESTDBG_USE_SW_BP)
#define HW	(MINIVMM_GUESTDBG_ENABLE | MINIVMM_GUESTDBG_USE_HW_BP)

static void set_debug(struct vcpu *v, u32 control)
{
	struct minivmm_guest_debug d = { .control = control };

	CHECK_OK(ioctl(v->fd, MINIVMM_SET_GUEST_DEBUG, &d));
}

static void set_hw(struct vcpu *v, u32 control, u64 dr0, u64 dr1, u64 dr7)
{
	struct minivmm_guest_debug d = {
		.control = HW | control, .arch.debugreg = { [0] = dr0, [1] = dr1, [7] = dr7 },
	};

	CHECK_OK(ioctl(v->fd, MINIVMM_SET_GUEST_DEBUG, &d));
}

#define STEP_TO(v, reason)		run_to_step(__FILE__, __LINE__, v, reason, ~0ull)
#define RUN_TO_STOP(v, exception, pc)	run_to_stop(__FILE__, __LINE__, v, exception, pc)

/*
 * Bochs 2.7 takes an instruction that was begun under TF and made the guest exit, by a page that
 * isn't mapped yet for example, for stepped: there is another stop in front of it.
 */
static void run_to_step(const char *file, int line, struct vcpu *v, u32 reason, u64 pc)
{
	u64 from = get_regs(v).rip + get_sregs(v).cs.base;
	int tries = on_bochs() ? 20 : 1;

	do
		CHECK_OK(vcpu_run(v));
	while (--tries && v->run->exit_reason == MINIVMM_EXIT_DEBUG &&
	       v->run->debug.arch.exception == DB && v->run->debug.arch.dr6 & DR6_BS &&
	       v->run->debug.arch.pc == from && from != pc);
	check_exit(file, line, v, reason);
}

static void run_to_stop(const char *file, int line, struct vcpu *v, u32 exception, u64 pc)
{
	run_to_step(file, line, v, MINIVMM_EXIT_DEBUG, pc);
	if (v->run->debug.arch.exception != exception || v->run->debug.arch.pc != pc)
		fail_at(file, line, "expected a stop by %u at %#llx, got %u at %#llx", exception,
			(long long)pc, v->run->debug.arch.exception,
			(long long)v->run->debug.arch.pc);
}

/* ---- single steps ---------------------------------------------------------------------------- */

GUEST64(plain, nop; mov $1, %eax; add $2, %eax; jmp 1f; nop; 1: nop; hlt)

TEST(steps)
{
	static const u32 at[] = { 1, 6, 9, 12, 13 };
	struct vcpu *v = BOOT(LONG64, plain);

	set_debug(v, STEP);
	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		context("step %zu", i);
		RUN_TO_STOP(v, DB, CODE + at[i]);
		CHECK_EQ(v->run->debug.arch.dr6, DR6_LOW | DR6_BS);
		CHECK_EQ(get_regs(v).rip, CODE + at[i]);
		CHECK_EQ(get_regs(v).rflags & TF, 0);
	}
	CHECK_EQ(get_regs(v).rax, 3);
	set_debug(v, 0);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_regs(v).rflags & TF, 0);
}

TEST(steps_after_registers_were_set)
{
	struct vcpu *v = BOOT(LONG64, plain);
	struct minivmm_regs r;

	set_debug(v, STEP);
	RUN_TO_STOP(v, DB, CODE + 1);
	r = get_regs(v);
	r.rip = CODE + 6;
	r.rax = 40;
	set_regs(v, &r);
	set_debug(v, STEP);	/* for KVM, which else forgets it now */
	RUN_TO_STOP(v, DB, CODE + 9);
	CHECK_EQ(get_regs(v).rax, 42);
}

TEST(without_enable_nothing_stops)
{
	struct vcpu *v = BOOT(LONG64, plain);

	set_debug(v, MINIVMM_GUESTDBG_SINGLESTEP);
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

/* Instructions that exit, and are done in the kernel or by the client. */
GUEST64(exiting,
	cpuid;
	mov %cr3, %rax;
	mov %rax, %cr3;
	mov $0x277, %ecx;
	rdmsr;
	wrmsr;
	mov %dr7, %rax;
	mov %rax, %dr7;
	mov $MMIO, %ebx;
	mov (%rbx), %eax;
	mov %eax, (%rbx);
	in $0x20, %al;
	out %al, $0x21;
	nop;
	hlt)

TEST(steps_over_exits)
{
	static const u32 at[] = { 2, 5, 8, 13, 15, 17, 20, 23, 28 };
	struct vcpu *v = BOOT(LONG64, exiting);

	set_debug(v, STEP);
	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		context("step %zu", i);
		RUN_TO_STOP(v, DB, CODE + at[i]);
		CHECK_EQ(v->run->debug.arch.dr6, DR6_LOW | DR6_BS);
	}
	STEP_TO(v, MINIVMM_EXIT_MMIO);
	CHECK_EQ(v->run->mmio.is_write, 0);
	memcpy(v->run->mmio.data, &(u32){ 0x1234 }, 4);
	RUN_TO_STOP(v, DB, CODE + 30);
	CHECK_EQ(get_regs(v).rax, 0x1234);
	STEP_TO(v, MINIVMM_EXIT_MMIO);
	CHECK_EQ(v->run->mmio.is_write, 1);
	CHECK_MEM(v->run->mmio.data, &(u32){ 0x1234 }, 4);
	if (opt.oracle)		/* which forgets the stop, and that it is to stop */
		set_debug(v, STEP);
	else
		RUN_TO_STOP(v, DB, CODE + 32);
	STEP_TO(v, MINIVMM_EXIT_IO);
	CHECK_EQ(v->run->io.port, 0x20);
	*(u8 *)pio_data(v) = 0x55;
	RUN_TO_STOP(v, DB, CODE + 34);
	CHECK_EQ(get_regs(v).rax, 0x1255);
	STEP_TO(v, MINIVMM_EXIT_IO);
	CHECK_EQ(v->run->io.port, 0x21);
	RUN_TO_STOP(v, DB, CODE + 36);
	RUN_TO_STOP(v, DB, CODE + 37);
	STEP_TO(v, MINIVMM_EXIT_HLT);
}

#define IGNORES	(CODE + 0x2000)
GUEST64(ignores, iretq)

TEST(stepping_can_end_while_io_is_under_way)
{
	struct vcpu *v = BOOT(LONG64, exiting);

	/* Bochs, as above: here the guest gets what is one too many */
	LOAD(v->vm, IGNORES, ignores);
	vm_set_gate(v->vm, DB, IGNORES);
	set_debug(v, STEP);
	do
		CHECK_OK(vcpu_run(v));
	while (v->run->exit_reason == MINIVMM_EXIT_DEBUG);
	CHECK_EXIT(v, MINIVMM_EXIT_MMIO);
	memset(v->run->mmio.data, 0, 4);
	set_debug(v, 0);
	RUN_TO_WRITE(v, MMIO, 0, 4);
	RUN_TO_IN(v, 0x20, 1);
	RUN_TO_OUT(v, 0x21, 0, 1);
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

GUEST64(halting, sti; nop; hlt; nop; hlt)

/* With chips in the kernel a halt is the kernel's: the step is done, and the vCPU halted. */
TEST(steps_over_hlt)
{
	struct minivmm_mp_state state;
	struct vcpu *v = BOOT_IN(vm_with_chips(), LONG64, halting);

	set_debug(v, STEP);
	RUN_TO_STOP(v, DB, CODE + 1);
	RUN_TO_STOP(v, DB, CODE + 2);
	RUN_TO_STOP(v, DB, CODE + 3);
	CHECK_OK(ioctl(v->fd, MINIVMM_GET_MP_STATE, &state));
	CHECK_EQ(state.mp_state, MINIVMM_MP_STATE_HALTED);
}

/* A client may say that interrupts are held off: that and a step don't go together for a CPU. */
TEST(steps_from_an_interrupt_shadow)
{
	struct vcpu *v = BOOT(LONG64, plain);
	struct minivmm_vcpu_events e;

	set_debug(v, STEP);
	RUN_TO_STOP(v, DB, CODE + 1);
	CHECK_OK(ioctl(v->fd, MINIVMM_GET_VCPU_EVENTS, &e));
	e.flags = MINIVMM_VCPUEVENT_VALID_SHADOW;
	e.interrupt.shadow = MINIVMM_X86_SHADOW_INT_STI;
	CHECK_OK(ioctl(v->fd, MINIVMM_SET_VCPU_EVENTS, &e));
	RUN_TO_STOP(v, DB, CODE + 6);
}

GUEST64(clears_flags, push $2; popf; nop; nop; hlt)

/* POPF takes TF away; KVM doesn't step on after it. */
TEST(steps_on_after_popf)
{
	struct vcpu *v = BOOT(LONG64, clears_flags);

	set_debug(v, STEP);
	RUN_TO_STOP(v, DB, CODE + 2);
	RUN_TO_STOP(v, DB, CODE + 3);
	if (opt.oracle)
		skip("KVM stops stepping here");
	RUN_TO_STOP(v, DB, CODE + 4);
	RUN_TO_STOP(v, DB, CODE + 5);
}

/* ---- modes that some CPUs can't run: there the emulator does -------------------------------------- */

GUEST16(real, nop; mov $1, %ax; int3; cpuid; nop; hlt)

TEST(steps_in_real_mode)
{
	struct vcpu *v = BOOT(REAL16, real);

	set_debug(v, STEP | SW);
	RUN_TO_STOP(v, DB, CODE + 1);
	RUN_TO_STOP(v, DB, CODE + 4);
	RUN_TO_STOP(v, BP, CODE + 4);
	v->vm->mem[CODE + 4] = 0x90;
	RUN_TO_STOP(v, DB, CODE + 5);
	RUN_TO_STOP(v, DB, CODE + 7);
	RUN_TO_STOP(v, DB, CODE + 8);
}

TEST(breakpoints_in_real_mode)
{
	struct vcpu *v = BOOT(REAL16, real);

	set_hw(v, SW, CODE + 1, CODE + 7, DR7_ON(0) | DR7_ON(1));
	RUN_TO_STOP(v, DB, CODE + 1);
	CHECK_EQ(v->run->debug.arch.dr6, DR6_LOW | 1);
	set_hw(v, SW, 0, CODE + 7, DR7_ON(1));
	RUN_TO_STOP(v, BP, CODE + 4);
	v->vm->mem[CODE + 4] = 0x90;
	RUN_TO_STOP(v, DB, CODE + 7);
	CHECK_EQ(v->run->debug.arch.dr6, DR6_LOW | 2);
	set_debug(v, 0);
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

/* ---- breakpoints by debug registers ------------------------------------------------------------- */

TEST(hw_breakpoint)
{
	struct vcpu *v = BOOT(LONG64, plain);
	struct minivmm_regs r;

	set_hw(v, 0, CODE + 9, CODE + 6, DR7_ON(0) | DR7_ON(1));
	RUN_TO_STOP(v, DB, CODE + 6);
	CHECK_EQ(v->run->debug.arch.dr6, DR6_LOW | 2);
	CHECK_EQ(v->run->debug.arch.dr7 & 0xff, DR7_ON(0) | DR7_ON(1));
	CHECK_EQ(get_regs(v).rax, 1);
	/* with RF the instruction is done once */
	r = get_regs(v);
	r.rflags |= 1 << 16;
	set_regs(v, &r);
	RUN_TO_STOP(v, DB, CODE + 9);
	CHECK_EQ(v->run->debug.arch.dr6, DR6_LOW | 1);
	set_debug(v, 0);
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

GUEST64(accesses,
	mov $DATA, %ebx;
	movl $5, (%rbx);
	nop;
	mov 4(%rbx), %eax;
	nop;
	hlt)

TEST(hw_watchpoints)
{
	struct vcpu *v = BOOT(LONG64, accesses);

	set_hw(v, 0, DATA, DATA + 4, DR7_ON(0) | DR7_WRITE(0) | DR7_ON(1) | DR7_ACCESS(1));
	RUN_TO_STOP(v, DB, CODE + 11);
	CHECK_EQ(v->run->debug.arch.dr6, DR6_LOW | 1);
	CHECK_EQ(*(u32 *)(v->vm->mem + DATA), 5);
	RUN_TO_STOP(v, DB, CODE + 15);
	CHECK_EQ(v->run->debug.arch.dr6, DR6_LOW | 2);
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

/* The guest's registers are its own, and without effect meanwhile. */
GUEST64(moves_dr,
	mov $CODE, %rax;
	mov %rax, %dr0;
	mov $0x401, %eax;
	mov %rax, %dr7;
	nop;
	mov %dr0, %rbx;
	mov %dr7, %rcx;
	nop;
	hlt)

TEST(debuggers_registers_hide_the_guests)
{
	struct vcpu *v = BOOT(LONG64, moves_dr);
	struct minivmm_debugregs d;

	set_hw(v, 0, CODE + 18, CODE + 25, DR7_ON(0) | DR7_ON(1));
	RUN_TO_STOP(v, DB, CODE + 18);
	CHECK_OK(ioctl(v->fd, MINIVMM_GET_DEBUGREGS, &d));
	CHECK_EQ(d.db[0], CODE);
	CHECK_EQ(d.dr7, 0x401);
	CHECK_EQ(d.dr6, DR6_LOW);
	set_hw(v, 0, 0, CODE + 25, DR7_ON(1));
	RUN_TO_STOP(v, DB, CODE + 25);
	CHECK_EQ(get_regs(v).rbx, CODE);
	CHECK_EQ(get_regs(v).rcx, 0x401);
	set_debug(v, 0);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_OK(ioctl(v->fd, MINIVMM_GET_DEBUGREGS, &d));
	CHECK_EQ(d.db[0], CODE);
	CHECK_EQ(d.db[1], 0);
	CHECK_EQ(d.dr7, 0x401);
}

TEST(debugger_hears_of_moves_to_debug_registers)
{
	struct vcpu *v = BOOT(LONG64, moves_dr);

	set_hw(v, 0, 0, 0, DR7_GD);
	RUN_TO_STOP(v, DB, CODE + 7);
	CHECK_EQ(v->run->debug.arch.dr6, DR6_LOW | DR6_BD);
	CHECK_EQ(v->run->debug.arch.dr7 & DR7_GD, DR7_GD);
	set_debug(v, 0);
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

/* ---- INT3, and what the guest gets after all -------------------------------------------------- */

#define HANDLER		(CODE + 0x1000)

/* What was pushed, and DR6. */
GUEST64(on_trap, mov (%rsp), %rsi; mov %dr6, %rdi; out %al, $0x33; iretq)
GUEST64(traps_itself, pushf; orl $0x100, (%rsp); popf; nop; int3; nop; hlt)
GUEST64(traps, nop; int3; nop; nop; hlt)

static struct vcpu *with_handlers(struct vcpu *v)
{
	LOAD(v->vm, HANDLER, on_trap);
	vm_set_gate(v->vm, DB, HANDLER);
	vm_set_gate(v->vm, BP, HANDLER);
	return v;
}

static struct vcpu *boot_trapper(void)
{
	return with_handlers(BOOT(LONG64, traps));
}

TEST(int3_is_the_debuggers)
{
	struct vcpu *v = boot_trapper();

	set_debug(v, SW);
	RUN_TO_STOP(v, BP, CODE + 1);
	CHECK_EQ(get_regs(v).rip, CODE + 1);
	/* and again, since it wasn't done */
	RUN_TO_STOP(v, BP, CODE + 1);
	v->vm->mem[CODE + 1] = 0x90;
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

TEST(int3_is_the_guests)
{
	struct vcpu *v = boot_trapper();

	set_debug(v, HW);
	RUN_TO_OUT(v, 0x33, 0, 1);
	CHECK_EQ(get_regs(v).rsi, CODE + 2);
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

TEST(injects_bp)
{
	struct vcpu *v = boot_trapper();
	struct minivmm_guest_debug d = { .control = SW | MINIVMM_GUESTDBG_INJECT_BP };

	set_debug(v, SW);
	RUN_TO_STOP(v, BP, CODE + 1);
	set_debug(v, SW | MINIVMM_GUESTDBG_INJECT_BP);
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_GUEST_DEBUG, &d), EBUSY);
	RUN_TO_OUT(v, 0x33, 0, 1);
	CHECK_EQ(get_regs(v).rsi, CODE + 2);
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

TEST(injects_db)
{
	struct minivmm_debugregs regs = { .dr6 = DR6_LOW | 4, .dr7 = 0x400 | DR7_GD };
	struct vcpu *v = boot_trapper();

	CHECK_OK(ioctl(v->fd, MINIVMM_SET_DEBUGREGS, &regs));
	set_debug(v, MINIVMM_GUESTDBG_INJECT_DB);
	RUN_TO_OUT(v, 0x33, 0, 1);
	CHECK_EQ(get_regs(v).rsi, CODE);
	CHECK_EQ(get_regs(v).rdi, DR6_LOW | 4);
	CHECK_OK(ioctl(v->fd, MINIVMM_GET_DEBUGREGS, &regs));
	CHECK_EQ(regs.dr7, 0x400);
}

/* Its own single steps, while the debugger looks for INT3 only. */
TEST(guests_trap_flag_is_its_own)
{
	struct vcpu *v = with_handlers(BOOT(LONG64, traps_itself));

	set_debug(v, SW);
	RUN_TO_OUT(v, 0x33, 0, 1);
	CHECK_EQ(get_regs(v).rsi, CODE + 10);
	CHECK_EQ(get_regs(v).rdi, DR6_LOW | DR6_BS);
	RUN_TO_STOP(v, BP, CODE + 10);
	CHECK_EQ(get_regs(v).rflags & TF, TF);
}

TEST(set_guest_debug_refuses_a_bad_pointer)
{
	struct vcpu *v = BOOT(LONG64, plain);

	CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_GUEST_DEBUG, BAD_POINTER), EFAULT);
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_TRANSLATE, BAD_POINTER), EFAULT);
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_GET_DEBUGREGS, BAD_POINTER), EFAULT);
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_DEBUGREGS, BAD_POINTER), EFAULT);
}

TEST(capabilities)
{
	CHECK_EQ(node_extension(MINIVMM_CAP_SET_GUEST_DEBUG), 1);
	CHECK_EQ(node_extension(MINIVMM_CAP_SET_GUEST_DEBUG2), 0x1f0003);
	CHECK_EQ(node_extension(MINIVMM_CAP_X86_ROBUST_SINGLESTEP), 1);
	CHECK_EQ(node_extension(MINIVMM_CAP_DEBUGREGS), 1);
}

/* ---- interrupts held back ----------------------------------------------------------------------- */

GUEST64(on_interrupt, out %al, $0x21; iretq)
GUEST64(waits, sti; nop; nop; nop; nop; nop; hlt; hlt)

TEST(nmis_are_held_back)
{
	struct vcpu *v = BOOT(LONG64, waits);

	LOAD(v->vm, HANDLER, on_interrupt);
	vm_set_gate(v->vm, 2, HANDLER);
	set_debug(v, STEP | MINIVMM_GUESTDBG_BLOCKIRQ);
	RUN_TO_STOP(v, DB, CODE + 1);
	CHECK_OK(ioctl(v->fd, MINIVMM_NMI, 0));
	RUN_TO_STOP(v, DB, CODE + 2);
	RUN_TO_STOP(v, DB, CODE + 3);
	set_debug(v, 0);
	RUN_TO_OUT(v, 0x21, 0, 1);
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

TEST(local_apics_interrupts_are_held_back)
{
	struct vm *vm = vm_with_chips();
	struct vcpu *v = boot_counter(vm, true);

	run_interrupted(v, 5, word(vm, READY), 1);
	set_debug(v, MINIVMM_GUESTDBG_ENABLE | MINIVMM_GUESTDBG_BLOCKIRQ);
	CHECK_OK(signal_msi(vm, MSI_TO(0), 0x40));
	*word(vm, GO_ON) = 1;
	RUN_TO(v, MINIVMM_EXIT_IO);
	CHECK_EQ(count_of(vm, 0x40), 0);
	set_debug(v, 0);
	start_run(v);
	wait_for_count(vm, 0x40, 1);
}

/* ---- debug registers ----------------------------------------------------------------------------- */

TEST(debug_registers_come_back)
{
	struct minivmm_debugregs d = {
		.db = { 0x1111, 0x2222, ~0ull, 0x4444 }, .dr6 = DR6_LOW | DR6_BS, .dr7 = 0x455,
	}, got;
	struct vcpu *v = BOOT(LONG64, moves_dr);

	CHECK_OK(ioctl(v->fd, MINIVMM_GET_DEBUGREGS, &got));
	CHECK_EQ(got.dr6, DR6_LOW);
	CHECK_EQ(got.dr7, 0x400);
	CHECK_OK(ioctl(v->fd, MINIVMM_SET_DEBUGREGS, &d));
	CHECK_OK(ioctl(v->fd, MINIVMM_GET_DEBUGREGS, &got));
	CHECK_MEM(&got, &d, sizeof(d));
	/* as they were given */
	d.dr6 = d.dr7 = 0;
	CHECK_OK(ioctl(v->fd, MINIVMM_SET_DEBUGREGS, &d));
	CHECK_OK(ioctl(v->fd, MINIVMM_GET_DEBUGREGS, &got));
	CHECK_MEM(&got, &d, sizeof(d));
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

TEST(debug_registers_are_checked)
{
	struct vcpu *v = BOOT(LONG64, plain);
	struct minivmm_debugregs d = { .flags = 1 };

	CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_DEBUGREGS, &d), EINVAL);
	d = (struct minivmm_debugregs){ .dr6 = 1ull << 32 };
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_DEBUGREGS, &d), EINVAL);
	d = (struct minivmm_debugregs){ .dr7 = 1ull << 63 };
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_DEBUGREGS, &d), EINVAL);
}

/* Those that the client sets work in the guest. */
TEST(debug_registers_work)
{
	struct minivmm_debugregs d = { .db[2] = CODE + 3, .dr6 = DR6_LOW, .dr7 = 0x400 | DR7_ON(2) };
	struct vcpu *v = boot_trapper();

	v->vm->mem[CODE + 1] = 0x90;
	CHECK_OK(ioctl(v->fd, MINIVMM_SET_DEBUGREGS, &d));
	RUN_TO_OUT(v, 0x33, 0, 1);
	CHECK_EQ(get_regs(v).rsi, CODE + 3);
	CHECK_EQ(get_regs(v).rdi, DR6_LOW | 4);
}

/* ---- TRANSLATE ---------------------------------------------------------------------------------- */

static struct minivmm_translation translate(struct vcpu *v, u64 linear)
{
	struct minivmm_translation t = { .linear_address = linear };

	CHECK_OK(ioctl(v->fd, MINIVMM_TRANSLATE, &t));
	CHECK_EQ(t.linear_address, linear);
	CHECK_EQ(t.writeable, 1);
	CHECK_EQ(t.usermode, 0);
	return t;
}

static void check_mapped(struct vcpu *v, u64 linear, u64 physical)
{
	struct minivmm_translation t = translate(v, linear);

	context("%#llx", (long long)linear);
	CHECK_EQ(t.valid, 1);
	CHECK_EQ(t.physical_address, physical);
}

static void check_unmapped(struct vcpu *v, u64 linear)
{
	struct minivmm_translation t = translate(v, linear);

	context("%#llx", (long long)linear);
	CHECK_EQ(t.valid, 0);
	CHECK_EQ(t.physical_address, ~0ull);
}

TEST(translates_without_paging)
{
	check_mapped(BOOT(PROT32, plain), 0x12345678, 0x12345678);
	check_mapped(BOOT(REAL16, plain), 0xf1234, 0xf1234);
}

TEST(translates_long_mode)
{
	struct vcpu *v = BOOT(LONG64, plain);
	u64 *pd = (u64 *)(v->vm->mem + PAGE_TABLES + 2 * PAGE);
	u64 *pt = (u64 *)(v->vm->mem + DATA);

	check_mapped(v, CODE + 5, CODE + 5);
	check_mapped(v, 0xfedcba98, 0xfedcba98);
	check_unmapped(v, 1ull << 32);
	check_unmapped(v, 1ull << 46);
	/* a table of 4K pages, one of which is the kernel's, and not writable */
	pd[8] = DATA | 7;
	pt[3] = 0x5000 | 1;
	check_mapped(v, 8 * 2 * MiB + 3 * PAGE + 0x123, 0x5123);
	check_unmapped(v, 8 * 2 * MiB + 4 * PAGE);
	/* a table that isn't in memory */
	pd[9] = 0x7000000000 | 7;
	check_unmapped(v, 9 * 2 * MiB);
}

#define CR0_PG	(1u << 31)
#define CR4_PSE	(1u << 4)
#define CR4_PAE	(1u << 5)

static void enable_paging(struct vcpu *v, u64 cr4)
{
	struct minivmm_sregs s = get_sregs(v);

	s.cr3 = DATA;
	s.cr4 |= cr4;
	s.cr0 |= CR0_PG;
	set_sregs(v, &s);
}

TEST(translates_32_bit_paging)
{
	struct vcpu *v = BOOT(PROT32, plain);
	u32 *pd = (u32 *)(v->vm->mem + DATA), *pt = (u32 *)(v->vm->mem + DATA + PAGE);

	pd[0] = (DATA + PAGE) | 3;
	pt[0x10] = CODE | 3;
	pd[2] = 0x00c00000 | 0x83;
	enable_paging(v, CR4_PSE);
	check_mapped(v, CODE + 0x77, CODE + 0x77);
	check_mapped(v, 0x00800000 + 0x123456, 0x00c00000 + 0x123456);
	check_unmapped(v, 0x11000);
	check_unmapped(v, 0x400000);
}

TEST(translates_pae)
{
	struct vcpu *v = BOOT(PROT32, plain);
	u64 *pdpt = (u64 *)(v->vm->mem + DATA), *pd = (u64 *)(v->vm->mem + DATA + PAGE);

	pdpt[0] = pdpt[3] = (DATA + PAGE) | 1;
	pd[0] = 0x83;
	pd[5] = 0x1200000 | 0x83;
	enable_paging(v, CR4_PAE);
	check_mapped(v, CODE, CODE);
	check_mapped(v, 0xc0000000 + 5 * 2 * MiB + 9, 0x1200009);
	check_unmapped(v, 0x40000000);
	check_unmapped(v, 2 * MiB);
}
