/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The two sides of the model against each other, without the library: what
 * the model's driver means is what its device sees, and the other way round.
 *
 *	model_vs_model [steps [seed]]
 */
#include "hand.h"
#include <stdlib.h>
#include <string.h>

static unsigned long steps = 400000;
static uint64_t seed = 1;

struct test {
	struct box box;
	struct model model;
	struct hand hand;
	struct rng rng;
	unsigned int taken[32768];
	unsigned int taken_count;
	struct model_used shown[32768];
	unsigned int shown_first;
	unsigned int shown_count;
	unsigned long chains;
};

static void device_pops(struct test *t)
{
	static struct model_chain chain;
	struct hand_posted posted;
	int found = model_pop(&t->model, 1, &chain);

	assert_true(found >= 0);
	if (!found)
		return;
	posted = hand_popped(&t->hand);
	assert_int_equal(chain.descriptors, posted.descriptors);
	assert_int_equal(chain.readable_size, posted.readable_size);
	assert_int_equal(chain.size - chain.readable_size,
			 posted.writable_size);
	t->taken[t->taken_count++] = chain.head;
	t->chains++;
}

static void device_pushes(struct test *t)
{
	unsigned int which, id;
	uint32_t writable;

	if (!t->taken_count)
		return;
	which = rnd(&t->rng, t->taken_count);
	id = t->taken[which];
	t->taken[which] = t->taken[--t->taken_count];
	writable = t->model.requests[id].writable;
	model_push(&t->model, id,
		   writable && one_in(&t->rng, 2) ? rnd(&t->rng, writable)
						  : writable);
}

static void device_publishes(struct test *t)
{
	unsigned int at;

	(void)model_publish(&t->model);
	for (unsigned int i = 0; i < t->model.shown_count; i++) {
		at = (t->shown_first + t->shown_count++) % 32768;
		t->shown[at] = t->model.staged[i];
	}
}

static void driver_collects(struct test *t)
{
	unsigned int id;
	uint32_t written;
	int found = hand_collects(&t->hand, &id, &written);

	assert_int_equal(found, t->shown_count > 0);
	if (!found)
		return;
	assert_int_equal(id, t->shown[t->shown_first].id);
	assert_int_equal(written, t->shown[t->shown_first].written);
	t->shown_first = (t->shown_first + 1) % 32768;
	t->shown_count--;
}

static void start(struct test *t, uint64_t features)
{
	static const uint32_t sizes[] = {1, 2, 8, 256, 3, 5, 100, 32768};
	bool packed = features & VH_F_RING_PACKED;
	struct vh_virtqueue_opts opts;

	t->box.num = sizes[rnd(&t->rng, packed ? 8 : 4)];
	t->box.features = features;
	opts = box_queue_opts(&t->box);
	opts.base =
	    packed ? VH_VIRTQUEUE_FRESH_PACKED : 65536 - rnd(&t->rng, 300);
	hand_start(&t->hand, &t->box, &opts, true);
	model_start(&t->model, &t->box, &opts);
	t->model.writes = true;
	t->taken_count = 0;
	t->shown_count = 0;
}

static void run(uint64_t format)
{
	static struct test t;

	memset(&t, 0, sizeof(t));
	t.rng = rng_start(seed);
	t.hand.rng = &t.rng;
	t.hand.device = &t.model;
	box_open_memory(&t.box, 8);
	for (unsigned long i = 0; i < steps; i++) {
		if (i % 5000 == 0)
			start(&t,
			      format | (one_in(&t.rng, 2) ? VH_F_IN_ORDER : 0) |
				  (one_in(&t.rng, 2) ? VH_F_INDIRECT_DESC : 0));
		hand_offers(&t.hand);
		if (one_in(&t.rng, 2))
			hand_shows(&t.hand);
		device_pops(&t);
		device_pushes(&t);
		if (one_in(&t.rng, 4))
			device_publishes(&t);
		driver_collects(&t);
	}
	assert_true(t.chains > steps / 8);
	box_close(&t.box);
}

static void test_virtqueue_model_of_split_agrees_with_itself(void **state)
{
	(void)state;
	run(0);
}

static void test_virtqueue_model_of_packed_agrees_with_itself(void **state)
{
	(void)state;
	run(VH_F_RING_PACKED);
}

/* Who sleeps is woken, by whatever features. */
static void test_virtqueue_model_wakes_who_sleeps(void **state)
{
	static struct test t;
	static struct model_chain chain;
	uint32_t written;
	unsigned int id;

	(void)state;
	memset(&t, 0, sizeof(t));
	t.rng = rng_start(seed);
	t.hand.rng = &t.rng;
	t.hand.device = &t.model;
	box_open_memory(&t.box, 8);
	for (unsigned int i = 0; i < steps / 4; i++) {
		if (i % 1000 == 0)
			start(&t, (one_in(&t.rng, 2) ? VH_F_RING_PACKED : 0) |
				      (one_in(&t.rng, 2) ? VH_F_EVENT_IDX : 0));
		model_enable_kick(&t.model);
		for (unsigned int n = 1 + rnd(&t.rng, 20); n; n--)
			hand_offers(&t.hand);
		assert_true(model_driver_publish(&t.hand.driver));
		model_driver_enable_calls(&t.hand.driver);
		while (model_pop(&t.model, 1, &chain) > 0)
			model_push(&t.model, chain.head, 0);
		assert_int_equal(model_publish(&t.model), 1);
		while (hand_collects(&t.hand, &id, &written) > 0)
			;
		assert_int_equal(t.hand.driver.inflight, 0);
		t.hand.posted_count = 0;
	}
	box_close(&t.box);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_virtqueue_model_of_split_agrees_with_itself),
	    cmocka_unit_test(test_virtqueue_model_of_packed_agrees_with_itself),
	    cmocka_unit_test(test_virtqueue_model_wakes_who_sleeps),
	};

	if (argc > 1)
		steps = strtoul(argv[1], NULL, 10);
	if (argc > 2)
		seed = strtoull(argv[2], NULL, 10);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
