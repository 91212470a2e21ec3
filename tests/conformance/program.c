/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The program vhost-blk (its path is the first argument), where a process of
 * its own matters: it is killed, it ends, its guest takes the memory away.
 */
#include "fixture.h"

#include <signal.h>
#include <sys/wait.h>

static const char *program;
static pid_t pid;

static void start_program(struct fixture *f)
{
	const char *const argv[] = {program,	       "--socket-path=SOCKET",
				    "--blk-file=DISK", "--num-queues=2",
				    "--workers=2",     NULL};

	pid = program_start(&f->server.place, argv);
	assert_true(pid > 0);
}

static void prepare(struct fixture *f)
{
	struct session_opts opts = {.num_queues = 2};

	must(place_make(&f->server.place, NULL, 8 << 20));
	new_session(f, &opts);
	start_program(f);
}

static void kill_program(void)
{
	must(kill(pid, SIGKILL));
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void end_program(void)
{
	assert_int_equal(program_stop(pid), 0);
}

/* Done is done, and what was under way is done again. */
static void test_conformance_program_is_killed(void **state)
{
	struct fixture *f = *state;
	unsigned int round, i, slot;
	uint8_t out[4][8192], in[8192];

	prepare(f);
	for (round = 0; round < 5; round++) {
		start_session(f);
		make_blks(f, 8192);
		must_do_io(f, 0, round);
		for (i = 0; i < 4; i++) {
			blk_pattern(out[i], 8192, 1000 * round + i);
			memcpy(blk_data(&f->blk[1], i), out[i], 8192);
			must(blk_submit(&f->blk[1], i, BLK_OUT, i * 16, 8192));
		}
		kill_program();
		start_program(f);
		/* as a driver that forgets what it had under way */
		start_session(f);
		make_blks(f, 8192);
		for (i = 0; i < 4; i++) {
			memcpy(blk_data(&f->blk[1], i), out[i], 8192);
			must(blk_submit(&f->blk[1], i, BLK_OUT, i * 16, 8192));
		}
		for (i = 0; i < 4; i++)
			must(blk_wait(&f->blk[1], &slot));
		for (i = 0; i < 4; i++) {
			must(blk_read(&f->blk[0], i * 16, in, 8192));
			assert_memory_equal(in, out[i], 8192);
		}
	}
	fe_close(&f->session.fe);
	end_program();
}

static void test_conformance_program_ends_under_load(void **state)
{
	struct fixture *f = *state;
	unsigned int i;

	prepare(f);
	start_session(f);
	make_blks(f, 8192);
	must_live(f);
	for (i = 0; i < 4; i++)
		must(blk_submit(&f->blk[0], i, BLK_OUT, i, 8192));
	end_program();
	must(fe_wait_closed(&f->session.fe));
	assert_int_equal(access(f->server.place.socket, F_OK), -1);
}

/* So much that only who doesn't do it ends in time. */
static void send_giants(struct fixture *f)
{
	enum { PIECES = 124, PIECE = 32 << 20, GIANTS = 1000 };
	struct guest *guest = &f->session.guest;
	struct driver_buffer buffers[PIECES + 2];
	uint64_t header = guest_alloc(guest, 17, 64);
	uint64_t data = guest_alloc(guest, PIECE, 4096);
	unsigned int i;

	assert_true(header && data);
	blk_put_header(&f->session, header, BLK_IN, 0);
	buffers[0] = (struct driver_buffer){.gpa = header, .length = 16};
	for (i = 1; i <= PIECES; i++)
		buffers[i] = (struct driver_buffer){
		    .gpa = data, .length = PIECE, .write = true};
	buffers[i] = (struct driver_buffer){
	    .gpa = header + 16, .length = 1, .write = true};
	for (i = 0; i < GIANTS; i++)
		assert_true(session_submit(&f->session, 0, buffers, PIECES + 2,
					   true) >= 0);
}

static void test_conformance_program_ends_with_a_hostile_guest(void **state)
{
	static const struct session_opts opts = {
	    .num_queues = 2,
	    .queue_size = 1024,
	    .table_entries = 128,
	    .region_size = 48 << 20,
	    .regions = 1,
	};
	const char *const argv[] = {program,	 "--socket-path=SOCKET",
				    "--null=1T", "--num-queues=2",
				    "--quiet",	 NULL};
	struct fixture *f = *state;
	uint8_t data[512];

	must(place_make(&f->server.place, NULL, 0));
	new_session(f, &opts);
	pid = program_start(&f->server.place, argv);
	assert_true(pid > 0);
	start_session(f);
	make_blks(f, 8192);
	send_giants(f);
	must(blk_read(&f->blk[1], 0, data, sizeof(data)));
	end_program();
	must(fe_wait_closed(&f->session.fe));
}

static void test_conformance_program_survives_vanished_memory(void **state)
{
	struct fixture *f = *state;
	unsigned int i;

	prepare(f);
	for (i = 0; i < 3; i++) {
		struct session_opts opts = {.num_queues = 2};

		new_session(f, &opts);
		start_session(f);
		make_blks(f, 8192);
		must_live(f);
		must(ftruncate(f->session.guest.fd, 0));
		must(session_kick(&f->session, 0));
		must(session_wait_err(&f->session, 0));
		must(fe_sync(&f->session.fe));
	}
	must_serve_another(f);
	fe_close(&f->session.fe);
	end_program();
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
	    fixture_test(test_conformance_program_is_killed),
	    fixture_test(test_conformance_program_ends_under_load),
	    fixture_test(test_conformance_program_ends_with_a_hostile_guest),
	    fixture_test(test_conformance_program_survives_vanished_memory),
	};

	if (argc != 2)
		return 2;
	program = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
