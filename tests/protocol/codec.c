/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Messages to bytes and back, against the bytes of vectors.c. */
#include "support.h"

#include <stdlib.h>

#define FRAME_MAX 2068

static const struct vh_message_context *context_of(const struct vector *vector)
{
	return vector->xen ? &with_xen : &everything;
}

static void test_protocol_codec_vectors_are_complete(void **state)
{
	(void)state;
	for (size_t i = 0; i < expected_count; i++)
		assert_non_null(
		    vector_of(expected[i].direction, expected[i].id));
}

static void test_protocol_codec_encodes_every_message(void **state)
{
	uint8_t wanted[FRAME_MAX];
	uint8_t bytes[FRAME_MAX];

	(void)state;
	for (size_t i = 0; i < vector_count; i++) {
		size_t size = from_hex(vectors[i].hex, wanted, sizeof(wanted));
		int ret;

		memset(bytes, 0xa5, sizeof(bytes));
		ret = vh_message_encode(context_of(&vectors[i]),
					&vectors[i].message, bytes,
					sizeof(bytes));
		assert_int_equal(ret, size);
		assert_memory_equal(bytes, wanted, size);
	}
}

static void decode(const struct vector *vector, struct vh_message *message)
{
	static uint8_t frame[FRAME_MAX]; /* message points into it */
	size_t size = from_hex(vector->hex, frame, sizeof(frame));
	const uint8_t *payload = at_the_edge(frame + 12, size - 12);
	struct vh_message_header header;
	struct vh_fault fault = {0};
	int ret;

	vh_message_header_decode(frame, &header);
	assert_int_equal(header.id, vector->message.id);
	assert_int_equal(header.flags, vector->message.flags);
	assert_int_equal(header.size, size - 12);
	if (vector->reply)
		ret = vh_message_decode_reply(vector->direction,
					      context_of(vector), header.id,
					      vector->acked, &header, payload,
					      vector->fds, &fault, message);
	else
		ret = vh_message_decode(vector->direction, context_of(vector),
					&header, payload, vector->fds, &fault,
					message);
	assert_string_equal(fault.text, "");
	assert_int_equal(ret, 0);
}

static void test_protocol_codec_decodes_every_message(void **state)
{
	struct vh_message message;

	(void)state;
	for (size_t i = 0; i < vector_count; i++) {
		decode(&vectors[i], &message);
		assert_same_message(&message, &vectors[i].message);
	}
}

static void test_protocol_codec_header_takes_any_value(void **state)
{
	const uint8_t bytes[12] = {0x01, 0x02, 0x03, 0x04, 0xff, 0xff,
				   0xff, 0xff, 0xfe, 0xff, 0xff, 0x7f};
	struct vh_message_header header;

	(void)state;
	vh_message_header_decode(at_the_edge(bytes, sizeof(bytes)), &header);
	assert_int_equal(header.id, 0x04030201);
	assert_int_equal(header.flags, 0xffffffff);
	assert_int_equal(header.size, 0x7ffffffe);
}

static void test_protocol_codec_encode_sets_the_version(void **state)
{
	struct vh_message message = {.id = 3, .flags = 0xfffffff0};
	const uint8_t wanted[12] = {3, 0, 0, 0, 0xf1, 0xff, 0xff, 0xff};
	uint8_t bytes[12];

	(void)state;
	assert_int_equal(vh_message_encode(&nothing, &message, bytes, 12), 12);
	assert_memory_equal(bytes, wanted, 12);
	message.flags = 0xfffffff2;
	assert_int_equal(vh_message_encode(&nothing, &message, bytes, 12), 12);
	assert_memory_equal(bytes, wanted, 12);
}

/* Each message, into each size that is too small: malloc() so that the
 * sanitizer sees a byte too many. */
static void test_protocol_codec_encode_stays_in_the_buffer(void **state)
{
	(void)state;
	for (size_t i = 0; i < vector_count; i++) {
		const struct vector *vector = &vectors[i];
		uint8_t frame[FRAME_MAX];
		size_t whole = from_hex(vector->hex, frame, sizeof(frame));

		for (size_t size = 0; size <= whole; size++) {
			uint8_t *bytes = malloc(size + 1);
			int ret;

			assert_non_null(bytes);
			bytes[size] = 0xa5;
			ret = vh_message_encode(context_of(vector),
						&vector->message, bytes, size);
			assert_int_equal(ret,
					 size < whole ? -ENOBUFS : (int)whole);
			assert_int_equal(bytes[size], 0xa5);
			free(bytes);
		}
	}
}

static void test_protocol_codec_encode_refuses_what_does_not_fit(void **state)
{
	const struct vh_message bad[] = {
	    {.payload = VH_PAYLOAD_VRING_FD, .vring_fd.index = 256},
	    {.payload = VH_PAYLOAD_VRING_FD, .vring_fd.index = UINT32_MAX},
	    {.payload = VH_PAYLOAD_VRING_AREA, .area.index = 256},
	    {.payload = VH_PAYLOAD_MEM_TABLE, .mem_table.count = 9},
	    {.payload = VH_PAYLOAD_MEM_TABLE, .mem_table.count = UINT32_MAX},
	    {.payload = VH_PAYLOAD_CONFIG, .config.size = 0},
	    {.payload = VH_PAYLOAD_CONFIG, .config.size = 257},
	    {.payload = VH_PAYLOAD_CONFIG, .config.size = UINT32_MAX},
	    {.payload = VH_PAYLOAD_SHMEM_CONFIG, .shmem.count = 257},
	    {.payload = VH_PAYLOAD_SHMEM_CONFIG + 1},
	    {.payload = 255},
	};
	uint8_t bytes[FRAME_MAX];

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_equal(vh_message_encode(&everything, &bad[i], bytes,
						   sizeof(bytes)),
				 -EINVAL);
}

/* A request for config space has nothing to carry yet. */
static void test_protocol_codec_encode_fills_absent_data(void **state)
{
	struct vh_message message = {.id = 24,
				     .payload = VH_PAYLOAD_CONFIG,
				     .config = {.offset = 4, .size = 3}};
	const uint8_t wanted[] = {24, 0, 0, 0, 1, 0, 0, 0, 15, 0, 0, 0, 4, 0,
				  0,  0, 3, 0, 0, 0, 0, 0, 0,  0, 0, 0, 0};
	uint8_t bytes[FRAME_MAX];

	(void)state;
	memset(bytes, 0xa5, sizeof(bytes));
	assert_int_equal(
	    vh_message_encode(&everything, &message, bytes, sizeof(bytes)),
	    sizeof(wanted));
	assert_memory_equal(bytes, wanted, sizeof(wanted));
}

static int run(const char *name, const struct CMUnitTest *tests, size_t count)
{
	return _cmocka_run_group_tests(name, tests, count, NULL, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_protocol_codec_vectors_are_complete),
	    cmocka_unit_test(test_protocol_codec_encodes_every_message),
	    cmocka_unit_test(test_protocol_codec_decodes_every_message),
	    cmocka_unit_test(test_protocol_codec_header_takes_any_value),
	    cmocka_unit_test(test_protocol_codec_encode_sets_the_version),
	    cmocka_unit_test(test_protocol_codec_encode_stays_in_the_buffer),
	    cmocka_unit_test(
		test_protocol_codec_encode_refuses_what_does_not_fit),
	    cmocka_unit_test(test_protocol_codec_encode_fills_absent_data),
	};
	int failed = run("codec", tests, COUNT(tests));

	failed += run("fields", field_tests, field_test_count);
	failed += run("replies", reply_tests, reply_test_count);
	failed += run("sweep", sweep_tests, sweep_test_count);
	return failed;
}
