// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "options.h"
#include "snapshot.h"

#define VERSION		"0.1"
#define NAME_LEN_MAX	64

static const char help[] =
"Usage: vmrun [OPTION | @FILE]... [IMAGE]\n"
"       vmrun ctl [NAME COMMAND...]\n"
"Run a virtual machine on minivmm, or on KVM, with the terminal as its serial console.\n"
"\n"
"IMAGE is a Linux kernel (bzImage), an ELF64 program, a multiboot kernel, a boot sector, or with\n"
"--entry-mode any file of machine code; or a disk or CD image, which a BIOS boots; or a BIOS.\n"
"Which of them is seen from its content.\n"
"\n"
"A word @FILE stands for the words in FILE, in which # begins a comment. `vmrun ctl` lists the\n"
"machines with a --name, and `vmrun ctl NAME help` what one can be told.\n"
"\n"
"The machine:\n"
"  --mem SIZE          memory, in MiB or with a suffix K, M, G (default 256M)\n"
"  --cpus N            virtual CPUs (default 1)\n"
"  --kernel FILE       the same as IMAGE\n"
"  --initrd FILE       initial RAM disk for a Linux kernel\n"
"  --append TEXT       the kernel's command line, all of it (default \"console=ttyS0\")\n"
"  --entry-mode MODE   run IMAGE as plain machine code, in MODE: real (16-bit, at 0x7c00),\n"
"                      prot (32-bit, at 0x100000) or long (64-bit, at 0x100000)\n"
"  --load-addr ADDR    put such an image elsewhere\n"
"  --disk FILE[,ro][,ide][,threads]\n"
"                      a virtio disk: a raw image or a block device; ro: read-only, ide: an IDE\n"
"                      disk, for guests without virtio; threads: not by the host's io_uring\n"
"  --cdrom FILE        an IDE CD drive with that CD image\n"
"  --serial2 WHERE     a second serial port: WHERE is pty, unix:PATH (a socket), a file, or none\n"
"  --console-port NAME=WHERE\n"
"                      a port of the virtio console, for programs in the guest\n"
"  --hvc               the terminal's keys go to the virtio console (hvc0), not the serial port\n"
"  --net user[,...]    a network card on a network of vmrun's own, from which the guest reaches what\n"
"                      vmrun's user does. Settings: hostfwd=tcp:[ADDR]:PORT-[ADDR]:PORT (or udp):\n"
"                      a port of the host's leads to one of the guest's; no-host: not to the\n"
"                      host's loopback addresses; mac=ADDRESS\n"
"  --net tap[,...]     a network card on a tap. Settings: ifname=NAME, mac=ADDRESS,\n"
"                      vhost=on|off: whether the host's kernel serves it (by default if it can)\n"
"  --bios[=FILE]       start with a BIOS, which boots from these; without an IMAGE they imply it\n"
"                      (default SeaBIOS, " DEFAULT_BIOS ")\n"
"  --boot-menu         let ESC lead to the BIOS's boot menu, at the price of 2.5 seconds\n"
"\n"
"The hypervisor:\n"
"  --dev FILE          its device node (default /dev/minivmm; /dev/kvm works too)\n"
"  --mmu MODE          ept, shadow, or auto: what the module prefers (default)\n"
"\n"
"Watching it:\n"
"  --name NAME         listen to `vmrun ctl NAME`\n"
"  --restore FILE      go on from what `vmrun ctl NAME snapshot FILE` has written, with the options of\n"
"                      then, and those given now\n"
"  --stats[=SECONDS]   at the end, and every so many seconds, say how often the guest left the CPU\n"
"                      and why\n"
"  --gdb [ADDR:]PORT   let gdb debug the guest, by its `target remote` (default ADDR: 127.0.0.1); a\n"
"                      path with a slash is a socket in the file system\n"
"  --gdb-wait          stop before the guest's first instruction until gdb lets it go\n"
"  --restart           start again after a reset, as a PC does, not end\n"
"  --no-sandbox        keep the rights that a vmrun in order doesn't need; for its debugging\n"
"  --timeout SECONDS   stop it after that time\n"
"  --debug-ioport      report accesses to ports that nothing answers\n"
"  --debug-mmio        report accesses to addresses that nothing answers\n"
"  --debug-bios        print the BIOS's log\n"
"  --help, --version\n"
"\n"
"On a terminal: Ctrl-a x quits, Ctrl-a c opens a monitor prompt, Ctrl-a h shows the rest.\n"
"\n"
"Exit status: 0 when the guest powered off or reset, or you quit; 1-99 what the guest wrote\n"
"to port 0x501; 100 the guest failed, 101 the host failed, 102 the command line is wrong,\n"
"103 image or snapshot can't be started, 104 the timeout ran out, 128+N vmrun was ended by signal N.\n"
"\n"
"Examples:\n"
"  vmrun /boot/vmlinuz --initrd /boot/initrd.img --mem 1G\n"
"  vmrun vmlinuz --initrd small.cpio --append 'console=ttyS0 quiet' --mmu shadow --stats\n"
"  vmrun --entry-mode long program.bin --dev /dev/kvm\n"
"  vmrun disk.img\n"
"  vmrun --disk disk.img --cdrom installer.iso --boot-menu\n";

enum {
	OPT_MEM = 256, OPT_CPUS, OPT_INITRD, OPT_APPEND, OPT_ENTRY_MODE, OPT_LOAD_ADDR, OPT_DISK,
	OPT_CDROM, OPT_BIOS, OPT_BOOT_MENU, OPT_DEV, OPT_MMU, OPT_STATS, OPT_TIMEOUT,
	OPT_DEBUG_IOPORT, OPT_DEBUG_MMIO, OPT_DEBUG_BIOS, OPT_HELP, OPT_VERSION, OPT_KERNEL,
	OPT_NAME, OPT_NO_SANDBOX, OPT_NET, OPT_SERIAL2,
	OPT_CONSOLE_PORT, OPT_HVC, OPT_GDB, OPT_GDB_WAIT, OPT_RESTART, OPT_RESTORE, OPT_RESTORED,
};

static const struct option long_options[] = {
	{ "mem", required_argument, NULL, OPT_MEM },
	{ "cpus", required_argument, NULL, OPT_CPUS },
	{ "kernel", required_argument, NULL, OPT_KERNEL },
	{ "initrd", required_argument, NULL, OPT_INITRD },
	{ "append", required_argument, NULL, OPT_APPEND },
	{ "entry-mode", required_argument, NULL, OPT_ENTRY_MODE },
	{ "load-addr", required_argument, NULL, OPT_LOAD_ADDR },
	{ "disk", required_argument, NULL, OPT_DISK },
	{ "cdrom", required_argument, NULL, OPT_CDROM },
	{ "serial2", required_argument, NULL, OPT_SERIAL2 },
	{ "console-port", required_argument, NULL, OPT_CONSOLE_PORT },
	{ "hvc", no_argument, NULL, OPT_HVC },
	{ "net", required_argument, NULL, OPT_NET },
	{ "bios", optional_argument, NULL, OPT_BIOS },
	{ "boot-menu", no_argument, NULL, OPT_BOOT_MENU },
	{ "dev", required_argument, NULL, OPT_DEV },
	{ "mmu", required_argument, NULL, OPT_MMU },
	{ "name", required_argument, NULL, OPT_NAME },
	{ "restore", required_argument, NULL, OPT_RESTORE },
	{ "restored", no_argument, NULL, OPT_RESTORED },
	{ "stats", optional_argument, NULL, OPT_STATS },
	{ "restart", no_argument, NULL, OPT_RESTART },
	{ "no-sandbox", no_argument, NULL, OPT_NO_SANDBOX },
	{ "gdb", required_argument, NULL, OPT_GDB },
	{ "gdb-wait", no_argument, NULL, OPT_GDB_WAIT },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "debug-ioport", no_argument, NULL, OPT_DEBUG_IOPORT },
	{ "debug-mmio", no_argument, NULL, OPT_DEBUG_MMIO },
	{ "debug-bios", no_argument, NULL, OPT_DEBUG_BIOS },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ }
};

bool name_is_valid(const char *name)
{
	size_t len = strlen(name);

	return len && len <= NAME_LEN_MAX && name[0] != '.' && name[0] != '-' &&
	       len == strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");
}

/* strtoull() without what it allows beside digits: signs and leading space. */
static bool parse_number(const char *text, int base, char **end, uint64_t *value)
{
	if (!(*text >= '0' && *text <= '9'))
		return false;
	errno = 0;
	*value = strtoull(text, end, base);
	return !errno;
}

bool parse_size(const char *text, uint64_t *size)
{
	unsigned int shift = 20;
	uint64_t n;
	char *end;

	if (!parse_number(text, 10, &end, &n))
		return false;
	switch (*end) {
	case 'k': case 'K':
		shift = 10, end++;
		break;
	case 'g': case 'G':
		shift = 30, end++;
		break;
	case 'm': case 'M':
		end++;
		break;
	}
	if (*end || n > MEM_MAX >> shift)
		return false;
	*size = n << shift;
	return true;
}

static int parse_mem(struct options *o, const char *text, struct error *err)
{
	if (!parse_size(text, &o->mem))
		return failed(err, "--mem %s: not a size up to %llu GiB; say for example 512M or 2G",
			      text, MEM_MAX >> 30);
	if (o->mem < MEM_MIN)
		return failed(err, "--mem %s: a PC needs at least 1M", text);
	if (o->mem % 4096)
		return failed(err, "--mem %s: not a multiple of 4K", text);
	return 0;
}

static int parse_cpus(struct options *o, const char *text, struct error *err)
{
	uint64_t n;
	char *end;

	if (!parse_number(text, 10, &end, &n) || *end || n < 1 || n > CPUS_MAX)
		return failed(err, "--cpus %s: not a number from 1 to %d", text, CPUS_MAX);
	o->cpus = n;
	return 0;
}

static int parse_seconds(const char *option, double *seconds, const char *text, struct error *err)
{
	char *end;

	*seconds = strtod(text, &end);
	if (end == text || *end || !isfinite(*seconds) || *seconds <= 0 || *seconds > TIMEOUT_MAX)
		return failed(err, "--%s %s: not a number of seconds", option, text);
	if (*seconds < 0.001)
		*seconds = 0.001;
	return 0;
}

static int parse_stats(struct options *o, const char *text, struct error *err)
{
	o->stats = true;
	return text ? parse_seconds("stats", &o->stats_interval, text, err) : 0;
}

/* It becomes a file's name. */
static int parse_name(struct options *o, const char *text, struct error *err)
{
	if (!name_is_valid(text))
		return failed(err, "--name %s: say up to %d letters, digits, -, _ and dots, not first",
			      text, NAME_LEN_MAX);
	o->name = text;
	return 0;
}

static int set_image(struct options *o, const char *path, struct error *err)
{
	if (o->image && !o->recorded.image)
		return failed(err, "one image only: \"%s\" is too much", path);
	o->image = path;
	o->recorded.image = false;
	return 0;
}

static int parse_load_addr(struct options *o, const char *text, struct error *err)
{
	char *end;

	if (!parse_number(text, 0, &end, &o->flat.addr) || *end)
		return failed(err, "--load-addr %s: not an address", text);
	o->flat.addr_given = true;
	return 0;
}

static int choose(const char *option, const char *text, const char *const names[], int *choice,
		  struct error *err)
{
	char list[100] = "";
	int i;

	for (i = 0; names[i]; i++) {
		if (!strcmp(text, names[i])) {
			*choice = i;
			return 0;
		}
		if (i)
			strcat(list, names[i + 1] ? ", " : " or ");
		strcat(list, names[i]);
	}
	return failed(err, "--%s %s: say %s", option, text, list);
}

static int parse_mmu(struct options *o, const char *text, struct error *err)
{
	static const char *const names[] = { "auto", "ept", "shadow", NULL };
	int choice = 0, rc = choose("mmu", text, names, &choice, err);

	o->mmu = choice;
	return rc;
}

static int parse_entry_mode(struct options *o, const char *text, struct error *err)
{
	static const char *const names[] = { "real", "prot", "long", NULL };
	int choice = 0, rc = choose("entry-mode", text, names, &choice, err);

	o->flat.mode = choice;
	o->flat.forced = true;
	return rc;
}

/* One of the words behind a disk's name, whatever commas are in the name itself. */
static bool take_word(struct drive_options *d, char *text)
{
	const struct { const char *word; bool *flag; } words[] = {
		{ ",ro", &d->readonly }, { ",ide", &d->ide }, { ",threads", &d->threads },
	};
	char *comma = strrchr(text, ',');
	size_t i;

	for (i = 0; comma && comma > text && i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(comma, words[i].word))
			continue;
		*words[i].flag = true;
		*comma = 0;
		return true;
	}
	return false;
}

/* The first of a list that is named takes the place of all that were recorded. */
static void begin_list(unsigned int *nr, bool *recorded)
{
	if (*recorded)
		*nr = 0;
	*recorded = false;
}

static int parse_drive(struct options *o, char *text, bool cdrom, struct error *err)
{
	struct drive_options *d;

	if (o->recorded.drives)
		o->nr_ide = 0;
	begin_list(&o->nr_drives, &o->recorded.drives);
	d = &o->drives[o->nr_drives];
	if (o->nr_drives == DRIVES_MAX)
		return failed(err, "%s: there is room for %d drives", text, DRIVES_MAX);
	*d = (struct drive_options) { .path = text, .cdrom = cdrom };
	while (!cdrom && take_word(d, text))
		;
	d->ide |= cdrom;
	o->nr_drives++;
	o->nr_ide += d->ide;
	if (o->nr_ide > IDE_DRIVES_MAX)
		return failed(err, "%s: there is room for %d IDE drives", text, IDE_DRIVES_MAX);
	return 0;
}

/* An address for the card: of one's own making (the second bit), the same for the same name. */
static void choose_mac(struct net_options *n, const char *name, uint8_t index)
{
	uint32_t hash = 2166136261;	/* FNV-1a */

	for (; name && *name; name++)
		hash = (hash ^ (uint8_t)*name) * 16777619;
	memcpy(n->mac, (uint8_t[]) { 0x02, 0x6d, 0x76, hash >> 8, hash, index }, sizeof(n->mac));
}

static int parse_net(struct options *o, char *text, struct error *err)
{
	begin_list(&o->nr_nets, &o->recorded.nets);
	if (o->nr_nets == NETS_MAX)
		return failed(err, "--net: there is room for %d cards", NETS_MAX);
	return net_parse(&o->nets[o->nr_nets++], text, err);
}

static int parse_console_port(struct options *o, char *text, struct error *err)
{
	char *where = strchr(text, '=');

	begin_list(&o->nr_ports, &o->recorded.ports);
	if (o->nr_ports == PORTS_MAX)
		return failed(err, "--console-port: there is room for %d", PORTS_MAX);
	if (!where || !where[1])
		return failed(err, "--console-port %s: say NAME=WHERE", text);
	*where = 0;
	if (!name_is_valid(text))
		return failed(err, "--console-port %s: say up to %d letters, digits, -, _ and dots, not first",
			      text, NAME_LEN_MAX);
	o->console_ports[o->nr_ports++] = (struct port_options) { text, where + 1 };
	return 0;
}

static void set_flag(struct options *o, int opt)
{
	bool *const flags[] = {
		[OPT_BOOT_MENU] = &o->boot_menu,
		[OPT_HVC] = &o->hvc,
		[OPT_RESTART] = &o->restart,
		[OPT_NO_SANDBOX] = &o->no_sandbox,
		[OPT_GDB_WAIT] = &o->gdb_wait,
		[OPT_DEBUG_IOPORT] = &o->debug_ioport,
		[OPT_DEBUG_MMIO] = &o->debug_mmio,
		[OPT_DEBUG_BIOS] = &o->debug_bios,
	};

	*flags[opt] = true;
}

static int parse_restore(struct options *o, const char *path, struct error *err)
{
	o->restore = path;
	return o->restored ? 0 : failed(err, "--restore has to be written in full");
}

/* What was said before was recorded; what it said about watching the machine is over. */
static int begin_restored(struct options *o)
{
	o->restored = true;
	o->recorded.image = o->recorded.drives = o->recorded.nets = o->recorded.ports = true;
	o->gdb = NULL;
	o->gdb_wait = o->no_sandbox = o->stats = o->restart = false;
	o->debug_ioport = o->debug_mmio = o->debug_bios = false;
	o->stats_interval = o->timeout = 0;
	return 0;
}

static int parse_one(struct options *o, int opt, char *arg, struct error *err)
{
	switch (opt) {
	case OPT_MEM:
		return parse_mem(o, arg, err);
	case OPT_CPUS:
		return parse_cpus(o, arg, err);
	case OPT_ENTRY_MODE:
		return parse_entry_mode(o, arg, err);
	case OPT_LOAD_ADDR:
		return parse_load_addr(o, arg, err);
	case OPT_MMU:
		return parse_mmu(o, arg, err);
	case OPT_TIMEOUT:
		return parse_seconds("timeout", &o->timeout, arg, err);
	case OPT_STATS:
		return parse_stats(o, arg, err);
	case OPT_NAME:
		return parse_name(o, arg, err);
	case OPT_GDB:
		o->gdb = arg;
		return 0;
	case OPT_RESTORE:
		return parse_restore(o, arg, err);
	case OPT_RESTORED:
		return begin_restored(o);
	case OPT_KERNEL:
	case 1:				/* a word that isn't an option */
		return set_image(o, arg, err);
	case OPT_DISK:
		return parse_drive(o, arg, false, err);
	case OPT_CDROM:
		return parse_drive(o, arg, true, err);
	case OPT_SERIAL2:
		o->serial2 = strcmp(arg, "none") ? arg : NULL;
		return 0;
	case OPT_CONSOLE_PORT:
		return parse_console_port(o, arg, err);
	case OPT_NET:
		return parse_net(o, arg, err);
	case OPT_BIOS:
		o->bios = arg ? arg : DEFAULT_BIOS;
		return 0;
	case OPT_INITRD:
		o->initrd = arg;
		return 0;
	case OPT_APPEND:
		o->append = arg;
		return 0;
	case OPT_DEV:
		o->dev = arg;
		return 0;
	default:
		set_flag(o, opt);
		return 0;
	}
}

static int parse_images(struct options *o, int argc, char **argv, struct error *err)
{
	unsigned int i;

	for (i = 0; i < o->nr_nets; i++)
		if (!o->nets[i].has_mac)
			choose_mac(&o->nets[i], o->name, i);
	for (; optind < argc; optind++)
		if (set_image(o, argv[optind], err))
			return -1;
	if (o->restart && o->restore)
		return failed(err, "--restart: what comes from a snapshot has nothing to start again from");
	if (o->gdb_wait && !o->gdb)
		return failed(err, "--gdb-wait goes with --gdb");
	if (!o->image && o->flat.forced)
		return failed(err, "--entry-mode goes with an image");
	if (!o->image && !o->bios && !o->nr_drives)
		return failed(err, "which image? `vmrun --help` shows how to use it");
	if (o->flat.addr_given && !o->flat.forced)
		return failed(err, "--load-addr goes with --entry-mode: other images know their place");
	return 0;
}

static enum options_result parse_all(struct options *o, int argc, char **argv, FILE *out,
				     struct error *err)
{
	int opt;

	optind = 0;			/* GNU: forget an earlier call */
	opterr = 0;
	while ((opt = getopt_long(argc, argv, "-:", long_options, NULL)) != -1) {
		switch (opt) {
		case OPT_HELP:
			fputs(help, out);
			return OPTIONS_DONE;
		case OPT_VERSION:
			fputs("vmrun (minivmm) " VERSION "\n", out);
			return OPTIONS_DONE;
		case ':':
			failed(err, "%s needs a value", argv[optind - 1]);
			return OPTIONS_BAD;
		case '?':
			failed(err, "unknown option %s; `vmrun --help` lists them",
			       argv[optind - 1]);
			return OPTIONS_BAD;
		default:
			if (parse_one(o, opt, optarg, err))
				return OPTIONS_BAD;
		}
	}
	return parse_images(o, argc, argv, err) ? OPTIONS_BAD : OPTIONS_RUN;
}

/* The command line of the snapshot that is named, if one is, comes before what is said now. */
static int add_recorded(struct args *given, struct error *err)
{
	char *marker[] = { "--restored", NULL };
	const char *path = NULL;
	struct args all = { };
	int i, rc;

	for (i = 1; i < given->nr; i++) {
		if (!strncmp(given->words[i], "--restore=", 10))
			path = given->words[i] + 10;
		else if (!strcmp(given->words[i], "--restore") && i + 1 < given->nr)
			path = given->words[++i];
	}
	if (!path)
		return 0;
	rc = snapshot_words(path, &all, err) || args_append(&all, marker, err) ||
	     args_append(&all, given->words + 1, err);
	args_free(given);
	*given = all;
	return rc ? -1 : 0;
}

enum options_result options_parse(struct options *o, int argc, char **argv, FILE *out,
				  struct error *err)
{
	*o = (struct options) {
		.mem = 256 << 20,
		.cpus = 1,
		.dev = "/dev/minivmm",
	};
	if (args_expand(&o->args, argc, argv, err) || add_recorded(&o->args, err) ||
	    args_join(&o->args, err))
		return OPTIONS_BAD;
	return parse_all(o, o->args.nr, o->args.words, out, err);
}

void options_free(struct options *o)
{
	args_free(&o->args);
}
