/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What a worker does in a round, and that it comes back for what is left: the
 * test's own loop is told of it, and a thread doesn't sleep over it.
 */
#include "rig.h"

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

static struct {
	struct vh_queue *queue;
	struct vh_chain *chain;
	unsigned int flushes; /* atomic */
} seen;

static void hold(void *user, struct vh_queue *queue, struct vh_chain *chains[],
		 unsigned int count)
{
	(void)user;
	assert_int_equal(count, 1);
	seen.queue = queue;
	__atomic_store_n(&seen.chain, chains[0], __ATOMIC_RELEASE);
}

static void count_flush(void *user, struct vh_worker *worker)
{
	(void)user, (void)worker;
	__atomic_add_fetch(&seen.flushes, 1, __ATOMIC_RELAXED);
}

static void want_more(void *user, struct vh_worker *worker)
{
	count_flush(user, worker);
	vh_worker_again(worker);
}

static void open_rig(struct rig *rig, uint32_t workers,
		     const struct vh_device_ops *ops)
{
	memset(&seen, 0, sizeof(seen));
	rig_open_ops(rig, workers, 0, ops);
	rig_start(rig, 0, 0);
}

/* Until there is nothing to do. */
static void dispatch_all(struct rig *rig)
{
	struct pollfd pollfd = {.fd = vh_device_fd(rig->backend),
				.events = POLLIN};

	do
		assert_int_equal(vh_device_dispatch(rig->backend), 0);
	while (poll(&pollfd, 1, 0) == 1);
}

static bool wants_dispatch(const struct rig *rig)
{
	struct pollfd pollfd = {.fd = vh_device_fd(rig->backend),
				.events = POLLIN};

	return poll(&pollfd, 1, 0) == 1;
}

static void collect_one(struct rig *rig, unsigned int queue)
{
	struct vh_driver_used used;

	assert_int_equal(vh_driver_queue_collect(rig->drivers[queue], &used, 1),
			 1);
}

/* A ring without a kick descriptor is always looked at. */
static void poll_ring(struct rig *rig, unsigned int queue)
{
	assert_int_equal(vh_backend_set_vring_kick(rig->backend, queue, -1), 0);
}

/* Who has long work to do is asked again after the others' turn. */
static void test_device_rounds_again_comes_after_kicks(void **state)
{
	VH_OPTS(vh_device_ops, ops);
	struct rig rig;

	(void)state;
	ops.process = rig_complete;
	ops.flush = want_more;
	open_rig(&rig, 0, &ops);
	poll_ring(&rig, 0);
	for (unsigned int i = 1; i < 4; i++) {
		seen.flushes = 0;
		assert_int_equal(vh_device_dispatch(rig.backend), 0);
		assert_int_equal(seen.flushes, 1);
	}
	rig_close(&rig);
}

static void test_device_rounds_completion_of_own_loop_is_shown(void **state)
{
	VH_OPTS(vh_device_ops, ops);
	struct rig rig;

	(void)state;
	ops.process = hold;
	open_rig(&rig, 0, &ops);
	rig_offer(&rig, 0);
	dispatch_all(&rig);
	assert_non_null(seen.chain);
	vh_queue_complete(seen.queue, seen.chain, 1);
	assert_true(wants_dispatch(&rig));
	dispatch_all(&rig);
	collect_one(&rig, 0);
	rig_close(&rig);
}

/* It ends, and lets go of what the other queue waited for. */
static void complete_other(void *user, struct vh_queue *queue)
{
	(void)user;
	if (vh_queue_index(queue) == 1 && seen.chain)
		vh_queue_complete(seen.queue, seen.chain, 1);
	if (vh_queue_index(queue) == 1)
		seen.chain = NULL;
}

static void test_device_rounds_completion_by_a_task_is_shown(void **state)
{
	VH_OPTS(vh_device_ops, ops);
	uint32_t base;

	(void)state;
	ops.process = hold;
	ops.queue_stop = complete_other;
	for (uint32_t workers = 0; workers < 2; workers++) {
		struct rig rig;

		open_rig(&rig, workers, &ops);
		rig_offer(&rig, 0);
		while (!__atomic_load_n(&seen.chain, __ATOMIC_ACQUIRE)) {
			if (!workers)
				dispatch_all(&rig);
		}
		assert_int_equal(
		    vh_backend_get_vring_base(rig.backend, 1, &base), 0);
		if (!workers) {
			assert_true(wants_dispatch(&rig));
			dispatch_all(&rig);
		}
		rig_wait(&rig, 0);
		rig_close(&rig);
	}
}

static void *complete_soon(void *arg)
{
	(void)arg;
	/* However long it takes, the worker has nothing to do meanwhile. */
	usleep(20000);
	vh_queue_complete_remote(seen.queue, seen.chain, 1);
	return NULL;
}

/* Other memory waits for a request, and the worker sleeps meanwhile. */
static void test_device_rounds_memory_waits_asleep(void **state)
{
	VH_OPTS(vh_device_ops, ops);
	struct vh_region region = {.guest = RIG_MEMORY, .size = 4096};
	pthread_t thread;
	struct rig rig;

	(void)state;
	ops.process = hold;
	ops.flush = count_flush;
	open_rig(&rig, 0, &ops);
	region.user.raw = (uintptr_t)rig.memory + RIG_MEMORY;
	region.fd = rig.fd;
	assert_int_equal(vh_backend_add_region(rig.backend, &region), 0);
	rig_offer(&rig, 0);
	dispatch_all(&rig);
	assert_non_null(seen.chain);
	seen.flushes = 0;
	assert_int_equal(pthread_create(&thread, NULL, complete_soon, NULL), 0);
	assert_int_equal(vh_backend_remove_region(rig.backend, &region), 0);
	pthread_join(thread, NULL);
	assert_in_range(seen.flushes, 1, 8);
	rig_wait(&rig, 0);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_device_rounds_again_comes_after_kicks),
	    cmocka_unit_test(
		test_device_rounds_completion_of_own_loop_is_shown),
	    cmocka_unit_test(test_device_rounds_completion_by_a_task_is_shown),
	    cmocka_unit_test(test_device_rounds_memory_waits_asleep),
	};

	return cmocka_run_group_tests_name("device-rounds", tests, NULL, NULL);
}
