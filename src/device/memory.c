/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Changing guest memory while queues run: a new map is made beside the old
 * one, each worker moves its queues over between two bursts, and the old map
 * goes when the last request that uses it is done.
 */
#include "device.h"

#include <base/fault.h>
#include <errno.h>

struct move {
	struct vh_memory *memory;
	bool drain;  /* wait until nothing uses earlier maps */
	bool *moved; /* by queue: it has the new map */
};

/* W: one queue; VHI_AGAIN while it must be asked again. */
static int move_queue(struct vh_queue *queue, const struct move *move)
{
	int r = 0;

	if (!move->moved[queue->index])
		r = vh_virtqueue_set_memory(queue->ring, move->memory);
	if (r == -EAGAIN)
		return VHI_AGAIN;
	if (r < 0)
		vhi_queue_check(queue);
	if (!move->moved[queue->index]) {
		vhi_queue_look_again(queue, move->memory);
		vhi_queue_activate(queue);
	}
	move->moved[queue->index] = true;
	if (move->drain && vh_virtqueue_holds_old_memory(queue->ring))
		return VHI_AGAIN;
	return 0;
}

/* W */
static int run_move(struct vh_worker *worker, void *arg)
{
	struct vh_device *device = worker->device;
	int result = 0;

	for (uint32_t i = 0; i < device->opts.num_queues; i++) {
		struct vh_queue *queue = &device->queues[i];

		if (queue->worker == worker && queue->ring &&
		    move_queue(queue, arg) == VHI_AGAIN)
			result = VHI_AGAIN;
	}
	return result;
}

void vhi_device_move(struct vh_device *device, bool drain)
{
	bool moved[VH_DEVICE_MAX_QUEUES] = {false};
	struct move move = {vhi_device_map(device), drain, moved};

	for (uint32_t i = 0; i < device->num_workers; i++) {
		struct vh_worker *worker = &device->workers[i];

		if (worker->running || !worker->threaded)
			vhi_worker_call(worker, run_move, &move);
	}
}

/* Takes over the caller's reference, if it doesn't fail. */
static int change_map(struct vh_device *device, struct vh_memory *memory,
		      bool drain)
{
	struct vh_memory *old = device->memory, *old_iotlb = device->iotlb;
	struct vh_memory *iotlb = NULL;
	int r = 0;

	if (old_iotlb)
		r = vh_iotlb_rebase(old_iotlb, memory, &iotlb);
	if (r < 0) {
		vh_memory_unref(memory);
		return vhi_fault(&device->backend.fault, VH_FAULT_SYSTEM, r, "",
				 "no memory for an IOTLB");
	}
	device->memory = memory;
	vhi_device_set_iotlb(device, iotlb);
	vhi_device_move(device, drain);
	vh_memory_unref(old_iotlb);
	vh_memory_unref(old);
	return 0;
}

/* None of the old regions stays, so what vanished from one counts no more. */
static int replace_map(struct vh_device *device, struct vh_memory *memory,
		       bool drain)
{
	int r = change_map(device, memory, drain);

	if (r == 0)
		__atomic_store_n(&device->memory_vanished, false,
				 __ATOMIC_RELEASE);
	return r;
}

int vhi_device_add_region(struct vh_backend *b, const struct vh_region *region)
{
	struct vh_device *device = vhi_device_of(b);
	struct vh_memory *memory;
	int r = vh_memory_add(device->memory, region, &b->fault, &memory);

	return r < 0 ? r : change_map(device, memory, false);
}

int vhi_device_remove_region(struct vh_backend *b,
			     const struct vh_region *region)
{
	struct vh_device *device = vhi_device_of(b);
	struct vh_memory *memory;
	int r = vh_memory_remove(device->memory, region, &b->fault, &memory);

	return r < 0 ? r : change_map(device, memory, true);
}

/* Replaces *memory by itself and one more region. */
static int grow(struct vh_memory **memory, const struct vh_region *region,
		struct vh_fault *fault)
{
	struct vh_memory *more;
	int r = vh_memory_add(*memory, region, fault, &more);

	if (r < 0)
		return r;
	vh_memory_unref(*memory);
	*memory = more;
	return 0;
}

int vhi_device_set_mem_table(struct vh_backend *b,
			     const struct vh_region regions[],
			     unsigned int count)
{
	struct vh_device *device = vhi_device_of(b);
	struct vh_memory *memory;
	int r = vh_memory_new(&memory);

	if (r < 0)
		return r;
	for (unsigned int i = 0; i < count; i++) {
		r = grow(&memory, &regions[i], &b->fault);
		if (r < 0) {
			vh_memory_unref(memory);
			return r;
		}
	}
	return replace_map(device, memory, true);
}

int vhi_device_drop_memory(struct vh_device *device)
{
	struct vh_memory *memory;
	int r = vh_memory_new(&memory);

	if (r < 0)
		return r;
	return replace_map(device, memory, false);
}
