/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What a request costs in the ring: nanoseconds for one chain to be popped,
 * pushed and published, on one thread, against a floor.
 *
 * The floor is a loop over the same ring that does the same loads and
 * stores (one look at the available index and one published used index for
 * a burst, the fence, a request structure filled in for each chain) but
 * checks nothing and translates by adding a constant.
 *
 * A round is a ring full of chains. The rounds of the library and of the
 * floor take turns, and the fastest of each counts: what disturbs them comes
 * from outside and only ever adds.
 *
 *	bench-ring [--rounds=N]		JSON on standard output
 */
#include "driver_ring.h"
#include <endian.h>
#include <errno.h>
#include <libvhost/virtqueue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define NUM	      256
#define TABLE_ENTRIES 4
#define REGION_SIZE   UINT64_C(0x20000)
#define REGION_STEP   UINT64_C(0x40000) /* holes keep regions from merging */
#define BUFFER_SIZE   512
#define FEATURES      (UINT64_C(1) << 28 | UINT64_C(1) << 29)

enum shape { ONE, THREE, INDIRECT_OF_THREE };

static const char *const shape_names[] = {"1", "3", "indirect 3"};

struct setting {
	enum shape shape;
	unsigned int burst;
	unsigned int regions;
	bool spread; /* neighbouring buffers lie in different regions */
};

/* Memory, and a ring in it with its driver. */
struct bench {
	int fd;
	char *base; /* the same memory, flat: what the floor adds to */
	struct vh_memory *memory;
	struct driver_ring *driver;
	unsigned int regions;
	unsigned int turn;
};

/* The floor's request, as large as the library's. */
struct request {
	struct vh_chain chain;
	uint32_t writable_size;
	uint16_t head;
	uint16_t state;
	struct iovec pieces[9];
} __attribute__((aligned(64)));

struct floor {
	struct {
		uint64_t address;
		uint64_t rest;
	} * descriptors;
	uint16_t *avail;
	uint16_t *used;
	char *delta;
	struct request requests[NUM];
	uint16_t avail_next;
	uint16_t used_next;
};

static void die(const char *what, int error)
{
	fprintf(stderr, "bench-ring: %s: %s\n", what, strerror(error));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Regions lie in guest memory as in the file, so one offset serves all. */
static void bench_init(struct bench *bench, unsigned int regions)
{
	size_t size = regions * REGION_STEP;
	struct vh_memory *memory, *more;
	int r;

	bench->regions = regions;
	bench->turn = 0;
	bench->fd = memfd_create("bench-ring", MFD_CLOEXEC);
	if (bench->fd < 0 || ftruncate(bench->fd, (off_t)size) < 0)
		die("memfd", errno);
	bench->base =
	    mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, bench->fd, 0);
	if (bench->base == MAP_FAILED)
		die("mmap", errno);
	r = vh_memory_new(&memory);
	for (unsigned int i = 0; r >= 0 && i < regions; i++) {
		struct vh_region region = {
		    .guest = i * REGION_STEP,
		    .size = REGION_SIZE,
		    .user = {(uintptr_t)bench->base + i * REGION_STEP},
		    .fd_offset = i * REGION_STEP,
		    .fd = bench->fd,
		};

		r = vh_memory_add(memory, &region, NULL, &more);
		if (r < 0)
			break;
		vh_memory_unref(memory);
		memory = more;
	}
	if (r < 0)
		die("memory map", -r);
	bench->memory = memory;
	bench->driver = driver_ring_new(&(struct driver_ring_opts){
	    .block = bench->base,
	    .gpa = 0,
	    .num = NUM,
	    .table_entries = TABLE_ENTRIES,
	    .event_idx = true,
	});
	if (!bench->driver)
		die("driver", ENOMEM);
	driver_ring_disable_calls(bench->driver);
}

static void bench_done(struct bench *bench)
{
	driver_ring_free(bench->driver);
	vh_memory_unref(bench->memory);
	munmap(bench->base, bench->regions * REGION_STEP);
	close(bench->fd);
}

/* The ring has the lower half of the first region for itself. */
static uint64_t next_buffer(struct bench *bench, bool spread)
{
	unsigned int turn = bench->turn++;
	/* An odd step, so that it visits all regions in no simple order. */
	unsigned int region = spread ? turn * 397u % bench->regions
				     : turn / 4096 % bench->regions;

	return region * REGION_STEP + REGION_SIZE / 2 +
	       turn % 128 * BUFFER_SIZE;
}

static unsigned int fill_ring(struct bench *bench, const struct setting *set)
{
	unsigned int buffers = set->shape == ONE ? 1 : 3;
	unsigned int chains = set->shape == THREE ? 64 : NUM;

	for (unsigned int i = 0; i < chains; i++) {
		struct driver_buffer list[3];

		for (unsigned int j = 0; j < buffers; j++)
			list[j] = (struct driver_buffer){
			    .gpa = next_buffer(bench, set->spread),
			    .length = BUFFER_SIZE,
			    .write = j > 0,
			};
		if (driver_ring_add(bench->driver, list, buffers,
				    set->shape == INDIRECT_OF_THREE) < 0)
			die("add", ENOSPC);
	}
	driver_ring_publish(bench->driver);
	return chains;
}

static void empty_ring(struct bench *bench, unsigned int chains)
{
	struct driver_used used[NUM];

	if (driver_ring_collect(bench->driver, used, NUM) != (int)chains)
		die("the driver misses completions", EPROTO);
}

static void run_library(struct vh_virtqueue *queue, unsigned int chains,
			unsigned int burst)
{
	struct vh_chain *list[VH_VIRTQUEUE_BURST];

	while (chains) {
		int n = vh_virtqueue_pop(queue, list, burst);

		if (n <= 0)
			die("pop", EPROTO);
		for (int i = 0; i < n; i++)
			vh_virtqueue_push(queue, list[i],
					  list[i]->writable_size);
		if (vh_virtqueue_publish(queue) < 0)
			die("publish", EPROTO);
		chains -= (unsigned int)n;
	}
}

static inline uint64_t load64(const uint64_t *p)
{
	return le64toh(__atomic_load_n(p, __ATOMIC_RELAXED));
}

static inline struct vh_chain *floor_take(struct floor *floor, uint16_t head)
{
	struct request *request = &floor->requests[head];
	struct iovec *piece = request->pieces;
	uint32_t readable = 0, bytes = 0, readable_count = 0, count = 0;
	const void *table = floor->descriptors;
	unsigned int index = head, flags;
	uint64_t address, rest;

	do {
		const uint64_t *at = (const uint64_t *)table + 2 * index;

		address = load64(&at[0]);
		rest = load64(&at[1]);
		flags = rest >> 32 & 0xffff;
		index = (unsigned int)(rest >> 48);
		if (flags & 4) {
			table = floor->delta + address;
			index = 0;
			flags = 1;
			continue;
		}
		piece->iov_base = floor->delta + address;
		piece->iov_len = (uint32_t)rest;
		piece++;
		count++;
		bytes += (uint32_t)rest;
		if (!(flags & 2)) {
			readable = bytes;
			readable_count = count;
		}
	} while (flags & 1);
	request->writable_size = bytes - readable;
	request->head = head;
	request->state = 1;
	request->chain = (struct vh_chain){
	    .readable = request->pieces,
	    .writable = request->pieces + readable_count,
	    .readable_size = readable,
	    .writable_size = bytes - readable,
	    .readable_count = (uint16_t)readable_count,
	    .writable_count = (uint16_t)(count - readable_count),
	    .descriptors = (uint16_t)count,
	    .head = head,
	};
	return &request->chain;
}

static __attribute__((noinline)) unsigned int
floor_pop(struct floor *floor, struct vh_chain **list, unsigned int burst)
{
	uint16_t index =
	    le16toh(__atomic_load_n(&floor->avail[1], __ATOMIC_ACQUIRE));
	unsigned int n = (uint16_t)(index - floor->avail_next);

	if (n > burst)
		n = burst;
	for (unsigned int i = 0; i < n; i++)
		list[i] = floor_take(
		    floor,
		    le16toh(
			floor->avail[2 + (floor->avail_next++ & (NUM - 1))]));
	return n;
}

static __attribute__((noinline)) void
floor_push(struct floor *floor, struct vh_chain *chain, uint32_t written)
{
	struct request *request = (void *)chain;
	uint32_t *element = (uint32_t *)(void *)floor->used + 1 +
			    2 * (floor->used_next++ & (NUM - 1));

	request->state = 0;
	__atomic_store_n(&element[0], htole32(request->head), __ATOMIC_RELAXED);
	__atomic_store_n(&element[1], htole32(written), __ATOMIC_RELAXED);
}

static __attribute__((noinline)) bool floor_publish(struct floor *floor,
						    uint16_t old)
{
	uint16_t now = floor->used_next;
	uint16_t event;

	__atomic_store_n(&floor->used[1], htole16(now), __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	event =
	    le16toh(__atomic_load_n(&floor->avail[2 + NUM], __ATOMIC_RELAXED));
	return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

static void run_floor(struct floor *floor, unsigned int chains,
		      unsigned int burst)
{
	struct vh_chain *list[VH_VIRTQUEUE_BURST];
	unsigned int calls = 0;

	while (chains) {
		uint16_t old = floor->used_next;
		unsigned int n = floor_pop(floor, list, burst);

		for (unsigned int i = 0; i < n; i++)
			floor_push(floor, list[i], list[i]->writable_size);
		calls += floor_publish(floor, old);
		chains -= n;
	}
	if (calls > 1)
		die("the driver asked for silence", EPROTO);
}

static struct vh_virtqueue *queue_new(const struct bench *bench)
{
	struct vh_virtqueue *queue;
	struct vh_fault fault;
	VH_OPTS(vh_virtqueue_opts, opts);

	opts.num = NUM;
	opts.features = FEATURES;
	opts.descriptors = driver_ring_descriptors(bench->driver);
	opts.available = driver_ring_avail(bench->driver);
	opts.used = driver_ring_used(bench->driver);
	if (vh_virtqueue_new(&opts, bench->memory, &fault, &queue) < 0) {
		fprintf(stderr, "bench-ring: %s\n", fault.text);
		exit(1);
	}
	return queue;
}

static struct floor *floor_new(const struct bench *bench)
{
	struct floor *floor = aligned_alloc(64, sizeof(*floor));

	if (!floor)
		die("floor", ENOMEM);
	memset(floor, 0, sizeof(*floor));
	floor->delta = bench->base;
	floor->descriptors =
	    (void *)(bench->base + driver_ring_descriptors(bench->driver));
	floor->avail = (void *)(bench->base + driver_ring_avail(bench->driver));
	floor->used = (void *)(bench->base + driver_ring_used(bench->driver));
	return floor;
}

/* What asking for the time costs, to be taken off. */
static uint64_t clock_cost(void)
{
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < 1000; i++) {
		uint64_t start = now_ns();
		uint64_t took = now_ns() - start;

		if (took < best)
			best = took;
	}
	return best;
}

static void measure(const struct setting *set, unsigned int rounds, bool first)
{
	uint64_t best[2] = {UINT64_MAX, UINT64_MAX};
	uint64_t cost = clock_cost();
	struct vh_virtqueue *queue;
	struct bench bench[2];
	struct floor *floor;
	unsigned int chains = 1;
	double ns, floor_ns;

	bench_init(&bench[0], set->regions);
	bench_init(&bench[1], set->regions);
	queue = queue_new(&bench[0]);
	floor = floor_new(&bench[1]);
	for (unsigned int i = 0; i < 2 * rounds; i++) {
		unsigned int which = i & 1;
		uint64_t start, took;

		chains = fill_ring(&bench[which], set);
		start = now_ns();
		if (which)
			run_floor(floor, chains, set->burst);
		else
			run_library(queue, chains, set->burst);
		took = now_ns() - start;
		empty_ring(&bench[which], chains);
		if (took < best[which])
			best[which] = took;
	}
	ns = (double)(best[0] - cost) / chains;
	floor_ns = (double)(best[1] - cost) / chains;
	printf("%s\n  {\"ring\": \"split\", \"chain\": \"%s\", "
	       "\"burst\": %u, \"regions\": %u, \"spread\": %s, "
	       "\"ns\": %.2f, \"floor_ns\": %.2f, \"ratio\": %.2f}",
	       first ? "" : ",", shape_names[set->shape], set->burst,
	       set->regions, set->spread ? "true" : "false", ns, floor_ns,
	       ns / floor_ns);
	free(floor);
	vh_virtqueue_free(queue);
	bench_done(&bench[0]);
	bench_done(&bench[1]);
}

static void measure_all(unsigned int rounds)
{
	static const unsigned int bursts[] = {1, 32};
	static const struct {
		unsigned int regions;
		bool spread;
	} maps[] = {
	    {1, false}, {64, false}, {64, true}, {509, false}, {509, true}};
	bool first = true;

	printf("[");
	for (enum shape shape = ONE; shape <= INDIRECT_OF_THREE; shape++)
		for (size_t b = 0; b < 2; b++)
			for (size_t m = 0; m < 5; m++) {
				measure(&(struct setting){shape, bursts[b],
							  maps[m].regions,
							  maps[m].spread},
					rounds, first);
				first = false;
			}
	printf("\n]\n");
}

int main(int argc, char **argv)
{
	unsigned int rounds = 4000;

	if (argc == 2 && !strncmp(argv[1], "--rounds=", 9)) {
		rounds = (unsigned int)strtoul(argv[1] + 9, NULL, 10);
	} else if (argc > 1) {
		fprintf(stderr, "usage: bench-ring [--rounds=N]\n");
		return 2;
	}
	if (!rounds) {
		fprintf(stderr, "bench-ring: --rounds must be a number "
				"above 0\n");
		return 2;
	}
	measure_all(rounds);
	return 0;
}
