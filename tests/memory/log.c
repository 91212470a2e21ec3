/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Dirty logs, beside a model: an array of bytes in which bits are set one by
 * one. The file around a log must stay as it was.
 */
#include "support.h"

#include <resources.h>

#include <fcntl.h>
#include <memory/log.h>
#include <stdio.h>

#define LOG_PAGE  ((uint64_t)VH_DIRTY_LOG_PAGE)
#define FILE_SIZE 16384

/* A log in a file, and what the file should be like. */
struct fixture {
	int fd;
	uint64_t offset;
	uint64_t size;
	struct vh_dirty_log *log;
	unsigned char expected[FILE_SIZE];
};

/* The file is full of patterns, the log of zeroes. */
static void set_up(struct fixture *f, uint64_t offset, uint64_t size)
{
	struct vh_fault fault = {.text = ""};
	int err;

	f->fd = file_of(FILE_SIZE);
	f->offset = offset;
	f->size = size;
	for (uint64_t i = 0; i < FILE_SIZE; i++)
		f->expected[i] = byte_at(i);
	memset(f->expected + offset, 0, size);
	assert_int_equal(
	    pwrite(f->fd, f->expected + offset, size, (off_t)offset), size);
	err = vh_dirty_log_new(f->fd, offset, size, &fault, &f->log);
	if (err)
		fail_msg("%d: %s", err, fault.text);
}

static void tear_down(struct fixture *f)
{
	vh_dirty_log_unref(f->log);
	assert_int_equal(mappings_of(ANY_MEMFD), 0);
	close(f->fd);
}

static void is_as_expected(const struct fixture *f)
{
	unsigned char bytes[FILE_SIZE];

	assert_int_equal(pread(f->fd, bytes, FILE_SIZE, 0), FILE_SIZE);
	for (unsigned int i = 0; i < FILE_SIZE; i++)
		if (bytes[i] != f->expected[i])
			fail_msg("log of 0x%x bytes at 0x%x: byte 0x%x is 0x%x "
				 "and not 0x%x",
				 (unsigned int)f->size, (unsigned int)f->offset,
				 i, bytes[i], f->expected[i]);
}

/* Pages one by one; false if there was one without a bit. */
static bool expect(struct fixture *f, vh_gpa guest, uint64_t size)
{
	uint64_t page = guest / LOG_PAGE;
	bool whole = size == 0 || size - 1 <= UINT64_MAX - guest;
	vh_gpa end = whole ? guest + size - 1 : UINT64_MAX;

	for (; size > 0 && page <= end / LOG_PAGE; page++) {
		if (page / 8 >= f->size)
			return false;
		f->expected[f->offset + page / 8] |=
		    (unsigned char)(1u << (page % 8));
	}
	return whole;
}

static void mark(struct fixture *f, vh_gpa guest, uint64_t size)
{
	assert_int_equal(vh_dirty_log_mark(f->log, guest, size),
			 expect(f, guest, size));
}

static void note(struct fixture *f, struct vhi_log_cache *cache, vh_gpa guest,
		 uint64_t size)
{
	vhi_log_note(f->log, cache, guest, size);
	expect(f, guest, size);
}

static uint64_t next_random(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + 1;
	return *state >> 24;
}

/* Ranges of a few bytes to a few hundred pages, in the log or close to it. */
static void random_range(uint64_t *random, uint64_t log_size, vh_gpa *ret_guest,
			 uint64_t *ret_size)
{
	uint64_t span = log_size * 8 * LOG_PAGE;

	*ret_guest = next_random(random) % (span + 3 * LOG_PAGE);
	*ret_size = next_random(random) %
		    (next_random(random) % 4 ? 2 * LOG_PAGE : 300 * LOG_PAGE);
}

static void test_memory_log_has_a_bit_for_each_page(void **state)
{
	static struct fixture f;

	(void)state;
	set_up(&f, 0, 16);
	for (uint64_t page = 0; page < 128; page += 3) {
		assert_true(vh_dirty_log_mark(f.log, page * LOG_PAGE, 1));
		f.expected[page / 8] |= (unsigned char)(1u << (page % 8));
		is_as_expected(&f);
	}
	/* a mark that is there already stays, and nothing else comes */
	assert_true(vh_dirty_log_mark(f.log, 0, LOG_PAGE));
	is_as_expected(&f);
	/* two bytes of two pages */
	assert_true(vh_dirty_log_mark(f.log, 2 * LOG_PAGE - 1, 2));
	f.expected[0] |= 6;
	is_as_expected(&f);
	/* none of any */
	assert_true(vh_dirty_log_mark(f.log, 5 * LOG_PAGE, 0));
	is_as_expected(&f);
	tear_down(&f);
}

static const uint64_t offsets[] = {0,	 1,    2,    3,	   4,	 5,
				   6,	 7,    8,    4093, 4095, 4096,
				   4097, 4103, 8184, 8190, 9999, FILE_SIZE};
static const uint64_t sizes[] = {1,  2,	 3,  5,	 7,  8,	  9,   11,   15,
				 16, 17, 23, 63, 64, 100, 511, 4096, 5000};

/* Calls body for logs at all offsets and of all sizes that fit the file. */
static void for_all_logs(void (*body)(struct fixture *, uint64_t *))
{
	static struct fixture f;
	uint64_t random = 1;

	for (size_t i = 0; i < sizeof(offsets) / sizeof(*offsets); i++) {
		for (size_t j = 0; j < sizeof(sizes) / sizeof(*sizes); j++) {
			/* the last one begins where it just fits */
			uint64_t offset = offsets[i] == FILE_SIZE
					      ? FILE_SIZE - sizes[j]
					      : offsets[i];

			set_up(&f, offset, sizes[j]);
			body(&f, &random);
			tear_down(&f);
		}
	}
}

static void mark_at_random(struct fixture *f, uint64_t *random)
{
	for (unsigned int i = 0; i < 20; i++) {
		uint64_t size;
		vh_gpa guest;

		random_range(random, f->size, &guest, &size);
		mark(f, guest, size);
	}
	is_as_expected(f);
	/* all of them, which leaves what is around it */
	mark(f, 0, f->size * 8 * LOG_PAGE);
	is_as_expected(f);
}

static void test_memory_log_marks_at_any_offset_and_size(void **state)
{
	(void)state;
	for_all_logs(mark_at_random);
}

static void mark_outside(struct fixture *f, uint64_t *random)
{
	vh_gpa end = f->size * 8 * LOG_PAGE;
	struct vhi_log_cache cache = {0};
	const struct {
		vh_gpa guest;
		uint64_t size;
	} ranges[] = {
	    {end, 1},	       {end, UINT64_MAX},
	    {end + 5, 999999}, {UINT64_MAX, 1},
	    {UINT64_MAX, 2},   {UINT64_MAX - LOG_PAGE, 2 * LOG_PAGE},
	    {UINT64_MAX, 0},   {UINT64_MAX, UINT64_MAX},
	    {end - 1, 2},      {end - 1, UINT64_MAX},
	    {end - 1, 1},      {LOG_PAGE, UINT64_MAX},
	    {0, UINT64_MAX},
	};

	(void)random;
	for (size_t i = 0; i < sizeof(ranges) / sizeof(*ranges); i++) {
		note(f, &cache, ranges[i].guest, ranges[i].size);
		vhi_log_flush(f->log, &cache);
		is_as_expected(f);
		mark(f, ranges[i].guest, ranges[i].size);
		is_as_expected(f);
	}
}

static void test_memory_log_leaves_out_what_it_has_no_bit_for(void **state)
{
	(void)state;
	for_all_logs(mark_outside);
}

static void note_at_random(struct fixture *f, uint64_t *random)
{
	struct vhi_log_cache cache = {0};

	for (unsigned int i = 0; i < 40; i++) {
		uint64_t size;
		vh_gpa guest;

		random_range(random, f->size, &guest, &size);
		note(f, &cache, guest, size);
		if (i % 16 != 15)
			continue;
		vhi_log_flush(f->log, &cache);
		is_as_expected(f);
	}
	vhi_log_flush(f->log, &cache);
	is_as_expected(f);
}

static void test_memory_log_cache_marks_the_same(void **state)
{
	(void)state;
	for_all_logs(note_at_random);
}

/* A front-end that has read the bits. */
static void clear(struct fixture *f)
{
	memset(f->expected + f->offset, 0, f->size);
	assert_int_equal(
	    pwrite(f->fd, f->expected + f->offset, f->size, (off_t)f->offset),
	    f->size);
}

static void test_memory_log_cache_waits_for_the_flush(void **state)
{
	static struct fixture f;
	struct vhi_log_cache cache = {0};

	(void)state;
	set_up(&f, 5, 4096);
	/* 32 words apart, twice each, touch nothing */
	for (uint64_t i = 0; i < 64; i++)
		vhi_log_note(f.log, &cache, i % 32 * 100 * LOG_PAGE, LOG_PAGE);
	is_as_expected(&f);
	vhi_log_flush(f.log, &cache);
	for (uint64_t i = 0; i < 32; i++)
		expect(&f, i * 100 * LOG_PAGE, LOG_PAGE);
	is_as_expected(&f);
	/* what was flushed doesn't come back */
	clear(&f);
	vhi_log_flush(f.log, &cache);
	is_as_expected(&f);
	/* in the word that was used last, nothing is still nothing */
	note(&f, &cache, 0, 1);
	note(&f, &cache, LOG_PAGE + 5, 0);
	vhi_log_flush(f.log, &cache);
	is_as_expected(&f);
	tear_down(&f);
}

static void test_memory_log_cache_takes_more_than_it_holds(void **state)
{
	static struct fixture f;
	struct vhi_log_cache cache = {0};

	(void)state;
	set_up(&f, 3, 12000);
	for (uint64_t i = 0; i < 1000; i++)
		note(&f, &cache, i * 67 % 1000 * 90 * LOG_PAGE, 2 * LOG_PAGE);
	/* whole words don't push others out, and are marked, too */
	note(&f, &cache, 0, 5000 * LOG_PAGE);
	vhi_log_flush(f.log, &cache);
	is_as_expected(&f);
	tear_down(&f);
}

/* The words of one log are none of another's. */
static void test_memory_log_cache_serves_one_log_after_another(void **state)
{
	static struct fixture large, small;
	struct vhi_log_cache cache = {0};

	(void)state;
	set_up(&large, 1, 4096);
	note(&large, &cache, 1000 * LOG_PAGE, 1);
	vhi_log_flush(large.log, &cache);
	is_as_expected(&large);
	vh_dirty_log_unref(large.log);
	close(large.fd);
	set_up(&small, 2, 3);
	note(&small, &cache, 1000 * LOG_PAGE, 1);
	note(&small, &cache, 23 * LOG_PAGE, 1);
	note(&small, &cache, 24 * LOG_PAGE, 1);
	vhi_log_flush(small.log, &cache);
	is_as_expected(&small);
	tear_down(&small);
}

static void refuses(int fd, uint64_t offset, uint64_t size, int error,
		    const char *words)
{
	struct vh_dirty_log *log = (struct vh_dirty_log *)&error;
	struct vh_fault fault = {0};

	assert_int_equal(vh_dirty_log_new(fd, offset, size, &fault, &log),
			 error);
	assert_int_equal(fault.error, error);
	assert_int_equal(fault.code, VH_FAULT_MEM_LOG);
	assert_non_null(fault.section);
	if (!strstr(fault.text, words))
		fail_msg("no \"%s\" in \"%s\"", words, fault.text);
	assert_int_equal(vh_dirty_log_new(fd, offset, size, NULL, &log), error);
	assert_ptr_equal(log, &error);
}

static void test_memory_log_refuses_what_does_not_fit(void **state)
{
	int fd = file_of(5000), ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	refuses(fd, 0, 0, -EINVAL, "must not be 0");
	refuses(fd, 7, UINT64_MAX, -EINVAL, "exceeds 2^64");
	refuses(fd, 0, 5001, -ERANGE, "0x1388 bytes");
	refuses(fd, 4999, 2, -ERANGE, "the dirty log");
	refuses(fd, 5000, 1, -ERANGE, "offset 0x1388");
	refuses(fd, UINT64_MAX, 1, -ERANGE, "offset 0xffffffffffffffff");
	refuses(fd, 0, UINT64_MAX, -ERANGE, "size 0xffffffffffffffff");
	refuses(ends[0], 0, 1, -ERANGE, "no length");
	close(ends[0]);
	close(ends[1]);
	close(fd);
	refuses(fd, 0, 1, -EBADF, "fstat");
}

static void test_memory_log_needs_a_file_to_write(void **state)
{
	struct vh_dirty_log *log = NULL;
	struct vh_fault fault = {0};
	int fd = file_of(5000), sealed;
	char path[64];

	(void)state;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	sealed = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(sealed >= 0);
	assert_int_equal(vh_dirty_log_new(sealed, 0, 1, &fault, &log), -EACCES);
	assert_int_equal(fault.code, VH_FAULT_MEM_MAP);
	assert_non_null(strstr(fault.text, "the dirty log"));
	assert_null(log);
	close(sealed);
	close(fd);
}

static void test_memory_log_lives_as_long_as_its_references(void **state)
{
	static struct fixture f;
	struct vh_dirty_log *again;

	(void)state;
	set_up(&f, 4100, 100);
	again = vh_dirty_log_ref(f.log);
	assert_ptr_equal(again, f.log);
	assert_int_equal(mappings_of(ANY_MEMFD), 1);
	vh_dirty_log_unref(f.log);
	assert_int_equal(mappings_of(ANY_MEMFD), 1);
	mark(&f, 5 * LOG_PAGE, 1);
	is_as_expected(&f);
	/* the descriptor was only needed once */
	vh_dirty_log_unref(NULL);
	tear_down(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_memory_log_has_a_bit_for_each_page),
	    cmocka_unit_test(test_memory_log_marks_at_any_offset_and_size),
	    cmocka_unit_test(test_memory_log_leaves_out_what_it_has_no_bit_for),
	    cmocka_unit_test(test_memory_log_cache_marks_the_same),
	    cmocka_unit_test(test_memory_log_cache_waits_for_the_flush),
	    cmocka_unit_test(test_memory_log_cache_takes_more_than_it_holds),
	    cmocka_unit_test(
		test_memory_log_cache_serves_one_log_after_another),
	    cmocka_unit_test(test_memory_log_refuses_what_does_not_fit),
	    cmocka_unit_test(test_memory_log_needs_a_file_to_write),
	    cmocka_unit_test(test_memory_log_lives_as_long_as_its_references),
	};

	return cmocka_run_group_tests_name("memory-log", tests, NULL, NULL);
}
