/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The dirty log, as a front-end that migrates sees it (vhost-user,
 * "Migration"): what was written is marked by the time that its completion
 * is seen, and nothing else ever is.
 */
#include "driven.h"

#include <sys/eventfd.h>
#include <sys/mman.h>

#define PAGE	  4096
#define LOG_FD_AT 4109 /* the log begins there: no multiple of anything */
#define GUARD	  64
#define AREA	  (16 * PAGE)
#define RING_LOG  (GUEST_BASE - 0x10000) /* where no memory is */
#define FILLED	  0xa5			 /* what is around the log */

struct bench {
	struct fixture *f;
	struct driven d;
	bool packed;
	uint64_t area; /* 32 pages; what is written is in the second half */
	int log_fd;
	int event;
	size_t log_size;
	size_t map_size;
	uint8_t *map;
	uint8_t *log;
	uint64_t top; /* pages that there are bits for */
};

static void make_log(struct bench *b, size_t size)
{
	b->log_size = size;
	b->map_size = LOG_FD_AT + size + GUARD;
	b->log_fd = memfd_create("log", MFD_CLOEXEC);
	assert_true(b->log_fd >= 0);
	must(ftruncate(b->log_fd, (off_t)b->map_size));
	b->map = mmap(NULL, b->map_size, PROT_READ | PROT_WRITE, MAP_SHARED,
		      b->log_fd, 0);
	assert_true(b->map != MAP_FAILED);
	memset(b->map, FILLED, b->map_size);
	b->log = b->map + LOG_FD_AT;
	memset(b->log, 0, size);
	b->top = size * 8;
}

static void free_log(struct bench *b)
{
	munmap(b->map, b->map_size);
	close(b->log_fd);
}

static void open_bench(struct bench *b, struct fixture *f, uint64_t features)
{
	struct session_opts opts = {.num_queues = 1};

	*b = (struct bench){.f = f, .packed = features & FE_F_PACKED};
	start_echo(f, 1);
	driven_session(f, &opts, features | FE_F_LOG_ALL, FE_PF_LOG_SHMFD);
	/* not from the start */
	must(fe_set_u64(&f->session.fe, FE_SET_FEATURES,
			f->session.features & ~FE_F_LOG_ALL));
	make_log(b, (size_t)(guest_end(&f->session.guest) / PAGE + 7) / 8);
	driven_make(&b->d, &f->session, 0, 64, 0);
	b->d.log = RING_LOG;
	b->area = guest_alloc(&f->session.guest, 2 * AREA, PAGE);
	b->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_true(b->event >= 0);
	driven_start(&b->d);
}

/* The guards are as they were. */
static void close_bench(struct bench *b)
{
	size_t i;

	for (i = 0; i < b->map_size; i++)
		if (b->map + i < b->log || b->map + i >= b->log + b->log_size)
			assert_int_equal(b->map[i], FILLED);
	driven_free(&b->d);
	free_log(b);
	close(b->event);
}

static int log_features(struct bench *b, bool on)
{
	uint64_t features = b->f->session.features;

	return fe_set_u64(&b->f->session.fe, FE_SET_FEATURES,
			  on ? features : features & ~FE_F_LOG_ALL);
}

/* As QEMU does it, with the rings running. */
static void switch_log(struct bench *b, bool on)
{
	struct frontend *fe = &b->f->session.fe;

	if (on)
		must(fe_set_log_base(fe, b->log_size, LOG_FD_AT, b->log_fd));
	must(log_features(b, on));
	b->d.flags = on;
	must(driven_set_addr(&b->d));
	must(fe_sync(fe));
}

static bool is_marked(const struct bench *b, uint64_t page)
{
	return page < b->top &&
	       __atomic_load_n(&b->log[page / 8], __ATOMIC_ACQUIRE) >>
		       page % 8 &
		   1;
}

static void clear_log(struct bench *b)
{
	size_t i;

	for (i = 0; i < b->log_size; i++)
		__atomic_store_n(&b->log[i], 0, __ATOMIC_RELAXED);
}

static void must_be_clear(const struct bench *b)
{
	size_t i;

	for (i = 0; i < b->log_size; i++)
		assert_int_equal(b->log[i], 0);
}

/* The pages of the ring that may be marked at any time. */
static bool is_ring(const struct bench *b, uint64_t page)
{
	uint64_t size = vh_driver_queue_size(b->d.num, b->f->session.features,
					     b->d.table_entries);

	if (page == RING_LOG / PAGE)
		return true;
	return b->packed && page >= b->d.block / PAGE &&
	       page <= (b->d.block + size - 1) / PAGE;
}

/*
 * size bytes at `at` were written: their pages are marked, and no others but
 * the ring's, of which at least one is if it is logged.
 */
static void must_have_marked(const struct bench *b, uint64_t at, uint64_t size)
{
	uint64_t first = at / PAGE, end = size ? (at + size - 1) / PAGE + 1 : 0;
	bool ring = false;
	uint64_t page;

	for (page = first; page < end; page++)
		assert_true(is_marked(b, page));
	for (page = 0; page < b->top; page++) {
		if (!is_marked(b, page) || (page >= first && page < end))
			continue;
		if (!is_ring(b, page))
			fail_msg("page 0x%llx is marked",
				 (unsigned long long)page);
		ring = true;
	}
	assert_int_equal(ring, b->d.flags);
}

/* One request that writes `size` of `room` bytes; then what is marked. */
static void write_some(struct bench *b, uint64_t at, uint32_t size,
		       uint32_t room)
{
	const struct iovec readable = driven_iov(b->area, size);
	const struct iovec writable = driven_iov(at, room);
	struct vh_driver_used used;

	driven_add(&b->d, &readable, 1, &writable, 1, b);
	must(driven_wait(&b->d, &used));
	assert_int_equal(used.written, size);
}

static void write_and_look(struct bench *b, uint64_t at, uint32_t size,
			   uint32_t room)
{
	/* marks of the ring may still come from the request before */
	clear_log(b);
	write_some(b, at, size, room);
	must_have_marked(b, at, size);
}

static void read_only(struct bench *b)
{
	const struct iovec readable = driven_iov(b->area, AREA);
	struct vh_driver_used used;

	clear_log(b);
	driven_add(&b->d, &readable, 1, NULL, 0, b);
	must(driven_wait(&b->d, &used));
	must_have_marked(b, 0, 0);
}

static void every_byte(struct fixture *f, uint64_t features)
{
	const uint64_t edge = GUEST_BASE + (UINT64_C(4) << 20);
	struct bench b;
	uint64_t to;

	open_bench(&b, f, features);
	to = b.area + AREA;
	write_some(&b, to, 5000, 5000);
	must_be_clear(&b);
	switch_log(&b, true);
	write_and_look(&b, to, 1, 1);
	write_and_look(&b, to + 4095, 1, 1);
	write_and_look(&b, to + 4095, 2, 2);
	write_and_look(&b, to, 4096, 4096);
	write_and_look(&b, to + 1, 4096, 4096);
	write_and_look(&b, to + 100, 40000, 40000);
	/* no more than was written of what could have been */
	write_and_look(&b, to, 1, 40000);
	write_and_look(&b, to + 4000, 96, 40000);
	write_and_look(&b, to + 4000, 97, 40000);
	/* from one region into the next, and the last bytes of all */
	write_and_look(&b, edge - 1, 2, 2);
	write_and_look(&b, edge - 5000, 9000, 10000);
	write_and_look(&b, guest_end(&f->session.guest) - 1, 1, 1);
	read_only(&b);
	close_bench(&b);
}

static void test_conformance_dirty_log_every_byte_split(void **state)
{
	every_byte(*state, 0);
}

static void test_conformance_dirty_log_every_byte_packed(void **state)
{
	every_byte(*state, FE_F_PACKED);
}

/* In pieces: those that were written, and not those behind. */
static void pieces(struct fixture *f, uint64_t features)
{
	struct iovec readable, writable[3];
	struct vh_driver_used used;
	struct bench b;
	uint64_t to, page;

	open_bench(&b, f, features);
	switch_log(&b, true);
	clear_log(&b);
	to = b.area + AREA;
	readable = driven_iov(b.area, 3000);
	writable[0] = driven_iov(to + 5 * PAGE, 1000);
	writable[1] = driven_iov(to + 1 * PAGE + 4000, 2000);
	writable[2] = driven_iov(to + 9 * PAGE, 1000);
	driven_add(&b.d, &readable, 1, writable, 3, &b);
	must(driven_wait(&b.d, &used));
	for (page = 0; page < AREA / PAGE; page++)
		assert_int_equal(is_marked(&b, to / PAGE + page),
				 page == 5 || page == 1 || page == 2);
	close_bench(&b);
}

static void test_conformance_dirty_log_pieces_split(void **state)
{
	pieces(*state, 0);
}

static void test_conformance_dirty_log_pieces_packed(void **state)
{
	pieces(*state, FE_F_PACKED);
}

/* The ring's own flag and the features are two switches. */
static void switches(struct fixture *f, uint64_t features)
{
	struct bench b;
	uint64_t to;

	open_bench(&b, f, features);
	to = b.area + AREA;
	/* a log alone, and the ring's flag alone: nothing yet */
	must(fe_set_log_base(&f->session.fe, b.log_size, LOG_FD_AT, b.log_fd));
	write_some(&b, to, 100, 100);
	b.d.flags = 1;
	must(driven_set_addr(&b.d));
	write_some(&b, to, 100, 100);
	must_be_clear(&b);
	/* data alone */
	b.d.flags = 0;
	must(driven_set_addr(&b.d));
	must(log_features(&b, true));
	write_and_look(&b, to, 100, 100);
	switch_log(&b, true);
	write_and_look(&b, to, 100, 100);
	switch_log(&b, false);
	clear_log(&b);
	write_some(&b, to, 100, 100);
	must_be_clear(&b);
	/* a ring that is stopped and started again is still logged */
	switch_log(&b, true);
	driven_stop(&b.d);
	driven_start(&b.d);
	write_and_look(&b, to, 100, 100);
	driven_stop(&b.d);
	clear_log(&b);
	must(fe_sync(&f->session.fe));
	must_be_clear(&b);
	close_bench(&b);
}

static void test_conformance_dirty_log_switches_split(void **state)
{
	switches(*state, 0);
}

static void test_conformance_dirty_log_switches_packed(void **state)
{
	switches(*state, FE_F_PACKED);
}

/* What was taken before is done before the answer comes. */
static void switched_in_flight(struct fixture *f, uint64_t features)
{
	const struct fe_message on = {
	    .id = FE_SET_FEATURES,
	    .flags = FE_VERSION | FE_NEED_REPLY,
	    .size = 8,
	    .payload = &f->session.features,
	    .length = 8,
	};
	struct iovec readable, writable;
	struct vh_driver_used used;
	struct fe_reply reply;
	struct bench b;
	uint64_t to;
	unsigned int i;

	open_bench(&b, f, features);
	must(fe_set_log_base(&f->session.fe, b.log_size, LOG_FD_AT, b.log_fd));
	to = b.area + AREA;
	readable = driven_iov(b.area, 64);
	echo_hold(f->server.echo);
	for (i = 0; i < 5; i++) {
		writable = driven_iov(to + (uint64_t)i * PAGE, 64);
		driven_add(&b.d, &readable, 1, &writable, 1, &b);
	}
	must(echo_wait_held(f->server.echo, 5));
	must(fe_send(&f->session.fe, &on));
	echo_release(f->server.echo);
	must(fe_receive_for(&f->session.fe, FE_SET_FEATURES, &reply));
	assert_int_equal(get64(reply.payload), 0);
	for (i = 0; i < 5; i++)
		must(driven_wait(&b.d, &used));
	write_and_look(&b, to, 100, 100);
	close_bench(&b);
}

static void test_conformance_dirty_log_switched_in_flight_split(void **state)
{
	switched_in_flight(*state, 0);
}

static void test_conformance_dirty_log_switched_in_flight_packed(void **state)
{
	switched_in_flight(*state, FE_F_PACKED);
}

static void test_conformance_dirty_log_signals(void **state)
{
	struct fixture *f = *state;
	struct bench b;
	uint64_t value;

	open_bench(&b, f, 0);
	must(fe_set_fd(&f->session.fe, FE_SET_LOG_FD, b.event));
	write_some(&b, b.area + AREA, 100, 100);
	assert_int_equal(read(b.event, &value, 8), -1);
	switch_log(&b, true);
	write_some(&b, b.area + AREA, 100, 100);
	must(fe_wait_readable(b.event, FE_TIMEOUT_MS));
	assert_int_equal(read(b.event, &value, 8), 8);
	switch_log(&b, false);
	(void)!read(b.event, &value, 8);
	write_some(&b, b.area + AREA, 100, 100);
	must(fe_sync(&f->session.fe));
	assert_int_equal(read(b.event, &value, 8), -1);
	must_refuse(fe_set_fd(&f->session.fe, FE_SET_LOG_FD, b.log_fd));
	write_some(&b, b.area + AREA, 100, 100);
	close_bench(&b);
}

/* Pages that it has no bit for are left out, and nothing is damaged. */
static void too_small(struct fixture *f, uint64_t features)
{
	struct bench b;
	uint64_t to, page;

	open_bench(&b, f, features);
	to = b.area + AREA;
	free_log(&b);
	/* the first bytes of the area have a bit */
	make_log(&b, (size_t)(to / PAGE / 8 + 1));
	switch_log(&b, true);
	write_some(&b, to, 60000, 60000);
	for (page = to / PAGE; page <= (to + 59999) / PAGE; page++)
		assert_int_equal(is_marked(&b, page), page < b.top);
	switch_log(&b, false);
	must(fe_set_log_base(&f->session.fe, 1, LOG_FD_AT, b.log_fd));
	clear_log(&b);
	must(log_features(&b, true));
	write_some(&b, to, 60000, 60000);
	must_be_clear(&b);
	close_bench(&b);
}

static void test_conformance_dirty_log_too_small_split(void **state)
{
	too_small(*state, 0);
}

static void test_conformance_dirty_log_too_small_packed(void **state)
{
	too_small(*state, FE_F_PACKED);
}

/* A log that can't be is refused, and the one before stays. */
static void test_conformance_dirty_log_refused(void **state)
{
	static const uint64_t wrong[][2] = {
	    {0, LOG_FD_AT},	    {UINT64_MAX, 1},
	    {1, UINT64_MAX},	    {UINT64_C(1) << 63, UINT64_C(1) << 63},
	    {8, UINT64_C(1) << 62}, {UINT64_C(1) << 40, 0},
	};
	struct fixture *f = *state;
	struct frontend *fe = &f->session.fe;
	struct bench b;
	unsigned int i;

	open_bench(&b, f, 0);
	switch_log(&b, true);
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		must_refuse(
		    fe_set_log_base(fe, wrong[i][0], wrong[i][1], b.log_fd));
	must_refuse(
	    fe_set_log_base(fe, b.log_size + GUARD + 1, LOG_FD_AT, b.log_fd));
	must_refuse(fe_set_log_base(fe, 8, 0, b.event));
	write_and_look(&b, b.area + AREA, 100, 100);
	close_bench(&b);
}

/* Without REPLY_ACK there is a reply nevertheless, and one only. */
static void test_conformance_dirty_log_reply_always(void **state)
{
	struct fixture *f = *state;
	struct bench b;

	open_bench(&b, f, 0);
	f->session.fe.acks = false;
	must(fe_set_log_base(&f->session.fe, b.log_size, LOG_FD_AT, b.log_fd));
	must(fe_sync(&f->session.fe));
	/* a negative one might not be looked at: the connection ends */
	assert_int_equal(fe_set_log_base(&f->session.fe, 0, 0, b.log_fd),
			 -EPIPE);
	close_bench(&b);
	must_serve_another(f);
}

/* Without LOG_SHMFD there is nothing that could be mapped. */
static void test_conformance_dirty_log_without_shmfd(void **state)
{
	struct fixture *f = *state;
	struct vh_fault fault;

	open_echo(f, 1);
	must_refuse(fe_set_u64(&f->session.fe, FE_SET_LOG_BASE, 0x1000));
	vh_user_server_fault(f->server.server, &fault);
	assert_int_equal(fault.code, VH_FAULT_UNSUPPORTED);
	must_live(f);
}

/* QEMU gives a larger one when memory grows. */
static void replaced(struct fixture *f, uint64_t features)
{
	struct bench b, old;
	uint64_t to;

	open_bench(&b, f, features);
	to = b.area + AREA;
	switch_log(&b, true);
	write_and_look(&b, to, 100, 100);
	old = b;
	make_log(&b, b.log_size + 10);
	must(fe_set_log_base(&f->session.fe, b.log_size, LOG_FD_AT, b.log_fd));
	clear_log(&old);
	write_and_look(&b, to + 5000, 100, 100);
	must_be_clear(&old);
	free_log(&old);
	close_bench(&b);
}

static void test_conformance_dirty_log_replaced_split(void **state)
{
	replaced(*state, 0);
}

static void test_conformance_dirty_log_replaced_packed(void **state)
{
	replaced(*state, FE_F_PACKED);
}

/* Memory that comes after the log is logged, too. */
static void test_conformance_dirty_log_memory_that_comes_later(void **state)
{
	struct fixture *f = *state;
	struct fe_region region;
	struct iovec writable;
	struct vh_driver_used used;
	struct bench b;
	int fd;

	open_bench(&b, f, 0);
	free_log(&b);
	region = (struct fe_region){
	    .guest = guest_end(&f->session.guest) + 0x10000,
	    .size = 0x10000,
	    .user = 0x5550000000,
	    .fd = memfd_create("more", MFD_CLOEXEC),
	};
	fd = region.fd;
	must(ftruncate(fd, 0x10000));
	make_log(&b, (size_t)(region.guest + region.size) / PAGE / 8 + 1);
	switch_log(&b, true);
	must(fe_add_region(&f->session.fe, &region));
	clear_log(&b);
	writable = driven_iov(region.guest + 0x5ff0, 0x20);
	driven_add(&b.d, (struct iovec[]){driven_iov(b.area, 0x20)}, 1,
		   &writable, 1, &b);
	must(driven_wait(&b.d, &used));
	must_have_marked(&b, region.guest + 0x5ff0, 0x20);
	close(fd);
	close_bench(&b);
}

/* After a reset or another front-end the old log is left alone. */
static void test_conformance_dirty_log_ends(void **state)
{
	struct fixture *f = *state;
	struct bench b;

	open_bench(&b, f, 0);
	switch_log(&b, true);
	write_and_look(&b, b.area + AREA, 100, 100);
	must(fe_command(&f->session.fe, FE_RESET_DEVICE));
	must(log_features(&b, false));
	driven_renew(&b.d);
	b.d.flags = 0;
	driven_start(&b.d);
	clear_log(&b);
	write_some(&b, b.area + AREA, 100, 100);
	must_be_clear(&b);
	driven_free(&b.d);
	must_serve_another(f);
	must_be_clear(&b);
	close_bench(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    fixture_test(test_conformance_dirty_log_every_byte_split),
	    fixture_test(test_conformance_dirty_log_every_byte_packed),
	    fixture_test(test_conformance_dirty_log_pieces_split),
	    fixture_test(test_conformance_dirty_log_pieces_packed),
	    fixture_test(test_conformance_dirty_log_switches_split),
	    fixture_test(test_conformance_dirty_log_switches_packed),
	    fixture_test(test_conformance_dirty_log_switched_in_flight_split),
	    fixture_test(test_conformance_dirty_log_switched_in_flight_packed),
	    fixture_test(test_conformance_dirty_log_signals),
	    fixture_test(test_conformance_dirty_log_too_small_split),
	    fixture_test(test_conformance_dirty_log_too_small_packed),
	    fixture_test(test_conformance_dirty_log_refused),
	    fixture_test(test_conformance_dirty_log_reply_always),
	    fixture_test(test_conformance_dirty_log_without_shmfd),
	    fixture_test(test_conformance_dirty_log_replaced_split),
	    fixture_test(test_conformance_dirty_log_replaced_packed),
	    fixture_test(test_conformance_dirty_log_memory_that_comes_later),
	    fixture_test(test_conformance_dirty_log_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
