/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The driver: makes requests in bursts, waits for some or all of them, and
 * sleeps when none is done.
 */
#include "stress.h"
#include <errno.h>
#include <string.h>

struct request {
	struct stress_header header;
	uint32_t size; /* of header and data; 0 if there are none */
	char *place;   /* its bytes: header, data, room */
	struct request *next_free;
	bool is_out;
};

#define PLACE_SIZE                                                             \
	(sizeof(struct stress_header) + STRESS_MAX_DATA + STRESS_MAX_ROOM)

enum kind { BOTH, ONLY_DATA, ONLY_ROOM, KINDS };

struct driver {
	struct stress *stress;
	struct stress_random random;
	uint64_t sent;
	uint64_t back;
	enum kind kind; /* of requests that come together */
	struct request requests[STRESS_MAX_NUM];
	struct request *free;
};

static void init(struct driver *d)
{
	struct stress *s = d->stress;
	size_t stride = (PLACE_SIZE + 63) / 64 * 64;

	/* They are at the end of memory, and the ring is at its beginning. */
	for (unsigned int i = 0; i < STRESS_MAX_NUM; i++) {
		struct request *request = &d->requests[i];

		request->place = s->host + s->size - (i + 1) * stride;
		request->next_free = d->free;
		d->free = request;
	}
}

/* Cuts a range of memory into 1 to max buffers; none if it is empty. */
static unsigned int cut(struct driver *d, const char *from, uint32_t size,
			unsigned int max, struct iovec *buffers)
{
	vh_gpa at = STRESS_MEMORY_AT + (vh_gpa)(from - d->stress->host);
	unsigned int count = 0;

	while (size) {
		uint32_t part = count + 1 == max
				    ? size
				    : 1 + stress_below(&d->random, size);

		buffers[count].iov_base = (void *)(uintptr_t)at;
		buffers[count++].iov_len = part;
		at += part;
		size -= part;
	}
	return count;
}

/* Decides what the next request is, and writes it down. */
static void fill(struct driver *d, struct request *request)
{
	struct stress_header *header = &request->header;
	char *data = request->place + sizeof(*header);

	if (!stress_below(&d->random, 16))
		d->kind = (enum kind)stress_below(&d->random, KINDS);
	header->number = d->sent;
	header->data = stress_below(&d->random, STRESS_MAX_DATA + 1);
	header->room = stress_below(&d->random, STRESS_MAX_ROOM + 1);
	request->size = (uint32_t)sizeof(*header) + header->data;
	if (d->kind == ONLY_DATA) {
		header->room = 0;
	} else if (d->kind == ONLY_ROOM) {
		header->data = request->size = 0;
		header->room += !header->room;
	}
	memcpy(request->place, header, sizeof(*header));
	for (unsigned int i = 0; i < header->data; i++)
		data[i] =
		    (char)stress_byte(header->number, STRESS_SALT_REQUEST, i);
	memset(data + header->data, STRESS_UNTOUCHED, header->room);
}

/* Adds the next request. False if there is none, or no room for it. */
static bool add(struct driver *d)
{
	struct stress *s = d->stress;
	struct request *request = d->free;
	struct iovec buffers[STRESS_BUFFERS];
	unsigned int readable, writable;
	bool in_one;
	int error;

	if (!request || d->sent == s->total)
		return false;
	fill(d, request);
	in_one = s->num < STRESS_BUFFERS ||
		 (d->kind != BOTH && stress_below(&d->random, 8));
	readable =
	    cut(d, request->place, request->size, in_one ? 1 : 3, buffers);
	writable = cut(
	    d, request->place + sizeof(request->header) + request->header.data,
	    request->header.room, in_one ? 1 : 2, buffers + readable);
	error = vh_driver_queue_add(s->driver, buffers, readable,
				    buffers + readable, writable, request);
	if (error) {
		if (error != -ENOSPC || !vh_driver_queue_inflight(s->driver))
			stress_fail(s, "add: %d", error);
		return false;
	}
	d->free = request->next_free;
	request->is_out = true;
	d->sent++;
	return true;
}

static void publish(struct driver *d)
{
	if (vh_driver_queue_publish(d->stress->driver))
		stress_wake(d->stress->kick);
}

static bool check(struct driver *d, const struct vh_driver_used *used)
{
	struct stress *s = d->stress;
	struct request *request = used->token;
	const struct stress_header *header = &request->header;
	const char *room = request->place + sizeof(*header) + header->data;
	uint32_t written = stress_answer_size(header);

	if (!request->is_out)
		return stress_fail(s, "answer %llu came twice",
				   (unsigned long long)header->number);
	if (s->features & VH_F_IN_ORDER && header->number != d->back)
		return stress_fail(s, "answer %llu came where %llu should be",
				   (unsigned long long)header->number,
				   (unsigned long long)d->back);
	if (used->written != written)
		return stress_fail(
		    s, "answer %llu has %u bytes, should have %u",
		    (unsigned long long)header->number, used->written, written);
	for (unsigned int i = 0; i < header->room; i++) {
		uint8_t byte = i < written ? stress_byte(header->number,
							 STRESS_SALT_ANSWER, i)
					   : STRESS_UNTOUCHED;

		if ((uint8_t)room[i] != byte)
			return stress_fail(s, "answer %llu: byte %u is wrong",
					   (unsigned long long)header->number,
					   i);
	}
	d->back++;
	request->is_out = false;
	request->next_free = d->free;
	d->free = request;
	return true;
}

/* Takes answers; false if there were none. */
static bool collect(struct driver *d)
{
	struct vh_driver_queue *queue = d->stress->driver;
	struct vh_driver_used used[32];
	int n = vh_driver_queue_collect(queue, used,
					1 + stress_below(&d->random, 32));

	if (n < 0)
		return stress_fail(d->stress, "driver: %s",
				   vh_driver_queue_fault(queue)->text);
	for (int i = 0; i < n; i++)
		if (!check(d, &used[i]))
			return false;
	if (n > 0 && stress_below(&d->random, 2))
		vh_driver_queue_disable_calls(queue);
	return n > 0;
}

/* Until at most so many are out. Nothing else can wake the driver up. */
static void await(struct driver *d, uint64_t out)
{
	struct stress *s = d->stress;

	while (d->sent - d->back > out && !stress_failed(s)) {
		if (collect(d))
			continue;
		if (!stress_failed(s) &&
		    !vh_driver_queue_enable_calls(s->driver))
			stress_sleep(s, s->call, "driver");
	}
}

void *stress_drive(void *stress)
{
	struct driver d = {.stress = stress, .random = {0xcafe}};
	struct stress *s = stress;

	init(&d);
	while (d.back < s->total && !stress_failed(s)) {
		unsigned int burst = 1 + stress_below(&d.random, 24);
		bool full = false;

		while (burst-- && !full) {
			full = !add(&d);
			if (!stress_below(&d.random, 8))
				publish(&d);
		}
		stress_pause(&d.random);
		publish(&d);
		(void)collect(&d);
		if (!stress_below(&d.random, 4))
			await(&d, 0);
		else if (full)
			await(&d, d.sent - d.back - 1);
	}
	if (!stress_failed(s) && vh_driver_queue_inflight(s->driver))
		stress_fail(s, "%u requests are out at the end",
			    vh_driver_queue_inflight(s->driver));
	return NULL;
}
