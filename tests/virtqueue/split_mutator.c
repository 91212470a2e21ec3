/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A guest that rewrites everything while the device works: descriptors,
 * tables, heads and indices (CVE-2020-14375, CVE-2026-86562, A.3). Whatever
 * comes out lies in guest memory, to the byte, and comes out once, or the
 * queue is broken. The races are meant; this isn't for ThreadSanitizer.
 */
#include "box.h"
#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#define NUM	      16
#define TABLES	      8
#define ENTRIES	      16
#define CHAINS_WANTED 30000
#define BREAKS_WANTED 300
#define PATIENCE      120 /* seconds, on however slow a machine */

struct test {
	struct box box;
	bool stop;
	/* where regions are in host memory */
	struct {
		const char *start;
		uint64_t size;
	} host[BOX_REGIONS];
	bool inflight[NUM];
	struct vh_chain *taken[NUM];
	unsigned long chains;
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

static void mutate_descriptor(struct test *t, uint64_t *r)
{
	unsigned int index = rnd(r, NUM);

	if (rnd(r, 3) == 0)
		box_descriptor(
		    &t->box, index, any_table(r), 16 * (1 + rnd(r, ENTRIES)),
		    F_INDIRECT | (rnd(r, 50) ? 0 : F_NEXT), rnd(r, NUM));
	else
		box_descriptor(&t->box, index, any_address(r), any_length(r),
			       rnd(r, 3) ? F_WRITE : rnd(r, 4),
			       rnd(r, 50) ? rnd(r, NUM) : rnd(r, 65536));
}

static void mutate_table(struct test *t, uint64_t *r)
{
	unsigned int index = rnd(r, ENTRIES);

	box_entry(&t->box, any_table(r), index, any_address(r), any_length(r),
		  rnd(r, 30) ? rnd(r, 2) | F_WRITE : rnd(r, 8),
		  rnd(r, 50) ? index + 1 : rnd(r, 65536));
}

static void mutate_ring(struct test *t, uint64_t *r)
{
	unsigned int position = rnd(r, NUM);
	uint16_t head = (uint16_t)rnd(r, rnd(r, 500) ? NUM : 65536);
	uint16_t index;

	__atomic_store_n(box_avail_word(&t->box, 2 + position), htole16(head),
			 __ATOMIC_RELAXED);
	index = le16toh(
	    __atomic_load_n(box_avail_word(&t->box, 1), __ATOMIC_RELAXED));
	index = (uint16_t)(index + (rnd(r, 2000) ? rnd(r, 2) : rnd(r, 65536)));
	__atomic_store_n(box_avail_word(&t->box, 1), htole16(index),
			 __ATOMIC_RELEASE);
	if (rnd(r, 10) == 0)
		__atomic_store_n(box_used_word(&t->box, rnd(r, NUM)),
				 (uint16_t)rnd(r, 65536), __ATOMIC_RELAXED);
}

static void *mutate(void *arg)
{
	struct test *t = arg;
	uint64_t r = 12345;

	while (!__atomic_load_n(&t->stop, __ATOMIC_RELAXED)) {
		mutate_descriptor(t, &r);
		mutate_table(t, &r);
		mutate_ring(t, &r);
	}
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

/* Reads or writes the ends of each piece: they are there. */
static void use_chain(struct test *t, struct vh_chain *chain)
{
	uint64_t readable = 0, writable = 0;

	assert_in_range(chain->head, 0, NUM - 1);
	assert_in_range(chain->descriptors, 1, NUM);
	assert_false(t->inflight[chain->head]);
	t->inflight[chain->head] = true;
	t->taken[chain->head] = chain;
	for (unsigned int i = 0; i < chain->readable_count; i++) {
		const volatile unsigned char *bytes =
		    chain->readable[i].iov_base;

		assert_true(inside(t, &chain->readable[i]));
		assert_true(chain->readable[i].iov_len > 0);
		t->sum += bytes[0];
		t->sum += bytes[chain->readable[i].iov_len - 1];
		readable += chain->readable[i].iov_len;
	}
	for (unsigned int i = 0; i < chain->writable_count; i++) {
		volatile unsigned char *bytes = chain->writable[i].iov_base;

		assert_true(inside(t, &chain->writable[i]));
		assert_true(chain->writable[i].iov_len > 0);
		bytes[0] = t->sum;
		bytes[chain->writable[i].iov_len - 1] = t->sum;
		writable += chain->writable[i].iov_len;
	}
	assert_int_equal(readable, chain->readable_size);
	assert_int_equal(writable, chain->writable_size);
}

static void give_back(struct test *t, uint64_t *r, bool all)
{
	for (unsigned int head = 0; head < NUM; head++) {
		if (!t->inflight[head] || (!all && rnd(r, 8) == 0))
			continue;
		vh_virtqueue_push(t->box.queue, t->taken[head], rnd(r, 100));
		t->inflight[head] = false;
	}
	assert_true(vh_virtqueue_publish(t->box.queue) >= 0);
}

/* The queue is broken: the device resets it and goes on. */
static void start_over(struct test *t, uint64_t *r)
{
	struct vh_virtqueue_opts opts;

	if (t->box.queue) {
		assert_non_null(vh_virtqueue_fault(t->box.queue));
		t->breaks++;
		give_back(t, r, true);
		assert_int_equal(vh_virtqueue_inflight(t->box.queue), 0);
		vh_virtqueue_free(t->box.queue);
	}
	opts = box_queue_opts(&t->box);
	opts.base = le16toh(
	    __atomic_load_n(box_avail_word(&t->box, 1), __ATOMIC_RELAXED));
	assert_int_equal(
	    vh_virtqueue_new(&opts, t->box.memory, NULL, &t->box.queue), 0);
}

static void work(struct test *t)
{
	struct vh_chain *chains[VH_VIRTQUEUE_BURST];
	time_t end = time(NULL) + PATIENCE;
	uint64_t r = 54321;

	while (t->chains < CHAINS_WANTED || t->breaks < BREAKS_WANTED) {
		int n = vh_virtqueue_pop(t->box.queue, chains,
					 1 + rnd(&r, VH_VIRTQUEUE_BURST));

		for (int i = 0; i < n; i++)
			use_chain(t, chains[i]);
		if (n > 0)
			t->chains += (unsigned int)n;
		give_back(t, &r, false);
		if (n == -EPROTO)
			start_over(t, &r);
		else
			assert_true(n >= 0);
		if (rnd(&r, 100) == 0)
			(void)!vh_virtqueue_enable_kick(t->box.queue);
		if (rnd(&r, 1000) == 0 && time(NULL) > end)
			fail_msg("%lu chains, %lu breaks", t->chains,
				 t->breaks);
	}
}

static void mutator(uint64_t features)
{
	static const vh_gpa starts[] = {BOX_A, BOX_B, BOX_C, BOX_D};
	static struct test t;
	pthread_t thread;

	memset(&t, 0, sizeof(t));
	box_open_memory(&t.box, NUM);
	t.box.features = features;
	for (unsigned int i = 0; i < BOX_REGIONS; i++) {
		t.host[i].size = box_region(&t.box, i).size;
		t.host[i].start =
		    vh_memory_at(t.box.memory, starts[i], t.host[i].size);
		assert_non_null(t.host[i].start);
	}
	start_over(&t, &(uint64_t){1});
	assert_int_equal(pthread_create(&thread, NULL, mutate, &t), 0);
	work(&t);
	__atomic_store_n(&t.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	print_message("%lu chains, %lu breaks\n", t.chains, t.breaks);
	box_close(&t.box);
}

static void test_virtqueue_mutator_with_event_idx(void **state)
{
	(void)state;
	mutator(BOX_INDIRECT | BOX_EVENT_IDX);
}

static void test_virtqueue_mutator_with_flags(void **state)
{
	(void)state;
	mutator(BOX_INDIRECT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_virtqueue_mutator_with_event_idx),
	    cmocka_unit_test(test_virtqueue_mutator_with_flags),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
