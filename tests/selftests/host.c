// SPDX-License-Identifier: GPL-2.0
/*
 * What the host does while guests run: takes CPUs offline, sleeps, loads another hypervisor. The guest
 * keeps registers in step and stops if they aren't, so that state which a CPU lost is noticed.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "thread.h"
#include "vm.h"

#define ROUNDS		5

/* Counts in rbx, r15 and xmm0, which must agree, and in memory for us; exits now and then by itself. */
GUEST64(count,
	sti;
	xor %ebx, %ebx;
	xor %r15d, %r15d;
	pxor %xmm0, %xmm0;
	mov $1, %eax;
	movd %eax, %xmm1;
1:	inc %rbx;
	inc %r15;
	paddq %xmm1, %xmm0;
	movq %xmm0, %rax;
	cmp %rbx, %r15;
	jne 2f;
	cmp %rbx, %rax;
	jne 2f;
	mov %ebx, (DATA);
	test $0xff, %bl;
	jnz 1b;
	mov $0x40000000, %eax;
	push %rbx;
	cpuid;
	pop %rbx;
	jmp 1b;
2:	out %al, $0xee;
	hlt)

static void write_file(const char *path, const char *text)
{
	int fd = CHECK_OK(open(path, O_WRONLY));

	context("writing %s to %s", text, path);
	CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

/* Return: whether there is something in it. */
static bool read_file(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, text, size - 1);
	close(fd);
	text[n > 0 ? n : 0] = 0;
	return n > 0;
}

static bool can_offline_cpu1(void)
{
	return access("/sys/devices/system/cpu/cpu1/online", W_OK) == 0;
}

static volatile u32 *counter(struct vcpu *v)
{
	return (volatile u32 *)(v->vm->mem + DATA);
}

/* It is still running, and gets on. */
static void check_counting(struct vcpu *v, struct runner *r)
{
	u32 before = *counter(v);
	bool counts = EVENTUALLY(r->done || *counter(v) != before);

	if (r->done)
		FAIL("RUN returned %d (%s), exit %s", r->ret, errno_name(r->err),
		     exit_name(v->run->exit_reason));
	CHECK(counts);
}

static struct vcpu *start_counting(struct runner **r)
{
	struct vcpu *v = BOOT(LONG64, count);

	*r = start_run(v);
	check_counting(v, *r);
	return v;
}

static void set_cpu1(bool online)
{
	write_file("/sys/devices/system/cpu/cpu1/online", online ? "1" : "0");
}

TEST(cpu_goes_offline_under_running_guests)
{
	struct runner *r[3];
	struct vcpu *v[3];

	if (!can_offline_cpu1())
		skip("this machine has no second CPU that can go offline");
	for (int i = 0; i < 3; i++)
		v[i] = start_counting(&r[i]);
	for (int round = 0; round < ROUNDS; round++) {
		set_cpu1(false);
		for (int i = 0; i < 3; i++)
			check_counting(v[i], r[i]);
		set_cpu1(true);
		for (int i = 0; i < 3; i++)
			check_counting(v[i], r[i]);
	}
}

/* A vCPU whose state the CPU that goes away still holds, while nobody runs it. */
TEST(cpu_goes_offline_with_a_stopped_vcpu)
{
	struct vcpu *v = BOOT(LONG64, count);
	struct minivmm_regs regs;
	struct runner *r;
	cpu_set_t cpu1;

	if (!can_offline_cpu1())
		skip("this machine has no second CPU that can go offline");
	CPU_ZERO(&cpu1);
	CPU_SET(1, &cpu1);
	CHECK_OK(sched_setaffinity(0, sizeof(cpu1), &cpu1));
	v->run->immediate_exit = 1;
	CHECK_ERRNO(vcpu_run(v), EINTR);
	regs = get_regs(v);
	regs.rcx = 0x1234;
	set_regs(v, &regs);
	set_cpu1(false);
	CHECK_EQ(get_regs(v).rip, CODE);
	CHECK_EQ(get_regs(v).rcx, 0x1234);
	v->run->immediate_exit = 0;
	r = start_run(v);
	check_counting(v, r);
	set_cpu1(true);
	check_counting(v, r);
}

#define PM_TEST_DELAY	"/sys/module/suspend/parameters/pm_test_delay"

/*
 * As far as "core" goes: everything but the firmware's part, VMX off and on included. Freezing the tasks
 * interrupts RUN, as a signal would.
 */
TEST(suspend_under_running_guests)
{
	struct runner *r[2];
	struct vcpu *v[2];
	char ways[64];

	if (access("/sys/power/pm_test", W_OK))
		skip("this kernel can't test suspend (CONFIG_PM_DEBUG)");
	CHECK(read_file("/sys/power/mem_sleep", ways, sizeof(ways)));
	if (!strstr(ways, "[deep]"))
		skip("to this kernel suspend is to be idle: no CPU is switched off");
	for (int i = 0; i < 2; i++)
		v[i] = start_counting(&r[i]);
	if (!access(PM_TEST_DELAY, W_OK))	/* seconds in that state */
		write_file(PM_TEST_DELAY, "0");
	write_file("/sys/power/pm_test", "core");
	write_file("/sys/power/state", "mem");
	write_file("/sys/power/pm_test", "none");
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(join_run(r[i]), -1);
		CHECK_EQ(errno, EINTR);
		check_counting(v[i], start_run(v[i]));
	}
}

/* ---- VMX off again --------------------------------------------------------------------------- */

#define VMXE	"/sys/module/minilab/parameters/vmxe"	/* of the lab: a digit for each CPU */

static bool any_cpu_in_vmx_operation(void)
{
	char digits[64];

	if (access(VMXE, F_OK))
		skip("only the lab tells which CPUs are in VMX operation");
	CHECK(read_file(VMXE, digits, sizeof(digits)));
	return strchr(digits, '1');
}

TEST(vmx_is_on_while_a_vm_exists)
{
	struct vm *vm = vm_create();

	CHECK(any_cpu_in_vmx_operation());
	close(vm->fd);
	CHECK(EVENTUALLY(!any_cpu_in_vmx_operation()));
}

TEST(cpu_that_comes_online_joins)
{
	struct runner *r;
	struct vcpu *v;
	cpu_set_t cpu1;

	if (!can_offline_cpu1())
		skip("this machine has no second CPU that can go offline");
	set_cpu1(false);
	v = start_counting(&r);
	set_cpu1(true);
	CPU_ZERO(&cpu1);
	CPU_SET(1, &cpu1);
	CHECK_OK(sched_setaffinity(r->tid, sizeof(cpu1), &cpu1));
	check_counting(v, r);
}

/* ---- beside another hypervisor --------------------------------------------------------------- */

static void load_module(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		skip("there is no %s: for a lab that has kvm_intel", path);
	if (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST)
		FAIL("loading %s: %s", path, errno_name(errno));
	close(fd);
}

static void load_kvm(void)
{
	if (opt.oracle)
		skip("for minivmm beside KVM");
	load_module("/modules/kvm.ko");
	load_module("/modules/kvm_intel.ko");
}

static int kvm_create_vm(void)
{
	int node = CHECK_OK(open("/dev/kvm", O_RDWR | O_CLOEXEC));
	int vm = ioctl(node, KVM_CREATE_VM, 0);

	close(node);
	return vm;
}

/* VMX stays on for a while after our last VM. */
static int kvm_comes_to_create_vm(void)
{
	int vm;

	while ((vm = kvm_create_vm()) < 0 && errno == EBUSY && !nearly_over())
		sleep_ms(200);
	return CHECK_OK(vm);
}

TEST(other_hypervisor_in_use)
{
	int node, vm;

	load_kvm();
	vm = kvm_comes_to_create_vm();
	node = node_open();
	CHECK_ERRNO(ioctl(node, MINIVMM_CREATE_VM, 0), EBUSY);
	close(vm);
	close(CHECK_OK(ioctl(node, MINIVMM_CREATE_VM, 0)));
}

TEST(other_hypervisor_loaded_but_idle)
{
	struct runner *r;
	struct vcpu *v;

	load_kvm();
	v = start_counting(&r);
	CHECK_ERRNO(kvm_create_vm(), EBUSY);
	check_counting(v, r);
}

TEST(other_hypervisor_after_ours)
{
	load_kvm();
	close(vm_create()->fd);
	close(kvm_comes_to_create_vm());
}

/* The kernel's one slot for emergencies changes hands; the kernel would warn if it had two takers. */
TEST(other_hypervisor_leaves_under_running_guests)
{
	struct runner *r;
	struct vcpu *v;

	load_kvm();
	v = start_counting(&r);
	CHECK_OK(syscall(SYS_delete_module, "kvm_intel", O_NONBLOCK));
	check_counting(v, r);
	load_kvm();
	check_counting(v, r);
}
