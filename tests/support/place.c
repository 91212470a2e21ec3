/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "place.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_ARGS 32
#define ARG_SIZE 512

int place_make(struct place *place, const char *parent, uint64_t disk_size)
{
	place->file = -1;
	snprintf(place->folder, sizeof(place->folder), "%s/vhost-XXXXXX",
		 parent ? parent : "/tmp");
	if (!mkdtemp(place->folder)) {
		place->folder[0] = '\0';
		return -errno;
	}
	snprintf(place->socket, sizeof(place->socket), "%s/socket",
		 place->folder);
	snprintf(place->disk, sizeof(place->disk), "%s/disk", place->folder);
	if (disk_size == 0)
		return 0;
	place->file = open(place->disk, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (place->file < 0 || ftruncate(place->file, (off_t)disk_size) != 0)
		return -errno;
	return 0;
}

void place_remove(struct place *place)
{
	if (place->file >= 0)
		close(place->file);
	place->file = -1;
	if (!place->folder[0])
		return;
	unlink(place->socket);
	unlink(place->disk);
	rmdir(place->folder);
	place->folder[0] = '\0';
}

static void replace(char *text, const char *word, const char *value)
{
	char rest[ARG_SIZE];
	char *at = strstr(text, word);

	if (!at)
		return;
	snprintf(rest, sizeof(rest), "%s", at + strlen(word));
	snprintf(at, (size_t)(text + ARG_SIZE - at), "%s%s", value, rest);
}

pid_t program_start(const struct place *place, const char *const argv[])
{
	char words[MAX_ARGS][ARG_SIZE];
	char *args[MAX_ARGS + 1] = {NULL};
	unsigned int i;
	pid_t pid;

	for (i = 0; argv[i]; i++) {
		if (i == MAX_ARGS)
			return -E2BIG;
		snprintf(words[i], ARG_SIZE, "%s", argv[i]);
		replace(words[i], "SOCKET", place->socket);
		replace(words[i], "DISK", place->disk);
		args[i] = words[i];
	}
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		execvp(args[0], args);
		_exit(127);
	}
	return pid;
}

int program_stop(pid_t pid)
{
	int status = 0;

	kill(pid, SIGTERM);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}
