/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The IOTLB: entries are written to the device, misses are read from it. */
#include <base/check.h>
#include <base/fault.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "kernel.h"

/* Misses that are told in one go, so that the caller's loop isn't held. */
#define BURST 64

static int invalidate(struct kernel *k, uint64_t iova, uint64_t size)
{
	struct vhi_iotlb_message message = {
	    .type = VHI_IOTLB_INVALIDATE,
	    .iova = iova,
	    .size = size,
	};

	return vhi_node_iotlb(&k->node, 0, &message);
}

static int check_iommu(struct kernel *k)
{
	if (kernel_has_iommu(k))
		return 0;
	return vhi_fault(&k->backend.fault, VH_FAULT_CALLER, -EINVAL, NULL,
			 "there is no IOTLB without F_ACCESS_PLATFORM");
}

static int outside(struct kernel *k, const struct vh_iotlb_entry *entry,
		   vh_gpa at)
{
	return vhi_fault(&k->backend.fault, VH_FAULT_MEM_IOTLB, -EFAULT, NULL,
			 "entry 0x%" PRIx64 ", size 0x%" PRIx64 ": 0x%" PRIx64
			 " isn't in guest memory",
			 entry->iova, entry->size, at);
}

static int check_entry(struct kernel *k, const struct vh_iotlb_entry *entry)
{
	uint64_t size;

	if (vhi_range_wraps(entry->iova, entry->size) ||
	    vhi_range_wraps(entry->guest, entry->size) || !entry->access ||
	    entry->access & ~(VH_ACCESS_READ | VH_ACCESS_WRITE))
		return vhi_fault(&k->backend.fault, VH_FAULT_MEM_IOTLB, -EINVAL,
				 NULL,
				 "entry 0x%" PRIx64 ", size 0x%" PRIx64
				 ", access %" PRIu32 " can't be",
				 entry->iova, entry->size, entry->access);
	for (uint64_t done = 0; done < entry->size; done += size)
		if (!vhi_ram_part(&k->ram, entry->guest + done,
				  entry->size - done, &size))
			return outside(k, entry, entry->guest + done);
	return 0;
}

int kernel_iotlb_update(struct vh_backend *b,
			const struct vh_iotlb_entry *entry)
{
	struct kernel *k = kernel_of(b);
	int r = check_iommu(k);
	uint64_t size;

	if (r >= 0)
		r = check_entry(k, entry);
	/* The driver keeps what is there, and would find that first. */
	if (r >= 0)
		r = invalidate(k, entry->iova, entry->size);
	for (uint64_t done = 0; done < entry->size && r >= 0; done += size) {
		struct vhi_iotlb_message message = {
		    .type = VHI_IOTLB_UPDATE,
		    .iova = entry->iova + done,
		    .access = (uint8_t)entry->access,
		};

		message.host = (uintptr_t)vhi_ram_part(
		    &k->ram, entry->guest + done, entry->size - done, &size);
		message.size = size;
		r = vhi_node_iotlb(&k->node, 0, &message);
	}
	return r;
}

int kernel_iotlb_invalidate(struct vh_backend *b, vh_gpa iova, uint64_t size)
{
	struct kernel *k = kernel_of(b);
	int r = check_iommu(k);

	if (r < 0)
		return r;
	if (size == 0)
		return vhi_fault(&b->fault, VH_FAULT_MEM_IOTLB, -EINVAL, NULL,
				 "invalidation of 0 bytes");
	if (vhi_range_wraps(iova, size))
		size = UINT64_MAX - iova;
	return invalidate(k, iova, size);
}

static int nonsense(struct kernel *k, const char *what, uint64_t value)
{
	return vhi_fault(&k->backend.fault, VH_FAULT_MSG_REPLY, -EPROTO, NULL,
			 "the driver sends an IOTLB message with %s 0x%" PRIx64,
			 what, value);
}

static int tell(struct kernel *k, const struct vhi_iotlb_message *message,
		ssize_t size)
{
	if (size != (ssize_t)sizeof(*message))
		return nonsense(k, "size", (uint64_t)size);
	if (message->form != VHI_IOTLB_V1 && message->form != VHI_IOTLB_V2)
		return nonsense(k, "form", message->form);
	if (message->type == VHI_IOTLB_ACCESS_FAIL)
		return 0;
	if (message->type != VHI_IOTLB_MISS)
		return nonsense(k, "type", message->type);
	if (!message->access ||
	    message->access & ~(VH_ACCESS_READ | VH_ACCESS_WRITE))
		return nonsense(k, "access", message->access);
	vhi_backend_iotlb_miss(&k->backend, message->iova, message->access);
	return 0;
}

/* 1: another one was told; 0: there is none. */
static int dispatch_one(struct kernel *k)
{
	struct pollfd pollfd = {.fd = k->node.fd, .events = POLLIN};
	struct vhi_iotlb_message message;
	ssize_t n;
	int r;

	/* A descriptor that was handed in may be one that waits. */
	r = poll(&pollfd, 1, 0);
	if (r <= 0 || !(pollfd.revents & POLLIN))
		return 0;
	memset(&message, 0, sizeof(message));
	n = read(k->node.fd, &message, sizeof(message));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < 0)
		return vhi_fault(&k->backend.fault, VH_FAULT_SYSTEM, -errno,
				 NULL, "read of an IOTLB message: %s",
				 strerrordesc_np(errno));
	if (n == 0)
		return 0;
	r = tell(k, &message, n);
	return r < 0 ? r : 1;
}

/* A driver without IOTLB messages has none to read, and can't be read. */
int kernel_dispatch(struct vh_backend *b)
{
	int r = (b->capabilities & VH_CAP_IOTLB) != 0;

	for (int i = 0; i < BURST && r > 0; i++)
		r = dispatch_one(kernel_of(b));
	return r < 0 ? r : 0;
}
