/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "model_driver.h"
#include <string.h>

#define AVAIL_FLAGS 0
#define AVAIL_INDEX 2
#define AVAIL_RING  4
#define USED_INDEX  2
#define USED_RING   4

static void start(struct model_driver *driver, const struct box *box,
		  const struct vh_virtqueue_opts *opts)
{
	memset(driver, 0, offsetof(struct model_driver, posted));
	memset(driver->posted, 0, opts->num * sizeof(driver->posted[0]));
	driver->ring = model_ring(box, opts);
	driver->avail_next = (uint16_t)opts->base;
	driver->avail_shown = driver->avail_next;
	driver->used_next = driver->avail_next;
	driver->avail_place.slot = opts->base & 0x7fff;
	driver->avail_place.wrap = opts->base >> 15 & 1;
	driver->avail_place_shown = driver->avail_place;
	driver->used_place = driver->avail_place;
}

void model_driver_start_onlooker(struct model_driver *driver,
				 const struct box *box,
				 const struct vh_virtqueue_opts *opts)
{
	start(driver, box, opts);
	driver->looks_on = true;
}

void model_driver_start(struct model_driver *driver, const struct box *box,
			const struct vh_virtqueue_opts *opts, uint64_t seed)
{
	const struct model_ring *ring = &driver->ring;

	start(driver, box, opts);
	driver->rng = rng_start(seed);
	driver->free_count = ring->num;
	driver->free_slots = ring->num;
	for (unsigned int i = 0; i < ring->num; i++)
		driver->free[i] = i;
	memset(box_host(box, ring->descriptors), 0,
	       model_descriptors_size(ring));
	memset(box_host(box, ring->available), 0, model_available_size(ring));
	memset(box_host(box, ring->used), 0, model_used_size(ring));
	if (!ring->packed) {
		model_store(ring, ring->available + AVAIL_INDEX, opts->base, 2);
		model_store(ring, ring->used + USED_INDEX, opts->base, 2);
		return;
	}
	/* As if all slots had been used in their last round. */
	for (unsigned int i = 0; i < ring->num; i++) {
		bool wrap = driver->avail_place.wrap;

		if (i >= driver->avail_place.slot)
			wrap = !wrap;
		model_store(ring, model_slot(ring, i) + 14,
			    wrap ? F_AVAIL | F_USED : 0, 2);
	}
}

static void write_entry(const struct model_ring *ring, vh_gpa at, vh_gpa guest,
			uint32_t length, unsigned int flags,
			unsigned int next_or_id)
{
	model_store(ring, at, guest, 8);
	model_store(ring, at + 8, length, 4);
	model_store(ring, at + 12, ring->packed ? next_or_id : flags, 2);
	model_store(ring, at + 14, ring->packed ? flags : next_or_id, 2);
}

static void write_buffer(const struct model_ring *ring, vh_gpa at,
			 const struct model_buffers *chain, unsigned int which,
			 unsigned int flags, unsigned int next_or_id)
{
	if (which >= chain->readable)
		flags |= F_WRITE;
	write_entry(ring, at, chain->buffers[which].guest,
		    chain->buffers[which].length, flags, next_or_id);
}

/* A split ring's table begins with entry 0, and goes on in any order. */
static void write_table(struct model_driver *driver,
			const struct model_buffers *chain)
{
	const struct model_ring *ring = &driver->ring;
	unsigned int count = chain->in_table, at = 0, next;
	bool backwards = !ring->in_order && one_in(&driver->rng, 4);

	for (unsigned int i = 0; i < count; i++) {
		bool last = i + 1 == count;
		unsigned int which = chain->count - count + i;
		vh_gpa entry = chain->table + UINT64_C(16) * at;

		if (ring->packed) {
			write_buffer(ring, entry, chain, which, 0,
				     rnd(&driver->rng, 65536));
			at++;
			continue;
		}
		next = backwards ? count - 1 - i : i + 1;
		write_buffer(ring, entry, chain, which, last ? 0 : F_NEXT,
			     last ? 0 : next);
		at = next;
	}
}

static void write_table_descriptor(const struct model_ring *ring, vh_gpa at,
				   const struct model_buffers *chain,
				   unsigned int flags, unsigned int next_or_id)
{
	write_entry(ring, at, chain->table, 16 * chain->in_table,
		    flags | F_INDIRECT, next_or_id);
}

static unsigned int take_free(struct model_driver *driver)
{
	unsigned int which = 0, value;

	if (driver->ring.in_order && !driver->ring.packed) {
		/* In the order of the table, round and round. */
		value = driver->free[0];
		driver->free[0] = (value + 1) % driver->ring.num;
		driver->free_count--;
		return value;
	}
	which = rnd(&driver->rng, driver->free_count);
	value = driver->free[which];
	driver->free[which] = driver->free[--driver->free_count];
	return value;
}

static void put_free(struct model_driver *driver, unsigned int value)
{
	if (driver->ring.in_order && !driver->ring.packed)
		driver->free_count++;
	else
		driver->free[driver->free_count++] = value;
}

static unsigned int add_split(struct model_driver *driver,
			      const struct model_buffers *chain,
			      unsigned int slots)
{
	const struct model_ring *ring = &driver->ring;
	unsigned int head = take_free(driver), at = head;
	bool last;

	for (unsigned int i = 0; i < slots; i++) {
		last = i + 1 == slots;
		driver->next[at] = last ? 0 : take_free(driver);
		if (last && chain->in_table)
			write_table_descriptor(ring, model_slot(ring, at),
					       chain, 0, 0);
		else
			write_buffer(ring, model_slot(ring, at), chain, i,
				     last ? 0 : F_NEXT, driver->next[at]);
		at = driver->next[at];
	}
	model_store(ring,
		    ring->available + AVAIL_RING +
			UINT64_C(2) * (driver->avail_next % ring->num),
		    head, 2);
	driver->avail_next++;
	return head;
}

/* All is visible at once but the first descriptor since the last publish. */
static unsigned int add_packed(struct model_driver *driver,
			       const struct model_buffers *chain,
			       unsigned int slots)
{
	const struct model_ring *ring = &driver->ring;
	unsigned int id = take_free(driver);
	bool holds = model_driver_holds(driver);
	struct model_place *place = &driver->avail_place;

	for (unsigned int i = 0; i < slots; i++) {
		vh_gpa at = model_slot(ring, place->slot);
		unsigned int flags = place->wrap ? F_AVAIL : F_USED;
		uint64_t before = model_number(ring, at + 14, 2);

		if (i + 1 < slots)
			flags |= F_NEXT;
		if (chain->in_table)
			write_table_descriptor(ring, at, chain, flags, id);
		else
			write_buffer(ring, at, chain, i, flags, id);
		if (!holds && i == 0) {
			driver->held_flags =
			    (unsigned int)model_number(ring, at + 14, 2);
			model_store(ring, at + 14, before, 2);
		}
		model_advance(ring, place, 1);
	}
	return id;
}

static void remember(struct model_driver *driver, unsigned int id,
		     unsigned int slots, uint32_t writable)
{
	unsigned int at = (driver->order_first + driver->order_count) % 32768;

	driver->posted[id] = (struct model_posted){
	    .busy = true,
	    .slots = slots,
	    .writable = writable,
	};
	driver->inflight++;
	driver->last_id = id;
	if (driver->ring.in_order) {
		driver->order[at] = id;
		driver->order_count++;
	}
}

bool model_driver_add(struct model_driver *driver,
		      const struct model_buffers *chain)
{
	unsigned int slots = chain->count - chain->in_table, id;
	uint32_t writable = 0;

	if (chain->in_table)
		slots++;
	if (slots > driver->free_slots)
		return false;
	if (chain->in_table)
		write_table(driver, chain);
	for (unsigned int i = chain->readable; i < chain->count; i++)
		writable += chain->buffers[i].length;
	id = driver->ring.packed ? add_packed(driver, chain, slots)
				 : add_split(driver, chain, slots);
	driver->free_slots -= slots;
	remember(driver, id, slots, writable);
	return true;
}

void model_driver_saw(struct model_driver *driver,
		      const struct model_chain *chain)
{
	remember(driver, chain->head, chain->slots,
		 (uint32_t)(chain->size - chain->readable_size));
}

bool model_driver_holds(const struct model_driver *driver)
{
	if (!driver->ring.packed)
		return driver->avail_next != driver->avail_shown;
	return driver->avail_place.slot != driver->avail_place_shown.slot ||
	       driver->avail_place.wrap != driver->avail_place_shown.wrap;
}

bool model_driver_wants_kick(const struct model_ring *ring, uint16_t from,
			     uint16_t to)
{
	return model_split_wants_event(
	    ring, ring->used, ring->used + USED_RING + UINT64_C(8) * ring->num,
	    from, to);
}

bool model_driver_wants_kick_packed(const struct model_ring *ring,
				    struct model_place from,
				    struct model_place to)
{
	return model_packed_wants_event(ring, ring->used, from, to);
}

bool model_driver_publish(struct model_driver *driver)
{
	const struct model_ring *ring = &driver->ring;
	struct model_place from = driver->avail_place_shown;
	uint16_t from_index = driver->avail_shown;

	if (!model_driver_holds(driver))
		return false;
	if (!ring->packed) {
		model_store(ring, ring->available + AVAIL_INDEX,
			    driver->avail_next, 2);
		driver->avail_shown = driver->avail_next;
		return model_driver_wants_kick(ring, from_index,
					       driver->avail_next);
	}
	model_store(ring, model_slot(ring, from.slot) + 14, driver->held_flags,
		    2);
	driver->avail_place_shown = driver->avail_place;
	return model_driver_wants_kick_packed(ring, from, driver->avail_place);
}

/* The length of the batch that ends with id, or 0 if it can't be. */
static unsigned int batch_length(const struct model_driver *driver,
				 unsigned int id)
{
	if (id >= driver->ring.num || !driver->posted[id].busy)
		return 0;
	if (!driver->ring.in_order)
		return 1;
	for (unsigned int i = 0; i < driver->order_count; i++)
		if (driver->order[(driver->order_first + i) % 32768] == id)
			return i + 1;
	return 0;
}

static uint16_t used_there(const struct model_driver *driver)
{
	const struct model_ring *ring = &driver->ring;

	return (uint16_t)(model_number(ring, ring->used + USED_INDEX, 2) -
			  driver->used_next);
}

/* What was never available isn't looked at. */
static bool slot_used(const struct model_driver *driver)
{
	return driver->inflight &&
	       model_slot_used(&driver->ring, driver->used_place);
}

bool model_driver_pending(const struct model_driver *driver)
{
	if (!driver->ring.packed)
		return used_there(driver) > 0;
	return driver->batch || slot_used(driver);
}

/* Looks for an entry; what it says is in *ret_id, batch and batch_written. */
static int find_used(struct model_driver *driver, unsigned int max,
		     unsigned int *ret_id)
{
	const struct model_ring *ring = &driver->ring;
	uint16_t there;
	vh_gpa at;

	if (ring->packed) {
		if (!slot_used(driver))
			return 0;
		at = model_slot(ring, driver->used_place.slot);
		*ret_id = (unsigned int)model_number(ring, at + 12, 2);
		driver->batch_written = (uint32_t)model_number(ring, at + 8, 4);
		if (!(model_number(ring, at + 14, 2) & F_WRITE))
			driver->batch_written = 0;
		there = 32768;
	} else {
		/* Read if less is known than asked for; it only rises. */
		there = used_there(driver);
		if (driver->used_seen >= max ||
		    (driver->used_seen &&
		     (there < driver->used_seen || there > driver->inflight)))
			there = driver->used_seen;
		driver->used_seen = there;
		if (!there)
			return 0;
		if (there > driver->inflight)
			return -1;
		at = ring->used + USED_RING +
		     UINT64_C(8) * (driver->used_next % ring->num);
		*ret_id = (unsigned int)model_number(ring, at, 4);
		driver->batch_written = (uint32_t)model_number(ring, at + 4, 4);
	}
	driver->batch = batch_length(driver, *ret_id);
	/* Of a batch, all of it is there. */
	if (driver->batch && driver->batch <= there &&
	    driver->batch_written <= driver->posted[*ret_id].writable)
		return 1;
	driver->batch = 0;
	return -1;
}

static void give_back(struct model_driver *driver, unsigned int id)
{
	struct model_posted *posted = &driver->posted[id];
	unsigned int at = id;

	posted->busy = false;
	driver->inflight--;
	driver->free_slots += posted->slots;
	driver->used_next++;
	if (!driver->ring.packed)
		driver->used_seen--;
	model_advance(&driver->ring, &driver->used_place, posted->slots);
	if (driver->looks_on)
		return;
	if (driver->ring.packed) {
		put_free(driver, id);
		return;
	}
	for (unsigned int i = 0; i < posted->slots; i++) {
		put_free(driver, at);
		at = driver->next[at];
	}
}

int model_driver_collect(struct model_driver *driver, unsigned int max,
			 unsigned int *ret_id, uint32_t *ret_written)
{
	unsigned int id = 0;
	int found;

	if (!driver->batch) {
		found = find_used(driver, max, &id);
		if (found <= 0)
			return found;
	}
	if (driver->ring.in_order) {
		id = driver->order[driver->order_first];
		driver->order_first = (driver->order_first + 1) % 32768;
		driver->order_count--;
	}
	/* What was skipped was used completely. */
	*ret_written = --driver->batch ? driver->posted[id].writable
				       : driver->batch_written;
	*ret_id = id;
	give_back(driver, id);
	return 1;
}

void model_driver_enable_calls(struct model_driver *driver)
{
	const struct model_ring *ring = &driver->ring;

	if (!ring->packed) {
		if (ring->event_idx)
			model_store(ring,
				    ring->available + AVAIL_RING +
					UINT64_C(2) * ring->num,
				    driver->used_next, 2);
		else
			model_store(ring, ring->available + AVAIL_FLAGS, 0, 2);
		return;
	}
	model_store(ring, ring->available,
		    driver->used_place.slot |
			(unsigned int)driver->used_place.wrap << 15,
		    2);
	model_store(ring, ring->available + 2,
		    ring->event_idx ? EVENT_DESC : EVENT_ENABLE, 2);
}

void model_driver_disable_calls(struct model_driver *driver)
{
	const struct model_ring *ring = &driver->ring;

	if (ring->packed)
		model_store(ring, ring->available + 2, EVENT_DISABLE, 2);
	else if (!ring->event_idx)
		model_store(ring, ring->available + AVAIL_FLAGS, 1, 2);
}
