/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Makes a device of the parts: options, workers, queues, counters. */
#include "blk.h"
#include "config.h"
#include "request.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static const struct vh_device_ops blk_ops;

void blk_log(const struct blk *blk, uint32_t level, const char *format, ...)
{
	char line[256];
	va_list args;

	if (!blk->log.write || level > blk->log.level)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	blk->log.write(blk->log.user, level, line);
}

/*
 * The driver's core has just written the header, and has looked at the status:
 * have them on their way.
 */
static void fetch(const struct vh_chain *chain)
{
	if (chain->readable_count)
		__builtin_prefetch(chain->readable->iov_base);
	if (chain->writable_count)
		__builtin_prefetch(
		    chain->writable[chain->writable_count - 1].iov_base, 1);
}

static void process(void *user, struct vh_queue *queue,
		    struct vh_chain *chains[], unsigned int count)
{
	struct blk_queue *own = vh_queue_user(queue);

	(void)user;
	for (unsigned int i = 0; i < count; i++)
		fetch(chains[i]);
	for (unsigned int i = 0; i < count; i++)
		blk_request_start(own, chains[i]);
}

static void flush(void *user, struct vh_worker *worker)
{
	struct blk_worker *own = vh_worker_user(worker);
	bool enough;

	(void)user;
	if (!own)
		return;
	if (own->waiting)
		blk_worker_go_on(own);
	if (own->storage->flush)
		own->storage->flush(own);
	enough = own->moved >= BLK_STEPS_AT_ONCE;
	if (enough)
		own->moved = 0;
	/* If there is no room, what is under way will wake us. */
	if (enough || (own->waiting && blk_worker_has_room(own)))
		vh_worker_again(worker);
}

static int queue_start(void *user, struct vh_queue *queue)
{
	struct blk_queue *own = malloc(sizeof(*own));
	int r;

	(void)user;
	if (!own)
		return -ENOMEM;
	r = blk_queue_open(own, vh_worker_user(vh_queue_worker(queue)), queue);
	if (r < 0)
		free(own);
	else
		vh_queue_set_user(queue, own);
	return r;
}

static void queue_stop(void *user, struct vh_queue *queue)
{
	struct blk_queue *own = vh_queue_user(queue);

	(void)user;
	if (!own)
		return;
	vh_queue_set_user(queue, NULL);
	blk_queue_close(own);
	free(own);
}

static int start_storage(struct blk_worker *worker)
{
	const struct blk *blk = worker->blk;
	int r;

	worker->storage = blk->storage;
	if (!worker->storage->start)
		return 0;
	r = worker->storage->start(worker);
	if (r == 0 || !blk->storage_may_change)
		return r;
	blk_log(blk, VH_LOG_WARN,
		"blk: worker %u uses system calls, since it gets no io_uring: "
		"%s",
		vh_worker_index(worker->worker), blk_error_text(-r));
	worker->storage = &blk_storage_sync;
	return 0;
}

int blk_worker_open(struct blk_worker *worker)
{
	int r;

	if (worker->blk->file.direct) {
		worker->bounce =
		    mmap(NULL, BLK_BOUNCE_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (worker->bounce == MAP_FAILED) {
			worker->bounce = NULL;
			return -ENOMEM;
		}
	}
	r = start_storage(worker);
	if (r < 0)
		blk_worker_close(worker);
	return r;
}

void blk_worker_close(struct blk_worker *worker)
{
	if (worker->engine && worker->storage->stop)
		worker->storage->stop(worker);
	if (worker->bounce)
		munmap(worker->bounce, BLK_BOUNCE_SIZE);
	worker->bounce = NULL;
}

static int worker_start(void *user, struct vh_worker *worker)
{
	struct blk *blk = user;
	struct blk_worker *own = &blk->workers[vh_worker_index(worker)];
	int r;

	own->worker = worker;
	r = blk_worker_open(own);
	if (r == 0)
		vh_worker_set_user(worker, own);
	return r;
}

static void worker_stop(void *user, struct vh_worker *worker)
{
	struct blk_worker *own = vh_worker_user(worker);

	(void)user;
	if (!own)
		return;
	vh_worker_set_user(worker, NULL);
	blk_worker_close(own);
}

static void destroy(void *user)
{
	struct blk *blk = user;

	blk_file_close(&blk->file);
	free(blk);
}

static const struct vh_device_ops blk_ops = {
    .size = sizeof(blk_ops),
    .process = process,
    .flush = flush,
    .queue_start = queue_start,
    .queue_stop = queue_stop,
    .worker_start = worker_start,
    .worker_stop = worker_stop,
    .get_config = blk_config_get,
    .set_config = blk_config_set,
    .set_features = blk_config_set_features,
    .reset = blk_config_reset,
    .destroy = destroy,
    .release = blk_config_release,
};

static int choose_file_storage(struct blk *blk, uint32_t engine,
			       struct vh_fault *fault)
{
	int r = 0;

	blk->storage = &blk_storage_sync;
	if (engine == VH_BLK_ENGINE_SYNC) {
		blk_log(blk, VH_LOG_INFO,
			"blk: system calls, as was asked for");
		return 0;
	}
	if (engine == VH_BLK_ENGINE_AUTO && blk->file.in_memory) {
		blk_log(blk, VH_LOG_INFO,
			"blk: system calls, since the file lives in memory");
		return 0;
	}
	r = blk_uring_probe();
	if (r < 0 && engine == VH_BLK_ENGINE_IO_URING)
		return blk_fault(fault, VH_FAULT_SYSTEM, -ENOSYS,
				 "io_uring was asked for, but the system "
				 "refuses it: %s",
				 blk_error_text(-r));
	if (r < 0) {
		blk_log(blk, VH_LOG_INFO,
			"blk: system calls, since the system refuses io_uring: "
			"%s",
			blk_error_text(-r));
		return 0;
	}
	blk->storage = &blk_storage_uring;
	blk->storage_may_change = engine == VH_BLK_ENGINE_AUTO;
	blk_log(blk, VH_LOG_INFO, "blk: io_uring");
	return 0;
}

static void use_null(struct blk *blk, uint64_t size)
{
	blk->file = (struct blk_file){
	    .fd = -1,
	    .can_punch = true,
	    .block_size = BLK_SECTOR,
	    .memory_align = 1,
	    .physical_size = 4096,
	    .min_io = 4096,
	    .size = size,
	};
	blk->storage = &blk_storage_null;
	blk_log(blk, VH_LOG_INFO, "blk: null store");
}

static int use_storage(struct blk *blk, const struct vh_blk_opts *opts,
		       struct vh_fault *fault)
{
	int r;

	if (!opts->path) {
		use_null(blk, opts->null_size);
	} else {
		r = blk_file_open(&blk->file, opts, fault);
		if (r < 0)
			return r;
		r = choose_file_storage(blk, opts->engine, fault);
		if (r < 0)
			return r;
	}
	atomic_init(&blk->capacity, blk_config_capacity(blk, blk->file.size));
	blk->features = blk_config_features(blk);
	return 0;
}

/* As for all options: a newer caller may only leave unknown members zero. */
static int copy_opts(struct vh_blk_opts *ours, const struct vh_blk_opts *theirs,
		     struct vh_fault *fault)
{
	size_t size = theirs ? theirs->size : 0;

	memset(ours, 0, sizeof(*ours));
	if (size < sizeof(size) || size > 65536)
		return blk_fault(fault, VH_FAULT_CALLER, -EINVAL,
				 "the options have no size");
	for (size_t i = sizeof(*ours); i < size; i++)
		if (((const unsigned char *)theirs)[i])
			return blk_fault(fault, VH_FAULT_CALLER, -E2BIG,
					 "an option of a newer library");
	memcpy(ours, theirs, size < sizeof(*ours) ? size : sizeof(*ours));
	if (!ours->num_queues)
		ours->num_queues = 1;
	return 0;
}

static int check_opts(const struct vh_blk_opts *opts, struct vh_fault *fault)
{
	if (opts->num_queues > VH_DEVICE_MAX_QUEUES)
		return blk_fault(fault, VH_FAULT_CALLER, -EINVAL,
				 "%u queues; at most %u", opts->num_queues,
				 VH_DEVICE_MAX_QUEUES);
	if (opts->workers > VH_DEVICE_MAX_WORKERS)
		return blk_fault(fault, VH_FAULT_CALLER, -EINVAL,
				 "%u workers; at most %u", opts->workers,
				 VH_DEVICE_MAX_WORKERS);
	if (opts->engine > VH_BLK_ENGINE_SYNC)
		return blk_fault(fault, VH_FAULT_CALLER, -EINVAL,
				 "engine %u; at most %u", opts->engine,
				 VH_BLK_ENGINE_SYNC);
	if (opts->serial && strlen(opts->serial) > BLK_ID_SIZE)
		return blk_fault(fault, VH_FAULT_CALLER, -EINVAL,
				 "a serial of %zu bytes; at most %u",
				 strlen(opts->serial), BLK_ID_SIZE);
	if (!opts->path &&
	    (opts->null_size < BLK_SECTOR || opts->null_size > INT64_MAX))
		return blk_fault(fault, VH_FAULT_CALLER, -EINVAL,
				 "a null store of %llu bytes; at least %u",
				 (unsigned long long)opts->null_size,
				 BLK_SECTOR);
	return 0;
}

static int new_disk(const struct vh_blk_opts *opts, struct vh_fault *fault,
		    struct blk **ret_blk)
{
	uint32_t workers = opts->workers ? opts->workers : 1;
	size_t size = sizeof(struct blk) + workers * sizeof(struct blk_worker);
	struct blk *blk = aligned_alloc(_Alignof(struct blk), size);
	int r;

	if (!blk) {
		blk_fault(fault, VH_FAULT_SYSTEM, -ENOMEM,
			  "no memory for a disk");
		return -ENOMEM;
	}
	memset(blk, 0, size);
	blk->file.fd = -1;
	blk->log = opts->log;
	blk->read_only = opts->read_only;
	blk->num_queues = opts->num_queues;
	blk->num_workers = workers;
	if (opts->serial)
		memcpy(blk->serial, opts->serial, strlen(opts->serial));
	blk_config_reset(blk);
	for (uint32_t i = 0; i < workers; i++)
		blk->workers[i].blk = blk;
	r = use_storage(blk, opts, fault);
	if (r < 0)
		destroy(blk);
	else
		*ret_blk = blk;
	return r;
}

/* Of those that the engine leaves to the device. */
static uint64_t ring_features(const struct blk *blk,
			      const struct vh_blk_opts *opts)
{
	uint64_t features = blk->storage->in_order ? VH_F_IN_ORDER : 0;

	if (opts->iommu)
		features |= VH_F_ACCESS_PLATFORM;
	return features & ~opts->without_features;
}

int vh_blk_new(const struct vh_blk_opts *caller_opts, struct vh_fault *fault,
	       struct vh_backend **ret_backend)
{
	struct vh_blk_opts opts;
	struct blk *blk = NULL;
	int r = copy_opts(&opts, caller_opts, fault);

	if (r == 0)
		r = check_opts(&opts, fault);
	if (r == 0)
		r = new_disk(&opts, fault, &blk);
	if (r != 0)
		return r;

	VH_OPTS(vh_device_opts, device);
	device.features = blk->features | ring_features(blk, &opts);
	device.without_features = opts.without_features;
	device.spin_us = opts.spin_us;
	device.publish_after = opts.publish_after;
	device.num_queues = blk->num_queues;
	device.config_size = sizeof(struct blk_config);
	device.workers = opts.workers;
	device.name = "blk";
	device.log = opts.log;
	r = vh_device_new(&blk_ops, &device, blk, &blk->backend);
	if (r < 0) {
		destroy(blk);
		return blk_fault(fault, VH_FAULT_SYSTEM, r,
				 "can't make a device: %s", blk_error_text(-r));
	}
	*ret_backend = blk->backend;
	return 0;
}

static struct blk *disk_of(const struct vh_backend *backend)
{
	return backend ? vh_device_user(backend, &blk_ops) : NULL;
}

int vh_blk_refresh(struct vh_backend *backend)
{
	struct blk *blk = disk_of(backend);
	uint64_t capacity;
	uint64_t size;
	int r;

	if (!blk)
		return -EINVAL;
	if (blk->file.fd < 0)
		return 0;
	r = blk_file_size(&blk->file, &size);
	if (r < 0)
		return r;
	capacity = blk_config_capacity(blk, size);
	if (atomic_exchange(&blk->capacity, capacity) == capacity)
		return 0;
	blk_log(blk, VH_LOG_INFO, "blk: the disk has %llu sectors now",
		(unsigned long long)capacity);
	vh_device_config_changed(backend);
	return 1;
}

static uint64_t get(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

int vh_blk_get_stats(const struct vh_backend *backend,
		     struct vh_blk_stats *stats)
{
	const struct blk *blk = disk_of(backend);
	struct vh_blk_stats sum = {.size = sizeof(sum)};

	if (!blk || stats->size < sizeof(stats->size))
		return -EINVAL;
	sum.engine = blk->storage->name;
	for (uint32_t i = 0; i < blk->num_workers; i++) {
		const struct blk_counters *c = &blk->workers[i].counters;

		sum.in += get(&c->in);
		sum.out += get(&c->out);
		sum.flush += get(&c->flush);
		sum.get_id += get(&c->get_id);
		sum.discard += get(&c->discard);
		sum.write_zeroes += get(&c->write_zeroes);
		sum.errors += get(&c->errors);
		sum.bytes_read += get(&c->bytes_read);
		sum.bytes_written += get(&c->bytes_written);
	}
	sum.size = stats->size < sizeof(sum) ? stats->size : sizeof(sum);
	memcpy(stats, &sum, sum.size);
	return 0;
}

const char *const *vh_blk_feature_names(void)
{
	static const char *const names[] = {"read-only", "blk-file", NULL};

	return names;
}
