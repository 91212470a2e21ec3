/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* vhost-net: each operation's request, its bytes, and their order. */
#include "box.h"

#include <fcntl.h>

static void test_kernel_net_capabilities(void **state)
{
	struct box *box = *state;
	uint32_t value;

	assert_int_equal(vh_backend_capabilities(box->backend),
			 VH_CAP_RESET | VH_CAP_REGIONS | VH_CAP_LOG |
			     VH_CAP_IOTLB);
	OK(vh_backend_get_queue_num(box->backend, &value));
	assert_int_equal(value, 2);
	OK(vh_backend_get_max_mem_slots(box->backend, &value));
	assert_true(value >= 1);
	assert_int_equal(vh_backend_fd(box->backend) >= 0, 1);
	shim_expect_nothing();
}

static void test_kernel_net_owner(void **state)
{
	struct box *box = *state;

	OK(vh_backend_set_owner(box->backend));
	shim_expect(N_SET_OWNER, NULL, 0);
	OK(vh_backend_set_owner(box->backend));
	shim_expect_nothing();
}

static void test_kernel_net_owner_is_another(void **state)
{
	struct box *box = *state;

	shim_fail(N_SET_OWNER, EBUSY);
	box_fails(box, vh_backend_set_owner(box->backend), -EBUSY);
}

static void test_kernel_net_features(void **state)
{
	struct box *box = *state;
	uint64_t features = 0;

	OK(vh_backend_get_features(box->backend, &features));
	assert_int_equal(features, NET_FEATURES);
	shim_forget();
	OK(vh_backend_set_features(box->backend, UINT64_C(0x100008000)));
	shim_expect_any(N_GET_FEATURES);
	shim_expect_u64(N_SET_FEATURES, UINT64_C(0x100008000));
	shim_expect_nothing();
	box_fails(box, vh_backend_set_features(box->backend, 1), -EINVAL);
	assert_int_equal(shim_count(N_SET_FEATURES), 1);
}

/* A ring that is started keeps its features, and tells whom it calls. */
static void test_kernel_net_started_and_disabled(void **state)
{
	struct box *box = *state;
	struct vh_backend *b = box->backend;
	uint64_t value = 0;

	box_prepare(box, VH_F_ACCESS_PLATFORM, 0);
	OK(vh_backend_set_vring_kick(b, 0, box->kick[0]));
	shim_forget();
	box_fails(box, vh_backend_set_features(b, VH_F_VERSION_1), -EBUSY);
	box_fails(box, vh_backend_set_features(b, 0), -EBUSY);
	assert_int_equal(shim_count(N_SET_FEATURES), 0);
	OK(vh_backend_set_vring_call(b, 0, box->kick[1]));
	assert_int_equal(read(box->kick[1], &value, sizeof(value)), 8);
	assert_int_equal(value, 1);
}

/* Of a front-end behind a server, say: full, and writes block. */
static void test_kernel_net_spoiled_descriptors(void **state)
{
	const uint64_t most = UINT64_MAX - 1;
	struct box *box = *state;
	int fd = box->kick[0];

	assert_int_equal(write(fd, &most, sizeof(most)), sizeof(most));
	assert_int_equal(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK),
			 0);
	box_start(box, UINT64_C(1) << 32, 2);
	OK(vh_backend_set_vring_call(box->backend, 0, fd));
}

static void test_kernel_net_ring(void **state)
{
	struct box *box = *state;
	uint64_t host = (uintptr_t)box->ram;
	const struct vh_region region = box_region(box, false);
	const struct vh_vring_addr addr = {
	    .descriptors = DESCRIPTORS,
	    .available = AVAILABLE,
	    .used = USED,
	};
	const uint64_t table[5] = {1, LOW, RAM_SIZE, host, 0};
	const uint64_t places[5] = {1, host + DESCRIPTORS, host + USED,
				    host + AVAILABLE, 0};

	OK(vh_backend_set_owner(box->backend));
	shim_forget();
	OK(vh_backend_set_mem_table(box->backend, &region, 1));
	shim_expect(N_SET_MEM_TABLE, table, sizeof(table));
	OK(vh_backend_set_vring_num(box->backend, 1, 256));
	shim_expect_2(N_SET_VRING_NUM, 1, 256);
	OK(vh_backend_set_vring_base(box->backend, 1, 0xfedc));
	shim_expect_2(N_SET_VRING_BASE, 1, 0xfedc);
	OK(vh_backend_set_vring_addr(box->backend, 1, &addr));
	shim_expect(N_SET_VRING_ADDR, places, sizeof(places));
	OK(vh_backend_set_vring_call(box->backend, 1, box->kick[0]));
	shim_expect_2(N_SET_VRING_CALL, 1, (uint32_t)box->kick[0]);
	OK(vh_backend_set_vring_call(box->backend, 1, -1));
	shim_expect_2(N_SET_VRING_CALL, 1, UINT32_MAX);
	OK(vh_backend_set_vring_err(box->backend, 1, box->kick[0]));
	shim_expect_2(N_SET_VRING_ERR, 1, (uint32_t)box->kick[0]);
	OK(vh_backend_set_vring_kick(box->backend, 1, box->kick[1]));
	shim_expect_file(N_SET_VRING_KICK, 1, box->kick[1]);
	shim_expect_nothing();
	OK(vh_backend_set_vring_enable(box->backend, 1, true));
	shim_expect(N_SET_VRING_ADDR, places, sizeof(places));
	shim_expect_file(N_NET_SET_BACKEND, 1, box->tap[1]);
	shim_expect_nothing();
}

static void test_kernel_net_run_kicks(void **state)
{
	struct box *box = *state;
	uint64_t value = 0;

	box_start(box, 0, 1);
	assert_int_equal(read(box->kick[0], &value, sizeof(value)), 8);
	assert_int_equal(value, 1);
}

static void test_kernel_net_enabled_before_started(void **state)
{
	struct box *box = *state;

	box_prepare(box, 0, 0);
	OK(vh_backend_set_vring_enable(box->backend, 0, true));
	shim_expect_nothing();
	OK(vh_backend_set_vring_kick(box->backend, 0, box->kick[0]));
	shim_expect_any(N_SET_VRING_KICK);
	shim_expect_any(N_SET_VRING_ADDR);
	shim_expect_file(N_NET_SET_BACKEND, 0, box->tap[0]);
	/* Both are so already. */
	OK(vh_backend_set_vring_enable(box->backend, 0, true));
	shim_expect_nothing();
	OK(vh_backend_set_vring_kick(box->backend, 0, box->kick[1]));
	shim_expect_file(N_SET_VRING_KICK, 0, box->kick[1]);
	shim_expect_nothing();
}

static void test_kernel_net_disable_and_stop(void **state)
{
	struct box *box = *state;
	const uint32_t base[2] = {0, 0x1234};
	uint32_t value = 0;

	box_start(box, 0, 1);
	OK(vh_backend_set_vring_enable(box->backend, 0, false));
	shim_expect_2(N_NET_SET_BACKEND, 0, UINT32_MAX);
	OK(vh_backend_set_vring_enable(box->backend, 0, true));
	shim_expect_any(N_SET_VRING_ADDR);
	shim_expect_file(N_NET_SET_BACKEND, 0, box->tap[0]);
	shim_answer(N_GET_VRING_BASE, base, sizeof(base));
	OK(vh_backend_get_vring_base(box->backend, 0, &value));
	assert_int_equal(value, 0x1234);
	shim_expect_2(N_NET_SET_BACKEND, 0, UINT32_MAX);
	shim_expect_2(N_GET_VRING_BASE, 0, 0);
	/* It is stopped: now it may move. */
	OK(vh_backend_set_vring_base(box->backend, 0, 0x1234));
	OK(vh_backend_set_vring_num(box->backend, 0, 128));
	OK(vh_backend_set_vring_kick(box->backend, 0, box->kick[0]));
	assert_int_equal(shim_count(N_NET_SET_BACKEND), 4);
}

static void test_kernel_net_other_tap(void **state)
{
	struct box *box = *state;

	box_start(box, 0, 1);
	OK(vh_net_set_backend(box->backend, 0, box->kick[1]));
	shim_expect_file(N_NET_SET_BACKEND, 0, box->kick[1]);
	OK(vh_net_set_backend(box->backend, 0, -1));
	shim_expect_2(N_NET_SET_BACKEND, 0, UINT32_MAX);
	shim_expect_nothing();
	/* Waits for one, and goes on. */
	OK(vh_net_set_backend(box->backend, 0, box->tap[0]));
	shim_expect_any(N_SET_VRING_ADDR);
	shim_expect_file(N_NET_SET_BACKEND, 0, box->tap[0]);
	/* The kernel doesn't like one: the last one stays. */
	shim_fail(N_NET_SET_BACKEND, ENOTSOCK);
	box_fails(box, vh_net_set_backend(box->backend, 0, box->kick[0]),
		  -ENOTSOCK);
	shim_fail(N_NET_SET_BACKEND, 0);
	shim_forget();
	OK(vh_backend_set_vring_enable(box->backend, 0, false));
	OK(vh_backend_set_vring_enable(box->backend, 0, true));
	shim_expect_any(N_NET_SET_BACKEND);
	shim_expect_any(N_SET_VRING_ADDR);
	shim_expect_file(N_NET_SET_BACKEND, 0, box->tap[0]);
	assert_int_equal(vh_net_set_backend(box->backend, 2, -1), -ERANGE);
}

static void test_kernel_net_release(void **state)
{
	struct box *box = *state;

	box_start(box, 0, 2);
	OK(vh_backend_release(box->backend));
	assert_int_equal(shim_count(N_NET_SET_BACKEND), 2);
	assert_int_equal(shim_count(N_RESET_OWNER), 1);
	shim_forget();
	/* As a new one expects it: nothing is set up. */
	OK(vh_backend_set_owner(box->backend));
	shim_expect(N_SET_OWNER, NULL, 0);
	box_fails(box, vh_backend_set_vring_kick(box->backend, 0, box->kick[0]),
		  -EINVAL);
	shim_expect_nothing();
}

static void test_kernel_net_reset(void **state)
{
	struct box *box = *state;

	box_start(box, 0, 1);
	OK(vh_backend_reset_device(box->backend));
	shim_expect_2(N_NET_SET_BACKEND, 0, UINT32_MAX);
	shim_expect_2(N_SET_VRING_KICK, 0, UINT32_MAX);
	shim_expect_2(N_SET_VRING_BASE, 0, 0);
	shim_expect_u64(N_SET_FEATURES, 0);
	shim_expect_nothing();
	/* Memory stays. */
	box_fails(box, vh_backend_set_vring_kick(box->backend, 0, box->kick[0]),
		  -EINVAL);
	OK(vh_backend_set_vring_num(box->backend, 0, 256));
	OK(vh_backend_set_vring_addr(box->backend, 0,
				     &(struct vh_vring_addr){
					 .descriptors = DESCRIPTORS,
					 .available = AVAILABLE,
					 .used = USED,
				     }));
}

static void test_kernel_net_no_config(void **state)
{
	struct box *box = *state;
	uint32_t size;
	uint8_t byte;

	box_fails(box, vh_backend_get_config_size(box->backend, &size),
		  -EOPNOTSUPP);
	box_fails(box, vh_backend_get_config(box->backend, 0, &byte, 1),
		  -EOPNOTSUPP);
	box_fails(box, vh_backend_get_status(box->backend, &byte), -EOPNOTSUPP);
	box_fails(box, vh_vsock_set_guest_cid(box->backend, 3), -EOPNOTSUPP);
	box_fails(box, vh_scsi_clear_endpoint(box->backend), -EOPNOTSUPP);
	box_fails(box, vh_vdpa_suspend(box->backend), -EOPNOTSUPP);
	shim_expect_nothing();
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, box_net, box_free)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_kernel_net_capabilities),
	    CASE(test_kernel_net_owner),
	    CASE(test_kernel_net_owner_is_another),
	    CASE(test_kernel_net_features),
	    CASE(test_kernel_net_started_and_disabled),
	    CASE(test_kernel_net_spoiled_descriptors),
	    CASE(test_kernel_net_ring),
	    CASE(test_kernel_net_run_kicks),
	    CASE(test_kernel_net_enabled_before_started),
	    CASE(test_kernel_net_disable_and_stop),
	    CASE(test_kernel_net_other_tap),
	    CASE(test_kernel_net_release),
	    CASE(test_kernel_net_reset),
	    CASE(test_kernel_net_no_config),
	};

	return cmocka_run_group_tests_name("kernel-net", tests, NULL, NULL);
}
