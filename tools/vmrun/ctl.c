// SPDX-License-Identifier: GPL-2.0
/* `vmrun ctl`: the client of the control socket. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control.h"
#include "exitcode.h"
#include "options.h"

#define PATH_SIZE	108
#define ANSWER_MAX	(16 << 20)

/* file: an open one to go with the line, or -1. A line fits into the socket's buffer. */
static bool send_all(int fd, const char *line, int file)
{
	char room[CMSG_SPACE(sizeof(file))] __attribute__((aligned(8))) = { };
	struct iovec iov = { (char *)line, strlen(line) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c = (struct cmsghdr *)room;

	if (file >= 0) {
		msg.msg_control = room;
		msg.msg_controllen = sizeof(room);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(file));
		memcpy(CMSG_DATA(c), &file, sizeof(file));
	}
	return sendmsg(fd, &msg, MSG_NOSIGNAL) == (ssize_t)iov.iov_len;
}

/* Return: the answer, to be freed, or NULL. */
static char *receive_all(int fd)
{
	size_t size = 4096, len = 0;
	char *text = malloc(size), *grown;
	ssize_t n = 0;

	while (text && (n = recv(fd, text + len, size - len - 1, 0)) > 0) {
		len += n;
		if (len < size - 1)
			continue;
		grown = size < ANSWER_MAX ? realloc(text, size *= 2) : NULL;
		if (!grown) {
			free(text);
			return NULL;
		}
		text = grown;
	}
	if (!text || n < 0) {
		free(text);
		return NULL;
	}
	text[len] = 0;
	return text;
}

/* Return: 0 or 1 as the machine says, with text to be freed; or -1. */
static int ask(const char *path, const char *line, int file, char **text)
{
	int fd = control_connect(path), rc = -1;
	char *answer;

	*text = NULL;
	if (fd < 0)
		return -1;
	answer = send_all(fd, line, file) ? receive_all(fd) : NULL;
	close(fd);
	if (answer && !strncmp(answer, "ok\n", 3))
		rc = 0, *text = strdup(answer + 3);
	else if (answer && !strncmp(answer, "failed\n", 7))
		rc = 1, *text = strdup(answer + 7);
	free(answer);
	return *text ? rc : -1;
}

static void list_one(const char *name, FILE *out)
{
	char path[PATH_SIZE], *text;

	if (!name_is_valid(name) || control_path(path, sizeof(path), name, NULL))
		return;
	if (!ask(path, "status\n", -1, &text))
		fprintf(out, "%-16s %s", name, text);
	else if (errno == ECONNREFUSED)
		unlink(path);		/* its vmrun is gone */
	else
		fprintf(out, "%-16s doesn't answer\n", name);
	free(text);
}

static int list(FILE *out, struct error *err)
{
	char directory[PATH_SIZE];
	struct dirent **entries;
	int i, n;

	if (control_directory(directory, sizeof(directory), err))
		return EXIT_HOST_FAILED;
	n = scandir(directory, &entries, NULL, alphasort);
	if (n < 0 && errno != ENOENT) {
		failed(err, "%s: %s", directory, strerror(errno));
		return EXIT_HOST_FAILED;
	}
	for (i = 0; i < n; i++) {
		list_one(entries[i]->d_name, out);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
	return EXIT_GUEST_OK;
}

static int join_words(char *line, size_t size, int argc, char **argv, struct error *err)
{
	size_t len = 0;
	int i;

	for (i = 0; i < argc; i++) {
		if (strchr(argv[i], '\n'))
			return failed(err, "a command is one line");
		len += snprintf(line + len, size - len, "%s%s", i ? " " : "", argv[i]);
		if (len + 2 > size)
			return failed(err, "a command of more than %zu bytes", size);
	}
	strcpy(line + len, "\n");
	return 0;
}

/* Whole under its name, or not at all. Return: as ask(). */
static int ask_for_snapshot(const char *path, const char *file, char **text, struct error *err)
{
	char temp[PATH_MAX];
	int fd, rc;

	*text = NULL;
	if ((size_t)snprintf(temp, sizeof(temp), "%s.XXXXXX", file) >= sizeof(temp))
		return failed(err, "%s: %s", file, strerror(ENAMETOOLONG));
	fd = mkostemp(temp, O_CLOEXEC);
	if (fd < 0)
		return failed(err, "%s: %s", temp, strerror(errno));
	rc = ask(path, "snapshot\n", fd, text);
	if (!rc && rename(temp, file))
		rc = failed(err, "%s: %s", file, strerror(errno));
	if (rc) {
		int e = errno;

		unlink(temp);
		errno = e;
	}
	close(fd);
	return rc;
}

int ctl_main(int argc, char **argv, FILE *out, struct error *err)
{
	char path[PATH_SIZE], line[CONTROL_LINE], *text;
	int rc;

	if (argc == 1)
		return list(out, err);
	if (argc == 2) {
		failed(err, "what is %s to do? `vmrun ctl %s help` lists it", argv[1], argv[1]);
		return EXIT_USAGE;
	}
	if (!name_is_valid(argv[1])) {
		failed(err, "\"%s\" is no machine's name", argv[1]);
		return EXIT_USAGE;
	}
	if (join_words(line, sizeof(line), argc - 2, argv + 2, err))
		return EXIT_USAGE;
	if (control_path(path, sizeof(path), argv[1], err))
		return EXIT_HOST_FAILED;
	if (argc == 4 && !strcmp(argv[2], "snapshot"))
		rc = ask_for_snapshot(path, argv[3], &text, err);
	else
		rc = ask(path, line, -1, &text);
	if (rc < 0 && !err->text[0]) {
		failed(err, errno == ENOENT || errno == ECONNREFUSED ?
		       "no machine of the name %s runs; `vmrun ctl` lists those that do" :
		       "%s doesn't answer", argv[1]);
	}
	if (rc < 0) {
		free(text);
		return EXIT_HOST_FAILED;
	}
	if (rc)
		failed(err, "%.*s", (int)strcspn(text, "\n"), text);
	else
		fputs(text, out);
	free(text);
	return rc ? EXIT_GUEST_FAILED : EXIT_GUEST_OK;
}
