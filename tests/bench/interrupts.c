// SPDX-License-Identifier: GPL-2.0
/*
 * Interrupts to guests that sleep, and kicks from guests. On one CPU each way there and back is two
 * changes of thread: floor_of_a_wakeup is what those cost by themselves.
 */
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"
#include "chips.h"

#define ROUNDS		40
#define KICKS		1000
#define KICK_PORT	0x1f0
#define PING		0x41
#define PONG		0x42
#define PONGER		(CODE + 0x800)
#define PONGER_STACK	(STACK_TOP - 0x800)

/* ---- there and back between two threads of the host ------------------------------------------- */

static int there, back;

static void *echo(void *arg)
{
	eventfd_t n;

	for (;;) {
		eventfd_read(there, &n);
		eventfd_write(back, 1);
	}
	return arg;
}

static void there_and_back(const char *name)
{
	struct measurement m;
	eventfd_t n;

	for_batches(m)
		for (int i = 0; i < ROUNDS; i++) {
			eventfd_write(there, 1);
			CHECK_OK(eventfd_read(back, &n));
		}
	row(name, &m, ROUNDS);
}

static void floor_of_a_wakeup(void)
{
	pthread_t thread;

	there = CHECK_OK(eventfd(0, 0));
	back = CHECK_OK(eventfd(0, 0));
	CHECK(!pthread_create(&thread, NULL, echo, NULL));
	there_and_back("floor_of_a_wakeup");
	_exit(0);
}

/* ---- the same with a guest that sleeps as the other ------------------------------------------- */

/* x2APIC mode, enabled, deaf to PICs. */
#define X2APIC_ON				\
	mov $0x1b, %ecx; rdmsr; or $0xc00, %eax; wrmsr;	\
	xor %edx, %edx;				\
	mov $0x80f, %ecx; mov $0x1ff, %eax; wrmsr;	\
	mov $0x835, %ecx; mov $0x10000, %eax; wrmsr;

GUEST64(sleeper,
	X2APIC_ON
	movl $1, READY;
	1: sti; hlt; cli; jmp 1b)
/* Nothing that runs besides needs EAX, ECX or EDX. */
GUEST64(kick_back,
	mov $0x80b, %ecx; xor %eax, %eax; xor %edx, %edx; wrmsr;
	mov $0x1f0, %edx; out %al, %dx;
	iretq)
GUEST64(pong,
	mov $0x80b, %ecx; xor %eax, %eax; xor %edx, %edx; wrmsr;
	mov $0x830, %ecx; mov $0x4042, %eax; wrmsr;
	iretq)
GUEST64(ponged,
	mov $0x80b, %ecx; xor %eax, %eax; xor %edx, %edx; wrmsr;
	iretq)
GUEST64(pinger,
	X2APIC_ON
	2: mov $40, %esi;
	1: mov $0x830, %ecx; mov $1, %edx; mov $0x4041, %eax; wrmsr;
	sti; hlt; cli;
	dec %esi;
	jnz 1b;
	out %al, $0x11;
	jmp 2b)

static void add_ioeventfd(struct vm *vm, int fd, u64 addr, u32 len, u32 flags)
{
	struct minivmm_ioeventfd args = { .fd = fd, .addr = addr, .len = len, .flags = flags };

	CHECK_OK(ioctl(vm->fd, MINIVMM_IOEVENTFD, &args));
}

static void irqfd_wakes_a_guest(void)
{
	struct minivmm_irq_routing_entry route = to_msi(30, MSI_ADDRESS, PING);
	struct minivmm_irqfd irqfd = { .gsi = 30 };
	struct vm *vm = vm_with_chips();

	LOAD(vm, HANDLERS, kick_back);
	vm_set_gate(vm, PING, HANDLERS);
	irqfd.fd = there = CHECK_OK(eventfd(0, 0));
	back = CHECK_OK(eventfd(0, 0));
	CHECK_OK(set_routing(vm, &route, 1));
	CHECK_OK(ioctl(vm->fd, MINIVMM_IRQFD, &irqfd));
	add_ioeventfd(vm, back, KICK_PORT, 0, MINIVMM_IOEVENTFD_FLAG_PIO);
	start_run(BOOT_IN(vm, LONG64, sleeper));
	wait_for_guest(word(vm, READY), 1);
	there_and_back("irqfd_wakes_a_guest");
	_exit(0);
}

#define SECOND(name) guest_##name, guest_##name##_end - guest_##name

static struct vcpu *second_vcpu(struct vm *vm, const void *code, size_t size)
{
	struct minivmm_mp_state runnable = { .mp_state = MINIVMM_MP_STATE_RUNNABLE };
	struct vcpu *v = vcpu_create(vm, 1);
	struct minivmm_regs regs;

	vm_load(vm, PONGER, code, size);
	vcpu_enter_mode(v, LONG64, PONGER);
	regs = get_regs(v);
	regs.rsp = PONGER_STACK;
	set_regs(v, &regs);
	CHECK_OK(ioctl(v->fd, MINIVMM_SET_MP_STATE, &runnable));
	return v;
}

static void ipi_wakes_a_vcpu(void)
{
	struct vm *vm = vm_with_chips();
	struct vcpu *first = BOOT_IN(vm, LONG64, pinger);
	struct measurement m;

	LOAD(vm, HANDLERS, pong);
	LOAD(vm, HANDLERS + 0x40, ponged);
	vm_set_gate(vm, PING, HANDLERS);
	vm_set_gate(vm, PONG, HANDLERS + 0x40);
	start_run(second_vcpu(vm, SECOND(sleeper)));
	wait_for_guest(word(vm, READY), 1);
	for_batches(m) {
		CHECK_OK(vcpu_run(first));
		CHECK_EXIT(first, MINIVMM_EXIT_IO);
	}
	row("ipi_wakes_a_vcpu", &m, ROUNDS);
	_exit(0);
}

/* ---- kicks ----------------------------------------------------------------------------------- */

GUEST64(port_kicks,
	mov $0x1f0, %edx;
	2: mov $1000, %ecx;
	1: out %al, %dx; loop 1b;
	out %al, $0x11;
	jmp 2b)
GUEST64(mmio_kicks,
	mov $MMIO, %ebx;
	2: mov $1000, %ecx;
	1: mov %eax, (%rbx); loop 1b;
	out %al, $0x11;
	jmp 2b)

static void measure_kicks(const char *name, struct vcpu *v, u64 addr, u32 flags)
{
	struct measurement m;

	add_ioeventfd(v->vm, CHECK_OK(eventfd(0, EFD_NONBLOCK)), addr, 0, flags);
	for_batches(m)
		CHECK_OK(vcpu_run(v));
	CHECK_EXIT(v, MINIVMM_EXIT_IO);
	row(name, &m, KICKS);
}

static void ioeventfd_port(void)
{
	measure_kicks("ioeventfd_port", BOOT(LONG64, port_kicks), KICK_PORT,
		      MINIVMM_IOEVENTFD_FLAG_PIO);
}

static void ioeventfd_mmio(void)
{
	measure_kicks("ioeventfd_mmio", BOOT(LONG64, mmio_kicks), MMIO, 0);
}

/* ---- between CPUs, to guests that run -------------------------------------------------------- */

#define PINGS		(DATA + 8)

GUEST64(spinner,
	X2APIC_ON
	movl $1, READY;
	sti;
	1: jmp 1b)
GUEST64(count_ping,
	mov $0x80b, %ecx; xor %eax, %eax; xor %edx, %edx; wrmsr;
	incl PINGS;
	iretq)
GUEST64(spinning_pinger,
	X2APIC_ON
	sti;
	xor %edi, %edi;
	2: mov $40, %esi;
	1: mov $0x830, %ecx; mov $1, %edx; mov $0x4041, %eax; wrmsr;
	inc %edi;
	3: cmp %edi, PINGS; jne 3b;
	dec %esi;
	jnz 1b;
	out %al, $0x11;
	jmp 2b)

/* The calling thread, and those that it will create. */
static void run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	CHECK_OK(sched_setaffinity(0, sizeof(set), &set));
}

static volatile u32 ball;

static void *play_back(void *arg)
{
	for (;;)
		if (ball & 1)
			ball++;
	return arg;
}

static void floor_of_a_cache_line(void)
{
	struct measurement m;
	pthread_t thread;

	run_on(1);
	CHECK(!pthread_create(&thread, NULL, play_back, NULL));
	run_on(0);
	for_batches(m)
		for (int i = 0; i < ROUNDS; i++) {
			ball++;
			while (ball & 1)
				;
		}
	row("floor_of_a_cache_line", &m, ROUNDS);
	_exit(0);
}

/* Makes the other CPU, which runs a thread of ours, take an interrupt, and waits for it. */
static void floor_of_an_ipi(void)
{
	struct measurement m;
	pthread_t thread;

	run_on(1);
	CHECK(!pthread_create(&thread, NULL, play_back, NULL));
	run_on(0);
	CHECK_OK(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0));
	for_batches(m)
		for (int i = 0; i < ROUNDS; i++)
			CHECK_OK(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0));
	row("floor_of_an_ipi", &m, ROUNDS);
	_exit(0);
}

static void irqfd_to_a_running_guest(void)
{
	struct minivmm_irq_routing_entry route = to_msi(30, MSI_ADDRESS, PING);
	struct minivmm_irqfd irqfd = { .gsi = 30 };
	struct vm *vm = vm_with_chips();
	struct measurement m;
	u32 sent = 0;

	LOAD(vm, HANDLERS, count_ping);
	vm_set_gate(vm, PING, HANDLERS);
	irqfd.fd = CHECK_OK(eventfd(0, 0));
	CHECK_OK(set_routing(vm, &route, 1));
	CHECK_OK(ioctl(vm->fd, MINIVMM_IRQFD, &irqfd));
	run_on(1);
	start_run(BOOT_IN(vm, LONG64, spinner));
	run_on(0);
	wait_for_guest(word(vm, READY), 1);
	for_batches(m)
		for (int i = 0; i < ROUNDS; i++) {
			eventfd_write(irqfd.fd, 1);
			sent++;
			while (*word(vm, PINGS) != sent)
				;
		}
	row("irqfd_to_a_running_guest", &m, ROUNDS);
	_exit(0);
}

/* From the write of the ICR to when the other's handler has been seen to run. */
static void ipi_between_running_vcpus(void)
{
	struct vm *vm = vm_with_chips();
	struct vcpu *first = BOOT_IN(vm, LONG64, spinning_pinger);
	struct measurement m;

	LOAD(vm, HANDLERS, count_ping);
	vm_set_gate(vm, PING, HANDLERS);
	run_on(1);
	start_run(second_vcpu(vm, SECOND(spinner)));
	run_on(0);
	wait_for_guest(word(vm, READY), 1);
	for_batches(m) {
		CHECK_OK(vcpu_run(first));
		CHECK_EXIT(first, MINIVMM_EXIT_IO);
	}
	row("ipi_between_running_vcpus", &m, ROUNDS);
	_exit(0);
}

const struct bench smp_benches[] = {
	{ "floor_of_a_cache_line", floor_of_a_cache_line },
	{ "floor_of_an_ipi", floor_of_an_ipi },
	{ "irqfd_to_a_running_guest", irqfd_to_a_running_guest },
	{ "ipi_between_running_vcpus", ipi_between_running_vcpus },
	{ }
};

/* ---- a host's interrupt, without a guest ------------------------------------------------------ */

/* As the guest's row external_interrupt: the shortest of many gaps. */
static void floor_of_an_interrupt(void)
{
	struct measurement m;
	u64 last, now;

	begin(&m);
	last = ticks();
	for (; m.batch < WARM_UP + 24; last = now) {
		now = ticks();
		if (now - last >= 200)
			add_batch(&m, now - last);
	}
	row("floor_of_an_interrupt", &m, 1);
}

const struct bench interrupt_benches[] = {
	{ "floor_of_an_interrupt", floor_of_an_interrupt },
	{ "floor_of_a_wakeup", floor_of_a_wakeup },
	{ "irqfd_wakes_a_guest", irqfd_wakes_a_guest },
	{ "ipi_wakes_a_vcpu", ipi_wakes_a_vcpu },
	{ "ioeventfd_port", ioeventfd_port },
	{ "ioeventfd_mmio", ioeventfd_mmio },
	{ }
};
