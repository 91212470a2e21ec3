/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Buffers that are done at once beside chains that aren't: in the order in
 * which the device is done, and with IN_ORDER in the driver's, which one used
 * entry may say of many (virtio, "In-order use of descriptors").
 */
#include "buffers_box.h"
#include <endian.h>
#include <stdlib.h>
#include <string.h>

static void for_both(void (*test)(bool packed))
{
	test(false);
	test(true);
}

static void push(struct either *e, struct vh_chain *chain, uint32_t written)
{
	vh_virtqueue_push(e->box->queue, chain, written);
}

/* Takes so many of send_some() and says of all the same. */
static void pass_some(struct either *e, unsigned int from, unsigned int to,
		      uint32_t written)
{
	struct vh_buffer buffers[EITHER_IDS];
	uint32_t all[EITHER_IDS];

	for (unsigned int i = 0; i < EITHER_IDS; i++)
		all[i] = written;
	take_some(e, buffers, from, to);
	push_buffers(e, buffers, all, to - from);
}

/* The next used entry stands for so many, ends with id, says so many bytes. */
static void expect_entry(struct either *e, unsigned int count, unsigned int id,
			 uint32_t written)
{
	uint32_t used_written;
	unsigned int used_id;

	assert_int_equal(either_collect(e, &used_id, &used_written), count);
	assert_int_equal(used_id, id);
	assert_int_equal(used_written, written);
}

static void any_order(bool packed)
{
	static const struct returned list[] = {
	    {2, ROOM, 2}, {3, ROOM, 2}, {1, ROOM, 1}, {5, ROOM, 5},
	    {4, ROOM, 4}, {6, ROOM, 6}, {0, ROOM, 0},
	};
	struct vh_chain *first, *second, *fifth;
	struct either e;

	either_open(&e, packed, 0);
	send_some(&e, 0, 7);
	first = either_pop(&e, 0);
	second = either_pop(&e, 1);
	pass_some(&e, 2, 4, 2);
	push(&e, second, 1);
	fifth = either_pop(&e, 4);
	assert_int_equal(vh_virtqueue_inflight(e.box->queue), 2);
	pass_some(&e, 5, 6, 5);
	push(&e, fifth, 4);
	pass_some(&e, 6, 7, 6);
	push(&e, first, 0);
	either_expect_none(&e);
	publish(&e);
	expect_returned(&e, list, 7);
	assert_int_equal(vh_virtqueue_inflight(e.box->queue), 0);
	box_close(e.box);
}

static void test_virtqueue_buffers_any_order(void **state)
{
	(void)state;
	for_both(any_order);
}

/* With IN_ORDER nothing may overtake a chain that is in flight. */
static void waits_for_chains(bool packed)
{
	struct vh_chain *chains[2];
	struct vh_buffer buffers[4];
	struct either e;

	either_open(&e, packed, BOX_IN_ORDER);
	send_some(&e, 0, 3);
	chains[0] = either_pop(&e, 0);
	take(&e, buffers, 4, 0);
	chains[1] = either_pop(&e, 1);
	take(&e, buffers, 4, 0);
	/* Done, but it has to wait, and so has whatever comes later. */
	push(&e, chains[1], ROOM);
	take(&e, buffers, 4, 0);
	publish(&e);
	either_expect_none(&e);
	take(&e, buffers, 4, 0);
	push(&e, chains[0], ROOM);
	pass_some(&e, 2, 3, ROOM);
	publish(&e);
	expect_entry(&e, 3, 2, ROOM);
	either_expect_none(&e);
	pass_one(&e, 0);
	box_close(e.box);
}

static void test_virtqueue_buffers_in_order_wait_for_chains(void **state)
{
	(void)state;
	for_both(waits_for_chains);
}

/* What another thread is done with is in flight until it is taken. */
static void waits_for_remote(bool packed)
{
	struct vh_buffer buffer;
	struct either e;

	either_open(&e, packed, BOX_IN_ORDER);
	send_some(&e, 0, 2);
	assert_true(vh_virtqueue_push_remote(e.box->queue, either_pop(&e, 0),
					     ROOM / 2));
	take(&e, &buffer, 1, 0);
	assert_int_equal(vh_virtqueue_take_remote(e.box->queue), 1);
	pass_some(&e, 1, 2, ROOM);
	publish(&e);
	expect_entry(&e, 1, 0, ROOM / 2);
	expect_entry(&e, 1, 1, ROOM);
	box_close(e.box);
}

static void test_virtqueue_buffers_in_order_wait_for_remote(void **state)
{
	(void)state;
	for_both(waits_for_remote);
}

/* Whoever is skipped counts as written in full, so the others are not. */
static void short_ones(bool packed)
{
	static const uint32_t written[] = {ROOM, ROOM, 3,    ROOM, 0,
					   ROOM, ROOM, ROOM, 1,	   1};
	struct vh_buffer buffers[10];
	struct either e;

	either_open(&e, packed, BOX_IN_ORDER);
	/* Often enough that entries go over the end of the ring. */
	for (unsigned int turn = 0; turn < 50; turn++) {
		send_some(&e, 0, 10);
		take_some(&e, buffers, 0, 10);
		push_buffers(&e, buffers, written, 10);
		either_expect_none(&e);
		publish(&e);
		expect_entry(&e, 3, 2, 3);
		expect_entry(&e, 2, 4, 0);
		expect_entry(&e, 4, 8, 1);
		expect_entry(&e, 1, 9, 1);
		either_expect_none(&e);
		assert_int_equal(vh_virtqueue_publish(e.box->queue), 0);
	}
	box_close(e.box);
}

static void test_virtqueue_buffers_in_order_short_ones(void **state)
{
	(void)state;
	for_both(short_ones);
}

/* One entry for all that is done between two publishes, however it was. */
static void one_run(bool packed)
{
	const struct buffer two[] = {{BOX_DATA, 5, 0}, {BOX_DATA, 5, F_WRITE}};
	struct vh_chain *chains[2];
	struct vh_buffer buffer;
	struct either e;

	either_open(&e, packed, BOX_IN_ORDER);
	for (unsigned int turn = 0; turn < 40; turn++) {
		send_some(&e, 0, 5);
		either_send(&e, 5, two, 2);
		either_send_one(&e, 6, BOX_DATA, ROOM, 0);
		send_some(&e, 7, 9);
		chains[0] = either_pop(&e, 0);
		chains[1] = either_pop(&e, 1);
		push(&e, chains[1], ROOM);
		push(&e, chains[0], ROOM);
		pass_some(&e, 2, 3, ROOM);
		pass_some(&e, 3, 5, ROOM);
		push(&e, either_pop(&e, 5), 5);
		take(&e, &buffer, 1, 1);
		/* It has no room, so 0 is all of it. */
		push_buffers(&e, &buffer, (uint32_t[]){99}, 1);
		pass_some(&e, 7, 8, ROOM + 99);
		if (turn % 2)
			push(&e, either_pop(&e, 8), ROOM);
		else
			pass_some(&e, 8, 9, ROOM);
		either_expect_none(&e);
		publish(&e);
		expect_entry(&e, 9, 8, ROOM);
		either_expect_none(&e);
	}
	box_close(e.box);
}

static void test_virtqueue_buffers_in_order_one_run(void **state)
{
	(void)state;
	for_both(one_run);
}

/* Chains are given again as soon as a run is all that there is. */
static void unpublished(bool packed)
{
	struct vh_chain *chain;
	struct vh_buffer buffer;
	struct either e;

	either_open(&e, packed, BOX_IN_ORDER);
	send_some(&e, 0, 2);
	pass_some(&e, 0, 1, ROOM);
	chain = either_pop(&e, 1);
	send_some(&e, 2, 3);
	take(&e, &buffer, 1, 0);
	/* A run is shown, though what comes next isn't done. */
	publish(&e);
	expect_entry(&e, 1, 0, ROOM);
	either_expect_none(&e);
	push(&e, chain, 0);
	pass_some(&e, 2, 3, 0);
	publish(&e);
	expect_entry(&e, 1, 1, 0);
	expect_entry(&e, 1, 2, 0);
	either_expect_none(&e);
	box_close(e.box);
}

static void test_virtqueue_buffers_in_order_unpublished(void **state)
{
	(void)state;
	for_both(unpublished);
}

static void set_event(struct either *e, unsigned int place)
{
	if (e->packed)
		packed_set_event(&e->p, (uint16_t)(place | 1 << 15), 2);
	else
		*box_avail_word(e->box, 2 + EITHER_NUM) =
		    htole16((uint16_t)place);
}

/* A driver that asked to hear of one among them hears, and of no other. */
static void calls(bool packed, uint64_t features)
{
	struct either e;

	for (unsigned int event = 0; event < 8; event++) {
		either_open(&e, packed, features | BOX_EVENT_IDX);
		set_event(&e, 0);
		pass_one(&e, 0);
		set_event(&e, event);
		send_some(&e, 0, 5);
		pass_some(&e, 0, 5, ROOM);
		assert_int_equal(vh_virtqueue_publish(e.box->queue),
				 event >= 1 && event < 6);
		assert_int_equal(vh_virtqueue_publish(e.box->queue), 0);
		box_close(e.box);
	}
}

static void test_virtqueue_buffers_calls(void **state)
{
	(void)state;
	for_all(calls);
}

static unsigned int kick_event(const struct either *e)
{
	if (e->packed)
		return packed_device_event(&e->p) & 0x7fff;
	return le16toh(*box_used_word(e->box, 2 + 4 * EITHER_NUM));
}

/* Kicks are asked for where the buffers end. */
static void kicks(bool packed, uint64_t features)
{
	struct either e;

	either_open(&e, packed, features | BOX_EVENT_IDX);
	send_some(&e, 0, 3);
	assert_int_equal(vh_virtqueue_enable_kick(e.box->queue), 1);
	assert_int_equal(kick_event(&e), 0);
	pass_some(&e, 0, 2, ROOM);
	assert_int_equal(vh_virtqueue_enable_kick(e.box->queue), 1);
	assert_int_equal(kick_event(&e), 2);
	pass_some(&e, 2, 3, ROOM);
	publish(&e);
	assert_int_equal(vh_virtqueue_enable_kick(e.box->queue), 0);
	assert_int_equal(kick_event(&e), 3);
	box_close(e.box);
}

static void test_virtqueue_buffers_kicks(void **state)
{
	(void)state;
	for_all(kicks);
}

/* Bursts, chains and publishes at random, and what the driver must hear. */
struct play {
	struct either e;
	unsigned int next; /* to be sent; ids go round */
	unsigned int sent; /* and not taken */
	uint32_t room[EITHER_IDS];
	struct vh_chain *chain; /* in flight */
	uint32_t chain_written;
	struct returned done[EITHER_IDS]; /* and not shown */
	unsigned int done_count;
	unsigned long buffers;
};

static uint32_t some_written(uint32_t room)
{
	return random() % 3 ? room : (uint32_t)random() % (room + 1);
}

static void play_done(struct play *play, unsigned int id, uint32_t written)
{
	play->done[play->done_count++] =
	    (struct returned){id, play->room[id], written};
}

static void play_send(struct play *play)
{
	unsigned int id = play->next;
	unsigned int flags = random() % 3 ? F_WRITE : 0;
	const struct buffer buffers[] = {{place_of(id), 3, flags},
					 {place_of(id) + 3, 5, F_WRITE}};

	for (unsigned int i = 0; i < play->e.order_count; i++)
		if (play->e.order[i] == id)
			return;
	if (random() % 4) {
		either_send_one(&play->e, id, place_of(id), ROOM, flags);
		play->room[id] = flags ? ROOM : 0;
	} else {
		either_send(&play->e, id, buffers, 2);
		play->room[id] = flags ? ROOM : 5;
	}
	play->next = (id + 1) % EITHER_IDS;
	play->sent++;
}

static unsigned int play_oldest(const struct play *play)
{
	return (play->next + EITHER_IDS - play->sent) % EITHER_IDS;
}

static void play_buffers(struct play *play)
{
	struct vh_buffer buffers[EITHER_IDS];
	uint32_t written[EITHER_IDS];
	unsigned int max = (unsigned int)random() % EITHER_IDS;
	int n = vh_virtqueue_pop_buffers(play->e.box->queue, buffers, max);

	assert_in_range(n, 0, play->sent < max ? play->sent : max);
	for (int i = 0; i < n; i++) {
		unsigned int id = play_oldest(play);

		assert_int_equal(play->e.descriptors[id], 1);
		assert_int_equal(buffers[i].size, ROOM);
		assert_ptr_equal(
		    buffers[i].data,
		    vh_memory_at(play->e.box->memory, place_of(id), ROOM));
		assert_int_equal(buffers[i].is_writable, play->room[id] > 0);
		written[i] = some_written(play->room[id]);
		play_done(play, id, written[i]);
		play->sent--;
		play->buffers++;
	}
	/* There are fewer than there might be only for a reason. */
	if (play->chain && in_order(&play->e))
		assert_int_equal(n, 0);
	else if (n < (int)max && play->sent)
		assert_int_equal(play->e.descriptors[play_oldest(play)], 2);
	push_buffers(&play->e, buffers, written, (unsigned int)n);
}

static void play_chain(struct play *play)
{
	unsigned int id = play_oldest(play);

	if (play->chain) {
		id = either_id(&play->e, play->chain);
		play->chain_written = some_written(play->room[id]);
		push(&play->e, play->chain, play->chain_written);
		play_done(play, id, play->chain_written);
		play->chain = NULL;
	} else if (play->sent) {
		play->chain = either_pop(&play->e, id);
		play->sent--;
	}
}

static void play(bool packed, uint64_t features)
{
	static struct play play;

	memset(&play, 0, sizeof(play));
	either_open(&play.e, packed, features);
	for (unsigned int i = 0; i < 30000; i++) {
		switch (random() % 8) {
		case 0:
			publish(&play.e);
			expect_returned(&play.e, play.done, play.done_count);
			play.done_count = 0;
			break;
		case 1:
		case 2:
			play_chain(&play);
			break;
		case 3:
		case 4:
			play_buffers(&play);
			break;
		default:
			play_send(&play);
		}
		assert_int_equal(vh_virtqueue_inflight(play.e.box->queue),
				 play.chain != NULL);
	}
	assert_true(play.buffers > 3000);
	box_close(play.e.box);
}

static void test_virtqueue_buffers_at_random(void **state)
{
	(void)state;
	srandom(5);
	for_all(play);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_virtqueue_buffers_any_order),
	    cmocka_unit_test(test_virtqueue_buffers_in_order_wait_for_chains),
	    cmocka_unit_test(test_virtqueue_buffers_in_order_wait_for_remote),
	    cmocka_unit_test(test_virtqueue_buffers_in_order_short_ones),
	    cmocka_unit_test(test_virtqueue_buffers_in_order_one_run),
	    cmocka_unit_test(test_virtqueue_buffers_in_order_unpublished),
	    cmocka_unit_test(test_virtqueue_buffers_calls),
	    cmocka_unit_test(test_virtqueue_buffers_kicks),
	    cmocka_unit_test(test_virtqueue_buffers_at_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
