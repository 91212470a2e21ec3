/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A guest that writes what the input says into its memory and a device that
 * does what the input says, on a ring of either format. Whatever comes out of
 * the queue must lie in guest memory and come out once; each piece is touched.
 *
 * Input: size of the queue, features, most segments and base in four bytes,
 * then operations, a byte each, followed by what they need (see run()).
 */
#include "ring.h"
#include <endian.h>
#include <errno.h>
#include <libvhost/virtqueue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE	4096
#define NUM_MAX 64
#define REGIONS 3

/* The second region goes on where the first ends, but elsewhere. */
static const struct {
	vh_gpa guest;
	uint64_t size;
	uint64_t offset;
} regions[REGIONS] = {
    {0x10000, 4 * PAGE, 2 * PAGE},
    {0x10000 + 4 * PAGE, PAGE, 0},
    {UINT64_MAX - (PAGE - 1), PAGE, PAGE},
};

#define FILE_SIZE   (6 * PAGE)
#define MAPS	    4
#define LOGS	    2
#define LOG_FILE    PAGE
#define DESCRIPTORS 0x10000
#define AVAIL	    0x10800
#define USED	    0x11000
#define DATA	    0x12000

struct input {
	const uint8_t *bytes;
	size_t size;
};

struct state {
	struct vh_virtqueue *queue;
	uint32_t num;
	uint32_t most;
	bool in_order;
	uint16_t avail_index; /* packed: a place */
	bool wrap;
	struct vh_chain *taken[NUM_MAX];
	unsigned int inflight;
};

static char *flat;
/* With all regions; without the last; an IOTLB of the first; an empty one. */
static struct vh_memory *maps[MAPS];
static char *log_file;
static struct vh_dirty_log *logs[LOGS]; /* the first lacks the guest's end */
static const struct {
	uint64_t offset;
	uint64_t size;
} log_places[LOGS] = {{101, 2}, {1003, 50}};
static volatile unsigned char sink;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "%s\n", what);
	abort();
}

static void make_maps(void)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	struct vh_memory *map;

	check(fd >= 0 && ftruncate(fd, FILE_SIZE) == 0, "no memory file");
	flat = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	check(flat != MAP_FAILED, "no mapping");
	check(vh_memory_new(&map) == 0, "no map");
	for (unsigned int i = 0; i < REGIONS; i++) {
		struct vh_region region = {
		    .guest = regions[i].guest,
		    .size = regions[i].size,
		    .user = {0x70000000 + regions[i].offset},
		    .fd_offset = regions[i].offset,
		    .fd = fd,
		};

		maps[1] = map;
		check(vh_memory_add(map, &region, NULL, &map) == 0,
		      "no region");
		if (i + 1 < REGIONS)
			vh_memory_unref(maps[1]);
	}
	maps[0] = map;
	close(fd);
}

/* IOVAs are guest addresses; what is behind the ring may only be read. */
static void make_iotlbs(void)
{
	const struct vh_iotlb_entry ring = {0x10000, 2 * PAGE, 0x10000, 3};
	const struct vh_iotlb_entry data = {DATA, PAGE, DATA, VH_ACCESS_READ};
	struct vh_memory *first = NULL;

	check(vh_iotlb_new(maps[0], &maps[3]) == 0 &&
		  vh_iotlb_update(maps[3], &ring, NULL, &first) == 0 &&
		  vh_iotlb_update(first, &data, NULL, &maps[2]) == 0,
	      "no IOTLB");
	vh_memory_unref(first);
}

static void make_logs(void)
{
	int fd = memfd_create("log", MFD_CLOEXEC);

	check(fd >= 0 && ftruncate(fd, LOG_FILE) == 0, "no log file");
	log_file =
	    mmap(NULL, LOG_FILE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	check(log_file != MAP_FAILED, "no mapping of it");
	for (unsigned int i = 0; i < LOGS; i++)
		check(vh_dirty_log_new(fd, log_places[i].offset,
				       log_places[i].size, NULL, &logs[i]) == 0,
		      "no log");
	close(fd);
}

/* Bits beside the logs stay. */
static void check_log_file(void)
{
	for (unsigned int i = 0; i < LOGS; i++)
		memset(log_file + log_places[i].offset, 0, log_places[i].size);
	for (unsigned int i = 0; i < LOG_FILE; i++)
		check(!log_file[i], "a bit beside the log");
}

static uint8_t next_byte(struct input *input)
{
	if (!input->size)
		return 0;
	input->size--;
	return *input->bytes++;
}

static uint16_t next_16(struct input *input)
{
	uint16_t low = next_byte(input);

	return (uint16_t)(low | next_byte(input) << 8);
}

/* Near an edge of memory, or anything. */
static vh_gpa next_address(struct input *input)
{
	unsigned int which = next_byte(input);
	uint64_t value = 0;

	if (which < 2 * REGIONS)
		return regions[which / 2].guest +
		       (which & 1 ? regions[which / 2].size : 0) +
		       (uint64_t)(int64_t)(int8_t)next_byte(input);
	if (which < 128)
		return DATA + next_16(input) % (3 * PAGE);
	for (unsigned int i = 0; i < 8; i++)
		value |= (uint64_t)next_byte(input) << 8 * i;
	return value;
}

static uint32_t next_length(struct input *input)
{
	unsigned int which = next_byte(input);

	if (which < 128)
		return which;
	if (which < 192)
		return 16 * (which - 127);
	if (which < 224)
		return next_16(input);
	return UINT32_MAX - next_16(input);
}

static void put(vh_gpa guest, uint64_t value, unsigned int size)
{
	for (unsigned int i = 0; i < size; i++, guest++)
		for (unsigned int r = 0; r < REGIONS; r++)
			if (guest - regions[r].guest < regions[r].size)
				flat[regions[r].offset + guest -
				     regions[r].guest] = (char)(value >> 8 * i);
}

/*
 * A descriptor, in the ring or wherever a table may be: flags, then the next
 * one or the id.
 */
static void write_entry(struct input *input, vh_gpa at)
{
	at += 16 * (uint64_t)(next_byte(input) % NUM_MAX);
	put(at, next_address(input), 8);
	put(at + 8, next_length(input), 4);
	put(at + (ring_is_packed ? 14 : 12), next_byte(input), 2);
	put(at + (ring_is_packed ? 12 : 14), next_byte(input), 2);
}

static void touch(const struct iovec *piece, bool write)
{
	volatile unsigned char *bytes = piece->iov_base;

	check(piece->iov_len > 0, "an empty piece");
	sink = bytes[0];
	sink = bytes[piece->iov_len - 1];
	if (write)
		bytes[piece->iov_len - 1] = sink;
}

/* In one region of the map that has all of them. */
static void check_piece(const struct iovec *piece)
{
	for (unsigned int i = 0; i < REGIONS; i++) {
		const char *start =
		    vh_memory_at(maps[0], regions[i].guest, regions[i].size);
		uint64_t offset =
		    (uint64_t)((uintptr_t)piece->iov_base - (uintptr_t)start);

		if (offset < regions[i].size &&
		    piece->iov_len <= regions[i].size - offset)
			return;
	}
	check(false, "a piece outside guest memory");
}

static void check_chain(struct state *state, struct vh_chain *chain)
{
	unsigned int count = chain->readable_count + chain->writable_count;
	uint64_t readable = 0, writable = 0;

	check(chain->head < state->num, "a head outside the queue");
	check(chain->descriptors && chain->descriptors <= VH_VIRTQUEUE_MAX_SIZE,
	      "a chain longer than any queue");
	check(count <= state->most, "more pieces than were allowed");
	check(chain->writable == chain->readable + chain->readable_count,
	      "the halves aren't beside each other");
	for (unsigned int i = 0; i < count; i++) {
		bool write = i >= chain->readable_count;

		check_piece(&chain->readable[i]);
		touch(&chain->readable[i], write);
		*(write ? &writable : &readable) += chain->readable[i].iov_len;
	}
	check(readable == chain->readable_size, "readable_size");
	check(writable == chain->writable_size, "writable_size");
	check(!state->taken[chain->head], "a chain that is in flight");
	state->taken[chain->head] = chain;
	state->inflight++;
}

static void pop(struct state *state, unsigned int max)
{
	struct vh_chain *chains[VH_VIRTQUEUE_BURST];
	int n = vh_virtqueue_pop(state->queue, chains, max);

	check(n >= -EPROTO && n <= VH_VIRTQUEUE_BURST && n <= (int)max,
	      "a number of chains that can't be");
	check(n >= 0 || (n == -EPROTO && vh_virtqueue_fault(state->queue)),
	      "an error without a reason");
	for (int i = 0; i < n; i++)
		check_chain(state, chains[i]);
	check(vh_virtqueue_inflight(state->queue) == state->inflight,
	      "lost count");
}

static void push(struct state *state, unsigned int which, uint32_t written)
{
	unsigned int head = which % state->num;

	if (!state->taken[head])
		return;
	vh_virtqueue_push(state->queue, state->taken[head], written);
	state->taken[head] = NULL;
	state->inflight--;
}

/* Some of what is in flight, and one or the other of it twice. */
static void push_many(struct state *state, struct input *input)
{
	struct vh_chain *burst[8];
	uint32_t written[8];
	unsigned int count = 0;

	for (unsigned int n = next_byte(input) % 9; n; n--) {
		burst[count] = state->taken[next_byte(input) % state->num];
		written[count] = next_length(input);
		count += burst[count] != NULL;
	}
	vh_virtqueue_push_many(state->queue, burst, written, count);
	for (unsigned int i = 0; i < state->num; i++) {
		for (unsigned int k = 0; k < count; k++) {
			if (!state->taken[i] || burst[k] != state->taken[i])
				continue;
			state->taken[i] = NULL;
			state->inflight--;
		}
	}
}

/* What can be done at once is. */
static void pass_buffers(struct state *state, struct input *input)
{
	struct vh_buffer buffers[VH_VIRTQUEUE_BURST];
	uint32_t written[VH_VIRTQUEUE_BURST];
	unsigned int max = next_byte(input) % 40;
	int n = vh_virtqueue_pop_buffers(state->queue, buffers, max);

	check(n >= -EPROTO && n <= VH_VIRTQUEUE_BURST && n <= (int)max,
	      "a number of buffers that can't be");
	check(n >= 0 || (n == -EPROTO && vh_virtqueue_fault(state->queue)),
	      "an error without a reason");
	check(n <= 0 || !state->in_order || !state->inflight,
	      "a buffer that overtakes");
	for (int i = 0; i < n; i++) {
		struct iovec piece = {buffers[i].data, buffers[i].size};

		check(buffers[i].head < state->num, "a head outside the queue");
		check(!state->taken[buffers[i].head],
		      "a buffer that is in flight");
		check_piece(&piece);
		touch(&piece, buffers[i].is_writable);
		written[i] = next_length(input);
	}
	if (n > 0)
		vh_virtqueue_push_buffers(state->queue, buffers, written,
					  (unsigned int)n);
	check(vh_virtqueue_inflight(state->queue) == state->inflight,
	      "lost count");
}

static void push_remote(struct state *state, unsigned int which)
{
	unsigned int head = which % state->num;

	if (!state->taken[head])
		return;
	check(vh_virtqueue_push_remote(state->queue, state->taken[head], which),
	      "the list wasn't empty");
	check(vh_virtqueue_take_remote(state->queue) == 1, "not on the list");
	state->taken[head] = NULL;
	state->inflight--;
}

static void set_memory(struct state *state, unsigned int which)
{
	int r = vh_virtqueue_set_memory(state->queue, maps[which % MAPS]);

	check(r == 0 || r == -EAGAIN, "the ring is in all maps, or awaited");
}

static void set_log(struct state *state, unsigned int which)
{
	unsigned int log = which % (LOGS + 1);
	int r =
	    vh_virtqueue_set_log(state->queue, log < LOGS ? logs[log] : NULL,
				 which & 4, which & 8 ? USED : UINT64_MAX - 3);

	check(r == 0 || r == -EAGAIN, "no log");
}

/* Packed: the descriptor in the driver's place, as it is, with this id. */
static void offer(struct state *state, uint16_t head)
{
	vh_gpa at = DESCRIPTORS + 16 * (vh_gpa)state->avail_index;
	uint8_t *flags;

	if (!ring_is_packed) {
		put(AVAIL + 4 + 2 * (state->avail_index % state->num), head, 2);
		state->avail_index++;
		put(AVAIL + 2, state->avail_index, 2);
		return;
	}
	flags =
	    (uint8_t *)flat + regions[0].offset + (at + 14 - regions[0].guest);
	put(at + 12, head, 2);
	put(at + 14, (flags[0] & 0x7f) | (state->wrap ? 0x80 : 0x8000), 2);
	if (++state->avail_index == state->num) {
		state->avail_index = 0;
		state->wrap = !state->wrap;
	}
}

/* The driver jumps. */
static void jump(struct state *state, uint16_t value)
{
	state->avail_index = value;
	if (!ring_is_packed) {
		put(AVAIL + 2, value, 2);
		return;
	}
	state->avail_index = (uint16_t)(value % state->num);
	state->wrap = value >> 15;
}

static void run(struct state *state, struct input *input)
{
	switch (next_byte(input) % 16) {
	case 0:
		write_entry(input, DESCRIPTORS);
		break;
	case 1:
		write_entry(input, DATA);
		break;
	case 2: /* a table at any address */
		write_entry(input, next_address(input));
		break;
	case 3:
		offer(state, next_byte(input));
		break;
	case 4: /* anything, anywhere in the ring */
		put(DESCRIPTORS + next_16(input) % (2 * PAGE), next_16(input),
		    2);
		break;
	case 5:
		jump(state, next_16(input));
		break;
	case 6:
		pop(state, next_byte(input) % 40);
		break;
	case 7:
		push(state, next_byte(input), next_length(input));
		break;
	case 8:
		check(vh_virtqueue_publish(state->queue) >= 0, "publish");
		break;
	case 9:
		check(vh_virtqueue_enable_kick(state->queue) >= 0, "enable");
		break;
	case 10:
		vh_virtqueue_disable_kick(state->queue);
		break;
	case 11:
		set_memory(state, next_byte(input));
		break;
	case 12:
		push_remote(state, next_byte(input));
		break;
	case 13:
		set_log(state, next_byte(input));
		break;
	case 14:
		pass_buffers(state, input);
		break;
	case 15:
		push_many(state, input);
		break;
	}
}

/* The size is a power of two, or anything; both begin in the same place. */
static void make_queue(struct state *state, struct input *input)
{
	struct vh_virtqueue_opts opts;
	struct vh_fault fault;
	uint8_t size = next_byte(input);
	uint8_t features = next_byte(input);
	uint8_t base;

	memset(&opts, 0, sizeof(opts));
	opts.size = sizeof(opts);
	opts.num =
	    ring_is_packed ? 1u + size % NUM_MAX : UINT32_C(1) << size % 7;
	opts.features = (uint64_t)(features & 3) << 28;
	if (features & 4)
		opts.features |= VH_F_IN_ORDER;
	if (ring_is_packed)
		opts.features |= VH_F_RING_PACKED;
	opts.max_segments = next_byte(input);
	opts.descriptors = DESCRIPTORS;
	opts.available = AVAIL;
	opts.used = USED;
	state->num = opts.num;
	state->in_order = features & 4;
	state->most = opts.max_segments ? opts.max_segments : UINT32_MAX;
	base = next_byte(input);
	if (ring_is_packed) {
		state->avail_index = (uint16_t)(base / 2 % opts.num);
		state->wrap = !(base & 1);
		opts.base = state->avail_index | (uint32_t)state->wrap << 15;
		opts.base |= opts.base << 16;
	} else {
		state->avail_index = (uint16_t)(int8_t)base;
		opts.base = state->avail_index;
		put(AVAIL + 2, opts.base, 2);
		put(USED + 2, opts.base, 2);
	}
	check(vh_virtqueue_new(&opts, maps[0], &fault, &state->queue) == 0,
	      "no queue");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	struct state state = {.inflight = 0};

	if (!flat) {
		make_maps();
		make_iotlbs();
		make_logs();
	}
	memset(flat, 0, FILE_SIZE);
	make_queue(&state, &input);
	while (input.size)
		run(&state, &input);
	for (unsigned int i = 0; i < state.num; i++)
		push(&state, i, i);
	check(vh_virtqueue_publish(state.queue) >= 0, "publish");
	check(vh_virtqueue_inflight(state.queue) == 0, "chains are left");
	check(!vh_virtqueue_holds_old_memory(state.queue), "maps are left");
	vh_virtqueue_free(state.queue);
	check_log_file();
	return 0;
}
