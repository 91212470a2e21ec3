/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The hand that writes a packed ring into a box's memory, from the virtio
 * text: it keeps the driver's places and wrap counters and does what it is
 * told, lies included. The rings' areas are where a split ring's are.
 */
#ifndef TESTS_VIRTQUEUE_PACKED_BOX_H
#define TESTS_VIRTQUEUE_PACKED_BOX_H

#include "box.h"

#define F_AVAIL		 0x80
#define F_USED		 0x8000

#define BOX_PACKED	 (UINT64_C(1) << 34)
#define BOX_IN_ORDER	 (UINT64_C(1) << 35)

#define BOX_DRIVER_EVENT BOX_AVAIL
#define BOX_DEVICE_EVENT BOX_USED

/* Place and wrap counter of the next available and of the next used one. */
#define PACKED_BASE(a, aw, u, uw)                                              \
	((uint32_t)(a) | (uint32_t)(aw) << 15 | (uint32_t)(u) << 16 |          \
	 (uint32_t)(uw) << 31)

struct packed_box {
	struct box box;
	/* where the driver writes next */
	uint16_t place;
	bool wrap;
	/* where it looks for the next used one */
	uint16_t used;
	bool used_wrap;
};

struct packed_opts {
	uint32_t num;
	uint64_t features; /* besides RING_PACKED */
	uint32_t base;	   /* 0: where a fresh ring begins */
	uint16_t max_segments;
};

void packed_open(struct packed_box *p, const struct packed_opts *opts);

/* The same without a queue. */
void packed_open_memory(struct packed_box *p, const struct packed_opts *opts);

/* Where driver and device go on; the ring stays as it is. */
void packed_set_base(struct packed_box *p, uint32_t base);

/* A descriptor of the ring as it is told, flags last. */
void packed_write(struct packed_box *p, unsigned int place, vh_gpa address,
		  uint32_t length, unsigned int id, unsigned int flags);

/* A descriptor in the driver's place, made available there. */
void packed_send(struct packed_box *p, unsigned int id, vh_gpa address,
		 uint32_t length, unsigned int flags);

/* An entry of a table: no id, and no flags but WRITE that count. */
void packed_entry(struct packed_box *p, vh_gpa table, unsigned int index,
		  vh_gpa address, uint32_t length, unsigned int flags);

uint16_t packed_flags(const struct packed_box *p, unsigned int place);

/*
 * The next used descriptor, of a chain of so many: it has this id and this
 * length, which counts if anything was written.
 */
void packed_expect_used(struct packed_box *p, unsigned int id, uint32_t written,
			unsigned int descriptors);
void packed_expect_none_used(const struct packed_box *p);

void packed_set_event(struct packed_box *p, uint16_t place_and_wrap,
		      uint16_t flags);
/* The device's: place and wrap counter below, flags above. */
uint32_t packed_device_event(const struct packed_box *p);

#endif
