/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* A vDPA device from open to reset: requests, bytes and their order. */
#include "box.h"

static int none(void **state)
{
	*state = NULL;
	shim_reset();
	return 0;
}

static void test_vdpa_open_asks(void **state)
{
	struct vh_backend *b;
	struct vh_fault fault;
	VH_OPTS(vh_vdpa_opts, opts);

	(void)state;
	box_answers(BACKEND_ALL);
	opts.fd = shim_fd();
	OK(vh_vdpa_open(&opts, &fault, &b));
	shim_expect_any(N_VDPA_GET_DEVICE_ID);
	shim_expect_any(N_VDPA_GET_IOVA_RANGE);
	shim_expect_any(N_VDPA_GET_VRING_NUM);
	shim_expect_any(N_VDPA_GET_CONFIG_SIZE);
	shim_expect_any(N_VDPA_GET_GROUP_NUM);
	shim_expect_any(N_VDPA_GET_AS_NUM);
	shim_expect_any(N_VDPA_GET_VQS_COUNT);
	shim_expect_nothing();
	vh_backend_free(b);
	shim_reset();
}

static void test_vdpa_open_says(void **state)
{
	struct box *box = *state;
	uint32_t value = 0;
	vh_gpa first = 1, last = 1;

	OK(vh_vdpa_get_device_id(box->backend, &value));
	assert_int_equal(value, DEVICE_ID);
	OK(vh_vdpa_get_max_vring_num(box->backend, &value));
	assert_int_equal(value, MAX_NUM);
	OK(vh_vdpa_get_group_num(box->backend, &value));
	assert_int_equal(value, 2);
	OK(vh_vdpa_get_as_num(box->backend, &value));
	assert_int_equal(value, 2);
	OK(vh_backend_get_queue_num(box->backend, &value));
	assert_int_equal(value, 2);
	OK(vh_backend_get_config_size(box->backend, &value));
	assert_int_equal(value, CONFIG_SIZE);
	OK(vh_vdpa_get_iova_range(box->backend, &first, &last));
	assert_int_equal(first, FIRST);
	assert_int_equal(last, LAST);
	shim_expect_nothing();
	assert_int_equal(vh_backend_capabilities(box->backend),
			 VH_CAP_CONFIG | VH_CAP_STATUS | VH_CAP_RESET |
			     VH_CAP_REGIONS | VH_CAP_IOTLB);
}

/* A kernel that tells none of what came later. */
static void test_vdpa_open_old_kernel(void **state)
{
	static const unsigned long later[] = {
	    N_VDPA_GET_IOVA_RANGE, N_VDPA_GET_CONFIG_SIZE, N_VDPA_GET_GROUP_NUM,
	    N_VDPA_GET_AS_NUM,	   N_VDPA_GET_VQS_COUNT,
	};
	static const int unknown[] = {ENOTTY, EPERM, EINVAL, ENOBUFS,
				      EOPNOTSUPP};
	struct vh_backend *b = NULL;
	struct vh_fault fault;
	VH_OPTS(vh_vdpa_opts, opts);

	(void)state;
	opts.fd = shim_fd();
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		vh_gpa first = 1, last = 1;
		uint32_t value = 0;
		uint8_t byte;

		box_answers(0);
		for (size_t j = 0; j < sizeof(later) / sizeof(later[0]); j++)
			shim_fail(later[j], unknown[i]);
		opts.num_queues = 0;
		assert_int_equal(vh_vdpa_open(&opts, &fault, &b), -EINVAL);
		assert_non_null(strstr(fault.text, "num_queues"));
		opts.num_queues = 3;
		OK(vh_vdpa_open(&opts, &fault, &b));
		OK(vh_vdpa_get_iova_range(b, &first, &last));
		assert_int_equal(first, 0);
		assert_int_equal(last, UINT64_MAX);
		OK(vh_backend_get_queue_num(b, &value));
		assert_int_equal(value, 3);
		OK(vh_vdpa_get_as_num(b, &value));
		assert_int_equal(value, 1);
		assert_int_equal(vh_backend_get_config_size(b, &value),
				 -EOPNOTSUPP);
		/* The kernel checks the range then. */
		OK(vh_backend_get_config(b, 100, &byte, 1));
		vh_backend_free(b);
		shim_forget();
	}
	shim_reset();
}

struct lie {
	unsigned long number;
	uint64_t value[2];
	size_t size;
};

static void test_vdpa_open_nonsense(void **state)
{
	static const struct lie lies[] = {
	    {N_VDPA_GET_VRING_NUM, {0}, 2},
	    {N_VDPA_GET_VRING_NUM, {32769}, 2},
	    {N_VDPA_GET_VQS_COUNT, {0}, 4},
	    {N_VDPA_GET_VQS_COUNT, {65537}, 4},
	    {N_VDPA_GET_VQS_COUNT, {UINT32_MAX}, 4},
	    {N_VDPA_GET_GROUP_NUM, {0}, 4},
	    {N_VDPA_GET_AS_NUM, {0}, 4},
	    {N_VDPA_GET_AS_NUM, {UINT32_MAX}, 4},
	    {N_VDPA_GET_CONFIG_SIZE, {UINT32_MAX}, 4},
	    {N_VDPA_GET_IOVA_RANGE, {5, 4}, 16},
	};
	struct vh_backend *b = NULL;
	VH_OPTS(vh_vdpa_opts, opts);

	(void)state;
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct vh_fault fault = {0};

		shim_reset();
		opts.fd = shim_fd();
		box_answers(0);
		/* No other number is to be the one that can't be. */
		if (lies[i].number != N_VDPA_GET_VQS_COUNT)
			shim_fail(N_VDPA_GET_VQS_COUNT, ENOTTY);
		opts.num_queues = 2;
		shim_answer(lies[i].number, lies[i].value, lies[i].size);
		assert_int_equal(vh_vdpa_open(&opts, &fault, &b), -EPROTO);
		assert_int_equal(fault.code, VH_FAULT_MSG_REPLY);
		assert_true(fault.text[0]);
	}
	shim_reset();
	opts.fd = shim_fd();
	box_answers(0);
	shim_fail(N_VDPA_GET_DEVICE_ID, EPERM); /* vhost-net */
	assert_int_equal(vh_vdpa_open(&opts, NULL, &b), -ENOTTY);
	assert_null(b);
	shim_reset();
}

static void test_vdpa_owner(void **state)
{
	struct box *box = *state;

	OK(vh_backend_set_owner(box->backend));
	shim_expect(N_SET_OWNER, NULL, 0);
	shim_expect_any(N_GET_BACKEND_FEATURES);
	shim_expect_any(N_GET_BACKEND_FEATURES);
	shim_expect_u64(N_SET_BACKEND_FEATURES, BACKEND_ALL);
	shim_expect_u32(N_VDPA_SET_CONFIG_CALL,
			(uint32_t)vh_backend_fd(box->backend));
	shim_expect_nothing();
	OK(vh_backend_set_owner(box->backend));
	shim_expect_nothing();
}

/* What isn't known here isn't agreed on, nor DESC_ASID alone. */
/* What failed half-way is taken up again, and isn't called done. */
static void test_vdpa_owner_half_way(void **state)
{
	const unsigned long steps[] = {N_SET_BACKEND_FEATURES,
				       N_VDPA_SET_CONFIG_CALL};
	struct box *box = *state;

	for (size_t i = 0; i < 2; i++) {
		shim_fail(steps[i], EIO);
		box_fails(box, vh_backend_set_owner(box->backend), -EIO);
		box_fails(box, vh_backend_set_owner(box->backend), -EIO);
		assert_int_equal(shim_count(N_SET_OWNER), 1);
		shim_fail(steps[i], 0);
	}
	OK(vh_backend_set_owner(box->backend));
	shim_forget();
	OK(vh_backend_set_owner(box->backend));
	shim_expect_nothing();
}

static void test_vdpa_owner_unknown_features(void **state)
{
	struct box *box = *state;

	shim_answer_u64(N_GET_BACKEND_FEATURES, UINT64_C(0xf000000000000282));
	OK(vh_backend_set_owner(box->backend));
	shim_expect_any(N_SET_OWNER);
	shim_expect_any(N_GET_BACKEND_FEATURES);
	shim_expect_any(N_GET_BACKEND_FEATURES);
	shim_expect_u64(N_SET_BACKEND_FEATURES, 2);
}

static void test_vdpa_owner_chosen_features(void **state)
{
	struct box *box = *state;

	OK(vh_backend_set_backend_features(box->backend,
					   VH_BACKEND_F_IOTLB_MSG_V2));
	shim_forget();
	OK(vh_backend_set_owner(box->backend));
	shim_expect_any(N_SET_OWNER);
	shim_expect_any(N_VDPA_SET_CONFIG_CALL);
	shim_expect_nothing();
}

static void test_vdpa_features(void **state)
{
	struct box *box = *state;
	struct vh_backend *b = box->backend;

	OK(vh_backend_set_owner(b));
	box_status(box, 3);
	shim_forget();
	OK(vh_backend_set_features(b, VERSION_1));
	shim_expect_any(N_GET_FEATURES);
	/* The device gets ACCESS_PLATFORM as well. */
	shim_expect_u64(N_SET_FEATURES, UINT64_C(0x300000000));
	shim_expect_nothing();
	box_fails(box, vh_backend_set_features(b, 1), -EINVAL);
	box_status(box, 11);
	shim_forget();
	box_fails(box, vh_backend_set_features(b, 0), -EBUSY);
	assert_int_equal(shim_count(N_SET_FEATURES), 0);
}

static void test_vdpa_status(void **state)
{
	struct box *box = *state;
	struct vh_backend *b = box->backend;
	uint8_t status = 0;

	OK(vh_backend_set_owner(b));
	shim_forget();
	box_status(box, 3);
	shim_expect_any(N_VDPA_GET_STATUS);
	shim_expect(N_VDPA_SET_STATUS, "\x03", 1);
	shim_expect_any(N_VDPA_GET_STATUS);
	shim_expect_nothing();
	OK(vh_backend_get_status(b, &status));
	assert_int_equal(status, 3);
	/* The device doesn't like the features. */
	box_fails(box, vh_backend_set_status(b, 11), -EINVAL);
	assert_int_equal(vh_backend_fault(b)->code, VH_FAULT_FEATURES);
	/* It needs a reset: that bit isn't the driver's. */
	status = 0x43;
	shim_answer(N_VDPA_GET_STATUS, &status, 1);
	shim_forget();
	OK(vh_backend_set_status(b, 3));
	shim_expect_any(N_VDPA_GET_STATUS);
	shim_expect(N_VDPA_SET_STATUS, "\x43", 1);
	shim_fail(N_VDPA_SET_STATUS, EINVAL);
	box_fails(box, vh_backend_set_status(b, 7), -EINVAL);
	box_fails(box, vh_backend_set_status(b, 0), -EINVAL);
}

/* It may have started, whether it answers or not. */
static void test_vdpa_status_unanswered(void **state)
{
	struct box *box = *state;
	struct vh_backend *b = box->backend;
	uint32_t base;

	box_prepare(box);
	OK(vh_backend_set_vring_kick(b, 0, box->event));
	shim_fail_after(N_VDPA_GET_STATUS, EIO, 1);
	box_fails(box, vh_backend_set_status(b, 15), -EIO);
	shim_forget();
	OK(vh_backend_get_vring_base(b, 0, &base));
	shim_expect(N_VDPA_SUSPEND, NULL, 0);
}

static void test_vdpa_reset(void **state)
{
	struct box *box = *state;
	struct vh_backend *b = box->backend;

	box_start(box);
	OK(vh_backend_set_vring_call(b, 1, box->event));
	shim_forget();
	OK(vh_backend_reset_device(b));
	shim_expect(N_VDPA_SET_STATUS, "\x00", 1);
	shim_expect_2(N_SET_VRING_KICK, 0, UINT32_MAX);
	/* The device has forgotten whom to call. */
	shim_expect_file(N_SET_VRING_CALL, 1, box->event);
	shim_expect_u32(N_VDPA_SET_CONFIG_CALL, (uint32_t)vh_backend_fd(b));
	/* Mappings persist. */
	shim_expect_nothing();
	box_fails(box, vh_backend_set_vring_kick(b, 0, box->event), -EINVAL);
	OK(vh_backend_set_features(b, VERSION_1));
}

/* Without PERSIST mappings are made once more. */
static void test_vdpa_reset_maps_again(void **state)
{
	struct box *box = *state;

	box_prepare(box);
	OK(vh_backend_set_status(box->backend, 0));
	shim_expect(N_VDPA_SET_STATUS, "\x00", 1);
	shim_expect_any(N_VDPA_SET_CONFIG_CALL);
	shim_expect_iotlb(1, 0, INVALIDATE, 0, UINT64_C(1) << 63, 0, 0);
	shim_expect_iotlb(1, 0, INVALIDATE, UINT64_C(1) << 63,
			  UINT64_C(1) << 63, 0, 0);
	(void)box_expect_update(box, 1, 0, 0, RAM_SIZE);
	shim_expect_nothing();
}

static void test_vdpa_release(void **state)
{
	struct box *box = *state;
	struct vh_backend *b = box->backend;

	box_start(box);
	OK(vh_backend_set_vring_call(b, 0, box->event));
	shim_forget();
	OK(vh_backend_release(b));
	shim_expect(N_VDPA_SET_STATUS, "\x00", 1);
	shim_expect_2(N_SET_VRING_KICK, 0, UINT32_MAX);
	shim_expect_any(N_VDPA_SET_CONFIG_CALL);
	for (uint32_t i = 0; i < 2; i++) {
		shim_expect_2(N_SET_VRING_CALL, i, UINT32_MAX);
		shim_expect_2(N_SET_VRING_ERR, i, UINT32_MAX);
	}
	shim_expect_iotlb(2, 0, BEGIN, 0, 0, 0, 0);
	shim_expect_iotlb(2, 0, INVALIDATE, 0, UINT64_C(1) << 63, 0, 0);
	shim_expect_iotlb(2, 0, INVALIDATE, UINT64_C(1) << 63,
			  UINT64_C(1) << 63, 0, 0);
	shim_expect_iotlb(2, 0, END, 0, 0, 0, 0);
	shim_expect_nothing();
}

/* Whatever fails, the rest is done. */
static void test_vdpa_release_of_the_unwilling(void **state)
{
	struct box *box = *state;
	struct vh_backend *b = box->backend;
	struct vh_region low = box_region(box, 0, 0);

	box_start(box);
	OK(vh_backend_set_vring_call(b, 0, box->event));
	shim_forget();
	shim_fail(N_SET_VRING_CALL, EIO);
	box_fails(box, vh_backend_reset_device(b), -EIO);
	assert_int_equal(vh_backend_fault(b)->queue, 0);
	shim_expect(N_VDPA_SET_STATUS, "\x00", 1);
	shim_expect_2(N_SET_VRING_KICK, 0, UINT32_MAX);
	shim_expect_any(N_SET_VRING_CALL);
	shim_expect_any(N_VDPA_SET_CONFIG_CALL);
	shim_expect_nothing();
	shim_fail(N_SET_VRING_ERR, ENOMEM);
	box_fails(box, vh_backend_release(b), -EIO);
	assert_int_equal(shim_count(N_SET_VRING_ERR), 2);
	assert_int_equal(shim_count(SHIM_WRITE), 4);
	shim_fail(N_SET_VRING_CALL, 0);
	shim_fail(N_SET_VRING_ERR, 0);
	OK(vh_backend_add_region(b, &low));
	OK(vh_backend_release(b));
}

/* Somebody else may have its descriptor, and so keep it running. */
static void test_vdpa_free_resets(void **state)
{
	struct box *box = *state;
	struct vh_backend *b = box->backend;

	box_start(box);
	box->backend = NULL;
	vh_backend_free(b);
	shim_expect(N_VDPA_SET_STATUS, "\x00", 1);
	shim_expect_nothing();
}

struct news {
	int count;
};

static void config_changed(void *user)
{
	struct news *news = user;

	news->count++;
}

static void test_vdpa_config(void **state)
{
	struct box *box = *state;
	struct vh_backend *b = box->backend;
	const uint32_t head[2] = {8, 4};
	unsigned char answer[12], bytes[4] = {0};
	struct news news = {0};
	VH_OPTS(vh_backend_events, events);

	memcpy(answer, head, 8);
	memcpy(answer + 8, "abcd", 4);
	shim_answer(N_VDPA_GET_CONFIG, answer, sizeof(answer));
	OK(vh_backend_get_config(b, 8, bytes, 4));
	assert_memory_equal(bytes, "abcd", 4);
	memset(answer + 8, 0, 4);
	shim_expect(N_VDPA_GET_CONFIG, answer, sizeof(answer));
	OK(vh_backend_set_config(b, 8, "wxyz", 4, VH_CONFIG_BY_DRIVER));
	memcpy(answer + 8, "wxyz", 4);
	shim_expect(N_VDPA_SET_CONFIG, answer, sizeof(answer));
	/* What a failed request leaves behind isn't the device's. */
	shim_fail(N_VDPA_GET_CONFIG, EIO);
	box_fails(box, vh_backend_get_config(b, 8, bytes, 4), -EIO);
	assert_memory_equal(bytes, "abcd", 4);
	shim_fail(N_VDPA_GET_CONFIG, 0);
	shim_expect_any(N_VDPA_GET_CONFIG);
	box_fails(box, vh_backend_get_config(b, 57, bytes, 4), -EINVAL);
	box_fails(box, vh_backend_get_config(b, 60, bytes, 1), -EINVAL);
	box_fails(box, vh_backend_get_config(b, 0, bytes, 0), -EINVAL);
	box_fails(box, vh_backend_set_config(b, UINT32_MAX, bytes, 4, 0),
		  -EINVAL);
	shim_expect_nothing();
	events.config_changed = config_changed;
	OK(vh_backend_set_events(b, &events, &news));
	OK(vh_backend_dispatch(b));
	assert_int_equal(news.count, 0);
	assert_int_equal(write(vh_backend_fd(b), "\1\0\0\0\0\0\0\0", 8), 8);
	OK(vh_backend_dispatch(b));
	OK(vh_backend_dispatch(b));
	assert_int_equal(news.count, 1);
	OK(vh_vdpa_set_config_call(b, box->event));
	{
		uint32_t fd;

		memcpy(&fd, shim_expect_any(N_VDPA_SET_CONFIG_CALL), 4);
		assert_true(fd != (uint32_t)box->event && fd < 1024);
	}
	OK(vh_vdpa_set_config_call(b, -1));
	shim_expect_u32(N_VDPA_SET_CONFIG_CALL, (uint32_t)vh_backend_fd(b));
}

#define FULL(name)  cmocka_unit_test_setup_teardown(name, box_full, box_free)
#define PLAIN(name) cmocka_unit_test_setup_teardown(name, box_plain, box_free)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(test_vdpa_open_asks, none),
	    FULL(test_vdpa_open_says),
	    cmocka_unit_test_setup(test_vdpa_open_old_kernel, none),
	    cmocka_unit_test_setup(test_vdpa_open_nonsense, none),
	    FULL(test_vdpa_owner),
	    FULL(test_vdpa_owner_half_way),
	    FULL(test_vdpa_owner_unknown_features),
	    FULL(test_vdpa_owner_chosen_features),
	    FULL(test_vdpa_features),
	    FULL(test_vdpa_status),
	    FULL(test_vdpa_status_unanswered),
	    FULL(test_vdpa_reset),
	    PLAIN(test_vdpa_reset_maps_again),
	    FULL(test_vdpa_release),
	    FULL(test_vdpa_release_of_the_unwilling),
	    FULL(test_vdpa_free_resets),
	    FULL(test_vdpa_config),
	};

	return cmocka_run_group_tests_name("vdpa-life", tests, NULL, NULL);
}
