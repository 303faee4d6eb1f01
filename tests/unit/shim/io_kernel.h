/* SPDX-License-Identifier: GPL-2.0 */
/* What src/io.c needs of the kernel beyond kernel.h. Grace periods are over when they begin. */
#ifndef SHIM_IO_KERNEL_H
#define SHIM_IO_KERNEL_H

#include "kernel.h"

#define PAGE_MASK		(~(PAGE_SIZE - 1))
#define noinline
#undef __always_inline
#define __always_inline inline
#define struct_size(p, member, n) (sizeof(*(p)) + sizeof(*(p)->member) * (n))
#define for_each_set_bit(bit, map, size)			\
	for ((bit) = 0; (bit) < (int)(size); (bit)++)		\
		if (*(map) >> (bit) & 1)

#define mutex_lock(m)		assert((m)->x++ == 0)
#define mutex_unlock(m)		assert(--(m)->x == 0)
#define lockdep_is_held(m)	((m)->x)

extern int shim_rcu_depth;

#define rcu_read_lock()		(shim_rcu_depth++)
#define rcu_read_unlock()	(shim_rcu_depth--)
#define rcu_dereference(p)	(assert(shim_rcu_depth), (p))
#define srcu_read_lock(s)	((s)->x++)
#define srcu_read_unlock(s, i)	((s)->x--, (void)(i))
#undef srcu_dereference
#define srcu_dereference(p, s)	(assert((s)->x), (p))
#define synchronize_srcu(s)	assert((s)->x == 0)
#define rcu_dereference_protected(p, held) (assert(held), (p))
#define rcu_assign_pointer(p, v) ((p) = (v))
#define rcu_replace_pointer(p, v, held) \
	({ __typeof__(p) old_ = (p); assert(held); (p) = (v); old_; })
#define kfree_rcu(p, field)	kfree(p)

/* The client's memory: shim_user() says whether it is there. */
bool shim_user(const void *p);

#define __get_user(x, p)	(shim_user(p) ? memcpy(&(x), p, sizeof(x)), 0 : \
				 ((x) = 0, -EFAULT))
#define __copy_from_user(to, p, n) (shim_user(p) ? memcpy(to, p, n), 0 : (n))
#define __uaccess_begin_nospec() do { } while (0)
#define __uaccess_end()		do { } while (0)
#define unsafe_get_user(x, p, label) do { if (__get_user(x, p)) goto label; } while (0)

#define signal_pending(task)	false
#define __xfer_to_guest_mode_work_pending() shim_work_pending

extern bool shim_work_pending;

#define X86_EFLAGS_TF		BIT(8)
#define X86_EFLAGS_IF		BIT(9)
#define X86_EFLAGS_RF		BIT(16)
#define X86_EFLAGS_VM		BIT(17)
#define X86_EFLAGS_AC		BIT(18)
#define DR_TRAP_BITS		0xf
#define DR6_RESERVED		0xffff0ff0
#define DR_STEP			0x4000

enum { X86_PF_PROT = 1, X86_PF_WRITE = 2, X86_PF_USER = 4, X86_PF_RSVD = 8, X86_PF_INSTR = 16 };
enum { X86_TRAP_DB = 1, X86_TRAP_BP = 3, X86_TRAP_UD = 6, X86_TRAP_SS = 12, X86_TRAP_GP = 13,
       X86_TRAP_PF = 14 };

#endif
