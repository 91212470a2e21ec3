/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The library's driver and device in two threads, which sleep on eventfds
 * when there is nothing to do: no kick and no call may be lost, and what one
 * wrote the other sees. ThreadSanitizer watches.
 */
#include "driver_pair.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define REQUESTS   6000
#define NUM	   16
#define DEPTH	   12 /* most requests in flight */
#define BURST	   8
#define PAYLOAD	   6 /* words of 32 bits, readable and writable */
#define AREA_WORDS (2 * PAYLOAD)

struct run {
	struct pair pair;
	int kick;
	int call;
	unsigned int free[DEPTH];
	unsigned int free_count;
	uint32_t next; /* number of the next request */
	uint32_t numbers[DEPTH];
	unsigned int back;
};

static void wake(int fd)
{
	const uint64_t one = 1;

	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
}

static void sleep_on(int fd)
{
	uint64_t count;

	assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
}

/* The device's answer: each word plus one. */
static void serve(struct vh_virtqueue *device, struct vh_chain *chain)
{
	const uint32_t *in;
	uint32_t *out;

	assert_int_equal(chain->readable_size, 4 * PAYLOAD);
	assert_int_equal(chain->writable_size, 4 * PAYLOAD);
	in = chain->readable[0].iov_base;
	out = chain->writable[0].iov_base;
	for (unsigned int i = 0; i < PAYLOAD; i++)
		out[i] = in[i] + 1;
	vh_virtqueue_push(device, chain, 4 * PAYLOAD);
}

static void *device_thread(void *arg)
{
	struct run *run = arg;
	struct vh_virtqueue *device = run->pair.device;
	struct vh_chain *chains[BURST];
	unsigned int served = 0;

	while (served < REQUESTS) {
		int count = vh_virtqueue_pop(device, chains, BURST);

		assert_true(count >= 0);
		/* The last first; IN_ORDER puts them right. */
		for (int i = count; i-- > 0;)
			serve(device, chains[i]);
		served += (unsigned int)count;
		if (vh_virtqueue_publish(device))
			wake(run->call);
		if (count == 0 && !vh_virtqueue_enable_kick(device))
			sleep_on(run->kick);
		else if (count)
			vh_virtqueue_disable_kick(device);
	}
	return NULL;
}

static void post(struct run *run)
{
	unsigned int area = run->free[run->free_count - 1];
	uint32_t *words =
	    (uint32_t *)(void *)run->pair.data + (size_t)area * AREA_WORDS;
	const struct iovec readable = {words, 4 * PAYLOAD};
	const struct iovec writable = {words + PAYLOAD, 4 * PAYLOAD};
	int r;

	for (unsigned int i = 0; i < PAYLOAD; i++)
		words[i] = run->next + i;
	r = vh_driver_queue_add(run->pair.driver, &readable, 1, &writable, 1,
				words);
	if (r == -ENOSPC)
		return;
	assert_int_equal(r, 0);
	run->free_count--;
	run->numbers[area] = run->next++;
}

static void take_back(struct run *run, const struct vh_driver_used *used)
{
	const uint32_t *words = used->token;
	size_t area =
	    (size_t)(words - (uint32_t *)(void *)run->pair.data) / AREA_WORDS;

	assert_int_equal(used->written, 4 * PAYLOAD);
	for (unsigned int i = 0; i < PAYLOAD; i++)
		assert_int_equal(words[PAYLOAD + i],
				 run->numbers[area] + i + 1);
	run->free[run->free_count++] = (unsigned int)area;
	run->back++;
}

static void drive(struct run *run)
{
	struct vh_driver_queue *driver = run->pair.driver;
	struct vh_driver_used used[BURST];

	while (run->back < REQUESTS) {
		unsigned int burst = 1 + (unsigned int)rand() % BURST;
		int count;

		while (burst-- && run->free_count && run->next < REQUESTS)
			post(run);
		if (vh_driver_queue_publish(driver))
			wake(run->kick);
		vh_driver_queue_disable_calls(driver);
		count = vh_driver_queue_collect(driver, used, BURST);
		assert_true(count >= 0);
		for (int i = 0; i < count; i++)
			take_back(run, &used[i]);
		if (count == 0 && vh_driver_queue_inflight(driver) &&
		    !vh_driver_queue_enable_calls(driver))
			sleep_on(run->call);
	}
}

static void check(uint64_t features)
{
	struct run *run = calloc(1, sizeof(*run));
	pthread_t thread;

	assert_non_null(run);
	srand(1);
	pair_open(&run->pair, NUM, features, 4 * AREA_WORDS * DEPTH);
	run->kick = eventfd(0, EFD_CLOEXEC);
	run->call = eventfd(0, EFD_CLOEXEC);
	assert_true(run->kick >= 0 && run->call >= 0);
	while (run->free_count < DEPTH) {
		run->free[run->free_count] = run->free_count;
		run->free_count++;
	}
	assert_int_equal(pthread_create(&thread, NULL, device_thread, run), 0);
	drive(run);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(vh_driver_queue_room(run->pair.driver), NUM);
	close(run->kick);
	close(run->call);
	pair_close(&run->pair);
	free(run);
}

static void check_all(uint64_t format)
{
	for (unsigned int i = 0; pair_features[i] != UINT64_MAX; i++)
		if ((pair_features[i] & VH_F_RING_PACKED) == format)
			check(pair_features[i]);
}

static void test_driver_threads_split(void **state)
{
	(void)state;
	check_all(0);
}

static void test_driver_threads_packed(void **state)
{
	(void)state;
	check_all(VH_F_RING_PACKED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_driver_threads_split),
	    cmocka_unit_test(test_driver_threads_packed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
