/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A queue on an IOTLB (vhost-user, "IOMMU support") that hasn't its ring yet,
 * or not any more.
 */
#include "iotlb_box.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The parts come one after the other; the driver has offered meanwhile. */
static void ring_comes_late(bool packed)
{
	const struct {
		vh_gpa at;
		uint64_t size;
		uint32_t access;
	} parts[3] = {
	    {BOX_DESCRIPTORS, 16 * EITHER_NUM, packed ? BOTH : READ},
	    {BOX_AVAIL, packed ? 4 : 6 + 2 * EITHER_NUM, READ},
	    {BOX_USED, packed ? 4 : 6 + 8 * EITHER_NUM, WRITE},
	};
	struct test t;

	open_test(&t, packed, 0);
	start(&t);
	allow(&t, BOX_DATA, 1, WRITE);
	either_send_one(&t.e, 3, BOX_DATA + IOVA, 1, F_WRITE);
	for (unsigned int i = 0; i < 3; i++) {
		expect_missing(&t, parts[i].at, parts[i].access);
		expect_waiting(&t);
		assert_int_equal(vh_virtqueue_publish(t.e.box->queue), 0);
		assert_int_equal(vh_virtqueue_base(t.e.box->queue),
				 t.opts.base);
		/* Half of it isn't all of it. */
		allow(&t, parts[i].at, parts[i].size / 2, parts[i].access);
		refresh(&t);
		expect_missing(&t, parts[i].at + parts[i].size / 2,
			       parts[i].access);
		expect_waiting(&t);
		allow(&t, parts[i].at, parts[i].size, parts[i].access);
		refresh(&t);
	}
	expect_nothing_missing(&t);
	assert_true(vh_virtqueue_pending(t.e.box->queue));
	pass(&t, 3);
	close_test(&t);
}

static void test_virtqueue_iotlb_ring_comes_late(void **state)
{
	(void)state;
	for_both(ring_comes_late);
}

/* The ring's own parts have theirs, too. */
static void ring_permissions(bool packed)
{
	const struct {
		vh_gpa at;
		uint32_t access;
		bool good;
	} cases[] = {
	    {BOX_DESCRIPTORS, READ, !packed}, {BOX_DESCRIPTORS, WRITE, false},
	    {BOX_DESCRIPTORS, BOTH, true},    {BOX_AVAIL, READ, true},
	    {BOX_AVAIL, WRITE, false},	      {BOX_USED, READ, false},
	    {BOX_USED, WRITE, true},	      {BOX_USED, BOTH, true},
	};

	for (unsigned int i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct vh_fault fault;
		struct test t;

		open_test(&t, packed, 0);
		allow_ring(&t);
		allow(&t, cases[i].at, PAGE, cases[i].access);
		assert_int_equal(either_try(&t.e, &t.opts, t.iotlb, &fault),
				 cases[i].good ? 0 : -EFAULT);
		if (!cases[i].good)
			assert_int_equal(fault.code, VH_FAULT_RING_ADDR);
		close_test(&t);

		/* It comes later, or changes under the queue. */
		open_test(&t, packed, 0);
		start(&t);
		allow_ring(&t);
		if (i & 1)
			refresh(&t);
		allow(&t, cases[i].at, PAGE, cases[i].access);
		assert_int_equal(
		    vh_virtqueue_set_memory(t.e.box->queue, t.iotlb),
		    cases[i].good ? 0 : -EFAULT);
		assert_int_equal(!vh_virtqueue_fault(t.e.box->queue),
				 cases[i].good);
		close_test(&t);
	}
}

static void test_virtqueue_iotlb_ring_permissions(void **state)
{
	(void)state;
	for_both(ring_permissions);
}

/* A ring that comes late is checked as one that is there. */
static void late_and_wrong(bool packed)
{
	static const vh_gpa wrong[] = {BOX_DESCRIPTORS + 8, BOX_AVAIL + 1,
				       BOX_USED + 2};

	for (unsigned int i = 0; i < 3; i++) {
		struct test t;
		vh_gpa *const parts[3] = {&t.opts.descriptors,
					  &t.opts.available, &t.opts.used};
		int r;

		open_test(&t, packed, 0);
		*parts[i] = wrong[i] + IOVA;
		r = either_try(&t.e, &t.opts, t.iotlb, NULL);
		if (r == 0) {
			allow(&t, BOX_A, BOX_A_SIZE, BOTH);
			r = vh_virtqueue_set_memory(t.e.box->queue, t.iotlb);
			assert_int_equal(
			    vh_virtqueue_fault(t.e.box->queue)->code,
			    VH_FAULT_RING_ADDR);
		}
		assert_int_equal(r, -EFAULT);
		close_test(&t);
	}
}

static void test_virtqueue_iotlb_ring_late_and_wrong(void **state)
{
	(void)state;
	for_both(late_and_wrong);
}

/*
 * The ring is invalidated with a chain in flight and one that wasn't shown:
 * completions go where the ring was, and only until they are done.
 */
static void ring_goes_away(bool packed)
{
	static const vh_gpa parts[] = {BOX_DESCRIPTORS, BOX_AVAIL, BOX_USED};

	for (unsigned int i = 0; i < 3; i++) {
		struct vh_chain *chains[2];
		struct test t;

		open_with_ring(&t, packed);
		allow(&t, BOX_DATA, PAGE, BOTH);
		refresh(&t);
		either_send_one(&t.e, 0, BOX_DATA + IOVA, 1, F_WRITE);
		either_send_one(&t.e, 1, BOX_DATA + IOVA, 1, F_WRITE);
		either_send_one(&t.e, 2, BOX_DATA + IOVA, 1, F_WRITE);
		assert_int_equal(vh_virtqueue_pop(t.e.box->queue, chains, 2),
				 2);
		vh_virtqueue_push(t.e.box->queue, chains[1], 1);
		forbid(&t, parts[i], 1);
		refresh(&t);
		expect_missing(&t, parts[i],
			       i == 0 ? (packed ? BOTH : READ)
				      : (i == 1 ? READ : WRITE));
		expect_waiting(&t);
		assert_true(vh_virtqueue_holds_old_memory(t.e.box->queue));
		assert_true(vh_virtqueue_publish(t.e.box->queue) >= 0);
		either_expect(&t.e, 1, 1);
		*(char *)chains[0]->writable->iov_base = 'x';
		vh_virtqueue_push(t.e.box->queue, chains[0], 1);
		assert_true(vh_virtqueue_holds_old_memory(t.e.box->queue));
		assert_true(vh_virtqueue_publish(t.e.box->queue) >= 0);
		either_expect(&t.e, 0, 1);
		assert_false(vh_virtqueue_holds_old_memory(t.e.box->queue));
		expect_waiting(&t);
		allow_ring(&t);
		refresh(&t);
		expect_nothing_missing(&t);
		pass(&t, 2);
		close_test(&t);
	}
}

static void test_virtqueue_iotlb_ring_goes_away(void **state)
{
	(void)state;
	for_both(ring_goes_away);
}

/* It goes away and the queue ends, whatever is in flight. */
static void ring_goes_away_for_good(bool packed)
{
	for (unsigned int i = 0; i < 4; i++) {
		struct vh_chain *chain;
		struct test t;

		open_with_ring(&t, packed);
		allow(&t, BOX_DATA, PAGE, BOTH);
		refresh(&t);
		either_send_one(&t.e, 0, BOX_DATA + IOVA, 1, F_WRITE);
		chain = either_pop(&t.e, 0);
		forbid(&t, 0, BOX_D - IOVA);
		refresh(&t);
		if (i & 1)
			vh_virtqueue_push(t.e.box->queue, chain, 1);
		if (i & 2)
			vh_virtqueue_break(t.e.box->queue, VH_FAULT_IO, NULL,
					   "%d", 1);
		if (i & 2)
			expect_nothing_missing(&t);
		assert_int_equal(vh_virtqueue_holds_old_memory(t.e.box->queue),
				 i != 3);
		close_test(&t);
	}
}

static void test_virtqueue_iotlb_ring_goes_away_for_good(void **state)
{
	(void)state;
	for_both(ring_goes_away_for_good);
}

/* Another place of guest memory: the ring goes on there. */
static void ring_moves(bool packed)
{
	const vh_gpa parts[] = {BOX_DESCRIPTORS, BOX_AVAIL, BOX_USED};
	struct test t;

	open_with_ring(&t, packed);
	allow(&t, BOX_DATA, PAGE, BOTH);
	refresh(&t);
	either_send_one(&t.e, 0, BOX_DATA + IOVA, 1, F_WRITE);
	pass(&t, 0);
	either_send_one(&t.e, 1, BOX_DATA + IOVA, 1, F_WRITE);
	either_pop(&t.e, 1);
	either_send_one(&t.e, 2, BOX_DATA + IOVA, 1, F_WRITE);
	for (unsigned int i = 0; i < 3; i++) {
		memcpy(box_host(t.e.box, BOX_B + i * PAGE),
		       box_host(t.e.box, parts[i]), PAGE);
		memset(box_host(t.e.box, parts[i]), 0, PAGE);
		allow_at(&t, parts[i] + IOVA, BOX_B + i * PAGE, PAGE, BOTH);
	}
	refresh(&t);
	either_pop(&t.e, 2);
	close_test(&t);
}

static void test_virtqueue_iotlb_ring_moves(void **state)
{
	(void)state;
	for_both(ring_moves);
}

/* Requests in flight are found when the ring is. */
static void tracked(bool packed)
{
	size_t size = packed ? VH_VIRTQUEUE_INFLIGHT_SIZE_PACKED(EITHER_NUM)
			     : VH_VIRTQUEUE_INFLIGHT_SIZE(EITHER_NUM);
	void *area = calloc(1, size);
	struct test t;

	assert_non_null(area);
	open_test(&t, packed, 0);
	t.opts.inflight = area;
	t.opts.inflight_size = size;
	start(&t);
	allow_ring(&t);
	allow(&t, BOX_DATA, PAGE, BOTH);
	refresh(&t);
	for (unsigned int id = 0; id < 3; id++)
		either_send_one(&t.e, id, BOX_DATA + IOVA, 1, F_WRITE);
	either_pop(&t.e, 0);
	either_pop(&t.e, 1);
	vh_virtqueue_free(t.e.box->queue);
	forbid(&t, BOX_AVAIL, 1);
	start(&t);
	expect_waiting(&t);
	assert_int_equal(vh_virtqueue_unrecovered(t.e.box->queue), 0);
	allow_ring(&t);
	refresh(&t);
	assert_int_equal(vh_virtqueue_unrecovered(t.e.box->queue), 2);
	/* The buffers of what was in flight may be missing, too. */
	forbid(&t, BOX_DATA, PAGE);
	refresh(&t);
	expect_waiting(&t);
	expect_missing(&t, BOX_DATA, WRITE);
	assert_int_equal(vh_virtqueue_unrecovered(t.e.box->queue), 2);
	allow(&t, BOX_DATA, PAGE, WRITE);
	refresh(&t);
	for (unsigned int id = 0; id < 3; id++)
		pass(&t, id);
	vh_virtqueue_free(t.e.box->queue);

	/* An area that can't be: it is known then, and said. */
	forbid(&t, BOX_AVAIL, 1);
	((uint16_t *)area)[4] = 77;
	start(&t);
	allow_ring(&t);
	assert_int_equal(vh_virtqueue_set_memory(t.e.box->queue, t.iotlb),
			 -EINVAL);
	assert_string_equal(vh_virtqueue_fault(t.e.box->queue)->section,
			    "Inflight I/O tracking");
	close_test(&t);
	free(area);
}

static void test_virtqueue_iotlb_ring_tracked(void **state)
{
	(void)state;
	for_both(tracked);
}

/* The base of a packed ring is looked at when its descriptors are there. */
static void test_virtqueue_iotlb_ring_late_with_wrong_base(void **state)
{
	struct test t;

	(void)state;
	open_test(&t, true, 0);
	t.opts.base = PACKED_BASE(EITHER_NUM, 1, 0, 1);
	start(&t);
	allow_ring(&t);
	assert_int_equal(vh_virtqueue_set_memory(t.e.box->queue, t.iotlb),
			 -EINVAL);
	assert_int_equal(vh_virtqueue_fault(t.e.box->queue)->code,
			 VH_FAULT_MSG_FIELD);
	expect_nothing_missing(&t);
	close_test(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_virtqueue_iotlb_ring_comes_late),
	    cmocka_unit_test(test_virtqueue_iotlb_ring_permissions),
	    cmocka_unit_test(test_virtqueue_iotlb_ring_late_and_wrong),
	    cmocka_unit_test(test_virtqueue_iotlb_ring_goes_away),
	    cmocka_unit_test(test_virtqueue_iotlb_ring_goes_away_for_good),
	    cmocka_unit_test(test_virtqueue_iotlb_ring_moves),
	    cmocka_unit_test(test_virtqueue_iotlb_ring_tracked),
	    cmocka_unit_test(test_virtqueue_iotlb_ring_late_with_wrong_base),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
