/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Requests that few kinds of back-ends grant: <libvhost/special.h>. */
#include "handler.h"

#include <base/fault.h>
#include <errno.h>
#include <string.h>

/* The reply to SET_DEVICE_STATE_FD. */
#define STATE_ERROR 1u
#define STATE_NOFD  0x100u

/* The address is the number's first bytes, as they lie in memory. */
HANDLER(vhi_send_rarp)
{
	uint8_t mac[6];

	UNUSED(reply);
	memcpy(mac, &m->u64, sizeof(mac));
	return vhi_done(server, vh_backend_send_rarp(server->backend, mac));
}

HANDLER(vhi_net_set_mtu)
{
	UNUSED(reply);
	if (m->u64 > UINT32_MAX)
		return vhi_fault(&server->fault, VH_FAULT_MSG_FIELD, -EINVAL,
				 "Front-end message types, "
				 "VHOST_USER_NET_SET_MTU",
				 "an MTU of %llu bytes",
				 (unsigned long long)m->u64);
	return vhi_done(server,
			vh_backend_set_mtu(server->backend, (uint32_t)m->u64));
}

HANDLER(vhi_set_vring_endian)
{
	UNUSED(reply);
	return vhi_done(server, vh_backend_set_vring_endian(server->backend,
							    m->state.index,
							    m->state.num));
}

/* A session that can't be has a negative id. */
HANDLER(vhi_create_crypto_session)
{
	int64_t id = -1;
	int r = vh_backend_create_crypto_session(server->backend,
						 m->crypto.data, &id);

	if (r < 0)
		vhi_session_note_fault(server,
				       vh_backend_fault(server->backend));
	reply->made = true;
	reply->message.payload = VH_PAYLOAD_CRYPTO;
	reply->message.crypto.session_id = r < 0 ? -1 : id;
	reply->message.crypto.data = m->crypto.data;
	return 0;
}

HANDLER(vhi_close_crypto_session)
{
	UNUSED(reply);
	return vhi_done(server, vh_backend_close_crypto_session(
				    server->backend, (int64_t)m->u64));
}

HANDLER(vhi_postcopy_advise)
{
	int r = vh_backend_postcopy_advise(server->backend, &reply->fd);

	UNUSED(m);
	reply->made = r == 0;
	return vhi_done(server, r);
}

HANDLER(vhi_postcopy_listen)
{
	int r = vh_backend_postcopy_listen(server->backend);

	UNUSED(m), UNUSED(reply);
	server->session.postcopy = r == 0;
	return vhi_done(server, r);
}

HANDLER(vhi_postcopy_end)
{
	int r = vh_backend_postcopy_end(server->backend);

	UNUSED(m);
	if (r < 0)
		return vhi_done(server, r);
	server->session.postcopy = false;
	return vhi_reply_u64(reply, 0);
}

HANDLER(vhi_gpu_set_socket)
{
	int fd = vhi_channel_take_fd(server->session.channel, 0);
	int r = vh_backend_set_gpu_socket(server->backend, fd);

	UNUSED(m), UNUSED(reply);
	vhi_fd_close(&fd);
	return vhi_done(server, r);
}

HANDLER(vhi_vring_kick)
{
	int r = vh_backend_kick_vring(server->backend, m->state.index);

	UNUSED(reply);
	if (r == 0)
		vhi_note_started(server, m->state.index, true);
	return vhi_done(server, r);
}

/* Without a descriptor: there is no such object. */
HANDLER(vhi_get_shared_object)
{
	if (vh_backend_get_shared_object(server->backend, m->object.uuid,
					 &reply->fd) < 0)
		vhi_session_note_fault(server,
				       vh_backend_fault(server->backend));
	reply->made = true;
	reply->message.payload = VH_PAYLOAD_SHARED_OBJECT;
	reply->message.object = m->object;
	return 0;
}

HANDLER(vhi_set_device_state_fd)
{
	int fd = vhi_channel_take_fd(server->session.channel, 0);
	int r = vh_backend_set_device_state_fd(
	    server->backend, m->device_state.direction, fd, &reply->fd);

	vhi_fd_close(&fd);
	if (r < 0)
		vhi_session_note_fault(server,
				       vh_backend_fault(server->backend));
	return vhi_reply_u64(reply, r < 0	    ? STATE_ERROR | STATE_NOFD
				    : reply->fd < 0 ? STATE_NOFD
						    : 0);
}

HANDLER(vhi_check_device_state)
{
	int r = vh_backend_check_device_state(server->backend);

	UNUSED(m);
	if (r < 0)
		vhi_session_note_fault(server,
				       vh_backend_fault(server->backend));
	return vhi_reply_u64(reply, r < 0 ? (uint64_t)-r : 0);
}

HANDLER(vhi_get_shmem_config)
{
	struct vh_shmem_config config;
	int r = vh_backend_get_shmem_config(server->backend, &config);

	UNUSED(m);
	if (r < 0)
		return vhi_done(server, r);
	reply->made = true;
	reply->message.payload = VH_PAYLOAD_SHMEM_CONFIG;
	reply->message.shmem.count = config.count;
	memcpy(reply->message.shmem.sizes, config.sizes, sizeof(config.sizes));
	return 0;
}
