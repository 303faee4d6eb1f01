// SPDX-License-Identifier: GPL-2.0
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/landlock.h>
#include <linux/minivmm.h>
#include <linux/vhost.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "exitcode.h"
#include "sandbox.h"
#include "term.h"

#define RESOLVER	"/etc/resolv.conf"

static int drop_capabilities(struct error *err)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { };
	int cap;

	/* Without CAP_SETPCAP it is refused, and needless: what isn't there can't be gained. */
	for (cap = 0; !prctl(PR_CAPBSET_DROP, cap, 0, 0, 0); cap++)
		;
	if (syscall(SYS_capset, &header, none))
		return failed(err, "sandbox: capabilities can't be dropped: %s", strerror(errno));
	return 0;
}

/* ---- files ----------------------------------------------------------------------------------- */

#define ALL_ACCESS	(LANDLOCK_ACCESS_FS_MAKE_SYM * 2 - 1)	/* those of its first version */

static int allow_beneath(int ruleset, const char *path, uint64_t access)
{
	struct landlock_path_beneath_attr a = {
		.allowed_access = access,
		.parent_fd = open(path, O_PATH | O_CLOEXEC),
	};
	long rc;

	if (a.parent_fd < 0)
		return -1;
	rc = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &a, 0);
	close(a.parent_fd);
	return rc;
}

static void allow_own(int ruleset, const char *file)
{
	char directory[PATH_MAX], *slash;

	snprintf(directory, sizeof(directory), "%s", file);
	slash = strrchr(directory, '/');
	if (slash) {
		*slash = 0;
		allow_beneath(ruleset, directory, LANDLOCK_ACCESS_FS_REMOVE_FILE);
	}
}

/* Return: whether the kernel could do it. What isn't allowed by then is refused. */
static bool restrict_files(const struct sandbox *s)
{
	struct landlock_ruleset_attr attr = { .handled_access_fs = ALL_ACCESS };
	long ruleset = syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	bool done;

	if (ruleset < 0)
		return false;
	if (s->network)
		allow_beneath(ruleset, RESOLVER, LANDLOCK_ACCESS_FS_READ_FILE);
	if (s->own_file)
		allow_own(ruleset, s->own_file);
	done = !syscall(SYS_landlock_restrict_self, ruleset, 0);
	close(ruleset);
	return done;
}

/* ---- system calls ---------------------------------------------------------------------------- */

#ifdef WITH_SECCOMP
#include <seccomp.h>

static const int allowed[] = {
	/* descriptors that are open */
	SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(pread64),
	SCMP_SYS(pwrite64), SCMP_SYS(preadv), SCMP_SYS(pwritev), SCMP_SYS(preadv2),
	SCMP_SYS(pwritev2), SCMP_SYS(lseek), SCMP_SYS(fsync), SCMP_SYS(fdatasync),
	SCMP_SYS(sync_file_range), SCMP_SYS(fallocate), SCMP_SYS(ftruncate), SCMP_SYS(fstat),
	SCMP_SYS(fcntl), SCMP_SYS(close), SCMP_SYS(dup), SCMP_SYS(pipe2), SCMP_SYS(eventfd2),
	SCMP_SYS(timerfd_create), SCMP_SYS(timerfd_settime), SCMP_SYS(timerfd_gettime),
	SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(select), SCMP_SYS(pselect6),
	SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait),
	SCMP_SYS(io_uring_enter),
	/* connections that are open, or come in */
	SCMP_SYS(accept4), SCMP_SYS(recvfrom), SCMP_SYS(recvmsg), SCMP_SYS(sendto),
	SCMP_SYS(sendmsg), SCMP_SYS(shutdown), SCMP_SYS(getsockopt), SCMP_SYS(setsockopt),
	SCMP_SYS(getsockname), SCMP_SYS(getpeername),
	/* memory; not to be executed: below */
	SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(msync),
	/* threads and signals */
	SCMP_SYS(futex), SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(gettid),
	SCMP_SYS(getpid), SCMP_SYS(getpgrp), SCMP_SYS(getuid), SCMP_SYS(geteuid),
	SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity), SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigtimedwait), SCMP_SYS(sigaltstack),
	SCMP_SYS(restart_syscall), SCMP_SYS(exit), SCMP_SYS(exit_group),
	/* time and chance */
	SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(clock_nanosleep),
	SCMP_SYS(nanosleep), SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(getrandom),
};

/* What libraries try, and do without. */
static const struct { int nr, error; } harmless[] = {
	{ SCMP_SYS(open), EACCES }, { SCMP_SYS(openat), EACCES }, { SCMP_SYS(stat), EACCES },
	{ SCMP_SYS(newfstatat), EACCES }, { SCMP_SYS(statx), ENOSYS }, { SCMP_SYS(access), EACCES },
	{ SCMP_SYS(readlink), EACCES }, { SCMP_SYS(unlink), EACCES },
	{ SCMP_SYS(clone3), ENOSYS },		/* its flags are in memory, where no filter sees them */
	{ SCMP_SYS(socket), EACCES }, { SCMP_SYS(prctl), EPERM }, { SCMP_SYS(prlimit64), EPERM },
	{ SCMP_SYS(sysinfo), EPERM }, { SCMP_SYS(uname), EPERM },
};

static const unsigned long ioctls[] = {
	TCGETS, TCSETS, TCSETSW, TCSETSF, TIOCGPGRP, TIOCGWINSZ, FIONREAD, FIONBIO,
	BLKDISCARD, BLKZEROOUT, BLKSECDISCARD, BLKFLSBUF, TUNSETOFFLOAD, MINIVMM_GET_FAILURE,
	VHOST_SET_OWNER, VHOST_SET_FEATURES, VHOST_SET_MEM_TABLE, VHOST_SET_VRING_NUM,
	VHOST_SET_VRING_BASE, VHOST_GET_VRING_BASE, VHOST_SET_VRING_ADDR, VHOST_SET_VRING_KICK,
	VHOST_SET_VRING_CALL, VHOST_SET_VRING_ERR, VHOST_NET_SET_BACKEND,
};

/* What the user network adds. */
static const int for_network[] = {
	SCMP_SYS(bind), SCMP_SYS(connect), SCMP_SYS(listen), SCMP_SYS(accept),
};

static const int for_names[] = {	/* with Landlock only, which lets them see one file */
	SCMP_SYS(stat), SCMP_SYS(newfstatat),
};

#define MEM_FLAGS(prot) SCMP_A2(SCMP_CMP_MASKED_EQ, (prot), 0)
#define SYSCALLS(list) (sizeof(list) / sizeof((list)[0]))

static int allow_list(scmp_filter_ctx f, const int *list, size_t nr)
{
	size_t i;
	int rc = 0;

	for (i = 0; !rc && i < nr; i++)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, list[i], 0);
	return rc;
}

#define ALLOW(call, ...) \
	(seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(call), __VA_ARGS__))

static int allow_ioctls(scmp_filter_ctx f)
{
	size_t i;
	int rc;

	/* The hypervisor's, first of all: there are very many of them, and no cache for their verdict. */
	seccomp_syscall_priority(f, SCMP_SYS(ioctl), 255);
	rc = ALLOW(ioctl, 1, SCMP_A1_32(SCMP_CMP_MASKED_EQ, 0xff00, MINIVMMIO << 8));
	for (i = 0; !rc && i < SYSCALLS(ioctls); i++)
		rc = ALLOW(ioctl, 1, SCMP_A1_32(SCMP_CMP_EQ, ioctls[i]));
	return rc;
}

static int allow_some(scmp_filter_ctx f)
{
	pid_t pid = getpid();

	return allow_ioctls(f) ||
	       ALLOW(mmap, 1, MEM_FLAGS(PROT_EXEC)) ||
	       ALLOW(mprotect, 1, MEM_FLAGS(PROT_EXEC)) ||
	       ALLOW(clone, 1, SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD | CLONE_VM,
				       CLONE_THREAD | CLONE_VM)) ||
	       /* The message of the last resort stays. */
	       ALLOW(rt_sigaction, 1, SCMP_A0_32(SCMP_CMP_NE, SIGSYS)) ||
	       ALLOW(tgkill, 1, SCMP_A0_32(SCMP_CMP_EQ, pid)) ||
	       ALLOW(kill, 1, SCMP_A0_32(SCMP_CMP_EQ, pid));
}

static int allow_network(scmp_filter_ctx f)
{
	return allow_list(f, for_network, SYSCALLS(for_network)) ||
	       ALLOW(socket, 1, SCMP_A0_32(SCMP_CMP_EQ, AF_INET)) ||
	       ALLOW(socket, 1, SCMP_A0_32(SCMP_CMP_EQ, AF_INET6)) ||
	       /* By which libraries look for names of network interfaces */
	       seccomp_rule_add(f, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(socket), 1,
				SCMP_A0_32(SCMP_CMP_EQ, AF_UNIX)) ||
	       seccomp_rule_add(f, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(socket), 1,
				SCMP_A0_32(SCMP_CMP_EQ, AF_NETLINK));
}

static int refuse_the_rest(scmp_filter_ctx f, const struct sandbox *s, bool landlock)
{
	bool names = landlock && s->network, own = landlock && s->own_file;
	size_t i;
	int rc = 0;

	if (names)
		rc = allow_list(f, for_names, SYSCALLS(for_names)) ||
		     ALLOW(openat, 1, SCMP_A2_32(SCMP_CMP_MASKED_EQ, O_ACCMODE | O_CREAT | O_TRUNC,
						 O_RDONLY));
	if (!rc && own)
		rc = ALLOW(unlink, 0);
	for (i = 0; !rc && i < SYSCALLS(harmless); i++) {
		int nr = harmless[i].nr;

		/* A rule without conditions would win over one with them. */
		if ((nr == SCMP_SYS(unlink) && own) || (nr == SCMP_SYS(socket) && s->network) ||
		    (names && (nr == SCMP_SYS(openat) || nr == SCMP_SYS(stat) ||
			       nr == SCMP_SYS(newfstatat))))
			continue;
		rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(harmless[i].error), nr, 0);
	}
	return rc;
}

static void on_refusal(int sig, siginfo_t *info, void *context)
{
	static const char rest[] = ", which a vmrun in order doesn't make: it has a bug, or was "
				   "tricked by the guest. --no-sandbox goes without\r\n";
	char text[256] = "vmrun: the sandbox refused system call ", digits[12], *p = digits + 11;
	int nr = info->si_syscall;

	(void)sig;
	(void)context;
	term_restore();
	*p = 0;
	do
		*--p = '0' + nr % 10;
	while ((nr /= 10) && p > digits);
	strcat(strcat(text, p), rest);
	_exit(write(STDERR_FILENO, text, strlen(text)) > 0 ? EXIT_HOST_FAILED : EXIT_HOST_FAILED);
}

static int filter_syscalls(const struct sandbox *s, bool landlock, struct error *err)
{
	struct sigaction sa = { .sa_sigaction = on_refusal, .sa_flags = SA_SIGINFO };
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_TRAP);
	int rc;

	if (!f)
		return failed(err, "sandbox: no memory");
	sigaction(SIGSYS, &sa, NULL);
	rc = allow_list(f, allowed, SYSCALLS(allowed)) || allow_some(f) ||
	     (s->network && allow_network(f)) || refuse_the_rest(f, s, landlock);
	if (!rc)
		rc = seccomp_load(f);
	seccomp_release(f);
	return rc ? failed(err, "sandbox: system calls can't be filtered: %s; --no-sandbox goes without",
			   rc < 0 ? strerror(-rc) : "a rule of the filter is wrong") : 0;
}
#else
static int filter_syscalls(const struct sandbox *s, bool landlock, struct error *err)
{
	(void)s;
	(void)landlock;
	(void)err;
	fprintf(stderr, "vmrun: built without libseccomp: system calls aren't filtered\r\n");
	return 0;
}
#endif

/* It is each thread's own: one that runs already would stay outside. */
static bool alone(void)
{
	DIR *tasks = opendir("/proc/self/task");
	int entries = 0;

	while (tasks && readdir(tasks))
		entries++;
	if (tasks)
		closedir(tasks);
	return entries <= 3;		/* "." and ".."; none where there is no /proc */
}

int sandbox_enter(const struct sandbox *s, struct error *err)
{
	bool landlock;

	if (!alone())
		return failed(err, "sandbox: a thread runs already; --no-sandbox goes without");
	tzset();			/* it reads a file, once */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return failed(err, "sandbox: no_new_privs: %s", strerror(errno));
	landlock = restrict_files(s);
	return drop_capabilities(err) ? -1 : filter_syscalls(s, landlock, err);
}
