/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Views: a range of IOVAs as one range of host addresses, however it is
 * scattered. The executable is linked with --wrap for mmap64, which mmap is, so
 * that it can be made to fail.
 */
#include "support.h"

#include <resources.h>

#include <memory/view.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define GUEST UINT64_C(0x100000000)
#define USER  UINT64_C(0x7f0000000000)
#define IOVA  UINT64_C(0xfee00000)
#define READ  VH_ACCESS_READ
#define BOTH  (VH_ACCESS_READ | VH_ACCESS_WRITE)
#define PAGES 8

static bool mmap_fails;

void *__real_mmap64(void *addr, size_t length, int prot, int flags, int fd,
		    off_t offset);
void *__wrap_mmap64(void *addr, size_t length, int prot, int flags, int fd,
		    off_t offset);

void *__wrap_mmap64(void *addr, size_t length, int prot, int flags, int fd,
		    off_t offset)
{
	if (!mmap_fails)
		return __real_mmap64(addr, length, prot, flags, fd, offset);
	errno = ENOMEM;
	return MAP_FAILED;
}

/* Guest memory of two regions, apart in all kinds of addresses. */
struct fixture {
	int fd;
	struct vh_memory *guest;
	struct vh_memory *iotlb;
	unsigned int mappings;
};

static vh_gpa guest_page(unsigned int n)
{
	return GUEST + n * PAGE + (n < PAGES / 2 ? 0 : 16 * PAGE);
}

static struct fixture fixture_new(void)
{
	struct fixture f = {.fd = file_of(PAGES * PAGE), .guest = empty_map()};
	const uint64_t half = PAGES / 2 * PAGE;
	struct vh_region low = region_of(guest_page(0), half, USER, half, f.fd);
	struct vh_region high =
	    region_of(guest_page(PAGES / 2), half, USER + half, 0, f.fd);

	must_add(&f.guest, &low);
	must_add(&f.guest, &high);
	assert_int_equal(vh_iotlb_new(f.guest, &f.iotlb), 0);
	f.mappings = mappings_of(ANY_MEMFD);
	return f;
}

static void fixture_free(struct fixture *f)
{
	assert_int_equal(mappings_of(ANY_MEMFD), f->mappings);
	vh_memory_unref(f->iotlb);
	vh_memory_unref(f->guest);
	assert_int_equal(mappings_of(ANY_MEMFD), 0);
	close(f->fd);
}

/* Page n of IOVAs leads to this one of guest memory. */
static void lead(struct fixture *f, unsigned int n, unsigned int to)
{
	must_update(&f->iotlb, IOVA + n * PAGE, PAGE, guest_page(to), BOTH);
}

/* As scattered as can be: over both regions, and some pages twice. */
static const unsigned int scattered[] = {5, 2, 0, 2, 7, 6, 3};
#define SCATTERED (sizeof(scattered) / sizeof(scattered[0]))

static void scatter(struct fixture *f)
{
	for (unsigned int i = 0; i < SCATTERED; i++)
		lead(f, i, scattered[i]);
}

/* The IOTLB's own answer for one byte. */
static unsigned char *byte_of(const struct fixture *f, vh_gpa iova)
{
	unsigned char *byte = vh_memory_at(f->iotlb, iova, 1);

	assert_non_null(byte);
	return byte;
}

static void is_the_same_memory(const struct fixture *f,
			       const struct vhi_view *view, vh_gpa at,
			       uint64_t size)
{
	unsigned char *bytes = view->host;

	for (uint64_t i = 0; i < size; i++) {
		unsigned char *byte = byte_of(f, at + i), old = *byte;

		assert_int_equal(bytes[i], old);
		*byte = (unsigned char)~old;
		assert_int_equal(bytes[i], (unsigned char)~old);
		bytes[i] = old;
		assert_int_equal(*byte, old);
	}
}

static void test_memory_view_of_one_piece_is_what_is_there(void **state)
{
	struct fixture f = fixture_new();
	struct vhi_view view = {0};

	(void)state;
	/* three entries, side by side in one region */
	lead(&f, 0, 0);
	must_update(&f.iotlb, IOVA + PAGE, 100, guest_page(1), READ);
	must_update(&f.iotlb, IOVA + PAGE + 100, PAGE, guest_page(1) + 100,
		    BOTH);
	assert_int_equal(vh_memory_count(f.iotlb), 3);
	assert_int_equal(vhi_view_open(f.iotlb, IOVA + 7, 2 * PAGE + 93, &view),
			 0);
	assert_null(view.mapped);
	assert_ptr_equal(view.host, byte_of(&f, IOVA + 7));
	vhi_view_close(&view);
	assert_int_equal(vhi_view_open(f.guest, GUEST + 9, 1, &view), 0);
	assert_null(view.mapped);
	assert_ptr_equal(view.host, vh_memory_at(f.guest, GUEST + 9, 1));
	vhi_view_close(&view);
	fixture_free(&f);
}

/* Any part of it, beginning and ending anywhere. */
static void test_memory_view_puts_pieces_side_by_side(void **state)
{
	struct fixture f = fixture_new();
	const uint64_t offsets[] = {0, 1, 64, PAGE - 1, PAGE, PAGE + 3};
	const uint64_t sizes[] = {PAGE + 1, 2 * PAGE, 3 * PAGE + 5};

	(void)state;
	scatter(&f);
	for (unsigned int i = 0; i < sizeof(offsets) / sizeof(*offsets); i++) {
		for (unsigned int j = 0; j < 3; j++) {
			vh_gpa at = IOVA + offsets[i];
			struct vhi_view view;

			assert_int_equal(
			    vhi_view_open(f.iotlb, at, sizes[j], &view), 0);
			assert_non_null(view.mapped);
			assert_int_equal((uintptr_t)view.host % PAGE,
					 at % PAGE);
			is_the_same_memory(&f, &view, at, sizes[j]);
			vhi_view_close(&view);
			assert_null(view.mapped);
			assert_int_equal(mappings_of(ANY_MEMFD), f.mappings);
		}
	}
	fixture_free(&f);
}

/* Regions whose offsets in the file aren't multiples of the page size. */
static void test_memory_view_of_shifted_regions(void **state)
{
	struct fixture f = {.fd = file_of(PAGES * PAGE), .guest = empty_map()};
	struct vh_region a = region_of(GUEST, 2 * PAGE, USER, 100, f.fd);
	struct vh_region b = region_of(GUEST + 4 * PAGE, 2 * PAGE,
				       USER + 4 * PAGE, 3 * PAGE + 100, f.fd);
	struct vhi_view view;

	(void)state;
	must_add(&f.guest, &a);
	must_add(&f.guest, &b);
	assert_int_equal(vh_iotlb_new(f.guest, &f.iotlb), 0);
	f.mappings = mappings_of(ANY_MEMFD);
	/* what counts is where pages begin in host memory */
	must_update(&f.iotlb, IOVA, PAGE - 100, b.guest, BOTH);
	must_update(&f.iotlb, IOVA + PAGE - 100, 500, GUEST + PAGE - 100, BOTH);
	assert_int_equal(vhi_view_open(f.iotlb, IOVA, PAGE + 400, &view), 0);
	assert_non_null(view.mapped);
	is_the_same_memory(&f, &view, IOVA, PAGE + 400);
	vhi_view_close(&view);
	/* and not where they do in the guest's */
	must_update(&f.iotlb, IOVA, PAGE, b.guest, BOTH);
	must_update(&f.iotlb, IOVA + PAGE, PAGE, GUEST, BOTH);
	assert_int_equal(vhi_view_open(f.iotlb, IOVA, 2 * PAGE, &view), -EDOM);
	fixture_free(&f);
}

/* The mappings that were made are gone again. */
static void refuses(const struct fixture *f, vh_gpa at, uint64_t size,
		    int error)
{
	struct vhi_view view = {.map_size = 77};

	assert_int_equal(vhi_view_open(f->iotlb, at, size, &view), error);
	assert_int_equal(view.map_size, 77);
	assert_int_equal(mappings_of(ANY_MEMFD), f->mappings);
}

static void test_memory_view_refuses_parts_of_pages(void **state)
{
	struct fixture f = fixture_new();

	(void)state;
	scatter(&f);
	/* page 3 ends early and goes on elsewhere, page 5 begins late */
	must_update(&f.iotlb, IOVA + 4 * PAGE - 8, 8, guest_page(1), BOTH);
	must_update(&f.iotlb, IOVA + 5 * PAGE, 8, guest_page(4) + 8, BOTH);
	refuses(&f, IOVA + 3 * PAGE, PAGE, -EDOM);
	refuses(&f, IOVA, 4 * PAGE, -EDOM);
	refuses(&f, IOVA + 4 * PAGE - 8, 9, -EDOM);
	refuses(&f, IOVA + 5 * PAGE - 1, 2, -EDOM);
	fixture_free(&f);
}

static void test_memory_view_refuses_holes(void **state)
{
	struct fixture f = fixture_new();

	(void)state;
	scatter(&f);
	refuses(&f, IOVA - 1, 2, -EFAULT);
	refuses(&f, IOVA, (SCATTERED + 1) * PAGE, -EFAULT);
	must_invalidate(&f.iotlb, IOVA + 3 * PAGE, PAGE);
	refuses(&f, IOVA, SCATTERED * PAGE, -EFAULT);
	fixture_free(&f);
}

/* Private memory has no second side; the handler of SIGBUS makes such. */
static void test_memory_view_refuses_what_has_no_second_mapping(void **state)
{
	struct fixture f = fixture_new();
	void *page;

	(void)state;
	scatter(&f);
	mmap_fails = true;
	refuses(&f, IOVA, SCATTERED * PAGE, -ENOMEM);
	mmap_fails = false;
	page = byte_of(&f, IOVA + 4 * PAGE);
	assert_ptr_equal(mmap(page, PAGE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
			 page);
	f.mappings = mappings_of(ANY_MEMFD);
	refuses(&f, IOVA, SCATTERED * PAGE, -EINVAL);
	fixture_free(&f);
}

static void test_memory_view_is_same_where_maps_agree(void **state)
{
	struct fixture f = fixture_new();
	const uint64_t size = SCATTERED * PAGE - 10;
	struct vh_memory *old, *guest, *other;

	(void)state;
	scatter(&f);
	old = vh_memory_ref(f.iotlb);
	assert_true(vhi_view_is_same(old, f.iotlb, IOVA + 5, size));
	/* elsewhere; and cut into pieces, with another access */
	lead(&f, 30, 1);
	must_update(&f.iotlb, IOVA + 9, 100, guest_page(scattered[0]) + 9,
		    READ);
	assert_int_equal(vh_memory_count(f.iotlb), vh_memory_count(old) + 3);
	assert_true(vhi_view_is_same(old, f.iotlb, IOVA + 5, size));
	assert_true(vhi_view_is_same(f.iotlb, old, IOVA + 5, size));
	/* one page leads elsewhere, or nowhere */
	lead(&f, 3, 1);
	assert_false(vhi_view_is_same(old, f.iotlb, IOVA + 5, size));
	assert_true(vhi_view_is_same(old, f.iotlb, IOVA, 3 * PAGE));
	assert_false(vhi_view_is_same(old, f.iotlb, IOVA, 3 * PAGE + 1));
	must_invalidate(&f.iotlb, IOVA + 3 * PAGE, PAGE);
	assert_false(vhi_view_is_same(old, f.iotlb, IOVA, size));
	assert_false(vhi_view_is_same(f.iotlb, old, IOVA, size));
	vh_memory_unref(f.iotlb);
	/* another map of the same regions, which are mapped anew */
	f.iotlb = old;
	guest = empty_map();
	for (unsigned int i = 0; i < 2; i++) {
		struct vh_region region;

		assert_int_equal(vh_memory_region(f.guest, i, &region), 0);
		region.fd = f.fd;
		must_add(&guest, &region);
	}
	assert_int_equal(vh_iotlb_rebase(f.iotlb, guest, &other), 0);
	assert_false(vhi_view_is_same(f.iotlb, other, IOVA, size));
	vh_memory_unref(other);
	vh_memory_unref(guest);
	fixture_free(&f);
}

/* Is the mapping of address left out of core dumps? */
static bool is_not_dumped(const void *address)
{
	FILE *smaps = fopen("/proc/self/smaps", "re");
	unsigned long start, end;
	bool here = false, left_out = false;
	char line[512];

	assert_non_null(smaps);
	while (fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			here = (uintptr_t)address >= start &&
			       (uintptr_t)address < end;
		else if (here && strncmp(line, "VmFlags:", 8) == 0)
			left_out = strstr(line, " dd");
	}
	fclose(smaps);
	return left_out;
}

static void test_memory_view_10000_times(void **state)
{
	struct fixture f = fixture_new();
	struct vhi_view view;

	(void)state;
	scatter(&f);
	for (unsigned int i = 0; i < 10000; i++) {
		assert_int_equal(
		    vhi_view_open(f.iotlb, IOVA + i % PAGE, 6 * PAGE, &view),
		    0);
		if (i % 1000 == 0)
			assert_true(is_not_dumped(view.host));
		vhi_view_close(&view);
	}
	fixture_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_memory_view_of_one_piece_is_what_is_there),
	    cmocka_unit_test(test_memory_view_puts_pieces_side_by_side),
	    cmocka_unit_test(test_memory_view_of_shifted_regions),
	    cmocka_unit_test(test_memory_view_refuses_parts_of_pages),
	    cmocka_unit_test(test_memory_view_refuses_holes),
	    cmocka_unit_test(
		test_memory_view_refuses_what_has_no_second_mapping),
	    cmocka_unit_test(test_memory_view_is_same_where_maps_agree),
	    cmocka_unit_test(test_memory_view_10000_times),
	};

	return cmocka_run_group_tests_name("memory-view", tests, NULL, NULL);
}
