/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * One mmapped region, and how maps share it.
 *
 * Were every map to count its references to each of its mappings, a change
 * would touch all of them. So mappings stand on shelves, about as many as
 * each shelf has places. A map counts references to shelves, and a change
 * copies the one shelf that it is about: some forty counters for 509 regions.
 */
#ifndef MEMORY_MAPPING_H
#define MEMORY_MAPPING_H

#include <libvhost/memory.h>

#define VHI_SHELVES	 23
#define VHI_SHELF_PLACES 23

_Static_assert(VHI_SHELVES *VHI_SHELF_PLACES >= VH_MEMORY_MAX_REGIONS,
	       "a place for every region");

struct vhi_mapping {
	unsigned int refs;
	char *start; /* what mmap() gave; munmap() wants it back */
	size_t length;
};

/* Doesn't change once a second map refers to it. */
struct vhi_shelf {
	unsigned int refs;
	unsigned int used;
	struct vhi_mapping *mappings[VHI_SHELF_PLACES]; /* NULL: free */
};

/* What is to be mapped. */
struct vhi_file_part {
	int fd;
	uint64_t offset;
	uint64_t size;
	/* for words: the region's guest address, or NULL for a dirty log */
	const vh_gpa *guest;
};

/*
 * Maps a part of a file, which has been found to have a size and not to wrap.
 * *ret_host is where its first byte is; that isn't the mapping's start if the
 * offset isn't aligned.
 */
int vhi_mapping_new(const struct vhi_file_part *part, struct vh_fault *fault,
		    struct vhi_mapping **ret_mapping, char **ret_host);
void vhi_mapping_unref(struct vhi_mapping *mapping);

/* A shelf of its own with the same mappings; old may be NULL. NULL: ENOMEM. */
struct vhi_shelf *vhi_shelf_copy(const struct vhi_shelf *old);

/* Puts a mapping on a shelf with a free place, which it tells. */
unsigned int vhi_shelf_put(struct vhi_shelf *shelf,
			   struct vhi_mapping *mapping);
void vhi_shelf_take(struct vhi_shelf *shelf, unsigned int place);

/* NULL is fine in both. */
struct vhi_shelf *vhi_shelf_ref(struct vhi_shelf *shelf);
void vhi_shelf_unref(struct vhi_shelf *shelf);

#endif
