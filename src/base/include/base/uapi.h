/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What Linux's vhost and vDPA drivers exchange with a program: structs and
 * numbers under names of our own, since the headers of a distribution may be
 * older than its kernel.
 */
#ifndef BASE_UAPI_H
#define BASE_UAPI_H

#include <stdint.h>
#include <sys/ioctl.h>

#define VHI_VHOST_TYPE 0xAF

struct vhi_vring_state {
	uint32_t index;
	uint32_t num;
};

struct vhi_vring_file {
	uint32_t index;
	int32_t fd; /* -1: none */
};

#define VHI_VRING_F_LOG 1u

struct vhi_vring_places {
	uint32_t index;
	uint32_t flags;
	uint64_t descriptors;
	uint64_t used;
	uint64_t available;
	uint64_t log;
};

struct vhi_table_region {
	uint64_t guest;
	uint64_t size;
	uint64_t host;
	uint64_t flags; /* 0 */
};

struct vhi_table {
	uint32_t count;
	uint32_t padding; /* 0 */
	struct vhi_table_region regions[];
};

struct vhi_worker {
	uint32_t id;
};

struct vhi_vring_worker {
	uint32_t index;
	uint32_t id;
};

struct vhi_features_array {
	uint64_t count;
	uint64_t features[];
};

struct vhi_scsi_target {
	int32_t abi_version;
	char wwpn[224];
	uint16_t tpgt;
	uint16_t reserved; /* 0 */
};

#define VHI_SCSI_ABI 1

struct vhi_vdpa_config {
	uint32_t offset;
	uint32_t size;
	uint8_t bytes[];
};

struct vhi_vdpa_range {
	uint64_t first;
	uint64_t last;
};

/* Types of messages of an IOTLB, in the second form if MSG_V2 was agreed. */
#define VHI_IOTLB_V1	      1u
#define VHI_IOTLB_V2	      2u

#define VHI_IOTLB_MISS	      1u
#define VHI_IOTLB_UPDATE      2u
#define VHI_IOTLB_INVALIDATE  3u
#define VHI_IOTLB_ACCESS_FAIL 4u
#define VHI_IOTLB_BATCH_BEGIN 5u
#define VHI_IOTLB_BATCH_END   6u

/* Both forms: the first has a hole where the second has an address space. */
struct vhi_iotlb_message {
	uint32_t form;
	uint32_t asid;
	uint64_t iova;
	uint64_t size;
	uint64_t host;
	uint8_t access; /* VH_ACCESS_... */
	uint8_t type;
	uint8_t padding[38];
};

_Static_assert(sizeof(struct vhi_iotlb_message) == 72, "of struct vhost_msg");
_Static_assert(sizeof(struct vhi_vring_places) == 40, "of vhost_vring_addr");
_Static_assert(sizeof(struct vhi_scsi_target) == 232, "of vhost_scsi_target");

#endif
