// SPDX-License-Identifier: GPL-2.0
/* A vCPU's thread: run the guest, serve its exits, look up when kicked. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "layout.h"
#include "vm.h"

/* The kick's handler can't be handed a pointer. */
static __thread struct minivmm_run *my_run;

static void on_kick(int sig)
{
	(void)sig;
	if (my_run)
		my_run->immediate_exit = 1;
}

void vcpu_kick(struct vcpu *cpu)
{
	pthread_kill(cpu->thread, KICK_SIGNAL);
}

static bool is_to_park(const struct vm *vm, const struct vcpu *cpu)
{
	return (vm->pausing || cpu->frozen) && !vm->stopping;
}

/* Return: false when the thread is to end. */
static bool attend(struct vm *vm, struct vcpu *cpu)
{
	bool stopping;

	pthread_mutex_lock(&vm->lock);
	if (is_to_park(vm, cpu)) {
		cpu->parked = true;
		vm->running--;
		pthread_cond_broadcast(&vm->changed);
		while (is_to_park(vm, cpu))
			pthread_cond_wait(&vm->changed, &vm->lock);
		vm->running++;
		cpu->parked = false;
	}
	stopping = vm->stopping;
	pthread_mutex_unlock(&vm->lock);
	return !stopping;
}

static void leave(struct vm *vm)
{
	pthread_mutex_lock(&vm->lock);
	vm->running--;
	pthread_cond_broadcast(&vm->changed);
	pthread_mutex_unlock(&vm->lock);
}

static bool end(struct vcpu *cpu, enum vcpu_end how, const char *why)
{
	cpu->vm->owner->ended(cpu->vm->owner, cpu, how, why);
	return false;
}

static bool do_io(struct vcpu *cpu)
{
	struct minivmm_run *run = cpu->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	unsigned int size = run->io.size, i;

	if (run->io.data_offset > cpu->vm->run_size ||
	    (uint64_t)size * run->io.count > cpu->vm->run_size - run->io.data_offset)
		return end(cpu, VCPU_HOST_FAILED, "port data outside of the vCPU's mapping");
	for (i = 0; i < run->io.count; i++, data += size)
		bus_do(cpu->vm->ports, run->io.port, data, size,
		       run->io.direction == MINIVMM_EXIT_IO_OUT);
	return true;
}

static bool do_mmio(struct vcpu *cpu)
{
	struct minivmm_run *run = cpu->run;

	if (run->mmio.len > sizeof(run->mmio.data))
		return end(cpu, VCPU_HOST_FAILED, "an MMIO access of more than 8 bytes");
	bus_do(cpu->vm->mmio, run->mmio.phys_addr, run->mmio.data, run->mmio.len,
	       run->mmio.is_write);
	return true;
}

/* Return: false when the thread is to end. */
static bool serve(struct vcpu *cpu)
{
	switch (cpu->run->exit_reason) {
	case MINIVMM_EXIT_IO:
		return do_io(cpu);
	case MINIVMM_EXIT_MMIO:
		return do_mmio(cpu);
	case MINIVMM_EXIT_DEBUG:
		cpu->vm->owner->debugged(cpu->vm->owner, cpu);
		return true;
	case MINIVMM_EXIT_INTR:
	case MINIVMM_EXIT_IRQ_WINDOW_OPEN:
		return true;
	case MINIVMM_EXIT_SHUTDOWN:
		return end(cpu, VCPU_FAILED, "triple fault");
	case MINIVMM_EXIT_SYSTEM_EVENT:
		return end(cpu, VCPU_RESET, "the guest asked for a shutdown or reset");
	default:
		return end(cpu, VCPU_FAILED, exit_reason_name(cpu->run->exit_reason));
	}
}

/*
 * Before others look at it: what the last exit has begun is done by the next RUN, which then needn't
 * run the guest. Return: false when the thread is to end.
 */
static bool finish_io(struct vcpu *cpu)
{
	for (;;) {
		cpu->run->immediate_exit = 1;
		if (ioctl(cpu->fd, MINIVMM_RUN, 0))
			return true;
		if (!serve(cpu))
			return false;
	}
}

static void run_vcpu(struct vcpu *cpu)
{
	struct vm *vm = cpu->vm;

	for (;;) {
		/* In this order: a kick from here on makes RUN return at once. */
		cpu->run->immediate_exit = 0;
		atomic_signal_fence(memory_order_seq_cst);
		if (atomic_load(&vm->attention)) {
			if (!finish_io(cpu) || !attend(vm, cpu))
				return;
			continue;
		}
		if (ioctl(cpu->fd, MINIVMM_RUN, 0) < 0) {
			if (errno == EINTR || errno == EAGAIN)
				continue;
			end(cpu, VCPU_HOST_FAILED, strerror(errno));
			return;
		}
		if (!serve(cpu))
			return;
	}
}

void *vcpu_thread(void *opaque)
{
	struct sigaction sa = { .sa_handler = on_kick };
	struct vcpu *cpu = opaque;
	sigset_t kick;

	my_run = cpu->run;
	sigaction(KICK_SIGNAL, &sa, NULL);	/* not SA_RESTART: it has to interrupt */
	sigemptyset(&kick);
	sigaddset(&kick, KICK_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &kick, NULL);

	run_vcpu(cpu);
	leave(cpu->vm);
	return NULL;
}

static void set_segment(struct minivmm_segment *s, uint16_t selector, uint8_t type)
{
	*s = (struct minivmm_segment) {
		.selector = selector, .limit = 0xffffffff, .type = type, .present = 1, .s = 1,
		.g = 1,
	};
}

#define SEG_CODE	0x0b		/* execute, read, accessed */
#define SEG_DATA	0x03		/* read, write, accessed */
#define SEG_BUSY_TSS	0x0b

#define CR0_PE		0x00000001UL
#define CR0_NE		0x00000020UL
#define CR0_ET		0x00000010UL
#define CR0_PG		0x80000000UL
#define CR4_PAE		0x00000020UL
#define EFER_LME	0x00000100UL
#define EFER_LMA	0x00000400UL
#define RFLAGS_FIXED	0x2

static void protected_mode(struct minivmm_sregs *s)
{
	set_segment(&s->cs, BOOT_CS, SEG_CODE);
	set_segment(&s->ds, BOOT_DS, SEG_DATA);
	s->cs.db = s->ds.db = 1;
	s->es = s->fs = s->gs = s->ss = s->ds;
	s->tr = (struct minivmm_segment) {
		.selector = BOOT_TSS, .limit = 0x67, .type = SEG_BUSY_TSS, .present = 1,
	};
	s->gdt.base = BOOT_GDT;
	s->gdt.limit = BOOT_TSS + 15;
	s->idt.base = 0;
	s->idt.limit = 0;
	s->cr0 = CR0_PE | CR0_ET | CR0_NE;
}

static void mode_64(struct minivmm_sregs *s)
{
	protected_mode(s);
	s->cs.l = 1;
	s->cs.db = 0;
	s->cr3 = BOOT_PAGE_TABLES;
	s->cr4 = CR4_PAE;
	s->cr0 |= CR0_PG;
	s->efer = EFER_LME | EFER_LMA;
}

/* As after reset, but for the code segment, which starts at 0. */
static void mode_16(struct minivmm_sregs *s)
{
	s->cs.base = 0;
	s->cs.selector = 0;
}

int vcpu_set_entry(struct vcpu *cpu, const struct entry *entry, struct error *err)
{
	struct minivmm_regs regs = {
		.rip = entry->ip, .rsp = entry->sp, .rsi = entry->si, .rflags = RFLAGS_FIXED,
		.rax = entry->ax, .rbx = entry->bx,
	};
	struct minivmm_sregs s;

	if (entry->mode == ENTRY_RESET)
		return 0;
	if (ioctl(cpu->fd, MINIVMM_GET_SREGS, &s))
		return failed(err, "GET_SREGS: %s", strerror(errno));
	if (entry->mode == ENTRY_LONG)
		mode_64(&s);
	else if (entry->mode == ENTRY_PROT)
		protected_mode(&s);
	else
		mode_16(&s);
	if (ioctl(cpu->fd, MINIVMM_SET_SREGS, &s))
		return failed(err, "SET_SREGS: %s", strerror(errno));
	if (ioctl(cpu->fd, MINIVMM_SET_REGS, &regs))
		return failed(err, "SET_REGS: %s", strerror(errno));
	return 0;
}
