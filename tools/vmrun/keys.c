// SPDX-License-Identifier: GPL-2.0
#include <stdbool.h>
#include <string.h>

#include "keys.h"

#define PREFIX		0xe0
#define RELEASED	0xf0
#define EXTENDED	0x100		/* it has the prefix */
#define HELD_MAX	6

/* The keys of a US keyboard; their codes in set 2. */
static const struct {
	const char *name;
	uint16_t code;
} keys[] = {
	{ "a", 0x1c }, { "b", 0x32 }, { "c", 0x21 }, { "d", 0x23 }, { "e", 0x24 }, { "f", 0x2b },
	{ "g", 0x34 }, { "h", 0x33 }, { "i", 0x43 }, { "j", 0x3b }, { "k", 0x42 }, { "l", 0x4b },
	{ "m", 0x3a }, { "n", 0x31 }, { "o", 0x44 }, { "p", 0x4d }, { "q", 0x15 }, { "r", 0x2d },
	{ "s", 0x1b }, { "t", 0x2c }, { "u", 0x3c }, { "v", 0x2a }, { "w", 0x1d }, { "x", 0x22 },
	{ "y", 0x35 }, { "z", 0x1a },
	{ "0", 0x45 }, { "1", 0x16 }, { "2", 0x1e }, { "3", 0x26 }, { "4", 0x25 }, { "5", 0x2e },
	{ "6", 0x36 }, { "7", 0x3d }, { "8", 0x3e }, { "9", 0x46 },
	{ "grave", 0x0e }, { "minus", 0x4e }, { "equal", 0x55 }, { "leftbrace", 0x54 },
	{ "rightbrace", 0x5b }, { "backslash", 0x5d }, { "semicolon", 0x4c },
	{ "apostrophe", 0x52 }, { "comma", 0x41 }, { "dot", 0x49 }, { "slash", 0x4a },
	{ "esc", 0x76 }, { "tab", 0x0d }, { "enter", 0x5a }, { "space", 0x29 },
	{ "backspace", 0x66 }, { "capslock", 0x58 }, { "numlock", 0x77 }, { "scrolllock", 0x7e },
	{ "shift", 0x12 }, { "rightshift", 0x59 }, { "ctrl", 0x14 },
	{ "rightctrl", EXTENDED | 0x14 }, { "alt", 0x11 }, { "rightalt", EXTENDED | 0x11 },
	{ "meta", EXTENDED | 0x1f }, { "rightmeta", EXTENDED | 0x27 }, { "menu", EXTENDED | 0x2f },
	{ "up", EXTENDED | 0x75 }, { "down", EXTENDED | 0x72 }, { "left", EXTENDED | 0x6b },
	{ "right", EXTENDED | 0x74 }, { "home", EXTENDED | 0x6c }, { "end", EXTENDED | 0x69 },
	{ "pageup", EXTENDED | 0x7d }, { "pagedown", EXTENDED | 0x7a },
	{ "insert", EXTENDED | 0x70 }, { "delete", EXTENDED | 0x71 },
	{ "f1", 0x05 }, { "f2", 0x06 }, { "f3", 0x04 }, { "f4", 0x0c }, { "f5", 0x03 },
	{ "f6", 0x0b }, { "f7", 0x83 }, { "f8", 0x0a }, { "f9", 0x01 }, { "f10", 0x09 },
	{ "f11", 0x78 }, { "f12", 0x07 },
};

/* Return: its code, or 0. */
static uint16_t find(const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (strlen(keys[i].name) == len && !memcmp(keys[i].name, name, len))
			return keys[i].code;
	return 0;
}

static int put_key(uint8_t *codes, uint16_t key, bool released)
{
	int n = 0;

	if (key & EXTENDED)
		codes[n++] = PREFIX;
	if (released)
		codes[n++] = RELEASED;
	codes[n++] = key;
	return n;
}

/* One word of that length. Return: bytes, or -1. */
static int put_word(uint8_t *codes, size_t room, const char *word, size_t len, struct error *err)
{
	uint16_t held[HELD_MAX];
	size_t at = 0, nr = 0, i;
	int n = 0;

	while (at <= len) {
		size_t end = at;

		while (end < len && word[end] != '-')
			end++;
		if (nr == HELD_MAX)
			return failed(err, "more than %d keys at once", HELD_MAX);
		held[nr] = find(word + at, end - at);
		if (!held[nr++])
			return failed(err, "%.*s: no key of this name", (int)(end - at), word + at);
		at = end + 1;
	}
	if (room < nr * 5)		/* the longest: prefix and code, prefix, release and code */
		return failed(err, "too many keys at once");
	for (i = 0; i < nr; i++)
		n += put_key(codes + n, held[i], false);
	while (nr)
		n += put_key(codes + n, held[--nr], true);
	return n;
}

int keys_parse(const char *text, uint8_t codes[KEYS_BYTES_MAX], struct error *err)
{
	int n = 0, more;

	for (text += strspn(text, " "); *text; text += strspn(text, " ")) {
		size_t len = strcspn(text, " ");

		more = put_word(codes + n, KEYS_BYTES_MAX - n, text, len, err);
		if (more < 0)
			return -1;
		n += more;
		text += len;
	}
	return n ? n : failed(err, "which keys?");
}
