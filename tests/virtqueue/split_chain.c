/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* What a chain may be, and what it becomes. */
#include "box.h"
#include <errno.h>
#include <string.h>

static void open_plain(struct box *box)
{
	box_open(box, &(struct box_opts){.num = 256, .features = BOX_INDIRECT});
}

static void test_virtqueue_chain_single_descriptor(void **state)
{
	struct vh_chain *chain;
	struct box box;

	(void)state;
	open_plain(&box);
	box_descriptor(&box, 7, BOX_DATA + 3, 100, 0, 9);
	box_send(&box, 7);
	chain = box_pop(&box);
	assert_int_equal(chain->head, 7);
	assert_int_equal(chain->descriptors, 1);
	assert_int_equal(chain->readable_count, 1);
	assert_int_equal(chain->writable_count, 0);
	assert_int_equal(chain->readable_size, 100);
	assert_int_equal(chain->writable_size, 0);
	assert_null(chain->user);
	box_expect_piece(&box, chain->readable, BOX_DATA + 3, 100);
	assert_int_equal(vh_virtqueue_inflight(box.queue), 1);
	assert_int_equal(vh_virtqueue_base(box.queue), 1);
	box_close(&box);
}

static void test_virtqueue_chain_readable_then_writable(void **state)
{
	struct vh_chain *chain;
	struct box box;

	(void)state;
	open_plain(&box);
	box_descriptor(&box, 3, BOX_DATA, 16, F_NEXT, 250);
	box_descriptor(&box, 250, BOX_C, 512, F_NEXT | F_WRITE, 0);
	box_descriptor(&box, 0, BOX_B, 1, F_WRITE, 0);
	box_send(&box, 3);
	chain = box_pop(&box);
	assert_int_equal(chain->descriptors, 3);
	assert_int_equal(chain->readable_count, 1);
	assert_int_equal(chain->writable_count, 2);
	assert_int_equal(chain->readable_size, 16);
	assert_int_equal(chain->writable_size, 513);
	assert_ptr_equal(chain->writable, chain->readable + 1);
	box_expect_piece(&box, &chain->readable[0], BOX_DATA, 16);
	box_expect_piece(&box, &chain->writable[0], BOX_C, 512);
	box_expect_piece(&box, &chain->writable[1], BOX_B, 1);
	box_close(&box);
}

static void test_virtqueue_chain_writable_only(void **state)
{
	struct vh_chain *chain;
	struct box box;

	(void)state;
	open_plain(&box);
	box_descriptor(&box, 0, BOX_DATA, 8, F_WRITE | F_NEXT, 1);
	box_descriptor(&box, 1, BOX_DATA + 64, 8, F_WRITE, 0);
	box_send(&box, 0);
	chain = box_pop(&box);
	assert_int_equal(chain->readable_count, 0);
	assert_int_equal(chain->readable_size, 0);
	assert_int_equal(chain->writable_count, 2);
	box_expect_piece(&box, &chain->writable[1], BOX_DATA + 64, 8);
	box_close(&box);
}

static void test_virtqueue_chain_of_all_descriptors(void **state)
{
	static const uint32_t sizes[] = {1, 2, 8, 256, 32768};

	(void)state;
	for (unsigned int s = 0; s < 5; s++) {
		uint32_t num = sizes[s];
		struct vh_chain *chain;
		struct box box;

		box_open(&box, &(struct box_opts){.num = num});
		for (unsigned int i = 0; i < num; i++)
			box_descriptor(&box, i, BOX_DATA + i, 1,
				       (i + 1 < num ? F_NEXT : 0) |
					   (2 * i >= num ? F_WRITE : 0),
				       i + 1);
		box_send(&box, 0);
		chain = box_pop(&box);
		assert_int_equal(chain->descriptors, num);
		assert_int_equal(chain->readable_count, (num + 1) / 2);
		assert_int_equal(chain->writable_count, num / 2);
		for (unsigned int i = 0; i < num; i++)
			box_expect_piece(&box, &chain->readable[i],
					 BOX_DATA + i, 1);
		vh_virtqueue_push(box.queue, chain, UINT32_MAX);
		assert_int_equal(vh_virtqueue_publish(box.queue), 1);
		assert_int_equal(box_used_length(&box, 0), num / 2);
		box_close(&box);
	}
}

static void test_virtqueue_chain_indirect(void **state)
{
	struct vh_chain *chain;
	struct box box;

	(void)state;
	open_plain(&box);
	/* WRITE on the one that refers to the table has no meaning. */
	box_descriptor(&box, 9, BOX_TABLES, 48, F_INDIRECT | F_WRITE, 77);
	box_entry(&box, BOX_TABLES, 0, BOX_DATA, 16, F_NEXT, 2);
	box_entry(&box, BOX_TABLES, 2, BOX_DATA + 100, 20, F_NEXT, 1);
	box_entry(&box, BOX_TABLES, 1, BOX_C + 5, 1, F_WRITE, 2);
	box_send(&box, 9);
	chain = box_pop(&box);
	assert_int_equal(chain->head, 9);
	assert_int_equal(chain->descriptors, 3);
	assert_int_equal(chain->readable_count, 2);
	box_expect_piece(&box, &chain->readable[0], BOX_DATA, 16);
	box_expect_piece(&box, &chain->readable[1], BOX_DATA + 100, 20);
	box_expect_piece(&box, &chain->writable[0], BOX_C + 5, 1);
	box_close(&box);
}

static void test_virtqueue_chain_direct_then_indirect(void **state)
{
	struct vh_chain *chain;
	struct box box;

	(void)state;
	open_plain(&box);
	box_descriptor(&box, 0, BOX_DATA, 16, F_NEXT, 1);
	box_descriptor(&box, 1, BOX_DATA + 32, 17, F_NEXT, 2);
	box_descriptor(&box, 2, BOX_TABLES, 32, F_INDIRECT, 0);
	box_entry(&box, BOX_TABLES, 0, BOX_DATA + 64, 18, F_NEXT, 1);
	box_entry(&box, BOX_TABLES, 1, BOX_DATA + 96, 19, F_WRITE, 0);
	box_send(&box, 0);
	chain = box_pop(&box);
	assert_int_equal(chain->descriptors, 4);
	assert_int_equal(chain->readable_count, 3);
	assert_int_equal(chain->readable_size, 16 + 17 + 18);
	assert_int_equal(chain->writable_size, 19);
	box_expect_piece(&box, &chain->writable[0], BOX_DATA + 96, 19);
	box_close(&box);
}

/* A table in one piece or in two, at any alignment. */
static void test_virtqueue_chain_table_anywhere(void **state)
{
	struct box box;

	(void)state;
	open_plain(&box);
	for (unsigned int k = 0; k <= 64; k++) {
		vh_gpa table = BOX_B - k; /* 64 bytes, k of them in A */
		struct vh_chain *chain;

		for (unsigned int i = 0; i < 4; i++)
			box_entry(&box, table, i, BOX_DATA + 1000 * i,
				  i + 1 + k,
				  (i < 3 ? F_NEXT : 0) | (i > 1 ? F_WRITE : 0),
				  i + 1);
		box_descriptor(&box, 1, table, 64, F_INDIRECT, 0);
		box_send(&box, 1);
		chain = box_pop(&box);
		assert_int_equal(chain->descriptors, 4);
		assert_int_equal(chain->readable_count, 2);
		for (unsigned int i = 0; i < 4; i++)
			box_expect_piece(&box, &chain->readable[i],
					 BOX_DATA + 1000 * i, i + 1 + k);
		vh_virtqueue_push(box.queue, chain, 0);
	}
	box_close(&box);
}

/* As many entries as the queue has, which is more than a slot can hold. */
static void test_virtqueue_chain_full_table(void **state)
{
	struct vh_chain *chain;
	struct box box;

	(void)state;
	for (unsigned int odd = 0; odd < 2; odd++) {
		vh_gpa table = BOX_TABLES + odd;

		open_plain(&box);
		box_descriptor(&box, 0, table, 256 * 16, F_INDIRECT, 0);
		for (unsigned int i = 0; i < 256; i++)
			box_entry(&box, table, i, BOX_DATA + 8 * i, 8,
				  (i < 255 ? F_NEXT : 0) |
				      (i > 200 ? F_WRITE : 0),
				  i + 1);
		box_send(&box, 0);
		chain = box_pop(&box);
		assert_int_equal(chain->descriptors, 256);
		assert_int_equal(chain->readable_count, 201);
		assert_int_equal(chain->writable_count, 55);
		assert_ptr_equal(chain->writable, chain->readable + 201);
		for (unsigned int i = 0; i < 256; i++)
			box_expect_piece(&box, &chain->readable[i],
					 BOX_DATA + 8 * i, 8);
		box_close(&box);
	}
}

/* CVE-2018-1059, CVE-2019-18960: a buffer across a border of regions. */
static void test_virtqueue_chain_buffer_spans_regions(void **state)
{
	struct box box;

	(void)state;
	open_plain(&box);
	for (unsigned int k = 0; k <= 64; k++) {
		struct vh_chain *chain;

		box_descriptor(&box, 2, BOX_B - k, 64, F_WRITE, 0);
		box_send(&box, 2);
		chain = box_pop(&box);
		assert_int_equal(chain->writable_size, 64);
		assert_int_equal(chain->descriptors, 1);
		assert_int_equal(chain->writable_count,
				 k == 0 || k == 64 ? 1 : 2);
		if (k)
			box_expect_piece(&box, &chain->writable[0], BOX_B - k,
					 k);
		if (k < 64)
			box_expect_piece(
			    &box, &chain->writable[chain->writable_count - 1],
			    BOX_B, 64 - k);
		vh_virtqueue_push(box.queue, chain, 0);
	}
	box_close(&box);
}

/* CVE-2018-1059: one byte beyond the end of what is mapped. */
static void test_virtqueue_chain_buffer_leaves_memory(void **state)
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
	    {BOX_DATA, UINT32_MAX, false}, /* CVE-2016-7422 */
	    {BOX_D + BOX_D_SIZE - 1, 1, true},
	    {BOX_D + BOX_D_SIZE - 1, 2, false}, /* wraps to 0 */
	    {UINT64_MAX, UINT32_MAX, false},
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct box box;

		open_plain(&box);
		box_descriptor(&box, 2, cases[i].address, cases[i].length, 0,
			       0);
		box_send(&box, 2);
		if (cases[i].good)
			assert_int_equal(box_pop(&box)->readable_size,
					 cases[i].length);
		else
			box_expect_fault(&box, VH_FAULT_DESC_ADDR);
		box_close(&box);
	}
}

/*
 * CVE-2020-10725, CVE-2016-6490, CVE-2019-14835: no bytes are no piece,
 * wherever they are said to be, and at every place in the chain.
 */
static void test_virtqueue_chain_zero_length(void **state)
{
	(void)state;
	for (unsigned int zero = 0; zero < 16; zero++) {
		unsigned int pieces = 0;
		struct vh_chain *chain;
		struct box box;

		open_plain(&box);
		for (unsigned int i = 0; i < 4; i++) {
			bool none = zero >> i & 1;

			box_descriptor(
			    &box, i, none ? 16 : BOX_DATA + i, none ? 0 : 5,
			    (i < 3 ? F_NEXT : 0) | (i > 1 ? F_WRITE : 0),
			    i + 1);
			pieces += !none;
		}
		box_send(&box, 0);
		chain = box_pop(&box);
		assert_int_equal(chain->descriptors, 4);
		assert_int_equal(chain->readable_count + chain->writable_count,
				 pieces);
		assert_int_equal(chain->readable_count,
				 2 - (zero & 1) - (zero >> 1 & 1));
		assert_int_equal(chain->readable_size,
				 5 * chain->readable_count);
		assert_int_equal(chain->writable_size,
				 5 * chain->writable_count);
		box_close(&box);
	}
}

/* Zero-length buffers count as descriptors: a loop of them ends. */
static void test_virtqueue_chain_zero_length_loop(void **state)
{
	struct box box;

	(void)state;
	open_plain(&box);
	box_descriptor(&box, 0, 0, 0, F_NEXT, 0);
	box_send(&box, 0);
	box_expect_fault(&box, VH_FAULT_DESC_LOOP);
	box_close(&box);
}

static void test_virtqueue_chain_user_and_arrays_are_the_devices(void **state)
{
	struct vh_chain *chain;
	struct box box;

	(void)state;
	open_plain(&box);
	box_descriptor(&box, 4, BOX_DATA, 10, F_WRITE, 0);
	box_send(&box, 4);
	chain = box_pop(&box);
	chain->user = chain;
	memset(chain->writable, 0xff, sizeof(*chain->writable));
	chain->readable = chain->writable = NULL;
	vh_virtqueue_push(box.queue, chain, 11);
	assert_int_equal(vh_virtqueue_publish(box.queue), 1);
	assert_int_equal(box_used_id(&box, 0), 4);
	assert_int_equal(box_used_length(&box, 0), 10);
	box_send(&box, 4);
	chain = box_pop(&box);
	assert_null(chain->user);
	assert_int_equal(chain->head, 4);
	box_expect_piece(&box, chain->writable, BOX_DATA, 10);
	box_close(&box);
}

/* max_segments: exactly so many pieces, whether in a slot or beyond. */
static void test_virtqueue_chain_segments(void **state)
{
	static const uint16_t limits[] = {1, 2, 8, 9, 10, 11, 64};

	(void)state;
	for (unsigned int l = 0; l < sizeof(limits) / sizeof(*limits); l++) {
		for (unsigned int more = 0; more < 3; more++) {
			unsigned int count = limits[l] + more - 1;
			struct box box;

			if (!count)
				continue;
			box_open(&box,
				 &(struct box_opts){.num = 256,
						    .max_segments = limits[l]});
			for (unsigned int i = 0; i < count; i++)
				box_descriptor(&box, i, BOX_DATA, 1,
					       i + 1 < count ? F_NEXT : 0,
					       i + 1);
			box_send(&box, 0);
			if (count <= limits[l])
				assert_int_equal(box_pop(&box)->readable_count,
						 count);
			else
				box_expect_fault(&box, VH_FAULT_DESC_SEGMENTS);
			box_close(&box);
		}
	}
}

/* A border between regions makes one piece more than there are buffers. */
static void test_virtqueue_chain_segments_count_pieces(void **state)
{
	struct box box;

	(void)state;
	box_open(&box, &(struct box_opts){.num = 4, .max_segments = 1});
	box_descriptor(&box, 0, BOX_B - 1, 2, 0, 0);
	box_send(&box, 0);
	box_expect_fault(&box, VH_FAULT_DESC_SEGMENTS);
	box_close(&box);

	box_open(&box, &(struct box_opts){.num = 1});
	box_descriptor(&box, 0, BOX_B - 1, 2, 0, 0);
	box_send(&box, 0);
	assert_int_equal(box_pop(&box)->readable_count, 2);
	box_close(&box);
}

/* Areas go round: many long chains, returned in another order. */
static void test_virtqueue_chain_long_ones_in_flight(void **state)
{
	struct vh_chain *chains[16];
	struct box box;

	(void)state;
	open_plain(&box);
	for (unsigned int turn = 0; turn < 100; turn++) {
		for (unsigned int i = 0; i < 16; i++) {
			vh_gpa table = BOX_TABLES + 4096 * i;

			box_descriptor(&box, i, table, 20 * 16, F_INDIRECT, 0);
			for (unsigned int j = 0; j < 20; j++)
				box_entry(&box, table, j,
					  BOX_DATA + 100 * i + j + turn, 1,
					  j < 19 ? F_NEXT : 0, j + 1);
			box_offer(&box, i);
		}
		box_show(&box);
		assert_int_equal(vh_virtqueue_pop(box.queue, chains, 16), 16);
		for (unsigned int i = 0; i < 16; i++)
			for (unsigned int j = 0; j < 20; j++)
				box_expect_piece(&box, &chains[i]->readable[j],
						 BOX_DATA + 100 * i + j + turn,
						 1);
		for (unsigned int i = 0; i < 16; i++)
			vh_virtqueue_push(box.queue,
					  chains[(i * 7 + turn) % 16], 0);
		assert_int_equal(vh_virtqueue_inflight(box.queue), 0);
	}
	box_close(&box);
}

/*
 * The largest queue with the longest chains: only so many fit into the
 * address space that is set aside. The others wait; none is lost.
 */
static void test_virtqueue_chain_waits_for_an_area(void **state)
{
	enum { MOST = 32768 };
	struct vh_chain *chains[VH_VIRTQUEUE_BURST];
	static struct vh_chain *taken[MOST];
	unsigned int count = 0;
	struct box box;
	int n;

	(void)state;
	box_open(&box,
		 &(struct box_opts){.num = MOST, .features = BOX_INDIRECT});
	for (unsigned int j = 0; j < 10; j++)
		box_entry(&box, BOX_TABLES, j, BOX_DATA + j, 1,
			  j < 9 ? F_NEXT : 0, j + 1);
	for (unsigned int i = 0; i < MOST; i++) {
		box_descriptor(&box, i, BOX_TABLES, 160, F_INDIRECT, 0);
		box_offer(&box, i);
	}
	box_show(&box);
	while ((n = vh_virtqueue_pop(box.queue, chains, 32)) > 0)
		for (int i = 0; i < n; i++)
			taken[count++] = chains[i];
	assert_int_equal(n, 0);
	assert_in_range(count, 1000, MOST - 1);
	assert_int_equal(vh_virtqueue_base(box.queue), count);
	assert_false(vh_virtqueue_pending(box.queue));
	assert_int_equal(vh_virtqueue_enable_kick(box.queue), 0);
	for (unsigned int i = 0; i < MOST; i++) {
		vh_virtqueue_push(box.queue, taken[i], 0);
		if (count < MOST) {
			assert_true(vh_virtqueue_pending(box.queue));
			taken[count] = box_pop(&box);
			assert_int_equal(taken[count]->head, count);
			assert_int_equal(taken[count]->readable_count, 10);
			count++;
		}
	}
	assert_int_equal(vh_virtqueue_inflight(box.queue), 0);
	box_close(&box);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_virtqueue_chain_single_descriptor),
	    cmocka_unit_test(test_virtqueue_chain_readable_then_writable),
	    cmocka_unit_test(test_virtqueue_chain_writable_only),
	    cmocka_unit_test(test_virtqueue_chain_of_all_descriptors),
	    cmocka_unit_test(test_virtqueue_chain_indirect),
	    cmocka_unit_test(test_virtqueue_chain_direct_then_indirect),
	    cmocka_unit_test(test_virtqueue_chain_table_anywhere),
	    cmocka_unit_test(test_virtqueue_chain_full_table),
	    cmocka_unit_test(test_virtqueue_chain_buffer_spans_regions),
	    cmocka_unit_test(test_virtqueue_chain_buffer_leaves_memory),
	    cmocka_unit_test(test_virtqueue_chain_zero_length),
	    cmocka_unit_test(test_virtqueue_chain_zero_length_loop),
	    cmocka_unit_test(
		test_virtqueue_chain_user_and_arrays_are_the_devices),
	    cmocka_unit_test(test_virtqueue_chain_segments),
	    cmocka_unit_test(test_virtqueue_chain_segments_count_pieces),
	    cmocka_unit_test(test_virtqueue_chain_long_ones_in_flight),
	    cmocka_unit_test(test_virtqueue_chain_waits_for_an_area),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
