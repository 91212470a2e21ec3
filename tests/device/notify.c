/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * How much of a burst the driver is shown at once, and how long a worker looks
 * on before it sleeps. The executable is linked with --wrap for
 * clock_gettime(): time goes on when a test says so.
 */
#include "rig.h"

#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#define US	 UINT64_C(1000)
#define A_SECOND (UINT64_C(1000000) * US)

static uint64_t now;

int __wrap_clock_gettime(clockid_t clock, struct timespec *time);

int __wrap_clock_gettime(clockid_t clock, struct timespec *time)
{
	(void)clock;
	time->tv_sec = (time_t)(now / A_SECOND);
	time->tv_nsec = (long)(now % A_SECOND);
	return 0;
}

/* What the driver sees after each completion of a burst. */
static struct {
	unsigned int seen[RIG_NUM];
	unsigned int count;
} burst;

static unsigned int collect(struct rig *rig)
{
	struct vh_driver_used used[RIG_NUM];
	int n = vh_driver_queue_collect(rig->drivers[0], used, RIG_NUM);

	assert_true(n >= 0);
	return (unsigned int)n;
}

static void complete_and_look(void *user, struct vh_queue *queue,
			      struct vh_chain *chains[], unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		vh_queue_complete(queue, chains[i], 1);
		burst.seen[burst.count++] = collect(user);
	}
}

static void open_rig(struct rig *rig, struct vh_device_opts *opts,
		     rig_process *process)
{
	VH_OPTS(vh_device_ops, ops);

	ops.process = process;
	now = A_SECOND;
	rig_open_opts(rig, opts, 0, &ops);
	rig_start(rig, 0, 0);
}

static void dispatch(struct rig *rig)
{
	assert_int_equal(vh_device_dispatch(rig->backend), 0);
}

/* A burst of so many is seen as so many at a time, and the rest at its end. */
static void expect_shown(struct rig *rig, unsigned int count, unsigned int by)
{
	memset(&burst, 0, sizeof(burst));
	for (unsigned int i = 0; i < count; i++)
		rig_offer(rig, 0);
	dispatch(rig);
	assert_int_equal(burst.count, count);
	for (unsigned int i = 0; i < count; i++)
		assert_int_equal(burst.seen[i], (i + 1) % by ? 0 : by);
	assert_int_equal(collect(rig), count % by);
}

static void test_device_notify_publish_after(void **state)
{
	static const struct {
		uint32_t opt;
		unsigned int by;
	} cases[] = {{0, 16}, {1, 1}, {4, 4}, {16, 16}, {100, 100}};

	(void)state;
	for (unsigned int i = 0; i < 5; i++) {
		VH_OPTS(vh_device_opts, opts);
		struct rig rig;

		opts.publish_after = cases[i].opt;
		open_rig(&rig, &opts, complete_and_look);
		expect_shown(&rig, RIG_NUM, cases[i].by);
		expect_shown(&rig, 10, cases[i].by);
		/* Whatever it is, one alone waits for nobody. */
		expect_shown(&rig, 1, cases[i].by);
		rig_close(&rig);
	}
}

/* So much later: does it still look on? */
static bool looks_on(struct rig *rig, uint64_t later)
{
	struct pollfd pollfd = {.fd = vh_device_fd(rig->backend),
				.events = POLLIN};

	now += later;
	dispatch(rig);
	return poll(&pollfd, 1, 0) == 1;
}

/* The worker reads no eventfd: the driver's kicks add up. */
static eventfd_t kicks(const struct rig *rig)
{
	eventfd_t count = 0;

	(void)!eventfd_read(rig->kicks[0], &count);
	return count;
}

/* So much later the driver wants something, and has to kick, or not. */
static void request(struct rig *rig, uint64_t later, bool kick)
{
	now += later;
	kicks(rig);
	rig_offer(rig, 0);
	assert_int_equal(kicks(rig), kick);
	if (kick)
		assert_int_equal(eventfd_write(rig->kicks[0], 1), 0);
	dispatch(rig);
	assert_int_equal(collect(rig), 1);
}

static void test_device_notify_sleeps_at_once(void **state)
{
	VH_OPTS(vh_device_opts, opts);
	struct rig rig;

	(void)state;
	open_rig(&rig, &opts, rig_complete);
	assert_false(looks_on(&rig, 0));
	for (unsigned int i = 0; i < 3; i++) {
		request(&rig, A_SECOND, true);
		assert_false(looks_on(&rig, 0));
	}
	/* The driver was quicker than a sleep: once more, until it isn't. */
	request(&rig, 99 * US, true);
	assert_true(looks_on(&rig, 0));
	assert_true(looks_on(&rig, 49 * US));
	assert_false(looks_on(&rig, 1 * US));
	request(&rig, A_SECOND, true);
	assert_false(looks_on(&rig, 0));
	rig_close(&rig);
}

static void test_device_notify_spins_as_long_as_it_pays(void **state)
{
	VH_OPTS(vh_device_opts, opts);
	struct rig rig;

	(void)state;
	opts.spin_us = 200;
	open_rig(&rig, &opts, rig_complete);
	assert_true(looks_on(&rig, 0));
	assert_true(looks_on(&rig, 199 * US));
	assert_false(looks_on(&rig, 1 * US));
	/* Half of it, since nothing came. */
	request(&rig, A_SECOND, true);
	assert_true(looks_on(&rig, 99 * US));
	request(&rig, 0, false);
	assert_true(looks_on(&rig, 99 * US));
	assert_false(looks_on(&rig, 1 * US));
	/* A quarter; and all of it, once a sleep was a short one. */
	request(&rig, A_SECOND, true);
	assert_true(looks_on(&rig, 49 * US));
	assert_false(looks_on(&rig, 1 * US));
	request(&rig, 249 * US, true);
	assert_true(looks_on(&rig, 199 * US));
	assert_false(looks_on(&rig, 1 * US));
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_device_notify_publish_after),
	    cmocka_unit_test(test_device_notify_sleeps_at_once),
	    cmocka_unit_test(test_device_notify_spins_as_long_as_it_pays),
	};

	return cmocka_run_group_tests_name("device-notify", tests, NULL, NULL);
}
