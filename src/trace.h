/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tracepoints: /sys/kernel/tracing/events/minivmm/. Each costs one static branch while it is off;
 * what it shows is looked up (a VMCS read included) only while it is on. stats.c defines them.
 *
 * All are called in vcpu context.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM minivmm

#if !defined(MINIVMM_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define MINIVMM_TRACE_H

#include <linux/tracepoint.h>
#include <asm/trap_pf.h>

#include "minivmm.h"

/* so that tools that read the format know their values */
TRACE_DEFINE_ENUM(X86_PF_PROT);
TRACE_DEFINE_ENUM(X86_PF_WRITE);
TRACE_DEFINE_ENUM(X86_PF_USER);
TRACE_DEFINE_ENUM(X86_PF_RSVD);
TRACE_DEFINE_ENUM(X86_PF_INSTR);

/* On the way into the guest. */
TRACE_EVENT(minivmm_entry,
	TP_PROTO(struct vcpu *vcpu),
	TP_ARGS(vcpu),
	TP_STRUCT__entry(
		__field(int, vcpu)
		__field(u64, rip)
	),
	TP_fast_assign(
		__entry->vcpu = vcpu->id;
		__entry->rip = reg_read(vcpu, R_RIP);
	),
	TP_printk("vcpu %d rip 0x%llx", __entry->vcpu, __entry->rip)
);

/* After an exit, once the registers of the guest may be read again. */
TRACE_EVENT(minivmm_exit,
	TP_PROTO(struct vcpu *vcpu, u32 reason),
	TP_ARGS(vcpu, reason),
	TP_STRUCT__entry(
		__field(int, vcpu)
		__field(u32, reason)
		__field(u64, rip)
		__string(name, hw_exit_name((u16)reason) ?: "unknown")
	),
	TP_fast_assign(
		__entry->vcpu = vcpu->id;
		__entry->reason = reason;
		__entry->rip = reg_read(vcpu, R_RIP);
		__assign_str(name, hw_exit_name((u16)reason) ?: "unknown");
	),
	TP_printk("vcpu %d reason %s (0x%x) rip 0x%llx", __entry->vcpu, __get_str(name),
		  __entry->reason, __entry->rip)
);

/* A fault that the MMU is to fix: by guest-physical address with EPT, else by linear address. */
TRACE_EVENT(minivmm_page_fault,
	TP_PROTO(struct vcpu *vcpu, u64 address, u32 access),
	TP_ARGS(vcpu, address, access),
	TP_STRUCT__entry(
		__field(int, vcpu)
		__field(u64, rip)
		__field(u64, address)
		__field(u32, access)
	),
	TP_fast_assign(
		__entry->vcpu = vcpu->id;
		__entry->rip = reg_read(vcpu, R_RIP);
		__entry->address = address;
		__entry->access = access;
	),
	TP_printk("vcpu %d rip 0x%llx address 0x%llx %s", __entry->vcpu, __entry->rip,
		  __entry->address,
		  __print_flags(__entry->access, "|",
				{ X86_PF_PROT, "present" }, { X86_PF_WRITE, "write" },
				{ X86_PF_USER, "user" }, { X86_PF_RSVD, "reserved" },
				{ X86_PF_INSTR, "fetch" }))
);

#define MINIVMM_INJ_IRQ		0
#define MINIVMM_INJ_NMI		1
#define MINIVMM_INJ_EXCEPTION	2

/* An event put into the guest. error_code: of exceptions that have one, else 0. */
TRACE_EVENT(minivmm_inj,
	TP_PROTO(struct vcpu *vcpu, u32 kind, u8 vector, u32 error_code),
	TP_ARGS(vcpu, kind, vector, error_code),
	TP_STRUCT__entry(
		__field(int, vcpu)
		__field(u32, kind)
		__field(u8, vector)
		__field(u32, error_code)
	),
	TP_fast_assign(
		__entry->vcpu = vcpu->id;
		__entry->kind = kind;
		__entry->vector = vector;
		__entry->error_code = error_code;
	),
	TP_printk("vcpu %d %s %u error code 0x%x", __entry->vcpu,
		  __print_symbolic(__entry->kind, { MINIVMM_INJ_IRQ, "irq" },
				   { MINIVMM_INJ_NMI, "nmi" },
				   { MINIVMM_INJ_EXCEPTION, "exception" }),
		  __entry->vector, __entry->error_code)
);

#endif

/* <trace/define_trace.h> reads this file again, by a path from an include directory: -I src. */
#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace

#include <trace/define_trace.h>
