/* SPDX-License-Identifier: GPL-2.0 */
/*
 * VMCS fields by their width: vmcs_read32(GUEST_LIMIT) where the field has 64 bits doesn't build.
 *
 * VMX may be off when one of these runs: the CPU is going offline and the task hasn't been moved yet,
 * or the emergency path of a reboot or panic switched it off. Each carries an exception fixup. In
 * the first case vmx_wait_until_on() sleeps until the task is on another CPU, where its VMCS has been
 * loaded again, and the access is repeated; in the second nothing matters any more.
 */
#ifndef MINIVMM_VMX_VMCS_H
#define MINIVMM_VMX_VMCS_H

#include <linux/build_bug.h>
#include <linux/compiler.h>
#include <linux/types.h>
#include <asm/asm.h>
#include <asm/vmx.h>

enum vmcs_width { VMCS_16 = 0, VMCS_64 = 1, VMCS_32 = 2, VMCS_NATURAL = 3 };

#define vmcs_field_width(field)	(((field) >> 13) & 3)

/*
 * Cold: the same again, for what the inline ones leave open. A field that this CPU hasn't, or no
 * VMCS being current, is a bug of ours, which is logged, throttled; where VMX is off they wait. They
 * aren't inline so that nothing is kept for them in a register of the caller's.
 */
u64 vmcs_read_again(unsigned long field);
void vmcs_write_again(unsigned long field, u64 value);
/* Cold. True: try again. Sleeps if the context allows. */
bool vmx_wait_until_on(void);

static __always_inline u64 __vmcs_read(unsigned long field)
{
	u64 value;

	asm goto("1: vmread %[field], %[value]\n\t"
		 "jna %l[again]\n\t"
		 _ASM_EXTABLE(1b, %l[again])
		 : [value] "=r" (value) : [field] "r" (field) : "cc" : again);
	return value;
again:
	return vmcs_read_again(field);
}

static __always_inline void __vmcs_write(unsigned long field, u64 value)
{
	asm goto("1: vmwrite %[value], %[field]\n\t"
		 "jna %l[again]\n\t"
		 _ASM_EXTABLE(1b, %l[again])
		 : : [field] "r" (field), [value] "rm" (value) : "cc" : again);
	return;
again:
	vmcs_write_again(field, value);
}

#define VMCS_ACCESSORS(suffix, type, width)						\
static __always_inline type vmcs_read##suffix(unsigned long field)			\
{											\
	BUILD_BUG_ON_MSG(!__builtin_constant_p(field), "field isn't a constant");	\
	BUILD_BUG_ON_MSG(vmcs_field_width(field) != (width), "field has another width");\
	return (type)__vmcs_read(field);						\
}											\
static __always_inline void vmcs_write##suffix(unsigned long field, type value)		\
{											\
	BUILD_BUG_ON_MSG(!__builtin_constant_p(field), "field isn't a constant");	\
	BUILD_BUG_ON_MSG(vmcs_field_width(field) != (width), "field has another width");\
	__vmcs_write(field, value);							\
}

VMCS_ACCESSORS(16, u16, VMCS_16)
VMCS_ACCESSORS(32, u32, VMCS_32)
VMCS_ACCESSORS(64, u64, VMCS_64)
VMCS_ACCESSORS(l, unsigned long, VMCS_NATURAL)

#undef VMCS_ACCESSORS

#endif
