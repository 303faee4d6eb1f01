/* SPDX-License-Identifier: GPL-2.0 */
/*
 * As much of the kernel as src/vmx/entry_rules.c, and the kernel's headers with the VMCS's numbers,
 * need on the host. entry_check.mk makes a file of each kernel header that includes this one.
 */
#ifndef SHIM_ENTRY_RULES_H
#define SHIM_ENTRY_RULES_H

#include <asm/types.h>
#include <stdbool.h>
#include <stddef.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s64 s64;

#define BIT(n)			(1UL << (n))
#define BIT_ULL(n)		(1ULL << (n))
#define GENMASK(high, low)	((~0UL << (low)) & (~0UL >> (63 - (high))))
#define GENMASK_ULL(high, low)	((~0ULL << (low)) & (~0ULL >> (63 - (high))))

#define ARRAY_SIZE(array)	(sizeof(array) / sizeof((array)[0]))
#define BUILD_BUG_ON(condition)	_Static_assert(!(condition), #condition)
#define WARN_ON_ONCE(condition)	((void)(condition))
#define __aligned(bytes)	__attribute__((__aligned__(bytes)))

#endif
