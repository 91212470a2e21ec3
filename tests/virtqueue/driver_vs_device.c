/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The library's driver and device on one ring, in one thread, in random
 * steps: each byte arrives, and whoever sleeps is woken.
 *
 *	driver_vs_device [steps [seed]]
 */
#include "driver_vs_device.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned long steps = 300000;
static uint64_t seed = 1;

static vh_gpa chunk_at(unsigned int chunk)
{
	return BOX_DATA + CHUNK / 2 + (vh_gpa)CHUNK * chunk;
}

/* Where a byte of a buffer is in the view of the driver. */
static uint8_t *driver_byte(struct test *t, unsigned int chunk, uint32_t offset)
{
	return box_host(&t->box, chunk_at(chunk) + offset);
}

static void *address(struct test *t, vh_gpa guest)
{
	struct vh_user_addr user;

	if (!t->use_memory)
		return (void *)(uintptr_t)guest;
	assert_int_equal(
	    vh_memory_guest_to_user(t->box.memory, guest, CHUNK, &user), 0);
	return (void *)(uintptr_t)user.raw;
}

static void fill(struct test *t, struct chain *chain, unsigned int which)
{
	unsigned int chunk = chain->buffers[which].chunk;

	for (uint32_t i = 0; i < chain->buffers[which].length; i++)
		*driver_byte(t, chunk, i) =
		    which < chain->readable
			? pattern(chain->serial, chain->readable_size + i)
			: UNTOUCHED;
	if (which < chain->readable)
		chain->readable_size += chain->buffers[which].length;
	else
		chain->writable_size += chain->buffers[which].length;
}

static void give_chunks(struct test *t, const struct chain *chain)
{
	for (unsigned int i = 0; i < chain->count; i++)
		t->free_chunks[t->free_chunk_count++] = chain->buffers[i].chunk;
}

static void make_chain(struct test *t, struct chain *chain)
{
	unsigned int which;

	memset(chain, 0, sizeof(*chain));
	chain->serial = t->serial;
	chain->count = 1 + rnd(&t->rng, one_in(&t->rng, 4) ? BUFFERS : 4);
	if (t->singles)
		chain->count = 1;
	if (chain->count > t->box.num)
		chain->count = t->box.num;
	chain->readable = rnd(&t->rng, chain->count + 1);
	for (unsigned int i = 0; i < chain->count; i++) {
		which = rnd(&t->rng, t->free_chunk_count);
		chain->buffers[i].chunk = t->free_chunks[which];
		t->free_chunks[which] = t->free_chunks[--t->free_chunk_count];
		chain->buffers[i].length = one_in(&t->rng, 4)
					       ? rnd(&t->rng, CHUNK + 1)
					       : rnd(&t->rng, 40);
		fill(t, chain, i);
	}
}

/* False if there is no room. */
static bool driver_adds(struct test *t)
{
	struct iovec iovecs[BUFFERS];
	struct chain *chain;
	unsigned int which;
	int result;

	if (!t->free_chain_count || t->free_chunk_count < BUFFERS)
		return false;
	which = t->free_chains[t->free_chain_count - 1];
	chain = &t->chains[which];
	make_chain(t, chain);
	for (unsigned int i = 0; i < chain->count; i++) {
		iovecs[i].iov_base =
		    address(t, chunk_at(chain->buffers[i].chunk));
		iovecs[i].iov_len = chain->buffers[i].length;
	}
	result = vh_driver_queue_add(t->driver, iovecs, chain->readable,
				     iovecs + chain->readable,
				     chain->count - chain->readable, chain);
	if (result) {
		assert_int_equal(result, -ENOSPC);
		give_chunks(t, chain);
		return false;
	}
	t->free_chain_count--;
	t->added[(t->added_first + t->added_count++) % CHUNKS] = which;
	t->unshown++;
	t->serial++;
	return true;
}

static void driver_publishes(struct test *t)
{
	bool kick = vh_driver_queue_publish(t->driver);

	assert_true(!kick || t->unshown);
	t->unshown = 0;
	if (!kick)
		return;
	t->kicks++;
	if (t->device_sleeps && one_in(&t->rng, 2))
		vh_virtqueue_disable_kick(t->device);
	t->device_sleeps = false;
}

static void check_writable(struct test *t, const struct chain *chain)
{
	uint32_t offset = 0;

	for (unsigned int i = chain->readable; i < chain->count; i++) {
		unsigned int chunk = chain->buffers[i].chunk;

		for (uint32_t k = 0; k < chain->buffers[i].length; k++) {
			uint8_t want = offset < chain->written
					   ? pattern(~chain->serial, offset)
					   : UNTOUCHED;

			if (*driver_byte(t, chunk, k) != want)
				fail_msg("byte %u of chain %llu", offset,
					 (unsigned long long)chain->serial);
			offset++;
		}
	}
	assert_int_equal(offset, chain->writable_size);
}

static void driver_collects(struct test *t)
{
	struct vh_driver_used used[40];
	unsigned int max = 1 + rnd(&t->rng, 40);
	struct chain *chain;
	int n;

	if (t->driver_sleeps)
		return;
	n = vh_driver_queue_collect(t->driver, used, max);
	assert_int_equal(n, t->visible < max ? t->visible : max);
	t->visible -= (unsigned int)n;
	t->done += (unsigned int)n;
	for (int i = 0; i < n; i++) {
		chain = used[i].token;
		assert_true(chain->back);
		assert_int_equal(used[i].written, chain->written);
		check_writable(t, chain);
		if (t->box.features & VH_F_IN_ORDER)
			assert_int_equal(chain->serial, t->next_serial++);
		chain->back = false;
		give_chunks(t, chain);
		t->free_chains[t->free_chain_count++] =
		    (unsigned int)(chain - t->chains);
	}
}

static void driver_sleeps(struct test *t)
{
	if (t->driver_sleeps)
		return;
	if (one_in(&t->rng, 4)) {
		vh_driver_queue_disable_calls(t->driver);
		return;
	}
	t->driver_sleeps = !vh_driver_queue_enable_calls(t->driver);
	assert_int_equal(t->driver_sleeps, !t->visible);
}

/* Nobody sleeps while there is something for them to do. */
static void check_state(struct test *t)
{
	assert_true(!t->device_sleeps || t->added_count == t->unshown);
	assert_true(!t->driver_sleeps || !t->visible);
	assert_int_equal(vh_virtqueue_pending(t->device),
			 t->added_count > t->unshown);
	assert_int_equal(vh_driver_queue_inflight(t->driver),
			 CHUNKS - t->free_chain_count);
	assert_null(vh_virtqueue_fault(t->device));
	assert_null(vh_driver_queue_fault(t->driver));
}

static void step(struct test *t)
{
	unsigned int n = 1 + rnd(&t->rng, one_in(&t->rng, 3) ? 40 : 3);

	switch (rnd(&t->rng, 12)) {
	case 0:
	case 1:
		while (n-- && driver_adds(t))
			;
		break;
	case 2:
		driver_publishes(t);
		break;
	case 3:
		device_pops(t);
		break;
	case 4:
	case 5:
		device_pushes(t, n);
		break;
	case 6:
		device_publishes(t);
		break;
	case 7:
		driver_collects(t);
		break;
	case 8:
		driver_sleeps(t);
		break;
	case 9:
	case 10:
		device_passes_buffers(t);
		break;
	default:
		device_sleeps(t);
		break;
	}
	check_state(t);
}

/* Everything comes back. */
static void finish(struct test *t)
{
	if (!t->driver)
		return;
	while (vh_driver_queue_inflight(t->driver)) {
		driver_publishes(t);
		device_pops(t);
		device_pushes(t, t->taken_count);
		device_publishes(t);
		driver_collects(t);
		check_state(t);
	}
	vh_driver_queue_free(t->driver);
	vh_virtqueue_free(t->device);
}

static void start_driver(struct test *t)
{
	VH_OPTS(vh_driver_queue_opts, opts);
	opts.num = t->box.num;
	opts.features = t->box.features;
	opts.ring = box_host(&t->box, BOX_DESCRIPTORS);
	opts.ring_at = BOX_DESCRIPTORS;
	opts.table_entries = rnd(&t->rng, t->box.num > 256 ? 4 : BUFFERS + 1);
	opts.memory = t->use_memory ? t->box.memory : NULL;
	opts.base = (uint16_t)(65535 - rnd(&t->rng, 2000));
	assert_true(
	    vh_driver_queue_size(opts.num, opts.features, opts.table_entries) <=
	    BOX_DATA - BOX_DESCRIPTORS);
	assert_int_equal(vh_driver_queue_new(&opts, NULL, &t->driver), 0);
}

static void start_device(struct test *t)
{
	struct vh_virtqueue_opts opts = box_queue_opts(&t->box);

	vh_driver_queue_addresses(t->driver, &opts.descriptors, &opts.available,
				  &opts.used);
	opts.base = vh_driver_queue_base(t->driver);
	assert_int_equal(
	    vh_virtqueue_new(&opts, t->box.memory, NULL, &t->device), 0);
}

static void start_over(struct test *t, bool packed)
{
	static const uint32_t sizes[] = {1, 2, 8, 256, 256, 1024, 3, 5, 100};

	finish(t);
	t->box.num = sizes[rnd(&t->rng, packed ? 9 : 6)];
	if (one_in(&t->rng, 8))
		t->box.num = 32768;
	t->box.features = (packed ? VH_F_RING_PACKED : 0) |
			  (t->queues & 1 ? VH_F_INDIRECT_DESC : 0) |
			  (t->queues & 2 ? VH_F_EVENT_IDX : 0) |
			  (t->queues & 4 ? VH_F_IN_ORDER : 0);
	t->use_memory = one_in(&t->rng, 2);
	t->singles = one_in(&t->rng, 2);
	t->free_chunk_count = 0;
	for (unsigned int i = 0; i < CHUNKS; i++) {
		t->free_chains[i] = i;
		/* The driver's map finds only what lies in one region. */
		if (!t->use_memory || i != ACROSS)
			t->free_chunks[t->free_chunk_count++] = i;
	}
	t->free_chain_count = CHUNKS;
	t->added_count = t->unshown = t->taken_count = t->order_count = 0;
	t->remote = t->pushed = t->visible = 0;
	t->serial = t->next_serial = 0;
	t->driver_sleeps = t->device_sleeps = false;
	start_driver(t);
	start_device(t);
	t->queues++;
}

static void run(bool packed)
{
	static struct test t;
	unsigned long left = 0;

	memset(&t, 0, sizeof(t));
	t.rng = rng_start(seed * 2 + packed);
	box_open_memory(&t.box, 8);
	for (unsigned long i = 0; i < steps; i++) {
		if (!left--) {
			start_over(&t, packed);
			/* Large ones go through their indices, or try to. */
			left = t.box.num < 256 ? 2000 : 20000;
		}
		step(&t);
	}
	finish(&t);
	print_message(
	    "%lu steps, %u queues, %lu chains, %lu of them done at once, %lu kicks, %lu calls\n",
	    steps, t.queues, t.done, t.buffers, t.kicks, t.calls);
	assert_true(t.done > steps / 4);
	assert_true(t.buffers > steps / 20);
	box_close(&t.box);
}

static void test_virtqueue_split_driver_and_device_agree(void **state)
{
	(void)state;
	run(false);
}

static void test_virtqueue_packed_driver_and_device_agree(void **state)
{
	(void)state;
	run(true);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_virtqueue_split_driver_and_device_agree),
	    cmocka_unit_test(test_virtqueue_packed_driver_and_device_agree),
	};

	if (argc > 1)
		steps = strtoul(argv[1], NULL, 10);
	if (argc > 2)
		seed = strtoull(argv[2], NULL, 10);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
