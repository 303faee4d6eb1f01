// SPDX-License-Identifier: GPL-2.0
/*
 * A client that means harm: random ioctls with random arguments, valid ones with some bytes changed
 * among them, on any descriptor, with a run page that is scribbled over. Nothing is expected of what
 * they return. What is tested is that the host stays well, for which the lab watches its kernel, and
 * that a decent VM still works afterwards.
 *
 * The guests have nothing to execute but HLT: under the emulator a loop that was entered with
 * interrupts off could not be ended.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "thread.h"

#define ROUNDS		(opt.rounds ?: 4000)
#define ARENA		(4 * MiB)
#define BUFFER		(64 * KiB)
#define MAX_FDS		24
#define KICK_US		2000

enum kind { NODE, VM, VCPU, EVENT, NR_KINDS };

struct descriptor {
	int fd;
	enum kind kind;
	struct minivmm_run *run;	/* of a VCPU, or NULL */
};

struct fuzzer {
	u64 seed;
	struct descriptor fd[MAX_FDS];
	u8 *arena;			/* what slots are made of */
	u8 *buffer;			/* an ioctl's argument, with a page behind it that isn't there */
	size_t run_size;
	struct minivmm_cpuid2 *cpuid;
	struct minivmm_sregs sregs[3];	/* of vCPUs that can run, by enum mode */
};

/* ---- dice ------------------------------------------------------------------------------------ */

static u32 dice(struct fuzzer *f, u32 n)
{
	f->seed = f->seed * 6364136223846793005ull + 1442695040888963407ull;
	return (f->seed >> 33) % n;
}

/* Most of what goes wrong does so at a border. */
static u64 value(struct fuzzer *f)
{
	static const u64 borders[] = {
		0, 1, 2, 3, 7, 8, 0x10, 0x20, 0x40, 0x80, 0xff, 0x100, 0xfff, 0x1000, 0x8000, 0xffff, 0x10000,
		CODE, DATA, PAGE_TABLES, MEM_SIZE - 1, MEM_SIZE, 0xfee00000, 0xfec00000, 0x7fffffff,
		0x80000000, 0xffffffff, 1ull << 32, 1ull << 36, 1ull << 47, ~0ull << 47, 1ull << 52,
		1ull << 62, 1ull << 63, ~0ull >> 1, ~0ull - 0xfff, ~0ull,
	};
	u64 v = borders[dice(f, ARRAY_SIZE(borders))];

	switch (dice(f, 4)) {
	case 0:
		return v + dice(f, 3) - 1;
	case 1:
		return v ^ 1ull << dice(f, 64);
	case 2:
		return dice(f, 256);
	default:
		return v;
	}
}

static void scribble(struct fuzzer *f, void *at, size_t size, int times)
{
	while (times--) {
		u64 v = value(f);
		size_t n = 1u << dice(f, 4), where = dice(f, size);

		if (n > size)
			n = 1;
		where -= where % n;
		memcpy((u8 *)at + where, &v, where + n <= size ? n : 1);
	}
}

/* ---- descriptors ------------------------------------------------------------------------------- */

static void forget(struct fuzzer *f, struct descriptor *d)
{
	if (d->run)
		munmap(d->run, f->run_size);
	if (d->fd > 0)
		close(d->fd);
	*d = (struct descriptor){ .fd = -1 };
}

static void keep(struct fuzzer *f, int fd, enum kind kind)
{
	struct descriptor *d = &f->fd[1 + dice(f, MAX_FDS - 1)];

	if (fd < 0)
		return;
	forget(f, d);
	*d = (struct descriptor){ .fd = fd, .kind = kind };
	if (kind != VCPU)
		return;
	d->run = mmap(NULL, f->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (d->run == MAP_FAILED)
		d->run = NULL;
}

static struct descriptor *any(struct fuzzer *f, enum kind kind)
{
	u32 first = dice(f, MAX_FDS);

	for (u32 i = 0; i < MAX_FDS; i++) {
		struct descriptor *d = &f->fd[(first + i) % MAX_FDS];

		if (d->fd > 0 && d->kind == kind)
			return d;
	}
	return NULL;
}

static int any_eventfd(struct fuzzer *f)
{
	struct descriptor *d = any(f, EVENT);

	return d && dice(f, 8) ? d->fd : (int)dice(f, 40) - 2;
}

/* ---- arguments ---------------------------------------------------------------------------------- */

/* Where an argument of this size may be: nearly always in the buffer; then sometimes at its end. */
static void *place(struct fuzzer *f, size_t size)
{
	switch (dice(f, 24)) {
	case 0:
		return (void *)value(f);
	case 1:
		return f->buffer + BUFFER - dice(f, size + 1);
	default:
		return f->buffer;
	}
}

static const struct state {
	unsigned long get, set;
} vcpu_states[] = {
	{ MINIVMM_GET_REGS, MINIVMM_SET_REGS },
	{ MINIVMM_GET_SREGS, MINIVMM_SET_SREGS },
	{ MINIVMM_GET_SREGS2, MINIVMM_SET_SREGS2 },
	{ MINIVMM_GET_FPU, MINIVMM_SET_FPU },
	{ MINIVMM_GET_XSAVE, MINIVMM_SET_XSAVE },
	{ MINIVMM_GET_XSAVE2, MINIVMM_SET_XSAVE },
	{ MINIVMM_GET_XCRS, MINIVMM_SET_XCRS },
	{ MINIVMM_GET_LAPIC, MINIVMM_SET_LAPIC },
	{ MINIVMM_GET_MP_STATE, MINIVMM_SET_MP_STATE },
	{ MINIVMM_GET_VCPU_EVENTS, MINIVMM_SET_VCPU_EVENTS },
	{ MINIVMM_GET_DEBUGREGS, MINIVMM_SET_DEBUGREGS },
}, vm_states[] = {
	{ MINIVMM_GET_CLOCK, MINIVMM_SET_CLOCK },
	{ MINIVMM_GET_PIT2, MINIVMM_SET_PIT2 },
};

/* A state of which most is as the kernel gave it. */
static void change_state(struct fuzzer *f, int fd, const struct state *state)
{
	size_t size = _IOC_SIZE(state->set);
	void *at = place(f, size);

	ioctl(fd, state->get, f->buffer);
	scribble(f, f->buffer, size, dice(f, 4));
	ioctl(fd, state->set, at);
}

static void change_msrs(struct fuzzer *f, int fd)
{
	struct minivmm_msr_list *list = (void *)f->buffer;
	struct minivmm_msrs *msrs = (void *)f->buffer;
	u32 index[256], known, n = 1 + dice(f, 20);

	list->nmsrs = ARRAY_SIZE(index);
	known = ioctl(f->fd[0].fd, MINIVMM_GET_MSR_INDEX_LIST, list) ? 0 : list->nmsrs;
	memcpy(index, list->indices, known * sizeof(*index));
	memset(msrs, 0, sizeof(*msrs) + n * sizeof(msrs->entries[0]));
	for (u32 i = 0; i < n; i++)
		msrs->entries[i].index = known && dice(f, 4) ? index[dice(f, known)] : value(f);
	msrs->nmsrs = dice(f, 16) ? n : value(f);
	ioctl(fd, MINIVMM_GET_MSRS, msrs);
	for (u32 i = 0; i < n; i++)
		if (!dice(f, 2))
			msrs->entries[i].data = value(f);
	ioctl(fd, MINIVMM_SET_MSRS, place(f, sizeof(*msrs)));
}

static void change_cpuid(struct fuzzer *f, int fd)
{
	struct minivmm_cpuid2 *cpuid = (void *)f->buffer;

	cpuid->nent = 256;
	ioctl(f->fd[0].fd, MINIVMM_GET_SUPPORTED_CPUID, cpuid);
	scribble(f, cpuid, sizeof(*cpuid) + 256 * sizeof(cpuid->entries[0]), dice(f, 4));
	if (dice(f, 8))
		cpuid->nent %= 257;
	ioctl(fd, MINIVMM_SET_CPUID2, cpuid);
}

/* SIGALRM must stay open, or RUN of a halted vCPU never ends. */
static void change_mask(struct fuzzer *f, int fd)
{
	struct minivmm_signal_mask *mask = (void *)f->buffer;

	memset(mask, 0, sizeof(*mask) + 8);
	mask->len = dice(f, 2) ? 8 : value(f);
	mask->sigset[2] = dice(f, 256);
	ioctl(fd, MINIVMM_SET_SIGNAL_MASK, dice(f, 3) ? mask : NULL);
}

static void run(struct fuzzer *f, struct descriptor *d)
{
	struct minivmm_regs regs;

	if (d->run && !dice(f, 2))
		scribble(f, d->run, f->run_size, dice(f, 8));
	if (d->run && dice(f, 8))
		d->run->immediate_exit = 0;
	if (!dice(f, 3))	/* or it would hardly ever get any further */
		ioctl(d->fd, MINIVMM_SET_SREGS, &f->sregs[dice(f, 3)]);
	if (!ioctl(d->fd, MINIVMM_GET_REGS, &regs) && dice(f, 4)) {
		regs.rip = dice(f, 8) ? CODE : value(f);
		regs.rflags |= 0x202;
		ioctl(d->fd, MINIVMM_SET_REGS, &regs);
	}
	ioctl(d->fd, MINIVMM_RUN, dice(f, 64) ? 0 : value(f));
}

static void change_slots(struct fuzzer *f, int vm)
{
	struct minivmm_userspace_memory_region r = {
		.slot = dice(f, 4), .flags = dice(f, 4),
		.guest_phys_addr = (u64)dice(f, 8) * MiB / 2,
		.memory_size = (u64)dice(f, 5) * MiB / 2,
		.userspace_addr = (u64)f->arena + dice(f, 4) * MiB / 2,
	};

	if (!dice(f, 4)) {
		scribble(f, &r, sizeof(r), 1 + dice(f, 2));
		/* memory of this program's own is not for guests to write to */
		r.userspace_addr = dice(f, 2) ? (u64)f->arena + dice(f, PAGE) : ~0ull - value(f) % MiB;
		if (r.userspace_addr - (u64)f->arena < ARENA)
			r.memory_size %= ARENA / 2;
	}
	ioctl(vm, MINIVMM_SET_USER_MEMORY_REGION, &r);
}

static void look_at_log(struct fuzzer *f, int vm)
{
	struct minivmm_dirty_log log = { .slot = dice(f, 3), .dirty_bitmap = f->buffer };
	struct minivmm_clear_dirty_log clear = {
		.slot = dice(f, 5), .dirty_bitmap = f->buffer,
		.first_page = dice(f, 4) * 64, .num_pages = dice(f, 20) * 64,
	};

	if (!dice(f, 4))
		scribble(f, &log, sizeof(log), 1);
	if (!dice(f, 4))
		scribble(f, &clear, sizeof(clear), 1);
	if ((u8 *)log.dirty_bitmap < f->buffer || (u8 *)log.dirty_bitmap >= f->buffer + BUFFER)
		log.dirty_bitmap = NULL;
	if (dice(f, 2))
		ioctl(vm, MINIVMM_GET_DIRTY_LOG, dice(f, 8) ? &log : place(f, sizeof(log)));
	else
		ioctl(vm, MINIVMM_CLEAR_DIRTY_LOG, dice(f, 8) ? &clear : place(f, sizeof(clear)));
}

static void change_routes(struct fuzzer *f, int vm)
{
	struct minivmm_irq_routing *routing = (void *)f->buffer;
	u32 n = dice(f, 12);

	memset(routing, 0, sizeof(*routing) + n * sizeof(routing->entries[0]));
	routing->nr = dice(f, 8) ? n : value(f) % 1000;
	for (u32 i = 0; i < n; i++) {
		struct minivmm_irq_routing_entry *e = &routing->entries[i];

		e->gsi = dice(f, 4) ? dice(f, 26) : value(f);
		e->type = dice(f, 4);
		scribble(f, &e->u, sizeof(e->u), dice(f, 4));
		if (e->type == MINIVMM_IRQ_ROUTING_IRQCHIP && dice(f, 4))
			e->u.irqchip.irqchip = dice(f, 3);
	}
	ioctl(vm, MINIVMM_SET_GSI_ROUTING, routing);
}

static void change_eventfds(struct fuzzer *f, int vm)
{
	struct minivmm_irqfd irqfd = {
		.fd = any_eventfd(f), .gsi = dice(f, 26), .flags = dice(f, 4),
		.resamplefd = any_eventfd(f),
	};
	struct minivmm_ioeventfd io = {
		.fd = any_eventfd(f), .addr = value(f), .len = dice(f, 5) ? 1u << dice(f, 4) : dice(f, 12),
		.flags = dice(f, 9), .datamatch = value(f),
	};

	if (dice(f, 2))
		ioctl(vm, MINIVMM_IRQFD, &irqfd);
	else
		ioctl(vm, MINIVMM_IOEVENTFD, &io);
}

static void change_chips(struct fuzzer *f, int vm)
{
	struct minivmm_irqchip *chip = (void *)f->buffer;

	chip->chip_id = dice(f, 8) ? dice(f, 3) : value(f);
	ioctl(vm, MINIVMM_GET_IRQCHIP, chip);
	scribble(f, &chip->chip, sizeof(chip->chip), dice(f, 6));
	ioctl(vm, MINIVMM_SET_IRQCHIP, chip);
}

/* ---- ioctls -------------------------------------------------------------------------------------- */

/* What has a number and a small structure, and no more sense than that. */
static const unsigned long others[] = {
	MINIVMM_CHECK_EXTENSION, MINIVMM_SET_TSS_ADDR, MINIVMM_SET_IDENTITY_MAP_ADDR,
	MINIVMM_SET_NR_MMU_PAGES, MINIVMM_IRQ_LINE, MINIVMM_IRQ_LINE_STATUS, MINIVMM_SIGNAL_MSI,
	MINIVMM_REGISTER_COALESCED_MMIO, MINIVMM_UNREGISTER_COALESCED_MMIO, MINIVMM_REINJECT_CONTROL,
	MINIVMM_ENABLE_CAP, MINIVMM_CREATE_IRQCHIP, MINIVMM_CREATE_PIT2, MINIVMM_TRANSLATE,
	MINIVMM_INTERRUPT, MINIVMM_NMI, MINIVMM_SET_GUEST_DEBUG, MINIVMM_SET_TSC_KHZ,
	MINIVMM_X86_GET_MCE_CAP_SUPPORTED, MINIVMM_X86_SETUP_MCE, MINIVMM_X86_SET_MCE,
	MINIVMM_SET_VAPIC_ADDR, MINIVMM_KVMCLOCK_CTRL, MINIVMM_GET_FAILURE, MINIVMM_SIGNAL_MSI, MINIVMM_IRQ_LINE,
	MINIVMM_SET_BOOT_CPU_ID,
};

static void some_other(struct fuzzer *f, int fd)
{
	unsigned long request = others[dice(f, ARRAY_SIZE(others))];
	size_t size = _IOC_SIZE(request);

	memset(f->buffer, 0, 256);
	if (!dice(f, 16))	/* of another size, or direction; or there is no such thing */
		request ^= 1ul << dice(f, 32);
	scribble(f, f->buffer, size ?: 8, 1 + dice(f, 4));
	if (request != MINIVMM_SET_SIGNAL_MASK)
		ioctl(fd, request, size ? (u64)place(f, size) : value(f));
}

static int new_vm(struct fuzzer *f)
{
	int fd = ioctl(f->fd[0].fd, MINIVMM_CREATE_VM, dice(f, 8) ? (u64)vm_type() : value(f));
	struct vm vm = { .fd = fd };

	if (fd < 0 || !dice(f, 4))
		return fd;
	set_slot(&vm, 0, 0, 0, MEM_SIZE, f->arena);
	if (!dice(f, 4))
		return fd;
	ioctl(fd, MINIVMM_CREATE_IRQCHIP, 0);
	memset(f->buffer, 0, sizeof(struct minivmm_pit_config));
	if (dice(f, 2))
		ioctl(fd, MINIVMM_CREATE_PIT2, f->buffer);
	return fd;
}

static int new_vcpu(struct fuzzer *f, int vm)
{
	int fd = ioctl(vm, MINIVMM_CREATE_VCPU, dice(f, 16) ? dice(f, 4) : value(f));

	if (fd < 0 || !dice(f, 4))
		return fd;
	ioctl(fd, MINIVMM_SET_CPUID2, f->cpuid);
	ioctl(fd, MINIVMM_SET_SREGS, &f->sregs[dice(f, 3)]);
	return fd;
}

static void new_descriptor(struct fuzzer *f)
{
	struct descriptor *vm = any(f, VM);

	if (!dice(f, 8))
		forget(f, &f->fd[1 + dice(f, MAX_FDS - 1)]);
	switch (dice(f, 8)) {
	case 0:
		keep(f, eventfd(0, EFD_NONBLOCK), EVENT);
		break;
	case 1:
		keep(f, new_vm(f), VM);
		break;
	default:
		if (vm)
			keep(f, new_vcpu(f, vm->fd), VCPU);
	}
}

static void hurt_vm(struct fuzzer *f, int vm)
{
	static void (*const ways[])(struct fuzzer *, int) = {
		change_slots, change_slots, look_at_log, change_routes, change_eventfds, change_chips,
		some_other, some_other,
	};
	int i = dice(f, ARRAY_SIZE(ways) + 2);

	if (i < (int)ARRAY_SIZE(ways))
		ways[i](f, vm);
	else
		change_state(f, vm, &vm_states[i % ARRAY_SIZE(vm_states)]);
}

static void hurt_vcpu(struct fuzzer *f, struct descriptor *d)
{
	u32 i = dice(f, 24);

	if (i < ARRAY_SIZE(vcpu_states))
		change_state(f, d->fd, &vcpu_states[i]);
	else if (i < 13)
		change_msrs(f, d->fd);
	else if (i < 14)
		change_cpuid(f, d->fd);
	else if (i < 15)
		change_mask(f, d->fd);
	else if (i < 17)
		some_other(f, d->fd);
	else
		run(f, d);
}

static void one_step(struct fuzzer *f)
{
	struct descriptor *d = &f->fd[dice(f, MAX_FDS)];

	if (!dice(f, 10))
		new_descriptor(f);
	if (d->fd < 0)
		return;
	if (!dice(f, 20))
		some_other(f, d->fd);
	else if (d->kind == VM)
		hurt_vm(f, d->fd);
	else if (d->kind == VCPU)
		hurt_vcpu(f, d);
	else if (d->kind == EVENT)
		eventfd_write(d->fd, 1);
}

/* ---- tests --------------------------------------------------------------------------------------- */

static void begin(struct fuzzer *f, u64 seed)
{
	struct vm vm = { .size = MEM_SIZE };
	struct vcpu *v;

	memset(f, 0, sizeof(*f));
	f->seed = seed;
	for (int i = 0; i < MAX_FDS; i++)
		f->fd[i].fd = -1;
	f->fd[0] = (struct descriptor){ .fd = node_open(), .kind = NODE };
	f->run_size = CHECK_OK(ioctl(f->fd[0].fd, MINIVMM_GET_VCPU_MMAP_SIZE, 0));
	f->arena = host_memory(ARENA);
	memset(f->arena, 0xf4, ARENA);	/* HLT; not present, as an entry of a page table */
	vm.mem = f->arena;
	f->buffer = mmap(NULL, BUFFER + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(f->buffer != MAP_FAILED);
	CHECK_OK(mprotect(f->buffer + BUFFER, PAGE, PROT_NONE));

	/* one VM to begin with, which works */
	vm.fd = CHECK_OK(ioctl(f->fd[0].fd, MINIVMM_CREATE_VM, (long)vm_type()));
	f->fd[1] = (struct descriptor){ .fd = vm.fd, .kind = VM };
	CHECK_OK(set_slot(&vm, 0, 0, 0, MEM_SIZE, f->arena));
	CHECK_OK(ioctl(vm.fd, MINIVMM_CREATE_IRQCHIP, 0));
	v = vcpu_create(&vm, 0);
	for (int mode = REAL16; mode <= LONG64; mode++) {
		vcpu_enter_mode(v, mode, CODE);
		f->sregs[mode] = get_sregs(v);
	}
	f->cpuid = supported_cpuid();
	keep(f, v->fd, VCPU);
	catch_signal(SIGALRM);
}

static void *hurt(void *arg)
{
	struct fuzzer *f = arg;

	signal_every(KICK_US, SIGALRM);
	for (u32 i = 0; i < ROUNDS; i++)
		one_step(f);
	signal_every(0, SIGALRM);
	return NULL;
}

GUEST64(halt, hlt)

static void decent_vm_works(void)
{
	RUN_TO(BOOT(LONG64, halt), MINIVMM_EXIT_HLT);
}

static void not_for_the_oracle(void)
{
	if (opt.oracle)
		skip("it is not KVM that is tested here");
}

TEST(random_ioctls)
{
	struct fuzzer f;

	not_for_the_oracle();
	begin(&f, 0x5eed);
	hurt(&f);
	for (int i = 0; i < MAX_FDS; i++)
		forget(&f, &f.fd[i]);
	decent_vm_works();
}

/* On the same VM among others, and the same memory. */
TEST(random_ioctls_of_three_threads)
{
	struct fuzzer f[3];
	pthread_t thread[ARRAY_SIZE(f)];

	not_for_the_oracle();
	begin(&f[0], 0xfeed);
	for (u32 i = 1; i < ARRAY_SIZE(f); i++) {
		begin(&f[i], 0xfeed + i);
		for (int n = 1; n < MAX_FDS; n++)
			if (f[0].fd[n].fd > 0)
				f[i].fd[n] = (struct descriptor){ f[0].fd[n].fd, f[0].fd[n].kind, NULL };
		f[i].arena = f[0].arena;
	}
	for (u32 i = 0; i < ARRAY_SIZE(f); i++)
		CHECK_EQ(pthread_create(&thread[i], NULL, hurt, &f[i]), 0);
	for (u32 i = 0; i < ARRAY_SIZE(f); i++)
		pthread_join(thread[i], NULL);
	decent_vm_works();
}
