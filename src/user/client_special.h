/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* client_special.c and client_postcopy.c: <libvhost/special.h>. */
#ifndef USER_CLIENT_SPECIAL_H
#define USER_CLIENT_SPECIAL_H

#include "client.h"

int vhi_client_reset_owner(struct vh_backend *b);
int vhi_client_send_rarp(struct vh_backend *b, const uint8_t *mac);
int vhi_client_set_mtu(struct vh_backend *b, uint32_t mtu);
int vhi_client_set_vring_endian(struct vh_backend *b, uint32_t q, bool big);
int vhi_client_create_crypto(struct vh_backend *b, const uint8_t *session,
			     int64_t *ret);
int vhi_client_close_crypto(struct vh_backend *b, int64_t id);
int vhi_client_set_gpu_socket(struct vh_backend *b, int fd);
int vhi_client_kick_vring(struct vh_backend *b, uint32_t q);
int vhi_client_get_shared_object(struct vh_backend *b, const uint8_t *uuid,
				 int *ret_fd);
int vhi_client_get_shmem_config(struct vh_backend *b,
				struct vh_shmem_config *ret);
int vhi_client_set_device_state_fd(struct vh_backend *b, uint32_t direction,
				   int fd, int *ret_fd);
int vhi_client_check_device_state(struct vh_backend *b);
int vhi_client_postcopy_advise(struct vh_backend *b, int *ret_fd);
int vhi_client_postcopy_listen(struct vh_backend *b);
int vhi_client_postcopy_set_memory(struct vh_backend *b,
				   const struct vh_region regions[],
				   unsigned int count,
				   uint64_t ret_addresses[]);
int vhi_client_postcopy_ready(struct vh_backend *b);
int vhi_client_postcopy_end(struct vh_backend *b);

#endif
