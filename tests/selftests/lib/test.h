/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What every selftest is written with: tests in source order, each in a process of its own,
 * reported in the kernel's TAP form.
 *
 *	TEST(slot_of_no_page) { CHECK_ERRNO(set_slot(…), EINVAL); }
 *
 * A check that fails prints where, what it expected and what it got, and ends the test.
 */
#ifndef SELFTESTS_TEST_H
#define SELFTESTS_TEST_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t s32;
typedef int64_t s64;

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define PAGE		4096ul
#define KiB		1024ul
#define MiB		(1024 * KiB)
#define GiB		(1024 * MiB)

/* The command line, the same for every program. */
struct options {
	const char *dev;		/* the node: /dev/minivmm, /dev/kvm */
	const char *mmu;		/* ept, shadow or default */
	const char *module;		/* minivmm.ko, for the tests that load and unload it */
	unsigned int timeout;		/* seconds a test may take */
	unsigned int rounds;		/* of what races; 0: few under the emulator */
	bool oracle;			/* the node is KVM's */
};

extern struct options opt;

struct test {
	const char *name;
	void (*body)(void);
};

extern const struct test *running;	/* in the test's process */

#define TEST(id)							\
	static void test_##id(void);					\
	static const struct test desc_##id = { #id, test_##id };	\
	__attribute__((section("selftests"), used, no_reorder))			\
	static const struct test *const list_##id = &desc_##id;		\
	static void test_##id(void)

/* A program whose tests aren't known when it's built has a list of its own (guests.c). */
int run_tests(int argc, char **argv);
int run_test_list(char **patterns, const struct test *const *tests, size_t n);
char **parse_options(int argc, char **argv);	/* returns the patterns */

/* Ends the test. */
_Noreturn void fail_at(const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
_Noreturn void skip(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Shown when a check fails from here on: which row of a table, for example. */
void context(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* KVM under the emulator fails this one because of the emulator, not of KVM. */
void skip_on_bochs(const char *why);
bool on_bochs(void);
bool kvm_has(const char *parameter);	/* of kvm_intel: ept, unrestricted_guest, … */
bool is_on(const char *parameter);	/* of the module under test: vnmi, … */
void need_virtual_nmis(void);		/* else skips: the end of an NMI's handler isn't noticed */
bool is_unrestricted(void);		/* the CPU itself runs real mode and states near to it */

/*
 * Whether something comes true, however slow the machine is: it is waited for as long as the test may
 * take, less what it needs to say that nothing came of it.
 */
#define EVENTUALLY(cond)						\
	({								\
		bool so_;						\
									\
		while (!(so_ = (cond)) && !nearly_over())		\
			sleep_ms(1);					\
		so_;							\
	})

bool nearly_over(void);			/* the time that the test may take */
void sleep_ms(unsigned int ms);

#define FAIL(...)	fail_at(__FILE__, __LINE__, __VA_ARGS__)

#define CHECK(cond)							\
	do {								\
		if (!(cond))						\
			FAIL("expected %s", #cond);			\
	} while (0)

#define CHECK_EQ(got, want)						\
	do {								\
		u64 g_ = (u64)(got), w_ = (u64)(want);			\
		if (g_ != w_)						\
			FAIL("%s: expected %#llx (%lld), got %#llx (%lld)", #got,	\
			     (long long)w_, (long long)w_, (long long)g_, (long long)g_); \
	} while (0)

/* The value of a system call that must succeed. */
#define CHECK_OK(call)							\
	({								\
		long r_ = (long)(call);					\
		if (r_ < 0)						\
			FAIL("%s: expected success, got %s", #call, errno_name(errno)); \
		r_;							\
	})

#define CHECK_ERRNO(call, want)						\
	do {								\
		errno = 0;						\
		long r_ = (long)(call);					\
		int e_ = errno;						\
		if (r_ != -1)						\
			FAIL("%s: expected %s, got success (%ld)", #call, errno_name(want), r_); \
		if (e_ != (want))					\
			FAIL("%s: expected %s, got %s", #call, errno_name(want), errno_name(e_)); \
	} while (0)

#define CHECK_MEM(got, want, size)					\
	check_mem(__FILE__, __LINE__, #got, got, want, size)

void check_mem(const char *file, int line, const char *what, const void *got, const void *want,
	       size_t size);
const char *errno_name(int e);

#endif
