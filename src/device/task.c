/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Tasks: how the control side changes what belongs to a worker. The task
 * lives on the caller's stack; the worker runs it between two bursts, again
 * after every round while it answers VHI_AGAIN, and then wakes the caller.
 */
#include "device.h"

#include <errno.h>
#include <time.h>

/* How long a worker may take before we look whether its peer holds it. */
#define PATIENCE_NS 100000000

static void finish(struct vh_worker *worker, struct vhi_task *task, int result)
{
	pthread_mutex_lock(&worker->lock);
	task->result = result;
	task->done = true;
	pthread_mutex_unlock(&worker->lock);
	/* Behind the lock, which whoever wakes up wants at once. */
	pthread_cond_broadcast(&worker->done);
}

/* The inbox, oldest first. */
static struct vhi_task *take_inbox(struct vh_worker *worker)
{
	struct vhi_task *task, *next, *oldest = NULL;

	if (!vhi_worker_is_wanted(worker))
		return NULL;
	pthread_mutex_lock(&worker->lock);
	task = worker->inbox;
	__atomic_store_n(&worker->inbox, NULL, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&worker->lock);
	for (; task; task = next) {
		next = task->next;
		task->next = oldest;
		oldest = task;
	}
	return oldest;
}

void vhi_worker_run_tasks(struct vh_worker *worker)
{
	struct vhi_task **place = &worker->waiting;
	struct vhi_task *task, *next;
	int r;

	while (*place)
		place = &(*place)->next;
	*place = take_inbox(worker);
	for (place = &worker->waiting; (task = *place);) {
		r = task->run(worker, task->arg);
		if (r == VHI_AGAIN) {
			place = &task->next;
			continue;
		}
		next = task->next; /* task is gone once it is finished */
		finish(worker, task, r);
		*place = next;
	}
}

static int call_inline(struct vh_worker *worker,
		       int (*run)(struct vh_worker *worker, void *arg),
		       void *arg)
{
	int r;

	for (;;) {
		vhi_worker_guard(worker);
		r = run(worker, arg);
		vhi_worker_unguard(worker);
		if (r != VHI_AGAIN) {
			vhi_worker_stay_ready(worker);
			return r;
		}
		vhi_worker_round(worker, -1);
	}
}

/*
 * A peer may have made an eventfd of its own blocking and full, so that the
 * worker waits in write(). Emptying it loses nothing: that write is still to
 * come.
 */
static void unstick(struct vh_worker *worker)
{
	struct vh_device *device = worker->device;

	for (uint32_t i = worker->index; i < device->opts.num_queues;
	     i += device->num_workers) {
		vhi_notifier_relieve(device->queues[i].call_fd);
		vhi_notifier_relieve(device->queues[i].err_fd);
	}
	vhi_notifier_relieve(device->log_fd);
}

static void wait_done(struct vh_worker *worker, const struct vhi_task *task)
{
	struct timespec until;

	while (!task->done) {
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += PATIENCE_NS;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		if (pthread_cond_timedwait(&worker->done, &worker->lock,
					   &until) == ETIMEDOUT)
			unstick(worker);
	}
}

int vhi_worker_call(struct vh_worker *worker,
		    int (*run)(struct vh_worker *worker, void *arg), void *arg)
{
	struct vhi_task task = {.run = run, .arg = arg};

	if (!worker->threaded)
		return call_inline(worker, run, arg);
	pthread_mutex_lock(&worker->lock);
	task.next = worker->inbox;
	__atomic_store_n(&worker->inbox, &task, __ATOMIC_RELAXED);
	vhi_eventfd_signal(worker->wake);
	wait_done(worker, &task);
	pthread_mutex_unlock(&worker->lock);
	return task.result;
}
