// SPDX-License-Identifier: GPL-2.0
/*
 * The rules of a VM entry, as straight lists of "this must be so". Reading order: the tables at the
 * end say which functions make up which section of the SDM; each function is one part of a section.
 *
 * No rule stops at the first that is broken: the SDM leaves the order open, and someone who looks
 * for the cause is helped by all of them.
 */
#include <linux/bits.h>
#include <linux/kernel.h>
#include <linux/types.h>
#include <asm/msr-index.h>
#include <asm/processor-flags.h>
#include <asm/vmx.h>

#include "vmx/entry_rules.h"

/* In the order of the fields, and of instruction encodings. */
enum { ES, CS, SS, DS, FS, GS, LDTR, TR, NR_SEGMENTS };

static const char *const segment_name[NR_SEGMENTS] = {
	"ES", "CS", "SS", "DS", "FS", "GS", "LDTR", "TR",
};

/* Controls that <asm/vmx.h> doesn't name. */
#define CPU2_EPT_VIOLATION_VE		BIT(18)
#define CPU2_SUB_PAGE_PERMISSIONS	BIT(23)

#define ENTRY_KNOWN	(VM_ENTRY_LOAD_DEBUG_CONTROLS | VM_ENTRY_IA32E_MODE | VM_ENTRY_SMM | \
			 VM_ENTRY_DEACT_DUAL_MONITOR | VM_ENTRY_LOAD_IA32_PERF_GLOBAL_CTRL | \
			 VM_ENTRY_LOAD_IA32_PAT | VM_ENTRY_LOAD_IA32_EFER | \
			 VM_ENTRY_LOAD_BNDCFGS | VM_ENTRY_PT_CONCEAL_PIP | \
			 VM_ENTRY_ALWAYSON_WITHOUT_TRUE_MSR)
#define EXIT_KNOWN	(VM_EXIT_SAVE_DEBUG_CONTROLS | VM_EXIT_HOST_ADDR_SPACE_SIZE | \
			 VM_EXIT_LOAD_IA32_PERF_GLOBAL_CTRL | VM_EXIT_ACK_INTR_ON_EXIT | \
			 VM_EXIT_SAVE_IA32_PAT | VM_EXIT_LOAD_IA32_PAT | \
			 VM_EXIT_SAVE_IA32_EFER | VM_EXIT_LOAD_IA32_EFER | \
			 VM_EXIT_SAVE_VMX_PREEMPTION_TIMER | VM_EXIT_CLEAR_BNDCFGS | \
			 VM_EXIT_PT_CONCEAL_PIP | VM_EXIT_CLEAR_IA32_RTIT_CTL | \
			 VM_EXIT_ALWAYSON_WITHOUT_TRUE_MSR)

#define EVENT_VALID	INTR_INFO_VALID_MASK
#define EVENT_TYPE(e)	((e) & INTR_INFO_INTR_TYPE_MASK)
#define EVENT_VECTOR(e)	((e) & INTR_INFO_VECTOR_MASK)

/* ---- reading and reporting ------------------------------------------------------------------- */

static u64 get(struct entry_check *c, u32 field)
{
	/* doesn't exist on a CPU without it, and then counts as 0 */
	if (field == SECONDARY_VM_EXEC_CONTROL)
		return c->cpu2;
	return c->read(field);
}

static void report(struct entry_check *c, struct broken_rule *b)
{
	b->section = c->section;
	c->nr_broken++;
	c->broken(c, b);
}

static void report_fields(struct entry_check *c, const char *rule, const char *names,
			  const u32 *field, int nr)
{
	struct broken_rule b = { .rule = rule, .names = names, .nr_values = nr };
	int i;

	for (i = 0; i < nr; i++)
		b.value[i] = get(c, field[i]);
	report(c, &b);
}

/* require(check, condition, what the SDM says, the fields that it was about) */
#define require(c, ok, rule, ...)							\
	do {										\
		static const u32 __fields[] = { __VA_ARGS__ };				\
		BUILD_BUG_ON(ARRAY_SIZE(__fields) > MAX_RULE_VALUES);			\
		if (!(ok))								\
			report_fields(c, rule, #__VA_ARGS__, __fields, ARRAY_SIZE(__fields)); \
	} while (0)

/* A field whose bits a capability MSR fixes. */
#define require_bits(c, field, bits)	__require_bits(c, get(c, field), #field, bits)

static void __require_bits(struct entry_check *c, u64 value, const char *name,
			   const struct must_may *bits)
{
	struct broken_rule b = {
		.subject = name,
		.rule = "must have the bits that this processor wants 1, and none it wants 0",
		.names = "value, clear but must be 1, set but must be 0",
		.value = { value, bits->must & ~value, value & ~bits->may },
		.nr_values = 3,
	};

	if (b.value[1] || b.value[2])
		report(c, &b);
}

static u16 selector(struct entry_check *c, int seg)
{
	return get(c, GUEST_ES_SELECTOR + 2 * seg);
}

static u64 base(struct entry_check *c, int seg)
{
	return get(c, GUEST_ES_BASE + 2 * seg);
}

static u32 limit(struct entry_check *c, int seg)
{
	return get(c, GUEST_ES_LIMIT + 2 * seg);
}

static u32 rights(struct entry_check *c, int seg)
{
	return get(c, GUEST_ES_AR_BYTES + 2 * seg);
}

static u32 type(struct entry_check *c, int seg)
{
	return rights(c, seg) & VMX_AR_TYPE_MASK;
}

static u32 dpl(struct entry_check *c, int seg)
{
	return VMX_AR_DPL(rights(c, seg));
}

static bool usable(struct entry_check *c, int seg)
{
	return !(rights(c, seg) & VMX_AR_UNUSABLE_MASK);
}

static void require_segment(struct entry_check *c, int seg, bool ok, const char *rule)
{
	struct broken_rule b = {
		.subject = segment_name[seg],
		.rule = rule,
		.names = "selector, base, limit, access rights",
		.nr_values = 4,
	};

	if (ok)
		return;
	b.value[0] = selector(c, seg);
	b.value[1] = base(c, seg);
	b.value[2] = limit(c, seg);
	b.value[3] = rights(c, seg);
	report(c, &b);
}

static bool within_width(u64 address, unsigned int bits)
{
	return bits >= 64 || !(address >> bits);
}

static bool canonical(struct entry_check *c, u64 address)
{
	unsigned int unused = 64 - c->cpu->linear_bits;

	return (u64)((s64)(address << unused) >> unused) == address;
}

/* Structures that the VMCS points to: on the first CPUs with VMX they had to lie below 4G. */
static unsigned int structure_bits(struct entry_check *c)
{
	return c->cpu->basic & BIT_ULL(48) ? 32 : c->cpu->phys_bits;
}

static bool page_address(struct entry_check *c, u64 address)
{
	return !(address & 0xfff) && within_width(address, structure_bits(c));
}

#define require_page(c, field)								\
	require(c, page_address(c, get(c, field)),					\
		"the address must be page-aligned and within the physical-address width", field)
#define require_width(c, field)								\
	require(c, within_width(get(c, field), (c)->cpu->phys_bits),			\
		"must be within the physical-address width", field)
#define require_canonical(c, field)							\
	require(c, canonical(c, get(c, field)), "the address must be canonical", field)

static bool valid_pat(u64 pat)
{
	int i;

	for (i = 0; i < 8; i++, pat >>= 8) {
		u8 memory_type = pat;

		if (memory_type > 7 || memory_type == 2 || memory_type == 3)
			return false;
	}
	return true;
}

/* ---- Checks on VMX Controls: VM-Execution Control Fields ------------------------------------- */

static void check_execution_bits(struct entry_check *c)
{
	require_bits(c, PIN_BASED_VM_EXEC_CONTROL, &c->cpu->pin);
	require_bits(c, CPU_BASED_VM_EXEC_CONTROL, &c->cpu->cpu);
	if (c->cpu_based & CPU_BASED_ACTIVATE_SECONDARY_CONTROLS)
		require_bits(c, SECONDARY_VM_EXEC_CONTROL, &c->cpu->cpu2);
	if (c->cpu_based & CPU_BASED_ACTIVATE_TERTIARY_CONTROLS)
		require_bits(c, TERTIARY_VM_EXEC_CONTROL, &c->cpu->cpu3);

	require(c, get(c, CR3_TARGET_COUNT) <= (u32)vmx_misc_cr3_count(c->cpu->misc),
		"the CR3-target count must not exceed what the processor supports",
		CR3_TARGET_COUNT);
}

static void check_bitmaps(struct entry_check *c)
{
	if (c->cpu_based & CPU_BASED_USE_IO_BITMAPS) {
		require_page(c, IO_BITMAP_A);
		require_page(c, IO_BITMAP_B);
	}
	if (c->cpu_based & CPU_BASED_USE_MSR_BITMAPS)
		require_page(c, MSR_BITMAP);
}

static void check_tpr_shadow(struct entry_check *c)
{
	u64 page = get(c, VIRTUAL_APIC_PAGE_ADDR);
	bool valid = page_address(c, page);
	u32 threshold;
	u8 vtpr;

	require_page(c, VIRTUAL_APIC_PAGE_ADDR);
	if (c->cpu2 & SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY)
		return;
	threshold = get(c, TPR_THRESHOLD);
	require(c, !(threshold >> 4), "bits 31:4 of the TPR threshold must be 0", TPR_THRESHOLD);

	if (!valid || c->cpu2 & SECONDARY_EXEC_VIRTUALIZE_APIC_ACCESSES)
		return;
	if (c->read_phys(page + 0x80, &vtpr, sizeof(vtpr)))
		require(c, (threshold & 0xf) <= vtpr >> 4,
			"the TPR threshold must not be above bits 7:4 of the virtual TPR",
			TPR_THRESHOLD, VIRTUAL_APIC_PAGE_ADDR);
}

static void check_apic(struct entry_check *c)
{
	const u32 need_tpr_shadow = SECONDARY_EXEC_VIRTUALIZE_X2APIC_MODE |
		SECONDARY_EXEC_APIC_REGISTER_VIRT | SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY;

	if (c->cpu_based & CPU_BASED_TPR_SHADOW)
		check_tpr_shadow(c);
	else
		require(c, !(c->cpu2 & need_tpr_shadow),
			"virtual x2APIC mode, APIC registers and interrupts need \"use TPR shadow\"",
			CPU_BASED_VM_EXEC_CONTROL, SECONDARY_VM_EXEC_CONTROL);

	if (c->cpu2 & SECONDARY_EXEC_VIRTUALIZE_APIC_ACCESSES) {
		require_page(c, APIC_ACCESS_ADDR);
		require(c, !(c->cpu2 & SECONDARY_EXEC_VIRTUALIZE_X2APIC_MODE),
			"\"virtualize x2APIC mode\" and \"virtualize APIC accesses\" must not both be 1",
			SECONDARY_VM_EXEC_CONTROL);
	}
}

static void check_nmi_controls(struct entry_check *c)
{
	require(c, c->pin & PIN_BASED_NMI_EXITING || !(c->pin & PIN_BASED_VIRTUAL_NMIS),
		"\"virtual NMIs\" needs \"NMI exiting\"", PIN_BASED_VM_EXEC_CONTROL);
	require(c, c->pin & PIN_BASED_VIRTUAL_NMIS ||
		!(c->cpu_based & CPU_BASED_NMI_WINDOW_EXITING),
		"\"NMI-window exiting\" needs \"virtual NMIs\"",
		PIN_BASED_VM_EXEC_CONTROL, CPU_BASED_VM_EXEC_CONTROL);
}

static void check_virtual_interrupts(struct entry_check *c)
{
	u64 descriptor;

	if (c->cpu2 & SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY)
		require(c, c->pin & PIN_BASED_EXT_INTR_MASK,
			"\"virtual-interrupt delivery\" needs \"external-interrupt exiting\"",
			PIN_BASED_VM_EXEC_CONTROL, SECONDARY_VM_EXEC_CONTROL);
	if (!(c->pin & PIN_BASED_POSTED_INTR))
		return;
	require(c, c->cpu2 & SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY,
		"\"process posted interrupts\" needs \"virtual-interrupt delivery\"",
		PIN_BASED_VM_EXEC_CONTROL, SECONDARY_VM_EXEC_CONTROL);
	require(c, c->exit & VM_EXIT_ACK_INTR_ON_EXIT,
		"\"process posted interrupts\" needs \"acknowledge interrupt on exit\"",
		PIN_BASED_VM_EXEC_CONTROL, VM_EXIT_CONTROLS);
	require(c, !(get(c, POSTED_INTR_NV) >> 8),
		"the posted-interrupt notification vector must be 0 to 255", POSTED_INTR_NV);
	descriptor = get(c, POSTED_INTR_DESC_ADDR);
	require(c, !(descriptor & 0x3f) && within_width(descriptor, structure_bits(c)),
		"the posted-interrupt descriptor must be 64-byte-aligned and within the physical-address width",
		POSTED_INTR_DESC_ADDR);
}

static void check_eptp(struct entry_check *c)
{
	u64 eptp = get(c, EPT_POINTER), caps = c->cpu->ept_vpid;
	u64 memory_type = eptp & VMX_EPTP_MT_MASK, walk = eptp & VMX_EPTP_PWL_MASK;

	require(c, (memory_type == VMX_EPTP_MT_UC && caps & VMX_EPTP_UC_BIT) ||
		(memory_type == VMX_EPTP_MT_WB && caps & VMX_EPTP_WB_BIT),
		"the EPT memory type (bits 2:0) must be one that the processor supports",
		EPT_POINTER);
	require(c, (walk == VMX_EPTP_PWL_4 && caps & VMX_EPT_PAGE_WALK_4_BIT) ||
		(walk == VMX_EPTP_PWL_5 && caps & VMX_EPT_PAGE_WALK_5_BIT),
		"the EPT page-walk length (bits 5:3) must be one that the processor supports",
		EPT_POINTER);
	require(c, !(eptp & VMX_EPTP_AD_ENABLE_BIT) || caps & VMX_EPT_AD_BIT,
		"bit 6 (accessed and dirty flags) must be 0 where EPT hasn't them", EPT_POINTER);
	require(c, !(eptp & BIT(7)) || caps & BIT(23),
		"bit 7 (supervisor shadow-stack control) must be 0 where it isn't supported",
		EPT_POINTER);
	require(c, !(eptp & GENMASK(11, 8)) && within_width(eptp, c->cpu->phys_bits),
		"bits 11:8 and those beyond the physical-address width must be 0", EPT_POINTER);
}

static void check_ept_dependents(struct entry_check *c)
{
	const u32 need_ept = SECONDARY_EXEC_ENABLE_PML | SECONDARY_EXEC_UNRESTRICTED_GUEST |
		SECONDARY_EXEC_MODE_BASED_EPT_EXEC | CPU2_SUB_PAGE_PERMISSIONS |
		SECONDARY_EXEC_PT_USE_GPA;

	if (c->cpu2 & SECONDARY_EXEC_ENABLE_VPID)
		require(c, get(c, VIRTUAL_PROCESSOR_ID), "the VPID must not be 0",
			VIRTUAL_PROCESSOR_ID);
	if (c->ept)
		check_eptp(c);
	require(c, c->ept || !(c->cpu2 & need_ept),
		"\"unrestricted guest\", PML and others that build on EPT need \"enable EPT\"",
		SECONDARY_VM_EXEC_CONTROL);
	if (c->cpu2 & SECONDARY_EXEC_ENABLE_PML)
		require_page(c, PML_ADDRESS);
	if (c->cpu2 & SECONDARY_EXEC_PT_USE_GPA)
		require(c, c->entry & VM_ENTRY_LOAD_IA32_RTIT_CTL &&
			c->exit & VM_EXIT_CLEAR_IA32_RTIT_CTL,
			"Intel PT of guest physical addresses needs \"load\" and \"clear IA32_RTIT_CTL\"",
			VM_ENTRY_CONTROLS, VM_EXIT_CONTROLS);
}

static void check_vm_functions(struct entry_check *c)
{
	const struct must_may functions = { 0, c->cpu->vmfunc };

	if (!(c->cpu2 & SECONDARY_EXEC_ENABLE_VMFUNC))
		return;
	require_bits(c, VM_FUNCTION_CONTROL, &functions);
	if (!(get(c, VM_FUNCTION_CONTROL) & VMX_VMFUNC_EPTP_SWITCHING))
		return;
	require(c, c->ept, "the VM function \"EPTP switching\" needs \"enable EPT\"",
		VM_FUNCTION_CONTROL, SECONDARY_VM_EXEC_CONTROL);
	require_page(c, EPTP_LIST_ADDRESS);
}

static void check_shadow_vmcs_and_tsc(struct entry_check *c)
{
	if (c->cpu2 & SECONDARY_EXEC_SHADOW_VMCS) {
		require_page(c, VMREAD_BITMAP);
		require_page(c, VMWRITE_BITMAP);
	}
	if (c->cpu2 & SECONDARY_EXEC_TSC_SCALING)
		require(c, get(c, TSC_MULTIPLIER), "the TSC multiplier must not be 0",
			TSC_MULTIPLIER);
}

/* ---- Checks on VMX Controls: VM-Exit and VM-Entry Control Fields ----------------------------- */

static bool msr_area(struct entry_check *c, u64 address, u32 count)
{
	u64 last = address + 16ull * count - 1;

	return !count || (!(address & 0xf) && within_width(address, structure_bits(c)) &&
			  within_width(last, structure_bits(c)));
}

#define require_msr_area(c, address, count)						\
	require(c, msr_area(c, get(c, address), get(c, count)),				\
		"the area must be 16-byte-aligned and within the physical-address width", \
		address, count)

static void check_exit_controls(struct entry_check *c)
{
	require_bits(c, VM_EXIT_CONTROLS, &c->cpu->exit);
	require(c, c->pin & PIN_BASED_VMX_PREEMPTION_TIMER ||
		!(c->exit & VM_EXIT_SAVE_VMX_PREEMPTION_TIMER),
		"\"save VMX-preemption timer value\" needs \"activate VMX-preemption timer\"",
		PIN_BASED_VM_EXEC_CONTROL, VM_EXIT_CONTROLS);
	require_msr_area(c, VM_EXIT_MSR_STORE_ADDR, VM_EXIT_MSR_STORE_COUNT);
	require_msr_area(c, VM_EXIT_MSR_LOAD_ADDR, VM_EXIT_MSR_LOAD_COUNT);
}

/* May this exception push an error code in protected mode? */
static bool has_error_code(struct entry_check *c, u32 vector)
{
	const u32 vectors = BIT(8) | GENMASK(14, 10) | BIT(17) | (c->cpu->cet ? BIT(21) : 0);

	return vector < 32 && vectors & BIT(vector);
}

static void check_error_code(struct entry_check *c)
{
	bool delivers = c->event & INTR_INFO_DELIVER_CODE_MASK;
	bool may = EVENT_TYPE(c->event) == INTR_TYPE_HARD_EXCEPTION &&
		(!c->unrestricted || get(c, GUEST_CR0) & X86_CR0_PE);
	bool any_vector = c->cpu->basic & BIT_ULL(56);
	bool pushes = has_error_code(c, EVENT_VECTOR(c->event));

	require(c, may || !delivers,
		"an error code may be delivered only with a hardware exception in protected mode",
		VM_ENTRY_INTR_INFO_FIELD, GUEST_CR0);
	require(c, !may || any_vector || delivers == pushes,
		"an error code must be delivered for exactly the vectors that have one",
		VM_ENTRY_INTR_INFO_FIELD);
	require(c, !delivers || !(get(c, VM_ENTRY_EXCEPTION_ERROR_CODE) >> 16),
		"bits 31:16 of the VM-entry exception error code must be 0",
		VM_ENTRY_INTR_INFO_FIELD, VM_ENTRY_EXCEPTION_ERROR_CODE);
}

static void check_event_vector(struct entry_check *c)
{
	u32 event = EVENT_TYPE(c->event), vector = EVENT_VECTOR(c->event);

	require(c, event != INTR_TYPE_RESERVED &&
		(event != INTR_TYPE_OTHER_EVENT || c->cpu->cpu.may & CPU_BASED_MONITOR_TRAP_FLAG),
		"the interruption type must not be 1, nor 7 without support for the monitor trap flag",
		VM_ENTRY_INTR_INFO_FIELD);
	require(c, event != INTR_TYPE_NMI_INTR || vector == 2, "the vector of an NMI must be 2",
		VM_ENTRY_INTR_INFO_FIELD);
	require(c, event != INTR_TYPE_HARD_EXCEPTION || vector < 32,
		"the vector of a hardware exception must be below 32", VM_ENTRY_INTR_INFO_FIELD);
	require(c, event != INTR_TYPE_OTHER_EVENT || !vector,
		"the vector of interruption type 7 must be 0", VM_ENTRY_INTR_INFO_FIELD);
	require(c, !(c->event & GENMASK(30, 12)),
		"bits 30:12 of the VM-entry interruption information must be 0",
		VM_ENTRY_INTR_INFO_FIELD);
}

static void check_event(struct entry_check *c)
{
	u32 length, event = EVENT_TYPE(c->event);

	if (!(c->event & EVENT_VALID))
		return;
	check_event_vector(c);
	check_error_code(c);
	if (event != INTR_TYPE_SOFT_INTR && event != INTR_TYPE_PRIV_SW_EXCEPTION &&
	    event != INTR_TYPE_SOFT_EXCEPTION)
		return;
	length = get(c, VM_ENTRY_INSTRUCTION_LEN);
	require(c, length <= 15 && (length || c->cpu->misc & VMX_MISC_ZERO_LEN_INS),
		"the instruction length of a software event must be 1 to 15 (0 where supported)",
		VM_ENTRY_INTR_INFO_FIELD, VM_ENTRY_INSTRUCTION_LEN);
}

static void check_entry_controls(struct entry_check *c)
{
	require_bits(c, VM_ENTRY_CONTROLS, &c->cpu->entry);
	check_event(c);
	require_msr_area(c, VM_ENTRY_MSR_LOAD_ADDR, VM_ENTRY_MSR_LOAD_COUNT);
	require(c, !(c->entry & (VM_ENTRY_SMM | VM_ENTRY_DEACT_DUAL_MONITOR)),
		"outside SMM, \"entry to SMM\" and \"deactivate dual-monitor treatment\" must be 0",
		VM_ENTRY_CONTROLS);
}

/* ---- Checks on Host State -------------------------------------------------------------------- */

static void check_host_control(struct entry_check *c)
{
	u64 cr4 = get(c, HOST_CR4);

	require_bits(c, HOST_CR0, &c->cpu->cr0);
	require_bits(c, HOST_CR4, &c->cpu->cr4);
	require(c, !(cr4 & BIT(23)) || get(c, HOST_CR0) & X86_CR0_WP,
		"CR4.CET may be 1 only if CR0.WP is", HOST_CR0, HOST_CR4);
	require_width(c, HOST_CR3);
	require_canonical(c, HOST_IA32_SYSENTER_ESP);
	require_canonical(c, HOST_IA32_SYSENTER_EIP);
}

static void check_host_msrs(struct entry_check *c)
{
	const u64 mode = c->exit & VM_EXIT_HOST_ADDR_SPACE_SIZE ? EFER_LMA | EFER_LME : 0;
	u64 efer;

	if (c->exit & VM_EXIT_LOAD_IA32_PERF_GLOBAL_CTRL)
		require(c, !(get(c, HOST_IA32_PERF_GLOBAL_CTRL) & ~c->cpu->perf_global_may),
			"reserved bits of IA32_PERF_GLOBAL_CTRL must be 0",
			HOST_IA32_PERF_GLOBAL_CTRL);
	if (c->exit & VM_EXIT_LOAD_IA32_PAT)
		require(c, valid_pat(get(c, HOST_IA32_PAT)),
			"each byte of IA32_PAT must be 0, 1, 4, 5, 6 or 7", HOST_IA32_PAT);
	if (!(c->exit & VM_EXIT_LOAD_IA32_EFER))
		return;
	efer = get(c, HOST_IA32_EFER);
	require(c, !(efer & ~c->cpu->efer_may), "reserved bits of IA32_EFER must be 0",
		HOST_IA32_EFER);
	require(c, (efer & (EFER_LMA | EFER_LME)) == mode,
		"IA32_EFER.LMA and LME must each be \"host address-space size\"",
		HOST_IA32_EFER, VM_EXIT_CONTROLS);
}

#define require_host_selector(c, field)							\
	require(c, !(get(c, field) & 7), "RPL and TI of a host selector must be 0", field)

static void check_host_segments(struct entry_check *c)
{
	require_host_selector(c, HOST_CS_SELECTOR);
	require_host_selector(c, HOST_SS_SELECTOR);
	require_host_selector(c, HOST_DS_SELECTOR);
	require_host_selector(c, HOST_ES_SELECTOR);
	require_host_selector(c, HOST_FS_SELECTOR);
	require_host_selector(c, HOST_GS_SELECTOR);
	require_host_selector(c, HOST_TR_SELECTOR);
	require(c, get(c, HOST_CS_SELECTOR), "CS must not be null", HOST_CS_SELECTOR);
	require(c, get(c, HOST_TR_SELECTOR), "TR must not be null", HOST_TR_SELECTOR);
	require(c, get(c, HOST_SS_SELECTOR) || c->exit & VM_EXIT_HOST_ADDR_SPACE_SIZE,
		"SS must not be null in a host that isn't 64-bit",
		HOST_SS_SELECTOR, VM_EXIT_CONTROLS);
	require_canonical(c, HOST_FS_BASE);
	require_canonical(c, HOST_GS_BASE);
	require_canonical(c, HOST_GDTR_BASE);
	require_canonical(c, HOST_IDTR_BASE);
	require_canonical(c, HOST_TR_BASE);
}

/* This host is in IA-32e mode whenever it enters a guest, so that only one column is left. */
static void check_address_space_size(struct entry_check *c)
{
	require(c, c->exit & VM_EXIT_HOST_ADDR_SPACE_SIZE,
		"\"host address-space size\" must be 1 on a 64-bit host", VM_EXIT_CONTROLS);
	require(c, get(c, HOST_CR4) & X86_CR4_PAE, "the host's CR4.PAE must be 1", HOST_CR4);
	require_canonical(c, HOST_RIP);
}

/* ---- Checks on Guest Control Registers, Debug Registers, and MSRs ---------------------------- */

static void check_guest_cr0_cr4(struct entry_check *c)
{
	u64 cr0 = get(c, GUEST_CR0), cr4 = get(c, GUEST_CR4);
	struct must_may cr0_bits = c->cpu->cr0;

	/* NW and CD aren't loaded by an entry, nor looked at */
	cr0_bits.must &= ~(u64)(X86_CR0_NW | X86_CR0_CD);
	cr0_bits.may |= X86_CR0_NW | X86_CR0_CD;
	if (c->unrestricted)
		cr0_bits.must &= ~(u64)(X86_CR0_PE | X86_CR0_PG);
	require_bits(c, GUEST_CR0, &cr0_bits);
	require(c, !(cr0 & X86_CR0_PG) || cr0 & X86_CR0_PE,
		"CR0.PG may be 1 only if CR0.PE is", GUEST_CR0);
	require_bits(c, GUEST_CR4, &c->cpu->cr4);
	require(c, !(cr4 & BIT(23)) || cr0 & X86_CR0_WP,
		"CR4.CET may be 1 only if CR0.WP is", GUEST_CR0, GUEST_CR4);
	require(c, !c->ia32e || cr0 & X86_CR0_PG,
		"CR0.PG must be 1 for an IA-32e mode guest", GUEST_CR0, VM_ENTRY_CONTROLS);
	require(c, !c->ia32e || cr4 & X86_CR4_PAE,
		"CR4.PAE must be 1 for an IA-32e mode guest", GUEST_CR4, VM_ENTRY_CONTROLS);
	require(c, c->ia32e || !(cr4 & X86_CR4_PCIDE),
		"CR4.PCIDE may be 1 only for an IA-32e mode guest", GUEST_CR4, VM_ENTRY_CONTROLS);
	require_width(c, GUEST_CR3);
}

static void check_guest_debug_and_sysenter(struct entry_check *c)
{
	if (c->entry & VM_ENTRY_LOAD_DEBUG_CONTROLS) {
		require(c, !(get(c, GUEST_IA32_DEBUGCTL) & ~c->cpu->debugctl_may),
			"reserved bits of IA32_DEBUGCTL must be 0", GUEST_IA32_DEBUGCTL);
		require(c, !(get(c, GUEST_DR7) >> 32), "bits 63:32 of DR7 must be 0", GUEST_DR7);
	}
	require_canonical(c, GUEST_SYSENTER_ESP);
	require_canonical(c, GUEST_SYSENTER_EIP);
}

static void check_guest_efer(struct entry_check *c)
{
	u64 efer = get(c, GUEST_IA32_EFER);
	bool lma = efer & EFER_LMA, lme = efer & EFER_LME;

	require(c, !(efer & ~c->cpu->efer_may), "reserved bits of IA32_EFER must be 0",
		GUEST_IA32_EFER);
	require(c, lma == c->ia32e, "IA32_EFER.LMA must be \"IA-32e mode guest\"",
		GUEST_IA32_EFER, VM_ENTRY_CONTROLS);
	require(c, !(get(c, GUEST_CR0) & X86_CR0_PG) || lma == lme,
		"IA32_EFER.LMA must equal LME while CR0.PG is 1", GUEST_IA32_EFER, GUEST_CR0);
}

static void check_guest_msrs(struct entry_check *c)
{
	u64 bndcfgs;

	if (c->entry & VM_ENTRY_LOAD_IA32_PERF_GLOBAL_CTRL)
		require(c, !(get(c, GUEST_IA32_PERF_GLOBAL_CTRL) & ~c->cpu->perf_global_may),
			"reserved bits of IA32_PERF_GLOBAL_CTRL must be 0",
			GUEST_IA32_PERF_GLOBAL_CTRL);
	if (c->entry & VM_ENTRY_LOAD_IA32_PAT)
		require(c, valid_pat(get(c, GUEST_IA32_PAT)),
			"each byte of IA32_PAT must be 0, 1, 4, 5, 6 or 7", GUEST_IA32_PAT);
	if (c->entry & VM_ENTRY_LOAD_IA32_EFER)
		check_guest_efer(c);
	if (!(c->entry & VM_ENTRY_LOAD_BNDCFGS))
		return;
	bndcfgs = get(c, GUEST_BNDCFGS);
	require(c, !(bndcfgs & GENMASK(11, 2)) && canonical(c, bndcfgs & ~0xfffull),
		"IA32_BNDCFGS must hold a canonical address and have bits 11:2 clear",
		GUEST_BNDCFGS);
}

/* ---- Checks on Guest Segment Registers ------------------------------------------------------- */

static bool virtual_8086(struct entry_check *c)
{
	return get(c, GUEST_RFLAGS) & X86_EFLAGS_VM;
}

static void check_selectors(struct entry_check *c)
{
	require_segment(c, TR, !(selector(c, TR) & 4), "TI of the selector must be 0");
	require_segment(c, LDTR, !usable(c, LDTR) || !(selector(c, LDTR) & 4),
			"TI of a usable LDTR's selector must be 0");
	if (!virtual_8086(c) && !c->unrestricted)
		require_segment(c, SS, !((selector(c, SS) ^ selector(c, CS)) & 3),
				"RPL of the selector must equal that of CS");
}

static void check_bases(struct entry_check *c)
{
	int seg;

	require_segment(c, TR, canonical(c, base(c, TR)), "the base must be canonical");
	require_segment(c, FS, canonical(c, base(c, FS)), "the base must be canonical");
	require_segment(c, GS, canonical(c, base(c, GS)), "the base must be canonical");
	require_segment(c, LDTR, !usable(c, LDTR) || canonical(c, base(c, LDTR)),
			"the base of a usable LDTR must be canonical");
	for (seg = ES; seg <= DS; seg++)
		require_segment(c, seg, (seg != CS && !usable(c, seg)) || !(base(c, seg) >> 32),
				"bits 63:32 of the base must be 0");
}

static void check_virtual_8086_segment(struct entry_check *c, int seg)
{
	require_segment(c, seg, base(c, seg) == (u64)selector(c, seg) << 4,
			"the base must be 16 times the selector in virtual-8086 mode");
	require_segment(c, seg, limit(c, seg) == 0xffff,
			"the limit must be 0xffff in virtual-8086 mode");
	require_segment(c, seg, rights(c, seg) == 0xf3,
			"the access rights must be 0xf3 in virtual-8086 mode");
}

/* What holds for every usable segment register, whatever its kind. */
static void check_present_and_limit(struct entry_check *c, int seg)
{
	u32 ar = rights(c, seg), lim = limit(c, seg);

	require_segment(c, seg, ar & VMX_AR_P_MASK, "P must be 1 (present)");
	require_segment(c, seg, !(ar & GENMASK(11, 8)) && !(ar & GENMASK(31, 17)),
			"reserved bits of the access rights (11:8, 31:17) must be 0");
	require_segment(c, seg, (lim & 0xfff) == 0xfff || !(ar & VMX_AR_G_MASK),
			"G must be 0 if a bit of 11:0 of the limit is 0");
	require_segment(c, seg, !(lim >> 20) || ar & VMX_AR_G_MASK,
			"G must be 1 if a bit of 31:20 of the limit is 1");
}

static void check_cs(struct entry_check *c)
{
	u32 kind = type(c, CS);
	bool data = kind == 3, conforming = kind == 13 || kind == 15;
	bool plain = kind == 9 || kind == 11;

	require_segment(c, CS, plain || conforming || (data && c->unrestricted),
			"the type must be accessed code: 9, 11, 13, 15 (3 too if \"unrestricted guest\" is 1)");
	if (data && c->unrestricted)
		require_segment(c, CS, !dpl(c, CS), "DPL must be 0 with type 3");
	if (plain)
		require_segment(c, CS, dpl(c, CS) == dpl(c, SS),
				"DPL of non-conforming code must equal that of SS");
	if (conforming)
		require_segment(c, CS, dpl(c, CS) <= dpl(c, SS),
				"DPL of conforming code must not exceed that of SS");
	if (c->ia32e && rights(c, CS) & VMX_AR_L_MASK)
		require_segment(c, CS, !(rights(c, CS) & VMX_AR_DB_MASK),
				"D/B must be 0 if L is 1 in IA-32e mode");
}

static void check_ss(struct entry_check *c)
{
	bool kernel = type(c, CS) == 3 || !(get(c, GUEST_CR0) & X86_CR0_PE);

	require_segment(c, SS, !usable(c, SS) || type(c, SS) == 3 || type(c, SS) == 7,
			"the type must be 3 or 7 (read/write data, accessed)");
	if (!c->unrestricted)
		require_segment(c, SS, dpl(c, SS) == (selector(c, SS) & 3),
				"DPL must equal RPL of the selector");
	require_segment(c, SS, !kernel || !dpl(c, SS),
			"DPL must be 0 if CS has type 3 or CR0.PE is 0");
}

static void check_data_segment(struct entry_check *c, int seg)
{
	u32 kind = type(c, seg);
	bool code = kind & VMX_AR_TYPE_CODE_MASK;

	require_segment(c, seg, kind & VMX_AR_TYPE_ACCESSES_MASK, "the type must be accessed");
	require_segment(c, seg, !code || kind & VMX_AR_TYPE_READABLE_MASK,
			"the type must be readable if it is code");
	require_segment(c, seg, c->unrestricted || kind > 11 ||
			dpl(c, seg) >= (selector(c, seg) & 3),
			"DPL must not be below RPL of the selector");
}

static void check_code_and_data_rights(struct entry_check *c)
{
	int seg;

	for (seg = ES; seg <= GS; seg++) {
		if (virtual_8086(c)) {
			check_virtual_8086_segment(c, seg);
			continue;
		}
		if (seg == CS)
			check_cs(c);
		else if (seg == SS)
			check_ss(c);
		else if (usable(c, seg))
			check_data_segment(c, seg);
		if (seg != CS && !usable(c, seg))
			continue;
		require_segment(c, seg, rights(c, seg) & VMX_AR_S_MASK,
				"S must be 1 (code or data)");
		check_present_and_limit(c, seg);
	}
}

static void check_system_segments(struct entry_check *c)
{
	u32 kind = type(c, TR);

	require_segment(c, TR, kind == VMX_AR_TYPE_BUSY_64_TSS ||
			(kind == VMX_AR_TYPE_BUSY_16_TSS && !c->ia32e),
			"the type must be 11 (busy TSS), or outside IA-32e mode 3 (busy 16-bit TSS)");
	require_segment(c, TR, !(rights(c, TR) & VMX_AR_S_MASK), "S must be 0 (system)");
	require_segment(c, TR, usable(c, TR), "TR must be usable");
	check_present_and_limit(c, TR);

	if (!usable(c, LDTR))
		return;
	require_segment(c, LDTR, type(c, LDTR) == VMX_AR_TYPE_LDT, "the type must be 2 (LDT)");
	require_segment(c, LDTR, !(rights(c, LDTR) & VMX_AR_S_MASK), "S must be 0 (system)");
	check_present_and_limit(c, LDTR);
}

/* ---- Checks on Guest Descriptor-Table Registers; RIP, RFLAGS, and SSP ------------------------ */

static void check_descriptor_tables(struct entry_check *c)
{
	require_canonical(c, GUEST_GDTR_BASE);
	require_canonical(c, GUEST_IDTR_BASE);
	require(c, !(get(c, GUEST_GDTR_LIMIT) >> 16), "bits 31:16 of the limit must be 0",
		GUEST_GDTR_LIMIT);
	require(c, !(get(c, GUEST_IDTR_LIMIT) >> 16), "bits 31:16 of the limit must be 0",
		GUEST_IDTR_LIMIT);
}

static void check_rip(struct entry_check *c)
{
	u64 rip = get(c, GUEST_RIP);
	s64 unused = (s64)rip >> c->cpu->linear_bits;

	if (c->ia32e && rights(c, CS) & VMX_AR_L_MASK)
		/* one bit less than canonical: the last instruction may end at the hole */
		require(c, unused == 0 || unused == -1,
			"bits of RIP beyond the linear-address width must be identical", GUEST_RIP);
	else
		require(c, !(rip >> 32), "bits 63:32 of RIP must be 0 outside 64-bit mode",
			GUEST_RIP, GUEST_CS_AR_BYTES, VM_ENTRY_CONTROLS);
}

static void check_rflags(struct entry_check *c)
{
	u64 rflags = get(c, GUEST_RFLAGS);
	bool interrupt = c->event & EVENT_VALID && EVENT_TYPE(c->event) == INTR_TYPE_EXT_INTR;

	require(c, !(rflags & (GENMASK_ULL(63, 22) | BIT(15) | BIT(5) | BIT(3))) &&
		rflags & X86_EFLAGS_FIXED,
		"reserved bits of RFLAGS (63:22, 15, 5, 3) must be 0 and bit 1 must be 1",
		GUEST_RFLAGS);
	require(c, !virtual_8086(c) || (!c->ia32e && get(c, GUEST_CR0) & X86_CR0_PE),
		"RFLAGS.VM may be 1 only in protected mode outside IA-32e mode",
		GUEST_RFLAGS, GUEST_CR0, VM_ENTRY_CONTROLS);
	require(c, !interrupt || rflags & X86_EFLAGS_IF,
		"RFLAGS.IF must be 1 if an external interrupt is injected",
		GUEST_RFLAGS, VM_ENTRY_INTR_INFO_FIELD);
}

/* ---- Checks on Guest Non-Register State ------------------------------------------------------ */

#define BLOCKED_BY_STI_OR_MOV_SS	(GUEST_INTR_STATE_STI | GUEST_INTR_STATE_MOV_SS)

/* May the event that is injected arrive in this activity state? */
static bool event_allowed(u32 activity, u32 event)
{
	u32 kind = EVENT_TYPE(event), vector = EVENT_VECTOR(event);
	bool machine_check = kind == INTR_TYPE_HARD_EXCEPTION && vector == 18;

	switch (activity) {
	case GUEST_ACTIVITY_ACTIVE:
		return true;
	case GUEST_ACTIVITY_HLT:
		return kind == INTR_TYPE_EXT_INTR || kind == INTR_TYPE_NMI_INTR ||
			kind == INTR_TYPE_OTHER_EVENT || machine_check ||
			(kind == INTR_TYPE_HARD_EXCEPTION && vector == 1);
	case GUEST_ACTIVITY_SHUTDOWN:
		return kind == INTR_TYPE_NMI_INTR || machine_check;
	default:
		return false;
	}
}

static void check_activity(struct entry_check *c)
{
	u32 activity = get(c, GUEST_ACTIVITY_STATE);
	u32 blocking = get(c, GUEST_INTERRUPTIBILITY_INFO);

	require(c, activity == GUEST_ACTIVITY_ACTIVE ||
		(activity <= GUEST_ACTIVITY_WAIT_SIPI && c->cpu->misc & BIT(5 + activity)),
		"the activity state must be 0 to 3 and supported", GUEST_ACTIVITY_STATE);
	require(c, activity != GUEST_ACTIVITY_HLT || !dpl(c, SS),
		"the activity state must not be HLT unless DPL of SS is 0",
		GUEST_ACTIVITY_STATE, GUEST_SS_AR_BYTES);
	require(c, activity == GUEST_ACTIVITY_ACTIVE || !(blocking & BLOCKED_BY_STI_OR_MOV_SS),
		"the activity state must be active while STI or MOV SS blocks",
		GUEST_ACTIVITY_STATE, GUEST_INTERRUPTIBILITY_INFO);
	require(c, !(c->event & EVENT_VALID) || event_allowed(activity, c->event),
		"the activity state must be one in which the injected event may arrive",
		GUEST_ACTIVITY_STATE, VM_ENTRY_INTR_INFO_FIELD);
}

static void check_blocking(struct entry_check *c)
{
	u32 blocking = get(c, GUEST_INTERRUPTIBILITY_INFO);
	bool enclave = blocking & GUEST_INTR_STATE_ENCLAVE_INTR;

	require(c, !(blocking & GENMASK(31, 5)),
		"bits 31:5 of the interruptibility state must be 0", GUEST_INTERRUPTIBILITY_INFO);
	require(c, (blocking & BLOCKED_BY_STI_OR_MOV_SS) != BLOCKED_BY_STI_OR_MOV_SS,
		"STI and MOV SS must not both block", GUEST_INTERRUPTIBILITY_INFO);
	require(c, !(blocking & GUEST_INTR_STATE_STI) || get(c, GUEST_RFLAGS) & X86_EFLAGS_IF,
		"STI must not block while RFLAGS.IF is 0",
		GUEST_INTERRUPTIBILITY_INFO, GUEST_RFLAGS);
	require(c, !(blocking & GUEST_INTR_STATE_SMI),
		"SMIs must not be blocked outside SMM", GUEST_INTERRUPTIBILITY_INFO);
	require(c, !enclave || (c->cpu->sgx && !(blocking & GUEST_INTR_STATE_MOV_SS)),
		"\"enclave interruption\" may be 1 only with SGX and without blocking by MOV SS",
		GUEST_INTERRUPTIBILITY_INFO);
}

static void check_blocking_of_event(struct entry_check *c)
{
	u32 blocking = get(c, GUEST_INTERRUPTIBILITY_INFO);
	u32 kind = EVENT_TYPE(c->event);

	if (!(c->event & EVENT_VALID))
		return;
	require(c, kind != INTR_TYPE_EXT_INTR || !(blocking & BLOCKED_BY_STI_OR_MOV_SS),
		"neither STI nor MOV SS may block if an external interrupt is injected",
		GUEST_INTERRUPTIBILITY_INFO, VM_ENTRY_INTR_INFO_FIELD);
	/* of STI the SDM says that some processors require it, too */
	require(c, kind != INTR_TYPE_NMI_INTR || !(blocking & BLOCKED_BY_STI_OR_MOV_SS),
		"neither MOV SS nor (on some processors) STI may block if an NMI is injected",
		GUEST_INTERRUPTIBILITY_INFO, VM_ENTRY_INTR_INFO_FIELD);
	require(c, kind != INTR_TYPE_NMI_INTR || !(c->pin & PIN_BASED_VIRTUAL_NMIS) ||
		!(blocking & GUEST_INTR_STATE_NMI),
		"NMIs must not be blocked if one is injected with \"virtual NMIs\"",
		GUEST_INTERRUPTIBILITY_INFO, VM_ENTRY_INTR_INFO_FIELD);
}

static void check_pending_debug(struct entry_check *c)
{
	u64 pending = get(c, GUEST_PENDING_DBG_EXCEPTIONS);
	u32 blocking = get(c, GUEST_INTERRUPTIBILITY_INFO);
	bool step = get(c, GUEST_RFLAGS) & X86_EFLAGS_TF &&
		!(get(c, GUEST_IA32_DEBUGCTL) & DEBUGCTLMSR_BTF);

	require(c, !(pending & ~c->cpu->pending_dbg_may),
		"reserved bits of the pending debug exceptions must be 0",
		GUEST_PENDING_DBG_EXCEPTIONS);
	if (blocking & BLOCKED_BY_STI_OR_MOV_SS ||
	    get(c, GUEST_ACTIVITY_STATE) == GUEST_ACTIVITY_HLT)
		require(c, !!(pending & BIT(14)) == step,
			"while STI or MOV SS blocks, or in HLT, BS must be RFLAGS.TF and not BTF",
			GUEST_PENDING_DBG_EXCEPTIONS, GUEST_RFLAGS, GUEST_IA32_DEBUGCTL,
			GUEST_INTERRUPTIBILITY_INFO, GUEST_ACTIVITY_STATE);
	if (pending & BIT(16))
		require(c, c->cpu->rtm && (pending & 0xffff) == BIT(12) &&
			!(blocking & GUEST_INTR_STATE_MOV_SS),
			"RTM may be 1 only with bit 12 alone, and not while MOV SS blocks",
			GUEST_PENDING_DBG_EXCEPTIONS, GUEST_INTERRUPTIBILITY_INFO);
}

static void check_link_pointer(struct entry_check *c)
{
	u64 link = get(c, VMCS_LINK_POINTER);
	u32 revision, wanted = vmx_basic_vmcs_revision_id(c->cpu->basic);

	if (link == ~0ull)
		return;
	if (c->cpu2 & SECONDARY_EXEC_SHADOW_VMCS)
		wanted |= BIT(31);
	require(c, page_address(c, link) && link != c->vmcs,
		"must be all ones, or the address of a page, and not the current VMCS",
		VMCS_LINK_POINTER);
	if (page_address(c, link) && c->read_phys(link, &revision, sizeof(revision)))
		require(c, revision == wanted,
			"must lead to a VMCS of this revision (a shadow, with \"VMCS shadowing\")",
			VMCS_LINK_POINTER, SECONDARY_VM_EXEC_CONTROL);
}

/* ---- Checks on Guest Page-Directory-Pointer-Table Entries ------------------------------------ */

static void check_pdpte(struct entry_check *c, int nr, u64 pdpte)
{
	static const char *const name[] = { "PDPTE0", "PDPTE1", "PDPTE2", "PDPTE3" };
	struct broken_rule b = {
		.subject = name[nr],
		.rule = "reserved bits of a present entry must be 0",
		.names = "value",
		.value = { pdpte },
		.nr_values = 1,
	};

	if (pdpte & 1 && (pdpte & (GENMASK(8, 5) | GENMASK(2, 1)) ||
			  !within_width(pdpte, c->cpu->phys_bits)))
		report(c, &b);
}

static void check_pdptes(struct entry_check *c)
{
	u64 pdpte;
	int i;

	if (c->ia32e || !(get(c, GUEST_CR0) & X86_CR0_PG) || !(get(c, GUEST_CR4) & X86_CR4_PAE))
		return;
	for (i = 0; i < 4; i++) {
		if (c->ept)
			pdpte = get(c, GUEST_PDPTR0 + 2 * i);
		else if (!c->read_phys((get(c, GUEST_CR3) & 0xffffffe0) + 8 * i, &pdpte,
				       sizeof(pdpte)))
			continue;
		check_pdpte(c, i, pdpte);
	}
}

/* ---- the sections ---------------------------------------------------------------------------- */

struct section {
	const char *heading;
	void (*check)(struct entry_check *c);
};

static const struct section controls_and_host[] = {
	{ "VM-Execution Control Fields", check_execution_bits },
	{ "VM-Execution Control Fields", check_bitmaps },
	{ "VM-Execution Control Fields", check_apic },
	{ "VM-Execution Control Fields", check_nmi_controls },
	{ "VM-Execution Control Fields", check_virtual_interrupts },
	{ "VM-Execution Control Fields", check_ept_dependents },
	{ "VM-Execution Control Fields", check_vm_functions },
	{ "VM-Execution Control Fields", check_shadow_vmcs_and_tsc },
	{ "VM-Exit Control Fields", check_exit_controls },
	{ "VM-Entry Control Fields", check_entry_controls },
	{ "Checks on Host Control Registers, MSRs, and SSP", check_host_control },
	{ "Checks on Host Control Registers, MSRs, and SSP", check_host_msrs },
	{ "Checks on Host Segment and Descriptor-Table Registers", check_host_segments },
	{ "Checks Related to Address-Space Size", check_address_space_size },
};

static const struct section guest[] = {
	{ "Checks on Guest Control Registers, Debug Registers, and MSRs", check_guest_cr0_cr4 },
	{ "Checks on Guest Control Registers, Debug Registers, and MSRs",
	  check_guest_debug_and_sysenter },
	{ "Checks on Guest Control Registers, Debug Registers, and MSRs", check_guest_msrs },
	{ "Checks on Guest Segment Registers", check_selectors },
	{ "Checks on Guest Segment Registers", check_bases },
	{ "Checks on Guest Segment Registers", check_code_and_data_rights },
	{ "Checks on Guest Segment Registers", check_system_segments },
	{ "Checks on Guest Descriptor-Table Registers", check_descriptor_tables },
	{ "Checks on Guest RIP, RFLAGS, and SSP", check_rip },
	{ "Checks on Guest RIP, RFLAGS, and SSP", check_rflags },
	{ "Checks on Guest Non-Register State", check_activity },
	{ "Checks on Guest Non-Register State", check_blocking },
	{ "Checks on Guest Non-Register State", check_blocking_of_event },
	{ "Checks on Guest Non-Register State", check_pending_debug },
	{ "Checks on Guest Non-Register State", check_link_pointer },
	{ "Checks on Guest Page-Directory-Pointer-Table Entries", check_pdptes },
};

static void read_controls(struct entry_check *c)
{
	c->pin = c->read(PIN_BASED_VM_EXEC_CONTROL);
	c->cpu_based = c->read(CPU_BASED_VM_EXEC_CONTROL);
	c->cpu2 = c->cpu_based & CPU_BASED_ACTIVATE_SECONDARY_CONTROLS ?
		c->read(SECONDARY_VM_EXEC_CONTROL) : 0;
	c->exit = c->read(VM_EXIT_CONTROLS);
	c->entry = c->read(VM_ENTRY_CONTROLS);
	c->event = c->read(VM_ENTRY_INTR_INFO_FIELD);
	c->ia32e = c->entry & VM_ENTRY_IA32E_MODE;
	c->unrestricted = c->cpu2 & SECONDARY_EXEC_UNRESTRICTED_GUEST;
	c->ept = c->cpu2 & SECONDARY_EXEC_ENABLE_EPT;
}

static void check_sections(struct entry_check *c, const struct section *s, int nr)
{
	read_controls(c);
	for (; nr; nr--, s++) {
		c->section = s->heading;
		s->check(c);
	}
}

void entry_check_controls_and_host(struct entry_check *c)
{
	check_sections(c, controls_and_host, ARRAY_SIZE(controls_and_host));
}

void entry_check_guest(struct entry_check *c)
{
	check_sections(c, guest, ARRAY_SIZE(guest));
}

void entry_check_msr_load(struct entry_check *c, u32 nr)
{
	struct { u32 index, reserved; u64 value; } e;
	struct broken_rule b = { .names = "MSR, reserved half, value", .nr_values = 3 };
	u32 count = c->read(VM_ENTRY_MSR_LOAD_COUNT);
	u64 area = c->read(VM_ENTRY_MSR_LOAD_ADDR);

	c->section = "Loading MSRs";
	if (!nr || nr > count || !c->read_phys(area + 16 * (nr - 1), &e, sizeof(e)))
		return;
	if (e.reserved)
		b.rule = "bits 63:32 of an entry must be 0";
	else if (e.index == MSR_FS_BASE || e.index == MSR_GS_BASE)
		b.rule = "FS_BASE and GS_BASE can't be loaded from the area";
	else if (e.index >> 8 == 8)
		b.rule = "x2APIC registers can't be loaded from the area";
	else
		b.rule = "WRMSR of the value must be allowed, and the MSR loadable by an entry";
	b.value[0] = e.index;
	b.value[1] = e.reserved;
	b.value[2] = e.value;
	report(c, &b);
}

bool entry_check_is_incomplete(struct entry_check *c)
{
	read_controls(c);
	return c->cpu_based & CPU_BASED_ACTIVATE_TERTIARY_CONTROLS ||
		c->cpu2 & (CPU2_EPT_VIOLATION_VE | CPU2_SUB_PAGE_PERMISSIONS) ||
		c->entry & ~ENTRY_KNOWN || c->exit & ~EXIT_KNOWN;
}
