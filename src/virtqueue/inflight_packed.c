/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Requests in flight of a packed ring, in shared memory (vhost-user,
 * "Inflight I/O tracking").
 *
 * Used descriptors overwrite available ones, so the area has a copy of each
 * descriptor in flight. Entries are lists: those of a chain, and one of free
 * entries. We keep the links ourselves and only ever write them to the area;
 * it is read once, when a queue starts, and not trusted then.
 */
#include "slot.h"

#include <base/fault.h>
#include <base/shared.h>
#include <stdlib.h>

#define SECTION "Inflight I/O tracking"

struct packed_entry {
	uint8_t inflight;
	uint8_t padding;
	uint16_t next;
	uint16_t last;
	uint16_t num;
	uint64_t counter;
	uint16_t id;
	uint16_t flags;
	uint32_t len;
	uint64_t addr;
};

/*
 * Places of the ring. A place and its wrap counter mean nothing without each
 * other, so all are stored at once.
 */
union packed_places {
	struct {
		uint16_t used_idx;
		uint16_t old_used_idx;
		uint8_t used_wrap_counter;
		uint8_t old_used_wrap_counter;
		uint8_t padding[2];
	};
	uint64_t word;
};

struct packed_area {
	uint64_t features;
	uint16_t version; /* 0: fresh */
	uint16_t desc_num;
	uint16_t free_head;
	uint16_t old_free_head;
	union packed_places places;
	uint8_t padding[8];
	struct packed_entry entries[];
};

_Static_assert(sizeof(struct packed_entry) == 32, "as the text has it");
_Static_assert(sizeof(struct packed_area) == 32, "as the text has it");

/* A request that is to be popped again: a part of the private table. */
struct resend {
	uint64_t counter;
	uint16_t entry; /* the first */
	uint16_t count;
	uint32_t from; /* in the table */
};

struct vhi_inflight_packed {
	uint16_t free_head;
	uint16_t place; /* that the driver was shown last */
	bool wrap;
	uint16_t *next;	 /* of every entry */
	uint16_t *last;	 /* of the chain that begins there */
	uint16_t *entry; /* by slot: where its chain begins */
	uint16_t *batch; /* given back and not shown */
	uint32_t batch_count;
	struct resend *resend;
	struct raw_descriptor *table; /* what the resends consist of */
};

/* The device writes these, and whoever comes after a crash reads them. */
#define STORE(place, value) __atomic_store_n(&(place), value, __ATOMIC_RELAXED)
#define LOAD(place)	    __atomic_load_n(&(place), __ATOMIC_RELAXED)

static struct packed_area *area_of(const struct vh_virtqueue *queue)
{
	return (struct packed_area *)queue->inflight.area;
}

static void copy_descriptor(struct packed_entry *entry,
			    const struct raw_descriptor *raw)
{
	uint64_t rest = vhi_load_le64(&raw->rest);

	STORE(entry->addr, vhi_load_le64(&raw->address));
	STORE(entry->len, (uint32_t)rest);
	STORE(entry->id, (uint16_t)(rest >> 32));
	STORE(entry->flags, (uint16_t)(rest >> 48));
}

/*
 * The descriptors are read once more here. A driver that changes them
 * meanwhile deceives whoever pops this chain after a crash, who will check
 * them as he checks all others.
 */
void inflight_packed_take(struct vh_virtqueue *queue, const struct slot *slot,
			  uint32_t place)
{
	struct vhi_inflight_packed *own = queue->inflight.packed;
	struct packed_area *area = area_of(queue);
	uint16_t head = own->free_head, at = head, last = head;

	STORE(area->entries[head].num, queue->taken[slot->head]);
	STORE(area->entries[head].counter, queue->inflight.counter++);
	for (uint32_t i = 0; i < queue->taken[slot->head]; i++) {
		copy_descriptor(&area->entries[at],
				&queue->packed.descriptors[place]);
		if (++place == queue->num)
			place = 0;
		last = at;
		at = own->next[at];
	}
	own->entry[slot_number(queue, slot)] = head;
	own->last[head] = last;
	own->free_head = at;
	STORE(area->entries[head].last, last);
	STORE(area->free_head, at);
	inflight_order();
	STORE(area->entries[head].inflight, 1);
	inflight_order();
	STORE(area->old_free_head, at);
}

/*
 * The entries aren't free before the driver is shown the batch: after a crash
 * that comes earlier the chain is in flight, as it was.
 */
void inflight_packed_give(struct vh_virtqueue *queue, const struct slot *slot)
{
	struct vhi_inflight_packed *own = queue->inflight.packed;

	own->batch[own->batch_count++] = own->entry[slot_number(queue, slot)];
}

static void store_places(struct vhi_inflight_packed *own,
			 struct packed_area *area, uint16_t place, bool wrap)
{
	const union packed_places places = {
	    .used_idx = place,
	    .old_used_idx = own->place,
	    .used_wrap_counter = wrap,
	    .old_used_wrap_counter = own->wrap,
	};

	STORE(area->places.word, places.word);
}

/* What is about to be shown, in case that we don't come back from it. */
void inflight_packed_show(struct vh_virtqueue *queue)
{
	struct vhi_inflight_packed *own = queue->inflight.packed;
	struct packed_area *area = area_of(queue);
	uint32_t base = packed_base(queue);

	for (uint32_t i = 0; i < own->batch_count; i++) {
		uint16_t head = own->batch[i], last = own->last[head];

		own->next[last] = own->free_head;
		STORE(area->entries[last].next, own->free_head);
		own->free_head = head;
	}
	STORE(area->free_head, own->free_head);
	inflight_order();
	store_places(own, area, base >> 16 & 0x7fff, base >> 31);
	inflight_order();
}

void inflight_packed_shown(struct vh_virtqueue *queue)
{
	struct vhi_inflight_packed *own = queue->inflight.packed;
	struct packed_area *area = area_of(queue);
	uint32_t base = packed_base(queue);

	inflight_order();
	for (uint32_t i = 0; i < own->batch_count; i++)
		STORE(area->entries[own->batch[i]].inflight, 0);
	own->batch_count = 0;
	inflight_order();
	STORE(area->old_free_head, own->free_head);
	own->place = base >> 16 & 0x7fff;
	own->wrap = base >> 31;
	store_places(own, area, own->place, own->wrap);
}

const struct raw_descriptor *inflight_packed_resend(struct vh_virtqueue *queue,
						    const struct slot *slot,
						    uint32_t *ret_count)
{
	struct vhi_inflight_packed *own = queue->inflight.packed;
	const struct resend *resend = &own->resend[queue->inflight.resend_next];

	own->entry[slot_number(queue, slot)] = resend->entry;
	*ret_count = resend->count;
	return own->table + resend->from;
}

static int by_counter(const void *a, const void *b)
{
	const struct resend *x = a;
	const struct resend *y = b;

	if (x->counter != y->counter)
		return x->counter < y->counter ? -1 : 1;
	return x->entry < y->entry ? -1 : x->entry > y->entry;
}

/* What was read of the area, once. */
struct recovery {
	struct vh_virtqueue *queue;
	struct vhi_inflight_packed *own;
	uint8_t *seen;	 /* entries that belong to a chain or are free */
	uint32_t filled; /* of the table: descriptors in flight */
};

/* Copies a chain's descriptors. False if its list can't be one. */
static bool collect_chain(struct recovery *r, uint16_t head, uint16_t count)
{
	const struct packed_area *area = area_of(r->queue);
	uint32_t num = r->queue->num;
	uint16_t at = head;

	if (!count || count > num - r->filled)
		return false;
	for (uint16_t i = 0; i < count; i++) {
		const struct packed_entry *entry;
		bool more = i + 1 < count;
		uint64_t flags;

		if (at >= num || r->seen[at])
			return false;
		r->seen[at] = 1;
		entry = &area->entries[at];
		/* The list says how long it is, and not its flags. */
		flags = LOAD(entry->flags) & ~DESCRIPTOR_NEXT;
		if (more)
			flags |= DESCRIPTOR_NEXT;
		r->own->table[r->filled++] = (struct raw_descriptor){
		    .address = htole64(LOAD(entry->addr)),
		    .rest =
			htole64(LOAD(entry->len) |
				(uint64_t)LOAD(entry->id) << 32 | flags << 48),
		};
		r->own->last[head] = at;
		if (!more)
			break;
		r->own->next[at] = LOAD(entry->next);
		at = r->own->next[at];
	}
	return true;
}

static bool collect(struct recovery *r)
{
	struct inflight *inflight = &r->queue->inflight;
	const struct packed_area *area = area_of(r->queue);

	for (uint32_t i = 0; i < r->queue->num; i++) {
		const struct packed_entry *entry = &area->entries[i];
		struct resend *resend = &r->own->resend[inflight->resend_count];

		if (LOAD(entry->inflight) != 1)
			continue;
		*resend = (struct resend){
		    .counter = LOAD(entry->counter),
		    .entry = (uint16_t)i,
		    .count = LOAD(entry->num),
		    .from = r->filled,
		};
		if (!collect_chain(r, (uint16_t)i, resend->count))
			return false;
		inflight->resend_count++;
	}
	qsort(r->own->resend, inflight->resend_count, sizeof(struct resend),
	      by_counter);
	if (inflight->resend_count)
		inflight->counter =
		    r->own->resend[inflight->resend_count - 1].counter + 1;
	return true;
}

/* All that no chain has, in the order of the entries. */
static void make_free_list(struct recovery *r)
{
	struct packed_area *area = area_of(r->queue);
	uint16_t next = (uint16_t)r->queue->num; /* the end, never followed */

	for (uint32_t i = r->queue->num; i-- > 0;) {
		if (r->seen[i])
			continue;
		r->own->next[i] = next;
		STORE(area->entries[i].next, next);
		STORE(area->entries[i].inflight, 0);
		next = (uint16_t)i;
	}
	r->own->free_head = next;
	STORE(area->free_head, next);
	STORE(area->old_free_head, next);
}

/*
 * The crash may have come between showing the driver a batch and noting
 * that. Whether it has seen it, the ring says: the first descriptor of the
 * batch is still available or it isn't.
 */
static bool batch_was_shown(const struct vh_virtqueue *queue, uint16_t place,
			    bool wrap)
{
	const uint64_t both = DESCRIPTOR_AVAIL | DESCRIPTOR_USED;
	uint64_t bits = vhi_load_le64(&queue->packed.descriptors[place].rest);

	return (bits >> 48 & both) !=
	       (wrap ? DESCRIPTOR_AVAIL : DESCRIPTOR_USED);
}

/* Those that are free by then aren't in flight: the batch went through. */
static void finish_batch(const struct vh_virtqueue *queue)
{
	struct packed_area *area = area_of(queue);
	uint16_t at = LOAD(area->free_head);

	for (uint32_t i = 0; i < queue->num && at < queue->num; i++) {
		STORE(area->entries[at].inflight, 0);
		at = LOAD(area->entries[at].next);
	}
}

static int contradiction(const struct vh_virtqueue *queue,
			 struct vh_fault *fault, const char *what,
			 unsigned int value)
{
	return vhi_fault(fault, VH_FAULT_MSG_FIELD, -EINVAL, SECTION,
			 "queue %u of size %u: the area's %s is %u",
			 queue->index, queue->num, what, value);
}

/* Where the used descriptors go on; -EINVAL if that is nowhere. */
static int take_place(struct vh_virtqueue *queue, struct vh_fault *fault,
		      uint16_t *ret_place, bool *ret_wrap)
{
	const union packed_places places = {
	    .word = LOAD(area_of(queue)->places.word)};
	uint16_t old = places.old_used_idx, now = places.used_idx;
	bool old_wrap = places.old_used_wrap_counter & 1;
	bool wrap = places.used_wrap_counter & 1;

	if (old >= queue->num)
		return contradiction(queue, fault, "old_used_idx", old);
	if (now >= queue->num)
		return contradiction(queue, fault, "used_idx", now);
	*ret_place = old;
	*ret_wrap = old_wrap;
	if (now == old && wrap == old_wrap)
		return 0;
	if (batch_was_shown(queue, old, old_wrap)) {
		finish_batch(queue);
		*ret_place = now;
		*ret_wrap = wrap;
	}
	return 0;
}

/*
 * Of a batch that wasn't shown, all used descriptors but the first may be in
 * the ring. The driver must not find them there when it comes to their place:
 * what is in flight looks available again.
 */
static void hide_batch(const struct recovery *r, uint32_t place, bool wrap)
{
	struct raw_descriptor *ring = r->queue->packed.descriptors;
	const uint64_t both = DESCRIPTOR_AVAIL | DESCRIPTOR_USED;

	for (uint32_t i = 0; i < r->filled; i++) {
		uint64_t rest = vhi_load_le64(&ring[place].rest);
		uint64_t bits = wrap ? DESCRIPTOR_AVAIL : DESCRIPTOR_USED;

		vhi_store_le64(&ring[place].rest,
			       (rest & ~(both << 48)) | bits << 48);
		if (++place == r->queue->num) {
			place = 0;
			wrap = !wrap;
		}
	}
}

/* Both are this one. */
static void begin_at(const struct recovery *r, uint16_t place, bool wrap)
{
	r->own->place = place;
	r->own->wrap = wrap;
	store_places(r->own, area_of(r->queue), place, wrap);
}

static int recover(struct recovery *r, struct vh_fault *fault)
{
	struct vh_virtqueue *queue = r->queue;
	uint32_t avail;
	uint16_t place = 0;
	bool wrap = false, avail_wrap;
	int err = take_place(queue, fault, &place, &wrap);

	if (err < 0)
		return err;
	if (!collect(r))
		return contradiction(queue, fault, "list of requests wrong at",
				     queue->inflight.resend_count);
	make_free_list(r);
	hide_batch(r, place, wrap);
	begin_at(r, place, wrap);
	/* Every descriptor is given back, in flight, or still to be taken. */
	avail = place + r->filled;
	avail_wrap = wrap;
	if (avail >= queue->num) {
		avail -= queue->num;
		avail_wrap = !wrap;
	}
	queue->base = avail | (uint32_t)avail_wrap << 15 |
		      (uint32_t)place << 16 | (uint32_t)wrap << 31;
	return packed_restart(queue, fault);
}

static void begin_fresh(struct recovery *r)
{
	struct packed_area *area = area_of(r->queue);
	uint32_t base = packed_base(r->queue);

	make_free_list(r);
	area->features = 0;
	area->desc_num = (uint16_t)r->queue->num;
	begin_at(r, base >> 16 & 0x7fff, base >> 31);
	inflight_order();
	STORE(area->version, 1);
}

static struct vhi_inflight_packed *own_new(uint32_t num)
{
	struct vhi_inflight_packed *own = calloc(1, sizeof(*own));

	if (!own)
		return NULL;
	own->next = calloc(4UL * num, sizeof(uint16_t));
	own->resend = calloc(num + 1UL, sizeof(*own->resend));
	own->table = calloc(num, sizeof(*own->table));
	if (!own->next || !own->resend || !own->table) {
		inflight_packed_close(own);
		return NULL;
	}
	own->last = own->next + num;
	own->entry = own->last + num;
	own->batch = own->entry + num;
	return own;
}

void inflight_packed_close(struct vhi_inflight_packed *own)
{
	if (!own)
		return;
	free(own->next);
	free(own->resend);
	free(own->table);
	free(own);
}

int inflight_packed_open(struct vh_virtqueue *queue, void *memory, size_t size,
			 struct vh_fault *fault)
{
	size_t need = VH_VIRTQUEUE_INFLIGHT_SIZE_PACKED(queue->num);
	struct recovery r = {.queue = queue};
	struct packed_area *area = memory;
	uint16_t version;
	int err = 0;

	if (size < need)
		return vhi_fault(fault, VH_FAULT_MSG_FIELD, -EINVAL, SECTION,
				 "queue %u of size %u needs %zu bytes in the "
				 "area, there are %zu",
				 queue->index, queue->num, need, size);
	version = LOAD(area->version);
	if (version > 1)
		return contradiction(queue, fault, "version", version);
	r.own = queue->inflight.packed = own_new(queue->num);
	r.seen = calloc(queue->num, 1);
	if (!r.own || !r.seen) {
		free(r.seen);
		return -ENOMEM;
	}
	queue->inflight.area = memory;
	if (version)
		err = recover(&r, fault);
	else
		begin_fresh(&r);
	free(r.seen);
	return err;
}
