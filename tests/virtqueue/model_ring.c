/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "model_ring.h"

struct model_ring model_ring(const struct box *box,
			     const struct vh_virtqueue_opts *opts)
{
	return (struct model_ring){
	    .box = box,
	    .descriptors = opts->descriptors,
	    .available = opts->available,
	    .used = opts->used,
	    .num = opts->num,
	    .packed = opts->features & VH_F_RING_PACKED,
	    .indirect = opts->features & VH_F_INDIRECT_DESC,
	    .event_idx = opts->features & VH_F_EVENT_IDX,
	    .in_order = opts->features & VH_F_IN_ORDER,
	};
}

uint64_t model_descriptors_size(const struct model_ring *ring)
{
	return UINT64_C(16) * ring->num;
}

uint64_t model_available_size(const struct model_ring *ring)
{
	return ring->packed ? 4 : 6 + UINT64_C(2) * ring->num;
}

uint64_t model_used_size(const struct model_ring *ring)
{
	return ring->packed ? 4 : 6 + UINT64_C(8) * ring->num;
}

uint64_t model_number(const struct model_ring *ring, vh_gpa guest,
		      unsigned int bytes)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < bytes; i++)
		value |= (uint64_t) * (uint8_t *)box_host(ring->box, guest + i)
			 << 8 * i;
	return value;
}

void model_store(const struct model_ring *ring, vh_gpa guest, uint64_t value,
		 unsigned int bytes)
{
	for (unsigned int i = 0; i < bytes; i++)
		*(uint8_t *)box_host(ring->box, guest + i) =
		    (uint8_t)(value >> 8 * i);
}

void model_advance(const struct model_ring *ring, struct model_place *place,
		   unsigned int slots)
{
	while (slots--) {
		if (++place->slot == ring->num) {
			place->slot = 0;
			place->wrap = !place->wrap;
		}
	}
}

vh_gpa model_slot(const struct model_ring *ring, unsigned int slot)
{
	return ring->descriptors + UINT64_C(16) * slot;
}

static bool slot_is(const struct model_ring *ring, uint32_t slot, bool avail,
		    bool used)
{
	uint64_t flags = model_number(ring, model_slot(ring, slot) + 14, 2);

	return !!(flags & F_AVAIL) == avail && !!(flags & F_USED) == used;
}

bool model_slot_available(const struct model_ring *ring,
			  struct model_place place)
{
	return slot_is(ring, place.slot, place.wrap, !place.wrap);
}

bool model_slot_used(const struct model_ring *ring, struct model_place place)
{
	return slot_is(ring, place.slot, place.wrap, place.wrap);
}

/* At least one place changed, and at most num. */
static bool reached(const struct model_ring *ring, struct model_place event,
		    struct model_place from, struct model_place to)
{
	do {
		if (from.slot == event.slot && from.wrap == event.wrap)
			return true;
		model_advance(ring, &from, 1);
	} while (from.slot != to.slot || from.wrap != to.wrap);
	return false;
}

bool model_packed_wants_event(const struct model_ring *ring, vh_gpa event,
			      struct model_place from, struct model_place to)
{
	uint64_t place = model_number(ring, event, 2);
	struct model_place wanted = {
	    .slot = place & 0x7fff,
	    .wrap = place >> 15,
	};

	switch (model_number(ring, event + 2, 2) & 3) {
	case EVENT_DISABLE:
		return false;
	case EVENT_DESC:
		return !ring->event_idx || reached(ring, wanted, from, to);
	default:
		return true;
	}
}

bool model_split_wants_event(const struct model_ring *ring, vh_gpa flags,
			     vh_gpa event, uint16_t from, uint16_t to)
{
	uint16_t wanted = (uint16_t)model_number(ring, event, 2);

	if (!ring->event_idx)
		return !(model_number(ring, flags, 2) & 1);
	for (; from != to; from++)
		if (from == wanted)
			return true;
	return false;
}
