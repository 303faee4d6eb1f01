// SPDX-License-Identifier: GPL-2.0
/* Snapshots: the file, and what is wrong with it; the command line in it; devices that go on. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "machine.h"
#include "snapshot.h"
#include "vmrun_driver.h"

#define PAGE		4096
#define MEM		(4ULL << 20)

static char path[] = "/tmp/vmrun-snapshot-XXXXXX";
static struct error err;

/* ---- the file -------------------------------------------------------------------------------- */

static int create(struct snapfile *s)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(snapfile_create(s, fd, path, &err), 0);
	return fd;
}

/* A command line, and memory. */
static void write_file(const struct guest_mem *mem, const char *text, size_t len)
{
	struct snapfile s;
	int fd = create(&s);

	assert_int_equal(snapfile_write(&s, "command", NULL, 0, text, len, &err), 0);
	assert_int_equal(snapshot_save_memory(mem, &s, &err), 0);
	assert_int_equal(snapfile_write_end(&s, &err), 0);
	close(fd);
}

/* Return: 0 when all of it is as it should be. */
static int read_file(struct guest_mem *mem)
{
	struct snapfile_section end;
	struct snapfile s;
	size_t len;
	void *text;
	int rc;

	err.text[0] = 0;
	madvise(mem->base, mem->size, MADV_DONTNEED);
	if (snapfile_open(&s, path, &err))
		return -1;
	rc = snapfile_get(&s, "command", &text, &len, &err);
	if (!rc)
		free(text);
	rc = rc || snapshot_load_memory(mem, &s, &end, &err) || snapfile_read_end(&s, &end, &err) ?
	     -1 : 0;
	snapfile_close(&s);
	return rc;
}

static void memory_comes_back(void **state)
{
	static const uint64_t pages[] = { 0, 1, 2, 7, 300, 301, MEM / PAGE - 1 };
	struct guest_mem a, b;
	struct snapfile s;
	struct stat st;
	unsigned int i;

	(void)state;
	assert_int_equal(mem_create(&a, MEM, &err), 0);
	assert_int_equal(mem_create(&b, MEM, &err), 0);
	for (i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
		a.base[pages[i] * PAGE + i * 600] = i + 1;
	write_file(&a, "vmrun", 6);
	assert_int_equal(read_file(&b), 0);
	assert_memory_equal(a.base, b.base, MEM);
	/* Zero pages take no room; runs longer than one section do their work. */
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size < 9 * PAGE);
	memset(a.base + PAGE, 0x55, 3 << 20);
	write_file(&a, "vmrun", 6);
	assert_int_equal(read_file(&b), 0);
	assert_memory_equal(a.base, b.base, MEM);
	/* It doesn't fit a smaller machine. */
	b.size = 1 << 20;
	assert_int_equal(read_file(&b), -1);
	assert_non_null(strstr(err.text, "damaged: its memory"));
	b.size = MEM;

	/* A full disk is said to be one. */
	assert_int_equal(snapfile_create(&s, open("/dev/full", O_WRONLY), "full", &err), -1);
	assert_non_null(strstr(err.text, "No space left on device"));
	close(s.fd);
	mem_destroy(&a);
	mem_destroy(&b);
}

static const char *why_not(struct disk *d, const struct fields *saved)
{
	static struct fields f;

	f = (struct fields){ .loading = true, .bytes = saved->bytes, .size = saved->size };
	snapshot_disk_fields(d, &f);
	return f.why;
}

static void open_disk(struct disk *d, const char *name, bool readonly)
{
	const struct drive_options o = { .path = name, .readonly = readonly };

	assert_int_equal(disk_open(d, &o, &err), 0);
}

static void disk_must_be_as_it_was(void **state)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = 1000 } };
	char name[] = "/tmp/vmrun-disk-XXXXXX", copy[] = "/tmp/vmrun-copy-XXXXXX";
	struct fields saved = {};
	struct disk d;
	int i;

	(void)state;
	assert_int_equal(ftruncate(mkstemp(name), 4096) | ftruncate(mkstemp(copy), 4096), 0);
	open_disk(&d, name, false);
	snapshot_disk_fields(&d, &saved);
	disk_close(&d);
	for (i = 0; i < 2; i++) {	/* to open it is no change */
		open_disk(&d, name, false);
		assert_null(why_not(&d, &saved));
		disk_close(&d);
	}
	assert_int_equal(utimensat(AT_FDCWD, name, times, 0), 0);
	open_disk(&d, name, false);
	assert_non_null(strstr(why_not(&d, &saved), "was written to after the snapshot"));
	disk_close(&d);
	open_disk(&d, name, true);
	assert_null(why_not(&d, &saved));
	disk_close(&d);
	open_disk(&d, copy, false);
	assert_null(why_not(&d, &saved));
	disk_close(&d);
	free(saved.bytes);
	unlink(name);
	unlink(copy);
}

static void damaged_files_are_refused(void **state)
{
	struct guest_mem mem;
	struct stat st;
	uint8_t byte;
	off_t at;
	int fd;

	(void)state;
	assert_int_equal(mem_create(&mem, MEM, &err), 0);
	memset(mem.base + 5 * PAGE, 0xaa, 100);
	mem.base[MEM - 1] = 1;
	write_file(&mem, "vmrun\0kernel", 13);
	assert_int_equal(read_file(&mem), 0);
	fd = open(path, O_RDWR);
	assert_int_equal(fstat(fd, &st), 0);
	for (at = 0; at < st.st_size; at += at < 200 || at > st.st_size - 200 ? 1 : 61) {
		assert_int_equal(pread(fd, &byte, 1, at), 1);
		byte ^= 1 << at % 8;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
		/* Four bytes of the header are for later. */
		if (read_file(&mem) != (at >= 12 && at < 16 ? 0 : -1))
			fail_msg("byte %ld: \"%s\"", (long)at, err.text);
		byte ^= 1 << at % 8;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	}
	assert_int_equal(read_file(&mem), 0);
	for (at = st.st_size - 1; at >= 0; at -= at < 200 || at > st.st_size - 200 ? 1 : 61) {
		assert_int_equal(ftruncate(fd, at), 0);
		assert_int_equal(read_file(&mem), -1);
		assert_non_null(strstr(err.text, at < 16 ? "no snapshot" : "ends too early"));
	}
	close(fd);
	mem_destroy(&mem);
}

/* What no vmrun writes, with a right sum as far as one gets. */
static void hostile_files_are_refused(void **state)
{
	static const struct { uint64_t at, len; } bad[] = {
		{ 1, PAGE }, { MEM, PAGE }, { MEM - PAGE, 2 * PAGE }, { ~0ULL, PAGE },
		{ -PAGE, 2 * PAGE }, { 0, PAGE + 8 }, { 0, PAGE - 1 }, { 1ULL << 63, PAGE },
	};
	static uint8_t bytes[2 * PAGE];
	struct snapfile_section h = { .name = "ram", .len = 7 };
	struct guest_mem mem;
	struct snapfile s;
	unsigned int i;
	int fd;

	(void)state;
	assert_int_equal(mem_create(&mem, MEM, &err), 0);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fd = create(&s);
		snapfile_write(&s, "command", NULL, 0, "vmrun", 6, &err);
		snapfile_write(&s, "ram", &bad[i].at, 8, bytes, bad[i].len, &err);
		snapfile_write_end(&s, &err);
		close(fd);
		assert_int_equal(read_file(&mem), -1);
		assert_non_null(strstr(err.text, "damaged: its memory"));
	}
	/* Lengths that nothing stands behind. */
	for (i = 0; i < 3; i++) {
		fd = create(&s);
		snapfile_write(&s, "command", NULL, 0, "vmrun", 6, &err);
		h.len = i == 2 ? ~0ULL : i ? 8 + (1ULL << 40) : 7;
		assert_int_equal(write(fd, &h, sizeof(h)), sizeof(h));
		assert_int_equal(write(fd, bytes, 8), 8);
		close(fd);
		assert_int_equal(read_file(&mem), -1);
	}
	fd = create(&s);
	strcpy(h.name, "command");
	h.len = ~0ULL;
	assert_int_equal(write(fd, &h, sizeof(h)), sizeof(h));
	close(fd);
	assert_int_equal(read_file(&mem), -1);
	assert_non_null(strstr(err.text, "too long"));
	fd = create(&s);
	strcpy(h.name, "\033[2J");
	assert_int_equal(write(fd, &h, sizeof(h)), sizeof(h));
	close(fd);
	assert_int_equal(read_file(&mem), -1);
	assert_null(strchr(err.text, 033));
	mem_destroy(&mem);
}

static void other_versions_are_named(void **state)
{
	uint32_t version = 77;
	struct snapfile s;
	int fd = create(&s);

	(void)state;
	assert_int_equal(pwrite(fd, &version, 4, 8), 4);
	close(fd);
	assert_int_equal(snapfile_open(&s, path, &err), -1);
	assert_non_null(strstr(err.text, "a snapshot of version 77"));
	assert_int_equal(snapfile_open(&s, "/nonexistent", &err), -1);
	assert_int_equal(snapfile_open(&s, "/dev/zero", &err), -1);
	assert_non_null(strstr(err.text, "this is no snapshot"));
}

/* ---- the command line ------------------------------------------------------------------------ */

static struct options o;

static enum options_result parse(char **words, int nr)
{
	err.text[0] = 0;
	options_free(&o);
	return options_parse(&o, nr, words, stdout, &err);
}

#define PARSE(...)								\
	({ char *words[] = { "vmrun", __VA_ARGS__, NULL };			\
	   char copies[30][64];							\
	   int i;								\
	   for (i = 0; words[i]; i++)						\
		   words[i] = strcpy(copies[i], words[i]);			\
	   parse(words, sizeof(words) / sizeof(words[0]) - 1); })

/* What is in o becomes a snapshot's. */
static void record(void)
{
	struct snapfile s;
	int fd = create(&s);

	assert_int_equal(snapfile_write(&s, "command", NULL, 0, o.args.text, o.args.text_len,
					&err), 0);
	close(fd);
}

static void command_lines_are_kept(void **state)
{
	(void)state;
	assert_int_equal(PARSE("--mem", "64M", "--disk", "a,ro", "--disk", "b", "--name", "one",
			       "--net", "user,mac=02:00:00:00:00:01", "--console-port", "p=pty",
			       "--timeout", "3", "--no-sandbox", "--mmu", "ept", "--stats", "--",
			       "kernel"), OPTIONS_RUN);
	record();
	assert_int_equal(PARSE("--restore", path), OPTIONS_RUN);
	assert_string_equal(o.restore, path);
	assert_string_equal(o.image, "kernel");
	assert_int_equal(o.mem, 64 << 20);
	assert_int_equal(o.nr_drives, 2);
	assert_string_equal(o.drives[0].path, "a");
	assert_true(o.drives[0].readonly);
	assert_int_equal(o.nr_nets, 1);
	assert_int_equal(o.nets[0].mac[5], 1);
	assert_string_equal(o.console_ports[0].where, "pty");
	assert_string_equal(o.name, "one");
	assert_int_equal(o.mmu, MMU_EPT);
	/* That was for then. */
	assert_true(o.timeout == 0);
	assert_false(o.no_sandbox || o.stats);

	/* What is said now counts, wherever it stands. */
	assert_int_equal(PARSE("--mmu", "shadow", "--disk", "c", "--timeout", "5", "--restore",
			       path, "--name", "two", "other"), OPTIONS_RUN);
	assert_int_equal(o.mmu, MMU_SHADOW);
	assert_int_equal(o.nr_drives, 1);
	assert_string_equal(o.drives[0].path, "c");
	assert_string_equal(o.image, "other");
	assert_string_equal(o.name, "two");
	assert_int_equal(o.nr_nets, 1);
	assert_true(o.timeout == 5);

	/* And once more, from a snapshot of that. */
	record();
	assert_int_equal(PARSE("--restore", path, "--mmu", "ept"), OPTIONS_RUN);
	assert_int_equal(o.nr_drives, 1);
	assert_string_equal(o.drives[0].path, "c");
	assert_string_equal(o.image, "other");
	assert_int_equal(o.mem, 64 << 20);
	assert_int_equal(o.mmu, MMU_EPT);

	assert_int_equal(PARSE("--restore", path, "a", "b"), OPTIONS_BAD);
	assert_non_null(strstr(err.text, "one image only"));
	assert_int_equal(PARSE("--restor", path), OPTIONS_BAD);
	assert_int_equal(PARSE("--restore", path, "--restart"), OPTIONS_BAD);
	assert_non_null(strstr(err.text, "nothing to start again from"));
	assert_int_equal(PARSE("--restore", "/nonexistent"), OPTIONS_BAD);
	assert_int_equal(PARSE("--restore"), OPTIONS_BAD);
}

static void hostile_command_lines(void **state)
{
	static const struct { const char *text; size_t len; } bad[] = {
		{ "", 0 }, { "vmrun", 5 }, { "vmrun\0--mem", 12 }, { "vmrun\0--nothing", 16 },
		{ "vmrun\0--mem\0x", 14 }, { "vmrun\0a\0b", 10 },
	};
	struct snapfile s;
	unsigned int i;
	int fd;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fd = create(&s);
		snapfile_write(&s, "command", NULL, 0, bad[i].text, bad[i].len, &err);
		close(fd);
		if (PARSE("--restore", path) != OPTIONS_BAD || !err.text[0])
			fail_msg("line %u was taken", i);
	}
	options_free(&o);
}

/* ---- CPUs ------------------------------------------------------------------------------------ */

static void what_a_cpu_lacks_is_named(void **state)
{
	struct { struct minivmm_cpuid2 list; struct minivmm_cpuid_entry2 e[2]; } host = {
		{ .nent = 2 }, { { .function = 1, .ecx = 0xf0 }, { .function = 7, .ebx = 6 } },
	}, guest = host;

	(void)state;
	assert_int_equal(cpuid_check(&host.list, &guest.list, &err), 0);
	guest.e[0].ecx |= 1U << 27;		/* OSXSAVE is the guest's own doing */
	guest.e[1].ebx = 2;
	assert_int_equal(cpuid_check(&host.list, &guest.list, &err), 0);
	guest.e[1].ebx = 1 << 5;
	assert_int_equal(cpuid_check(&host.list, &guest.list, &err), -1);
	assert_non_null(strstr(err.text, "CPUID leaf 0x7, EBX bit 5"));
	host.list.nent = 0;
	assert_int_equal(cpuid_check(&host.list, &guest.list, &err), -1);
	assert_non_null(strstr(err.text, "CPUID leaf 0x1, ECX bit 4"));
}

/* ---- devices --------------------------------------------------------------------------------- */

/* All devices of one machine into another, with the memory. */
static void move(struct fake *from, struct fake *to)
{
	struct snapfile s;
	unsigned int i;
	int fd = create(&s);

	for (i = 0; i < from->devices.nr; i++) {
		const struct device_class *c = from->devices.made[i].class;

		if (c->fields && snapfile_save(&s, c->name, c->fields, from->devices.made[i].dev,
					       &err))
			fail_msg("%s", err.text);
	}
	close(fd);
	memcpy(to->mem.base, from->mem.base, FAKE_MEM);
	assert_int_equal(snapfile_open(&s, path, &err), 0);
	for (i = 0; i < to->devices.nr; i++) {
		const struct device_class *c = to->devices.made[i].class;

		if (c->fields && snapfile_load(&s, c->name, c->fields, to->devices.made[i].dev,
					       &err))
			fail_msg("%s", err.text);
	}
	snapfile_close(&s);
}

static void chips_go_on(void **state)
{
	struct fake *f = *state, *g = fake_machine();

	outb(f, 0x3f8 + 4, 0x08);		/* the UART: a byte has come, and its interrupt */
	outb(f, 0x3f8 + 1, 0x01);
	fake_input(f, "x");
	assert_int_equal(f->level[4], 1);
	outb(f, 0x70, 0x40);			/* a byte of CMOS memory, and half of an access */
	outb(f, 0x71, 0x5a);
	outw(f, 0x510, 0x19);			/* in the middle of fw_cfg's directory */
	inb(f, 0x511);
	inb(f, 0x511);
	inb(f, 0x511);
	outb(f, 0x64, 0x20);			/* the keyboard controller has an answer */
	outl(f, 0xcf8, 0x80000800);
	move(f, g);
	assert_int_equal(g->level[4], 1);
	assert_int_equal(inb(g, 0x3f8), 'x');
	assert_int_equal(g->level[4], 0);
	assert_int_equal(inb(g, 0x71), 0x5a);
	assert_int_equal(inb(g, 0x511), inb(f, 0x511));
	assert_int_equal(inb(g, 0x60), inb(f, 0x60));
	assert_int_equal(inl(g, 0xcfc), 0x70008086);
	fake_destroy(g);
}

/* A request of which the device hasn't been told yet, or has: it is served once, by the other. */
static void requests_are_served(void **state)
{
	static const uint64_t all[] = { SPLIT, SPLIT | INDIRECT, PACKED, PACKED | INDIRECT };
	struct buffer b = { BUFFERS_AT, 64, true };
	unsigned int i, n, id;
	uint32_t len;

	(void)state;
	for (i = 0; i < 2 * sizeof(all) / sizeof(all[0]); i++) {
		struct fake *f = fake_machine(), *g = fake_machine();
		struct driver d;

		driver_find(&d, f, VIRTIO_ID_RNG, 0);
		driver_start(&d, all[i / 2], 4);
		driver_use_msix(&d);
		for (n = 0; n < 6; n++)
			assert_int_equal(driver_do(&d, 0, &b, 1), 64);
		driver_add(&d, 0, &b, 1);
		if (i % 2)
			reg_put(&d, NOTIFY, 2, 0);
		move(f, g);
		d.f = g;
		assert_int_equal(status(&d), STARTED);
		fake_serve(g);
		assert_true(driver_used(&d, 0, &id, &len));
		assert_int_equal(len, 64);
		assert_false(driver_used(&d, 0, &id, &len));
		assert_true(g->messages > 1);	/* and those that may have been lost */
		for (n = 0; n < 6; n++)
			assert_int_equal(driver_do(&d, 0, &b, 1), 64);
		fake_destroy(f);
		fake_destroy(g);
	}
}

static int make(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	return fd < 0 ? -1 : close(fd);
}

static int clean_up(void **state)
{
	(void)state;
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_comes_back),
		cmocka_unit_test(disk_must_be_as_it_was),
		cmocka_unit_test(damaged_files_are_refused),
		cmocka_unit_test(hostile_files_are_refused),
		cmocka_unit_test(other_versions_are_named),
		cmocka_unit_test(command_lines_are_kept),
		cmocka_unit_test(hostile_command_lines),
		cmocka_unit_test(what_a_cpu_lacks_is_named),
		machine_test(chips_go_on),
		cmocka_unit_test(requests_are_served),
	};

	return cmocka_run_group_tests_name("vmrun snapshots", tests, make, clean_up);
}
