/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Guest address to host pointer, for the rings.
 *
 * A hit remembers the last region, and its one compare pair is the complete
 * bounds check: it never adds, so it can't overflow. A miss searches the
 * sorted bases and is kept out of line.
 */
#ifndef MEMORY_TRANSLATE_H
#define MEMORY_TRANSLATE_H

#include <libvhost/memory.h>

/* The last region that was used with one map. All zero: none yet. */
struct vhi_hit {
	vh_gpa base;
	uint64_t size;
	char *host;
	vh_gpa guest;	 /* guest-physical; not base in an IOTLB */
	uint32_t access; /* VH_ACCESS_..., both but in an IOTLB */
};

/*
 * Finds the region that guest lies in and puts it into *hit. False if there
 * is none; *hit is unchanged then.
 */
bool vhi_memory_find(const struct vh_memory *memory, vh_gpa guest,
		     struct vhi_hit *hit);

/*
 * The host address of size bytes (at least 1) in one region, or NULL. hit
 * must belong to memory or be all zero.
 */
static inline void *vhi_translate(const struct vh_memory *memory,
				  struct vhi_hit *hit, vh_gpa guest,
				  uint64_t size)
{
	uint64_t offset = guest - hit->base;

	if (__builtin_expect(offset >= hit->size, 0)) {
		if (!vhi_memory_find(memory, guest, hit))
			return NULL;
		offset = guest - hit->base;
	}
	if (__builtin_expect(size > hit->size - offset, 0))
		return NULL;
	return hit->host + offset;
}

/*
 * SIGBUS on this thread, between begin and end, is taken for guest memory
 * that vanished (see vh_memory_catch_sigbus()). Nesting isn't allowed.
 * vhi_memory_guard_hit() tells whether it happened since begin, and at which
 * host address (stored if ret_address isn't NULL), and forgets it.
 */
void vhi_memory_guard_begin(void);
void vhi_memory_guard_end(void);
bool vhi_memory_guard_hit(const void **ret_address);

#endif
