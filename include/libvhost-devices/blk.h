/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * libvhost-devices: a virtio block device (virtio, "Block Device").
 *
 * Serves IN, OUT, FLUSH, GET_ID, DISCARD and WRITE_ZEROES from a regular
 * file or a block device, or, for measurements, from nothing.
 */
#ifndef LIBVHOST_DEVICES_BLK_H
#define LIBVHOST_DEVICES_BLK_H

#include <libvhost/device.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How requests reach the storage. */
enum {
	/*
	 * io_uring, unless the system forbids it or the file lives in memory
	 * (tmpfs), where it would hand every request to a helper thread:
	 * system calls of the worker then. The log says which and why.
	 */
	VH_BLK_ENGINE_AUTO = 0,
	VH_BLK_ENGINE_IO_URING = 1,
	VH_BLK_ENGINE_SYNC = 2,
};

struct vh_blk_opts {
	size_t size;
	const char *path;   /* the file; NULL: the null store */
	uint64_t null_size; /* bytes of the null store, which reads zeroes */
	const char *serial; /* at most 20 bytes; NULL: empty */
	bool read_only;
	bool direct;	     /* O_DIRECT */
	uint32_t num_queues; /* 0: 1; at most VH_DEVICE_MAX_QUEUES */
	uint32_t workers;    /* threads; 0: the caller's loop */
	uint32_t engine;     /* VH_BLK_ENGINE_... */
	/*
	 * A guest behind an IOMMU, which hands out IOVAs: ACCESS_PLATFORM is
	 * offered.
	 */
	bool iommu;
	/*
	 * Ring features (VH_F_...) that aren't offered, of those that would
	 * be: INDIRECT_DESC, EVENT_IDX, RING_PACKED, RING_RESET, LOG_ALL and,
	 * where the storage answers in order, IN_ORDER.
	 */
	uint64_t without_features;
	uint32_t spin_us;	/* see vh_device_opts */
	uint32_t publish_after; /* see vh_device_opts */
	struct vh_log log;
};

/*
 * Opens the file and makes a back-end of it, to be freed with
 * vh_backend_free(). *opts and its strings are copied. Errors, in words in
 * *fault if that isn't NULL:
 *   -EINVAL   an option is out of range; the file is neither a regular file
 *             nor a block device; it is shorter than one block (512 bytes,
 *             with direct the unit of direct I/O), or direct I/O isn't
 *             possible on it
 *   -E2BIG    *opts is of a newer library
 *   -ENOSYS   io_uring was asked for and the system forbids it
 *   -ENOMEM, -EMFILE, and what open() returns
 */
VH_API VH_MUST_CHECK int vh_blk_new(const struct vh_blk_opts *opts,
				    struct vh_fault *fault,
				    struct vh_backend **ret_backend);

/*
 * Looks at the size of the file again and tells the front-end if it changed.
 * Any thread. Returns 1 if it changed, 0 if not, the negative errno of
 * fstat() or ioctl() if it can't be told; -EINVAL: not a back-end of
 * vh_blk_new().
 */
VH_API VH_MUST_CHECK int vh_blk_refresh(struct vh_backend *backend);

struct vh_blk_stats {
	size_t size; /* set by the caller to sizeof */
	uint64_t in;
	uint64_t out;
	uint64_t flush;
	uint64_t get_id;
	uint64_t discard;
	uint64_t write_zeroes;
	uint64_t errors;	/* answered with IOERR or UNSUPP */
	uint64_t bytes_read;	/* by the driver */
	uint64_t bytes_written; /* by the driver */
	const char *engine;	/* "null", "io_uring" or "sync"; static */
};

/*
 * Counters of all queues since vh_blk_new(). Any thread. Fills in as much as
 * stats->size has room for. -EINVAL: that is 0, or the back-end isn't one of
 * vh_blk_new().
 */
VH_API VH_MUST_CHECK int vh_blk_get_stats(const struct vh_backend *backend,
					  struct vh_blk_stats *stats);

/*
 * What a program that serves such a device says to --print-capabilities, in
 * the words of QEMU's back-end program conventions ("read-only", "blk-file"),
 * NULL at the end. Static; any thread.
 */
VH_API const char *const *vh_blk_feature_names(void);

#ifdef __cplusplus
}
#endif

#endif /* LIBVHOST_DEVICES_BLK_H */
