// SPDX-License-Identifier: GPL-2.0
/* The state of chips and of a vCPU's events, out and in: *_IRQCHIP, *_PIT2, *_LAPIC, *_MP_STATE, … */
#include <signal.h>
#include <string.h>

#include "chips.h"

#define MASTER	MINIVMM_IRQCHIP_PIC_MASTER
#define SLAVE	MINIVMM_IRQCHIP_PIC_SLAVE
#define IOAPIC	MINIVMM_IRQCHIP_IOAPIC

static struct minivmm_irqchip get_chip(struct vm *vm, u32 id)
{
	struct minivmm_irqchip chip = { .chip_id = id };

	CHECK_OK(ioctl(vm->fd, MINIVMM_GET_IRQCHIP, &chip));
	return chip;
}

static void set_chip(struct vm *vm, const struct minivmm_irqchip *chip)
{
	CHECK_OK(ioctl(vm->fd, MINIVMM_SET_IRQCHIP, chip));
}

/* ---- PICs and I/O APIC ----------------------------------------------------------------------- */

TEST(irqchip_refuses)
{
	struct minivmm_irqchip chip = { .chip_id = 3 };
	struct vm *vm = vm_with_chips(), *none = vm_create();

	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_GET_IRQCHIP, &chip), EINVAL);
	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_SET_IRQCHIP, &chip), EINVAL);
	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_GET_IRQCHIP, BAD_POINTER), EFAULT);
	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_SET_IRQCHIP, BAD_POINTER), EFAULT);
	chip.chip_id = 0;
	CHECK_ERRNO(ioctl(none->fd, MINIVMM_GET_IRQCHIP, &chip), ENXIO);
	CHECK_ERRNO(ioctl(none->fd, MINIVMM_SET_IRQCHIP, &chip), ENXIO);
}

TEST(ioapic_after_power_on)
{
	struct minivmm_irqchip chip = get_chip(vm_with_chips(), IOAPIC);

	CHECK_EQ(chip.chip.ioapic.base_address, 0xfec00000);
	CHECK_EQ(chip.chip.ioapic.irr, 0);
	CHECK_EQ(chip.chip.ioapic.id, 0);
	for (int i = 0; i < 24; i++)
		CHECK_EQ(chip.chip.ioapic.redirtbl[i], IOAPIC_MASKED);
}

TEST(ioapic_comes_back)
{
	struct vm *vm = vm_with_chips();
	struct minivmm_irqchip chip = get_chip(vm, IOAPIC), got;

	for (int i = 0; i < 24; i++)
		chip.chip.ioapic.redirtbl[i] = IOAPIC_MASKED | (0x30 + i) | (u64)i << 56;
	chip.chip.ioapic.ioregsel = 0x12;
	chip.chip.ioapic.id = 5;
	set_chip(vm, &chip);
	got = get_chip(vm, IOAPIC);
	CHECK_MEM(&got, &chip, sizeof(got));
}

/* What is asserted is sent when the state comes in, unless it was. */
TEST(ioapic_sends_what_is_asserted)
{
	struct vm *vm = vm_with_chips();
	struct runner *r = start_run(boot_counter(vm, false));
	struct minivmm_irqchip chip;

	wait_for_guest(word(vm, READY), 1);
	chip = get_chip(vm, IOAPIC);
	chip.chip.ioapic.irr = 1 << 9 | 1 << 10;
	chip.chip.ioapic.redirtbl[9] = 0x49 | IOAPIC_LEVEL;
	chip.chip.ioapic.redirtbl[10] = 0x4a | IOAPIC_LEVEL | IOAPIC_REMOTE;
	set_chip(vm, &chip);
	/* The guest ends it, and the line is still up. */
	CHECK(EVENTUALLY(count_of(vm, 0x49) >= 3));
	CHECK_EQ(count_of(vm, 0x4a), 0);
	CHECK_OK(irq_line(vm, 9, 0));
	end_counter(vm, r, 0x50);
}

TEST(pics_come_back)
{
	struct vm *vm = vm_with_chips();

	for (u32 id = MASTER; id <= SLAVE; id++) {
		struct minivmm_irqchip chip = get_chip(vm, id), got;

		context("chip %u", id);
		CHECK_EQ(chip.chip.pic.elcr_mask, id == MASTER ? 0xf8 : 0xde);
		chip.chip.pic = (struct minivmm_pic_state){
			.last_irr = 0x20, .irr = 0x20, .imr = 0xfe, .isr = 8, .priority_add = 2,
			.irq_base = 0x38, .read_reg_select = 1, .poll = 0, .special_mask = 1,
			.init_state = 2, .auto_eoi = 1, .rotate_on_auto_eoi = 1,
			.special_fully_nested_mode = 1, .init4 = 1, .elcr = 0x40,
			.elcr_mask = chip.chip.pic.elcr_mask,
		};
		set_chip(vm, &chip);
		got = get_chip(vm, id);
		CHECK_MEM(&got, &chip, sizeof(got));
	}
}

/* Lines as a client sees them. */
TEST(pic_lines_are_in_its_state)
{
	struct vm *vm = vm_with_chips();

	CHECK_OK(irq_line(vm, 5, 1));
	CHECK_OK(irq_line(vm, 12, 1));
	CHECK_EQ(get_chip(vm, MASTER).chip.pic.irr, 1 << 5 | 1 << 2);
	CHECK_EQ(get_chip(vm, MASTER).chip.pic.last_irr & 0x20, 0x20);
	CHECK_EQ(get_chip(vm, SLAVE).chip.pic.irr, 1 << 4);
	CHECK_OK(irq_line(vm, 5, 0));
	CHECK_EQ(get_chip(vm, MASTER).chip.pic.last_irr & 0x20, 0);
	CHECK_EQ(get_chip(vm, IOAPIC).chip.ioapic.irr, 1 << 12);
}

/* Any bytes at all: nothing may break. */
TEST(chips_take_any_state)
{
	struct vm *vm = vm_with_chips();
	struct vcpu *v = boot_counter(vm, false);
	struct minivmm_pit_config config = {};
	struct minivmm_pit_state2 pit;
	struct minivmm_lapic_state lapic;
	u8 bytes[sizeof(struct minivmm_irqchip)];
	u32 seed = 1;

	CHECK_OK(ioctl(vm->fd, MINIVMM_CREATE_PIT2, &config));
	catch_signal(SIGUSR1);
	for (int round = 0; round < 60; round++) {
		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (seed = seed * 1664525 + 1013904223) >> 24;
		memcpy(bytes, &(u32){ round % 3 }, sizeof(u32));
		CHECK_OK(ioctl(vm->fd, MINIVMM_SET_IRQCHIP, bytes));
		memcpy(&pit, bytes, sizeof(pit));
		CHECK_OK(ioctl(vm->fd, MINIVMM_SET_PIT2, &pit));
		for (size_t i = 0; i < sizeof(lapic); i++)
			lapic.regs[i] = bytes[(i * 7 + round) % sizeof(bytes)];
		/* KVM reports the id of another vCPU as it is set, and warns. */
		memset(lapic.regs + 0x20, 0, 4);
		CHECK_OK(ioctl(v->fd, MINIVMM_SET_LAPIC, &lapic));
		for (u32 gsi = 0; gsi < 24; gsi++)
			CHECK_OK(irq_line(vm, gsi, round & 1));
		CHECK_OK(ioctl(v->fd, MINIVMM_GET_LAPIC, &lapic));
		CHECK_OK(ioctl(vm->fd, MINIVMM_GET_PIT2, &pit));
	}
	signal_every(5000, SIGUSR1);
	vcpu_run(v);	/* however it ends */
	signal_every(0, SIGUSR1);
}

/* ---- PIT ------------------------------------------------------------------------------------- */

TEST(pit_refuses)
{
	struct minivmm_reinject_control control = {};
	struct minivmm_pit_state2 state;
	struct vm *vm = vm_with_chips();

	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_GET_PIT2, &state), ENXIO);
	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_SET_PIT2, &state), ENXIO);
	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_SET_PIT2, BAD_POINTER), EFAULT);
	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_REINJECT_CONTROL, &control), ENXIO);
	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_REINJECT_CONTROL, BAD_POINTER), EFAULT);
}

static struct vm *vm_with_pit(void)
{
	struct minivmm_pit_config config = {};
	struct vm *vm = vm_with_chips();

	CHECK_OK(ioctl(vm->fd, MINIVMM_CREATE_PIT2, &config));
	return vm;
}

static struct minivmm_pit_state2 get_pit(struct vm *vm)
{
	struct minivmm_pit_state2 state;

	CHECK_OK(ioctl(vm->fd, MINIVMM_GET_PIT2, &state));
	return state;
}

TEST(pit_after_power_on)
{
	struct minivmm_pit_state2 state = get_pit(vm_with_pit());

	CHECK_EQ(state.flags, 0);
	for (int i = 0; i < 3; i++) {
		context("channel %d", i);
		CHECK_EQ(state.channels[i].mode, 0xff);
		CHECK_EQ(state.channels[i].count, 0x10000);
		CHECK_EQ(state.channels[i].gate, i != 2);
	}
}

GUEST64(program_pit,
	mov $0x34, %al; out %al, $0x43;		/* channel 0, 16 bits, mode 2 */
	mov $0xa9, %al; out %al, $0x40;
	mov $0x04, %al; out %al, $0x40;
	mov $0x90, %al; out %al, $0x43;		/* channel 2, LSB, mode 0 */
	mov $0x77, %al; out %al, $0x42;
	mov $0x70, %al; out %al, $0x43;		/* channel 1, 16 bits, mode 0: half a count */
	mov $0x11, %al; out %al, $0x41;
	out %al, $0x10;
	1: hlt; jmp 1b)

TEST(pit_tells_what_was_programmed)
{
	struct vm *vm = vm_with_pit();
	struct minivmm_pit_state2 state, again;

	RUN_TO_OUT(BOOT_IN(vm, LONG64, program_pit), 0x10, 0x11, 1);
	state = get_pit(vm);
	CHECK_EQ(state.channels[0].mode, 2);
	CHECK_EQ(state.channels[0].count, 0x4a9);
	CHECK_EQ(state.channels[0].rw_mode, 3);
	CHECK_EQ(state.channels[0].read_state, 3);
	CHECK_EQ(state.channels[2].mode, 0);
	CHECK_EQ(state.channels[2].count, 0x77);
	CHECK_EQ(state.channels[2].rw_mode, 1);
	CHECK_EQ(state.channels[1].write_state, 4);
	CHECK_EQ(state.channels[1].write_latch, 0x11);
	state.flags = MINIVMM_PIT_FLAGS_SPEAKER_DATA_ON;
	CHECK_OK(ioctl(vm->fd, MINIVMM_SET_PIT2, &state));
	again = get_pit(vm);
	for (int i = 0; i < 3; i++)
		state.channels[i].count_load_time = again.channels[i].count_load_time = 0;
	/* A channel without a count has been given one: so it is with KVM's. */
	again.channels[1].mode = state.channels[1].mode;
	CHECK_MEM(&again, &state, sizeof(state));
}

/* The PIT is set to a tick each millisecond, until so many have come as the vector. */
static void tick_until(struct vm *vm, u32 vector, u32 ticks)
{
	struct minivmm_pit_state2 state = get_pit(vm);

	state.channels[0].mode = 2;
	state.channels[0].rw_mode = 3;
	state.channels[0].count = 1193;
	CHECK_OK(ioctl(vm->fd, MINIVMM_SET_PIT2, &state));
	CHECK(EVENTUALLY(count_of(vm, vector) >= ticks));
}

/* Ticks begin with the state that comes in. */
TEST(pit_ticks_after_set)
{
	struct vm *vm = vm_with_pit();
	struct runner *r = start_run(boot_counter(vm, false));

	wait_for_guest(word(vm, READY), 1);
	ioapic_entry(vm, 0, 0x40);
	tick_until(vm, 0x40, 5);
	end_counter(vm, r, 0x50);
}

/* Another GSI for the pin: the guest's EOIs let ticks go on (Linux' and QEMU's pin 2). */
TEST(pit_ticks_by_another_pin)
{
	struct minivmm_irq_routing_entry route = to_pin(0, IOAPIC, 2);
	struct vm *vm = vm_with_pit();
	struct runner *r = start_run(boot_counter(vm, false));

	wait_for_guest(word(vm, READY), 1);
	CHECK_OK(set_routing(vm, &route, 1));
	ioapic_entry(vm, 2, 0x42);
	tick_until(vm, 0x42, 20);
	end_counter(vm, r, 0x50);
}

/* ---- local APIC ------------------------------------------------------------------------------ */

static u32 reg(const struct minivmm_lapic_state *s, u32 offset)
{
	u32 v;

	memcpy(&v, s->regs + offset, sizeof(v));
	return v;
}

static void set_reg(struct minivmm_lapic_state *s, u32 offset, u32 v)
{
	memcpy(s->regs + offset, &v, sizeof(v));
}

static struct minivmm_lapic_state get_lapic(struct vcpu *v)
{
	struct minivmm_lapic_state s;

	CHECK_OK(ioctl(v->fd, MINIVMM_GET_LAPIC, &s));
	return s;
}

TEST(lapic_refuses)
{
	struct vcpu *v = vcpu_create(vm_create(), 0);
	struct minivmm_lapic_state s;

	CHECK_ERRNO(ioctl(v->fd, MINIVMM_GET_LAPIC, &s), EINVAL);
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_LAPIC, &s), EINVAL);
	v = vcpu_create(vm_with_chips(), 0);
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_GET_LAPIC, BAD_POINTER), EFAULT);
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_LAPIC, BAD_POINTER), EFAULT);
}

TEST(lapic_after_reset)
{
	struct vm *vm = vm_with_chips();
	struct minivmm_lapic_state s = get_lapic(vcpu_create(vm, 0));

	CHECK_EQ(reg(&s, 0x20), 0);
	CHECK_EQ(reg(&s, 0x30), 0x50014);
	CHECK_EQ(reg(&s, 0xf0), 0xff);
	CHECK_EQ(reg(&s, 0xe0), ~0u);
	CHECK_EQ(reg(&s, 0x320), 0x10000);
	s = get_lapic(vcpu_create(vm, 3));
	CHECK_EQ(reg(&s, 0x20), 3u << 24);
}

TEST(lapic_comes_back)
{
	struct vcpu *v = vcpu_create(vm_with_chips(), 0);
	struct minivmm_lapic_state s = get_lapic(v), got;

	set_reg(&s, 0x80, 0x20);		/* TPR */
	set_reg(&s, 0xa0, 0x20);		/* PPR */
	set_reg(&s, 0xd0, 0x03000000);
	set_reg(&s, 0xf0, 0x1ff);
	set_reg(&s, 0x220, 0x100);		/* IRR: vector 0x48 */
	set_reg(&s, 0x1a0, 0x100);		/* TMR */
	set_reg(&s, 0x300, 0xc4500);
	set_reg(&s, 0x310, 0x05000000);
	set_reg(&s, 0x350, 0x700);
	set_reg(&s, 0x370, 0x33);
	set_reg(&s, 0x3e0, 0xb);
	CHECK_OK(ioctl(v->fd, MINIVMM_SET_LAPIC, &s));
	got = get_lapic(v);
	CHECK_MEM(&got, &s, sizeof(s));
}

TEST(lapic_delivers_what_is_set)
{
	struct vm *vm = vm_with_chips();
	struct vcpu *v = boot_counter(vm, false);
	struct minivmm_lapic_state s;

	run_interrupted(v, 10, word(vm, READY), 1);
	s = get_lapic(v);
	CHECK_EQ(reg(&s, 0xf0), 0x1ff);
	set_reg(&s, 0x220, 0x100);
	CHECK_OK(ioctl(v->fd, MINIVMM_SET_LAPIC, &s));
	*word(vm, GO_ON) = 1;
	RUN_TO(v, MINIVMM_EXIT_IO);
	CHECK_EQ(count_of(vm, 0x48), 1);
}

/* A one-shot timer that has some of its count left; and a periodic one. */
TEST(lapic_timer_goes_on)
{
	struct vm *vm = vm_with_chips();
	struct vcpu *v = boot_counter(vm, false);
	struct minivmm_lapic_state s;
	struct runner *r;
	u32 left;

	run_interrupted(v, 10, word(vm, READY), 1);
	s = get_lapic(v);
	set_reg(&s, 0x320, 0x51);
	set_reg(&s, 0x3e0, 0xb);
	set_reg(&s, 0x380, 0xf0000000);
	set_reg(&s, 0x390, 1000000);		/* 1 ms */
	CHECK_OK(ioctl(v->fd, MINIVMM_SET_LAPIC, &s));
	s = get_lapic(v);
	left = reg(&s, 0x390);
	CHECK(left <= 1000000);
	r = start_run(v);
	wait_for_count(vm, 0x51, 1);
	end_counter(vm, r, 0x50);
	s = get_lapic(v);
	CHECK_EQ(reg(&s, 0x390), 0);
	CHECK_EQ(count_of(vm, 0x51), 1);
	set_reg(&s, 0x320, 0x20052);
	set_reg(&s, 0x380, 1000000);
	set_reg(&s, 0x390, 500000);
	CHECK_OK(ioctl(v->fd, MINIVMM_SET_LAPIC, &s));
	s = get_lapic(v);
	CHECK(reg(&s, 0x390) <= 1000000);
}

TEST(lapic_id_in_x2apic_mode)
{
	struct vm *vm = vm_with_chips();
	struct vcpu *v = vcpu_create(vm, 3);
	struct minivmm_sregs sregs = get_sregs(v);
	struct minivmm_lapic_state s;
	u64 id;

	sregs.apic_base |= 1 << 10;
	set_sregs(v, &sregs);
	s = get_lapic(v);
	CHECK_EQ(reg(&s, 0x20), 3u << 24);
	CHECK_EQ(reg(&s, 0xd0), 1 << 3);
	CHECK_OK(ioctl(v->fd, MINIVMM_SET_LAPIC, &s));
	CHECK_EQ(get_msr(v, 0x802, &id), 1);
	CHECK_EQ(id, 3);
	s = get_lapic(v);
	CHECK_EQ(reg(&s, 0xd0), 1 << 3);
}

/* ---- MP state -------------------------------------------------------------------------------- */

static u32 mp_state(struct vcpu *v)
{
	struct minivmm_mp_state s;

	CHECK_OK(ioctl(v->fd, MINIVMM_GET_MP_STATE, &s));
	return s.mp_state;
}

static int set_mp_state(struct vcpu *v, u32 state)
{
	struct minivmm_mp_state s = { state };

	return ioctl(v->fd, MINIVMM_SET_MP_STATE, &s);
}

TEST(mp_state_of_new_vcpus)
{
	struct vm *vm = vm_with_chips();

	CHECK_EQ(mp_state(vcpu_create(vm, 0)), MINIVMM_MP_STATE_RUNNABLE);
	CHECK_EQ(mp_state(vcpu_create(vm, 1)), MINIVMM_MP_STATE_UNINITIALIZED);
	CHECK_EQ(mp_state(vcpu_create(vm_create(), 1)), MINIVMM_MP_STATE_RUNNABLE);
}

/* It is what vCPU 0 is otherwise: runs by itself, has BSP set, and its LINT0 listens to the PICs. */
TEST(another_vcpu_than_0_can_be_the_first)
{
	struct vm *vm = vm_with_chips();
	struct minivmm_lapic_state lapic;
	struct vcpu *v;

	CHECK_OK(ioctl(vm->fd, MINIVMM_SET_BOOT_CPU_ID, 7l));
	CHECK_OK(ioctl(vm->fd, MINIVMM_SET_BOOT_CPU_ID, 1l));
	for (int i = 0; i < 2; i++) {
		context("vCPU %d", i);
		v = vcpu_create(vm, i);
		lapic = get_lapic(v);
		CHECK_EQ(get_sregs(v).apic_base, i ? 0xfee00900 : 0xfee00800);
		CHECK_EQ(mp_state(v), i ? MINIVMM_MP_STATE_RUNNABLE :
					  MINIVMM_MP_STATE_UNINITIALIZED);
		CHECK_EQ(reg(&lapic, 0x350), i ? 0x700 : 0x10000);
	}
	CHECK_ERRNO(ioctl(vm->fd, MINIVMM_SET_BOOT_CPU_ID, 0), EBUSY);
}

TEST(mp_state_refuses)
{
	struct vcpu *v = vcpu_create(vm_create(), 0), *in_kernel = vcpu_create(vm_with_chips(), 0);

	CHECK_OK(set_mp_state(v, MINIVMM_MP_STATE_RUNNABLE));
	for (u32 s = MINIVMM_MP_STATE_UNINITIALIZED; s <= MINIVMM_MP_STATE_SIPI_RECEIVED; s++) {
		context("state %u", s);
		CHECK_ERRNO(set_mp_state(v, s), EINVAL);
		CHECK_OK(set_mp_state(in_kernel, s));
	}
	context("%s", "");
	CHECK_ERRNO(set_mp_state(in_kernel, 5), EINVAL);
	CHECK_ERRNO(set_mp_state(in_kernel, ~0u), EINVAL);
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_GET_MP_STATE, BAD_POINTER), EFAULT);
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_MP_STATE, BAD_POINTER), EFAULT);
}

TEST(mp_state_halted)
{
	struct vm *vm = vm_with_chips();
	struct vcpu *v = boot_counter(vm, false);

	run_to_sleep(v);
	CHECK_EQ(mp_state(v), MINIVMM_MP_STATE_HALTED);
	CHECK_EQ(*word(vm, READY), 1);
	/* Without an interrupt, it goes on behind the HLT. */
	*word(vm, GO_ON) = 1;
	CHECK_OK(set_mp_state(v, MINIVMM_MP_STATE_RUNNABLE));
	RUN_TO(v, MINIVMM_EXIT_IO);
	CHECK_EQ(v->run->io.port, 0x10);
}

GUEST16(started, mov $0x5a, %al; out %al, $0x10; hlt)

/* A client starts another vCPU: as if its SIPI had come. */
TEST(mp_state_sipi_received)
{
	struct vm *vm = vm_with_chips();
	struct minivmm_vcpu_events e;
	struct vcpu *v;

	vcpu_create(vm, 0);
	v = vcpu_create(vm, 1);
	LOAD(vm, 0x7000, started);
	CHECK_OK(ioctl(v->fd, MINIVMM_GET_VCPU_EVENTS, &e));
	CHECK_EQ(e.sipi_vector, 0);
	e.sipi_vector = 7;
	e.flags |= MINIVMM_VCPUEVENT_VALID_SIPI_VECTOR;
	CHECK_OK(ioctl(v->fd, MINIVMM_SET_VCPU_EVENTS, &e));
	CHECK_OK(set_mp_state(v, MINIVMM_MP_STATE_SIPI_RECEIVED));
	CHECK_EQ(mp_state(v), MINIVMM_MP_STATE_RUNNABLE);
	CHECK_EQ(get_sregs(v).cs.base, 0x7000);
	if (!opt.oracle || kvm_has("unrestricted_guest"))
		RUN_TO_OUT(v, 0x10, 0x5a, 1);
}

/* ---- events ---------------------------------------------------------------------------------- */

static struct minivmm_vcpu_events get_events(struct vcpu *v)
{
	struct minivmm_vcpu_events e;

	CHECK_OK(ioctl(v->fd, MINIVMM_GET_VCPU_EVENTS, &e));
	return e;
}

static int set_events(struct vcpu *v, const struct minivmm_vcpu_events *e)
{
	return ioctl(v->fd, MINIVMM_SET_VCPU_EVENTS, e);
}

TEST(events_refuse)
{
	struct vcpu *v = vcpu_create(vm_create(), 0);
	struct minivmm_vcpu_events e = get_events(v), bad;

	CHECK_EQ(e.flags, 13);
	for (int bit = 4; bit < 32; bit++) {
		context("flag %d", bit);
		bad = e;
		bad.flags |= 1u << bit;
		CHECK_ERRNO(set_events(v, &bad), EINVAL);
	}
	context("%s", "");
	bad = e;
	bad.exception.injected = 1;
	bad.exception.nr = 32;
	CHECK_ERRNO(set_events(v, &bad), EINVAL);
	bad.exception.nr = 2;
	CHECK_ERRNO(set_events(v, &bad), EINVAL);
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_GET_VCPU_EVENTS, BAD_POINTER), EFAULT);
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_VCPU_EVENTS, BAD_POINTER), EFAULT);
	CHECK_OK(set_events(v, &e));
}

#define GP_HANDLER	(CODE + 0x1000)
#define NMI_HANDLER	(CODE + 0x1100)
#define IRQ_HANDLER	(CODE + 0x1200)

GUEST64(halt, 1: hlt; jmp 1b)
GUEST64(on_gp, pop %rax; out %al, $0x13; iretq)
GUEST64(on_nmi, out %al, $0x12; iretq)
GUEST64(on_irq, out %al, $0x11; iretq)
GUEST64(two_outs, sti; out %al, $0x10; out %al, $0x14; hlt)

static struct vcpu *boot_with_handlers(const void *code, size_t size)
{
	struct vcpu *v = boot(LONG64, code, size);

	LOAD(v->vm, GP_HANDLER, on_gp);
	LOAD(v->vm, NMI_HANDLER, on_nmi);
	LOAD(v->vm, IRQ_HANDLER, on_irq);
	vm_set_gate(v->vm, 13, GP_HANDLER);
	vm_set_gate(v->vm, 2, NMI_HANDLER);
	vm_set_gate(v->vm, 0x40, IRQ_HANDLER);
	return v;
}

#define BOOT_HANDLERS(name) boot_with_handlers(guest_##name, guest_##name##_end - guest_##name)

TEST(events_inject_an_exception)
{
	struct vcpu *v = BOOT_HANDLERS(halt);
	struct minivmm_vcpu_events e = get_events(v);

	e.exception.injected = 1;
	e.exception.nr = 13;
	e.exception.has_error_code = 1;
	e.exception.error_code = 0x58;
	CHECK_OK(set_events(v, &e));
	e = get_events(v);
	CHECK_EQ(e.exception.injected, 1);
	CHECK_EQ(e.exception.nr, 13);
	CHECK_EQ(e.exception.error_code, 0x58);
	RUN_TO_OUT(v, 0x13, 0x58, 1);
	CHECK_EQ(get_events(v).exception.injected, 0);
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

TEST(events_inject_an_interrupt)
{
	struct vcpu *v = BOOT_HANDLERS(halt);
	struct minivmm_vcpu_events e = get_events(v);
	struct minivmm_regs regs = get_regs(v);

	/* Else the CPU refuses the entry. */
	regs.rflags |= 0x200;
	set_regs(v, &regs);
	e.interrupt.injected = 1;
	e.interrupt.nr = 0x40;
	CHECK_OK(set_events(v, &e));
	CHECK_EQ(get_events(v).interrupt.injected, 1);
	RUN_TO(v, MINIVMM_EXIT_IO);
	CHECK_EQ(v->run->io.port, 0x11);
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

TEST(events_of_nmis)
{
	struct vcpu *v = BOOT_HANDLERS(halt);
	struct minivmm_vcpu_events e;

	need_virtual_nmis();
	CHECK_OK(ioctl(v->fd, MINIVMM_NMI, 0));
	e = get_events(v);
	CHECK_EQ(e.nmi.pending, 1);
	CHECK_EQ(e.nmi.masked, 0);
	/* Taken away again. */
	e.nmi.pending = 0;
	CHECK_OK(set_events(v, &e));
	RUN_TO(v, MINIVMM_EXIT_HLT);
	/* Put there, and in the handler they are masked. */
	e = get_events(v);
	e.nmi.pending = 1;
	CHECK_OK(set_events(v, &e));
	RUN_TO(v, MINIVMM_EXIT_IO);
	CHECK_EQ(v->run->io.port, 0x12);
	CHECK_EQ(get_events(v).nmi.masked, 1);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_events(v).nmi.masked, 0);
	/* Without its flag it isn't looked at. */
	e = get_events(v);
	e.nmi.pending = 1;
	e.flags = 0;
	CHECK_OK(set_events(v, &e));
	RUN_TO(v, MINIVMM_EXIT_HLT);
	/* Masked it waits. */
	e.nmi.masked = 1;
	e.flags = MINIVMM_VCPUEVENT_VALID_NMI_PENDING;
	CHECK_OK(set_events(v, &e));
	RUN_TO(v, MINIVMM_EXIT_HLT);
	e.nmi.masked = 0;
	CHECK_OK(set_events(v, &e));
	RUN_TO(v, MINIVMM_EXIT_IO);
	CHECK_EQ(v->run->io.port, 0x12);
}

TEST(events_of_interrupt_shadows)
{
	struct vcpu *v = BOOT_HANDLERS(two_outs);
	struct minivmm_vcpu_events e;

	/* The exit is that of the instruction behind STI, which isn't done yet. */
	RUN_TO(v, MINIVMM_EXIT_IO);
	CHECK_EQ(v->run->io.port, 0x10);
	CHECK_EQ(get_events(v).interrupt.shadow, MINIVMM_X86_SHADOW_INT_STI);
	v->run->immediate_exit = 1;
	CHECK_ERRNO(vcpu_run(v), EINTR);
	v->run->immediate_exit = 0;
	e = get_events(v);
	CHECK_EQ(e.interrupt.shadow, 0);
	/* One more instruction undisturbed. */
	e.interrupt.shadow = MINIVMM_X86_SHADOW_INT_MOV_SS;
	CHECK_OK(set_events(v, &e));
	CHECK_EQ(get_events(v).interrupt.shadow, MINIVMM_X86_SHADOW_INT_MOV_SS);
	v->run->request_interrupt_window = 1;
	RUN_TO(v, MINIVMM_EXIT_IO);
	CHECK_EQ(v->run->io.port, 0x14);
	RUN_TO(v, MINIVMM_EXIT_IRQ_WINDOW_OPEN);
}
