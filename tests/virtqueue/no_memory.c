/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What a queue with tracked requests does for want of memory. The executable is
 * linked with --wrap for calloc, so that it can be made to fail.
 */
#include "iotlb_box.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static unsigned int fails_at; /* the call that fails, from 1; 0: none */

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

void *__wrap_calloc(size_t count, size_t size)
{
	if (fails_at == 0 || --fails_at > 0)
		return __real_calloc(count, size);
	return NULL;
}

static void check_words(const struct vh_fault *fault)
{
	assert_int_equal(fails_at, 0);
	assert_int_equal(fault->code, VH_FAULT_SYSTEM);
	assert_non_null(strstr(fault->text, "no memory"));
}

/* Each allocation fails once: for a ring that is there, and for a late one. */
static void fails(struct test *t)
{
	struct vh_fault fault = {0};
	unsigned int i;
	int r;

	for (i = 1;; i++) {
		fails_at = i;
		r = either_try(&t->e, &t->opts, t->iotlb, &fault);
		if (r == 0)
			break;
		assert_int_equal(r, -ENOMEM);
		check_words(&fault);
	}
	assert_true(i > 1);
	vh_virtqueue_free(t->e.box->queue);
	for (i = 1;; i++) {
		fails_at = 0;
		forbid(t, BOX_AVAIL, 1);
		start(t);
		allow_ring(t);
		fails_at = i;
		r = vh_virtqueue_set_memory(t->e.box->queue, t->iotlb);
		if (r == 0)
			break;
		assert_int_equal(r, -ENOMEM);
		check_words(vh_virtqueue_fault(t->e.box->queue));
		vh_virtqueue_free(t->e.box->queue);
	}
	assert_true(i > 1);
	fails_at = 0;
}

/* With an area that is a fresh one, and with one that was in use. */
static void tracked(bool packed)
{
	size_t size = packed ? VH_VIRTQUEUE_INFLIGHT_SIZE_PACKED(EITHER_NUM)
			     : VH_VIRTQUEUE_INFLIGHT_SIZE(EITHER_NUM);
	void *area = calloc(1, size);
	struct test t;

	assert_non_null(area);
	open_test(&t, packed, 0);
	t.opts.inflight = area;
	t.opts.inflight_size = size;
	allow_ring(&t);
	allow(&t, BOX_DATA, PAGE, BOTH);
	fails(&t);
	either_send_one(&t.e, 0, BOX_DATA + IOVA, 1, F_WRITE);
	either_pop(&t.e, 0);
	vh_virtqueue_free(t.e.box->queue);
	fails(&t);
	pass(&t, 0);
	close_test(&t);
	free(area);
}

static void test_virtqueue_no_memory_to_track_requests(void **state)
{
	(void)state;
	for_both(tracked);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_virtqueue_no_memory_to_track_requests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
