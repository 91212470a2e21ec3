/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The client and our own server, with a block device behind and our driver
 * side in front; then the same with a proxy between the two.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "rig.h"

#include <blk.h>
#include <bytes.h>
#include <cmocka.h>
#include <echo.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <resources.h>
#include <server.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define FEATURES                                                               \
	(VH_F_VERSION_1 | VH_F_EVENT_IDX | VH_F_INDIRECT_DESC | BLK_F_FLUSH |  \
	 BLK_F_MQ | BLK_F_SEG_MAX)
#define SPLIT  FEATURES
#define PACKED (FEATURES | VH_F_RING_PACKED)
#define LENGTH 65536

static void connect_to(const char *path, struct vh_backend **ret)
{
	VH_OPTS(vh_user_connect_opts, opts);
	struct vh_fault fault;
	int r;

	opts.mode = VH_USER_CONNECT;
	opts.path = path;
	r = vh_user_connect(&opts, &fault, ret);
	if (r < 0)
		fail_msg("%s", fault.text);
}

static void must_start(struct rig *rig, uint32_t queue)
{
	int r = rig_start(rig, queue, 64);

	if (r < 0)
		fail_msg("queue %u: %s", queue,
			 vh_backend_fault(rig->backend)->text);
}

/* Writes, reads back, and flushes. */
static void do_data(struct rig *rig, uint32_t queue, uint64_t seed)
{
	uint8_t expected[LENGTH];
	void *data = rig_at(rig, RIG_DATA);

	blk_pattern(expected, LENGTH, seed);
	memcpy(data, expected, LENGTH);
	assert_int_equal(rig_blk(rig, queue, BLK_OUT, seed, LENGTH), BLK_OK);
	assert_int_equal(rig_blk(rig, queue, BLK_FLUSH, 0, 0), BLK_OK);
	memset(data, 0, LENGTH);
	assert_int_equal(rig_blk(rig, queue, BLK_IN, seed, LENGTH), BLK_OK);
	assert_memory_equal(data, expected, LENGTH);
}

/* All that a front-end does in a life. */
static void live(struct vh_backend *b, uint64_t features)
{
	struct rig rig;
	uint8_t config[BLK_CONFIG_SIZE];
	uint8_t status;
	uint32_t queues;

	assert_int_equal(rig_open(&rig, b, features), 0);
	assert_int_equal(rig.features, features);
	assert_int_equal(vh_backend_get_queue_num(b, &queues), 0);
	assert_int_equal(queues, 2);
	assert_int_equal(vh_backend_get_config(b, 0, config, sizeof(config)),
			 0);
	assert_int_equal(get64(config + BLK_CONFIG_CAPACITY), 16384);
	assert_int_equal(vh_backend_get_config(b, 4096, config, 1), -EREMOTEIO);
	assert_int_equal(vh_backend_set_status(b, 0xf), 0);
	assert_int_equal(vh_backend_get_status(b, &status), 0);
	assert_int_equal(status, 0xf);
	for (unsigned int turn = 0; turn < 3; turn++) {
		for (uint32_t queue = 0; queue < 2; queue++) {
			must_start(&rig, queue);
			do_data(&rig, queue, 10 * turn + queue);
		}
		for (uint32_t queue = 0; queue < 2; queue++)
			assert_int_equal(rig_stop(&rig, queue), 0);
	}
	assert_int_equal(vh_backend_reset_device(b), 0);
	assert_int_equal(vh_backend_release(b), 0);
	rig_close(&rig);
}

static void serve_blk(struct server *server)
{
	const struct server_opts opts = {.num_queues = 2, .workers = 2};

	assert_int_equal(server_start_blk(server, &opts), 0);
}

static void test_user_client_session_of_blk(void **state)
{
	const struct resources before = resources_now();
	struct server server;

	(void)state;
	serve_blk(&server);
	for (unsigned int i = 0; i < 4; i++) {
		struct vh_backend *b;

		connect_to(server.place.socket, &b);
		live(b, i % 2 ? PACKED : SPLIT);
		/* A second life on the same connection. */
		if (i > 1)
			live(b, i % 2 ? SPLIT : PACKED);
		vh_backend_free(b);
	}
	assert_int_equal(server_info(&server).refused, 4 + 2);
	server_stop(&server);
	assert_int_equal(resources_wait(&before), 0);
}

/* Memory changes while the ring is at work. */
static void test_user_client_session_memory_comes_and_goes(void **state)
{
	struct vh_region more = {
	    .guest = UINT64_C(0x200000000),
	    .size = 65536,
	    .user = {UINT64_C(0x600000000000)},
	};
	struct vh_backend *b;
	struct server server;
	struct rig rig;

	(void)state;
	serve_blk(&server);
	connect_to(server.place.socket, &b);
	assert_int_equal(rig_open(&rig, b, PACKED), 0);
	must_start(&rig, 0);
	more.fd = rig.fd;
	for (unsigned int i = 0; i < 20; i++) {
		assert_int_equal(vh_backend_add_region(b, &more), 0);
		assert_int_equal(vh_backend_add_region(b, &more), -EEXIST);
		do_data(&rig, 0, i);
		assert_int_equal(vh_backend_remove_region(b, &more), 0);
		assert_int_equal(vh_backend_remove_region(b, &more), -ENOENT);
	}
	do_data(&rig, 0, 99);
	vh_backend_free(b);
	rig_close(&rig);
	server_stop(&server);
}

struct heard {
	unsigned int changes;
	unsigned int gone;
};

static void on_change(void *user)
{
	((struct heard *)user)->changes++;
}

static void on_gone(void *user)
{
	((struct heard *)user)->gone++;
}

static void hear(struct vh_backend *b, struct heard *heard)
{
	VH_OPTS(vh_backend_events, events);

	events.config_changed = on_change;
	events.gone = on_gone;
	assert_int_equal(vh_backend_set_events(b, &events, heard), 0);
}

/* Until something is heard, or for a long time. */
static void listen_to(struct vh_backend *b, const unsigned int *what,
		      unsigned int count)
{
	struct pollfd pfd = {.fd = vh_backend_fd(b), .events = POLLIN};

	while (*what < count) {
		assert_int_equal(poll(&pfd, 1, RIG_PATIENCE), 1);
		if (vh_backend_dispatch(b) < 0)
			break;
	}
	assert_int_equal(*what, count);
}

static void grow(struct server *server, struct vh_backend *b,
		 struct heard *heard)
{
	uint8_t config[8];

	assert_int_equal(truncate(server->place.disk, 4 << 20), 0);
	assert_int_equal(vh_blk_refresh(server->backend), 1);
	listen_to(b, &heard->changes, 1);
	assert_int_equal(vh_backend_get_config(b, 0, config, 8), 0);
	assert_int_equal(get64(config), 8192);
}

static void test_user_client_session_hears_news(void **state)
{
	struct heard heard = {0};
	struct vh_backend *b;
	struct server server;
	struct rig rig;

	(void)state;
	serve_blk(&server);
	connect_to(server.place.socket, &b);
	hear(b, &heard);
	assert_int_equal(rig_open(&rig, b, SPLIT), 0);
	must_start(&rig, 0);
	grow(&server, b, &heard);
	/* The server ends: that is news, too. */
	server_stop(&server);
	listen_to(b, &heard.gone, 1);
	assert_int_equal(vh_backend_set_status(b, 0), -ENODEV);
	assert_int_equal(vh_backend_dispatch(b), -ENODEV);
	assert_int_equal(heard.gone, 1);
	vh_backend_free(b);
	rig_close(&rig);
}

static void *cancel_soon(void *arg)
{
	struct vh_backend *b = arg;

	usleep(20000);
	assert_int_equal(vh_user_cancel(b), 0);
	return NULL;
}

/* A back-end that never answers can be left from another thread. */
static void test_user_client_session_cancelled(void **state)
{
	VH_OPTS(vh_user_connect_opts, opts);
	const struct server_opts server_opts = {.num_queues = 2};
	struct vh_backend *b;
	struct server server;
	struct rig rig;
	pthread_t thread;
	uint32_t base;

	(void)state;
	assert_int_equal(server_start_echo(&server, &server_opts), 0);
	opts.mode = VH_USER_CONNECT;
	opts.path = server.place.socket;
	opts.timeout_ms = 3600000;
	assert_int_equal(vh_user_connect(&opts, NULL, &b), 0);
	assert_int_equal(rig_open(&rig, b, VH_F_VERSION_1), 0);
	must_start(&rig, 0);
	/* What is held keeps the ring from being stopped. */
	echo_hold(server.echo);
	assert_int_equal(rig_offer(&rig, 0,
				   &(struct iovec){(void *)RIG_DATA, 64}, 1,
				   NULL, 0),
			 0);
	assert_int_equal(echo_wait_held(server.echo, 1), 0);
	assert_int_equal(pthread_create(&thread, NULL, cancel_soon, b), 0);
	assert_int_equal(vh_backend_get_vring_base(b, 0, &base), -ECANCELED);
	assert_int_equal(vh_backend_get_vring_base(b, 0, &base), -ECANCELED);
	assert_int_equal(vh_backend_dispatch(b), -ECANCELED);
	pthread_join(thread, NULL);
	vh_backend_free(b);
	echo_release(server.echo);
	rig_close(&rig);
	server_stop(&server);
}

/* user_serve(user_connect(user_serve(blk))) */
struct proxy {
	struct server inner;
	struct vh_backend *middle;
	struct vh_user_server *outer;
	struct place place;
};

static void open_proxy(struct proxy *p)
{
	VH_OPTS(vh_user_serve_opts, opts);

	serve_blk(&p->inner);
	connect_to(p->inner.place.socket, &p->middle);
	assert_int_equal(place_make(&p->place, NULL, 0), 0);
	opts.mode = VH_USER_LISTEN;
	opts.path = p->place.socket;
	assert_int_equal(vh_user_serve(p->middle, &opts, NULL, &p->outer), 0);
	assert_int_equal(vh_user_server_start(p->outer), 0);
}

static void close_proxy(struct proxy *p)
{
	vh_user_server_free(p->outer);
	vh_backend_free(p->middle);
	place_remove(&p->place);
	server_stop(&p->inner);
}

static void test_user_client_session_through_a_proxy(void **state)
{
	const struct resources before = resources_now();
	struct proxy proxy;

	(void)state;
	open_proxy(&proxy);
	assert_int_equal(vh_backend_capabilities(proxy.inner.backend) &
			     ~vh_backend_capabilities(proxy.middle),
			 0);
	for (unsigned int i = 0; i < 4; i++) {
		struct vh_backend *b;

		connect_to(proxy.place.socket, &b);
		assert_int_equal(vh_backend_capabilities(b),
				 vh_backend_capabilities(proxy.middle));
		live(b, i % 2 ? PACKED : SPLIT);
		vh_backend_free(b);
	}
	close_proxy(&proxy);
	assert_int_equal(resources_wait(&before), 0);
}

/* News goes all the way, and so does the end. */
static void test_user_client_session_news_through_a_proxy(void **state)
{
	struct heard heard = {0};
	struct proxy proxy;
	struct vh_backend *b;
	struct rig rig;

	(void)state;
	open_proxy(&proxy);
	connect_to(proxy.place.socket, &b);
	hear(b, &heard);
	assert_int_equal(rig_open(&rig, b, SPLIT), 0);
	must_start(&rig, 0);
	do_data(&rig, 0, 3);
	grow(&proxy.inner, b, &heard);
	vh_user_server_free(proxy.inner.server);
	proxy.inner.server = NULL;
	listen_to(b, &heard.gone, 1);
	vh_backend_free(b);
	rig_close(&rig);
	close_proxy(&proxy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_user_client_session_of_blk),
	    cmocka_unit_test(test_user_client_session_memory_comes_and_goes),
	    cmocka_unit_test(test_user_client_session_hears_news),
	    cmocka_unit_test(test_user_client_session_cancelled),
	    cmocka_unit_test(test_user_client_session_through_a_proxy),
	    cmocka_unit_test(test_user_client_session_news_through_a_proxy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
