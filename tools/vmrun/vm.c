// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "layout.h"
#include "shadow.h"
#include "vm.h"

#define PAUSE_PATIENCE_MS	2000
#define REKICK_MS		20

static int vm_fail(struct error *err, const char *what)
{
	return failed(err, "%s: %s", what, strerror(errno));
}

int vm_check_extension(const struct vm *vm, unsigned int cap)
{
	int rc = ioctl(vm->fd, MINIVMM_CHECK_EXTENSION, (unsigned long)cap);

	return rc < 0 ? 0 : rc;
}

unsigned int vm_mmu(const struct vm *vm)
{
	return vm_check_extension(vm, MINIVMM_CAP_MMU);
}

/* What nothing here works without, by name: the error should say more than a number. */
static const struct {
	unsigned int cap;
	const char *name;
} required[] = {
	{ MINIVMM_CAP_USER_MEMORY, "USER_MEMORY" },
	{ MINIVMM_CAP_IRQCHIP, "IRQCHIP" },
	{ MINIVMM_CAP_PIT2, "PIT2" },
	{ MINIVMM_CAP_EXT_CPUID, "EXT_CPUID" },
	{ MINIVMM_CAP_IMMEDIATE_EXIT, "IMMEDIATE_EXIT" },
	{ MINIVMM_CAP_SIGNAL_MSI, "SIGNAL_MSI" },
};

static int check_required(const struct vm *vm, const char *dev, struct error *err)
{
	size_t i;

	for (i = 0; i < sizeof(required) / sizeof(required[0]); i++)
		if (ioctl(vm->sys, MINIVMM_CHECK_EXTENSION, (unsigned long)required[i].cap) <= 0)
			return failed(err, "%s doesn't offer %s, which vmrun needs", dev,
				      required[i].name);
	return 0;
}

static const char *kvm_mmu(void)
{
	FILE *f = fopen("/sys/module/kvm_intel/parameters/ept", "re");
	int c = f ? fgetc(f) : EOF;

	if (f)
		fclose(f);
	return c == 'Y' || c == '1' ? "ept (kvm_intel)" : c == 'N' || c == '0' ?
	       "shadow (kvm_intel)" : "KVM's choice";
}

static int open_node(struct vm *vm, const char *dev, struct error *err)
{
	int version, size;

	vm->sys = open(dev, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (vm->sys < 0)
		return diagnose_open(dev, errno, err);
	version = ioctl(vm->sys, MINIVMM_GET_API_VERSION, 0);
	if (version < 0)
		return failed(err, "%s is no hypervisor's node", dev);
	if (version != MINIVMM_API_VERSION)
		return failed(err, "%s speaks version %d of the ABI, vmrun %d", dev, version,
			      MINIVMM_API_VERSION);
	size = ioctl(vm->sys, MINIVMM_GET_VCPU_MMAP_SIZE, 0);
	if (size < (int)sizeof(struct minivmm_run))
		return failed(err, "%s: a vCPU's mapping of %d bytes is too small", dev, size);
	vm->run_size = size;
	vm->kvm_mmu = kvm_mmu();
	vm->is_kvm = !ioctl(vm->sys, MINIVMM_CHECK_EXTENSION, (unsigned long)MINIVMM_CAP_MMU);
	return check_required(vm, dev, err);
}

static int create_vm(struct vm *vm, const struct options *o, struct error *err)
{
	static const unsigned long types[] = {
		[MMU_AUTO] = 0,
		[MMU_EPT] = MINIVMM_VM_MMU_EPT,
		[MMU_SHADOW] = MINIVMM_VM_MMU_SHADOW,
	};

	if (vm->is_kvm && o->mmu != MMU_AUTO)
		return failed(err, "%s is KVM's, which has one MMU mode for all: its parameter kvm_intel.ept; --mmu chooses only on minivmm",
			      o->dev);
	do {
		vm->fd = ioctl(vm->sys, MINIVMM_CREATE_VM, types[o->mmu]);
	} while (vm->fd < 0 && errno == EINTR);
	if (vm->fd < 0)
		return diagnose_create_vm(o, vm->is_kvm, errno, err);
	return 0;
}

static int create_chips(struct vm *vm, struct error *err)
{
	struct minivmm_pit_config pit = { .flags = MINIVMM_PIT_SPEAKER_DUMMY };
	__u64 identity = IDENTITY_MAP_ADDR;

	if (ioctl(vm->fd, MINIVMM_SET_IDENTITY_MAP_ADDR, &identity))
		return vm_fail(err, "SET_IDENTITY_MAP_ADDR");
	if (ioctl(vm->fd, MINIVMM_SET_TSS_ADDR, (unsigned long)TSS_ADDR))
		return vm_fail(err, "SET_TSS_ADDR");
	if (ioctl(vm->fd, MINIVMM_CREATE_IRQCHIP, 0))
		return vm_fail(err, "CREATE_IRQCHIP");
	if (ioctl(vm->fd, MINIVMM_CREATE_PIT2, &pit))
		return vm_fail(err, "CREATE_PIT2");
	return 0;
}

/* Of any length where the hypervisor can: then it needn't look at the instruction. */
static int set_doorbell(struct doorbells *d, uint64_t addr, int fd, __u32 flags)
{
	struct vm *vm = (struct vm *)((char *)d - offsetof(struct vm, doorbells));
	struct minivmm_ioeventfd e = {
		.addr = addr, .fd = fd, .flags = flags, .len = vm->doorbell_len,
	};

	return ioctl(vm->fd, MINIVMM_IOEVENTFD, &e) ? -1 : 0;
}

static int add_doorbell(struct doorbells *d, uint64_t addr, int fd)
{
	return set_doorbell(d, addr, fd, 0);
}

static void remove_doorbell(struct doorbells *d, uint64_t addr, int fd)
{
	set_doorbell(d, addr, fd, MINIVMM_IOEVENTFD_FLAG_DEASSIGN);
}

int vm_create(struct vm *vm, const struct options *o, struct error *err)
{
	memset(vm, 0, sizeof(*vm));
	vm->sys = vm->fd = -1;
	vm_create_irqs(vm);
	vm->doorbells = (struct doorbells) { add_doorbell, remove_doorbell };
	pthread_mutex_init(&vm->lock, NULL);
	pthread_cond_init(&vm->changed, NULL);
	if (open_node(vm, o->dev, err) || create_vm(vm, o, err) || create_chips(vm, err)) {
		vm_destroy(vm);
		return -1;
	}
	vm->doorbell_len = vm_check_extension(vm, MINIVMM_CAP_IOEVENTFD_ANY_LENGTH) ? 0 : 2;
	return 0;
}

void vm_destroy(struct vm *vm)
{
	unsigned int i;

	for (i = 0; i < vm->nr; i++) {
		if (vm->cpus[i].run)
			munmap(vm->cpus[i].run, vm->run_size);
		close(vm->cpus[i].fd);
	}
	if (vm->fd >= 0)
		close(vm->fd);
	if (vm->sys >= 0)
		close(vm->sys);
	vm_destroy_irqs(vm);
	pthread_cond_destroy(&vm->changed);
	pthread_mutex_destroy(&vm->lock);
	memset(vm, 0, sizeof(*vm));
	vm->sys = vm->fd = -1;
}

int vm_set_slot(struct vm *vm, unsigned int slot, uint64_t gpa, void *hva, uint64_t size,
		bool readonly, struct error *err)
{
	struct minivmm_userspace_memory_region r = {
		.slot = slot, .guest_phys_addr = gpa, .memory_size = size,
		.userspace_addr = (uintptr_t)hva,
		.flags = readonly ? MINIVMM_MEM_READONLY : 0,
	};

	/* Removing what isn't there is EINVAL. */
	if (ioctl(vm->fd, MINIVMM_SET_USER_MEMORY_REGION, &r) && size)
		return vm_fail(err, "SET_USER_MEMORY_REGION");
	return 0;
}

int vm_set_memory(struct vm *vm, const struct guest_mem *mem, bool with_shadow, struct error *err)
{
	uint64_t low = with_shadow ? SHADOW_START : mem->low_size;

	vm->mem = mem;
	if (vm_set_slot(vm, VM_SLOT_LOW, 0, mem->base, low, false, err) ||
	    vm_set_slot(vm, VM_SLOT_HIGH, MEM_HIGH_START, mem->base + mem->low_size,
			mem->high_size, false, err))
		return -1;
	return with_shadow ? vm_set_slot(vm, VM_SLOT_ABOVE_1M, SHADOW_END, mem->base + SHADOW_END,
					 mem->low_size - SHADOW_END, false, err) : 0;
}

static int create_vcpu(struct vm *vm, unsigned int id, struct error *err)
{
	struct vcpu *cpu = &vm->cpus[id];
	void *run;

	cpu->vm = vm;
	cpu->id = id;
	cpu->fd = ioctl(vm->fd, MINIVMM_CREATE_VCPU, (unsigned long)id);
	if (cpu->fd < 0)
		return failed(err, "vCPU %u can't be created: %s", id, strerror(errno));
	vm->nr++;
	run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, cpu->fd, 0);
	if (run == MAP_FAILED)
		return vm_fail(err, "a vCPU's mapping");
	cpu->run = run;
	return 0;
}

int vm_create_vcpus(struct vm *vm, unsigned int n, struct error *err)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		if (create_vcpu(vm, i, err) || vcpu_set_cpuid(&vm->cpus[i], n, err))
			return -1;
		vcpu_set_msrs(&vm->cpus[i]);
	}
	return 0;
}

int vm_start(struct vm *vm, struct error *err)
{
	unsigned int i;
	int rc;

	vm->running = vm->nr;
	for (i = 0; i < vm->nr; i++) {
		rc = pthread_create(&vm->cpus[i].thread, NULL, vcpu_thread, &vm->cpus[i]);
		if (rc)
			return failed(err, "a vCPU's thread can't be started: %s", strerror(rc));
		vm->cpus[i].started = true;
	}
	return 0;
}

static void kick_all(struct vm *vm)
{
	unsigned int i;

	for (i = 0; i < vm->nr; i++)
		if (vm->cpus[i].started && !vm->cpus[i].joined)
			vcpu_kick(&vm->cpus[i]);
}

static void ms_from_now(struct timespec *ts, unsigned int ms)
{
	clock_gettime(CLOCK_REALTIME, ts);
	ts->tv_nsec += ms * 1000000L;
	ts->tv_sec += ts->tv_nsec / 1000000000;
	ts->tv_nsec %= 1000000000;
}

/* A thread may be in a write to someone who doesn't read: one kick isn't always enough. */
static void join(struct vcpu *cpu)
{
	struct timespec ts;

	do {
		vcpu_kick(cpu);
		ms_from_now(&ts, REKICK_MS);
	} while (pthread_timedjoin_np(cpu->thread, NULL, &ts) == ETIMEDOUT);
	cpu->joined = true;
}

void vm_stop(struct vm *vm)
{
	unsigned int i;

	pthread_mutex_lock(&vm->lock);
	vm->stopping = true;
	atomic_store(&vm->attention, true);
	pthread_cond_broadcast(&vm->changed);
	pthread_mutex_unlock(&vm->lock);

	kick_all(vm);
	for (i = 0; i < vm->nr; i++)
		if (vm->cpus[i].started && !vm->cpus[i].joined)
			join(&vm->cpus[i]);
}

bool vm_pause(struct vm *vm)
{
	unsigned int waited = 0;
	bool paused;

	pthread_mutex_lock(&vm->lock);
	vm->pausing++;
	atomic_store(&vm->attention, true);
	while (vm->running && waited < PAUSE_PATIENCE_MS) {
		struct timespec ts;

		kick_all(vm);
		ms_from_now(&ts, REKICK_MS);
		if (pthread_cond_timedwait(&vm->changed, &vm->lock, &ts) == ETIMEDOUT)
			waited += REKICK_MS;
	}
	paused = !vm->running;
	pthread_mutex_unlock(&vm->lock);
	return paused;
}

void vm_resume(struct vm *vm)
{
	pthread_mutex_lock(&vm->lock);
	vm->pausing--;
	atomic_store(&vm->attention, vm->stopping || vm->pausing);
	pthread_cond_broadcast(&vm->changed);
	pthread_mutex_unlock(&vm->lock);
}

void vm_hold(struct vm *vm)
{
	pthread_mutex_lock(&vm->lock);
	vm->pausing++;
	vm->held++;
	atomic_store(&vm->attention, true);
	pthread_mutex_unlock(&vm->lock);
}

void vm_drop_holds(struct vm *vm)
{
	pthread_mutex_lock(&vm->lock);
	vm->pausing -= vm->held;
	vm->held = 0;
	atomic_store(&vm->attention, vm->stopping || vm->pausing);
	pthread_cond_broadcast(&vm->changed);
	pthread_mutex_unlock(&vm->lock);
}

void vm_freeze(struct vm *vm, struct vcpu *cpu, bool frozen)
{
	pthread_mutex_lock(&vm->lock);
	cpu->frozen = frozen;
	pthread_mutex_unlock(&vm->lock);
}

int vm_nmi(struct vm *vm, struct error *err)
{
	if (ioctl(vm->cpus[0].fd, MINIVMM_NMI, 0))
		return vm_fail(err, "NMI");
	return 0;
}
