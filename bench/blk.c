/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * How fast a vhost-user block device answers random 4 KiB reads. Connects to
 * the server on a socket, keeps `depth` requests in flight on one queue and
 * prints what it counted as one line of JSON. scripts/bench runs it against
 * several servers in turn.
 *
 * The polling front-end looks at the used ring until something is there and
 * asks for no calls; the event-driven one sleeps until it is called.
 */
#include "blk.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define READ_SIZE      4096
#define READ_SECTORS   (READ_SIZE / BLK_SECTOR)
#define MAX_DEPTH      1024
#define BURST	       32
#define CALL_TIMEOUT_S 20

struct options {
	unsigned int depth;
	double seconds;
	bool events;
	bool indirect; /* tables instead of chains of descriptors */
	bool plain;    /* without EVENT_IDX */
	bool check;    /* what is read: zeroes */
	uint32_t queue_size;
	uint64_t blocks; /* of 4 KiB, that are read from */
};

/* What a slot needs in the loop, ready to be handed to the ring. */
struct slot {
	struct driver_buffer buffers[3];
	uint64_t *sector; /* in its header, in guest memory */
	uint8_t *status;
};

struct bench {
	struct options options;
	struct session session;
	struct blk blk;
	struct driver_ring *ring;
	struct slot slots[MAX_DEPTH];
	uint16_t idle[MAX_DEPTH]; /* stack of slots that aren't in flight */
	unsigned int num_idle;
	uint16_t slot_of[32768]; /* by chain id */
	uint64_t random;
	uint64_t requests;
	uint64_t kicks;
	uint64_t calls;
	uint64_t wrong;
};

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static uint64_t next_random(struct bench *bench)
{
	uint64_t x = bench->random;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	bench->random = x;
	return x;
}

static void prepare_slots(struct bench *bench)
{
	struct blk *blk = &bench->blk;
	struct guest *guest = &bench->session.guest;
	unsigned int i;

	for (i = 0; i < bench->options.depth; i++) {
		uint64_t header = blk->headers + i * BLK_HEADER_SIZE;
		struct slot *slot = &bench->slots[i];

		blk_put_header(&bench->session, header, BLK_IN, 0);
		slot->sector = guest_at(guest, header + 8, 8);
		slot->status = guest_at(guest, blk->statuses + i, 1);
		slot->buffers[0] = (struct driver_buffer){
		    .gpa = header, .length = BLK_HEADER_SIZE};
		slot->buffers[1] =
		    (struct driver_buffer){.gpa = blk_data_address(blk, i),
					   .length = READ_SIZE,
					   .write = true};
		slot->buffers[2] = (struct driver_buffer){
		    .gpa = blk->statuses + i, .length = 1, .write = true};
		bench->idle[bench->num_idle++] = (uint16_t)i;
	}
}

static void submit_all(struct bench *bench)
{
	bool any = false;

	while (bench->num_idle > 0) {
		unsigned int index = bench->idle[bench->num_idle - 1];
		struct slot *slot = &bench->slots[index];
		uint64_t block = next_random(bench) % bench->options.blocks;
		int id;

		*slot->sector = block * READ_SECTORS;
		*slot->status = BLK_NO_STATUS;
		id = driver_ring_add(bench->ring, slot->buffers, 3,
				     bench->options.indirect);
		if (id < 0)
			break;
		bench->slot_of[id] = (uint16_t)index;
		bench->num_idle--;
		any = true;
	}
	if (!any)
		return;
	driver_ring_publish(bench->ring);
	if (driver_ring_needs_kick(bench->ring)) {
		session_kick(&bench->session, 0);
		bench->kicks++;
	}
}

/* Takes what is done: the number, or a negative errno. */
static int collect(struct bench *bench)
{
	struct driver_used used[BURST];
	int n = driver_ring_collect(bench->ring, used, BURST);
	int i;

	for (i = 0; i < n; i++) {
		unsigned int index = bench->slot_of[used[i].id];

		if (*bench->slots[index].status != BLK_OK ||
		    used[i].length != READ_SIZE + 1)
			bench->wrong++;
		bench->idle[bench->num_idle++] = (uint16_t)index;
	}
	if (n > 0)
		bench->requests += (unsigned int)n;
	return n;
}

static int sleep_until_called(struct bench *bench)
{
	struct session_queue *queue = &bench->session.queues[0];
	struct pollfd poller = {.fd = queue->call, .events = POLLIN};
	uint64_t value;

	if (driver_ring_enable_calls(queue->ring))
		return 0;
	if (poll(&poller, 1, CALL_TIMEOUT_S * 1000) != 1)
		return -ETIMEDOUT;
	bench->calls++;
	if (read(queue->call, &value, sizeof(value)) < 0 && errno != EAGAIN)
		return -errno;
	driver_ring_disable_calls(queue->ring);
	return 0;
}

/*
 * Until the first answer, which may take a busy machine long, and then a
 * little longer.
 */
static int warm_up(struct bench *bench)
{
	double end = now() + CALL_TIMEOUT_S;
	int n = 0;

	while (n == 0) {
		submit_all(bench);
		n = collect(bench);
		if (n == 0 && bench->options.events)
			n = sleep_until_called(bench);
		if (n == 0 && now() > end)
			n = -ETIMEDOUT;
	}
	return n;
}

/* Runs until the time is over; the seconds that it took, or negative. */
static double run(struct bench *bench, double seconds)
{
	double start = now();
	double end = start + seconds;
	double progress = start;
	unsigned int turn = 0;

	for (;;) {
		int n;

		submit_all(bench);
		n = collect(bench);
		if (n == 0 && bench->options.events)
			n = sleep_until_called(bench);
		if (n < 0)
			return n;
		if (n > 0)
			progress = end;
		if (++turn % 64 != 0 && !bench->options.events)
			continue;
		if (now() > end)
			return progress == end ? now() - start : -ETIMEDOUT;
	}
}

static int finish(struct bench *bench)
{
	double end = now() + CALL_TIMEOUT_S;

	while (driver_ring_inflight(bench->ring) > 0) {
		if (collect(bench) < 0 || now() > end)
			return -ETIMEDOUT;
	}
	return 0;
}

/* A server that fills no zeroes would seem fast. */
static int check_zeroes(struct bench *bench)
{
	uint8_t zeroes[READ_SIZE] = {0};
	unsigned int i;

	for (i = 0; i < bench->options.depth; i++)
		memset(blk_data(&bench->blk, i), 0xff, READ_SIZE);
	submit_all(bench);
	if (finish(bench) < 0)
		return -ETIMEDOUT;
	for (i = 0; i < bench->options.depth; i++)
		if (memcmp(blk_data(&bench->blk, i), zeroes, READ_SIZE) != 0)
			return -EBADMSG;
	return 0;
}

static int prepare(struct bench *bench, const char *path)
{
	struct session_opts opts = {
	    .queue_size = bench->options.queue_size,
	    .table_entries = 4,
	    .regions = 1,
	    .not_features = bench->options.plain ? FE_F_EVENT_IDX : 0,
	};
	int ret = session_open(&bench->session, &opts, path);

	if (ret < 0)
		return ret;
	ret = blk_new(&bench->blk, &bench->session, 0, bench->options.depth,
		      READ_SIZE);
	if (ret < 0)
		return ret;
	bench->random = UINT64_C(0x2545f4914f6cdd1d);
	bench->ring = bench->session.queues[0].ring;
	driver_ring_disable_calls(bench->ring);
	prepare_slots(bench);
	return bench->options.check ? check_zeroes(bench) : 0;
}

static int measure(struct bench *bench, const char *path)
{
	double seconds;
	int ret = prepare(bench, path);

	if (ret < 0) {
		fprintf(stderr, "bench-blk: can't start: %s\n", strerror(-ret));
		return 1;
	}
	ret = warm_up(bench);
	if (ret < 0) {
		fprintf(stderr,
			"bench-blk: no answer to the first requests: "
			"%s\n",
			strerror(-ret));
		return 1;
	}
	/* whether it goes on is seen when it is measured */
	(void)run(bench, bench->options.seconds / 10);
	bench->requests = 0;
	bench->kicks = 0;
	bench->calls = 0;
	seconds = run(bench, bench->options.seconds);
	if (seconds < 0 || bench->wrong > 0) {
		fprintf(stderr, "bench-blk: %s, %llu wrong answers\n",
			seconds < 0 ? "no progress" : "done",
			(unsigned long long)bench->wrong);
		return 1;
	}
	printf("{\"requests\": %llu, \"seconds\": %.6f, \"kicks\": %llu, "
	       "\"calls\": %llu}\n",
	       (unsigned long long)bench->requests, seconds,
	       (unsigned long long)bench->kicks,
	       (unsigned long long)bench->calls);
	return finish(bench) < 0;
}

static int usage(void)
{
	fprintf(stderr,
		"usage: bench-blk [OPTION...] SOCKET\n"
		"  --depth=N       requests in flight (1)\n"
		"  --seconds=S     how long (1)\n"
		"  --events        sleep until called instead of polling\n"
		"  --blocks=N      read from the first N blocks of 4 KiB\n"
		"  --queue-size=N  descriptors (512)\n"
		"  --indirect      tables instead of chains of descriptors\n"
		"  --plain         without EVENT_IDX\n"
		"  --check-zeroes  all that is read must be zeroes\n");
	return 2;
}

static int parse(struct options *options, int argc, char *argv[])
{
	static const struct option names[] = {
	    {"depth", required_argument, NULL, 'd'},
	    {"seconds", required_argument, NULL, 's'},
	    {"events", no_argument, NULL, 'e'},
	    {"blocks", required_argument, NULL, 'b'},
	    {"queue-size", required_argument, NULL, 'q'},
	    {"indirect", no_argument, NULL, 'i'},
	    {"plain", no_argument, NULL, 'p'},
	    {"check-zeroes", no_argument, NULL, 'z'},
	    {NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
		if (option == 'd')
			options->depth = (unsigned int)atoi(optarg);
		else if (option == 's')
			options->seconds = atof(optarg);
		else if (option == 'e')
			options->events = true;
		else if (option == 'b')
			options->blocks = strtoull(optarg, NULL, 0);
		else if (option == 'q')
			options->queue_size = (uint32_t)atoi(optarg);
		else if (option == 'i')
			options->indirect = true;
		else if (option == 'p')
			options->plain = true;
		else if (option == 'z')
			options->check = true;
		else
			return -EINVAL;
	}
	if (options->depth < 1 || options->depth > MAX_DEPTH ||
	    options->blocks < 1 || options->queue_size < 1 ||
	    optind + 1 != argc)
		return -EINVAL;
	return 0;
}

int main(int argc, char *argv[])
{
	static struct bench bench;
	int ret;

	bench.options = (struct options){
	    .depth = 1,
	    .seconds = 1,
	    .queue_size = 512,
	    .blocks = 65536,
	};
	if (parse(&bench.options, argc, argv) < 0)
		return usage();
	ret = measure(&bench, argv[optind]);
	blk_free(&bench.blk);
	session_free(&bench.session);
	return ret;
}
