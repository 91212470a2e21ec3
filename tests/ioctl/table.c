/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Each request has the kernel's number. */
#include <ioctl/call.h>
#include <linux/vhost.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "numbers.h"

struct row {
	const char *name;
	unsigned long number;
};

#define HAND(x) [VHI_##x] = {#x, N_##x}

static const struct row hand[VHI_CALL_COUNT] = {
    HAND(GET_FEATURES),
    HAND(SET_FEATURES),
    HAND(SET_OWNER),
    HAND(RESET_OWNER),
    HAND(SET_MEM_TABLE),
    HAND(SET_LOG_BASE),
    HAND(SET_LOG_FD),
    HAND(NEW_WORKER),
    HAND(FREE_WORKER),
    HAND(SET_VRING_NUM),
    HAND(SET_VRING_ADDR),
    HAND(SET_VRING_BASE),
    HAND(GET_VRING_BASE),
    HAND(SET_VRING_ENDIAN),
    HAND(GET_VRING_ENDIAN),
    HAND(ATTACH_VRING_WORKER),
    HAND(GET_VRING_WORKER),
    HAND(SET_VRING_KICK),
    HAND(SET_VRING_CALL),
    HAND(SET_VRING_ERR),
    HAND(SET_VRING_BUSYLOOP_TIMEOUT),
    HAND(GET_VRING_BUSYLOOP_TIMEOUT),
    HAND(SET_BACKEND_FEATURES),
    HAND(GET_BACKEND_FEATURES),
    HAND(NET_SET_BACKEND),
    HAND(SCSI_SET_ENDPOINT),
    HAND(SCSI_CLEAR_ENDPOINT),
    HAND(SCSI_GET_ABI_VERSION),
    HAND(SCSI_SET_EVENTS_MISSED),
    HAND(SCSI_GET_EVENTS_MISSED),
    HAND(VSOCK_SET_GUEST_CID),
    HAND(VSOCK_SET_RUNNING),
    HAND(VDPA_GET_DEVICE_ID),
    HAND(VDPA_GET_STATUS),
    HAND(VDPA_SET_STATUS),
    HAND(VDPA_GET_CONFIG),
    HAND(VDPA_SET_CONFIG),
    HAND(VDPA_SET_VRING_ENABLE),
    HAND(VDPA_GET_VRING_NUM),
    HAND(VDPA_SET_CONFIG_CALL),
    HAND(VDPA_GET_IOVA_RANGE),
    HAND(VDPA_GET_CONFIG_SIZE),
    HAND(VDPA_GET_AS_NUM),
    HAND(VDPA_GET_VRING_GROUP),
    HAND(VDPA_SET_GROUP_ASID),
    HAND(VDPA_SUSPEND),
    HAND(VDPA_RESUME),
    HAND(VDPA_GET_VRING_DESC_GROUP),
    HAND(VDPA_GET_VQS_COUNT),
    HAND(VDPA_GET_GROUP_NUM),
    HAND(VDPA_GET_VRING_SIZE),
    HAND(VDPA_GET_VRING_SIZE_OLD),
    HAND(GET_FEATURES_ARRAY),
    HAND(SET_FEATURES_ARRAY),
    HAND(SET_FORK_FROM_OWNER),
    HAND(GET_FORK_FROM_OWNER),
};

static void test_ioctl_table_numbers(void **state)
{
	(void)state;
	for (int i = 0; i < VHI_CALL_COUNT; i++) {
		const struct vhi_call_info *info =
		    vhi_call_info((enum vhi_call)i);

		assert_string_equal(info->name, hand[i].name);
		if (info->number != hand[i].number)
			fail_msg("%s is 0x%08lx, not 0x%08lx", info->name,
				 info->number, hand[i].number);
	}
}

#define KERNEL(x)                                                              \
	{                                                                      \
#x, VHOST_##x                                                  \
	}

/* What the oldest headers that this is built with have. */
static const struct row header[] = {
    KERNEL(GET_FEATURES),
    KERNEL(SET_FEATURES),
    KERNEL(SET_OWNER),
    KERNEL(RESET_OWNER),
    KERNEL(SET_MEM_TABLE),
    KERNEL(SET_LOG_BASE),
    KERNEL(SET_LOG_FD),
    KERNEL(SET_VRING_NUM),
    KERNEL(SET_VRING_ADDR),
    KERNEL(SET_VRING_BASE),
    KERNEL(GET_VRING_BASE),
    KERNEL(SET_VRING_ENDIAN),
    KERNEL(GET_VRING_ENDIAN),
    KERNEL(SET_VRING_KICK),
    KERNEL(SET_VRING_CALL),
    KERNEL(SET_VRING_ERR),
    KERNEL(SET_VRING_BUSYLOOP_TIMEOUT),
    KERNEL(GET_VRING_BUSYLOOP_TIMEOUT),
    KERNEL(SET_BACKEND_FEATURES),
    KERNEL(GET_BACKEND_FEATURES),
    KERNEL(NET_SET_BACKEND),
    KERNEL(SCSI_SET_ENDPOINT),
    KERNEL(SCSI_CLEAR_ENDPOINT),
    KERNEL(SCSI_GET_ABI_VERSION),
    KERNEL(SCSI_SET_EVENTS_MISSED),
    KERNEL(SCSI_GET_EVENTS_MISSED),
    KERNEL(VSOCK_SET_GUEST_CID),
    KERNEL(VSOCK_SET_RUNNING),
    KERNEL(VDPA_GET_DEVICE_ID),
    KERNEL(VDPA_GET_STATUS),
    KERNEL(VDPA_SET_STATUS),
    KERNEL(VDPA_GET_CONFIG),
    KERNEL(VDPA_SET_CONFIG),
    KERNEL(VDPA_SET_VRING_ENABLE),
    KERNEL(VDPA_GET_VRING_NUM),
    KERNEL(VDPA_SET_CONFIG_CALL),
    KERNEL(VDPA_GET_IOVA_RANGE),
    KERNEL(VDPA_GET_CONFIG_SIZE),
    KERNEL(VDPA_GET_AS_NUM),
    KERNEL(VDPA_GET_VRING_GROUP),
    KERNEL(VDPA_SET_GROUP_ASID),
    KERNEL(VDPA_SUSPEND),
    KERNEL(VDPA_GET_VQS_COUNT),
    KERNEL(VDPA_GET_GROUP_NUM),
};

static void test_ioctl_table_kernel_header(void **state)
{
	unsigned int found = 0;

	(void)state;
	for (int i = 0; i < VHI_CALL_COUNT; i++)
		for (size_t j = 0; j < sizeof(header) / sizeof(header[0]); j++)
			if (strcmp(hand[i].name, header[j].name) == 0) {
				assert_int_equal(hand[i].number,
						 header[j].number);
				found++;
			}
	assert_int_equal(found, sizeof(header) / sizeof(header[0]));
}

static void test_ioctl_table_structs(void **state)
{
	(void)state;
	assert_int_equal(sizeof(struct vhi_vring_places),
			 sizeof(struct vhost_vring_addr));
	assert_int_equal(offsetof(struct vhi_vring_places, descriptors),
			 offsetof(struct vhost_vring_addr, desc_user_addr));
	assert_int_equal(offsetof(struct vhi_vring_places, used),
			 offsetof(struct vhost_vring_addr, used_user_addr));
	assert_int_equal(offsetof(struct vhi_vring_places, available),
			 offsetof(struct vhost_vring_addr, avail_user_addr));
	assert_int_equal(offsetof(struct vhi_vring_places, log),
			 offsetof(struct vhost_vring_addr, log_guest_addr));
	assert_int_equal(sizeof(struct vhi_iotlb_message),
			 sizeof(struct vhost_msg));
	assert_int_equal(sizeof(struct vhi_iotlb_message),
			 sizeof(struct vhost_msg_v2));
	assert_int_equal(offsetof(struct vhi_iotlb_message, iova),
			 offsetof(struct vhost_msg, iotlb.iova));
	assert_int_equal(offsetof(struct vhi_iotlb_message, asid),
			 offsetof(struct vhost_msg_v2, asid));
	assert_int_equal(offsetof(struct vhi_iotlb_message, host),
			 offsetof(struct vhost_msg_v2, iotlb.uaddr));
	assert_int_equal(offsetof(struct vhi_iotlb_message, access),
			 offsetof(struct vhost_msg_v2, iotlb.perm));
	assert_int_equal(offsetof(struct vhi_iotlb_message, type),
			 offsetof(struct vhost_msg_v2, iotlb.type));
	assert_int_equal(sizeof(struct vhi_scsi_target),
			 sizeof(struct vhost_scsi_target));
	assert_int_equal(offsetof(struct vhi_scsi_target, tpgt),
			 offsetof(struct vhost_scsi_target, vhost_tpgt));
	assert_int_equal(sizeof(struct vhi_table_region),
			 sizeof(struct vhost_memory_region));
	assert_int_equal(offsetof(struct vhi_table_region, host),
			 offsetof(struct vhost_memory_region, userspace_addr));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_ioctl_table_numbers),
	    cmocka_unit_test(test_ioctl_table_kernel_header),
	    cmocka_unit_test(test_ioctl_table_structs),
	};

	return cmocka_run_group_tests_name("ioctl-table", tests, NULL, NULL);
}
