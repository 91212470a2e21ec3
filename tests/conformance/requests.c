/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Block requests, good and bad, as virtio's text on block devices has them.
 * A bad one gets a status that says so, or breaks the queue where there is
 * no room for a status; the disk stays as it was.
 */
#include "fixture.h"

#include <sys/stat.h>

#define DISK	 (UINT64_C(8) << 20)
#define CAPACITY (DISK / BLK_SECTOR)
#define UNMAP	 1

/* offsets in the config space */
#define MAX_DISCARD_SECTORS 36
#define MAX_DISCARD_SEG	    40
#define MAX_ZEROES_SECTORS  48
#define MAX_ZEROES_SEG	    52
#define SEG_MAX		    12

static uint32_t config32(struct fixture *f, uint32_t offset)
{
	uint8_t bytes[4];

	must(fe_get_config(&f->session.fe, offset, bytes, 4));
	return get32(bytes);
}

/* A pattern all over the disk, through the host. */
static void fill(struct fixture *f)
{
	uint8_t bytes[4096];
	uint64_t at;

	for (at = 0; at < DISK; at += sizeof(bytes)) {
		blk_pattern(bytes, sizeof(bytes), at);
		assert_int_equal(pwrite(f->server.place.file, bytes,
					sizeof(bytes), (off_t)at),
				 sizeof(bytes));
	}
}

static void must_be(struct fixture *f, uint64_t at, uint64_t length,
		    bool zeroes)
{
	uint8_t bytes[4096], expected[4096] = {0};

	for (; length > 0; at += 4096, length -= 4096) {
		if (!zeroes)
			blk_pattern(expected, sizeof(expected), at);
		assert_int_equal(pread(f->server.place.file, bytes,
				       sizeof(bytes), (off_t)at),
				 sizeof(bytes));
		assert_memory_equal(bytes, expected, sizeof(bytes));
	}
}

static void must_be_untouched(struct fixture *f)
{
	struct stat status;

	must_be(f, 0, DISK, false);
	must(fstat(f->server.place.file, &status));
	assert_int_equal(status.st_size, DISK);
}

static void open_filled(struct fixture *f)
{
	open_blk(f, 2);
	fill(f);
}

/* One request with the data of slot 0 as it is: status or -EIO (broken). */
static int request(struct fixture *f, uint32_t type, uint64_t sector,
		   uint32_t length)
{
	unsigned int slot;

	must(blk_submit(&f->blk[0], 0, type, sector, length));
	return blk_wait(&f->blk[0], &slot);
}

static void test_conformance_request_get_id(void **state)
{
	struct fixture *f = *state;
	char id[20];

	open_filled(f);
	memset(id, 0xee, sizeof(id));
	must(blk_get_id(&f->blk[0], id));
	assert_memory_equal(id, "conform\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
	must_be_untouched(f);
}

static void test_conformance_request_of_unknown_type(void **state)
{
	static const uint32_t types[] = {2,  3,	 5,    7,	   9,
					 10, 12, 0x80, 0x80000000, UINT32_MAX};
	struct fixture *f = *state;
	unsigned int i;

	open_filled(f);
	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		assert_int_equal(request(f, types[i], 0, 512), BLK_UNSUPP);
	must_be_untouched(f);
	must_live(f);
}

static void test_conformance_request_beyond_capacity(void **state)
{
	static const uint64_t sectors[] = {
	    CAPACITY,	       CAPACITY - 1,
	    CAPACITY + 1,      UINT64_MAX,
	    UINT64_MAX - 1,    UINT64_C(1) << 55,
	    UINT64_C(1) << 63, (UINT64_C(1) << 55) - 1,
	};
	struct fixture *f = *state;
	unsigned int i;

	open_filled(f);
	for (i = 0; i < sizeof(sectors) / sizeof(sectors[0]); i++) {
		assert_int_equal(request(f, BLK_IN, sectors[i], 1024),
				 BLK_IOERR);
		assert_int_equal(request(f, BLK_OUT, sectors[i], 1024),
				 BLK_IOERR);
	}
	must_be_untouched(f);
	assert_int_equal(request(f, BLK_IN, CAPACITY - 2, 1024), BLK_OK);
	must_live(f);
}

static void test_conformance_request_of_half_sectors(void **state)
{
	static const uint32_t lengths[] = {1, 511, 513, 1000, 4095};
	struct fixture *f = *state;
	unsigned int i;

	open_filled(f);
	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		assert_int_equal(request(f, BLK_IN, 0, lengths[i]), BLK_IOERR);
		assert_int_equal(request(f, BLK_OUT, 0, lengths[i]), BLK_IOERR);
	}
	must_be_untouched(f);
	must_live(f);
}

/* Whatever becomes of it, it isn't "ok"; the other queue goes on. */
static void must_fail(struct fixture *f, const struct driver_buffer *buffers,
		      unsigned int count, uint64_t status_at)
{
	struct driver_used used;
	uint8_t status = BLK_NO_STATUS;
	int ret;

	guest_write(&f->session.guest, status_at, &status, 1);
	assert_true(session_submit(&f->session, 0, buffers, count, false) >= 0);
	ret = session_wait(&f->session, 0, &used);
	guest_read(&f->session.guest, status_at, &status, 1);
	assert_int_not_equal(status, BLK_OK);
	assert_true(ret == 0 || ret == -EIO);
	must_do_io(f, 1, 1000);
	if (ret == 0)
		return;
	must(session_stop_queue(&f->session, 0));
	f->session.queues[0].base = 0;
	must(session_make_ring(&f->session, 0));
	must(session_start_queue(&f->session, 0));
}

static void test_conformance_request_with_a_short_header(void **state)
{
	struct fixture *f = *state;
	uint64_t status, header;
	uint32_t length;

	open_blk(f, 2);
	header = guest_alloc(&f->session.guest, 64, 64);
	status = guest_alloc(&f->session.guest, 1, 64);
	for (length = 1; length < BLK_HEADER_SIZE; length++) {
		struct driver_buffer buffers[2] = {
		    {.gpa = header, .length = length},
		    {.gpa = status, .length = 1, .write = true},
		};

		blk_put_header(&f->session, header, BLK_FLUSH, 0);
		must_fail(f, buffers, 2, status);
		must_fail(f, buffers + 1, 1, status);
	}
	must_live(f);
}

static void test_conformance_request_without_a_status(void **state)
{
	static const uint32_t types[] = {BLK_IN,     BLK_OUT,	  BLK_FLUSH,
					 BLK_GET_ID, BLK_DISCARD, 77};
	struct fixture *f = *state;
	uint64_t status, header;
	unsigned int i;

	open_blk(f, 2);
	header = guest_alloc(&f->session.guest, 1024, 64);
	status = guest_alloc(&f->session.guest, 1, 64);
	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct driver_buffer buffers[2] = {
		    {.gpa = header, .length = BLK_HEADER_SIZE},
		    {.gpa = header + 512, .length = 512},
		};

		blk_put_header(&f->session, header, types[i], 0);
		must_fail(f, buffers, 1, status);
		must_fail(f, buffers, 2, status);
	}
	must_live(f);
}

/* An OUT whose data the device is to write, an IN whose data it reads. */
static void test_conformance_request_with_data_the_wrong_way(void **state)
{
	struct fixture *f = *state;
	uint64_t status, header, data;
	struct driver_buffer buffers[3];

	open_filled(f);
	header = guest_alloc(&f->session.guest, BLK_HEADER_SIZE, 64);
	data = guest_alloc(&f->session.guest, 512, 64);
	status = guest_alloc(&f->session.guest, 1, 64);
	buffers[0] =
	    (struct driver_buffer){.gpa = header, .length = BLK_HEADER_SIZE};
	buffers[2] =
	    (struct driver_buffer){.gpa = status, .length = 1, .write = true};
	buffers[1] = (struct driver_buffer){.gpa = data, .length = 100};
	blk_put_header(&f->session, header, BLK_OUT, CAPACITY - 1);
	must_fail(f, buffers, 3, status);
	blk_put_header(&f->session, header, BLK_IN, CAPACITY);
	buffers[1].write = true;
	must_fail(f, buffers, 3, status);
	must_be(f, DISK - 4096, 4096, false);
	must_live(f);
}

static void test_conformance_request_write_zeroes(void **state)
{
	struct fixture *f = *state;
	struct blk_range range = {.sector = 8, .sectors = 16};
	unsigned int i;

	open_filled(f);
	assert_true(f->session.features & BLK_F_WRITE_ZEROES);
	for (i = 0; i < 4; i++) {
		range.flags = i % 2 ? UNMAP : 0;
		must(blk_ranges(&f->blk[0], BLK_WRITE_ZEROES, &range, 1));
		must_be(f, range.sector * BLK_SECTOR, 8192, true);
		range.sector += 32;
	}
	must_be(f, 0, 4096, false);
	must_be(f, 4096 + 8192, 8192, false);
	must_be(f, 4096 + 4 * 16384, DISK - 4096 - 4 * 16384, false);
}

static void test_conformance_request_discard(void **state)
{
	struct fixture *f = *state;
	struct blk_range range = {.sector = 8, .sectors = 16};

	open_filled(f);
	assert_true(f->session.features & BLK_F_DISCARD);
	must(blk_ranges(&f->blk[0], BLK_DISCARD, &range, 1));
	must_be(f, 0, 4096, false);
	must_be(f, 4096 + 8192, DISK - 4096 - 8192, false);
}

static void refuse_ranges(struct fixture *f, uint32_t type, uint32_t max,
			  uint32_t max_seg)
{
	struct blk *blk = &f->blk[0];
	const struct blk_range bad[] = {
	    {.sector = CAPACITY, .sectors = 8},
	    {.sector = CAPACITY - 8, .sectors = 16},
	    {.sector = UINT64_MAX - 7, .sectors = 16},
	    {.sector = 0, .sectors = UINT32_MAX},
	};
	struct blk_range range = {.sector = 8, .sectors = 8};
	struct blk_range many[64];
	unsigned int i;

	for (i = 0; i < 4; i++)
		assert_int_equal(blk_ranges(blk, type, &bad[i], 1), BLK_IOERR);
	if (max < UINT32_MAX) {
		range.sector = 0;
		range.sectors = max + 1;
		assert_int_equal(blk_ranges(blk, type, &range, 1), BLK_IOERR);
		range.sectors = 8;
	}
	range.flags = 2;
	assert_int_equal(blk_ranges(blk, type, &range, 1), BLK_UNSUPP);
	range.flags = 1u << 31;
	assert_int_equal(blk_ranges(blk, type, &range, 1), BLK_UNSUPP);
	assert_int_not_equal(request(f, type, 0, 0), BLK_OK);
	assert_int_not_equal(request(f, type, 0, 15), BLK_OK);
	assert_int_not_equal(request(f, type, 0, 17), BLK_OK);
	if (max_seg >= 64)
		return;
	for (i = 0; i < 64; i++)
		many[i] = (struct blk_range){.sector = 8 * i, .sectors = 8};
	assert_int_not_equal(blk_ranges(blk, type, many, max_seg + 1), BLK_OK);
}

static void test_conformance_request_ranges_beyond_the_limits(void **state)
{
	struct fixture *f = *state;
	struct blk_range range = {.sector = 8, .sectors = 8, .flags = UNMAP};

	open_filled(f);
	refuse_ranges(f, BLK_DISCARD, config32(f, MAX_DISCARD_SECTORS),
		      config32(f, MAX_DISCARD_SEG));
	refuse_ranges(f, BLK_WRITE_ZEROES, config32(f, MAX_ZEROES_SECTORS),
		      config32(f, MAX_ZEROES_SEG));
	/* unmap makes no sense where that is what it does anyway */
	assert_int_equal(blk_ranges(&f->blk[0], BLK_DISCARD, &range, 1),
			 BLK_UNSUPP);
	must_be_untouched(f);
	must_live(f);
}

static void test_conformance_request_on_a_read_only_disk(void **state)
{
	struct fixture *f = *state;
	struct server_opts opts = {.read_only = true};
	struct blk_range range = {.sector = 8, .sectors = 8};
	uint8_t bytes[512];

	start_server(f, &opts, false);
	fill(f);
	new_session(f, NULL);
	start_session(f);
	make_blks(f, 8192);
	assert_true(f->session.features & BLK_F_RO);
	must(blk_read(&f->blk[0], 0, bytes, sizeof(bytes)));
	assert_int_equal(request(f, BLK_OUT, 0, 512), BLK_IOERR);
	assert_int_not_equal(blk_ranges(&f->blk[0], BLK_DISCARD, &range, 1),
			     BLK_OK);
	assert_int_not_equal(
	    blk_ranges(&f->blk[0], BLK_WRITE_ZEROES, &range, 1), BLK_OK);
	must_be_untouched(f);
	must(blk_read(&f->blk[0], 16, bytes, sizeof(bytes)));
}

/* As many pieces of data as the config space allows, and one more. */
static void test_conformance_request_of_many_segments(void **state)
{
	struct fixture *f = *state;
	struct session_opts opts = {.queue_size = 1024, .num_queues = 2};
	struct driver_buffer buffers[1024] = {{.length = BLK_HEADER_SIZE}};
	struct driver_used used;
	uint64_t header, status, data;
	uint32_t max, i;

	start_blk(f, 2);
	new_session(f, &opts);
	start_session(f);
	make_blks(f, 8192);
	max = config32(f, SEG_MAX);
	assert_in_range(max, 1, 1020);
	header = guest_alloc(&f->session.guest, BLK_HEADER_SIZE, 64);
	status = guest_alloc(&f->session.guest, 1, 64);
	data = guest_alloc(&f->session.guest, 1024 * 512, 512);
	blk_put_header(&f->session, header, BLK_IN, 0);
	buffers[0].gpa = header;
	for (i = 0; i <= max; i++)
		buffers[1 + i] = (struct driver_buffer){
		    .gpa = data + i * 512, .length = 512, .write = true};
	buffers[1 + max] =
	    (struct driver_buffer){.gpa = status, .length = 1, .write = true};
	assert_true(session_submit(&f->session, 0, buffers, max + 2, false) >=
		    0);
	must(session_wait(&f->session, 0, &used));
	assert_int_equal(used.length, max * 512 + 1);
	buffers[2 + max] = buffers[1 + max];
	buffers[1 + max] = (struct driver_buffer){
	    .gpa = data + max * 512, .length = 512, .write = true};
	must_fail(f, buffers, max + 3, status);
	must_live(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    fixture_test(test_conformance_request_get_id),
	    fixture_test(test_conformance_request_of_unknown_type),
	    fixture_test(test_conformance_request_beyond_capacity),
	    fixture_test(test_conformance_request_of_half_sectors),
	    fixture_test(test_conformance_request_with_a_short_header),
	    fixture_test(test_conformance_request_without_a_status),
	    fixture_test(test_conformance_request_with_data_the_wrong_way),
	    fixture_test(test_conformance_request_write_zeroes),
	    fixture_test(test_conformance_request_discard),
	    fixture_test(test_conformance_request_ranges_beyond_the_limits),
	    fixture_test(test_conformance_request_on_a_read_only_disk),
	    fixture_test(test_conformance_request_of_many_segments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
