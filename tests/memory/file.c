/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* What lies behind a region: its file, its offset, how much is mapped. */
#include "support.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define GUEST	  UINT64_C(0x40000000)
#define USER	  UINT64_C(0x7e0000000000)
#define HUGE_PAGE (UINT64_C(2) << 20)

static void test_memory_file_too_short_by_a_byte(void **state)
{
	uint64_t length = 3 * PAGE + 100;
	int fd = file_of(length);
	struct vh_memory *memory = empty_map();
	const struct {
		uint64_t offset;
		uint64_t size;
		bool good;
	} cases[] = {
	    {0, length, true},
	    {0, length + 1, false},
	    {1, length - 1, true},
	    {1, length, false},
	    {length - 1, 1, true},
	    {length - 1, 2, false},
	    {length, 1, false},
	    {PAGE, length - PAGE, true},
	    {PAGE, length - PAGE + 1, false},
	    {UINT64_MAX, 1, false},
	    {UINT64_MAX, 2, false},
	    {UINT64_MAX - PAGE + 1, PAGE, false},
	    {UINT64_MAX - PAGE + 1, 2 * PAGE, false},
	    {UINT64_C(1) << 63, PAGE, false},
	    {0, UINT64_C(1) << 63, false},
	};
	char words[64];

	(void)state;
	snprintf(words, sizeof(words), "exceed the 0x%" PRIx64 " bytes",
		 length);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vh_region r =
		    region_of(GUEST, cases[i].size, USER, cases[i].offset, fd);

		if (cases[i].good) {
			must_add(&memory, &r);
			must_remove(&memory, &r);
		} else {
			refuses_add(memory, &r, -ERANGE, VH_FAULT_MEM_FILE,
				    words);
		}
	}
	vh_memory_unref(memory);
	close(fd);
}

static void test_memory_file_empty(void **state)
{
	int fd = file_of(0);
	struct vh_memory *memory = empty_map();
	struct vh_region r = region_of(GUEST, 1, USER, 0, fd);

	(void)state;
	refuses_add(memory, &r, -ERANGE, VH_FAULT_MEM_FILE,
		    "exceed the 0x0 bytes");
	vh_memory_unref(memory);
	close(fd);
}

/* Every offset in a page, small and large sizes: right bytes, least pages. */
static void test_memory_file_offset_of_any_alignment(void **state)
{
	int fd = file_of(5 * PAGE);
	struct vh_memory *memory = empty_map();
	const uint64_t sizes[] = {1, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE};

	(void)state;
	for (uint64_t offset = PAGE - 2; offset <= 2 * PAGE; offset += 61) {
		for (size_t i = 0; i < 5; i++) {
			struct vh_region r =
			    region_of(GUEST, sizes[i], USER, offset, fd);
			uint64_t first = offset / PAGE;
			uint64_t last = (offset + sizes[i] - 1) / PAGE;
			unsigned char *host;
			struct span span;

			must_add(&memory, &r);
			host = vh_memory_at(memory, GUEST, sizes[i]);
			assert_non_null(host);
			assert_int_equal(host[0], byte_at(offset));
			assert_int_equal(host[sizes[i] - 1],
					 byte_at(offset + sizes[i] - 1));
			assert_true(find_span(host, &span));
			assert_int_equal(span.end - span.start,
					 (last - first + 1) * PAGE);
			must_remove(&memory, &r);
		}
	}
	vh_memory_unref(memory);
	close(fd);
}

/* Does the mapping at address have the two-letter flag in smaps? */
static bool has_flag(const void *address, const char *flag)
{
	FILE *maps = fopen("/proc/self/smaps", "re");
	bool here = false, found = false;
	char line[512];

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		unsigned long start, end;

		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			here = (uintptr_t)address >= start &&
			       (uintptr_t)address < end;
		else if (here && strncmp(line, "VmFlags:", 8) == 0)
			found = strstr(line, flag) != NULL;
	}
	fclose(maps);
	return found;
}

static void test_memory_file_stays_out_of_core_dumps(void **state)
{
	int fd = file_of(PAGE);
	struct vh_memory *memory = empty_map();
	struct vh_region r = region_of(GUEST, PAGE, USER, 0, fd);
	void *host;

	(void)state;
	must_add(&memory, &r);
	host = vh_memory_at(memory, GUEST, PAGE);
	assert_true(has_flag(host, " sh"));
	assert_true(has_flag(host, " dd"));
	assert_false(has_flag(host, " lo"));
	vh_memory_unref(memory);
	close(fd);
}

static void refuses_fd(int fd, int error, uint32_t code, const char *words)
{
	struct vh_memory *memory = empty_map();
	struct vh_region r = region_of(GUEST, PAGE, USER, 0, fd);

	refuses_add(memory, &r, error, code, words);
	vh_memory_unref(memory);
}

static void test_memory_file_without_a_length(void **state)
{
	static const char *const paths[] = {"/dev/null", "/dev/zero", "/",
					    "/proc/self"};
	int pair[2];
	int fd;

	(void)state;
	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	refuses_fd(pair[0], -ERANGE, VH_FAULT_MEM_FILE, "has no length");
	close(pair[0]);
	close(pair[1]);
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	refuses_fd(pair[0], -ERANGE, VH_FAULT_MEM_FILE, "has no length");
	close(pair[0]);
	close(pair[1]);
	fd = eventfd(0, EFD_CLOEXEC);
	refuses_fd(fd, -ERANGE, VH_FAULT_MEM_FILE, "");
	close(fd);
	for (size_t i = 0; i < 4; i++) {
		fd = open(paths[i], O_RDONLY | O_CLOEXEC);
		assert_true(fd >= 0);
		refuses_fd(fd, -ERANGE, VH_FAULT_MEM_FILE, "has no length");
		close(fd);
	}
}

static void test_memory_file_that_mmap_or_fstat_refuses(void **state)
{
	int fd = file_of(PAGE);
	char path[64];
	int readonly;

	(void)state;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	readonly = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(readonly >= 0);
	refuses_fd(readonly, -EACCES, VH_FAULT_MEM_MAP, "Permission denied");
	close(readonly);
	readonly = open(path, O_PATH | O_CLOEXEC);
	assert_true(readonly >= 0);
	refuses_fd(readonly, -EBADF, VH_FAULT_MEM_MAP, "mmap of");
	close(readonly);
	close(fd);
	refuses_fd(fd, -EBADF, VH_FAULT_MEM_FILE, "fstat");
	refuses_fd(-1, -EBADF, VH_FAULT_MEM_FILE, "descriptor -1");
}

static void test_memory_file_position_is_the_owners(void **state)
{
	int fd = file_of(PAGE);
	struct vh_memory *memory = empty_map();
	struct vh_region r = region_of(GUEST, PAGE, USER, 0, fd);

	(void)state;
	assert_int_equal(lseek(fd, 17, SEEK_SET), 17);
	must_add(&memory, &r);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 17);
	vh_memory_unref(memory);
	close(fd);
}

/* Works without any huge page in the pool: nothing is touched. */
static void test_memory_file_of_huge_pages(void **state)
{
	int fd = memfd_create("libvhost-test",
			      MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB);
	const struct {
		uint64_t offset;
		uint64_t size;
		uint64_t pages;
	} cases[] = {
	    {0, 3 * HUGE_PAGE, 3},
	    {HUGE_PAGE, HUGE_PAGE, 1},
	    {HUGE_PAGE + PAGE, HUGE_PAGE, 2},
	    {PAGE, HUGE_PAGE - PAGE, 1},
	    {PAGE, 1, 1},
	    {HUGE_PAGE - 1, 2, 2},
	    {3 * HUGE_PAGE - 1, 1, 1},
	};
	struct vh_memory *memory = empty_map();

	(void)state;
	if (fd < 0 || ftruncate(fd, 3 * HUGE_PAGE) < 0)
		skip();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vh_region r =
		    region_of(GUEST, cases[i].size, USER, cases[i].offset, fd);
		struct span span;
		char *host;

		must_add(&memory, &r);
		host = vh_memory_at(memory, GUEST, cases[i].size);
		assert_non_null(host);
		assert_true(find_span(host, &span));
		assert_int_equal(span.start % HUGE_PAGE, 0);
		assert_int_equal(span.end - span.start,
				 cases[i].pages * HUGE_PAGE);
		assert_int_equal((uintptr_t)host - span.start,
				 cases[i].offset % HUGE_PAGE);
		must_remove(&memory, &r);
		assert_false(find_span(host, &span));
	}
	vh_memory_unref(memory);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_memory_file_too_short_by_a_byte),
	    cmocka_unit_test(test_memory_file_empty),
	    cmocka_unit_test(test_memory_file_offset_of_any_alignment),
	    cmocka_unit_test(test_memory_file_stays_out_of_core_dumps),
	    cmocka_unit_test(test_memory_file_without_a_length),
	    cmocka_unit_test(test_memory_file_that_mmap_or_fstat_refuses),
	    cmocka_unit_test(test_memory_file_position_is_the_owners),
	    cmocka_unit_test(test_memory_file_of_huge_pages),
	};

	return cmocka_run_group_tests_name("memory-file", tests, NULL, NULL);
}
