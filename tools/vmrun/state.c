// SPDX-License-Identifier: GPL-2.0
/* Text about a vCPU that doesn't run: its registers, and why it can't go on. */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vm.h"
#include "walk.h"

#define CODE_BYTES	16

static const char *const exit_names[] = {
	[MINIVMM_EXIT_UNKNOWN] = "unknown hardware exit",
	[MINIVMM_EXIT_EXCEPTION] = "exception",
	[MINIVMM_EXIT_IO] = "port access",
	[MINIVMM_EXIT_HYPERCALL] = "hypercall",
	[MINIVMM_EXIT_DEBUG] = "debug",
	[MINIVMM_EXIT_HLT] = "halt",
	[MINIVMM_EXIT_MMIO] = "MMIO access",
	[MINIVMM_EXIT_IRQ_WINDOW_OPEN] = "interrupt window",
	[MINIVMM_EXIT_SHUTDOWN] = "triple fault",
	[MINIVMM_EXIT_FAIL_ENTRY] = "failed VM entry",
	[MINIVMM_EXIT_INTR] = "interrupted",
	[MINIVMM_EXIT_SET_TPR] = "TPR change",
	[MINIVMM_EXIT_TPR_ACCESS] = "TPR access",
	[MINIVMM_EXIT_NMI] = "NMI",
	[MINIVMM_EXIT_INTERNAL_ERROR] = "internal error",
	[MINIVMM_EXIT_SYSTEM_EVENT] = "system event",
	[MINIVMM_EXIT_IOAPIC_EOI] = "I/O APIC EOI",
};

const char *exit_reason_name(unsigned int reason)
{
	if (reason < sizeof(exit_names) / sizeof(exit_names[0]) && exit_names[reason])
		return exit_names[reason];
	return "an exit that vmrun doesn't know";
}

static void print_segment(const char *name, const struct minivmm_segment *s, FILE *out)
{
	fprintf(out, "%-4s %04x base %016llx limit %08x type %x dpl %u%s%s%s%s%s%s\n", name,
		s->selector, (unsigned long long)s->base, s->limit, s->type, s->dpl,
		s->s ? " s" : "", s->present ? " p" : "", s->l ? " l" : "", s->db ? " db" : "",
		s->g ? " g" : "", s->unusable ? " unusable" : "");
}

static void print_segments(const struct minivmm_sregs *s, FILE *out)
{
	print_segment("cs", &s->cs, out);
	print_segment("ss", &s->ss, out);
	print_segment("ds", &s->ds, out);
	print_segment("es", &s->es, out);
	print_segment("fs", &s->fs, out);
	print_segment("gs", &s->gs, out);
	print_segment("tr", &s->tr, out);
	print_segment("ldt", &s->ldt, out);
	fprintf(out, "gdt  base %016llx limit %04x    idt base %016llx limit %04x\n",
		(unsigned long long)s->gdt.base, s->gdt.limit, (unsigned long long)s->idt.base,
		s->idt.limit);
}

static void print_general(const struct minivmm_regs *r, FILE *out)
{
#define U(x) ((unsigned long long)r->x)
	fprintf(out,
		"rip %016llx  rflags %016llx\n"
		"rax %016llx  rbx %016llx  rcx %016llx  rdx %016llx\n"
		"rsi %016llx  rdi %016llx  rsp %016llx  rbp %016llx\n"
		"r8  %016llx  r9  %016llx  r10 %016llx  r11 %016llx\n"
		"r12 %016llx  r13 %016llx  r14 %016llx  r15 %016llx\n",
		U(rip), U(rflags), U(rax), U(rbx), U(rcx), U(rdx), U(rsi), U(rdi), U(rsp), U(rbp),
		U(r8), U(r9), U(r10), U(r11), U(r12), U(r13), U(r14), U(r15));
#undef U
}

static void print_control(const struct minivmm_sregs *s, FILE *out)
{
	fprintf(out,
		"cr0 %08llx  cr2 %016llx  cr3 %016llx  cr4 %08llx  cr8 %llx\n"
		"efer %llx  apic base %llx  (%s)\n",
		(unsigned long long)s->cr0, (unsigned long long)s->cr2, (unsigned long long)s->cr3,
		(unsigned long long)s->cr4, (unsigned long long)s->cr8,
		(unsigned long long)s->efer, (unsigned long long)s->apic_base, paging_mode(s));
}

static void print_code(const struct vcpu *cpu, const struct minivmm_regs *r,
		       const struct minivmm_sregs *s, FILE *out)
{
	uint64_t gva = (s->cs.l ? 0 : s->cs.base) + r->rip;
	uint8_t code[CODE_BYTES];
	size_t i, n = walk_read(cpu->vm->mem, s, gva, code, sizeof(code));

	fprintf(out, "code at %#llx:", (unsigned long long)gva);
	for (i = 0; i < n; i++)
		fprintf(out, " %02x", code[i]);
	fputs(n ? "\n" : " not mapped\n", out);
}

void vcpu_print_registers(const struct vcpu *cpu, FILE *out)
{
	struct minivmm_regs r;
	struct minivmm_sregs s;

	if (ioctl(cpu->fd, MINIVMM_GET_REGS, &r) || ioctl(cpu->fd, MINIVMM_GET_SREGS, &s)) {
		fprintf(out, "vCPU %u: its registers can't be read: %s\n", cpu->id,
			strerror(errno));
		return;
	}
	fprintf(out, "vCPU %u:\n", cpu->id);
	print_general(&r, out);
	print_control(&s, out);
	print_segments(&s, out);
	print_code(cpu, &r, &s, out);
}

static void print_internal(const struct minivmm_run *run, FILE *out)
{
	static const char *const names[] = {
		[MINIVMM_INTERNAL_ERROR_EMULATION] = "an instruction that can't be emulated",
		[MINIVMM_INTERNAL_ERROR_SIMUL_EX] = "two exceptions at once",
		[MINIVMM_INTERNAL_ERROR_DELIVERY_EV] = "an exit while an event was being delivered",
		[MINIVMM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON] = "an unexpected exit reason",
	};
	unsigned int i, sub = run->internal.suberror, n = run->internal.ndata;

	fprintf(out, "suberror %u: %s\n", sub, sub && sub < 5 ? names[sub] : "unknown");
	if (sub == MINIVMM_INTERNAL_ERROR_EMULATION) {
		n = run->emulation_failure.insn_size;
		if (run->emulation_failure.ndata < 1 ||
		    !(run->emulation_failure.flags &
		      MINIVMM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES))
			return;
		fputs("instruction:", out);
		for (i = 0; i < n && i < sizeof(run->emulation_failure.insn_bytes); i++)
			fprintf(out, " %02x", run->emulation_failure.insn_bytes[i]);
		fputs("\n", out);
		return;
	}
	for (i = 0; i < n && i < 16; i++)
		fprintf(out, "data[%u] = %#llx\n", i, (unsigned long long)run->internal.data[i]);
}

static void print_exit(const struct minivmm_run *run, FILE *out)
{
	fprintf(out, "exit reason %u: %s\n", run->exit_reason, exit_reason_name(run->exit_reason));
	switch (run->exit_reason) {
	case MINIVMM_EXIT_FAIL_ENTRY:
		fprintf(out, "hardware reason %#llx on CPU %u\n",
			(unsigned long long)run->fail_entry.hardware_entry_failure_reason,
			run->fail_entry.cpu);
		break;
	case MINIVMM_EXIT_UNKNOWN:
		fprintf(out, "hardware reason %#llx\n",
			(unsigned long long)run->hw.hardware_exit_reason);
		break;
	case MINIVMM_EXIT_EXCEPTION:
		fprintf(out, "exception %u, error code %#x\n", run->ex.exception,
			run->ex.error_code);
		break;
	case MINIVMM_EXIT_INTERNAL_ERROR:
		print_internal(run, out);
		break;
	}
}

/* The module's own words, which must be read before anything else is asked of the vCPU. */
static void print_record(const struct vcpu *cpu, FILE *out)
{
	struct minivmm_failure f;

	if (!vm_check_extension(cpu->vm, MINIVMM_CAP_FAILURE) ||
	    ioctl(cpu->fd, MINIVMM_GET_FAILURE, &f))
		return;
	f.text[sizeof(f.text) - 1] = 0;
	if (f.text[0])
		fprintf(out, "%s%s", f.text, f.text[strlen(f.text) - 1] == '\n' ? "" : "\n");
}

void vcpu_print_failure(const struct vcpu *cpu, FILE *out)
{
	print_record(cpu, out);
	print_exit(cpu->run, out);
	vcpu_print_registers(cpu, out);
}
