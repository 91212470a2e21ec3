/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "frontend.h"
#include "bytes.h"

#include <errno.h>
#include <string.h>

#define MAX_TABLE 8

/* Receives a reply without descriptors whose payload is size bytes. */
static int receive_sized(struct frontend *fe, uint32_t id, uint32_t size,
			 struct fe_reply *reply)
{
	int ret = fe_receive_for(fe, id, reply);

	if (ret < 0)
		return ret;
	if (reply->size == size && reply->num_fds == 0)
		return 0;
	fe_reply_close(reply);
	return -EBADMSG;
}

int fe_request(struct frontend *fe, uint32_t id, const void *payload,
	       uint32_t size, const int *fds, unsigned int num_fds)
{
	struct fe_message message = {
	    .id = id,
	    .flags = FE_VERSION | (fe->acks ? FE_NEED_REPLY : 0),
	    .size = size,
	    .payload = payload,
	    .length = size,
	    .fds = fds,
	    .num_fds = num_fds,
	};
	struct fe_reply reply;
	int ret = fe_send(fe, &message);

	if (ret < 0 || !fe->acks)
		return ret;
	ret = receive_sized(fe, id, 8, &reply);
	if (ret < 0)
		return ret;
	fe->last_ack = get64(reply.payload);
	return fe->last_ack == 0 ? 0 : -EREMOTEIO;
}

/* Sends a request that has a reply of its own. */
static int ask(struct frontend *fe, uint32_t id, const void *payload,
	       uint32_t size)
{
	struct fe_message message = {
	    .id = id,
	    .flags = FE_VERSION,
	    .size = size,
	    .payload = payload,
	    .length = size,
	};

	return fe_send(fe, &message);
}

int fe_command(struct frontend *fe, uint32_t id)
{
	return fe_request(fe, id, NULL, 0, NULL, 0);
}

int fe_set_u64(struct frontend *fe, uint32_t id, uint64_t value)
{
	return fe_request(fe, id, &value, sizeof(value), NULL, 0);
}

int fe_set_vring(struct frontend *fe, uint32_t id, uint32_t index, uint32_t num)
{
	uint8_t bytes[8];

	put32(bytes, 0, index);
	put32(bytes, 4, num);
	return fe_request(fe, id, bytes, sizeof(bytes), NULL, 0);
}

int fe_set_vring_fd(struct frontend *fe, uint32_t id, uint64_t index, int fd)
{
	uint64_t value = fd < 0 ? index | FE_BIT(8) : index;

	return fe_request(fe, id, &value, sizeof(value), &fd, fd >= 0);
}

size_t fe_pack_vring_addr(uint8_t *bytes, const struct fe_vring_addr *addr)
{
	size_t at = 0;

	at = put32(bytes, at, addr->index);
	at = put32(bytes, at, addr->flags);
	at = put64(bytes, at, addr->desc);
	at = put64(bytes, at, addr->used);
	at = put64(bytes, at, addr->avail);
	return put64(bytes, at, addr->log);
}

int fe_set_vring_addr(struct frontend *fe, const struct fe_vring_addr *addr)
{
	uint8_t bytes[40];
	size_t size = fe_pack_vring_addr(bytes, addr);

	return fe_request(fe, FE_SET_VRING_ADDR, bytes, (uint32_t)size, NULL,
			  0);
}

size_t fe_pack_region(uint8_t *bytes, const struct fe_region *region)
{
	size_t at = 0;

	at = put64(bytes, at, region->guest);
	at = put64(bytes, at, region->size);
	at = put64(bytes, at, region->user);
	return put64(bytes, at, region->offset);
}

size_t fe_pack_single_region(uint8_t *bytes, const struct fe_region *region)
{
	size_t at = put64(bytes, 0, 0);

	return at + fe_pack_region(bytes + at, region);
}

int fe_set_mem_table(struct frontend *fe, const struct fe_region regions[],
		     unsigned int count)
{
	uint8_t bytes[8 + MAX_TABLE * 32];
	int fds[MAX_TABLE];
	size_t at = 0;
	unsigned int i;

	if (count > MAX_TABLE)
		return -EINVAL;
	at = put32(bytes, at, count);
	at = put32(bytes, at, 0);
	for (i = 0; i < count; i++) {
		at += fe_pack_region(bytes + at, &regions[i]);
		fds[i] = regions[i].fd;
	}
	return fe_request(fe, FE_SET_MEM_TABLE, bytes, (uint32_t)at, fds,
			  count);
}

int fe_add_region(struct frontend *fe, const struct fe_region *region)
{
	uint8_t bytes[40];
	size_t size = fe_pack_single_region(bytes, region);

	return fe_request(fe, FE_ADD_MEM_REG, bytes, (uint32_t)size,
			  &region->fd, 1);
}

int fe_remove_region(struct frontend *fe, const struct fe_region *region)
{
	uint8_t bytes[40];
	size_t size = fe_pack_single_region(bytes, region);

	return fe_request(fe, FE_REM_MEM_REG, bytes, (uint32_t)size, NULL, 0);
}

static size_t pack_config(uint8_t *bytes, uint32_t offset, uint32_t size,
			  uint32_t flags)
{
	size_t at = 0;

	at = put32(bytes, at, offset);
	at = put32(bytes, at, size);
	return put32(bytes, at, flags);
}

int fe_set_config(struct frontend *fe, uint32_t offset, const void *data,
		  uint32_t size, uint32_t flags)
{
	uint8_t bytes[FE_MAX_PAYLOAD];
	size_t at = pack_config(bytes, offset, size, flags);

	if (size > sizeof(bytes) - at)
		return -EINVAL;
	memcpy(bytes + at, data, size);
	return fe_request(fe, FE_SET_CONFIG, bytes, (uint32_t)at + size, NULL,
			  0);
}

int fe_set_fd(struct frontend *fe, uint32_t id, int fd)
{
	return fe_request(fe, id, NULL, 0, &fd, 1);
}

static size_t pack_inflight(uint8_t *bytes, const struct fe_inflight *area)
{
	size_t at = 0;

	at = put64(bytes, at, area->mmap_size);
	at = put64(bytes, at, area->mmap_offset);
	memcpy(bytes + at, &area->num_queues, 2);
	memcpy(bytes + at + 2, &area->queue_size, 2);
	return put32(bytes, at + 4, 0);
}

int fe_set_inflight(struct frontend *fe, const struct fe_inflight *area, int fd)
{
	uint8_t bytes[24];
	size_t size = pack_inflight(bytes, area);

	return fe_request(fe, FE_SET_INFLIGHT_FD, bytes, (uint32_t)size, &fd,
			  1);
}

int fe_get_u64(struct frontend *fe, uint32_t id, uint64_t *ret_value)
{
	struct fe_reply reply;
	int ret = ask(fe, id, NULL, 0);

	if (ret == 0)
		ret = receive_sized(fe, id, 8, &reply);
	if (ret == 0)
		*ret_value = get64(reply.payload);
	return ret;
}

int fe_get_vring_base(struct frontend *fe, uint32_t index, uint32_t *ret_base)
{
	struct fe_reply reply;
	uint8_t bytes[8];
	int ret;

	put32(bytes, 0, index);
	put32(bytes, 4, 0);
	ret = ask(fe, FE_GET_VRING_BASE, bytes, sizeof(bytes));
	if (ret == 0)
		ret = receive_sized(fe, FE_GET_VRING_BASE, 8, &reply);
	if (ret < 0)
		return ret;
	if (get32(reply.payload) != index)
		return -EBADMSG;
	*ret_base = get32(reply.payload + 4);
	return 0;
}

int fe_get_config(struct frontend *fe, uint32_t offset, void *data,
		  uint32_t size)
{
	uint8_t bytes[FE_MAX_PAYLOAD] = {0};
	struct fe_reply reply;
	size_t at = pack_config(bytes, offset, size, 0);
	int ret;

	if (size > sizeof(bytes) - at)
		return -EINVAL;
	ret = ask(fe, FE_GET_CONFIG, bytes, (uint32_t)at + size);
	if (ret == 0)
		ret = fe_receive_for(fe, FE_GET_CONFIG, &reply);
	if (ret < 0)
		return ret;
	fe_reply_close(&reply);
	if (reply.size == 0)
		return -EREMOTEIO;
	if (reply.size != at + size || get32(reply.payload) != offset ||
	    get32(reply.payload + 4) != size)
		return -EBADMSG;
	memcpy(data, reply.payload + at, size);
	return 0;
}

int fe_get_inflight(struct frontend *fe, struct fe_inflight *area, int *ret_fd)
{
	struct fe_reply reply;
	uint8_t bytes[24];
	size_t size = pack_inflight(bytes, area);
	int ret = ask(fe, FE_GET_INFLIGHT_FD, bytes, (uint32_t)size);

	if (ret == 0)
		ret = fe_receive_for(fe, FE_GET_INFLIGHT_FD, &reply);
	if (ret < 0)
		return ret;
	if (reply.size != sizeof(bytes) || reply.num_fds > 1) {
		fe_reply_close(&reply);
		return -EBADMSG;
	}
	area->mmap_size = get64(reply.payload);
	area->mmap_offset = get64(reply.payload + 8);
	memcpy(&area->num_queues, reply.payload + 16, 2);
	memcpy(&area->queue_size, reply.payload + 18, 2);
	*ret_fd = reply.num_fds == 1 ? reply.fds[0] : -1;
	return 0;
}

/* A request whose reply is an acknowledgement. */
static int tell(struct frontend *fe, const struct fe_message *message)
{
	struct fe_reply reply;
	int ret = fe_send(fe, message);

	if (ret == 0)
		ret = receive_sized(fe, message->id, 8, &reply);
	if (ret < 0)
		return ret;
	fe->last_ack = get64(reply.payload);
	return fe->last_ack == 0 ? 0 : -EREMOTEIO;
}

int fe_set_log_base(struct frontend *fe, uint64_t size, uint64_t offset, int fd)
{
	uint8_t bytes[16];
	const struct fe_message message = {
	    .id = FE_SET_LOG_BASE,
	    .flags = FE_VERSION | (fe->acks ? FE_NEED_REPLY : 0),
	    .size = sizeof(bytes),
	    .payload = bytes,
	    .length = sizeof(bytes),
	    .fds = &fd,
	    .num_fds = 1,
	};

	put64(bytes, put64(bytes, 0, size), offset);
	return tell(fe, &message);
}

int fe_send_iotlb(struct frontend *fe, const struct fe_iotlb *entry)
{
	uint8_t bytes[32] = {0};
	const struct fe_message message = {
	    .id = FE_IOTLB_MSG,
	    .flags = FE_VERSION,
	    .size = sizeof(bytes),
	    .payload = bytes,
	    .length = sizeof(bytes),
	};

	put64(bytes, 0, entry->iova);
	put64(bytes, 8, entry->size);
	put64(bytes, 16, entry->user);
	bytes[24] = entry->perm;
	bytes[25] = entry->type;
	return tell(fe, &message);
}

int fe_receive_iotlb(struct frontend *reverse, struct fe_iotlb *ret_entry)
{
	struct fe_reply request;
	int ret = fe_receive(reverse, &request);

	if (ret < 0)
		return ret;
	fe_reply_close(&request);
	if (request.id != FE_BACKEND_IOTLB_MSG || request.flags != FE_VERSION ||
	    request.size != 32)
		return -EBADMSG;
	ret_entry->iova = get64(request.payload);
	ret_entry->size = get64(request.payload + 8);
	ret_entry->user = get64(request.payload + 16);
	ret_entry->perm = request.payload[24];
	ret_entry->type = request.payload[25];
	return 0;
}

int fe_sync(struct frontend *fe)
{
	uint64_t features;

	return fe_get_u64(fe, FE_GET_FEATURES, &features);
}

int fe_negotiate(struct frontend *fe, uint64_t *features,
		 uint64_t *protocol_features)
{
	uint64_t offered;
	int ret;

	ret = fe_get_u64(fe, FE_GET_FEATURES, &offered);
	if (ret < 0)
		return ret;
	*features &= offered;
	if (offered & FE_F_PROTOCOL_FEATURES) {
		ret = fe_get_u64(fe, FE_GET_PROTOCOL_FEATURES, &offered);
		if (ret < 0)
			return ret;
		*protocol_features &= offered;
		ret = fe_set_u64(fe, FE_SET_PROTOCOL_FEATURES,
				 *protocol_features);
		if (ret < 0)
			return ret;
		fe->acks = *protocol_features & FE_PF_REPLY_ACK;
	}
	ret = fe_command(fe, FE_SET_OWNER);
	return ret < 0 ? ret : fe_set_u64(fe, FE_SET_FEATURES, *features);
}
