// SPDX-License-Identifier: GPL-2.0
/* IRQFD, IOEVENTFD, and REGISTER_COALESCED_MMIO, which spares exits in another way. */
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chips.h"

static int new_eventfd(void)
{
	return CHECK_OK(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
}

static void signal_fd(int fd)
{
	CHECK_EQ(CHECK_OK(eventfd_write(fd, 1)), 0);
}

/* How often it was signalled since the last look. */
static u64 signals(int fd)
{
	eventfd_t n = 0;

	return eventfd_read(fd, &n) ? 0 : n;
}

static bool signalled(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

/* ---- irqfd ----------------------------------------------------------------------------------- */

static int irqfd(struct vm *vm, int fd, u32 gsi, u32 flags, int resample)
{
	struct minivmm_irqfd args = { .fd = fd, .gsi = gsi, .flags = flags, .resamplefd = resample };

	return ioctl(vm->fd, MINIVMM_IRQFD, &args);
}

TEST(irqfd_sends_a_message)
{
	struct minivmm_irq_routing_entry route = to_msi(30, MSI_ADDRESS, 0x41);
	struct vm *vm = vm_with_chips();
	struct runner *r = start_run(boot_counter(vm, false));
	int fd = new_eventfd();

	wait_for_guest(word(vm, READY), 1);
	CHECK_OK(set_routing(vm, &route, 1));
	CHECK_OK(irqfd(vm, fd, 30, 0, 0));
	for (u32 i = 1; i <= 3; i++) {
		signal_fd(fd);
		wait_for_count(vm, 0x41, i);
	}
	/* It was consumed. */
	CHECK_EQ(signals(fd), 0);
	CHECK_OK(irqfd(vm, fd, 30, MINIVMM_IRQFD_FLAG_DEASSIGN, 0));
	signal_fd(fd);
	CHECK_EQ(signals(fd), 1);
	end_counter(vm, r, 0x50);
	CHECK_EQ(count_of(vm, 0x41), 3);
}

TEST(irqfd_pulses_a_line)
{
	struct vm *vm = vm_with_chips();
	struct runner *r = start_run(boot_counter(vm, false));
	int fd = new_eventfd();

	wait_for_guest(word(vm, READY), 1);
	ioapic_entry(vm, 9, 0x49);
	CHECK_OK(irqfd(vm, fd, 9, 0, 0));
	for (u32 i = 1; i <= 3; i++) {
		signal_fd(fd);
		wait_for_count(vm, 0x49, i);
	}
	end_counter(vm, r, 0x50);
}

TEST(irqfd_that_was_signalled_before)
{
	struct minivmm_irq_routing_entry route = to_msi(30, MSI_ADDRESS, 0x41);
	struct vm *vm = vm_with_chips();
	struct runner *r = start_run(boot_counter(vm, false));
	int fd = new_eventfd();

	wait_for_guest(word(vm, READY), 1);
	CHECK_OK(set_routing(vm, &route, 1));
	signal_fd(fd);
	CHECK_OK(irqfd(vm, fd, 30, 0, 0));
	wait_for_count(vm, 0x41, 1);
	end_counter(vm, r, 0x50);
}

TEST(irqfd_follows_new_routes)
{
	struct minivmm_irq_routing_entry route = to_msi(30, MSI_ADDRESS, 0x41);
	struct vm *vm = vm_with_chips();
	struct runner *r = start_run(boot_counter(vm, false));
	int fd = new_eventfd();

	wait_for_guest(word(vm, READY), 1);
	CHECK_OK(irqfd(vm, fd, 30, 0, 0));	/* leads nowhere yet */
	signal_fd(fd);
	/* KVM looks where to only later, but before this is done */
	CHECK_OK(irqfd(vm, fd, 30, MINIVMM_IRQFD_FLAG_DEASSIGN, 0));
	CHECK_OK(irqfd(vm, fd, 30, 0, 0));
	for (u32 vector = 0x41; vector < 0x44; vector++) {
		route.u.msi.data = vector;
		CHECK_OK(set_routing(vm, &route, 1));
		signal_fd(fd);
		wait_for_count(vm, vector, 1);
	}
	end_counter(vm, r, 0x50);
}

TEST(irqfd_refuses)
{
	struct vm *vm = vm_with_chips(), *none = vm_create();
	int fd = new_eventfd(), pipes[2];

	CHECK_OK(pipe(pipes));
	CHECK_ERRNO(irqfd(vm, fd, 5, 4, 0), EINVAL);
	CHECK_ERRNO(irqfd(vm, -1, 5, 0, 0), EBADF);
	CHECK_ERRNO(irqfd(vm, pipes[0], 5, 0, 0), EINVAL);
	CHECK_ERRNO(irqfd(vm, fd, 5, MINIVMM_IRQFD_FLAG_RESAMPLE, -1), EBADF);
	CHECK_ERRNO(irqfd(vm, fd, 5, MINIVMM_IRQFD_FLAG_RESAMPLE, pipes[0]), EINVAL);
	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_IRQFD, BAD_POINTER), EFAULT);
	CHECK_ERRNO(irqfd(none, fd, 5, 0, 0), EINVAL);
	CHECK_ERRNO(irqfd(vm_split(24), fd, 5, MINIVMM_IRQFD_FLAG_RESAMPLE, new_eventfd()), EINVAL);
	/* One use of an eventfd in a VM; in another it may be used too. */
	CHECK_OK(irqfd(vm, fd, 5, 0, 0));
	CHECK_ERRNO(irqfd(vm, fd, 6, 0, 0), EBUSY);
	/* There is none to remove: no error. */
	CHECK_OK(irqfd(vm, fd, 7, MINIVMM_IRQFD_FLAG_DEASSIGN, 0));
	CHECK_ERRNO(irqfd(vm, -1, 7, MINIVMM_IRQFD_FLAG_DEASSIGN, 0), EBADF);
	CHECK_ERRNO(irqfd(vm, fd, 6, 0, 0), EBUSY);
	CHECK_OK(irqfd(vm, fd, 5, MINIVMM_IRQFD_FLAG_DEASSIGN, 0));
	CHECK_OK(irqfd(vm, fd, 6, 0, 0));
}

/* The line stays up until the guest has ended its interrupt; then the client is asked. */
TEST(irqfd_with_resampling)
{
	struct vm *vm = vm_with_chips();
	struct runner *r = start_run(boot_counter(vm, false));
	int fd = new_eventfd(), resample = new_eventfd();

	wait_for_guest(word(vm, READY), 1);
	ioapic_entry(vm, 10, 0x4a | IOAPIC_LEVEL);
	CHECK_OK(irqfd(vm, fd, 10, MINIVMM_IRQFD_FLAG_RESAMPLE, resample));
	for (u32 i = 1; i <= 3; i++) {
		signal_fd(fd);
		CHECK(EVENTUALLY(signalled(resample)));
		CHECK_EQ(signals(resample), 1);
		CHECK_EQ(count_of(vm, 0x4a), i);
	}
	sleep_ms(5);
	CHECK_EQ(signals(resample), 0);
	CHECK_OK(irqfd(vm, fd, 10, MINIVMM_IRQFD_FLAG_DEASSIGN, 0));
	end_counter(vm, r, 0x50);
	CHECK_EQ(count_of(vm, 0x4a), 3);
}

/* Masked the line stays up; without its irqfd it falls. */
TEST(resampled_line_falls_with_its_irqfd)
{
	struct minivmm_irqchip chip = { .chip_id = MINIVMM_IRQCHIP_IOAPIC };
	struct vm *vm = vm_with_chips();
	int fd = new_eventfd();

	CHECK_OK(irqfd(vm, fd, 10, MINIVMM_IRQFD_FLAG_RESAMPLE, new_eventfd()));
	signal_fd(fd);
	CHECK(EVENTUALLY((CHECK_OK(ioctl(vm->fd, MINIVMM_GET_IRQCHIP, &chip)),
			  chip.chip.ioapic.irr == 1 << 10)));
	CHECK_OK(irqfd(vm, fd, 10, MINIVMM_IRQFD_FLAG_DEASSIGN, 0));
	CHECK_OK(ioctl(vm->fd, MINIVMM_GET_IRQCHIP, &chip));
	CHECK_EQ(chip.chip.ioapic.irr, 0);
}

TEST(irqfd_leaves_when_it_is_closed)
{
	struct vm *vm = vm_with_chips();

	for (int i = 0; i < 200; i++) {
		int fd = new_eventfd(), resample = new_eventfd();

		CHECK_OK(irqfd(vm, fd, 5 + i % 8, i & 1 ? MINIVMM_IRQFD_FLAG_RESAMPLE : 0,
			       resample));
		signal_fd(fd);
		close(fd);
		close(resample);
	}
	/* And those that are open go with the VM. */
	for (int i = 0; i < 10; i++)
		CHECK_OK(irqfd(vm, new_eventfd(), i, 0, 0));
	close(vm->fd);
}

/* ---- under load ------------------------------------------------------------------------------ */

#define THREADS		4
#define ROUNDS		(opt.rounds ? opt.rounds / THREADS : on_bochs() ? 300 : 250000)

struct sender {
	pthread_t thread;
	struct vm *vm;
	int vector, fd;
};

/* The next only when the last was counted: none may be missing, none may come twice. */
static void *send(void *arg)
{
	struct sender *s = arg;

	for (u32 i = 1; i <= (u32)ROUNDS; i++) {
		signal_fd(s->fd);
		for (u64 spins = 0; count_of(s->vm, s->vector) != i; spins++) {
			if (spins > 100000000)
				FAIL("signal %u of vector %#x: the guest has had %u", i, s->vector,
				     count_of(s->vm, s->vector));
			if (spins % 16 == 15)
				sched_yield();
		}
	}
	return NULL;
}

TEST(no_irqfd_signal_is_lost_or_doubled)
{
	struct vm *vm = vm_with_chips();
	struct minivmm_irq_routing_entry routes[THREADS];
	struct runner *r = start_run(boot_counter(vm, false));
	struct sender s[THREADS];

	wait_for_guest(word(vm, READY), 1);
	for (int i = 0; i < THREADS; i++)
		routes[i] = to_msi(30 + i, MSI_ADDRESS, 0x60 + i * 0x10);
	CHECK_OK(set_routing(vm, routes, THREADS));
	for (int i = 0; i < THREADS; i++) {
		s[i] = (struct sender){ .vm = vm, .vector = 0x60 + i * 0x10, .fd = new_eventfd() };
		CHECK_OK(irqfd(vm, s[i].fd, 30 + i, 0, 0));
		CHECK(!pthread_create(&s[i].thread, NULL, send, &s[i]));
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(s[i].thread, NULL);
	end_counter(vm, r, 0x50);
	for (int i = 0; i < THREADS; i++)
		CHECK_EQ(count_of(vm, s[i].vector), ROUNDS);
}

static volatile int shared_fd;
static volatile bool stop;

static void *signal_whatever_is_open(void *arg)
{
	(void)arg;
	while (!stop)
		eventfd_write(shared_fd, 1);
	return NULL;
}

TEST(irqfd_closed_while_signalled)
{
	struct minivmm_irq_routing_entry route = to_msi(30, MSI_ADDRESS, 0x41);
	struct vm *vm = vm_with_chips();
	struct runner *r = start_run(boot_counter(vm, false));
	pthread_t thread;

	wait_for_guest(word(vm, READY), 1);
	CHECK_OK(set_routing(vm, &route, 1));
	shared_fd = new_eventfd();
	CHECK(!pthread_create(&thread, NULL, signal_whatever_is_open, NULL));
	for (int i = 0; i < 200; i++) {
		int fd = new_eventfd(), old = shared_fd;

		CHECK_OK(irqfd(vm, fd, 30, 0, 0));
		shared_fd = fd;
		if (i & 1)
			CHECK_OK(irqfd(vm, old, 30, MINIVMM_IRQFD_FLAG_DEASSIGN, 0));
		close(old);
	}
	/* the last of them is still open */
	CHECK(EVENTUALLY(count_of(vm, 0x41) > 0));
	stop = true;
	pthread_join(thread, NULL);
	end_counter(vm, r, 0x50);
}

static void *signal_two(void *arg)
{
	int *fds = arg;

	while (!stop) {
		eventfd_write(fds[0], 1);
		eventfd_write(fds[1], 1);
	}
	return NULL;
}

/* A client that dies with a vCPU that runs, or sleeps, while others kick it by its eventfds. */
static void die_while_kicked(int fds[2], bool spin)
{
	struct minivmm_irq_routing_entry route = to_msi(30, MSI_ADDRESS, 0x41);
	struct vm *vm = vm_with_chips();

	CHECK_OK(set_routing(vm, &route, 1));
	CHECK_OK(irqfd(vm, fds[0], 30, 0, 0));
	CHECK_OK(irqfd(vm, fds[1], 4, MINIVMM_IRQFD_FLAG_RESAMPLE, new_eventfd()));
	start_run(boot_counter(vm, spin));
	while (count_of(vm, 0x41) < 3)
		sleep_ms(1);
	kill(getpid(), SIGKILL);
}

TEST(vcpu_destroyed_while_kicked)
{
	int fds[2] = { new_eventfd(), new_eventfd() }, status;
	pthread_t thread;

	CHECK(!pthread_create(&thread, NULL, signal_two, fds));
	for (int i = 0; i < 20; i++) {
		pid_t child = fork();

		if (!child)
			die_while_kicked(fds, i & 1);
		CHECK_EQ(CHECK_OK(waitpid(child, &status, 0)), child);
		CHECK(WIFSIGNALED(status));
		CHECK_EQ(WTERMSIG(status), SIGKILL);
	}
	stop = true;
	pthread_join(thread, NULL);
}

/* ---- ioeventfd ------------------------------------------------------------------------------- */

static int ioeventfd(struct vm *vm, int fd, u64 addr, u32 len, u32 flags, u64 match)
{
	struct minivmm_ioeventfd args = {
		.fd = fd, .addr = addr, .len = len, .flags = flags, .datamatch = match,
	};

	return ioctl(vm->fd, MINIVMM_IOEVENTFD, &args);
}

#define PIO	MINIVMM_IOEVENTFD_FLAG_PIO
#define MATCH	MINIVMM_IOEVENTFD_FLAG_DATAMATCH
#define REMOVE	MINIVMM_IOEVENTFD_FLAG_DEASSIGN

GUEST64(kick,
	mov $0x1234, %eax;
	mov $0x1f0, %edx;
	out %al, %dx;
	out %ax, %dx;
	out %eax, %dx;
	mov $MMIO, %ebx;
	movb $0x56, (%rbx);
	movw $0x5678, (%rbx);
	movl $0x12345678, (%rbx);
	mov %rax, (%rbx);
	out %al, $0x10;
	1: hlt; jmp 1b)

TEST(ioeventfd_of_any_length)
{
	struct vcpu *v = BOOT(LONG64, kick);
	int pio = new_eventfd(), mmio = new_eventfd();

	CHECK_OK(ioeventfd(v->vm, pio, 0x1f0, 0, PIO, 0));
	CHECK_OK(ioeventfd(v->vm, mmio, MMIO, 0, 0, 0));
	RUN_TO_OUT(v, 0x10, 0x34, 1);
	CHECK_EQ(signals(pio), 3);
	CHECK_EQ(signals(mmio), 4);
}

TEST(ioeventfd_of_one_length)
{
	struct vcpu *v = BOOT(LONG64, kick);
	int pio = new_eventfd(), mmio = new_eventfd();

	CHECK_OK(ioeventfd(v->vm, pio, 0x1f0, 2, PIO, 0));
	CHECK_OK(ioeventfd(v->vm, mmio, MMIO, 8, 0, 0));
	RUN_TO_OUT(v, 0x1f0, 0x34, 1);
	RUN_TO_OUT(v, 0x1f0, 0x1234, 4);
	CHECK_EQ(signals(pio), 1);
	RUN_TO_WRITE(v, MMIO, 0x56, 1);
	RUN_TO_WRITE(v, MMIO, 0x5678, 2);
	RUN_TO_WRITE(v, MMIO, 0x12345678, 4);
	RUN_TO_OUT(v, 0x10, 0x34, 1);
	CHECK_EQ(signals(mmio), 1);
}

TEST(ioeventfd_of_one_value)
{
	struct vcpu *v = BOOT(LONG64, kick);
	int fds[4] = { new_eventfd(), new_eventfd(), new_eventfd(), new_eventfd() };

	CHECK_OK(ioeventfd(v->vm, fds[0], 0x1f0, 2, PIO | MATCH, 0x1233));
	CHECK_OK(ioeventfd(v->vm, fds[1], 0x1f0, 2, PIO | MATCH, 0x1234));
	CHECK_OK(ioeventfd(v->vm, fds[2], 0x1f0, 4, PIO | MATCH, 0x1234));
	CHECK_OK(ioeventfd(v->vm, fds[3], MMIO, 4, MATCH, 0x12345678));
	RUN_TO_OUT(v, 0x1f0, 0x34, 1);
	RUN_TO_WRITE(v, MMIO, 0x56, 1);
	CHECK_EQ(signals(fds[0]), 0);
	CHECK_EQ(signals(fds[1]), 1);
	CHECK_EQ(signals(fds[2]), 1);
	RUN_TO_WRITE(v, MMIO, 0x5678, 2);
	RUN_TO_WRITE(v, MMIO, 0x1234, 8);
	CHECK_EQ(signals(fds[3]), 1);
	RUN_TO_OUT(v, 0x10, 0x34, 1);
}

TEST(ioeventfd_leaves)
{
	struct vcpu *v = BOOT(LONG64, kick);
	int fds[2] = { new_eventfd(), new_eventfd() };

	CHECK_OK(ioeventfd(v->vm, fds[0], 0x1f0, 1, PIO, 0));
	CHECK_OK(ioeventfd(v->vm, fds[1], 0x1f0, 2, PIO | MATCH, 0x1234));
	CHECK_ERRNO(ioeventfd(v->vm, fds[0], 0x1f0, 1, PIO | REMOVE | MATCH, 0), ENOENT);
	CHECK_ERRNO(ioeventfd(v->vm, fds[0], 0x1f0, 2, PIO | REMOVE, 0), ENOENT);
	CHECK_ERRNO(ioeventfd(v->vm, fds[0], 0x1f0, 1, REMOVE, 0), ENOENT);
	CHECK_ERRNO(ioeventfd(v->vm, fds[1], 0x1f0, 1, PIO | REMOVE, 0), ENOENT);
	CHECK_ERRNO(ioeventfd(v->vm, fds[1], 0x1f0, 2, PIO | REMOVE | MATCH, 0x1235), ENOENT);
	CHECK_OK(ioeventfd(v->vm, fds[0], 0x1f0, 1, PIO | REMOVE, 0));
	RUN_TO_OUT(v, 0x1f0, 0x34, 1);
	RUN_TO_OUT(v, 0x1f0, 0x1234, 4);
	CHECK_EQ(signals(fds[1]), 1);
	CHECK_OK(ioeventfd(v->vm, fds[1], 0x1f0, 2, PIO | REMOVE | MATCH, 0x1234));
	CHECK_ERRNO(ioeventfd(v->vm, fds[1], 0x1f0, 2, PIO | REMOVE | MATCH, 0x1234), ENOENT);
}

TEST(ioeventfd_refuses)
{
	struct vm *vm = vm_create();
	int fd = new_eventfd(), other = new_eventfd(), pipes[2];

	CHECK_OK(pipe(pipes));
	CHECK_ERRNO(ioeventfd(vm, fd, 0x1f0, 3, PIO, 0), EINVAL);
	CHECK_ERRNO(ioeventfd(vm, fd, 0x1f0, 16, PIO, 0), EINVAL);
	CHECK_ERRNO(ioeventfd(vm, fd, ~0ull, 8, 0, 0), EINVAL);
	CHECK_ERRNO(ioeventfd(vm, fd, 0x1f0, 0, PIO | MATCH, 0), EINVAL);
	CHECK_ERRNO(ioeventfd(vm, fd, 0x1f0, 1, 1 << 10, 0), EINVAL);
	CHECK_ERRNO(ioeventfd(vm, -1, 0x1f0, 1, PIO, 0), EBADF);
	CHECK_ERRNO(ioeventfd(vm, pipes[0], 0x1f0, 1, PIO, 0), EINVAL);
	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_IOEVENTFD, BAD_POINTER), EFAULT);
	/* A write that two would hear of. */
	CHECK_OK(ioeventfd(vm, fd, 0x1f0, 2, PIO | MATCH, 1));
	CHECK_ERRNO(ioeventfd(vm, other, 0x1f0, 2, PIO | MATCH, 1), EEXIST);
	CHECK_ERRNO(ioeventfd(vm, other, 0x1f0, 2, PIO, 0), EEXIST);
	CHECK_ERRNO(ioeventfd(vm, other, 0x1f0, 0, PIO, 0), EEXIST);
	CHECK_OK(ioeventfd(vm, other, 0x1f0, 2, PIO | MATCH, 2));
	CHECK_OK(ioeventfd(vm, other, 0x1f0, 4, PIO, 0));
	CHECK_OK(ioeventfd(vm, other, 0x1f0, 2, 0, 0));
	CHECK_OK(ioeventfd(vm, other, 0x1f1, 0, PIO, 0));
}

TEST(ioeventfds_are_bounded)
{
	struct vm *vm = vm_create();
	int fd = new_eventfd(), n = 0;

	if (opt.oracle)
		skip("KVM's aren't");
	while (n < 2000 && !ioeventfd(vm, fd, 0x100, 8, MATCH, n))
		n++;
	CHECK_EQ(errno, ENOSPC);
	CHECK_EQ(n, 1000);
	CHECK_OK(ioeventfd(vm, fd, 0x100, 8, MATCH | REMOVE, 5));
	CHECK_OK(ioeventfd(vm, fd, 0x100, 8, MATCH, 5000));
}

/* ---- coalesced writes ------------------------------------------------------------------------ */

static int coalesce(struct vm *vm, unsigned long request, u64 addr, u32 size, u32 pio)
{
	struct minivmm_coalesced_mmio_zone zone = { .addr = addr, .size = size, .pio = pio };

	return ioctl(vm->fd, request, &zone);
}

#define ADD	MINIVMM_REGISTER_COALESCED_MMIO
#define DROP	MINIVMM_UNREGISTER_COALESCED_MMIO
#define RING_SIZE ((PAGE - sizeof(struct minivmm_coalesced_mmio_ring)) / \
		   sizeof(struct minivmm_coalesced_mmio))

static struct minivmm_coalesced_mmio_ring *ring_of(struct vcpu *v)
{
	int page = vm_extension(v->vm, MINIVMM_CAP_COALESCED_MMIO);

	CHECK_EQ(page, MINIVMM_COALESCED_MMIO_PAGE_OFFSET);
	return (void *)((u8 *)v->run + page * PAGE);
}

TEST(coalesced_writes_wait_in_the_ring)
{
	struct vcpu *v = BOOT(LONG64, kick);
	struct minivmm_coalesced_mmio_ring *ring = ring_of(v);
	static const struct { u64 addr; u32 len, pio; u64 data; } want[] = {
		{ 0x1f0, 1, 1, 0x34 }, { 0x1f0, 2, 1, 0x1234 }, { 0x1f0, 4, 1, 0x1234 },
		{ MMIO, 1, 0, 0x56 }, { MMIO, 2, 0, 0x5678 }, { MMIO, 4, 0, 0x12345678 },
		{ MMIO, 8, 0, 0x1234 },
	};

	CHECK_OK(coalesce(v->vm, ADD, 0x1f0, 8, 1));
	CHECK_OK(coalesce(v->vm, ADD, MMIO, 8, 0));
	RUN_TO_OUT(v, 0x10, 0x34, 1);
	CHECK_EQ(ring->first, 0);
	CHECK_EQ(ring->last, ARRAY_SIZE(want));
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		context("entry %zu", i);
		CHECK_EQ(ring->coalesced_mmio[i].phys_addr, want[i].addr);
		CHECK_EQ(ring->coalesced_mmio[i].len, want[i].len);
		CHECK_EQ(ring->coalesced_mmio[i].pio, want[i].pio);
		CHECK_MEM(ring->coalesced_mmio[i].data, &want[i].data, want[i].len);
	}
}

GUEST64(write_and_read,
	mov $MMIO, %ebx;
	mov (%rbx), %eax;
	movl $1, (%rbx);
	1: incl (%rsp);
	movl $7, 4(%rbx);
	jmp 1b)

TEST(full_ring_exits)
{
	struct vcpu *v = BOOT(LONG64, write_and_read);
	struct minivmm_coalesced_mmio_ring *ring = ring_of(v);

	CHECK_OK(coalesce(v->vm, ADD, MMIO, 0x1000, 0));
	/* Reads aren't coalesced. */
	RUN_TO_READ(v, MMIO, 4, 5);
	RUN_TO_WRITE(v, MMIO + 4, 7, 4);
	/* KVM's is full when it is half full: it counts modulo 2^32 in a ring of 170 */
	CHECK(ring->last == RING_SIZE - 1 || opt.oracle);
	ring->first = ring->last;
	RUN_TO_WRITE(v, MMIO + 4, 7, 4);
	CHECK(ring->last == RING_SIZE - 2 || opt.oracle);
	/* Whatever the client makes of it. */
	ring->last = ~0u;
	RUN_TO_WRITE(v, MMIO + 4, 7, 4);
	ring->last = RING_SIZE;
	RUN_TO_WRITE(v, MMIO + 4, 7, 4);
	ring->last = 0;
	ring->first = ~0u;
	CHECK_OK(coalesce(v->vm, DROP, MMIO, 0x1000, 0));
	RUN_TO_WRITE(v, MMIO + 4, 7, 4);
	CHECK_EQ(ring->last, 0);
}

TEST(coalescing_refuses)
{
	struct vm *vm = vm_create();

	CHECK_ERRNO(coalesce(vm, ADD, MMIO, 0x1000, 2), EINVAL);
	CHECK_ERRNO(coalesce(vm, DROP, MMIO, 0x1000, 2), EINVAL);
	CHECK_ERRNO(ioctl(vm->fd, ADD, BAD_POINTER), EFAULT);
	CHECK_ERRNO(ioctl(vm->fd, DROP, BAD_POINTER), EFAULT);
	/* No such zone: no error. */
	CHECK_OK(coalesce(vm, DROP, MMIO, 0x1000, 0));
	CHECK_OK(coalesce(vm, ADD, MMIO, 0x1000, 0));
	if (!opt.oracle) {	/* KVM takes the first that it finds */
		CHECK_ERRNO(coalesce(vm, ADD, MMIO + 0x800, 0x1000, 0), EEXIST);
		CHECK_ERRNO(coalesce(vm, ADD, ~0ull, 0x1000, 0), EINVAL);
		CHECK_ERRNO(coalesce(vm, ADD, MMIO, 0, 0), EINVAL);
	}
	CHECK_OK(coalesce(vm, DROP, MMIO, 0x1000, 0));
	CHECK_OK(coalesce(vm, ADD, MMIO + 0x800, 0x1000, 0));
}
