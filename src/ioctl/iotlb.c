/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Messages about the IOTLB, which are written to the device. */
#include <base/check.h>
#include <base/fault.h>
#include <errno.h>
#include <inttypes.h>
#include <ioctl/call.h>
#include <string.h>
#include <unistd.h>

static const char *type_name(uint8_t type)
{
	switch (type) {
	case VHI_IOTLB_UPDATE:
		return "UPDATE";
	case VHI_IOTLB_INVALIDATE:
		return "INVALIDATE";
	case VHI_IOTLB_BATCH_BEGIN:
		return "BATCH_BEGIN";
	default:
		return "BATCH_END";
	}
}

static int send(struct vhi_node *node, uint32_t asid,
		struct vhi_iotlb_message *message)
{
	bool second = node->backend_features & VH_BACKEND_F_IOTLB_MSG_V2;
	ssize_t n;
	int error;

	if (asid && !(node->backend_features & VH_BACKEND_F_IOTLB_ASID))
		return vhi_fault(
		    node->fault, VH_FAULT_UNSUPPORTED, -EOPNOTSUPP, NULL,
		    "address space %" PRIu32 ": IOTLB_ASID isn't agreed", asid);
	message->form = second ? VHI_IOTLB_V2 : VHI_IOTLB_V1;
	message->asid = asid;
	do
		n = write(node->fd, message, sizeof(*message));
	while (n < 0 && errno == EINTR);
	if (n == (ssize_t)sizeof(*message))
		return 0;
	error = n < 0 ? errno : EIO;
	return vhi_fault(node->fault, VH_FAULT_MEM_IOTLB, -error, NULL,
			 "IOTLB %s of 0x%" PRIx64 " and 0x%" PRIx64
			 " bytes, address space %" PRIu32 ": %s",
			 type_name(message->type), message->iova, message->size,
			 asid, strerrordesc_np(error));
}

int vhi_node_iotlb_update(struct vhi_node *node, uint32_t asid,
			  const struct vh_iotlb_entry *entry, const void *host)
{
	struct vhi_iotlb_message message = {
	    .type = VHI_IOTLB_UPDATE,
	    .iova = entry->iova,
	    .size = entry->size,
	    .host = (uintptr_t)host,
	    .access = (uint8_t)entry->access, /* the same bits */
	};

	return send(node, asid, &message);
}

int vhi_node_iotlb_invalidate(struct vhi_node *node, uint32_t asid, vh_gpa iova,
			      uint64_t size)
{
	struct vhi_iotlb_message message = {
	    .type = VHI_IOTLB_INVALIDATE,
	    .iova = iova,
	    .size = vhi_range_clip(iova, size),
	};

	return send(node, asid, &message);
}

int vhi_node_iotlb_batch(struct vhi_node *node, uint32_t asid, bool begin)
{
	struct vhi_iotlb_message message = {
	    .type = begin ? VHI_IOTLB_BATCH_BEGIN : VHI_IOTLB_BATCH_END,
	};

	return send(node, asid, &message);
}

int vhi_iotlb_is_on(struct vhi_node *node, uint64_t features)
{
	if (features & VH_F_ACCESS_PLATFORM)
		return 0;
	return vhi_fault(node->fault, VH_FAULT_CALLER, -EINVAL, NULL,
			 "there is no IOTLB without F_ACCESS_PLATFORM");
}
