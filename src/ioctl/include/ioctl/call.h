/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * One open device of Linux's vhost or vDPA drivers, and what it is asked.
 * Each request is a row of one table.
 */
#ifndef IOCTL_CALL_H
#define IOCTL_CALL_H

#include <base/uapi.h>
#include <libvhost/memory.h>

enum vhi_call {
	VHI_GET_FEATURES,
	VHI_SET_FEATURES,
	VHI_SET_OWNER,
	VHI_RESET_OWNER,
	VHI_SET_MEM_TABLE,
	VHI_SET_LOG_BASE,
	VHI_SET_LOG_FD,
	VHI_NEW_WORKER,
	VHI_FREE_WORKER,
	VHI_SET_VRING_NUM,
	VHI_SET_VRING_ADDR,
	VHI_SET_VRING_BASE,
	VHI_GET_VRING_BASE,
	VHI_SET_VRING_ENDIAN,
	VHI_GET_VRING_ENDIAN,
	VHI_ATTACH_VRING_WORKER,
	VHI_GET_VRING_WORKER,
	VHI_SET_VRING_KICK,
	VHI_SET_VRING_CALL,
	VHI_SET_VRING_ERR,
	VHI_SET_VRING_BUSYLOOP_TIMEOUT,
	VHI_GET_VRING_BUSYLOOP_TIMEOUT,
	VHI_SET_BACKEND_FEATURES,
	VHI_GET_BACKEND_FEATURES,
	VHI_NET_SET_BACKEND,
	VHI_SCSI_SET_ENDPOINT,
	VHI_SCSI_CLEAR_ENDPOINT,
	VHI_SCSI_GET_ABI_VERSION,
	VHI_SCSI_SET_EVENTS_MISSED,
	VHI_SCSI_GET_EVENTS_MISSED,
	VHI_VSOCK_SET_GUEST_CID,
	VHI_VSOCK_SET_RUNNING,
	VHI_VDPA_GET_DEVICE_ID,
	VHI_VDPA_GET_STATUS,
	VHI_VDPA_SET_STATUS,
	VHI_VDPA_GET_CONFIG,
	VHI_VDPA_SET_CONFIG,
	VHI_VDPA_SET_VRING_ENABLE,
	VHI_VDPA_GET_VRING_NUM,
	VHI_VDPA_SET_CONFIG_CALL,
	VHI_VDPA_GET_IOVA_RANGE,
	VHI_VDPA_GET_CONFIG_SIZE,
	VHI_VDPA_GET_AS_NUM,
	VHI_VDPA_GET_VRING_GROUP,
	VHI_VDPA_SET_GROUP_ASID,
	VHI_VDPA_SUSPEND,
	VHI_VDPA_RESUME,
	VHI_VDPA_GET_VRING_DESC_GROUP,
	VHI_VDPA_GET_VQS_COUNT,
	VHI_VDPA_GET_GROUP_NUM,
	VHI_VDPA_GET_VRING_SIZE,
	VHI_VDPA_GET_VRING_SIZE_OLD, /* its number in one version of Linux */
	VHI_GET_FEATURES_ARRAY,
	VHI_SET_FEATURES_ARRAY,
	VHI_SET_FORK_FROM_OWNER,
	VHI_GET_FORK_FROM_OWNER,
	VHI_CALL_COUNT,
};

struct vhi_call_info {
	const char *name; /* as <linux/vhost.h> has it, without VHOST_ */
	unsigned long number;
	/* A kernel or a device may not have it. */
	bool optional;
	/* What a kernel that doesn't know it takes for a queue's index. */
	bool queue;
};

const struct vhi_call_info *vhi_call_info(enum vhi_call call);

struct vhi_node {
	int fd; /* -1: none */
	bool owned;
	uint64_t backend_features; /* as agreed */
	struct vh_fault *fault;	   /* where words go */
};

/* vhi_opts_copy() with words. */
int vhi_node_opts(void *ours, size_t our_size, const void *theirs,
		  struct vh_fault *fault);

/*
 * Opens path, or takes a copy of fd if path is NULL. Words go to fault, here
 * and in all that follows, until node->fault is set to another place.
 */
int vhi_node_open(struct vhi_node *node, const char *path, int fd,
		  struct vh_fault *fault);
void vhi_node_close(struct vhi_node *node);

/*
 * Asks the device. -EOPNOTSUPP: the kernel or the device doesn't know the
 * request, and it is an optional one; -ENODEV: the device is gone; -EPERM:
 * this process isn't the owner; and what the device says. arg may be NULL;
 * an optional request needs at least 4 bytes there, whatever its size.
 */
int vhi_node_call(struct vhi_node *node, enum vhi_call call, void *arg);

/* The same for a request about a queue, which the words then name. */
int vhi_node_queue_call(struct vhi_node *node, enum vhi_call call,
			uint32_t queue, void *arg);

/* Becomes the owner; once more changes nothing. */
int vhi_node_set_owner(struct vhi_node *node);

/* -EPERM with words unless this process is the owner. */
int vhi_node_needs_owner(struct vhi_node *node);

/* An answer that can't be: returns -EPROTO with words. */
int vhi_node_nonsense(struct vhi_node *node, enum vhi_call call,
		      const char *what, uint64_t value);

int vhi_node_get_features(struct vhi_node *node, uint64_t *ret);

/* -EINVAL: bits that aren't offered. All that are come out. */
int vhi_node_check_features(struct vhi_node *node, uint64_t features,
			    uint64_t *ret_offered);

/* -EINVAL: bits that aren't offered. */
int vhi_node_get_backend_features(struct vhi_node *node, uint64_t *ret);
int vhi_node_set_backend_features(struct vhi_node *node, uint64_t features);

/*
 * Messages about the IOTLB of address space asid: an entry that leads to host,
 * a range without entries (to 2^64 if it wraps), and the ends of a batch.
 */
int vhi_node_iotlb_update(struct vhi_node *node, uint32_t asid,
			  const struct vh_iotlb_entry *entry, const void *host);
int vhi_node_iotlb_invalidate(struct vhi_node *node, uint32_t asid, vh_gpa iova,
			      uint64_t size);
int vhi_node_iotlb_batch(struct vhi_node *node, uint32_t asid, bool begin);

/* -EINVAL with words: features that were agreed on have no IOMMU. */
int vhi_iotlb_is_on(struct vhi_node *node, uint64_t features);

#endif
