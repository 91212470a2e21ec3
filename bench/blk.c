/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * How fast a vhost-user block device answers random 4 KiB reads. Connects to
 * the server on a socket, keeps `depth` requests in flight on one queue and
 * prints what it counted as one line of JSON. scripts/bench runs it against
 * several servers in turn.
 *
 * The polling front-end looks at the used ring until something is there and
 * asks for no calls; the event-driven one sleeps until it is called.
 */
#include "load.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READ_SIZE 4096
#define MAX_DEPTH 1024

struct options {
	double seconds;
	bool events;
	bool plain;  /* without EVENT_IDX */
	bool packed; /* or else split */
	bool in_order;
	bool check; /* what is read: zeroes */
	struct load_opts load;
};

static struct session session;
static struct load load;

/* A server that fills no zeroes would seem fast. */
static int check_zeroes(void)
{
	uint8_t zeroes[READ_SIZE] = {0};
	int ret;

	for (unsigned int i = 0; i < load.opts.depth; i++)
		memset(load_data(&load, i), 0xff, READ_SIZE);
	ret = load_submit(&load);
	if (ret == 0)
		ret = load_finish(&load);
	for (unsigned int i = 0; ret == 0 && i < load.opts.depth; i++)
		if (memcmp(load_data(&load, i), zeroes, READ_SIZE) != 0)
			ret = -EBADMSG;
	return ret;
}

static int start(const struct options *options, const char *path)
{
	uint64_t wanted = (options->packed ? VH_F_RING_PACKED : 0) |
			  (options->in_order ? VH_F_IN_ORDER : 0);
	struct session_opts opts = {
	    .features = SESSION_FEATURES | wanted,
	    .not_features = options->plain ? FE_F_EVENT_IDX : 0,
	    .region_size = UINT64_C(8) << 20,
	    .regions = 1,
	};
	int ret = session_new(&session, &opts);

	if (ret == 0)
		ret = session_connect(&session, path);
	if (ret == 0)
		ret = session_negotiate(&session);
	if (ret == 0 && (session.features & wanted) != wanted)
		ret = -EOPNOTSUPP;
	if (ret == 0)
		ret = session_share_memory(&session);
	if (ret == 0)
		ret = load_start(&load, &session, &options->load);
	return ret == 0 && options->check ? check_zeroes() : ret;
}

static int measure(const struct options *options, const char *path)
{
	double seconds = start(options, path);

	if (seconds == 0)
		seconds =
		    load_run(&load, 1, options->seconds / 10, options->events);
	if (seconds >= 0)
		seconds = load_run(&load, 1, options->seconds, options->events);
	if (seconds < 0) {
		fprintf(stderr, "bench-blk: %s\n", strerror((int)-seconds));
		return 1;
	}
	printf("{\"requests\": %llu, \"seconds\": %.6f, \"kicks\": %llu, "
	       "\"calls\": %llu}\n",
	       (unsigned long long)load.requests, seconds,
	       (unsigned long long)load.kicks, (unsigned long long)load.calls);
	return load_finish(&load) < 0;
}

static int usage(void)
{
	fprintf(stderr,
		"usage: bench-blk [OPTION...] SOCKET\n"
		"  --depth=N       requests in flight (1)\n"
		"  --seconds=S     how long (1)\n"
		"  --events        sleep until called instead of polling\n"
		"  --spin=US       look on so long before sleeping (0)\n"
		"  --blocks=N      read from the first N blocks of 4 KiB\n"
		"  --queue-size=N  descriptors (512)\n"
		"  --indirect      tables instead of chains of descriptors\n"
		"  --plain         without EVENT_IDX\n"
		"  --packed        a packed ring instead of a split one\n"
		"  --in-order      with IN_ORDER\n"
		"  --check-zeroes  all that is read must be zeroes\n");
	return 2;
}

static int parse(struct options *options, int argc, char *argv[])
{
	static const struct option names[] = {
	    {"depth", required_argument, NULL, 'd'},
	    {"seconds", required_argument, NULL, 's'},
	    {"events", no_argument, NULL, 'e'},
	    {"spin", required_argument, NULL, 'S'},
	    {"blocks", required_argument, NULL, 'b'},
	    {"queue-size", required_argument, NULL, 'q'},
	    {"indirect", no_argument, NULL, 'i'},
	    {"plain", no_argument, NULL, 'p'},
	    {"packed", no_argument, NULL, 'k'},
	    {"in-order", no_argument, NULL, 'o'},
	    {"check-zeroes", no_argument, NULL, 'z'},
	    {NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
		if (option == 'd')
			options->load.depth = (unsigned int)atoi(optarg);
		else if (option == 's')
			options->seconds = atof(optarg);
		else if (option == 'e')
			options->events = true;
		else if (option == 'S')
			options->load.spin_us = (uint32_t)atoi(optarg);
		else if (option == 'b')
			options->load.blocks = strtoull(optarg, NULL, 0);
		else if (option == 'q')
			options->load.queue_size = (uint32_t)atoi(optarg);
		else if (option == 'i')
			options->load.indirect = true;
		else if (option == 'p')
			options->plain = true;
		else if (option == 'k')
			options->packed = true;
		else if (option == 'o')
			options->in_order = true;
		else if (option == 'z')
			options->check = true;
		else
			return -EINVAL;
	}
	if (options->load.depth < 1 || options->load.depth > MAX_DEPTH ||
	    options->load.blocks < 1 || options->load.queue_size < 1 ||
	    optind + 1 != argc)
		return -EINVAL;
	return 0;
}

int main(int argc, char *argv[])
{
	struct options options = {
	    .seconds = 1,
	    .load = {.depth = 1,
		     .queue_size = 512,
		     .read_size = READ_SIZE,
		     .blocks = 65536},
	};
	int ret;

	if (parse(&options, argc, argv) < 0)
		return usage();
	ret = measure(&options, argv[optind]);
	load_free(&load);
	session_free(&session);
	return ret;
}
