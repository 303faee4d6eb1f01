// SPDX-License-Identifier: GPL-2.0
#include "irq_vm.h"

struct seen seen[MAX_VCPUS];
bool cpuid_x2apic = true, cpuid_deadline = true, cpu_has_timer;
int fail_register;
unsigned int resampled;

/* ---- what the rest of the module does -------------------------------------------------------- */

struct range {
	enum io_bus_id bus;
	u64 addr, len;
	struct io_device *dev;
};

static struct range ranges[16];

int io_bus_register(struct vm *vm, enum io_bus_id bus, u64 addr, u64 len, struct io_device *dev)
{
	int i;

	if (fail_register && !--fail_register)
		return -ENOMEM;
	for (i = 0; ranges[i].dev; i++)
		;
	ranges[i] = (struct range){ bus, addr, len, dev };
	return 0;
}

void io_bus_unregister(struct vm *vm, enum io_bus_id bus, struct io_device *dev)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(ranges); i++)
		if (ranges[i].dev == dev)
			ranges[i] = (struct range){};
}

int bus_devices(struct vm *vm)
{
	int i, n = 0;

	for (i = 0; i < ARRAY_SIZE(ranges); i++)
		n += !!ranges[i].dev;
	return n;
}

static struct io_device *find(enum io_bus_id bus, u64 addr, int len)
{
	struct range *r;

	for (r = ranges; r < ranges + ARRAY_SIZE(ranges); r++)
		if (r->dev && r->bus == bus && addr >= r->addr && addr + len <= r->addr + r->len)
			return r->dev;
	fail_msg("no device at %llx", addr);
	return NULL;
}

void vcpu_kick(struct vcpu *vcpu)
{
	__atomic_fetch_add(&seen[vcpu->index].kicks, 1, __ATOMIC_SEQ_CST);
}

void irqfd_resample(struct vm *vm, enum irqchip_id chip, int pin)
{
	resampled |= 1u << pin;
}

void inject_nmi(struct vcpu *vcpu)
{
	seen[vcpu->index].nmis++;
}

void vcpu_reset(struct vcpu *vcpu, bool init)
{
	seen[vcpu->index].resets++;
	lapic_reset(vcpu, init);
}

void vcpu_start_at_sipi(struct vcpu *vcpu, u8 vector)
{
	seen[vcpu->index].sipi = vector;
}

bool guest_has(struct vcpu *vcpu, unsigned int feature)
{
	return feature == X86_FEATURE_X2APIC ? cpuid_x2apic : cpuid_deadline;
}

/* ---- the VM ---------------------------------------------------------------------------------- */

static void add_vcpu(struct vm *vm, int id)
{
	struct vcpu *vcpu = calloc(1, sizeof(*vcpu));

	vcpu->vm = vm;
	vcpu->id = id;
	vcpu->index = vm->nr_vcpus;
	vcpu->maxphyaddr = 40;
	vcpu->pending_irq = -1;
	vcpu->tsc_khz = tsc_khz;
	vcpu->mp_state = id ? MP_UNINITIALIZED : MP_RUNNABLE;
	seen[vcpu->index] = (struct seen){ .sipi = -1 };
	assert_int_equal(lapic_create(vcpu), 0);
	lapic_reset(vcpu, false);
	vm->vcpus[vm->nr_vcpus++] = vcpu;
}

struct vm *vm_with_chips(int nr_vcpus)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	int i;

	cpuid_x2apic = cpuid_deadline = true;
	cpu_has_timer = false;
	assert_int_equal(irqchip_create(vm, false, 0), 0);
	for (i = 0; i < nr_vcpus; i++)
		add_vcpu(vm, i);
	return vm;
}

void vm_free(struct vm *vm)
{
	int i;

	pit_destroy(vm);
	for (i = 0; i < vm->nr_vcpus; i++) {
		lapic_destroy(vm->vcpus[i]);
		free(vm->vcpus[i]);
	}
	irqchip_destroy(vm);
	memset(ranges, 0, sizeof(ranges));
	assert_int_equal(shim_timers(), 0);
	free(vm);
}

/* ---- accesses -------------------------------------------------------------------------------- */

void outb(struct vm *vm, u16 port, u8 val)
{
	struct io_device *dev = find(BUS_PIO, port, 1);

	assert_int_equal(dev->write(vm->vcpus[0], dev, port, 1, &val), 0);
}

u8 inb(struct vm *vm, u16 port)
{
	struct io_device *dev = find(BUS_PIO, port, 1);
	u8 val;

	assert_int_equal(dev->read(vm->vcpus[0], dev, port, 1, &val), 0);
	return val;
}

static void ioapic_access(struct vm *vm, u8 reg, u32 *val, bool write)
{
	struct io_device *dev = find(BUS_MMIO, 0xfec00000, 4);
	u32 select = reg;

	assert_int_equal(dev->write(vm->vcpus[0], dev, 0xfec00000, 4, &select), 0);
	if (write)
		assert_int_equal(dev->write(vm->vcpus[0], dev, 0xfec00010, 4, val), 0);
	else
		assert_int_equal(dev->read(vm->vcpus[0], dev, 0xfec00010, 4, val), 0);
}

u32 ioapic_get(struct vm *vm, u8 reg)
{
	u32 val;

	ioapic_access(vm, reg, &val, false);
	return val;
}

void ioapic_set(struct vm *vm, u8 reg, u32 val)
{
	ioapic_access(vm, reg, &val, true);
}

void ioapic_entry(struct vm *vm, int pin, u64 entry)
{
	ioapic_set(vm, 0x11 + 2 * pin, entry >> 32);
	ioapic_set(vm, 0x10 + 2 * pin, entry);
}

u32 apic_get(struct vcpu *vcpu, u32 reg)
{
	u64 gpa = (vcpu->apic_base & ~0xfffULL) + reg;
	u32 val;

	assert_true(lapic_in_range(vcpu, gpa));
	assert_int_equal(lapic_mmio_read(vcpu, gpa, 4, &val), 0);
	return val;
}

void apic_set(struct vcpu *vcpu, u32 reg, u32 val)
{
	u64 gpa = (vcpu->apic_base & ~0xfffULL) + reg;

	assert_true(lapic_in_range(vcpu, gpa));
	assert_int_equal(lapic_mmio_write(vcpu, gpa, 4, &val), 0);
}

void apic_enable(struct vcpu *vcpu)
{
	apic_set(vcpu, LAPIC_SVR, 0x1ff);
}

void apic_x2apic(struct vcpu *vcpu)
{
	assert_int_equal(lapic_set_base(vcpu, vcpu->apic_base | APIC_BASE_X2APIC, false), 0);
}

int take(struct vcpu *vcpu)
{
	return irq_pending(vcpu) ? irq_acknowledge(vcpu) : -1;
}

bool requested(struct vcpu *vcpu)
{
	return vcpu_take_request(vcpu, REQ_EVENT);
}

void pic_setup(struct vm *vm)
{
	static const u8 words[2][4] = { { 0x11, 0x20, 0x04, 0x01 }, { 0x11, 0x28, 0x02, 0x01 } };
	int chip, i;

	for (chip = 0; chip < 2; chip++)
		for (i = 0; i < 4; i++)
			outb(vm, (chip ? 0xa0 : 0x20) + !!i, words[chip][i]);
}

/* ---- the CPU does nothing of a local APIC by itself -------------------------------------------- */

bool hw_has_timer(void)
{
	return cpu_has_timer;
}

bool vcpu_runnable(struct vcpu *vcpu)
{
	return vcpu->mp_state == MP_RUNNABLE;
}

unsigned int hw_apic_features(void)
{
	return 0;
}

void hw_apic_changed(struct vcpu *vcpu, void *page, bool x2apic)
{
}

void hw_apic_sync(struct vcpu *vcpu, int irr, int isr, const u64 eoi_exits[4])
{
}
