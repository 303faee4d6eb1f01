// SPDX-License-Identifier: GPL-2.0
/*
 * Random images and random accesses, the same in each run: FUZZ_ROUNDS=N makes it longer,
 * FUZZ_SEED=N another one, FUZZ_ONLY=PATTERN some tests of them. What is looked for is what the
 * sanitizers find.
 */
#include <linux/virtio_blk.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "console.h"
#include "layout.h"
#include "vmrun_driver.h"
#include "vmrun_images.h"
#include "walk.h"

#define ROUNDS		20000
#define MEM_SIZE	(32ULL << 20)

static __thread uint64_t seed = 0x9e3779b97f4a7c15;
static uint64_t rounds = ROUNDS, loaded;

static uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static uint64_t below(uint64_t n)
{
	return rnd() % n;
}

/* Values where arithmetic goes wrong, and any others. */
static uint64_t nasty(void)
{
	static const uint64_t values[] = {
		0, 1, 2, 0x7f, 0x80, 0xff, 0xfff, 0x1000, 0x7fff, 0xffff, 0x10000, 0xfffff,
		0x100000,
		0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 0x7fffffffffffffff,
		0x8000000000000000, 0xffffffffffffffff, MEM_SIZE, MEM_SIZE - 1, MEM_SIZE + 1,
	};
	uint64_t v = below(3) ? values[below(sizeof(values) / sizeof(values[0]))] : rnd();

	return below(4) ? v : v + below(17) - 8;
}

static void mutate(uint8_t *bytes, size_t size, size_t interesting)
{
	uint64_t n = 1 + below(6);

	while (n--) {
		size_t width = 1ULL << below(4), at = below(below(4) ? interesting : size);
		uint64_t value = nasty();

		if (at + width > size)
			width = size - at;
		memcpy(bytes + at, &value, width);
	}
}

static void load_mutated(struct guest_mem *mem, const void *good, size_t size, size_t interesting)
{
	uint8_t *bytes = malloc(size), disk[100] = { 0 };
	struct image initrd = { .data = disk, .size = 1 + below(100), .name = "disk" };
	struct boot boot = { .initrd = below(2) ? &initrd : NULL };
	struct entry entry;
	struct error err;

	memcpy(bytes, good, size);
	mutate(bytes, size, interesting);
	if (!below(8)) {
		boot.flat.forced = true;
		boot.flat.mode = below(3);
		boot.flat.addr_given = below(2);
		boot.flat.addr = nasty();
	}
	if (load_bytes(mem, bytes, below(4) ? size : below(size), &boot, &entry, &err)) {
		assert_true(err.text[0]);
	} else {
		assert_non_null(mem_at(mem, entry.ip, 1));
		loaded++;
	}
	free(bytes);
}

static void images(void **state)
{
	uint8_t bz[BZIMAGE_SIZE], rom[0x10000] = { 0 };
	struct guest_mem mem;
	struct multiboot_image multiboot;
	struct elf_image elf;
	struct error err;
	uint64_t i;

	(void)state;
	make_bzimage(bz);
	make_elf(&elf);
	make_multiboot(&multiboot);
	memcpy(rom + sizeof(rom) - 16, "\xea\x5b\xe0\x00\xf0", 5);
	rom[510] = 0x55;
	rom[511] = 0xaa;
	assert_int_equal(mem_create(&mem, MEM_SIZE, &err), 0);
	for (i = 0; i < rounds; i++) {
		load_mutated(&mem, bz, sizeof(bz), 0x270);
		load_mutated(&mem, &elf, sizeof(elf), offsetof(struct elf_image, text));
		load_mutated(&mem, &multiboot, sizeof(multiboot), sizeof(multiboot));
		if (!(i % 16))
			load_mutated(&mem, rom, below(2) ? sizeof(rom) : 512, 512);
	}
	mem_destroy(&mem);
	assert_true(loaded > rounds / 10);	/* else it all fails too early to find anything */
}

/* Mostly at devices, and around their edges. */
static uint16_t some_port(void)
{
	static const uint16_t ports[] = {
		0x3f8, 0x60, 0x64, 0x70, 0x92, 0xe9, 0x501, 0x600, 0xcf8, 0xcfc, 0x1f0, 0x3f6,
		0x170, 0x376, 0x510, 0x514,
	};

	if (!below(4))
		return rnd();
	return ports[below(sizeof(ports) / sizeof(ports[0]))] + below(10) - 1;
}

static void devices(void **state)
{
	struct fake *f = *state;
	uint64_t i;

	for (i = 0; i < rounds * 20; i++) {
		unsigned int len = 1 << below(4);
		uint64_t value = nasty();
		uint8_t data[8];

		memcpy(data, &value, 8);
		if (below(16))
			bus_do(&f->ports, some_port(), data, len > 4 ? 4 : len, below(2));
		else
			bus_do(&f->mmio, nasty(), data, len, below(2));
		if (!below(32)) {
			memcpy(data, &value, 8);
			f->keyboard.type(f->keyboard.opaque, data, below(9));
		}
		if (!below(64)) {
			f->in_pos = f->in_len = 0;
			fake_input(f, "some input, longer than a FIFO");
		}
	}
	assert_in_range(f->stop_code, 0, 99);
}

/* A guest that knows its drives, and now and then forgets what it was at. */
static void use_drives(struct fake *f)
{
	static const uint8_t commands[] = {
		0x20, 0x30, 0x24, 0x34, 0xc4, 0xc5, 0xc6, 0x29, 0x39, 0x40, 0x90, 0x91, 0xec, 0xef,
		0xe7, 0xa0, 0xa0, 0xa0, 0xa1, 0x08,
	};
	static const uint8_t packets[] = { 0x00, 0x03, 0x12, 0x25, 0x28, 0xa8, 0x43 };
	uint16_t base = below(2) ? 0x1f0 : 0x170;
	uint64_t j;

	for (j = 1; j < 7; j++)
		outb(f, base + j, j == 6 ? 0xa0 | (below(4) ? 0x40 : rnd()) :
		     below(2) ? below(120) * (j < 4) : rnd());
	outb(f, base + 7, below(8) ? commands[below(sizeof(commands))] : rnd());
	if (base == 0x170 && below(4))
		outw(f, base, packets[below(sizeof(packets))]);
	for (j = below(3000); j; j--) {
		uint8_t data[4] = { 0, 0, 0, below(90) };

		bus_do(&f->ports, base, data, 1 << below(3), below(2));
		if (!below(500))
			outb(f, base + 0x206, rnd());
		if (!below(200))
			inb(f, base + below(8));
	}
}

static void drives(void **state)
{
	char path[] = "/tmp/vmrun-fuzz-XXXXXX";
	struct drive_options o[2] = { { .path = path, .ide = true }, { .path = path, .cdrom = true } };
	int fd = mkstemp(path), other;
	struct disk disks[2];
	struct error err;
	struct fake *f;
	uint64_t i;

	(void)state;
	assert_int_equal(ftruncate(fd, 100 * 2048), 0);
	assert_int_equal(disk_open(&disks[0], &o[0], &err), 0);
	disks[1] = disks[0];			/* one file: it is locked */
	disks[1].cdrom = true;
	other = disks[0].fd;
	f = fake_machine_with(disks, 2);
	for (i = 0; i < rounds; i++)
		use_drives(f);
	fake_destroy(f);
	close(other);
	close(fd);
	unlink(path);
}

/* One of the virtio devices, alone where the driver looks for it. */
static void some_device(struct driver *d, struct fake *f)
{
	unsigned int found[32], nr = 0, devfn;

	for (devfn = 0; devfn < 256; devfn += 8) {
		if ((pci_get(f, devfn, 0) & 0xffff) != 0x1af4)
			continue;
		pci_put(f, devfn, PCI_COMMAND, 0);
		found[nr++] = devfn;
	}
	memset(d, 0, sizeof(*d));
	d->f = f;
	d->devfn = found[below(nr)];
	driver_place(d);
}

static uint64_t some_address(void)
{
	return below(8) ? below(FAKE_MEM) & (below(2) ? ~0ULL : ~0xfffULL) : nasty();
}

/* Descriptors that mostly lead somewhere, and what a disk takes for a request. */
static void scribble(struct driver *d, unsigned int q)
{
	struct virtio_blk_outhdr h = {
		.type = below(16), .sector = below(4) ? below(200) : nasty(),
	};
	struct vring_desc *t = split_desc(d, below(8) ? q : below(DRIVER_QUEUES), below(256));

	mem_write(&d->f->mem, some_address(), &h, sizeof(h));
	*t = (struct vring_desc) {
		some_address(), below(8) ? below(0x2000) : nasty(), below(8) ? below(4) : rnd(),
		below(8) ? below(16) : rnd(),
	};
	if (d->features & 1ULL << VIRTIO_F_RING_PACKED)
		packed_desc(d, q, below(256))->flags ^= below(2) ? 0x8080 : rnd();
	else if (below(4))
		*avail_index(d, q) += below(16) ? 1 : rnd();
	else
		*word_at(d, DRIVER_AT(q) + 4 + 2 * below(256)) = below(16);
	if (!below(16))
		*word_at(d, (below(2) ? DRIVER_AT(q) : DEVICE_AT(q)) + 2 * below(64)) = nasty();
}

static void some_request(struct driver *d, unsigned int q)
{
	struct virtio_blk_outhdr h = { .type = below(16), .sector = below(200) };
	struct buffer b[5];
	unsigned int n = 1 + below(4), in = below(n + 1), i;

	for (i = 0; i < n; i++)
		b[i] = (struct buffer) { BUFFERS_AT + below(0x20000), below(0x2000), i >= in };
	mem_write(&d->f->mem, b[0].addr, &h, sizeof(h));
	b[0].len = below(4) ? 16 : b[0].len;
	if (below(4) || n * 16 > 0x1000)
		driver_add(d, q, b, n);
	else
		driver_add_indirect(d, q, b, n);
}

static void some_access(struct driver *d)
{
	unsigned int len = 1 << below(4);
	uint64_t at = below(4) ? REGISTERS_AT + below(4) * 0x1000 + below(0x48) :
		      MSIX_AT + below(0x1000);

	if (below(64))
		mmio_put(d->f, at, len, nasty());
	else
		pci_put(d->f, d->devfn, below(64) * 4, nasty());
	mmio_get(d->f, at, len);
}

/* A network on which all that is sent comes back, and sometimes grows. */
static void echo_send(struct net *n, const struct iovec *iov, unsigned int nr, size_t len)
{
	static uint8_t frame[NET_FRAME_MAX];
	size_t at = 0;

	for (; nr && at + iov->iov_len <= sizeof(frame); nr--, iov++) {
		memcpy(frame + at, iov->iov_base, iov->iov_len);
		at += iov->iov_len;
	}
	assert_true(at <= len);
	n->port->receive(n->port, frame, below(4) ? at : 1 + below(sizeof(frame)));
}

static void echo_destroy(struct net *n)
{
	free(n);
}

static struct net *echo_create(const struct net_options *o, struct net_port *port,
			       struct loop *loop, struct error *err)
{
	static const struct net_class class = { .send = echo_send, .destroy = echo_destroy };
	struct net *n = malloc(sizeof(*n));

	(void)o;
	(void)loop;
	(void)err;
	*n = (struct net) { .class = &class, .port = port };
	return n;
}

/*
 * The loop's thread, as vmrun has it, beside that of a vCPU; and as if it were another of the
 * guest's CPUs, it changes rings and requests.
 */
struct other {
	pthread_t thread;
	struct fake *f;
	atomic_bool stop;
};

static void *serve(void *opaque)
{
	struct other *o = opaque;
	unsigned int i;

	while (!atomic_load(&o->stop)) {
		for (i = below(256); i; i--)
			__atomic_store_n((uint16_t *)mem_at(&o->f->mem, QUEUE_AT(below(4)) +
							    (rnd() & 0x3ffe), 2),
					 below(2) ? below(16) : rnd(), __ATOMIC_RELAXED);
		fake_serve(o->f);
		usleep(20);
	}
	return NULL;
}

/* What a driver does with one of the devices. Return: how many of its requests came back. */
static uint64_t drive(struct fake *f, bool alone)
{
	unsigned int q, queues, id, i, k;
	uint64_t served = 0;
	struct driver d;
	uint32_t len;

	some_device(&d, f);
	driver_set_up(&d, (driver_offered(&d) & (below(2) ? rnd() : ~0ULL)) | SPLIT,
		      1 << below(9));
	if (below(2))
		driver_use_msix(&d);
	queues = reg_get(&d, VIRTIO_PCI_COMMON_NUMQ, 2);
	for (i = below(100); i; i--) {
		q = below(queues < DRIVER_QUEUES ? queues : DRIVER_QUEUES);
		if (below(3))
			some_request(&d, q);
		else
			scribble(&d, q);
		if (!below(8))
			some_access(&d);
		if (below(4))
			continue;
		reg_put(&d, NOTIFY + 4 * q, 2, q);
		if (alone)
			fake_serve(f);
		for (k = 0; k < 8 && driver_used(&d, q, &id, &len); k++)
			served++;
	}
	return served;
}

static void virtio_devices(void **state)
{
	const struct net_options net = { .create = echo_create };
	const struct port_options ports[] = { { "one", "/dev/null" }, { "two", "/dev/zero" } };
	const struct device_env more = {
		.nets = &net, .nr_nets = 1, .console_ports = ports, .nr_ports = 2,
	};
	struct other other = { .stop = false };
	char path[] = "/tmp/vmrun-fuzz-XXXXXX";
	struct drive_options o = { .path = path };
	int fd = mkstemp(path);
	uint64_t i, served = 0;
	struct disk disk;
	struct error err;

	(void)state;
	assert_int_equal(ftruncate(fd, 100 * 512), 0);
	assert_int_equal(disk_open(&disk, &o, &err), 0);
	other.f = fake_machine_more(&disk, 1, &more);
	for (i = 0; i < rounds / 8; i++)
		served += drive(other.f, true);
	assert_true(served > rounds / 16);	/* else all of it is refused too early */
	assert_int_equal(pthread_create(&other.thread, NULL, serve, &other), 0);
	for (i = 0; i < rounds / 8; i++)
		drive(other.f, false);
	atomic_store(&other.stop, true);
	pthread_join(other.thread, NULL);
	fake_destroy(other.f);
	disk_close(&disk);
	close(fd);
	unlink(path);
}

/* ---- snapshots ------------------------------------------------------------------------------- */

static struct disk snap_disks[3];

static struct fake *snap_machine(void)
{
	static const struct net_options net = { .create = echo_create };
	static const struct port_options ports[] = { { "one", "/dev/null" }, { "two", "/dev/full" } };
	const struct device_env more = {
		.nets = &net, .nr_nets = 1, .console_ports = ports, .nr_ports = 2,
		.serial2 = "/dev/null",
	};

	return fake_machine_more(snap_disks, 3, &more);
}

static void use_machine(struct fake *f, unsigned int times)
{
	while (times--) {
		uint64_t value = nasty(), j;

		for (j = below(100); j; j--)
			bus_do(&f->ports, some_port(), (uint8_t *)&value, 1 << below(3), below(2));
		if (!below(4))
			use_drives(f);
		drive(f, true);
	}
	f->in_pos = f->in_len = 0;
	fake_input(f, "some input");
}

static uint8_t *save_device(struct fake *f, unsigned int i, size_t *size)
{
	struct fields fields = { };

	f->devices.made[i].class->fields(f->devices.made[i].dev, &fields);
	assert_null(fields.why);
	*size = fields.size;
	return fields.bytes;
}

/* In a block of its own size, where the sanitizer sees its end. Return: whether it was taken. */
static bool load_device(struct fake *f, unsigned int i, const uint8_t *bytes, size_t size)
{
	struct fields fields = { .loading = true, .bytes = malloc(size), .size = size };

	memcpy(fields.bytes, bytes, size);
	f->devices.made[i].class->fields(f->devices.made[i].dev, &fields);
	free(fields.bytes);
	return !fields.why && fields.pos == size;
}

/* Whatever state it is in: the same in another machine, which then is in the same one. */
static struct fake *load_good(struct fake *f)
{
	struct fake *g = snap_machine();
	size_t size, size2;
	unsigned int i;

	for (i = 0; i < f->devices.nr; i++) {
		const struct device_class *c = f->devices.made[i].class;
		uint8_t *bytes, *bytes2;

		if (!c->fields)
			continue;
		bytes = save_device(f, i, &size);
		if (!load_device(g, i, bytes, size))
			fail_msg("%s doesn't take its own state", c->name);
		bytes2 = save_device(g, i, &size2);
		assert_int_equal(size, size2);
		assert_memory_equal(bytes, bytes2, size);
		assert_false(load_device(g, i, bytes, below(size)));
		assert_true(load_device(g, i, bytes, size));
		free(bytes);
		free(bytes2);
	}
	memcpy(g->mem.base, f->mem.base, FAKE_MEM);
	return g;
}

/* A state that was tampered with is refused, or is one that does no harm. Return: the latter. */
static bool load_bad(struct fake *f)
{
	unsigned int i = below(f->devices.nr);
	uint8_t *bytes;
	size_t size;
	bool taken;

	if (!f->devices.made[i].class->fields)
		return false;
	bytes = save_device(f, i, &size);
	mutate(bytes, size, size < 400 || below(2) ? size : 400);
	taken = load_device(f, i, bytes, size);
	free(bytes);
	return taken;
}

static void snapshots(void **state)
{
	char path[] = "/tmp/vmrun-fuzz-XXXXXX";
	struct drive_options o = { .path = path };
	uint64_t i, taken = 0, refused = 0;
	int fd = mkstemp(path), other;
	struct fake *f, *g;
	struct error err;

	(void)state;
	assert_int_equal(ftruncate(fd, 100 * 2048), 0);
	assert_int_equal(disk_open(&snap_disks[0], &o, &err), 0);
	snap_disks[1] = snap_disks[2] = snap_disks[0];		/* one file: it is locked */
	snap_disks[1].ide = snap_disks[2].ide = snap_disks[2].cdrom = true;
	other = snap_disks[0].fd;
	f = snap_machine();
	for (i = 0; i < rounds / 20; i++) {
		use_machine(f, 1 + below(4));
		g = load_good(f);
		if (load_bad(g)) {
			taken++;
			use_machine(g, 4);
		} else {
			refused++;
		}
		fake_destroy(g);
	}
	assert_true(taken > i / 10 && refused > i / 10);
	fake_destroy(f);
	close(other);
	close(fd);
	unlink(path);
}

static void quit(struct console_owner *o)
{
	(void)o;
}

static void command(struct console_owner *o, const char *line, FILE *out)
{
	(void)o;
	fprintf(out, "%s\n", line);
}

static void lost(struct console_owner *o, const char *why)
{
	(void)o;
	fail_msg("output lost: %s", why);
}

static void keys(void **state)
{
	struct console_owner owner = { quit, command, lost };
	static const char interesting[] = "\x01\x01" "cxah\r\n\x7f\x15qi";
	struct console c;
	struct error err;
	struct loop loop;
	FILE *null = fopen("/dev/null", "w");
	uint8_t key, got[64];
	uint64_t i;

	(void)state;
	assert_int_equal(loop_create(&loop, &err), 0);
	assert_int_equal(console_create(&c, 0, fileno(null), &owner, &loop, &err), 0);
	c.tty = true;
	for (i = 0; i < rounds * 5; i++) {
		key = below(2) ? (uint8_t)interesting[below(sizeof(interesting))] : rnd();
		console_input(&c, &key, 1);
		if (!below(100))
			c.chr.read(&c.chr, got, below(sizeof(got)));
	}
	console_destroy(&c);
	loop_destroy(&loop);
	fclose(null);
}

static void page_tables(void **state)
{
	struct guest_mem mem;
	struct error err;
	uint64_t i, gpa, *words;

	(void)state;
	assert_int_equal(mem_create(&mem, MEM_MIN, &err), 0);
	words = mem_at(&mem, 0, MEM_MIN);
	for (i = 0; i < MEM_MIN / 8; i++)
		words[i] = below(4) ? (rnd() & 0x1ff8f) | 1 : nasty();
	for (i = 0; i < rounds * 5; i++) {
		struct minivmm_sregs s = {
			.cr0 = below(8) ? 0x80000001 : 1,
			.cr3 = below(2) ? rnd() & 0xfffff : nasty(),
			.cr4 = rnd(), .efer = rnd(),
		};
		uint8_t buf[16];

		walk(&mem, &s, nasty(), &gpa);
		walk_read(&mem, &s, nasty(), buf, sizeof(buf));
	}
	mem_destroy(&mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(images),
		machine_test(devices),
		cmocka_unit_test(drives),
		cmocka_unit_test(virtio_devices),
		cmocka_unit_test(snapshots),
		cmocka_unit_test(keys),
		cmocka_unit_test(page_tables),
	};

	if (getenv("FUZZ_ROUNDS"))
		rounds = strtoull(getenv("FUZZ_ROUNDS"), NULL, 0);
	if (getenv("FUZZ_SEED"))
		seed = strtoull(getenv("FUZZ_SEED"), NULL, 0) | 1;
	if (getenv("FUZZ_ONLY"))
		cmocka_set_test_filter(getenv("FUZZ_ONLY"));
	return cmocka_run_group_tests_name("vmrun fuzz", tests, NULL, NULL);
}
