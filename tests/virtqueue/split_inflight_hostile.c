/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * An area of requests in flight that somebody filled in to harm us, or that
 * is too small.
 */
#include "inflight_area.h"
#include <string.h>

#define LARGE 256

/* A ring of which all heads were made available, and an area of version 1. */
struct pair {
	struct box box;
	struct area *area;
};

static void open_pair(struct pair *pair, uint32_t num)
{
	open_ring(&pair->box, num, 0);
	for (unsigned int i = 0; i < num; i++)
		box_send(&pair->box, i);
	pair->area = new_area(num);
	pair->area->version = 1;
	pair->area->desc_num = (uint16_t)num;
}

static void close_pair(struct pair *pair)
{
	close_all(&pair->box, pair->area);
}

static int try_pair(struct pair *pair, size_t size, uint16_t base,
		    struct vh_fault *fault)
{
	return try_queue(&pair->box, pair->area, size, base, fault);
}

static void expect_refused(struct pair *pair, size_t size)
{
	struct vh_fault fault = {.code = VH_FAULT_NONE};

	assert_int_equal(try_pair(pair, size, 0, &fault), -EINVAL);
	assert_null(pair->box.queue);
	assert_int_not_equal(fault.code, VH_FAULT_NONE);
	assert_int_equal(fault.error, -EINVAL);
	assert_string_equal(fault.section, "Inflight I/O tracking");
	assert_true(strlen(fault.text) > 0);
	assert_int_equal(try_pair(pair, size, 0, NULL), -EINVAL);
}

/*
 * Pops until nothing more comes or the queue breaks: each head is one of
 * the queue's and comes once. Whatever it was, the area keeps its size
 * (ASan) and the queue ends.
 */
static unsigned int pop_all(struct pair *pair)
{
	struct vh_chain *chains[VH_VIRTQUEUE_BURST];
	bool seen[LARGE] = {false};
	unsigned int count = 0;
	int n;

	for (;;) {
		n = vh_virtqueue_pop(pair->box.queue, chains, 7);
		if (n <= 0)
			break;
		for (int i = 0; i < n; i++) {
			assert_true(chains[i]->head < pair->box.num);
			assert_false(seen[chains[i]->head]);
			seen[chains[i]->head] = true;
		}
		count += (unsigned int)n;
	}
	if (n < 0) {
		assert_int_equal(n, -EPROTO);
		assert_non_null(vh_virtqueue_fault(pair->box.queue));
		assert_true(strlen(vh_virtqueue_fault(pair->box.queue)->text) >
			    0);
	}
	return count;
}

static void test_virtqueue_inflight_hostile_sizes(void **state)
{
	static const size_t bad[] = {
	    0, 1, 15, 16, 31, 16 + 16 * 7, 16 + 16 * 8 - 1};
	struct pair pair;
	struct area *whole;

	(void)state;
	open_pair(&pair, 8);
	whole = pair.area;
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		pair.area = malloc(bad[i] ? bad[i] : 1);
		assert_non_null(pair.area);
		memset(pair.area, 0, bad[i]);
		expect_refused(&pair, bad[i]);
		free(pair.area);
	}
	pair.area = whole;
	assert_int_equal(try_pair(&pair, area_size(8), 0, NULL), 0);
	assert_int_equal(pop_all(&pair), 8);
	close_pair(&pair);
}

/* CVE-2026-86565: what the area says of its own size isn't believed. */
static void test_virtqueue_inflight_hostile_desc_num(void **state)
{
	static const uint16_t nums[] = {0, 1, 7, 9, 32768, 65535};

	(void)state;
	for (unsigned int i = 0; i < sizeof(nums) / sizeof(*nums); i++) {
		struct pair pair;

		open_pair(&pair, 8);
		pair.area->desc_num = nums[i];
		pair.area->entries[7].inflight = 1;
		if (try_pair(&pair, area_size(8), 0, NULL) == 0)
			pop_all(&pair);
		close_pair(&pair);
	}
}

static void test_virtqueue_inflight_hostile_versions(void **state)
{
	static const uint16_t versions[] = {2, 0x100, 0x101, 0xffff};

	(void)state;
	for (unsigned int i = 0; i < sizeof(versions) / sizeof(*versions);
	     i++) {
		struct pair pair;

		open_pair(&pair, 8);
		pair.area->version = versions[i];
		pair.area->entries[0].inflight = 1;
		expect_refused(&pair, area_size(8));
		assert_int_equal(pair.area->version, versions[i]);
		assert_int_equal(pair.area->entries[0].inflight, 1);
		close_pair(&pair);
	}
}

/* Every value that the byte can have, each in a slot of its own. */
static void test_virtqueue_inflight_hostile_bytes(void **state)
{
	struct pair pair;

	(void)state;
	for (unsigned int shift = 0; shift < 3; shift++) {
		open_pair(&pair, LARGE);
		for (unsigned int i = 0; i < LARGE; i++)
			pair.area->entries[i].inflight = (uint8_t)(i + shift);
		assert_int_equal(try_pair(&pair, area_size(LARGE), 12345, NULL),
				 0);
		/* the one that says 1 comes first */
		assert_int_equal(box_pop(&pair.box)->head,
				 (1 - shift) & (LARGE - 1));
		pop_all(&pair);
		close_pair(&pair);
	}
}

/* Counters that are all the same, at the end of their range, too. */
static void test_virtqueue_inflight_hostile_counters(void **state)
{
	static const uint64_t counters[] = {0, 1, UINT64_MAX};

	(void)state;
	for (unsigned int c = 0; c < 3; c++) {
		struct pair pair;

		open_pair(&pair, LARGE);
		for (unsigned int i = 0; i < LARGE; i += 2) {
			pair.area->entries[i].inflight = 1;
			pair.area->entries[i].counter = counters[c];
		}
		assert_int_equal(try_pair(&pair, area_size(LARGE), 0, NULL), 0);
		for (unsigned int i = 0; i < LARGE; i += 2)
			assert_int_equal(box_pop(&pair.box)->head, i);
		/* half of what was offered; the rest is in that half's place */
		assert_int_equal(vh_virtqueue_base(pair.box.queue), LARGE / 2);
		/* the next heads in the ring: 128 isn't back yet */
		box_expect_fault(&pair.box, VH_FAULT_RING_BUSY);
		close_pair(&pair);
	}
}

/* A list that leaves the queue, or goes round, or names itself. */
static void test_virtqueue_inflight_hostile_lists(void **state)
{
	static const struct {
		uint16_t head, next, used_idx;
	} cases[] = {
	    {8, 0, 65535},     {65535, 0, 65528}, {7, 8, 65528},
	    {7, 65535, 65528}, {7, 7, 65528},	  {0, 1, 65528},
	    {3, 3, 65535},     {0, 0, 65527},	  {0, 0, 1},
	    {0, 0, 32768},     {65535, 65535, 9},
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		for (unsigned int all = 0; all < 2; all++) {
			struct vh_fault fault = {.code = VH_FAULT_NONE};
			struct pair pair;
			int r;

			open_pair(&pair, 8);
			pair.area->last_batch_head = cases[i].head;
			pair.area->used_idx = cases[i].used_idx;
			for (unsigned int e = 0; e < 8; e++) {
				pair.area->entries[e].next = cases[i].next;
				pair.area->entries[e].inflight = (uint8_t)all;
			}
			r = try_pair(&pair, area_size(8), 0, &fault);
			if (r == 0)
				pop_all(&pair);
			else
				assert_true(strlen(fault.text) > 0);
			/* nothing in flight is never a contradiction */
			assert_true(all || r == 0);
			close_pair(&pair);
		}
	}
}

/* In flight are heads that the driver fills with something else by now. */
static void test_virtqueue_inflight_hostile_descriptors(void **state)
{
	static const struct {
		vh_gpa address;
		uint32_t length;
		unsigned int flags, next;
		uint32_t fault;
	} cases[] = {
	    {0, 1, 0, 0, VH_FAULT_DESC_ADDR},
	    {BOX_DATA, 1, F_NEXT, 8, VH_FAULT_DESC_NEXT},
	    {BOX_DATA, 1, F_NEXT, 3, VH_FAULT_DESC_LOOP},
	    {BOX_DATA, 1, F_INDIRECT, 0, VH_FAULT_DESC_INDIRECT},
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct pair pair;

		open_pair(&pair, 8);
		pair.box.features = BOX_INDIRECT;
		box_descriptor(&pair.box, 3, cases[i].address, cases[i].length,
			       cases[i].flags, cases[i].next);
		pair.area->entries[2].inflight = 1;
		pair.area->entries[3].inflight = 1;
		assert_int_equal(try_pair(&pair, area_size(8), 0, NULL), 0);
		assert_int_equal(box_pop(&pair.box)->head, 2);
		assert_true(vh_virtqueue_pending(pair.box.queue));
		box_expect_fault(&pair.box, cases[i].fault);
		/* who comes next shall look at them, too */
		assert_int_equal(pair.area->entries[2].inflight, 1);
		assert_int_equal(pair.area->entries[3].inflight, 1);
		close_pair(&pair);
	}
}

/* More in flight than the driver ever made available. */
static void test_virtqueue_inflight_hostile_too_many(void **state)
{
	struct pair pair;

	(void)state;
	open_pair(&pair, 8);
	pair.box.avail_index = 3;
	box_show(&pair.box);
	for (unsigned int i = 0; i < 8; i++)
		pair.area->entries[i].inflight = 1;
	assert_int_equal(try_pair(&pair, area_size(8), 0, NULL), 0);
	for (unsigned int i = 0; i < 8; i++)
		assert_int_equal(box_pop(&pair.box)->head, i);
	box_expect_fault(&pair.box, VH_FAULT_RING_INDEX);
	close_pair(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_virtqueue_inflight_hostile_sizes),
	    cmocka_unit_test(test_virtqueue_inflight_hostile_desc_num),
	    cmocka_unit_test(test_virtqueue_inflight_hostile_versions),
	    cmocka_unit_test(test_virtqueue_inflight_hostile_bytes),
	    cmocka_unit_test(test_virtqueue_inflight_hostile_counters),
	    cmocka_unit_test(test_virtqueue_inflight_hostile_lists),
	    cmocka_unit_test(test_virtqueue_inflight_hostile_descriptors),
	    cmocka_unit_test(test_virtqueue_inflight_hostile_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
