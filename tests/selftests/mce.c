// SPDX-License-Identifier: GPL-2.0
/* Machine checks that a client reports: X86_GET_MCE_CAP_SUPPORTED, X86_SETUP_MCE, X86_SET_MCE. */
#include "vm.h"

#define MSR_MCG_CAP	0x179
#define MSR_MCG_STATUS	0x17a
#define MSR_MCG_CTL	0x17b
#define MSR_MC_CTL2(n)	(0x280 + (n))
#define MSR_MC_CTL(n)	(0x400 + 4 * (n))
#define MSR_MC_STATUS(n) (0x401 + 4 * (n))
#define MSR_MC_ADDR(n)	(0x402 + 4 * (n))
#define MSR_MC_MISC(n)	(0x403 + 4 * (n))

#define BANKS		10
#define MOST_BANKS	32
#define MCG_CTL_P	(1ull << 8)
#define MCG_SER_P	(1ull << 24)
#define CAP		(MCG_CTL_P | MCG_SER_P | BANKS)

#define RIPV		(1ull << 0)	/* of MCG_STATUS */
#define MCIP		(1ull << 2)
#define VAL		(1ull << 63)	/* of a bank's status */
#define OVER		(1ull << 62)
#define UC		(1ull << 61)
#define EN		(1ull << 60)
#define MISCV		(1ull << 59)
#define ADDRV		(1ull << 58)
#define S		(1ull << 56)
#define AR		(1ull << 55)

#define BAD_POINTER	((void *)8)

#define MC_VECTOR	18
#define HANDLER		(CODE + 0x1000)
#define GP_HANDLER	(CODE + 0x2000)
#define CR4_MCE		(1u << 6)

GUEST64(halt, 1: hlt; jmp 1b)
GUEST64(on_machine_check, out %al, $0x23; hlt)
GUEST64(on_gp, out %al, $0x24; hlt)

static int setup(struct vcpu *v, u64 cap)
{
	return ioctl(v->fd, MINIVMM_X86_SETUP_MCE, &cap);
}

/* At its first HLT, with CR4.MCE or without. */
static struct vcpu *boot_with_banks(u64 cap, bool enabled)
{
	struct vcpu *v = BOOT(LONG64, halt);
	struct minivmm_sregs sregs = get_sregs(v);

	LOAD(v->vm, HANDLER, on_machine_check);
	vm_set_gate(v->vm, MC_VECTOR, HANDLER);
	sregs.cr4 = (sregs.cr4 & ~(u64)CR4_MCE) | (enabled ? CR4_MCE : 0);
	set_sregs(v, &sregs);
	CHECK_OK(setup(v, cap));
	RUN_TO(v, MINIVMM_EXIT_HLT);
	return v;
}

static int report(struct vcpu *v, int bank, u64 status, u64 mcg_status)
{
	struct minivmm_x86_mce mce = {
		.status = status, .mcg_status = mcg_status, .addr = 0x1234000 + bank, .misc = 0x8c,
		.bank = bank,
	};

	return ioctl(v->fd, MINIVMM_X86_SET_MCE, &mce);
}

static u64 msr(struct vcpu *v, u32 index)
{
	u64 data;

	context("MSR %#x", index);
	CHECK_EQ(get_msr(v, index, &data), 1);
	return data;
}

static void check_bank(struct vcpu *v, int bank, u64 status)
{
	context("bank %d", bank);
	CHECK_EQ(msr(v, MSR_MC_STATUS(bank)), status);
	CHECK_EQ(msr(v, MSR_MC_ADDR(bank)), status ? 0x1234000 + bank : 0);
	CHECK_EQ(msr(v, MSR_MC_MISC(bank)), status ? 0x8c : 0);
}

/* ---- what there is ------------------------------------------------------------------------------- */

TEST(what_is_supported)
{
	int node = node_open();
	u64 cap;

	CHECK_EQ(node_extension(MINIVMM_CAP_MCE), MOST_BANKS);
	CHECK_OK(ioctl(node, MINIVMM_X86_GET_MCE_CAP_SUPPORTED, &cap));
	CHECK_EQ(cap & (MCG_CTL_P | MCG_SER_P), MCG_CTL_P | MCG_SER_P);
	CHECK_EQ(cap & 0xff, 0);
	CHECK_ERRNO(ioctl(node, MINIVMM_X86_GET_MCE_CAP_SUPPORTED, BAD_POINTER), EFAULT);
}

TEST(banks_of_a_vcpu_that_nobody_set_up)
{
	struct vcpu *v = vcpu_create(vm_create(), 0);

	CHECK_EQ(msr(v, MSR_MCG_CAP), MOST_BANKS);
	CHECK_EQ(msr(v, MSR_MCG_CTL), 0);
	CHECK_EQ(msr(v, MSR_MC_CTL(MOST_BANKS - 1)), 0);
	CHECK_EQ(set_msr(v, MSR_MCG_CTL, 0), 1);
	CHECK_EQ(set_msr(v, MSR_MCG_CTL, ~0ull), 0);
}

TEST(setup_refuses)
{
	static const u64 wrong[] = { 0, MCG_CTL_P, MOST_BANKS + 1, 1ull << 9 | BANKS, 1ull << 63 | BANKS };
	struct vcpu *v = vcpu_create(vm_create(), 0);

	for (u32 i = 0; i < ARRAY_SIZE(wrong); i++) {
		context("%#llx", (unsigned long long)wrong[i]);
		CHECK_ERRNO(setup(v, wrong[i]), EINVAL);
	}
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_X86_SETUP_MCE, BAD_POINTER), EFAULT);
	CHECK_EQ(msr(v, MSR_MCG_CAP), MOST_BANKS);
}

TEST(banks_that_were_set_up)
{
	struct vcpu *v = vcpu_create(vm_create(), 0);
	u64 data;

	CHECK_OK(setup(v, CAP));
	CHECK_EQ(msr(v, MSR_MCG_CAP), CAP);
	CHECK_EQ(msr(v, MSR_MCG_CTL), ~0ull);
	for (int i = 0; i < BANKS; i++) {
		CHECK_EQ(msr(v, MSR_MC_CTL(i)), ~0ull);
		check_bank(v, i, 0);
		CHECK_EQ(msr(v, MSR_MC_CTL2(i)), 0);
	}
	CHECK_EQ(get_msr(v, MSR_MC_CTL(BANKS), &data), 0);
	CHECK_EQ(set_msr(v, MSR_MC_CTL(BANKS), 0), 0);
	CHECK_EQ(get_msr(v, MSR_MC_CTL2(BANKS), &data), 0);
}

TEST(values_of_their_msrs)
{
	struct vcpu *v = vcpu_create(vm_create(), 0);

	CHECK_OK(setup(v, CAP));
	CHECK_EQ(set_msr(v, MSR_MCG_CTL, 1), 0);
	CHECK_EQ(set_msr(v, MSR_MCG_CTL, 0), 1);
	CHECK_EQ(set_msr(v, MSR_MC_CTL(1), 2), 0);
	CHECK_EQ(set_msr(v, MSR_MC_CTL(1), 0), 1);
	CHECK_EQ(set_msr(v, MSR_MC_CTL(2), ~0ull << 1), 1);
	CHECK_EQ(set_msr(v, MSR_MC_CTL(4), ~(1ull << 10)), 1);
	CHECK_EQ(msr(v, MSR_MC_CTL(4)), ~(1ull << 10));
	/* the client may put back what there was */
	CHECK_EQ(set_msr(v, MSR_MC_STATUS(3), VAL | 5), 1);
	CHECK_EQ(msr(v, MSR_MC_STATUS(3)), VAL | 5);
	CHECK_EQ(set_msr(v, MSR_MCG_STATUS, MCIP), 1);
	CHECK_EQ(msr(v, MSR_MCG_STATUS), MCIP);
	CHECK_EQ(set_msr(v, MSR_MCG_CAP, CAP), 0);
}

/* What the guest may do is less; it tells by #GP. */
GUEST64(write_banks,
	xor %eax, %eax; xor %edx, %edx;
	mov $0x405, %ecx; wrmsr;			/* MC1_STATUS = 0 */
	mov $0x17a, %ecx; wrmsr;			/* MCG_STATUS = 0 */
	mov $0x404, %ecx; rdmsr; out %al, $0x10;	/* MC1_CTL */
	mov $0x405, %ecx; mov $1, %eax; wrmsr; out %al, $0x11)

TEST(a_guest_only_clears)
{
	struct vcpu *v = BOOT(LONG64, write_banks);

	LOAD(v->vm, GP_HANDLER, on_gp);
	vm_set_gate(v->vm, 13, GP_HANDLER);
	CHECK_OK(setup(v, CAP));
	CHECK_EQ(set_msr(v, MSR_MC_STATUS(1), VAL), 1);
	CHECK_EQ(set_msr(v, MSR_MCG_STATUS, MCIP), 1);
	RUN_TO_OUT(v, 0x10, 0xff, 1);
	CHECK_EQ(msr(v, MSR_MC_STATUS(1)), 0);
	CHECK_EQ(msr(v, MSR_MCG_STATUS), 0);
	RUN_TO_OUT(v, 0x24, 1, 1);
}

/* ---- SET_MCE ------------------------------------------------------------------------------------- */

TEST(reports_that_are_refused)
{
	struct vcpu *v = boot_with_banks(CAP, true);

	CHECK_ERRNO(report(v, BANKS, VAL | UC | EN, RIPV | MCIP), EINVAL);
	CHECK_ERRNO(report(v, 0, UC | EN, RIPV | MCIP), EINVAL);
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_X86_SET_MCE, BAD_POINTER), EFAULT);
	for (int i = 0; i < BANKS; i++)
		check_bank(v, i, 0);
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

TEST(uncorrected_error)
{
	const u64 status = VAL | UC | EN | MISCV | ADDRV | S | AR | 0x134;
	struct vcpu *v = boot_with_banks(CAP, true);
	struct minivmm_vcpu_events events;

	CHECK_OK(report(v, 9, status, RIPV | MCIP));
	CHECK_OK(ioctl(v->fd, MINIVMM_GET_VCPU_EVENTS, &events));
	CHECK_EQ(events.exception.nr, MC_VECTOR);
	CHECK_EQ(events.exception.injected, 1);
	CHECK_EQ(events.exception.has_error_code, 0);
	RUN_TO_OUT(v, 0x23, 0, 1);
	check_bank(v, 9, status);
	CHECK_EQ(msr(v, MSR_MCG_STATUS), RIPV | MCIP);

	/* Another while the guest handles this one is the end of it. */
	CHECK_OK(report(v, 8, status, RIPV | MCIP));
	RUN_TO(v, MINIVMM_EXIT_SHUTDOWN);
	check_bank(v, 8, 0);
}

TEST(uncorrected_errors_without_cr4_mce)
{
	struct vcpu *v = boot_with_banks(CAP, false);

	CHECK_OK(report(v, 0, VAL | UC | EN, RIPV | MCIP));
	RUN_TO(v, MINIVMM_EXIT_SHUTDOWN);
	check_bank(v, 0, 0);
}

/* A guest that has switched reporting off, of all or of a bank, hears nothing. */
TEST(errors_that_are_not_reported)
{
	struct vcpu *v = boot_with_banks(CAP, true);

	CHECK_EQ(set_msr(v, MSR_MC_CTL(1), 0), 1);
	CHECK_OK(report(v, 1, VAL | UC | EN, RIPV | MCIP));
	check_bank(v, 1, 0);
	CHECK_EQ(set_msr(v, MSR_MCG_CTL, 0), 1);
	CHECK_OK(report(v, 2, VAL | UC | EN, RIPV | MCIP));
	check_bank(v, 2, 0);
	RUN_TO(v, MINIVMM_EXIT_HLT);

	/* without MCG_CTL the bank's alone counts */
	CHECK_OK(setup(v, MCG_SER_P | BANKS));
	CHECK_OK(report(v, 2, VAL | UC | EN, RIPV | MCIP));
	check_bank(v, 2, VAL | UC | EN);
	RUN_TO_OUT(v, 0x23, 0, 1);
}

/* Nothing is signalled: the guest looks for them now and then. */
TEST(corrected_errors_and_those_that_need_no_action)
{
	struct vcpu *v = boot_with_banks(CAP, true);

	CHECK_OK(report(v, 3, VAL | EN | 1, 0));
	check_bank(v, 3, VAL | EN | 1);
	CHECK_OK(report(v, 3, VAL | EN | 2, 0));
	check_bank(v, 3, VAL | OVER | EN | 2);
	CHECK_OK(report(v, 4, VAL | UC | EN, 0));
	check_bank(v, 4, VAL | UC | EN);
	/* what is uncorrected stays */
	CHECK_OK(report(v, 4, VAL | EN | 3, 0));
	check_bank(v, 4, VAL | OVER | UC | EN);
	CHECK_EQ(msr(v, MSR_MCG_STATUS), 0);
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

/* ---- SET_VAPIC_ADDR ------------------------------------------------------------------------------ */

TEST(vapic_address)
{
	struct vm *vm = vm_with_memory(MEM_SIZE), *without = vm_create();
	struct minivmm_vapic_addr none = { 0 }, beyond = { 1ull << 40 };
	struct vcpu *v;

	v = vcpu_create(without, 0);
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_VAPIC_ADDR, &none), EINVAL);
	CHECK_OK(ioctl(vm->fd, MINIVMM_CREATE_IRQCHIP, 0));
	v = vcpu_create(vm, 0);
	CHECK_OK(ioctl(v->fd, MINIVMM_SET_VAPIC_ADDR, &none));
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_VAPIC_ADDR, &beyond), EINVAL);
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_VAPIC_ADDR, BAD_POINTER), EFAULT);
}
