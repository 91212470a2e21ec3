/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Memory of a vDPA device: regions as they come and go. */
#include "box.h"

static void test_vdpa_memory_regions(void **state)
{
	struct box *box = *state;
	struct vh_backend *b = box->backend;
	struct vh_region low = box_region(box, 0, 0);
	struct vh_region high = box_region(box, 1, 0x100000);
	struct vh_region both[2] = {low, high};
	uint64_t host;

	OK(vh_backend_set_owner(b));
	shim_forget();
	assert_int_equal(pwrite(box->memfd, "high", 4, RAM_SIZE), 4);
	OK(vh_backend_add_region(b, &low));
	box_expect_batch(0, BEGIN);
	(void)box_expect_update(box, 2, 0, 0, RAM_SIZE);
	box_expect_batch(0, END);
	OK(vh_backend_add_region(b, &high));
	box_expect_batch(0, BEGIN);
	host = box_expect_update(box, 2, 0, 0x100000, RAM_SIZE);
	/* It is a mapping of that file, not the caller's address. */
	assert_memory_equal((char *)(uintptr_t)host, "high", 4);
	box_expect_batch(0, END);
	OK(vh_backend_remove_region(b, &low));
	box_expect_batch(0, BEGIN);
	shim_expect_iotlb(2, 0, INVALIDATE, 0, RAM_SIZE, 0, 0);
	box_expect_batch(0, END);
	box_fails(box, vh_backend_remove_region(b, &low), -ENOENT);
	shim_expect_nothing();
	OK(vh_backend_set_mem_table(b, both, 2));
	box_expect_batch(0, BEGIN);
	box_expect_clear(2);
	(void)box_expect_update(box, 2, 0, 0, RAM_SIZE);
	(void)box_expect_update(box, 2, 0, 0x100000, RAM_SIZE);
	box_expect_batch(0, END);
	OK(vh_backend_set_mem_table(b, NULL, 0));
	box_expect_batch(0, BEGIN);
	box_expect_clear(2);
	box_expect_batch(0, END);
	shim_expect_nothing();
}

/* A device without batches and without the second form of messages. */
static void test_vdpa_memory_plain(void **state)
{
	struct box *box = *state;
	struct vh_region low = box_region(box, 0, 0);

	OK(vh_backend_set_owner(box->backend));
	shim_forget();
	OK(vh_backend_add_region(box->backend, &low));
	(void)box_expect_update(box, 1, 0, 0, RAM_SIZE);
	OK(vh_backend_remove_region(box->backend, &low));
	shim_expect_iotlb(1, 0, INVALIDATE, 0, RAM_SIZE, 0, 0);
	shim_expect_nothing();
	box_fails(box, vh_vdpa_iotlb_batch(box->backend, 0, true), -EOPNOTSUPP);
}

static void test_vdpa_memory_rules(void **state)
{
	struct box *box = *state;
	struct vh_backend *b = box->backend;
	struct vh_region region = box_region(box, 0, 0);
	struct vh_region bad[7];

	box_fails(box, vh_backend_add_region(b, &region), -EPERM);
	OK(vh_backend_set_owner(b));
	shim_forget();
	for (int i = 0; i < 7; i++)
		bad[i] = region;
	bad[0].fd = -1; /* private memory: the kernel would say yes */
	bad[1].guest = 0x10;
	bad[2].size = 0x800;
	bad[3].fd_offset = 0x10;
	bad[4].guest = LAST - 0xfff;
	bad[5].guest = LAST + 1;
	bad[6].size = 0;
	for (int i = 0; i < 7; i++)
		box_fails(box, vh_backend_add_region(b, &bad[i]), -EINVAL);
	bad[0] = region;
	bad[0].size = 4 * RAM_SIZE;
	box_fails(box, vh_backend_add_region(b, &bad[0]), -ERANGE);
	OK(vh_backend_add_region(b, &region));
	box_fails(box, vh_backend_add_region(b, &region), -EEXIST);
}

/* The kernel can't map one region: all is as before. */
static void test_vdpa_memory_refused(void **state)
{
	struct box *box = *state;
	struct vh_backend *b = box->backend;
	struct vh_region low = box_region(box, 0, 0);
	struct vh_region both[2] = {box_region(box, 0, 0x200000),
				    box_region(box, 1, 0x100000)};

	OK(vh_backend_set_owner(b));
	OK(vh_backend_add_region(b, &low));
	shim_forget();
	/* BEGIN, two INVALIDATEs and the first UPDATE work. */
	shim_fail_after(SHIM_WRITE, EFAULT, 4);
	box_fails(box, vh_backend_set_mem_table(b, both, 2), -EFAULT);
	shim_fail(SHIM_WRITE, 0);
	shim_forget();
	box_fails(box, vh_backend_remove_region(b, &both[0]), -ENOENT);
	OK(vh_backend_remove_region(b, &low));
	shim_fail_after(SHIM_WRITE, ENOMEM, 1);
	box_fails(box, vh_backend_add_region(b, &low), -ENOMEM);
	shim_fail(SHIM_WRITE, 0);
	OK(vh_backend_add_region(b, &low));
}

/* What couldn't be mapped is when there is another chance. */
static void test_vdpa_memory_mapped_later(void **state)
{
	struct box *box = *state;
	struct vh_backend *b = box->backend;
	struct vh_region low = box_region(box, 0, 0);
	struct vh_region high = box_region(box, 1, 0x100000);

	OK(vh_backend_set_owner(b));
	OK(vh_backend_set_features(b, VERSION_1 | VH_F_ACCESS_PLATFORM));
	OK(vh_backend_add_region(b, &low));
	/* BEGIN works. */
	shim_fail_after(SHIM_WRITE, ENOMEM, 1);
	box_fails(box, vh_backend_set_features(b, VERSION_1), -ENOMEM);
	shim_fail_after(SHIM_WRITE, ENOMEM, 1);
	box_fails(box, vh_backend_add_region(b, &high), -ENOMEM);
	shim_fail(SHIM_WRITE, 0);
	shim_forget();
	OK(vh_backend_set_features(b, VERSION_1));
	assert_int_equal(shim_count(N_SET_FEATURES), 1);
	/* BEGIN, two INVALIDATEs, the region and END */
	assert_int_equal(shim_count(SHIM_WRITE), 5);
	shim_forget();
	OK(vh_backend_add_region(b, &high));
	assert_int_equal(shim_count(SHIM_WRITE), 3);
}

/* The batch's end fails: nothing of a region may stay that isn't there. */
static void test_vdpa_memory_end_fails(void **state)
{
	struct box *box = *state;
	struct vh_backend *b = box->backend;
	struct vh_region low = box_region(box, 0, 0);

	OK(vh_backend_set_owner(b));
	shim_forget();
	shim_fail_after(SHIM_WRITE, EIO, 2);
	box_fails(box, vh_backend_add_region(b, &low), -EIO);
	box_expect_batch(0, BEGIN);
	(void)box_expect_update(box, 2, 0, 0, RAM_SIZE);
	box_expect_batch(0, END);
	shim_expect_iotlb(2, 0, INVALIDATE, 0, RAM_SIZE, 0, 0);
	shim_fail(SHIM_WRITE, 0);
	OK(vh_backend_add_region(b, &low));
	box_expect_batch(0, BEGIN);
	(void)box_expect_update(box, 2, 0, 0, RAM_SIZE);
	box_expect_batch(0, END);
	shim_expect_nothing();
}

struct faults {
	int count;
	struct vh_fault last;
};

static void vring_fault(void *user, const struct vh_fault *fault)
{
	struct faults *faults = user;

	faults->count++;
	faults->last = *fault;
}

static void test_vdpa_memory_under_a_ring(void **state)
{
	struct box *box = *state;
	struct vh_region low = box_region(box, 0, 0);
	struct faults faults = {0};
	VH_OPTS(vh_backend_events, events);

	events.vring_fault = vring_fault;
	OK(vh_backend_set_events(box->backend, &events, &faults));
	box_start(box);
	OK(vh_backend_remove_region(box->backend, &low));
	assert_int_equal(faults.count, 1);
	assert_int_equal(faults.last.queue, 0);
	assert_int_equal(faults.last.code, VH_FAULT_RING_ADDR);
}

#define FULL(name)  cmocka_unit_test_setup_teardown(name, box_full, box_free)
#define PLAIN(name) cmocka_unit_test_setup_teardown(name, box_plain, box_free)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    FULL(test_vdpa_memory_regions),
	    PLAIN(test_vdpa_memory_plain),
	    FULL(test_vdpa_memory_rules),
	    FULL(test_vdpa_memory_refused),
	    FULL(test_vdpa_memory_mapped_later),
	    FULL(test_vdpa_memory_end_fails),
	    FULL(test_vdpa_memory_under_a_ring),
	};

	return cmocka_run_group_tests_name("vdpa-memory", tests, NULL, NULL);
}
