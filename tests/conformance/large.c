/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Requests for megabytes and for gigabytes: the data is right, and nobody
 * waits for them but who asked.
 */
#include "fixture.h"

#include <stdlib.h>

#define MIB	     (UINT64_C(1) << 20)
#define DISK	     (64 * MIB)
#define NULL_DISK    (MIB << 20)
#define REGION	     (40 * MIB)
#define GIANT_PIECE  (32 * MIB) /* many times the same memory */
#define GIANT_PIECES 124
#define GIANTS	     32

static const struct session_opts session_opts = {
    .num_queues = 2,
    .regions = 1,
    .region_size = REGION,
    .table_entries = GIANT_PIECES + 2,
};

struct request {
	struct driver_buffer buffers[GIANT_PIECES + 2];
	unsigned int count;
	uint64_t status;
};

/* A header, a place for the data, a status; the buffers of data follow. */
static void begin_request(struct fixture *f, struct request *r, uint32_t type,
			  uint64_t sector)
{
	uint64_t header = guest_alloc(&f->session.guest, 17, 64);
	uint8_t status = BLK_NO_STATUS;

	assert_true(header != 0);
	*r = (struct request){.count = 1, .status = header + 16};
	r->buffers[0] = (struct driver_buffer){.gpa = header, .length = 16};
	blk_put_header(&f->session, header, type, sector);
	guest_write(&f->session.guest, r->status, &status, 1);
}

static void add_piece(struct request *r, uint64_t gpa, uint64_t length,
		      bool write)
{
	r->buffers[r->count++] = (struct driver_buffer){
	    .gpa = gpa, .length = (uint32_t)length, .write = write};
}

static void send_request(struct fixture *f, unsigned int queue,
			 struct request *r)
{
	add_piece(r, r->status, 1, true);
	assert_true(session_submit(&f->session, queue, r->buffers, r->count,
				   true) >= 0);
}

static uint8_t status_of(struct fixture *f, const struct request *r)
{
	uint8_t status;

	guest_read(&f->session.guest, r->status, &status, 1);
	return status;
}

/* Cuts the data into pieces that fit no step; all together are length. */
static void add_odd_pieces(struct request *r, uint64_t gpa, uint64_t length,
			   bool write)
{
	static const uint32_t sizes[] = {1, MIB,     MIB - 1,	  511,
					 3, 4 * MIB, 2 * MIB + 7, 4096};
	unsigned int i;

	for (i = 0; length > 0; i++) {
		uint64_t n = sizes[i % 8] < length ? sizes[i % 8] : length;

		add_piece(r, gpa, n, write);
		gpa += n;
		length -= n;
	}
}

static void must_transfer(struct fixture *f, bool out, uint64_t sector,
			  uint64_t gpa, uint64_t length)
{
	struct request r;
	struct driver_used used;

	begin_request(f, &r, out ? BLK_OUT : BLK_IN, sector);
	add_odd_pieces(&r, gpa, length, !out);
	send_request(f, 0, &r);
	must(session_wait(&f->session, 0, &used));
	assert_int_equal(status_of(f, &r), BLK_OK);
	assert_int_equal(used.length, out ? 1 : length + 1);
}

static void round_trips(struct fixture *f, const struct server_opts *opts)
{
	static const uint64_t lengths[] = {MIB, MIB + 512, 2 * MIB - 512,
					   9 * MIB + 1536};
	uint8_t *bytes, *file = malloc(16 * MIB);
	unsigned int i;
	uint64_t at;

	start_server(f, opts, false);
	new_session(f, &session_opts);
	start_session(f);
	at = guest_alloc(&f->session.guest, 2 * 12 * MIB, 4096);
	bytes = guest_at(&f->session.guest, at, 2 * 12 * MIB);
	assert_true(bytes && file);
	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		uint64_t length = lengths[i], sector = 3 + i * 20000;

		blk_pattern(bytes, length, i * MIB);
		must_transfer(f, true, sector, at, length);
		assert_int_equal(pread(f->server.place.file, file, length,
				       (off_t)(sector * BLK_SECTOR)),
				 length);
		assert_memory_equal(file, bytes, length);
		must_transfer(f, false, sector, at + 12 * MIB, length);
		assert_memory_equal(bytes + 12 * MIB, bytes, length);
	}
	free(file);
	fixture_close(f);
}

static void test_conformance_large_transfers(void **state)
{
	static const uint32_t engines[] = {VH_BLK_ENGINE_SYNC,
					   VH_BLK_ENGINE_AUTO};
	struct server_opts opts = {.num_queues = 2, .size = DISK};
	unsigned int i;

	for (i = 0; i < 2; i++) {
		opts.engine = engines[i];
		round_trips(*state, &opts);
	}
}

/* That is nothing beside what the giants take. */
static void read_on_the_other_queue(struct fixture *f)
{
	uint8_t data[4096];
	unsigned int i;

	for (i = 0; i < 50; i++)
		must(blk_read(&f->blk[1], i * 8, data, sizeof(data)));
}

/* 32 reads of almost 4 GiB each on queue 0 of two; one worker has both. */
static void send_giants(struct fixture *f)
{
	struct server_opts opts = {
	    .num_queues = 2, .null = true, .size = NULL_DISK};
	struct request r;
	unsigned int i, j;
	uint64_t at;

	start_server(f, &opts, false);
	new_session(f, &session_opts);
	start_session(f);
	make_blks(f, 8192);
	at = guest_alloc(&f->session.guest, GIANT_PIECE, 4096);
	assert_true(at != 0);
	for (i = 0; i < GIANTS; i++) {
		begin_request(f, &r, BLK_IN, i);
		for (j = 0; j < GIANT_PIECES; j++)
			add_piece(&r, at, GIANT_PIECE, true);
		send_request(f, 0, &r);
	}
}

static void test_conformance_large_requests_hold_no_other_queue(void **state)
{
	struct fixture *f = *state;
	struct driver_used used[GIANTS];

	send_giants(f);
	read_on_the_other_queue(f);
	assert_int_equal(
	    driver_ring_collect(f->session.queues[0].ring, used, GIANTS), 0);
	must(fe_sync(&f->session.fe));
	fe_close(&f->session.fe);
}

static struct vh_blk_stats stats_of(const struct fixture *f)
{
	VH_OPTS(vh_blk_stats, stats);
	must(vh_blk_get_stats(f->server.backend, &stats));
	return stats;
}

/* Nobody wants them any more, so they aren't done. */
static void test_conformance_large_requests_hold_no_next_one(void **state)
{
	struct fixture *f = *state;
	struct vh_blk_stats stats;

	send_giants(f);
	read_on_the_other_queue(f);
	fe_close(&f->session.fe);
	new_session(f, NULL);
	start_session(f);
	must(fe_sync(&f->session.fe));
	stats = stats_of(f);
	assert_true(stats.errors > 0);
	assert_true(stats.bytes_read < GIANTS * GIANT_PIECE * GIANT_PIECES / 2);
}

/* The server and the back-end end while its driver waits. */
static void test_conformance_large_requests_hold_no_end(void **state)
{
	struct fixture *f = *state;
	struct vh_blk_stats stats;
	struct driver_used used;

	send_giants(f);
	read_on_the_other_queue(f);
	vh_user_server_free(f->server.server);
	f->server.server = NULL;
	stats = stats_of(f);
	assert_true(stats.errors > 0);
	/* but each was answered */
	f->session.fe.timeout_ms = 0;
	while (driver_ring_inflight(f->session.queues[0].ring) > 0)
		must(session_wait(&f->session, 0, &used));
}

/* Who stops a ring wants to have everything done. */
static void test_conformance_large_requests_are_done_before_a_stop(void **state)
{
	struct server_opts opts = {
	    .num_queues = 2, .null = true, .size = NULL_DISK};
	struct fixture *f = *state;
	struct request r[8];
	unsigned int i;
	uint64_t at;

	start_server(f, &opts, false);
	new_session(f, &session_opts);
	start_session(f);
	at = guest_alloc(&f->session.guest, GIANT_PIECE, 4096);
	for (i = 0; i < 8; i++) {
		begin_request(f, &r[i], BLK_IN, i);
		add_piece(&r[i], at, GIANT_PIECE, true);
		send_request(f, 0, &r[i]);
	}
	must(session_stop_queue(&f->session, 0));
	assert_int_equal(stats_of(f).bytes_read % GIANT_PIECE, 0);
	for (i = 0; i < f->session.queues[0].base; i++)
		assert_int_equal(status_of(f, &r[i]), BLK_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    fixture_test(test_conformance_large_transfers),
	    fixture_test(test_conformance_large_requests_hold_no_other_queue),
	    fixture_test(test_conformance_large_requests_hold_no_next_one),
	    fixture_test(test_conformance_large_requests_hold_no_end),
	    fixture_test(
		test_conformance_large_requests_are_done_before_a_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
