// SPDX-License-Identifier: GPL-2.0
/* Streams, and what lies on them: the second serial port and the virtio console. */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_console.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "patience.h"
#include "stream.h"
#include "virtio.h"
#include "vmrun_driver.h"

#define MULTIPORT	(1ULL << VIRTIO_CONSOLE_F_MULTIPORT)
#define CONTROL_IN	2
#define CONTROL_OUT	3
#define AT(i)		(BUFFERS_AT + (i) * 0x1000U)

static char file[] = "/tmp/vmrun-ports-XXXXXX", sock[64], where[80];

static void turn(struct loop *loop)
{
	struct error err;

	assert_int_equal(loop_once(loop, 0, &err), 0);
}

static int dial(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	strcpy(a.sun_path, sock);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static void put_text(struct stream *s, const char *text)
{
	s->chr.write(&s->chr, text, strlen(text));
}

static void assert_reads(int fd, const char *text)
{
	char got[100];
	ssize_t n = read(fd, got, sizeof(got) - 1);

	assert_true(n >= 0);
	got[n] = 0;
	assert_string_equal(got, text);
}

static unsigned int came, drained;

static void on_notify(void *opaque)
{
	(void)opaque;
	came++;
}

static void on_drained(void *opaque)
{
	(void)opaque;
	drained++;
}

static struct stream s;
static struct loop loop;

static void open_stream(const char *target)
{
	struct error err;

	assert_int_equal(loop_create(&loop, &err), 0);
	if (stream_open(&s, target, "test", &loop, &err))
		fail_msg("%s", err.text);
	s.chr.notify = on_notify;
	s.drained = on_drained;
	came = drained = 0;
}

static void close_stream(void)
{
	stream_close(&s);
	loop_destroy(&loop);
}

static void to_a_file(void **state)
{
	int fd;

	(void)state;
	open_stream(file);
	put_text(&s, "hello");
	turn(&loop);
	fd = open(file, O_RDONLY);
	assert_reads(fd, "hello");
	close(fd);
	assert_int_equal(stream_room(&s), STREAM_BUFFER);
	close_stream();
}

static void to_a_socket(void **state)
{
	static char much[STREAM_BUFFER];
	size_t sent = 0, got = 0;
	char bytes[STREAM_INPUT + 10];
	ssize_t n;
	int fd, other, i;

	(void)state;
	open_stream(where);
	put_text(&s, "nobody hears");
	assert_int_equal(s.lost, 12);
	fd = dial();
	turn(&loop);
	put_text(&s, "somebody");
	assert_reads(fd, "somebody");
	assert_int_equal(write(fd, "keys", 4), 4);
	turn(&loop);
	assert_int_equal(came, 1);
	assert_int_equal(s.chr.read(&s.chr, bytes, 3), 3);
	assert_memory_equal(bytes, "key", 3);
	assert_int_equal(s.chr.read(&s.chr, bytes, 3), 1);
	assert_int_equal(s.chr.read(&s.chr, bytes, 3), 0);

	/* One who doesn't read: it comes to rest, and goes on when he does. */
	memset(much, 'x', sizeof(much));
	while ((n = stream_room(&s)) > 0 && sent < 16 << 20) {
		s.chr.write(&s.chr, much, n);
		sent += n;
		turn(&loop);
	}
	assert_int_equal(stream_room(&s), 0);
	assert_int_equal(drained, 0);
	for (i = 0; i < 100000 && got < sent; i++) {
		n = read(fd, much, sizeof(much));
		got += n > 0 ? n : 0;
		turn(&loop);
	}
	assert_int_equal(got, sent);
	assert_int_equal(drained, 1);

	/* Input waits until it is taken. */
	memset(much, 'y', sizeof(much));
	assert_int_equal(write(fd, much, STREAM_INPUT + 5), STREAM_INPUT + 5);
	for (i = 0; i < 5; i++)
		turn(&loop);
	assert_int_equal(s.chr.read(&s.chr, bytes, sizeof(bytes)), STREAM_INPUT);
	turn(&loop);
	assert_int_equal(s.chr.read(&s.chr, bytes, sizeof(bytes)), 5);

	/* The next one may come when he has gone. */
	close(fd);
	turn(&loop);
	other = dial();
	turn(&loop);
	put_text(&s, "again");
	assert_reads(other, "again");
	close(other);
	put_text(&s, "into the void");
	turn(&loop);
	turn(&loop);
	assert_int_equal(s.fd, -1);
	close_stream();
	unlink(sock);
}

static void to_a_pty(void **state)
{
	char path[64], bytes[10];
	struct error err;
	size_t n = 0;
	int fd;

	(void)state;
	open_stream("pty");
	assert_int_equal(ptsname_r(s.fd, path, sizeof(path)), 0);
	put_text(&s, "nobody hears");
	assert_int_equal(s.lost, 12);
	fd = open(path, O_RDWR | O_NOCTTY);
	assert_true(fd >= 0);
	put_text(&s, "line\n");
	assert_reads(fd, "line\n");
	assert_int_equal(write(fd, "key", 3), 3);
	while (n < 3) {		/* the kernel passes it on when it finds the time */
		assert_int_equal(loop_once(&loop, PATIENCE_MS, &err), 0);
		n += s.chr.read(&s.chr, bytes + n, 10 - n);
	}
	assert_memory_equal(bytes, "key", 3);
	close(fd);
	assert_int_equal(loop_once(&loop, 0, &err), 0);
	put_text(&s, "nobody");
	assert_int_equal(s.lost, 18);
	close_stream();
}

static void second_serial_port(void **state)
{
	const struct device_env more = { .serial2 = where };
	struct fake *f = fake_machine_more(NULL, 0, &more);
	int fd;

	(void)state;
	assert_int_equal(inb(f, 0x2f8 + 5), 0x60);
	outb(f, 0x2f8 + 7, 0x5a);
	assert_int_equal(inb(f, 0x2f8 + 7), 0x5a);
	assert_int_equal(inb(f, 0x3f8 + 7), 0);
	fd = dial();
	turn(&f->loop);
	outb(f, 0x2f8, 'A');
	assert_reads(fd, "A");
	assert_int_equal(f->out_len, 0);
	outb(f, 0x2f8 + 1, 1);
	outb(f, 0x2f8 + 4, 8);
	assert_int_equal(write(fd, "k", 1), 1);
	turn(&f->loop);
	assert_int_equal(f->level[3], 1);
	assert_int_equal(inb(f, 0x2f8), 'k');
	assert_int_equal(f->level[3], 0);
	assert_int_equal(f->moves[4], 0);
	close(fd);
	fake_destroy(f);
	unlink(sock);

	f = fake_machine();
	assert_int_equal(inb(f, 0x2f8 + 5), 0xff);
	fake_destroy(f);
}

/* ---- the virtio console ---------------------------------------------------------------------- */

static void say(struct driver *d, uint32_t id, uint16_t event, uint16_t value)
{
	struct virtio_console_control m = { id, event, value };
	struct buffer b = { AT(30), sizeof(m), false };

	memcpy(mem_at(&d->f->mem, AT(30), sizeof(m)), &m, sizeof(m));
	driver_do(d, CONTROL_OUT, &b, 1);
}

/* The next message; name: room for what follows it. */
static bool hear(struct driver *d, struct virtio_console_control *m, char *name)
{
	struct buffer b = { AT(31), 64, true };
	unsigned int id;
	uint32_t len;
	uint8_t *p = mem_at(&d->f->mem, AT(31), 64);

	if (!driver_used(d, CONTROL_IN, &id, &len))
		return false;
	memcpy(m, p, sizeof(*m));
	memcpy(name, p + sizeof(*m), len - sizeof(*m));
	name[len - sizeof(*m)] = 0;
	driver_add(d, CONTROL_IN, &b, 1);
	driver_kick(d, CONTROL_IN);
	return true;
}

static void expect(struct driver *d, uint32_t id, uint16_t event, const char *with)
{
	struct virtio_console_control m;
	char name[64];

	assert_true(hear(d, &m, name));
	assert_int_equal(m.id, id);
	assert_int_equal(m.event, event);
	assert_string_equal(name, with);
}

static const struct port_options ports[] = { { "first", where }, { "second", file } };

static void console_ports(void **state)
{
	const struct device_env more = { .console_ports = ports, .nr_ports = 2 };
	static const uint64_t all_features[] = { SPLIT | MULTIPORT, PACKED | EVENTS | MULTIPORT };
	struct fake *f = fake_machine_more(NULL, 0, &more);
	struct buffer listening = { AT(31), 64, true }, b = { AT(0), 5, false };
	struct driver d;
	unsigned int i, id;
	uint32_t len;
	int fd;

	(void)state;
	driver_find(&d, f, VIRTIO_ID_CONSOLE, 0);
	assert_int_equal(reg_get(&d, CONFIG + 4, 4), 2);
	fd = dial();
	turn(&f->loop);
	for (i = 0; i < 2; i++) {
		driver_start(&d, all_features[i], 8);
		driver_add(&d, CONTROL_IN, &listening, 1);
		driver_kick(&d, CONTROL_IN);
		say(&d, VIRTIO_CONSOLE_BAD_ID, VIRTIO_CONSOLE_DEVICE_READY, 1);
		expect(&d, 0, VIRTIO_CONSOLE_PORT_ADD, "");
		expect(&d, 1, VIRTIO_CONSOLE_PORT_ADD, "");
		say(&d, 1, VIRTIO_CONSOLE_PORT_READY, 1);
		expect(&d, 1, VIRTIO_CONSOLE_PORT_NAME, "second");
		expect(&d, 1, VIRTIO_CONSOLE_PORT_OPEN, "");
		say(&d, 2, VIRTIO_CONSOLE_PORT_READY, 1);		/* isn't there */
		say(&d, 0, VIRTIO_CONSOLE_PORT_READY, 0);		/* couldn't be added */
		say(&d, 0, 99, 1);
		assert_false(driver_used(&d, CONTROL_IN, &id, &len));

		memcpy(mem_at(&f->mem, AT(0), 5), "hello", 5);
		driver_do(&d, 1, &b, 1);
		assert_reads(fd, "hello");
		b.in = true;
		driver_add(&d, 0, &b, 1);
		driver_kick(&d, 0);
		assert_false(driver_used(&d, 0, &id, &len));
		assert_int_equal(write(fd, "keys", 4), 4);
		turn(&f->loop);
		assert_true(driver_used(&d, 0, &id, &len));
		assert_int_equal(len, 4);
		assert_memory_equal(mem_at(&f->mem, AT(0), 4), "keys", 4);
		b.in = false;
	}
	/* More messages than it keeps */
	for (i = 0; i < 1000; i++)
		say(&d, 0, VIRTIO_CONSOLE_PORT_READY, 1);
	assert_int_equal(status(&d), STARTED);
	close(fd);
	fake_destroy(f);
	unlink(sock);
}

/* Much at once to one who doesn't read: the guest waits, nothing else does. */
static void console_waits_for_readers(void **state)
{
	const struct device_env more = { .console_ports = ports, .nr_ports = 1 };
	struct fake *f = fake_machine_more(NULL, 0, &more);
	struct buffer b = { AT(0), 0x80000, false };
	static char got[65536];
	size_t total = 0;
	struct driver d;
	unsigned int id, i, sent = 0;
	uint32_t len;
	ssize_t n;
	int fd;

	(void)state;
	driver_find(&d, f, VIRTIO_ID_CONSOLE, 0);
	driver_start(&d, SPLIT | MULTIPORT, 8);
	driver_do(&d, 1, &b, 1);			/* nobody there: it is gone at once */
	fd = dial();
	turn(&f->loop);
	do {
		driver_add(&d, 1, &b, 1);
		driver_kick(&d, 1);
		sent++;
	} while (driver_used(&d, 1, &id, &len) && sent < 100);
	assert_in_range(sent, 1, 99);
	for (i = 0; i < 100000 && total < (size_t)sent * b.len; i++) {
		n = read(fd, got, sizeof(got));
		total += n > 0 ? n : 0;
		turn(&f->loop);
	}
	assert_int_equal(total, (size_t)sent * b.len);
	assert_true(driver_used(&d, 1, &id, &len));
	/* A reset in the middle */
	for (i = 0; i < 8; i++)
		driver_add(&d, 1, &b, 1);
	driver_kick(&d, 1);
	driver_negotiate(&d, SPLIT | MULTIPORT);
	for (i = 0; i < 100; i++) {
		n = read(fd, got, sizeof(got));
		turn(&f->loop);
	}
	close(fd);
	fake_destroy(f);
	unlink(sock);
}

static void terminal_on_hvc0(void **state)
{
	int out[2];
	struct device_env more = { .hvc = true };
	struct buffer listening = { AT(31), 64, true }, b = { AT(0), 5, false };
	struct driver d;
	struct fake *f;
	unsigned int id;
	uint32_t len;

	(void)state;
	assert_int_equal(pipe(out), 0);
	more.console_fd = out[1];
	f = fake_machine_more(NULL, 0, &more);
	driver_find(&d, f, VIRTIO_ID_CONSOLE, 0);
	driver_start(&d, SPLIT | MULTIPORT, 8);
	driver_add(&d, CONTROL_IN, &listening, 1);
	driver_kick(&d, CONTROL_IN);
	say(&d, 0, VIRTIO_CONSOLE_PORT_READY, 1);
	expect(&d, 0, VIRTIO_CONSOLE_CONSOLE_PORT, "");
	memcpy(mem_at(&f->mem, AT(0), 5), "hello", 5);
	driver_do(&d, 1, &b, 1);
	turn(&f->loop);
	assert_reads(out[0], "hello");
	outb(f, 0x3f8, 'x');				/* the UART still speaks */
	assert_int_equal(f->out_len, 1);
	b.in = true;
	driver_add(&d, 0, &b, 1);
	driver_kick(&d, 0);
	fake_input(f, "key");
	assert_true(driver_used(&d, 0, &id, &len));
	assert_int_equal(len, 3);
	assert_int_equal(inb(f, 0x3f8 + 5) & 1, 0);	/* but doesn't hear */
	fake_destroy(f);
	close(out[0]);
	close(out[1]);
}

/* Whoever ends in the sandbox leaves it; whoever listens keeps it. */
static void sockets_left_behind(void **state)
{
	struct error err;
	int fd;

	(void)state;
	fd = stream_listen(sock, &err);
	assert_true(fd >= 0);
	assert_int_equal(stream_listen(sock, &err), -1);
	assert_non_null(strstr(err.text, strerror(EADDRINUSE)));
	close(fd);
	fd = stream_listen(sock, &err);
	assert_true(fd >= 0);
	close(fd);
	unlink(sock);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sockets_left_behind),
		cmocka_unit_test(to_a_file),
		cmocka_unit_test(to_a_socket),
		cmocka_unit_test(to_a_pty),
		cmocka_unit_test(second_serial_port),
		cmocka_unit_test(console_ports),
		cmocka_unit_test(console_waits_for_readers),
		cmocka_unit_test(terminal_on_hvc0),
	};
	int rc;

	close(mkstemp(file));
	snprintf(sock, sizeof(sock), "%s.sock", file);
	snprintf(where, sizeof(where), "unix:%s", sock);
	rc = cmocka_run_group_tests_name("vmrun ports", tests, NULL, NULL);
	unlink(file);
	return rc;
}
