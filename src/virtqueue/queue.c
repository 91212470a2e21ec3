/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The life of a virtqueue, the maps that it holds, and how it breaks. */
#include "queue.h"
#include <base/check.h>
#include <base/fault.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * Address space for the pieces of long chains; only what is touched costs
 * memory. All but the largest queues have an area for each head in it; in
 * the others a chain that finds none waits.
 */
#define AREAS_MAX_SIZE (UINT64_C(1) << 30)

static size_t round_up(size_t size, size_t unit)
{
	return (size + unit - 1) / unit * unit;
}

/*
 * A chain of buffers that don't overlap has at most one piece for each
 * descriptor and one more for each border between regions.
 */
static uint32_t most_pieces(const struct vh_virtqueue_opts *opts)
{
	if (opts->max_segments)
		return opts->max_segments;
	return opts->num + VH_MEMORY_MAX_REGIONS;
}

/*
 * One mapping: slots, stack of free areas, areas by head, areas. It is
 * zero, and nothing of it is there until it is touched.
 */
static int map_arena(struct vh_virtqueue *queue)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint64_t area = queue->max_pieces * sizeof(struct iovec);
	uint64_t areas = 0;
	size_t slots = queue->num * sizeof(struct slot);
	size_t stacks = 2 * sizeof(uint16_t) * queue->num;
	size_t front = round_up(slots + stacks, page);
	char *arena;

	if (queue->max_pieces > SLOT_PIECES)
		areas = AREAS_MAX_SIZE / area;
	if (areas > queue->num)
		areas = queue->num;
	queue->arena_size = front + round_up((size_t)(areas * area), page);
	arena = mmap(NULL, queue->arena_size, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (arena == MAP_FAILED)
		return -ENOMEM;
	queue->slots = (void *)arena;
	queue->area_free = (void *)(arena + slots);
	queue->area_taken = queue->area_free + queue->num;
	queue->areas = (void *)(arena + front);
	/* A huge page for the few pieces that are used would be a waste. */
	if (areas)
		(void)madvise(queue->areas, queue->arena_size - front,
			      MADV_NOHUGEPAGE);
	for (queue->areas_left = 0; queue->areas_left < areas;
	     queue->areas_left++)
		queue->area_free[queue->areas_left] =
		    (uint16_t)(areas - 1 - queue->areas_left);
	return 0;
}

static int say(struct vh_fault *fault, const struct vh_virtqueue_opts *opts,
	       uint32_t code, int error, const char *what, uint64_t value)
{
	vhi_fault(fault, code, error, "virtio, Split Virtqueues",
		  "queue %u: %s %llu", opts->index, what,
		  (unsigned long long)value);
	if (fault)
		fault->queue = opts->index;
	return error;
}

static void take_opts(struct vh_virtqueue *queue,
		      const struct vh_virtqueue_opts *opts)
{
	queue->index = opts->index;
	queue->num = opts->num;
	queue->mask = opts->num - 1;
	queue->indirect = opts->features & FEATURE_INDIRECT;
	queue->event_idx = opts->features & FEATURE_EVENT_IDX;
	queue->descriptors_at = opts->descriptors;
	queue->avail_at = opts->available;
	queue->used_at = opts->used;
	queue->max_pieces = most_pieces(opts);
	queue->slot_pieces =
	    queue->max_pieces < SLOT_PIECES ? queue->max_pieces : SLOT_PIECES;
	queue->quick_pieces =
	    queue->slot_pieces < opts->num ? queue->slot_pieces : opts->num;
	vhi_fault_clear(&queue->fault);
}

int vh_virtqueue_new(const struct vh_virtqueue_opts *caller_opts,
		     struct vh_memory *memory, struct vh_fault *fault,
		     struct vh_virtqueue **ret_queue)
{
	struct vh_virtqueue_opts opts;
	struct vh_virtqueue *queue;
	int r = vhi_opts_copy(&opts, sizeof(opts), caller_opts);

	if (r < 0)
		return vhi_fault(fault, VH_FAULT_CALLER, r, NULL,
				 "the options of a virtqueue have a size or "
				 "members that aren't known");
	if (!vhi_is_power_of_2(opts.num) || opts.num > VH_VIRTQUEUE_MAX_SIZE)
		return say(fault, &opts, VH_FAULT_RING_SIZE, -EINVAL,
			   "the size isn't a power of two up to 32768, but",
			   opts.num);
	queue = aligned_alloc(64, round_up(sizeof(*queue), 64));
	if (!queue)
		return say(fault, &opts, VH_FAULT_SYSTEM, -ENOMEM,
			   "no memory for one of size", opts.num);
	memset(queue, 0, sizeof(*queue));
	take_opts(queue, &opts);
	r = split_attach(queue, memory, fault);
	if (r < 0) {
		free(queue);
		return r;
	}
	if (map_arena(queue) < 0) {
		free(queue);
		return say(fault, &opts, VH_FAULT_SYSTEM, -ENOMEM,
			   "no memory for one of size", opts.num);
	}
	queue->epoch = queue->epochs;
	queue->epoch->memory = vh_memory_ref(memory);
	split_start(queue, opts.base);
	if (opts.inflight)
		r = inflight_open(queue, opts.inflight, opts.inflight_size,
				  fault);
	if (r < 0) {
		vh_virtqueue_free(queue);
		return r;
	}
	*ret_queue = queue;
	return 0;
}

void vh_virtqueue_free(struct vh_virtqueue *queue)
{
	if (!queue)
		return;
	for (unsigned int i = 0; i < EPOCHS; i++)
		vh_memory_unref(queue->epochs[i].memory);
	munmap(queue->slots, queue->arena_size);
	inflight_close(&queue->inflight);
	free(queue);
}

void epoch_retire(struct epoch *epoch)
{
	vh_memory_unref(epoch->memory);
	*epoch = (struct epoch){.memory = NULL};
}

static struct epoch *free_epoch(struct vh_virtqueue *queue)
{
	for (unsigned int i = 0; i < EPOCHS; i++)
		if (!queue->epochs[i].memory)
			return &queue->epochs[i];
	return NULL;
}

int vh_virtqueue_set_memory(struct vh_virtqueue *queue,
			    struct vh_memory *memory)
{
	struct epoch *old = queue->epoch;
	struct epoch *new = free_epoch(queue);
	struct vh_fault fault;
	int r = 0;

	if (memory == old->memory)
		return 0;
	if (!old->inflight)
		new = old;
	if (!new)
		return -EAGAIN;
	/*
	 * A broken queue moves too, though its ring is never looked at
	 * again: it must not keep the old map.
	 */
	if (!queue->broken)
		r = split_attach(queue, memory, &fault);
	if (r < 0)
		vh_virtqueue_break(queue, fault.code, fault.section, "%s",
				   fault.text);
	memory = vh_memory_ref(memory);
	if (new == old)
		epoch_retire(old);
	new->memory = memory;
	queue->epoch = new;
	queue->epoch_number = (uint8_t)(new - queue->epochs);
	return r;
}

bool vh_virtqueue_holds_old_memory(const struct vh_virtqueue *queue)
{
	for (unsigned int i = 0; i < EPOCHS; i++)
		if (&queue->epochs[i] != queue->epoch &&
		    queue->epochs[i].memory)
			return true;
	return false;
}

unsigned int vh_virtqueue_inflight(const struct vh_virtqueue *queue)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < EPOCHS; i++)
		count += queue->epochs[i].inflight;
	return count;
}

void vh_virtqueue_break(struct vh_virtqueue *queue, uint32_t code,
			const char *section, const char *format, ...)
{
	va_list args;

	if (queue->broken)
		return;
	va_start(args, format);
	vhi_vfault(&queue->fault, code, -EPROTO, section, format, args);
	va_end(args);
	queue->fault.queue = queue->index;
	queue->broken = true;
}

const struct vh_fault *vh_virtqueue_fault(const struct vh_virtqueue *queue)
{
	return queue->broken ? &queue->fault : NULL;
}
