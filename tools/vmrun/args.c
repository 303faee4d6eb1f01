// SPDX-License-Identifier: GPL-2.0
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"

#define FILE_MAX	0x10000
#define WORDS_MAX	4096

struct reader {
	const char *path;
	const char *p;
	unsigned int line;
};

static int no_memory(struct error *err)
{
	return failed(err, "no memory for the command line");
}

static int add(struct args *a, char *word, struct error *err)
{
	char **grown;

	if (a->nr == WORDS_MAX)
		return failed(err, "a command line of more than %d words", WORDS_MAX);
	grown = realloc(a->words, (a->nr + 2) * sizeof(*grown));
	if (!grown)
		return no_memory(err);
	a->words = grown;
	a->words[a->nr++] = word;
	a->words[a->nr] = NULL;
	return 0;
}

static int add_owned(struct args *a, char *word, struct error *err)
{
	char **grown = realloc(a->owned, (a->nr_owned + 1) * sizeof(*grown));

	if (!grown) {
		free(word);
		return no_memory(err);
	}
	a->owned = grown;
	a->owned[a->nr_owned++] = word;
	return add(a, word, err);
}

static int add_copy(struct args *a, const char *word, struct error *err)
{
	char *copy = strdup(word);

	return copy ? add_owned(a, copy, err) : no_memory(err);
}

/* Return: whether there is a word; its start is r->p then. */
static bool skip_to_word(struct reader *r)
{
	for (; *r->p; r->p++) {
		if (*r->p == '#')
			r->p += strcspn(r->p, "\n");
		if (!*r->p || !isspace((unsigned char)*r->p))
			break;
		r->line += *r->p == '\n';
	}
	return *r->p;
}

/* Writes a word to out, which has room for all of the file. */
static int read_word(struct reader *r, char *out, struct error *err)
{
	unsigned int start = r->line;
	char quote = 0;

	for (; *r->p && (quote || !isspace((unsigned char)*r->p)); r->p++) {
		if (*r->p == '\n')
			r->line++;
		if (quote && *r->p == quote)
			quote = 0;
		else if (!quote && (*r->p == '\'' || *r->p == '"'))
			quote = *r->p;
		else if (*r->p == '\\' && quote != '\'' && r->p[1])
			*out++ = *++r->p;
		else
			*out++ = *r->p;
	}
	*out = 0;
	return quote ? failed(err, "%s:%u: this quote has no end", r->path, start) : 0;
}

static int add_words(struct args *a, struct reader *r, struct error *err)
{
	while (skip_to_word(r)) {
		char *word = malloc(strlen(r->p) + 1);

		if (!word)
			return no_memory(err);
		if (read_word(r, word, err)) {
			free(word);
			return -1;
		}
		if (add_owned(a, word, err))
			return -1;
	}
	return 0;
}

static int read_file(struct args *a, const char *path, struct error *err)
{
	struct reader r = { .path = path, .line = 1 };
	char *text = malloc(FILE_MAX + 1);
	FILE *f = fopen(path, "re");
	size_t n = 0;
	int rc;

	if (!text)
		rc = no_memory(err);
	else if (!f)
		rc = failed(err, "@%s: %s", path, strerror(errno));
	else if ((n = fread(text, 1, FILE_MAX + 1, f)), ferror(f))
		rc = failed(err, "@%s: %s", path, strerror(errno));
	else if (n > FILE_MAX || memchr(text, 0, n))
		rc = failed(err, "@%s: not a text of at most %d bytes", path, FILE_MAX);
	else
		r.p = text, text[n] = 0, rc = add_words(a, &r, err);
	if (f)
		fclose(f);
	free(text);
	return rc;
}

int args_expand(struct args *a, int argc, char **argv, struct error *err)
{
	bool literal = false;
	int i;

	*a = (struct args) { };
	for (i = 0; i < argc; i++) {
		if (!literal && i && argv[i][0] == '@' ? read_file(a, argv[i] + 1, err) :
							 add(a, argv[i], err))
			return -1;
		literal |= !strcmp(argv[i], "--");
	}
	return 0;
}

int args_split(struct args *a, const char *text, size_t len, struct error *err)
{
	*a = (struct args) { };
	if (!len || text[len - 1])
		return failed(err, "a command line without an end");
	for (; len; len -= strlen(text) + 1, text += strlen(text) + 1)
		if (add_copy(a, text, err))
			return -1;
	return 0;
}

int args_append(struct args *a, char *const *words, struct error *err)
{
	for (; *words; words++)
		if (add_copy(a, *words, err))
			return -1;
	return 0;
}

/* "--" would end the options of whoever comes after: the only word behind it is an image. */
int args_join(struct args *a, struct error *err)
{
	FILE *f = open_memstream(&a->text, &a->text_len);
	int i;

	if (!f)
		return no_memory(err);
	for (i = 0; i < a->nr; i++) {
		const char *word = a->words[i];

		if (strcmp(word, "--"))
			fwrite(word, strlen(word) + 1, 1, f);
		else if (i + 1 < a->nr)
			fwrite("--kernel", sizeof("--kernel"), 1, f);
	}
	return fclose(f) ? no_memory(err) : 0;
}

void args_free(struct args *a)
{
	free(a->text);
	while (a->nr_owned)
		free(a->owned[--a->nr_owned]);
	free(a->owned);
	free(a->words);
	*a = (struct args) { };
}
