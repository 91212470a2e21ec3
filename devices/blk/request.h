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
	union {
		struct blk_request *next_free;
		struct vh_chain *chain;
	};
	struct blk_queue *queue;
	uint8_t *status; /* in guest memory */
	/* What is still to be done; the pieces are the chain's own. */
	struct iovec *pieces;
	uint64_t offset; /* bytes */
	uint32_t left;
	uint32_t total;
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

/* Answers a request that a storage did: error is 0 or a negative errno. */
void blk_request_done(struct blk_request *request, int error);

/* size bytes of the data are done. */
void blk_request_advance(struct blk_request *request, size_t size);

/*
 * Does all that is left of a request with system calls, and waits. Returns 0
 * or a negative errno; blk_request_done() is up to the caller.
 */
int blk_request_run(struct blk_worker *worker, struct blk_request *request);

/* The buffers aren't aligned as direct I/O wants it: blk_request_run(). */
bool blk_request_misaligned(const struct blk_file *file,
			    const struct blk_request *request);

/* The file system, or the device, hasn't got this kind of fallocate(). */
bool blk_cannot(int error);

/* The mode of fallocate() for an operation. */
int blk_fallocate_mode(enum blk_op op);

#endif
