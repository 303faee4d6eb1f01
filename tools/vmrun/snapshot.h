/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A whole virtual machine in a file, and back: the command line, what the machine is, firmware,
 * devices, chips, vCPUs, memory without its zero pages.
 */
#ifndef VMRUN_SNAPSHOT_H
#define VMRUN_SNAPSHOT_H

#include "args.h"
#include "error.h"
#include "loaders/loader.h"
#include "snapfile.h"

struct machine;

/* While paused, on the loop's thread: into an open file, which is an empty one. Return: 0, or -1. */
int snapshot_save(struct machine *m, int fd, struct error *err);

/* The command line in a snapshot. Return: 0, or -1. */
int snapshot_words(const char *path, struct args *words, struct error *err);

/*
 * Back, in two steps: first the firmware, and what the image was; the rest when the machine is made
 * and no vCPU has run. Return: 0, or -1.
 */
int snapshot_begin(struct machine *m, enum image_class *image_is, struct error *err);
int snapshot_load(struct machine *m, struct error *err);

/* Its part that is memory; what is loaded into is zero. h: the header of what follows. */
int snapshot_save_memory(const struct guest_mem *mem, struct snapfile *s, struct error *err);
int snapshot_load_memory(const struct guest_mem *mem, struct snapfile *s,
			 struct snapfile_section *h, struct error *err);

/* Of a struct disk: it must be as it was. */
void snapshot_disk_fields(void *disk, struct fields *f);

#endif
