/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The functions of <libvhost/special.h>: each goes to the kind behind it. */
#include <backend/backend.h>
#include <base/fault.h>

#define CALL VHI_BACKEND_CALL

int vh_backend_reset_owner(struct vh_backend *backend)
{
	return CALL(backend, reset_owner);
}

int vh_backend_send_rarp(struct vh_backend *backend, const uint8_t *mac)
{
	return CALL(backend, send_rarp, mac);
}

int vh_backend_set_mtu(struct vh_backend *backend, uint32_t mtu)
{
	return CALL(backend, set_mtu, mtu);
}

int vh_backend_set_vring_endian(struct vh_backend *backend, uint32_t queue,
				bool big)
{
	return CALL(backend, set_vring_endian, queue, big);
}

int vh_backend_create_crypto_session(struct vh_backend *backend,
				     const uint8_t *session, int64_t *ret_id)
{
	return CALL(backend, create_crypto_session, session, ret_id);
}

int vh_backend_close_crypto_session(struct vh_backend *backend, int64_t id)
{
	return CALL(backend, close_crypto_session, id);
}

int vh_backend_set_gpu_socket(struct vh_backend *backend, int fd)
{
	return CALL(backend, set_gpu_socket, fd);
}

int vh_backend_kick_vring(struct vh_backend *backend, uint32_t queue)
{
	return CALL(backend, kick_vring, queue);
}

int vh_backend_get_shared_object(struct vh_backend *backend,
				 const uint8_t *uuid, int *ret_fd)
{
	return CALL(backend, get_shared_object, uuid, ret_fd);
}

int vh_backend_get_shmem_config(struct vh_backend *backend,
				struct vh_shmem_config *ret_config)
{
	return CALL(backend, get_shmem_config, ret_config);
}

int vh_backend_set_device_state_fd(struct vh_backend *backend,
				   uint32_t direction, int fd, int *ret_fd)
{
	return CALL(backend, set_device_state_fd, direction, fd, ret_fd);
}

int vh_backend_check_device_state(struct vh_backend *backend)
{
	return CALL(backend, check_device_state);
}

int vh_backend_get_vring_base_skip_drain(struct vh_backend *backend,
					 uint32_t queue, uint32_t *ret_base)
{
	return CALL(backend, get_vring_base_skip_drain, queue, ret_base);
}

int vh_backend_postcopy_advise(struct vh_backend *backend, int *ret_fd)
{
	return CALL(backend, postcopy_advise, ret_fd);
}

int vh_backend_postcopy_listen(struct vh_backend *backend)
{
	return CALL(backend, postcopy_listen);
}

int vh_backend_postcopy_set_memory(struct vh_backend *backend,
				   const struct vh_region regions[],
				   unsigned int count, uint64_t ret_addresses[])
{
	return CALL(backend, postcopy_set_memory, regions, count,
		    ret_addresses);
}

int vh_backend_postcopy_ready(struct vh_backend *backend)
{
	return CALL(backend, postcopy_ready);
}

int vh_backend_postcopy_end(struct vh_backend *backend)
{
	return CALL(backend, postcopy_end);
}
