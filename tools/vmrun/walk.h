/* SPDX-License-Identifier: GPL-2.0 */
#ifndef VMRUN_WALK_H
#define VMRUN_WALK_H

#include <linux/minivmm.h>

#include "memory.h"

/* The name of the paging mode that these registers select. */
const char *paging_mode(const struct minivmm_sregs *s);

/* Where a guest's own page tables map a linear address; false: nowhere, or through no RAM. */
bool walk(const struct guest_mem *mem, const struct minivmm_sregs *s, uint64_t gva, uint64_t *gpa);

/* Up to len bytes at a linear address; the number that are mapped. */
size_t walk_read(const struct guest_mem *mem, const struct minivmm_sregs *s, uint64_t gva,
		 void *buf, size_t len);

#endif
