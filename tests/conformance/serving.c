/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Ways to serve: a path, a descriptor that is connected or listens, the
 * other way round, the caller's own loop, many devices in a process.
 */
#include "fixture.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define RIVALS 4

struct served {
	struct echo *echo;
	struct vh_backend *backend;
	struct vh_user_server *server;
	const char *path; /* what serve_stale() gets and gives */
	int result;
	pthread_barrier_t *start;
};

static void make_echo(struct served *served)
{
	struct echo_opts opts = {.num_queues = 1};

	memset(served, 0, sizeof(*served));
	must(echo_new(&opts, &served->echo, &served->backend));
}

static void serve(struct served *served, uint32_t mode, int fd,
		  const char *path)
{
	VH_OPTS(vh_user_serve_opts, opts);
	make_echo(served);
	opts.mode = mode;
	opts.fd = fd;
	opts.path = path;
	must(vh_user_serve(served->backend, &opts, NULL, &served->server));
	must(vh_user_server_start(served->server));
}

static void end(struct served *served)
{
	vh_user_server_free(served->server);
	vh_backend_free(served->backend);
}

/* A session of f over a connected socket, with some work. */
static void use(struct fixture *f, int sock)
{
	fe_close(&f->session.fe);
	fe_attach(&f->session.fe, sock);
	must(session_start(&f->session));
	must_echo(f, 0, 1000);
	must_echo(f, 0, 10);
}

static int listener(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	strcpy(address.sun_path, path);
	must(bind(fd, (struct sockaddr *)&address, sizeof(address)));
	must(listen(fd, 4));
	return fd;
}

static void prepare(struct fixture *f)
{
	must(place_make(&f->server.place, NULL, 0));
	new_session(f, NULL);
}

static void test_conformance_serving_a_connected_descriptor(void **state)
{
	struct fixture *f = *state;
	struct served served;
	int fds[2];

	prepare(f);
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	serve(&served, VH_USER_FD, fds[1], NULL);
	close(fds[1]); /* it has its own */
	use(f, fds[0]);
	assert_int_equal(
	    fe_wait_readable(vh_user_server_ended_fd(served.server), 0),
	    -ETIMEDOUT);
	fe_close(&f->session.fe);
	/* nobody can come any more */
	must(fe_wait_readable(vh_user_server_ended_fd(served.server),
			      FE_TIMEOUT_MS));
	end(&served);
}

static void test_conformance_serving_a_listening_descriptor(void **state)
{
	struct fixture *f = *state;
	struct served served;
	unsigned int i;
	int fd;

	prepare(f);
	fd = listener(f->server.place.socket);
	serve(&served, VH_USER_FD, fd, NULL);
	close(fd);
	for (i = 0; i < 3; i++) {
		struct frontend fe;

		must(fe_connect(&fe, f->server.place.socket));
		use(f, fe.sock);
	}
	end(&served);
}

static void assert_quiet(const struct served *served)
{
	must(vh_user_server_dispatch(served->server));
	assert_int_equal(fe_wait_readable(vh_user_server_fd(served->server), 0),
			 -ETIMEDOUT);
}

/* Whether it blocks or not: there is nothing to do until somebody comes. */
static void test_conformance_serving_a_listener_in_peace(void **state)
{
	struct fixture *f = *state;

	prepare(f);
	for (int flags = 0; flags <= O_NONBLOCK; flags += O_NONBLOCK) {
		int fd = listener(f->server.place.socket);
		struct served served;
		struct frontend fe;
		VH_OPTS(vh_user_serve_opts, opts);

		must(fcntl(fd, F_SETFL, flags));
		make_echo(&served);
		opts.mode = VH_USER_FD;
		opts.fd = fd;
		must(
		    vh_user_serve(served.backend, &opts, NULL, &served.server));
		assert_quiet(&served);
		must(fe_connect(&fe, f->server.place.socket));
		assert_quiet(&served);
		fe_close(&fe);
		assert_quiet(&served);
		end(&served);
		close(fd);
		must(unlink(f->server.place.socket));
	}
}

/* It calls, again and again, also before anybody listens. */
static void test_conformance_serving_connects_and_reconnects(void **state)
{
	struct fixture *f = *state;
	struct served served;
	unsigned int i;
	int fd;

	prepare(f);
	serve(&served, VH_USER_CONNECT, -1, f->server.place.socket);
	fd = listener(f->server.place.socket);
	for (i = 0; i < 3; i++) {
		int sock;

		must(fe_wait_readable(fd, FE_TIMEOUT_MS));
		sock = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
		assert_true(sock >= 0);
		use(f, sock);
		fe_close(&f->session.fe);
	}
	close(fd);
	end(&served);
}

static int serve_path(struct served *served, const char *path)
{
	struct vh_fault fault = {.code = VH_FAULT_NONE};
	int ret;

	VH_OPTS(vh_user_serve_opts, opts);
	opts.path = path;
	ret = vh_user_serve(served->backend, &opts, &fault, &served->server);
	if (ret < 0) {
		assert_int_not_equal(fault.code, VH_FAULT_NONE);
		assert_true(strlen(fault.text) > 0);
		assert_null(served->server);
	}
	return ret;
}

static void test_conformance_serving_replaces_a_stale_socket(void **state)
{
	struct fixture *f = *state;
	struct served served;
	struct frontend fe;

	prepare(f);
	close(listener(f->server.place.socket));
	must(access(f->server.place.socket, F_OK));
	make_echo(&served);
	must(serve_path(&served, f->server.place.socket));
	must(vh_user_server_start(served.server));
	must(fe_connect(&fe, f->server.place.socket));
	use(f, fe.sock);
	end(&served);
	assert_int_equal(access(f->server.place.socket, F_OK), -1);
}

static void *serve_stale(void *user)
{
	struct served *served = user;

	VH_OPTS(vh_user_serve_opts, opts);
	opts.path = served->path;
	pthread_barrier_wait(served->start);
	served->result =
	    vh_user_serve(served->backend, &opts, NULL, &served->server);
	return NULL;
}

/* Of servers that find a stale socket at the same time, one gets it. */
static void test_conformance_serving_replaces_a_stale_socket_once(void **state)
{
	struct fixture *f = *state;
	struct served rivals[RIVALS];
	pthread_t threads[RIVALS];
	pthread_barrier_t start;

	prepare(f);
	must(-pthread_barrier_init(&start, NULL, RIVALS));
	for (int round = 0; round < 200; round++) {
		int winners = 0;

		close(listener(f->server.place.socket));
		for (int i = 0; i < RIVALS; i++) {
			make_echo(&rivals[i]);
			rivals[i].path = f->server.place.socket;
			rivals[i].start = &start;
		}
		for (int i = 0; i < RIVALS; i++)
			must(-pthread_create(&threads[i], NULL, serve_stale,
					     &rivals[i]));
		for (int i = 0; i < RIVALS; i++) {
			must(-pthread_join(threads[i], NULL));
			winners += rivals[i].result == 0;
			if (rivals[i].result < 0)
				assert_int_equal(rivals[i].result, -EADDRINUSE);
		}
		assert_int_equal(winners, 1);
		for (int i = 0; i < RIVALS; i++)
			end(&rivals[i]);
	}
	pthread_barrier_destroy(&start);
}

static void test_conformance_serving_leaves_a_live_socket_alone(void **state)
{
	struct fixture *f = *state;
	struct served second;

	open_echo(f, 1);
	make_echo(&second);
	assert_int_equal(serve_path(&second, f->server.place.socket),
			 -EADDRINUSE);
	must_live(f);
	fe_close(&f->session.fe);
	assert_int_equal(serve_path(&second, f->server.place.socket),
			 -EADDRINUSE);
	end(&second);
	must_serve_another(f);
}

static void test_conformance_serving_refuses_paths(void **state)
{
	struct fixture *f = *state;
	struct served served;
	char path[200];

	prepare(f);
	make_echo(&served);
	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[108] = '\0'; /* one more than fits */
	assert_int_equal(serve_path(&served, path), -ENAMETOOLONG);
	assert_int_equal(serve_path(&served, ""), -EINVAL);
	assert_int_equal(serve_path(&served, "/nonexistent/socket"), -ENOENT);
	assert_int_equal(serve_path(&served, f->server.place.folder),
			 -EADDRINUSE);
	end(&served);
}

static void test_conformance_serving_refuses_what_is_no_socket(void **state)
{
	struct fixture *f = *state;
	struct served served;

	VH_OPTS(vh_user_serve_opts, opts);
	prepare(f);
	make_echo(&served);
	opts.mode = VH_USER_FD;
	opts.fd = f->session.guest.fd;
	assert_int_equal(
	    vh_user_serve(served.backend, &opts, NULL, &served.server),
	    -EINVAL);
	opts.mode = 77;
	assert_int_equal(
	    vh_user_serve(served.backend, &opts, NULL, &served.server),
	    -EINVAL);
	end(&served);
}

/* The test's own loop: server and queues, without a thread of theirs. */
struct loop {
	struct vh_user_server *server;
	struct vh_backend *backend;
	bool stop; /* atomic */
	int error;
};

static void *run_loop(void *user)
{
	struct loop *loop = user;
	struct pollfd pollers[2] = {
	    {.fd = vh_user_server_fd(loop->server), .events = POLLIN},
	    {.fd = vh_device_fd(loop->backend), .events = POLLIN},
	};

	while (!__atomic_load_n(&loop->stop, __ATOMIC_ACQUIRE)) {
		if (poll(pollers, 2, 20) < 0)
			continue;
		if (pollers[0].revents)
			loop->error = vh_user_server_dispatch(loop->server);
		if (pollers[1].revents && loop->error == 0)
			loop->error = vh_device_dispatch(loop->backend);
		if (loop->error < 0)
			break;
	}
	return NULL;
}

static void test_conformance_serving_in_the_caller_s_loop(void **state)
{
	struct fixture *f = *state;
	struct loop loop = {.stop = false};
	pthread_t thread;
	unsigned int i;

	VH_OPTS(vh_blk_opts, blk);
	VH_OPTS(vh_user_serve_opts, opts);
	must(place_make(&f->server.place, NULL, 8 << 20));
	blk.path = f->server.place.disk;
	blk.workers = 0;
	must(vh_blk_new(&blk, NULL, &f->server.backend));
	opts.path = f->server.place.socket;
	must(vh_user_serve(f->server.backend, &opts, NULL, &f->server.server));
	loop.server = f->server.server;
	loop.backend = f->server.backend;
	must(pthread_create(&thread, NULL, run_loop, &loop));
	for (i = 0; i < 3; i++) {
		must_serve_another(f);
		must(session_stop_queue(&f->session, 0));
		must(session_start_queue(&f->session, 0));
		must_live(f);
	}
	__atomic_store_n(&loop.stop, true, __ATOMIC_RELEASE);
	must(pthread_join(thread, NULL));
	must(loop.error);
}

static void test_conformance_serving_many_devices(void **state)
{
	enum { DEVICES = 20 };
	struct fixture *f = *state;
	struct fixture *others = calloc(DEVICES, sizeof(*others));
	unsigned int i, round;

	assert_non_null(others);
	for (i = 0; i < DEVICES; i++) {
		if (i % 2)
			open_blk(&others[i], 1);
		else
			open_echo(&others[i], 2);
	}
	for (round = 0; round < 3; round++)
		for (i = 0; i < DEVICES; i++)
			must_live(&others[i]);
	for (i = 0; i < DEVICES; i += 3)
		fixture_close(&others[i]);
	for (i = 0; i < DEVICES; i++)
		if (i % 3)
			must_live(&others[i]);
	for (i = 0; i < DEVICES; i++)
		if (i % 3)
			fixture_close(&others[i]);
	free(others);
	open_blk(f, 1);
	must_live(f);
}

static void test_conformance_serving_server_counts(void **state)
{
	struct fixture *f = *state;
	struct vh_user_server_info info;
	struct vh_fault fault;

	open_blk(f, 1);
	info = server_info(&f->server);
	assert_true(info.connected);
	assert_int_equal(info.connections, 1);
	assert_true(info.messages > 10);
	assert_int_equal(info.refused, 0);
	assert_int_equal(info.features, f->session.features);
	assert_int_equal(info.protocol_features, f->session.protocol_features);
	vh_user_server_fault(f->server.server, &fault);
	assert_int_equal(fault.code, VH_FAULT_NONE);
	must_refuse(fe_set_vring(&f->session.fe, FE_SET_VRING_BASE, 9, 0));
	info = server_info(&f->server);
	assert_int_equal(info.refused, 1);
	vh_user_server_fault(f->server.server, &fault);
	assert_int_not_equal(fault.code, VH_FAULT_NONE);
	assert_int_equal(fault.message, FE_SET_VRING_BASE);
	assert_true(strlen(fault.text) > 0);
	must_serve_another(f);
	info = server_info(&f->server);
	assert_int_equal(info.connections, 2);
}

/* One thread for both queues, and one of them never runs dry. */
struct flood {
	struct fixture *f;
	bool stop; /* atomic */
};

static void *flood_queue(void *user)
{
	struct flood *flood = user;
	struct driver_ring *ring = flood->f->session.queues[0].ring;
	struct driver_buffer buffer = {.gpa = flood->f->echo_area[0],
				       .length = 16};
	struct driver_used used[32];

	while (!__atomic_load_n(&flood->stop, __ATOMIC_ACQUIRE)) {
		while (driver_ring_add(ring, &buffer, 1, false) >= 0)
			;
		driver_ring_publish(ring);
		session_kick(&flood->f->session, 0);
		if (driver_ring_collect(ring, used, 32) < 0)
			break;
	}
	return NULL;
}

/* CVE-2019-3900 */
static void test_conformance_serving_each_queue_in_turn(void **state)
{
	struct fixture *f = *state;
	struct server_opts opts = {.num_queues = 2, .workers = 1};
	struct session_opts session = {.num_queues = 2};
	struct flood flood = {.f = f};
	pthread_t thread;
	unsigned int i;

	start_server(f, &opts, true);
	new_session(f, &session);
	start_session(f);
	must_live(f);
	must(pthread_create(&thread, NULL, flood_queue, &flood));
	for (i = 0; i < 300; i++)
		must_echo(f, 1, 500);
	must(session_stop_queue(&f->session, 0));
	__atomic_store_n(&flood.stop, true, __ATOMIC_RELEASE);
	must(pthread_join(thread, NULL));
	must_echo(f, 1, 500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    fixture_test(test_conformance_serving_a_connected_descriptor),
	    fixture_test(test_conformance_serving_a_listening_descriptor),
	    fixture_test(test_conformance_serving_a_listener_in_peace),
	    fixture_test(test_conformance_serving_connects_and_reconnects),
	    fixture_test(test_conformance_serving_replaces_a_stale_socket),
	    fixture_test(test_conformance_serving_replaces_a_stale_socket_once),
	    fixture_test(test_conformance_serving_leaves_a_live_socket_alone),
	    fixture_test(test_conformance_serving_refuses_paths),
	    fixture_test(test_conformance_serving_refuses_what_is_no_socket),
	    fixture_test(test_conformance_serving_in_the_caller_s_loop),
	    fixture_test(test_conformance_serving_many_devices),
	    fixture_test(test_conformance_serving_server_counts),
	    fixture_test(test_conformance_serving_each_queue_in_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
