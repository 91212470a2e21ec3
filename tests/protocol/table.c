/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The library's table and constants against the numbers of the text. */
#include "expected.h"

#include <libvhost/protocol.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_protocol_table_constants(void **state)
{
	(void)state;
	assert_int_equal(VH_USER_HEADER_SIZE, 12);
	assert_int_equal(VH_USER_VERSION, 1);
	assert_int_equal(VH_USER_VERSION_MASK, 3);
	assert_int_equal(VH_USER_FLAG_REPLY, 4);
	assert_int_equal(VH_USER_FLAG_NEED_REPLY, 8);
	assert_int_equal(VH_USER_MAX_FDS, 8);
	assert_int_equal(VH_USER_MAX_TABLE_REGIONS, 8);
	assert_int_equal(VH_USER_MAX_CONFIG, 256);
	assert_int_equal(VH_USER_MAX_SHMEM, 256);
	assert_int_equal(VH_USER_MAX_PAYLOAD, 8 + 256 * 8);
	assert_int_equal(VH_USER_REQUEST_MAX, 45);
	assert_int_equal(VH_USER_BACKEND_REQUEST_MAX, 10);
	assert_int_equal(VH_F_LOG_ALL, UINT64_C(1) << 26);
	assert_int_equal(VH_USER_F_PROTOCOL_FEATURES, 30);
	assert_int_equal(VH_USER_FROM_FRONTEND, FRONT);
	assert_int_equal(VH_USER_FROM_BACKEND, BACK);
}

static void test_protocol_table_features(void **state)
{
	static const char *const names[] = {
	    "MQ",
	    "LOG_SHMFD",
	    "RARP",
	    "REPLY_ACK",
	    "MTU",
	    "BACKEND_REQ",
	    "CROSS_ENDIAN",
	    "CRYPTO_SESSION",
	    "PAGEFAULT",
	    "CONFIG",
	    "BACKEND_SEND_FD",
	    "HOST_NOTIFIER",
	    "INFLIGHT_SHMFD",
	    "RESET_DEVICE",
	    "INBAND_NOTIFICATIONS",
	    "CONFIGURE_MEM_SLOTS",
	    "STATUS",
	    "XEN_MMAP",
	    "SHARED_OBJECT",
	    "DEVICE_STATE",
	    "GET_VRING_BASE_INFLIGHT",
	    "GPA_ADDRESSES",
	    "SHMEM",
	    "GET_VRING_BASE_SKIP_DRAIN",
	};

	(void)state;
	for (unsigned int bit = 0; bit < 24; bit++)
		assert_string_equal(vh_protocol_feature_name(bit), names[bit]);
	assert_null(vh_protocol_feature_name(24));
	assert_null(vh_protocol_feature_name(63));
	assert_null(vh_protocol_feature_name(UINT32_MAX));
	assert_int_equal(VH_USER_PROTOCOL_F_MAX, 23);
}

static unsigned int fds_rule(enum fds fds)
{
	static const unsigned int rules[] = {
	    [ZERO] = VH_FDS_EXACT,
	    [ONE] = VH_FDS_EXACT,
	    [UP_TO_ONE] = VH_FDS_AT_MOST,
	    [NOFD] = VH_FDS_UNLESS_NOFD,
	    [PER_REGION] = VH_FDS_PER_REGION,
	    [SHMFD] = VH_FDS_IF_LOG_SHMFD,
	};

	return rules[fds];
}

static void check_row(const struct expected *row)
{
	static const unsigned int replies[] = {
	    [ACK] = VH_REPLY_ACK,
	    [ALWAYS] = VH_REPLY_ALWAYS,
	    [LOG_SHMFD] = VH_REPLY_IF_LOG_SHMFD,
	};
	const struct vh_message_info *info =
	    vh_message_info(row->direction, row->id);
	uint64_t bit = row->protocol_feature == NONE
			   ? 0
			   : UINT64_C(1) << row->protocol_feature;
	bool fixed = row->fds == ONE || row->fds == UP_TO_ONE;

	assert_non_null(info);
	assert_int_equal(info->id, row->id);
	assert_string_equal(info->name, row->name);
	assert_int_equal(info->size_min, row->min);
	assert_int_equal(info->size_max, row->max);
	assert_int_equal(info->reply_size_min, row->reply_min);
	assert_int_equal(info->reply_size_max, row->reply_max);
	assert_int_equal(info->reply, replies[row->answer]);
	assert_int_equal(info->fds_rule, fds_rule(row->fds));
	assert_int_equal(info->fds, fixed ? 1 : 0);
	assert_int_equal(info->reply_fds, row->reply_fds);
	assert_int_equal(info->features, row->features);
	assert_int_equal(info->protocol_features, bit);
	assert_int_equal(info->payload == VH_PAYLOAD_NONE, row->max == 0);
	assert_int_equal(info->reply_payload == VH_PAYLOAD_NONE,
			 row->reply_max == 0);
	/* it leads to where the message is described */
	assert_non_null(strstr(info->section, row->name));
	assert_non_null(strstr(info->section, row->direction == FRONT
						  ? "Front-end message types"
						  : "Back-end message types"));
}

static void test_protocol_table_rows(void **state)
{
	(void)state;
	assert_int_equal(expected_count, 45 + 10);
	for (size_t i = 0; i < expected_count; i++)
		check_row(&expected[i]);
}

static void test_protocol_table_has_no_other_rows(void **state)
{
	static const uint32_t odd[] = {0,	   46,	       47,	  255,
				       256,	   257,	       1002,	  65537,
				       0x7fffffff, 0x80000001, 0xffffffff};

	(void)state;
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		assert_null(vh_message_info(FRONT, odd[i]));
		assert_null(vh_message_info(BACK, odd[i]));
	}
	assert_null(vh_message_info(BACK, 11));
	assert_null(vh_message_info(2, 1));
	assert_null(vh_message_info(UINT32_MAX, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_protocol_table_constants),
	    cmocka_unit_test(test_protocol_table_features),
	    cmocka_unit_test(test_protocol_table_rows),
	    cmocka_unit_test(test_protocol_table_has_no_other_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
