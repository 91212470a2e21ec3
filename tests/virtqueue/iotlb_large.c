/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Chains in more entries of an IOTLB than it likes to hold: they get through
 * whatever else it holds, or break the queue in words; none waits for ever.
 */
#include "iotlb_box.h"
#include <errno.h>
#include <string.h>

/* As many regions of a page each, so that one update adds as many entries. */
#define BLOCK	    64
#define BLOCK_SIZE  ((uint64_t)BLOCK * PAGE)
#define BLOCK_GUEST UINT64_C(0x20000000)
#define BLOCK_USER  UINT64_C(0x600000000000)
#define CHAIN	    (UINT64_C(1) << 32) /* IOVAs: below the ring's */
#define HIGH	    (UINT64_C(1) << 45)

/* A round is an answer to a miss; a chain that gets through needs few. */
#define ROUNDS_MAX 150

static void add_regions(struct test *t)
{
	struct vh_memory *more;

	for (uint64_t i = 0; i < BLOCK; i++) {
		const struct vh_region region = {
		    .guest = BLOCK_GUEST + i * PAGE,
		    .size = PAGE,
		    .user = {BLOCK_USER + 2 * i * PAGE},
		    .fd_offset = i * PAGE,
		    .fd = t->e.box->fd,
		};

		assert_int_equal(
		    vh_memory_add(t->e.box->memory, &region, NULL, &more), 0);
		vh_memory_unref(t->e.box->memory);
		t->e.box->memory = more;
	}
}

/* A queue with its ring; others have so many blocks, all of them above. */
static void open_large(struct test *t, bool packed, unsigned int others)
{
	open_test(t, packed, 0);
	add_regions(t);
	vh_memory_unref(t->iotlb);
	assert_int_equal(vh_iotlb_new(t->e.box->memory, &t->iotlb), 0);
	allow_ring(t);
	start(t);
	for (unsigned int i = 0; i < others; i++)
		allow_at(t, HIGH + i * BLOCK_SIZE, BLOCK_GUEST, BLOCK_SIZE,
			 BOTH);
	refresh(t);
}

/* Answers misses; returns what pop does at last. */
static int pop_at_last(struct test *t, struct vh_chain **ret_chain)
{
	unsigned int rounds = 0;
	uint32_t access;
	vh_gpa missing;
	int r;

	for (;;) {
		r = vh_virtqueue_pop(t->e.box->queue, ret_chain, 1);
		if (r != 0)
			return r;
		assert_true(
		    vh_virtqueue_missing(t->e.box->queue, &missing, &access));
		assert_true(rounds++ < ROUNDS_MAX);
		if (missing < CHAIN || missing >= IOVA)
			allow_ring(t);
		else
			allow_at(t, missing / BLOCK_SIZE * BLOCK_SIZE,
				 BLOCK_GUEST, BLOCK_SIZE, BOTH);
		refresh(t);
	}
}

static void gets_through(bool packed, unsigned int pages, unsigned int others)
{
	struct vh_chain *chain;
	struct test t;

	open_large(&t, packed, others);
	for (unsigned int i = 0; i < 3; i++) {
		/* other IOVAs each time */
		either_send_one(&t.e, i, CHAIN + i * (CHAIN >> 4), pages * PAGE,
				F_WRITE);
		assert_int_equal(pop_at_last(&t, &chain), 1);
		assert_int_equal(chain->writable_count, pages);
		assert_int_equal(chain->writable_size, pages * PAGE);
		vh_virtqueue_push(t.e.box->queue, chain, 1);
		assert_true(vh_virtqueue_publish(t.e.box->queue) >= 0);
		either_expect(&t.e, i, 1);
	}
	close_test(&t);
}

/* With nothing else, and with an IOTLB that was full before. */
static void fits(bool packed)
{
	gets_through(packed, 2000, 0);
	gets_through(packed, 2000, 80);
	gets_through(packed, 2, 80);
}

static void test_virtqueue_iotlb_large_chain_fits(void **state)
{
	(void)state;
	for_both(fits);
}

static void must_break(struct test *t)
{
	const struct vh_fault *fault;
	struct vh_chain *chain;

	assert_int_equal(pop_at_last(t, &chain), -EPROTO);
	fault = vh_virtqueue_fault(t->e.box->queue);
	assert_int_equal(fault->code, VH_FAULT_DESC_SEGMENTS);
	assert_non_null(strstr(fault->text, "entries of the IOTLB"));
	close_test(t);
}

static void too_large(bool packed)
{
	for (unsigned int others = 0; others <= 80; others += 80) {
		struct test t;

		open_large(&t, packed, others);
		either_send_one(&t.e, 0, CHAIN, 5000 * PAGE, F_WRITE);
		must_break(&t);
		/* a table, of which the first entry is all that counts */
		open_large(&t, packed, others);
		either_send_one(&t.e, 0, CHAIN, 5000 * PAGE, F_INDIRECT);
		must_break(&t);
	}
}

static void test_virtqueue_iotlb_large_chain_is_too_large(void **state)
{
	(void)state;
	for_both(too_large);
}

/* As long as there is room, half of it is no limit. */
static void has_room(bool packed)
{
	struct vh_chain *chain;
	struct test t;

	open_large(&t, packed, 0);
	either_send_one(&t.e, 0, CHAIN, 4000 * PAGE, 0);
	assert_int_equal(pop_at_last(&t, &chain), 1);
	assert_int_equal(chain->readable_count, 4000);
	vh_virtqueue_push(t.e.box->queue, chain, 0);
	close_test(&t);
}

static void test_virtqueue_iotlb_large_chain_has_room(void **state)
{
	(void)state;
	for_both(has_room);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_virtqueue_iotlb_large_chain_fits),
	    cmocka_unit_test(test_virtqueue_iotlb_large_chain_is_too_large),
	    cmocka_unit_test(test_virtqueue_iotlb_large_chain_has_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
