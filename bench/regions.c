/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What it costs a server under load to add and to remove one region of guest
 * memory, with 8, 64 and 509 present, and what its I/O sees of that: the
 * longest time between two completions, beside that of a time in which the
 * memory stays as it is. One line of JSON; times in microseconds.
 */
#include "blk.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DEPTH	    32
#define BLOCKS	    4096
#define READ_SIZE   4096
#define REGION_SIZE (UINT64_C(2) << 20)
#define ROUNDS	    300
#define MAX_GAPS    (1u << 22)

/* The extra regions: their own file, apart from the guest's. */
#define EXTRA_GUEST UINT64_C(0x10000000000)
#define EXTRA_USER  UINT64_C(0x600000000000)

struct load {
	struct blk blk;
	bool stop;    /* atomic */
	bool measure; /* atomic */
	int error;
	uint64_t random;
	uint32_t *gaps; /* ns, while measuring */
	unsigned int num_gaps;
};

struct result {
	unsigned int present;
	double add;
	double remove;
	double gap;
	double gap_max;
	double rest_gap;
	double rest_gap_max;
};

static struct session session;
static struct load load;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static int read_somewhere(unsigned int slot)
{
	load.random = load.random * UINT64_C(6364136223846793005) + 1;
	return blk_submit(&load.blk, slot, BLK_IN,
			  (load.random >> 33) % BLOCKS * 8, READ_SIZE);
}

static void record(double *last)
{
	double time = now();

	if (__atomic_load_n(&load.measure, __ATOMIC_ACQUIRE) &&
	    load.num_gaps < MAX_GAPS)
		load.gaps[load.num_gaps++] = (uint32_t)(time - *last);
	*last = time;
}

static void *run_load(void *user)
{
	double last = now();
	unsigned int slot;
	int ret = 0;

	(void)user;
	for (slot = 0; ret == 0 && slot < DEPTH; slot++)
		ret = read_somewhere(slot);
	while (ret == 0 && !__atomic_load_n(&load.stop, __ATOMIC_ACQUIRE)) {
		ret = blk_wait(&load.blk, &slot);
		if (ret != BLK_OK)
			break;
		record(&last);
		ret = read_somewhere(slot);
	}
	load.error = ret;
	return NULL;
}

static struct fe_region extra_region(unsigned int index)
{
	return (struct fe_region){
	    .guest = EXTRA_GUEST + index * 2 * REGION_SIZE,
	    .size = REGION_SIZE,
	    .user = EXTRA_USER + index * 2 * REGION_SIZE,
	    .offset = 0,
	    .fd = session.guest.fd,
	};
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int compare_gaps(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static double median(double *values)
{
	qsort(values, ROUNDS, sizeof(*values), compare_doubles);
	return values[ROUNDS / 2] / 1000;
}

/* The gap that one completion in a thousand exceeds, and the longest. */
static void take_gaps(double *ret_gap, double *ret_max)
{
	unsigned int count = load.num_gaps;

	load.num_gaps = 0;
	if (count == 0)
		return;
	qsort(load.gaps, count, sizeof(*load.gaps), compare_gaps);
	*ret_gap = load.gaps[count - 1 - count / 1000] / 1000.0;
	*ret_max = load.gaps[count - 1] / 1000.0;
}

static void measure_gaps(bool on)
{
	struct timespec moment = {.tv_nsec = 5000000};

	__atomic_store_n(&load.measure, on, __ATOMIC_RELEASE);
	if (!on) /* whoever saw the old value is done with it */
		nanosleep(&moment, NULL);
}

static int change(struct result *result)
{
	static double adds[ROUNDS], removes[ROUNDS];
	struct fe_region region = extra_region(result->present);
	struct timespec pause = {.tv_nsec = 500000};
	unsigned int i;
	int ret = 0;

	for (i = 0; ret == 0 && i < ROUNDS; i++) {
		double start = now();

		ret = fe_add_region(&session.fe, &region);
		adds[i] = now() - start;
		nanosleep(&pause, NULL);
		start = now();
		if (ret == 0)
			ret = fe_remove_region(&session.fe, &region);
		removes[i] = now() - start;
		nanosleep(&pause, NULL);
	}
	result->add = median(adds);
	result->remove = median(removes);
	return ret;
}

static int measure(struct result *result)
{
	struct timespec as_long = {.tv_nsec = 400000000};
	int ret;

	measure_gaps(true);
	nanosleep(&as_long, NULL);
	measure_gaps(false);
	take_gaps(&result->rest_gap, &result->rest_gap_max);
	measure_gaps(true);
	ret = change(result);
	measure_gaps(false);
	take_gaps(&result->gap, &result->gap_max);
	return ret;
}

/* present counts the guest's own region and, at last, the one that comes. */
static int measure_all(struct result results[], unsigned int count)
{
	unsigned int present = 1;
	unsigned int i;
	int ret = 0;

	for (i = 0; ret == 0 && i < count; i++) {
		while (ret == 0 && present < results[i].present - 1) {
			struct fe_region region = extra_region(present++);

			ret = fe_add_region(&session.fe, &region);
		}
		if (ret == 0)
			ret = measure(&results[i]);
	}
	return ret;
}

static void print(const struct result results[], unsigned int count)
{
	unsigned int i;

	printf("{");
	for (i = 0; i < count; i++)
		printf("%s\"%u\": {\"add\": %.1f, \"remove\": %.1f, "
		       "\"gap_999\": %.1f, \"gap_max\": %.1f, "
		       "\"rest_gap_999\": %.1f, \"rest_gap_max\": %.1f}",
		       i ? ", " : "", results[i].present, results[i].add,
		       results[i].remove, results[i].gap, results[i].gap_max,
		       results[i].rest_gap, results[i].rest_gap_max);
	printf("}\n");
}

static int start(const char *path)
{
	struct session_opts opts = {.regions = 1, .polled = true};
	int ret = session_open(&session, &opts, path);

	if (ret == 0 && !(session.protocol_features & FE_PF_MEM_SLOTS))
		ret = -EOPNOTSUPP;
	if (ret == 0)
		ret = blk_new(&load.blk, &session, 0, DEPTH, READ_SIZE);
	load.gaps = calloc(MAX_GAPS, sizeof(*load.gaps));
	return ret == 0 && !load.gaps ? -ENOMEM : ret;
}

int main(int argc, char *argv[])
{
	struct result results[] = {
	    {.present = 8}, {.present = 64}, {.present = 509}};
	pthread_t thread;
	int ret;

	if (argc != 2) {
		fprintf(stderr, "usage: bench-regions SOCKET\n");
		return 2;
	}
	ret = start(argv[1]);
	if (ret == 0)
		ret = -pthread_create(&thread, NULL, run_load, NULL);
	if (ret == 0) {
		ret = measure_all(results, 3);
		__atomic_store_n(&load.stop, true, __ATOMIC_RELEASE);
		pthread_join(thread, NULL);
	}
	if (ret == 0)
		ret = load.error;
	if (ret == 0)
		print(results, 3);
	else
		fprintf(stderr, "bench-regions: %s\n", strerror(abs(ret)));
	blk_free(&load.blk);
	session_free(&session);
	free(load.gaps);
	return ret != 0;
}
