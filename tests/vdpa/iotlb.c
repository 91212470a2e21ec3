/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Entries that a program puts into the address spaces of a vDPA device. */
#include "box.h"

/* With an IOMMU of its own a program says what is where. */
static void test_vdpa_iotlb_iommu(void **state)
{
	struct box *box = *state;
	struct vh_backend *b = box->backend;
	struct vh_region low = box_region(box, 0, 0);
	struct vh_region high = box_region(box, 1, RAM_SIZE);
	struct vh_iotlb_entry entry = {
	    .iova = 0x400000,
	    .size = 0x2000,
	    .guest = RAM_SIZE - 0x1000,
	    .access = VH_ACCESS_READ | VH_ACCESS_WRITE,
	};
	uint64_t a, c;

	OK(vh_backend_set_owner(b));
	OK(vh_backend_add_region(b, &low));
	box_fails(box, vh_backend_iotlb_update(b, &entry), -EINVAL);
	shim_forget();
	OK(vh_backend_set_features(b, VERSION_1 | VH_F_ACCESS_PLATFORM));
	shim_expect_any(N_GET_FEATURES);
	shim_expect_u64(N_SET_FEATURES, UINT64_C(0x300000000));
	box_expect_batch(0, BEGIN);
	box_expect_clear(2);
	box_expect_batch(0, END);
	OK(vh_backend_add_region(b, &high));
	shim_expect_nothing();
	OK(vh_backend_iotlb_update(b, &entry));
	a = box_expect_update(box, 2, 0, 0x400000, 0x1000);
	c = box_expect_update(box, 2, 0, 0x401000, 0x1000);
	assert_int_not_equal(a + 0x1000, c);
	OK(vh_backend_iotlb_invalidate(b, 0x400000, 0x2000));
	shim_expect_iotlb(2, 0, INVALIDATE, 0x400000, 0x1000, 0, 0);
	shim_expect_iotlb(2, 0, INVALIDATE, 0x401000, 0x1000, 0, 0);
	/* It isn't there any more. */
	OK(vh_backend_iotlb_invalidate(b, 0x400000, 0x2000));
	shim_expect_nothing();
	/* Without one again. */
	OK(vh_backend_set_features(b, VERSION_1));
	shim_expect_any(N_GET_FEATURES);
	shim_expect_any(N_SET_FEATURES);
	box_expect_batch(0, BEGIN);
	box_expect_clear(2);
	(void)box_expect_update(box, 2, 0, 0, RAM_SIZE);
	(void)box_expect_update(box, 2, 0, RAM_SIZE, RAM_SIZE);
	box_expect_batch(0, END);
	shim_expect_nothing();
}

static void test_vdpa_iotlb_spaces(void **state)
{
	struct box *box = *state;
	struct vh_backend *b = box->backend;
	struct vh_region low = box_region(box, 0, 0);
	struct vh_iotlb_entry entry = {
	    .iova = 0x400000,
	    .size = 0x1000,
	    .guest = 0x1000,
	    .access = VH_ACCESS_READ | VH_ACCESS_WRITE,
	};

	OK(vh_backend_set_owner(b));
	OK(vh_backend_add_region(b, &low));
	shim_forget();
	OK(vh_vdpa_iotlb_batch(b, 1, true));
	box_expect_batch(1, BEGIN);
	OK(vh_vdpa_iotlb_update(b, 1, &entry));
	(void)box_expect_update(box, 2, 1, 0x400000, 0x1000);
	OK(vh_vdpa_iotlb_batch(b, 1, false));
	box_expect_batch(1, END);
	OK(vh_vdpa_iotlb_invalidate(b, 1, 0x400000, 0x1000));
	shim_expect_iotlb(2, 1, INVALIDATE, 0x400000, 0x1000, 0, 0);
	box_fails(box, vh_vdpa_iotlb_update(b, 2, &entry), -EINVAL);
	box_fails(box, vh_vdpa_iotlb_invalidate(b, 2, 0, 1), -EINVAL);
	box_fails(box, vh_vdpa_iotlb_invalidate(b, 1, 0, 0), -EINVAL);
	box_fails(box, vh_vdpa_iotlb_batch(b, 2, true), -EINVAL);
	entry.iova = LAST + 1;
	box_fails(box, vh_vdpa_iotlb_update(b, 1, &entry), -ERANGE);
	entry.iova = 0x10;
	box_fails(box, vh_vdpa_iotlb_update(b, 1, &entry), -EINVAL);
	entry.iova = 0;
	entry.guest = RAM_SIZE;
	box_fails(box, vh_vdpa_iotlb_update(b, 1, &entry), -EFAULT);
	entry.guest = 0;
	entry.access = 8;
	box_fails(box, vh_vdpa_iotlb_update(b, 1, &entry), -EINVAL);
	shim_expect_nothing();
}

/* The kernel takes whole entries out: what is beside the range goes back. */
static void test_vdpa_iotlb_cut(void **state)
{
	struct box *box = *state;
	struct vh_backend *b = box->backend;
	struct vh_region low = box_region(box, 0, 0);
	struct vh_iotlb_entry entry = {
	    .iova = 0x400000,
	    .size = 0x4000,
	    .guest = 0x1000,
	    .access = VH_ACCESS_READ | VH_ACCESS_WRITE,
	};
	uint64_t host;

	OK(vh_backend_set_owner(b));
	OK(vh_backend_add_region(b, &low));
	OK(vh_backend_set_features(b, VERSION_1 | VH_F_ACCESS_PLATFORM));
	shim_forget();
	OK(vh_backend_iotlb_update(b, &entry));
	host = box_expect_update(box, 2, 0, 0x400000, 0x4000);
	OK(vh_backend_iotlb_invalidate(b, 0x401000, 0x1000));
	shim_expect_iotlb(2, 0, INVALIDATE, 0x400000, 0x4000, 0, 0);
	shim_expect_iotlb(2, 0, UPDATE, 0x400000, 0x1000, host, 3);
	shim_expect_iotlb(2, 0, UPDATE, 0x402000, 0x2000, host + 0x2000, 3);
	shim_expect_nothing();
	/* Another one over the end of one, a gap and the begin of the next. */
	entry.iova = 0x400000;
	entry.size = 0x3000;
	entry.guest = 0x8000;
	OK(vh_backend_iotlb_update(b, &entry));
	shim_expect_iotlb(2, 0, INVALIDATE, 0x400000, 0x1000, 0, 0);
	shim_expect_iotlb(2, 0, INVALIDATE, 0x402000, 0x2000, 0, 0);
	shim_expect_iotlb(2, 0, UPDATE, 0x403000, 0x1000, host + 0x3000, 3);
	shim_expect_iotlb(2, 0, UPDATE, 0x400000, 0x3000, host + 0x7000, 3);
	/* All of it leads into the region, and goes with it. */
	OK(vh_backend_remove_region(b, &low));
	assert_int_equal(shim_count(SHIM_WRITE), 10);
	shim_forget();
	OK(vh_backend_iotlb_invalidate(b, 0x400000, 0x4000));
	box_fails(box, vh_backend_iotlb_invalidate(b, 0x400010, 0x1000),
		  -EINVAL);
	shim_expect_nothing();
}

/* A part of an entry is refused: the one before it goes, too. */
static void test_vdpa_iotlb_half_way(void **state)
{
	struct box *box = *state;
	struct vh_backend *b = box->backend;
	struct vh_region low = box_region(box, 0, 0);
	struct vh_region high = box_region(box, 1, RAM_SIZE);
	const struct vh_iotlb_entry entry = {
	    .iova = 0x400000,
	    .size = 0x2000,
	    .guest = RAM_SIZE - 0x1000,
	    .access = VH_ACCESS_READ | VH_ACCESS_WRITE,
	};

	OK(vh_backend_set_owner(b));
	OK(vh_backend_set_features(b, VERSION_1 | VH_F_ACCESS_PLATFORM));
	OK(vh_backend_add_region(b, &low));
	OK(vh_backend_add_region(b, &high));
	shim_forget();
	shim_fail_after(SHIM_WRITE, EFAULT, 1);
	box_fails(box, vh_backend_iotlb_update(b, &entry), -EFAULT);
	assert_non_null(
	    strstr(vh_backend_fault(b)->text, "UPDATE of 0x401000"));
	shim_fail(SHIM_WRITE, 0);
	(void)box_expect_update(box, 2, 0, 0x400000, 0x1000);
	(void)box_expect_update(box, 2, 0, 0x401000, 0x1000);
	shim_expect_iotlb(2, 0, INVALIDATE, 0x400000, 0x1000, 0, 0);
	/* The kernel refused to take it out: it is known, and so can be. */
	OK(vh_backend_iotlb_invalidate(b, 0, RAM_SIZE * RAM_SIZE));
	shim_expect_iotlb(2, 0, INVALIDATE, 0x400000, 0x1000, 0, 0);
	OK(vh_backend_iotlb_update(b, &entry));
	(void)box_expect_update(box, 2, 0, 0x400000, 0x1000);
	(void)box_expect_update(box, 2, 0, 0x401000, 0x1000);
	shim_expect_nothing();
}

/* The last page of all that there can be, by ranges that would go on. */
static void test_vdpa_iotlb_to_the_end(void **state)
{
	const uint64_t all[2] = {0, UINT64_MAX};
	const vh_gpa top = UINT64_MAX - 0xfff;
	static const uint64_t sizes[] = {0x1000, 0x2000, UINT64_MAX - 0xfff};
	struct vh_iotlb_entry entry = {
	    .iova = UINT64_MAX - 0xfff,
	    .size = 0x1000,
	    .access = VH_ACCESS_READ | VH_ACCESS_WRITE,
	};
	struct box box = {.memfd = ((struct box *)*state)->memfd};
	struct vh_region low = box_region(&box, 0, 0);
	VH_OPTS(vh_vdpa_opts, opts);

	shim_answer(N_VDPA_GET_IOVA_RANGE, all, sizeof(all));
	opts.fd = shim_fd();
	OK(vh_vdpa_open(&opts, NULL, &box.backend));
	OK(vh_backend_set_owner(box.backend));
	OK(vh_backend_set_features(box.backend,
				   VERSION_1 | VH_F_ACCESS_PLATFORM));
	OK(vh_backend_add_region(box.backend, &low));
	shim_forget();
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		OK(vh_backend_iotlb_update(box.backend, &entry));
		(void)box_expect_update(&box, 2, 0, top, 0x1000);
		OK(vh_backend_iotlb_invalidate(box.backend, top, sizes[i]));
		shim_expect_iotlb(2, 0, INVALIDATE, top, 0x1000, 0, 0);
		shim_expect_nothing();
	}
	vh_backend_free(box.backend);
}

/* Without an IOMMU guest memory itself isn't to be covered. */
static void test_vdpa_iotlb_taken(void **state)
{
	struct box *box = *state;
	struct vh_backend *b = box->backend;
	struct vh_region low = box_region(box, 0, 0);
	struct vh_iotlb_entry entry = {
	    .iova = 0xf000,
	    .size = 0x2000,
	    .guest = 0x1000,
	    .access = VH_ACCESS_READ | VH_ACCESS_WRITE,
	};

	OK(vh_backend_set_owner(b));
	OK(vh_backend_add_region(b, &low));
	shim_forget();
	box_fails(box, vh_vdpa_iotlb_update(b, 0, &entry), -EEXIST);
	shim_expect_nothing();
	entry.iova = 0x10000;
	OK(vh_vdpa_iotlb_update(b, 0, &entry));
	/* A reset takes entries away, and leaves memory. */
	shim_forget();
	OK(vh_backend_reset_device(b));
	shim_expect_any(N_VDPA_SET_STATUS);
	shim_expect_any(N_VDPA_SET_CONFIG_CALL);
	shim_expect_iotlb(2, 0, INVALIDATE, 0x10000, 0x2000, 0, 0);
	shim_expect_nothing();
}

/* Address spaces beside the first need ASID to be agreed on. */
static void test_vdpa_iotlb_no_asid(void **state)
{
	struct box *box = *state;
	struct vh_backend *b = box->backend;
	struct vh_region low = box_region(box, 0, 0);
	struct vh_iotlb_entry entry = {
	    .size = 0x1000,
	    .access = VH_ACCESS_READ,
	};

	OK(vh_backend_set_owner(b));
	OK(vh_backend_add_region(b, &low));
	shim_forget();
	box_fails(box, vh_vdpa_iotlb_update(b, 1, &entry), -EOPNOTSUPP);
	shim_expect_nothing();
}

/* The kernel has one batch, of one space, in which no memory may go. */
static void test_vdpa_iotlb_batches(void **state)
{
	struct box *box = *state;
	struct vh_backend *b = box->backend;
	struct vh_region low = box_region(box, 0, 0);
	struct vh_region high = box_region(box, 1, 0x100000);
	const struct vh_iotlb_entry entry = {
	    .iova = 0x400000,
	    .size = 0x1000,
	    .access = VH_ACCESS_READ | VH_ACCESS_WRITE,
	};

	OK(vh_backend_set_owner(b));
	OK(vh_backend_add_region(b, &low));
	shim_forget();
	for (uint32_t i = 0; i < 2; i++) {
		OK(vh_vdpa_iotlb_batch(b, i, true));
		box_expect_batch(i, BEGIN);
		OK(vh_vdpa_iotlb_update(b, i, &entry));
		(void)box_expect_update(box, 2, i, 0x400000, 0x1000);
		/* It goes on, although it can't begin once more. */
		shim_fail(SHIM_WRITE, EIO);
		box_fails(box, vh_vdpa_iotlb_batch(b, i, true), -EIO);
		shim_fail(SHIM_WRITE, 0);
		box_expect_batch(i, BEGIN);
		box_fails(box, vh_vdpa_iotlb_update(b, !i, &entry), -EBUSY);
		box_fails(box, vh_vdpa_iotlb_batch(b, !i, true), -EBUSY);
		box_fails(box, vh_vdpa_iotlb_batch(b, !i, false), -EBUSY);
		box_fails(box, vh_backend_add_region(b, &high), -EBUSY);
		box_fails(box, vh_backend_remove_region(b, &low), -EBUSY);
		box_fails(box, vh_backend_set_mem_table(b, &high, 1), -EBUSY);
		box_fails(box, vh_backend_set_features(b, VH_F_ACCESS_PLATFORM),
			  -EBUSY);
		shim_expect_any(N_GET_FEATURES);
		shim_expect_nothing();
		OK(vh_vdpa_iotlb_batch(b, i, false));
		box_expect_batch(i, END);
	}
	OK(vh_vdpa_iotlb_batch(b, 1, true));
	box_expect_batch(1, BEGIN);
	OK(vh_backend_reset_device(b));
	box_expect_batch(1, END);
	shim_expect_any(N_VDPA_SET_STATUS);
	OK(vh_backend_remove_region(b, &low));
}

#define FULL(name)  cmocka_unit_test_setup_teardown(name, box_full, box_free)
#define PLAIN(name) cmocka_unit_test_setup_teardown(name, box_plain, box_free)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    FULL(test_vdpa_iotlb_iommu),      FULL(test_vdpa_iotlb_spaces),
	    FULL(test_vdpa_iotlb_cut),	      FULL(test_vdpa_iotlb_half_way),
	    FULL(test_vdpa_iotlb_to_the_end), FULL(test_vdpa_iotlb_taken),
	    PLAIN(test_vdpa_iotlb_no_asid),   FULL(test_vdpa_iotlb_batches),
	};

	return cmocka_run_group_tests_name("vdpa-iotlb", tests, NULL, NULL);
}
