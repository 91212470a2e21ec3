/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "driver_rules.h"

unsigned int driver_split_rules(const struct model_ring *ring, uint64_t size,
				unsigned int next_slot,
				const struct model_chain *chain)
{
	vh_gpa table = ring->descriptors, at;
	unsigned int index = chain->head, next;
	uint64_t flags;

	if (ring->in_order)
		assert_int_equal(chain->head, next_slot);
	for (;;) {
		at = table + UINT64_C(16) * index;
		flags = model_number(ring, at + 12, 2);
		next = (unsigned int)model_number(ring, at + 14, 2);
		assert_int_equal(flags & ~UINT64_C(7), 0);
		if (flags & F_INDIRECT) {
			table = model_number(ring, at, 8);
			assert_int_equal(table % 16, 0);
			assert_true(table - BOX_DESCRIPTORS < size);
			index = 0;
			continue;
		}
		if (!(flags & F_NEXT))
			break;
		if (ring->in_order && table == ring->descriptors)
			assert_int_equal(next, (index + 1) % ring->num);
		else if (ring->in_order)
			assert_int_equal(next, index + 1);
		index = next;
	}
	return (next_slot + chain->slots) % ring->num;
}

void driver_packed_rules(const struct model_ring *ring, uint64_t size,
			 struct model_place place,
			 const struct model_chain *chain)
{
	vh_gpa table;
	uint64_t flags = 0;

	for (unsigned int i = 0; i < chain->slots; i++) {
		assert_true(model_slot_available(ring, place));
		flags =
		    model_number(ring, model_slot(ring, place.slot) + 14, 2);
		assert_int_equal(flags & ~(F_AVAIL | F_USED | 7ul), 0);
		if (!(flags & F_INDIRECT))
			model_advance(ring, &place, 1);
	}
	if (!(flags & F_INDIRECT))
		return;
	table = model_number(ring, model_slot(ring, place.slot), 8);
	assert_int_equal(table % 16, 0);
	assert_true(table - BOX_DESCRIPTORS < size);
	for (unsigned int i = 0; i < chain->descriptors; i++) {
		flags = model_number(ring, table + UINT64_C(16) * i + 14, 2);
		assert_int_equal(flags & ~2ul, 0);
	}
}
