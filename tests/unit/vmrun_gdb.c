// SPDX-License-Identifier: GPL-2.0
/*
 * gdb's protocol, on a target that is a piece of memory and a few registers: packets as they come
 * from a socket, what each is answered, and bytes at random (FUZZ_ROUNDS=N for more of them).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gdb_proto.h"

#define CPUS		3
#define MEM_START	0x1000
#define MEM_SIZE	0x2000

struct fake {
	struct gdb_target target;
	struct gdb_cpu_state state[CPUS];
	uint8_t mem[MEM_SIZE];
	enum gdb_action actions[CPUS];
	unsigned int resumed, detached, killed, breakpoints;
	char last[64];
};

static struct fake f;
static struct gdb_session g;
static struct gdb_reader reader;

static bool in_memory(uint64_t gva)
{
	return gva >= MEM_START && gva - MEM_START < MEM_SIZE;
}

static size_t read_fake(struct gdb_target *t, unsigned int cpu, uint64_t gva, void *buf, size_t len)
{
	size_t i;

	(void)t;
	assert_in_range(cpu, 0, CPUS - 1);
	for (i = 0; i < len && in_memory(gva + i); i++)
		((uint8_t *)buf)[i] = f.mem[gva + i - MEM_START];
	return i;
}

static size_t write_fake(struct gdb_target *t, unsigned int cpu, uint64_t gva, const void *buf,
			 size_t len)
{
	size_t i;

	(void)t;
	assert_in_range(cpu, 0, CPUS - 1);
	for (i = 0; i < len && in_memory(gva + i); i++)
		f.mem[gva + i - MEM_START] = ((const uint8_t *)buf)[i];
	return i;
}

static bool get_fake(struct gdb_target *t, unsigned int cpu, struct gdb_cpu_state *s)
{
	(void)t;
	assert_in_range(cpu, 0, CPUS - 1);
	*s = f.state[cpu];
	return true;
}

static bool set_fake(struct gdb_target *t, unsigned int cpu, const struct gdb_cpu_state *s,
		     unsigned int parts)
{
	(void)t;
	assert_in_range(cpu, 0, CPUS - 1);
	if (parts & GDB_REGS)
		f.state[cpu].regs = s->regs;
	if (parts & GDB_SREGS)
		f.state[cpu].sregs = s->sregs;
	if (parts & GDB_FPU)
		f.state[cpu].fpu = s->fpu;
	return true;
}

static bool breakpoint_fake(struct gdb_target *t, unsigned int cpu, bool insert,
			    enum gdb_breakpoint kind, uint64_t gva, uint64_t len)
{
	(void)t;
	assert_in_range(cpu, 0, CPUS - 1);
	assert_in_range(kind, GDB_SOFT, GDB_ACCESS);
	snprintf(f.last, sizeof(f.last), "%d %d %llx %llx", insert, kind, (unsigned long long)gva,
		 (unsigned long long)len);
	f.breakpoints++;
	return in_memory(gva);
}

static void resume_fake(struct gdb_target *t, const enum gdb_action *actions)
{
	(void)t;
	memcpy(f.actions, actions, sizeof(f.actions));
	f.resumed++;
}

static void detach_fake(struct gdb_target *t)
{
	(void)t;
	f.detached++;
}

static void kill_fake(struct gdb_target *t)
{
	(void)t;
	f.killed++;
}

static void command_fake(struct gdb_target *t, const char *line, FILE *out)
{
	(void)t;
	fprintf(out, "<%s>", line);
}

static int setup(void **state)
{
	(void)state;
	memset(&f, 0, sizeof(f));
	memset(&reader, 0, sizeof(reader));
	f.target = (struct gdb_target) {
		read_fake, write_fake, get_fake, set_fake, breakpoint_fake, resume_fake, detach_fake,
		kill_fake, command_fake, CPUS,
	};
	gdb_session_begin(&g, &f.target);
	return 0;
}

static void check(const char *packet, const char *reply, const char *file, int line)
{
	const char *got = "(it runs)";
	int len = strlen(got);

	if (gdb_handle(&g, packet, strlen(packet))) {
		got = g.reply.buf + 1;
		len = g.reply.len;
	}
	reply = reply ?: "(it runs)";
	if ((int)strlen(reply) == len && !memcmp(got, reply, len))
		return;
	print_error("%s: expected \"%s\", got \"%.*s\"\n", packet, reply, len, got);
	_fail(file, line);
}

#define check(packet, reply)	check(packet, reply, __FILE__, __LINE__)

/* ---- packets -------------------------------------------------------------------------------------- */

static enum gdb_event feed(const char *bytes, size_t len)
{
	enum gdb_event e = GDB_NOTHING, last = GDB_NOTHING;

	for (; len; len--) {
		e = gdb_read_byte(&reader, *bytes++);
		if (e != GDB_NOTHING)
			last = e;
	}
	return last;
}

#define FEED(s)	feed(s, sizeof(s) - 1)

static void packets_are_read(void **state)
{
	(void)state;
	assert_int_equal(FEED("$g#67"), GDB_PACKET);
	assert_string_equal(reader.buf, "g");
	assert_int_equal(FEED("noise$#00"), GDB_PACKET);
	assert_int_equal(reader.len, 0);
	assert_int_equal(FEED("$g#68"), GDB_BAD_PACKET);
	assert_int_equal(FEED("$g#6x"), GDB_BAD_PACKET);
	assert_int_equal(FEED("$g#x7"), GDB_BAD_PACKET);
	assert_int_equal(FEED("+"), GDB_ACK);
	assert_int_equal(FEED("-"), GDB_NAK);
	assert_int_equal(FEED("\x03"), GDB_INTERRUPT);
	/* escaped: }, #, $ and * */
	assert_int_equal(FEED("$}]}\x03}\x04}\n#62"), GDB_PACKET);
	assert_string_equal(reader.buf, "}#$*");
	/* Ctrl-C in a packet is data */
	assert_int_equal(FEED("$\x03#03"), GDB_PACKET);
}

static void a_packet_can_be_too_long(void **state)
{
	int i;

	(void)state;
	gdb_read_byte(&reader, '$');
	for (i = 0; i < GDB_PACKET_MAX; i++)
		assert_int_equal(gdb_read_byte(&reader, 0), GDB_NOTHING);
	assert_int_equal(FEED("#00"), GDB_PACKET);
	assert_int_equal(reader.len, GDB_PACKET_MAX);
	gdb_read_byte(&reader, '$');
	for (i = 0; i < 3 * GDB_PACKET_MAX; i++)
		assert_int_equal(gdb_read_byte(&reader, 0), GDB_NOTHING);
	assert_int_equal(FEED("#00"), GDB_BAD_PACKET);
	assert_int_equal(FEED("$g#67"), GDB_PACKET);
}

static void replies_are_framed(void **state)
{
	static struct gdb_reply r;
	size_t len, i;
	const char *p;

	(void)state;
	gdb_say(&r, "OK");
	p = gdb_reply_frame(&r, &len);
	assert_int_equal(len, 6);
	assert_memory_equal(p, "$OK#9a", 6);
	gdb_reply_clear(&r);
	gdb_say_escaped(&r, "a#b}", 4);
	p = gdb_reply_frame(&r, &len);
	assert_memory_equal(p, "$a}\x03" "b}]#", 8);
	gdb_reply_clear(&r);
	for (i = 0; i <= GDB_PACKET_MAX; i++)
		gdb_say(&r, "x");
	p = gdb_reply_frame(&r, &len);
	assert_memory_equal(p, "$E07#", 5);
}

/* ---- what is asked ---------------------------------------------------------------------------------- */

static void registers(void **state)
{
	size_t i, size = 0;

	(void)state;
	f.state[0].regs.rbx = 0x1122334455667788;
	f.state[1].regs.rip = 0xfff0;
	f.state[1].sregs.cs.selector = 0xf000;
	f.state[0].fpu.ftwx = 0x81;
	check("p1", "8877665544332211");
	check("p22", "fc3f0000");	/* the x87 tag word, in full */
	check("Hg2", "OK");
	check("p10", "f0ff000000000000");
	check("p12", "00f00000");
	check("P10=0807060504030201", "OK");
	assert_int_equal(f.state[1].regs.rip, 0x0102030405060708);
	check("P12=34120000", "OK");
	assert_int_equal(f.state[1].sregs.cs.selector, 0x1234);
	check("P10=08", "E01");
	check("P10", "E01");
	check("Pffff=00", "E01");
	check("p1000000000000000000000000", "E01");
	check("p", "E01");
	for (i = 0; i < gdb_nr_regs(); i++)
		size += gdb_reg_size(i);
	assert_true(gdb_handle(&g, "g", 1));
	assert_int_equal(g.reply.len, 2 * size);
}

/* What was read is what is set. */
static void all_registers(void **state)
{
	static char packet[GDB_PACKET_MAX];
	uint8_t *bytes = (uint8_t *)&f.state[0];
	struct gdb_cpu_state before;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(f.state[0]); i++)
		bytes[i] = i * 7;
	assert_true(gdb_handle(&g, "g", 1));
	packet[0] = 'G';
	memcpy(packet + 1, g.reply.buf + 1, g.reply.len);
	before = f.state[0];
	memset(&f.state[0].regs.rax, 0, 8);
	memset(&f.state[0].fpu.xmm, 0, sizeof(f.state[0].fpu.xmm));
	assert_true(gdb_handle(&g, packet, 1 + g.reply.len));
	assert_memory_equal(g.reply.buf + 1, "OK", 2);
	assert_memory_equal(&f.state[0].regs.rax, &before.regs.rax, 8);
	assert_memory_equal(f.state[0].fpu.xmm, before.fpu.xmm, sizeof(before.fpu.xmm));
	check("G00", "E01");
}

static void memory(void **state)
{
	(void)state;
	memcpy(f.mem, "\x12\x34\x56", 3);
	check("m1000,3", "123456");
	check("m2fff,10", "00");
	check("m3000,1", "E01");
	check("mfffffffffffffff0,20", "E01");
	check("m1000,0", "");
	check("M1001,2:abcd", "OK");
	check("m1000,3", "12abcd");
	check("M1001,2:ab", "E01");
	check("M2fff,2:abcd", "E01");
	check("X1000,2:\x01\x02", "OK");
	check("m1000,2", "0102");
	check("X1000,3:\x01\x02", "E01");
	check("M1000,ffffffffffffffff:00", "E01");
	check("m1000", "E01");
	check("m,", "E01");
	check("m", "E01");
	assert_true(gdb_handle(&g, "m1000,ffffffff", 14));
	assert_int_equal(g.reply.len, 2 * 0x1000);
}

static void breakpoints(void **state)
{
	(void)state;
	check("Z0,1000,1", "OK");
	assert_string_equal(f.last, "1 0 1000 1");
	check("z1,1004,4", "OK");
	assert_string_equal(f.last, "0 1 1004 4");
	check("Z4,9000,1", "E01");
	assert_int_equal(f.breakpoints, 3);
	check("Z3,1000,1", "");		/* not known: no CPU can */
	check("Z5,1000,1", "");
	check("Z2,1000", "E01");
	check("Z", "E01");
	assert_int_equal(f.breakpoints, 3);
}

static void check_actions(enum gdb_action a, enum gdb_action b, enum gdb_action c)
{
	assert_int_equal(f.actions[0], a);
	assert_int_equal(f.actions[1], b);
	assert_int_equal(f.actions[2], c);
}

static void going_on(void **state)
{
	(void)state;
	check("c", NULL);
	check_actions(GDB_CONTINUE, GDB_CONTINUE, GDB_CONTINUE);
	check("Hc2", "OK");
	check("s", NULL);
	check_actions(GDB_CONTINUE, GDB_STEP, GDB_CONTINUE);
	check("s1234", NULL);
	assert_int_equal(f.state[1].regs.rip, 0x1234);
	check("C05", NULL);
	check("vCont;s:2;c", NULL);
	check_actions(GDB_CONTINUE, GDB_STEP, GDB_CONTINUE);
	check("vCont;s:3", NULL);
	check_actions(GDB_HOLD, GDB_HOLD, GDB_STEP);
	check("vCont;C05:1;S05:-1", NULL);
	check_actions(GDB_CONTINUE, GDB_STEP, GDB_STEP);
	assert_int_equal(f.resumed, 7);
	check("vCont;", "E01");
	check("vCont;x", "E01");
	check("vCont;c:4", "E01");
	check("vCont;c:", "E01");
	check("vCont;cx", "E01");
	check("czz", "E01");
	check("C", "E01");
	assert_int_equal(f.resumed, 7);
	check("vCont?", "vCont;c;C;s;S");
}

static void threads_and_stops(void **state)
{
	(void)state;
	check("?", "T05thread:1;");
	check("qfThreadInfo", "m1,2,3");
	check("qsThreadInfo", "l");
	check("qThreadExtraInfo,2", "764350552031");
	check("qThreadExtraInfo,9", "E01");
	check("T3", "OK");
	check("T4", "E01");
	check("Hg4", "E01");
	check("Hg-1", "OK");
	gdb_stopped(&g, 2, 5, "swbreak:;");
	check("?", "T05thread:3;swbreak:;");
	check("qC", "QC3");
	check("Hg0", "OK");
	check("qC", "QC3");
}

static void the_rest(void **state)
{
	const char *xml = gdb_target_xml();
	char text[3 * GDB_PACKET_MAX] = "";
	unsigned int at;

	(void)state;
	check("qAttached", "1");
	check("qRcmd,68690a", "3c68690a3e");
	check("qRcmd,6", "3c3e");
	check("qRcmd,zz", "E01");
	check("qSymbol::", "");
	check("vMustReplyEmpty", "");
	check("", "");
	check("QStartNoAckMode", "OK");
	assert_true(g.no_ack);
	/* in pieces */
	for (at = 0; at < strlen(xml); at += 100) {
		char packet[64];

		snprintf(packet, sizeof(packet), "qXfer:features:read:target.xml:%x,64", at);
		assert_true(gdb_handle(&g, packet, strlen(packet)));
		assert_int_equal(g.reply.buf[1], at + 100 < strlen(xml) ? 'm' : 'l');
		strncat(text, g.reply.buf + 2, g.reply.len - 1);
	}
	assert_string_equal(text, xml);
	assert_non_null(strstr(xml, "</target>"));
	check("qXfer:features:read:target.xml:fffff,64", "E01");
	check("qXfer:features:read:other.xml:0,64", "");
	check("D", "OK");
	assert_int_equal(f.detached, 1);
	assert_true(g.ended);
	check("k", "OK");
	check("vKill;1", "OK");
	assert_int_equal(f.killed, 2);
}

/* ---- at random ------------------------------------------------------------------------------------ */

static uint64_t seed = 0x9e3779b97f4a7c15;

static uint64_t below(uint64_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % n;
}

static size_t random_packet(char *p)
{
	static const char *const begins[] = {
		"g", "G", "p", "P10=", "m1000,", "M1000,4:", "X1000,", "Z0,1000,", "z", "c", "s", "C05",
		"vCont;", "vCont;s:", "H", "Hg", "T", "q", "qRcmd,", "qThreadExtraInfo,", "D", "k", "",
		"qXfer:features:read:target.xml:", "qSupported", "vKill;",
	};
	static const char usual[] = "0123456789abcdef,;:=-#$}*csCS";
	size_t len = 0, n = below(4) ? below(40) : below(GDB_PACKET_MAX);

	len = sprintf(p, "%s", begins[below(sizeof(begins) / sizeof(begins[0]))]);
	while (n-- && len < GDB_PACKET_MAX)
		p[len++] = below(8) ? usual[below(sizeof(usual) - 1)] : (char)below(256);
	return len;
}

static void hostile_packets(void **state)
{
	const char *more = getenv("FUZZ_ROUNDS");
	unsigned long rounds = more ? strtoul(more, NULL, 0) : 20000;
	static char packet[GDB_PACKET_MAX + 64];
	size_t len;

	(void)state;
	while (rounds--) {
		/* at its exact size, so that the sanitizer sees what is read behind it */
		char *exact;

		len = random_packet(packet);
		exact = malloc(len ?: 1);
		memcpy(exact, packet, len);
		gdb_handle(&g, exact, len);
		gdb_reply_frame(&g.reply, &len);
		assert_in_range(len, 4, sizeof(g.reply.buf));
		free(exact);
	}
}

static void hostile_bytes(void **state)
{
	static const char usual[] = "$#}+-\x03" "gmc0";
	unsigned long i;

	(void)state;
	for (i = 0; i < 2000000; i++) {
		uint8_t byte = below(256);

		if (below(4))
			byte = usual[below(sizeof(usual) - 1)];
		if (gdb_read_byte(&reader, byte) == GDB_PACKET)
			assert_int_equal(reader.buf[reader.len], 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(packets_are_read, setup),
		cmocka_unit_test_setup(a_packet_can_be_too_long, setup),
		cmocka_unit_test_setup(replies_are_framed, setup),
		cmocka_unit_test_setup(registers, setup),
		cmocka_unit_test_setup(all_registers, setup),
		cmocka_unit_test_setup(memory, setup),
		cmocka_unit_test_setup(breakpoints, setup),
		cmocka_unit_test_setup(going_on, setup),
		cmocka_unit_test_setup(threads_and_stops, setup),
		cmocka_unit_test_setup(the_rest, setup),
		cmocka_unit_test_setup(hostile_packets, setup),
		cmocka_unit_test_setup(hostile_bytes, setup),
	};

	return cmocka_run_group_tests_name("vmrun gdb", tests, NULL, NULL);
}
