/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Large transfers, step by step. After a step a request waits in the list of
 * its queue, and the worker looks at kicks and tasks before it goes on. The
 * queues that have such requests take turns. As long as none has, requests
 * go to the storage at once.
 */
#include "request.h"
#include <errno.h>

void blk_request_cut(struct blk_request *request)
{
	size_t size = 0;
	uint16_t n = 0;

	if (request->op > BLK_OP_WRITE) {
		request->step = BLK_STEP;
		return;
	}
	while (n < request->count && n < BLK_STEP_PIECES && size < BLK_STEP)
		size += request->pieces[n++].iov_len;
	if (size > BLK_STEP) {
		request->hidden = (uint32_t)(size - BLK_STEP);
		request->pieces[n - 1].iov_len -= request->hidden;
		size = BLK_STEP;
	}
	request->step = (uint32_t)size;
	request->step_count = n;
}

void blk_request_advance(struct blk_request *request, size_t size)
{
	if (request->hidden)
		request->pieces[request->step_count - 1].iov_len +=
		    request->hidden;
	request->hidden = 0;
	request->left -= (uint32_t)size;
	request->offset += size;
	while (size && size >= request->pieces->iov_len) {
		size -= request->pieces->iov_len;
		request->pieces++;
		request->count--;
	}
	if (size) {
		request->pieces->iov_base =
		    (char *)request->pieces->iov_base + size;
		request->pieces->iov_len -= size;
	}
}

/* Puts a queue at the end of its worker's list. */
static void list(struct blk_worker *worker, struct blk_queue *queue)
{
	queue->next = NULL;
	if (worker->waiting)
		worker->last_waiting->next = queue;
	else
		worker->waiting = queue;
	worker->last_waiting = queue;
	queue->listed = true;
}

void blk_request_wait(struct blk_request *request)
{
	struct blk_queue *queue = request->queue;

	request->next = NULL;
	if (queue->waiting)
		queue->last_waiting->next = request;
	else
		queue->waiting = request;
	queue->last_waiting = request;
	if (!queue->listed)
		list(queue->worker, queue);
}

/* A queue's turn: one large step, or small requests that come to as much. */
static void take_turn(struct blk_worker *worker, struct blk_queue *queue)
{
	uint64_t end = worker->moved + BLK_STEP;

	while (queue->waiting && worker->moved < end &&
	       blk_worker_has_room(worker)) {
		struct blk_request *request = queue->waiting;

		queue->waiting = request->next;
		if (vh_queue_abandoned(queue->queue))
			blk_request_done(request, -ECANCELED);
		else
			blk_request_step(worker, request);
	}
}

void blk_worker_go_on(struct blk_worker *worker)
{
	struct blk_queue *queue;

	while (blk_worker_has_room(worker) && (queue = worker->waiting)) {
		worker->waiting = queue->next;
		take_turn(worker, queue);
		if (queue->waiting)
			list(worker, queue);
		else
			queue->listed = false;
	}
}
