/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * libvhost: the driver side of a virtqueue (virtio, "Split Virtqueues" and
 * "Packed Virtqueues"), for virtual machine monitors without a guest, for
 * tools, tests and measurements.
 *
 * A driver queue belongs to one thread at a time, allocates nothing after
 * vh_driver_queue_new() and makes no system call:
 *
 *	vh_driver_queue_add(queue, &header, 1, data, 2, request);
 *	if (vh_driver_queue_publish(queue))
 *		write(kick, &one, sizeof(one));
 *	n = vh_driver_queue_collect(queue, used, 32);
 *
 * It distrusts the device as a device distrusts the driver: what lies in the
 * ring is read once and held against what was posted. A device that breaks a
 * rule breaks the queue, which gives nothing any more until it is freed;
 * vh_driver_queue_fault() says why.
 */
#ifndef LIBVHOST_DRIVER_H
#define LIBVHOST_DRIVER_H

#include <libvhost/base.h>
#include <libvhost/memory.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vh_driver_queue;

struct vh_driver_queue_opts {
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
	 * Memory for the ring, vh_driver_queue_size() bytes, aligned to 64,
	 * and its guest address, aligned likewise. It is the caller's, and
	 * must stay as long as the queue.
	 */
	void *ring;
	vh_gpa ring_at;
	/*
	 * Room for a table of so many indirect descriptors for each chain;
	 * chains of 2 to so many buffers use it. 0, or without
	 * INDIRECT_DESC: none do.
	 */
	uint32_t table_entries;
	/*
	 * Where buffers lie: addresses in iovecs are the user addresses of
	 * its regions. Takes a reference. NULL: they are guest addresses (or
	 * IOVAs) as they are.
	 */
	struct vh_memory *memory;
	/*
	 * Where a split ring begins: both indices. A packed ring always
	 * begins afresh.
	 */
	uint16_t base;
};

/* Bytes of memory for the ring and its tables; 0 if no ring has that size. */
VH_API size_t vh_driver_queue_size(uint32_t num, uint64_t features,
				   uint32_t table_entries);

/*
 * Makes the driver side of a ring and writes a fresh one to opts->ring.
 *   -EINVAL  num is no size that the ring can have, ring is NULL or
 *            misaligned, ring_at is misaligned or the ring behind it wraps
 *            2^64, or opts->size is 0
 *   -E2BIG   *opts is of a newer library
 *   -ENOMEM
 */
VH_API VH_MUST_CHECK int
vh_driver_queue_new(const struct vh_driver_queue_opts *opts,
		    struct vh_fault *fault, struct vh_driver_queue **ret_queue);

/* Frees it; buffers in flight are the caller's business. NULL is fine. */
VH_API void vh_driver_queue_free(struct vh_driver_queue *queue);

/*
 * Guest addresses of the three parts, as SET_VRING_ADDR and
 * vh_virtqueue_opts want them.
 */
VH_API void vh_driver_queue_addresses(const struct vh_driver_queue *queue,
				      vh_gpa *ret_descriptors,
				      vh_gpa *ret_available, vh_gpa *ret_used);

/*
 * Where a device begins that is to take this ring as it is now, if nothing is
 * in flight: for SET_VRING_BASE and vh_virtqueue_opts.base.
 */
VH_API uint32_t vh_driver_queue_base(const struct vh_driver_queue *queue);

/*
 * Adds a chain of buffers, which the device sees after
 * vh_driver_queue_publish(). They are the device's until
 * vh_driver_queue_collect() gives token back. All or nothing:
 *   -ENOSPC  there are too few free descriptors just now
 *   -EINVAL  no buffers, more than the queue has descriptors, or one is of
 *            more than 2^32 - 1 bytes, or all are together
 *   -EFAULT  a buffer doesn't lie in one region of opts->memory (one of no
 *            bytes must begin in one); without that, it wraps 2^64
 *   -EPROTO  the queue is broken
 */
VH_API VH_MUST_CHECK int vh_driver_queue_add(struct vh_driver_queue *queue,
					     const struct iovec readable[],
					     unsigned int readable_count,
					     const struct iovec writable[],
					     unsigned int writable_count,
					     void *token);

/*
 * Shows the device what was added since the last call. True if it wants a
 * kick (virtio, "Available Buffer Notification Suppression", "Driver and
 * Device Event Suppression").
 */
VH_API VH_MUST_CHECK bool
vh_driver_queue_publish(struct vh_driver_queue *queue);

/* A chain that came back. */
struct vh_driver_used {
	void *token;
	uint32_t written; /* bytes of the writable buffers, from the first */
};

/*
 * Takes up to max chains that the device has used. Returns their number, 0 if
 * there are none, or -EPROTO if the queue is broken: the device named an id
 * that isn't in flight, wrote more than there was room, or moved its index
 * beyond what is in flight; good ones before that are given first. With
 * IN_ORDER, chains that were skipped count as written in full.
 */
VH_API VH_MUST_CHECK int vh_driver_queue_collect(struct vh_driver_queue *queue,
						 struct vh_driver_used used[],
						 unsigned int max);

/* Tells the device that it needn't call: the driver polls. Advice only. */
VH_API void vh_driver_queue_disable_calls(struct vh_driver_queue *queue);

/*
 * Asks for a call at the next used chain (virtio, "Used Buffer Notification
 * Suppression"). True if there are some already, or the queue is broken:
 * collect before sleeping.
 */
VH_API VH_MUST_CHECK bool
vh_driver_queue_enable_calls(struct vh_driver_queue *queue);

/* Chains that were added and not collected. */
VH_API unsigned int
vh_driver_queue_inflight(const struct vh_driver_queue *queue);

/*
 * Free descriptors: a chain takes one for each buffer, or one for a table. 0
 * if the queue is broken.
 */
VH_API unsigned int vh_driver_queue_room(const struct vh_driver_queue *queue);

/* Why the queue is broken, or NULL if it isn't. Valid as long as the queue. */
VH_API const struct vh_fault *
vh_driver_queue_fault(const struct vh_driver_queue *queue);

#ifdef __cplusplus
}
#endif

#endif /* LIBVHOST_DRIVER_H */
