/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Where a client finds its back-end, and where it can't. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "scripted.h"

#include <cmocka.h>
#include <echo.h>
#include <errno.h>
#include <fcntl.h>
#include <place.h>
#include <resources.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* So many connections are accepted by somebody else before we come to it. */
static int taken;

/* What the library gets; meson.build wraps it. */
int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *size,
		   int flags);
int __real_accept4(int fd, struct sockaddr *address, socklen_t *size,
		   int flags);

int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
	if (taken == 0)
		return __real_accept4(fd, address, size, flags);
	taken--;
	errno = EAGAIN;
	return -1;
}

static int connect_by(uint32_t mode, const char *path, int fd, uint32_t ms)
{
	VH_OPTS(vh_user_connect_opts, opts);
	struct vh_fault fault = {.code = VH_FAULT_NONE};
	struct vh_backend *b;
	int r;

	opts.mode = mode;
	opts.path = path;
	opts.fd = fd;
	opts.timeout_ms = ms;
	r = vh_user_connect(&opts, &fault, &b);
	if (r == 0)
		vh_backend_free(b);
	assert_true(r == 0 || fault.text[0]);
	assert_true(r == 0 || fault.error == r);
	return r;
}

static void test_user_client_places_that_are_wrong(void **state)
{
	const struct resources before = resources_now();
	struct place place;
	char longer[200];
	int fds[2];

	(void)state;
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = 0;
	assert_int_equal(place_make(&place, NULL, 4096), 0);
	assert_int_equal(connect_by(3, place.socket, -1, 0), -EINVAL);
	assert_int_equal(connect_by(VH_USER_CONNECT, NULL, -1, 0), -EINVAL);
	assert_int_equal(connect_by(VH_USER_CONNECT, longer, -1, 0),
			 -ENAMETOOLONG);
	assert_int_equal(connect_by(VH_USER_CONNECT, place.socket, -1, 0),
			 -ENOENT);
	assert_int_equal(connect_by(VH_USER_CONNECT, place.disk, -1, 0),
			 -ECONNREFUSED);
	assert_int_equal(connect_by(VH_USER_LISTEN, place.disk, -1, 0),
			 -EADDRINUSE);
	assert_int_equal(connect_by(VH_USER_LISTEN, place.socket, -1, 20),
			 -ETIMEDOUT);
	assert_int_equal(access(place.socket, F_OK), -1);
	assert_int_equal(connect_by(VH_USER_FD, NULL, place.file, 0), -EINVAL);
	assert_int_equal(connect_by(VH_USER_FD, NULL, -1, 0), -EINVAL);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	close(fds[0]);
	assert_int_equal(connect_by(VH_USER_FD, NULL, fds[1], 0), -ENODEV);
	close(fds[1]);
	place_remove(&place);
	assert_int_equal(resources_wait(&before), 0);
}

/* A descriptor that listens is told from one that is connected. */
static void test_user_client_places_listener(void **state)
{
	VH_OPTS(vh_user_connect_opts, opts);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct vh_backend *b;
	struct script script;
	struct place place;
	int r, fd, listener;

	(void)state;
	assert_int_equal(place_make(&place, NULL, 0), 0);
	strcpy(address.sun_path, place.socket);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (void *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 1), 0);
	/* It comes before it is waited for, and so before the time is up. */
	script_init(&script);
	assert_int_equal(fe_connect(&script.wire, place.socket), 0);
	script.ours = eventfd(0, EFD_CLOEXEC);
	r = script_play(&script);
	assert_int_equal(r, 0);
	taken = 2;
	opts.mode = VH_USER_FD;
	opts.fd = listener;
	assert_int_equal(vh_user_connect(&opts, NULL, &b), 0);
	assert_int_equal(taken, 0);
	fd = vh_backend_fd(b);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	vh_backend_free(b);
	script_end(&script);
	close(listener);
	place_remove(&place);
}

static void on_alarm(int number)
{
	(void)number;
}

/* The time is up although a signal comes again and again before that. */
static void test_user_client_places_wait_through_signals(void **state)
{
	const struct sigaction action = {.sa_handler = on_alarm};
	const struct itimerval each_ms = {{0, 1000}, {0, 1000}}, never = {0};
	struct sigaction before;
	struct place place;

	(void)state;
	assert_int_equal(place_make(&place, NULL, 0), 0);
	assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &each_ms, NULL), 0);
	assert_int_equal(connect_by(VH_USER_LISTEN, place.socket, -1, 100),
			 -ETIMEDOUT);
	assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
	assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
	place_remove(&place);
}

/* A front-end may be the one that waits, and make the socket's file. */
static void test_user_client_places_path_to_listen_on(void **state)
{
	VH_OPTS(vh_user_connect_opts, opts);
	VH_OPTS(vh_user_serve_opts, serve);
	const struct resources before = resources_now();
	struct vh_user_server *server;
	struct vh_backend *device;
	struct echo *echo;
	struct vh_backend *b;
	struct place place;
	uint64_t features;

	(void)state;
	assert_int_equal(place_make(&place, NULL, 0), 0);
	assert_int_equal(
	    echo_new(&(struct echo_opts){.num_queues = 1}, &echo, &device), 0);
	serve.mode = VH_USER_CONNECT;
	serve.path = place.socket;
	assert_int_equal(vh_user_serve(device, &serve, NULL, &server), 0);
	assert_int_equal(vh_user_server_start(server), 0);
	opts.mode = VH_USER_LISTEN;
	opts.path = place.socket;
	opts.timeout_ms = 60000;
	assert_int_equal(vh_user_connect(&opts, NULL, &b), 0);
	/* It was for one back-end. */
	assert_int_equal(access(place.socket, F_OK), -1);
	assert_int_equal(vh_backend_get_features(b, &features), 0);
	vh_backend_free(b);
	vh_user_server_free(server);
	vh_backend_free(device);
	place_remove(&place);
	assert_int_equal(resources_wait(&before), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_user_client_places_that_are_wrong),
	    cmocka_unit_test(test_user_client_places_listener),
	    cmocka_unit_test(test_user_client_places_wait_through_signals),
	    cmocka_unit_test(test_user_client_places_path_to_listen_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
