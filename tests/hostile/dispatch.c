/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* A device and a server in the caller's loop, which only ever polls. */
#include "fixture.h"

#include <fcntl.h>
#include <libvhost/device.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#define ROUNDS 300

struct loop {
	struct vh_backend *backend;
	struct vh_user_server *server;
	int quit[2];
	pthread_t thread;
	struct session session;
	struct place place;
};

static void process(void *user, struct vh_queue *queue,
		    struct vh_chain *chains[], unsigned int count)
{
	unsigned int i;

	(void)user;
	for (i = 0; i < count; i++)
		vh_queue_complete(queue, chains[i], 0);
}

static const struct vh_device_ops ops = {
    .size = sizeof(ops),
    .process = process,
};

static void *run(void *arg)
{
	struct loop *loop = arg;
	struct pollfd fds[3] = {
	    {.fd = vh_user_server_fd(loop->server), .events = POLLIN},
	    {.fd = vh_device_fd(loop->backend), .events = POLLIN},
	    {.fd = loop->quit[0], .events = POLLIN},
	};

	while (poll(fds, 3, -1) >= 0 && !fds[2].revents) {
		if (fds[0].revents && vh_user_server_dispatch(loop->server) < 0)
			break;
		if (fds[1].revents && vh_device_dispatch(loop->backend) < 0)
			break;
	}
	return NULL;
}

static int setup(void **state)
{
	struct loop *loop = calloc(1, sizeof(*loop));

	assert_non_null(loop);
	*state = loop;
	VH_OPTS(vh_device_opts, device);
	device.num_queues = 1;
	must(vh_device_new(&ops, &device, NULL, &loop->backend));
	must(place_make(&loop->place, NULL, 0));
	VH_OPTS(vh_user_serve_opts, serve);
	serve.path = loop->place.socket;
	must(vh_user_serve(loop->backend, &serve, NULL, &loop->server));
	must(pipe(loop->quit));
	return pthread_create(&loop->thread, NULL, run, loop);
}

static int teardown(void **state)
{
	struct loop *loop = *state;

	session_free(&loop->session);
	close(loop->quit[1]);
	pthread_join(loop->thread, NULL);
	close(loop->quit[0]);
	vh_user_server_free(loop->server);
	vh_backend_free(loop->backend);
	place_remove(&loop->place);
	free(loop);
	return 0;
}

static void open_session(struct loop *loop)
{
	const struct session_opts opts = {.queue_size = 1024};

	must(session_open(&loop->session, &opts, loop->place.socket));
}

static void post(struct loop *loop, unsigned int count)
{
	struct driver_ring *ring = loop->session.queues[0].ring;
	const struct driver_buffer buffer = {
	    .gpa = guest_alloc(&loop->session.guest, 64, 64),
	    .length = 64,
	    .write = true,
	};

	while (count-- > 0)
		assert_true(driver_ring_add(ring, &buffer, 1, false) >= 0);
	driver_ring_publish(ring);
}

static void must_finish(struct loop *loop, unsigned int count)
{
	struct driver_used used;

	while (count-- > 0)
		must(session_wait(&loop->session, 0, &used));
}

/* One kick is for all of them, however many rounds they take. */
static void test_hostile_dispatch_finishes_many(void **state)
{
	struct loop *loop = *state;

	open_session(loop);
	post(loop, 1000);
	must(session_kick(&loop->session, 0));
	must_finish(loop, 1000);
}

static void test_hostile_dispatch_finishes_one_by_one(void **state)
{
	struct loop *loop = *state;
	unsigned int i;

	open_session(loop);
	for (i = 0; i < ROUNDS; i++) {
		post(loop, 1);
		if (driver_ring_needs_kick(loop->session.queues[0].ring))
			must(session_kick(&loop->session, 0));
		must_finish(loop, 1);
	}
}

/* What was made available before the start needs no kick. */
static void test_hostile_dispatch_starts_without_a_kick(void **state)
{
	struct loop *loop = *state;

	open_session(loop);
	must(session_stop_queue(&loop->session, 0));
	loop->session.queues[0].base = 0;
	must(session_make_ring(&loop->session, 0));
	post(loop, 3);
	must(session_start_queue(&loop->session, 0));
	must_finish(loop, 3);
}

/* It fills its call eventfd, and makes it blocking after it was looked at. */
static void test_hostile_dispatch_waits_for_no_eventfd(void **state)
{
	const uint64_t most = UINT64_MAX - 1;
	struct loop *loop = *state;
	struct session *session = &loop->session;
	struct driver_used used;
	uint64_t value;
	int call, ret;

	open_session(loop);
	post(loop, 1);
	must(session_kick(session, 0));
	must_finish(loop, 1);
	call = session->queues[0].call;
	(void)!read(call, &value, sizeof(value));
	assert_true(fcntl(call, F_GETFL) & O_NONBLOCK);
	must(fcntl(call, F_SETFL, fcntl(call, F_GETFL) & ~O_NONBLOCK));
	assert_int_equal(write(call, &most, sizeof(most)), sizeof(most));
	assert_false(driver_ring_enable_calls(session->queues[0].ring));
	post(loop, 1);
	must(session_kick(session, 0));
	do
		ret = fe_sync(&session->fe);
	while (ret == 0 &&
	       driver_ring_collect(session->queues[0].ring, &used, 1) == 0);
	/* the used index comes before the call */
	if (ret == 0)
		ret = fe_sync(&session->fe);
	/* and whoever is held goes on, so that the test ends */
	assert_int_equal(read(call, &value, sizeof(value)), sizeof(value));
	assert_int_equal(ret, 0);
	assert_int_equal(value, most);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(test_hostile_dispatch_finishes_many),
	    TEST(test_hostile_dispatch_finishes_one_by_one),
	    TEST(test_hostile_dispatch_starts_without_a_kick),
	    TEST(test_hostile_dispatch_waits_for_no_eventfd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
