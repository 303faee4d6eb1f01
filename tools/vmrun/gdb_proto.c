// SPDX-License-Identifier: GPL-2.0
#include <stdlib.h>
#include <string.h>

#include "gdb_proto.h"

#define SIGNAL_TRAP	5
#define CHUNK		0x1000		/* memory in one packet, in bytes */

/* A packet behind the letters that chose who handles it. */
struct packet {
	const char *p, *end;
};

static bool take(struct packet *a, const char *text)
{
	size_t len = strlen(text);

	if ((size_t)(a->end - a->p) < len || memcmp(a->p, text, len))
		return false;
	a->p += len;
	return true;
}

static void fine(struct gdb_session *g)
{
	gdb_say(&g->reply, "OK");
}

static void refuse(struct gdb_session *g)
{
	gdb_say(&g->reply, "E01");
}

static void finish(struct gdb_session *g, bool done)
{
	if (done)
		fine(g);
	else
		refuse(g);
}

/* A thread's id: cpu; -1 = all, and 0 = any, are the one that was chosen last. */
static bool take_thread(struct gdb_session *g, struct packet *a, unsigned int *cpu, bool *all)
{
	uint64_t id;

	*all = false;
	if (take(a, "-1")) {
		*all = true;
		*cpu = g->cpu;
		return true;
	}
	if (!gdb_take_number(&a->p, a->end, &id) || id > g->target->cpus)
		return false;
	*cpu = id ? id - 1 : g->cpu;
	return true;
}

/* ---- registers --------------------------------------------------------------------------------- */

static void get_all(struct gdb_session *g, struct packet *a)
{
	uint8_t value[GDB_REG_SIZE_MAX];
	struct gdb_cpu_state s;
	unsigned int n;

	(void)a;
	if (!g->target->get_state(g->target, g->cpu, &s)) {
		refuse(g);
		return;
	}
	for (n = 0; n < gdb_nr_regs(); n++) {
		gdb_reg_get(&s, n, value);
		gdb_say_hex(&g->reply, value, gdb_reg_size(n));
	}
}

static void set_all(struct gdb_session *g, struct packet *a)
{
	uint8_t value[GDB_REG_SIZE_MAX];
	unsigned int n, parts = 0;
	struct gdb_cpu_state s;

	if (!g->target->get_state(g->target, g->cpu, &s)) {
		refuse(g);
		return;
	}
	for (n = 0; n < gdb_nr_regs(); n++) {
		if (!gdb_take_bytes(&a->p, a->end, value, gdb_reg_size(n)))
			break;
		parts |= gdb_reg_set(&s, n, value);
	}
	finish(g, a->p == a->end && g->target->set_state(g->target, g->cpu, &s, parts));
}

static void get_one(struct gdb_session *g, struct packet *a)
{
	uint8_t value[GDB_REG_SIZE_MAX];
	struct gdb_cpu_state s;
	uint64_t n;

	if (!gdb_take_number(&a->p, a->end, &n) || n >= gdb_nr_regs() ||
	    !g->target->get_state(g->target, g->cpu, &s)) {
		refuse(g);
		return;
	}
	gdb_reg_get(&s, n, value);
	gdb_say_hex(&g->reply, value, gdb_reg_size(n));
}

static void set_one(struct gdb_session *g, struct packet *a)
{
	uint8_t value[GDB_REG_SIZE_MAX];
	struct gdb_cpu_state s;
	unsigned int part;
	uint64_t n;

	if (!gdb_take_number(&a->p, a->end, &n) || n >= gdb_nr_regs() ||
	    !gdb_take_char(&a->p, a->end, '=') ||
	    !gdb_take_bytes(&a->p, a->end, value, gdb_reg_size(n)) ||
	    !g->target->get_state(g->target, g->cpu, &s)) {
		refuse(g);
		return;
	}
	part = gdb_reg_set(&s, n, value);
	finish(g, part && g->target->set_state(g->target, g->cpu, &s, part));
}

/* ---- memory ------------------------------------------------------------------------------------ */

static bool take_range(struct packet *a, uint64_t *gva, uint64_t *len)
{
	return gdb_take_number(&a->p, a->end, gva) && gdb_take_char(&a->p, a->end, ',') &&
	       gdb_take_number(&a->p, a->end, len);
}

static void read_memory(struct gdb_session *g, struct packet *a)
{
	uint8_t buf[CHUNK];
	uint64_t gva, len;
	size_t n;

	if (!take_range(a, &gva, &len)) {
		refuse(g);
		return;
	}
	n = g->target->read(g->target, g->cpu, gva, buf, len < CHUNK ? len : CHUNK);
	if (len && !n)
		refuse(g);
	else
		gdb_say_hex(&g->reply, buf, n);
}

static void write_memory(struct gdb_session *g, struct packet *a)
{
	uint8_t buf[GDB_PACKET_MAX / 2];
	uint64_t gva, len;

	finish(g, take_range(a, &gva, &len) && gdb_take_char(&a->p, a->end, ':') &&
		  len <= sizeof(buf) && gdb_take_bytes(&a->p, a->end, buf, len) &&
		  g->target->write(g->target, g->cpu, gva, buf, len) == len);
}

static void write_binary(struct gdb_session *g, struct packet *a)
{
	uint64_t gva, len;

	finish(g, take_range(a, &gva, &len) && gdb_take_char(&a->p, a->end, ':') &&
		  len == (uint64_t)(a->end - a->p) &&
		  g->target->write(g->target, g->cpu, gva, a->p, len) == len);
}

/* ---- breakpoints --------------------------------------------------------------------------------- */

static void set_breakpoint(struct gdb_session *g, struct packet *a, bool insert)
{
	uint64_t kind, gva, len;

	if (!gdb_take_number(&a->p, a->end, &kind) || !gdb_take_char(&a->p, a->end, ',') ||
	    !take_range(a, &gva, &len)) {
		refuse(g);
		return;
	}
	/* nothing said: there is no such kind. A CPU can't watch for reads alone */
	if (kind > GDB_ACCESS || kind == GDB_READ)
		return;
	finish(g, g->target->breakpoint(g->target, g->cpu, insert, kind, gva, len));
}

static void insert_breakpoint(struct gdb_session *g, struct packet *a)
{
	set_breakpoint(g, a, true);
}

static void remove_breakpoint(struct gdb_session *g, struct packet *a)
{
	set_breakpoint(g, a, false);
}

/* ---- going on ------------------------------------------------------------------------------------ */

static bool jump(struct gdb_session *g, uint64_t rip)
{
	struct gdb_cpu_state s;

	if (!g->target->get_state(g->target, g->resumed_cpu, &s))
		return false;
	s.regs.rip = rip;
	return g->target->set_state(g->target, g->resumed_cpu, &s, GDB_REGS);
}

/* c, s, and with a signal, which no guest takes: [SIGNAL;][ADDRESS]. False: it is refused. */
static bool go_on(struct gdb_session *g, struct packet *a, bool signal, enum gdb_action action)
{
	enum gdb_action actions[CPUS_MAX];
	uint64_t value;
	unsigned int i;

	if (signal && (!gdb_take_number(&a->p, a->end, &value) ||
		       (a->p < a->end && !gdb_take_char(&a->p, a->end, ';'))))
		return false;
	if (a->p < a->end && (!gdb_take_number(&a->p, a->end, &value) || !jump(g, value)))
		return false;
	for (i = 0; i < g->target->cpus; i++)
		actions[i] = GDB_CONTINUE;
	actions[g->resumed_cpu] = action;
	g->target->resume(g->target, actions);
	return true;
}

static bool take_action(struct packet *a, enum gdb_action *action)
{
	uint64_t signal;
	char c = a->p < a->end ? *a->p++ : 0;

	if ((c == 'C' || c == 'S') && !gdb_take_number(&a->p, a->end, &signal))
		return false;
	*action = c == 's' || c == 'S' ? GDB_STEP : GDB_CONTINUE;
	return c && strchr("cCsS", c);
}

/* vCont;ACTION[:THREAD]…: for each thread the first that fits. */
static bool go_on_by_thread(struct gdb_session *g, struct packet *a)
{
	enum gdb_action actions[CPUS_MAX] = { GDB_HOLD }, action;
	bool given[CPUS_MAX] = { false }, all, any = false;
	unsigned int i, cpu;

	while (take(a, ";")) {
		all = true;
		cpu = 0;
		if (!take_action(a, &action) || (take(a, ":") && !take_thread(g, a, &cpu, &all)))
			return false;
		for (i = 0; i < g->target->cpus; i++)
			if ((all || i == cpu) && !given[i]) {
				given[i] = any = true;
				actions[i] = action;
			}
	}
	if (!any || a->p < a->end)
		return false;
	g->target->resume(g->target, actions);
	return true;
}

/* ---- questions ------------------------------------------------------------------------------------ */

static void q_supported(struct gdb_session *g, struct packet *a)
{
	(void)a;
	gdb_say(&g->reply, "PacketSize=%x;qXfer:features:read+;QStartNoAckMode+;swbreak+;hwbreak+;vContSupported+",
		GDB_PACKET_MAX);
}

static void q_no_ack(struct gdb_session *g, struct packet *a)
{
	(void)a;
	g->no_ack = true;
	fine(g);
}

static void q_features(struct gdb_session *g, struct packet *a)
{
	const char *xml = gdb_target_xml();
	uint64_t at, len, size = strlen(xml);

	if (!take_range(a, &at, &len) || at > size) {
		refuse(g);
		return;
	}
	/* escaped it may be twice as long */
	if (len > GDB_PACKET_MAX / 2 - 1)
		len = GDB_PACKET_MAX / 2 - 1;
	gdb_say(&g->reply, "%c", size - at > len ? 'm' : 'l');
	gdb_say_escaped(&g->reply, xml + at, size - at > len ? len : size - at);
}

static void q_threads(struct gdb_session *g, struct packet *a)
{
	unsigned int i;

	(void)a;
	for (i = 0; i < g->target->cpus; i++)
		gdb_say(&g->reply, "%c%x", i ? ',' : 'm', i + 1);
}

static void q_no_more_threads(struct gdb_session *g, struct packet *a)
{
	(void)a;
	gdb_say(&g->reply, "l");
}

static void q_thread_text(struct gdb_session *g, struct packet *a)
{
	char text[32];
	unsigned int cpu;
	bool all;

	if (!take_thread(g, a, &cpu, &all)) {
		refuse(g);
		return;
	}
	snprintf(text, sizeof(text), "vCPU %u", cpu);
	gdb_say_hex(&g->reply, text, strlen(text));
}

static void q_current(struct gdb_session *g, struct packet *a)
{
	(void)a;
	gdb_say(&g->reply, "QC%x", g->cpu + 1);
}

static void q_attached(struct gdb_session *g, struct packet *a)
{
	(void)a;
	gdb_say(&g->reply, "1");
}

/* gdb's `monitor COMMAND` */
static void q_command(struct gdb_session *g, struct packet *a)
{
	size_t n = (a->end - a->p) / 2, size;
	char line[256], *text = NULL;
	FILE *out;

	if (n >= sizeof(line) || !gdb_take_bytes(&a->p, a->end, line, n)) {
		refuse(g);
		return;
	}
	line[n] = 0;
	out = open_memstream(&text, &size);
	if (!out) {
		refuse(g);
		return;
	}
	g->target->command(g->target, line, out);
	fclose(out);
	if (size > GDB_PACKET_MAX / 2)
		size = GDB_PACKET_MAX / 2;
	if (size)
		gdb_say_hex(&g->reply, text, size);
	else
		fine(g);
	free(text);
}

static void v_actions(struct gdb_session *g, struct packet *a)
{
	(void)a;
	gdb_say(&g->reply, "vCont;c;C;s;S");
}

static void kill_it(struct gdb_session *g, struct packet *a)
{
	(void)a;
	g->ended = true;
	fine(g);
	g->target->kill(g->target);
}

/* By what they begin with. Nothing said: not known. */
static const struct {
	const char *name;
	void (*handle)(struct gdb_session *g, struct packet *a);
} questions[] = {
	{ "qSupported", q_supported },
	{ "QStartNoAckMode", q_no_ack },
	{ "qXfer:features:read:target.xml:", q_features },
	{ "qfThreadInfo", q_threads },
	{ "qsThreadInfo", q_no_more_threads },
	{ "qThreadExtraInfo,", q_thread_text },
	{ "qC", q_current },
	{ "qAttached", q_attached },
	{ "qRcmd,", q_command },
	{ "vCont?", v_actions },
	{ "vKill;", kill_it },
};

static void ask(struct gdb_session *g, struct packet *a)
{
	size_t i;

	for (i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
		if (take(a, questions[i].name)) {
			questions[i].handle(g, a);
			return;
		}
	}
}

/* ---- by the first letter ------------------------------------------------------------------------- */

static void why_stopped(struct gdb_session *g, struct packet *a)
{
	(void)a;
	gdb_say(&g->reply, "%s", g->stop);
}

static void choose_thread(struct gdb_session *g, struct packet *a)
{
	char for_what = a->p < a->end ? *a->p++ : 0;
	unsigned int cpu;
	bool all;

	if (!take_thread(g, a, &cpu, &all)) {
		refuse(g);
		return;
	}
	if (for_what == 'g')
		g->cpu = cpu;
	g->resumed_cpu = cpu;
	fine(g);
}

static void is_there(struct gdb_session *g, struct packet *a)
{
	unsigned int cpu;
	bool all;

	finish(g, take_thread(g, a, &cpu, &all));
}

static void detach(struct gdb_session *g, struct packet *a)
{
	(void)a;
	g->ended = true;
	fine(g);
	g->target->detach(g->target);
}

static const struct {
	char letter;
	void (*handle)(struct gdb_session *g, struct packet *a);
} commands[] = {
	{ '?', why_stopped }, { 'H', choose_thread }, { 'T', is_there },
	{ 'g', get_all }, { 'G', set_all }, { 'p', get_one }, { 'P', set_one },
	{ 'm', read_memory }, { 'M', write_memory }, { 'X', write_binary },
	{ 'Z', insert_breakpoint }, { 'z', remove_breakpoint },
	{ 'D', detach }, { 'k', kill_it },
};

bool gdb_handle(struct gdb_session *g, const char *packet, size_t len)
{
	struct packet a = { packet, packet + len };
	bool runs = false, is_run = true;
	size_t i;

	gdb_reply_clear(&g->reply);
	if (take(&a, "vCont;")) {
		a.p--;
		runs = go_on_by_thread(g, &a);
	} else if (take(&a, "c") || take(&a, "C")) {
		runs = go_on(g, &a, *packet == 'C', GDB_CONTINUE);
	} else if (take(&a, "s") || take(&a, "S")) {
		runs = go_on(g, &a, *packet == 'S', GDB_STEP);
	} else {
		is_run = false;
	}
	if (is_run) {
		if (!runs)
			refuse(g);
		return !runs;
	}
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (len && *packet == commands[i].letter) {
			a.p++;
			commands[i].handle(g, &a);
			return true;
		}
	}
	ask(g, &a);
	return true;
}

void gdb_stopped(struct gdb_session *g, unsigned int cpu, unsigned int signal, const char *what)
{
	g->cpu = g->resumed_cpu = cpu;
	snprintf(g->stop, sizeof(g->stop), "T%02xthread:%x;%s", signal, cpu + 1, what);
}

void gdb_session_begin(struct gdb_session *g, struct gdb_target *t)
{
	memset(g, 0, sizeof(*g));
	g->target = t;
	gdb_stopped(g, 0, SIGNAL_TRAP, "");
}
