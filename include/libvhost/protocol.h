/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * libvhost: the vhost-user wire: one table of all messages, and functions
 * that turn bytes into checked messages and back.
 *
 * Everything here is pure: no socket, no allocation, no state, so any thread
 * may call it. Numbers are in host byte order, as the protocol wants. Section
 * names are those of the vhost-user protocol specification.
 */
#ifndef LIBVHOST_PROTOCOL_H
#define LIBVHOST_PROTOCOL_H

#include <libvhost/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Header: request id, flags, payload size; 32 bits each. */
#define VH_USER_HEADER_SIZE	12
#define VH_USER_VERSION		1u
#define VH_USER_VERSION_MASK	3u
#define VH_USER_FLAG_REPLY	(1u << 2)
#define VH_USER_FLAG_NEED_REPLY (1u << 3)

/* A message carries at most so many descriptors. */
#define VH_USER_MAX_FDS		  8
#define VH_USER_MAX_TABLE_REGIONS 8
#define VH_USER_MAX_CONFIG	  256
#define VH_USER_MAX_SHMEM	  256
/* The largest payload there is, that of GET_SHMEM_CONFIG's reply. */
#define VH_USER_MAX_PAYLOAD 2056

/* Front-end requests. */
enum {
	VH_USER_GET_FEATURES = 1,
	VH_USER_SET_FEATURES = 2,
	VH_USER_SET_OWNER = 3,
	VH_USER_RESET_OWNER = 4,
	VH_USER_SET_MEM_TABLE = 5,
	VH_USER_SET_LOG_BASE = 6,
	VH_USER_SET_LOG_FD = 7,
	VH_USER_SET_VRING_NUM = 8,
	VH_USER_SET_VRING_ADDR = 9,
	VH_USER_SET_VRING_BASE = 10,
	VH_USER_GET_VRING_BASE = 11,
	VH_USER_SET_VRING_KICK = 12,
	VH_USER_SET_VRING_CALL = 13,
	VH_USER_SET_VRING_ERR = 14,
	VH_USER_GET_PROTOCOL_FEATURES = 15,
	VH_USER_SET_PROTOCOL_FEATURES = 16,
	VH_USER_GET_QUEUE_NUM = 17,
	VH_USER_SET_VRING_ENABLE = 18,
	VH_USER_SEND_RARP = 19,
	VH_USER_NET_SET_MTU = 20,
	VH_USER_SET_BACKEND_REQ_FD = 21,
	VH_USER_IOTLB_MSG = 22,
	VH_USER_SET_VRING_ENDIAN = 23,
	VH_USER_GET_CONFIG = 24,
	VH_USER_SET_CONFIG = 25,
	VH_USER_CREATE_CRYPTO_SESSION = 26,
	VH_USER_CLOSE_CRYPTO_SESSION = 27,
	VH_USER_POSTCOPY_ADVISE = 28,
	VH_USER_POSTCOPY_LISTEN = 29,
	VH_USER_POSTCOPY_END = 30,
	VH_USER_GET_INFLIGHT_FD = 31,
	VH_USER_SET_INFLIGHT_FD = 32,
	VH_USER_GPU_SET_SOCKET = 33,
	VH_USER_RESET_DEVICE = 34,
	VH_USER_VRING_KICK = 35,
	VH_USER_GET_MAX_MEM_SLOTS = 36,
	VH_USER_ADD_MEM_REG = 37,
	VH_USER_REM_MEM_REG = 38,
	VH_USER_SET_STATUS = 39,
	VH_USER_GET_STATUS = 40,
	VH_USER_GET_SHARED_OBJECT = 41,
	VH_USER_SET_DEVICE_STATE_FD = 42,
	VH_USER_CHECK_DEVICE_STATE = 43,
	VH_USER_GET_SHMEM_CONFIG = 44,
	VH_USER_GET_VRING_BASE_SKIP_DRAIN = 45,
	VH_USER_REQUEST_MAX = 45,
};

/* Back-end requests, over the socket of SET_BACKEND_REQ_FD. */
enum {
	VH_USER_BACKEND_IOTLB_MSG = 1,
	VH_USER_BACKEND_CONFIG_CHANGE_MSG = 2,
	VH_USER_BACKEND_VRING_HOST_NOTIFIER_MSG = 3,
	VH_USER_BACKEND_VRING_CALL = 4,
	VH_USER_BACKEND_VRING_ERR = 5,
	VH_USER_BACKEND_SHARED_OBJECT_ADD = 6,
	VH_USER_BACKEND_SHARED_OBJECT_REMOVE = 7,
	VH_USER_BACKEND_SHARED_OBJECT_LOOKUP = 8,
	VH_USER_BACKEND_SHMEM_MAP = 9,
	VH_USER_BACKEND_SHMEM_UNMAP = 10,
	VH_USER_BACKEND_REQUEST_MAX = 10,
};

/* The bit among the virtio features that is the protocol's own. */
#define VH_USER_F_PROTOCOL_FEATURES 30

/* Protocol feature bits. */
enum {
	VH_USER_PROTOCOL_F_MQ = 0,
	VH_USER_PROTOCOL_F_LOG_SHMFD = 1,
	VH_USER_PROTOCOL_F_RARP = 2,
	VH_USER_PROTOCOL_F_REPLY_ACK = 3,
	VH_USER_PROTOCOL_F_MTU = 4,
	VH_USER_PROTOCOL_F_BACKEND_REQ = 5,
	VH_USER_PROTOCOL_F_CROSS_ENDIAN = 6,
	VH_USER_PROTOCOL_F_CRYPTO_SESSION = 7,
	VH_USER_PROTOCOL_F_PAGEFAULT = 8,
	VH_USER_PROTOCOL_F_CONFIG = 9,
	VH_USER_PROTOCOL_F_BACKEND_SEND_FD = 10,
	VH_USER_PROTOCOL_F_HOST_NOTIFIER = 11,
	VH_USER_PROTOCOL_F_INFLIGHT_SHMFD = 12,
	VH_USER_PROTOCOL_F_RESET_DEVICE = 13,
	VH_USER_PROTOCOL_F_INBAND_NOTIFICATIONS = 14,
	VH_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS = 15,
	VH_USER_PROTOCOL_F_STATUS = 16,
	VH_USER_PROTOCOL_F_XEN_MMAP = 17,
	VH_USER_PROTOCOL_F_SHARED_OBJECT = 18,
	VH_USER_PROTOCOL_F_DEVICE_STATE = 19,
	VH_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT = 20,
	VH_USER_PROTOCOL_F_GPA_ADDRESSES = 21,
	VH_USER_PROTOCOL_F_SHMEM = 22,
	VH_USER_PROTOCOL_F_GET_VRING_BASE_SKIP_DRAIN = 23,
	VH_USER_PROTOCOL_F_MAX = 23,
};

/* Who sends a request. Ids of the two directions overlap. */
enum {
	VH_USER_FROM_FRONTEND = 0,
	VH_USER_FROM_BACKEND = 1,
};

/* What a payload looks like: which member of struct vh_message's union. */
enum {
	VH_PAYLOAD_NONE = 0,	  /* - */
	VH_PAYLOAD_U64,		  /* u64 */
	VH_PAYLOAD_VRING_STATE,	  /* state */
	VH_PAYLOAD_VRING_ADDR,	  /* addr */
	VH_PAYLOAD_VRING_FD,	  /* vring_fd */
	VH_PAYLOAD_MEM_TABLE,	  /* mem_table */
	VH_PAYLOAD_MEM_REGION,	  /* mem_region */
	VH_PAYLOAD_LOG,		  /* log */
	VH_PAYLOAD_IOTLB,	  /* iotlb */
	VH_PAYLOAD_CONFIG,	  /* config */
	VH_PAYLOAD_VRING_AREA,	  /* area */
	VH_PAYLOAD_INFLIGHT,	  /* inflight */
	VH_PAYLOAD_CRYPTO,	  /* crypto */
	VH_PAYLOAD_SHARED_OBJECT, /* object */
	VH_PAYLOAD_DEVICE_STATE,  /* device_state */
	VH_PAYLOAD_MMAP,	  /* mmap */
	VH_PAYLOAD_SHMEM_CONFIG,  /* shmem */
};

/* When a request is answered. */
enum {
	/* with an acknowledgement (u64, 0: success), if it asks for one */
	VH_REPLY_ACK = 0,
	/* always */
	VH_REPLY_ALWAYS = 1,
	/* always if LOG_SHMFD is negotiated, else VH_REPLY_ACK */
	VH_REPLY_IF_LOG_SHMFD = 2,
};

/* How many descriptors come with a message. */
enum {
	VH_FDS_EXACT = 0,	 /* as many as .fds says */
	VH_FDS_AT_MOST = 1,	 /* up to .fds; the rest of the rule is the
				  * receiver's */
	VH_FDS_UNLESS_NOFD = 2,	 /* 1, or 0 with the "no descriptor" flag */
	VH_FDS_PER_REGION = 3,	 /* one for each region of the table */
	VH_FDS_IF_LOG_SHMFD = 4, /* 1 if LOG_SHMFD is negotiated, else 0 */
};

/* What a message about the IOTLB is ("An IOTLB message"). */
enum {
	VH_USER_IOTLB_MISS = 1, /* from the back-end */
	VH_USER_IOTLB_UPDATE = 2,
	VH_USER_IOTLB_INVALIDATE = 3,
	VH_USER_IOTLB_ACCESS_FAIL = 4, /* from the back-end */
};

/* One row of the message table. */
struct vh_message_info {
	uint32_t id;
	const char *name;  /* as in the specification, prefix cut off */
	uint32_t size_min; /* payload bytes of the request */
	uint32_t size_max;
	uint32_t reply_size_min; /* of the reply (not of an acknowledgement) */
	uint32_t reply_size_max;
	uint8_t payload;	    /* VH_PAYLOAD_... of the request */
	uint8_t reply_payload;	    /* of the reply */
	uint8_t reply;		    /* VH_REPLY_... */
	uint8_t fds_rule;	    /* VH_FDS_... */
	uint8_t fds;		    /* number, with VH_FDS_EXACT and _AT_MOST */
	uint8_t reply_fds;	    /* the most descriptors in the reply */
	uint64_t features;	    /* virtio feature bits that it needs */
	uint64_t protocol_features; /* protocol feature bits that it needs */
	const char *section;	    /* of the specification */
};

/*
 * The row of a request, or NULL if there is none. direction is
 * VH_USER_FROM_.... Static.
 */
VH_API const struct vh_message_info *vh_message_info(uint32_t direction,
						     uint32_t id);

/* The name of a protocol feature bit, as "REPLY_ACK", or NULL. Static. */
VH_API const char *vh_protocol_feature_name(unsigned int bit);

struct vh_message_region {
	uint64_t guest;
	uint64_t size;
	uint64_t user;
	uint64_t mmap_offset;
	uint32_t xen_flags; /* these two with XEN_MMAP only, else 0 */
	uint32_t xen_domid;
};

/*
 * A message, decoded. Pointers point into the buffer that was decoded, or,
 * for encoding, to what the caller has.
 */
struct vh_message {
	uint32_t id;
	uint32_t flags;	      /* as in the header */
	uint8_t payload;      /* VH_PAYLOAD_...: which member counts */
	__extension__ union { /* C99 and C++ know it only as an extension */
		uint64_t u64;
		struct {
			uint32_t index;
			uint32_t num;
		} state;
		struct {
			uint32_t index;
			uint32_t flags;
			uint64_t descriptors;
			uint64_t used;
			uint64_t available;
			uint64_t log;
		} addr;
		struct {
			uint32_t index; /* 0 to 255 */
			bool nofd;	/* poll instead; no descriptor comes */
		} vring_fd;
		struct {
			uint32_t count;
			struct vh_message_region
			    regions[VH_USER_MAX_TABLE_REGIONS];
		} mem_table;
		struct vh_message_region mem_region;
		struct {
			uint64_t size;
			uint64_t offset;
		} log;
		struct {
			uint64_t iova;
			uint64_t size;
			uint64_t user;
			uint8_t perm; /* bit 0 read, bit 1 write */
			uint8_t type; /* VH_USER_IOTLB_... */
		} iotlb;
		struct {
			uint32_t offset;
			uint32_t size;
			uint32_t flags;
			const uint8_t *data; /* size bytes */
		} config;
		struct {
			uint32_t index;
			bool nofd;
			uint64_t size;
			uint64_t offset;
		} area;
		struct {
			uint64_t mmap_size;
			uint64_t mmap_offset;
			uint16_t num_queues;
			uint16_t queue_size;
		} inflight;
		struct {
			int64_t session_id;
			const uint8_t *data; /* the 624 bytes that follow */
		} crypto;
		struct {
			uint8_t uuid[16];
		} object;
		struct {
			uint32_t direction; /* 0 save, 1 load */
			uint32_t phase;
		} device_state;
		struct {
			uint8_t shmid;
			uint64_t fd_offset;
			uint64_t shm_offset;
			uint64_t len;
			uint64_t flags;
		} mmap;
		struct {
			uint32_t count;
			uint64_t sizes[VH_USER_MAX_SHMEM];
		} shmem;
	};
};

/* What was negotiated, as far as it changes how messages look. */
struct vh_message_context {
	uint64_t features;
	uint64_t protocol_features;
};

struct vh_message_header {
	uint32_t id;
	uint32_t flags;
	uint32_t size;
};

/*
 * Reads a header of VH_USER_HEADER_SIZE bytes ("Header"). Checks nothing:
 * every value is possible.
 */
VH_API void vh_message_header_decode(const uint8_t *bytes,
				     struct vh_message_header *ret_header);

/*
 * Decodes and checks a request: version, flags, id, payload size, number of
 * descriptors, that the features it needs are negotiated, and that each
 * field is one that the specification allows (indices are checked against
 * the payload's own width; how many queues there are is the receiver's to
 * know). payload holds header->size bytes. Reads nothing beyond.
 *
 * Pointers in *ret_message point into payload. The descriptors themselves
 * are the receiver's; only their number is looked at.
 *
 * Returns 0, or -EPROTO (flags, size, descriptors), -ENOSYS (unknown id),
 * -EOPNOTSUPP (feature not negotiated), -EINVAL (a field), with words in
 * *fault if that isn't NULL.
 */
VH_API VH_MUST_CHECK int
vh_message_decode(uint32_t direction, const struct vh_message_context *context,
		  const struct vh_message_header *header,
		  const uint8_t *payload, unsigned int fds,
		  struct vh_fault *fault, struct vh_message *ret_message);

/*
 * Decodes and checks a reply to request id, which asked for an
 * acknowledgement (acked) or has a reply of its own: the id, that the flags
 * are exactly version and REPLY, size and descriptors. Whether the value of
 * an acknowledgement means success is the caller's to look at.
 *
 * Returns 0, or -EPROTO (id, flags, size, descriptors, or a reply that wasn't
 * due), -EREMOTEIO (a reply of the size that means "error": GET_CONFIG's of
 * 0), -EINVAL (a field), -ENOSYS (id isn't known), with words in *fault if
 * that isn't NULL.
 */
VH_API VH_MUST_CHECK int vh_message_decode_reply(
    uint32_t direction, const struct vh_message_context *context, uint32_t id,
    bool acked, const struct vh_message_header *header, const uint8_t *payload,
    unsigned int fds, struct vh_fault *fault, struct vh_message *ret_message);

/*
 * Encodes header and payload into buffer of size bytes, with padding zeroed.
 * flags gets the version; whether the id goes with the payload isn't checked.
 * VH_USER_HEADER_SIZE + VH_USER_MAX_PAYLOAD bytes are enough for any. Returns
 * the number of bytes, or -ENOBUFS if buffer is too small, or -EINVAL if a
 * field doesn't fit its layout.
 */
VH_API VH_MUST_CHECK int
vh_message_encode(const struct vh_message_context *context,
		  const struct vh_message *message, uint8_t *buffer,
		  size_t size);

#ifdef __cplusplus
}
#endif

#endif /* LIBVHOST_PROTOCOL_H */
