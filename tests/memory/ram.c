/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Memory that the library makes for a machine. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <libvhost/memory.h>

#define GUEST UINT64_C(0x40000000)
#define SIZE  0x3000

/* What is written on one side is there on the other. */
static void test_memory_ram_is_shared(void **state)
{
	struct vh_region region;
	struct vh_memory *none, *map;
	char *ours, *theirs;

	(void)state;
	assert_int_equal(vh_region_new(GUEST, SIZE, &region), 0);
	assert_int_equal(region.guest, GUEST);
	assert_int_equal(region.size, SIZE);
	assert_int_equal(region.fd_offset, 0);
	assert_int_equal(fcntl(region.fd, F_GETFD), FD_CLOEXEC);
	ours = (char *)(uintptr_t)region.user.raw;
	assert_int_equal(vh_memory_new(&none), 0);
	assert_int_equal(vh_memory_add(none, &region, NULL, &map), 0);
	theirs = vh_memory_at(map, GUEST + SIZE - 8, 8);
	assert_int_equal(theirs[0], 0);
	strcpy(ours + SIZE - 8, "here");
	assert_string_equal(theirs, "here");
	vh_memory_unref(map);
	vh_memory_unref(none);
	vh_region_free(&region);
	assert_int_equal(region.fd, -1);
	vh_region_free(&region);
}

/* Whoever has the descriptor can't take the pages from under us. */
static void test_memory_ram_cannot_be_cut(void **state)
{
	struct vh_region region;

	(void)state;
	assert_int_equal(vh_region_new(GUEST, SIZE, &region), 0);
	assert_int_equal(ftruncate(region.fd, 0), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(region.fd, 2 * SIZE), -1);
	assert_int_equal(fcntl(region.fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	vh_region_free(&region);
}

static void test_memory_ram_refuses(void **state)
{
	struct vh_region region = {.fd = -7};

	(void)state;
	assert_int_equal(vh_region_new(GUEST, 0, &region), -EINVAL);
	assert_int_equal(vh_region_new(UINT64_MAX - 1, 3, &region), -EINVAL);
	assert_true(vh_region_new(0, UINT64_C(1) << 63, &region) < 0);
	assert_true(vh_region_new(0, UINT64_C(1) << 62, &region) < 0);
	assert_int_equal(region.fd, -7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_memory_ram_is_shared),
	    cmocka_unit_test(test_memory_ram_cannot_be_cut),
	    cmocka_unit_test(test_memory_ram_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
