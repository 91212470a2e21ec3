/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* A queue, as the control side sees it (vhost-user, "Ring states"). */
#include "device.h"

#include <base/check.h>
#include <base/fault.h>
#include <errno.h>
#include <memory/translate.h>

#define SECTION "Ring states"

void vhi_vring_init(struct vh_queue *queue, struct vh_device *device,
		    uint32_t index)
{
	queue->device = device;
	queue->index = index;
	queue->kick_fd = queue->call_fd = queue->err_fd = -1;
	queue->kick.fd = queue->call.fd = queue->err.fd = -1;
	queue->worker = &device->workers[index % device->num_workers];
}

static int failure(struct vh_backend *b, uint32_t queue, int error)
{
	b->fault.queue = queue;
	return error;
}

#define FAIL(b, q, code, error, ...)                                           \
	failure(b, q, vhi_fault(&(b)->fault, code, error, SECTION, __VA_ARGS__))

/* NULL, with the fault in words, if there is no such queue. */
static struct vh_queue *find(struct vh_backend *b, uint32_t q)
{
	struct vh_device *device = vhi_device_of(b);

	if (q < device->opts.num_queues)
		return &device->queues[q];
	FAIL(b, q, VH_FAULT_MSG_FIELD, -ERANGE,
	     "queue index %u, there are %u queues", q, device->opts.num_queues);
	return NULL;
}

static struct vh_queue *find_stopped(struct vh_backend *b, uint32_t q)
{
	struct vh_queue *queue = find(b, q);

	if (!queue || !queue->started)
		return queue;
	FAIL(b, q, VH_FAULT_MSG_STATE, -EBUSY,
	     "queue %u is started and can't be changed", q);
	return NULL;
}

static bool is_packed(const struct vh_queue *queue)
{
	return queue->device->features & VH_F_RING_PACKED;
}

int vhi_vring_set_num(struct vh_backend *b, uint32_t q, uint32_t num)
{
	uint32_t most = vhi_device_of(b)->opts.max_queue_size;
	struct vh_queue *queue = find_stopped(b, q);

	if (!queue)
		return b->fault.error;
	if (is_packed(queue) && (!num || num > most))
		return FAIL(b, q, VH_FAULT_RING_SIZE, -EINVAL,
			    "queue size %u isn't from 1 to %u", num, most);
	if (!is_packed(queue) && (num > most || !vhi_is_power_of_2(num)))
		return FAIL(b, q, VH_FAULT_RING_SIZE, -EINVAL,
			    "queue size %u isn't a power of two up to %u", num,
			    most);
	queue->num = num;
	return 0;
}

static int check_part(struct vh_backend *b, const struct vh_queue *queue,
		      const char *part, vh_gpa addr, uint64_t align,
		      uint64_t size)
{
	if (addr % align)
		return FAIL(b, queue->index, VH_FAULT_RING_ADDR, -EFAULT,
			    "%s at 0x%llx isn't aligned to %llu", part,
			    (unsigned long long)addr,
			    (unsigned long long)align);
	/* What an IOTLB doesn't have is asked for when the ring starts. */
	if (vhi_device_of(b)->iotlb)
		return 0;
	if (!vh_memory_at(vhi_device_of(b)->memory, addr, size))
		return FAIL(b, queue->index, VH_FAULT_RING_ADDR, -EFAULT,
			    "%s, %llu bytes at 0x%llx, isn't in one memory "
			    "region",
			    part, (unsigned long long)size,
			    (unsigned long long)addr);
	return 0;
}

/* A size that comes later is checked when the ring starts. */
static int check_parts(struct vh_backend *b, const struct vh_queue *queue,
		       const struct vh_vring_addr *addr)
{
	uint64_t num = queue->num ? queue->num : 1;
	bool packed = is_packed(queue);
	int r = check_part(b, queue,
			   packed ? "descriptor ring" : "descriptor table",
			   addr->descriptors, 16, 16 * num);

	if (r == 0)
		r = check_part(
		    b, queue, packed ? "driver area" : "available ring",
		    addr->available, packed ? 4 : 2, packed ? 4 : 6 + 2 * num);
	if (r == 0)
		r = check_part(b, queue, packed ? "device area" : "used ring",
			       addr->used, 4, packed ? 4 : 6 + 8 * num);
	return r;
}

static bool same_place(const struct vh_vring_addr *a,
		       const struct vh_vring_addr *b)
{
	return a->descriptors == b->descriptors &&
	       a->available == b->available && a->used == b->used;
}

int vhi_vring_set_addr(struct vh_backend *b, uint32_t q,
		       const struct vh_vring_addr *addr)
{
	struct vh_queue *queue = find(b, q);
	struct vh_vring_addr old;
	int r;

	if (!queue)
		return b->fault.error;
	if (queue->started && !same_place(&queue->addr, addr))
		return FAIL(b, q, VH_FAULT_MSG_STATE, -EBUSY,
			    "queue %u is started and can't be moved", q);
	if (addr->flags & VH_VRING_F_LOG && !(b->capabilities & VH_CAP_LOG))
		return FAIL(b, q, VH_FAULT_UNSUPPORTED, -EOPNOTSUPP,
			    "queue %u: logging isn't offered", q);
	r = check_parts(b, queue, addr);
	if (r < 0)
		return r;
	old = queue->addr;
	queue->addr = *addr;
	queue->has_addr = true;
	if (!queue->started ||
	    (old.flags == addr->flags && old.log == addr->log))
		return 0;
	r = vhi_device_update_log(vhi_device_of(b));
	if (r < 0) {
		queue->addr = old;
		(void)!vhi_device_update_log(vhi_device_of(b));
		return FAIL(b, q, VH_FAULT_SYSTEM, r,
			    "queue %u: logging can't change: error %d", q, -r);
	}
	return 0;
}

int vhi_vring_set_base(struct vh_backend *b, uint32_t q, uint32_t base)
{
	struct vh_queue *queue = find_stopped(b, q);

	if (!queue)
		return b->fault.error;
	if (base > UINT16_MAX && !is_packed(queue))
		return FAIL(b, q, VH_FAULT_MSG_FIELD, -EINVAL,
			    "base 0x%x has bits above 15, which a split ring "
			    "doesn't have",
			    base);
	queue->base = base;
	return 0;
}

/* The base would be behind requests that nobody has seen. */
static bool recovers(const struct vh_queue *queue)
{
	uint32_t access;
	vh_gpa iova;

	/* Who would answer waits for us. They stay in the area. */
	return queue->live && !queue->reported &&
	       vh_virtqueue_unrecovered(queue->ring) &&
	       !vh_virtqueue_missing(queue->ring, &iova, &access);
}

/* W */
static int run_stop(struct vh_worker *worker, void *arg)
{
	struct vh_queue *queue = arg;
	struct vh_device *device = worker->device;

	if (recovers(queue)) {
		vhi_queue_activate(queue);
		return VHI_AGAIN;
	}
	queue->stopping = true;
	if (vh_virtqueue_inflight(queue->ring))
		return VHI_AGAIN;
	vhi_queue_publish(queue);
	queue->base = vh_virtqueue_base(queue->ring);
	queue->drained = !vh_virtqueue_unrecovered(queue->ring) &&
			 !vh_virtqueue_fault(queue->ring);
	if (device->ops.queue_stop)
		device->ops.queue_stop(device->user, queue);
	vhi_queue_forget(queue);
	vhi_queue_watch_kick(queue, -1);
	vhi_queue_stop_asking(queue);
	vh_virtqueue_free(queue->ring);
	queue->ring = NULL;
	queue->logs = false;
	queue->stopping = false;
	return 0;
}

int vhi_vring_stop(struct vh_queue *queue)
{
	int r;

	if (!queue->started)
		return 0;
	r = vhi_worker_call(queue->worker, run_stop, queue);
	queue->started = false;
	vhi_fd_close(&queue->kick_fd);
	return r;
}

int vhi_vring_get_base(struct vh_backend *b, uint32_t q, uint32_t *ret_base)
{
	struct vh_queue *queue = find(b, q);
	void *area;
	size_t size;
	int r;

	if (!queue)
		return b->fault.error;
	r = vhi_vring_stop(queue);
	if (r < 0)
		return r;
	*ret_base = queue->base;
	area = vhi_device_inflight(vhi_device_of(b), q, &size);
	if (area && queue->drained) {
		vhi_memory_guard_begin();
		vh_virtqueue_forget_inflight(area);
		vhi_memory_guard_end();
	}
	queue->drained = false;
	return 0;
}

void vhi_vring_clear(struct vh_queue *queue)
{
	queue->num = 0;
	queue->base = 0;
	queue->has_addr = queue->enabled = false;
}

struct start {
	struct vh_queue *queue;
	struct vh_fault fault;
};

/* W */
static int begin_worker(struct vh_worker *worker, struct vh_fault *fault)
{
	struct vh_device *device = worker->device;
	int r;

	if (worker->begun)
		return 0;
	r = device->ops.worker_start
		? device->ops.worker_start(device->user, worker)
		: 0;
	if (r < 0)
		return vhi_fault(fault, VH_FAULT_SYSTEM, r, "",
				 "worker %u can't start: error %d",
				 worker->index, -r);
	worker->begun = true;
	return 0;
}

/* W */
static int make_ring(struct vh_queue *queue, struct vh_fault *fault)
{
	struct vh_device *device = queue->device;
	VH_OPTS(vh_virtqueue_opts, opts);

	opts.index = queue->index;
	opts.num = queue->num;
	opts.features = device->features;
	opts.descriptors = queue->addr.descriptors;
	opts.available = queue->addr.available;
	opts.used = queue->addr.used;
	opts.base = queue->base;
	opts.max_segments = (uint16_t)device->opts.max_segments;
	if (device->area.map && device->area.packed != is_packed(queue))
		return vhi_fault(fault, VH_FAULT_MSG_STATE, -EINVAL,
				 "Inflight I/O tracking",
				 "queue %u: the area was set for the other "
				 "format of rings",
				 queue->index);
	opts.inflight =
	    vhi_device_inflight(device, queue->index, &opts.inflight_size);
	return vh_virtqueue_new(&opts, vhi_device_map(device), fault,
				&queue->ring);
}

/* W */
static int start_ring(struct vh_queue *queue, struct vh_fault *fault)
{
	struct vh_device *device = queue->device;
	int r = make_ring(queue, fault);

	if (r < 0)
		return r;
	r = vhi_queue_start_log(queue);
	if (r < 0) {
		vhi_fault(fault, VH_FAULT_SYSTEM, r, "Migration",
			  "queue %u can't be logged: error %d", queue->index,
			  -r);
		goto no_ring;
	}
	r = vhi_queue_watch_kick(queue, queue->kick_fd);
	if (r < 0) {
		vhi_fault(fault, VH_FAULT_MSG_FDS, r, SECTION,
			  "the kick descriptor can't be waited for: error %d",
			  -r);
		goto no_ring;
	}
	if (device->ops.queue_start) {
		r = device->ops.queue_start(device->user, queue);
		if (r < 0) {
			vhi_fault(fault, VH_FAULT_SYSTEM, r, "",
				  "the device refuses queue %u: error %d",
				  queue->index, -r);
			vhi_queue_watch_kick(queue, -1);
			goto no_ring;
		}
	}
	return 0;

no_ring:
	vh_virtqueue_free(queue->ring);
	queue->ring = NULL;
	return r;
}

/* W */
static int run_start(struct vh_worker *worker, void *arg)
{
	struct start *start = arg;
	struct vh_queue *queue = start->queue;
	size_t size;
	int r = begin_worker(worker, &start->fault);

	if (r == 0)
		r = start_ring(queue, &start->fault);
	if (r < 0)
		return r;
	queue->live = queue->enabled;
	vhi_queue_begin_linger(queue);
	vhi_queue_ask(queue);
	/* The driver may have made chains available long ago. */
	vhi_queue_activate(queue);
	/* Who served the queue before may have died before it called. */
	if (vhi_device_inflight(queue->device, queue->index, &size))
		vhi_notifier_signal(&queue->call);
	return 0;
}

static int start(struct vh_backend *b, struct vh_queue *queue)
{
	struct start task = {.queue = queue};
	int r;

	if (!queue->num || !queue->has_addr)
		return FAIL(b, queue->index, VH_FAULT_MSG_STATE, -EINVAL,
			    "queue %u can't start: its %s isn't set",
			    queue->index, queue->num ? "address" : "size");
	r = vhi_worker_begin(queue->worker);
	if (r < 0)
		return r;
	vhi_fault_clear(&task.fault);
	r = vhi_worker_call(queue->worker, run_start, &task);
	if (r < 0) {
		b->fault = task.fault;
		return failure(b, queue->index, r);
	}
	queue->started = true;
	return 0;
}

/* What a task needs to replace a descriptor of a running queue. */
struct swap {
	struct vh_queue *queue;
	int fd;
};

/* W */
static int run_swap_kick(struct vh_worker *worker, void *arg)
{
	const struct swap *swap = arg;
	struct vh_queue *queue = swap->queue;
	int r = vhi_queue_watch_kick(queue, swap->fd);

	(void)worker;
	if (r < 0)
		return r;
	/* A kick may have gone to the old one. */
	vhi_queue_activate(queue);
	return 0;
}

static int take_copy(struct vh_backend *b, struct vh_queue *queue, int fd,
		     int *ret_copy)
{
	*ret_copy = fd < 0 ? -1 : vhi_notifier_copy(fd);
	if (fd < 0 || *ret_copy >= 0)
		return 0;
	if (*ret_copy == -EINVAL)
		return FAIL(b, queue->index, VH_FAULT_MSG_FDS, -EINVAL,
			    "the descriptor is no eventfd, pipe or stream "
			    "socket");
	return FAIL(b, queue->index, VH_FAULT_SYSTEM, *ret_copy,
		    "the descriptor can't be duplicated: error %d", -*ret_copy);
}

int vhi_vring_set_kick(struct vh_backend *b, uint32_t q, int fd)
{
	struct vh_queue *queue = find(b, q);
	struct swap swap;
	int old, r;

	if (!queue)
		return b->fault.error;
	r = take_copy(b, queue, fd, &fd);
	if (r < 0)
		return r;
	old = queue->kick_fd;
	queue->kick_fd = fd;
	if (queue->started) {
		swap = (struct swap){.queue = queue, .fd = fd};
		r = vhi_worker_call(queue->worker, run_swap_kick, &swap);
		if (r < 0)
			FAIL(b, q, VH_FAULT_MSG_FDS, r,
			     "the kick descriptor can't be waited for");
	} else {
		r = start(b, queue);
	}
	if (r < 0) {
		queue->kick_fd = old;
		vhi_fd_close(&fd);
		return r;
	}
	vhi_fd_close(&old);
	return 0;
}

/* W */
static void replace_notifier(const struct vh_worker *worker,
			     struct vhi_notifier *notifier, int fd)
{
	vhi_notifier_init(notifier, fd);
	/*
	 * Its owner may change the flags whenever it likes, and nobody frees
	 * the caller's loop: so look each time before something is written.
	 */
	notifier->waits |= !worker->threaded;
}

/* W */
static int run_swap_call(struct vh_worker *worker, void *arg)
{
	const struct swap *swap = arg;

	replace_notifier(worker, &swap->queue->call, swap->fd);
	/* Covers what was used before there was anybody to tell. */
	if (swap->queue->ring)
		vhi_notifier_signal(&swap->queue->call);
	return 0;
}

/* W */
static int run_swap_err(struct vh_worker *worker, void *arg)
{
	const struct swap *swap = arg;

	replace_notifier(worker, &swap->queue->err, swap->fd);
	if (swap->queue->reported)
		vhi_notifier_signal(&swap->queue->err);
	return 0;
}

/* *slot is the control side's own descriptor, run what tells the worker. */
static int swap_notifier(struct vh_backend *b, struct vh_queue *queue, int fd,
			 int *slot,
			 int (*run)(struct vh_worker *worker, void *arg))
{
	struct swap swap = {.queue = queue};
	int r = take_copy(b, queue, fd, &swap.fd);

	if (r < 0)
		return r;
	/* Without a thread yet, nobody else looks at the queue. */
	if (queue->worker->running || !queue->worker->threaded)
		vhi_worker_call(queue->worker, run, &swap);
	else
		run(queue->worker, &swap);
	vhi_fd_close(slot);
	*slot = swap.fd;
	return 0;
}

int vhi_vring_set_call(struct vh_backend *b, uint32_t q, int fd)
{
	struct vh_queue *queue = find(b, q);

	if (!queue)
		return b->fault.error;
	return swap_notifier(b, queue, fd, &queue->call_fd, run_swap_call);
}

int vhi_vring_set_err(struct vh_backend *b, uint32_t q, int fd)
{
	struct vh_queue *queue = find(b, q);

	if (!queue)
		return b->fault.error;
	return swap_notifier(b, queue, fd, &queue->err_fd, run_swap_err);
}

/* W */
static int run_enable(struct vh_worker *worker, void *arg)
{
	struct vh_queue *queue = arg;

	(void)worker;
	queue->live = queue->enabled;
	vhi_queue_activate(queue);
	return 0;
}

int vhi_vring_set_enable(struct vh_backend *b, uint32_t q, bool enable)
{
	struct vh_queue *queue = find(b, q);

	if (!queue)
		return b->fault.error;
	queue->enabled = enable;
	return queue->started
		   ? vhi_worker_call(queue->worker, run_enable, queue)
		   : 0;
}
