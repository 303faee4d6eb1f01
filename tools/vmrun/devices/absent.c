// SPDX-License-Identifier: GPL-2.0
/*
 * What operating systems look for in a PC and this one doesn't have. Such ports read as ones like
 * any other; listing them keeps --debug-ioport for what is really unknown.
 */
#include "../device.h"

#define COM2_PORT	0x2f8

static const struct {
	uint16_t start, size;
	const char *name;
} places[] = {
	{ 0x000, 0x10, "DMA controller" },
	{ 0x022, 2, "interrupt mode control" },
	{ 0x02e, 2, "super I/O" },
	{ 0x04e, 2, "super I/O" },
	{ 0x062, 1, "embedded controller" },
	{ 0x066, 1, "embedded controller" },
	{ 0x080, 0x10, "POST code, DMA pages" },
	{ 0x0c0, 0x20, "DMA controller" },
	{ 0x0f0, 2, "coprocessor reset" },
	{ 0x200, 8, "game port" },
	{ 0x278, 3, "LPT2" },
	{ 0x2e8, 8, "COM4" },
	{ COM2_PORT, 8, "COM2" },
	{ 0x377, 1, "second floppy" },
	{ 0x378, 3, "LPT1" },
	{ 0x3b0, 0x30, "VGA" },
	{ 0x3e8, 8, "COM3" },
	{ 0x3f0, 6, "floppy" },
	{ 0x3f7, 1, "floppy" },
};

static void *absent_create(const struct device_env *env, struct error *err)
{
	size_t i;

	for (i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (!(places[i].start == COM2_PORT && env->serial2) &&
		    bus_add(env->ports, places[i].start, places[i].size, 8, NULL, NULL,
			    places[i].name, err))
			return NULL;
	return env->ports;
}

static void absent_destroy(void *dev)
{
	(void)dev;
}

DEVICE(absent) = {
	.name = "absent",
	.order = 90,
	.create = absent_create,
	.destroy = absent_destroy,
};
