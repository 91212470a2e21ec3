/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Making a driver's queue, and what it can't be made of. */
#include "driver_box.h"
#include <errno.h>
#include <string.h>

#define AREA 65536

static _Alignas(64) char area[AREA];

static struct vh_driver_queue_opts good_opts(void)
{
	VH_OPTS(vh_driver_queue_opts, opts);
	opts.index = QUEUE_INDEX;
	opts.num = 256;
	opts.ring = area;
	opts.ring_at = RING_AT;
	return opts;
}

static void expect_refused(const struct vh_driver_queue_opts *opts, int error,
			   uint32_t code, const char *word)
{
	struct vh_driver_queue *queue = (void *)area;
	struct vh_fault fault;

	assert_int_equal(vh_driver_queue_new(opts, &fault, &queue), error);
	assert_ptr_equal(queue, area);
	assert_int_equal(fault.code, code);
	assert_int_equal(fault.error, error);
	assert_non_null(strstr(fault.text, word));
	assert_int_equal(vh_driver_queue_new(opts, NULL, &queue), error);
}

static void expect_good(const struct vh_driver_queue_opts *opts)
{
	struct vh_driver_queue *queue;

	assert_int_equal(vh_driver_queue_new(opts, NULL, &queue), 0);
	assert_int_equal(vh_driver_queue_room(queue), opts->num);
	assert_int_equal(vh_driver_queue_inflight(queue), 0);
	assert_null(vh_driver_queue_fault(queue));
	assert_false(vh_driver_queue_publish(queue));
	vh_driver_queue_free(queue);
}

static void test_driver_life_sizes(void **state)
{
	struct vh_driver_queue_opts opts = good_opts();

	(void)state;
	for (uint32_t num = 1; num <= 2048; num *= 2) {
		opts.num = num;
		expect_good(&opts);
	}
	opts.num = 0;
	expect_refused(&opts, -EINVAL, VH_FAULT_RING_SIZE, "power of two");
	opts.num = 3;
	expect_refused(&opts, -EINVAL, VH_FAULT_RING_SIZE, "3");
	opts.num = 65536;
	expect_refused(&opts, -EINVAL, VH_FAULT_RING_SIZE, "65536");
	opts.features = VH_F_RING_PACKED;
	expect_refused(&opts, -EINVAL, VH_FAULT_RING_SIZE, "32768");
	opts.num = 32769;
	expect_refused(&opts, -EINVAL, VH_FAULT_RING_SIZE, "32769");
	opts.num = 0;
	expect_refused(&opts, -EINVAL, VH_FAULT_RING_SIZE, "0");
	for (opts.num = 1; opts.num < 100; opts.num++)
		expect_good(&opts);
	assert_int_equal(vh_driver_queue_size(0, 0, 0), 0);
	assert_int_equal(vh_driver_queue_size(48, 0, 0), 0);
	assert_int_equal(vh_driver_queue_size(65536, 0, 0), 0);
	assert_int_equal(vh_driver_queue_size(32769, VH_F_RING_PACKED, 0), 0);
	/* 16 and 2 and 8 bytes for each, the latter two with 6 more */
	assert_int_equal(vh_driver_queue_size(32768, 0, 0),
			 26 * 32768 + 2 * 64);
	assert_int_equal(
	    vh_driver_queue_size(32768, VH_F_INDIRECT_DESC, UINT32_MAX),
	    26 * 32768 + 2 * 64 + UINT64_C(16) * 32768 * 32768);
}

static void test_driver_life_ring(void **state)
{
	struct vh_driver_queue_opts opts = good_opts();

	(void)state;
	opts.ring = NULL;
	expect_refused(&opts, -EINVAL, VH_FAULT_RING_ADDR, "64");
	opts.ring = area + 16;
	expect_refused(&opts, -EINVAL, VH_FAULT_RING_ADDR, "64");
	opts.ring = area;
	opts.ring_at = RING_AT + 32;
	expect_refused(&opts, -EINVAL, VH_FAULT_RING_ADDR, "64");
	opts.ring_at = UINT64_MAX - 63;
	expect_refused(&opts, -EINVAL, VH_FAULT_RING_ADDR, "64");
}

static void test_driver_life_opts(void **state)
{
	struct {
		struct vh_driver_queue_opts opts;
		uint64_t more;
	} newer = {.opts = good_opts()};
	struct vh_driver_queue_opts opts = good_opts();

	(void)state;
	newer.opts.size = sizeof(newer);
	expect_good(&newer.opts);
	newer.more = 1;
	expect_refused(&newer.opts, -E2BIG, VH_FAULT_CALLER, "options");
	opts.size = 0;
	expect_refused(&opts, -EINVAL, VH_FAULT_CALLER, "options");
	vh_driver_queue_free(NULL);
}

/* What no queue of this size can take, however empty it is. */
static void check_counts(uint64_t features)
{
	static struct iovec iov[40];
	struct driver_box box;

	driver_box_open(&box, &(struct driver_box_opts){.num = 16,
							.features = features,
							.table_entries = 40});
	assert_int_equal(vh_driver_queue_add(box.queue, NULL, 0, NULL, 0, NULL),
			 -EINVAL);
	assert_int_equal(vh_driver_queue_add(box.queue, iov, 17, NULL, 0, NULL),
			 -EINVAL);
	assert_int_equal(vh_driver_queue_add(box.queue, iov, 8, iov, 9, NULL),
			 -EINVAL);
	/* 16 of them, if one only counts so far */
	assert_int_equal(
	    vh_driver_queue_add(box.queue, iov, UINT32_MAX, iov, 17, NULL),
	    -EINVAL);
	assert_int_equal(vh_driver_queue_add(box.queue, iov, 8, iov, 8, NULL),
			 0);
	assert_int_equal(vh_driver_queue_room(box.queue),
			 features & VH_F_INDIRECT_DESC ? 15 : 0);
	driver_box_close(&box);
}

static void test_driver_life_counts(void **state)
{
	(void)state;
	check_counts(0);
	check_counts(VH_F_INDIRECT_DESC);
	check_counts(VH_F_RING_PACKED);
	check_counts(VH_F_RING_PACKED | VH_F_INDIRECT_DESC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_driver_life_sizes),
	    cmocka_unit_test(test_driver_life_ring),
	    cmocka_unit_test(test_driver_life_opts),
	    cmocka_unit_test(test_driver_life_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
