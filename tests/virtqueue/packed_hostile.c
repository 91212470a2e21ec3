/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A driver of a packed ring that breaks the rules. Each case names what it
 * did to somebody else, where it did.
 */
#include "packed_box.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

static void open_plain(struct packed_box *p)
{
	packed_open(p,
		    &(struct packed_opts){.num = 7, .features = BOX_INDIRECT});
}

/* One list of a few descriptors, or of one that refers to a table. */
struct hostile {
	const char *name;
	struct {
		vh_gpa address;
		uint32_t length;
		unsigned int id;
		unsigned int flags;
	} descriptors[3];
	struct {
		vh_gpa address;
		uint32_t length;
		unsigned int flags;
	} entries[3];
	uint32_t fault;
};

#define D BOX_DATA
#define T BOX_TABLES

static const struct hostile cases[] = {
    {"CVE-2026-86846: an id as large as the ring",
     {{D, 1, 7, 0}},
     {{0}},
     VH_FAULT_RING_HEAD},
    {"CVE-2026-86846: the largest id",
     {{D, 1, 65535, 0}},
     {{0}},
     VH_FAULT_RING_HEAD},
    {"an id out of range in the last one of a list",
     {{D, 1, 0, F_NEXT}, {D, 1, 0, F_NEXT}, {D, 1, 32768, 0}},
     {{0}},
     VH_FAULT_RING_HEAD},
    {"an id out of range with a table",
     {{T, 16, 7, F_INDIRECT}},
     {{D, 1, 0}},
     VH_FAULT_RING_HEAD},
    {"a readable one after a writable one",
     {{D, 1, 0, F_NEXT | F_WRITE}, {D, 1, 0, 0}},
     {{0}},
     VH_FAULT_DESC_ORDER},
    {"an empty readable one after a writable one",
     {{D, 1, 0, F_NEXT | F_WRITE}, {D, 0, 0, 0}},
     {{0}},
     VH_FAULT_DESC_ORDER},
    {"a readable one after an empty writable one",
     {{D, 0, 0, F_NEXT | F_WRITE}, {D, 1, 0, 0}},
     {{0}},
     VH_FAULT_DESC_ORDER},
    {"the order in a table",
     {{T, 32, 0, F_INDIRECT}},
     {{D, 1, F_WRITE}, {D, 1, 0}},
     VH_FAULT_DESC_ORDER},
    {"CVE-2026-93683: a table of no bytes",
     {{T, 0, 0, F_INDIRECT}},
     {{0}},
     VH_FAULT_DESC_INDIRECT},
    {"CVE-2026-93683: a table of 15 bytes",
     {{T, 15, 0, F_INDIRECT}},
     {{0}},
     VH_FAULT_DESC_INDIRECT},
    {"CVE-2026-93683: a table of 17 bytes",
     {{T, 17, 0, F_INDIRECT}},
     {{0}},
     VH_FAULT_DESC_INDIRECT},
    {"CVE-2026-93683: a table of nearly 4 GiB",
     {{T, 0xfffffff0, 0, F_INDIRECT}},
     {{D, 1, 0}},
     VH_FAULT_DESC_ADDR},
    {"both INDIRECT and NEXT",
     {{T, 16, 0, F_INDIRECT | F_NEXT}, {D, 1, 0, 0}},
     {{D, 1, 0}},
     VH_FAULT_DESC_INDIRECT},
    {"both, in two descriptors",
     {{D, 1, 0, F_NEXT}, {T, 16, 0, F_INDIRECT}},
     {{D, 1, 0}},
     VH_FAULT_DESC_INDIRECT},
    {"both, after one without bytes",
     {{D, 0, 0, F_NEXT}, {T, 16, 0, F_INDIRECT}},
     {{D, 1, 0}},
     VH_FAULT_DESC_INDIRECT},
    {"a table in a hole",
     {{BOX_C - 16, 16, 0, F_INDIRECT}},
     {{0}},
     VH_FAULT_DESC_ADDR},
    {"CVE-2018-1059: a table that leaves memory by one byte",
     {{BOX_C + BOX_C_SIZE - 15, 16, 0, F_INDIRECT}},
     {{0}},
     VH_FAULT_DESC_ADDR},
    {"CVE-2018-1059: a table that leaves memory by one entry",
     {{BOX_C + BOX_C_SIZE - 16, 32, 0, F_INDIRECT}},
     {{0}},
     VH_FAULT_DESC_ADDR},
    {"a table that wraps to address 0",
     {{BOX_D + BOX_D_SIZE - 16, 32, 0, F_INDIRECT}},
     {{0}},
     VH_FAULT_DESC_ADDR},
    {"CVE-2020-14374: a buffer in a table that wraps",
     {{T, 16, 0, F_INDIRECT}},
     {{UINT64_MAX, 2, 0}},
     VH_FAULT_DESC_ADDR},
    {"a buffer that ends one byte behind a region",
     {{D, 1, 0, F_NEXT}, {BOX_C + BOX_C_SIZE - 8, 9, 0, F_WRITE}},
     {{0}},
     VH_FAULT_DESC_ADDR},
    {"a buffer that begins one byte before a region",
     {{BOX_C - 1, 9, 0, F_WRITE}},
     {{0}},
     VH_FAULT_DESC_ADDR},
};

static void test_virtqueue_packed_hostile_chains(void **state)
{
	(void)state;
	for (unsigned int c = 0; c < sizeof(cases) / sizeof(*cases); c++) {
		const struct hostile *h = &cases[c];
		struct packed_box p;

		print_message("%s\n", h->name);
		open_plain(&p);
		for (unsigned int i = 0; i < 3 && h->descriptors[i].address;
		     i++)
			packed_send(
			    &p, h->descriptors[i].id, h->descriptors[i].address,
			    h->descriptors[i].length, h->descriptors[i].flags);
		for (unsigned int i = 0; i < 3; i++)
			packed_entry(&p, T, i, h->entries[i].address,
				     h->entries[i].length, h->entries[i].flags);
		box_expect_fault(&p.box, h->fault);
		box_close(&p.box);
	}
}

static void test_virtqueue_packed_hostile_indirect_not_negotiated(void **state)
{
	struct packed_box p;

	(void)state;
	packed_open(&p, &(struct packed_opts){.num = 8});
	packed_entry(&p, T, 0, D, 1, 0);
	packed_send(&p, 0, T, 16, F_INDIRECT);
	box_expect_fault(&p.box, VH_FAULT_DESC_INDIRECT);
	box_close(&p.box);
}

/* A list that goes round the ring and doesn't end, of whatever pieces. */
static void test_virtqueue_packed_hostile_list_without_an_end(void **state)
{
	static const uint32_t sizes[] = {1, 2, 3, 7, 8, 9, 10, 100, 32768};

	(void)state;
	for (unsigned int i = 0; i < 3 * sizeof(sizes) / sizeof(*sizes); i++) {
		uint32_t num = sizes[i / 3];
		struct packed_box p;

		packed_open(&p, &(struct packed_opts){.num = num});
		for (unsigned int j = 0; j < num; j++)
			packed_send(&p, 0, D, i % 3 == 2 ? j & 1 : i % 3,
				    F_NEXT);
		box_expect_fault(&p.box, VH_FAULT_DESC_LOOP);
		box_close(&p.box);
	}
}

static void test_virtqueue_packed_hostile_endless_table(void **state)
{
	(void)state;
	for (uint32_t count = 32769; count < 32780; count += 10) {
		struct packed_box p;

		open_plain(&p);
		packed_send(&p, 0, T, 16 * count, F_INDIRECT);
		box_expect_fault(&p.box, VH_FAULT_DESC_LOOP);
		box_close(&p.box);
	}
}

/* virtio-queue d951283: more than 4 GiB in a chain. */
static void test_virtqueue_packed_hostile_length_sum(void **state)
{
	const uint32_t half = UINT32_C(1) << 31;
	struct vh_memory *more;
	struct vh_chain *chain;
	struct vh_region big;
	struct packed_box p;

	(void)state;
	for (unsigned int over = 0; over < 2; over++) {
		open_plain(&p);
		/* 2 GiB of address space; nothing of it is touched. */
		assert_int_equal(ftruncate(p.box.fd, (off_t)half + 0x1000000),
				 0);
		big = (struct vh_region){
		    .guest = UINT64_C(1) << 40,
		    .size = half,
		    .user = {UINT64_C(1) << 40},
		    .fd_offset = 0x1000000,
		    .fd = p.box.fd,
		};
		assert_int_equal(vh_memory_add(p.box.memory, &big, NULL, &more),
				 0);
		assert_int_equal(vh_virtqueue_set_memory(p.box.queue, more), 0);
		vh_memory_unref(more);
		packed_send(&p, 0, big.guest, half, F_NEXT);
		packed_send(&p, 0, big.guest, half - 1 + over, F_WRITE);
		if (over) {
			box_expect_fault(&p.box, VH_FAULT_DESC_LENGTH);
		} else {
			chain = box_pop(&p.box);
			assert_int_equal(chain->readable_size, half);
			assert_int_equal(chain->writable_size, half - 1);
		}
		box_close(&p.box);
	}
}

/* CVE-2026-45782, CVE-2016-5403: an id that is in flight. */
static void test_virtqueue_packed_hostile_id_twice(void **state)
{
	struct vh_chain *chains[VH_VIRTQUEUE_BURST], *chain;
	struct packed_box p;

	(void)state;
	open_plain(&p);
	packed_send(&p, 3, D, 1, 0);
	chain = box_pop(&p.box);
	packed_send(&p, 3, D, 1, 0);
	box_expect_fault(&p.box, VH_FAULT_RING_BUSY);
	/* The one that is in flight is whole, and is taken back silently. */
	box_expect_piece(&p.box, chain->readable, D, 1);
	vh_virtqueue_push(p.box.queue, chain, 0);
	assert_int_equal(vh_virtqueue_inflight(p.box.queue), 0);
	packed_expect_none_used(&p);
	box_close(&p.box);

	/* In one burst: the first of the two is given. */
	open_plain(&p);
	packed_send(&p, 3, D, 1, 0);
	packed_send(&p, 3, D, 1, 0);
	assert_int_equal(vh_virtqueue_pop(p.box.queue, chains, 32), 1);
	assert_int_equal(vh_virtqueue_fault(p.box.queue)->code,
			 VH_FAULT_RING_BUSY);
	box_close(&p.box);

	/* After it was returned it may come again. */
	open_plain(&p);
	for (unsigned int i = 0; i < 100; i++) {
		packed_send(&p, 3, D, 1, 0);
		vh_virtqueue_push(p.box.queue, box_pop(&p.box), 0);
		assert_int_equal(vh_virtqueue_publish(p.box.queue), 1);
		packed_expect_used(&p, 3, 0, 1);
	}
	box_close(&p.box);
}

/*
 * The ring goes round while all of it is in flight: more is made available
 * than there are descriptors. Completions must stay in the ring.
 */
static void test_virtqueue_packed_hostile_more_than_the_ring(void **state)
{
	static const uint64_t features[] = {0, BOX_IN_ORDER};

	(void)state;
	for (unsigned int i = 0; i < 2 * 4; i++) {
		struct vh_chain *chains[4];
		unsigned int count = 0;
		char *behind, zeroes[16 * 64] = {0};
		struct packed_box p;
		int n;

		packed_open(&p, &(struct packed_opts){
				    .num = 4, .features = features[i % 2]});
		behind = box_host(&p.box, BOX_DESCRIPTORS + 16 * 4);
		for (unsigned int id = 0; id < 4; id++) {
			for (unsigned int j = 0; j < 4 - i / 2; j++)
				packed_send(&p, id, D, 1,
					    j < 3 - i / 2 ? F_NEXT : 0);
			n = vh_virtqueue_pop(p.box.queue, &chains[count], 1);
			if (n < 0)
				break;
			count += (unsigned int)n;
		}
		if (i / 2 < 3)
			assert_int_equal(vh_virtqueue_fault(p.box.queue)->code,
					 VH_FAULT_RING_BUSY);
		else
			assert_int_equal(count, 4);
		while (count)
			vh_virtqueue_push(p.box.queue, chains[--count], 0);
		(void)!vh_virtqueue_publish(p.box.queue);
		assert_int_equal(vh_virtqueue_inflight(p.box.queue), 0);
		assert_memory_equal(behind, zeroes, sizeof(zeroes));
		box_close(&p.box);
	}
}

/* Every id is in flight, and one more chain is there. */
static void test_virtqueue_packed_hostile_ring_over_full(void **state)
{
	struct vh_chain *chains[VH_VIRTQUEUE_BURST];
	struct packed_box p;

	(void)state;
	open_plain(&p);
	for (unsigned int id = 0; id < 7; id++)
		packed_send(&p, id, D, 1, 0);
	assert_int_equal(vh_virtqueue_pop(p.box.queue, chains, 32), 7);
	assert_false(vh_virtqueue_pending(p.box.queue));
	packed_send(&p, 0, D, 1, 0);
	assert_int_equal(vh_virtqueue_pop(p.box.queue, chains, 32), -EPROTO);
	assert_int_equal(vh_virtqueue_fault(p.box.queue)->code,
			 VH_FAULT_RING_BUSY);
	box_close(&p.box);
}

/* Good chains before the bad one are given; it isn't counted as popped. */
static void test_virtqueue_packed_hostile_burst_with_a_bad_chain(void **state)
{
	struct vh_chain *chains[VH_VIRTQUEUE_BURST];
	const struct vh_fault *fault;
	struct packed_box p;

	(void)state;
	open_plain(&p);
	for (unsigned int i = 0; i < 6; i++)
		packed_send(&p, i, D, i == 4 ? 0x7fffffff : 1, 0);
	assert_int_equal(vh_virtqueue_pop(p.box.queue, chains, 32), 4);
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(chains[i]->head, i);
		box_expect_piece(&p.box, chains[i]->readable, D, 1);
	}
	assert_int_equal(vh_virtqueue_base(p.box.queue),
			 PACKED_BASE(4, 1, 0, 1));
	assert_int_equal(vh_virtqueue_inflight(p.box.queue), 4);
	assert_int_equal(vh_virtqueue_pop(p.box.queue, chains, 32), -EPROTO);
	fault = vh_virtqueue_fault(p.box.queue);
	assert_int_equal(fault->code, VH_FAULT_DESC_ADDR);
	assert_non_null(strstr(fault->text, "descriptor 4"));
	assert_non_null(strstr(fault->text, "0x7fffffff"));
	for (unsigned int i = 0; i < 4; i++)
		vh_virtqueue_push(p.box.queue, chains[i], 0);
	assert_int_equal(vh_virtqueue_publish(p.box.queue), 0);
	packed_expect_none_used(&p);
	assert_int_equal(vh_virtqueue_inflight(p.box.queue), 0);
	box_close(&p.box);
}

/* Only the two bits say whether a descriptor is available. */
static void test_virtqueue_packed_hostile_flags(void **state)
{
	static const uint32_t bases[] = {PACKED_BASE(5, 1, 5, 1),
					 PACKED_BASE(5, 0, 5, 0)};

	(void)state;
	for (unsigned int i = 0; i < 8; i++) {
		unsigned int both =
		    (i & 1 ? F_AVAIL : 0) | (i & 2 ? F_USED : 0);
		bool wrap = !(i & 4);
		bool there = both == (wrap ? F_AVAIL : F_USED);
		struct vh_chain *chain;
		struct packed_box p;

		packed_open(
		    &p, &(struct packed_opts){.num = 7, .base = bases[!wrap]});
		/* Bits that mean nothing don't count. */
		packed_write(&p, 5, D, 1, 6, both | 0x7f78);
		assert_int_equal(vh_virtqueue_pending(p.box.queue), there);
		assert_int_equal(vh_virtqueue_pop(p.box.queue, &chain, 1),
				 there);
		assert_null(vh_virtqueue_fault(p.box.queue));
		box_close(&p.box);
	}
}

/* It is taken back before it was popped: as if it had never been. */
static void test_virtqueue_packed_hostile_taken_back(void **state)
{
	struct packed_box p;
	struct vh_chain *chain;

	(void)state;
	open_plain(&p);
	packed_send(&p, 0, D, 1, 0);
	assert_true(vh_virtqueue_pending(p.box.queue));
	packed_write(&p, 0, D, 1, 0, 0);
	assert_false(vh_virtqueue_pending(p.box.queue));
	assert_int_equal(vh_virtqueue_pop(p.box.queue, &chain, 1), 0);
	packed_write(&p, 0, D, 9, 5, F_AVAIL);
	assert_int_equal(box_pop(&p.box)->readable_size, 9);
	box_close(&p.box);
}

/* The driver changes a chain after it was popped: nobody looks again. */
static void test_virtqueue_packed_hostile_change_after_pop(void **state)
{
	struct vh_chain *chain;
	struct packed_box p;

	(void)state;
	open_plain(&p);
	packed_send(&p, 1, D, 10, F_WRITE | F_NEXT);
	packed_send(&p, 1, D + 10, 10, F_WRITE);
	chain = box_pop(&p.box);
	for (unsigned int i = 0; i < 7; i++)
		packed_write(&p, i, 0, UINT32_MAX, 0xffff, 0xffff);
	box_expect_piece(&p.box, chain->writable, D, 10);
	vh_virtqueue_push(p.box.queue, chain, 1000);
	assert_int_equal(vh_virtqueue_publish(p.box.queue), 1);
	packed_expect_used(&p, 1, 20, 2);
	box_close(&p.box);
}

/* A.3: the device's own places aren't taken from shared memory. */
static void test_virtqueue_packed_hostile_events_are_rewritten(void **state)
{
	struct packed_box p;

	(void)state;
	packed_open(&p,
		    &(struct packed_opts){.num = 7, .features = BOX_EVENT_IDX});
	for (unsigned int i = 1; i < 40; i++) {
		packed_send(&p, 6, D, 1, 0);
		vh_virtqueue_push(p.box.queue, box_pop(&p.box), 0);
		*(uint32_t *)box_host(&p.box, BOX_DEVICE_EVENT) = i * 12345678;
		*(uint32_t *)box_host(&p.box, BOX_DRIVER_EVENT) = i * 87654321;
		assert_true(vh_virtqueue_publish(p.box.queue) >= 0);
		packed_expect_used(&p, 6, 0, 1);
		assert_int_equal(vh_virtqueue_base(p.box.queue),
				 PACKED_BASE(p.place, p.wrap, p.place, p.wrap));
	}
	box_close(&p.box);
}

/* A broken one that is made anew is a new one: nothing is left of it. */
static void test_virtqueue_packed_hostile_reset(void **state)
{
	struct vh_virtqueue_opts opts;
	struct vh_chain *chain;
	struct packed_box p;

	(void)state;
	open_plain(&p);
	for (unsigned int turn = 0; turn < 5; turn++) {
		packed_send(&p, 2, D, 1, F_WRITE);
		chain = box_pop(&p.box);
		packed_send(&p, 7 + turn, D, 1, 0);
		box_expect_fault(&p.box, VH_FAULT_RING_HEAD);
		vh_virtqueue_push(p.box.queue, chain, 1);
		vh_virtqueue_free(p.box.queue);
		/* The driver writes a fresh ring. */
		memset(box_host(&p.box, BOX_DESCRIPTORS), 0, 16 * 7);
		packed_set_base(&p, PACKED_BASE(0, 1, 0, 1));
		opts = box_queue_opts(&p.box);
		opts.base = VH_VIRTQUEUE_FRESH_PACKED;
		assert_int_equal(
		    vh_virtqueue_new(&opts, p.box.memory, NULL, &p.box.queue),
		    0);
		assert_null(vh_virtqueue_fault(p.box.queue));
		assert_int_equal(vh_virtqueue_inflight(p.box.queue), 0);
		packed_send(&p, 2, D, 1, F_WRITE);
		vh_virtqueue_push(p.box.queue, box_pop(&p.box), 1);
		assert_int_equal(vh_virtqueue_publish(p.box.queue), 1);
		packed_expect_used(&p, 2, 1, 1);
	}
	box_close(&p.box);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_virtqueue_packed_hostile_chains),
	    cmocka_unit_test(
		test_virtqueue_packed_hostile_indirect_not_negotiated),
	    cmocka_unit_test(test_virtqueue_packed_hostile_list_without_an_end),
	    cmocka_unit_test(test_virtqueue_packed_hostile_endless_table),
	    cmocka_unit_test(test_virtqueue_packed_hostile_length_sum),
	    cmocka_unit_test(test_virtqueue_packed_hostile_id_twice),
	    cmocka_unit_test(test_virtqueue_packed_hostile_more_than_the_ring),
	    cmocka_unit_test(test_virtqueue_packed_hostile_ring_over_full),
	    cmocka_unit_test(
		test_virtqueue_packed_hostile_burst_with_a_bad_chain),
	    cmocka_unit_test(test_virtqueue_packed_hostile_flags),
	    cmocka_unit_test(test_virtqueue_packed_hostile_taken_back),
	    cmocka_unit_test(test_virtqueue_packed_hostile_change_after_pop),
	    cmocka_unit_test(
		test_virtqueue_packed_hostile_events_are_rewritten),
	    cmocka_unit_test(test_virtqueue_packed_hostile_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
