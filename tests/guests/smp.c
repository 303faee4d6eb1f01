// SPDX-License-Identifier: GPL-2.0
/* Several processors: their start, interrupts between them, each counted, and what they share. */
#include "cpus.h"

#define PING	0x51
#define PONG	0x52
#define FENCE	0x41			/* of lower priority than all others here */

static void sleep_forever(struct cpu *c)
{
	(void)c;
	for (;;)
		sti_hlt();
}

/* ---- starting -------------------------------------------------------------------------------- */

GUEST_SMP_TEST(every_cpu_starts, 4)
{
	u32 seen = 0;

	start_cpus(4, sleep_forever);
	for (int i = 0; i < 4; i++)
		seen |= 1 << cpus[i].apic_id;
	CHECK_EQ(seen, 0xf);
	CHECK_EQ(cpus[0].apic_id, 0);
	/* the second SIPI of each found nobody who waited for it */
	CHECK_EQ(cpus_running, 4);
}

static void spin_with_interrupts_off(struct cpu *c)
{
	for (;;)
		c->value++;
}

/* INIT reaches a processor whatever it does, and it starts anew. */
GUEST_SMP_TEST(running_cpu_takes_an_init, 2)
{
	u64 value;

	start_cpus(2, spin_with_interrupts_off);
	while (!cpus[1].value)
		relax();
	send_ipi(1, ICR_INIT);
	send_ipi(1, ICR_STARTUP | CPUS_START >> 12);
	while (!cpus[2].value)
		relax();
	CHECK_EQ(cpus_running, 3);
	CHECK_EQ(cpus[2].apic_id, 1);
	value = cpus[1].value;
	CHECK_EQ(cpus[1].value, value);
	/* a SIPI without an INIT does nothing */
	send_ipi(1, ICR_STARTUP | CPUS_START >> 12);
	value = cpus[2].value;
	while (cpus[2].value - value < 1000)
		relax();
	CHECK_EQ(cpus_running, 3);
}

/* ---- each interrupt counts ------------------------------------------------------------------- */

static volatile u64 last_tsc;

/* Handlers run in turn, on either CPU: each must read a later time than the one before. */
static void later_than_the_last(void)
{
	u64 now = rdtsc(), last = last_tsc;

	if (now < last)
		fail("CPU %u: the TSC is %lx, and was %lx on the other before", this_cpu()->number,
		     now, last);
	last_tsc = now;
}

static void on_ping(struct frame *f)
{
	later_than_the_last();
	count_here(f);
	send_ipi(0, PONG);
}

static void on_pong(struct frame *f)
{
	later_than_the_last();
	count_here(f);
}

/* Both sleep whenever they have nothing to do: a wake-up that is lost would leave them so. */
GUEST_SMP_TEST(ipis_there_and_back, 2)
{
	u32 n = rounds();

	handle(PING, on_ping);
	handle(PONG, on_pong);
	start_cpus(2, sleep_forever);
	for (u32 i = 1; i <= n; i++) {
		send_ipi(1, PING);
		SLEEP_UNTIL(cpus[0].had[PONG] >= i);
		context("round %u of %u", i, n);
		CHECK_EQ(cpus[0].had[PONG], i);
		CHECK_EQ(cpus[1].had[PING], i);
	}
}

static void tell_number(struct frame *f)
{
	count_here(f);
	send_ipi(0, 0x60 + this_cpu()->number);
}

GUEST_SMP_TEST(broadcasts_and_answers, 4)
{
	u32 n = rounds() / 4;

	handle(PING, tell_number);
	for (int i = 1; i < 4; i++)
		handle(0x60 + i, count_here);
	start_cpus(4, sleep_forever);
	for (u32 i = 1; i <= n; i++) {
		apic_write(APIC_ICR, ICR_OTHERS | ICR_ASSERT | PING);
		SLEEP_UNTIL(cpus[0].had[0x61] >= i && cpus[0].had[0x62] >= i &&
			    cpus[0].had[0x63] >= i);
		context("round %u of %u", i, n);
		for (int k = 1; k < 4; k++) {
			CHECK_EQ(cpus[0].had[0x60 + k], i);
			CHECK_EQ(cpus[k].had[PING], i);
		}
		CHECK_EQ(cpus[0].had[PING], 0);
	}
}

/* ---- kinds of messages ----------------------------------------------------------------------- */

/* A message, and who it is for: bits by the CPUs' APIC ids; one_of: only one of them. */
struct kind {
	const char *name;
	u64 dest;
	u32 icr;
	u32 whom;
	bool one_of;
};

static bool x2apic;

static void write_icr(u64 dest, u32 icr)
{
	if (x2apic)
		wrmsr(0x830, dest << 32 | ICR_ASSERT | icr);
	else
		send_ipi(dest, icr);
}

static void end_of_interrupt(void)
{
	if (x2apic)
		wrmsr(0x80b, 0);
	else
		apic_write(APIC_EOI, 0);
}

/* By APIC id, not by number: those who come first may differ. */
static volatile u32 had[MAX_CPUS], fences;

static u32 my_id(void)
{
	return this_cpu()->apic_id;
}

static void on_message(struct frame *f)
{
	__atomic_add_fetch(&had[my_id()], 1, __ATOMIC_SEQ_CST);
	if (f->vector != NMI)
		end_of_interrupt();
}

static void on_fence(struct frame *f)
{
	(void)f;
	__atomic_add_fetch(&fences, 1, __ATOMIC_SEQ_CST);
	end_of_interrupt();
	if (my_id())
		write_icr(0, PONG);
}

static void on_answer(struct frame *f)
{
	(void)f;
	end_of_interrupt();
}

/* When all have passed it, what was sent to them before has been counted. */
static void pass_fence(u32 n)
{
	fences = 0;
	write_icr(0, ICR_ALL | FENCE);
	SLEEP_UNTIL(fences == n);
}

static void send_each(const struct kind *kinds, u32 n, u32 cpus_n)
{
	handle(PING, on_message);
	handle(NMI, on_message);
	for (u32 i = 0; i < n; i++) {
		const struct kind *k = &kinds[i];
		u32 got = 0, count = 0;

		context("%s, %s", x2apic ? "x2APIC" : "xAPIC", k->name);
		for (u32 c = 0; c < MAX_CPUS; c++)
			had[c] = 0;
		write_icr(k->dest, k->icr | (k->icr & 0x700 ? 0 : PING));
		pass_fence(cpus_n);
		for (u32 c = 0; c < MAX_CPUS; c++) {
			CHECK(had[c] <= 1);
			got |= had[c] << c;
			count += had[c];
		}
		if (!k->one_of) {
			CHECK_EQ(got, k->whom);
		} else {
			CHECK_EQ(count, 1);
			CHECK_EQ(got & ~k->whom, 0);
		}
	}
}

#define LOGICAL		0x800
#define LOWEST		(0x100 | PING)

static void take_logical_id(u32 model, u32 (*logical_id)(u32 id))
{
	apic_write(APIC_DFR, model);
	apic_write(APIC_LDR, logical_id(my_id()) << 24);
}

static u32 flat_id(u32 id) { return 1 << id; }
static u32 cluster_id(u32 id) { return (id / 2 + 1) << 4 | 1 << id % 2; }

static void sleep_with_flat_id(struct cpu *c)
{
	take_logical_id(0xffffffff, flat_id);
	sleep_forever(c);
}

static void sleep_with_cluster_id(struct cpu *c)
{
	take_logical_id(0x0fffffff, cluster_id);
	sleep_forever(c);
}

/* Begins when all have set up their APICs, which the others do after start_cpus() counts them. */
static void settle(u32 n)
{
	handle(FENCE, on_fence);
	handle(PONG, on_answer);
	pass_fence(n);
}

GUEST_SMP_TEST(messages_by_flat_ids, 4)
{
	static const struct kind kinds[] = {
		{ "physical", 2, 0, 1 << 2 },
		{ "physical, itself", 0, 0, 1 << 0 },
		{ "physical, nobody", 9, 0, 0 },
		{ "physical, everybody", 0xff, 0, 0xf },
		{ "itself by shorthand", 0, ICR_SELF, 1 << 0 },
		{ "all", 0, ICR_ALL, 0xf },
		{ "all others", 0, ICR_OTHERS, 0xe },
		{ "logical, one", 4, LOGICAL, 1 << 2 },
		{ "logical, two", 0xa, LOGICAL, 0xa },
		{ "logical, nobody", 0xf0, LOGICAL, 0 },
		{ "logical, everybody", 0xff, LOGICAL, 0xf },
		{ "lowest priority of two", 6, LOGICAL | LOWEST, 6, true },
		{ "lowest priority of one", 8, LOGICAL | LOWEST, 8, true },
		{ "NMI to one", 3, ICR_NMI, 1 << 3 },
		{ "NMI to all others", 0, ICR_NMI | ICR_OTHERS, 0xe },
	};

	start_cpus(4, sleep_with_flat_id);
	take_logical_id(0xffffffff, flat_id);
	settle(4);
	send_each(kinds, ARRAY_SIZE(kinds), 4);
}

GUEST_SMP_TEST(messages_by_cluster_ids, 4)
{
	static const struct kind kinds[] = {
		{ "one of the first cluster", 0x12, LOGICAL, 1 << 1 },
		{ "the second cluster", 0x23, LOGICAL, 0xc },
		{ "members that aren't there", 0x1c, LOGICAL, 0 },
		{ "no such cluster", 0x33, LOGICAL, 0 },
		{ "everybody", 0xff, LOGICAL, 0xf },
		{ "lowest priority of a cluster", 0x23, LOGICAL | LOWEST, 0xc, true },
	};

	start_cpus(4, sleep_with_cluster_id);
	take_logical_id(0x0fffffff, cluster_id);
	settle(4);
	send_each(kinds, ARRAY_SIZE(kinds), 4);
}

static volatile u32 switched;

static void switch_to_x2apic(void)
{
	wrmsr(MSR_APICBASE, rdmsr(MSR_APICBASE) | APICBASE_X2APIC);
	__atomic_add_fetch(&switched, 1, __ATOMIC_SEQ_CST);
}

static void sleep_in_x2apic_mode(struct cpu *c)
{
	switch_to_x2apic();
	sleep_forever(c);
}

GUEST_SMP_TEST(messages_in_x2apic_mode, 4)
{
	static const struct kind kinds[] = {
		{ "physical", 2, 0, 1 << 2 },
		{ "physical, nobody", 0xff, 0, 0 },
		{ "physical, everybody", 0xffffffff, 0, 0xf },
		{ "all", 0, ICR_ALL, 0xf },
		{ "all others", 0, ICR_OTHERS, 0xe },
		{ "logical, two", 0x5, LOGICAL, 0x5 },
		{ "logical, no such cluster", 0x10005, LOGICAL, 0 },
		{ "logical, everybody", 0xffffffff, LOGICAL, 0xf },
		{ "lowest priority of two", 0xa, LOGICAL | LOWEST, 0xa, true },
		{ "NMI to one", 1, ICR_NMI, 1 << 1 },
	};

	if (!has_x2apic())
		skip("no x2APIC");
	x2apic = true;
	start_cpus(4, sleep_in_x2apic_mode);
	switch_to_x2apic();
	while (switched != 4)
		relax();
	settle(4);
	send_each(kinds, ARRAY_SIZE(kinds), 4);
}

/* ---- shared memory --------------------------------------------------------------------------- */

#define WINDOW	0x40000000ul

static u64 *pages[2];

/* What the other sees behind the window, once it has forgotten what it knew. */
static void look_again(struct frame *f)
{
	invlpg((void *)WINDOW);
	this_cpu()->value = *(volatile u64 *)WINDOW;
	count_here(f);
	send_ipi(0, PONG);
}

/* A page table changes under a CPU that uses it; after its INVLPG the old page may not be seen. */
GUEST_SMP_TEST(translations_are_shot_down, 2)
{
	u32 n = rounds() / 2;

	for (int i = 0; i < 2; i++) {
		pages[i] = new_page();
		*pages[i] = 0x1000 + i;
	}
	*entry_at(WINDOW, 2) = (u64)new_table() | PTE_P | PTE_W;
	handle(PING, look_again);
	handle(PONG, count_here);
	start_cpus(2, sleep_forever);
	for (u32 i = 1; i <= n; i++) {
		map_at(WINDOW, (u64)pages[i & 1], 1, PTE_W);
		send_ipi(1, PING);
		SLEEP_UNTIL(cpus[0].had[PONG] >= i);
		context("round %u of %u", i, n);
		CHECK_EQ(cpus[1].value, 0x1000 + (i & 1));
		CHECK_EQ(*(volatile u64 *)WINDOW, 0x1000 + (i & 1));
	}
}

#define ADDS	20000
static volatile u64 sum;

static void add(struct cpu *c)
{
	for (int i = 0; i < ADDS; i++)
		__atomic_add_fetch(&sum, 1, __ATOMIC_SEQ_CST);
	c->value = 1;
}

GUEST_SMP_TEST(locked_additions, 4)
{
	start_cpus(4, add);
	add(&cpus[0]);
	for (int i = 0; i < 4; i++)
		while (!cpus[i].value)
			relax();
	CHECK_EQ(sum, 4 * ADDS);
}
