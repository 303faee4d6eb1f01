// SPDX-License-Identifier: GPL-2.0
/* Running a vCPU to an exit that is expected, and saying what came instead. */
#include <stdio.h>
#include <string.h>

#include "vm.h"

static const char *const exit_names[] = {
	[MINIVMM_EXIT_UNKNOWN] = "UNKNOWN",
	[MINIVMM_EXIT_EXCEPTION] = "EXCEPTION",
	[MINIVMM_EXIT_IO] = "IO",
	[MINIVMM_EXIT_HYPERCALL] = "HYPERCALL",
	[MINIVMM_EXIT_DEBUG] = "DEBUG",
	[MINIVMM_EXIT_HLT] = "HLT",
	[MINIVMM_EXIT_MMIO] = "MMIO",
	[MINIVMM_EXIT_IRQ_WINDOW_OPEN] = "IRQ_WINDOW_OPEN",
	[MINIVMM_EXIT_SHUTDOWN] = "SHUTDOWN",
	[MINIVMM_EXIT_FAIL_ENTRY] = "FAIL_ENTRY",
	[MINIVMM_EXIT_INTR] = "INTR",
	[MINIVMM_EXIT_SET_TPR] = "SET_TPR",
	[MINIVMM_EXIT_TPR_ACCESS] = "TPR_ACCESS",
	[MINIVMM_EXIT_NMI] = "NMI",
	[MINIVMM_EXIT_INTERNAL_ERROR] = "INTERNAL_ERROR",
	[MINIVMM_EXIT_SYSTEM_EVENT] = "SYSTEM_EVENT",
	[MINIVMM_EXIT_IOAPIC_EOI] = "IOAPIC_EOI",
};

const char *exit_name(u32 reason)
{
	if (reason < ARRAY_SIZE(exit_names) && exit_names[reason])
		return exit_names[reason];
	return "an exit without a name";
}

void *pio_data(struct vcpu *v)
{
	return (u8 *)v->run + v->run->io.data_offset;
}

int vcpu_run(struct vcpu *v)
{
	return ioctl(v->fd, MINIVMM_RUN, 0);
}

/* As far as the size goes; what lies above may be anything. */
static u64 value_of(const void *data, u32 size)
{
	u64 value = 0;

	memcpy(&value, data, size < sizeof(value) ? size : sizeof(value));
	return value;
}

static void describe_exit(struct vcpu *v, char *text, size_t size)
{
	struct minivmm_run *run = v->run;

	switch (run->exit_reason) {
	case MINIVMM_EXIT_IO:
		snprintf(text, size, " %s port %#x, %u × %u bytes, data %#llx",
			 run->io.direction ? "out" : "in", run->io.port, run->io.count,
			 run->io.size, (long long)value_of(pio_data(v), run->io.size));
		break;
	case MINIVMM_EXIT_MMIO:
		snprintf(text, size, " %s %#llx, %u bytes, data %#llx",
			 run->mmio.is_write ? "write" : "read", run->mmio.phys_addr, run->mmio.len,
			 (long long)value_of(run->mmio.data, run->mmio.len));
		break;
	case MINIVMM_EXIT_FAIL_ENTRY:
		snprintf(text, size, " reason %#llx",
			 run->fail_entry.hardware_entry_failure_reason);
		break;
	case MINIVMM_EXIT_UNKNOWN:
		snprintf(text, size, " hardware reason %#llx", run->hw.hardware_exit_reason);
		break;
	case MINIVMM_EXIT_INTERNAL_ERROR:
		snprintf(text, size, " suberror %u, data %#llx %#llx %#llx %#llx",
			 run->internal.suberror, run->internal.data[0], run->internal.data[1],
			 run->internal.data[2], run->internal.data[3]);
		break;
	default:
		*text = 0;
	}
}

/* Where the guest is, and what the hypervisor says of it. */
static void describe_vcpu(struct vcpu *v)
{
	struct minivmm_sregs s = get_sregs(v);
	struct minivmm_regs r = get_regs(v);
	struct minivmm_failure failure;

	say("guest: rip %#llx rflags %#llx rsp %#llx cs %#x", r.rip, r.rflags, r.rsp,
	    s.cs.selector);
	say("guest: rax %#llx rbx %#llx rcx %#llx rdx %#llx", r.rax, r.rbx, r.rcx, r.rdx);
	say("guest: rsi %#llx rdi %#llx cr0 %#llx cr2 %#llx", r.rsi, r.rdi, s.cr0, s.cr2);
	say("guest: cr3 %#llx cr4 %#llx efer %#llx", s.cr3, s.cr4, s.efer);
	if (!opt.oracle && !ioctl(v->fd, MINIVMM_GET_FAILURE, &failure))
		say("%s", failure.text);
}

#define unexpected(...)							\
	do {								\
		describe_vcpu(v);					\
		fail_at(file, line, __VA_ARGS__);			\
	} while (0)

void run_to(const char *file, int line, struct vcpu *v, u32 reason)
{
	if (vcpu_run(v) < 0)
		unexpected("RUN: expected exit %s, got %s", exit_name(reason), errno_name(errno));
	check_exit(file, line, v, reason);
}

void check_exit(const char *file, int line, struct vcpu *v, u32 reason)
{
	char text[160];

	if (v->run->exit_reason == reason)
		return;
	describe_exit(v, text, sizeof(text));
	unexpected("RUN: expected exit %s, got %s (%u)%s", exit_name(reason),
		   exit_name(v->run->exit_reason), v->run->exit_reason, text);
}

static void run_to_port(const char *file, int line, struct vcpu *v, u8 direction, u16 port, u8 size)
{
	char text[160];

	run_to(file, line, v, MINIVMM_EXIT_IO);
	describe_exit(v, text, sizeof(text));
	if (v->run->io.direction != direction || v->run->io.port != port || v->run->io.size != size)
		unexpected("expected %s port %#x of %u bytes, got%s", direction ? "out" : "in",
			   port, size, text);
	if (v->run->io.count != 1)
		unexpected("expected one item, got%s", text);
}

void run_to_out(const char *file, int line, struct vcpu *v, u16 port, u32 value, u8 size)
{
	run_to_port(file, line, v, MINIVMM_EXIT_IO_OUT, port, size);
	if (value_of(pio_data(v), size) != value)
		unexpected("out to port %#x: expected %#x, got %#llx", port, value,
			   (long long)value_of(pio_data(v), size));
}

void *run_to_in(const char *file, int line, struct vcpu *v, u16 port, u8 size)
{
	run_to_port(file, line, v, MINIVMM_EXIT_IO_IN, port, size);
	return pio_data(v);
}

static void run_to_mmio(const char *file, int line, struct vcpu *v, u8 write, u64 gpa, u32 size)
{
	char text[160];

	run_to(file, line, v, MINIVMM_EXIT_MMIO);
	describe_exit(v, text, sizeof(text));
	if (v->run->mmio.is_write != write || v->run->mmio.phys_addr != gpa ||
	    v->run->mmio.len != size)
		unexpected("expected %s %#llx of %u bytes, got%s", write ? "write" : "read",
			   (long long)gpa, size, text);
}

void run_to_write(const char *file, int line, struct vcpu *v, u64 gpa, u64 value, u32 size)
{
	run_to_mmio(file, line, v, 1, gpa, size);
	if (value_of(v->run->mmio.data, size) != value)
		unexpected("write to %#llx: expected %#llx, got %#llx", (long long)gpa,
			   (long long)value, (long long)value_of(v->run->mmio.data, size));
}

void run_to_read(const char *file, int line, struct vcpu *v, u64 gpa, u32 size, u64 answer)
{
	run_to_mmio(file, line, v, 0, gpa, size);
	memcpy(v->run->mmio.data, &answer, size);
}
