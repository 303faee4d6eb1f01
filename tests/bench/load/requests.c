// SPDX-License-Identifier: GPL-2.0
/*
 * requests DISK HOST: in a guest, ticks for a request to a disk, and for a frame to the host with the
 * answer; one at a time. Of twelve batches the best, as bench does it. Without arguments: the server
 * that answers on the host.
 */
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <netinet/ip_icmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BLOCK		4096
#define BATCHES		12
#define BATCH		100
#define BYTES		64		/* of a datagram */
#define ECHO_PORT	7

static uint64_t ticks(void)
{
	uint32_t lo, hi;

	asm volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
	return lo | (uint64_t)hi << 32;
}

static void report(const char *name, void (*once)(int fd, unsigned int i), int fd)
{
	uint64_t best = UINT64_MAX;

	for (unsigned int batch = 0; batch < BATCHES; batch++) {
		uint64_t start = ticks();

		for (unsigned int i = 0; i < BATCH; i++)
			once(fd, i);
		if (ticks() - start < best)
			best = ticks() - start;
	}
	printf("%s\t%lu\n", name, best / BATCH);
}

static _Alignas(BLOCK) char block[BLOCK];

static void read_block(int fd, unsigned int i)
{
	if (pread(fd, block, BLOCK, i * BLOCK) != BLOCK)
		err(1, "read");
}

static void write_block(int fd, unsigned int i)
{
	if (pwrite(fd, block, BLOCK, i * BLOCK) != BLOCK)
		err(1, "write");
}

static void flush(int fd, unsigned int i)
{
	(void)i;
	if (fdatasync(fd))
		err(1, "fdatasync");
}

static void datagram(int fd, unsigned int i)
{
	unsigned int echo[BYTES / sizeof(i)] = { i };

	if (send(fd, echo, BYTES, 0) != BYTES || recv(fd, echo, BYTES, 0) != BYTES || echo[0] != i)
		err(1, "datagram %u", i);
}

static uint16_t checksum(const uint16_t *words, size_t bytes)
{
	uint32_t sum = 0;

	for (; bytes; bytes -= 2)
		sum += *words++;
	sum = (sum & 0xffff) + (sum >> 16);
	return ~(sum + (sum >> 16));
}

static void ping(int fd, unsigned int i)
{
	struct { struct icmphdr head; char bytes[BYTES - sizeof(struct icmphdr)]; } echo = {
		.head = { .type = ICMP_ECHO, .un.echo.sequence = i },
	};
	struct { struct iphdr ip; struct icmphdr head; char bytes[BYTES]; } answer;

	echo.head.checksum = checksum((void *)&echo, sizeof(echo));
	if (send(fd, &echo, sizeof(echo), 0) != sizeof(echo) ||
	    recv(fd, &answer, sizeof(answer), 0) != sizeof(answer.ip) + sizeof(echo) ||
	    answer.head.type != ICMP_ECHOREPLY || answer.head.un.echo.sequence != i)
		err(1, "ping %u", i);
}

static int connected(int type, int protocol, const char *host)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(ECHO_PORT) };
	int fd = socket(AF_INET, type, protocol);

	inet_pton(AF_INET, host, &to.sin_addr);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)))
		err(1, "%s", host);
	return fd;
}

static int serve(void)
{
	struct sockaddr_in from, here = {
		.sin_family = AF_INET, .sin_port = htons(ECHO_PORT),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	char bytes[BYTES];

	if (fd < 0 || bind(fd, (struct sockaddr *)&here, sizeof(here)))
		err(1, "no place to serve");
	/* The parent goes on when there is one. */
	if (daemon(1, 1))
		err(1, "daemon");
	for (;;) {
		socklen_t size = sizeof(from);
		ssize_t n = recvfrom(fd, bytes, BYTES, 0, (struct sockaddr *)&from, &size);

		if (n > 0)
			sendto(fd, bytes, n, 0, (struct sockaddr *)&from, size);
	}
}

int main(int argc, char **argv)
{
	int disk;

	if (argc == 1)
		return serve();
	disk = open(argv[1], O_RDWR | O_DIRECT);
	if (disk < 0)
		err(1, "%s", argv[1]);
	report("blk_write_4k", write_block, disk);
	report("blk_read_4k", read_block, disk);
	report("blk_flush", flush, disk);
	report("net_ping", ping, connected(SOCK_RAW, IPPROTO_ICMP, argv[2]));
	report("net_udp_echo", datagram, connected(SOCK_DGRAM, 0, argv[2]));
	return 0;
}
