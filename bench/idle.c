/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What an idle device costs: resident memory of a process that serves one
 * block device, and what each further one adds, first without a front-end
 * and then with one that has negotiated, shared its memory and started the
 * queue. Guest memory isn't counted. One line of JSON; KiB.
 */
#include "place.h"
#include "session.h"

#include <errno.h>
#include <libvhost-devices/blk.h>
#include <libvhost/user.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEVICES	  101
#define DISK_SIZE (UINT64_C(16) << 20)

struct device {
	struct vh_backend *backend;
	struct vh_user_server *server;
	char path[128];
};

static struct place place;
static struct device devices[DEVICES];

static long field(const char *line, const char *name)
{
	size_t length = strlen(name);

	return strncmp(line, name, length) == 0 ? atol(line + length) : 0;
}

/* Resident KiB of this process without what it shares with a front-end. */
static long resident(void)
{
	FILE *status = fopen("/proc/self/status", "re");
	char line[256];
	long size = 0;

	if (!status)
		return 0;
	while (fgets(line, sizeof(line), status))
		size += field(line, "VmRSS:") - field(line, "RssShmem:");
	fclose(status);
	return size;
}

static int add_device(struct device *device, unsigned int index, bool null)
{
	int ret;

	VH_OPTS(vh_blk_opts, blk);
	VH_OPTS(vh_user_serve_opts, serve);
	snprintf(device->path, sizeof(device->path), "%s%u", place.socket,
		 index);
	blk.path = null ? NULL : place.disk;
	blk.null_size = DISK_SIZE;
	blk.workers = 1;
	serve.path = device->path;
	ret = vh_blk_new(&blk, NULL, &device->backend);
	if (ret == 0)
		ret = vh_user_serve(device->backend, &serve, NULL,
				    &device->server);
	if (ret == 0)
		ret = vh_user_server_start(device->server);
	return ret;
}

/* In a process of its own: connects to the first count devices, says so, and
 * stays until it hears end of file. */
static int front_end(unsigned int count, int say, int hear)
{
	static struct session sessions[DEVICES];
	struct session_opts opts = {.regions = 1};
	unsigned int i;
	char byte = 0;

	for (i = 0; i < count; i++)
		if (session_open(&sessions[i], &opts, devices[i].path) < 0)
			byte = 1;
	if (write(say, &byte, 1) != 1)
		return 1;
	while (read(hear, &byte, 1) > 0)
		;
	return 0;
}

/* Memory with front-ends on the first count devices; -1: failed. */
static long resident_with(unsigned int count)
{
	int said[2], heard[2];
	long size = -1;
	char byte = 1;
	pid_t pid;

	if (pipe(said) != 0 || pipe(heard) != 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		close(heard[1]);
		_exit(front_end(count, said[1], heard[0]));
	}
	close(said[1]);
	if (pid > 0 && read(said[0], &byte, 1) == 1 && byte == 0)
		size = resident();
	close(heard[1]);
	close(heard[0]);
	close(said[0]);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	return size;
}

static int measure(bool null)
{
	long one, all, one_busy, all_busy, empty = resident();
	unsigned int i;

	if (add_device(&devices[0], 0, null) < 0)
		return -1;
	one = resident();
	one_busy = resident_with(1);
	for (i = 1; i < DEVICES; i++)
		if (add_device(&devices[i], i, null) < 0)
			return -1;
	all = resident();
	all_busy = resident_with(DEVICES);
	if (one_busy < 0 || all_busy < 0)
		return -1;
	printf("{\"store\": \"%s\", \"program\": %ld, \"one\": %ld, "
	       "\"one_connected\": %ld, \"each_further\": %.1f, "
	       "\"each_further_connected\": %.1f}\n",
	       null ? "null" : "file", empty, one, one_busy,
	       (double)(all - one) / (DEVICES - 1),
	       (double)(all_busy - one_busy) / (DEVICES - 1));
	return 0;
}

int main(int argc, char *argv[])
{
	bool null = argc == 2 && strcmp(argv[1], "--null") == 0;
	unsigned int i;
	int ret;

	if (argc > 2 || (argc == 2 && !null)) {
		fprintf(stderr, "usage: bench-idle [--null]\n");
		return 2;
	}
	ret = place_make(&place, getenv("TMPDIR"), DISK_SIZE);
	if (ret == 0)
		ret = measure(null);
	if (ret < 0)
		fprintf(stderr, "bench-idle: a device or front-end failed\n");
	for (i = 0; i < DEVICES; i++) {
		vh_user_server_free(devices[i].server);
		vh_backend_free(devices[i].backend);
	}
	place_remove(&place);
	return ret < 0;
}
