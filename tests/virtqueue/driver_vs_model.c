/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Random deeds of driver and device: the driver side of the library against
 * a model of the device, which is honest, or lies.
 *
 *	driver_vs_model [steps [seed]]
 */
#include "driver_rules.h"
#include "model.h"
#include "model_driver.h"
#include "rng.h"
#include <errno.h>
#include <libvhost/driver.h>
#include <stdlib.h>
#include <string.h>

#define BUFFERS	  40u
#define RING_ROOM (BOX_DATA - BOX_DESCRIPTORS)
#define GUARD	  4096u

static unsigned long steps = 400000;
static uint64_t seed = 1;

/* A chain that was added; its address is the token. */
struct added {
	unsigned int readable;
	unsigned int count;
	struct {
		vh_gpa guest;
		uint32_t length;
	} buffers[BUFFERS];
	unsigned int slots;
};

struct test {
	struct box box;
	struct model device;
	struct model_driver onlooker; /* knows what collect has to say */
	struct vh_driver_queue *queue;
	struct rng rng;
	uint64_t size; /* bytes of the ring */
	uint32_t table_entries;
	bool use_memory;
	bool liar;
	bool lied;
	bool lost; /* its lies were believed */
	struct added added[32768];
	unsigned int free[32768]; /* of those */
	unsigned int free_count;
	unsigned int unseen[32768]; /* added, but not shown, in order */
	unsigned int unseen_count;
	unsigned int added_by_id[32768];
	unsigned int taken[32768]; /* ids that the device has, in no order */
	unsigned int taken_count;
	unsigned int slots;	/* in use */
	unsigned int inflight;	/* added, and not collected */
	unsigned int next_slot; /* IN_ORDER, split */
	enum { CALLS_OPEN, CALLS_WANTED, CALLS_UNWANTED } calls;
	unsigned int queues;
	unsigned int broken;
	unsigned long collected;
	unsigned long skipped; /* chains without an entry of their own */
};

static void expect_bytes(const struct test *t, vh_gpa guest, uint64_t size,
			 uint8_t value)
{
	const uint8_t *bytes = box_host(&t->box, guest);

	for (uint64_t i = 0; i < size; i++)
		if (bytes[i] != value)
			fail_msg("0x%llx was written to",
				 (unsigned long long)(guest + i));
}

/* The device's area is the device's. */
static void look(struct test *t)
{
	model_look(&t->device, one_in(&t->rng, 200));
}

static void compare(struct test *t)
{
	model_compare_area(&t->device, MODEL_USED);
}

static void some_buffers(struct test *t, struct added *chain)
{
	uint32_t num = t->box.num;
	unsigned int most = num + 1 < BUFFERS ? num + 1 : BUFFERS;

	chain->count =
	    one_in(&t->rng, 4) ? rnd(&t->rng, most + 1) : 1 + rnd(&t->rng, 3);
	if (chain->count > most)
		chain->count = most;
	chain->readable = rnd(&t->rng, chain->count + 1);
	for (unsigned int i = 0; i < chain->count; i++) {
		chain->buffers[i].guest =
		    (one_in(&t->rng, 2) ? BOX_DATA : BOX_C) +
		    rnd(&t->rng, 0x8000);
		chain->buffers[i].length =
		    one_in(&t->rng, 15) ? 0 : 1 + rnd(&t->rng, 0x2000);
	}
}

/* Where the caller sees guest memory. */
static void *address(struct test *t, vh_gpa guest)
{
	struct vh_region region = box_region(&t->box, 0);

	if (!t->use_memory)
		return (void *)(uintptr_t)guest;
	for (unsigned int i = 0; i < BOX_REGIONS; i++) {
		region = box_region(&t->box, i);
		if (guest - region.guest < region.size)
			break;
	}
	return (void *)(uintptr_t)(region.user.raw + guest - region.guest);
}

static int add(struct test *t, const struct added *chain, void *token)
{
	struct iovec iovecs[BUFFERS];

	for (unsigned int i = 0; i < chain->count; i++) {
		iovecs[i].iov_base = address(t, chain->buffers[i].guest);
		iovecs[i].iov_len = chain->buffers[i].length;
	}
	return vh_driver_queue_add(t->queue, iovecs, chain->readable,
				   iovecs + chain->readable,
				   chain->count - chain->readable, token);
}

static void driver_adds(struct test *t)
{
	struct added *chain;
	unsigned int which;
	int want = 0;

	if (!t->free_count)
		return;
	which = t->free[t->free_count - 1];
	chain = &t->added[which];
	some_buffers(t, chain);
	chain->slots = chain->count;
	if (t->device.ring.indirect && chain->count >= 2 &&
	    chain->count <= t->table_entries)
		chain->slots = 1;
	if (!chain->count || chain->count > t->box.num)
		want = -EINVAL;
	else if (t->slots + chain->slots > t->box.num)
		want = -ENOSPC;
	look(t);
	assert_int_equal(add(t, chain, chain), want);
	compare(t);
	if (want)
		return;
	t->free_count--;
	t->unseen[t->unseen_count++] = which;
	t->slots += chain->slots;
	t->inflight++;
}

static bool is_chain(const struct added *added, const struct model_chain *chain)
{
	unsigned int piece = 0;

	if (chain->descriptors != added->count || chain->slots != added->slots)
		return false;
	for (unsigned int i = 0; i < added->count; i++) {
		if (!added->buffers[i].length)
			continue;
		if (piece == chain->count ||
		    chain->pieces[piece].guest != added->buffers[i].guest ||
		    chain->pieces[piece].length != added->buffers[i].length ||
		    (piece < chain->readable_count) != (i < added->readable))
			return false;
		piece++;
	}
	return piece == chain->count;
}

static void device_pops(struct test *t, unsigned int which)
{
	static struct model_chain chain;
	struct model_place place = t->device.avail_place;
	bool good = model_pop(&t->device, 1, &chain) > 0 &&
		    is_chain(&t->added[which], &chain);

	/* Who believed a lie lets the device write where a chain is. */
	t->lost |= !good && t->lied;
	if (t->lost)
		return;
	assert_true(good);
	if (!t->lied && t->device.ring.packed)
		driver_packed_rules(&t->device.ring, t->size, place, &chain);
	else if (!t->lied)
		t->next_slot = driver_split_rules(&t->device.ring, t->size,
						  t->next_slot, &chain);
	model_driver_saw(&t->onlooker, &chain);
	t->added_by_id[chain.head] = which;
	t->taken[t->taken_count++] = chain.head;
}

/* What is shown, is shown, and nothing else. */
static void driver_publishes(struct test *t)
{
	struct model *device = &t->device;
	struct model_place from = device->avail_place;
	uint16_t from_index = device->avail_next;
	bool kick, want = false;

	if (model_pending(device)) {
		/* A used descriptor that looks like an available one. */
		assert_true(t->lied);
		t->lost = true;
		return;
	}
	look(t);
	kick = vh_driver_queue_publish(t->queue);
	compare(t);
	for (unsigned int i = 0; i < t->unseen_count; i++)
		device_pops(t, t->unseen[i]);
	if (t->lost)
		return;
	assert_true(t->lied || !model_pending(device));
	if (t->unseen_count)
		want = device->ring.packed
			   ? model_driver_wants_kick_packed(&device->ring, from,
							    device->avail_place)
			   : model_driver_wants_kick(&device->ring, from_index,
						     device->avail_next);
	assert_int_equal(kick, want);
	t->unseen_count = 0;
}

/* The device, in its way, has seen these descriptors before. */
static void check_unchanged(struct test *t, unsigned int id)
{
	static struct model_chain chain;
	const struct model_ring *ring = &t->device.ring;

	if (ring->packed || t->lied)
		return; /* a used descriptor may lie in their place */
	assert_true(model_read_chain(ring, id, MODEL_PIECES, &chain));
	assert_true(is_chain(&t->added[t->added_by_id[id]], &chain));
}

static void device_pushes(struct test *t)
{
	unsigned int which, id;
	uint32_t writable;

	if (!t->taken_count)
		return;
	which = rnd(&t->rng, t->taken_count);
	if (t->device.ring.in_order && !one_in(&t->rng, 4))
		for (which = 0; which + 1 < t->taken_count; which++)
			if (t->taken[which] ==
			    t->device.order[t->device.order_first])
				break;
	id = t->taken[which];
	t->taken[which] = t->taken[--t->taken_count];
	check_unchanged(t, id);
	writable = t->device.requests[id].writable;
	model_push(&t->device, id,
		   writable && one_in(&t->rng, 2) ? rnd(&t->rng, writable)
						  : writable);
}

/* What a device may say that isn't so. */
static void device_lies(struct test *t, uint16_t from, struct model_place place)
{
	const struct model_ring *ring = &t->device.ring;
	uint32_t value = rnd(&t->rng, one_in(&t->rng, 2) ? ring->num : 70000);
	unsigned int what = rnd(&t->rng, 4);
	vh_gpa at = ring->used + 4 + UINT64_C(8) * (from % ring->num);

	t->lied = true;
	if (ring->packed) {
		at = model_slot(ring, place.slot);
		if (what == 0)
			model_store(ring, at + 12, value, 2);
		else if (what == 1)
			model_store(ring, at + 8, value, 4);
		else if (what == 2)
			model_store(ring, at + 14, value, 2);
		else
			model_store(
			    ring,
			    model_slot(ring, t->device.used_place.slot) + 14,
			    t->device.used_place.wrap ? F_AVAIL | F_USED : 0,
			    2);
		return;
	}
	if (what == 0)
		model_store(ring, at, value, 4);
	else if (what == 1)
		model_store(ring, at + 4, value, 4);
	else if (what == 2)
		model_store(ring, ring->used + 2,
			    t->device.used_next + 1 + rnd(&t->rng, 3), 2);
	else
		model_store(ring, ring->used + 2, value, 2);
}

static void device_publishes(struct test *t)
{
	struct model_place place = t->device.used_place;
	uint16_t from = t->device.used_next;
	int call = model_publish(&t->device);

	if (t->liar && one_in(&t->rng, 30))
		device_lies(t, from, place);
	if (!t->device.shown_count || t->lied)
		return;
	t->skipped += t->device.shown_count - t->device.entries;
	if (t->calls == CALLS_WANTED)
		assert_int_equal(call, 1);
	if (t->calls == CALLS_UNWANTED)
		assert_int_equal(call, 0);
	/* It asked for one call. */
	if (t->device.ring.event_idx && t->calls == CALLS_WANTED)
		t->calls = CALLS_OPEN;
}

static void forget_taken(struct test *t, unsigned int id)
{
	/* Else the device knows that it gave it back, unless it lied. */
	if (!t->lied)
		return;
	t->device.requests[id].busy = false;
	for (unsigned int i = 0; i < t->taken_count; i++)
		if (t->taken[i] == id)
			t->taken[i--] = t->taken[--t->taken_count];
}

static void expect_broken(struct test *t)
{
	struct vh_driver_used used;
	struct added chain = {.count = 1, .buffers = {{BOX_DATA, 1}}};

	assert_int_equal(vh_driver_queue_collect(t->queue, &used, 1), -EPROTO);
	assert_non_null(vh_driver_queue_fault(t->queue));
	assert_int_equal(vh_driver_queue_fault(t->queue)->error, -EPROTO);
	assert_int_equal(add(t, &chain, NULL), -EPROTO);
	assert_false(vh_driver_queue_publish(t->queue));
	assert_true(vh_driver_queue_enable_calls(t->queue));
	t->device.broken = true;
}

static void driver_collects(struct test *t)
{
	struct vh_driver_used used[80];
	unsigned int max = 1 + rnd(&t->rng, one_in(&t->rng, 2) ? 80 : 3);
	unsigned int count = 0, id = 0;
	uint32_t written;
	int n, want = 1;

	look(t);
	n = vh_driver_queue_collect(t->queue, used, max);
	compare(t);
	while (count < max &&
	       (want = model_driver_collect(&t->onlooker, max - count, &id,
					    &written)) > 0) {
		unsigned int which = t->added_by_id[id];

		assert_true((int)count < n);
		assert_ptr_equal(used[count].token, &t->added[which]);
		assert_int_equal(used[count].written, written);
		t->free[t->free_count++] = which;
		t->slots -= t->added[which].slots;
		t->inflight--;
		t->collected++;
		count++;
		forget_taken(t, id);
	}
	assert_int_equal(n, count || want >= 0 ? (int)count : -EPROTO);
	if (want < 0)
		expect_broken(t);
	else
		assert_null(vh_driver_queue_fault(t->queue));
}

static void driver_waits(struct test *t)
{
	bool more;

	look(t);
	if (one_in(&t->rng, 2)) {
		vh_driver_queue_disable_calls(t->queue);
		/* There is no index that means never. */
		t->calls = t->device.ring.packed || !t->device.ring.event_idx
			       ? CALLS_UNWANTED
			       : CALLS_OPEN;
	} else {
		more = vh_driver_queue_enable_calls(t->queue);
		assert_int_equal(more, model_driver_pending(&t->onlooker));
		t->calls = more ? CALLS_OPEN : CALLS_WANTED;
	}
	compare(t);
	if (!t->device.ring.packed)
		assert_true(
		    model_number(&t->device.ring, t->device.ring.available, 2) <
		    (t->device.ring.event_idx ? 1 : 2));
}

static void compare_state(struct test *t)
{
	assert_int_equal(vh_driver_queue_inflight(t->queue), t->inflight);
	assert_int_equal(vh_driver_queue_room(t->queue), t->box.num - t->slots);
	if (!t->inflight && !t->lied)
		assert_int_equal(vh_driver_queue_base(t->queue),
				 model_base(&t->device));
}

static struct vh_driver_queue_opts driver_opts(struct test *t)
{
	VH_OPTS(vh_driver_queue_opts, opts);
	opts.index = BOX_QUEUE_INDEX;
	opts.num = t->box.num;
	opts.features = t->box.features;
	opts.ring = box_host(&t->box, BOX_DESCRIPTORS);
	opts.ring_at = BOX_DESCRIPTORS;
	opts.table_entries = t->table_entries;
	opts.memory = t->use_memory ? t->box.memory : NULL;
	opts.base = (uint16_t)(65536 - rnd(&t->rng, 300));
	return opts;
}

static void start_over(struct test *t, bool packed)
{
	static const uint32_t sizes[] = {1, 2, 8, 8, 256, 3, 5, 100};
	struct vh_driver_queue_opts opts;
	struct vh_virtqueue_opts device_opts;

	vh_driver_queue_free(t->queue);
	t->box.num = sizes[rnd(&t->rng, packed ? 8 : 5)];
	if (one_in(&t->rng, 20))
		t->box.num = 32768;
	t->box.features = (packed ? VH_F_RING_PACKED : 0) |
			  (one_in(&t->rng, 2) ? 0 : VH_F_INDIRECT_DESC) |
			  (one_in(&t->rng, 2) ? 0 : VH_F_EVENT_IDX) |
			  (one_in(&t->rng, 2) ? 0 : VH_F_IN_ORDER);
	t->table_entries = rnd(&t->rng, t->box.num > 256 ? 4 : BUFFERS);
	t->use_memory = one_in(&t->rng, 2);
	opts = driver_opts(t);
	t->size =
	    vh_driver_queue_size(opts.num, opts.features, opts.table_entries);
	assert_true(t->size > 0 && t->size + GUARD <= RING_ROOM);
	memset(opts.ring, 0xa5, t->size + GUARD);
	assert_int_equal(vh_driver_queue_new(&opts, NULL, &t->queue), 0);
	device_opts = box_queue_opts(&t->box);
	vh_driver_queue_addresses(t->queue, &device_opts.descriptors,
				  &device_opts.available, &device_opts.used);
	device_opts.base = vh_driver_queue_base(t->queue);
	assert_int_equal(device_opts.base,
			 packed ? VH_VIRTQUEUE_FRESH_PACKED : opts.base);
	model_start(&t->device, &t->box, &device_opts);
	t->device.writes = true;
	t->device.shown_once = true; /* it knows what this driver was told */
	model_driver_start_onlooker(&t->onlooker, &t->box, &device_opts);
	for (t->free_count = 0; t->free_count < 32768; t->free_count++)
		t->free[t->free_count] = t->free_count;
	t->unseen_count = 0;
	t->taken_count = 0;
	t->slots = 0;
	t->inflight = 0;
	t->next_slot = 0;
	t->lied = false;
	t->lost = false;
	t->calls = CALLS_OPEN;
	t->queues++;
}

static void finish(struct test *t)
{
	while (!t->lied && !t->device.broken && t->inflight) {
		driver_publishes(t);
		device_pushes(t);
		device_publishes(t);
		driver_collects(t);
	}
	expect_bytes(t, BOX_DESCRIPTORS + t->size, GUARD, 0xa5);
}

static void step(struct test *t)
{
	unsigned int n;

	switch (rnd(&t->rng, 12)) {
	case 0:
	case 1:
	case 2:
		for (n = 1 + rnd(&t->rng, one_in(&t->rng, 9) ? 60 : 3); n; n--)
			driver_adds(t);
		break;
	case 3:
	case 4:
		driver_publishes(t);
		break;
	case 5:
	case 6:
	case 7:
		for (n = 1 + rnd(&t->rng, one_in(&t->rng, 9) ? 60 : 3); n; n--)
			device_pushes(t);
		break;
	case 8:
		device_publishes(t);
		break;
	case 9:
	case 10:
		driver_collects(t);
		break;
	default:
		driver_waits(t);
		if (one_in(&t->rng, 2))
			model_enable_kick(&t->device);
		else if (one_in(&t->rng, 2))
			model_disable_kick(&t->device);
		break;
	}
	if (!t->device.broken && !t->lost)
		compare_state(t);
}

static void run(bool packed, bool liar)
{
	static struct test t;

	memset(&t, 0, sizeof(t));
	t.rng = rng_start(seed * 4 + (packed ? 2 : 0) + liar);
	t.liar = liar;
	box_open_memory(&t.box, 8);
	start_over(&t, packed);
	for (unsigned long i = 0; i < steps; i++) {
		step(&t);
		if (!t.device.broken && !t.lost && !one_in(&t.rng, 2000))
			continue;
		if (t.device.broken && !t.lied)
			fail_msg("%s", vh_driver_queue_fault(t.queue)->text);
		t.broken += t.device.broken;
		finish(&t);
		start_over(&t, packed);
	}
	print_message("%lu steps, %u queues, %u of them broken, %lu chains, "
		      "%lu without an entry of their own\n",
		      steps, t.queues, t.broken, t.collected, t.skipped);
	assert_true(!liar || t.broken > steps / 5000);
	assert_true(t.collected > steps / 20);
	vh_driver_queue_free(t.queue);
	box_close(&t.box);
}

static void test_virtqueue_driver_split_agrees_with_model(void **state)
{
	(void)state;
	run(false, false);
}

static void test_virtqueue_driver_split_agrees_if_device_lies(void **state)
{
	(void)state;
	run(false, true);
}

static void test_virtqueue_driver_packed_agrees_with_model(void **state)
{
	(void)state;
	run(true, false);
}

static void test_virtqueue_driver_packed_agrees_if_device_lies(void **state)
{
	(void)state;
	run(true, true);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_virtqueue_driver_split_agrees_with_model),
	    cmocka_unit_test(test_virtqueue_driver_split_agrees_if_device_lies),
	    cmocka_unit_test(test_virtqueue_driver_packed_agrees_with_model),
	    cmocka_unit_test(
		test_virtqueue_driver_packed_agrees_if_device_lies),
	};

	if (argc > 1)
		steps = strtoul(argv[1], NULL, 10);
	if (argc > 2)
		seed = strtoull(argv[2], NULL, 10);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
