/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* vhost-vsock and vhost-scsi: all rings run, or none. */
#include "box.h"

#include <sys/mman.h>

static void test_kernel_vsock_runs_with_both_rings(void **state)
{
	struct box *box = *state;
	const uint32_t base[2] = {1, 7};
	uint32_t value = 0;

	OK(vh_vsock_set_guest_cid(box->backend, 42));
	shim_expect_u64(N_VSOCK_SET_GUEST_CID, 42);
	box_prepare(box, 0, 0);
	box_prepare(box, 0, 1);
	OK(vh_backend_set_vring_kick(box->backend, 0, box->kick[0]));
	OK(vh_backend_set_vring_enable(box->backend, 0, true));
	OK(vh_backend_set_vring_kick(box->backend, 1, box->kick[1]));
	shim_expect_any(N_SET_VRING_KICK);
	shim_expect_any(N_SET_VRING_KICK);
	shim_expect_nothing();
	OK(vh_backend_set_vring_enable(box->backend, 1, true));
	shim_expect_any(N_SET_VRING_ADDR);
	shim_expect_any(N_SET_VRING_ADDR);
	shim_expect_u32(N_VSOCK_SET_RUNNING, 1);
	shim_expect_nothing();
	shim_answer(N_GET_VRING_BASE, base, sizeof(base));
	OK(vh_backend_get_vring_base(box->backend, 1, &value));
	assert_int_equal(value, 7);
	shim_expect_u32(N_VSOCK_SET_RUNNING, 0);
	shim_expect_2(N_GET_VRING_BASE, 1, 0);
	shim_expect_nothing();
}

static void test_kernel_vsock_running(void **state)
{
	struct box *box = *state;

	box_fails(box, vh_vsock_set_running(box->backend, true), -EINVAL);
	OK(vh_vsock_set_guest_cid(box->backend, 42));
	box_start(box, 0, 2);
	OK(vh_vsock_set_running(box->backend, false));
	shim_expect_u32(N_VSOCK_SET_RUNNING, 0);
	OK(vh_vsock_set_running(box->backend, false));
	shim_expect_nothing();
	OK(vh_vsock_set_running(box->backend, true));
	assert_int_equal(shim_count(N_VSOCK_SET_RUNNING), 2);
}

static void test_kernel_vsock_needs_cid(void **state)
{
	struct box *box = *state;

	box_prepare(box, 0, 0);
	box_prepare(box, 0, 1);
	for (uint32_t i = 0; i < 2; i++)
		OK(vh_backend_set_vring_kick(box->backend, i, box->kick[i]));
	OK(vh_backend_set_vring_enable(box->backend, 0, true));
	box_fails(box, vh_backend_set_vring_enable(box->backend, 1, true),
		  -EINVAL);
	assert_int_equal(shim_count(N_VSOCK_SET_RUNNING), 0);
	OK(vh_vsock_set_guest_cid(box->backend, 42));
	OK(vh_backend_set_vring_enable(box->backend, 1, true));
	assert_int_equal(shim_count(N_VSOCK_SET_RUNNING), 1);
}

static void test_kernel_vsock_cids(void **state)
{
	static const uint64_t bad[] = {
	    0, 1, 2, UINT32_MAX, UINT64_C(1) << 32, UINT64_MAX};
	struct box *box = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		box_fails(box, vh_vsock_set_guest_cid(box->backend, bad[i]),
			  -EINVAL);
	shim_expect_nothing();
	shim_fail(N_VSOCK_SET_GUEST_CID, EADDRINUSE);
	box_fails(box, vh_vsock_set_guest_cid(box->backend, 3), -EADDRINUSE);
}

/* A kernel without RESET_OWNER there: everything is taken back by hand. */
static void test_kernel_vsock_release(void **state)
{
	struct box *box = *state;
	const uint64_t no_table = 0;

	OK(vh_vsock_set_guest_cid(box->backend, 42));
	box_start(box, 0, 2);
	shim_fail(N_RESET_OWNER, ENOTTY);
	OK(vh_backend_release(box->backend));
	shim_expect_u32(N_VSOCK_SET_RUNNING, 0);
	for (uint32_t i = 0; i < 2; i++) {
		shim_expect_2(N_SET_VRING_KICK, i, UINT32_MAX);
		shim_expect_2(N_SET_VRING_BASE, i, 0);
	}
	shim_expect_u64(N_SET_FEATURES, 0);
	shim_expect(N_RESET_OWNER, NULL, 0);
	for (uint32_t i = 0; i < 2; i++) {
		shim_expect_2(N_SET_VRING_CALL, i, UINT32_MAX);
		shim_expect_2(N_SET_VRING_ERR, i, UINT32_MAX);
	}
	shim_expect_u32(N_SET_LOG_FD, UINT32_MAX);
	shim_expect(N_SET_MEM_TABLE, &no_table, 8);
	shim_expect_nothing();
	/* The owner is still this process. */
	OK(vh_backend_set_owner(box->backend));
	shim_expect_nothing();
}

static void test_kernel_scsi_endpoint(void **state)
{
	struct box *box = *state;
	unsigned char target[232] = {1};
	const uint16_t tpgt = 7;
	uint32_t value = 0;

	memcpy(target + 4, "naa.5001405000000001", 20);
	memcpy(target + 228, &tpgt, 2);
	OK(vh_backend_get_queue_num(box->backend, &value));
	assert_int_equal(value, 3);
	box_prepare(box, 0, 0);
	box_prepare(box, 0, 1);
	box_prepare(box, 0, 2);
	for (uint32_t i = 0; i < 3; i++) {
		OK(vh_backend_set_vring_enable(box->backend, i, true));
		assert_int_equal(shim_count(N_SCSI_SET_ENDPOINT), 0);
		OK(vh_backend_set_vring_kick(box->backend, i, box->kick[0]));
	}
	shim_expect_any(N_SET_VRING_KICK);
	shim_expect_any(N_SET_VRING_KICK);
	shim_expect_any(N_SET_VRING_KICK);
	shim_expect_any(N_SET_VRING_ADDR);
	shim_expect_any(N_SET_VRING_ADDR);
	shim_expect_any(N_SET_VRING_ADDR);
	shim_expect(N_SCSI_SET_ENDPOINT, target, sizeof(target));
	shim_expect_nothing();
	box_fails(box, vh_scsi_set_endpoint(box->backend, "naa.5", 1), -EBUSY);
	OK(vh_scsi_clear_endpoint(box->backend));
	shim_expect(N_SCSI_CLEAR_ENDPOINT, target, sizeof(target));
	shim_expect_nothing();
	/* Without one it doesn't run. */
	for (uint32_t i = 0; i < 2; i++)
		OK(vh_backend_set_vring_kick(box->backend, i, box->kick[0]));
	box_fails(box, vh_backend_set_vring_kick(box->backend, 2, box->kick[0]),
		  -EINVAL);
	OK(vh_scsi_set_endpoint(box->backend, "naa.5", 1));
	shim_fail(N_SCSI_SET_ENDPOINT, ENODEV);
	box_fails(box, vh_backend_set_vring_kick(box->backend, 2, box->kick[0]),
		  -ENODEV);
	shim_fail(N_SCSI_SET_ENDPOINT, 0);
	OK(vh_backend_set_vring_kick(box->backend, 2, box->kick[0]));
}

/* What doesn't run isn't stopped by that. */
static void test_kernel_scsi_clear_early(void **state)
{
	struct box *box = *state;

	for (uint32_t i = 0; i < 3; i++) {
		box_prepare(box, 0, i);
		OK(vh_backend_set_vring_kick(box->backend, i, box->kick[0]));
	}
	OK(vh_scsi_clear_endpoint(box->backend));
	box_fails(box, vh_backend_set_vring_num(box->backend, 0, 64), -EBUSY);
	assert_int_equal(shim_count(N_SCSI_CLEAR_ENDPOINT), 0);
}

static bool is_mapped(uint64_t host)
{
	unsigned char page;

	return mincore((void *)(uintptr_t)host, 4096, &page) == 0;
}

/* A region at HIGH that is mapped from a file. */
static void add_file(struct box *box, struct vh_region *ret, uint64_t *ret_host)
{
	int fd = memfd_create("guest", MFD_CLOEXEC);
	uint64_t table[9];

	*ret = box_region(box, true);
	ret->fd = fd;
	assert_int_equal(ftruncate(fd, (off_t)RAM_SIZE), 0);
	shim_forget();
	OK(vh_backend_add_region(box->backend, ret));
	memcpy(table, shim_expect_any(N_SET_MEM_TABLE), sizeof(table));
	close(fd);
	*ret_host = table[7];
	assert_true(is_mapped(*ret_host));
}

/* A request may still have addresses of memory that was taken away. */
static void test_kernel_scsi_lingers(void **state)
{
	struct box *box = *state;
	struct vh_region region;
	uint64_t host;

	box_start(box, 0, 3);
	for (int i = 0; i < 2; i++) {
		add_file(box, &region, &host);
		OK(vh_backend_remove_region(box->backend, &region));
		assert_true(is_mapped(host));
	}
	OK(vh_backend_set_vring_enable(box->backend, 1, false));
	assert_int_equal(shim_count(N_SCSI_CLEAR_ENDPOINT), 1);
	assert_false(is_mapped(host));
	/* None has once they have stopped. */
	add_file(box, &region, &host);
	OK(vh_backend_remove_region(box->backend, &region));
	assert_false(is_mapped(host));
	OK(vh_backend_set_vring_enable(box->backend, 1, true));
	add_file(box, &region, &host);
	OK(vh_backend_remove_region(box->backend, &region));
}

static void test_kernel_vsock_lets_go(void **state)
{
	struct box *box = *state;
	struct vh_region region;
	uint64_t host;

	OK(vh_vsock_set_guest_cid(box->backend, 5));
	box_start(box, 0, 2);
	add_file(box, &region, &host);
	OK(vh_backend_remove_region(box->backend, &region));
	assert_false(is_mapped(host));
}

static void test_kernel_scsi_names(void **state)
{
	struct box *box = *state;
	char name[300];

	memset(name, 'a', sizeof(name));
	name[224] = 0;
	box_fails(box, vh_scsi_set_endpoint(box->backend, name, 1), -EINVAL);
	box_fails(box, vh_scsi_set_endpoint(box->backend, "", 1), -EINVAL);
	box_fails(box, vh_scsi_set_endpoint(box->backend, NULL, 1), -EINVAL);
	name[223] = 0;
	OK(vh_scsi_set_endpoint(box->backend, name, 1));
	shim_expect_nothing();
}

static void test_kernel_scsi_more(void **state)
{
	struct box *box = *state;
	uint32_t missed = 0;
	int version = 0;

	OK(vh_scsi_get_abi_version(box->backend, &version));
	assert_int_equal(version, 1);
	shim_expect_any(N_SCSI_GET_ABI_VERSION);
	OK(vh_scsi_set_events_missed(box->backend, 1));
	shim_expect_u32(N_SCSI_SET_EVENTS_MISSED, 1);
	shim_answer_u32(N_SCSI_GET_EVENTS_MISSED, 5);
	OK(vh_scsi_get_events_missed(box->backend, &missed));
	assert_int_equal(missed, 5);
	shim_expect_any(N_SCSI_GET_EVENTS_MISSED);
	shim_expect_nothing();
	box_fails(box, vh_net_set_backend(box->backend, 0, -1), -EOPNOTSUPP);
}

/* vhost-scsi has no IOMMU, so that nothing is ever read from it, or polled. */
static void test_kernel_scsi_no_iotlb(void **state)
{
	struct box *box = *state;

	box_fails(box, vh_backend_fd(box->backend), -EOPNOTSUPP);

	assert_int_equal(vh_backend_capabilities(box->backend),
			 VH_CAP_RESET | VH_CAP_REGIONS | VH_CAP_LOG);
	box_fails(box, vh_backend_iotlb_invalidate(box->backend, 0, 4096),
		  -EINVAL);
}

#define VSOCK(name) cmocka_unit_test_setup_teardown(name, box_vsock, box_free)
#define SCSI(name)  cmocka_unit_test_setup_teardown(name, box_scsi, box_free)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    VSOCK(test_kernel_vsock_runs_with_both_rings),
	    VSOCK(test_kernel_vsock_running),
	    VSOCK(test_kernel_vsock_needs_cid),
	    VSOCK(test_kernel_vsock_cids),
	    VSOCK(test_kernel_vsock_release),
	    SCSI(test_kernel_scsi_endpoint),
	    SCSI(test_kernel_scsi_clear_early),
	    SCSI(test_kernel_scsi_lingers),
	    VSOCK(test_kernel_vsock_lets_go),
	    SCSI(test_kernel_scsi_names),
	    SCSI(test_kernel_scsi_more),
	    SCSI(test_kernel_scsi_no_iotlb),
	};

	return cmocka_run_group_tests_name("kernel-whole", tests, NULL, NULL);
}
