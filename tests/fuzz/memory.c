/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Makes maps as the input says and asks them as the input says, beside a
 * model that is too simple to be wrong: a list of regions that is searched
 * from end to end with 128-bit sums. Where the two differ, it aborts.
 *
 * An operation is a byte of which, then two for each of its numbers: where a
 * base (one of eight, among them both ends of the address space) and a
 * distance from it in bytes or in quarters of a page.
 */
#include <errno.h>
#include <libvhost/memory.h>
#include <memory/translate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE	    4096
#define FILE_SIZE   (16 * PAGE - 100)
#define MAX_REGIONS 64
#define KEPT	    4

__extension__ typedef unsigned __int128 wide;

struct model {
	struct vh_region regions[MAX_REGIONS];
	unsigned int count;
};

/* A map that is still used, though newer ones have been made of it. */
struct state {
	struct vh_memory *memory;
	struct model model;
};

struct input {
	const uint8_t *bytes;
	size_t size;
};

static int file = -1;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "%s\n", what);
	abort();
}

static unsigned char byte_at(uint64_t offset)
{
	return (unsigned char)(offset % 251);
}

static void make_file(void)
{
	unsigned char bytes[FILE_SIZE];

	for (size_t i = 0; i < FILE_SIZE; i++)
		bytes[i] = byte_at(i);
	file = memfd_create("fuzz", MFD_CLOEXEC);
	check(file >= 0 && write(file, bytes, FILE_SIZE) == FILE_SIZE,
	      "no file to map");
}

static uint8_t next_byte(struct input *input)
{
	if (input->size == 0)
		return 0;
	input->size--;
	return *input->bytes++;
}

/* Small numbers and those beside the limits, far more often than others. */
static uint64_t next_number(struct input *input)
{
	static const uint64_t bases[] = {
	    0,
	    PAGE,
	    4 * PAGE,
	    FILE_SIZE,
	    UINT64_C(1) << 32,
	    UINT64_C(1) << 63,
	    UINT64_C(0) - 16 * PAGE,
	    UINT64_MAX,
	};
	uint8_t kind = next_byte(input);
	uint64_t distance = next_byte(input);

	if (kind & 8)
		distance *= PAGE / 4;
	return kind & 16 ? bases[kind & 7] - distance
			 : bases[kind & 7] + distance;
}

static struct vh_region next_region(struct input *input)
{
	struct vh_region region = {.fd = file};

	region.guest = next_number(input);
	region.size = next_number(input);
	region.user.raw = next_number(input);
	region.fd_offset = next_number(input);
	return region;
}

static bool overlaps(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a < (wide)b + b_size && b < (wide)a + a_size;
}

static int model_add(struct model *model, const struct vh_region *region)
{
	const wide end = (wide)1 << 64;

	if (region->size == 0 || (wide)region->guest + region->size > end ||
	    (wide)region->user.raw + region->size > end)
		return -EINVAL;
	for (unsigned int i = 0; i < model->count; i++) {
		const struct vh_region *other = &model->regions[i];

		if (overlaps(region->guest, region->size, other->guest,
			     other->size) ||
		    overlaps(region->user.raw, region->size, other->user.raw,
			     other->size))
			return -EEXIST;
	}
	if ((wide)region->fd_offset + region->size > FILE_SIZE)
		return -ERANGE;
	model->regions[model->count++] = *region;
	return 0;
}

static int model_remove(struct model *model, const struct vh_region *region)
{
	for (unsigned int i = 0; i < model->count; i++) {
		const struct vh_region *other = &model->regions[i];

		if (other->guest != region->guest ||
		    other->size != region->size ||
		    other->user.raw != region->user.raw)
			continue;
		model->regions[i] = model->regions[--model->count];
		return 0;
	}
	return -ENOENT;
}

/* The region that a range lies in, by either kind of address, or NULL. */
static const struct vh_region *model_find(const struct model *model, bool user,
					  uint64_t start, uint64_t size)
{
	for (unsigned int i = 0; i < model->count; i++) {
		const struct vh_region *region = &model->regions[i];
		uint64_t base = user ? region->user.raw : region->guest;

		if (size > 0 && start >= base &&
		    (wide)start + size <= (wide)base + region->size)
			return region;
	}
	return NULL;
}

static void change(struct state *state, struct input *input, bool add)
{
	struct vh_region region = next_region(input);
	struct vh_memory *next = NULL;
	struct vh_fault fault = {0};
	int expected, err;

	if (add && state->model.count == MAX_REGIONS)
		return;
	/* A region that is there is hard to hit by chance. */
	if (!add && state->model.count > 0 && region.fd_offset % 4)
		region =
		    state->model.regions[region.fd_offset % state->model.count];
	expected = add ? model_add(&state->model, &region)
		       : model_remove(&state->model, &region);
	err = add ? vh_memory_add(state->memory, &region, &fault, &next)
		  : vh_memory_remove(state->memory, &region, &fault, &next);
	check(err == expected, "another error than the model's");
	check(fault.error == err, "another error in the fault");
	check(!err == !fault.text[0], "words without an error or none with it");
	check(!err == !!next, "a map in spite of an error");
	if (err)
		return;
	vh_memory_unref(state->memory);
	state->memory = next;
}

static void ask(const struct state *state, struct vhi_hit *hit,
		struct input *input)
{
	uint64_t start = next_number(input), size = next_number(input);
	struct vh_user_addr user = {start};
	const struct vh_region *region;
	const unsigned char *host;
	uint64_t found = 1;
	int err;

	region = model_find(&state->model, false, start, size);
	host = vh_memory_at(state->memory, start, size);
	check(!region == !host, "a translation that the model has not");
	if (size > 0)
		check(vhi_translate(state->memory, hit, start, size) == host,
		      "the last hit leads elsewhere");
	if (region) {
		uint64_t offset = region->fd_offset + start - region->guest;

		check(host[0] == byte_at(offset) &&
			  host[size - 1] == byte_at(offset + size - 1),
		      "other bytes than in the file");
	}
	err = vh_memory_guest_to_user(state->memory, start, size, &user);
	check(err == (region ? 0 : -EFAULT), "guest to user");
	check(user.raw ==
		  (region ? region->user.raw + start - region->guest : start),
	      "another front-end address");
	user.raw = start;
	region = model_find(&state->model, true, start, size);
	err = vh_memory_user_to_guest(state->memory, user, size, &found);
	check(err == (region ? 0 : -EFAULT), "user to guest");
	check(found == (region ? region->guest + start - region->user.raw : 1),
	      "another guest address");
}

/* Each region is told once, in order, and can be read to both ends. */
static void compare(const struct state *state)
{
	unsigned int count = vh_memory_count(state->memory);
	struct vh_region region, last = {0};

	check(count == state->model.count, "another number of regions");
	check(vh_memory_region(state->memory, count, &region) == -ENOENT,
	      "a region too many");
	for (unsigned int i = 0; i < count; i++) {
		const struct vh_region *same;
		const unsigned char *host;

		check(vh_memory_region(state->memory, i, &region) == 0 &&
			  (i == 0 || region.guest > last.guest),
		      "regions out of order");
		same =
		    model_find(&state->model, false, region.guest, region.size);
		check(same && same->guest == region.guest &&
			  same->size == region.size &&
			  same->user.raw == region.user.raw &&
			  same->fd_offset == region.fd_offset,
		      "a region that the model hasn't");
		host = vh_memory_at(state->memory, region.guest, region.size);
		check(host && host[0] == byte_at(region.fd_offset) &&
			  host[region.size - 1] ==
			      byte_at(region.fd_offset + region.size - 1),
		      "a region with another's bytes");
		last = region;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct state now, kept[KEPT];
	struct input input = {data, size};
	struct vhi_hit hit = {0};
	unsigned int keep = 0;

	if (file < 0)
		make_file();
	now.model.count = 0;
	check(vh_memory_new(&now.memory) == 0, "no empty map");
	while (input.size > 0) {
		uint8_t which = next_byte(&input) % 8;

		if (which == 4 && keep < KEPT) {
			kept[keep] = now;
			vh_memory_ref(kept[keep++].memory);
		} else if (which < 4) {
			change(&now, &input, which != 1);
			/* a hit belongs to one map */
			hit = (struct vhi_hit){0};
		} else {
			ask(&now, &hit, &input);
		}
	}
	compare(&now);
	vh_memory_unref(now.memory);
	for (unsigned int i = 0; i < keep; i++) {
		compare(&kept[i]);
		vh_memory_unref(kept[i].memory);
	}
	return 0;
}
