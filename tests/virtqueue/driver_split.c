/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* What the driver's side writes into a split ring, and how it takes it back. */
#include "driver_box.h"
#include <errno.h>

static int tokens[8];

static void open_box(struct driver_box *box, uint32_t num, uint64_t features,
		     uint16_t base)
{
	driver_box_open(box, &(struct driver_box_opts){.num = num,
						       .features = features,
						       .base = base});
}

static void test_driver_split_layout(void **state)
{
	struct driver_box box;

	(void)state;
	open_box(&box, 16, 0, 0);
	/* 256 bytes, 6 + 2 * 16 and 6 + 8 * 16, each on lines of its own. */
	assert_ptr_equal(box.descriptors, box.ring);
	assert_ptr_equal(box.available, box.ring + 256);
	assert_ptr_equal(box.used, box.ring + 256 + 64);
	assert_int_equal(vh_driver_queue_size(16, 0, 8), 256 + 64 + 192);
	assert_int_equal(vh_driver_queue_size(16, VH_F_INDIRECT_DESC, 8),
			 256 + 64 + 192 + 16 * 8 * 16);
	/* A chain has no more buffers than the queue has descriptors. */
	assert_int_equal(vh_driver_queue_size(16, VH_F_INDIRECT_DESC, 1000),
			 256 + 64 + 192 + 16 * 16 * 16);
	/* The ring is a fresh one. */
	for (size_t i = 0; i < 256 + 64 + 192; i++)
		assert_int_equal(box.ring[i], 0);
	driver_box_close(&box);
}

static void test_driver_split_single(void **state)
{
	struct driver_box box;

	(void)state;
	open_box(&box, 4, 0, 0);
	assert_int_equal(box_add(&box, 0x1000, 1, 0, 0x200, &tokens[0]), 0);
	assert_int_equal(vh_driver_queue_inflight(box.queue), 1);
	assert_int_equal(vh_driver_queue_room(box.queue), 3);
	expect_descriptor(box.descriptors, 0x1000, 0x200, 0, 0);
	assert_int_equal(get16(box.available, 4), 0);
	/* Nothing is shown before it is published. */
	assert_int_equal(get16(box.available, 2), 0);
	assert_true(vh_driver_queue_publish(box.queue));
	assert_int_equal(get16(box.available, 2), 1);
	/* And only once. */
	assert_false(vh_driver_queue_publish(box.queue));
	expect_nothing(&box);
	device_use(&box, 0, 0);
	expect_used(&box, &tokens[0], 0);
	expect_nothing(&box);
	assert_int_equal(vh_driver_queue_inflight(box.queue), 0);
	assert_int_equal(vh_driver_queue_room(box.queue), 4);
	driver_box_close(&box);
}

static void test_driver_split_chain(void **state)
{
	struct driver_box box;

	(void)state;
	open_box(&box, 4, 0, 0);
	box_post(&box, 0x1000, 1, 2, 0x100, &tokens[0]);
	expect_descriptor(box.descriptors, 0x1000, 0x100, F_NEXT, 1);
	expect_descriptor(box.descriptors + 16, 0x1100, 0x100, F_NEXT | F_WRITE,
			  2);
	expect_descriptor(box.descriptors + 32, 0x1200, 0x100, F_WRITE, 0);
	assert_int_equal(vh_driver_queue_room(box.queue), 1);
	assert_int_equal(box_add(&box, 0, 2, 0, 1, NULL), -ENOSPC);
	box_post(&box, 0x9000, 0, 1, 7, &tokens[1]);
	expect_descriptor(box.descriptors + 48, 0x9000, 7, F_WRITE, 0);
	assert_int_equal(get16(box.available, 6), 3);
	assert_int_equal(get16(box.available, 2), 2);
	assert_int_equal(box_add(&box, 0, 1, 0, 1, NULL), -ENOSPC);

	/* In another order than they were added; all of the room is written. */
	device_use(&box, 3, 7);
	expect_used(&box, &tokens[1], 7);
	assert_int_equal(vh_driver_queue_room(box.queue), 1);
	device_use(&box, 0, 0x200);
	expect_used(&box, &tokens[0], 0x200);
	assert_int_equal(vh_driver_queue_room(box.queue), 4);

	/* What came back last is taken first: 0, 1, 2, and then 3. */
	box_post(&box, 0x2000, 4, 0, 1, &tokens[2]);
	assert_int_equal(get16(box.available, 8), 0);
	expect_descriptor(box.descriptors + 32, 0x2002, 1, F_NEXT, 3);
	expect_descriptor(box.descriptors + 48, 0x2003, 1, 0, 0);
	driver_box_close(&box);
}

static void test_driver_split_table(void **state)
{
	struct driver_box box;
	char *tables;

	(void)state;
	driver_box_open(&box, &(struct driver_box_opts){
				  .num = 4,
				  .features = VH_F_INDIRECT_DESC,
				  .table_entries = 3,
			      });
	/* 64 bytes of descriptors, 14 and 38 of rings */
	tables = box.ring + 192;
	/* One buffer needs no table. */
	box_post(&box, 0x1000, 1, 0, 16, &tokens[0]);
	expect_descriptor(box.descriptors, 0x1000, 16, 0, 0);
	box_post(&box, 0x2000, 2, 1, 16, &tokens[1]);
	/* The table of descriptor 1 is the second: 3 * 16 bytes on. */
	expect_descriptor(box.descriptors + 16, RING_AT + 192 + 48, 48,
			  F_INDIRECT, 0);
	expect_descriptor(tables + 48, 0x2000, 16, F_NEXT, 1);
	expect_descriptor(tables + 64, 0x2010, 16, F_NEXT, 2);
	expect_descriptor(tables + 80, 0x2020, 16, F_WRITE, 0);
	assert_int_equal(vh_driver_queue_room(box.queue), 2);
	/* More than fit into a table take descriptors of the ring. */
	assert_int_equal(box_add(&box, 0, 4, 0, 1, NULL), -ENOSPC);
	box_post(&box, 0x3000, 0, 2, 8, &tokens[2]);
	expect_descriptor(box.descriptors + 32, RING_AT + 192 + 96, 32,
			  F_INDIRECT, 0);
	device_use(&box, 0, 0);
	expect_used(&box, &tokens[0], 0);
	device_use(&box, 1, 16);
	expect_used(&box, &tokens[1], 16);
	device_use(&box, 2, 16);
	expect_used(&box, &tokens[2], 16);
	box_post(&box, 0x4000, 4, 0, 1, &tokens[3]);
	assert_int_equal(vh_driver_queue_room(box.queue), 0);
	assert_int_equal(get16(box.descriptors, 16 * 2 + 12), F_NEXT);
	driver_box_close(&box);
}

static void test_driver_split_index_wraps(void **state)
{
	struct driver_box box;

	(void)state;
	open_box(&box, 2, 0, 0xfffe);
	assert_int_equal(get16(box.available, 2), 0xfffe);
	assert_int_equal(get16(box.used, 2), 0xfffe);
	assert_int_equal(vh_driver_queue_base(box.queue), 0xfffe);
	for (unsigned int i = 0; i < 5; i++) {
		struct device_chain chain;

		box_post(&box, 0x1000 + i, 0, 1, 4, &tokens[i]);
		assert_int_equal(get16(box.available, 2),
				 (uint16_t)(0xffff + i));
		assert_true(device_take(&box, &chain));
		assert_int_equal(chain.buffers[0].address, 0x1000 + i);
		device_give(&box, &chain, i, 1, 1);
		expect_used(&box, &tokens[i], i);
		assert_int_equal(vh_driver_queue_base(box.queue),
				 (uint16_t)(0xffff + i));
	}
	driver_box_close(&box);
}

/* What was added and not published is no business of a device that comes. */
static void test_driver_split_base(void **state)
{
	struct driver_box box;
	struct device_chain chain;

	(void)state;
	open_box(&box, 8, 0, 0);
	for (unsigned int i = 0; i < 3; i++) {
		box_post(&box, 0x1000, 1, 0, 1, NULL);
		assert_true(device_take(&box, &chain));
		device_give(&box, &chain, 0, 1, 1);
		expect_used(&box, NULL, 0);
	}
	assert_int_equal(vh_driver_queue_base(box.queue), 3);
	assert_int_equal(box_add(&box, 0x1000, 1, 0, 1, NULL), 0);
	assert_int_equal(vh_driver_queue_base(box.queue), 3);
	driver_box_close(&box);
}

/* IN_ORDER: descriptors are taken in ring order, next is the one behind. */
static void test_driver_split_ring_order(void **state)
{
	struct driver_box box;

	(void)state;
	open_box(&box, 4, VH_F_IN_ORDER, 0);
	box_post(&box, 0x1000, 3, 0, 1, &tokens[0]);
	device_use(&box, 0, 0);
	expect_used(&box, &tokens[0], 0);
	box_post(&box, 0x2000, 1, 2, 1, &tokens[1]);
	assert_int_equal(get16(box.available, 6), 3);
	expect_descriptor(box.descriptors + 48, 0x2000, 1, F_NEXT, 0);
	expect_descriptor(box.descriptors, 0x2001, 1, F_NEXT | F_WRITE, 1);
	expect_descriptor(box.descriptors + 16, 0x2002, 1, F_WRITE, 0);
	/* One descriptor is left. */
	assert_int_equal(box_add(&box, 0x3000, 2, 0, 1, &tokens[2]), -ENOSPC);
	box_post(&box, 0x3000, 1, 0, 1, &tokens[2]);
	expect_descriptor(box.descriptors + 32, 0x3000, 1, 0, 0);
	driver_box_close(&box);
}

/* Many at once, of which one call takes at most so many. */
static void test_driver_split_collect_in_parts(void **state)
{
	struct vh_driver_used used[8] = {0};
	struct driver_box box;

	(void)state;
	open_box(&box, 8, 0, 0);
	for (unsigned int i = 0; i < 8; i++)
		assert_int_equal(box_add(&box, i, 0, 1, 9, &tokens[i]), 0);
	assert_true(vh_driver_queue_publish(box.queue));
	for (uint16_t i = 0; i < 7; i++)
		device_element(&box, i, 7u - i, i);
	device_index(&box, 7);
	assert_int_equal(vh_driver_queue_collect(box.queue, used, 0), 0);
	assert_int_equal(vh_driver_queue_collect(box.queue, used, 3), 3);
	assert_ptr_equal(used[2].token, &tokens[5]);
	assert_int_equal(used[2].written, 2);
	assert_int_equal(vh_driver_queue_inflight(box.queue), 5);
	assert_int_equal(vh_driver_queue_collect(box.queue, used, 8), 4);
	assert_ptr_equal(used[3].token, &tokens[1]);
	assert_int_equal(vh_driver_queue_inflight(box.queue), 1);
	driver_box_close(&box);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_driver_split_layout),
	    cmocka_unit_test(test_driver_split_single),
	    cmocka_unit_test(test_driver_split_chain),
	    cmocka_unit_test(test_driver_split_table),
	    cmocka_unit_test(test_driver_split_index_wraps),
	    cmocka_unit_test(test_driver_split_base),
	    cmocka_unit_test(test_driver_split_ring_order),
	    cmocka_unit_test(test_driver_split_collect_in_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
