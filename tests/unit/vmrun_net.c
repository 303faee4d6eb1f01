// SPDX-License-Identifier: GPL-2.0
/* The network card, on networks made for it, on a tap, and on the user network. */
#include <arpa/inet.h>
#include <netinet/if_ether.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net.h"
#include "patience.h"
#include "sandbox.h"
#include "virtio.h"
#include "vmrun_driver.h"

#define MRG		(1ULL << VIRTIO_NET_F_MRG_RXBUF)
#define FRAME(i)	(BUFFERS_AT + (i) * 0x1000U)
#define RX		0
#define TX		1

static const uint64_t all_features[] = {
	SPLIT, SPLIT | EVENTS | MRG, PACKED, PACKED | EVENTS | MRG,
};

#define FEATURES	(sizeof(all_features) / sizeof(all_features[0]))

/* ---- a network that remembers ---------------------------------------------------------------- */

static struct wire {
	struct net net;			/* first */
	struct net_port *port;
	uint8_t sent[NET_FRAME_MAX];
	size_t sent_len;
	unsigned int nr_sent, ends;
	uint64_t accepted;
} wire;

static void wire_send(struct net *n, const struct iovec *iov, unsigned int nr, size_t len)
{
	(void)n;
	wire.nr_sent++;
	wire.sent_len = 0;
	assert_true(len <= sizeof(wire.sent));
	for (; nr; nr--, iov++) {
		memcpy(wire.sent + wire.sent_len, iov->iov_base, iov->iov_len);
		wire.sent_len += iov->iov_len;
	}
	assert_int_equal(wire.sent_len, len);
}

static void wire_accepted(struct net *n, uint64_t features)
{
	(void)n;
	wire.accepted = features;
}

static void wire_info(struct net *n, FILE *out)
{
	(void)n;
	fprintf(out, "wire\n");
}

static void wire_destroy(struct net *n)
{
	(void)n;
	wire.ends++;
}

static const struct net_class wire_class = { wire_send, wire_accepted, wire_info, wire_destroy };

static struct net *wire_create(const struct net_options *o, struct net_port *port,
			       struct loop *loop, struct error *err)
{
	(void)o;
	(void)loop;
	(void)err;
	wire = (struct wire) {
		.net = { .class = &wire_class, .port = port,
			 .features = 1ULL << VIRTIO_NET_F_CSUM },
		.port = port,
	};
	return &wire.net;
}

static struct fake *machine(const struct net_options *o)
{
	return fake_machine_on(NULL, 0, o, 1);
}

static int setup_wire(void **state)
{
	static const struct net_options o = { .create = wire_create, .mac = "\x02\1\2\3\4\5" };

	*state = machine(&o);
	return 0;
}

static void arrives(const void *bytes, size_t len)
{
	pthread_mutex_lock(wire.port->lock);
	wire.port->receive(wire.port, bytes, len);
	pthread_mutex_unlock(wire.port->lock);
}

static void add_buffer(struct driver *d, uint64_t addr, uint32_t len)
{
	struct buffer b = { addr, len, true };

	driver_add(d, RX, &b, 1);
}

static void *at(struct driver *d, uint64_t addr)
{
	return mem_at(&d->f->mem, addr, 1);
}

static bool used(struct driver *d, uint32_t *len)
{
	unsigned int id;

	return driver_used(d, RX, &id, len);
}

static void is_what_it_says(void **state)
{
	struct driver d;

	driver_find(&d, *state, VIRTIO_ID_NET, 0);
	assert_true(driver_offered(&d) & 1ULL << VIRTIO_NET_F_MAC);
	assert_true(driver_offered(&d) & 1ULL << VIRTIO_NET_F_CSUM);
	assert_false(driver_offered(&d) & 1ULL << VIRTIO_NET_F_HOST_TSO4);
	assert_int_equal(reg_get(&d, CONFIG, 4), 0x03020102);
	assert_int_equal(reg_get(&d, CONFIG + 6, 2), VIRTIO_NET_S_LINK_UP);
	driver_start(&d, SPLIT | 1ULL << VIRTIO_NET_F_CSUM, 8);
	assert_int_equal(wire.accepted, SPLIT | 1ULL << VIRTIO_NET_F_CSUM);
	driver_negotiate(&d, SPLIT);
	assert_int_equal(wire.accepted, 0);
}

static void frames_are_sent(void **state)
{
	struct buffer b[] = {
		{ FRAME(0), NET_HEADER, false }, { FRAME(1), 60, false }, { FRAME(2), 1000, false },
	};
	struct driver d;
	unsigned int i, j;

	driver_find(&d, *state, VIRTIO_ID_NET, 0);
	for (i = 0; i < FEATURES; i++) {
		driver_start(&d, all_features[i], 4);
		wire.nr_sent = 0;
		for (j = 0; j < 10; j++) {
			memset(at(&d, FRAME(0)), 0, NET_HEADER);
			memset(at(&d, FRAME(1)), j, 60);
			memset(at(&d, FRAME(2)), j + 1, 1000);
			assert_int_equal(driver_do(&d, TX, b, 3), 0);
			assert_int_equal(wire.nr_sent, j + 1);
			assert_int_equal(wire.sent_len, NET_HEADER + 1060);
			assert_int_equal(wire.sent[NET_HEADER + 59], j);
			assert_int_equal(wire.sent[NET_HEADER + 60], j + 1);
		}
	}
}

static void frames_come(void **state)
{
	uint8_t frame[NET_HEADER + 100];
	struct driver d;
	unsigned int i, j;
	uint32_t len;

	memset(frame, 0x77, sizeof(frame));
	driver_find(&d, *state, VIRTIO_ID_NET, 0);
	for (i = 0; i < FEATURES; i++) {
		driver_start(&d, all_features[i], 8);
		for (j = 0; j < 20; j++) {
			uint8_t *p = at(&d, FRAME(j % 8));

			memset(p, 0, 4096);
			add_buffer(&d, FRAME(j % 8), 2048);
			arrives(frame, sizeof(frame));
			assert_true(used(&d, &len));
			assert_int_equal(len, sizeof(frame));
			assert_memory_equal(p, frame, NET_HEADER - 2);
			assert_int_equal(p[10] | p[11] << 8, 1);	/* num_buffers */
			assert_memory_equal(p + NET_HEADER, frame + NET_HEADER, 100);
			assert_int_equal(p[sizeof(frame)], 0);
		}
	}
}

static void large_frames_take_several(void **state)
{
	static const uint32_t sizes[] = { 12, 100, 1, 0, 2000, 4096 };
	static uint8_t frame[NET_HEADER + 3000], got[8192];
	struct driver d;
	unsigned int i, n;
	uint32_t len;
	size_t total;

	for (i = 0; i < sizeof(frame); i++)
		frame[i] = i * 7;
	driver_find(&d, *state, VIRTIO_ID_NET, 0);
	for (i = 1; i < FEATURES; i += 2) {
		unsigned int round;

		driver_start(&d, all_features[i], 16);
		for (round = 0; round < 10; round++) {
			for (n = 0; n < 6; n++)
				add_buffer(&d, FRAME(n), sizes[n]);
			arrives(frame, sizeof(frame));
			for (n = total = 0; used(&d, &len); n++) {
				assert_true(len <= sizes[n]);
				memcpy(got + total, at(&d, FRAME(n)), len);
				total += len;
			}
			assert_int_equal(n, 6);
			assert_int_equal(total, sizeof(frame));
			assert_int_equal(got[10] | got[11] << 8, 6);
			assert_memory_equal(got + 12, frame + 12, sizeof(frame) - 12);
		}
		/* Too few: they are kept for it. */
		add_buffer(&d, FRAME(0), 2000);
		arrives(frame, sizeof(frame));
		assert_false(used(&d, &len));
		assert_true(wire.port->is_full(wire.port));
		add_buffer(&d, FRAME(1), 2000);
		driver_kick(&d, RX);
		assert_false(wire.port->is_full(wire.port));
		assert_true(used(&d, &len) && len == 2000);
		assert_true(used(&d, &len) && len == sizeof(frame) - 2000);
	}
}

static void frames_wait_for_buffers(void **state)
{
	uint8_t frame[NET_HEADER + 60] = { 0 };
	struct driver d;
	unsigned int i, j;
	uint32_t len;

	driver_find(&d, *state, VIRTIO_ID_NET, 0);
	for (i = 0; i < FEATURES; i++) {
		driver_start(&d, all_features[i], 8);
		for (j = 0; j < 1000; j++) {
			frame[NET_HEADER] = j;
			arrives(frame, sizeof(frame));
		}
		assert_true(wire.port->is_full(wire.port));
		for (j = 0; j < 256; j++) {		/* the rest is lost */
			add_buffer(&d, FRAME(0), 2048);
			driver_kick(&d, RX);
			assert_true(used(&d, &len));
			assert_int_equal(*((uint8_t *)at(&d, FRAME(0)) + NET_HEADER), j & 0xff);
		}
		add_buffer(&d, FRAME(0), 2048);
		driver_kick(&d, RX);
		assert_false(used(&d, &len));
		assert_false(wire.port->is_full(wire.port));
	}
	/* A reset forgets what waits; without a driver nothing does. */
	arrives(frame, sizeof(frame));
	arrives(frame, sizeof(frame));
	driver_negotiate(&d, SPLIT);
	assert_false(wire.port->is_full(wire.port));
	arrives(frame, sizeof(frame));
	assert_false(wire.port->is_full(wire.port));
}

static void bad_buffers(void **state)
{
	static uint8_t frame[NET_HEADER + 3000];
	struct driver d;
	unsigned int i;
	uint32_t len;

	driver_find(&d, *state, VIRTIO_ID_NET, 0);
	/* One that is too small, where one has to do */
	driver_start(&d, SPLIT, 8);
	add_buffer(&d, FRAME(0), 2000);
	arrives(frame, sizeof(frame));
	assert_true(used(&d, &len));
	assert_int_equal(len, 0);
	assert_int_equal(status(&d), STARTED);
	/* Very many that hold nothing */
	driver_start(&d, SPLIT | MRG, 128);
	for (i = 0; i < 128; i++)
		add_buffer(&d, FRAME(0), 1);
	arrives(frame, sizeof(frame));
	for (i = 0; used(&d, &len); i++)
		assert_int_equal(len, 0);
	assert_int_equal(i, 64);
	/* No room for the header */
	driver_start(&d, SPLIT | MRG, 8);
	add_buffer(&d, FRAME(0), 11);
	add_buffer(&d, FRAME(1), 4000);
	arrives(frame, sizeof(frame));
	assert_int_equal(status(&d), STARTED | VIRTIO_CONFIG_S_NEEDS_RESET);
	arrives(frame, sizeof(frame));
	assert_false(used(&d, &len));
	/* Outside of memory, while frames wait */
	driver_start(&d, PACKED, 8);
	arrives(frame, sizeof(frame));
	add_buffer(&d, 0xfffffffffff0, 4096);
	driver_kick(&d, RX);
	assert_int_equal(status(&d), STARTED | VIRTIO_CONFIG_S_NEEDS_RESET);
	driver_start(&d, SPLIT, 8);
	assert_int_equal(status(&d), STARTED);
}

/* ---- a tap ----------------------------------------------------------------------------------- */

static int other_end;

static struct net *tap_pair(const struct net_options *o, struct net_port *port, struct loop *loop,
			    struct error *err)
{
	int fds[2];

	(void)o;
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, fds), 0);
	other_end = fds[1];
	return net_tap_from(fds[0], "pair", port, loop, err);
}

static int setup_tap(void **state)
{
	static const struct net_options o = { .create = tap_pair };

	*state = machine(&o);
	return 0;
}

static int teardown_tap(void **state)
{
	close(other_end);
	return teardown_machine(state);
}

static void tap_both_ways(void **state)
{
	static uint8_t frame[NET_HEADER + 40000], got[65536];
	struct buffer b = { FRAME(0), sizeof(frame), false };
	struct driver d;
	unsigned int i;
	size_t total = 0;
	uint32_t len;

	for (i = 0; i < sizeof(frame); i++)
		frame[i] = i * 3;
	driver_find(&d, *state, VIRTIO_ID_NET, 0);
	assert_true(driver_offered(&d) & 1ULL << VIRTIO_NET_F_GUEST_TSO6);
	driver_start(&d, SPLIT | MRG, 32);
	memcpy(at(&d, FRAME(0)), frame, sizeof(frame));
	driver_do(&d, TX, &b, 1);
	assert_int_equal(recv(other_end, got, sizeof(got), 0), sizeof(frame));
	assert_memory_equal(got, frame, sizeof(frame));

	for (i = 0; i < 32; i++)
		add_buffer(&d, FRAME(16 + i), 1500);
	assert_int_equal(send(other_end, frame, sizeof(frame), 0), sizeof(frame));
	fake_serve(d.f);
	for (i = 0; used(&d, &len); i++, total += len)
		memcpy(got + total, at(&d, FRAME(16 + i)), len);
	assert_int_equal(total, sizeof(frame));
	assert_int_equal(got[10] | got[11] << 8, (sizeof(frame) + 1499) / 1500);
	assert_memory_equal(got + 12, frame + 12, sizeof(frame) - 12);
	/* Shorter than a header */
	assert_int_equal(send(other_end, frame, 5, 0), 5);
	fake_serve(d.f);
	assert_false(used(&d, &len));
}

/* Frames stay where they are until there is room. */
static void tap_waits(void **state)
{
	uint8_t frame[NET_HEADER + 60] = { 0 }, byte;
	struct driver d;
	unsigned int i, sent;
	uint32_t len;

	driver_find(&d, *state, VIRTIO_ID_NET, 0);
	driver_start(&d, SPLIT, 8);
	for (sent = 0; sent < 1000; sent++) {
		frame[NET_HEADER] = sent;
		if (send(other_end, frame, sizeof(frame), 0) < 0)
			break;
		fake_serve(d.f);
	}
	assert_in_range(sent, 2, 999);
	for (i = 0; i < sent; i++) {
		add_buffer(&d, FRAME(0), 2048);
		driver_kick(&d, RX);
		while (!used(&d, &len))
			fake_serve(d.f);
		byte = *((uint8_t *)at(&d, FRAME(0)) + NET_HEADER);
		assert_int_equal(byte, i & 0xff);
	}
}

/* ---- the user network ------------------------------------------------------------------------ */

#ifdef WITH_SLIRP
static const uint8_t my_mac[] = "\x02\1\2\3\4\5";
static struct net_options user = { .kind = NET_USER, .mac = "\x02\1\2\3\4\5" };

static int setup_isolated(void **state)
{
	user.no_host = true;
	*state = machine(&user);
	user.no_host = false;
	return 0;
}

static int setup_user(void **state)
{
	*state = machine(&user);
	return 0;
}

struct packet {
	struct virtio_net_hdr_v1 header;
	struct ether_header eth;
	union {
		struct ether_arp arp;
		struct {
			struct iphdr ip;
			struct udphdr udp;
			char text[200];
		} __attribute__((packed));
	};
} __attribute__((packed));

static void send_packet(struct driver *d, const struct packet *p, size_t len)
{
	struct buffer b = { FRAME(20), len, false };

	memcpy(at(d, FRAME(20)), p, len);
	driver_do(d, TX, &b, 1);
}

/* The next packet of that type. */
static bool receive_packet(struct driver *d, uint16_t type, struct packet *p)
{
	int tries;
	uint32_t len;

	for (tries = 0; tries < PATIENCE_MS / 20; tries++) {
		struct error err;

		assert_int_equal(loop_once(&d->f->loop, 20, &err), 0);
		if (!used(d, &len))
			continue;
		memset(p, 0, sizeof(*p));
		memcpy(p, at(d, FRAME(0)), len < sizeof(*p) ? len : sizeof(*p));
		add_buffer(d, FRAME(0), 2048);
		driver_kick(d, RX);
		if (ntohs(p->eth.ether_type) == type)
			return true;
	}
	return false;
}

static void arp(struct packet *p, uint16_t op, uint32_t me, const void *to_mac, uint32_t to)
{
	memset(p, 0, sizeof(*p));
	memset(p->eth.ether_dhost, 0xff, 6);
	memcpy(p->eth.ether_shost, my_mac, 6);
	p->eth.ether_type = htons(ETHERTYPE_ARP);
	p->arp.ea_hdr = (struct arphdr) { htons(ARPHRD_ETHER), htons(ETHERTYPE_IP), 6, 4, htons(op) };
	memcpy(p->arp.arp_sha, my_mac, 6);
	memcpy(p->arp.arp_spa, &me, 4);
	memcpy(p->arp.arp_tha, to_mac, 6);
	memcpy(p->arp.arp_tpa, &to, 4);
}

static uint16_t ip_sum(const void *bytes, size_t len)
{
	const uint16_t *w = bytes;
	uint32_t sum = 0;

	for (; len; len -= 2)
		sum += *w++;
	sum = (sum & 0xffff) + (sum >> 16);
	return ~((sum & 0xffff) + (sum >> 16));
}

static int server_of(int type, uint16_t *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval patience = { .tv_sec = PATIENCE_MS / 1000 };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, type, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	*port = a.sin_port;
	return fd;
}

/* Who has the host's address? A datagram to a server on its loopback, and one back. */
static void user_network(void **state)
{
	uint32_t me = htonl(0x0a00020f), host = htonl(0x0a000202);
	struct sockaddr_in from;
	socklen_t from_len = sizeof(from);
	char got[200];
	uint16_t port;
	int server = server_of(SOCK_DGRAM, &port);
	struct packet p, q;
	struct driver d;

	driver_find(&d, *state, VIRTIO_ID_NET, 0);
	driver_start(&d, SPLIT, 8);
	add_buffer(&d, FRAME(0), 2048);
	driver_kick(&d, RX);
	arp(&p, ARPOP_REQUEST, me, "\0\0\0\0\0\0", host);
	send_packet(&d, &p, NET_HEADER + 60);
	assert_true(receive_packet(&d, ETHERTYPE_ARP, &q));
	assert_int_equal(ntohs(q.arp.ea_hdr.ar_op), ARPOP_REPLY);
	assert_memory_equal(q.arp.arp_spa, &host, 4);

	memset(&p, 0, sizeof(p));
	memcpy(p.eth.ether_dhost, q.arp.arp_sha, 6);
	memcpy(p.eth.ether_shost, my_mac, 6);
	p.eth.ether_type = htons(ETHERTYPE_IP);
	p.ip = (struct iphdr) {
		.version = 4, .ihl = 5, .tot_len = htons(20 + 8 + 5), .ttl = 64,
		.protocol = IPPROTO_UDP, .saddr = me, .daddr = host,
	};
	p.ip.check = ip_sum(&p.ip, 20);
	p.udp = (struct udphdr) { .source = htons(1234), .dest = port, .len = htons(8 + 5) };
	memcpy(p.text, "hello", 5);
	send_packet(&d, &p, NET_HEADER + 14 + 20 + 8 + 5);
	assert_int_equal(recvfrom(server, got, sizeof(got), 0, (struct sockaddr *)&from, &from_len),
			 5);
	assert_memory_equal(got, "hello", 5);
	assert_int_equal(sendto(server, "world", 5, 0, (struct sockaddr *)&from, from_len), 5);
	assert_true(receive_packet(&d, ETHERTYPE_IP, &q));
	assert_int_equal(q.ip.saddr, host);
	assert_int_equal(ntohs(q.udp.dest), 1234);
	assert_memory_equal(q.text, "world", 5);
	close(server);
}

static struct fake *machine_with_forward(uint16_t *port)
{
	struct fake *f;

	close(server_of(SOCK_STREAM, port));
	user.nr_forwards = 1;
	user.forwards[0] = (struct net_forward) {
		.host = htonl(INADDR_LOOPBACK), .host_port = ntohs(*port), .guest_port = 22,
	};
	f = machine(&user);
	user.nr_forwards = 0;
	return f;
}

/* Someone on the host connects to a forwarded port: the guest is asked for. */
static void connect_through(struct fake *f, uint16_t port)
{
	struct sockaddr_in a = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = port,
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), i;
	struct packet p;
	struct driver d;

	driver_find(&d, f, VIRTIO_ID_NET, 0);
	driver_start(&d, PACKED, 8);
	add_buffer(&d, FRAME(0), 2048);
	driver_kick(&d, RX);
	connect(fd, (struct sockaddr *)&a, sizeof(a));
	for (i = 0; i < 10; i++) {
		assert_true(receive_packet(&d, ETHERTYPE_ARP, &p));
		if (!memcmp(p.arp.arp_tpa, "\x0a\x00\x02\x0f", 4))
			break;
	}
	assert_in_range(i, 0, 9);
	arp(&p, ARPOP_REPLY, htonl(0x0a00020f), p.arp.arp_sha, htonl(0x0a000202));
	send_packet(&d, &p, NET_HEADER + 60);
	assert_true(receive_packet(&d, ETHERTYPE_IP, &p));
	assert_int_equal(p.ip.protocol, IPPROTO_TCP);
	assert_int_equal(ntohs(p.udp.dest), 22);	/* where TCP has it, too */
	close(fd);
}

static void user_forward(void **state)
{
	uint16_t port;
	struct fake *f = machine_with_forward(&port);

	(void)state;
	connect_through(f, port);
	fake_destroy(f);
}

/* The same with no more than the sandbox allows. A failure shows as the child's. */
static void user_in_sandbox(void **state)
{
	const struct sandbox s = { .network = true };
	uint16_t port;
	struct fake *f = machine_with_forward(&port);
	struct error err;
	int status;
	pid_t pid;

	pid = fork();
	if (!pid) {
		if (sandbox_enter(&s, &err))
			_exit(1);
		user_network(state);
		connect_through(f, port);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	fake_destroy(f);
}

/* Whatever a guest sends, to nobody but the network itself: sanitizers watch, and it goes on. */
static void user_survives_nonsense(void **state)
{
	uint64_t seed = 88172645463325252, rounds = 20000;
	struct driver d;
	unsigned int i, j;

	driver_find(&d, *state, VIRTIO_ID_NET, 0);
	driver_start(&d, SPLIT, 8);
	add_buffer(&d, FRAME(0), 2048);
	if (getenv("FUZZ_ROUNDS"))
		rounds = strtoull(getenv("FUZZ_ROUNDS"), NULL, 0);
	for (i = 0; i < rounds; i++) {
		struct buffer b = { FRAME(20), 0, false };
		uint8_t *p = at(&d, FRAME(20));

		for (j = 0; j < 100; j++) {
			seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
			p[j] = seed;
		}
		b.len = seed % 1600;
		/* Mostly something that is looked into: IP, its fragments, ICMP, DHCP, names. */
		if (i % 8) {
			if (i % 5)
				memset(p + NET_HEADER + 20, 0, 2);	/* no fragment */
			memcpy(p + NET_HEADER + 12, i % 7 ? "\x08\x00\x45" : "\x86\xdd\x60", 3);
			if (i % 7)
				memcpy(p + NET_HEADER + 30, "\x0a\x00\x02\x02", 4);
			else
				memcpy(p + NET_HEADER + 38, "\xfe\xc0\0\0\0\0\0\0\0\0\0\0\0\0\0\2", 16);
			p[NET_HEADER + 23] = "\x01\x06\x11\x3a"[i % 4];
			p[NET_HEADER + 37] = "\x43\x35\x45"[i % 3];
			if (i % 3)
				*(uint16_t *)(p + NET_HEADER + 16) = htons(b.len - 26);
			memset(p + NET_HEADER + 24, 0, 2);
			*(uint16_t *)(p + NET_HEADER + 24) = ip_sum(p + NET_HEADER + 14, 20);
		}
		driver_do(&d, TX, &b, 1);
	}
	assert_int_equal(status(&d), STARTED);
}
#endif

#define wire_test(fn) cmocka_unit_test_setup_teardown(fn, setup_wire, teardown_machine)
#define tap_test(fn) cmocka_unit_test_setup_teardown(fn, setup_tap, teardown_tap)
#define user_test(fn) cmocka_unit_test_setup_teardown(fn, setup_user, teardown_machine)

int main(void)
{
	const struct CMUnitTest tests[] = {
		wire_test(is_what_it_says),
		wire_test(frames_are_sent),
		wire_test(frames_come),
		wire_test(large_frames_take_several),
		wire_test(frames_wait_for_buffers),
		wire_test(bad_buffers),
		tap_test(tap_both_ways),
		tap_test(tap_waits),
#ifdef WITH_SLIRP
		user_test(user_network),
		cmocka_unit_test(user_forward),
		user_test(user_in_sandbox),
		cmocka_unit_test_setup_teardown(user_survives_nonsense, setup_isolated,
						teardown_machine),
#endif
	};

	return cmocka_run_group_tests_name("vmrun net", tests, NULL, NULL);
}
