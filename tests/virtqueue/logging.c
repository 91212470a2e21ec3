/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* What a queue marks in a dirty log (vhost-user, "Migration"), and when. */
#include "either.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE  UINT64_C(4096)
#define LARGE 512 /* bytes: pages up to all of C */
#define SMALL 96  /* bytes: pages up to BOX_TABLES, below BOX_DATA */
#define RING_AT                                                                \
	UINT64_C(0x10000) /* where the ring is logged: not in a region */

struct log {
	struct vh_dirty_log *log;
	uint8_t *bits;
	size_t size;
};

static void log_open(struct log *log, size_t size)
{
	int fd = memfd_create("log", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 4096), 0);
	log->size = size;
	log->bits = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(log->bits != MAP_FAILED);
	assert_int_equal(vh_dirty_log_new(fd, 0, size, NULL, &log->log), 0);
	close(fd);
}

static void log_close(struct log *log)
{
	vh_dirty_log_unref(log->log);
	munmap(log->bits, 4096);
}

/* Takes the bit of a page. */
static bool take(const struct log *log, vh_gpa guest)
{
	uint64_t page = guest / PAGE;
	uint8_t bit = (uint8_t)(1u << page % 8);
	bool set;

	assert_true(page / 8 < log->size);
	set = log->bits[page / 8] & bit;
	log->bits[page / 8] &= (uint8_t)~bit;
	return set;
}

static void expect_marked(const struct log *log, vh_gpa guest, uint64_t size)
{
	for (vh_gpa at = guest / PAGE * PAGE; at < guest + size; at += PAGE)
		if (!take(log, at))
			fail_msg("0x%llx isn't marked", (unsigned long long)at);
}

/* No other page, and nothing behind the log. */
static void expect_no_more(const struct log *log)
{
	for (size_t i = 0; i < 4096; i++)
		if (log->bits[i])
			fail_msg("byte %zu is 0x%x", i, log->bits[i]);
}

static void set_log(struct either *e, struct log *log, bool ring)
{
	assert_int_equal(vh_virtqueue_set_log(e->box->queue,
					      log ? log->log : NULL, ring,
					      RING_AT),
			 0);
}

static void publish(struct either *e)
{
	assert_true(vh_virtqueue_publish(e->box->queue) >= 0);
}

static void for_both(void (*test)(bool packed, uint64_t features))
{
	for (unsigned int i = 0; i < 4; i++)
		test(i & 1, i & 2 ? BOX_IN_ORDER : 0);
}

/* Bytes that were written, and no others; when they are shown at the latest. */
static void written_bytes(bool packed, uint64_t features)
{
	static const struct {
		uint32_t written;
		unsigned int marked[3]; /* pages of each buffer */
	} cases[] = {
	    {0, {0, 0, 0}},
	    {1, {1, 0, 0}},
	    {100, {1, 0, 0}},
	    {101, {2, 0, 0}},
	    {PAGE + 100, {2, 0, 0}},
	    {PAGE + 101, {3, 0, 0}},
	    {2 * PAGE, {3, 0, 0}},
	    {2 * PAGE + 1, {3, 1, 0}},
	    {2 * PAGE + 10, {3, 1, 0}},
	    {2 * PAGE + 11, {3, 1, 1}},
	    {UINT32_MAX, {3, 1, 1}},
	};
	const struct buffer buffers[4] = {
	    {BOX_DATA, PAGE, 0},
	    {BOX_DATA + 9 * PAGE - 100, 2 * PAGE, F_WRITE},
	    {BOX_C + 5, 10, F_WRITE},
	    {BOX_B + PAGE, 1, F_WRITE},
	};
	struct either e;
	struct log log;

	log_open(&log, LARGE);
	either_open(&e, packed, features);
	set_log(&e, &log, false);
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct vh_chain *chain;

		either_send(&e, 2, buffers, 4);
		chain = either_pop(&e, 2);
		expect_no_more(&log);
		/* The device may forget where they were. */
		memset(chain, 0, sizeof(*chain));
		vh_virtqueue_push(e.box->queue, chain, cases[i].written);
		publish(&e);
		for (unsigned int j = 0; j < 3; j++)
			if (cases[i].marked[j])
				expect_marked(&log, buffers[j + 1].address,
					      (cases[i].marked[j] - 1) * PAGE +
						  1);
		expect_no_more(&log);
		either_expect(&e, 2,
			      cases[i].written < 2 * PAGE + 11
				  ? cases[i].written
				  : 2 * PAGE + 11);
	}
	box_close(e.box);
	log_close(&log);
}

static void test_virtqueue_logging_written_bytes(void **state)
{
	(void)state;
	for_both(written_bytes);
}

/* A buffer over a border of regions; a chain of more pieces than a slot has. */
static void many_pieces(bool packed, uint64_t features)
{
	struct vh_chain *chain;
	struct either e;
	struct log log;

	log_open(&log, LARGE);
	either_open(&e, packed, features | BOX_INDIRECT);
	set_log(&e, &log, false);
	for (unsigned int i = 0; i < 20; i++) {
		vh_gpa at = i == 7 ? BOX_B - 1 : BOX_DATA + 2 * i * PAGE;

		if (packed)
			packed_entry(&e.p, BOX_TABLES, i, at, 2, F_WRITE);
		else
			box_entry(e.box, BOX_TABLES, i, at, 2,
				  F_WRITE | (i < 19 ? F_NEXT : 0), i + 1);
	}
	either_send_one(&e, 0, BOX_TABLES, 320, F_INDIRECT);
	chain = either_pop(&e, 0);
	assert_int_equal(chain->writable_count, 21);
	vh_virtqueue_push(e.box->queue, chain, 39);
	publish(&e);
	for (unsigned int i = 0; i < 20; i++)
		expect_marked(&log,
			      i == 7 ? BOX_B - 1 : BOX_DATA + 2 * i * PAGE, 2);
	expect_no_more(&log);
	box_close(e.box);
	log_close(&log);
}

static void test_virtqueue_logging_many_pieces(void **state)
{
	(void)state;
	for_both(many_pieces);
}

/* A packed ring is marked where it is, a split one where it is said to be. */
static void ring_itself(bool packed, uint64_t features)
{
	struct either e;
	struct log log;

	log_open(&log, LARGE);
	either_open(&e, packed, features);
	set_log(&e, &log, true);
	for (unsigned int i = 0; i < 2 * EITHER_NUM; i++) {
		struct vh_chain *chains[2];

		either_send_one(&e, 0, BOX_DATA, 1, 0);
		either_send_one(&e, 1, BOX_DATA, 1, 0);
		assert_int_equal(vh_virtqueue_pop(e.box->queue, chains, 2), 2);
		vh_virtqueue_push(e.box->queue, chains[0], 0);
		vh_virtqueue_push(e.box->queue, chains[1], 0);
		publish(&e);
		expect_marked(&log, packed ? BOX_DESCRIPTORS : RING_AT, 1);
		expect_no_more(&log);
		while (e.order_count) {
			unsigned int id;
			uint32_t written;

			assert_true(either_collect(&e, &id, &written) > 0);
		}
		/* Asking for kicks is writing, too. */
		vh_virtqueue_disable_kick(e.box->queue);
		expect_marked(&log, RING_AT, 1);
		expect_no_more(&log);
		assert_int_equal(vh_virtqueue_enable_kick(e.box->queue), 0);
		expect_marked(&log, RING_AT, 1);
		expect_no_more(&log);
	}
	box_close(e.box);
	log_close(&log);
}

static void test_virtqueue_logging_ring_itself(void **state)
{
	(void)state;
	for_both(ring_itself);
}

/* Rings that lie over a border of pages: each page when it is written. */
static void ring_of_two_pages(bool packed, uint64_t features)
{
	/* What is written first, 8 bytes each but the header, begins here. */
	const vh_gpa at = RING_AT + PAGE - 4 - 8 * 3;
	struct vh_virtqueue_opts opts;
	struct either e;
	struct log log;

	if (packed)
		return;
	log_open(&log, LARGE);
	either_open_memory(&e, packed, features | BOX_EVENT_IDX);
	opts = either_opts(&e);
	assert_int_equal(either_try(&e, &opts, e.box->memory, NULL), 0);
	assert_int_equal(vh_virtqueue_set_log(e.box->queue, log.log, true, at),
			 0);
	for (unsigned int i = 0; i < 6; i++) {
		either_send_one(&e, 0, BOX_DATA, 1, 0);
		vh_virtqueue_push(e.box->queue, either_pop(&e, 0), 0);
		publish(&e);
		/* The index, and the element. */
		expect_marked(&log, RING_AT, 1);
		if (i >= 3)
			expect_marked(&log, RING_AT + PAGE, 1);
		expect_no_more(&log);
		either_expect(&e, 0, 0);
		/* avail_event lies behind the elements. */
		(void)!vh_virtqueue_enable_kick(e.box->queue);
		expect_marked(&log, RING_AT + PAGE, 1);
		expect_no_more(&log);
	}
	box_close(e.box);
	log_close(&log);
}

static void test_virtqueue_logging_ring_of_two_pages(void **state)
{
	(void)state;
	for_both(ring_of_two_pages);
}

/* Chains count from the next one on, on and off, as often as one likes. */
static void on_and_off(bool packed, uint64_t features)
{
	struct vh_chain *chains[3];
	struct either e;
	struct log log;

	log_open(&log, LARGE);
	either_open(&e, packed, features);
	for (unsigned int turn = 0; turn < 20; turn++) {
		for (unsigned int id = 0; id < 3; id++)
			either_send_one(&e, id, BOX_DATA + id * PAGE, 1,
					F_WRITE);
		chains[0] = either_pop(&e, 0);
		set_log(&e, &log, turn & 1);
		set_log(&e, &log, turn & 2);
		assert_true(vh_virtqueue_holds_old_memory(e.box->queue));
		chains[1] = either_pop(&e, 1);
		set_log(&e, NULL, false);
		chains[2] = either_pop(&e, 2);
		for (unsigned int i = 0; i < 3; i++)
			vh_virtqueue_push(e.box->queue, chains[i], 1);
		assert_false(vh_virtqueue_holds_old_memory(e.box->queue));
		publish(&e);
		expect_marked(&log, BOX_DATA + PAGE, 1);
		expect_no_more(&log);
		while (e.order_count) {
			unsigned int id;
			uint32_t written;

			assert_true(either_collect(&e, &id, &written) > 0);
		}
	}
	box_close(e.box);
	log_close(&log);
}

static void test_virtqueue_logging_on_and_off(void **state)
{
	(void)state;
	for_both(on_and_off);
}

/*
 * One chain for a small log and one, at an address that this doesn't have,
 * for a large log: each mark is made in its own, in any order of pushes.
 */
static void two_logs(bool packed, uint64_t features)
{
	for (unsigned int i = 0; i < 8; i++) {
		vh_gpa low = BOX_A + 0x20000, high = BOX_C + 3 * PAGE;
		struct log small, large;
		struct vh_chain *a, *b;
		struct either e;

		log_open(&small, SMALL);
		log_open(&large, LARGE);
		either_open(&e, packed, features);
		set_log(&e, &small, i & 1);
		either_send_one(&e, 0, low, 1, F_WRITE);
		either_send_one(&e, 1, high, 1, F_WRITE);
		a = either_pop(&e, 0);
		set_log(&e, &large, i & 2);
		b = either_pop(&e, 1);
		vh_virtqueue_push(e.box->queue, i & 4 ? a : b, 1);
		vh_virtqueue_push(e.box->queue, i & 4 ? b : a, 1);
		publish(&e);
		expect_marked(&small, low, 1);
		expect_no_more(&small);
		expect_marked(&large, high, 1);
		if (i & 2)
			expect_marked(&large,
				      packed ? BOX_DESCRIPTORS : RING_AT, 1);
		expect_no_more(&large);
		box_close(e.box);
		log_close(&small);
		log_close(&large);
	}
}

static void test_virtqueue_logging_two_logs(void **state)
{
	(void)state;
	for_both(two_logs);
}

/* Marks that wait are made when the log goes, the queue ends or breaks. */
static void nothing_is_lost(bool packed, uint64_t features)
{
	for (unsigned int i = 0; i < 4; i++) {
		struct vh_memory *none;
		struct vh_chain *chain;
		struct either e;
		struct log log;

		log_open(&log, LARGE);
		either_open(&e, packed, features);
		set_log(&e, &log, false);
		either_send_one(&e, 0, BOX_DATA, 1, F_WRITE);
		chain = either_pop(&e, 0);
		if (i == 3) { /* popped on another map, and pushed on none */
			assert_int_equal(vh_memory_new(&none), 0);
			assert_int_equal(
			    vh_virtqueue_set_memory(e.box->queue, none),
			    -EFAULT);
			vh_memory_unref(none);
		}
		vh_virtqueue_push(e.box->queue, chain, 1);
		if (i == 0)
			set_log(&e, NULL, false);
		if (i == 1)
			vh_virtqueue_break(e.box->queue, VH_FAULT_IO, NULL,
					   "%d", 1);
		if (i == 2) {
			vh_virtqueue_free(e.box->queue);
			e.box->queue = NULL;
		}
		if (i < 3)
			expect_marked(&log, BOX_DATA, 1);
		expect_no_more(&log);
		box_close(e.box);
		log_close(&log);
	}
}

static void test_virtqueue_logging_nothing_is_lost(void **state)
{
	(void)state;
	for_both(nothing_is_lost);
}

/* Beyond the log there is nothing to mark, nor to overwrite. */
static void beyond_the_log(bool packed, uint64_t features)
{
	const struct buffer buffers[3] = {
	    {BOX_A + 3 * PAGE, 1, F_WRITE},
	    {BOX_D + BOX_D_SIZE - 5, 5, F_WRITE},
	    {BOX_C, BOX_C_SIZE, F_WRITE},
	};
	struct either e;
	struct log log;

	log_open(&log, SMALL);
	either_open(&e, packed, features);
	assert_int_equal(
	    vh_virtqueue_set_log(e.box->queue, log.log, true, UINT64_MAX - 7),
	    0);
	either_send(&e, 0, buffers, 3);
	vh_virtqueue_push(e.box->queue, either_pop(&e, 0), UINT32_MAX);
	publish(&e);
	vh_virtqueue_disable_kick(e.box->queue);
	expect_marked(&log, BOX_A + 3 * PAGE, 1);
	if (packed)
		expect_marked(&log, BOX_DESCRIPTORS, 1);
	else /* the address goes round: nobody forbids it */
		(void)take(&log, 0);
	expect_no_more(&log);
	box_close(e.box);
	log_close(&log);
}

static void test_virtqueue_logging_beyond_the_log(void **state)
{
	(void)state;
	for_both(beyond_the_log);
}

/* IOVAs aren't what is logged: guest-physical addresses are. */
/* There the address that the log is told is an IOVA: RING_AT isn't used. */
static void through_an_iotlb(bool packed, uint64_t features)
{
	const vh_gpa iova = UINT64_C(0x7000000000);
	const struct vh_iotlb_entry all = {iova, BOX_A_SIZE, BOX_A,
					   VH_ACCESS_READ | VH_ACCESS_WRITE};
	struct vh_memory *none, *iotlb;
	struct vh_virtqueue_opts opts;
	struct either e;
	struct log log;

	log_open(&log, LARGE);
	either_open_memory(&e, packed, features);
	assert_int_equal(vh_iotlb_new(e.box->memory, &none), 0);
	assert_int_equal(vh_iotlb_update(none, &all, NULL, &iotlb), 0);
	vh_memory_unref(none);
	opts = either_opts(&e);
	opts.descriptors += iova - BOX_A;
	opts.available += iova - BOX_A;
	opts.used += iova - BOX_A;
	assert_int_equal(either_try(&e, &opts, iotlb, NULL), 0);
	vh_memory_unref(iotlb);
	set_log(&e, &log, true);
	either_send_one(&e, 0, BOX_DATA + iova - BOX_A, 1, F_WRITE);
	vh_virtqueue_push(e.box->queue, either_pop(&e, 0), 1);
	publish(&e);
	expect_marked(&log, BOX_DATA, 1);
	expect_marked(&log, packed ? BOX_DESCRIPTORS : BOX_USED, 1);
	expect_no_more(&log);
	box_close(e.box);
	log_close(&log);
}

static void test_virtqueue_logging_through_an_iotlb(void **state)
{
	(void)state;
	for_both(through_an_iotlb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_virtqueue_logging_written_bytes),
	    cmocka_unit_test(test_virtqueue_logging_many_pieces),
	    cmocka_unit_test(test_virtqueue_logging_ring_itself),
	    cmocka_unit_test(test_virtqueue_logging_ring_of_two_pages),
	    cmocka_unit_test(test_virtqueue_logging_on_and_off),
	    cmocka_unit_test(test_virtqueue_logging_two_logs),
	    cmocka_unit_test(test_virtqueue_logging_nothing_is_lost),
	    cmocka_unit_test(test_virtqueue_logging_beyond_the_log),
	    cmocka_unit_test(test_virtqueue_logging_through_an_iotlb),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
