/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Random deeds of driver and device: the device side of a queue against the
 * model.
 *
 *	device_vs_model [steps [seed]]
 */
#include "dirty.h"
#include "hand.h"
#include <endian.h>
#include <errno.h>
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
	PUSH,
	TAKE_REMOTE,
	PUBLISH,
	WAIT,
	DEEDS
};

static const unsigned int weights[][DEEDS] = {
    {24, 16, 1, 8, 16, 20, 4, 8, 8},  /* all in turn */
    {60, 20, 1, 2, 20, 4, 1, 2, 2},   /* the driver is quicker */
    {10, 10, 1, 10, 20, 40, 8, 4, 4}, /* the device is quicker */
    {20, 20, 1, 20, 20, 20, 0, 20, 0} /* whoever can go on does */
};

#define PHASES (sizeof(weights) / sizeof(weights[0]))

struct completion {
	unsigned int id;
	uint32_t written;
};

struct test {
	struct box box;
	struct model model;
	struct hand hand;
	struct dirty dirty;
	struct rng rng;
	bool packed;
	bool tame;
	const unsigned int *weights;
	struct vh_chain *taken[32768];
	unsigned int ids[32768]; /* those in flight, in no order */
	unsigned int inflight;
	/* on the list of other threads */
	struct completion remote[32768];
	unsigned int remote_count;
	/* shown, and not collected by a tame driver, in order */
	struct completion shown[32768];
	unsigned int shown_first;
	unsigned int shown_count;
	/* An evil driver wrote to the ring before it got anything back. */
	bool overwritten;
	unsigned int queues;
	unsigned int broken;
	unsigned long chains;
	unsigned long merged; /* chains without an entry of their own */
};

/* All of the ring is looked at, if it isn't too large for every time. */
static void look(struct test *t)
{
	model_look(&t->model, one_in(&t->rng, 200));
}

static void compare_chain(struct test *t, const struct vh_chain *chain,
			  const struct model_chain *expected)
{
	assert_int_equal(chain->head, expected->head);
	assert_int_equal(chain->descriptors, expected->descriptors);
	assert_int_equal(chain->readable_size, expected->readable_size);
	assert_int_equal(chain->writable_size,
			 expected->size - expected->readable_size);
	assert_int_equal(chain->readable_count, expected->readable_count);
	assert_int_equal(chain->writable_count,
			 expected->count - expected->readable_count);
	assert_null(chain->user);
	for (unsigned int i = 0; i < expected->count; i++) {
		const struct iovec *piece =
		    i < chain->readable_count
			? &chain->readable[i]
			: &chain->writable[i - chain->readable_count];

		box_expect_piece(&t->box, piece, expected->pieces[i].guest,
				 expected->pieces[i].length);
	}
}

/* What came out is what the driver meant, and not only what the model saw. */
static void compare_posted(struct test *t, const struct vh_chain *chain)
{
	struct hand_posted posted = hand_popped(&t->hand);

	assert_int_equal(chain->descriptors, posted.descriptors);
	assert_int_equal(chain->readable_size, posted.readable_size);
	assert_int_equal(chain->writable_size, posted.writable_size);
}

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

static void device_pops(struct test *t)
{
	static struct model_chain expected;
	struct vh_chain *chains[VH_VIRTQUEUE_BURST];
	unsigned int max = rnd(&t->rng, VH_VIRTQUEUE_BURST + 8);
	unsigned int count = 0;
	int n, want = 1;

	look(t);
	n = vh_virtqueue_pop(t->box.queue, chains, max);
	if (max > VH_VIRTQUEUE_BURST)
		max = VH_VIRTQUEUE_BURST;
	while (count < max &&
	       (want = model_pop(&t->model, max - count, &expected)) > 0) {
		assert_true((int)count < n);
		compare_chain(t, chains[count], &expected);
		if (t->tame)
			compare_posted(t, chains[count]);
		dirty_popped(&t->dirty, &expected);
		t->taken[expected.head] = chains[count];
		t->ids[t->inflight++] = expected.head;
		count++;
	}
	t->chains += count;
	assert_int_equal(n, count || want >= 0 ? (int)count : -EPROTO);
	if (want < 0) {
		assert_non_null(vh_virtqueue_fault(t->box.queue));
		t->model.broken = true;
		return;
	}
	assert_null(vh_virtqueue_fault(t->box.queue));
	if (!t->model.staged_count)
		model_compare(&t->model);
}

static uint32_t some_written(struct test *t, uint32_t writable)
{
	switch (rnd(&t->rng, 6)) {
	case 0:
		return 0;
	case 1:
		return rnd(&t->rng, 100000);
	case 2:
	case 3:
		return writable ? rnd(&t->rng, writable) : 0;
	default:
		return writable;
	}
}

static void model_pushes(struct test *t, unsigned int id, uint32_t written)
{
	model_push(&t->model, id, written);
	dirty_pushed(&t->dirty, id, t->model.requests[id].written);
}

static void push_one(struct test *t)
{
	unsigned int which = rnd(&t->rng, t->inflight), id;
	uint32_t written;

	/* In their order, more often than not. */
	id = t->ids[which];
	if (t->model.ring.in_order && !one_in(&t->rng, 3)) {
		for (which = 0; which < t->inflight; which++)
			if (t->ids[which] ==
			    t->model.order[t->model.order_first])
				break;
		if (which == t->inflight) /* it is on the list */
			which = 0;
		id = t->ids[which];
	}
	t->ids[which] = t->ids[--t->inflight];
	written = some_written(t, t->model.requests[id].writable);
	if (!one_in(&t->rng, 4)) {
		vh_virtqueue_push(t->box.queue, t->taken[id], written);
		model_pushes(t, id, written);
		return;
	}
	assert_int_equal(
	    vh_virtqueue_push_remote(t->box.queue, t->taken[id], written),
	    !t->remote_count);
	t->remote[t->remote_count].id = id;
	t->remote[t->remote_count].written = written;
	t->remote_count++;
}

static void device_pushes(struct test *t)
{
	unsigned int count = 1 + rnd(&t->rng, one_in(&t->rng, 8) ? 64 : 3);

	while (count-- && t->inflight)
		push_one(t);
}

static void device_takes_remote(struct test *t)
{
	assert_int_equal(vh_virtqueue_take_remote(t->box.queue),
			 t->remote_count);
	for (unsigned int i = 0; i < t->remote_count; i++)
		model_pushes(t, t->remote[i].id, t->remote[i].written);
	t->remote_count = 0;
}

static void device_publishes(struct test *t)
{
	unsigned int at;
	int want;

	if (!one_in(&t->rng, 3))
		hand_sets_events(&t->hand);
	look(t);
	want = model_publish(&t->model);
	assert_int_equal(vh_virtqueue_publish(t->box.queue), want);
	if (t->packed && t->overwritten)
		model_compare_area(&t->model, MODEL_USED);
	else
		model_compare(&t->model);
	t->overwritten = false;
	dirty_published(&t->dirty, &t->model);
	if (t->model.shown_count)
		dirty_check(&t->dirty);
	t->merged += t->model.shown_count - t->model.entries;
	for (unsigned int i = 0; t->tame && i < t->model.shown_count; i++) {
		at = (t->shown_first + t->shown_count++) % 32768;
		t->shown[at].id = t->model.staged[i].id;
		t->shown[at].written = t->model.staged[i].written;
	}
}

static void device_waits(struct test *t)
{
	bool pending = model_pending(&t->model), staged = t->model.staged_count;

	assert_int_equal(vh_virtqueue_pending(t->box.queue), pending);
	look(t);
	if (one_in(&t->rng, 2)) {
		vh_virtqueue_disable_kick(t->box.queue);
		model_disable_kick(&t->model);
	} else {
		assert_int_equal(vh_virtqueue_enable_kick(t->box.queue),
				 pending);
		model_enable_kick(&t->model);
	}
	if (!staged)
		model_compare(&t->model);
	dirty_told(&t->dirty, &t->model);
	if (!t->model.staged_count && one_in(&t->rng, 50))
		(void)dirty_switch(&t->dirty, t->box.queue);
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
			push_one(t);
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
		      "%lu without an entry of their own\n",
		      steps, t.queues, t.broken, t.chains, t.merged);
	/* It would mean nothing if one of the sorts were missing. */
	assert_true(tame || t.broken > steps / 20000);
	assert_true(t.chains > steps / 30);
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
