// SPDX-License-Identifier: GPL-2.0
/* Command lines as people write them: what vmrun makes of image, BIOS and drives, or why not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "exitcode.h"
#include "machine.h"

#define WORDS_MAX	16
#define NO_HYPERVISOR	"/nonexistent"

static char directory[] = "/tmp/vmrun_machine.XXXXXX";

struct patch {
	size_t offset;
	const char *bytes;
	size_t len;
};

static void make_file(const char *name, off_t size, const struct patch *p)
{
	FILE *f = fopen(name, "w");

	assert_non_null(f);
	assert_int_equal(ftruncate(fileno(f), size), 0);
	for (; p->len; p++) {
		assert_int_equal(fseek(f, p->offset, SEEK_SET), 0);
		assert_int_equal(fwrite(p->bytes, p->len, 1, f), 1);
	}
	assert_int_equal(fclose(f), 0);
}

/* Their names are what they are. */
static int make_files(void **state)
{
	static const struct patch
		none[] = { { } },
		boot_mark[] = { { 510, "\x55\xaa", 2 }, { } },
		volume[] = { { 0x8001, "CD001", 5 }, { } },
		far_jump[] = { { 0x10000 - 16, "\xea\x5b\xe0\x00\xf0", 5 }, { } },
		qcow2[] = { { 0, "QFI\xfb", 4 }, { } };

	(void)state;
	if (!mkdtemp(directory) || chdir(directory))
		return -1;
	make_file("program", 512, boot_mark);
	make_file("disk", 1 << 20, boot_mark);
	make_file("cd", 1 << 20, volume);
	make_file("bios", 0x10000, far_jump);
	make_file("qcow2", 4096, qcow2);
	make_file("zeros", 4096, none);
	make_file("empty", 0, none);
	return 0;
}

static int remove_files(void **state)
{
	static const char *const names[] = {
		"program", "disk", "cd", "bios", "qcow2", "zeros", "empty",
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlink(names[i]);
	return chdir("/") || rmdir(directory);
}

/* Return: the exit code that vmrun would end with; err says why. */
static int start(const char *line, struct machine *m, struct error *err)
{
	char text[256], *argv[WORDS_MAX] = { "vmrun", "--dev", NO_HYPERVISOR }, *word;
	struct options o;
	int argc = 3, rc;

	snprintf(text, sizeof(text), "%s", line);
	for (word = strtok(text, " "); word && argc < WORDS_MAX - 1; word = strtok(NULL, " "))
		argv[argc++] = word;
	rc = EXIT_USAGE;
	if (options_parse(&o, argc, argv, stdout, err) == OPTIONS_RUN) {
		rc = machine_create(m, &o, err);
		machine_destroy(m);
	}
	options_free(&o);
	return rc;
}

/* They get as far as the hypervisor, which isn't there. */
static void lines_that_start(void **state)
{
	static const struct { const char *line, *kind; bool cd_first; } good[] = {
		{ "program", "boot sector", false },
		{ "disk", "disk image", false },
		{ "cd", "CD image", true },
		{ "bios", "firmware", false },
		{ "--bios bios", "firmware", false },
		{ "--disk disk --bios=bios", "firmware", false },
		{ "--disk disk,ro --disk disk,ro --cdrom cd --bios=bios", "firmware", false },
		{ "disk --cdrom cd --bios=bios --boot-menu", "disk image", false },
		{ "cd --disk disk --bios=bios --debug-bios", "CD image", true },
		{ "program --disk disk", "boot sector", false },
		{ "program --disk disk --append words", "boot sector", false },
	};
	struct machine m;
	struct error err;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		/* Without --bios=, whether there is a BIOS depends on what is installed. */
		const char *line = good[i].line;
		char with_bios[128];

		if (!strstr(line, "bios") && strncmp(line, "program", 7)) {
			snprintf(with_bios, sizeof(with_bios), "%s --bios=bios", line);
			line = with_bios;
		}
		assert_int_equal(start(line, &m, &err), EXIT_HOST_FAILED);
		assert_string_equal(m.image_kind, good[i].kind);
		assert_int_equal(m.cd_first, good[i].cd_first);
	}
}

static void lines_that_are_refused(void **state)
{
	static const struct { const char *line; int code; const char *why; } bad[] = {
		{ "", EXIT_USAGE, "which image?" },
		{ "--boot-menu", EXIT_USAGE, "which image?" },
		{ "--bios program", EXIT_IMAGE, "a BIOS is named with --bios=FILE" },
		{ "program --boot-menu", EXIT_IMAGE, "--boot-menu has no meaning" },
		{ "program --debug-bios", EXIT_IMAGE, "--debug-bios has no meaning" },
		{ "--bios=program", EXIT_IMAGE, "no PC firmware" },
		{ "--bios=missing", EXIT_IMAGE, "missing: No such file" },
		{ "--bios=empty", EXIT_IMAGE, "empty" },
		{ "--bios=bios --mem 2M", EXIT_IMAGE, "at least 4 MiB" },
		{ "--bios=bios --initrd zeros", EXIT_IMAGE, "--initrd goes with a kernel" },
		{ "--bios=bios --append words", EXIT_IMAGE, "--append goes with a kernel" },
		{ "disk --bios=bios --append words", EXIT_IMAGE, "--append goes with a kernel" },
		{ "--bios=bios --disk missing", EXIT_IMAGE, "missing: No such file" },
		{ "--bios=bios --disk empty", EXIT_IMAGE, "smaller than a sector" },
		{ "--bios=bios --disk .,ro", EXIT_IMAGE, "neither a file nor a block device" },
		{ "--bios=bios --cdrom /dev/null", EXIT_IMAGE, "neither a file nor" },
		{ "--bios=bios --disk qcow2", EXIT_IMAGE, "qemu-img convert" },
		{ "--bios=bios --disk disk --disk disk", EXIT_IMAGE, "in use" },
		{ "disk --bios=bios --disk disk", EXIT_IMAGE, "in use" },
		{ "--cdrom cd --cdrom cd --cdrom cd --cdrom cd --cdrom cd", EXIT_USAGE,
		  "room for 4 IDE drives" },
		{ "cd --bios=bios --cdrom cd --cdrom cd --cdrom cd --cdrom cd", EXIT_IMAGE,
		  "room for 4 IDE drives" },
		{ "qcow2", EXIT_IMAGE, "qemu-img convert" },
		{ "zeros", EXIT_IMAGE, "of no kind that vmrun knows" },
	};
	struct machine m;
	struct error err;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(start(bad[i].line, &m, &err), bad[i].code);
		if (!strstr(err.text, bad[i].why))
			fail_msg("vmrun %s: %s", bad[i].line, err.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_that_start),
		cmocka_unit_test(lines_that_are_refused),
	};

	return cmocka_run_group_tests_name("vmrun machine", tests, make_files, remove_files);
}
