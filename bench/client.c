/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What the library's client, vh_user_connect(), costs and what it brings, on
 * a block device: one line of JSON, times in microseconds and medians.
 *
 *   control SOCKET  from connect() to the first completed request, one
 *                   request with its reply, a table of 8 regions
 *   memory SOCKET   one region more or less, and all of them anew
 *   rate SOCKET     thousand reads of 4 KiB a second, at depth 1 and 32
 *
 * Without SOCKET the device is in this process.
 */
#include "measure.h"

#include <libvhost-devices/blk.h>
#include <libvhost/libvhost.h>
#include <rig.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FEATURES   (VH_F_VERSION_1 | VH_F_EVENT_IDX | VH_F_INDIRECT_DESC)
#define NUM	   128
#define READ_SIZE  4096
#define BLOCKS	   4096
#define MAX_ROUNDS 10000
#define MAX_DEPTH  32
#define NULL_SIZE  (UINT64_C(1) << 30)

/* Regions beside the guest's own. */
#define EXTRA_GUEST UINT64_C(0x10000000000)
#define EXTRA_USER  UINT64_C(0x600000000000)
#define EXTRA_SIZE  (UINT64_C(2) << 20)

static struct {
	const char *socket; /* NULL: in this process */
	unsigned int rounds;
	double seconds;
	int extra; /* a file for regions */
	struct rig rig;
	struct vh_backend *backend;
} bench;

static void check(int r, const char *what)
{
	const struct vh_fault *fault =
	    bench.backend ? vh_backend_fault(bench.backend) : NULL;

	if (r < 0 && fault && *fault->text)
		fprintf(stderr, "bench-client: %s\n", fault->text);
	if (r < 0)
		die(what, -r);
}

static void open_backend(void)
{
	VH_OPTS(vh_user_connect_opts, user);
	VH_OPTS(vh_blk_opts, blk);
	int r;

	bench.backend = NULL;
	user.mode = VH_USER_CONNECT;
	user.path = bench.socket;
	blk.null_size = NULL_SIZE;
	blk.num_queues = blk.workers = 1;
	r = bench.socket ? vh_user_connect(&user, NULL, &bench.backend)
			 : vh_blk_new(&blk, NULL, &bench.backend);
	check(r, "no back-end");
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double times[], unsigned int count)
{
	qsort(times, count, sizeof(times[0]), by_size);
	return times[count / 2] / 1000;
}

static struct vh_region extra(unsigned int i)
{
	return (struct vh_region){
	    .guest = EXTRA_GUEST + i * 2 * EXTRA_SIZE,
	    .size = EXTRA_SIZE,
	    .user.raw = EXTRA_USER + i * 2 * EXTRA_SIZE,
	    .fd = bench.extra,
	};
}

/* The guest's memory, as one region, and those beside it. */
static void fill_table(struct vh_region regions[], unsigned int count)
{
	regions[0] = (struct vh_region){
	    .guest = RIG_GUEST,
	    .size = RIG_SIZE,
	    .user.raw = (uintptr_t)bench.rig.memory,
	    .fd = bench.rig.fd,
	};
	for (unsigned int i = 1; i < count; i++)
		regions[i] = extra(i);
}

/* From nothing to the first completed request; the memory is there. */
static double first_request(double *ret_connected)
{
	uint64_t start = now_ns();
	struct vh_region region;
	uint64_t features;

	open_backend();
	*ret_connected = (double)(now_ns() - start);
	bench.rig.backend = bench.backend;
	fill_table(&region, 1);
	check(vh_backend_set_owner(bench.backend), "owner");
	check(vh_backend_get_features(bench.backend, &features), "features");
	check(vh_backend_set_features(bench.backend, bench.rig.features),
	      "features");
	check(vh_backend_set_mem_table(bench.backend, &region, 1), "memory");
	check(rig_start(&bench.rig, 0, NUM), "ring");
	check(rig_blk(&bench.rig, 0, 0, 0, READ_SIZE), "request");
	return (double)(now_ns() - start);
}

static void first_requests(void)
{
	static double whole[MAX_ROUNDS], connected[MAX_ROUNDS];

	for (unsigned int i = 0; i < bench.rounds; i++) {
		vh_backend_free(bench.backend);
		whole[i] = first_request(&connected[i]);
	}
	printf("\"connect\": %.1f, \"first_request\": %.1f, ",
	       median(connected, bench.rounds), median(whole, bench.rounds));
}

static void round_trips(void)
{
	static double times[MAX_ROUNDS];
	uint64_t features;

	for (unsigned int i = 0; i < MAX_ROUNDS; i++) {
		uint64_t start = now_ns();

		check(vh_backend_get_features(bench.backend, &features),
		      "features");
		times[i] = (double)(now_ns() - start);
	}
	printf("\"round_trip\": %.1f, ", median(times, MAX_ROUNDS));
}

/* The same table again; the ring stays where it is. */
static double table_time(unsigned int count)
{
	static double times[MAX_ROUNDS];
	struct vh_region regions[VH_MEMORY_MAX_REGIONS];

	fill_table(regions, count);
	for (unsigned int i = 0; i < bench.rounds; i++) {
		uint64_t start = now_ns();

		check(vh_backend_set_mem_table(bench.backend, regions, count),
		      "a table");
		times[i] = (double)(now_ns() - start);
	}
	return median(times, bench.rounds);
}

static void control(void)
{
	printf("{");
	first_requests();
	round_trips();
	printf("\"table_of_8\": %.1f}\n", table_time(8));
}

static void one_more(unsigned int present, double *ret_add, double *ret_remove)
{
	static double adds[MAX_ROUNDS], removes[MAX_ROUNDS];
	struct vh_region region = extra(present);

	for (unsigned int i = 0; i < bench.rounds; i++) {
		uint64_t start = now_ns(), added;

		check(vh_backend_add_region(bench.backend, &region), "add");
		added = now_ns();
		adds[i] = (double)(added - start);
		check(vh_backend_remove_region(bench.backend, &region),
		      "remove");
		removes[i] = (double)(now_ns() - added);
	}
	*ret_add = median(adds, bench.rounds);
	*ret_remove = median(removes, bench.rounds);
}

/* No message has room for more than 8: each of them goes and comes back. */
static double one_by_one(unsigned int count)
{
	uint64_t start = now_ns();

	for (unsigned int i = 1; i < count; i++) {
		struct vh_region region = extra(i);

		check(vh_backend_remove_region(bench.backend, &region),
		      "remove");
		check(vh_backend_add_region(bench.backend, &region), "add");
	}
	return (double)(now_ns() - start) / 1000;
}

static void memory(void)
{
	static const unsigned int counts[] = {8, 64, 509};
	unsigned int present = 1;
	const char *comma = "[";
	uint32_t slots;

	check(vh_backend_get_max_mem_slots(bench.backend, &slots), "slots");
	for (unsigned int i = 0; i < 3 && counts[i] <= slots; i++) {
		double add, remove, all;

		for (; present < counts[i] - 1; present++) {
			struct vh_region region = extra(present);

			check(vh_backend_add_region(bench.backend, &region),
			      "add");
		}
		one_more(present, &add, &remove);
		if (counts[i] > 8 && bench.socket) {
			all = one_by_one(present);
		} else {
			all = table_time(counts[i]);
			present = counts[i];
		}
		printf("%s{\"regions\": %u, \"add\": %.1f, \"remove\": %.1f, "
		       "\"all\": %.1f}",
		       comma, counts[i], add, remove, all);
		comma = ", ";
	}
	printf("]\n");
}

struct header {
	uint32_t type;
	uint32_t reserved;
	uint64_t sector;
};

/* Slot i has its header at RIG_DATA + i * 64, then the status, far off data. */
static void submit(unsigned int slot)
{
	static uint64_t random;
	vh_gpa at = RIG_DATA + slot * 64;
	vh_gpa data = RIG_DATA + 65536 + slot * READ_SIZE;
	struct iovec readable = {(void *)(uintptr_t)at, sizeof(struct header)};
	struct iovec writable[2] = {
	    {(void *)(uintptr_t)data, READ_SIZE},
	    {(void *)(uintptr_t)(at + sizeof(struct header)), 1},
	};
	struct header *header = rig_at(&bench.rig, at);

	random = random * UINT64_C(6364136223846793005) + 1;
	*header = (struct header){.sector = (random >> 33) % BLOCKS * 8};
	check(vh_driver_queue_add(bench.rig.queues[0].driver, &readable, 1,
				  writable, 2, (void *)(uintptr_t)(slot + 1)),
	      "add");
}

static void publish(void)
{
	const uint64_t one = 1;

	if (vh_driver_queue_publish(bench.rig.queues[0].driver) &&
	    write(bench.rig.queues[0].kick, &one, sizeof(one)) < 0)
		die("kick", 0);
}

/* Thousand a second, polled. */
static double rate(unsigned int depth)
{
	struct vh_driver_queue *driver = bench.rig.queues[0].driver;
	uint64_t requests = 0, start = now_ns(), now;
	struct vh_driver_used used[MAX_DEPTH];
	int n;

	vh_driver_queue_disable_calls(driver);
	for (unsigned int i = 0; i < depth; i++)
		submit(i);
	publish();
	do {
		now = now_ns();
		n = vh_driver_queue_collect(driver, used, MAX_DEPTH);
		check(n, "collect");
		for (int i = 0; i < n; i++)
			submit((unsigned int)(uintptr_t)used[i].token - 1);
		if (n > 0)
			publish();
		requests += (unsigned int)n;
	} while ((double)(now - start) < bench.seconds * 1e9);
	while (vh_driver_queue_inflight(driver) > 0)
		check(vh_driver_queue_collect(driver, used, MAX_DEPTH),
		      "collect");
	return (double)requests / ((double)(now - start) / 1e6);
}

static void rates(void)
{
	printf("{\"1\": %.1f, ", rate(1));
	printf("\"32\": %.1f}\n", rate(MAX_DEPTH));
}

static const struct {
	const char *name;
	void (*run)(void);
} parts[] = {{"control", control}, {"memory", memory}, {"rate", rates}};

static int take(int argc, char *argv[])
{
	bench.rounds = 300;
	bench.seconds = 0.4;
	for (; argc > 1 && strncmp(argv[1], "--", 2) == 0; argc--, argv++) {
		if (sscanf(argv[1], "--rounds=%u", &bench.rounds) != 1 &&
		    sscanf(argv[1], "--seconds=%lf", &bench.seconds) != 1)
			return -1;
	}
	if (argc < 2 || argc > 3 || bench.rounds == 0 ||
	    bench.rounds > MAX_ROUNDS)
		return -1;
	bench.socket = argc == 3 ? argv[2] : NULL;
	for (int i = 0; i < 3; i++)
		if (strcmp(argv[1], parts[i].name) == 0)
			return i;
	return -1;
}

int main(int argc, char *argv[])
{
	struct vh_region region;
	int part = take(argc, argv);

	if (part < 0) {
		fprintf(stderr, "usage: bench-client [--rounds=N] "
				"[--seconds=S] control|memory|rate [SOCKET]\n");
		return 2;
	}
	bench.extra = memfd_create("regions", MFD_CLOEXEC);
	if (bench.extra < 0 || ftruncate(bench.extra, EXTRA_SIZE) < 0)
		die("memfd", 0);
	open_backend();
	check(rig_open(&bench.rig, bench.backend, FEATURES), "a guest");
	fill_table(&region, 1);
	check(vh_backend_set_mem_table(bench.backend, &region, 1), "memory");
	check(rig_start(&bench.rig, 0, NUM), "ring");
	check(rig_blk(&bench.rig, 0, 0, 0, READ_SIZE), "request");
	parts[part].run();
	vh_backend_free(bench.backend);
	rig_close(&bench.rig);
	close(bench.extra);
	return 0;
}
