/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Completions from other threads: a list that anybody may push to and that
 * only the owner takes, all at once, so that nothing can go wrong between
 * reading an element and its successor.
 */
#include "queue.h"
#include <base/check.h>

bool vh_virtqueue_push_remote(struct vh_virtqueue *queue,
			      struct vh_chain *chain, uint32_t written)
{
	struct slot *slot = VHI_CONTAINER_OF(chain, struct slot, chain);
	struct slot *first = __atomic_load_n(&queue->remote, __ATOMIC_RELAXED);

	/* The pieces aren't needed any more. */
	slot->remote.written = written;
	do
		slot->remote.next = first;
	/*
	 * Release: pairs with the acquire in vh_virtqueue_take_remote().
	 * Acquire: who finds the list empty comes after who emptied it, and
	 * after what he looked at before.
	 */
	while (!__atomic_compare_exchange_n(&queue->remote, &first, slot, true,
					    __ATOMIC_ACQ_REL,
					    __ATOMIC_RELAXED));
	return !first;
}

unsigned int vh_virtqueue_take_remote(struct vh_virtqueue *queue)
{
	struct slot *slot, *next, *oldest = NULL;
	unsigned int count = 0;

	if (!__atomic_load_n(&queue->remote, __ATOMIC_RELAXED))
		return 0;
	/* Release: pairs with the acquire in vh_virtqueue_push_remote(). */
	slot = __atomic_exchange_n(&queue->remote, NULL, __ATOMIC_ACQ_REL);
	for (; slot; slot = next) {
		next = slot->remote.next;
		slot->remote.next = oldest;
		oldest = slot;
	}
	for (slot = oldest; slot; slot = next, count++) {
		next = slot->remote.next;
		vh_virtqueue_push(queue, &slot->chain, slot->remote.written);
	}
	return count;
}
