/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * IN_ORDER: the device's word for the last chain of a batch stands for all of
 * it, and those before the last count as written in full.
 */
#include "driver_box.h"
#include <errno.h>

static int tokens[8];

/*
 * Eight chains of 1, 2, 1, 2 ... writable buffers of 8 bytes, each by the
 * device's eye in chains[]. They take 12 descriptors.
 */
static void open_box(struct driver_box *box, uint64_t format, uint16_t base,
		     struct device_chain chains[8])
{
	driver_box_open(box, &(struct driver_box_opts){
				 .num = 16,
				 .features = VH_F_IN_ORDER | format,
				 .base = base,
			     });
	for (unsigned int i = 0; i < 8; i++)
		assert_int_equal(
		    box_add(box, 0x1000 * i, 0, 1 + i % 2, 8, &tokens[i]), 0);
	assert_true(vh_driver_queue_publish(box->queue));
	for (unsigned int i = 0; i < 8; i++)
		assert_true(device_take(box, &chains[i]));
}

/* One by one: what each wrote is told. */
static void check_singles(uint64_t format)
{
	struct device_chain chains[8];
	struct driver_box box;

	open_box(&box, format, 0, chains);
	for (uint32_t i = 0; i < 8; i++) {
		expect_nothing(&box);
		device_give(&box, &chains[i], i, 1, chains[i].descriptors);
		expect_used(&box, &tokens[i], i);
	}
	assert_int_equal(vh_driver_queue_room(box.queue), 16);
	driver_box_close(&box);
}

static void check_batches(uint64_t format, uint16_t base)
{
	struct vh_driver_used used[8] = {0};
	struct device_chain chains[8];
	struct driver_box box;

	open_box(&box, format, base, chains);
	/* 0 to 4, then 5 alone, then 6 and 7 */
	device_give(&box, &chains[4], 3, 5, 7);
	device_give(&box, &chains[5], 11, 1, 2);
	assert_int_equal(vh_driver_queue_collect(box.queue, used, 8), 6);
	for (unsigned int i = 0; i < 6; i++)
		assert_ptr_equal(used[i].token, &tokens[i]);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(used[i].written, 8 + 8 * (i % 2));
	assert_int_equal(used[4].written, 3);
	assert_int_equal(used[5].written, 11);
	assert_int_equal(vh_driver_queue_room(box.queue), 13);
	expect_nothing(&box);
	device_give(&box, &chains[7], 0, 2, 3);
	expect_used(&box, &tokens[6], 8);
	expect_used(&box, &tokens[7], 0);
	expect_nothing(&box);
	assert_int_equal(vh_driver_queue_inflight(box.queue), 0);
	driver_box_close(&box);
}

/* A batch that doesn't fit into one call goes on in the next. */
static void check_parts(uint64_t format)
{
	struct vh_driver_used used[8] = {0};
	struct device_chain chains[8];
	struct driver_box box;

	open_box(&box, format, 0, chains);
	device_give(&box, &chains[6], 5, 7, 10);
	assert_int_equal(vh_driver_queue_collect(box.queue, used, 3), 3);
	assert_int_equal(used[2].written, 8);
	assert_true(vh_driver_queue_enable_calls(box.queue));
	/* In the middle of a batch other chains may come. */
	box_post(&box, 0x9000, 1, 0, 8, NULL);
	assert_int_equal(vh_driver_queue_collect(box.queue, used, 3), 3);
	assert_ptr_equal(used[0].token, &tokens[3]);
	assert_true(vh_driver_queue_enable_calls(box.queue));
	assert_int_equal(vh_driver_queue_collect(box.queue, used, 3), 1);
	assert_ptr_equal(used[0].token, &tokens[6]);
	assert_int_equal(used[0].written, 5);
	assert_false(vh_driver_queue_enable_calls(box.queue));
	expect_nothing(&box);
	driver_box_close(&box);
}

/* All of a full ring at once, over its end, again and again. */
static void check_laps(uint64_t format, uint32_t num)
{
	struct vh_driver_used used[8] = {0};
	struct device_chain chain;
	struct driver_box box;

	driver_box_open(&box, &(struct driver_box_opts){
				  .num = num,
				  .features = VH_F_IN_ORDER | format,
				  .base = 0xfffb,
			      });
	box_post(&box, 0, 1, 0, 1, NULL);
	assert_true(device_take(&box, &chain));
	device_give(&box, &chain, 0, 1, 1);
	expect_used(&box, NULL, 0);
	for (unsigned int lap = 0; lap < 7; lap++) {
		for (unsigned int i = 0; i < num; i++) {
			box_post(&box, i, 0, 1, 1, &tokens[i]);
			assert_true(device_take(&box, &chain));
		}
		assert_int_equal(vh_driver_queue_room(box.queue), 0);
		device_give(&box, &chain, 0, num, num);
		assert_int_equal(vh_driver_queue_collect(box.queue, used, 8),
				 num);
		for (unsigned int i = 0; i < num; i++) {
			assert_ptr_equal(used[i].token, &tokens[i]);
			assert_int_equal(used[i].written, i + 1 < num);
		}
		expect_nothing(&box);
	}
	driver_box_close(&box);
}

/* The device's word can't be for chains that weren't shown to it. */
static void check_unpublished(uint64_t format)
{
	struct device_chain chains[8];
	struct driver_box box;

	open_box(&box, format, 0, chains);
	assert_int_equal(box_add(&box, 0x9000, 0, 1, 8, NULL), 0);
	/* Place 12 of the descriptors is where it lies. */
	chains[0].id = 12;
	device_give(&box, &chains[0], 0, 8, 12);
	expect_broken(&box, VH_FAULT_USED_ID);
	driver_box_close(&box);
}

/* Nor for one that was given back. */
static void check_twice(uint64_t format)
{
	struct device_chain chains[8];
	struct driver_box box;

	open_box(&box, format, 0, chains);
	device_give(&box, &chains[1], 0, 2, 3);
	expect_used(&box, &tokens[0], 8);
	expect_used(&box, &tokens[1], 0);
	device_give(&box, &chains[0], 0, 1, 1);
	expect_broken(&box, VH_FAULT_USED_ID);
	driver_box_close(&box);
}

static void test_driver_order_singles(void **state)
{
	(void)state;
	check_singles(0);
	check_singles(VH_F_RING_PACKED);
}

static void test_driver_order_batches(void **state)
{
	(void)state;
	check_batches(0, 0);
	check_batches(0, 0xfffd);
	check_batches(VH_F_RING_PACKED, 0);
}

static void test_driver_order_batch_in_parts(void **state)
{
	(void)state;
	check_parts(0);
	check_parts(VH_F_RING_PACKED);
}

static void test_driver_order_laps(void **state)
{
	(void)state;
	check_laps(0, 4);
	check_laps(0, 1);
	check_laps(VH_F_RING_PACKED, 1);
	check_laps(VH_F_RING_PACKED, 3);
	check_laps(VH_F_RING_PACKED, 8);
}

static void test_driver_order_refuses_unpublished(void **state)
{
	(void)state;
	check_unpublished(0);
	check_unpublished(VH_F_RING_PACKED);
}

static void test_driver_order_refuses_twice(void **state)
{
	(void)state;
	check_twice(0);
	check_twice(VH_F_RING_PACKED);
}

/* A split device's word goes as far as its used index, and no further. */
static void test_driver_order_refuses_beyond_index(void **state)
{
	struct device_chain chains[8];
	struct driver_box box;

	(void)state;
	open_box(&box, 0, 0, chains);
	device_element(&box, 0, chains[0].id, 1);
	device_element(&box, 1, chains[5].id, 1);
	device_index(&box, 5);
	/* The good one first. */
	expect_used(&box, &tokens[0], 1);
	expect_broken(&box, VH_FAULT_USED_ID);
	driver_box_close(&box);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_driver_order_singles),
	    cmocka_unit_test(test_driver_order_batches),
	    cmocka_unit_test(test_driver_order_batch_in_parts),
	    cmocka_unit_test(test_driver_order_laps),
	    cmocka_unit_test(test_driver_order_refuses_unpublished),
	    cmocka_unit_test(test_driver_order_refuses_twice),
	    cmocka_unit_test(test_driver_order_refuses_beyond_index),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
