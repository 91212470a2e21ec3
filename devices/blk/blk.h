/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What a disk consists of: the disk, which every thread sees and of which
 * only the atomic members change after it was made; a worker's part; and a
 * queue's part, which belong to their thread.
 */
#ifndef BLK_BLK_H
#define BLK_BLK_H

#include "file.h"
#include <stdatomic.h>

#define BLK_SECTION "virtio, Block Device, Device Operation"

/* Limits that config space tells and requests are held to. */
#define BLK_SEG_MAX		126u
#define BLK_MAX_DISCARD_SECTORS (1u << 30 >> 9)
/* Writing that many zeroes must not hold a worker up for long. */
#define BLK_MAX_ZEROES_SECTORS (32u << 20 >> 9)
#define BLK_ID_SIZE	       20u

#define BLK_BOUNCE_SIZE	       65536u

/*
 * A transfer is done in steps of this size: a driver may ask for gigabytes
 * at a time, and a worker shall be busy with one thing for a millisecond at
 * most. No smaller, since most of what a Linux guest asks for in one request
 * fits.
 */
#define BLK_STEP	(1u << 20)
#define BLK_STEP_PIECES 1024u /* the kernel's limit, UIO_MAXIOV */
/* What a worker starts before others' kicks and tasks are looked at. */
#define BLK_STEPS_AT_ONCE (UINT64_C(4) * BLK_STEP)
/*
 * What is under way in the kernel, where it can't be stopped any more.
 * Enough to keep fast storage busy.
 */
#define BLK_STEPS_UNDER_WAY (UINT64_C(32) * BLK_STEP)

struct blk_queue;
struct blk_request;
struct blk_worker;

/*
 * A way to the storage. It does one step of a request that is submitted and
 * says so with blk_request_stepped(), now or later, on the same thread.
 */
struct blk_storage {
	const char *name;
	bool in_order; /* requests are done as they come */
	int (*start)(struct blk_worker *worker); /* may be NULL */
	void (*stop)(struct blk_worker *worker); /* may be NULL */
	void (*submit)(struct blk_worker *worker, struct blk_request *request);
	void (*flush)(struct blk_worker *worker); /* may be NULL */
};

extern const struct blk_storage blk_storage_null;
extern const struct blk_storage blk_storage_sync;
extern const struct blk_storage blk_storage_uring;

/* 0, or why the system forbids io_uring. */
int blk_uring_probe(void);

/* Written by one worker, read by anybody. */
struct blk_counters {
	_Atomic uint64_t in;
	_Atomic uint64_t out;
	_Atomic uint64_t flush;
	_Atomic uint64_t get_id;
	_Atomic uint64_t discard;
	_Atomic uint64_t write_zeroes;
	_Atomic uint64_t errors;
	_Atomic uint64_t bytes_read;
	_Atomic uint64_t bytes_written;
};

static inline void blk_count(_Atomic uint64_t *counter, uint64_t n)
{
	uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);

	atomic_store_explicit(counter, value + n, memory_order_relaxed);
}

struct blk_worker {
	struct blk_counters counters;
	const struct blk *blk;
	const struct blk_storage *storage;
	struct vh_worker *worker;
	void *bounce; /* BLK_BOUNCE_SIZE bytes, with direct */
	void *engine; /* the storage's own */
	/* steps.c: queues with requests that wait for their next step */
	struct blk_queue *waiting;
	struct blk_queue *last_waiting;
	uint64_t moved;	    /* bytes that were started since others' turn */
	uint64_t under_way; /* bytes that the kernel has got */
} __attribute__((aligned(128)));

struct blk {
	_Atomic uint64_t capacity; /* sectors */
	_Atomic bool write_through;
	bool read_only;
	uint64_t features; /* as offered */
	struct blk_file file;
	char serial[BLK_ID_SIZE];
	struct vh_log log;
	const struct blk_storage *storage;
	bool storage_may_change; /* nobody insisted on this one */
	uint32_t num_queues;
	uint32_t num_workers; /* at least 1 */
	struct vh_backend *backend;

	/* control side */
	uint64_t acked;	   /* features that the driver chose */
	uint8_t writeback; /* config space */

	struct blk_worker workers[];
};

void blk_log(const struct blk *blk, uint32_t level, const char *format, ...)
    VH_PRINTF(3, 4);

/* What a worker needs before its first request. -ENOMEM, or what the
 * storage says. */
int blk_worker_open(struct blk_worker *worker);
void blk_worker_close(struct blk_worker *worker);

#endif
