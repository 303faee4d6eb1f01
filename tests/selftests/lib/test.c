// SPDX-License-Identifier: GPL-2.0
/* The harness: options, one process per test, TAP. */
#include <fcntl.h>
#include <fnmatch.h>
#include <getopt.h>
#include <linux/minivmm.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

#define EXIT_FAILED	1
#define EXIT_SKIPPED	4

struct options opt = { .dev = "/dev/minivmm", .mmu = "default", .timeout = 60 };

/* Shared between the harness and the process of a test. */
static struct {
	char skip[256];
} *shared;

static char context_text[256];
const struct test *running;
static struct timespec started;		/* the running test */

extern const struct test *const __start_selftests[] __attribute__((weak));
extern const struct test *const __stop_selftests[] __attribute__((weak));

const char *errno_name(int e)
{
	return strerrorname_np(e) ?: "an unknown errno";
}

/* One write per line, so that the lines of several processes don't mix. */
static void vsay(const char *fmt, va_list ap)
{
	char text[2048], *line, *end = text;

	vsnprintf(text, sizeof(text), fmt, ap);
	while ((line = strsep(&end, "\n")))
		if (*line)
			dprintf(STDOUT_FILENO, "# %s\n", line);
}

void say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsay(fmt, ap);
	va_end(ap);
}

void context(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(context_text, sizeof(context_text), fmt, ap);
	va_end(ap);
}

void fail_at(const char *file, int line, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	say("%s:%d: %s", file, line, text);
	if (*context_text)
		say("  with %s", context_text);
	_exit(EXIT_FAILED);
}

void skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(shared->skip, sizeof(shared->skip), fmt, ap);
	va_end(ap);
	_exit(EXIT_SKIPPED);
}

/*
 * Bochs answers reads of its debug port with the port's number; the labs that use QEMU leave it
 * off.
 */
bool on_bochs(void)
{
	return !ioperm(0xe9, 1, 1) && inb(0xe9) == 0xe9;
}

void skip_on_bochs(const char *why)
{
	if (on_bochs())
		skip("known bug of Bochs: %s", why);
}

void check_mem(const char *file, int line, const char *what, const void *got, const void *want,
	       size_t size)
{
	const u8 *g = got, *w = want;

	for (size_t i = 0; i < size; i++)
		if (g[i] != w[i])
			fail_at(file, line, "%s: byte %zu of %zu: expected %#x, got %#x", what, i,
				size, w[i], g[i]);
}

void sleep_ms(unsigned int ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

bool nearly_over(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (!started.tv_sec)		/* not a test's process: the bench's */
		started = now;
	return now.tv_sec - started.tv_sec > opt.timeout * 3 / 4;
}

/*
 * Waits for the test's process, then for what it left behind, which is killed: the next test finds
 * nothing of it. Returns its status, or -1 for too long.
 */
static int wait_test(pid_t pid)
{
	struct timespec limit = { .tv_sec = opt.timeout };
	sigset_t chld;
	int status, ret;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	while (!(ret = waitpid(pid, &status, WNOHANG)))
		if (sigtimedwait(&chld, NULL, &limit) < 0 && errno == EAGAIN)
			break;
	kill(-pid, SIGKILL);
	while (waitpid(-pid, NULL, 0) > 0 || errno == EINTR)
		;
	return ret == pid ? status : -1;
}

static int run_one(const struct test *t)
{
	pid_t pid;

	*shared->skip = 0;
	fflush(stdout);
	pid = fork();
	if (!pid) {
		sigset_t none;

		setpgid(0, 0);
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		clock_gettime(CLOCK_MONOTONIC, &started);
		running = t;
		t->body();
		_exit(0);
	}
	if (pid < 0) {
		perror("# fork");
		return -1;
	}
	setpgid(pid, pid);
	return wait_test(pid);
}

/* Returns whether the test counts as a failure. */
static bool report(int nr, const char *name, int status)
{
	bool exited = status >= 0 && WIFEXITED(status);

	if (exited && WEXITSTATUS(status) == EXIT_SKIPPED) {
		printf("ok %d - %s # SKIP %s\n", nr, name, shared->skip);
		return false;
	}
	if (exited && !WEXITSTATUS(status)) {
		printf("ok %d - %s\n", nr, name);
		return false;
	}
	if (status < 0)
		printf("# still running after %u seconds\n", opt.timeout);
	else if (WIFSIGNALED(status))
		printf("# killed by SIG%s\n", sigabbrev_np(WTERMSIG(status)));
	printf("not ok %d - %s\n", nr, name);
	return true;
}

static _Noreturn void usage(const char *prog, int code)
{
	fprintf(code ? stderr : stdout,
		"Usage: %s [OPTION]… [PATTERN]…\n"
		"Runs the tests whose name matches one of the patterns (shell style), or all.\n"
		"  --dev PATH      the hypervisor's node (%s)\n"
		"  --mmu MODE      ept, shadow or default; on KVM's node it is kvm_intel's ept=\n"
		"  --module PATH   minivmm.ko, for the tests that unload and load it\n"
		"  --timeout N     seconds a test may take (%u)\n"
		"  --rounds N      how often what races is repeated\n"
		"  --list          prints the names of the tests\n",
		prog, opt.dev, opt.timeout);
	exit(code);
}

static bool listing;

static const struct option long_options[] = {
	{ "dev", required_argument, NULL, 'd' },
	{ "mmu", required_argument, NULL, 'm' },
	{ "module", required_argument, NULL, 'k' },
	{ "timeout", required_argument, NULL, 't' },
	{ "rounds", required_argument, NULL, 'r' },
	{ "list", no_argument, NULL, 'l' },
	{ "help", no_argument, NULL, 'h' },
	{ }
};

char **parse_options(int argc, char **argv)
{
	int c;

	while ((c = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
		switch (c) {
		case 'd':
			opt.dev = optarg;
			break;
		case 'm':
			opt.mmu = optarg;
			break;
		case 'k':
			opt.module = optarg;
			break;
		case 't':
			opt.timeout = atoi(optarg);
			break;
		case 'r':
			opt.rounds = atoi(optarg);
			break;
		case 'l':
			listing = true;
			break;
		case 'h':
			usage(argv[0], 0);
		default:
			usage(argv[0], 2);
		}
	}
	if (strcmp(opt.mmu, "ept") && strcmp(opt.mmu, "shadow") && strcmp(opt.mmu, "default"))
		usage(argv[0], 2);
	opt.oracle = !strcmp(basename(opt.dev), "kvm");
	return argv + optind;
}

static bool wanted(const char *name, char **patterns)
{
	if (!*patterns)
		return true;
	for (; *patterns; patterns++)
		if (!fnmatch(*patterns, name, 0))
			return true;
	return false;
}

static bool is_set(const char *module, const char *parameter)
{
	char path[96];
	int c = 'Y';
	FILE *f;

	snprintf(path, sizeof(path), "/sys/module/%s/parameters/%s", module, parameter);
	f = fopen(path, "r");
	if (f) {
		c = fgetc(f);
		fclose(f);
	}
	return c == 'Y';
}

bool is_on(const char *parameter)
{
	return is_set(opt.oracle ? "kvm_intel" : "minivmm", parameter);
}

void need_virtual_nmis(void)
{
	if (!is_on("vnmi"))
		skip("without virtual NMIs its handler's end isn't noticed");
}

bool kvm_has(const char *parameter)
{
	return is_set("kvm_intel", parameter);
}

static bool node_offers(int mmu)
{
	int node = open(opt.dev, O_RDWR | O_CLOEXEC), offered = mmu;

	if (node >= 0) {
		offered = ioctl(node, MINIVMM_CHECK_EXTENSION, (long)MINIVMM_CAP_MMU);
		close(node);
	}
	return offered & mmu;
}

static bool cpu_has_unrestricted_guest(void)
{
	FILE *f = fopen("/proc/cpuinfo", "r");
	bool found = false;
	char line[4096];

	while (f && !found && fgets(line, sizeof(line), f))
		found = !strncmp(line, "vmx flags", 9) && strstr(line, " unrestricted_guest");
	if (f)
		fclose(f);
	return found;
}

bool is_unrestricted(void)
{
	if (opt.oracle)
		return kvm_has("unrestricted_guest");
	return strcmp(opt.mmu, "shadow") && node_offers(MINIVMM_VM_MMU_EPT) &&
	       is_set("minivmm", "unrestricted_guest") && cpu_has_unrestricted_guest();
}

/* Why none of the tests can run. KVM chooses its MMU when kvm_intel is loaded. */
static const char *mmu_mismatch(void)
{
	bool ept = !strcmp(opt.mmu, "ept");

	if (!strcmp(opt.mmu, "default"))
		return NULL;
	if (!opt.oracle)
		return node_offers(ept ? MINIVMM_VM_MMU_EPT : MINIVMM_VM_MMU_SHADOW)
			       ? NULL : "the node doesn't offer this MMU";
	if (kvm_has("ept") == ept)
		return NULL;
	return ept ? "kvm_intel is loaded with ept=0" : "kvm_intel is loaded with ept=1";
}

int run_test_list(char **patterns, const struct test *const *tests, size_t n)
{
	int nr = 0, failed = 0, total = 0;
	const char *mismatch;
	sigset_t chld;

	for (size_t i = 0; i < n; i++) {
		if (!wanted(tests[i]->name, patterns))
			continue;
		total++;
		if (listing)
			puts(tests[i]->name);
	}
	if (listing)
		return 0;
	if (!total) {
		fputs("no test has such a name: --list shows them\n", stderr);
		return 2;
	}
	printf("TAP version 13\n");
	mismatch = mmu_mismatch();
	if (mismatch) {
		printf("1..0 # SKIP %s\n", mismatch);
		return 0;
	}
	shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, NULL);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("1..%d\n", total);
	for (size_t i = 0; i < n; i++)
		if (wanted(tests[i]->name, patterns))
			failed += report(++nr, tests[i]->name, run_one(tests[i]));
	return failed ? 1 : 0;
}

int run_tests(int argc, char **argv)
{
	char **patterns = parse_options(argc, argv);

	return run_test_list(patterns, __start_selftests, __stop_selftests - __start_selftests);
}
