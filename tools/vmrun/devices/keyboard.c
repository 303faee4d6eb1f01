// SPDX-License-Identifier: GPL-2.0
#include <string.h>

#include "keyboard.h"

enum {
	CMD_LEDS = 0xed,
	CMD_ECHO = 0xee,
	CMD_SET = 0xf0,
	CMD_IDENTIFY = 0xf2,
	CMD_RATE = 0xf3,
	CMD_ON = 0xf4,
	CMD_OFF = 0xf5,
	CMD_DEFAULTS = 0xf6,
	CMD_ALL_KEYS = 0xf7,		/* to 0xfa: what they do, in set 3 */
	CMD_ONE_KEY = 0xfb,		/* to 0xfd: likewise */
	CMD_RESEND = 0xfe,
	CMD_RESET = 0xff,
};

#define ACK		0xfa
#define TEST_PASSED	0xaa
#define RESEND		0xfe
#define RELEASED	0xf0

static void reply(struct keyboard_device *k, uint8_t byte)
{
	k->replies[k->nr_replies++] = byte;
}

static void set_defaults(struct keyboard_device *k, bool off)
{
	k->nr_codes = 0;
	k->set = 2;
	k->leds = 0;
	k->released = false;
	k->off = off;
}

void keyboard_reset(struct keyboard_device *k)
{
	memset(k, 0, sizeof(*k));
	set_defaults(k, false);
}

/* Of the sets there are 1 and 2: nobody uses the third. */
static void choose_set(struct keyboard_device *k, uint8_t set)
{
	if (set > 2) {
		reply(k, RESEND);
		return;
	}
	reply(k, ACK);
	if (!set) {
		reply(k, k->set);
		return;
	}
	k->nr_codes = 0;
	k->set = set;
}

static void parameter(struct keyboard_device *k, uint8_t cmd, uint8_t byte)
{
	if (cmd == CMD_SET) {
		choose_set(k, byte);
		return;
	}
	if (cmd == CMD_LEDS)
		k->leds = byte & 7;
	reply(k, ACK);
}

static void command(struct keyboard_device *k, uint8_t cmd)
{
	switch (cmd) {
	case CMD_ECHO:
		return reply(k, CMD_ECHO);
	case CMD_RESEND:
		return reply(k, k->last);
	case CMD_LEDS:
	case CMD_SET:
	case CMD_RATE:
	case CMD_ONE_KEY ... CMD_RESEND - 1:
		k->waiting = cmd;
		break;
	case CMD_IDENTIFY:
		reply(k, ACK);
		reply(k, 0xab);
		return reply(k, 0x83);
	case CMD_ON:
		k->nr_codes = 0;
		k->off = false;
		break;
	case CMD_OFF:
	case CMD_DEFAULTS:
		set_defaults(k, cmd == CMD_OFF);
		break;
	case CMD_ALL_KEYS ... CMD_ONE_KEY - 1:
		break;
	case CMD_RESET:
		set_defaults(k, false);
		reply(k, ACK);
		return reply(k, TEST_PASSED);
	default:
		return reply(k, RESEND);
	}
	reply(k, ACK);
}

void keyboard_command(struct keyboard_device *k, uint8_t byte)
{
	uint8_t cmd = k->waiting;

	k->nr_replies = 0;		/* what nobody has fetched isn't wanted any more */
	k->waiting = 0;
	if (cmd && byte < CMD_LEDS)
		parameter(k, cmd, byte);
	else
		command(k, byte);
}

static bool next_code(struct keyboard_device *k, uint8_t *byte)
{
	while (k->nr_codes) {
		*byte = k->codes[k->first_code];
		k->first_code = (k->first_code + 1) % KEYBOARD_CODES;
		k->nr_codes--;
		if (k->set == 2 || keyboard_translate(byte, &k->released))
			return true;
	}
	return false;
}

bool keyboard_next(struct keyboard_device *k, uint8_t *byte)
{
	if (k->nr_replies) {
		*byte = k->replies[0];
		k->nr_replies--;
		memmove(k->replies, k->replies + 1, k->nr_replies);
	} else if (!next_code(k, byte)) {
		return false;
	}
	k->last = *byte;
	return true;
}

const char *keyboard_type(struct keyboard_device *k, const uint8_t *codes, size_t len)
{
	size_t i;

	if (k->off)
		return "the guest has switched its keyboard off";
	if (len > KEYBOARD_CODES - k->nr_codes)
		return "the guest doesn't read its keyboard, which holds no more keys";
	for (i = 0; i < len; i++)
		k->codes[(k->first_code + k->nr_codes++) % KEYBOARD_CODES] = codes[i];
	return NULL;
}

bool keyboard_translate(uint8_t *byte, bool *released)
{
	static const uint8_t to_set_1[] = {
		0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59,
		0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b,
		0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d,
		0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f,
		0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61,
		0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76,
		0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f,
		0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54,
		0x80, 0x81, 0x82, 0x41, 0x54,
	};

	if (*byte == RELEASED) {
		*released = true;
		return false;
	}
	if (*byte < sizeof(to_set_1))
		*byte = to_set_1[*byte];
	if (*released)
		*byte |= 0x80;
	*released = false;
	return true;
}
