/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Making maps: what is in them, and what is refused. */
#include "support.h"

#include <resources.h>

#define GUEST UINT64_C(0x100000000)
#define USER  UINT64_C(0x7f0000000000)

static void test_memory_map_starts_empty(void **state)
{
	struct vh_memory *memory = empty_map();
	struct vh_region region = {.fd = 77};

	(void)state;
	assert_int_equal(vh_memory_count(memory), 0);
	assert_int_equal(vh_memory_region(memory, 0, &region), -ENOENT);
	assert_int_equal(region.fd, 77);
	assert_null(vh_memory_at(memory, 0, 1));
	assert_null(vh_memory_at(memory, UINT64_MAX, 1));
	vh_memory_unref(memory);
	vh_memory_unref(NULL);
}

static void test_memory_map_describes_regions_in_guest_order(void **state)
{
	int fd = file_of(4 * PAGE);
	struct vh_memory *memory = empty_map();
	static const unsigned int order[] = {2, 0, 3, 1};
	struct vh_region region;

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		region = region_of(GUEST + order[i] * 2 * PAGE, PAGE,
				   USER - order[i] * PAGE, order[i] * PAGE, fd);
		must_add(&memory, &region);
	}
	close(fd);
	assert_int_equal(vh_memory_count(memory), 4);
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(vh_memory_region(memory, i, &region), 0);
		assert_int_equal(region.guest, GUEST + i * 2 * PAGE);
		assert_int_equal(region.size, PAGE);
		assert_int_equal(region.user.raw, USER - i * PAGE);
		assert_int_equal(region.fd_offset, i * PAGE);
		assert_int_equal(region.fd, -1);
	}
	assert_int_equal(vh_memory_region(memory, 4, &region), -ENOENT);
	assert_int_equal(vh_memory_region(memory, UINT32_MAX, &region),
			 -ENOENT);
	vh_memory_unref(memory);
}

static void test_memory_map_shares_the_file(void **state)
{
	int fd = file_of(2 * PAGE);
	struct vh_memory *memory = empty_map();
	struct vh_region region = region_of(GUEST, PAGE, USER, PAGE, fd);
	unsigned char byte = 0xee;
	unsigned char *host;

	(void)state;
	must_add(&memory, &region);
	host = vh_memory_at(memory, GUEST, PAGE);
	assert_non_null(host);
	for (uint64_t i = 0; i < PAGE; i++)
		assert_int_equal(host[i], byte_at(PAGE + i));
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)PAGE + 5), 1);
	assert_int_equal(host[5], 0xee);
	host[6] = 0xdd;
	assert_int_equal(pread(fd, &byte, 1, (off_t)PAGE + 6), 1);
	assert_int_equal(byte, 0xdd);
	close(fd);
	assert_int_equal(host[5], 0xee);
	vh_memory_unref(memory);
}

static void test_memory_map_leaves_the_old_one_as_it_was(void **state)
{
	int fd = file_of(2 * PAGE);
	struct vh_region a = region_of(GUEST, PAGE, USER, 0, fd);
	struct vh_region b =
	    region_of(GUEST + PAGE, PAGE, USER + PAGE, PAGE, fd);
	struct vh_memory *none = empty_map(), *one, *two, *other;

	(void)state;
	assert_int_equal(vh_memory_add(none, &a, NULL, &one), 0);
	assert_int_equal(vh_memory_add(one, &b, NULL, &two), 0);
	assert_int_equal(vh_memory_remove(two, &a, NULL, &other), 0);
	assert_int_equal(vh_memory_count(none), 0);
	assert_int_equal(vh_memory_count(one), 1);
	assert_int_equal(vh_memory_count(two), 2);
	assert_int_equal(vh_memory_count(other), 1);
	assert_null(vh_memory_at(none, GUEST, 1));
	assert_null(vh_memory_at(one, GUEST + PAGE, 1));
	assert_null(vh_memory_at(other, GUEST, 1));
	assert_ptr_equal(vh_memory_at(one, GUEST, 1),
			 vh_memory_at(two, GUEST, 1));
	assert_ptr_equal(vh_memory_at(other, GUEST + PAGE, 1),
			 vh_memory_at(two, GUEST + PAGE, 1));
	vh_memory_unref(two);
	vh_memory_unref(none);
	vh_memory_unref(other);
	vh_memory_unref(one);
	close(fd);
}

static void refuses_remove(const struct vh_memory *memory,
			   const struct vh_region *region)
{
	struct vh_memory *untouched = (struct vh_memory *)&region, *next;
	struct vh_fault fault = {0};

	next = untouched;
	assert_int_equal(vh_memory_remove(memory, region, &fault, &next),
			 -ENOENT);
	assert_ptr_equal(next, untouched);
	assert_int_equal(fault.code, VH_FAULT_MEM_UNKNOWN);
	assert_int_equal(fault.error, -ENOENT);
	assert_non_null(strstr(fault.text, "0x100000"));
	assert_int_equal(vh_memory_remove(memory, region, NULL, &next),
			 -ENOENT);
}

static void test_memory_map_removes_what_is_the_same_region(void **state)
{
	int fd = file_of(4 * PAGE);
	struct vh_memory *memory = empty_map();
	struct vh_region a = region_of(GUEST, 2 * PAGE, USER, 0, fd);
	struct vh_region b = region_of(GUEST + 2 * PAGE, 2 * PAGE,
				       USER + 2 * PAGE, 2 * PAGE, fd);
	struct vh_region wrong;

	(void)state;
	refuses_remove(memory, &a);
	must_add(&memory, &b);
	refuses_remove(memory, &a);
	must_add(&memory, &a);
	wrong = a;
	wrong.guest++;
	refuses_remove(memory, &wrong);
	wrong = a;
	wrong.size--;
	refuses_remove(memory, &wrong);
	wrong = a;
	wrong.user = b.user;
	refuses_remove(memory, &wrong);
	/* the descriptor and the offset are of no account */
	wrong = a;
	wrong.fd = -1;
	wrong.fd_offset = UINT64_MAX;
	must_remove(&memory, &wrong);
	refuses_remove(memory, &a);
	must_remove(&memory, &b);
	assert_int_equal(vh_memory_count(memory), 0);
	vh_memory_unref(memory);
	close(fd);
}

static void test_memory_map_refuses_empty_and_wrapping_regions(void **state)
{
	int fd = file_of(2 * PAGE);
	struct vh_memory *memory = empty_map();
	struct vh_region r = region_of(GUEST, 0, USER, 0, fd);

	(void)state;
	refuses_add(memory, &r, -EINVAL, VH_FAULT_MEM_REGION, "is 0");
	r = region_of(UINT64_MAX - PAGE + 2, PAGE, USER, 0, fd);
	refuses_add(memory, &r, -EINVAL, VH_FAULT_MEM_REGION,
		    "guest address 0xffffffffffff");
	r = region_of(GUEST, PAGE, UINT64_MAX - PAGE + 2, 0, fd);
	refuses_add(memory, &r, -EINVAL, VH_FAULT_MEM_REGION,
		    "front-end (user) address 0xffffffffffff");
	r = region_of(1, UINT64_MAX, USER, 0, fd);
	refuses_add(memory, &r, -EINVAL, VH_FAULT_MEM_REGION, "2^64");
	r = region_of(UINT64_MAX, UINT64_MAX, 0, 0, fd);
	refuses_add(memory, &r, -EINVAL, VH_FAULT_MEM_REGION, "2^64");
	/* no wrap, but no such file either */
	r = region_of(0, UINT64_MAX, 0, 0, fd);
	refuses_add(memory, &r, -ERANGE, VH_FAULT_MEM_FILE,
		    "0xffffffffffffffff");
	/* the last byte of either kind of address can be used */
	r = region_of(UINT64_MAX - PAGE + 1, PAGE, UINT64_MAX - PAGE + 1, 0,
		      fd);
	must_add(&memory, &r);
	assert_non_null(vh_memory_at(memory, UINT64_MAX, 1));
	assert_null(vh_memory_at(memory, UINT64_MAX, 2));
	assert_null(vh_memory_at(memory, UINT64_MAX - PAGE, 1));
	assert_null(vh_memory_at(memory, 0, 1));
	must_remove(&memory, &r);
	vh_memory_unref(memory);
	close(fd);
}

/* One region in the middle, others around it which differ by a byte. */
static void test_memory_map_refuses_overlap_by_one_byte(void **state)
{
	int fd = file_of(8 * PAGE);
	struct vh_memory *memory = empty_map();
	uint64_t size = 2 * PAGE;
	struct vh_region r = region_of(GUEST, size, USER, 0, fd);
	static const struct {
		int64_t shift;
		bool bad;
	} shifts[] = {{-1, true}, {0, false}, {1, false}};

	(void)state;
	must_add(&memory, &r);
	/* inside, around, the same; by guest address, then by the other */
	r = region_of(GUEST + 1, 1, 0, 0, fd);
	refuses_add(memory, &r, -EEXIST, VH_FAULT_MEM_OVERLAP, "guest");
	r = region_of(GUEST - 1, size + 2, 0, 0, fd);
	refuses_add(memory, &r, -EEXIST, VH_FAULT_MEM_OVERLAP, "guest");
	r = region_of(GUEST, size, 0, 0, fd);
	refuses_add(memory, &r, -EEXIST, VH_FAULT_MEM_OVERLAP, "0x100000000");
	r = region_of(0, 1, USER + 1, 0, fd);
	refuses_add(memory, &r, -EEXIST, VH_FAULT_MEM_OVERLAP, "front-end");
	r = region_of(0, size + 2, USER - 1, 0, fd);
	refuses_add(memory, &r, -EEXIST, VH_FAULT_MEM_OVERLAP, "front-end");
	r = region_of(0, size, USER, 0, fd);
	refuses_add(memory, &r, -EEXIST, VH_FAULT_MEM_OVERLAP,
		    "0x7f0000000000");
	for (unsigned int i = 0; i < 3; i++) {
		struct vh_region around[] = {
		    region_of(GUEST + size + (uint64_t)shifts[i].shift, PAGE, 0,
			      0, fd),
		    region_of(GUEST - PAGE - (uint64_t)shifts[i].shift, PAGE, 0,
			      0, fd),
		    region_of(0, PAGE, USER + size + (uint64_t)shifts[i].shift,
			      0, fd),
		    region_of(0, PAGE, USER - PAGE - (uint64_t)shifts[i].shift,
			      0, fd),
		};

		for (unsigned int j = 0; j < 4; j++) {
			if (shifts[i].bad) {
				refuses_add(memory, &around[j], -EEXIST,
					    VH_FAULT_MEM_OVERLAP, "overlap");
			} else {
				must_add(&memory, &around[j]);
				must_remove(&memory, &around[j]);
			}
		}
	}
	vh_memory_unref(memory);
	close(fd);
}

/* Either of two neighbours can be hit by a region that starts in neither. */
static void test_memory_map_refuses_overlap_with_both_neighbours(void **state)
{
	int fd = file_of(8 * PAGE);
	struct vh_memory *memory = empty_map();
	struct vh_region r;

	(void)state;
	for (uint64_t i = 0; i < 4; i++) {
		r = region_of(GUEST + 2 * i * PAGE, PAGE, USER + i * PAGE,
			      i * PAGE, fd);
		must_add(&memory, &r);
	}
	for (uint64_t i = 0; i < 4; i++) {
		r = region_of(GUEST + 2 * i * PAGE - 1, 2, 0, 0, fd);
		refuses_add(memory, &r, -EEXIST, VH_FAULT_MEM_OVERLAP, "guest");
		r = region_of(GUEST + (2 * i + 1) * PAGE - 1, 2, 0, 0, fd);
		refuses_add(memory, &r, -EEXIST, VH_FAULT_MEM_OVERLAP, "guest");
		r = region_of(0, 2, USER + i * PAGE - 1, 0, fd);
		refuses_add(memory, &r, -EEXIST, VH_FAULT_MEM_OVERLAP,
			    "front-end");
	}
	/* exactly the gap */
	r = region_of(GUEST + PAGE, PAGE, USER + 4 * PAGE, 0, fd);
	must_add(&memory, &r);
	vh_memory_unref(memory);
	close(fd);
}

static void test_memory_map_holds_509_regions(void **state)
{
	int fd = file_of(PAGE);
	struct vh_memory *memory = empty_map();
	unsigned int before = mappings_of(ANY_MEMFD);
	struct vh_region r;

	(void)state;
	/* 7 and 509 have no common factor: any order, each once */
	for (uint64_t i = 0; i < VH_MEMORY_MAX_REGIONS; i++) {
		uint64_t n = i * 7 % VH_MEMORY_MAX_REGIONS;

		r = region_of(GUEST + n * PAGE, PAGE, USER + i * PAGE, 0, fd);
		must_add(&memory, &r);
	}
	assert_int_equal(vh_memory_count(memory), VH_MEMORY_MAX_REGIONS);
	assert_int_equal(mappings_of(ANY_MEMFD) - before,
			 VH_MEMORY_MAX_REGIONS);
	r = region_of(0, PAGE, 0, 0, fd);
	refuses_add(memory, &r, -ENOSPC, VH_FAULT_MEM_SLOTS, "509");
	for (uint64_t i = 0; i < VH_MEMORY_MAX_REGIONS; i++) {
		uint64_t n = i * 7 % VH_MEMORY_MAX_REGIONS;

		r = region_of(GUEST + n * PAGE, PAGE, USER + i * PAGE, 0, fd);
		assert_non_null(vh_memory_at(memory, r.guest, PAGE));
		must_remove(&memory, &r);
		assert_null(vh_memory_at(memory, r.guest, 1));
	}
	assert_int_equal(vh_memory_count(memory), 0);
	assert_int_equal(mappings_of(ANY_MEMFD), before);
	vh_memory_unref(memory);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_memory_map_starts_empty),
	    cmocka_unit_test(test_memory_map_describes_regions_in_guest_order),
	    cmocka_unit_test(test_memory_map_shares_the_file),
	    cmocka_unit_test(test_memory_map_leaves_the_old_one_as_it_was),
	    cmocka_unit_test(test_memory_map_removes_what_is_the_same_region),
	    cmocka_unit_test(
		test_memory_map_refuses_empty_and_wrapping_regions),
	    cmocka_unit_test(test_memory_map_refuses_overlap_by_one_byte),
	    cmocka_unit_test(
		test_memory_map_refuses_overlap_with_both_neighbours),
	    cmocka_unit_test(test_memory_map_holds_509_regions),
	};

	return cmocka_run_group_tests_name("memory-map", tests, NULL, NULL);
}
