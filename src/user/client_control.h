/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* client_control.c: all that is neither memory nor ring. */
#ifndef USER_CLIENT_CONTROL_H
#define USER_CLIENT_CONTROL_H

#include "client.h"

/* Stops every ring that was started, if the connection lets us. */
int vhi_client_stop_all(struct vhi_client *c);

int vhi_client_set_owner(struct vh_backend *b);
int vhi_client_release(struct vh_backend *b);
int vhi_client_get_features(struct vh_backend *b, uint64_t *ret);
int vhi_client_set_features(struct vh_backend *b, uint64_t features);
int vhi_client_get_queue_num(struct vh_backend *b, uint32_t *ret);
int vhi_client_get_max_mem_slots(struct vh_backend *b, uint32_t *ret);
int vhi_client_get_config(struct vh_backend *b, uint32_t offset, void *buffer,
			  uint32_t size);
int vhi_client_set_config(struct vh_backend *b, uint32_t offset,
			  const void *buffer, uint32_t size, uint32_t by);
int vhi_client_get_status(struct vh_backend *b, uint8_t *ret);
int vhi_client_set_status(struct vh_backend *b, uint8_t status);
int vhi_client_reset_device(struct vh_backend *b);
int vhi_client_get_inflight(struct vh_backend *b, struct vh_inflight *inflight,
			    int *ret_fd);
int vhi_client_set_inflight(struct vh_backend *b,
			    const struct vh_inflight *inflight, int fd);
int vhi_client_set_log_base(struct vh_backend *b,
			    const struct vh_log_area *area, int fd);
int vhi_client_set_log_fd(struct vh_backend *b, int fd);

#endif
