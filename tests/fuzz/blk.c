/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Hands requests of any content and any layout to the block device and
 * compares status, data and the disk with a model that works on flat arrays.
 * Each piece has memory of its own, so that a sanitizer sees each byte too
 * many. Stands in for the engine: vh_queue_complete() and vh_queue_warn() are
 * defined here.
 *
 * The first byte is the kind of disk. A request is a byte each for its type,
 * where, how much is readable behind the header, how much is writable, what
 * is odd about it, and two bytes for how it is cut into pieces.
 */
#include "config.h"
#include "request.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SECTORS	   64u
#define DISK_SIZE  ((size_t)SECTORS * BLK_SECTOR)
#define MAX_BYTES  4096u
#define MAX_PIECES 32u
#define NO_STATUS  0xee
#define HEADER	   sizeof(struct blk_header)

struct input {
	const uint8_t *bytes;
	size_t size;
};

/* A request as a driver sees it: without pieces. */
struct request {
	uint8_t readable[MAX_BYTES];
	uint8_t writable[MAX_BYTES];
	uint32_t readable_size;
	uint32_t writable_size;
	uint16_t descriptors;
};

struct outcome {
	uint32_t written;
	uint8_t status; /* NO_STATUS: no place for it */
	uint32_t read;	/* bytes at the start of the writable part */
};

static struct {
	unsigned int completed;
	uint32_t written;
} seen;

static uint8_t model[DISK_SIZE];
static uint8_t expected[MAX_BYTES];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "%s\n", what);
	abort();
}

void vh_queue_complete(struct vh_queue *queue, struct vh_chain *chain,
		       uint32_t written)
{
	(void)queue;
	(void)chain;
	seen.completed++;
	seen.written = written;
}

void vh_queue_warn(struct vh_queue *queue, uint32_t code, const char *section,
		   const char *format, ...)
{
	(void)queue;
	check(code && section && *format, "a warning without words");
}

bool vh_queue_abandoned(const struct vh_queue *queue)
{
	(void)queue;
	return false;
}

static uint8_t next_byte(struct input *input)
{
	if (input->size == 0)
		return 0;
	input->size--;
	return *input->bytes++;
}

static uint64_t pick_sector(uint8_t byte)
{
	static const uint64_t odd[] = {
	    SECTORS,
	    SECTORS + 1,
	    UINT64_MAX,
	    UINT64_MAX / BLK_SECTOR,
	    UINT64_MAX / BLK_SECTOR + 1,
	    UINT64_C(1) << 63,
	};

	return byte < 2 * SECTORS ? byte % SECTORS
				  : odd[byte % (sizeof(odd) / sizeof(odd[0]))];
}

static uint32_t pick_size(uint8_t byte)
{
	static const uint32_t odd[] = {0, 1, 15, 16, 17, 20, 32, 48, 511, 513};

	if (byte < 128)
		return byte % 6 * BLK_SECTOR;
	return odd[byte % (sizeof(odd) / sizeof(odd[0]))];
}

static void put_segment(struct request *r, uint8_t where, uint8_t odd)
{
	struct blk_segment segment = {
	    .sector = pick_sector(where),
	    .num_sectors = odd & 0x20 ? BLK_MAX_ZEROES_SECTORS + 1 : odd % 9,
	    .flags = odd & 0x40	  ? 1
		     : odd & 0x80 ? 2
				  : 0,
	};

	memcpy(r->readable + HEADER, &segment, sizeof(segment));
}

static void make_request(struct request *r, struct input *input)
{
	static const uint32_t types[] = {0, 1, 1, 4, 8, 11, 13, 14};
	uint8_t type = next_byte(input);
	uint8_t where = next_byte(input);
	uint8_t odd;
	struct blk_header header = {
	    .type = type < 0xf0 ? types[type % 8] : UINT32_MAX - type,
	    .sector = pick_sector(where),
	};

	memset(r->readable, type + where, sizeof(r->readable));
	memset(r->writable, NO_STATUS, sizeof(r->writable));
	memcpy(r->readable, &header, HEADER);
	r->readable_size = (uint32_t)HEADER + pick_size(next_byte(input));
	r->writable_size = 1 + pick_size(next_byte(input));
	odd = next_byte(input);
	if (header.type == BLK_T_DISCARD || header.type == BLK_T_WRITE_ZEROES)
		put_segment(r, where, odd);
	r->descriptors = odd == 0xff ? BLK_SEG_MAX + 3 : 2;
	if (odd == 0xfe)
		r->readable_size = where % HEADER;
	if (odd == 0xfd || odd == 0xfc)
		r->writable_size = 0;
	if (odd == 0xfc)
		r->readable_size = 0;
}

/* Cuts an array into pieces with memory of their own. */
static uint16_t cut(struct iovec *pieces, const uint8_t *from, uint32_t size,
		    uint8_t how)
{
	static const uint32_t steps[] = {1, 8, 15, 16, 17, 100, 512, 4096};
	uint16_t count = 0;
	uint32_t at = 0;

	while (at < size) {
		uint32_t n = steps[how % 8];

		how = (uint8_t)(how / 2 + how * 3);
		if (n > size - at || count == MAX_PIECES - 1)
			n = size - at;
		pieces[count].iov_base = malloc(n);
		pieces[count].iov_len = n;
		check(pieces[count].iov_base, "no memory");
		memcpy(pieces[count].iov_base, from + at, n);
		at += n;
		count++;
	}
	return count;
}

/* Frees the pieces, whose content goes to a flat array again. */
static void join(const struct iovec *pieces, uint16_t count, uint8_t *to)
{
	for (uint16_t i = 0; i < count; i++) {
		memcpy(to, pieces[i].iov_base, pieces[i].iov_len);
		to += pieces[i].iov_len;
		free(pieces[i].iov_base);
	}
}

static bool range_is_good(const struct blk *blk, uint64_t sector, uint64_t size)
{
	uint32_t block = blk->file.block_size;

	return size % block == 0 && size <= DISK_SIZE && sector <= SECTORS &&
	       sector * BLK_SECTOR + size <= DISK_SIZE &&
	       sector * BLK_SECTOR % block == 0;
}

static uint8_t predict_segment(const struct blk *blk, const struct request *r,
			       bool discard)
{
	uint32_t size = r->readable_size - (uint32_t)HEADER;
	uint32_t most =
	    discard ? BLK_MAX_DISCARD_SECTORS : BLK_MAX_ZEROES_SECTORS;
	struct blk_segment segment;

	memcpy(&segment, r->readable + HEADER, sizeof(segment));
	if (blk->read_only)
		return BLK_S_UNSUPP;
	if (size % 16 || size == 0)
		return BLK_S_IOERR;
	if (size > 16 || segment.flags > 1 || (discard && segment.flags))
		return BLK_S_UNSUPP;
	if (segment.num_sectors > most ||
	    !range_is_good(blk, segment.sector,
			   (uint64_t)segment.num_sectors * BLK_SECTOR))
		return BLK_S_IOERR;
	memset(model + segment.sector * BLK_SECTOR, 0,
	       (size_t)segment.num_sectors * BLK_SECTOR);
	return BLK_S_OK;
}

static uint8_t predict_transfer(const struct blk *blk, const struct request *r,
				struct outcome *outcome)
{
	struct blk_header header;
	uint32_t size;

	memcpy(&header, r->readable, HEADER);
	size = header.type == BLK_T_IN ? r->writable_size - 1
				       : r->readable_size - (uint32_t)HEADER;
	if (!range_is_good(blk, header.sector, size) ||
	    (header.type == BLK_T_OUT && blk->read_only))
		return BLK_S_IOERR;
	if (header.type == BLK_T_IN) {
		memcpy(expected, model + header.sector * BLK_SECTOR, size);
		outcome->read = size;
	} else {
		memcpy(model + header.sector * BLK_SECTOR, r->readable + HEADER,
		       size);
	}
	return BLK_S_OK;
}

static uint8_t predict_id(const struct blk *blk, const struct request *r,
			  struct outcome *outcome)
{
	uint32_t room = r->writable_size - 1;

	outcome->read = room < BLK_ID_SIZE ? room : BLK_ID_SIZE;
	memcpy(expected, blk->serial, outcome->read);
	return room ? BLK_S_OK : BLK_S_IOERR;
}

static uint8_t predict_status(const struct blk *blk, const struct request *r,
			      struct outcome *outcome)
{
	struct blk_header header;

	if (r->readable_size < HEADER || r->descriptors > BLK_SEG_MAX + 2)
		return BLK_S_IOERR;
	memcpy(&header, r->readable, HEADER);
	switch (header.type) {
	case BLK_T_IN:
	case BLK_T_OUT:
		return predict_transfer(blk, r, outcome);
	case BLK_T_FLUSH:
		return BLK_S_OK;
	case BLK_T_GET_ID:
		return predict_id(blk, r, outcome);
	case BLK_T_DISCARD:
	case BLK_T_WRITE_ZEROES:
		return predict_segment(blk, r, header.type == BLK_T_DISCARD);
	default:
		return BLK_S_UNSUPP;
	}
}

static struct outcome predict(const struct blk *blk, const struct request *r)
{
	struct outcome outcome = {.status = NO_STATUS};

	if (r->writable_size == 0)
		return outcome;
	outcome.status = predict_status(blk, r, &outcome);
	outcome.written = r->writable_size; /* the status is the last */
	return outcome;
}

static void compare(const struct blk *blk, const struct request *r,
		    const struct outcome *outcome)
{
	static uint8_t disk[DISK_SIZE];

	check(seen.completed == 1, "not completed once");
	check(seen.written == outcome->written, "another length");
	if (r->writable_size)
		check(r->writable[r->writable_size - 1] == outcome->status,
		      "another status");
	if (outcome->status == BLK_S_OK)
		check(memcmp(r->writable, expected, outcome->read) == 0,
		      "other data");
	for (uint32_t i = outcome->read; i + 1 < r->writable_size; i++)
		check(r->writable[i] == NO_STATUS, "more than was asked for");
	check(pread(blk->file.fd, disk, DISK_SIZE, 0) == (ssize_t)DISK_SIZE &&
		  memcmp(disk, model, DISK_SIZE) == 0,
	      "another disk");
}

static void run_request(struct blk_queue *queue, struct input *input)
{
	struct iovec readable[MAX_PIECES];
	struct iovec writable[MAX_PIECES];
	struct iovec given[2][MAX_PIECES];
	struct vh_chain chain = {.readable = given[0], .writable = given[1]};
	struct outcome outcome;
	struct request r;
	uint16_t counts[2];

	make_request(&r, input);
	counts[0] =
	    cut(readable, r.readable, r.readable_size, next_byte(input));
	counts[1] =
	    cut(writable, r.writable, r.writable_size, next_byte(input));
	memcpy(given[0], readable, counts[0] * sizeof(*readable));
	memcpy(given[1], writable, counts[1] * sizeof(*writable));
	chain.readable_count = counts[0];
	chain.writable_count = counts[1];
	chain.readable_size = r.readable_size;
	chain.writable_size = r.writable_size;
	chain.descriptors = r.descriptors;
	outcome = predict(queue->worker->blk, &r);
	seen.completed = 0;
	blk_request_start(queue, &chain);
	for (queue->worker->moved = 0; queue->worker->waiting;
	     queue->worker->moved = 0)
		blk_worker_go_on(queue->worker);
	join(readable, counts[0], r.readable);
	join(writable, counts[1], r.writable);
	compare(queue->worker->blk, &r, &outcome);
}

static void open_disk(struct blk *blk, uint8_t kind)
{
	memset(model, 0, sizeof(model));
	blk->file.fd = memfd_create("disk", MFD_CLOEXEC);
	check(blk->file.fd >= 0 && ftruncate(blk->file.fd, DISK_SIZE) == 0,
	      "no disk");
	blk->file.block_size = kind & 2 ? 1024 : BLK_SECTOR;
	blk->file.memory_align = 64;
	/* Odd buffers go through the bounce buffer then. */
	blk->file.direct = kind & 4;
	blk->file.can_punch = true;
	blk->read_only = kind & 1;
	memcpy(blk->serial, "serial", 6);
	blk->features = blk_config_features(blk);
	atomic_init(&blk->capacity, SECTORS);
	atomic_init(&blk->write_through, kind & 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	struct blk blk = {.num_queues = 1};
	struct blk_worker worker = {.blk = &blk};
	struct blk_queue queue;

	open_disk(&blk, next_byte(&input));
	worker.storage = &blk_storage_sync;
	worker.bounce = aligned_alloc(4096, BLK_BOUNCE_SIZE);
	check(worker.bounce && blk_queue_open(&queue, &worker, NULL) == 0,
	      "no memory");
	while (input.size)
		run_request(&queue, &input);
	blk_queue_close(&queue);
	free(worker.bounce);
	blk_file_close(&blk.file);
	return 0;
}
