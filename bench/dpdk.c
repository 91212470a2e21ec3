/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Packets of 64 bytes in bursts of 32, on one thread, through DPDK's vhost
 * library and through the library's rings with the same copy: nanoseconds a
 * packet to be dequeued (what the guest sends) and enqueued (what it
 * receives), split and packed.
 *
 * Both have guests of their own with the same driver and the same features.
 * A round is a ring full; only the bursts are timed, not the driver between
 * them. The rounds take turns, and the fastest of each counts.
 *
 *	bench-dpdk [--rounds=N]		JSON on standard output
 */
#include "measure.h"
#include "packet.h"
#include "place.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ROUNDS 4000
#define BURSTS (PACKET_NUM / PACKET_BURST)

enum { LIBRARY, DPDK, DEVICES };
enum { SPLIT, PACKED, FORMATS };
enum { DEQUEUE, ENQUEUE, WAYS };

struct side {
	struct packet_guest guest;
	struct packet_device device;
	uint64_t best[WAYS];
};

static struct side sides[FORMATS][DEVICES];

static void check_sent(struct side *side, uint64_t first)
{
	for (unsigned int i = 0; i < PACKET_BURST; i++) {
		uint32_t length;
		const void *packet =
		    side->device.packet(side->device.user, i, &length);

		if (length != PACKET_SIZE || !packet_is(packet, first + i))
			die("a packet was sent wrong", 0);
	}
}

static void measure(struct side *side, unsigned int way)
{
	const struct packet_device *device = &side->device;
	unsigned int queue = way == DEQUEUE ? PACKET_TX : PACKET_RX;
	uint64_t sequence = side->guest.sequence;
	uint64_t took = 0;

	packet_guest_fill(&side->guest, queue);
	for (unsigned int i = 0; i < BURSTS; i++) {
		uint64_t start = now_ns();
		unsigned int n = way == DEQUEUE ? device->dequeue(device->user)
						: device->enqueue(device->user);

		took += now_ns() - start;
		if (n != PACKET_BURST)
			die("a burst isn't full", 0);
		if (way == ENQUEUE)
			continue;
		check_sent(side, sequence + (uint64_t)i * PACKET_BURST);
		device->release(device->user);
	}
	packet_guest_empty(&side->guest, queue);
	keep_least(&side->best[way], took);
}

static void print(const char *version)
{
	static const char *const formats[] = {"split", "packed"};
	static const char *const ways[] = {"dequeue", "enqueue"};

	printf("{\"version\": \"%s\", \"packet\": %u, \"burst\": %u, "
	       "\"rows\": [",
	       version, PACKET_SIZE, PACKET_BURST);
	for (unsigned int i = 0; i < FORMATS * WAYS; i++) {
		const struct side *both = sides[i / WAYS];
		unsigned int way = i % WAYS;
		double ns =
		    each_ns(both[LIBRARY].best[way], BURSTS, PACKET_NUM);
		double dpdk_ns =
		    each_ns(both[DPDK].best[way], BURSTS, PACKET_NUM);

		printf("%s\n {\"ring\": \"%s\", \"way\": \"%s\", "
		       "\"ns\": %.2f, \"dpdk_ns\": %.2f, \"ratio\": %.2f}",
		       i ? "," : "", formats[i / WAYS], ways[way], ns, dpdk_ns,
		       ns / dpdk_ns);
	}
	printf("\n]}\n");
}

static void make_sides(const struct place *place)
{
	for (unsigned int i = 0; i < FORMATS * DEVICES; i++) {
		struct side *side = &sides[i / DEVICES][i % DEVICES];
		char path[120];

		packet_guest_make(&side->guest, i / DEVICES == PACKED);
		snprintf(path, sizeof(path), "%s%u", place->socket, i);
		side->device = i % DEVICES == DPDK
				   ? packet_dpdk(&side->guest, path)
				   : packet_library(&side->guest);
		for (unsigned int way = 0; way < WAYS; way++)
			side->best[way] = UINT64_MAX;
	}
}

static void free_sides(void)
{
	for (unsigned int i = 0; i < FORMATS * DEVICES; i++) {
		struct side *side = &sides[i / DEVICES][i % DEVICES];

		side->device.free(side->device.user);
		packet_guest_free(&side->guest);
	}
}

int main(int argc, char *argv[])
{
	unsigned int rounds = only_number(argc, argv, "--rounds", ROUNDS);
	struct place place;
	const char *version;

	version = packet_dpdk_start();
	if (place_make(&place, getenv("TMPDIR"), 4096) < 0)
		die("no place for sockets", 0);
	make_sides(&place);
	for (unsigned int round = 0; round < rounds; round++)
		for (unsigned int i = 0; i < FORMATS * DEVICES * WAYS; i++)
			measure(&sides[i / WAYS / DEVICES][i / WAYS % DEVICES],
				i % WAYS);
	print(version);
	free_sides();
	place_remove(&place);
	packet_dpdk_end();
	return 0;
}
