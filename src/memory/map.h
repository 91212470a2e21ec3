/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The inside of a map. */
#ifndef MEMORY_MAP_H
#define MEMORY_MAP_H

#include <libvhost/memory.h>

#include "mapping.h"

/* What a translation of a guest address has no need of. */
struct vhi_region_rest {
	struct vh_user_addr user;
	uint64_t fd_offset;
	unsigned int shelf;
	unsigned int place;
};

/*
 * Region i is element i of each column, in the order of guest addresses. The
 * columns are in the same allocation, behind this; one each, because a search
 * reads many bases and one size.
 */
struct vh_memory {
	unsigned int refs;
	unsigned int count;
	vh_gpa *bases;
	uint64_t *sizes;
	char **hosts;
	struct vhi_region_rest *rest;
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
	unsigned int low = 0;

	for (unsigned int n = memory->count; n > 1;) {
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
