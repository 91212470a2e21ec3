/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Completions pushed as a burst are what they are one after the other. */
#include "buffers_box.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LONG 20 /* pieces, which don't fit into a slot */

static void push_many(struct either *e, struct vh_chain *const chains[],
		      const uint32_t written[], unsigned int count)
{
	vh_virtqueue_push_many(e->box->queue, chains, written, count);
}

/* Sends chains from 0 on, of one buffer and of two in turn, and pops them. */
static void pop_some(struct either *e, struct vh_chain *chains[],
		     unsigned int count)
{
	for (unsigned int id = 0; id < count; id++)
		either_send(e, id,
			    (struct buffer[]){{place_of(id), ROOM - 1, F_WRITE},
					      {place_of(id), 1, F_WRITE}},
			    1 + id % 2);
	assert_int_equal(vh_virtqueue_pop(e->box->queue, chains, count), count);
}

static uint32_t room_of(unsigned int id)
{
	return id % 2 ? ROOM : ROOM - 1;
}

/* Each is as if it had been pushed alone. */
static void in_this_order(bool packed, uint64_t features)
{
	static const unsigned int order[] = {3, 0, 1, 5, 2, 4};
	static const uint32_t said[] = {0, 3, ROOM, 99, UINT32_MAX, 1};
	struct vh_chain *chains[6], *burst[6];
	struct returned list[6];
	unsigned int id, at;
	struct either e;

	either_open(&e, packed, features);
	for (unsigned int turn = 0; turn < 20; turn++) {
		pop_some(&e, chains, 6);
		push_many(&e, chains, said, 0);
		assert_int_equal(vh_virtqueue_inflight(e.box->queue), 6);
		for (unsigned int i = 0; i < 6; i++) {
			id = order[i];
			burst[i] = chains[id];
			at = in_order(&e) ? id : i;
			list[at] = (struct returned){id, room_of(id), said[i]};
			if (said[i] > room_of(id))
				list[at].written = room_of(id);
		}
		push_many(&e, burst, said, 6);
		either_expect_none(&e);
		assert_int_equal(vh_virtqueue_inflight(e.box->queue), 0);
		publish(&e);
		expect_returned(&e, list, 6);
	}
	box_close(e.box);
}

static void test_virtqueue_push_many_in_this_order(void **state)
{
	(void)state;
	for_all(in_this_order);
}

/* One that isn't in flight any more has no effect, in the same burst too. */
static void twice(bool packed, uint64_t features)
{
	const uint32_t written[] = {ROOM, ROOM, 0, ROOM, 0};
	struct vh_chain *chains[3], *burst[5];
	struct either e;

	either_open(&e, packed, features);
	for (unsigned int turn = 0; turn < 20; turn++) {
		pop_some(&e, chains, 3);
		burst[0] = burst[2] = chains[1];
		burst[1] = burst[4] = chains[0];
		burst[3] = chains[2];
		push_many(&e, burst, written, 5);
		assert_int_equal(vh_virtqueue_inflight(e.box->queue), 0);
		publish(&e);
		if (in_order(&e))
			expect_returned(
			    &e,
			    (struct returned[]){{0, ROOM - 1, ROOM - 1},
						{1, ROOM, ROOM},
						{2, ROOM - 1, ROOM - 1}},
			    3);
		else
			expect_returned(
			    &e,
			    (struct returned[]){{1, ROOM, ROOM},
						{0, ROOM - 1, ROOM - 1},
						{2, ROOM - 1, ROOM - 1}},
			    3);
	}
	box_close(e.box);
}

static void test_virtqueue_push_many_twice(void **state)
{
	(void)state;
	for_all(twice);
}

/* Half of them wait for the first one, which comes last, alone. */
static void waits_for_the_first(bool packed)
{
	const uint32_t written[] = {ROOM, ROOM, 2, ROOM, ROOM};
	struct vh_chain *chains[8];
	struct either e;

	either_open(&e, packed, BOX_IN_ORDER);
	send_some(&e, 0, 7);
	assert_int_equal(vh_virtqueue_pop(e.box->queue, chains, 8), 7);
	push_many(&e, chains + 1, written, 5);
	assert_int_equal(vh_virtqueue_inflight(e.box->queue), 2);
	assert_int_equal(vh_virtqueue_publish(e.box->queue), 0);
	either_expect_none(&e);
	push_many(&e, chains, written, 1);
	publish(&e);
	expect_returned(&e,
			(struct returned[]){{0, ROOM, ROOM},
					    {1, ROOM, ROOM},
					    {2, ROOM, ROOM},
					    {3, ROOM, 2},
					    {4, ROOM, ROOM},
					    {5, ROOM, ROOM}},
			6);
	push_many(&e, chains + 6, written, 1);
	publish(&e);
	either_expect(&e, 6, ROOM);
	box_close(e.box);
}

static void test_virtqueue_push_many_waits_for_the_first(void **state)
{
	(void)state;
	waits_for_the_first(false);
	waits_for_the_first(true);
}

/* Room for long chains comes back with them. */
static void long_ones(bool packed, uint64_t features)
{
	struct vh_chain *chains[EITHER_IDS];
	uint32_t written[EITHER_IDS];
	struct returned list[EITHER_IDS];
	struct either e;

	either_open(&e, packed, features | BOX_INDIRECT);
	for (unsigned int i = 0; i < LONG && packed; i++)
		packed_entry(&e.p, BOX_TABLES, i, BOX_DATA, 1, F_WRITE);
	for (unsigned int i = 0; i < LONG && !packed; i++)
		box_entry(e.box, BOX_TABLES, i, BOX_DATA, 1,
			  F_WRITE | (i + 1 < LONG ? F_NEXT : 0), i + 1);
	for (unsigned int turn = 0; turn < 40; turn++) {
		for (unsigned int id = 0; id < EITHER_IDS; id++) {
			either_send_one(&e, id, BOX_TABLES, 16 * LONG,
					F_INDIRECT);
			written[id] = LONG - (id == 4);
			list[id] = (struct returned){id, LONG, written[id]};
		}
		assert_int_equal(vh_virtqueue_pop(e.box->queue, chains, 32),
				 EITHER_IDS);
		for (unsigned int id = 0; id < EITHER_IDS; id++)
			assert_int_equal(chains[id]->writable_count, LONG);
		push_many(&e, chains, written, EITHER_IDS);
		publish(&e);
		expect_returned(&e, list, EITHER_IDS);
	}
	box_close(e.box);
}

static void test_virtqueue_push_many_long_ones(void **state)
{
	(void)state;
	for_all(long_ones);
}

/* Chains of three maps in one burst: the old ones go with their chains. */
static void other_maps(bool packed, uint64_t features)
{
	const uint32_t written[] = {ROOM, 1, ROOM};
	struct vh_chain *chains[3];
	struct vh_region region;
	struct vh_memory *maps[2];
	struct either e;

	either_open(&e, packed, features);
	region = box_region(e.box, 2);
	assert_int_equal(
	    vh_memory_remove(e.box->memory, &region, NULL, &maps[0]), 0);
	assert_int_equal(vh_memory_add(maps[0], &region, NULL, &maps[1]), 0);
	send_some(&e, 0, 3);
	for (unsigned int i = 0; i < 3; i++) {
		chains[i] = either_pop(&e, i);
		if (i == 2)
			break;
		assert_int_equal(vh_virtqueue_set_memory(e.box->queue, maps[i]),
				 0);
		vh_memory_unref(maps[i]);
	}
	assert_true(vh_virtqueue_holds_old_memory(e.box->queue));
	assert_int_equal(vh_virtqueue_inflight(e.box->queue), 3);
	push_many(&e, (struct vh_chain *[]){chains[2], chains[0]},
		  (uint32_t[]){ROOM, ROOM}, 2);
	assert_true(vh_virtqueue_holds_old_memory(e.box->queue));
	assert_int_equal(vh_virtqueue_inflight(e.box->queue), 1);
	push_many(&e, &chains[1], &written[1], 1);
	assert_false(vh_virtqueue_holds_old_memory(e.box->queue));
	assert_int_equal(vh_virtqueue_inflight(e.box->queue), 0);
	publish(&e);
	if (in_order(&e)) {
		expect_returned(&e,
				(struct returned[]){{0, ROOM, ROOM},
						    {1, ROOM, 1},
						    {2, ROOM, ROOM}},
				3);
	} else {
		either_expect(&e, 2, ROOM);
		either_expect(&e, 0, ROOM);
		either_expect(&e, 1, 1);
	}
	box_close(e.box);
}

static void test_virtqueue_push_many_other_maps(void **state)
{
	(void)state;
	for_all(other_maps);
}

static bool is_marked(const uint8_t *bits, vh_gpa guest)
{
	return bits[guest / VH_DIRTY_LOG_PAGE / 8] >>
		   guest / VH_DIRTY_LOG_PAGE % 8 &
	       1;
}

/*
 * Chains of the time before a log, under it and after it. The queue changes
 * its ways in the middle of the burst, when the last one that is logged goes.
 */
static void over_a_log(bool packed, uint64_t features)
{
	const uint32_t written[] = {ROOM, ROOM, ROOM};
	int fd = memfd_create("log", MFD_CLOEXEC);
	struct vh_dirty_log *log;
	struct vh_chain *chains[3];
	const uint8_t *bits;
	struct either e;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 4096), 0);
	assert_int_equal(vh_dirty_log_new(fd, 0, 4096, NULL, &log), 0);
	bits = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	assert_true(bits != MAP_FAILED);
	either_open(&e, packed, features);
	for (unsigned int i = 0; i < 3; i++) {
		either_send_one(&e, i, BOX_DATA + i * VH_DIRTY_LOG_PAGE, ROOM,
				F_WRITE);
		chains[i] = either_pop(&e, i);
		if (i < 2)
			assert_int_equal(vh_virtqueue_set_log(e.box->queue,
							      i ? NULL : log,
							      false, 0),
					 0);
	}
	push_many(&e, chains, written, 3);
	assert_false(vh_virtqueue_holds_old_memory(e.box->queue));
	publish(&e);
	expect_returned(&e,
			(struct returned[]){
			    {0, ROOM, ROOM}, {1, ROOM, ROOM}, {2, ROOM, ROOM}},
			3);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(
		    is_marked(bits, BOX_DATA + i * VH_DIRTY_LOG_PAGE), i == 1);
	pass_one(&e, 0);
	box_close(e.box);
	vh_dirty_log_unref(log);
	munmap((void *)(uintptr_t)bits, 4096);
	close(fd);
}

static void test_virtqueue_push_many_over_a_log(void **state)
{
	(void)state;
	for_all(over_a_log);
}

/* A burst is noted as not in flight any more once it is shown. */
static void tracked(bool packed, uint64_t features)
{
	size_t size = packed ? VH_VIRTQUEUE_INFLIGHT_SIZE_PACKED(EITHER_NUM)
			     : VH_VIRTQUEUE_INFLIGHT_SIZE(EITHER_NUM);
	const uint32_t written[] = {ROOM, ROOM, ROOM};
	struct vh_virtqueue_opts opts;
	struct vh_chain *chains[4];
	struct either e;
	void *area = calloc(1, size);

	assert_non_null(area);
	either_open_memory(&e, packed, features);
	opts = either_opts(&e);
	opts.inflight = area;
	opts.inflight_size = size;
	assert_int_equal(either_try(&e, &opts, e.box->memory, NULL), 0);
	send_some(&e, 0, 4);
	assert_int_equal(vh_virtqueue_pop(e.box->queue, chains, 4), 4);
	push_many(&e, chains, written, 2);
	publish(&e);
	/* This one isn't seen by anybody. */
	push_many(&e, chains + 2, written, 1);
	vh_virtqueue_free(e.box->queue);
	assert_int_equal(either_try(&e, &opts, e.box->memory, NULL), 0);
	expect_returned(
	    &e, (struct returned[]){{0, ROOM, ROOM}, {1, ROOM, ROOM}}, 2);
	assert_int_equal(vh_virtqueue_unrecovered(e.box->queue), 2);
	chains[2] = either_pop(&e, 2);
	chains[3] = either_pop(&e, 3);
	push_many(&e, chains + 2, written, 2);
	publish(&e);
	expect_returned(
	    &e, (struct returned[]){{2, ROOM, ROOM}, {3, ROOM, ROOM}}, 2);
	box_close(e.box);
	free(area);
}

static void test_virtqueue_push_many_tracked(void **state)
{
	(void)state;
	for_all(tracked);
}

static void broken(bool packed, uint64_t features)
{
	const uint32_t written[] = {ROOM, ROOM, ROOM, ROOM};
	struct vh_chain *chains[4];
	struct either e;

	either_open(&e, packed, features);
	send_some(&e, 0, 4);
	assert_int_equal(vh_virtqueue_pop(e.box->queue, chains, 4), 4);
	push_many(&e, chains + 1, written, 1);
	vh_virtqueue_break(e.box->queue, VH_FAULT_REQUEST, "here", "%d", 1);
	push_many(&e, chains, written, 4);
	assert_int_equal(vh_virtqueue_inflight(e.box->queue), 0);
	assert_int_equal(vh_virtqueue_publish(e.box->queue), 0);
	either_expect_none(&e);
	expect_fault(&e, VH_FAULT_REQUEST);
	box_close(e.box);
}

static void test_virtqueue_push_many_broken(void **state)
{
	(void)state;
	for_all(broken);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_virtqueue_push_many_in_this_order),
	    cmocka_unit_test(test_virtqueue_push_many_twice),
	    cmocka_unit_test(test_virtqueue_push_many_waits_for_the_first),
	    cmocka_unit_test(test_virtqueue_push_many_long_ones),
	    cmocka_unit_test(test_virtqueue_push_many_other_maps),
	    cmocka_unit_test(test_virtqueue_push_many_over_a_log),
	    cmocka_unit_test(test_virtqueue_push_many_tracked),
	    cmocka_unit_test(test_virtqueue_push_many_broken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
