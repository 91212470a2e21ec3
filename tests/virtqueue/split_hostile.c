/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A driver that breaks the rules. Each case names what it did to somebody
 * else, where it did.
 */
#include "box.h"
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

static void open_plain(struct box *box)
{
	box_open(box, &(struct box_opts){.num = 8, .features = BOX_INDIRECT});
}

/* One chain of a few descriptors, or of one that refers to a table. */
struct hostile {
	const char *name;
	struct {
		vh_gpa address;
		uint32_t length;
		unsigned int flags;
		unsigned int next;
	} descriptors[3], entries[4];
	uint32_t fault;
};

#define D BOX_DATA
#define T BOX_TABLES

static const struct hostile cases[] = {
    {"CVE-2019-9547: a descriptor that is its own next",
     {{D, 1, F_NEXT, 0}},
     {{0}},
     VH_FAULT_DESC_LOOP},
    {"CVE-2019-9547: two that point to each other",
     {{D, 1, F_NEXT, 1}, {D, 1, F_NEXT, 0}},
     {{0}},
     VH_FAULT_DESC_LOOP},
    {"A.3: a loop of writable ones",
     {{D, 1, F_NEXT | F_WRITE, 0}},
     {{0}},
     VH_FAULT_DESC_LOOP},
    {"CVE-2026-93683: next is the size of the queue",
     {{D, 1, F_NEXT, 8}},
     {{0}},
     VH_FAULT_DESC_NEXT},
    {"CVE-2026-93683: next is the largest number",
     {{D, 1, F_NEXT, 65535}},
     {{0}},
     VH_FAULT_DESC_NEXT},
    {"a readable one after a writable one",
     {{D, 1, F_NEXT | F_WRITE, 1}, {D, 1, 0, 0}},
     {{0}},
     VH_FAULT_DESC_ORDER},
    {"an empty readable one after a writable one",
     {{D, 1, F_NEXT | F_WRITE, 1}, {D, 0, 0, 0}},
     {{0}},
     VH_FAULT_DESC_ORDER},
    {"a readable one after an empty writable one",
     {{D, 0, F_NEXT | F_WRITE, 1}, {D, 1, 0, 0}},
     {{0}},
     VH_FAULT_DESC_ORDER},
    {"CVE-2026-93683: a table of no bytes",
     {{T, 0, F_INDIRECT, 0}},
     {{0}},
     VH_FAULT_DESC_INDIRECT},
    {"CVE-2026-93683: a table of 15 bytes",
     {{T, 15, F_INDIRECT, 0}},
     {{0}},
     VH_FAULT_DESC_INDIRECT},
    {"CVE-2026-93683: a table of 17 bytes",
     {{T, 17, F_INDIRECT, 0}},
     {{0}},
     VH_FAULT_DESC_INDIRECT},
    {"CVE-2026-93683: a table of nearly 4 GiB",
     {{T, 0xfffffff0, F_INDIRECT, 0}},
     {{D, 1, 0, 0}},
     VH_FAULT_DESC_ADDR},
    {"both INDIRECT and NEXT",
     {{T, 16, F_INDIRECT | F_NEXT, 1}, {D, 1, 0, 0}},
     {{D, 1, 0, 0}},
     VH_FAULT_DESC_INDIRECT},
    {"CVE-2019-9547: a table within a table",
     {{T, 32, F_INDIRECT, 0}},
     {{D, 1, F_NEXT, 1}, {T, 32, F_INDIRECT, 0}},
     VH_FAULT_DESC_INDIRECT},
    {"CVE-2019-9547: a table within itself at once",
     {{T, 16, F_INDIRECT, 0}},
     {{T, 16, F_INDIRECT, 0}},
     VH_FAULT_DESC_INDIRECT},
    {"CVE-2026-86848: next leaves the table, not the queue",
     {{T, 32, F_INDIRECT, 0}},
     {{D, 1, F_NEXT, 2}, {D, 1, 0, 0}},
     VH_FAULT_DESC_NEXT},
    {"CVE-2026-86848: a loop within a table",
     {{T, 32, F_INDIRECT, 0}},
     {{D, 1, F_NEXT, 1}, {D, 1, F_NEXT, 0}},
     VH_FAULT_DESC_LOOP},
    {"the order, over the border of a table",
     {{D, 1, F_WRITE | F_NEXT, 1}, {T, 16, F_INDIRECT, 0}},
     {{D, 1, 0, 0}},
     VH_FAULT_DESC_ORDER},
    {"a table in a hole",
     {{BOX_C - 16, 16, F_INDIRECT, 0}},
     {{0}},
     VH_FAULT_DESC_ADDR},
    {"CVE-2018-1059: a table that leaves memory by one entry",
     {{BOX_C + BOX_C_SIZE - 16, 32, F_INDIRECT, 0}},
     {{0}},
     VH_FAULT_DESC_ADDR},
    {"a table that wraps to address 0",
     {{BOX_D + BOX_D_SIZE - 16, 32, F_INDIRECT, 0}},
     {{0}},
     VH_FAULT_DESC_ADDR},
    {"CVE-2020-14374: a buffer in a table that wraps",
     {{T, 16, F_INDIRECT, 0}},
     {{UINT64_MAX, 2, 0, 0}},
     VH_FAULT_DESC_ADDR},
};

static void test_virtqueue_hostile_chains(void **state)
{
	(void)state;
	for (unsigned int c = 0; c < sizeof(cases) / sizeof(*cases); c++) {
		const struct hostile *h = &cases[c];
		struct box box;

		print_message("%s\n", h->name);
		open_plain(&box);
		for (unsigned int i = 0; i < 3; i++)
			box_descriptor(&box, i, h->descriptors[i].address,
				       h->descriptors[i].length,
				       h->descriptors[i].flags,
				       h->descriptors[i].next);
		for (unsigned int i = 0; i < 4; i++)
			box_entry(&box, T, i, h->entries[i].address,
				  h->entries[i].length, h->entries[i].flags,
				  h->entries[i].next);
		box_send(&box, 0);
		box_expect_fault(&box, h->fault);
		box_close(&box);
	}
}

static void test_virtqueue_hostile_indirect_not_negotiated(void **state)
{
	struct box box;

	(void)state;
	box_open(&box, &(struct box_opts){.num = 8});
	box_entry(&box, T, 0, D, 1, 0, 0);
	box_descriptor(&box, 0, T, 16, F_INDIRECT, 0);
	box_send(&box, 0);
	box_expect_fault(&box, VH_FAULT_DESC_INDIRECT);
	box_close(&box);
}

/*
 * Linux makes tables that are longer than the ring; what leads to the table
 * isn't bounded by it.
 */
static void test_virtqueue_hostile_table_longer_than_queue(void **state)
{
	(void)state;
	for (unsigned int direct = 0; direct < 8; direct++) {
		struct box box;

		open_plain(&box);
		for (unsigned int i = 0; i < direct; i++)
			box_descriptor(&box, i, D, 1, F_NEXT, i + 1);
		box_descriptor(&box, direct, T, 16 * 130, F_INDIRECT, 0);
		for (unsigned int i = 0; i < 130; i++)
			box_entry(&box, T, i, D, 1, i < 129 ? F_NEXT : 0,
				  i + 1);
		box_send(&box, 0);
		assert_int_equal(box_pop(&box)->descriptors, direct + 130);
		box_close(&box);
	}
}

static void test_virtqueue_hostile_table_that_loops(void **state)
{
	struct box box;

	(void)state;
	open_plain(&box);
	box_descriptor(&box, 0, T, 16 * 130, F_INDIRECT, 0);
	for (unsigned int i = 0; i < 130; i++)
		box_entry(&box, T, i, D, 1, F_NEXT, i < 129 ? i + 1 : 128);
	box_send(&box, 0);
	box_expect_fault(&box, VH_FAULT_DESC_LOOP);
	box_close(&box);
}

/* virtio-queue d951283: more than 4 GiB in a chain. */
static void test_virtqueue_hostile_length_sum(void **state)
{
	struct vh_memory *more;
	struct vh_chain *chain;
	struct vh_region big;
	struct box box;
	const uint32_t half = UINT32_C(1) << 31;

	(void)state;
	for (unsigned int over = 0; over < 2; over++) {
		open_plain(&box);
		/* 2 GiB of address space; nothing of it is touched. */
		assert_int_equal(ftruncate(box.fd, (off_t)half + 0x1000000), 0);
		big = (struct vh_region){
		    .guest = UINT64_C(1) << 40,
		    .size = half,
		    .user = {UINT64_C(1) << 40},
		    .fd_offset = 0x1000000,
		    .fd = box.fd,
		};
		assert_int_equal(vh_memory_add(box.memory, &big, NULL, &more),
				 0);
		assert_int_equal(vh_virtqueue_set_memory(box.queue, more), 0);
		vh_memory_unref(more);
		box_descriptor(&box, 0, big.guest, half, F_NEXT, 1);
		box_descriptor(&box, 1, big.guest, half - 1 + over, F_WRITE, 0);
		box_send(&box, 0);
		if (over) {
			box_expect_fault(&box, VH_FAULT_DESC_LENGTH);
		} else {
			chain = box_pop(&box);
			assert_int_equal(chain->readable_size, half);
			assert_int_equal(chain->writable_size, half - 1);
		}
		box_close(&box);
	}
}

/* CVE-2026-86846: a head that isn't in the table. */
static void test_virtqueue_hostile_head(void **state)
{
	static const unsigned int heads[] = {8, 9, 255, 256, 32768, 65535};

	(void)state;
	for (unsigned int i = 0; i < 6; i++) {
		struct box box;

		open_plain(&box);
		box_send(&box, heads[i]);
		box_expect_fault(&box, VH_FAULT_RING_HEAD);
		box_close(&box);
	}
}

/* SPDK 808a2b05c2, virtio-queue 16f1b01: the index jumps. */
static void test_virtqueue_hostile_index_jump(void **state)
{
	static const uint16_t bases[] = {0, 1, 32767, 65530, 65535};

	(void)state;
	for (unsigned int b = 0; b < 5; b++) {
		for (unsigned int jump = 0; jump < 65536;
		     jump += jump < 20 || jump > 65500 ? 1 : 127) {
			struct vh_chain *chains[VH_VIRTQUEUE_BURST];
			struct box box;

			box_open(&box, &(struct box_opts){.num = 8,
							  .base = bases[b]});
			for (unsigned int i = 0; i < 8; i++) {
				box_descriptor(&box, i, D, 1, 0, 0);
				box_offer(&box, i);
			}
			box.avail_index = (uint16_t)(bases[b] + jump);
			box_show(&box);
			assert_int_equal(vh_virtqueue_pending(box.queue),
					 jump != 0);
			if (jump > 8)
				box_expect_fault(&box, VH_FAULT_RING_INDEX);
			else
				assert_int_equal(
				    vh_virtqueue_pop(box.queue, chains,
						     VH_VIRTQUEUE_BURST),
				    jump);
			box_close(&box);
		}
	}
}

/* CVE-2026-45782, CVE-2016-5403: a head that is in flight. */
static void test_virtqueue_hostile_head_twice(void **state)
{
	struct vh_chain *chains[VH_VIRTQUEUE_BURST], *chain;
	struct box box;

	(void)state;
	open_plain(&box);
	box_descriptor(&box, 3, D, 1, 0, 0);
	box_send(&box, 3);
	chain = box_pop(&box);
	box_send(&box, 3);
	box_expect_fault(&box, VH_FAULT_RING_BUSY);
	/* The one that is in flight is whole, and is taken back silently. */
	box_expect_piece(&box, chain->readable, D, 1);
	vh_virtqueue_push(box.queue, chain, 0);
	assert_int_equal(vh_virtqueue_inflight(box.queue), 0);
	assert_int_equal(box_used_index(&box), 0);
	box_close(&box);

	/* In one burst: the first of the two is given. */
	open_plain(&box);
	box_descriptor(&box, 3, D, 1, 0, 0);
	box_offer(&box, 3);
	box_send(&box, 3);
	assert_int_equal(vh_virtqueue_pop(box.queue, chains, 32), 1);
	assert_int_equal(vh_virtqueue_fault(box.queue)->code,
			 VH_FAULT_RING_BUSY);
	box_close(&box);

	/* After it was returned it may come again. */
	open_plain(&box);
	box_descriptor(&box, 3, D, 1, 0, 0);
	for (unsigned int i = 0; i < 100; i++) {
		box_send(&box, 3);
		vh_virtqueue_push(box.queue, box_pop(&box), 0);
		assert_int_equal(vh_virtqueue_publish(box.queue), 1);
	}
	assert_int_equal(box_used_index(&box), 100);
	box_close(&box);
}

/* Good chains before the bad one are given; it isn't counted as popped. */
static void test_virtqueue_hostile_burst_with_a_bad_chain(void **state)
{
	struct vh_chain *chains[VH_VIRTQUEUE_BURST];
	struct box box;

	(void)state;
	open_plain(&box);
	for (unsigned int i = 0; i < 6; i++)
		box_descriptor(&box, i, D, i == 4 ? 0x7fffffff : 1, 0, 0);
	for (unsigned int i = 0; i < 6; i++)
		box_offer(&box, i);
	box_show(&box);
	assert_int_equal(vh_virtqueue_pop(box.queue, chains, 32), 4);
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(chains[i]->head, i);
		box_expect_piece(&box, chains[i]->readable, D, 1);
	}
	assert_int_equal(vh_virtqueue_base(box.queue), 4);
	assert_int_equal(vh_virtqueue_inflight(box.queue), 4);
	assert_int_equal(vh_virtqueue_pop(box.queue, chains, 32), -EPROTO);
	assert_int_equal(vh_virtqueue_fault(box.queue)->code,
			 VH_FAULT_DESC_ADDR);
	assert_non_null(
	    strstr(vh_virtqueue_fault(box.queue)->text, "descriptor 4"));
	assert_non_null(
	    strstr(vh_virtqueue_fault(box.queue)->text, "0x7fffffff"));
	for (unsigned int i = 0; i < 4; i++)
		vh_virtqueue_push(box.queue, chains[i], 0);
	assert_int_equal(vh_virtqueue_publish(box.queue), 0);
	assert_int_equal(box_used_index(&box), 0);
	assert_int_equal(vh_virtqueue_inflight(box.queue), 0);
	box_close(&box);
}

/* A.3: the device's own indices aren't taken from shared memory. */
static void test_virtqueue_hostile_used_ring_is_rewritten(void **state)
{
	struct box box;

	(void)state;
	box_open(&box, &(struct box_opts){.num = 8, .features = BOX_EVENT_IDX});
	box_descriptor(&box, 0, D, 1, 0, 0);
	for (unsigned int i = 1; i < 40; i++) {
		box_send(&box, 0);
		vh_virtqueue_push(box.queue, box_pop(&box), 0);
		*box_used_word(&box, 1) = htole16((uint16_t)(i * 12345));
		*box_used_word(&box, 2 + 4 * 8) = htole16(0xdead);
		assert_true(vh_virtqueue_publish(box.queue) >= 0);
		assert_int_equal(box_used_index(&box), i);
	}
	box_close(&box);
}

/* The driver changes a chain after it was popped: nobody looks again. */
static void test_virtqueue_hostile_change_after_pop(void **state)
{
	struct vh_chain *chain;
	struct box box;

	(void)state;
	open_plain(&box);
	box_descriptor(&box, 1, D, 10, F_WRITE, 0);
	box_send(&box, 1);
	chain = box_pop(&box);
	box_descriptor(&box, 1, 0, UINT32_MAX, 0xffff, 0xffff);
	box_expect_piece(&box, chain->writable, D, 10);
	vh_virtqueue_push(box.queue, chain, 1000);
	assert_int_equal(vh_virtqueue_publish(box.queue), 1);
	assert_int_equal(box_used_id(&box, 0), 1);
	assert_int_equal(box_used_length(&box, 0), 10);
	box_close(&box);
}

/* The index goes back: what was seen isn't popped twice. */
static void test_virtqueue_hostile_index_goes_back(void **state)
{
	struct vh_chain *chains[VH_VIRTQUEUE_BURST];
	struct box box;

	(void)state;
	open_plain(&box);
	for (unsigned int i = 0; i < 8; i++) {
		box_descriptor(&box, i, D, 1, 0, 0);
		box_offer(&box, i);
	}
	box_show(&box);
	assert_int_equal(vh_virtqueue_pop(box.queue, chains, 4), 4);
	box.avail_index = 2;
	box_show(&box);
	box_expect_fault(&box, VH_FAULT_RING_INDEX);
	box_close(&box);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_virtqueue_hostile_chains),
	    cmocka_unit_test(test_virtqueue_hostile_indirect_not_negotiated),
	    cmocka_unit_test(test_virtqueue_hostile_table_longer_than_queue),
	    cmocka_unit_test(test_virtqueue_hostile_table_that_loops),
	    cmocka_unit_test(test_virtqueue_hostile_length_sum),
	    cmocka_unit_test(test_virtqueue_hostile_head),
	    cmocka_unit_test(test_virtqueue_hostile_index_jump),
	    cmocka_unit_test(test_virtqueue_hostile_head_twice),
	    cmocka_unit_test(test_virtqueue_hostile_burst_with_a_bad_chain),
	    cmocka_unit_test(test_virtqueue_hostile_used_ring_is_rewritten),
	    cmocka_unit_test(test_virtqueue_hostile_change_after_pop),
	    cmocka_unit_test(test_virtqueue_hostile_index_goes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
