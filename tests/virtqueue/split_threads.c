/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Driver and device on two threads. Data goes there and back in plain
 * memory: under ThreadSanitizer this shows that the acquires and releases
 * of the ring order it. Both sides use the same mapping, since two mappings
 * of one page are two memories to the sanitizer. While one waits for the
 * other they sleep, so a notification that gets lost hangs the test.
 */
#include "box.h"
#include <driver_ring.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define NUM	      64
#define REQUESTS      100000
#define TABLE_ENTRIES 4
#define PATIENCE      60000 /* ms */

struct test {
	struct box box;
	struct driver_ring *driver;
	bool indirect;
	bool sleeping; /* they wait with an eventfd, else they poll */
	int kick;
	int call;
	bool failed;
	uint64_t *data; /* for each head two words in, two words out */
};

static void wake(int fd)
{
	uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) != sizeof(one))
		abort();
}

/* False if nothing came for a long time. */
static bool sleep_for(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint64_t count;

	if (poll(&p, 1, PATIENCE) != 1)
		return false;
	return read(fd, &count, sizeof(count)) == sizeof(count);
}

static bool fail_here(struct test *t)
{
	__atomic_store_n(&t->failed, true, __ATOMIC_RELAXED);
	return false;
}

static bool device_serves(struct test *t, struct vh_chain *chain)
{
	const uint64_t *in;
	uint64_t *out;

	if (chain->readable_size != 16 || chain->writable_size != 16 ||
	    chain->readable_count != 2 || chain->writable_count != 1)
		return fail_here(t);
	in = chain->readable[0].iov_base;
	out = chain->writable[0].iov_base;
	out[0] = in[0] * 3;
	in = chain->readable[1].iov_base;
	out[1] = ~in[0];
	vh_virtqueue_push(t->box.queue, chain, 16);
	return true;
}

static void *device(void *arg)
{
	struct vh_chain *chains[VH_VIRTQUEUE_BURST];
	struct test *t = arg;
	unsigned int done = 0;

	while (done < REQUESTS &&
	       !__atomic_load_n(&t->failed, __ATOMIC_RELAXED)) {
		int n = vh_virtqueue_pop(t->box.queue, chains, 1 + done % 32);

		for (int i = 0; i < n; i++, done++)
			if (!device_serves(t, chains[i]))
				return NULL;
		if (n < 0) {
			fail_here(t);
		} else if (n > 0) {
			vh_virtqueue_disable_kick(t->box.queue);
			if (vh_virtqueue_publish(t->box.queue))
				wake(t->call);
		} else if (!t->sleeping) {
			sched_yield();
		} else if (!vh_virtqueue_enable_kick(t->box.queue) &&
			   !sleep_for(t->kick)) {
			fail_here(t);
		}
	}
	return NULL;
}

static void driver_sends(struct test *t, uint64_t number, vh_gpa at)
{
	unsigned int place = (unsigned int)(number % NUM) * 4;
	vh_gpa gpa = at + 8 * place;
	const struct driver_buffer buffers[3] = {
	    {gpa, 8, false},
	    {gpa + 8, 8, false},
	    {gpa + 16, 16, true},
	};

	t->data[place] = number;
	t->data[place + 1] = number;
	assert_true(driver_ring_add(t->driver, buffers, 3, t->indirect) >= 0);
}

/* Requests come back in order, since this device does them so. */
static void driver_checks(struct test *t, uint64_t number,
			  const struct driver_used *used)
{
	unsigned int place = (unsigned int)(number % NUM) * 4;

	assert_int_equal(used->length, 16);
	assert_int_equal(t->data[place + 2], number * 3);
	assert_int_equal(t->data[place + 3], ~number);
}

static void driver_waits(struct test *t)
{
	assert_false(__atomic_load_n(&t->failed, __ATOMIC_RELAXED));
	if (!t->sleeping)
		sched_yield();
	else if (!driver_ring_enable_calls(t->driver))
		assert_true(sleep_for(t->call));
}

static void drive(struct test *t)
{
	unsigned int most = t->indirect ? NUM : NUM / 3;
	uint64_t sent = 0, back = 0;
	struct driver_used used[32];

	while (back < REQUESTS) {
		unsigned int batch = 1 + (unsigned int)(back % 7);
		int n;

		while (batch-- && sent < REQUESTS && sent - back < most)
			driver_sends(t, sent++, BOX_DATA);
		driver_ring_publish(t->driver);
		if (driver_ring_needs_kick(t->driver))
			wake(t->kick);
		n = driver_ring_collect(t->driver, used, 32);
		assert_true(n >= 0);
		for (int i = 0; i < n; i++)
			driver_checks(t, back++, &used[i]);
		if (n > 0)
			driver_ring_disable_calls(t->driver);
		else if (sent == REQUESTS || sent - back == most)
			driver_waits(t);
	}
	assert_int_equal(driver_ring_inflight(t->driver), 0);
}

static void run(bool event_idx, bool indirect, bool sleeping)
{
	struct test t = {.indirect = indirect, .sleeping = sleeping};
	struct vh_virtqueue_opts opts;
	pthread_t thread;

	box_open_memory(&t.box, NUM);
	t.data = vh_memory_at(t.box.memory, BOX_DATA, NUM * 32);
	t.driver = driver_ring_new(&(struct driver_ring_opts){
	    .block = vh_memory_at(t.box.memory, BOX_A,
				  driver_layout(NUM, TABLE_ENTRIES).size),
	    .gpa = BOX_A,
	    .num = NUM,
	    .table_entries = TABLE_ENTRIES,
	    .event_idx = event_idx,
	    .base = 65500,
	});
	assert_non_null(t.driver);
	t.kick = eventfd(0, EFD_CLOEXEC);
	t.call = eventfd(0, EFD_CLOEXEC);
	t.box.features = BOX_INDIRECT | (event_idx ? BOX_EVENT_IDX : 0);
	opts = box_queue_opts(&t.box);
	opts.descriptors = driver_ring_descriptors(t.driver);
	opts.available = driver_ring_avail(t.driver);
	opts.used = driver_ring_used(t.driver);
	opts.base = 65500;
	assert_int_equal(
	    vh_virtqueue_new(&opts, t.box.memory, NULL, &t.box.queue), 0);
	assert_int_equal(pthread_create(&thread, NULL, device, &t), 0);
	drive(&t);
	pthread_join(thread, NULL);
	assert_false(t.failed);
	close(t.kick);
	close(t.call);
	driver_ring_free(t.driver);
	box_close(&t.box);
}

static void test_virtqueue_threads_poll(void **state)
{
	(void)state;
	run(false, false, false);
	run(true, true, false);
}

static void test_virtqueue_threads_sleep_by_flags(void **state)
{
	(void)state;
	run(false, false, true);
	run(false, true, true);
}

static void test_virtqueue_threads_sleep_by_event_idx(void **state)
{
	(void)state;
	run(true, false, true);
	run(true, true, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_virtqueue_threads_poll),
	    cmocka_unit_test(test_virtqueue_threads_sleep_by_flags),
	    cmocka_unit_test(test_virtqueue_threads_sleep_by_event_idx),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
