// SPDX-License-Identifier: GPL-2.0
/*
 * minivmm.h against <linux/kvm.h>: every number, size and offset. What differs doesn't compile; the
 * run is for the report.
 */
#include <linux/kvm.h>
#include <linux/minivmm.h>

#include "test.h"

struct row {
	const char *what;
	u64 ours, kvms;
};

/* The rows' forms, all made of ROW. */
#define SAME(name)		ROW(#name, MINIVMM_##name, KVM_##name)
#define SAME_AS(ours, kvms)	ROW(#ours, ours, kvms)
#define STRUCT(s)		ROW("sizeof " #s, sizeof(struct minivmm_##s), \
				    sizeof(struct kvm_##s))
#define FLEX(s, f)		ROW("offset of " #s "." #f, offsetof(struct minivmm_##s, f), \
				    offsetof(struct kvm_##s, f))
#define FIELD(s, f)		FIELD_AS(s, f, f)
#define FIELD_AS(s, f, g)						\
	ROW("offset of " #s "." #f, offsetof(struct minivmm_##s, f), offsetof(struct kvm_##s, g)) \
	ROW("sizeof " #s "." #f, sizeof(((struct minivmm_##s *)0)->f),	\
	    sizeof(((struct kvm_##s *)0)->g))
#define OWN(name)
#define OWN_STRUCT(name)

#define ROW(what, ours, kvms)	_Static_assert((ours) == (kvms), what);
#include "abi_rows.h"
#undef ROW

#define ROW(what, ours, kvms)	{ what, ours, kvms },
static const struct row rows[] = {
#include "abi_rows.h"
};

TEST(what_both_have_is_the_same)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		context("%s", rows[i].what);
		CHECK_EQ(rows[i].ours, rows[i].kvms);
	}
	say("%zu numbers, sizes and offsets compared", ARRAY_SIZE(rows));
}

/* No KVM, now or later, should give them another meaning. */
TEST(what_is_ours_alone_is_far_from_kvms)
{
	CHECK(_IOC_TYPE(MINIVMM_GET_FAILURE) != KVMIO);
	CHECK(MINIVMM_CAP_EXT_BASE > 0x10000);
	CHECK(MINIVMM_VM_MMU_EPT > 0xff && MINIVMM_VM_MMU_SHADOW > 0xff);
	CHECK((MINIVMM_VM_MMU_EPT & MINIVMM_VM_MMU_SHADOW) == 0);
	CHECK_EQ(sizeof(struct minivmm_failure), 2048);
}
