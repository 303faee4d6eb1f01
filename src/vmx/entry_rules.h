/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a VM entry requires of the VMCS: the checks of the SDM's chapter "VM Entries", in its order
 * and under its headings. Pure: all that it looks at comes through the callbacks below, so that it
 * also builds, and is tested, on a machine without VT-x.
 */
#ifndef MINIVMM_VMX_ENTRY_RULES_H
#define MINIVMM_VMX_ENTRY_RULES_H

#include <linux/types.h>

struct must_may {
	u64 must;	/* bits that have to be 1 */
	u64 may;	/* bits that are allowed to be */
};

/* What the CPU supports, for the rules that depend on it. */
struct entry_cpu {
	struct must_may pin, cpu, cpu2, cpu3, exit, entry;
	struct must_may cr0, cr4;
	u64 basic, misc, ept_vpid, vmfunc;	/* the capability MSRs */
	u64 efer_may, debugctl_may, perf_global_may;
	u64 pending_dbg_may;
	u8 phys_bits, linear_bits;
	bool sgx, rtm, cet;
};

#define MAX_RULE_VALUES	5

struct broken_rule {
	const char *section;	/* the SDM's heading */
	const char *subject;	/* a segment or a field, or NULL */
	const char *rule;	/* what must be so, and isn't */
	const char *names;	/* of the values, separated by ", " */
	u64 value[MAX_RULE_VALUES];
	int nr_values;
};

struct entry_check {
	const struct entry_cpu *cpu;
	u64 vmcs;		/* the current VMCS's physical address */

	u64 (*read)(u32 field);	/* asked only for fields that the controls give a meaning */
	/* Host memory by physical address; false: it can't be read. */
	bool (*read_phys)(u64 address, void *data, unsigned int len);
	/* Called for each rule that is broken. */
	void (*broken)(struct entry_check *c, const struct broken_rule *rule);
	int nr_broken;

	/* private: read once, used by many rules */
	const char *section;
	u32 pin, cpu_based, cpu2, exit, entry;
	u32 event;		/* VM-entry interruption information */
	bool ia32e;		/* entry control "IA-32e mode guest" */
	bool unrestricted, ept;
};

/* After VM-instruction error 7 or 8: the processor may report either if both kinds are broken. */
void entry_check_controls_and_host(struct entry_check *c);
/* After exit reason 33. */
void entry_check_guest(struct entry_check *c);
/* After exit reason 34: the entry of the MSR-load area, from 1, that couldn't be loaded. */
void entry_check_msr_load(struct entry_check *c, u32 nr);
/* Controls that are on and that change what an entry checks in ways not covered here. */
bool entry_check_is_incomplete(struct entry_check *c);

#endif
