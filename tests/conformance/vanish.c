/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Guest memory that isn't there any more, because the front-end shrank its
 * file. The process survives, with vh_memory_catch_sigbus(); the device's
 * queues are broken, and other devices of the process go on.
 */
#include "fixture.h"

#include <signal.h>
#include <stdlib.h>

static struct fixture *other; /* in the same process */
static struct sigaction catcher;

/* cmocka has put its own handler there for the test. */
static void setup_other(void)
{
	must(sigaction(SIGBUS, &catcher, NULL));
	assert_int_equal(fixture_setup((void **)&other), 0);
	open_echo(other, 1);
}

static void end_other(void)
{
	must_live(other);
	fixture_close(other);
	free(other);
}

static void shrink(struct fixture *f)
{
	must(ftruncate(f->session.guest.fd, 0));
}

static void test_conformance_vanished_ring(void **state)
{
	struct fixture *f = *state;

	setup_other();
	open_echo(f, 1);
	must_live(f);
	shrink(f);
	must(session_kick(&f->session, 0));
	must(session_wait_err(&f->session, 0));
	must(fe_sync(&f->session.fe));
	must_live(other);
	must_serve_another(f);
	end_other();
}

/* While a request is with the device: it finds the hole, not the ring. */
static void test_conformance_vanished_buffers(void **state)
{
	struct fixture *f = *state;
	struct driver_buffer buffers[2] = {{.length = 512},
					   {.length = 512, .write = true}};

	setup_other();
	open_echo(f, 1);
	buffers[0].gpa = guest_alloc(&f->session.guest, 512, 64);
	buffers[1].gpa = guest_alloc(&f->session.guest, 512, 64);
	echo_hold(f->server.echo);
	assert_true(session_submit(&f->session, 0, buffers, 2, false) >= 0);
	must(echo_wait_held(f->server.echo, 1));
	shrink(f);
	echo_release(f->server.echo);
	must(session_wait_err(&f->session, 0));
	must_live(other);
	must_serve_another(f);
	end_other();
}

/* A disk writes what a hole gives it (zeroes) or refuses; it lives. */
static void test_conformance_vanished_memory_of_a_disk(void **state)
{
	struct fixture *f = *state;

	setup_other();
	open_blk(f, 1);
	must_live(f);
	shrink(f);
	must(session_kick(&f->session, 0));
	must(session_wait_err(&f->session, 0));
	must_live(other);
	must_serve_another(f);
	end_other();
}

/* The last page of the file is gone; rings and all else are before it. */
static uint64_t lose_a_page(struct fixture *f)
{
	const struct guest *guest = &f->session.guest;
	const struct fe_region *tail = &guest->regions[0];
	uint64_t end = tail->offset + tail->size;

	assert_true(tail->offset > guest->regions[1].offset);
	must(ftruncate(guest->fd, (off_t)(end - 4096)));
	return tail->guest + tail->size - 4096;
}

/* A request of a disk, its parts wherever they are. */
static int request(struct fixture *f, uint32_t type, uint64_t header,
		   uint64_t data, uint64_t status)
{
	struct driver_buffer buffers[3] = {
	    {.gpa = header, .length = 16},
	    {.gpa = data, .length = 512, .write = type == BLK_IN},
	    {.gpa = status, .length = 1, .write = true},
	};
	struct driver_used used;
	uint8_t byte;
	int ret;

	assert_true(session_submit(&f->session, 0, buffers, 3, false) >= 0);
	ret = session_wait(&f->session, 0, &used);
	if (ret < 0)
		return ret;
	guest_read(&f->session.guest, status, &byte, 1);
	return byte;
}

/* The kernel finds the hole: an error of that request, and of no other. */
static void vanished_data(struct fixture *f, uint32_t engine)
{
	struct server_opts opts = {.engine = engine};
	uint8_t before[512], after[512];
	uint64_t header, status, hole;

	setup_other();
	start_server(f, &opts, false);
	new_session(f, NULL);
	start_session(f);
	make_blks(f, 8192);
	must_live(f);
	assert_int_equal(pread(f->server.place.file, before, 512, 819200), 512);
	header = guest_alloc(&f->session.guest, 16, 64);
	status = guest_alloc(&f->session.guest, 1, 64);
	hole = lose_a_page(f);
	blk_put_header(&f->session, header, BLK_IN, 1600);
	assert_int_equal(request(f, BLK_IN, header, hole, status), BLK_IOERR);
	blk_put_header(&f->session, header, BLK_OUT, 1600);
	assert_int_equal(request(f, BLK_OUT, header, hole, status), BLK_IOERR);
	assert_int_equal(pread(f->server.place.file, after, 512, 819200), 512);
	assert_memory_equal(before, after, 512);
	must_live(f);
	must_live(other);
	fixture_close(f);
	end_other();
}

static void test_conformance_vanished_data_of_a_disk(void **state)
{
	vanished_data(*state, VH_BLK_ENGINE_SYNC);
	vanished_data(*state, VH_BLK_ENGINE_AUTO);
}

/* The disk itself finds the hole: what it read isn't to be relied on. */
static void test_conformance_vanished_header_of_a_disk(void **state)
{
	struct fixture *f = *state;
	uint64_t status, hole;

	setup_other();
	open_blk(f, 1);
	must_live(f);
	status = guest_alloc(&f->session.guest, 1024, 64);
	hole = lose_a_page(f);
	/* it may be answered before the hole is noticed */
	(void)request(f, BLK_IN, hole, status + 512, status);
	must(session_wait_err(&f->session, 0));
	must_live(other);
	must_serve_another(f);
	end_other();
}

static void test_conformance_vanished_data_of_a_null_store(void **state)
{
	struct server_opts opts = {.null = true};
	struct fixture *f = *state;
	uint64_t header, hole;

	setup_other();
	start_server(f, &opts, false);
	new_session(f, NULL);
	start_session(f);
	header = guest_alloc(&f->session.guest, 32, 64);
	blk_put_header(&f->session, header, BLK_IN, 0);
	hole = lose_a_page(f);
	(void)request(f, BLK_IN, header, hole, header + 16);
	must(session_wait_err(&f->session, 0));
	must_live(other);
	end_other();
}

/* One region is gone, the ring isn't in it: only who goes there suffers. */
static void test_conformance_vanished_region(void **state)
{
	struct fixture *f = *state;
	struct guest *guest;
	struct driver_buffer buffers[2] = {{.length = 64},
					   {.length = 64, .write = true}};
	struct fe_region tail;

	setup_other();
	open_echo(f, 2);
	guest = &f->session.guest;
	tail = guest->regions[0]; /* the last one in the file */
	assert_true(tail.offset > guest->regions[1].offset);
	/* rings are in region 0: cut behind them */
	buffers[0].gpa = tail.guest + tail.size - 4096;
	buffers[1].gpa = buffers[0].gpa + 64;
	must(ftruncate(guest->fd, (off_t)(tail.offset + tail.size - 4096)));
	assert_true(session_submit(&f->session, 0, buffers, 2, false) >= 0);
	must(session_wait_err(&f->session, 0));
	must(fe_sync(&f->session.fe));
	must_live(other);
	must_serve_another(f);
	end_other();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    fixture_test(test_conformance_vanished_ring),
	    fixture_test(test_conformance_vanished_buffers),
	    fixture_test(test_conformance_vanished_memory_of_a_disk),
	    fixture_test(test_conformance_vanished_data_of_a_disk),
	    fixture_test(test_conformance_vanished_header_of_a_disk),
	    fixture_test(test_conformance_vanished_data_of_a_null_store),
	    fixture_test(test_conformance_vanished_region),
	};

	if (vh_memory_catch_sigbus() < 0)
		return 1;
	sigaction(SIGBUS, NULL, &catcher);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
