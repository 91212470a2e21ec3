/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What the two ends agree on, in the order in which QEMU does it, which every
 * back-end has seen.
 */
#include "client.h"

#include <base/fault.h>
#include <inttypes.h>
#include <libvhost/protocol.h>

#define F(name) VHI_BIT(VH_USER_PROTOCOL_F_##name)

/* All but those for other hypervisors, whose meaning peers don't agree on. */
#define KNOWN                                                                  \
	(F(MQ) | F(LOG_SHMFD) | F(RARP) | F(REPLY_ACK) | F(MTU) |              \
	 F(BACKEND_REQ) | F(CROSS_ENDIAN) | F(CRYPTO_SESSION) | F(PAGEFAULT) | \
	 F(CONFIG) | F(BACKEND_SEND_FD) | F(HOST_NOTIFIER) |                   \
	 F(INFLIGHT_SHMFD) | F(RESET_DEVICE) | F(INBAND_NOTIFICATIONS) |       \
	 F(CONFIGURE_MEM_SLOTS) | F(STATUS) | F(SHARED_OBJECT) |               \
	 F(DEVICE_STATE) | F(GET_VRING_BASE_INFLIGHT) | F(SHMEM) |             \
	 F(GET_VRING_BASE_SKIP_DRAIN))

#define MOST_QUEUES 65536

/* Protocol features that are of no use, or harm, without others. */
static uint64_t consistent(uint64_t bits)
{
	static const struct {
		uint64_t bit;
		uint64_t needs;
	} rules[] = {
	    {F(GET_VRING_BASE_SKIP_DRAIN),
	     F(GET_VRING_BASE_INFLIGHT) | F(INFLIGHT_SHMFD)},
	    /* Alone it lets the back-end stop without being done. */
	    {F(GET_VRING_BASE_INFLIGHT), F(GET_VRING_BASE_SKIP_DRAIN)},
	    {F(INBAND_NOTIFICATIONS), F(BACKEND_REQ) | F(REPLY_ACK)},
	    {F(BACKEND_SEND_FD), F(BACKEND_REQ)},
	    {F(HOST_NOTIFIER), F(BACKEND_SEND_FD)},
	    {F(SHMEM), F(BACKEND_SEND_FD)},
	    {F(PAGEFAULT), F(REPLY_ACK)},
	};

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if ((bits & rules[i].needs) != rules[i].needs)
			bits &= ~rules[i].bit;
	/* The two exclude each other ("Postcopy"). */
	return bits & F(CONFIGURE_MEM_SLOTS) ? bits & ~F(PAGEFAULT) : bits;
}

static uint64_t capabilities(const struct vhi_client *c)
{
	static const struct {
		uint64_t needs;
		uint64_t gives;
	} table[] = {
	    {F(CONFIG), VH_CAP_CONFIG},
	    {F(STATUS), VH_CAP_STATUS},
	    {F(RESET_DEVICE), VH_CAP_RESET},
	    {F(CONFIGURE_MEM_SLOTS), VH_CAP_REGIONS},
	    {F(INFLIGHT_SHMFD), VH_CAP_INFLIGHT},
	    {F(LOG_SHMFD), VH_CAP_LOG},
	    {F(RARP), VH_CAP_RARP},
	    {F(MTU), VH_CAP_MTU},
	    {F(CROSS_ENDIAN), VH_CAP_ENDIAN},
	    {F(CRYPTO_SESSION), VH_CAP_CRYPTO},
	    {F(PAGEFAULT), VH_CAP_POSTCOPY},
	    {F(INBAND_NOTIFICATIONS), VH_CAP_INBAND},
	    {F(SHARED_OBJECT), VH_CAP_SHARED_OBJECT},
	    {F(DEVICE_STATE), VH_CAP_DEVICE_STATE},
	    {F(SHMEM), VH_CAP_SHMEM},
	    {F(GET_VRING_BASE_SKIP_DRAIN), VH_CAP_SKIP_DRAIN},
	    {F(HOST_NOTIFIER), VH_CAP_HOST_NOTIFIER},
	};
	uint64_t bits = VH_CAP_GPU;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (c->context.protocol_features & table[i].needs)
			bits |= table[i].gives;
	if (c->offered & VH_F_ACCESS_PLATFORM)
		bits |= VH_CAP_IOTLB;
	return bits;
}

static int agree(struct vhi_client *c, uint64_t mask)
{
	uint64_t theirs, ours;
	int r = vhi_client_get_u64(c, VH_USER_GET_PROTOCOL_FEATURES, &theirs);

	if (r < 0)
		return r;
	c->protocol_offered = theirs;
	if (!mask)
		mask = ~F(INBAND_NOTIFICATIONS);
	ours = consistent(theirs & mask & KNOWN);
	r = vhi_client_set_u64(c, VH_USER_SET_PROTOCOL_FEATURES, ours);
	if (r == 0)
		c->context.protocol_features = ours;
	return r;
}

static int ask_queues(struct vhi_client *c)
{
	uint64_t queues;
	int r = vhi_client_get_u64(c, VH_USER_GET_QUEUE_NUM, &queues);

	if (r < 0)
		return r;
	if (queues == 0 || queues > MOST_QUEUES)
		return vhi_client_lie(c, VH_USER_GET_QUEUE_NUM,
				      "a back-end with %" PRIu64 " queues",
				      queues);
	c->queue_num =
	    queues < VHI_CLIENT_QUEUES ? (uint32_t)queues : VHI_CLIENT_QUEUES;
	return 0;
}

static int ask_slots(struct vhi_client *c)
{
	uint64_t slots;
	int r = vhi_client_get_u64(c, VH_USER_GET_MAX_MEM_SLOTS, &slots);

	if (r < 0)
		return r;
	if (slots == 0)
		return vhi_client_lie(c, VH_USER_GET_MAX_MEM_SLOTS,
				      "a back-end without memory slots");
	c->slots = slots < VH_MEMORY_MAX_REGIONS ? (uint32_t)slots
						 : VH_MEMORY_MAX_REGIONS;
	return 0;
}

int vhi_client_negotiate(struct vhi_client *c, uint64_t mask)
{
	const uint64_t own = VHI_BIT(VH_USER_F_PROTOCOL_FEATURES);
	uint64_t features;
	int r = vhi_client_get_u64(c, VH_USER_GET_FEATURES, &features);

	if (r < 0)
		return r;
	c->offered = features & ~own;
	c->context.features = features & own;
	c->queue_num = 1;
	c->slots = VH_USER_MAX_TABLE_REGIONS;
	if (features & own)
		r = agree(c, mask);
	if (r == 0 && vhi_client_has(c, VH_USER_PROTOCOL_F_MQ))
		r = ask_queues(c);
	if (r == 0 && vhi_client_has(c, VH_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS))
		r = ask_slots(c);
	if (r == 0 && vhi_client_has(c, VH_USER_PROTOCOL_F_BACKEND_REQ))
		r = vhi_reverse_open(c);
	if (r < 0)
		return r;
	c->backend.capabilities = capabilities(c);
	c->ready = true;
	vhi_log(&c->log, VH_LOG_INFO,
		"connected: features 0x%" PRIx64 " offered, protocol features "
		"0x%" PRIx64 ", %" PRIu32 " queues, %" PRIu32 " memory slots",
		c->offered, c->context.protocol_features, c->queue_num,
		c->slots);
	return 0;
}
