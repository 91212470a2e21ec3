/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What a request costs in the ring when driver and device are on two
 * processors: nanoseconds for one chain, against the floor of bench-ring.
 *
 *	handed	the driver fills the ring, shows all of it and waits; the
 *		device's time for a ring full that it finds in the other
 *		processor's cache
 *	stream	the driver adds and collects 32 at a time, and the device
 *		takes what it finds, as fast as either can
 *
 * The runs of the library and of the floor take turns, and the fastest of
 * each counts.
 *
 *	bench-ring-threads [--passes=N]	JSON on standard output
 */
#include "measure.h"
#include "ring.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#define PASSES	      6
#define HANDED_RUNS   1000
#define STREAM_RUNS   40
#define STREAM_ROUNDS 64 /* ring fulls */
#define BURST	      32

enum mode { HANDED, STREAM };

/* Who runs what is plain from the number of the run: no other hand-over. */
struct pair {
	struct setting setting;
	enum mode mode;
	unsigned int runs;
	unsigned int chains; /* in a run */
	struct ring rings[2];
	struct device devices[2];
	uint64_t best[2];
};

#define MAX_PAIRS 16
static struct pair pairs[MAX_PAIRS];
static unsigned int num_pairs;

static void *run_device(void *user)
{
	struct pair *pair = user;

	use_processor(1);
	for (unsigned int i = 0; i < pair->runs; i++) {
		const struct device *device = &pair->devices[i & 1];
		uint64_t start;

		while (!device->pending(device->user))
			;
		start = now_ns();
		device->run(device->user, pair->chains, BURST);
		keep_least(&pair->best[i & 1], now_ns() - start);
	}
	return NULL;
}

static void run_driver(struct pair *pair)
{
	unsigned int batch = pair->mode == HANDED ? pair->chains : BURST;

	for (unsigned int i = 0; i < pair->runs; i++) {
		struct ring *ring = &pair->rings[i & 1];
		unsigned int to_add = pair->chains;
		unsigned int to_collect = pair->chains;

		while (to_collect) {
			if (to_add)
				to_add -= ring_add(
				    ring, to_add < batch ? to_add : batch);
			to_collect -= ring_collect(ring, BURST);
		}
	}
}

static void measure(struct pair *pair, struct space *spaces)
{
	pthread_t thread;
	int r;

	for (unsigned int i = 0; i < 2; i++)
		ring_make(&pair->rings[i], &spaces[i], &pair->setting);
	pair->devices[0] = library_device(&pair->rings[0]);
	pair->devices[1] = floor_device(&pair->rings[1]);
	r = pthread_create(&thread, NULL, run_device, pair);
	if (r)
		die("thread", r);
	run_driver(pair);
	pthread_join(thread, NULL);
	for (unsigned int i = 0; i < 2; i++) {
		pair->devices[i].free(pair->devices[i].user);
		ring_free(&pair->rings[i]);
	}
}

static void add_pair(const struct setting *setting, enum mode mode)
{
	struct pair *pair = &pairs[num_pairs++];
	unsigned int chains = ring_chains(setting);

	*pair = (struct pair){
	    .setting = *setting,
	    .mode = mode,
	    .runs = 2 * (mode == HANDED ? HANDED_RUNS : STREAM_RUNS),
	    .chains = mode == HANDED ? chains : chains * STREAM_ROUNDS,
	    .best = {UINT64_MAX, UINT64_MAX},
	};
}

static void add_pairs(void)
{
	for (unsigned int i = 0; i < MAX_PAIRS; i++)
		add_pair(
		    &(struct setting){
			.packed = i & 1,
			.in_order = i & 2,
			.shape = i & 4 ? THREE : ONE,
			.burst = BURST,
			.regions = 1,
		    },
		    i & 8 ? STREAM : HANDED);
}

static void print(const struct pair *pair, bool last)
{
	double ns = each_ns(pair->best[0], 1, pair->chains);
	double floor_ns = each_ns(pair->best[1], 1, pair->chains);

	printf(" {\"mode\": \"%s\", ",
	       pair->mode == HANDED ? "handed" : "stream");
	print_setting(&pair->setting);
	printf(", \"ns\": %.2f, \"floor_ns\": %.2f, \"ratio\": %.2f}%s\n", ns,
	       floor_ns, ns / floor_ns, last ? "" : ",");
}

int main(int argc, char *argv[])
{
	unsigned int passes = only_number(argc, argv, "--passes", PASSES);
	struct space spaces[2];

	alarm(600 *
	      passes); /* a ring that stands still doesn't end by itself */
	if (processors() < 2) {
		printf("[]\n"); /* two that take turns tell nothing */
		return 0;
	}
	use_processor(0);
	add_pairs();
	space_make(&spaces[0], 1);
	space_make(&spaces[1], 1);
	for (unsigned int pass = 0; pass < passes; pass++)
		for (unsigned int i = 0; i < num_pairs; i++)
			measure(&pairs[i], spaces);
	printf("[\n");
	for (unsigned int i = 0; i < num_pairs; i++)
		print(&pairs[i], i + 1 == num_pairs);
	printf("]\n");
	space_free(&spaces[0]);
	space_free(&spaces[1]);
	return 0;
}
