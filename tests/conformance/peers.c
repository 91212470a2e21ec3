/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Front-ends that send in pieces, stop, leave in the middle of something,
 * or never read what is answered. The server neither hangs nor leaks, and
 * other devices of the same process notice nothing.
 */
#include "fixture.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define SHORT_MS                                                               \
	300 /* the server's patience, where a test waits for its end           \
	     */

static void open_impatient(struct fixture *f)
{
	struct server_opts opts = {.num_queues = 1, .timeout_ms = SHORT_MS};

	start_server(f, &opts, false);
	new_session(f, NULL);
	connect_session(f);
}

static void session_in_chunks(struct fixture *f, size_t chunk)
{
	struct session_opts opts = {.num_queues = 2};

	start_blk(f, 2);
	new_session(f, &opts);
	connect_session(f);
	f->session.fe.chunk = chunk;
	must(session_start(&f->session));
	make_blks(f, 8192);
	must_live(f);
	must(session_stop_queue(&f->session, 0));
	must(session_start_queue(&f->session, 0));
	must_live(f);
	fixture_close(f);
}

static void test_conformance_peer_sends_in_pieces(void **state)
{
	static const size_t chunks[] = {1, 2, 5, 11, 12, 13, 20};
	unsigned int i;

	for (i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++)
		session_in_chunks(*state, chunks[i]);
}

/* Several messages in one go, a part of the next one with them. */
static void test_conformance_peer_sends_many_at_once(void **state)
{
	struct fixture *f = *state;
	uint8_t bytes[10 * FE_HEADER];
	unsigned int i;

	start_blk(f, 1);
	new_session(f, NULL);
	connect_session(f);
	for (i = 0; i < 10; i++) {
		put32(bytes, i * FE_HEADER, FE_GET_FEATURES);
		put32(bytes, i * FE_HEADER + 4, FE_VERSION);
		put32(bytes, i * FE_HEADER + 8, 0);
	}
	must(fe_send_bytes(&f->session.fe, bytes, 9 * FE_HEADER + 5, NULL, 0));
	must(fe_send_bytes(&f->session.fe, bytes + 9 * FE_HEADER + 5, 7, NULL,
			   0));
	for (i = 0; i < 10; i++) {
		struct fe_reply reply;

		must(fe_receive_for(&f->session.fe, FE_GET_FEATURES, &reply));
	}
	must_serve_another(f);
}

/* A SET_MEM_TABLE with its descriptor, up to this byte. */
static void leave_after(struct fixture *f, size_t length, bool with_fd)
{
	uint8_t bytes[FE_HEADER + 40] = {0};
	const struct fe_region *region = &f->session.guest.regions[0];

	connect_session(f);
	put32(bytes, 0, FE_SET_MEM_TABLE);
	put32(bytes, 4, FE_VERSION);
	put32(bytes, 8, 40);
	put32(bytes, FE_HEADER, 1);
	fe_pack_region(bytes + FE_HEADER + 8, region);
	must(
	    fe_send_bytes(&f->session.fe, bytes, length, &region->fd, with_fd));
	fe_close(&f->session.fe);
}

static void test_conformance_peer_leaves_in_a_message(void **state)
{
	struct fixture *f = *state;
	struct resources before;
	size_t length;

	start_blk(f, 1);
	new_session(f, NULL);
	before = resources_now();
	for (length = 1; length <= FE_HEADER + 40; length++) {
		leave_after(f, length, true);
		leave_after(f, length, false);
	}
	must(resources_wait(&before));
	must_serve_another(f);
}

static void test_conformance_peer_stops_in_a_message(void **state)
{
	static const size_t lengths[] = {1, 11, 12, 13, 19};
	struct fixture *f = *state;
	uint8_t bytes[FE_HEADER + 8] = {0};
	unsigned int i;

	open_impatient(f);
	put32(bytes, 0, FE_SET_FEATURES);
	put32(bytes, 4, FE_VERSION);
	put32(bytes, 8, 8);
	for (i = 0; i < 5; i++) {
		int fd = f->session.guest.fd;

		must(fe_send_bytes(&f->session.fe, bytes, lengths[i], &fd, 1));
		must(fe_wait_closed(&f->session.fe));
		connect_session(f);
	}
	must_serve_another(f);
}

/* Between messages there is no hurry. */
static void test_conformance_peer_takes_its_time(void **state)
{
	struct fixture *f = *state;

	open_impatient(f);
	must(session_start(&f->session));
	make_blks(f, 8192);
	usleep(3 * SHORT_MS * 1000);
	must_live(f);
}

/* Asks and asks until nothing more goes through. */
static void ask_without_reading(struct fixture *f)
{
	struct fe_message message = {.id = FE_GET_FEATURES,
				     .flags = FE_VERSION};
	int ret = 0;

	f->session.fe.timeout_ms = 50;
	while (ret == 0)
		ret = fe_send(&f->session.fe, &message);
	assert_true(ret == -ETIMEDOUT || ret == -EPIPE);
	f->session.fe.timeout_ms = FE_TIMEOUT_MS;
}

static void test_conformance_peer_never_reads(void **state)
{
	struct fixture *f = *state, *other;

	must(fixture_setup((void **)&other));
	open_blk(other, 1);
	open_impatient(f);
	ask_without_reading(f);
	must_live(other);
	must_serve_another(f);
	must_live(other);
	fixture_close(other);
	free(other);
}

/* One with all the time of the world doesn't stop the server's end. */
static void test_conformance_peer_never_reads_and_the_server_ends(void **state)
{
	struct fixture *f = *state;

	start_blk(f, 1);
	new_session(f, NULL);
	connect_session(f);
	ask_without_reading(f);
	fixture_close(f);
}

static void test_conformance_peer_leaves_before_the_answer(void **state)
{
	struct fixture *f = *state;
	struct resources before;
	unsigned int i, j;

	start_blk(f, 1);
	new_session(f, NULL);
	before = resources_now();
	for (i = 0; i < 200; i++) {
		struct fe_message message = {.id = FE_GET_FEATURES,
					     .flags = FE_VERSION};

		connect_session(f);
		for (j = 0; j < 20; j++)
			must(fe_send(&f->session.fe, &message));
		fe_close(&f->session.fe);
	}
	must(resources_wait(&before));
	must_serve_another(f);
}

/*
 * They belong to the first byte of a header. The kernel may join what was
 * sent in two, so the server can't always tell: it closes, or takes them.
 */
static void test_conformance_peer_sends_descriptors_late(void **state)
{
	struct fixture *f = *state;
	struct resources before;
	uint8_t bytes[FE_HEADER + 40] = {0};
	size_t at;

	start_blk(f, 1);
	new_session(f, NULL);
	before = resources_now();
	put32(bytes, 0, FE_SET_MEM_TABLE);
	put32(bytes, 4, FE_VERSION);
	put32(bytes, 8, 40);
	put32(bytes, FE_HEADER, 1);
	fe_pack_region(bytes + FE_HEADER + 8, &f->session.guest.regions[0]);
	for (at = 1; at < sizeof(bytes); at += 3) {
		struct frontend *fe = &f->session.fe;
		int fd = f->session.guest.fd;
		int ret;

		connect_session(f);
		must(fe_send_bytes(fe, bytes, at, NULL, 0));
		ret = fe_send_bytes(fe, bytes + at, sizeof(bytes) - at, &fd, 1);
		if (ret == 0)
			ret = fe_sync(fe);
		assert_true(ret == 0 || ret == -EPIPE);
		fe_close(fe);
	}
	must(resources_wait(&before));
	must_serve_another(f);
}

/* More than anybody has room for: the kernel truncates. */
static void test_conformance_peer_sends_too_many_descriptors(void **state)
{
	struct fixture *f = *state;
	struct resources before;
	int fds[FE_MAX_FDS];
	unsigned int i, count;

	start_blk(f, 1);
	new_session(f, NULL);
	before = resources_now();
	for (i = 0; i < FE_MAX_FDS; i++)
		fds[i] = f->session.guest.fd;
	for (count = 9; count <= FE_MAX_FDS; count++) {
		struct fe_message message = {.id = FE_SET_OWNER,
					     .flags = FE_VERSION,
					     .fds = fds,
					     .num_fds = count};

		connect_session(f);
		must(fe_send(&f->session.fe, &message));
		must(fe_wait_closed(&f->session.fe));
		fe_close(&f->session.fe);
		must(resources_wait(&before));
	}
	must_serve_another(f);
}

/* Who comes while another is served waits for its turn. */
static void test_conformance_peer_waits_for_its_turn(void **state)
{
	struct fixture *f = *state;
	struct frontend second;

	open_blk(f, 1);
	must(fe_connect(&second, f->server.place.socket));
	must_live(f);
	fe_close(&f->session.fe);
	must(fe_sync(&second));
	fe_close(&second);
	must_serve_another(f);
}

/* In the middle of I/O; what was in flight is finished or forgotten. */
static void test_conformance_peer_leaves_under_load(void **state)
{
	struct fixture *f = *state;
	unsigned int i, slot;

	start_blk(f, 2);
	for (i = 0; i < 50; i++) {
		struct session_opts opts = {.num_queues = 2};

		new_session(f, &opts);
		start_session(f);
		make_blks(f, 8192);
		for (slot = 0; slot < 4; slot++) {
			must(blk_submit(&f->blk[0], slot, BLK_IN, slot, 8192));
			must(blk_submit(&f->blk[1], slot, BLK_OUT, slot, 512));
		}
		fe_close(&f->session.fe);
	}
	must_serve_another(f);
}

static void test_conformance_peer_leaves_while_requests_are_held(void **state)
{
	struct fixture *f = *state;
	struct driver_buffer buffers[2] = {{.length = 64},
					   {.length = 64, .write = true}};
	unsigned int i;

	open_echo(f, 1);
	buffers[0].gpa = guest_alloc(&f->session.guest, 64, 64);
	buffers[1].gpa = guest_alloc(&f->session.guest, 64, 64);
	for (i = 0; i < 20; i++) {
		echo_hold(f->server.echo);
		assert_true(session_submit(&f->session, 0, buffers, 2, false) >=
			    0);
		must(echo_wait_held(f->server.echo, 1));
		fe_close(&f->session.fe);
		echo_release(f->server.echo);
		start_session(f);
		must_echo(f, 0, 100);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    fixture_test(test_conformance_peer_sends_in_pieces),
	    fixture_test(test_conformance_peer_sends_many_at_once),
	    fixture_test(test_conformance_peer_leaves_in_a_message),
	    fixture_test(test_conformance_peer_stops_in_a_message),
	    fixture_test(test_conformance_peer_takes_its_time),
	    fixture_test(test_conformance_peer_never_reads),
	    fixture_test(test_conformance_peer_never_reads_and_the_server_ends),
	    fixture_test(test_conformance_peer_leaves_before_the_answer),
	    fixture_test(test_conformance_peer_sends_descriptors_late),
	    fixture_test(test_conformance_peer_sends_too_many_descriptors),
	    fixture_test(test_conformance_peer_waits_for_its_turn),
	    fixture_test(test_conformance_peer_leaves_under_load),
	    fixture_test(test_conformance_peer_leaves_while_requests_are_held),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
