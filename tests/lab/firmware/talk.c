// SPDX-License-Identifier: GPL-2.0
/*
 * talk SCRIPT PROGRAM [ARGUMENT]...: runs a program and talks with it as a person at its terminal
 * would. Lines of the script are
 *	await TEXT	the program prints it; how the cursor moves in between doesn't count
 *	type TEXT	without waiting for anything; \e is Escape, \r Return
 *	press KEY TEXT	the key makes it print the text; again, as a person would, if nothing comes
 *	say TEXT	key by key, each when the one before has appeared: a BIOS has room for few
 *	keys KEYS	pressed on its PS/2 keyboard: its --name is "guest"
 *	end STATUS	the program ends with it
 *	kill STATUS	it is told to end, and does so with that status
 * Ends with 0 if all that was so. Waiting has no limit of its own: the lab's is in ticks.
 */
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>

static struct {
	pid_t pid;
	int in, out;
	char said[1 << 16];		/* since the last text that was awaited */
	size_t len;
	bool in_escape;
	unsigned long long started;
} p;

static void fail(const char *what, const char *text)
{
	p.said[p.len] = 0;
	fprintf(stderr, "talk: %s %s; it last said:\n%s\n", what, text,
		p.len > 2000 ? p.said + p.len - 2000 : p.said);
	if (p.pid)
		kill(p.pid, SIGTERM);
	exit(1);
}

static void start(char **argv)
{
	int in[2], out[2];

	if (pipe(in) || pipe(out) || (p.pid = fork()) < 0) {
		perror("talk");
		exit(1);
	}
	if (!p.pid) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		close(in[1]);
		close(out[0]);
		execvp(argv[0], argv);
		perror(argv[0]);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	p.in = in[1];
	p.started = __rdtsc();
	p.out = out[0];
}

/* Text as a terminal shows it, without what moves the cursor: SeaBIOS may say "g\rrub>". */
static void hear(char c)
{
	if (c == '\033')
		p.in_escape = true;
	else if (p.in_escape)
		p.in_escape = !((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'));
	else if (c != '\r')
		p.said[p.len++] = c;
	if (p.len == sizeof(p.said) - 1) {
		p.len /= 2;
		memcpy(p.said, p.said + p.len, p.len);
	}
}

/* Gives up after so many ticks without a word; 0: never. */
static bool await_for(const char *text, unsigned long long ticks)
{
	struct pollfd out = { .fd = p.out, .events = POLLIN };
	unsigned long long since = __rdtsc();
	char buf[4096], *end;
	ssize_t n, i;

	while (!(end = memmem(p.said, p.len, text, strlen(text)))) {
		while (ticks && !poll(&out, 1, 100))
			if (__rdtsc() - since > ticks)
				return false;
		since = __rdtsc();
		n = read(p.out, buf, sizeof(buf));
		if (n <= 0)
			fail("the program ended before it said", text);
		for (i = 0; i < n; i++)
			hear(buf[i]);
	}
	end += strlen(text);
	p.len -= end - p.said;
	memmove(p.said, end, p.len);
	return true;
}

static void await(const char *text)
{
	await_for(text, 0);
}

static void press(char key)
{
	if (write(p.in, &key, 1) != 1)
		fail("the program doesn't take", "a key");
}

static void type(const char *text)
{
	for (; *text; text++) {
		if (*text == '\\' && text[1])
			press(*++text == 'e' ? '\033' : '\r');
		else
			press(*text);
	}
}

#define PATIENCE	3000000000ull	/* ticks; a slow guest may take half of it */

static void press_until(const char *key_and_text)
{
	int tries = 2;

	do {
		press(*key_and_text);
		if (await_for(key_and_text + 2, PATIENCE))
			return;
		printf("talk: %c wasn't heard\n", *key_and_text);
	} while (--tries);
	fail("nothing came of a key:", key_and_text);
}

static void say(const char *text)
{
	for (; *text; text++) {
		char echo[] = { *text, 0 };

		press(*text);
		await(echo);
	}
}

static void press_keys(const char *keys)
{
	char command[300];

	snprintf(command, sizeof(command), "vmrun ctl guest sendkey %s", keys);
	if (system(command))
		fail("sendkey", keys);
}

static void await_end(const char *status)
{
	char buf[4096];
	int got;

	while (read(p.out, buf, sizeof(buf)) > 0)
		;
	waitpid(p.pid, &got, 0);
	p.pid = 0;
	got = WIFEXITED(got) ? WEXITSTATUS(got) : 128 + WTERMSIG(got);
	if (got != atoi(status)) {
		fprintf(stderr, "talk: the program ended with status %d\n", got);
		exit(1);
	}
}

static void carry_out(const char *verb, const char *rest)
{
	if (!strcmp(verb, "await")) {
		await(rest);
		printf("talk: %6llu M ticks: %s\n", (__rdtsc() - p.started) / 1000000, rest);
		fflush(stdout);
	} else if (!strcmp(verb, "press")) {
		press_until(rest);
		printf("talk: %6llu M ticks: %s\n", (__rdtsc() - p.started) / 1000000, rest + 2);
		fflush(stdout);
	} else if (!strcmp(verb, "type")) {
		type(rest);
	} else if (!strcmp(verb, "keys")) {
		press_keys(rest);
	} else if (!strcmp(verb, "say")) {
		say(rest);
	} else if (!strcmp(verb, "end")) {
		await_end(rest);
	} else if (!strcmp(verb, "kill")) {
		kill(p.pid, SIGTERM);
		await_end(rest);
	} else {
		fail("no such line in the script:", verb);
	}
}

int main(int argc, char **argv)
{
	FILE *script = argc > 2 ? fopen(argv[1], "r") : NULL;
	char line[256];

	if (!script) {
		fprintf(stderr, "talk SCRIPT PROGRAM [ARGUMENT]...\n");
		return 1;
	}
	signal(SIGPIPE, SIG_IGN);
	start(argv + 2);
	while (fgets(line, sizeof(line), script)) {
		char *rest = strchr(line, ' ');

		line[strcspn(line, "\n")] = 0;
		if (rest)
			*rest++ = 0;
		carry_out(line, rest ? rest : "");
	}
	printf("talk: done\n");
	return 0;
}
