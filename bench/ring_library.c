/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The library's device side. */
#include "measure.h"
#include "ring.h"

#include <errno.h>

static void run(void *user, unsigned int chains, unsigned int burst)
{
	struct vh_chain *list[VH_VIRTQUEUE_BURST];
	uint32_t written[VH_VIRTQUEUE_BURST];
	struct vh_virtqueue *queue = user;

	while (chains) {
		int n = vh_virtqueue_pop(queue, list, burst);

		if (n < 0)
			die(vh_virtqueue_fault(queue)->text, 0);
		if (n == 0)
			continue;
		for (int i = 0; i < n; i++)
			written[i] = list[i]->writable_size;
		vh_virtqueue_push_many(queue, list, written, (unsigned int)n);
		if (vh_virtqueue_publish(queue) < 0)
			die("publish", EPROTO);
		chains -= (unsigned int)n;
	}
}

static bool pending(void *user)
{
	return vh_virtqueue_pending(user);
}

static void free_queue(void *user)
{
	vh_virtqueue_free(user);
}

struct device library_device(const struct ring *ring)
{
	const struct setting *setting = ring->setting;
	struct vh_virtqueue *queue;
	struct vh_fault fault;
	int r = 0;

	VH_OPTS(vh_virtqueue_opts, opts);
	opts.num = RING_NUM;
	opts.features = VH_F_INDIRECT_DESC | VH_F_EVENT_IDX;
	if (setting->packed)
		opts.features |= VH_F_RING_PACKED;
	if (setting->in_order)
		opts.features |= VH_F_IN_ORDER;
	opts.descriptors = ring->descriptors;
	opts.available = ring->available;
	opts.used = ring->used;
	opts.base = vh_driver_queue_base(ring->driver);
	if (vh_virtqueue_new(&opts, ring->space->memory, &fault, &queue) < 0)
		die(fault.text, 0);
	if (setting->log)
		r = vh_virtqueue_set_log(queue, ring->space->log, true,
					 ring->used);
	if (r < 0)
		die("log", r);
	vh_virtqueue_disable_kick(queue);
	return (struct device){queue, run, pending, free_queue};
}
