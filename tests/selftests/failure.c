// SPDX-License-Identifier: GPL-2.0
/* GET_FAILURE: why a RUN couldn't go on, in words. What KVM shares of it is the exit reason. */
#include <stdio.h>
#include <string.h>

#include "vm.h"

GUEST64(stop, hlt)
GUEST64(fault_without_idt, lidt 1f(%rip); ud2; .balign 8; 1: .word 0; .quad 0)

static struct minivmm_failure failure_of(struct vcpu *v)
{
	struct minivmm_failure f;

	memset(&f, 0xff, sizeof(f));
	CHECK_OK(ioctl(v->fd, MINIVMM_GET_FAILURE, &f));
	CHECK(memchr(f.text, 0, sizeof(f.text)));
	return f;
}

static void check_says(struct vcpu *v, const char *words)
{
	struct minivmm_failure f;

	if (opt.oracle)
		return;
	f = failure_of(v);
	if (!strstr(f.text, words))
		FAIL("the record doesn't say \"%s\" but:\n%s", words, f.text);
}

static void check_empty(struct vcpu *v)
{
	struct minivmm_failure f;

	if (opt.oracle)
		return;
	f = failure_of(v);
	if (f.text[0])
		FAIL("the record isn't empty:\n%s", f.text);
}

TEST(empty_at_first)
{
	check_empty(BOOT(LONG64, stop));
}

TEST(empty_after_a_run_that_could)
{
	struct vcpu *v = BOOT(LONG64, stop);

	RUN_TO(v, MINIVMM_EXIT_HLT);
	check_empty(v);
}

TEST(bad_pointer)
{
	struct vcpu *v = BOOT(LONG64, stop);

	if (opt.oracle)
		skip("not KVM's");
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_GET_FAILURE, NULL), EFAULT);
}

/* ---- a state that the CPU refuses ------------------------------------------------------------ */

static void reserved_flag(struct minivmm_regs *r, struct minivmm_sregs *s)
{
	(void)s;
	r->rflags |= 1 << 15;
}

static void unreadable_code(struct minivmm_regs *r, struct minivmm_sregs *s)
{
	(void)r;
	s->cs.type = 1;
}

static void gdt_in_the_hole(struct minivmm_regs *r, struct minivmm_sregs *s)
{
	(void)r;
	s->gdt.base = 1ull << 62;
}

static void stack_of_code(struct minivmm_regs *r, struct minivmm_sregs *s)
{
	(void)r;
	s->ss.type = 11;
}

static void short_limit(struct minivmm_regs *r, struct minivmm_sregs *s)
{
	(void)r;
	s->es.limit = 0xfffff000;
	s->es.g = 1;
}

static void tr_of_data(struct minivmm_regs *r, struct minivmm_sregs *s)
{
	(void)r;
	s->tr.s = 1;
}

static const struct refused {
	const char *name;
	void (*spoil)(struct minivmm_regs *r, struct minivmm_sregs *s);
	const char *section, *rule;
	bool emulated;	/* without unrestricted guest, when the CPU isn't asked at all */
	bool not_kvms;	/* KVM doesn't look at that, and asks the CPU */
} refused[] = {
	{ "RFLAGS", reserved_flag, "RIP, RFLAGS, and SSP", "reserved bits of RFLAGS" },
	{ "CS", unreadable_code, "Guest Segment Registers: CS", "must be accessed code", true },
	{ "GDTR", gdt_in_the_hole, "Descriptor-Table Registers", "GUEST_GDTR_BASE" },
	{ "SS", stack_of_code, "Guest Segment Registers: SS", "must be 3 or 7", true },
	{ "ES", short_limit, "Guest Segment Registers: ES", "G must be 0", true, true },
	{ "TR", tr_of_data, "Guest Segment Registers: TR", "S must be 0", true, true },
};

/* True: it was. */
static bool run_refused(struct vcpu *v, const struct refused *row)
{
	struct minivmm_sregs sregs = get_sregs(v);
	struct minivmm_regs regs = get_regs(v);

	row->spoil(&regs, &sregs);
	set_sregs(v, &sregs);
	set_regs(v, &regs);
	if (row->emulated && !is_unrestricted() && !(opt.oracle && row->not_kvms)) {
		RUN_TO(v, MINIVMM_EXIT_HLT);
		return false;
	}
	RUN_TO(v, MINIVMM_EXIT_FAIL_ENTRY);
	CHECK_EQ(v->run->fail_entry.hardware_entry_failure_reason, 0x80000021);
	return true;
}

TEST(failed_entry_names_the_check)
{
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		struct vcpu *v = BOOT(LONG64, stop);

		context("%s", refused[i].name);
		if (!run_refused(v, &refused[i]))
			continue;
		check_says(v, "VM entry failed");
		check_says(v, refused[i].section);
		check_says(v, refused[i].rule);
	}
}

TEST(failed_entry_can_be_mended)
{
	struct vcpu *v = BOOT(LONG64, stop);
	struct minivmm_sregs sregs = get_sregs(v);
	struct minivmm_regs regs = get_regs(v);

	run_refused(v, &refused[0]);
	set_sregs(v, &sregs);
	set_regs(v, &regs);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	check_empty(v);
}

/* ---- a guest that fails ---------------------------------------------------------------------- */

TEST(triple_fault_shows_the_state)
{
	struct vcpu *v = BOOT(LONG64, fault_without_idt);
	char rip[32];

	RUN_TO(v, MINIVMM_EXIT_SHUTDOWN);
	snprintf(rip, sizeof(rip), "rip 0x%llx", (unsigned long long)get_regs(v).rip);
	check_says(v, "triple fault");
	check_says(v, rip);
	check_says(v, "0f 0b");
}
