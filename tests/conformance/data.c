/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Data through the rings: whatever the layout, the file has the truth. */
#include "fixture.h"

#include <pthread.h>
#include <stdlib.h>

#define SIZE  1024 /* of the transfers with strange layouts */
#define WHOLE UINT32_MAX

/* How a request lies in guest memory and is cut into descriptors. */
struct layout {
	uint64_t readable; /* header, and behind it the data of OUT */
	uint64_t writable; /* the data of IN, and behind it the status */
	uint32_t header_cut;
	uint32_t data_cut;
	bool merged; /* data joined with header and status */
	bool indirect;
};

struct pieces {
	struct driver_buffer buffers[300];
	unsigned int count;
};

static void cut(struct pieces *pieces, uint64_t gpa, uint32_t length,
		uint32_t piece, bool write)
{
	while (length > 0) {
		uint32_t n = length < piece ? length : piece;

		assert_true(pieces->count < 300);
		pieces->buffers[pieces->count++] = (struct driver_buffer){
		    .gpa = gpa, .length = n, .write = write};
		gpa += n;
		length -= n;
	}
}

/* Joins a piece with the one before it, which it follows in memory. */
static void join(struct pieces *pieces, unsigned int index)
{
	struct driver_buffer *before = &pieces->buffers[index - 1];

	before->length += pieces->buffers[index].length;
	pieces->count--;
	memmove(before + 1, before + 2,
		(pieces->count - index) * sizeof(*before));
}

static void cut_request(struct pieces *pieces, const struct layout *layout,
			bool out)
{
	unsigned int header;

	pieces->count = 0;
	cut(pieces, layout->readable, BLK_HEADER_SIZE, layout->header_cut,
	    false);
	header = pieces->count;
	if (out)
		cut(pieces, layout->readable + BLK_HEADER_SIZE, SIZE,
		    layout->data_cut, false);
	else
		cut(pieces, layout->writable, SIZE, layout->data_cut, true);
	cut(pieces, layout->writable + (out ? 0 : SIZE), 1, 1, true);
	if (!layout->merged)
		return;
	join(pieces, out ? header : pieces->count - 1);
}

static void transfer(struct fixture *f, const struct layout *layout, bool out,
		     uint64_t sector, uint8_t data[SIZE])
{
	struct session *session = &f->session;
	struct pieces pieces;
	struct driver_used used;
	uint8_t status = BLK_NO_STATUS;
	uint64_t status_at = layout->writable + (out ? 0 : SIZE);

	blk_put_header(session, layout->readable, out ? BLK_OUT : BLK_IN,
		       sector);
	if (out)
		guest_write(&session->guest, layout->readable + BLK_HEADER_SIZE,
			    data, SIZE);
	guest_write(&session->guest, status_at, &status, 1);
	cut_request(&pieces, layout, out);
	assert_true(session_submit(session, 0, pieces.buffers, pieces.count,
				   layout->indirect) >= 0);
	must(session_wait(session, 0, &used));
	assert_int_equal(used.length, out ? 1 : SIZE + 1);
	guest_read(&session->guest, status_at, &status, 1);
	assert_int_equal(status, BLK_OK);
	if (!out)
		guest_read(&session->guest, layout->writable, data, SIZE);
}

/* Writes, looks at the file, reads. */
static void round_trip(struct fixture *f, const struct layout *layout,
		       uint64_t seed)
{
	uint64_t sector = seed % 1000 * 2;
	uint8_t out[SIZE], in[SIZE] = {0};

	blk_pattern(out, SIZE, seed << 20);
	transfer(f, layout, true, sector, out);
	assert_int_equal(
	    pread(f->server.place.file, in, SIZE, (off_t)(sector * BLK_SECTOR)),
	    SIZE);
	assert_memory_equal(in, out, SIZE);
	memset(in, 0, SIZE);
	transfer(f, layout, false, sector, in);
	assert_memory_equal(in, out, SIZE);
}

static void round_trips(struct fixture *f, uint64_t readable, uint64_t writable,
			bool indirect)
{
	static const uint32_t header_cuts[] = {1, 3, 8, 15, WHOLE};
	static const uint32_t data_cuts[] = {11, 64, 512, WHOLE};
	unsigned int i;

	for (i = 0; i < 5 * 4 * 2; i++) {
		struct layout layout = {
		    .readable = readable,
		    .writable = writable,
		    .header_cut = header_cuts[i % 5],
		    .data_cut = data_cuts[i / 5 % 4],
		    .merged = i / 20 != 0,
		    .indirect = indirect,
		};

		round_trip(f, &layout, i + 1);
	}
}

static void open_with(struct fixture *f, uint64_t not_features)
{
	struct session_opts opts = {
	    .regions = 3,
	    .queue_size = 256,
	    .table_entries = 256,
	    .not_features = not_features,
	};

	start_blk(f, 1);
	new_session(f, &opts);
	start_session(f);
}

static void any_layout(struct fixture *f, uint64_t not_features)
{
	uint64_t readable, writable, edge;
	const struct fe_region *regions = f->session.guest.regions;

	open_with(f, not_features);
	readable = guest_alloc(&f->session.guest, 2 * SIZE, 64);
	writable = guest_alloc(&f->session.guest, 2 * SIZE, 64);
	round_trips(f, readable, writable, false);
	if (f->session.features & FE_F_INDIRECT)
		round_trips(f, readable + 1, writable + 3, true);
	/* over the edge between two regions: header, data and both */
	for (edge = 1; edge < SIZE; edge += 340) {
		readable = regions[1].guest - edge;
		writable = regions[2].guest - edge;
		round_trips(f, readable, writable, false);
	}
	round_trips(f, regions[1].guest - 7, regions[2].guest - SIZE, false);
}

static void test_conformance_data_any_layout(void **state)
{
	any_layout(*state, 0);
}

static void test_conformance_data_any_layout_without_event_idx(void **state)
{
	any_layout(*state, FE_F_EVENT_IDX);
}

static void test_conformance_data_any_layout_without_indirect(void **state)
{
	any_layout(*state, FE_F_INDIRECT);
}

static void fill_disk(struct fixture *f, uint8_t *model, size_t size)
{
	blk_pattern(model, size, 99);
	assert_int_equal(pwrite(f->server.place.file, model, size, 0), size);
}

/* 70,000 requests: the free-running index goes round. */
static void test_conformance_data_beyond_65536_requests(void **state)
{
	enum { DEPTH = 64, REQUESTS = 70000, SECTORS = 4096 };
	struct fixture *f = *state;
	struct session_opts opts = {.polled = true, .queue_size = 256};
	uint8_t *model = malloc((size_t)SECTORS * BLK_SECTOR);
	struct blk *blk = &f->blk[0];
	unsigned int sent, done, slot;
	uint64_t place[DEPTH];

	assert_non_null(model);
	start_blk(f, 1);
	fill_disk(f, model, (size_t)SECTORS * BLK_SECTOR);
	new_session(f, &opts);
	start_session(f);
	must(blk_new(blk, &f->session, 0, DEPTH, BLK_SECTOR));
	for (sent = 0, done = 0; done < REQUESTS; done++) {
		if (sent < DEPTH) {
			slot = sent;
			done--;
		} else {
			must(blk_wait(blk, &slot));
			assert_memory_equal(blk_data(blk, slot),
					    model + place[slot] * BLK_SECTOR,
					    BLK_SECTOR);
		}
		place[slot] = sent * UINT64_C(2654435761) % SECTORS;
		must(blk_submit(blk, slot, BLK_IN, place[slot], BLK_SECTOR));
		sent++;
	}
	while (driver_ring_inflight(f->session.queues[0].ring) > 0)
		must(blk_wait(blk, &slot));
	must(session_stop_queue(&f->session, 0));
	assert_int_equal(f->session.queues[0].base, sent % 65536);
	free(model);
}

/*
 * Several queues at once, one thread each; each slot of each queue has its
 * own part of the disk and knows what must be there.
 */
enum {
	QUEUES = 4,
	DEPTH = 8,
	PART = 64 * 1024,
	PIECE = 4096,
	PIECES = PART / PIECE,
};

struct writer {
	struct fixture *f;
	unsigned int queue;
	uint8_t *model; /* of this queue's parts */
	uint64_t random;
	struct {
		uint32_t type;
		unsigned int piece;
	} slots[DEPTH];
	int error;
};

static uint64_t sector_of(const struct writer *writer, unsigned int slot,
			  unsigned int piece)
{
	uint64_t part = (uint64_t)writer->queue * DEPTH + slot;

	return (part * PART + (uint64_t)piece * PIECE) / BLK_SECTOR;
}

static int next_request(struct writer *writer, unsigned int slot)
{
	static const uint32_t types[] = {BLK_IN, BLK_OUT, BLK_OUT, BLK_FLUSH};
	struct blk *blk = &writer->f->blk[writer->queue];
	uint64_t random = writer->random;
	unsigned int piece = (unsigned int)(random >> 40) % PIECES;
	uint32_t type = types[(random >> 33) % 4];
	uint8_t *model = writer->model + slot * PART + piece * PIECE;

	writer->random = random * UINT64_C(6364136223846793005) + 1;
	writer->slots[slot].type = type;
	writer->slots[slot].piece = piece;
	if (type == BLK_OUT) {
		blk_pattern(model, PIECE, random);
		memcpy(blk_data(blk, slot), model, PIECE);
	}
	return blk_submit(blk, slot, type,
			  type == BLK_FLUSH ? 0
					    : sector_of(writer, slot, piece),
			  type == BLK_FLUSH ? 0 : PIECE);
}

static int check_request(const struct writer *writer, unsigned int slot)
{
	const uint8_t *model =
	    writer->model + slot * PART + writer->slots[slot].piece * PIECE;
	struct blk *blk = &writer->f->blk[writer->queue];

	if (writer->slots[slot].type != BLK_IN)
		return 0;
	return memcmp(blk_data(blk, slot), model, PIECE) == 0 ? 0 : -EIO;
}

static void *write_and_read(void *user)
{
	struct writer *writer = user;
	struct blk *blk = &writer->f->blk[writer->queue];
	unsigned int slot, i;
	int ret = 0;

	for (slot = 0; ret == 0 && slot < DEPTH; slot++)
		ret = next_request(writer, slot);
	for (i = 0; ret == 0 && i < 2000; i++) {
		ret = blk_wait(blk, &slot);
		if (ret == BLK_OK)
			ret = check_request(writer, slot);
		if (ret == 0)
			ret = next_request(writer, slot);
	}
	for (i = 0; ret == 0 && i < DEPTH; i++)
		ret = blk_wait(blk, &slot);
	writer->error = ret;
	return NULL;
}

static void run_writers(struct fixture *f, uint8_t *model)
{
	struct writer writers[QUEUES];
	pthread_t threads[QUEUES];
	unsigned int i;

	for (i = 0; i < QUEUES; i++) {
		writers[i] = (struct writer){
		    .f = f,
		    .queue = i,
		    .model = model + (size_t)i * DEPTH * PART,
		    .random = 7 + i,
		};
		must(pthread_create(&threads[i], NULL, write_and_read,
				    &writers[i]));
	}
	for (i = 0; i < QUEUES; i++)
		must(pthread_join(threads[i], NULL));
	for (i = 0; i < QUEUES; i++)
		must(writers[i].error);
}

static void mixed(struct fixture *f, uint32_t engine, uint32_t workers,
		  bool indirect)
{
	const size_t size = (size_t)QUEUES * DEPTH * PART;
	struct server_opts server = {
	    .num_queues = QUEUES, .workers = workers, .engine = engine};
	struct session_opts opts = {.num_queues = QUEUES};
	uint8_t *model = malloc(size), *disk = malloc(size);
	unsigned int i;

	assert_true(model && disk);
	start_server(f, &server, false);
	fill_disk(f, model, size);
	new_session(f, &opts);
	start_session(f);
	for (i = 0; i < QUEUES; i++) {
		must(blk_new(&f->blk[i], &f->session, i, DEPTH, PIECE));
		f->blk[i].indirect = indirect;
	}
	run_writers(f, model);
	assert_int_equal(pread(f->server.place.file, disk, size, 0), size);
	assert_memory_equal(disk, model, size);
	free(model);
	free(disk);
}

static void test_conformance_data_four_queues_four_workers(void **state)
{
	mixed(*state, VH_BLK_ENGINE_AUTO, 4, true);
}

static void test_conformance_data_four_queues_two_workers(void **state)
{
	mixed(*state, VH_BLK_ENGINE_SYNC, 2, false);
}

static void test_conformance_data_four_queues_one_worker(void **state)
{
	mixed(*state, VH_BLK_ENGINE_AUTO, 1, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    fixture_test(test_conformance_data_any_layout),
	    fixture_test(test_conformance_data_any_layout_without_event_idx),
	    fixture_test(test_conformance_data_any_layout_without_indirect),
	    fixture_test(test_conformance_data_beyond_65536_requests),
	    fixture_test(test_conformance_data_four_queues_four_workers),
	    fixture_test(test_conformance_data_four_queues_two_workers),
	    fixture_test(test_conformance_data_four_queues_one_worker),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
