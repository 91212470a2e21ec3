/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Requests in flight: what is noted while all goes well, and what becomes
 * of it after a crash.
 */
#include "inflight_area.h"
#include <string.h>

#define NUM 8

/* The process ends here: nothing that it did is undone. */
static void crash(struct box *box)
{
	vh_virtqueue_free(box->queue);
	box->queue = NULL;
}

/* Version 0 means that nothing else in it means anything. */
static void test_virtqueue_inflight_fresh(void **state)
{
	static const uint8_t fills[] = {0, 0xff, 0x01};
	struct vh_chain *more;

	(void)state;
	for (unsigned int i = 0; i < sizeof(fills); i++) {
		struct area *area = new_area(NUM);
		struct box box;

		memset(area, fills[i], area_size(NUM));
		area->version = 0;
		open_ring(&box, NUM, 65000);
		open_queue(&box, area, 65000);
		assert_int_equal(area->features, 0);
		assert_int_equal(area->desc_num, NUM);
		assert_int_equal(area->used_idx, 65000);
		expect_clean(&box, area);
		assert_int_equal(vh_virtqueue_pop(box.queue, &more, 1), 0);
		assert_int_equal(vh_virtqueue_base(box.queue), 65000);
		close_all(&box, area);
	}
}

static void test_virtqueue_inflight_taken_and_given(void **state)
{
	struct area *area = new_area(NUM);
	const struct entry *entries = area->entries;
	struct vh_chain *chains[4];
	struct box box;

	(void)state;
	open_ring(&box, NUM, 65534);
	open_queue(&box, area, 65534);
	for (unsigned int i = 0; i < 4; i++)
		box_send(&box, 6 - i);
	assert_int_equal(vh_virtqueue_pop(box.queue, chains, 3), 3);
	assert_int_equal(entries[3].inflight, 0);
	for (unsigned int head = 4; head <= 6; head++)
		assert_int_equal(entries[head].inflight, 1);
	assert_true(entries[6].counter < entries[5].counter);
	assert_true(entries[5].counter < entries[4].counter);

	/* Not before the driver can see them are they done. */
	vh_virtqueue_push(box.queue, chains[1], 0);
	vh_virtqueue_push(box.queue, chains[0], 0);
	assert_int_equal(entries[5].inflight, 1);
	assert_int_equal(entries[6].inflight, 1);
	assert_int_equal(area->used_idx, 65534);
	assert_int_equal(area->last_batch_head, 6);
	assert_int_equal(entries[6].next, 5);
	assert_int_equal(vh_virtqueue_publish(box.queue), 1);
	assert_int_equal(entries[6].inflight, 0);
	assert_int_equal(entries[5].inflight, 0);
	assert_int_equal(entries[4].inflight, 1);
	assert_int_equal(area->used_idx, 0);

	chains[3] = box_pop(&box);
	assert_true(entries[4].counter < entries[3].counter);
	give_all(&box, &chains[2], 2);
	assert_int_equal(area->last_batch_head, 3);
	assert_int_equal(entries[3].next, 4);
	assert_int_equal(entries[4].next, 6);
	assert_int_equal(area->used_idx, 2);
	expect_clean(&box, area);
	close_all(&box, area);
}

/* What was taken comes first, then what is new; base says nothing then. */
static void test_virtqueue_inflight_popped_again(void **state)
{
	static const uint16_t bases[] = {0, 65533, 65535, 5, 6, 40000};
	static const uint16_t heads[] = {0, 1, 3, 4, 5};

	(void)state;
	for (unsigned int b = 0; b < sizeof(bases) / sizeof(*bases); b++) {
		struct area *area = new_area(NUM);
		struct vh_chain *chains[NUM];
		struct box box;

		open_ring(&box, NUM, 65533);
		open_queue(&box, area, 65533);
		for (unsigned int i = 0; i < 6; i++)
			box_send(&box, i);
		assert_int_equal(vh_virtqueue_pop(box.queue, chains, 4), 4);
		give_all(&box, &chains[2], 1);
		vh_virtqueue_push(box.queue, chains[3], 0); /* never shown */
		crash(&box);
		open_queue(&box, area, bases[b]);
		expect_heads(&box, heads, 5, chains);
		assert_int_equal(vh_virtqueue_inflight(box.queue), 5);
		assert_int_equal(vh_virtqueue_base(box.queue), 3);
		give_all(&box, chains, 5);
		assert_int_equal(box_used_index(&box), 3);
		expect_clean(&box, area);
		crash(&box);
		open_queue(&box, area, 3);
		expect_heads(&box, heads, 0, chains);
		close_all(&box, area);
	}
}

/* A burst may be smaller than what is to be popped again. */
static void test_virtqueue_inflight_popped_again_in_bursts(void **state)
{
	struct vh_chain *chains[VH_VIRTQUEUE_BURST];
	struct area *area = new_area(128);
	unsigned int done = 0;
	struct box box;

	(void)state;
	open_ring(&box, 128, 0);
	open_queue(&box, area, 0);
	for (unsigned int i = 0; i < 100; i++)
		box_send(&box, 127 - i);
	for (unsigned int i = 0; i < 90; i++)
		box_pop(&box);
	crash(&box);
	open_queue(&box, area, 0);
	while (done < 100) {
		int n = vh_virtqueue_pop(box.queue, chains, 32);

		assert_true(n > 0);
		for (int i = 0; i < n; i++)
			assert_int_equal(chains[i]->head, 127 - done++);
		give_all(&box, chains, (unsigned int)n);
	}
	expect_clean(&box, area);
	close_all(&box, area);
}

/* What another back-end left, in the order of the specification. */
struct left {
	const char *name;
	uint16_t used; /* of the ring; what was offered begins at 65530 */
	uint16_t used_idx;
	uint16_t last_batch_head;
	struct entry entries[NUM];
	uint16_t heads[NUM];
	unsigned int count;
};

static const struct left lefts[] = {
    {"taken, not noted: the counter alone is there",
     65530,
     65530,
     0,
     {{.counter = 7}},
     {0, 1, 2, 3, 4, 5, 6, 7},
     8},
    {"the oldest first, wherever it is",
     65530,
     65530,
     0,
     {{1, {0}, 0, UINT64_MAX}, {1, {0}, 0, 9}, {1, {0}, 0, 1u << 31}},
     {1, 2, 0, 3, 4, 5, 6, 7},
     8},
    {"in the list, not shown",
     65530,
     65530,
     1,
     {{1, {0}, 0, 1}, {1, {0}, 0, 2}},
     {0, 1, 2, 3, 4, 5, 6, 7},
     8},
    {"shown, all of it still noted",
     65532,
     65530,
     0,
     {{1, {0}, 2, 1}, {1, {0}, 0, 2}, {1, {0}, 0, 3}},
     {1, 3, 4, 5, 6, 7},
     6},
    {"shown, half of it still noted",
     65532,
     65530,
     0,
     {{0, {0}, 2, 1}, {1, {0}, 0, 2}, {1, {0}, 0, 3}},
     {1, 3, 4, 5, 6, 7},
     6},
    {"shown, none of it still noted, over the end of the index",
     2,
     65530,
     7,
     {[1] = {.next = 5},
      [2] = {.next = 4},
      [3] = {.next = 2},
      [4] = {.next = 0},
      [5] = {.next = 6},
      [6] = {.next = 3},
      [7] = {.next = 1}},
     {0},
     0},
    {"shown in two batches, the first one long done",
     65533,
     65532,
     2,
     {{0, {0}, 0, 1}, {0, {0}, 0, 2}, {1, {0}, 1, 3}, {1, {0}, 0, 4}},
     {3, 4, 5, 6, 7},
     5},
};

static void test_virtqueue_inflight_left_by_another(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < sizeof(lefts) / sizeof(*lefts); i++) {
		const struct left *left = &lefts[i];
		struct area *area = new_area(NUM);
		struct vh_chain *chains[NUM];
		struct box box;

		open_ring(&box, NUM, 65530);
		for (unsigned int head = 0; head < NUM; head++)
			box_send(&box, head);
		*box_used_word(&box, 1) = htole16(left->used);
		area->version = 1;
		area->desc_num = NUM;
		area->used_idx = left->used_idx;
		area->last_batch_head = left->last_batch_head;
		memcpy(area->entries, left->entries, sizeof(left->entries));
		open_queue(&box, area, left->used);
		expect_heads(&box, left->heads, left->count, chains);
		give_all(&box, chains, left->count);
		assert_int_equal(box_used_index(&box), 2);
		expect_clean(&box, area);
		close_all(&box, area);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_virtqueue_inflight_fresh),
	    cmocka_unit_test(test_virtqueue_inflight_taken_and_given),
	    cmocka_unit_test(test_virtqueue_inflight_popped_again),
	    cmocka_unit_test(test_virtqueue_inflight_popped_again_in_bursts),
	    cmocka_unit_test(test_virtqueue_inflight_left_by_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
