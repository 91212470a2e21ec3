/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Requests by system calls of the worker, one after the other. */
#include "request.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <unistd.h>

#define ZERO_PAGE 4096u

bool blk_request_misaligned(const struct blk_file *file,
			    const struct blk_request *request)
{
	uintptr_t bits = 0;
	uintptr_t lengths = 0;

	if (!file->direct || request->op > BLK_OP_WRITE)
		return false;
	for (uint16_t i = 0; i < request->step_count; i++) {
		bits |= (uintptr_t)request->pieces[i].iov_base;
		lengths |= request->pieces[i].iov_len;
	}
	return (bits & (file->memory_align - 1)) ||
	       (lengths & (file->block_size - 1));
}

bool blk_cannot(int error)
{
	return error == -EOPNOTSUPP || error == -EINVAL || error == -ENOSYS;
}

int blk_fallocate_mode(enum blk_op op)
{
	return FALLOC_FL_KEEP_SIZE | (op == BLK_OP_ZERO ? FALLOC_FL_ZERO_RANGE
							: FALLOC_FL_PUNCH_HOLE);
}

static ssize_t transfer_some(int fd, const struct blk_request *request)
{
	const struct iovec *pieces = request->pieces;
	int count = request->step_count;
	off_t offset = (off_t)request->offset;

	if (request->op == BLK_OP_READ)
		return count == 1 ? pread(fd, pieces->iov_base, pieces->iov_len,
					  offset)
				  : preadv(fd, pieces, count, offset);
	if (request->durable)
		return pwritev2(fd, pieces, count, offset, RWF_DSYNC);
	return count == 1
		   ? pwrite(fd, pieces->iov_base, pieces->iov_len, offset)
		   : pwritev(fd, pieces, count, offset);
}

static int transfer(int fd, struct blk_request *request)
{
	ssize_t n;

	do
		n = transfer_some(fd, request);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (n == 0)
		return -EIO;
	blk_request_advance(request, (size_t)n);
	return 0;
}

/* Copies between the bounce buffer and the front of the pieces. */
static void bounce_copy(struct blk_request *request, char *bounce, size_t size,
			bool to_bounce)
{
	while (size) {
		const struct iovec *piece = request->pieces;
		size_t n = piece->iov_len < size ? piece->iov_len : size;

		if (to_bounce)
			memcpy(bounce, piece->iov_base, n);
		else
			memcpy(piece->iov_base, bounce, n);
		blk_request_advance(request, n);
		bounce += n;
		size -= n;
	}
}

static int bounce_all(int fd, char *bounce, size_t size, off_t offset,
		      const struct blk_request *request)
{
	while (size) {
		struct iovec piece = {.iov_base = bounce, .iov_len = size};
		ssize_t n = request->op == BLK_OP_READ
				? preadv(fd, &piece, 1, offset)
				: pwritev2(fd, &piece, 1, offset,
					   request->durable ? RWF_DSYNC : 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		bounce += n;
		size -= (size_t)n;
		offset += n;
	}
	return 0;
}

static int transfer_bounced(const struct blk_worker *worker,
			    struct blk_request *request)
{
	uint32_t end = request->left - request->step;
	int fd = worker->blk->file.fd;

	while (request->left > end) {
		size_t size = request->left - end;
		off_t offset = (off_t)request->offset;
		int r;

		if (size > BLK_BOUNCE_SIZE)
			size = BLK_BOUNCE_SIZE;
		if (request->op == BLK_OP_WRITE)
			bounce_copy(request, worker->bounce, size, true);
		r = bounce_all(fd, worker->bounce, size, offset, request);
		if (r < 0)
			return r;
		if (request->op == BLK_OP_READ)
			bounce_copy(request, worker->bounce, size, false);
	}
	return 0;
}

/* A step, where nothing better is there. */
static int write_zeroes(int fd, struct blk_request *request)
{
	static const char zeroes[ZERO_PAGE] __attribute__((aligned(ZERO_PAGE)));
	struct iovec pieces[BLK_STEP / ZERO_PAGE];
	uint32_t count = request->step / ZERO_PAGE;
	off_t offset = (off_t)request->offset;
	ssize_t n;

	for (uint32_t i = 0; i < count; i++)
		pieces[i] =
		    (struct iovec){(void *)(uintptr_t)zeroes, ZERO_PAGE};
	do
		n = count ? pwritev(fd, pieces, (int)count, offset)
			  : pwrite(fd, zeroes, request->step, offset);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (n == 0)
		return -EIO;
	request->offset += (uint64_t)n;
	request->left -= (uint32_t)n;
	return 0;
}

static int allocate(int fd, const struct blk_request *request, enum blk_op op)
{
	int r;

	do
		r = fallocate(fd, blk_fallocate_mode(op),
			      (off_t)request->offset, (off_t)request->left);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

static int discard_or_zero(int fd, struct blk_request *request)
{
	int r = allocate(fd, request, request->op);

	/* A discard is a hint. */
	if (blk_cannot(r) && request->op == BLK_OP_DISCARD)
		r = 0;
	if (blk_cannot(r) && request->op == BLK_OP_UNMAP)
		r = allocate(fd, request, BLK_OP_ZERO);
	if (blk_cannot(r))
		return write_zeroes(fd, request);
	if (r == 0)
		request->left = 0;
	return r;
}

int blk_request_run(struct blk_worker *worker, struct blk_request *request)
{
	const struct blk_file *file = &worker->blk->file;
	int r = 0;

	switch (request->op) {
	case BLK_OP_READ:
	case BLK_OP_WRITE:
		if (blk_request_misaligned(file, request))
			return transfer_bounced(worker, request);
		return transfer(file->fd, request);
	case BLK_OP_FLUSH:
		return fdatasync(file->fd) < 0 ? -errno : 0;
	default:
		r = discard_or_zero(file->fd, request);
		if (r == 0 && !request->left && request->durable &&
		    fdatasync(file->fd) < 0)
			r = -errno;
		return r;
	}
}

static void sync_submit(struct blk_worker *worker, struct blk_request *request)
{
	blk_request_stepped(request, blk_request_run(worker, request));
}

const struct blk_storage blk_storage_sync = {
    .name = "sync",
    .in_order = true,
    .submit = sync_submit,
};
