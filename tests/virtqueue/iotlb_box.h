/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A box with an IOTLB for tests of queues that are on one. An IOVA is the
 * guest address plus IOVA here.
 */
#ifndef TESTS_VIRTQUEUE_IOTLB_BOX_H
#define TESTS_VIRTQUEUE_IOTLB_BOX_H

#include "either.h"

#define IOVA  UINT64_C(0x7000000000)
#define READ  VH_ACCESS_READ
#define WRITE VH_ACCESS_WRITE
#define BOTH  (READ | WRITE)
#define PAGE  4096

struct test {
	struct either e;
	struct vh_memory *iotlb;
	struct vh_virtqueue_opts opts;
};

/* A box and an IOTLB without entries; no queue yet. */
static inline void open_test(struct test *t, bool packed, uint64_t features)
{
	either_open_memory(&t->e, packed, features | BOX_INDIRECT);
	assert_int_equal(vh_iotlb_new(t->e.box->memory, &t->iotlb), 0);
	t->opts = either_opts(&t->e);
	t->opts.descriptors += IOVA;
	t->opts.available += IOVA;
	t->opts.used += IOVA;
}

static inline void close_test(struct test *t)
{
	vh_memory_unref(t->iotlb);
	box_close(t->e.box);
}

/* Only the test's IOTLB changes, until refresh(). */
static inline void allow_at(struct test *t, vh_gpa iova, vh_gpa guest,
			    uint64_t size, uint32_t access)
{
	const struct vh_iotlb_entry entry = {
	    .iova = iova, .size = size, .guest = guest, .access = access};
	struct vh_memory *old = t->iotlb;

	assert_int_equal(vh_iotlb_update(old, &entry, NULL, &t->iotlb), 0);
	vh_memory_unref(old);
}

static inline void allow(struct test *t, vh_gpa guest, uint64_t size,
			 uint32_t access)
{
	allow_at(t, guest + IOVA, guest, size, access);
}

static inline void forbid(struct test *t, vh_gpa guest, uint64_t size)
{
	struct vh_memory *old = t->iotlb;

	assert_int_equal(
	    vh_iotlb_invalidate(old, guest + IOVA, size, NULL, &t->iotlb), 0);
	vh_memory_unref(old);
}

static inline void allow_ring(struct test *t)
{
	allow(t, BOX_DESCRIPTORS, 16 * EITHER_NUM, BOTH);
	allow(t, BOX_AVAIL, 6 + 2 * EITHER_NUM, READ);
	allow(t, BOX_USED, 6 + 8 * EITHER_NUM, WRITE);
}

static inline void refresh(struct test *t)
{
	assert_int_equal(vh_virtqueue_set_memory(t->e.box->queue, t->iotlb), 0);
}

static inline void start(struct test *t)
{
	assert_int_equal(either_try(&t->e, &t->opts, t->iotlb, NULL), 0);
}

static inline void open_with_ring(struct test *t, bool packed)
{
	open_test(t, packed, 0);
	allow_ring(t);
	start(t);
}

static inline void expect_missing(const struct test *t, vh_gpa guest,
				  uint32_t access)
{
	uint32_t missing_access;
	vh_gpa missing;

	assert_true(
	    vh_virtqueue_missing(t->e.box->queue, &missing, &missing_access));
	assert_int_equal(missing, guest + IOVA);
	assert_int_equal(missing_access, access);
}

static inline void expect_nothing_missing(const struct test *t)
{
	uint32_t access;
	vh_gpa missing;

	assert_false(vh_virtqueue_missing(t->e.box->queue, &missing, &access));
}

/* It waits: it gives nothing, shows nothing, asks for nothing. */
static inline void expect_waiting(const struct test *t)
{
	struct vh_virtqueue *queue = t->e.box->queue;
	struct vh_chain *chain;

	assert_int_equal(vh_virtqueue_pop(queue, &chain, 1), 0);
	assert_false(vh_virtqueue_pending(queue));
	assert_int_equal(vh_virtqueue_enable_kick(queue), 0);
	vh_virtqueue_disable_kick(queue);
	assert_null(vh_virtqueue_fault(queue));
}

static inline void pass(struct test *t, unsigned int id)
{
	vh_virtqueue_push(t->e.box->queue, either_pop(&t->e, id), 1);
	assert_true(vh_virtqueue_publish(t->e.box->queue) >= 0);
	either_expect(&t->e, id, 1);
}

static inline void for_both(void (*test)(bool packed))
{
	test(false);
	test(true);
}

#endif
