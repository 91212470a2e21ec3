/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * libvhost: back-ends in the Linux kernel: vhost-net, vhost-vsock and
 * vhost-scsi.
 *
 *	VH_OPTS(vh_vsock_opts, opts);
 *	opts.path = "/dev/vhost-vsock";
 *	opts.guest_cid = 3;
 *	r = vh_vsock_open(&opts, &fault, &backend);
 *
 * The handle does what <libvhost/backend.h> says, with these limits:
 *
 * - Memory: addresses, sizes and offsets in files are multiples of 4096, and
 *   there are no more regions than the module "vhost" takes. A region
 *   without a descriptor (fd -1) is memory of this process at region.user. An
 *   added or removed region costs the whole table. What vhost-scsi loses while
 *   it runs stays mapped until it stops, since older kernels don't wait for
 *   requests that are in flight.
 * - A ring needs a kick descriptor; the kernel doesn't poll. Descriptors are
 *   eventfds. vhost-net runs each ring that is started and enabled.
 *   vhost-vsock and vhost-scsi run once all their rings are, and stop, all of
 *   them, when the first one is stopped or disabled.
 * - With VH_F_ACCESS_PLATFORM the kernel asks for translations: wait for
 *   vh_backend_fd() and call vh_backend_dispatch(), which calls iotlb_miss. The
 *   used ring must be in the IOTLB before the ring runs (-EFAULT). All entries
 *   go when a region does, and with vh_backend_set_mem_table().
 * - There is no config space and no status: the program has them itself.
 * - The process that calls vh_backend_set_owner() is the one whose memory
 *   the kernel uses, and no other one may go on with the handle.
 * - vh_backend_release() gives the owner up on vhost-net only.
 *
 * Functions on a handle of another kind return -EOPNOTSUPP. They and others
 * return -EOPNOTSUPP, too, for what this kernel is too old for, and -EPERM
 * before vh_backend_set_owner(). The kernel's own refusals are handed on, with
 * words.
 */
#ifndef LIBVHOST_KERNEL_H
#define LIBVHOST_KERNEL_H

#include <libvhost/backend.h>
#include <libvhost/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vh_net_opts {
	size_t size;
	const char *path; /* "/dev/vhost-net", or NULL: fd is such a device */
	int fd;		  /* is duplicated */
	/*
	 * Tap devices or raw sockets, as for vh_net_set_backend(): two, for
	 * receive and transmit, or one for both; NULL: to be set later.
	 */
	const int *taps;
	uint32_t num_taps;
};

/*
 * Opens vhost-net: two rings, 0 receives and 1 transmits. Errors of this and
 * of the other two, with words in *fault if that isn't NULL:
 *   -EINVAL  what opts has can't be
 *   -ENOTTY  this is no such device, or one of another driver
 *   -E2BIG   *opts is of a newer library
 *   -ENOMEM, and what open() returns
 */
VH_API VH_MUST_CHECK int vh_net_open(const struct vh_net_opts *opts,
				     struct vh_fault *fault,
				     struct vh_backend **ret_backend);

/*
 * Which tap device or raw socket a ring moves packets through, or -1: none
 * (NET_SET_BACKEND). fd is duplicated. A ring that runs changes over at once,
 * and with -1 stops until there is another one. -ENOTSOCK: neither a tap
 * device nor a socket; told when the ring runs.
 */
VH_API VH_MUST_CHECK int vh_net_set_backend(struct vh_backend *backend,
					    uint32_t queue, int fd);

struct vh_vsock_opts {
	size_t size;
	const char *path;   /* "/dev/vhost-vsock", or NULL: fd is one */
	int fd;		    /* is duplicated */
	uint64_t guest_cid; /* 0: to be set later */
};

/*
 * Opens vhost-vsock: rings 0 and 1, receive and transmit. The device's event
 * ring is the VMM's own. Errors are those of vh_net_open() and
 * vh_vsock_set_guest_cid().
 */
VH_API VH_MUST_CHECK int vh_vsock_open(const struct vh_vsock_opts *opts,
				       struct vh_fault *fault,
				       struct vh_backend **ret_backend);

/*
 * The guest's address (VSOCK_SET_GUEST_CID). -EINVAL: not 3 to 2^32 - 2;
 * -EADDRINUSE.
 */
VH_API VH_MUST_CHECK int vh_vsock_set_guest_cid(struct vh_backend *backend,
						uint64_t guest_cid);

/*
 * Stops both rings, or lets them run again (VSOCK_SET_RUNNING), without
 * changing whether they are started and enabled. -EINVAL: they aren't.
 */
VH_API VH_MUST_CHECK int vh_vsock_set_running(struct vh_backend *backend,
					      bool running);

struct vh_scsi_opts {
	size_t size;
	const char *path; /* "/dev/vhost-scsi", or NULL: fd is one */
	int fd;		  /* is duplicated */
	/* An endpoint as for vh_scsi_set_endpoint(); NULL: to be set later. */
	const char *wwpn;
	uint16_t tpgt;
	/*
	 * Rings that will be used: control, event and requests. The device
	 * runs when all of these are started and enabled. 0: three.
	 */
	uint32_t num_queues;
};

/*
 * Opens vhost-scsi. Errors are those of vh_net_open(), and -EOPNOTSUPP: the
 * kernel's ABI is newer than this library.
 */
VH_API VH_MUST_CHECK int vh_scsi_open(const struct vh_scsi_opts *opts,
				      struct vh_fault *fault,
				      struct vh_backend **ret_backend);

/*
 * The target, made through configfs, that answers requests
 * (SCSI_SET_ENDPOINT): its name, as "naa.5001405...", and group. The kernel
 * is told when the rings run, and then may answer -ENODEV: there is no such
 * target, or another process uses it. -EINVAL: the name is empty or longer
 * than 223 bytes; -EBUSY: the rings run.
 */
VH_API VH_MUST_CHECK int vh_scsi_set_endpoint(struct vh_backend *backend,
					      const char *wwpn, uint16_t tpgt);

/*
 * Forgets the target, and stops the rings if they run
 * (SCSI_CLEAR_ENDPOINT).
 */
VH_API VH_MUST_CHECK int vh_scsi_clear_endpoint(struct vh_backend *backend);

/* SCSI_GET_ABI_VERSION. */
VH_API VH_MUST_CHECK int vh_scsi_get_abi_version(struct vh_backend *backend,
						 int *ret_version);

/* Whether the event ring had no room for an event. */
VH_API VH_MUST_CHECK int vh_scsi_set_events_missed(struct vh_backend *backend,
						   uint32_t missed);

/* The same (SCSI_GET_EVENTS_MISSED). */
VH_API VH_MUST_CHECK int vh_scsi_get_events_missed(struct vh_backend *backend,
						   uint32_t *ret_missed);

/*
 * How long the kernel looks for more work before it sleeps, in microseconds
 * (SET_VRING_BUSYLOOP_TIMEOUT).
 */
VH_API VH_MUST_CHECK int
vh_kernel_set_vring_busyloop_timeout(struct vh_backend *backend, uint32_t queue,
				     uint32_t timeout_us);

/* The same (GET_VRING_BUSYLOOP_TIMEOUT). */
VH_API VH_MUST_CHECK int
vh_kernel_get_vring_busyloop_timeout(struct vh_backend *backend, uint32_t queue,
				     uint32_t *ret_timeout_us);

/*
 * The byte order of a legacy driver's ring, as it was set by
 * vh_backend_set_vring_endian() (GET_VRING_ENDIAN). -EOPNOTSUPP: most kernels
 * are built without.
 */
VH_API VH_MUST_CHECK int vh_kernel_get_vring_endian(struct vh_backend *backend,
						    uint32_t queue,
						    bool *ret_big_endian);

/*
 * Starts another thread in the kernel for rings of this device (NEW_WORKER).
 * -EFAULT: the device's threads aren't forked from the owner.
 */
VH_API VH_MUST_CHECK int vh_kernel_new_worker(struct vh_backend *backend,
					      uint32_t *ret_worker);

/* Ends one (FREE_WORKER). -ENODEV: no such worker; -EBUSY: rings use it. */
VH_API VH_MUST_CHECK int vh_kernel_free_worker(struct vh_backend *backend,
					       uint32_t worker);

/* Gives a ring to a worker (ATTACH_VRING_WORKER). -ENODEV: no such worker. */
VH_API VH_MUST_CHECK int
vh_kernel_attach_vring_worker(struct vh_backend *backend, uint32_t queue,
			      uint32_t worker);

/* Whose ring it is (GET_VRING_WORKER). */
VH_API VH_MUST_CHECK int vh_kernel_get_vring_worker(struct vh_backend *backend,
						    uint32_t queue,
						    uint32_t *ret_worker);

/*
 * Feature bits beyond 63, in count words (GET_FEATURES_ARRAY). The kernel
 * leaves words that it doesn't know 0. -EINVAL: count isn't 1 to 64.
 */
VH_API VH_MUST_CHECK int
vh_kernel_get_features_array(struct vh_backend *backend, uint64_t features[],
			     uint32_t count);

/*
 * Negotiates them (SET_FEATURES_ARRAY), instead of
 * vh_backend_set_features(), whose errors it has.
 */
VH_API VH_MUST_CHECK int
vh_kernel_set_features_array(struct vh_backend *backend,
			     const uint64_t features[], uint32_t count);

/*
 * Whether the device's threads are forked from the owner, in its control
 * groups, or are the kernel's own (SET_FORK_FROM_OWNER). -EBUSY: there is an
 * owner.
 */
VH_API VH_MUST_CHECK int
vh_kernel_set_fork_from_owner(struct vh_backend *backend, bool fork);

/* The same (GET_FORK_FROM_OWNER). */
VH_API VH_MUST_CHECK int
vh_kernel_get_fork_from_owner(struct vh_backend *backend, bool *ret_fork);

#ifdef __cplusplus
}
#endif

#endif /* LIBVHOST_KERNEL_H */
