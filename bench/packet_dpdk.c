/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* A network card of DPDK's vhost library, behind a socket in this process. */
#include "measure.h"
#include "packet.h"

#include <errno.h>
#include <rte_config.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_version.h>
#include <rte_vhost.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POOL  8191
#define CACHE 256

struct card {
	char path[128];
	struct frontend fe;
	int vid;
	unsigned int held;
	struct rte_mbuf *packets[PACKET_BURST];
	struct rte_mbuf *to_send[PACKET_BURST];
};

static struct rte_mempool *pool;

/* The callbacks tell a number; we wait for one card at a time. */
static int new_vid;

static int new_device(int vid)
{
	__atomic_store_n(&new_vid, vid + 1, __ATOMIC_RELEASE);
	return 0;
}

static void destroy_device(int vid)
{
	(void)vid;
}

static const struct rte_vhost_device_ops callbacks = {
    .new_device = new_device,
    .destroy_device = destroy_device,
};

const char *packet_dpdk_start(void)
{
	char words[][24] = {"bench-dpdk", "--no-huge",	    "--no-pci",	  "-m",
			    "64",	  "--no-telemetry", "--no-shconf"};
	enum { WORDS = sizeof(words) / sizeof(*words) };
	char *arguments[WORDS + 2];
	char cores[32];
	int count = 0;

	for (; count < WORDS; count++)
		arguments[count] = words[count];
	snprintf(cores, sizeof(cores), "--lcores=0@%d", sched_getcpu());
	arguments[count++] = cores;
	arguments[count] = NULL;
	rte_log_set_global_level(RTE_LOG_ERR);
	if (rte_eal_init(count, arguments) < 0)
		die("DPDK doesn't start", rte_errno);
	pool = rte_pktmbuf_pool_create(
	    "bench", POOL, CACHE, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (!pool)
		die("no pool of packets", rte_errno);
	return rte_version();
}

void packet_dpdk_end(void)
{
	rte_mempool_free(pool);
	rte_eal_cleanup();
}

static unsigned int dequeue(void *user)
{
	struct card *card = user;

	card->held = rte_vhost_dequeue_burst(card->vid, PACKET_TX, pool,
					     card->packets, PACKET_BURST);
	return card->held;
}

static unsigned int enqueue(void *user)
{
	struct card *card = user;

	return rte_vhost_enqueue_burst(card->vid, PACKET_RX, card->to_send,
				       PACKET_BURST);
}

static const void *packet(void *user, unsigned int index, uint32_t *ret_length)
{
	const struct card *card = user;

	*ret_length = rte_pktmbuf_pkt_len(card->packets[index]);
	return rte_pktmbuf_mtod(card->packets[index], const void *);
}

static void release(void *user)
{
	struct card *card = user;

	while (card->held)
		rte_pktmbuf_free(card->packets[--card->held]);
}

static void free_card(void *user)
{
	struct card *card = user;

	fe_close(&card->fe);
	rte_vhost_driver_unregister(card->path);
	for (unsigned int i = 0; i < PACKET_BURST; i++)
		rte_pktmbuf_free(card->to_send[i]);
	free(card);
}

static int serve(const char *path)
{
	int r = rte_vhost_driver_register(path, 0);

	if (r == 0)
		r = rte_vhost_driver_callback_register(path, &callbacks);
	return r == 0 ? rte_vhost_driver_start(path) : r;
}

static int start_queue(struct frontend *fe, const struct packet_guest *guest,
		       unsigned int number)
{
	const struct packet_queue *queue = &guest->queues[number];
	struct fe_vring_addr addr = {
	    .index = number,
	    .desc = guest_user(&guest->guest, queue->descriptors),
	    .avail = guest_user(&guest->guest, queue->available),
	    .used = guest_user(&guest->guest, queue->used),
	};
	int ret = fe_set_vring(fe, FE_SET_VRING_NUM, number, PACKET_NUM);

	if (ret == 0)
		ret = fe_set_vring(fe, FE_SET_VRING_BASE, number,
				   vh_driver_queue_base(queue->driver));
	if (ret == 0)
		ret = fe_set_vring_addr(fe, &addr);
	if (ret == 0)
		ret =
		    fe_set_vring_fd(fe, FE_SET_VRING_CALL, number, queue->call);
	if (ret == 0)
		ret = fe_set_vring_fd(fe, FE_SET_VRING_KICK, number, -1);
	if (ret == 0)
		ret = fe_set_vring(fe, FE_SET_VRING_ENABLE, number, 1);
	return ret;
}

static int connect_guest(struct card *card, const struct packet_guest *guest)
{
	uint64_t features = guest->features | FE_F_PROTOCOL_FEATURES;
	uint64_t protocol = FE_PF_REPLY_ACK;
	struct frontend *fe = &card->fe;
	int ret = fe_connect(fe, card->path);

	if (ret == 0)
		ret = fe_negotiate(fe, &features, &protocol);
	if (ret == 0 && (features & guest->features) != guest->features)
		ret = -EOPNOTSUPP;
	if (ret == 0)
		ret = fe_set_mem_table(fe, guest->guest.regions,
				       guest->guest.count);
	for (unsigned int i = 0; ret == 0 && i < PACKET_QUEUES; i++)
		ret = start_queue(fe, guest, i);
	return ret;
}

static int wait_for_vid(void)
{
	int64_t end = fe_now_ms() + FE_TIMEOUT_MS;
	int vid;

	do {
		vid = __atomic_exchange_n(&new_vid, 0, __ATOMIC_ACQUIRE);
		if (!vid)
			sched_yield();
	} while (!vid && fe_now_ms() < end);
	if (!vid)
		die("DPDK makes no device", 0);
	return vid - 1;
}

struct packet_device packet_dpdk(const struct packet_guest *guest,
				 const char *path)
{
	struct card *card = calloc(1, sizeof(*card));
	int r;

	if (!card)
		die("card", ENOMEM);
	snprintf(card->path, sizeof(card->path), "%s", path);
	card->fe.sock = -1;
	if (serve(path) < 0)
		die("DPDK doesn't serve", 0);
	r = connect_guest(card, guest);
	if (r < 0)
		die("DPDK's device", r);
	card->vid = wait_for_vid();
	for (unsigned int i = 0; i < PACKET_BURST; i++) {
		card->to_send[i] = rte_pktmbuf_alloc(pool);
		if (!card->to_send[i])
			die("packets", ENOMEM);
		packet_fill(rte_pktmbuf_append(card->to_send[i], PACKET_SIZE),
			    i);
	}
	return (struct packet_device){card,   dequeue, enqueue,
				      packet, release, free_card};
}
