/* SPDX-License-Identifier: GPL-2.0 */
/* Virtual machines for tests. What fails here ends the test. */
#ifndef SELFTESTS_VM_H
#define SELFTESTS_VM_H

#include <linux/minivmm.h>
#include <sys/ioctl.h>

#include "guest.h"
#include "test.h"

struct vm {
	int fd;
	u8 *mem;			/* slot 0: guest-physical 0 … size - 1 */
	size_t size;
};

struct vcpu {
	int fd;
	struct vm *vm;
	struct minivmm_run *run;
	size_t run_size;
};

enum mode {
	REAL16,				/* CS:IP = CODE >> 4:0; the other segments 0 */
	PROT32,				/* flat, no paging */
	LONG64,				/* 4 GiB mapped to itself */
};

int node_open(void);
/* Needs no VM: on the node. */
int node_extension(long cap);
bool has_cpuid(u32 leaf, char reg, int bit);

int vm_type(void);			/* what --mmu says */
struct vm *vm_create(void);		/* no memory */
struct vm *vm_with_memory(size_t size);
int vm_extension(struct vm *vm, long cap);
int enable_cap(struct vm *vm, u32 cap, u32 flags, u64 arg);
void *host_memory(size_t size);		/* zeroes, aligned to 2M */
/* Zeroes in transparent huge pages; skips the test where there are none. */
void *huge_memory(size_t size);
long huge_kilobytes(void);		/* of this process: how much is in such pages */
int set_slot(struct vm *vm, u32 slot, u32 flags, u64 gpa, u64 size, const void *hva);
void add_slot(struct vm *vm, u32 slot, u32 flags, u64 gpa, u64 size, const void *hva);
void vm_load(struct vm *vm, u64 gpa, const void *code, size_t size);

struct vcpu *vcpu_create(struct vm *vm, int id);	/* with the supported CPUID */
struct vcpu *vcpu_create_bare(struct vm *vm, int id);	/* as the ioctl leaves it */
void vcpu_enter_mode(struct vcpu *v, enum mode mode, u64 rip);
struct minivmm_regs get_regs(struct vcpu *v);
void set_regs(struct vcpu *v, const struct minivmm_regs *regs);
struct minivmm_sregs get_sregs(struct vcpu *v);
void set_sregs(struct vcpu *v, const struct minivmm_sregs *sregs);
struct minivmm_cpuid2 *supported_cpuid(void);
/* As the ioctls: how many were done. */
int get_msr(struct vcpu *v, u32 index, u64 *data);
int set_msr(struct vcpu *v, u32 index, u64 data);

/* A VM with MEM_SIZE of memory and one vCPU about to run the guest. */
#define BOOT(mode, name) boot(mode, guest_##name, guest_##name##_end - guest_##name)
struct vcpu *boot(enum mode mode, const void *code, size_t size);
/* The same in a VM that exists. */
#define BOOT_IN(vm, mode, name) \
	boot_in(vm, mode, guest_##name, guest_##name##_end - guest_##name)
struct vcpu *boot_in(struct vm *vm, enum mode mode, const void *code, size_t size);
#define LOAD(vm, gpa, name) vm_load(vm, gpa, guest_##name, guest_##name##_end - guest_##name)

/* An interrupt gate of 64-bit mode. */
void vm_set_gate(struct vm *vm, int vector, u64 handler);

int vcpu_run(struct vcpu *v);		/* the ioctl alone */
/* What the last RUN came back with. */
#define CHECK_EXIT(v, reason)	check_exit(__FILE__, __LINE__, v, reason)
/* Runs to the next exit and checks what it is. */
#define RUN_TO(v, reason)	run_to(__FILE__, __LINE__, v, reason)
#define RUN_TO_OUT(v, port, value, size) \
	run_to_out(__FILE__, __LINE__, v, port, value, size)
#define RUN_TO_IN(v, port, size)	run_to_in(__FILE__, __LINE__, v, port, size)
#define RUN_TO_WRITE(v, gpa, value, size) \
	run_to_write(__FILE__, __LINE__, v, gpa, value, size)
#define RUN_TO_READ(v, gpa, size, answer) \
	run_to_read(__FILE__, __LINE__, v, gpa, size, answer)
void check_exit(const char *file, int line, struct vcpu *v, u32 reason);
void run_to(const char *file, int line, struct vcpu *v, u32 reason);
void run_to_out(const char *file, int line, struct vcpu *v, u16 port, u32 value, u8 size);
void *run_to_in(const char *file, int line, struct vcpu *v, u16 port, u8 size);
void run_to_write(const char *file, int line, struct vcpu *v, u64 gpa, u64 value, u32 size);
void run_to_read(const char *file, int line, struct vcpu *v, u64 gpa, u32 size, u64 answer);
void *pio_data(struct vcpu *v);
const char *exit_name(u32 reason);

/* What the host's CPU has, and the hypervisor uses for this VM. */
bool cpu_has(const char *line_begins, const char *word);
bool uses_ept(struct vm *vm);
bool ept_has_dirty_bits(void);

#endif
