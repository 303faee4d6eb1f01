/* SPDX-License-Identifier: GPL-2.0 */
/* Command lines that go on in files: a word @FILE stands for the words in that file. */
#ifndef VMRUN_ARGS_H
#define VMRUN_ARGS_H

#include <stddef.h>

#include "error.h"

struct args {
	char **words;			/* ends in NULL */
	int nr;
	char **owned;			/* those that were read from files */
	size_t nr_owned;
	char *text;			/* the words as they were, a zero behind each */
	size_t text_len;
};

/**
 * args_expand() - put the words of files in the place of @FILE
 *
 * In a file words stand between white space; quotes hold white space, a backslash takes the next
 * character as it is, but not inside of single quotes; # begins a comment where a word could begin.
 * What follows "--" on the command line is left as it is, as is @ inside of files.
 *
 * Return: 0, or -1 with @err filled in. args_free() in either case.
 */
int args_expand(struct args *a, int argc, char **argv, struct error *err);

/* Words out of such a text, and words of another one behind these. Return: 0, or -1. */
int args_split(struct args *a, const char *text, size_t len, struct error *err);
int args_append(struct args *a, char *const *words, struct error *err);

/* Fill in the text, before words are taken apart. Return: 0, or -1. */
int args_join(struct args *a, struct error *err);
void args_free(struct args *a);

#endif
