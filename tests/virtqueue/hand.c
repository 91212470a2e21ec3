/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "hand.h"
#include <string.h>

#define TABLE_SIZE UINT64_C(512)
#define TABLE_MOST 31u /* entries, with room for a byte before them */
#define NO_TABLE   UINT32_MAX
#define ACROSS	   HAND_TABLES /* the place that lies across two regions */
#define HUGE_CHAIN 1024

void hand_start(struct hand *hand, const struct box *box,
		const struct vh_virtqueue_opts *opts, bool tame)
{
	hand->tame = tame;
	hand->singles = false;
	hand->table_count = HAND_TABLES + 1;
	for (unsigned int i = 0; i < hand->table_count; i++)
		hand->tables[i] = i;
	hand->posted_first = 0;
	hand->posted_count = 0;
	model_driver_start(&hand->driver, box, opts, rnd(hand->rng, 1u << 30));
}

/* As one_in(), for what breaks a rule. */
static bool evil_in(struct hand *hand, uint32_t n)
{
	return !hand->tame && one_in(hand->rng, n);
}

static vh_gpa some_address(struct hand *hand)
{
	static const vh_gpa edges[] = {BOX_A,
				       BOX_B,
				       BOX_C,
				       BOX_D,
				       BOX_B + BOX_B_SIZE,
				       BOX_C + BOX_C_SIZE,
				       BOX_D + BOX_D_SIZE,
				       0};

	if (evil_in(hand, 500))
		return edges[rnd(hand->rng, 8)] - 300 + rnd(hand->rng, 400);
	if (one_in(hand->rng, 8))
		return BOX_B - rnd(hand->rng, 200);
	return (one_in(hand->rng, 2) ? BOX_DATA : BOX_C) +
	       rnd(hand->rng, 0x8000);
}

static uint32_t some_length(struct hand *hand)
{
	if (evil_in(hand, 2000))
		return UINT32_MAX - rnd(hand->rng, 3);
	if (one_in(hand->rng, 15))
		return 0;
	return 1 + rnd(hand->rng, one_in(hand->rng, 4) ? 4096 : 64);
}

/* 2^32 - 1 bytes is the most that a chain may have. */
static void huge_chain(struct hand *hand)
{
	struct model_buffers *chain = &hand->chain;

	chain->count = HUGE_CHAIN;
	chain->readable = rnd(hand->rng, HUGE_CHAIN + 1);
	chain->in_table = 0;
	for (unsigned int i = 0; i < HUGE_CHAIN; i++) {
		chain->buffers[i].guest = BOX_A;
		chain->buffers[i].length = BOX_A_SIZE;
	}
	if (!evil_in(hand, 2))
		chain->buffers[rnd(hand->rng, HUGE_CHAIN)].length--;
}

static void some_chain(struct hand *hand)
{
	struct model_buffers *chain = &hand->chain;
	const struct model_ring *ring = &hand->driver.ring;
	uint32_t num = ring->num;
	unsigned int most = num < 24 ? num : 24;

	if (one_in(hand->rng, 100) && num > 24)
		most = num < 256 ? num : 256;
	chain->count =
	    1 + rnd(hand->rng, one_in(hand->rng, 4) ? most : 1 + most / 8);
	/* In a table there may be more than the ring has. */
	if (ring->indirect && one_in(hand->rng, 10))
		chain->count = 1 + rnd(hand->rng, TABLE_MOST);
	if (hand->singles)
		chain->count = 1;
	chain->readable = rnd(hand->rng, chain->count + 1);
	chain->in_table = 0;
	for (unsigned int i = 0; i < chain->count; i++) {
		chain->buffers[i].guest = some_address(hand);
		chain->buffers[i].length = some_length(hand);
	}
	if ((!ring->indirect || hand->singles) && !evil_in(hand, 300))
		return;
	if (!one_in(hand->rng, 2) || chain->count > TABLE_MOST)
		return;
	chain->in_table = chain->count;
	if (!ring->packed && one_in(hand->rng, 4))
		chain->in_table = 1 + rnd(hand->rng, chain->count);
}

static bool place_table(struct hand *hand, unsigned int *ret_table)
{
	unsigned int which, table, size = 16 * hand->chain.in_table;

	*ret_table = NO_TABLE;
	if (!hand->chain.in_table)
		return true;
	if (!hand->table_count)
		return false;
	which = rnd(hand->rng, hand->table_count);
	if (one_in(hand->rng, 4))
		which = hand->table_count - 1;
	table = hand->tables[which];
	hand->chain.table = table == ACROSS
				? BOX_B - rnd(hand->rng, size)
				: BOX_TABLES + TABLE_SIZE * table +
				      (one_in(hand->rng, 5) ? 1 : 0);
	if (evil_in(hand, 500))
		hand->chain.table = BOX_D + BOX_D_SIZE - size; /* the end */
	if (hand->tame)
		hand->tables[which] = hand->tables[--hand->table_count];
	*ret_table = table;
	return true;
}

static void give_table(struct hand *hand, unsigned int table)
{
	if (table != NO_TABLE && hand->tame)
		hand->tables[hand->table_count++] = table;
}

static void note_posted(struct hand *hand)
{
	const struct model_buffers *chain = &hand->chain;
	struct hand_posted posted = {.descriptors = chain->count};

	for (unsigned int i = 0; i < chain->count; i++) {
		if (i < chain->readable)
			posted.readable_size += chain->buffers[i].length;
		else
			posted.writable_size += chain->buffers[i].length;
	}
	hand->posted[(hand->posted_first + hand->posted_count) % 32768] =
	    posted;
	hand->posted_count++;
}

struct hand_posted hand_popped(struct hand *hand)
{
	struct hand_posted posted = hand->posted[hand->posted_first];

	assert_true(hand->posted_count > 0);
	hand->posted_first = (hand->posted_first + 1) % 32768;
	hand->posted_count--;
	return posted;
}

/*
 * An evil driver doesn't wait for what it posted. All that the device hasn't
 * taken is free to it, and sometimes that, too.
 */
static void forget(struct hand *hand)
{
	struct model_driver *driver = &hand->driver;
	const struct model *device = hand->device;
	uint32_t num = driver->ring.num;
	bool ordered = driver->ring.in_order && !driver->ring.packed;
	unsigned int first = driver->free[0];

	driver->free_count = 0;
	for (unsigned int i = 0; i < num; i++) {
		driver->posted[i].busy = false;
		if (!device->requests[i].busy || one_in(hand->rng, 300))
			driver->free[driver->free_count++] = i;
	}
	if (ordered)
		driver->free[0] = first;
	driver->free_slots =
	    device->slots_out < num ? num - device->slots_out : 0;
	if (one_in(hand->rng, 50))
		driver->free_slots = num;
	if (driver->free_slots > driver->free_count)
		driver->free_slots = driver->free_count;
	driver->inflight = 0;
	driver->order_count = 0;
	driver->batch = 0;
}

static bool device_waits(const struct hand *hand)
{
	const struct model *device = hand->device;
	const struct model_driver *driver = &hand->driver;

	if (!driver->ring.packed)
		return device->avail_next == driver->avail_next;
	return !model_pending(device) && !model_driver_holds(driver);
}

static void forget_sometimes(struct hand *hand)
{
	struct model_driver *driver = &hand->driver;

	if (device_waits(hand)) {
		/* Tampering may have led the device to another place. */
		driver->avail_place = hand->device->avail_place;
		driver->avail_place_shown = driver->avail_place;
		if (driver->free_slots * 2 < driver->ring.num ||
		    one_in(hand->rng, 20))
			forget(hand);
	} else if (one_in(hand->rng, 500)) {
		forget(hand);
	}
}

void hand_offers(struct hand *hand)
{
	unsigned int table, id;

	if (!hand->tame)
		forget_sometimes(hand);
	if (hand->driver.ring.num >= HUGE_CHAIN && one_in(hand->rng, 200))
		huge_chain(hand);
	else
		some_chain(hand);
	if (!place_table(hand, &table))
		return;
	if (!model_driver_add(&hand->driver, &hand->chain)) {
		give_table(hand, table);
		if (!hand->tame && one_in(hand->rng, 20))
			forget(hand);
		return;
	}
	if (!hand->tame)
		return;
	id = hand->driver.last_id;
	hand->table_of[id] = table;
	note_posted(hand);
}

void hand_shows(struct hand *hand)
{
	struct model_driver *driver = &hand->driver;

	if (evil_in(hand, 3000) && !driver->ring.packed)
		driver->avail_next = (uint16_t)rnd(hand->rng, 65536);
	(void)model_driver_publish(driver);
}

/* An entry of the ring or a table that the device may come to. */
static vh_gpa some_entry(struct hand *hand)
{
	const struct model_driver *driver = &hand->driver;
	const struct model_ring *ring = &driver->ring;
	uint32_t num = ring->num;
	unsigned int back = 1 + rnd(hand->rng, num < 8 ? num : 8);
	unsigned int slot;

	if (hand->chain.in_table && one_in(hand->rng, 3))
		return hand->chain.table +
		       UINT64_C(16) * rnd(hand->rng, hand->chain.in_table);
	if (one_in(hand->rng, 20))
		return model_slot(ring, rnd(hand->rng, num));
	if (ring->packed)
		return model_slot(
		    ring, (driver->avail_place.slot + num - back) % num);
	slot = (uint16_t)(driver->avail_next - back) % num;
	slot = (unsigned int)model_number(
	    ring, ring->available + 4 + UINT64_C(2) * slot, 2);
	return model_slot(ring, slot % num);
}

static void store_anywhere(struct hand *hand, vh_gpa at, uint64_t value,
			   unsigned int bytes)
{
	const struct model_ring *ring = &hand->driver.ring;

	/* A table may be across regions, or nowhere. */
	for (unsigned int i = 0; i < bytes; i++)
		if (at + i >= BOX_A && at + i < BOX_B + BOX_B_SIZE)
			model_store(ring, at + i, value >> 8 * i & 0xff, 1);
}

void hand_scribbles(struct hand *hand)
{
	const struct model_ring *ring = &hand->driver.ring;
	struct rng *rng = hand->rng;
	vh_gpa entry = some_entry(hand);
	uint32_t flags = rnd(rng, 8), length;

	switch (rnd(rng, ring->packed ? 6 : 8)) {
	case 0:
		store_anywhere(hand, entry, some_address(hand), 8);
		break;
	case 1:
		length = 16 * (1 + rnd(rng, 40)) + (one_in(rng, 8) ? 1 : 0);
		if (one_in(rng, 2))
			length = some_length(hand);
		store_anywhere(hand, entry + 8, length, 4);
		break;
	case 2:
		store_anywhere(hand, entry + 12, rnd(rng, ring->num + 1), 2);
		break;
	case 3:
		store_anywhere(hand, entry + 14, rnd(rng, ring->num + 1), 2);
		break;
	case 4:
		/* the low flags of either format, and random high ones */
		if (one_in(rng, 3))
			flags |= rnd(rng, 65536);
		store_anywhere(hand, entry + (ring->packed ? 14 : 12), flags,
			       one_in(rng, 2) ? 1 : 2);
		break;
	case 5:
		store_anywhere(hand, entry + (ring->packed ? 14 : 12),
			       model_number(ring, model_slot(ring, 0) + 14, 2),
			       2);
		break;
	default:
		model_store(ring,
			    ring->available + 4 +
				UINT64_C(2) * rnd(rng, ring->num),
			    rnd(rng, ring->num + 1), 2);
		break;
	}
}

static void packed_events(struct hand *hand)
{
	const struct model_ring *ring = &hand->driver.ring;
	struct model_place place = hand->device->used_place_shown;

	model_advance(ring, &place, rnd(hand->rng, 8));
	if (one_in(hand->rng, 8)) {
		place.slot = rnd(hand->rng, ring->num);
		place.wrap = one_in(hand->rng, 2);
	}
	model_store(ring, ring->available,
		    place.slot | (unsigned int)place.wrap << 15, 2);
	model_store(ring, ring->available + 2,
		    rnd(hand->rng, !hand->tame	     ? 4
				   : ring->event_idx ? 3
						     : 2),
		    2);
}

void hand_sets_events(struct hand *hand)
{
	const struct model_ring *ring = &hand->driver.ring;

	if (one_in(hand->rng, 8)) {
		model_driver_enable_calls(&hand->driver);
	} else if (one_in(hand->rng, 8)) {
		model_driver_disable_calls(&hand->driver);
	} else if (ring->packed) {
		packed_events(hand);
	} else {
		model_store(ring, ring->available, rnd(hand->rng, 2), 2);
		model_store(ring, ring->available + 4 + UINT64_C(2) * ring->num,
			    (uint16_t)(hand->device->used_shown - 5 +
				       rnd(hand->rng, 12)),
			    2);
	}
}

int hand_collects(struct hand *hand, unsigned int *ret_id,
		  uint32_t *ret_written)
{
	int found = model_driver_collect(&hand->driver, 1, ret_id, ret_written);

	if (found > 0)
		give_table(hand, hand->table_of[*ret_id]);
	return found;
}
