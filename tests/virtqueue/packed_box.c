/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "packed_box.h"
#include <endian.h>
#include <string.h>

void packed_set_base(struct packed_box *p, uint32_t base)
{
	p->place = base & 0x7fff;
	p->wrap = base >> 15 & 1;
	p->used = base >> 16 & 0x7fff;
	p->used_wrap = base >> 31;
}

void packed_open_memory(struct packed_box *p, const struct packed_opts *opts)
{
	memset(p, 0, sizeof(*p));
	box_open_memory(&p->box, opts->num);
	p->box.features = opts->features | BOX_PACKED;
	packed_set_base(p, opts->base ? opts->base : PACKED_BASE(0, 1, 0, 1));
}

void packed_open(struct packed_box *p, const struct packed_opts *opts)
{
	struct vh_virtqueue_opts queue_opts;

	packed_open_memory(p, opts);
	queue_opts = box_queue_opts(&p->box);
	queue_opts.base = opts->base ? opts->base : PACKED_BASE(0, 1, 0, 1);
	queue_opts.max_segments = opts->max_segments;
	assert_int_equal(
	    vh_virtqueue_new(&queue_opts, p->box.memory, NULL, &p->box.queue),
	    0);
}

static uint16_t *flags_of(const struct packed_box *p, unsigned int place)
{
	return (uint16_t *)box_host(&p->box,
				    BOX_DESCRIPTORS + 16 * (vh_gpa)place) +
	       7;
}

void packed_write(struct packed_box *p, unsigned int place, vh_gpa address,
		  uint32_t length, unsigned int id, unsigned int flags)
{
	char *at = box_host(&p->box, BOX_DESCRIPTORS + 16 * (vh_gpa)place);

	__atomic_store_n((uint64_t *)(void *)at, htole64(address),
			 __ATOMIC_RELAXED);
	__atomic_store_n((uint32_t *)(void *)(at + 8), htole32(length),
			 __ATOMIC_RELAXED);
	__atomic_store_n((uint16_t *)(void *)(at + 12), htole16((uint16_t)id),
			 __ATOMIC_RELAXED);
	__atomic_store_n(flags_of(p, place), htole16((uint16_t)flags),
			 __ATOMIC_RELEASE);
}

void packed_send(struct packed_box *p, unsigned int id, vh_gpa address,
		 uint32_t length, unsigned int flags)
{
	packed_write(p, p->place, address, length, id,
		     flags | (p->wrap ? F_AVAIL : F_USED));
	if (++p->place == p->box.num) {
		p->place = 0;
		p->wrap = !p->wrap;
	}
}

void packed_entry(struct packed_box *p, vh_gpa table, unsigned int index,
		  vh_gpa address, uint32_t length, unsigned int flags)
{
	/* What is reserved is full of ones: it is to be ignored. */
	box_entry(&p->box, table, index, address, length, 0xffff,
		  flags | (0xffff & ~(unsigned int)F_WRITE));
}

uint16_t packed_flags(const struct packed_box *p, unsigned int place)
{
	return le16toh(__atomic_load_n(flags_of(p, place), __ATOMIC_ACQUIRE));
}

static bool is_used(const struct packed_box *p)
{
	unsigned int both = F_AVAIL | F_USED;

	return (packed_flags(p, p->used) & both) == (p->used_wrap ? both : 0);
}

void packed_expect_used(struct packed_box *p, unsigned int id, uint32_t written,
			unsigned int descriptors)
{
	const char *at =
	    box_host(&p->box, BOX_DESCRIPTORS + 16 * (vh_gpa)p->used);
	uint32_t length;
	uint16_t used_id;

	assert_true(is_used(p));
	memcpy(&length, at + 8, sizeof(length));
	memcpy(&used_id, at + 12, sizeof(used_id));
	assert_int_equal(le16toh(used_id), id);
	if (written)
		assert_int_equal(le32toh(length), written);
	assert_int_equal(packed_flags(p, p->used) & F_WRITE,
			 written ? F_WRITE : 0);
	p->used = (uint16_t)(p->used + descriptors);
	if (p->used >= p->box.num) {
		p->used = (uint16_t)(p->used - p->box.num);
		p->used_wrap = !p->used_wrap;
	}
}

void packed_expect_none_used(const struct packed_box *p)
{
	assert_false(is_used(p));
}

void packed_set_event(struct packed_box *p, uint16_t place_and_wrap,
		      uint16_t flags)
{
	uint16_t *event = box_host(&p->box, BOX_DRIVER_EVENT);

	event[0] = htole16(place_and_wrap);
	event[1] = htole16(flags);
}

uint32_t packed_device_event(const struct packed_box *p)
{
	const uint16_t *event = box_host(&p->box, BOX_DEVICE_EVENT);

	return le16toh(event[0]) | (uint32_t)le16toh(event[1]) << 16;
}
