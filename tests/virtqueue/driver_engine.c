/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The library's driver against the library's device: random chains with
 * data, completed in random order, over many laps of rings of many sizes.
 */
#include "driver_pair.h"
#include <stdlib.h>
#include <string.h>

#define STEPS	   40000
#define MAX_CHAINS 256
#define MAX_BUFFER 32
#define AREA	   256 /* bytes for the buffers of a chain */

struct request {
	char *area;
	uint32_t readable;
	uint32_t writable;
	uint32_t written;
	char fill; /* of the readable part; the writable one becomes ~fill */
	bool busy;
	bool done;
};

struct run {
	struct pair pair;
	struct request requests[MAX_CHAINS];
	struct vh_chain *held[MAX_CHAINS];
	char *device_data; /* pair.data as the device's mapping has it */
	unsigned int held_count;
	unsigned int passed; /* requests that came back */
	bool driver_asleep;
	bool device_asleep;
};

static unsigned int up_to(unsigned int most)
{
	return (unsigned int)rand() % (most + 1);
}

static void post(struct run *run)
{
	unsigned int most = run->pair.num < 6 ? run->pair.num : 6;
	unsigned int readable = up_to(most);
	unsigned int writable = up_to(most - readable);
	struct iovec iov[8];
	struct request *request = run->requests;
	uint32_t size = 0;

	while (request < run->requests + MAX_CHAINS && request->busy)
		request++;
	if (request == run->requests + MAX_CHAINS || readable + writable == 0)
		return;
	request->readable = 0;
	for (unsigned int i = 0; i < readable + writable; i++) {
		iov[i].iov_base = request->area + size;
		/* The first has a byte at least: find() looks for it. */
		iov[i].iov_len = up_to(MAX_BUFFER - 1) + (i == 0);
		size += (uint32_t)iov[i].iov_len;
		if (i + 1 == readable)
			request->readable = size;
	}
	request->writable = size - request->readable;
	request->fill = (char)rand();
	if (vh_driver_queue_add(run->pair.driver, iov, readable, iov + readable,
				writable, request) < 0)
		return;
	memset(request->area, request->fill, size);
	request->busy = true;
	request->done = false;
}

/* Tells a chain by where its first piece is. */
static struct request *find(struct run *run, const struct vh_chain *chain)
{
	const struct iovec *first =
	    chain->readable_count ? chain->readable : chain->writable;
	size_t offset = (size_t)((char *)first->iov_base - run->device_data);
	struct request *request = &run->requests[offset / AREA];

	assert_int_equal(offset % AREA, 0);
	assert_true(request->busy && !request->done);
	return request;
}

static void check_readable(const struct vh_chain *chain, char fill)
{
	for (unsigned int i = 0; i < chain->readable_count; i++)
		for (size_t at = 0; at < chain->readable[i].iov_len; at++)
			assert_int_equal(
			    ((char *)chain->readable[i].iov_base)[at], fill);
}

static void write_bytes(const struct vh_chain *chain, char fill, uint32_t left)
{
	for (unsigned int i = 0; i < chain->writable_count && left; i++) {
		uint32_t size = (uint32_t)chain->writable[i].iov_len;

		if (size > left)
			size = left;
		memset(chain->writable[i].iov_base, fill, size);
		left -= size;
	}
}

static void take(struct run *run)
{
	struct vh_chain **held = run->held + run->held_count;
	int count = vh_virtqueue_pop(run->pair.device, held, 1 + up_to(7));

	assert_true(count >= 0);
	for (int i = 0; i < count; i++) {
		const struct request *request = find(run, held[i]);

		assert_int_equal(held[i]->readable_size, request->readable);
		assert_int_equal(held[i]->writable_size, request->writable);
		check_readable(held[i], request->fill);
	}
	run->held_count += (unsigned int)count;
}

static void give(struct run *run)
{
	unsigned int which = up_to(run->held_count - 1);
	struct vh_chain *chain = run->held[which];
	struct request *request = find(run, chain);

	/* In full more often than not: IN_ORDER makes batches of those. */
	request->written =
	    rand() % 4 ? request->writable : up_to(request->writable);
	write_bytes(chain, (char)~request->fill, request->written);
	request->done = true;
	vh_virtqueue_push(run->pair.device, chain, request->written);
	run->held[which] = run->held[--run->held_count];
}

/* A driver that sleeps is called, or there was nothing for it. */
static void show(struct run *run)
{
	if (vh_virtqueue_publish(run->pair.device))
		run->driver_asleep = false;
	if (run->driver_asleep)
		assert_false(vh_driver_queue_enable_calls(run->pair.driver));
}

/* A device that sleeps is kicked, or there was nothing for it. */
static void publish(struct run *run)
{
	if (vh_driver_queue_publish(run->pair.driver))
		run->device_asleep = false;
	if (run->device_asleep)
		assert_false(vh_virtqueue_pending(run->pair.device));
}

static void collect(struct run *run)
{
	struct vh_driver_used used[8];
	int count = vh_driver_queue_collect(run->pair.driver, used, up_to(8));

	assert_true(count >= 0);
	run->passed += (unsigned int)count;
	for (int i = 0; i < count; i++) {
		struct request *request = used[i].token;

		assert_true(request->busy && request->done);
		assert_int_equal(used[i].written, request->written);
		for (uint32_t at = 0;
		     at < request->readable + request->writable; at++) {
			bool written = at >= request->readable &&
				       at - request->readable < used[i].written;

			assert_int_equal(request->area[at],
					 written ? (char)~request->fill
						 : request->fill);
		}
		request->busy = false;
	}
}

/* Nobody goes to sleep with something that the other hasn't seen. */
static void device_sleeps(struct run *run)
{
	show(run);
	run->device_asleep = !vh_virtqueue_enable_kick(run->pair.device);
}

static void driver_sleeps(struct run *run)
{
	publish(run);
	run->driver_asleep = !vh_driver_queue_enable_calls(run->pair.driver);
}

static void device_step(struct run *run)
{
	if (run->device_asleep)
		return;
	switch (rand() % 4) {
	case 0:
		take(run);
		break;
	case 1:
		if (run->held_count)
			give(run);
		break;
	case 2:
		show(run);
		break;
	default:
		if (rand() % 4 == 0)
			vh_virtqueue_disable_kick(run->pair.device);
		else if (run->held_count == 0)
			device_sleeps(run);
		break;
	}
}

/* Another device takes over a ring in which nothing is in flight. */
static void restart(struct run *run)
{
	pair_restart_device(&run->pair);
	run->device_asleep = false;
}

static void driver_step(struct run *run)
{
	if (run->driver_asleep)
		return;
	switch (rand() % 5) {
	case 0:
	case 1:
		post(run);
		break;
	case 2:
		publish(run);
		break;
	case 3:
		collect(run);
		break;
	default:
		if (rand() % 4 == 0)
			vh_driver_queue_disable_calls(run->pair.driver);
		else if (vh_driver_queue_inflight(run->pair.driver))
			driver_sleeps(run);
		else if (rand() % 8 == 0)
			restart(run);
		break;
	}
}

/* What is left is done, and nobody sleeps over it. */
static void finish(struct run *run)
{
	publish(run);
	while (vh_driver_queue_inflight(run->pair.driver)) {
		assert_false(run->device_asleep && run->driver_asleep);
		if (!run->device_asleep) {
			take(run);
			while (run->held_count)
				give(run);
			show(run);
		}
		run->driver_asleep = false;
		collect(run);
	}
	assert_int_equal(vh_driver_queue_room(run->pair.driver), run->pair.num);
	assert_int_equal(vh_virtqueue_inflight(run->pair.device), 0);
}

static void check(uint64_t features, uint32_t num)
{
	struct run *run = calloc(1, sizeof(*run));

	assert_non_null(run);
	pair_open(&run->pair, num, features, (size_t)MAX_CHAINS * AREA);
	run->device_data = pair_device_data(&run->pair);
	for (unsigned int i = 0; i < MAX_CHAINS; i++)
		run->requests[i].area = run->pair.data + (size_t)i * AREA;
	for (unsigned int i = 0; i < STEPS; i++) {
		device_step(run);
		driver_step(run);
		assert_false(run->device_asleep && run->driver_asleep);
	}
	finish(run);
	/* Enough for the indices to wrap at 65536, and for many laps. */
	assert_true(run->passed > 1000);
	pair_close(&run->pair);
	free(run);
}

static void check_all(uint64_t format)
{
	const uint32_t sizes[] = {1, 2, 8, 256};
	const uint32_t odd[] = {3, 7, 100};

	srand(1);
	for (unsigned int i = 0; pair_features[i] != UINT64_MAX; i++) {
		if ((pair_features[i] & VH_F_RING_PACKED) != format)
			continue;
		for (unsigned int size = 0; size < 4; size++)
			check(pair_features[i], sizes[size]);
		for (unsigned int size = 0; size < 3 && format; size++)
			check(pair_features[i], odd[size]);
	}
}

static void test_driver_engine_split(void **state)
{
	(void)state;
	check_all(0);
}

static void test_driver_engine_packed(void **state)
{
	(void)state;
	check_all(VH_F_RING_PACKED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_driver_engine_split),
	    cmocka_unit_test(test_driver_engine_packed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
