/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "request.h"
#include "wire.h"
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define LIKELY(x)   __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define COLD	    __attribute__((cold, noinline))

#define POOL_SIZE   (VH_VIRTQUEUE_MAX_SIZE * sizeof(struct blk_request))

int blk_queue_open(struct blk_queue *queue, struct blk_worker *worker,
		   struct vh_queue *vh_queue)
{
	void *pool = mmap(NULL, POOL_SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (pool == MAP_FAILED)
		return -ENOMEM;
	/* A huge page for the few requests in flight would be a waste. */
	(void)madvise(pool, POOL_SIZE, MADV_NOHUGEPAGE);
	*queue = (struct blk_queue){
	    .queue = vh_queue,
	    .worker = worker,
	    .pool = pool,
	    .fresh = pool,
	};
	return 0;
}

void blk_queue_close(struct blk_queue *queue)
{
	munmap(queue->pool, POOL_SIZE);
}

static inline struct blk_request *take_request(struct blk_queue *queue)
{
	struct blk_request *request = queue->free;

	if (UNLIKELY(!request))
		return queue->fresh++;
	queue->free = request->next;
	return request;
}

/*
 * The last step of every request: status byte, slot, ring. The status is behind
 * all other writable bytes, so the whole of them counts as written, whatever
 * was read: a log of less wouldn't have the status.
 */
static inline void answer(struct blk_request *request, uint8_t status)
{
	struct blk_queue *queue = request->queue;
	struct vh_chain *chain = request->chain;

	if (UNLIKELY(status != BLK_S_OK))
		blk_count(&queue->worker->counters.errors, 1);
	__atomic_store_n(request->status, status, __ATOMIC_RELAXED);
	request->next = queue->free;
	queue->free = request;
	vh_queue_complete(queue->queue, chain, chain->writable_size + 1);
}

COLD static const char *op_name(uint8_t op)
{
	static const char *const names[] = {
	    [BLK_OP_READ] = "read",	    [BLK_OP_WRITE] = "write",
	    [BLK_OP_FLUSH] = "flush",	    [BLK_OP_DISCARD] = "discard",
	    [BLK_OP_ZERO] = "write zeroes", [BLK_OP_UNMAP] = "unmap",
	};

	return names[op];
}

COLD static void answer_failed(struct blk_request *request, int error)
{
	vh_queue_warn(request->queue->queue, VH_FAULT_IO, BLK_SECTION,
		      "%s of %u bytes, %u of them left at offset %llu: %s",
		      op_name(request->op), request->total, request->left,
		      (unsigned long long)request->offset,
		      blk_error_text(-error));
	answer(request, BLK_S_IOERR);
}

void blk_request_done(struct blk_request *request, int error)
{
	struct blk_counters *counters = &request->queue->worker->counters;

	if (UNLIKELY(error)) {
		answer_failed(request, error);
		return;
	}
	if (request->op == BLK_OP_READ)
		blk_count(&counters->bytes_read, request->total);
	else if (request->op == BLK_OP_WRITE)
		blk_count(&counters->bytes_written, request->total);
	answer(request, BLK_S_OK);
}

/*
 * Takes size bytes, of which there are so many, off the front of an array of
 * pieces. It copies each byte once; the barrier keeps the compiler from
 * looking at guest memory again where the copy is meant.
 */
static inline void take(struct iovec **pieces, uint16_t *count, void *to,
			size_t size)
{
	while (size) {
		struct iovec *piece = *pieces;
		size_t n = piece->iov_len < size ? piece->iov_len : size;

		memcpy(to, piece->iov_base, n);
		to = (char *)to + n;
		size -= n;
		piece->iov_base = (char *)piece->iov_base + n;
		piece->iov_len -= n;
		if (piece->iov_len == 0) {
			(*pieces)++;
			(*count)--;
		}
	}
	__asm__ volatile("" ::: "memory");
}

static inline void take_header(struct vh_chain *chain,
			       struct blk_header *header)
{
	const struct iovec *first = chain->readable;

	if (LIKELY(first->iov_len == sizeof(*header))) {
		memcpy(header, first->iov_base, sizeof(*header));
		__asm__ volatile("" ::: "memory");
		chain->readable++;
		chain->readable_count--;
	} else {
		take(&chain->readable, &chain->readable_count, header,
		     sizeof(*header));
	}
	chain->readable_size -= sizeof(*header);
}

/* The status is the last byte, whatever piece that is in. */
static inline uint8_t *take_status(struct vh_chain *chain)
{
	struct iovec *last = &chain->writable[chain->writable_count - 1];

	while (UNLIKELY(last->iov_len == 0)) {
		chain->writable_count--;
		last--;
	}
	last->iov_len--;
	if (last->iov_len == 0)
		chain->writable_count--;
	chain->writable_size--;
	return (uint8_t *)last->iov_base + last->iov_len;
}

/* Without a whole header or without a status byte: nothing can be told. */
COLD static void refuse_chain(struct blk_queue *queue, struct vh_chain *chain)
{
	uint32_t written = chain->writable_size;

	blk_count(&queue->worker->counters.errors, 1);
	vh_queue_warn(queue->queue, VH_FAULT_REQUEST, BLK_SECTION,
		      "a request has %u readable and %u writable bytes; it "
		      "needs at least 16 and 1",
		      chain->readable_size, chain->writable_size);
	if (written)
		*take_status(chain) = BLK_S_IOERR;
	vh_queue_complete(queue->queue, chain, written);
}

COLD static void refuse(struct blk_request *request, uint8_t status,
			const char *why, uint64_t value)
{
	vh_queue_warn(request->queue->queue, VH_FAULT_REQUEST, BLK_SECTION,
		      "%s: %llu", why, (unsigned long long)value);
	answer(request, status);
}

/*
 * The range of a request in bounds and in units of the block size; otherwise
 * it is answered and the result false.
 */
static inline bool check_range(struct blk_request *request, uint64_t sector,
			       uint64_t bytes)
{
	const struct blk *blk = request->queue->worker->blk;
	uint64_t capacity =
	    atomic_load_explicit(&blk->capacity, memory_order_relaxed);
	uint32_t mask = blk->file.block_size - 1;

	if (UNLIKELY(bytes & (BLK_SECTOR - 1))) {
		refuse(request, BLK_S_IOERR,
		       "the length isn't a multiple of 512 bytes", bytes);
		return false;
	}
	if (UNLIKELY(bytes / BLK_SECTOR > capacity ||
		     sector > capacity - bytes / BLK_SECTOR)) {
		refuse(request, BLK_S_IOERR,
		       "the request ends behind the disk; its sector", sector);
		return false;
	}
	if (UNLIKELY((bytes | sector * BLK_SECTOR) & mask)) {
		refuse(request, BLK_S_IOERR,
		       "the request isn't a multiple of blk_size; its sector",
		       sector);
		return false;
	}
	request->offset = sector * BLK_SECTOR;
	request->total = (uint32_t)bytes;
	request->left = (uint32_t)bytes;
	return true;
}

static inline bool write_through(const struct blk_request *request)
{
	return atomic_load_explicit(&request->queue->worker->blk->write_through,
				    memory_order_relaxed);
}

static inline void start_transfer(struct blk_request *request, uint8_t op,
				  uint64_t sector)
{
	struct vh_chain *chain = request->chain;
	bool read = op == BLK_OP_READ;

	request->op = op;
	request->durable = !read && write_through(request);
	request->pieces = read ? chain->writable : chain->readable;
	request->count = read ? chain->writable_count : chain->readable_count;
	if (!check_range(request, sector,
			 read ? chain->writable_size : chain->readable_size))
		return;
	if (LIKELY(request->total))
		blk_request_submit(request);
	else
		blk_request_done(request, 0);
}

static void start_flush(struct blk_request *request)
{
	request->op = BLK_OP_FLUSH;
	request->durable = false;
	request->offset = 0;
	request->total = 0;
	request->left = 0;
	blk_request_submit(request);
}

static void start_get_id(struct blk_request *request)
{
	const struct blk *blk = request->queue->worker->blk;
	const struct vh_chain *chain = request->chain;
	uint32_t done = 0;

	if (chain->writable_size == 0) {
		refuse(request, BLK_S_IOERR,
		       "no room for the device's ID, bytes", 0);
		return;
	}
	for (uint16_t i = 0; i < chain->writable_count; i++) {
		size_t n = chain->writable[i].iov_len;

		if (n > BLK_ID_SIZE - done)
			n = BLK_ID_SIZE - done;
		memcpy(chain->writable[i].iov_base, blk->serial + done, n);
		done += (uint32_t)n;
	}
	answer(request, BLK_S_OK);
}

/*
 * Discard and write zeroes carry one segment. Copies it; false if the
 * request was answered.
 */
static bool take_segment(struct blk_request *request,
			 struct blk_segment *segment)
{
	struct vh_chain *chain = request->chain;
	uint32_t size = chain->readable_size;

	if (size < sizeof(*segment) || size % sizeof(*segment)) {
		refuse(request, BLK_S_IOERR,
		       "segments of 16 bytes; the data has", size);
		return false;
	}
	if (size > sizeof(*segment)) {
		refuse(request, BLK_S_UNSUPP, "at most 1 segment, there are",
		       size / sizeof(*segment));
		return false;
	}
	take(&chain->readable, &chain->readable_count, segment,
	     sizeof(*segment));
	return true;
}

static void start_segment(struct blk_request *request, bool discard)
{
	uint32_t limit =
	    discard ? BLK_MAX_DISCARD_SECTORS : BLK_MAX_ZEROES_SECTORS;
	uint32_t known = discard ? 0 : BLK_SEGMENT_UNMAP;
	struct blk_segment segment;
	uint32_t sectors;
	uint32_t flags;

	if (!take_segment(request, &segment))
		return;
	sectors = le32toh(segment.num_sectors);
	flags = le32toh(segment.flags);
	if (flags & ~known) {
		refuse(request, BLK_S_UNSUPP, "unknown flags of a segment",
		       flags);
		return;
	}
	if (sectors > limit) {
		refuse(request, BLK_S_IOERR,
		       discard ? "more than max_discard_sectors"
			       : "more than max_write_zeroes_sectors",
		       sectors);
		return;
	}
	request->op = discard ? BLK_OP_DISCARD
		      : flags ? BLK_OP_UNMAP
			      : BLK_OP_ZERO;
	request->durable = write_through(request);
	if (!check_range(request, le64toh(segment.sector),
			 (uint64_t)sectors * BLK_SECTOR))
		return;
	if (request->total)
		blk_request_submit(request);
	else
		blk_request_done(request, 0);
}

/* Everything but the transfer of data. */
static void start_other(struct blk_request *request,
			const struct blk_header *header)
{
	const struct blk *blk = request->queue->worker->blk;
	struct blk_counters *counters = &request->queue->worker->counters;
	uint32_t type = le32toh(header->type);

	switch (type) {
	case BLK_T_FLUSH:
		blk_count(&counters->flush, 1);
		start_flush(request);
		return;
	case BLK_T_GET_ID:
		blk_count(&counters->get_id, 1);
		start_get_id(request);
		return;
	case BLK_T_DISCARD:
		if (!(blk->features & BLK_F_DISCARD))
			break;
		blk_count(&counters->discard, 1);
		start_segment(request, true);
		return;
	case BLK_T_WRITE_ZEROES:
		if (!(blk->features & BLK_F_WRITE_ZEROES))
			break;
		blk_count(&counters->write_zeroes, 1);
		start_segment(request, false);
		return;
	default:
		break;
	}
	refuse(request, BLK_S_UNSUPP, "unsupported request type", type);
}

static void start_write(struct blk_request *request,
			const struct blk_header *header)
{
	struct blk_worker *worker = request->queue->worker;

	blk_count(&worker->counters.out, 1);
	if (UNLIKELY(worker->blk->read_only)) {
		refuse(request, BLK_S_IOERR,
		       "the disk is read-only; write to sector",
		       le64toh(header->sector));
		return;
	}
	start_transfer(request, BLK_OP_WRITE, le64toh(header->sector));
}

void blk_request_start(struct blk_queue *queue, struct vh_chain *chain)
{
	struct blk_request *request;
	struct blk_header header;

	if (UNLIKELY(chain->readable_size < sizeof(header) ||
		     chain->writable_size < 1)) {
		refuse_chain(queue, chain);
		return;
	}
	request = take_request(queue);
	request->chain = chain;
	request->queue = queue;
	take_header(chain, &header);
	request->status = take_status(chain);
	if (UNLIKELY(chain->descriptors > BLK_SEG_MAX + 2)) {
		refuse(request, BLK_S_IOERR,
		       "more than seg_max + 2 descriptors", chain->descriptors);
		return;
	}
	if (LIKELY(header.type == htole32(BLK_T_IN))) {
		blk_count(&queue->worker->counters.in, 1);
		start_transfer(request, BLK_OP_READ, le64toh(header.sector));
	} else if (header.type == htole32(BLK_T_OUT)) {
		start_write(request, &header);
	} else {
		start_other(request, &header);
	}
}
