/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* A front-end that pulls memory away, wherever the library is just then. */
#include "rig.h"

#include <stdbool.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

/* The log's first half covers the rings, and the second RIG_BUFFER. */
#define LOG_SIZE   (RIG_MEMORY / VH_DIRTY_LOG_PAGE / 8)
#define LOG_OFFSET (4096 - LOG_SIZE / 2)

static struct {
	struct vh_queue *queue;
	struct vh_chain *chains[2];
	unsigned int count;
} held;

static void hold(void *user, struct vh_queue *queue, struct vh_chain *chains[],
		 unsigned int count)
{
	(void)user;
	held.queue = queue;
	for (unsigned int i = 0; i < count; i++)
		held.chains[held.count++] = chains[i];
}

static int set_log(struct rig *rig)
{
	const struct vh_log_area area = {.offset = LOG_OFFSET,
					 .size = LOG_SIZE};
	int fd = memfd_create("log", MFD_CLOEXEC);

	assert_int_equal(ftruncate(fd, 8192), 0);
	assert_int_equal(vh_backend_set_log_base(rig->backend, &area, fd), 0);
	return fd;
}

/*
 * In order, a request that is done early is in the log's cache as long as the
 * one before it isn't done. Returns the log's descriptor.
 */
static int mark_in_the_cache(struct rig *rig)
{
	const uint64_t features = VH_F_IN_ORDER | VH_F_LOG_ALL;
	int log;

	rig_open(rig, 0, features, hold);
	log = set_log(rig);
	rig_start(rig, features, 0);
	rig_offer(rig, 0);
	rig_offer(rig, 0);
	while (held.count < 2)
		assert_int_equal(vh_device_dispatch(rig->backend), 0);
	vh_queue_complete(held.queue, held.chains[1], 1);
	assert_int_equal(vh_device_dispatch(rig->backend), 0);
	return log;
}

/* The other queue meets the hole, and both break. */
static void log_with_the_memory(void)
{
	struct vh_device_stats stats = {.size = sizeof(stats)};
	struct rig rig;
	int log;

	log = mark_in_the_cache(&rig);

	assert_int_equal(ftruncate(rig.fd, 0), 0);
	assert_int_equal(ftruncate(log, 0), 0);
	assert_int_equal(eventfd_write(rig.kicks[1], 1), 0);
	assert_int_equal(vh_device_dispatch(rig.backend), 0);
	assert_int_equal(vh_device_get_stats(rig.backend, &stats), 0);
	assert_int_equal(stats.faults, RIG_QUEUES);
	vh_queue_complete(held.queue, held.chains[0], 1);
	close(log);
	rig_close(&rig);
}

/* The device has it since before the hole, and is done in its own loop. */
static void between_two_rounds(void)
{
	struct vh_device_stats stats = {.size = sizeof(stats)};
	struct rig rig;

	rig_open(&rig, 0, 0, hold);
	rig_start(&rig, 0, 0);
	rig_offer(&rig, 0);
	while (held.count < 1)
		assert_int_equal(vh_device_dispatch(rig.backend), 0);
	assert_int_equal(ftruncate(rig.fd, 0), 0);
	vh_queue_complete(held.queue, held.chains[0], 1);
	assert_int_equal(vh_device_dispatch(rig.backend), 0);
	assert_int_equal(vh_device_get_stats(rig.backend, &stats), 0);
	assert_int_equal(stats.faults, RIG_QUEUES);
	rig_close(&rig);
}

static void log_of_a_queue_that_is_broken(void)
{
	struct vh_device_stats stats = {.size = sizeof(stats)};
	struct rig rig;
	int log;

	log = mark_in_the_cache(&rig);
	assert_int_equal(ftruncate(log, 0), 0);
	vh_queue_break(held.queue, VH_FAULT_REQUEST, "", "no good");
	assert_int_equal(vh_device_dispatch(rig.backend), 0);
	assert_int_equal(vh_device_get_stats(rig.backend, &stats), 0);
	assert_int_equal(stats.faults, RIG_QUEUES);
	vh_queue_complete(held.queue, held.chains[0], 1);
	close(log);
	rig_close(&rig);
}

/* One test: cmocka takes the handler away behind each. */
static void test_device_vanish_anywhere(void **state)
{
	static void (*const scenes[])(void) = {
	    log_with_the_memory,
	    between_two_rounds,
	    log_of_a_queue_that_is_broken,
	};

	(void)state;
	assert_int_equal(vh_memory_catch_sigbus(), 0);
	for (size_t i = 0; i < sizeof(scenes) / sizeof(scenes[0]); i++) {
		held.count = 0;
		scenes[i]();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_device_vanish_anywhere),
	};

	return cmocka_run_group_tests_name("device-vanish", tests, NULL, NULL);
}
