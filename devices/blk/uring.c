/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Requests by io_uring: one ring for a worker. Requests of a round are only
 * prepared; flush hands all of them to the kernel in one system call and
 * takes what is done already. The rest is announced by the ring's
 * descriptor.
 */
#include "request.h"
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* More requests may be in flight: the kernel keeps what doesn't fit. */
#define RING_ENTRIES 128
#define MAX_ATTEMPTS 16

struct uring {
	struct io_uring ring;
	bool fixed_file;
};

/*
 * Since 5.19 completions needn't interrupt us: they are worked off with the
 * next system call. (To defer them until they are asked for, as 6.1 can,
 * isn't for us: the descriptor of such a ring doesn't wake who polls it.)
 */
static int open_ring(struct io_uring *ring, unsigned int entries)
{
	int r = io_uring_queue_init(entries, ring,
				    IORING_SETUP_SUBMIT_ALL |
					IORING_SETUP_COOP_TASKRUN |
					IORING_SETUP_TASKRUN_FLAG);

	return r == -EINVAL ? io_uring_queue_init(entries, ring, 0) : r;
}

int blk_uring_probe(void)
{
	struct io_uring ring;
	int r = open_ring(&ring, 1);

	if (r < 0)
		return r;
	io_uring_queue_exit(&ring);
	return 0;
}

static void prepare_transfer(struct io_uring_sqe *sqe, int fd,
			     const struct blk_request *request)
{
	const struct iovec *pieces = request->pieces;
	unsigned int count = request->step_count;
	bool read = request->op == BLK_OP_READ;

	/* One piece needs no array that the kernel would have to copy. */
	if (count == 1 && read)
		io_uring_prep_read(sqe, fd, pieces->iov_base,
				   (unsigned int)pieces->iov_len,
				   request->offset);
	else if (count == 1)
		io_uring_prep_write(sqe, fd, pieces->iov_base,
				    (unsigned int)pieces->iov_len,
				    request->offset);
	else if (read)
		io_uring_prep_readv(sqe, fd, pieces, count, request->offset);
	else
		io_uring_prep_writev(sqe, fd, pieces, count, request->offset);
	sqe->rw_flags = request->durable ? RWF_DSYNC : 0;
}

static void run_now(struct blk_worker *worker, struct blk_request *request)
{
	blk_request_stepped(request, blk_request_run(worker, request));
}

static int hand_over(struct uring *uring)
{
	int r = io_uring_submit(&uring->ring);

	return r < 0 ? r : 0;
}

static void prepare(struct blk_worker *worker, struct blk_request *request)
{
	struct uring *uring = worker->engine;
	int fd = uring->fixed_file ? 0 : worker->blk->file.fd;
	struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);

	if (!sqe) {
		(void)hand_over(uring);
		sqe = io_uring_get_sqe(&uring->ring);
	}
	if (!sqe) {
		run_now(worker, request);
		return;
	}
	worker->under_way += request->step;
	switch (request->op) {
	case BLK_OP_READ:
	case BLK_OP_WRITE:
		prepare_transfer(sqe, fd, request);
		break;
	case BLK_OP_FLUSH:
		io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
		break;
	default:
		io_uring_prep_fallocate(
		    sqe, fd, blk_fallocate_mode(request->op),
		    (off_t)request->offset, (off_t)request->left);
		break;
	}
	if (uring->fixed_file)
		io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
	io_uring_sqe_set_data(sqe, request);
}

static void uring_submit(struct blk_worker *worker, struct blk_request *request)
{
	/* Rare enough to wait for. */
	if (blk_request_misaligned(&worker->blk->file, request))
		run_now(worker, request);
	else
		prepare(worker, request);
}

static void transferred(struct blk_request *request, int result)
{
	if (result > 0)
		blk_request_advance(request, (size_t)result);
	blk_request_stepped(request, result < 0	   ? result
				     : result == 0 ? -EIO
						   : 0);
}

static void allocated(struct blk_worker *worker, struct blk_request *request,
		      int result)
{
	if (blk_cannot(result)) {
		run_now(worker, request);
		return;
	}
	if (result == 0)
		request->left = 0;
	if (result == 0 && request->durable) {
		request->op = BLK_OP_FLUSH;
		prepare(worker, request);
	} else {
		blk_request_stepped(request, result);
	}
}

static void completed(struct blk_worker *worker, struct blk_request *request,
		      int result)
{
	worker->under_way -= request->step;
	/* It would have had to wait, and wasn't allowed to. */
	if (result == -EAGAIN || result == -EINTR)
		run_now(worker, request);
	else if (request->op <= BLK_OP_WRITE)
		transferred(request, result);
	else if (request->op == BLK_OP_FLUSH)
		blk_request_stepped(request, result);
	else
		allocated(worker, request, result);
}

static void reap(struct blk_worker *worker)
{
	struct uring *uring = worker->engine;
	struct io_uring_cqe *cqes[32];
	unsigned int n;

	while ((n = io_uring_peek_batch_cqe(&uring->ring, cqes, 32)) > 0) {
		for (unsigned int i = 0; i < n; i++) {
			struct blk_request *request =
			    io_uring_cqe_get_data(cqes[i]);

			if (request)
				completed(worker, request, cqes[i]->res);
		}
		io_uring_cq_advance(&uring->ring, n);
	}
}

/*
 * The kernel takes no more, for want of memory: what it didn't take is done
 * by system calls, and its place in the ring by something harmless.
 */
static void take_back(struct blk_worker *worker)
{
	struct uring *uring = worker->engine;
	struct io_uring_sq *sq = &uring->ring.sq;
	unsigned int n = io_uring_sq_ready(&uring->ring);

	for (unsigned int i = sq->sqe_tail - n; i != sq->sqe_tail; i++) {
		struct io_uring_sqe *sqe = &sq->sqes[i & sq->ring_mask];
		struct blk_request *request = (void *)(uintptr_t)sqe->user_data;

		io_uring_prep_nop(sqe);
		io_uring_sqe_set_data(sqe, NULL);
		if (!request)
			continue;
		worker->under_way -= request->step;
		run_now(worker, request);
	}
}

static void uring_flush(struct blk_worker *worker)
{
	struct uring *uring = worker->engine;
	int attempts = 0;

	while (io_uring_sq_ready(&uring->ring)) {
		int r = hand_over(uring);

		reap(worker);
		if (r == 0) {
			attempts = 0;
		} else if (++attempts == MAX_ATTEMPTS) {
			take_back(worker);
			break;
		}
	}
}

/* The ring's descriptor is readable. What is prepared, flush hands over. */
static void ready(void *user)
{
	reap(user);
}

static int uring_start(struct blk_worker *worker)
{
	struct uring *uring = calloc(1, sizeof(*uring));
	int r;

	if (!uring)
		return -ENOMEM;
	r = open_ring(&uring->ring, RING_ENTRIES);
	if (r < 0) {
		free(uring);
		return r;
	}
	/* It only saves the kernel a look-up for each request. */
	uring->fixed_file = io_uring_register_files(
				&uring->ring, &worker->blk->file.fd, 1) == 0;
	worker->engine = uring;
	r = vh_worker_watch(worker->worker, uring->ring.ring_fd, ready, worker);
	if (r < 0) {
		io_uring_queue_exit(&uring->ring);
		free(uring);
		worker->engine = NULL;
	}
	return r;
}

static void uring_stop(struct blk_worker *worker)
{
	struct uring *uring = worker->engine;

	vh_worker_unwatch(worker->worker);
	io_uring_queue_exit(&uring->ring);
	free(uring);
	worker->engine = NULL;
}

const struct blk_storage blk_storage_uring = {
    .name = "io_uring",
    .start = uring_start,
    .stop = uring_stop,
    .submit = uring_submit,
    .flush = uring_flush,
};
