/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* One field of a good request is changed: which values are taken? */
#include "support.h"

#define FRAME_MAX 2068
#define GOOD	  NULL

/* The words of the refusal, or GOOD. offset counts from the payload. */
struct change {
	uint32_t direction;
	uint32_t id;
	unsigned int offset;
	unsigned int width;
	uint64_t value;
	const char *words;
};

/* clang-format off */
static const struct change changes[] = {
	/* the index is the receiver's to check, whatever it is */
	{ FRONT, 8, 0, 4, 0x10000, GOOD },
	{ FRONT, 8, 0, 4, 0xffffffff, GOOD },
	{ FRONT, 8, 4, 4, 0xffffffff, GOOD },
	{ FRONT, 9, 4, 4, 0, GOOD },
	{ FRONT, 9, 4, 4, 2, "SET_VRING_ADDR: flags is 2" },
	{ FRONT, 9, 4, 4, 0x80000001, "must be 0 or 1" },
	/* reserved, but left as garbage by old front-ends */
	{ FRONT, 11, 4, 4, 1, GOOD },
	{ FRONT, 11, 4, 4, 0xdeadbeef, GOOD },
	{ FRONT, 35, 4, 4, 0xdeadbeef, GOOD },
	{ FRONT, 45, 4, 4, 0xdeadbeef, GOOD },
	{ BACK, 4, 4, 4, 0xdeadbeef, GOOD },
	{ BACK, 5, 4, 4, 0xdeadbeef, GOOD },
	{ FRONT, 12, 0, 8, 0xff, GOOD },
	{ FRONT, 12, 0, 8, 0x200, "SET_VRING_KICK: vring is 512 (0x200)" },
	{ FRONT, 12, 0, 8, 0x10000, "SET_VRING_KICK: vring is 65536" },
	{ FRONT, 12, 0, 8, UINT64_C(1) << 63, "0x8000000000000000" },
	{ FRONT, 13, 0, 8, 0xffffffffffffffff & ~UINT64_C(0), "SET_VRING_CALL: vring" },
	{ FRONT, 14, 0, 8, UINT64_C(1) << 32, "SET_VRING_ERR: vring" },
	{ FRONT, 18, 4, 4, 0, GOOD },
	{ FRONT, 18, 4, 4, 2, "SET_VRING_ENABLE: num is 2 (0x2), must be 0 or 1" },
	{ FRONT, 18, 4, 4, 0xffffffff, "SET_VRING_ENABLE: num" },
	{ FRONT, 23, 4, 4, 0, GOOD },
	{ FRONT, 23, 4, 4, 2, "SET_VRING_ENDIAN: num" },
	{ FRONT, 39, 0, 8, 255, GOOD },
	{ FRONT, 39, 0, 8, 256, "SET_STATUS: status is 256" },
	{ FRONT, 39, 0, 8, UINT64_C(0xff00000000000000), "at most 255" },
	{ FRONT, 6, 0, 8, 0, "SET_LOG_BASE: log size" },
	{ FRONT, 6, 0, 8, 1, GOOD },
	{ FRONT, 6, 0, 8, UINT64_MAX - 0xfff, GOOD },
	{ FRONT, 6, 0, 8, UINT64_MAX - 0xffe, "offset + size fits 64 bits" },
	{ FRONT, 6, 8, 8, UINT64_C(1) << 63, GOOD },
	{ FRONT, 6, 8, 8, UINT64_MAX - 0xfffff, GOOD },
	{ FRONT, 6, 8, 8, UINT64_MAX - 0xffffe, "SET_LOG_BASE: log offset" },
	{ FRONT, 6, 8, 8, UINT64_MAX, "SET_LOG_BASE: log offset" },
	/* sizes and addresses of regions are for the memory map to judge */
	{ FRONT, 5, 16, 8, 0, GOOD },
	{ FRONT, 5, 16, 8, UINT64_MAX, GOOD },
	{ FRONT, 37, 16, 8, 0, GOOD },
	{ FRONT, 37, 0, 8, UINT64_MAX, GOOD },
	{ FRONT, 22, 25, 1, 0, "IOTLB_MSG: type is 0" },
	{ FRONT, 22, 25, 1, 1, "2 or 3 from a front-end" },
	{ FRONT, 22, 25, 1, 3, GOOD },
	{ FRONT, 22, 25, 1, 4, "IOTLB_MSG: type" },
	{ FRONT, 22, 25, 1, 255, "IOTLB_MSG: type" },
	{ FRONT, 22, 24, 1, 0, GOOD },
	{ FRONT, 22, 24, 1, 4, "IOTLB_MSG: permissions is 4" },
	{ FRONT, 22, 26, 4, 0xffffffff, GOOD },
	{ BACK, 1, 25, 1, 4, GOOD },
	{ BACK, 1, 25, 1, 2, "1 or 4 from a back-end" },
	{ BACK, 1, 25, 1, 3, "BACKEND_IOTLB_MSG: type" },
	{ BACK, 1, 24, 1, 255, "BACKEND_IOTLB_MSG: permissions" },
	{ FRONT, 24, 4, 4, 0, "GET_CONFIG: size is 0" },
	{ FRONT, 24, 4, 4, 7, "the number of bytes that follow" },
	{ FRONT, 24, 4, 4, 9, "GET_CONFIG: size is 9" },
	{ FRONT, 24, 4, 4, 0xffffffff, "GET_CONFIG: size" },
	{ FRONT, 24, 0, 4, 0xfffffff7, GOOD },
	{ FRONT, 24, 0, 4, 0xfffffff8, "offset + size fits 32 bits" },
	{ FRONT, 24, 0, 4, 0xffffffff, "GET_CONFIG: offset" },
	{ FRONT, 24, 8, 4, 2, "GET_CONFIG: flags" },
	{ FRONT, 25, 8, 4, 1, GOOD },
	{ FRONT, 25, 8, 4, 2, "SET_CONFIG: flags is 2" },
	{ FRONT, 25, 4, 4, 2, "SET_CONFIG: size" },
	{ FRONT, 31, 16, 2, 0, "GET_INFLIGHT_FD: num queues" },
	{ FRONT, 31, 16, 2, 65535, GOOD },
	{ FRONT, 31, 18, 2, 0, "GET_INFLIGHT_FD: queue size is 0" },
	{ FRONT, 31, 18, 2, 32768, GOOD },
	{ FRONT, 31, 18, 2, 32769, "GET_INFLIGHT_FD: queue size" },
	{ FRONT, 31, 20, 4, 0xffffffff, GOOD },
	{ FRONT, 31, 8, 8, UINT64_MAX, GOOD },
	{ FRONT, 32, 0, 8, 0, "SET_INFLIGHT_FD: mmap size" },
	{ FRONT, 32, 0, 8, UINT64_MAX, GOOD },
	{ FRONT, 32, 8, 8, UINT64_MAX - 0x1fff, GOOD },
	{ FRONT, 32, 8, 8, UINT64_MAX - 0x1ffe, "SET_INFLIGHT_FD: mmap offset" },
	{ FRONT, 32, 16, 2, 0, "SET_INFLIGHT_FD: num queues" },
	{ FRONT, 32, 18, 2, 0xffff, "SET_INFLIGHT_FD: queue size" },
	{ FRONT, 42, 0, 4, 0, GOOD },
	{ FRONT, 42, 0, 4, 2, "SET_DEVICE_STATE_FD: direction is 2" },
	{ FRONT, 42, 4, 4, 1, "SET_DEVICE_STATE_FD: phase is 1" },
	{ BACK, 3, 0, 8, 0x201, "BACKEND_VRING_HOST_NOTIFIER_MSG: vring" },
	{ BACK, 9, 32, 8, 2, "BACKEND_SHMEM_MAP: flags is 2" },
	{ BACK, 9, 32, 8, 0, GOOD },
	{ BACK, 9, 24, 8, 0, "BACKEND_SHMEM_MAP: len" },
	{ BACK, 9, 16, 8, UINT64_MAX - 0x2fff, GOOD },
	{ BACK, 9, 16, 8, UINT64_MAX - 0x2ffe, "BACKEND_SHMEM_MAP: shm_offset" },
	{ BACK, 9, 8, 8, UINT64_MAX - 0x2ffe, "BACKEND_SHMEM_MAP: fd_offset" },
	{ BACK, 9, 1, 4, 0xffffffff, GOOD },
	{ BACK, 10, 24, 8, UINT64_MAX, "BACKEND_SHMEM_UNMAP: shm_offset" },
};
/* clang-format on */

static void check_change(const struct change *change)
{
	const struct vector *vector = vector_of(change->direction, change->id);
	struct refusal refusal = {-EINVAL, VH_FAULT_MSG_FIELD, change->words};
	struct vh_message_header header;
	struct vh_message message;
	uint8_t frame[FRAME_MAX];
	size_t size;

	assert_non_null(vector);
	size = from_hex(vector->hex, frame, sizeof(frame));
	assert_true(12 + change->offset + change->width <= size);
	memcpy(frame + 12 + change->offset, &change->value, change->width);
	if (change->words) {
		refuses(change->direction, &everything, frame, size,
			vector->fds, &refusal);
		return;
	}
	vh_message_header_decode(frame, &header);
	assert_int_equal(vh_message_decode(change->direction, &everything,
					   &header, frame + 12, vector->fds,
					   NULL, &message),
			 0);
}

static void test_protocol_fields_limits(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(changes); i++)
		check_change(&changes[i]);
}

/* Which queue a refused message is about, where it says so. */
static void test_protocol_fields_name_the_queue(void **state)
{
	const uint8_t enable[20] = {18, 0, 0, 0, 1, 0, 0, 0, 8, 0,
				    0,	0, 5, 0, 0, 0, 2, 0, 0, 0};
	struct vh_message_header header;
	struct vh_message message;
	struct vh_fault fault;

	(void)state;
	vh_message_header_decode(enable, &header);
	assert_int_equal(vh_message_decode(FRONT, &nothing, &header,
					   enable + 12, 0, &fault, &message),
			 -EINVAL);
	assert_int_equal(fault.queue, 5);
	assert_int_equal(fault.message, 18);
	assert_non_null(strstr(fault.section, "VHOST_USER_SET_VRING_ENABLE"));
	assert_int_equal(vh_message_decode(FRONT, &nothing, &header,
					   enable + 12, 1, &fault, &message),
			 -EPROTO);
	assert_int_equal(fault.queue, VH_FAULT_NO_QUEUE);
}

static void test_protocol_fields_xen_flags(void **state)
{
	static const uint32_t good[] = {0, 1, 2, 0x100, 0x102};
	static const uint32_t bad[] = {4, 0x80, 0x200, 0x80000000};
	const struct refusal refusal = {-EINVAL, VH_FAULT_MSG_FIELD,
					"ADD_MEM_REG: xen mmap flags"};
	uint8_t frame[12 + 48] = {37, 0, 0, 0, 1, 0, 0, 0, 48};
	struct vh_message_header header;
	struct vh_message message;

	(void)state;
	vh_message_header_decode(frame, &header);
	for (size_t i = 0; i < COUNT(good); i++) {
		memcpy(frame + 12 + 40, &good[i], 4);
		assert_int_equal(vh_message_decode(FRONT, &with_xen, &header,
						   frame + 12, 1, NULL,
						   &message),
				 0);
		assert_int_equal(message.mem_region.xen_flags, good[i]);
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		memcpy(frame + 12 + 40, &bad[i], 4);
		refuses(FRONT, &with_xen, frame, sizeof(frame), 1, &refusal);
	}
}

/* User-Mode Linux has room for two regions in its message and uses one. */
static void test_protocol_fields_table_with_room_to_spare(void **state)
{
	uint8_t frame[12 + 72] = {5, 0, 0, 0, 1, 0, 0, 0, 72, 0, 0, 0, 1};
	struct vh_message_header header;
	struct vh_message message;

	(void)state;
	frame[12 + 8 + 8 + 2] = 1; /* the first region's size */
	memset(frame + 12 + 40, 0xee, 32);
	vh_message_header_decode(frame, &header);
	assert_int_equal(vh_message_decode(FRONT, &nothing, &header, frame + 12,
					   1, NULL, &message),
			 0);
	assert_int_equal(message.mem_table.count, 1);
	assert_int_equal(message.mem_table.regions[0].size, 0x10000);
}

static void test_protocol_fields_table_count(void **state)
{
	const struct refusal many = {-EINVAL, VH_FAULT_MSG_FIELD,
				     "num regions is"};
	const struct refusal short_of = {-EPROTO, VH_FAULT_MSG_SIZE,
					 "enough for the regions"};
	uint8_t frame[12 + 264] = {5, 0, 0, 0, 1, 0, 0, 0, 8, 1};
	uint8_t table[12 + 40] = {5, 0, 0, 0, 1, 0, 0, 0, 40};

	(void)state;
	for (unsigned int fds = 0; fds <= 9; fds++) {
		frame[12] = 9;
		frame[15] = 0;
		refuses(FRONT, &nothing, frame, sizeof(frame), fds, &many);
		frame[15] = 0x80;
		refuses(FRONT, &nothing, frame, sizeof(frame), fds, &many);
	}
	for (uint8_t count = 2; count <= 8; count++) {
		table[12] = count;
		refuses(FRONT, &nothing, table, sizeof(table), count,
			&short_of);
	}
}

/* QEMU sends 16 bytes in any case, others the number of the text. */
static void test_protocol_fields_log_without_shmfd(void **state)
{
	uint8_t frame[12 + 16] = {6, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 0, 0x10};
	struct vh_message_header header;
	struct vh_message message;

	(void)state;
	vh_message_header_decode(frame, &header);
	assert_int_equal(vh_message_decode(FRONT, &nothing, &header,
					   at_the_edge(frame + 12, 8), 0, NULL,
					   &message),
			 0);
	assert_int_equal(message.payload, VH_PAYLOAD_U64);
	assert_int_equal(message.u64, 0x1000);
	header.size = 16;
	assert_int_equal(vh_message_decode(FRONT, &nothing, &header, frame + 12,
					   0, NULL, &message),
			 0);
	assert_int_equal(message.payload, VH_PAYLOAD_LOG);
	assert_int_equal(message.log.size, 0x1000);
}

static void test_protocol_fields_flags(void **state)
{
	uint8_t frame[12] = {3};
	struct vh_message_header header;
	struct vh_message message;
	struct vh_fault fault;
	int ret;

	(void)state;
	for (uint32_t i = 0; i < 32 * 16; i++) {
		uint32_t flags = (i / 16 < 4 ? 0 : BIT(i / 16)) | i % 16;
		bool good = flags == 1 || flags == 9;

		memcpy(frame + 4, &flags, 4);
		vh_message_header_decode(frame, &header);
		memset(&fault, 0, sizeof(fault));
		ret = vh_message_decode(FRONT, &nothing, &header, NULL, 0,
					&fault, &message);
		assert_int_equal(ret, good ? 0 : -EPROTO);
		assert_int_equal(fault.code, good ? 0 : VH_FAULT_MSG_FLAGS);
		if (!good)
			assert_string_equal(fault.section, "Header");
	}
}

const struct CMUnitTest field_tests[] = {
    cmocka_unit_test(test_protocol_fields_limits),
    cmocka_unit_test(test_protocol_fields_name_the_queue),
    cmocka_unit_test(test_protocol_fields_xen_flags),
    cmocka_unit_test(test_protocol_fields_table_with_room_to_spare),
    cmocka_unit_test(test_protocol_fields_table_count),
    cmocka_unit_test(test_protocol_fields_log_without_shmfd),
    cmocka_unit_test(test_protocol_fields_flags),
};
const size_t field_test_count = COUNT(field_tests);
