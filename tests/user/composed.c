/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Back-ends put together: one device in this process for two programs at the
 * same time, and all that a proxy has to hand on in either direction.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "rig.h"

#include <cmocka.h>
#include <echo.h>
#include <errno.h>
#include <libvhost/device.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <server.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define FEATURES  (VH_F_VERSION_1 | VH_F_EVENT_IDX)
#define ADDITIONS 2000
#define LAYERS	  3
#define SHIFT	  UINT64_C(0x1000000000) /* from guest address to IOVA */

enum { SHARED, OF_ONE, OF_TWO, SLOTS };

/* A device that adds numbers up; it may have several handles. */
struct adder {
	pthread_mutex_t lock;
	uint64_t slots[SLOTS];
	unsigned int destroyed;
};

struct addition {
	uint64_t slot;
	uint64_t number;
};

static void add(void *user, struct vh_queue *queue, struct vh_chain *chains[],
		unsigned int count)
{
	struct adder *adder = user;

	for (unsigned int i = 0; i < count; i++) {
		struct addition addition;
		uint64_t *slot;

		memcpy(&addition, chains[i]->readable[0].iov_base,
		       sizeof(addition));
		slot = &adder->slots[addition.slot % SLOTS];
		pthread_mutex_lock(&adder->lock);
		*slot += addition.number;
		memcpy(chains[i]->writable[0].iov_base, slot, sizeof(*slot));
		pthread_mutex_unlock(&adder->lock);
		vh_queue_complete(queue, chains[i], sizeof(*slot));
	}
}

static void destroyed(void *user)
{
	((struct adder *)user)->destroyed++;
}

static int handle_of(struct adder *adder, struct vh_backend **ret)
{
	VH_OPTS(vh_device_ops, ops);
	VH_OPTS(vh_device_opts, opts);

	ops.process = add;
	ops.destroy = destroyed;
	opts.num_queues = 1;
	opts.workers = 1;
	opts.name = "adder";
	return vh_device_new(&ops, &opts, adder, ret);
}

/* What is in the slot then, or 0 if the device doesn't work. */
static uint64_t ask(struct rig *rig, uint64_t slot, uint64_t number)
{
	const struct addition addition = {slot, number};
	const vh_gpa answer = RIG_DATA + 4096;
	struct iovec readable = {(void *)(uintptr_t)RIG_DATA, sizeof(addition)};
	struct iovec writable = {(void *)(uintptr_t)answer, 8};
	uint64_t value = 0;

	memcpy(rig_at(rig, RIG_DATA), &addition, sizeof(addition));
	if (rig_offer(rig, 0, &readable, 1, &writable, 1) == 0 &&
	    rig_wait(rig, 0, NULL) == 0)
		memcpy(&value, rig_at(rig, answer), sizeof(value));
	return value;
}

/* 0, or the line of what is wrong: there is no cmocka in another process. */
static int use(struct vh_backend *b, uint64_t own, uint64_t other)
{
	struct rig rig;
	uint64_t last = 0, now;

	if (rig_open(&rig, b, FEATURES) < 0 || rig_start(&rig, 0, 16) < 0)
		return __LINE__;
	/* Neither goes on before both are there. */
	if (ask(&rig, own, 1) != 1)
		return __LINE__;
	while (ask(&rig, other, 0) == 0)
		sched_yield();
	for (uint64_t i = 1; i <= ADDITIONS; i++) {
		if (ask(&rig, own, 1) != i + 1)
			return __LINE__;
		now = ask(&rig, SHARED, 1);
		if (now <= last || now > UINT64_C(2) * ADDITIONS)
			return __LINE__;
		last = now;
	}
	if (rig_stop(&rig, 0) < 0 || vh_backend_release(b) < 0)
		return __LINE__;
	rig_close(&rig);
	return 0;
}

/* Connects when there is a socket. */
static int second_program(const char *path)
{
	VH_OPTS(vh_user_connect_opts, opts);
	struct vh_backend *b;
	int r;

	opts.mode = VH_USER_CONNECT;
	opts.path = path;
	do
		r = vh_user_connect(&opts, NULL, &b);
	while (r == -ENOENT || r == -ECONNREFUSED);
	if (r < 0)
		return __LINE__;
	r = use(b, OF_TWO, OF_ONE);
	vh_backend_free(b);
	return r ? 1 : 0;
}

static struct vh_user_server *serve(struct vh_backend *b, const char *path)
{
	VH_OPTS(vh_user_serve_opts, opts);
	struct vh_user_server *server;
	struct vh_fault fault;

	opts.path = path;
	if (vh_user_serve(b, &opts, &fault, &server) < 0)
		fail_msg("%s", fault.text);
	assert_int_equal(vh_user_server_start(server), 0);
	return server;
}

static void test_user_composed_served_and_used_directly(void **state)
{
	struct adder adder = {.lock = PTHREAD_MUTEX_INITIALIZER};
	struct vh_backend *direct, *served;
	struct vh_user_server *server;
	struct place place;
	pid_t other;
	int status;

	(void)state;
	assert_int_equal(place_make(&place, NULL, 0), 0);
	other = fork();
	assert_return_code(other, errno);
	if (other == 0)
		_exit(second_program(place.socket));
	assert_int_equal(handle_of(&adder, &direct), 0);
	assert_int_equal(handle_of(&adder, &served), 0);
	server = serve(served, place.socket);
	assert_int_equal(use(direct, OF_ONE, OF_TWO), 0);
	assert_int_equal(waitpid(other, &status, 0), other);
	assert_int_equal(status, 0);
	assert_int_equal(adder.slots[SHARED], 2 * ADDITIONS);
	vh_user_server_free(server);
	vh_backend_free(served);
	vh_backend_free(direct);
	assert_int_equal(adder.destroyed, 2);
	place_remove(&place);
}

/* An echo device behind proxies, each in a thread, and a rig in front. */
struct tower {
	struct server ground;
	struct place places[LAYERS];
	struct vh_backend *links[LAYERS + 1];
	struct vh_user_server *servers[LAYERS];
	unsigned int misses; /* atomic, like all that events count */
	unsigned int gone;
	uint64_t missed; /* IOVA */
};

static struct vh_backend *connect_to(const char *path)
{
	VH_OPTS(vh_user_connect_opts, opts);
	struct vh_fault fault;
	struct vh_backend *b;

	opts.mode = VH_USER_CONNECT;
	opts.path = path;
	if (vh_user_connect(&opts, &fault, &b) < 0)
		fail_msg("%s", fault.text);
	return b;
}

static void on_miss(void *user, vh_gpa iova, uint32_t access)
{
	struct tower *tower = user;

	(void)access;
	tower->missed = iova;
	tower->misses++;
}

static void on_gone(void *user)
{
	((struct tower *)user)->gone++;
}

static struct vh_backend *build(struct tower *tower, uint32_t queues,
				uint64_t features)
{
	const struct server_opts opts = {.num_queues = queues,
					 .features = features};
	const char *path;
	VH_OPTS(vh_backend_events, events);

	*tower = (struct tower){.misses = 0};
	assert_int_equal(server_start_echo(&tower->ground, &opts), 0);
	path = tower->ground.place.socket;
	for (int i = 0; i < LAYERS; i++) {
		tower->links[i] = connect_to(path);
		assert_int_equal(place_make(&tower->places[i], NULL, 0), 0);
		path = tower->places[i].socket;
		tower->servers[i] = serve(tower->links[i], path);
	}
	tower->links[LAYERS] = connect_to(path);
	events.iotlb_miss = on_miss;
	events.gone = on_gone;
	assert_int_equal(
	    vh_backend_set_events(tower->links[LAYERS], &events, tower), 0);
	return tower->links[LAYERS];
}

static void raze(struct tower *tower)
{
	vh_backend_free(tower->links[LAYERS]);
	for (int i = LAYERS - 1; i >= 0; i--) {
		vh_user_server_free(tower->servers[i]);
		vh_backend_free(tower->links[i]);
		place_remove(&tower->places[i]);
	}
	server_stop(&tower->ground);
}

static void dispatch_until(struct vh_backend *b, const unsigned int *what,
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

static void offer_echo(struct rig *rig, uint64_t shift)
{
	struct iovec readable = {(void *)(uintptr_t)(RIG_DATA + shift), 4096};
	struct iovec writable = {(void *)(uintptr_t)(RIG_DATA + 4096 + shift),
				 4096};

	memset(rig_at(rig, RIG_DATA), 0x5a, 4096);
	memset(rig_at(rig, RIG_DATA + 4096), 0, 4096);
	assert_int_equal(rig_offer(rig, 0, &readable, 1, &writable, 1), 0);
}

static void await_echo(struct rig *rig)
{
	uint32_t written;

	assert_int_equal(rig_wait(rig, 0, &written), 0);
	assert_int_equal(written, 4096);
	assert_memory_equal(rig_at(rig, RIG_DATA), rig_at(rig, RIG_DATA + 4096),
			    4096);
}

/* What the far end refuses is refused here, by the same error. */
static void test_user_composed_proxies_hand_on_errors(void **state)
{
	const uint8_t bytes[4] = {1, 2, 3, 4};
	uint8_t config[4];
	struct tower tower;
	struct vh_backend *b = build(&tower, 2, 0);

	(void)state;
	assert_int_equal(vh_backend_set_owner(b), 0);
	/* The first half of the echo's config space is read-only. */
	assert_int_equal(
	    vh_backend_set_config(b, 0, bytes, 4, VH_CONFIG_BY_DRIVER),
	    -EACCES);
	assert_int_equal(
	    vh_backend_set_config(b, 8, bytes, 4, VH_CONFIG_BY_DRIVER), 0);
	assert_int_equal(vh_backend_get_config(b, 8, config, 4), 0);
	assert_memory_equal(config, bytes, 4);
	raze(&tower);
}

/* Questions of the IOTLB go one way, their answers the other. */
static void test_user_composed_proxies_hand_on_the_iotlb(void **state)
{
	struct vh_iotlb_entry entry = {
	    .iova = RIG_GUEST,
	    .size = RIG_SIZE,
	    .guest = RIG_GUEST,
	    .access = VH_ACCESS_READ | VH_ACCESS_WRITE,
	};
	struct tower tower;
	struct vh_backend *b = build(&tower, 2, VH_F_ACCESS_PLATFORM);
	struct rig rig;

	(void)state;
	assert_int_equal(rig_open(&rig, b, FEATURES | VH_F_ACCESS_PLATFORM), 0);
	assert_true(rig.features & VH_F_ACCESS_PLATFORM);
	/* The ring's own addresses are known, those of buffers aren't. */
	assert_int_equal(vh_backend_iotlb_update(b, &entry), 0);
	assert_int_equal(rig_start(&rig, 0, 16), 0);
	offer_echo(&rig, SHIFT);
	dispatch_until(b, &tower.misses, 1);
	assert_int_equal(tower.missed, RIG_DATA + SHIFT);
	entry.iova += SHIFT;
	assert_int_equal(vh_backend_iotlb_update(b, &entry), 0);
	await_echo(&rig);
	assert_int_equal(vh_backend_iotlb_invalidate(b, entry.iova, entry.size),
			 0);
	offer_echo(&rig, SHIFT);
	dispatch_until(b, &tower.misses, 2);
	assert_int_equal(vh_backend_iotlb_update(b, &entry), 0);
	await_echo(&rig);
	raze(&tower);
	rig_close(&rig);
}

/* Masks of 64 bits have no room for it. */
static void test_user_composed_proxies_hand_on_queue_255(void **state)
{
	struct vh_vring_addr addr = {0};
	struct tower tower;
	struct vh_backend *b = build(&tower, 256, 0);
	struct rig_queue *queue;
	struct rig rig;
	uint32_t base;

	(void)state;
	assert_int_equal(rig_open(&rig, b, FEATURES), 0);
	/* The driver's side of the first queue, on the last one. */
	assert_int_equal(rig_start(&rig, 0, 16), 0);
	assert_int_equal(rig_stop(&rig, 0), 0);
	queue = &rig.queues[0];
	vh_driver_queue_addresses(queue->driver, &addr.descriptors,
				  &addr.available, &addr.used);
	assert_int_equal(vh_backend_set_vring_num(b, 255, 16), 0);
	assert_int_equal(vh_backend_set_vring_addr(b, 255, &addr), 0);
	assert_int_equal(vh_backend_set_vring_call(b, 255, queue->call), 0);
	assert_int_equal(vh_backend_set_vring_kick(b, 255, queue->kick), 0);
	assert_int_equal(vh_backend_set_vring_enable(b, 255, true), 0);
	offer_echo(&rig, 0);
	await_echo(&rig);
	assert_int_equal(vh_backend_get_vring_base(b, 255, &base), 0);
	assert_int_equal(base, 1);
	assert_int_equal(vh_backend_set_vring_call(b, 256, queue->call),
			 -ERANGE);
	assert_int_equal(vh_backend_set_vring_enable(b, 255 + 256, true),
			 -ERANGE);
	raze(&tower);
	rig_close(&rig);
}

/* Shared by all ends: the dirty log and the area of requests in flight. */
static void test_user_composed_proxies_hand_on_areas(void **state)
{
	const uint64_t page = RIG_DATA / 4096 + 1;
	struct vh_log_area log = {.size = (RIG_GUEST + RIG_SIZE) / 4096 / 8};
	struct vh_inflight area = {.num_queues = 2, .queue_size = 16};
	struct tower tower;
	struct vh_backend *b = build(&tower, 2, 0);
	int log_fd = memfd_create("log", MFD_CLOEXEC), area_fd = -1;
	uint8_t *marks, *tracks;
	struct rig rig;

	(void)state;
	assert_int_equal(ftruncate(log_fd, (off_t)log.size), 0);
	marks = mmap(NULL, log.size, PROT_READ, MAP_SHARED, log_fd, 0);
	assert_ptr_not_equal(marks, MAP_FAILED);
	assert_int_equal(rig_open(&rig, b, FEATURES), 0);
	assert_int_equal(vh_backend_get_inflight(b, &area, &area_fd), 0);
	tracks = mmap(NULL, area.mmap_size, PROT_READ, MAP_SHARED, area_fd, 0);
	assert_ptr_not_equal(tracks, MAP_FAILED);
	assert_int_equal(vh_backend_set_inflight(b, &area, area_fd), 0);
	assert_int_equal(vh_backend_set_log_base(b, &log, log_fd), 0);
	assert_int_equal(vh_backend_set_features(b, FEATURES | VH_F_LOG_ALL),
			 0);
	assert_int_equal(rig_start(&rig, 0, 16), 0);
	echo_hold(tower.ground.echo);
	offer_echo(&rig, 0);
	assert_int_equal(echo_wait_held(tower.ground.echo, 1), 0);
	assert_false(marks[page / 8] >> page % 8 & 1);
	/* features (8), version (2), its entries (2), last batch (2), used */
	assert_int_equal(tracks[16], 1);
	echo_release(tower.ground.echo);
	await_echo(&rig);
	assert_true(marks[page / 8] >> page % 8 & 1);
	assert_int_equal(rig_stop(&rig, 0), 0);
	assert_int_equal(tracks[16], 0);
	raze(&tower);
	rig_close(&rig);
	munmap(marks, log.size);
	munmap(tracks, area.mmap_size);
	close(log_fd);
	close(area_fd);
}

/* The ground gives way, and everything above comes down. */
static void test_user_composed_proxies_end_with_what_they_serve(void **state)
{
	struct tower tower;
	struct vh_backend *b = build(&tower, 2, 0);
	struct rig rig;

	(void)state;
	assert_int_equal(rig_open(&rig, b, FEATURES), 0);
	assert_int_equal(rig_start(&rig, 0, 16), 0);
	offer_echo(&rig, 0);
	await_echo(&rig);
	vh_user_server_free(tower.ground.server);
	tower.ground.server = NULL;
	dispatch_until(b, &tower.gone, 1);
	for (int i = 0; i < LAYERS; i++) {
		struct pollfd pfd = {
		    .fd = vh_user_server_ended_fd(tower.servers[i]),
		    .events = POLLIN,
		};

		assert_int_equal(poll(&pfd, 1, RIG_PATIENCE), 1);
	}
	assert_int_equal(vh_backend_set_status(b, 0), -ENODEV);
	raze(&tower);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_user_composed_served_and_used_directly),
	    cmocka_unit_test(test_user_composed_proxies_hand_on_errors),
	    cmocka_unit_test(test_user_composed_proxies_hand_on_the_iotlb),
	    cmocka_unit_test(test_user_composed_proxies_hand_on_queue_255),
	    cmocka_unit_test(test_user_composed_proxies_hand_on_areas),
	    cmocka_unit_test(
		test_user_composed_proxies_end_with_what_they_serve),
	};

	return cmocka_run_group_tests_name("user-composed", tests, NULL, NULL);
}
