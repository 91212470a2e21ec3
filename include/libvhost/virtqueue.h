/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * libvhost: the device side of a virtqueue (virtio, "Split Virtqueues" and
 * "Packed Virtqueues"). The driver's side is in <libvhost/driver.h>.
 *
 * A virtqueue belongs to one thread at a time. After vh_virtqueue_new() it
 * allocates nothing and makes no system call, unless its map or its log
 * changes. Everything that the driver writes is read once, into private
 * memory, and checked there; our own indices are never read back. When the
 * driver breaks a rule the queue is broken: it stays so until it is freed,
 * gives no more chains, takes completions without a word, and
 * vh_virtqueue_fault() says why.
 *
 * Most devices don't use this header: they give callbacks to
 * <libvhost/device.h>, which runs the queues for them.
 */
#ifndef LIBVHOST_VIRTQUEUE_H
#define LIBVHOST_VIRTQUEUE_H

#include <libvhost/base.h>
#include <libvhost/memory.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VH_VIRTQUEUE_MAX_SIZE 32768
/* The most that one call of vh_virtqueue_pop() gives. */
#define VH_VIRTQUEUE_BURST 32

struct vh_virtqueue;

/*
 * A request: the buffers of one descriptor chain, checked and translated.
 * readable[] is what the driver wrote for the device, writable[] is what
 * the device may fill; the pieces point into guest memory, which the driver
 * can change at any time: read it once. The arrays and this struct are the
 * device's, to change as it likes, from vh_virtqueue_pop() until
 * vh_virtqueue_push().
 *
 * One descriptor gives more than one piece where it spans two regions, and
 * none where its length is 0.
 */
struct vh_chain {
	struct iovec *readable;
	struct iovec *writable;
	uint32_t readable_size; /* bytes */
	uint32_t writable_size; /* bytes */
	uint16_t readable_count;
	uint16_t writable_count;
	uint16_t descriptors; /* of which the chain consisted */
	uint16_t head; /* index of the first descriptor; packed: its id */
	void *user;    /* the device's own; NULL after pop */
};

/* A chain that is one buffer; see vh_virtqueue_pop_buffers(). */
struct vh_buffer {
	void *data;
	uint32_t size; /* bytes */
	uint16_t head; /* as in struct vh_chain */
	bool is_writable;
};

struct vh_virtqueue_opts {
	size_t size;
	uint32_t index; /* for words in faults */
	/* queue size, at most 32768; a power of two if the ring is split */
	uint32_t num;
	/*
	 * As negotiated. Those that count: INDIRECT_DESC, EVENT_IDX,
	 * RING_PACKED, IN_ORDER.
	 */
	uint64_t features;
	/*
	 * Guest addresses (IOVAs, if memory is an IOTLB) of the Descriptor
	 * Area, the Driver Area and the Device Area. Split: descriptor
	 * table, available ring and used ring, aligned to 16, 2 and 4, of
	 * 16 * num, 6 + 2 * num and 6 + 8 * num bytes. Packed: descriptor
	 * ring and the event suppression structures of driver and device,
	 * aligned to 16, 4 and 4, of 16 * num, 4 and 4 bytes.
	 */
	vh_gpa descriptors;
	vh_gpa available;
	vh_gpa used;
	/*
	 * Where to begin. Split: the next available index, free-running.
	 * Packed: bits 0-14 the place of the next available descriptor, bit
	 * 15 its wrap counter, bits 16-30 and 31 the same for the next used
	 * one (vhost-user, "Vring base").
	 */
	uint32_t base;
	/*
	 * most pieces in a chain; 0: one for each descriptor (at least 1024,
	 * since drivers make indirect tables that are longer than the ring)
	 * and one more for each region or IOTLB entry that there can be
	 */
	uint16_t max_segments;
	/*
	 * NULL, or the part of a shared area that tracks this queue's
	 * requests (vhost-user, "Inflight I/O tracking"), of inflight_size
	 * bytes. Requests that it says were in flight are popped first, in
	 * their old order; base doesn't count then, but must be in the ring
	 * if that is packed. All zero: a fresh one.
	 * It stays the caller's, and mapped as long as the queue lives.
	 */
	void *inflight;
	size_t inflight_size;
};

/* Where a fresh ring begins: see vh_virtqueue_opts.base. */
#define VH_VIRTQUEUE_FRESH_SPLIT  UINT32_C(0)
#define VH_VIRTQUEUE_FRESH_PACKED UINT32_C(0x80008000)

/* Bytes that an area needs for one queue of num descriptors. */
#define VH_VIRTQUEUE_INFLIGHT_SIZE(num)	       (16 + 16 * (size_t)(num))
#define VH_VIRTQUEUE_INFLIGHT_SIZE_PACKED(num) (32 + 32 * (size_t)(num))

/*
 * Makes the device side of a ring. Each of the three parts must lie in one
 * region. Behind an IOTLB it may be scattered, by pages that can be mapped a
 * second time, beside each other: those of ordinary shared memory can, those of
 * huge pages only as a whole. The index of a split used ring is taken from
 * guest memory once, here. If memory is an IOTLB that doesn't have all of the
 * ring yet, the queue waits for it: see vh_virtqueue_missing(). Takes a
 * reference on memory; *opts is copied. Errors, with words in *fault if that
 * isn't NULL:
 *   -EINVAL  num is no size that the ring can have, opts->size is 0, or base
 *            is outside the ring
 *   -E2BIG   *opts is of a newer library
 *   -EFAULT  a part is misaligned, or doesn't lie so
 *   -EINVAL  the in-flight area is too small or contradicts the ring
 *   -ENOMEM
 */
VH_API VH_MUST_CHECK int vh_virtqueue_new(const struct vh_virtqueue_opts *opts,
					  struct vh_memory *memory,
					  struct vh_fault *fault,
					  struct vh_virtqueue **ret_queue);

/*
 * Frees it and lets go of its maps; chains that weren't pushed become
 * invalid. NULL is fine.
 */
VH_API void vh_virtqueue_free(struct vh_virtqueue *queue);

/*
 * Moves to another map, on which it takes a reference. Chains that were
 * popped before keep the old one alive until they are pushed.
 *   -EAGAIN  chains of three earlier maps are still in flight
 *   -EFAULT  a ring part isn't mapped any more, or can't be; the queue is
 *            broken. (An IOTLB that has no such entry makes it wait instead.)
 *   -EINVAL, -ENOMEM  the ring is there at last, and vh_virtqueue_new() would
 *            have said so; the queue is broken
 */
VH_API VH_MUST_CHECK int vh_virtqueue_set_memory(struct vh_virtqueue *queue,
						 struct vh_memory *memory);

/*
 * From the next chain on, logs what the device writes: all written bytes of
 * completed chains, and, if ring is true, what is written to the ring itself
 * (vhost-user, "Migration"): a split used ring as if it lay at ring_at, of a
 * packed ring the descriptors where they are and the device's event
 * suppression at ring_at; behind an IOTLB everything is logged where it is.
 * NULL ends it. Takes a reference on log. Chains that were popped before
 * aren't logged, and the old log stays until they are pushed:
 * vh_virtqueue_holds_old_memory() says when. -EAGAIN as
 * vh_virtqueue_set_memory(); -ENOMEM.
 */
VH_API VH_MUST_CHECK int vh_virtqueue_set_log(struct vh_virtqueue *queue,
					      struct vh_dirty_log *log,
					      bool ring, vh_gpa ring_at);

/* True while a chain in flight holds an earlier map or log. */
VH_API bool vh_virtqueue_holds_old_memory(const struct vh_virtqueue *queue);

/*
 * True if the queue waits for an address that its IOTLB doesn't have, which
 * is told with the access that is wanted; ask for it, and give an IOTLB that
 * has it to vh_virtqueue_set_memory().
 */
VH_API bool vh_virtqueue_missing(const struct vh_virtqueue *queue,
				 vh_gpa *ret_iova, uint32_t *ret_access);

/*
 * Takes up to max chains (at most VH_VIRTQUEUE_BURST are given) that the
 * driver made available, in its order (virtio, "The Virtqueue Available
 * Ring", "Supplying Buffers to The Device"). Returns their number, 0 if there
 * are none, or -EPROTO if the queue is broken. Good chains before a bad one
 * are given first. A chain of very many pieces in a very large queue may have
 * to wait until others are pushed.
 */
VH_API VH_MUST_CHECK int vh_virtqueue_pop(struct vh_virtqueue *queue,
					  struct vh_chain *chains[],
					  unsigned int max);

/*
 * Returns a chain of this queue, in any order, with the number of bytes that
 * were written to its writable part, from its beginning and without gaps
 * (more than writable_size is cut to that). The driver sees it after
 * vh_virtqueue_publish(); the chain isn't the device's any more at once. With
 * IN_ORDER it waits until all chains that were popped before are pushed.
 */
VH_API void vh_virtqueue_push(struct vh_virtqueue *queue,
			      struct vh_chain *chain, uint32_t written);

/*
 * vh_virtqueue_push() for so many chains, in this order: written[i] bytes of
 * chains[i].
 */
VH_API void vh_virtqueue_push_many(struct vh_virtqueue *queue,
				   struct vh_chain *const chains[],
				   const uint32_t written[],
				   unsigned int count);

/*
 * vh_virtqueue_pop() for devices that are done with a buffer at once: takes
 * up to max chains of one buffer each, without a request for them. Push all
 * of them before the next call with this queue. Returns their number; it is
 * less, or 0, if the next chain isn't like that, if completions have to wait
 * for others (IN_ORDER), and always with a log, an IOTLB or requests that are
 * tracked in shared memory: pop then. Nothing notes which heads are out, so a
 * driver that offers one twice gets it back twice. -EPROTO if the queue is
 * broken.
 */
VH_API VH_MUST_CHECK int vh_virtqueue_pop_buffers(struct vh_virtqueue *queue,
						  struct vh_buffer buffers[],
						  unsigned int max);

/*
 * Returns all that vh_virtqueue_pop_buffers() gave, in its order: written[i]
 * bytes of buffers[i], cut to its size if it is writable, else to 0. The
 * driver sees them after vh_virtqueue_publish().
 */
VH_API void vh_virtqueue_push_buffers(struct vh_virtqueue *queue,
				      const struct vh_buffer buffers[],
				      const uint32_t written[],
				      unsigned int count);

/*
 * vh_virtqueue_push() for threads that the queue doesn't belong to: puts the
 * chain on a list, without a lock. True if the list was empty: see to it that
 * the owner calls vh_virtqueue_take_remote(). The queue must not be freed
 * before that.
 */
VH_API VH_MUST_CHECK bool vh_virtqueue_push_remote(struct vh_virtqueue *queue,
						   struct vh_chain *chain,
						   uint32_t written);

/*
 * The owner pushes what other threads put on the list, in the order in which
 * they did. Returns how many.
 */
VH_API unsigned int vh_virtqueue_take_remote(struct vh_virtqueue *queue);

/*
 * Shows the driver what was pushed since the last call (virtio, "The
 * Virtqueue Used Ring", "Receiving Used Buffers From The Device"). Returns 1
 * if it wants to be called (interrupted: "Used Buffer Notification
 * Suppression", "Driver and Device Event Suppression"), 0 if not, if there
 * was nothing, or if the queue is broken.
 */
VH_API VH_MUST_CHECK int vh_virtqueue_publish(struct vh_virtqueue *queue);

/*
 * Asks the driver for kicks (virtio, "Available Buffer Notification
 * Suppression"). Returns 1 if chains came in meanwhile (a kick may have been
 * left out: pop again before sleeping), else 0, on a broken queue too.
 */
VH_API VH_MUST_CHECK int vh_virtqueue_enable_kick(struct vh_virtqueue *queue);

/*
 * Tells the driver that it needn't kick: the device is awake. It is advice;
 * the driver may kick nevertheless.
 */
VH_API void vh_virtqueue_disable_kick(struct vh_virtqueue *queue);

/*
 * True if there is a chain that could be popped; false on a broken queue and
 * on one that waits for its IOTLB.
 */
VH_API bool vh_virtqueue_pending(const struct vh_virtqueue *queue);

/*
 * Where the ring goes on, in the format of vh_virtqueue_opts.base: what
 * GET_VRING_BASE tells.
 */
VH_API uint32_t vh_virtqueue_base(const struct vh_virtqueue *queue);

/* The number of chains that were popped and not pushed. */
VH_API unsigned int vh_virtqueue_inflight(const struct vh_virtqueue *queue);

/*
 * The number of requests that the in-flight area named and that weren't
 * popped yet.
 */
VH_API unsigned int vh_virtqueue_unrecovered(const struct vh_virtqueue *queue);

/*
 * Makes one queue's part of an in-flight area a fresh one: the driver was
 * reset and has forgotten its requests. Not while a queue uses it.
 */
VH_API void vh_virtqueue_forget_inflight(void *inflight);

/*
 * Breaks the queue for a reason of the device's own: code is VH_FAULT_...,
 * section a literal (it isn't copied) or NULL, format one for printf(). The
 * first reason stays.
 */
VH_API void vh_virtqueue_break(struct vh_virtqueue *queue, uint32_t code,
			       const char *section, const char *format, ...)
    VH_PRINTF(4, 5);

/* Why the queue is broken, or NULL if it isn't. Valid as long as the queue. */
VH_API const struct vh_fault *
vh_virtqueue_fault(const struct vh_virtqueue *queue);

#ifdef __cplusplus
}
#endif

#endif /* LIBVHOST_VIRTQUEUE_H */
