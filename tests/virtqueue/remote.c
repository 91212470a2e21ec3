/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Completions from threads that the queue doesn't belong to. They write to
 * the buffers in plain memory, which the owner reads after it has taken the
 * list: under ThreadSanitizer this shows that the list orders it.
 */
#include "either.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define THREADS	 3
#define REQUESTS 60000

struct test {
	struct either e;
	int done;	  /* an eventfd */
	int work[2];	  /* a pipe of pointers to chains */
	uint64_t wakings; /* of the owner, by all threads */
	uint64_t *data;	  /* one word for each id */
};

static void push(struct test *t, struct vh_chain *chain, uint32_t written)
{
	const uint64_t one = 1;

	if (!vh_virtqueue_push_remote(t->e.box->queue, chain, written))
		return;
	__atomic_add_fetch(&t->wakings, 1, __ATOMIC_RELAXED);
	if (write(t->done, &one, sizeof(one)) != sizeof(one))
		abort();
}

/* Writes what is asked for; some bytes fewer than there is room now and then.
 */
static void *work(void *arg)
{
	struct test *t = arg;
	struct vh_chain *chain;

	while (read(t->work[0], &chain, sizeof(chain)) == sizeof(chain)) {
		uint64_t *data = chain->writable->iov_base;
		uint64_t number = *data;

		*data = number * 3;
		push(t, chain, number % 5 ? 8 : 7);
	}
	return NULL;
}

static void send_one(struct test *t, unsigned int id, uint64_t number)
{
	struct vh_chain *chain;

	t->data[id] = number;
	either_send_one(&t->e, id, BOX_DATA + 8 * id, 8, F_WRITE);
	chain = either_pop(&t->e, id);
	assert_int_equal(write(t->work[1], &chain, sizeof(chain)),
			 sizeof(chain));
}

/* The owner sleeps until somebody says that the list isn't empty any more. */
static void take(struct test *t)
{
	uint64_t count;

	while (!vh_virtqueue_take_remote(t->e.box->queue))
		assert_int_equal(read(t->done, &count, sizeof(count)),
				 sizeof(count));
	assert_true(vh_virtqueue_publish(t->e.box->queue) >= 0);
}

static void drive(struct test *t, bool in_order)
{
	uint64_t numbers[EITHER_IDS] = {0}; /* 0: it is free */
	uint64_t sent = 0, back = 0;
	unsigned int next = 0; /* to come back in order */

	while (back < REQUESTS) {
		uint32_t written;
		unsigned int count, id;

		for (id = 0; id < EITHER_IDS && sent < REQUESTS; id++) {
			if (in_order && id != sent % EITHER_IDS)
				continue;
			if (numbers[id])
				continue;
			numbers[id] = ++sent;
			send_one(t, id, numbers[id]);
		}
		take(t);
		while ((count = either_collect(&t->e, &id, &written))) {
			unsigned int last = id;

			assert_int_equal(written, numbers[id] % 5 ? 8 : 7);
			for (; count; count--, back++) {
				id = in_order ? next : last;
				assert_int_equal(t->data[id], numbers[id] * 3);
				assert_true(id == last || numbers[id] % 5);
				numbers[id] = 0;
				next = (next + 1) % EITHER_IDS;
			}
		}
	}
}

static void run(bool packed, bool in_order)
{
	pthread_t threads[THREADS];
	struct test t = {.wakings = 0};

	either_open(&t.e, packed, in_order ? BOX_IN_ORDER : 0);
	t.data = vh_memory_at(t.e.box->memory, BOX_DATA, 8 * EITHER_IDS);
	t.done = eventfd(0, EFD_CLOEXEC);
	assert_int_equal(pipe(t.work), 0);
	for (unsigned int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work, &t),
				 0);
	drive(&t, in_order);
	close(t.work[1]);
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_true(t.wakings > 0 && t.wakings <= REQUESTS);
	assert_int_equal(vh_virtqueue_take_remote(t.e.box->queue), 0);
	assert_int_equal(vh_virtqueue_inflight(t.e.box->queue), 0);
	close(t.work[0]);
	close(t.done);
	box_close(t.e.box);
}

static void test_virtqueue_remote_from_threads(void **state)
{
	(void)state;
	run(false, false);
	run(true, false);
}

static void test_virtqueue_remote_from_threads_in_order(void **state)
{
	(void)state;
	run(false, true);
	run(true, true);
}

/* They come in the order in which they were put there, in one thread. */
static void order_of_pushes(bool packed)
{
	struct vh_chain *chains[EITHER_IDS];
	struct either e;

	either_open(&e, packed, 0);
	for (unsigned int id = 0; id < EITHER_IDS; id++)
		either_send_one(&e, id, BOX_DATA, 1, F_WRITE);
	assert_int_equal(vh_virtqueue_take_remote(e.box->queue), 0);
	assert_int_equal(vh_virtqueue_pop(e.box->queue, chains, 32),
			 EITHER_IDS);
	for (unsigned int i = 0; i < EITHER_IDS; i++)
		assert_int_equal(
		    vh_virtqueue_push_remote(e.box->queue,
					     chains[i * 4 % EITHER_IDS], i & 1),
		    i == 0);
	assert_int_equal(vh_virtqueue_inflight(e.box->queue), EITHER_IDS);
	assert_int_equal(vh_virtqueue_publish(e.box->queue), 0);
	assert_int_equal(vh_virtqueue_take_remote(e.box->queue), EITHER_IDS);
	either_expect_none(&e);
	assert_int_equal(vh_virtqueue_publish(e.box->queue), 1);
	for (unsigned int i = 0; i < EITHER_IDS; i++)
		either_expect(&e, i * 4 % EITHER_IDS, i & 1);
	/* It may begin anew. */
	either_send_one(&e, 3, BOX_DATA, 1, F_WRITE);
	assert_true(
	    vh_virtqueue_push_remote(e.box->queue, either_pop(&e, 3), 1));
	/* A broken queue takes it, and says nothing. */
	vh_virtqueue_break(e.box->queue, VH_FAULT_IO, NULL, "%d", 1);
	assert_int_equal(vh_virtqueue_take_remote(e.box->queue), 1);
	assert_int_equal(vh_virtqueue_inflight(e.box->queue), 0);
	assert_int_equal(vh_virtqueue_publish(e.box->queue), 0);
	either_expect_none(&e);
	box_close(e.box);
}

static void test_virtqueue_remote_order_of_pushes(void **state)
{
	(void)state;
	order_of_pushes(false);
	order_of_pushes(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_virtqueue_remote_from_threads),
	    cmocka_unit_test(test_virtqueue_remote_from_threads_in_order),
	    cmocka_unit_test(test_virtqueue_remote_order_of_pushes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
