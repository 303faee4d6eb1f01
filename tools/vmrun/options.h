/* SPDX-License-Identifier: GPL-2.0 */
#ifndef VMRUN_OPTIONS_H
#define VMRUN_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "args.h"
#include "device.h"
#include "disk.h"
#include "error.h"
#include "loaders/loader.h"
#include "net.h"

#define CPUS_MAX	64
#define DRIVES_MAX	16
#define DEFAULT_APPEND	"console=ttyS0"
#define DEFAULT_BIOS	"/usr/share/seabios/bios-256k.bin"
#define TIMEOUT_MAX	(365 * 24 * 3600)

enum mmu_mode { MMU_AUTO, MMU_EPT, MMU_SHADOW };

struct options {
	struct args args;		/* what the rest points into */
	const char *image, *initrd;	/* image: may be NULL if there is firmware */
	const char *append;		/* NULL: not given */
	const char *name;		/* NULL: it has none */
	const char *restore;		/* a snapshot, or NULL */
	struct {
		bool image, drives, nets, ports;
	} recorded;			/* what comes from it, until something else is named */
	const char *gdb;		/* where gdb comes; NULL: nowhere */
	const char *bios;		/* NULL: none is asked for */
	struct drive_options drives[DRIVES_MAX];
	unsigned int nr_drives, nr_ide;
	bool hvc;			/* the terminal's keys go to the virtio console */
	struct port_options console_ports[PORTS_MAX];
	unsigned int nr_ports;
	const char *serial2;
	struct net_options nets[NETS_MAX];
	unsigned int nr_nets;
	bool boot_menu;
	const char *dev;
	uint64_t mem;
	unsigned int cpus;
	enum mmu_mode mmu;
	struct flat_options flat;
	double timeout;			/* seconds, 0 for none */
	double stats_interval;		/* likewise */
	bool no_sandbox, gdb_wait, restart, restored;
	bool stats, debug_ioport, debug_mmio, debug_bios;
};

enum options_result { OPTIONS_RUN, OPTIONS_DONE, OPTIONS_BAD };

/**
 * options_parse() - read the command line
 * @out: where --help and --version go
 * @err: says what is wrong when the result is OPTIONS_BAD
 *
 * Return: OPTIONS_RUN to go on, OPTIONS_DONE when all is said. options_free() in every case.
 */
enum options_result options_parse(struct options *o, int argc, char **argv, FILE *out,
				  struct error *err);
void options_free(struct options *o);

/* "512M", in MiB without a suffix. Return: whether it is a size up to MEM_MAX. */
bool parse_size(const char *text, uint64_t *size);

/* Of a virtual machine: it becomes a file's name. */
bool name_is_valid(const char *name);

#endif
