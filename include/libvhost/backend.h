/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * libvhost: a back-end is a value.
 *
 * A back-end consumes a device's virtqueues, wherever it lives: in this
 * process (vh_device_new()), in another one, in the kernel or in hardware.
 * Each kind gives the same handle, and every vhost operation is a function
 * on it, one to one with the protocol. What a back-end can't do answers
 * -EOPNOTSUPP; nothing is emulated.
 *
 * Addresses are guest addresses throughout: guest-physical, or IOVAs once
 * VIRTIO_F_ACCESS_PLATFORM is negotiated. Descriptors that are handed in are
 * duplicated and stay the caller's.
 *
 * Threads: one thread at a time drives a back-end (the control side); the
 * data plane runs elsewhere. Functions that change a running queue return
 * when the change has taken effect.
 *
 * Errors: a negative errno, and vh_backend_fault() has the words. Besides
 * those that are listed, every function may return -EOPNOTSUPP, -ENOMEM, and
 * -ENODEV when the back-end is gone (its process died, its device was
 * removed).
 */
#ifndef LIBVHOST_BACKEND_H
#define LIBVHOST_BACKEND_H

#include <libvhost/base.h>
#include <libvhost/memory.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vh_backend;

/* What a back-end can do beyond the basics; see vh_backend_capabilities(). */
#define VH_CAP_CONFIG	(UINT64_C(1) << 0) /* get_config, set_config */
#define VH_CAP_STATUS	(UINT64_C(1) << 1) /* get_status, set_status */
#define VH_CAP_RESET	(UINT64_C(1) << 2) /* reset_device */
#define VH_CAP_REGIONS	(UINT64_C(1) << 3) /* add_region, remove_region */
#define VH_CAP_INFLIGHT (UINT64_C(1) << 4) /* get_inflight, set_inflight */
#define VH_CAP_LOG	(UINT64_C(1) << 5) /* set_log_base, set_log_fd */
#define VH_CAP_IOTLB	(UINT64_C(1) << 6) /* iotlb_update, iotlb_invalidate */
/* What <libvhost/special.h> has functions for. */
#define VH_CAP_RARP	     (UINT64_C(1) << 16) /* send_rarp */
#define VH_CAP_MTU	     (UINT64_C(1) << 17) /* set_mtu */
#define VH_CAP_ENDIAN	     (UINT64_C(1) << 18) /* set_vring_endian */
#define VH_CAP_CRYPTO	     (UINT64_C(1) << 19) /* ..._crypto_session */
#define VH_CAP_POSTCOPY	     (UINT64_C(1) << 20) /* postcopy_... */
#define VH_CAP_INBAND	     (UINT64_C(1) << 21) /* kick_vring */
#define VH_CAP_SHARED_OBJECT (UINT64_C(1) << 22) /* get_shared_object */
#define VH_CAP_DEVICE_STATE  (UINT64_C(1) << 23) /* ..._device_state... */
#define VH_CAP_SHMEM	     (UINT64_C(1) << 24) /* get_shmem_config */
#define VH_CAP_SKIP_DRAIN    (UINT64_C(1) << 25) /* ..._skip_drain */
#define VH_CAP_GPU	     (UINT64_C(1) << 26) /* set_gpu_socket */
/* It may send the event host_notifier. */
#define VH_CAP_HOST_NOTIFIER (UINT64_C(1) << 27)

/* Where a ring is, in guest addresses (vhost-user, "vring address"). */
struct vh_vring_addr {
	vh_gpa descriptors;
	vh_gpa available;
	vh_gpa used;
	vh_gpa log;	/* where writes to the used ring are logged */
	uint32_t flags; /* VH_VRING_F_... */
};

#define VH_VRING_F_LOG 1u /* log writes to the used ring */

/* Who writes the config space (vhost-user, "Virtio device config space"). */
enum {
	VH_CONFIG_BY_DRIVER = 0,    /* the guest: read-only fields refuse */
	VH_CONFIG_BY_MIGRATION = 1, /* the front-end restores everything */
};

/* An area that tracks requests in flight ("Inflight description"). */
struct vh_inflight {
	uint64_t mmap_size; /* bytes */
	uint64_t mmap_offset;
	uint16_t num_queues;
	uint16_t queue_size;
};

/* Where a dirty log is in its file, in bytes ("Log description"). */
struct vh_log_area {
	uint64_t size;
	uint64_t offset;
};

/* Where a queue's doorbell is in a device's file: one page. */
struct vh_notify_area {
	uint64_t offset; /* bytes */
	uint64_t size;
};

/*
 * A part of one of the device's shared memory regions (virtio, "Shared Memory
 * Regions"; vhost-user, "mmap request").
 */
struct vh_shmem_map {
	uint8_t id; /* of the region */
	bool writable;
	uint64_t fd_offset; /* bytes, in the file that is mapped */
	uint64_t offset;    /* bytes, in the region */
	uint64_t length;
};

/*
 * What a back-end tells its front-end unasked. Called from any thread, the
 * data plane's included: hand it over to your own loop and return. Any
 * member may be NULL.
 */
struct vh_backend_events {
	size_t size;
	/* the config space changed: read it again */
	void (*config_changed)(void *user);
	/* a queue broke, for the reason in *fault (valid during the call) */
	void (*vring_fault)(void *user, const struct vh_fault *fault);
	/*
	 * a ring waits for an entry of the IOTLB: give it one by
	 * vh_backend_iotlb_update(); access is VH_ACCESS_...
	 */
	void (*iotlb_miss)(void *user, vh_gpa iova, uint32_t access);
	/*
	 * the back-end is gone (its process died, its device was removed):
	 * all that is left to do with the handle is to free it
	 */
	void (*gone)(void *user);
	/*
	 * Requests of a back-end elsewhere. Each is answered with 0 or a
	 * negative errno; one without a receiver is refused. Descriptors stay
	 * the back-end's: duplicate what must last.
	 *
	 * host_notifier: kicks of a queue may be writes to this page of the
	 * device behind fd; -1: not any more.
	 */
	int (*host_notifier)(void *user, uint32_t queue,
			     const struct vh_notify_area *area, int fd);
	/* there are used buffers, in a ring without a call descriptor */
	int (*vring_call)(void *user, uint32_t queue);
	/* objects shared between devices, by their UUID of 16 bytes */
	int (*shared_object_add)(void *user, const uint8_t *uuid);
	int (*shared_object_remove)(void *user, const uint8_t *uuid);
	/* *ret_fd is the back-end's from then on */
	int (*shared_object_lookup)(void *user, const uint8_t *uuid,
				    int *ret_fd);
	/*
	 * maps a file into a shared memory region, or takes all of such a
	 * mapping back; whether it fits the region is to be checked here
	 */
	int (*shmem_map)(void *user, const struct vh_shmem_map *map, int fd);
	int (*shmem_unmap)(void *user, const struct vh_shmem_map *map);
};

/*
 * Stops it, when its requests are done, and frees it. NULL is fine. A server
 * on it must be freed before.
 */
VH_API void vh_backend_free(struct vh_backend *backend);

/*
 * Why the last function on this handle failed; its code is VH_FAULT_NONE
 * after a success. Valid until the next call on the handle.
 */
VH_API const struct vh_fault *
vh_backend_fault(const struct vh_backend *backend);

/* VH_CAP_... of this back-end; constant, so any thread may ask. */
VH_API uint64_t vh_backend_capabilities(const struct vh_backend *backend);

/*
 * Sets who hears of events; NULL for nobody. When it returns, no call to the
 * earlier receiver is under way, so it must not be called from within one.
 * *events is copied, and user given to each of its functions. -EINVAL: its
 * size is 0; -E2BIG: it is of a newer library.
 */
VH_API VH_MUST_CHECK int
vh_backend_set_events(struct vh_backend *backend,
		      const struct vh_backend_events *events, void *user);

/*
 * The descriptor that becomes readable when vh_backend_dispatch() has
 * something to do. It stays the back-end's and is always the same.
 * -EOPNOTSUPP: nothing is ever to be dispatched.
 */
VH_API VH_MUST_CHECK int vh_backend_fd(struct vh_backend *backend);

/*
 * Does what there is to do, without waiting: takes in what a back-end in
 * another process says, or runs the queues of one in the caller's loop. Must
 * be called from the thread that drives the back-end. -ENODEV: it is gone.
 */
VH_API VH_MUST_CHECK int vh_backend_dispatch(struct vh_backend *backend);

/* The session begins (SET_OWNER). Saying so again changes nothing. */
VH_API VH_MUST_CHECK int vh_backend_set_owner(struct vh_backend *backend);

/*
 * The front-end is gone: stops every ring when its requests are done, or
 * answered with an error if that takes them more than a second; lets go of
 * memory, rings and descriptors and puts everything back to how a new
 * front-end expects it. It does all of that even if it returns an error.
 */
VH_API VH_MUST_CHECK int vh_backend_release(struct vh_backend *backend);

/*
 * Feature bits that can be set (GET_FEATURES), virtio's and VHOST_F_....
 * Bit 30 is the vhost-user protocol's own and isn't among them.
 */
VH_API VH_MUST_CHECK int vh_backend_get_features(struct vh_backend *backend,
						 uint64_t *ret_features);

/*
 * Negotiates (SET_FEATURES). -EINVAL: a bit that isn't offered; -EBUSY:
 * other bits than those for logging changed while a ring is started; and
 * what the device refuses them with.
 */
VH_API VH_MUST_CHECK int vh_backend_set_features(struct vh_backend *backend,
						 uint64_t features);

/* The number of queues that there can be (GET_QUEUE_NUM). */
VH_API VH_MUST_CHECK int vh_backend_get_queue_num(struct vh_backend *backend,
						  uint32_t *ret_queues);

/* The most memory regions (GET_MAX_MEM_SLOTS). */
VH_API VH_MUST_CHECK int
vh_backend_get_max_mem_slots(struct vh_backend *backend, uint32_t *ret_slots);

/*
 * Replaces the whole memory map (SET_MEM_TABLE) by count regions; 0 leaves
 * none. All or nothing: on failure the map is what it was. Returns when no
 * request uses the old map any more, while rings go on with the new one.
 * Errors are those of vh_memory_add(). A started ring whose parts aren't
 * mapped any more breaks.
 */
VH_API VH_MUST_CHECK int
vh_backend_set_mem_table(struct vh_backend *backend,
			 const struct vh_region regions[], unsigned int count);

/*
 * Adds one region (ADD_MEM_REG) while the others and their traffic go on.
 * Errors are those of vh_memory_add().
 */
VH_API VH_MUST_CHECK int vh_backend_add_region(struct vh_backend *backend,
					       const struct vh_region *region);

/*
 * Removes one region (REM_MEM_REG), found by its addresses and size. Returns
 * when no request uses it any more and it is unmapped. -ENOENT: there is no
 * such region. A started ring whose parts were in it breaks.
 */
VH_API VH_MUST_CHECK int
vh_backend_remove_region(struct vh_backend *backend,
			 const struct vh_region *region);

/*
 * The size of a ring in descriptors (SET_VRING_NUM). -EINVAL: 0, more than
 * the back-end takes, or not a power of two and VH_F_RING_PACKED isn't
 * negotiated; -EBUSY: the ring is started. This and the following: -ERANGE:
 * there is no such queue.
 */
VH_API VH_MUST_CHECK int vh_backend_set_vring_num(struct vh_backend *backend,
						  uint32_t queue, uint32_t num);

/*
 * Where a ring is (SET_VRING_ADDR). -EFAULT: misaligned or not mapped;
 * -EBUSY: the ring is started and not only the flags differ; -EOPNOTSUPP:
 * VH_VRING_F_LOG, and the back-end doesn't log.
 */
VH_API VH_MUST_CHECK int
vh_backend_set_vring_addr(struct vh_backend *backend, uint32_t queue,
			  const struct vh_vring_addr *addr);

/*
 * Where a ring continues (SET_VRING_BASE), in the format of
 * vh_virtqueue_opts.base. A packed ring that was never used, and whose
 * front-end says 0 as for a split one, begins afresh. -EBUSY: the ring is
 * started; -EINVAL: bits that the ring format doesn't have.
 */
VH_API VH_MUST_CHECK int vh_backend_set_vring_base(struct vh_backend *backend,
						   uint32_t queue,
						   uint32_t base);

/*
 * Stops a ring after all its requests are done, and says where it got to, in
 * the format of vh_backend_set_vring_base() (GET_VRING_BASE). On a stopped
 * ring: where it will start.
 */
VH_API VH_MUST_CHECK int vh_backend_get_vring_base(struct vh_backend *backend,
						   uint32_t queue,
						   uint32_t *ret_base);

/*
 * Sets the eventfd by which the driver announces buffers, or -1: poll the
 * ring. Starts the ring if it is stopped (SET_VRING_KICK; "Ring states").
 * -EINVAL: size or address weren't set, or fd is no eventfd, pipe or socket;
 * -EFAULT: the ring isn't mapped any more; -EMFILE, -EAGAIN: descriptors or
 * threads are short; and what the device refuses the start with. On failure
 * the ring stays as it was.
 */
VH_API VH_MUST_CHECK int vh_backend_set_vring_kick(struct vh_backend *backend,
						   uint32_t queue, int fd);

/*
 * The eventfd to announce used buffers with, or -1 (SET_VRING_CALL). A
 * started ring signals it at once, for what was used before. -EINVAL: no
 * eventfd, pipe or socket; -EMFILE.
 */
VH_API VH_MUST_CHECK int vh_backend_set_vring_call(struct vh_backend *backend,
						   uint32_t queue, int fd);

/*
 * The eventfd to announce a broken ring with, or -1 (SET_VRING_ERR). Errors
 * are those of vh_backend_set_vring_call(). If the ring is broken already it
 * is signalled at once.
 */
VH_API VH_MUST_CHECK int vh_backend_set_vring_err(struct vh_backend *backend,
						  uint32_t queue, int fd);

/*
 * Enables or disables a ring (SET_VRING_ENABLE; "Ring states"), started or
 * not. A ring begins disabled. Of a disabled one that is started nothing is
 * taken.
 */
VH_API VH_MUST_CHECK int vh_backend_set_vring_enable(struct vh_backend *backend,
						     uint32_t queue,
						     bool enable);

/* The size of the config space in bytes; 0 if the device has none. */
VH_API VH_MUST_CHECK int vh_backend_get_config_size(struct vh_backend *backend,
						    uint32_t *ret_size);

/*
 * Reads size bytes of it (GET_CONFIG). -EINVAL: size is 0 or the range is
 * outside.
 */
VH_API VH_MUST_CHECK int vh_backend_get_config(struct vh_backend *backend,
					       uint32_t offset, void *buffer,
					       uint32_t size);

/*
 * Writes to it (SET_CONFIG); by is VH_CONFIG_BY_.... -EINVAL: size is 0, the
 * range is outside or the value is none of those allowed; -EACCES: read-only
 * for the driver.
 */
VH_API VH_MUST_CHECK int vh_backend_set_config(struct vh_backend *backend,
					       uint32_t offset,
					       const void *buffer,
					       uint32_t size, uint32_t by);

/*
 * The virtio device status (GET_STATUS; virtio, "Device Status Field").
 * DEVICE_NEEDS_RESET is set in it while a queue is broken. Setting it doesn't
 * touch the rings: front-ends clear it before they fetch the rings'
 * positions.
 */
VH_API VH_MUST_CHECK int vh_backend_get_status(struct vh_backend *backend,
					       uint8_t *ret_status);

/*
 * Sets the virtio device status (SET_STATUS); see vh_backend_get_status().
 * DEVICE_NEEDS_RESET is the back-end's to set and is ignored.
 */
VH_API VH_MUST_CHECK int vh_backend_set_status(struct vh_backend *backend,
					       uint8_t status);

/*
 * Stops all rings when their requests are done, disables them and resets
 * the device (RESET_DEVICE): features, status, ring sizes, addresses and
 * bases are forgotten. Memory, call and err descriptors and the owner stay.
 */
VH_API VH_MUST_CHECK int vh_backend_reset_device(struct vh_backend *backend);

/*
 * Makes an area in which requests in flight are tracked (GET_INFLIGHT_FD):
 * reads num_queues and queue_size of *inflight and fills in the rest. The
 * descriptor is the caller's, to be closed. -EINVAL: the numbers; -EMFILE.
 * It is used after vh_backend_set_inflight().
 */
VH_API VH_MUST_CHECK int vh_backend_get_inflight(struct vh_backend *backend,
						 struct vh_inflight *inflight,
						 int *ret_fd);

/*
 * Tracks in this area from the next start of a ring on, and takes up what
 * the area says was in flight (SET_INFLIGHT_FD). -EINVAL: the area doesn't
 * fit its description or its file; -EBUSY: a ring is started.
 */
VH_API VH_MUST_CHECK int
vh_backend_set_inflight(struct vh_backend *backend,
			const struct vh_inflight *inflight, int fd);

/*
 * Where to log what is written to guest memory, and to the rings that were
 * given VH_VRING_F_LOG (SET_LOG_BASE); it is logged while VH_F_LOG_ALL is
 * among the features. fd stays the caller's; -1 ends it. May change while
 * rings run: returns when nothing is logged to an earlier area any more.
 * Errors are those of vh_dirty_log_new().
 */
VH_API VH_MUST_CHECK int vh_backend_set_log_base(struct vh_backend *backend,
						 const struct vh_log_area *area,
						 int fd);

/*
 * An eventfd to signal when something was logged, or -1 (SET_LOG_FD).
 * Errors are those of vh_backend_set_vring_call().
 */
VH_API VH_MUST_CHECK int vh_backend_set_log_fd(struct vh_backend *backend,
					       int fd);

/*
 * Adds an entry to the IOTLB (VHOST_IOTLB_UPDATE; vhost-user, "IOMMU
 * support"), which counts once VH_F_ACCESS_PLATFORM is negotiated. Rings that
 * wait for it go on. Errors are those of vh_iotlb_update(). After one of the
 * back-end's own nothing of the entry is in there, and perhaps nothing more of
 * what was there of its IOVAs.
 */
VH_API VH_MUST_CHECK int
vh_backend_iotlb_update(struct vh_backend *backend,
			const struct vh_iotlb_entry *entry);

/*
 * Takes a range of IOVAs out of the IOTLB (VHOST_IOTLB_INVALIDATE). Returns
 * when no request uses it any more. A ring that lies in it waits. A range that
 * wraps ends at 2^64. -EINVAL: the size is 0.
 */
VH_API VH_MUST_CHECK int vh_backend_iotlb_invalidate(struct vh_backend *backend,
						     vh_gpa iova,
						     uint64_t size);

/*
 * Feature bits of the interface to the kernel, VH_BACKEND_F_...
 * (GET_BACKEND_FEATURES). -EOPNOTSUPP: this isn't a driver of the kernel, or
 * one that has none.
 */
VH_API VH_MUST_CHECK int
vh_backend_get_backend_features(struct vh_backend *backend,
				uint64_t *ret_features);

/*
 * Agrees on some of them (SET_BACKEND_FEATURES); best before anything else.
 * -EINVAL: a bit that isn't offered.
 */
VH_API VH_MUST_CHECK int
vh_backend_set_backend_features(struct vh_backend *backend, uint64_t features);

#ifdef __cplusplus
}
#endif

#endif /* LIBVHOST_BACKEND_H */
