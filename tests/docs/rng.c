/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The example of the README, as a guest and a shell see it. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "place.h"
#include "session.h"

#define BYTES	  64
#define UNTOUCHED 0x5a

static const char *program;

struct fixture {
	struct place place;
	struct session session;
	pid_t pid;
	int input; /* the write end of its standard input; -1: closed */
};

static void start(struct fixture *f, const char *socket)
{
	char *argv[] = {(char *)program, (char *)socket, NULL};
	posix_spawn_file_actions_t actions;
	int ends[2];

	assert_return_code(pipe2(ends, O_CLOEXEC), errno);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO);
	assert_int_equal(
	    posix_spawn(&f->pid, program, &actions, NULL, argv, environ), 0);
	posix_spawn_file_actions_destroy(&actions);
	close(ends[0]);
	f->input = ends[1];
}

/* Waits until it has ended by itself. */
static int exit_status(struct fixture *f)
{
	int pidfd = pidfd_open(f->pid, 0);
	int status;

	assert_return_code(pidfd, errno);
	assert_int_equal(fe_wait_readable(pidfd, FE_TIMEOUT_MS), 0);
	close(pidfd);
	assert_int_equal(waitpid(f->pid, &status, 0), f->pid);
	f->pid = 0;
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void connect_to(struct fixture *f)
{
	const struct session_opts opts = {0};

	assert_int_equal(session_open(&f->session, &opts, f->place.socket), 0);
}

/* Has count pieces of BYTES bytes filled, one behind the other. */
static void draw(struct fixture *f, uint8_t *bytes, unsigned int count)
{
	struct guest *guest = &f->session.guest;
	struct driver_buffer buffers[4];
	struct driver_used used;
	size_t size = (size_t)count * BYTES;
	uint64_t gpa = guest_alloc(guest, size + 1, 1);
	int id;

	assert_in_range(count, 1, 4);
	assert_int_not_equal(gpa, 0);
	*(uint8_t *)guest_at(guest, gpa + size, 1) = UNTOUCHED;
	for (unsigned int i = 0; i < count; i++)
		buffers[i] = (struct driver_buffer){
		    .gpa = gpa + (uint64_t)i * BYTES,
		    .length = BYTES,
		    .write = true,
		};
	id = session_submit(&f->session, 0, buffers, count, false);
	assert_return_code(id, -id);
	assert_int_equal(session_wait(&f->session, 0, &used), 0);
	assert_int_equal(used.id, id);
	assert_int_equal(used.length, size);
	guest_read(guest, gpa, bytes, size);
	assert_int_equal(*(uint8_t *)guest_at(guest, gpa + size, 1), UNTOUCHED);
}

/* By chance it fails once in 2^512 times. */
static void assert_random(const uint8_t *a, const uint8_t *b)
{
	static const uint8_t zeroes[BYTES];

	assert_memory_not_equal(a, zeroes, BYTES);
	assert_memory_not_equal(b, zeroes, BYTES);
	assert_memory_not_equal(a, b, BYTES);
}

static void test_docs_rng_gives_random_bytes(void **state)
{
	struct fixture *f = *state;
	uint8_t first[BYTES], second[BYTES];

	start(f, f->place.socket);
	connect_to(f);
	draw(f, first, 1);
	draw(f, second, 1);
	assert_random(first, second);
}

static void test_docs_rng_fills_every_piece(void **state)
{
	struct fixture *f = *state;
	uint8_t bytes[3 * BYTES];

	start(f, f->place.socket);
	connect_to(f);
	draw(f, bytes, 3);
	assert_random(bytes, bytes + BYTES);
	assert_random(bytes + BYTES, bytes + 2 * BYTES);
}

static void test_docs_rng_serves_one_after_another(void **state)
{
	struct fixture *f = *state;
	uint8_t first[BYTES], second[BYTES];

	start(f, f->place.socket);
	connect_to(f);
	draw(f, first, 1);
	session_free(&f->session);
	f->session = (struct session){0};
	connect_to(f);
	draw(f, second, 1);
	assert_random(first, second);
}

static void test_docs_rng_ends_with_its_input(void **state)
{
	struct fixture *f = *state;
	uint8_t bytes[BYTES];

	start(f, f->place.socket);
	connect_to(f);
	draw(f, bytes, 1);
	close(f->input);
	f->input = -1;
	assert_int_equal(exit_status(f), 0);
	assert_int_equal(fe_wait_closed(&f->session.fe), 0);
	assert_int_equal(access(f->place.socket, F_OK), -1);
}

static void test_docs_rng_refuses_bad_arguments(void **state)
{
	struct fixture *f = *state;

	start(f, NULL);
	assert_int_equal(exit_status(f), 2);
	close(f->input);
	start(f, "/proc/no/such/folder/socket");
	assert_int_equal(exit_status(f), 1);
}

static int set_up(void **state)
{
	static struct fixture f;

	f = (struct fixture){.input = -1};
	*state = &f;
	return place_make(&f.place, NULL, 0);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	session_free(&f->session);
	if (f->input >= 0)
		close(f->input);
	if (f->pid > 0)
		program_stop(f->pid);
	place_remove(&f->place);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
	    TEST(test_docs_rng_gives_random_bytes),
	    TEST(test_docs_rng_fills_every_piece),
	    TEST(test_docs_rng_serves_one_after_another),
	    TEST(test_docs_rng_ends_with_its_input),
	    TEST(test_docs_rng_refuses_bad_arguments),
	};

	if (argc != 2)
		return 2;
	program = argv[1];
	/* One that has ended takes its end of the pipe with it. */
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
