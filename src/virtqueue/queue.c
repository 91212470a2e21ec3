/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The life of a virtqueue, the maps that it holds, and how it breaks. */
#include "queue.h"
#include "fence.h"
#include "slot.h"
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
 * descriptor and one more for each border between regions. Tables of drivers
 * that we know have up to 1024 descriptors, whatever the size of the ring.
 */
#define TABLE_PIECES 1024

static uint32_t most_pieces(const struct vh_virtqueue_opts *opts, bool iotlb)
{
	uint32_t most = opts->num > TABLE_PIECES ? opts->num : TABLE_PIECES;

	if (opts->max_segments)
		return opts->max_segments;
	return most + (iotlb ? VH_IOTLB_MAX_ENTRIES : VH_MEMORY_MAX_REGIONS);
}

/* As many areas as there is room for, and no more than slots. */
static uint32_t count_areas(const struct vh_virtqueue *queue)
{
	uint64_t area = queue->max_pieces * sizeof(struct iovec);

	if (queue->max_pieces <= SLOT_PIECES)
		return 0;
	return AREAS_MAX_SIZE / area < queue->num
		   ? (uint32_t)(AREAS_MAX_SIZE / area)
		   : queue->num;
}

/*
 * One mapping: slots, stacks and notes, areas. It is zero, and nothing of it
 * is there until it is touched.
 */
static int map_arena(struct vh_virtqueue *queue)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t slots = queue->num * sizeof(struct slot);
	size_t order = queue->is_in_order ? queue->order_mask + 1 : 0;
	size_t pointers = (queue->num + order) * sizeof(struct slot *);
	size_t numbers = 3 * (size_t)queue->num * sizeof(uint16_t);
	size_t front = round_up(slots + pointers + numbers, page);
	size_t areas = (size_t)queue->areas_count * queue->max_pieces *
		       sizeof(struct iovec);
	char *arena;

	queue->arena_size = front + round_up(areas, page);
	arena = mmap(NULL, queue->arena_size, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (arena == MAP_FAILED)
		return -ENOMEM;
	queue->slots = (void *)arena;
	queue->free_slots = (void *)(arena + slots);
	queue->order = queue->free_slots + queue->num;
	queue->taken = (void *)(queue->order + order);
	queue->area_free = queue->taken + queue->num;
	queue->area_taken = queue->area_free + queue->num;
	queue->areas = (void *)(arena + front);
	/* A huge page for the few pieces that are used would be a waste. */
	if (areas)
		(void)madvise(queue->areas, queue->arena_size - front,
			      MADV_NOHUGEPAGE);
	return 0;
}

/* The one that is taken first is the lowest, of slots and of areas. */
static void fill_stacks(struct vh_virtqueue *queue)
{
	for (uint32_t i = 0; i < queue->num; i++)
		queue->free_slots[i] = &queue->slots[queue->num - 1 - i];
	for (uint32_t i = 0; i < queue->areas_count; i++)
		queue->area_free[i] = (uint16_t)(queue->areas_count - 1 - i);
	queue->free_count = queue->num;
	queue->areas_left = queue->areas_count;
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
		      const struct vh_virtqueue_opts *opts, bool iotlb)
{
	queue->index = opts->index;
	queue->num = opts->num;
	queue->mask = opts->num - 1;
	queue->base = opts->base;
	queue->is_packed = opts->features & VH_F_RING_PACKED;
	queue->is_in_order = opts->features & VH_F_IN_ORDER;
	queue->indirect = opts->features & VH_F_INDIRECT_DESC;
	queue->event_idx = opts->features & VH_F_EVENT_IDX;
	queue->tracked = opts->inflight;
	queue->tracked_size = opts->inflight_size;
	queue->descriptors_at = opts->descriptors;
	queue->avail_at = opts->available;
	queue->used_at = opts->used;
	queue->max_pieces = most_pieces(opts, iotlb);
	queue->slot_pieces =
	    queue->max_pieces < SLOT_PIECES ? queue->max_pieces : SLOT_PIECES;
	queue->quick_pieces =
	    queue->slot_pieces < opts->num ? queue->slot_pieces : opts->num;
	queue->areas_count = count_areas(queue);
	if (queue->is_in_order) /* the next power of two */
		queue->order_mask =
		    (UINT32_MAX >> 1) >> __builtin_clz(opts->num * 2 - 1);
	vhi_fault_clear(&queue->fault);
}

static int check_opts(const struct vh_virtqueue_opts *opts,
		      struct vh_fault *fault)
{
	bool packed = opts->features & VH_F_RING_PACKED;

	if (!opts->num || opts->num > VH_VIRTQUEUE_MAX_SIZE)
		return say(fault, opts, VH_FAULT_RING_SIZE, -EINVAL,
			   "the size isn't from 1 to 32768, but", opts->num);
	if (!packed && !vhi_is_power_of_2(opts->num))
		return say(fault, opts, VH_FAULT_RING_SIZE, -EINVAL,
			   "the size isn't a power of two up to 32768, but",
			   opts->num);
	if (!packed && opts->base > UINT16_MAX)
		return say(fault, opts, VH_FAULT_MSG_FIELD, -EINVAL,
			   "the base has bits above 15, which a split ring "
			   "doesn't have:",
			   opts->base);
	return 0;
}

/* Everything that allocates. */
static int start(struct vh_virtqueue *queue,
		 const struct vh_virtqueue_opts *opts, struct vh_memory *memory,
		 struct vh_fault *fault)
{
	int r = map_arena(queue);

	if (r < 0)
		return say(fault, opts, VH_FAULT_SYSTEM, r,
			   "no memory for one of size", opts->num);
	fill_stacks(queue);
	queue->epoch = queue->epochs;
	queue->epoch->memory = vh_memory_ref(memory);
	r = ring_attach(queue, memory, fault);
	/* A ring that an IOTLB doesn't have is waited for. */
	return r == -EAGAIN ? 0 : r;
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
	r = check_opts(&opts, fault);
	if (r < 0)
		return r;
	queue = aligned_alloc(64, round_up(sizeof(*queue), 64));
	if (!queue)
		return say(fault, &opts, VH_FAULT_SYSTEM, -ENOMEM,
			   "no memory for one of size", opts.num);
	memset(queue, 0, sizeof(*queue));
	take_opts(queue, &opts, vh_iotlb_guest(memory));
	r = start(queue, &opts, memory, fault);
	if (r < 0) {
		vh_virtqueue_free(queue);
		return r;
	}
	queue_choose(queue);
	*ret_queue = queue;
	return 0;
}

static int pop_nothing(struct vh_virtqueue *queue, struct vh_chain *chains[],
		       unsigned int max)
{
	(void)queue, (void)chains, (void)max;
	return -EPROTO;
}

/* The device gives back what it has; the driver hears nothing of it. */
static void push_nowhere(struct vh_virtqueue *queue,
			 struct vh_chain *const chains[],
			 const uint32_t written[], unsigned int count)
{
	struct returns returns = returns_begin(queue);
	const struct mode mode = {.careful = true};
	struct slot *slot;

	(void)written;
	for (unsigned int i = 0; i < count; i++) {
		slot = slot_of(chains[i]);
		if (!is_busy(slot))
			continue;
		epoch_leave(queue, slot, &returns);
		slot_put(queue, slot, &returns);
	}
	returns_end(queue, returns, mode);
}

static int publish_nothing(struct vh_virtqueue *queue)
{
	(void)queue;
	return 0;
}

static int pop_no_buffers(struct vh_virtqueue *queue,
			  struct vh_buffer buffers[], unsigned int max)
{
	(void)queue, (void)buffers, (void)max;
	return -EPROTO;
}

static void push_no_buffers(struct vh_virtqueue *queue,
			    const struct vh_buffer buffers[],
			    const uint32_t written[], unsigned int count)
{
	(void)queue, (void)buffers, (void)written, (void)count;
}

static const struct ring_ops broken_ops = {
    pop_nothing, push_nowhere, publish_nothing, pop_no_buffers, push_no_buffers,
};

static bool needs_care(const struct vh_virtqueue *queue)
{
	bool care =
	    queue->inflight.area || vh_iotlb_guest(queue->epoch->memory);

	for (unsigned int i = 0; i < EPOCHS; i++)
		care = care || queue->epochs[i].log;
	return care;
}

void queue_choose(struct vh_virtqueue *queue)
{
	const struct ring_ops *const *ops =
	    queue->is_packed ? packed_ops : split_ops;

	if (queue->broken)
		queue->ops = &broken_ops;
	else if (needs_care(queue))
		queue->ops = ops[CAREFUL];
	else
		queue->ops = ops[queue->is_in_order ? IN_ORDER : PLAIN];
}

int vh_virtqueue_pop(struct vh_virtqueue *queue, struct vh_chain *chains[],
		     unsigned int max)
{
	return queue->ops->pop(
	    queue, chains, max < VH_VIRTQUEUE_BURST ? max : VH_VIRTQUEUE_BURST);
}

void vh_virtqueue_push(struct vh_virtqueue *queue, struct vh_chain *chain,
		       uint32_t written)
{
	queue->ops->push(queue, &chain, &written, 1);
}

void vh_virtqueue_push_many(struct vh_virtqueue *queue,
			    struct vh_chain *const chains[],
			    const uint32_t written[], unsigned int count)
{
	queue->ops->push(queue, chains, written, count);
}

int vh_virtqueue_pop_buffers(struct vh_virtqueue *queue,
			     struct vh_buffer buffers[], unsigned int max)
{
	return queue->ops->pop_buffers(
	    queue, buffers,
	    max < VH_VIRTQUEUE_BURST ? max : VH_VIRTQUEUE_BURST);
}

void vh_virtqueue_push_buffers(struct vh_virtqueue *queue,
			       const struct vh_buffer buffers[],
			       const uint32_t written[], unsigned int count)
{
	queue->ops->push_buffers(queue, buffers, written, count);
}

int vh_virtqueue_publish(struct vh_virtqueue *queue)
{
	return queue->ops->publish(queue);
}

bool vh_virtqueue_pending(const struct vh_virtqueue *queue)
{
	if (queue->broken || queue->starved || queue->waits)
		return false;
	if (vh_virtqueue_unrecovered(queue))
		return true;
	return queue->is_packed ? packed_pending(queue) : split_pending(queue);
}

int vh_virtqueue_enable_kick(struct vh_virtqueue *queue)
{
	if (queue->broken || queue->waits)
		return 0;
	if (queue->is_packed ? packed_ask(queue) : split_ask(queue)) {
		queue->kick = KICK_ON;
		/*
		 * Pairs with the driver's fence between making a buffer
		 * available and looking whether we want a kick: either it
		 * sees that we ask, or we see its buffer. If nothing was
		 * stored, an earlier fence stands.
		 */
		full_fence();
	}
	return vh_virtqueue_pending(queue);
}

void vh_virtqueue_disable_kick(struct vh_virtqueue *queue)
{
	if (queue->broken || queue->waits)
		return;
	if (queue->is_packed)
		packed_unask(queue);
	else
		split_unask(queue);
}

uint32_t vh_virtqueue_base(const struct vh_virtqueue *queue)
{
	if (!queue->started)
		return queue->base;
	return queue->is_packed ? packed_base(queue) : queue->split.avail_next;
}

unsigned int vh_virtqueue_unrecovered(const struct vh_virtqueue *queue)
{
	return queue->inflight.resend_count - queue->inflight.resend_next;
}

void vh_virtqueue_free(struct vh_virtqueue *queue)
{
	if (!queue)
		return;
	if (queue->epoch && !queue->broken)
		log_flush(queue);
	for (unsigned int i = 0; i < EPOCHS; i++) {
		vh_memory_unref(queue->epochs[i].memory);
		vh_dirty_log_unref(queue->epochs[i].log);
	}
	ring_detach(queue);
	if (queue->slots)
		munmap(queue->slots, queue->arena_size);
	if (queue->log.ranges)
		munmap(queue->log.ranges, queue->log.ranges_size);
	inflight_close(&queue->inflight);
	free(queue);
}

void epoch_leave_old(struct vh_virtqueue *queue, struct epoch *epoch)
{
	bool logged = epoch->log;

	if (--epoch->inflight > 0)
		return;
	vh_memory_unref(epoch->memory);
	vh_dirty_log_unref(epoch->log);
	*epoch = (struct epoch){.memory = NULL};
	if (logged)
		queue_choose(queue);
}

static struct epoch *free_epoch(struct vh_virtqueue *queue)
{
	for (unsigned int i = 0; i < EPOCHS; i++)
		if (!queue->epochs[i].memory)
			return &queue->epochs[i];
	return NULL;
}

int epoch_open(struct vh_virtqueue *queue, struct vh_memory *memory,
	       struct vh_dirty_log *log)
{
	struct epoch *old = queue->epoch;
	struct epoch *new = old->inflight ? free_epoch(queue) : old;

	if (!new)
		return -EAGAIN;
	memory = vh_memory_ref(memory);
	if (log)
		log = vh_dirty_log_ref(log);
	if (new == old) {
		vh_memory_unref(old->memory);
		vh_dirty_log_unref(old->log);
	}
	*new = (struct epoch){.memory = memory, .log = log};
	queue->epoch = new;
	queue->epoch_number = (uint8_t)(new - queue->epochs);
	return 0;
}

int vh_virtqueue_set_memory(struct vh_virtqueue *queue,
			    struct vh_memory *memory)
{
	struct vh_fault fault;
	int r;

	if (memory == queue->epoch->memory)
		return 0;
	if (!queue->broken)
		log_flush(queue);
	r = epoch_open(queue, memory, queue->epoch->log);
	if (r < 0)
		return r;
	/*
	 * A broken queue moves too, though its ring is never looked at
	 * again: it must not keep the old map.
	 */
	r = queue->broken ? 0 : ring_attach(queue, memory, &fault);
	if (r == -EAGAIN)
		r = 0;
	if (r < 0)
		vh_virtqueue_break(queue, fault.code, fault.section, "%s",
				   fault.text);
	queue_choose(queue);
	ring_detach_if_idle(queue);
	return r;
}

bool vh_virtqueue_holds_old_memory(const struct vh_virtqueue *queue)
{
	for (unsigned int i = 0; i < EPOCHS; i++)
		if (&queue->epochs[i] != queue->epoch &&
		    queue->epochs[i].memory)
			return true;
	/* A ring that isn't in the IOTLB any more, but not done with. */
	return queue->waits && queue->ring_memory &&
	       queue->ring_memory != queue->epoch->memory;
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
	log_flush(queue);
	queue->broken = true;
	/* Nothing is written to its ring any more. */
	ring_detach(queue);
	queue_choose(queue);
}

const struct vh_fault *vh_virtqueue_fault(const struct vh_virtqueue *queue)
{
	return queue->broken ? &queue->fault : NULL;
}
