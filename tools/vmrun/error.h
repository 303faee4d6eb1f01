/* SPDX-License-Identifier: GPL-2.0 */
/* An error is a sentence for a person; whoever can do something about it decides what it costs. */
#ifndef VMRUN_ERROR_H
#define VMRUN_ERROR_H

struct error {
	char text[600];
};

/* Write a sentence into err, which may be NULL. */
void error_set(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Say why a function didn't do its work, and have the -1 to return. */
#define failed(err, ...) ({ error_set(err, __VA_ARGS__); -1; })

#endif
