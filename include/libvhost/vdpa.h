/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * libvhost: back-ends behind /dev/vhost-vdpa-N: hardware, VDUSE programs and
 * simulators.
 *
 *	VH_OPTS(vh_vdpa_opts, opts);
 *	opts.path = "/dev/vhost-vdpa-0";
 *	r = vh_vdpa_open(&opts, &fault, &backend);
 *
 * The handle does what <libvhost/backend.h> says, in the order that the
 * kernel wants:
 *
 *	vh_backend_set_owner()
 *	vh_backend_set_status(ACKNOWLEDGE | DRIVER)
 *	vh_backend_set_features()
 *	vh_backend_set_status(... | FEATURES_OK)	-EINVAL: refused
 *	memory, rings, vh_backend_set_vring_enable()
 *	vh_backend_set_status(... | DRIVER_OK)
 *
 * - The device starts with DRIVER_OK. Rings are enabled before that, unless
 *   VH_BACKEND_F_ENABLE_AFTER_DRIVER_OK is offered (-EBUSY).
 * - A status of 0 is vh_backend_reset_device(). Bits can't be taken out of it
 *   one by one.
 * - vh_backend_set_owner() agrees on all back-end features that are offered
 *   and known here, unless the program has done that itself before.
 * - Memory: regions have a descriptor, since a device reaches shared memory
 *   only, and are whole pages inside the device's range of addresses. Each
 *   is mapped for the device when it is added: its guest address is its
 *   IOVA, in address space 0.
 * - A device may want VH_F_ACCESS_PLATFORM; it gets it whether the program
 *   negotiates it or not. A program that does has an IOMMU: regions aren't
 *   mapped then, but what vh_backend_iotlb_update() says, in whole pages.
 *   The device can't ask for missing entries. Entries go when the region
 *   that they lead into does, and all of them with
 *   vh_backend_set_mem_table() and a reset.
 * - vh_backend_get_vring_base() on a running device suspends all of it;
 *   -EOPNOTSUPP: it can't be suspended, or doesn't tell positions. It goes on
 *   when all rings that were stopped in this way are started again, by
 *   vh_backend_set_vring_kick(). If it can't, the last of them returns the
 *   error (-EOPNOTSUPP: this device can only be reset): that ring stays
 *   stopped, and the device suspended.
 * - A ring may go without a kick descriptor (-1), if there is a doorbell.
 * - vh_backend_dispatch() tells of changes of the config space.
 *
 * Functions on a handle of another kind return -EOPNOTSUPP. They and others
 * return -EOPNOTSUPP, too, for what this kernel or device doesn't have,
 * -ERANGE for a queue that isn't there, -EPERM for most before
 * vh_backend_set_owner(), and -EPROTO when the kernel says what can't be.
 */
#ifndef LIBVHOST_VDPA_H
#define LIBVHOST_VDPA_H

#include <libvhost/backend.h>
#include <libvhost/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vh_vdpa_opts {
	size_t size;
	const char *path; /* "/dev/vhost-vdpa-0", or NULL: fd is one */
	int fd;		  /* is duplicated */
	/* How many queues, for kernels before 5.18, which don't tell. */
	uint32_t num_queues;
};

/*
 * Opens a device, which the kernel resets. Errors, with words in *fault if
 * that isn't NULL:
 *   -EINVAL  what opts has can't be, or num_queues is missing
 *   -ENOTTY  this is no vhost-vdpa device
 *   -EBUSY   somebody has opened it
 *   -E2BIG   *opts is of a newer library
 *   -EPROTO  what the device says of itself can't be
 *   -ENOMEM, and what open() returns
 */
VH_API VH_MUST_CHECK int vh_vdpa_open(const struct vh_vdpa_opts *opts,
				      struct vh_fault *fault,
				      struct vh_backend **ret_backend);

/* The virtio device id: 1 net, 2 block ... (VDPA_GET_DEVICE_ID). */
VH_API VH_MUST_CHECK int vh_vdpa_get_device_id(struct vh_backend *backend,
					       uint32_t *ret_id);

/* The largest ring that any queue may have (VDPA_GET_VRING_NUM). */
VH_API VH_MUST_CHECK int vh_vdpa_get_max_vring_num(struct vh_backend *backend,
						   uint32_t *ret_num);

/*
 * The largest ring of one queue, or its present size while the device runs
 * (VDPA_GET_VRING_SIZE).
 */
VH_API VH_MUST_CHECK int vh_vdpa_get_vring_size(struct vh_backend *backend,
						uint32_t queue,
						uint32_t *ret_num);

/* The first and last IOVA that can be mapped (VDPA_GET_IOVA_RANGE). */
VH_API VH_MUST_CHECK int vh_vdpa_get_iova_range(struct vh_backend *backend,
						vh_gpa *ret_first,
						vh_gpa *ret_last);

/* How many groups of queues there are (VDPA_GET_GROUP_NUM); at least 1. */
VH_API VH_MUST_CHECK int vh_vdpa_get_group_num(struct vh_backend *backend,
					       uint32_t *ret_groups);

/* How many address spaces there are (VDPA_GET_AS_NUM); at least 1. */
VH_API VH_MUST_CHECK int vh_vdpa_get_as_num(struct vh_backend *backend,
					    uint32_t *ret_spaces);

/* The group that a queue is in (VDPA_GET_VRING_GROUP). */
VH_API VH_MUST_CHECK int vh_vdpa_get_vring_group(struct vh_backend *backend,
						 uint32_t queue,
						 uint32_t *ret_group);

/* The group that a queue's ring itself is in (VDPA_GET_VRING_DESC_GROUP). */
VH_API VH_MUST_CHECK int
vh_vdpa_get_vring_desc_group(struct vh_backend *backend, uint32_t queue,
			     uint32_t *ret_group);

/*
 * Gives a group of queues another address space (VDPA_SET_GROUP_ASID); they
 * begin with 0, and are there again after a reset. -EINVAL: there is no such
 * group or space.
 */
VH_API VH_MUST_CHECK int vh_vdpa_set_group_asid(struct vh_backend *backend,
						uint32_t group, uint32_t asid);

/*
 * The device stops and keeps its state (VDPA_SUSPEND); before DRIVER_OK
 * nothing happens.
 */
VH_API VH_MUST_CHECK int vh_vdpa_suspend(struct vh_backend *backend);

/*
 * It goes on (VDPA_RESUME), and with it the rings that were stopped while it
 * was suspended.
 */
VH_API VH_MUST_CHECK int vh_vdpa_resume(struct vh_backend *backend);

/*
 * The eventfd to signal when the config space changes, instead of the one
 * behind vh_backend_fd(); -1: that one again (VDPA_SET_CONFIG_CALL).
 */
VH_API VH_MUST_CHECK int vh_vdpa_set_config_call(struct vh_backend *backend,
						 int fd);

/*
 * Where to write a queue's index, as 16 or 32 bits, to kick it without a
 * system call. One page, which can't be read, valid as long as the handle.
 * -EOPNOTSUPP: the device has no such page.
 */
VH_API VH_MUST_CHECK int vh_vdpa_get_doorbell(struct vh_backend *backend,
					      uint32_t queue,
					      volatile void **ret_page);

/*
 * Adds an entry to an address space: a part of the regions that were added,
 * in whole pages. What is there of the same IOVAs gives way. -EINVAL: no such
 * space, or misaligned; -EFAULT: leads outside guest memory; -ERANGE: beyond
 * vh_vdpa_get_iova_range(); -EEXIST: a region is mapped there, in space 0.
 * After a refusal of the kernel's nothing of the entry is in there, and perhaps
 * nothing more of what was there of its IOVAs.
 */
VH_API VH_MUST_CHECK int
vh_vdpa_iotlb_update(struct vh_backend *backend, uint32_t asid,
		     const struct vh_iotlb_entry *entry);

/*
 * Takes what was added of a range out of an address space; entries that
 * overlap its ends keep their rest. A range that wraps ends at 2^64. -EINVAL:
 * no such space, or no whole pages.
 */
VH_API VH_MUST_CHECK int vh_vdpa_iotlb_invalidate(struct vh_backend *backend,
						  uint32_t asid, vh_gpa iova,
						  uint64_t size);

/*
 * Begins or ends a batch: what happens to that address space in between
 * takes effect at the end. Until then -EBUSY is what entries of other spaces
 * get, and regions that would come or go. A reset ends it. Only with
 * VH_BACKEND_F_IOTLB_BATCH.
 */
VH_API VH_MUST_CHECK int vh_vdpa_iotlb_batch(struct vh_backend *backend,
					     uint32_t asid, bool begin);

#ifdef __cplusplus
}
#endif

#endif /* LIBVHOST_VDPA_H */
