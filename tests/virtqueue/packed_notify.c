/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Event suppression of a packed ring, in both directions. */
#include "packed_box.h"
#include <stdlib.h>

#define NUM	7
#define ENABLE	0
#define DISABLE 1
#define DESC	2

/* Sends a chain of so many descriptors through, without publishing it. */
static void pass(struct packed_box *p, unsigned int id, unsigned int count)
{
	for (unsigned int i = 1; i < count; i++)
		packed_send(p, 0, BOX_DATA, 1, F_NEXT);
	packed_send(p, id, BOX_DATA, 1, 0);
	vh_virtqueue_push(p->box.queue, box_pop(&p->box), 0);
}

static uint16_t event_at(unsigned int place, bool wrap)
{
	return (uint16_t)(place | (wrap ? 0x8000 : 0));
}

static void test_virtqueue_packed_notify_by_flags(void **state)
{
	static const struct {
		uint16_t flags;
		int call;
	} cases[] = {
	    {ENABLE, 1},
	    {DISABLE, 0},
	    {ENABLE | 0xfffc, 1}, /* what is reserved doesn't count */
	    {DISABLE | 0xfffc, 0},
	};
	struct packed_box p;

	(void)state;
	packed_open(&p, &(struct packed_opts){.num = NUM});
	assert_int_equal(vh_virtqueue_publish(p.box.queue), 0);
	for (unsigned int i = 0; i < 100; i++) {
		pass(&p, i % NUM, 1);
		/* The place has no meaning here. */
		packed_set_event(&p, (uint16_t)(i * 4321), cases[i % 4].flags);
		assert_int_equal(vh_virtqueue_publish(p.box.queue),
				 cases[i % 4].call);
		assert_int_equal(vh_virtqueue_publish(p.box.queue), 0);
		packed_expect_used(&p, i % NUM, 0, 1);
	}
	box_close(&p.box);
}

/* Flags work with EVENT_IDX, too. */
static void test_virtqueue_packed_notify_by_flags_with_event_idx(void **state)
{
	struct packed_box p;

	(void)state;
	packed_open(
	    &p, &(struct packed_opts){.num = NUM, .features = BOX_EVENT_IDX});
	pass(&p, 0, 1);
	assert_int_equal(vh_virtqueue_publish(p.box.queue), 1);
	for (unsigned int i = 0; i < 100; i++) {
		pass(&p, i % NUM, 1 + i % NUM);
		packed_set_event(&p, (uint16_t)(i * 4321), i & 1);
		assert_int_equal(vh_virtqueue_publish(p.box.queue), !(i & 1));
	}
	box_close(&p.box);
}

/* The driver looks at the first used one: that is written last. */
static void test_virtqueue_packed_notify_publish_shows_all_at_once(void **state)
{
	struct vh_chain *chains[4];
	struct packed_box p;

	(void)state;
	packed_open(&p, &(struct packed_opts){.num = NUM,
					      .base = PACKED_BASE(5, 1, 5, 1)});
	for (unsigned int i = 0; i < 4; i++)
		packed_send(&p, i, BOX_DATA, 10, F_WRITE);
	assert_int_equal(vh_virtqueue_pop(p.box.queue, chains, 4), 4);
	for (unsigned int i = 0; i < 4; i++) {
		vh_virtqueue_push(p.box.queue, chains[3 - i], i);
		packed_expect_none_used(&p);
		/* It is still what the driver wrote. */
		assert_int_equal(packed_flags(&p, 5), F_WRITE | F_AVAIL);
	}
	assert_int_equal(vh_virtqueue_publish(p.box.queue), 1);
	for (unsigned int i = 0; i < 4; i++)
		packed_expect_used(&p, 3 - i, i, 1);
	assert_int_equal(vh_virtqueue_base(p.box.queue),
			 PACKED_BASE(2, 0, 2, 0));
	box_close(&p.box);
}

static void test_virtqueue_packed_notify_first_publish_always(void **state)
{
	struct packed_box p;

	(void)state;
	for (unsigned int i = 0; i < 2 * NUM; i++) {
		packed_open(&p, &(struct packed_opts){
				    .num = NUM, .features = BOX_EVENT_IDX});
		packed_set_event(&p, event_at(i / 2, i & 1), DESC);
		pass(&p, 0, 1);
		assert_int_equal(vh_virtqueue_publish(p.box.queue), 1);
		box_close(&p.box);
	}
}

/*
 * By the text: a call if the descriptor at the place was used while the wrap
 * counter was that one. Positions are counted here without end; the driver
 * asks for one up to a round before or behind the first of the batch.
 */
static void window(uint32_t num, unsigned int turns)
{
	uint32_t at = 3 * num - 1; /* in the third round: counters are 1 */
	struct packed_box p;

	packed_open(&p, &(struct packed_opts){
			    .num = num,
			    .features = BOX_EVENT_IDX,
			    .base = PACKED_BASE(num - 1, 1, num - 1, 1),
			});
	pass(&p, 0, 1);
	assert_int_equal(vh_virtqueue_publish(p.box.queue), 1);
	at++;
	for (unsigned int turn = 0; turn < turns; turn++) {
		uint32_t event = at - num + (uint32_t)random() % (2 * num);
		uint32_t most = num < 8 ? num : 8;
		uint32_t done = 0;

		for (unsigned int i = 0; i < 4; i++) {
			uint32_t count = 1 + (uint32_t)random() % most;

			if (count > num - done)
				break;
			pass(&p, i % num, count);
			done += count;
		}
		packed_set_event(&p, event_at(event % num, !(event / num % 2)),
				 DESC);
		assert_int_equal(vh_virtqueue_publish(p.box.queue),
				 done && event - at < done);
		at += done;
	}
	box_close(&p.box);
}

static void test_virtqueue_packed_notify_event_window(void **state)
{
	static const uint32_t sizes[] = {1, 2, 3, 7, 8, 32767, 32768};

	(void)state;
	srandom(1);
	for (unsigned int i = 0; i < 7; i++)
		window(sizes[i], 3000);
}

/* At all places and sizes of the largest ring, where sums come near 2^16. */
static void test_virtqueue_packed_notify_event_of_the_largest(void **state)
{
	const uint32_t num = 32768;
	struct packed_box p;

	(void)state;
	packed_open(
	    &p, &(struct packed_opts){.num = num, .features = BOX_EVENT_IDX});
	pass(&p, 0, 1);
	assert_int_equal(vh_virtqueue_publish(p.box.queue), 1);
	for (unsigned int i = 0; i < 6; i++) {
		uint16_t place = p.place;
		bool wrap = p.wrap;

		/* A whole round at once has every place in it. */
		pass(&p, 1, num);
		packed_set_event(&p,
				 i & 1 ? event_at(place, wrap)
				       : event_at(place - 1u, !wrap),
				 DESC);
		assert_int_equal(vh_virtqueue_publish(p.box.queue), 1);
		assert_int_equal(p.place, place);
		/* All but the last. */
		pass(&p, 1, num - 1);
		packed_set_event(&p, event_at(p.place, p.wrap), DESC);
		assert_int_equal(vh_virtqueue_publish(p.box.queue), 0);
	}
	box_close(&p.box);
}

static void test_virtqueue_packed_notify_kick_by_flags(void **state)
{
	struct packed_box p;

	(void)state;
	packed_open(&p, &(struct packed_opts){.num = NUM});
	/* Left by who was here before. */
	*(uint32_t *)box_host(&p.box, BOX_DEVICE_EVENT) = UINT32_MAX;
	assert_int_equal(vh_virtqueue_enable_kick(p.box.queue), 0);
	assert_int_equal(packed_device_event(&p) >> 16, ENABLE);
	vh_virtqueue_disable_kick(p.box.queue);
	assert_int_equal(packed_device_event(&p) >> 16, DISABLE);
	packed_send(&p, 0, BOX_DATA, 1, 0);
	assert_int_equal(vh_virtqueue_enable_kick(p.box.queue), 1);
	assert_int_equal(packed_device_event(&p) >> 16, ENABLE);
	(void)box_pop(&p.box);
	assert_int_equal(vh_virtqueue_enable_kick(p.box.queue), 0);
	box_close(&p.box);
}

/* It names the next one that the driver makes available, and its round. */
static void test_virtqueue_packed_notify_kick_by_event(void **state)
{
	struct packed_box p;

	(void)state;
	packed_open(
	    &p, &(struct packed_opts){.num = NUM, .features = BOX_EVENT_IDX});
	for (unsigned int i = 0; i < 40; i++) {
		uint32_t event = event_at(p.place, p.wrap) | DESC << 16;

		assert_int_equal(vh_virtqueue_enable_kick(p.box.queue), 0);
		assert_int_equal(packed_device_event(&p), event);
		packed_send(&p, 0, BOX_DATA, 1, F_NEXT);
		packed_send(&p, 0, BOX_DATA, 1, 0);
		/* Asked before: it knows without asking again. */
		assert_int_equal(vh_virtqueue_enable_kick(p.box.queue), 1);
		assert_int_equal(packed_device_event(&p), event);
		vh_virtqueue_push(p.box.queue, box_pop(&p.box), 0);
		if (i & 1) {
			vh_virtqueue_disable_kick(p.box.queue);
			assert_int_equal(packed_device_event(&p) >> 16,
					 DISABLE);
		}
		(void)!vh_virtqueue_publish(p.box.queue);
		packed_expect_used(&p, 0, 0, 2);
	}
	box_close(&p.box);
}

static void test_virtqueue_packed_notify_pending(void **state)
{
	struct packed_box p;

	(void)state;
	packed_open(&p, &(struct packed_opts){.num = NUM,
					      .base = PACKED_BASE(6, 1, 6, 1)});
	assert_false(vh_virtqueue_pending(p.box.queue));
	packed_send(&p, 0, BOX_DATA, 1, 0);
	packed_send(&p, 1, BOX_DATA, 1, 0);
	assert_true(vh_virtqueue_pending(p.box.queue));
	assert_int_equal(vh_virtqueue_base(p.box.queue),
			 PACKED_BASE(6, 1, 6, 1));
	(void)box_pop(&p.box);
	assert_true(vh_virtqueue_pending(p.box.queue));
	assert_int_equal(vh_virtqueue_base(p.box.queue),
			 PACKED_BASE(0, 0, 6, 1));
	(void)box_pop(&p.box);
	assert_false(vh_virtqueue_pending(p.box.queue));
	assert_int_equal(vh_virtqueue_base(p.box.queue),
			 PACKED_BASE(1, 0, 6, 1));
	box_close(&p.box);
}

/* A broken queue doesn't touch the ring, and asks for nothing. */
static void test_virtqueue_packed_notify_broken(void **state)
{
	struct vh_chain *chain;
	struct packed_box p;

	(void)state;
	for (unsigned int event = 0; event < 2; event++) {
		packed_open(
		    &p, &(struct packed_opts){
			    .num = NUM, .features = event ? BOX_EVENT_IDX : 0});
		packed_send(&p, 0, BOX_DATA, 1, 0);
		packed_send(&p, 1, BOX_DATA, 1, 0);
		vh_virtqueue_push(p.box.queue, box_pop(&p.box), 0);
		chain = box_pop(&p.box);
		vh_virtqueue_break(p.box.queue, VH_FAULT_REQUEST, "here", "%d",
				   42);
		vh_virtqueue_push(p.box.queue, chain, 0);
		assert_int_equal(vh_virtqueue_publish(p.box.queue), 0);
		assert_int_equal(vh_virtqueue_enable_kick(p.box.queue), 0);
		vh_virtqueue_disable_kick(p.box.queue);
		packed_expect_none_used(&p);
		assert_int_equal(packed_device_event(&p), 0);
		box_close(&p.box);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_virtqueue_packed_notify_by_flags),
	    cmocka_unit_test(
		test_virtqueue_packed_notify_by_flags_with_event_idx),
	    cmocka_unit_test(
		test_virtqueue_packed_notify_publish_shows_all_at_once),
	    cmocka_unit_test(test_virtqueue_packed_notify_first_publish_always),
	    cmocka_unit_test(test_virtqueue_packed_notify_event_window),
	    cmocka_unit_test(test_virtqueue_packed_notify_event_of_the_largest),
	    cmocka_unit_test(test_virtqueue_packed_notify_kick_by_flags),
	    cmocka_unit_test(test_virtqueue_packed_notify_kick_by_event),
	    cmocka_unit_test(test_virtqueue_packed_notify_pending),
	    cmocka_unit_test(test_virtqueue_packed_notify_broken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
