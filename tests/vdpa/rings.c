/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Rings of a vDPA device, suspending it, groups and doorbells. */
#include "box.h"

#include <fcntl.h>

static const struct vh_vring_addr good = {
    .descriptors = DESCRIPTORS,
    .available = AVAILABLE,
    .used = USED,
};

static void test_vdpa_rings_set_up(void **state)
{
	struct box *box = *state;
	struct vh_backend *b = box->backend;
	const struct vh_region region = box_region(box, 0, 0);
	/* Guest addresses are IOVAs, as they are. */
	const uint64_t places[5] = {1, DESCRIPTORS, USED, AVAILABLE, 0};

	OK(vh_backend_set_owner(b));
	OK(vh_backend_set_mem_table(b, &region, 1));
	shim_forget();
	OK(vh_backend_set_vring_num(b, 1, 128));
	shim_expect_2(N_SET_VRING_NUM, 1, 128);
	OK(vh_backend_set_vring_base(b, 1, 0xffff));
	shim_expect_2(N_SET_VRING_BASE, 1, 0xffff);
	OK(vh_backend_set_vring_addr(b, 1, &good));
	shim_expect(N_SET_VRING_ADDR, places, sizeof(places));
	OK(vh_backend_set_vring_call(b, 1, box->event));
	shim_expect_file(N_SET_VRING_CALL, 1, box->event);
	OK(vh_backend_set_vring_call(b, 1, -1));
	shim_expect_2(N_SET_VRING_CALL, 1, UINT32_MAX);
	OK(vh_backend_set_vring_err(b, 1, box->event));
	shim_expect_2(N_SET_VRING_ERR, 1, (uint32_t)box->event);
	OK(vh_backend_set_vring_kick(b, 1, box->event));
	shim_expect_file(N_SET_VRING_KICK, 1, box->event);
	OK(vh_backend_set_vring_kick(b, 1, -1));
	shim_expect_2(N_SET_VRING_KICK, 1, UINT32_MAX);
	OK(vh_backend_set_vring_enable(b, 1, true));
	shim_expect_2(N_VDPA_SET_VRING_ENABLE, 1, 1);
	OK(vh_backend_set_vring_enable(b, 1, false));
	shim_expect_2(N_VDPA_SET_VRING_ENABLE, 1, 0);
	shim_expect_nothing();
}

static void test_vdpa_rings_packed(void **state)
{
	struct box *box = *state;
	struct vh_backend *b = box->backend;
	const uint32_t base[2] = {0, 0x80058003};
	uint32_t value = 0;

	OK(vh_backend_set_owner(b));
	OK(vh_backend_set_features(b, VERSION_1 | VH_F_RING_PACKED));
	shim_forget();
	OK(vh_backend_set_vring_base(b, 0, 0x80008000));
	shim_expect_2(N_SET_VRING_BASE, 0, 0x80008000);
	shim_answer(N_GET_VRING_BASE, base, sizeof(base));
	OK(vh_backend_get_vring_base(b, 0, &value));
	assert_int_equal(value, 0x80058003);
}

static void test_vdpa_rings_refused(void **state)
{
	static const uint32_t sizes[] = {0, 3, 512, 65536, UINT32_MAX};
	struct box *box = *state;
	struct vh_backend *b = box->backend;
	struct vh_vring_addr addr = good;
	uint32_t value;

	OK(vh_backend_set_owner(b));
	shim_forget();
	box_fails(box, vh_backend_set_vring_addr(b, 0, &good), -EFAULT);
	box_fails(box, vh_backend_set_vring_kick(b, 0, -1), -EINVAL);
	shim_expect_nothing();
	box_prepare(box);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		box_fails(box, vh_backend_set_vring_num(b, 0, sizes[i]),
			  -EINVAL);
	box_fails(box, vh_backend_set_vring_base(b, 0, 0x10000), -EINVAL);
	addr.used = RAM_SIZE - 16;
	box_fails(box, vh_backend_set_vring_addr(b, 0, &addr), -EFAULT);
	addr.used = USED + 2;
	box_fails(box, vh_backend_set_vring_addr(b, 0, &addr), -EFAULT);
	addr.used = USED;
	addr.flags = VH_VRING_F_LOG;
	box_fails(box, vh_backend_set_vring_addr(b, 0, &addr), -EOPNOTSUPP);
	refuses_queues(b);
	box_fails(box, vh_vdpa_get_vring_group(b, 2, &value), -ERANGE);
	shim_expect_nothing();
	OK(vh_backend_set_vring_kick(b, 0, box->event));
	box_fails(box, vh_backend_set_vring_num(b, 0, 256), -EBUSY);
	box_fails(box, vh_backend_set_vring_addr(b, 0, &good), -EBUSY);
	box_fails(box, vh_backend_set_vring_base(b, 0, 0), -EBUSY);
	assert_int_equal(vh_backend_fault(b)->queue, 0);
}

/* A ring is stopped with the device, keeps its place, and goes on with it. */
static void test_vdpa_rings_stop(void **state)
{
	struct box *box = *state;
	struct vh_backend *b = box->backend;
	const uint32_t base[2] = {0, 0x77};
	uint32_t value = 0;

	box_start(box);
	shim_answer(N_GET_VRING_BASE, base, sizeof(base));
	OK(vh_backend_get_vring_base(b, 0, &value));
	assert_int_equal(value, 0x77);
	shim_expect(N_VDPA_SUSPEND, NULL, 0);
	shim_expect_2(N_GET_VRING_BASE, 0, 0);
	/* Once more: it is stopped. */
	OK(vh_backend_get_vring_base(b, 0, &value));
	shim_expect_2(N_GET_VRING_BASE, 0, 0);
	shim_expect_nothing();
	OK(vh_backend_set_vring_num(b, 0, 128));
	OK(vh_backend_set_vring_base(b, 0, 0x77));
	shim_forget();
	OK(vh_backend_set_vring_kick(b, 0, box->event));
	shim_expect_any(N_SET_VRING_KICK);
	shim_expect(N_VDPA_RESUME, NULL, 0);
	shim_expect_nothing();
}

/* Both rings, and both stopped with the device. */
static void stop_two(struct box *box)
{
	struct vh_backend *b = box->backend;
	const uint32_t base[2][2] = {{0, 3}, {1, 4}};
	uint32_t value = 0;

	box_prepare(box);
	OK(vh_backend_set_vring_num(b, 1, 256));
	OK(vh_backend_set_vring_addr(b, 1, &good));
	for (uint32_t i = 0; i < 2; i++) {
		OK(vh_backend_set_vring_kick(b, i, box->event));
		OK(vh_backend_set_vring_enable(b, i, true));
	}
	box_status(box, 15);
	for (uint32_t i = 0; i < 2; i++) {
		shim_answer(N_GET_VRING_BASE, base[i], sizeof(base[i]));
		OK(vh_backend_get_vring_base(b, i, &value));
	}
	assert_int_equal(shim_count(N_VDPA_SUSPEND), 1);
	shim_forget();
}

/* Of two rings the second to start again is the one that resumes. */
static void test_vdpa_rings_stop_two(void **state)
{
	struct box *box = *state;
	struct vh_backend *b = box->backend;
	int other = box->memfd; /* no eventfd: those can't be told apart */

	stop_two(box);
	OK(vh_backend_set_vring_kick(b, 0, box->event));
	OK(vh_backend_set_vring_base(b, 1, 4));
	shim_forget();
	/* It fails: the ring isn't started, and has the kick that it had. */
	shim_fail(N_VDPA_RESUME, EIO);
	for (int i = 0; i < 2; i++) {
		box_fails(box, vh_backend_set_vring_kick(b, 1, other), -EIO);
		assert_int_equal(vh_backend_fault(b)->queue, 1);
		shim_expect_any(N_SET_VRING_KICK);
		shim_expect(N_VDPA_RESUME, NULL, 0);
		shim_expect_file(N_SET_VRING_KICK, 1, box->event);
	}
	/* Nothing runs, and so the first one's new kick lets nothing go on. */
	OK(vh_backend_set_vring_kick(b, 0, other));
	shim_expect_file(N_SET_VRING_KICK, 0, other);
	shim_expect_nothing();
	shim_fail(N_VDPA_RESUME, 0);
	OK(vh_backend_set_vring_base(b, 1, 4));
	shim_forget();
	OK(vh_backend_set_vring_kick(b, 1, other));
	shim_expect_file(N_SET_VRING_KICK, 1, other);
	shim_expect(N_VDPA_RESUME, NULL, 0);
	shim_expect_nothing();
	box_fails(box, vh_backend_set_vring_base(b, 1, 4), -EBUSY);
}

/* The device as a whole goes on, whichever of its rings were stopped. */
static void test_vdpa_rings_resumed(void **state)
{
	struct box *box = *state;
	struct vh_backend *b = box->backend;
	uint32_t value = 0;

	stop_two(box);
	OK(vh_backend_set_vring_base(b, 0, 3));
	OK(vh_vdpa_resume(b));
	for (uint32_t i = 0; i < 2; i++)
		box_fails(box, vh_backend_set_vring_base(b, i, 3), -EBUSY);
	shim_forget();
	OK(vh_backend_get_vring_base(b, 1, &value));
	shim_expect(N_VDPA_SUSPEND, NULL, 0);
	shim_expect_2(N_GET_VRING_BASE, 1, 0);
}

/* It was suspended for a position that it then doesn't tell. */
static void test_vdpa_rings_stop_in_vain(void **state)
{
	struct box *box = *state;
	struct vh_backend *b = box->backend;
	uint32_t value;

	box_start(box);
	shim_fail(N_GET_VRING_BASE, EOPNOTSUPP);
	box_fails(box, vh_backend_get_vring_base(b, 0, &value), -EOPNOTSUPP);
	assert_non_null(strstr(vh_backend_fault(b)->text, "GET_VRING_BASE"));
	shim_expect(N_VDPA_SUSPEND, NULL, 0);
	shim_expect_any(N_GET_VRING_BASE);
	shim_expect(N_VDPA_RESUME, NULL, 0);
	shim_expect_nothing();
	box_fails(box, vh_backend_set_vring_base(b, 0, 3), -EBUSY);
}

/*
 * Whoever takes a ring over is told at once to look at it; by a descriptor of
 * a front-end behind a server, say, that is full, and whose writes block.
 */
static void test_vdpa_rings_call_at_once(void **state)
{
	const uint64_t most = UINT64_MAX - 1;
	struct box *box = *state;
	int fd = box->event;
	uint64_t count = 0;

	box_prepare(box);
	OK(vh_backend_set_vring_call(box->backend, 0, fd));
	assert_int_equal(read(fd, &count, sizeof(count)), -1);
	OK(vh_backend_set_vring_kick(box->backend, 0, -1));
	box_status(box, 15);
	OK(vh_backend_set_vring_call(box->backend, 0, fd));
	assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
	assert_int_equal(count, 1);
	assert_int_equal(write(fd, &most, sizeof(most)), sizeof(most));
	assert_int_equal(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK),
			 0);
	OK(vh_backend_set_vring_call(box->backend, 0, fd));
}

/* A device that can't be suspended: only a reset stops it. */
static void test_vdpa_rings_stop_not(void **state)
{
	struct box *box = *state;
	struct vh_backend *b = box->backend;
	uint32_t value;

	box_start(box);
	box_fails(box, vh_backend_get_vring_base(b, 0, &value), -EOPNOTSUPP);
	box_fails(box, vh_vdpa_suspend(b), -EOPNOTSUPP);
	box_fails(box, vh_vdpa_resume(b), -EOPNOTSUPP);
	shim_expect_nothing();
	/* Nor may its rings be enabled late. */
	box_fails(box, vh_backend_set_vring_enable(b, 1, true), -EBUSY);
	shim_expect_nothing();
	OK(vh_backend_set_vring_enable(b, 0, false));
}

/* vp_vdpa and others don't tell positions. */
static void test_vdpa_rings_no_position(void **state)
{
	struct box *box = *state;
	uint32_t value;

	box_prepare(box);
	shim_fail(N_GET_VRING_BASE, EOPNOTSUPP);
	box_fails(box, vh_backend_get_vring_base(box->backend, 0, &value),
		  -EOPNOTSUPP);
}

static void test_vdpa_rings_enable_late(void **state)
{
	struct box *box = *state;

	box_start(box);
	OK(vh_backend_set_vring_enable(box->backend, 1, true));
	shim_expect_2(N_VDPA_SET_VRING_ENABLE, 1, 1);
}

static void test_vdpa_suspend_resume(void **state)
{
	struct box *box = *state;

	box_start(box);
	OK(vh_vdpa_suspend(box->backend));
	shim_expect(N_VDPA_SUSPEND, NULL, 0);
	OK(vh_vdpa_suspend(box->backend));
	shim_expect_nothing();
	OK(vh_vdpa_resume(box->backend));
	shim_expect(N_VDPA_RESUME, NULL, 0);
	shim_fail(N_VDPA_SUSPEND, EOPNOTSUPP);
	box_fails(box, vh_vdpa_suspend(box->backend), -EOPNOTSUPP);
	shim_fail(N_VDPA_SUSPEND, EIO);
	box_fails(box, vh_vdpa_suspend(box->backend), -EIO);
}

/* Each has the request that is its own. */
static void test_vdpa_groups(void **state)
{
	struct box *box = *state;
	struct vh_backend *b = box->backend;
	const uint32_t answer[2] = {1, 1};
	const uint32_t bad[2] = {1, 2};
	uint32_t group = 0;

	OK(vh_backend_set_owner(b));
	shim_forget();
	shim_answer(N_VDPA_GET_VRING_GROUP, answer, sizeof(answer));
	OK(vh_vdpa_get_vring_group(b, 1, &group));
	assert_int_equal(group, 1);
	shim_expect_2(N_VDPA_GET_VRING_GROUP, 1, 0);
	shim_answer(N_VDPA_GET_VRING_DESC_GROUP, answer, sizeof(answer));
	group = 0;
	OK(vh_vdpa_get_vring_desc_group(b, 1, &group));
	assert_int_equal(group, 1);
	shim_expect_2(N_VDPA_GET_VRING_DESC_GROUP, 1, 0);
	OK(vh_vdpa_set_group_asid(b, 0, 1));
	shim_expect_2(N_VDPA_SET_GROUP_ASID, 0, 1);
	box_fails(box, vh_vdpa_set_group_asid(b, 2, 0), -EINVAL);
	box_fails(box, vh_vdpa_set_group_asid(b, 0, 2), -EINVAL);
	box_fails(box, vh_vdpa_set_group_asid(b, 0, 12345), -EINVAL);
	shim_expect_nothing();
	shim_answer(N_VDPA_GET_VRING_GROUP, bad, sizeof(bad));
	box_fails(box, vh_vdpa_get_vring_group(b, 1, &group), -EPROTO);
	shim_fail(N_VDPA_GET_VRING_DESC_GROUP, EOPNOTSUPP);
	box_fails(box, vh_vdpa_get_vring_desc_group(b, 1, &group), -EOPNOTSUPP);
	shim_fail(N_VDPA_SET_GROUP_ASID, ENOTTY);
	box_fails(box, vh_vdpa_set_group_asid(b, 0, 1), -EOPNOTSUPP);
}

static void test_vdpa_vring_size(void **state)
{
	struct box *box = *state;
	struct vh_backend *b = box->backend;
	const uint32_t answer[2] = {1, 64};
	const uint32_t big[2] = {1, 65536};
	uint32_t num = 0;

	box_fails(box, vh_vdpa_get_vring_size(b, 1, &num), -EPERM);
	OK(vh_backend_set_owner(b));
	shim_forget();
	shim_answer(N_VDPA_GET_VRING_SIZE, answer, sizeof(answer));
	OK(vh_vdpa_get_vring_size(b, 1, &num));
	assert_int_equal(num, 64);
	shim_expect_2(N_VDPA_GET_VRING_SIZE, 1, 0);
	/* The same by the number that it had once. */
	num = 0;
	shim_fail(N_VDPA_GET_VRING_SIZE, ENOTTY);
	shim_answer(N_VDPA_GET_VRING_SIZE_OLD, answer, sizeof(answer));
	OK(vh_vdpa_get_vring_size(b, 1, &num));
	assert_int_equal(num, 64);
	shim_expect_2(N_VDPA_GET_VRING_SIZE, 1, 0);
	shim_expect_2(N_VDPA_GET_VRING_SIZE_OLD, 1, 0);
	shim_answer(N_VDPA_GET_VRING_SIZE_OLD, big, sizeof(big));
	box_fails(box, vh_vdpa_get_vring_size(b, 1, &num), -EPROTO);
	shim_fail(N_VDPA_GET_VRING_SIZE_OLD, ENOTTY);
	box_fails(box, vh_vdpa_get_vring_size(b, 1, &num), -EOPNOTSUPP);
}

static void test_vdpa_doorbell(void **state)
{
	struct box *box = *state;
	struct vh_backend *b = box->backend;
	volatile void *page = NULL, *again = NULL;
	uint64_t words[2];

	box_fails(box, vh_vdpa_get_doorbell(b, 2, &page), -ERANGE);
	shim_mmap(524);
	box_fails(box, vh_vdpa_get_doorbell(b, 1, &page), -EOPNOTSUPP);
	shim_mmap(ENOMEM);
	box_fails(box, vh_vdpa_get_doorbell(b, 1, &page), -ENOMEM);
	shim_mmap(0);
	shim_forget();
	OK(vh_vdpa_get_doorbell(b, 1, &page));
	memcpy(words, shim_expect_any(1), sizeof(words));
	assert_int_equal(words[0], sysconf(_SC_PAGESIZE));
	assert_int_equal(words[1], 2); /* PROT_WRITE */
	OK(vh_vdpa_get_doorbell(b, 1, &again));
	assert_ptr_equal((void *)(uintptr_t)page, (void *)(uintptr_t)again);
	shim_expect_nothing();
	*(volatile uint16_t *)page = 1;
}

#define FULL(name)  cmocka_unit_test_setup_teardown(name, box_full, box_free)
#define PLAIN(name) cmocka_unit_test_setup_teardown(name, box_plain, box_free)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    FULL(test_vdpa_rings_set_up),
	    FULL(test_vdpa_rings_packed),
	    FULL(test_vdpa_rings_refused),
	    FULL(test_vdpa_rings_stop),
	    FULL(test_vdpa_rings_stop_two),
	    FULL(test_vdpa_rings_resumed),
	    FULL(test_vdpa_rings_stop_in_vain),
	    FULL(test_vdpa_rings_call_at_once),
	    PLAIN(test_vdpa_rings_stop_not),
	    PLAIN(test_vdpa_rings_no_position),
	    FULL(test_vdpa_rings_enable_late),
	    FULL(test_vdpa_suspend_resume),
	    FULL(test_vdpa_groups),
	    FULL(test_vdpa_vring_size),
	    FULL(test_vdpa_doorbell),
	};

	return cmocka_run_group_tests_name("vdpa-rings", tests, NULL, NULL);
}
