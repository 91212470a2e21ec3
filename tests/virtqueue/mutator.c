/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A guest that rewrites everything while the device works: descriptors,
 * tables, heads, indices and areas of requests in flight (CVE-2020-14375,
 * CVE-2026-86562, A.3). Whatever comes out lies in guest memory, to the byte,
 * and comes out once, or the queue is broken; and nothing is written but the
 * ring. First the two take turns, which is the same in each run; then they
 * are two threads, and what they meet is left to chance. The races are meant;
 * this isn't for ThreadSanitizer.
 */
#include "packed_box.h"
#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define NUM	  16
#define TABLES	  8
#define ENTRIES	  16
#define TURNS	  40000
#define MUTATIONS 400000

struct test {
	struct packed_box p;
	struct box *box; /* in it */
	bool packed;
	uint16_t *area; /* NULL: requests in flight aren't tracked */
	size_t area_size;
	bool stop;
	/* where regions are in host memory */
	struct {
		const char *start;
		uint64_t size;
	} host[BOX_REGIONS];
	struct vh_chain *taken[NUM]; /* by head; NULL: not in flight */
	unsigned int inflight;
	unsigned long chains;
	unsigned long buffers; /* that were done at once */
	unsigned long breaks;
	unsigned char sum;
};

static uint32_t rnd(uint64_t *state, uint32_t below)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (uint32_t)(*state >> 32) % below;
}

static vh_gpa any_address(uint64_t *r)
{
	switch (rnd(r, 40)) {
	case 0:
		return BOX_B + BOX_B_SIZE - rnd(r, 64);
	case 1:
		return BOX_D + BOX_D_SIZE - rnd(r, 64);
	case 2:
		return (uint64_t)rnd(r, UINT32_MAX) << rnd(r, 32);
	case 3:
	case 4:
		return BOX_B - rnd(r, 64);
	default:
		return BOX_DATA + rnd(r, 4096);
	}
}

static uint32_t any_length(uint64_t *r)
{
	if (rnd(r, 100) == 0)
		return rnd(r, UINT32_MAX);
	return rnd(r, 64);
}

static vh_gpa any_table(uint64_t *r)
{
	return rnd(r, 4) ? BOX_TABLES + 16 * ENTRIES * rnd(r, TABLES)
			 : BOX_B - 8 - rnd(r, 16);
}

static void mutate_split(struct test *t, uint64_t *r)
{
	unsigned int index = rnd(r, NUM);

	if (rnd(r, 3) == 0)
		box_descriptor(
		    t->box, index, any_table(r), 16 * (1 + rnd(r, ENTRIES)),
		    F_INDIRECT | (rnd(r, 50) ? 0 : F_NEXT), rnd(r, NUM));
	else
		box_descriptor(t->box, index, any_address(r), any_length(r),
			       rnd(r, 3) ? F_WRITE : rnd(r, 4),
			       rnd(r, 50) ? rnd(r, NUM) : rnd(r, 65536));
}

static void mutate_packed(struct test *t, uint64_t *r)
{
	unsigned int flags = rnd(r, 2) ? F_AVAIL : F_USED;
	unsigned int id = rnd(r, rnd(r, 500) ? NUM : 65536);

	if (rnd(r, 20) == 0)
		flags ^= F_AVAIL;
	if (rnd(r, 3) == 0)
		packed_write(&t->p, rnd(r, NUM), any_table(r),
			     16 * (1 + rnd(r, ENTRIES)), id,
			     flags | F_INDIRECT | (rnd(r, 50) ? 0 : F_NEXT));
	else
		packed_write(&t->p, rnd(r, NUM), any_address(r), any_length(r),
			     id, flags | (rnd(r, 3) ? F_WRITE : rnd(r, 4)));
}

static void mutate_table(struct test *t, uint64_t *r)
{
	unsigned int index = rnd(r, ENTRIES);
	unsigned int flags = rnd(r, 30) ? rnd(r, 2) | F_WRITE : rnd(r, 8);
	unsigned int next = rnd(r, 50) ? index + 1 : rnd(r, 65536);

	box_entry(t->box, any_table(r), index, any_address(r), any_length(r),
		  t->packed ? next : flags, t->packed ? flags : next);
}

/* Heads and the index of a split ring; events of a packed one. */
static void mutate_ring(struct test *t, uint64_t *r)
{
	uint16_t *avail = box_avail_word(t->box, 0);
	uint16_t head = (uint16_t)rnd(r, rnd(r, 500) ? NUM : 65536);
	uint16_t index = le16toh(__atomic_load_n(&avail[1], __ATOMIC_RELAXED));

	__atomic_store_n(&avail[2 + rnd(r, NUM)], htole16(head),
			 __ATOMIC_RELAXED);
	index = (uint16_t)(index + (rnd(r, 2000) ? rnd(r, 2) : rnd(r, 65536)));
	__atomic_store_n(&avail[1], htole16(index), __ATOMIC_RELEASE);
	if (rnd(r, 10) == 0)
		__atomic_store_n(box_used_word(t->box, rnd(r, NUM)),
				 (uint16_t)rnd(r, 65536), __ATOMIC_RELAXED);
}

static void mutate_area(struct test *t, uint64_t *r)
{
	size_t word = rnd(r, (uint32_t)t->area_size / 2);

	/* The version would stop it all. */
	if (word != 4 || rnd(r, 100) == 0)
		__atomic_store_n(&t->area[word],
				 (uint16_t)rnd(r, rnd(r, 4) ? NUM : 65536),
				 __ATOMIC_RELAXED);
}

static void mutate_one(struct test *t, uint64_t *r)
{
	if (t->packed)
		mutate_packed(t, r);
	else
		mutate_split(t, r);
	mutate_table(t, r);
	mutate_ring(t, r);
	if (t->area && rnd(r, 20) == 0)
		mutate_area(t, r);
}

static void *mutate(void *arg)
{
	struct test *t = arg;
	uint64_t r = 12345;

	for (unsigned int i = 0; i < MUTATIONS; i++)
		mutate_one(t, &r);
	__atomic_store_n(&t->stop, true, __ATOMIC_RELAXED);
	return NULL;
}

static bool inside(const struct test *t, const struct iovec *piece)
{
	for (unsigned int i = 0; i < BOX_REGIONS; i++) {
		uint64_t offset = (uint64_t)((uintptr_t)piece->iov_base -
					     (uintptr_t)t->host[i].start);

		if (offset < t->host[i].size &&
		    piece->iov_len <= t->host[i].size - offset)
			return true;
	}
	return false;
}

/* Reads the ends of each piece: they are there. Returns the bytes. */
static uint64_t use_pieces(struct test *t, const struct iovec *pieces,
			   unsigned int count)
{
	uint64_t size = 0;

	for (unsigned int i = 0; i < count; i++) {
		const volatile unsigned char *bytes = pieces[i].iov_base;

		assert_true(inside(t, &pieces[i]));
		assert_true(pieces[i].iov_len > 0);
		t->sum += bytes[0];
		t->sum += bytes[pieces[i].iov_len - 1];
		size += pieces[i].iov_len;
	}
	return size;
}

static void use_chain(struct test *t, struct vh_chain *chain)
{
	assert_in_range(chain->head, 0, NUM - 1);
	assert_in_range(chain->descriptors, 1, NUM + ENTRIES);
	assert_null(t->taken[chain->head]);
	t->taken[chain->head] = chain;
	t->inflight++;
	t->chains++;
	assert_int_equal(use_pieces(t, chain->readable, chain->readable_count),
			 chain->readable_size);
	assert_int_equal(use_pieces(t, chain->writable, chain->writable_count),
			 chain->writable_size);
}

/* Takes what can be done at once, and is done with it. */
static int pass_buffers(struct test *t, uint64_t *r)
{
	struct vh_buffer buffers[VH_VIRTQUEUE_BURST];
	uint32_t written[VH_VIRTQUEUE_BURST];
	int n = vh_virtqueue_pop_buffers(t->box->queue, buffers,
					 1 + rnd(r, VH_VIRTQUEUE_BURST));
	bool waits = t->box->features & BOX_IN_ORDER && t->inflight;

	for (int i = 0; i < n; i++) {
		struct iovec piece = {buffers[i].data, buffers[i].size};

		assert_false(t->area || waits);
		assert_in_range(buffers[i].head, 0, NUM - 1);
		assert_null(t->taken[buffers[i].head]);
		assert_int_equal(use_pieces(t, &piece, 1), buffers[i].size);
		written[i] = rnd(r, 100);
		t->buffers++;
	}
	if (n > 0)
		vh_virtqueue_push_buffers(t->box->queue, buffers, written,
					  (unsigned int)n);
	return n;
}

static void give_back(struct test *t, uint64_t *r, bool all)
{
	struct vh_chain *burst[NUM];
	uint32_t written[NUM];
	unsigned int count = 0;

	for (unsigned int i = 0, head = rnd(r, NUM); i < NUM; i++, head++) {
		struct vh_chain **taken = &t->taken[head % NUM];

		if (!*taken || (!all && rnd(r, 8) == 0))
			continue;
		written[count] = rnd(r, 100);
		burst[count++] = *taken;
		*taken = NULL;
		t->inflight--;
	}
	if (rnd(r, 2))
		vh_virtqueue_push_many(t->box->queue, burst, written, count);
	for (unsigned int i = 0; i < count; i++) /* no effect a second time */
		vh_virtqueue_push(t->box->queue, burst[i], written[i]);
	assert_int_equal(vh_virtqueue_inflight(t->box->queue), t->inflight);
	if (rnd(r, 4))
		assert_true(vh_virtqueue_publish(t->box->queue) >= 0);
}

static int try_queue(struct test *t, uint64_t *r)
{
	struct vh_virtqueue_opts opts = box_queue_opts(t->box);

	opts.base = le16toh(
	    __atomic_load_n(box_avail_word(t->box, 1), __ATOMIC_RELAXED));
	if (t->packed)
		opts.base =
		    PACKED_BASE(rnd(r, NUM), rnd(r, 2), rnd(r, NUM), rnd(r, 2));
	opts.inflight = t->area;
	opts.inflight_size = t->area ? t->area_size : 0;
	return vh_virtqueue_new(&opts, t->box->memory, NULL, &t->box->queue);
}

/* The queue is broken: the device resets it and goes on. */
static void start_over(struct test *t, uint64_t *r)
{
	if (t->box->queue) {
		assert_non_null(vh_virtqueue_fault(t->box->queue));
		t->breaks++;
		give_back(t, r, true);
		assert_int_equal(vh_virtqueue_inflight(t->box->queue), 0);
		vh_virtqueue_free(t->box->queue);
	}
	for (;;) {
		int err = try_queue(t, r);

		if (!err)
			break;
		/* The area is of no use. */
		assert_non_null(t->area);
		assert_int_equal(err, -EINVAL);
		vh_virtqueue_forget_inflight(t->area);
	}
}

static int pop_chains(struct test *t, uint64_t *r)
{
	struct vh_chain *chains[VH_VIRTQUEUE_BURST];
	int n = vh_virtqueue_pop(t->box->queue, chains,
				 1 + rnd(r, VH_VIRTQUEUE_BURST));

	for (int i = 0; i < n; i++)
		use_chain(t, chains[i]);
	return n;
}

static void work(struct test *t, uint64_t *r)
{
	int n = rnd(r, 2) ? pass_buffers(t, r) : 0;

	if (n >= 0)
		n = pop_chains(t, r);
	give_back(t, r, false);
	if (n == -EPROTO)
		start_over(t, r);
	else
		assert_true(n >= 0);
	if (rnd(r, 100) == 0)
		(void)!vh_virtqueue_enable_kick(t->box->queue);
	if (rnd(r, 100) == 0)
		vh_virtqueue_disable_kick(t->box->queue);
}

/* No byte of it was ever written. */
static void expect_untouched(const struct test *t, vh_gpa from, vh_gpa to)
{
	const char *bytes = box_host(t->box, from);

	for (; from < to; from++)
		if (*bytes++)
			fail_msg("0x%llx was written",
				 (unsigned long long)from);
}

/* All but the ring's parts, the tables, and the table over a border. */
static void expect_all_untouched(const struct test *t)
{
	expect_untouched(t, BOX_DESCRIPTORS + 16 * NUM, BOX_AVAIL);
	expect_untouched(t, BOX_AVAIL + 6 + 2 * NUM, BOX_USED);
	expect_untouched(t, BOX_USED + 6 + 8 * NUM, BOX_TABLES);
	expect_untouched(t, BOX_TABLES + 16 * ENTRIES * TABLES, BOX_B - 32);
	expect_untouched(t, BOX_B + 16 * ENTRIES, BOX_B + BOX_B_SIZE);
	expect_untouched(t, BOX_C, BOX_C + BOX_C_SIZE);
	expect_untouched(t, BOX_D, BOX_D + BOX_D_SIZE - 1);
}

static void open_test(struct test *t, uint64_t features, bool tracked)
{
	static const vh_gpa starts[] = {BOX_A, BOX_B, BOX_C, BOX_D};

	memset(t, 0, sizeof(*t));
	t->box = &t->p.box;
	t->packed = features & BOX_PACKED;
	box_open_memory(t->box, NUM);
	t->box->features = features | BOX_INDIRECT;
	for (unsigned int i = 0; i < BOX_REGIONS; i++) {
		t->host[i].size = box_region(t->box, i).size;
		t->host[i].start =
		    vh_memory_at(t->box->memory, starts[i], t->host[i].size);
		assert_non_null(t->host[i].start);
	}
	if (!tracked)
		return;
	t->area_size = t->packed ? 32 + 32 * NUM : 16 + 16 * NUM;
	t->area = calloc(1, t->area_size);
	assert_non_null(t->area);
}

static void mutator(uint64_t features, bool tracked)
{
	uint64_t r = 54321, mutator_r = 98765;
	static struct test t;
	pthread_t thread;

	open_test(&t, features, tracked);
	start_over(&t, &r);
	for (unsigned int i = 0; i < TURNS; i++) {
		for (unsigned int n = 1 + rnd(&r, 6); n; n--)
			mutate_one(&t, &mutator_r);
		work(&t, &r);
	}
	assert_true(t.chains + t.buffers > TURNS / 10);
	assert_true(t.breaks > TURNS / 100);
	assert_true(tracked || t.buffers > TURNS / 80);
	expect_all_untouched(&t);
	assert_int_equal(pthread_create(&thread, NULL, mutate, &t), 0);
	while (!__atomic_load_n(&t.stop, __ATOMIC_RELAXED))
		work(&t, &r);
	pthread_join(thread, NULL);
	expect_all_untouched(&t);
	print_message("%lu chains, %lu buffers done at once, %lu breaks\n",
		      t.chains, t.buffers, t.breaks);
	box_close(t.box);
	free(t.area);
}

static void test_virtqueue_mutator_split_with_event_idx(void **state)
{
	(void)state;
	mutator(BOX_EVENT_IDX, false);
}

static void test_virtqueue_mutator_split_in_order(void **state)
{
	(void)state;
	mutator(BOX_IN_ORDER, false);
}

static void test_virtqueue_mutator_split_tracked(void **state)
{
	(void)state;
	mutator(0, true);
}

static void test_virtqueue_mutator_split_tracked_in_order(void **state)
{
	(void)state;
	mutator(BOX_IN_ORDER, true);
}

static void test_virtqueue_mutator_packed_with_event_idx(void **state)
{
	(void)state;
	mutator(BOX_PACKED | BOX_EVENT_IDX, false);
}

static void test_virtqueue_mutator_packed_in_order(void **state)
{
	(void)state;
	mutator(BOX_PACKED | BOX_IN_ORDER, false);
}

static void test_virtqueue_mutator_packed_tracked(void **state)
{
	(void)state;
	mutator(BOX_PACKED, true);
}

static void test_virtqueue_mutator_packed_tracked_in_order(void **state)
{
	(void)state;
	mutator(BOX_PACKED | BOX_IN_ORDER, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_virtqueue_mutator_split_with_event_idx),
	    cmocka_unit_test(test_virtqueue_mutator_split_in_order),
	    cmocka_unit_test(test_virtqueue_mutator_split_tracked),
	    cmocka_unit_test(test_virtqueue_mutator_split_tracked_in_order),
	    cmocka_unit_test(test_virtqueue_mutator_packed_with_event_idx),
	    cmocka_unit_test(test_virtqueue_mutator_packed_in_order),
	    cmocka_unit_test(test_virtqueue_mutator_packed_tracked),
	    cmocka_unit_test(test_virtqueue_mutator_packed_tracked_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
