/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What becomes of an IOTLB's entries: when there are too many, when guest
 * memory changes, and when the IOTLB goes.
 */
#include "support.h"

#include <resources.h>

#include <memory/translate.h>

#define GUEST UINT64_C(0x200000000)
#define USER  UINT64_C(0x7e0000000000)
#define READ  VH_ACCESS_READ
#define WRITE VH_ACCESS_WRITE
#define MAX   VH_IOTLB_MAX_ENTRIES

/* Entries of eight bytes, sixteen apart, from here on. */
#define FIRST	 UINT64_C(0x10000)
#define IOVA(n)	 (FIRST + 16 * (uint64_t)(n))
#define IOVA_END IOVA(MAX)

static int file = -1;

/* An IOTLB with as many entries as there can be. */
static struct vh_memory *full;

static struct vh_region numbered(uint64_t n)
{
	return region_of(GUEST + n * PAGE, PAGE, USER + n * PAGE, n * 8, file);
}

/* A map of guest memory of count regions side by side. */
static struct vh_memory *guest_of(unsigned int count)
{
	struct vh_memory *guest = empty_map();

	for (uint64_t i = 0; i < count; i++) {
		struct vh_region region = numbered(i);

		must_add(&guest, &region);
	}
	return guest;
}

static struct vh_memory *iotlb_on(struct vh_memory *guest)
{
	struct vh_memory *iotlb;

	assert_int_equal(vh_iotlb_new(guest, &iotlb), 0);
	return iotlb;
}

static int set_up(void **state)
{
	struct vh_memory *guest;

	(void)state;
	file = file_of(8 * PAGE);
	guest = guest_of(3);
	full = iotlb_on(guest);
	vh_memory_unref(guest);
	for (unsigned int i = 0; i < MAX; i++)
		must_update(&full, IOVA(i), 8, GUEST, READ);
	assert_int_equal(vh_memory_count(full), MAX);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	vh_memory_unref(full);
	assert_int_equal(mappings_of(ANY_MEMFD), 0);
	close(file);
	return 0;
}

static bool has(const struct vh_memory *iotlb, unsigned int n)
{
	return vh_memory_at(iotlb, IOVA(n), 8);
}

/* Of the entries of full, those from first on are there. */
static void has_all_from(const struct vh_memory *iotlb, unsigned int first)
{
	for (unsigned int i = 0; i < MAX; i++)
		if (has(iotlb, i) != (i >= first))
			fail_msg("entry %u of those from %u on", i, first);
}

static void test_memory_rebase_lowest_entries_go(void **state)
{
	struct vh_memory *iotlb = vh_memory_ref(full);

	(void)state;
	/* above all, and in the middle */
	must_update(&iotlb, IOVA_END, 8, GUEST, READ);
	assert_int_equal(vh_memory_count(iotlb), MAX);
	has_all_from(iotlb, 1);
	assert_true(has(iotlb, MAX));
	must_update(&iotlb, IOVA(100) + 10, 4, GUEST, READ);
	assert_int_equal(vh_memory_count(iotlb), MAX);
	has_all_from(iotlb, 2);
	assert_non_null(vh_memory_at(iotlb, IOVA(100) + 10, 4));
	/* three at once, since it leads to three regions */
	must_update(&iotlb, IOVA_END + 16, PAGE + 2, GUEST + PAGE - 1, WRITE);
	assert_int_equal(vh_memory_count(iotlb), MAX);
	has_all_from(iotlb, 5);
	/* a change doesn't touch the older one */
	assert_int_equal(vh_memory_count(full), MAX);
	has_all_from(full, 0);
	vh_memory_unref(iotlb);
}

static void test_memory_rebase_new_entry_never_goes(void **state)
{
	struct vh_memory *iotlb = vh_memory_ref(full);

	(void)state;
	/* the new one is the lowest, in three parts: those above it go */
	must_update(&iotlb, 0x100, PAGE + 2, GUEST + PAGE - 1, WRITE);
	assert_int_equal(vh_memory_count(iotlb), MAX);
	assert_non_null(vh_memory_at(iotlb, 0x100, 1));
	assert_non_null(vh_memory_at(iotlb, 0x101, PAGE));
	assert_non_null(vh_memory_at(iotlb, 0x101 + PAGE, 1));
	has_all_from(iotlb, 3);
	vh_memory_unref(iotlb);
	/* some below it and some above */
	iotlb = vh_memory_ref(full);
	must_invalidate(&iotlb, IOVA(1), 8);
	must_update(&iotlb, IOVA_END, 8, GUEST, READ);
	must_update(&iotlb, IOVA(0) + 9, 2, GUEST + PAGE - 1, WRITE);
	assert_int_equal(vh_memory_count(iotlb), MAX);
	assert_false(has(iotlb, 0));
	assert_false(has(iotlb, 1));
	assert_false(has(iotlb, 2));
	assert_true(has(iotlb, 3));
	assert_non_null(vh_memory_at(iotlb, IOVA(0) + 9, 1));
	assert_non_null(vh_memory_at(iotlb, IOVA(0) + 10, 1));
	vh_memory_unref(iotlb);
}

static void test_memory_rebase_nothing_goes_without_need(void **state)
{
	struct vh_memory *iotlb = vh_memory_ref(full);

	(void)state;
	/* the same again; another in its place; one that joins two */
	must_update(&iotlb, IOVA(7), 8, GUEST, READ);
	must_update(&iotlb, IOVA(8), 8, GUEST + 100, WRITE);
	has_all_from(iotlb, 0);
	assert_int_equal(vh_memory_count(iotlb), MAX);
	must_update(&iotlb, IOVA(8) + 8, 8, GUEST + 108, WRITE);
	has_all_from(iotlb, 0);
	assert_int_equal(vh_memory_count(iotlb), MAX);
	must_update(&iotlb, IOVA(9), 8, GUEST + 116, WRITE);
	has_all_from(iotlb, 0);
	assert_int_equal(vh_memory_count(iotlb), MAX - 1);
	assert_non_null(vh_memory_at(iotlb, IOVA(8), 24));
	must_update(&iotlb, IOVA_END, 8, GUEST, READ);
	has_all_from(iotlb, 0);
	vh_memory_unref(iotlb);
}

/* An entry of all regions: so many rows. */
static void update_all(struct vh_memory **iotlb, unsigned int n)
{
	const uint64_t size = VH_MEMORY_MAX_REGIONS * PAGE;

	must_update(iotlb, IOVA(30) + n * size, size, GUEST, READ);
}

/*
 * A full IOTLB: the lowest entry will have been added as many entries ago as
 * age says with the next one, and those above it earlier. renewed: something
 * was joined with the lowest meanwhile.
 */
static struct vh_memory *full_above(unsigned int age, bool renewed)
{
	const unsigned int regions = VH_MEMORY_MAX_REGIONS;
	struct vh_memory *guest = guest_of(regions), *iotlb = iotlb_on(guest);
	unsigned int n = 0;

	vh_memory_unref(guest);
	while (vh_memory_count(iotlb) + regions < MAX)
		update_all(&iotlb, n++);
	for (unsigned int i = 1; vh_memory_count(iotlb) < MAX - 1; i++)
		must_update(&iotlb, IOVA(i), 8, GUEST, READ);
	must_update(&iotlb, IOVA(0), 8, GUEST, READ);
	assert_int_equal(vh_memory_count(iotlb), MAX);
	for (unsigned int i = 1; i + regions <= age; i += regions)
		update_all(&iotlb, n - 1);
	if (renewed)
		must_update(&iotlb, IOVA(0) + 8, 4, GUEST + 8, READ);
	for (unsigned int i = 0; i < (age - 1) % regions; i++)
		must_update(&iotlb, IOVA(5), 8, GUEST, READ);
	return iotlb;
}

static void test_memory_rebase_newest_entries_stay(void **state)
{
	const unsigned int kept = MAX / 4 * 3;

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		bool stays = i != 1;
		struct vh_memory *iotlb =
		    full_above(i == 0 ? kept - 1 : kept, i == 2);

		must_update(&iotlb, UINT64_MAX - 8, 8, GUEST, READ);
		assert_int_equal(vh_memory_count(iotlb), MAX);
		assert_int_equal(has(iotlb, 0), stays);
		assert_int_equal(has(iotlb, 1), !stays);
		for (unsigned int j = 2; j <= 10; j++)
			assert_true(has(iotlb, j));
		vh_memory_unref(iotlb);
	}
}

/* Pieces of one entry are as new as that was: some piece goes. */
static void test_memory_rebase_cut_to_pieces(void **state)
{
	struct vh_memory *guest = guest_of(VH_MEMORY_MAX_REGIONS);
	struct vh_memory *iotlb = iotlb_on(guest);
	vh_gpa at = IOVA(30) + 1;

	(void)state;
	vh_memory_unref(guest);
	update_all(&iotlb, 0);
	for (; vh_memory_count(iotlb) < MAX; at += 2)
		must_invalidate(&iotlb, at, 1);
	assert_non_null(vh_memory_at(iotlb, IOVA(30), 1));
	must_invalidate(&iotlb, at + 10, 1);
	assert_int_equal(vh_memory_count(iotlb), MAX);
	assert_null(vh_memory_at(iotlb, IOVA(30), 1));
	must_update(&iotlb, 0, 1, GUEST, READ);
	assert_int_equal(vh_memory_count(iotlb), MAX);
	assert_non_null(vh_memory_at(iotlb, 0, 1));
	assert_null(vh_memory_at(iotlb, IOVA(30) + 2, 1));
	vh_memory_unref(iotlb);
}

/* Whoever asks for two in turn has both, whatever lies above them. */
static void test_memory_rebase_two_of_the_lowest_stay(void **state)
{
	struct vh_memory *iotlb = vh_memory_ref(full);

	(void)state;
	for (unsigned int i = 0; i < 100; i++) {
		must_update(&iotlb, IOVA(MAX + i), 8, GUEST, READ);
		must_update(&iotlb, i % 2 * 16, 8, GUEST, READ);
		assert_int_equal(vh_memory_count(iotlb), MAX);
		assert_int_equal(vh_memory_at(iotlb, 0, 8) != NULL, 1);
		assert_int_equal(vh_memory_at(iotlb, 16, 8) != NULL, i > 0);
	}
	vh_memory_unref(iotlb);
}

/* One entry more comes of one that is cut in two. */
static void test_memory_rebase_cut_in_two_at_the_limit(void **state)
{
	struct vh_memory *iotlb = vh_memory_ref(full);

	(void)state;
	must_invalidate(&iotlb, IOVA(9) + 3, 2);
	assert_int_equal(vh_memory_count(iotlb), MAX);
	assert_false(has(iotlb, 0));
	assert_true(has(iotlb, 1));
	assert_non_null(vh_memory_at(iotlb, IOVA(9), 3));
	assert_null(vh_memory_at(iotlb, IOVA(9) + 3, 1));
	assert_null(vh_memory_at(iotlb, IOVA(9) + 4, 1));
	assert_non_null(vh_memory_at(iotlb, IOVA(9) + 5, 3));
	vh_memory_unref(iotlb);
	iotlb = vh_memory_ref(full);
	must_update(&iotlb, IOVA(9) + 3, 2, GUEST, WRITE);
	assert_int_equal(vh_memory_count(iotlb), MAX);
	assert_false(has(iotlb, 0));
	assert_false(has(iotlb, 1));
	assert_true(has(iotlb, 2));
	assert_non_null(vh_memory_at(iotlb, IOVA(9) + 3, 2));
	vh_memory_unref(iotlb);
}

/* Replaces an IOTLB by the one for another map. */
static void must_rebase(struct vh_memory **iotlb, struct vh_memory *guest)
{
	struct vh_memory *next;

	assert_int_equal(vh_iotlb_rebase(*iotlb, guest, &next), 0);
	assert_ptr_equal(vh_iotlb_guest(next), guest);
	vh_memory_unref(*iotlb);
	*iotlb = next;
}

static void test_memory_rebase_keeps_what_stays(void **state)
{
	struct vh_memory *guest = guest_of(3), *iotlb = iotlb_on(guest);
	struct vh_region gone = numbered(1);
	struct vh_region more = numbered(7);
	void *first = vh_memory_at(guest, GUEST, PAGE);
	struct vhi_hit hit = {0};

	(void)state;
	must_update(&iotlb, FIRST, 3 * PAGE, GUEST, WRITE);
	must_add(&guest, &more);
	must_rebase(&iotlb, guest);
	assert_int_equal(vh_memory_count(iotlb), 3);
	assert_ptr_equal(vh_memory_at(iotlb, FIRST, PAGE), first);
	must_update(&iotlb, 0, 10, more.guest, READ);
	must_remove(&guest, &gone);
	must_rebase(&iotlb, guest);
	assert_int_equal(vh_memory_count(iotlb), 3);
	assert_ptr_equal(vh_memory_at(iotlb, FIRST, PAGE), first);
	assert_null(vh_memory_at(iotlb, FIRST + PAGE, 1));
	assert_true(vhi_memory_find(iotlb, FIRST + 2 * PAGE, &hit));
	assert_int_equal(hit.access, WRITE);
	assert_true(vhi_memory_find(iotlb, 0, &hit));
	assert_int_equal(hit.access, READ);
	vh_memory_unref(guest);
	guest = empty_map();
	must_rebase(&iotlb, guest);
	assert_int_equal(vh_memory_count(iotlb), 0);
	vh_memory_unref(guest);
	vh_memory_unref(iotlb);
}

/* A whole new table with the same regions (VHOST_USER_SET_MEM_TABLE). */
static void test_memory_rebase_follows_new_mappings(void **state)
{
	struct vh_memory *guest = guest_of(2), *other = guest_of(3);
	struct vh_memory *iotlb = iotlb_on(guest);
	unsigned int mappings = mappings_of(ANY_MEMFD);
	void *before = vh_memory_at(guest, GUEST + 5, 10);

	(void)state;
	must_update(&iotlb, FIRST, 10, GUEST + 5, READ);
	must_rebase(&iotlb, other);
	vh_memory_unref(guest);
	assert_ptr_not_equal(vh_memory_at(iotlb, FIRST, 10), before);
	assert_ptr_equal(vh_memory_at(iotlb, FIRST, 10),
			 vh_memory_at(other, GUEST + 5, 10));
	assert_int_equal(mappings_of(ANY_MEMFD), mappings - 2);
	vh_memory_unref(other);
	vh_memory_unref(iotlb);
	assert_int_equal(mappings_of(ANY_MEMFD), mappings - 5);
}

/* Where the front-end's address is another, so is what the entry meant. */
static void test_memory_rebase_drops_what_moved(void **state)
{
	struct vh_memory *guest = guest_of(3), *iotlb = iotlb_on(guest);
	struct vh_region region = numbered(0), half;

	(void)state;
	must_update(&iotlb, FIRST, PAGE, GUEST, READ);
	must_update(&iotlb, FIRST + PAGE, PAGE, GUEST + PAGE, READ);
	must_update(&iotlb, FIRST + 2 * PAGE, 8, GUEST + 2 * PAGE, READ);
	must_remove(&guest, &region);
	region.user.raw += 16 * PAGE;
	must_add(&guest, &region);
	/* the second one is there by half, and no entry is kept by half */
	region = numbered(1);
	half = region;
	half.size = PAGE / 2;
	must_remove(&guest, &region);
	must_add(&guest, &half);
	must_rebase(&iotlb, guest);
	assert_int_equal(vh_memory_count(iotlb), 1);
	assert_non_null(vh_memory_at(iotlb, FIRST + 2 * PAGE, 8));
	vh_memory_unref(guest);
	vh_memory_unref(iotlb);
}

static void test_memory_rebase_regions_live_as_long_as_iotlbs(void **state)
{
	struct vh_memory *guest = guest_of(1), *iotlb = iotlb_on(guest);
	struct vh_memory *second, *third, *none = empty_map();
	struct vh_region region = numbered(0);
	unsigned char *host;
	struct span span;

	(void)state;
	must_update(&iotlb, FIRST, PAGE, GUEST, READ);
	host = vh_memory_at(iotlb, FIRST, PAGE);
	must_remove(&guest, &region);
	vh_memory_unref(guest);
	assert_true(find_span(host, &span));
	assert_int_equal(host[1], byte_at(1));
	assert_int_equal(vh_iotlb_invalidate(iotlb, 0, 1, NULL, &second), 0);
	third = vh_memory_ref(second);
	assert_ptr_equal(third, second);
	vh_memory_unref(iotlb);
	vh_memory_unref(second);
	/* the last one that leads there: its map of guest memory goes with it
	 */
	assert_true(find_span(host, &span));
	assert_ptr_equal(vh_memory_at(third, FIRST, PAGE), host);
	assert_ptr_equal(vh_memory_at(vh_iotlb_guest(third), GUEST, 1), host);
	must_rebase(&third, none);
	assert_false(find_span(host, &span));
	vh_memory_unref(none);
	vh_memory_unref(third);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_memory_rebase_lowest_entries_go),
	    cmocka_unit_test(test_memory_rebase_new_entry_never_goes),
	    cmocka_unit_test(test_memory_rebase_nothing_goes_without_need),
	    cmocka_unit_test(test_memory_rebase_newest_entries_stay),
	    cmocka_unit_test(test_memory_rebase_cut_to_pieces),
	    cmocka_unit_test(test_memory_rebase_two_of_the_lowest_stay),
	    cmocka_unit_test(test_memory_rebase_cut_in_two_at_the_limit),
	    cmocka_unit_test(test_memory_rebase_keeps_what_stays),
	    cmocka_unit_test(test_memory_rebase_follows_new_mappings),
	    cmocka_unit_test(test_memory_rebase_drops_what_moved),
	    cmocka_unit_test(test_memory_rebase_regions_live_as_long_as_iotlbs),
	};

	return cmocka_run_group_tests_name("memory-rebase", tests, set_up,
					   tear_down);
}
