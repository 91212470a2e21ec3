/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "expected.h"

#define IOMMU (UINT64_C(1) << 33)

/* clang-format off */
const struct expected expected[] = {
	{ FRONT, 1, "GET_FEATURES", 0, 0, ZERO, ALWAYS, 8, 8, 0, NONE, 0 },
	{ FRONT, 2, "SET_FEATURES", 8, 8, ZERO, ACK, 0, 0, 0, NONE, 0 },
	{ FRONT, 3, "SET_OWNER", 0, 0, ZERO, ACK, 0, 0, 0, NONE, 0 },
	{ FRONT, 4, "RESET_OWNER", 0, 0, ZERO, ACK, 0, 0, 0, NONE, 0 },
	{ FRONT, 5, "SET_MEM_TABLE", 8, 328, PER_REGION, ACK, 8, 328, 0, NONE, 0 },
	{ FRONT, 6, "SET_LOG_BASE", 8, 16, SHMFD, LOG_SHMFD, 0, 16, 0, NONE, 0 },
	{ FRONT, 7, "SET_LOG_FD", 0, 0, ONE, ACK, 0, 0, 0, NONE, 0 },
	{ FRONT, 8, "SET_VRING_NUM", 8, 8, ZERO, ACK, 0, 0, 0, NONE, 0 },
	{ FRONT, 9, "SET_VRING_ADDR", 40, 40, ZERO, ACK, 0, 0, 0, NONE, 0 },
	{ FRONT, 10, "SET_VRING_BASE", 8, 8, ZERO, ACK, 0, 0, 0, NONE, 0 },
	{ FRONT, 11, "GET_VRING_BASE", 8, 8, ZERO, ALWAYS, 8, 8, 0, NONE, 0 },
	{ FRONT, 12, "SET_VRING_KICK", 8, 8, NOFD, ACK, 0, 0, 0, NONE, 0 },
	{ FRONT, 13, "SET_VRING_CALL", 8, 8, NOFD, ACK, 0, 0, 0, NONE, 0 },
	{ FRONT, 14, "SET_VRING_ERR", 8, 8, NOFD, ACK, 0, 0, 0, NONE, 0 },
	{ FRONT, 15, "GET_PROTOCOL_FEATURES", 0, 0, ZERO, ALWAYS, 8, 8, 0, NONE, 0 },
	{ FRONT, 16, "SET_PROTOCOL_FEATURES", 8, 8, ZERO, ACK, 0, 0, 0, NONE, 0 },
	{ FRONT, 17, "GET_QUEUE_NUM", 0, 0, ZERO, ALWAYS, 8, 8, 0, 0, 0 },
	{ FRONT, 18, "SET_VRING_ENABLE", 8, 8, ZERO, ACK, 0, 0, 0, NONE, 0 },
	{ FRONT, 19, "SEND_RARP", 8, 8, ZERO, ACK, 0, 0, 0, 2, 0 },
	{ FRONT, 20, "NET_SET_MTU", 8, 8, ZERO, ACK, 0, 0, 0, 4, 0 },
	{ FRONT, 21, "SET_BACKEND_REQ_FD", 0, 0, ONE, ACK, 0, 0, 0, 5, 0 },
	{ FRONT, 22, "IOTLB_MSG", 32, 32, ZERO, ALWAYS, 8, 8, 0, NONE, IOMMU },
	{ FRONT, 23, "SET_VRING_ENDIAN", 8, 8, ZERO, ACK, 0, 0, 0, 6, 0 },
	{ FRONT, 24, "GET_CONFIG", 13, 268, ZERO, ALWAYS, 13, 268, 0, 9, 0 },
	{ FRONT, 25, "SET_CONFIG", 13, 268, ZERO, ACK, 0, 0, 0, 9, 0 },
	{ FRONT, 26, "CREATE_CRYPTO_SESSION", 632, 632, ZERO, ALWAYS, 632, 632, 0, 7, 0 },
	{ FRONT, 27, "CLOSE_CRYPTO_SESSION", 8, 8, ZERO, ACK, 0, 0, 0, 7, 0 },
	{ FRONT, 28, "POSTCOPY_ADVISE", 0, 0, ZERO, ALWAYS, 0, 0, 1, 8, 0 },
	{ FRONT, 29, "POSTCOPY_LISTEN", 0, 0, ZERO, ACK, 0, 0, 0, 8, 0 },
	{ FRONT, 30, "POSTCOPY_END", 0, 0, ZERO, ALWAYS, 8, 8, 0, 8, 0 },
	{ FRONT, 31, "GET_INFLIGHT_FD", 20, 24, ZERO, ALWAYS, 20, 24, 1, 12, 0 },
	{ FRONT, 32, "SET_INFLIGHT_FD", 20, 24, ONE, ACK, 0, 0, 0, 12, 0 },
	{ FRONT, 33, "GPU_SET_SOCKET", 0, 0, ONE, ACK, 0, 0, 0, NONE, 0 },
	{ FRONT, 34, "RESET_DEVICE", 0, 0, ZERO, ACK, 0, 0, 0, 13, 0 },
	{ FRONT, 35, "VRING_KICK", 8, 8, ZERO, ACK, 0, 0, 0, 14, 0 },
	{ FRONT, 36, "GET_MAX_MEM_SLOTS", 0, 0, ZERO, ALWAYS, 8, 8, 0, 15, 0 },
	{ FRONT, 37, "ADD_MEM_REG", 40, 48, ONE, ACK, 0, 0, 0, 15, 0 },
	{ FRONT, 38, "REM_MEM_REG", 40, 48, UP_TO_ONE, ACK, 0, 0, 0, 15, 0 },
	{ FRONT, 39, "SET_STATUS", 8, 8, ZERO, ACK, 0, 0, 0, 16, 0 },
	{ FRONT, 40, "GET_STATUS", 0, 0, ZERO, ALWAYS, 8, 8, 0, 16, 0 },
	{ FRONT, 41, "GET_SHARED_OBJECT", 16, 16, ZERO, ALWAYS, 0, 16, 1, 18, 0 },
	{ FRONT, 42, "SET_DEVICE_STATE_FD", 8, 8, ONE, ALWAYS, 8, 8, 1, 19, 0 },
	{ FRONT, 43, "CHECK_DEVICE_STATE", 0, 0, ZERO, ALWAYS, 8, 8, 0, 19, 0 },
	{ FRONT, 44, "GET_SHMEM_CONFIG", 0, 0, ZERO, ALWAYS, 2056, 2056, 0, 22, 0 },
	{ FRONT, 45, "GET_VRING_BASE_SKIP_DRAIN", 8, 8, ZERO, ALWAYS, 8, 8, 0, 23, 0 },

	{ BACK, 1, "BACKEND_IOTLB_MSG", 32, 32, ZERO, ACK, 0, 0, 0, NONE, IOMMU },
	{ BACK, 2, "BACKEND_CONFIG_CHANGE_MSG", 0, 0, ZERO, ACK, 0, 0, 0, 9, 0 },
	{ BACK, 3, "BACKEND_VRING_HOST_NOTIFIER_MSG", 24, 24, NOFD, ACK, 0, 0, 0, 11, 0 },
	{ BACK, 4, "BACKEND_VRING_CALL", 8, 8, ZERO, ACK, 0, 0, 0, 14, 0 },
	{ BACK, 5, "BACKEND_VRING_ERR", 8, 8, ZERO, ACK, 0, 0, 0, 14, 0 },
	{ BACK, 6, "BACKEND_SHARED_OBJECT_ADD", 16, 16, ZERO, ACK, 0, 0, 0, 18, 0 },
	{ BACK, 7, "BACKEND_SHARED_OBJECT_REMOVE", 16, 16, ZERO, ACK, 0, 0, 0, 18, 0 },
	{ BACK, 8, "BACKEND_SHARED_OBJECT_LOOKUP", 16, 16, ZERO, ALWAYS, 8, 8, 1, 18, 0 },
	{ BACK, 9, "BACKEND_SHMEM_MAP", 40, 40, ONE, ACK, 0, 0, 0, 22, 0 },
	{ BACK, 10, "BACKEND_SHMEM_UNMAP", 40, 40, ZERO, ACK, 0, 0, 0, 22, 0 },
};
/* clang-format on */

const size_t expected_count = sizeof(expected) / sizeof(expected[0]);

const struct expected *expected_row(uint32_t direction, uint32_t id)
{
	for (size_t i = 0; i < expected_count; i++)
		if (expected[i].direction == direction && expected[i].id == id)
			return &expected[i];
	return NULL;
}
