// SPDX-License-Identifier: GPL-2.0
/* The command line. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "options.h"

#define ARGS_MAX	40

static struct options o;
static struct error err;
static char *said;

/* Parses a line of words; single quotes hold spaces. */
static enum options_result parse(const char *line)
{
	static char copy[1024];		/* what points into it is looked at afterwards */
	char *argv[ARGS_MAX] = { "vmrun" }, *p = copy;
	enum options_result rc;
	int argc = 1;
	size_t size;
	FILE *out;

	snprintf(copy, sizeof(copy), "%s", line);
	while (*p && argc < ARGS_MAX - 1) {
		char end = *p == '\'' ? '\'' : ' ';

		argv[argc++] = p += end == '\'';
		p += strcspn(p, end == '\'' ? "'" : " ");
		while (*p == end || *p == ' ')
			*p++ = 0;
	}
	free(said);
	said = NULL;
	out = open_memstream(&said, &size);
	err.text[0] = 0;
	options_free(&o);
	rc = options_parse(&o, argc, argv, out, &err);
	fclose(out);
	return rc;
}

static void assert_bad(const char *line, const char *word)
{
	if (parse(line) != OPTIONS_BAD)
		fail_msg("\"%s\" was taken", line);
	if (!strstr(err.text, word))
		fail_msg("\"%s\" doesn't say \"%s\"", err.text, word);
}

static void defaults(void **state)
{
	(void)state;
	assert_int_equal(parse("kernel"), OPTIONS_RUN);
	assert_int_equal(o.mem, 256 << 20);
	assert_int_equal(o.cpus, 1);
	assert_int_equal(o.mmu, MMU_AUTO);
	assert_string_equal(o.dev, "/dev/minivmm");
	assert_null(o.append);
	assert_null(o.name);
	assert_null(o.initrd);
	assert_false(o.flat.forced);
	assert_true(o.timeout == 0);
	assert_false(o.stats);
}

static void sizes(void **state)
{
	static const struct { const char *text; uint64_t bytes; } good[] = {
		{ "1", 1 << 20 }, { "512", 512 << 20 }, { "1M", 1 << 20 }, { "64m", 64 << 20 },
		{ "2048K", 2 << 20 }, { "2G", 2ULL << 30 }, { "1024G", 1ULL << 40 },
		{ "1028k", 1028 << 10 },
	};
	static const char *const bad[] = {
		"0", "", "x", "-1", "+5", "1T", "1MB", "512 M", "1023K", "1025K", "1025G",
		"99999999999999999999", "18014398509481985M", "0x100", "K", "1.5G",
	};
	char line[100];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		snprintf(line, sizeof(line), "--mem %s kernel", good[i].text);
		assert_int_equal(parse(line), OPTIONS_RUN);
		assert_true(o.mem == good[i].bytes);
	}
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(line, sizeof(line), "--mem '%s' kernel", bad[i]);
		assert_bad(line, "--mem");
	}
}

static void counts(void **state)
{
	(void)state;
	assert_int_equal(parse("--cpus 4 kernel"), OPTIONS_RUN);
	assert_int_equal(o.cpus, 4);
	assert_int_equal(parse("--cpus=64 kernel"), OPTIONS_RUN);
	assert_bad("--gdb-wait kernel", "--gdb");
	assert_bad("--cpus 0 kernel", "--cpus");
	assert_bad("--cpus 65 kernel", "--cpus");
	assert_bad("--cpus two kernel", "--cpus");
	assert_bad("--cpus 2x kernel", "--cpus");
	assert_int_equal(parse("--timeout 2.5 kernel"), OPTIONS_RUN);
	assert_true(o.timeout == 2.5);
	assert_bad("--timeout 0 kernel", "--timeout");
	assert_bad("--timeout -1 kernel", "--timeout");
	assert_bad("--timeout nan kernel", "--timeout");
	assert_bad("--timeout inf kernel", "--timeout");
	assert_bad("--timeout 1e30 kernel", "--timeout");
	assert_bad("--timeout soon kernel", "--timeout");
}

static void choices(void **state)
{
	(void)state;
	assert_int_equal(parse("--mmu ept kernel"), OPTIONS_RUN);
	assert_int_equal(o.mmu, MMU_EPT);
	assert_int_equal(parse("--mmu shadow kernel"), OPTIONS_RUN);
	assert_int_equal(o.mmu, MMU_SHADOW);
	assert_bad("--mmu npt kernel", "auto, ept or shadow");
	assert_int_equal(parse("--entry-mode long --load-addr 0x200000 program"), OPTIONS_RUN);
	assert_true(o.flat.forced && o.flat.addr_given);
	assert_int_equal(o.flat.mode, ENTRY_LONG);
	assert_int_equal(o.flat.addr, 0x200000);
	assert_bad("--entry-mode virtual program", "real, prot or long");
	assert_bad("--load-addr 0x200000 program", "--entry-mode");
	assert_bad("--entry-mode long --load-addr here program", "address");
	assert_bad("--entry-mode long --load-addr -1 program", "address");
}

static void switches(void **state)
{
	(void)state;
	assert_int_equal(parse("kernel --stats --debug-ioport --debug-mmio --dev /dev/kvm"),
			 OPTIONS_RUN);
	assert_true(o.stats && o.debug_ioport && o.debug_mmio);
	assert_int_equal(parse("--append 'console=ttyS0 quiet' --initrd disk -- kernel"),
			 OPTIONS_RUN);
	assert_bad("", "image");
	assert_bad("one two", "two");
	assert_bad("--frobnicate kernel", "--frobnicate");
	assert_bad("-x kernel", "-x");
	assert_bad("kernel --mem", "needs a value");
	assert_bad("--stats=yes kernel", "--stats");
	assert_bad("--debug-bios=yes kernel", "--debug-bios");
	assert_int_equal(parse("--stats=0.5 kernel"), OPTIONS_RUN);
	assert_true(o.stats && o.stats_interval == 0.5);
	assert_int_equal(parse("--stats kernel"), OPTIONS_RUN);
	assert_true(o.stats && !o.stats_interval);
	assert_int_equal(parse("--kernel one --disk two"), OPTIONS_RUN);
	assert_string_equal(o.image, "one");
	assert_bad("--kernel one two", "two");
	assert_int_equal(parse("--name a-1_b.C kernel"), OPTIONS_RUN);
	assert_string_equal(o.name, "a-1_b.C");
	assert_bad("--name ../x kernel", "--name");
	assert_bad("--name .x kernel", "--name");
	assert_bad("--name '' kernel", "--name");
}

static void firmware_and_drives(void **state)
{
	(void)state;
	assert_int_equal(parse("--bios"), OPTIONS_RUN);
	assert_string_equal(o.bios, DEFAULT_BIOS);
	assert_null(o.image);
	assert_int_equal(parse("--bios=other.bin --debug-bios --boot-menu"), OPTIONS_RUN);
	assert_string_equal(o.bios, "other.bin");
	assert_true(o.debug_bios && o.boot_menu && !o.stats);
	assert_int_equal(parse("--disk a --cdrom b,ro --disk c,ro kernel"), OPTIONS_RUN);
	assert_string_equal(o.image, "kernel");
	assert_int_equal(o.nr_drives, 3);
	assert_string_equal(o.drives[0].path, "a");
	assert_true(!o.drives[0].cdrom && !o.drives[0].readonly);
	assert_string_equal(o.drives[1].path, "b,ro");
	assert_true(o.drives[1].cdrom);
	assert_string_equal(o.drives[2].path, "c");
	assert_true(o.drives[2].readonly);
	assert_int_equal(parse("--cdrom b"), OPTIONS_RUN);
	assert_int_equal(parse("--disk a,b,ide,ro --disk ,ro --disk d,threads,rw"), OPTIONS_RUN);
	assert_string_equal(o.drives[0].path, "a,b");
	assert_true(o.drives[0].ide && o.drives[0].readonly && !o.drives[0].threads);
	assert_string_equal(o.drives[1].path, ",ro");
	assert_string_equal(o.drives[2].path, "d,threads,rw");
	assert_bad("--disk 1 --disk 2 --disk 3 --disk 4 --disk 5 --disk 6 --disk 7 --disk 8 "
		   "--disk 9 --disk 10 --disk 11 --disk 12 --disk 13 --disk 14 --disk 15 "
		   "--disk 16 --disk 17", "16 drives");
	assert_bad("--cdrom 1 --disk 2,ide --cdrom 3 --disk 4 --disk 5,ide --cdrom 6",
		   "4 IDE drives");
	assert_bad("--entry-mode real --bios", "--entry-mode");
}

static void networks(void **state)
{
	(void)state;
	assert_int_equal(parse("kernel --net user --net tap,ifname=tap0,mac=52:54:00:12:34:5f "
			       "--net user,no-host,hostfwd=tcp::80-:8080,"
			       "hostfwd=udp:10.1.2.3:53-10.0.2.16:5353 --name n"), OPTIONS_RUN);
	assert_int_equal(o.nr_nets, 3);
	assert_int_equal(o.nets[0].kind, NET_USER);
	assert_true(o.nets[0].mac[0] == 2 && o.nets[2].mac[0] == 2);
	assert_memory_not_equal(o.nets[0].mac, o.nets[2].mac, 6);
	assert_int_equal(o.nets[1].kind, NET_TAP);
	assert_string_equal(o.nets[1].ifname, "tap0");
	assert_memory_equal(o.nets[1].mac, "\x52\x54\0\x12\x34\x5f", 6);
	assert_true(o.nets[2].no_host && !o.nets[0].no_host);
	assert_int_equal(o.nets[2].nr_forwards, 2);
	assert_memory_equal(&o.nets[2].forwards[0].host, "\x7f\0\0\1", 4);
	assert_int_equal(o.nets[2].forwards[0].guest, 0);
	assert_int_equal(o.nets[2].forwards[0].host_port, 80);
	assert_int_equal(o.nets[2].forwards[0].guest_port, 8080);
	assert_true(o.nets[2].forwards[1].udp);
	assert_memory_equal(&o.nets[2].forwards[1].guest, "\x0a\0\2\x10", 4);
	assert_int_equal(o.nets[1].vhost, VHOST_IF_THERE);
	assert_int_equal(parse("kernel --net tap,vhost=on --net tap,vhost=off"), OPTIONS_RUN);
	assert_int_equal(o.nets[0].vhost, VHOST_ON);
	assert_int_equal(o.nets[1].vhost, VHOST_OFF);
	assert_bad("kernel --net tap,vhost=maybe", "on or off");
	assert_bad("kernel --net user,vhost=on", "vhost");
	assert_bad("kernel --net wifi", "user or tap");
	assert_bad("kernel --net user,ifname=x", "ifname");
	assert_bad("kernel --net tap,no-host", "no-host");
	assert_bad("kernel --net tap,ifname=", "no name of a network interface");
	assert_bad("kernel --net tap,ifname=a-name-that-is-too-long", "no name");
	assert_bad("kernel --net user,hostfwd=tcp:80-:80", "hostfwd=tcp:80-:80");
	assert_bad("kernel --net user,hostfwd=tcp::0-:80", "hostfwd");
	assert_bad("kernel --net user,hostfwd=tcp::80-:65536", "hostfwd");
	assert_bad("kernel --net user,hostfwd=sctp::80-:80", "hostfwd");
	assert_bad("kernel --net user,hostfwd=tcp:localhost:80-:80", "hostfwd");
	assert_bad("kernel --net user,mac=53:54:00:12:34:56", "mac=");
	assert_bad("kernel --net user,mac=52:54:00:12:34", "mac=");
	assert_bad("kernel --net user,mac=52:54:00:12:34:56:78", "mac=");
	assert_bad("kernel --net user --net user --net user --net user --net user", "4 cards");
}

static void streams(void **state)
{
	(void)state;
	assert_int_equal(parse("kernel --serial2 pty --console-port a=unix:/x=y --hvc "
			       "--console-port b.c=file"), OPTIONS_RUN);
	assert_string_equal(o.serial2, "pty");
	assert_true(o.hvc);
	assert_int_equal(o.nr_ports, 2);
	assert_string_equal(o.console_ports[0].name, "a");
	assert_string_equal(o.console_ports[0].where, "unix:/x=y");
	assert_string_equal(o.console_ports[1].name, "b.c");
	assert_int_equal(parse("kernel --serial2 pty --serial2 none"), OPTIONS_RUN);
	assert_null(o.serial2);
	assert_bad("kernel --console-port a", "NAME=WHERE");
	assert_bad("kernel --console-port a=", "NAME=WHERE");
	assert_bad("kernel --console-port a/b=c", "letters");
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static void words_in_a_file(void **state)
{
	char path[] = "/tmp/vmrun-options-XXXXXX", line[100];

	(void)state;
	close(mkstemp(path));
	write_file(path, "# what one needs often\n--mem 64M # and more\n\t--append 'a # \"b\\'\n"
		   "--initrd \"c d\"e\\ \\#f --disk=a#b\n\n--cpus 2");
	snprintf(line, sizeof(line), "@%s kernel --cpus 3", path);
	if (parse(line) != OPTIONS_RUN)
		fail_msg("%s", err.text);
	assert_int_equal(o.mem, 64 << 20);
	assert_string_equal(o.append, "a # \"b\\");
	assert_string_equal(o.initrd, "c de #f");
	assert_string_equal(o.drives[0].path, "a#b");
	assert_string_equal(o.image, "kernel");
	assert_int_equal(o.cpus, 3);			/* the later one wins */
	snprintf(line, sizeof(line), "-- @%s", path);
	assert_int_equal(parse(line), OPTIONS_RUN);
	assert_true(o.image[0] == '@');

	snprintf(line, sizeof(line), "@%s", path);
	write_file(path, "--mem 64M\n--append 'a\nb\n");
	assert_bad(line, ":2: this quote has no end");
	write_file(path, "");
	assert_bad(line, "which image?");
	unlink(path);
	assert_bad(line, "No such file");
	assert_bad("@/", "@/");
	assert_bad("@/dev/zero", "not a text");
}

static char *read_source(const char *name)
{
	char path[256], *text = calloc(1, 65536);
	FILE *f;

	snprintf(path, sizeof(path), VMRUN_SOURCE "/%s", name);
	f = fopen(path, "r");
	assert_non_null(f);
	assert_in_range(fread(text, 1, 65536, f), 1, 65535);
	fclose(f);
	return text;
}

/* troff's way to write it, and how it goes on. */
static bool manual_has(const char *manual, const char *option)
{
	char roff[100] = "", *p = roff;

	for (; *option; option++) {
		if (*option == '-')
			*p++ = '\\';
		*p++ = *option;
	}
	for (; (manual = strstr(manual, roff)); manual++)
		if (strchr(" \n[,", manual[strlen(roff)]))
			return true;
	return false;
}

/* Each option that --help lists is in the manual, and the other way round. */
static void help_and_manual_agree(void **state)
{
	char *manual = read_source("vmrun.1"), option[64], *p;
	unsigned int n = 0;

	(void)state;
	assert_int_equal(parse("--help"), OPTIONS_DONE);
	for (p = said; (p = strstr(p, "--")); p += 2) {
		if (sscanf(p, "%63[a-z0-9-]", option) != 1 || strlen(option) < 4)
			continue;
		if (!manual_has(manual, option))
			fail_msg("%s isn't in vmrun.1", option);
		n++;
	}
	assert_in_range(n, 20, 1000);
	for (p = manual; (p = strstr(p, "\n.B")); p++) {
		char *roff = strstr(p, "\\-\\-"), *to = option;

		if (!roff || roff > p + 6)
			continue;
		for (; to < option + 60 && (*roff == '\\' || *roff == '-' ||
					    isalnum((unsigned char)*roff)); roff++)
			if (*roff != '\\')
				*to++ = *roff;
		*to = 0;
		if (!strstr(said, option))
			fail_msg("--help doesn't list %s", option);
	}
	free(manual);
}

static void help_and_version(void **state)
{
	(void)state;
	assert_int_equal(parse("--help"), OPTIONS_DONE);
	assert_non_null(strstr(said, "--entry-mode"));
	assert_non_null(strstr(said, "Ctrl-a"));
	assert_int_equal(parse("--version"), OPTIONS_DONE);
	assert_non_null(strstr(said, "minivmm"));
	free(said);
	said = NULL;
	options_free(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),
		cmocka_unit_test(sizes),
		cmocka_unit_test(counts),
		cmocka_unit_test(choices),
		cmocka_unit_test(switches),
		cmocka_unit_test(firmware_and_drives),
		cmocka_unit_test(networks),
		cmocka_unit_test(streams),
		cmocka_unit_test(words_in_a_file),
		cmocka_unit_test(help_and_manual_agree),
		cmocka_unit_test(help_and_version),
	};

	return cmocka_run_group_tests_name("vmrun options", tests, NULL, NULL);
}
