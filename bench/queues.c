/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What further queues cost a worker: thousands of requests a second of one
 * that serves 1 to 64 queues of a null block device (reads of 512 bytes),
 *
 *	all	32 in flight on each queue: the sum, and the share of the queue
 *		that got least, of what each would get in fairness
 *	one	32 in flight on one queue; the others are idle
 *	event	1 in flight on one queue, and the driver sleeps
 *
 * The numbers of queues take turns; the best run of each counts.
 *
 *	bench-queues [--runs=N]		JSON on standard output
 */
#include "load.h"
#include "measure.h"
#include "place.h"

#include <errno.h>
#include <libvhost-devices/blk.h>
#include <libvhost/user.h>
#include <stdio.h>
#include <stdlib.h>

#define RUNS	   5
#define SECONDS	   0.15
#define DEPTH	   32
#define READ_SIZE  512
#define NULL_SIZE  (UINT64_C(1) << 30)
#define MAX_QUEUES 64

static const unsigned int counts[] = {1, 2, 4, 8, 16, 32, 64};
#define COUNTS (sizeof(counts) / sizeof(*counts))

/* Requests a second, and a share. */
struct result {
	double all;
	double least;
	double one;
	double event;
};

/* A device, its front-end and what it asks for. */
struct pair {
	struct vh_backend *backend;
	struct vh_user_server *server;
	struct session session;
	struct load loads[MAX_QUEUES];
	struct load_opts opts;
};

static struct place place;

static void check(const char *what, int ret)
{
	if (ret < 0)
		die(what, ret);
}

static void serve(struct pair *pair, unsigned int queues)
{
	VH_OPTS(vh_blk_opts, blk);
	VH_OPTS(vh_user_serve_opts, opts);
	blk.null_size = NULL_SIZE;
	blk.num_queues = queues;
	blk.workers = 1;
	opts.path = place.socket;
	check("device", vh_blk_new(&blk, NULL, &pair->backend));
	check("server",
	      vh_user_serve(pair->backend, &opts, NULL, &pair->server));
	check("server", vh_user_server_start(pair->server));
}

static void start(struct pair *pair, unsigned int queues)
{
	struct session_opts opts = {
	    .num_queues = queues,
	    .queue_size = 8, /* of the rings that aren't used */
	    .table_entries = 1,
	    .region_size = UINT64_C(16) << 20,
	    .regions = 1,
	};

	serve(pair, queues);
	check("session", session_new(&pair->session, &opts));
	check("session", session_connect(&pair->session, place.socket));
	check("session", session_negotiate(&pair->session));
	check("session", session_share_memory(&pair->session));
	pair->opts = (struct load_opts){
	    .depth = DEPTH,
	    .queue_size = 4 * DEPTH,
	    .read_size = READ_SIZE,
	    .blocks = NULL_SIZE / READ_SIZE,
	};
	for (unsigned int i = 0; i < queues; i++) {
		pair->opts.queue = i;
		check("queue",
		      load_start(&pair->loads[i], &pair->session, &pair->opts));
	}
}

static void stop(struct pair *pair, unsigned int queues)
{
	for (unsigned int i = 0; i < queues; i++)
		load_free(&pair->loads[i]);
	session_free(&pair->session);
	vh_user_server_free(pair->server);
	vh_backend_free(pair->backend);
}

/* Requests a second of each queue together. */
static double rate(struct pair *pair, unsigned int queues, bool events,
		   double *ret_least)
{
	double seconds = load_run(pair->loads, queues, SECONDS, events);
	uint64_t sum = 0, least = UINT64_MAX;

	check("load", (int)seconds);
	for (unsigned int i = 0; i < queues; i++) {
		sum += pair->loads[i].requests;
		keep_least(&least, pair->loads[i].requests);
		check("load", load_finish(&pair->loads[i]));
	}
	*ret_least = (double)least * queues / (double)sum;
	return (double)sum / seconds;
}

static void keep_most(double *best, double value)
{
	if (value > *best)
		*best = value;
}

/* With depth 1 all slots of the load but one are put aside. */
static double rate_of_one(struct pair *pair, bool event)
{
	struct load *load = &pair->loads[0];
	double least, result;

	if (event)
		load->num_idle = 1;
	result = rate(pair, 1, event, &least);
	load->num_idle = DEPTH;
	return result;
}

static void measure(struct pair *pair, unsigned int queues,
		    struct result *result)
{
	double least, all;

	start(pair, queues);
	all = rate(pair, queues, false, &least);
	if (all > result->all) {
		result->all = all;
		result->least = least;
	}
	keep_most(&result->one, rate_of_one(pair, false));
	keep_most(&result->event, rate_of_one(pair, true));
	stop(pair, queues);
}

int main(int argc, char *argv[])
{
	unsigned int runs = only_number(argc, argv, "--runs", RUNS);
	struct result results[COUNTS] = {{.all = 0}};
	static struct pair pair;

	check("folder", place_make(&place, getenv("TMPDIR"), 0));
	for (unsigned int run = 0; run < runs; run++)
		for (unsigned int i = 0; i < COUNTS; i++)
			measure(&pair, counts[i], &results[i]);
	place_remove(&place);
	printf("[\n");
	for (unsigned int i = 0; i < COUNTS; i++)
		printf(" {\"queues\": %u, \"all_kiops\": %.1f, "
		       "\"least_share\": %.2f, \"one_kiops\": %.1f, "
		       "\"event_kiops\": %.1f}%s\n",
		       counts[i], results[i].all / 1000, results[i].least,
		       results[i].one / 1000, results[i].event / 1000,
		       i + 1 < COUNTS ? "," : "");
	printf("]\n");
	return 0;
}
