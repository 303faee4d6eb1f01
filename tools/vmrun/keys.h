/* SPDX-License-Identifier: GPL-2.0 */
/* Keys by name, as `sendkey` has them. */
#ifndef VMRUN_KEYS_H
#define VMRUN_KEYS_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

#define KEYS_BYTES_MAX	256

/*
 * Words are pressed and released one after another; keys in a word, with "-" between them, are held
 * together: "ctrl-alt-delete". Return: how many bytes of scan code set 2 that makes, or -1.
 */
int keys_parse(const char *text, uint8_t codes[KEYS_BYTES_MAX], struct error *err);

#endif
