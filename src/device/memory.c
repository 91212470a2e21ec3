/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Changing guest memory while queues run: a new map is made beside the old
 * one, each worker moves its queues over between two bursts, and the old map
 * goes when the last request that uses it is done.
 */
#include "device.h"

#include <errno.h>

struct move {
	struct vh_memory *memory;
	bool drain; /* wait until nothing uses earlier maps */
};

/* W: one queue; VHI_AGAIN while it must be asked again. */
static int move_queue(struct vh_queue *queue, const struct move *move)
{
	int r = vh_virtqueue_set_memory(queue->ring, move->memory);

	if (r == -EAGAIN)
		return VHI_AGAIN;
	if (r < 0)
		vhi_queue_check(queue);
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

/* Takes over the caller's reference. */
static void change_map(struct vh_device *device, struct vh_memory *memory,
		       bool drain)
{
	struct move move = {.memory = memory, .drain = drain};
	struct vh_memory *old = device->memory;

	device->memory = memory;
	for (uint32_t i = 0; i < device->num_workers; i++) {
		struct vh_worker *worker = &device->workers[i];

		if (worker->running || !worker->threaded)
			vhi_worker_call(worker, run_move, &move);
	}
	vh_memory_unref(old);
}

/* None of the old regions stays, so what vanished from one counts no more. */
static void replace_map(struct vh_device *device, struct vh_memory *memory,
			bool drain)
{
	change_map(device, memory, drain);
	__atomic_store_n(&device->memory_vanished, false, __ATOMIC_RELEASE);
}

int vhi_device_add_region(struct vh_backend *b, const struct vh_region *region)
{
	struct vh_device *device = vhi_device_of(b);
	struct vh_memory *memory;
	int r = vh_memory_add(device->memory, region, &b->fault, &memory);

	if (r == 0)
		change_map(device, memory, false);
	return r;
}

int vhi_device_remove_region(struct vh_backend *b,
			     const struct vh_region *region)
{
	struct vh_device *device = vhi_device_of(b);
	struct vh_memory *memory;
	int r = vh_memory_remove(device->memory, region, &b->fault, &memory);

	if (r == 0)
		change_map(device, memory, true);
	return r;
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
	replace_map(device, memory, true);
	return 0;
}

int vhi_device_drop_memory(struct vh_device *device)
{
	struct vh_memory *memory;
	int r = vh_memory_new(&memory);

	if (r < 0)
		return r;
	replace_map(device, memory, false);
	return 0;
}
