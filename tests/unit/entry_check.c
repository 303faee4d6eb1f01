// SPDX-License-Identifier: GPL-2.0
/*
 * The rules of a VM entry (src/vmx/entry_rules.c) over a VMCS made of an array: states that a CPU
 * accepts break none, and each thing that is wrong with one is named. A field that isn't set is one
 * that this CPU hasn't: to read it fails the test, as it would fail VMREAD.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "vmx/entry_rules.c"

/* ---- a CPU, a VMCS and a memory -------------------------------------------------------------- */

#define NR_FIELDS	0x7000
#define MEMORY_BASE	0x100000
#define MEMORY_SIZE	0x4000
#define REVISION	0x12

#define ALL_CPU2	(GENMASK(26, 22) | GENMASK(20, 0))

static u64 vmcs[NR_FIELDS];
static bool exists[NR_FIELDS];
static u8 memory[MEMORY_SIZE];
static struct entry_cpu cpu;

static void set(u32 field, u64 value)
{
	assert_true(field < NR_FIELDS);
	vmcs[field] = value;
	exists[field] = true;
}

static u64 read_field(u32 field)
{
	if (field >= NR_FIELDS || !exists[field])
		fail_msg("field 0x%x was read, which this CPU hasn't", field);
	return vmcs[field];
}

static bool read_memory(u64 address, void *data, unsigned int len)
{
	if (address < MEMORY_BASE || address + len > MEMORY_BASE + MEMORY_SIZE)
		return false;
	memcpy(data, memory + address - MEMORY_BASE, len);
	return true;
}

static void poke(u64 address, u64 value)
{
	memcpy(memory + address - MEMORY_BASE, &value, sizeof(value));
}

/* A CPU with all that the rules know of. */
static void full_cpu(void)
{
	cpu = (struct entry_cpu) {
		.pin = { 0x16, 0xff },
		.cpu = { 0x0401e172 & ~0x18000, 0xfff9fffe },
		.cpu2 = { 0, ALL_CPU2 },
		.exit = { 0x36dff & ~0x4, 0x1ffffff },
		.entry = { 0x11ff & ~0x4, 0x3ffff },
		.cr0 = { 0x80000021, 0xffffffff },
		.cr4 = { 0x2000, 0xf727ff | BIT(23) },
		.basic = REVISION | BIT_ULL(55),
		.misc = 0x401c1e0 | VMX_MISC_ZERO_LEN_INS,
		.ept_vpid = VMX_EPTP_WB_BIT | VMX_EPT_PAGE_WALK_4_BIT | VMX_EPT_AD_BIT,
		.vmfunc = 1,
		.efer_may = 0xd01,
		.debugctl_may = 0xffc3,
		.perf_global_may = 0x70000000full,
		.pending_dbg_may = 0x1500f,
		.phys_bits = 39,
		.linear_bits = 48,
		.sgx = true,
		.rtm = true,
	};
}

static void set_segment(int seg, u16 selector, u64 base, u32 limit, u32 rights)
{
	set(GUEST_ES_SELECTOR + 2 * seg, selector);
	set(GUEST_ES_BASE + 2 * seg, base);
	set(GUEST_ES_LIMIT + 2 * seg, limit);
	set(GUEST_ES_AR_BYTES + 2 * seg, rights);
}

static void set_host(void)
{
	int seg;

	set(HOST_CR0, 0x80050033);
	set(HOST_CR3, 0x1234000);
	set(HOST_CR4, 0x26e0);
	for (seg = 0; seg < 7; seg++)
		set(HOST_ES_SELECTOR + 2 * seg, 0);
	set(HOST_CS_SELECTOR, 0x10);
	set(HOST_SS_SELECTOR, 0x18);
	set(HOST_TR_SELECTOR, 0x40);
	set(HOST_FS_BASE, 0x7f0000000000);
	set(HOST_GS_BASE, 0xffff888000000000);
	set(HOST_TR_BASE, 0xfffffe0000003000);
	set(HOST_GDTR_BASE, 0xfffffe0000001000);
	set(HOST_IDTR_BASE, 0xfffffe0000000000);
	set(HOST_IA32_SYSENTER_ESP, 0xfffffe0000002000);
	set(HOST_IA32_SYSENTER_EIP, 0xffffffff81000000);
	set(HOST_RIP, 0xffffffffc0000000);
	set(HOST_RSP, 0xffffc90000000000);
}

static void set_controls(u32 cpu2)
{
	set(PIN_BASED_VM_EXEC_CONTROL, cpu.pin.must | PIN_BASED_EXT_INTR_MASK |
	    PIN_BASED_NMI_EXITING | PIN_BASED_VIRTUAL_NMIS);
	set(CPU_BASED_VM_EXEC_CONTROL, cpu.cpu.must |
	    (cpu2 ? CPU_BASED_ACTIVATE_SECONDARY_CONTROLS : 0));
	if (cpu2)
		set(SECONDARY_VM_EXEC_CONTROL, cpu2);
	if (cpu2 & SECONDARY_EXEC_ENABLE_EPT) {
		set(EPT_POINTER, 0x200000 | 0x1e);
		set(GUEST_PDPTR0, 0);
		set(GUEST_PDPTR1, 0);
		set(GUEST_PDPTR2, 0);
		set(GUEST_PDPTR3, 0);
	}
	if (cpu2 & SECONDARY_EXEC_ENABLE_VPID)
		set(VIRTUAL_PROCESSOR_ID, 1);
	set(VM_EXIT_CONTROLS, cpu.exit.must | VM_EXIT_HOST_ADDR_SPACE_SIZE |
	    VM_EXIT_ACK_INTR_ON_EXIT);
	set(VM_ENTRY_CONTROLS, cpu.entry.must);
	set(CR3_TARGET_COUNT, 0);
	set(VM_EXIT_MSR_STORE_COUNT, 0);
	set(VM_EXIT_MSR_STORE_ADDR, 0);
	set(VM_EXIT_MSR_LOAD_COUNT, 0);
	set(VM_EXIT_MSR_LOAD_ADDR, 0);
	set(VM_ENTRY_MSR_LOAD_COUNT, 0);
	set(VM_ENTRY_MSR_LOAD_ADDR, 0);
	set(VM_ENTRY_INTR_INFO_FIELD, 0);
	set(VM_ENTRY_EXCEPTION_ERROR_CODE, 0);
	set(VM_ENTRY_INSTRUCTION_LEN, 0);
}

static void set_guest_common(void)
{
	set(GUEST_CR3, MEMORY_BASE);
	set(GUEST_DR7, 0x400);
	set(GUEST_IA32_DEBUGCTL, 0);
	set(GUEST_SYSENTER_ESP, 0);
	set(GUEST_SYSENTER_EIP, 0);
	set(GUEST_GDTR_BASE, 0);
	set(GUEST_GDTR_LIMIT, 0xffff);
	set(GUEST_IDTR_BASE, 0);
	set(GUEST_IDTR_LIMIT, 0xffff);
	set(GUEST_RFLAGS, 0x202);
	set(GUEST_RIP, 0x1000);
	set(GUEST_ACTIVITY_STATE, 0);
	set(GUEST_INTERRUPTIBILITY_INFO, 0);
	set(GUEST_PENDING_DBG_EXCEPTIONS, 0);
	set(VMCS_LINK_POINTER, ~0ull);
	set_segment(LDTR, 0, 0, 0, 0x10000);
	set_segment(TR, 0x40, 0, 0x67, 0x8b);
}

static void set_flat(u32 code, u32 data)
{
	int seg;

	for (seg = ES; seg <= GS; seg++)
		set_segment(seg, 0x18, 0, 0xffffffff, data);
	set_segment(CS, 0x10, 0, 0xffffffff, code);
}

/* ---- states that a CPU accepts --------------------------------------------------------------- */

static void start(u32 cpu2)
{
	memset(exists, 0, sizeof(exists));
	memset(memory, 0, sizeof(memory));
	full_cpu();
	set_controls(cpu2);
	set_host();
	set_guest_common();
}

static void long_mode_with(u32 cpu2)
{
	start(cpu2);
	set(VM_ENTRY_CONTROLS, vmcs[VM_ENTRY_CONTROLS] | VM_ENTRY_IA32E_MODE |
	    VM_ENTRY_LOAD_IA32_EFER);
	set(GUEST_IA32_EFER, 0xd01);
	set(GUEST_CR0, 0x80050033);
	set(GUEST_CR4, 0x26a0);
	set_flat(0xa09b, 0xc093);
	set(GUEST_RIP, 0xffffffff81000000);
	set(GUEST_GS_BASE, 0xffff888000000000);
}

static void long_mode(void)
{
	long_mode_with(SECONDARY_EXEC_ENABLE_EPT | SECONDARY_EXEC_ENABLE_VPID);
}

/* The first CPUs with VT-x: nothing optional. */
static void first_generation(void)
{
	long_mode_with(0);
	cpu.cpu.may &= ~(u64)CPU_BASED_ACTIVATE_SECONDARY_CONTROLS;
	cpu.cpu2.may = 0;
	cpu.ept_vpid = 0;
	set(VM_ENTRY_CONTROLS, vmcs[VM_ENTRY_CONTROLS] & ~(u64)VM_ENTRY_LOAD_IA32_EFER);
	exists[GUEST_IA32_EFER] = false;
}

static void protected_mode(void)
{
	start(0);
	set(GUEST_CR0, 0x80000031);
	set(GUEST_CR4, 0x2000);
	set_flat(0xc09b, 0xc093);
}

static void pae_with_ept(void)
{
	start(SECONDARY_EXEC_ENABLE_EPT);
	set(GUEST_CR0, 0x80000031);
	set(GUEST_CR4, 0x2020);
	set_flat(0xc09b, 0xc093);
	set(GUEST_PDPTR0, 0x2001);
}

static void pae_without_ept(void)
{
	start(0);
	set(GUEST_CR0, 0x80000031);
	set(GUEST_CR4, 0x2020);
	set_flat(0xc09b, 0xc093);
	poke(MEMORY_BASE, 0x2001);
}

static void unrestricted(void)
{
	start(SECONDARY_EXEC_ENABLE_EPT | SECONDARY_EXEC_UNRESTRICTED_GUEST);
	set(GUEST_CR4, 0x2000);
}

static void real_mode(void)
{
	int seg;

	unrestricted();
	set(GUEST_CR0, 0x60000030);	/* as after reset: CD and NW, too */
	for (seg = ES; seg <= GS; seg++)
		set_segment(seg, 0, 0, 0xffff, 0x93);
	set_segment(CS, 0xf000, 0xffff0000, 0xffff, 0x9b);
	set(GUEST_RIP, 0xfff0);
	set(GUEST_RFLAGS, 2);
}

/* Unrestricted, just after CR0.PE was set: CS is still the data segment of real mode. */
static void into_protected_mode(void)
{
	real_mode();
	set(GUEST_CR0, 0x31);
	set_segment(CS, 0x1000, 0x10000, 0xffff, 0x93);
}

static void virtual_8086_mode(void)
{
	int seg;

	protected_mode();
	for (seg = ES; seg <= GS; seg++)
		set_segment(seg, 0x1000, 0x10000, 0xffff, 0xf3);
	set(GUEST_RFLAGS, 0x23202);
}

static void user_mode(void)
{
	int seg;

	long_mode();
	for (seg = ES; seg <= GS; seg++)
		set_segment(seg, 0, 0, 0, 0x10000);
	set_segment(SS, 0x2b, 0, 0xffffffff, 0xc0f3);
	set_segment(CS, 0x33, 0, 0xffffffff, 0xa0fb);
	set(GUEST_RIP, 0x7ffffffff000);
}

typedef void (*state_fn)(void);

static const struct { const char *name; state_fn set; } good_states[] = {
	{ "long mode", long_mode },
	{ "long mode, first generation", first_generation },
	{ "protected mode", protected_mode },
	{ "PAE with EPT", pae_with_ept },
	{ "PAE without EPT", pae_without_ept },
	{ "real mode", real_mode },
	{ "on the way into protected mode", into_protected_mode },
	{ "virtual-8086 mode", virtual_8086_mode },
	{ "64-bit user mode", user_mode },
};

/* ---- running the rules ----------------------------------------------------------------------- */

#define MAX_BROKEN	16

static struct broken_rule broken[MAX_BROKEN];

static void note_broken(struct entry_check *c, const struct broken_rule *b)
{
	assert_true(c->nr_broken <= MAX_BROKEN);
	assert_non_null(b->section);
	assert_true(b->nr_values <= MAX_RULE_VALUES);
	broken[c->nr_broken - 1] = *b;
}

static struct entry_check checker(void)
{
	return (struct entry_check) {
		.cpu = &cpu,
		.vmcs = MEMORY_BASE + 0x1000,
		.read = read_field,
		.read_phys = read_memory,
		.broken = note_broken,
	};
}

static void print_broken(int nr)
{
	int i;

	for (i = 0; i < nr; i++)
		print_error("  broken: %s: %s: %s\n", broken[i].section,
			    broken[i].subject ? broken[i].subject : "-", broken[i].rule);
}

static void test_good_states(void **unused)
{
	struct entry_check c;
	size_t i;

	(void)unused;
	for (i = 0; i < ARRAY_SIZE(good_states); i++) {
		good_states[i].set();
		c = checker();
		entry_check_controls_and_host(&c);
		entry_check_guest(&c);
		print_broken(c.nr_broken);
		if (c.nr_broken)
			fail_msg("a good state was refused: %s", good_states[i].name);
		assert_false(entry_check_is_incomplete(&c));
	}
}

/* One thing that is wrong: fields that differ from a good state, and the rule that says so. */
struct wrong {
	state_fn state;
	const char *subject;	/* or NULL: any */
	const char *rule;	/* a part of it */
	struct { u32 field; u64 value; } set[4];
	int also;		/* other rules that this breaks, too */
	void (*prepare)(void);
};

static bool names_it(const struct broken_rule *b, const struct wrong *w)
{
	return strstr(b->rule, w->rule) &&
		(!w->subject || (b->subject && !strcmp(b->subject, w->subject)));
}

static void run_one(const struct wrong *w, void (*check)(struct entry_check *c))
{
	struct entry_check c;
	int i, found = 0;

	w->state();
	for (i = 0; i < 4 && w->set[i].field; i++)
		set(w->set[i].field, w->set[i].value);
	if (w->prepare)
		w->prepare();
	c = checker();
	check(&c);
	for (i = 0; i < c.nr_broken; i++)
		found += names_it(&broken[i], w);
	if (found == 1 && c.nr_broken == 1 + w->also)
		return;
	print_broken(c.nr_broken);
	fail_msg("\"%s\" found %d times among %d broken rules", w->rule, found, c.nr_broken);
}

#define SEG(kind, seg)	(GUEST_ES_##kind + 2 * (seg))
#define EVENT(kind, vector)	(INTR_INFO_VALID_MASK | (kind) | (vector))

/* ---- controls and host ----------------------------------------------------------------------- */

/* The controls of long_mode(), and others. */
#define PIN(bits)	PIN_BASED_VM_EXEC_CONTROL, 0x16 | (bits)
/* The controls of long_mode(), and others. */
#define PIN(bits)	PIN_BASED_VM_EXEC_CONTROL, 0x16 | (bits)
#define CPU1(bits)	CPU_BASED_VM_EXEC_CONTROL, \
			0x04006172 | CPU_BASED_ACTIVATE_SECONDARY_CONTROLS | (bits)
#define CPU2(bits)	SECONDARY_VM_EXEC_CONTROL, SECONDARY_EXEC_ENABLE_EPT | (bits)
#define X2APIC		SECONDARY_EXEC_VIRTUALIZE_X2APIC_MODE
#define EXIT_MUST	(0x36dfb & ~VM_EXIT_ACK_INTR_ON_EXIT)
#define EXIT(bits)	VM_EXIT_CONTROLS, EXIT_MUST | VM_EXIT_HOST_ADDR_SPACE_SIZE | (bits)
#define ENTRY(bits)	VM_ENTRY_CONTROLS, 0x11fb | VM_ENTRY_IA32E_MODE | (bits)
#define ENTRY(bits)	VM_ENTRY_CONTROLS, 0x11fb | VM_ENTRY_IA32E_MODE | (bits)
#define EVENT_IS(kind, vector)	VM_ENTRY_INTR_INFO_FIELD, EVENT(kind, vector)

static void old_structures(void)
{
	cpu.basic |= BIT_ULL(48);
}

static void no_mtf_or_zero_length(void)
{
	cpu.cpu.may &= ~(u64)CPU_BASED_MONITOR_TRAP_FLAG;
	cpu.misc &= ~(u64)VMX_MISC_ZERO_LEN_INS;
}

static void no_ept_ad(void)
{
	cpu.ept_vpid &= ~VMX_EPT_AD_BIT;
}

/* VIRTUAL_PROCESSOR_ID has the number that ends a list of changes. */
static void vpid_of_zero(void)
{
	set(VIRTUAL_PROCESSOR_ID, 0);
}

static const struct wrong wrong_controls[] = {
	{ long_mode, "PIN_BASED_VM_EXEC_CONTROL", "must have the bits",
	  .set = {{ PIN_BASED_VM_EXEC_CONTROL, 0x29 }} },
	{ long_mode, "CPU_BASED_VM_EXEC_CONTROL", "must have the bits", .set = {{ CPU1(1) }} },
	{ long_mode, "SECONDARY_VM_EXEC_CONTROL", "must have the bits",
	  .set = {{ CPU2(BIT(31)) }} },
	{ long_mode, "VM_EXIT_CONTROLS", "must have the bits", .set = {{ EXIT(BIT(31)) }} },
	{ long_mode, "VM_ENTRY_CONTROLS", "must have the bits", .set = {{ ENTRY(BIT(31)) }} },
	{ long_mode, NULL, "CR3-target count", .set = {{ CR3_TARGET_COUNT, 5 }} },
	{ long_mode, NULL, "address must be page-aligned",
	  .set = {{ CPU1(CPU_BASED_USE_IO_BITMAPS) }, { IO_BITMAP_A, 0x1800 },
		  { IO_BITMAP_B, 0x2000 }} },
	{ long_mode, NULL, "address must be page-aligned",
	  .set = {{ CPU1(CPU_BASED_USE_IO_BITMAPS) }, { IO_BITMAP_A, 0x1000 },
		  { IO_BITMAP_B, BIT_ULL(39) }} },
	{ long_mode, NULL, "address must be page-aligned",
	  .set = {{ CPU1(CPU_BASED_USE_MSR_BITMAPS) }, { MSR_BITMAP, BIT_ULL(32) }},
	  .prepare = old_structures },
	{ long_mode, NULL, "address must be page-aligned",
	  .set = {{ CPU1(CPU_BASED_TPR_SHADOW) }, { VIRTUAL_APIC_PAGE_ADDR, 1 },
		  { TPR_THRESHOLD, 0 }} },
	{ long_mode, NULL, "bits 31:4 of the TPR",
	  .set = {{ CPU1(CPU_BASED_TPR_SHADOW) }, { VIRTUAL_APIC_PAGE_ADDR, 0 },
		  { TPR_THRESHOLD, 0x10 }} },
	{ long_mode, NULL, "must not be above bits 7:4",
	  .set = {{ CPU1(CPU_BASED_TPR_SHADOW) }, { VIRTUAL_APIC_PAGE_ADDR, MEMORY_BASE },
		  { TPR_THRESHOLD, 1 }} },
	{ long_mode, NULL, "need \"use TPR shadow\"",
	  .set = {{ CPU2(SECONDARY_EXEC_APIC_REGISTER_VIRT) }} },
	{ long_mode, NULL, "address must be page-aligned",
	  .set = {{ CPU2(SECONDARY_EXEC_VIRTUALIZE_APIC_ACCESSES) }, { APIC_ACCESS_ADDR, 1 }} },
	{ long_mode, NULL, "must not both be 1",
	  .set = {{ CPU2(SECONDARY_EXEC_VIRTUALIZE_APIC_ACCESSES | X2APIC) },
		  { APIC_ACCESS_ADDR, 0 }}, .also = 1 },
	{ long_mode, NULL, "\"virtual NMIs\" needs", .set = {{ PIN(PIN_BASED_VIRTUAL_NMIS) }} },
	{ long_mode, NULL, "needs \"virtual NMIs\"",
	  .set = {{ PIN(PIN_BASED_NMI_EXITING) }, { CPU1(CPU_BASED_NMI_WINDOW_EXITING) }} },
	{ long_mode, NULL, "needs \"external-interrupt exiting\"",
	  .set = {{ PIN(0) }, { CPU1(CPU_BASED_TPR_SHADOW) }, { VIRTUAL_APIC_PAGE_ADDR, 0 },
		  { CPU2(SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY) }} },
	{ long_mode, NULL, "needs \"virtual-interrupt delivery\"",
	  .set = {{ PIN(PIN_BASED_POSTED_INTR) }, { POSTED_INTR_NV, 2 },
		  { POSTED_INTR_DESC_ADDR, 0 }} },
	{ long_mode, NULL, "needs \"acknowledge interrupt",
	  .set = {{ PIN(PIN_BASED_POSTED_INTR) }, { POSTED_INTR_NV, 2 },
		  { POSTED_INTR_DESC_ADDR, 0 }, { EXIT(0) }}, .also = 1 },
	{ long_mode, NULL, "notification vector",
	  .set = {{ PIN(PIN_BASED_POSTED_INTR) }, { POSTED_INTR_NV, 256 },
		  { POSTED_INTR_DESC_ADDR, 0 }}, .also = 1 },
	{ long_mode, NULL, "64-byte-aligned",
	  .set = {{ PIN(PIN_BASED_POSTED_INTR) }, { POSTED_INTR_NV, 2 },
		  { POSTED_INTR_DESC_ADDR, 32 }}, .also = 1 },
	{ long_mode, NULL, "VPID must not be 0",
	  .set = {{ CPU2(SECONDARY_EXEC_ENABLE_VPID) }}, .prepare = vpid_of_zero },
	{ long_mode, NULL, "EPT memory type", .set = {{ EPT_POINTER, 0x20001c }} },
	{ long_mode, NULL, "EPT memory type", .set = {{ EPT_POINTER, 0x200018 }} },
	{ long_mode, NULL, "page-walk length", .set = {{ EPT_POINTER, 0x200026 }} },
	{ long_mode, NULL, "bit 6 (accessed",
	  .set = {{ EPT_POINTER, 0x20005e }}, .prepare = no_ept_ad },
	{ long_mode, NULL, "bit 7 (supervisor", .set = {{ EPT_POINTER, 0x20009e }} },
	{ long_mode, NULL, "bits 11:8", .set = {{ EPT_POINTER, 0x20011e }} },
	{ long_mode, NULL, "bits 11:8", .set = {{ EPT_POINTER, BIT_ULL(39) | 0x1e }} },
	{ long_mode, NULL, "need \"enable EPT\"",
	  .set = {{ SECONDARY_VM_EXEC_CONTROL, SECONDARY_EXEC_UNRESTRICTED_GUEST }} },
	{ long_mode, NULL, "address must be page-aligned",
	  .set = {{ CPU2(SECONDARY_EXEC_ENABLE_PML) }, { PML_ADDRESS, 0x10 }} },
	{ long_mode, NULL, "IA32_RTIT_CTL", .set = {{ CPU2(SECONDARY_EXEC_PT_USE_GPA) }} },
	{ long_mode, "VM_FUNCTION_CONTROL", "must have the bits",
	  .set = {{ CPU2(SECONDARY_EXEC_ENABLE_VMFUNC) }, { VM_FUNCTION_CONTROL, 2 }} },
	{ long_mode, NULL, "\"EPTP switching\" needs",
	  .set = {{ SECONDARY_VM_EXEC_CONTROL, SECONDARY_EXEC_ENABLE_VMFUNC },
		  { VM_FUNCTION_CONTROL, 1 }, { EPTP_LIST_ADDRESS, 0 }} },
	{ long_mode, NULL, "address must be page-aligned",
	  .set = {{ CPU2(SECONDARY_EXEC_ENABLE_VMFUNC) }, { VM_FUNCTION_CONTROL, 1 },
		  { EPTP_LIST_ADDRESS, 8 }} },
	{ long_mode, NULL, "address must be page-aligned",
	  .set = {{ CPU2(SECONDARY_EXEC_SHADOW_VMCS) }, { VMREAD_BITMAP, 1 },
		  { VMWRITE_BITMAP, 0 }} },
	{ long_mode, NULL, "address must be page-aligned",
	  .set = {{ CPU2(SECONDARY_EXEC_SHADOW_VMCS) }, { VMREAD_BITMAP, 0 },
		  { VMWRITE_BITMAP, 1 }} },
	{ long_mode, NULL, "TSC multiplier",
	  .set = {{ CPU2(SECONDARY_EXEC_TSC_SCALING) }, { TSC_MULTIPLIER, 0 }} },
	{ long_mode, NULL, "needs \"activate VMX-preemption timer\"",
	  .set = {{ EXIT(VM_EXIT_SAVE_VMX_PREEMPTION_TIMER) }} },
	{ long_mode, NULL, "16-byte-aligned",
	  .set = {{ VM_EXIT_MSR_STORE_COUNT, 1 }, { VM_EXIT_MSR_STORE_ADDR, 8 }} },
	{ long_mode, NULL, "16-byte-aligned",
	  .set = {{ VM_EXIT_MSR_LOAD_COUNT, 2 }, { VM_EXIT_MSR_LOAD_ADDR, BIT_ULL(39) - 16 }} },
	{ long_mode, NULL, "16-byte-aligned",
	  .set = {{ VM_ENTRY_MSR_LOAD_COUNT, 1 }, { VM_ENTRY_MSR_LOAD_ADDR, BIT_ULL(39) }} },
	{ long_mode, NULL, "outside SMM", .set = {{ ENTRY(VM_ENTRY_SMM) }} },
};

static const struct wrong wrong_events[] = {
	{ long_mode, NULL, "must not be 1, nor 7", .set = {{ EVENT_IS(INTR_TYPE_RESERVED, 32) }} },
	{ long_mode, NULL, "must not be 1, nor 7",
	  .set = {{ EVENT_IS(INTR_TYPE_OTHER_EVENT, 0) }}, .prepare = no_mtf_or_zero_length },
	{ long_mode, NULL, "of an NMI must be 2", .set = {{ EVENT_IS(INTR_TYPE_NMI_INTR, 3) }} },
	{ long_mode, NULL, "must be below 32",
	  .set = {{ EVENT_IS(INTR_TYPE_HARD_EXCEPTION, 32) }} },
	{ long_mode, NULL, "type 7 must be 0", .set = {{ EVENT_IS(INTR_TYPE_OTHER_EVENT, 1) }} },
	{ long_mode, NULL, "bits 30:12", .set = {{ EVENT_IS(INTR_TYPE_EXT_INTR, 32 | BIT(12)) }} },
	{ long_mode, NULL, "only with a hardware exception",
	  .set = {{ EVENT_IS(INTR_TYPE_EXT_INTR, 32 | BIT(11)) }} },
	{ real_mode, NULL, "only with a hardware exception",
	  .set = {{ EVENT_IS(INTR_TYPE_HARD_EXCEPTION, 13 | BIT(11)) }} },
	{ long_mode, NULL, "exactly the vectors",
	  .set = {{ EVENT_IS(INTR_TYPE_HARD_EXCEPTION, 14) }} },
	{ long_mode, NULL, "exactly the vectors",
	  .set = {{ EVENT_IS(INTR_TYPE_HARD_EXCEPTION, 6 | BIT(11)) }} },
	{ long_mode, NULL, "bits 31:16 of the VM-entry exception",
	  .set = {{ EVENT_IS(INTR_TYPE_HARD_EXCEPTION, 14 | BIT(11)) },
		  { VM_ENTRY_EXCEPTION_ERROR_CODE, 0x10000 }} },
	{ long_mode, NULL, "instruction length",
	  .set = {{ EVENT_IS(INTR_TYPE_SOFT_INTR, 0x80) }, { VM_ENTRY_INSTRUCTION_LEN, 16 }} },
	{ long_mode, NULL, "instruction length",
	  .set = {{ EVENT_IS(INTR_TYPE_SOFT_EXCEPTION, 3) }}, .prepare = no_mtf_or_zero_length },
};

static const struct wrong wrong_host[] = {
	{ long_mode, "HOST_CR0", "must have the bits", .set = {{ HOST_CR0, 0x50033 }} },
	{ long_mode, "HOST_CR4", "must have the bits", .set = {{ HOST_CR4, 0x6e0 }} },
	{ long_mode, NULL, "CR4.CET may be 1",
	  .set = {{ HOST_CR4, 0x26e0 | BIT(23) }, { HOST_CR0, 0x80040033 }} },
	{ long_mode, NULL, "within the physical-address width",
	  .set = {{ HOST_CR3, BIT_ULL(39) }} },
	{ long_mode, NULL, "canonical", .set = {{ HOST_IA32_SYSENTER_ESP, BIT_ULL(47) }} },
	{ long_mode, NULL, "canonical", .set = {{ HOST_IA32_SYSENTER_EIP, BIT_ULL(47) }} },
	{ long_mode, NULL, "reserved bits of IA32_PERF_GLOBAL_CTRL",
	  .set = {{ EXIT(VM_EXIT_LOAD_IA32_PERF_GLOBAL_CTRL) },
		  { HOST_IA32_PERF_GLOBAL_CTRL, BIT(20) }} },
	{ long_mode, NULL, "each byte of IA32_PAT",
	  .set = {{ EXIT(VM_EXIT_LOAD_IA32_PAT) }, { HOST_IA32_PAT, 2 }} },
	{ long_mode, NULL, "reserved bits of IA32_EFER",
	  .set = {{ EXIT(VM_EXIT_LOAD_IA32_EFER) }, { HOST_IA32_EFER, 0xd03 }} },
	{ long_mode, NULL, "LMA and LME",
	  .set = {{ EXIT(VM_EXIT_LOAD_IA32_EFER) }, { HOST_IA32_EFER, 0x901 }} },
	{ long_mode, NULL, "RPL and TI", .set = {{ HOST_CS_SELECTOR, 0x13 }} },
	{ long_mode, NULL, "RPL and TI", .set = {{ HOST_SS_SELECTOR, 0x1c }} },
	{ long_mode, NULL, "RPL and TI", .set = {{ HOST_DS_SELECTOR, 0x2b }} },
	{ long_mode, NULL, "RPL and TI", .set = {{ HOST_ES_SELECTOR, 0x2b }} },
	{ long_mode, NULL, "RPL and TI", .set = {{ HOST_FS_SELECTOR, 0x4 }} },
	{ long_mode, NULL, "RPL and TI", .set = {{ HOST_GS_SELECTOR, 0x1 }} },
	{ long_mode, NULL, "RPL and TI", .set = {{ HOST_TR_SELECTOR, 0x43 }} },
	{ long_mode, NULL, "CS must not be null", .set = {{ HOST_CS_SELECTOR, 0 }} },
	{ long_mode, NULL, "TR must not be null", .set = {{ HOST_TR_SELECTOR, 0 }} },
	{ long_mode, NULL, "SS must not be null",
	  .set = {{ HOST_SS_SELECTOR, 0 }, { VM_EXIT_CONTROLS, EXIT_MUST }}, .also = 1 },
	{ long_mode, NULL, "canonical", .set = {{ HOST_FS_BASE, BIT_ULL(63) }} },
	{ long_mode, NULL, "canonical", .set = {{ HOST_GS_BASE, BIT_ULL(48) }} },
	{ long_mode, NULL, "canonical", .set = {{ HOST_GDTR_BASE, BIT_ULL(47) }} },
	{ long_mode, NULL, "canonical", .set = {{ HOST_IDTR_BASE, BIT_ULL(47) }} },
	{ long_mode, NULL, "canonical", .set = {{ HOST_TR_BASE, BIT_ULL(47) }} },
	{ long_mode, NULL, "host address-space size", .set = {{ VM_EXIT_CONTROLS, EXIT_MUST }} },
	{ long_mode, NULL, "CR4.PAE must be 1", .set = {{ HOST_CR4, 0x26c0 }} },
	{ long_mode, NULL, "canonical", .set = {{ HOST_RIP, BIT_ULL(47) }} },
};

/* ---- guest ----------------------------------------------------------------------------------- */

static void unrestricted_long_mode(void)
{
	long_mode_with(SECONDARY_EXEC_ENABLE_EPT | SECONDARY_EXEC_UNRESTRICTED_GUEST);
}

static const struct wrong wrong_registers[] = {
	{ long_mode, "GUEST_CR0", "must have the bits", .set = {{ GUEST_CR0, 0x80050013 }} },
	{ protected_mode, "GUEST_CR0", "must have the bits", .set = {{ GUEST_CR0, 0x31 }} },
	{ real_mode, NULL, "CR0.PG may be 1 only", .set = {{ GUEST_CR0, 0x80000030 }} },
	{ long_mode, "GUEST_CR4", "must have the bits", .set = {{ GUEST_CR4, 0x26a0 | BIT(30) }} },
	{ long_mode, NULL, "CR4.CET may be 1",
	  .set = {{ GUEST_CR4, 0x26a0 | BIT(23) }, { GUEST_CR0, 0x80040033 }} },
	{ unrestricted_long_mode, NULL, "CR0.PG must be 1", .set = {{ GUEST_CR0, 0x31 }} },
	{ long_mode, NULL, "CR4.PAE must be 1", .set = {{ GUEST_CR4, 0x2680 }} },
	{ protected_mode, NULL, "CR4.PCIDE", .set = {{ GUEST_CR4, 0x22000 }} },
	{ long_mode, NULL, "within the physical-address width",
	  .set = {{ GUEST_CR3, BIT_ULL(39) }} },
	{ long_mode, NULL, "reserved bits of IA32_DEBUGCTL",
	  .set = {{ ENTRY(VM_ENTRY_LOAD_DEBUG_CONTROLS) }, { GUEST_IA32_DEBUGCTL, BIT(4) }} },
	{ long_mode, NULL, "bits 63:32 of DR7",
	  .set = {{ ENTRY(VM_ENTRY_LOAD_DEBUG_CONTROLS) }, { GUEST_DR7, BIT_ULL(32) }} },
	{ long_mode, NULL, "canonical", .set = {{ GUEST_SYSENTER_ESP, BIT_ULL(47) }} },
	{ long_mode, NULL, "canonical", .set = {{ GUEST_SYSENTER_EIP, BIT_ULL(47) }} },
	{ long_mode, NULL, "reserved bits of IA32_PERF_GLOBAL_CTRL",
	  .set = {{ ENTRY(VM_ENTRY_LOAD_IA32_PERF_GLOBAL_CTRL) },
		  { GUEST_IA32_PERF_GLOBAL_CTRL, BIT(9) }} },
	{ long_mode, NULL, "each byte of IA32_PAT",
	  .set = {{ ENTRY(VM_ENTRY_LOAD_IA32_PAT) }, { GUEST_IA32_PAT, 0x0700000000000000 | 8 }} },
	{ long_mode, NULL, "reserved bits of IA32_EFER",
	  .set = {{ GUEST_IA32_EFER, 0xd01 | BIT(12) }} },
	{ long_mode, NULL, "LMA must be \"IA-32e",
	  .set = {{ GUEST_IA32_EFER, 0x901 }}, .also = 1 },
	{ long_mode, NULL, "LMA must equal LME", .set = {{ GUEST_IA32_EFER, 0xc01 }} },
	{ long_mode, NULL, "IA32_BNDCFGS",
	  .set = {{ ENTRY(VM_ENTRY_LOAD_BNDCFGS) }, { GUEST_BNDCFGS, 4 }} },
	{ long_mode, NULL, "IA32_BNDCFGS",
	  .set = {{ ENTRY(VM_ENTRY_LOAD_BNDCFGS) }, { GUEST_BNDCFGS, BIT_ULL(47) }} },
};

static const struct wrong wrong_segments[] = {
	{ long_mode, "TR", "TI of the selector", .set = {{ SEG(SELECTOR, TR), 0x44 }} },
	{ long_mode, "LDTR", "TI of a usable",
	  .set = {{ SEG(SELECTOR, LDTR), 0x4 }, { SEG(AR_BYTES, LDTR), 0x82 }} },
	{ protected_mode, "SS", "must equal that of CS",
	  .set = {{ SEG(SELECTOR, SS), 0x1b }, { SEG(AR_BYTES, SS), 0xc0f3 },
		  { SEG(AR_BYTES, CS), 0xc0fb }} },
	{ long_mode, "TR", "base must be canonical", .set = {{ SEG(BASE, TR), BIT_ULL(47) }} },
	{ long_mode, "FS", "base must be canonical", .set = {{ SEG(BASE, FS), BIT_ULL(47) }} },
	{ long_mode, "GS", "base must be canonical", .set = {{ SEG(BASE, GS), BIT_ULL(47) }} },
	{ long_mode, "LDTR", "usable LDTR must be canonical",
	  .set = {{ SEG(BASE, LDTR), BIT_ULL(47) }, { SEG(AR_BYTES, LDTR), 0x82 }} },
	{ long_mode, "CS", "bits 63:32 of the base", .set = {{ SEG(BASE, CS), BIT_ULL(32) }} },
	{ long_mode, "SS", "bits 63:32 of the base", .set = {{ SEG(BASE, SS), BIT_ULL(32) }} },
	{ long_mode, "ES", "bits 63:32 of the base", .set = {{ SEG(BASE, ES), BIT_ULL(32) }} },
	{ virtual_8086_mode, "DS", "16 times the selector", .set = {{ SEG(BASE, DS), 0x10001 }} },
	{ virtual_8086_mode, "CS", "limit must be 0xffff", .set = {{ SEG(LIMIT, CS), 0xfffff }} },
	{ virtual_8086_mode, "GS", "rights must be 0xf3", .set = {{ SEG(AR_BYTES, GS), 0x93 }} },
	{ protected_mode, "CS", "must be accessed code", .set = {{ SEG(AR_BYTES, CS), 0xc09a }} },
	{ protected_mode, "CS", "must be accessed code", .set = {{ SEG(AR_BYTES, CS), 0xc093 }} },
	{ into_protected_mode, "CS", "DPL must be 0 with type 3",
	  .set = {{ SEG(AR_BYTES, CS), 0xf3 }} },
	{ long_mode, "CS", "non-conforming code", .set = {{ SEG(AR_BYTES, CS), 0xa0fb }} },
	{ long_mode, "CS", "conforming code must not exceed",
	  .set = {{ SEG(AR_BYTES, CS), 0xa0ff }} },
	{ long_mode, "CS", "D/B must be 0", .set = {{ SEG(AR_BYTES, CS), 0xe09b }} },
	{ long_mode, "SS", "type must be 3 or 7", .set = {{ SEG(AR_BYTES, SS), 0xc091 }} },
	{ long_mode, "SS", "DPL must equal RPL",
	  .set = {{ SEG(AR_BYTES, SS), 0xc0f3 }, { SEG(AR_BYTES, CS), 0xa0fb }} },
	{ real_mode, "SS", "CS has type 3 or CR0.PE is 0",
	  .set = {{ SEG(AR_BYTES, SS), 0xf3 }, { SEG(AR_BYTES, CS), 0xfb }} },
	{ long_mode, "DS", "type must be accessed", .set = {{ SEG(AR_BYTES, DS), 0xc092 }} },
	{ long_mode, "ES", "readable if it is code", .set = {{ SEG(AR_BYTES, ES), 0xc099 }} },
	{ long_mode, "FS", "must not be below RPL", .set = {{ SEG(SELECTOR, FS), 0x1b }} },
	{ long_mode, "DS", "S must be 1", .set = {{ SEG(AR_BYTES, DS), 0xc083 }} },
	{ long_mode, "SS", "P must be 1", .set = {{ SEG(AR_BYTES, SS), 0xc013 }} },
	{ long_mode, "CS", "reserved bits", .set = {{ SEG(AR_BYTES, CS), 0xa19b }} },
	{ long_mode, "GS", "reserved bits", .set = {{ SEG(AR_BYTES, GS), 0x2c093 }} },
	{ long_mode, "ES", "G must be 0", .set = {{ SEG(LIMIT, ES), 0xfffffffe }} },
	{ long_mode, "DS", "G must be 1", .set = {{ SEG(AR_BYTES, DS), 0x4093 }} },
	{ long_mode, "TR", "type must be 11", .set = {{ SEG(AR_BYTES, TR), 0x83 }} },
	{ protected_mode, "TR", "type must be 11", .set = {{ SEG(AR_BYTES, TR), 0x89 }} },
	{ long_mode, "TR", "S must be 0", .set = {{ SEG(AR_BYTES, TR), 0x9b }} },
	{ long_mode, "TR", "P must be 1", .set = {{ SEG(AR_BYTES, TR), 0x0b }} },
	{ long_mode, "TR", "TR must be usable", .set = {{ SEG(AR_BYTES, TR), 0x1008b }} },
	{ long_mode, "TR", "G must be 0", .set = {{ SEG(AR_BYTES, TR), 0x808b }} },
	{ long_mode, "LDTR", "type must be 2", .set = {{ SEG(AR_BYTES, LDTR), 0x83 }} },
	{ long_mode, "LDTR", "S must be 0", .set = {{ SEG(AR_BYTES, LDTR), 0x92 }} },
	{ long_mode, "LDTR", "P must be 1", .set = {{ SEG(AR_BYTES, LDTR), 0x02 }} },
	{ long_mode, NULL, "canonical", .set = {{ GUEST_GDTR_BASE, BIT_ULL(47) }} },
	{ long_mode, NULL, "canonical", .set = {{ GUEST_IDTR_BASE, BIT_ULL(47) }} },
	{ long_mode, NULL, "bits 31:16 of the limit", .set = {{ GUEST_GDTR_LIMIT, 0x10000 }} },
	{ long_mode, NULL, "bits 31:16 of the limit", .set = {{ GUEST_IDTR_LIMIT, 0x10000 }} },
};

static void no_hlt_state(void)
{
	cpu.misc &= ~(u64)VMX_MISC_ACTIVITY_HLT;
}

static void no_sgx(void)
{
	cpu.sgx = false;
}

static void linked_vmcs(void)
{
	poke(MEMORY_BASE + 0x2000, REVISION | BIT(31));
}

static void bad_pdpte(void)
{
	poke(MEMORY_BASE + 0x3000, 0x1e1);
}

static const struct wrong wrong_other_state[] = {
	{ long_mode, NULL, "beyond the linear-address width",
	  .set = {{ GUEST_RIP, BIT_ULL(48) }} },
	{ protected_mode, NULL, "bits 63:32 of RIP", .set = {{ GUEST_RIP, BIT_ULL(32) }} },
	{ long_mode, NULL, "bits 63:32 of RIP", .set = {{ SEG(AR_BYTES, CS), 0xc09b }} },
	{ long_mode, NULL, "reserved bits of RFLAGS", .set = {{ GUEST_RFLAGS, 0x200 }} },
	{ long_mode, NULL, "reserved bits of RFLAGS", .set = {{ GUEST_RFLAGS, 0x20a }} },
	{ long_mode, NULL, "reserved bits of RFLAGS", .set = {{ GUEST_RFLAGS, BIT_ULL(22) | 2 }} },
	{ virtual_8086_mode, NULL, "RFLAGS.VM may be 1 only",
	  .set = {{ GUEST_CR0, 0x80000030 }}, .also = 2 },
	{ long_mode, NULL, "RFLAGS.IF must be 1",
	  .set = {{ EVENT_IS(INTR_TYPE_EXT_INTR, 32) }, { GUEST_RFLAGS, 2 }} },
	{ long_mode, NULL, "must be 0 to 3 and supported", .set = {{ GUEST_ACTIVITY_STATE, 4 }} },
	{ long_mode, NULL, "must be 0 to 3 and supported",
	  .set = {{ GUEST_ACTIVITY_STATE, 1 }}, .prepare = no_hlt_state },
	{ user_mode, NULL, "must not be HLT", .set = {{ GUEST_ACTIVITY_STATE, 1 }} },
	{ long_mode, NULL, "must be active while STI or MOV SS",
	  .set = {{ GUEST_ACTIVITY_STATE, 1 }, { GUEST_INTERRUPTIBILITY_INFO, 1 }} },
	{ long_mode, NULL, "in which the injected event may arrive",
	  .set = {{ GUEST_ACTIVITY_STATE, 1 }, { EVENT_IS(INTR_TYPE_HARD_EXCEPTION, 6) }} },
	{ long_mode, NULL, "in which the injected event may arrive",
	  .set = {{ GUEST_ACTIVITY_STATE, 2 }, { EVENT_IS(INTR_TYPE_EXT_INTR, 32) }} },
	{ long_mode, NULL, "in which the injected event may arrive",
	  .set = {{ GUEST_ACTIVITY_STATE, 3 }, { EVENT_IS(INTR_TYPE_NMI_INTR, 2) }} },
	{ long_mode, NULL, "bits 31:5 of the interruptibility",
	  .set = {{ GUEST_INTERRUPTIBILITY_INFO, 0x20 }} },
	{ long_mode, NULL, "must not both block", .set = {{ GUEST_INTERRUPTIBILITY_INFO, 3 }} },
	{ long_mode, NULL, "STI must not block while",
	  .set = {{ GUEST_INTERRUPTIBILITY_INFO, 1 }, { GUEST_RFLAGS, 2 }} },
	{ long_mode, NULL, "SMIs must not be blocked",
	  .set = {{ GUEST_INTERRUPTIBILITY_INFO, 4 }} },
	{ long_mode, NULL, "enclave interruption",
	  .set = {{ GUEST_INTERRUPTIBILITY_INFO, 0x12 }} },
	{ long_mode, NULL, "enclave interruption",
	  .set = {{ GUEST_INTERRUPTIBILITY_INFO, 0x10 }}, .prepare = no_sgx },
	{ long_mode, NULL, "if an external interrupt is injected",
	  .set = {{ GUEST_INTERRUPTIBILITY_INFO, 1 }, { EVENT_IS(INTR_TYPE_EXT_INTR, 32) }} },
	{ long_mode, NULL, "if an NMI is injected",
	  .set = {{ GUEST_INTERRUPTIBILITY_INFO, 2 }, { EVENT_IS(INTR_TYPE_NMI_INTR, 2) }} },
	{ long_mode, NULL, "if one is injected with \"virtual NMIs\"",
	  .set = {{ GUEST_INTERRUPTIBILITY_INFO, 8 }, { EVENT_IS(INTR_TYPE_NMI_INTR, 2) }} },
	{ long_mode, NULL, "reserved bits of the pending debug",
	  .set = {{ GUEST_PENDING_DBG_EXCEPTIONS, BIT(4) }} },
	{ long_mode, NULL, "BS must be RFLAGS.TF",
	  .set = {{ GUEST_INTERRUPTIBILITY_INFO, 1 }, { GUEST_RFLAGS, 0x302 }} },
	{ long_mode, NULL, "BS must be RFLAGS.TF",
	  .set = {{ GUEST_ACTIVITY_STATE, 1 }, { GUEST_PENDING_DBG_EXCEPTIONS, BIT(14) }} },
	{ long_mode, NULL, "BS must be RFLAGS.TF",
	  .set = {{ GUEST_INTERRUPTIBILITY_INFO, 2 }, { GUEST_RFLAGS, 0x302 },
		  { GUEST_IA32_DEBUGCTL, 2 }, { GUEST_PENDING_DBG_EXCEPTIONS, BIT(14) }} },
	{ long_mode, NULL, "RTM may be 1 only",
	  .set = {{ GUEST_PENDING_DBG_EXCEPTIONS, BIT(16) }} },
	{ long_mode, NULL, "must be all ones", .set = {{ VMCS_LINK_POINTER, 0x1008 }} },
	{ long_mode, NULL, "must be all ones",
	  .set = {{ VMCS_LINK_POINTER, MEMORY_BASE + 0x1000 }}, .also = 1 },
	{ long_mode, NULL, "of this revision",
	  .set = {{ VMCS_LINK_POINTER, MEMORY_BASE + 0x2000 }}, .prepare = linked_vmcs },
	{ pae_with_ept, "PDPTE0", "present entry", .set = {{ GUEST_PDPTR0, 0x2003 }} },
	{ pae_with_ept, "PDPTE3", "present entry", .set = {{ GUEST_PDPTR3, BIT_ULL(39) | 1 }} },
	{ pae_without_ept, "PDPTE0", "present entry",
	  .set = {{ GUEST_CR3, MEMORY_BASE + 0x3000 }}, .prepare = bad_pdpte },
};


/* ---- the tests ------------------------------------------------------------------------------- */

#define run_all(table, check)								\
	do {										\
		for (size_t i = 0; i < ARRAY_SIZE(table); i++)				\
			run_one(&(table)[i], check);					\
	} while (0)

static void test_controls(void **unused)
{
	(void)unused;
	run_all(wrong_controls, entry_check_controls_and_host);
}

static void test_events(void **unused)
{
	(void)unused;
	run_all(wrong_events, entry_check_controls_and_host);
}

static void test_host(void **unused)
{
	(void)unused;
	run_all(wrong_host, entry_check_controls_and_host);
}

static void test_guest_registers(void **unused)
{
	(void)unused;
	run_all(wrong_registers, entry_check_guest);
}

static void test_guest_segments(void **unused)
{
	(void)unused;
	run_all(wrong_segments, entry_check_guest);
}

static void test_other_guest_state(void **unused)
{
	(void)unused;
	run_all(wrong_other_state, entry_check_guest);
}

/* What a hypervisor injects every day. */
static void test_good_events(void **unused)
{
	static const struct { state_fn state; u32 event, length, activity; } good[] = {
		{ long_mode, EVENT(INTR_TYPE_EXT_INTR, 0x20), 0, GUEST_ACTIVITY_ACTIVE },
		{ long_mode, EVENT(INTR_TYPE_EXT_INTR, 0xff), 0, GUEST_ACTIVITY_HLT },
		{ long_mode, EVENT(INTR_TYPE_NMI_INTR, 2), 0, GUEST_ACTIVITY_SHUTDOWN },
		{ long_mode, EVENT(INTR_TYPE_HARD_EXCEPTION, 14 | BIT(11)), 0, 0 },
		{ long_mode, EVENT(INTR_TYPE_HARD_EXCEPTION, 6), 0, 0 },
		{ long_mode, EVENT(INTR_TYPE_HARD_EXCEPTION, 18), 0, GUEST_ACTIVITY_SHUTDOWN },
		{ long_mode, EVENT(INTR_TYPE_HARD_EXCEPTION, 1), 0, GUEST_ACTIVITY_HLT },
		{ into_protected_mode, EVENT(INTR_TYPE_HARD_EXCEPTION, 13 | BIT(11)), 0, 0 },
		{ real_mode, EVENT(INTR_TYPE_HARD_EXCEPTION, 13), 0, 0 },
		{ real_mode, EVENT(INTR_TYPE_SOFT_INTR, 0x10), 2, 0 },
		{ long_mode, EVENT(INTR_TYPE_SOFT_EXCEPTION, 3), 1, 0 },
	};
	struct entry_check c;
	size_t i;

	(void)unused;
	for (i = 0; i < ARRAY_SIZE(good); i++) {
		good[i].state();
		set(VM_ENTRY_INTR_INFO_FIELD, good[i].event);
		set(VM_ENTRY_INSTRUCTION_LEN, good[i].length);
		set(GUEST_ACTIVITY_STATE, good[i].activity);
		c = checker();
		entry_check_controls_and_host(&c);
		entry_check_guest(&c);
		print_broken(c.nr_broken);
		assert_int_equal(c.nr_broken, 0);
	}
}

/* Newer CPUs let an exception have an error code or not, whatever its vector. */
static void test_any_error_code(void **unused)
{
	struct entry_check c = checker();

	(void)unused;
	long_mode();
	cpu.basic |= BIT_ULL(56);
	set(VM_ENTRY_INTR_INFO_FIELD, EVENT(INTR_TYPE_HARD_EXCEPTION, 14));
	entry_check_controls_and_host(&c);
	assert_int_equal(c.nr_broken, 0);
}

static void expect_msr(u32 nr, u32 index, u32 reserved, const char *rule)
{
	struct entry_check c = checker();
	u64 area = MEMORY_BASE + 0x100;

	long_mode();
	set(VM_ENTRY_MSR_LOAD_COUNT, 2);
	set(VM_ENTRY_MSR_LOAD_ADDR, area);
	poke(area + 16, index | (u64)reserved << 32);
	poke(area + 24, 0x1234);
	entry_check_msr_load(&c, nr);
	assert_int_equal(c.nr_broken, rule ? 1 : 0);
	if (!rule)
		return;
	assert_non_null(strstr(broken[0].rule, rule));
	assert_int_equal(broken[0].value[0], index);
	assert_int_equal(broken[0].value[2], 0x1234);
}

static void test_msr_load(void **unused)
{
	(void)unused;
	expect_msr(2, 0xc0000100, 0, "FS_BASE");
	expect_msr(2, 0xc0000101, 0, "GS_BASE");
	expect_msr(2, 0x808, 0, "x2APIC");
	expect_msr(2, 0x10, 1, "bits 63:32");
	expect_msr(2, 0xc0000080, 0, "WRMSR");
	expect_msr(0, 0x10, 1, NULL);
	expect_msr(3, 0x10, 1, NULL);
}

/* A report carries the values that the rule looked at, under their names and in their order. */
static void test_values(void **unused)
{
	struct entry_check c = checker();

	(void)unused;
	long_mode();
	set(GUEST_CR4, 0x2680);
	entry_check_guest(&c);
	assert_int_equal(c.nr_broken, 1);
	assert_string_equal(broken[0].section,
			    "Checks on Guest Control Registers, Debug Registers, and MSRs");
	assert_string_equal(broken[0].names, "GUEST_CR4, VM_ENTRY_CONTROLS");
	assert_int_equal(broken[0].nr_values, 2);
	assert_int_equal(broken[0].value[0], 0x2680);
	assert_int_equal(broken[0].value[1], vmcs[VM_ENTRY_CONTROLS]);

	long_mode();
	c = checker();
	set(GUEST_CR0, 0x50033);
	entry_check_guest(&c);
	assert_string_equal(broken[0].subject, "GUEST_CR0");
	assert_int_equal(broken[0].value[1], 0x80000000);	/* PG is missing */
	assert_int_equal(broken[0].value[2], 0);
}

/* Controls with checks of their own that aren't known here are owned up to. */
static void test_incomplete(void **unused)
{
	struct entry_check c = checker();

	(void)unused;
	long_mode();
	assert_false(entry_check_is_incomplete(&c));
	set(VM_ENTRY_CONTROLS, vmcs[VM_ENTRY_CONTROLS] | BIT(20));
	assert_true(entry_check_is_incomplete(&c));
	long_mode();
	set(SECONDARY_VM_EXEC_CONTROL, SECONDARY_EXEC_ENABLE_EPT | CPU2_EPT_VIOLATION_VE);
	assert_true(entry_check_is_incomplete(&c));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_states),
		cmocka_unit_test(test_good_events),
		cmocka_unit_test(test_controls),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_any_error_code),
		cmocka_unit_test(test_host),
		cmocka_unit_test(test_guest_registers),
		cmocka_unit_test(test_guest_segments),
		cmocka_unit_test(test_other_guest_state),
		cmocka_unit_test(test_msr_load),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_incomplete),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
