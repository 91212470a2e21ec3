/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The guide to a map: see map.h. */
#include "map.h"

unsigned int vhi_guide_room(unsigned int count)
{
	unsigned int room = 1;

	if (count < VHI_GUIDE_LEAST)
		return 0;
	while (room < count)
		room *= 2;
	return 2 * room;
}

void vhi_guide_make(struct vh_memory *memory)
{
	unsigned int room = vhi_guide_room(memory->count);
	const vh_gpa *bases = memory->bases;
	unsigned int last = memory->count - 1;
	unsigned int at = 0, shift = 0;
	uint64_t span;

	if (!room)
		return;
	span = bases[last] - bases[0];
	while (span >> shift >= room)
		shift++;
	memory->granule_shift = shift;
	memory->granules = (unsigned int)(span >> shift) + 1;
	for (unsigned int i = 0; i < memory->granules; i++) {
		struct vhi_granule *granule = &memory->guide[i];
		uint64_t start = (uint64_t)i << shift;

		while (at < last && bases[at + 1] - bases[0] <= start)
			at++;
		granule->low = (uint16_t)at;
		while (at < last && (bases[at + 1] - bases[0]) >> shift <= i)
			at++;
		granule->high = (uint16_t)at;
	}
}
