/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Messages about the IOTLB, which are written to the device. */
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

int vhi_node_iotlb(struct vhi_node *node, uint32_t asid,
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
