/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Front-ends whose descriptors are made to hold the back-end up. */
#include "fixture.h"

#include <fcntl.h>
#include <sys/eventfd.h>

#define WAIT_MS 10000

/* So full that a blocking write waits; and blocking, behind our back. */
static void fill_eventfd(int fd)
{
	uint64_t most = UINT64_MAX - 1;
	uint64_t old;

	if (read(fd, &old, sizeof(old)) < 0)
		assert_int_equal(errno, EAGAIN);
	assert_int_equal(write(fd, &most, sizeof(most)), sizeof(most));
	assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
}

static void submit_one(struct fixture *f)
{
	struct driver_buffer buffers[2] = {{.length = 64},
					   {.length = 64, .write = true}};

	buffers[0].gpa = guest_alloc(&f->session.guest, 64, 64);
	buffers[1].gpa = guest_alloc(&f->session.guest, 64, 64);
	assert_true(session_submit(&f->session, 0, buffers, 2, false) >= 0);
}

/* The ring can be stopped although nobody reads what it is announced by. */
static void test_hostile_descriptors_call_blocks(void **state)
{
	struct fixture *f = *state;
	uint32_t base;
	uint64_t old;
	int ret;

	open_echo(f, 1);
	fill_eventfd(f->session.queues[0].call);
	f->session.fe.timeout_ms = WAIT_MS;
	submit_one(f);
	ret = fe_get_vring_base(&f->session.fe, 0, &base);
	/* Whatever came of it, nobody shall wait for us any more. */
	if (read(f->session.queues[0].call, &old, sizeof(old)) < 0)
		assert_int_equal(errno, EAGAIN);
	must(ret);
	assert_int_equal(base, 1);
}

static void fill_pipe(int fd)
{
	static const char bytes[4096];

	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	while (write(fd, bytes, sizeof(bytes)) > 0)
		;
	assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
}

/* Config changes go to a pipe that takes no more. */
static void test_hostile_descriptors_backend_requests_block(void **state)
{
	struct fixture *f = *state;
	int ends[2];
	int ret;

	open_blk(f, 1);
	assert_int_equal(pipe(ends), 0);
	must(fe_set_fd(&f->session.fe, FE_SET_BACKEND_REQ_FD, ends[1]));
	fill_pipe(ends[1]);
	must(ftruncate(f->server.place.file, 16 << 20));
	assert_int_equal(vh_blk_refresh(f->server.backend), 1);
	f->session.fe.timeout_ms = WAIT_MS;
	ret = fe_sync(&f->session.fe);
	if (ret == 0)
		ret = fe_sync(&f->session.fe);
	/* Without a reader the writer doesn't wait. */
	close(ends[0]);
	close(ends[1]);
	must(ret);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    fixture_test(test_hostile_descriptors_call_blocks),
	    fixture_test(test_hostile_descriptors_backend_requests_block),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
