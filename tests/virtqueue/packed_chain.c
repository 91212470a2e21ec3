/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* What a chain of a packed ring may be, and what it becomes. */
#include "packed_box.h"
#include <errno.h>
#include <string.h>

static void open_plain(struct packed_box *p)
{
	packed_open(
	    p, &(struct packed_opts){.num = 256, .features = BOX_INDIRECT});
}

/* Gives one back, and the driver finds it where it must be. */
static void give(struct packed_box *p, struct vh_chain *chain, uint32_t written,
		 unsigned int descriptors)
{
	unsigned int id = chain->head;

	vh_virtqueue_push(p->box.queue, chain, written);
	packed_expect_none_used(p);
	assert_int_equal(vh_virtqueue_publish(p->box.queue), 1);
	packed_expect_used(p, id, written, descriptors);
	packed_expect_none_used(p);
}

static void test_virtqueue_packed_chain_single_descriptor(void **state)
{
	struct packed_box p;
	struct vh_chain *chain;

	(void)state;
	open_plain(&p);
	packed_send(&p, 201, BOX_DATA + 3, 100, 0);
	chain = box_pop(&p.box);
	assert_int_equal(chain->head, 201);
	assert_int_equal(chain->descriptors, 1);
	assert_int_equal(chain->readable_count, 1);
	assert_int_equal(chain->writable_count, 0);
	assert_int_equal(chain->readable_size, 100);
	assert_int_equal(chain->writable_size, 0);
	assert_null(chain->user);
	box_expect_piece(&p.box, chain->readable, BOX_DATA + 3, 100);
	assert_int_equal(vh_virtqueue_inflight(p.box.queue), 1);
	assert_int_equal(vh_virtqueue_base(p.box.queue),
			 PACKED_BASE(1, 1, 0, 1));
	give(&p, chain, 0, 1);
	assert_int_equal(vh_virtqueue_base(p.box.queue),
			 PACKED_BASE(1, 1, 1, 1));
	box_close(&p.box);
}

/* The id is in the last one; what the others say there isn't looked at. */
static void test_virtqueue_packed_chain_list(void **state)
{
	struct packed_box p;
	struct vh_chain *chain;

	(void)state;
	open_plain(&p);
	packed_send(&p, 65535, BOX_DATA, 16, F_NEXT);
	packed_send(&p, 3, BOX_C, 512, F_NEXT | F_WRITE);
	packed_send(&p, 77, BOX_B, 1, F_WRITE);
	packed_send(&p, 3, BOX_DATA, 4, F_WRITE);
	chain = box_pop(&p.box);
	assert_int_equal(chain->head, 77);
	assert_int_equal(chain->descriptors, 3);
	assert_int_equal(chain->readable_count, 1);
	assert_int_equal(chain->writable_count, 2);
	assert_int_equal(chain->readable_size, 16);
	assert_int_equal(chain->writable_size, 513);
	assert_ptr_equal(chain->writable, chain->readable + 1);
	box_expect_piece(&p.box, &chain->readable[0], BOX_DATA, 16);
	box_expect_piece(&p.box, &chain->writable[0], BOX_C, 512);
	box_expect_piece(&p.box, &chain->writable[1], BOX_B, 1);
	give(&p, chain, 500, 3);
	chain = box_pop(&p.box);
	assert_int_equal(chain->head, 3);
	give(&p, chain, 4, 1);
	box_close(&p.box);
}

/* Lists begin at every place, and so go over the end at every place. */
static void test_virtqueue_packed_chain_over_the_end(void **state)
{
	(void)state;
	for (unsigned int num = 3; num <= 8; num++) {
		struct packed_box p;

		packed_open(&p, &(struct packed_opts){.num = num});
		for (unsigned int turn = 0; turn < 6 * num; turn++) {
			unsigned int count = 1 + turn % num;
			struct vh_chain *chain;

			for (unsigned int i = 0; i < count; i++)
				packed_send(&p, turn % num,
					    BOX_DATA + 100 * turn + i, 1 + i,
					    i + 1 < count ? F_NEXT : 0);
			chain = box_pop(&p.box);
			assert_int_equal(chain->descriptors, count);
			for (unsigned int i = 0; i < count; i++)
				box_expect_piece(&p.box, &chain->readable[i],
						 BOX_DATA + 100 * turn + i,
						 1 + i);
			give(&p, chain, 0, count);
		}
		box_close(&p.box);
	}
}

static void test_virtqueue_packed_chain_of_all_descriptors(void **state)
{
	static const uint32_t sizes[] = {1, 2, 3, 7, 8, 256, 32768};

	(void)state;
	for (unsigned int s = 0; s < 7; s++) {
		uint32_t num = sizes[s];
		struct vh_chain *chain;
		struct packed_box p;

		packed_open(&p, &(struct packed_opts){.num = num});
		for (unsigned int turn = 0; turn < 3; turn++) {
			for (unsigned int i = 0; i < num; i++)
				packed_send(&p, num - 1, BOX_DATA + i, 1,
					    (i + 1 < num ? F_NEXT : 0) |
						(2 * i >= num ? F_WRITE : 0));
			chain = box_pop(&p.box);
			assert_int_equal(chain->descriptors, num);
			assert_int_equal(chain->readable_count, (num + 1) / 2);
			assert_int_equal(chain->writable_count, num / 2);
			for (unsigned int i = 0; i < num; i++)
				box_expect_piece(&p.box, &chain->readable[i],
						 BOX_DATA + i, 1);
			give(&p, chain, num / 2, num);
		}
		box_close(&p.box);
	}
}

/* Entries follow each other, and of their flags WRITE alone counts. */
static void test_virtqueue_packed_chain_indirect(void **state)
{
	struct vh_chain *chain;
	struct packed_box p;

	(void)state;
	open_plain(&p);
	/* WRITE on the one that refers to the table has no meaning. */
	packed_send(&p, 9, BOX_TABLES, 48, F_INDIRECT | F_WRITE);
	packed_entry(&p, BOX_TABLES, 0, BOX_DATA, 16, 0);
	packed_entry(&p, BOX_TABLES, 1, BOX_DATA + 100, 20, 0);
	packed_entry(&p, BOX_TABLES, 2, BOX_C + 5, 1, F_WRITE);
	chain = box_pop(&p.box);
	assert_int_equal(chain->head, 9);
	assert_int_equal(chain->descriptors, 3);
	assert_int_equal(chain->readable_count, 2);
	assert_int_equal(chain->writable_count, 1);
	box_expect_piece(&p.box, &chain->readable[0], BOX_DATA, 16);
	box_expect_piece(&p.box, &chain->readable[1], BOX_DATA + 100, 20);
	box_expect_piece(&p.box, &chain->writable[0], BOX_C + 5, 1);
	give(&p, chain, 1, 1);
	box_close(&p.box);
}

/* A ring may have both kinds of list, one after the other. */
static void test_virtqueue_packed_chain_both_kinds(void **state)
{
	struct vh_chain *chains[3];
	struct packed_box p;

	(void)state;
	open_plain(&p);
	packed_send(&p, 0, BOX_DATA, 1, F_NEXT);
	packed_send(&p, 0, BOX_DATA + 1, 2, 0);
	packed_entry(&p, BOX_TABLES, 0, BOX_DATA + 3, 3, 0);
	packed_send(&p, 1, BOX_TABLES, 16, F_INDIRECT);
	packed_send(&p, 2, BOX_DATA + 6, 4, 0);
	assert_int_equal(vh_virtqueue_pop(p.box.queue, chains, 32), 3);
	assert_int_equal(chains[0]->readable_size, 3);
	assert_int_equal(chains[1]->readable_size, 3);
	assert_int_equal(chains[2]->readable_size, 4);
	box_expect_piece(&p.box, chains[1]->readable, BOX_DATA + 3, 3);
	give(&p, chains[1], 0, 1);
	give(&p, chains[2], 0, 1);
	give(&p, chains[0], 0, 2);
	box_close(&p.box);
}

/* A table in one piece or in two, at any alignment. */
static void test_virtqueue_packed_chain_table_anywhere(void **state)
{
	struct packed_box p;

	(void)state;
	open_plain(&p);
	for (unsigned int k = 0; k <= 64; k++) {
		vh_gpa table = BOX_B - k; /* 64 bytes, k of them in A */
		struct vh_chain *chain;

		for (unsigned int i = 0; i < 4; i++)
			packed_entry(&p, table, i, BOX_DATA + 1000 * i,
				     i + 1 + k, i > 1 ? F_WRITE : 0);
		packed_send(&p, 1, table, 64, F_INDIRECT);
		chain = box_pop(&p.box);
		assert_int_equal(chain->descriptors, 4);
		assert_int_equal(chain->readable_count, 2);
		for (unsigned int i = 0; i < 4; i++)
			box_expect_piece(&p.box, &chain->readable[i],
					 BOX_DATA + 1000 * i, i + 1 + k);
		give(&p, chain, 0, 1);
	}
	box_close(&p.box);
}

/* Drivers make tables longer than the ring; 32768 is the end. */
static void test_virtqueue_packed_chain_table_lengths(void **state)
{
	static const uint32_t counts[] = {1,   2,    3,	   8,	  9,	10,
					  130, 1024, 1533, 32767, 32768};

	(void)state;
	for (unsigned int c = 0; c < 11; c++) {
		uint32_t count = counts[c];
		struct vh_chain *chain;
		struct packed_box p;

		packed_open(&p, &(struct packed_opts){
				    .num = 3,
				    .features = BOX_INDIRECT,
				    .max_segments = count > 1533 ? 32768 : 0});
		for (unsigned int i = 0; i < count; i++)
			packed_entry(&p, BOX_TABLES, i, BOX_DATA + i, 1,
				     2 * i >= count ? F_WRITE : 0);
		packed_send(&p, 2, BOX_TABLES, 16 * count, F_INDIRECT);
		chain = box_pop(&p.box);
		assert_int_equal(chain->descriptors, count);
		assert_int_equal(chain->readable_count, (count + 1) / 2);
		assert_int_equal(chain->writable_count, count / 2);
		for (unsigned int i = 0; i < count; i++)
			box_expect_piece(&p.box, &chain->readable[i],
					 BOX_DATA + i, 1);
		give(&p, chain, count / 2, 1);
		box_close(&p.box);
	}
}

/* CVE-2018-1059, CVE-2019-18960: a buffer across a border of regions. */
static void test_virtqueue_packed_chain_buffer_spans_regions(void **state)
{
	struct packed_box p;

	(void)state;
	open_plain(&p);
	for (unsigned int k = 0; k <= 64; k++) {
		struct vh_chain *chain;

		packed_send(&p, 2, BOX_B - k, 64, F_WRITE);
		chain = box_pop(&p.box);
		assert_int_equal(chain->writable_size, 64);
		assert_int_equal(chain->descriptors, 1);
		assert_int_equal(chain->writable_count,
				 k == 0 || k == 64 ? 1 : 2);
		if (k)
			box_expect_piece(&p.box, &chain->writable[0], BOX_B - k,
					 k);
		if (k < 64)
			box_expect_piece(
			    &p.box, &chain->writable[chain->writable_count - 1],
			    BOX_B, 64 - k);
		give(&p, chain, 64, 1);
	}
	box_close(&p.box);
}

/* CVE-2018-1059: one byte beyond the end of what is mapped. */
static void test_virtqueue_packed_chain_buffer_leaves_memory(void **state)
{
	static const struct {
		vh_gpa address;
		uint32_t length;
		bool good;
	} cases[] = {
	    {BOX_B + BOX_B_SIZE - 64, 64, true},
	    {BOX_B + BOX_B_SIZE - 64, 65, false},
	    {BOX_B - 1, BOX_B_SIZE + 1, true},
	    {BOX_B - 1, BOX_B_SIZE + 2, false},
	    {BOX_B + BOX_B_SIZE, 1, false},
	    {BOX_A - 1, 1, false},
	    {BOX_A - 1, 2, false},
	    {BOX_C - 1, 2, false},
	    {0, 1, false},
	    {0, UINT32_MAX, false},
	    {BOX_DATA, UINT32_MAX, false},
	    {BOX_D + BOX_D_SIZE - 1, 1, true},
	    {BOX_D + BOX_D_SIZE - 1, 2, false}, /* wraps to 0 */
	    {UINT64_MAX, UINT32_MAX, false},
	};

	(void)state;
	for (unsigned int i = 0; i < 3 * sizeof(cases) / sizeof(cases[0]);
	     i++) {
		unsigned int how = i % 3;
		vh_gpa address = cases[i / 3].address;
		uint32_t length = cases[i / 3].length;
		struct packed_box p;

		open_plain(&p);
		if (how == 1)
			packed_send(&p, 0, BOX_DATA, 0, F_NEXT);
		if (how == 2) {
			packed_entry(&p, BOX_TABLES, 0, address, length, 0);
			packed_send(&p, 2, BOX_TABLES, 16, F_INDIRECT);
		} else {
			packed_send(&p, 2, address, length, 0);
		}
		if (cases[i / 3].good)
			assert_int_equal(box_pop(&p.box)->readable_size,
					 length);
		else
			box_expect_fault(&p.box, VH_FAULT_DESC_ADDR);
		box_close(&p.box);
	}
}

/* No bytes are no piece, wherever they are said to be. */
static void test_virtqueue_packed_chain_zero_length(void **state)
{
	(void)state;
	for (unsigned int zero = 0; zero < 32; zero++) {
		unsigned int pieces = 0;
		struct vh_chain *chain;
		struct packed_box p;

		open_plain(&p);
		for (unsigned int i = 0; i < 4; i++) {
			bool none = zero >> i & 1;
			vh_gpa at = none ? 16 : BOX_DATA + i;
			uint32_t length = none ? 0 : 5;
			unsigned int write = i > 1 ? F_WRITE : 0;

			packed_entry(&p, BOX_TABLES, i, at, length, write);
			if (zero < 16)
				packed_send(&p, 4, at, length,
					    write | (i < 3 ? F_NEXT : 0));
			pieces += !none;
		}
		if (zero >= 16)
			packed_send(&p, 4, BOX_TABLES, 64, F_INDIRECT);
		chain = box_pop(&p.box);
		assert_int_equal(chain->head, 4);
		assert_int_equal(chain->descriptors, 4);
		assert_int_equal(chain->readable_count + chain->writable_count,
				 pieces);
		assert_int_equal(chain->readable_count,
				 2 - (zero & 1) - (zero >> 1 & 1));
		assert_int_equal(chain->readable_size,
				 5 * chain->readable_count);
		assert_int_equal(chain->writable_size,
				 5 * chain->writable_count);
		give(&p, chain, 0, zero < 16 ? 4 : 1);
		box_close(&p.box);
	}
}

static void
test_virtqueue_packed_chain_user_and_arrays_are_the_devices(void **state)
{
	struct vh_chain *chain;
	struct packed_box p;

	(void)state;
	open_plain(&p);
	packed_send(&p, 4, BOX_DATA, 10, F_WRITE);
	chain = box_pop(&p.box);
	memset(chain->writable, 0xff, sizeof(*chain->writable));
	memset(chain, 0xee, sizeof(*chain));
	/* More than there was room for is cut. */
	vh_virtqueue_push(p.box.queue, chain, 11);
	assert_int_equal(vh_virtqueue_publish(p.box.queue), 1);
	packed_expect_used(&p, 4, 10, 1);
	packed_send(&p, 4, BOX_DATA, 10, F_WRITE);
	chain = box_pop(&p.box);
	assert_null(chain->user);
	assert_int_equal(chain->head, 4);
	box_expect_piece(&p.box, chain->writable, BOX_DATA, 10);
	box_close(&p.box);
}

/* max_segments: exactly so many pieces, whether in a slot or beyond. */
static void test_virtqueue_packed_chain_segments(void **state)
{
	static const uint16_t limits[] = {1, 2, 8, 9, 10, 11, 64};

	(void)state;
	for (unsigned int i = 0; i < 6 * sizeof(limits) / sizeof(*limits);
	     i++) {
		uint16_t limit = limits[i / 6];
		unsigned int count = limit + i % 3 - 1u;
		bool table = i % 6 > 2;
		struct packed_box p;

		if (!count)
			continue;
		packed_open(&p, &(struct packed_opts){.num = 255,
						      .features = BOX_INDIRECT,
						      .max_segments = limit});
		for (unsigned int j = 0; j < count; j++) {
			packed_entry(&p, BOX_TABLES, j, BOX_DATA, 1, 0);
			if (!table)
				packed_send(&p, 0, BOX_DATA, 1,
					    j + 1 < count ? F_NEXT : 0);
		}
		if (table)
			packed_send(&p, 0, BOX_TABLES, 16 * count, F_INDIRECT);
		if (count <= limit)
			assert_int_equal(box_pop(&p.box)->readable_count,
					 count);
		else
			box_expect_fault(&p.box, VH_FAULT_DESC_SEGMENTS);
		box_close(&p.box);
	}
}

/* Areas go round: many long chains, returned in another order. */
static void test_virtqueue_packed_chain_long_ones_in_flight(void **state)
{
	struct vh_chain *chains[16];
	struct packed_box p;

	(void)state;
	packed_open(&p,
		    &(struct packed_opts){.num = 17, .features = BOX_INDIRECT});
	for (unsigned int turn = 0; turn < 100; turn++) {
		for (unsigned int i = 0; i < 16; i++) {
			vh_gpa table = BOX_TABLES + 4096 * i;

			for (unsigned int j = 0; j < 20; j++)
				packed_entry(&p, table, j,
					     BOX_DATA + 100 * i + j + turn, 1,
					     0);
			packed_send(&p, (i * 3 + turn) % 17, table, 20 * 16,
				    F_INDIRECT);
		}
		assert_int_equal(vh_virtqueue_pop(p.box.queue, chains, 32), 16);
		for (unsigned int i = 0; i < 16; i++)
			for (unsigned int j = 0; j < 20; j++)
				box_expect_piece(
				    &p.box, &chains[i]->readable[j],
				    BOX_DATA + 100 * i + j + turn, 1);
		for (unsigned int i = 0; i < 16; i++)
			give(&p, chains[(i * 7 + turn) % 16], 0, 1);
		assert_int_equal(vh_virtqueue_inflight(p.box.queue), 0);
	}
	box_close(&p.box);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_virtqueue_packed_chain_single_descriptor),
	    cmocka_unit_test(test_virtqueue_packed_chain_list),
	    cmocka_unit_test(test_virtqueue_packed_chain_over_the_end),
	    cmocka_unit_test(test_virtqueue_packed_chain_of_all_descriptors),
	    cmocka_unit_test(test_virtqueue_packed_chain_indirect),
	    cmocka_unit_test(test_virtqueue_packed_chain_both_kinds),
	    cmocka_unit_test(test_virtqueue_packed_chain_table_anywhere),
	    cmocka_unit_test(test_virtqueue_packed_chain_table_lengths),
	    cmocka_unit_test(test_virtqueue_packed_chain_buffer_spans_regions),
	    cmocka_unit_test(test_virtqueue_packed_chain_buffer_leaves_memory),
	    cmocka_unit_test(test_virtqueue_packed_chain_zero_length),
	    cmocka_unit_test(
		test_virtqueue_packed_chain_user_and_arrays_are_the_devices),
	    cmocka_unit_test(test_virtqueue_packed_chain_segments),
	    cmocka_unit_test(test_virtqueue_packed_chain_long_ones_in_flight),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
