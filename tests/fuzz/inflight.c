/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A ring with an area of requests in flight, both of which somebody else may
 * have filled in, and a device that crashes. It is split or packed. Whatever
 * the area says, each head that comes out is one of the queue's and in flight
 * once, and nothing beyond the area is touched.
 *
 * Input: size of the queue, features and format, version, what the ring's
 * indices and the area's header are, then operations, a byte each, followed by
 * what they need (see run()).
 */
#include <errno.h>
#include <libvhost/virtqueue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define NUM_MAX	    64
#define GUEST	    0x10000
#define SIZE	    (4 * 4096)
#define DESCRIPTORS GUEST
#define AVAIL	    (GUEST + 0x1000)
#define USED	    (GUEST + 0x2000)
#define DATA	    (GUEST + 0x3000)

struct input {
	const uint8_t *bytes;
	size_t size;
};

struct state {
	struct vh_virtqueue *queue;
	struct vh_virtqueue_opts opts;
	uint8_t *area; /* exactly as large as it must be */
	size_t area_size;
	bool packed;
	uint16_t avail_index; /* packed: a place */
	bool wrap;
	struct vh_chain *taken[NUM_MAX];
	unsigned int inflight;
};

static char *flat;
static struct vh_memory *map;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "%s\n", what);
	abort();
}

static void make_map(void)
{
	struct vh_region region = {.guest = GUEST, .size = SIZE};
	struct vh_memory *none;

	region.fd = memfd_create("fuzz", MFD_CLOEXEC);
	check(region.fd >= 0 && ftruncate(region.fd, SIZE) == 0, "no file");
	flat =
	    mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, region.fd, 0);
	check(flat != MAP_FAILED, "no mapping");
	check(vh_memory_new(&none) == 0, "no map");
	check(vh_memory_add(none, &region, NULL, &map) == 0, "no region");
	vh_memory_unref(none);
	close(region.fd);
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

static void put_16(vh_gpa guest, uint16_t value)
{
	flat[guest - GUEST] = (char)value;
	flat[guest - GUEST + 1] = (char)(value >> 8);
}

static void put_area_16(struct state *state, size_t at, uint16_t value)
{
	state->area[at] = (uint8_t)value;
	state->area[at + 1] = (uint8_t)(value >> 8);
}

/* The process begins, or comes back after a crash. */
static void begin(struct state *state, uint16_t base)
{
	struct vh_fault fault = {.code = VH_FAULT_NONE};
	int r;

	state->opts.base = base;
	if (state->packed) {
		state->opts.base =
		    base % state->opts.num | (uint32_t)(base >> 15) << 15;
		state->opts.base |= state->opts.base << 16;
	}
	state->queue = NULL;
	r = vh_virtqueue_new(&state->opts, map, &fault, &state->queue);
	check(r == 0 || (r == -EINVAL && !state->queue &&
			 fault.code != VH_FAULT_NONE && fault.text[0]),
	      "refused without a reason");
}

static void crash(struct state *state, uint16_t base)
{
	vh_virtqueue_free(state->queue);
	memset(state->taken, 0, sizeof(state->taken));
	state->inflight = 0;
	begin(state, base);
}

static void pop(struct state *state, unsigned int max)
{
	struct vh_chain *chains[VH_VIRTQUEUE_BURST];
	int n;

	if (!state->queue)
		return;
	n = vh_virtqueue_pop(state->queue, chains, max);
	check(n >= -EPROTO && n <= VH_VIRTQUEUE_BURST && n <= (int)max,
	      "a number of chains that can't be");
	check(n >= 0 || (n == -EPROTO && vh_virtqueue_fault(state->queue)),
	      "an error without a reason");
	for (int i = 0; i < n; i++) {
		unsigned int head = chains[i]->head;

		check(head < state->opts.num, "a head outside the queue");
		check(!state->taken[head], "a chain that is in flight");
		check(state->packed || state->area[16 + 16 * head] == 1,
		      "it isn't noted");
		state->taken[head] = chains[i];
		state->inflight++;
	}
	check(vh_virtqueue_inflight(state->queue) == state->inflight,
	      "lost count");
}

static void push(struct state *state, unsigned int which)
{
	unsigned int head = which % state->opts.num;

	if (!state->taken[head])
		return;
	vh_virtqueue_push(state->queue, state->taken[head], which);
	state->taken[head] = NULL;
	state->inflight--;
}

static void publish(struct state *state)
{
	if (state->queue)
		check(vh_virtqueue_publish(state->queue) >= 0, "publish");
}

/* Packed: the descriptor in the driver's place, as it is, with this id. */
static void offer_packed(struct state *state, uint16_t id)
{
	vh_gpa at = DESCRIPTORS + 16 * (vh_gpa)state->avail_index;
	unsigned int flags = flat[at + 14 - GUEST] & 0x7f;

	put_16(at + 12, id);
	put_16(at + 14, (uint16_t)(flags | (state->wrap ? 0x80 : 0x8000)));
	if (++state->avail_index == state->opts.num) {
		state->avail_index = 0;
		state->wrap = !state->wrap;
	}
}

static void offer(struct state *state, uint16_t head)
{
	if (state->packed) {
		offer_packed(state, head);
		return;
	}
	put_16(AVAIL + 4 + 2 * (state->avail_index % state->opts.num), head);
	put_16(AVAIL + 2, ++state->avail_index);
}

/* The driver makes available so many heads, one after the other. */
static void offer_many(struct state *state, unsigned int count)
{
	for (unsigned int i = 0; i < count % (NUM_MAX + 1); i++)
		offer(state, (uint16_t)(i % state->opts.num));
}

/* An entry of the area, as somebody else likes it. */
static void write_entry(struct state *state, struct input *input)
{
	size_t at = next_byte(input) % state->opts.num;

	at = state->packed ? 32 + 32 * at : 16 + 16 * at;
	state->area[at] = next_byte(input);
	put_area_16(state, at + (state->packed ? 2 : 6), next_byte(input));
	state->area[at + 8] = next_byte(input);
	state->area[at + 15] = next_byte(input);
	if (!state->packed)
		return;
	put_area_16(state, at + 6, next_byte(input));
	state->area[at + 16] = next_byte(input);
	state->area[at + 18] = next_byte(input);
	state->area[at + 20] = next_byte(input);
	put_area_16(state, at + 24, (uint16_t)DATA);
	put_area_16(state, at + 26, DATA >> 16);
}

static void run(struct state *state, struct input *input)
{
	size_t at;

	switch (next_byte(input) % 11) {
	case 0:
		offer(state, next_byte(input));
		break;
	case 1:
		offer_many(state, next_byte(input));
		break;
	case 2:
		pop(state, next_byte(input) % 40);
		break;
	case 3:
		push(state, next_byte(input));
		break;
	case 4:
		publish(state);
		break;
	case 5:
		crash(state, next_16(input));
		break;
	case 6: /* while nobody is there, or while it matters no more */
		write_entry(state, input);
		crash(state, next_byte(input));
		break;
	case 7:
		at = next_16(input) % (state->area_size - 1);
		put_area_16(state, at, next_16(input));
		crash(state, next_byte(input));
		break;
	case 8: /* the used index jumps */
		put_16(USED + 2, next_16(input));
		break;
	case 9: /* a descriptor becomes something else */
		at = next_byte(input) % (16 * state->opts.num);
		flat[DESCRIPTORS - GUEST + at] = (char)next_byte(input);
		break;
	case 10: /* a version that begins anew */
		put_area_16(state, 8, 0);
		crash(state, next_16(input));
		break;
	}
}

/* Descriptors are good ones until somebody changes them. */
static void make_ring(struct state *state, struct input *input)
{
	struct vh_virtqueue_opts *opts = &state->opts;
	uint8_t size = next_byte(input), features = next_byte(input);

	state->packed = features & 4;
	opts->size = sizeof(*opts);
	opts->num =
	    state->packed ? 1u + size % NUM_MAX : UINT32_C(1) << size % 7;
	opts->features = (uint64_t)(features & 3) << 28;
	if (state->packed)
		opts->features |= VH_F_RING_PACKED;
	if (features & 8)
		opts->features |= VH_F_IN_ORDER;
	opts->max_segments = 16;
	opts->descriptors = DESCRIPTORS;
	opts->available = AVAIL;
	opts->used = USED;
	for (unsigned int i = 0; i < opts->num; i++) {
		put_16(DESCRIPTORS + 16 * i, (uint16_t)DATA);
		put_16(DESCRIPTORS + 16 * i + 2, DATA >> 16);
		put_16(DESCRIPTORS + 16 * i + 8, 16);
	}
	state->area_size = state->packed
			       ? VH_VIRTQUEUE_INFLIGHT_SIZE_PACKED(opts->num)
			       : VH_VIRTQUEUE_INFLIGHT_SIZE(opts->num);
	state->area = calloc(1, state->area_size);
	check(state->area, "no memory");
	opts->inflight = state->area;
	opts->inflight_size = state->area_size;
}

/* The area's header and where the ring is, as the input says. */
static void fill_in(struct state *state, struct input *input)
{
	uint16_t index;

	put_area_16(state, 8, next_byte(input));
	for (size_t at = 10; at < (state->packed ? 22 : 16); at += 2)
		put_area_16(state, at, next_16(input));
	index = next_16(input);
	if (state->packed) {
		state->avail_index = (uint16_t)(index % state->opts.num);
		state->wrap = index >> 15;
	} else {
		state->avail_index = index;
		put_16(AVAIL + 2, index);
		put_16(USED + 2, next_16(input));
	}
	begin(state, index);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	struct state state = {.inflight = 0};

	if (!flat)
		make_map();
	memset(flat, 0, SIZE);
	make_ring(&state, &input);
	fill_in(&state, &input);
	while (input.size)
		run(&state, &input);
	for (unsigned int i = 0; state.queue && i < state.opts.num; i++)
		push(&state, i);
	publish(&state);
	vh_virtqueue_free(state.queue);
	free(state.area);
	return 0;
}
