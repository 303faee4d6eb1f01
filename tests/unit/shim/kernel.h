/* SPDX-License-Identifier: GPL-2.0 */
/*
 * As much of the kernel as src/irq/ needs, for tests on the host. irq.mk makes a file of each
 * kernel header that includes this one.
 *
 * Time stands still until a test says shim_advance(): then hrtimers fire, in order. A lock that is
 * taken twice, or still held when time moves, aborts the test.
 */
#ifndef SHIM_KERNEL_H
#define SHIM_KERNEL_H

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <linux/types.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s8 s8;
typedef __s32 s32;
typedef __s64 s64;
typedef s64 ktime_t;
typedef unsigned int gfp_t;

#define __user
#define __rcu
#define __acquires(x)
#define __releases(x)
#define ____cacheline_aligned_in_smp
#define __printf(a, b) __attribute__((format(printf, a, b)))

#define PAGE_SHIFT	12
#define PAGE_SIZE	4096UL
#define offset_in_page(p) ((unsigned long)(p) & (PAGE_SIZE - 1))
#define U32_MAX		0xffffffffu
#define NSEC_PER_SEC	1000000000L
#define USEC_PER_SEC	1000000L

#define BITS_PER_LONG	64
#define BIT(n)		(1UL << (n))
#define BIT_ULL(n)	(1ULL << (n))
#define GENMASK(h, l)	((~0UL << (l)) & (~0UL >> (63 - (h))))
#define GENMASK_ULL(h, l) ((~0ULL << (l)) & (~0ULL >> (63 - (h))))
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define BUILD_BUG_ON(c)	_Static_assert(!(c), #c)
#define DIV_ROUND_UP_ULL(a, b) (((u64)(a) + (b) - 1) / (b))
#define container_of(ptr, type, member) \
	((type *)((char *)(ptr) - offsetof(type, member)))
#define min_t(t, a, b)	((t)(a) < (t)(b) ? (t)(a) : (t)(b))
#define max_t(t, a, b)	((t)(a) > (t)(b) ? (t)(a) : (t)(b))
#define min(a, b)	min_t(__typeof__(a), a, b)
#define max(a, b)	max_t(__typeof__(a), a, b)

#define likely(x)	(x)
#define unlikely(x)	(x)

#define READ_ONCE(x)	(*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile __typeof__(x) *)&(x) = (v))
#define smp_mb()	__atomic_thread_fence(__ATOMIC_SEQ_CST)
#define smp_wmb()	__atomic_thread_fence(__ATOMIC_RELEASE)
#define smp_rmb()	__atomic_thread_fence(__ATOMIC_ACQUIRE)
#define smp_mb__after_atomic() smp_mb()
#define smp_load_acquire(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define smp_store_release(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)
#define xchg(p, v)	__atomic_exchange_n(p, v, __ATOMIC_SEQ_CST)
#define array_index_nospec(i, n) (i)

#ifndef SHIM_IO_KERNEL_H	/* io_kernel.h has its own */
/* Whoever replaces what others read finds no reader. */
#define srcu_read_lock(s)	__atomic_fetch_add(&(s)->x, 1, __ATOMIC_SEQ_CST)
#define srcu_read_unlock(s, i)	(__atomic_fetch_sub(&(s)->x, 1, __ATOMIC_SEQ_CST), (void)(i))
#define srcu_dereference(p, s)	((s)->x ? (p) : (abort(), (p)))
#define synchronize_srcu(s)	((s)->x ? abort() : (void)0)
#define synchronize_srcu_expedited(s) synchronize_srcu(s)
#define rcu_dereference_protected(p, held) (p)
#define rcu_replace_pointer(p, v, held) \
	({ __typeof__(p) old_ = (p); (p) = (v); old_; })
#define lockdep_is_held(l)	true
#endif

#define MAX_ERRNO	4095
static inline void *ERR_PTR(long error) { return (void *)error; }
static inline long PTR_ERR(const void *p) { return (long)p; }
static inline bool IS_ERR(const void *p) { return (unsigned long)p >= (unsigned long)-MAX_ERRNO; }

/* ---- bits ------------------------------------------------------------------------------------ */

static inline u8 ror8(u8 w, unsigned int n) { return w >> (n & 7) | w << (-n & 7); }
static inline unsigned long __ffs(unsigned long w) { return __builtin_ctzl(w); }
static inline unsigned long __ffs64(u64 w) { return __builtin_ctzll(w); }
static inline unsigned long __fls(unsigned long w) { return 63 - __builtin_clzl(w); }
#ifndef SHIM_IO_KERNEL_H
#define for_each_set_bit(i, p, n) \
	for ((i) = 0; (i) < (n); (i)++) \
		if (*(p) >> (i) & 1)
#endif
static inline unsigned int hweight64(u64 w) { return __builtin_popcountll(w); }

static inline bool test_bit(long n, const unsigned long *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED) >> n & 1;
}

static inline bool test_and_set_bit(long n, unsigned long *p)
{
	return __atomic_fetch_or(p, BIT(n), __ATOMIC_SEQ_CST) >> n & 1;
}

static inline bool test_and_clear_bit(long n, unsigned long *p)
{
	return __atomic_fetch_and(p, ~BIT(n), __ATOMIC_SEQ_CST) >> n & 1;
}

static inline void set_bit(long n, unsigned long *p) { test_and_set_bit(n, p); }
static inline void clear_bit(long n, unsigned long *p) { test_and_clear_bit(n, p); }
static inline void __set_bit(long n, unsigned long *p) { *p |= BIT(n); }
static inline void __clear_bit(long n, unsigned long *p) { *p &= ~BIT(n); }

typedef struct { int counter; } atomic_t;

#define atomic_read(a)		__atomic_load_n(&(a)->counter, __ATOMIC_RELAXED)
#define atomic_set(a, v)	__atomic_store_n(&(a)->counter, v, __ATOMIC_RELAXED)
#define atomic_add(v, a)	((void)__atomic_fetch_add(&(a)->counter, v, __ATOMIC_SEQ_CST))
#define atomic_xchg(a, v)	xchg(&(a)->counter, v)

static inline int atomic_dec_if_positive(atomic_t *a)
{
	int old = atomic_read(a);

	while (old > 0 && !__atomic_compare_exchange_n(&a->counter, &old, old - 1, false,
						       __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		;
	return old - 1;
}

/* ---- locks ----------------------------------------------------------------------------------- */

typedef struct { unsigned long owner; } raw_spinlock_t;
typedef raw_spinlock_t spinlock_t;

void shim_lock(raw_spinlock_t *lock);
void shim_unlock(raw_spinlock_t *lock);

#define raw_spin_lock_init(l)	((l)->owner = 0)
#define spin_lock_init(l)	raw_spin_lock_init(l)
#define spin_lock(l)		shim_lock(l)
#define spin_unlock(l)		shim_unlock(l)
#define raw_spin_lock_irqsave(l, f) ((f) = 1, shim_lock(l))
#define raw_spin_unlock_irqrestore(l, f) ((void)(f), shim_unlock(l))

/* ---- memory ---------------------------------------------------------------------------------- */

#define GFP_KERNEL_ACCOUNT 0

extern int shim_fail_alloc;	/* the nth allocation from now fails; 0 = none */

#ifndef SHIM_IO_KERNEL_H
#define struct_size(p, member, n) (sizeof(*(p)) + sizeof((p)->member[0]) * (n))
#endif
#define kvzalloc(size, gfp)	kzalloc(size, gfp)
#define kvfree(p)		kfree(p)

void *kzalloc(size_t size, gfp_t gfp);
void kfree(const void *p);
unsigned long get_zeroed_page(gfp_t gfp);
void free_page(unsigned long addr);

/* ---- time ------------------------------------------------------------------------------------ */

enum hrtimer_restart { HRTIMER_NORESTART, HRTIMER_RESTART };
enum hrtimer_mode { HRTIMER_MODE_ABS_HARD, HRTIMER_MODE_ABS_PINNED_HARD };

struct hrtimer {
	struct hrtimer *next;
	bool queued;
	ktime_t expires;
	enum hrtimer_restart (*function)(struct hrtimer *timer);
};

extern u64 shim_now;		/* ns */
extern u64 shim_tsc_skew;	/* subtracted from the TSC */
extern unsigned int tsc_khz;

void shim_advance(u64 ns);
int shim_timers(void);		/* how many are queued */

#define ktime_get_ns()		shim_now
#define ns_to_ktime(ns)		((ktime_t)(ns))
#define ktime_to_ns(t)		((s64)(t))
#define CLOCK_MONOTONIC		1

void hrtimer_init(struct hrtimer *timer, int clock, enum hrtimer_mode mode);
void hrtimer_start(struct hrtimer *timer, ktime_t at, enum hrtimer_mode mode);
int hrtimer_cancel(struct hrtimer *timer);
u64 hrtimer_forward_now(struct hrtimer *timer, ktime_t interval);
#define hrtimer_get_expires(t)	((t)->expires)

static inline u64 rdtsc(void)
{
	return (unsigned __int128)shim_now * tsc_khz / USEC_PER_SEC - shim_tsc_skew;
}

static inline bool check_tsc_unstable(void) { return false; }

static inline u64 mul_u64_u32_div(u64 a, u32 mul, u32 div)
{
	return (unsigned __int128)a * mul / div;
}

static inline u64 mul_u64_u64_shr(u64 a, u64 b, unsigned int shift)
{
	return (unsigned __int128)a * b >> shift;
}

static inline u64 div_u64(u64 a, u32 b) { return a / b; }

/* ---- what minivmm.h mentions ----------------------------------------------------------------- */

struct list_head { struct list_head *next, *prev; };
struct rcu_head { void *p; };
struct mutex { int x; };
struct srcu_struct { int x; };
struct rcuwait { int x; };
struct work_struct { int x; };
struct preempt_notifier { int x; };
struct fpu_guest { int x; };
struct task_struct;
struct pid;
struct workqueue_struct;
struct mm_struct;
typedef struct { int x; } refcount_t;
typedef struct { int x; } cpumask_var_t;

#define X86_CR0_PE		BIT(0)
#define X86_CR0_PG		BIT(31)
#define X86_CR4_PAE		BIT(5)
#define X86_CR4_PCIDE		BIT(17)
#define MSR_IA32_TSC_DEADLINE	0x6e0

enum {
	X86_FEATURE_X2APIC = 1, X86_FEATURE_TSC_DEADLINE_TIMER, X86_FEATURE_BMI1, X86_FEATURE_ABM,
	X86_FEATURE_POPCNT, X86_FEATURE_CX16, X86_FEATURE_INVPCID, X86_FEATURE_SMAP,
	X86_FEATURE_BMI2, X86_FEATURE_ADX, X86_FEATURE_XMM4_2, X86_FEATURE_RDPID,
};

#endif
