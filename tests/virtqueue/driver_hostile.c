/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Devices that lie: each lie breaks the queue for its reason, after what was
 * good before it.
 */
#include "driver_box.h"
#include <stdlib.h>

static int tokens[8];

/* Three chains in flight: 0, of two buffers, 1, and 2, which is readable. */
static void open_box(struct driver_box *box, uint32_t num, uint64_t features)
{
	driver_box_open(
	    box, &(struct driver_box_opts){.num = num, .features = features});
	assert_int_equal(box_add(box, 0x1000, 1, 1, 16, &tokens[0]), 0);
	assert_int_equal(box_add(box, 0x2000, 0, 1, 16, &tokens[1]), 0);
	assert_int_equal(box_add(box, 0x3000, 1, 0, 16, &tokens[2]), 0);
	assert_true(vh_driver_queue_publish(box->queue));
}

/* One lie about the first chain. */
static void check_split(uint32_t id, uint32_t length, uint32_t code)
{
	struct driver_box box;

	open_box(&box, 8, 0);
	device_use(&box, id, length);
	expect_broken(&box, code);
	driver_box_close(&box);
}

static void check_packed(uint16_t id, uint32_t length, uint32_t code)
{
	struct driver_box box;

	open_box(&box, 7, VH_F_RING_PACKED);
	device_use_packed(&box, id, length, 1);
	expect_broken(&box, code);
	driver_box_close(&box);
}

static void test_driver_hostile_split_id(void **state)
{
	(void)state;
	check_split(8, 0, VH_FAULT_USED_ID);
	check_split(UINT32_MAX, 0, VH_FAULT_USED_ID);
	/* 16 bits of it would be good */
	check_split(0x10000, 0, VH_FAULT_USED_ID);
	/* in a chain, but not its head */
	check_split(1, 0, VH_FAULT_USED_ID);
	/* never posted */
	check_split(4, 0, VH_FAULT_USED_ID);
	check_split(7, 0, VH_FAULT_USED_ID);
}

static void test_driver_hostile_packed_id(void **state)
{
	(void)state;
	check_packed(7, 0, VH_FAULT_USED_ID);
	check_packed(UINT16_MAX, 0, VH_FAULT_USED_ID);
	check_packed(3, 0, VH_FAULT_USED_ID);
}

static void test_driver_hostile_length(void **state)
{
	(void)state;
	check_split(0, 17, VH_FAULT_USED_LENGTH);
	check_split(0, UINT32_MAX, VH_FAULT_USED_LENGTH);
	/* nothing of it is writable */
	check_split(3, 1, VH_FAULT_USED_LENGTH);
	check_packed(0, 17, VH_FAULT_USED_LENGTH);
	check_packed(0, UINT32_MAX, VH_FAULT_USED_LENGTH);
	check_packed(2, 1, VH_FAULT_USED_LENGTH);
}

static void test_driver_hostile_split_twice(void **state)
{
	struct driver_box box;

	(void)state;
	open_box(&box, 8, 0);
	device_use(&box, 2, 1);
	device_use(&box, 2, 1);
	expect_used(&box, &tokens[1], 1);
	expect_broken(&box, VH_FAULT_USED_ID);
	driver_box_close(&box);
}

static void test_driver_hostile_packed_twice(void **state)
{
	struct driver_box box;

	(void)state;
	open_box(&box, 8, VH_F_RING_PACKED);
	device_use_packed(&box, 1, 1, 1);
	device_use_packed(&box, 1, 1, 1);
	expect_used(&box, &tokens[1], 1);
	expect_broken(&box, VH_FAULT_USED_ID);
	driver_box_close(&box);
}

/* The good ones come first, in one call. */
static void test_driver_hostile_good_first(void **state)
{
	struct vh_driver_used used[4];
	struct driver_box box;

	(void)state;
	open_box(&box, 8, 0);
	device_use(&box, 3, 0);
	device_use(&box, 0, 16);
	device_use(&box, 99, 0);
	assert_int_equal(vh_driver_queue_collect(box.queue, used, 4), 2);
	assert_ptr_equal(used[0].token, &tokens[2]);
	assert_ptr_equal(used[1].token, &tokens[0]);
	assert_int_equal(vh_driver_queue_room(box.queue), 0);
	expect_broken(&box, VH_FAULT_USED_ID);
	driver_box_close(&box);
}

static void check_index(uint16_t index)
{
	struct driver_box box;

	open_box(&box, 8, 0);
	device_element(&box, 0, 0, 0);
	device_element(&box, 1, 2, 0);
	device_element(&box, 2, 3, 0);
	device_element(&box, 3, 4, 0);
	device_index(&box, index);
	assert_true(vh_driver_queue_enable_calls(box.queue));
	expect_broken(&box, VH_FAULT_USED_INDEX);
	driver_box_close(&box);
}

static void test_driver_hostile_index(void **state)
{
	(void)state;
	check_index(4);
	check_index(8);
	check_index(0x8000);
	check_index(UINT16_MAX);
}

/* An index that goes back over what it has shown. */
static void test_driver_hostile_index_backwards(void **state)
{
	struct vh_driver_used used[4];
	struct driver_box box;

	(void)state;
	open_box(&box, 8, 0);
	device_element(&box, 0, 0, 0);
	device_element(&box, 1, 2, 0);
	device_index(&box, 2);
	expect_used(&box, &tokens[0], 0);
	device_index(&box, 1);
	/* It has been seen already: given, and then nothing more. */
	assert_int_equal(vh_driver_queue_collect(box.queue, used, 4), 1);
	assert_ptr_equal(used[0].token, &tokens[1]);
	assert_int_equal(vh_driver_queue_room(box.queue), 0);
	expect_broken(&box, VH_FAULT_USED_INDEX);
	driver_box_close(&box);
}

/* What was added and not published isn't the device's. */
static void test_driver_hostile_split_unpublished(void **state)
{
	struct driver_box box;

	(void)state;
	open_box(&box, 8, 0);
	assert_int_equal(box_add(&box, 0x4000, 0, 1, 16, &tokens[3]), 0);
	device_use(&box, 4, 0);
	expect_broken(&box, VH_FAULT_USED_ID);
	driver_box_close(&box);

	open_box(&box, 8, 0);
	assert_int_equal(box_add(&box, 0x4000, 0, 1, 16, &tokens[3]), 0);
	device_element(&box, 3, 4, 0);
	device_index(&box, 4);
	expect_broken(&box, VH_FAULT_USED_INDEX);
	driver_box_close(&box);
}

static void test_driver_hostile_packed_unpublished(void **state)
{
	struct driver_box box;

	(void)state;
	open_box(&box, 8, VH_F_RING_PACKED);
	assert_int_equal(box_add(&box, 0x4000, 0, 1, 16, &tokens[3]), 0);
	device_use_packed(&box, 3, 0, 1);
	expect_broken(&box, VH_FAULT_USED_ID);
	driver_box_close(&box);
}

/* With nothing in flight nobody looks at what the device writes. */
static void test_driver_hostile_packed_idle(void **state)
{
	struct device_chain chain;
	struct driver_box box;

	(void)state;
	driver_box_open(&box, &(struct driver_box_opts){
				  .num = 3,
				  .features = VH_F_RING_PACKED,
			      });
	for (uint16_t i = 0; i < 3; i++)
		put16(box.descriptors + 16 * i, 14, F_AVAIL | F_USED);
	expect_nothing(&box);
	assert_false(vh_driver_queue_enable_calls(box.queue));
	/* And it doesn't last. */
	box_post(&box, 0x1000, 3, 0, 1, &tokens[0]);
	expect_nothing(&box);
	assert_true(device_take(&box, &chain));
	assert_int_equal(chain.count, 3);
	device_give(&box, &chain, 0, 1, 3);
	expect_used(&box, &tokens[0], 0);
	driver_box_close(&box);
}

/*
 * A device that writes whatever it likes, wherever it can: in the end the
 * queue is broken or all went well, and nothing came back twice.
 */
static void scribble(uint64_t features, unsigned int seed)
{
	struct vh_driver_used used[4];
	struct driver_box box;
	char out[1000] = {0};
	size_t size = vh_driver_queue_size(8, features, 4);
	unsigned int sent = 0;

	srand(seed);
	driver_box_open(&box, &(struct driver_box_opts){
				  .num = 8,
				  .features = features,
				  .table_entries = 4,
			      });
	for (unsigned int step = 0; step < 300; step++) {
		size_t at = (size_t)rand() % size;
		int done;

		if (sent < sizeof(out) &&
		    box_add(&box, 0, 1, (unsigned int)rand() % 4, 16,
			    &out[sent]) == 0)
			out[sent++] = 1;
		if (rand() % 2)
			(void)!vh_driver_queue_publish(box.queue);
		/* Half of the time in what a device writes. */
		if (rand() % 2)
			at = rand() % 2 ? (size_t)(rand() % 4) * 16 + 12 + 2
					: (size_t)(box.used - box.ring) +
					      (size_t)(rand() % 16);
		box.ring[at] = (char)(rand() % 4 ? rand() % 8 : rand());
		done = vh_driver_queue_collect(box.queue, used, 4);
		for (int i = 0; i < done; i++) {
			char *token = used[i].token;

			assert_true(token >= out && token < out + sent);
			assert_int_equal(*token, 1);
			*token = 2;
			assert_true(used[i].written <= 48);
		}
		assert_int_equal(done < 0, done < 0 && vh_driver_queue_fault(
							   box.queue) != NULL);
	}
	driver_box_close(&box);
}

static void test_driver_hostile_scribbles(void **state)
{
	const uint64_t features[] = {
	    0,
	    VH_F_IN_ORDER,
	    VH_F_RING_PACKED,
	    VH_F_RING_PACKED | VH_F_IN_ORDER,
	    VH_F_INDIRECT_DESC | VH_F_EVENT_IDX,
	    VH_F_RING_PACKED | VH_F_INDIRECT_DESC | VH_F_EVENT_IDX,
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(features) / sizeof(*features); i++)
		for (unsigned int seed = 0; seed < 300; seed++)
			scribble(features[i], seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_driver_hostile_split_id),
	    cmocka_unit_test(test_driver_hostile_packed_id),
	    cmocka_unit_test(test_driver_hostile_length),
	    cmocka_unit_test(test_driver_hostile_split_twice),
	    cmocka_unit_test(test_driver_hostile_packed_twice),
	    cmocka_unit_test(test_driver_hostile_good_first),
	    cmocka_unit_test(test_driver_hostile_index),
	    cmocka_unit_test(test_driver_hostile_index_backwards),
	    cmocka_unit_test(test_driver_hostile_split_unpublished),
	    cmocka_unit_test(test_driver_hostile_packed_unpublished),
	    cmocka_unit_test(test_driver_hostile_packed_idle),
	    cmocka_unit_test(test_driver_hostile_scribbles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
