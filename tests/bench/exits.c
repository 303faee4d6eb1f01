// SPDX-License-Identifier: GPL-2.0
/* What an exit to the client and back costs, by kind; and what ends RUN without a guest. */
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"
#include "thread.h"

#define N	40

/* One operation for ever. */
GUEST64(port_write, 1: out %al, $0x10; jmp 1b)
GUEST64(port_read, 1: in $0x10, %al; jmp 1b)
GUEST64(mmio_write, mov $MMIO, %ebx; 1: mov %eax, (%rbx); jmp 1b)
GUEST64(mmio_read, mov $MMIO, %ebx; 1: mov (%rbx), %eax; jmp 1b)
GUEST64(hlt, 1: hlt; jmp 1b)
GUEST64(rep_outsb,
	mov $0x10, %edx;
	1: mov $DATA, %esi;
	mov $4096, %ecx;
	rep outsb;
	out %al, $0x11;
	jmp 1b)
GUEST64(rep_insb,
	mov $0x10, %edx;
	1: mov $DATA, %edi;
	mov $4096, %ecx;
	rep insb;
	out %al, $0x11;
	jmp 1b)

static void measure_exit(const char *name, struct vcpu *v, u32 reason)
{
	struct measurement m;

	RUN_TO(v, reason);
	for_batches(m)
		for (int i = 0; i < N; i++)
			vcpu_run(v);
	CHECK_EXIT(v, reason);
	row(name, &m, N);
}

#define EXIT_BENCH(name, reason) \
	static void name##s(void) { measure_exit(#name, BOOT(LONG64, name), reason); }

EXIT_BENCH(port_write, MINIVMM_EXIT_IO)
EXIT_BENCH(port_read, MINIVMM_EXIT_IO)
EXIT_BENCH(mmio_write, MINIVMM_EXIT_MMIO)
EXIT_BENCH(mmio_read, MINIVMM_EXIT_MMIO)
EXIT_BENCH(hlt, MINIVMM_EXIT_HLT)

/* 4 KiB by one REP, whatever number of exits the hypervisor makes of it. */
static void measure_string(const char *name, struct vcpu *v)
{
	struct measurement m;

	for (begin(&m); m.batch < WARM_UP + 2; end_batch(&m))
		do
			CHECK_OK(vcpu_run(v));
		while (v->run->io.port != 0x11);
	CHECK_EXIT(v, MINIVMM_EXIT_IO);
	row(name, &m, 1);
}

static void outs(void) { measure_string("rep_outsb_4k", BOOT(LONG64, rep_outsb)); }
static void ins(void) { measure_string("rep_insb_4k", BOOT(LONG64, rep_insb)); }

/* Where it isn't the CPU that runs real mode, this is what emulation costs. */
GUEST(real_mode, 16,
	1: mov $1000, %cx;
	2: add %ax, %bx;
	mov %bx, 0x100;
	dec %cx;
	jnz 2b;
	out %al, $0x10;
	jmp 1b)

static void real_mode_instruction(void)
{
	struct vcpu *v = BOOT(REAL16, real_mode);
	struct measurement m;

	RUN_TO(v, MINIVMM_EXIT_IO);
	for_batches(m)
		CHECK_OK(vcpu_run(v));
	row("real_mode_instruction", &m, 4000);
}

/* What of RUN is the system call alone. */
static void floor_of_an_ioctl(void)
{
	int node = node_open();
	struct measurement m;

	for_batches(m)
		for (int i = 0; i < N; i++)
			ioctl(node, MINIVMM_GET_API_VERSION, 0);
	row("floor_of_an_ioctl", &m, N);
}

static void immediate(void)
{
	struct vcpu *v = BOOT(LONG64, hlt);
	struct measurement m;

	RUN_TO(v, MINIVMM_EXIT_HLT);
	v->run->immediate_exit = 1;
	for_batches(m)
		for (int i = 0; i < N; i++)
			vcpu_run(v);
	row("run_immediate_exit", &m, N);
}

static void get_and_set_regs(void)
{
	struct vcpu *v = BOOT(LONG64, hlt);
	struct minivmm_regs r;
	struct minivmm_sregs s;
	struct measurement m;

	RUN_TO(v, MINIVMM_EXIT_HLT);
	for_batches(m)
		for (int i = 0; i < N; i++) {
			ioctl(v->fd, MINIVMM_GET_REGS, &r);
			ioctl(v->fd, MINIVMM_SET_REGS, &r);
		}
	row("get_and_set_regs", &m, N);
	for_batches(m)
		for (int i = 0; i < N; i++) {
			ioctl(v->fd, MINIVMM_GET_SREGS, &s);
			ioctl(v->fd, MINIVMM_SET_SREGS, &s);
		}
	row("get_and_set_sregs", &m, N);
}

/* ---- a client's interrupt -------------------------------------------------------------------- */

GUEST64(halt_enabled, sti; 1: hlt; jmp 1b)
GUEST64(on_interrupt, iretq)

/* From HLT: INTERRUPT, the handler, and HLT again. */
static void interrupt(void)
{
	struct vcpu *v = BOOT(LONG64, halt_enabled);
	struct minivmm_interrupt irq = { .irq = 0x30 };
	struct measurement m;

	LOAD(v->vm, DATA, on_interrupt);
	vm_set_gate(v->vm, 0x30, DATA);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	for_batches(m)
		for (int i = 0; i < N; i++) {
			ioctl(v->fd, MINIVMM_INTERRUPT, &irq);
			vcpu_run(v);
		}
	CHECK_EXIT(v, MINIVMM_EXIT_HLT);
	row("interrupt", &m, N);
}

/* ---- kicks ----------------------------------------------------------------------------------- */

static struct {
	struct vcpu *vcpu;
	volatile pid_t tid;
	volatile u64 returned_at;
	volatile int rounds;
} kick;

static void *halted_thread(void *arg)
{
	(void)arg;
	kick.tid = syscall(SYS_gettid);
	for (;;) {
		vcpu_run(kick.vcpu);
		kick.returned_at = ticks();
		kick.rounds++;
	}
	return NULL;
}

/*
 * A vCPU halted in the kernel, with its local APIC there, is called out by a signal: from the call
 * to the return of RUN in the other thread.
 */
static void signal_kick(void)
{
	struct vm *vm = vm_with_memory(MEM_SIZE);
	pthread_t thread;
	struct measurement m;

	CHECK_OK(ioctl(vm->fd, MINIVMM_CREATE_IRQCHIP, 0));
	kick.vcpu = BOOT_IN(vm, LONG64, hlt);
	catch_signal(SIGUSR1);
	pthread_create(&thread, NULL, halted_thread, NULL);
	for (begin(&m); m.batch < batches; add_batch(&m, kick.returned_at - m.start)) {
		int round = kick.rounds;

		sleep_ms(2);
		begin_batch(&m);
		pthread_kill(thread, SIGUSR1);
		while (kick.rounds == round)
			sched_yield();
		if (m.batch >= WARM_UP)
			end_count(&m, &m.least);
	}
	row("signal_kick_of_a_halted_vcpu", &m, 1);
	_exit(0);
}

const struct bench exit_benches[] = {
	{ "port_write", port_writes },
	{ "port_read", port_reads },
	{ "rep_outsb_4k", outs },
	{ "rep_insb_4k", ins },
	{ "mmio_write", mmio_writes },
	{ "mmio_read", mmio_reads },
	{ "hlt", hlts },
	{ "real_mode_instruction", real_mode_instruction },
	{ "interrupt", interrupt },
	{ "floor_of_an_ioctl", floor_of_an_ioctl },
	{ "run_immediate_exit", immediate },
	{ "get_and_set_regs", get_and_set_regs },
	{ "signal_kick_of_a_halted_vcpu", signal_kick },
	{ }
};
