/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * libvhost: operations on a back-end that few kinds of devices have: network
 * cards, crypto and graphics devices; and those of live migration. Everything
 * that is said in backend.h holds. A back-end that lacks the capability, whose
 * name stands beside each, answers -EOPNOTSUPP.
 */
#ifndef LIBVHOST_SPECIAL_H
#define LIBVHOST_SPECIAL_H

#include <libvhost/backend.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Disables all rings (RESET_OWNER), which is all that is left of it: who wants
 * a fresh device asks for vh_backend_reset_device().
 */
VH_API VH_MUST_CHECK int vh_backend_reset_owner(struct vh_backend *backend);

/*
 * Has the network tell where the guest is after a migration (SEND_RARP), by
 * its address of 6 bytes. VH_CAP_RARP.
 */
VH_API VH_MUST_CHECK int vh_backend_send_rarp(struct vh_backend *backend,
					      const uint8_t *mac);

/*
 * The largest packet that the network card takes, in bytes (NET_SET_MTU).
 * VH_CAP_MTU.
 */
VH_API VH_MUST_CHECK int vh_backend_set_mtu(struct vh_backend *backend,
					    uint32_t mtu);

/*
 * The byte order of a ring of a legacy driver (SET_VRING_ENDIAN), before it
 * starts. VH_CAP_ENDIAN, which drivers of the kernel never have: most are
 * built without, and only trying tells. -ERANGE: there is no such queue;
 * -EBUSY: the ring is started.
 */
VH_API VH_MUST_CHECK int vh_backend_set_vring_endian(struct vh_backend *backend,
						     uint32_t queue, bool big);

/* What describes a session, in the layout of vhost-user ("session info"). */
#define VH_CRYPTO_SESSION_SIZE 624

/*
 * Makes a session of a crypto device (CREATE_CRYPTO_SESSION) of
 * VH_CRYPTO_SESSION_SIZE bytes. VH_CAP_CRYPTO. -EREMOTEIO: the device
 * can't.
 */
VH_API VH_MUST_CHECK int
vh_backend_create_crypto_session(struct vh_backend *backend,
				 const uint8_t *session, int64_t *ret_id);

/* Ends a session of a crypto device (CLOSE_CRYPTO_SESSION). VH_CAP_CRYPTO. */
VH_API VH_MUST_CHECK int
vh_backend_close_crypto_session(struct vh_backend *backend, int64_t id);

/*
 * The socket for a graphics device's own protocol (GPU_SET_SOCKET). VH_CAP_GPU
 * says that it can be tried; no protocol feature tells more.
 */
VH_API VH_MUST_CHECK int vh_backend_set_gpu_socket(struct vh_backend *backend,
						   int fd);

/*
 * Kicks a ring that has no kick descriptor (VRING_KICK, "In-band
 * notifications"). VH_CAP_INBAND.
 */
VH_API VH_MUST_CHECK int vh_backend_kick_vring(struct vh_backend *backend,
					       uint32_t queue);

/*
 * The dma-buf of an object that the device shares, by its UUID of 16 bytes
 * (GET_SHARED_OBJECT). It is the caller's, to be closed. VH_CAP_SHARED_OBJECT.
 * -ENOENT: there is none.
 */
VH_API VH_MUST_CHECK int
vh_backend_get_shared_object(struct vh_backend *backend, const uint8_t *uuid,
			     int *ret_fd);

/* How large the device's shared memory regions are, in bytes, by their id. */
struct vh_shmem_config {
	uint32_t count; /* of those that have a size */
	uint64_t sizes[256];
};

/* GET_SHMEM_CONFIG. VH_CAP_SHMEM. */
VH_API VH_MUST_CHECK int
vh_backend_get_shmem_config(struct vh_backend *backend,
			    struct vh_shmem_config *ret_config);

/* Which way the device's state goes. */
enum {
	VH_DEVICE_STATE_SAVE = 0,
	VH_DEVICE_STATE_LOAD = 1,
};

/*
 * Begins to transfer the device's state (SET_DEVICE_STATE_FD), while all rings
 * are stopped, through a pipe of which the device gets this end. *ret_fd is
 * another one that it would rather have, the caller's to close, or -1. When
 * the end of the data has gone through, vh_backend_check_device_state() tells
 * what came of it. VH_CAP_DEVICE_STATE. -EBUSY: a ring is started.
 */
VH_API VH_MUST_CHECK int
vh_backend_set_device_state_fd(struct vh_backend *backend, uint32_t direction,
			       int fd, int *ret_fd);

/* Waits for the end of the transfer (CHECK_DEVICE_STATE). */
VH_API VH_MUST_CHECK int
vh_backend_check_device_state(struct vh_backend *backend);

/*
 * As vh_backend_get_vring_base(), but what is in flight isn't waited for and
 * stays noted in the in-flight area (GET_VRING_BASE_SKIP_DRAIN).
 * VH_CAP_SKIP_DRAIN. -EINVAL: no area was set.
 */
VH_API VH_MUST_CHECK int
vh_backend_get_vring_base_skip_drain(struct vh_backend *backend, uint32_t queue,
				     uint32_t *ret_base);

/*
 * Postcopy migration (vhost-user, "Migration"),
 * VH_CAP_POSTCOPY, in this order: advise gives the userfaultfd through which
 * the back-end's faults come, the caller's to close; listen begins; set_memory
 * is vh_backend_set_mem_table() for at most 8 regions, and tells at which of
 * its own addresses the back-end has each; ready says that the faults of those
 * are taken care of; end ends. -EPROTO: not in this order.
 */
VH_API VH_MUST_CHECK int vh_backend_postcopy_advise(struct vh_backend *backend,
						    int *ret_fd);
/* POSTCOPY_LISTEN; see vh_backend_postcopy_advise(). */
VH_API VH_MUST_CHECK int vh_backend_postcopy_listen(struct vh_backend *backend);
/* SET_MEM_TABLE; ret_addresses has room for count. */
VH_API VH_MUST_CHECK int
vh_backend_postcopy_set_memory(struct vh_backend *backend,
			       const struct vh_region regions[],
			       unsigned int count, uint64_t ret_addresses[]);
/* The SET_MEM_TABLE that follows; see vh_backend_postcopy_advise(). */
VH_API VH_MUST_CHECK int vh_backend_postcopy_ready(struct vh_backend *backend);
/* POSTCOPY_END; see vh_backend_postcopy_advise(). */
VH_API VH_MUST_CHECK int vh_backend_postcopy_end(struct vh_backend *backend);

#ifdef __cplusplus
}
#endif

#endif /* LIBVHOST_SPECIAL_H */
