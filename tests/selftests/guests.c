// SPDX-License-Identifier: GPL-2.0
/*
 * Runs the guest programs of tests/guests, which check the virtual CPU from inside: one test of
 * this program for each of theirs, in a virtual machine of its own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../guests/lib/image.h"
#include "thread.h"
#include "vm.h"

struct program {
	const char *name;
	const u8 *start, *end;
};

extern const struct program programs[];
extern const size_t program_count;

/* One of their tests, and where it is. */
struct guest_test {
	struct test test;
	const struct program *program;
	u32 number;
	u64 flags;
	bool emulated;
};

static const struct image *image_of(const struct program *p)
{
	return (const void *)(p->start + IMAGE_HEADER);
}

static const void *at(const struct program *p, u64 address)
{
	return p->start + (address - IMAGE_BASE);
}

/* Where KVM itself is wrong. */
static const struct {
	const char *name;
	bool shadow;			/* only with ept=0 */
	const char *why;
} kvm_fails[] = {
	{ "paging.nx_becomes_reserved", true, "KVM's shadow pages don't tell EFER.NX apart" },
	{ "pagingmatrix.two_levels_4k_with_nxe", true, "KVM sets I/D for EFER.NXE without PAE" },
	{ "pagingmatrix.two_levels_4m_with_nxe", true, "KVM sets I/D for EFER.NXE without PAE" },
	{ "pagingrules.smep_goes_with_paging", true, "SMEP stays on: a fetch without paging never ends" },
	{ "pagingstress.four_levels_all_controls", true, "SMAP without WP is lost after AC; EFER.NXE" },
	{ "pagingstress.pae_all_controls", true, "SMAP without WP is lost after AC; EFER.NXE" },
};

/* Where the emulated CPU is, whoever uses it. */
static const struct {
	const char *name;
	const char *without;		/* only with this parameter off */
	const char *why;
} bochs_fails[] = {
	{ "pagingmatrix.descriptors_with_smap_and_ac", NULL,
	  "AC lets it read the user's descriptors" },
	{ "smp.running_cpu_takes_an_init", "vnmi", "what spins with interrupts off never exits" },
};

/* What the module's emulator leaves out. */
static const struct {
	const char *name;
	const char *why;
} not_emulated[] = {
	{ "emulated.exceptions.x87_error", "x87's arithmetic isn't emulated" },
	{ "emulated.exceptions.simd_error", "SSE's arithmetic isn't emulated" },
	{ "emulated.exceptions.watchpoint", "emulated code has no watchpoints" },
};

static void skip_what_is_not_emulated(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(not_emulated); i++)
		if (!strcmp(not_emulated[i].name, name))
			skip("%s", not_emulated[i].why);
}

static void skip_what_bochs_fails(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(bochs_fails); i++)
		if (!strcmp(bochs_fails[i].name, name) &&
		    !(bochs_fails[i].without && is_on(bochs_fails[i].without)))
			skip_on_bochs(bochs_fails[i].why);
}

static void skip_what_kvm_fails(const char *name)
{
	for (size_t i = 0; opt.oracle && i < ARRAY_SIZE(kvm_fails); i++)
		if (!strcmp(kvm_fails[i].name, name) && (!kvm_fails[i].shadow || !kvm_has("ept")))
			skip("known of KVM: %s", kvm_fails[i].why);
}

/* ---- running one ----------------------------------------------------------------------------- */

/* The console's text, said line by line. */
static char line[256];
static size_t line_length;

static void console(char c)
{
	if (c != '\n' && line_length < sizeof(line) - 1) {
		line[line_length++] = c;
		return;
	}
	line[line_length] = 0;
	line_length = 0;
	say("guest: %s", line);
}

static void set_line(struct vcpu *v, u8 request)
{
	struct minivmm_irq_level line = {
		.irq = request & ~IRQ_RAISE,
		.level = !!(request & IRQ_RAISE),
	};

	CHECK_OK(ioctl(v->vm->fd, MINIVMM_IRQ_LINE, &line));
}

/*
 * FS as no guest can have loaded it: without unrestricted guest the CPU doesn't enter such a state,
 * and everything is emulated until the guest loads FS itself.
 */
static void have_it_emulated(struct vcpu *v)
{
	struct minivmm_sregs s = get_sregs(v);

	s.fs.selector = 0x10;
	s.fs.present = s.fs.s = 1;
	s.fs.unusable = 0;
	s.fs.type = 9;
	set_sregs(v, &s);
}

static void serve_out(struct vcpu *v)
{
	struct minivmm_run *run = v->run;

	if (run->io.port == PORT_IRQ)
		set_line(v, *(u8 *)pio_data(v));
	if (run->io.port == PORT_START && ((const struct guest_test *)running)->emulated)
		have_it_emulated(v);
	if (run->io.port == PORT_NMI)
		CHECK_OK(ioctl(v->fd, MINIVMM_NMI, 0));
	for (u32 i = 0; i < run->io.count && run->io.port == PORT_CONSOLE; i++)
		console(((char *)pio_data(v))[i * run->io.size]);
}

/* Rounds of what races: enough to take some minutes on a machine. */
#define ROUNDS	(opt.rounds ? opt.rounds : on_bochs() ? 400 : 1000000)

static void serve_in(struct vcpu *v)
{
	struct minivmm_run *run = v->run;

	memset(pio_data(v), 0xff, run->io.size * run->io.count);
	if (run->io.port == PORT_ROUNDS)
		*(u32 *)pio_data(v) = ROUNDS;
}

/* RUN; a processor that was waiting for its start comes back once when it is started. */
static void run_on(struct vcpu *v)
{
	while (vcpu_run(v))
		if (errno != EAGAIN)
			FAIL("RUN: %s", errno_name(errno));
}

static void run_guest(struct vcpu *v)
{
	for (;;) {
		/* Without a local APIC in the kernel the client hears of a lower task priority. */
		do
			run_on(v);
		while (v->run->exit_reason == MINIVMM_EXIT_SET_TPR);
		CHECK_EXIT(v, MINIVMM_EXIT_IO);
		if (v->run->io.direction == MINIVMM_EXIT_IO_IN) {
			serve_in(v);
			continue;
		}
		if (v->run->io.port == PORT_EXIT)
			return;
		serve_out(v);
	}
}

/* The TSC deadline timer needs the local APIC in the kernel: the client has to say so. */
static void set_cpuid(struct vcpu *v, u64 flags)
{
	struct minivmm_cpuid2 *c = supported_cpuid();

	bool offered = node_extension(MINIVMM_CAP_TSC_DEADLINE_TIMER);

	for (u32 i = 0; flags & NEEDS_IRQCHIP && i < c->nent; i++)
		if (offered && c->entries[i].function == 1)
			c->entries[i].ecx |= 1 << 24;
	CHECK_OK(ioctl(v->fd, MINIVMM_SET_CPUID2, c));
}

static void report_result(struct vcpu *v)
{
	switch (*(u32 *)pio_data(v)) {
	case RESULT_PASSED:
		return;
	case RESULT_SKIPPED:
		skip("%s", line);
	default:
		FAIL("%s failed in the guest", running->name);
	}
}

/* Another processor; the test is over when the first one says so, or one of these fails. */
static void *run_other(void *arg)
{
	run_guest(arg);
	report_result(arg);
	return NULL;
}

static void start_others(struct vm *vm, u64 flags)
{
	pthread_t thread;

	for (u32 id = 1; id < CPUS_NEEDED(flags); id++) {
		struct vcpu *v = vcpu_create_bare(vm, id);

		set_cpuid(v, flags);
		CHECK(!pthread_create(&thread, NULL, run_other, v));
	}
}

static void run_guest_test(void)
{
	const struct guest_test *t = (const struct guest_test *)running;
	struct minivmm_pit_config pit = { .flags = MINIVMM_PIT_SPEAKER_DUMMY };
	struct vm *vm = vm_with_memory(IMAGE_MEMORY);
	struct image *image = (void *)(vm->mem + IMAGE_BASE + IMAGE_HEADER);
	struct vcpu *v;

	if (t->emulated && is_unrestricted())
		skip("the CPU runs any state by itself");
	if (t->emulated && opt.oracle)
		skip("KVM's emulator knows less");
	skip_what_is_not_emulated(t->test.name);
	skip_what_bochs_fails(t->test.name);
	skip_what_kvm_fails(t->test.name);
	if (t->flags & NEEDS_IRQCHIP) {
		CHECK_OK(ioctl(vm->fd, MINIVMM_CREATE_IRQCHIP, 0));
		CHECK_OK(ioctl(vm->fd, MINIVMM_CREATE_PIT2, &pit));
	}
	v = vcpu_create_bare(vm, 0);
	set_cpuid(v, t->flags);
	vm_load(vm, IMAGE_BASE, t->program->start, t->program->end - t->program->start);
	image->selected = t->number;
	vcpu_enter_mode(v, LONG64, IMAGE_BASE);
	start_others(vm, t->flags);
	run_guest(v);
	report_result(v);
}

/* ---- the list -------------------------------------------------------------------------------- */

/* Programs that are run by the emulator as well. */
static bool has_emulated_twins(const struct program *p)
{
	static const char *const names[] = { "control", "exceptions", "msr", "paging" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(names[i], p->name))
			return true;
	return false;
}

static size_t count_tests(void)
{
	size_t n = 0;

	for (size_t i = 0; i < program_count; i++)
		n += image_of(&programs[i])->count * (1 + has_emulated_twins(&programs[i]));
	return n;
}

static void describe(struct guest_test *t, const struct program *p, u32 number, bool emulated)
{
	const struct image_test *theirs = at(p, image_of(p)->tests);
	char *name;

	if (asprintf(&name, "%s%s.%s", emulated ? "emulated." : "", p->name,
		     (const char *)at(p, theirs[number].name)) < 0)
		abort();
	t->emulated = emulated;
	t->test.name = name;
	t->test.body = run_guest_test;
	t->program = p;
	t->number = number;
	t->flags = theirs[number].flags;
}

int main(int argc, char **argv)
{
	size_t n = count_tests(), k = 0;
	struct guest_test *all = calloc(n, sizeof(*all));
	const struct test **list = calloc(n, sizeof(*list));

	for (size_t i = 0; i < 2 * program_count; i++) {
		const struct program *p = &programs[i % program_count];
		bool emulated = i >= program_count;

		for (u32 j = 0; j < image_of(p)->count && (!emulated || has_emulated_twins(p)); j++) {
			describe(&all[k], p, j, emulated);
			list[k] = &all[k].test;
			k++;
		}
	}
	return run_test_list(parse_options(argc, argv), list, n);
}
