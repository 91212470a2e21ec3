/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A range of a map's addresses as one range of host addresses.
 *
 * If it isn't one, as behind an IOMMU that scatters pages, each piece is mapped
 * a second time, beside the others: both mappings are the same shared memory.
 * The second ones have a life of their own; but whoever promised that a region
 * isn't mapped any more means them too, so they must go with the map.
 */
#ifndef MEMORY_VIEW_H
#define MEMORY_VIEW_H

#include <libvhost/memory.h>

struct vhi_view {
	void *host;   /* where the range begins */
	char *mapped; /* NULL: it needed no second mapping */
	size_t map_size;
};

/*
 * size bytes (at least 1, and not beyond 2^64) from at on. Whatever access an
 * IOTLB allows.
 *   -EFAULT  some of it isn't in the map
 *   -EDOM    it is scattered, and not in whole pages
 *   and what mmap() and mremap() return, for memory that can't be mapped twice
 */
int vhi_view_open(const struct vh_memory *memory, vh_gpa at, uint64_t size,
		  struct vhi_view *ret_view);

/* Of a view that is all zero nothing is to be closed. */
void vhi_view_close(struct vhi_view *view);

/*
 * Do both maps, each of which somebody holds, lead to the same memory for all
 * of a range? Then a view by the one is a view by the other.
 */
bool vhi_view_is_same(const struct vh_memory *a, const struct vh_memory *b,
		      vh_gpa at, uint64_t size);

#endif
