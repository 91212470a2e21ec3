/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What a request costs in the ring: nanoseconds for one chain to be popped,
 * pushed and published, on one thread, against a floor.
 *
 * The floor is a loop over the same ring that does the same loads and
 * stores (one look at the available index and one published used index for
 * a burst, the fence, a request structure filled in for each chain, the
 * dirty log's bits) but checks nothing and translates by adding a constant.
 *
 * A round is a ring full of chains. The rounds of the library and of the
 * floor take turns, all settings are gone through several times, and the
 * fastest round of each counts: what disturbs them comes from outside and
 * only ever adds.
 *
 *	bench-ring [--passes=N]		JSON on standard output
 */
#include "ring.h"
#include "measure.h"

#include <stdio.h>
#include <unistd.h>

#define PASSES	     6
#define ROUNDS	     500 /* of each, in a pass */
#define MAX_SETTINGS 512

/* A space for the library and one for the floor. */
#define SPACES 4
static const unsigned int space_regions[SPACES] = {1, 8, 64, 509};
static struct space spaces[SPACES][2];

struct result {
	struct setting setting;
	uint64_t best[2];
};

static struct result results[MAX_SETTINGS];
static unsigned int num_results;

static uint64_t measure_round(struct ring *ring, const struct device *device)
{
	unsigned int chains = ring_chains(ring->setting);
	uint64_t start, took;

	if (ring_add(ring, chains) != chains)
		die("the driver has no room", 0);
	start = now_ns();
	device->run(device->user, chains, ring->setting->burst);
	took = now_ns() - start;
	if (ring_collect(ring, chains) != chains)
		die("the driver misses completions", 0);
	return took;
}

static struct space *space_of(unsigned int regions)
{
	unsigned int i = 0;

	while (space_regions[i] != regions)
		i++;
	return spaces[i];
}

static void measure(struct result *result)
{
	struct space *space = space_of(result->setting.regions);
	struct device devices[2];
	struct ring rings[2];

	ring_make(&rings[0], &space[0], &result->setting);
	ring_make(&rings[1], &space[1], &result->setting);
	devices[0] = library_device(&rings[0]);
	devices[1] = floor_device(&rings[1]);
	for (unsigned int i = 0; i < 2 * ROUNDS; i++)
		keep_least(&result->best[i & 1],
			   measure_round(&rings[i & 1], &devices[i & 1]));
	for (unsigned int i = 0; i < 2; i++) {
		devices[i].free(devices[i].user);
		ring_free(&rings[i]);
	}
}

static void add_setting(const struct setting *setting)
{
	if (num_results == MAX_SETTINGS)
		die("too many settings", 0);
	results[num_results++] = (struct result){
	    .setting = *setting,
	    .best = {UINT64_MAX, UINT64_MAX},
	};
}

static void add_maps(struct setting set)
{
	static const struct {
		unsigned int regions;
		bool spread;
	} maps[] = {{1, false}, {8, true},    {64, false},
		    {64, true}, {509, false}, {509, true}};

	for (unsigned int i = 0; i < 12; i++) {
		set.regions = maps[i % 6].regions;
		set.spread = maps[i % 6].spread;
		set.log = i >= 6;
		add_setting(&set);
	}
}

static void add_settings(void)
{
	for (unsigned int ring = 0; ring < 4; ring++)
		for (enum shape shape = ONE; shape <= INDIRECT_OF_THREE;
		     shape++)
			for (unsigned int burst = 1; burst <= 32; burst += 31)
				add_maps((struct setting){
				    .packed = ring & 1,
				    .in_order = ring & 2,
				    .shape = shape,
				    .burst = burst,
				});
}

static void print(const struct result *result, bool last)
{
	unsigned int chains = ring_chains(&result->setting);
	double ns = each_ns(result->best[0], 1, chains);
	double floor_ns = each_ns(result->best[1], 1, chains);

	printf(" {");
	print_setting(&result->setting);
	printf(", \"ns\": %.2f, \"floor_ns\": %.2f, \"ratio\": %.2f}%s\n", ns,
	       floor_ns, ns / floor_ns, last ? "" : ",");
}

int main(int argc, char *argv[])
{
	unsigned int passes = only_number(argc, argv, "--passes", PASSES);

	alarm(600 *
	      passes); /* a ring that stands still doesn't end by itself */
	use_processor(0);
	add_settings();
	for (unsigned int i = 0; i < 2 * SPACES; i++)
		space_make(&spaces[i / 2][i % 2], space_regions[i / 2]);
	for (unsigned int pass = 0; pass < passes; pass++)
		for (unsigned int i = 0; i < num_results; i++)
			measure(&results[i]);
	printf("[\n");
	for (unsigned int i = 0; i < num_results; i++)
		print(&results[i], i + 1 == num_results);
	printf("]\n");
	for (unsigned int i = 0; i < 2 * SPACES; i++)
		space_free(&spaces[i / 2][i % 2]);
	return 0;
}
