/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A vhost-user front-end for tests and benchmarks.
 *
 * It builds and reads messages by itself, from the specification's numbers
 * and not from the library's, so that an error there can't cancel out. It
 * can also send what no decent front-end sends.
 *
 * Functions return 0 (or what they say) or
 *   -EPIPE      the peer closed the connection
 *   -ETIMEDOUT  it neither answered nor closed within fe->timeout_ms
 *   -EBADMSG    it answered with something that doesn't fit
 *   -EREMOTEIO  it answered that the request failed
 */
#ifndef SUPPORT_FRONTEND_H
#define SUPPORT_FRONTEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FE_TIMEOUT_MS  30000
#define FE_HEADER      12
#define FE_MAX_PAYLOAD 4096
#define FE_MAX_FDS     64

/* header flags */
#define FE_VERSION    1u
#define FE_REPLY      4u
#define FE_NEED_REPLY 8u

enum {
	FE_GET_FEATURES = 1,
	FE_SET_FEATURES = 2,
	FE_SET_OWNER = 3,
	FE_RESET_OWNER = 4,
	FE_SET_MEM_TABLE = 5,
	FE_SET_LOG_BASE = 6,
	FE_SET_LOG_FD = 7,
	FE_SET_VRING_NUM = 8,
	FE_SET_VRING_ADDR = 9,
	FE_SET_VRING_BASE = 10,
	FE_GET_VRING_BASE = 11,
	FE_SET_VRING_KICK = 12,
	FE_SET_VRING_CALL = 13,
	FE_SET_VRING_ERR = 14,
	FE_GET_PROTOCOL_FEATURES = 15,
	FE_SET_PROTOCOL_FEATURES = 16,
	FE_GET_QUEUE_NUM = 17,
	FE_SET_VRING_ENABLE = 18,
	FE_SET_BACKEND_REQ_FD = 21,
	FE_IOTLB_MSG = 22,
	FE_GET_CONFIG = 24,
	FE_SET_CONFIG = 25,
	FE_GET_INFLIGHT_FD = 31,
	FE_SET_INFLIGHT_FD = 32,
	FE_RESET_DEVICE = 34,
	FE_GET_MAX_MEM_SLOTS = 36,
	FE_ADD_MEM_REG = 37,
	FE_REM_MEM_REG = 38,
	FE_SET_STATUS = 39,
	FE_GET_STATUS = 40,
	FE_LAST_REQUEST = 45,
};

/* types of IOTLB messages, and back-end requests */
enum {
	FE_IOTLB_MISS = 1,
	FE_IOTLB_UPDATE = 2,
	FE_IOTLB_INVALIDATE = 3,
	FE_BACKEND_IOTLB_MSG = 1,
};

#define FE_BIT(n) (UINT64_C(1) << (n))

/* feature bits */
#define FE_F_LOG_ALL	       FE_BIT(26)
#define FE_F_INDIRECT	       FE_BIT(28)
#define FE_F_EVENT_IDX	       FE_BIT(29)
#define FE_F_PROTOCOL_FEATURES FE_BIT(30)
#define FE_F_VERSION_1	       FE_BIT(32)
#define FE_F_ACCESS_PLATFORM   FE_BIT(33)
#define FE_F_PACKED	       FE_BIT(34)
#define FE_F_IN_ORDER	       FE_BIT(35)
#define FE_F_RING_RESET	       FE_BIT(40)

/* protocol feature bits */
#define FE_PF_MQ	   FE_BIT(0)
#define FE_PF_LOG_SHMFD	   FE_BIT(1)
#define FE_PF_REPLY_ACK	   FE_BIT(3)
#define FE_PF_BACKEND_REQ  FE_BIT(5)
#define FE_PF_CONFIG	   FE_BIT(9)
#define FE_PF_INFLIGHT	   FE_BIT(12)
#define FE_PF_RESET_DEVICE FE_BIT(13)
#define FE_PF_MEM_SLOTS	   FE_BIT(15)
#define FE_PF_STATUS	   FE_BIT(16)

struct frontend {
	int sock;
	int timeout_ms;
	/* ask for an acknowledgement of every request without a reply, and
	 * wait for it */
	bool acks;
	uint64_t last_ack; /* its value */
	size_t chunk;	   /* bytes in one send; 0: all */
};

struct fe_region {
	uint64_t guest;
	uint64_t size;
	uint64_t user;
	uint64_t offset;
	int fd;
};

struct fe_vring_addr {
	uint32_t index;
	uint32_t flags;
	uint64_t desc;
	uint64_t used;
	uint64_t avail;
	uint64_t log;
};

struct fe_inflight {
	uint64_t mmap_size;
	uint64_t mmap_offset;
	uint16_t num_queues;
	uint16_t queue_size;
};

struct fe_iotlb {
	uint64_t iova;
	uint64_t size;
	uint64_t user;
	uint8_t perm;
	uint8_t type;
};

/* A message to be sent as it stands, right or wrong. */
struct fe_message {
	uint32_t id;
	uint32_t flags;
	uint32_t size; /* what the header says */
	const void *payload;
	size_t length; /* what is sent */
	const int *fds;
	unsigned int num_fds;
};

struct fe_reply {
	uint32_t id;
	uint32_t flags;
	uint32_t size;
	uint8_t payload[FE_MAX_PAYLOAD];
	int fds[FE_MAX_FDS]; /* the caller's to close: fe_reply_close() */
	unsigned int num_fds;
};

/* The milliseconds of a clock that only goes forward. */
int64_t fe_now_ms(void);

/* Waits until fd is readable or closed: 0 or -ETIMEDOUT. */
int fe_wait_readable(int fd, int timeout_ms);

/* Connects; waits for a server that isn't there yet. */
int fe_connect(struct frontend *fe, const char *path);

/* Takes a connected socket. */
void fe_attach(struct frontend *fe, int sock);
void fe_close(struct frontend *fe);

/* Sends bytes; the descriptors go with the first one. */
int fe_send_bytes(struct frontend *fe, const void *bytes, size_t length,
		  const int *fds, unsigned int num_fds);
int fe_send(struct frontend *fe, const struct fe_message *message);

/* Receives one message, whatever it is. */
int fe_receive(struct frontend *fe, struct fe_reply *reply);
void fe_reply_close(struct fe_reply *reply);

/* Receives the answer to id: the flags must be version and reply. */
int fe_receive_for(struct frontend *fe, uint32_t id, struct fe_reply *reply);

/* Waits until the peer has closed: 0, or -EBADMSG if it sends something. */
int fe_wait_closed(struct frontend *fe);

/* A request without a reply of its own; acknowledged if fe->acks. */
int fe_request(struct frontend *fe, uint32_t id, const void *payload,
	       uint32_t size, const int *fds, unsigned int num_fds);
int fe_command(struct frontend *fe, uint32_t id); /* no payload */
int fe_set_u64(struct frontend *fe, uint32_t id, uint64_t value);
int fe_set_vring(struct frontend *fe, uint32_t id, uint32_t index,
		 uint32_t num);
/* KICK, CALL, ERR; fd -1 sets the "no descriptor" flag */
int fe_set_vring_fd(struct frontend *fe, uint32_t id, uint64_t index, int fd);
int fe_set_vring_addr(struct frontend *fe, const struct fe_vring_addr *addr);
int fe_set_mem_table(struct frontend *fe, const struct fe_region regions[],
		     unsigned int count);
int fe_add_region(struct frontend *fe, const struct fe_region *region);
int fe_remove_region(struct frontend *fe, const struct fe_region *region);
int fe_set_config(struct frontend *fe, uint32_t offset, const void *data,
		  uint32_t size, uint32_t flags);
int fe_set_fd(struct frontend *fe, uint32_t id, int fd); /* no payload */
int fe_set_inflight(struct frontend *fe, const struct fe_inflight *area,
		    int fd);

/* Requests with a reply. */
/* -EREMOTEIO: the reply isn't 0 */
int fe_set_log_base(struct frontend *fe, uint64_t size, uint64_t offset,
		    int fd);
int fe_send_iotlb(struct frontend *fe, const struct fe_iotlb *entry);
int fe_get_u64(struct frontend *fe, uint32_t id, uint64_t *ret_value);
int fe_get_vring_base(struct frontend *fe, uint32_t index, uint32_t *ret_base);
/* -EREMOTEIO: the reply was empty */
int fe_get_config(struct frontend *fe, uint32_t offset, void *data,
		  uint32_t size);
int fe_get_inflight(struct frontend *fe, struct fe_inflight *area, int *ret_fd);

/* What a back-end asks for through another connection. */
int fe_receive_iotlb(struct frontend *reverse, struct fe_iotlb *ret_entry);

/* A request that is always answered: everything before it was read. */
int fe_sync(struct frontend *fe);

/*
 * The first steps of a connection: features, protocol features (those that
 * are offered and wanted), owner. fe->acks is switched on if REPLY_ACK is
 * among them. Both masks are narrowed to what was agreed.
 */
int fe_negotiate(struct frontend *fe, uint64_t *features,
		 uint64_t *protocol_features);

/* Layouts, for tests that send them in wrong ways. */
size_t fe_pack_region(uint8_t *bytes, const struct fe_region *region);
size_t fe_pack_single_region(uint8_t *bytes, const struct fe_region *region);
size_t fe_pack_vring_addr(uint8_t *bytes, const struct fe_vring_addr *addr);

#endif
