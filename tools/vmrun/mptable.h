/* SPDX-License-Identifier: GPL-2.0 */
#ifndef VMRUN_MPTABLE_H
#define VMRUN_MPTABLE_H

#include "memory.h"

/* Describe processors, I/O APIC and ISA interrupts (MultiProcessor Specification 1.4). */
void mptable_write(struct guest_mem *mem, unsigned int cpus, uint32_t cpu_signature,
		   uint32_t cpu_features);

#endif
