/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * How long things live: mappings as long as a map that has them, and nothing
 * longer. The executable is linked with --wrap for malloc, calloc and free, so
 * that allocations can be counted and made to fail.
 */
#include "support.h"

#include <resources.h>

#include <stdlib.h>
#include <sys/mman.h>

#define GUEST  UINT64_C(0x200000000)
#define USER   UINT64_C(0x7d0000000000)
#define CYCLES 10000

static struct {
	long live;  /* allocations that weren't freed */
	long fails; /* the allocation that fails, from 1; 0: none */
	bool failed;
} heap;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void __real_free(void *ptr);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void __wrap_free(void *ptr);

/* Is this the allocation that has to fail? */
static bool fails_now(void)
{
	if (heap.fails == 0 || --heap.fails > 0)
		return false;
	heap.failed = true;
	return true;
}

void *__wrap_malloc(size_t size)
{
	void *ptr = fails_now() ? NULL : __real_malloc(size);

	heap.live += ptr != NULL;
	return ptr;
}

void *__wrap_calloc(size_t count, size_t size)
{
	void *ptr = fails_now() ? NULL : __real_calloc(count, size);

	heap.live += ptr != NULL;
	return ptr;
}

void __wrap_free(void *ptr)
{
	heap.live -= ptr != NULL;
	__real_free(ptr);
}

static struct vh_region numbered(uint64_t n, int fd)
{
	return region_of(GUEST + n * PAGE, PAGE, USER - n * PAGE, 0, fd);
}

static void test_memory_lifetime_unmaps_with_the_last_map(void **state)
{
	int fd = file_of(PAGE);
	struct vh_memory *none = empty_map(), *one, *after, *again;
	struct vh_region r = numbered(0, fd);
	struct span span;
	unsigned char *host;

	(void)state;
	assert_int_equal(vh_memory_add(none, &r, NULL, &one), 0);
	host = vh_memory_at(one, GUEST, 1);
	assert_true(find_span(host, &span));
	assert_non_null(strstr(span.name, "libvhost-test"));
	assert_int_equal(vh_memory_remove(one, &r, NULL, &after), 0);
	again = vh_memory_ref(one);
	assert_ptr_equal(again, one);
	/* a worker can still use the old map, in which nothing has changed */
	vh_memory_unref(one);
	vh_memory_unref(none);
	assert_true(find_span(host, &span));
	assert_int_equal(host[1], byte_at(1));
	assert_ptr_equal(vh_memory_at(again, GUEST, PAGE), host);
	vh_memory_unref(again);
	assert_false(find_span(host, &span));
	assert_int_equal(vh_memory_count(after), 0);
	vh_memory_unref(after);
	close(fd);
}

/* Removal leaves the mappings of all others where they are. */
static void test_memory_lifetime_keeps_other_mappings(void **state)
{
	int fd = file_of(PAGE);
	struct vh_memory *memory = empty_map();
	void *hosts[100];
	struct span span;

	(void)state;
	for (uint64_t i = 0; i < 100; i++) {
		struct vh_region r = numbered(i, fd);

		must_add(&memory, &r);
		hosts[i] = vh_memory_at(memory, r.guest, PAGE);
	}
	for (uint64_t i = 0; i < 100; i++) {
		uint64_t n = i * 37 % 100;
		struct vh_region r = numbered(n, fd);

		must_remove(&memory, &r);
		assert_false(find_span(hosts[n], &span));
		for (uint64_t j = i + 1; j < 100; j++) {
			uint64_t m = j * 37 % 100;

			r = numbered(m, fd);
			assert_ptr_equal(vh_memory_at(memory, r.guest, PAGE),
					 hosts[m]);
		}
	}
	assert_int_equal(mappings_of(ANY_MEMFD), 0);
	vh_memory_unref(memory);
	close(fd);
}

/* Two maps made of one don't know of each other. */
static void test_memory_lifetime_of_forked_maps(void **state)
{
	int fd = file_of(PAGE);
	struct vh_memory *base = empty_map(), *left, *right;
	struct vh_region shared = numbered(0, fd), r = numbered(1, fd);
	struct span span;
	void *a, *b;

	(void)state;
	must_add(&base, &shared);
	assert_int_equal(vh_memory_add(base, &r, NULL, &left), 0);
	assert_int_equal(vh_memory_add(base, &r, NULL, &right), 0);
	a = vh_memory_at(left, r.guest, PAGE);
	b = vh_memory_at(right, r.guest, PAGE);
	assert_ptr_not_equal(a, b);
	vh_memory_unref(base);
	vh_memory_unref(left);
	assert_false(find_span(a, &span));
	assert_true(find_span(b, &span));
	assert_non_null(vh_memory_at(right, shared.guest, PAGE));
	assert_true(find_span(vh_memory_at(right, shared.guest, 1), &span));
	vh_memory_unref(right);
	assert_int_equal(mappings_of(ANY_MEMFD), 0);
	close(fd);
}

static void test_memory_lifetime_10000_cycles_leak_nothing(void **state)
{
	int fd = file_of(PAGE);
	struct vh_memory *memory = empty_map();
	unsigned int descriptors, mappings;
	long live;

	(void)state;
	for (uint64_t i = 0; i < 40; i++) {
		struct vh_region r = numbered(i, fd);

		must_add(&memory, &r);
	}
	descriptors = open_descriptors();
	mappings = mappings_of(ANY_MEMFD);
	live = heap.live;
	assert_true(live > 40);
	for (uint64_t i = 0; i < CYCLES; i++) {
		struct vh_region extra = numbered(40 + i % 469, fd);
		struct vh_region bad = numbered(i % 40, fd);
		struct vh_memory *next;

		must_add(&memory, &extra);
		assert_int_equal(vh_memory_add(memory, &bad, NULL, &next),
				 -EEXIST);
		must_remove(&memory, &extra);
		must_remove(&memory, &bad);
		must_add(&memory, &bad);
	}
	assert_int_equal(open_descriptors(), descriptors);
	assert_int_equal(mappings_of(ANY_MEMFD), mappings);
	assert_int_equal(heap.live, live);
	vh_memory_unref(memory);
	assert_int_equal(mappings_of(ANY_MEMFD), 0);
	close(fd);
}

static void test_memory_lifetime_survives_each_failed_malloc(void **state)
{
	int fd = file_of(PAGE);
	struct vh_memory *memory = empty_map(), *next = NULL;
	struct vh_region here = numbered(0, fd), r = numbered(1, fd);
	struct vh_fault fault = {0};
	unsigned int failures = 0;
	long live;

	(void)state;
	must_add(&memory, &here);
	live = heap.live;
	for (long n = 1;; n++) {
		heap.failed = false;
		heap.fails = n;
		if (vh_memory_add(memory, &r, &fault, &next) == 0)
			break;
		assert_true(heap.failed);
		assert_int_equal(fault.error, -ENOMEM);
		assert_int_equal(fault.code, VH_FAULT_SYSTEM);
		assert_int_equal(heap.live, live);
		assert_int_equal(mappings_of(ANY_MEMFD), 1);
		failures++;
	}
	heap.fails = 0;
	assert_true(failures >= 2);
	vh_memory_unref(next);
	failures = 0;
	for (long n = 1;; n++) {
		heap.fails = n;
		fault.error = 0;
		if (vh_memory_remove(memory, &here, &fault, &next) == 0)
			break;
		assert_int_equal(fault.error, -ENOMEM);
		assert_int_equal(heap.live, live);
		assert_non_null(vh_memory_at(memory, here.guest, PAGE));
		failures++;
	}
	heap.fails = 0;
	assert_true(failures >= 2);
	vh_memory_unref(next);
	next = NULL;
	heap.fails = 1;
	assert_int_equal(vh_memory_new(&next), -ENOMEM);
	assert_null(next);
	vh_memory_unref(memory);
	close(fd);
}

/* Makes an IOTLB of another, or a log. */
typedef int (*maker)(const struct vh_memory *iotlb, struct vh_fault *fault,
		     void **ret_made);

/* Each allocation of a maker fails once; nothing is lost or left over. */
static void *survives(maker make, const struct vh_memory *iotlb)
{
	unsigned int mappings = mappings_of(ANY_MEMFD), failures = 0;
	struct vh_fault fault = {.error = -ENOMEM};
	long live = heap.live;
	void *made = NULL;
	int err;

	for (;; failures++) {
		heap.fails = failures + 1;
		err = make(iotlb, &fault, &made);
		if (err == 0)
			break;
		assert_int_equal(err, -ENOMEM);
		assert_int_equal(fault.error, -ENOMEM);
		assert_null(made);
		assert_int_equal(heap.live, live);
		assert_int_equal(mappings_of(ANY_MEMFD), mappings);
	}
	heap.fails = 0;
	assert_true(failures > 0);
	assert_non_null(made);
	return made;
}

static int make_new(const struct vh_memory *iotlb, struct vh_fault *fault,
		    void **ret_made)
{
	struct vh_memory *made = NULL;
	int err = vh_iotlb_new(vh_iotlb_guest(iotlb), &made);

	(void)fault;
	*ret_made = made;
	return err;
}

static int make_update(const struct vh_memory *iotlb, struct vh_fault *fault,
		       void **ret_made)
{
	struct vh_iotlb_entry entry = {100, 100, GUEST, VH_ACCESS_READ};
	struct vh_memory *made = NULL;
	int err = vh_iotlb_update(iotlb, &entry, fault, &made);

	*ret_made = made;
	return err;
}

static int make_invalidate(const struct vh_memory *iotlb,
			   struct vh_fault *fault, void **ret_made)
{
	struct vh_memory *made = NULL;
	int err = vh_iotlb_invalidate(iotlb, 0, 1, fault, &made);

	*ret_made = made;
	return err;
}

static int make_rebase(const struct vh_memory *iotlb, struct vh_fault *fault,
		       void **ret_made)
{
	struct vh_memory *made = NULL;
	int err = vh_iotlb_rebase(iotlb, vh_iotlb_guest(iotlb), &made);

	(void)fault;
	*ret_made = made;
	return err;
}

static int log_file;

static int make_log(const struct vh_memory *iotlb, struct vh_fault *fault,
		    void **ret_made)
{
	struct vh_dirty_log *made = NULL;
	int err = vh_dirty_log_new(log_file, 0, 1, fault, &made);

	(void)iotlb;
	*ret_made = made;
	return err;
}

static void test_memory_lifetime_iotlbs_and_logs_survive_them_too(void **state)
{
	struct vh_memory *guest = empty_map(), *iotlb, *made;
	struct vh_region here;
	long live;

	(void)state;
	log_file = file_of(PAGE);
	here = numbered(0, log_file);
	live = heap.live;
	must_add(&guest, &here);
	assert_int_equal(vh_iotlb_new(guest, &iotlb), 0);
	vh_memory_unref(survives(make_new, iotlb));
	made = survives(make_update, iotlb);
	vh_memory_unref(survives(make_invalidate, made));
	vh_memory_unref(survives(make_rebase, made));
	vh_memory_unref(made);
	vh_dirty_log_unref(survives(make_log, NULL));
	vh_memory_unref(iotlb);
	vh_memory_unref(guest);
	/* guest was an empty map when it was counted */
	assert_int_equal(heap.live, live - 1);
	assert_int_equal(mappings_of(ANY_MEMFD), 0);
	close(log_file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_memory_lifetime_unmaps_with_the_last_map),
	    cmocka_unit_test(test_memory_lifetime_keeps_other_mappings),
	    cmocka_unit_test(test_memory_lifetime_of_forked_maps),
	    cmocka_unit_test(test_memory_lifetime_10000_cycles_leak_nothing),
	    cmocka_unit_test(test_memory_lifetime_survives_each_failed_malloc),
	    cmocka_unit_test(
		test_memory_lifetime_iotlbs_and_logs_survive_them_too),
	};

	return cmocka_run_group_tests_name("memory-lifetime", tests, NULL,
					   NULL);
}
