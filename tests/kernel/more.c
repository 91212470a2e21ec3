/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Requests that only some kernels have. */
#include "box.h"

static void test_kernel_more_back_end_features(void **state)
{
	struct box *box = *state;
	uint64_t features = 0;

	shim_answer_u64(N_GET_BACKEND_FEATURES, 2);
	OK(vh_backend_get_backend_features(box->backend, &features));
	assert_int_equal(features, VH_BACKEND_F_IOTLB_MSG_V2);
	shim_forget();
	box_fails(box,
		  vh_backend_set_backend_features(box->backend,
						  VH_BACKEND_F_IOTLB_BATCH),
		  -EINVAL);
	assert_int_equal(shim_count(N_SET_BACKEND_FEATURES), 0);
	OK(vh_backend_set_backend_features(box->backend, 2));
	shim_expect_any(N_GET_BACKEND_FEATURES);
	shim_expect_any(N_GET_BACKEND_FEATURES);
	shim_expect_u64(N_SET_BACKEND_FEATURES, 2);
}

static void test_kernel_more_busyloop(void **state)
{
	struct box *box = *state;
	const uint32_t answer[2] = {1, 77};
	uint32_t value = 0;

	box_prepare(box, 0, 0);
	OK(vh_kernel_set_vring_busyloop_timeout(box->backend, 1, 50));
	shim_expect_2(N_SET_VRING_BUSYLOOP_TIMEOUT, 1, 50);
	shim_answer(N_GET_VRING_BUSYLOOP_TIMEOUT, answer, sizeof(answer));
	OK(vh_kernel_get_vring_busyloop_timeout(box->backend, 1, &value));
	assert_int_equal(value, 77);
	shim_expect_2(N_GET_VRING_BUSYLOOP_TIMEOUT, 1, 0);
	shim_expect_nothing();
}

static void test_kernel_more_endian(void **state)
{
	struct box *box = *state;
	struct vh_backend *b = box->backend;
	const uint32_t answer[2] = {0, 1};
	bool big = false;

	box_fails(box, vh_backend_set_vring_endian(b, 0, true), -EPERM);
	box_prepare(box, 0, 0);
	OK(vh_backend_set_vring_endian(b, 0, true));
	shim_expect_2(N_SET_VRING_ENDIAN, 0, 1);
	OK(vh_backend_set_vring_endian(b, 0, false));
	shim_expect_2(N_SET_VRING_ENDIAN, 0, 0);
	shim_answer(N_GET_VRING_ENDIAN, answer, sizeof(answer));
	OK(vh_kernel_get_vring_endian(b, 0, &big));
	assert_true(big);
	shim_expect_2(N_GET_VRING_ENDIAN, 0, 0);
	OK(vh_backend_set_vring_kick(b, 0, box->kick[0]));
	box_fails(box, vh_backend_set_vring_endian(b, 0, true), -EBUSY);
	assert_int_equal(shim_count(N_SET_VRING_ENDIAN), 2);
}

/* A reset leaves the order of the host, which is that of before. */
static void test_kernel_more_endian_reset(void **state)
{
	struct box *box = *state;
	const uint32_t native = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;

	OK(vh_backend_set_owner(box->backend));
	OK(vh_backend_set_vring_endian(box->backend, 1, true));
	shim_forget();
	OK(vh_backend_reset_device(box->backend));
	shim_expect_2(N_SET_VRING_KICK, 1, UINT32_MAX);
	shim_expect_2(N_SET_VRING_BASE, 1, 0);
	shim_expect_2(N_SET_VRING_ENDIAN, 1, native);
	shim_expect_u64(N_SET_FEATURES, 0);
	OK(vh_backend_reset_device(box->backend));
	shim_expect_u64(N_SET_FEATURES, 0);
	shim_expect_nothing();
}

static void test_kernel_more_workers(void **state)
{
	struct box *box = *state;
	const uint32_t answer[2] = {1, 9};
	uint32_t worker = 0;

	box_prepare(box, 0, 0);
	shim_answer_u32(N_NEW_WORKER, 9);
	OK(vh_kernel_new_worker(box->backend, &worker));
	assert_int_equal(worker, 9);
	shim_expect_any(N_NEW_WORKER);
	OK(vh_kernel_attach_vring_worker(box->backend, 1, worker));
	shim_expect_2(N_ATTACH_VRING_WORKER, 1, 9);
	worker = 0;
	shim_answer(N_GET_VRING_WORKER, answer, sizeof(answer));
	OK(vh_kernel_get_vring_worker(box->backend, 1, &worker));
	assert_int_equal(worker, 9);
	shim_expect_2(N_GET_VRING_WORKER, 1, 0);
	OK(vh_kernel_free_worker(box->backend, 9));
	shim_expect_u32(N_FREE_WORKER, 9);
	shim_expect_nothing();
	shim_fail(N_FREE_WORKER, EBUSY);
	box_fails(box, vh_kernel_free_worker(box->backend, 9), -EBUSY);
}

static void test_kernel_more_features_array(void **state)
{
	struct box *box = *state;
	const uint64_t answer[3] = {2, NET_FEATURES, UINT64_C(1) << 1};
	const uint64_t wanted[3] = {2, UINT64_C(1) << 32, UINT64_C(1) << 1};
	uint64_t words[2] = {0};

	shim_answer(N_GET_FEATURES_ARRAY, answer, sizeof(answer));
	OK(vh_kernel_get_features_array(box->backend, words, 2));
	assert_int_equal(words[0], NET_FEATURES);
	assert_int_equal(words[1], UINT64_C(1) << 1);
	shim_forget();
	OK(vh_kernel_set_features_array(box->backend, wanted + 1, 2));
	shim_expect_any(N_GET_FEATURES);
	shim_expect(N_SET_FEATURES_ARRAY, wanted, sizeof(wanted));
	words[0] = 1;
	box_fails(box, vh_kernel_set_features_array(box->backend, words, 2),
		  -EINVAL);
	box_fails(box, vh_kernel_get_features_array(box->backend, words, 0),
		  -EINVAL);
	box_fails(box, vh_kernel_get_features_array(box->backend, words, 65),
		  -EINVAL);
}

static void test_kernel_more_fork_from_owner(void **state)
{
	struct box *box = *state;
	bool fork = false;

	OK(vh_kernel_set_fork_from_owner(box->backend, true));
	shim_expect(N_SET_FORK_FROM_OWNER, "\x01", 1);
	shim_answer(N_GET_FORK_FROM_OWNER, "\x01", 1);
	OK(vh_kernel_get_fork_from_owner(box->backend, &fork));
	assert_true(fork);
	OK(vh_backend_set_owner(box->backend));
	box_fails(box, vh_kernel_set_fork_from_owner(box->backend, false),
		  -EBUSY);
	assert_int_equal(shim_count(N_SET_FORK_FROM_OWNER), 1);
}

/*
 * Before there is an owner, a kernel that doesn't know a request says that
 * the caller isn't that.
 */
static void test_kernel_more_unknown_without_owner(void **state)
{
	struct box *box = *state;
	uint64_t word;
	bool fork;

	shim_fail(N_SET_FORK_FROM_OWNER, EPERM);
	shim_fail(N_GET_FORK_FROM_OWNER, EPERM);
	shim_fail(N_GET_FEATURES_ARRAY, EPERM);
	shim_fail(N_GET_BACKEND_FEATURES, EPERM);
	box_fails(box, vh_kernel_set_fork_from_owner(box->backend, true),
		  -EOPNOTSUPP);
	box_fails(box, vh_kernel_get_fork_from_owner(box->backend, &fork),
		  -EOPNOTSUPP);
	box_fails(box, vh_kernel_get_features_array(box->backend, &word, 1),
		  -EOPNOTSUPP);
	box_fails(box, vh_backend_get_backend_features(box->backend, &word),
		  -EOPNOTSUPP);
}

static int no_backend(void **state)
{
	shim_reset();
	*state = NULL;
	return 0;
}

static void expect_fault(int r, int error, const struct vh_fault *fault)
{
	assert_int_equal(r, error);
	assert_int_equal(fault->error, error);
	assert_true(fault->text[0]);
}

/* A driver of another kind says what those of the kernel say. */
static void test_kernel_open_other_driver(void **state)
{
	struct vh_backend *b = NULL;
	struct vh_fault fault;
	VH_OPTS(vh_net_opts, net);
	VH_OPTS(vh_vsock_opts, vsock);
	VH_OPTS(vh_scsi_opts, scsi);

	(void)state;
	net.fd = vsock.fd = scsi.fd = shim_fd();
	/* No vhost at all. */
	shim_fail(N_GET_FEATURES, ENOTTY);
	expect_fault(vh_net_open(&net, &fault, &b), -ENOTTY, &fault);
	expect_fault(vh_vsock_open(&vsock, &fault, &b), -ENOTTY, &fault);
	expect_fault(vh_scsi_open(&scsi, &fault, &b), -ENOTTY, &fault);
	shim_fail(N_GET_FEATURES, 0);
	/* A vhost device of somebody else. */
	shim_answer_u64(N_GET_FEATURES, NET_FEATURES);
	shim_fail(N_NET_SET_BACKEND, EPERM);
	shim_fail(N_VSOCK_SET_GUEST_CID, EPERM);
	shim_fail(N_SCSI_GET_ABI_VERSION, EPERM);
	expect_fault(vh_net_open(&net, &fault, &b), -ENOTTY, &fault);
	expect_fault(vh_vsock_open(&vsock, &fault, &b), -ENOTTY, &fault);
	expect_fault(vh_scsi_open(&scsi, &fault, &b), -ENOTTY, &fault);
	shim_fail(N_NET_SET_BACKEND, 0);
	shim_answer_u64(N_GET_FEATURES, VSOCK_FEATURES);
	expect_fault(vh_net_open(&net, &fault, &b), -ENOTTY, &fault);
	shim_fail(N_SCSI_GET_ABI_VERSION, 0);
	shim_answer_u32(N_SCSI_GET_ABI_VERSION, 2);
	expect_fault(vh_scsi_open(&scsi, &fault, &b), -EOPNOTSUPP, &fault);
	shim_answer_u32(N_SCSI_GET_ABI_VERSION, UINT32_MAX);
	expect_fault(vh_scsi_open(&scsi, &fault, &b), -EPROTO, &fault);
	assert_null(b);
	assert_int_equal(vh_net_open(&net, NULL, &b), -ENOTTY);
	shim_reset();
}

static void test_kernel_open_options(void **state)
{
	struct vh_backend *b = NULL;
	struct vh_fault fault;
	struct {
		struct vh_net_opts opts;
		uint64_t more;
	} newer = {.opts.size = sizeof(newer), .more = 1};
	const int tap = 0, no_tap = 100000;
	VH_OPTS(vh_net_opts, net);
	VH_OPTS(vh_vsock_opts, vsock);
	VH_OPTS(vh_scsi_opts, scsi);

	(void)state;
	shim_answer_u64(N_GET_FEATURES, NET_FEATURES);
	shim_answer_u32(N_SCSI_GET_ABI_VERSION, 1);
	shim_fail_after(N_VSOCK_SET_GUEST_CID, EINVAL, 0);
	newer.opts.fd = net.fd = vsock.fd = scsi.fd = shim_fd();
	expect_fault(vh_net_open(&newer.opts, &fault, &b), -E2BIG, &fault);
	expect_fault(vh_net_open(NULL, &fault, &b), -EINVAL, &fault);
	net.taps = &tap;
	expect_fault(vh_net_open(&net, &fault, &b), -EINVAL, &fault);
	net.num_taps = 3;
	expect_fault(vh_net_open(&net, &fault, &b), -EINVAL, &fault);
	net.taps = &no_tap;
	net.num_taps = 1;
	expect_fault(vh_net_open(&net, &fault, &b), -EBADF, &fault);
	vsock.guest_cid = 2;
	expect_fault(vh_vsock_open(&vsock, &fault, &b), -EINVAL, &fault);
	scsi.num_queues = 2;
	expect_fault(vh_scsi_open(&scsi, &fault, &b), -EINVAL, &fault);
	scsi.num_queues = 1027;
	expect_fault(vh_scsi_open(&scsi, &fault, &b), -EINVAL, &fault);
	net.fd = 100000;
	expect_fault(vh_net_open(&net, &fault, &b), -EBADF, &fault);
	assert_null(b);
	shim_reset();
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, box_net, box_free)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_kernel_more_back_end_features),
	    CASE(test_kernel_more_busyloop),
	    CASE(test_kernel_more_endian),
	    CASE(test_kernel_more_endian_reset),
	    CASE(test_kernel_more_workers),
	    CASE(test_kernel_more_features_array),
	    CASE(test_kernel_more_fork_from_owner),
	    CASE(test_kernel_more_unknown_without_owner),
	    cmocka_unit_test_setup(test_kernel_open_other_driver, no_backend),
	    cmocka_unit_test_setup(test_kernel_open_options, no_backend),
	};

	return cmocka_run_group_tests_name("kernel-more", tests, NULL, NULL);
}
