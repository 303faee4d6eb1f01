/* SPDX-License-Identifier: GPL-2.0 */
/* A PS/2 keyboard as its controller sees it: bytes go to it, and come from it when asked for. */
#ifndef VMRUN_KEYBOARD_H
#define VMRUN_KEYBOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEYBOARD_REPLIES	3
#define KEYBOARD_CODES		512

struct keyboard_device {
	uint8_t replies[KEYBOARD_REPLIES];
	uint8_t codes[KEYBOARD_CODES];	/* of set 2, a ring */
	unsigned int nr_replies, first_code, nr_codes;
	uint8_t waiting;		/* the command that the next byte belongs to, or 0 */
	uint8_t set, leds, last;
	bool off;			/* keys aren't looked at */
	bool released;			/* set 1: the byte before said so */
};

/* As after power on. */
void keyboard_reset(struct keyboard_device *k);
/* The controller sends a byte. */
void keyboard_command(struct keyboard_device *k, uint8_t byte);
/* The next byte for the controller. Return: whether there is one. */
bool keyboard_next(struct keyboard_device *k, uint8_t *byte);
/* Keys. Return: NULL, or why not: then none of them came in. */
const char *keyboard_type(struct keyboard_device *k, const uint8_t *codes, size_t len);

/*
 * From set 2 to set 1, as controllers do. *released is kept from byte to byte. Return: whether there
 * is a byte: the prefix of a release isn't one.
 */
bool keyboard_translate(uint8_t *byte, bool *released);

#endif
