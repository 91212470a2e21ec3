/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * An area of a packed ring's requests in flight that somebody filled in to
 * harm us, or that is too small.
 */
#include "packed_area.h"
#include <errno.h>

#define NUM 8

static const uint32_t fresh = PACKED_BASE(0, 1, 0, 1);

/* A ring of which three descriptors are available, and a good area. */
struct pair {
	struct packed_box p;
	struct area *area;
};

static void open_pair(struct pair *pair)
{
	struct area *area = new_area(NUM);

	pair->area = area;
	packed_open_memory(&pair->p, &(struct packed_opts){
					 .num = NUM, .features = BOX_INDIRECT});
	for (unsigned int id = 0; id < 3; id++)
		packed_send(&pair->p, id, BOX_DATA, 1, 0);
	area->version = 1;
	area->desc_num = NUM;
	area->used_wrap_counter = area->old_used_wrap_counter = 1;
	for (unsigned int i = 0; i < NUM; i++)
		area->entries[i] = (struct entry){
		    .next = (uint16_t)(i + 1),
		    .last = (uint16_t)i,
		    .num = 1,
		    .counter = i,
		    .id = (uint16_t)i,
		    .flags = F_AVAIL,
		    .len = 1,
		    .addr = BOX_DATA,
		};
}

static void close_pair(struct pair *pair)
{
	close_all(&pair->p, pair->area);
}

/*
 * Pops until nothing more comes or the queue breaks, gives all of it back
 * and dies: each id is one of the queue's and comes once, and the area keeps
 * its size (ASan). Twice, since the first life has written to the area.
 */
static void pop_all(struct pair *pair)
{
	for (unsigned int life = 0; life < 2 && pair->p.box.queue; life++) {
		struct vh_virtqueue *queue = pair->p.box.queue;
		struct vh_chain *chains[VH_VIRTQUEUE_BURST], *taken[NUM];
		bool seen[NUM] = {false};
		unsigned int count = 0;
		int n;

		while ((n = vh_virtqueue_pop(queue, chains, 3)) > 0) {
			for (int i = 0; i < n; i++) {
				assert_true(chains[i]->head < NUM);
				assert_false(seen[chains[i]->head]);
				seen[chains[i]->head] = true;
				taken[count++] = chains[i];
			}
		}
		assert_int_equal(n, vh_virtqueue_fault(queue) ? -EPROTO : 0);
		while (count)
			vh_virtqueue_push(queue, taken[--count], 0);
		assert_true(vh_virtqueue_publish(queue) >= 0);
		assert_int_equal(vh_virtqueue_inflight(queue), 0);
		crash(&pair->p);
		(void)try_queue(&pair->p, pair->area, area_size(NUM), fresh,
				NULL);
	}
}

/* Either it is refused, with words, or it harms nobody. */
static bool try_pair(struct pair *pair)
{
	struct vh_fault fault = {.code = VH_FAULT_NONE};
	int r = try_queue(&pair->p, pair->area, area_size(NUM), fresh, &fault);

	if (r == 0) {
		pop_all(pair);
		return true;
	}
	assert_int_equal(r, -EINVAL);
	assert_null(pair->p.box.queue);
	assert_int_not_equal(fault.code, VH_FAULT_NONE);
	assert_string_equal(fault.section, "Inflight I/O tracking");
	assert_true(strlen(fault.text) > 0);
	return false;
}

static void test_virtqueue_packed_inflight_hostile_sizes(void **state)
{
	static const size_t bad[] = {
	    0, 1, 15, 16, 31, 32, 32 + 16 * 8, 32 + 32 * 7, 32 + 32 * 8 - 1};
	struct pair pair;

	(void)state;
	open_pair(&pair);
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct vh_fault fault = {.code = VH_FAULT_NONE};
		void *small = malloc(bad[i] ? bad[i] : 1);

		assert_non_null(small);
		memset(small, 0, bad[i]);
		assert_int_equal(
		    try_queue(&pair.p, small, bad[i], fresh, &fault), -EINVAL);
		assert_string_equal(fault.section, "Inflight I/O tracking");
		free(small);
	}
	assert_true(try_pair(&pair));
	close_pair(&pair);
}

static void test_virtqueue_packed_inflight_hostile_versions(void **state)
{
	static const uint16_t versions[] = {2, 0x100, 0x101, 0xffff};

	(void)state;
	for (unsigned int i = 0; i < sizeof(versions) / sizeof(*versions);
	     i++) {
		struct pair pair;

		open_pair(&pair);
		pair.area->version = versions[i];
		pair.area->entries[0].inflight = 1;
		assert_false(try_pair(&pair));
		assert_int_equal(pair.area->version, versions[i]);
		assert_int_equal(pair.area->entries[0].inflight, 1);
		close_pair(&pair);
	}
}

/* Places that the ring doesn't have. */
static void test_virtqueue_packed_inflight_hostile_places(void **state)
{
	static const uint16_t places[] = {NUM, NUM + 1, 0x7fff, 0x8000, 0xffff};

	(void)state;
	for (unsigned int i = 0; i < 3 * 5; i++) {
		struct pair pair;

		open_pair(&pair);
		if (i / 5 != 1)
			pair.area->used_idx = places[i % 5];
		if (i / 5 != 0)
			pair.area->old_used_idx = places[i % 5];
		assert_false(try_pair(&pair));
		close_pair(&pair);
	}
}

/* Every field of the header and of an entry, with values at the edges. */
static void test_virtqueue_packed_inflight_hostile_fields(void **state)
{
	static const uint16_t values[] = {0,	  1,	  2,	  7,	 8,
					  9,	  0x7f,	  0x80,	  0xff,	 0x100,
					  0x7fff, 0x8000, 0xfffe, 0xffff};
	static const size_t count = sizeof(values) / sizeof(*values);

	(void)state;
	for (size_t at = 0; at < 32 + 3 * 32; at++) {
		for (size_t i = 0; i < 4 * count; i++) {
			struct pair pair;

			open_pair(&pair);
			/* One request in flight, or all; a batch, or none. */
			for (unsigned int e = 0; e < (i & 1 ? NUM : 2); e++)
				pair.area->entries[e].inflight = 1;
			pair.area->entries[0].num = 2;
			pair.area->used_idx = i & 2 ? 2 : 0;
			memcpy((char *)pair.area + at, &values[i / 4], 2);
			(void)try_pair(&pair);
			close_pair(&pair);
		}
	}
}

/* Lists of a request that leave the area, go round or meet another. */
static void test_virtqueue_packed_inflight_hostile_lists(void **state)
{
	static const struct {
		uint16_t num, next[4];
		bool good;
	} cases[] = {
	    {1, {9}, true}, /* never followed */
	    {2, {1, 0xffff}, true},
	    {3, {5, 1, [2] = 0}, false}, /* 5 leads to 6, in flight */
	    {4, {1, 2, 3, 0xffff}, true},
	    {2, {NUM}, false},
	    {2, {0xffff}, false},
	    {2, {0}, false},
	    {3, {1, 0}, false},
	    {4, {1, 2, 1}, false},
	    {2, {6}, false}, /* another's */
	    {0, {0}, false},
	    {NUM, {1, 2, 3, 4}, false},
	    {NUM + 1, {1, 2, 3, 4}, false},
	    {0xffff, {1, 2, 3, 4}, false},
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct pair pair;

		open_pair(&pair);
		pair.area->entries[0].inflight = 1;
		pair.area->entries[6].inflight = 1;
		pair.area->entries[0].num = cases[i].num;
		for (unsigned int e = 0; e < 4; e++)
			pair.area->entries[e].next = cases[i].next[e];
		assert_int_equal(try_pair(&pair), cases[i].good);
		close_pair(&pair);
	}
}

/* More descriptors in flight than the ring has, though lists are apart. */
static void test_virtqueue_packed_inflight_hostile_counts(void **state)
{
	struct pair pair;

	(void)state;
	open_pair(&pair);
	for (unsigned int e = 0; e < NUM; e++) {
		pair.area->entries[e].inflight = 1;
		pair.area->entries[e].num = e == 7 ? 2 : 1;
		pair.area->entries[e].next = 0;
	}
	assert_false(try_pair(&pair));
	close_pair(&pair);
}

/* The free list goes round, while a batch that was shown is taken from it. */
static void test_virtqueue_packed_inflight_hostile_free_list(void **state)
{
	static const uint16_t heads[] = {0, 7, 8, 0x7fff, 0xffff};

	(void)state;
	for (unsigned int i = 0; i < 5 * 3; i++) {
		struct pair pair;

		open_pair(&pair);
		/* The ring says that it was shown. */
		packed_write(&pair.p, 0, 0, 0, 0, F_AVAIL | F_USED);
		pair.area->used_idx = 2;
		pair.area->free_head = heads[i % 5];
		for (unsigned int e = 0; e < NUM; e++) {
			pair.area->entries[e].inflight = e & 1;
			if (i / 5 == 1)
				pair.area->entries[e].next = (uint16_t)e;
			if (i / 5 == 2)
				pair.area->entries[e].next = 0xffff;
		}
		assert_true(try_pair(&pair));
		close_pair(&pair);
	}
}

/* Only 1 means in flight; equal counters are no matter. */
static void test_virtqueue_packed_inflight_hostile_bytes(void **state)
{
	(void)state;
	for (unsigned int value = 0; value < 256; value++) {
		struct vh_chain *chains[VH_VIRTQUEUE_BURST];
		struct pair pair;
		int n;

		open_pair(&pair);
		for (unsigned int e = 4; e < NUM; e++) {
			pair.area->entries[e].inflight = (uint8_t)value;
			pair.area->entries[e].counter = UINT64_MAX;
		}
		open_queue(&pair.p, pair.area, fresh);
		n = vh_virtqueue_pop(pair.p.box.queue, chains, 32);
		assert_int_equal(n, value == 1 ? 4 : 3);
		for (int i = 0; i < n; i++)
			assert_int_equal(chains[i]->head,
					 value == 1 ? 4 + i : i);
		close_pair(&pair);
	}
}

/* What is in flight says of itself what no chain can be. */
static void test_virtqueue_packed_inflight_hostile_descriptors(void **state)
{
	static const struct {
		vh_gpa address;
		uint32_t length;
		uint16_t id, flags, num;
		uint32_t fault;
	} cases[] = {
	    {0, 1, 3, 0, 1, VH_FAULT_DESC_ADDR},
	    {BOX_C + BOX_C_SIZE - 1, 2, 3, 0, 1, VH_FAULT_DESC_ADDR},
	    {BOX_DATA, 1, NUM, 0, 1, VH_FAULT_RING_HEAD},
	    {BOX_DATA, 1, 0xffff, 0, 1, VH_FAULT_RING_HEAD},
	    {BOX_DATA, 1, 2, 0, 1, VH_FAULT_RING_BUSY},
	    {BOX_DATA, 15, 3, F_INDIRECT, 1, VH_FAULT_DESC_INDIRECT},
	    {BOX_DATA, 16, 3, F_INDIRECT, 2, VH_FAULT_DESC_INDIRECT},
	    {BOX_DATA, 16, 3, F_WRITE, 2, VH_FAULT_DESC_ORDER},
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct pair pair;
		struct entry *entry;

		open_pair(&pair);
		entry = &pair.area->entries[3];
		pair.area->entries[2].inflight = 1;
		entry->inflight = 1;
		entry->addr = cases[i].address;
		entry->len = cases[i].length;
		entry->id = cases[i].id;
		entry->flags = cases[i].flags;
		entry->num = cases[i].num;
		open_queue(&pair.p, pair.area, fresh);
		assert_int_equal(box_pop(&pair.p.box)->head, 2);
		assert_true(vh_virtqueue_pending(pair.p.box.queue));
		box_expect_fault(&pair.p.box, cases[i].fault);
		/* who comes next shall look at them, too */
		assert_int_equal(pair.area->entries[2].inflight, 1);
		assert_int_equal(entry->inflight, 1);
		close_pair(&pair);
	}
}

/* While it is in use: nothing of it is read back. */
static void test_virtqueue_packed_inflight_hostile_rewritten(void **state)
{
	struct pair pair;

	(void)state;
	open_pair(&pair);
	open_queue(&pair.p, pair.area, fresh);
	for (unsigned int i = 0; i < 3; i++)
		vh_virtqueue_push(pair.p.box.queue, box_pop(&pair.p.box), 0);
	for (unsigned int turn = 0; turn < 600; turn++) {
		memset(pair.area, (int)turn & 0xff, area_size(NUM));
		assert_true(vh_virtqueue_publish(pair.p.box.queue) >= 0);
		for (unsigned int id = turn ? 4 : 0; id < (turn ? 7 : 3); id++)
			packed_expect_used(&pair.p, id, 0, 1);
		for (unsigned int id = 4; id < 7; id++)
			packed_send(&pair.p, id, BOX_DATA, 1, 0);
		for (unsigned int id = 4; id < 7; id++) {
			struct vh_chain *chain = box_pop(&pair.p.box);

			assert_int_equal(chain->head, id);
			memset(pair.area, 0xff, area_size(NUM));
			vh_virtqueue_push(pair.p.box.queue, chain, 0);
		}
	}
	close_pair(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_virtqueue_packed_inflight_hostile_sizes),
	    cmocka_unit_test(test_virtqueue_packed_inflight_hostile_versions),
	    cmocka_unit_test(test_virtqueue_packed_inflight_hostile_places),
	    cmocka_unit_test(test_virtqueue_packed_inflight_hostile_fields),
	    cmocka_unit_test(test_virtqueue_packed_inflight_hostile_lists),
	    cmocka_unit_test(test_virtqueue_packed_inflight_hostile_counts),
	    cmocka_unit_test(test_virtqueue_packed_inflight_hostile_free_list),
	    cmocka_unit_test(test_virtqueue_packed_inflight_hostile_bytes),
	    cmocka_unit_test(
		test_virtqueue_packed_inflight_hostile_descriptors),
	    cmocka_unit_test(test_virtqueue_packed_inflight_hostile_rewritten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
