/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The IOTLB: entries are written to the device, misses are read from it. */
#include <base/fault.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "kernel.h"

/* Misses that are told in one go, so that the caller's loop isn't held. */
#define BURST 64

#define HALF  (UINT64_C(1) << 63)

int kernel_clear_iotlb(struct kernel *k)
{
	int r = vhi_node_iotlb_invalidate(&k->node, 0, 0, HALF);

	return r < 0 ? r : vhi_node_iotlb_invalidate(&k->node, 0, HALF, HALF);
}

/* Takes the parts of an entry out again that came before one that failed. */
static int undo(struct kernel *k, vh_gpa iova, uint64_t size, int error)
{
	struct vhi_first first = {.fault = &k->backend.fault};

	vhi_first_note(&first, error);
	if (size)
		(void)vhi_node_iotlb_invalidate(&k->node, 0, iova, size);
	return vhi_first_end(&first);
}

int kernel_iotlb_update(struct vh_backend *b,
			const struct vh_iotlb_entry *entry)
{
	struct kernel *k = kernel_of(b);
	struct vh_iotlb_entry left = *entry;
	int r = vhi_iotlb_is_on(&k->node, k->features);

	if (r >= 0)
		r = vhi_ram_check_entry(&k->ram, entry, &b->fault);
	/* The driver keeps what is there, and would find that first. */
	if (r >= 0)
		r = vhi_node_iotlb_invalidate(&k->node, 0, entry->iova,
					      entry->size);
	while (r >= 0 && left.size) {
		struct vh_iotlb_entry part;
		void *host = vhi_ram_take_part(&k->ram, &left, &part);

		r = vhi_node_iotlb_update(&k->node, 0, &part, host);
		if (r < 0)
			r = undo(k, entry->iova, part.iova - entry->iova, r);
	}
	return r;
}

int kernel_iotlb_invalidate(struct vh_backend *b, vh_gpa iova, uint64_t size)
{
	struct kernel *k = kernel_of(b);
	int r = vhi_iotlb_is_on(&k->node, k->features);

	if (r < 0)
		return r;
	if (size == 0)
		return vhi_fault(&b->fault, VH_FAULT_MEM_IOTLB, -EINVAL, NULL,
				 "invalidation of 0 bytes");
	return vhi_node_iotlb_invalidate(&k->node, 0, iova, size);
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
