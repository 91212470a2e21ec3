/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The life of a request: parsed and checked here, done by a storage. */
#ifndef BLK_REQUEST_H
#define BLK_REQUEST_H

#include "blk.h"

enum blk_op {
	BLK_OP_READ,
	BLK_OP_WRITE,
	BLK_OP_FLUSH,
	BLK_OP_DISCARD,
	BLK_OP_ZERO,  /* reads as zeroes afterwards */
	BLK_OP_UNMAP, /* likewise, and may give up its space */
};

struct blk_request {
	struct blk_request *next; /* that is free, or waits */
	struct vh_chain *chain;
	struct blk_queue *queue;
	uint8_t *status; /* in guest memory */
	/* What is still to be done; the pieces are the chain's own. */
	struct iovec *pieces;
	uint64_t offset; /* bytes */
	uint32_t left;
	uint32_t total;
	/*
	 * The step that is being done: so many bytes in so many pieces. The
	 * last one of these is shorter than it was by so many bytes.
	 */
	uint32_t step;
	uint32_t hidden;
	uint16_t step_count;
	uint16_t count;
	uint8_t op;
	bool durable; /* on stable storage before it ends */
};

/*
 * A queue's part. Requests come from a pool that is as large as a ring can
 * be, so it can't run dry; what was never used was never touched.
 */
struct blk_queue {
	struct vh_queue *queue;
	struct blk_worker *worker;
	struct blk_request *free;
	struct blk_request *fresh; /* from here on none was used yet */
	struct blk_request *pool;
	/* steps.c */
	struct blk_request *waiting;
	struct blk_request *last_waiting;
	struct blk_queue *next; /* that waits */
	bool listed;		/* among those that wait */
};

/* -ENOMEM. */
int blk_queue_open(struct blk_queue *queue, struct blk_worker *worker,
		   struct vh_queue *vh_queue);
void blk_queue_close(struct blk_queue *queue);

/*
 * Takes a request from the ring and answers it, or hands it to the worker's
 * storage. The chain's arrays are changed. This is where guest data comes
 * in: whatever the chain holds, it is completed once.
 */
void blk_request_start(struct blk_queue *queue, struct vh_chain *chain);

/* Answers a request: error is 0 or a negative errno. */
void blk_request_done(struct blk_request *request, int error);

/* size bytes of a transfer are done; the step's pieces are whole again. */
void blk_request_advance(struct blk_request *request, size_t size);

/* Goes on with those that wait, each queue in its turn. */
void blk_worker_go_on(struct blk_worker *worker);

/*
 * Does a step of a request with system calls, and waits. Returns 0 or a
 * negative errno; blk_request_stepped() is up to the caller.
 */
int blk_request_run(struct blk_worker *worker, struct blk_request *request);

/* The buffers aren't aligned as direct I/O wants it: blk_request_run(). */
bool blk_request_misaligned(const struct blk_file *file,
			    const struct blk_request *request);

/* The file system, or the device, hasn't got this kind of fallocate(). */
bool blk_cannot(int error);

/* The mode of fallocate() for an operation. */
int blk_fallocate_mode(enum blk_op op);

/*
 * What follows is on the way of each request (steps.c has the rest).
 */

/* Makes a step of the front of a request that is too large for one. */
void blk_request_cut(struct blk_request *request) __attribute__((cold));

/* Puts it at the end of its queue's list. */
void blk_request_wait(struct blk_request *request) __attribute__((cold));

/* True if a step may begin now. */
static inline bool blk_worker_has_room(const struct blk_worker *worker)
{
	return worker->moved < BLK_STEPS_AT_ONCE &&
	       worker->under_way < BLK_STEPS_UNDER_WAY;
}

static inline void blk_request_step(struct blk_worker *worker,
				    struct blk_request *request)
{
	request->step = request->left;
	request->step_count = request->count;
	request->hidden = 0;
	if (request->left > BLK_STEP || request->count > BLK_STEP_PIECES)
		blk_request_cut(request);
	worker->moved += request->step;
	worker->storage->submit(worker, request);
}

/* Has the storage do a request, now or when its turn comes. */
static inline void blk_request_submit(struct blk_request *request)
{
	struct blk_worker *worker = request->queue->worker;

	/* What transfers nothing needn't wait. */
	if ((!worker->waiting && blk_worker_has_room(worker)) || !request->left)
		blk_request_step(worker, request);
	else
		blk_request_wait(request);
}

/* A storage did a step of a request; error is 0 or a negative errno. */
static inline void blk_request_stepped(struct blk_request *request, int error)
{
	if (!error && request->left)
		blk_request_wait(request);
	else
		blk_request_done(request, error);
}

#endif
