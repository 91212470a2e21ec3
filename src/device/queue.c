/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* A queue, as its worker sees it. */
#include "device.h"

#include <base/fault.h>
#include <errno.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <time.h>

/*
 * A driver that answers faster than a sleep and a wake-up take is waited for
 * awake, until that doesn't pay once. It has to wake up itself before it can
 * answer, and a sleep of ours seems longer by our own waking up. Who asked
 * for longer (spin_us) gets that, and half of it for each time in which it
 * didn't pay.
 */
#define LINGER_NS      50000
#define SHORT_SLEEP_NS 100000

static uint32_t longest_linger(const struct vh_queue *queue)
{
	uint32_t spin_us = queue->device->opts.spin_us;

	return spin_us ? spin_us * 1000 : LINGER_NS;
}

void vhi_queue_begin_linger(struct vh_queue *queue)
{
	queue->linger_ns = queue->device->opts.spin_us * 1000;
	queue->dry_since = queue->asleep_since = 0;
}

uint64_t vhi_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* One writer, so a plain addition; readers may look at any time. */
static void count(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

/* False: chains wait until the control side has done something. */
static bool runs(const struct vh_queue *queue)
{
	return queue->ring && queue->live && !queue->stopping &&
	       !queue->reported;
}

void vhi_queue_activate(struct vh_queue *queue)
{
	struct vh_worker *worker = queue->worker;

	if (queue->active || !runs(queue))
		return;
	queue->active = true;
	worker->active[worker->active_count++] = queue;
}

static void unwatch_kick(struct vh_queue *queue)
{
	if (queue->watched)
		epoll_ctl(queue->worker->epoll, EPOLL_CTL_DEL, queue->kick.fd,
			  NULL);
	queue->watched = false;
}

void vhi_queue_kicked(struct vh_queue *queue)
{
	count(&queue->counters.kicks, 1);
	if (!vhi_notifier_drain(&queue->kick))
		unwatch_kick(queue);
	if (queue->active || !runs(queue))
		return;
	vh_virtqueue_disable_kick(queue->ring);
	if (queue->asleep_since &&
	    vhi_now_ns() - queue->asleep_since <
		(uint64_t)longest_linger(queue) + SHORT_SLEEP_NS - LINGER_NS)
		queue->linger_ns = longest_linger(queue);
	queue->asleep_since = 0;
	vhi_queue_activate(queue);
}

/* Tells everybody, once, that the ring is broken. */
void vhi_queue_check(struct vh_queue *queue)
{
	struct vh_device *device = queue->device;
	const struct vh_fault *why = vh_virtqueue_fault(queue->ring);

	if (!why || queue->reported)
		return;
	queue->reported = true;
	count(&queue->counters.faults, 1);
	__atomic_add_fetch(&device->broken, 1, __ATOMIC_RELAXED);
	vhi_log_fault(&device->words, VH_LOG_WARN, "queue broken", why);
	/* Whoever is woken finds the words. */
	vhi_backend_vring_fault(&device->backend, why);
	vhi_notifier_signal(&queue->err);
}

/* True while it pays to look on without asking for a kick. */
static bool lingers(struct vh_queue *queue, uint64_t now)
{
	if (!queue->linger_ns)
		return false;
	if (!queue->dry_since)
		queue->dry_since = now;
	if (now - queue->dry_since < queue->linger_ns)
		return true;
	queue->linger_ns =
	    queue->device->opts.spin_us ? queue->linger_ns / 2 : 0;
	return false;
}

/* The ring ran dry: true if it must be looked at again at once. */
static bool stays_awake(struct vh_queue *queue)
{
	uint64_t now;

	if (queue->kick.fd < 0)
		return true;
	now = vhi_now_ns();
	if (lingers(queue, now) || vh_virtqueue_enable_kick(queue->ring) == 1)
		return true;
	queue->dry_since = 0;
	queue->asleep_since = now;
	return false;
}

unsigned int vhi_queue_run(struct vh_queue *queue)
{
	struct vh_device *device = queue->device;
	struct vh_chain *chains[VH_VIRTQUEUE_BURST];
	int n;

	if (!runs(queue)) {
		queue->active = false;
		return 0;
	}
	n = vh_virtqueue_pop(queue->ring, chains, VH_VIRTQUEUE_BURST);
	if (n > 0) {
		queue->dry_since = 0;
		count(&queue->counters.requests, (uint64_t)n);
		count(&queue->counters.bursts, 1);
		device->ops.process(device->user, queue, chains,
				    (unsigned int)n);
		return (unsigned int)n;
	}
	queue->active = n == 0 && stays_awake(queue);
	if (n < 0)
		vhi_queue_check(queue);
	else
		vhi_queue_ask(queue);
	return 0;
}

static void touch(struct vh_queue *queue)
{
	struct vh_worker *worker = queue->worker;

	if (queue->touched)
		return;
	queue->touched = true;
	worker->touched[worker->touched_count++] = queue;
	vhi_worker_look(worker);
}

void vhi_queue_publish(struct vh_queue *queue)
{
	queue->unpublished = 0;
	if (!queue->ring)
		return;
	if (vh_virtqueue_publish(queue->ring) > 0) {
		count(&queue->counters.calls, 1);
		vhi_notifier_signal(&queue->call);
	}
	if (queue->logs)
		vhi_notifier_signal(&queue->worker->logged);
	vhi_queue_check(queue);
}

/* The worker's list of touched queues is being worked off. */
void vhi_queue_settle(struct vh_queue *queue)
{
	queue->touched = false;
	vhi_queue_publish(queue);
	/* A chain may have waited for room that completions gave back. */
	if (queue->ring && vh_virtqueue_pending(queue->ring))
		vhi_queue_activate(queue);
}

/* Takes the queue off its worker's lists. */
static void remove_from(struct vh_queue *list[], unsigned int *length,
			const struct vh_queue *queue)
{
	for (unsigned int i = 0; i < *length; i++) {
		if (list[i] == queue) {
			list[i] = list[--*length];
			return;
		}
	}
}

void vhi_queue_forget(struct vh_queue *queue)
{
	struct vh_worker *worker = queue->worker;

	remove_from(worker->active, &worker->active_count, queue);
	remove_from(worker->touched, &worker->touched_count, queue);
	queue->active = queue->touched = false;
	if (queue->reported)
		__atomic_sub_fetch(&queue->device->broken, 1, __ATOMIC_RELAXED);
	queue->reported = false;
}

/* Replaces the kick descriptor; -1 polls. */
int vhi_queue_watch_kick(struct vh_queue *queue, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = queue};
	struct vhi_notifier kick;

	vhi_notifier_init(&kick, fd);
	/*
	 * Every write to an eventfd is an edge, whether or not the value was
	 * read, which saves a system call for each kick.
	 */
	if (!vhi_notifier_is_stream(&kick))
		event.events |= EPOLLET;
	if (fd >= 0 &&
	    epoll_ctl(queue->worker->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		return -errno;
	unwatch_kick(queue);
	queue->kick = kick;
	queue->watched = fd >= 0;
	return 0;
}

void vh_queue_complete(struct vh_queue *queue, struct vh_chain *chain,
		       uint32_t written)
{
	/* Between two rounds nothing guards the ring, and the next one will. */
	if (!queue->worker->guarded) {
		vh_queue_complete_remote(queue, chain, written);
		return;
	}
	vh_virtqueue_push(queue->ring, chain, written);
	touch(queue);
	if (++queue->unpublished >= queue->device->opts.publish_after)
		vhi_queue_publish(queue);
}

/* Its worker looks at a list of queues, each at a list of completions. */
void vh_queue_complete_remote(struct vh_queue *queue, struct vh_chain *chain,
			      uint32_t written)
{
	struct vh_worker *worker = queue->worker;
	struct vh_queue *first;

	if (!vh_virtqueue_push_remote(queue->ring, chain, written))
		return;
	/*
	 * Nobody takes the completion before the queue is on the worker's
	 * list; once it is, that request may be done and the back-end freed,
	 * but for vhi_worker_done(), which waits for this count.
	 */
	__atomic_add_fetch(&worker->remote_callers, 1, __ATOMIC_RELAXED);
	first = __atomic_load_n(&worker->remote, __ATOMIC_RELAXED);
	do
		queue->next_remote = first;
	/* Release: pairs with the acquire in vhi_worker_take_remote(). */
	while (!__atomic_compare_exchange_n(&worker->remote, &first, queue,
					    true, __ATOMIC_RELEASE,
					    __ATOMIC_RELAXED));
	if (!first)
		vhi_eventfd_signal(worker->wake);
	/* Release: pairs with the acquire in vhi_worker_done(). */
	__atomic_sub_fetch(&worker->remote_callers, 1, __ATOMIC_RELEASE);
}

void vhi_worker_take_remote(struct vh_worker *worker)
{
	struct vh_queue *queue, *next;

	if (!__atomic_load_n(&worker->remote, __ATOMIC_RELAXED))
		return;
	queue = __atomic_exchange_n(&worker->remote, NULL, __ATOMIC_ACQUIRE);
	for (; queue; queue = next) {
		/* Once its list is empty the queue may be put on ours again. */
		next = queue->next_remote;
		vh_virtqueue_take_remote(queue->ring);
		touch(queue);
	}
}

void vh_queue_break(struct vh_queue *queue, uint32_t code, const char *section,
		    const char *format, ...)
{
	bool between_rounds = !queue->worker->guarded;
	struct vh_fault fault;
	va_list args;

	va_start(args, format);
	vhi_vfault(&fault, code, -EPROTO, section, format, args);
	va_end(args);
	/* It marks in the log, which may be gone. */
	if (between_rounds)
		vhi_worker_guard(queue->worker);
	vh_virtqueue_break(queue->ring, code, section, "%s", fault.text);
	if (between_rounds)
		vhi_worker_unguard(queue->worker);
	touch(queue);
}

void vh_queue_warn(struct vh_queue *queue, uint32_t code, const char *section,
		   const char *format, ...)
{
	struct vh_fault fault;
	va_list args;

	if (!vhi_log_wants(&queue->device->words, VH_LOG_WARN))
		return;
	va_start(args, format);
	vhi_vfault(&fault, code, -EPROTO, section, format, args);
	va_end(args);
	fault.queue = queue->index;
	vhi_log_fault(&queue->device->words, VH_LOG_WARN, "request", &fault);
}

bool vh_queue_abandoned(const struct vh_queue *queue)
{
	uint64_t end =
	    __atomic_load_n(&queue->device->grace_ends, __ATOMIC_RELAXED);

	return end && vhi_now_ns() >= end;
}

uint32_t vh_queue_index(const struct vh_queue *queue)
{
	return queue->index;
}

uint64_t vh_queue_features(const struct vh_queue *queue)
{
	/* Logging may be switched meanwhile. */
	return __atomic_load_n(&queue->device->features, __ATOMIC_RELAXED);
}

struct vh_worker *vh_queue_worker(const struct vh_queue *queue)
{
	return queue->worker;
}

void *vh_queue_user(const struct vh_queue *queue)
{
	return queue->user;
}

void vh_queue_set_user(struct vh_queue *queue, void *user)
{
	queue->user = user;
}
