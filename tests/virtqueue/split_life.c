/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* How a queue begins, moves to other maps, breaks and ends. */
#include "box.h"
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* num is a power of two up to 32768, or it isn't a queue. */
static void test_virtqueue_life_sizes(void **state)
{
	static const uint32_t bad[] = {0,     3,	6,	   255,
				       257,   32767,	32769,	   65536,
				       98304, 1u << 31, UINT32_MAX};
	struct vh_virtqueue *queue = NULL;
	struct vh_virtqueue_opts opts;
	struct vh_fault fault;
	struct box box;

	(void)state;
	box_open_memory(&box, 8);
	opts = box_queue_opts(&box);
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		opts.num = bad[i];
		assert_int_equal(
		    vh_virtqueue_new(&opts, box.memory, &fault, &queue),
		    -EINVAL);
		assert_null(queue);
		assert_int_equal(fault.code, VH_FAULT_RING_SIZE);
		assert_int_equal(fault.queue, BOX_QUEUE_INDEX);
		assert_int_equal(fault.error, -EINVAL);
	}
	for (uint32_t num = 1; num <= 32768; num *= 2) {
		opts.num = num;
		assert_int_equal(
		    vh_virtqueue_new(&opts, box.memory, NULL, &queue), 0);
		vh_virtqueue_free(queue);
	}
	vh_virtqueue_free(NULL);
	box_close(&box);
}

/* A.2.9: the whole of each part lies in one region and is aligned. */
static void test_virtqueue_life_parts(void **state)
{
	const uint64_t sizes[3] = {16 * 8, 6 + 2 * 8, 6 + 8 * 8};
	const uint64_t aligned[3] = {16, 2, 4};
	struct vh_virtqueue *queue = NULL;
	struct vh_fault fault;
	struct box box;

	(void)state;
	box_open_memory(&box, 8);
	for (unsigned int part = 0; part < 3; part++) {
		uint64_t room = (sizes[part] + aligned[part] - 1) /
				aligned[part] * aligned[part];
		const struct {
			vh_gpa at;
			int result;
		} cases[] = {
		    {BOX_C, 0},
		    {BOX_C + BOX_C_SIZE - room, 0},
		    {BOX_C + BOX_C_SIZE - room + aligned[part],
		     room - aligned[part] < sizes[part] ? -EFAULT : 0},
		    {BOX_C + BOX_C_SIZE, -EFAULT},
		    {BOX_C - aligned[part], -EFAULT},
		    {BOX_C + 1, -EFAULT},
		    {BOX_C + aligned[part] / 2, -EFAULT},
		    {BOX_B - aligned[part], -EFAULT}, /* in two */
		    {BOX_D + BOX_D_SIZE - room, 0},
		    {BOX_D + BOX_D_SIZE - aligned[part], -EFAULT},
		    {0, -EFAULT},
		};

		for (unsigned int i = 0; i < sizeof(cases) / sizeof(*cases);
		     i++) {
			struct vh_virtqueue_opts opts = box_queue_opts(&box);
			vh_gpa *const parts[3] = {&opts.descriptors,
						  &opts.available, &opts.used};

			*parts[part] = cases[i].at;
			assert_int_equal(
			    vh_virtqueue_new(&opts, box.memory, &fault, &queue),
			    cases[i].result);
			if (!cases[i].result) {
				vh_virtqueue_free(queue);
				queue = NULL;
				continue;
			}
			assert_null(queue);
			assert_int_equal(fault.code, VH_FAULT_RING_ADDR);
			assert_int_equal(fault.queue, BOX_QUEUE_INDEX);
		}
	}
	box_close(&box);
}

/* An unknown member of the options that isn't zero is refused. */
static void test_virtqueue_life_options(void **state)
{
	struct {
		struct vh_virtqueue_opts opts;
		uint64_t more;
	} large = {.more = 0};
	struct vh_virtqueue *queue = NULL;
	struct box box;

	(void)state;
	box_open_memory(&box, 8);
	large.opts = box_queue_opts(&box);
	large.opts.size = sizeof(large);
	assert_int_equal(
	    vh_virtqueue_new(&large.opts, box.memory, NULL, &queue), 0);
	vh_virtqueue_free(queue);
	large.more = 1;
	assert_int_equal(
	    vh_virtqueue_new(&large.opts, box.memory, NULL, &queue), -E2BIG);
	large.opts.size = 0;
	assert_int_equal(
	    vh_virtqueue_new(&large.opts, box.memory, NULL, &queue), -EINVAL);
	box_close(&box);
}

/* vhost #180: the used index is what the ring says at the start. */
static void test_virtqueue_life_used_index_is_taken(void **state)
{
	struct vh_virtqueue_opts opts;
	struct box box;

	(void)state;
	box_open_memory(&box, 8);
	*box_used_word(&box, 1) = htole16(777);
	box.avail_index = 779;
	box_show(&box);
	opts = box_queue_opts(&box);
	opts.base = 779;
	assert_int_equal(vh_virtqueue_new(&opts, box.memory, NULL, &box.queue),
			 0);
	assert_int_equal(vh_virtqueue_base(box.queue), 779);
	box_descriptor(&box, 6, BOX_DATA, 1, 0, 0);
	box_send(&box, 6);
	vh_virtqueue_push(box.queue, box_pop(&box), 0);
	assert_int_equal(vh_virtqueue_publish(box.queue), 1);
	assert_int_equal(box_used_index(&box), 778);
	assert_int_equal(box_used_id(&box, 777), 6);
	box_close(&box);
}

/* Both indices go round, whatever the size of the queue. */
static void test_virtqueue_life_indices_wrap(void **state)
{
	static const uint32_t sizes[] = {1, 2, 256, 32768};

	(void)state;
	for (unsigned int s = 0; s < 4; s++) {
		struct vh_chain *chains[VH_VIRTQUEUE_BURST];
		uint16_t index = 0;
		unsigned int done = 0;
		struct box box;

		box_open(&box, &(struct box_opts){.num = sizes[s]});
		for (unsigned int i = 0; i < sizes[s]; i++)
			box_descriptor(&box, i, BOX_DATA, 1, 0, 0);
		while (done < 200000) {
			unsigned int burst = sizes[s] < 32 ? sizes[s] : 32;

			for (unsigned int i = 0; i < burst; i++)
				box_offer(&box, (done + i) % sizes[s]);
			box_show(&box);
			assert_int_equal(
			    vh_virtqueue_pop(box.queue, chains, 32), burst);
			for (unsigned int i = 0; i < burst; i++) {
				assert_int_equal(chains[i]->head,
						 (done + i) % sizes[s]);
				vh_virtqueue_push(box.queue, chains[i], 0);
			}
			assert_int_equal(vh_virtqueue_publish(box.queue), 1);
			for (unsigned int i = 0; i < burst; i++)
				assert_int_equal(box_used_id(&box, index + i),
						 (done + i) % sizes[s]);
			done += burst;
			index = (uint16_t)(index + burst);
			assert_int_equal(box_used_index(&box), index);
			assert_int_equal(vh_virtqueue_base(box.queue), index);
		}
		box_close(&box);
	}
}

static void test_virtqueue_life_burst_limits(void **state)
{
	struct vh_chain *chains[64];
	struct box box;

	(void)state;
	box_open(&box, &(struct box_opts){.num = 64});
	for (unsigned int i = 0; i < 64; i++) {
		box_descriptor(&box, i, BOX_DATA, 1, 0, 0);
		box_offer(&box, i);
	}
	box_show(&box);
	assert_int_equal(vh_virtqueue_pop(box.queue, chains, 0), 0);
	assert_int_equal(vh_virtqueue_pop(box.queue, chains, 64), 32);
	assert_int_equal(vh_virtqueue_pop(box.queue, chains, 5), 5);
	assert_int_equal(vh_virtqueue_pop(box.queue, chains, UINT32_MAX), 27);
	assert_int_equal(vh_virtqueue_pop(box.queue, chains, 1), 0);
	assert_int_equal(vh_virtqueue_inflight(box.queue), 64);
	box_close(&box);
}

static void test_virtqueue_life_pushed_twice(void **state)
{
	struct vh_chain *chain;
	struct box box;

	(void)state;
	box_open(&box, &(struct box_opts){.num = 8});
	box_descriptor(&box, 1, BOX_DATA, 1, 0, 0);
	box_send(&box, 1);
	chain = box_pop(&box);
	vh_virtqueue_push(box.queue, chain, 0);
	vh_virtqueue_push(box.queue, chain, 0);
	assert_int_equal(vh_virtqueue_publish(box.queue), 1);
	assert_int_equal(box_used_index(&box), 1);
	assert_int_equal(vh_virtqueue_inflight(box.queue), 0);
	box_close(&box);
}

static void test_virtqueue_life_first_reason_stays(void **state)
{
	const struct vh_fault *fault;
	struct box box;

	(void)state;
	box_open(&box, &(struct box_opts){.num = 8});
	assert_null(vh_virtqueue_fault(box.queue));
	vh_virtqueue_break(box.queue, VH_FAULT_IO, "a section", "%s %d",
			   "number", 1);
	vh_virtqueue_break(box.queue, VH_FAULT_REQUEST, "another", "two");
	fault = vh_virtqueue_fault(box.queue);
	assert_int_equal(fault->code, VH_FAULT_IO);
	assert_int_equal(fault->queue, BOX_QUEUE_INDEX);
	assert_int_equal(fault->error, -EPROTO);
	assert_string_equal(fault->section, "a section");
	assert_string_equal(fault->text, "number 1");
	box_close(&box);
}

/* A map of the same regions, C perhaps left out. */
static struct vh_memory *other_map(const struct box *box, bool with_c)
{
	struct vh_region region = box_region(box, 2);
	struct vh_memory *without, *with;

	assert_int_equal(vh_memory_remove(box->memory, &region, NULL, &without),
			 0);
	if (!with_c)
		return without;
	assert_int_equal(vh_memory_add(without, &region, NULL, &with), 0);
	vh_memory_unref(without);
	return with;
}

static void send_c(struct box *box, unsigned int head)
{
	box_descriptor(box, head, BOX_C + head, 1, F_WRITE, 0);
	box_send(box, head);
}

/* A chain keeps the map that it was made with, until it is pushed. */
static void test_virtqueue_memory_old_chain_keeps_its_map(void **state)
{
	struct vh_memory *without;
	struct vh_chain *chain;
	struct box box;

	(void)state;
	box_open(&box, &(struct box_opts){.num = 8});
	send_c(&box, 0);
	chain = box_pop(&box);
	without = other_map(&box, false);
	assert_int_equal(vh_virtqueue_set_memory(box.queue, without), 0);
	assert_true(vh_virtqueue_holds_old_memory(box.queue));
	vh_memory_unref(without);
	/* Only the queue holds the first map now, for this chain. */
	vh_memory_unref(box.memory);
	*(char *)chain->writable->iov_base = 'x';
	assert_int_equal(*(char *)box_host(&box, BOX_C), 'x');
	vh_virtqueue_push(box.queue, chain, 1);
	assert_false(vh_virtqueue_holds_old_memory(box.queue));
	assert_int_equal(vh_virtqueue_publish(box.queue), 1);
	box.memory = NULL;
	send_c(&box, 1);
	box_expect_fault(&box, VH_FAULT_DESC_ADDR);
	box_close(&box);
}

static void test_virtqueue_memory_without_chains_moves_at_once(void **state)
{
	struct box box;

	(void)state;
	box_open(&box, &(struct box_opts){.num = 8});
	for (unsigned int i = 0; i < 100; i++) {
		struct vh_memory *map = other_map(&box, true);

		assert_int_equal(vh_virtqueue_set_memory(box.queue, map), 0);
		assert_int_equal(vh_virtqueue_set_memory(box.queue, map), 0);
		assert_false(vh_virtqueue_holds_old_memory(box.queue));
		vh_memory_unref(box.memory);
		box.memory = map;
		send_c(&box, 3);
		vh_virtqueue_push(box.queue, box_pop(&box), 1);
		assert_int_equal(vh_virtqueue_publish(box.queue), 1);
		assert_int_equal(box_used_index(&box), i + 1);
	}
	box_close(&box);
}

static void test_virtqueue_memory_three_old_maps_at_most(void **state)
{
	struct vh_chain *chains[5];
	struct vh_memory *map;
	struct box box;

	(void)state;
	box_open(&box, &(struct box_opts){.num = 8});
	for (unsigned int i = 0; i < 4; i++) {
		send_c(&box, i);
		chains[i] = box_pop(&box);
		map = other_map(&box, true);
		assert_int_equal(vh_virtqueue_set_memory(box.queue, map),
				 i < 3 ? 0 : -EAGAIN);
		vh_memory_unref(map);
	}
	assert_null(vh_virtqueue_fault(box.queue));
	assert_int_equal(vh_virtqueue_inflight(box.queue), 4);
	/* The one in the middle makes room. */
	vh_virtqueue_push(box.queue, chains[1], 1);
	map = other_map(&box, true);
	assert_int_equal(vh_virtqueue_set_memory(box.queue, map), 0);
	vh_memory_unref(map);
	send_c(&box, 4);
	chains[4] = box_pop(&box);
	for (unsigned int i = 0; i < 5; i++) {
		if (i == 1)
			continue;
		assert_true(i == 4 || vh_virtqueue_holds_old_memory(box.queue));
		*(char *)chains[i]->writable->iov_base = (char)i;
		vh_virtqueue_push(box.queue, chains[i], 1);
	}
	assert_false(vh_virtqueue_holds_old_memory(box.queue));
	assert_int_equal(vh_virtqueue_inflight(box.queue), 0);
	assert_int_equal(vh_virtqueue_publish(box.queue), 1);
	assert_int_equal(box_used_index(&box), 5);
	box_close(&box);
}

/* CVE-2026-86567: the ring itself goes away. */
static void test_virtqueue_memory_ring_goes_away(void **state)
{
	struct vh_virtqueue_opts opts;
	struct vh_memory *without;
	struct vh_chain *chain;
	struct box box;

	(void)state;
	box_open_memory(&box, 8);
	opts = box_queue_opts(&box);
	opts.used = BOX_C;
	assert_int_equal(vh_virtqueue_new(&opts, box.memory, NULL, &box.queue),
			 0);
	send_c(&box, 5);
	chain = box_pop(&box);
	without = other_map(&box, false);
	assert_int_equal(vh_virtqueue_set_memory(box.queue, without), -EFAULT);
	assert_int_equal(vh_virtqueue_fault(box.queue)->code,
			 VH_FAULT_RING_ADDR);
	assert_int_equal(vh_virtqueue_pop(box.queue, &chain, 1), -EPROTO);
	vh_virtqueue_disable_kick(box.queue);
	assert_int_equal(vh_virtqueue_enable_kick(box.queue), 0);
	/* What was broken moves on with the others, and lets go. */
	vh_virtqueue_push(box.queue, chain, 1);
	assert_false(vh_virtqueue_holds_old_memory(box.queue));
	assert_int_equal(vh_virtqueue_set_memory(box.queue, box.memory), 0);
	assert_int_equal(vh_virtqueue_publish(box.queue), 0);
	vh_memory_unref(without);
	box_close(&box);
}

/* Maps change at random under chains that come back at random. */
static void test_virtqueue_memory_random_changes(void **state)
{
	struct vh_chain *chains[64];
	bool taken[64] = {false};
	unsigned int inflight = 0;
	struct box box;

	(void)state;
	srandom(2);
	box_open(&box, &(struct box_opts){.num = 64});
	for (unsigned int step = 0; step < 100000; step++) {
		unsigned int head = (unsigned int)random() % 64;

		if (random() % 50 == 0) {
			struct vh_memory *map = other_map(&box, true);
			int r = vh_virtqueue_set_memory(box.queue, map);

			assert_true(r == 0 || r == -EAGAIN);
			vh_memory_unref(map);
		}
		if (taken[head]) {
			*(char *)chains[head]->writable->iov_base = 1;
			vh_virtqueue_push(box.queue, chains[head], 1);
			assert_true(vh_virtqueue_publish(box.queue) >= 0);
			inflight--;
		} else {
			send_c(&box, head);
			chains[head] = box_pop(&box);
			inflight++;
		}
		taken[head] = !taken[head];
		assert_int_equal(vh_virtqueue_inflight(box.queue), inflight);
		if (!inflight)
			assert_false(vh_virtqueue_holds_old_memory(box.queue));
	}
	box_close(&box);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_virtqueue_life_sizes),
	    cmocka_unit_test(test_virtqueue_life_parts),
	    cmocka_unit_test(test_virtqueue_life_options),
	    cmocka_unit_test(test_virtqueue_life_used_index_is_taken),
	    cmocka_unit_test(test_virtqueue_life_indices_wrap),
	    cmocka_unit_test(test_virtqueue_life_burst_limits),
	    cmocka_unit_test(test_virtqueue_life_pushed_twice),
	    cmocka_unit_test(test_virtqueue_life_first_reason_stays),
	    cmocka_unit_test(test_virtqueue_memory_old_chain_keeps_its_map),
	    cmocka_unit_test(
		test_virtqueue_memory_without_chains_moves_at_once),
	    cmocka_unit_test(test_virtqueue_memory_three_old_maps_at_most),
	    cmocka_unit_test(test_virtqueue_memory_ring_goes_away),
	    cmocka_unit_test(test_virtqueue_memory_random_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
