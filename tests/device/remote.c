/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Completions from other threads: whoever has completed the last request may
 * come late to wake the worker. The executable is linked with --wrap for write,
 * with which a worker is woken, and for nanosleep, with which the end waits.
 */
#include "rig.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <time.h>
#include <unistd.h>

static _Thread_local bool is_late;

static struct {
	bool arrived; /* the late one is about to write */
	bool waited_for;
	bool freed;
	bool was_open; /* what it writes to */
} now;

ssize_t __real_write(int fd, const void *bytes, size_t size);
ssize_t __wrap_write(int fd, const void *bytes, size_t size);
int __real_nanosleep(const struct timespec *time, struct timespec *rest);
int __wrap_nanosleep(const struct timespec *time, struct timespec *rest);

static bool is_set(const bool *flag)
{
	return __atomic_load_n(flag, __ATOMIC_ACQUIRE);
}

static void set(bool *flag)
{
	__atomic_store_n(flag, true, __ATOMIC_RELEASE);
}

ssize_t __wrap_write(int fd, const void *bytes, size_t size)
{
	if (is_late) {
		set(&now.arrived);
		while (!is_set(&now.waited_for) && !is_set(&now.freed))
			sched_yield();
		now.was_open = fcntl(fd, F_GETFD) >= 0;
	}
	return __real_write(fd, bytes, size);
}

int __wrap_nanosleep(const struct timespec *time, struct timespec *rest)
{
	set(&now.waited_for);
	return __real_nanosleep(time, rest);
}

static struct {
	struct vh_queue *queue;
	struct vh_chain *chain;
} held;

static void hold(void *user, struct vh_queue *queue, struct vh_chain *chains[],
		 unsigned int count)
{
	(void)user;
	assert_int_equal(count, 1);
	held.queue = queue;
	held.chain = chains[0];
}

static void *complete_late(void *arg)
{
	(void)arg;
	is_late = true;
	vh_queue_complete_remote(held.queue, held.chain, 1);
	return NULL;
}

/* It is taken before the worker is woken, since the worker is awake. */
static void test_device_remote_ends_after_the_last_caller(void **state)
{
	pthread_t thread;
	struct rig rig;

	(void)state;
	rig_open(&rig, 0, 0, hold);
	rig_start(&rig, 0, 0);
	rig_offer(&rig, 0);
	while (!held.chain)
		assert_int_equal(vh_device_dispatch(rig.backend), 0);
	assert_int_equal(pthread_create(&thread, NULL, complete_late, NULL), 0);
	while (!is_set(&now.arrived))
		sched_yield();
	rig_wait(&rig, 0);
	vh_backend_free(rig.backend);
	rig.backend = NULL;
	set(&now.freed);
	pthread_join(thread, NULL);
	assert_true(now.was_open);
	assert_true(now.waited_for);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_device_remote_ends_after_the_last_caller),
	};

	return cmocka_run_group_tests_name("device-remote", tests, NULL, NULL);
}
