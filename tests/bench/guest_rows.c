// SPDX-License-Identifier: GPL-2.0
/* The rows that a guest measures itself: guest/loops.c, a virtual machine for each. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../guests/lib/image.h"
#include "bench.h"
#include "guest/report.h"

extern const u8 loops[], loops_end[];

static const struct image *header(void)
{
	return (const void *)(loops + IMAGE_HEADER);
}

static const struct image_test *rows(void)
{
	return (const void *)(loops + (header()->tests - IMAGE_BASE));
}

static struct vcpu *boot_row(u32 number)
{
	struct vm *vm = vm_with_memory(IMAGE_MEMORY);
	struct image *image = (void *)(vm->mem + IMAGE_BASE + IMAGE_HEADER);
	struct minivmm_pit_config pit = { 0 };
	struct vcpu *v;

	memset(vm->mem + FRESH_MEMORY, 0, FRESH_SIZE);
	/* what a machine of 200 MiB has: 64 address spaces are to fit */
	CHECK_OK(ioctl(vm->fd, MINIVMM_SET_NR_MMU_PAGES, 1024));
	if (rows()[number].flags & NEEDS_IRQCHIP) {
		CHECK_OK(ioctl(vm->fd, MINIVMM_CREATE_IRQCHIP, 0));
		CHECK_OK(ioctl(vm->fd, MINIVMM_CREATE_PIT2, &pit));
	}
	v = vcpu_create(vm, 0);
	vm_load(vm, IMAGE_BASE, loops, loops_end - loops);
	image->selected = number;
	vcpu_enter_mode(v, LONG64, IMAGE_BASE);
	return v;
}

/* What the guest writes to our ports, until it is done: its result. */
static u32 run_row(struct vcpu *v, struct measurement *m, u32 *n)
{
	u64 ticks = 0;
	int parts = 0;

	for (;;) {
		u32 value;

		CHECK_OK(vcpu_run(v));
		CHECK_EXIT(v, MINIVMM_EXIT_IO);
		value = *(u32 *)pio_data(v);
		switch (v->run->io.port) {
		case PORT_EXIT:
			return value;
		case PORT_COUNT:
			*n = value;
			break;
		case PORT_MARK:
			if (value == MARK_BEGIN)
				begin_count(m);
			else
				end_count(m, value == MARK_END ? &m->least : &m->floor);
			break;
		case PORT_TICKS:
			ticks |= (u64)value << 32 * parts++;
			if (parts < 2)
				break;
			add_batch(m, ticks);
			ticks = parts = 0;
			break;
		case PORT_CONSOLE:
			fputc((char)value, stderr);
		}
	}
}

static void measure(u32 number, const char *name)
{
	struct measurement m;
	u32 n = 1;

	begin(&m);
	memset(&m.floor, 0xff, sizeof(m.floor));
	switch (run_row(boot_row(number), &m, &n)) {
	case RESULT_PASSED:
		row(name, &m, n);
		_exit(0);
	case RESULT_SKIPPED:
		_exit(0);
	default:
		_exit(1);
	}
}

void run_guest_benches(void)
{
	for (u32 i = 0; i < header()->count; i++) {
		const char *name = (const char *)loops + (rows()[i].name - IMAGE_BASE);
		int status;
		pid_t pid;

		if (!wanted_row(name))
			continue;
		pid = fork();
		if (!pid)
			measure(i, name);
		if (waitpid(pid, &status, 0) != pid || status)
			printf("%s\tfailed\n", name);
		fflush(stdout);
	}
}
