/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The guest's side of a network card. */
#include "measure.h"
#include "packet.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define FEATURES                                                               \
	(VH_F_VERSION_1 | VH_F_INDIRECT_DESC | VH_F_EVENT_IDX |                \
	 PACKET_F_MRG_RXBUF)
#define MEMORY_SIZE (UINT64_C(4) << 20)

void packet_fill(void *packet, uint64_t sequence)
{
	memset(packet, (int)(sequence & 0xff), PACKET_SIZE);
	memcpy(packet, &sequence, sizeof(sequence));
}

bool packet_is(const void *packet, uint64_t sequence)
{
	char expected[PACKET_SIZE];

	packet_fill(expected, sequence);
	return memcmp(packet, expected, sizeof(expected)) == 0;
}

static void make_queue(struct packet_guest *guest, struct packet_queue *queue)
{
	struct vh_fault fault;
	size_t size;

	VH_OPTS(vh_driver_queue_opts, opts);
	opts.num = PACKET_NUM;
	opts.features = guest->features;
	size = vh_driver_queue_size(opts.num, opts.features, 0);
	opts.ring_at = guest_alloc(&guest->guest, size, 4096);
	opts.ring = guest_at(&guest->guest, opts.ring_at, size);
	queue->buffers =
	    guest_alloc(&guest->guest, PACKET_NUM * PACKET_ROOM, 4096);
	queue->buffers_at =
	    guest_at(&guest->guest, queue->buffers, PACKET_NUM * PACKET_ROOM);
	if (!opts.ring || !queue->buffers_at)
		die("guest memory", ENOMEM);
	if (vh_driver_queue_new(&opts, &fault, &queue->driver) < 0)
		die(fault.text, 0);
	vh_driver_queue_addresses(queue->driver, &queue->descriptors,
				  &queue->available, &queue->used);
	vh_driver_queue_disable_calls(queue->driver);
	queue->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (queue->call < 0)
		die("eventfd", errno);
}

void packet_guest_make(struct packet_guest *guest, bool packed)
{
	int r;

	memset(guest, 0, sizeof(*guest));
	guest->features = FEATURES | (packed ? VH_F_RING_PACKED : 0);
	r = guest_new(&guest->guest, MEMORY_SIZE, 1);
	if (r < 0)
		die("guest memory", r);
	for (unsigned int i = 0; i < PACKET_QUEUES; i++)
		make_queue(guest, &guest->queues[i]);
}

void packet_guest_free(struct packet_guest *guest)
{
	for (unsigned int i = 0; i < PACKET_QUEUES; i++) {
		vh_driver_queue_free(guest->queues[i].driver);
		close(guest->queues[i].call);
	}
	guest_free(&guest->guest);
}

static void post(struct packet_guest *guest, unsigned int number,
		 unsigned int index)
{
	struct packet_queue *queue = &guest->queues[number];
	uint64_t gpa = queue->buffers + (uint64_t)index * PACKET_ROOM;
	char *at = queue->buffers_at + (size_t)index * PACKET_ROOM;
	struct iovec buffer = {(void *)(uintptr_t)gpa, PACKET_ROOM};
	int r;

	if (number == PACKET_RX) {
		r = vh_driver_queue_add(queue->driver, NULL, 0, &buffer, 1, at);
	} else {
		memset(at, 0, PACKET_HEADER);
		packet_fill(at + PACKET_HEADER, guest->sequence++);
		buffer.iov_len = PACKET_HEADER + PACKET_SIZE;
		r = vh_driver_queue_add(queue->driver, &buffer, 1, NULL, 0, at);
	}
	if (r < 0)
		die("driver", r);
}

void packet_guest_fill(struct packet_guest *guest, unsigned int number)
{
	for (unsigned int i = 0; i < PACKET_NUM; i++)
		post(guest, number, i);
	(void)!vh_driver_queue_publish(guest->queues[number].driver);
}

static void check_received(const struct vh_driver_used *used,
			   unsigned int index)
{
	const char *at = used->token;

	if (used->written != PACKET_HEADER + PACKET_SIZE ||
	    at[PACKET_HEADER - 2] != 1 || at[PACKET_HEADER - 1] != 0 ||
	    !packet_is(at + PACKET_HEADER, index % PACKET_BURST))
		die("a packet was received wrong", 0);
}

void packet_guest_empty(struct packet_guest *guest, unsigned int number)
{
	struct vh_driver_used used[PACKET_NUM];
	struct packet_queue *queue = &guest->queues[number];
	int n = vh_driver_queue_collect(queue->driver, used, PACKET_NUM);

	if (n != PACKET_NUM)
		die("the driver misses completions", 0);
	for (unsigned int i = 0; number == PACKET_RX && i < PACKET_NUM; i++)
		check_received(&used[i], i);
}
