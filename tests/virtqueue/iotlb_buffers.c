/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A queue on an IOTLB (vhost-user, "IOMMU support"): it waits for what isn't
 * there, goes on when it is, and is broken by what isn't allowed.
 */
#include "iotlb_box.h"
#include <errno.h>
#include <stdlib.h>

/* Good chains are given before the one that has to wait; it comes once. */
static void buffer_comes_late(bool packed)
{
	struct vh_chain *chains[4];
	struct test t;
	vh_gpa last = BOX_DATA + 3 * PAGE;

	open_with_ring(&t, packed);
	allow(&t, BOX_DATA, PAGE, BOTH);
	allow(&t, BOX_DATA + 2 * PAGE, PAGE, BOTH);
	refresh(&t);
	either_send_one(&t.e, 0, BOX_DATA + IOVA, 1, F_WRITE);
	/* Two borders: the part in the middle is missing, and the end. */
	either_send_one(&t.e, 1, BOX_DATA + PAGE - 1 + IOVA, 2 * PAGE + 2,
			F_WRITE);
	either_send_one(&t.e, 2, BOX_DATA + IOVA, 1, F_WRITE);
	assert_int_equal(vh_virtqueue_pop(t.e.box->queue, chains, 4), 1);
	assert_int_equal(either_id(&t.e, chains[0]), 0);
	expect_missing(&t, BOX_DATA + PAGE, WRITE);
	expect_waiting(&t);
	/* What was taken goes on. */
	vh_virtqueue_push(t.e.box->queue, chains[0], 1);
	assert_true(vh_virtqueue_publish(t.e.box->queue) >= 0);
	either_expect(&t.e, 0, 1);

	allow(&t, BOX_DATA + PAGE, PAGE, BOTH);
	refresh(&t);
	expect_nothing_missing(&t);
	assert_int_equal(vh_virtqueue_pop(t.e.box->queue, chains, 4), 0);
	expect_missing(&t, last, WRITE);
	allow(&t, last, 1, WRITE);
	refresh(&t);
	assert_int_equal(vh_virtqueue_pop(t.e.box->queue, chains, 4), 2);
	assert_int_equal(chains[0]->writable_size, 2 * PAGE + 2);
	box_expect_piece(t.e.box, &chains[0]->writable[0], BOX_DATA + PAGE - 1,
			 chains[0]->writable[0].iov_len);
	vh_virtqueue_push(t.e.box->queue, chains[0], 0);
	vh_virtqueue_push(t.e.box->queue, chains[1], 1);
	assert_true(vh_virtqueue_publish(t.e.box->queue) >= 0);
	either_expect(&t.e, 1, 0);
	either_expect(&t.e, 2, 1);
	assert_int_equal(vh_virtqueue_inflight(t.e.box->queue), 0);
	close_test(&t);
}

static void test_virtqueue_iotlb_buffers_buffer_comes_late(void **state)
{
	(void)state;
	for_both(buffer_comes_late);
}

/* A table, then what is in it; more pieces than a slot has. */
static void table_comes_late(bool packed)
{
	struct vh_chain *chain;
	struct test t;

	open_with_ring(&t, packed);
	for (unsigned int i = 0; i < 20; i++) {
		vh_gpa at = BOX_DATA + i * PAGE + IOVA;

		if (packed)
			packed_entry(&t.e.p, BOX_TABLES, i, at, 1, 0);
		else
			box_entry(t.e.box, BOX_TABLES, i, at, 1,
				  i < 19 ? F_NEXT : 0, i + 1);
	}
	either_send_one(&t.e, 5, BOX_TABLES + IOVA, 320, F_INDIRECT);
	expect_waiting(&t);
	expect_missing(&t, BOX_TABLES, READ);
	allow(&t, BOX_TABLES, 319, READ);
	refresh(&t);
	expect_waiting(&t);
	expect_missing(&t, BOX_TABLES + 319, READ);
	allow(&t, BOX_TABLES, 320, READ);
	for (unsigned int i = 0; i < 20; i++) {
		refresh(&t);
		expect_waiting(&t);
		expect_missing(&t, BOX_DATA + i * PAGE, READ);
		allow(&t, BOX_DATA + i * PAGE, 1, READ);
	}
	refresh(&t);
	chain = either_pop(&t.e, 5);
	assert_int_equal(chain->readable_count, 20);
	vh_virtqueue_push(t.e.box->queue, chain, 0);
	close_test(&t);
}

static void test_virtqueue_iotlb_buffers_table_comes_late(void **state)
{
	(void)state;
	for_both(table_comes_late);
}

/* What is forbidden isn't waited for. */
static void permissions(bool packed)
{
	static const struct {
		uint32_t access; /* of the first and of the second half */
		uint32_t rest;
		unsigned int flags;
		bool good;
	} cases[] = {
	    {BOTH, BOTH, 0, true},
	    {BOTH, BOTH, F_WRITE, true},
	    {READ, READ, 0, true},
	    {READ, READ, F_WRITE, false},
	    {WRITE, WRITE, 0, false},
	    {WRITE, WRITE, F_WRITE, true},
	    {BOTH, READ, F_WRITE, false},
	    {READ, BOTH, F_WRITE, false},
	    {BOTH, WRITE, 0, false},
	    {WRITE, READ, 0, false},
	    {READ, READ, F_INDIRECT, true},
	    {WRITE, WRITE, F_INDIRECT, false},
	    {READ, WRITE, F_INDIRECT, false},
	};

	for (unsigned int i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct test t;

		open_with_ring(&t, packed);
		allow(&t, BOX_TABLES, 8, cases[i].access);
		allow(&t, BOX_TABLES + 8, 8, cases[i].rest);
		allow(&t, BOX_DATA, 8, BOTH);
		refresh(&t);
		box_entry(t.e.box, BOX_TABLES, 0, BOX_DATA + IOVA, 8, 0, 0);
		either_send_one(&t.e, 1, BOX_TABLES + IOVA, 16, cases[i].flags);
		if (cases[i].good)
			either_pop(&t.e, 1);
		else
			box_expect_fault(t.e.box, VH_FAULT_DESC_ACCESS);
		expect_nothing_missing(&t);
		close_test(&t);
	}
}

static void test_virtqueue_iotlb_buffers_permissions(void **state)
{
	(void)state;
	for_both(permissions);
}

/* Entries come and go at random; nothing is lost, nothing comes twice. */
static void at_random(bool packed)
{
	struct vh_chain *taken[EITHER_IDS] = {NULL};
	unsigned int next = 0, sent = 0, back = 0;
	struct vh_chain *chain;
	uint32_t access;
	vh_gpa missing;
	struct test t;

	open_with_ring(&t, packed);
	for (unsigned int i = 0; i < 100000; i++) {
		unsigned int any = (unsigned int)random() % EITHER_IDS;
		unsigned int page = (unsigned int)random() % 8;
		uint32_t written;

		switch (random() % 6) {
		case 0:
			forbid(&t, BOX_DATA + page * PAGE, PAGE);
			if (random() % 8 == 0)
				forbid(&t, BOX_DESCRIPTORS, 1);
			break;
		case 1:
			if (!vh_virtqueue_missing(t.e.box->queue, &missing,
						  &access))
				break;
			allow_at(&t, missing / PAGE * PAGE,
				 missing / PAGE * PAGE - IOVA, PAGE, access);
			break;
		case 2:
			if (taken[next] || t.e.order_count == EITHER_IDS ||
			    sent == EITHER_IDS)
				break;
			for (any = 0; any < t.e.order_count; any++)
				if (t.e.order[any] == next)
					break;
			if (any < t.e.order_count)
				break;
			either_send_one(&t.e, next,
					BOX_DATA + IOVA + page * PAGE + 4000,
					random() % 2 ? 200 : 90, F_WRITE);
			next = (next + 1) % EITHER_IDS;
			sent++;
			break;
		case 3:
			if (vh_virtqueue_pop(t.e.box->queue, &chain, 1) != 1)
				break;
			any = either_id(&t.e, chain);
			assert_int_equal(any, (next + EITHER_IDS - sent) %
						  EITHER_IDS);
			assert_null(taken[any]);
			taken[any] = chain;
			sent--;
			break;
		case 4:
			if (taken[any])
				vh_virtqueue_push(t.e.box->queue, taken[any],
						  1);
			taken[any] = NULL;
			break;
		default:
			assert_true(vh_virtqueue_publish(t.e.box->queue) >= 0);
			for (; either_collect(&t.e, &any, &written); back++)
				assert_null(taken[any]);
		}
		assert_null(vh_virtqueue_fault(t.e.box->queue));
		if (random() % 2 == 0) {
			int r =
			    vh_virtqueue_set_memory(t.e.box->queue, t.iotlb);

			assert_true(r == 0 || r == -EAGAIN);
		}
	}
	assert_true(back > 1000);
	close_test(&t);
}

static void test_virtqueue_iotlb_buffers_at_random(void **state)
{
	(void)state;
	srandom(4);
	for_both(at_random);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_virtqueue_iotlb_buffers_buffer_comes_late),
	    cmocka_unit_test(test_virtqueue_iotlb_buffers_table_comes_late),
	    cmocka_unit_test(test_virtqueue_iotlb_buffers_permissions),
	    cmocka_unit_test(test_virtqueue_iotlb_buffers_at_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
