/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Buffers that are done at once, over the life of a queue: other maps, dirty
 * logs, IOTLBs, tracked requests, and rings that are full and go round.
 */
#include "buffers_box.h"
#include "iotlb_box.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define RING_AT UINT64_C(0x20000) /* where rings are logged */

struct log {
	struct vh_dirty_log *log;
	uint8_t *bits;
};

static void log_open(struct log *log)
{
	int fd = memfd_create("log", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, PAGE), 0);
	log->bits = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(log->bits != MAP_FAILED);
	assert_int_equal(vh_dirty_log_new(fd, 0, PAGE, NULL, &log->log), 0);
	close(fd);
}

static void log_close(struct log *log)
{
	vh_dirty_log_unref(log->log);
	munmap(log->bits, PAGE);
}

static bool is_marked(const struct log *log, vh_gpa guest)
{
	return log->bits[guest / PAGE / 8] >> guest / PAGE % 8 & 1;
}

static void set_log(struct either *e, const struct log *log)
{
	assert_int_equal(vh_virtqueue_set_log(e->box->queue,
					      log ? log->log : NULL, true,
					      RING_AT),
			 0);
}

/* There are none, and a chain instead, which comes back. */
static void expect_chain_instead(struct either *e, unsigned int id)
{
	struct vh_buffer buffer;
	struct vh_chain *chain;

	send_some(e, id, id + 1);
	take(e, &buffer, 1, 0);
	assert_true(vh_virtqueue_pending(e->box->queue));
	chain = either_pop(e, id);
	take(e, &buffer, 1, 0);
	vh_virtqueue_push(e->box->queue, chain, ROOM);
	publish(e);
	either_expect(e, id, ROOM);
}

/* Who logs what is written must be told of each chain. */
static void logged(bool packed, uint64_t features)
{
	struct either e;
	struct log log;

	either_open(&e, packed, features);
	log_open(&log);
	for (unsigned int turn = 0; turn < 40; turn++) {
		pass_one(&e, 0);
		set_log(&e, &log);
		expect_chain_instead(&e, 1);
		expect_chain_instead(&e, 2);
		assert_true(is_marked(&log, place_of(1)));
		memset(log.bits, 0, PAGE);
		set_log(&e, NULL);
		pass_one(&e, 3);
	}
	for (unsigned int i = 0; i < PAGE; i++)
		assert_int_equal(log.bits[i], 0);
	box_close(e.box);
	log_close(&log);
}

static void test_virtqueue_buffers_logged(void **state)
{
	(void)state;
	for_all(logged);
}

/*
 * A chain that is popped with a log, which goes before the chain is pushed or
 * after that; then a buffer, and both are shown. Only the chain's bytes are
 * logged.
 */
static void log_goes(bool packed, uint64_t features, bool before_push)
{
	struct vh_buffer buffer;
	struct vh_chain *chain;
	struct either e;
	struct log log;

	either_open(&e, packed, features);
	log_open(&log);
	set_log(&e, &log);
	send_some(&e, 0, 2);
	chain = either_pop(&e, 0);
	if (before_push) {
		set_log(&e, NULL);
		take(&e, &buffer, 1, 0);
	}
	vh_virtqueue_push(e.box->queue, chain, ROOM);
	if (!before_push)
		set_log(&e, NULL);
	take_some(&e, &buffer, 1, 2);
	push_buffers(&e, &buffer, (uint32_t[]){ROOM}, 1);
	publish(&e);
	expect_returned(
	    &e, (struct returned[]){{0, ROOM, ROOM}, {1, ROOM, ROOM}}, 2);
	assert_true(is_marked(&log, place_of(0)));
	if (before_push)
		assert_false(is_marked(&log, RING_AT));
	box_close(e.box);
	log_close(&log);
}

/* As long as one chain is to be logged the queue isn't done with its log. */
static void logged_chain_in_flight(bool packed, uint64_t features)
{
	log_goes(packed, features, true);
}

static void test_virtqueue_buffers_logged_chain_in_flight(void **state)
{
	(void)state;
	for_all(logged_chain_in_flight);
}

/* Pushed before the log was there, shown after: showing them is logged. */
static void log_comes_between(bool packed, uint64_t features)
{
	const uint32_t written[] = {ROOM, ROOM, 2, ROOM};
	struct returned list[4];
	struct vh_buffer buffers[4];
	struct either e;
	struct log log;

	either_open(&e, packed, features);
	log_open(&log);
	send_some(&e, 0, 4);
	take_some(&e, buffers, 0, 4);
	push_buffers(&e, buffers, written, 4);
	set_log(&e, &log);
	publish(&e);
	for (unsigned int i = 0; i < 4; i++)
		list[i] = (struct returned){i, ROOM, written[i]};
	expect_returned(&e, list, 4);
	assert_true(is_marked(&log, packed ? BOX_DESCRIPTORS : RING_AT));
	assert_false(is_marked(&log, place_of(0)));
	set_log(&e, NULL);
	pass_one(&e, 0);
	box_close(e.box);
	log_close(&log);
}

static void test_virtqueue_buffers_log_comes_between(void **state)
{
	(void)state;
	for_all(log_comes_between);
}

/* The other way round: a run that was begun with a log ends without. */
static void log_goes_between(bool packed, uint64_t features)
{
	log_goes(packed, features, false);
}

static void test_virtqueue_buffers_log_goes_between(void **state)
{
	(void)state;
	for_all(log_goes_between);
}

/* An IOTLB may lack an entry, and then the queue has to wait. */
static void through_an_iotlb(bool packed)
{
	struct vh_buffer buffer;
	struct test t;

	open_with_ring(&t, packed);
	either_send_one(&t.e, 0, BOX_DATA + IOVA, ROOM, F_WRITE);
	take(&t.e, &buffer, 1, 0);
	expect_nothing_missing(&t);
	expect_waiting(&t);
	expect_missing(&t, BOX_DATA, WRITE);
	take(&t.e, &buffer, 1, 0);
	allow(&t, BOX_DATA, PAGE, BOTH);
	refresh(&t);
	take(&t.e, &buffer, 1, 0);
	pass(&t, 0);
	close_test(&t);
}

static void test_virtqueue_buffers_through_an_iotlb(void **state)
{
	(void)state;
	for_both(through_an_iotlb);
}

/* Whoever comes after a crash must find what was in flight. */
static void tracked(bool packed, uint64_t features)
{
	size_t size = packed ? VH_VIRTQUEUE_INFLIGHT_SIZE_PACKED(EITHER_NUM)
			     : VH_VIRTQUEUE_INFLIGHT_SIZE(EITHER_NUM);
	struct vh_virtqueue_opts opts;
	struct vh_buffer buffer;
	struct vh_chain *chain;
	struct either e;
	void *area = calloc(1, size);

	assert_non_null(area);
	either_open_memory(&e, packed, features);
	opts = either_opts(&e);
	opts.inflight = area;
	opts.inflight_size = size;
	assert_int_equal(either_try(&e, &opts, e.box->memory, NULL), 0);
	expect_chain_instead(&e, 0);
	send_some(&e, 1, 3);
	chain = either_pop(&e, 1);
	take(&e, &buffer, 1, 0);
	assert_non_null(chain);
	vh_virtqueue_free(e.box->queue);
	/* Here it was killed. */
	assert_int_equal(either_try(&e, &opts, e.box->memory, NULL), 0);
	assert_int_equal(vh_virtqueue_unrecovered(e.box->queue), 1);
	take(&e, &buffer, 1, 0);
	chain = either_pop(&e, 1);
	take(&e, &buffer, 1, 0);
	vh_virtqueue_push(e.box->queue, chain, ROOM);
	publish(&e);
	either_expect(&e, 1, ROOM);
	vh_virtqueue_push(e.box->queue, either_pop(&e, 2), ROOM);
	publish(&e);
	either_expect(&e, 2, ROOM);
	box_close(e.box);
	free(area);
}

static void test_virtqueue_buffers_tracked(void **state)
{
	(void)state;
	for_all(tracked);
}

/* They are looked for in the map of now, not where others were before. */
static void other_map(bool packed, uint64_t features)
{
	static const struct buffer in_c = {BOX_C, ROOM, F_WRITE};
	struct vh_region region;
	struct vh_memory *with, *without;
	struct vh_buffer buffer;
	struct either e;

	either_open(&e, packed, features);
	region = box_region(e.box, 2);
	with = e.box->memory;
	assert_int_equal(vh_memory_remove(with, &region, NULL, &without), 0);
	either_send(&e, 0, &in_c, 1);
	take(&e, &buffer, 1, 1);
	expect_buffer(&e, &buffer, 0, &in_c);
	push_buffers(&e, &buffer, (uint32_t[]){ROOM}, 1);
	assert_int_equal(vh_virtqueue_set_memory(e.box->queue, without), 0);
	assert_false(vh_virtqueue_holds_old_memory(e.box->queue));
	publish(&e);
	either_expect(&e, 0, ROOM);
	pass_one(&e, 1);
	either_send(&e, 0, &in_c, 1);
	take(&e, &buffer, 1, 0);
	/* It comes back, mapped anew. */
	vh_memory_unref(with);
	assert_int_equal(vh_memory_add(without, &region, NULL, &with), 0);
	e.box->memory = with;
	assert_int_equal(vh_virtqueue_set_memory(e.box->queue, with), 0);
	take(&e, &buffer, 1, 1);
	expect_buffer(&e, &buffer, 0, &in_c);
	vh_memory_unref(without);
	box_close(e.box);
}

static void test_virtqueue_buffers_other_map(void **state)
{
	(void)state;
	for_all(other_map);
}

static void test_virtqueue_buffers_split_index_wraps(void **state)
{
	static const uint32_t written[VH_VIRTQUEUE_BURST];
	struct vh_buffer buffers[VH_VIRTQUEUE_BURST];
	struct box box;

	(void)state;
	for (unsigned int turn = 0; turn < 2; turn++) {
		box_open(&box,
			 &(struct box_opts){.num = 8,
					    .features = turn ? BOX_IN_ORDER : 0,
					    .base = 65533});
		for (unsigned int i = 0; i < 100; i++) {
			unsigned int n = 1 + i % 8;

			for (unsigned int k = 0; k < n; k++) {
				box_descriptor(&box, k, BOX_DATA + k, 4, 0, 0);
				box_offer(&box, k);
			}
			box_show(&box);
			assert_int_equal(
			    vh_virtqueue_pop_buffers(box.queue, buffers, 32),
			    n);
			vh_virtqueue_push_buffers(box.queue, buffers, written,
						  n);
			assert_int_equal(vh_virtqueue_publish(box.queue), 1);
			assert_int_equal(box_used_index(&box), box.avail_index);
			assert_int_equal(
			    box_used_id(&box, (uint16_t)(box.avail_index -
							 (turn ? n : 1))),
			    n - 1);
		}
		box_close(&box);
	}
}

/* Gives back as many as there are; the driver hears of each. */
static void give_all(struct packed_box *p, const struct vh_buffer buffers[],
		     unsigned int count)
{
	bool one_entry = p->box.features & BOX_IN_ORDER;
	uint32_t written[VH_VIRTQUEUE_BURST];

	for (unsigned int i = 0; i < count; i++)
		written[i] = buffers[i].size;
	vh_virtqueue_push_buffers(p->box.queue, buffers, written, count);
	packed_expect_none_used(p);
	assert_true(vh_virtqueue_publish(p->box.queue) >= 0);
	if (one_entry)
		packed_expect_used(p, buffers[count - 1].head,
				   buffers[count - 1].size, count);
	for (unsigned int i = 0; !one_entry && i < count; i++)
		packed_expect_used(p, buffers[i].head, buffers[i].size, 1);
	packed_expect_none_used(p);
}

/* Bursts of all lengths, from all places, in both rounds. */
static void goes_round(uint32_t num, uint64_t features)
{
	struct vh_buffer buffers[VH_VIRTQUEUE_BURST];
	unsigned int count;
	struct packed_box p;

	packed_open(&p,
		    &(struct packed_opts){.num = num, .features = features});
	for (unsigned int turn = 0; turn < 60; turn++) {
		count = 1 + turn % num;
		for (unsigned int i = 0; i < count; i++)
			packed_send(&p, num - 1 - i, BOX_DATA + i, 1 + i,
				    F_WRITE);
		assert_int_equal(
		    vh_virtqueue_pop_buffers(p.box.queue, buffers, 32), count);
		for (unsigned int i = 0; i < count; i++) {
			assert_int_equal(buffers[i].head, num - 1 - i);
			assert_int_equal(buffers[i].size, 1 + i);
		}
		give_all(&p, buffers, count);
	}
	box_close(&p.box);
}

static void test_virtqueue_buffers_packed_ring_goes_round(void **state)
{
	static const uint32_t sizes[] = {1, 2, 3, 8, 11};

	(void)state;
	for (unsigned int i = 0; i < 10; i++)
		goes_round(sizes[i / 2], i & 1 ? BOX_IN_ORDER : 0);
}

/*
 * A driver has no more descriptors than the ring: who offers more lies, even
 * with ids of which nothing is in flight. chains are popped as such, one of
 * them of two descriptors.
 */
static void more_than_the_ring(unsigned int chains, uint64_t features)
{
	unsigned int first = chains ? chains + 1 : 0, count = 8 - first;
	struct vh_buffer buffers[8], more;
	struct vh_chain *popped[2];
	uint32_t written[8] = {0};
	struct packed_box p;

	packed_open(&p, &(struct packed_opts){.num = 8, .features = features});
	for (unsigned int i = 0; i < 8; i++)
		packed_send(&p, i, BOX_DATA, 1, i == 0 && chains ? F_NEXT : 0);
	assert_int_equal(vh_virtqueue_pop(p.box.queue, popped, chains), chains);
	assert_int_equal(vh_virtqueue_pop_buffers(p.box.queue, buffers, 32),
			 count);
	assert_int_equal(buffers[0].head, first);
	/* More, in the next round, where used ones would have to be first. */
	packed_send(&p, 7, BOX_DATA, 1, 0);
	vh_virtqueue_push_buffers(p.box.queue, buffers, written, count);
	/* They aren't the driver's before it is shown them. */
	assert_int_equal(vh_virtqueue_pop_buffers(p.box.queue, &more, 1), 0);
	assert_null(vh_virtqueue_fault(p.box.queue));
	box_expect_fault(&p.box, VH_FAULT_RING_BUSY);
	assert_int_equal(vh_virtqueue_pop_buffers(p.box.queue, &more, 1),
			 -EPROTO);
	vh_virtqueue_push_many(p.box.queue, popped, written, chains);
	box_close(&p.box);
}

static void test_virtqueue_buffers_packed_more_than_the_ring(void **state)
{
	(void)state;
	for (unsigned int chains = 0; chains < 3; chains++)
		more_than_the_ring(chains, 0);
	more_than_the_ring(0, BOX_IN_ORDER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_virtqueue_buffers_logged),
	    cmocka_unit_test(test_virtqueue_buffers_logged_chain_in_flight),
	    cmocka_unit_test(test_virtqueue_buffers_log_comes_between),
	    cmocka_unit_test(test_virtqueue_buffers_log_goes_between),
	    cmocka_unit_test(test_virtqueue_buffers_through_an_iotlb),
	    cmocka_unit_test(test_virtqueue_buffers_tracked),
	    cmocka_unit_test(test_virtqueue_buffers_other_map),
	    cmocka_unit_test(test_virtqueue_buffers_split_index_wraps),
	    cmocka_unit_test(test_virtqueue_buffers_packed_ring_goes_round),
	    cmocka_unit_test(test_virtqueue_buffers_packed_more_than_the_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
