// SPDX-License-Identifier: GPL-2.0
/* Only for a module built with MMU_AUDIT=y: its page tables are checked indeed. */
#include "access.h"

#define AUDITS	"/sys/module/minivmm/parameters/audits"

TEST(tables_are_checked)
{
	long before = read_number(AUDITS);
	struct vcpu *v;

	if (before < 0)
		FAIL("the module has no audit");
	v = boot_accessor();
	add_slot(v->vm, 1, 0, SLOT, 512 * PAGE, host_memory(512 * PAGE));
	for (u64 i = 0; i < 512; i += 4)
		guest_writes(v, SLOT + i * PAGE, i);
	CHECK(read_number(AUDITS) > before);
}
