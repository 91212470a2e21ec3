/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What bench-dpdk consists of: a guest with a network card's two rings, and
 * two devices that each serve a guest of their own in the same way.
 */
#ifndef BENCH_PACKET_H
#define BENCH_PACKET_H

#include "guest.h"
#include <libvhost/driver.h>

#define PACKET_NUM	   256 /* of each ring */
#define PACKET_BURST	   32
#define PACKET_SIZE	   64
#define PACKET_HEADER	   12 /* virtio_net_hdr with num_buffers */
#define PACKET_ROOM	   2048

#define PACKET_F_MRG_RXBUF (UINT64_C(1) << 15)

/* Queue numbers of a network card. */
enum { PACKET_RX, PACKET_TX, PACKET_QUEUES };

/* One buffer for each descriptor, header and packet in one. */
struct packet_queue {
	struct vh_driver_queue *driver;
	vh_gpa descriptors;
	vh_gpa available;
	vh_gpa used;
	uint64_t buffers;
	char *buffers_at;
	int call; /* eventfd */
};

struct packet_guest {
	struct guest guest;
	uint64_t features;
	uint64_t sequence; /* of packets; also their first 8 bytes */
	struct packet_queue queues[PACKET_QUEUES];
};

void packet_guest_make(struct packet_guest *guest, bool packed);
void packet_guest_free(struct packet_guest *guest);

/* Posts PACKET_NUM buffers: new packets, or room for some. */
void packet_guest_fill(struct packet_guest *guest, unsigned int queue);
/* Takes them back; those that were received must be what was sent. */
void packet_guest_empty(struct packet_guest *guest, unsigned int queue);

/* What the packets that a device sends look like: each like this one. */
void packet_fill(void *packet, uint64_t sequence);
bool packet_is(const void *packet, uint64_t sequence);

struct packet_device {
	void *user;
	/* One burst out of TX, and one into RX: how many. These are timed. */
	unsigned int (*dequeue)(void *user);
	unsigned int (*enqueue)(void *user);
	/* Of the last dequeue: a packet, of that length; gives all back. */
	const void *(*packet)(void *user, unsigned int index,
			      uint32_t *ret_length);
	void (*release)(void *user);
	void (*free)(void *user);
};

struct packet_device packet_library(const struct packet_guest *guest);
struct packet_device packet_dpdk(const struct packet_guest *guest,
				 const char *path);

/* Starts DPDK, and says which; before the first packet_dpdk(). */
const char *packet_dpdk_start(void);
void packet_dpdk_end(void);

#endif
