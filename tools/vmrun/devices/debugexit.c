// SPDX-License-Identifier: GPL-2.0
/*
 * Ports for programs that have no drivers: a byte written to 0xe9 appears on the console, and a
 * value written to 0x501 ends the guest with that value as vmrun's exit code. What firmware writes
 * to 0x402 is its log, which is there only if somebody wants it: each byte is an exit.
 */
#include <stdio.h>

#include "../device.h"
#include "../exitcode.h"

#define DEBUG_CONSOLE_PORT	0xe9
#define DEBUG_EXIT_PORT		0x501
#define FIRMWARE_LOG_PORT	0x402

static void console_access(void *opaque, struct bus_access *a)
{
	struct chardev *chr = opaque;

	if (a->write)
		chr->write(chr, a->data, 1);
	else
		a->data[0] = DEBUG_CONSOLE_PORT;	/* how programs find out that it is there */
}

static void log_access(void *opaque, struct bus_access *a)
{
	(void)opaque;
	if (!a->write)
		a->data[0] = DEBUG_CONSOLE_PORT;
	else if (a->data[0] == '\n')
		fputs("\r\n", stderr);
	else
		fputc(a->data[0], stderr);
}

static void exit_access(void *opaque, struct bus_access *a)
{
	struct stopper *s = opaque;
	uint64_t value = bus_value(a);
	char why[80];

	if (!a->write || a->offset)
		return;
	snprintf(why, sizeof(why), "the guest wrote %#llx to the debug-exit port",
		 (unsigned long long)value);
	s->stop(s, value <= EXIT_GUEST_MAX ? (int)value : EXIT_GUEST_MAX, why);
}

static void *debugexit_create(const struct device_env *env, struct error *err)
{
	if (bus_add(env->ports, DEBUG_CONSOLE_PORT, 1, 1, console_access, env->console,
		    "debug console", err) ||
	    bus_add(env->ports, DEBUG_EXIT_PORT, 4, 4, exit_access, env->stopper, "debug exit",
		    err) ||
	    bus_add(env->ports, FIRMWARE_LOG_PORT, 1, 1, env->firmware_log ? log_access : NULL,
		    NULL, "firmware log", err))
		return NULL;
	return env->stopper;
}

static void debugexit_destroy(void *dev)
{
	(void)dev;
}

DEVICE(debugexit) = {
	.name = "debugexit",
	.order = 40,
	.create = debugexit_create,
	.destroy = debugexit_destroy,
};
