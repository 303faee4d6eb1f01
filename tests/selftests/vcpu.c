// SPDX-License-Identifier: GPL-2.0
/* The vCPU's own ioctls: making one, mapping it, RUN and what interrupts it. Its state: state.c. */
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "thread.h"
#include "vm.h"

GUEST64(just_hlt, hlt; jmp guest_just_hlt)
GUEST64(spin_until_told,
	movl $1, DATA;
	sti;
	1: cmpl $2, DATA;
	jne 1b;
	mov $77, %eax;
	2: hlt;
	jmp 2b)

/* ---- CREATE_VCPU ----------------------------------------------------------------------------- */

TEST(create_with_an_id_at_each_end)
{
	struct vm *vm = vm_create();
	int ids = vm_extension(vm, MINIVMM_CAP_MAX_VCPU_ID);

	CHECK(ids >= vm_extension(vm, MINIVMM_CAP_MAX_VCPUS));
	CHECK_OK(ioctl(vm->fd, MINIVMM_CREATE_VCPU, 0));
	CHECK_OK(ioctl(vm->fd, MINIVMM_CREATE_VCPU, (long)ids - 1));
}

TEST(create_refuses_ids_out_of_range)
{
	struct vm *vm = vm_create();
	long ids = vm_extension(vm, MINIVMM_CAP_MAX_VCPU_ID);

	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_CREATE_VCPU, ids), EINVAL);
	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_CREATE_VCPU, -1l), EINVAL);
	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_CREATE_VCPU, 1l << 31), EINVAL);
}

static int limit_ids(struct vm *vm, u64 limit)
{
	return enable_cap(vm, MINIVMM_CAP_MAX_VCPU_ID, 0, limit);
}

TEST(ids_have_a_limit_that_is_set_once)
{
	struct vm *vm = vm_create();
	long ids = vm_extension(vm, MINIVMM_CAP_MAX_VCPU_ID);

	CHECK_ERRNO(limit_ids(vm, ids + 1), EINVAL);
	CHECK_ERRNO(limit_ids(vm, 1ull << 32 | 8), EINVAL);
	CHECK_OK(limit_ids(vm, 0));
	CHECK_OK(limit_ids(vm, 8));
	CHECK_OK(limit_ids(vm, 8));
	CHECK_ERRNO(limit_ids(vm, 9), EINVAL);
	CHECK_ERRNO(limit_ids(vm, 0), EINVAL);
	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_CREATE_VCPU, 8l), EINVAL);
	CHECK_OK(ioctl(vm->fd, MINIVMM_CREATE_VCPU, 7l));
	/* A vCPU settles it. */
	vm = vm_create();
	CHECK_OK(ioctl(vm->fd, MINIVMM_CREATE_VCPU, 0));
	CHECK_ERRNO(limit_ids(vm, 8), EINVAL);
	CHECK_OK(limit_ids(vm, ids));
}

TEST(create_refuses_an_id_in_use)
{
	struct vm *vm = vm_create();

	CHECK_OK(ioctl(vm->fd, MINIVMM_CREATE_VCPU, 3l));
	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_CREATE_VCPU, 3l), EEXIST);
	CHECK_OK(ioctl(vm->fd, MINIVMM_CREATE_VCPU, 4l));
}

TEST(create_refuses_an_id_whose_descriptor_is_closed)
{
	struct vm *vm = vm_create();

	close(CHECK_OK(ioctl(vm->fd, MINIVMM_CREATE_VCPU, 3l)));
	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_CREATE_VCPU, 3l), EEXIST);
}

TEST(create_without_a_free_descriptor)
{
	struct vm *vm = vm_create();
	int fd;

	while ((fd = dup(vm->fd)) >= 0)
		;
	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_CREATE_VCPU, 0), EMFILE);
	close(vm->fd + 1);
	CHECK_OK(ioctl(vm->fd, MINIVMM_CREATE_VCPU, 0));
}

/* ---- mmap ------------------------------------------------------------------------------------ */

static sigjmp_buf fault;

static void on_fault(int sig)
{
	siglongjmp(fault, sig);
}

static int touch(volatile u8 *p)
{
	int sig = sigsetjmp(fault, 1);

	if (!sig)
		*p = *p;
	return sig;
}

TEST(map_of_the_whole_size)
{
	struct vcpu *v = vcpu_create(vm_create(), 0);

	CHECK_EQ(v->run_size % PAGE, 0);
	CHECK(v->run_size >= 2 * PAGE);
	for (size_t i = 0; i < v->run_size; i++)
		((volatile u8 *)v->run)[i] |= 0;
}

TEST(map_beyond_the_end)
{
	struct vcpu *v = vcpu_create(vm_create(), 0);
	u8 *p;

	signal(SIGBUS, on_fault);
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 1000 * PAGE);
	if (p == MAP_FAILED)
		CHECK_EQ(errno, EINVAL);
	else
		CHECK_EQ(touch(p), SIGBUS);
}

TEST(map_twice_is_the_same_memory)
{
	struct vcpu *v = vcpu_create(vm_create(), 0);
	struct minivmm_run *again = mmap(NULL, v->run_size, PROT_READ | PROT_WRITE, MAP_SHARED,
					 v->fd, 0);

	CHECK(again != MAP_FAILED);
	v->run->request_interrupt_window = 0x5a;
	CHECK_EQ(again->request_interrupt_window, 0x5a);
}

/* The mapping holds the vCPU, and the vCPU its VM. */
TEST(map_outlives_the_descriptors)
{
	struct vcpu *v = vcpu_create(vm_create(), 0);

	close(v->fd);
	close(v->vm->fd);
	memset(v->run, 0xff, v->run_size);
	munmap(v->run, v->run_size);
}

/* ---- RUN ------------------------------------------------------------------------------------- */

TEST(run_refuses_an_argument)
{
	struct vcpu *v = BOOT(LONG64, just_hlt);

	CHECK_ERRNO(ioctl(v->fd, MINIVMM_RUN, 1l), EINVAL);
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

TEST(run_refuses_unknown_register_sets)
{
	struct vcpu *v = BOOT(LONG64, just_hlt);

	v->run->valid_regs = 1ull << 63;
	CHECK_ERRNO(vcpu_run(v), EINVAL);
	v->run->valid_regs = 0;
	v->run->dirty_regs = 1ull << 63;
	CHECK_ERRNO(vcpu_run(v), EINVAL);
	v->run->dirty_regs = 0;
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

TEST(run_refuses_an_invalid_cr8)
{
	struct vcpu *v = BOOT(LONG64, just_hlt);

	v->run->cr8 = 16;
	CHECK_ERRNO(vcpu_run(v), EINVAL);
	v->run->cr8 = 15;
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_sregs(v).cr8, 15);
}

TEST(run_reports_cr8_and_apic_base)
{
	struct vcpu *v = BOOT(LONG64, just_hlt);
	struct minivmm_sregs s = get_sregs(v);

	v->run->cr8 = 5;
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(v->run->cr8, 5);
	CHECK_EQ(v->run->apic_base, s.apic_base);
	CHECK_EQ(v->run->flags, 0);
}

TEST(run_reports_if_flag)
{
	struct vcpu *v = BOOT(LONG64, just_hlt);
	struct minivmm_regs r;

	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(v->run->if_flag, 0);
	CHECK_EQ(v->run->ready_for_interrupt_injection, 0);
	r = get_regs(v);
	r.rflags |= 1 << 9;
	set_regs(v, &r);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(v->run->if_flag, 1);
	CHECK_EQ(v->run->ready_for_interrupt_injection, 1);
}

TEST(immediate_exit_returns_at_once)
{
	struct vcpu *v = BOOT(LONG64, just_hlt);

	v->run->immediate_exit = 1;
	for (int i = 0; i < 3; i++)
		CHECK_ERRNO(vcpu_run(v), EINTR);
	CHECK_EQ(get_regs(v).rip, CODE);
	v->run->immediate_exit = 0;
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

/* A new vCPU stands at the reset vector, where there is no code. */
TEST(run_where_there_is_no_memory)
{
	struct vcpu *v = vcpu_create(vm_with_memory(MEM_SIZE), 0);

	RUN_TO(v, MINIVMM_EXIT_INTERNAL_ERROR);
	CHECK_EQ(v->run->internal.suberror, MINIVMM_INTERNAL_ERROR_EMULATION);
}

/* KVM says ENOSPC: it has no pages for page tables as long as there was no slot. */
TEST(run_without_any_slot_returns)
{
	struct vcpu *v = vcpu_create(vm_create(), 0);

	if (vcpu_run(v) < 0)
		CHECK_EQ(errno, ENOSPC);
	else
		CHECK_EQ(v->run->exit_reason, MINIVMM_EXIT_INTERNAL_ERROR);
}

TEST(unknown_ioctls_are_refused)
{
	struct vcpu *v = BOOT(LONG64, just_hlt);
	static const u32 unknown[] = {
		_IO(MINIVMMIO, 0xff), _IO(MINIVMMIO, 0x00), _IO('x', 0x80),
		_IOW(MINIVMMIO, 0x82, u64), MINIVMM_CREATE_VM, MINIVMM_CREATE_VCPU,
	};

	/* KVM's vCPUs say EINVAL, its VMs and everybody else ENOTTY. */
	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++) {
		context("request %#x", unknown[i]);
		CHECK_EQ(ioctl(v->fd, unknown[i], 0), -1);
		CHECK(errno == ENOTTY || errno == EINVAL);
	}
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

TEST(get_tsc_khz_is_positive)
{
	struct vcpu *v = vcpu_create(vm_create(), 0);

	CHECK(CHECK_OK(ioctl(v->fd, MINIVMM_GET_TSC_KHZ, 0)) > 0);
}

/* ---- signals --------------------------------------------------------------------------------- */

TEST(signal_interrupts_run)
{
	struct vcpu *v = BOOT(LONG64, spin_until_told);

	run_interrupted(v, 5, (u32 *)(v->vm->mem + DATA), 1);
	CHECK(signals_caught >= 1);
	v->vm->mem[DATA] = 2;
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_regs(v).rax, 77);
}

TEST(many_signals_lose_nothing)
{
	struct vcpu *v = BOOT(LONG64, spin_until_told);
	int interrupted = 0;

	run_interrupted(v, 2, (u32 *)(v->vm->mem + DATA), 1);
	signal_every(2000, SIGUSR1);
	while (interrupted < 20) {
		CHECK_ERRNO(vcpu_run(v), EINTR);
		interrupted++;
	}
	signal_every(0, SIGUSR1);
	CHECK(signals_caught >= interrupted);
	v->vm->mem[DATA] = 2;
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_regs(v).rax, 77);
}

TEST(pending_signal_stops_run_before_the_guest)
{
	struct vcpu *v = BOOT(LONG64, just_hlt);
	u8 mask[sizeof(struct minivmm_signal_mask) + 8] = { 0 };
	struct minivmm_signal_mask *m = (void *)mask;
	sigset_t usr1;

	catch_signal(SIGUSR1);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr1, NULL);
	m->len = 8;
	CHECK_OK(ioctl(v->fd, MINIVMM_SET_SIGNAL_MASK, m));
	raise(SIGUSR1);
	/* Blocked outside RUN, open inside: RUN ends, and the handler has not run. */
	CHECK_ERRNO(vcpu_run(v), EINTR);
	CHECK_EQ(signals_caught, 0);
	CHECK_EQ(get_regs(v).rip, CODE);
	sigprocmask(SIG_UNBLOCK, &usr1, NULL);
	CHECK_EQ(signals_caught, 1);
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

/* A full mask: the signal waits until RUN is over. */
TEST(signal_mask_keeps_signals_out)
{
	struct vcpu *v = BOOT(LONG64, spin_until_told);
	u8 mask[sizeof(struct minivmm_signal_mask) + 8];
	struct minivmm_signal_mask *m = (void *)mask;
	struct runner *r;

	catch_signal(SIGUSR1);
	m->len = 8;
	memset(m->sigset, 0xff, 8);
	CHECK_OK(ioctl(v->fd, MINIVMM_SET_SIGNAL_MASK, m));
	r = start_run(v);
	wait_for_guest((u32 *)(v->vm->mem + DATA), 1);
	pthread_kill(r->thread, SIGUSR1);
	CHECK(!run_returned_within(r, 20));
	v->vm->mem[DATA] = 2;
	CHECK_OK(join_run(r));
	CHECK_EQ(v->run->exit_reason, MINIVMM_EXIT_HLT);
	CHECK_EQ(signals_caught, 1);
}

TEST(signal_mask_can_be_taken_back)
{
	struct vcpu *v = BOOT(LONG64, spin_until_told);
	u8 mask[sizeof(struct minivmm_signal_mask) + 8];
	struct minivmm_signal_mask *m = (void *)mask;

	m->len = 8;
	memset(m->sigset, 0xff, 8);
	CHECK_OK(ioctl(v->fd, MINIVMM_SET_SIGNAL_MASK, m));
	CHECK_OK(ioctl(v->fd, MINIVMM_SET_SIGNAL_MASK, NULL));
	run_interrupted(v, 5, (u32 *)(v->vm->mem + DATA), 1);
}

TEST(signal_mask_refuses_a_wrong_size)
{
	struct vcpu *v = vcpu_create(vm_create(), 0);
	u8 mask[sizeof(struct minivmm_signal_mask) + 16] = { 0 };
	struct minivmm_signal_mask *m = (void *)mask;
	static const u32 wrong[] = { 0, 4, 7, 9, 16, 128, 0xffffffff };

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		m->len = wrong[i];
		context("length %u", m->len);
		CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_SIGNAL_MASK, m), EINVAL);
	}
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_SIGNAL_MASK, 8l), EFAULT);
}

TEST(signal_mask_at_the_edge_of_memory)
{
	struct vcpu *v = vcpu_create(vm_create(), 0);
	u8 *end = (u8 *)host_memory(2 * PAGE) + PAGE;
	struct minivmm_signal_mask *m = (void *)(end - sizeof(*m) - 7);

	munmap(end, PAGE);
	m->len = 8;
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_SIGNAL_MASK, m), EFAULT);
}

/* ---- threads --------------------------------------------------------------------------------- */

TEST(run_moves_between_threads)
{
	struct vcpu *v = BOOT(LONG64, just_hlt);

	for (int i = 0; i < 5; i++) {
		CHECK_OK(join_run(start_run(v)));
		CHECK_EQ(v->run->exit_reason, MINIVMM_EXIT_HLT);
		RUN_TO(v, MINIVMM_EXIT_HLT);
	}
}

static int ioctl_in_a_process_that_shares_memory(void *arg)
{
	struct vcpu *v = arg;
	struct minivmm_regs regs;

	ioctl(v->fd, MINIVMM_GET_REGS, &regs);
	return 0;
}

/*
 * While one thread runs the vCPU, everybody else waits, and can be killed. The one that waits is a
 * process that shares the memory: a thread would take this test with it.
 */
TEST(second_ioctl_waits_killably)
{
	struct vcpu *v = BOOT(LONG64, spin_until_told);
	struct runner *r = start_run(v);
	u8 *stack = host_memory(64 * KiB);
	int status;
	pid_t pid;

	wait_for_guest((u32 *)(v->vm->mem + DATA), 1);
	pid = CHECK_OK(clone(ioctl_in_a_process_that_shares_memory, stack + 64 * KiB,
			     CLONE_VM | CLONE_FILES | SIGCHLD, v));
	sleep_ms(20);
	CHECK_EQ(waitpid(pid, &status, WNOHANG), 0);
	kill(pid, SIGUSR1);
	kill(pid, SIGKILL);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFSIGNALED(status));
	CHECK(!r->done);
	v->vm->mem[DATA] = 2;
	CHECK_OK(join_run(r));
	CHECK_EQ(v->run->exit_reason, MINIVMM_EXIT_HLT);
}

TEST(second_run_waits_for_the_first)
{
	struct vcpu *v = BOOT(LONG64, spin_until_told);
	struct runner *first = start_run(v), *second;

	wait_for_guest((u32 *)(v->vm->mem + DATA), 1);
	second = start_run(v);
	CHECK(!run_returned_within(second, 20));
	v->vm->mem[DATA] = 2;
	CHECK_OK(join_run(first));
	CHECK_OK(join_run(second));
	CHECK_EQ(v->run->exit_reason, MINIVMM_EXIT_HLT);
}

GUEST64(count, mov $1000, %ecx; 1: out %al, $0x10; loop 1b; hlt)

/* Two vCPUs of one VM, each in its thread. */
TEST(two_vcpus_run_at_once)
{
	struct vcpu *a = BOOT(LONG64, spin_until_told), *b;
	struct runner *r = start_run(a);

	wait_for_guest((u32 *)(a->vm->mem + DATA), 1);
	b = vcpu_create(a->vm, 1);
	vcpu_enter_mode(b, LONG64, CODE + PAGE);
	LOAD(a->vm, CODE + PAGE, count);
	for (int i = 0; i < 1000; i++)
		RUN_TO_OUT(b, 0x10, 0, 1);
	RUN_TO(b, MINIVMM_EXIT_HLT);
	CHECK(!r->done);
	a->vm->mem[DATA] = 2;
	CHECK_OK(join_run(r));
	CHECK_EQ(get_regs(a).rax, 77);
}
