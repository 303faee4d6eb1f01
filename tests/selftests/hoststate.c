// SPDX-License-Identifier: GPL-2.0
/*
 * What belongs to the host's thread survives RUN, whatever the guest did with the same registers.
 */
#include <asm/hwcap2.h>
#include <asm/ldt.h>
#include <asm/prctl.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/io.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "thread.h"
#include "vm.h"

/* Other values in all that guest and host share; armed watchpoints on the guest's own data. */
GUEST64(spoil,
	pcmpeqd %xmm0, %xmm0;
	movdqa %xmm0, %xmm1; movdqa %xmm0, %xmm7; movdqa %xmm0, %xmm8; movdqa %xmm0, %xmm15;
	fninit; fldpi; fldpi; fldl2e; fldl2e; fldln2; fldln2; fldlg2; fldlg2;
	movl $0x1f40, DATA; ldmxcsr DATA;
	movw $0x27f, DATA; fldcw DATA;
	mov $DATA + 0x100, %eax; mov %rax, %dr0; mov %rax, %dr1; mov %rax, %dr2; mov %rax, %dr3;
	mov $0xdddd06aa, %eax; mov %rax, %dr7;
	mov $0x33330000, %edx; mov $0x44440000, %eax;
	mov $0xc0000081, %ecx; wrmsr;
	mov $0x7fff, %edx; mov $0x12345000, %eax;
	mov $0xc0000082, %ecx; wrmsr;
	mov $0xc0000083, %ecx; wrmsr;
	mov $0xc0000102, %ecx; wrmsr;
	mov $0xc0000100, %ecx; wrmsr;
	mov $0xc0000101, %ecx; wrmsr;
	mov $0x175, %ecx; wrmsr;
	mov $0x176, %ecx; wrmsr;
	xor %edx, %edx; xor %eax, %eax;
	mov $0xc0000084, %ecx; wrmsr;
	mov $0x174, %ecx; wrmsr;
	mov %cr0, %rax; or $8, %eax; mov %rax, %cr0; clts;
	1: out %al, $0x10; jmp 1b)

static struct vcpu *boot_spoiler(void)
{
	struct vcpu *v = BOOT(LONG64, spoil);

	RUN_TO(v, MINIVMM_EXIT_IO);
	return v;
}

/* ---- floating point and vectors -------------------------------------------------------------- */

struct fx {
	u8 bytes[512];
} __attribute__((aligned(16)));

/* RUN between two saves of everything, with no code in between that could touch it. */
static void run_between_saves(struct vcpu *v, struct fx *set, struct fx *before, struct fx *after)
{
	long ret = SYS_ioctl;

	asm volatile("fxrstor64 %[set]; fxsave64 %[before]; syscall; fxsave64 %[after]"
		     : "+a"(ret), [before] "=m"(*before), [after] "=m"(*after)
		     : [set] "m"(*set), "D"((long)v->fd), "S"((long)MINIVMM_RUN), "d"(0l)
		     : "rcx", "r11", "memory");
	CHECK_EQ(ret, 0);
}

TEST(fpu_and_sse)
{
	struct vcpu *v = BOOT(LONG64, spoil);
	struct fx set, before, after;

	memset(&set, 0, sizeof(set));
	asm volatile("fxsave64 %0" : "=m"(set));
	*(u16 *)(set.bytes + 0) = 0x37f;
	set.bytes[4] = 0x3c;
	*(u32 *)(set.bytes + 24) = 0x1f80;
	for (int i = 0; i < 8; i++)
		memset(set.bytes + 32 + 16 * i, 0x31 + i, 8);
	for (int i = 0; i < 16; i++)
		memset(set.bytes + 160 + 16 * i, 0xc0 + i, 16);
	for (int i = 0; i < 5; i++) {
		run_between_saves(v, &set, &before, &after);
		CHECK_EXIT(v, MINIVMM_EXIT_IO);
		CHECK_MEM(after.bytes, before.bytes, 416);
	}
}

/* Two threads and a vCPU, all with other values, on one CPU. */
static volatile bool stop;

static bool xmm_kept(u64 value)
{
	u64 got;

	asm volatile("movq %1, %%xmm5; mov $20000, %%ecx; 1: pause; loop 1b; movq %%xmm5, %0"
		     : "=r"(got) : "r"(value) : "rcx", "xmm5");
	return got == value;
}

static void *compute(void *arg)
{
	for (u64 i = 1; !stop; i++)
		if (!xmm_kept(i * 0x9e3779b97f4a7c15))
			FAIL("a thread beside the vCPU lost its XMM registers");
	return arg;
}

static void pin(pid_t tid, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	CHECK_OK(sched_setaffinity(tid, sizeof(set), &set));
}

TEST(fpu_with_a_competing_thread)
{
	struct vcpu *v = boot_spoiler();
	pthread_t t;

	pin(0, 0);
	pthread_create(&t, NULL, compute, NULL);
	for (int i = 0; i < 200; i++) {
		RUN_TO(v, MINIVMM_EXIT_IO);
		CHECK(i % 20 || xmm_kept(i + 12345));
	}
	stop = true;
	pthread_join(t, NULL);
}

__attribute__((target("avx")))
static bool ymm_kept(struct vcpu *v)
{
	u8 set[32] __attribute__((aligned(32))), got[32] __attribute__((aligned(32)));
	long ret = SYS_ioctl;

	for (int i = 0; i < 32; i++)
		set[i] = i + 100;
	asm volatile("vmovdqa %[set], %%ymm3; syscall; vmovdqa %%ymm3, %[got]"
		     : "+a"(ret), [got] "=m"(got)
		     : [set] "m"(set), "D"((long)v->fd), "S"((long)MINIVMM_RUN), "d"(0l)
		     : "rcx", "r11", "memory", "xmm3");
	return !ret && !memcmp(set, got, sizeof(set));
}

TEST(avx)
{
	struct vcpu *v = BOOT(LONG64, spoil);

	if (!__builtin_cpu_supports("avx"))
		skip("no AVX in this CPU");
	for (int i = 0; i < 5; i++)
		CHECK(ymm_kept(v));
}

/* ---- debug registers ------------------------------------------------------------------------- */

static volatile u64 watched;

static int watch(volatile u64 *p)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_BREAKPOINT,
		.size = sizeof(attr),
		.bp_type = HW_BREAKPOINT_W,
		.bp_addr = (u64)p,
		.bp_len = HW_BREAKPOINT_LEN_8,
		.exclude_kernel = 1,
	};
	int fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);

	if (fd < 0)
		skip("no hardware breakpoints: %s", errno_name(errno));
	return fd;
}

static u64 hits(int fd)
{
	u64 count;

	CHECK_EQ(read(fd, &count, 8), 8);
	return count;
}

TEST(hardware_breakpoints)
{
	struct vcpu *v = BOOT(LONG64, spoil);
	int fd = watch(&watched);
	u64 start;

	watched = 1;
	start = hits(fd);
	CHECK_EQ(start, 1);
	for (u64 i = 1; i <= 10; i++) {
		RUN_TO(v, MINIVMM_EXIT_IO);
		watched = i;
		CHECK_EQ(hits(fd), start + i);
	}
}

/* The host's breakpoint isn't the guest's: at the same address nothing happens in there. */
GUEST64(write_for_ever, 1: mov %rax, (%rsi); out %al, $0x10; jmp 1b)

TEST(host_breakpoints_stay_out_of_the_guest)
{
	struct vcpu *v = BOOT(LONG64, write_for_ever);
	struct minivmm_regs r = get_regs(v);
	int fd = watch((u64 *)(u64)DATA);

	r.rsi = DATA;
	set_regs(v, &r);
	for (int i = 0; i < 10; i++)
		RUN_TO(v, MINIVMM_EXIT_IO);
	CHECK_EQ(hits(fd), 0);
}

/* ---- segments and MSRs ----------------------------------------------------------------------- */

static __thread u64 thread_local_word = 0x1234;

TEST(fs_and_gs_base)
{
	struct vcpu *v = BOOT(LONG64, spoil);
	static u64 words[2] = { 0x5678 };
	u64 got, base;

	CHECK_OK(syscall(SYS_arch_prctl, ARCH_SET_GS, words));
	for (int i = 0; i < 5; i++) {
		RUN_TO(v, MINIVMM_EXIT_IO);
		CHECK_EQ(thread_local_word, 0x1234);
		asm volatile("mov %%gs:0, %0" : "=r"(got));
		CHECK_EQ(got, 0x5678);
		CHECK_OK(syscall(SYS_arch_prctl, ARCH_GET_GS, &base));
		CHECK_EQ(base, (u64)words);
	}
}

#define READ_SEGMENT(s)						\
	({							\
		u16 v_;						\
		asm volatile("mov %%" #s ", %0" : "=r"(v_));	\
		v_;						\
	})

TEST(segment_selectors)
{
	struct vcpu *v = BOOT(LONG64, spoil);
	u16 ss = READ_SEGMENT(ss);

	asm volatile("mov %0, %%ds; mov %0, %%es" : : "r"((u32)ss));
	for (int i = 0; i < 5; i++) {
		RUN_TO(v, MINIVMM_EXIT_IO);
		CHECK_EQ(READ_SEGMENT(ds), ss);
		CHECK_EQ(READ_SEGMENT(es), ss);
		CHECK_EQ(READ_SEGMENT(ss), ss);
	}
	asm volatile("mov %0, %%ds; mov %0, %%es" : : "r"(0));
	for (int i = 0; i < 5; i++) {
		RUN_TO(v, MINIVMM_EXIT_IO);
		CHECK_EQ(READ_SEGMENT(ds), 0);
		CHECK_EQ(READ_SEGMENT(es), 0);
	}
}

/* A selector of the local descriptor table in GS: its base is in no MSR that one could save. */
TEST(local_descriptor_table)
{
	struct vcpu *v = BOOT(LONG64, spoil);
	static u32 words[2] __attribute__((section(".data"))) = { 0xabcd };
	struct user_desc d = {
		.entry_number = 1, .base_addr = (u32)(u64)words, .limit = 0xfffff, .seg_32bit = 1,
		.limit_in_pages = 1, .useable = 1,
	};
	const u32 selector = 1 << 3 | 7;
	u32 got;

	if (opt.oracle && !(getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE))
		skip("KVM loses the base of GS where there's no FSGSBASE");
	if ((u64)words >> 32)
		skip("the program isn't in the first 4 GiB");
	if (syscall(SYS_modify_ldt, 1, &d, sizeof(d)))
		skip("the kernel has no modify_ldt");
	asm volatile("mov %0, %%gs" : : "r"(selector));
	for (int i = 0; i < 5; i++) {
		RUN_TO(v, MINIVMM_EXIT_IO);
		CHECK_EQ(READ_SEGMENT(gs), selector);
		asm volatile("mov %%gs:0, %0" : "=r"(got));
		CHECK_EQ(got, 0xabcd);
		asm volatile("mov %0, %%gs" : : "r"(0));
		asm volatile("mov %0, %%gs" : : "r"(selector));
		asm volatile("mov %%gs:0, %0" : "=r"(got));
		CHECK_EQ(got, 0xabcd);
	}
	asm volatile("mov %0, %%gs" : : "r"(0));
}

/* An exit from the guest leaves a task state of the least size, without the bitmap of ports. */
TEST(io_permissions)
{
	struct vcpu *v = BOOT(LONG64, spoil);

	CHECK_OK(ioperm(0x80, 1, 1));
	for (int i = 0; i < 5; i++) {
		RUN_TO(v, MINIVMM_EXIT_IO);
		outb(0, 0x80);
	}
}

static void *make_system_calls(void *arg)
{
	pid_t pid = getpid();

	while (!stop)
		if (syscall(SYS_getpid) != pid)
			FAIL("getpid says something else");
	return arg;
}

/* Between two RUNs, and in a thread beside: every system call goes through these MSRs. */
TEST(syscall_msrs)
{
	struct vcpu *v = boot_spoiler();
	pthread_t t;

	pin(0, 0);
	pthread_create(&t, NULL, make_system_calls, NULL);
	for (int i = 0; i < 300; i++) {
		RUN_TO(v, MINIVMM_EXIT_IO);
		CHECK_EQ(syscall(SYS_getppid), getppid());
		if (i % 10 == 0)
			sched_yield();
	}
	stop = true;
	pthread_join(t, NULL);
}

GUEST64(set_tsc_aux,
	mov $0xc0000103, %ecx; mov $0x5a5a, %eax; xor %edx, %edx; wrmsr;
	rdtscp; mov %rcx, %rbx;
	1: out %al, $0x10; jmp 1b)

static u32 host_tsc_aux(void)
{
	u32 aux;

	asm volatile("rdtscp" : "=c"(aux) : : "rax", "rdx");
	return aux;
}

static void *read_tsc_aux(void *arg)
{
	u32 want = host_tsc_aux();

	while (!stop)
		if (host_tsc_aux() != want)
			FAIL("a thread beside the vCPU read %#x from TSC_AUX, not %#x",
			     host_tsc_aux(), want);
	return arg;
}

TEST(tsc_aux)
{
	struct vcpu *v;
	pthread_t t;
	u32 want;

	if (!has_cpuid(0x80000001, 'd', 27))
		skip("no RDTSCP in this CPU");
	v = BOOT(LONG64, set_tsc_aux);
	pin(0, 0);
	want = host_tsc_aux();
	pthread_create(&t, NULL, read_tsc_aux, NULL);
	for (int i = 0; i < 200; i++) {
		RUN_TO(v, MINIVMM_EXIT_IO);
		CHECK_EQ(get_regs(v).rbx, 0x5a5a);
		CHECK_EQ(host_tsc_aux(), want);
		if (i % 10 == 0)
			sched_yield();
	}
	stop = true;
	pthread_join(t, NULL);
}

/* ---- the thread is interrupted, preempted, moved --------------------------------------------- */

/* Checks its own registers all the time; counts at DATA; ends when DATA + 8 isn't 0. */
GUEST64(check_all_the_time,
	sti;
	mov $0x123456789abcdef, %rbx;
	movq %rbx, %xmm9;
	mov %rbx, %r12;
	mov $0x7fff00001000, %rbp;
	mov %rbp, %dr2;
	mov $0xc0000082, %ecx; mov %ebp, %eax; mov %rbp, %rdx; shr $32, %rdx; wrmsr;
	mov $0xc0000102, %ecx; wrmsr;
	1: incq DATA;
	movq %xmm9, %rax; cmp %rbx, %rax; jne 9f;
	cmp %rbx, %r12; jne 9f;
	mov %dr2, %rax; cmp %rbp, %rax; jne 9f;
	mov $0xc0000082, %ecx; rdmsr; shl $32, %rdx; or %rdx, %rax; cmp %rbp, %rax; jne 9f;
	mov $0xc0000102, %ecx; rdmsr; shl $32, %rdx; or %rdx, %rax; cmp %rbp, %rax; jne 9f;
	cmpl $0, DATA + 8; je 1b;
	out %al, $0x10;
	hlt;
	9: out %al, $0x11;
	hlt)

static void finish(struct vcpu *v, struct runner *r)
{
	*(u32 *)(v->vm->mem + DATA + 8) = 1;
	CHECK_OK(join_run(r));
	CHECK_EXIT(v, MINIVMM_EXIT_IO);
	CHECK_EQ(v->run->io.port, 0x10);
}

static void wait_for_progress(struct vcpu *v)
{
	volatile u64 *count = (u64 *)(v->vm->mem + DATA);
	u64 before = *count;

	CHECK(EVENTUALLY(*count >= before + 10));
}

TEST(guest_with_competing_threads)
{
	struct vcpu *v = BOOT(LONG64, check_all_the_time);
	struct runner *r;
	pthread_t t[2];

	pin(0, 0);
	r = start_run(v);
	for (int i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, compute, NULL);
	for (int i = 0; i < 10; i++)
		wait_for_progress(v);
	stop = true;
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	finish(v, r);
}

static void spoil_registers(int sig)
{
	u64 ones = ~0ull;

	(void)sig;
	asm volatile("movq %0, %%xmm9; movq %0, %%xmm0" : : "r"(ones) : "xmm9", "xmm0");
	signals_caught++;
}

TEST(guest_with_signals_in_between)
{
	struct vcpu *v = BOOT(LONG64, check_all_the_time);
	struct sigaction action = { .sa_handler = spoil_registers };

	sigaction(SIGUSR1, &action, NULL);
	signal_every(1000, SIGUSR1);
	for (int i = 0; i < 30; i++) {
		CHECK_ERRNO(vcpu_run(v), EINTR);
		CHECK_EQ(v->run->exit_reason, MINIVMM_EXIT_INTR);
	}
	signal_every(0, SIGUSR1);
	*(u32 *)(v->vm->mem + DATA + 8) = 1;
	while (vcpu_run(v) < 0)
		CHECK_EQ(errno, EINTR);
	CHECK_EXIT(v, MINIVMM_EXIT_IO);
	CHECK_EQ(v->run->io.port, 0x10);
}

TEST(guest_moves_between_cpus)
{
	struct vcpu *v = BOOT(LONG64, check_all_the_time);
	struct runner *r;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		skip("one CPU only");
	r = start_run(v);
	for (int i = 0; i < 30; i++) {
		pin(r->tid, i & 1);
		wait_for_progress(v);
	}
	finish(v, r);
}

/* Two vCPUs whose threads change places. */
TEST(two_guests_change_cpus)
{
	struct vcpu *a = BOOT(LONG64, check_all_the_time), *b = BOOT(LONG64, check_all_the_time);
	struct runner *ra, *rb;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		skip("one CPU only");
	ra = start_run(a);
	rb = start_run(b);
	for (int i = 0; i < 20; i++) {
		pin(ra->tid, i & 1);
		pin(rb->tid, !(i & 1));
		wait_for_progress(a);
		wait_for_progress(b);
	}
	finish(a, ra);
	finish(b, rb);
}
