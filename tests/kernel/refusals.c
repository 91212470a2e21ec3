/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What callers do wrong and what the kernel says no to: a negative errno,
 * words, and nothing has changed.
 */
#include "box.h"

static const struct vh_vring_addr good = {
    .descriptors = DESCRIPTORS,
    .available = AVAILABLE,
    .used = USED,
};

static void test_kernel_refusals_order(void **state)
{
	struct box *box = *state;
	struct vh_backend *b = box->backend;

	/* An address before there is memory, and a start before there is one.
	 */
	OK(vh_backend_set_owner(b));
	shim_forget();
	box_fails(box, vh_backend_set_vring_addr(b, 0, &good), -EFAULT);
	box_fails(box, vh_backend_set_vring_kick(b, 0, box->kick[0]), -EINVAL);
	shim_expect_nothing();
	box_start(box, 0, 1);
	box_fails(box, vh_backend_set_vring_num(b, 0, 256), -EBUSY);
	box_fails(box, vh_backend_set_vring_base(b, 0, 0), -EBUSY);
	box_fails(box,
		  vh_backend_set_vring_addr(b, 0,
					    &(struct vh_vring_addr){
						.descriptors = 0x8000,
						.available = AVAILABLE,
						.used = USED,
					    }),
		  -EBUSY);
	assert_int_equal(shim_count(N_SET_VRING_ADDR), 0);
	box_fails(box, vh_backend_set_features(b, VH_F_VERSION_1), -EBUSY);
	assert_int_equal(shim_count(N_SET_FEATURES), 0);
	assert_int_equal(vh_backend_fault(b)->queue, VH_FAULT_NO_QUEUE);
}

static void test_kernel_refusals_owner(void **state)
{
	struct box *box = *state;
	const struct vh_region region = box_region(box, false);
	uint32_t value;

	shim_fail(N_SET_MEM_TABLE, EPERM);
	box_fails(box, vh_backend_set_mem_table(box->backend, &region, 1),
		  -EPERM);
	box_fails(box,
		  vh_kernel_get_vring_busyloop_timeout(box->backend, 0, &value),
		  -EPERM);
	box_fails(box, vh_kernel_new_worker(box->backend, &value), -EPERM);
}

static void test_kernel_refusals_queue(void **state)
{
	struct box *box = *state;
	struct vh_backend *b = box->backend;
	uint32_t value;

	refuses_queues(b);
	for (uint32_t q = 2; q; q = q < 0x10000 ? q + 0xfffe : q << 1) {
		box_fails(box, vh_backend_set_vring_endian(b, q, true),
			  -ERANGE);
		box_fails(box, vh_kernel_get_vring_worker(b, q, &value),
			  -ERANGE);
	}
	shim_expect_nothing();
}

static void test_kernel_refusals_ring(void **state)
{
	static const uint32_t sizes[] = {0, 3, 255, 65536, UINT32_MAX};
	static const struct vh_vring_addr bad[] = {
	    {.descriptors = 0x1008, .available = AVAILABLE, .used = USED},
	    {.descriptors = DESCRIPTORS, .available = 0x2001, .used = USED},
	    {.descriptors = DESCRIPTORS,
	     .available = AVAILABLE,
	     .used = 0x3002},
	    /* across the end, in the hole, at the top */
	    {.descriptors = 0xf010, .available = AVAILABLE, .used = USED},
	    {.descriptors = DESCRIPTORS, .available = 0x20000, .used = USED},
	    {.descriptors = DESCRIPTORS,
	     .available = AVAILABLE,
	     .used = UINT64_MAX - 3},
	    {.descriptors = DESCRIPTORS,
	     .available = AVAILABLE,
	     .used = 0xffd0},
	};
	struct box *box = *state;
	struct vh_backend *b = box->backend;

	box_prepare(box, 0, 0);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		box_fails(box, vh_backend_set_vring_num(b, 0, sizes[i]),
			  -EINVAL);
	box_fails(box, vh_backend_set_vring_base(b, 0, 0x10000), -EINVAL);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		box_fails(box, vh_backend_set_vring_addr(b, 0, &bad[i]),
			  -EFAULT);
	assert_int_equal(vh_backend_fault(b)->queue, 0);
	box_fails(box,
		  vh_backend_set_vring_addr(
		      b, 0, &(struct vh_vring_addr){.flags = 2}),
		  -EOPNOTSUPP);
	box_fails(box, vh_backend_set_vring_kick(b, 0, -1), -EOPNOTSUPP);
	shim_expect_nothing();
	/* What was there before still counts. */
	OK(vh_backend_set_vring_kick(b, 0, box->kick[0]));
}

struct step {
	const char *name;
	unsigned long number;
	bool optional; /* unknown: -EOPNOTSUPP */
	bool queue;
	int (*run)(struct box *box);
};

static int set_table(struct box *box)
{
	const struct vh_region region = box_region(box, true);

	return vh_backend_add_region(box->backend, &region);
}

static int set_num(struct box *box)
{
	return vh_backend_set_vring_num(box->backend, 0, 64);
}

static int set_base(struct box *box)
{
	return vh_backend_set_vring_base(box->backend, 0, 5);
}

static int set_addr(struct box *box)
{
	return vh_backend_set_vring_addr(box->backend, 0, &good);
}

static int set_kick(struct box *box)
{
	return vh_backend_set_vring_kick(box->backend, 0, box->kick[0]);
}

static int set_call(struct box *box)
{
	return vh_backend_set_vring_call(box->backend, 0, box->kick[0]);
}

static int set_err(struct box *box)
{
	return vh_backend_set_vring_err(box->backend, 0, box->kick[0]);
}

static int set_features(struct box *box)
{
	return vh_backend_set_features(box->backend, VH_F_VERSION_1);
}

static int set_log_fd(struct box *box)
{
	return vh_backend_set_log_fd(box->backend, box->kick[0]);
}

static int get_backend_features(struct box *box)
{
	uint64_t features;

	return vh_backend_get_backend_features(box->backend, &features);
}

static int get_base(struct box *box)
{
	uint32_t base;

	return vh_backend_get_vring_base(box->backend, 0, &base);
}

static int set_busyloop(struct box *box)
{
	return vh_kernel_set_vring_busyloop_timeout(box->backend, 0, 50);
}

static int set_endian(struct box *box)
{
	return vh_backend_set_vring_endian(box->backend, 0, true);
}

static int new_worker(struct box *box)
{
	uint32_t worker;

	return vh_kernel_new_worker(box->backend, &worker);
}

static int free_worker(struct box *box)
{
	return vh_kernel_free_worker(box->backend, 1);
}

static int attach_worker(struct box *box)
{
	return vh_kernel_attach_vring_worker(box->backend, 0, 1);
}

static int get_array(struct box *box)
{
	uint64_t words[2];

	return vh_kernel_get_features_array(box->backend, words, 2);
}

static int get_fork(struct box *box)
{
	bool fork;

	return vh_kernel_get_fork_from_owner(box->backend, &fork);
}

static const struct step steps[] = {
    {"table", N_SET_MEM_TABLE, false, false, set_table},
    {"num", N_SET_VRING_NUM, false, true, set_num},
    {"base", N_SET_VRING_BASE, false, true, set_base},
    {"addr", N_SET_VRING_ADDR, false, true, set_addr},
    {"kick", N_SET_VRING_KICK, false, true, set_kick},
    {"call", N_SET_VRING_CALL, false, true, set_call},
    {"err", N_SET_VRING_ERR, false, true, set_err},
    {"features", N_SET_FEATURES, false, false, set_features},
    {"log fd", N_SET_LOG_FD, false, false, set_log_fd},
    {"backend features", N_GET_BACKEND_FEATURES, true, false,
     get_backend_features},
    {"get base", N_GET_VRING_BASE, true, true, get_base},
    {"busyloop", N_SET_VRING_BUSYLOOP_TIMEOUT, true, true, set_busyloop},
    {"endian", N_SET_VRING_ENDIAN, true, true, set_endian},
    {"new worker", N_NEW_WORKER, true, false, new_worker},
    {"free worker", N_FREE_WORKER, true, false, free_worker},
    {"attach", N_ATTACH_VRING_WORKER, true, true, attach_worker},
    {"array", N_GET_FEATURES_ARRAY, true, false, get_array},
    {"fork", N_GET_FORK_FROM_OWNER, true, false, get_fork},
};

/* What callers get for what the kernel says. */
static int expected(const struct step *step, int error)
{
	switch (error) {
	case ENOTTY:
		return step->optional ? -EOPNOTSUPP : -ENOTTY;
	case 515: /* ENOIOCTLCMD */
		return step->optional ? -EOPNOTSUPP : -515;
	case 524: /* ENOTSUPP */
	case EOPNOTSUPP:
		return -EOPNOTSUPP;
	case ENOBUFS:
		if (step->queue)
			return -ERANGE;
		return step->optional ? -EOPNOTSUPP : -ENOBUFS;
	case EINVAL:
		/* Linux before 3.5 has no other word for an unknown one. */
		return step->optional && !step->queue && step->number >> 30 == 2
			   ? -EOPNOTSUPP
			   : -EINVAL;
	case ENXIO:
	case EBADFD:
		return -ENODEV;
	default:
		return -error;
	}
}

static void test_kernel_refusals_errno(void **state)
{
	static const int errors[] = {
	    EFAULT, EINVAL,	ENOMEM, EBUSY, EBADF,	ENODEV,
	    ENXIO,  EBADFD,	EPERM,	E2BIG, EIO,	ENOTTY,
	    ENOSPC, EOPNOTSUPP, 524,	515,   ENOBUFS,
	};
	struct box *box = *state;

	box_prepare(box, 0, 0);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		const struct step *step = &steps[i];

		for (size_t j = 0; j < sizeof(errors) / sizeof(errors[0]);
		     j++) {
			shim_fail(step->number, errors[j]);
			box_fails(box, step->run(box),
				  expected(step, errors[j]));
			shim_fail(step->number, 0);
			shim_forget();
		}
	}
	/* Nothing is started, and everything works now. */
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		if (steps[i].run != set_kick)
			OK(steps[i].run(box));
	OK(set_kick(box));
}

static void test_kernel_refusals_interrupted(void **state)
{
	struct box *box = *state;

	box_prepare(box, 0, 0);
	shim_fail(N_NET_SET_BACKEND, EBADF);
	OK(vh_backend_set_vring_enable(box->backend, 0, true));
	/* The start fails, so the ring isn't started. */
	box_fails(box, set_kick(box), -EBADF);
	shim_fail(N_NET_SET_BACKEND, 0);
	OK(set_num(box));
	OK(set_kick(box));
	/* The stop fails, so it is. */
	shim_fail(N_NET_SET_BACKEND, EIO);
	box_fails(box, get_base(box), -EIO);
	shim_fail(N_NET_SET_BACKEND, 0);
	box_fails(box, set_num(box), -EBUSY);
	OK(get_base(box));
}

/* The kernel says what can't be. */
static void test_kernel_refusals_nonsense(void **state)
{
	struct box *box = *state;
	const uint32_t big[2] = {0, 0x10000};
	const uint32_t other[2] = {1, 0};
	bool value;

	box_prepare(box, 0, 0);
	shim_answer(N_GET_VRING_BASE, big, sizeof(big));
	box_fails(box, get_base(box), -EPROTO);
	shim_answer(N_GET_VRING_BASE, other, sizeof(other));
	box_fails(box, get_base(box), -EPROTO);
	shim_answer(N_GET_VRING_ENDIAN, big, sizeof(big));
	box_fails(box, vh_kernel_get_vring_endian(box->backend, 0, &value),
		  -EPROTO);
	shim_answer(N_GET_FORK_FROM_OWNER, "\x02", 1);
	box_fails(box, vh_kernel_get_fork_from_owner(box->backend, &value),
		  -EPROTO);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, box_net, box_free)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_kernel_refusals_order),
	    CASE(test_kernel_refusals_owner),
	    CASE(test_kernel_refusals_queue),
	    CASE(test_kernel_refusals_ring),
	    CASE(test_kernel_refusals_errno),
	    CASE(test_kernel_refusals_interrupted),
	    CASE(test_kernel_refusals_nonsense),
	};

	return cmocka_run_group_tests_name("kernel-refusals", tests, NULL,
					   NULL);
}
