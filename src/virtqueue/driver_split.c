/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The driver's side of a split ring ("Split Virtqueues"). Descriptors are
 * taken from a list of free ones, the last that came back first, or in ring
 * order with IN_ORDER.
 */
#include "driver.h"
#include "fence.h"
#include <inttypes.h>

#define NO_INTERRUPT 1 /* in the available ring's flags */
#define NO_NOTIFY    1 /* in the used ring's flags */

/* Words of 16 bits from the beginning of either ring. */
#define FLAGS	     0
#define INDEX	     1
#define RING	     2
#define ELEMENT_SIZE 4

static uint16_t *used_event(const struct vh_driver_queue *queue)
{
	return &queue->split.available[RING + queue->num];
}

static const uint16_t *avail_event(const struct vh_driver_queue *queue)
{
	return &queue->split.used[RING + ELEMENT_SIZE * queue->num];
}

void driver_split_start(struct vh_driver_queue *queue, uint16_t base)
{
	uint16_t *used = (uint16_t *)(uintptr_t)queue->split.used;

	queue->added = base;
	queue->published = base;
	queue->collected = base;
	queue->batch_end = base;
	queue->split.seen = base;
	for (uint32_t i = 0; i < queue->num; i++)
		queue->split.next[i] = (uint16_t)((i + 1) & queue->mask);
	vhi_store_le16(&queue->split.available[INDEX], base);
	vhi_store_le16(&used[INDEX], base);
	if (!queue->event_idx)
		return;
	/* Until the device says more, it wants to hear of the first chain. */
	vhi_store_le16(used_event(queue), base);
	vhi_store_le16(used + (avail_event(queue) - queue->split.used), base);
	queue->calls = base;
}

/* How descriptors follow each other: as they are free, in the ring, a table. */
enum link { LINK_FREE, LINK_RING, LINK_TABLE };

struct cursor {
	struct driver_walk walk;
	struct driver_descriptor *base;
	uint32_t at;
	uint32_t last; /* before at */
};

static DRIVER_INLINE uint32_t behind(const struct vh_driver_queue *queue,
				     uint32_t at, enum link link)
{
	if (link == LINK_FREE)
		return queue->split.next[at];
	return link == LINK_RING ? (at + 1) & queue->mask : at + 1;
}

static DRIVER_INLINE void put(struct vh_driver_queue *queue,
			      struct cursor *cursor, const struct iovec *iov,
			      uint32_t flags, enum link link)
{
	struct driver_descriptor *descriptor = &cursor->base[cursor->at];
	uint64_t address = driver_walk(queue, &cursor->walk, iov);
	uint32_t next = behind(queue, cursor->at, link);
	bool more = cursor->walk.left;

	if (more)
		flags |= DRIVER_NEXT;
	vhi_store_le64(&descriptor->address, address);
	vhi_store_le64(&descriptor->rest,
		       driver_rest(iov->iov_len, flags, more ? next : 0));
	cursor->last = cursor->at;
	cursor->at = next;
}

/* Returns how many bytes are writable. */
static DRIVER_INLINE uint64_t fill(struct vh_driver_queue *queue,
				   struct cursor *cursor,
				   const struct driver_request *request,
				   enum link link)
{
	uint64_t readable;

	for (unsigned int i = 0; i < request->readable_count; i++)
		put(queue, cursor, &request->readable[i], 0, link);
	readable = cursor->walk.bytes;
	for (unsigned int i = 0; i < request->writable_count; i++)
		put(queue, cursor, &request->writable[i], DRIVER_WRITE, link);
	return cursor->walk.bytes - readable;
}

/* The cursor ends behind the one descriptor of the ring. */
static DRIVER_INLINE uint64_t fill_table(struct vh_driver_queue *queue,
					 struct cursor *cursor,
					 const struct driver_request *request,
					 enum link link)
{
	struct driver_descriptor *head = &queue->descriptors[queue->free];
	uint64_t first = (uint64_t)queue->free * queue->table_entries;
	unsigned int count = cursor->walk.left;
	uint64_t writable;

	cursor->base = &queue->tables[first];
	cursor->at = 0;
	writable = fill(queue, cursor, request, LINK_TABLE);
	vhi_store_le64(&head->address, queue->tables_at + first * 16);
	vhi_store_le64(&head->rest,
		       driver_rest((size_t)16 * count, DRIVER_INDIRECT, 0));
	cursor->last = queue->free;
	cursor->at = behind(queue, queue->free, link);
	return writable;
}

/* Only free descriptors are written, which no device looks at. */
static DRIVER_INLINE int add(struct vh_driver_queue *queue,
			     const struct driver_request *request, void *token,
			     enum link link)
{
	unsigned int count = request->readable_count + request->writable_count;
	bool table = count - 2 < queue->quick;
	unsigned int need = table ? 1 : count;
	uint32_t head = queue->free;
	struct cursor cursor = {
	    .walk.left = count,
	    .base = queue->descriptors,
	    .at = head,
	};
	uint64_t writable;

	if (!driver_fits(queue, request, need))
		return driver_refuse_add(queue, *request, need);
	if (table)
		writable = fill_table(queue, &cursor, request, link);
	else
		writable = fill(queue, &cursor, request, link);
	if (!driver_walk_good(&cursor.walk))
		return driver_refuse_add(queue, *request, need);
	vhi_store_le16(
	    &queue->split.available[RING + (queue->added & queue->mask)],
	    (uint16_t)head);
	driver_note(queue, head, need, writable, token);
	if (link == LINK_FREE)
		queue->chains[head].link = (uint16_t)cursor.last;
	queue->free = cursor.at;
	return 0;
}

static DRIVER_INLINE int add_one(struct vh_driver_queue *queue,
				 const struct iovec *iov, bool writable,
				 void *token, enum link link)
{
	const struct driver_request read = {.readable = iov,
					    .readable_count = 1};
	const struct driver_request write = {.writable = iov,
					     .writable_count = 1};

	if (writable)
		return add(queue, &write, token, link);
	return add(queue, &read, token, link);
}

static int add_one_any_order(struct vh_driver_queue *queue,
			     const struct iovec *iov, bool writable,
			     void *token)
{
	return add_one(queue, iov, writable, token, LINK_FREE);
}

static int add_any_order(struct vh_driver_queue *queue,
			 const struct driver_request *request, void *token)
{
	return add(queue, request, token, LINK_FREE);
}

static int add_one_in_order(struct vh_driver_queue *queue,
			    const struct iovec *iov, bool writable, void *token)
{
	return add_one(queue, iov, writable, token, LINK_RING);
}

static int add_in_order(struct vh_driver_queue *queue,
			const struct driver_request *request, void *token)
{
	return add(queue, request, token, LINK_RING);
}

static bool publish(struct vh_driver_queue *queue)
{
	uint16_t old = (uint16_t)queue->published;
	uint16_t now = (uint16_t)queue->added;
	uint16_t event;

	queue->published = queue->added;
	/*
	 * Release: pairs with the device's acquire of the available index.
	 * What was written to buffers, descriptors and the available ring is
	 * seen by who sees the index.
	 */
	vhi_store_release_le16(&queue->split.available[INDEX], now);
	/*
	 * Pairs with the device's fence between asking for kicks
	 * (avail_event or flags) and looking at the available index once
	 * more: either we see that it asks, or it sees our index.
	 */
	full_fence();
	if (!queue->event_idx)
		return !(vhi_load_le16(&queue->split.used[FLAGS]) & NO_NOTIFY);
	event = vhi_load_le16(avail_event(queue));
	return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

static DRIVER_COLD void refuse_index(struct vh_driver_queue *queue,
				     uint16_t index)
{
	driver_break(
	    queue, VH_FAULT_USED_INDEX, "virtio, The Virtqueue Used Ring",
	    "queue %u: the used index went from %u to %u, with %" PRIu64
	    " chains in flight",
	    queue->index, (uint16_t)queue->split.seen, index,
	    queue->published - queue->split.seen);
}

/* How many chains are used, as far as it is known; looks if less than max. */
static DRIVER_INLINE unsigned int look(struct vh_driver_queue *queue,
				       unsigned int max)
{
	struct driver_split *split = &queue->split;
	uint16_t index, more;

	if (split->seen - queue->collected < max) {
		/*
		 * Acquire: pairs with the device's release of the used
		 * index. We see the elements and what was written to the
		 * buffers, and write to them and to their descriptors only
		 * after the device is done with them.
		 */
		index = vhi_load_acquire_le16(&split->used[INDEX]);
		more = (uint16_t)(index - split->seen);
		if (DRIVER_LIKELY(more <= queue->published - split->seen))
			split->seen += more;
		else
			refuse_index(queue, index);
	}
	return (unsigned int)(split->seen - queue->collected);
}

/* Claims the chain that the next used element names. */
static DRIVER_INLINE struct driver_chain *
next_used(struct vh_driver_queue *queue, uint32_t *ret_id,
	  uint32_t *ret_written)
{
	uint32_t at = (uint32_t)queue->collected & queue->mask;
	const uint32_t *element =
	    (const void *)&queue->split.used[RING + ELEMENT_SIZE * at];

	*ret_id = vhi_load_le32(&element[0]);
	*ret_written = vhi_load_le32(&element[1]);
	return driver_claim(queue, *ret_id, *ret_written);
}

static int collect_any_order(struct vh_driver_queue *queue,
			     struct vh_driver_used used[], unsigned int max)
{
	unsigned int count = look(queue, max);
	unsigned int done;

	if (count > max)
		count = max;
	for (done = 0; done < count; done++) {
		uint32_t id, written;
		struct driver_chain *chain = next_used(queue, &id, &written);

		if (DRIVER_UNLIKELY(!chain))
			break;
		driver_release(queue, chain, written, &used[done]);
		queue->split.next[chain->link] = (uint16_t)queue->free;
		queue->free = id;
	}
	return (int)done;
}

/*
 * An element covers all chains up to the one that it names; the next one is
 * as many places further on.
 */
static DRIVER_INLINE bool next_batch(struct vh_driver_queue *queue)
{
	uint32_t id, written;
	struct driver_chain *chain = next_used(queue, &id, &written);

	if (DRIVER_UNLIKELY(!chain))
		return false;
	if (DRIVER_UNLIKELY(chain->turn >= queue->split.seen)) {
		driver_break(queue, VH_FAULT_USED_ID,
			     "virtio, In-order use of descriptors",
			     "queue %u: the device used id %u, which is "
			     "further than its used index goes",
			     queue->index, id);
		return false;
	}
	queue->batch_end = chain->turn + 1;
	queue->batch_written = written;
	return true;
}

static int collect_in_order(struct vh_driver_queue *queue,
			    struct vh_driver_used used[], unsigned int max)
{
	unsigned int done = 0;

	(void)look(queue, max);
	do
		done += driver_give(queue, &used[done], max - done);
	while (done < max && queue->collected != queue->split.seen &&
	       next_batch(queue));
	return (int)done;
}

static bool want_calls(struct vh_driver_queue *queue, bool wanted)
{
	uint16_t value = wanted ? 0 : NO_INTERRUPT;
	uint16_t *at = &queue->split.available[FLAGS];

	if (queue->event_idx) {
		/* An event behind us doesn't come for 65536 chains. */
		value = (uint16_t)(queue->collected - !wanted);
		at = used_event(queue);
	}
	if (value == queue->calls)
		return false;
	queue->calls = value;
	vhi_store_le16(at, value);
	return true;
}

static bool pending(const struct vh_driver_queue *queue)
{
	/* No acquire: collecting does it before it looks further. */
	return vhi_load_le16(&queue->split.used[INDEX]) !=
	       (uint16_t)queue->collected;
}

const struct driver_ops driver_split_ops[2] = {
    {add_one_any_order, add_any_order, publish, collect_any_order, want_calls,
     pending},
    {add_one_in_order, add_in_order, publish, collect_in_order, want_calls,
     pending},
};
