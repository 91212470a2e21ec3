/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The life of a driver's queue, where buffers lie, and how it breaks. */
#include "driver.h"
#include "fence.h"
#include <base/check.h>
#include <base/fault.h>
#include <stdlib.h>

#define LINE 64

/* Where the parts are, in bytes behind the descriptors. */
struct layout {
	size_t available;
	size_t used;
	size_t tables;
	size_t size;
	uint32_t table_entries;
};

static size_t round_up(size_t size)
{
	return (size + LINE - 1) / LINE * LINE;
}

static bool size_possible(uint32_t num, uint64_t features)
{
	return num > 0 && num <= 32768 &&
	       (features & VH_F_RING_PACKED || vhi_is_power_of_2(num));
}

/* Each part has cache lines of its own. */
static struct layout lay_out(uint32_t num, uint64_t features, uint32_t entries)
{
	bool packed = features & VH_F_RING_PACKED;
	struct layout layout = {.available = round_up(16 * (size_t)num)};

	layout.used = layout.available + round_up(packed ? 4 : 6 + 2 * num);
	layout.tables = layout.used + round_up(packed ? 4 : 6 + 8 * num);
	layout.table_entries = entries < num ? entries : num;
	if (entries < 2 || !(features & VH_F_INDIRECT_DESC))
		layout.table_entries = 0;
	layout.size = layout.tables + (size_t)16 * num * layout.table_entries;
	return layout;
}

size_t vh_driver_queue_size(uint32_t num, uint64_t features,
			    uint32_t table_entries)
{
	if (!size_possible(num, features))
		return 0;
	return lay_out(num, features, table_entries).size;
}

static int by_user(const void *one, const void *other)
{
	const struct driver_region *a = one;
	const struct driver_region *b = other;

	return (a->user > b->user) - (a->user < b->user);
}

/* A map never changes, so its regions may be put into another order. */
static int take_memory(struct vh_driver_queue *queue, struct vh_memory *memory)
{
	unsigned int count = vh_memory_count(memory);
	struct vh_region region;

	queue->regions = calloc(count ? count : 1, sizeof(*queue->regions));
	if (!queue->regions)
		return -ENOMEM;
	for (unsigned int i = 0; i < count; i++) {
		if (vh_memory_region(memory, i, &region) < 0)
			break;
		queue->regions[i] = (struct driver_region){
		    .user = region.user.raw,
		    .size = region.size,
		    .to_guest = region.guest - region.user.raw,
		};
		queue->region_count++;
	}
	qsort(queue->regions, queue->region_count, sizeof(*queue->regions),
	      by_user);
	queue->memory = vh_memory_ref(memory);
	return 0;
}

bool driver_find_region(struct vh_driver_queue *queue, uint64_t address,
			uint64_t length)
{
	unsigned int low = 0;

	/* The hit leaves out the last byte there is. */
	if (!queue->memory)
		return length == 0 || !vhi_range_wraps(address, length);
	for (unsigned int n = queue->region_count; n > 1;) {
		unsigned int half = n / 2;

		if (queue->regions[low + half].user <= address)
			low += half;
		n -= half;
	}
	if (queue->region_count == 0 ||
	    !vhi_range_inside(address, length, queue->regions[low].user,
			      queue->regions[low].size))
		return false;
	queue->hit = queue->regions[low];
	return true;
}

static int fail(struct vh_fault *fault, const struct vh_driver_queue_opts *opts,
		uint32_t code, int error, const char *what, uint32_t value)
{
	vhi_fault(fault, code, error, "virtio, Virtqueues",
		  "driver queue %u: %s %u", opts->index, what, value);
	if (fault)
		fault->queue = opts->index;
	return error;
}

static int check_opts(const struct vh_driver_queue_opts *opts,
		      struct vh_fault *fault)
{
	if (!size_possible(opts->num, opts->features))
		return fail(fault, opts, VH_FAULT_RING_SIZE, -EINVAL,
			    opts->features & VH_F_RING_PACKED
				? "the size isn't 1 to 32768, but"
				: "the size isn't a power of two up to "
				  "32768, but",
			    opts->num);
	if (!opts->ring || (uintptr_t)opts->ring % LINE ||
	    opts->ring_at % LINE ||
	    vhi_range_wraps(opts->ring_at,
			    vh_driver_queue_size(opts->num, opts->features,
						 opts->table_entries)))
		return fail(fault, opts, VH_FAULT_RING_ADDR, -EINVAL,
			    "the memory for the ring or its guest address "
			    "isn't there or not aligned to",
			    LINE);
	return 0;
}

static void take_opts(struct vh_driver_queue *queue,
		      const struct vh_driver_queue_opts *opts)
{
	struct layout layout =
	    lay_out(opts->num, opts->features, opts->table_entries);
	char *ring = opts->ring;

	queue->descriptors = (void *)ring;
	queue->descriptors_at = opts->ring_at;
	queue->available_at = opts->ring_at + layout.available;
	queue->used_at = opts->ring_at + layout.used;
	queue->tables = (void *)(ring + layout.tables);
	queue->tables_at = opts->ring_at + layout.tables;
	queue->table_entries = layout.table_entries;
	queue->quick = layout.table_entries ? layout.table_entries - 1 : 0;
	queue->num = opts->num;
	queue->mask = opts->num - 1;
	queue->room = opts->num;
	queue->index = opts->index;
	queue->event_idx = opts->features & VH_F_EVENT_IDX;
	queue->is_packed = opts->features & VH_F_RING_PACKED;
	queue->hit = (struct driver_region){
	    .size = opts->memory ? 0 : UINT64_MAX,
	};
	memset(ring, 0, layout.tables);
}

static void start(struct vh_driver_queue *queue,
		  const struct vh_driver_queue_opts *opts)
{
	bool in_order = opts->features & VH_F_IN_ORDER;
	char *ring = opts->ring;
	void *available = ring + (queue->available_at - opts->ring_at);
	void *used = ring + (queue->used_at - opts->ring_at);

	for (uint32_t i = 0; i < queue->num; i++)
		queue->chains[i].turn = DRIVER_FREE;
	if (queue->is_packed) {
		queue->ops = driver_packed_ops[in_order];
		queue->packed.driver_event = available;
		queue->packed.device_event = used;
		driver_packed_start(queue);
	} else {
		queue->ops = driver_split_ops[in_order];
		queue->split.available = available;
		queue->split.used = used;
		queue->split.next = (void *)&queue->chains[queue->num];
		driver_split_start(queue, opts->base);
	}
}

int vh_driver_queue_new(const struct vh_driver_queue_opts *caller_opts,
			struct vh_fault *fault,
			struct vh_driver_queue **ret_queue)
{
	size_t front = round_up(sizeof(struct vh_driver_queue));
	struct vh_driver_queue_opts opts;
	struct vh_driver_queue *queue;
	size_t size;
	int r = vhi_opts_copy(&opts, sizeof(opts), caller_opts);

	if (r < 0)
		return vhi_fault(fault, VH_FAULT_CALLER, r, NULL,
				 "the options of a driver queue have a size "
				 "or members that aren't known");
	r = check_opts(&opts, fault);
	if (r < 0)
		return r;
	size = front + round_up(opts.num * (sizeof(*queue->chains) +
					    sizeof(*queue->split.next)));
	queue = aligned_alloc(LINE, size);
	if (queue) {
		memset(queue, 0, size);
		queue->chains = (void *)((char *)queue + front);
		if (opts.memory)
			r = take_memory(queue, opts.memory);
	}
	if (!queue || r < 0) {
		free(queue);
		return fail(fault, &opts, VH_FAULT_SYSTEM, -ENOMEM,
			    "no memory for one of size", opts.num);
	}
	take_opts(queue, &opts);
	start(queue, &opts);
	*ret_queue = queue;
	return 0;
}

void vh_driver_queue_free(struct vh_driver_queue *queue)
{
	if (!queue)
		return;
	vh_memory_unref(queue->memory);
	free(queue->regions);
	free(queue);
}

void vh_driver_queue_addresses(const struct vh_driver_queue *queue,
			       vh_gpa *ret_descriptors, vh_gpa *ret_available,
			       vh_gpa *ret_used)
{
	*ret_descriptors = queue->descriptors_at;
	*ret_available = queue->available_at;
	*ret_used = queue->used_at;
}

uint32_t vh_driver_queue_base(const struct vh_driver_queue *queue)
{
	uint32_t place = queue->used.at;

	if (!queue->is_packed)
		return (uint16_t)queue->collected;
	if (queue->used.flags & DRIVER_AVAIL)
		place |= UINT32_C(1) << 15;
	return place << 16 | place;
}

/* The lengths are those of a chain that can be. */
static bool lengths_possible(const struct driver_request *request)
{
	unsigned int count = request->readable_count + request->writable_count;
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < count; i++) {
		bool write = i >= request->readable_count;
		const struct iovec *iov =
		    write ? &request->writable[i - request->readable_count]
			  : &request->readable[i];

		if (iov->iov_len > UINT32_MAX)
			return false;
		bytes += iov->iov_len;
	}
	return bytes <= UINT32_MAX;
}

int driver_refuse_add(const struct vh_driver_queue *queue,
		      struct driver_request request, unsigned int descriptors)
{
	if (queue->broken)
		return -EPROTO;
	if (!driver_fits(queue, &request, 0))
		return -EINVAL;
	if (descriptors > queue->room)
		return -ENOSPC;
	return lengths_possible(&request) ? -EFAULT : -EINVAL;
}

int vh_driver_queue_add(struct vh_driver_queue *queue,
			const struct iovec readable[],
			unsigned int readable_count,
			const struct iovec writable[],
			unsigned int writable_count, void *token)
{
	const struct driver_request request = {readable, writable,
					       readable_count, writable_count};

	if ((uint64_t)readable_count + writable_count == 1)
		return queue->ops.add_one(queue,
					  readable_count ? readable : writable,
					  writable_count, token);
	return queue->ops.add(queue, &request, token);
}

bool vh_driver_queue_publish(struct vh_driver_queue *queue)
{
	if (queue->added == queue->published || DRIVER_UNLIKELY(queue->broken))
		return false;
	return queue->ops.publish(queue);
}

int vh_driver_queue_collect(struct vh_driver_queue *queue,
			    struct vh_driver_used used[], unsigned int max)
{
	int done;

	if (DRIVER_UNLIKELY(queue->broken))
		return -EPROTO;
	done = queue->ops.collect(queue, used, max);
	if (DRIVER_LIKELY(!queue->broken))
		return done;
	queue->room = 0;
	return done ? done : -EPROTO;
}

void vh_driver_queue_disable_calls(struct vh_driver_queue *queue)
{
	/* Advice only: it may be seen at any time, so it needs no order. */
	if (!queue->broken)
		(void)queue->ops.want_calls(queue, false);
}

bool vh_driver_queue_enable_calls(struct vh_driver_queue *queue)
{
	if (queue->broken)
		return true;
	/*
	 * Pairs with the device's fence between showing a used chain (the
	 * used index, or a used descriptor's flags) and reading whether we
	 * want a call: either it sees that we ask, or we see its chain. If
	 * nothing was stored, an earlier fence stands.
	 */
	if (queue->ops.want_calls(queue, true))
		full_fence();
	return queue->ops.pending(queue);
}

unsigned int vh_driver_queue_inflight(const struct vh_driver_queue *queue)
{
	return (unsigned int)(queue->added - queue->collected);
}

unsigned int vh_driver_queue_room(const struct vh_driver_queue *queue)
{
	return queue->room;
}

const struct vh_fault *
vh_driver_queue_fault(const struct vh_driver_queue *queue)
{
	return queue->broken ? &queue->fault : NULL;
}

void driver_break(struct vh_driver_queue *queue, uint32_t code,
		  const char *section, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vhi_vfault(&queue->fault, code, -EPROTO, section, format, args);
	va_end(args);
	queue->fault.queue = queue->index;
	queue->broken = true;
	queue->room = 0;
}

void driver_refuse_used(struct vh_driver_queue *queue, uint32_t id,
			uint32_t written)
{
	const char *section =
	    queue->is_packed ? "virtio, Receiving Used Buffers From The Device"
			     : "virtio, The Virtqueue Used Ring";

	if (id >= queue->num)
		driver_break(queue, VH_FAULT_USED_ID, section,
			     "queue %u: the device used id %u of a queue of %u",
			     queue->index, id, queue->num);
	else if (queue->chains[id].turn >= queue->published)
		driver_break(queue, VH_FAULT_USED_ID, section,
			     "queue %u: the device used id %u, which isn't "
			     "in flight",
			     queue->index, id);
	else
		driver_break(queue, VH_FAULT_USED_LENGTH, section,
			     "queue %u: the device wrote %u bytes to id %u, "
			     "which has room for %u",
			     queue->index, written, id,
			     queue->chains[id].writable);
}
