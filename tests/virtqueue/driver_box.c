/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "driver_box.h"
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

void driver_box_open(struct driver_box *box, const struct driver_box_opts *opts)
{
	size_t size = vh_driver_queue_size(opts->num, opts->features,
					   opts->table_entries);
	vh_gpa descriptors, available, used;

	VH_OPTS(vh_driver_queue_opts, queue_opts);
	memset(box, 0, sizeof(*box));
	box->num = opts->num;
	box->packed = opts->features & VH_F_RING_PACKED;
	box->ring = aligned_alloc(64, (size + 63) / 64 * 64);
	assert_non_null(box->ring);
	memset(box->ring, 0xee, size);
	queue_opts.index = QUEUE_INDEX;
	queue_opts.num = opts->num;
	queue_opts.features = opts->features;
	queue_opts.table_entries = opts->table_entries;
	queue_opts.base = opts->base;
	queue_opts.memory = opts->memory;
	queue_opts.ring = box->ring;
	queue_opts.ring_at = RING_AT;
	assert_int_equal(vh_driver_queue_new(&queue_opts, NULL, &box->queue),
			 0);
	vh_driver_queue_addresses(box->queue, &descriptors, &available, &used);
	box->descriptors = box->ring + (descriptors - RING_AT);
	box->available = box->ring + (available - RING_AT);
	box->used = box->ring + (used - RING_AT);
	box->available_wrap = true;
	box->used_wrap = true;
	if (!box->packed) {
		box->next_available = opts->base;
		box->next_used = opts->base;
	}
}

void driver_box_close(struct driver_box *box)
{
	vh_driver_queue_free(box->queue);
	free(box->ring);
}

uint16_t get16(const char *part, size_t offset)
{
	const uint16_t *at = (const void *)(part + offset);

	return le16toh(__atomic_load_n(at, __ATOMIC_ACQUIRE));
}

uint32_t get32(const char *part, size_t offset)
{
	const uint32_t *at = (const void *)(part + offset);

	return le32toh(__atomic_load_n(at, __ATOMIC_RELAXED));
}

uint64_t get64(const char *part, size_t offset)
{
	const uint64_t *at = (const void *)(part + offset);

	return le64toh(__atomic_load_n(at, __ATOMIC_RELAXED));
}

void put16(char *part, size_t offset, uint16_t value)
{
	uint16_t *at = (void *)(part + offset);

	__atomic_store_n(at, htole16(value), __ATOMIC_RELEASE);
}

void put32(char *part, size_t offset, uint32_t value)
{
	uint32_t *at = (void *)(part + offset);

	__atomic_store_n(at, htole32(value), __ATOMIC_RELAXED);
}

int box_add(struct driver_box *box, uint64_t address, unsigned int readable,
	    unsigned int writable, uint32_t length, void *token)
{
	struct iovec iov[64];

	assert_true(readable + writable <= 64);
	for (unsigned int i = 0; i < readable + writable; i++) {
		iov[i].iov_base =
		    (void *)(uintptr_t)(address + (uint64_t)i * length);
		iov[i].iov_len = length;
	}
	return vh_driver_queue_add(box->queue, iov, readable, iov + readable,
				   writable, token);
}

void box_post(struct driver_box *box, uint64_t address, unsigned int readable,
	      unsigned int writable, uint32_t length, void *token)
{
	assert_int_equal(
	    box_add(box, address, readable, writable, length, token), 0);
	(void)!vh_driver_queue_publish(box->queue);
}

void expect_descriptor(const char *at, uint64_t address, uint32_t length,
		       uint16_t flags, uint16_t next)
{
	assert_int_equal(get64(at, 0), address);
	assert_int_equal(get32(at, 8), length);
	assert_int_equal(get16(at, 12), flags);
	assert_int_equal(get16(at, 14), next);
}

void expect_packed(const char *at, uint64_t address, uint32_t length,
		   uint16_t id, uint16_t flags)
{
	assert_int_equal(get64(at, 0), address);
	assert_int_equal(get32(at, 8), length);
	assert_int_equal(get16(at, 12), id);
	assert_int_equal(get16(at, 14), flags);
}

void device_element(struct driver_box *box, uint16_t position, uint32_t id,
		    uint32_t length)
{
	size_t at = 4 + 8 * (size_t)(position % box->num);

	put32(box->used, at, id);
	put32(box->used, at + 4, length);
}

void device_index(struct driver_box *box, uint16_t index)
{
	put16(box->used, 2, index);
}

void device_use(struct driver_box *box, uint32_t id, uint32_t length)
{
	device_element(box, box->next_used++, id, length);
	device_index(box, box->next_used);
}

static void go_on(const struct driver_box *box, uint16_t *place, bool *wrap,
		  unsigned int descriptors)
{
	unsigned int next = *place + descriptors;

	if (next >= box->num) {
		next -= box->num;
		*wrap = !*wrap;
	}
	*place = (uint16_t)next;
}

void device_use_packed(struct driver_box *box, uint16_t id, uint32_t length,
		       unsigned int descriptors)
{
	char *at = box->descriptors + 16 * (size_t)box->next_used;

	put32(at, 8, length);
	put16(at, 12, id);
	put16(at, 14,
	      (uint16_t)((box->used_wrap ? F_AVAIL | F_USED : 0) |
			 (length ? F_WRITE : 0)));
	go_on(box, &box->next_used, &box->used_wrap, descriptors);
}

static void see_buffer(struct device_chain *chain, const char *at,
		       unsigned int flags)
{
	assert_true(chain->count < DEVICE_BUFFERS);
	chain->buffers[chain->count].address = get64(at, 0);
	chain->buffers[chain->count].length = get32(at, 8);
	chain->buffers[chain->count].write = flags & F_WRITE;
	chain->count++;
}

/* The descriptor at refers to a table, in the memory of the ring. */
static void see_table(struct driver_box *box, struct device_chain *chain,
		      const char *at)
{
	const char *table = box->ring + (get64(at, 0) - RING_AT);
	uint32_t entries = get32(at, 8) / 16;

	assert_int_equal(get32(at, 8) % 16, 0);
	for (uint32_t i = 0; i < entries; i++) {
		const char *entry = table + 16 * (size_t)i;
		unsigned int flags = get16(entry, box->packed ? 14 : 12);

		see_buffer(chain, entry, flags);
		if (box->packed) {
			assert_int_equal(flags & ~F_WRITE, 0);
			continue;
		}
		assert_int_equal(!!(flags & F_NEXT), i + 1 < entries);
		if (flags & F_NEXT)
			assert_int_equal(get16(entry, 14), i + 1);
	}
}

static bool take_split(struct driver_box *box, struct device_chain *chain)
{
	uint16_t at, flags;

	if (get16(box->available, 2) == box->next_available)
		return false;
	at = get16(box->available,
		   4 + 2 * (size_t)(box->next_available++ % box->num));
	chain->id = at;
	do {
		const char *descriptor = box->descriptors + 16 * (size_t)at;

		assert_true(at < box->num);
		flags = get16(descriptor, 12);
		if (flags & F_INDIRECT)
			see_table(box, chain, descriptor);
		else
			see_buffer(chain, descriptor, flags);
		chain->descriptors++;
		at = get16(descriptor, 14);
	} while (flags & F_NEXT);
	return true;
}

static bool is_available(const struct driver_box *box, uint16_t flags)
{
	return !!(flags & F_AVAIL) == box->available_wrap &&
	       !!(flags & F_USED) != box->available_wrap;
}

static bool take_packed(struct driver_box *box, struct device_chain *chain)
{
	const char *at = box->descriptors + 16 * (size_t)box->next_available;
	uint16_t flags = get16(at, 14);

	if (!is_available(box, flags))
		return false;
	do {
		at = box->descriptors + 16 * (size_t)box->next_available;
		flags = get16(at, 14);
		assert_true(is_available(box, flags));
		if (flags & F_INDIRECT)
			see_table(box, chain, at);
		else
			see_buffer(chain, at, flags);
		chain->descriptors++;
		chain->id = get16(at, 12);
		go_on(box, &box->next_available, &box->available_wrap, 1);
	} while (flags & F_NEXT);
	return true;
}

bool device_take(struct driver_box *box, struct device_chain *chain)
{
	memset(chain, 0, sizeof(*chain));
	return box->packed ? take_packed(box, chain) : take_split(box, chain);
}

void device_give(struct driver_box *box, const struct device_chain *chain,
		 uint32_t length, unsigned int chains, unsigned int descriptors)
{
	if (box->packed) {
		device_use_packed(box, chain->id, length, descriptors);
		return;
	}
	device_element(box, box->next_used, chain->id, length);
	box->next_used = (uint16_t)(box->next_used + chains);
	device_index(box, box->next_used);
}

void expect_used(struct driver_box *box, const void *token, uint32_t written)
{
	struct vh_driver_used used = {0};

	assert_int_equal(vh_driver_queue_collect(box->queue, &used, 1), 1);
	assert_ptr_equal(used.token, token);
	assert_int_equal(used.written, written);
}

void expect_nothing(struct driver_box *box)
{
	struct vh_driver_used used[4];

	assert_int_equal(vh_driver_queue_collect(box->queue, used, 4), 0);
	assert_null(vh_driver_queue_fault(box->queue));
}

void expect_broken(struct driver_box *box, uint32_t code)
{
	const struct vh_fault *fault;
	struct vh_driver_used used[4];

	assert_int_equal(vh_driver_queue_collect(box->queue, used, 4), -EPROTO);
	fault = vh_driver_queue_fault(box->queue);
	assert_non_null(fault);
	assert_int_equal(fault->code, code);
	assert_int_equal(strncmp(vh_fault_name(code), "USED_", 5), 0);
	assert_int_equal(fault->error, -EPROTO);
	assert_int_equal(fault->queue, QUEUE_INDEX);
	assert_true(strlen(fault->text) > 0);
	assert_true(strlen(fault->section) > 0);

	assert_int_equal(vh_driver_queue_collect(box->queue, used, 4), -EPROTO);
	assert_int_equal(box_add(box, 0, 1, 0, 1, NULL), -EPROTO);
	assert_int_equal(vh_driver_queue_room(box->queue), 0);
	assert_false(vh_driver_queue_publish(box->queue));
	vh_driver_queue_disable_calls(box->queue);
	assert_true(vh_driver_queue_enable_calls(box->queue));
}
