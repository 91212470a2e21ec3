/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A network card on the library's device side that does what DPDK's vhost
 * library does: copies packets into buffers of a pool, and out of buffers.
 */
#include "measure.h"
#include "packet.h"

#include <errno.h>
#include <libvhost/virtqueue.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POOL 1024

struct packet {
	uint32_t length;
	uint16_t port;
	uint16_t segments;
	char data[PACKET_ROOM] __attribute__((aligned(64)));
} __attribute__((aligned(64)));

struct card {
	struct vh_memory *memory;
	struct vh_virtqueue *queues[PACKET_QUEUES];
	int calls[PACKET_QUEUES];
	struct packet *pool[POOL];
	unsigned int pool_left;
	unsigned int held; /* packets of the last dequeue */
	struct packet *packets[PACKET_BURST];
	struct packet to_send[PACKET_BURST];
	uint32_t nothing[PACKET_BURST];
	struct packet all[POOL];
};

/* Packets are small: as DPDK does, without a call. */
static inline void copy(char *to, const char *from, size_t size)
{
	for (; size >= 64; to += 64, from += 64, size -= 64)
		memcpy(to, from, 64);
	if (size)
		memcpy(to, from, size);
}

/* The header says nothing without offloads. */
static void copy_out(const struct vh_chain *chain, struct packet *packet)
{
	const struct iovec *piece = chain->readable;
	size_t skip = PACKET_HEADER;
	char *to = packet->data;

	packet->length = 0;
	packet->port = 0;
	packet->segments = 1;
	if (chain->readable_size < PACKET_HEADER ||
	    chain->readable_size - PACKET_HEADER > sizeof(packet->data))
		return;
	for (unsigned int i = 0; i < chain->readable_count; i++, piece++) {
		if (skip >= piece->iov_len) {
			skip -= piece->iov_len;
			continue;
		}
		copy(to, (char *)piece->iov_base + skip, piece->iov_len - skip);
		to += piece->iov_len - skip;
		skip = 0;
	}
	packet->length = chain->readable_size - PACKET_HEADER;
}

static void notify(struct card *card, unsigned int queue)
{
	uint64_t one = 1;

	if (vh_virtqueue_publish(card->queues[queue]) == 1 &&
	    write(card->calls[queue], &one, sizeof(one)) < 0 && errno != EAGAIN)
		die("call", errno);
}

/* Packets that are one buffer each, as most are. */
static unsigned int dequeue_buffers(struct card *card, unsigned int max)
{
	struct vh_virtqueue *queue = card->queues[PACKET_TX];
	struct vh_buffer buffers[PACKET_BURST];
	int n = vh_virtqueue_pop_buffers(queue, buffers, max);

	for (int i = 0; i < n; i++) {
		struct iovec piece = {buffers[i].data, buffers[i].size};
		struct vh_chain chain = {
		    .readable = &piece,
		    .readable_size = buffers[i].size,
		    .readable_count = !buffers[i].is_writable,
		};

		card->packets[i] = card->pool[--card->pool_left];
		copy_out(&chain, card->packets[i]);
	}
	if (n <= 0)
		return 0;
	vh_virtqueue_push_buffers(queue, buffers, card->nothing,
				  (unsigned int)n);
	return (unsigned int)n;
}

static unsigned int dequeue_chains(struct card *card, unsigned int max)
{
	struct vh_virtqueue *queue = card->queues[PACKET_TX];
	struct vh_chain *chains[PACKET_BURST];
	int n = vh_virtqueue_pop(queue, chains, max);

	for (int i = 0; i < n; i++) {
		card->packets[i] = card->pool[--card->pool_left];
		copy_out(chains[i], card->packets[i]);
	}
	if (n <= 0)
		return 0;
	vh_virtqueue_push_many(queue, chains, card->nothing, (unsigned int)n);
	return (unsigned int)n;
}

static unsigned int dequeue(void *user)
{
	struct card *card = user;
	unsigned int max = PACKET_BURST;

	if (max > card->pool_left)
		max = card->pool_left;
	card->held = dequeue_buffers(card, max);
	if (!card->held)
		card->held = dequeue_chains(card, max);
	if (card->held)
		notify(card, PACKET_TX);
	return card->held;
}

/* Bytes written: 0 if there is too little room. */
static uint32_t copy_in(const struct iovec *piece, uint32_t room,
			const struct packet *packet)
{
	static const char header[PACKET_HEADER] = {[PACKET_HEADER - 2] = 1};
	const char *from = packet->data;
	uint32_t left = packet->length;

	if (room < PACKET_HEADER + left || piece->iov_len < PACKET_HEADER)
		return 0;
	memcpy(piece->iov_base, header, PACKET_HEADER);
	for (size_t skip = PACKET_HEADER; left; piece++, skip = 0) {
		size_t part = piece->iov_len - skip;

		if (part > left)
			part = left;
		copy((char *)piece->iov_base + skip, from, part);
		from += part;
		left -= (uint32_t)part;
	}
	return PACKET_HEADER + packet->length;
}

static unsigned int enqueue_buffers(struct card *card)
{
	struct vh_virtqueue *queue = card->queues[PACKET_RX];
	struct vh_buffer buffers[PACKET_BURST];
	uint32_t written[PACKET_BURST];
	int n = vh_virtqueue_pop_buffers(queue, buffers, PACKET_BURST);

	for (int i = 0; i < n; i++) {
		struct iovec piece = {buffers[i].data, buffers[i].size};

		written[i] =
		    copy_in(&piece, buffers[i].is_writable * buffers[i].size,
			    &card->to_send[i]);
	}
	if (n <= 0)
		return 0;
	vh_virtqueue_push_buffers(queue, buffers, written, (unsigned int)n);
	return (unsigned int)n;
}

static unsigned int enqueue_chains(struct card *card)
{
	struct vh_virtqueue *queue = card->queues[PACKET_RX];
	struct vh_chain *chains[PACKET_BURST];
	uint32_t written[PACKET_BURST];
	int n = vh_virtqueue_pop(queue, chains, PACKET_BURST);

	for (int i = 0; i < n; i++)
		written[i] =
		    copy_in(chains[i]->writable, chains[i]->writable_size,
			    &card->to_send[i]);
	if (n <= 0)
		return 0;
	vh_virtqueue_push_many(queue, chains, written, (unsigned int)n);
	return (unsigned int)n;
}

static unsigned int enqueue(void *user)
{
	struct card *card = user;
	unsigned int n = enqueue_buffers(card);

	if (!n)
		n = enqueue_chains(card);
	if (n)
		notify(card, PACKET_RX);
	return n;
}

static const void *packet(void *user, unsigned int index, uint32_t *ret_length)
{
	const struct card *card = user;

	*ret_length = card->packets[index]->length;
	return card->packets[index]->data;
}

static void release(void *user)
{
	struct card *card = user;

	while (card->held)
		card->pool[card->pool_left++] = card->packets[--card->held];
}

static void free_card(void *user)
{
	struct card *card = user;

	for (unsigned int i = 0; i < PACKET_QUEUES; i++)
		vh_virtqueue_free(card->queues[i]);
	vh_memory_unref(card->memory);
	free(card);
}

static void make_queue(struct card *card, const struct packet_guest *guest,
		       unsigned int number)
{
	const struct packet_queue *queue = &guest->queues[number];
	struct vh_fault fault;

	VH_OPTS(vh_virtqueue_opts, opts);
	opts.num = PACKET_NUM;
	opts.features = guest->features;
	opts.descriptors = queue->descriptors;
	opts.available = queue->available;
	opts.used = queue->used;
	opts.base = vh_driver_queue_base(queue->driver);
	if (vh_virtqueue_new(&opts, card->memory, &fault,
			     &card->queues[number]) < 0)
		die(fault.text, 0);
	vh_virtqueue_disable_kick(card->queues[number]);
	card->calls[number] = queue->call;
}

static void make_memory(struct card *card, const struct fe_region *from)
{
	struct vh_region region = {
	    .guest = from->guest,
	    .size = from->size,
	    .user = {from->user},
	    .fd_offset = from->offset,
	    .fd = from->fd,
	};
	struct vh_memory *empty;
	int r = vh_memory_new(&empty);

	if (r == 0)
		r = vh_memory_add(empty, &region, NULL, &card->memory);
	if (r < 0)
		die("memory map", r);
	vh_memory_unref(empty);
}

struct packet_device packet_library(const struct packet_guest *guest)
{
	struct card *card = aligned_alloc(64, sizeof(*card));

	if (!card)
		die("packets", ENOMEM);
	memset(card, 0, sizeof(*card));
	make_memory(card, &guest->guest.regions[0]);
	for (unsigned int i = 0; i < PACKET_QUEUES; i++)
		make_queue(card, guest, i);
	for (unsigned int i = 0; i < POOL; i++)
		card->pool[card->pool_left++] = &card->all[i];
	for (unsigned int i = 0; i < PACKET_BURST; i++) {
		packet_fill(card->to_send[i].data, i);
		card->to_send[i].length = PACKET_SIZE;
	}
	return (struct packet_device){card,   dequeue, enqueue,
				      packet, release, free_card};
}
