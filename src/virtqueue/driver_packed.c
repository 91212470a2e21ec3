/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The driver's side of a packed ring ("Packed Virtqueues"). Descriptors are
 * written in ring order, with the flags that make them available; only those
 * of the first one since the last publish are held back, and the device,
 * which waits at that one, sees none of the others before.
 *
 * Ids come from a list of free ones; with IN_ORDER the id of a chain is the
 * place of its first descriptor.
 */
#include "driver.h"
#include "fence.h"

#define EVENT_ENABLE  0u
#define EVENT_DISABLE 1u
#define EVENT_DESC    2u
#define EVENT_WRAP    0x8000u

#define LAP_FLAGS     (DRIVER_AVAIL | DRIVER_USED)

void driver_packed_start(struct vh_driver_queue *queue)
{
	queue->packed.next.flags = DRIVER_AVAIL;
	queue->packed.shown.flags = DRIVER_AVAIL;
	queue->used.flags = LAP_FLAGS;
	for (uint32_t i = 0; i < queue->num; i++)
		queue->chains[i].link = (uint16_t)(i + 1);
}

struct cursor {
	struct driver_walk walk;
	struct driver_place place;
	uint64_t *rest; /* where the next second word goes */
};

/* At the next chain's first descriptor, whose second word may be held back. */
static DRIVER_INLINE struct cursor begin(struct vh_driver_queue *queue,
					 unsigned int count)
{
	struct cursor cursor = {
	    .walk.left = count,
	    .place = queue->packed.next,
	    .rest = &queue->packed.withheld,
	};

	if (queue->added != queue->published)
		cursor.rest = &queue->descriptors[cursor.place.at].rest;
	return cursor;
}

/* The flags of the lap are XORed to those in rest, which commonly has none. */
static DRIVER_INLINE void put(struct vh_driver_queue *queue,
			      struct cursor *cursor, uint64_t address,
			      uint64_t rest)
{
	vhi_store_le64(&queue->descriptors[cursor->place.at].address, address);
	vhi_store_le64(cursor->rest,
		       rest ^ (uint64_t)cursor->place.flags << 48);
	driver_move(queue, &cursor->place, 1);
	cursor->rest = &queue->descriptors[cursor->place.at].rest;
}

static DRIVER_INLINE void put_buffer(struct vh_driver_queue *queue,
				     struct cursor *cursor,
				     const struct iovec *iov, uint32_t id,
				     uint32_t flags)
{
	uint64_t address = driver_walk(queue, &cursor->walk, iov);

	if (cursor->walk.left)
		flags |= DRIVER_NEXT;
	put(queue, cursor, address, driver_rest(iov->iov_len, id, flags));
}

/* Returns how many bytes are writable. */
static DRIVER_INLINE uint64_t fill(struct vh_driver_queue *queue,
				   struct cursor *cursor,
				   const struct driver_request *request,
				   uint32_t id)
{
	uint64_t readable;

	for (unsigned int i = 0; i < request->readable_count; i++)
		put_buffer(queue, cursor, &request->readable[i], id, 0);
	readable = cursor->walk.bytes;
	for (unsigned int i = 0; i < request->writable_count; i++)
		put_buffer(queue, cursor, &request->writable[i], id,
			   DRIVER_WRITE);
	return cursor->walk.bytes - readable;
}

static DRIVER_INLINE void put_entry(struct vh_driver_queue *queue,
				    struct driver_walk *walk,
				    struct driver_descriptor *entry,
				    const struct iovec *iov, uint32_t flags)
{
	vhi_store_le64(&entry->address, driver_walk(queue, walk, iov));
	vhi_store_le64(&entry->rest, driver_rest(iov->iov_len, 0, flags));
}

/* The same for a table; the ring isn't touched. */
static DRIVER_INLINE uint64_t fill_table(struct vh_driver_queue *queue,
					 struct driver_walk *walk,
					 const struct driver_request *request,
					 uint64_t first)
{
	struct driver_descriptor *entry = &queue->tables[first];
	uint64_t readable;

	for (unsigned int i = 0; i < request->readable_count; i++)
		put_entry(queue, walk, entry++, &request->readable[i], 0);
	readable = walk->bytes;
	for (unsigned int i = 0; i < request->writable_count; i++)
		put_entry(queue, walk, entry++, &request->writable[i],
			  DRIVER_WRITE);
	return walk->bytes - readable;
}

/*
 * A chain that can't be was written over free descriptors. The device
 * mustn't find them available later, when it gets there.
 */
static DRIVER_COLD void take_back(struct vh_driver_queue *queue,
				  unsigned int count)
{
	struct cursor cursor = begin(queue, 0);

	/* AVAIL the other way round: as used in the lap before. */
	while (count--)
		put(queue, &cursor, 0, driver_rest(0, 0, DRIVER_AVAIL));
}

static DRIVER_INLINE int add(struct vh_driver_queue *queue,
			     const struct driver_request *request, void *token,
			     bool in_order)
{
	unsigned int count = request->readable_count + request->writable_count;
	bool table = count - 2 < queue->quick;
	unsigned int need = table ? 1 : count;
	struct cursor cursor = begin(queue, count);
	uint32_t id = in_order ? cursor.place.at : queue->free;
	uint64_t first = (uint64_t)id * queue->table_entries;
	uint64_t writable;

	if (!driver_fits(queue, request, need))
		return driver_refuse_add(queue, *request, need);
	if (table)
		writable = fill_table(queue, &cursor.walk, request, first);
	else
		writable = fill(queue, &cursor, request, id);
	if (!driver_walk_good(&cursor.walk)) {
		take_back(queue, table ? 0 : count);
		return driver_refuse_add(queue, *request, need);
	}
	if (table)
		put(queue, &cursor, queue->tables_at + first * 16,
		    driver_rest((size_t)16 * count, id, DRIVER_INDIRECT));
	if (!in_order)
		queue->free = queue->chains[id].link;
	driver_note(queue, id, need, writable, token);
	queue->packed.next = cursor.place;
	return 0;
}

static DRIVER_INLINE int add_one(struct vh_driver_queue *queue,
				 const struct iovec *iov, bool writable,
				 void *token, bool in_order)
{
	const struct driver_request read = {.readable = iov,
					    .readable_count = 1};
	const struct driver_request write = {.writable = iov,
					     .writable_count = 1};

	if (writable)
		return add(queue, &write, token, in_order);
	return add(queue, &read, token, in_order);
}

static int add_one_any_order(struct vh_driver_queue *queue,
			     const struct iovec *iov, bool writable,
			     void *token)
{
	return add_one(queue, iov, writable, token, false);
}

static int add_any_order(struct vh_driver_queue *queue,
			 const struct driver_request *request, void *token)
{
	return add(queue, request, token, false);
}

static int add_one_in_order(struct vh_driver_queue *queue,
			    const struct iovec *iov, bool writable, void *token)
{
	return add_one(queue, iov, writable, token, true);
}

static int add_in_order(struct vh_driver_queue *queue,
			const struct driver_request *request, void *token)
{
	return add(queue, request, token, true);
}

/* Whether the device wants a kick for the descriptors since old. */
static bool kick_wanted(const struct vh_driver_queue *queue,
			struct driver_place old)
{
	struct driver_place now = queue->packed.next;
	uint32_t event = vhi_load_le32(queue->packed.device_event);
	uint32_t mode = event >> 16 & 3;
	uint32_t shown, ago;

	if (mode == EVENT_DISABLE)
		return false;
	if (mode != EVENT_DESC || !queue->event_idx)
		return true;
	/* How many were shown, and how many of them ago the event was. */
	shown = now.at - old.at;
	if (now.flags != old.flags)
		shown += queue->num;
	ago = now.at - (event & (EVENT_WRAP - 1));
	if (!(event & EVENT_WRAP) != !(now.flags & DRIVER_AVAIL))
		ago += queue->num;
	return ago - 1 < shown;
}

static bool publish(struct vh_driver_queue *queue)
{
	struct driver_packed *packed = &queue->packed;
	struct driver_place old = packed->shown;

	/*
	 * Release: pairs with the device's acquire of the flags of this
	 * descriptor. What was written to buffers, and to this and all later
	 * descriptors, is seen by who sees it available.
	 */
	vhi_store_release_le64(&queue->descriptors[old.at].rest,
			       vhi_load_le64(&packed->withheld));
	packed->shown = packed->next;
	queue->published = queue->added;
	/*
	 * Pairs with the device's fence between asking for kicks (its event
	 * suppression) and looking at the next descriptor once more: either
	 * we see that it asks, or it sees our descriptor.
	 */
	full_fence();
	return kick_wanted(queue, old);
}

/* The device has written a used descriptor in the next place. */
static DRIVER_INLINE bool is_used(const struct vh_driver_queue *queue)
{
	/*
	 * Acquire: pairs with the device's release of the flags. We see id
	 * and length and what was written to the buffers, and write to them
	 * and to their descriptors only after the device is done with them.
	 */
	uint64_t rest =
	    vhi_load_acquire_le64(&queue->descriptors[queue->used.at].rest);

	return (rest >> 48 & LAP_FLAGS) == queue->used.flags;
}

/* Claims the chain that the next used descriptor names. */
static DRIVER_INLINE struct driver_chain *
next_used(struct vh_driver_queue *queue, uint32_t *ret_id,
	  uint32_t *ret_written)
{
	/* Read again, behind the acquire: the flags came last. */
	uint64_t rest = vhi_load_le64(&queue->descriptors[queue->used.at].rest);
	bool wrote = rest >> 48 & DRIVER_WRITE;

	*ret_id = rest >> 32 & 0xffff;
	*ret_written = wrote ? (uint32_t)rest : 0;
	return driver_claim(queue, *ret_id, *ret_written);
}

static int collect_any_order(struct vh_driver_queue *queue,
			     struct vh_driver_used used[], unsigned int max)
{
	unsigned int done;

	for (done = 0; done < max && queue->collected != queue->published &&
		       is_used(queue);
	     done++) {
		uint32_t id, written;
		struct driver_chain *chain = next_used(queue, &id, &written);

		if (DRIVER_UNLIKELY(!chain))
			break;
		driver_release(queue, chain, written, &used[done]);
		driver_move(queue, &queue->used, chain->descriptors);
		chain->link = (uint16_t)queue->free;
		queue->free = id;
	}
	return (int)done;
}

/*
 * A used descriptor covers all chains up to the one that it names; the next
 * one is as many descriptors further on.
 */
static DRIVER_INLINE bool next_batch(struct vh_driver_queue *queue)
{
	uint32_t id, written;
	struct driver_chain *chain = next_used(queue, &id, &written);

	if (DRIVER_UNLIKELY(!chain))
		return false;
	queue->batch_end = chain->turn + 1;
	queue->batch_written = written;
	return true;
}

static int collect_in_order(struct vh_driver_queue *queue,
			    struct vh_driver_used used[], unsigned int max)
{
	unsigned int done = 0;

	do
		done += driver_give(queue, &used[done], max - done);
	while (done < max && queue->collected != queue->published &&
	       is_used(queue) && next_batch(queue));
	return (int)done;
}

static bool want_calls(struct vh_driver_queue *queue, bool wanted)
{
	uint32_t value = EVENT_DISABLE << 16;

	if (wanted && queue->event_idx) {
		value = EVENT_DESC << 16 | queue->used.at;
		if (queue->used.flags & DRIVER_AVAIL)
			value |= EVENT_WRAP;
	} else if (wanted) {
		value = EVENT_ENABLE;
	}
	if (value == queue->calls)
		return false;
	queue->calls = value;
	/* In one, so that the device sees no new mode with an old place. */
	vhi_store_le32(queue->packed.driver_event, value);
	return true;
}

static bool pending(const struct vh_driver_queue *queue)
{
	/* The rest of a batch is ours already. */
	if (queue->collected < queue->batch_end)
		return true;
	return queue->collected != queue->published && is_used(queue);
}

const struct driver_ops driver_packed_ops[2] = {
    {add_one_any_order, add_any_order, publish, collect_any_order, want_calls,
     pending},
    {add_one_in_order, add_in_order, publish, collect_in_order, want_calls,
     pending},
};
