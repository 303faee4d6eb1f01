// SPDX-License-Identifier: GPL-2.0
/*
 * Exceptions, NMIs and interrupts on their way into the guest.
 *
 * "Pending": to be injected when it may be. "Injected": given to the CPU with an entry; if the exit
 * says that the delivery didn't finish, it stays so and is given again. What the next entry injects
 * is decided once, in events_prepare(), just before it.
 */
#include <linux/kernel.h>

#include "minivmm.h"

/* ---- exceptions ------------------------------------------------------------------------------ */

enum exception_class { BENIGN, CONTRIBUTORY, PAGE_FAULT };

/* SDM "Interrupt and Exception Classes", for double faults. */
static enum exception_class class_of(u8 vector)
{
	switch (vector) {
	case X86_TRAP_PF:
		return PAGE_FAULT;
	case X86_TRAP_DE:
	case X86_TRAP_TS:
	case X86_TRAP_NP:
	case X86_TRAP_SS:
	case X86_TRAP_GP:
		return CONTRIBUTORY;
	default:
		return BENIGN;
	}
}

/* SDM table "Conditions for Generating a Double Fault". */
static bool makes_double_fault(u8 first, u8 second)
{
	enum exception_class a = class_of(first), b = class_of(second);

	return (a == CONTRIBUTORY && b == CONTRIBUTORY) || (a == PAGE_FAULT && b != BENIGN);
}

static void queue_exception(struct vcpu *vcpu, struct exception new)
{
	struct exception *e = &vcpu->exception;

	vcpu_request(vcpu, REQ_EVENT);
	if (e->pending || e->injected) {
		if (e->vector == X86_TRAP_DF) {
			vcpu_note_fault_chain(vcpu, e->vector, new.vector);
			vcpu_request(vcpu, REQ_TRIPLE_FAULT);
			return;
		}
		if (makes_double_fault(e->vector, new.vector)) {
			vcpu_note_fault_chain(vcpu, e->vector, new.vector);
			new = (struct exception){ .vector = X86_TRAP_DF, .has_error_code = true };
		}
		/* else: serially; the first will happen again when its instruction is repeated */
	}
	new.pending = true;
	*e = new;
}

void inject_exception(struct vcpu *vcpu, u8 vector)
{
	queue_exception(vcpu, (struct exception){ .vector = vector });
}

/* As if by an INT3 of event_len bytes at RIP. */
void inject_breakpoint(struct vcpu *vcpu)
{
	queue_exception(vcpu, (struct exception){ .vector = X86_TRAP_BP, .soft = true });
}

void inject_exception_error(struct vcpu *vcpu, u8 vector, u32 error_code)
{
	queue_exception(vcpu, (struct exception){
		.vector = vector, .has_error_code = true, .error_code = error_code,
	});
}

void inject_gp(struct vcpu *vcpu, u32 error_code)
{
	inject_exception_error(vcpu, X86_TRAP_GP, error_code);
}

void inject_page_fault(struct vcpu *vcpu, gva_t cr2, u32 error_code)
{
	queue_exception(vcpu, (struct exception){
		.vector = X86_TRAP_PF, .has_error_code = true, .error_code = error_code, .cr2 = cr2,
	});
}

/* A pending NMI and one more: SDM "Handling Multiple NMIs". */
void inject_nmi(struct vcpu *vcpu)
{
	atomic_inc(&vcpu->nmi_queued);
	vcpu_request(vcpu, REQ_EVENT);
	vcpu_kick(vcpu);
}

static void collect_nmis(struct vcpu *vcpu)
{
	int queued = atomic_xchg(&vcpu->nmi_queued, 0);
	int limit = vcpu->nmi.injected || hw_nmi_masked(vcpu) ? 1 : 2;

	vcpu->nmi.pending = min(vcpu->nmi.pending + queued, limit);
}

bool event_nmi_pending(struct vcpu *vcpu)
{
	return vcpu->nmi.pending || atomic_read(&vcpu->nmi_queued);
}

/* ---- GET_VCPU_EVENTS, SET_VCPU_EVENTS -------------------------------------------------------- */

/**
 * events_get() - what is on its way into the guest
 * @vcpu: the vCPU
 * @events: for GET_VCPU_EVENTS
 *
 * A soft exception isn't told: its instruction will be executed again. As in KVM, pending and
 * injected ones aren't told apart.
 *
 * Context: vcpu.
 */
void events_get(struct vcpu *vcpu, struct minivmm_vcpu_events *events)
{
	const struct exception *e = &vcpu->exception;

	collect_nmis(vcpu);
	memset(events, 0, sizeof(*events));
	events->exception.injected = (e->injected || e->pending) && !e->soft;
	events->exception.pending = e->pending && !e->soft;
	events->exception.nr = e->vector;
	events->exception.has_error_code = e->has_error_code;
	events->exception.error_code = e->error_code;
	events->interrupt.injected = vcpu->interrupt.injected && !vcpu->interrupt.soft;
	events->interrupt.nr = vcpu->interrupt.vector;
	events->interrupt.shadow = hw_interrupt_shadow(vcpu);
	events->nmi.injected = vcpu->nmi.injected;
	events->nmi.pending = vcpu->nmi.pending != 0;
	events->nmi.masked = hw_nmi_masked(vcpu);
	events->flags = MINIVMM_VCPUEVENT_VALID_NMI_PENDING | MINIVMM_VCPUEVENT_VALID_SHADOW |
			MINIVMM_VCPUEVENT_VALID_SMM;
}

static bool events_valid(const struct minivmm_vcpu_events *events)
{
	const u32 known = MINIVMM_VCPUEVENT_VALID_NMI_PENDING | MINIVMM_VCPUEVENT_VALID_SIPI_VECTOR |
			  MINIVMM_VCPUEVENT_VALID_SHADOW | MINIVMM_VCPUEVENT_VALID_SMM;

	if (events->flags & ~known)
		return false;
	/* there is no system management mode */
	if ((events->flags & MINIVMM_VCPUEVENT_VALID_SMM) &&
	    (events->smi.smm || events->smi.pending || events->smi.latched_init))
		return false;
	return !events->exception.injected ||
	       (events->exception.nr < 32 && events->exception.nr != X86_TRAP_NMI);
}

/**
 * events_set() - replaces what is on its way into the guest
 * @vcpu: the vCPU
 * @events: of SET_VCPU_EVENTS
 *
 * Context: vcpu.
 * Return: 0, -EINVAL: unknown flags, no such exception, SMM.
 */
int events_set(struct vcpu *vcpu, const struct minivmm_vcpu_events *events)
{
	if (!events_valid(events))
		return -EINVAL;
	collect_nmis(vcpu);
	vcpu->exception = (struct exception){
		.injected = events->exception.injected,
		.vector = events->exception.nr,
		.has_error_code = events->exception.has_error_code,
		.error_code = events->exception.error_code,
	};
	/* one whose instruction has run is soft: INT n; its length isn't known, nor needed */
	vcpu->interrupt.injected = events->interrupt.injected && !events->interrupt.soft;
	vcpu->interrupt.soft = false;
	vcpu->interrupt.vector = events->interrupt.nr;
	if (events->flags & MINIVMM_VCPUEVENT_VALID_SHADOW)
		hw_set_interrupt_shadow(vcpu, events->interrupt.shadow);
	vcpu->nmi.injected = events->nmi.injected;
	if (events->flags & MINIVMM_VCPUEVENT_VALID_NMI_PENDING)
		vcpu->nmi.pending = !!events->nmi.pending;
	hw_set_nmi_masked(vcpu, events->nmi.masked);
	if ((events->flags & MINIVMM_VCPUEVENT_VALID_SIPI_VECTOR) && vcpu->lapic)
		lapic_set_sipi(vcpu, (u8)events->sipi_vector, false);
	vcpu_request(vcpu, REQ_EVENT);
	return 0;
}

/* ---- just before an entry -------------------------------------------------------------------- */

/* Faults are delivered with RF set in the saved flags, so that a breakpoint doesn't hit again. */
static bool is_fault(u8 vector)
{
	return vector != X86_TRAP_DB && vector != X86_TRAP_BP && vector != X86_TRAP_OF &&
	       vector != X86_TRAP_DF && vector != X86_TRAP_MC && vector != X86_TRAP_NMI;
}

static void start_exception(struct vcpu *vcpu)
{
	struct exception *e = &vcpu->exception;

	e->pending = false;
	e->injected = true;
	if (e->vector == X86_TRAP_PF)
		vcpu->cr2 = e->cr2;
	if (e->vector == X86_TRAP_DB) {		/* delivery clears DR7.GD */
		vcpu->dr7 &= ~BIT_ULL(13);
		debug_update(vcpu);
	}
	if (is_fault(e->vector))
		hw_set_rflags(vcpu, vcpu_rflags(vcpu) | X86_EFLAGS_RF);
	hw_inject_exception(vcpu);
}

/* Given again, because the last exit interrupted its delivery. */
static bool inject_again(struct vcpu *vcpu)
{
	if (vcpu->exception.injected)
		hw_inject_exception(vcpu);
	else if (vcpu->nmi.injected)
		hw_inject_nmi(vcpu);
	else if (vcpu->interrupt.injected)
		hw_inject_interrupt(vcpu);
	else
		return false;
	return true;
}

static void start_interrupt(struct vcpu *vcpu)
{
	int vector = irq_acknowledge(vcpu);

	if (vector < 0)
		return;
	vcpu->interrupt.injected = true;
	vcpu->interrupt.soft = false;
	vcpu->interrupt.vector = vector;
	hw_inject_interrupt(vcpu);
}

/* Without room for a vector of the client's, and someone who listens to it, an open window is none. */
static bool client_wants_window(struct vcpu *vcpu)
{
	return READ_ONCE(vcpu->run->request_interrupt_window) && !irq_pics_in_kernel(vcpu) &&
	       irq_client_may_inject(vcpu);
}

static bool nmi_allowed(struct vcpu *vcpu)
{
	return !hw_nmi_masked(vcpu) && !hw_interrupt_shadow(vcpu);
}

/* What comes from outside; busy: something is being injected already. */
static void prepare_interrupts(struct vcpu *vcpu, bool busy)
{
	bool waiting;

	collect_nmis(vcpu);
	if (!busy && vcpu->nmi.pending && nmi_allowed(vcpu)) {
		vcpu->nmi.pending--;
		vcpu->nmi.injected = true;
		hw_inject_nmi(vcpu);
		busy = true;
	}
	waiting = irq_to_inject(vcpu);
	if (waiting && !busy && hw_interrupt_allowed(vcpu)) {
		start_interrupt(vcpu);
		waiting = irq_to_inject(vcpu);
	}
	if (vcpu->nmi.pending)
		hw_request_nmi_window(vcpu);
	if (waiting || client_wants_window(vcpu))
		hw_request_irq_window(vcpu);
}

/**
 * events_prepare() - decide what the next entry injects, and ask for windows for the rest
 * @vcpu: the vCPU
 *
 * Context: vcpu, interrupts off; the entry follows, or hw_cancel_injection().
 */
void events_prepare(struct vcpu *vcpu)
{
	bool busy;

	/* see debug_arm_step(): the client may have set one */
	if (unlikely(vcpu->debug.control & MINIVMM_GUESTDBG_SINGLESTEP))
		hw_clear_interrupt_shadow(vcpu);
	busy = inject_again(vcpu);
	if (!busy && vcpu->exception.pending) {
		start_exception(vcpu);
		busy = true;
	}
	if (likely(!debug_blocks_interrupts(vcpu)))
		prepare_interrupts(vcpu, busy);
	lapic_prepare(vcpu);
}

/*
 * One that is delivered here and now. A fault of its own delivery is made a double fault of, if it
 * is to be, as long as it counts as injected.
 */
static int deliver_exception(struct vcpu *vcpu)
{
	struct exception *e = &vcpu->exception, this = *e;
	int r;

	if (e->vector == X86_TRAP_PF)
		vcpu->cr2 = e->cr2;
	if (e->vector == X86_TRAP_DB)
		set_dr(vcpu, 7, vcpu->dr7 & ~BIT_ULL(13));
	if (e->pending && !e->soft && is_fault(e->vector))
		hw_set_rflags(vcpu, vcpu_rflags(vcpu) | X86_EFLAGS_RF);
	e->pending = false;
	e->injected = true;
	r = emulator_deliver(vcpu, this.vector, this.soft, false,
			     this.has_error_code ? &this.error_code : NULL);
	e->injected = false;
	return r;
}

static int deliver_interrupt(struct vcpu *vcpu)
{
	bool soft = vcpu->interrupt.injected && vcpu->interrupt.soft;
	int vector = vcpu->interrupt.vector;

	if (!vcpu->interrupt.injected) {
		vector = irq_acknowledge(vcpu);
	}
	vcpu->interrupt.injected = false;
	return vector < 0 ? 1 : emulator_deliver(vcpu, vector, soft, true, NULL);
}

/**
 * events_deliver() - as events_prepare(), where the emulator runs the guest: delivers one at most
 * @vcpu: the vCPU
 *
 * Context: vcpu; may sleep.
 * Return: 1 = go on; 0 = to userspace, negative = errno: the delivery can't be emulated.
 */
int events_deliver(struct vcpu *vcpu)
{
	if (vcpu->exception.pending || vcpu->exception.injected)
		return deliver_exception(vcpu);
	if (debug_blocks_interrupts(vcpu) && !vcpu->nmi.injected && !vcpu->interrupt.injected)
		return 1;
	collect_nmis(vcpu);
	if (vcpu->nmi.injected || (!vcpu->interrupt.injected && vcpu->nmi.pending &&
				   nmi_allowed(vcpu))) {
		if (!vcpu->nmi.injected)
			vcpu->nmi.pending--;
		vcpu->nmi.injected = false;
		hw_set_nmi_masked(vcpu, true);
		return emulator_deliver(vcpu, X86_TRAP_NMI, false, true, NULL);
	}
	if (vcpu->interrupt.injected || (irq_pending(vcpu) && hw_interrupt_allowed(vcpu)))
		return deliver_interrupt(vcpu);
	return 1;
}

/* Could the guest take one, if the client had one to give? For RUN's ready_for_interrupt_injection. */
bool event_ready_for_interrupt(struct vcpu *vcpu)
{
	return hw_interrupt_allowed(vcpu) && irq_client_may_inject(vcpu) && !vcpu->interrupt.injected &&
	       !vcpu->exception.injected && !vcpu->exception.pending && !vcpu->nmi.injected;
}
