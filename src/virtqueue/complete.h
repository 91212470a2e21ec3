/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * From chains that are done to used entries: the same for both rings, and
 * compiled for each. Who includes this has said before
 *
 * - used_place: where the next used entry goes, which is in registers while a
 *   burst of completions lasts;
 * - used_place_of(), where that is in the queue;
 * - write_used(), which writes an entry that stands for a run and goes on;
 * - note_given(), that an area which tracks requests has one less.
 */
#ifndef VIRTQUEUE_COMPLETE_H
#define VIRTQUEUE_COMPLETE_H

#include "slot.h"

static ALWAYS_INLINE void write_run(struct vh_virtqueue *queue,
				    used_place *used, struct run *run,
				    const struct mode mode)
{
	write_used(queue, used, *run, mode);
	run->count = run->descriptors = 0;
}

/* IN_ORDER: the slot, if it is the next one, and those that waited for it. */
static ALWAYS_INLINE void complete_in_order(struct vh_virtqueue *queue,
					    struct slot *slot, uint32_t written,
					    used_place *used,
					    struct returns *returns,
					    const struct mode mode)
{
	bool full = written == slot->writable_size;

	if (UNLIKELY(slot != order_at(queue, returns->order_first))) {
		slot_done(queue, slot, written);
		return;
	}
	do {
		if (run_add(&returns->run, slot->head, queue->taken[slot->head],
			    written, full))
			write_run(queue, used, &returns->run, mode);
		if (mode.careful && queue->inflight.area)
			note_given(queue, slot);
		slot_put(queue, slot, returns);
		slot = order_done(queue, ++returns->order_first);
		if (slot) {
			full = slot->state & SLOT_FULL;
			written = slot->writable_size;
		}
	} while (slot);
}

static ALWAYS_INLINE void complete(struct vh_virtqueue *queue,
				   struct slot *slot, uint32_t written,
				   used_place *used, struct returns *returns,
				   const struct mode mode)
{
	if (UNLIKELY(!is_busy(slot)))
		return;
	written = bytes_written(slot, written);
	if (mode.careful && queue->epochs[slot->epoch].log)
		log_written(queue, slot, written);
	epoch_leave(queue, slot, returns);
	if (keeps_order(queue, mode)) {
		complete_in_order(queue, slot, written, used, returns, mode);
		return;
	}
	write_used(
	    queue, used,
	    (struct run){1, queue->taken[slot->head], written, slot->head},
	    mode);
	if (mode.careful && queue->inflight.area)
		note_given(queue, slot);
	slot_put(queue, slot, returns);
}

static ALWAYS_INLINE void push(struct vh_virtqueue *queue,
			       struct vh_chain *const chains[],
			       const uint32_t written[], unsigned int count,
			       const struct mode mode)
{
	struct returns returns = returns_begin(queue);
	used_place used = *used_place_of(queue);

	for (unsigned int i = 0; i < count; i++)
		complete(queue, slot_of(chains[i]), written[i], &used, &returns,
			 mode);
	*used_place_of(queue) = used;
	returns_end(queue, returns, mode);
}

static ALWAYS_INLINE void push_buffers(struct vh_virtqueue *queue,
				       const struct vh_buffer buffers[],
				       const uint32_t written[],
				       unsigned int count,
				       const struct mode mode)
{
	used_place used = *used_place_of(queue);
	struct run run = queue->run;

	for (unsigned int i = 0; i < count; i++) {
		uint16_t head = buffers[i].head;
		uint32_t size = buffer_written(&buffers[i], written[i]);

		if (!mode.in_order)
			write_used(queue, &used, (struct run){1, 1, size, head},
				   mode);
		else if (run_add(&run, head, 1, size,
				 !buffers[i].is_writable ||
				     size == buffers[i].size))
			write_run(queue, &used, &run, mode);
	}
	*used_place_of(queue) = used;
	if (mode.in_order)
		queue->run = run;
}

#endif
