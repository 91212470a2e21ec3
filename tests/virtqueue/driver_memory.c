/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Where buffers lie: user addresses into guest addresses, and their limits. */
#include "driver_box.h"
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

static int tokens[8];

/*
 * Three regions. B begins in user addresses where A ends, but not in guest
 * addresses; C ends with the last user address but one page.
 */
#define SIZE   UINT64_C(0x10000)
#define USER_A UINT64_C(0x700000000000)
#define USER_B (USER_A + SIZE)
#define USER_C (UINT64_MAX - 0xfff - SIZE + 1)

static const struct {
	vh_gpa guest;
	uint64_t user;
} regions[] = {
    {0x80000, USER_A},
    {0x00000, USER_B},
    {0x40000, USER_C},
};

static struct vh_memory *make_memory(void)
{
	struct vh_memory *memory, *more;
	int fd = memfd_create("regions", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, SIZE), 0);
	assert_int_equal(vh_memory_new(&memory), 0);
	for (unsigned int i = 0; i < 3; i++) {
		struct vh_region region = {
		    .guest = regions[i].guest,
		    .size = SIZE,
		    .user = {regions[i].user},
		    .fd = fd,
		};

		assert_int_equal(vh_memory_add(memory, &region, NULL, &more),
				 0);
		vh_memory_unref(memory);
		memory = more;
	}
	close(fd);
	return memory;
}

static void open_box(struct driver_box *box, uint64_t features)
{
	struct vh_memory *memory = make_memory();

	driver_box_open(box, &(struct driver_box_opts){
				 .num = 8,
				 .features = features,
				 .table_entries = 4,
				 .memory = memory,
			     });
	/* The queue has a reference of its own. */
	vh_memory_unref(memory);
}

static void check_translates(uint64_t features)
{
	struct driver_box box;
	struct device_chain chain;
	struct iovec iov[5] = {
	    {(void *)(uintptr_t)(USER_B + 0x10), 8},
	    {(void *)(uintptr_t)(USER_C + 0x20), SIZE - 0x20},
	    {(void *)(uintptr_t)USER_A, SIZE},
	    {(void *)(uintptr_t)(USER_A + SIZE - 1), 1},
	    {(void *)(uintptr_t)(USER_C + SIZE - 1), 0},
	};
	const uint64_t expected[5] = {0x10, 0x40020, 0x80000, 0x8ffff, 0x4ffff};

	open_box(&box, features);
	for (unsigned int count = 1; count <= 5; count++) {
		assert_int_equal(vh_driver_queue_add(box.queue, iov, 1, iov + 1,
						     count - 1, &tokens[0]),
				 0);
		(void)!vh_driver_queue_publish(box.queue);
		assert_true(device_take(&box, &chain));
		assert_int_equal(chain.count, count);
		for (unsigned int i = 0; i < count; i++) {
			assert_int_equal(chain.buffers[i].address, expected[i]);
			assert_int_equal(chain.buffers[i].length,
					 iov[i].iov_len);
			assert_int_equal(chain.buffers[i].write, i > 0);
		}
		device_give(&box, &chain, 0, 1, chain.descriptors);
		expect_used(&box, &tokens[0], 0);
	}
	driver_box_close(&box);
}

/* Refused as a whole, wherever the bad one is, and nothing is left of it. */
static void expect_outside(struct driver_box *box, uint64_t address,
			   size_t length)
{
	struct iovec iov[3] = {
	    {(void *)(uintptr_t)USER_A, 8},
	    {(void *)(uintptr_t)USER_B, 8},
	    {(void *)(uintptr_t)USER_C, 8},
	};
	struct device_chain chain;

	for (unsigned int bad = 0; bad < 3; bad++) {
		struct iovec good = iov[bad];

		iov[bad] = (struct iovec){(void *)(uintptr_t)address, length};
		assert_int_equal(
		    vh_driver_queue_add(box->queue, iov, 3, NULL, 0, NULL),
		    -EFAULT);
		assert_int_equal(
		    vh_driver_queue_add(box->queue, iov, 1, iov + 1, 2, NULL),
		    -EFAULT);
		iov[bad] = good;
	}
	assert_int_equal(vh_driver_queue_room(box->queue), 8);
	assert_int_equal(vh_driver_queue_inflight(box->queue), 0);
	assert_false(vh_driver_queue_publish(box->queue));
	assert_false(device_take(box, &chain));
}

static void check_outside(uint64_t features)
{
	struct driver_box box;

	open_box(&box, features);
	expect_outside(&box, 0, 1);
	expect_outside(&box, USER_A - 1, 1);
	expect_outside(&box, USER_A - 1, 2);
	/* B goes on in user addresses, but is elsewhere for the guest. */
	expect_outside(&box, USER_A + SIZE - 1, 2);
	expect_outside(&box, USER_A, 2 * SIZE);
	expect_outside(&box, USER_B + SIZE - 1, 2);
	expect_outside(&box, USER_B + SIZE, 1);
	expect_outside(&box, USER_B + SIZE, 0);
	expect_outside(&box, USER_C + SIZE, 1);
	expect_outside(&box, UINT64_MAX, 1);
	expect_outside(&box, UINT64_MAX, SIZE);
	driver_box_close(&box);
}

static void test_driver_memory_translates(void **state)
{
	(void)state;
	check_translates(0);
	check_translates(VH_F_INDIRECT_DESC);
	check_translates(VH_F_RING_PACKED);
	check_translates(VH_F_RING_PACKED | VH_F_INDIRECT_DESC);
}

static void test_driver_memory_outside(void **state)
{
	(void)state;
	check_outside(0);
	check_outside(VH_F_INDIRECT_DESC);
	check_outside(VH_F_IN_ORDER);
	check_outside(VH_F_RING_PACKED);
	check_outside(VH_F_RING_PACKED | VH_F_INDIRECT_DESC);
}

static void test_driver_memory_empty(void **state)
{
	struct vh_memory *memory;
	struct driver_box box;

	(void)state;
	assert_int_equal(vh_memory_new(&memory), 0);
	driver_box_open(&box,
			&(struct driver_box_opts){.num = 8, .memory = memory});
	vh_memory_unref(memory);
	expect_outside(&box, USER_A, 1);
	driver_box_close(&box);
}

static int add_lengths(struct driver_box *box, size_t one, size_t other)
{
	struct iovec iov[2] = {{NULL, one}, {NULL, other}};

	return vh_driver_queue_add(box->queue, iov, 1, iov + 1, 1, NULL);
}

static void check_lengths(uint64_t features)
{
	struct driver_box box;

	driver_box_open(&box, &(struct driver_box_opts){.num = 8,
							.features = features,
							.table_entries = 4});
	assert_int_equal(add_lengths(&box, UINT32_MAX, 0), 0);
	assert_int_equal(add_lengths(&box, UINT32_MAX - 1, 1), 0);
	assert_int_equal(add_lengths(&box, 0, 0), 0);
	assert_int_equal(add_lengths(&box, UINT32_MAX, 1), -EINVAL);
	assert_int_equal(add_lengths(&box, 0, UINT64_C(1) << 32), -EINVAL);
	assert_int_equal(add_lengths(&box, UINT64_C(1) << 32, 0), -EINVAL);
	/* Both together are no bytes, if one only counts so far. */
	assert_int_equal(
	    add_lengths(&box, UINT64_C(1) << 63, UINT64_C(1) << 63), -EINVAL);
	assert_int_equal(vh_driver_queue_inflight(box.queue), 3);
	driver_box_close(&box);
}

static void test_driver_memory_lengths(void **state)
{
	(void)state;
	check_lengths(0);
	check_lengths(VH_F_INDIRECT_DESC);
	check_lengths(VH_F_RING_PACKED);
	check_lengths(VH_F_RING_PACKED | VH_F_INDIRECT_DESC);
}

/* Without a map addresses are as they are, to the last byte there is. */
static void test_driver_memory_guest_addresses(void **state)
{
	struct driver_box box;

	(void)state;
	driver_box_open(&box, &(struct driver_box_opts){.num = 8});
	assert_int_equal(box_add(&box, 0, 1, 0, 16, NULL), 0);
	assert_int_equal(box_add(&box, UINT64_MAX - 15, 1, 0, 16, NULL), 0);
	expect_descriptor(box.descriptors + 16, UINT64_MAX - 15, 16, 0, 0);
	assert_int_equal(box_add(&box, UINT64_MAX, 1, 0, 1, NULL), 0);
	assert_int_equal(box_add(&box, UINT64_MAX, 1, 0, 0, NULL), 0);
	assert_int_equal(box_add(&box, UINT64_MAX - 14, 1, 0, 16, NULL),
			 -EFAULT);
	assert_int_equal(box_add(&box, UINT64_MAX, 1, 0, 2, NULL), -EFAULT);
	driver_box_close(&box);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_driver_memory_translates),
	    cmocka_unit_test(test_driver_memory_outside),
	    cmocka_unit_test(test_driver_memory_empty),
	    cmocka_unit_test(test_driver_memory_lengths),
	    cmocka_unit_test(test_driver_memory_guest_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
