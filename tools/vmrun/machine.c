// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <x86intrin.h>

#include "acpi.h"
#include "exitcode.h"
#include "machine.h"
#include "mptable.h"
#include "sandbox.h"
#include "term.h"

#define CONSOLE_PORT		0x3f8
#define FIRMWARE_MEM_MIN	(4ULL << 20)

#define machine_of(ptr, member) \
	((struct machine *)((char *)(ptr) - offsetof(struct machine, member)))

void machine_stop(struct machine *m, enum stop_kind kind, int code, struct vcpu *cpu,
		  const char *why)
{
	pthread_mutex_lock(&m->stop.lock);
	if (m->stop.kind == STOP_NONE) {
		m->stop.kind = kind;
		m->stop.code = code;
		m->stop.cpu = cpu;
		snprintf(m->stop.why, sizeof(m->stop.why), "%s", why);
	}
	pthread_mutex_unlock(&m->stop.lock);
	loop_stop(&m->loop);
}

static void guest_stop(struct stopper *s, int guest_code, const char *why)
{
	machine_stop(machine_of(s, stopper), STOP_GUEST, guest_code, NULL, why);
}

static void guest_reset(struct stopper *s, const char *why)
{
	machine_stop(machine_of(s, stopper), STOP_RESET, EXIT_GUEST_OK, NULL, why);
}

static void guest_panicked(struct stopper *s, const char *why)
{
	machine_stop(machine_of(s, stopper), STOP_GUEST_FAILED, EXIT_GUEST_FAILED, NULL, why);
}

static void user_quit(struct console_owner *o)
{
	machine_stop(machine_of(o, console_owner), STOP_USER, EXIT_GUEST_OK, NULL, "quit");
}

static void user_command(struct console_owner *o, const char *line, FILE *out)
{
	monitor_command(machine_of(o, console_owner), line, out);
}

static int control_command(struct control_owner *o, const char *line, int fd, FILE *out)
{
	struct machine *m = machine_of(o, control_owner);
	int rc;

	m->passed_fd = fd;
	rc = monitor_command(m, line, out);
	m->passed_fd = -1;
	return rc;
}

static void output_lost(struct console_owner *o, const char *why)
{
	char text[128];

	snprintf(text, sizeof(text), "the console's output can't be written: %s", why);
	machine_stop(machine_of(o, console_owner), STOP_HOST_FAILED, EXIT_HOST_FAILED, NULL, text);
}

static void vcpu_ended(struct vm_owner *o, struct vcpu *cpu, enum vcpu_end how, const char *why)
{
	static const struct { enum stop_kind kind; int code; } ends[] = {
		[VCPU_FAILED] = { STOP_GUEST_FAILED, EXIT_GUEST_FAILED },
		[VCPU_HOST_FAILED] = { STOP_HOST_FAILED, EXIT_HOST_FAILED },
		[VCPU_RESET] = { STOP_GUEST, EXIT_GUEST_OK },
	};

	machine_stop(machine_of(o, vm_owner), ends[how].kind, ends[how].code, cpu, why);
}

static void vcpu_debugged(struct vm_owner *o, struct vcpu *cpu)
{
	gdb_vcpu_stopped(&machine_of(o, vm_owner)->gdb, cpu);
}

static void gdb_kill(struct gdb_owner *o)
{
	machine_stop(machine_of(o, gdb_owner), STOP_USER, EXIT_GUEST_OK, NULL, "killed by gdb");
}

static void gdb_command(struct gdb_owner *o, const char *line, FILE *out)
{
	monitor_command(machine_of(o, gdb_owner), line, out);
}

/* Stopped and continued by a shell: the terminal is the shell's in between. */
static void suspend(void)
{
	term_restore();
	kill(getpid(), SIGSTOP);
	term_raw();
}

static void on_signal(void *opaque)
{
	struct machine *m = opaque;
	struct signalfd_siginfo si;
	char why[64];

	if (read(m->signal_fd, &si, sizeof(si)) != sizeof(si))
		return;
	if (si.ssi_signo == SIGTSTP) {
		suspend();
	} else if (si.ssi_signo == SIGCONT) {
		term_raw();
	} else {
		snprintf(why, sizeof(why), "ended by signal %u (%s)", si.ssi_signo,
			 strsignal(si.ssi_signo));
		machine_stop(m, STOP_SIGNAL, si.ssi_signo, NULL, why);
	}
}

static void on_timeout(void *opaque)
{
	char why[64];
	struct machine *m = opaque;

	snprintf(why, sizeof(why), "timeout after %g seconds", m->options->timeout);
	machine_stop(m, STOP_TIMEOUT, EXIT_TIMEOUT, NULL, why);
}

/* Signals come by descriptor, on the loop's thread; the threads made later inherit the mask. */
static int watch_signals(struct machine *m, struct error *err)
{
	static const int watched[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT };
	sigset_t set, blocked;
	size_t i;

	sigemptyset(&set);
	for (i = 0; i < sizeof(watched) / sizeof(watched[0]); i++)
		sigaddset(&set, watched[i]);
	blocked = set;
	sigaddset(&blocked, KICK_SIGNAL);
	sigaddset(&blocked, SIGTTOU);
	pthread_sigmask(SIG_BLOCK, &blocked, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);	/* a disk that can't grow any further says so by EFBIG */

	m->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (m->signal_fd < 0)
		return failed(err, "signalfd: %s", strerror(errno));
	return loop_add(&m->loop, m->signal_fd, NULL, on_signal, m, err);
}

/* On standard error, whose terminal may be raw. */
static void print_lines(const struct machine *m, char *text)
{
	char *line;

	for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		fprintf(stderr, "%s%s\n", line, m->console.tty ? "\r" : "");
}

static void on_stats(void *opaque)
{
	struct machine *m = opaque;
	char *text = NULL;
	uint64_t times;
	size_t size;
	FILE *out;

	if (read(m->stats_fd, &times, sizeof(times)) != sizeof(times))
		return;
	out = open_memstream(&text, &size);
	if (!out)
		return;
	monitor_command(m, "stats", out);
	fclose(out);
	print_lines(m, text);
	free(text);
}

/* seconds: 0 for never. */
static int add_timer(struct machine *m, int *fd, double seconds, bool again,
		     void (*ready)(void *opaque), struct error *err)
{
	struct itimerspec t = {
		.it_value.tv_sec = (time_t)seconds,
		.it_value.tv_nsec = (long)((seconds - (time_t)seconds) * 1e9),
	};

	if (!seconds)
		return 0;
	if (again)
		t.it_interval = t.it_value;
	*fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (*fd < 0 || timerfd_settime(*fd, 0, &t, NULL))
		return failed(err, "timerfd: %s", strerror(errno));
	return loop_add(&m->loop, *fd, NULL, ready, m, err);
}

static bool has_firmware(const struct machine *m)
{
	return m->shadow.rom;
}

static int load_program(struct machine *m, const struct image *img, struct entry *entry,
			struct error *err)
{
	const struct options *o = m->options;
	struct image initrd = { };
	struct boot boot = {
		.kernel = img, .cmdline = o->append ? o->append : DEFAULT_APPEND, .flat = o->flat,
	};
	int rc = 0;

	if (o->bios)
		return failed(err, "%s: a program, which starts without --bios; a BIOS is named with --bios=FILE",
			      img->name);
	if (o->boot_menu || o->debug_bios)
		return failed(err, "%s: a program, which starts without a BIOS: %s has no meaning",
			      img->name, o->boot_menu ? "--boot-menu" : "--debug-bios");
	if (o->initrd) {
		boot.initrd = &initrd;
		rc = image_open(&initrd, o->initrd, err);
	}
	if (!rc)
		rc = boot_load(&m->mem, &boot, entry, &m->image_kind, err);
	image_close(&initrd);
	return rc;
}

static int load_firmware(struct machine *m, const char *path, struct error *err)
{
	struct image rom;
	int rc;

	if (m->options->initrd || m->options->append)
		return failed(err, "--%s goes with a kernel: what a BIOS boots has its own",
			      m->options->initrd ? "initrd" : "append");
	if (m->mem.size < FIRMWARE_MEM_MIN)
		return failed(err, "a BIOS needs at least %llu MiB of memory",
			      FIRMWARE_MEM_MIN >> 20);
	if (!strcmp(path, DEFAULT_BIOS) && access(path, F_OK))
		return failed(err, "%s isn't there: install SeaBIOS (Debian's package seabios), or name a BIOS with --bios=FILE",
			      path);
	rc = image_open(&rom, path, err);
	if (!rc)
		rc = shadow_create(&m->shadow, &rom, err);
	image_close(&rom);
	return rc;
}

static int add_disk(struct machine *m, const struct drive_options *d, struct error *err)
{
	if (m->nr_disks == DRIVES_MAX)
		return failed(err, "%s: there is room for %d drives", d->path, DRIVES_MAX);
	if (d->cdrom && m->options->nr_ide == IDE_DRIVES_MAX && d->path == m->options->image)
		return failed(err, "%s: there is room for %d IDE drives", d->path, IDE_DRIVES_MAX);
	return disk_open(&m->disks[m->nr_disks], d, err) ? -1 : (m->nr_disks++, 0);
}

/* An image that isn't a program is the first of the drives, or the firmware. */
static int load_for_firmware(struct machine *m, enum image_class class, struct error *err)
{
	static const char *const kinds[] = {
		[IMAGE_FIRMWARE] = "firmware", [IMAGE_DISK] = "disk image", [IMAGE_CD] = "CD image",
	};
	const struct options *o = m->options;
	struct drive_options d = { .path = o->image, .cdrom = class == IMAGE_CD };
	const char *bios = o->bios ? o->bios : DEFAULT_BIOS;

	m->image_kind = kinds[class];
	if (class == IMAGE_FIRMWARE)
		return load_firmware(m, o->image, err);
	m->cd_first = d.cdrom;
	return add_disk(m, &d, err) ? -1 : load_firmware(m, bios, err);
}

/* Of what was started then, the firmware, and the disk that the image was. */
static int load_snapshot(struct machine *m, struct error *err)
{
	struct drive_options d = { .path = m->options->image };
	enum image_class class;

	m->image_kind = "from a snapshot";
	if (snapshot_begin(m, &class, err))
		return -1;
	d.cdrom = class == IMAGE_CD;
	return class == IMAGE_PROGRAM ? 0 : add_disk(m, &d, err);
}

static int load_image(struct machine *m, struct entry *entry, struct error *err)
{
	const struct options *o = m->options;
	enum image_class class;
	struct image img;
	int rc;

	*entry = (struct entry) { .mode = ENTRY_RESET };
	if (o->restore)
		return load_snapshot(m, err);
	if (!o->image) {
		m->image_kind = "firmware";
		return load_firmware(m, o->bios ? o->bios : DEFAULT_BIOS, err);
	}
	if (image_open(&img, o->image, err))
		return -1;
	class = o->flat.forced ? IMAGE_PROGRAM : image_classify(&img);
	if (class == IMAGE_PROGRAM)
		rc = load_program(m, &img, entry, err);
	else
		rc = load_for_firmware(m, class, err);
	image_close(&img);
	return rc;
}

/* Return: 0, or EXIT_IMAGE. */
static int load_all(struct machine *m, struct entry *entry, struct error *err)
{
	unsigned int i;

	if (load_image(m, entry, err))
		return EXIT_IMAGE;
	for (i = 0; i < m->options->nr_drives; i++)
		if (add_disk(m, &m->options->drives[i], err))
			return EXIT_IMAGE;
	return 0;
}

/* What a guest is told by fw_cfg: its memory and processors, and what firmware wants to know. */
static int tell_firmware(struct machine *m, struct error *err)
{
	struct fwcfg *f = &m->fwcfg;

	f->cpus = m->options->cpus;
	if (fwcfg_add_memory_map(f, &m->mem, err))
		return -1;
	if (!has_firmware(m))
		return 0;
	if (fwcfg_add_acpi(f, m->options->cpus, err) ||
	    fwcfg_add_number(f, "etc/sercon-port", CONSOLE_PORT, err))
		return -1;
	return m->options->boot_menu ? fwcfg_add_number(f, "etc/show-boot-menu", 1, err) : 0;
}

static int create_devices(struct machine *m, struct error *err)
{
	struct device_env env = {
		.ports = &m->ports,
		.mmio = &m->mmio,
		.pci = &m->pci,
		.irqs = &m->vm.irqs,
		.doorbells = &m->vm.doorbells,
		.loop = &m->loop,
		.console = &m->console.chr,
		.stopper = &m->stopper,
		.power_button = &m->power_button,
		.keyboard = &m->keyboard,
		.balloon = &m->balloon,
		.low_ram = m->mem.low_size,
		.high_ram = m->mem.high_size,
		.mem = &m->mem,
		.shadow = has_firmware(m) ? &m->shadow : NULL,
		.fwcfg = &m->fwcfg,
		.disks = m->disks,
		.nr_disks = m->nr_disks,
		.console_fd = STDOUT_FILENO,
		.hvc = m->options->hvc,
		.console_ports = m->options->console_ports,
		.nr_ports = m->options->nr_ports,
		.serial2 = m->options->serial2,
		.nets = m->options->nets,
		.nr_nets = m->options->nr_nets,
		.cd_first = m->cd_first,
		.cpus = m->options->cpus,
		.firmware_log = m->options->debug_bios,
	};

	m->vm.ports = &m->ports;
	m->vm.mmio = &m->mmio;
	if (tell_firmware(m, err))
		return -1;
	if (devices_create(&m->devices, &env, err))
		return -1;
	return has_firmware(m) ? 0 : pci_assign(&m->pci, err);
}

static int create_memory(struct machine *m, struct error *err)
{
	if (vm_set_memory(&m->vm, &m->mem, has_firmware(m), err))
		return -1;
	return has_firmware(m) ? shadow_map(&m->shadow, &m->vm, &m->mem, &m->mmio, err) : 0;
}

static int create_cpus(struct machine *m, const struct entry *entry, struct error *err)
{
	uint32_t signature, features;

	if (vm_create_vcpus(&m->vm, m->options->cpus, err) ||
	    vcpu_set_entry(&m->vm.cpus[0], entry, err))
		return -1;
	vm_cpu_signature(&m->vm, &signature, &features);
	if (entry->mode == ENTRY_PROT || entry->mode == ENTRY_LONG) {
		mptable_write(&m->mem, m->options->cpus, signature, features);
		acpi_write(&m->mem, m->options->cpus);
	}
	return 0;
}

static int create_gdb(struct machine *m, struct error *err)
{
	const struct options *o = m->options;

	return o->gdb ? gdb_create(&m->gdb, o->gdb, o->gdb_wait, &m->vm, &m->loop, &m->gdb_owner, err) :
			0;
}

static int create_rest(struct machine *m, const struct entry *entry, struct error *err)
{
	m->vm.owner = &m->vm_owner;
	if (create_memory(m, err) ||
	    loop_create(&m->loop, err) ||
	    watch_signals(m, err) ||
	    console_create(&m->console, STDIN_FILENO, STDOUT_FILENO, &m->console_owner, &m->loop,
			   err) ||
	    create_devices(m, err) ||
	    create_cpus(m, entry, err) ||
	    control_create(&m->control, m->options->name, &m->control_owner, &m->loop, err) ||
	    create_gdb(m, err) ||
	    add_timer(m, &m->stats_fd, m->options->stats_interval, true, on_stats, err) ||
	    add_timer(m, &m->timer_fd, m->options->timeout, false, on_timeout, err))
		return -1;
	return 0;
}

int machine_create(struct machine *m, const struct options *o, struct error *err)
{
	struct entry entry;
	int rc;

	memset(m, 0, sizeof(*m));
	m->options = o;
	m->vm.sys = m->vm.fd = -1;
	m->signal_fd = m->timer_fd = m->stats_fd = m->control.fd = m->loop.wake_fd = -1;
	m->passed_fd = m->snapshot.fd = -1;
	m->stopper = (struct stopper) { guest_stop, guest_reset, guest_panicked };
	m->console_owner = (struct console_owner) { user_quit, user_command, output_lost };
	m->control_owner.command = control_command;
	m->vm_owner = (struct vm_owner) { vcpu_ended, vcpu_debugged };
	m->gdb_owner = (struct gdb_owner) { gdb_kill, gdb_command };
	pthread_mutex_init(&m->stop.lock, NULL);
	m->ports = (struct bus) { .name = "port", .trace = o->debug_ioport };
	m->mmio = (struct bus) { .name = "mmio", .trace = o->debug_mmio };
	pci_create(&m->pci);

	/* The image first: what is wrong with it can be said without a hypervisor. */
	if (mem_create(&m->mem, o->mem, err))
		return EXIT_HOST_FAILED;
	rc = load_all(m, &entry, err);
	if (!rc && (vm_create(&m->vm, o, err) || create_rest(m, &entry, err)))
		rc = EXIT_HOST_FAILED;
	if (!rc && o->restore && snapshot_load(m, err))
		rc = EXIT_IMAGE;
	return rc;
}

static int enter_sandbox(const struct machine *m, struct error *err)
{
	struct sandbox s = { .own_file = m->control.fd >= 0 ? m->control.path : NULL };
	unsigned int i;

	for (i = 0; i < m->options->nr_nets; i++)
		s.network |= m->options->nets[i].kind == NET_USER;
	return m->options->no_sandbox ? 0 : sandbox_enter(&s, err);
}

int machine_run(struct machine *m, struct error *err)
{
	bool terminal = m->console.tty && term_init(STDIN_FILENO);
	int rc;

	if (enter_sandbox(m, err))
		return -1;
	if (terminal)
		term_raw();
	m->tsc_start = __rdtsc();
	rc = vm_start(&m->vm, err);
	if (!rc)
		rc = loop_run(&m->loop, err);
	atomic_store(&m->console.closing, true);
	vm_stop(&m->vm);
	m->tsc_stop = __rdtsc();
	term_restore();
	return rc;
}

void machine_destroy(struct machine *m)
{
	devices_destroy(&m->devices);
	vm_destroy(&m->vm);
	if (m->console.loop)
		console_destroy(&m->console);
	bus_destroy(&m->ports);
	bus_destroy(&m->mmio);
	snapfile_close(&m->snapshot);
	control_destroy(&m->control);
	gdb_destroy(&m->gdb);
	if (m->stats_fd >= 0)
		close(m->stats_fd);
	if (m->timer_fd >= 0)
		close(m->timer_fd);
	if (m->signal_fd >= 0)
		close(m->signal_fd);
	loop_destroy(&m->loop);
	fwcfg_destroy(&m->fwcfg);
	pci_destroy(&m->pci);
	while (m->nr_disks)
		disk_close(&m->disks[--m->nr_disks]);
	shadow_destroy(&m->shadow);
	mem_destroy(&m->mem);
	pthread_mutex_destroy(&m->stop.lock);
}

void machine_print_stats(const struct machine *m, FILE *out)
{
	vm_print_stats(&m->vm, out);
	fprintf(out, "TSC ticks: %llu\n",
		(unsigned long long)((m->tsc_stop ? m->tsc_stop : __rdtsc()) - m->tsc_start));
}
