/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A worker: waits for kicks, for the device's own descriptor and for tasks,
 * and runs its queues burst by burst.
 */
#include "device.h"

#include <base/fault.h>
#include <base/thread.h>
#include <errno.h>
#include <memory/translate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_AT_ONCE 32
/*
 * Kicks and tasks are looked at, by a system call, after so many chains; or,
 * where queues give a few at a time, after so many bursts of each.
 */
#define CHAINS_PER_ROUND 256
#define BURSTS_PER_ROUND 32
#define PAUSE_NS	 50000

static int init_lists(struct vh_worker *worker)
{
	uint32_t queues = worker->device->opts.num_queues;

	worker->active = calloc(queues, sizeof(struct vh_queue *));
	worker->touched = calloc(queues, sizeof(struct vh_queue *));
	return worker->active && worker->touched ? 0 : -ENOMEM;
}

static int init_epoll(struct vh_worker *worker)
{
	struct epoll_event event = {.events = EPOLLIN,
				    .data.ptr = &worker->wake};

	worker->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (worker->epoll < 0)
		return -errno;
	worker->wake = vhi_eventfd();
	if (worker->wake < 0)
		return worker->wake;
	if (epoll_ctl(worker->epoll, EPOLL_CTL_ADD, worker->wake, &event) < 0)
		return -errno;
	return 0;
}

int vhi_worker_init(struct vh_worker *worker, struct vh_device *device,
		    uint32_t index)
{
	pthread_condattr_t attr;
	int r;

	worker->device = device;
	worker->index = index;
	worker->threaded = device->opts.workers > 0;
	worker->epoll = worker->wake = worker->watch_fd = -1;
	worker->logged.fd = -1;
	pthread_mutex_init(&worker->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&worker->done, &attr);
	pthread_condattr_destroy(&attr);
	r = init_lists(worker);
	return r < 0 ? r : init_epoll(worker);
}

/* A few instructions and a system call that doesn't wait. */
static void wait_for_remote_callers(const struct vh_worker *worker)
{
	const struct timespec pause = {.tv_nsec = PAUSE_NS};

	while (__atomic_load_n(&worker->remote_callers, __ATOMIC_ACQUIRE))
		nanosleep(&pause, NULL);
}

void vhi_worker_done(struct vh_worker *worker)
{
	if (!worker->device)
		return;
	wait_for_remote_callers(worker);
	vhi_fd_close(&worker->epoll);
	vhi_fd_close(&worker->wake);
	free(worker->active);
	free(worker->touched);
	pthread_mutex_destroy(&worker->lock);
	pthread_cond_destroy(&worker->done);
}

void vhi_worker_guard(struct vh_worker *worker)
{
	worker->guarded = true;
	vhi_memory_guard_begin();
}

/* Every queue of the device may have seen zeroes where data was. */
static void memory_vanished(struct vh_worker *worker)
{
	struct vh_device *device = worker->device;

	__atomic_store_n(&device->memory_vanished, true, __ATOMIC_RELEASE);
	for (uint32_t i = 0; i < device->num_workers; i++)
		vhi_eventfd_signal(device->workers[i].wake);
}

static void break_queues(struct vh_worker *worker)
{
	struct vh_device *device = worker->device;

	for (uint32_t i = 0; i < device->opts.num_queues; i++) {
		struct vh_queue *queue = &device->queues[i];

		if (queue->worker != worker || !queue->ring)
			continue;
		vh_virtqueue_break(queue->ring, VH_FAULT_MEM_VANISHED, "",
				   "the file behind guest memory shrank "
				   "while it was mapped");
		vhi_queue_check(queue);
	}
}

void vhi_worker_unguard(struct vh_worker *worker)
{
	if (__builtin_expect(vhi_memory_guard_hit(NULL), 0))
		memory_vanished(worker);
	/* A queue that breaks marks in the log, which may be gone as well. */
	if (__builtin_expect(__atomic_load_n(&worker->device->memory_vanished,
					     __ATOMIC_ACQUIRE),
			     0))
		break_queues(worker);
	vhi_memory_guard_end();
	worker->guarded = false;
}

/* Ends in the guard: a kick may be answered by a store to the ring. */
static void wait_events(struct vh_worker *worker, int timeout_ms)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	int n = epoll_wait(worker->epoll, events, EVENTS_AT_ONCE, timeout_ms);

	vhi_worker_guard(worker);
	for (int i = 0; i < n; i++) {
		if (events[i].data.ptr == &worker->wake)
			vhi_eventfd_drain(worker->wake);
		else if (events[i].data.ptr == &worker->watch_fd)
			worker->watch_fired = true;
		else
			vhi_queue_kicked(events[i].data.ptr);
	}
}

static void settle(struct vh_worker *worker)
{
	struct vh_device *device = worker->device;

	if (device->ops.flush && worker->begun)
		device->ops.flush(device->user, worker);
	/* Publishing touches no queue, so the list doesn't grow meanwhile. */
	for (unsigned int i = 0; i < worker->touched_count; i++)
		vhi_queue_settle(worker->touched[i]);
	worker->touched_count = 0;
}

/*
 * One burst of each active queue; those that ran dry leave the list. Returns
 * how many chains there were.
 */
static unsigned int run_active(struct vh_worker *worker)
{
	unsigned int kept = 0, chains = 0;
	unsigned int count = worker->active_count;

	for (unsigned int i = 0; i < count; i++) {
		struct vh_queue *queue = worker->active[i];

		/* Bursts may be long; control shall wait for one at most. */
		if (i == 0 || !vhi_worker_is_wanted(worker))
			chains += vhi_queue_run(queue);
		if (queue->active)
			worker->active[kept++] = queue;
	}
	worker->active_count = kept;
	return chains;
}

/* Something is left to do, even if nobody wakes us. */
static bool has_work(const struct vh_worker *worker)
{
	return worker->active_count || worker->touched_count || worker->again;
}

void vhi_worker_round(struct vh_worker *worker, int timeout_ms)
{
	unsigned int chains = 0;

	wait_events(worker, has_work(worker) ? 0 : timeout_ms);
	worker->again = false;
	if (worker->watch_fired) {
		worker->watch_fired = false;
		worker->watch_ready(worker->watch_user);
	}
	for (int i = 0; i < BURSTS_PER_ROUND && chains < CHAINS_PER_ROUND;
	     i++) {
		vhi_worker_take_remote(worker);
		chains += run_active(worker);
		settle(worker);
		if (!worker->active_count || worker->again ||
		    vhi_worker_is_wanted(worker))
			break;
	}
	vhi_worker_run_tasks(worker);
	vhi_worker_unguard(worker);
	vhi_worker_stay_ready(worker);
}

/*
 * The caller of vh_device_dispatch() waits for our descriptor: it must be
 * readable while there is something to do.
 */
void vhi_worker_stay_ready(struct vh_worker *worker)
{
	if (!worker->threaded && has_work(worker))
		vhi_eventfd_signal(worker->wake);
}

/* A round that is under way looks at what there is when it ends. */
void vhi_worker_look(const struct vh_worker *worker)
{
	if (!worker->guarded)
		vhi_eventfd_signal(worker->wake);
}

static bool must_quit(struct vh_worker *worker)
{
	return __atomic_load_n(&worker->quit, __ATOMIC_ACQUIRE);
}

static void end_callbacks(struct vh_worker *worker)
{
	struct vh_device *device = worker->device;

	if (worker->begun && device->ops.worker_stop)
		device->ops.worker_stop(device->user, worker);
	worker->begun = false;
	vh_worker_unwatch(worker);
	worker->user = NULL;
}

static void *thread_main(void *arg)
{
	struct vh_worker *worker = arg;

	while (!must_quit(worker))
		vhi_worker_round(worker, -1);
	end_callbacks(worker);
	return NULL;
}

int vhi_worker_begin(struct vh_worker *worker)
{
	char name[16];
	int r;

	if (worker->running || !worker->threaded)
		return 0;
	worker->quit = false;
	snprintf(name, sizeof(name), "%.10s/%u", worker->device->name,
		 worker->index);
	r = vhi_thread_create(&worker->thread, name, thread_main, worker);
	if (r < 0)
		return vhi_fault(&worker->device->backend.fault,
				 VH_FAULT_SYSTEM, r, "",
				 "thread of worker %u can't be made: error %d",
				 worker->index, -r);
	worker->running = true;
	return 0;
}

void vhi_worker_stop(struct vh_worker *worker)
{
	if (!worker->threaded) {
		end_callbacks(worker);
		return;
	}
	if (!worker->running)
		return;
	__atomic_store_n(&worker->quit, true, __ATOMIC_RELEASE);
	vhi_eventfd_signal(worker->wake);
	pthread_join(worker->thread, NULL);
	worker->running = false;
}

int vh_worker_watch(struct vh_worker *worker, int fd, void (*ready)(void *),
		    void *user)
{
	struct epoll_event event = {.events = EPOLLIN,
				    .data.ptr = &worker->watch_fd};

	if (worker->watch_fd >= 0)
		return -EEXIST;
	if (epoll_ctl(worker->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		return -errno;
	worker->watch_fd = fd;
	worker->watch_ready = ready;
	worker->watch_user = user;
	return 0;
}

void vh_worker_unwatch(struct vh_worker *worker)
{
	if (worker->watch_fd < 0)
		return;
	epoll_ctl(worker->epoll, EPOLL_CTL_DEL, worker->watch_fd, NULL);
	worker->watch_fd = -1;
	worker->watch_fired = false;
}

void vh_worker_again(struct vh_worker *worker)
{
	worker->again = true;
	vhi_worker_look(worker);
}

void *vh_worker_user(const struct vh_worker *worker)
{
	return worker->user;
}

void vh_worker_set_user(struct vh_worker *worker, void *user)
{
	worker->user = user;
}

uint32_t vh_worker_index(const struct vh_worker *worker)
{
	return worker->index;
}
