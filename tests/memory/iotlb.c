/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* IOTLBs: what is kept of entries, and what is refused. */
#include "support.h"

#include <resources.h>

#include <memory/translate.h>

#include "iotlb_model.h"

#define GUEST UINT64_C(0x100000000)
#define USER  UINT64_C(0x7f0000000000)
#define IOVA  UINT64_C(0xfee00000)
#define READ  VH_ACCESS_READ
#define WRITE VH_ACCESS_WRITE
#define BOTH  (VH_ACCESS_READ | VH_ACCESS_WRITE)

/*
 * Guest memory of two regions side by side and one apart, each of two pages,
 * and an IOTLB that leads there.
 */
struct fixture {
	int fd;
	struct vh_region regions[3];
	struct vh_memory *guest;
	struct vh_memory *iotlb;
};

static struct fixture fixture_new(void)
{
	struct fixture f = {.fd = file_of(7 * PAGE), .guest = empty_map()};

	f.regions[0] = region_of(GUEST, 2 * PAGE, USER + 4 * PAGE, 100, f.fd);
	f.regions[1] =
	    region_of(GUEST + 2 * PAGE, 2 * PAGE, USER, 2 * PAGE + 7, f.fd);
	f.regions[2] = region_of(GUEST + 8 * PAGE, 2 * PAGE, USER + 8 * PAGE,
				 4 * PAGE, f.fd);
	for (unsigned int i = 0; i < 3; i++)
		must_add(&f.guest, &f.regions[i]);
	assert_int_equal(vh_iotlb_new(f.guest, &f.iotlb), 0);
	return f;
}

static void fixture_free(struct fixture *f)
{
	vh_memory_unref(f->iotlb);
	vh_memory_unref(f->guest);
	assert_int_equal(mappings_of(ANY_MEMFD), 0);
	close(f->fd);
}

/* Row number index is this one. */
static void has_row(const struct fixture *f, unsigned int index, vh_gpa iova,
		    uint64_t size, vh_gpa guest, uint32_t access)
{
	struct vhi_hit hit = {0};
	struct vh_region row;

	assert_int_equal(vh_memory_region(f->iotlb, index, &row), 0);
	assert_int_equal(row.guest, iova);
	assert_int_equal(row.size, size);
	assert_true(vhi_memory_find(f->iotlb, iova + size - 1, &hit));
	assert_int_equal(hit.base, iova);
	assert_int_equal(hit.size, size);
	assert_int_equal(hit.access, access);
	assert_ptr_equal(hit.host, vh_memory_at(f->guest, guest, size));
}

static void refuses(const struct fixture *f, struct vh_iotlb_entry entry,
		    int error, const char *words)
{
	struct vh_memory *untouched = (struct vh_memory *)&error, *next;
	unsigned int count = vh_memory_count(f->iotlb);
	struct vh_fault fault = {0};

	next = untouched;
	assert_int_equal(vh_iotlb_update(f->iotlb, &entry, &fault, &next),
			 error);
	assert_int_equal(fault.error, error);
	assert_int_equal(fault.code, VH_FAULT_MEM_IOTLB);
	assert_non_null(fault.section);
	if (!strstr(fault.text, words))
		fail_msg("no \"%s\" in \"%s\"", words, fault.text);
	assert_int_equal(vh_iotlb_update(f->iotlb, &entry, NULL, &next), error);
	assert_ptr_equal(next, untouched);
	assert_int_equal(vh_memory_count(f->iotlb), count);
}

static void test_memory_iotlb_starts_empty(void **state)
{
	struct fixture f = fixture_new();
	struct vhi_hit hit = {0};
	struct vh_region row;

	(void)state;
	assert_int_equal(vh_memory_count(f.iotlb), 0);
	assert_int_equal(vh_memory_region(f.iotlb, 0, &row), -ENOENT);
	assert_null(vh_memory_at(f.iotlb, IOVA, 1));
	assert_false(vhi_memory_find(f.iotlb, GUEST, &hit));
	assert_ptr_equal(vh_iotlb_guest(f.iotlb), f.guest);
	assert_null(vh_iotlb_guest(f.guest));
	must_invalidate(&f.iotlb, 0, UINT64_MAX);
	assert_int_equal(vh_memory_count(f.iotlb), 0);
	fixture_free(&f);
}

static void test_memory_iotlb_leads_to_guest_memory(void **state)
{
	struct fixture f = fixture_new();
	struct vh_user_addr user;
	struct vhi_hit hit = {0};
	struct vh_region row;
	unsigned char *host;
	vh_gpa iova;

	(void)state;
	must_update(&f.iotlb, IOVA + 3, 1000, GUEST + 50, WRITE);
	host = vh_memory_at(f.iotlb, IOVA + 3, 1000);
	assert_non_null(host);
	for (uint64_t i = 0; i < 1000; i++)
		assert_int_equal(host[i], byte_at(150 + i));
	assert_null(vh_memory_at(f.iotlb, IOVA + 2, 1));
	assert_null(vh_memory_at(f.iotlb, IOVA + 1003, 1));
	assert_null(vh_memory_at(f.iotlb, IOVA + 3, 1001));
	assert_ptr_equal(vhi_translate(f.iotlb, &hit, IOVA + 13, 990),
			 host + 10);
	assert_int_equal(hit.access, WRITE);
	assert_int_equal(vh_memory_region(f.iotlb, 0, &row), 0);
	assert_int_equal(row.guest, IOVA + 3);
	assert_int_equal(row.size, 1000);
	assert_int_equal(row.user.raw, USER + 4 * PAGE + 50);
	assert_int_equal(row.fd_offset, 150);
	assert_int_equal(row.fd, -1);
	assert_int_equal(vh_memory_guest_to_user(f.iotlb, IOVA + 4, 999, &user),
			 0);
	assert_int_equal(user.raw, USER + 4 * PAGE + 51);
	assert_int_equal(vh_memory_user_to_guest(f.iotlb, user, 999, &iova), 0);
	assert_int_equal(iova, IOVA + 4);
	assert_int_equal(vh_memory_user_to_guest(f.iotlb, user, 1000, &iova),
			 -EFAULT);
	/* a map of guest memory allows all */
	hit = (struct vhi_hit){0};
	assert_true(vhi_memory_find(f.guest, GUEST, &hit));
	assert_int_equal(hit.access, BOTH);
	fixture_free(&f);
}

static void test_memory_iotlb_refuses_what_makes_no_sense(void **state)
{
	struct fixture f = fixture_new();
	struct vh_memory *next = (struct vh_memory *)&f;
	struct vh_fault fault = {0};

	(void)state;
	must_update(&f.iotlb, IOVA, PAGE, GUEST, BOTH);
	refuses(&f, (struct vh_iotlb_entry){IOVA, 0, GUEST, READ}, -EINVAL,
		"0xfee00000 is 0");
	refuses(&f, (struct vh_iotlb_entry){UINT64_MAX - 1, 3, GUEST, READ},
		-EINVAL, "IOVA 0xfffffffffffffffe and size 0x3");
	refuses(&f, (struct vh_iotlb_entry){IOVA, 3, UINT64_MAX - 1, READ},
		-EINVAL, "guest address 0xfffffffffffffffe and size 0x3");
	refuses(&f, (struct vh_iotlb_entry){2, UINT64_MAX, 0, READ}, -EINVAL,
		"2^64");
	for (uint32_t access = 0; access < 10; access++)
		if (access < 1 || access > 3)
			refuses(
			    &f,
			    (struct vh_iotlb_entry){IOVA, PAGE, GUEST, access},
			    -EINVAL, "access of the entry for IOVA 0xfee");
	assert_int_equal(vh_iotlb_invalidate(f.iotlb, IOVA, 0, &fault, &next),
			 -EINVAL);
	assert_int_equal(fault.code, VH_FAULT_MEM_IOTLB);
	assert_ptr_equal(next, &f);
	has_row(&f, 0, IOVA, PAGE, GUEST, BOTH);
	fixture_free(&f);
}

static void test_memory_iotlb_refuses_what_leads_outside(void **state)
{
	struct fixture f = fixture_new();

	(void)state;
	refuses(&f, (struct vh_iotlb_entry){IOVA, 1, GUEST - 1, READ}, -EFAULT,
		"guest address 0xffffffff");
	refuses(&f, (struct vh_iotlb_entry){IOVA, 2, GUEST - 1, READ}, -EFAULT,
		"none of 3 regions");
	refuses(&f, (struct vh_iotlb_entry){IOVA, 4 * PAGE + 1, GUEST, READ},
		-EFAULT, "IOVA 0xfee00000");
	refuses(&f, (struct vh_iotlb_entry){IOVA, 1, GUEST + 10 * PAGE, READ},
		-EFAULT, "IOVA 0xfee00000");
	refuses(&f, (struct vh_iotlb_entry){IOVA, 1, 0, READ}, -EFAULT, "0x0,");
	refuses(&f, (struct vh_iotlb_entry){1, UINT64_MAX, 0, READ}, -EFAULT,
		"0x0,");
	vh_memory_unref(f.guest);
	vh_memory_unref(f.iotlb);
	f.guest = empty_map();
	assert_int_equal(vh_iotlb_new(f.guest, &f.iotlb), 0);
	refuses(&f, (struct vh_iotlb_entry){IOVA, 1, GUEST, READ}, -EFAULT,
		"none of 0 regions");
	fixture_free(&f);
}

/* One kind of map where the other belongs is the caller's error. */
static void test_memory_iotlb_is_no_map_of_guest_memory(void **state)
{
	struct fixture f = fixture_new();
	struct vh_region region =
	    region_of(GUEST + 4 * PAGE, PAGE, USER + 16 * PAGE, 0, f.fd);
	struct vh_iotlb_entry entry = {IOVA, PAGE, GUEST, BOTH};
	struct vh_memory *next = (struct vh_memory *)&f;
	struct vh_fault fault = {0};

	(void)state;
	assert_int_equal(vh_memory_add(f.iotlb, &region, &fault, &next),
			 -EINVAL);
	assert_int_equal(fault.code, VH_FAULT_CALLER);
	assert_non_null(strstr(fault.text, "IOTLB"));
	fault = (struct vh_fault){0};
	assert_int_equal(
	    vh_memory_remove(f.iotlb, &f.regions[0], &fault, &next), -EINVAL);
	assert_int_equal(fault.code, VH_FAULT_CALLER);
	fault = (struct vh_fault){0};
	assert_int_equal(vh_iotlb_update(f.guest, &entry, &fault, &next),
			 -EINVAL);
	assert_int_equal(fault.code, VH_FAULT_CALLER);
	fault = (struct vh_fault){0};
	assert_int_equal(vh_iotlb_invalidate(f.guest, 0, 1, &fault, &next),
			 -EINVAL);
	assert_int_equal(fault.code, VH_FAULT_CALLER);
	assert_int_equal(vh_iotlb_new(f.iotlb, &next), -EINVAL);
	assert_int_equal(vh_iotlb_rebase(f.guest, f.guest, &next), -EINVAL);
	assert_int_equal(vh_iotlb_rebase(f.iotlb, f.iotlb, &next), -EINVAL);
	assert_ptr_equal(next, &f);
	fixture_free(&f);
}

static void test_memory_iotlb_reaches_both_ends(void **state)
{
	struct fixture f = fixture_new();

	(void)state;
	must_update(&f.iotlb, UINT64_MAX - 9, 10, GUEST, READ);
	must_update(&f.iotlb, 0, 10, GUEST + 10, READ);
	assert_int_equal(vh_memory_count(f.iotlb), 2);
	has_row(&f, 0, 0, 10, GUEST + 10, READ);
	has_row(&f, 1, UINT64_MAX - 9, 10, GUEST, READ);
	assert_null(vh_memory_at(f.iotlb, UINT64_MAX, 2));
	/* all but the last byte; then that one */
	must_invalidate(&f.iotlb, 0, UINT64_MAX);
	assert_int_equal(vh_memory_count(f.iotlb), 1);
	has_row(&f, 0, UINT64_MAX, 1, GUEST + 9, READ);
	must_update(&f.iotlb, 0, 10, GUEST, READ);
	must_invalidate(&f.iotlb, UINT64_MAX, 1);
	has_row(&f, 0, 0, 10, GUEST, READ);
	/* what wraps ends at the end */
	must_update(&f.iotlb, UINT64_MAX - 9, 10, GUEST, READ);
	must_invalidate(&f.iotlb, UINT64_MAX - 3, UINT64_MAX);
	assert_int_equal(vh_memory_count(f.iotlb), 2);
	has_row(&f, 1, UINT64_MAX - 9, 6, GUEST, READ);
	must_invalidate(&f.iotlb, 5, UINT64_MAX);
	assert_int_equal(vh_memory_count(f.iotlb), 1);
	has_row(&f, 0, 0, 5, GUEST, READ);
	fixture_free(&f);
}

static void test_memory_iotlb_keeps_an_entry_over_regions_as_several(void **s)
{
	struct fixture f = fixture_new();

	(void)s;
	must_update(&f.iotlb, IOVA, 3 * PAGE + 5, GUEST + 3, BOTH);
	assert_int_equal(vh_memory_count(f.iotlb), 2);
	has_row(&f, 0, IOVA, 2 * PAGE - 3, GUEST + 3, BOTH);
	has_row(&f, 1, IOVA + 2 * PAGE - 3, PAGE + 8, GUEST + 2 * PAGE, BOTH);
	assert_null(vh_memory_at(f.iotlb, IOVA + 2 * PAGE - 4, 2));
	fixture_free(&f);
}

static void test_memory_iotlb_joins_neighbours(void **state)
{
	static const unsigned int orders[][3] = {
	    {0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0},
	};
	struct fixture f = fixture_new();

	(void)state;
	for (unsigned int i = 0; i < 6; i++) {
		for (unsigned int j = 0; j < 3; j++)
			must_update(&f.iotlb, IOVA + 10 * orders[i][j], 10,
				    GUEST + 10 * orders[i][j], WRITE);
		assert_int_equal(vh_memory_count(f.iotlb), 1);
		has_row(&f, 0, IOVA, 30, GUEST, WRITE);
		must_invalidate(&f.iotlb, IOVA, 30);
		assert_int_equal(vh_memory_count(f.iotlb), 0);
	}
	/* the same again, in the middle, changes nothing */
	must_update(&f.iotlb, IOVA, 30, GUEST, WRITE);
	must_update(&f.iotlb, IOVA + 10, 10, GUEST + 10, WRITE);
	assert_int_equal(vh_memory_count(f.iotlb), 1);
	has_row(&f, 0, IOVA, 30, GUEST, WRITE);
	fixture_free(&f);
}

static void test_memory_iotlb_joins_nothing_else(void **state)
{
	struct fixture f = fixture_new();

	(void)state;
	/* another access; a gap in guest memory; the other way round */
	must_update(&f.iotlb, IOVA, 10, GUEST, READ);
	must_update(&f.iotlb, IOVA + 10, 10, GUEST + 10, BOTH);
	must_update(&f.iotlb, IOVA + 20, 10, GUEST + 21, BOTH);
	must_update(&f.iotlb, IOVA + 30, 10, GUEST + 11, BOTH);
	must_update(&f.iotlb, IOVA + 40, 10, GUEST + 11, BOTH);
	/* a gap in IOVAs */
	must_update(&f.iotlb, IOVA + 51, 10, GUEST + 21, BOTH);
	/* another region that goes on in guest memory */
	must_update(&f.iotlb, IOVA + 61, 10, GUEST + 2 * PAGE - 10, BOTH);
	must_update(&f.iotlb, IOVA + 71, 10, GUEST + 2 * PAGE, BOTH);
	assert_int_equal(vh_memory_count(f.iotlb), 8);
	has_row(&f, 0, IOVA, 10, GUEST, READ);
	has_row(&f, 1, IOVA + 10, 10, GUEST + 10, BOTH);
	has_row(&f, 2, IOVA + 20, 10, GUEST + 21, BOTH);
	has_row(&f, 7, IOVA + 71, 10, GUEST + 2 * PAGE, BOTH);
	fixture_free(&f);
}

/* Regions may lie side by side in this process by chance: still two. */
static void test_memory_iotlb_joins_no_regions_side_by_side_here(void **state)
{
	int fd = file_of(64 * PAGE);
	struct vh_memory *guest = empty_map();
	struct fixture f = {.fd = fd};
	unsigned int found = 0;
	struct vh_region r;

	(void)state;
	for (uint64_t i = 0; i < 32; i++) {
		r = region_of(GUEST + i * PAGE, PAGE, USER + i * PAGE, 0, fd);
		must_add(&guest, &r);
	}
	f.guest = guest;
	assert_int_equal(vh_iotlb_new(guest, &f.iotlb), 0);
	for (uint64_t i = 0; i < 32; i++) {
		char *a = vh_memory_at(guest, GUEST + i * PAGE, PAGE);

		for (uint64_t j = 0; j < 32; j++) {
			if (vh_memory_at(guest, GUEST + j * PAGE, PAGE) !=
			    a + PAGE)
				continue;
			must_update(&f.iotlb, IOVA, PAGE, GUEST + i * PAGE,
				    BOTH);
			must_update(&f.iotlb, IOVA + PAGE, PAGE,
				    GUEST + j * PAGE, BOTH);
			assert_int_equal(vh_memory_count(f.iotlb), 2);
			found++;
		}
	}
	/* Linux puts mappings one below the other. */
	assert_true(found > 0);
	fixture_free(&f);
}

/* Regions are told apart by where they came when they were added. */
static void test_memory_iotlb_joins_none_of_many_regions(void **state)
{
	struct fixture f = {.fd = file_of(PAGE), .guest = empty_map()};
	const uint64_t half = 23, count = 2 * half;

	(void)state;
	for (uint64_t i = 0; i < count; i++) {
		uint64_t n = i < half ? 2 * i : 2 * (i - half) + 1;
		struct vh_region r =
		    region_of(GUEST + n * 8, 8, USER + n * 8, 0, f.fd);

		must_add(&f.guest, &r);
	}
	assert_int_equal(vh_iotlb_new(f.guest, &f.iotlb), 0);
	must_update(&f.iotlb, IOVA, 8 * count, GUEST, BOTH);
	assert_int_equal(vh_memory_count(f.iotlb), count);
	for (unsigned int i = 0; i < count; i++)
		has_row(&f, i, IOVA + 8 * i, 8, GUEST + 8 * i, BOTH);
	fixture_free(&f);
}

/*
 * Each entry over each other within 20 bytes, with the same and with another
 * translation and access, against the model; then each invalidation.
 */
static void overlap_all(struct iotlb_model *base, vh_gpa iova)
{
	static struct iotlb_model model;

	for (unsigned int i = 0; i < 20 * 20 * 3; i++) {
		uint64_t start = i / 3 % 20, size = 1 + i / 3 / 20;
		struct vh_iotlb_entry entry = {iova + start, size, start, READ};
		const char *words;

		if (start + size > 20)
			continue;
		model_keep(&model, base);
		entry.guest += i % 3 == 1 ? 30 : 0;
		entry.access = i % 3 == 2 ? WRITE : READ;
		words = model_update(&model, &entry);
		if (!words)
			words = model_compare(&model);
		if (!words)
			words = model_invalidate(&model, iova + size, start);
		if (!words)
			words = model_compare(&model);
		if (words)
			fail_msg("%u, %u: %s", (unsigned int)start,
				 (unsigned int)size, words);
		model_free(&model);
	}
}

static void test_memory_iotlb_overlaps_of_all_kinds(void **state)
{
	static struct iotlb_model base;
	int fd = file_of(MODEL_FILE);
	const struct vh_region regions[] = {
	    region_of(0, 14, 0x1000, 0, fd),
	    region_of(14, 50, 0x2000, 100, fd),
	};

	(void)state;
	for (unsigned int high = 0; high < 2; high++) {
		vh_gpa iova = high ? UINT64_MAX - 19 : 0;
		const struct vh_iotlb_entry entries[] = {
		    {iova + 4, 6, 4, READ},
		    {iova + 12, 4, 12, READ},
		    {iova + 17, 2, 17, BOTH},
		};

		model_init(&base);
		assert_null(model_set_regions(&base, regions, 2, false));
		for (unsigned int i = 0; i < 3; i++) {
			assert_null(model_update(&base, &entries[i]));
			overlap_all(&base, iova);
		}
		assert_null(model_compare(&base));
		assert_int_equal(vh_memory_count(base.iotlb), 4);
		model_free(&base);
	}
	close(fd);
}

/* Changes of all kinds in long rows, and what is kept of the way. */
static void test_memory_iotlb_random_changes(void **state)
{
	static struct iotlb_model model, kept;
	int fd = file_of(MODEL_FILE);
	uint64_t random = 1;

	(void)state;
	model_init(&model);
	model_keep(&kept, &model);
	for (unsigned int i = 0; i < 20000; i++) {
		uint8_t bytes[MODEL_STEP_BYTES];
		const char *words;

		random = random * UINT64_C(6364136223846793005) + 1;
		for (unsigned int j = 0; j < MODEL_STEP_BYTES; j++)
			bytes[j] = (uint8_t)(random >> (24 + 8 * j));
		words = model_step(&model, fd, bytes);
		if (!words && i % 64 == 0) {
			words = model_compare(&kept);
			model_free(&kept);
			model_keep(&kept, &model);
		}
		if (words)
			fail_msg("step %u: %s", i, words);
	}
	model_free(&kept);
	model_free(&model);
	assert_int_equal(mappings_of(ANY_MEMFD), 0);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_memory_iotlb_starts_empty),
	    cmocka_unit_test(test_memory_iotlb_leads_to_guest_memory),
	    cmocka_unit_test(test_memory_iotlb_refuses_what_makes_no_sense),
	    cmocka_unit_test(test_memory_iotlb_refuses_what_leads_outside),
	    cmocka_unit_test(test_memory_iotlb_is_no_map_of_guest_memory),
	    cmocka_unit_test(test_memory_iotlb_reaches_both_ends),
	    cmocka_unit_test(
		test_memory_iotlb_keeps_an_entry_over_regions_as_several),
	    cmocka_unit_test(test_memory_iotlb_joins_neighbours),
	    cmocka_unit_test(test_memory_iotlb_joins_nothing_else),
	    cmocka_unit_test(
		test_memory_iotlb_joins_no_regions_side_by_side_here),
	    cmocka_unit_test(test_memory_iotlb_joins_none_of_many_regions),
	    cmocka_unit_test(test_memory_iotlb_overlaps_of_all_kinds),
	    cmocka_unit_test(test_memory_iotlb_random_changes),
	};

	return cmocka_run_group_tests_name("memory-iotlb", tests, NULL, NULL);
}
