// SPDX-License-Identifier: GPL-2.0
/* The vCPU: its life, its descriptor, and the loop that runs it. */
#include <linux/anon_inodes.h>
#include <linux/cpu.h>
#include <linux/entry-kvm.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/sched/stat.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vtime.h>
#include <asm/fpu/api.h>
#include <asm/tsc.h>
#include <asm/debugreg.h>

#include "compat.h"
#include "minivmm.h"

/* ---- telling a vCPU something ------------------------------------------------------------------ */

void vcpu_kick(struct vcpu *vcpu)
{
	unsigned int target;
	int cpu;

	rcuwait_wake_up(&vcpu->wait);
	/*
	 * On its own CPU the vCPU isn't in the guest: this is its thread, or an interrupt that made it
	 * exit. Elsewhere, whoever changes IN_GUEST to EXITING sends the one IPI that it takes.
	 */
	cpu = get_cpu();
	if (READ_ONCE(vcpu->cpu) != cpu &&
	    cmpxchg(&vcpu->mode, VCPU_IN_GUEST, VCPU_EXITING) == VCPU_IN_GUEST) {
		/* it may have left, and been put, meanwhile: then it is -1 */
		target = READ_ONCE(vcpu->cpu);
		if (target < nr_cpu_ids)
			smp_send_reschedule(target);
	}
	put_cpu();
}

static void nothing(void *arg)
{
}

void vm_kick_and_wait(struct vm *vm, enum request request)
{
	struct vcpu *vcpu;
	unsigned int cpu;
	int i;

	lockdep_assert_held(&vm->mmu_lock);
	vm->stats.remote_tlb_flushes++;
	cpumask_clear(vm->kick_mask);
	for_each_vcpu(i, vcpu, vm) {
		vcpu_request(vcpu, request);
		/* a full barrier: either it sees the request before it enters, or we see it inside */
		if (cmpxchg(&vcpu->mode, VCPU_IN_GUEST, VCPU_EXITING) == VCPU_OUTSIDE)
			continue;
		/* it may have left, and been put, meanwhile: then it is -1 */
		cpu = READ_ONCE(vcpu->cpu);
		if (cpu < nr_cpu_ids)
			cpumask_set_cpu(cpu, vm->kick_mask);
	}
	smp_call_function_many(vm->kick_mask, nothing, NULL, true);
}

/* ---- why it can't go on ------------------------------------------------------------------------ */

void vcpu_fail(struct vcpu *vcpu, const char *fmt, ...)
{
	va_list args;

	if (!vcpu->failure)
		vcpu->failure = kzalloc(sizeof(*vcpu->failure), GFP_ATOMIC | __GFP_ACCOUNT);
	if (!vcpu->failure || vcpu->failure->text[0])
		return;
	va_start(args, fmt);
	vscnprintf(vcpu->failure->text, sizeof(vcpu->failure->text), fmt, args);
	va_end(args);
}

int exit_internal_error(struct vcpu *vcpu, u32 suberror, int ndata, const u64 *data)
{
	vcpu->run->exit_reason = MINIVMM_EXIT_INTERNAL_ERROR;
	vcpu->run->internal.suberror = suberror;
	vcpu->run->internal.ndata = ndata;
	memcpy(vcpu->run->internal.data, data, ndata * sizeof(*data));
	return 0;
}

void vcpu_note_fault_chain(struct vcpu *vcpu, u8 first, u8 second)
{
	vcpu->fault_chain[0] = 2;
	vcpu->fault_chain[1] = first;
	vcpu->fault_chain[2] = second;
}

static void describe_instruction(struct vcpu *vcpu, char *text, int size)
{
	gva_t rip = reg_read(vcpu, R_RIP) + hw_segment_base(vcpu, SEG_CS);
	int idx = srcu_read_lock(&vcpu->vm->srcu);
	struct guest_fault fault;
	u8 bytes[15];
	gpa_t gpa;
	int n;

	n = min_t(int, sizeof(bytes), PAGE_SIZE - offset_in_page(rip));
	if (walk_guest(vcpu, rip, ACCESS_FETCH, &gpa, &fault) || read_guest(vcpu, gpa, bytes, n))
		strscpy(text, "can't be read", size);
	else
		snprintf(text, size, "%*ph", n, bytes);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
}

void vcpu_triple_fault(struct vcpu *vcpu)
{
	struct minivmm_dtable idt, gdt;
	char bytes[64], chain[48] = "";

	hw_get_dt(vcpu, &idt, &gdt);
	describe_instruction(vcpu, bytes, sizeof(bytes));
	if (vcpu->fault_chain[0])
		snprintf(chain, sizeof(chain), " after exception %u in the delivery of %u",
			 vcpu->fault_chain[2], vcpu->fault_chain[1]);
	vcpu_fail(vcpu, "triple fault%s: an exception, the double fault that followed, and the delivery of that failed\n"
		  "rip %#llx rsp %#llx rflags %#llx cr0 %#llx cr2 %#llx cr3 %#llx cr4 %#llx efer %#llx\n"
		  "idt %#llx limit %#x, gdt %#llx limit %#x\n"
		  "instruction bytes: %s\n",
		  chain, reg_read(vcpu, R_RIP), reg_read(vcpu, R_RSP), vcpu_rflags(vcpu),
		  vcpu_cr0(vcpu), vcpu->cr2, vcpu_cr3(vcpu), vcpu_cr4(vcpu), vcpu->efer,
		  idt.base, idt.limit, gdt.base, gdt.limit, bytes);
	vcpu->run->exit_reason = MINIVMM_EXIT_SHUTDOWN;
}

/* ---- reset ----------------------------------------------------------------------------------- */

bool is_64bit_code(struct vcpu *vcpu)
{
	bool db, l;

	if (!is_long_mode(vcpu))
		return false;
	hw_cs_db_l(vcpu, &db, &l);
	return l;
}

static void reset_events(struct vcpu *vcpu)
{
	memset(&vcpu->exception, 0, sizeof(vcpu->exception));
	memset(&vcpu->interrupt, 0, sizeof(vcpu->interrupt));
	memset(&vcpu->nmi, 0, sizeof(vcpu->nmi));
	atomic_set(&vcpu->nmi_queued, 0);
	vcpu->pending_irq = -1;
	vcpu->fault_chain[0] = 0;
}

static u32 reset_rdx(struct vcpu *vcpu)
{
	u32 eax = 1, ebx, ecx = 0, edx;

	cpuid_guest(vcpu, &eax, &ebx, &ecx, &edx);
	return eax ? eax : 0x600;	/* family 6 */
}

/**
 * vcpu_reset() - RESET or INIT
 * @vcpu: the vCPU
 * @init: INIT
 *
 * Source: SDM "Processor State After Reset".
 * Context: vcpu.
 */
void vcpu_reset(struct vcpu *vcpu, bool init)
{
	u64 old_cr0 = vcpu->cr0;

	reset_events(vcpu);
	memset(vcpu->r, 0, sizeof(vcpu->r));
	vcpu->reg_avail = ~0ul;
	vcpu->reg_dirty = BIT(R_RSP) | BIT(R_RIP);
	vcpu->r[R_RIP] = 0xfff0;
	vcpu->r[R_RDX] = reset_rdx(vcpu);
	vcpu->rflags = X86_EFLAGS_FIXED;
	memset(vcpu->dr, 0, sizeof(vcpu->dr));
	vcpu->dr6 = DR6_RESERVED;
	vcpu->dr7 = 0x400;
	vcpu->cr2 = vcpu->cr8 = 0;
	vcpu->pv.clock = 0;
	if (!init) {
		vcpu->xcr0 = XFEATURE_MASK_FP;
		msr_reset(vcpu);
	}
	hw_vcpu_reset(vcpu, init);
	debug_update(vcpu);
	hw_set_efer(vcpu, 0);
	/* INIT leaves the two cache bits as they are */
	hw_set_cr0(vcpu, X86_CR0_ET | (init ? old_cr0 & (X86_CR0_CD | X86_CR0_NW) :
					      X86_CR0_CD | X86_CR0_NW));
	hw_set_cr4(vcpu, 0);
	hw_set_cr3(vcpu, 0);
	if (vcpu->lapic)
		lapic_reset(vcpu, init);
	mmu_flush_guest(vcpu);
	vcpu_request(vcpu, REQ_TLB_FLUSH);
	vcpu_request(vcpu, REQ_EVENT);
}

void vcpu_start_at_sipi(struct vcpu *vcpu, u8 vector)
{
	struct minivmm_segment cs;

	hw_get_segment(vcpu, &cs, SEG_CS);
	cs.selector = vector << 8;
	cs.base = vector << 12;
	hw_set_segment(vcpu, &cs, SEG_CS);
	reg_write(vcpu, R_RIP, 0);
}

/* ---- on and off a CPU -------------------------------------------------------------------------- */

static void sched_in(struct preempt_notifier *notifier, int cpu)
{
	struct vcpu *vcpu = container_of(notifier, struct vcpu, preempt_notifier);

	WRITE_ONCE(vcpu->cpu, cpu);
	WRITE_ONCE(vcpu->preempted, false);
	hw_vcpu_load(vcpu, cpu);
	clock_vcpu_load(vcpu);
}

static void sched_out(struct preempt_notifier *notifier, struct task_struct *next)
{
	struct vcpu *vcpu = container_of(notifier, struct vcpu, preempt_notifier);

	WRITE_ONCE(vcpu->preempted, READ_ONCE(current->on_rq));
	clock_vcpu_put(vcpu);
	hw_vcpu_put(vcpu);
}

static struct preempt_ops preempt_ops = { .sched_in = sched_in, .sched_out = sched_out };

static void vcpu_load(struct vcpu *vcpu)
{
	int cpu = get_cpu();

	preempt_notifier_register(&vcpu->preempt_notifier);
	sched_in(&vcpu->preempt_notifier, cpu);
	put_cpu();
}

static void vcpu_unload(struct vcpu *vcpu)
{
	preempt_disable();
	clock_vcpu_put(vcpu);
	hw_vcpu_put(vcpu);
	preempt_notifier_unregister(&vcpu->preempt_notifier);
	WRITE_ONCE(vcpu->cpu, -1);
	preempt_enable();
}

/* ---- vCPUs that wait for others --------------------------------------------------------------- */

/* For yield_to(): the thread may be another one each time. */
static void note_thread(struct vcpu *vcpu)
{
	struct pid *old = rcu_access_pointer(vcpu->pid);

	if (likely(old == task_pid(current)))
		return;
	rcu_assign_pointer(vcpu->pid, get_task_pid(current, PIDTYPE_PID));
	if (old) {
		synchronize_rcu();
		put_pid(old);
	}
}

static bool yield_to_vcpu(struct vcpu *target)
{
	struct task_struct *task;
	bool yielded;

	rcu_read_lock();
	task = get_pid_task(rcu_dereference(target->pid), PIDTYPE_PID);
	rcu_read_unlock();
	if (!task)
		return false;
	yielded = yield_to(task, true) > 0;
	put_task_struct(task);
	return yielded;
}

/**
 * vcpu_directed_yield() - this vCPU spins, most likely for another that has no CPU
 * @vcpu: who spins
 *
 * Lets one run that was preempted, the next after the one that it was last time; if there is none,
 * those that it spins for run already, and will be through soon.
 *
 * Context: vcpu; may sleep.
 */
void vcpu_directed_yield(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;
	int n = smp_load_acquire(&vm->nr_vcpus), i, index;

	for (i = 1; i <= n; i++) {
		index = array_index_nospec((READ_ONCE(vm->yielded_to) + i) % n, n);
		if (vm->vcpus[index] == vcpu || !READ_ONCE(vm->vcpus[index]->preempted))
			continue;
		if (yield_to_vcpu(vm->vcpus[index])) {
			WRITE_ONCE(vm->yielded_to, index);
			return;
		}
	}
	cond_resched();
}

/* ---- the run loop ------------------------------------------------------------------------------ */

static bool has_wake_event(struct vcpu *vcpu, bool interrupts_allowed)
{
	return event_nmi_pending(vcpu) || vcpu->exception.pending ||
	       (interrupts_allowed && irq_pending(vcpu)) || lapic_has_events(vcpu);
}

bool vcpu_runnable(struct vcpu *vcpu)
{
	return vcpu->mp_state == MP_RUNNABLE;
}

static unsigned int halt_poll_ns = 200000;
module_param(halt_poll_ns, uint, 0644);
MODULE_PARM_DESC(halt_poll_ns, "how long a halted vCPU's CPU is kept busy at most, looking for what wakes it; 0 = not at all");

#define FIRST_POLL_NS	10000

/* Looks for a short while before it sleeps: where what wakes it comes soon, that saves the way. */
static bool poll_for_wake_event(struct vcpu *vcpu, bool allowed, u64 start)
{
	u64 until = start + min(vcpu->halt_poll_ns, READ_ONCE(halt_poll_ns));

	while (ktime_get_ns() < until) {
		if (has_wake_event(vcpu, allowed))
			return true;
		if (need_resched() || signal_pending(current) || !single_task_running())
			return false;
		cpu_relax();
	}
	return false;
}

/* It paid, or would have with more of it; or the halt was long. */
static void adapt_polling(struct vcpu *vcpu, u64 halted_ns)
{
	unsigned int most = READ_ONCE(halt_poll_ns);

	if (halted_ns > most)
		vcpu->halt_poll_ns = 0;
	else if (halted_ns > vcpu->halt_poll_ns)
		vcpu->halt_poll_ns = clamp(vcpu->halt_poll_ns * 2, min_t(uint, FIRST_POLL_NS, most), most);
}

/*
 * Halted, or waiting for INIT or SIPI: sleeps until there is something to do.
 *
 * Whether the guest takes interrupts can't change while it is halted; it is asked once, since the
 * condition is looked at with the task's state set to sleep.
 */
static int vcpu_block(struct vcpu *vcpu)
{
	bool allowed = vcpu->mp_state == MP_HALTED && hw_interrupt_allowed(vcpu);
	bool halted = vcpu->mp_state == MP_HALTED;
	u64 start = halted && READ_ONCE(halt_poll_ns) ? ktime_get_ns() : 0;

	if (vcpu->timer_at)
		lapic_timer_sleep(vcpu);
	if (!start || !poll_for_wake_event(vcpu, allowed, start))
		rcuwait_wait_event(&vcpu->wait,
				   halted ? has_wake_event(vcpu, allowed) : lapic_has_events(vcpu),
				   TASK_INTERRUPTIBLE);
	if (start)
		adapt_polling(vcpu, ktime_get_ns() - start);
	if (lapic_has_events(vcpu))
		lapic_take_events(vcpu);
	if (vcpu->mp_state == MP_HALTED && has_wake_event(vcpu, allowed)) {
		vcpu->mp_state = MP_RUNNABLE;
		vcpu_request(vcpu, REQ_EVENT);
	}
	return 1;
}

int vcpu_halt(struct vcpu *vcpu)
{
	vcpu->stats.halt_exits++;
	if (vcpu->lapic) {
		vcpu->mp_state = MP_HALTED;
		/* a debugger that stepped over it needn't wait until it is over */
		return vcpu_take_request(vcpu, REQ_DEBUG) ? debug_stop_now(vcpu) : 1;
	}
	clear_bit(REQ_DEBUG, &vcpu->requests);
	vcpu->run->exit_reason = MINIVMM_EXIT_HLT;
	return 0;
}

/* Requests that may sleep. 1 = enter. */
static int handle_requests(struct vcpu *vcpu)
{
	if (vcpu_take_request(vcpu, REQ_TRIPLE_FAULT)) {
		vcpu_triple_fault(vcpu);
		return 0;
	}
	if (vcpu_take_request(vcpu, REQ_DEBUG))
		return debug_stop_now(vcpu);
	if (vcpu->requests & (BIT(REQ_CLOCK) | BIT(REQ_WALL_CLOCK) | BIT(REQ_STEAL_TIME)))
		clock_vcpu_requests(vcpu);
	if (vcpu_take_request(vcpu, REQ_EOI_EXIT)) {
		vcpu->run->exit_reason = MINIVMM_EXIT_IOAPIC_EOI;
		vcpu->run->eoi.vector = lapic_ended_vector(vcpu);
		return 0;
	}
	if (vcpu->lapic && lapic_has_events(vcpu)) {
		lapic_take_events(vcpu);
		if (!vcpu_runnable(vcpu))
			return 1;
	}
	if (vcpu_take_request(vcpu, REQ_DIRTY_LOG))
		hw_update_dirty_log(vcpu);
	if (test_bit(REQ_EMULATE, &vcpu->requests) && hw_can_run(vcpu))
		clear_bit(REQ_EMULATE, &vcpu->requests);
	if (vcpu_take_request(vcpu, REQ_MMU_RELOAD))
		return mmu_load(vcpu) ?: 1;
	return 1;
}

/* Interrupts off. False: not now; everything is as it was. */
static bool try_enter(struct vcpu *vcpu)
{
	bool events = false;

	if (READ_ONCE(vcpu->requests)) {
		if (vcpu_take_request(vcpu, REQ_TLB_FLUSH))
			hw_flush_tlb(vcpu);
		events = vcpu_take_request(vcpu, REQ_EVENT);
	}
	xfer_to_guest_mode_prepare();
	smp_store_mb(vcpu->mode, VCPU_IN_GUEST);
	/* what is requested from here on comes with an IPI, and the entry exits again at once */
	if (READ_ONCE(vcpu->requests) || xfer_to_guest_mode_work_pending() || !hw_cpu_enabled() ||
	    (vcpu->lapic && lapic_has_events(vcpu))) {
		WRITE_ONCE(vcpu->mode, VCPU_OUTSIDE);
		if (events)
			vcpu_request(vcpu, REQ_EVENT);
		return false;
	}
	if (events)
		events_prepare(vcpu);
	if (test_thread_flag(TIF_NEED_FPU_LOAD))
		switch_fpu_return();
	vtime_account_guest_enter();
	hw_enter(vcpu);
	smp_store_release(&vcpu->mode, VCPU_OUTSIDE);
	return true;
}

/*
 * VMX is off on this CPU: it is going offline, and the scheduler is about to move this task; or the
 * machine is going down.
 */
static int vmx_lost(struct vcpu *vcpu)
{
	if (READ_ONCE(hw_shutting_down)) {
		vcpu_fail(vcpu, "the host is shutting down, and has switched VMX off");
		return -ESHUTDOWN;
	}
	schedule_timeout_uninterruptible(1);
	return 1;
}

static int run_once(struct vcpu *vcpu)
{
	bool entered, vmx_on = true;
	int r;

	if (vcpu->requests & ~(BIT(REQ_EVENT) | BIT(REQ_TLB_FLUSH)) ||
	    (vcpu->lapic && lapic_has_events(vcpu))) {
		r = handle_requests(vcpu);
		if (r <= 0 || !vcpu_runnable(vcpu))
			return r;
		if (unlikely(test_bit(REQ_EMULATE, &vcpu->requests)))
			return emulate_run(vcpu);
	}
	preempt_disable();
	hw_prepare(vcpu);
	local_irq_disable();
	entered = try_enter(vcpu);
	if (unlikely(!entered))
		vmx_on = hw_cpu_enabled();
	/* an interrupt that made it exit is taken here: the time until then was the guest's */
	local_irq_enable();
	vtime_account_guest_exit();
	preempt_enable();
	if (unlikely(!vmx_on))
		return vmx_lost(vcpu);
	return entered ? hw_handle_exit(vcpu) : 1;
}

static int interrupted_by_signal(struct vcpu *vcpu)
{
	vcpu->run->exit_reason = MINIVMM_EXIT_INTR;
	vcpu->stats.signal_exits++;
	return -EINTR;
}

/* Rescheduling, task work, signals. */
static int handle_work(struct vcpu *vcpu)
{
	if (signal_pending(current))
		return interrupted_by_signal(vcpu);
	if (compat_handle_guest_mode_work())
		return interrupted_by_signal(vcpu);
	return 1;
}

bool vcpu_irq_window_open(struct vcpu *vcpu)
{
	return READ_ONCE(vcpu->run->request_interrupt_window) && !irq_pics_in_kernel(vcpu) &&
	       event_ready_for_interrupt(vcpu);
}

static int run_loop(struct vcpu *vcpu)
{
	int r;

	for (;;) {
		r = vcpu_runnable(vcpu) ? run_once(vcpu) : vcpu_block(vcpu);
		if (r <= 0)
			return r;
		if (vcpu_irq_window_open(vcpu)) {
			vcpu->run->exit_reason = MINIVMM_EXIT_IRQ_WINDOW_OPEN;
			return 0;
		}
		if (__xfer_to_guest_mode_work_pending()) {
			r = handle_work(vcpu);
			if (r <= 0)
				return r;
		}
	}
}

static int complete_io(struct vcpu *vcpu)
{
	complete_fn fn = vcpu->complete;

	vcpu->complete = NULL;
	return fn(vcpu);
}

static int run_inside(struct vcpu *vcpu)
{
	struct minivmm_run *run = vcpu->run;
	int r;

	if (unlikely(READ_ONCE(run->valid_regs) | READ_ONCE(run->dirty_regs))) {
		r = vcpu_take_sync_regs(vcpu);
		if (r)
			return r;
	}
	if (!vcpu->lapic && set_cr8(vcpu, READ_ONCE(run->cr8)))
		return -EINVAL;
	/* the window is asked for with the next entry, even if it is open already */
	if (READ_ONCE(run->request_interrupt_window) && !irq_pics_in_kernel(vcpu))
		vcpu_request(vcpu, REQ_EVENT);
	if (vcpu->complete) {
		r = complete_io(vcpu);
		if (r <= 0)
			return r;
	}
	if (READ_ONCE(run->immediate_exit))
		return -EINTR;
	return run_loop(vcpu);
}

static void publish_state(struct vcpu *vcpu)
{
	struct minivmm_run *run = vcpu->run;

	run->if_flag = !!(vcpu_rflags(vcpu) & X86_EFLAGS_IF);
	run->cr8 = get_cr8(vcpu);
	run->apic_base = vcpu->apic_base;
	run->ready_for_interrupt_injection = irq_pics_in_kernel(vcpu) ||
					     event_ready_for_interrupt(vcpu);
}

static void forget_failure(struct vcpu *vcpu)
{
	if (vcpu->failure)
		vcpu->failure->text[0] = 0;
}

static noinline void do_at_return(struct vcpu *vcpu)
{
	if (vcpu->at_return & RETURN_SYNC_REGS)
		vcpu_give_sync_regs(vcpu);
	vcpu->at_return &= ~RETURN_SYNC_REGS;
	if (vcpu->at_return & RETURN_SIGMASK) {
		sigprocmask(SIG_SETMASK, &current->real_blocked, NULL);
		sigemptyset(&current->real_blocked);
	}
}

/*
 * RUN. The mutex is held, the vCPU is loaded.
 */
static int vcpu_run(struct vcpu *vcpu)
{
	int r;

	forget_failure(vcpu);
	vcpu->has_run = true;
	if (vcpu->at_return & RETURN_SIGMASK)
		sigprocmask(SIG_SETMASK, &vcpu->sigmask, &current->real_blocked);
	vcpu->run->flags = 0;
	fpu_swap_kvm_fpstate(&vcpu->fpu, true);
	if (vcpu->mp_state == MP_UNINITIALIZED) {
		/* as under KVM: it returns once when it was started, with nothing run yet */
		r = READ_ONCE(vcpu->run->immediate_exit) ? -EINTR : vcpu_block(vcpu);
		if (r > 0)
			r = signal_pending(current) ? interrupted_by_signal(vcpu) : -EAGAIN;
	} else {
		r = run_inside(vcpu);
	}
	fpu_swap_kvm_fpstate(&vcpu->fpu, false);
	publish_state(vcpu);
	if (unlikely(vcpu->at_return))
		do_at_return(vcpu);
	return r;
}

/* ---- the descriptor ---------------------------------------------------------------------------- */

static long set_signal_mask(struct vcpu *vcpu, const void __user *arg)
{
	const struct minivmm_signal_mask __user *user_mask = arg;
	struct minivmm_signal_mask head;
	sigset_t set;

	if (!arg) {
		vcpu->at_return &= ~RETURN_SIGMASK;
		return 0;
	}
	if (copy_from_user(&head, user_mask, sizeof(head)))
		return -EFAULT;
	if (head.len != sizeof(set))
		return -EINVAL;
	if (copy_from_user(&set, user_mask->sigset, sizeof(set)))
		return -EFAULT;
	sigdelsetmask(&set, sigmask(SIGKILL) | sigmask(SIGSTOP));
	vcpu->sigmask = set;
	vcpu->at_return |= RETURN_SIGMASK;
	return 0;
}

static long get_failure(struct vcpu *vcpu, void __user *arg)
{
	static const struct minivmm_failure none;
	const struct minivmm_failure *f = vcpu->failure ?: &none;

	return copy_to_user(arg, f, sizeof(*f)) ? -EFAULT : 0;
}

static long locked_ioctl(struct vcpu *vcpu, unsigned int ioctl, unsigned long arg)
{
	long r;

	switch (ioctl) {
	case MINIVMM_SET_SIGNAL_MASK:
		return set_signal_mask(vcpu, (void __user *)arg);
	case MINIVMM_GET_FAILURE:
		return get_failure(vcpu, (void __user *)arg);
	case MINIVMM_RUN:
		if (arg)
			return -EINVAL;
		note_thread(vcpu);
		vcpu_load(vcpu);
		r = vcpu_run(vcpu);
		vcpu_unload(vcpu);
		return r;
	}
	emulator_forget(vcpu);
	vcpu_load(vcpu);
	r = vcpu_state_ioctl(vcpu, ioctl, arg);
	vcpu_unload(vcpu);
	return r;
}

/**
 * vcpu_ioctl() - everything that is asked of a vCPU's descriptor
 * @file: the descriptor's
 * @ioctl: MINIVMM_*
 * @arg: its argument
 *
 * One at a time: a second caller waits, killably.
 *
 * Return: -EIO from another process than the VM's, -EINTR if killed while waiting, -EINVAL for an
 * ioctl that isn't there, else the ioctl's.
 */
static long vcpu_ioctl(struct file *file, unsigned int ioctl, unsigned long arg)
{
	struct vcpu *vcpu = file->private_data;
	long r;

	if (vcpu->vm->mm != current->mm)
		return -EIO;
	if (ioctl == MINIVMM_GET_STATS_FD)
		return stats_fd_vcpu(vcpu);
	if (mutex_lock_killable(&vcpu->mutex))
		return -EINTR;
	r = locked_ioctl(vcpu, ioctl, arg);
	mutex_unlock(&vcpu->mutex);
	return r;
}

static vm_fault_t vcpu_mmap_fault(struct vm_fault *vmf)
{
	struct vcpu *vcpu = vmf->vma->vm_file->private_data;
	void *page;

	if (vmf->pgoff == 0)
		page = vcpu->run;
	else if (vmf->pgoff == MINIVMM_PIO_PAGE_OFFSET)
		page = vcpu->pio_data;
	else if (vmf->pgoff == MINIVMM_COALESCED_MMIO_PAGE_OFFSET)
		page = coalesced_ring(vcpu->vm);
	else
		return VM_FAULT_SIGBUS;
	if (!page)
		return VM_FAULT_OOM;
	vmf->page = virt_to_page(page);
	get_page(vmf->page);
	return 0;
}

static const struct vm_operations_struct vcpu_vm_ops = { .fault = vcpu_mmap_fault };

static int vcpu_mmap(struct file *file, struct vm_area_struct *vma)
{
	vma->vm_ops = &vcpu_vm_ops;
	return 0;
}

static int vcpu_release(struct inode *inode, struct file *file)
{
	struct vcpu *vcpu = file->private_data;

	vm_put(vcpu->vm);	/* the vCPU itself goes with its VM */
	return 0;
}

static const struct file_operations vcpu_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = vcpu_ioctl,
	.compat_ioctl = vcpu_ioctl,
	.mmap = vcpu_mmap,
	.release = vcpu_release,
	.llseek = noop_llseek,
};

/* ---- life ------------------------------------------------------------------------------------ */

void vcpu_destroy(struct vcpu *vcpu)
{
	lapic_destroy(vcpu);
	emulator_free(vcpu);
	mmu_vcpu_destroy(vcpu);
	if (vcpu->fpu.fpstate)
		fpu_free_guest_fpstate(&vcpu->fpu);
	free_page((unsigned long)vcpu->pio_data);
	free_page((unsigned long)vcpu->run);
	cpuid_free(vcpu);
	kfree(vcpu->failure);
	put_pid(rcu_access_pointer(vcpu->pid));
	hw_vcpu_free(vcpu);
}

static int vcpu_allocate(struct vcpu *vcpu)
{
	vcpu->run = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	vcpu->pio_data = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!vcpu->run || !vcpu->pio_data || !fpu_alloc_guest_fpstate(&vcpu->fpu))
		return -ENOMEM;
	if (vcpu->vm->irqchip && lapic_create(vcpu))
		return -ENOMEM;
	return mmu_vcpu_create(vcpu);
}

static struct vcpu *vcpu_new(struct vm *vm, int id)
{
	struct vcpu *vcpu;
	int r;

	/* VMX stays on where this runs: see hw_vcpu_alloc() */
	cpus_read_lock();
	vcpu = hw_vcpu_alloc(vm);
	cpus_read_unlock();
	if (IS_ERR(vcpu))
		return vcpu;
	vcpu->id = id;
	vcpu->cpu = -1;
	vcpu->tsc_khz = tsc_khz;
	vcpu_request(vcpu, REQ_MMU_RELOAD);
	mutex_init(&vcpu->mutex);
	rcuwait_init(&vcpu->wait);
	preempt_notifier_init(&vcpu->preempt_notifier, &preempt_ops);
	r = vcpu_allocate(vcpu);
	if (r) {
		vcpu_destroy(vcpu);
		return ERR_PTR(r);
	}
	cpuid_update(vcpu);
	vcpu->apic_base = APIC_DEFAULT_PHYS_BASE | MSR_IA32_APICBASE_ENABLE |
			  (is_boot_vcpu(vcpu) ? MSR_IA32_APICBASE_BSP : 0);
	/* with chips in the kernel the others wait for the first one's INIT and SIPI */
	vcpu->mp_state = vm->irqchip && !is_boot_vcpu(vcpu) ? MP_UNINITIALIZED : MP_RUNNABLE;
	vcpu_load(vcpu);
	hw_set_tsc_ratio(vcpu, 0);
	vcpu_reset(vcpu, false);
	vcpu_unload(vcpu);
	return vcpu;
}

static bool id_taken(struct vm *vm, unsigned long id)
{
	struct vcpu *vcpu;
	int i;

	for_each_vcpu(i, vcpu, vm)
		if (vcpu->id == id)
			return true;
	return false;
}

/* The descriptor first, since it alone can fail; then the vCPU where others find it; then the fd. */
static long vcpu_install(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;
	struct file *file;
	int fd = get_unused_fd_flags(O_CLOEXEC);

	if (fd < 0)
		return fd;
	file = anon_inode_getfile("minivmm-vcpu", &vcpu_fops, vcpu, O_RDWR);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		return PTR_ERR(file);
	}
	vm_get(vm);
	vcpu->index = vm->nr_vcpus;
	vm->vcpus[vcpu->index] = vcpu;
	smp_store_release(&vm->nr_vcpus, vcpu->index + 1);
	fd_install(fd, file);
	return fd;
}

/**
 * vcpu_create() - CREATE_VCPU
 * @vm: the VM
 * @id: its APIC id
 *
 * Context: may sleep.
 * Return: a descriptor; -EINVAL: id too large, or too many vCPUs; -EEXIST: id taken; -ENOMEM, -EMFILE.
 */
long vcpu_create(struct vm *vm, unsigned long id)
{
	struct vcpu *vcpu;
	long fd;

	if (id >= MAX_VCPU_ID)
		return -EINVAL;
	mutex_lock(&vm->lock);
	fd = -EINVAL;
	if (vm->nr_vcpus == MAX_VCPUS)
		goto unlock;
	if (!vm->vcpu_ids)
		vm->vcpu_ids = MAX_VCPU_ID;
	if (id >= vm->vcpu_ids)
		goto unlock;
	fd = -EEXIST;
	if (id_taken(vm, id))
		goto unlock;
	vcpu = vcpu_new(vm, id);
	fd = PTR_ERR_OR_ZERO(vcpu);
	if (fd)
		goto unlock;
	fd = vcpu_install(vcpu);
	if (fd < 0)
		vcpu_destroy(vcpu);
unlock:
	mutex_unlock(&vm->lock);
	return fd;
}
