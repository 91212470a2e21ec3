/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A device behind an IOMMU: the IOTLB is a map like that of guest memory, and
 * changes the same way. What a ring waits for is asked of the front-end once,
 * however many rings of the device wait for it.
 */
#include "device.h"

#include <base/fault.h>
#include <errno.h>

#define SECTION "IOMMU support"
#define PAGE	UINT64_C(4096)

struct vh_memory *vhi_device_map(const struct vh_device *device)
{
	return device->iotlb ? device->iotlb : device->memory;
}

int vhi_device_choose_iotlb(struct vh_device *device)
{
	bool wanted = device->features & VH_F_ACCESS_PLATFORM;
	struct vh_memory *iotlb = NULL;
	int r = 0;

	if (wanted == (device->iotlb != NULL))
		return 0;
	if (wanted)
		r = vh_iotlb_new(device->memory, &iotlb);
	if (r < 0)
		return vhi_fault(&device->backend.fault, VH_FAULT_SYSTEM, r,
				 SECTION, "no memory for an IOTLB");
	vh_memory_unref(device->iotlb);
	device->iotlb = iotlb;
	return 0;
}

static int no_iotlb(struct vh_device *device)
{
	return vhi_fault(&device->backend.fault, VH_FAULT_MSG_STATE, -EINVAL,
			 SECTION,
			 "there is no IOTLB without VIRTIO_F_ACCESS_PLATFORM");
}

/* Workers that still have the old one look whether it would help to ask. */
void vhi_device_set_iotlb(struct vh_device *device, struct vh_memory *iotlb)
{
	pthread_mutex_lock(&device->iotlb_lock);
	device->iotlb = iotlb;
	pthread_mutex_unlock(&device->iotlb_lock);
}

/* Takes over the new map. */
static void change_iotlb(struct vh_device *device, struct vh_memory *iotlb,
			 bool drain)
{
	struct vh_memory *old = device->iotlb;

	vhi_device_set_iotlb(device, iotlb);
	vhi_device_move(device, drain);
	vh_memory_unref(old);
}

int vhi_device_iotlb_update(struct vh_backend *b,
			    const struct vh_iotlb_entry *entry)
{
	struct vh_device *device = vhi_device_of(b);
	struct vh_memory *iotlb;
	int r;

	if (!device->iotlb)
		return no_iotlb(device);
	r = vh_iotlb_update(device->iotlb, entry, &b->fault, &iotlb);
	if (r == 0)
		change_iotlb(device, iotlb, false);
	return r;
}

int vhi_device_iotlb_invalidate(struct vh_backend *b, vh_gpa iova,
				uint64_t size)
{
	struct vh_device *device = vhi_device_of(b);
	struct vh_memory *iotlb;
	int r;

	if (!device->iotlb)
		return no_iotlb(device);
	r = vh_iotlb_invalidate(device->iotlb, iova, size, &b->fault, &iotlb);
	if (r == 0)
		change_iotlb(device, iotlb, true);
	return r;
}

/*
 * By the lock: has some ring asked for that already? Or is it there, and on
 * its way to this ring?
 */
static bool is_asked(const struct vh_device *device, vh_gpa iova,
		     uint32_t access)
{
	if (vh_memory_at(device->iotlb, iova, 1))
		return true;
	for (uint32_t i = 0; i < device->opts.num_queues; i++) {
		const struct vh_queue *queue = &device->queues[i];

		if (queue->asked && queue->asked_iova / PAGE == iova / PAGE &&
		    !(access & ~queue->asked_access))
			return true;
	}
	return false;
}

void vhi_queue_ask(struct vh_queue *queue)
{
	struct vh_device *device = queue->device;
	uint32_t access;
	bool asked;
	vh_gpa iova;

	if (!vh_virtqueue_missing(queue->ring, &iova, &access))
		return;
	pthread_mutex_lock(&device->iotlb_lock);
	asked = is_asked(device, iova, access);
	queue->asked = true;
	queue->asked_iova = iova;
	queue->asked_access = access;
	pthread_mutex_unlock(&device->iotlb_lock);
	if (!asked)
		vhi_backend_iotlb_miss(&device->backend, iova, access);
}

void vhi_queue_stop_asking(struct vh_queue *queue)
{
	struct vh_device *device = queue->device;

	pthread_mutex_lock(&device->iotlb_lock);
	queue->asked = false;
	pthread_mutex_unlock(&device->iotlb_lock);
}

/* What still isn't there was asked for: an answer is on its way. */
void vhi_queue_look_again(struct vh_queue *queue, const struct vh_memory *map)
{
	if (queue->asked && vh_memory_at(map, queue->asked_iova, 1))
		vhi_queue_stop_asking(queue);
	vhi_queue_ask(queue);
}
