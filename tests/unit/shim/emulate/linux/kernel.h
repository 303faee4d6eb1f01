/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SHIM_EMULATE_LINUX_KERNEL_H
#define SHIM_EMULATE_LINUX_KERNEL_H

#include <linux/types.h>

#define noinline
#define likely(x)		__builtin_expect(!!(x), 1)
#define unlikely(x)		__builtin_expect(!!(x), 0)
#define min_t(type, a, b)	((type)(a) < (type)(b) ? (type)(a) : (type)(b))
#define max_t(type, a, b)	((type)(a) > (type)(b) ? (type)(a) : (type)(b))

#endif
