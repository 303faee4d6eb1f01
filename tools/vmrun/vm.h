/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The hypervisor's ABI as vmrun uses it: one VM, its memory and its vCPUs, each with a thread.
 *
 * A vCPU's thread runs the guest and serves its exits by the two buses. It can be called back at
 * any moment: vcpu_kick() sends KICK_SIGNAL, whose handler sets the vCPU's immediate_exit. The
 * thread clears that before it looks at what it was called for, so a kick that comes in between
 * makes the next RUN return at once.
 */
#ifndef VMRUN_VM_H
#define VMRUN_VM_H

#include <linux/minivmm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>

#include "bus.h"
#include "device.h"
#include "loaders/loader.h"
#include "memory.h"
#include "options.h"

#define KICK_SIGNAL	SIGUSR1

struct vm;

/* Why a vCPU's thread ended on its own. */
enum vcpu_end { VCPU_FAILED, VCPU_HOST_FAILED, VCPU_RESET };

struct vcpu {
	struct vm *vm;
	unsigned int id;
	int fd;
	struct minivmm_run *run;
	pthread_t thread;
	bool started, joined;
	bool parked;			/* vm->lock */
	bool frozen;			/* likewise: it stays parked when the others go on */
};

/* What the VM tells its owner; on a vCPU's thread. */
struct vm_owner {
	void (*ended)(struct vm_owner *o, struct vcpu *cpu, enum vcpu_end end, const char *why);
	/* A breakpoint or a step; RUN follows, if nobody holds the machine. */
	void (*debugged)(struct vm_owner *o, struct vcpu *cpu);
};

#define VM_MESSAGES	256

struct vm {
	int sys, fd;
	bool is_kvm;
	const char *kvm_mmu;		/* its mode, for people */
	size_t run_size;
	struct irq_lines irqs;
	pthread_mutex_t routes_lock;
	unsigned int nr_messages;	/* 0 until there is need: then it's the default routes */
	struct minivmm_msi messages[VM_MESSAGES];
	struct doorbells doorbells;
	unsigned int doorbell_len;	/* of the writes that ring them; 0: any */
	struct bus *ports, *mmio;
	struct vm_owner *owner;
	const struct guest_mem *mem;

	struct vcpu cpus[CPUS_MAX];
	unsigned int nr;
	uint64_t snapshot_tsc;		/* vmstate.c's: the first vCPU's */

	atomic_bool attention;		/* vCPU threads: look at what follows */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool stopping;
	unsigned int pausing;		/* calls of vm_pause() without vm_resume() */
	unsigned int held;		/* of pausing: by vm_hold() */
	unsigned int running;		/* threads that are neither parked nor gone */
};

/* Open the node and make a VM with interrupt chips and timer. */
int vm_create(struct vm *vm, const struct options *o, struct error *err);
void vm_destroy(struct vm *vm);

/* Memory slots by number. */
enum { VM_SLOT_LOW, VM_SLOT_HIGH, VM_SLOT_ROM, VM_SLOT_ABOVE_1M, VM_SLOT_SHADOW };

/* All of RAM; with_shadow: but for 0xc0000 to 1 MiB, which shadow.c sees to. */
int vm_set_memory(struct vm *vm, const struct guest_mem *mem, bool with_shadow, struct error *err);
/* size 0: remove it, or leave it away. */
int vm_set_slot(struct vm *vm, unsigned int slot, uint64_t gpa, void *hva, uint64_t size,
		bool readonly, struct error *err);
int vm_create_vcpus(struct vm *vm, unsigned int n, struct error *err);

/* The first CPU's start state; the others wait for it to start them. */
int vcpu_set_entry(struct vcpu *cpu, const struct entry *entry, struct error *err);

int vm_start(struct vm *vm, struct error *err);
/* Call every vCPU's thread back and wait for its end. */
void vm_stop(struct vm *vm);

/*
 * Between the two no vCPU runs, and it can be asked about: the hypervisor makes every ioctl on a vCPU
 * wait for its RUN to return. False: one doesn't come back. They nest.
 */
bool vm_pause(struct vm *vm);
void vm_resume(struct vm *vm);

/*
 * On a vCPU's thread, which can't wait for itself: no vCPU runs on, until vm_drop_holds() after a
 * vm_pause() that waited for them.
 */
void vm_hold(struct vm *vm);
void vm_drop_holds(struct vm *vm);
/* While paused: this one stays where it is, or doesn't, when the others go on. */
void vm_freeze(struct vm *vm, struct vcpu *cpu, bool frozen);

/* To the first CPU, while paused. */
int vm_nmi(struct vm *vm, struct error *err);
/* MINIVMM_VM_MMU_* of this VM, 0 when the hypervisor doesn't say. */
unsigned int vm_mmu(const struct vm *vm);
int vm_check_extension(const struct vm *vm, unsigned int cap);

/* irqlines.c: vm->irqs */
void vm_create_irqs(struct vm *vm);
void vm_destroy_irqs(struct vm *vm);

/* vcpu.c */
void *vcpu_thread(void *opaque);
void vcpu_kick(struct vcpu *cpu);

/* cpuid.c: what this vCPU's CPUID says. */
#define CPUID_MAX	256		/* entries there is room for */
void cpuid_personalise(struct minivmm_cpuid2 *c, unsigned int id, unsigned int cpus);
int vcpu_set_cpuid(struct vcpu *cpu, unsigned int cpus, struct error *err);
/* Does the host have what a guest has seen of its CPU? Return: 0, or -1: err says what it lacks. */
int cpuid_check(const struct minivmm_cpuid2 *host, const struct minivmm_cpuid2 *guest,
		struct error *err);
/* CPUID leaf 1 of the host's offer, for tables: EAX and EDX. */
void vm_cpu_signature(const struct vm *vm, uint32_t *eax, uint32_t *edx);

/* msr.c */
void vcpu_set_msrs(struct vcpu *cpu);

/* diagnose.c: the sentence for a node that can't be opened, or a VM that can't be made. */
int diagnose_open(const char *dev, int error, struct error *err);
int diagnose_create_vm(const struct options *o, bool is_kvm, int error, struct error *err);

/* state.c: text about a vCPU that doesn't run. */
void vcpu_print_registers(const struct vcpu *cpu, FILE *out);
void vcpu_print_failure(const struct vcpu *cpu, FILE *out);
const char *exit_reason_name(unsigned int reason);

/*
 * vmstate.c: chips and clock, and a vCPU, for snapshots; while paused, or before they first ran. The
 * chips come before the vCPUs, whose local APICs then hold what they hold.
 */
void vm_chips_fields(void *vm, struct fields *f);
void vcpu_fields(void *cpu, struct fields *f);

/* stats.c: while paused or stopped. */
void vm_print_stats(const struct vm *vm, FILE *out);

#endif
