/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What further block devices cost a process that serves 1 to 1000 of them,
 * each with a server and a worker of its own: the time to make one and for a
 * front-end to start its queue, its resident memory without a front-end and
 * with one that has started the queue and is idle (guest memory isn't
 * counted), and what the first device still does when all others are there
 * and idle. The front-ends are another process.
 *
 *	bench-devices [--null]		JSON on standard output
 */
#include "load.h"
#include "measure.h"
#include "place.h"

#include <errno.h>
#include <libvhost-devices/blk.h>
#include <libvhost/user.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define DISK_SIZE  (UINT64_C(16) << 20)
#define READ_SIZE  4096
#define DEPTH	   32
#define RUNS	   5
#define SECONDS	   0.2
#define FD_RESERVE 64
#define FDS_EACH   16 /* more than a device takes, or a front-end */

static const unsigned int counts[] = {1, 10, 100, 1000};
#define COUNTS	    (sizeof(counts) / sizeof(*counts))
#define MAX_DEVICES 1000

struct device {
	struct vh_backend *backend;
	struct vh_user_server *server;
};

/* What the front-ends answer when they have connected up to so many. */
struct answer {
	double connect_us; /* each */
	double polled;	   /* requests a second of the first device */
	double event;
};

struct row {
	unsigned int count;
	double start_us; /* each */
	double idle_kib; /* each that came to those before */
	double connected_kib;
	struct answer answer;
};

static struct place place;
static struct device devices[MAX_DEVICES];
static long start_kib;

static void check(const char *what, int ret)
{
	if (ret < 0)
		die(what, ret);
}

static void path_of(char path[128], unsigned int index)
{
	snprintf(path, 128, "%s%u", place.socket, index);
}

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
		die("/proc/self/status", errno);
	while (fgets(line, sizeof(line), status))
		size += field(line, "VmRSS:") - field(line, "RssShmem:");
	fclose(status);
	return size;
}

static void add_device(unsigned int index, bool null)
{
	struct device *device = &devices[index];
	char path[128];

	VH_OPTS(vh_blk_opts, blk);
	VH_OPTS(vh_user_serve_opts, serve);
	path_of(path, index);
	blk.path = null ? NULL : place.disk;
	blk.null_size = DISK_SIZE;
	blk.workers = 1;
	serve.path = path;
	check("device", vh_blk_new(&blk, NULL, &device->backend));
	check("server",
	      vh_user_serve(device->backend, &serve, NULL, &device->server));
	check("server", vh_user_server_start(device->server));
}

static void connect_front_end(struct session *session, struct load *load,
			      unsigned int index)
{
	struct session_opts opts = {
	    .queue_size = 8, /* of the ring that isn't used */
	    .table_entries = 1,
	    .region_size = UINT64_C(1) << 20,
	    .regions = 1,
	};
	struct load_opts ours = {
	    .depth = DEPTH,
	    .queue_size = 4 * DEPTH,
	    .read_size = READ_SIZE,
	    .blocks = DISK_SIZE / READ_SIZE,
	};
	char path[128];

	path_of(path, index);
	check("session", session_new(session, &opts));
	check("session", session_connect(session, path));
	check("session", session_negotiate(session));
	check("session", session_share_memory(session));
	check("queue", load_start(load, session, &ours));
}

/* The best of some runs; with events, one request at a time. */
static double rate(struct load *load, bool events)
{
	double best = 0;

	for (unsigned int i = 0; i < RUNS; i++) {
		double seconds;

		load->num_idle = events ? 1 : DEPTH;
		seconds = load_run(load, 1, SECONDS, events);
		check("load", (int)seconds);
		if ((double)load->requests / seconds > best)
			best = (double)load->requests / seconds;
		check("load", load_finish(load));
	}
	return best;
}

/*
 * The front-ends' process: is told how many are wanted, connects them and
 * puts the first one to work, until there is nobody to tell.
 */
static void run_front_ends(int sock)
{
	static struct session sessions[MAX_DEVICES];
	static struct load loads[MAX_DEVICES];
	unsigned int count, wanted;

	for (count = 0;
	     read(sock, &wanted, sizeof(wanted)) == (ssize_t)sizeof(wanted);
	     count = wanted) {
		struct answer answer;
		uint64_t start = now_ns();

		for (unsigned int i = count; i < wanted; i++)
			connect_front_end(&sessions[i], &loads[i], i);
		answer.connect_us =
		    (double)(now_ns() - start) / 1e3 / (wanted - count);
		answer.polled = rate(&loads[0], false);
		answer.event = rate(&loads[0], true);
		if (write(sock, &answer, sizeof(answer)) !=
		    (ssize_t)sizeof(answer))
			die("answer", errno);
	}
}

static pid_t start_front_ends(int *ret_sock)
{
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0)
		die("socketpair", errno);
	pid = fork();
	if (pid < 0)
		die("fork", errno);
	if (pid == 0) {
		close(pair[0]);
		run_front_ends(pair[1]);
		exit(0);
	}
	close(pair[1]);
	*ret_sock = pair[0];
	return pid;
}

static void measure(struct row *row, unsigned int before, bool null, int sock)
{
	unsigned int added = row->count - before;
	long least = resident(), idle;
	uint64_t start = now_ns();

	for (unsigned int i = before; i < row->count; i++)
		add_device(i, null);
	row->start_us = (double)(now_ns() - start) / 1e3 / added;
	idle = resident();
	row->idle_kib = (double)(idle - least) / added;
	if (write(sock, &row->count, sizeof(row->count)) < 0 ||
	    read(sock, &row->answer, sizeof(row->answer)) !=
		(ssize_t)sizeof(row->answer))
		die("the front-ends failed", 0);
	row->connected_kib = (double)(resident() - least) / added;
}

static void print(const struct row rows[], unsigned int count, bool null)
{
	printf("{\"store\": \"%s\", \"program_kib\": %ld, \"rows\": [",
	       null ? "null" : "file", start_kib);
	for (unsigned int i = 0; i < count; i++)
		printf("%s\n {\"devices\": %u, \"start_us\": %.1f, "
		       "\"connect_us\": %.1f, \"idle_kib\": %.1f, "
		       "\"connected_kib\": %.1f, \"busy_kiops\": %.1f, "
		       "\"busy_event_kiops\": %.1f}",
		       i ? "," : "", rows[i].count, rows[i].start_us,
		       rows[i].answer.connect_us, rows[i].idle_kib,
		       rows[i].connected_kib, rows[i].answer.polled / 1000,
		       rows[i].answer.event / 1000);
	printf("\n]}\n");
}

/* How many of counts the limit of open files allows. */
static unsigned int raise_limit(void)
{
	struct rlimit limit;
	unsigned int steps = 0;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		die("limits", errno);
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		die("limits", errno);
	while (steps < COUNTS &&
	       counts[steps] * FDS_EACH + FD_RESERVE <= limit.rlim_cur)
		steps++;
	return steps;
}

int main(int argc, char *argv[])
{
	bool null = argc == 2 && strcmp(argv[1], "--null") == 0;
	struct row rows[COUNTS] = {{.count = 0}};
	unsigned int steps, before = 0;
	pid_t pid;
	int sock;

	if (argc > 2 || (argc == 2 && !null)) {
		fprintf(stderr, "usage: bench-devices [--null]\n");
		return 2;
	}
	steps = raise_limit();
	check("folder", place_make(&place, getenv("TMPDIR"), DISK_SIZE));
	pid = start_front_ends(&sock);
	start_kib = resident();
	for (unsigned int i = 0; i < steps; i++) {
		rows[i].count = counts[i];
		measure(&rows[i], before, null, sock);
		before = counts[i];
	}
	close(sock);
	waitpid(pid, NULL, 0);
	for (unsigned int i = 0; i < before; i++) {
		vh_user_server_free(devices[i].server);
		vh_backend_free(devices[i].backend);
	}
	place_remove(&place);
	print(rows, steps, null);
	return 0;
}
