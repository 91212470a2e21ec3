/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What the driver's side writes into a packed ring, and how it takes it back.
 * A queue's size needn't be a power of two.
 */
#include "driver_box.h"
#include <errno.h>
#include <string.h>

static int tokens[8];

static void open_box(struct driver_box *box, uint32_t num, uint64_t features)
{
	driver_box_open(box, &(struct driver_box_opts){
				 .num = num,
				 .features = features | VH_F_RING_PACKED,
			     });
}

static void test_driver_packed_layout(void **state)
{
	const uint64_t packed = VH_F_RING_PACKED;
	struct driver_box box;

	(void)state;
	open_box(&box, 5, 0);
	assert_ptr_equal(box.descriptors, box.ring);
	assert_ptr_equal(box.available, box.ring + 128);
	assert_ptr_equal(box.used, box.ring + 192);
	assert_int_equal(vh_driver_queue_size(5, packed, 9), 256);
	assert_int_equal(
	    vh_driver_queue_size(5, packed | VH_F_INDIRECT_DESC, 4),
	    256 + 5 * 4 * 16);
	for (size_t i = 0; i < 256; i++)
		assert_int_equal(box.ring[i], 0);
	assert_int_equal(vh_driver_queue_base(box.queue), 0x80008000);
	driver_box_close(&box);
}

static void test_driver_packed_single(void **state)
{
	struct driver_box box;

	(void)state;
	open_box(&box, 3, 0);
	assert_int_equal(box_add(&box, 0x1000, 1, 0, 0x200, &tokens[0]), 0);
	/* Held back: the second word of the first descriptor. */
	assert_int_equal(get16(box.descriptors, 14), 0);
	assert_true(vh_driver_queue_publish(box.queue));
	expect_packed(box.descriptors, 0x1000, 0x200, 0, F_AVAIL);
	assert_false(vh_driver_queue_publish(box.queue));
	expect_nothing(&box);
	/* Without the write flag the length is reserved. */
	put32(box.descriptors, 8, 0xffffffff);
	put16(box.descriptors, 14, F_AVAIL | F_USED);
	expect_used(&box, &tokens[0], 0);
	expect_nothing(&box);
	assert_int_equal(vh_driver_queue_base(box.queue), 0x80018001);
	driver_box_close(&box);
}

/* The device sees a batch when its first descriptor gets its flags. */
static void test_driver_packed_batch(void **state)
{
	struct driver_box box;
	struct device_chain chain;

	(void)state;
	open_box(&box, 8, 0);
	assert_int_equal(box_add(&box, 0x1000, 1, 1, 8, &tokens[0]), 0);
	assert_int_equal(box_add(&box, 0x2000, 0, 1, 8, &tokens[1]), 0);
	assert_int_equal(box_add(&box, 0x3000, 2, 0, 8, &tokens[2]), 0);
	assert_int_equal(vh_driver_queue_inflight(box.queue), 3);
	assert_int_equal(vh_driver_queue_room(box.queue), 3);
	assert_false(device_take(&box, &chain));
	assert_int_equal(get64(box.descriptors, 8), 0);
	expect_packed(box.descriptors + 16, 0x1008, 8, 0, F_AVAIL | F_WRITE);
	expect_packed(box.descriptors + 32, 0x2000, 8, 1, F_AVAIL | F_WRITE);
	expect_packed(box.descriptors + 48, 0x3000, 8, 2, F_AVAIL | F_NEXT);
	expect_packed(box.descriptors + 64, 0x3008, 8, 2, F_AVAIL);
	assert_true(vh_driver_queue_publish(box.queue));
	expect_packed(box.descriptors, 0x1000, 8, 0, F_AVAIL | F_NEXT);
	for (uint16_t i = 0; i < 3; i++) {
		assert_true(device_take(&box, &chain));
		assert_int_equal(chain.id, i);
	}
	assert_false(device_take(&box, &chain));

	/* Back in another order; each goes on by its own descriptors. */
	device_use_packed(&box, 2, 0, 2);
	expect_used(&box, &tokens[2], 0);
	device_use_packed(&box, 0, 8, 2);
	device_use_packed(&box, 1, 5, 1);
	expect_used(&box, &tokens[0], 8);
	expect_used(&box, &tokens[1], 5);
	expect_nothing(&box);
	assert_int_equal(vh_driver_queue_room(box.queue), 8);
	/* The id that came back last is taken first. */
	box_post(&box, 0x4000, 1, 0, 8, &tokens[3]);
	expect_packed(box.descriptors + 80, 0x4000, 8, 1, F_AVAIL);
	driver_box_close(&box);
}

/* A chain goes over the end: the flags of its rest are of the next lap. */
static void test_driver_packed_wraps(void **state)
{
	struct driver_box box;

	(void)state;
	open_box(&box, 3, 0);
	box_post(&box, 0x1000, 2, 0, 8, &tokens[0]);
	device_use_packed(&box, 0, 0, 2);
	expect_used(&box, &tokens[0], 0);
	box_post(&box, 0x2000, 1, 2, 8, &tokens[1]);
	expect_packed(box.descriptors + 32, 0x2000, 8, 0, F_AVAIL | F_NEXT);
	expect_packed(box.descriptors, 0x2008, 8, 0, F_USED | F_NEXT | F_WRITE);
	expect_packed(box.descriptors + 16, 0x2010, 8, 0, F_USED | F_WRITE);
	assert_int_equal(box_add(&box, 0, 1, 0, 1, NULL), -ENOSPC);
	device_use_packed(&box, 0, 16, 3);
	assert_int_equal(get16(box.descriptors, 32 + 14),
			 F_AVAIL | F_USED | F_WRITE);
	expect_used(&box, &tokens[1], 16);
	/* At place 2 of the second lap, whose counter is 0. */
	assert_int_equal(vh_driver_queue_base(box.queue), 0x00020002);
	box_post(&box, 0x3000, 1, 0, 8, &tokens[2]);
	expect_packed(box.descriptors + 32, 0x3000, 8, 0, F_USED);
	/* The used flags of the lap before aren't those of this one. */
	put16(box.descriptors, 32 + 14, F_AVAIL | F_USED);
	expect_nothing(&box);
	device_use_packed(&box, 0, 0, 1);
	assert_int_equal(get16(box.descriptors, 32 + 14), 0);
	expect_used(&box, &tokens[2], 0);
	assert_int_equal(vh_driver_queue_base(box.queue), 0x80008000);
	driver_box_close(&box);
}

static void test_driver_packed_one(void **state)
{
	struct driver_box box;

	(void)state;
	open_box(&box, 1, 0);
	for (unsigned int i = 0; i < 6; i++) {
		assert_int_equal(box_add(&box, i, 0, 1, 8, &tokens[i]), 0);
		assert_int_equal(box_add(&box, i, 0, 1, 8, NULL), -ENOSPC);
		assert_true(vh_driver_queue_publish(box.queue));
		expect_packed(box.descriptors, i, 8, 0,
			      F_WRITE | (i % 2 ? F_USED : F_AVAIL));
		expect_nothing(&box);
		device_use_packed(&box, 0, 3, 1);
		expect_used(&box, &tokens[i], 3);
	}
	assert_int_equal(box_add(&box, 0, 2, 0, 1, NULL), -EINVAL);
	driver_box_close(&box);
}

static void test_driver_packed_table(void **state)
{
	struct driver_box box;
	char *tables;

	(void)state;
	driver_box_open(&box,
			&(struct driver_box_opts){
			    .num = 4,
			    .features = VH_F_RING_PACKED | VH_F_INDIRECT_DESC,
			    .table_entries = 3,
			});
	tables = box.ring + 192;
	box_post(&box, 0x1000, 1, 0, 16, &tokens[0]);
	expect_packed(box.descriptors, 0x1000, 16, 0, F_AVAIL);
	/* The table of id 1; in a table only the write flag counts. */
	box_post(&box, 0x2000, 1, 2, 16, &tokens[1]);
	expect_packed(box.descriptors + 16, RING_AT + 192 + 48, 48, 1,
		      F_AVAIL | F_INDIRECT);
	expect_packed(tables + 48, 0x2000, 16, 0, 0);
	expect_packed(tables + 64, 0x2010, 16, 0, F_WRITE);
	expect_packed(tables + 80, 0x2020, 16, 0, F_WRITE);
	assert_int_equal(vh_driver_queue_room(box.queue), 2);
	device_use_packed(&box, 1, 32, 1);
	expect_used(&box, &tokens[1], 32);
	device_use_packed(&box, 0, 0, 1);
	expect_used(&box, &tokens[0], 0);
	/* Too many for a table: id 0, four descriptors, over the end. */
	box_post(&box, 0x3000, 4, 0, 1, &tokens[2]);
	expect_packed(box.descriptors + 32, 0x3000, 1, 0, F_AVAIL | F_NEXT);
	expect_packed(box.descriptors + 16, 0x3003, 1, 0, F_USED);
	driver_box_close(&box);
}

/* IN_ORDER: the id is the place of the first descriptor. */
static void test_driver_packed_ring_order(void **state)
{
	struct driver_box box;

	(void)state;
	open_box(&box, 5, VH_F_IN_ORDER);
	box_post(&box, 0x1000, 2, 0, 8, &tokens[0]);
	box_post(&box, 0x2000, 2, 0, 8, &tokens[1]);
	expect_packed(box.descriptors + 32, 0x2000, 8, 2, F_AVAIL | F_NEXT);
	expect_packed(box.descriptors + 48, 0x2008, 8, 2, F_AVAIL);
	device_use_packed(&box, 0, 0, 2);
	device_use_packed(&box, 2, 0, 2);
	expect_used(&box, &tokens[0], 0);
	expect_used(&box, &tokens[1], 0);
	box_post(&box, 0x3000, 2, 0, 8, &tokens[2]);
	expect_packed(box.descriptors + 64, 0x3000, 8, 4, F_AVAIL | F_NEXT);
	expect_packed(box.descriptors, 0x3008, 8, 4, F_USED);
	driver_box_close(&box);
}

/*
 * A chain that is refused at its last buffer leaves no descriptor that a
 * device would take for an available one when it gets there.
 */
static void refuse_long_chain(struct driver_box *box)
{
	struct iovec iov[4];

	for (unsigned int i = 0; i < 4; i++)
		iov[i] = (struct iovec){(void *)0x1000, 8};
	iov[3].iov_len = (size_t)UINT32_MAX + 1;
	assert_int_equal(vh_driver_queue_add(box->queue, iov, 4, NULL, 0, NULL),
			 -EINVAL);
}

static void test_driver_packed_takes_back(void **state)
{
	struct driver_box box;
	struct device_chain chain;

	(void)state;
	open_box(&box, 5, 0);
	refuse_long_chain(&box);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(get16(box.descriptors, 16 * i + 14), 0);
	for (unsigned int lap = 0; lap < 13; lap++) {
		/* First and second chain of those to be published. */
		refuse_long_chain(&box);
		assert_int_equal(box_add(&box, 1, 0, 1, 8, &tokens[0]), 0);
		refuse_long_chain(&box);
		assert_true(vh_driver_queue_publish(box.queue));
		assert_true(device_take(&box, &chain));
		assert_int_equal(chain.count, 1);
		assert_int_equal(chain.buffers[0].address, 1);
		assert_false(device_take(&box, &chain));
		device_give(&box, &chain, 0, 1, 1);
		expect_used(&box, &tokens[0], 0);
		assert_int_equal(vh_driver_queue_room(box.queue), 5);
	}
	driver_box_close(&box);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_driver_packed_layout),
	    cmocka_unit_test(test_driver_packed_single),
	    cmocka_unit_test(test_driver_packed_batch),
	    cmocka_unit_test(test_driver_packed_wraps),
	    cmocka_unit_test(test_driver_packed_one),
	    cmocka_unit_test(test_driver_packed_table),
	    cmocka_unit_test(test_driver_packed_ring_order),
	    cmocka_unit_test(test_driver_packed_takes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
