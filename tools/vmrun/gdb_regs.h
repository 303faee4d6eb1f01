/* SPDX-License-Identifier: GPL-2.0 */
/* A vCPU's registers, numbered and described for gdb: always those of 64-bit mode. */
#ifndef VMRUN_GDB_REGS_H
#define VMRUN_GDB_REGS_H

#include <linux/minivmm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All that they are taken from. */
struct gdb_cpu_state {
	struct minivmm_regs regs;
	struct minivmm_sregs sregs;
	struct minivmm_fpu fpu;
};

enum gdb_state_part { GDB_REGS = 1, GDB_SREGS = 2, GDB_FPU = 4 };

#define GDB_REG_SIZE_MAX	16

unsigned int gdb_nr_regs(void);
/* In bytes; 0: there is no such register. */
size_t gdb_reg_size(unsigned int n);
void gdb_reg_get(const struct gdb_cpu_state *s, unsigned int n, void *value);
/* Return: the part that has changed, 0 when it can't be set. */
unsigned int gdb_reg_set(struct gdb_cpu_state *s, unsigned int n, const void *value);

/* The description for gdb, made once; never NULL. */
const char *gdb_target_xml(void);

#endif
