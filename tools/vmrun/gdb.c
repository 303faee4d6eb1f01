// SPDX-License-Identifier: GPL-2.0
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gdb.h"
#include "stream.h"
#include "walk.h"

#define INT3		0xcc
#define SIGNAL_INT	2
#define SIGNAL_TRAP	5
#define SEND_PATIENCE_MS	1000
#define DB_VECTOR	1
#define BP_VECTOR	3
#define DR6_STEP	(1 << 14)
#define DR7_GE_LE	0x300		/* exact data breakpoints, where a CPU still asks */
#define MXCSR_WORD	6		/* of an XSAVE area */

static struct gdb_server *server_of(struct gdb_target *t)
{
	return (struct gdb_server *)t;
}

/* ---- memory, registers ---------------------------------------------------------------------------- */

static bool get_sregs(struct gdb_server *g, unsigned int cpu, struct minivmm_sregs *s)
{
	return !ioctl(g->vm->cpus[cpu].fd, MINIVMM_GET_SREGS, s);
}

static size_t write_memory(struct gdb_target *t, unsigned int cpu, uint64_t gva, const void *buf,
			   size_t len)
{
	struct gdb_server *g = server_of(t);
	struct minivmm_sregs s;
	uint64_t gpa;
	size_t i;

	if (!get_sregs(g, cpu, &s))
		return 0;
	for (i = 0; i < len; i++)
		if (!walk(g->vm->mem, &s, gva + i, &gpa) ||
		    !mem_write(g->vm->mem, gpa, (const char *)buf + i, 1))
			break;
	return i;
}

static size_t read_memory(struct gdb_target *t, unsigned int cpu, uint64_t gva, void *buf, size_t len)
{
	struct gdb_server *g = server_of(t);
	struct minivmm_sregs s;

	return get_sregs(g, cpu, &s) ? walk_read(g->vm->mem, &s, gva, buf, len) : 0;
}

static bool get_state(struct gdb_target *t, unsigned int cpu, struct gdb_cpu_state *s)
{
	int fd = server_of(t)->vm->cpus[cpu].fd;
	static struct minivmm_xsave x;

	memset(s, 0, sizeof(*s));
	if (ioctl(fd, MINIVMM_GET_REGS, &s->regs) || ioctl(fd, MINIVMM_GET_SREGS, &s->sregs) ||
	    ioctl(fd, MINIVMM_GET_FPU, &s->fpu))
		return false;
	if (!ioctl(fd, MINIVMM_GET_XSAVE, &x))	/* the other doesn't tell it */
		s->fpu.mxcsr = x.region[MXCSR_WORD];
	return true;
}

static bool set_state(struct gdb_target *t, unsigned int cpu, const struct gdb_cpu_state *s,
		      unsigned int parts)
{
	int fd = server_of(t)->vm->cpus[cpu].fd;

	return !((parts & GDB_SREGS && ioctl(fd, MINIVMM_SET_SREGS, &s->sregs)) ||
		 (parts & GDB_FPU && ioctl(fd, MINIVMM_SET_FPU, &s->fpu)) ||
		 (parts & GDB_REGS && ioctl(fd, MINIVMM_SET_REGS, &s->regs)));
}

/* ---- breakpoints --------------------------------------------------------------------------------- */

static struct gdb_soft *find_soft(struct gdb_server *g, uint64_t gva)
{
	unsigned int i;

	for (i = 0; i < GDB_SOFT_MAX; i++)
		if (g->soft[i].used && g->soft[i].gva == gva)
			return &g->soft[i];
	return NULL;
}

static bool remove_soft(struct gdb_server *g, struct gdb_soft *b)
{
	uint8_t now;

	if (!b)
		return false;
	b->used = false;
	/* what the guest has written there meanwhile is its own */
	if (mem_read(g->vm->mem, b->gpa, &now, 1) && now == INT3)
		mem_write(g->vm->mem, b->gpa, &b->saved, 1);
	return true;
}

/* By its physical address: the guest may go elsewhere, or map it anew, until it is removed. */
static bool insert_soft(struct gdb_server *g, unsigned int cpu, uint64_t gva)
{
	static const uint8_t int3 = INT3;
	struct minivmm_sregs s;
	struct gdb_soft *b;

	if (find_soft(g, gva))
		return true;
	for (b = g->soft; b < g->soft + GDB_SOFT_MAX && b->used; b++)
		;
	if (b == g->soft + GDB_SOFT_MAX || !get_sregs(g, cpu, &s) ||
	    !walk(g->vm->mem, &s, gva, &b->gpa) || !mem_read(g->vm->mem, b->gpa, &b->saved, 1) ||
	    !mem_write(g->vm->mem, b->gpa, &int3, 1))
		return false;
	b->gva = gva;
	b->used = true;
	return true;
}

static struct gdb_hard *find_hard(struct gdb_server *g, enum gdb_breakpoint kind, uint64_t gva,
				  uint64_t len)
{
	unsigned int i;

	for (i = 0; i < GDB_HARD_MAX; i++)
		if (g->hard[i].used && g->hard[i].kind == kind && g->hard[i].gva == gva &&
		    g->hard[i].len == len)
			return &g->hard[i];
	return NULL;
}

static bool insert_hard(struct gdb_server *g, enum gdb_breakpoint kind, uint64_t gva, uint64_t len)
{
	unsigned int i;

	if ((len != 1 && len != 2 && len != 4 && len != 8) || gva & (len - 1))
		return false;
	if (find_hard(g, kind, gva, len))
		return true;
	for (i = 0; i < GDB_HARD_MAX && g->hard[i].used; i++)
		;
	if (i == GDB_HARD_MAX)
		return false;
	g->hard[i] = (struct gdb_hard) { true, kind, gva, len };
	return true;
}

static bool breakpoint(struct gdb_target *t, unsigned int cpu, bool insert, enum gdb_breakpoint kind,
		       uint64_t gva, uint64_t len)
{
	struct gdb_server *g = server_of(t);
	struct gdb_hard *hard;

	if (kind == GDB_SOFT)
		return insert ? insert_soft(g, cpu, gva) : remove_soft(g, find_soft(g, gva));
	if (kind == GDB_HARD)
		len = 1;
	if (insert)
		return insert_hard(g, kind, gva, len);
	hard = find_hard(g, kind, gva, len);
	if (hard)
		hard->used = false;
	return hard;
}

/* SDM "Debug Control Register (DR7)". */
static uint32_t dr7_of(const struct gdb_server *g)
{
	static const uint8_t length[] = { [1] = 0, [2] = 1, [4] = 3, [8] = 2 };
	static const uint8_t access[] = { [GDB_HARD] = 0, [GDB_WRITE] = 1, [GDB_ACCESS] = 3 };
	uint32_t dr7 = 0;
	unsigned int i;

	for (i = 0; i < GDB_HARD_MAX; i++)
		if (g->hard[i].used)
			dr7 |= DR7_GE_LE | 2u << 2 * i |
			       (uint32_t)(length[g->hard[i].len] << 2 | access[g->hard[i].kind])
			       << (16 + 4 * i);
	return dr7;
}

/* ---- going on and standing ------------------------------------------------------------------------- */

static void set_debug(struct gdb_server *g, unsigned int cpu, uint32_t control)
{
	struct minivmm_guest_debug d = { .control = control, .arch.debugreg[7] = dr7_of(g) };
	unsigned int i;

	if (control & MINIVMM_GUESTDBG_ENABLE && d.arch.debugreg[7])
		d.control |= MINIVMM_GUESTDBG_USE_HW_BP;
	for (i = 0; i < GDB_HARD_MAX; i++)
		d.arch.debugreg[i] = g->hard[i].gva;
	ioctl(g->vm->cpus[cpu].fd, MINIVMM_SET_GUEST_DEBUG, &d);
}

static uint32_t control_of(enum gdb_action action)
{
	/* an interrupt would have the step end in its handler */
	uint32_t step = MINIVMM_GUESTDBG_SINGLESTEP | MINIVMM_GUESTDBG_BLOCKIRQ;

	return MINIVMM_GUESTDBG_ENABLE | MINIVMM_GUESTDBG_USE_SW_BP | (action == GDB_STEP ? step : 0);
}

static void let_go(struct gdb_server *g)
{
	g->standing = false;
	vm_resume(g->vm);
}

static void resume(struct gdb_target *t, const enum gdb_action *actions)
{
	struct gdb_server *g = server_of(t);
	unsigned int i;

	for (i = 0; i < g->vm->nr; i++) {
		g->cpus[i].action = actions[i];
		set_debug(g, i, control_of(actions[i]));
		vm_freeze(g->vm, &g->vm->cpus[i], actions[i] == GDB_HOLD);
	}
	let_go(g);
}

/* Nothing of gdb's stays in the guest. It stands. */
static void forget_everything(struct gdb_server *g)
{
	unsigned int i;

	for (i = 0; i < GDB_SOFT_MAX; i++)
		if (g->soft[i].used)
			remove_soft(g, &g->soft[i]);
	for (i = 0; i < GDB_HARD_MAX; i++)
		g->hard[i].used = false;
	for (i = 0; i < g->vm->nr; i++) {
		set_debug(g, i, 0);
		g->cpus[i].action = GDB_CONTINUE;
		g->cpus[i].hit = false;
		vm_freeze(g->vm, &g->vm->cpus[i], false);
	}
}

static void detach(struct gdb_target *t)
{
	forget_everything(server_of(t));
	let_go(server_of(t));
}

static void kill_machine(struct gdb_target *t)
{
	struct gdb_server *g = server_of(t);

	g->owner->kill(g->owner);
}

static void command(struct gdb_target *t, const char *line, FILE *out)
{
	struct gdb_server *g = server_of(t);

	g->owner->command(g->owner, line, out);
}

/* ---- stops ------------------------------------------------------------------------------------------ */

static const struct gdb_hard *hard_hit(const struct gdb_server *g, uint64_t dr6)
{
	unsigned int i;

	for (i = 0; i < GDB_HARD_MAX; i++)
		if (dr6 >> i & 1 && g->hard[i].used)
			return &g->hard[i];
	return NULL;
}

/* The guest's own exception: it gets it. */
static void pass_on(struct gdb_server *g, struct vcpu *cpu, uint32_t exception, uint64_t dr6)
{
	struct minivmm_debugregs regs;
	uint32_t control = control_of(g->cpus[cpu->id].action);

	if (exception == DB_VECTOR && !ioctl(cpu->fd, MINIVMM_GET_DEBUGREGS, &regs)) {
		regs.dr6 = dr6;
		ioctl(cpu->fd, MINIVMM_SET_DEBUGREGS, &regs);
	}
	set_debug(g, cpu->id, control | (exception == DB_VECTOR ? MINIVMM_GUESTDBG_INJECT_DB :
								   MINIVMM_GUESTDBG_INJECT_BP));
}

void gdb_vcpu_stopped(struct gdb_server *g, struct vcpu *cpu)
{
	uint32_t exception = cpu->run->debug.arch.exception;
	uint64_t dr6 = cpu->run->debug.arch.dr6, one = 1;
	bool stepped = g->cpus[cpu->id].action == GDB_STEP && dr6 & DR6_STEP;
	bool ours = exception == BP_VECTOR ? (bool)find_soft(g, cpu->run->debug.arch.pc) :
					     stepped || hard_hit(g, dr6);

	if (!ours) {
		pass_on(g, cpu, exception, dr6);
		return;
	}
	g->cpus[cpu->id].exception = exception;
	g->cpus[cpu->id].dr6 = dr6;
	g->cpus[cpu->id].hit = true;
	vm_hold(g->vm);
	while (write(g->event_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static void say_why(struct gdb_server *g, unsigned int cpu)
{
	static const char *const names[] = { [GDB_WRITE] = "watch", [GDB_ACCESS] = "awatch" };
	const struct gdb_hard *hard = hard_hit(g, g->cpus[cpu].dr6);
	char what[40] = "";

	if (g->cpus[cpu].exception == BP_VECTOR)
		snprintf(what, sizeof(what), "swbreak:;");
	else if (hard && hard->kind == GDB_HARD)
		snprintf(what, sizeof(what), "hwbreak:;");
	else if (hard)
		snprintf(what, sizeof(what), "%s:%llx;", names[hard->kind],
			 (unsigned long long)hard->gva);
	gdb_stopped(&g->session, cpu, SIGNAL_TRAP, what);
}

/* Forgets which vCPUs were hit, but for one of them, which is returned; -1: none was. */
static int take_hit(struct gdb_server *g)
{
	int i, hit = -1;

	for (i = g->vm->nr - 1; i >= 0; i--) {
		if (g->cpus[i].hit)
			hit = i;
		g->cpus[i].hit = false;
	}
	return hit;
}

/* ---- the client -------------------------------------------------------------------------------------- */

static bool send_all(struct gdb_server *g, const char *data, size_t len)
{
	struct pollfd p = { .fd = g->fd, .events = POLLOUT };
	ssize_t n;

	while (len) {
		n = send(g->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0) {
			data += n;
			len -= n;
		} else if (n < 0 && errno == EAGAIN) {
			if (poll(&p, 1, SEND_PATIENCE_MS) == 0)
				return false;
		} else if (!(n < 0 && errno == EINTR)) {
			return false;
		}
	}
	return true;
}

static void send_reply(struct gdb_server *g)
{
	size_t len;
	const char *packet = gdb_reply_frame(&g->session.reply, &len);

	/* one that doesn't read is found gone by the next read */
	if (!send_all(g, packet, len))
		shutdown(g->fd, SHUT_RDWR);
}

static void send_stop(struct gdb_server *g)
{
	gdb_reply_clear(&g->session.reply);
	gdb_say(&g->session.reply, "%s", g->session.stop);
	send_reply(g);
}

/* The guest is to stand. Return: false: a vCPU doesn't come back. */
static bool stand(struct gdb_server *g)
{
	if (g->standing)
		return true;
	g->standing = vm_pause(g->vm);
	if (!g->standing)
		vm_resume(g->vm);
	vm_drop_holds(g->vm);
	return g->standing;
}

static void hang_up(struct gdb_server *g)
{
	loop_remove(g->loop, g->fd);
	close(g->fd);
	g->fd = -1;
	if (!g->session.ended && stand(g))
		detach(&g->target);
}

static void on_event(void *opaque)
{
	struct gdb_server *g = opaque;
	uint64_t n;
	int cpu;

	if (read(g->event_fd, &n, sizeof(n)) != sizeof(n) || g->standing)
		return;
	if (!stand(g))
		return;
	cpu = take_hit(g);
	if (g->fd < 0 || cpu < 0) {
		let_go(g);
		return;
	}
	say_why(g, cpu);
	send_stop(g);
}

static void interrupt(struct gdb_server *g)
{
	int cpu;

	if (g->standing || !stand(g))
		return;
	cpu = take_hit(g);
	if (cpu >= 0)
		say_why(g, cpu);
	else
		gdb_stopped(&g->session, g->session.cpu, SIGNAL_INT, "");
	send_stop(g);
}

/* Return: false when this client is done with. */
static bool take_byte(struct gdb_server *g, uint8_t byte)
{
	switch (gdb_read_byte(&g->reader, byte)) {
	case GDB_PACKET:
		if (!g->session.no_ack)
			send_all(g, "+", 1);
		/* while the guest runs nothing can be asked */
		if (g->standing && gdb_handle(&g->session, g->reader.buf, g->reader.len))
			send_reply(g);
		return !g->session.ended;
	case GDB_BAD_PACKET:
		if (!g->session.no_ack)
			send_all(g, "-", 1);
		return true;
	case GDB_NAK:
		send_reply(g);
		return true;
	case GDB_INTERRUPT:
		interrupt(g);
		return true;
	default:
		return true;
	}
}

static void on_client(void *opaque)
{
	struct gdb_server *g = opaque;
	uint8_t buf[1024];
	ssize_t i, n = recv(g->fd, buf, sizeof(buf), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	for (i = 0; i < n; i++)
		if (!take_byte(g, buf[i]))
			break;
	if (n <= 0 || i < n)
		hang_up(g);
}

static void on_connection(void *opaque)
{
	struct gdb_server *g = opaque;
	int fd = accept4(g->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), one = 1;

	if (fd < 0)
		return;
	if (g->fd >= 0 || !stand(g) || loop_add(g->loop, fd, NULL, on_client, g, NULL)) {
		close(fd);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	g->fd = fd;
	memset(&g->reader, 0, sizeof(g->reader));
	gdb_session_begin(&g->session, &g->target);
	take_hit(g);
}

/* ---- life ------------------------------------------------------------------------------------------- */

static int listen_path(struct gdb_server *g, const char *path, struct error *err)
{
	g->listen_fd = stream_listen(path, err);
	if (g->listen_fd < 0)
		return -1;
	strcpy(g->path, path);
	return 0;
}

static int listen_port(struct gdb_server *g, const char *where, struct error *err)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	const char *colon = strrchr(where, ':');
	char address[INET_ADDRSTRLEN] = "127.0.0.1", *end;
	unsigned long port = strtoul(colon ? colon + 1 : where, &end, 10);
	int one = 1;

	if (colon && (size_t)(colon - where) < sizeof(address)) {
		memcpy(address, where, colon - where);
		address[colon - where] = 0;
	}
	if (*end || end == where || !port || port > 65535 ||
	    (colon && (size_t)(colon - where) >= sizeof(address)) ||
	    inet_pton(AF_INET, address, &a.sin_addr) != 1)
		return failed(err, "--gdb %s: neither PORT nor ADDRESS:PORT nor a path with a slash",
			      where);
	a.sin_port = htons(port);
	g->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (g->listen_fd >= 0)
		setsockopt(g->listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (g->listen_fd < 0 || bind(g->listen_fd, (struct sockaddr *)&a, sizeof(a)))
		return failed(err, "--gdb %s: %s", where, strerror(errno));
	return 0;
}

int gdb_create(struct gdb_server *g, const char *where, bool wait, struct vm *vm, struct loop *loop,
	       struct gdb_owner *owner, struct error *err)
{
	*g = (struct gdb_server) {
		.target = { read_memory, write_memory, get_state, set_state, breakpoint, resume,
			    detach, kill_machine, command, vm->nr },
		.owner = owner, .vm = vm, .loop = loop, .listen_fd = -1, .event_fd = -1, .fd = -1,
	};
	if (!vm_check_extension(vm, MINIVMM_CAP_SET_GUEST_DEBUG))
		return failed(err, "--gdb: this hypervisor doesn't offer SET_GUEST_DEBUG");
	if (strchr(where, '/') ? listen_path(g, where, err) : listen_port(g, where, err))
		return -1;
	g->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (g->event_fd < 0 || listen(g->listen_fd, 1))
		return failed(err, "--gdb %s: %s", where, strerror(errno));
	if (wait) {
		vm_pause(vm);
		g->standing = true;
	}
	if (loop_add(loop, g->listen_fd, NULL, on_connection, g, err) ||
	    loop_add(loop, g->event_fd, NULL, on_event, g, err))
		return -1;
	return 0;
}

void gdb_destroy(struct gdb_server *g)
{
	if (!g->vm)
		return;
	if (g->fd >= 0) {
		gdb_reply_clear(&g->session.reply);
		gdb_say(&g->session.reply, "W00");
		send_reply(g);
		close(g->fd);
	}
	if (g->listen_fd >= 0)
		close(g->listen_fd);
	if (g->event_fd >= 0)
		close(g->event_fd);
	if (g->path[0])
		unlink(g->path);
}
