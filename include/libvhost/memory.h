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

/*
 * Makes memory for a machine, for monitors that have none of their own
 * making: size bytes of zeroes at a guest address, mapped into this process.
 * They are in a file (a memfd) that other processes can write to, but not cut
 * or lengthen, so that nobody who gets it can end this process by SIGBUS.
 *   -EINVAL  the size is 0, or guest plus the size wraps 2^64
 *   -ENOMEM, -EMFILE, and what memfd_create(), ftruncate() and mmap() return
 */
VH_API VH_MUST_CHECK int vh_region_new(vh_gpa guest, uint64_t size,
				       struct vh_region *ret_region);

/* Unmaps it, closes its file and sets fd to -1; with an fd of -1: nothing. */
VH_API void vh_region_free(struct vh_region *region);

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
 *   -EINVAL  the size is 0, an address plus the size wraps 2^64, or old is an
 *            IOTLB
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
 * it, old among them, is gone. -ENOENT if there is none, -EINVAL if old is an
 * IOTLB, or -ENOMEM, with words in *fault if that isn't NULL.
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

/*
 * The number of regions, 0 to VH_MEMORY_MAX_REGIONS; of an IOTLB, that of its
 * entries, 0 to VH_IOTLB_MAX_ENTRIES.
 */
VH_API unsigned int vh_memory_count(const struct vh_memory *memory);

/*
 * Describes region number index, in the order of guest addresses; fd is -1.
 * Of an IOTLB it describes the part of a region that entry number index leads
 * to, with its IOVA for guest. -ENOENT if there are not so many.
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
 * An IOTLB is a map, too: one whose addresses are IOVAs (vhost-user, "IOMMU
 * support"). Like any map it is an immutable value; a change makes a new one,
 * and so a worker's answers don't change under its hands. It holds the map of
 * guest memory that its entries lead to. What a virtqueue doesn't find in an
 * IOTLB it waits for; what it isn't allowed to access breaks it, and so does a
 * chain that needs more than half of VH_IOTLB_MAX_ENTRIES when all are in use.
 *
 * All functions that look into a map work on an IOTLB, with an entry for a
 * region and its IOVA for a guest address, whatever access it allows.
 */
#define VH_ACCESS_READ	     1u
#define VH_ACCESS_WRITE	     2u

#define VH_IOTLB_MAX_ENTRIES 4096

/* A range of IOVAs and where it leads. */
struct vh_iotlb_entry {
	vh_gpa iova;
	uint64_t size;	 /* bytes; no alignment of its own */
	vh_gpa guest;	 /* guest-physical address of the first byte */
	uint32_t access; /* VH_ACCESS_... */
};

/*
 * Makes an IOTLB without entries for a map of guest memory, on which it takes
 * a reference. The IOTLB is the caller's. -EINVAL if guest is an IOTLB
 * itself; -ENOMEM.
 */
VH_API VH_MUST_CHECK int vh_iotlb_new(const struct vh_memory *guest,
				      struct vh_memory **ret_iotlb);

/*
 * Makes an IOTLB of old's entries and one more (VHOST_IOTLB_UPDATE). What old
 * has of the same IOVAs gives way, in part if the ranges overlap in part. An
 * entry over several regions of guest memory is kept as several. Neighbours
 * that are neighbours in guest memory, in one region and with the same
 * access, are one. When there are VH_IOTLB_MAX_ENTRIES, some go, since an IOTLB
 * is a cache: those of the lowest IOVAs, but none of the last 3072 that were
 * added. old stays the caller's.
 *   -EINVAL  the size is 0, a range wraps 2^64, access is 0 or unknown, or
 *            old is no IOTLB
 *   -EFAULT  the entry leads outside guest memory
 *   -ENOMEM
 */
VH_API VH_MUST_CHECK int vh_iotlb_update(const struct vh_memory *old,
					 const struct vh_iotlb_entry *entry,
					 struct vh_fault *fault,
					 struct vh_memory **ret_iotlb);

/*
 * Makes an IOTLB without what old has of a range (VHOST_IOTLB_INVALIDATE);
 * entries that overlap its ends keep their rest. A range that wraps ends at
 * 2^64. When that cuts one of VH_IOTLB_MAX_ENTRIES in two, one goes, as above.
 * -EINVAL: the size is 0, or old is no IOTLB; -ENOMEM.
 */
VH_API VH_MUST_CHECK int vh_iotlb_invalidate(const struct vh_memory *old,
					     vh_gpa iova, uint64_t size,
					     struct vh_fault *fault,
					     struct vh_memory **ret_iotlb);

/*
 * Makes an IOTLB for another map of guest memory, of those of old's entries
 * that lead into one region of it, which the front-end sees where it saw the
 * old one. -EINVAL if old is no IOTLB or guest is one; -ENOMEM.
 */
VH_API VH_MUST_CHECK int vh_iotlb_rebase(const struct vh_memory *old,
					 const struct vh_memory *guest,
					 struct vh_memory **ret_iotlb);

/* The map of guest memory under an IOTLB; NULL if memory isn't one. */
VH_API const struct vh_memory *vh_iotlb_guest(const struct vh_memory *memory);

/*
 * A dirty log: one bit for each page of 4096 bytes of guest-physical memory,
 * in memory that is shared with the front-end (vhost-user, "Migration").
 * Bit n of byte m is for page 8 * m + n.
 */
struct vh_dirty_log;

#define VH_DIRTY_LOG_PAGE 4096

/*
 * Maps size bytes at offset of the file behind fd, which stays the caller's.
 *   -EINVAL  size is 0, or offset plus size wraps
 *   -ERANGE  the log ends behind the end of its file, or fd isn't something
 *            that has a length
 *   -ENOMEM, and what mmap() and fstat() return
 */
VH_API VH_MUST_CHECK int vh_dirty_log_new(int fd, uint64_t offset,
					  uint64_t size, struct vh_fault *fault,
					  struct vh_dirty_log **ret_log);

/* Takes another reference; the result is log itself. Any thread. */
VH_API struct vh_dirty_log *vh_dirty_log_ref(struct vh_dirty_log *log);

/* Gives a reference back; the last one unmaps it. NULL is fine. */
VH_API void vh_dirty_log_unref(struct vh_dirty_log *log);

/*
 * Marks the pages of size bytes at guest with atomic OR. Any thread. Pages
 * that the log has no bit for are left out: false if there was one.
 */
VH_API bool vh_dirty_log_mark(struct vh_dirty_log *log, vh_gpa guest,
			      uint64_t size);

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
