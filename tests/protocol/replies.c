/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Replies that don't fit their requests. */
#include "support.h"

#define FRAME_MAX 2068

/* A reply as bytes, and why it can't be one to request id. */
struct bad_reply {
	uint32_t direction;
	uint32_t id;
	bool acked;
	unsigned int fds;
	const char *hex;
	int error;
	uint32_t code;
	const char *words;
};

#define FINE	VH_FAULT_NONE
#define REPLY	VH_FAULT_MSG_REPLY
#define FLAGS	VH_FAULT_MSG_FLAGS
#define SIZE	VH_FAULT_MSG_SIZE
#define FDS	VH_FAULT_MSG_FDS
#define FIELD	VH_FAULT_MSG_FIELD
#define REFUSED VH_FAULT_MSG_REFUSED

/* clang-format off */
static const struct bad_reply bad[] = {
	/* another request's */
	{ FRONT, 1, false, 0, "0f000000 05000000 08000000 00*8", -EPROTO, REPLY,
	  "a reply to request 15 where one to GET_FEATURES is due" },
	{ FRONT, 2, true, 0, "00000000 05000000 08000000 00*8", -EPROTO, REPLY,
	  "a reply to request 0" },
	/* flags other than 5 */
	{ FRONT, 1, false, 0, "01000000 01000000 08000000 00*8", -EPROTO, FLAGS, "flags" },
	{ FRONT, 1, false, 0, "01000000 04000000 08000000 00*8", -EPROTO, FLAGS, "flags" },
	{ FRONT, 1, false, 0, "01000000 06000000 08000000 00*8", -EPROTO, FLAGS, "flags" },
	{ FRONT, 1, false, 0, "01000000 0d000000 08000000 00*8", -EPROTO, FLAGS,
	  "flags are 0xd, must be 0x5 in a reply" },
	{ FRONT, 1, false, 0, "01000000 05000080 08000000 00*8", -EPROTO, FLAGS, "flags" },
	/* sizes */
	{ FRONT, 1, false, 0, "01000000 05000000 00000000", -EPROTO, SIZE,
	  "GET_FEATURES's reply: payload of 0 bytes, must be 8" },
	{ FRONT, 1, false, 0, "01000000 05000000 04000000 00*4", -EPROTO, SIZE, "payload" },
	{ FRONT, 1, false, 0, "01000000 05000000 10000000 00*16", -EPROTO, SIZE, "payload" },
	{ FRONT, 1, false, 0, "01000000 05000000 ffffffff", -EPROTO, SIZE, "payload" },
	{ FRONT, 11, false, 0, "0b000000 05000000 0c000000 00*12", -EPROTO, SIZE, "payload" },
	{ FRONT, 5, false, 0, "05000000 05000000 08000000 01000000 00*4", -EPROTO, SIZE,
	  "enough for the regions" },
	{ FRONT, 6, false, 0, "06000000 05000000 04000000 00*4", -EPROTO, SIZE, "payload" },
	{ FRONT, 6, false, 0, "06000000 05000000 0c000000 00*12", -EPROTO, SIZE, "payload" },
	{ FRONT, 6, false, 0, "06000000 05000000 18000000 00*24", -EPROTO, SIZE, "payload" },
	{ FRONT, 24, false, 0, "18000000 05000000 0c000000 00*12", -EPROTO, SIZE, "13 to 268" },
	{ FRONT, 28, false, 1, "1c000000 05000000 08000000 00*8", -EPROTO, SIZE, "payload" },
	{ FRONT, 41, false, 1, "29000000 05000000 08000000 00*8", -EPROTO, SIZE, "layout" },
	{ FRONT, 44, false, 0, "2c000000 05000000 00000000", -EPROTO, SIZE, "2056" },
	{ FRONT, 2, true, 0, "02000000 05000000 00000000", -EPROTO, SIZE, "acknowledgement" },
	{ FRONT, 2, true, 0, "02000000 05000000 04000000 00*4", -EPROTO, SIZE, "acknowledgement" },
	{ BACK, 2, true, 0, "02000000 05000000 10000000 00*16", -EPROTO, SIZE, "acknowledgement" },
	/* a descriptor where none belongs, or none that was promised */
	{ FRONT, 1, false, 1, "01000000 05000000 08000000 00*8", -EPROTO, FDS,
	  "1 descriptors, must be at most 0" },
	{ FRONT, 2, true, 1, "02000000 05000000 08000000 00*8", -EPROTO, FDS, "descriptors" },
	{ FRONT, 31, false, 2, "1f000000 05000000 14000000 00*20", -EPROTO, FDS, "descriptors" },
	{ FRONT, 42, false, 0, "2a000000 05000000 08000000 00*8", -EPROTO, FDS, "descriptors" },
	{ FRONT, 42, false, 1, "2a000000 05000000 08000000 0001 00*6", -EPROTO, FDS, "descriptors" },
	{ FRONT, 42, false, 1, "2a000000 05000000 08000000 01 00*7", -EPROTO, FDS, "descriptors" },
	/* fields */
	{ FRONT, 24, false, 0, "18000000 05000000 0e000000 00*4 01 00*3 00*4 0000",
	  -EINVAL, FIELD, "GET_CONFIG's reply: size is 1" },
	{ FRONT, 31, false, 1, "1f000000 05000000 14000000 01 00*7 ff*8 0100 0100",
	  0, FINE, NULL },
	{ FRONT, 31, false, 1, "1f000000 05000000 14000000 02 00*7 ff*8 0100 0100",
	  -EINVAL, FIELD, "mmap offset" },
	{ FRONT, 44, false, 0, "2c000000 05000000 08080000 01010000 00*4 00*2048",
	  -EINVAL, FIELD, "num regions is 257" },
	/* the back-end's way of saying no */
	{ FRONT, 24, false, 0, "18000000 05000000 00000000", -EREMOTEIO, REFUSED, "failed" },
	/* nobody asked */
	{ FRONT, 2, false, 0, "02000000 05000000 08000000 00*8", -EPROTO, REPLY, "nobody asked" },
	{ FRONT, 3, false, 0, "03000000 05000000 00000000", -EPROTO, REPLY, "nobody asked" },
	{ BACK, 2, false, 0, "02000000 05000000 08000000 00*8", -EPROTO, REPLY, "nobody asked" },
};
/* clang-format on */

static void test_protocol_replies_refused(void **state)
{
	uint8_t frame[FRAME_MAX];

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		const struct refusal refusal = {bad[i].error, bad[i].code,
						bad[i].words};
		size_t size = from_hex(bad[i].hex, frame, sizeof(frame));
		struct vh_message_header header;
		struct vh_message message;

		if (bad[i].error) {
			refuses_reply(bad[i].direction, bad[i].id, bad[i].acked,
				      frame, size, bad[i].fds, &refusal);
			continue;
		}
		vh_message_header_decode(frame, &header);
		assert_int_equal(vh_message_decode_reply(
				     bad[i].direction, &everything, bad[i].id,
				     bad[i].acked, &header, frame + 12,
				     bad[i].fds, NULL, &message),
				 0);
	}
}

/* An answer that always comes looks the same if NEED_REPLY was set. */
static void test_protocol_replies_ack_changes_nothing_for_own(void **state)
{
	const uint8_t base[20] = {11, 0, 0, 0, 5, 0, 0, 0, 8, 0,
				  0,  0, 3, 0, 0, 0, 7, 0, 0, 0};
	struct vh_message_header header;
	struct vh_message message;

	(void)state;
	vh_message_header_decode(base, &header);
	assert_int_equal(vh_message_decode_reply(FRONT, &everything, 11, true,
						 &header, base + 12, 0, NULL,
						 &message),
			 0);
	assert_int_equal(message.payload, VH_PAYLOAD_VRING_STATE);
	assert_int_equal(message.state.num, 7);
}

/* Without LOG_SHMFD, SET_LOG_BASE is acknowledged like any other. */
static void test_protocol_replies_log_without_shmfd(void **state)
{
	const uint8_t log[28] = {6, 0, 0, 0, 5, 0, 0, 0, 16};
	struct vh_message_header header;
	struct vh_message message;

	(void)state;
	vh_message_header_decode(log, &header);
	assert_int_equal(vh_message_decode_reply(FRONT, &nothing, 6, true,
						 &header, log + 12, 0, NULL,
						 &message),
			 -EPROTO);
	header.size = 8;
	assert_int_equal(vh_message_decode_reply(FRONT, &nothing, 6, false,
						 &header, log + 12, 0, NULL,
						 &message),
			 -EPROTO);
	assert_int_equal(vh_message_decode_reply(FRONT, &nothing, 6, true,
						 &header, log + 12, 0, NULL,
						 &message),
			 0);
	assert_int_equal(message.payload, VH_PAYLOAD_U64);
}

static void test_protocol_replies_to_unknown_requests(void **state)
{
	static const uint32_t ids[] = {0, 11, 46, UINT32_MAX};
	struct vh_message_header header = {.flags = 5, .size = 8};
	uint8_t payload[8] = {0};
	struct vh_message message;
	struct vh_fault fault;

	(void)state;
	for (size_t i = 0; i < COUNT(ids); i++) {
		header.id = ids[i];
		assert_int_equal(vh_message_decode_reply(
				     BACK, &everything, ids[i], true, &header,
				     payload, 0, &fault, &message),
				 -ENOSYS);
		assert_int_equal(fault.code, VH_FAULT_MSG_UNKNOWN);
	}
}

const struct CMUnitTest reply_tests[] = {
    cmocka_unit_test(test_protocol_replies_refused),
    cmocka_unit_test(test_protocol_replies_ack_changes_nothing_for_own),
    cmocka_unit_test(test_protocol_replies_log_without_shmfd),
    cmocka_unit_test(test_protocol_replies_to_unknown_requests),
};
const size_t reply_test_count = COUNT(reply_tests);
