// SPDX-License-Identifier: GPL-2.0
/*
 * The client as a debugger of its guest: SET_GUEST_DEBUG and EXIT_DEBUG, the debug registers, and
 * translations of addresses.
 *
 * A single step is RFLAGS.TF, which the client doesn't see while it steps: set when stepping is
 * asked for, and again with each stop. What else clears it (an interrupt's or exception's delivery)
 * sets it again by an IRET: the handler is stepped over, as under KVM.
 */
#include <linux/kernel.h>
#include <linux/srcu.h>
#include <asm/debugreg.h>

#include "minivmm.h"

#define DR6_FIXED_AND_LOW	DR6_RESERVED	/* bits that are 1 when nothing is told by them */
#define INT3_BYTES	1

/* The registers that the CPU has while the guest runs: a debugger's hide the guest's own. */
void debug_update(struct vcpu *vcpu)
{
	if (!(vcpu->debug.control & MINIVMM_GUESTDBG_USE_HW_BP)) {
		memcpy(vcpu->hw_dr, vcpu->dr, sizeof(vcpu->hw_dr));
		vcpu->hw_dr7 = vcpu->dr7;
	}
	hw_set_dr7(vcpu, vcpu->hw_dr7);
}

void debug_arm_step(struct vcpu *vcpu)
{
	if (!(vcpu->debug.control & MINIVMM_GUESTDBG_SINGLESTEP))
		return;
	hw_set_rflags(vcpu, vcpu_rflags(vcpu) | X86_EFLAGS_TF);
	/* an entry wants a trap that is due already where TF is set under a shadow */
	hw_clear_interrupt_shadow(vcpu);
}

u64 debug_hide_step(struct vcpu *vcpu, u64 rflags)
{
	return vcpu->debug.control & MINIVMM_GUESTDBG_SINGLESTEP ? rflags & ~X86_EFLAGS_TF : rflags;
}

/* ---- stops ------------------------------------------------------------------------------------- */

static u64 linear_rip(struct vcpu *vcpu)
{
	u64 rip = reg_read(vcpu, R_RIP);

	return is_64bit_code(vcpu) ? rip : (u32)(rip + hw_segment_base(vcpu, SEG_CS));
}

/**
 * debug_stop() - EXIT_DEBUG
 * @vcpu: the vCPU
 * @exception: #DB or #BP, which the guest doesn't get
 * @conditions: of a #DB, as DR6 would tell them
 *
 * Context: vcpu.
 * Return: 0, the handlers' "to userspace".
 */
int debug_stop(struct vcpu *vcpu, u8 exception, u64 conditions)
{
	vcpu->run->exit_reason = MINIVMM_EXIT_DEBUG;
	vcpu->run->debug.arch = (struct minivmm_debug_exit_arch){
		.exception = exception, .pc = linear_rip(vcpu),
		.dr6 = conditions | DR6_FIXED_AND_LOW, .dr7 = vcpu->hw_dr7,
	};
	debug_arm_step(vcpu);
	return 0;
}

/* For who can't leave at once: the next entry is that exit. */
static void stop_later(struct vcpu *vcpu, u8 exception, u64 conditions)
{
	vcpu->debug.exception = exception;
	vcpu->debug.conditions = conditions;
	vcpu_request(vcpu, REQ_DEBUG);
}

int debug_stop_now(struct vcpu *vcpu)
{
	return debug_stop(vcpu, vcpu->debug.exception, vcpu->debug.conditions);
}

/* The guest's own #DB, whose conditions replace those of the last. */
void debug_inject(struct vcpu *vcpu, u64 conditions)
{
	vcpu->dr6 = (vcpu->dr6 & ~(u64)DR_TRAP_BITS) | conditions;
	inject_exception(vcpu, X86_TRAP_DB);
}

/* A #DB, the debugger's if it asked for what made it, else the guest's. */
static void raise_debug(struct vcpu *vcpu, u32 asked, u64 conditions)
{
	if (vcpu->debug.control & asked)
		stop_later(vcpu, X86_TRAP_DB, conditions);
	else
		debug_inject(vcpu, conditions);
}

/**
 * debug_step_done() - an instruction that was begun with RFLAGS.TF was done in the CPU's place
 * @vcpu: the vCPU
 *
 * Context: vcpu, or with interrupts off in the fast path.
 */
void debug_step_done(struct vcpu *vcpu)
{
	raise_debug(vcpu, MINIVMM_GUESTDBG_SINGLESTEP, DR_STEP);
}

/**
 * debug_hits_breakpoint() - does DR7 ask for #DB before the instruction here?
 * @vcpu: whom the emulator runs
 * @at: the instruction's linear address
 *
 * Return: true = the instruction isn't to be done now.
 */
bool debug_hits_breakpoint(struct vcpu *vcpu, gva_t at)
{
	unsigned int i, hits = 0;

	for (i = 0; i < 4; i++)
		if (vcpu->hw_dr7 >> 2 * i & 3 && !(vcpu->hw_dr7 >> (16 + 4 * i) & 0xf) &&
		    vcpu->hw_dr[i] == at)
			hits |= 1 << i;
	if (hits)
		raise_debug(vcpu, MINIVMM_GUESTDBG_USE_HW_BP, hits);
	return hits;
}

/* The same before an INT3, len bytes long. */
bool debug_takes_int3(struct vcpu *vcpu, unsigned int len)
{
	if (!(vcpu->debug.control & MINIVMM_GUESTDBG_USE_SW_BP))
		return false;
	vcpu->event_len = len;
	stop_later(vcpu, X86_TRAP_BP, 0);
	return true;
}

/* ---- ioctls ------------------------------------------------------------------------------------ */

/* What the guest is to get after all, or what the debugger makes up. */
static int inject_by_client(struct vcpu *vcpu, u32 control)
{
	if (vcpu->exception.pending || test_bit(REQ_TRIPLE_FAULT, &vcpu->requests))
		return -EBUSY;
	if (control & MINIVMM_GUESTDBG_INJECT_DB) {
		inject_exception(vcpu, X86_TRAP_DB);
		return 0;
	}
	/* behind the INT3 of the last stop, if it is that one's */
	if (!vcpu->event_len || vcpu->event_len > 15)
		vcpu->event_len = INT3_BYTES;
	inject_breakpoint(vcpu);
	return 0;
}

/**
 * debug_set() - SET_GUEST_DEBUG
 * @vcpu: the vCPU
 * @debug: what stops the guest from now on; without ENABLE nothing does
 *
 * Context: vcpu.
 * Return: 0; -EBUSY: an exception to inject, and one is pending already.
 */
int debug_set(struct vcpu *vcpu, const struct minivmm_guest_debug *debug)
{
	int r = 0;

	if (debug->control & (MINIVMM_GUESTDBG_INJECT_DB | MINIVMM_GUESTDBG_INJECT_BP))
		r = inject_by_client(vcpu, debug->control);
	if (r)
		return r;
	hw_set_rflags(vcpu, debug_hide_step(vcpu, vcpu_rflags(vcpu)));
	clear_bit(REQ_DEBUG, &vcpu->requests);

	vcpu->debug.control = debug->control & MINIVMM_GUESTDBG_ENABLE ? debug->control : 0;
	if (vcpu->debug.control & MINIVMM_GUESTDBG_USE_HW_BP) {
		memcpy(vcpu->hw_dr, debug->arch.debugreg, sizeof(vcpu->hw_dr));
		vcpu->hw_dr7 = (u32)debug->arch.debugreg[7];
	}
	debug_update(vcpu);
	hw_update_exceptions(vcpu);
	debug_arm_step(vcpu);
	vcpu_request(vcpu, REQ_EVENT);
	return 0;
}

void debug_get_registers(struct vcpu *vcpu, struct minivmm_debugregs *regs)
{
	*regs = (struct minivmm_debugregs){ .dr6 = vcpu->dr6, .dr7 = vcpu->dr7 };
	memcpy(regs->db, vcpu->dr, sizeof(regs->db));
}

/* As they are given, like KVM: the CPU ignores reserved bits of DR7. */
int debug_set_registers(struct vcpu *vcpu, const struct minivmm_debugregs *regs)
{
	if (regs->flags || regs->dr6 >> 32 || regs->dr7 >> 32)
		return -EINVAL;
	memcpy(vcpu->dr, regs->db, sizeof(vcpu->dr));
	vcpu->dr6 = regs->dr6;
	vcpu->dr7 = regs->dr7;
	debug_update(vcpu);
	return 0;
}

/* TRANSLATE: as a supervisor reads; of the two bits about rights KVM says always the same. */
void debug_translate(struct vcpu *vcpu, struct minivmm_translation *t)
{
	struct guest_fault fault;
	gpa_t gpa = t->linear_address;
	int r = 0, idx;

	if (is_paging(vcpu)) {
		idx = srcu_read_lock(&vcpu->vm->srcu);
		r = walk_guest(vcpu, t->linear_address, 0, &gpa, &fault);
		srcu_read_unlock(&vcpu->vm->srcu, idx);
	}
	t->physical_address = r ? INVALID_GPA : gpa;
	t->valid = !r;
	t->writeable = 1;
	t->usermode = 0;
}
