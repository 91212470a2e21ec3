/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* What the functions that answer requests have in common. */
#ifndef USER_HANDLER_H
#define USER_HANDLER_H

#include "server.h"

#include <libvhost/special.h>

#define HANDLER(name)                                                          \
	int name(struct vh_user_server *server, const struct vh_message *m,    \
		 struct vhi_reply *reply)

/* Most handlers don't need all of their parameters. */
#define UNUSED(x) ((void)(x))

/* Passes on what the back-end said about its failure. */
int vhi_done(struct vh_user_server *server, int r);
int vhi_reply_u64(struct vhi_reply *reply, uint64_t value);
void vhi_note_started(struct vh_user_server *server, uint32_t queue,
		      bool started);

/* handlers_memory.c */
HANDLER(vhi_set_mem_table);
HANDLER(vhi_add_mem_reg);
HANDLER(vhi_rem_mem_reg);
HANDLER(vhi_set_vring_addr);
HANDLER(vhi_set_log_base);
HANDLER(vhi_set_log_fd);
HANDLER(vhi_iotlb_msg);

/* handlers_special.c */
HANDLER(vhi_send_rarp);
HANDLER(vhi_net_set_mtu);
HANDLER(vhi_set_vring_endian);
HANDLER(vhi_create_crypto_session);
HANDLER(vhi_close_crypto_session);
HANDLER(vhi_postcopy_advise);
HANDLER(vhi_postcopy_listen);
HANDLER(vhi_postcopy_end);
HANDLER(vhi_gpu_set_socket);
HANDLER(vhi_vring_kick);
HANDLER(vhi_get_shared_object);
HANDLER(vhi_set_device_state_fd);
HANDLER(vhi_check_device_state);
HANDLER(vhi_get_shmem_config);

#endif
