/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The message table. A row begins with the request's name and goes on with
 * what it carries (its layout, CARRIES_FDS), when and how it is answered
 * (GIVES...), and what must be negotiated before it may be sent (NEEDS).
 * What a row doesn't say is zero: no payload, no descriptors, an answer only
 * if the sender asks for an acknowledgement, no gate.
 *
 * SET_VRING_ENABLE has no gate although the text wants bit 30 negotiated:
 * QEMU's network device sends it before SET_FEATURES. GET_PROTOCOL_FEATURES
 * and SET_PROTOCOL_FEATURES need that bit to be offered only. NET_SET_MTU
 * comes before SET_FEATURES too, so VIRTIO_NET_F_MTU isn't its gate.
 */
#include <base/check.h>

#include "wire.h"

#define BIT(n)			 (UINT64_C(1) << (n))
#define VIRTIO_F_ACCESS_PLATFORM 33

#define LAYOUT(layout, min, max)                                               \
	.payload = VH_PAYLOAD_##layout, .size_min = (min), .size_max = (max)
#define GIVES(layout, min, max)                                                \
	.reply = VH_REPLY_ALWAYS, .reply_payload = VH_PAYLOAD_##layout,        \
	.reply_size_min = (min), .reply_size_max = (max)
#define GIVES_FD		  .reply_fds = 1
#define CARRIES_FDS(rule, number) .fds_rule = VH_FDS_##rule, .fds = (number)
#define NEEDS(bit)		  .protocol_features = BIT(VH_USER_PROTOCOL_F_##bit)
#define NEEDS_IOMMU		  .features = BIT(VIRTIO_F_ACCESS_PLATFORM)

#define U64			  LAYOUT(U64, 8, 8)
#define STATE			  LAYOUT(VRING_STATE, 8, 8)
#define ADDR			  LAYOUT(VRING_ADDR, 40, 40)
#define VRING_FD		  LAYOUT(VRING_FD, 8, 8), CARRIES_FDS(UNLESS_NOFD, 0)
/* The larger sizes of regions are those with XEN_MMAP. */
#define MEM_TABLE                                                              \
	LAYOUT(MEM_TABLE, 8,                                                   \
	       8 + VH_USER_MAX_TABLE_REGIONS * VHI_REGION_SIZE_XEN)
#define MEM_REGION                                                             \
	LAYOUT(MEM_REGION, 8 + VHI_REGION_SIZE, 8 + VHI_REGION_SIZE_XEN)
#define IOTLB	    LAYOUT(IOTLB, 32, 32)
#define CONFIG_MIN  (VHI_CONFIG_HEADER_SIZE + 1)
#define CONFIG_MAX  (VHI_CONFIG_HEADER_SIZE + VH_USER_MAX_CONFIG)
#define CONFIG	    LAYOUT(CONFIG, CONFIG_MIN, CONFIG_MAX)
#define CRYPTO_SIZE (8 + VHI_CRYPTO_DATA_SIZE)
/* The text has 20 bytes, a C compiler's padding makes them 24. */
#define INFLIGHT  LAYOUT(INFLIGHT, 20, 24)
#define OBJECT	  LAYOUT(SHARED_OBJECT, 16, 16)
#define MMAP	  LAYOUT(MMAP, 40, 40)
#define GIVES_U64 GIVES(U64, 8, 8)

#define FRONT(row_name, ...)                                                   \
	[VH_USER_##row_name] = {.id = VH_USER_##row_name,                      \
				.name = #row_name,                             \
				.section = "Front-end message types, "         \
					   "VHOST_USER_" #row_name,            \
				__VA_ARGS__}
#define BACK(row_name, ...)                                                    \
	[VH_USER_##row_name] = {.id = VH_USER_##row_name,                      \
				.name = #row_name,                             \
				.section = "Back-end message types, "          \
					   "VHOST_USER_" #row_name,            \
				__VA_ARGS__}

/* clang-format off */
static const struct vh_message_info from_frontend[] = {
	FRONT(GET_FEATURES, GIVES_U64),
	FRONT(SET_FEATURES, U64),
	FRONT(SET_OWNER),
	FRONT(RESET_OWNER),
	/* The table comes back during postcopy only. */
	FRONT(SET_MEM_TABLE, MEM_TABLE, CARRIES_FDS(PER_REGION, 0),
	      .reply_payload = VH_PAYLOAD_MEM_TABLE, .reply_size_min = 8,
	      .reply_size_max =
		8 + VH_USER_MAX_TABLE_REGIONS * VHI_REGION_SIZE_XEN),
	/* Back-ends answer with nothing, a number or the log description. */
	FRONT(SET_LOG_BASE, LAYOUT(LOG, 8, 16), CARRIES_FDS(IF_LOG_SHMFD, 0),
	      .reply = VH_REPLY_IF_LOG_SHMFD,
	      .reply_payload = VH_PAYLOAD_U64, .reply_size_max = 16),
	FRONT(SET_LOG_FD, CARRIES_FDS(EXACT, 1)),
	FRONT(SET_VRING_NUM, STATE),
	FRONT(SET_VRING_ADDR, ADDR),
	FRONT(SET_VRING_BASE, STATE),
	FRONT(GET_VRING_BASE, STATE, GIVES(VRING_STATE, 8, 8)),
	FRONT(SET_VRING_KICK, VRING_FD),
	FRONT(SET_VRING_CALL, VRING_FD),
	FRONT(SET_VRING_ERR, VRING_FD),
	FRONT(GET_PROTOCOL_FEATURES, GIVES_U64),
	FRONT(SET_PROTOCOL_FEATURES, U64),
	FRONT(GET_QUEUE_NUM, GIVES_U64, NEEDS(MQ)),
	FRONT(SET_VRING_ENABLE, STATE),
	FRONT(SEND_RARP, U64, NEEDS(RARP)),
	FRONT(NET_SET_MTU, U64, NEEDS(MTU)),
	FRONT(SET_BACKEND_REQ_FD, CARRIES_FDS(EXACT, 1), NEEDS(BACKEND_REQ)),
	FRONT(IOTLB_MSG, IOTLB, GIVES_U64, NEEDS_IOMMU),
	FRONT(SET_VRING_ENDIAN, STATE, NEEDS(CROSS_ENDIAN)),
	/* An empty reply says that it failed. */
	FRONT(GET_CONFIG, CONFIG, GIVES(CONFIG, CONFIG_MIN, CONFIG_MAX),
	      NEEDS(CONFIG)),
	FRONT(SET_CONFIG, CONFIG, NEEDS(CONFIG)),
	FRONT(CREATE_CRYPTO_SESSION, LAYOUT(CRYPTO, CRYPTO_SIZE, CRYPTO_SIZE),
	      GIVES(CRYPTO, CRYPTO_SIZE, CRYPTO_SIZE), NEEDS(CRYPTO_SESSION)),
	FRONT(CLOSE_CRYPTO_SESSION, U64, NEEDS(CRYPTO_SESSION)),
	FRONT(POSTCOPY_ADVISE, GIVES(NONE, 0, 0), GIVES_FD, NEEDS(PAGEFAULT)),
	FRONT(POSTCOPY_LISTEN, NEEDS(PAGEFAULT)),
	FRONT(POSTCOPY_END, GIVES_U64, NEEDS(PAGEFAULT)),
	FRONT(GET_INFLIGHT_FD, INFLIGHT, GIVES(INFLIGHT, 20, 24), GIVES_FD,
	      NEEDS(INFLIGHT_SHMFD)),
	FRONT(SET_INFLIGHT_FD, INFLIGHT, CARRIES_FDS(EXACT, 1),
	      NEEDS(INFLIGHT_SHMFD)),
	FRONT(GPU_SET_SOCKET, CARRIES_FDS(EXACT, 1)),
	FRONT(RESET_DEVICE, NEEDS(RESET_DEVICE)),
	FRONT(VRING_KICK, STATE, NEEDS(INBAND_NOTIFICATIONS)),
	FRONT(GET_MAX_MEM_SLOTS, GIVES_U64, NEEDS(CONFIGURE_MEM_SLOTS)),
	FRONT(ADD_MEM_REG, MEM_REGION, CARRIES_FDS(EXACT, 1),
	      NEEDS(CONFIGURE_MEM_SLOTS)),
	/* One that comes nevertheless must be closed unused. */
	FRONT(REM_MEM_REG, MEM_REGION, CARRIES_FDS(AT_MOST, 1),
	      NEEDS(CONFIGURE_MEM_SLOTS)),
	FRONT(SET_STATUS, U64, NEEDS(STATUS)),
	FRONT(GET_STATUS, GIVES_U64, NEEDS(STATUS)),
	/* The text has a descriptor only, back-ends send the UUID back. */
	FRONT(GET_SHARED_OBJECT, OBJECT, GIVES(SHARED_OBJECT, 0, 16),
	      GIVES_FD, NEEDS(SHARED_OBJECT)),
	FRONT(SET_DEVICE_STATE_FD, LAYOUT(DEVICE_STATE, 8, 8),
	      CARRIES_FDS(EXACT, 1), GIVES_U64, GIVES_FD,
	      NEEDS(DEVICE_STATE)),
	FRONT(CHECK_DEVICE_STATE, GIVES_U64, NEEDS(DEVICE_STATE)),
	FRONT(GET_SHMEM_CONFIG, GIVES(SHMEM_CONFIG, 2056, 2056),
	      NEEDS(SHMEM)),
	FRONT(GET_VRING_BASE_SKIP_DRAIN, STATE, GIVES(VRING_STATE, 8, 8),
	      NEEDS(GET_VRING_BASE_SKIP_DRAIN)),
};

/* Those that carry a descriptor need BACKEND_SEND_FD as well. */
static const struct vh_message_info from_backend[] = {
	BACK(BACKEND_IOTLB_MSG, IOTLB, NEEDS_IOMMU),
	BACK(BACKEND_CONFIG_CHANGE_MSG, NEEDS(CONFIG)),
	BACK(BACKEND_VRING_HOST_NOTIFIER_MSG, LAYOUT(VRING_AREA, 24, 24),
	     CARRIES_FDS(UNLESS_NOFD, 0), NEEDS(HOST_NOTIFIER)),
	BACK(BACKEND_VRING_CALL, STATE, NEEDS(INBAND_NOTIFICATIONS)),
	BACK(BACKEND_VRING_ERR, STATE, NEEDS(INBAND_NOTIFICATIONS)),
	BACK(BACKEND_SHARED_OBJECT_ADD, OBJECT, NEEDS(SHARED_OBJECT)),
	BACK(BACKEND_SHARED_OBJECT_REMOVE, OBJECT, NEEDS(SHARED_OBJECT)),
	BACK(BACKEND_SHARED_OBJECT_LOOKUP, OBJECT, GIVES_U64, GIVES_FD,
	     NEEDS(SHARED_OBJECT)),
	BACK(BACKEND_SHMEM_MAP, MMAP, CARRIES_FDS(EXACT, 1), NEEDS(SHMEM)),
	BACK(BACKEND_SHMEM_UNMAP, MMAP, NEEDS(SHMEM)),
};
/* clang-format on */

const struct vh_message_info *vh_message_info(uint32_t direction, uint32_t id)
{
	const struct vh_message_info *rows = from_frontend;
	size_t count = VHI_ARRAY_SIZE(from_frontend);

	if (direction == VH_USER_FROM_BACKEND) {
		rows = from_backend;
		count = VHI_ARRAY_SIZE(from_backend);
	} else if (direction != VH_USER_FROM_FRONTEND) {
		return NULL;
	}
	if (id >= count || !rows[id].name)
		return NULL;
	return &rows[id];
}

static const char *const feature_names[] = {
#define NAME(x) [VH_USER_PROTOCOL_F_##x] = #x
    NAME(MQ),
    NAME(LOG_SHMFD),
    NAME(RARP),
    NAME(REPLY_ACK),
    NAME(MTU),
    NAME(BACKEND_REQ),
    NAME(CROSS_ENDIAN),
    NAME(CRYPTO_SESSION),
    NAME(PAGEFAULT),
    NAME(CONFIG),
    NAME(BACKEND_SEND_FD),
    NAME(HOST_NOTIFIER),
    NAME(INFLIGHT_SHMFD),
    NAME(RESET_DEVICE),
    NAME(INBAND_NOTIFICATIONS),
    NAME(CONFIGURE_MEM_SLOTS),
    NAME(STATUS),
    NAME(XEN_MMAP),
    NAME(SHARED_OBJECT),
    NAME(DEVICE_STATE),
    NAME(GET_VRING_BASE_INFLIGHT),
    NAME(GPA_ADDRESSES),
    NAME(SHMEM),
    NAME(GET_VRING_BASE_SKIP_DRAIN),
#undef NAME
};

const char *vh_protocol_feature_name(unsigned int bit)
{
	return bit < VHI_ARRAY_SIZE(feature_names) ? feature_names[bit] : NULL;
}
