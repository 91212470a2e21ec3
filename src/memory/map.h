/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The inside of a map. */
#ifndef MEMORY_MAP_H
#define MEMORY_MAP_H

#include <libvhost/memory.h>

#include "mapping.h"

/*
 * What a translation of a guest address has no need of. The row of an IOTLB
 * has what its first byte has in its region: shelf and place say which.
 */
struct vhi_region_rest {
	struct vh_user_addr user;
	uint64_t fd_offset;
	unsigned int shelf;
	unsigned int place;
	uint64_t added; /* IOTLB: vh_memory.added when it was */
};

/*
 * A guide cuts the addresses from the first base to the last into granules of
 * one size, about twice as many as there are regions, and says for each which
 * regions its bytes may lie in. Where regions begin at round addresses, as
 * they mostly do, that is one, and a look into the guide is all the search.
 */
struct vhi_granule {
	uint16_t low;  /* the last region that begins at or before it */
	uint16_t high; /* the last region that begins before its end */
};

#define VHI_GUIDE_LEAST 8 /* regions for which it pays */

/* The most granules for so many regions. */
unsigned int vhi_guide_room(unsigned int count);
/* When all bases are there; memory->guide has that room. */
void vhi_guide_make(struct vh_memory *memory);

/*
 * Region i is element i of each column, in the order of guest addresses. The
 * columns are in the same allocation, behind this; one each, because a search
 * reads many bases and one size.
 *
 * A map of guest memory has shelves. An IOTLB has none: it has the map it leads
 * into, and columns of its own for where its rows lead and what they allow.
 */
struct vh_memory {
	unsigned int refs;
	unsigned int count;
	vh_gpa *bases;
	uint64_t *sizes;
	char **hosts;
	uint32_t *accesses; /* IOTLB; else NULL: all is allowed */
	struct vhi_region_rest *rest;
	struct vh_memory *guest; /* IOTLB; else NULL */
	vh_gpa *guests;		 /* IOTLB */
	uint64_t added;		 /* IOTLB: rows, by all updates that made it */
	struct vhi_granule *guide;
	unsigned int granules; /* 0: there is no guide (yet) */
	unsigned int granule_shift;
	struct vhi_shelf *shelves[VHI_SHELVES]; /* NULL: never used */
	vh_gpa columns[];
};

/*
 * The last region that doesn't begin behind guest; 0 if all do, or if there
 * is none. The order of guest addresses in a ring is random to a branch
 * predictor, hence a mask and no branch; the empty asm keeps a compiler from
 * making one nevertheless.
 */
static inline unsigned int vhi_map_search(const struct vh_memory *memory,
					  vh_gpa guest)
{
	unsigned int low = 0, n = memory->count;
	uint64_t granule;

	if (memory->granules) {
		if (guest < memory->bases[0])
			return 0;
		granule = (guest - memory->bases[0]) >> memory->granule_shift;
		if (granule >= memory->granules)
			return n - 1;
		low = memory->guide[granule].low;
		n = memory->guide[granule].high - low + 1U;
	}
	while (n > 1) {
		unsigned int half = n / 2;
		unsigned int mask =
		    -(unsigned int)(memory->bases[low + half] <= guest);

		__asm__("" : "+r"(mask));
		low += half & mask;
		n -= half;
	}
	return low;
}

#endif
