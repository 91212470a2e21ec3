/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* How a packed queue begins, moves to other maps, breaks and ends. */
#include "packed_box.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const uint32_t fresh = PACKED_BASE(0, 1, 0, 1);

/* A size is any number from 1 to 32768. */
static void test_virtqueue_packed_life_sizes(void **state)
{
	static const uint32_t good[] = {1,   2,	  3,	 6,    255,
					256, 257, 32767, 32768};
	static const uint32_t bad[] = {0,     32769,	65535,	   65536,
				       98304, 1u << 31, UINT32_MAX};
	struct vh_virtqueue *queue = NULL;
	struct vh_virtqueue_opts opts;
	struct vh_fault fault;
	struct packed_box p;

	(void)state;
	packed_open_memory(&p, &(struct packed_opts){.num = 8});
	opts = box_queue_opts(&p.box);
	opts.base = fresh;
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		opts.num = bad[i];
		assert_int_equal(
		    vh_virtqueue_new(&opts, p.box.memory, &fault, &queue),
		    -EINVAL);
		assert_null(queue);
		assert_int_equal(fault.code, VH_FAULT_RING_SIZE);
		assert_int_equal(fault.queue, BOX_QUEUE_INDEX);
	}
	for (unsigned int i = 0; i < sizeof(good) / sizeof(*good); i++) {
		opts.num = good[i];
		assert_int_equal(
		    vh_virtqueue_new(&opts, p.box.memory, NULL, &queue), 0);
		vh_virtqueue_free(queue);
	}
	box_close(&p.box);
}

/* A.2.9: the whole of each part lies in one region and is aligned. */
static void test_virtqueue_packed_life_parts(void **state)
{
	const uint64_t sizes[3] = {16 * 7, 4, 4};
	const uint64_t aligned[3] = {16, 4, 4};
	struct vh_virtqueue *queue = NULL;
	struct vh_fault fault;
	struct packed_box p;

	(void)state;
	packed_open_memory(&p, &(struct packed_opts){.num = 7});
	for (unsigned int i = 0; i < 33; i++) {
		unsigned int part = i % 3;
		uint64_t size = sizes[part], by = aligned[part];
		const struct {
			vh_gpa at;
			bool good;
		} cases[] = {
		    {BOX_C, true},
		    {BOX_C + BOX_C_SIZE - size, true},
		    {BOX_C + BOX_C_SIZE - size + by, false},
		    {BOX_C + BOX_C_SIZE, false},
		    {BOX_C - by, false},
		    {BOX_C + 1, false},
		    {BOX_C + by / 2, false},
		    {BOX_B - by / 2, false}, /* in two */
		    {BOX_D + BOX_D_SIZE - size, true},
		    {BOX_D + BOX_D_SIZE - by / 2, false},
		    {0, false},
		};
		struct vh_virtqueue_opts opts = box_queue_opts(&p.box);
		vh_gpa *const parts[3] = {&opts.descriptors, &opts.available,
					  &opts.used};

		opts.base = fresh;
		*parts[part] = cases[i / 3].at;
		assert_int_equal(
		    vh_virtqueue_new(&opts, p.box.memory, &fault, &queue),
		    cases[i / 3].good ? 0 : -EFAULT);
		if (cases[i / 3].good) {
			vh_virtqueue_free(queue);
			queue = NULL;
			continue;
		}
		assert_null(queue);
		assert_int_equal(fault.code, VH_FAULT_RING_ADDR);
		assert_int_equal(fault.queue, BOX_QUEUE_INDEX);
	}
	box_close(&p.box);
}

/* It is in two regions that follow each other, at an aligned place. */
static void test_virtqueue_packed_life_ring_in_two_regions(void **state)
{
	struct vh_virtqueue *queue = NULL;
	struct vh_virtqueue_opts opts;
	struct packed_box p;

	(void)state;
	packed_open_memory(&p, &(struct packed_opts){.num = 7});
	opts = box_queue_opts(&p.box);
	opts.base = fresh;
	opts.descriptors = BOX_B - 32;
	assert_int_equal(vh_virtqueue_new(&opts, p.box.memory, NULL, &queue),
			 -EFAULT);
	assert_null(queue);
	box_close(&p.box);
}

/* What GET_VRING_BASE said is where it goes on: places, wrap counters. */
static void test_virtqueue_packed_life_bases(void **state)
{
	static const struct {
		uint32_t base;
		bool good;
	} cases[] = {
	    {PACKED_BASE(0, 1, 0, 1), true},
	    {PACKED_BASE(6, 1, 6, 1), true},
	    {PACKED_BASE(6, 0, 6, 0), true},
	    {PACKED_BASE(2, 0, 5, 1), true},
	    {PACKED_BASE(0, 0, 6, 1), true},
	    {PACKED_BASE(7, 1, 0, 1), false},
	    {PACKED_BASE(0, 1, 7, 1), false},
	    {PACKED_BASE(0x7fff, 1, 0, 1), false},
	    {PACKED_BASE(0, 0, 0x7fff, 1), false},
	    {UINT32_MAX, false},
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct vh_virtqueue_opts opts;
		struct vh_fault fault;
		struct packed_box p;

		packed_open_memory(
		    &p, &(struct packed_opts){.num = 7, .base = cases[i].base});
		opts = box_queue_opts(&p.box);
		opts.base = cases[i].base;
		assert_int_equal(
		    vh_virtqueue_new(&opts, p.box.memory, &fault, &p.box.queue),
		    cases[i].good ? 0 : -EINVAL);
		if (!cases[i].good) {
			assert_null(p.box.queue);
			assert_int_equal(fault.queue, BOX_QUEUE_INDEX);
			assert_true(strlen(fault.text) > 0);
			box_close(&p.box);
			continue;
		}
		assert_int_equal(vh_virtqueue_base(p.box.queue), opts.base);
		packed_send(&p, 6, BOX_DATA, 1, 0);
		vh_virtqueue_push(p.box.queue, box_pop(&p.box), 0);
		assert_int_equal(vh_virtqueue_publish(p.box.queue), 1);
		packed_expect_used(&p, 6, 0, 1);
		box_close(&p.box);
	}
}

/* Uses all of num descriptors by lists of a size, round by round. */
static void go_round(struct packed_box *p, unsigned int descriptors,
		     unsigned int list)
{
	while (descriptors) {
		unsigned int count = list < descriptors ? list : descriptors;

		for (unsigned int i = 1; i <= count; i++)
			packed_send(p, 0, BOX_DATA, 1, i < count ? F_NEXT : 0);
		vh_virtqueue_push(p->box.queue, box_pop(&p->box), 0);
		assert_int_equal(vh_virtqueue_publish(p->box.queue), 1);
		packed_expect_used(p, 0, 0, count);
		descriptors -= count;
	}
}

static void begin_at_0(struct packed_box *p)
{
	struct vh_virtqueue_opts opts = box_queue_opts(&p->box);

	vh_virtqueue_free(p->box.queue);
	opts.base = 0;
	assert_int_equal(
	    vh_virtqueue_new(&opts, p->box.memory, NULL, &p->box.queue), 0);
}

/*
 * Some front-ends say 0 for any fresh ring, which in a packed one is a place
 * after a round. The ring tells: nothing of a fresh one was ever used.
 */
static void test_virtqueue_packed_life_fresh_at_0(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 16; i++) {
		struct packed_box p;

		packed_open_memory(
		    &p, &(struct packed_opts){
			    .num = 8, .features = i & 1 ? BOX_IN_ORDER : 0});
		for (unsigned int id = 0; id < i / 2; id++)
			packed_send(&p, id, BOX_DATA, 1, 0);
		begin_at_0(&p);
		assert_int_equal(vh_virtqueue_base(p.box.queue), fresh);
		for (unsigned int id = 0; id < i / 2; id++)
			assert_int_equal(box_pop(&p.box)->head, id);
		assert_false(vh_virtqueue_pending(p.box.queue));
		box_close(&p.box);
	}
}

/* It was used for some rounds, and 0 is the place where it really is. */
static void test_virtqueue_packed_life_used_at_0(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 8 * 8; i++) {
		unsigned int list = 1 + i % 8, rounds = 1 + 2 * (i / 16);
		struct vh_chain *chain;
		struct packed_box p;

		packed_open(
		    &p, &(struct packed_opts){
			    .num = 8, .features = i & 8 ? BOX_IN_ORDER : 0});
		go_round(&p, 8 * rounds, list);
		assert_int_equal(vh_virtqueue_base(p.box.queue), 0);
		begin_at_0(&p);
		assert_int_equal(vh_virtqueue_base(p.box.queue), 0);
		assert_int_equal(vh_virtqueue_pop(p.box.queue, &chain, 1), 0);
		go_round(&p, 8, list);
		box_close(&p.box);
	}
}

/* Places go round at any size, and a number of times. */
static void test_virtqueue_packed_life_places_wrap(void **state)
{
	static const uint32_t sizes[] = {1, 2, 3, 7, 8, 256, 32767, 32768};

	(void)state;
	for (unsigned int s = 0; s < 8; s++) {
		unsigned int burst = sizes[s] < 32 ? sizes[s] : 32;
		struct vh_chain *chains[VH_VIRTQUEUE_BURST];
		unsigned int done = 0;
		struct packed_box p;

		packed_open(&p, &(struct packed_opts){.num = sizes[s]});
		while (done < (s < 6 ? 20000 : 150000)) {
			for (unsigned int i = 0; i < burst; i++)
				packed_send(&p, (done + i) % sizes[s], BOX_DATA,
					    1, 0);
			assert_int_equal(
			    vh_virtqueue_pop(p.box.queue, chains, 32), burst);
			for (unsigned int i = 0; i < burst; i++) {
				assert_int_equal(chains[i]->head,
						 (done + i) % sizes[s]);
				vh_virtqueue_push(p.box.queue, chains[i], 0);
			}
			assert_int_equal(vh_virtqueue_publish(p.box.queue), 1);
			for (unsigned int i = 0; i < burst; i++)
				packed_expect_used(&p, (done + i) % sizes[s], 0,
						   1);
			done += burst;
			assert_int_equal(
			    vh_virtqueue_base(p.box.queue),
			    PACKED_BASE(p.place, p.wrap, p.used, p.used_wrap));
		}
		box_close(&p.box);
	}
}

static void test_virtqueue_packed_life_burst_limits(void **state)
{
	struct vh_chain *chains[64];
	struct packed_box p;

	(void)state;
	packed_open(&p, &(struct packed_opts){.num = 64});
	for (unsigned int i = 0; i < 64; i++)
		packed_send(&p, i, BOX_DATA, 1, 0);
	assert_int_equal(vh_virtqueue_pop(p.box.queue, chains, 0), 0);
	assert_int_equal(vh_virtqueue_pop(p.box.queue, chains, 64), 32);
	assert_int_equal(vh_virtqueue_pop(p.box.queue, chains, 5), 5);
	assert_int_equal(vh_virtqueue_pop(p.box.queue, chains, UINT32_MAX), 27);
	assert_int_equal(vh_virtqueue_pop(p.box.queue, chains, 1), 0);
	assert_int_equal(vh_virtqueue_inflight(p.box.queue), 64);
	box_close(&p.box);
}

static void test_virtqueue_packed_life_pushed_twice(void **state)
{
	struct vh_chain *chain;
	struct packed_box p;

	(void)state;
	packed_open(&p, &(struct packed_opts){.num = 8});
	packed_send(&p, 1, BOX_DATA, 1, 0);
	chain = box_pop(&p.box);
	vh_virtqueue_push(p.box.queue, chain, 0);
	vh_virtqueue_push(p.box.queue, chain, 0);
	assert_int_equal(vh_virtqueue_publish(p.box.queue), 1);
	packed_expect_used(&p, 1, 0, 1);
	packed_expect_none_used(&p);
	assert_int_equal(vh_virtqueue_inflight(p.box.queue), 0);
	assert_int_equal(vh_virtqueue_base(p.box.queue),
			 PACKED_BASE(1, 1, 1, 1));
	box_close(&p.box);
}

/* A map of the same regions, C perhaps left out. */
static struct vh_memory *other_map(const struct packed_box *p, bool with_c)
{
	struct vh_region region = box_region(&p->box, 2);
	struct vh_memory *without, *with;

	assert_int_equal(
	    vh_memory_remove(p->box.memory, &region, NULL, &without), 0);
	if (!with_c)
		return without;
	assert_int_equal(vh_memory_add(without, &region, NULL, &with), 0);
	vh_memory_unref(without);
	return with;
}

/* A chain keeps the map that it was made with, until it is pushed. */
static void test_virtqueue_packed_memory_old_chain_keeps_its_map(void **state)
{
	struct vh_memory *without;
	struct vh_chain *chain;
	struct packed_box p;

	(void)state;
	packed_open(&p, &(struct packed_opts){.num = 8});
	packed_send(&p, 0, BOX_C, 1, F_WRITE);
	packed_send(&p, 1, BOX_DATA, 1, F_WRITE);
	chain = box_pop(&p.box);
	/* Pushed on one map and shown on the next. */
	vh_virtqueue_push(p.box.queue, box_pop(&p.box), 1);
	without = other_map(&p, false);
	assert_int_equal(vh_virtqueue_set_memory(p.box.queue, without), 0);
	assert_true(vh_virtqueue_holds_old_memory(p.box.queue));
	vh_memory_unref(without);
	/* Only the queue holds the first map now, for this chain. */
	vh_memory_unref(p.box.memory);
	*(char *)chain->writable->iov_base = 'x';
	assert_int_equal(*(char *)box_host(&p.box, BOX_C), 'x');
	vh_virtqueue_push(p.box.queue, chain, 1);
	assert_false(vh_virtqueue_holds_old_memory(p.box.queue));
	assert_int_equal(vh_virtqueue_publish(p.box.queue), 1);
	packed_expect_used(&p, 1, 1, 1);
	packed_expect_used(&p, 0, 1, 1);
	p.box.memory = NULL;
	packed_send(&p, 1, BOX_C, 1, F_WRITE);
	box_expect_fault(&p.box, VH_FAULT_DESC_ADDR);
	box_close(&p.box);
}

/* CVE-2026-86567: the ring itself goes away, each part of it. */
static void test_virtqueue_packed_memory_ring_goes_away(void **state)
{
	(void)state;
	for (unsigned int part = 0; part < 3; part++) {
		struct vh_virtqueue_opts opts;
		struct vh_memory *without;
		struct vh_chain *chain;
		struct packed_box p;
		vh_gpa *parts[3] = {&opts.descriptors, &opts.available,
				    &opts.used};

		packed_open_memory(&p, &(struct packed_opts){.num = 8});
		opts = box_queue_opts(&p.box);
		opts.base = fresh;
		*parts[part] = BOX_C;
		assert_int_equal(
		    vh_virtqueue_new(&opts, p.box.memory, NULL, &p.box.queue),
		    0);
		memcpy(box_host(&p.box, BOX_C),
		       &(uint64_t[2]){BOX_DATA, UINT64_C(0x82000500000001)},
		       16);
		if (part)
			packed_send(&p, 5, BOX_DATA, 1, F_WRITE);
		chain = part ? box_pop(&p.box) : NULL;
		without = other_map(&p, false);
		assert_int_equal(vh_virtqueue_set_memory(p.box.queue, without),
				 -EFAULT);
		assert_int_equal(vh_virtqueue_fault(p.box.queue)->code,
				 VH_FAULT_RING_ADDR);
		vh_virtqueue_disable_kick(p.box.queue);
		assert_int_equal(vh_virtqueue_enable_kick(p.box.queue), 0);
		/* It moves on with the others, and lets go. */
		if (chain)
			vh_virtqueue_push(p.box.queue, chain, 1);
		assert_int_equal(vh_virtqueue_pop(p.box.queue, &chain, 1),
				 -EPROTO);
		assert_false(vh_virtqueue_holds_old_memory(p.box.queue));
		assert_int_equal(
		    vh_virtqueue_set_memory(p.box.queue, p.box.memory), 0);
		assert_int_equal(vh_virtqueue_publish(p.box.queue), 0);
		vh_memory_unref(without);
		box_close(&p.box);
	}
}

/* Maps change at random under chains that come back at random. */
static void test_virtqueue_packed_memory_random_changes(void **state)
{
	struct vh_chain *chains[61];
	bool taken[61] = {false};
	unsigned int inflight = 0;
	struct packed_box p;

	(void)state;
	srandom(2);
	packed_open(&p, &(struct packed_opts){.num = 61});
	for (unsigned int step = 0; step < 100000; step++) {
		unsigned int id = (unsigned int)random() % 61;

		if (random() % 50 == 0) {
			struct vh_memory *map = other_map(&p, true);
			int r = vh_virtqueue_set_memory(p.box.queue, map);

			assert_true(r == 0 || r == -EAGAIN);
			vh_memory_unref(map);
		}
		if (taken[id]) {
			*(char *)chains[id]->writable->iov_base = 1;
			vh_virtqueue_push(p.box.queue, chains[id], 1);
			assert_int_equal(vh_virtqueue_publish(p.box.queue), 1);
			packed_expect_used(&p, id, 1, 1);
			inflight--;
		} else {
			packed_send(&p, id, BOX_C + id, 1, F_WRITE);
			chains[id] = box_pop(&p.box);
			inflight++;
		}
		taken[id] = !taken[id];
		assert_int_equal(vh_virtqueue_inflight(p.box.queue), inflight);
		if (!inflight)
			assert_false(
			    vh_virtqueue_holds_old_memory(p.box.queue));
	}
	box_close(&p.box);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_virtqueue_packed_life_sizes),
	    cmocka_unit_test(test_virtqueue_packed_life_parts),
	    cmocka_unit_test(test_virtqueue_packed_life_ring_in_two_regions),
	    cmocka_unit_test(test_virtqueue_packed_life_bases),
	    cmocka_unit_test(test_virtqueue_packed_life_fresh_at_0),
	    cmocka_unit_test(test_virtqueue_packed_life_used_at_0),
	    cmocka_unit_test(test_virtqueue_packed_life_places_wrap),
	    cmocka_unit_test(test_virtqueue_packed_life_burst_limits),
	    cmocka_unit_test(test_virtqueue_packed_life_pushed_twice),
	    cmocka_unit_test(
		test_virtqueue_packed_memory_old_chain_keeps_its_map),
	    cmocka_unit_test(test_virtqueue_packed_memory_ring_goes_away),
	    cmocka_unit_test(test_virtqueue_packed_memory_random_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
