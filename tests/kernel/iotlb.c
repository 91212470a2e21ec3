/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The IOTLB of a driver of the kernel. */
#include "box.h"

/* With an IOMMU rings are IOVAs, and are handed on as they are. */
static void test_kernel_iotlb_ring(void **state)
{
	struct box *box = *state;
	struct vh_vring_addr addr = {
	    .descriptors = UINT64_C(0xfff00000),
	    .available = UINT64_C(0xfff10000),
	    .used = UINT64_C(0xfff20000),
	};
	const uint64_t places[5] = {0, UINT64_C(0xfff00000),
				    UINT64_C(0xfff20000), UINT64_C(0xfff10000),
				    0};

	box_prepare(box, 0, 0);
	OK(vh_backend_set_features(box->backend, VH_F_ACCESS_PLATFORM));
	/* What was a guest address is none any more. */
	box_fails(box, vh_backend_set_vring_kick(box->backend, 0, box->kick[0]),
		  -EINVAL);
	shim_forget();
	OK(vh_backend_set_vring_addr(box->backend, 0, &addr));
	shim_expect(N_SET_VRING_ADDR, places, sizeof(places));
	shim_expect_nothing();
}

static void test_kernel_iotlb_update(void **state)
{
	struct box *box = *state;
	uint64_t host = (uintptr_t)box->ram;
	struct vh_region next = box_region(box, true);
	struct vh_iotlb_entry entry = {
	    .iova = UINT64_C(0x400000),
	    .size = 0x2000,
	    .guest = LOW + RAM_SIZE - 0x1000,
	    .access = VH_ACCESS_WRITE,
	};

	box_prepare(box, 0, 0);
	box_fails(box, vh_backend_iotlb_update(box->backend, &entry), -EINVAL);
	OK(vh_backend_set_features(box->backend, VH_F_ACCESS_PLATFORM));
	shim_forget();
	/* It leads beyond memory ... */
	box_fails(box, vh_backend_iotlb_update(box->backend, &entry), -EFAULT);
	shim_expect_nothing();
	/* ... until there is more of it, at another place. */
	next.guest = LOW + RAM_SIZE;
	next.user.raw = host + RAM_SIZE;
	OK(vh_backend_add_region(box->backend, &next));
	shim_forget();
	OK(vh_backend_iotlb_update(box->backend, &entry));
	shim_expect_iotlb(1, 0, 3, 0x400000, 0x2000, 0, 0);
	shim_expect_iotlb(1, 0, 2, 0x400000, 0x1000, host + RAM_SIZE - 0x1000,
			  2);
	shim_expect_iotlb(1, 0, 2, 0x401000, 0x1000, host + RAM_SIZE, 2);
	shim_expect_nothing();
	shim_answer_u64(N_GET_BACKEND_FEATURES, 2);
	OK(vh_backend_set_backend_features(box->backend,
					   VH_BACKEND_F_IOTLB_MSG_V2));
	shim_forget();
	OK(vh_backend_iotlb_invalidate(box->backend, 0x400000, 0x1000));
	shim_expect_iotlb(2, 0, 3, 0x400000, 0x1000, 0, 0);
	box_fails(box, vh_backend_iotlb_invalidate(box->backend, 0, 0),
		  -EINVAL);
	entry.access = 0;
	box_fails(box, vh_backend_iotlb_update(box->backend, &entry), -EINVAL);
	entry.access = 4;
	box_fails(box, vh_backend_iotlb_update(box->backend, &entry), -EINVAL);
	entry.access = 3;
	entry.size = 0;
	box_fails(box, vh_backend_iotlb_update(box->backend, &entry), -EINVAL);
	shim_expect_nothing();
	entry.size = 0x1000;
	shim_fail(SHIM_WRITE, EFAULT);
	box_fails(box, vh_backend_iotlb_update(box->backend, &entry), -EFAULT);
}

/* A part of an entry is refused: the one before it goes, too. */
static void test_kernel_iotlb_update_half_way(void **state)
{
	struct box *box = *state;
	uint64_t host = (uintptr_t)box->ram;
	struct vh_region next = box_region(box, true);
	const struct vh_iotlb_entry entry = {
	    .iova = 0x400000,
	    .size = 0x2000,
	    .guest = RAM_SIZE - 0x1000,
	    .access = VH_ACCESS_READ,
	};

	box_prepare(box, VH_F_ACCESS_PLATFORM, 0);
	next.guest = RAM_SIZE;
	OK(vh_backend_add_region(box->backend, &next));
	shim_forget();
	shim_fail_after(SHIM_WRITE, EFAULT, 2);
	box_fails(box, vh_backend_iotlb_update(box->backend, &entry), -EFAULT);
	assert_non_null(
	    strstr(vh_backend_fault(box->backend)->text, "UPDATE of 0x401000"));
	shim_expect_iotlb(1, 0, 3, 0x400000, 0x2000, 0, 0);
	shim_expect_iotlb(1, 0, 2, 0x400000, 0x1000, host + RAM_SIZE - 0x1000,
			  1);
	shim_expect_iotlb(1, 0, 2, 0x401000, 0x1000, host + RAM_SIZE, 1);
	shim_expect_iotlb(1, 0, 3, 0x400000, 0x1000, 0, 0);
	/* Of one that is refused at once there is nothing to be taken back. */
	shim_fail_after(SHIM_WRITE, EFAULT, 1);
	box_fails(box, vh_backend_iotlb_update(box->backend, &entry), -EFAULT);
	shim_expect_any(SHIM_WRITE);
	shim_expect_any(SHIM_WRITE);
	shim_expect_nothing();
}

static void test_kernel_iotlb_invalidate_to_the_end(void **state)
{
	struct box *box = *state;
	struct vh_backend *b = box->backend;

	box_prepare(box, VH_F_ACCESS_PLATFORM, 0);
	OK(vh_backend_iotlb_invalidate(b, UINT64_MAX - 0xfff, 0x1000));
	shim_expect_iotlb(1, 0, 3, UINT64_MAX - 0xfff, 0x1000, 0, 0);
	OK(vh_backend_iotlb_invalidate(b, UINT64_MAX - 0xfff, 0x1001));
	shim_expect_iotlb(1, 0, 3, UINT64_MAX - 0xfff, 0x1000, 0, 0);
	OK(vh_backend_iotlb_invalidate(b, 1, UINT64_MAX));
	shim_expect_iotlb(1, 0, 3, 1, UINT64_MAX, 0, 0);
	OK(vh_backend_iotlb_invalidate(b, UINT64_MAX, UINT64_MAX));
	shim_expect_iotlb(1, 0, 3, UINT64_MAX, 1, 0, 0);
	shim_expect_nothing();
}

static void expect_clear(void)
{
	shim_expect_iotlb(1, 0, 3, 0, UINT64_C(1) << 63, 0, 0);
	shim_expect_iotlb(1, 0, 3, UINT64_C(1) << 63, UINT64_C(1) << 63, 0, 0);
}

/* Entries are addresses of this process: no memory goes under them. */
static void test_kernel_iotlb_without_memory(void **state)
{
	struct box *box = *state;
	struct vh_backend *b = box->backend;
	struct vh_region low = box_region(box, false);
	struct vh_region high = box_region(box, true);

	box_prepare(box, VH_F_ACCESS_PLATFORM, 0);
	OK(vh_backend_add_region(b, &high));
	shim_expect_any(N_SET_MEM_TABLE);
	OK(vh_backend_remove_region(b, &low));
	expect_clear();
	shim_expect_any(N_SET_MEM_TABLE);
	shim_fail(SHIM_WRITE, EFAULT);
	box_fails(box, vh_backend_set_mem_table(b, &low, 1), -EFAULT);
	assert_int_equal(shim_count(N_SET_MEM_TABLE), 2);
	shim_fail(SHIM_WRITE, 0);
	shim_forget();
	OK(vh_backend_set_mem_table(b, &low, 1));
	expect_clear();
	shim_expect_any(N_SET_MEM_TABLE);
	OK(vh_backend_set_features(b, 0));
	shim_expect_any(N_GET_FEATURES);
	expect_clear();
	shim_expect_u64(N_SET_FEATURES, 0);
	OK(vh_backend_remove_region(b, &low));
	shim_expect_any(N_SET_MEM_TABLE);
	OK(vh_backend_set_features(b, VH_F_ACCESS_PLATFORM));
	shim_forget();
	OK(vh_backend_reset_device(b));
	shim_expect_2(N_SET_VRING_KICK, 0, UINT32_MAX);
	shim_expect_2(N_SET_VRING_BASE, 0, 0);
	expect_clear();
	shim_expect_u64(N_SET_FEATURES, 0);
	shim_expect_nothing();
}

struct misses {
	int count;
	vh_gpa iova;
	uint32_t access;
};

static void iotlb_miss(void *user, vh_gpa iova, uint32_t access)
{
	struct misses *misses = user;

	misses->count++;
	misses->iova = iova;
	misses->access = access;
}

struct message {
	uint32_t form, asid;
	uint64_t iova, size, host;
	uint8_t access, type, padding[38];
};

static void test_kernel_iotlb_miss(void **state)
{
	struct box *box = *state;
	struct misses misses = {0};
	struct message message = {.form = 1,
				  .iova = 0x123456000,
				  .access = VH_ACCESS_READ,
				  .type = 1};
	struct message bad;
	VH_OPTS(vh_backend_events, events);

	events.iotlb_miss = iotlb_miss;
	OK(vh_backend_set_events(box->backend, &events, &misses));
	OK(vh_backend_dispatch(box->backend));
	assert_int_equal(misses.count, 0);
	shim_miss(&message, sizeof(message));
	message.form = 2;
	message.access = VH_ACCESS_WRITE;
	shim_miss(&message, sizeof(message));
	OK(vh_backend_dispatch(box->backend));
	assert_int_equal(misses.count, 2);
	assert_int_equal(misses.iova, 0x123456000);
	assert_int_equal(misses.access, VH_ACCESS_WRITE);
	bad = message;
	bad.type = 9;
	shim_miss(&bad, sizeof(bad));
	box_fails(box, vh_backend_dispatch(box->backend), -EPROTO);
	bad = message;
	bad.access = 0;
	shim_miss(&bad, sizeof(bad));
	box_fails(box, vh_backend_dispatch(box->backend), -EPROTO);
	bad = message;
	bad.access = 0xff;
	shim_miss(&bad, sizeof(bad));
	box_fails(box, vh_backend_dispatch(box->backend), -EPROTO);
	bad = message;
	bad.form = 3;
	shim_miss(&bad, sizeof(bad));
	box_fails(box, vh_backend_dispatch(box->backend), -EPROTO);
	shim_miss(&message, 71);
	box_fails(box, vh_backend_dispatch(box->backend), -EPROTO);
	/* A refusal that was logged asks for nothing. */
	message.type = 4;
	shim_miss(&message, sizeof(message));
	OK(vh_backend_dispatch(box->backend));
	assert_int_equal(misses.count, 2);
}

/* vhost-scsi has no IOTLB: reading it would be an error. */
static void test_kernel_nothing_to_dispatch(void **state)
{
	struct box *box = *state;
	const struct message message = {.form = 1, .access = 1, .type = 9};

	shim_miss(&message, sizeof(message));
	OK(vh_backend_dispatch(box->backend));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, box_net, box_free)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_kernel_iotlb_ring),
	    CASE(test_kernel_iotlb_update),
	    CASE(test_kernel_iotlb_update_half_way),
	    CASE(test_kernel_iotlb_invalidate_to_the_end),
	    CASE(test_kernel_iotlb_without_memory),
	    CASE(test_kernel_iotlb_miss),
	    cmocka_unit_test_setup_teardown(test_kernel_nothing_to_dispatch,
					    box_scsi, box_free),
	};

	return cmocka_run_group_tests_name("kernel-iotlb", tests, NULL, NULL);
}
