/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A guest that writes what the input says into its memory and a device that
 * does what the input says, on a split ring. Whatever comes out of the queue
 * must lie in guest memory and come out once; each piece is touched.
 *
 * Input: size of the queue, features and most segments in four bytes, then
 * operations, a byte each, followed by what they need (see run()).
 */
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
	uint16_t avail_index;
	struct vh_chain *taken[NUM_MAX];
	unsigned int inflight;
};

static char *flat;
static struct vh_memory *maps[2]; /* with all regions; without the last */
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

/* A descriptor, in the ring or wherever a table may be. */
static void write_entry(struct input *input, vh_gpa at)
{
	at += 16 * (uint64_t)(next_byte(input) % NUM_MAX);
	put(at, next_address(input), 8);
	put(at + 8, next_length(input), 4);
	put(at + 12, next_byte(input), 2);
	put(at + 14, next_byte(input), 2);
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
	check(chain->descriptors && chain->descriptors <= state->num,
	      "a chain longer than the queue");
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

static void set_memory(struct state *state, unsigned int which)
{
	int r = vh_virtqueue_set_memory(state->queue, maps[which & 1]);

	check(r == 0 || r == -EAGAIN, "the ring is in both maps");
}

static void offer(struct state *state, uint16_t head)
{
	put(AVAIL + 4 + 2 * (state->avail_index % state->num), head, 2);
	state->avail_index++;
	put(AVAIL + 2, state->avail_index, 2);
}

static void run(struct state *state, struct input *input)
{
	switch (next_byte(input) % 12) {
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
		state->avail_index = next_16(input);
		put(AVAIL + 2, state->avail_index, 2);
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
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	struct state state = {.inflight = 0};
	struct vh_virtqueue_opts opts;
	struct vh_fault fault;

	if (!flat)
		make_maps();
	memset(flat, 0, FILE_SIZE);
	memset(&opts, 0, sizeof(opts));
	opts.size = sizeof(opts);
	opts.num = UINT32_C(1) << next_byte(&input) % 7;
	opts.features = (uint64_t)(next_byte(&input) & 3) << 28;
	opts.max_segments = next_byte(&input);
	opts.base = (uint16_t)((int8_t)next_byte(&input));
	opts.descriptors = DESCRIPTORS;
	opts.available = AVAIL;
	opts.used = USED;
	state.num = opts.num;
	state.most = opts.max_segments ? opts.max_segments : UINT32_MAX;
	state.avail_index = opts.base;
	put(AVAIL + 2, opts.base, 2);
	put(USED + 2, opts.base, 2);
	check(vh_virtqueue_new(&opts, maps[0], &fault, &state.queue) == 0,
	      "no queue");
	while (input.size)
		run(&state, &input);
	for (unsigned int i = 0; i < state.num; i++)
		push(&state, i, i);
	check(vh_virtqueue_inflight(state.queue) == 0, "chains are left");
	check(!vh_virtqueue_holds_old_memory(state.queue), "maps are left");
	vh_virtqueue_free(state.queue);
	return 0;
}
