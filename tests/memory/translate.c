/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Translations, and above all the ends of regions. */
#include "support.h"

#include <memory/translate.h>

#define GUEST UINT64_C(0x80000000)
#define USER  UINT64_C(0x560000000000)

/*
 * A buffer of each length up to 16 at each distance up to 16 from the end is
 * there if it ends inside, and isn't if it ends behind the end.
 */
static void test_memory_translate_stops_at_the_end(void **state)
{
	int fd = file_of(2 * PAGE);
	struct vh_memory *memory = empty_map();
	uint64_t size = PAGE + 13;
	struct vh_region r = region_of(GUEST, size, USER, 0, fd);
	char *host;

	(void)state;
	must_add(&memory, &r);
	host = vh_memory_at(memory, GUEST, size);
	assert_non_null(host);
	for (uint64_t back = 0; back <= 16; back++) {
		vh_gpa guest = GUEST + size - back;

		for (uint64_t length = 0; length <= 16; length++) {
			struct vh_user_addr user = {1};
			vh_gpa gpa = 1;
			bool inside = length > 0 && length <= back;
			int err = inside ? 0 : -EFAULT;

			assert_ptr_equal(vh_memory_at(memory, guest, length),
					 inside ? host + size - back : NULL);
			assert_int_equal(vh_memory_guest_to_user(memory, guest,
								 length, &user),
					 err);
			assert_int_equal(user.raw,
					 inside ? USER + size - back : 1);
			user.raw = USER + size - back;
			assert_int_equal(
			    vh_memory_user_to_guest(memory, user, length, &gpa),
			    err);
			assert_int_equal(gpa, inside ? guest : 1);
		}
	}
	vh_memory_unref(memory);
	close(fd);
}

static void test_memory_translate_starts_at_the_start(void **state)
{
	int fd = file_of(PAGE);
	struct vh_memory *memory = empty_map();
	struct vh_region r = region_of(GUEST, PAGE, USER, 0, fd);
	struct vh_user_addr user = {USER - 1};
	vh_gpa guest;

	(void)state;
	must_add(&memory, &r);
	assert_null(vh_memory_at(memory, GUEST - 1, 1));
	assert_null(vh_memory_at(memory, GUEST - 1, 2));
	assert_null(vh_memory_at(memory, GUEST - 1, UINT64_MAX));
	assert_null(vh_memory_at(memory, GUEST, UINT64_MAX));
	assert_null(vh_memory_at(memory, GUEST + 1, UINT64_MAX));
	assert_null(vh_memory_at(memory, GUEST + 1, -GUEST));
	assert_int_equal(vh_memory_user_to_guest(memory, user, 2, &guest),
			 -EFAULT);
	user.raw = USER;
	assert_int_equal(
	    vh_memory_user_to_guest(memory, user, PAGE + 1, &guest), -EFAULT);
	assert_int_equal(
	    vh_memory_user_to_guest(memory, user, UINT64_MAX, &guest), -EFAULT);
	assert_int_equal(vh_memory_user_to_guest(memory, user, PAGE, &guest),
			 0);
	assert_int_equal(guest, GUEST);
	assert_int_equal(vh_memory_guest_to_user(memory, GUEST - 1, 1, &user),
			 -EFAULT);
	vh_memory_unref(memory);
	close(fd);
}

/* Neighbours in guest addresses needn't be so in the host. */
static void test_memory_translate_never_joins_adjacent_regions(void **state)
{
	int fd = file_of(4 * PAGE);
	struct vh_memory *memory = empty_map();
	struct vh_region low = region_of(GUEST, PAGE, USER, 3 * PAGE, fd);
	struct vh_region high =
	    region_of(GUEST + PAGE, PAGE, USER + PAGE, 0, fd);
	struct vhi_hit hit = {0};
	struct vh_user_addr user;
	char *host;

	(void)state;
	must_add(&memory, &low);
	must_add(&memory, &high);
	host = vh_memory_at(memory, GUEST + PAGE - 1, 1);
	assert_non_null(host);
	assert_int_equal((unsigned char)*host, byte_at(4 * PAGE - 1));
	host = vh_memory_at(memory, GUEST + PAGE, 1);
	assert_non_null(host);
	assert_int_equal((unsigned char)*host, byte_at(0));
	assert_null(vh_memory_at(memory, GUEST + PAGE - 1, 2));
	assert_null(vh_memory_at(memory, GUEST, 2 * PAGE));
	assert_int_equal(
	    vh_memory_guest_to_user(memory, GUEST + PAGE - 1, 2, &user),
	    -EFAULT);
	/* a hit on the one doesn't reach into the other */
	assert_non_null(vhi_translate(memory, &hit, GUEST, PAGE));
	assert_null(vhi_translate(memory, &hit, GUEST, PAGE + 1));
	assert_null(vhi_translate(memory, &hit, GUEST + PAGE - 1, 2));
	assert_ptr_equal(vhi_translate(memory, &hit, GUEST + PAGE, 1), host);
	assert_int_equal(hit.base, GUEST + PAGE);
	assert_ptr_equal(vhi_translate(memory, &hit, GUEST, 1),
			 vh_memory_at(memory, GUEST, 1));
	vh_memory_unref(memory);
	close(fd);
}

static void test_memory_translate_miss_keeps_the_hit(void **state)
{
	int fd = file_of(PAGE);
	struct vh_memory *memory = empty_map();
	struct vh_region r = region_of(GUEST, PAGE, USER, 0, fd);
	struct vhi_hit hit = {0};

	(void)state;
	assert_null(vhi_translate(memory, &hit, 0, 1));
	assert_int_equal(hit.size, 0);
	must_add(&memory, &r);
	assert_non_null(vhi_translate(memory, &hit, GUEST, 1));
	assert_int_equal(hit.base, GUEST);
	assert_int_equal(hit.size, PAGE);
	assert_null(vhi_translate(memory, &hit, GUEST - 1, 1));
	assert_null(vhi_translate(memory, &hit, GUEST + PAGE, 1));
	assert_int_equal(hit.base, GUEST);
	assert_int_equal(hit.size, PAGE);
	assert_false(vhi_memory_find(memory, GUEST + PAGE, &hit));
	assert_int_equal(hit.base, GUEST);
	assert_true(vhi_memory_find(memory, GUEST + PAGE - 1, &hit));
	vh_memory_unref(memory);
	close(fd);
}

static void test_memory_translate_region_of_one_byte(void **state)
{
	int fd = file_of(3);
	struct vh_memory *memory = empty_map();
	struct vh_region r = region_of(GUEST, 1, USER, 2, fd);
	unsigned char *host;

	(void)state;
	must_add(&memory, &r);
	host = vh_memory_at(memory, GUEST, 1);
	assert_non_null(host);
	assert_int_equal(*host, byte_at(2));
	assert_null(vh_memory_at(memory, GUEST, 2));
	assert_null(vh_memory_at(memory, GUEST + 1, 1));
	assert_null(vh_memory_at(memory, GUEST - 1, 1));
	vh_memory_unref(memory);
	close(fd);
}

/* Each first and last byte, and those beside them, for any number. */
static void test_memory_translate_finds_each_of_many(void **state)
{
	int fd = file_of(PAGE);
	struct vh_memory *memory = empty_map();

	(void)state;
	for (uint64_t n = 1; n <= 70; n++) {
		struct vh_region r =
		    region_of(n * 3 * PAGE, PAGE - n, USER + n * PAGE, n, fd);

		must_add(&memory, &r);
		for (uint64_t i = 1; i <= n; i++) {
			vh_gpa first = i * 3 * PAGE;
			vh_gpa last = first + PAGE - i - 1;
			struct vhi_hit hit = {0};
			unsigned char *host;

			assert_true(vhi_memory_find(memory, first, &hit));
			assert_int_equal(hit.base, first);
			assert_int_equal(hit.size, PAGE - i);
			assert_true(vhi_memory_find(memory, last, &hit));
			assert_int_equal(hit.base, first);
			assert_false(vhi_memory_find(memory, first - 1, &hit));
			assert_false(vhi_memory_find(memory, last + 1, &hit));
			host = vh_memory_at(memory, last, 1);
			assert_non_null(host);
			assert_int_equal(*host, byte_at(PAGE - 1));
			host = vh_memory_at(memory, first, 1);
			assert_non_null(host);
			assert_int_equal(*host, byte_at(i));
		}
	}
	vh_memory_unref(memory);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_memory_translate_stops_at_the_end),
	    cmocka_unit_test(test_memory_translate_starts_at_the_start),
	    cmocka_unit_test(
		test_memory_translate_never_joins_adjacent_regions),
	    cmocka_unit_test(test_memory_translate_miss_keeps_the_hit),
	    cmocka_unit_test(test_memory_translate_region_of_one_byte),
	    cmocka_unit_test(test_memory_translate_finds_each_of_many),
	};

	return cmocka_run_group_tests_name("memory-translate", tests, NULL,
					   NULL);
}
