/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Random operations of driver and device: the queue against the model.
 *
 *	split_random [steps [seed]]
 */
#include "model.h"
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned long steps = 2000000;
static uint64_t seed = 1;

struct test {
	struct box box;
	struct model model;
	struct vh_chain *taken[32768];
	unsigned int heads[32768]; /* those in flight, in no order */
	unsigned int inflight;
	/* of a tame driver: which descriptors hold chains */
	bool used[32768];
	unsigned int run[32768]; /* by head */
	uint64_t random;
	bool tame; /* this driver keeps to the rules */
	unsigned int queues;
	unsigned int broken;
	unsigned long chains;
};

static uint32_t rnd(struct test *t, uint32_t below)
{
	t->random ^= t->random << 13;
	t->random ^= t->random >> 7;
	t->random ^= t->random << 17;
	return (uint32_t)(t->random >> 32) % below;
}

static bool one_in(struct test *t, uint32_t n)
{
	return rnd(t, n) == 0;
}

/* As one_in(), for what breaks a rule. */
static bool evil_in(struct test *t, uint32_t n)
{
	return !t->tame && one_in(t, n);
}

static vh_gpa some_address(struct test *t)
{
	static const vh_gpa edges[] = {BOX_A,
				       BOX_B,
				       BOX_C,
				       BOX_D,
				       BOX_B + BOX_B_SIZE,
				       BOX_C + BOX_C_SIZE,
				       BOX_D + BOX_D_SIZE,
				       0};

	if (evil_in(t, 60))
		return edges[rnd(t, 8)] - 300 + rnd(t, 400);
	if (one_in(t, 8))
		return BOX_B - rnd(t, 200);
	return (one_in(t, 2) ? BOX_DATA : BOX_C) + rnd(t, 0x8000);
}

static uint32_t some_length(struct test *t)
{
	if (evil_in(t, 200))
		return UINT32_MAX - rnd(t, 3);
	if (one_in(t, 15))
		return 0;
	return 1 + rnd(t, one_in(t, 4) ? 4096 : 64);
}

static unsigned int spoil(struct test *t, unsigned int value)
{
	return evil_in(t, 300) ? rnd(t, 65536) : value;
}

/*
 * A chain of count buffers from entry index on, of a table of limit, of
 * which the device may write none of the first few.
 */
static void write_entries(struct test *t, vh_gpa table, unsigned int count,
			  unsigned int limit, unsigned int index,
			  unsigned int least)
{
	unsigned int readable = least + rnd(t, count + 1 - least);

	for (unsigned int i = 0; i < count; i++) {
		unsigned int next = (index + 1) % limit;
		unsigned int flags =
		    (i + 1 < count ? F_NEXT : 0) | (i < readable ? 0 : F_WRITE);

		box_entry(&t->box, table, index, some_address(t),
			  some_length(t), spoil(t, flags), spoil(t, next));
		index = next;
	}
}

static vh_gpa some_table(struct test *t, unsigned int entries)
{
	uint16_t waiting = (uint16_t)(t->box.avail_index - t->model.avail_next);

	/* In two pieces, and at any address; there is room for one. */
	if (one_in(t, 6) && (!t->tame || !waiting))
		return BOX_B - rnd(t, 16 * entries);
	if (evil_in(t, 200))
		return some_address(t);
	/* Another place than those of the last 64. */
	return BOX_TABLES + UINT64_C(512) * (t->box.avail_index % 64) +
	       (one_in(t, 5) ? 1 : 0);
}

/* A tame driver doesn't touch descriptors that the device may look at. */
static bool may_write(struct test *t, unsigned int head, unsigned int count)
{
	uint32_t num = t->box.num;
	uint16_t waiting = (uint16_t)(t->box.avail_index - t->model.avail_next);

	if (!t->tame)
		return !t->model.inflight[head] || one_in(t, 50);
	if (waiting >= 60)
		return false;
	for (unsigned int i = 0; i < count; i++)
		if (t->used[(head + i) % num])
			return false;
	for (unsigned int i = 0; i < count; i++)
		t->used[(head + i) % num] = true;
	t->run[head] = count;
	return true;
}

/* A chain somewhere in the descriptor table; it may run over others. */
static void driver_offers(struct test *t)
{
	uint32_t num = t->box.num;
	unsigned int most = num < 24 ? num : 24;
	unsigned int head = rnd(t, num);
	unsigned int direct = 1 + rnd(t, one_in(t, 4) ? most : 1 + most / 8);
	unsigned int in_table = 0;
	vh_gpa table;

	if (t->model.indirect && one_in(t, 2)) {
		direct = one_in(t, 4) ? direct : 1;
		in_table = 1 + rnd(t, most);
		if (direct - 1 + in_table > num && !evil_in(t, 10))
			in_table = num - direct + 1;
	}
	if (!may_write(t, head, direct))
		return;
	write_entries(t, BOX_DESCRIPTORS, direct, num, head,
		      in_table && !evil_in(t, 10) ? direct : 0);
	if (in_table) {
		/* The last of them, or the only one, leads to a table. */
		table = some_table(t, in_table);
		write_entries(t, table, in_table, in_table, 0, 0);
		box_descriptor(&t->box, (head + direct - 1) % num, table,
			       spoil(t, 16 * in_table), spoil(t, F_INDIRECT),
			       0);
	}
	box_offer(&t->box, spoil(t, head));
}

static void driver_shows(struct test *t)
{
	if (evil_in(t, 2000))
		t->box.avail_index = (uint16_t)rnd(t, 65536);
	box_show(&t->box);
}

static void compare_chain(struct test *t, const struct vh_chain *chain,
			  const struct model_chain *expected)
{
	assert_int_equal(chain->head, expected->head);
	assert_int_equal(chain->descriptors, expected->descriptors);
	assert_int_equal(chain->readable_size, expected->readable_size);
	assert_int_equal(chain->writable_size,
			 expected->size - expected->readable_size);
	assert_int_equal(chain->readable_count, expected->readable_count);
	assert_int_equal(chain->writable_count,
			 expected->count - expected->readable_count);
	assert_ptr_equal(chain->writable,
			 chain->readable + chain->readable_count);
	assert_null(chain->user);
	for (unsigned int i = 0; i < expected->count; i++)
		box_expect_piece(&t->box, &chain->readable[i],
				 expected->pieces[i].guest,
				 expected->pieces[i].length);
}

static void device_pops(struct test *t)
{
	static struct model_chain expected;
	struct vh_chain *chains[VH_VIRTQUEUE_BURST];
	unsigned int max = 1 + rnd(t, VH_VIRTQUEUE_BURST);
	unsigned int count = 0;
	int n, want = 1;

	n = vh_virtqueue_pop(t->box.queue, chains, max);
	while (count < max && (want = model_pop(&t->model, &expected)) > 0) {
		assert_true((int)count < n);
		compare_chain(t, chains[count], &expected);
		t->taken[expected.head] = chains[count];
		t->heads[t->inflight++] = expected.head;
		count++;
	}
	t->chains += count;
	assert_int_equal(n, count || want >= 0 ? (int)count : -EPROTO);
	if (want < 0) {
		assert_non_null(vh_virtqueue_fault(t->box.queue));
		t->model.broken = true;
	} else {
		assert_null(vh_virtqueue_fault(t->box.queue));
	}
	assert_int_equal(vh_virtqueue_base(t->box.queue), t->model.avail_next);
	assert_int_equal(vh_virtqueue_inflight(t->box.queue), t->inflight);
}

static void device_pushes(struct test *t)
{
	unsigned int which, head;
	uint32_t written = rnd(t, one_in(t, 2) ? 100 : 100000);

	if (!t->inflight)
		return;
	which = rnd(t, t->inflight);
	head = t->heads[which];
	t->heads[which] = t->heads[--t->inflight];
	for (unsigned int i = 0; t->tame && i < t->run[head]; i++)
		t->used[(head + i) % t->box.num] = false;
	model_push(&t->model, head, written);
	vh_virtqueue_push(t->box.queue, t->taken[head], written);
}

static void device_publishes(struct test *t)
{
	int want;

	*box_avail_word(&t->box, 0) = htole16((uint16_t)rnd(t, 2));
	*box_avail_word(&t->box, 2 + t->box.num) =
	    htole16((uint16_t)(t->model.used_shown - 5 + rnd(t, 12)));
	want = model_publish(&t->model);
	assert_int_equal(vh_virtqueue_publish(t->box.queue), want);
	model_check_used(&t->model);
}

static void device_waits(struct test *t)
{
	uint16_t index = le16toh(*box_avail_word(&t->box, 1));
	bool more = index != t->model.avail_next;

	if (one_in(t, 2)) {
		vh_virtqueue_disable_kick(t->box.queue);
		if (!t->model.event_idx)
			assert_int_equal(*box_used_word(&t->box, 0),
					 htole16(1));
		return;
	}
	assert_int_equal(vh_virtqueue_pending(t->box.queue), more);
	assert_int_equal(vh_virtqueue_enable_kick(t->box.queue), more);
	assert_int_equal(*box_used_word(&t->box, 0), 0);
	if (t->model.event_idx)
		assert_int_equal(
		    le16toh(*box_used_word(&t->box, 2 + 4 * t->box.num)),
		    t->model.avail_next);
}

/* A new queue of another kind, at indices near their end. */
static void start_over(struct test *t)
{
	static const uint32_t sizes[] = {1, 2, 4, 8, 16, 64, 256, 32768};
	struct vh_virtqueue_opts opts;
	uint16_t base = (uint16_t)(65536 - rnd(t, 500));

	vh_virtqueue_free(t->box.queue);
	t->tame = one_in(t, 8);
	t->box.num = sizes[rnd(t, 100) ? rnd(t, 7) : 7];
	t->box.features = (one_in(t, 3) ? 0 : BOX_INDIRECT) |
			  (one_in(t, 2) ? 0 : BOX_EVENT_IDX);
	t->box.avail_index = base;
	box_show(&t->box);
	memset(box_host(&t->box, BOX_USED), 0, 6 + 8 * t->box.num);
	*box_used_word(&t->box, 1) = htole16(base);
	opts = box_queue_opts(&t->box);
	opts.base = base;
	opts.max_segments = (uint16_t)(evil_in(t, 2) ? 1 + rnd(t, 30) : 0);
	assert_int_equal(
	    vh_virtqueue_new(&opts, t->box.memory, NULL, &t->box.queue), 0);
	model_start(&t->model, &t->box, opts.max_segments, base);
	t->inflight = 0;
	memset(t->used, 0, sizeof(t->used));
	t->queues++;
}

static void step(struct test *t)
{
	switch (rnd(t, 12)) {
	case 0:
	case 1:
	case 2:
		driver_offers(t);
		break;
	case 3:
	case 4:
		driver_shows(t);
		break;
	case 5:
	case 6:
		device_pops(t);
		break;
	case 7:
	case 8:
	case 9:
		device_pushes(t);
		break;
	case 10:
		device_publishes(t);
		break;
	case 11:
		device_waits(t);
		break;
	}
}

static void test_virtqueue_random_agrees_with_model(void **state)
{
	static struct test t;

	(void)state;
	t.random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	box_open_memory(&t.box, 8);
	start_over(&t);
	for (unsigned long i = 0; i < steps; i++) {
		step(&t);
		if (t.model.broken) {
			if (t.tame)
				fail_msg("%s",
					 vh_virtqueue_fault(t.box.queue)->text);
			t.broken++;
			start_over(&t);
		} else if (one_in(&t, 20000)) {
			start_over(&t);
		}
	}
	print_message("%lu steps, %u queues, %u of them broken, %lu chains\n",
		      steps, t.queues, t.broken, t.chains);
	/* It would mean nothing if one of the sorts were missing. */
	assert_true(t.broken > steps / 20000);
	assert_true(t.chains > steps / 20);
	box_close(&t.box);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_virtqueue_random_agrees_with_model),
	};

	if (argc > 1)
		steps = strtoul(argv[1], NULL, 10);
	if (argc > 2)
		seed = strtoull(argv[2], NULL, 10);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
