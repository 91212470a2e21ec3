/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * VIRTIO_F_IN_ORDER: whatever the order in which a device is done, the driver
 * sees the one in which it made chains available; one used entry may stand
 * for many, and those that it skips count as written in full.
 */
#include "either.h"
#include <stdlib.h>
#include <string.h>

#define ROOM 8 /* bytes that each chain has */

static void open_in_order(struct either *e, bool packed)
{
	either_open(e, packed, BOX_IN_ORDER | BOX_INDIRECT);
}

static void send_some(struct either *e, unsigned int from, unsigned int to)
{
	for (unsigned int id = from; id < to; id++)
		either_send_one(e, id, BOX_DATA + id * ROOM, ROOM, F_WRITE);
}

/* The next used entry stands for so many, ends with id, says so many bytes. */
static void expect_batch(struct either *e, unsigned int count, unsigned int id,
			 uint32_t written)
{
	uint32_t used_written;
	unsigned int used_id;

	assert_int_equal(either_collect(e, &used_id, &used_written), count);
	assert_int_equal(used_id, id);
	assert_int_equal(used_written, written);
}

static void publish(struct either *e)
{
	assert_true(vh_virtqueue_publish(e->box->queue) >= 0);
}

static void one_entry_for_all(bool packed)
{
	struct vh_chain *chains[8];
	struct either e;

	open_in_order(&e, packed);
	/* Often enough that entries go over the end of the ring. */
	for (unsigned int turn = 0; turn < 50; turn++) {
		send_some(&e, 0, 7);
		assert_int_equal(vh_virtqueue_pop(e.box->queue, chains, 8), 7);
		for (unsigned int i = 0; i < 7; i++)
			vh_virtqueue_push(e.box->queue, chains[i], ROOM);
		either_expect_none(&e);
		assert_int_equal(vh_virtqueue_publish(e.box->queue), 1);
		expect_batch(&e, 7, 6, ROOM);
		either_expect_none(&e);
		assert_int_equal(vh_virtqueue_publish(e.box->queue), 0);
	}
	box_close(e.box);
}

static void test_virtqueue_in_order_one_entry_for_all(void **state)
{
	(void)state;
	one_entry_for_all(false);
	one_entry_for_all(true);
}

static void waits_for_the_first(bool packed)
{
	struct vh_chain *chains[8];
	struct either e;

	open_in_order(&e, packed);
	send_some(&e, 0, 5);
	assert_int_equal(vh_virtqueue_pop(e.box->queue, chains, 8), 5);
	vh_virtqueue_push(e.box->queue, chains[4], ROOM);
	vh_virtqueue_push(e.box->queue, chains[1], ROOM);
	vh_virtqueue_push(e.box->queue, chains[1], ROOM); /* it has no effect */
	vh_virtqueue_push(e.box->queue, chains[2], ROOM);
	assert_int_equal(vh_virtqueue_publish(e.box->queue), 0);
	either_expect_none(&e);
	assert_int_equal(vh_virtqueue_inflight(e.box->queue), 2);
	vh_virtqueue_push(e.box->queue, chains[0], ROOM);
	publish(&e);
	expect_batch(&e, 3, 2, ROOM);
	either_expect_none(&e);
	vh_virtqueue_push(e.box->queue, chains[3], ROOM);
	publish(&e);
	expect_batch(&e, 2, 4, ROOM);
	assert_int_equal(vh_virtqueue_inflight(e.box->queue), 0);
	box_close(e.box);
}

static void test_virtqueue_in_order_waits_for_the_first(void **state)
{
	(void)state;
	waits_for_the_first(false);
	waits_for_the_first(true);
}

/* Who isn't written in full needs an entry of its own. */
static void partly_written(bool packed)
{
	struct vh_chain *chains[8];
	struct either e;

	open_in_order(&e, packed);
	send_some(&e, 0, 6);
	assert_int_equal(vh_virtqueue_pop(e.box->queue, chains, 8), 6);
	vh_virtqueue_push(e.box->queue, chains[5], ROOM);
	vh_virtqueue_push(e.box->queue, chains[1], 3);
	vh_virtqueue_push(e.box->queue, chains[0], ROOM + 100);
	vh_virtqueue_push(e.box->queue, chains[2], 0);
	vh_virtqueue_push(e.box->queue, chains[4], ROOM);
	vh_virtqueue_push(e.box->queue, chains[3], ROOM);
	publish(&e);
	expect_batch(&e, 2, 1, 3);
	expect_batch(&e, 1, 2, 0);
	expect_batch(&e, 3, 5, ROOM);
	either_expect_none(&e);
	box_close(e.box);
}

static void test_virtqueue_in_order_partly_written(void **state)
{
	(void)state;
	partly_written(false);
	partly_written(true);
}

/* What can't be written is written in full by writing nothing. */
static void read_only(bool packed)
{
	const struct buffer list[] = {
	    {BOX_DATA, 1, 0}, {BOX_DATA, 1, 0}, {BOX_DATA, 1, 0}};
	struct vh_chain *chains[8];
	struct either e;

	open_in_order(&e, packed);
	for (unsigned int turn = 0; turn < 40; turn++) {
		for (unsigned int id = 0; id < 5; id++)
			either_send(&e, id, list, 1 + (id + turn) % 3);
		assert_int_equal(vh_virtqueue_pop(e.box->queue, chains, 8), 5);
		for (unsigned int i = 0; i < 5; i++)
			vh_virtqueue_push(e.box->queue, chains[4 - i], 99);
		publish(&e);
		expect_batch(&e, 5, 4, 0);
	}
	box_close(e.box);
}

static void test_virtqueue_in_order_read_only(void **state)
{
	(void)state;
	read_only(false);
	read_only(true);
}

/* A queue that breaks takes back what waits and what doesn't. */
static void broken(bool packed)
{
	struct vh_chain *chains[8];
	struct either e;

	open_in_order(&e, packed);
	send_some(&e, 0, 4);
	assert_int_equal(vh_virtqueue_pop(e.box->queue, chains, 8), 4);
	vh_virtqueue_push(e.box->queue, chains[0], ROOM);
	vh_virtqueue_push(e.box->queue, chains[2], ROOM);
	vh_virtqueue_break(e.box->queue, VH_FAULT_REQUEST, "here", "%d", 1);
	for (unsigned int i = 0; i < 4; i++)
		vh_virtqueue_push(e.box->queue, chains[i], ROOM);
	assert_int_equal(vh_virtqueue_inflight(e.box->queue), 0);
	assert_int_equal(vh_virtqueue_publish(e.box->queue), 0);
	either_expect_none(&e);
	box_close(e.box);
}

static void test_virtqueue_in_order_broken(void **state)
{
	(void)state;
	broken(false);
	broken(true);
}

/* What was done to each, held against what the driver hears of it. */
struct play {
	struct either e;
	unsigned int next; /* to be sent; ids go round */
	unsigned int sent; /* and not popped */
	struct vh_chain *taken[EITHER_IDS];
	bool pushed[EITHER_IDS];
	uint32_t room[EITHER_IDS];
	uint32_t written[EITHER_IDS];
	unsigned int inflight;
};

static void play_send(struct play *play)
{
	unsigned int id = play->next;
	uint32_t room = (uint32_t)random() % 3;
	const struct buffer buffers[3] = {
	    {BOX_DATA, 1, 0},
	    {BOX_DATA + 16, room, F_WRITE},
	    {BOX_DATA + 32, 1, F_WRITE},
	};

	if (play->e.order_count == EITHER_IDS)
		return;
	play->room[id] = room + 1;
	either_send(&play->e, id, buffers, 3);
	play->next = (id + 1) % EITHER_IDS;
	play->sent++;
}

static void play_pop(struct play *play)
{
	struct vh_chain *chain;
	unsigned int id = (play->next + EITHER_IDS - play->sent) % EITHER_IDS;

	if (!play->sent) {
		assert_int_equal(
		    vh_virtqueue_pop(play->e.box->queue, &chain, 1), 0);
		return;
	}
	play->taken[id] = either_pop(&play->e, id);
	play->sent--;
	play->inflight++;
}

static void play_push(struct play *play, unsigned int id)
{
	if (!play->taken[id])
		return;
	play->written[id] =
	    random() % 3 ? play->room[id] : (uint32_t)random() % play->room[id];
	vh_virtqueue_push(play->e.box->queue, play->taken[id],
			  play->written[id]);
	play->taken[id] = NULL;
	play->pushed[id] = true;
	play->inflight--;
}

static void play_collect(struct play *play)
{
	unsigned int oldest, count, id;
	uint32_t written;

	for (;;) {
		oldest = play->e.order[0];
		count = either_collect(&play->e, &id, &written);
		if (!count)
			break;
		for (; count; count--, oldest = (oldest + 1) % EITHER_IDS) {
			assert_true(play->pushed[oldest]);
			assert_int_equal(play->written[oldest],
					 count == 1 ? written
						    : play->room[oldest]);
			play->pushed[oldest] = false;
		}
	}
	/* The next one isn't done: all others before it have been shown. */
	if (play->e.order_count)
		assert_false(play->pushed[play->e.order[0]]);
}

static void play(bool packed)
{
	static struct play play;

	memset(&play, 0, sizeof(play));
	open_in_order(&play.e, packed);
	for (unsigned int i = 0; i < 100000; i++) {
		switch (random() % 8) {
		case 0:
			publish(&play.e);
			play_collect(&play);
			break;
		case 1:
		case 2:
			play_send(&play);
			break;
		case 3:
		case 4:
			play_pop(&play);
			break;
		default:
			play_push(&play, (unsigned int)random() % EITHER_IDS);
		}
		assert_int_equal(vh_virtqueue_inflight(play.e.box->queue),
				 play.inflight);
	}
	box_close(play.e.box);
}

static void test_virtqueue_in_order_at_random(void **state)
{
	(void)state;
	srandom(3);
	play(false);
	play(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_virtqueue_in_order_one_entry_for_all),
	    cmocka_unit_test(test_virtqueue_in_order_waits_for_the_first),
	    cmocka_unit_test(test_virtqueue_in_order_partly_written),
	    cmocka_unit_test(test_virtqueue_in_order_read_only),
	    cmocka_unit_test(test_virtqueue_in_order_broken),
	    cmocka_unit_test(test_virtqueue_in_order_at_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
