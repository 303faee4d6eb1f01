// SPDX-License-Identifier: GPL-2.0
/* The exits that a guest's single instructions make, seen from userspace. Ports: pio.c; memory: mmio.c. */
#include <string.h>

#include "vm.h"

GUEST16(hlt16, mov $0x1234, %ax; hlt)
GUEST32(hlt32, mov $0x12345678, %eax; hlt)
GUEST64(hlt64, mov $0x123456789abcdef0, %rax; hlt)

TEST(hlt_in_real_mode)
{
	struct vcpu *v = BOOT(REAL16, hlt16);

	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_regs(v).rax, 0x1234);
	CHECK_EQ(get_regs(v).rip, 4);
}

TEST(hlt_in_protected_mode)
{
	struct vcpu *v = BOOT(PROT32, hlt32);

	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_regs(v).rax, 0x12345678);
	CHECK_EQ(get_regs(v).rip, CODE + 6);
}

TEST(hlt_in_long_mode)
{
	struct vcpu *v = BOOT(LONG64, hlt64);

	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_regs(v).rax, 0x123456789abcdef0);
	CHECK_EQ(get_regs(v).rip, CODE + 11);
}
