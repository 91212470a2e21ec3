/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Random deeds of driver and device: the device side of a queue against the
 * model.
 *
 *	device_vs_model [steps [seed]]
 */
#include "device_vs_model.h"
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned long steps = 600000;
static uint64_t seed = 1;

/* How often, of the sum, each thing is done. */
enum deed {
	OFFER,
	SHOW,
	SCRIBBLE,
	COLLECT,
	POP,
	POP_BUFFERS,
	PUSH,
	TAKE_REMOTE,
	PUBLISH,
	WAIT,
	DEEDS
};

static const unsigned int weights[][DEEDS] = {
    {24, 16, 1, 8, 16, 16, 20, 4, 8, 8},   /* all in turn */
    {60, 20, 1, 2, 20, 20, 4, 1, 2, 2},	   /* the driver is quicker */
    {10, 10, 1, 10, 20, 20, 40, 8, 4, 4},  /* the device is quicker */
    {20, 20, 1, 20, 20, 20, 20, 0, 20, 0}, /* whoever can go on does */
    {40, 20, 1, 20, 2, 40, 40, 4, 20, 4}   /* most is done at once */
};

#define PHASES (sizeof(weights) / sizeof(weights[0]))

static void compare_state(struct test *t)
{
	uint32_t mask = UINT32_MAX;

	/* Where used descriptors go on is open while some are on their way. */
	if (t->packed && t->model.staged_count)
		mask = 0xffff;
	assert_int_equal(vh_virtqueue_base(t->box.queue) & mask,
			 model_base(&t->model) & mask);
	assert_int_equal(vh_virtqueue_inflight(t->box.queue),
			 t->inflight + t->remote_count);
	assert_int_equal(vh_virtqueue_unrecovered(t->box.queue), 0);
}
static void driver_collects(struct test *t)
{
	unsigned int id;
	uint32_t written;
	int found;

	if (!t->tame)
		return;
	while ((found = hand_collects(&t->hand, &id, &written)) > 0) {
		assert_true(t->shown_count > 0);
		assert_int_equal(id, t->shown[t->shown_first].id);
		assert_int_equal(written, t->shown[t->shown_first].written);
		t->shown_first = (t->shown_first + 1) % 32768;
		t->shown_count--;
		if (one_in(&t->rng, 20))
			return;
	}
	assert_int_equal(found, 0);
	assert_int_equal(t->shown_count, 0);
}

static void driver_offers(struct test *t)
{
	unsigned int count = 1 + rnd(&t->rng, 4);

	if (one_in(&t->rng, 30))
		count = t->box.num < 256 ? t->box.num : 256;
	while (count--)
		hand_offers(&t->hand);
	t->overwritten |= !t->tame && t->model.staged_count;
}

/* All that a tame driver posted comes back. */
static void finish(struct test *t)
{
	hand_shows(&t->hand);
	do {
		device_pops(t);
		device_takes_remote(t);
		while (t->inflight)
			device_pushes(t);
		device_takes_remote(t);
		device_publishes(t);
		driver_collects(t);
	} while (model_pending(&t->model) || t->shown_count);
	assert_int_equal(t->hand.posted_count, 0);
	assert_int_equal(t->hand.driver.inflight, 0);
	assert_int_equal(t->hand.driver.free_slots, t->box.num);
}

static uint32_t some_size(struct test *t)
{
	static const uint32_t split[] = {1, 2, 4, 8, 8, 16, 64, 256};
	static const uint32_t packed[] = {1, 2, 3, 5, 8, 17, 100, 256};

	if (one_in(&t->rng, 40))
		return 32768;
	return (t->packed ? packed : split)[rnd(&t->rng, 8)];
}

/* A little before the end of the indices, or of the ring. */
static uint32_t some_base(struct test *t)
{
	uint32_t num = t->box.num, place;

	if (!t->packed)
		return (uint16_t)(65535 - rnd(&t->rng, 500));
	place = num - 1 - rnd(&t->rng, num < 20 ? num : 20);
	place |= rnd(&t->rng, 2) << 15;
	return place | place << 16;
}

/* A new queue of another kind. */
static void start_over(struct test *t)
{
	struct vh_virtqueue_opts opts;

	vh_virtqueue_free(t->box.queue);
	t->box.num = some_size(t);
	t->box.features = (t->packed ? VH_F_RING_PACKED : 0) |
			  (one_in(&t->rng, 3) ? 0 : VH_F_INDIRECT_DESC) |
			  (one_in(&t->rng, 2) ? 0 : VH_F_EVENT_IDX) |
			  (one_in(&t->rng, 2) ? 0 : VH_F_IN_ORDER);
	opts = box_queue_opts(&t->box);
	opts.base = some_base(t);
	opts.max_segments =
	    (uint16_t)(!t->tame && one_in(&t->rng, 2) ? 1 + rnd(&t->rng, 30)
						      : 0);
	hand_start(&t->hand, &t->box, &opts, t->tame);
	t->hand.singles = one_in(&t->rng, 2);
	/* The used ring may have fallen behind: those are lost. */
	if (!t->tame && !t->packed && one_in(&t->rng, 4))
		*box_used_word(&t->box, 1) =
		    htole16((uint16_t)(opts.base - rnd(&t->rng, 300)));
	assert_int_equal(
	    vh_virtqueue_new(&opts, t->box.memory, NULL, &t->box.queue), 0);
	model_start(&t->model, &t->box, &opts);
	dirty_start(&t->dirty, t->box.num);
	t->weights = weights[rnd(&t->rng, PHASES)];
	t->inflight = 0;
	t->logged_count = 0;
	t->remote_count = 0;
	t->shown_count = 0;
	t->overwritten = false;
	t->queues++;
}

static enum deed choose(struct test *t)
{
	unsigned int sum = 0, at;
	enum deed deed = 0;

	for (unsigned int i = 0; i < DEEDS; i++)
		sum += t->weights[i];
	at = rnd(&t->rng, sum);
	while (at >= t->weights[deed])
		at -= t->weights[deed++];
	return deed;
}

static void step(struct test *t)
{
	switch (choose(t)) {
	case OFFER:
		driver_offers(t);
		break;
	case SHOW:
		hand_shows(&t->hand);
		t->overwritten |= !t->tame && t->model.staged_count;
		break;
	case SCRIBBLE:
		if (t->tame)
			break;
		hand_scribbles(&t->hand);
		t->overwritten |= t->model.staged_count > 0;
		break;
	case COLLECT:
		driver_collects(t);
		break;
	case POP:
		device_pops(t);
		break;
	case POP_BUFFERS:
		device_pops_buffers(t);
		break;
	case PUSH:
		device_pushes(t);
		break;
	case TAKE_REMOTE:
		device_takes_remote(t);
		break;
	case PUBLISH:
		device_publishes(t);
		break;
	case WAIT:
	case DEEDS:
		device_waits(t);
		break;
	}
	if (!t->model.broken)
		compare_state(t);
}

static void run(bool packed, bool tame)
{
	static struct test t;

	memset(&t, 0, sizeof(t));
	t.rng = rng_start(seed * 4 + (packed ? 2 : 0) + tame);
	t.packed = packed;
	t.tame = tame;
	t.hand.rng = &t.rng;
	t.hand.device = &t.model;
	box_open_memory(&t.box, 8);
	dirty_open(&t.dirty);
	start_over(&t);
	for (unsigned long i = 0; i < steps; i++) {
		step(&t);
		if (t.model.broken) {
			if (tame)
				fail_msg("%s",
					 vh_virtqueue_fault(t.box.queue)->text);
			t.broken++;
			start_over(&t);
		} else if (one_in(&t.rng, 3000)) {
			if (tame)
				finish(&t);
			start_over(&t);
		} else if (one_in(&t.rng, 500)) {
			t.weights = weights[rnd(&t.rng, PHASES)];
		}
	}
	print_message("%lu steps, %u queues, %u of them broken, %lu chains, "
		      "%lu buffers, %lu without an entry of their own\n",
		      steps, t.queues, t.broken, t.chains, t.buffers, t.merged);
	/* It would mean nothing if one of the sorts were missing. */
	assert_true(tame || t.broken > steps / 20000);
	assert_true(t.chains > steps / 30);
	assert_true(t.buffers > steps / 150);
	dirty_close(&t.dirty);
	box_close(&t.box);
}

static void test_virtqueue_random_split_agrees_with_model(void **state)
{
	(void)state;
	run(false, true);
}

static void test_virtqueue_random_split_agrees_if_driver_is_evil(void **state)
{
	(void)state;
	run(false, false);
}

static void test_virtqueue_random_packed_agrees_with_model(void **state)
{
	(void)state;
	run(true, true);
}

static void test_virtqueue_random_packed_agrees_if_driver_is_evil(void **state)
{
	(void)state;
	run(true, false);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_virtqueue_random_split_agrees_with_model),
	    cmocka_unit_test(
		test_virtqueue_random_split_agrees_if_driver_is_evil),
	    cmocka_unit_test(test_virtqueue_random_packed_agrees_with_model),
	    cmocka_unit_test(
		test_virtqueue_random_packed_agrees_if_driver_is_evil),
	};

	if (argc > 1)
		steps = strtoul(argv[1], NULL, 10);
	if (argc > 2)
		seed = strtoull(argv[2], NULL, 10);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
