/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Requests that few kinds of devices know, over the socket. */
#include "client_special.h"

#include <base/check.h>
#include <base/fault.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* The reply to SET_DEVICE_STATE_FD: an error, or that no descriptor comes. */
#define STATE_ERROR 0xffu
#define STATE_NOFD  0x100u

int vhi_client_reset_owner(struct vh_backend *b)
{
	const struct vh_message m = {.id = VH_USER_RESET_OWNER};

	return vhi_client_call(vhi_client_of(b), &m, NULL, 0, NULL);
}

/* The address is the number's first bytes, as they lie in memory. */
int vhi_client_send_rarp(struct vh_backend *b, const uint8_t *mac)
{
	uint64_t value = 0;

	memcpy(&value, mac, 6);
	return vhi_client_set_u64(vhi_client_of(b), VH_USER_SEND_RARP, value);
}

int vhi_client_set_mtu(struct vh_backend *b, uint32_t mtu)
{
	return vhi_client_set_u64(vhi_client_of(b), VH_USER_NET_SET_MTU, mtu);
}

int vhi_client_set_vring_endian(struct vh_backend *b, uint32_t q, bool big)
{
	struct vhi_client *c = vhi_client_of(b);
	struct vhi_client_queue *queue = vhi_client_queue(c, q);

	if (!queue)
		return -ERANGE;
	if (queue->started)
		return vhi_fault(&b->fault, VH_FAULT_MSG_STATE, -EBUSY,
				 "Ring states",
				 "the byte order of queue %" PRIu32
				 " can't change while it is started",
				 q);
	return vhi_client_set_state(c, VH_USER_SET_VRING_ENDIAN, q, big);
}

int vhi_client_create_crypto(struct vh_backend *b, const uint8_t *session,
			     int64_t *ret)
{
	const struct vh_message m = {
	    .id = VH_USER_CREATE_CRYPTO_SESSION,
	    .payload = VH_PAYLOAD_CRYPTO,
	    .crypto.data = session,
	};
	struct vh_message reply;
	int r = vhi_client_call(vhi_client_of(b), &m, NULL, 0, &reply);

	if (r < 0)
		return r;
	if (reply.crypto.session_id < 0)
		return vhi_fault(&b->fault, VH_FAULT_MSG_REFUSED, -EREMOTEIO,
				 "Front-end message types, "
				 "VHOST_USER_CREATE_CRYPTO_SESSION",
				 "the back-end makes no session: %" PRId64,
				 reply.crypto.session_id);
	*ret = reply.crypto.session_id;
	return 0;
}

int vhi_client_close_crypto(struct vh_backend *b, int64_t id)
{
	return vhi_client_set_u64(vhi_client_of(b),
				  VH_USER_CLOSE_CRYPTO_SESSION, (uint64_t)id);
}

int vhi_client_set_gpu_socket(struct vh_backend *b, int fd)
{
	return vhi_client_send_fd(vhi_client_of(b), VH_USER_GPU_SET_SOCKET, fd);
}

int vhi_client_kick_vring(struct vh_backend *b, uint32_t q)
{
	struct vhi_client *c = vhi_client_of(b);

	if (!vhi_client_queue(c, q))
		return -ERANGE;
	return vhi_client_set_state(c, VH_USER_VRING_KICK, q, 0);
}

int vhi_client_get_shared_object(struct vh_backend *b, const uint8_t *uuid,
				 int *ret_fd)
{
	struct vhi_client *c = vhi_client_of(b);
	struct vh_message m = {
	    .id = VH_USER_GET_SHARED_OBJECT,
	    .payload = VH_PAYLOAD_SHARED_OBJECT,
	};
	int fd, r;

	memcpy(m.object.uuid, uuid, sizeof(m.object.uuid));
	r = vhi_client_call(c, &m, NULL, 0, NULL);
	if (r < 0)
		return r;
	fd = vhi_client_take_fd(c);
	if (fd < 0)
		return vhi_fault(&b->fault, VH_FAULT_MSG_REFUSED, -ENOENT, "",
				 "the back-end has no such object");
	*ret_fd = fd;
	return 0;
}

int vhi_client_get_shmem_config(struct vh_backend *b,
				struct vh_shmem_config *ret)
{
	const struct vh_message m = {.id = VH_USER_GET_SHMEM_CONFIG};
	struct vh_message reply;
	int r = vhi_client_call(vhi_client_of(b), &m, NULL, 0, &reply);

	_Static_assert(sizeof(ret->sizes) == sizeof(reply.shmem.sizes),
		       "one size for each id");
	if (r < 0)
		return r;
	ret->count = reply.shmem.count;
	memcpy(ret->sizes, reply.shmem.sizes, sizeof(ret->sizes));
	return 0;
}

int vhi_client_set_device_state_fd(struct vh_backend *b, uint32_t direction,
				   int fd, int *ret_fd)
{
	struct vhi_client *c = vhi_client_of(b);
	const struct vh_message m = {
	    .id = VH_USER_SET_DEVICE_STATE_FD,
	    .payload = VH_PAYLOAD_DEVICE_STATE,
	    .device_state.direction = direction,
	};
	struct vh_message reply;
	int r;

	if (direction > VH_DEVICE_STATE_LOAD)
		return vhi_fault(&b->fault, VH_FAULT_CALLER, -EINVAL, "",
				 "direction %" PRIu32 ", must be 0 or 1",
				 direction);
	if (vhi_client_started(c))
		return vhi_fault(&b->fault, VH_FAULT_MSG_STATE, -EBUSY,
				 "Migrating back-end state",
				 "a ring is started: the device's state isn't "
				 "at rest");
	r = vhi_client_call(c, &m, &fd, 1, &reply);
	if (r < 0)
		return r;
	if (reply.u64 & STATE_ERROR)
		return vhi_fault(&b->fault, VH_FAULT_MSG_REFUSED, -EREMOTEIO,
				 "Migrating back-end state",
				 "the back-end answers 0x%" PRIx64, reply.u64);
	*ret_fd = reply.u64 & STATE_NOFD ? -1 : vhi_client_take_fd(c);
	return 0;
}

int vhi_client_check_device_state(struct vh_backend *b)
{
	uint64_t value;
	int r = vhi_client_get_u64(vhi_client_of(b), VH_USER_CHECK_DEVICE_STATE,
				   &value);

	if (r == 0 && value != 0)
		return vhi_fault(&b->fault, VH_FAULT_MSG_REFUSED, -EREMOTEIO,
				 "Migrating back-end state",
				 "the transfer failed: %" PRIu64, value);
	return r;
}
