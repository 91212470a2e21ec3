/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The floor of the split ring. */
#include "floor.h"

#define MASK (RING_NUM - 1)

static INLINE struct vh_chain *take(struct floor *floor,
				    struct request *request, uint16_t head)
{
	struct pieces pieces = {.next = request->pieces};
	const struct raw *table = floor->descriptors;
	unsigned int index = head, flags;
	uint16_t descriptors = 0;

	do {
		uint64_t address = load64(&table[index].address);
		uint64_t rest = load64(&table[index].rest);

		flags = rest >> 32 & 0xffff;
		index = (unsigned int)(rest >> 48);
		if (flags & 4) {
			table = (const void *)(floor->delta + address);
			index = 0;
			flags = 1;
			continue;
		}
		floor_piece(floor, &pieces, address, (uint32_t)rest, flags & 2,
			    request);
		descriptors++;
	} while (flags & 1);
	return floor_fill(request, &pieces, head, descriptors);
}

static NOINLINE unsigned int pop(struct floor *floor, struct vh_chain **list,
				 unsigned int burst)
{
	uint16_t next = floor->avail_next;
	uint16_t index =
	    le16toh(__atomic_load_n(&floor->available[1], __ATOMIC_ACQUIRE));
	unsigned int n = (uint16_t)(index - next);

	if (n > burst)
		n = burst;
	for (unsigned int i = 0; i < n; i++)
		list[i] = take(floor, &floor->requests[i],
			       le16toh(floor->available[2 + (next++ & MASK)]));
	floor->avail_next = next;
	return n;
}

static INLINE void put(struct floor *floor, uint16_t at, uint32_t id,
		       uint32_t written)
{
	uint32_t *element = (uint32_t *)(void *)floor->used + 1 + 2 * at;

	__atomic_store_n(&element[0], htole32(id), __ATOMIC_RELAXED);
	__atomic_store_n(&element[1], htole32(written), __ATOMIC_RELAXED);
}

/* In order there is one element for a batch, where its first would be. */
static INLINE void push(struct floor *floor, struct vh_chain *const chains[],
			const uint32_t written[], unsigned int count,
			bool in_order, bool log)
{
	uint16_t next = floor->used_next;

	for (unsigned int i = 0; i < count; i++, next++) {
		struct request *request = (void *)chains[i];

		request->busy = 0;
		if (log)
			floor_log_chain(floor, chains[i]);
		if (in_order)
			floor->first_value =
			    (uint64_t)written[i] << 32 | request->id;
		else
			put(floor, next & MASK, request->id, written[i]);
	}
	floor->used_next = next;
}

static INLINE bool publish(struct floor *floor, bool in_order, bool log)
{
	uint16_t now = floor->used_next;
	uint16_t old = floor->used_shown;
	uint16_t event;

	if (in_order)
		put(floor, old & MASK, (uint32_t)floor->first_value,
		    (uint32_t)(floor->first_value >> 32));
	if (log)
		floor_log_ring(floor);
	floor->used_shown = now;
	__atomic_store_n(&floor->used[1], htole16(now), __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	event = le16toh(
	    __atomic_load_n(&floor->available[2 + RING_NUM], __ATOMIC_RELAXED));
	return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

FLOOR_VARIANT(plain, false, false)
FLOOR_VARIANT(logged, false, true)
FLOOR_VARIANT(in_order, true, false)
FLOOR_VARIANT(in_order_logged, true, true)

floor_run *const floor_split[2][2] = {
    {run_plain, run_logged},
    {run_in_order, run_in_order_logged},
};

bool floor_split_pending(void *user)
{
	const struct floor *floor = user;

	return le16toh(__atomic_load_n(&floor->available[1],
				       __ATOMIC_ACQUIRE)) != floor->avail_next;
}
