/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Logging that can't begin for want of memory, after some rings have begun:
 * they go back. The executable is linked with --wrap for mmap64, which mmap is:
 * a ring's first log takes one anonymous mapping.
 */
#include "rig.h"

#include <errno.h>
#include <resources.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LOG_SIZE 4096

static int fails_at; /* the anonymous mapping that fails, from 1; 0: none */

void *__real_mmap64(void *addr, size_t length, int prot, int flags, int fd,
		    off_t offset);
void *__wrap_mmap64(void *addr, size_t length, int prot, int flags, int fd,
		    off_t offset);

/* Workers call it, too. */
void *__wrap_mmap64(void *addr, size_t length, int prot, int flags, int fd,
		    off_t offset)
{
	if (fd >= 0 || __atomic_load_n(&fails_at, __ATOMIC_SEQ_CST) == 0 ||
	    __atomic_sub_fetch(&fails_at, 1, __ATOMIC_SEQ_CST) > 0)
		return __real_mmap64(addr, length, prot, flags, fd, offset);
	errno = ENOMEM;
	return MAP_FAILED;
}

struct log {
	int fd;
	uint8_t *bits;
};

static void open_log(struct log *log)
{
	log->fd = memfd_create("dirty-log", MFD_CLOEXEC);
	assert_int_equal(ftruncate(log->fd, LOG_SIZE), 0);
	log->bits = mmap(NULL, LOG_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			 log->fd, 0);
	assert_true(log->bits != MAP_FAILED);
}

static void close_log(struct log *log)
{
	munmap(log->bits, LOG_SIZE);
	close(log->fd);
}

static int set_log(struct rig *rig, const struct log *log)
{
	const struct vh_log_area area = {.size = LOG_SIZE};

	return vh_backend_set_log_base(rig->backend, &area, log->fd);
}

/*
 * What is marked after the driver has seen it, or by a ring that asks for kicks
 * before the log is taken away from it.
 */
static void forget(const struct log *log)
{
	memset(log->bits, 0, LOG_SIZE);
}

/* A request in each queue: is it marked, as it has to be? */
static void expect(struct rig *rig, const struct log *log, bool marked)
{
	static const uint8_t none[LOG_SIZE];

	for (unsigned int i = 0; i < RIG_QUEUES; i++) {
		rig_offer(rig, i);
		rig_wait(rig, i);
		if (marked)
			assert_memory_not_equal(log->bits, none, LOG_SIZE);
		else
			assert_memory_equal(log->bits, none, LOG_SIZE);
		forget(log);
	}
}

/* The mappings that fail are those of the first ring, then of the second. */
static void first_log(uint32_t workers, uint64_t ring_features)
{
	const uint64_t features = ring_features | VH_F_LOG_ALL;
	struct log log;
	struct rig rig;

	open_log(&log);
	rig_open(&rig, workers, features, rig_complete);
	rig_start(&rig, features, VH_VRING_F_LOG);
	expect(&rig, &log, false);
	for (int i = 1; i <= RIG_QUEUES; i++) {
		fails_at = i;
		assert_int_equal(set_log(&rig, &log), -ENOMEM);
		assert_int_equal(fails_at, 0);
		assert_non_null(strstr(vh_backend_fault(rig.backend)->text,
				       "the log can't be used"));
		assert_int_equal(mappings_of("memfd:dirty-log"), 1);
		forget(&log);
		expect(&rig, &log, false);
	}
	assert_int_equal(set_log(&rig, &log), 0);
	expect(&rig, &log, true);
	rig_close(&rig);
	close_log(&log);
}

/* The log is there already, and is to be used. */
static void feature(uint32_t workers, uint64_t ring_features)
{
	struct log log;
	struct rig rig;

	open_log(&log);
	rig_open(&rig, workers, ring_features, rig_complete);
	rig_start(&rig, ring_features, VH_VRING_F_LOG);
	assert_int_equal(set_log(&rig, &log), 0);
	expect(&rig, &log, false);
	for (int i = 1; i <= RIG_QUEUES; i++) {
		fails_at = i;
		assert_int_equal(vh_backend_set_features(
				     rig.backend, ring_features | VH_F_LOG_ALL |
						      VH_F_VERSION_1),
				 -ENOMEM);
		assert_int_equal(fails_at, 0);
		forget(&log);
		expect(&rig, &log, false);
	}
	assert_int_equal(
	    vh_backend_set_features(rig.backend, ring_features | VH_F_LOG_ALL |
						     VH_F_VERSION_1),
	    0);
	expect(&rig, &log, true);
	rig_close(&rig);
	close_log(&log);
}

/*
 * A ring that was logged keeps what it needs for that: once all have been,
 * neither another log nor a ring's flag can fail for want of memory.
 */
static void later(uint32_t workers, uint64_t ring_features)
{
	const uint64_t features = ring_features | VH_F_LOG_ALL;
	struct vh_vring_addr addr = {0};
	struct log logs[2];
	struct rig rig;

	open_log(&logs[0]);
	open_log(&logs[1]);
	rig_open(&rig, workers, features, rig_complete);
	rig_start(&rig, features, 0);
	assert_int_equal(set_log(&rig, &logs[0]), 0);
	expect(&rig, &logs[0], true);
	fails_at = 1;
	assert_int_equal(set_log(&rig, &logs[1]), 0);
	forget(&logs[0]);
	vh_driver_queue_addresses(rig.drivers[1], &addr.descriptors,
				  &addr.available, &addr.used);
	addr.flags = VH_VRING_F_LOG;
	addr.log = addr.used;
	assert_int_equal(vh_backend_set_vring_addr(rig.backend, 1, &addr), 0);
	assert_int_equal(fails_at, 1);
	fails_at = 0;
	expect(&rig, &logs[1], true);
	expect(&rig, &logs[0], false);
	rig_close(&rig);
	close_log(&logs[0]);
	close_log(&logs[1]);
}

static void for_all(void (*test)(uint32_t workers, uint64_t features))
{
	for (uint32_t workers = 0; workers <= RIG_QUEUES; workers++) {
		test(workers, 0);
		test(workers, VH_F_RING_PACKED);
	}
}

static void test_device_log_that_is_the_first_fails(void **state)
{
	(void)state;
	for_all(first_log);
}

static void test_device_log_that_is_switched_on_fails(void **state)
{
	(void)state;
	for_all(feature);
}

static void test_device_log_that_is_another_cannot_fail(void **state)
{
	(void)state;
	for_all(later);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_device_log_that_is_the_first_fails),
	    cmocka_unit_test(test_device_log_that_is_switched_on_fails),
	    cmocka_unit_test(test_device_log_that_is_another_cannot_fail),
	};

	return cmocka_run_group_tests_name("device-log", tests, NULL, NULL);
}
