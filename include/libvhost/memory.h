/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * libvhost: the guest memory map.
 *
 * A map is an immutable value: a change makes a new map, which shares the
 * mappings of all other regions with the old one. A region is unmapped when
 * the last map that holds it is gone, whichever thread lets go of it. So a
 * worker can go on with the map that it has, for as long as it likes, while
 * the control side makes the next one, and a change never costs the other
 * regions anything.
 */
#ifndef LIBVHOST_MEMORY_H
#define LIBVHOST_MEMORY_H

#include <libvhost/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* As many slots as kernel vhost offers with its largest setting in QEMU. */
#define VH_MEMORY_MAX_REGIONS 509

/*
 * One region of guest memory (vhost-user, "Memory region description").
 * guest and size are in bytes and have no alignment of their own;
 * fd_offset is where the region begins in the file behind fd, and need not
 * be a multiple of the page size. user is where the front-end sees the
 * region; a VMM that uses a back-end of its own process fills in its own
 * pointers. The descriptor stays the caller's.
 */
struct vh_region {
	vh_gpa guest;
	uint64_t size;
	struct vh_user_addr user;
	uint64_t fd_offset;
	int fd;
};

struct vh_memory;

/*
 * Makes an empty map, of which the caller holds a reference. -ENOMEM.
 *
 * All functions on maps may be called from any thread, at the same time too:
 * a map never changes after it was made.
 */
VH_API VH_MUST_CHECK int vh_memory_new(struct vh_memory **ret_memory);

/*
 * Makes a map of old's regions and one more (vhost-user, "Memory region
 * description"), which is mapped readable and writable, shared, in whole
 * pages of its file, and left out of core dumps. Costs one fstat(), mmap()
 * and madvise(), however many regions there are. old stays as it is, and the
 * caller's; the new map is the caller's, too.
 *
 * Errors, with words in *fault if that isn't NULL:
 *   -EINVAL  the size is 0, or an address plus the size wraps 2^64
 *   -EEXIST  overlaps a region in guest or in front-end addresses
 *   -ENOSPC  there are VH_MEMORY_MAX_REGIONS already
 *   -ERANGE  the region ends behind the end of its file (an access would
 *            raise SIGBUS), or fd isn't something that has a length
 *   -ENOMEM, and what mmap() and fstat() return
 */
VH_API VH_MUST_CHECK int vh_memory_add(const struct vh_memory *old,
				       const struct vh_region *region,
				       struct vh_fault *fault,
				       struct vh_memory **ret_memory);

/*
 * Makes a map of old's regions without the one that has the same guest
 * address, front-end address and size (the offset and the descriptor of
 * *region are ignored). The region is unmapped once the last map that holds
 * it, old among them, is gone. -ENOENT if there is none, or -ENOMEM, with
 * words in *fault if that isn't NULL.
 */
VH_API VH_MUST_CHECK int vh_memory_remove(const struct vh_memory *old,
					  const struct vh_region *region,
					  struct vh_fault *fault,
					  struct vh_memory **ret_memory);

/* Takes another reference; the result is memory itself. */
VH_API struct vh_memory *vh_memory_ref(const struct vh_memory *memory);

/*
 * Gives a reference back. With the last one the map is gone, and whatever
 * regions no other map holds are unmapped. NULL is fine.
 */
VH_API void vh_memory_unref(struct vh_memory *memory);

/* The number of regions, 0 to VH_MEMORY_MAX_REGIONS. */
VH_API unsigned int vh_memory_count(const struct vh_memory *memory);

/*
 * Describes region number index, in the order of guest addresses; fd is -1.
 * -ENOENT if there are not so many.
 */
VH_API VH_MUST_CHECK int vh_memory_region(const struct vh_memory *memory,
					  unsigned int index,
					  struct vh_region *ret_region);

/*
 * The host address of size bytes of guest memory that lie in one region, or
 * NULL if they don't (a size of 0 gives NULL). Valid as long as the map is.
 * The guest and the front-end can change what is there at any time: read it
 * once. An access raises SIGBUS if the file has shrunk meanwhile.
 */
VH_API void *vh_memory_at(const struct vh_memory *memory, vh_gpa guest,
			  uint64_t size);

/*
 * Translates a front-end address of a range of size bytes (at least 1) into
 * the guest address. -EFAULT if it doesn't lie in one region.
 */
VH_API VH_MUST_CHECK int vh_memory_user_to_guest(const struct vh_memory *memory,
						 struct vh_user_addr user,
						 uint64_t size,
						 vh_gpa *ret_guest);

/*
 * The converse: where the front-end sees a range of guest memory.
 * -EFAULT if it doesn't lie in one region.
 */
VH_API VH_MUST_CHECK int vh_memory_guest_to_user(const struct vh_memory *memory,
						 vh_gpa guest, uint64_t size,
						 struct vh_user_addr *ret_user);

/*
 * Survives guests whose memory vanishes. A peer can shrink the file behind
 * a region after it was mapped; the next access raises SIGBUS, which ends
 * the process. After this call (once in a program, before any back-end
 * starts; it installs a handler for SIGBUS) a worker that hits such a hole,
 * in its own code or in a callback of the device, gets zeroes, and the fault
 * (VH_FAULT_MEM_VANISHED) breaks the queues of that device and nothing else.
 * A SIGBUS from anywhere else goes to the handler that was there before.
 * Nothing else in the library touches a signal. A second call changes
 * nothing. 0, or the negative errno of sigaction().
 */
VH_API VH_MUST_CHECK int vh_memory_catch_sigbus(void);

#ifdef __cplusplus
}
#endif

#endif /* LIBVHOST_MEMORY_H */
