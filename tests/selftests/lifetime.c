// SPDX-License-Identifier: GPL-2.0
/* Who keeps what alive: descriptors, processes, memory, and the module itself. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "thread.h"
#include "vm.h"

GUEST64(halt, 1: hlt; jmp 1b)
GUEST64(spin, movl $1, DATA; SPIN)

/* ---- another process's memory ---------------------------------------------------------------- */

static int in_child(void (*body)(void *), void *arg)
{
	int status;
	pid_t pid = CHECK_OK(fork());

	if (!pid) {
		body(arg);
		_exit(0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	return status;
}

static void every_ioctl_is_eio(void *arg)
{
	struct vcpu *v = arg;
	struct minivmm_regs regs;
	u8 any[4096] = { 0 };

	CHECK_ERRNO(ioctl(v->vm->fd, MINIVMM_CREATE_VCPU, 1l), EIO);
	CHECK_ERRNO(ioctl(v->vm->fd, MINIVMM_CHECK_EXTENSION, 3l), EIO);
	CHECK_ERRNO(set_slot(v->vm, 1, 0, 0x10000000, PAGE, host_memory(PAGE)), EIO);
	CHECK_ERRNO(ioctl(v->vm->fd, MINIVMM_CREATE_IRQCHIP, 0), EIO);
	CHECK_ERRNO(ioctl(v->vm->fd, MINIVMM_IRQ_LINE, any), EIO);
	CHECK_ERRNO(ioctl(v->vm->fd, _IO(MINIVMMIO, 0xff), 0), EIO);
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_GET_REGS, &regs), EIO);
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_REGS, any), EIO);
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_RUN, 0), EIO);
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_RUN, 1l), EIO);
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_NMI, 0), EIO);
}

TEST(ioctls_of_a_forked_child_are_eio)
{
	struct vcpu *v = BOOT(LONG64, halt);

	CHECK_EQ(in_child(every_ioctl_is_eio, v), 0);
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

/* The node isn't bound to anyone. */
static void make_a_vm(void *arg)
{
	struct vcpu *v;

	(void)arg;
	v = BOOT(LONG64, halt);
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

TEST(forked_child_makes_its_own)
{
	struct vcpu *v = BOOT(LONG64, halt);

	CHECK_EQ(in_child(make_a_vm, NULL), 0);
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

/* ---- descriptors ----------------------------------------------------------------------------- */

TEST(vcpu_keeps_its_vm)
{
	struct vcpu *v = BOOT(LONG64, halt);

	close(v->vm->fd);
	for (int i = 0; i < 3; i++)
		RUN_TO(v, MINIVMM_EXIT_HLT);
}

TEST(vm_outlives_its_vcpus)
{
	struct vm *vm = vm_with_memory(MEM_SIZE);
	struct vcpu *v = BOOT_IN(vm, LONG64, halt);

	RUN_TO(v, MINIVMM_EXIT_HLT);
	munmap(v->run, v->run_size);
	close(v->fd);
	/* The number stays taken; another vCPU works. */
	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_CREATE_VCPU, 0), EEXIST);
	v = vcpu_create(vm, 1);
	vcpu_enter_mode(v, LONG64, CODE);
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

/* Node, VM, vCPU and mapping, closed in each of the 24 orders. */
static void close_in_order(int order)
{
	int node = node_open(), left[4] = { 0, 1, 2, 3 };
	struct vcpu *v = BOOT(LONG64, halt);

	RUN_TO(v, MINIVMM_EXIT_HLT);
	for (int n = 4; n; n--) {
		int pick = order % n, what = left[pick];

		order /= n;
		memmove(left + pick, left + pick + 1, (n - 1 - pick) * sizeof(*left));
		if (what == 0)
			close(node);
		else if (what == 1)
			close(v->vm->fd);
		else if (what == 2)
			close(v->fd);
		else
			munmap(v->run, v->run_size);
	}
	munmap(v->vm->mem, v->vm->size);
}

TEST(descriptors_close_in_any_order)
{
	for (int order = 0; order < 24; order++) {
		context("order %d", order);
		close_in_order(order);
	}
}

static void send_fd(int socket, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 }, byte = 0;
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			    .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	CHECK_EQ(sendmsg(socket, &m, 0), 1);
}

static int receive_fd(int socket)
{
	char control[CMSG_SPACE(sizeof(int))], byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			    .msg_controllen = sizeof(control) };
	int fd;

	CHECK_EQ(recvmsg(socket, &m, 0), 1);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(int));
	return fd;
}

/* Through a socket and back it's the same vCPU; while it is on the way, the socket holds it. */
TEST(descriptors_travel_over_a_socket)
{
	struct vcpu *v = BOOT(LONG64, halt);
	int pair[2];

	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	send_fd(pair[0], v->fd);
	close(v->fd);
	close(v->vm->fd);
	v->fd = receive_fd(pair[1]);
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

static void receive_and_try(void *arg)
{
	int *pair = arg, vcpu = receive_fd(pair[1]);
	struct minivmm_regs regs;

	CHECK_ERRNO(ioctl(vcpu, MINIVMM_GET_REGS, &regs), EIO);
}

TEST(descriptor_sent_to_another_process_is_eio)
{
	struct vcpu *v = BOOT(LONG64, halt);
	int pair[2];

	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	send_fd(pair[0], v->fd);
	CHECK_EQ(in_child(receive_and_try, pair), 0);
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

/* A socket that nobody reads, with a vCPU inside, is closed. */
TEST(descriptor_lost_on_the_way)
{
	struct vcpu *v = BOOT(LONG64, halt);
	int pair[2];

	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	send_fd(pair[0], v->fd);
	send_fd(pair[0], v->vm->fd);
	munmap(v->run, v->run_size);
	close(v->fd);
	close(v->vm->fd);
	close(pair[0]);
	close(pair[1]);
}

/* ---- processes that end ---------------------------------------------------------------------- */

/* How many hold the module: VMs, vCPUs, and open nodes. */
static int module_users(void)
{
	const char *path = opt.oracle ? "/sys/module/kvm_intel/refcnt"
				      : "/sys/module/minivmm/refcnt";
	FILE *f = fopen(path, "r");
	int n = -1;

	if (!f || fscanf(f, "%d", &n) != 1)
		skip("%s: can't be read", path);
	fclose(f);
	return n;
}

static void wait_for_users(int want)
{
	if (!EVENTUALLY(module_users() == want))
		CHECK_EQ(module_users(), want);
}

static volatile u32 *shared_word(void)
{
	volatile u32 *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
			       0);

	CHECK(p != MAP_FAILED);
	return p;
}

/*
 * A client, killed with SIGKILL once `ready`; nothing may be left of it. Its memory is shared with
 * this process, which so sees how far its guest is.
 */
static void kill_client(void (*client)(struct vm *vm, volatile u32 *ready), unsigned int after_ms)
{
	volatile u32 *ready = shared_word();
	int before = module_users(), status;
	pid_t pid = CHECK_OK(fork());

	if (!pid) {
		struct vm *vm = vm_create();

		vm->mem = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			       -1, 0);
		vm->size = MEM_SIZE;
		add_slot(vm, 0, 0, 0, MEM_SIZE, vm->mem);
		client(vm, ready);
		_exit(77);
	}
	wait_for_guest(ready, 1);
	CHECK(module_users() > before);
	sleep_ms(after_ms);
	kill(pid, SIGKILL);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	wait_for_users(before);
}

static void spinning_client(struct vm *vm, volatile u32 *ready)
{
	struct vcpu *v = BOOT_IN(vm, LONG64, spin);

	start_run(v);
	wait_for_guest((u32 *)(vm->mem + DATA), 1);
	*ready = 1;
	pause();
}

TEST(client_killed_while_its_guest_spins)
{
	kill_client(spinning_client, 2);
}

static void halted_client(struct vm *vm, volatile u32 *ready)
{
	struct vcpu *v;

	CHECK_OK(ioctl(vm->fd, MINIVMM_CREATE_IRQCHIP, 0));
	v = BOOT_IN(vm, LONG64, halt);
	*ready = 1;
	vcpu_run(v);
}

TEST(client_killed_while_its_guest_sleeps)
{
	kill_client(halted_client, 5);
}

static void busy_client(struct vm *vm, volatile u32 *ready)
{
	for (;;) {
		u8 *hva = host_memory(16 * PAGE);
		struct vcpu *v;

		vm = vm_with_memory(MEM_SIZE);
		add_slot(vm, 1, 0, 0x10000000, 16 * PAGE, hva);
		v = BOOT_IN(vm, LONG64, halt);
		RUN_TO(v, MINIVMM_EXIT_HLT);
		*ready = 1;
		close(v->fd);
		close(vm->fd);
		munmap(v->run, v->run_size);
	}
}

/* At moments that differ: in the middle of creation, of a slot's change, of the end. */
TEST(client_killed_at_any_moment)
{
	for (unsigned int ms = 0; ms < 12; ms += 3)
		kill_client(busy_client, ms);
}

static void client_of_many_threads(struct vm *vm, volatile u32 *ready)
{
	struct vcpu *v = BOOT_IN(vm, LONG64, spin);

	start_run(v);
	for (int i = 1; i < 4; i++) {
		v = vcpu_create(vm, i);
		vcpu_enter_mode(v, LONG64, CODE);
		start_run(v);
		/* And those that wait for it. */
		start_run(v);
	}
	wait_for_guest((u32 *)(vm->mem + DATA), 1);
	*ready = 1;
	pause();
}

TEST(client_of_many_threads_killed)
{
	kill_client(client_of_many_threads, 5);
}

/* The client is gone, its memory too; a child has the descriptors and can only close them. */
TEST(descriptors_outlive_the_process_that_made_them)
{
	int before = module_users(), pair[2], vcpu, vm, status;
	struct minivmm_regs regs;
	pid_t pid;

	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	pid = CHECK_OK(fork());
	if (!pid) {
		struct vcpu *v = BOOT(LONG64, halt);

		RUN_TO(v, MINIVMM_EXIT_HLT);
		send_fd(pair[0], v->fd);
		send_fd(pair[0], v->vm->fd);
		_exit(0);
	}
	vcpu = receive_fd(pair[1]);
	vm = receive_fd(pair[1]);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	CHECK_ERRNO(ioctl(vcpu, MINIVMM_GET_REGS, &regs), EIO);
	CHECK_ERRNO(ioctl(vcpu, MINIVMM_RUN, 0), EIO);
	CHECK_ERRNO(ioctl(vm, MINIVMM_CREATE_VCPU, 1l), EIO);
	CHECK(module_users() > before);
	close(vm);
	close(vcpu);
	wait_for_users(before);
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* Of the kernel, in KiB: everything but what is free or a cache that can be dropped. */
static long kernel_memory(void)
{
	static const struct { const char *name; int sign; } parts[] = {
		{ "MemTotal:", 1 }, { "MemFree:", -1 }, { "Buffers:", -1 }, { "Cached:", -1 },
		{ "SReclaimable:", -1 }, { "AnonPages:", -1 }, { "PageTables:", -1 },
	};
	char line[128], name[64];
	long sum = 0, kb;
	FILE *f;

	f = fopen("/proc/meminfo", "r");
	CHECK(f);
	while (fgets(line, sizeof(line), f))
		for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
			if (sscanf(line, "%63s %ld", name, &kb) == 2 &&
			    !strcmp(name, parts[i].name))
				sum += parts[i].sign * kb;
	fclose(f);
	return sum;
}

/* One VM, with all that it can have, that has run. */
static void live_and_die(void *mem, void *more)
{
	struct vm vm = { .mem = mem, .size = MEM_SIZE };
	struct vcpu *v;
	int node = node_open();

	vm.fd = CHECK_OK(ioctl(node, MINIVMM_CREATE_VM, (long)vm_type()));
	close(node);
	CHECK_OK(ioctl(vm.fd, MINIVMM_SET_TSS_ADDR, 0xfffbd000ul));
	CHECK_OK(ioctl(vm.fd, MINIVMM_CREATE_IRQCHIP, 0));
	CHECK_OK(ioctl(vm.fd, MINIVMM_CREATE_PIT2, &(struct minivmm_pit_config){ 0 }));
	add_slot(&vm, 0, 0, 0, MEM_SIZE, mem);
	add_slot(&vm, 1, MINIVMM_MEM_LOG_DIRTY_PAGES, 0x10000000, 16 * PAGE, more);
	v = vcpu_create(&vm, 0);
	LOAD(&vm, CODE, halt);
	vcpu_enter_mode(v, LONG64, CODE);
	v->run->immediate_exit = 1;
	CHECK_ERRNO(vcpu_run(v), EINTR);
	munmap(v->run, v->run_size);
	close(v->fd);
	close(vm.fd);
	free(v);
}

/*
 * Per-CPU lists of free pages and slab caches breathe by some hundreds of KiB, whatever is done; a
 * thousand VMs that lose a single kilobyte each are beyond that. KVM, each of whose lives waits for
 * grace periods, gets fewer.
 */
#define SLACK_KIB	1024

TEST(a_thousand_lives_lose_no_memory)
{
	int lives = opt.oracle ? 200 : 1000;
	void *mem = host_memory(MEM_SIZE), *more = host_memory(16 * PAGE);
	long before, after = 0;

	for (int i = 0; i < lives / 10; i++)
		live_and_die(mem, more);
	sleep_ms(1500);
	before = kernel_memory();
	for (int i = 0; i < lives; i++)
		live_and_die(mem, more);
	/* What is freed later has time for it. */
	for (int i = 0; i < 20; i++) {
		sleep_ms(200);
		after = kernel_memory();
		if (after - before <= SLACK_KIB)
			break;
	}
	say("%d lives: %ld KiB before, %ld KiB after", lives, before, after);
	CHECK(after - before <= SLACK_KIB);
}

TEST(many_vms_at_once)
{
	int users = module_users(), fds[100];
	int node = node_open();

	for (int i = 0; i < 100; i++) {
		fds[i] = CHECK_OK(ioctl(node, MINIVMM_CREATE_VM, (long)vm_type()));
		CHECK_OK(ioctl(fds[i], MINIVMM_CREATE_VCPU, 0));
	}
	for (int i = 0; i < 100; i++)
		close(fds[i]);
	CHECK(module_users() >= users);
}

/* ---- the module ------------------------------------------------------------------------------ */

/* As it was loaded: "name=value …". */
static void module_parameters(char *text, size_t size)
{
	const char *directory = "/sys/module/minivmm/parameters";
	DIR *d = opendir(directory);
	struct dirent *e;
	size_t n = 0;

	*text = 0;
	while (d && (e = readdir(d))) {
		char path[320], value[64] = "";
		FILE *f;

		if (*e->d_name == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", directory, e->d_name);
		f = fopen(path, "r");
		if (f && fscanf(f, "%63s", value) == 1)
			n += snprintf(text + n, size - n, "%s=%s ", e->d_name, value);
		if (f)
			fclose(f);
	}
	if (d)
		closedir(d);
}

static int unload(void)
{
	return syscall(SYS_delete_module, "minivmm", O_NONBLOCK);
}

static void load(const char *parameters)
{
	int fd = CHECK_OK(open(opt.module, O_RDONLY | O_CLOEXEC));

	CHECK_OK(syscall(SYS_finit_module, fd, parameters, 0));
	close(fd);
}

static void need_module(void)
{
	if (opt.oracle)
		skip("KVM's module isn't ours to unload");
	if (!opt.module)
		opt.module = getenv("MINIVMM_MODULE");
	if (!opt.module)
		skip("--module or MINIVMM_MODULE doesn't say where minivmm.ko is");
}

/* Refused while any of them is open, and possible right after the last close. */
static void check_unloading(int keep)
{
	char parameters[1024];
	struct vcpu *v;
	int node;

	need_module();
	module_parameters(parameters, sizeof(parameters));
	v = BOOT(LONG64, halt);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	node = keep == 3 ? node_open() : -1;
	CHECK_ERRNO(unload(), EAGAIN);
	if (keep != 0)
		close(v->vm->fd);
	if (keep != 1)
		close(v->fd);
	if (keep != 2)
		munmap(v->run, v->run_size);
	CHECK_ERRNO(unload(), EAGAIN);
	if (keep == 0)
		close(v->vm->fd);
	else if (keep == 1)
		close(v->fd);
	else if (keep == 2)
		munmap(v->run, v->run_size);
	else
		close(node);
	CHECK_OK(unload());
	load(parameters);
	RUN_TO(BOOT(LONG64, halt), MINIVMM_EXIT_HLT);
}

TEST(vm_keeps_the_module) { check_unloading(0); }
TEST(vcpu_keeps_the_module) { check_unloading(1); }
TEST(mapping_keeps_the_module) { check_unloading(2); }
TEST(open_node_keeps_the_module) { check_unloading(3); }

TEST(module_comes_and_goes)
{
	char parameters[1024];

	need_module();
	module_parameters(parameters, sizeof(parameters));
	for (int i = 0; i < 5; i++) {
		CHECK_OK(unload());
		CHECK_ERRNO(open(opt.dev, O_RDWR), ENOENT);
		load(parameters);
		CHECK_EQ(in_child(make_a_vm, NULL), 0);
	}
}
