/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The floor of the packed ring. */
#include "floor.h"

/* of a descriptor's second word: length, id and flags from the lowest bit */
#define ID(rest)     ((uint16_t)((rest) >> 32))
#define FLAG(n)	     (UINT64_C(1) << (48 + (n)))
#define NEXT	     FLAG(0)
#define WRITE	     FLAG(1)
#define INDIRECT     FLAG(2)
#define AVAIL	     FLAG(7)
#define USED	     FLAG(15)

#define EVENT_OFF    1
#define EVENT_AT_ONE 2

/* A place in the ring, and its wrap counter. */
struct place {
	unsigned int at;
	bool wrap;
};

static INLINE bool is_available(struct place place, uint64_t rest)
{
	uint64_t both = place.wrap ? AVAIL : USED;

	return (rest & (AVAIL | USED)) == both;
}

static INLINE void step(struct place *place)
{
	if (++place->at == RING_NUM) {
		place->at = 0;
		place->wrap = !place->wrap;
	}
}

static INLINE struct vh_chain *take_table(const struct floor *floor,
					  struct request *request,
					  const struct raw *table,
					  uint64_t rest)
{
	struct pieces pieces = {.next = request->pieces};
	const struct raw *end = table + (uint32_t)rest / sizeof(*table);

	for (; table < end; table++) {
		uint64_t address = load64(&table->address);
		uint64_t entry = load64(&table->rest);

		floor_piece(floor, &pieces, address, (uint32_t)entry,
			    entry & WRITE, request);
	}
	return floor_fill(request, &pieces, ID(rest), 1);
}

static INLINE struct vh_chain *take(struct floor *floor,
				    struct request *request,
				    struct place *place, uint64_t rest)
{
	struct pieces pieces = {.next = request->pieces};
	uint64_t address = load64(&floor->descriptors[place->at].address);
	uint16_t descriptors = 1;

	step(place);
	if (rest & INDIRECT)
		return take_table(floor, request,
				  (const void *)(floor->delta + address), rest);
	floor_piece(floor, &pieces, address, (uint32_t)rest, rest & WRITE,
		    request);
	if (!(rest & NEXT))
		return floor_fill(request, &pieces, ID(rest), 1);
	do {
		const struct raw *raw = &floor->descriptors[place->at];

		address = load64(&raw->address);
		rest = load64(&raw->rest);
		step(place);
		floor_piece(floor, &pieces, address, (uint32_t)rest,
			    rest & WRITE, request);
		descriptors++;
	} while (rest & NEXT);
	return floor_fill(request, &pieces, ID(rest), descriptors);
}

static INLINE uint64_t load_rest(const struct floor *floor, struct place place)
{
	return le64toh(__atomic_load_n(&floor->descriptors[place.at].rest,
				       __ATOMIC_ACQUIRE));
}

static NOINLINE unsigned int pop(struct floor *floor, struct vh_chain **list,
				 unsigned int burst)
{
	struct place place = {floor->avail_next, floor->avail_wrap};
	unsigned int n;

	for (n = 0; n < burst; n++) {
		uint64_t rest = load_rest(floor, place);

		if (!is_available(place, rest))
			break;
		list[n] = take(floor, &floor->requests[n], &place, rest);
	}
	floor->avail_next = (uint16_t)place.at;
	floor->avail_wrap = place.wrap;
	return n;
}

/*
 * The first element of a batch is kept back, and in order all others are left
 * out: the last chain's id goes into the first element.
 */
static INLINE void push(struct floor *floor, struct vh_chain *const chains[],
			const uint32_t written[], unsigned int count,
			bool in_order, bool log)
{
	uint64_t used_flags = floor->used_flags;
	unsigned int next = floor->used_next;

	for (unsigned int i = 0; i < count; i++) {
		struct request *request = (void *)chains[i];
		uint64_t *at = &floor->descriptors[next].rest;
		uint64_t value = (uint64_t)request->id << 32 | written[i];

		if (written[i])
			value |= WRITE;
		request->busy = 0;
		if (log)
			floor_log_chain(floor, chains[i]);
		if (!floor->first) {
			floor->first = at;
			floor->first_flags = used_flags;
			floor->first_value = value;
		} else if (in_order) {
			floor->first_value = value;
		} else {
			__atomic_store_n(at, htole64(value | used_flags),
					 __ATOMIC_RELAXED);
		}
		next += chains[i]->descriptors;
		if (next >= RING_NUM) {
			next -= RING_NUM;
			used_flags ^= AVAIL | USED;
		}
	}
	floor->used_flags = used_flags;
	floor->used_next = (uint16_t)next;
}

/* Whether the driver asks for a call at one of the places just passed. */
static INLINE bool passed_event(const struct floor *floor, uint32_t event)
{
	int now = floor->used_next, old = floor->used_shown;
	int at = event & 0x7fff;

	if (old > now)
		old -= RING_NUM;
	if (!(event >> 15 & 1) != !floor->used_flags)
		at -= RING_NUM;
	return at >= old && at < now;
}

static INLINE bool publish(struct floor *floor, bool in_order, bool log)
{
	uint32_t event;
	bool call;

	(void)in_order;
	if (log)
		floor_log_ring(floor);
	__atomic_store_n(floor->first,
			 htole64(floor->first_value | floor->first_flags),
			 __ATOMIC_RELEASE);
	floor->first = NULL;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	event = le32toh(
	    __atomic_load_n((const uint32_t *)(const void *)floor->available,
			    __ATOMIC_RELAXED));
	call = event >> 16 == EVENT_AT_ONE ? passed_event(floor, event)
					   : event >> 16 != EVENT_OFF;
	floor->used_shown = floor->used_next;
	return call;
}

FLOOR_VARIANT(plain, false, false)
FLOOR_VARIANT(logged, false, true)
FLOOR_VARIANT(in_order, true, false)
FLOOR_VARIANT(in_order_logged, true, true)

floor_run *const floor_packed[2][2] = {
    {run_plain, run_logged},
    {run_in_order, run_in_order_logged},
};

bool floor_packed_pending(void *user)
{
	const struct floor *floor = user;
	struct place place = {floor->avail_next, floor->avail_wrap};

	return is_available(place, load_rest(floor, place));
}
